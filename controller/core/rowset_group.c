/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Groups of rows: the order of a listed group, which gaps of it are known, and what is known of the
 * names of a directory. A listed group is an array of leaves of sorted row pointers: appending, which
 * is what new entries and extents do, costs one comparison.
 */
#include <stdlib.h>
#include <string.h>
#include "controller/core/rowset_int.h"

uint16_t row_group_len(uint8_t table, bool *ret_listed)
{
	*ret_listed = true;
	switch (table) {
	case PR_ROW_ENTRY:
	case PR_ROW_XATTR:
	case PR_ROW_MAP:
		return 11;
	case PR_ROW_ORPHAN:
	case PR_ROW_SPACE:
	case PR_ROW_REST:
	case PR_ROW_VLUN:
		return 3;
	case PR_ROW_SESSION:
	case PR_ROW_VOLUME:
		return 1;
	case PR_ROW_NAME:
		*ret_listed = false;
		return 11;
	default:
		*ret_listed = false;
		return 0;
	}
}

uint16_t rowset_group_len(uint8_t table)
{
	bool listed;
	uint16_t len = row_group_len(table, &listed);

	return listed ? len : 0;
}

bool row_key_before(struct pr_key *k, uint16_t prefix_len)
{
	for (uint16_t i = k->len; i > prefix_len; i--)
		if (k->b[i - 1]-- != 0)
			return true;
	return false;
}

static uint32_t group_hash(const uint8_t *key, uint16_t len)
{
	return (uint32_t)(pr_hash64(key, len, 1) >> 16);
}

static struct row_group **recent(struct rowset *rs, const uint8_t *key)
{
	return &rs->recent_groups[key[0] % ROW_RECENT_GROUPS];
}

static bool is_group(const struct row_group *g, const uint8_t *key, uint16_t len)
{
	return g->key_len == len && memcmp(g->key, key, len) == 0;
}

static struct row_group *find(struct rowset *rs, const uint8_t *key, uint16_t len, uint32_t hash)
{
	struct row_group *g = rs->groups[hash & rs->group_mask];

	for (; g; g = g->chain)
		if (g->hash == hash && is_group(g, key, len))
			return *recent(rs, key) = g;
	return NULL;
}

struct row_group *row_group_find(struct rowset *rs, const uint8_t *key, uint16_t len)
{
	bool listed;
	uint16_t n = row_group_len(key[0], &listed);

	if (n == 0 || len < n)
		return NULL;
	if (*recent(rs, key) && is_group(*recent(rs, key), key, n))
		return *recent(rs, key);
	return find(rs, key, n, group_hash(key, n));
}

struct row_group *row_group_make(struct rowset *rs, const uint8_t *key, uint16_t len)
{
	bool listed;
	uint16_t n = row_group_len(key[0], &listed);
	struct row_group *g;
	uint32_t hash;

	if (n == 0)
		return NULL;
	ASSERT(len >= n);
	if (*recent(rs, key) && is_group(*recent(rs, key), key, n))
		return *recent(rs, key);
	hash = group_hash(key, n);
	g = find(rs, key, n, hash);
	if (g)
		return g;
	g = rowset_alloc(sizeof(*g));
	memset(g, 0, sizeof(*g));
	g->hash = hash;
	g->listed = listed;
	g->key_len = (uint8_t)n;
	memcpy(g->key, key, n);
	g->complete = g->joined = rowset_never_stored(rs, key, len);
	g->chain = rs->groups[hash & rs->group_mask];
	rs->groups[hash & rs->group_mask] = g;
	row_link_add(&rs->idle_groups, &g->link);
	rs->idle_group_count++;
	return g;
}

static void drop_filters(struct rowset *rs, struct row_group *g)
{
	while (g->filter) {
		struct row_filter *f = g->filter;

		g->filter = f->older;
		rs->filter_bytes -= sizeof(*f) + f->words * 8ul;
		free(f);
	}
}

void row_group_free(struct rowset *rs, struct row_group *g)
{
	struct row_group **at = &rs->groups[g->hash & rs->group_mask];

	ASSERT(g->rows == 0);
	if (*recent(rs, g->key) == g)
		*recent(rs, g->key) = NULL;
	while (*at != g)
		at = &(*at)->chain;
	*at = g->chain;
	row_link_del(&g->link);
	drop_filters(rs, g);
	for (uint32_t i = 0; i < g->leaf_count; i++)
		free(g->leaves[i]);
	free(g->leaves);
	free(g);
}

void row_group_trim_idle(struct rowset *rs)
{
	while (rs->idle_group_count > ROW_IDLE_GROUPS_MAX) {
		row_group_free(rs, group_of_link(rs->idle_groups.next));
		rs->idle_group_count--;
	}
}

/* ---- positions ---- */

struct row *row_group_at(const struct row_group *g, struct row_pos pos)
{
	return pos.leaf < g->leaf_count ? g->leaves[pos.leaf]->rows[pos.at] : NULL;
}

bool row_group_next(const struct row_group *g, struct row_pos *pos)
{
	if (pos->leaf >= g->leaf_count)
		return false;
	if (++pos->at == g->leaves[pos->leaf]->count) {
		pos->leaf++;
		pos->at = 0;
	}
	return pos->leaf < g->leaf_count;
}

