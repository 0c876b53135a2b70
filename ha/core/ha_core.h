/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The inside of the pair core, for its own files only. ha_step takes one event: ha.c turns it into facts in struct ha, then runs
 * every procedure (ha_run_*) until none moves any more. A procedure is level-triggered: it looks at facts and at its own step,
 * never at the event, so a repeated or reordered completion cannot run a step twice.
 */
#pragma once
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "ha/core/ha.h"

/* A peer that names a later one errs: there must be room for those that follow. */
#define HA_EPOCH_MAX (UINT64_MAX >> 1)

enum {
	HA_FX_MAX = 1024,
	HA_FLIGHT_MAX = 16,	/* in_flight and the pair core's own batch */
	HA_RECEIVED_MAX = 128,	/* at the standby: received, not yet applied */
	HA_WINDOW_BATCHES = 16, /* of a resync: sent, not acked */
	HA_WINDOW_BYTES = 16 << 20,
	HA_ARBITER_POLL_MS = 1000,
	HA_FLOOR_MS = 30000,
	HA_ARBITER_RETRY_MS = 200,
	HA_ARBITER_NAMED_MS = 50, /* a standby that waits to be named looks this often */
	HA_PROMISE_WAIT_MS = 1000,
	HA_FENCE_WAIT_MS = 5000,
	HA_FENCE_ALARM_MS = 20000, /* a lost node that is not fenced by then is an alarm */
	HA_BARRIER_LAG = 4096,	   /* operations behind, from which the barrier of T6 may close */
	HA_BARRIER_WAIT_MS = 2000, /* so long it waits for a peer that is so near to come nearer */
	HA_BARRIER_MS = 1000,	   /* so long it may stay closed: clients wait for it */
	HA_BARRIER_AGAIN_MS = 10000,
	HA_OVERRIDE_EPOCHS = 65536,
	HA_DROPS_AN_HOUR = 3,
	HA_QUARANTINE_WAIT_MS = 1000,
};
#define HA_HOUR_MS UINT64_C(3600000)
#define HA_NO_ROWS UINT64_MAX /* hello.store_lsn: my rows are worth nothing, copy them all */

/* ha_state.fault_flags */
enum { HA_FAULT_COPY = 1 }; /* a full copy is under way: rows and journal do not belong together */

/* ha_history.reason */
enum { HA_BY_PROMOTION = 1, HA_BY_PEER_LOSS, HA_BY_HANDOVER, HA_BY_OVERRIDE };

/* What a fetched batch is wanted for: the top byte of the cookie. */
enum ha_fetch {
	HA_FETCH_APPLY,
	HA_FETCH_ANSWER,
	HA_FETCH_OWN,
	HA_FETCH_STREAM,
	HA_FETCH_GIVE,
	HA_FETCH_BASE,
	HA_FETCH_COUNT
};

enum ha_write { HA_WRITE_NONE, HA_WRITE_CAS, HA_WRITE_FLOOR };
enum ha_outcome { HA_PENDING, HA_DONE, HA_REFUSED, HA_FAILED };

/* T4, in this order */
enum ha_alone_step { HA_T4_IDLE, HA_T4_CAS, HA_T4_SAVE, HA_T4_RECORD };
/* T5 and T6, in this order */
enum ha_resync_step {
	HA_RS_IDLE,
	HA_RS_OWN,
	HA_RS_ASK,
	HA_RS_ROWS_FIRST,
	HA_RS_ROWS_BASE,
	HA_RS_OPENING,
	HA_RS_ROWS,
	HA_RS_STREAM,
	HA_RS_BARRIER,
	HA_RS_SAVE,
	HA_RS_PEER,
	HA_RS_CAS,
};
/* T8, in this order */
enum ha_switch_step {
	HA_SW_IDLE,
	HA_SW_DRAIN,
	HA_SW_QUIET,
	HA_SW_RECORD,
	HA_SW_CAS,
	HA_SW_TAKE_BACK
};
/* P0 to P8 and T9, in this order */
enum ha_promote_step {
	HA_P_IDLE,
	HA_P_TAIL,
	HA_P_READ,
	HA_P_PROOF,
	HA_P_PREEMPT,
	HA_P_LEASE,
	HA_P_CAS,
	HA_P_SAVE,
	HA_P_ADOPT,
	HA_P_RECORD,
	HA_P_HEIR,
	HA_P_HEIR_SAVE,
	HA_P_HEIR_APPLY,
};
/* the standby's side of a session that has to be prepared first, in this order */
enum ha_target_step {
	HA_TG_IDLE,
	HA_TG_PROOF,
	HA_TG_BASE,
	HA_TG_SAVE,
	HA_TG_CUT,
	HA_TG_RESET,
	HA_TG_BEGIN,
	HA_TG_BEGUN /* the new store must stand before its first rows are asked for */
};
/* the target's side of a full copy once the session is open */
enum ha_rows_step { HA_ROWS_IDLE, HA_ROWS_PUT, HA_ROWS_END, HA_ROWS_CLEAR };

