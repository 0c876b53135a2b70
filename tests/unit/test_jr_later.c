/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A disk that reported a write and lost it, right before the end. No entry of the ring names the batch yet, so it looks as if a crash
 * had dropped it; but what was written behind it may tell that it was committed.
 */
#include "tests/unit/jr_rig.h"

enum { SLOTS = 16, SMALL = 3000 };

static struct rig rig;

static void begin(uint32_t segment_pages, uint32_t segments)
{
	rig_init(&rig, rig_config(segment_pages, segments, SLOTS, 2), 1);
	rig_open(&rig);
	rig_append_wait(&rig, 1, 1, SMALL);
	rig_run(&rig);
}

/* The next batch, on the disk and named by no entry. */
static void append(uint64_t epoch, uint64_t commit, uint32_t bytes)
{
	uint64_t lsn = jr_tail_lsn(rig.jr) + 1;
	struct jr_batch *b = rig_batch(epoch, lsn, lsn, commit, jr_tail_hash(rig.jr), bytes);

	cr_assert_eq(jr_append(rig.jr, b), 0);
	while (rig_step(&rig))
		;
	jr_batch_unref(b);
	cr_assert_eq(rig.appended, lsn);
}

static void append_lost(uint64_t epoch, uint32_t bytes)
{
	simdisk_lose_write(rig.disk, UINT32_MAX, 0);
	append(epoch, jr_tail_lsn(rig.jr), bytes);
}

static void opens(uint64_t tail, uint64_t missing)
{
	enum jr_verdict v = rig_reopen(&rig);

	cr_assert(v == JR_CLEAN || v == JR_TORN, "%d", v);
	cr_assert_eq(jr_tail_lsn(rig.jr), tail, "%lu", jr_tail_lsn(rig.jr));
	cr_assert_eq(rig.opened.missing_lsn, missing, "%lu", rig.opened.missing_lsn);
}

Test(jr_later, a_later_batch_tells_that_a_lost_one_was_committed)
{
	begin(64, 3);
	append_lost(1, SMALL);
	append(1, 2, SMALL);
	append(1, 3, SMALL);
	opens(1, 3);
	opens(1, 3);
	/* The peer brings the first: the others follow it. */
	append(1, 1, SMALL);
	opens(4, 0);
	rig_check(&rig);
	rig_done(&rig);
}

Test(jr_later, one_that_says_nothing_of_it_tells_nothing)
{
	begin(64, 3);
	append_lost(1, SMALL);
	append(1, 1, SMALL);
	append(1, 1, SMALL);
	opens(1, 0);
	rig_done(&rig);
}

Test(jr_later, one_that_is_not_whole_tells_nothing)
{
	uint8_t *p;

	begin(64, 3);
	append_lost(1, SMALL);
	append(1, 2, 3 * SMALL);
	p = simdisk_bytes(rig.disk, 1, NULL) + 2 * 4096;
	p[4096 + 100] ^= 1;
	opens(1, 0);
	p[4096 + 100] ^= 1;
	opens(1, 2);
	p[100] ^= 1;
	opens(1, 0);
	rig_done(&rig);
}

/* What was dropped when the log went on in a newer epoch. */
Test(jr_later, one_of_an_older_epoch_tells_nothing)
{
	begin(64, 3);
	append(1, 1, SMALL);
	append(1, 2, SMALL);
	append(1, 3, SMALL);
	rig_run(&rig);
	jr_cut(rig.jr, 1);
	rig_run(&rig);
	append(2, 1, SMALL);
	opens(2, 0);
	rig_done(&rig);
}

/* It stands in the next segment; or would cross the end of its own, where no batch can be. */
Test(jr_later, it_is_found_where_batches_can_be)
{
	uint8_t *first, *second;

	begin(4, 3);
	append_lost(1, 2 * SMALL);
	append(1, 2, 2 * SMALL);
	opens(1, 2);
	first = simdisk_bytes(rig.disk, 1, NULL);
	second = simdisk_bytes(rig.disk, 2, NULL);
	memcpy(first + 3 * 4096, second, 4096);
	memset(second, 0, 4096);
	opens(1, 0);
	rig_done(&rig);
}

/* Where the log begins, nothing is behind its end any more. */
Test(jr_later, it_is_looked_for_up_to_the_beginning)
{
	begin(4, 3);
	for (unsigned i = 2; i < 12; i++)
		append(1, i - 1, SMALL);
	append_lost(1, SMALL);
	opens(11, 0);
	rig_done(&rig);
}

/*
 * The write landed at the beginning of the next segment, where a batch stands that has no room behind the one before it. This one had:
 * those that came behind it stand behind its place, and whoever went on from where it lies would forget them.
 */
