/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The flush: the live dirty set is a plain array of rows and values, so that freezing it is handing
 * the array over. A frozen value is never touched again: a later write makes a new value and leaves
 * the old one to the array.
 */
#include <endian.h>
#include <stdlib.h>
#include <string.h>
#include "controller/core/rowset_int.h"
#include "controller/core/ctl.h"

/* Items looked at ahead of the one in hand, so that their rows are in the processor's cache by then. */
enum { FLUSH_AHEAD = 8 };

void rowset_drop_flush(struct ctl_flush *f)
{
	free(f->items);
	free(f->order);
	memset(f, 0, sizeof(*f));
}

/* Its row, and the value, are looked at soon. */
static void expect_item(const struct flush_item *it)
{
	__builtin_prefetch(it->row);
	__builtin_prefetch((const uint8_t *)it->row + 64);
	__builtin_prefetch(it->value);
}

/*
 * The store changes whole pages and holds them in memory until its transaction ends, so rows far apart cost more than their bytes.
 * A neighbourhood of keys, all but their last five bits, counts as a page, once in each dirty set; which one is known by the last
 * eight bytes, or what there is of them, and the directory of a name by its last byte. Names that go, as a rule in the order they
 * came in, may have any number of others between them (f1000 is followed by f10000): each counts half a page more.
 */
static size_t page_cost(struct rowset *rs, const struct row *r)
{
	uint16_t n = r->key_len < 8 ? r->key_len : 8;
	size_t apart = !r->value && r->key[0] == PR_ROW_NAME ? ROW_PAGE_BYTES / 2 : 0;
	uint64_t h = 0, *word, bit;

	memcpy(&h, r->key + r->key_len - n, n);
	h = (be64toh(h) >> 5) + r->key[0] + (r->key_len > 10 ? (uint64_t)r->key[10] << 59 : 0);
	h = h * 0x9e3779b97f4a7c15 >> 32;
	word = &rs->pages[h / 64 % ROW_PAGE_WORDS];
	bit = 1ull << h % 64;
	if (*word & bit)
		return apart;
	*word |= bit;
	return ROW_PAGE_BYTES + apart;
}

