/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>

#include "tests/unit/jr_rig.h"

Test(jr_batch, image_is_checked_as_built)
{
	static const uint32_t sizes[] = {0, 1, 367, 368, 369, 3840, 3841, 65536, 1 << 20};
	struct pr_hash zero = {0};
	const char *why;

	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct jr_batch *b = rig_batch(3, 100, 120, 99, zero, sizes[i]), *c;

		cr_assert_eq((uintptr_t)b->image % 4096, 0u);
		cr_assert_eq(b->image_bytes % 4096, 0u);
		cr_assert_eq(b->image_bytes, jr_image_bytes(sizes[i]));
		c = jr_batch_open(rig_cluster, b->image, b->image_bytes, &why);
		cr_assert_not_null(c);
		cr_assert_eq(c->epoch, 3u);
		cr_assert_eq(c->first_lsn, 100u);
		cr_assert_eq(c->last_lsn, 120u);
		cr_assert_eq(c->commit_lsn, 99u);
		cr_assert_eq(c->payload_bytes, sizes[i]);
		cr_assert_eq(memcmp(c->payload, b->payload, sizes[i]), 0);
		cr_assert(pr_hash_equal(&b->hash, &c->hash));
		jr_batch_unref(b);
		jr_batch_unref(c);
	}
}

Test(jr_batch, any_flipped_bit_is_found)
{
	struct jr_batch *b = rig_batch(3, 100, 120, 99, (struct pr_hash){{7}}, 5000);
	const char *why;

	for (uint32_t i = 0; i < b->image_bytes; i++) {
		b->image[i] ^= (uint8_t)(1u << i % 8);
		why = NULL;
		cr_assert_null(jr_batch_open(rig_cluster, b->image, b->image_bytes, &why),
			       "byte %u", i);
		cr_assert_not_null(why);
		b->image[i] ^= (uint8_t)(1u << i % 8);
	}
	jr_batch_unref(b);
}

Test(jr_batch, of_another_cluster_is_refused)
{
	struct jr_batch *b = rig_batch(1, 1, 1, 0, (struct pr_hash){0}, 10);
	uint8_t other[16] = {9};
	const char *why;

	cr_assert_null(jr_batch_open(other, b->image, b->image_bytes, &why));
	cr_assert_str_eq(why, "batch of another cluster");
	cr_assert_null(jr_batch_open(rig_cluster, b->image, b->image_bytes - 1, &why));
	cr_assert_null(jr_batch_open(rig_cluster, b->image, 0, &why));
	jr_batch_unref(b);
}

Test(jr_batch, too_large_a_payload_is_refused)
{
	uint32_t max = jr_payload_max(JR_BATCH_BYTES_MAX);
	uint8_t *p = calloc(1, max + 1);
	struct pr_hash zero = {0};
	struct jr_batch *b = jr_batch_new(rig_cluster, 1, 1, 1, 0, &zero, p, max);

	cr_assert_not_null(b);
	cr_assert_eq(b->image_bytes, (uint32_t)JR_BATCH_BYTES_MAX);
	jr_batch_unref(b);
	cr_assert_null(jr_batch_new(rig_cluster, 1, 1, 1, 0, &zero, p, max + 1));
	free(p);
}

Test(jr_append, what_was_appended_is_there_after_reopening)
{
	struct rig rig;

	rig_init(&rig, rig_config(16, 4, 64, 2), 1);
	cr_assert_eq(rig_open(&rig), JR_EMPTY);
	for (unsigned i = 0; i < 10; i++)
		rig_append_wait(&rig, 1, 1 + i % 3, i * 700);
	rig_run(&rig);
	cr_assert_eq(rig.appended, jr_tail_lsn(rig.jr));
	cr_assert_eq(jr_durable_lsn(rig.jr), jr_tail_lsn(rig.jr));
	rig_check(&rig);
	cr_assert_eq(rig_reopen(&rig), JR_CLEAN);
	cr_assert_eq(rig.opened.tail_lsn, 19u);
	cr_assert_eq(rig.opened.first_lsn, 1u);
	cr_assert_eq(rig.opened.tail_epoch, 1u);
	cr_assert_eq(rig.damage, 0u);
	rig_check(&rig);
	rig_append_wait(&rig, 2, 1, 10);
	rig_run(&rig);
	cr_assert_eq(rig_reopen(&rig), JR_CLEAN);
	cr_assert_eq(rig.opened.tail_lsn, 20u);
	cr_assert_eq(rig.opened.tail_epoch, 2u);
	rig_check(&rig);
	rig_done(&rig);
}

