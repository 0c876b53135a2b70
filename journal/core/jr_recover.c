/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Recovery: read the ring, find the head, walk the batches from the beginning it names, judge each
 * by the decision table, write down what was decided. Reads all that is kept: what nobody ever
 * reads is not there.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "journal/core/jr_state.h"
#include "proto/assert.h"

enum {
	PHASE_RING,
	PHASE_HEAD,
	PHASE_EMPTY,
	PHASE_WALK,
	PHASE_GAP,
	PHASE_BEYOND,
	PHASE_LATER,
	PHASE_SETTLE,
	PHASE_WRITE,
	PHASE_REPORT
};

bool jr_recover_init(struct jr *jr)
{
	struct jr_recovery *r = &jr->rec;

	r->slots = calloc(jr->cfg.ring_slots, sizeof(*r->slots));
	r->states = calloc(jr->cfg.ring_slots, 1);
	r->found = calloc((size_t)jr->cfg.ring_slots + 1, sizeof(*r->found));
	return r->slots && r->states && r->found;
}

void jr_recover_done(struct jr *jr)
{
	struct jr_recovery *r = &jr->rec;

	free(r->slots);
	free(r->states);
	free(r->found);
	r->slots = NULL;
	r->states = NULL;
	r->found = NULL;
}

static void halt(struct jr *jr, const char *why)
{
	jr->rec.halt = true;
	snprintf(jr->rec.why, sizeof(jr->rec.why), "%s", why);
	jr->rec.phase = PHASE_SETTLE;
}

/* ---- the ring ---- */

static void ring_note(struct jr *jr, uint32_t slot, const char *why)
{
	struct jr_event ev = {
		.type = JR_EV_DAMAGE, .file = 0, .offset = (uint64_t)slot * JR_PAGE_BYTES};

	snprintf(ev.why, sizeof(ev.why), "%s", why);
	jr_post(jr, &ev);
}

static bool entry_is_ours(const struct jr *jr, const struct jr_entry *e)
{
	return memcmp(e->cluster, jr->cfg.cluster, sizeof(e->cluster)) == 0 &&
	       e->segment_bytes == jr->cfg.segment_bytes && e->segments == jr->cfg.segments &&
	       e->ring_slots == jr->cfg.ring_slots;
}

static void slot_read(struct jr *jr, uint32_t slot, const uint8_t *page)
{
	struct jr_recovery *r = &jr->rec;
	uint32_t bad;
	struct jr_entry e;
	enum jr_slot state = jr_slot_judge(page, &e, &bad);

	if (state == JR_SLOT_ENTRY && !entry_is_ours(jr, &e)) {
		r->foreign++;
		r->stranger = e;
		state = JR_SLOT_BAD;
	} else if (state == JR_SLOT_ENTRY) {
		struct jr_entry *at = &r->slots[e.seq % jr->cfg.ring_slots];

		/* An entry that went astray is still true: it was issued. */
		r->entries++;
		if (e.seq > at->seq)
			*at = e;
		if (e.seq % jr->cfg.ring_slots != slot) {
			ring_note(jr, slot, "a ring entry stands in another's slot");
			state = JR_SLOT_BAD;
		} else if (bad > 0) {
			ring_note(jr, slot, "a copy of a ring entry is damaged");
		}
	} else if (state == JR_SLOT_BAD) {
		r->bad++;
		ring_note(jr, slot, "a ring entry is damaged");
	}
	r->states[slot] = (uint8_t)state;
}

static void ring_step(struct jr *jr)
{
	struct jr_recovery *r = &jr->rec;
	const uint8_t *page = jr_window_get(jr, true, r->slot, 1, JR_NO_PAGE);

	if (!page)
		return;
	slot_read(jr, r->slot, page);
	if (++r->slot == jr->cfg.ring_slots)
		r->phase = PHASE_HEAD;
}

