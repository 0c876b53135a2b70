/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Connections: very many, such as take nothing, such as end in the midst of something; and what waits on them when the role is handed over. */
#include <criterion/criterion.h>
#include <stdio.h>
#include "tests/unit/ctl_rig.h"

static struct rig g;
static struct rig_client a, b;

Test(ctl_conn, more_than_there_are_buckets_are_kept_apart)
{
	enum { MANY = CTL_CONN_BUCKETS + 900 };
	static uint64_t conns[MANY];
	struct pr_uuid id = {{3}};

	rig_start(&g);
	for (unsigned i = 0; i < MANY; i++)
		conns[i] = rig_connect(&g);
	for (unsigned i = 0; i < MANY; i += 3) {
		id.b[1] = (uint8_t)i;
		cr_assert_eq(rig_hello(&g, conns[i], &id, "vol1"), 0);
	}
	for (unsigned i = 0; i < MANY; i += 2)
		rig_hang_up(&g, conns[i]);
	for (unsigned i = 0; i < MANY; i++)
		cr_assert_eq(ctl_conn_find(g.ctl, conns[i]) != NULL, i % 2 == 1, "%u", i);
	for (unsigned i = 1; i < MANY; i += 2)
		rig_hang_up(&g, conns[i]);
	cr_assert(ctl_link_empty(&g.ctl->conns));
	rig_close(&g);
}

Test(ctl_conn, one_without_an_address_is_one_and_an_unknown_one_ends_for_nobody)
{
	struct ctl_event up = {.type = CTL_EV_CONN_UP, .conn = 70001};
	struct pr_uuid id = {{3}};

	rig_start_one(&g, &a);
	rig_step(&g, &up);
	cr_assert_eq(rig_hello(&g, 70001, &id, "vol1"), 0);
	rig_hang_up(&g, 70002);
	cr_assert_eq(rig_create(&g, &a, "f", NULL), 0);
	rig_hang_up(&g, 70001);
	rig_hang_up(&g, 70001);
	rig_close(&g);
}

/* ---- what is large ---- */

enum { LARGE = 60000 };

static void large_value(void)
{
	static uint8_t value[LARGE];
	struct pr_xattr_set q = {.ino = a.root,
				 .name = pr_bytes_str("user.large"),
				 .value = pr_bytes_of(value, sizeof(value))};
	struct pr_frame f = {.type = PR_T_XATTR_SET, .session = a.session, .sequence = 1};

	RIG_SEND(&g, a.conn, &f, xattr_set, &q);
	rig_run(&g);
	cr_assert_eq(rig_status(&g, a.conn, PR_T_XATTR_SET_R), 0);
}

/* Asked for so often, before anything is sent. */
static void large_asked(unsigned times)
{
	struct pr_xattr_get q = {.ino = a.root, .name = pr_bytes_str("user.large")};
	struct pr_frame f = {.type = PR_T_XATTR_GET, .session = a.session};

	for (unsigned i = 0; i < times; i++)
		RIG_SEND(&g, a.conn, &f, xattr_get, &q);
}

static unsigned large_got(void)
{
	unsigned n = 0;

	for (; rig_has(&g, a.conn, PR_T_XATTR_GET_R); n++)
		cr_assert_eq(rig_status(&g, a.conn, PR_T_XATTR_GET_R), 0);
	return n;
}

Test(ctl_conn, the_room_of_a_large_answer_is_given_back)
{
	rig_start_one(&g, &a);
	large_value();
	for (unsigned i = 0; i < 4; i++) {
		large_asked(20);
		rig_run(&g);
		cr_assert_eq(large_got(), 20u);
	}
	for (unsigned i = 0; i < 3; i++)
		cr_assert_eq(rig_lookup(&g, &a, "nobody", NULL), ENOENT);
	cr_assert_leq(ctl_conn_find(g.ctl, a.conn)->free.cap, 256u << 10);
	rig_close(&g);
}

static void layout_get(const struct rig_client *cl, uint64_t ino)
{
	struct pr_layout_get q = {.ino = ino, .blocks = 4, .mode = PR_LAYOUT_WRITE};

	RIG_SAY(&g, cl->conn, PR_T_LAYOUT_GET, cl->session, 0, layout_get, &q);
}

