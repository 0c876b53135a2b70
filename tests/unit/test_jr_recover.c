/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>

#include "journal/core/jr_verdict.h"
#include "tests/unit/jr_rig.h"

enum { SLOTS = 16, BATCHES = 30, PAGES = 2, PAYLOAD = 6000, SEGMENT_PAGES = 16 };

/*
 * A journal of 30 batches of one LSN and two pages each. Batch i has LSN i and seq i + 1, for the
 * BASE entry has seq 1. before is the disk as it was when batch `target` was issued.
 */
struct scene {
	struct rig rig;
	struct simdisk *before;
	struct jr_batch *batches[BATCHES + 1];
	unsigned target;
};

static void scene_make(struct scene *s, unsigned target)
{
	struct rig *rig = &s->rig;

	rig_init(rig, rig_config(SEGMENT_PAGES, 4, SLOTS, 2), target);
	s->target = target;
	s->before = NULL;
	rig_open(rig);
	for (unsigned i = 1; i <= BATCHES; i++) {
		struct pr_hash prev = jr_tail_hash(rig->jr);

		rig_run(rig);
		if (i == target)
			s->before = simdisk_copy(rig->disk, 1);
		s->batches[i] = rig_batch(1, i, i, 0, prev, PAYLOAD);
		cr_assert_eq(jr_append(rig->jr, s->batches[i]), 0);
	}
	rig_run(rig);
	cr_assert_eq(rig->appended, (uint64_t)BATCHES);
}

static void scene_done(struct scene *s)
{
	for (unsigned i = 1; i <= BATCHES; i++)
		jr_batch_unref(s->batches[i]);
	simdisk_free(s->before);
	rig_done(&s->rig);
}

static uint32_t batch_file(unsigned i)
{
	return 1 + (i - 1) * PAGES / SEGMENT_PAGES;
}

static uint64_t batch_offset(unsigned i)
{
	return (uint64_t)((i - 1) * PAGES % SEGMENT_PAGES) * 4096;
}

static uint8_t *slot_bytes(struct simdisk *d, unsigned i)
{
	return simdisk_bytes(d, 0, NULL) + (uint64_t)((i + 1) % SLOTS) * 4096;
}

static uint8_t *sector_bytes(struct simdisk *d, unsigned i, unsigned sector)
{
	return simdisk_bytes(d, batch_file(i), NULL) + batch_offset(i) + (uint64_t)sector * 512;
}

/* What can have become of a batch's entry. */
enum entry { ENTRY_THERE, ENTRY_LOST, ENTRY_BAD, ENTRIES };

static void put_entry(struct scene *s, unsigned i, enum entry entry)
{
	uint8_t *p = slot_bytes(s->rig.disk, i);

	if (entry == ENTRY_LOST)
		memcpy(p, slot_bytes(s->before, i), 4096);
	if (entry == ENTRY_BAD)
		for (unsigned k = 0; k < 8; k++)
			p[k * 512 + 40] ^= 0x10;
}

static void put_data(struct scene *s, unsigned i, enum jr_data data, unsigned variant)
{
	unsigned sector = variant % (PAGES * 8);

	if (data == JR_DATA_TORN)
		memcpy(sector_bytes(s->rig.disk, i, sector), sector_bytes(s->before, i, sector),
		       512);
	if (data == JR_DATA_BAD)
		sector_bytes(s->rig.disk, i, sector)[variant * 37 % 512] ^= 4;
}

/* What recovery must say for each action, when it is taken on the target. */
static void expect(struct scene *s, enum jr_action action, bool noted, const char *what)
{
	struct rig *rig = &s->rig;
	enum jr_verdict v = rig_reopen(rig), again = JR_CLEAN;
	uint64_t t = s->target, tail = jr_tail_lsn(rig->jr);

	switch (action) {
	case JR_DO_KEEP:
	case JR_DO_ADOPT:
		cr_assert(v == JR_CLEAN && tail == BATCHES && (rig->damage > 0) == noted,
			  "%s: %d %lu %s", what, v, tail, rig->opened.why);
		break;
	case JR_DO_END:
		cr_assert((v == JR_CLEAN || v == JR_TORN) && tail == t - 1, "%s: %d %lu %s", what,
			  v, tail, rig->opened.why);
		again = v;
		break;
	case JR_DO_REPAIR:
		cr_assert(v == JR_REPAIR && rig->opened.damaged_first == t &&
				  rig->opened.damaged_last == t && rig->damage > 0,
			  "%s: %d %lu %s", what, v, tail, rig->opened.why);
		jr_repair(rig->jr, s->batches[t]);
		rig_run(rig);
		cr_assert_not_null(rig_find(rig, JR_EV_REPAIRED), "%s", what);
		tail = BATCHES;
		break;
	case JR_DO_HALT:
		cr_assert(v == JR_HALT && rig->damage > 0, "%s: %d %lu %s", what, v, tail,
			  rig->opened.why);
		return;
	default:
		cr_assert_fail("%s", what);
	}
	rig_check(rig);
	/* What was decided stays decided, and the journal goes on. */
	v = rig_reopen(rig);
	cr_assert(v == again, "%s again: %d %s", what, v, rig->opened.why);
	cr_assert_eq(jr_tail_lsn(rig->jr), tail);
	rig_append_wait(rig, 2, 1, PAYLOAD);
	rig_run(rig);
	cr_assert_eq(rig_reopen(rig), JR_CLEAN);
	cr_assert_eq(jr_tail_lsn(rig->jr), tail + 1);
	rig_check(rig);
}

