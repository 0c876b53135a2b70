/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a client has open, and does not know yet since the reply was lost, has no name any more: it stands until the client has asked again. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "tests/unit/ctl_rig.h"

static struct rig g;
static struct rig_client a, b;
static uint64_t ino;

/* a has made f, b is there. */
static void begin(void)
{
	rig_start_one(&g, &a);
	cr_assert_eq(rig_client_open(&g, &b, 2, 0), 0);
	cr_assert_eq(rig_create(&g, &a, "f", &ino), 0);
}

static bool is_there(void)
{
	RIG_SAY(&g, b.conn, PR_T_GETATTR, b.session, 0, getattr,
		(&(struct pr_getattr){.ino = ino}));
	return rig_status(&g, b.conn, PR_T_GETATTR_R) == 0;
}

static void close_it(struct rig_client *cl)
{
	RIG_SAY(&g, cl->conn, PR_T_CLOSE, cl->session, 0, close,
		(&(struct pr_close){.ino = ino, .opens = 1}));
	cr_assert_eq(rig_status(&g, cl->conn, PR_T_CLOSE_R), 0);
}

/* The last create once more. */
static uint32_t ask_again(void)
{
	uint64_t made = 0;
	uint32_t status;

	a.sequence[0]--;
	status = rig_create(&g, &a, "f", &made);
	cr_assert_eq(made, ino);
	return status;
}

static void ping(struct rig_client *cl)
{
	RIG_SAY(&g, cl->conn, PR_T_PING, cl->session, 0, ping, (&(struct pr_ping){.nonce = 1}));
	cr_assert_eq(rig_status(&g, cl->conn, PR_T_PING_R), 0);
}

/* Reaping is a second's work at most. */
static void is_kept(void)
{
	rig_wait(&g, 2000);
	cr_assert(is_there(), "it is open");
}

static void is_reaped(void)
{
	rig_wait(&g, 2000);
	cr_assert_not(is_there());
}

Test(ctl_opens, one_whose_reply_a_bind_has_dropped_stands_until_it_is_asked_again)
{
	begin();
	cr_assert_eq(rig_bind(&g, &a, NULL, 0), 0);
	cr_assert_eq(rig_unlink(&g, &b, "f"), 0);
	is_kept();
	cr_assert_eq(rig_bind(&g, &a, NULL, 0), 0);
	is_kept();
	cr_assert_eq(ask_again(), 0);
	ping(&a);
	is_kept();
	close_it(&a);
	is_reaped();
	rig_close(&g);
}

Test(ctl_opens, one_that_the_last_active_executed_stands_until_it_is_asked_again)
{
	begin();
	rig_restart(&g);
	cr_assert_eq(rig_bind_anew(&g, &a, NULL, 0), 0);
	cr_assert_eq(rig_bind_anew(&g, &b, NULL, 0), 0);
	ping(&b);
	cr_assert_eq(rig_unlink(&g, &b, "f"), 0);
	is_kept();
	cr_assert_eq(ask_again(), 0);
	ping(&a);
	is_kept();
	close_it(&a);
	is_reaped();
	rig_close(&g);
}

Test(ctl_opens, who_pings_behind_his_bind_has_asked_for_all)
{
	begin();
	cr_assert_eq(rig_bind(&g, &a, NULL, 0), 0);
	cr_assert_eq(rig_unlink(&g, &b, "f"), 0);
	is_kept();
	ping(&a);
	is_reaped();
	rig_close(&g);
}

/* Nothing is in order between two connections. */
Test(ctl_opens, a_ping_on_another_connection_says_nothing)
{
	struct rig_client other;

	begin();
	cr_assert_eq(rig_bind(&g, &a, NULL, 0), 0);
	other = a;
	other.conn = rig_connect(&g);
	cr_assert_eq(rig_hello(&g, other.conn, &a.uuid, "vol1"), 0);
	ping(&other);
	cr_assert_eq(rig_unlink(&g, &b, "f"), 0);
	is_kept();
	ping(&a);
	is_reaped();
	rig_close(&g);
}

