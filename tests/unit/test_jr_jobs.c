/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Repair, verification, cut and the moving of the beginning where batches are unknown; what waits for what. */
#include <errno.h>

#include "tests/unit/jr_thirty.h"

static uint8_t *sector(unsigned i, unsigned k)
{
	return place_of(i) + (size_t)k * JR_SECTOR_BYTES;
}

/* Opened with these batches unknown: no sector of them is whole. */
static void unknown(unsigned segments, unsigned first, unsigned last)
{
	fill(segments);
	for (unsigned i = first; i <= last; i++)
		for (unsigned k = 0; k < PAGES * JR_PAGE_SECTORS; k++)
			sector(i, k)[100] ^= 1;
	cr_assert_eq(rig_reopen(&rig), JR_REPAIR);
	cr_assert_eq(rig.opened.damaged_first, (uint64_t)first);
	cr_assert_eq(rig.opened.damaged_last, (uint64_t)last);
	rig_events_clear(&rig);
}

/* NULL: repaired; or what is said of the copy. */
static const char *repair(struct jr_batch *b)
{
	struct jr_event *ev;

	rig_events_clear(&rig);
	jr_repair(rig.jr, b);
	rig_run(&rig);
	ev = rig_find(&rig, JR_EV_DAMAGE);
	if (ev) {
		cr_assert_eq(ev->error, -EILSEQ);
		cr_assert_eq(ev->lsn, b->first_lsn);
		cr_assert_null(rig_find(&rig, JR_EV_REPAIRED));
		return ev->why;
	}
	ev = rig_find(&rig, JR_EV_REPAIRED);
	cr_assert(ev && ev->lsn == b->last_lsn);
	return NULL;
}

static void refused(struct jr_batch *b, const char *why)
{
	const char *got = repair(b);

	cr_assert_not_null(got, "taken, not refused: %s", why);
	cr_assert_str_eq(got, why);
	jr_batch_unref(b);
}

static void mended(unsigned first, unsigned last)
{
	for (unsigned i = first; i <= last; i++)
		cr_assert_null(repair(batches[i]), "batch %u", i);
	rig_check(&rig);
	cr_assert_eq(rig_reopen(&rig), JR_CLEAN);
	rig_check(&rig);
}

/* ---- repair ---- */

Test(jr_repair, a_copy_that_does_not_fit_the_unknown_batches_is_refused)
{
	static const char *const next = "the copy is not the next of the missing batches",
				 *const chain = "the copy is not chained to the batch before it",
				 *const room = "the copy does not fit before the batch after it";
	struct pr_hash other = {{9}};

	unknown(4, 5, 7);
	refused(jr_batch_ref(batches[6]), next);
	refused(jr_batch_ref(batches[7]), next);
	refused(rig_batch(1, 5, 8, 0, batches[4]->hash, PAYLOAD), next);
	refused(rig_batch(1, 5, 5, 0, other, PAYLOAD), chain);
	refused(rig_batch(1, 5, 5, 0, batches[4]->hash, 7 * 3900), room);
	mended(5, 7);
	done();
}

Test(jr_repair, a_batch_that_is_not_in_the_journal_is_refused)
{
	static const char *const why = "the batch to be repaired is not in the journal";
	struct pr_hash base = {{5}};

	unknown(4, 5, 5);
	refused(rig_batch(1, BATCHES + 1, BATCHES + 1, 0, batches[BATCHES]->hash, PAYLOAD), why);
	jr_reset(rig.jr, BATCHES, 100, 3, &base);
	rig_run(&rig);
	refused(jr_batch_ref(batches[5]), why);
	refused(rig_batch(3, 101, 101, 0, base, 10), why);
	done();
}

