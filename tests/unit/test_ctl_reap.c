/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What has no name and is closed goes, and its blocks come back: of many that are still open none is forgotten, and none stands in the way. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "tests/unit/ctl_rig.h"

enum { MANY = 2500 };

static struct rig g;
static struct rig_client a, b;
static uint64_t inos[MANY];

static bool is_there(uint64_t ino)
{
	RIG_SAY(&g, b.conn, PR_T_GETATTR, b.session, 0, getattr,
		(&(struct pr_getattr){.ino = ino}));
	return rig_status(&g, b.conn, PR_T_GETATTR_R) == 0;
}

static void close_it(struct rig_client *cl, uint64_t ino)
{
	RIG_SAY(&g, cl->conn, PR_T_CLOSE, cl->session, 0, close,
		(&(struct pr_close){.ino = ino, .opens = 1}));
	cr_assert_eq(rig_status(&g, cl->conn, PR_T_CLOSE_R), 0);
}

/* Files that a has open, and that b has removed. */
static void begin(int count)
{
	char name[16];

	rig_start_one(&g, &a);
	cr_assert_eq(rig_client_open(&g, &b, 2, 0), 0);
	for (int i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		cr_assert_eq(rig_create(&g, &a, name, &inos[i]), 0);
		cr_assert_eq(rig_unlink(&g, &b, name), 0);
	}
	rig_wait(&g, 2000);
}

/* They are looked through in parts, the last of which has nothing in it. */
Test(ctl_reap, of_many_that_are_open_none_is_forgotten)
{
	begin(128);
	close_it(&a, inos[64]);
	rig_wait(&g, 1000);
	cr_assert_not(is_there(inos[64]));
	close_it(&a, inos[0]);
	rig_wait(&g, 1000);
	cr_assert_not(is_there(inos[0]));
	cr_assert(is_there(inos[127]));
	rig_close(&g);
}

static uint64_t blocks_free(void)
{
	struct pr_statfs q = {};
	struct pr_statfs_r r;
	struct rig_mail m;

	RIG_SAY(&g, b.conn, PR_T_STATFS, b.session, 0, statfs, &q);
	m = rig_take(&g, b.conn, PR_T_STATFS_R);
	cr_assert_eq(pr_statfs_r_decode(&r, m.p, m.f.length), 0);
	free(m.p);
	return r.blocks_free;
}

/* In a slot of its own: it may wait. */
static void allocate(uint64_t ino, uint64_t blocks)
{
	struct pr_frame f = {.type = PR_T_ALLOCATE, .session = b.session, .slot = 1};
	struct pr_allocate q = {.ino = ino, .length = blocks * 4096};

	f.sequence = ++b.sequence[1];
	RIG_SEND(&g, b.conn, &f, allocate, &q);
	rig_run(&g);
}

/* Whoever waits for space has all that are open looked through again and again: the blocks that rest have their turn between. */
Test(ctl_reap, blocks_come_back_though_very_many_removed_files_are_open)
{
	uint64_t big, next;

	begin(MANY);
	cr_assert_eq(rig_create(&g, &b, "big", &big), 0);
	cr_assert_eq(rig_create(&g, &b, "next", &next), 0);
	allocate(big, blocks_free());
	cr_assert_eq(rig_status(&g, b.conn, PR_T_ALLOCATE_R), 0);
	allocate(next, 1024);
	rig_wait(&g, 300);
	cr_assert_not(rig_has(&g, b.conn, PR_T_ALLOCATE_R), "it waits");
	cr_assert_eq(rig_unlink(&g, &b, "big"), 0);
	close_it(&b, big);
	rig_wait(&g, CTL_SPACE_WAIT_MS + 500);
	cr_assert_eq(rig_status(&g, b.conn, PR_T_ALLOCATE_R), 0);
	rig_close(&g);
}
