/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The insides of the rows in memory, shared by rowset*.c only. */
#pragma once
#include "controller/core/rowset.h"

enum {
	ROW_LEAF_MAX = 128,	/* rows of a full leaf */
	ROW_GROUP_KEY_MAX = 11, /* table, volume, inode */
	ROW_IDLE_GROUPS_MAX = 16384,
	ROW_RECENT_GROUPS = 32,
	ROW_PAGE_WORDS = 1024,
	ROW_PAGE_BYTES = 3072, /* of a page of the store, on average */
};

struct row_link {
	struct row_link *prev, *next;
};

/* What a walk along a chain reads stands first: one line of the processor's cache for each row passed. */
struct row {
	struct row *chain;
	uint32_t hash; /* the low half of the key's: its bucket, and which of the chain */
	uint16_t key_len;
	bool joined;	    /* the store has nothing between this row and the one before it */
	uint8_t referenced; /* read since the hand of the clock came by; or by whom it is kept */
	uint8_t *value;	    /* NULL: known absent. While frozen it belongs to the flush */
	uint64_t lsn;	    /* of the last change; 0: from the store */
	uint32_t bytes;	    /* of value */
	uint32_t gen;	    /* 0: clean; else the dirty set it is in */
	struct row_group *group; /* NULL: of a table without groups */
	struct row_link link;	 /* in the list of clean rows, while clean */
	uint32_t at;		 /* its place in the live dirty set */
	bool zombie;		 /* forgotten by a reset, kept for the flush in flight */
	uint8_t key[];
};

struct row_leaf {
	uint16_t count, cap;
	struct row *rows[];
};

/* What was evicted of a complete group: Bloom filters, each four times as large as the one before. */
struct row_filter {
	struct row_filter *older;
	uint32_t count, capacity;
	uint32_t words; /* power of two */
	uint64_t bits[];
};

struct row_group {
	struct row_link link; /* in the list of idle groups, while it has no rows */
	struct row_group *chain;
	uint32_t hash;
	uint32_t rows;
	uint64_t evicted; /* while complete: rows of the store that are not in memory, or more */
	bool listed;
	bool complete; /* not listed: every row of the store is in memory or in the filter */
	bool joined;   /* listed: the store has nothing after the last row */
	uint8_t key_len;
	uint8_t key[ROW_GROUP_KEY_MAX];
	struct row_leaf **leaves;
	uint32_t leaf_count, leaf_cap;
	struct row_filter *filter;
};

struct row_pos {
	uint32_t leaf, at;
};

struct flush_item {
	struct row *row;
	uint8_t *value;
	uint32_t bytes;
};

/* An item in the order of keys: by the key's first bytes, as numbers, so that few comparisons need the row. */
struct flush_order {
	uint64_t ino, rest; /* bytes 3 to 10, and 11 to 18 */
	uint32_t table;	    /* and the volume: bytes 0 to 2 */
	uint32_t item;
};

struct ctl_flush {
	struct flush_item *items;
	size_t count, cap;
	struct flush_order *order; /* NULL: not sorted. The store's thread makes it */
};

struct store_ino {
	uint16_t volume;
	uint64_t next_ino,
		put_ino; /* the store has none at or above; highest put in memory, plus one */
};

struct rowset {
	struct row **buckets;
	uint32_t mask;
	struct row_group **groups;
	uint32_t group_mask;
	struct row_group *recent_groups[ROW_RECENT_GROUPS]; /* found last, by table */
	size_t rows;
	struct row_link clean;	     /* oldest first */
	struct row_link idle_groups; /* oldest first */
	uint32_t idle_group_count;
	uint8_t mark; /* of what is read now: 1, or keep */
	uint8_t keep; /* rows with this mark are not evicted; 0: none are */
	uint8_t keep_last;
	size_t kept_passed; /* kept rows that the hand of the clock passed, and no other since */

	size_t cache_bytes, overlay_bytes;
	size_t clean_bytes, live_bytes, frozen_bytes, filter_bytes;
	size_t live_page_bytes;	  /* the part of live_bytes that stands for pages of the store */
	size_t frozen_page_bytes; /* not in frozen_bytes */
	uint64_t pages[ROW_PAGE_WORDS]; /* neighbourhoods in the live set, by hash */

