/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where each batch lies: an array in LSN order, taken off at the front by truncation and at the
 * back by a cut. Of a fixed size: a batch takes at least a page, so there are never more batches
 * than pages.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "proto/hash.h"

enum {
	JR_MARK_DAMAGED = 1,
	JR_MARK_GAP = 2
}; /* GAP: a run of unreadable batches, hash and sizes unknown */

struct jr_where {
	uint64_t first_lsn;
	uint64_t epoch;
	uint64_t page;
	struct pr_hash hash;
	uint32_t pages; /* 0: of a gap that reaches to the next batch */
	uint32_t marks;
};
_Static_assert(sizeof(struct jr_where) == 48,
	       "the index is what the journal keeps in memory for each batch");

struct jr_index {
	struct jr_where *at;
	uint32_t capacity, head, count;
};

bool jr_index_init(struct jr_index *, uint32_t capacity);
void jr_index_done(struct jr_index *);
void jr_index_clear(struct jr_index *);
struct jr_where *jr_index_get(const struct jr_index *, uint32_t i);
struct jr_where *jr_index_push(struct jr_index *);
void jr_index_insert(struct jr_index *, uint32_t i, const struct jr_where *);
void jr_index_drop_front(struct jr_index *, uint32_t n);
void jr_index_keep(struct jr_index *, uint32_t count); /* drops what follows the first count */
/* The last batch that begins at or before lsn; -1: none. */
int64_t jr_index_find(const struct jr_index *, uint64_t lsn);
