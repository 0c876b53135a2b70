/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Recovery of a journal that was written, cut short and then forged. Input: what is appended, cut and released; what the crash
 * leaves; what another's hand does to the files, checksums made good or not; what comes after. Recovery ends whatever stands
 * there, says the same to a tool that only looks, and what it calls sound can be read, goes on, and is found again. Where nobody
 * forged anything, all that was reported durable is there.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "journal/core/format.h"
#include "proto/crc32c.h"
#include "proto/cursor.h"
#include "tests/fuzz/fuzz.h"
#include "tests/sim/simdisk.h"

enum {
	SEGMENT_PAGES = 6,
	SEGMENTS = 3,
	SLOTS = 12,
	ACTS_MAX = 24,
	FORGERIES_MAX = 6,
	BATCHES_MAX = 64,
	STEPS_MAX = 20000
};
enum { FLIP, ZERO, COPY, FORGE_ENTRY, FORGE_HEADER, UNREADABLE, FORGERIES };

struct rig {
	struct simdisk *disk;
	struct jr_config cfg;
	struct jr *jr;
	struct jr_event opened, last; /* last: of a fetch, cut or repair */
	uint64_t reported;	      /* durable, as the journal said */
	uint64_t epoch;
	unsigned int steps;
	bool failed;
	bool sealed;	      /* somebody made checksums good */
	bool unreadable;      /* some sector gives an I/O error */
	unsigned int hurt;    /* places that were changed */
	unsigned int noticed; /* 1: the only change is one that no lost write explains */
	struct jr_batch *batch[BATCHES_MAX];
	unsigned int batches;
};

static const uint8_t cluster[16] = "a forged journal";

static void take_event(struct rig *r, struct jr_event *ev)
{
	if (ev->type == JR_EV_OPENED)
		r->opened = *ev;
	else if (ev->type == JR_EV_APPENDED)
		r->reported = ev->lsn;
	else if (ev->type == JR_EV_FAILED)
		r->failed = true;
	if (ev->type == JR_EV_OPENED || ev->type == JR_EV_CUT)
		r->reported = ev->type == JR_EV_OPENED ? ev->tail_lsn : ev->lsn;
	if (ev->type == JR_EV_FETCHED || ev->type == JR_EV_CUT || ev->type == JR_EV_REPAIRED ||
	    ev->type == JR_EV_DAMAGE) {
		jr_batch_unref(r->last.batch);
		r->last = *ev;
	}
}

static void poll(struct rig *r)
{
	struct jr_event ev;
	struct jr_io io;

	while (jr_next_event(r->jr, &ev))
		take_event(r, &ev);
	while (jr_next_io(r->jr, &io)) {
		FUZZ_CHECK(!r->cfg.look_only || !io.write);
		simdisk_submit(r->disk, &(struct simdisk_op){.write = io.write,
							     .append = io.file == 255,
							     .file = io.file,
							     .offset = io.offset,
							     .buffer = io.buffer,
							     .bytes = io.bytes,
							     .tag = io.tag});
	}
}

static bool step(struct rig *r)
{
	uint64_t tag;
	int result;

	poll(r);
	if (simdisk_pending(r->disk) == 0)
		return false;
	FUZZ_CHECK(++r->steps < STEPS_MAX, "the journal never comes to rest");
	result = simdisk_complete(r->disk, simdisk_any(r->disk), &tag);
	jr_io_done(r->jr, tag, result);
	return true;
}

/* Until nothing is left to do, and the ring names the last batch. */
static void run(struct rig *r)
{
	do {
		while (step(r))
			;
		jr_name(r->jr);
	} while (jr_unnamed(r->jr) > 0 && !r->failed);
}

static void forget_last(struct rig *r)
{
	jr_batch_unref(r->last.batch);
	r->last = (struct jr_event){0};
}

static void close_journal(struct rig *r, enum simdisk_crash mode)
{
	forget_last(r);
	jr_free(r->jr);
	r->jr = NULL;
	simdisk_crash(r->disk, mode);
}

static void open_journal(struct rig *r, bool look_only)
{
	r->cfg.look_only = look_only;
	r->failed = false;
	r->opened = (struct jr_event){.type = JR_EV_FAILED};
	r->jr = jr_new(&r->cfg);
	FUZZ_CHECK(r->jr);
	jr_open(r->jr);
	run(r);
	FUZZ_CHECK(r->opened.type == JR_EV_OPENED || r->failed);
}

