/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rows in memory: one hash of all rows, reads, writes, the clock that evicts. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "controller/core/rowset_int.h"

void *rowset_alloc(size_t bytes)
{
	void *p = malloc(bytes);

	ASSERT_MEMORY(p);
	return p;
}

static uint32_t power_of_two(size_t n, uint32_t least, uint32_t most)
{
	uint32_t p = least;

	while (p < n && p < most)
		p *= 2;
	return p;
}

/* A large table is asked for in large pages: each access to it is to another one. */
static void *table_new(size_t bytes)
{
	size_t grain = 2 << 20;
	void *p;

	if (bytes < grain)
		return calloc(1, bytes);
	p = aligned_alloc(grain, bytes);
	if (!p)
		return NULL;
	madvise(p, bytes, MADV_HUGEPAGE);
	memset(p, 0, bytes);
	return p;
}

struct rowset *rowset_new(size_t cache_bytes, size_t overlay_bytes)
{
	struct rowset *rs = calloc(1, sizeof(*rs));
	uint32_t n = power_of_two((cache_bytes + overlay_bytes) / 128, 1024, 1u << 24);

	if (!rs)
		return NULL;
	rs->buckets = table_new(n * sizeof(*rs->buckets));
	rs->groups = table_new(n / 4 * sizeof(*rs->groups));
	if (!rs->buckets || !rs->groups) {
		rowset_free(rs);
		return NULL;
	}
	rs->mask = n - 1;
	rs->group_mask = n / 4 - 1;
	rs->cache_bytes = cache_bytes;
	rs->overlay_bytes = overlay_bytes;
	rs->gen = 2;
	rs->mark = 1;
	row_link_init(&rs->clean);
	row_link_init(&rs->idle_groups);
	rs->fetch_last = &rs->fetch_first;
	return rs;
}

static void free_all_rows(struct rowset *rs)
{
	for (uint32_t i = 0; rs->buckets && i <= rs->mask; i++) {
		struct row *r = rs->buckets[i], *next;

		for (; r; r = next) {
			next = r->chain;
			if (r->zombie)
				continue;
			free(r->value);
			free(r);
		}
		rs->buckets[i] = NULL;
	}
	for (uint32_t i = 0; rs->groups && i <= rs->group_mask; i++)
		while (rs->groups[i]) {
			rs->groups[i]->rows = 0;
			row_link_init(&rs->groups[i]->link);
			row_group_free(rs, rs->groups[i]);
		}
	row_link_init(&rs->clean);
	row_link_init(&rs->idle_groups);
	rs->idle_group_count = 0;
	rs->rows = 0;
	rs->clean_bytes = 0;
	rowset_live_is_empty(rs);
}

/* Rows of the flush in flight outlive the reset; what they were overwritten with does not. */
static void make_zombies(struct rowset *rs)
{
	for (size_t i = rs->cleaned; i < rs->frozen.count; i++) {
		struct flush_item *it = &rs->frozen.items[i];

		if (it->row->value != it->value)
			free(it->row->value);
		it->row->value = NULL;
		it->row->zombie = true;
	}
	rs->discard = true;
}

void rowset_reset(struct rowset *rs)
{
	if (rs->flush != FLUSH_NONE)
		make_zombies(rs);
	free_all_rows(rs);
	rs->gen += 2;
	rs->flushes++; /* whatever is being fetched is of the old store */
	rs->ino_count = 0;
}

void rowset_free(struct rowset *rs)
{
	if (!rs)
		return;
	if (rs->flush != FLUSH_NONE) {
		make_zombies(rs);
		for (size_t i = rs->cleaned; i < rs->frozen.count; i++) {
			free(rs->frozen.items[i].value);
		}
	}
	free_all_rows(rs);
	if (rs->flush != FLUSH_NONE)
		for (size_t i = rs->cleaned; i < rs->frozen.count; i++)
			free(rs->frozen.items[i].row);
	rowset_drop_flush(&rs->live);
	rowset_drop_flush(&rs->frozen);
	rowset_drop_fetches(rs);
	free(rs->buckets);
	free(rs->groups);
	free(rs->inos);
	free(rs);
}

/* ---- what the store cannot have ---- */