/* A batch in the middle is durable whatever became of its entry; the last one only if it is there. */
Test(jr_recover, every_row_of_the_decision_table_is_visited)
{
	for (unsigned e = 0; e < ENTRIES; e++) {
		for (unsigned d = 0; d < JR_DATAS; d++) {
			for (unsigned last = 0; last < 2; last++) {
				enum jr_proof p = last && e != ENTRY_THERE ? JR_PROOF_BEYOND
									   : JR_PROOF_DURABLE;
				enum jr_action action = jr_decide(p, d);
				bool noted = e == ENTRY_BAD || (e == ENTRY_LOST && !last);
				char what[120];

				cr_assert_neq(action, JR_DO_UNWRITTEN);
				for (unsigned variant = 0; variant < PAGES * 8; variant++) {
					struct scene s;

					snprintf(what, sizeof(what),
						 "%s, entry %u, data %s (%u): %s", jr_proof_name(p),
						 e, jr_data_name(d), variant,
						 jr_action_name(action));
					scene_make(&s, last ? BATCHES : BATCHES - 5);
					put_entry(&s, s.target, e);
					put_data(&s, s.target, d, variant);
					expect(&s, action, noted, what);
					scene_done(&s);
				}
			}
		}
	}
}

Test(jr_recover, behind_the_reach_of_the_ring_nothing_is_cut)
{
	for (unsigned d = 0; d < JR_DATAS; d++) {
		struct scene s;

		scene_make(&s, 5);
		put_data(&s, 5, d, 3);
		expect(&s, jr_decide(JR_PROOF_DURABLE, d), false, jr_data_name(d));
		scene_done(&s);
	}
}

/* Four batches become durable, and the power goes before the ring names them. */
Test(jr_recover, durable_batches_that_no_entry_names_are_adopted)
{
	for (unsigned damage = 0; damage < 5; damage++) {
		struct rig rig;
		enum jr_verdict v;

		rig_init(&rig, rig_config(SEGMENT_PAGES, 4, SLOTS, 2), damage);
		rig_open(&rig);
		rig_append_wait(&rig, 1, 1, PAYLOAD);
		rig_run(&rig);
		for (unsigned i = 0; i < 4; i++) {
			cr_assert_eq(rig_append(&rig, 1, 1, PAYLOAD), 0);
			while (rig_step(&rig))
				;
		}
		cr_assert_eq(rig.appended, 5u);
		rig_crash(&rig, SIMDISK_DROP);
		if (damage > 0)
			sector_bytes(rig.disk, 1 + damage, 3)[77] ^= 1;
		v = rig_open(&rig);
		cr_assert_eq(v, damage ? JR_HALT : JR_CLEAN, "%u: %d %s", damage, v,
			     rig.opened.why);
		if (!damage) {
			cr_assert_eq(jr_tail_lsn(rig.jr), 5u);
			rig_check(&rig);
			cr_assert_eq(rig_reopen(&rig), JR_CLEAN);
		}
		rig_done(&rig);
	}
}

Test(jr_recover, the_last_batch_torn_or_bad)
{
	for (unsigned variant = 0; variant < PAGES * 8; variant++) {
		for (unsigned d = JR_DATA_TORN; d <= JR_DATA_BAD; d++) {
			struct scene s;

			scene_make(&s, BATCHES);
			put_data(&s, BATCHES, d, variant);
			expect(&s, JR_DO_REPAIR, false, jr_data_name(d));
			scene_done(&s);
		}
	}
}