static struct jr_batch *batch_new(struct rig *r, uint64_t first, uint64_t last, uint32_t bytes)
{
	static uint8_t payload[SEGMENT_PAGES * JR_PAGE_BYTES];
	struct pr_hash prev = jr_tail_hash(r->jr);

	for (uint32_t i = 0; i < bytes; i++)
		payload[i] = (uint8_t)(r->epoch * 31 + first * 7 + i * 13 + (i >> 8));
	return jr_batch_new(cluster, r->epoch, first, last, r->reported < first ? r->reported : 0,
			    &prev, payload, bytes);
}

static bool append(struct rig *r, uint32_t lsns, uint32_t bytes)
{
	uint64_t tail = jr_tail_lsn(r->jr);
	struct jr_batch *b = batch_new(r, tail + 1, tail + lsns, bytes);
	bool ok;

	FUZZ_CHECK(b);
	ok = jr_append(r->jr, b) == 0;
	if (ok && r->batches < BATCHES_MAX)
		r->batch[r->batches++] = b;
	else
		jr_batch_unref(b);
	return ok;
}

/* The batch that holds lsn: checked, or NULL. */
static const struct jr_batch *fetch(struct rig *r, uint64_t lsn)
{
	forget_last(r);
	jr_fetch(r->jr, lsn, 99);
	run(r);
	FUZZ_CHECK(r->last.type == JR_EV_FETCHED || r->last.type == JR_EV_DAMAGE);
	return r->last.batch;
}

/* The batch as it was appended; NULL: this input never appended it. */
static struct jr_batch *known(struct rig *r, uint64_t lsn, uint64_t epoch)
{
	for (unsigned int i = r->batches; i-- > 0;)
		if (r->batch[i]->first_lsn <= lsn && lsn <= r->batch[i]->last_lsn &&
		    (!epoch || r->batch[i]->epoch == epoch))
			return r->batch[i];
	return NULL;
}

/* More than one fault may make a batch unreadable that the recovery has called sound, or hide what comes after. */
static bool strict(const struct rig *r)
{
	return !r->sealed && r->hurt <= 1;
}

/* What is called sound is there from its beginning to its tail, chained, and as it was appended. */
static void check_all(struct rig *r)
{
	uint64_t lsn = jr_first_lsn(r->jr), tail = jr_tail_lsn(r->jr), end, epoch;
	struct pr_hash hash, tail_hash = jr_tail_hash(r->jr);

	if (lsn > tail)
		return;
	FUZZ_CHECK(jr_hash_at(r->jr, lsn - 1, &end, &epoch, &hash) == 0);
	while (lsn <= tail) {
		const struct jr_batch *b = fetch(r, lsn), *as_was;

		if (!b && r->sealed)
			return;
		FUZZ_CHECK(b && b->first_lsn == lsn && b->last_lsn >= lsn, "LSN %llu of %llu",
			   (unsigned long long)lsn, (unsigned long long)tail);
		FUZZ_CHECK(pr_hash_equal(&b->prev_hash, &hash));
		as_was = known(r, lsn, b->epoch);
		FUZZ_CHECK(r->sealed || (as_was && pr_hash_equal(&as_was->hash, &b->hash)));
		hash = b->hash;
		lsn = b->last_lsn + 1;
	}
	FUZZ_CHECK(pr_hash_equal(&hash, &tail_hash) && lsn == tail + 1);
}

static void write_some(struct rig *r, struct fuzz_in *in)
{
	for (unsigned int i = 0; i < ACTS_MAX && !r->failed; i++) {
		uint8_t act = fuzz_u8(in);
		uint64_t lsn;

		switch (act % 8) {
		case 0:
			return;
		case 1:
		case 2:
		case 3:
			append(r, 1 + (act >> 6), fuzz_below(in, act % 8 == 3 ? 12000 : 200));
			poll(r);
			break;
		case 4:
			for (unsigned int n = 1 + act / 8; n > 0 && step(r); n--)
				;
			break;
		case 5:
			run(r);
			break;
		case 6: /* what the store has */
			jr_release(r->jr, fuzz_below(in, (uint32_t)r->reported + 1));
			break;
		case 7:
			run(r);
			lsn = fuzz_below(in, (uint32_t)jr_tail_lsn(r->jr) + 1);
			if (lsn + 1 < jr_first_lsn(r->jr) ||
			    jr_hash_at(r->jr, lsn, &lsn, &(uint64_t){0}, &(struct pr_hash){0}) < 0)
				break;
			jr_cut(r->jr, lsn);
			run(r);
			r->epoch++;
			break;
		}
	}
}

