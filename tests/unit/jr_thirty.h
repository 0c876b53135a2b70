/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A journal of thirty batches: batch i has LSN i, seq i + 1 and two pages, the i-th of them, eight batches to a segment. The ring tells of the last. */
#pragma once
#include "tests/unit/jr_rig.h"

enum { SLOTS = 16, SEGMENT_PAGES = 16, BATCHES = 30, PAGES = 2, PAYLOAD = 6000 };

static struct rig rig;
static struct jr_batch *batches[BATCHES + 1];

static inline void fill(unsigned segments)
{
	rig_init(&rig, rig_config(SEGMENT_PAGES, segments, SLOTS, 2), 1);
	cr_assert_eq(rig_open(&rig), JR_EMPTY);
	for (unsigned i = 1; i <= BATCHES; i++) {
		batches[i] = rig_batch(1, i, i, 0, jr_tail_hash(rig.jr), PAYLOAD);
		cr_assert_eq(jr_append(rig.jr, batches[i]), 0);
		rig_run(&rig);
	}
}

static inline void done(void)
{
	for (unsigned i = 1; i <= BATCHES; i++)
		jr_batch_unref(batches[i]);
	rig_done(&rig);
}

static inline uint8_t *data_page(uint64_t page)
{
	return simdisk_bytes(rig.disk, 1 + (uint32_t)(page / SEGMENT_PAGES), NULL) +
	       page % SEGMENT_PAGES * JR_PAGE_BYTES;
}

static inline uint8_t *place_of(unsigned i)
{
	return data_page((uint64_t)(i - 1) * PAGES);
}