static struct store_ino *store_ino(struct rowset *rs, uint16_t volume)
{
	for (uint32_t i = 0; i < rs->ino_count; i++)
		if (rs->inos[i].volume == volume)
			return &rs->inos[i];
	return NULL;
}

static struct store_ino *store_ino_make(struct rowset *rs, uint16_t volume)
{
	struct store_ino *s = store_ino(rs, volume);

	if (s)
		return s;
	rs->inos = realloc(rs->inos, (rs->ino_count + 1) * sizeof(*rs->inos));
	ASSERT_MEMORY(rs->inos);
	s = &rs->inos[rs->ino_count++];
	*s = (struct store_ino){.volume = volume, .next_ino = UINT64_MAX};
	return s;
}

void rowset_set_store_ino(struct rowset *rs, uint16_t volume, uint64_t next_ino)
{
	store_ino_make(rs, volume)->next_ino = next_ino;
}

static uint64_t key_u64(const uint8_t *p)
{
	uint64_t v = 0;

	for (int i = 0; i < 8; i++)
		v = v << 8 | p[i];
	return v;
}

/* The volume and inode of a key that has one. */
static bool key_ino(const uint8_t *key, uint16_t len, uint16_t *volume, uint64_t *ino)
{
	if (len < 11 || key[0] < PR_ROW_INODE || key[0] > PR_ROW_MAP)
		return false;
	*volume = (uint16_t)(key[1] << 8 | key[2]);
	*ino = key_u64(key + 3);
	return true;
}

bool rowset_never_stored(struct rowset *rs, const uint8_t *key, uint16_t len)
{
	struct store_ino *s;
	uint16_t volume;
	uint64_t ino;

	if (!key_ino(key, len, &volume, &ino))
		return false;
	s = store_ino(rs, volume);
	return s && ino >= s->next_ino;
}

static void note_ino(struct rowset *rs, const uint8_t *key, uint16_t len)
{
	struct store_ino *s;
	uint16_t volume;
	uint64_t ino;

	if (!key_ino(key, len, &volume, &ino))
		return;
	s = store_ino_make(rs, volume);
	if (ino >= s->put_ino)
		s->put_ino = ino + 1;
}

static void store_has_no_volume(struct rowset *rs, const uint8_t *key, uint16_t len)
{
	uint16_t volume;

	if (pr_key_parse_volume(key, len, &volume) == 0 && !store_ino(rs, volume))
		rowset_set_store_ino(rs, volume, 0);
}

/* ---- the hash ---- */

struct row *rowset_find(struct rowset *rs, const uint8_t *key, uint16_t len, uint64_t hash)
{
	struct row *r = rs->buckets[hash & rs->mask];

	for (; r; r = r->chain)
		if (r->hash == (uint32_t)hash && r->key_len == len && memcmp(r->key, key, len) == 0)
			return r;
	return NULL;
}

void rowset_expect(struct rowset *rs, uint64_t hash)
{
	__builtin_prefetch(&rs->buckets[hash & rs->mask]);
}

void rowset_expect_row(struct rowset *rs, uint64_t hash)
{
	struct row *r = rs->buckets[hash & rs->mask];

	__builtin_prefetch(r);
}

struct row *rowset_add(struct rowset *rs, const uint8_t *key, uint16_t len, uint64_t hash)
{
	struct row *r = rowset_alloc(sizeof(*r) + len);
	struct row **bucket = &rs->buckets[hash & rs->mask];
	struct row_group *g;

	memset(r, 0, sizeof(*r));
	row_link_init(&r->link);
	r->hash = (uint32_t)hash;
	r->key_len = len;
	memcpy(r->key, key, len);
	r->chain = *bucket;
	*bucket = r;
	rs->rows++;
	g = row_group_make(rs, key, len);
	if (g)
		row_group_insert(rs, g, r);
	return r;
}

void rowset_unhash(struct rowset *rs, struct row *r)
{
	struct row **at = &rs->buckets[r->hash & rs->mask];

	while (*at != r)
		at = &(*at)->chain;
	*at = r->chain;
	rs->rows--;
}

void rowset_evict(struct rowset *rs, struct row *r)
{
	rs->clean_bytes -= row_bytes(r);
	row_link_del(&r->link);
	rowset_unhash(rs, r);
	if (r->group)
		row_group_remove(rs, r, r->value != NULL);
	free(r->value);
	free(r);
}

