/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "client/core/cl_held.h"
#include "client/core/cl_map.h"
#include "proto/wire.h"

static struct cl_ext ext(uint64_t from, uint32_t blocks, uint8_t state, uint64_t lun_block,
			 bool writable)
{
	return (struct cl_ext){.file_block = from,
			       .blocks = blocks,
			       .state = state,
			       .lun_block = lun_block,
			       .writable = writable};
}

static void grant(struct cl_map *m, struct cl_ext e)
{
	cr_assert(cl_map_grant(m, &e));
}

Test(cl_map, a_grant_fills_the_gap)
{
	struct cl_map m = {0};

	cr_assert_eq(cl_map_gap(&m, 5, 9, false), 5);
	grant(&m, ext(0, 7, PR_EXTENT_WRITTEN, 100, false));
	cr_assert_eq(cl_map_gap(&m, 5, 9, false), 7);
	cr_assert_eq(cl_map_gap(&m, 5, 9, true), 5);
	grant(&m, ext(5, 10, PR_EXTENT_WRITTEN, 105, true));
	cr_assert_eq(cl_map_gap(&m, 5, 9, true), 9);
	cr_assert_eq(cl_map_gap(&m, 0, 20, false), 15);
	cl_map_free(&m);
}

Test(cl_map, a_hole_is_known_but_not_for_writing)
{
	struct cl_map m = {0};

	grant(&m, ext(0, 8, PR_EXTENT_HOLE, 0, true));
	cr_assert_eq(cl_map_gap(&m, 0, 8, false), 8);
	cr_assert_eq(cl_map_gap(&m, 0, 8, true), 0);
	cl_map_free(&m);
}

Test(cl_map, written_blocks_are_dirty_once)
{
	struct cl_ranges dirty = {0};
	struct cl_map m = {0};

	grant(&m, ext(0, 100, PR_EXTENT_UNWRITTEN, 1000, true));
	cr_assert(cl_map_written(&m, 10, 20, &dirty));
	cr_assert(cl_map_written(&m, 15, 30, &dirty));
	cr_assert_eq(dirty.count, 1);
	cr_assert_eq(dirty.at[0].from, 10);
	cr_assert_eq(dirty.at[0].to, 30);
	cr_assert_eq(m.count, 3);
	cr_assert_eq(cl_map_find(&m, 12)->state, PR_EXTENT_WRITTEN);
	cr_assert_eq(cl_map_find(&m, 12)->lun_block, 1010);
	cr_assert_eq(cl_map_find(&m, 30)->lun_block, 1030);
	cl_map_free(&m);
	cl_ranges_free(&dirty);
}

Test(cl_map, a_grant_does_not_forget_what_was_written_and_not_committed)
{
	struct cl_ranges dirty = {0};
	struct cl_map m = {0};

	grant(&m, ext(0, 100, PR_EXTENT_UNWRITTEN, 1000, true));
	cr_assert(cl_map_written(&m, 10, 20, &dirty));
	grant(&m, ext(0, 200, PR_EXTENT_UNWRITTEN, 1000, true));
	cr_assert_eq(cl_map_find(&m, 9)->state, PR_EXTENT_UNWRITTEN);
	cr_assert_eq(cl_map_find(&m, 10)->state, PR_EXTENT_WRITTEN);
	cr_assert_eq(cl_map_find(&m, 19)->state, PR_EXTENT_WRITTEN);
	cr_assert_eq(cl_map_find(&m, 20)->state, PR_EXTENT_UNWRITTEN);
	cr_assert_eq(cl_map_gap(&m, 0, 300, true), 200);
	/* Other places are other data. */
	grant(&m, ext(0, 200, PR_EXTENT_UNWRITTEN, 5000, true));
	cr_assert_eq(cl_map_find(&m, 10)->state, PR_EXTENT_UNWRITTEN);
	cl_map_free(&m);
	cl_ranges_free(&dirty);
}

