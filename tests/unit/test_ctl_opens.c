/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a client has open, and does not know yet since the reply was lost, has no name any more: it stands until the client has asked again. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "tests/unit/ctl_rig.h"

static struct rig g;
static struct rig_client a, b;
static uint64_t ino, binds;

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

static void bind_in_parts(struct rig_client *cl, uint32_t flags)
{
	struct pr_session_bind q = {.session = cl->session, .client = cl->uuid, .flags = flags};

	RIG_SAY(&g, cl->conn, PR_T_SESSION_BIND, 0, binds, session_bind, &q);
	cr_assert_eq(rig_status(&g, cl->conn, PR_T_SESSION_BIND_R), 0);
}

/* It names nothing. */
static void bind_it(struct rig_client *cl)
{
	binds++;
	bind_in_parts(cl, 0);
}

static void bind_anew(struct rig_client *cl)
{
	cl->conn = rig_connect(&g);
	cr_assert_eq(rig_hello(&g, cl->conn, &cl->uuid, "vol1"), 0);
	bind_it(cl);
}

static void ping_behind(struct rig_client *cl, uint64_t bind)
{
	RIG_SAY(&g, cl->conn, PR_T_PING, cl->session, bind, ping, (&(struct pr_ping){.nonce = 1}));
	cr_assert_eq(rig_status(&g, cl->conn, PR_T_PING_R), 0);
}

/* Behind its last bind, and all that it asks again. */
static void ping(struct rig_client *cl)
{
	ping_behind(cl, binds);
}