Test(jr_recover, torn_at_every_sector_boundary_on_blank_and_on_used_space)
{
	for (unsigned used = 0; used < 2; used++) {
		for (unsigned cut = 0; cut < 3 * 8; cut++) {
			struct simdisk *before;
			struct rig rig;
			uint64_t tail;
			uint8_t *p, *q;
			uint32_t file;

			rig_init(&rig, rig_config(8, 3, SLOTS, 2), cut);
			rig_open(&rig);
			for (unsigned i = 0; i < (used ? 13 : 3); i++) {
				rig_append_wait(&rig, 1, 1, 5000);
				jr_release(rig.jr, jr_tail_lsn(rig.jr));
				rig_run(&rig);
			}
			rig_run(&rig);
			tail = jr_tail_lsn(rig.jr);
			before = simdisk_copy(rig.disk, 1);
			cr_assert_eq(rig_append(&rig, 2, 1, 10000), 0);
			rig_run(&rig);
			/*
			 * Sectors 0 .. cut - 1 of the batch are new, the others as before: whatever
			 * file and place it went to. No entry names it yet.
			 */
			memcpy(simdisk_bytes(rig.disk, 0, NULL), simdisk_bytes(before, 0, NULL),
			       SLOTS * 4096);
			for (file = 1; file <= 3; file++) {
				uint64_t bytes, at = 0;

				p = simdisk_bytes(rig.disk, file, &bytes);
				q = simdisk_bytes(before, file, NULL);
				while (at < bytes && memcmp(p + at, q + at, 512) == 0)
					at += 512;
				if (at == bytes)
					continue;
				memcpy(p + at + cut * 512, q + at + cut * 512,
				       3 * 4096 - cut * 512);
			}
			cr_assert_eq(rig_reopen(&rig), cut ? JR_TORN : JR_CLEAN,
				     "used %u cut %u: %s", used, cut, rig.opened.why);
			cr_assert_eq(jr_tail_lsn(rig.jr), tail);
			rig_check(&rig);
			rig_append_wait(&rig, 3, 1, 5000);
			rig_run(&rig);
			cr_assert_eq(rig_reopen(&rig), JR_CLEAN);
			cr_assert_eq(jr_tail_lsn(rig.jr), tail + 1);
			simdisk_free(before);
			rig_done(&rig);
		}
	}
}

Test(jr_recover, a_bit_flip_in_any_sector_is_told_and_loses_nothing)
{
	for (uint32_t file = 0; file <= 4; file++) {
		uint64_t sectors = file == 0 ? SLOTS * 8 : SEGMENT_PAGES * 8;

		if (file == 4)
			sectors = (BATCHES - 24) * PAGES * 8;
		for (uint64_t sector = 0; sector < sectors; sector++) {
			struct scene s;
			enum jr_verdict v;

			scene_make(&s, BATCHES);
			simdisk_flip(s.rig.disk, file, sector * 512 + sector * 7 % 512,
				     (unsigned)sector);
			v = rig_reopen(&s.rig);
			cr_assert_gt(s.rig.damage, 0u, "file %u sector %lu", file, sector);
			cr_assert_eq(jr_tail_lsn(s.rig.jr), (uint64_t)BATCHES);
			if (file == 0) {
				cr_assert_eq(v, JR_CLEAN);
				rig_check(&s.rig);
			} else {
				uint64_t lsn = (file - 1) * (SEGMENT_PAGES / PAGES) +
					       sector / (PAGES * 8) + 1;

				cr_assert_eq(v, JR_REPAIR);
				cr_assert_eq(s.rig.opened.damaged_first, lsn);
				cr_assert_eq(s.rig.opened.damaged_last, lsn);
				cr_assert_eq(s.rig.events[0].file, file);
				cr_assert_eq(s.rig.events[0].offset, sector * 512);
			}
			scene_done(&s);
		}
	}
}

Test(jr_recover, a_damaged_ring_page_loses_nothing)
{
	for (unsigned slot = 0; slot < SLOTS; slot++) {
		struct scene s;
		enum jr_verdict v;

		scene_make(&s, BATCHES);
		memset(simdisk_bytes(s.rig.disk, 0, NULL) + slot * 4096, 0x55, 4096);
		v = rig_reopen(&s.rig);
		cr_assert_eq(v, JR_CLEAN, "slot %u: %s", slot, s.rig.opened.why);
		cr_assert_eq(jr_tail_lsn(s.rig.jr), (uint64_t)BATCHES);
		cr_assert_gt(s.rig.damage, 0u);
		rig_check(&s.rig);
		cr_assert_eq(rig_reopen(&s.rig), JR_CLEAN);
		cr_assert_eq(jr_tail_lsn(s.rig.jr), (uint64_t)BATCHES);
		scene_done(&s);
	}
}