/* gen is 0 already, or the row is new. */
void rowset_make_clean(struct rowset *rs, struct row *r)
{
	r->gen = 0;
	row_link_add(&rs->clean, &r->link);
	rs->clean_bytes += row_bytes(r);
	rs->kept_passed = 0;
}

/* ---- reads ---- */

static void touch(const struct rowset *rs, struct row *r)
{
	if (r->referenced != rs->mark && (!r->referenced || r->referenced != rs->keep))
		r->referenced = rs->mark;
}

void rowset_keep(struct rowset *rs, bool on)
{
	if (on && !rs->keep) {
		rs->keep_last = rs->keep_last < UINT8_MAX ? rs->keep_last + 1 : 2;
		rs->keep_last = rs->keep_last < 2 ? 2 : rs->keep_last;
		rs->keep = rs->keep_last;
	}
	rs->mark = on ? rs->keep : 1;
}

void rowset_keep_end(struct rowset *rs)
{
	rs->keep = 0;
	rs->kept_passed = 0;
}

/* What is known of the gap before pos is lost with a row at either end of it: who is to keep what he read keeps these. */
static void touch_gap(const struct rowset *rs, struct row_group *g, struct row_pos pos)
{
	struct row *r = row_group_at(g, pos);

	if (rs->mark != rs->keep)
		return;
	if (r)
		touch(rs, r);
	if (row_group_prev(g, &pos))
		touch(rs, row_group_at(g, pos));
}

static enum rowset_answer found(const struct rowset *rs, struct row *r, struct pr_bytes *ret,
				uint64_t *saw)
{
	touch(rs, r);
	if (r->lsn > *saw)
		*saw = r->lsn;
	if (!r->value)
		return ROWSET_ABSENT;
	*ret = (struct pr_bytes){.p = r->value, .len = r->bytes};
	return ROWSET_FOUND;
}

static bool absence_is_known(struct rowset *rs, const uint8_t *key, uint16_t len, uint64_t hash)
{
	struct row_group *g;
	bool listed;

	if (rowset_never_stored(rs, key, len))
		return true;
	if (!row_group_len(key[0], &listed))
		return false;
	g = row_group_find(rs, key, len);
	if (!g)
		return false;
	if (listed) {
		struct row_pos pos = row_group_lower(g, key, len);

		touch_gap(rs, g, pos);
		return row_group_joined(g, pos);
	}
	return g->complete && !row_group_may_hold(g, hash);
}

enum rowset_answer rowset_get(struct rowset *rs, const uint8_t *key, uint16_t len, uint64_t hash,
			      struct pr_bytes *ret, uint64_t *saw)
{
	struct row *r = rowset_find(rs, key, len, hash);

	if (r)
		return found(rs, r, ret, saw);
	return absence_is_known(rs, key, len, hash) ? ROWSET_ABSENT : ROWSET_MISS;
}

static bool in_prefix(const struct row *r, const uint8_t *from, uint16_t prefix_len)
{
	return r->key_len >= prefix_len && memcmp(r->key, from, prefix_len) == 0;
}

static enum rowset_answer seek_found(const struct rowset *rs, struct row *r,
				     struct pr_bytes *ret_key, struct pr_bytes *ret)
{
	*ret_key = (struct pr_bytes){.p = r->key, .len = r->key_len};
	*ret = (struct pr_bytes){.p = r->value, .len = r->bytes};
	touch(rs, r);
	return ROWSET_FOUND;
}

static enum rowset_answer seek_up(const struct rowset *rs, struct row_group *g, const uint8_t *from,
				  uint16_t len, uint16_t prefix_len, rowset_skip_fn skip,
				  void *user, struct pr_bytes *ret_key, struct pr_bytes *ret,
				  uint64_t *saw, struct pr_bytes *ret_at)
{
	struct row_pos pos = row_group_lower(g, from, len);
	struct row *r = row_group_at(g, pos);
	bool first = true;

	for (;; row_group_next(g, &pos), r = row_group_at(g, pos), first = false) {
		bool exact = first && r && r->key_len == len && memcmp(r->key, from, len) == 0;

		if (!exact && !row_group_joined(g, pos))
			return ROWSET_MISS;
		touch_gap(rs, g, pos);
		if (!r || !in_prefix(r, from, prefix_len))
			return ROWSET_ABSENT;
		if (r->lsn > *saw)
			*saw = r->lsn;
		if (r->value && !(skip && skip(user, r->hash, r->key, r->key_len)))
			return seek_found(rs, r, ret_key, ret);
		*ret_at = (struct pr_bytes){.p = r->key, .len = r->key_len};
	}
}

