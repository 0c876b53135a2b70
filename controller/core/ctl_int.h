/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The inside of the controller core, for its own files only. ctl.c takes the event and gives the effects; ctl_pair.c joins the pair
 * core and the journal; batch.c gathers records; reply.c holds replies back until what they saw is committed; session.c and
 * ctl_held.c know the clients; ctl_op.c runs requests, ctl_kinds.c says what each is; boot.c loads, ctl_flush.c flushes; ctl_admin.c answers.
 */
#pragma once
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "controller/core/ctl.h"
#include "controller/core/ns.h"
#include "controller/core/tx_rows.h"

enum {
	CTL_CONN_BUCKETS = 4096,
	CTL_SESSION_BUCKETS = 4096,
	CTL_HELD_BUCKETS = 65536,
	CTL_OPS_MAX = 65536,	  /* parked; more are answered BUSY */
	CTL_MISSES_MAX = 16,	  /* of an operation, before the rows it read are kept for it */
	CTL_QUEUE_MAX = 64 << 20, /* bytes a connection does not take: it is closed */
	CTL_INO_RANGE = 4096,	  /* reserved at once in the volume row */
	CTL_TICK_MS = 200,	  /* leases and recalls are looked at this often */
	CTL_RING_MS = 5,	  /* so soon the journal's ring names what is durable */
	CTL_RECALL_MS =
		30000, /* a client that answers pings but returns no layout is fenced after this */
	CTL_SPACE_WAIT_MS = 3000, /* an operation waits so long for resting blocks */
	CTL_WORK_STEPS = 128,	  /* rows looked at by one ctl_work: some 30 us */
	CTL_NOTE_TIME_MS = 1000,  /* the chosen time enters the meta row this often */
};
#define CTL_ADMIN_TICKET  (UINT64_C(1) << 63) /* an order to the pair core that mdcctl asked for */
#define CTL_CLOCK_STEP_NS INT64_C(5000000000)

/* ---- lists ---- */
struct ctl_link {
	struct ctl_link *prev, *next;
};

static inline void ctl_link_init(struct ctl_link *l)
{
	l->prev = l->next = l;
}
static inline bool ctl_link_empty(const struct ctl_link *l)
{
	return l->next == l;
}
static inline void ctl_link_add(struct ctl_link *head, struct ctl_link *l)
{
	l->prev = head->prev;
	l->next = head;
	head->prev->next = l;
	head->prev = l;
}
static inline void ctl_link_del(struct ctl_link *l)
{
	l->prev->next = l->next;
	l->next->prev = l->prev;
	ctl_link_init(l);
}
/* Moves all of from to the end of to. */
static inline void ctl_link_splice(struct ctl_link *to, struct ctl_link *from)
{
	if (ctl_link_empty(from))
		return;
	from->next->prev = to->prev;
	to->prev->next = from->next;
	from->prev->next = to;
	to->prev = from->prev;
	ctl_link_init(from);
}
#define CTL_OF(type, member, link) ((type *)((char *)(link)-offsetof(type, member)))
/* ---- connections ---- */
struct ctl_bytes {
	uint8_t *p;
	size_t len, cap;
};
struct ctl_wait {
	uint64_t lsn;
	size_t end;
};

struct ctl_conn {
	struct ctl_link all;
	struct ctl_link ready;	 /* has something to send */
	uint64_t stamp_epoch;	 /* of the frames in now and wait */
	struct ctl_link waiting; /* has replies that wait for a commit */
	struct ctl_link of_session;
	struct ctl_conn *chain;
	uint64_t id;
	bool greeted, closing;
	uint8_t channel; /* PR_CH_ACCESS, PR_CH_COORD, 0 both */
	struct pr_uuid client;
	char volume[64];
	char host[256], peer[64];
	struct ctl_session *session;
	bool carries;		 /* the session's requests: the connection that was bound last */
	struct ctl_bytes free;	 /* may leave at any time */
	struct ctl_bytes now;	 /* may leave while this controller may reply */
	struct ctl_bytes wait;	 /* frames in the order of the commits they wait for */
	struct ctl_bytes flying; /* what the last SEND named */
	struct ctl_wait *waits;
	uint32_t wait_first, wait_count, wait_cap;
	size_t wait_start;
};

/* ---- sessions and what they hold ---- */
struct ctl_slot {
	uint64_t sequence;   /* stored */
	struct ctl_op *busy; /* an operation of this slot that waits for something */
	bool known;	     /* false: the row has to be read */
	bool refused;	     /* what may be stored was, with BUSY: it comes again */
};

