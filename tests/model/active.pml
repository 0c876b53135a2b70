/* T1: an operation. */
:: d_step {
	ME.st >= SYNC && writes < WRITES ->
	writes++;
	ME.log[ME.tail] = ENTRY;
	ME.tail++
   }

/* T1: durable here, on the active as on the standby. */
:: d_step {
	ME.st != DOWN && ME.durable < ME.tail ->
	ME.durable++;
	if
	:: BUG == STALE_ACK && ME.st == STANDBY && ME.session -> PEER.acked = ME.durable
	:: else
	fi
   }

/*
 * T1: the commit, with which the replies leave. What the peer has durable it may have acked, and its ack may have arrived before whatever
 * happened next, so acks need no steps of their own.
 */
:: d_step {
	(ME.st >= SYNC || ME.st == DRAIN || (BUG == FROZEN_COMMITS && ME.st == FROZEN)) && ME.commit < COMMITTABLE ->
	assert(ME.require_ack || MEMBERS(STANDS) == BIT(n)); /* I5: a member whose ack is not required */
	limit = COMMITTABLE;
	acknowledge(limit)
   }

/* A standby that acks nothing is dropped. */
:: d_step { ACTIVE(ME) && ME.st != HANDOVER && ME.session && ME.linked && wire && !PEER.session -> hang_up() }

/* T3: the peer is back, a member, and its log ends on my chain after the commit. */
:: d_step {
	ME.st == FROZEN && FREE && TALKING && PEER.st == STANDBY && !PEER.session && PEER.durable == PEER.tail &&
	PEER.dstate == INSYNC && PEER.epoch <= ME.epoch && (MEMBERS(ME.known) & BIT(1 - n)) &&
	PEER.tail >= ME.commit && PEER.tail <= ME.tail ->
	same(n, 1 - n, PEER.tail);
	if
	:: ok ->
		save_epoch(1 - n, ME.epoch);
		PEER.session = true;
		ME.session = true;
		ME.require_ack = true;
		ME.st = SYNC
	:: else
	fi
   }

/* T4: at once, whoever else may want the record: the compare-and-swap decides. */
:: d_step {
	ME.st == FROZEN && FREE && LOCKABLE ->
	if
	:: BUG == ALONE_UNWRITTEN || SOLE_MEMBER && EPOCH(ME.known) == ME.epoch -> ME.st = ALONE; ME.require_ack = false
	:: else ->
		compare_and_swap(EPOCH(ME.known) + 1, BIT(n), n);
		if
		:: ok -> ME.st = T4_CAS
		:: else -> end_process(n) /* the peer has taken over */
		fi
	fi
   }
:: d_step {
	ME.st == T4_SAVE ->
	save_epoch(n, EPOCH(ME.known));
	ME.dstate = SOLE;
	ME.st = T4_SERVE
   }
:: d_step {
	ME.st == T4_SERVE && ME.durable == ME.tail ->
	ME.st = ALONE;
	ME.require_ack = false;
	check_alone()
   }

/* T7: the record names a newer epoch, or another active. */
:: d_step {
	ACTIVE(ME) && FREE && ME.st != T4_SAVE && ME.st != T4_SERVE && (EPOCH(STANDS) > ME.epoch || WHO(STANDS) != n) ->
	end_process(n)
   }
