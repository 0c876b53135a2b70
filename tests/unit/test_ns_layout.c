/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Layouts, allocation, truncation: bounds, states, what is given back. */
#include <criterion/criterion.h>
#include <errno.h>
#include <sys/stat.h>

#include "controller/core/ns_node.h"
#include "tests/unit/ns_fake.h"

static uint64_t file(const char *name)
{
	struct pr_create q = {
		.cred = FAKE_ROOT, .parent = 1, .mode = 0644, .name = pr_bytes_str(name)};
	struct pr_create_r a;

	cr_assert_eq(FAKE_RUN(ns_create(&fake_tx, &q, &a)), 0);
	return a.attr.ino;
}

static struct pr_attr attr(uint64_t ino)
{
	struct pr_getattr q = {.ino = ino};
	struct pr_getattr_r a;

	cr_assert_eq(FAKE_RUN(ns_getattr(&fake_tx, &q, &a)), 0);
	return a.attr;
}

static struct pr_list got;
static struct pr_extent first;

/* Extents into got, the first of them into first. */
static int get(uint64_t ino, uint64_t at, uint64_t blocks, uint8_t mode)
{
	struct pr_layout_get q = {.ino = ino, .file_block = at, .blocks = blocks, .mode = mode};
	struct pr_layout_get_r a;
	struct pr_list it;
	int r = FAKE_RUN_EACH_MISS(ns_layout_get(&fake_tx, &q, &a));

	if (r == 0) {
		it = got = a.extents;
		cr_assert(pr_extent_next(&it, &first), "never nothing");
	}
	return r;
}

static int commit(uint64_t ino, uint64_t at, uint64_t blocks, uint64_t size)
{
	struct pr_range range = {.file_block = at, .blocks = blocks};
	uint8_t bytes[16];
	struct pr_buf b = pr_buf_on(bytes, sizeof(bytes));
	struct pr_layout_commit q = {.cred = FAKE_ROOT,
				     .ino = ino,
				     .flags = PR_LC_SIZE,
				     .size = size,
				     .ranges = {.count = 1, .p = bytes, .len = 16}};
	struct pr_layout_commit_r a;

	cr_assert_eq(pr_range_put(&b, &range), 0);
	return FAKE_RUN(ns_layout_commit(&fake_tx, &q, &a));
}

static void write_blocks(uint64_t ino, uint64_t at, uint64_t blocks)
{
	cr_assert_eq(get(ino, at, blocks, PR_LAYOUT_WRITE), 0);
	cr_assert_eq(commit(ino, at, blocks, (at + blocks) * 4096), 0);
}

static int truncate_to(uint64_t ino, uint64_t size)
{
	struct pr_setattr q = {.cred = FAKE_ROOT, .ino = ino, .valid = PR_SET_SIZE, .size = size};
	struct pr_setattr_r a;

	return FAKE_RUN(ns_setattr(&fake_tx, &q, &a));
}

static int allocate(uint64_t ino, uint64_t at, uint64_t blocks, uint32_t mode)
{
	struct pr_allocate q = {.cred = FAKE_ROOT,
				.ino = ino,
				.offset = at * 4096,
				.length = blocks * 4096,
				.mode = mode};
	struct pr_allocate_r a;

	return FAKE_RUN(ns_allocate(&fake_tx, &q, &a));
}

static void setup(void)
{
	fake_reset(1);
	fake_volume(1, 100000);
}

TestSuite(ns_layout, .init = setup);

Test(ns_layout, a_read_of_nothing_is_one_hole)
{
	uint64_t f = file("f");

	cr_assert_eq(get(f, 5, 100, PR_LAYOUT_READ), 0);
	cr_assert_eq(got.count, 1);
	cr_assert_eq(first.file_block, 5);
	cr_assert_eq(first.blocks, 100);
	cr_assert_eq(first.state, PR_EXTENT_HOLE);
	cr_assert_eq(get(f, 5, 0, PR_LAYOUT_READ), -EINVAL);
	cr_assert_eq(get(f, UINT64_MAX, 2, PR_LAYOUT_READ), -EFBIG);
	cr_assert_eq(get(f, UINT64_C(1) << 51, 2, PR_LAYOUT_WRITE), -EFBIG);
	cr_assert_eq(get(1, 0, 2, PR_LAYOUT_READ), -EISDIR);
}

