/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ring entries and batches that are sound each by itself and do not fit together: recovery says so, and takes none for what it is not. */
#include <errno.h>

#include "journal/core/jr_verdict.h"
#include "tests/unit/jr_thirty.h"

static void setup(void)
{
	fill(4);
}

static uint8_t *slot_page(unsigned slot)
{
	return simdisk_bytes(rig.disk, 0, NULL) + (size_t)slot * JR_PAGE_BYTES;
}

static void put(uint64_t page, const struct jr_batch *b)
{
	for (uint32_t i = 0; i < b->image_bytes / JR_PAGE_BYTES; i++)
		memcpy(data_page(page + i), b->image + (size_t)i * JR_PAGE_BYTES, JR_PAGE_BYTES);
}

/* No sector of it is whole. */
static void ruin(unsigned i)
{
	for (unsigned k = 0; k < PAGES * JR_PAGE_SECTORS; k++)
		place_of(i)[k * JR_SECTOR_BYTES + 100] ^= 1;
}

/* The entry of batch i, changed by the statement, its checksum right. */
#define FORGE(i, change)                                       \
	do {                                                   \
		uint8_t *page_ = slot_page(((i) + 1) % SLOTS); \
		struct jr_entry e_, *e = &e_;                  \
		cr_assert_null(jr_entry_decode(page_, e));     \
		change;                                        \
		jr_entry_encode(page_, e);                     \
	} while (0)

static void opens(enum jr_verdict v, const char *why)
{
	enum jr_verdict got = rig_reopen(&rig);

	cr_assert(got == v && strstr(rig.opened.why, why), "%d \"%s\"", got, rig.opened.why);
}

static void needs_repair(uint64_t first, uint64_t last)
{
	opens(JR_REPAIR, "damaged");
	cr_assert_eq(rig.opened.damaged_first, first, "%lu", rig.opened.damaged_first);
	cr_assert_eq(rig.opened.damaged_last, last, "%lu", rig.opened.damaged_last);
	cr_assert_eq(jr_tail_lsn(rig.jr), (uint64_t)BATCHES);
}

/* ---- the ring ---- */

Test(jr_misfit, an_entry_that_is_not_chained_is_a_halt)
{
	setup();
	FORGE(20, e->prev_hash.b[0] ^= 1);
	opens(JR_HALT, "a ring entry is not chained to the batch before it");
	done();
}

Test(jr_misfit, an_entry_that_does_not_know_the_hash_before_it_is_believed)
{
	setup();
	FORGE(20, e->prev_hash = (struct pr_hash){0});
	opens(JR_CLEAN, "");
	cr_assert_eq(jr_tail_lsn(rig.jr), (uint64_t)BATCHES);
	rig_check(&rig);
	done();
}

Test(jr_misfit, an_entry_that_names_a_place_where_its_batch_cannot_be_is_a_halt)
{
	static const int off[] = {1, -1, PAGES};

	for (unsigned k = 0; k < 3; k++) {
		setup();
		FORGE(20, e->page += (uint64_t)off[k]);
		opens(JR_HALT, "names a place where its batch cannot be");
		done();
	}
	/* behind unknown batches only the segment's end tells */
	setup();
	ruin(14);
	FORGE(15, e->page = SEGMENT_PAGES * 2 - 1);
	opens(JR_HALT, "names a place where its batch cannot be");
	done();
}

Test(jr_misfit, a_batch_of_another_hash_than_its_entry_names_is_damaged)
{
	setup();
	FORGE(BATCHES, e->hash.b[3] ^= 1);
	needs_repair(BATCHES, BATCHES);
	done();
}

/* That of batch 20, and one of the lap before it, in the place of a later one. */
Test(jr_misfit, an_entry_that_went_astray_is_told_and_replaces_no_newer_one)
{
	for (unsigned lap = 0; lap < 2; lap++) {
		setup();
		FORGE(20, (e->seq -= lap * SLOTS, page_ = slot_page(23 % SLOTS)));
		opens(JR_CLEAN, "");
		cr_assert_eq(rig.damage, 1u);
		cr_assert_str_eq(rig.events[0].why, "a ring entry stands in another's slot");
		cr_assert_eq(jr_tail_lsn(rig.jr), (uint64_t)BATCHES);
		rig_check(&rig);
		done();
	}
}