struct ha_mem {
	struct ha_mem *next;
	uint64_t align;
};

struct ha_mark {
	uint64_t lsn;
	struct pr_hash hash;
};

struct ha {
	struct ha_config cfg;
	struct ha_timing timing;
	uint64_t now_ms;
	uint64_t incarnation;
	bool booted, dead;

	/* effects */
	struct ha_effect fx[HA_FX_MAX];
	unsigned fx_head, fx_count;
	struct ha_mem *mem;

	enum pr_role role;
	enum ha_mode mode;
	bool served; /* SERVE was given in this time as active */
	bool held;   /* HOLD was given */

	/* persisted: state is what shall stand; saved_seq is what does */
	struct ha_state state;
	uint64_t saving_seq, saved_seq;
	bool save_busy;

	/* journal */
	uint64_t first_lsn;
	struct ha_mark tail; /* the last batch accepted or submitted, durable or not */
	uint64_t durable_lsn;
	struct ha_mark commit; /* hash only known while active */
	uint64_t applied_lsn, store_lsn;
	struct ha_mark cut; /* where the log will end when the cut or reset is done */
	bool cut_busy;
	char damage_text[192];
	const char *damage; /* why rows or journal are worth nothing; NULL: fine */
	struct {
		bool on, busy;
		uint64_t lsn, last, asked_ms;
	} repair;
	uint64_t missing_lsn,
		missing_epoch; /* the journal says that all up to this was committed, in an epoch up to this; its tail may be below */

	/* fetches: one of each kind at a time */
	struct {
		bool busy;
		uint64_t number;
		uint64_t lsn;
	} fetch[HA_FETCH_COUNT];

	/* active: batches not yet committed; standby: not yet applied */
	struct {
		struct jr_batch *batch;
		uint64_t sent_ms;
	} flight[HA_FLIGHT_MAX];
	unsigned flights;
	struct jr_batch *received[HA_RECEIVED_MAX];
	unsigned receiveds, appended; /* of received: handed to the journal */

	/* arbiter */
	struct {
		bool known; /* record is what stood at the last read or write */
		struct ha_arbiter record;
		uint64_t floor_epoch, floor_lsn;
		int error; /* of the last read */
		bool read_busy, read_again;
		uint64_t reads_started, reads_done, read_ms;
		enum ha_write write;
		bool unknown, read_back;
		bool unwritten; /* the last write failed */
		uint64_t read_back_ticket;
		struct ha_arbiter next;
		enum ha_outcome outcome;
		uint64_t floor_sent_lsn, floor_ms;
		uint64_t retry_ms;
	} arb;

	/* peer: facts */
	struct {
		bool known, process_up, node_up;
		uint64_t incarnation;
		uint64_t lost_ms; /* its node left the membership at; 0: it has not */
	} peer;
	bool quorate, fence_ok, fence_failed;
	char fence_why[160]; /* of the one that failed, may be empty */
	uint64_t fence_incarnation;

	/* link */
	uint64_t conn; /* 0: none */
	uint64_t heard_ms, beat_ms, nonce, hello_nonce;
	struct {
		bool known, answer; /* answer: to the hello of this time as active */
		uint8_t role, dstate;
		uint64_t incarnation, epoch, log_epoch, tail_lsn, commit_lsn, store_lsn;
		struct pr_hash tail_hash;
		unsigned history_count;
		struct ha_history history[HA_HISTORY_MAX];
	} his;
	uint64_t heard_epoch; /* the highest that the peer said it has been in */
	uint64_t his_nonce;
	bool answer_owed; /* an active waits for my hello */
	uint64_t answer_nonce;