/* A batch from BATCH entries, and the tail that other entries name. */
static void found_add(struct jr_recovery *r, const struct jr_entry *e)
{
	r->found[r->found_count++] = (struct jr_found){
		.epoch = e->epoch,
		.first_lsn = e->first_lsn,
		.last_lsn = e->tail_lsn,
		.page = e->page,
		.prev_hash = e->prev_hash,
		.hash = e->hash,
		.image_bytes = e->image_bytes,
	};
}

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static void found_drop(struct jr_recovery *r, uint64_t tail_lsn)
{
	while (r->found_count > 0 && r->found[r->found_count - 1].last_lsn > tail_lsn)
		r->found_count--;
}

/*
 * Goes through the entries in the order in which they were issued: the batches that they name and
 * that stand at the end. Each was issued when the one before it was durable: one that is not there
 * was lost.
 */
static void found_build(struct jr *jr)
{
	struct jr_recovery *r = &jr->rec;
	uint64_t last = r->head.seq,
		 seq = last > jr->cfg.ring_slots ? last - jr->cfg.ring_slots + 1 : 1;

	for (; seq <= last; seq++) {
		const struct jr_entry *e = &r->slots[seq % jr->cfg.ring_slots];

		if (e->seq != seq) {
			if (r->states[seq % jr->cfg.ring_slots] != JR_SLOT_BAD)
				ring_note(jr, (uint32_t)(seq % jr->cfg.ring_slots),
					  "a ring entry was lost");
			continue;
		}
		found_drop(r, e->kind == JR_KIND_BATCH ? e->first_lsn - 1 : e->tail_lsn);
		if (e->kind == JR_KIND_BASE)
			r->found_count = 0;
		if (e->kind == JR_KIND_BATCH)
			found_add(r, e);
		else if (e->image_bytes > 0 &&
			 (r->found_count == 0 ||
			  r->found[r->found_count - 1].last_lsn < e->tail_lsn))
			found_add(r, e);
	}
}

static void head_step(struct jr *jr)
{
	struct jr_recovery *r = &jr->rec;

	r->gap_scan = JR_NO_PAGE;
	r->slot = 0;
	if (r->entries == 0 && r->foreign > 0) {
		jr->foreign = true;
		halt(jr, memcmp(r->stranger.cluster, jr->cfg.cluster, 16) != 0
				 ? "the journal belongs to another cluster"
				 : "the journal was made with another segment or ring size");
		return;
	}
	if (r->entries == 0 && r->bad > 0) {
		halt(jr, "no entry of the ring is readable");
		return;
	}
	if (r->entries == 0) {
		r->phase = PHASE_EMPTY;
		return;
	}
	for (uint32_t i = 0; i < jr->cfg.ring_slots; i++)
		if (r->slots[i].seq > r->head.seq)
			r->head = r->slots[i];
	found_build(jr);
	r->lsn = r->head.start_lsn;
	r->page = r->head.start_page;
	r->prev = r->head.start_hash;
	r->prev_known = true;
	jr->start = (struct jr_start){r->head.start_page, r->head.start_lsn, r->head.start_epoch,
				      r->head.start_hash};
	jr->tail = (struct jr_tail){
		.epoch = jr->start.epoch,
		.lsn = jr->start.lsn - 1,
		.hash = jr->start.hash,
		.next_page = jr->start.page,
	};
	r->phase = PHASE_WALK;
}

/* A blank ring is a new journal only if nothing was ever written to a segment. */
static void empty_step(struct jr *jr)
{
	struct jr_recovery *r = &jr->rec;
	uint64_t page = (uint64_t)r->slot * jr->segment_pages;
	const uint8_t *p = jr_window_get(jr, false, page, 1, page + 1);

	if (!p)
		return;
	if (!jr_is_zero(p, JR_PAGE_BYTES)) {
		halt(jr, "the ring is blank but the segments are not");
		return;
	}
	if (++r->slot < jr->cfg.segments)
		return;
	r->empty = true;
	jr->start = (struct jr_start){.lsn = 1};
	r->phase = PHASE_SETTLE;
}

/* ---- judging one batch ---- */