/* Of a request with this sequence: it may have been executed, and is answered from the slot's row then. */
static inline bool ctl_may_be_stored(const struct ctl_slot *slot, uint64_t sequence)
{
	return !slot->known || sequence <= slot->sequence;
}

struct ctl_session {
	struct ctl_link all;
	struct ctl_link conns, held;
	struct ctl_session *chain;
	uint64_t id, lsn; /* lsn: of its row's last change */
	struct pr_uuid client;
	uint16_t volume;
	uint32_t slot_count, key, flags;
	uint8_t fence;
	char host[256], what[256];
	uint32_t pid;
	int64_t opened_ns;
	struct ctl_slot *slots;
	uint64_t lease_ms;	/* its lease ends then, by served_ms */
	uint64_t rebind_ms;	/* if it is not back then, by served_ms, it is fenced */
	bool rebound;		/* to this active, since it serves */
	bool was_bound;		/* to this active, at any time: what it holds may be new */
	bool settling;		/* bound, and what it asks again may still be on its way */
	bool evicted;		/* an administrator ends it */
	uint64_t bind_sequence; /* of the latest open or bind; an earlier one comes too late */
	bool binding;		/* more parts of a bind are to come */
	bool ending;		/* a close or a fence is under way */
	bool fencing;		/* FENCE_CLIENT was asked */
	uint64_t fence_retry_ms;
};

/* What one session holds of one inode. Volatile; told again at a bind. */
struct ctl_held {
	struct ctl_link of_session;
	struct ctl_held *chain;
	struct ctl_session *session;
	uint64_t ino, generation;
	uint64_t recalled_ms; /* 0: not recalled; when it was first, by recall_ms */
	uint64_t recall_sent_ms;
	uint32_t opens;
	uint16_t volume;
	uint8_t mode; /* PR_LAYOUT_* */
	bool wrote;   /* a write layout was granted: there may be blocks beyond the end */
};

/* What waits to be given back is looked through from the first to the last, a record at a time. */
struct ctl_scan {
	bool wanted; /* from the first on */
	bool more;   /* it goes on */
	bool held;   /* the gate kept something back */
};

struct ctl_volume {
	struct ctl_volume *next;
	uint16_t id;
	struct pr_uuid uuid;
	char name[64];
	uint64_t root;
	uint32_t block_bytes;
	uint64_t next_ino, ino_limit,
		pending_limit; /* handed out next; reserved; reserved by the operation that runs */
	uint32_t sessions;
	struct ctl_scan reap, rest; /* of the inodes without a name, of the blocks that rest */
	bool rest_next;
	/* inodes from here on were made by this active: no session from before holds any */
	uint64_t served_ino;
	struct ns_hint hint, hint_before; /* before: where the step of a scan that runs began */
};

/* ---- operations ---- */
enum {
	OP_WAIT = -100001, /* for somebody's layout or session; parks in the layout list */
	OP_BAD = -100002,  /* the request does not decode */
};

struct ctl_op;
typedef int (*ctl_run_fn)(struct ctl *, struct ctl_op *, struct tx *, struct pr_buf *out);

enum {
	KIND_SESSION = 1,  /* only within a bound session */
	KIND_MUTATES = 2,  /* may change rows: waits while nothing can be written */
	KIND_STORES = 4,   /* its reply is stored with the change */
	KIND_INTERNAL = 8, /* of the controller itself; nobody gets a reply */
	KIND_BOOT = 16,	   /* runs without being active */
};

struct ctl_kind {
	uint16_t type;
	uint8_t flags;
	ctl_run_fn run;
	/* After success, its record (if any) at lsn. status 0 and what run left in op; or a stored reply given again. */
	void (*done)(struct ctl *, struct ctl_op *, const struct pr_buf *out, uint64_t lsn);
	/* The stored reply is given again: what done needs is taken from it. */
	void (*again)(struct ctl_op *, struct pr_bytes reply);
	void (*failed)(struct ctl *, struct ctl_op *, int status);
};

struct ctl_op {
	struct ctl_link link; /* where it waits */
	const struct ctl_kind *kind;
	struct pr_frame frame;
	const uint8_t *p;
	uint64_t conn, session;
	uint16_t volume;
	bool parked;  /* in memory of its own */
	bool changed; /* a part of it is a record already */
	bool space_tried;
	bool stepped;	  /* a step of a scan has run */
	uint32_t missing; /* fetches it waits for */
	uint32_t misses;  /* how often it did */
	uint64_t since_ms, ticket;
	/* what run leaves for done */
	uint64_t ino, generation, arg;
	uint32_t opens;
	uint8_t mode;
	char *text; /* of an admin command, owned */
};