	/* active: the session */
	struct {
		bool opening, open;
		uint8_t kind;
		uint64_t link, acked_lsn, next_lsn, base_lsn, opened_ms, progress_ms;
		uint64_t told_commit_lsn;
		unsigned window_batches;
		uint64_t window_bytes;
		struct {
			uint64_t lsn;
			uint32_t bytes;
		} window[HA_FLIGHT_MAX + HA_WINDOW_BATCHES];
	} s;
	uint64_t links; /* sessions ever opened by this process */
	uint64_t lease_end_ms;
	bool lease_lapsed;
	bool require_ack;
	bool peer_unfit; /* FROZEN: the peer came back with a log that T3 cannot use */
	bool peer_slow;
	bool path_dead; /* the last session brought it nothing, though it was there: small frames pass, others do not */
	uint64_t frozen_ms, commit_ms;
	enum ha_alone_step t4;
	enum ha_resync_step rs;
	struct {
		uint64_t lo, asked_lsn, step, nonce;
		struct ha_mark mark;		     /* the peer's, to be compared with mine */
		bool force_copy, rows_busy;	     /* rows_busy: a range is being read here */
		bool rows_held, rows_out, rows_last; /* read and not sent; sent and not confirmed */
		bool peer_insync;
		uint64_t streamed_bytes, rows_lsn, goal_lsn, fork_lsn, barrier_lsn, started_ms,
			done_bytes, total_bytes;
		struct pr_hash rows_hash;
		uint8_t *rows_p; /* the range held */
		uint32_t rows_len;
		uint64_t near_ms, barrier_ms, barrier_not_before_ms;
		uint64_t not_before_ms, backoff_ms, slow_ms, synced_ms;
		uint64_t drops_ms[HA_DROPS_AN_HOUR];
	} re;
	enum ha_switch_step sw;
	uint64_t sw_ticket, sw_retry_ms;
	bool sw_demote, drained;
	uint64_t alone_since_ms, alone_lsn;

	/* standby: the session */
	struct {
		bool open;
		uint8_t kind;
		uint64_t conn, epoch, link, base_lsn, goal_lsn, common_lsn;
		struct pr_hash base_hash;
		uint64_t echo_ms, acked_lsn;
		bool insync_asked;
		uint64_t insync_lsn;
	} r;
	enum ha_target_step tg;
	uint64_t tg_ticket;
	enum ha_rows_step rows;
	unsigned rows_busy; /* BEGIN, PUT, END not yet answered */
	bool rows_begun, rows_last, rows_kept;
	int rows_error;
	uint64_t rows_bytes;
	bool rows_full;
	uint64_t
		apply_need_lsn; /* the batch to be applied next ends here: wait until the goal covers it */
	bool outdate_owed;
	uint64_t outdate_epoch;

	/* promotion */
	enum ha_promote_step p;
	bool p_ordered, p_override, p_session_ended, preempt_busy, preempt_done;
	bool hold_owed; /* heir: the old active's hold on the LUNs is still to be taken */
	int preempt_error;
	uint64_t p_ticket, p_read, p_since_ms, p_ended_ms, p_wait_ms;
	bool p_asked_promise, p_asked_fence;
	unsigned p_tries;
	uint64_t promise_epoch; /* the peer promised me this epoch; 0: none */
	bool promise_refused;
	char promise_why[256];
	uint64_t vote_epoch; /* I promised the peer this epoch; 0: none */
	struct {
		uint64_t epoch, lsn, incarnation;
	} heir;
	uint64_t heir_poll_ms;
	uint64_t quarantine_ms; /* a write failed: dying once QUARANTINED is saved; 0: no */

	unsigned alarms;
	int score, score_said;
	uint64_t deadline_ms, timer_ms;
	struct ha_status st;
};

/* ha.c: effects */
void *ha_alloc(struct ha *, size_t);
struct ha_effect *ha_emit(struct ha *, enum ha_effect_type);
const char *ha_text(struct ha *, const char *format, ...) __attribute__((format(printf, 2, 3)));
void ha_alarm(struct ha *, enum ha_alarm, bool on);
void ha_die(struct ha *, const char *text);
void ha_fetch(struct ha *, enum ha_fetch, uint64_t lsn);
void ha_result(struct ha *, uint64_t ticket, int error, const char *text);
void ha_append(struct ha *, struct jr_batch *);
void ha_damaged(struct ha *, const char *why);
void ha_set_mode(struct ha *, enum ha_mode);
void ha_note_deadline(struct ha *, uint64_t at_ms);

static inline uint8_t ha_bit(uint8_t node)
{
	return (uint8_t)(1u << (node - 1));
}

static inline uint8_t ha_peer_node(const struct ha *h)
{
	return (uint8_t)(3 - h->cfg.node);
}

static inline bool ha_is_member(const struct ha *h, uint8_t node)
{
	return h->arb.known && (h->arb.record.members & ha_bit(node));
}

