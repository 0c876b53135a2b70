/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The flush: the live dirty set is a plain array of rows and values, so that freezing it is handing
 * the array over. A frozen value is never touched again: a later write makes a new value and leaves
 * the old one to the array.
 */
#include <stdlib.h>
#include <string.h>
#include "controller/core/rowset_int.h"
#include "controller/core/ctl.h"

void rowset_drop_flush(struct ctl_flush *f)
{
	free(f->items);
	memset(f, 0, sizeof(*f));
}

/*
 * The store changes whole pages and holds them in memory until its transaction ends, so rows far apart cost more than their bytes.
 * A neighbourhood of keys, all but their last five bits, counts as a page, once in each dirty set.
 */
static size_t page_cost(struct rowset *rs, const struct row *r)
{
	uint16_t last = r->key_len - 1;
	uint64_t h = pr_hash64(r->key, last, r->key[last] >> 5);
	uint64_t *word, bit;

	word = &rs->pages[h / 64 % ROW_PAGE_WORDS];
	bit = 1ull << h % 64;
	if (*word & bit)
		return 0;
	*word |= bit;
	return ROW_PAGE_BYTES;
}

void rowset_mark_dirty(struct rowset *rs, struct row *r)
{
	struct ctl_flush *f = &rs->live;
	size_t pages = page_cost(rs, r);

	if (f->count == f->cap) {
		f->cap = f->cap ? f->cap * 2 : 4096;
		f->items = realloc(f->items, f->cap * sizeof(*f->items));
		ASSERT(f->items);
	}
	r->gen = rs->gen;
	r->at = (uint32_t)f->count;
	f->items[f->count++] = (struct flush_item){.row = r, .value = r->value, .bytes = r->bytes};
	rs->live_bytes += row_bytes(r) + pages;
	rs->live_page_bytes += pages;
}

void rowset_live_is_empty(struct rowset *rs)
{
	rs->live.count = 0;
	rs->live_bytes = rs->live_page_bytes = 0;
	memset(rs->pages, 0, sizeof(rs->pages));
}

bool rowset_can_freeze(const struct rowset *rs)
{
	return rs->flush == FLUSH_NONE;
}

struct ctl_flush *rowset_freeze(struct rowset *rs)
{
	struct ctl_flush empty = rs->frozen;

	ASSERT(rowset_can_freeze(rs));
	rs->frozen = rs->live;
	rs->frozen.sorted = false;
	rs->live = empty;
	rs->frozen_bytes = rs->live_bytes - rs->live_page_bytes;
	rs->frozen_page_bytes = rs->live_page_bytes;
	rowset_live_is_empty(rs);
	rs->gen++;
	rs->flush = FLUSH_OUT;
	rs->cleaned = 0;
	rs->discard = false;
	for (uint32_t i = 0; i < rs->ino_count; i++) {
		struct store_ino *s = &rs->inos[i];

		if (s->next_ino != UINT64_MAX && s->put_ino > s->next_ino)
			s->next_ino = s->put_ino;
	}
	return &rs->frozen;
}

void rowset_flushed(struct rowset *rs)
{
	ASSERT(rs->flush == FLUSH_OUT);
	rs->flush = FLUSH_CLEANING;
	rs->frozen_page_bytes = 0;
	rs->flushes++;
}

/* A tombstone that the rows around it make superfluous is dropped at once. */
static void become_clean(struct rowset *rs, struct row *r)
{
	rowset_make_clean(rs, r);
	if (!r->value && r->group && row_group_knows_absent(r->group, r))
		rowset_evict(rs, r);
}

static void clean_item(struct rowset *rs, struct flush_item *it)
{
	struct row *r = it->row;

	rs->frozen_bytes -= row_cost(r->key_len, it->bytes, it->value != NULL);
	if (rs->discard) {
		free(it->value);
		free(r);
	} else if (r->gen == rs->gen - 1) {
		become_clean(rs, r);
	} else {
		free(it->value);
	}
}

static void clean_end(struct rowset *rs)
{
	rs->flush = FLUSH_NONE;
	rs->frozen.count = 0;
	rs->cleaned = 0;
	ASSERT(rs->frozen_bytes == 0);
	if (rs->frozen.cap > 1u << 20) /* a rare burst's array is not kept */
		rowset_drop_flush(&rs->frozen);
}

static bool evict_one(struct rowset *rs)
{
	struct row *r;

	if (rs->clean_bytes <= rs->cache_bytes)
		return false;
	r = row_of_link(rs->clean.next);
	if (r->referenced) {
		r->referenced = false;
		row_link_del(&r->link);
		row_link_add(&rs->clean, &r->link);
	} else {
		rowset_evict(rs, r);
	}
	return true;
}

bool rowset_work(struct rowset *rs, uint32_t steps)
{
	for (; steps > 0; steps--) {
		if (rs->flush == FLUSH_CLEANING && rs->cleaned < rs->frozen.count)
			clean_item(rs, &rs->frozen.items[rs->cleaned++]);
		else if (rs->flush == FLUSH_CLEANING)
			clean_end(rs);
		else if (!evict_one(rs))
			break;
	}
	row_group_trim_idle(rs);
	return rs->flush == FLUSH_CLEANING || rs->clean_bytes > rs->cache_bytes;
}

/* ---- the store's side ---- */

size_t ctl_flush_count(struct ctl_flush *f)
{
	return f->count;
}

static int item_cmp(const void *a, const void *b)
{
	const struct row *x = ((const struct flush_item *)a)->row;
	const struct row *y = ((const struct flush_item *)b)->row;

	return pr_key_cmp_bytes(x->key, x->key_len, y->key, y->key_len);
}

void ctl_flush_sort(struct ctl_flush *f)
{
	if (!f->sorted)
		qsort(f->items, f->count, sizeof(*f->items), item_cmp);
	f->sorted = true;
}

void ctl_flush_get(struct ctl_flush *f, size_t i, const uint8_t **ret_key, size_t *ret_key_len,
		   const uint8_t **ret_value, size_t *ret_len)
{
	const struct flush_item *it = &f->items[i];

	*ret_key = it->row->key;
	*ret_key_len = it->row->key_len;
	*ret_value = it->value;
	*ret_len = it->bytes;
}
