/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The pair core: roles, modes, epochs, the arbiter's part, promotion, the order of commits over both journals, resync. It decides
 * who may acknowledge and when. Pure: facts and completions come in by ha_step, orders go out by ha_next, in order. It never
 * looks into a record, and it never believes a hint.
 *
 * Facts (cannot be refused): peer process or node gone, fence result, link up or down, completions.
 * Requests (may be refused, with a reason): promote, demote, switchover, override.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "journal/core/jr.h"
#include "proto/pr.h"

struct ha;

enum ha_mode { HA_SYNC, HA_FROZEN, HA_ALONE };
enum ha_dstate { HA_NEW, HA_INSYNC, HA_OUTDATED, HA_SYNCTARGET, HA_DALONE, HA_QUARANTINED };

struct ha_history {
	uint64_t epoch, first_lsn;
	struct pr_hash hash;
	uint8_t members, reason;
};
enum { HA_HISTORY_MAX = 64 };

/* What each controller persists: four checksummed copies, written means three, opened means two agree. */
struct ha_state {
	uint8_t cluster[16];
	uint8_t node; /* 1 or 2 */
	enum ha_dstate dstate;
	uint64_t epoch, log_epoch;
	uint64_t seq; /* grows with every write of the state */
	uint32_t fault_flags, overrides;
	uint32_t history_count;
	struct ha_history history[HA_HISTORY_MAX];
};

/* The arbiter record: two copies on a metadata LUN, changed by compare-and-swap of the whole record only. */
struct ha_arbiter {
	uint8_t cluster[16];
	uint64_t seq, epoch;
	uint8_t members; /* bit 0: node 1, bit 1: node 2 */
	uint8_t active;	 /* node, 0: none yet */
};

/* Codecs of the two formats (fixed size, crc first, static asserts): 0 or -EBADMSG. */
enum { HA_STATE_BYTES = 4096, HA_ARBITER_BYTES = 512 };
void ha_state_encode(uint8_t out[HA_STATE_BYTES], const struct ha_state *);
int ha_state_decode(struct ha_state *, const uint8_t in[HA_STATE_BYTES]);
/*
 * Choose among four copies as read (NULL: unreadable): 0, -ENOENT all blank (a new node), -EUCLEAN fewer than two agree. ret_others:
 * bit i for each copy that is not the state chosen, to be written over with it before it is used; 0 when there is none.
 */
int ha_state_pick(struct ha_state *ret, const uint8_t *const copies[4], unsigned *ret_others);
void ha_arbiter_encode(uint8_t out[HA_ARBITER_BYTES], const struct ha_arbiter *);
int ha_arbiter_decode(struct ha_arbiter *, const uint8_t in[HA_ARBITER_BYTES]);
/* Choose between two copies: 0 and which must be rewritten first (-1 none); -ENOENT both blank; -EUCLEAN both bad. */
int ha_arbiter_pick(struct ha_arbiter *ret, const uint8_t *const copies[2], int *ret_rewrite);
void ha_floor_encode(uint8_t out[HA_ARBITER_BYTES], const uint8_t cluster[16], uint64_t epoch,
		     uint64_t lsn);
int ha_floor_decode(const uint8_t in[HA_ARBITER_BYTES], const uint8_t cluster[16],
		    uint64_t *ret_epoch, uint64_t *ret_lsn);

struct ha_config {
	uint8_t cluster[16];
	uint8_t node;
	uint32_t beat_ms;      /* heartbeat interval */
	uint32_t lease_ms;     /* of replies in SYNC */
	uint32_t drop_ms;      /* a standby whose ack takes longer is dropped */
	uint32_t link_dead_ms; /* silence after which the link is closed */
	uint32_t
		membership_ms; /* how late the membership may tell that the peer's node left; 0: at once */
	bool freeze_on_peer_loss;
	uint32_t in_flight; /* batches on their way at once, 1..8 */
	bool cluster_stack; /* a real cluster orders the roles; else the embedded supervisor */
	/* The fence only cuts the LUNs: the old active may still run, so its lease is waited out. */
	bool fabric_fencing;
	uint32_t takeover_wait_ms; /* with it: from the end of the session to the first act (P5) */
	uint32_t drift_ppm;	   /* how far two clocks may part */
};

/*
 * The timing table of ha/README.md, computed: when a lost active has stopped for certain and when its successor may act, in ms after
 * the last heartbeat that the active saw answered. 0, or -EINVAL and why.
 */
struct ha_timing {
	uint32_t noticed_ms, silent_ms, successor_ms;
};
int ha_config_check(const struct ha_config *, struct ha_timing *ret, char ret_why[160]);