struct ctl_admin_wait {
	uint64_t ticket, lsn;
	struct ctl_bytes json;
};

struct ctl_chunk {
	struct ctl_chunk *next;
	size_t used, cap;
	uint8_t b[];
};

struct ctl {
	struct ctl_config cfg;
	struct ha *ha;
	struct jr *jr;
	struct rowset *rows;
	struct tx_priv *txp;
	struct ctl_op *keeper; /* the operation whose rows are kept in memory */

	/* this event */
	uint64_t now_ms, random;
	int64_t real_ns;

	/* effects */
	struct ctl_effect *fx;
	size_t fx_first, fx_count, fx_cap;
	struct ctl_chunk *step_mem;

	/* boot and role */
	bool booted, loaded, dead;
	bool opened; /* the journal */
	struct jr_event journal_opened;
	struct ha_state boot_state;
	int boot_error;
	uint64_t store_lsn;
	bool copying;	       /* a full copy fills another store */
	bool copy_end;	       /* it was adopted; the rows are being loaded */
	bool copy_begin_waits; /* for the flush in flight */
	bool serving, hold, drain, drained;
	enum pr_role told_role;
	uint64_t told_epoch;
	uint64_t serving_epoch, serving_since_ms, first_op_ms, heard_peer_ms, detect_ms;

	/* time */
	int64_t last_ns;
	bool clock_told;
	uint64_t meta_noted_ms;
	struct pr_row_meta meta;
	bool meta_known;

	/* journal */
	uint64_t applied, commit, released, flushed;
	struct jr_batch **appends; /* not yet taken by the journal */
	uint32_t append_first, append_count, append_cap;

	/* open batch */
	uint8_t *batch;
	struct pr_buf open;
	uint64_t open_first, submitted;
	uint32_t open_count;
	bool batch_full; /* an operation found no room in the open batch */
	bool no_room;	 /* the journal was full when last looked */
	bool rows_full;	 /* so the pair core was told */

	/* flush */
	struct ctl_flush *flush;
	uint64_t flush_lsn, flush_due_ms;
	bool flush_out;

	/* operations */
	struct ctl_link missing, blocked, ready_ops, layout_waits, space_waits;
	uint32_t parked;
	uint8_t *reply;
	char why[512];
	bool reaping; /* a reap or rest job runs */
	struct ns_gate gate;

	/* clients */
	struct ctl_conn *conn_buckets[CTL_CONN_BUCKETS];
	struct ctl_link conns, ready, waiting, graves;
	struct ctl_session *session_buckets[CTL_SESSION_BUCKETS];
	struct ctl_link sessions;
	uint32_t session_count, unbound; /* unbound: known, not rebound to this active */
	uint32_t settling;		 /* sessions that are */
	struct ctl_held *held_buckets[CTL_HELD_BUCKETS];
	struct ctl_held *held_free;
	uint64_t generation;
	struct ctl_volume *volumes, *reap_turn; /* reap_turn: whose scan goes on next, or NULL */

	/* timers */
	uint64_t ha_timer_ms, ring_due_ms, timer_told_ms, tick_ms;
	uint64_t served_ms; /* so long has it served: what leases run on */
	uint64_t
		recall_ms; /* and so long has it also committed what there was: what recalls run on */
	uint64_t recall_tick_ms, recall_tick_commit; /* served_ms and commit at the last look */
	uint32_t recalls;			     /* held layouts that were recalled */
	struct ctl_admin_wait *admin_waits;
	uint32_t admin_wait_count, admin_wait_cap;

	uint64_t count_ops, count_records, count_batches, count_misses, count_replayed;
};