	uint32_t gen; /* of the live set; the frozen one is gen - 1 */
	struct ctl_flush live, frozen;
	enum { FLUSH_NONE, FLUSH_OUT, FLUSH_CLEANING } flush;
	size_t cleaned;
	bool discard; /* the flush in flight is of rows before a reset */
	uint32_t flushes;

	struct rowset_fetch **fetches; /* by slot; the low 16 bits of a ticket */
	uint32_t fetch_cap, fetch_count;
	uint64_t fetch_number;
	struct rowset_fetch *fetch_buckets[1024];
	struct rowset_fetch *fetch_first, **fetch_last; /* not yet handed to the edge */

	struct store_ino *inos;
	uint32_t ino_count;
};

static inline struct row *row_of_link(const struct row_link *l)
{
	return (struct row *)((uintptr_t)l - offsetof(struct row, link));
}

static inline struct row_group *group_of_link(struct row_link *l)
{
	return (struct row_group *)((char *)l - offsetof(struct row_group, link));
}

static inline void row_link_init(struct row_link *l)
{
	l->prev = l->next = l;
}

static inline void row_link_add(struct row_link *head, struct row_link *l)
{
	l->prev = head->prev;
	l->next = head;
	head->prev->next = l;
	head->prev = l;
}

static inline void row_link_del(struct row_link *l)
{
	l->prev->next = l->next;
	l->next->prev = l->prev;
	row_link_init(l);
}

/* Memory a value takes; one of the same class is overwritten in place. */
static inline uint32_t row_value_class(uint32_t bytes)
{
	return (bytes + 15) & ~15u;
}

static inline size_t row_cost(uint16_t key_len, uint32_t bytes, bool value)
{
	return sizeof(struct row) + key_len + 16 + (value ? row_value_class(bytes) + 16 : 0);
}

static inline size_t row_bytes(const struct row *r)
{
	return row_cost(r->key_len, r->bytes, r->value != NULL);
}

/* ---- rowset.c ---- */
struct row *rowset_find(struct rowset *, const uint8_t *key, uint16_t len, uint64_t hash);
struct row *rowset_add(struct rowset *, const uint8_t *key, uint16_t len, uint64_t hash);
void rowset_unhash(struct rowset *, struct row *);
/* A clean row leaves memory. */
void rowset_evict(struct rowset *, struct row *);
void rowset_make_clean(struct rowset *, struct row *);
bool rowset_never_stored(struct rowset *, const uint8_t *key, uint16_t len);
void *rowset_alloc(size_t bytes);

/* ---- rowset_group.c ---- */
/* Turns a key into the last one before it of the same length; false: that would leave the prefix. */
bool row_key_before(struct pr_key *, uint16_t prefix_len);
uint16_t row_group_len(uint8_t table, bool *ret_listed); /* 0: no groups */
struct row_group *row_group_find(struct rowset *, const uint8_t *key, uint16_t len);
struct row_group *row_group_make(struct rowset *, const uint8_t *key, uint16_t len);
void row_group_free(struct rowset *, struct row_group *);
void row_group_insert(struct rowset *, struct row_group *, struct row *);
/* stored: the store has this row, so that something is unknown from now on. */
void row_group_remove(struct rowset *, struct row *, bool stored);
/* A row of the store is in memory again. */
void row_group_is_back(struct rowset *, struct row_group *);
/* The store has no row of it. */
void row_group_is_complete(struct row_group *);
struct row_pos row_group_lower(const struct row_group *, const uint8_t *key, uint16_t len);
struct row *row_group_at(const struct row_group *, struct row_pos);
bool row_group_next(const struct row_group *, struct row_pos *);
bool row_group_prev(const struct row_group *, struct row_pos *);
/* Is the gap before this position joined? The end counts. */
bool row_group_joined(const struct row_group *, struct row_pos);
void row_group_join(struct row_group *, struct row_pos);
bool row_group_may_hold(const struct row_group *, uint64_t hash);
/* Is this row's absence certain without the row? */
bool row_group_knows_absent(const struct row_group *, const struct row *);
void row_group_trim_idle(struct rowset *);

/* ---- rowset_fetch.c, rowset_flush.c ---- */
void rowset_drop_fetches(struct rowset *);
void rowset_drop_flush(struct ctl_flush *);
void rowset_mark_dirty(struct rowset *, struct row *);
void rowset_live_is_empty(struct rowset *);
