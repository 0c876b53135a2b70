/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Layouts: who waits for whom, what is recalled, and who is fenced. */
#include <criterion/criterion.h>
#include <stdio.h>
#include "tests/unit/ctl_rig.h"

static struct rig g;
static struct rig_client a, b;

/* Asks for blocks of the file; the answer is in the mail, or comes later. */
static void layout_ask(struct rig_client *cl, uint64_t ino, uint8_t mode, uint64_t block,
		       uint64_t blocks)
{
	struct pr_frame f = {.type = PR_T_LAYOUT_GET, .session = cl->session};
	struct pr_layout_get q = {.ino = ino, .file_block = block, .blocks = blocks, .mode = mode};

	RIG_SEND(&g, cl->conn, &f, layout_get, &q);
	rig_run(&g);
}

/* Of the first blocks: the status, or UINT32_MAX while it waits. */
static uint32_t layout_get(struct rig_client *cl, uint64_t ino, uint8_t mode,
			   uint64_t *ret_generation)
{
	struct pr_layout_get_r r;
	struct rig_mail m;

	layout_ask(cl, ino, mode, 0, 4);
	if (!rig_has(&g, cl->conn, PR_T_LAYOUT_GET_R))
		return UINT32_MAX;
	m = rig_take(&g, cl->conn, PR_T_LAYOUT_GET_R);
	if (m.f.status == 0 && ret_generation) {
		cr_assert_eq(pr_layout_get_r_decode(&r, m.p, m.f.length), 0);
		*ret_generation = r.generation;
	}
	free(m.p);
	return m.f.status;
}

static void layout_return(struct rig_client *cl, uint64_t ino, uint64_t generation)
{
	struct pr_frame f = {.type = PR_T_LAYOUT_RETURN, .session = cl->session};
	struct pr_layout_return q = {.ino = ino, .generation = generation};

	RIG_SEND(&g, cl->conn, &f, layout_return, &q);
	rig_run(&g);
}

Test(ctl, who_answers_but_returns_no_layout_is_fenced_after_the_recalls_time)
{
	uint64_t ino, alive;

	rig_start_one(&g, &a);
	cr_assert_eq(rig_client_open(&g, &b, 2, 0), 0);
	cr_assert_eq(rig_create(&g, &a, "f", &ino), 0);
	cr_assert_eq(layout_get(&a, ino, PR_LAYOUT_WRITE, NULL), 0);
	alive = a.session;
	cr_assert_eq(layout_get(&b, ino, PR_LAYOUT_WRITE, NULL), UINT32_MAX);
	for (unsigned s = 0; s < CTL_RECALL_MS / 1000 - 1; s++) {
		rig_wait(&g, 1000);
		cr_assert_eq(rig_lookup(&g, &a, "f", NULL), 0, "it answers");
		cr_assert_eq(rig_lookup(&g, &b, "f", NULL), 0);
		cr_assert_eq(g.fence_asked, 0, "after %u s", s);
	}
	cr_assert_not(rig_has(&g, b.conn, PR_T_LAYOUT_GET_R));
	rig_wait(&g, 3000);
	cr_assert_eq(g.fence_asked, alive);
	cr_assert_eq(rig_status(&g, b.conn, PR_T_LAYOUT_GET_R), 0);
	cr_assert_eq(rig_lookup(&g, &a, "f", NULL), PR_E_BAD_SESSION);
	rig_close(&g);
}

static void b_waits_for_the_layout_of_a(void)
{
	uint64_t ino;

	rig_start_one(&g, &a);
	cr_assert_eq(rig_client_open(&g, &b, 2, 0), 0);
	cr_assert_eq(rig_create(&g, &a, "f", &ino), 0);
	cr_assert_eq(layout_get(&a, ino, PR_LAYOUT_WRITE, NULL), 0);
	cr_assert_eq(layout_get(&b, ino, PR_LAYOUT_WRITE, NULL), UINT32_MAX);
}

/* Who holds it may have to commit before he can return it. */
Test(ctl, a_recall_does_not_run_while_nothing_is_committed)
{
	struct pr_ping alive = {0};

	b_waits_for_the_layout_of_a();
	g.hold_disk = true;
	rig_create_send(&g, &a, 2, "g");
	for (unsigned s = 0; s < CTL_RECALL_MS / 1000 + 5; s++) {
		rig_wait(&g, 1000);
		RIG_SAY(&g, a.conn, PR_T_PING, a.session, 0, ping, &alive);
		RIG_SAY(&g, b.conn, PR_T_PING, b.session, 0, ping, &alive);
	}
	g.hold_disk = false;
	rig_wait(&g, 1000);
	cr_assert_eq(g.fence_asked, 0);
	for (unsigned s = 0; s < CTL_RECALL_MS / 1000 + 2; s++) {
		RIG_SAY(&g, a.conn, PR_T_PING, a.session, 0, ping, &alive);
		RIG_SAY(&g, b.conn, PR_T_PING, b.session, 0, ping, &alive);
		rig_wait(&g, 1000);
	}
	cr_assert_eq(g.fence_asked, a.session, "and then it does");
	rig_close(&g);
}

