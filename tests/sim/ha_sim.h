/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The pair core under a seeded world: two cores (the real objects), a log, a store and a state file each, one arbiter LUN whose late
 * writes land blindly, a link that loses, delays and repeats, a supervisor whose waitpid proves a death, and one client. Everything
 * that can fail does, for a while; after every step the invariants of the pair must hold, and when the faults stop the pair must
 * come back to SYNC and serve. The first thing that is wrong ends the seed by hs_fail, which does not return.
 */
#pragma once
#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include "ha/core/ha.h"

typedef unsigned long long ull;
enum {
	HS_SLOTS = 6,
	HS_LOG_MAX = 1 << 16,
	HS_ARB_WRITES = 16,
	HS_QUEUE_MAX = 64,
};

struct hs_rows {
	uint64_t lsn;
	/* of each slot the last operation, and the LSN of its reply */
	uint64_t seq[HS_SLOTS], at[HS_SLOTS];
};

struct hs_log {
	uint64_t base_lsn, base_epoch;
	struct pr_hash base_hash;
	struct jr_batch *batch[HS_LOG_MAX];
	unsigned count, damaged; /* damaged: index + 1 */
};

struct hs_node {
	uint8_t id;
	bool up;
	uint64_t incarnation;
	struct ha *ha;
	uint64_t linked; /* the connection that it was told of, and not yet of its end; 0: none */
	/* on disk */
	struct hs_log log;
	uint8_t state[HA_STATE_BYTES];
	bool has_state;
	struct hs_rows disk;
	uint64_t persisted_epoch;
	/* being written */
	struct jr_batch *append[HS_QUEUE_MAX];
	unsigned appends;
	uint64_t append_free_us;
	uint8_t state_next[HA_STATE_BYTES];
	bool state_busy;
	/* full copy */
	struct hs_rows copy;
	bool copying;
	unsigned read_slot;
	/* in memory */
	struct hs_rows rows;	   /* committed */
	struct hs_rows view;	   /* active: with what is submitted */
	struct jr_batch *mine[64]; /* active: submitted, not committed */
	unsigned mines;
	bool serving, draining, hold, drained;
	struct {
		bool waiting;
		uint64_t seq;
	} want[HS_SLOTS];
	struct {
		bool waiting;
		uint64_t seq, at, lsn;
	} owe[HS_SLOTS];
	bool disk_slow;
	int score;
};

enum hs_event_kind {
	HS_TIMER,
	HS_APPENDED,
	HS_SAVED,
	HS_FETCHED,
	HS_CUT,
	HS_REPAIRED,
	HS_ARB_READ,
	HS_ARB_LAND,
	HS_ARB_ANSWER,
	HS_ARB_FLOOR,
	HS_PREEMPTED,
	HS_LINK_UP,
	HS_LINK_MSG,
	HS_ROWS,
	HS_ROWS_APPLIED,
	HS_PEER,
	HS_FENCE,
	HS_PROMOTE,
	HS_FLUSH,
	HS_CLIENT,
	HS_FAULT,
	HS_SUPER,
	HS_RESTART,
	HS_REQUEST,
	HS_REPLY,
	HS_DRAIN,
	HS_CONNECT,
	HS_SWITCH,
	HS_NODE_DOWN,
	HS_HEAL,
	HS_PART,
};

struct hs_event {
	uint64_t at_us, order;
	enum hs_event_kind kind;
	uint8_t node;	      /* 0..1 */
	uint64_t incarnation; /* of the process it is for; 0: the world */
	uint64_t a, b;
	struct jr_batch *batch;
	uint8_t *p;
	uint32_t len;
	uint16_t type;
	int error;
	bool flag, flag2;
	struct ha_arbiter arb;
};

extern struct hs_world {
	uint64_t rng, now_us, order, end_faults_us, steps;
	struct hs_node node[2];
	struct hs_event *heap;
	unsigned heap_n, heap_cap;
	/* link */
	uint64_t conn;
	bool conn_up[2]; /* known to the node */
	bool cut[2];	 /* direction from node i */
	bool stalled[2]; /* of this connection: lost bytes stop it for good */
	uint64_t last_us[2];
	/* arbiter */
	struct ha_arbiter arb;
	uint64_t floor_epoch, floor_lsn;
	bool arb_down;
	struct {
		bool used;
		uint8_t node;
		uint64_t incarnation;
		struct ha_arbiter next;
		uint64_t id;
		bool checked;
	} write[HS_ARB_WRITES];
	uint64_t write_id;
	/* supervisor */
	uint64_t ticket, order_ticket, order_us;
	uint8_t order_node;
	bool keyless; /* this seed's LUN has neither locks nor keys that two hosts share: two who live may write at once */
	bool wrong; /* this seed's operator confirms fences of the living; the LUN's keys still hold */
	uint64_t wrong_incarnation[2], locked_out[2];
	uint64_t next_order_us[2];
	/* client */
	struct {
		uint64_t seq, sent_us;
		uint8_t to;
	} slot[HS_SLOTS];
	uint64_t replies;
	uint64_t replied_epoch;
	/* what the world knows to be acknowledged or committed */
	uint64_t acked_lsn, committed_lsn, alone_epoch;
	struct pr_hash acked_hash, committed_hash;
	uint8_t alone_node;
	bool faults;
	uint64_t fault_mask; /* each seed has some of them */
	/* time between faults, and until a dead process is started again */
	uint64_t calm_us, restart_us;
	unsigned kills, copies, switches, repairs, unknowns, forks, failovers;
	/* who served last; another one, or the same in another life, is a failover */
	uint8_t served_by;
	uint64_t served_life;
} world;

