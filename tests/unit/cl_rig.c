/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the core sends is kept until the test looks at it; what the test says comes in as frames. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tests/unit/cl_rig.h"

uint32_t net_lease_ms = 30000;

static void took_send(struct net *r, const struct cl_effect *fx)
{
	struct pr_stream s;
	struct pr_frame f;
	const uint8_t *p;
	uint8_t *copy = malloc(fx->len + PR_FRAME_BYTES);
	size_t room;
	int n;

	pr_stream_init(&s, copy, fx->len + PR_FRAME_BYTES, PR_PAYLOAD_MAX);
	memcpy(pr_stream_room(&s, &room), fx->p, fx->len);
	pr_stream_added(&s, fx->len);
	while ((n = pr_stream_next(&s, &f, &p)) == 1) {
		struct net_sent *sent = &r->sent[r->sents++];

		cr_assert(r->sents < NET_SENT_MAX);
		cr_assert(f.length <= sizeof(sent->p));
		cr_assert_eq(pr_message_check(f.type, p, f.length), 0);
		sent->link = (int)(fx->conn % CL_LINKS);
		sent->f = f;
		memcpy(sent->p, p, f.length);
		if (f.type == PR_T_SESSION_OPEN || f.type == PR_T_SESSION_BIND)
			r->ask = f.sequence;
	}
	cr_assert_eq(n, 0);
	free(copy);
}

static void took(struct net *r, const struct cl_effect *fx)
{
	if (fx->text)
		snprintf(r->text, sizeof(r->text), "%s", fx->text);
	switch (fx->type) {
	case CL_FX_CONNECT:
		r->conn[at(fx->peer, fx->port)] = fx->conn;
		break;
	case CL_FX_DROP:
		r->conn[fx->conn % CL_LINKS] = 0;
		r->drops++;
		break;
	case CL_FX_SEND:
		took_send(r, fx);
		break;
	case CL_FX_DONE:
		r->done[r->dones].tag = fx->tag;
		r->done[r->dones].error = fx->error;
		r->done[r->dones++].message = fx->message;
		break;
	case CL_FX_READY:
		r->ready++;
		break;
	case CL_FX_FAILED:
		r->failed = fx->error;
		break;
	case CL_FX_SERVING:
		r->serving += fx->on;
		r->outages += !fx->on;
		r->lost = fx->lost;
		break;
	case CL_FX_RECALL:
		r->recalls++;
		r->recall_generation = fx->generation;
		r->recall_after_done = r->dones;
		break;
	case CL_FX_EVICTED:
		r->evicted++;
		break;
	case CL_FX_WARNING:
		r->warnings++;
		break;
	case CL_FX_CLOSED:
		r->closed++;
		break;
	}
}

void net_step(struct net *r, struct cl_event ev)
{
	struct cl_effect fx;

	ev.now_ms = r->now;
	cl_step(r->cl, &ev);
	while (cl_next(r->cl, &fx))
		took(r, &fx);
}

void net_pump(struct net *r)
{
	net_step(r, (struct cl_event){.type = CL_EV_PUMP});
}

void net_up(struct net *r, int link)
{
	cr_assert(r->conn[link] != 0, "link %d was not to be connected", link);
	net_step(r, (struct cl_event){.type = CL_EV_CONN_UP, .conn = r->conn[link]});
	net_pump(r);
}

void net_down(struct net *r, int link, int error)
{
	uint64_t conn = r->conn[link];

	r->conn[link] = 0;
	net_step(r, (struct cl_event){.type = CL_EV_CONN_DOWN, .conn = conn, .error = error});
	net_pump(r);
}

/* Time goes by; links that want to be connected and are refused fail at once. */
void net_pass(struct net *r, uint64_t ms)
{
	uint64_t end = r->now + ms;

	for (;;) {
		uint64_t wake = cl_wake_ms(r->cl);

		if (wake > end)
			break;
		r->now = wake > r->now ? wake : r->now + 1;
		net_step(r, (struct cl_event){.type = CL_EV_TIMER});
		net_pump(r);
		for (int i = 0; i < CL_LINKS; i++)
			if (r->refuse[i] && r->conn[i])
				net_down(r, i, -ECONNREFUSED);
	}
	r->now = end;
}

void net_say(struct net *r, int link, struct pr_frame *f, const void *p, size_t len)
{
	f->length = (uint32_t)len;
	net_step(r,
		 (struct cl_event){.type = CL_EV_FRAME, .conn = r->conn[link], .frame = f, .p = p});
	net_pump(r);
}

void net_hello(struct net *r, int link, uint8_t role, uint64_t epoch)
{
	SAY(r, link, FRAME(.type = PR_T_HELLO_R, .epoch = epoch), hello_r, .version = PR_VERSION,
	    .cluster = {{0xc1}}, .node = (uint8_t)(link / CL_PORTS + 1), .role = role,
	    .epoch = epoch, .lease_ms = net_lease_ms, .slots_max = 64);
}

/* The next frame that was sent and not looked at, of this type. */
struct net_sent *net_want(struct net *r, int link, uint16_t type)
{
	while (r->seen < r->sents) {
		struct net_sent *s = &r->sent[r->seen++];

		if (s->f.type == PR_T_PING && type != PR_T_PING)
			continue;
		cr_assert_eq(s->f.type, type, "%s was sent, not %s", pr_type_name(s->f.type),
			     pr_type_name(type));
		cr_assert_eq(s->link, link);
		return s;
	}
	cr_assert_fail("no %s was sent", pr_type_name(type));
	return NULL;
}