Test(jr_repair, what_is_whole_stays_and_another_batch_does_not_take_its_place)
{
	static const char *const why = "the copy is another batch than the one that stood here";

	fill(4);
	cr_assert_null(repair(batches[4]), "whole already");
	refused(rig_batch(2, 4, 4, 0, batches[3]->hash, PAYLOAD), why);
	rig_check(&rig);
	done();
	/* one of several LSNs, and a copy that begins within it */
	rig_init(&rig, rig_config(SEGMENT_PAGES, 4, SLOTS, 2), 1);
	rig_open(&rig);
	rig_append_wait(&rig, 1, 5, PAYLOAD);
	rig_run(&rig);
	refused(rig_batch(1, 3, 5, 0, (struct pr_hash){0}, PAYLOAD), why);
	rig_check(&rig);
	rig_done(&rig);
}

/* The header of the second can be read, the first has nothing that can: two runs of unknown batches, side by side. */
Test(jr_repair, a_run_behind_another_can_be_repaired_first)
{
	uint64_t end, epoch;
	struct pr_hash hash;

	fill(4);
	for (unsigned k = 0; k < PAGES * JR_PAGE_SECTORS; k++)
		sector(5, k)[100] ^= 1;
	sector(6, 9)[100] ^= 1;
	cr_assert_eq(rig_reopen(&rig), JR_REPAIR);
	cr_assert_eq(rig.opened.damaged_first, 5u);
	cr_assert_eq(rig.opened.damaged_last, 6u);
	for (unsigned lsn = 5; lsn <= 6; lsn++)
		cr_assert_eq(jr_hash_at(rig.jr, lsn, &end, &epoch, &hash), -ENOENT);
	cr_assert_eq(jr_hash_at(rig.jr, 7, &end, &epoch, &hash), 0);
	cr_assert_null(repair(batches[6]));
	cr_assert_null(repair(batches[5]));
	rig_check(&rig);
	cr_assert_eq(rig_reopen(&rig), JR_CLEAN);
	done();
}

/* The batch before it did not leave room for it in its segment. */
Test(jr_repair, an_unknown_batch_goes_where_it_stood_at_the_beginning_of_a_segment)
{
	enum { THREE = 9000, COUNT = 24 };
	struct jr_batch *all[COUNT + 1];

	rig_init(&rig, rig_config(SEGMENT_PAGES, 8, SLOTS, 2), 1);
	rig_open(&rig);
	for (unsigned i = 1; i <= COUNT; i++) {
		all[i] = rig_batch(1, i, i, 0, jr_tail_hash(rig.jr), THREE);
		cr_assert_eq(jr_append(rig.jr, all[i]), 0);
		rig_run(&rig);
	}
	memset(simdisk_bytes(rig.disk, 2, NULL), 0x77, 3 * (size_t)JR_PAGE_BYTES);
	cr_assert_eq(rig_reopen(&rig), JR_REPAIR);
	cr_assert_eq(rig.opened.damaged_first, 6u);
	cr_assert_eq(rig.opened.damaged_last, 6u);
	cr_assert_null(repair(all[6]));
	cr_assert_eq(memcmp(simdisk_bytes(rig.disk, 2, NULL), all[6]->image, all[6]->image_bytes),
		     0);
	rig_check(&rig);
	cr_assert_eq(rig_reopen(&rig), JR_CLEAN);
	for (unsigned i = 1; i <= COUNT; i++)
		jr_batch_unref(all[i]);
	rig_done(&rig);
}

Test(jr_repair, one_that_is_under_way_when_the_process_ends_is_needed_again)
{
	unknown(4, 5, 7);
	for (unsigned i = 5; i <= 7; i++)
		jr_repair(rig.jr, batches[i]);
	rig_poll(&rig);
	cr_assert_eq(simdisk_pending(rig.disk), 1u);
	cr_assert_eq(rig_reopen(&rig), JR_REPAIR);
	cr_assert_eq(rig.opened.damaged_first, 5u);
	mended(5, 7);
	done();
}

/* ---- verification ---- */

Test(jr_verify, an_empty_journal_is_verified)
{
	struct jr_event *ev;

	rig_init(&rig, rig_config(4, 4, SLOTS, 2), 1);
	rig_open(&rig);
	jr_verify(rig.jr, 0);
	rig_run(&rig);
	ev = rig_find(&rig, JR_EV_VERIFIED);
	cr_assert(ev && ev->lsn == 0);
	rig_done(&rig);
}

