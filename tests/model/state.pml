/*
 * What there is: two controllers, one arbiter record in two copies on a LUN, one link. An entry of a log is the epoch and the node that
 * wrote it, so two logs with equal entries up to an LSN have equal hashes there. What stands after a crash is marked "disk".
 */
#ifndef WRITES
#define WRITES 2 /* operations of clients */
#endif
#ifndef CRASHES
#define CRASHES 2
#endif
#ifndef FLAPS
#define FLAPS 1 /* losses of the link; also: standbys dropped for being slow, orders to promote while in a session */
#endif
#ifndef FENCES
#define FENCES 1 /* of a live controller; that a dead one is dead can always be proven */
#endif
#ifndef EIOS
#define EIOS 0 /* failed writes to the arbiter */
#endif
#ifndef SWITCHES
#define SWITCHES 0 /* planned changes of roles */
#endif
#ifndef LOCKED
#define LOCKED 1
#endif
#ifndef FIRST
#define FIRST 2 /* who serves first: 0, 1 or (2) either. What is true of both is true. */
#endif
#ifndef BUG
#define BUG NONE
#endif

/* What a controller is doing. From FROZEN on it is active; from ALONE on its mode is ALONE. */
#define DOWN 0
#define STANDBY 1
#define TARGET 2 /* T5: SYNCTARGET is saved, the tail is not cut yet */
#define PROOF 3 /* P1 to P3 passed, P2 wanted: the fence, or the peer's promise */
#define HEIR 4 /* T9: a handover was promised, and waits for the record */
#define P_CAS 5
#define P_SAVE 6
#define P_SERVE 7
#define HEIR_SAVE 8
#define FROZEN 9
#define T4_CAS 10
#define T4_SAVE 11
#define T4_SERVE 12
#define T6_LOST 13 /* T6's write is on its way and the session gone */
#define DRAIN 14 /* T8: nothing new is taken, until all is committed */
#define HANDOVER 15 /* T8: the promise is given, the record on its way or not known */
#define SYNC 16
#define ALONE 17
#define OPENING 18 /* T5: the session is offered */
#define STREAM 19
#define BARRIER 20
#define INVITE 21 /* T6: INSYNC is saved here, and wanted there */
#define T6_CAS 22

/* What its disk says of its data. */
#define INSYNC 0
#define OUTDATED 1
#define SYNCTARGET 2
#define SOLE 3 /* dstate ALONE */

typedef Node {
	unsigned st : 5;
	/* disk */
	unsigned dstate : 2;
	unsigned epoch : 4;
	byte log[WRITES];
	unsigned tail : 3, durable : 3; /* entries; beyond durable a crash may keep or drop */
	unsigned commit : 3; /* known to be committed, and applied to the rows */
	/* arbiter */
	short known; /* the record at the last look; 0: none */
	unsigned write : 2; /* on its way: 0 nothing, 1 copy 0, 2 copy 1 */
	bit late; /* ... of a process that is dead */
	short next;
	/* link */
	bit linked; /* believes to be connected */
	bit session; /* both sides have theirs */
	unsigned acked : 3; /* of any session ever; only a bug looks here */
	bit require_ack;
	unsigned barrier : 3;
	/* proofs */
	bit fenced; /* proof that the peer is dead */
	unsigned promise : 4, promising : 4; /* the peer's promise of this epoch to me: held, on its way */
	unsigned vote : 4; /* my promise to the peer */
	bit stale; /* the peer is another incarnation by now, which is not known here */
};
Node nd[2];
bit wire; /* the connection exists */
short copy[2] = 6; /* disk: the arbiter record; at first epoch 0, both members */
unsigned lock : 2; /* of who may write it: 0 nobody, else node + 1 */
unsigned writes : 2, crashes : 2, flaps : 2, fences : 2, eios : 2, switches : 2;

/* What clients have seen: these entries, acknowledged in epochs up to this one, of which that one by this node; and the last epoch somebody was ALONE in. */
byte seen[WRITES];
unsigned seens : 3, seen_epoch : 4;
bit seen_by;
byte alone;

#ifdef BREADTH_FIRST /* which cannot hide them */
byte i, k, ok, limit;
#else
hidden byte i, k, ok, limit;
#endif

#define ME nd[n]
#define PEER nd[1 - n]
#define BIT(x) (1 << (x))
#define MIN(a, b) ((a) < (b) -> (a) : (b))
#define ACTIVE(x) (x.st >= FROZEN)
#define TALKING (wire && ME.linked && PEER.linked)
#define ENTRY (ME.epoch * 2 + n)

/* The record: seq, epoch, members (a bit each), active. */
#define RECORD(seq, epoch, members, active) ((seq) << 7 | (epoch) << 3 | (members) << 1 | (active))
#define SEQ(r) ((r) >> 7)
#define EPOCH(r) ((r) >> 3 & 15)
#define MEMBERS(r) ((r) >> 1 & 3)
#define WHO(r) ((r) & 1)
#define STANDS (SEQ(copy[0]) >= SEQ(copy[1]) -> copy[0] : copy[1])
