/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The jobs: what reads or rewrites, one at a time, each with one I/O under way: recovery, fetch,
 * scrub, cut, reset, repair. A step runs again from its beginning when what it reads has come.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "journal/core/jr_state.h"
#include "proto/assert.h"

enum { MARK_BEGIN, MARK_ENTRY_WAIT, MARK_BLANK_WAIT }; /* jr->mark_step */

void jr_job_end(struct jr *jr)
{
	jr->job = JR_JOB_NONE;
	jr->step = 0;
	jr->mark_step = 0;
}

bool jr_mark_write(struct jr *jr, enum jr_kind kind, uint64_t blank_page)
{
	uint8_t *page = jr_job_page(jr);
	struct jr_entry e;

	switch (jr->mark_step) {
	case MARK_BEGIN:
		jr_entry_fill(jr, &e, kind, ++jr->seq);
		e.blank_page = blank_page;
		jr_entry_encode(page, &e);
		jr->mark_step = MARK_ENTRY_WAIT;
		jr_job_write(jr, 0, e.seq % jr->cfg.ring_slots * JR_PAGE_BYTES, page,
			     JR_PAGE_BYTES);
		return false;
	case MARK_ENTRY_WAIT:
		if (!jr_job_written(jr))
			return false;
		if (blank_page == JR_NO_PAGE)
			break;
		memset(page, 0, JR_PAGE_BYTES);
		jr->mark_step = MARK_BLANK_WAIT;
		jr_job_write(jr, jr_page_file(jr, blank_page), jr_page_offset(jr, blank_page), page,
			     JR_PAGE_BYTES);
		return false;
	case MARK_BLANK_WAIT:
		if (!jr_job_written(jr))
			return false;
		break;
	}
	jr->mark_step = MARK_BEGIN;
	return true;
}

/* Pages from here on may be under way to the disk: not to be read ahead. */
static uint64_t read_limit(const struct jr *jr)
{
	int64_t i;

	if (jr->flight_count == 0)
		return jr->tail.next_page;
	i = jr_index_find(&jr->index, jr->flights[jr->flight_head].batch->first_lsn);
	ASSERT(i >= 0);
	return jr_index_get(&jr->index, (uint32_t)i)->page;
}

static struct pr_hash hash_before(const struct jr *jr, uint32_t i, bool *ret_known)
{
	const struct jr_where *w = i > 0 ? jr_index_get(&jr->index, i - 1) : NULL;

	*ret_known = !w || !(w->marks & JR_MARK_GAP);
	return w ? w->hash : jr->start.hash;
}

/* ---- fetch ---- */

static void fetch_answer(struct jr *jr, struct jr_batch *b, const char *why)
{
	struct jr_fetch_wish wish = jr->fetches[jr->fetch_head];
	struct jr_event ev = {
		.type = JR_EV_FETCHED, .lsn = wish.lsn, .cookie = wish.cookie, .batch = b};

	snprintf(ev.why, sizeof(ev.why), "%s", why);
	jr->fetch_head = (jr->fetch_head + 1) % JR_FETCHES_MAX;
	jr->fetch_count--;
	jr_post(jr, &ev);
	jr_job_end(jr);
}

static struct jr_batch *flight_find(const struct jr *jr, uint64_t lsn)
{
	for (uint32_t i = 0; i < jr->flight_count; i++) {
		struct jr_batch *b = jr->flights[(jr->flight_head + i) % jr->cfg.in_flight].batch;

		if (lsn >= b->first_lsn && lsn <= b->last_lsn)
			return b;
	}
	return NULL;
}

/*
 * Read and check batch i of the index. 0: being read; 1: it is whole, at *ret_image; -1: damaged,
 * and marked as such.
 */
static int batch_read(struct jr *jr, uint32_t i, const uint8_t **ret_image)
{
	struct jr_where *w = jr_index_get(&jr->index, i);
	const char *why = NULL;
	struct jr_header h;
	struct pr_hash prev;
	const uint8_t *image;
	uint32_t sector = 0;
	bool prev_known;

	if (w->marks & JR_MARK_DAMAGED) {
		jr_damage(jr, w->first_lsn, w->page, 0, "known damaged, not repaired yet");
		return -1;
	}
	image = jr_window_get(jr, false, w->page, w->pages, read_limit(jr));
	if (!image)
		return 0;
	prev = hash_before(jr, i, &prev_known);
	why = jr_image_check(jr->cfg.cluster, image, w->pages * JR_PAGE_BYTES, jr->flat, &h,
			     &sector);
	if (!why && (h.first_lsn != w->first_lsn || !pr_hash_equal(&h.hash, &w->hash)))
		why = "another batch stands in its place";
	if (!why && prev_known && !pr_hash_equal(&h.prev_hash, &prev))
		why = "not chained to the batch before it";
	if (why) {
		w->marks |= JR_MARK_DAMAGED;
		jr_damage(jr, w->first_lsn, w->page, sector, why);
		return -1;
	}
	*ret_image = image;
	return 1;
}

