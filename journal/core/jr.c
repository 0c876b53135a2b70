/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The journal's front: appending, releasing, what is in flight, the queues of I/O and of events. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "journal/core/jr_state.h"
#include "proto/assert.h"

/* Tags of jr_io: two for each flight, then these. */
static uint32_t tag_entry(const struct jr *jr)
{
	return 2 * jr->cfg.in_flight;
}

static uint32_t tag_job(const struct jr *jr)
{
	return 2 * jr->cfg.in_flight + 1;
}

bool jr_config_ok(const struct jr_config *c)
{
	return c->segment_bytes >= JR_PAGE_BYTES && c->segment_bytes % JR_PAGE_BYTES == 0 &&
	       c->segments >= 3 && c->segments < JR_ARCHIVE && c->in_flight >= 1 &&
	       c->in_flight <= JR_IN_FLIGHT_MAX && c->ring_slots >= 2 * c->in_flight + 8 &&
	       c->ring_slots <= 1 << 20 &&
	       (uint64_t)c->segment_bytes / JR_PAGE_BYTES * c->segments < UINT32_MAX / 2;
}

struct jr *jr_new(const struct jr_config *cfg)
{
	size_t entry_bytes = 3 * (size_t)JR_PAGE_BYTES;
	struct jr *jr;
	uintptr_t at;

	if (!jr_config_ok(cfg))
		return NULL;
	jr = calloc(1, sizeof(*jr));
	if (!jr)
		return NULL;
	jr->cfg = *cfg;
	jr->segment_pages = cfg->segment_bytes / JR_PAGE_BYTES;
	jr->window.retry = UINT32_MAX;
	jr->buffers = malloc(2 * (size_t)JR_WINDOW_BYTES + entry_bytes + JR_PAGE_BYTES);
	if (!jr->buffers || !jr_index_init(&jr->index, jr->segment_pages * cfg->segments + 2) ||
	    !jr_recover_init(jr)) {
		jr_free(jr);
		return NULL;
	}
	at = ((uintptr_t)jr->buffers + JR_PAGE_BYTES - 1) & ~(uintptr_t)(JR_PAGE_BYTES - 1);
	jr->entry_pages = (uint8_t *)at;
	jr->window.p = jr->entry_pages + entry_bytes;
	memset(jr->window.p - JR_PAGE_BYTES, 0, JR_PAGE_BYTES);
	jr->flat = jr->window.p + JR_WINDOW_BYTES;
	return jr;
}

void jr_free(struct jr *jr)
{
	if (!jr)
		return;
	for (uint32_t i = 0; i < jr->flight_count; i++)
		jr_batch_unref(jr->flights[(jr->flight_head + i) % jr->cfg.in_flight].batch);
	for (uint32_t i = 0; i < jr->event_count; i++)
		jr_batch_unref(jr->events[(jr->event_head + i) % JR_EVENTS].batch);
	for (uint32_t i = 0; i < jr->repair_count; i++)
		jr_batch_unref(jr->repairs[(jr->repair_head + i) % JR_REPAIRS_MAX]);
	for (uint32_t i = 0; i < jr->cache_count; i++)
		jr_batch_unref(jr->cache[(jr->cache_head + i) % JR_CACHE_BATCHES]);
	jr_recover_done(jr);
	jr_index_done(&jr->index);
	free(jr->buffers);
	free(jr);
}

/* ---- events ---- */

uint32_t jr_event_room(const struct jr *jr)
{
	return JR_EVENTS - jr->event_count;
}

static struct jr_event *event_at(struct jr *jr, uint32_t i)
{
	return &jr->events[(jr->event_head + i) % JR_EVENTS];
}

void jr_post(struct jr *jr, const struct jr_event *ev)
{
	if (ev->type == JR_EV_APPENDED && jr->event_count > 0) {
		struct jr_event *last = event_at(jr, jr->event_count - 1);

		if (last->type == JR_EV_APPENDED) {
			last->lsn = ev->lsn;
			return;
		}
	}
	/* The verdict carries the whole damaged range: single reports may be left out. */
	if (ev->type == JR_EV_DAMAGE && jr_event_room(jr) <= JR_EVENTS_SPARE)
		return;
	ASSERT(jr_event_room(jr) > 0);
	jr->event_count++;
	*event_at(jr, jr->event_count - 1) = *ev;
}