static enum jr_data image_judge(struct jr *jr, const uint8_t *image, uint32_t bytes, uint64_t epoch,
				uint64_t first_lsn, const struct pr_hash *hash,
				struct jr_header *ret, uint32_t *ret_sector)
{
	bool old = false;

	*ret_sector = 0;
	for (uint32_t i = 0; i < bytes / JR_SECTOR_BYTES; i++) {
		enum jr_sector s =
			jr_sector_judge(image + (size_t)i * JR_SECTOR_BYTES, epoch, first_lsn, i);

		if (s == JR_SECTOR_BAD) {
			*ret_sector = i;
			return JR_DATA_BAD;
		}
		if (s == JR_SECTOR_OLD && !old)
			*ret_sector = i;
		old |= s == JR_SECTOR_OLD;
	}
	if (old)
		return JR_DATA_TORN;
	if (jr_image_check(jr->cfg.cluster, image, bytes, jr->flat, ret, ret_sector) != NULL)
		return JR_DATA_BAD;
	return !hash || pr_hash_equal(hash, &ret->hash) ? JR_DATA_WHOLE : JR_DATA_BAD;
}

/*
 * Can this header be that of the batch after the last one that was kept, before the next that the
 * ring tells of (NULL: none)?
 */
static bool header_fits(const struct jr_recovery *r, const struct jr_header *h,
			const struct jr_found *next)
{
	if (h->first_lsn != r->lsn || (r->prev_known && !pr_hash_equal(&h->prev_hash, &r->prev)))
		return false;
	if (!next || h->last_lsn + 1 < next->first_lsn)
		return true;
	return h->last_lsn + 1 == next->first_lsn &&
	       (pr_hash_is_zero(&next->prev_hash) || pr_hash_equal(&h->hash, &next->prev_hash));
}

/* Space that nothing of what is kept lies in. */
static bool may_blank(const struct jr *jr, uint64_t page)
{
	return page / jr->segment_pages < jr->start.page / jr->segment_pages + jr->cfg.segments;
}

/*
 * A page that does not begin with the batch looked for. Damage in it matters if one of its sectors
 * says that the batch was written here, or none says anything; else it is of what stood here before.
 * Nothing of the epoch that this witness is of, or the tail, stood here before that comes behind the
 * batch: its write went astray. In another place than the one behind the tail only the witness tells.
 */
static enum jr_data page_judge(const struct jr *jr, const uint8_t *page, bool behind_tail,
			       uint32_t *ret_sector)
{
	uint32_t bad = 0, tag = jr_epoch_tag(jr->tail.epoch);
	bool known = behind_tail, witness = false, astray = false;
	struct jr_stamp stamp[JR_PAGE_SECTORS];
	bool whole[JR_PAGE_SECTORS];

	for (uint32_t i = 0; i < JR_PAGE_SECTORS; i++) {
		whole[i] = jr_sector_stamp(page + (size_t)i * JR_SECTOR_BYTES, &stamp[i]);
		if (whole[i] && stamp[i].first_lsn == jr->rec.lsn) {
			tag = stamp[i].tag;
			known = witness = true;
		}
	}
	for (uint32_t i = 0; i < JR_PAGE_SECTORS; i++) {
		bool later = whole[i] && known && stamp[i].tag == tag &&
			     stamp[i].first_lsn > jr->rec.lsn;
		bool rotten = !whole[i] &&
			      !jr_is_zero(page + (size_t)i * JR_SECTOR_BYTES, JR_SECTOR_BYTES);

		astray |= later;
		if ((later || rotten) && bad++ == 0)
			*ret_sector = i;
	}
	return astray || bad == JR_PAGE_SECTORS || (bad > 0 && witness) ? JR_DATA_BAD
									: JR_DATA_TORN;
}

/* Where a batch of that many pages is written that follows what was kept; behind unknown batches only the segment's end tells. */
static bool place_fits(const struct jr *jr, uint64_t page, uint32_t pages)
{
	const struct jr_recovery *r = &jr->rec;

	return (!r->prev_known || jr_place(jr, r->page, pages) == page) &&
	       jr_place(jr, page, pages) == page;
}

