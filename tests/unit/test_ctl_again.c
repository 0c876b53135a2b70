/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A part of a scan that found no room in the open batch is taken again from where it began: what it had passed is not forgotten. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "tests/unit/ctl_rig.h"

enum {
	PART = 128,
	REST_PART = 256,
	ROOM = 2500
}; /* what a part passes; its record takes more bytes than ROOM, a create's less */

static struct rig g;
static struct rig_client a, b;
static uint64_t inos[REST_PART], generations[REST_PART];

static bool is_there(uint64_t ino)
{
	RIG_SAY(&g, b.conn, PR_T_GETATTR, b.session, 0, getattr,
		(&(struct pr_getattr){.ino = ino}));
	return rig_status(&g, b.conn, PR_T_GETATTR_R) == 0;
}

static uint64_t blocks_free(void)
{
	struct pr_statfs_r r;
	struct rig_mail m;

	RIG_SAY(&g, b.conn, PR_T_STATFS, b.session, 0, statfs, (&(struct pr_statfs){}));
	m = rig_take(&g, b.conn, PR_T_STATFS_R);
	cr_assert_eq(pr_statfs_r_decode(&r, m.p, m.f.length), 0);
	free(m.p);
	return r.blocks_free;
}

static void allocate(const char *name, uint64_t blocks)
{
	struct pr_allocate q = {.length = blocks * 4096};

	cr_assert_eq(rig_create(&g, &b, name, &q.ino), 0);
	RIG_SAY(&g, b.conn, PR_T_ALLOCATE, b.session, ++b.sequence[0], allocate, &q);
}

static void start(void)
{
	rig_open(&g);
	g.config.batch_bytes_max = 32 << 10;
	rig_boot(&g);
	rig_serve(&g);
	rig_volume(&g);
	cr_assert_eq(rig_client_open(&g, &a, 1, 0), 0);
	cr_assert_eq(rig_client_open(&g, &b, 2, 0), 0);
}

/* Files that a has open, and that b has removed. No block is free. */
static void begin(void)
{
	char name[16];

	start();
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

Test(ctl_again, a_part_that_found_no_room_is_taken_again_from_where_it_began)
{
	struct pr_allocate q = {.length = 4096};

	begin();
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

static uint64_t layout_get(uint64_t ino)
{
	struct pr_layout_get q = {.ino = ino, .blocks = 1, .mode = PR_LAYOUT_READ};
	struct pr_layout_get_r r;
	struct rig_mail m;

	RIG_SAY(&g, a.conn, PR_T_LAYOUT_GET, a.session, 0, layout_get, &q);
	m = rig_take(&g, a.conn, PR_T_LAYOUT_GET_R);
	cr_assert_eq(m.f.status, 0);
	cr_assert_eq(pr_layout_get_r_decode(&r, m.p, m.f.length), 0);
	free(m.p);
	return r.generation;
}

/* Files of one block each that were cut off while a has a layout of them: the blocks rest. No other is free. */
static void begin_resting(void)
{
	char name[16];

	start();
	for (int i = 0; i < REST_PART; i++) {
		struct pr_allocate q = {.length = 4096};

		snprintf(name, sizeof(name), "f%d", i);
		cr_assert_eq(rig_create(&g, &a, name, &q.ino), 0);
		inos[i] = q.ino;
		RIG_SAY(&g, a.conn, PR_T_ALLOCATE, a.session, ++a.sequence[0], allocate, &q);
		cr_assert_eq(rig_status(&g, a.conn, PR_T_ALLOCATE_R), 0);
	}
	for (int i = 0; i < REST_PART; i++) {
		struct pr_setattr q = {.ino = inos[i], .valid = PR_SET_SIZE};

		generations[i] = layout_get(inos[i]);
		RIG_SAY(&g, a.conn, PR_T_SETATTR, a.session, ++a.sequence[0], setattr, &q);
		cr_assert_eq(rig_status(&g, a.conn, PR_T_SETATTR_R), 0);
	}
	allocate("big", blocks_free() - REST_PART);
	cr_assert_eq(rig_status(&g, b.conn, PR_T_ALLOCATE_R), 0);
	cr_assert_eq(blocks_free(), REST_PART);
	rig_wait(&g, 2000);
}

Test(ctl_again, blocks_that_found_no_room_to_come_back_come_back)
{
	struct pr_allocate q = {.length = 4096};

	begin_resting();
	cr_assert_eq(rig_create(&g, &b, "more", &q.ino), 0);
	fill_open_batch();
	for (int i = 0; i < REST_PART; i++) {
		RIG_SAY(&g, a.conn, PR_T_LAYOUT_RETURN, a.session, 0, layout_return,
			(&(struct pr_layout_return){.ino = inos[i], .generation = generations[i]}));
		cr_assert_eq(rig_status(&g, a.conn, PR_T_LAYOUT_RETURN_R), 0);
	}
	RIG_SAY(&g, b.conn, PR_T_ALLOCATE, b.session, ++b.sequence[0], allocate, &q);
	cr_assert(g.ctl->batch_full, "there was no room for the part");
	cr_assert(g.ctl->reaping, "it waits");
	g.now_ms += CTL_SPACE_WAIT_MS + 100;
	g.hold_disk = false;
	rig_wait(&g, 1000);
	cr_assert_eq(rig_status(&g, b.conn, PR_T_ALLOCATE_R), 0);
	rig_close(&g);
}
