/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The controller core: one deterministic state machine that is a whole metadata controller. It joins the pair core (ha), the journal
 * core (jr), the rows, the namespace, sessions and layouts. ctl_step takes one event and never blocks; ctl_next gives what is to be
 * done, in order. No clock, no file, no socket, no thread: the daemon and the simulator drive the same object code.
 *
 * Memory named by an effect stays valid until the next ctl_step unless the comment says otherwise.
 */
#pragma once
#include "ha/core/ha.h"
#include "proto/frame.h"
#include "proto/key.h"

struct ctl;
struct ctl_flush;

struct ctl_config {
	struct ha_config ha;
	struct jr_config journal;
	uint64_t incarnation; /* of this process; differs at every start */
	char address[2][256]; /* what clients are told: of node 1 and node 2 */
	uint32_t lease_ms;    /* of client sessions */
	uint32_t sessions_max, slots_max;
	size_t cache_bytes;   /* clean rows kept */
	size_t overlay_bytes; /* dirty rows; half of it starts a flush, all of it is back-pressure */
	uint32_t flush_ms;    /* a flush is started at the latest after this */
	uint32_t batch_bytes_max;
};

enum ctl_event_type {
	CTL_EV_BOOT, /* state, error of the state's copies: 0, -ENOENT, -EUCLEAN; store_lsn */
	CTL_EV_TIMER,
	CTL_EV_PUMP, /* end of the edge's round over its sockets: close a batch if it is time */
	CTL_EV_CONN_UP,
	CTL_EV_CONN_DOWN, /* conn */
	CTL_EV_FRAME,	  /* conn, frame, p: a checked frame of a client connection */
	CTL_EV_LINK_UP,
	CTL_EV_LINK_DOWN,
	CTL_EV_LINK_FRAME,   /* conn; frame, p */
	CTL_EV_JOURNAL_IO,   /* tag, error */
	CTL_EV_ROWS,	     /* answer to FETCH: ticket, rows, row_count, complete, error */
	CTL_EV_FLUSHED,	     /* error; lsn */
	CTL_EV_COPY_ROWS,    /* answer to COPY_READ: p,len, lsn, last, done_bytes, total_bytes */
	CTL_EV_COPY_APPLIED, /* answer to COPY_BEGIN/PUT/END: error */
	CTL_EV_STATE_SAVED,
	CTL_EV_ARB_READ,
	CTL_EV_ARB_CAS,
	CTL_EV_ARB_FLOOR,
	CTL_EV_PREEMPTED, /* as HA_EV_*; error, arbiter, floor_lsn */
	CTL_EV_PEER,
	CTL_EV_FENCE,
	CTL_EV_PROMOTE,
	CTL_EV_DEMOTE,	      /* as HA_EV_* */
	CTL_EV_CLIENT_FENCED, /* session; error 0: proven silent */
	CTL_EV_ADMIN,	      /* ticket, text: a command line of mdcctl, admin_json */
};

struct ctl_row {
	struct pr_key key;
	const uint8_t *value;
	uint32_t bytes;
};

struct ctl_event {
	enum ctl_event_type type;
	uint64_t now_ms; /* CLOCK_BOOTTIME */
	int64_t real_ns; /* CLOCK_REALTIME */
	uint64_t random;
	uint64_t conn, tag, ticket, session, lsn, store_lsn, incarnation, done_bytes, total_bytes,
		floor_epoch, floor_lsn;
	int error;
	bool process_up, node_up, quorate, last, complete;
	const struct pr_frame *frame;
	const uint8_t *p;
	uint32_t len;
	const struct ctl_row *rows;
	uint32_t row_count;
	const struct ha_state *state;
	const struct ha_arbiter *arbiter;
	const char *text;
	const char *peer; /* CONN_UP: address of the client, for humans */
};