static void fetch_step(struct jr *jr)
{
	uint64_t lsn = jr->fetches[jr->fetch_head].lsn;
	struct jr_batch *b = flight_find(jr, lsn);
	const char *why = "";
	const uint8_t *image;
	int64_t i;
	int r;

	if (!b)
		b = jr_cache_find(jr, lsn);
	if (b) {
		fetch_answer(jr, jr_batch_ref(b), "");
		return;
	}
	i = jr_index_find(&jr->index, lsn);
	if (i < 0 || lsn > jr->tail.lsn) {
		fetch_answer(jr, NULL, "not in the journal");
		return;
	}
	r = batch_read(jr, (uint32_t)i, &image);
	if (r == 0)
		return;
	if (r < 0) {
		fetch_answer(jr, NULL, "damaged");
		return;
	}
	b = jr_batch_open(jr->cfg.cluster, image,
			  jr_index_get(&jr->index, (uint32_t)i)->pages * JR_PAGE_BYTES, &why);
	fetch_answer(jr, b, why);
}

void jr_fetch(struct jr *jr, uint64_t lsn, uint64_t cookie)
{
	ASSERT(jr->life > JR_LIFE_OPENING);
	ASSERT(jr->fetch_count < JR_FETCHES_MAX);
	jr->fetches[(jr->fetch_head + jr->fetch_count) % JR_FETCHES_MAX] =
		(struct jr_fetch_wish){lsn, cookie};
	jr->fetch_count++;
	jr_kick(jr);
}

/* ---- scrub ---- */

void jr_verify(struct jr *jr, uint64_t from_lsn)
{
	ASSERT(jr->life > JR_LIFE_OPENING);
	if (from_lsn < jr->start.lsn)
		from_lsn = jr->start.lsn;
	jr->verify_wanted = true;
	jr->verify_bad = false;
	jr->verify_lsn = from_lsn;
	jr->verify_good = from_lsn - 1;
	jr->window.valid = false;
	jr_kick(jr);
}

static void verify_step(struct jr *jr)
{
	int64_t i = jr_index_find(&jr->index, jr->verify_lsn);
	const uint8_t *image;
	int r;

	if (i < 0)
		i = 0;
	if ((uint32_t)i >= jr->index.count || jr->verify_lsn > jr->durable.lsn) {
		jr->verify_wanted = false;
		jr_post(jr, &(struct jr_event){.type = JR_EV_VERIFIED, .lsn = jr->verify_good});
		jr_job_end(jr);
		return;
	}
	r = batch_read(jr, (uint32_t)i, &image);
	if (r == 0)
		return;
	if (r < 0)
		jr->verify_bad = true;
	jr->verify_lsn = jr_batch_last(jr, (uint32_t)i) + 1;
	if (!jr->verify_bad)
		jr->verify_good = jr->verify_lsn - 1;
	jr_job_end(jr);
}

/* ---- cut ---- */

void jr_cut(struct jr *jr, uint64_t lsn)
{
	int64_t i = jr_index_find(&jr->index, lsn + 1);

	ASSERT(jr->life == JR_LIFE_READY && !jr->cut_wanted && !jr->reset_wanted);
	ASSERT(lsn + 1 >= jr->start.lsn && lsn <= jr->tail.lsn);
	if (lsn == jr->tail.lsn) {
		jr_post(jr, &(struct jr_event){.type = JR_EV_CUT, .lsn = lsn});
		return;
	}
	ASSERT(i >= 0 && jr_index_get(&jr->index, (uint32_t)i)->first_lsn == lsn + 1);
	ASSERT(i == 0 || !(jr_index_get(&jr->index, (uint32_t)i - 1)->marks & JR_MARK_GAP));
	jr->cut_wanted = true;
	jr->cut_lsn = lsn;
	jr_kick(jr);
}

