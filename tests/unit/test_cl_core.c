/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The client core by script: the test is the network and both controllers. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/core/cl.h"

enum { A, B }; /* the controllers */
enum { ACCESS, COORD };
enum { SENT_MAX = 256, DONE_MAX = 64 };

struct sent {
	int link;
	struct pr_frame f;
	uint8_t p[2048];
};

struct rig {
	struct cl *cl;
	uint64_t now;
	uint64_t conn[CL_LINKS];
	bool refuse[CL_LINKS];
	struct sent sent[SENT_MAX];
	int sents, seen;
	uint64_t ask; /* sequence of the last open or bind */
	struct {
		uint64_t tag;
		int error;
		uint16_t message;
	} done[DONE_MAX];
	int dones;
	int ready, failed, evicted, warnings, recalls, serving, outages, drops, closed;
	uint64_t recall_generation;
	int recall_after_done; /* dones at the time of the last recall */
	uint32_t lost;
	char text[256];
};

static int at(int peer, int port)
{
	return peer * CL_PORTS + port;
}

static void took_send(struct rig *r, const struct cl_effect *fx)
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
		struct sent *sent = &r->sent[r->sents++];

		cr_assert(r->sents < SENT_MAX);
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

static void took(struct rig *r, const struct cl_effect *fx)
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

static void step(struct rig *r, struct cl_event ev)
{
	struct cl_effect fx;

	ev.now_ms = r->now;
	cl_step(r->cl, &ev);
	while (cl_next(r->cl, &fx))
		took(r, &fx);
}

static void pump(struct rig *r)
{
	step(r, (struct cl_event){.type = CL_EV_PUMP});
}

static void up(struct rig *r, int link)
{
	cr_assert(r->conn[link] != 0, "link %d was not to be connected", link);
	step(r, (struct cl_event){.type = CL_EV_CONN_UP, .conn = r->conn[link]});
	pump(r);
}

static void down(struct rig *r, int link, int error)
{
	uint64_t conn = r->conn[link];

	r->conn[link] = 0;
	step(r, (struct cl_event){.type = CL_EV_CONN_DOWN, .conn = conn, .error = error});
	pump(r);
}

/* Time goes by; links that want to be connected and are refused fail at once. */
static void pass(struct rig *r, uint64_t ms)
{
	uint64_t end = r->now + ms;

	for (;;) {
		uint64_t wake = cl_wake_ms(r->cl);

		if (wake > end)
			break;
		r->now = wake > r->now ? wake : r->now + 1;
		step(r, (struct cl_event){.type = CL_EV_TIMER});
		pump(r);
		for (int i = 0; i < CL_LINKS; i++)
			if (r->refuse[i] && r->conn[i])
				down(r, i, -ECONNREFUSED);
	}
	r->now = end;
}

static void say_raw(struct rig *r, int link, struct pr_frame *f, const void *p, size_t len)
{
	f->length = (uint32_t)len;
	step(r, (struct cl_event){.type = CL_EV_FRAME, .conn = r->conn[link], .frame = f, .p = p});
	pump(r);
}

