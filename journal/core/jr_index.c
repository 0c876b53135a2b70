/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The index of batches: a ring buffer in LSN order. */
#include <stdlib.h>

#include "journal/core/jr_index.h"
#include "proto/assert.h"

bool jr_index_init(struct jr_index *x, uint32_t capacity)
{
	*x = (struct jr_index){.at = calloc(capacity, sizeof(*x->at)), .capacity = capacity};
	return x->at != NULL;
}

void jr_index_done(struct jr_index *x)
{
	free(x->at);
	*x = (struct jr_index){0};
}

void jr_index_clear(struct jr_index *x)
{
	x->head = 0;
	x->count = 0;
}

struct jr_where *jr_index_get(const struct jr_index *x, uint32_t i)
{
	uint64_t at = (uint64_t)x->head + i;

	ASSERT(i < x->count);
	return &x->at[at < x->capacity ? at : at - x->capacity];
}

struct jr_where *jr_index_push(struct jr_index *x)
{
	ASSERT(x->count < x->capacity);
	x->count++;
	return jr_index_get(x, x->count - 1);
}

void jr_index_insert(struct jr_index *x, uint32_t i, const struct jr_where *w)
{
	ASSERT(i <= x->count);
	jr_index_push(x);
	for (uint32_t k = x->count - 1; k > i; k--)
		*jr_index_get(x, k) = *jr_index_get(x, k - 1);
	*jr_index_get(x, i) = *w;
}

void jr_index_drop_front(struct jr_index *x, uint32_t n)
{
	ASSERT(n <= x->count);
	x->head = (uint32_t)(((uint64_t)x->head + n) % x->capacity);
	x->count -= n;
}

void jr_index_keep(struct jr_index *x, uint32_t count)
{
	ASSERT(count <= x->count);
	x->count = count;
}

int64_t jr_index_find(const struct jr_index *x, uint64_t lsn)
{
	uint32_t low = 0, high = x->count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (jr_index_get(x, middle)->first_lsn <= lsn)
			low = middle + 1;
		else
			high = middle;
	}
	return (int64_t)low - 1;
}