Test(jr_later, a_batch_astray_where_the_next_segment_begins_is_not_taken_from_there)
{
	for (uint64_t behind = 0; behind <= 2; behind++) {
		begin(64, 3);
		simdisk_misdirect_write(rig.disk, UINT32_MAX, 0, 2, 0);
		append(1, 1, SMALL);
		for (uint64_t i = 0; i < behind; i++)
			append(1, 2 + i, SMALL);
		for (unsigned again = 0; again < 2; again++) {
			cr_assert_eq(rig_reopen(&rig), JR_HALT, "%d", rig.opened.verdict);
			cr_assert_str_eq(rig.opened.why,
					 "batch at LSN 2: behind the head, data bad");
			cr_assert_eq(jr_tail_lsn(rig.jr), 1u);
		}
		rig_done(&rig);
	}
}

static void halts(void)
{
	cr_assert_eq(rig_reopen(&rig), JR_HALT, "%d", rig.opened.verdict);
	cr_assert_str_eq(rig.opened.why, "batch at LSN 2: behind the head, data bad");
	cr_assert_eq(jr_tail_lsn(rig.jr), 1u);
}

/* Its own place is blank, and nothing behind tells of the one that was there; but no crash puts it there. */
Test(jr_later, a_batch_astray_on_the_one_before_it_is_seen)
{
	for (uint32_t pages = 1; pages <= 3; pages++) {
		begin(64, 3);
		append(1, 1, SMALL);
		simdisk_misdirect_write(rig.disk, UINT32_MAX, 0, 1, 4096);
		append(1, 1, pages * SMALL);
		halts();
		rig_done(&rig);
	}
}

/* Of two batches the sectors with the headers are swapped, or one is copied; the first may be that of an epoch. */
Test(jr_later, a_sector_of_a_later_batch_is_seen)
{
	for (uint64_t epoch = 1; epoch <= 2; epoch++)
		for (unsigned sector = 0; sector < 8; sector++) {
			uint8_t *first, *second, was[512];

			begin(64, 3);
			append(epoch, 1, SMALL);
			append(epoch, 1, SMALL);
			first = simdisk_bytes(rig.disk, 1, NULL) + 4096 + sector * 512;
			second = first + 4096;
			memcpy(was, first, 512);
			memcpy(first, second, 512);
			halts();
			memcpy(second, was, 512);
			halts();
			rig_done(&rig);
		}
}

/* Of an older epoch it was there before; and where the next segment begins, it is in its place. */
Test(jr_later, a_later_batch_that_a_crash_can_leave_is_no_damage)
{
	uint8_t *p;

	begin(64, 3);
	append(1, 1, SMALL);
	append(1, 1, SMALL);
	append(1, 1, SMALL);
	p = simdisk_bytes(rig.disk, 1, NULL);
	rig_run(&rig);
	jr_cut(rig.jr, 1);
	rig_run(&rig);
	append(2, 1, SMALL);
	memcpy(p + 2 * 4096, p + 3 * 4096, 4096);
	opens(2, 0);
	rig_done(&rig);

	begin(4, 3);
	append_lost(1, 3 * SMALL);
	append(1, 1, SMALL);
	opens(1, 0);
	rig_done(&rig);
}

/* The first page of the next segment is its place when it has no room before: by one page. */
Test(jr_later, a_batch_stands_in_the_next_segment_when_it_has_no_room_before)
{
	for (uint32_t pages = 2; pages <= 4; pages++) {
		enum jr_verdict v;

		begin(4, 3); /* one page is taken */
		if (pages == 3)
			simdisk_misdirect_write(rig.disk, UINT32_MAX, 0, 2, 0);
		append(1, 1, pages * SMALL);
		v = rig_reopen(&rig);
		cr_assert_eq(v, pages == 3 ? JR_HALT : JR_CLEAN, "%u: %d", pages, v);
		cr_assert_eq(jr_tail_lsn(rig.jr), pages == 3 ? 1u : 2u);
		if (v == JR_CLEAN)
			rig_check(&rig);
		rig_done(&rig);
	}
}

/* No farther than an entry can be late, 16 MiB. */
Test(jr_later, it_is_not_looked_for_everywhere)
{
	enum { SEGMENT_PAGES = 1024, LARGE = SEGMENT_PAGES * 4096 - 200000 };

	for (uint64_t between = 4; between <= 5; between++) {
		begin(SEGMENT_PAGES, 8);
		append_lost(1, SMALL);
		for (uint64_t i = 0; i < between; i++)
			append(1, 1, LARGE);
		append(1, 2, SMALL);
		opens(1, between == 4 ? 2 : 0);
		rig_done(&rig);
	}
}

/* 4 MiB are read at a time: it stands before their end, at it, behind it. */
Test(jr_later, it_is_found_where_one_reading_ends)
{
	enum { READ_PAGES = JR_BATCH_BYTES_MAX / 4096, PAGE = 3900 };

	for (uint32_t before = READ_PAGES - 40; before < READ_PAGES + 40; before += 3) {
		begin(2 * READ_PAGES, 3);
		append_lost(1, SMALL);
		append(1, 1, READ_PAGES / 2 * PAGE);
		append(1, 1, (before - READ_PAGES / 2) * PAGE);
		append(1, 2, 7 * PAGE);
		opens(1, 2);
		rig_done(&rig);
	}
}