Test(jr_recover, lost_and_misdirected_writes_are_found)
{
	for (unsigned kind = 0; kind < 4; kind++) {
		struct rig rig;
		enum jr_verdict v;

		rig_init(&rig, rig_config(SEGMENT_PAGES, 4, SLOTS, 2), kind);
		rig_open(&rig);
		for (unsigned i = 1; i <= 12; i++) {
			if (i == 7 && kind == 0)
				simdisk_lose_write(rig.disk, 1, 0);
			if (i == 7 && kind == 1)
				simdisk_misdirect_write(rig.disk, 1, 0, 1, batch_offset(3));
			if (i == 7 && kind == 2)
				simdisk_lose_write(rig.disk, 0, 0);
			if (i == 7 && kind == 3)
				simdisk_misdirect_write(rig.disk, 0, 0, 0, 4 * 4096);
			rig_append_wait(&rig, 1, 1, PAYLOAD);
			rig_run(&rig);
		}
		v = rig_reopen(&rig);
		cr_assert_gt(rig.damage, 0u);
		cr_assert_eq(jr_tail_lsn(rig.jr), 12u);
		if (kind < 2) {
			cr_assert_eq(v, JR_REPAIR);
			cr_assert_eq(rig.opened.damaged_first, kind == 0 ? 7u : 3u);
			cr_assert_eq(rig.opened.damaged_last, 7u);
		} else {
			cr_assert_eq(v, JR_CLEAN, "kind %u: %s", kind, rig.opened.why);
		}
		rig_done(&rig);
	}
}

Test(jr_recover, the_last_ring_entry_astray_is_still_believed)
{
	struct rig rig;

	rig_init(&rig, rig_config(SEGMENT_PAGES, 4, SLOTS, 2), 1);
	rig_open(&rig);
	for (unsigned i = 1; i <= 5; i++) {
		if (i == 5)
			simdisk_misdirect_write(rig.disk, 0, 0, 0, 9 * 4096);
		rig_append_wait(&rig, 1, 1, PAYLOAD);
		rig_run(&rig);
	}
	cr_assert_eq(rig_reopen(&rig), JR_CLEAN);
	cr_assert_eq(jr_tail_lsn(rig.jr), 5u);
	cr_assert_gt(rig.damage, 0u);
	rig_done(&rig);
}

Test(jr_recover, an_unreadable_page_costs_only_its_batch)
{
	struct scene s;

	scene_make(&s, BATCHES);
	simdisk_unreadable(s.rig.disk, batch_file(11), batch_offset(11) + 4096, 4096);
	cr_assert_eq(rig_reopen(&s.rig), JR_REPAIR);
	cr_assert_eq(s.rig.opened.damaged_first, 11u);
	cr_assert_eq(s.rig.opened.damaged_last, 11u);
	cr_assert_null(rig_fetch(&s.rig, 11));
	jr_repair(s.rig.jr, s.batches[12]);
	jr_repair(s.rig.jr, s.batches[11]);
	rig_run(&s.rig);
	rig_check(&s.rig);
	cr_assert_eq(rig_reopen(&s.rig), JR_CLEAN);
	scene_done(&s);
}

Test(jr_recover, a_run_of_unknown_batches_is_repaired_one_by_one)
{
	for (unsigned first = 1; first <= 10; first++) {
		for (unsigned count = 1; count <= 4; count++) {
			struct scene s;

			scene_make(&s, BATCHES);
			for (unsigned i = first; i < first + count; i++)
				for (unsigned k = 0; k < PAGES * 8; k++)
					put_data(&s, i, JR_DATA_BAD, k);
			cr_assert_eq(rig_reopen(&s.rig), JR_REPAIR);
			cr_assert_eq(s.rig.opened.damaged_first, (uint64_t)first);
			cr_assert_eq(s.rig.opened.damaged_last, (uint64_t)first + count - 1);
			cr_assert_eq(jr_tail_lsn(s.rig.jr), (uint64_t)BATCHES);
			cr_assert_null(rig_fetch(&s.rig, first));
			rig_events_clear(&s.rig);
			for (unsigned i = first; i < first + count; i++)
				jr_repair(s.rig.jr, s.batches[i]);
			rig_run(&s.rig);
			cr_assert_eq(s.rig.damage, 0u, "first %u count %u", first, count);
			rig_check(&s.rig);
			cr_assert_eq(rig_reopen(&s.rig), JR_CLEAN);
			rig_check(&s.rig);
			scene_done(&s);
		}
	}
}