/*
 * Looks at one place for the batch that follows. If it is there, and would not have been written there, its write went astray: those
 * that came behind it stand elsewhere. False: being read.
 */
static bool probe_at(struct jr *jr, uint64_t page, const struct jr_found *next)
{
	struct jr_recovery *r = &jr->rec;
	struct jr_probe *b = &r->probe;
	const uint8_t *p = jr_window_get(jr, false, page, 1, JR_NO_PAGE);
	enum jr_data data = JR_DATA_TORN;
	struct jr_header h;
	uint32_t sector = 0;

	if (!p)
		return false;
	if (!jr_header_peek(p, &h) && header_fits(r, &h, next)) {
		if (!place_fits(jr, page, h.image_bytes / JR_PAGE_BYTES)) {
			data = JR_DATA_BAD;
		} else {
			p = jr_window_get(jr, false, page, h.image_bytes / JR_PAGE_BYTES,
					  JR_NO_PAGE);
			if (!p)
				return false;
			data = image_judge(jr, p, h.image_bytes, h.epoch, h.first_lsn, NULL, &h,
					   &sector);
			r->torn |= !next && data == JR_DATA_TORN;
		}
	} else {
		data = page_judge(jr, p, page == r->page, &sector);
	}
	if (b->step == 0 || data == JR_DATA_WHOLE ||
	    (data == JR_DATA_BAD && b->data == JR_DATA_TORN)) {
		b->data = data;
		b->page = page;
		b->sector = sector;
		b->header = h;
	}
	return true;
}

static bool probe_run(struct jr *jr, const struct jr_found *found)
{
	struct jr_recovery *r = &jr->rec;
	uint64_t next = jr_place(jr, r->page, jr->segment_pages);

	if (r->probe.step == 0) {
		if (!probe_at(jr, r->page, found))
			return false;
		r->probe.step = 1;
	}
	if (r->probe.step == 1 && r->probe.data != JR_DATA_WHOLE && next != r->page &&
	    (found || may_blank(jr, next))) {
		if (!probe_at(jr, next, found))
			return false;
	}
	r->probe.step = 2;
	return true;
}

/* ---- acting on one batch ---- */

static void batch_found(struct jr *jr, const struct jr_found *f, uint32_t marks)
{
	struct jr_recovery *r = &jr->rec;
	uint32_t pages = f->image_bytes / JR_PAGE_BYTES;

	*jr_index_push(&jr->index) = (struct jr_where){
		.first_lsn = f->first_lsn,
		.epoch = f->epoch,
		.page = f->page,
		.hash = f->hash,
		.pages = pages,
		.marks = marks,
	};
	jr->tail = (struct jr_tail){
		.epoch = f->epoch,
		.first_lsn = f->first_lsn,
		.lsn = f->last_lsn,
		.prev_hash = f->prev_hash,
		.hash = f->hash,
		.page = f->page,
		.image_bytes = f->image_bytes,
		.next_page = f->page + pages,
	};
	r->lsn = f->last_lsn + 1;
	r->page = jr->tail.next_page;
	r->prev = f->hash;
	r->prev_known = true;
	r->probe.step = 0;
}

static void batch_kept(struct jr *jr, const struct jr_header *h, uint64_t page)
{
	struct jr_found f = {
		.epoch = h->epoch,
		.first_lsn = h->first_lsn,
		.last_lsn = h->last_lsn,
		.page = page,
		.prev_hash = h->prev_hash,
		.hash = h->hash,
		.image_bytes = h->image_bytes,
	};

	if (h->commit_lsn > jr->commit_lsn)
		jr->commit_lsn = h->commit_lsn;
	batch_found(jr, &f, 0);
}

static void damaged_note(struct jr *jr, uint64_t first, uint64_t last)
{
	struct jr_recovery *r = &jr->rec;

	if (r->damaged++ == 0)
		r->damaged_first = first;
	r->damaged_last = last;
}