/* The journal's last batch is the one before the keep-th. */
static void tail_set(struct jr *jr, uint32_t keep, uint64_t lsn)
{
	const struct jr_where *w;
	bool known;

	if (keep == 0) {
		jr->tail = (struct jr_tail){
			.epoch = jr->start.epoch,
			.lsn = lsn,
			.hash = jr->start.hash,
			.next_page = jr->start.page,
		};
	} else {
		w = jr_index_get(&jr->index, keep - 1);
		jr->tail = (struct jr_tail){
			.epoch = w->epoch,
			.first_lsn = w->first_lsn,
			.lsn = lsn,
			.prev_hash = hash_before(jr, keep - 1, &known),
			.hash = w->hash,
			.page = w->page,
			.image_bytes = w->pages * JR_PAGE_BYTES,
			.next_page = w->page + w->pages,
		};
	}
	jr_index_keep(&jr->index, keep);
	jr_cache_drop(jr, lsn);
	jr->durable = jr->tail;
	jr->unnamed = 0;
	jr->entry.wanted = false;
	if (jr->commit_lsn > lsn)
		jr->commit_lsn = lsn;
	if (jr->released_lsn > lsn)
		jr->released_lsn = lsn;
}

/*
 * One run of adjacent pages to the archive, as they are: damaged ones too. False: nothing is left.
 */
static bool archive_run(struct jr *jr)
{
	const struct jr_where *w;
	const uint8_t *p;
	uint32_t pages;

	while (jr->cut_next < jr->index.count && jr_index_get(&jr->index, jr->cut_next)->pages == 0)
		jr->cut_next++;
	if (jr->cut_next == jr->index.count)
		return false;
	w = jr_index_get(&jr->index, jr->cut_next);
	pages = w->pages;
	p = jr_window_get(jr, false, w->page, pages, jr->tail.next_page);
	if (!p)
		return true;
	jr->cut_upto = jr->cut_next + 1;
	while (jr->cut_upto < jr->index.count) {
		const struct jr_where *next = jr_index_get(&jr->index, jr->cut_upto);

		if (next->page != w->page + pages ||
		    next->page + next->pages > jr->window.page + jr->window.pages)
			break;
		pages += next->pages;
		jr->cut_upto++;
	}
	jr_job_write(jr, JR_ARCHIVE, 0, jr->window.p + (p - jr->window.p), pages * JR_PAGE_BYTES);
	return true;
}

/* After a HALT nobody knows where the batches lie: all pages with anything in them. */
static bool archive_pages(struct jr *jr)
{
	static const uint8_t zeros[JR_PAGE_BYTES];
	uint32_t total = jr->cfg.segments * jr->segment_pages;

	while (jr->cut_next < total) {
		uint32_t left = jr->segment_pages - jr->cut_next % jr->segment_pages;
		uint32_t pages =
			left < JR_READ_BYTES / JR_PAGE_BYTES ? left : JR_READ_BYTES / JR_PAGE_BYTES;
		const uint8_t *p = jr_window_get(jr, false, jr->cut_next, pages, UINT64_MAX);
		uint32_t from = 0;

		if (!p)
			return true;
		while (from < pages &&
		       memcmp(p + (size_t)from * JR_PAGE_BYTES, zeros, JR_PAGE_BYTES) == 0)
			from++;
		jr->cut_next += from;
		jr->cut_upto = jr->cut_next;
		for (uint32_t i = from;
		     i < pages && memcmp(p + (size_t)i * JR_PAGE_BYTES, zeros, JR_PAGE_BYTES) != 0;
		     i++)
			jr->cut_upto++;
		if (jr->cut_upto == jr->cut_next)
			continue;
		jr_job_write(jr, JR_ARCHIVE, 0,
			     jr->window.p + (p - jr->window.p) + (size_t)from * JR_PAGE_BYTES,
			     (jr->cut_upto - jr->cut_next) * JR_PAGE_BYTES);
		return true;
	}
	return false;
}

static void archive_begin(struct jr *jr, uint32_t from)
{
	jr->cut_next = jr->cut_upto = from;
	jr->window.valid = false;
	jr->job_done = false;
	jr->step = 1;
}

/* True once all is in the archive. */
static bool archive_step(struct jr *jr)
{
	if (jr_job_written(jr))
		jr->cut_next = jr->cut_upto;
	return !(jr->life == JR_LIFE_HALTED ? archive_pages(jr) : archive_run(jr));
}

