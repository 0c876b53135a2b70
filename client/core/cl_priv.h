/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The client core's inside, shared by its own files only: cl.c (events, effects), cl_link.c
 * (connections, who is active, open and bind), cl_request.c (slots, sequences, replies).
 */
#pragma once

#include "client/core/cl.h"
#include "client/core/cl_held.h"
#include "proto/assert.h"

enum { CL_REQ_INLINE = 448, CL_TEXTS = 8, CL_TEXT_BYTES = 640, CL_ROLE_UNKNOWN = 255 };

struct cl_req {
	uint64_t id, tag;
	struct cl_req *next; /* in the queue, or free */
	uint16_t type;
	bool in_slot, answered; /* answered: cancelled, the reply is only waited for */
	bool sent;		/* on the connection that serves now */
	uint32_t sends, busy;
	uint32_t slot;
	uint64_t sequence;
	uint64_t retry_ms; /* 0, or when it is sent again after BUSY */
	uint32_t crc;
	struct pr_buf b; /* the payload */
	uint8_t small[CL_REQ_INLINE];
};

struct cl_slot {
	uint64_t sequence; /* last one used */
	struct cl_req *req;
};

enum cl_link_state {
	CL_LINK_IDLE,	    /* until retry_ms */
	CL_LINK_CONNECTING, /* until since_ms + connect_ms */
	CL_LINK_HELLO,	    /* the same */
	CL_LINK_READY,
};

struct cl_link {
	enum cl_link_state state;
	uint64_t conn; /* 0: none; its low bits are the index of the link */
	uint64_t since_ms, retry_ms, heard_ms, ping_ms;
	uint64_t lost_ms; /* when it was last READY, or the start: for the warning */
	uint32_t delay_ms;
	bool warned;
	struct pr_buf out;
};

struct cl_peer {
	uint8_t role, node; /* CL_ROLE_UNKNOWN: no connection says */
	uint64_t epoch;
	struct pr_uuid cluster, volume; /* as its last hello had them; volume may be zero */
	uint32_t lease_ms;
};

enum cl_phase {
	CL_SEEK,  /* no active is known, or none can be reached */
	CL_ASK,	  /* session_open or session_bind is under way on cur */
	CL_BOUND, /* requests travel on cur */
	CL_OVER,  /* failed, evicted or closed */
};

struct cl {
	struct cl_config config;
	uint64_t now_ms, next_conn, next_id;
	struct cl_link links[CL_LINKS];
	struct cl_peer peers[CL_PEERS];

	enum cl_phase phase;
	int cur; /* the link in ASK and BOUND, else -1 */
	int last_peer;
	uint64_t hold_ms; /* no open or bind before */
	uint32_t hold_delay_ms;
	uint64_t outage_ms; /* since when nobody serves */
	uint64_t epoch, session;
	uint64_t
		choices; /* of cur so far: orders binds that overtake each other on two connections */
	struct pr_uuid cluster, volume;
	uint32_t lease_ms, binds_left, lost;
	bool evicted, close_wanted, closing;
	int over_error;
	uint8_t *opened; /* a copy of the reply to session_open */
	struct pr_session_open_r open_r;

	struct cl_held_table held;

	struct cl_slot *slots;
	uint32_t slot_count, *free_slots, free_count;
	struct cl_req *queue, **queue_end, *pool, *preparing;
	void *blocks; /* of the pool, chained by their first word */
	uint32_t waiting, retries;

	struct cl_effect *fx;
	uint32_t fx_head, fx_count, fx_cap;
	bool pumped;
	uint64_t out_taken; /* links whose output was named by an effect */
	char texts[CL_TEXTS][CL_TEXT_BYTES];
	uint32_t text_next;
	struct cl_stats stats;
};

/* cl.c */
struct cl_effect *cl_emit(struct cl *, enum cl_effect_type); /* zeroed but for the type */
char *cl_text(struct cl *); /* room for CL_TEXT_BYTES, for an effect of this step */
void cl_warn(struct cl *, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool cl_room(struct pr_buf *, size_t more); /* grows; false: no memory */
/* The text of a reply whose status is not 0. */
const char *cl_reply_text(struct cl *, const struct pr_frame *, const uint8_t *p);
/* The errno, negative, that an application sees for a status. */
int cl_status_errno(uint32_t status);

/* cl_link.c */
void cl_links_start(struct cl *);
void cl_links_tick(struct cl *);
uint64_t cl_links_wake(const struct cl *);
void cl_link_up(struct cl *, int i);
void cl_link_down(struct cl *, int i, int error);
void cl_link_frame(struct cl *, int i, const struct pr_frame *, const uint8_t *p);
/* The serving controller says it is not the active. */
void cl_not_active(struct cl *, int i);
void cl_over(struct cl *, enum cl_effect_type how, int error, const char *text);
void cl_close_if_idle(struct cl *);
bool cl_link_put(struct cl *, int i, struct pr_frame *, const void *payload, uint32_t crc);

/* cl_request.c */
bool cl_slots_make(struct cl *, uint32_t count);
void cl_requests_free(struct cl *);
void cl_requests_bound(struct cl *);	  /* send again what is unanswered, then what waits */
void cl_requests_unbound(struct cl *);	  /* nothing counts as sent */
bool cl_requests_sent(const struct cl *); /* all that have a slot, on the connection that serves */
void cl_requests_pump(struct cl *);
void cl_requests_fail(struct cl *, int error); /* all of them */
void cl_request_cancel(struct cl *, uint64_t id);
void cl_request_reply(struct cl *, int i, const struct pr_frame *, const uint8_t *p);
uint64_t cl_requests_wake(const struct cl *);
void cl_recall(struct cl *, uint64_t ino, uint64_t generation, uint8_t mode);
bool cl_requests_idle(const struct cl *);