Test(jr_misfit, a_tail_that_no_entry_tells_of_is_a_halt)
{
	setup();
	FORGE(BATCHES, (e->kind = JR_KIND_START, e->image_bytes = 0, e->tail_lsn++));
	opens(JR_HALT, "the ring names a tail that none of its entries tells of");
	/* the beginning before the first LSN there is */
	FORGE(BATCHES, (e->tail_lsn = 0, e->start_lsn = 0));
	opens(JR_HALT, "the ring names a tail that none of its entries tells of");
	cr_assert_eq(jr_tail_lsn(rig.jr), 0u);
	done();
}

Test(jr_misfit, nothing_behind_the_tail_was_committed)
{
	setup();
	FORGE(BATCHES, e->commit_lsn = BATCHES + 7);
	opens(JR_CLEAN, "");
	cr_assert_eq(rig.opened.commit_lsn, (uint64_t)BATCHES);
	done();
}

Test(jr_misfit, only_a_cut_or_a_new_beginning_blanks_a_page)
{
	uint8_t *kept = malloc(JR_PAGE_BYTES);

	setup();
	memcpy(kept, place_of(3), JR_PAGE_BYTES);
	FORGE(BATCHES, e->blank_page = 2 * PAGES);
	opens(JR_CLEAN, "");
	cr_assert_eq(memcmp(kept, place_of(3), JR_PAGE_BYTES), 0);
	rig_check(&rig);
	free(kept);
	done();
}

/* ---- batches that the ring does not name ---- */

/* It stands in the place of batch 14, the last one that the ring does not name; that of 15 is known. */
static struct jr_batch *instead_of_14(uint64_t last, struct pr_hash prev)
{
	struct jr_batch *b = rig_batch(2, 14, last, 0, prev, PAYLOAD);

	put(13 * PAGES, b);
	return b;
}

Test(jr_misfit, a_batch_that_does_not_end_where_the_next_begins_is_not_the_one)
{
	for (uint64_t last = 15; last <= 16; last++) {
		setup();
		FORGE(15, e->prev_hash = (struct pr_hash){0});
		jr_batch_unref(instead_of_14(last, batches[13]->hash));
		needs_repair(14, 14);
		done();
	}
}

Test(jr_misfit, a_batch_whose_hash_is_not_what_the_next_says_is_not_the_one)
{
	setup();
	jr_batch_unref(instead_of_14(14, batches[13]->hash));
	needs_repair(14, 14);
	jr_repair(rig.jr, batches[14]);
	rig_run(&rig);
	rig_check(&rig);
	cr_assert_eq(rig_reopen(&rig), JR_CLEAN);
	done();
}

Test(jr_misfit, a_batch_that_follows_another_one_is_not_the_one)
{
	struct pr_hash other = {{9}};

	setup();
	jr_batch_unref(instead_of_14(14, other));
	needs_repair(14, 14);
	done();
}

Test(jr_misfit, where_the_next_does_not_say_what_it_follows_verification_does)
{
	struct jr_event *ev;

	setup();
	jr_batch_unref(instead_of_14(14, batches[13]->hash));
	FORGE(15, e->prev_hash = (struct pr_hash){0});
	opens(JR_CLEAN, "");
	rig_events_clear(&rig);
	jr_verify(rig.jr, 1);
	rig_run(&rig);
	ev = rig_find(&rig, JR_EV_DAMAGE);
	cr_assert(ev && ev->lsn == 15);
	cr_assert_str_eq(ev->why, "not chained to the batch before it");
	ev = rig_find(&rig, JR_EV_VERIFIED);
	cr_assert(ev && ev->lsn == 14);
	cr_assert_null(rig_fetch(&rig, 15));
	done();
}

Test(jr_misfit, a_batch_that_would_cross_the_end_of_its_segment_is_none)
{
	struct jr_batch *b;

	setup();
	b = rig_batch(2, 8, 8, 0, batches[7]->hash, 3 * 3800);
	cr_assert_eq(b->image_bytes, 3u * JR_PAGE_BYTES);
	memcpy(place_of(8), b->image, PAGES * JR_PAGE_BYTES);
	needs_repair(8, 8);
	jr_batch_unref(b);
	done();
}

/* Where the next segment begins, over batch 9; there was room for it before. */
Test(jr_misfit, a_batch_astray_is_damaged_and_those_behind_its_place_are_not)
{
	setup();
	memset(place_of(5), 0, PAGES * JR_PAGE_BYTES);
	put(SEGMENT_PAGES, batches[5]);
	needs_repair(5, 9);
	for (unsigned i = 6; i <= 8; i++) {
		struct jr_batch *b = rig_fetch(&rig, i);

		cr_assert_not_null(b);
		jr_batch_unref(b);
	}
	jr_repair(rig.jr, batches[5]);
	jr_repair(rig.jr, batches[9]);
	rig_run(&rig);
	rig_check(&rig);
	cr_assert_eq(rig_reopen(&rig), JR_CLEAN);
	done();
}