static void cut_step(struct jr *jr)
{
	switch (jr->step) {
	case 0:
		jr->cut_keep = (uint32_t)jr_index_find(&jr->index, jr->cut_lsn + 1);
		jr->blank_page = jr_index_get(&jr->index, jr->cut_keep)->page;
		archive_begin(jr, jr->cut_keep);
		return;
	case 1:
		if (!archive_step(jr))
			return;
		tail_set(jr, jr->cut_keep, jr->cut_lsn);
		jr->window.valid = false;
		jr->step = 2;
		return;
	case 2:
		if (!jr_mark_write(jr, JR_KIND_CUT, jr->blank_page))
			return;
		jr->start_durable_page = jr->start.page;
		jr->cut_wanted = false;
		jr_post(jr, &(struct jr_event){.type = JR_EV_CUT, .lsn = jr->tail.lsn});
		jr_job_end(jr);
	}
}

/* ---- reset ---- */

void jr_reset(struct jr *jr, uint64_t common_lsn, uint64_t base_lsn, uint64_t base_epoch,
	      const struct pr_hash *base_hash)
{
	ASSERT(jr->life == JR_LIFE_READY || jr->life == JR_LIFE_HALTED);
	ASSERT(!jr->foreign && !jr->cut_wanted && !jr->reset_wanted);
	jr->reset_wanted = true;
	jr->common_lsn = common_lsn;
	jr->reset_start =
		(struct jr_start){.lsn = base_lsn + 1, .epoch = base_epoch, .hash = *base_hash};
	jr_kick(jr);
}

/* The first batch that ends after lsn. */
static uint32_t first_after(const struct jr *jr, uint64_t lsn)
{
	int64_t i = jr_index_find(&jr->index, lsn < UINT64_MAX ? lsn + 1 : lsn);

	if (i < 0)
		return 0;
	return (uint32_t)i + (jr_batch_last(jr, (uint32_t)i) <= lsn);
}

static void reset_step(struct jr *jr)
{
	switch (jr->step) {
	case 0:
		archive_begin(jr, jr->life == JR_LIFE_HALTED ? 0 : first_after(jr, jr->common_lsn));
		return;
	case 1:
		if (!archive_step(jr))
			return;
		/* A segment that nothing of the old life has reached. */
		jr->start = jr->reset_start;
		jr->start.page = (jr->tail.next_page / jr->segment_pages + 1) * jr->segment_pages;
		jr_index_clear(&jr->index);
		jr_cache_drop(jr, 0);
		jr->released_lsn = 0;
		tail_set(jr, 0, jr->start.lsn - 1);
		jr->commit_lsn = jr->tail.lsn;
		jr->window.valid = false;
		jr->step = 2;
		return;
	case 2:
		if (!jr_mark_write(jr, JR_KIND_BASE, jr->start.page))
			return;
		jr->start_durable_page = jr->start.page;
		jr->reset_wanted = false;
		jr->life = JR_LIFE_READY;
		jr_post(jr, &(struct jr_event){.type = JR_EV_CUT, .lsn = jr->tail.lsn});
		jr_job_end(jr);
	}
}

/* ---- repair ---- */

void jr_repair(struct jr *jr, struct jr_batch *b)
{
	ASSERT(jr->life == JR_LIFE_READY);
	ASSERT(jr->repair_count < JR_REPAIRS_MAX);
	jr->repairs[(jr->repair_head + jr->repair_count) % JR_REPAIRS_MAX] = jr_batch_ref(b);
	jr->repair_count++;
	jr_kick(jr);
}

static void repair_end(struct jr *jr, const char *refused)
{
	struct jr_batch *b = jr->repairs[jr->repair_head];
	struct jr_event ev = {.type = refused ? JR_EV_DAMAGE : JR_EV_REPAIRED, .lsn = b->first_lsn};

	if (refused) {
		ev.error = -EILSEQ;
		snprintf(ev.why, sizeof(ev.why), "%s", refused);
	} else {
		ev.lsn = b->last_lsn;
	}
	jr_post(jr, &ev);
	jr->repair_head = (jr->repair_head + 1) % JR_REPAIRS_MAX;
	jr->repair_count--;
	jr_batch_unref(b);
	jr_job_end(jr);
}

