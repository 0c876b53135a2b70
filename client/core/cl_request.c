/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Requests: each takes a slot and the slot's next sequence, and keeps both until its reply has
 * come, whatever happens to the connection. The same sequence sent again is answered from the
 * slot's stored reply, so it runs once. A cancelled request keeps its slot too; only the caller
 * waits no more.
 */
#include "client/core/cl_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "proto/crc32c.h"

enum { POOL_BLOCK = 64, BUSY_MIN_MS = 2, BUSY_MAX_MS = 100 };

struct block {
	struct block *next;
	struct cl_req at[POOL_BLOCK];
};

bool cl_slots_make(struct cl *cl, uint32_t count)
{
	if (count > cl->config.slots)
		count = cl->config.slots;
	cl->slots = calloc(count, sizeof(*cl->slots));
	cl->free_slots = calloc(count, sizeof(*cl->free_slots));
	if (!cl->slots || !cl->free_slots)
		return false;
	cl->slot_count = cl->free_count = count;
	for (uint32_t i = 0; i < count; i++)
		cl->free_slots[i] = count - 1 - i;
	return true;
}

/* ---- the pool ---- */

static struct cl_req *req_new(struct cl *cl)
{
	struct cl_req *req = cl->pool;

	if (!req) {
		struct block *block = calloc(1, sizeof(*block));

		if (!block)
			return NULL;
		block->next = cl->blocks;
		cl->blocks = block;
		for (int i = 0; i < POOL_BLOCK; i++) {
			block->at[i].next = cl->pool;
			cl->pool = &block->at[i];
		}
		req = cl->pool;
	}
	cl->pool = req->next;
	memset(req, 0, offsetof(struct cl_req, small));
	req->b = pr_buf_on(req->small, sizeof(req->small));
	return req;
}

static void req_free(struct cl *cl, struct cl_req *req)
{
	if (req->b.p != req->small)
		free(req->b.p);
	req->b.p = req->small;
	req->id = 0;
	req->next = cl->pool;
	cl->pool = req;
}

void cl_requests_free(struct cl *cl)
{
	struct block *block = cl->blocks;

	while (block) {
		struct block *next = block->next;

		for (int i = 0; i < POOL_BLOCK; i++)
			if (block->at[i].b.p != block->at[i].small)
				free(block->at[i].b.p);
		free(block);
		block = next;
	}
	free(cl->slots);
	free(cl->free_slots);
}

/* ---- submitting ---- */

struct pr_buf *cl_prepare(struct cl *cl, size_t bytes)
{
	struct cl_req *req;

	ASSERT(!cl->preparing);
	if (!cl_held_reserve(&cl->held, cl->waiting + cl->slot_count + 1))
		return NULL;
	req = req_new(cl);
	if (!req)
		return NULL;
	if (bytes > sizeof(req->small)) {
		uint8_t *p = malloc(bytes);

		if (!p) {
			req_free(cl, req);
			return NULL;
		}
		req->b = pr_buf_on(p, bytes);
	}
	cl->preparing = req;
	return &req->b;
}

static void note_submitted(struct cl *cl, const struct cl_req *req)
{
	struct pr_layout_return back;
	struct pr_layout_get get;
	struct cl_held *held;

	if (req->type == PR_T_LAYOUT_GET &&
	    pr_layout_get_decode(&get, req->b.p, (uint32_t)req->b.len) == 0 && get.ino)
		cl_held_make(&cl->held, get.ino)->gets++;
	if (req->type != PR_T_LAYOUT_RETURN ||
	    pr_layout_return_decode(&back, req->b.p, (uint32_t)req->b.len) < 0)
		return;
	held = cl_held_find(&cl->held, back.ino);
	if (held && back.generation > held->returning)
		held->returning = back.generation;
}

uint64_t cl_submit(struct cl *cl, uint16_t type, uint64_t tag)
{
	struct cl_req *req = cl->preparing;

	ASSERT(req && !req->b.failed);
	cl->preparing = NULL;
	req->id = cl->next_id++;
	req->tag = tag;
	req->type = type;
	req->crc = pr_crc32c(req->b.p, req->b.len);
	*cl->queue_end = req;
	cl->queue_end = &req->next;
	cl->waiting++;
	cl->stats.requests++;
	note_submitted(cl, req);
	return req->id;
}