Test(ctl_opens, a_bind_in_parts_is_not_over_by_a_ping_between_them)
{
	struct pr_session_bind q;

	begin();
	q = (struct pr_session_bind){.session = a.session, .client = a.uuid, .flags = PR_BIND_MORE};
	RIG_SAY(&g, a.conn, PR_T_SESSION_BIND, 0, 0, session_bind, &q);
	cr_assert_eq(rig_status(&g, a.conn, PR_T_SESSION_BIND_R), 0);
	ping(&a);
	q.flags = 0;
	RIG_SAY(&g, a.conn, PR_T_SESSION_BIND, 0, 0, session_bind, &q);
	cr_assert_eq(rig_status(&g, a.conn, PR_T_SESSION_BIND_R), 0);
	cr_assert_eq(rig_unlink(&g, &b, "f"), 0);
	is_kept();
	ping(&a);
	is_reaped();
	rig_close(&g);
}

/* The row of its slot is still to be read. */
Test(ctl_opens, what_was_asked_again_and_waits_for_the_store_is_not_passed_by_a_ping)
{
	begin();
	rig_wait(&g, 6000); /* what f is stands in the store */
	rig_restart(&g);
	cr_assert_eq(rig_bind_anew(&g, &a, NULL, 0), 0);
	cr_assert_eq(rig_bind_anew(&g, &b, NULL, 0), 0);
	ping(&b);
	cr_assert_eq(rig_unlink(&g, &b, "f"), 0);
	g.hold_store = true;
	a.sequence[0]--;
	rig_create_send(&g, &a, 0, "f");
	rig_run(&g);
	cr_assert_not(rig_has(&g, a.conn, PR_T_CREATE_R), "it waits");
	ping(&a);
	cr_assert_eq(g.ctl->settling, 1u);
	g.hold_store = false;
	rig_run(&g);
	cr_assert_eq(rig_status(&g, a.conn, PR_T_CREATE_R), 0);
	ping(&a);
	cr_assert_eq(g.ctl->settling, 0u);
	is_kept();
	close_it(&a);
	is_reaped();
	rig_close(&g);
}

/* Nothing can be written: it was not looked at. */
Test(ctl_opens, what_was_asked_again_and_is_held_up_is_not_passed_by_a_ping)
{
	begin();
	cr_assert_eq(rig_bind(&g, &a, NULL, 0), 0);
	ctl_session_refused(ctl_conn_find(g.ctl, a.conn));
	ping(&a);
	cr_assert_eq(g.ctl->settling, 1u, "what was refused comes once more");
	ping(&a);
	cr_assert_eq(g.ctl->settling, 0u);
	ctl_session_refused(ctl_conn_find(g.ctl, rig_connect(&g)));
	rig_close(&g);
}

Test(ctl_opens, a_session_that_ends_holds_nothing_back)
{
	char text[64];

	begin();
	cr_assert_eq(rig_bind(&g, &a, NULL, 0), 0);
	cr_assert_eq(rig_unlink(&g, &b, "f"), 0);
	g.hold_fence = true;
	snprintf(text, sizeof(text), "evict %llu host", (unsigned long long)a.session);
	rig_admin(&g, text);
	cr_assert_eq(g.ctl->settling, 0u);
	rig_close(&g);
}

Test(ctl_opens, space_is_given_back_as_soon_as_all_have_asked_again)
{
	begin();
	close_it(&a);
	rig_restart(&g);
	cr_assert_eq(rig_bind_anew(&g, &a, NULL, 0), 0);
	cr_assert_eq(rig_bind_anew(&g, &b, NULL, 0), 0);
	ping(&a);
	ping(&b);
	cr_assert_eq(rig_unlink(&g, &b, "f"), 0);
	rig_wait(&g, 500);
	cr_assert_not(is_there());
	rig_close(&g);
}