bool jr_next_event(struct jr *jr, struct jr_event *ret)
{
	jr_kick(jr);
	if (jr->event_count == 0)
		return false;
	*ret = *event_at(jr, 0);
	jr->event_head = (jr->event_head + 1) % JR_EVENTS;
	jr->event_count--;
	return true;
}

void jr_damage(struct jr *jr, uint64_t lsn, uint64_t page, uint32_t sector, const char *why)
{
	struct jr_event ev = {
		.type = JR_EV_DAMAGE,
		.lsn = lsn,
		.file = jr_page_file(jr, page),
		.offset = jr_page_offset(jr, page) + (uint64_t)sector * JR_SECTOR_BYTES,
	};

	snprintf(ev.why, sizeof(ev.why), "%s", why);
	jr_post(jr, &ev);
}

/* ---- I/O ---- */

static void op_ask(struct jr *jr, uint32_t tag, bool write, uint8_t file, uint64_t offset,
		   uint8_t *buffer, uint32_t bytes)
{
	struct jr_op *op = &jr->ops[tag];

	ASSERT(!op->busy);
	ASSERT(bytes > 0 && bytes % JR_PAGE_BYTES == 0 && offset % JR_PAGE_BYTES == 0);
	*op = (struct jr_op){
		.io = {.write = write,
		       .file = file,
		       .offset = offset,
		       .buffer = buffer,
		       .bytes = bytes,
		       .tag = tag},
		.busy = true,
	};
	jr->queue[(jr->queue_head + jr->queue_count) % JR_OPS_MAX] = tag;
	jr->queue_count++;
}

bool jr_next_io(struct jr *jr, struct jr_io *ret)
{
	jr_kick(jr);
	if (jr->queue_count == 0 || jr->life == JR_LIFE_FAILED)
		return false;
	*ret = jr->ops[jr->queue[jr->queue_head]].io;
	jr->queue_head = (jr->queue_head + 1) % JR_OPS_MAX;
	jr->queue_count--;
	return true;
}

void jr_fail(struct jr *jr, const struct jr_io *io, int error)
{
	struct jr_event ev = {
		.type = JR_EV_FAILED, .file = io->file, .offset = io->offset, .error = error};

	if (jr->life == JR_LIFE_FAILED)
		return;
	jr->life = JR_LIFE_FAILED;
	jr->queue_count = 0;
	snprintf(ev.why, sizeof(ev.why), "writing %u bytes: errno %d", io->bytes, -error);
	jr_post(jr, &ev);
}

void jr_job_write(struct jr *jr, uint8_t file, uint64_t offset, uint8_t *buffer, uint32_t bytes)
{
	jr->job_done = false;
	op_ask(jr, tag_job(jr), true, file, offset, buffer, bytes);
}

static void job_read(struct jr *jr, uint8_t file, uint64_t offset, uint8_t *buffer, uint32_t bytes)
{
	op_ask(jr, tag_job(jr), false, file, offset, buffer, bytes);
}

uint8_t *jr_job_page(struct jr *jr)
{
	return jr->entry_pages + JR_PAGE_BYTES;
}

static bool job_busy(const struct jr *jr)
{
	return jr->ops[tag_job(jr)].busy;
}

/* ---- reading for jobs ---- */

static void window_ask(struct jr *jr)
{
	struct jr_window *w = &jr->window;
	bool one = w->retry != UINT32_MAX;
	uint64_t page = w->page + (one ? w->retry : 0);

	job_read(jr, w->ring ? 0 : jr_page_file(jr, page),
		 w->ring ? page * JR_PAGE_BYTES : jr_page_offset(jr, page),
		 w->p + (one ? (size_t)w->retry * JR_PAGE_BYTES : 0),
		 (one ? 1 : w->pages) * JR_PAGE_BYTES);
}