#define SAY(r, link, frame, what, ...)                                \
	do {                                                          \
		struct pr_##what message_ = {__VA_ARGS__};            \
		uint8_t bytes_[4096];                                 \
		struct pr_buf b_ = pr_buf_on(bytes_, sizeof(bytes_)); \
		struct pr_frame f_ = frame;                           \
		cr_assert_eq(pr_##what##_encode(&b_, &message_), 0);  \
		say_raw(r, link, &f_, bytes_, b_.len);                \
	} while (0)
#define FRAME(...) ((struct pr_frame){__VA_ARGS__})

static uint32_t told_lease_ms = 30000;

static void hello(struct rig *r, int link, uint8_t role, uint64_t epoch)
{
	SAY(r, link, FRAME(.type = PR_T_HELLO_R, .epoch = epoch), hello_r, .version = PR_VERSION,
	    .cluster = {{0xc1}}, .node = (uint8_t)(link / CL_PORTS + 1), .role = role,
	    .epoch = epoch, .lease_ms = told_lease_ms, .slots_max = 64);
}

/* The next frame that was sent and not looked at, of this type. */
static struct sent *want(struct rig *r, int link, uint16_t type)
{
	while (r->seen < r->sents) {
		struct sent *s = &r->sent[r->seen++];

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

static bool nothing_sent(struct rig *r)
{
	for (; r->seen < r->sents; r->seen++)
		if (r->sent[r->seen].f.type != PR_T_PING && r->sent[r->seen].f.type != PR_T_HELLO)
			return false;
	return true;
}

static void look_away(struct rig *r)
{
	r->seen = r->sents;
}

static struct rig *rig_new(void)
{
	struct cl_config config = {.volume = "vol1", .host = "h", .program = "p", .client = {{7}}};
	struct rig *r = calloc(1, sizeof(*r));

	r->cl = cl_new(&config);
	r->now = 1000;
	step(r, (struct cl_event){.type = CL_EV_START});
	return r;
}

static void rig_free(struct rig *r)
{
	cl_free(r->cl);
	free(r);
}

static void connect_link(struct rig *r, int link, uint8_t role, uint64_t epoch)
{
	up(r, link);
	want(r, link, PR_T_HELLO);
	hello(r, link, role, epoch);
}

static void open_reply(struct rig *r, int link, uint64_t epoch)
{
	SAY(r, link, FRAME(.type = PR_T_SESSION_OPEN_R, .epoch = epoch, .sequence = r->ask),
	    session_open_r, .session = 42, .slots = 4, .key = 9, .root = 1, .block_bytes = 4096);
}

static void bind_reply(struct rig *r, int link, uint64_t epoch)
{
	SAY(r, link,
	    FRAME(.type = PR_T_SESSION_BIND_R, .epoch = epoch, .session = 42, .sequence = r->ask),
	    session_bind_r, .lost = 0);
}

/* A serves in epoch 5, B stands by; all four links are up. */
static struct rig *rig_serving(void)
{
	struct rig *r = rig_new();

	connect_link(r, at(A, ACCESS), PR_ROLE_ACTIVE, 5);
	want(r, at(A, ACCESS), PR_T_SESSION_OPEN);
	open_reply(r, at(A, ACCESS), 5);
	connect_link(r, at(A, COORD), PR_ROLE_ACTIVE, 5);
	connect_link(r, at(B, ACCESS), PR_ROLE_STANDBY, 5);
	connect_link(r, at(B, COORD), PR_ROLE_STANDBY, 5);
	look_away(r);
	cr_assert_eq(r->ready, 1);
	cr_assert_eq(r->serving, 1);
	return r;
}

static uint64_t getattr(struct rig *r, uint64_t ino, uint64_t tag)
{
	struct pr_getattr q = {.ino = ino};
	struct pr_buf *b = cl_prepare(r->cl, pr_getattr_size(&q));
	uint64_t id;

	cr_assert_eq(pr_getattr_encode(b, &q), 0);
	id = cl_submit(r->cl, PR_T_GETATTR, tag);
	pump(r);
	return id;
}

static uint64_t create(struct rig *r, const char *name, uint64_t tag)
{
	struct pr_create q = {.parent = 1, .mode = 0100644, .name = pr_bytes_str(name)};
	struct pr_buf *b = cl_prepare(r->cl, pr_create_size(&q));
	uint64_t id;

	cr_assert_eq(pr_create_encode(b, &q), 0);
	id = cl_submit(r->cl, PR_T_CREATE, tag);
	pump(r);
	return id;
}

static void layout_get(struct rig *r, uint64_t ino, uint64_t tag)
{
	struct pr_layout_get q = {.ino = ino, .blocks = 1, .mode = PR_LAYOUT_WRITE};
	struct pr_buf *b = cl_prepare(r->cl, pr_layout_get_size(&q));

	cr_assert_eq(pr_layout_get_encode(b, &q), 0);
	cl_submit(r->cl, PR_T_LAYOUT_GET, tag);
	pump(r);
}

static struct pr_frame reply_to(const struct sent *s, uint64_t epoch)
{
	return FRAME(.type = s->f.type | PR_T_REPLY, .epoch = epoch, .session = s->f.session,
		     .slot = s->f.slot, .sequence = s->f.sequence);
}

static void getattr_reply(struct rig *r, int link, const struct sent *s, uint64_t epoch)
{
	SAY(r, link, reply_to(s, epoch), getattr_r, .attr = {.ino = 3});
}

static void create_reply(struct rig *r, int link, const struct sent *s, uint64_t epoch,
			 uint64_t ino)
{
	SAY(r, link, reply_to(s, epoch), create_r, .attr = {.ino = ino}, .created = 1);
}

static void error_reply(struct rig *r, int link, const struct sent *s, uint64_t epoch,
			uint32_t status)
{
	struct pr_frame f = reply_to(s, epoch);

	f.status = status;
	SAY(r, link, f, error, .text = pr_bytes_str("because"));
}

static void notice(struct rig *r, int link, uint8_t role, uint64_t epoch)
{
	SAY(r, link, FRAME(.type = PR_T_NOTICE, .epoch = epoch), notice,
	    .node = (uint8_t)(link / CL_PORTS + 1), .role = role, .epoch = epoch);
}

static void kill_peer(struct rig *r, int peer)
{
	r->refuse[at(peer, ACCESS)] = r->refuse[at(peer, COORD)] = true;
	down(r, at(peer, COORD), -ECONNRESET);
	down(r, at(peer, ACCESS), -ECONNRESET);
}

Test(cl_core, a_session_is_opened_on_the_access_port_of_the_active)
{
	struct rig *r = rig_new();

	connect_link(r, at(B, COORD), PR_ROLE_STANDBY, 5);
	connect_link(r, at(A, ACCESS), PR_ROLE_ACTIVE, 5);
	cr_assert_eq(want(r, at(A, ACCESS), PR_T_SESSION_OPEN)->f.session, 0);
	cr_assert_eq(r->ready, 0);
	open_reply(r, at(A, ACCESS), 5);
	cr_assert_eq(r->ready, 1);
	cr_assert_eq(r->serving, 1);
	rig_free(r);
}

Test(cl_core, each_request_takes_a_slot_and_its_next_sequence)
{
	struct rig *r = rig_serving();
	struct sent *first, *second;

	getattr(r, 3, 100);
	getattr(r, 4, 101);
	first = want(r, at(A, ACCESS), PR_T_GETATTR);
	second = want(r, at(A, ACCESS), PR_T_GETATTR);
	cr_assert_neq(first->f.slot, second->f.slot);
	cr_assert_eq(first->f.sequence, 1);
	cr_assert_eq(first->f.session, 42);
	getattr_reply(r, at(A, ACCESS), first, 5);
	cr_assert_eq(r->dones, 1);
	cr_assert_eq(r->done[0].tag, 100);
	cr_assert_eq(r->done[0].error, 0);
	getattr(r, 5, 102);
	second = want(r, at(A, ACCESS), PR_T_GETATTR);
	cr_assert_eq(second->f.slot, first->f.slot);
	cr_assert_eq(second->f.sequence, 2);
	rig_free(r);
}

Test(cl_core, more_requests_than_slots_wait_for_one)
{
	struct rig *r = rig_serving();
	struct sent *first;

	for (uint64_t i = 0; i < 5; i++)
		getattr(r, 3, 100 + i);
	first = want(r, at(A, ACCESS), PR_T_GETATTR);
	for (int i = 0; i < 3; i++)
		want(r, at(A, ACCESS), PR_T_GETATTR);
	cr_assert(nothing_sent(r));
	getattr_reply(r, at(A, ACCESS), first, 5);
	cr_assert_eq(want(r, at(A, ACCESS), PR_T_GETATTR)->f.sequence, 2);
	rig_free(r);
}

Test(cl_core, after_a_failover_the_same_sequence_is_sent_again)
{
	struct rig *r = rig_serving();
	struct sent *before, *after;

	create(r, "x", 100);
	before = want(r, at(A, ACCESS), PR_T_CREATE);
	kill_peer(r, A);
	cr_assert_eq(r->outages, 1);
	pass(r, 50);
	cr_assert(nothing_sent(r));
	notice(r, at(B, COORD), PR_ROLE_ACTIVE, 6);
	cr_assert_eq(want(r, at(B, ACCESS), PR_T_SESSION_BIND)->f.session, 42);
	cr_assert(nothing_sent(r), "nothing may be sent before the session is bound");
	bind_reply(r, at(B, ACCESS), 6);
	after = want(r, at(B, ACCESS), PR_T_CREATE);
	cr_assert_eq(after->f.slot, before->f.slot);
	cr_assert_eq(after->f.sequence, before->f.sequence);
	cr_assert_eq(after->f.epoch, 6);
	create_reply(r, at(B, ACCESS), after, 6, 11);
	cr_assert_eq(r->dones, 1);
	cr_assert_eq(r->done[0].error, 0);
	rig_free(r);
}

Test(cl_core, requests_made_during_the_outage_wait)
{
	struct rig *r = rig_serving();

	kill_peer(r, A);
	getattr(r, 3, 100);
	pass(r, 60000);
	cr_assert_eq(r->dones, 0);
	/* The idle standby was dropped for its silence; it comes back, active. */
	if (!r->conn[at(B, ACCESS)])
		pass(r, 1000);
	for (int i = 0; i < CL_PORTS; i++)
		if (r->conn[at(B, i)])
			up(r, at(B, i));
	look_away(r);
	hello(r, at(B, ACCESS), PR_ROLE_ACTIVE, 6);
	want(r, at(B, ACCESS), PR_T_SESSION_BIND);
	bind_reply(r, at(B, ACCESS), 6);
	getattr_reply(r, at(B, ACCESS), want(r, at(B, ACCESS), PR_T_GETATTR), 6);
	cr_assert_eq(r->dones, 1);
	cr_assert_eq(r->done[0].error, 0);
	rig_free(r);
}

Test(cl_core, the_active_dies_before_the_session_is_open)
{
	struct rig *r = rig_new();

	connect_link(r, at(A, ACCESS), PR_ROLE_ACTIVE, 5);
	want(r, at(A, ACCESS), PR_T_SESSION_OPEN);
	connect_link(r, at(B, ACCESS), PR_ROLE_STANDBY, 5);
	down(r, at(A, ACCESS), -ECONNRESET);
	cr_assert(nothing_sent(r));
	notice(r, at(B, ACCESS), PR_ROLE_ACTIVE, 6);
	want(r, at(B, ACCESS), PR_T_SESSION_OPEN);
	open_reply(r, at(B, ACCESS), 6);
	cr_assert_eq(r->ready, 1);
	rig_free(r);
}

Test(cl_core, a_session_opened_where_a_standby_greeted_outlives_a_restart)
{
	struct rig *r = rig_new();

	connect_link(r, at(A, ACCESS), PR_ROLE_STANDBY, 5);
	notice(r, at(A, ACCESS), PR_ROLE_ACTIVE, 6);
	want(r, at(A, ACCESS), PR_T_SESSION_OPEN);
	open_reply(r, at(A, ACCESS), 6);
	down(r, at(A, ACCESS), -ECONNRESET);
	pass(r, 20);
	connect_link(r, at(A, ACCESS), PR_ROLE_STANDBY, 6);
	notice(r, at(A, ACCESS), PR_ROLE_ACTIVE, 7);
	want(r, at(A, ACCESS), PR_T_SESSION_BIND);
	rig_free(r);
}

/* The open is answered after another controller opened the session, on a connection that is chosen again. */
Test(cl_core, a_session_is_opened_once)
{
	struct rig *r = rig_new();
	struct sent *open, *q;

	connect_link(r, at(A, ACCESS), PR_ROLE_ACTIVE, 5);
	open = want(r, at(A, ACCESS), PR_T_SESSION_OPEN);
	connect_link(r, at(B, ACCESS), PR_ROLE_STANDBY, 5);
	notice(r, at(B, ACCESS), PR_ROLE_ACTIVE, 6);
	want(r, at(B, ACCESS), PR_T_SESSION_OPEN);
	open_reply(r, at(B, ACCESS), 6);
	create(r, "x", 100);
	q = want(r, at(B, ACCESS), PR_T_CREATE);
	cr_assert_eq(q->f.sequence, 1);
	notice(r, at(A, ACCESS), PR_ROLE_ACTIVE, 7);
	want(r, at(A, ACCESS), PR_T_SESSION_BIND);
	SAY(r, at(A, ACCESS), reply_to(open, 7), session_open_r, .session = 42, .slots = 4,
	    .key = 9, .root = 1, .block_bytes = 4096);
	cr_assert_eq(r->ready, 1);
	cr_assert_eq(r->serving, 1);
	bind_reply(r, at(A, ACCESS), 7);
	cr_assert_eq(r->serving, 2);
	create_reply(r, at(A, ACCESS), want(r, at(A, ACCESS), PR_T_CREATE), 7, 3);
	cr_assert_eq(r->dones, 1);
	create(r, "y", 101);
	cr_assert_eq(want(r, at(A, ACCESS), PR_T_CREATE)->f.sequence, 2);
	rig_free(r);
}

/* A bind in two parts is answered late, when the session is bound there anew: that is half an answer, not a whole one. */
Test(cl_core, an_answer_to_an_older_bind_is_none)
{
	struct rig *r = rig_serving();
	struct sent *old;

	notice(r, at(B, ACCESS), PR_ROLE_ACTIVE, 6);
	old = want(r, at(B, ACCESS), PR_T_SESSION_BIND);
	notice(r, at(B, ACCESS), PR_ROLE_ACTIVE, 7);
	want(r, at(B, ACCESS), PR_T_SESSION_BIND);
	SAY(r, at(B, ACCESS), reply_to(old, 7), session_bind_r, .lost = 0);
	cr_assert_eq(r->serving, 1);
	bind_reply(r, at(B, ACCESS), 7);
	cr_assert_eq(r->serving, 2);
	rig_free(r);
}

Test(cl_core, the_new_active_dies_while_the_session_is_being_bound)
{
	struct rig *r = rig_serving();
	struct sent *before, *after;

	create(r, "x", 100);
	before = want(r, at(A, ACCESS), PR_T_CREATE);
	r->refuse[at(A, ACCESS)] = r->refuse[at(A, COORD)] = false;
	down(r, at(A, COORD), -ECONNRESET);
	down(r, at(A, ACCESS), -ECONNRESET);
	notice(r, at(B, ACCESS), PR_ROLE_ACTIVE, 6);
	want(r, at(B, ACCESS), PR_T_SESSION_BIND);
	pass(r, 20);
	connect_link(r, at(A, ACCESS), PR_ROLE_STANDBY, 6);
	kill_peer(r, B);
	notice(r, at(A, ACCESS), PR_ROLE_ACTIVE, 7);
	want(r, at(A, ACCESS), PR_T_SESSION_BIND);
	bind_reply(r, at(A, ACCESS), 7);
	after = want(r, at(A, ACCESS), PR_T_CREATE);
	cr_assert_eq(after->f.sequence, before->f.sequence);
	rig_free(r);
}

Test(cl_core, a_switchover_needs_no_lost_connection)
{
	struct rig *r = rig_serving();

	notice(r, at(A, COORD), PR_ROLE_STANDBY, 5);
	cr_assert_eq(r->outages, 1);
	getattr(r, 3, 100);
	cr_assert(nothing_sent(r));
	notice(r, at(B, COORD), PR_ROLE_ACTIVE, 6);
	want(r, at(B, ACCESS), PR_T_SESSION_BIND);
	bind_reply(r, at(B, ACCESS), 6);
	want(r, at(B, ACCESS), PR_T_GETATTR);
	rig_free(r);
}

Test(cl_core, the_higher_epoch_is_the_active_though_the_old_one_still_says_so)
{
	struct rig *r = rig_serving();
	struct sent *s;

	getattr(r, 3, 100);
	s = want(r, at(A, ACCESS), PR_T_GETATTR);
	notice(r, at(B, COORD), PR_ROLE_ACTIVE, 6);
	want(r, at(B, ACCESS), PR_T_SESSION_BIND);
	/* What the old one still answers is of a lower epoch. */
	getattr_reply(r, at(A, ACCESS), s, 5);
	cr_assert_eq(r->dones, 0);
	bind_reply(r, at(B, ACCESS), 6);
	getattr_reply(r, at(A, ACCESS), s, 5);
	cr_assert_eq(r->dones, 0);
	notice(r, at(A, COORD), PR_ROLE_ACTIVE, 5);
	getattr_reply(r, at(B, ACCESS), want(r, at(B, ACCESS), PR_T_GETATTR), 6);
	cr_assert_eq(r->dones, 1);
	rig_free(r);
}

Test(cl_core, a_reply_that_comes_twice_counts_once)
{
	struct rig *r = rig_serving();
	struct cl_stats stats;
	struct sent *s;

	getattr(r, 3, 100);
	s = want(r, at(A, ACCESS), PR_T_GETATTR);
	getattr_reply(r, at(A, ACCESS), s, 5);
	getattr_reply(r, at(A, ACCESS), s, 5);
	cr_assert_eq(r->dones, 1);
	/* Nor does it answer the slot's next request. */
	getattr(r, 4, 101);
	getattr_reply(r, at(A, ACCESS), s, 5);
	cr_assert_eq(r->dones, 1);
	cl_get_stats(r->cl, &stats);
	cr_assert_eq(stats.late_replies, 2);
	rig_free(r);
}

Test(cl_core, an_epoch_that_grows_in_place_binds_anew_and_asks_again)
{
	struct rig *r = rig_serving();
	struct sent *s;

	getattr(r, 3, 100);
	s = want(r, at(A, ACCESS), PR_T_GETATTR);
	notice(r, at(A, COORD), PR_ROLE_ACTIVE, 6);
	want(r, at(A, ACCESS), PR_T_SESSION_BIND);
	getattr_reply(r, at(A, ACCESS), s, 5);
	cr_assert_eq(r->dones, 0);
	bind_reply(r, at(A, ACCESS), 6);
	s = want(r, at(A, ACCESS), PR_T_GETATTR);
	getattr_reply(r, at(A, ACCESS), s, 6);
	cr_assert_eq(r->dones, 1);
	rig_free(r);
}

Test(cl_core, a_blocked_access_port_costs_a_warning)
{
	struct rig *r = rig_new();

	r->refuse[at(A, ACCESS)] = true;
	down(r, at(A, ACCESS), -ECONNREFUSED);
	connect_link(r, at(A, COORD), PR_ROLE_ACTIVE, 5);
	want(r, at(A, COORD), PR_T_SESSION_OPEN);
	open_reply(r, at(A, COORD), 5);
	getattr(r, 3, 100);
	getattr_reply(r, at(A, COORD), want(r, at(A, COORD), PR_T_GETATTR), 5);
	cr_assert_eq(r->dones, 1);
	cr_assert_eq(r->warnings, 0);
	pass(r, 2500);
	cr_assert_eq(r->warnings, 1);
	cr_assert(strstr(r->text, "access port of controller 1"));
	rig_free(r);
}

Test(cl_core, a_silent_access_port_is_waited_for_a_moment_only)
{
	struct rig *r = rig_new();

	connect_link(r, at(A, COORD), PR_ROLE_ACTIVE, 5);
	cr_assert(nothing_sent(r));
	pass(r, 31);
	want(r, at(A, COORD), PR_T_SESSION_OPEN);
	rig_free(r);
}

Test(cl_core, a_blocked_coordination_port_costs_a_warning)
{
	struct rig *r = rig_new();

	r->refuse[at(A, COORD)] = true;
	down(r, at(A, COORD), -ECONNREFUSED);
	connect_link(r, at(A, ACCESS), PR_ROLE_ACTIVE, 5);
	open_reply(r, at(A, ACCESS), 5);
	look_away(r);
	pass(r, 600);
	/* The lease is renewed on what there is. */
	want(r, at(A, ACCESS), PR_T_PING);
	pass(r, 2000);
	cr_assert_eq(r->warnings, 1);
	cr_assert(strstr(r->text, "coordination port of controller 1"));
	rig_free(r);
}

Test(cl_core, the_access_port_is_taken_when_it_comes_back)
{
	struct rig *r = rig_new();
	struct sent *before;

	down(r, at(A, ACCESS), -ECONNREFUSED);
	connect_link(r, at(A, COORD), PR_ROLE_ACTIVE, 5);
	want(r, at(A, COORD), PR_T_SESSION_OPEN);
	open_reply(r, at(A, COORD), 5);
	getattr(r, 3, 100);
	before = want(r, at(A, COORD), PR_T_GETATTR);
	pass(r, 10);
	connect_link(r, at(A, ACCESS), PR_ROLE_ACTIVE, 5);
	want(r, at(A, ACCESS), PR_T_SESSION_BIND);
	bind_reply(r, at(A, ACCESS), 5);
	cr_assert_eq(want(r, at(A, ACCESS), PR_T_GETATTR)->f.sequence, before->f.sequence);
	rig_free(r);
}

Test(cl_core, busy_is_tried_again_with_the_same_sequence)
{
	struct rig *r = rig_serving();
	struct sent *first, *again;

	getattr(r, 3, 100);
	first = want(r, at(A, ACCESS), PR_T_GETATTR);
	error_reply(r, at(A, ACCESS), first, 5, PR_E_BUSY);
	cr_assert_eq(r->dones, 0);
	cr_assert(nothing_sent(r));
	pass(r, 10);
	again = want(r, at(A, ACCESS), PR_T_GETATTR);
	cr_assert_eq(again->f.sequence, first->f.sequence);
	getattr_reply(r, at(A, ACCESS), again, 5);
	cr_assert_eq(r->dones, 1);
	rig_free(r);
}

Test(cl_core, an_error_of_the_namespace_is_the_callers)
{
	struct rig *r = rig_serving();

	getattr(r, 3, 100);
	error_reply(r, at(A, ACCESS), want(r, at(A, ACCESS), PR_T_GETATTR), 5, ENOENT);
	cr_assert_eq(r->dones, 1);
	cr_assert_eq(r->done[0].error, -ENOENT);
	rig_free(r);
}

Test(cl_core, not_active_is_no_answer)
{
	struct rig *r = rig_serving();
	struct sent *first;

	getattr(r, 3, 100);
	first = want(r, at(A, ACCESS), PR_T_GETATTR);
	error_reply(r, at(A, ACCESS), first, 5, PR_E_NOT_ACTIVE);
	cr_assert_eq(r->dones, 0);
	cr_assert_eq(r->outages, 1);
	notice(r, at(B, ACCESS), PR_ROLE_ACTIVE, 6);
	bind_reply(r, at(B, ACCESS), 6);
	want(r, at(B, ACCESS), PR_T_SESSION_BIND);
	cr_assert_eq(want(r, at(B, ACCESS), PR_T_GETATTR)->f.sequence, first->f.sequence);
	rig_free(r);
}

Test(cl_core, a_cancelled_request_keeps_its_slot_until_its_reply)
{
	struct rig *r = rig_serving();
	struct cl_stats stats;
	struct sent *s;
	uint64_t id = getattr(r, 3, 100);

	s = want(r, at(A, ACCESS), PR_T_GETATTR);
	step(r, (struct cl_event){.type = CL_EV_CANCEL, .id = id});
	cr_assert_eq(r->dones, 1);
	cr_assert_eq(r->done[0].error, -EINTR);
	cl_get_stats(r->cl, &stats);
	cr_assert_eq(stats.in_flight, 1);
	getattr(r, 4, 101);
	cr_assert_neq(want(r, at(A, ACCESS), PR_T_GETATTR)->f.slot, s->f.slot);
	getattr_reply(r, at(A, ACCESS), s, 5);
	cr_assert_eq(r->dones, 1);
	cl_get_stats(r->cl, &stats);
	cr_assert_eq(stats.in_flight, 1);
	getattr(r, 4, 102);
	cr_assert_eq(want(r, at(A, ACCESS), PR_T_GETATTR)->f.sequence, 2);
	rig_free(r);
}

Test(cl_core, a_cancelled_request_is_sent_again_after_a_failover_too)
{
	struct rig *r = rig_serving();
	struct sent *s;
	uint64_t id = create(r, "x", 100);

	s = want(r, at(A, ACCESS), PR_T_CREATE);
	step(r, (struct cl_event){.type = CL_EV_CANCEL, .id = id});
	kill_peer(r, A);
	notice(r, at(B, ACCESS), PR_ROLE_ACTIVE, 6);
	bind_reply(r, at(B, ACCESS), 6);
	want(r, at(B, ACCESS), PR_T_SESSION_BIND);
	cr_assert_eq(want(r, at(B, ACCESS), PR_T_CREATE)->f.sequence, s->f.sequence);
	rig_free(r);
}

Test(cl_core, the_open_of_a_cancelled_create_is_given_back)
{
	struct rig *r = rig_serving();
	struct pr_close q;
	struct sent *s;
	uint64_t id = create(r, "x", 100);

	s = want(r, at(A, ACCESS), PR_T_CREATE);
	step(r, (struct cl_event){.type = CL_EV_CANCEL, .id = id});
	create_reply(r, at(A, ACCESS), s, 5, 11);
	s = want(r, at(A, ACCESS), PR_T_CLOSE);
	cr_assert_eq(pr_close_decode(&q, s->p, s->f.length), 0);
	cr_assert_eq(q.ino, 11);
	cr_assert_eq(q.opens, 1);
	rig_free(r);
}

Test(cl_core, a_request_without_a_slot_is_cancelled_for_good)
{
	struct rig *r = rig_serving();
	uint64_t id;

	kill_peer(r, A);
	id = getattr(r, 3, 100);
	step(r, (struct cl_event){.type = CL_EV_CANCEL, .id = id});
	cr_assert_eq(r->done[0].error, -EINTR);
	notice(r, at(B, ACCESS), PR_ROLE_ACTIVE, 6);
	bind_reply(r, at(B, ACCESS), 6);
	want(r, at(B, ACCESS), PR_T_SESSION_BIND);
	cr_assert(nothing_sent(r));
	rig_free(r);
}

static void recall(struct rig *r, int link, uint64_t ino, uint64_t generation, uint64_t epoch)
{
	SAY(r, link, FRAME(.type = PR_T_RECALL, .epoch = epoch), recall, .ino = ino,
	    .generation = generation, .mode = PR_LAYOUT_WRITE);
}

static void grant(struct rig *r, int link, const struct sent *s, uint64_t generation)
{
	SAY(r, link, reply_to(s, 5), layout_get_r, .generation = generation);
}

Test(cl_core, a_recall_that_overtakes_its_grant_kills_it)
{
	struct rig *r = rig_serving();
	struct sent *s;

	layout_get(r, 3, 100);
	s = want(r, at(A, ACCESS), PR_T_LAYOUT_GET);
	recall(r, at(A, COORD), 3, 77, 5);
	cr_assert_eq(r->recalls, 0);
	grant(r, at(A, ACCESS), s, 77);
	cr_assert_eq(r->dones, 1);
	cr_assert_eq(r->recalls, 1);
	cr_assert_eq(r->recall_generation, 77);
	cr_assert_eq(r->recall_after_done, 1);
	rig_free(r);
}

Test(cl_core, a_recall_of_an_older_generation_leaves_the_grant_alone)
{
	struct rig *r = rig_serving();
	struct sent *s;

	layout_get(r, 3, 100);
	s = want(r, at(A, ACCESS), PR_T_LAYOUT_GET);
	recall(r, at(A, COORD), 3, 76, 5);
	grant(r, at(A, ACCESS), s, 77);
	cr_assert_eq(r->recalls, 0);
	/* One of its own is delivered, one of somebody else's inode is not. */
	recall(r, at(A, COORD), 4, 78, 5);
	cr_assert_eq(r->recalls, 0);
	recall(r, at(A, COORD), 3, 77, 5);
	cr_assert_eq(r->recalls, 1);
	rig_free(r);
}

Test(cl_core, opens_and_layouts_are_told_to_the_new_active)
{
	struct rig *r = rig_serving();
	struct pr_session_bind bind;
	struct pr_held held[2];
	struct sent *s;

	create(r, "x", 100);
	create_reply(r, at(A, ACCESS), want(r, at(A, ACCESS), PR_T_CREATE), 5, 3);
	create(r, "y", 101);
	create_reply(r, at(A, ACCESS), want(r, at(A, ACCESS), PR_T_CREATE), 5, 4);
	layout_get(r, 3, 102);
	grant(r, at(A, ACCESS), want(r, at(A, ACCESS), PR_T_LAYOUT_GET), 77);
	/* A get under way is no layout yet. */
	layout_get(r, 9, 103);
	kill_peer(r, A);
	look_away(r);
	notice(r, at(B, ACCESS), PR_ROLE_ACTIVE, 6);
	s = want(r, at(B, ACCESS), PR_T_SESSION_BIND);
	cr_assert_eq(pr_session_bind_decode(&bind, s->p, s->f.length), 0);
	cr_assert_eq(bind.held.count, 2);
	cr_assert(pr_held_next(&bind.held, &held[0]) && pr_held_next(&bind.held, &held[1]));
	if (held[0].ino == 4) {
		struct pr_held swap = held[0];

		held[0] = held[1];
		held[1] = swap;
	}
	cr_assert_eq(held[0].ino, 3);
	cr_assert_eq(held[0].opens, 1);
	cr_assert_eq(held[0].layout, PR_LAYOUT_WRITE);
	cr_assert_eq(held[0].generation, 77);
	cr_assert_eq(held[1].ino, 4);
	cr_assert_eq(held[1].layout, PR_LAYOUT_NONE);
	rig_free(r);
}

Test(cl_core, eviction_ends_everything_with_estale)
{
	struct rig *r = rig_serving();

	getattr(r, 3, 100);
	SAY(r, at(A, COORD), FRAME(.type = PR_T_EVICTED, .epoch = 5), evicted, .session = 42,
	    .reason = pr_bytes_str("its lease ended"));
	cr_assert_eq(r->evicted, 1);
	cr_assert_str_eq(r->text, "its lease ended");
	cr_assert_eq(r->dones, 1);
	cr_assert_eq(r->done[0].error, -ESTALE);
	getattr(r, 3, 101);
	cr_assert_eq(r->dones, 2);
	cr_assert_eq(r->done[1].error, -ESTALE);
	rig_free(r);
}

Test(cl_core, a_session_that_is_gone_at_its_binding_is_evicted)
{
	struct rig *r = rig_serving();
	struct sent *s;

	getattr(r, 3, 100);
	kill_peer(r, A);
	look_away(r);
	notice(r, at(B, ACCESS), PR_ROLE_ACTIVE, 6);
	s = want(r, at(B, ACCESS), PR_T_SESSION_BIND);
	error_reply(r, at(B, ACCESS), s, 6, PR_E_BAD_SESSION);
	cr_assert_eq(r->evicted, 1);
	cr_assert_eq(r->done[0].error, -ESTALE);
	rig_free(r);
}

Test(cl_core, a_volume_mounted_elsewhere_is_refused_by_name)
{
	struct rig *r = rig_new();

	connect_link(r, at(A, ACCESS), PR_ROLE_ACTIVE, 5);
	error_reply(r, at(A, ACCESS), want(r, at(A, ACCESS), PR_T_SESSION_OPEN), 5, PR_E_MOUNTED);
	cr_assert_eq(r->failed, -EBUSY);
	cr_assert_str_eq(r->text, "because");
	rig_free(r);
}

Test(cl_core, a_damaged_frame_means_a_new_connection)
{
	struct rig *r = rig_serving();
	struct sent *before;

	getattr(r, 3, 100);
	before = want(r, at(A, ACCESS), PR_T_GETATTR);
	down(r, at(A, ACCESS), -EBADMSG);
	cr_assert_eq(r->warnings, 1);
	/* Meanwhile the other port serves. */
	want(r, at(A, COORD), PR_T_SESSION_BIND);
	bind_reply(r, at(A, COORD), 5);
	cr_assert_eq(want(r, at(A, COORD), PR_T_GETATTR)->f.sequence, before->f.sequence);
	pass(r, 10);
	connect_link(r, at(A, ACCESS), PR_ROLE_ACTIVE, 5);
	want(r, at(A, ACCESS), PR_T_SESSION_BIND);
	rig_free(r);
}

Test(cl_core, silence_ends_a_connection)
{
	struct rig *r = rig_serving();

	pass(r, 2900);
	cr_assert_eq(r->drops, 0);
	pass(r, 200);
	cr_assert_eq(r->drops, CL_LINKS, "%d", r->drops);
	cr_assert_eq(r->outages, 1);
	rig_free(r);
}

Test(cl_core, silence_is_noticed_while_half_of_a_short_lease_is_left)
{
	struct rig *r;

	told_lease_ms = 2000;
	r = rig_serving();
	pass(r, 900);
	cr_assert_eq(r->drops, 0);
	pass(r, 200);
	cr_assert_eq(r->drops, CL_LINKS, "%d", r->drops);
	rig_free(r);
}

Test(cl_core, reconnecting_backs_off_but_not_for_long)
{
	struct rig *r = rig_serving();
	struct cl_stats before, after;

	kill_peer(r, A);
	kill_peer(r, B);
	cl_get_stats(r->cl, &before);
	pass(r, 100);
	cl_get_stats(r->cl, &after);
	cr_assert(after.reconnects - before.reconnects >= 12,
		  "each of four links at 5, 15, 35 and 75 ms");
	pass(r, 10000);
	before = after;
	cl_get_stats(r->cl, &after);
	cr_assert(after.reconnects - before.reconnects >= 4 * 45 &&
		  after.reconnects - before.reconnects <= 4 * 55);
	rig_free(r);
}

Test(cl_core, a_session_is_closed_when_its_requests_are_answered)
{
	struct rig *r = rig_serving();
	struct sent *s;

	getattr(r, 3, 100);
	s = want(r, at(A, ACCESS), PR_T_GETATTR);
	step(r, (struct cl_event){.type = CL_EV_CLOSE});
	pump(r);
	cr_assert(nothing_sent(r));
	getattr_reply(r, at(A, ACCESS), s, 5);
	s = want(r, at(A, ACCESS), PR_T_SESSION_CLOSE);
	say_raw(r, at(A, ACCESS), &FRAME(.type = PR_T_SESSION_CLOSE_R, .epoch = 5), NULL, 0);
	cr_assert_eq(r->closed, 1);
	cr_assert_eq(cl_wake_ms(r->cl), UINT64_MAX);
	rig_free(r);
}