enum ha_event_type {
	HA_EV_BOOT, /* state, state_error, opened (journal), store_lsn, incarnation */
	HA_EV_TIMER,
	HA_EV_LINK_UP,	     /* conn */
	HA_EV_LINK_DOWN,     /* conn */
	HA_EV_LINK_MSG,	     /* conn; msg_type, p, len */
	HA_EV_SUBMIT,	     /* active: a closed batch, first_lsn = ha_next_lsn() */
	HA_EV_APPENDED,	     /* lsn */
	HA_EV_APPEND_FAILED, /* error */
	HA_EV_FETCHED,	     /* cookie, batch or NULL */
	HA_EV_CUT,	     /* lsn */
	HA_EV_REPAIRED,	     /* lsn; error: the peer's batch is not the one that stood here, text */
	HA_EV_STATE_SAVED,   /* error */
	/* arbiter, floor_*; error: -ENOENT blank, -EUCLEAN both copies bad, others unreachable */
	HA_EV_ARB_READ,
	/*
	 * error 0: done. -ESTALE: refused, arbiter is what stands. -ETIMEDOUT: no answer yet; the
	 * same event comes again with the outcome, and until then nothing else may be written.
	 * -EBADE: our key was taken away (T7). Any other: it is over, but what stands must be read
	 * (the core does). FLOOR: likewise.
	 */
	HA_EV_ARB_CAS,
	HA_EV_ARB_FLOOR,
	/* incarnation (grows with each start of the peer, on a new disk too; 0: never seen), process_up, node_up, quorate */
	HA_EV_PEER,
	HA_EV_FENCE,	     /* incarnation, error 0: proven dead; text */
	HA_EV_PREEMPTED,     /* error 0: the old active's lock on the LUNs is ours */
	HA_EV_PROMOTE,	     /* ticket */
	HA_EV_DEMOTE,	     /* ticket */
	HA_EV_SWITCHOVER,    /* ticket: administrator's request on the active */
	HA_EV_DRAINED,	     /* nothing more will be submitted; answers HA_FX_DRAIN */
	HA_EV_STORE_FLUSHED, /* lsn */
	HA_EV_ROWS_FULL, /* on: the rows in memory take no more until a flush ends: apply nothing meanwhile */
	HA_EV_ROWS, /* answers HA_FX_ROWS_READ: rows p,len (opaque), lsn, last, done/total bytes */
	HA_EV_ROWS_APPLIED, /* answers HA_FX_ROWS_BEGIN/PUT/END; error */
	HA_EV_OVERRIDE,	    /* ticket: the operator typed the known gap */
};

struct ha_event {
	enum ha_event_type type;
	uint64_t now_ms; /* CLOCK_BOOTTIME */
	uint64_t conn;	 /* link connection; a later one has a higher number */
	uint16_t msg_type;
	const uint8_t *p;
	uint32_t len;
	uint64_t lsn, incarnation, cookie, ticket, store_lsn, done_bytes, total_bytes, random;
	int error;
	bool process_up, node_up, quorate, last, on;
	struct jr_batch *batch; /* borrowed; ha takes its own reference */
	const struct jr_event *opened;
	const struct ha_state *state;
	const struct ha_arbiter *arbiter;
	uint64_t floor_epoch, floor_lsn;
	const char *text;
};

enum ha_effect_type {
	/* conn, msg_type, p, len; batch set: its image follows p[0..len), which ends with its length */
	HA_FX_SEND,
	HA_FX_CLOSE_LINK, /* conn */
	HA_FX_APPEND,	  /* batch (the taker owns a reference) */
	HA_FX_COMMITTED,  /* active: replies up to lsn may leave */
	/* standby, boot, promotion: apply the batch's records to the rows (the taker owns a reference) */
	HA_FX_APPLY,
	HA_FX_FETCH,  /* journal: lsn, cookie */
	HA_FX_CUT,    /* journal: lsn */
	HA_FX_REPAIR, /* journal: batch */
	HA_FX_RESET, /* journal: lsn, epoch, hash; what ends after common_lsn is archived; answered by CUT */
	HA_FX_SAVE_STATE, /* state (valid until the next ha_step) */
	HA_FX_ARB_READ,
	HA_FX_ARB_CAS,	 /* expect, next */
	HA_FX_ARB_FLOOR, /* epoch, lsn */
	HA_FX_ASK_FENCE, /* incarnation */
	/*
	 * Take the old active's lock or key on every metadata LUN (a former process here counts as
	 * one), drain, verify. At a promotion before anything is written; after a handover with SERVE
	 * already on, before the heir opens a session of its own.
	 */
	HA_FX_PREEMPT,
	HA_FX_SCORE, /* score, text */
	/* ticket, error, text: an order done or refused (names what is missing and the next command) */
	HA_FX_ORDER_RESULT,
	HA_FX_SERVE,  /* be active in this epoch: rows stand at lsn; new LSNs from lsn + 1 */
	HA_FX_HOLD,   /* FROZEN begins: replies and grants wait */
	HA_FX_RESUME, /* FROZEN ends; the epoch may be a new one */
	HA_FX_DRAIN, /* switchover: take no new operations; answer DRAINED when all submitted are out */
	HA_FX_UNDRAIN, /* the switchover did not come about: go on serving */
	/* the active role was handed over: everything here is committed; be standby, notify clients */
	HA_FX_STANDBY,
	HA_FX_ROWS_READ, /* source of a full copy: read on after the last key (cookie 0: from the start) */
	HA_FX_ROWS_BEGIN, /* target: a new store environment beside the old one */
	HA_FX_ROWS_PUT,	  /* target: rows p, len */
	HA_FX_ROWS_END,	  /* target: adopt the new one at lsn, keep the old one */
	HA_FX_ROWS_KEEP,  /* target: T6 came, the old store environment may go */
	HA_FX_TIMER,	  /* wake me at at_ms */
	HA_FX_ALARM,	  /* alarm id, on, text */
	HA_FX_DIE,	  /* text: end the process now */
};