enum ctl_effect_type {
	CTL_FX_SEND, /* conn, p, len: whole frames, replies of a batch coalesced */
	CTL_FX_CLOSE, /* conn (client); after what was sent before it. It is forgotten here: no CONN_DOWN is wanted */
	CTL_FX_LINK_SEND, /* conn, p, len: frame header and fixed part; batch: its image follows as the last field (the taker owns a reference), or NULL */
	CTL_FX_LINK_CLOSE, /* conn */
	CTL_FX_JOURNAL_IO, /* io: valid until CTL_EV_JOURNAL_IO(tag) */
	CTL_FX_FETCH, /* ticket, fetch: rows wanted from the store, as of its last flush or any later one */
	CTL_FX_FLUSH, /* flush, lsn: write all its rows and lsn in one transaction; the handle may be read by another thread until FLUSHED */
	CTL_FX_COPY_READ,
	CTL_FX_COPY_BEGIN,
	CTL_FX_COPY_PUT,
	CTL_FX_COPY_END,  /* full copy: see HA_FX_ROWS_*; cookie, p, len, lsn */
	CTL_FX_COPY_KEEP, /* the store that stood before a full copy may go */
	CTL_FX_SAVE_STATE,
	CTL_FX_ARB_READ,
	CTL_FX_ARB_CAS,
	CTL_FX_ARB_FLOOR,
	CTL_FX_PREEMPT, /* as HA_FX_* */
	CTL_FX_ASK_FENCE,
	CTL_FX_SCORE,
	CTL_FX_ORDER_RESULT,
	CTL_FX_FENCE_CLIENT, /* session, key: take its key off every LUN, prove its writes over; answer CLIENT_FENCED */
	CTL_FX_ADMIN_REPLY, /* ticket, error, p, len: JSON text */
	CTL_FX_ROLE,	    /* role changed: for the log and the service manager */
	CTL_FX_TIMER,	    /* at_ms: wake me */
	CTL_FX_ALARM,	    /* alarm, on, text */
	CTL_FX_LOG,	    /* level (syslog), text */
	CTL_FX_DIE,	    /* text */
};

struct ctl_fetch {
	enum {
		CTL_FETCH_ONE,
		CTL_FETCH_FROM,
		CTL_FETCH_BEFORE
	} kind; /* exactly key; rows >= key in order; rows < key, backwards */
	struct pr_key key;
	uint16_t prefix_len; /* only rows that share this many first bytes of key */
	uint32_t rows_max;
};

struct ctl_effect {
	enum ctl_effect_type type;
	uint64_t conn, ticket, lsn, epoch, at_ms, session, incarnation, cookie;
	const uint8_t *p;
	uint32_t len;
	struct jr_batch *batch;
	struct jr_io io;
	struct ctl_fetch fetch;
	struct ctl_flush *flush;
	const struct ha_state *state;
	struct ha_arbiter expect, next;
	uint32_t key;
	int error, score, alarm, level;
	bool on;
	const char *text;
};

struct ctl *ctl_new(const struct ctl_config *, char ret_why[256]); /* NULL and why */
void ctl_free(struct ctl *);
void ctl_step(struct ctl *, const struct ctl_event *);
bool ctl_next(struct ctl *, struct ctl_effect *ret);
/*
 * Housekeeping that nobody waits for, a little of it: rows of an ended flush become clean, and old ones leave memory. The edge calls
 * it behind a PUMP whose effects are on their way. True: there was some; a PUMP and another call are wanted.
 */
bool ctl_work(struct ctl *);

/* The frozen rows of a flush, for the store's thread: sorted by key on first use (in the caller's thread). value NULL: delete. */
size_t ctl_flush_count(struct ctl_flush *);
void ctl_flush_sort(struct ctl_flush *);
void ctl_flush_get(struct ctl_flush *, size_t i, const uint8_t **ret_key, size_t *ret_key_len,
		   const uint8_t **ret_value, size_t *ret_len);

const struct ha *ctl_ha(const struct ctl *); /* for invariants and status */