static void gap_begin(struct jr *jr)
{
	struct jr_recovery *r = &jr->rec;

	*jr_index_push(&jr->index) = (struct jr_where){
		.first_lsn = r->lsn,
		.page = r->page,
		.marks = JR_MARK_DAMAGED | JR_MARK_GAP,
	};
	r->gap_scan = r->page + 1;
	r->phase = PHASE_GAP;
}

struct verdict {
	enum jr_proof proof;
	enum jr_data data;
	const struct jr_found *found; /* NULL: no entry names it */
	const struct jr_header *header;
	uint64_t page;
	uint32_t sector;
};

static void act(struct jr *jr, const struct verdict *v)
{
	struct jr_recovery *r = &jr->rec;
	char why[120];

	snprintf(why, sizeof(why), "batch at LSN %llu: %s, data %s", (unsigned long long)r->lsn,
		 jr_proof_name(v->proof), jr_data_name(v->data));
	switch (jr_decide(v->proof, v->data)) {
	case JR_DO_KEEP:
		batch_kept(jr, v->header, v->page);
		break;
	case JR_DO_ADOPT:
		batch_kept(jr, v->header, v->page);
		r->settle = true;
		break;
	case JR_DO_END:
		r->later = r->page + 1;
		r->phase = PHASE_LATER;
		break;
	case JR_DO_REPAIR:
		jr_damage(jr, r->lsn, v->page, v->sector, why);
		damaged_note(jr, r->lsn, v->found ? v->found->last_lsn : r->lsn);
		if (v->found)
			batch_found(jr, v->found, JR_MARK_DAMAGED);
		else
			gap_begin(jr);
		break;
	case JR_DO_HALT:
		jr_damage(jr, r->lsn, v->page, v->sector, why);
		halt(jr, why);
		break;
	default:
		ASSERT(!"a row of the decision table is not written");
	}
}

/* ---- the walk ---- */

/* The first batch at or after lsn that the ring tells of; NULL, and a HALT: there is none before the tail it names. */
static const struct jr_found *found_from(struct jr *jr, uint64_t lsn)
{
	const struct jr_recovery *r = &jr->rec;
	uint32_t low = 0, high = r->found_count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (r->found[middle].first_lsn < lsn)
			low = middle + 1;
		else
			high = middle;
	}
	if (low < r->found_count)
		return &r->found[low];
	halt(jr, "the ring names a tail that none of its entries tells of");
	return NULL;
}

static void walk_named(struct jr *jr, const struct jr_found *f)
{
	struct jr_recovery *r = &jr->rec;
	uint32_t pages = f->image_bytes / JR_PAGE_BYTES;
	struct verdict v = {.proof = JR_PROOF_DURABLE, .found = f, .page = f->page};
	struct jr_header h;
	const uint8_t *image;

	/*
	 * A zero prev_hash is unknown (a tail cut behind damage), or the very first: then
	 * start_hash is zero too.
	 */
	if (r->prev_known && !pr_hash_is_zero(&f->prev_hash) &&
	    !pr_hash_equal(&f->prev_hash, &r->prev)) {
		halt(jr, "a ring entry is not chained to the batch before it");
		return;
	}
	if (!place_fits(jr, f->page, pages)) {
		halt(jr, "a ring entry names a place where its batch cannot be");
		return;
	}
	image = jr_window_get(jr, false, f->page, pages, JR_NO_PAGE);
	if (!image)
		return;
	v.data = image_judge(jr, image, f->image_bytes, f->epoch, f->first_lsn, &f->hash, &h,
			     &v.sector);
	v.header = &h;
	act(jr, &v);
}

/* A batch that no entry names. False: being read. */
static bool probe_verdict(struct jr *jr, const struct jr_found *next, struct verdict *v,
			  struct jr_header *header)
{
	struct jr_probe *b = &jr->rec.probe;

	if (!probe_run(jr, next))
		return false;
	b->step = 0;
	*header = b->header;
	v->data = b->data;
	v->header = header;
	v->page = b->page;
	v->sector = b->sector;
	return true;
}