bool row_group_prev(const struct row_group *g, struct row_pos *pos)
{
	if (pos->at > 0) {
		pos->at--;
		return true;
	}
	if (pos->leaf == 0)
		return false;
	pos->leaf--;
	pos->at = g->leaves[pos->leaf]->count - 1u;
	return true;
}

static int key_cmp(const struct row *r, const uint8_t *key, uint16_t len)
{
	return pr_key_cmp_bytes(r->key, r->key_len, key, len);
}

static struct row *last_row(const struct row_group *g)
{
	struct row_leaf *leaf;

	if (g->leaf_count == 0)
		return NULL;
	leaf = g->leaves[g->leaf_count - 1];
	return leaf->rows[leaf->count - 1];
}

struct row_pos row_group_lower(const struct row_group *g, const uint8_t *key, uint16_t len)
{
	struct row *last = last_row(g);
	uint32_t lo = 0, hi = g->leaf_count;
	struct row_leaf *leaf;
	struct row_pos pos;

	if (!last || key_cmp(last, key, len) < 0)
		return (struct row_pos){g->leaf_count, 0};
	/* the first leaf whose last row is not below key */
	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;

		leaf = g->leaves[mid];
		if (key_cmp(leaf->rows[leaf->count - 1], key, len) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	pos.leaf = lo;
	leaf = g->leaves[lo];
	lo = 0;
	hi = leaf->count;
	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;

		if (key_cmp(leaf->rows[mid], key, len) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	pos.at = lo;
	return pos;
}

bool row_group_joined(const struct row_group *g, struct row_pos pos)
{
	struct row *r = row_group_at(g, pos);

	return r ? r->joined : g->joined;
}

void row_group_join(struct row_group *g, struct row_pos pos)
{
	struct row *r = row_group_at(g, pos);

	if (r)
		r->joined = true;
	else
		g->joined = true;
}

/* ---- leaves ---- */

static struct row_leaf *leaf_resize(struct row_leaf *leaf, uint16_t cap)
{
	bool fresh = !leaf;

	leaf = realloc(leaf, sizeof(*leaf) + cap * sizeof(leaf->rows[0]));
	ASSERT_MEMORY(leaf);
	leaf->cap = cap;
	if (fresh)
		leaf->count = 0;
	return leaf;
}

static void leaf_open(struct row_group *g, uint32_t at, uint16_t cap)
{
	if (g->leaf_count == g->leaf_cap) {
		g->leaf_cap = g->leaf_cap ? g->leaf_cap * 2 : 1;
		g->leaves = realloc(g->leaves, g->leaf_cap * sizeof(g->leaves[0]));
		ASSERT_MEMORY(g->leaves);
	}
	memmove(&g->leaves[at + 1], &g->leaves[at], (g->leaf_count - at) * sizeof(g->leaves[0]));
	g->leaves[at] = leaf_resize(NULL, cap);
	g->leaf_count++;
}

static void leaf_split(struct row_group *g, uint32_t at)
{
	struct row_leaf *left, *right;
	uint16_t half = ROW_LEAF_MAX / 2;

	leaf_open(g, at + 1, ROW_LEAF_MAX);
	left = g->leaves[at];
	right = g->leaves[at + 1];
	right->count = left->count - half;
	memcpy(right->rows, &left->rows[half], right->count * sizeof(left->rows[0]));
	left->count = half;
}

static void leaf_put(struct row_group *g, struct row_pos pos, struct row *r)
{
	struct row_leaf *leaf = g->leaves[pos.leaf];

	if (leaf->count == leaf->cap)
		leaf = g->leaves[pos.leaf] = leaf_resize(leaf, leaf->cap * 2);
	memmove(&leaf->rows[pos.at + 1], &leaf->rows[pos.at],
		(leaf->count - pos.at) * sizeof(leaf->rows[0]));
	leaf->rows[pos.at] = r;
	leaf->count++;
}

static void append(struct row_group *g, struct row *r)
{
	struct row_pos pos;

	if (g->leaf_count == 0)
		leaf_open(g, 0, 2);
	else if (g->leaves[g->leaf_count - 1]->count == ROW_LEAF_MAX)
		leaf_open(g, g->leaf_count, ROW_LEAF_MAX);
	pos.leaf = g->leaf_count - 1;
	pos.at = g->leaves[pos.leaf]->count;
	leaf_put(g, pos, r);
}

static void insert_at(struct row_group *g, struct row_pos pos, struct row *r)
{
	if (g->leaves[pos.leaf]->count == ROW_LEAF_MAX) {
		leaf_split(g, pos.leaf);
		if (pos.at > g->leaves[pos.leaf]->count) {
			pos.at -= g->leaves[pos.leaf]->count;
			pos.leaf++;
		}
	}
	leaf_put(g, pos, r);
}

void row_group_insert(struct rowset *rs, struct row_group *g, struct row *r)
{
	r->group = g;
	if (g->rows++ == 0) {
		row_link_del(&g->link);
		rs->idle_group_count--;
	}
	if (g->listed) {
		struct row_pos pos = row_group_lower(g, r->key, r->key_len);

		r->joined = row_group_joined(g, pos);
		if (pos.leaf == g->leaf_count)
			append(g, r);
		else
			insert_at(g, pos, r);
	}
}

static void leaf_take(struct row_group *g, struct row_pos pos)
{
	struct row_leaf *leaf = g->leaves[pos.leaf];

	leaf->count--;
	memmove(&leaf->rows[pos.at], &leaf->rows[pos.at + 1],
		(leaf->count - pos.at) * sizeof(leaf->rows[0]));
	if (leaf->count > 0)
		return;
	free(leaf);
	g->leaf_count--;
	memmove(&g->leaves[pos.leaf], &g->leaves[pos.leaf + 1],
		(g->leaf_count - pos.leaf) * sizeof(g->leaves[0]));
}

/* What is evicted came first, as a rule. */
static struct row_pos place_of(const struct row_group *g, const struct row *r)
{
	if (g->leaves[0]->rows[0] == r)
		return (struct row_pos){0, 0};
	return row_group_lower(g, r->key, r->key_len);
}

static void unjoin(struct row_group *g, struct row *r, bool stored)
{
	struct row_pos pos = place_of(g, r), after = pos;
	struct row *next;

	ASSERT(row_group_at(g, pos) == r);
	row_group_next(g, &after);
	next = row_group_at(g, after);
	if (stored || !r->joined) {
		if (next)
			next->joined = false;
		else
			g->joined = false;
	}
	leaf_take(g, pos);
}

/* ---- filters ---- */

static bool filter_has(const struct row_filter *f, uint64_t hash)
{
	uint64_t bits = f->words * 64ull - 1;
	uint64_t step = hash >> 32 | 1;

	for (int i = 0; i < 4; i++, hash += step)
		if (!(f->bits[(hash & bits) / 64] >> (hash & 63) & 1))
			return false;
	return true;
}

static void filter_add(struct row_filter *f, uint64_t hash)
{
	uint64_t bits = f->words * 64ull - 1;
	uint64_t step = hash >> 32 | 1;

	for (int i = 0; i < 4; i++, hash += step)
		f->bits[(hash & bits) / 64] |= 1ull << (hash & 63);
	f->count++;
}

bool row_group_may_hold(const struct row_group *g, uint64_t hash)
{
	for (const struct row_filter *f = g->filter; f; f = f->older)
		if (filter_has(f, hash))
			return true;
	return false;
}

/* 16 bits for each name, four probes: one answer in 400 costs a fetch for nothing. */
static bool filter_grow(struct rowset *rs, struct row_group *g)
{
	uint32_t words = g->filter ? g->filter->words * 4 : 64;
	struct row_filter *f;

	if (rs->filter_bytes + words * 8ul > rs->cache_bytes / 8 || words > 1u << 24)
		return false;
	f = calloc(1, sizeof(*f) + words * 8ul);
	if (!f)
		return false;
	f->words = words;
	f->capacity = words * 4;
	f->older = g->filter;
	g->filter = f;
	rs->filter_bytes += sizeof(*f) + words * 8ul;
	return true;
}

static void remember_evicted(struct rowset *rs, struct row_group *g, struct row *r)
{
	uint64_t hash = rowset_hash(r->key, r->key_len);

	g->evicted++;
	if (row_group_may_hold(g, hash))
		return;
	if ((!g->filter || g->filter->count == g->filter->capacity) && !filter_grow(rs, g)) {
		g->complete = false;
		drop_filters(rs, g);
		return;
	}
	filter_add(g->filter, hash);
}

void row_group_is_complete(struct row_group *g)
{
	if (!g->complete)
		g->evicted = 0;
	g->complete = true;
}

/*
 * Names that were evicted and removed since stay in the filter until memory holds all that is left: a directory emptied and filled
 * again is asked for nothing. A row that was put without being read is not known to be back, so the count may be too high.
 */
void row_group_is_back(struct rowset *rs, struct row_group *g)
{
	if (g->listed || !g->complete)
		return;
	ASSERT(g->evicted > 0);
	if (--g->evicted == 0)
		drop_filters(rs, g);
}

bool row_group_knows_absent(const struct row_group *g, const struct row *r)
{
	struct row_pos pos;

	if (!g->listed)
		return g->complete && !row_group_may_hold(g, rowset_hash(r->key, r->key_len));
	if (!r->joined)
		return false;
	pos = row_group_lower(g, r->key, r->key_len);
	row_group_next(g, &pos);
	return row_group_joined(g, pos);
}

void row_group_remove(struct rowset *rs, struct row *r, bool stored)
{
	struct row_group *g = r->group;

	if (g->listed)
		unjoin(g, r, stored);
	else if (stored && g->complete)
		remember_evicted(rs, g, r);
	r->group = NULL;
	if (--g->rows == 0) {
		row_link_add(&rs->idle_groups, &g->link);
		rs->idle_group_count++;
		if (!g->complete && !g->joined) {
			row_group_free(rs, g);
			rs->idle_group_count--;
		}
	}
}