/* Against the plainest model there is: an array of blocks. */
Test(cl_map, random_changes_agree_with_an_array)
{
	enum { N = 200 };
	struct {
		uint8_t known, state, writable, dirty;
		uint64_t lun;
	} model[N];
	struct cl_ranges dirty = {0};
	struct cl_map m = {0};

	srand(1);
	memset(model, 0, sizeof(model));
	for (int round = 0; round < 20000; round++) {
		uint32_t from = (uint32_t)rand() % N, n = (uint32_t)rand() % (N - from) % 40 + 1;
		uint8_t state = (uint8_t)(rand() % 3);
		bool writable = rand() % 2;
		uint64_t base = state ? 1000 + 1000 * (uint64_t)(rand() % 2) : 0;

		if (from + n > N)
			n = N - from;
		switch (rand() % 4) {
		case 0:
			grant(&m, ext(from, n, state, state ? base + from : 0, writable));
			for (uint32_t b = from; b < from + n; b++) {
				bool newer =
					model[b].known && model[b].state == PR_EXTENT_WRITTEN &&
					state == PR_EXTENT_UNWRITTEN && model[b].lun == base + b;

				model[b].writable =
					writable || (model[b].known && model[b].writable && state);
				model[b].known = 1;
				model[b].state = newer ? PR_EXTENT_WRITTEN : state;
				model[b].lun = state ? base + b : 0;
			}
			break;
		case 1:
			cr_assert(cl_map_written(&m, from, from + n, &dirty));
			for (uint32_t b = from; b < from + n; b++)
				if (model[b].known && model[b].state == PR_EXTENT_UNWRITTEN) {
					model[b].state = PR_EXTENT_WRITTEN;
					model[b].dirty = 1;
				}
			break;
		case 2:
			cr_assert(cl_map_lost(&m, from, from + n));
			for (uint32_t b = from; b < from + n; b++)
				if (model[b].known && model[b].state == PR_EXTENT_WRITTEN)
					model[b].state = PR_EXTENT_UNWRITTEN;
			break;
		default:
			cr_assert(cl_map_forget(&m, from, from + n));
			for (uint32_t b = from; b < from + n; b++)
				model[b].known = 0;
			break;
		}
		for (uint32_t b = 0; b < N; b++) {
			const struct cl_ext *e = cl_map_find(&m, b);
			bool known = e && e->file_block <= b;

			cr_assert_eq(known, model[b].known, "round %d block %u", round, b);
			if (!known)
				continue;
			cr_assert_eq(e->state, model[b].state, "round %d block %u", round, b);
			cr_assert_eq(e->writable, model[b].writable, "round %d block %u", round, b);
			if (e->state)
				cr_assert_eq(e->lun_block + b - e->file_block, model[b].lun);
		}
	}
	for (uint32_t b = 0, i = 0; b < N; b++) {
		while (i < dirty.count && dirty.at[i].to <= b)
			i++;
		cr_assert_eq(i < dirty.count && dirty.at[i].from <= b, model[b].dirty);
	}
	cl_map_free(&m);
	cl_ranges_free(&dirty);
}

Test(cl_held, random_changes_agree_with_an_array)
{
	enum { N = 300 };
	struct cl_held_table t = {0};
	uint32_t opens[N] = {0}, count = 0;

	srand(2);
	for (int round = 0; round < 50000; round++) {
		uint64_t i = (uint64_t)rand() % N;

		if (rand() % 2) {
			cr_assert(cl_held_reserve(&t, 1));
			cl_held_make(&t, i + 1)->opens++;
			opens[i]++;
		} else if (opens[i]) {
			struct cl_held *held = cl_held_find(&t, i + 1);

			cr_assert(held && held->opens == opens[i]);
			held->opens = opens[i] = 0;
			cl_held_tidy(&t, held);
		}
	}
	for (uint64_t i = 0; i < N; i++) {
		const struct cl_held *held = cl_held_find(&t, i + 1);

		cr_assert_eq(held ? held->opens : 0, opens[i]);
		count += opens[i] > 0;
	}
	cr_assert_eq(t.count, count);
	cl_held_free(&t);
}