static void walk_step(struct jr *jr)
{
	struct jr_recovery *r = &jr->rec;
	struct verdict v = {.proof = JR_PROOF_DURABLE};
	const struct jr_found *f;
	struct jr_header h;

	if (r->lsn > r->head.tail_lsn) {
		r->phase = PHASE_BEYOND;
		return;
	}
	f = found_from(jr, r->lsn);
	if (!f)
		return;
	if (f->first_lsn == r->lsn)
		walk_named(jr, f);
	else if (probe_verdict(jr, f, &v, &h))
		act(jr, &v);
}

/*
 * Behind unreadable batches: the next page that begins one, at the latest where the ring says that
 * one begins.
 */
static void gap_step(struct jr *jr)
{
	struct jr_recovery *r = &jr->rec;
	const struct jr_found *f = found_from(jr, r->lsn + 1);
	const uint8_t *p;
	struct jr_header h;

	if (!f)
		return;
	if (r->gap_scan < f->page) {
		p = jr_window_get(jr, false, r->gap_scan, 1, JR_NO_PAGE);
		if (!p)
			return;
		if (jr_header_peek(p, &h) || h.first_lsn <= r->lsn || h.first_lsn >= f->first_lsn) {
			r->gap_scan++;
			return;
		}
		r->page = r->gap_scan;
		r->lsn = h.first_lsn;
	} else {
		r->page = f->page;
		r->lsn = f->first_lsn;
	}
	r->damaged_last = r->lsn - 1;
	r->prev_known = false;
	r->gap_scan = JR_NO_PAGE;
	r->phase = PHASE_WALK;
}

/*
 * Behind the batch that the head names: what was durable, and perhaps acknowledged, before an entry
 * named it.
 */
static void beyond_step(struct jr *jr)
{
	struct jr_recovery *r = &jr->rec;
	struct verdict v = {.proof = JR_PROOF_BEYOND, .data = JR_DATA_TORN, .page = r->page};
	struct jr_header h;

	if (may_blank(jr, r->page) && !probe_verdict(jr, NULL, &v, &h))
		return;
	act(jr, &v);
}

/*
 * Behind the end: batches that were under way with one that was lost, and tell of it. One that says that the LSNs missing here were
 * committed stands as far behind them as a ring entry may come late. What an older epoch left there was dropped, or is of the lap before.
 */
static void later_step(struct jr *jr)
{
	enum { LATER_BYTES = 16 << 20 };
	struct jr_recovery *r = &jr->rec;
	struct jr_header h;
	uint32_t sector, pages;
	const uint8_t *p;

	if (!may_blank(jr, r->later) || r->later > r->page + LATER_BYTES / JR_PAGE_BYTES) {
		r->phase = PHASE_SETTLE;
		return;
	}
	p = jr_window_get(jr, false, r->later, 1, JR_NO_PAGE);
	if (!p)
		return;
	if (!jr_header_peek(p, &h) && h.first_lsn > r->lsn && h.commit_lsn >= r->lsn &&
	    h.epoch >= jr->tail.epoch) {
		pages = h.image_bytes / JR_PAGE_BYTES;
		if (jr_place(jr, r->later, pages) == r->later) {
			p = jr_window_get(jr, false, r->later, pages, JR_NO_PAGE);
			if (!p)
				return;
			if (image_judge(jr, p, h.image_bytes, h.epoch, h.first_lsn, NULL, &h,
					&sector) == JR_DATA_WHOLE)
				r->missing_lsn = larger(r->missing_lsn, h.commit_lsn);
		}
	}
	r->later++;
}

/* ---- the end ---- */

/* After a HALT only jr_reset may write: behind every page and every seq that was ever used. */
static void settle_halt(struct jr *jr)
{
	struct jr_recovery *r = &jr->rec;

	for (uint32_t i = 0; i < jr->cfg.ring_slots; i++) {
		const struct jr_entry *e = &r->slots[i];

		if (e->seq == 0)
			continue;
		jr->tail.next_page =
			larger(jr->tail.next_page, e->page + e->image_bytes / JR_PAGE_BYTES);
		jr->tail.next_page = larger(jr->tail.next_page, e->start_page);
	}
	jr->tail.lsn = r->lsn > 0 ? r->lsn - 1 : 0;
	jr->seq = r->head.seq;
}