/* Any sector of any file. */
static uint8_t *sector(struct rig *r, struct fuzz_in *in, uint32_t *ret_file, uint64_t *ret_offset)
{
	uint8_t *p;
	uint64_t bytes;

	*ret_file = fuzz_u8(in) % (SEGMENTS + 1);
	p = simdisk_bytes(r->disk, *ret_file, &bytes);
	*ret_offset = (uint64_t)fuzz_u8(in) % (bytes / JR_SECTOR_BYTES) * JR_SECTOR_BYTES;
	return p + *ret_offset;
}

static void seal_entry(uint8_t *s, bool all_copies)
{
	pr_store32(s, pr_crc32c(s + 4, JR_SECTOR_BYTES - 4));
	for (unsigned int i = 1; all_copies && i < JR_PAGE_SECTORS; i++)
		memcpy(s + i * JR_SECTOR_BYTES, s, JR_SECTOR_BYTES);
}

static void seal_sector(uint8_t *s)
{
	pr_store32(s + JR_SECTOR_BYTES - 4, pr_crc32c(s, JR_SECTOR_BYTES - 4));
}

static void forge(struct rig *r, uint8_t how, struct fuzz_in *in)
{
	uint32_t file, from_file;
	uint64_t offset, from_offset;
	uint8_t *s = sector(r, in, &file, &offset), *from;
	const uint8_t *bits;
	size_t n, at;

	r->hurt++;
	r->noticed = how % FORGERIES == FLIP || how % FORGERIES == UNREADABLE;
	r->sealed |= how % FORGERIES == FORGE_ENTRY || how % FORGERIES == FORGE_HEADER;
	switch (how % FORGERIES) {
	case FLIP:
		s[fuzz_take(in, 2) % JR_SECTOR_BYTES] ^= (uint8_t)(1 << (how >> 5));
		break;
	case ZERO:
		memset(s, 0, JR_SECTOR_BYTES);
		break;
	case COPY:
		from = sector(r, in, &from_file, &from_offset);
		memmove(s, from, JR_SECTOR_BYTES);
		break;
	case FORGE_ENTRY:
		s = simdisk_bytes(r->disk, 0, &offset) +
		    (size_t)(fuzz_u8(in) % SLOTS) * JR_PAGE_BYTES;
		at = 4 + fuzz_u8(in) % 180;
		bits = fuzz_bytes(in, 1 + (how >> 5), &n);
		for (size_t i = 0; i < n; i++)
			s[at + i] ^= bits[i];
		seal_entry(s, true);
		break;
	case FORGE_HEADER:
		at = fuzz_u8(in) % JR_HEADER_BYTES;
		bits = fuzz_bytes(in, 1 + (how >> 5), &n);
		for (size_t i = 0; i < n && at + i < JR_SECTOR_BYTES - 4; i++)
			s[at + i] ^= bits[i];
		if (file == 0)
			seal_entry(s, false);
		else
			seal_sector(s);
		break;
	case UNREADABLE:
		r->unreadable = true;
		simdisk_unreadable(r->disk, file, offset, JR_SECTOR_BYTES);
		break;
	}
}

/* A tool that only looks says the same. */
static void check_looker(struct rig *r, enum jr_verdict *ret, uint64_t *ret_tail)
{
	open_journal(r, true);
	*ret = r->opened.verdict;
	*ret_tail = r->opened.tail_lsn;
	close_journal(r, SIMDISK_DROP);
}

/* What is missing comes from the peer, when this input ever wrote it. */
static void repair_all(struct rig *r)
{
	uint64_t lsn = r->opened.damaged_first;

	FUZZ_CHECK(lsn >= r->opened.first_lsn && lsn <= r->opened.damaged_last &&
		   r->opened.damaged_last <= r->opened.tail_lsn);
	for (unsigned int i = 0; i < BATCHES_MAX && lsn <= r->opened.damaged_last; i++) {
		struct jr_batch *b = known(r, lsn, 0);

		if (!b)
			return;
		forget_last(r);
		jr_repair(r->jr, b);
		run(r);
		FUZZ_CHECK(r->failed || r->last.type == JR_EV_REPAIRED ||
			   r->last.type == JR_EV_DAMAGE);
		lsn = b->last_lsn + 1;
	}
}