/* Is the row before pos the last possible one before `from`? Then there is no gap to know about. */
static bool follows_closely(struct row_group *g, struct row_pos pos, const uint8_t *from,
			    uint16_t len)
{
	struct pr_key before;
	struct row *r;

	if (!row_group_prev(g, &pos) || pr_key_from_bytes(&before, from, len) ||
	    !row_key_before(&before, g->key_len))
		return false;
	r = row_group_at(g, pos);
	return r->key_len == before.len && memcmp(r->key, before.b, before.len) == 0;
}

static bool is_first(const uint8_t *from, uint16_t len, uint16_t prefix_len)
{
	for (uint16_t i = prefix_len; i < len; i++)
		if (from[i])
			return false;
	return true;
}

static enum rowset_answer seek_down(const struct rowset *rs, struct row_group *g,
				    const uint8_t *from, uint16_t len, uint16_t prefix_len,
				    rowset_skip_fn skip, void *user, struct pr_bytes *ret_key,
				    struct pr_bytes *ret, uint64_t *saw, struct pr_bytes *ret_at)
{
	struct row_pos pos = row_group_lower(g, from, len);
	bool near = follows_closely(g, pos, from, len);

	for (;;) {
		struct row *r;

		if (!near && !row_group_joined(g, pos))
			return ROWSET_MISS;
		touch_gap(rs, g, pos);
		if (!row_group_prev(g, &pos))
			return ROWSET_ABSENT;
		r = row_group_at(g, pos);
		if (!in_prefix(r, from, prefix_len))
			return ROWSET_ABSENT;
		if (r->lsn > *saw)
			*saw = r->lsn;
		if (r->value && !(skip && skip(user, r->hash, r->key, r->key_len)))
			return seek_found(rs, r, ret_key, ret);
		if (is_first(r->key, r->key_len, prefix_len))
			return ROWSET_ABSENT;
		*ret_at = (struct pr_bytes){.p = r->key, .len = r->key_len};
		near = follows_closely(g, pos, r->key, r->key_len);
	}
}

enum rowset_answer rowset_seek(struct rowset *rs, const uint8_t *from, uint16_t len,
			       uint16_t prefix_len, int dir, rowset_skip_fn skip, void *user,
			       struct pr_bytes *ret_key, struct pr_bytes *ret, uint64_t *saw,
			       struct pr_bytes *ret_at)
{
	bool listed = false;
	uint16_t group_len = row_group_len(from[0], &listed);
	struct row_group *g;

	ASSERT(listed && len >= group_len && prefix_len >= group_len);
	*ret_at = (struct pr_bytes){.p = from, .len = len};
	/* Nothing can stand before the first possible key; a fetch could teach no more than that. */
	if (dir < 0 && is_first(from, len, prefix_len))
		return ROWSET_ABSENT;
	g = row_group_find(rs, from, len);
	if (!g)
		return rowset_never_stored(rs, from, len) ? ROWSET_ABSENT : ROWSET_MISS;
	if (dir > 0)
		return seek_up(rs, g, from, len, prefix_len, skip, user, ret_key, ret, saw, ret_at);
	return seek_down(rs, g, from, len, prefix_len, skip, user, ret_key, ret, saw, ret_at);
}

/* ---- writes ---- */

static void set_value(struct row *r, const uint8_t *value, uint32_t bytes)
{
	r->value = NULL;
	r->bytes = bytes;
	if (!value)
		return;
	r->value = rowset_alloc(row_value_class(bytes) ? row_value_class(bytes) : 16);
	memcpy(r->value, value, bytes);
}

