/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What has no name and is closed goes, and its blocks come back: of many that are still open none is forgotten, and none stands in the way. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "tests/unit/ctl_rig.h"

enum {
	MANY = 2500,
	PART = 128,  /* inodes that a part of a scan passes */
	ROOM = 2500, /* bytes: a create takes less, the deletion of PART inodes takes more */
};

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
	begin(PART);
	close_it(&a, inos[PART / 2]);
	rig_wait(&g, 1000);
	cr_assert_not(is_there(inos[PART / 2]));
	close_it(&a, inos[0]);
	rig_wait(&g, 1000);
	cr_assert_not(is_there(inos[0]));
	cr_assert(is_there(inos[PART - 1]));
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

static void allocate(const char *name, uint64_t blocks)
{
	struct pr_allocate q = {.length = blocks * 4096};

	cr_assert_eq(rig_create(&g, &b, name, &q.ino), 0);
	RIG_SAY(&g, b.conn, PR_T_ALLOCATE, b.session, ++b.sequence[0], allocate, &q);
}

/* Files that a has open, and that b has removed. No block is free. */
static void begin_full(void)
{
	char name[16];

	rig_open(&g);
	g.config.batch_bytes_max = 32 << 10;
	rig_boot(&g);
	rig_serve(&g);
	rig_volume(&g);
	cr_assert_eq(rig_client_open(&g, &a, 1, 0), 0);
	cr_assert_eq(rig_client_open(&g, &b, 2, 0), 0);
	for (int i = 0; i < PART; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		cr_assert_eq(rig_create(&g, &a, name, &inos[i]), 0);
		cr_assert_eq(rig_unlink(&g, &b, name), 0);
	}
	allocate("big", blocks_free());
	cr_assert_eq(rig_status(&g, b.conn, PR_T_ALLOCATE_R), 0);
	cr_assert_eq(blocks_free(), 0u);
	rig_wait(&g, 2000);
}

/* The journal takes no more; what is open has little room left. */
static void fill_open_batch(void)
{
	char name[16];

	g.hold_disk = true;
	for (int i = 0; i < 2 || g.ctl->open.cap - g.ctl->open.len > ROOM; i++) {
		snprintf(name, sizeof(name), "x%d", i);
		rig_create_send(&g, &b, 1, name);
		rig_run(&g);
	}
	cr_assert_gt(g.ctl->open_count, 0u);
	cr_assert_not(g.ctl->batch_full);
}

Test(ctl_reap, a_part_that_found_no_room_is_taken_again_from_where_it_began)
{
	struct pr_allocate q = {.length = 4096};

	begin_full();
	cr_assert_eq(rig_create(&g, &b, "more", &q.ino), 0);
	fill_open_batch();
	for (int i = 0; i < PART; i++)
		RIG_SAY(&g, a.conn, PR_T_CLOSE, a.session, 0, close,
			(&(struct pr_close){.ino = inos[i], .opens = 1}));
	cr_assert_not(g.ctl->batch_full, "nothing is reaped while more urgent things wait");
	/* unless somebody is short of space */
	RIG_SAY(&g, b.conn, PR_T_ALLOCATE, b.session, ++b.sequence[0], allocate, &q);
	cr_assert(g.ctl->batch_full, "there was no room for the part");
	cr_assert(g.ctl->reaping, "it waits");
	/* who is short of space waits no longer, and has nothing looked through anew */
	g.now_ms += CTL_SPACE_WAIT_MS + 100;
	g.hold_disk = false;
	rig_wait(&g, 1000);
	cr_assert_eq(rig_status(&g, b.conn, PR_T_ALLOCATE_R), ENOSPC);
	cr_assert_not(g.ctl->reaping);
	for (int i = 0; i < PART; i++)
		cr_assert_not(is_there(inos[i]), "%d", i);
	rig_close(&g);
}
