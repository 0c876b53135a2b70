/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The client core: one session on one volume of a pair. It decides which connections stand, who is
 * active, when the session is opened or bound, which request travels in which slot with which
 * sequence, and what is sent again after a failover. No clock, socket, thread or file: events come
 * in by cl_step, orders go out by cl_next. It never looks into file data and never retries under a
 * new sequence.
 *
 * Memory named by an effect stays valid until the next cl_step unless the comment says otherwise.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/frame.h"
#include "proto/status.h"
#include "proto/wire.h"

struct cl;

enum { CL_PEERS = 2, CL_PORTS = 2, CL_LINKS = CL_PEERS * CL_PORTS };

struct cl_config {
	struct pr_uuid client; /* this instance; new for each session */
	char volume[64], host[256], program[64], what[256];
	uint32_t pid;
	uint32_t flags; /* PR_OPEN_* */
	uint32_t slots; /* asked for */
	uint32_t peers; /* 1 or 2 controllers; 0: 2 */
	/* milliseconds; 0: a default */
	uint32_t retry_min_ms, retry_max_ms; /* between attempts to connect: 5 doubling to 200 */
	uint32_t connect_ms;		     /* for an attempt, hello included: 1000 */
	uint32_t ping_ms;		     /* 500, at most a quarter of the lease */
	uint32_t
		silence_ms; /* nothing heard for so long: the connection is dead; 3000, at most half the lease */
	uint32_t prefer_ms; /* wait for the access port before the other one serves: 30 */
	uint32_t warn_ms;   /* a port missing for so long is worth a warning: 2000 */
};

enum cl_event_type {
	CL_EV_START,
	CL_EV_TIMER,	 /* the time cl_wake_ms named has come */
	CL_EV_CONN_UP,	 /* conn */
	CL_EV_CONN_DOWN, /* conn, error: refused, reset, damaged frame (-EBADMSG) */
	CL_EV_FRAME,	 /* conn, frame, p: a checked frame */
	CL_EV_CANCEL,	 /* id: answered with -EINTR at once, whatever becomes of it */
	CL_EV_CLOSE,	 /* when all requests are answered: end the session */
	CL_EV_PUMP,	 /* end of the edge's round: what was gathered leaves */
};

struct cl_event {
	enum cl_event_type type;
	uint64_t now_ms; /* CLOCK_BOOTTIME */
	uint64_t conn, id;
	int error;
	const struct pr_frame *frame;
	const uint8_t *p;
};

enum cl_effect_type {
	CL_FX_CONNECT, /* conn, peer 0..1, port 0 access, 1 coordination: answer CONN_UP or
			  CONN_DOWN */
	CL_FX_DROP,    /* conn: close it, forget what was not sent; no CONN_DOWN wanted */
	CL_FX_SEND,    /* conn, p, len: whole frames, in one send; only after PUMP */
	CL_FX_DONE,   /* tag, error, frame type, p, len: the reply, or with an error its pr_error */
	CL_FX_READY,  /* open: the session stands for the first time */
	CL_FX_FAILED, /* error, text: there will be no session */
	CL_FX_SERVING, /* on, gap_ms, peer, lost: bound to an active, or no longer */
	CL_FX_RECALL,  /* ino, generation, mode: give back all layouts of ino up to generation */
	CL_FX_EVICTED, /* text; every request was or will be answered -ESTALE */
	CL_FX_WARNING, /* text */
	CL_FX_CLOSED,  /* the session has ended */
};

struct cl_effect {
	enum cl_effect_type type;
	uint64_t conn;
	int peer, port;
	uint64_t tag;
	int error;
	uint16_t message; /* DONE: the request's type */
	const uint8_t *p;
	uint32_t len;
	const struct pr_session_open_r *open;
	bool on;
	uint32_t gap_ms, lost;
	uint64_t ino, generation;
	uint8_t mode;
	const char *text;
};

struct cl_stats {
	uint64_t requests, replies, resends, late_replies, reconnects, failovers, recalls;
	uint32_t in_flight, waiting, longest_gap_ms;
};

struct cl_view {
	uint64_t session, epoch;
	int peer; /* that serves, or -1 */
	uint8_t node;
	struct pr_uuid cluster, volume;
	bool serving, evicted;
};

struct cl *cl_new(const struct cl_config *); /* NULL: no memory */
void cl_free(struct cl *);
void cl_step(struct cl *, const struct cl_event *);
bool cl_next(struct cl *, struct cl_effect *ret);
/* When CL_EV_TIMER is wanted; UINT64_MAX: never. */
uint64_t cl_wake_ms(const struct cl *);

/*
 * A request: encode its message into what cl_prepare gives (room for bytes; NULL: no memory), then
 * cl_submit. Nothing may come between the two. Answered by one DONE with that tag. Returns the id
 * for CANCEL, never 0.
 */
struct pr_buf *cl_prepare(struct cl *, size_t bytes);
uint64_t cl_submit(struct cl *, uint16_t type, uint64_t tag);
void cl_abandon(struct cl *); /* instead of cl_submit */

void cl_get_stats(const struct cl *, struct cl_stats *ret);
void cl_get_view(const struct cl *, struct cl_view *ret);