void rowset_mark_dirty(struct rowset *rs, struct row *r)
{
	struct ctl_flush *f = &rs->live;
	size_t pages = page_cost(rs, r);

	if (f->count == f->cap) {
		f->cap = f->cap ? f->cap * 2 : 4096;
		f->items = realloc(f->items, f->cap * sizeof(*f->items));
		ASSERT_MEMORY(f->items);
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
	free(rs->frozen.order);
	rs->frozen.order = NULL;
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
	free(rs->frozen.order);
	rs->frozen.order = NULL;
	rs->cleaned = 0;
	ASSERT(rs->frozen_bytes == 0);
	if (rs->frozen.cap > 1u << 20) /* a rare burst's array is not kept */
		rowset_drop_flush(&rs->frozen);
}

/*
 * Rows of the cache were last touched long ago. While one is looked at, what stands before the next one in its bucket is brought
 * near, the bucket of the one after it, and the third row.
 */
static void expect_next(struct rowset *rs, const struct row *r)
{
	const struct row_link *next = r->link.next, *second = next->next;

	if (next == &rs->clean || second == &rs->clean)
		return;
	rowset_expect_row(rs, row_of_link(next)->hash);
	rowset_expect(rs, row_of_link(second)->hash);
	if (second->next != &rs->clean)
		__builtin_prefetch(row_of_link(second->next));
	__builtin_prefetch(second->next);
}

/* Not when all that is there is kept. */
static bool may_evict(const struct rowset *rs)
{
	return rs->clean_bytes > rs->cache_bytes && rs->kept_passed < rs->rows;
}

static bool evict_one(struct rowset *rs)
{
	struct row *r;

	if (!may_evict(rs))
		return false;
	r = row_of_link(rs->clean.next);
	expect_next(rs, r);
	if (r->referenced) {
		if (r->referenced == rs->keep) {
			rs->kept_passed++;
		} else {
			r->referenced = 0;
			rs->kept_passed = 0;
		}
		row_link_del(&r->link);
		row_link_add(&rs->clean, &r->link);
	} else {
		rs->kept_passed = 0;
		rowset_evict(rs, r);
	}
	return true;
}

bool rowset_work(struct rowset *rs, uint32_t steps)
{
	for (; steps > 0; steps--) {
		if (rs->flush == FLUSH_CLEANING && rs->cleaned < rs->frozen.count) {
			if (rs->cleaned + FLUSH_AHEAD < rs->frozen.count)
				expect_item(&rs->frozen.items[rs->cleaned + FLUSH_AHEAD]);
			clean_item(rs, &rs->frozen.items[rs->cleaned++]);
		} else if (rs->flush == FLUSH_CLEANING)
			clean_end(rs);
		else if (!evict_one(rs))
			break;
	}
	row_group_trim_idle(rs);
	return rowset_has_work(rs);
}

bool rowset_has_work(const struct rowset *rs)
{
	return rs->flush == FLUSH_CLEANING || may_evict(rs) ||
	       rs->idle_group_count > ROW_IDLE_GROUPS_MAX;
}

/* ---- the store's side ---- */

size_t ctl_flush_count(struct ctl_flush *f)
{
	return f->count;
}

/* Bytes beyond the key's end count as 0: keys that differ in no more than that are equal here, and compared as a whole. */
static struct flush_order order_of(const struct row *r, uint32_t item)
{
	uint8_t b[19] = {0};
	struct flush_order o = {.item = item};

	memcpy(b, r->key, r->key_len < sizeof(b) ? r->key_len : sizeof(b));
	o.table = (uint32_t)b[0] << 16 | (uint32_t)b[1] << 8 | b[2];
	memcpy(&o.ino, b + 3, 8);
	memcpy(&o.rest, b + 11, 8);
	o.ino = be64toh(o.ino);
	o.rest = be64toh(o.rest);
	return o;
}

static int order_cmp(const void *a, const void *b, void *user)
{
	const struct flush_order *x = a, *y = b;
	const struct flush_item *items = user;
	const struct row *r, *s;

	if (x->table != y->table)
		return x->table < y->table ? -1 : 1;
	if (x->ino != y->ino)
		return x->ino < y->ino ? -1 : 1;
	if (x->rest != y->rest)
		return x->rest < y->rest ? -1 : 1;
	r = items[x->item].row;
	s = items[y->item].row;
	return pr_key_cmp_bytes(r->key, r->key_len, s->key, s->key_len);
}

static uint8_t table_of(const struct ctl_flush *f, size_t i)
{
	return (uint8_t)(f->order[i].table >> 16);
}

/* Rows of different tables come by turns; within a table many come in the order of their keys. */
static void by_table(struct ctl_flush *f)
{
	struct flush_order *o = rowset_alloc(f->count * sizeof(*o));
	size_t at[256] = {0}, sum = 0;

	for (size_t i = 0; i < f->count; i++)
		at[table_of(f, i)]++;
	for (int t = 0; t < 256; t++) {
		size_t n = at[t];

		at[t] = sum;
		sum += n;
	}
	for (size_t i = 0; i < f->count; i++)
		o[at[table_of(f, i)]++] = f->order[i];
	free(f->order);
	f->order = o;
}

void ctl_flush_sort(struct ctl_flush *f)
{
	if (f->order || f->count == 0)
		return;
	f->order = rowset_alloc(f->count * sizeof(*f->order));
	for (size_t i = 0; i < f->count; i++) {
		if (i + FLUSH_AHEAD < f->count)
			expect_item(&f->items[i + FLUSH_AHEAD]);
		f->order[i] = order_of(f->items[i].row, (uint32_t)i);
	}
	by_table(f);
	for (size_t i = 0, n; i < f->count; i += n) {
		bool in_order = true;

		for (n = 1; i + n < f->count && table_of(f, i + n) == table_of(f, i); n++)
			in_order &= order_cmp(&f->order[i + n - 1], &f->order[i + n], f->items) < 0;
		if (!in_order)
			qsort_r(f->order + i, n, sizeof(*f->order), order_cmp, f->items);
	}
}

void ctl_flush_get(struct ctl_flush *f, size_t i, const uint8_t **ret_key, size_t *ret_key_len,
		   const uint8_t **ret_value, size_t *ret_len)
{
	const struct flush_item *it = &f->items[f->order[i].item];

	if (i + FLUSH_AHEAD < f->count)
		expect_item(&f->items[f->order[i + FLUSH_AHEAD].item]);
	*ret_key = it->row->key;
	*ret_key_len = it->row->key_len;
	*ret_value = it->value;
	*ret_len = it->bytes;
}
