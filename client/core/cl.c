/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The client core's frame: one event in, effects out in order. */
#include "client/core/cl_priv.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static uint32_t or_default(uint32_t value, uint32_t standard)
{
	return value ? value : standard;
}

struct cl *cl_new(const struct cl_config *config)
{
	struct cl *cl = calloc(1, sizeof(*cl));

	if (!cl)
		return NULL;
	cl->config = *config;
	cl->config.slots = or_default(config->slots, 64);
	cl->config.peers = or_default(config->peers, CL_PEERS);
	cl->config.retry_min_ms = or_default(config->retry_min_ms, 5);
	cl->config.retry_max_ms = or_default(config->retry_max_ms, 200);
	cl->config.connect_ms = or_default(config->connect_ms, 1000);
	cl->config.ping_ms = or_default(config->ping_ms, 500);
	cl->config.silence_ms = or_default(config->silence_ms, 3000);
	cl->config.prefer_ms = or_default(config->prefer_ms, 30);
	cl->config.warn_ms = or_default(config->warn_ms, 2000);
	cl->cur = -1;
	cl->last_peer = -1;
	cl->next_id = 1;
	cl->queue_end = &cl->queue;
	for (int i = 0; i < CL_PEERS; i++)
		cl->peers[i].role = CL_ROLE_UNKNOWN;
	return cl;
}

void cl_free(struct cl *cl)
{
	if (!cl)
		return;
	for (int i = 0; i < CL_LINKS; i++)
		free(cl->links[i].out.p);
	cl_requests_free(cl);
	cl_held_free(&cl->held);
	free(cl->opened);
	free(cl->fx);
	free(cl);
}

bool cl_room(struct pr_buf *b, size_t more)
{
	size_t cap = b->cap ? b->cap : 4096;
	uint8_t *p;

	if (b->cap - b->len >= more)
		return true;
	while (cap - b->len < more)
		cap *= 2;
	p = realloc(b->p, cap);
	if (!p)
		return false;
	b->p = p;
	b->cap = cap;
	return true;
}

struct cl_effect *cl_emit(struct cl *cl, enum cl_effect_type type)
{
	struct cl_effect *fx;

	if (cl->fx_count == cl->fx_cap) {
		uint32_t cap = cl->fx_cap ? cl->fx_cap * 2 : 64;

		fx = realloc(cl->fx, cap * sizeof(*fx));
		/* A completion that cannot be reported would leave its caller waiting for ever. */
		ASSERT_MEMORY(fx);
		cl->fx = fx;
		cl->fx_cap = cap;
	}
	fx = &cl->fx[cl->fx_count++];
	*fx = (struct cl_effect){.type = type};
	return fx;
}

char *cl_text(struct cl *cl)
{
	return cl->texts[cl->text_next++ % CL_TEXTS];
}

void cl_warn(struct cl *cl, const char *format, ...)
{
	char *text = cl_text(cl);
	va_list args;

	va_start(args, format);
	vsnprintf(text, CL_TEXT_BYTES, format, args);
	va_end(args);
	cl_emit(cl, CL_FX_WARNING)->text = text;
}

const char *cl_reply_text(struct cl *cl, const struct pr_frame *f, const uint8_t *p)
{
	struct pr_error error;

	if (pr_error_decode(&error, p, f->length) < 0 || error.text.len == 0)
		return pr_status_text(f->status);
	return pr_bytes_copy(cl_text(cl), CL_TEXT_BYTES, error.text);
}

int cl_status_errno(uint32_t status)
{
	switch (status) {
	case PR_E_BAD_SESSION:
		return -ESTALE;
	case PR_E_VERSION:
		return -EPROTONOSUPPORT;
	case PR_E_CLUSTER:
		return -EXDEV;
	case PR_E_MOUNTED:
		return -EBUSY;
	case PR_E_VOLUME:
		return -ENOENT;
	case PR_E_LAYOUT:
		return -EKEYEXPIRED;
	case PR_E_STALE_SEQUENCE:
		return -EPROTO;
	default:
		return status < 1000 ? -(int)status : -EPROTO;
	}
}

static int link_of(const struct cl *cl, uint64_t conn)
{
	int i = (int)(conn % CL_LINKS);

	return conn != 0 && cl->links[i].conn == conn ? i : -1;
}

static void outputs_reset(struct cl *cl)
{
	for (int i = 0; cl->out_taken; i++, cl->out_taken >>= 1)
		if (cl->out_taken & 1)
			cl->links[i].out.len = 0;
}

void cl_step(struct cl *cl, const struct cl_event *ev)
{
	int i = link_of(cl, ev->conn);

	ASSERT(cl->fx_head == cl->fx_count && !cl->preparing);
	cl->fx_head = cl->fx_count = 0;
	cl->pumped = false;
	outputs_reset(cl);
	if (ev->now_ms > cl->now_ms)
		cl->now_ms = ev->now_ms;
	switch (ev->type) {
	case CL_EV_START:
		cl->outage_ms = cl->now_ms;
		cl_links_start(cl);
		break;
	case CL_EV_TIMER:
		cl_links_tick(cl);
		break;
	case CL_EV_CONN_UP:
		if (i >= 0)
			cl_link_up(cl, i);
		break;
	case CL_EV_CONN_DOWN:
		if (i >= 0)
			cl_link_down(cl, i, ev->error);
		break;
	case CL_EV_FRAME:
		if (i >= 0)
			cl_link_frame(cl, i, ev->frame, ev->p);
		break;
	case CL_EV_CANCEL:
		cl_request_cancel(cl, ev->id);
		break;
	case CL_EV_CLOSE:
		cl->close_wanted = true;
		cl_close_if_idle(cl);
		break;
	case CL_EV_PUMP:
		cl_requests_pump(cl);
		cl->pumped = true;
		break;
	}
}

static bool next_send(struct cl *cl, struct cl_effect *ret)
{
	for (int i = 0; i < CL_LINKS; i++) {
		struct cl_link *link = &cl->links[i];

		if (!link->out.len || !link->conn || (cl->out_taken >> i & 1))
			continue;
		cl->out_taken |= 1u << i;
		*ret = (struct cl_effect){.type = CL_FX_SEND,
					  .conn = link->conn,
					  .p = link->out.p,
					  .len = (uint32_t)link->out.len};
		return true;
	}
	return false;
}

bool cl_next(struct cl *cl, struct cl_effect *ret)
{
	if (cl->fx_head < cl->fx_count) {
		*ret = cl->fx[cl->fx_head++];
		return true;
	}
	return cl->pumped && next_send(cl, ret);
}

uint64_t cl_wake_ms(const struct cl *cl)
{
	uint64_t links = cl_links_wake(cl), requests = cl_requests_wake(cl);

	return links < requests ? links : requests;
}

void cl_get_stats(const struct cl *cl, struct cl_stats *ret)
{
	*ret = cl->stats;
	ret->in_flight = cl->slot_count - cl->free_count;
	ret->waiting = cl->waiting;
}

void cl_get_view(const struct cl *cl, struct cl_view *ret)
{
	int peer = cl->phase == CL_BOUND ? cl->cur / CL_PORTS : -1;

	*ret = (struct cl_view){
		.session = cl->session,
		.epoch = cl->epoch,
		.peer = peer,
		.node = peer >= 0 ? cl->peers[peer].node : 0,
		.cluster = cl->cluster,
		.volume = cl->volume,
		.serving = peer >= 0,
		.evicted = cl->evicted,
	};
}
