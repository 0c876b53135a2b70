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

/* Each close of one that is removed has all of them looked through anew. */
Test(ctl_reap, blocks_come_back_while_removed_files_are_closed_all_the_time)
{
	struct pr_allocate q = {.length = 1024 * 4096};
	uint64_t before;

	begin(MANY);
	before = blocks_free();
	cr_assert_eq(rig_create(&g, &b, "big", &q.ino), 0);
	RIG_SAY(&g, b.conn, PR_T_ALLOCATE, b.session, ++b.sequence[0], allocate, &q);
	cr_assert_eq(rig_status(&g, b.conn, PR_T_ALLOCATE_R), 0);
	cr_assert_eq(blocks_free(), before - 1024);
	cr_assert_eq(rig_unlink(&g, &b, "big"), 0);
	close_it(&b, q.ino);
	for (int i = 0; i < MANY / 2 && blocks_free() < before; i++)
		close_it(&a, inos[i]);
	cr_assert_eq(blocks_free(), before);
	rig_close(&g);
}