Test(jr_append, an_empty_journal_stays_empty)
{
	struct rig rig;

	rig_init(&rig, rig_config(16, 4, 64, 2), 1);
	cr_assert_eq(rig_open(&rig), JR_EMPTY);
	cr_assert_eq(rig_reopen(&rig), JR_EMPTY);
	cr_assert_eq(jr_tail_lsn(rig.jr), 0u);
	cr_assert_eq(jr_first_lsn(rig.jr), 1u);
	rig_done(&rig);
}

Test(jr_append, batches_complete_out_of_order_and_are_told_in_order)
{
	struct rig rig;
	uint64_t tag, last = 0;

	rig_init(&rig, rig_config(64, 4, 64, 4), 7);
	rig_open(&rig);
	rig_events_clear(&rig);
	for (unsigned i = 0; i < 4; i++)
		cr_assert_eq(rig_append(&rig, 1, 1, 100), 0);
	cr_assert_eq(rig_append(&rig, 1, 1, 100), -EBUSY);
	rig_poll(&rig);
	cr_assert_eq(simdisk_pending(rig.disk), 4u);
	/* All but the first. */
	for (unsigned i = 0; i < 3; i++) {
		int r = simdisk_complete(rig.disk, 1, &tag);

		jr_io_done(rig.jr, tag, r);
		rig_poll(&rig);
		cr_assert_eq(rig.count, 0u);
		cr_assert_eq(jr_durable_lsn(rig.jr), 0u);
	}
	rig_run(&rig);
	for (unsigned i = 0; i < rig.count; i++) {
		cr_assert_eq(rig.events[i].type, JR_EV_APPENDED);
		cr_assert_gt(rig.events[i].lsn, last);
		last = rig.events[i].lsn;
	}
	cr_assert_eq(last, 4u);
	rig_done(&rig);
}

Test(jr_append, full_is_enospc_until_released)
{
	struct rig rig;
	uint64_t full;
	int r;

	rig_init(&rig, rig_config(4, 4, 32, 2), 1);
	rig_open(&rig);
	for (;;) {
		r = rig_append(&rig, 1, 1, 3000);
		if (r == -ENOSPC)
			break;
		cr_assert(r == 0 || r == -EBUSY);
		rig_run(&rig);
	}
	full = jr_tail_lsn(rig.jr);
	cr_assert_eq(full, 16u);
	cr_assert_not(jr_has_room(rig.jr, 4096));
	cr_assert_eq(jr_used_bytes(rig.jr), jr_size_bytes(rig.jr));
	jr_release(rig.jr, 3);
	rig_run(&rig);
	cr_assert_not(jr_has_room(rig.jr, 4096), "the first segment is not wholly below");
	jr_release(rig.jr, 4);
	cr_assert_not(jr_has_room(rig.jr, 4096), "no entry says so yet");
	rig_run(&rig);
	cr_assert(jr_has_room(rig.jr, 4096));
	cr_assert_eq(jr_first_lsn(rig.jr), 5u);
	rig_append_wait(&rig, 1, 1, 3000);
	rig_run(&rig);
	cr_assert_eq(rig_reopen(&rig), JR_CLEAN);
	cr_assert_eq(rig.opened.tail_lsn, full + 1);
	cr_assert_eq(rig.opened.first_lsn, 5u);
	rig_check(&rig);
	cr_assert_eq(rig_append(&rig, 1, 1, 15000), -ENOSPC);
	cr_assert_eq(rig_append(&rig, 1, 1, 20000), -EMSGSIZE);
	rig_done(&rig);
}

Test(jr_append, ring_and_segments_wrap_many_times)
{
	for (uint64_t seed = 0; seed < 20; seed++) {
		struct rig rig;

		rig_init(&rig, rig_config(8, 5, 14, 3), seed);
		rig_open(&rig);
		for (unsigned i = 0; i < 400; i++) {
			rig_append_wait(&rig, 1 + i / 50, 1 + (uint32_t)simdisk_random(rig.disk, 4),
					(uint32_t)simdisk_random(rig.disk, 12000));
			jr_release(rig.jr, jr_tail_lsn(rig.jr) - 4);
			if (i % 61 == 0) {
				rig_run(&rig);
				cr_assert_eq(rig_reopen(&rig), JR_CLEAN, "seed %lu i %u: %s", seed,
					     i, rig.opened.why);
				rig_check(&rig);
			}
			rig_events_clear(&rig);
		}
		rig_run(&rig);
		rig_check(&rig);
		cr_assert_gt(jr_first_lsn(rig.jr), 1u);
		rig_done(&rig);
	}
}

