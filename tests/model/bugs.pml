/* Planted bugs, one at a time: spin -DBUG=NAME. tests/model/run reads this list and must find each. */
#define NONE 0
#define STALE_ACK 1 /* T2: an ack of a session that is gone still counts */
#define ACK_UNDURABLE 2 /* S1: a batch is acked before it is durable here */
#define COMMIT_UNACKED 3 /* T1: a batch is committed before the standby has acked it */
#define UNNAMED 4 /* P3: a controller that the arbiter does not name promotes */
#define UNFENCED 5 /* P2: a silent peer is taken for dead */
#define NOT_REREAD 6 /* P6: the arbiter record is written over whatever stands there */
#define NO_PREEMPT 7 /* P4: what the dead active had on its way to the LUN is not waited for */
#define EPOCH_REUSED 8 /* P6: the successor keeps the epoch */
#define STAYS_OPEN 9 /* P0: batches are taken and acked while promoting */
#define ALONE_UNWRITTEN 10 /* T4: alone without the arbiter's word */
#define FROZEN_COMMITS 11 /* T2: frozen, and still committing what is durable here */
#define NO_BARRIER 12 /* T6: published before acks are required */
#define PUBLISHED_EARLY 13 /* T6: published before the peer holds what is committed */
#define FORK_UNCHECKED 14 /* T5: the shorter tail is taken for the fork */
#define APPLY_EARLY 15 /* S1: rows are applied as soon as they are durable */
#define TAIL_DROPPED 16 /* P7: the tail beyond the known commit is not adopted */
#define TIMEOUT_FAILED 17 /* T6: a write without an answer is taken for one that failed */
#define NOT_DRAINED 18 /* T8: handed over before all is committed */
#define HEIR_EARLY 19 /* T9: the promise is taken for the record */
#define HEIR_ALONE 20 /* T9: the heir serves before it has a session */