/* So much waits that no more is taken. */
static void create_refused(struct rig_client *cl, uint32_t slot, const char *name)
{
	uint32_t parked = g.ctl->parked;

	g.ctl->parked = CTL_OPS_MAX;
	rig_create_send(&g, cl, slot, name);
	rig_run(&g);
	cr_assert_eq(rig_status(&g, cl->conn, PR_T_CREATE_R), PR_E_BUSY);
	g.ctl->parked = parked;
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
	bind_it(&a);
	cr_assert_eq(rig_unlink(&g, &b, "f"), 0);
	is_kept();
	bind_it(&a);
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
	bind_anew(&b);
	ping(&b);
	bind_anew(&a);
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
	bind_it(&a);
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
	bind_it(&a);
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

/* The client has heard of its bind before it asks anything again: a ping from before that is behind nothing. */
Test(ctl_opens, a_ping_that_is_behind_no_bind_or_another_says_nothing)
{
	begin();
	bind_it(&a);
	cr_assert_eq(rig_unlink(&g, &b, "f"), 0);
	ping_behind(&a, 0);
	ping_behind(&a, binds - 1);
	ping_behind(&a, binds + 1);
	is_kept();
	ping(&a);
	is_reaped();
	rig_close(&g);
}

Test(ctl_opens, a_ping_of_a_bind_before_the_last_says_nothing)
{
	begin();
	bind_it(&a);
	bind_it(&a);
	cr_assert_eq(rig_unlink(&g, &b, "f"), 0);
	ping_behind(&a, binds - 1);
	is_kept();
	cr_assert_eq(ask_again(), 0);
	ping(&a);
	is_kept();
	rig_close(&g);
}

Test(ctl_opens, a_bind_in_parts_is_not_over_by_a_ping_between_them)
{
	begin();
	binds++;
	bind_in_parts(&a, PR_BIND_MORE);
	ping(&a);
	bind_in_parts(&a, 0);
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
	bind_anew(&b);
	ping(&b);
	bind_anew(&a);
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

/* The slot is known, but its row is in the store alone. */
Test(ctl_opens, what_was_asked_again_and_was_evicted_is_not_passed_by_a_ping)
{
	char name[16];

	rig_open(&g);
	g.config.cache_bytes = 16 << 10;
	rig_boot(&g);
	rig_serve(&g);
	rig_volume(&g);
	cr_assert_eq(rig_client_open(&g, &a, 1, 0), 0);
	cr_assert_eq(rig_client_open(&g, &b, 2, 0), 0);
	cr_assert_eq(rig_create(&g, &a, "f", &ino), 0);
	for (int i = 0; i < 600; i++) {
		snprintf(name, sizeof(name), "x%d", i);
		cr_assert_eq(rig_create(&g, &b, name, NULL), 0);
		if (i % 100 != 99)
			continue;
		rig_wait(&g, 6000);
		ping_behind(&a, 0);
		ping_behind(&b, 0);
	}
	bind_it(&a);
	cr_assert_eq(rig_unlink(&g, &b, "f"), 0);
	is_kept();
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
	is_kept();
	ping(&a);
	is_kept();
	close_it(&a);
	is_reaped();
	rig_close(&g);
}

/* So much waits that more is refused: the client asks once more, later. */
Test(ctl_opens, what_was_asked_again_and_refused_is_not_passed_by_a_ping)
{
	begin();
	bind_it(&a);
	cr_assert_eq(rig_unlink(&g, &b, "f"), 0);
	a.sequence[0]--;
	create_refused(&a, 0, "f");
	ping(&a);
	ping(&a);
	is_kept();
	cr_assert_eq(ask_again(), 0);
	ping(&a);
	is_kept();
	close_it(&a);
	is_reaped();
	rig_close(&g);
}

/* It was not executed before: it opens nothing that the client could not know. */
Test(ctl_opens, a_new_request_that_is_refused_holds_nothing_back)
{
	begin();
	bind_it(&a);
	cr_assert_eq(ask_again(), 0);
	cr_assert_eq(rig_unlink(&g, &b, "f"), 0);
	create_refused(&a, 1, "new");
	ping(&a);
	close_it(&a);
	is_reaped();
	rig_close(&g);
}

/* It cannot know how the other's slots stand. */
Test(ctl_opens, what_is_refused_on_a_connection_of_another_says_nothing)
{
	struct rig_client other;
	begin();
	bind_it(&a);
	other = b;
	other.session = a.session;
	create_refused(&other, 0, "f");
	ping(&a);
	cr_assert_eq(rig_unlink(&g, &b, "f"), 0);
	is_reaped();
	rig_close(&g);
}

/* It stands until its end, or its fence, is journaled: then it is told nothing any more. */
Test(ctl_opens, a_session_that_ends_holds_nothing_back)
{
	char text[64];

	begin();
	bind_it(&a);
	cr_assert_eq(rig_unlink(&g, &b, "f"), 0);
	is_kept();
	snprintf(text, sizeof(text), "evict %llu host", (unsigned long long)a.session);
	rig_admin(&g, text);
	is_reaped();
	rig_close(&g);
}

Test(ctl_opens, a_session_that_is_being_fenced_holds_back_what_it_is_known_to_have)
{
	struct pr_layout_get q;
	uint64_t other;
	char text[64];

	begin();
	cr_assert_eq(rig_create(&g, &a, "g", &other), 0);
	bind_it(&a);
	q = (struct pr_layout_get){.ino = other, .blocks = 1, .mode = PR_LAYOUT_WRITE};
	RIG_SAY(&g, a.conn, PR_T_LAYOUT_GET, a.session, 3, layout_get, &q);
	cr_assert_eq(rig_status(&g, a.conn, PR_T_LAYOUT_GET_R), 0);
	cr_assert_eq(rig_unlink(&g, &b, "f"), 0);
	is_kept();
	g.hold_fence = true;
	snprintf(text, sizeof(text), "evict %llu host", (unsigned long long)a.session);
	rig_admin(&g, text);
	rig_run(&g);
	cr_assert_neq(ctl_session_find(g.ctl, a.session)->fence, 0);
	is_reaped();
	rig_close(&g);
}

/* What it opens is not stored: it opens anew, or is told that there is nothing. */
Test(ctl_opens, a_reader_holds_nothing_back)
{
	struct rig_client reader;

	begin();
	close_it(&a);
	cr_assert_eq(rig_client_open(&g, &reader, 3, PR_OPEN_READER), 0);
	bind_it(&reader);
	cr_assert_eq(rig_unlink(&g, &b, "f"), 0);
	is_reaped();
	rig_close(&g);
}

Test(ctl_opens, space_is_given_back_as_soon_as_all_have_asked_again)
{
	begin();
	close_it(&a);
	rig_restart(&g);
	bind_anew(&a);
	ping(&a);
	bind_anew(&b);
	ping(&b);
	cr_assert_eq(rig_unlink(&g, &b, "f"), 0);
	rig_wait(&g, 500);
	cr_assert_not(is_there());
	rig_close(&g);
}