const uint8_t *jr_window_get(struct jr *jr, bool ring, uint64_t page, uint32_t pages,
			     uint64_t limit)
{
	struct jr_window *w = &jr->window;
	uint64_t end =
		ring ? jr->cfg.ring_slots : page - page % jr->segment_pages + jr->segment_pages;
	uint64_t count = JR_READ_BYTES / JR_PAGE_BYTES;

	if (w->valid && w->ring == ring && page >= w->page && page + pages <= w->page + w->pages)
		return w->p + (page - w->page) * JR_PAGE_BYTES;
	ASSERT(page + pages <= end && pages <= JR_WINDOW_BYTES / JR_PAGE_BYTES && !job_busy(jr));
	if (limit < end)
		end = limit;
	if (page + count > end)
		count = end > page ? end - page : 0;
	if (count < pages)
		count = pages;
	*w = (struct jr_window){.p = w->p,
				.ring = ring,
				.page = page,
				.pages = (uint32_t)count,
				.retry = UINT32_MAX};
	window_ask(jr);
	return NULL;
}

/* A read that failed is repeated page by page, so that one bad page costs no more than itself. */
static void window_read(struct jr *jr, int result)
{
	struct jr_window *w = &jr->window;

	if (result < 0 && w->retry == UINT32_MAX && w->pages > 1) {
		w->retry = 0;
		window_ask(jr);
		return;
	}
	if (result < 0)
		memset(w->p + (w->retry == UINT32_MAX ? 0 : (size_t)w->retry * JR_PAGE_BYTES), 0xa5,
		       JR_PAGE_BYTES);
	if (w->retry != UINT32_MAX && ++w->retry < w->pages) {
		window_ask(jr);
		return;
	}
	w->retry = UINT32_MAX;
	w->valid = true;
}

bool jr_job_written(struct jr *jr)
{
	bool done = jr->job_done;

	jr->job_done = false;
	return done;
}

/* ---- the cache of recent batches ---- */

static struct jr_batch *cache_at(const struct jr *jr, uint32_t i)
{
	return jr->cache[(jr->cache_head + i) % JR_CACHE_BATCHES];
}

static void cache_forget_first(struct jr *jr)
{
	struct jr_batch *b = cache_at(jr, 0);

	jr->cache_bytes -= 2 * (uint64_t)b->image_bytes;
	jr->cache_head = (jr->cache_head + 1) % JR_CACHE_BATCHES;
	jr->cache_count--;
	jr_batch_unref(b);
}

static void cache_add(struct jr *jr, struct jr_batch *b)
{
	while (jr->cache_count > 0 &&
	       (jr->cache_count == JR_CACHE_BATCHES ||
		jr->cache_bytes + 2 * (uint64_t)b->image_bytes > JR_CACHE_BYTES))
		cache_forget_first(jr);
	jr->cache[(jr->cache_head + jr->cache_count) % JR_CACHE_BATCHES] = jr_batch_ref(b);
	jr->cache_count++;
	jr->cache_bytes += 2 * (uint64_t)b->image_bytes;
}

void jr_cache_drop(struct jr *jr, uint64_t lsn)
{
	while (jr->cache_count > 0 && cache_at(jr, jr->cache_count - 1)->last_lsn > lsn) {
		struct jr_batch *b = cache_at(jr, jr->cache_count - 1);

		jr->cache_bytes -= 2 * (uint64_t)b->image_bytes;
		jr->cache_count--;
		jr_batch_unref(b);
	}
}

struct jr_batch *jr_cache_find(const struct jr *jr, uint64_t lsn)
{
	uint32_t low = 0, high = jr->cache_count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		struct jr_batch *b = cache_at(jr, middle);

		if (lsn > b->last_lsn)
			low = middle + 1;
		else if (lsn < b->first_lsn)
			high = middle;
		else
			return b;
	}
	return NULL;
}

/* ---- appending ---- */