Test(jr_verify, another_whole_batch_in_the_place_of_one_is_found)
{
	struct jr_batch *same = NULL;
	struct jr_event *ev;

	for (unsigned k = 0; k < 2; k++) {
		fill(4);
		/* one that stands elsewhere too; one of the same LSN */
		same = k ? rig_batch(2, 9, 9, 0, batches[8]->hash, PAYLOAD)
			 : jr_batch_ref(batches[20]);
		memcpy(sector(9, 0), same->image, same->image_bytes);
		rig_events_clear(&rig);
		jr_verify(rig.jr, 1);
		rig_run(&rig);
		ev = rig_find(&rig, JR_EV_DAMAGE);
		cr_assert(ev && ev->lsn == 9);
		cr_assert_str_eq(ev->why, "another batch stands in its place");
		ev = rig_find(&rig, JR_EV_VERIFIED);
		cr_assert(ev && ev->lsn == 8);
		cr_assert_null(repair(batches[9]));
		rig_check(&rig);
		jr_batch_unref(same);
		done();
	}
}

Test(jr_verify, goes_on_behind_unknown_batches)
{
	struct jr_event *ev;

	unknown(4, 5, 7);
	jr_verify(rig.jr, 1);
	rig_run(&rig);
	ev = rig_find(&rig, JR_EV_DAMAGE);
	cr_assert(ev && ev->lsn == 5);
	cr_assert_str_eq(ev->why, "known damaged, not repaired yet");
	cr_assert_eq(rig.damage, 1u);
	ev = rig_find(&rig, JR_EV_VERIFIED);
	cr_assert(ev && ev->lsn == 4);
	done();
}

/* ---- cut ---- */

Test(jr_cut, archives_what_is_known_around_unknown_batches)
{
	uint64_t bytes, at = 0;
	const uint8_t *p;

	unknown(4, 5, 7);
	jr_cut(rig.jr, 3);
	rig_run(&rig);
	cr_assert_eq(jr_tail_lsn(rig.jr), 3u);
	p = simdisk_bytes(rig.disk, 255, &bytes);
	for (unsigned i = 4; i <= BATCHES; i++) {
		if (i >= 5 && i <= 7)
			continue;
		cr_assert_leq(at + batches[i]->image_bytes, bytes);
		cr_assert_eq(memcmp(p + at, batches[i]->image, batches[i]->image_bytes), 0);
		at += batches[i]->image_bytes;
	}
	cr_assert_eq(at, bytes);
	cr_assert_eq(rig_reopen(&rig), JR_CLEAN);
	rig_append_wait(&rig, 2, 1, PAYLOAD);
	rig_run(&rig);
	rig_check(&rig);
	done();
}

Test(jr_cut, leaves_out_unknown_batches_that_it_begins_with)
{
	uint64_t bytes;
	const uint8_t *p;

	unknown(4, 5, 7);
	jr_cut(rig.jr, 4);
	rig_run(&rig);
	cr_assert_eq(jr_tail_lsn(rig.jr), 4u);
	p = simdisk_bytes(rig.disk, 255, &bytes);
	cr_assert_eq(bytes, (uint64_t)(BATCHES - 7) * PAGES * JR_PAGE_BYTES);
	cr_assert_eq(memcmp(p, batches[8]->image, batches[8]->image_bytes), 0);
	cr_assert_eq(rig_reopen(&rig), JR_CLEAN);
	rig_check(&rig);
	done();
}

Test(jr_cut, waits_for_the_entry_that_is_being_written)
{
	fill(4);
	cr_assert_eq(rig_append(&rig, 1, 1, PAYLOAD), 0);
	while (rig_step(&rig))
		;
	jr_name(rig.jr);
	rig_poll(&rig);
	cr_assert_eq(simdisk_pending(rig.disk), 1u);
	jr_cut(rig.jr, 20);
	rig_poll(&rig);
	cr_assert_eq(simdisk_pending(rig.disk), 1u, "the entry's own write and no other");
	rig_run(&rig);
	cr_assert_eq(jr_tail_lsn(rig.jr), 20u);
	cr_assert_eq(rig_reopen(&rig), JR_CLEAN);
	cr_assert_eq(jr_tail_lsn(rig.jr), 20u);
	rig_check(&rig);
	done();
}