void cl_abandon(struct cl *cl)
{
	struct cl_req *req = cl->preparing;

	cl->preparing = NULL;
	req_free(cl, req);
}

/* ---- sending ---- */

static void send_req(struct cl *cl, struct cl_req *req)
{
	struct pr_frame f = {
		.type = req->type,
		.length = (uint32_t)req->b.len,
		.epoch = cl->epoch,
		.session = cl->session,
		.sequence = req->sequence,
		.slot = req->slot,
	};

	if (req->retry_ms)
		cl->retries--;
	req->retry_ms = 0;
	if (!cl_link_put(cl, cl->cur, &f, req->b.p, req->crc)) {
		req->retry_ms = cl->now_ms + BUSY_MIN_MS;
		cl->retries++;
		return;
	}
	cl->stats.resends += req->sends > 0;
	req->sends++;
	req->sent = true;
}

static void start_waiting(struct cl *cl)
{
	while (cl->queue && cl->free_count) {
		struct cl_req *req = cl->queue;

		cl->queue = req->next;
		if (!cl->queue)
			cl->queue_end = &cl->queue;
		cl->waiting--;
		req->next = NULL;
		req->in_slot = true;
		req->slot = cl->free_slots[--cl->free_count];
		req->sequence = ++cl->slots[req->slot].sequence;
		cl->slots[req->slot].req = req;
		send_req(cl, req);
	}
}

static void send_again(struct cl *cl)
{
	for (uint32_t i = 0; cl->retries && i < cl->slot_count; i++) {
		struct cl_req *req = cl->slots[i].req;

		if (req && req->retry_ms && req->retry_ms <= cl->now_ms)
			send_req(cl, req);
	}
}

void cl_requests_pump(struct cl *cl)
{
	if (cl->phase == CL_OVER) {
		cl_requests_fail(cl, cl->over_error);
		return;
	}
	if (cl->phase != CL_BOUND)
		return;
	send_again(cl);
	start_waiting(cl);
}

void cl_requests_bound(struct cl *cl)
{
	for (uint32_t i = 0; i < cl->slot_count; i++)
		if (cl->slots[i].req)
			send_req(cl, cl->slots[i].req);
}

static void slot_free(struct cl *cl, struct cl_req *req)
{
	cl->slots[req->slot].req = NULL;
	cl->free_slots[cl->free_count++] = req->slot;
	if (req->retry_ms)
		cl->retries--;
	req_free(cl, req);
}

void cl_requests_unbound(struct cl *cl)
{
	for (uint32_t i = 0; i < cl->slot_count; i++) {
		struct cl_req *req = cl->slots[i].req;

		if (!req)
			continue;
		req->sent = false;
		if (req->retry_ms)
			cl->retries--;
		req->retry_ms = 0;
	}
}

bool cl_requests_sent(const struct cl *cl)
{
	if (cl->phase != CL_BOUND)
		return false;
	for (uint32_t i = 0; i < cl->slot_count; i++)
		if (cl->slots[i].req && !cl->slots[i].req->sent)
			return false;
	return true;
}

uint64_t cl_requests_wake(const struct cl *cl)
{
	uint64_t wake = UINT64_MAX;

	if (cl->phase != CL_BOUND || !cl->retries)
		return wake;
	for (uint32_t i = 0; i < cl->slot_count; i++) {
		const struct cl_req *req = cl->slots[i].req;

		if (req && req->retry_ms && req->retry_ms < wake)
			wake = req->retry_ms;
	}
	return wake;
}

bool cl_requests_idle(const struct cl *cl)
{
	return !cl->queue && cl->free_count == cl->slot_count;
}

/* ---- ending ---- */

static struct cl_effect *done(struct cl *cl, struct cl_req *req, int error)
{
	struct cl_effect *fx;

	ASSERT(!req->answered);
	req->answered = true;
	cl->stats.replies++;
	fx = cl_emit(cl, CL_FX_DONE);
	fx->tag = req->tag;
	fx->message = req->type;
	fx->error = error;
	return fx;
}

static struct cl_req *unqueue(struct cl *cl, uint64_t id)
{
	for (struct cl_req **at = &cl->queue; *at; at = &(*at)->next) {
		struct cl_req *req = *at;

		if (req->id != id)
			continue;
		*at = req->next;
		if (!*at)
			cl->queue_end = at;
		cl->waiting--;
		return req;
	}
	return NULL;
}