/* Memory named by an effect is valid until the ha_step after the one in which it was taken; batch: the taker owns a reference. */
struct ha_effect {
	enum ha_effect_type type;
	uint64_t conn, lsn, common_lsn, epoch, cookie, incarnation, ticket, at_ms;
	uint16_t msg_type;
	const uint8_t *p;
	uint32_t len;
	struct jr_batch *batch;
	const struct ha_state *state;
	struct ha_arbiter expect, next;
	struct pr_hash hash;
	int error, score, alarm;
	bool on;
	const char *text;
};

struct ha *
ha_new(const struct ha_config
	       *); /* NULL: a configuration in which a lost active could act when its successor begins */
void ha_free(struct ha *);
void ha_step(struct ha *, const struct ha_event *);
bool ha_next(struct ha *, struct ha_effect *);

/* Alarms: id, name, what it says. */
#define HA_ALARMS                                                                            \
	HA_ALARM(ALONE, "only this controller holds the latest operations")                  \
	HA_ALARM(FROZEN, "no operation is answered")                                         \
	HA_ALARM(ARBITER, "the arbiter record cannot be read or written")                    \
	HA_ALARM(FENCE, "the peer is lost, and is not fenced")                               \
	HA_ALARM(SLOW_PEER, "the standby is too slow and was dropped")                       \
	HA_ALARM(DROPS, "the standby was dropped three times within an hour")                \
	HA_ALARM(JOURNAL, "the journal or the store here is damaged")                        \
	HA_ALARM(QUARANTINED, "this controller's disk failed; it never promotes")            \
	HA_ALARM(NO_SPACE,                                                                   \
		 "the disk of this controller's directory is full, changes wait: make room") \
	HA_ALARM(PEER, "the peer does not fit: another cluster, another log or a newer epoch")
enum ha_alarm {
#define HA_ALARM(id, text) HA_ALARM_##id,
	HA_ALARMS
#undef HA_ALARM
		HA_ALARM_COUNT,
};
const char *ha_alarm_name(unsigned alarm), *ha_alarm_text(unsigned alarm);
const char *ha_mode_name(unsigned mode), *ha_dstate_name(unsigned dstate);

/* Read-only views, for replies and status. */
enum pr_role ha_role(const struct ha *);
enum ha_mode ha_mode(const struct ha *);
enum ha_dstate ha_dstate(const struct ha *);
uint64_t ha_epoch(const struct ha *), ha_next_lsn(const struct ha *),
	ha_commit_lsn(const struct ha *);
struct pr_hash ha_tail_hash(const struct ha *); /* for the batch to be submitted next */
/* Active, not frozen, and fewer than in_flight batches on their way; near the end of a resync: none. */
bool ha_can_submit(const struct ha *);
unsigned ha_batches_in_flight(const struct ha *);
/* The lease of SYNC; ALONE: always; FROZEN: never. COMMITTED comes again when a lapsed lease is renewed. */
bool ha_may_reply(const struct ha *, uint64_t now_ms);
/* Batches after this one are still wanted for a resync under way; UINT64_MAX: none. */
uint64_t ha_keep_lsn(const struct ha *);

struct ha_status {
	enum pr_role role;
	enum ha_mode mode;
	enum ha_dstate dstate;
	uint64_t epoch, tail_lsn, commit_lsn, peer_acked_lsn, peer_incarnation;
	uint8_t members, arbiter_active;
	uint64_t arbiter_seq;
	bool link_up, peer_insync;
	int resync_percent;
	uint64_t resync_done_bytes, resync_total_bytes,
		resync_eta_ms;		    /* percent -1: none under way */
	uint64_t alone_since_ms, alone_ops; /* what stands in one copy */
	struct {
		uint64_t asked_ms, journal_ms, fenced_ms, arbiter_ms, verified_ms, serving_ms;
	} promotion;
	unsigned alarms;   /* bits by alarm id */
	char refused[256]; /* why the last promotion was refused */
};
void ha_get_status(const struct ha *, struct ha_status *ret);