/* b's layout is what a waits for; it comes back when a's connection is given up already. */
Test(ctl_conn, who_takes_no_answers_is_closed_and_comes_back)
{
	struct pr_layout_return back = {.generation = UINT64_MAX};
	struct pr_frame f = {.type = PR_T_LAYOUT_RETURN};
	struct pr_held held;
	uint64_t ino, lost;
	unsigned got;

	rig_start_one(&g, &a);
	cr_assert_eq(rig_client_open(&g, &b, 2, 0), 0);
	cr_assert_eq(rig_create(&g, &b, "f", &ino), 0);
	large_value();
	layout_get(&b, ino);
	cr_assert_eq(rig_status(&g, b.conn, PR_T_LAYOUT_GET_R), 0);
	layout_get(&a, ino);
	large_asked(CTL_QUEUE_MAX / LARGE + 10);
	back.ino = ino;
	f.session = b.session;
	RIG_SEND(&g, b.conn, &f, layout_return, &back);
	cr_assert_eq(g.closes, 0u);
	lost = a.conn;
	rig_run(&g);
	cr_assert_eq(g.closes, 1u);
	cr_assert_null(ctl_conn_find(g.ctl, lost));
	got = large_got();
	cr_assert(got > CTL_QUEUE_MAX / LARGE - 10 && got < CTL_QUEUE_MAX / LARGE + 2, "%u", got);
	cr_assert_not(rig_has(&g, lost, PR_T_LAYOUT_GET_R), "the connection had ended by then");
	held = (struct pr_held){.ino = ino, .opens = 1};
	cr_assert_eq(rig_bind_anew(&g, &a, &held, 1), 0);
	layout_get(&a, ino);
	cr_assert_eq(rig_status(&g, a.conn, PR_T_LAYOUT_GET_R), 0);
	rig_close(&g);
}

/* ---- who ends while his session is being opened ---- */

static uint64_t open_waits(uint8_t client)
{
	struct pr_session_open q = {
		.slots = 4, .host = pr_bytes_str("h"), .what = pr_bytes_str("w")};
	uint64_t conn = rig_connect(&g);

	memset(q.client.b, client, sizeof(q.client.b));
	cr_assert_eq(rig_hello(&g, conn, &q.client, "vol1"), 0);
	/* nothing is written while the role is being handed over */
	g.ctl->drain = g.ctl->drained = true;
	RIG_SAY(&g, conn, PR_T_SESSION_OPEN, 0, 0, session_open, &q);
	cr_assert_not(rig_has(&g, conn, PR_T_SESSION_OPEN_R));
	g.ctl->drain = g.ctl->drained = false;
	return conn;
}

static const struct ctl_session *session_of(uint8_t client)
{
	for (struct ctl_link *l = g.ctl->sessions.next; l != &g.ctl->sessions; l = l->next) {
		const struct ctl_session *s = CTL_OF(struct ctl_session, all, l);

		if (s->client.b[0] == client)
			return s;
	}
	return NULL;
}

Test(ctl_conn, a_session_is_opened_though_its_connection_has_ended)
{
	const struct ctl_session *s;
	struct rig_client again;
	uint64_t conn;

	rig_start_one(&g, &a);
	rig_hang_up(&g, open_waits(7));
	rig_run(&g);
	s = session_of(7);
	cr_assert(s && ctl_link_empty(&s->conns));
	cr_assert_eq(rig_client_open(&g, &again, 7, 0), 0);
	cr_assert_eq(again.session, s->id, "asked again: the same");
	/* nor does one get it that is being closed, for having said hello twice and wrongly */
	conn = open_waits(8);
	rig_send(&g, conn, &(struct pr_frame){.type = PR_T_HELLO, .length = 3}, "???");
	rig_run(&g);
	s = session_of(8);
	cr_assert(s && ctl_link_empty(&s->conns));
	cr_assert_not(rig_has(&g, conn, PR_T_SESSION_OPEN_R));
	rig_close(&g);
}

/* ---- the role is handed over ---- */

/* T8: what the standby has taken over is committed, whatever this controller had heard of it until then. */
Test(ctl_conn, what_waits_when_the_role_is_handed_over_is_answered)
{
	struct pr_lookup q = {.name = pr_bytes_str("old")};
	struct pr_frame f = {.type = PR_T_LOOKUP};

	rig_start_one(&g, &a);
	cr_assert_eq(rig_client_open(&g, &b, 2, 0), 0);
	cr_assert_eq(rig_create(&g, &a, "old", NULL), 0);
	g.hold_disk = true;
	rig_create_send(&g, &a, 0, "new");
	rig_run(&g);
	cr_assert_not(rig_has(&g, a.conn, PR_T_CREATE_R));
	/* and one that could leave, but has not yet */
	q.parent = a.root;
	f.session = b.session;
	RIG_SEND(&g, b.conn, &f, lookup, &q);
	ctl_session_find(g.ctl, b.session)->ending = true;
	ctl_serve_end(g.ctl);
	rig_step(&g, &(struct ctl_event){.type = CTL_EV_PUMP});
	cr_assert_eq(rig_status(&g, a.conn, PR_T_CREATE_R), 0);
	cr_assert_eq(rig_status(&g, b.conn, PR_T_LOOKUP_R), 0);
	cr_assert_eq(rig_create(&g, &a, "later", NULL), PR_E_NOT_ACTIVE);
	/* the new active ends a session that was ending here: there is nobody to be told */
	ctl_session_row(g.ctl, b.session, NULL, 99);
	rig_step(&g, &(struct ctl_event){.type = CTL_EV_PUMP});
	cr_assert_null(ctl_session_find(g.ctl, b.session));
	cr_assert_not(rig_has(&g, b.conn, PR_T_EVICTED));
	rig_close(&g);
}