static void settle_step(struct jr *jr)
{
	struct jr_recovery *r = &jr->rec;

	jr->seq = r->head.seq;
	if (r->halt)
		settle_halt(jr);
	if (!r->halt && r->head.commit_lsn > jr->commit_lsn)
		jr->commit_lsn = r->head.commit_lsn;
	if (jr->commit_lsn > jr->tail.lsn)
		jr->commit_lsn = jr->tail.lsn;
	jr->durable = jr->tail;
	jr->start_durable_page = jr->start.page;
	jr->window.valid = false;
	jr->job_done = false;
	r->phase = r->halt || jr->cfg.look_only ? PHASE_REPORT : PHASE_WRITE;
}

static void write_step(struct jr *jr)
{
	struct jr_recovery *r = &jr->rec;
	bool again = !r->settle && r->head.blank_page != JR_NO_PAGE &&
		     jr->tail.lsn == r->head.tail_lsn &&
		     (r->head.kind == JR_KIND_CUT || r->head.kind == JR_KIND_BASE);
	bool done = true;

	if (r->empty)
		done = jr_mark_write(jr, JR_KIND_BASE, JR_NO_PAGE);
	else if (r->settle)
		done = jr_mark_write(jr, JR_KIND_SETTLED, JR_NO_PAGE);
	else if (again)
		done = jr_mark_write(jr, r->head.kind, r->head.blank_page);
	if (done)
		r->phase = PHASE_REPORT;
}

static enum jr_verdict verdict_of(const struct jr *jr)
{
	const struct jr_recovery *r = &jr->rec;

	if (jr->foreign)
		return JR_FOREIGN;
	if (r->halt)
		return JR_HALT;
	if (r->damaged > 0)
		return JR_REPAIR;
	if (r->torn)
		return JR_TORN;
	return jr->tail.lsn == 0 && jr->start.lsn == 1 ? JR_EMPTY : JR_CLEAN;
}

static void report_step(struct jr *jr)
{
	struct jr_recovery *r = &jr->rec;
	struct jr_event ev = {
		.type = JR_EV_OPENED,
		.verdict = verdict_of(jr),
		.lsn = jr->tail.lsn,
		.first_lsn = jr->start.lsn,
		.tail_lsn = jr->tail.lsn,
		.commit_lsn = jr->commit_lsn,
		.tail_epoch = jr->tail.epoch,
		.tail_hash = jr->tail.hash,
		.damaged_first = r->damaged_first,
		.damaged_last = r->damaged_last,
		.missing_lsn = r->missing_lsn,
	};

	if (ev.verdict == JR_TORN)
		snprintf(r->why, sizeof(r->why),
			 "the batch at LSN %llu was not fully written: left out",
			 (unsigned long long)r->lsn);
	if (ev.verdict == JR_REPAIR)
		snprintf(r->why, sizeof(r->why), "batches of LSN %llu to %llu are damaged",
			 (unsigned long long)r->damaged_first, (unsigned long long)r->damaged_last);
	snprintf(ev.why, sizeof(ev.why), "%s", r->why);
	jr->life = r->halt ? JR_LIFE_HALTED : JR_LIFE_READY;
	jr_recover_done(jr);
	jr_post(jr, &ev);
	jr_job_end(jr);
}

void jr_recover_step(struct jr *jr)
{
	static void (*const phases[])(struct jr *) = {
		[PHASE_RING] = ring_step,   [PHASE_HEAD] = head_step,
		[PHASE_EMPTY] = empty_step, [PHASE_WALK] = walk_step,
		[PHASE_GAP] = gap_step,	    [PHASE_BEYOND] = beyond_step,
		[PHASE_LATER] = later_step, [PHASE_SETTLE] = settle_step,
		[PHASE_WRITE] = write_step, [PHASE_REPORT] = report_step,
	};

	phases[jr->rec.phase](jr);
}