Test(jr_recover, the_wrong_copy_repairs_nothing)
{
	struct jr_batch *wrong;
	struct scene s;

	scene_make(&s, BATCHES);
	put_data(&s, 20, JR_DATA_BAD, 3);
	cr_assert_eq(rig_reopen(&s.rig), JR_REPAIR);
	wrong = rig_batch(9, 20, 20, 0, s.batches[19]->hash, PAYLOAD);
	rig_events_clear(&s.rig);
	jr_repair(s.rig.jr, wrong);
	rig_run(&s.rig);
	cr_assert_null(rig_find(&s.rig, JR_EV_REPAIRED));
	cr_assert_not_null(rig_find(&s.rig, JR_EV_DAMAGE));
	jr_batch_unref(wrong);
	scene_done(&s);
}

Test(jr_recover, a_journal_of_another_cluster_or_shape_is_foreign)
{
	struct scene s;

	scene_make(&s, BATCHES);
	s.rig.cfg.cluster[0]++;
	cr_assert_eq(rig_reopen(&s.rig), JR_FOREIGN);
	cr_assert_str_eq(s.rig.opened.why, "the journal belongs to another cluster");
	s.rig.cfg.cluster[0]--;
	s.rig.cfg.segments--;
	cr_assert_eq(rig_reopen(&s.rig), JR_FOREIGN);
	s.rig.cfg.segments++;
	cr_assert_eq(rig_reopen(&s.rig), JR_CLEAN);
	scene_done(&s);
}

/* Nobody knew where the batches were: each stands somewhere in the archive, page by page. */
static void archive_has_all(struct scene *s)
{
	uint64_t bytes;
	uint8_t *p = simdisk_bytes(s->rig.disk, 255, &bytes);

	for (unsigned i = 1; i <= BATCHES; i++) {
		const struct jr_batch *b = s->batches[i];
		uint64_t at = 0;

		while (at + b->image_bytes <= bytes &&
		       memcmp(p + at, b->image, b->image_bytes) != 0)
			at += JR_PAGE_BYTES;
		cr_assert_leq(at + b->image_bytes, bytes, "batch %u", i);
	}
}

Test(jr_recover, a_lost_ring_is_no_new_journal)
{
	struct pr_hash base = {{3}};
	struct scene s;

	for (unsigned fill = 0; fill < 2; fill++) {
		scene_make(&s, BATCHES);
		memset(simdisk_bytes(s.rig.disk, 0, NULL), fill ? 0xff : 0, SLOTS * 4096);
		cr_assert_eq(rig_reopen(&s.rig), JR_HALT);
		jr_reset(s.rig.jr, UINT64_MAX, 500, 4, &base);
		rig_run(&s.rig);
		archive_has_all(&s);
		rig_append_wait(&s.rig, 5, 1, 100);
		rig_run(&s.rig);
		cr_assert_eq(rig_reopen(&s.rig), JR_CLEAN, "%s", s.rig.opened.why);
		cr_assert_eq(jr_tail_lsn(s.rig.jr), 501u);
		scene_done(&s);
	}
}

Test(jr_recover, looking_only_writes_nothing)
{
	struct scene s;
	uint8_t *ring = malloc(SLOTS * 4096);

	scene_make(&s, BATCHES);
	put_entry(&s, BATCHES, ENTRY_LOST);
	put_data(&s, BATCHES, JR_DATA_TORN, 3);
	memcpy(ring, simdisk_bytes(s.rig.disk, 0, NULL), SLOTS * 4096);
	s.rig.cfg.look_only = true;
	cr_assert_eq(rig_reopen(&s.rig), JR_TORN);
	cr_assert_eq(memcmp(ring, simdisk_bytes(s.rig.disk, 0, NULL), SLOTS * 4096), 0);
	cr_assert_eq(rig_reopen(&s.rig), JR_TORN);
	free(ring);
	scene_done(&s);
}