static void layout_get_over(struct cl *cl, const struct cl_req *req)
{
	struct pr_layout_get get;
	struct cl_held *held;

	if (req->type != PR_T_LAYOUT_GET ||
	    pr_layout_get_decode(&get, req->b.p, (uint32_t)req->b.len) < 0)
		return;
	held = cl_held_find(&cl->held, get.ino);
	if (!held)
		return;
	held->gets--;
	if (!held->gets)
		held->recalled = 0;
	cl_held_tidy(&cl->held, held);
}

void cl_request_cancel(struct cl *cl, uint64_t id)
{
	struct cl_req *req = unqueue(cl, id);

	if (req) {
		done(cl, req, -EINTR);
		layout_get_over(cl, req);
		req_free(cl, req);
		return;
	}
	for (uint32_t i = 0; i < cl->slot_count; i++) {
		req = cl->slots[i].req;
		if (!req || req->id != id || req->answered)
			continue;
		done(cl, req, -EINTR);
		if (req->sends == 0)
			slot_free(cl, req);
		return;
	}
}

void cl_requests_fail(struct cl *cl, int error)
{
	for (uint32_t i = 0; i < cl->slot_count; i++) {
		struct cl_req *req = cl->slots[i].req;

		if (!req)
			continue;
		if (!req->answered)
			done(cl, req, error);
		slot_free(cl, req);
	}
	while (cl->queue) {
		struct cl_req *req = unqueue(cl, cl->queue->id);

		if (!req->answered)
			done(cl, req, error);
		req_free(cl, req);
	}
}

/* ---- what is held ---- */

/* What a good reply has opened: of what is no file a create counts no open. False: it does not decode; 0: nothing. */
static bool opened(const struct cl_req *req, const uint8_t *p, uint32_t len, uint64_t *ret_ino)
{
	struct pr_create_r create;
	struct pr_open_r open;

	*ret_ino = 0;
	if (req->type == PR_T_CREATE) {
		if (pr_create_r_decode(&create, p, len) < 0)
			return false;
		if (S_ISREG(create.attr.mode))
			*ret_ino = create.attr.ino;
	} else if (req->type == PR_T_OPEN) {
		if (pr_open_r_decode(&open, p, len) < 0)
			return false;
		*ret_ino = open.attr.ino;
	}
	return true;
}

static void closed(struct cl *cl, uint64_t ino, uint32_t opens)
{
	struct cl_held *held = cl_held_find(&cl->held, ino);

	if (!held)
		return;
	held->opens -= opens < held->opens ? opens : held->opens;
	cl_held_tidy(&cl->held, held);
}

/*
 * A grant; if its recall came first, the recall is delivered right behind it. What is being returned already is not joined with it: a
 * bind may have come between, which did not name it.
 */
static void granted(struct cl *cl, const struct pr_layout_get *get, uint64_t generation)
{
	struct cl_held *held = cl_held_find(&cl->held, get->ino);

	if (!held)
		return;
	if (held->generation <= held->returning)
		held->layout = PR_LAYOUT_NONE;
	if (generation > held->generation)
		held->generation = generation;
	if (get->mode > held->layout)
		held->layout = get->mode;
}

static void returned(struct cl *cl, uint64_t ino, uint64_t generation)
{
	struct cl_held *held = cl_held_find(&cl->held, ino);

	if (!held || held->generation > generation)
		return;
	held->layout = PR_LAYOUT_NONE;
	held->generation = 0;
	cl_held_tidy(&cl->held, held);
}

static void give_up_cancelled_open(struct cl *cl, uint64_t ino)
{
	struct pr_close close = {.ino = ino, .opens = 1};
	struct pr_buf *b = cl_prepare(cl, pr_close_size(&close));
	struct cl_req *req = cl->preparing;

	if (!b)
		return;
	if (pr_close_encode(b, &close) < 0) {
		cl_abandon(cl);
		return;
	}
	cl_submit(cl, PR_T_CLOSE, 0);
	req->answered = true;
}