static bool sound(enum jr_verdict v)
{
	return v == JR_CLEAN || v == JR_EMPTY || v == JR_TORN;
}

/* It goes on, and all of it is found again. */
static void go_on(struct rig *r)
{
	uint64_t tail;

	if (r->opened.tail_lsn > UINT32_MAX || r->opened.tail_epoch > UINT32_MAX)
		return;
	r->epoch = r->opened.tail_epoch + 1000;
	check_all(r);
	jr_release(r->jr, jr_tail_lsn(r->jr));
	append(r, 1, 100);
	run(r);
	append(r, 2, 5000);
	run(r);
	if (r->failed)
		return;
	tail = jr_tail_lsn(r->jr);
	FUZZ_CHECK(r->reported == tail);
	close_journal(r, SIMDISK_DROP);
	open_journal(r, false);
	if (r->failed || !strict(r))
		return;
	/* A page that cannot be read, right behind the end: nobody can tell what stood there. */
	if (r->unreadable && r->opened.verdict == JR_HALT)
		return;
	FUZZ_CHECK(sound(r->opened.verdict) && r->opened.tail_lsn == tail, "%s", r->opened.why);
	check_all(r);
}

/* Whatever stood there, a full copy begins it anew. */
static void begin_anew(struct rig *r)
{
	static const struct pr_hash base;

	jr_reset(r->jr, 0, 100, 7, &base);
	run(r);
	if (r->failed)
		return;
	FUZZ_CHECK(jr_tail_lsn(r->jr) == 100 && jr_first_lsn(r->jr) == 101);
	close_journal(r, SIMDISK_DROP);
	open_journal(r, false);
	FUZZ_CHECK(r->failed || (sound(r->opened.verdict) && r->opened.tail_lsn == 100));
}

static void one(const uint8_t *p, size_t len)
{
	struct fuzz_in in = {p, len};
	struct rig r = {.disk = simdisk_new(1),
			.epoch = 1,
			.cfg = {.segment_bytes = SEGMENT_PAGES * JR_PAGE_BYTES,
				.segments = SEGMENTS,
				.ring_slots = SLOTS,
				.in_flight = 2}};
	uint8_t forgeries, crash = fuzz_u8(&in);
	enum jr_verdict looked;
	uint64_t looked_tail, reported;

	memcpy(r.cfg.cluster, cluster, sizeof(cluster));
	simdisk_file(r.disk, 0, SLOTS * JR_PAGE_BYTES);
	for (uint32_t i = 1; i <= SEGMENTS; i++)
		simdisk_file(r.disk, i, SEGMENT_PAGES * JR_PAGE_BYTES);
	open_journal(&r, false);
	write_some(&r, &in);
	reported = r.reported;
	close_journal(&r, (enum simdisk_crash)(crash % (SIMDISK_RANDOM + 1)));

	forgeries = fuzz_u8(&in) % (FORGERIES_MAX + 1);
	for (uint8_t i = 0; i < forgeries; i++)
		forge(&r, fuzz_u8(&in), &in);
	check_looker(&r, &looked, &looked_tail);
	open_journal(&r, false);
	if (!r.failed) {
		FUZZ_CHECK(looked == r.opened.verdict, "verdict %d for one that looks, then %d",
			   looked, r.opened.verdict);
		FUZZ_CHECK(r.hurt || (sound(looked) && looked_tail == r.opened.tail_lsn));
		FUZZ_CHECK(r.hurt > r.noticed || !sound(looked) || r.opened.tail_lsn >= reported,
			   "LSN %llu was durable, the log ends at %llu",
			   (unsigned long long)reported, (unsigned long long)r.opened.tail_lsn);
		if (sound(r.opened.verdict))
			go_on(&r);
		else if (r.opened.verdict == JR_REPAIR)
			repair_all(&r);
		else if (r.opened.verdict == JR_HALT)
			begin_anew(&r);
	}
	close_journal(&r, SIMDISK_DROP);
	while (r.batches)
		jr_batch_unref(r.batch[--r.batches]);
	simdisk_free(r.disk);
}

FUZZ_TARGET(journal)
