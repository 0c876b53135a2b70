/*
 * The arbiter record: compared, then copy 0 and copy 1 written one after the other under the lock. A process that dies leaves at most
 * the copy that was on its way, which may land late; the lock is free only when that is over. With LOCKED 0 the LUN has no lock that
 * two hosts share: the write of a dead process is drained before another is made, two living ones may write at once.
 */
#define LOCKABLE ((LOCKED -> lock == 0 || lock == n + 1 : !PEER.late) || BUG == NO_PREEMPT)
#define FREE (ME.write == 0) /* ha_arb_free */
#define SOLE_MEMBER (MEMBERS(ME.known) == BIT(n))

/* ok: the record was what was expected, and the write is on its way */
inline compare_and_swap(now, who, first)
{
	lock = n + 1;
	ok = ME.known == STANDS || BUG == NOT_REREAD;
	if
	:: ok ->
		copy[0] = STANDS;
		copy[1] = copy[0];
		ME.next = RECORD(SEQ(STANDS) + 1, now, who, first);
		ME.write = 1
	:: else -> ME.known = STANDS
	fi
}

inline unlock(x)
{
	if
	:: lock == x + 1 -> lock = 0
	:: else
	fi
}

inline write_over(x)
{
	nd[x].write = 0;
	nd[x].late = 0;
	nd[x].next = 0
}

/* The write is over: what who waits for it makes of the outcome. */
inline conclude(done)
{
	write_over(n);
	if
	:: done ->
		if
		:: ME.st == P_CAS -> ME.st = P_SAVE
		:: ME.st == T4_CAS -> ME.st = T4_SAVE
		:: ME.st == T6_CAS -> ME.st = SYNC; ME.require_ack = true; check_sync()
		:: ME.st == T6_LOST -> ME.st = FROZEN
		:: ME.st == HANDOVER -> /* and a standby from here on */
			ME.session = false;
			ME.require_ack = false;
			stand_by()
		:: else
		fi
	:: else ->
		if
		:: ME.st == P_CAS -> stand_by()
		:: ME.st == T4_CAS || ME.st == T6_LOST -> ME.st = FROZEN
		:: ME.st == T6_CAS -> ME.st = INVITE
		:: else
		fi
	fi
}


/* S5: a promise binds until the record has reached it. */
inline release_votes()
{
	if
	:: nd[0].vote <= EPOCH(STANDS) -> nd[0].vote = 0
	:: else
	fi;
	if
	:: nd[1].vote <= EPOCH(STANDS) -> nd[1].vote = 0
	:: else
	fi
}
