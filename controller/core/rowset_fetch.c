/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Fetches: what is missing, who waits for it, and how the store's answer joins the rows in memory. */
#include <stdlib.h>
#include <string.h>
#include "controller/core/rowset_int.h"

enum { FETCH_ROWS_FROM = 256, FETCH_ROWS_BEFORE = 16 };

static struct rowset_fetch **bucket_of(struct rowset *rs, enum rowset_fetch_kind kind,
				       const uint8_t *key, uint16_t len)
{
	return &rs->fetch_buckets[pr_hash64(key, len, kind) % 1024];
}

static uint32_t free_slot(struct rowset *rs)
{
	if (rs->fetch_count == rs->fetch_cap) {
		uint32_t old = rs->fetch_cap;

		rs->fetch_cap = old ? old * 2 : 64;
		ASSERT(rs->fetch_cap <= 65536);
		rs->fetches = realloc(rs->fetches, rs->fetch_cap * sizeof(*rs->fetches));
		ASSERT_MEMORY(rs->fetches);
		memset(&rs->fetches[old], 0, (rs->fetch_cap - old) * sizeof(*rs->fetches));
		return old;
	}
	for (uint32_t i = 0, at = (uint32_t)rs->fetch_number;; i++, at++) {
		at &= rs->fetch_cap - 1;
		ASSERT(i < rs->fetch_cap);
		if (!rs->fetches[at])
			return at;
	}
}

static struct rowset_fetch *fetch_new(struct rowset *rs, enum rowset_fetch_kind kind,
				      const uint8_t *key, uint16_t len)
{
	struct rowset_fetch *f = rowset_alloc(sizeof(*f)), **bucket = bucket_of(rs, kind, key, len);
	uint32_t slot = free_slot(rs);
	bool listed;

	memset(f, 0, offsetof(struct rowset_fetch, key));
	f->kind = kind;
	f->key.len = len;
	memcpy(f->key.b, key, len);
	f->prefix_len = kind == ROWSET_FETCH_ONE ? len : row_group_len(key[0], &listed);
	f->rows_max = kind == ROWSET_FETCH_ONE	  ? 1
		      : kind == ROWSET_FETCH_FROM ? FETCH_ROWS_FROM
						  : FETCH_ROWS_BEFORE;
	f->ticket = ++rs->fetch_number << 16 | slot;
	rs->fetches[slot] = f;
	rs->fetch_count++;
	f->chain = *bucket;
	*bucket = f;
	*rs->fetch_last = f;
	rs->fetch_last = &f->next;
	return f;
}

void rowset_want(struct rowset *rs, enum rowset_fetch_kind kind, const uint8_t *key, uint16_t len,
		 void *waiter)
{
	struct rowset_fetch *f = *bucket_of(rs, kind, key, len);

	while (f && (f->kind != kind || f->key.len != len || memcmp(f->key.b, key, len) != 0))
		f = f->chain;
	if (!f)
		f = fetch_new(rs, kind, key, len);
	if (f->waiter_count == f->waiter_cap) {
		f->waiter_cap = f->waiter_cap ? f->waiter_cap * 2 : 2;
		f->waiters = realloc(f->waiters, f->waiter_cap * sizeof(*f->waiters));
		ASSERT_MEMORY(f->waiters);
	}
	f->waiters[f->waiter_count++] = waiter;
}

void rowset_forget_waiter(struct rowset *rs, void *waiter)
{
	for (uint32_t i = 0; i < rs->fetch_cap; i++) {
		struct rowset_fetch *f = rs->fetches[i];

		for (uint32_t w = 0; f && w < f->waiter_count; w++)
			if (f->waiters[w] == waiter)
				f->waiters[w] = NULL;
	}
}

const struct rowset_fetch *rowset_next_fetch(struct rowset *rs)
{
	struct rowset_fetch *f = rs->fetch_first;

	if (!f)
		return NULL;
	rs->fetch_first = f->next;
	if (!rs->fetch_first)
		rs->fetch_last = &rs->fetch_first;
	f->next = NULL;
	f->flushes = rs->flushes;
	return f;
}

static void fetch_free(struct rowset *rs, struct rowset_fetch *f)
{
	struct rowset_fetch **at = bucket_of(rs, f->kind, f->key.b, f->key.len);

	while (*at != f)
		at = &(*at)->chain;
	*at = f->chain;
	rs->fetches[f->ticket & 0xffff] = NULL;
	rs->fetch_count--;
	free(f->waiters);
	free(f);
}