Test(ctl, who_stood_still_itself_waits_for_the_returns_it_has_not_read)
{
	b_waits_for_the_layout_of_a();
	g.now_ms += CTL_RECALL_MS + 5000;
	rig_wait(&g, 2000);
	cr_assert_eq(g.fence_asked, 0);
	rig_close(&g);
}

Test(ctl, a_session_opened_anew_after_a_promotion_keeps_nobody_waiting)
{
	uint64_t ino;

	rig_start_one(&g, &a);
	cr_assert_eq(rig_client_open(&g, &b, 2, 0), 0);
	cr_assert_eq(rig_create(&g, &a, "f", &ino), 0);
	rig_restart(&g);
	cr_assert_eq(rig_bind_anew(&g, &a, NULL, 0), 0);
	cr_assert_eq(layout_get(&a, ino, PR_LAYOUT_WRITE, NULL), UINT32_MAX, "b may hold it");
	cr_assert_eq(rig_client_open(&g, &b, 2, 0), 0, "it never heard that its session stands");
	rig_wait(&g, 300);
	cr_assert_eq(rig_status(&g, a.conn, PR_T_LAYOUT_GET_R), 0);
	rig_close(&g);
}

static void close_file(struct rig_client *cl, uint64_t ino)
{
	struct pr_frame f = {.type = PR_T_CLOSE, .session = cl->session};
	struct pr_close q = {.ino = ino, .opens = 1};

	RIG_SEND(&g, cl->conn, &f, close, &q);
	rig_run(&g);
	cr_assert_eq(rig_status(&g, cl->conn, PR_T_CLOSE_R), 0);
}

/* a has taken every block for a file, and removed it; its layout stands. */
static uint64_t all_space_is_held(void)
{
	uint64_t large;

	rig_start_one(&g, &a);
	cr_assert_eq(rig_client_open(&g, &b, 2, 0), 0);
	cr_assert_eq(rig_create(&g, &a, "large", &large), 0);
	for (uint64_t at = 0;; at += 256) {
		layout_ask(&a, large, PR_LAYOUT_WRITE, at, 256);
		if (rig_status(&g, a.conn, PR_T_LAYOUT_GET_R))
			break;
	}
	cr_assert_eq(rig_unlink(&g, &a, "large"), 0);
	close_file(&a, large);
	return large;
}

Test(ctl, who_finds_no_space_waits_for_what_is_asked_back)
{
	uint64_t large = all_space_is_held(), small;
	struct pr_recall recall;
	struct rig_mail m;

	cr_assert_eq(rig_create(&g, &b, "small", &small), 0);
	layout_ask(&b, small, PR_LAYOUT_WRITE, 0, 600);
	rig_wait(&g, 1000);
	cr_assert_not(rig_has(&g, b.conn, PR_T_LAYOUT_GET_R), "it waits");
	m = rig_take(&g, a.conn, PR_T_RECALL);
	cr_assert_eq(pr_recall_decode(&recall, m.p, m.f.length), 0);
	free(m.p);
	cr_assert_eq(recall.ino, large);
	layout_return(&a, large, recall.generation);
	rig_wait(&g, 1000);
	cr_assert_eq(rig_status(&g, b.conn, PR_T_LAYOUT_GET_R), 0);
	rig_close(&g);
}

Test(ctl, who_finds_no_space_does_not_wait_for_ever)
{
	uint64_t small;

	all_space_is_held();
	cr_assert_eq(rig_create(&g, &b, "small", &small), 0);
	layout_ask(&b, small, PR_LAYOUT_WRITE, 0, 600);
	rig_wait(&g, CTL_SPACE_WAIT_MS - 500);
	cr_assert_not(rig_has(&g, b.conn, PR_T_LAYOUT_GET_R));
	rig_wait(&g, 1500);
	cr_assert_eq(rig_status(&g, b.conn, PR_T_LAYOUT_GET_R), ENOSPC);
	rig_close(&g);
}