Test(jr_cut, waits_for_the_batches_that_are_being_written)
{
	fill(4);
	cr_assert_eq(rig_append(&rig, 1, 1, PAYLOAD), 0);
	jr_cut(rig.jr, 20);
	rig_poll(&rig);
	cr_assert_eq(simdisk_pending(rig.disk), 1u);
	cr_assert(simdisk_op_at(rig.disk, 0)->write && simdisk_op_at(rig.disk, 0)->file != 255);
	rig_run(&rig);
	cr_assert_eq(jr_tail_lsn(rig.jr), 20u);
	cr_assert_eq(rig_reopen(&rig), JR_CLEAN);
	rig_check(&rig);
	done();
}

/* ---- the beginning ---- */

/* How far it moves when all is released and the last segment is begun. */
static uint64_t first_after_release(void)
{
	jr_release(rig.jr, BATCHES);
	rig_run(&rig);
	return jr_first_lsn(rig.jr);
}

Test(jr_start, moves_by_a_segment_when_the_last_is_begun)
{
	fill(4);
	cr_assert_eq(first_after_release(), 9u);
	cr_assert_eq(rig_reopen(&rig), JR_CLEAN);
	rig_check(&rig);
	done();
}

Test(jr_start, does_not_move_behind_a_batch_whose_hash_is_not_known)
{
	unknown(4, 8, 8);
	cr_assert_eq(first_after_release(), 1u);
	cr_assert_null(repair(batches[8]));
	cr_assert_eq(first_after_release(), 9u);
	rig_check(&rig);
	done();
}

Test(jr_start, does_not_move_while_a_repair_is_under_way)
{
	unknown(4, 5, 5);
	jr_repair(rig.jr, batches[5]);
	rig_poll(&rig);
	jr_release(rig.jr, BATCHES);
	cr_assert_eq(jr_first_lsn(rig.jr), 1u);
	rig_run(&rig);
	cr_assert_eq(first_after_release(), 9u);
	rig_check(&rig);
	done();
}

/* One copy in the place of the last batch of a segment and the first of the next: chained, and not what stood there. */
Test(jr_start, does_not_move_to_a_batch_that_does_not_begin_its_segment)
{
	struct jr_batch *both;

	unknown(4, 8, 9);
	both = rig_batch(1, 8, 9, 0, batches[7]->hash, PAYLOAD);
	cr_assert_null(repair(both));
	jr_batch_unref(both);
	cr_assert_eq(first_after_release(), 1u);
	rig_events_clear(&rig);
	jr_verify(rig.jr, 1);
	rig_run(&rig);
	cr_assert_str_eq(rig_find(&rig, JR_EV_DAMAGE)->why, "not chained to the batch before it");
	cr_assert_eq(rig_find(&rig, JR_EV_DAMAGE)->lsn, 10u);
	done();
}

/* Batches of a whole segment: the second is released, being the tail's, and not durable. */
Test(jr_start, does_not_move_to_a_batch_that_is_not_durable)
{
	enum { WHOLE = 15000 };

	rig_init(&rig, rig_config(4, 3, SLOTS, 2), 1);
	rig_open(&rig);
	rig_append_wait(&rig, 1, 1, WHOLE);
	rig_run(&rig);
	cr_assert_eq(rig_append(&rig, 1, 1, WHOLE), 0);
	cr_assert_eq(rig_append(&rig, 1, 1, WHOLE), 0);
	jr_release(rig.jr, 3);
	cr_assert_eq(jr_first_lsn(rig.jr), 1u);
	rig_run(&rig);
	cr_assert_eq(jr_first_lsn(rig.jr), 2u);
	cr_assert_eq(rig_reopen(&rig), JR_CLEAN);
	rig_check(&rig);
	rig_done(&rig);
}

