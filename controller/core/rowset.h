/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The rows in memory: what changed since the last flush (the overlay) and a bounded cache of what the store holds. Owns the order of
 * a flush: freeze at a batch boundary, keep the frozen values until the store has them. Knows which absences are certain. Never
 * calls the store: what is missing becomes a fetch for the edge.
 *
 * Groups. Rows are listed within a group: those that share the table's group prefix. In a group of a listed table each row knows
 * whether the gap before it is `joined`: that the store has no row there which is not in memory. A row evicted unjoins the gap it
 * leaves behind. The names of a directory are a group too, without order: it only knows whether it is complete, with a filter
 * of what was evicted.
 *
 * A fetch that was asked before a flush ended is thrown away: it may be older than what was evicted since.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "proto/pr.h"

struct rowset;
struct ctl_flush;

enum rowset_answer { ROWSET_FOUND, ROWSET_ABSENT, ROWSET_MISS };
enum rowset_fetch_kind { ROWSET_FETCH_ONE, ROWSET_FETCH_FROM, ROWSET_FETCH_BEFORE };

/* entry, xattr, map: table, volume, inode; orphan, space, rest, vlun: table, volume; session, volume: table. 0: not listed. */
uint16_t rowset_group_len(uint8_t table);

struct rowset *rowset_new(size_t cache_bytes, size_t overlay_bytes); /* NULL: no memory */
void rowset_free(struct rowset *);
/* Forget everything: the store was replaced. A flush in flight still has to be ended. */
void rowset_reset(struct rowset *);

/* Key hash to be passed along. */
static inline uint64_t rowset_hash(const uint8_t *key, uint16_t len)
{
	return pr_hash64(key, len, 0);
}

/* What is read or put soon is brought near: the bucket, then, once that is there, the first row in it. */
void rowset_expect(struct rowset *, uint64_t hash);
void rowset_expect_row(struct rowset *, uint64_t hash);

/* *saw grows to the LSN of what was read. Values stay valid until the next put of that key or rowset_trim. */
enum rowset_answer rowset_get(struct rowset *, const uint8_t *key, uint16_t len, uint64_t hash,
			      struct pr_bytes *ret, uint64_t *saw);
/* MISS: *ret_at is where the unknown begins, to be fetched FROM or BEFORE. skip says that a row counts as deleted. */
typedef bool (*rowset_skip_fn)(void *user, uint32_t tag, const uint8_t *key, uint16_t len);
enum rowset_answer rowset_seek(struct rowset *, const uint8_t *from, uint16_t len,
			       uint16_t prefix_len, int dir, rowset_skip_fn skip, void *user,
			       struct pr_bytes *ret_key, struct pr_bytes *ret, uint64_t *saw,
			       struct pr_bytes *ret_at);
/*
 * What is read between on and off is not evicted, however small the cache, until rowset_keep_end: for one operation at a time that needs
 * more rows at once than the cache holds, or than others leave it.
 */
void rowset_keep(struct rowset *, bool on);
void rowset_keep_end(struct rowset *);
/* value NULL: delete. Copies. */
void rowset_put(struct rowset *, const uint8_t *key, uint16_t len, uint64_t hash,
		const uint8_t *value, uint32_t bytes, uint64_t lsn);
/* A row whose LSN was `from` or more in the open batch is moved by delta. */
void rowset_shift(struct rowset *, const uint8_t *key, uint16_t len, uint64_t lsn);
void rowset_known_empty(struct rowset *, const uint8_t *prefix, uint16_t len);

/* ---- fetches ---- */
struct rowset_fetch {
	struct rowset_fetch *chain, *next;
	uint64_t ticket;
	enum rowset_fetch_kind kind;
	uint16_t prefix_len;
	uint32_t rows_max;
	uint32_t flushes; /* how many had ended when it was asked */
	void **waiters;
	uint32_t waiter_count, waiter_cap;
	struct pr_key key;
};
/* Ask for it, or join who asked already. */
void rowset_want(struct rowset *, enum rowset_fetch_kind, const uint8_t *key, uint16_t len,
		 void *waiter);
/* A waiter that ended: it is woken no more. */
void rowset_forget_waiter(struct rowset *, void *waiter);
/* Fetches not yet handed to the edge, one by one; NULL: none. Owned by the rowset until rowset_fetched. */
const struct rowset_fetch *rowset_next_fetch(struct rowset *);
struct rowset_row {
	const uint8_t *key;
	uint16_t key_len;
	const uint8_t *value;
	uint32_t bytes;
};
/* The store's answer. complete: no further row has the fetch's prefix in its direction. Each waiter is told by wake. */
void rowset_fetched(struct rowset *, uint64_t ticket, const struct rowset_row *, uint32_t count,
		    bool complete, void (*wake)(void *user, void *waiter), void *user);

/* ---- flush ---- */
/* Both with what their flush takes: pages of the store, which are many where rows lie far apart. */
size_t rowset_dirty_bytes(const struct rowset *); /* live and frozen */
size_t rowset_live_bytes(const struct rowset *);  /* not yet frozen */
size_t rowset_clean_bytes(const struct rowset *);
size_t rowset_row_count(const struct rowset *);
bool rowset_can_freeze(
	const struct rowset *); /* no flush is under way; there may be nothing to freeze */
struct ctl_flush *rowset_freeze(struct rowset *);
/* The store has it. Rows become clean bit by bit, by rowset_work. */
void rowset_flushed(struct rowset *);
/* Bounded housekeeping: rows of an ended flush, eviction. true: more to do. */
bool rowset_work(struct rowset *, uint32_t steps);
bool rowset_has_work(const struct rowset *);

/* Inode numbers at or above this were never in the store: learned from volume rows at freeze. */
void rowset_set_store_ino(struct rowset *, uint16_t volume, uint64_t next_ino);

/* Checks every link and count; aborts when wrong. For tests and the simulator. */
void rowset_check(struct rowset *);