Test(jr_append, released_batches_stay_until_their_space_is_wanted)
{
	struct rig rig;

	rig_init(&rig, rig_config(4, 8, 64, 2), 1);
	rig_open(&rig);
	for (unsigned i = 0; i < 12; i++)
		rig_append_wait(&rig, 1, 1, 100);
	rig_run(&rig);
	jr_release(rig.jr, 12);
	rig_run(&rig);
	cr_assert_eq(jr_first_lsn(rig.jr), 1u);
	cr_assert_eq(jr_used_bytes(rig.jr), 4 * 4096u);
	rig_check(&rig);
	rig_done(&rig);
}

Test(jr_append, a_failed_write_is_told_once_and_nothing_is_written_any_more)
{
	struct rig rig;
	struct jr_io io;

	rig_init(&rig, rig_config(16, 4, 64, 2), 1);
	rig_open(&rig);
	rig_append_wait(&rig, 1, 1, 100);
	rig_run(&rig);
	simdisk_fail_write(rig.disk, UINT32_MAX, 0, -EIO);
	cr_assert_eq(rig_append(&rig, 1, 1, 100), 0);
	rig_run(&rig);
	cr_assert_eq(rig.failed, -EIO);
	cr_assert_eq(rig.appended, 1u);
	cr_assert_eq(rig_append(&rig, 1, 1, 100), -EIO);
	cr_assert_not(jr_next_io(rig.jr, &io));
	rig_done(&rig);
}

Test(jr_fetch, recent_batches_come_without_the_disk)
{
	struct rig rig;
	uint64_t reads;

	rig_init(&rig, rig_config(64, 4, 64, 2), 1);
	rig_open(&rig);
	for (unsigned i = 0; i < 20; i++)
		rig_append_wait(&rig, 1, 2, 100);
	rig_run(&rig);
	reads = rig.reads;
	rig_check(&rig);
	cr_assert_eq(rig.reads, reads);
	cr_assert_null(rig_fetch(&rig, 41));
	rig_reopen(&rig);
	reads = rig.reads;
	rig_check(&rig);
	cr_assert_eq(rig.reads, reads + 1, "read ahead: %lu", rig.reads - reads);
	cr_assert_null(rig_fetch(&rig, 0));
	rig_done(&rig);
}

Test(jr_fetch, in_flight_batches_come_too)
{
	struct rig rig;
	struct jr_event ev;

	rig_init(&rig, rig_config(2048, 4, 64, 2), 1);
	rig_open(&rig);
	rig_append(&rig, 1, 1, 3 << 20);
	rig_append(&rig, 1, 1, 3 << 20);
	jr_fetch(rig.jr, 1, 5);
	cr_assert(jr_next_event(rig.jr, &ev));
	cr_assert_eq(ev.type, JR_EV_FETCHED);
	cr_assert_eq(ev.batch->first_lsn, 1u);
	jr_batch_unref(ev.batch);
	rig_run(&rig);
	rig_done(&rig);
}