/* ---- limits ---- */

Test(jr_append, waits_when_the_ring_is_too_far_behind)
{
	uint64_t tag;
	unsigned n = 0;
	int r;

	rig_init(&rig, rig_config(256, 4, 64, 2), 1);
	rig_open(&rig);
	/* what is for the ring stays under way: of those that wait it is the first */
	for (;;) {
		r = rig_append(&rig, 1, 1, 100);
		rig_poll(&rig);
		if (r)
			break;
		n++;
		for (unsigned i = 0; i < simdisk_pending(rig.disk); i++) {
			if (simdisk_op_at(rig.disk, i)->file == 0)
				continue;
			r = simdisk_complete(rig.disk, i--, &tag);
			jr_io_done(rig.jr, tag, r);
			rig_poll(&rig);
		}
	}
	cr_assert_eq(r, -EBUSY);
	cr_assert_eq(n, 64u);
	cr_assert_eq(rig.appended, 64u, "all durable");
	rig_run(&rig);
	cr_assert_eq(rig_append(&rig, 1, 1, 100), 0);
	rig_run(&rig);
	cr_assert_eq(rig_reopen(&rig), JR_CLEAN);
	rig_check(&rig);
	rig_done(&rig);
}

/* What the disk has of it is shown by the entry that names it, so each must be named. */
Test(jr_append, a_batch_that_lands_while_an_entry_is_written_is_named_by_the_next)
{
	uint64_t tag;
	int r;

	rig_init(&rig, rig_config(256, 4, 64, 2), 1);
	rig_open(&rig);
	cr_assert_eq(rig_append(&rig, 1, 1, 100), 0);
	cr_assert(rig_step(&rig));
	jr_name(rig.jr);
	cr_assert_eq(rig_append(&rig, 1, 1, 100), 0);
	rig_poll(&rig);
	cr_assert_eq(rig.appended, 1u);
	cr_assert_eq(simdisk_pending(rig.disk), 2u);
	for (int is_entry = 0; is_entry < 2; is_entry++)
		for (unsigned i = 0; i < simdisk_pending(rig.disk); i++)
			if ((simdisk_op_at(rig.disk, i)->file == 0) == is_entry) {
				r = simdisk_complete(rig.disk, i, &tag);
				jr_io_done(rig.jr, tag, r);
				break;
			}
	rig_poll(&rig);
	cr_assert_eq(rig.appended, 2u);
	cr_assert_eq(jr_unnamed(rig.jr), 1u);
	rig_run(&rig);
	cr_assert_eq(jr_unnamed(rig.jr), 0u);
	rig_done(&rig);
}

Test(jr_append, waits_for_a_new_beginning)
{
	struct pr_hash base = {{5}};

	fill(4);
	jr_reset(rig.jr, BATCHES, 1000, 9, &base);
	cr_assert_eq(rig_append(&rig, 9, 1, 10), -EBUSY);
	rig_run(&rig);
	cr_assert_eq(rig_append(&rig, 9, 1, 10), 0);
	rig_run(&rig);
	cr_assert_eq(rig.appended, 1001u);
	done();
}

Test(jr_append, a_batch_larger_than_what_is_read_ahead_is_found_again)
{
	rig_init(&rig, rig_config(1024, 3, SLOTS, 2), 1);
	rig_open(&rig);
	rig_append_wait(&rig, 1, 1, 100);
	rig_append_wait(&rig, 1, 1, 2 << 20);
	rig_append_wait(&rig, 1, 1, 100);
	rig_run(&rig);
	cr_assert_eq(rig_reopen(&rig), JR_CLEAN);
	cr_assert_eq(jr_tail_lsn(rig.jr), 3u);
	rig_check(&rig);
	rig_done(&rig);
}

