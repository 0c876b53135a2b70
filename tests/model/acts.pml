/* What several steps ask, and what they do. */

/* What the peer has acked in this session; a broken link acks nothing. */
#define IN_SESSION (ME.session && TALKING && PEER.session)
#define ACKED_NOW (IN_SESSION -> (BUG == ACK_UNDURABLE -> PEER.tail : PEER.durable) : 0)
#define ACKED (BUG == STALE_ACK && ME.acked > ACKED_NOW -> ME.acked : ACKED_NOW)
#define COMMITTABLE MIN(ME.durable, (ME.require_ack && BUG != COMMIT_UNACKED && ME.st != FROZEN -> ACKED : ME.durable))
/* P3: named by the record, and not of a lower rank by its own word */
#define NAMED(r) ((MEMBERS(r) & BIT(n)) && ME.dstate != OUTDATED && ME.dstate != SYNCTARGET || BUG == UNNAMED)
/* P2: unknown means no. That a dead process is dead can be known at any time, and may be believed of its successor. */
#define FENCED (PEER.st == DOWN || ME.fenced)
#define PROVEN (FENCED || SOLE_MEMBER || ME.promise == EPOCH(ME.known) + 1 || BUG == UNFENCED)
/* S5: what was promised to the peer holds until the record has it, or it is dead */
#define BOUND(r) (ME.vote > EPOCH(r) && !FENCED)

inline stand_by()
{
	ME.st = STANDBY;
	ME.known = 0;
	ME.promise = 0;
	ME.promising = 0;
	if
	:: !ME.write -> unlock(n)
	:: else
	fi;
	if
	:: ME.linked && PEER.session -> hang_up() /* its session ended with P0 */
	:: else
	fi
}

/* ha_link_close */
inline close(x)
{
	nd[x].linked = false;
	nd[x].session = false;
	nd[x].promising = 0;
	nd[x].barrier = 0;
	if
	:: nd[x].st == TARGET -> nd[x].st = STANDBY
	:: nd[x].st == SYNC || nd[x].st == DRAIN -> nd[x].st = FROZEN
	:: nd[x].st == T6_CAS && BUG != TIMEOUT_FAILED -> nd[x].st = T6_LOST
	:: nd[x].st >= OPENING && (nd[x].st != T6_CAS || BUG == TIMEOUT_FAILED) ->
		nd[x].st = ALONE;
		if
		:: nd[x].require_ack ->
			nd[x].require_ack = false;
			nd[x].dstate = SOLE
		:: else
		fi
	:: else
	fi
}

/* Who has something to lose by it notices later, by a step of its own. */
inline break_link()
{
	wire = false;
	nd[0].linked = nd[0].linked && (nd[0].session || nd[0].promising || nd[0].st == TARGET || nd[0].st >= OPENING);
	nd[1].linked = nd[1].linked && (nd[1].session || nd[1].promising || nd[1].st == TARGET || nd[1].st >= OPENING)
}

inline hang_up()
{
	close(n);
	break_link()
}

inline end_process(x)
{
	close(x);
	break_link();
	nd[x].st = DOWN;
	nd[x].known = 0;
	nd[x].require_ack = false;
	nd[x].fenced = false;
	nd[x].promise = 0;
	nd[x].vote = 0;
	nd[x].stale = false;
	if
	:: nd[x].write -> nd[x].late = true
	:: else -> unlock(x)
	fi
}

/* A hello, or the cluster, says that the peer is a new process. */
inline learn(x)
{
	if
	:: nd[x].stale ->
		nd[x].stale = false;
		nd[x].fenced = false;
		nd[x].promise = 0
	:: else
	fi
}

/* ok and k: the logs part after k entries */
inline find_fork()
{
	k = 0;
	ok = true;
	do
	:: k < ME.tail && k < PEER.tail && (ME.log[k] == PEER.log[k] || BUG == FORK_UNCHECKED) -> k++
	:: else -> break
	od
}

inline cut(x, upto)
{
	do
	:: nd[x].tail > (upto) ->
		nd[x].tail--;
		nd[x].log[nd[x].tail] = 0
	:: else -> break
	od;
	nd[x].durable = MIN(nd[x].durable, nd[x].tail);
	nd[x].commit = MIN(nd[x].commit, nd[x].tail)
}