static inline uint64_t ha_min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t ha_max(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* ha_state.c: what is persisted */
void ha_save(struct ha *);	  /* state changed: bring it to disk */
bool ha_saved(const struct ha *); /* all that was asked to be saved is */
void ha_state_saved(struct ha *, int error);
void ha_history_push(struct ha *, uint64_t epoch, uint64_t first_lsn, uint8_t members,
		     uint8_t reason);
uint64_t ha_history_epoch_at(const struct ha *, uint64_t lsn);

/* ha_record.c: traffic with the arbiter */
uint64_t ha_arb_read(struct ha *); /* a read that starts now or later; its ticket */
bool ha_arb_was_read(const struct ha *, uint64_t ticket);
bool ha_arb_fails(const struct ha *); /* the last look, or the last write */
bool ha_arb_free(const struct ha *);  /* no write is on its way */
void ha_arb_cas(struct ha *, uint64_t epoch, uint8_t members, uint8_t active);
void ha_arb_event(struct ha *, const struct ha_event *);
bool ha_run_arbiter(struct ha *);
bool ha_vote_binds(const struct ha *);

/* ha_link.c */
void ha_link_event(struct ha *, const struct ha_event *);
void ha_link_close(struct ha *);
void ha_send_hello(struct ha *);
void ha_send_beat(struct ha *);
void ha_send_batch(struct ha *, struct jr_batch *);
bool ha_run_link(struct ha *);

#define HA_SEND(h, NAME, name, ...)                                               \
	do {                                                                      \
		struct pr_##name ha_m_ = {__VA_ARGS__};                           \
		struct pr_buf ha_b_ = ha_send_begin(h, pr_##name##_size(&ha_m_)); \
		int ha_r_ = pr_##name##_encode(&ha_b_, &ha_m_);                   \
		ASSERT(ha_r_ == 0);                                               \
		ha_send_end(h, PR_T_##NAME, &ha_b_, NULL);                        \
	} while (0)
struct pr_buf ha_send_begin(struct ha *, size_t bytes);
void ha_send_end(struct ha *, uint16_t type, struct pr_buf *, struct jr_batch *);

/* ha_active.c */
bool ha_run_active(struct ha *);
void ha_session_lost(struct ha *);
void ha_session_open(struct ha *, uint8_t kind, uint64_t base_lsn, const struct pr_hash *,
		     uint64_t goal_lsn);
void ha_on_session_ok(struct ha *, const struct pr_link_session_ok *);
void ha_on_ack(struct ha *, const struct pr_link_ack *);
void ha_on_submit(struct ha *, struct jr_batch *);
void ha_become_active(struct ha *, enum ha_mode);
void ha_own_record(struct ha *, uint8_t kind);
bool ha_commit(struct ha *);
void ha_go_alone(struct ha *); /* ALONE begins: acks are no longer required */
bool ha_peer_fenced(const struct ha *);

/* ha_switch.c: T8 */
bool ha_run_switch(struct ha *);
void ha_switch_failed(struct ha *, const char *why);
void ha_on_switchover(struct ha *, uint64_t ticket, bool demote);

/* ha_resync.c: T5, T6 as the source */
uint64_t ha_history_bound(const struct ha *);
bool ha_run_resync(struct ha *);
bool ha_resync_near(const struct ha *); /* the peer lacks little, and is being sent it */
void ha_resync_stop(struct ha *);
void ha_resync_fetched(struct ha *, enum ha_fetch, struct jr_batch *);
void ha_on_fork(struct ha *, const struct pr_link_fork *);
void ha_on_rows(struct ha *, const struct ha_event *);
void ha_on_rows_ok(struct ha *, const struct pr_link_rows_ok *);
void ha_on_insync_ok(struct ha *, const struct pr_link_insync_ok *);
void ha_stream(struct ha *);
void ha_stream_send(struct ha *, struct jr_batch *);

/* ha_standby.c */
bool ha_run_standby(struct ha *);
void ha_standby_end(struct ha *); /* P0: from here no batch is accepted or acked */
void ha_on_session(struct ha *, const struct pr_link_session *);
void ha_on_batch(struct ha *, const struct pr_link_batch *);
void ha_on_rows_put(struct ha *, const struct pr_link_rows *);
void ha_on_rows_applied(struct ha *, int error);
void ha_on_insync(struct ha *, const struct pr_link_insync *);
void ha_on_outdate(struct ha *, const struct pr_link_outdate *);
bool ha_run_apply(struct ha *);
void ha_apply_fetched(struct ha *, struct jr_batch *);
void ha_target_fetched(struct ha *, struct jr_batch *);

/* ha_promote.c */
bool ha_run_promote(struct ha *);
void ha_on_promote(struct ha *, uint64_t ticket, bool override);
void ha_promote_cancel(struct ha *, int error, const char *why);
void ha_on_promise_ask(struct ha *, const struct pr_link_promise_ask *);
void ha_on_promise(struct ha *, const struct pr_link_promise *);
void ha_on_handover(struct ha *, const struct pr_link_handover *);
void ha_score(struct ha *);
