/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a client has open, and does not know yet since the reply was lost: it has no name any more, and stands until the client asks again. */
#include <criterion/criterion.h>

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
	is_kept();
	cr_assert_eq(rig_bind(&g, &a, NULL, 0), 0);
	cr_assert_eq(ask_again(), 0);
	is_kept();
	close_it(&a);
	is_reaped();
	rig_close(&g);
}

Test(ctl_opens, one_that_the_bind_names_is_counted_once)
{
	struct pr_held held;

	begin();
	held = (struct pr_held){.ino = ino, .opens = 1};
	cr_assert_eq(rig_bind(&g, &a, &held, 1), 0);
	cr_assert_eq(rig_unlink(&g, &b, "f"), 0);
	is_kept();
	close_it(&a);
	is_reaped();
	rig_close(&g);
}

Test(ctl_opens, a_layout_that_the_bind_names_is_no_open)
{
	struct pr_held held;

	begin();
	held = (struct pr_held){.ino = ino, .layout = PR_LAYOUT_READ, .generation = 1};
	cr_assert_eq(rig_bind(&g, &a, &held, 1), 0);
	cr_assert_eq(ctl_held_find(g.ctl, ctl_session_find(g.ctl, a.session), ino)->opens, 1u);
	cr_assert_eq(ask_again(), 0);
	cr_assert_eq(ctl_held_find(g.ctl, ctl_session_find(g.ctl, a.session), ino)->opens, 1u);
	rig_close(&g);
}

Test(ctl_opens, one_that_was_closed_is_not_open_after_a_bind)
{
	begin();
	close_it(&a);
	cr_assert_eq(rig_bind(&g, &a, NULL, 0), 0);
	cr_assert_eq(rig_unlink(&g, &b, "f"), 0);
	is_reaped();
	rig_close(&g);
}

Test(ctl_opens, who_asks_on_in_the_slot_has_had_the_reply)
{
	begin();
	cr_assert_eq(rig_bind(&g, &a, NULL, 0), 0);
	cr_assert_eq(rig_unlink(&g, &b, "f"), 0);
	is_kept();
	cr_assert_eq(rig_create(&g, &a, "g", NULL), 0);
	is_reaped();
	rig_close(&g);
}

Test(ctl_opens, after_a_promotion_one_may_be_asked_again_for_a_lease)
{
	begin();
	rig_restart(&g);
	cr_assert_eq(rig_bind_anew(&g, &a, NULL, 0), 0);
	cr_assert_eq(rig_bind_anew(&g, &b, NULL, 0), 0);
	cr_assert_eq(rig_unlink(&g, &b, "f"), 0);
	is_kept();
	cr_assert_eq(ask_again(), 0);
	rig_wait(&g, 12000);
	is_kept();
	close_it(&a);
	is_reaped();
	rig_close(&g);
}

Test(ctl_opens, what_nobody_asks_for_within_a_lease_goes)
{
	begin();
	rig_restart(&g);
	cr_assert_eq(rig_bind_anew(&g, &a, NULL, 0), 0);
	cr_assert_eq(rig_bind_anew(&g, &b, NULL, 0), 0);
	cr_assert_eq(rig_unlink(&g, &b, "f"), 0);
	rig_wait(&g, 6000);
	is_kept();
	rig_wait(&g, 2000);
	is_reaped();
	rig_close(&g);
}

Test(ctl_opens, what_the_new_active_has_made_waits_for_nobody)
{
	begin();
	rig_restart(&g);
	cr_assert_eq(rig_bind_anew(&g, &a, NULL, 0), 0);
	cr_assert_eq(rig_bind_anew(&g, &b, NULL, 0), 0);
	cr_assert_eq(rig_create(&g, &b, "new", &ino), 0);
	close_it(&b);
	cr_assert_eq(rig_unlink(&g, &b, "new"), 0);
	is_reaped();
	rig_close(&g);
}

Test(ctl_opens, who_binds_once_more_has_a_lease_more_but_not_for_ever)
{
	begin();
	rig_restart(&g);
	cr_assert_eq(rig_bind_anew(&g, &b, NULL, 0), 0);
	cr_assert_eq(rig_bind_anew(&g, &a, NULL, 0), 0);
	cr_assert_eq(rig_unlink(&g, &b, "f"), 0);
	for (int i = 0; i < 5; i++) {
		rig_wait(&g, 5000);
		cr_assert_eq(rig_bind_anew(&g, &a, NULL, 0), 0);
	}
	is_kept();
	for (int i = 0; i < 3; i++) {
		rig_wait(&g, 5000);
		cr_assert_eq(rig_bind_anew(&g, &a, NULL, 0), 0);
	}
	is_reaped();
	rig_close(&g);
}