Test(ns_layout, new_blocks_are_unwritten_until_they_are_committed)
{
	uint64_t f = file("f");

	cr_assert_eq(get(f, 0, 10, PR_LAYOUT_WRITE), 0);
	cr_assert_eq(first.state, PR_EXTENT_UNWRITTEN);
	cr_assert_eq(get(f, 0, 10, PR_LAYOUT_READ), 0);
	cr_assert_eq(first.state, PR_EXTENT_UNWRITTEN);
	cr_assert_eq(commit(f, 2, 3, 5 * 4096), 0);
	cr_assert_eq(get(f, 0, 10, PR_LAYOUT_READ), 0);
	cr_assert_eq(got.count, 3);
	cr_assert_eq(commit(f, 0, 10, 0), 0);
	cr_assert_eq(get(f, 0, 10, PR_LAYOUT_READ), 0);
	cr_assert_eq(got.count, 1);
	cr_assert_eq(first.state, PR_EXTENT_WRITTEN);
	cr_assert_eq(attr(f).size, 5 * 4096, "a commit never shrinks");
	cr_assert_eq(attr(f).blocks, 80);
	cr_assert_eq(fake_row_count(PR_ROW_MAP), 1);
	fake_check();
}

Test(ns_layout, what_was_freed_is_not_what_a_new_file_reads)
{
	uint64_t f = file("f"), g;

	write_blocks(f, 0, 100000);
	cr_assert_eq(truncate_to(f, 0), 0);
	g = file("g");
	cr_assert_eq(get(g, 0, 1, PR_LAYOUT_WRITE), -ENOSPC, "it still rests");
	fake_rest();
	cr_assert_eq(get(g, 0, 100, PR_LAYOUT_WRITE), 0);
	cr_assert_eq(get(g, 0, 100, PR_LAYOUT_READ), 0);
	cr_assert_eq(first.state, PR_EXTENT_UNWRITTEN);
	cr_assert_eq(truncate_to(g, 4096 * 100), 0);
	cr_assert_eq(get(g, 0, 100, PR_LAYOUT_READ), 0);
	cr_assert_eq(first.state, PR_EXTENT_UNWRITTEN);
}

Test(ns_layout, a_file_that_grows_in_pieces_is_one_extent)
{
	uint64_t f = file("f");

	for (uint64_t at = 0; at < 1000; at += 10)
		write_blocks(f, at, 10);
	cr_assert_eq(fake_row_count(PR_ROW_MAP), 1);
	cr_assert_eq(fake_row_count(PR_ROW_SPACE), 1);
	fake_check();
}

Test(ns_layout, a_full_volume_gives_what_it_has_and_then_says_so)
{
	uint64_t f = file("f"), g = file("g");

	write_blocks(f, 0, 99990);
	cr_assert_eq(get(g, 0, 100, PR_LAYOUT_WRITE), 0);
	cr_assert_eq(got.count, 1);
	cr_assert_eq(first.blocks, 10);
	cr_assert_eq(get(g, 10, 100, PR_LAYOUT_WRITE), -ENOSPC);
	cr_assert_eq(get(g, 5, 100, PR_LAYOUT_WRITE), 0);
	cr_assert_eq(first.blocks, 5);
	cr_assert_eq(allocate(g, 0, 1000, 0), -ENOSPC);
	fake_check();
}

Test(ns_layout, what_no_volume_could_hold_takes_nothing)
{
	uint64_t f = file("f");

	cr_assert_eq(allocate(f, 0, 100001, 0), -ENOSPC);
	cr_assert_eq(allocate(f, 0, 100001, 0x10), -ENOSPC);
	cr_assert_eq(attr(f).blocks, 0);
	cr_assert_eq(allocate(f, 0, 100001, 3), 0);
	cr_assert_eq(allocate(f, 0, 100000, 0), 0);
	fake_check();
}

Test(ns_layout, a_commit_of_what_is_not_mapped_is_refused_whole)
{
	uint64_t f = file("f"), hash;

	cr_assert_eq(get(f, 0, 10, PR_LAYOUT_WRITE), 0);
	hash = fake_hash();
	cr_assert_eq(commit(f, 5, 10, 4096), -PR_E_LAYOUT);
	cr_assert_eq(commit(f, UINT64_MAX, 10, 4096), -EINVAL);
	cr_assert_eq(fake_hash(), hash);
}