Test(jr_append, a_journal_that_is_not_opened_asks_for_nothing)
{
	struct jr_event ev;
	struct jr_io io;

	rig_init(&rig, rig_config(4, 3, SLOTS, 2), 1);
	rig.jr = jr_new(&rig.cfg);
	cr_assert_not(jr_next_event(rig.jr, &ev));
	cr_assert_not(jr_next_io(rig.jr, &io));
	jr_open(rig.jr);
	cr_assert(jr_next_io(rig.jr, &io));
	cr_assert_not(io.write);
	rig_done(&rig);
}

Test(jr_append, room_is_for_batches_of_at_most_a_segment)
{
	rig_init(&rig, rig_config(4, 4, SLOTS, 2), 1);
	rig_open(&rig);
	cr_assert(jr_has_room(rig.jr, 4 * JR_PAGE_BYTES));
	cr_assert_not(jr_has_room(rig.jr, 5 * JR_PAGE_BYTES));
	rig_done(&rig);
}

Test(jr_append, behind_a_new_beginning_only_what_is_there_is_used)
{
	struct pr_hash base = {{5}};

	fill(4);
	jr_reset(rig.jr, BATCHES, 1000, 9, &base);
	rig_run(&rig);
	cr_assert_eq(jr_used_bytes(rig.jr), 0u);
	cr_assert_eq(rig_append(&rig, 9, 1, 10), 0);
	rig_run(&rig);
	cr_assert_eq(jr_used_bytes(rig.jr), (uint64_t)JR_PAGE_BYTES);
	done();
}

Test(jr_fetch, older_batches_and_each_of_those_being_written_come)
{
	static const uint64_t asked[] = {BATCHES + 2, BATCHES + 1, 3, BATCHES};
	unsigned got = 0;

	fill(4);
	cr_assert_eq(rig_reopen(&rig), JR_CLEAN);
	for (unsigned i = 0; i < 2; i++)
		cr_assert_eq(rig_append(&rig, 2, 1, 100), 0);
	rig_poll(&rig);
	rig_events_clear(&rig);
	for (unsigned i = 0; i < 4; i++)
		jr_fetch(rig.jr, asked[i], i);
	rig_run(&rig);
	for (unsigned i = 0; i < rig.count; i++) {
		const struct jr_event *ev = &rig.events[i];

		if (ev->type != JR_EV_FETCHED)
			continue;
		cr_assert_eq(ev->cookie, got);
		cr_assert_eq(ev->batch->first_lsn, asked[got]);
		got++;
	}
	cr_assert_eq(got, 4u);
	done();
}

Test(jr_fetch, answers_that_nobody_takes_hold_the_next_back_and_none_is_lost)
{
	enum { ASKED = 250 };
	struct jr_event ev;
	unsigned got = 0;

	fill(4);
	for (unsigned i = 0; i < ASKED; i++)
		jr_fetch(rig.jr, 1 + i % BATCHES, i);
	cr_assert_eq(rig_append(&rig, 1, 1, 100), 0, "there is room for what must be told");
	for (unsigned i = 0; i < 2; i++) {
		struct jr_io io;
		uint64_t tag;
		int r;

		while (jr_next_io(rig.jr, &io))
			simdisk_submit(rig.disk, &(struct simdisk_op){.write = io.write,
								      .file = io.file,
								      .offset = io.offset,
								      .buffer = io.buffer,
								      .bytes = io.bytes,
								      .tag = io.tag});
		while (simdisk_pending(rig.disk) > 0) {
			r = simdisk_complete(rig.disk, 0, &tag);
			jr_io_done(rig.jr, tag, r);
		}
	}
	while (jr_next_event(rig.jr, &ev)) {
		if (ev.type == JR_EV_APPENDED) {
			cr_assert_eq(ev.lsn, BATCHES + 1u);
			cr_assert_lt(got, (unsigned)ASKED, "it did not wait for all of them");
			continue;
		}
		cr_assert_eq(ev.type, JR_EV_FETCHED);
		cr_assert_eq(ev.cookie, got);
		cr_assert_eq(ev.batch->first_lsn, 1 + got % BATCHES);
		jr_batch_unref(ev.batch);
		got++;
	}
	cr_assert_eq(got, (unsigned)ASKED);
	done();
}