static void overwrite(struct rowset *rs, struct row *r, const uint8_t *value, uint32_t bytes)
{
	struct flush_item *it = &rs->live.items[r->at];

	rs->live_bytes -= row_bytes(r);
	if (value && r->value && row_value_class(bytes) == row_value_class(r->bytes)) {
		memcpy(r->value, value, bytes);
		r->bytes = bytes;
	} else {
		free(r->value);
		set_value(r, value, bytes);
	}
	it->value = r->value;
	it->bytes = r->bytes;
	rs->live_bytes += row_bytes(r);
}

void rowset_put(struct rowset *rs, const uint8_t *key, uint16_t len, uint64_t hash,
		const uint8_t *value, uint32_t bytes, uint64_t lsn)
{
	struct row *r = rowset_find(rs, key, len, hash);

	if (!value)
		bytes = 0;
	if (!r) {
		if (value && key[0] == PR_ROW_VOLUME && absence_is_known(rs, key, len, hash))
			store_has_no_volume(rs, key, len);
		r = rowset_add(rs, key, len, hash);
		note_ino(rs, key, len);
	} else if (r->gen == rs->gen) {
		overwrite(rs, r, value, bytes);
		r->lsn = lsn;
		return;
	} else if (r->gen == 0) {
		rs->clean_bytes -= row_bytes(r);
		row_link_del(&r->link);
		free(r->value);
	}
	/* else the flush in flight owns the old value */
	set_value(r, value, bytes);
	r->lsn = lsn;
	rowset_mark_dirty(rs, r);
}

void rowset_shift(struct rowset *rs, const uint8_t *key, uint16_t len, uint64_t lsn)
{
	struct row *r = rowset_find(rs, key, len, rowset_hash(key, len));

	if (r)
		r->lsn = lsn;
}

void rowset_known_empty(struct rowset *rs, const uint8_t *prefix, uint16_t len)
{
	bool listed;
	struct row_group *g;

	if (row_group_len(prefix[0], &listed) != len)
		return;
	g = row_group_make(rs, prefix, len);
	if (!listed) {
		row_group_is_complete(g);
		return;
	}
	for (struct row_pos pos = {0, 0}; row_group_at(g, pos); row_group_next(g, &pos))
		row_group_join(g, pos);
	g->joined = true;
}

/* ---- facts ---- */

size_t rowset_dirty_bytes(const struct rowset *rs)
{
	return rs->live_bytes + rs->frozen_bytes + rs->frozen_page_bytes;
}

size_t rowset_live_bytes(const struct rowset *rs)
{
	return rs->live_bytes;
}

size_t rowset_clean_bytes(const struct rowset *rs)
{
	return rs->clean_bytes;
}

size_t rowset_row_count(const struct rowset *rs)
{
	return rs->rows;
}

/* ---- checks ---- */

static void check_group(struct rowset *rs, struct row_group *g)
{
	struct row *last = NULL;
	uint32_t n = 0;

	if (!g->listed)
		return;
	for (struct row_pos pos = {0, 0}; row_group_at(g, pos); row_group_next(g, &pos)) {
		struct row *r = row_group_at(g, pos);

		ASSERT(r->group == g);
		ASSERT(rowset_find(rs, r->key, r->key_len, rowset_hash(r->key, r->key_len)) == r);
		ASSERT(!last || pr_key_cmp_bytes(last->key, last->key_len, r->key, r->key_len) < 0);
		last = r;
		n++;
	}
	ASSERT(n == g->rows);
}

void rowset_check(struct rowset *rs)
{
	size_t n = 0, clean = 0, live = 0;

	for (uint32_t i = 0; i <= rs->mask; i++)
		for (struct row *r = rs->buckets[i]; r; r = r->chain) {
			n++;
			if (r->gen == 0)
				clean += row_bytes(r);
			if (r->gen == rs->gen) {
				live += row_bytes(r);
				ASSERT(rs->live.items[r->at].row == r);
				ASSERT(rs->live.items[r->at].value == r->value);
			}
		}
	ASSERT(n == rs->rows);
	ASSERT(clean == rs->clean_bytes);
	ASSERT(live + rs->live_page_bytes == rs->live_bytes);
	for (uint32_t i = 0; i <= rs->group_mask; i++)
		for (struct row_group *g = rs->groups[i]; g; g = g->chain)
			check_group(rs, g);
}