/* Books what a good reply means for the next bind. False: it does not decode. */
static bool note_reply(struct cl *cl, const struct cl_req *req, const uint8_t *p, uint32_t len,
		       uint64_t *ret_opened)
{
	struct pr_layout_get_r granted_r;
	union {
		struct pr_close close;
		struct pr_layout_get get;
		struct pr_layout_return back;
	} q;
	uint32_t q_len = (uint32_t)req->b.len;

	if (!opened(req, p, len, ret_opened))
		return false;
	if (*ret_opened)
		cl_held_make(&cl->held, *ret_opened)->opens++;
	switch (req->type) {
	case PR_T_CLOSE:
		if (pr_close_decode(&q.close, req->b.p, q_len) == 0)
			closed(cl, q.close.ino, q.close.opens);
		break;
	case PR_T_LAYOUT_GET:
		if (pr_layout_get_r_decode(&granted_r, p, len) < 0)
			return false;
		if (pr_layout_get_decode(&q.get, req->b.p, q_len) == 0)
			granted(cl, &q.get, granted_r.generation);
		break;
	case PR_T_LAYOUT_RETURN:
		if (pr_layout_return_decode(&q.back, req->b.p, q_len) == 0)
			returned(cl, q.back.ino, q.back.generation);
		break;
	default:
		break;
	}
	return true;
}

static void emit_recall(struct cl *cl, uint64_t ino, uint64_t generation, uint8_t mode)
{
	struct cl_effect *fx = cl_emit(cl, CL_FX_RECALL);

	fx->ino = ino;
	fx->generation = generation;
	fx->mode = mode;
	cl->stats.recalls++;
}

void cl_recall(struct cl *cl, uint64_t ino, uint64_t generation, uint8_t mode)
{
	struct cl_held *held = cl_held_find(&cl->held, ino);

	if (!held)
		return;
	if (held->gets && generation > held->generation) {
		if (generation > held->recalled)
			held->recalled = generation;
		held->recalled_mode = mode;
	}
	if (held->layout != PR_LAYOUT_NONE)
		emit_recall(cl, ino, generation, mode);
}

/* After the grant has been delivered: does a remembered recall kill it? */
static void late_recall(struct cl *cl, const struct cl_req *req, int error)
{
	struct pr_layout_get get;
	struct cl_held *held;

	if (req->type != PR_T_LAYOUT_GET || error ||
	    pr_layout_get_decode(&get, req->b.p, (uint32_t)req->b.len) < 0)
		return;
	held = cl_held_find(&cl->held, get.ino);
	if (held && held->recalled && held->generation <= held->recalled)
		emit_recall(cl, get.ino, held->recalled, held->recalled_mode);
}

static void busy(struct cl *cl, struct cl_req *req)
{
	uint32_t delay = BUSY_MIN_MS << (req->busy < 6 ? req->busy : 6);

	if (req->retry_ms)
		return;
	req->busy++;
	req->retry_ms = cl->now_ms + (delay < BUSY_MAX_MS ? delay : BUSY_MAX_MS);
	cl->retries++;
}

static void finish(struct cl *cl, struct cl_req *req, const struct pr_frame *f, const uint8_t *p)
{
	int error = cl_status_errno(f->status);
	uint64_t ino = 0;

	if (f->status == 0 && !note_reply(cl, req, p, f->length, &ino))
		error = -EPROTO;
	if (req->answered) {
		if (!error && ino)
			give_up_cancelled_open(cl, ino);
	} else {
		struct cl_effect *fx = done(cl, req, error);

		fx->p = p;
		fx->len = f->length;
	}
	late_recall(cl, req, error);
	layout_get_over(cl, req);
	slot_free(cl, req);
}

void cl_request_reply(struct cl *cl, int i, const struct pr_frame *f, const uint8_t *p)
{
	struct cl_req *req = f->slot < cl->slot_count ? cl->slots[f->slot].req : NULL;

	if (cl->cur != i || cl->phase != CL_BOUND || f->epoch < cl->epoch || !req || !req->sent ||
	    f->sequence != req->sequence || f->type != (req->type | PR_T_REPLY)) {
		cl->stats.late_replies++;
		return;
	}
	if (f->epoch > cl->epoch)
		cl->epoch = f->epoch;
	switch (f->status) {
	case PR_E_NOT_ACTIVE:
		cl_not_active(cl, i);
		return;
	case PR_E_BUSY:
		busy(cl, req);
		return;
	case PR_E_BAD_SESSION:
		cl_over(cl, CL_FX_EVICTED, -ESTALE, cl_reply_text(cl, f, p));
		return;
	default:
		finish(cl, req, f, p);
		cl_close_if_idle(cl);
	}
}