Test(ns_layout, blocks_reserved_beyond_the_end_are_given_back)
{
	uint64_t f = file("f");

	cr_assert_eq(get(f, 0, 1000, PR_LAYOUT_WRITE), 0);
	cr_assert_eq(commit(f, 0, 10, 10 * 4096 - 1), 0);
	cr_assert_eq(FAKE_RUN_EACH_MISS(ns_trim(&fake_tx, f)), 0);
	cr_assert_eq(attr(f).blocks, 80);
	cr_assert_eq(FAKE_RUN(ns_trim(&fake_tx, f)), 0);
	cr_assert_eq(FAKE_RUN(ns_trim(&fake_tx, 4711)), 0);
	cr_assert_eq(attr(f).blocks, 80);
	fake_check();
}

Test(ns_layout, what_was_written_beyond_the_end_may_still_get_its_size)
{
	uint64_t f = file("f");

	cr_assert_eq(get(f, 0, 20, PR_LAYOUT_WRITE), 0);
	cr_assert_eq(commit(f, 5, 5, 4096), 0);
	cr_assert_eq(FAKE_RUN(ns_trim(&fake_tx, f)), 0);
	cr_assert_eq(attr(f).blocks, 80, "only the unwritten tail went");
	cr_assert_eq(commit(f, 0, 0, 10 * 4096), 0);
	cr_assert_eq(get(f, 5, 5, PR_LAYOUT_READ), 0);
	cr_assert_eq(first.state, PR_EXTENT_WRITTEN);
	fake_check();
}

Test(ns_layout, what_fallocate_reserved_beyond_the_end_stays)
{
	uint64_t f = file("f");

	cr_assert_eq(allocate(f, 0, 100, 1), 0);
	cr_assert_eq(attr(f).size, 0);
	cr_assert_eq(FAKE_RUN(ns_trim(&fake_tx, f)), 0);
	cr_assert_eq(attr(f).blocks, 800);
	cr_assert_eq(truncate_to(f, 4096), 0);
	cr_assert_eq(attr(f).blocks, 800, "growing within it");
	cr_assert_eq(truncate_to(f, 4096), 0);
	cr_assert_eq(attr(f).blocks, 8);
	fake_check();
}

/* A commit in several messages has one time, and its size comes with the last: who saw the file between asks again. */
Test(ns_layout, each_commit_is_a_change_though_its_time_is_known)
{
	struct pr_layout_commit q = {
		.cred = FAKE_ROOT, .ino = file("f"), .flags = PR_LC_MTIME, .mtime_ns = 5000};
	struct pr_layout_commit_r a, b;

	cr_assert_eq(FAKE_RUN(ns_layout_commit(&fake_tx, &q, &a)), 0);
	q.flags |= PR_LC_SIZE;
	q.size = 4096;
	cr_assert_eq(FAKE_RUN(ns_layout_commit(&fake_tx, &q, &b)), 0);
	cr_assert_eq(b.attr.size, 4096);
	cr_assert_gt(b.attr.change, a.attr.change);
	fake_check();
}

/* Once cut, what later lies beyond the end for nothing is no reserve. */
Test(ns_layout, what_was_reserved_beyond_the_end_is_forgotten_with_a_cut)
{
	uint64_t f = file("f");

	cr_assert_eq(allocate(f, 0, 100, 1), 0);
	cr_assert_eq(truncate_to(f, 4096), 0);
	cr_assert_eq(truncate_to(f, 4096), 0);
	cr_assert_eq(attr(f).blocks, 8);
	cr_assert_eq(get(f, 1, 50, PR_LAYOUT_WRITE), 0);
	cr_assert_eq(attr(f).blocks, 8 * 51);
	cr_assert_eq(FAKE_RUN(ns_trim(&fake_tx, f)), 0);
	cr_assert_eq(attr(f).blocks, 8);
	fake_check();
}