extern bool hs_trace;
extern jmp_buf hs_failed;
extern char hs_failure[512];
extern const uint8_t hs_cluster[16];

static inline unsigned hs_index(const struct hs_node *n)
{
	return (unsigned)(n - world.node);
}

static inline struct hs_node *hs_other(const struct hs_node *n)
{
	return &world.node[n == world.node];
}

static inline bool hs_is_member(const struct hs_node *n)
{
	return world.arb.members & 1u << hs_index(n);
}

/* ha_sim_world.c: the trace, chance and time. Events come out by time, those of the same time as they went in. */
void hs_say(const char *f, ...) __attribute__((format(printf, 1, 2)));
void hs_fail(const char *f, ...) __attribute__((format(printf, 1, 2), noreturn));
uint64_t hs_random(void);
uint64_t hs_upto(uint64_t n); /* below n */
bool hs_chance(unsigned permille);
/* The event is to be filled in by the caller, before the next call. */
struct hs_event *hs_later(uint64_t delay_us, enum hs_event_kind kind, unsigned node);
/* Lost when the process dies first. */
struct hs_event *hs_for_node(uint64_t delay_us, enum hs_event_kind kind, struct hs_node *n);
bool hs_pop(struct hs_event *ret);

/* ha_sim_log.c */
uint64_t hs_log_tail(const struct hs_log *l);
int hs_log_find(const struct hs_log *l, uint64_t lsn); /* index of its batch, or -1 */
uint64_t hs_log_commit(const struct hs_log *l);	       /* the last LSN it knows to be committed */
void hs_log_clear(struct hs_log *l);
bool hs_log_holds(const struct hs_log *l, uint64_t lsn, const struct pr_hash *hash);
bool hs_holds(const struct hs_node *n, uint64_t lsn, const struct pr_hash *hash);
void hs_rows_apply(struct hs_rows *r, const struct jr_batch *b);

/* ha_sim_node.c */
void hs_boot(struct hs_node *n);
void hs_die(struct hs_node *n);
void hs_step(struct hs_node *n, struct ha_event e);

/* ha_sim_check.c */
void hs_check(void);

/* ha_sim_effect.c */
void hs_effect(struct hs_node *n, struct ha_effect *fx);

/* ha_sim_disk.c: the journal and the state file. */
void hs_append(struct hs_node *n, struct jr_batch *b);
void hs_appended(struct hs_node *n, uint64_t lsn);
void hs_fetched(struct hs_node *n, const struct hs_event *e);
void hs_cut(struct hs_node *n, uint64_t lsn);
void hs_reset(struct hs_node *n, const struct ha_effect *fx);
void hs_cut_done(struct hs_node *n, const struct hs_event *e);
void hs_repaired(struct hs_node *n, const struct hs_event *e);
void hs_save(struct hs_node *n, const struct ha_state *state);
void hs_saved(struct hs_node *n, uint64_t epoch);

/* ha_sim_store.c: the store, its flush and the full copy. */
void hs_flush(struct hs_node *n);
void hs_rows_read(struct hs_node *n);
void hs_rows_begin(struct hs_node *n, uint64_t lsn);
void hs_rows_put(struct hs_node *n, const struct ha_effect *fx);
void hs_rows_end(struct hs_node *n, uint64_t lsn);

/* ha_sim_arbiter.c */
void hs_cas(struct hs_node *n, const struct ha_effect *fx);
void hs_cas_land(const struct hs_event *e);
void hs_preempt(struct hs_node *n);

/* ha_sim_link.c */
void hs_link_connect(void);
void hs_link_down(struct hs_node *n); /* this end of it */
void hs_link_reset(void);
void hs_link_send(struct hs_node *n, const struct ha_effect *fx);
void hs_link_message(struct hs_node *n, const struct hs_event *e);

/* ha_sim_super.c: who is dead, who shall be active. */
void hs_supervise(void);
void hs_peer_fact(struct hs_node *to, const struct hs_node *about, bool up);
void hs_node_down(struct hs_node *n);
void hs_fence(const struct hs_event *e);
void hs_order_result(struct hs_node *n, const struct ha_effect *fx);

/* ha_sim_serve.c: what the controller around the core does. */
void hs_serve(struct hs_node *n, uint64_t lsn);
void hs_stand_by(struct hs_node *n);
void hs_pump(struct hs_node *n); /* takes what waits into a batch, and replies */
void hs_own(struct hs_node *n, struct jr_batch *b);
void hs_committed(struct hs_node *n, uint64_t lsn);
void hs_apply(struct hs_node *n, struct jr_batch *b);

/* ha_sim_client.c */
void hs_client(void);
void hs_request(struct hs_node *n, const struct hs_event *e);
void hs_replied(const struct hs_event *e);
bool hs_settled(void); /* both up, in SYNC, one serves */

/* ha_sim_fault.c */
void hs_fault(void);
void hs_rogue_order(struct hs_node *n);
void hs_heal(const struct hs_event *e);
void hs_part(const struct hs_event *e);

/* ha_sim_event.c */
void hs_happen(struct hs_event *e);