Test(ctl, a_conflicting_layout_waits_for_the_recalled_one)
{
	uint64_t ino, generation;

	rig_start_one(&g, &a);
	cr_assert_eq(rig_client_open(&g, &b, 2, 0), 0);
	cr_assert_eq(rig_create(&g, &a, "f", &ino), 0);
	cr_assert_eq(layout_get(&a, ino, PR_LAYOUT_WRITE, &generation), 0);
	cr_assert_eq(layout_get(&a, ino, PR_LAYOUT_READ, &generation), 0,
		     "its own is never in the way");
	cr_assert_eq(layout_get(&b, ino, PR_LAYOUT_READ, NULL), UINT32_MAX);
	cr_assert(rig_has(&g, a.conn, PR_T_RECALL));
	layout_return(&a, ino, generation);
	cr_assert_eq(rig_status(&g, b.conn, PR_T_LAYOUT_GET_R), 0);
	cr_assert_eq(layout_get(&a, ino, PR_LAYOUT_READ, NULL), 0, "readers share");
	rig_close(&g);
}

Test(ctl, a_dead_writer_is_fenced_before_its_layout_is_given_on)
{
	uint64_t ino, dead;

	rig_start_one(&g, &a);
	cr_assert_eq(rig_client_open(&g, &b, 2, 0), 0);
	cr_assert_eq(rig_create(&g, &a, "f", &ino), 0);
	cr_assert_eq(layout_get(&a, ino, PR_LAYOUT_WRITE, NULL), 0);
	dead = a.session;
	g.hold_fence = true;
	rig_hang_up(&g, a.conn);
	cr_assert_eq(layout_get(&b, ino, PR_LAYOUT_WRITE, NULL), UINT32_MAX);
	rig_wait(&g, 12000);
	cr_assert_eq(g.fence_asked, dead);
	cr_assert_not(rig_has(&g, b.conn, PR_T_LAYOUT_GET_R), "not before it is proven silent");
	rig_step(&g, &(struct ctl_event){.type = CTL_EV_CLIENT_FENCED, .session = dead});
	rig_run(&g);
	cr_assert_eq(rig_status(&g, b.conn, PR_T_LAYOUT_GET_R), 0);
	rig_close(&g);
}

Test(ctl, after_a_promotion_layouts_wait_until_every_session_has_rebound)
{
	struct pr_held held;
	uint64_t ino, generation;

	rig_start_one(&g, &a);
	cr_assert_eq(rig_client_open(&g, &b, 2, 0), 0);
	cr_assert_eq(rig_create(&g, &a, "f", &ino), 0);
	cr_assert_eq(layout_get(&a, ino, PR_LAYOUT_WRITE, &generation), 0);
	rig_restart(&g);
	cr_assert_eq(rig_bind_anew(&g, &b, NULL, 0), 0);
	cr_assert_eq(layout_get(&b, ino, PR_LAYOUT_READ, NULL), UINT32_MAX);
	held = (struct pr_held){.ino = ino, .layout = PR_LAYOUT_WRITE, .generation = generation};
	cr_assert_eq(rig_bind_anew(&g, &a, &held, 1), 0);
	cr_assert_not(rig_has(&g, b.conn, PR_T_LAYOUT_GET_R));
	cr_assert(rig_has(&g, a.conn, PR_T_RECALL), "what a told is recalled now");
	layout_return(&a, ino, generation);
	cr_assert_eq(rig_status(&g, b.conn, PR_T_LAYOUT_GET_R), 0);
	rig_close(&g);
}

/* What it was given and did not write goes back, though another active gave it. */
Test(ctl, what_was_not_written_before_a_promotion_goes_back_with_the_layout)
{
	struct pr_held held = {.layout = PR_LAYOUT_WRITE};
	struct pr_layout_get_r r;
	struct pr_extent first;
	struct rig_mail m;

	rig_start_one(&g, &a);
	cr_assert_eq(rig_create(&g, &a, "f", &held.ino), 0);
	cr_assert_eq(layout_get(&a, held.ino, PR_LAYOUT_WRITE, &held.generation), 0);
	rig_restart(&g);
	cr_assert_eq(rig_bind_anew(&g, &a, &held, 1), 0);
	layout_return(&a, held.ino, held.generation);
	rig_wait(&g, 1000);
	layout_ask(&a, held.ino, PR_LAYOUT_READ, 0, 4);
	m = rig_take(&g, a.conn, PR_T_LAYOUT_GET_R);
	cr_assert_eq(pr_layout_get_r_decode(&r, m.p, m.f.length), 0);
	cr_assert(pr_extent_next(&r.extents, &first));
	cr_assert_eq(first.state, PR_EXTENT_HOLE, "it lies there for nothing");
	free(m.p);
	rig_close(&g);
}