/* ---- ctl.c ---- */
struct ctl_effect *ctl_emit(struct ctl *, enum ctl_effect_type);
void *ctl_step_alloc(struct ctl *, size_t bytes); /* valid until the next ctl_step */
const uint8_t *ctl_step_copy(struct ctl *, const void *p, size_t bytes);
const char *ctl_step_text(struct ctl *, const char *);
void ctl_log(struct ctl *, int level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void ctl_why(struct ctl *, const char *format, ...) __attribute__((format(printf, 2, 3)));
int64_t ctl_choose_time(struct ctl *);
enum pr_role ctl_role(const struct ctl *);
void ctl_active_address(struct ctl *, struct pr_bytes *ret);
struct ctl_volume *ctl_volume_find(struct ctl *, uint16_t id);
struct ctl_volume *ctl_volume_by_name(struct ctl *, const char *name);
/* A row that the core keeps in mind changed. value.p NULL: deleted. */
void ctl_derive(struct ctl *, struct pr_bytes key, struct pr_bytes value, uint64_t lsn);
void ctl_derive_tx(struct ctl *, struct tx *, uint64_t lsn);
void ctl_forget_derived(struct ctl *);
void ctl_bytes_add(struct ctl_bytes *, const void *p, size_t len);

/* ---- ctl_pair.c ---- */
bool ctl_pair_run(
	struct ctl *); /* all events and orders of journal and pair; true: something happened */
void ctl_pair_event(struct ctl *, struct ha_event *);
void ctl_pair_link(struct ctl *, const struct ctl_event *);
void ctl_serve_end(struct ctl *);

/* ---- boot.c ---- */
void ctl_boot(struct ctl *, const struct ctl_event *);
void ctl_load(struct ctl *); /* volumes, sessions, meta out of the store */
void ctl_boot_go_on(struct ctl *);

/* ---- batch.c ---- */
bool ctl_can_write(struct ctl *);
/* Make the tx a record; *ret_lsn. 0; -EAGAIN: no room now; -EMSGSIZE: larger than any batch. Applies it. */
int ctl_batch_add(struct ctl *, struct tx *, const struct ctl_op *, uint64_t *ret_lsn);
uint64_t ctl_batch_next_lsn(const struct ctl *);
void ctl_admin_shift(struct ctl *, uint64_t from, uint64_t delta);
void ctl_batch_follow(struct ctl *);
bool ctl_batch_close(struct ctl *, bool force);
void ctl_batch_forget(struct ctl *);

/* ---- reply.c ---- */
struct ctl_conn *ctl_conn_find(struct ctl *, uint64_t id);
void ctl_conn_up(struct ctl *, const struct ctl_event *);
void ctl_conn_down(struct ctl *, uint64_t id);
void ctl_conn_close(struct ctl *, struct ctl_conn *);
void ctl_conns_bury(struct ctl *); /* what was closed in the last step */
enum ctl_gate { GATE_FREE, GATE_COMMIT };
void ctl_send(struct ctl *, struct ctl_conn *, struct pr_frame *, const void *payload, uint32_t len,
	      enum ctl_gate);
/* An answer to f; status 0: payload is the reply's; else an error with the text of ctl_why or the status's own. */
void ctl_reply(struct ctl *, struct ctl_conn *, const struct pr_frame *f, int status,
	       const void *payload, uint32_t len, uint64_t lsn, enum ctl_gate);
void ctl_replies_committed(struct ctl *);
void ctl_replies_free(struct ctl *); /* the role was handed over: all here is committed */
void ctl_replies_shift(struct ctl *, uint64_t from, uint64_t delta);
void ctl_replies_drop(
	struct ctl_conn *); /* what waits to leave there and says what an operation did */
void ctl_sends(struct ctl *);

/* ---- session.c ---- */
void ctl_hello(struct ctl *, struct ctl_conn *, const struct pr_frame *, const uint8_t *p);
void ctl_ping(struct ctl *, struct ctl_conn *, const struct pr_frame *, const uint8_t *p);
void ctl_bind(struct ctl *, struct ctl_conn *, const struct pr_frame *, const uint8_t *p);
struct ctl_session *ctl_session_find(struct ctl *, uint64_t id);
void ctl_session_row(struct ctl *, uint64_t id, const struct pr_row_session *, uint64_t lsn);
void ctl_session_gone(struct ctl *, struct ctl_session *, const char *reason);
void ctl_session_attach(struct ctl *, struct ctl_session *, struct ctl_conn *, bool alone);
void ctl_session_detach(struct ctl *, struct ctl_conn *);
void ctl_session_unbind(struct ctl *, struct ctl_session *); /* connections and holdings */
void ctl_served(struct ctl *, uint64_t now_ms);
void ctl_sessions_serve(struct ctl *);
void ctl_sessions_tick(struct ctl *);
/* An administrator ends it: behind a fence unless it holds nothing for sure. 0; -EALREADY: it is ending. */
int ctl_session_evict(struct ctl *, struct ctl_session *);
/* What it is at, for humans: live, lost, not back, ending, being fenced. */
const char *ctl_session_state(const struct ctl_session *);
uint64_t ctl_session_lease_left_ms(const struct ctl *, const struct ctl_session *);
void ctl_client_fenced(struct ctl *, uint64_t session, int error);
void ctl_fences_ask(struct ctl *);
void ctl_notices(struct ctl *);
int run_session_open(struct ctl *, struct ctl_op *, struct tx *, struct pr_buf *out);
int run_session_close(struct ctl *, struct ctl_op *, struct tx *, struct pr_buf *out);
void done_session_open(struct ctl *, struct ctl_op *, const struct pr_buf *out, uint64_t lsn);
int run_session_end(struct ctl *, struct ctl_op *, struct tx *, struct pr_buf *out);
int run_session_fence(struct ctl *, struct ctl_op *, struct tx *, struct pr_buf *out);

/* ---- ctl_held.c ---- */
struct ctl_held *ctl_held_find(struct ctl *, const struct ctl_session *, uint64_t ino);
struct ctl_held *ctl_held_make(struct ctl *, struct ctl_session *, uint64_t ino);
void ctl_held_drop(struct ctl *, struct ctl_held *);
void ctl_held_drop_all(struct ctl *, struct ctl_session *);
bool ctl_session_holds_layouts(const struct ctl_session *);
/* May this session do this to the inode? PR_LAYOUT_READ: only others' write layouts are in the way; WRITE: any. Recalls what is. */
bool ctl_held_free(struct ctl *, const struct ctl_session *, uint16_t volume, uint64_t ino,
		   uint8_t mode);
void ctl_held_open(struct ctl *, uint64_t session, uint64_t ino, uint32_t opens);
void ctl_held_close(struct ctl *, uint64_t session, uint64_t ino, uint32_t opens);
void ctl_held_grant(struct ctl *, uint64_t session, uint64_t ino, uint8_t mode,
		    uint64_t generation);
void ctl_held_return(struct ctl *, uint64_t session, uint64_t ino, uint64_t generation);
void ctl_held_tick(struct ctl *);
void ctl_layouts_moved(
	struct ctl *); /* somebody gave something back: who waits for layouts tries again */
/* Somebody has it open or holds a layout of it, or may, not having rebound. */
bool ctl_in_use(struct ctl *, uint16_t volume, uint64_t ino);
bool ctl_may_reap(void *ctl, uint16_t volume, uint64_t ino);
bool ctl_may_reuse(void *ctl, uint16_t volume, uint64_t ino, uint64_t since_lsn);

/* ---- ctl_op.c, ctl_kinds.c ---- */
const struct ctl_kind *ctl_kind_of(const struct pr_frame *, const uint8_t *p);
extern const struct ctl_kind ctl_kind_load, ctl_kind_reap, ctl_kind_rest, ctl_kind_trim,
	ctl_kind_end, ctl_kind_fence, ctl_kind_admin, ctl_kind_admin_change;
void ctl_frame(struct ctl *, const struct ctl_event *);
void ctl_op_run(struct ctl *, struct ctl_op *);
void ctl_ops_run(struct ctl *); /* all that are ready */
void ctl_ops_unblock(struct ctl *);
void ctl_ops_abandon(struct ctl *);		     /* the active role is over */
void ctl_ops_forget(struct ctl *, uint64_t session); /* what is parked, unanswered */
void ctl_ops_wake(void *ctl, void *op);
struct ctl_op *ctl_job(struct ctl *, const struct ctl_kind *, uint16_t volume, uint64_t arg);

/* ---- ctl_flush.c ---- */
void ctl_flush_step(struct ctl *);
void ctl_flush_maybe_freeze(struct ctl *, uint64_t boundary);
bool ctl_flush_wanted(const struct ctl *);
void ctl_flushed(struct ctl *, uint64_t lsn, int error);
void ctl_fetches(struct ctl *);
void ctl_rows(struct ctl *, const struct ctl_event *);
void ctl_background(struct ctl *); /* reaping */
int run_reap(struct ctl *, struct ctl_op *, struct tx *, struct pr_buf *out);
int run_rest(struct ctl *, struct ctl_op *, struct tx *, struct pr_buf *out);

/* ---- ctl_admin.c ---- */
void ctl_admin(struct ctl *, const struct ctl_event *);
void ctl_admin_committed(struct ctl *);
void ctl_admin_order(struct ctl *, uint64_t ticket, int error, const char *text);
int run_admin(struct ctl *, struct ctl_op *, struct tx *, struct pr_buf *out);
void done_admin(struct ctl *, struct ctl_op *, const struct pr_buf *out, uint64_t lsn);
void failed_admin(struct ctl *, struct ctl_op *, int status);
int run_load(struct ctl *, struct ctl_op *, struct tx *, struct pr_buf *out);
void done_load(struct ctl *, struct ctl_op *, const struct pr_buf *out, uint64_t lsn);