void jr_entry_fill(const struct jr *jr, struct jr_entry *e, enum jr_kind kind, uint64_t seq)
{
	*e = (struct jr_entry){
		.kind = kind,
		.in_flight = jr->cfg.in_flight,
		.seq = seq,
		.epoch = jr->durable.epoch,
		.first_lsn = jr->durable.first_lsn,
		.tail_lsn = jr->durable.lsn,
		.commit_lsn = jr->commit_lsn,
		.prev_hash = jr->durable.prev_hash,
		.hash = jr->durable.hash,
		.page = jr->durable.page,
		.image_bytes = jr->durable.image_bytes,
		.segment_bytes = jr->cfg.segment_bytes,
		.segments = jr->cfg.segments,
		.ring_slots = jr->cfg.ring_slots,
		.start_page = jr->start.page,
		.start_lsn = jr->start.lsn,
		.start_epoch = jr->start.epoch,
		.start_hash = jr->start.hash,
		.blank_page = JR_NO_PAGE,
	};
	memcpy(e->cluster, jr->cfg.cluster, sizeof(e->cluster));
}

uint64_t jr_batch_last(const struct jr *jr, uint32_t i)
{
	return i + 1 < jr->index.count ? jr_index_get(&jr->index, i + 1)->first_lsn - 1
				       : jr->tail.lsn;
}

static uint64_t segment_of(const struct jr *jr, uint64_t page)
{
	return page / jr->segment_pages;
}

static uint64_t tail_segment(const struct jr *jr)
{
	return segment_of(jr, jr->tail.image_bytes ? jr->tail.page : jr->tail.next_page);
}

/* The first batch of the segment after the first; 0: the journal has only one segment. */
static uint32_t second_segment(const struct jr *jr)
{
	uint32_t low = 0, high = jr->index.count;
	uint64_t first = segment_of(jr, jr->start.page);

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (segment_of(jr, jr_index_get(&jr->index, middle)->page) == first)
			low = middle + 1;
		else
			high = middle;
	}
	return low < jr->index.count ? low : 0;
}

static bool start_move_one(struct jr *jr)
{
	uint32_t n = second_segment(jr);
	struct jr_where *first, *last;

	if (n == 0)
		return false;
	first = jr_index_get(&jr->index, n);
	last = jr_index_get(&jr->index, n - 1);
	/*
	 * The batch that an entry names lies behind the beginning that it names. A run of unknown
	 * batches stays until it is repaired: its hash is not known.
	 */
	if (jr->repair_count > 0 || first->first_lsn - 1 > jr->released_lsn ||
	    first->first_lsn > jr->durable.lsn || last->marks & JR_MARK_GAP ||
	    first->page % jr->segment_pages != 0)
		return false;
	jr->start = (struct jr_start){
		.page = first->page,
		.lsn = first->first_lsn,
		.epoch = last->epoch,
		.hash = last->hash,
	};
	jr_index_drop_front(&jr->index, n);
	return true;
}

/*
 * The beginning moves no earlier than its space is wanted, so that a peer that was away finds what
 * it missed; and one entry of the ring must name the new beginning durably before the old is
 * overwritten, so a segment or more is kept free ahead.
 */
static void start_move(struct jr *jr)
{
	uint64_t spare = jr->cfg.segments / 4 > 1 ? jr->cfg.segments / 4 : 1;

	while (segment_of(jr, jr->start.page) + jr->cfg.segments - 1 - tail_segment(jr) < spare)
		if (!start_move_one(jr))
			break;
}

static bool page_free(const struct jr *jr, uint64_t page)
{
	return segment_of(jr, page) < segment_of(jr, jr->start_durable_page) + jr->cfg.segments;
}

bool jr_has_room(const struct jr *jr, uint32_t image_bytes)
{
	return image_bytes <= jr->cfg.segment_bytes &&
	       page_free(jr, jr_place(jr, jr->tail.next_page, image_bytes / JR_PAGE_BYTES));
}