void rowset_drop_fetches(struct rowset *rs)
{
	for (uint32_t i = 0; i < rs->fetch_cap; i++)
		if (rs->fetches[i])
			fetch_free(rs, rs->fetches[i]);
	free(rs->fetches);
}

/* ---- the answer ---- */

/* What memory holds is never older than the store. */
static void install(struct rowset *rs, const uint8_t *key, uint16_t len, const uint8_t *value,
		    uint32_t bytes)
{
	uint64_t hash = rowset_hash(key, len);
	struct row *r = rowset_find(rs, key, len, hash);

	if (r)
		return;
	r = rowset_add(rs, key, len, hash);
	if (value) {
		r->value = rowset_alloc(row_value_class(bytes) ? row_value_class(bytes) : 16);
		memcpy(r->value, value, bytes);
		r->bytes = bytes;
		if (r->group)
			row_group_is_back(rs, r->group);
	}
	rowset_make_clean(rs, r);
	if (key[0] == PR_ROW_VOLUME && value) {
		struct pr_row_volume v;
		uint16_t volume;

		if (pr_row_volume_decode(&v, value, bytes) == 0 &&
		    pr_key_parse_volume(key, len, &volume) == 0)
			rowset_set_store_ino(rs, volume, v.next_ino);
	}
}

/* Joins every gap after `low` (NULL: the beginning), up to the one before `high` (NULL: the end). */
static void join_range(struct row_group *g, const struct pr_key *low, const struct pr_key *high)
{
	struct row_pos pos = {0, 0};

	if (low) {
		pos = row_group_lower(g, low->b, low->len);
		row_group_next(g, &pos);
	}
	for (;; row_group_next(g, &pos)) {
		struct row *r = row_group_at(g, pos);

		if (r && high && pr_key_cmp_bytes(r->key, r->key_len, high->b, high->len) > 0)
			return;
		if (r || !high)
			row_group_join(g, pos);
		if (!r)
			return;
	}
}

static bool is_key(const struct rowset_row *row, const struct pr_key *k)
{
	return row->key_len == k->len && memcmp(row->key, k->b, k->len) == 0;
}

/* The bound becomes a row of its own, so that what is known begins or ends there. */
static void install_range(struct rowset *rs, struct rowset_fetch *f, const struct rowset_row *rows,
			  uint32_t count, bool complete)
{
	bool from = f->kind == ROWSET_FETCH_FROM;
	struct pr_key bound = f->key;
	const struct pr_key *low = NULL;
	struct pr_key last;

	if (!from && !row_key_before(&bound, f->prefix_len))
		return;
	if (bound.len > f->prefix_len && !(count > 0 && is_key(&rows[0], &bound)))
		install(rs, bound.b, bound.len, NULL, 0);
	for (uint32_t i = 0; i < count; i++)
		install(rs, rows[i].key, rows[i].key_len, rows[i].value, rows[i].bytes);
	if (count == 0 && !complete)
		return;
	if (count > 0)
		pr_key_from_bytes(&last, rows[count - 1].key, rows[count - 1].key_len);
	if (from) {
		low = bound.len > f->prefix_len ? &bound : NULL;
		join_range(row_group_make(rs, bound.b, bound.len), low, complete ? NULL : &last);
	} else {
		struct row_group *g = row_group_make(rs, bound.b, bound.len);
		struct row_pos pos;
		struct row *r;

		low = complete ? NULL : &last;
		join_range(g, low, &bound);
		/* Nothing fits between the bound and the key it was made from: who walks down from that row must not ask again. */
		pos = row_group_lower(g, f->key.b, f->key.len);
		r = row_group_at(g, pos);
		if (r && pr_key_cmp_bytes(r->key, r->key_len, f->key.b, f->key.len) == 0)
			row_group_join(g, pos);
	}
}

void rowset_fetched(struct rowset *rs, uint64_t ticket, const struct rowset_row *rows,
		    uint32_t count, bool complete, void (*wake)(void *user, void *waiter),
		    void *user)
{
	uint32_t slot = ticket & 0xffff;
	struct rowset_fetch *f = slot < rs->fetch_cap ? rs->fetches[slot] : NULL;

	if (!f || f->ticket != ticket)
		return;
	if (f->flushes == rs->flushes) {
		if (f->kind != ROWSET_FETCH_ONE)
			install_range(rs, f, rows, count, complete);
		else if (count > 0)
			install(rs, rows[0].key, rows[0].key_len, rows[0].value, rows[0].bytes);
		else
			install(rs, f->key.b, f->key.len, NULL, 0);
	}
	for (uint32_t i = 0; i < f->waiter_count; i++)
		if (f->waiters[i])
			wake(user, f->waiters[i]);
	fetch_free(rs, f);
}