Test(ns_layout, fallocate_knows_its_modes)
{
	uint64_t f = file("f");

	write_blocks(f, 0, 30);
	cr_assert_eq(allocate(f, 10, 10, 3), 0);
	cr_assert_eq(get(f, 10, 10, PR_LAYOUT_READ), 0);
	cr_assert_eq(first.state, PR_EXTENT_HOLE);
	cr_assert_eq(allocate(f, 5, 10, 0x10), 0);
	cr_assert_eq(get(f, 5, 10, PR_LAYOUT_READ), 0);
	for (struct pr_extent e; pr_extent_next(&got, &e);)
		cr_assert_eq(e.state, PR_EXTENT_UNWRITTEN);
	cr_assert_eq(attr(f).size, 30 * 4096);
	cr_assert_eq(allocate(f, 25, 10, 0), 0);
	cr_assert_eq(attr(f).size, 35 * 4096);
	cr_assert_eq(get(f, 25, 5, PR_LAYOUT_READ), 0);
	cr_assert_eq(first.state, PR_EXTENT_WRITTEN);
	cr_assert_eq(allocate(f, 0, 0, 0), -EINVAL);
	cr_assert_eq(allocate(f, 0, 1, 2), -EOPNOTSUPP);
	cr_assert_eq(allocate(f, 0, 1, 8), -EOPNOTSUPP);
	cr_assert_eq(allocate(f, 1, UINT64_C(1) << 51, 0), -EFBIG);
	cr_assert_eq(allocate(1, 0, 1, 0), -EISDIR);
	fake_check();
}

/* Every other block of [0, 2 * pieces). */
static void riddle(uint64_t f, uint64_t pieces)
{
	struct pr_layout_get q = {.ino = f, .blocks = 1, .mode = PR_LAYOUT_WRITE};
	struct pr_layout_get_r a;

	for (uint64_t i = 0; i < pieces; i++) {
		q.file_block = 2 * i;
		cr_assert_eq(FAKE_RUN(ns_layout_get(&fake_tx, &q, &a)), 0);
		cr_assert_eq(commit(f, 2 * i, 1, (2 * i + 1) * 4096), 0);
	}
}

Test(ns_layout, a_file_in_many_pieces_is_cut_at_once_and_freed_in_steps)
{
	uint64_t f = file("f");

	riddle(f, 3000);
	cr_assert_eq(truncate_to(f, 4096 * 10), 0);
	cr_assert_eq(attr(f).size, 4096 * 10);
	cr_assert_gt(fake_row_count(PR_ROW_MAP), 1000, "much is still there");
	cr_assert_eq(fake_row_count(PR_ROW_ORPHAN), 1);
	fake_check();
	cr_assert_eq(get(f, 10, 4000, PR_LAYOUT_READ), 0);
	cr_assert_eq(first.blocks, 4000);
	cr_assert_eq(first.state, PR_EXTENT_HOLE);
	cr_assert_eq(get(f, 8, 4000, PR_LAYOUT_READ), 0);
	cr_assert_eq(first.state, PR_EXTENT_WRITTEN);
	fake_reap();
	cr_assert_eq(fake_row_count(PR_ROW_MAP), 5);
	cr_assert_eq(fake_row_count(PR_ROW_ORPHAN), 0);
	fake_rest();
	fake_check();
}

Test(ns_layout, a_cut_file_that_grows_again_shows_nothing_old)
{
	uint64_t f = file("f"), again;

	for (int way = 0; way < 4; way++) {
		riddle(f, 2000);
		cr_assert_eq(truncate_to(f, 0), 0);
		again = fake_again;
		if (way == 0)
			cr_assert_eq(truncate_to(f, 4096 * 4000), 0);
		else if (way == 1)
			cr_assert_eq(get(f, 100, 10, PR_LAYOUT_WRITE), 0);
		else if (way == 2)
			cr_assert_eq(allocate(f, 0, 4000, 0), 0);
		else
			cr_assert_eq(commit(f, 100, 0, 4096 * 4000), 0);
		cr_assert_gt(fake_again, again);
		cr_assert_eq(get(f, 0, 4000, PR_LAYOUT_READ), 0);
		for (struct pr_extent e; pr_extent_next(&got, &e);)
			cr_assert_neq(e.state, PR_EXTENT_WRITTEN);
		fake_rest();
		fake_check();
		cr_assert_eq(truncate_to(f, 0), 0);
	}
}

Test(ns_layout, an_orphan_in_many_pieces_is_reaped_in_steps)
{
	uint64_t f = file("f");
	struct pr_unlink q = {.cred = FAKE_ROOT, .parent = 1, .name = pr_bytes_str("f")};
	struct pr_unlink_r a;

	riddle(f, 3000);
	cr_assert_eq(truncate_to(f, 4096), 0);
	cr_assert_eq(FAKE_RUN(ns_unlink(&fake_tx, &q, &a)), 0);
	fake_check();
	fake_reap();
	fake_check();
	fake_rest();
	cr_assert_eq(fake_row_count(PR_ROW_INODE), 1);
	cr_assert_eq(fake_row_count(PR_ROW_SPACE), 1);
	fake_check();
}