static void index_add(struct jr *jr, const struct jr_batch *b, uint64_t page)
{
	*jr_index_push(&jr->index) = (struct jr_where){
		.first_lsn = b->first_lsn,
		.epoch = b->epoch,
		.page = page,
		.hash = b->hash,
		.pages = b->image_bytes / JR_PAGE_BYTES,
	};
	jr->tail = (struct jr_tail){
		.epoch = b->epoch,
		.first_lsn = b->first_lsn,
		.lsn = b->last_lsn,
		.prev_hash = b->prev_hash,
		.hash = b->hash,
		.page = page,
		.image_bytes = b->image_bytes,
		.next_page = page + b->image_bytes / JR_PAGE_BYTES,
	};
	if (b->commit_lsn > jr->commit_lsn)
		jr->commit_lsn = b->commit_lsn;
}

int jr_append(struct jr *jr, struct jr_batch *b)
{
	uint64_t end = jr->tail.next_page, page = jr_place(jr, end, b->image_bytes / JR_PAGE_BYTES);
	uint32_t slot;

	if (jr->life == JR_LIFE_FAILED)
		return -EIO;
	ASSERT(jr->life == JR_LIFE_READY && !jr->cfg.look_only);
	if (jr->flight_count == jr->cfg.in_flight || jr->unnamed >= JR_UNNAMED_MAX ||
	    jr->cut_wanted || jr->reset_wanted)
		return -EBUSY;
	ASSERT(b->first_lsn == jr->tail.lsn + 1);
	ASSERT(pr_hash_equal(&b->prev_hash, &jr->tail.hash));
	if (b->image_bytes > jr->cfg.segment_bytes)
		return -EMSGSIZE;
	if (!page_free(jr, page))
		return -ENOSPC;

	index_add(jr, b, page);
	start_move(jr);
	cache_add(jr, b);
	slot = (jr->flight_head + jr->flight_count) % jr->cfg.in_flight;
	jr->flights[slot] = (struct jr_flight){
		.batch = jr_batch_ref(b), .tail = jr->tail, .end_done = page == end};
	jr->flight_count++;
	op_ask(jr, 2 * slot, true, jr_page_file(jr, page), jr_page_offset(jr, page), b->image,
	       b->image_bytes);
	/* What a dropped fork left in the rest of the segment must not be taken for this batch. */
	if (page != end)
		op_ask(jr, 2 * slot + 1, true, jr_page_file(jr, end), jr_page_offset(jr, end),
		       jr->window.p - JR_PAGE_BYTES, JR_PAGE_BYTES);
	return 0;
}

static void flights_land(struct jr *jr)
{
	while (jr->flight_count > 0) {
		struct jr_flight *f = &jr->flights[jr->flight_head];

		if (!f->data_done || !f->end_done)
			break;
		jr->durable = f->tail;
		jr->unnamed++;
		jr_batch_unref(f->batch);
		f->batch = NULL;
		jr->flight_head = (jr->flight_head + 1) % jr->cfg.in_flight;
		jr->flight_count--;
		jr_post(jr, &(struct jr_event){.type = JR_EV_APPENDED, .lsn = jr->durable.lsn});
	}
}

/*
 * The ring follows, one entry at a time: it names the last durable batch when there are many that
 * it does not name or when asked to, and the beginning as soon as it is another.
 */
static void entry_write(struct jr *jr)
{
	uint8_t *page = jr->entry_pages;
	struct jr_entry e;

	if (jr->life != JR_LIFE_READY || jr->cfg.look_only || jr->entry.busy || jr->cut_wanted ||
	    jr->reset_wanted ||
	    (jr->unnamed < JR_NAME_EVERY && !jr->entry.wanted &&
	     jr->start.page == jr->start_durable_page))
		return;
	jr_entry_fill(jr, &e, jr->unnamed ? JR_KIND_BATCH : JR_KIND_START, ++jr->seq);
	jr_entry_encode(page, &e);
	jr->entry.busy = true;
	jr->entry.wanted = false;
	jr->entry.start_page = jr->start.page;
	jr->entry.naming = jr->unnamed;
	op_ask(jr, tag_entry(jr), true, 0, e.seq % jr->cfg.ring_slots * JR_PAGE_BYTES, page,
	       JR_PAGE_BYTES);
}