Test(jr_verify, finds_what_went_bad_since)
{
	struct jr_event *ev;
	struct scene s;

	scene_make(&s, BATCHES);
	rig_reopen(&s.rig);
	rig_events_clear(&s.rig);
	jr_verify(s.rig.jr, 1);
	rig_run(&s.rig);
	ev = rig_find(&s.rig, JR_EV_VERIFIED);
	cr_assert(ev && ev->lsn == BATCHES);
	cr_assert_eq(s.rig.damage, 0u);
	simdisk_flip(s.rig.disk, batch_file(17), batch_offset(17) + 5 * 512 + 9, 1);
	rig_events_clear(&s.rig);
	jr_verify(s.rig.jr, 4);
	rig_run(&s.rig);
	ev = rig_find(&s.rig, JR_EV_VERIFIED);
	cr_assert(ev && ev->lsn == 16);
	ev = rig_find(&s.rig, JR_EV_DAMAGE);
	cr_assert(ev && ev->lsn == 17 && ev->file == batch_file(17) &&
		  ev->offset == batch_offset(17) + 5 * 512);
	cr_assert_null(rig_fetch(&s.rig, 17));
	jr_repair(s.rig.jr, s.batches[17]);
	rig_run(&s.rig);
	rig_check(&s.rig);
	scene_done(&s);
}

Test(jr_recover, a_lost_cut_entry_never_passes_for_a_whole_journal)
{
	/*
	 * The CUT entry's page is destroyed; what it dropped was made unusable, so the tail is cut
	 * again or repair is asked for.
	 */
	struct scene s;
	enum jr_verdict v;

	scene_make(&s, BATCHES);
	jr_cut(s.rig.jr, 20);
	rig_run(&s.rig);
	memset(simdisk_bytes(s.rig.disk, 0, NULL) + (BATCHES + 2) % SLOTS * 4096, 0x33, 4096);
	v = rig_reopen(&s.rig);
	cr_assert_eq(v, JR_REPAIR);
	cr_assert_eq(s.rig.opened.damaged_first, 21u);
	scene_done(&s);
}

/*
 * The main rule: whatever a crash does to what was under way, all that was reported durable is
 * there, and what is there is right.
 */
static void crash_loop(uint64_t seed)
{
	struct rig rig;
	uint64_t epoch = 1;

	rig_init(&rig, rig_config(8, 4, 12 + seed % 9, 1 + seed % 4), seed);
	if (rig.cfg.ring_slots < 2 * rig.cfg.in_flight + 8)
		rig.cfg.in_flight = 2;
	cr_assert_eq(rig_open(&rig), JR_EMPTY);
	for (unsigned round = 0; round < 30; round++) {
		unsigned n = (unsigned)simdisk_random(rig.disk, 60);
		uint64_t acked;
		enum jr_verdict v;

		for (unsigned i = 0; i < n; i++) {
			switch (simdisk_random(rig.disk, 4)) {
			case 0:
			case 1:
				rig_append(&rig, epoch, 1 + (uint32_t)simdisk_random(rig.disk, 3),
					   (uint32_t)simdisk_random(rig.disk, 9000));
				break;
			case 2:
				rig_step(&rig);
				break;
			default:
				if (simdisk_random(rig.disk, 4) == 0)
					jr_name(rig.jr);
				if (simdisk_random(rig.disk, 4) == 0)
					jr_release(rig.jr, rig.appended > 3 ? rig.appended - 3 : 0);
				rig_step(&rig);
			}
		}
		rig_poll(&rig);
		if (simdisk_random(rig.disk, 8) == 0 && rig.appended > jr_first_lsn(rig.jr)) {
			uint64_t end, e;
			struct pr_hash h;

			rig_run(&rig);
			if (jr_hash_at(rig.jr, rig.appended - 1, &end, &e, &h) == 0) {
				jr_cut(rig.jr, end);
				for (unsigned i = 0; i < 3; i++)
					rig_step(&rig);
				rig_poll(&rig);
				rig.appended = end;
			}
		}
		acked = rig.appended;
		rig_crash(&rig, SIMDISK_RANDOM);
		v = rig_open(&rig);
		cr_assert(v == JR_CLEAN || v == JR_TORN || v == JR_EMPTY,
			  "seed %lu round %u: %d %s", seed, round, v, rig.opened.why);
		cr_assert_geq(jr_tail_lsn(rig.jr), acked, "seed %lu round %u", seed, round);
		cr_assert_eq(rig.damage, 0u, "seed %lu round %u: %s", seed, round,
			     rig.events[0].why);
		rig_check(&rig);
		epoch++;
	}
	rig_done(&rig);
}

Test(jr_recover, nothing_acknowledged_is_lost_by_any_crash)
{
	for (uint64_t seed = 0; seed < 300; seed++)
		crash_loop(seed);
}
