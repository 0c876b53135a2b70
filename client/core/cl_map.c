/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sorted arrays of extents and ranges: a file has few, and layouts are asked for in large pieces.
 */
#include "client/core/cl_map.h"

#include <stdlib.h>
#include <string.h>

#include "proto/assert.h"
#include "proto/wire.h"

static uint64_t end_of(const struct cl_ext *e)
{
	return e->file_block + e->blocks;
}

void cl_map_free(struct cl_map *map)
{
	free(map->at);
	*map = (struct cl_map){0};
}

/* Index of the first extent that ends after block; count: none. */
static uint32_t index_of(const struct cl_map *map, uint64_t block)
{
	uint32_t low = 0, high = map->count;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (end_of(&map->at[mid]) > block)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

const struct cl_ext *cl_map_find(const struct cl_map *map, uint64_t block)
{
	uint32_t i = index_of(map, block);

	return i < map->count ? &map->at[i] : NULL;
}

/* Room for two more: any change of one range splits at most two extents. */
static bool reserve(struct cl_map *map)
{
	uint32_t cap = map->cap ? map->cap * 2 : 8;
	struct cl_ext *at;

	if (map->count + 2 <= map->cap)
		return true;
	at = realloc(map->at, cap * sizeof(*at));
	if (!at)
		return false;
	map->at = at;
	map->cap = cap;
	return true;
}

static void insert(struct cl_map *map, uint32_t i, struct cl_ext e)
{
	memmove(&map->at[i + 1], &map->at[i], (map->count - i) * sizeof(e));
	map->at[i] = e;
	map->count++;
}

static void cut_front(struct cl_ext *e, uint64_t blocks)
{
	e->file_block += blocks;
	e->blocks -= (uint32_t)blocks;
	if (e->state != PR_EXTENT_HOLE)
		e->lun_block += blocks;
}

/* An extent begins at block, or none spans it. Needs a reserved place. */
static void split(struct cl_map *map, uint64_t block)
{
	uint32_t i = index_of(map, block);
	struct cl_ext rest;

	if (i == map->count || map->at[i].file_block >= block)
		return;
	rest = map->at[i];
	cut_front(&rest, block - rest.file_block);
	map->at[i].blocks = (uint32_t)(block - map->at[i].file_block);
	insert(map, i + 1, rest);
}

static bool joins(const struct cl_ext *a, const struct cl_ext *b)
{
	return end_of(a) == b->file_block && a->state == b->state && a->writable == b->writable &&
	       (uint64_t)a->blocks + b->blocks <= UINT32_MAX &&
	       (a->state == PR_EXTENT_HOLE ||
		(a->lun == b->lun && a->lun_block + a->blocks == b->lun_block));
}

/* Joins neighbours among the extents that touch [from, to]. */
static void join(struct cl_map *map, uint64_t from, uint64_t to)
{
	uint32_t i = index_of(map, from ? from - 1 : 0), kept = i, end = i;

	if (i == map->count)
		return;
	while (end < map->count && map->at[end].file_block <= to)
		end++;
	for (uint32_t k = i + 1; k < end; k++) {
		if (joins(&map->at[kept], &map->at[k]))
			map->at[kept].blocks += map->at[k].blocks;
		else
			map->at[++kept] = map->at[k];
	}
	if (end <= i + 1)
		return;
	memmove(&map->at[kept + 1], &map->at[end], (map->count - end) * sizeof(*map->at));
	map->count -= end - (kept + 1);
}

bool cl_map_forget(struct cl_map *map, uint64_t from, uint64_t to)
{
	uint32_t i, end;

	if (from >= to)
		return true;
	if (!reserve(map))
		return false;
	split(map, from);
	split(map, to);
	i = end = index_of(map, from);
	while (end < map->count && map->at[end].file_block < to)
		end++;
	memmove(&map->at[i], &map->at[end], (map->count - end) * sizeof(*map->at));
	map->count -= end - i;
	return true;
}

static bool put(struct cl_map *map, struct cl_ext e)
{
	if (!cl_map_forget(map, e.file_block, end_of(&e)) || !reserve(map))
		return false;
	insert(map, index_of(map, e.file_block), e);
	join(map, e.file_block, end_of(&e));
	return true;
}

/* The controller does not know yet what was written here since the last commit. */
static bool is_newer(const struct cl_ext *own, const struct cl_ext *granted)
{
	return own->state == PR_EXTENT_WRITTEN && granted->state == PR_EXTENT_UNWRITTEN &&
	       own->lun == granted->lun &&
	       own->lun_block - own->file_block == granted->lun_block - granted->file_block;
}

bool cl_map_grant(struct cl_map *map, const struct cl_ext *granted)
{
	struct cl_ext rest = *granted;

	while (rest.blocks) {
		struct cl_ext piece = rest;
		const struct cl_ext *own = cl_map_find(map, rest.file_block);

		if (own && own->file_block > rest.file_block && own->file_block < end_of(&rest))
			piece.blocks = (uint32_t)(own->file_block - rest.file_block);
		else if (own && own->file_block <= rest.file_block && end_of(own) < end_of(&rest))
			piece.blocks = (uint32_t)(end_of(own) - rest.file_block);
		if (own && own->file_block <= rest.file_block) {
			if (is_newer(own, granted))
				piece.state = PR_EXTENT_WRITTEN;
			piece.writable |= own->writable && piece.state != PR_EXTENT_HOLE;
		}
		if (!put(map, piece))
			return false;
		cut_front(&rest, piece.blocks);
	}
	return true;
}

uint64_t cl_map_gap(const struct cl_map *map, uint64_t from, uint64_t to, bool writing)
{
	for (uint32_t i = index_of(map, from); from < to; i++) {
		const struct cl_ext *e = &map->at[i];

		if (i == map->count || e->file_block > from)
			return from;
		if (writing && (!e->writable || e->state == PR_EXTENT_HOLE))
			return from;
		from = end_of(e);
	}
	return to;
}

/* Blocks of [from, to) whose state is was become is; those are added to changed, unless that is NULL. */
static bool change(struct cl_map *map, uint64_t from, uint64_t to, uint8_t was, uint8_t is,
		   struct cl_ranges *changed)
{
	if (!reserve(map))
		return false;
	split(map, from);
	split(map, to);
	for (uint32_t i = index_of(map, from); i < map->count && map->at[i].file_block < to; i++) {
		struct cl_ext *e = &map->at[i];

		if (e->state != was)
			continue;
		if (changed && !cl_ranges_add(changed, e->file_block, end_of(e)))
			return false;
		e->state = is;
	}
	join(map, from, to);
	return true;
}

bool cl_map_written(struct cl_map *map, uint64_t from, uint64_t to, struct cl_ranges *dirty)
{
	return change(map, from, to, PR_EXTENT_UNWRITTEN, PR_EXTENT_WRITTEN, dirty);
}

bool cl_map_lost(struct cl_map *map, uint64_t from, uint64_t to)
{
	return change(map, from, to, PR_EXTENT_WRITTEN, PR_EXTENT_UNWRITTEN, NULL);
}

/* ---- ranges ---- */

void cl_ranges_free(struct cl_ranges *r)
{
	free(r->at);
	*r = (struct cl_ranges){0};
}

bool cl_ranges_add(struct cl_ranges *r, uint64_t from, uint64_t to)
{
	uint32_t i = r->count, end;

	/* Writes mostly go forward: look from the end. */
	while (i > 0 && r->at[i - 1].to >= from)
		i--;
	end = i;
	while (end < r->count && r->at[end].from <= to)
		end++;
	if (end > i) {
		if (r->at[i].from < from)
			from = r->at[i].from;
		if (r->at[end - 1].to > to)
			to = r->at[end - 1].to;
		r->at[i] = (struct cl_range){from, to};
		memmove(&r->at[i + 1], &r->at[end], (r->count - end) * sizeof(*r->at));
		r->count -= end - (i + 1);
		return true;
	}
	if (r->count == r->cap) {
		uint32_t cap = r->cap ? r->cap * 2 : 4;
		struct cl_range *at = realloc(r->at, cap * sizeof(*at));

		if (!at)
			return false;
		r->at = at;
		r->cap = cap;
	}
	memmove(&r->at[i + 1], &r->at[i], (r->count - i) * sizeof(*r->at));
	r->at[i] = (struct cl_range){from, to};
	r->count++;
	return true;
}

uint64_t cl_ranges_blocks(const struct cl_ranges *r)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < r->count; i++)
		n += r->at[i].to - r->at[i].from;
	return n;
}