Test(jr_cut, archives_then_drops_and_the_place_is_used_again)
{
	struct rig rig;
	struct jr_batch *kept[8];
	uint64_t bytes, at = 0;
	uint8_t *p;

	rig_init(&rig, rig_config(4, 4, 64, 2), 3);
	rig_open(&rig);
	for (unsigned i = 0; i < 8; i++)
		rig_append_wait(&rig, 1, 2, 3000);
	rig_run(&rig);
	for (unsigned i = 0; i < 8; i++)
		kept[i] = rig_fetch(&rig, 2 * i + 1);
	jr_cut(rig.jr, 6);
	cr_assert_eq(rig_append(&rig, 1, 1, 10), -EBUSY);
	rig_run(&rig);
	cr_assert_eq(jr_tail_lsn(rig.jr), 6u);
	cr_assert_eq(rig.appended, 6u);
	cr_assert(pr_hash_equal(&(struct pr_hash){0}, &kept[0]->prev_hash));
	p = simdisk_bytes(rig.disk, 255, &bytes);
	for (unsigned i = 3; i < 8; i++) {
		cr_assert_leq(at + kept[i]->image_bytes, bytes);
		cr_assert_eq(memcmp(p + at, kept[i]->image, kept[i]->image_bytes), 0);
		at += kept[i]->image_bytes;
	}
	cr_assert_eq(at, bytes);
	cr_assert_null(rig_fetch(&rig, 7));
	cr_assert_eq(rig_reopen(&rig), JR_CLEAN);
	cr_assert_eq(rig.opened.tail_lsn, 6u);
	rig_check(&rig);
	for (unsigned i = 0; i < 3; i++)
		rig_append_wait(&rig, 2, 2, 2000);
	rig_run(&rig);
	rig_check(&rig);
	cr_assert_eq(rig_reopen(&rig), JR_CLEAN);
	cr_assert_eq(rig.opened.tail_lsn, 12u);
	rig_check(&rig);
	jr_cut(rig.jr, 0);
	rig_run(&rig);
	cr_assert_eq(jr_tail_lsn(rig.jr), 0u);
	rig_append_wait(&rig, 3, 1, 10);
	rig_run(&rig);
	cr_assert_eq(rig_reopen(&rig), JR_CLEAN);
	cr_assert_eq(rig.opened.tail_lsn, 1u);
	rig_check(&rig);
	for (unsigned i = 0; i < 8; i++)
		jr_batch_unref(kept[i]);
	rig_done(&rig);
}

/* What was read for the archive stands there no more. */
Test(jr_cut, what_is_written_in_its_place_is_read_anew)
{
	struct rig rig;
	struct jr_batch *b;

	rig_init(&rig, rig_config(1024, 4, 64, 2), 3);
	rig_open(&rig);
	for (unsigned i = 0; i < 4; i++)
		rig_append_wait(&rig, 1, 1, 100);
	rig_run(&rig);
	jr_cut(rig.jr, 1);
	rig_run(&rig);
	/* More than is kept in memory. */
	for (unsigned i = 0; i < 300; i++)
		rig_append_wait(&rig, 2, 1, 100);
	rig_run(&rig);
	b = rig_fetch(&rig, 2);
	cr_assert_not_null(b);
	cr_assert_eq(b->epoch, 2u);
	cr_assert_eq(rig.damage, 0u);
	jr_batch_unref(b);
	rig_done(&rig);
}

Test(jr_cut, at_the_tail_changes_nothing)
{
	struct rig rig;

	rig_init(&rig, rig_config(4, 4, 64, 2), 3);
	rig_open(&rig);
	rig_append_wait(&rig, 1, 5, 10);
	rig_run(&rig);
	rig_events_clear(&rig);
	jr_cut(rig.jr, 5);
	rig_run(&rig);
	cr_assert_eq(rig.count, 1u);
	cr_assert_eq(rig.events[0].type, JR_EV_CUT);
	cr_assert_eq(rig.events[0].lsn, 5u);
	rig_done(&rig);
}

Test(jr_cut, a_crash_at_any_point_leaves_the_old_or_the_new_tail)
{
	for (unsigned steps = 0; steps < 12; steps++) {
		for (unsigned mode = 0; mode < 4; mode++) {
			struct rig rig;
			enum jr_verdict v;
			uint64_t tail;

			rig_init(&rig, rig_config(4, 4, 64, 2), steps * 7 + mode);
			rig_open(&rig);
			for (unsigned i = 0; i < 8; i++)
				rig_append_wait(&rig, 1, 1, 3000);
			rig_run(&rig);
			jr_cut(rig.jr, 5);
			for (unsigned i = 0; i < steps && rig_step(&rig); i++)
				;
			rig_poll(&rig);
			rig_crash(&rig, mode);
			v = rig_open(&rig);
			tail = jr_tail_lsn(rig.jr);
			/* What was dropped may be half zeroed. */
			cr_assert((v == JR_CLEAN && (tail == 5 || tail == 8)) ||
					  (v == JR_TORN && tail == 5),
				  "steps %u mode %u verdict %d tail %lu", steps, mode, v, tail);
			rig_check(&rig);
			rig_append_wait(&rig, 2, 1, 3000);
			rig_run(&rig);
			cr_assert_eq(rig_reopen(&rig), JR_CLEAN);
			cr_assert_eq(jr_tail_lsn(rig.jr), tail + 1);
			rig_check(&rig);
			rig_done(&rig);
		}
	}
}