Test(ns_layout, an_open_orphan_that_is_cut_and_grows_is_still_reaped)
{
	uint64_t f = file("f");
	struct pr_unlink q = {.cred = FAKE_ROOT, .parent = 1, .name = pr_bytes_str("f")};
	struct pr_unlink_r a;

	riddle(f, 1000);
	fake_open[f] = true;
	cr_assert_eq(FAKE_RUN(ns_unlink(&fake_tx, &q, &a)), 0);
	cr_assert_eq(truncate_to(f, 4096), 0);
	cr_assert_eq(truncate_to(f, 4096 * 100), 0);
	fake_check();
	fake_open[f] = false;
	fake_reap();
	cr_assert_eq(fake_row_count(PR_ROW_INODE), 1);
	fake_check();
}

Test(ns_layout, a_list_of_extents_has_an_end)
{
	uint64_t f = file("f");

	riddle(f, 3000);
	cr_assert_eq(get(f, 0, 6000, PR_LAYOUT_READ), 0);
	cr_assert_eq(got.count, 4096);
}

Test(ns_layout, holes_in_a_riddled_file_are_filled_in_bounded_steps)
{
	uint64_t f = file("f"), again = fake_again;

	riddle(f, 3000);
	cr_assert_eq(allocate(f, 0, 6000, 0), 0);
	cr_assert_gt(fake_again, again);
	cr_assert_eq(attr(f).blocks, 6000 * 8);
	cr_assert_eq(commit(f, 0, 6000, 6000 * 4096), 0);
	cr_assert_eq(allocate(f, 0, 6000, 0x10), 0);
	cr_assert_eq(get(f, 0, 6000, PR_LAYOUT_READ), 0);
	for (struct pr_extent e; pr_extent_next(&got, &e);)
		cr_assert_eq(e.state, PR_EXTENT_UNWRITTEN);
	fake_check();
}

Test(ns_layout, a_riddled_file_is_zeroed_in_steps)
{
	uint64_t f = file("f");

	riddle(f, 1500);
	cr_assert_eq(allocate(f, 1, 2997, 0x10), 0);
	cr_assert_eq(get(f, 0, 3000, PR_LAYOUT_READ), 0);
	cr_assert_eq(first.state, PR_EXTENT_WRITTEN);
	cr_assert_eq(first.blocks, 1);
	cr_assert_eq(get(f, 1, 2997, PR_LAYOUT_READ), 0);
	for (struct pr_extent e; pr_extent_next(&got, &e);)
		cr_assert_eq(e.state, PR_EXTENT_UNWRITTEN);
	cr_assert_eq(get(f, 2998, 1, PR_LAYOUT_READ), 0);
	cr_assert_eq(first.state, PR_EXTENT_WRITTEN);
	fake_check();
}

Test(ns_layout, in_a_riddled_volume_the_search_is_bounded_and_finds_all)
{
	uint64_t f = file("f"), g, at = 0;

	write_blocks(f, 0, 100000);
	for (uint64_t i = 0; i < 400; i++)
		cr_assert_eq(allocate(f, 2 * i, 1, 3), 0);
	fake_rest();
	g = file("g");
	while (get(g, at, 1000, PR_LAYOUT_WRITE) == 0)
		for (struct pr_extent e; pr_extent_next(&got, &e);)
			at += e.blocks;
	cr_assert_eq(at, 400);
	fake_check();
}

Test(ns_layout, new_files_go_round_the_luns_and_spill_over)
{
	uint64_t f, g;
	uint16_t lun;

	fake_reset(1);
	fake_volume(3, 100);
	f = file("f"), g = file("g");
	cr_assert_eq(get(f, 0, 10, PR_LAYOUT_WRITE), 0);
	lun = first.lun;
	cr_assert_eq(get(g, 0, 10, PR_LAYOUT_WRITE), 0);
	cr_assert_neq(first.lun, lun);
	cr_assert_eq(get(f, 10, 10, PR_LAYOUT_WRITE), 0);
	cr_assert_eq(first.lun, lun, "a file stays on its LUN");
	cr_assert_eq(allocate(f, 0, 290, 0), 0);
	cr_assert_eq(attr(f).blocks, 290 * 8);
	cr_assert_eq(allocate(g, 0, 11, 0), -ENOSPC);
	fake_check();
}