/* Where the batch goes in a run of batches that could not be read. NULL, or why it does not. */
static const char *gap_place(const struct jr *jr, uint32_t i, const struct jr_batch *b,
			     uint64_t *ret_page)
{
	const struct jr_where *w = jr_index_get(&jr->index, i);
	uint64_t page = jr_place(jr, w->page, b->image_bytes / JR_PAGE_BYTES);
	const struct jr_where *next =
		i + 1 < jr->index.count ? jr_index_get(&jr->index, i + 1) : NULL;
	struct pr_hash prev;
	bool known;

	prev = hash_before(jr, i, &known);
	if (b->first_lsn != w->first_lsn || b->last_lsn > jr_batch_last(jr, i))
		return "the copy is not the next of the missing batches";
	if (known && !pr_hash_equal(&prev, &b->prev_hash))
		return "the copy is not chained to the batch before it";
	if (next && page + b->image_bytes / JR_PAGE_BYTES > next->page)
		return "the copy does not fit before the batch after it";
	*ret_page = page;
	return NULL;
}

static void gap_fill(struct jr *jr, uint32_t i, const struct jr_batch *b)
{
	struct jr_where *w = jr_index_get(&jr->index, i);
	struct jr_where whole = {
		.first_lsn = b->first_lsn,
		.epoch = b->epoch,
		.page = jr_place(jr, w->page, b->image_bytes / JR_PAGE_BYTES),
		.hash = b->hash,
		.pages = b->image_bytes / JR_PAGE_BYTES,
	};

	if (b->last_lsn == jr_batch_last(jr, i)) {
		*w = whole;
		return;
	}
	w->first_lsn = b->last_lsn + 1;
	w->page = whole.page + whole.pages;
	w->pages = 0;
	jr_index_insert(&jr->index, i, &whole);
}

static void repair_step(struct jr *jr)
{
	struct jr_batch *b = jr->repairs[jr->repair_head];
	int64_t i = jr_index_find(&jr->index, b->first_lsn);
	const char *why = NULL;
	struct jr_where *w;
	uint64_t page;

	if (i < 0 || b->first_lsn > jr->tail.lsn) {
		repair_end(jr, "the batch to be repaired is not in the journal");
		return;
	}
	w = jr_index_get(&jr->index, (uint32_t)i);
	page = w->page;
	if (w->marks & JR_MARK_GAP)
		why = gap_place(jr, (uint32_t)i, b, &page);
	else if (w->first_lsn != b->first_lsn || !pr_hash_equal(&w->hash, &b->hash))
		why = "the copy is another batch than the one that stood here";
	if (why || !(w->marks & JR_MARK_DAMAGED)) {
		repair_end(jr, why);
		return;
	}
	if (jr->step == 0) {
		jr->step = 1;
		jr->window.valid = false;
		jr_job_write(jr, jr_page_file(jr, page), jr_page_offset(jr, page), b->image,
			     b->image_bytes);
		return;
	}
	if (!jr_job_written(jr))
		return;
	if (w->marks & JR_MARK_GAP)
		gap_fill(jr, (uint32_t)i, b);
	else
		w->marks = 0;
	repair_end(jr, NULL);
}

/* ---- which job is next ---- */

static enum jr_job job_pick(const struct jr *jr)
{
	if (jr->life == JR_LIFE_OPENING)
		return JR_JOB_OPEN;
	if (jr->cut_wanted || jr->reset_wanted) {
		if (jr->flight_count == 0 && !jr->entry.busy)
			return jr->cut_wanted ? JR_JOB_CUT : JR_JOB_RESET;
	}
	if (jr_event_room(jr) <= JR_EVENTS_SPARE)
		return JR_JOB_NONE;
	if (jr->repair_count > 0)
		return JR_JOB_REPAIR;
	if (jr->fetch_count > 0)
		return JR_JOB_FETCH;
	return jr->verify_wanted ? JR_JOB_VERIFY : JR_JOB_NONE;
}

void jr_kick(struct jr *jr)
{
	static void (*const steps[])(struct jr *) = {
		[JR_JOB_OPEN] = jr_recover_step, [JR_JOB_FETCH] = fetch_step,
		[JR_JOB_VERIFY] = verify_step,	 [JR_JOB_CUT] = cut_step,
		[JR_JOB_RESET] = reset_step,	 [JR_JOB_REPAIR] = repair_step,
	};

	while (jr->life != JR_LIFE_NEW && jr->life != JR_LIFE_FAILED && !jr_job_op(jr)->busy) {
		if (jr->job == JR_JOB_NONE)
			jr->job = job_pick(jr);
		if (jr->job == JR_JOB_NONE)
			break;
		steps[jr->job](jr);
	}
}

void jr_open(struct jr *jr)
{
	ASSERT(jr->life == JR_LIFE_NEW);
	jr->life = JR_LIFE_OPENING;
	jr_kick(jr);
}