Test(jr_reset, begins_anew_after_a_base)
{
	struct rig rig;
	struct pr_hash base = {{5, 5, 5}}, hash;
	uint64_t end, epoch;

	rig_init(&rig, rig_config(4, 4, 64, 2), 3);
	rig_open(&rig);
	for (unsigned i = 0; i < 8; i++)
		rig_append_wait(&rig, 1, 1, 3000);
	rig_run(&rig);
	jr_reset(rig.jr, 8, 1000, 9, &base);
	rig_run(&rig);
	cr_assert_eq(rig.appended, 1000u);
	cr_assert_eq(jr_first_lsn(rig.jr), 1001u);
	cr_assert_null(rig_fetch(&rig, 5));
	cr_assert_eq(rig_reopen(&rig), JR_CLEAN);
	cr_assert_eq(rig.opened.tail_lsn, 1000u);
	cr_assert_eq(rig.opened.tail_epoch, 9u);
	cr_assert(pr_hash_equal(&rig.opened.tail_hash, &base));
	cr_assert_eq(jr_hash_at(rig.jr, 1000, &end, &epoch, &hash), 0);
	cr_assert_eq(epoch, 9u);
	cr_assert_eq(jr_hash_at(rig.jr, 999, &end, &epoch, &hash), -ENOENT);
	for (unsigned i = 0; i < 12; i++)
		rig_append_wait(&rig, 9, 1, 3000);
	rig_run(&rig);
	rig_check(&rig);
	cr_assert_eq(rig_reopen(&rig), JR_CLEAN);
	cr_assert_eq(rig.opened.tail_lsn, 1012u);
	rig_check(&rig);
	rig_done(&rig);
}

/* The archive holds these batches, one after another, and nothing else. */
static void archive_is(struct rig *rig, struct jr_batch *const *batches, unsigned count)
{
	uint64_t bytes, at = 0;
	uint8_t *p = simdisk_bytes(rig->disk, 255, &bytes);

	for (unsigned i = 0; i < count; i++) {
		cr_assert_leq(at + batches[i]->image_bytes, bytes);
		cr_assert_eq(memcmp(p + at, batches[i]->image, batches[i]->image_bytes), 0);
		at += batches[i]->image_bytes;
	}
	cr_assert_eq(at, bytes);
}

Test(jr_reset, archives_what_may_stand_here_alone)
{
	/* Batches of two LSNs. 7 lies within the fourth: it is not wholly common. */
	static const struct {
		uint64_t common_lsn;
		unsigned kept;
	} cases[] = {{0, 0}, {6, 3}, {7, 3}, {8, 4}, {16, 8}, {UINT64_MAX, 8}};
	struct pr_hash base = {{5, 5, 5}};
	struct rig rig;
	struct jr_batch *all[8];

	for (unsigned k = 0; k < sizeof(cases) / sizeof(cases[0]); k++) {
		rig_init(&rig, rig_config(4, 6, 64, 2), 3 + k);
		rig_open(&rig);
		for (unsigned i = 0; i < 8; i++)
			rig_append_wait(&rig, 1, 2, 3000);
		rig_run(&rig);
		for (unsigned i = 0; i < 8; i++)
			all[i] = rig_fetch(&rig, 2 * i + 1);
		jr_reset(rig.jr, cases[k].common_lsn, 1000, 9, &base);
		rig_run(&rig);
		cr_assert_eq(jr_tail_lsn(rig.jr), 1000u);
		archive_is(&rig, all + cases[k].kept, 8 - cases[k].kept);
		for (unsigned i = 0; i < 8; i++)
			jr_batch_unref(all[i]);
		rig_done(&rig);
	}
}

Test(jr_config, that_cannot_be_is_refused)
{
	static const struct jr_config bad[] = {
		{.segment_bytes = 4097, .segments = 4, .ring_slots = 64, .in_flight = 2},
		{.segment_bytes = 0, .segments = 4, .ring_slots = 64, .in_flight = 2},
		{.segment_bytes = 4096, .segments = 2, .ring_slots = 64, .in_flight = 2},
		{.segment_bytes = 4096, .segments = 255, .ring_slots = 64, .in_flight = 2},
		{.segment_bytes = 4096, .segments = 4, .ring_slots = 11, .in_flight = 2},
		{.segment_bytes = 4096, .segments = 4, .ring_slots = 64, .in_flight = 0},
		{.segment_bytes = 4096, .segments = 4, .ring_slots = 64, .in_flight = 17},
		{.segment_bytes = 4096, .segments = 4, .ring_slots = (1 << 20) + 1, .in_flight = 2},
	};

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_assert_null(jr_new(&bad[i]), "%u", i);
}
