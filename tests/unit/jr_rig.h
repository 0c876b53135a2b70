/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A journal on a disk in memory, for tests: opens, appends, crashes, collects events. Completions
 * come in random order.
 */
#pragma once
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "journal/core/format.h"
#include "journal/core/jr.h"
#include "proto/assert_stderr.h"
#include "tests/sim/simdisk.h"

enum { RIG_EVENTS = 4096 };

struct rig {
	struct jr_config cfg;
	struct simdisk *disk;
	struct jr *jr;
	struct jr_event events[RIG_EVENTS];
	unsigned count;
	struct jr_event opened;
	uint64_t appended;
	int failed;
	unsigned damage;
	bool in_order;	   /* complete first what was asked first */
	unsigned io_limit; /* stop after so many completions; 0: none */
	uint64_t reads;
};

static const uint8_t rig_cluster[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

static inline struct jr_config rig_config(uint32_t segment_pages, uint32_t segments, uint32_t slots,
					  uint32_t in_flight)
{
	struct jr_config c = {.segment_bytes = segment_pages * 4096,
			      .segments = segments,
			      .ring_slots = slots,
			      .in_flight = in_flight};

	memcpy(c.cluster, rig_cluster, sizeof(c.cluster));
	return c;
}

static inline void rig_take(struct rig *rig, const struct jr_event *ev)
{
	switch (ev->type) {
	case JR_EV_OPENED:
		rig->opened = *ev;
		rig->appended = ev->tail_lsn;
		break;
	case JR_EV_APPENDED:
		rig->appended = ev->lsn;
		break;
	case JR_EV_CUT:
		rig->appended = ev->lsn;
		break;
	case JR_EV_FAILED:
		rig->failed = ev->error;
		break;
	case JR_EV_DAMAGE:
		rig->damage++;
		break;
	default:
		break;
	}
	cr_assert_lt(rig->count, (unsigned)RIG_EVENTS);
	rig->events[rig->count++] = *ev;
}

static inline void rig_events_clear(struct rig *rig)
{
	for (unsigned i = 0; i < rig->count; i++)
		jr_batch_unref(rig->events[i].batch);
	rig->count = 0;
	rig->damage = 0;
}

/* Moves what the core asks for to the disk and takes its events; completes nothing. */
static inline void rig_poll(struct rig *rig)
{
	struct jr_event ev;
	struct jr_io io;

	while (jr_next_event(rig->jr, &ev))
		rig_take(rig, &ev);
	while (jr_next_io(rig->jr, &io)) {
		if (!io.write)
			rig->reads++;
		simdisk_submit(rig->disk, &(struct simdisk_op){.write = io.write,
							       .append = io.file == 255,
							       .file = io.file,
							       .offset = io.offset,
							       .buffer = io.buffer,
							       .bytes = io.bytes,
							       .tag = io.tag});
	}
}

static inline bool rig_step(struct rig *rig)
{
	uint64_t tag;
	int r;

	rig_poll(rig);
	if (simdisk_pending(rig->disk) == 0)
		return false;
	r = simdisk_complete(rig->disk, rig->in_order ? 0 : simdisk_any(rig->disk), &tag);
	jr_io_done(rig->jr, tag, r);
	return true;
}

/* Until nothing is left to do, and the ring names the last batch. */
static inline void rig_run(struct rig *rig)
{
	do {
		while (rig_step(rig))
			;
		jr_name(rig->jr);
	} while (jr_unnamed(rig->jr) > 0 && !rig->failed);
}

static inline void rig_open_start(struct rig *rig)
{
	rig->jr = jr_new(&rig->cfg);
	cr_assert_not_null(rig->jr);
	rig->appended = 0;
	rig->failed = 0;
	rig_events_clear(rig);
	jr_open(rig->jr);
}

static inline enum jr_verdict rig_open(struct rig *rig)
{
	rig_open_start(rig);
	rig_run(rig);
	cr_assert_gt(rig->count, 0u);
	cr_assert_eq(rig->events[rig->count - 1].type, JR_EV_OPENED);
	return rig->opened.verdict;
}

static inline void rig_init(struct rig *rig, struct jr_config cfg, uint64_t seed)
{
	pr_assert_to_stderr();
	*rig = (struct rig){.cfg = cfg, .disk = simdisk_new(seed)};
	simdisk_file(rig->disk, 0, (uint64_t)cfg.ring_slots * 4096);
	for (uint32_t i = 1; i <= cfg.segments; i++)
		simdisk_file(rig->disk, i, cfg.segment_bytes);
}

static inline void rig_done(struct rig *rig)
{
	rig_events_clear(rig);
	jr_free(rig->jr);
	simdisk_free(rig->disk);
}

static inline void rig_crash(struct rig *rig, enum simdisk_crash mode)
{
	rig_events_clear(rig);
	jr_free(rig->jr);
	rig->jr = NULL;
	simdisk_crash(rig->disk, mode);
}

static inline enum jr_verdict rig_reopen(struct rig *rig)
{
	rig_crash(rig, SIMDISK_DROP);
	return rig_open(rig);
}

/*
 * The content of a batch is a function of epoch and first_lsn, so that it can be checked anywhere.
 */
static inline void rig_payload(uint8_t *p, uint32_t bytes, uint64_t epoch, uint64_t first_lsn)
{
	for (uint32_t i = 0; i < bytes; i++)
		p[i] = (uint8_t)(epoch * 31 + first_lsn * 7 + i * 13 + (i >> 8));
}

static inline struct jr_batch *rig_batch(uint64_t epoch, uint64_t first, uint64_t last,
					 uint64_t commit, struct pr_hash prev, uint32_t bytes)
{
	uint8_t *p = malloc(bytes + 1);
	struct jr_batch *b;

	rig_payload(p, bytes, epoch, first);
	b = jr_batch_new(rig_cluster, epoch, first, last, commit, &prev, p, bytes);
	free(p);
	cr_assert_not_null(b);
	return b;
}

/* Issues the next batch of n LSNs with so much payload; completes nothing. */
static inline int rig_append(struct rig *rig, uint64_t epoch, uint32_t n, uint32_t bytes)
{
	uint64_t tail = jr_tail_lsn(rig->jr);
	struct jr_batch *b = rig_batch(epoch, tail + 1, tail + n, 0, jr_tail_hash(rig->jr), bytes);
	int r = jr_append(rig->jr, b);

	jr_batch_unref(b);
	return r;
}

static inline void rig_append_wait(struct rig *rig, uint64_t epoch, uint32_t n, uint32_t bytes)
{
	int r;

	/* -ENOSPC: an entry that frees a segment may be on its way. */
	while ((r = rig_append(rig, epoch, n, bytes)) == -EBUSY || r == -ENOSPC)
		cr_assert(rig_step(rig));
	cr_assert_eq(r, 0);
}

static inline struct jr_event *rig_find(struct rig *rig, enum jr_event_type type)
{
	for (unsigned i = rig->count; i-- > 0;)
		if (rig->events[i].type == type)
			return &rig->events[i];
	return NULL;
}

/* The batch that holds lsn, as a new reference; NULL. */
static inline struct jr_batch *rig_fetch(struct rig *rig, uint64_t lsn)
{
	struct jr_event *ev;

	rig_run(rig);
	rig_events_clear(rig);
	jr_fetch(rig->jr, lsn, 4711);
	rig_run(rig);
	ev = rig_find(rig, JR_EV_FETCHED);
	cr_assert_not_null(ev);
	cr_assert_eq(ev->cookie, 4711u);
	return ev->batch ? jr_batch_ref(ev->batch) : NULL;
}

/* Every batch from first to the tail is there, right and chained. */
static inline void rig_check(struct rig *rig)
{
	uint64_t lsn = jr_first_lsn(rig->jr), tail = jr_tail_lsn(rig->jr), end, epoch;
	struct pr_hash prev;

	if (lsn > tail)
		return;
	cr_assert_eq(jr_hash_at(rig->jr, lsn - 1, &end, &epoch, &prev), 0);
	while (lsn <= tail) {
		struct jr_batch *b = rig_fetch(rig, lsn);
		uint8_t *p;

		cr_assert_not_null(b, "LSN %lu of %lu", lsn, tail);
		cr_assert_eq(b->first_lsn, lsn);
		cr_assert(pr_hash_equal(&b->prev_hash, &prev));
		p = malloc(b->payload_bytes + 1);
		rig_payload(p, b->payload_bytes, b->epoch, b->first_lsn);
		cr_assert_eq(memcmp(p, b->payload, b->payload_bytes), 0);
		free(p);
		prev = b->hash;
		cr_assert_eq(jr_hash_at(rig->jr, b->last_lsn, &end, &epoch, &prev), 0);
		cr_assert_eq(end, b->last_lsn);
		cr_assert_eq(epoch, b->epoch);
		cr_assert(pr_hash_equal(&b->hash, &prev));
		lsn = b->last_lsn + 1;
		jr_batch_unref(b);
	}
	cr_assert_eq(lsn, tail + 1);
}