Test(jr_misfit, what_stands_in_a_run_of_unknown_batches_is_the_next_only_if_it_lies_between)
{
	static const unsigned strays[] = {3, 5, 15, 20};

	for (unsigned k = 0; k < 4; k++) {
		setup();
		ruin(5);
		put(5 * PAGES, batches[strays[k]]);
		needs_repair(5, 6);
		cr_assert_null(rig_fetch(&rig, 6));
		jr_repair(rig.jr, batches[5]);
		jr_repair(rig.jr, batches[6]);
		rig_run(&rig);
		rig_check(&rig);
		cr_assert_eq(rig_reopen(&rig), JR_CLEAN);
		done();
	}
}

/* ---- behind the head ---- */

/* Segments larger than what is read at once: a batch that the ring does not name is read in two steps. */
Test(jr_misfit, a_large_batch_behind_the_head_is_read_whole)
{
	enum { LARGE = 800000 };

	rig_init(&rig, rig_config(512, 3, SLOTS, 2), 1);
	rig_open(&rig);
	for (unsigned i = 0; i < 2; i++) {
		cr_assert_eq(rig_append(&rig, 1, 1, LARGE), 0);
		while (rig_step(&rig))
			;
	}
	cr_assert_eq(jr_unnamed(rig.jr), 2u);
	opens(JR_CLEAN, "");
	cr_assert_eq(jr_tail_lsn(rig.jr), 2u);
	rig_check(&rig);
	rig_done(&rig);
}

/* In the middle of a segment, at its end, and where there is no other. */
Test(jr_misfit, the_end_is_found_wherever_it_lies)
{
	for (uint64_t n = 1; n <= 12; n++) {
		rig_init(&rig, rig_config(4, 3, SLOTS, 2), 1);
		rig_open(&rig);
		for (unsigned i = 0; i < n; i++)
			rig_append_wait(&rig, 1, 1, 3000);
		rig_run(&rig);
		opens(JR_CLEAN, "");
		cr_assert_eq(jr_tail_lsn(rig.jr), n);
		rig_check(&rig);
		cr_assert_eq(rig_append(&rig, 1, 1, 3000), n < 12 ? 0 : -ENOSPC);
		rig_done(&rig);
	}
}

Test(jr_misfit, a_new_journal_with_a_page_that_cannot_be_read_is_none)
{
	rig_init(&rig, rig_config(4, 3, SLOTS, 2), 1);
	simdisk_unreadable(rig.disk, 2, 0, JR_PAGE_BYTES);
	cr_assert_eq(rig_open(&rig), JR_HALT);
	cr_assert_str_eq(rig.opened.why, "the ring is blank but the segments are not");
	rig_done(&rig);
}

/* More than anybody is told of: what is reported last is not lost by it. */
Test(jr_misfit, of_very_many_bad_entries_some_are_told_and_the_verdict_always)
{
	enum { MANY = 512 };

	rig_init(&rig, rig_config(4, 3, MANY, 2), 1);
	memset(simdisk_bytes(rig.disk, 0, NULL), 0x55, (size_t)MANY * JR_PAGE_BYTES);
	rig.jr = jr_new(&rig.cfg);
	jr_open(rig.jr);
	for (;;) {
		struct jr_io io;
		uint64_t tag;
		int r;

		/* nobody takes the events */
		while (jr_next_io(rig.jr, &io))
			simdisk_submit(rig.disk, &(struct simdisk_op){.file = io.file,
								      .offset = io.offset,
								      .buffer = io.buffer,
								      .bytes = io.bytes,
								      .tag = io.tag});
		if (simdisk_pending(rig.disk) == 0)
			break;
		r = simdisk_complete(rig.disk, 0, &tag);
		jr_io_done(rig.jr, tag, r);
	}
	rig_poll(&rig);
	cr_assert_gt(rig.damage, 100u);
	cr_assert_lt(rig.damage, (unsigned)MANY);
	cr_assert_eq(rig.opened.type, JR_EV_OPENED);
	cr_assert_eq(rig.opened.verdict, JR_HALT);
	rig_done(&rig);
}