/* a was lost with the old active, b is back. */
static void only_b_is_back(uint32_t flags_of_a, uint64_t *ret_ino)
{
	rig_start(&g);
	cr_assert_eq(rig_client_open(&g, &a, 1, flags_of_a), 0);
	cr_assert_eq(rig_client_open(&g, &b, 2, 0), 0);
	cr_assert_eq(rig_create(&g, &b, "old", ret_ino), 0);
	rig_restart(&g);
	cr_assert_eq(rig_bind_anew(&g, &b, NULL, 0), 0);
}

Test(ctl, after_a_promotion_only_what_the_lost_client_may_hold_waits_for_it)
{
	uint64_t old, fresh, generation;
	struct pr_held held;

	only_b_is_back(0, &old);
	cr_assert_eq(rig_create(&g, &b, "fresh", &fresh), 0);
	cr_assert_eq(layout_get(&b, fresh, PR_LAYOUT_WRITE, NULL), 0, "made by this active");
	cr_assert_eq(layout_get(&b, old, PR_LAYOUT_READ, NULL), UINT32_MAX);
	rig_says(rig_admin(&g, "clients"), "\"state\":\"not back\",\"blocks_others\":true");
	rig_close(&g);

	only_b_is_back(PR_OPEN_READER, &old);
	cr_assert_eq(layout_get(&b, old, PR_LAYOUT_READ, NULL), 0,
		     "a reader is in no reader's way");
	cr_assert_eq(layout_get(&b, old, PR_LAYOUT_WRITE, NULL), UINT32_MAX);
	rig_close(&g);

	/* Back once, it may hold what is new; while it says anew what, that waits too. */
	only_b_is_back(0, &old);
	cr_assert_eq(rig_create(&g, &b, "fresh", &fresh), 0);
	cr_assert_eq(rig_bind_anew(&g, &a, NULL, 0), 0);
	cr_assert_eq(layout_get(&a, fresh, PR_LAYOUT_WRITE, &generation), 0);
	ctl_session_find(g.ctl, a.session)->rebound = false;
	g.ctl->unbound++;
	ctl_held_drop_all(g.ctl, ctl_session_find(g.ctl, a.session));
	cr_assert_eq(layout_get(&b, fresh, PR_LAYOUT_WRITE, NULL), UINT32_MAX);
	held = (struct pr_held){.ino = fresh, .layout = PR_LAYOUT_WRITE, .generation = generation};
	cr_assert_eq(rig_bind(&g, &a, &held, 1), 0);
	cr_assert_not(rig_has(&g, b.conn, PR_T_LAYOUT_GET_R));
	rig_close(&g);
}

Test(ctl, an_eviction_fences_before_it_lets_others_go_on)
{
	char evict[64];
	uint64_t old;

	only_b_is_back(0, &old);
	cr_assert_eq(layout_get(&b, old, PR_LAYOUT_WRITE, NULL), UINT32_MAX);
	g.hold_fence = true;
	snprintf(evict, sizeof(evict), "evict %llu", (unsigned long long)a.session);
	rig_admin(&g, evict);
	cr_assert_eq(g.admin_error, 0, "%s", g.admin);
	rig_wait(&g, 1000);
	cr_assert_eq(g.fence_asked, a.session);
	cr_assert_not(rig_has(&g, b.conn, PR_T_LAYOUT_GET_R), "not before it is proven silent");
	rig_says(rig_admin(&g, "clients"), "being fenced");
	rig_step(&g, &(struct ctl_event){.type = CTL_EV_CLIENT_FENCED, .session = a.session});
	rig_run(&g);
	cr_assert_eq(rig_status(&g, b.conn, PR_T_LAYOUT_GET_R), 0);
	rig_admin(&g, evict);
	cr_assert_eq(g.admin_error, -ENOENT);
	rig_says(g.admin, "there is no session");
	/* one that is alive */
	snprintf(evict, sizeof(evict), "evict %llu", (unsigned long long)b.session);
	rig_admin(&g, evict);
	cr_assert_eq(g.admin_error, -EBUSY);
	rig_says(g.admin, "--force host");
	strcat(evict, " host");
	g.hold_fence = false;
	rig_admin(&g, evict);
	cr_assert_eq(g.admin_error, 0, "%s", g.admin);
	rig_wait(&g, 1000);
	cr_assert_eq(g.fence_asked, b.session, "it holds a layout");
	cr_assert(rig_has(&g, b.conn, PR_T_EVICTED));
	rig_close(&g);
}