static void entry_written(struct jr *jr)
{
	jr->entry.busy = false;
	jr->unnamed -= jr->entry.naming;
	jr->start_durable_page = jr->entry.start_page;
}

void jr_name(struct jr *jr)
{
	jr->entry.wanted = jr->unnamed > 0;
	entry_write(jr);
}

uint32_t jr_unnamed(const struct jr *jr)
{
	return jr->unnamed;
}

void jr_io_done(struct jr *jr, uint64_t tag, int result)
{
	struct jr_op *op;

	ASSERT(tag <= tag_job(jr) && jr->ops[tag].busy);
	op = &jr->ops[tag];
	op->busy = false;
	if (jr->life == JR_LIFE_FAILED)
		return;
	if (op->io.write && result < 0) {
		jr_fail(jr, &op->io, result);
		return;
	}
	if (tag == tag_job(jr)) {
		if (op->io.write)
			jr->job_done = true;
		else
			window_read(jr, result);
	} else if (tag == tag_entry(jr)) {
		entry_written(jr);
	} else {
		struct jr_flight *f = &jr->flights[tag / 2];

		f->data_done |= tag % 2 == 0;
		f->end_done |= tag % 2 == 1;
		flights_land(jr);
		start_move(jr);
	}
	entry_write(jr);
	jr_kick(jr);
}

void jr_release(struct jr *jr, uint64_t lsn)
{
	if (lsn > jr->tail.lsn)
		lsn = jr->tail.lsn;
	if (lsn > jr->released_lsn)
		jr->released_lsn = lsn;
	if (jr->life != JR_LIFE_READY)
		return;
	start_move(jr);
	entry_write(jr);
}

/* ---- what callers may know ---- */

uint64_t jr_first_lsn(const struct jr *jr)
{
	return jr->start.lsn;
}

uint64_t jr_tail_lsn(const struct jr *jr)
{
	return jr->tail.lsn;
}

uint64_t jr_durable_lsn(const struct jr *jr)
{
	return jr->durable.lsn;
}

struct pr_hash jr_tail_hash(const struct jr *jr)
{
	return jr->tail.hash;
}

int jr_hash_at(const struct jr *jr, uint64_t lsn, uint64_t *ret_end_lsn, uint64_t *ret_epoch,
	       struct pr_hash *ret_hash)
{
	int64_t i = jr_index_find(&jr->index, lsn);
	const struct jr_where *w;

	if (i >= 0 && jr_batch_last(jr, (uint32_t)i) > lsn)
		i--;
	if (i < 0) {
		if (lsn + 1 < jr->start.lsn)
			return -ENOENT;
		*ret_end_lsn = jr->start.lsn - 1;
		*ret_epoch = jr->start.epoch;
		*ret_hash = jr->start.hash;
		return 0;
	}
	w = jr_index_get(&jr->index, (uint32_t)i);
	if (w->marks & JR_MARK_GAP)
		return -ENOENT;
	*ret_end_lsn = jr_batch_last(jr, (uint32_t)i);
	*ret_epoch = w->epoch;
	*ret_hash = w->hash;
	return 0;
}

uint64_t jr_used_bytes(const struct jr *jr)
{
	int64_t i = jr_index_find(&jr->index, jr->released_lsn + 1);
	uint64_t from = jr->start.page;

	if (jr->tail.image_bytes == 0)
		return 0;
	if (jr->released_lsn >= jr->tail.lsn)
		from = jr->tail.page;
	else if (i >= 0)
		from = jr_index_get(&jr->index, (uint32_t)i)->page;
	from -= from % jr->segment_pages;
	return (jr->tail.next_page - from) * JR_PAGE_BYTES;
}

uint64_t jr_size_bytes(const struct jr *jr)
{
	return (uint64_t)jr->cfg.segment_bytes * jr->cfg.segments;
}