bool net_quiet(struct net *r)
{
	for (; r->seen < r->sents; r->seen++)
		if (r->sent[r->seen].f.type != PR_T_PING && r->sent[r->seen].f.type != PR_T_HELLO)
			return false;
	return true;
}

void net_look_away(struct net *r)
{
	r->seen = r->sents;
}

struct net *net_new(void)
{
	struct cl_config config = {.volume = "vol1", .host = "h", .program = "p", .client = {{7}}};
	struct net *r = calloc(1, sizeof(*r));

	r->cl = cl_new(&config);
	r->now = 1000;
	net_step(r, (struct cl_event){.type = CL_EV_START});
	return r;
}

void net_free(struct net *r)
{
	cl_free(r->cl);
	free(r);
}

void net_connect(struct net *r, int link, uint8_t role, uint64_t epoch)
{
	net_up(r, link);
	net_want(r, link, PR_T_HELLO);
	net_hello(r, link, role, epoch);
}

void net_open_reply(struct net *r, int link, uint64_t epoch)
{
	SAY(r, link, FRAME(.type = PR_T_SESSION_OPEN_R, .epoch = epoch, .sequence = r->ask),
	    session_open_r, .session = 42, .slots = 4, .key = 9, .root = 1, .block_bytes = 4096);
}

void net_bind_reply(struct net *r, int link, uint64_t epoch)
{
	SAY(r, link,
	    FRAME(.type = PR_T_SESSION_BIND_R, .epoch = epoch, .session = 42, .sequence = r->ask),
	    session_bind_r, .lost = 0);
}

/* A serves in epoch 5, B stands by; all four links are up. */
struct net *net_serving(void)
{
	struct net *r = net_new();

	net_connect(r, at(A, ACCESS), PR_ROLE_ACTIVE, 5);
	net_want(r, at(A, ACCESS), PR_T_SESSION_OPEN);
	net_open_reply(r, at(A, ACCESS), 5);
	net_connect(r, at(A, COORD), PR_ROLE_ACTIVE, 5);
	net_connect(r, at(B, ACCESS), PR_ROLE_STANDBY, 5);
	net_connect(r, at(B, COORD), PR_ROLE_STANDBY, 5);
	net_look_away(r);
	cr_assert_eq(r->ready, 1);
	cr_assert_eq(r->serving, 1);
	return r;
}

uint64_t ask_getattr(struct net *r, uint64_t ino, uint64_t tag)
{
	struct pr_getattr q = {.ino = ino};
	struct pr_buf *b = cl_prepare(r->cl, pr_getattr_size(&q));
	uint64_t id;

	cr_assert_eq(pr_getattr_encode(b, &q), 0);
	id = cl_submit(r->cl, PR_T_GETATTR, tag);
	net_pump(r);
	return id;
}

uint64_t ask_create(struct net *r, const char *name, uint64_t tag)
{
	struct pr_create q = {.parent = 1, .mode = 0100644, .name = pr_bytes_str(name)};
	struct pr_buf *b = cl_prepare(r->cl, pr_create_size(&q));
	uint64_t id;

	cr_assert_eq(pr_create_encode(b, &q), 0);
	id = cl_submit(r->cl, PR_T_CREATE, tag);
	net_pump(r);
	return id;
}

void ask_layout(struct net *r, uint64_t ino, uint8_t mode, uint64_t tag)
{
	struct pr_layout_get q = {.ino = ino, .blocks = 1, .mode = mode};
	struct pr_buf *b = cl_prepare(r->cl, pr_layout_get_size(&q));

	cr_assert_eq(pr_layout_get_encode(b, &q), 0);
	cl_submit(r->cl, PR_T_LAYOUT_GET, tag);
	net_pump(r);
}

void ask_return(struct net *r, uint64_t ino, uint64_t generation, uint64_t tag)
{
	struct pr_layout_return q = {.ino = ino, .generation = generation};
	struct pr_buf *b = cl_prepare(r->cl, pr_layout_return_size(&q));

	cr_assert_eq(pr_layout_return_encode(b, &q), 0);
	cl_submit(r->cl, PR_T_LAYOUT_RETURN, tag);
	net_pump(r);
}

struct pr_frame net_reply_to(const struct net_sent *s, uint64_t epoch)
{
	return FRAME(.type = s->f.type | PR_T_REPLY, .epoch = epoch, .session = s->f.session,
		     .slot = s->f.slot, .sequence = s->f.sequence);
}

void net_getattr_reply(struct net *r, int link, const struct net_sent *s, uint64_t epoch)
{
	SAY(r, link, net_reply_to(s, epoch), getattr_r, .attr = {.ino = 3});
}

void net_create_reply(struct net *r, int link, const struct net_sent *s, uint64_t epoch,
		      uint64_t ino)
{
	SAY(r, link, net_reply_to(s, epoch), create_r, .attr = {.ino = ino, .mode = 0100644},
	    .created = 1);
}

void net_error_reply(struct net *r, int link, const struct net_sent *s, uint64_t epoch,
		     uint32_t status)
{
	struct pr_frame f = net_reply_to(s, epoch);

	f.status = status;
	SAY(r, link, f, error, .text = pr_bytes_str("because"));
}

void net_notice(struct net *r, int link, uint8_t role, uint64_t epoch)
{
	SAY(r, link, FRAME(.type = PR_T_NOTICE, .epoch = epoch), notice,
	    .node = (uint8_t)(link / CL_PORTS + 1), .role = role, .epoch = epoch);
}

void net_kill_peer(struct net *r, int peer)
{
	r->refuse[at(peer, ACCESS)] = r->refuse[at(peer, COORD)] = true;
	net_down(r, at(peer, COORD), -ECONNRESET);
	net_down(r, at(peer, ACCESS), -ECONNRESET);
}
