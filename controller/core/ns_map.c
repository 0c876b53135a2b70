/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "controller/core/ns_map.h"

#include <errno.h>
#include <stdbool.h>

enum {
	FILL_PIECES = 64, /* allocated at once: bounds the search in a fragmented volume */
	FILL_WALK = 4096, /* extents passed at once that are there already */
	CONVERT_WALK = 16384,
};

/* ---- rows ---- */

static int map_seek(struct tx *tx, uint64_t ino, uint64_t block, int dir, struct map_extent *ret)
{
	struct pr_row_map row;
	struct pr_key from, prefix, key;
	struct pr_bytes value;
	uint16_t volume;
	int r;

	pr_key_map(&from, tx->volume, ino, block);
	pr_key_prefix_maps(&prefix, tx->volume, ino);
	r = tx_seek(tx, &from, prefix.len, dir, &key, &value);
	if (r)
		return r;
	r = pr_key_parse_map(key.b, key.len, &volume, &ino, &ret->at);
	ASSERT(r == 0);
	r = pr_row_map_decode(&row, value.p, value.len);
	ASSERT(r == 0 && row.blocks > 0);
	ret->blocks = row.blocks;
	ret->lun = row.lun;
	ret->state = row.state;
	ret->lun_block = row.lun_block;
	return 0;
}

static void extent_put(struct tx *tx, uint64_t ino, const struct map_extent *e)
{
	tx_put_map(tx, ino, e->at,
		   &(struct pr_row_map){
			   .blocks = e->blocks,
			   .lun = e->lun,
			   .state = e->state,
			   .lun_block = e->lun_block,
		   });
}

/* The part of an extent within [from, to). */
static struct map_extent extent_part(const struct map_extent *e, uint64_t from, uint64_t to)
{
	struct map_extent part = *e;

	if (from < e->at)
		from = e->at;
	if (to > map_extent_end(e))
		to = map_extent_end(e);
	part.at = from;
	part.lun_block += from - e->at;
	part.blocks = (uint32_t)(to - from);
	return part;
}

/* What remains of an extent when [from, to) is cut out of it. */
static void extent_cut(struct tx *tx, uint64_t ino, const struct map_extent *e, uint64_t from,
		       uint64_t to)
{
	struct map_extent part;

	if (e->at < from) {
		part = extent_part(e, e->at, from);
		extent_put(tx, ino, &part);
	} else {
		tx_del_map(tx, ino, e->at);
	}
	if (map_extent_end(e) > to) {
		part = extent_part(e, to, map_extent_end(e));
		extent_put(tx, ino, &part);
	}
}

int map_before(struct tx *tx, const struct ns_node *n, uint64_t block, struct map_extent *ret)
{
	if (block == 0 || !(n->row.flags & NS_F_MAPPED))
		return -ENOENT;
	return map_seek(tx, n->ino, block, -1, ret);
}

int map_from(struct tx *tx, const struct ns_node *n, uint64_t block, struct map_extent *ret)
{
	int r = map_before(tx, n, block + 1, ret);

	if (r == 0 && map_extent_end(ret) > block)
		return 0;
	if (r && r != -ENOENT)
		return r;
	return n->row.flags & NS_F_MAPPED ? map_seek(tx, n->ino, block + 1, 1, ret) : -ENOENT;
}

static bool extents_join(const struct map_extent *a, const struct map_extent *b)
{
	return map_extent_end(a) == b->at && a->lun == b->lun && a->state == b->state &&
	       a->lun_block + a->blocks == b->lun_block &&
	       (uint64_t)a->blocks + b->blocks <= SPACE_BLOCKS_MAX;
}

int map_insert(struct tx *tx, const struct ns_node *n, struct map_extent e)
{
	struct map_extent near;
	int r = map_before(tx, n, e.at, &near);

	if (r == 0) {
		ASSERT(map_extent_end(&near) <= e.at);
		if (extents_join(&near, &e)) {
			near.blocks += e.blocks;
			e = near;
		}
	} else if (r != -ENOENT) {
		return r;
	}
	r = map_seek(tx, n->ino, map_extent_end(&e), 1, &near);
	if (r == 0) {
		if (extents_join(&e, &near)) {
			tx_del_map(tx, n->ino, near.at);
			e.blocks += near.blocks;
		}
	} else if (r != -ENOENT) {
		return r;
	}
	extent_put(tx, n->ino, &e);
	return 0;
}

/* ---- holes made ---- */

static int punch_extents(struct tx *tx, const struct ns_node *n, uint64_t from, uint64_t to,
			 struct space_bin *bin)
{
	struct map_extent e, part;
	int r;

	for (;;) {
		r = map_before(tx, n, to, &e);
		if (r == -ENOENT || (r == 0 && map_extent_end(&e) <= from))
			return 0;
		if (r)
			return r;
		if (ns_step_full(tx))
			return NS_AGAIN;
		part = extent_part(&e, from, to);
		extent_cut(tx, n->ino, &e, part.at, map_extent_end(&part));
		r = space_bin_add(tx, bin,
				  (struct space_run){part.lun, part.lun_block, part.blocks});
		if (r)
			return r;
		to = part.at;
	}
}

int map_punch(struct tx *tx, struct ns_node *n, uint64_t from, uint64_t to)
{
	struct space_bin bin = {.ino = n->ino};
	int again, r;

	if (n->row.blocks == 0 || from >= to)
		return 0;
	again = punch_extents(tx, n, from, to, &bin);
	if (again < 0)
		return again;
	r = space_bin_close(tx, &bin);
	if (r == 0 && bin.total > 0)
		r = ns_stat_add(tx, 0, 0, (int64_t)bin.total);
	if (r)
		return r;
	ASSERT(bin.total <= n->row.blocks);
	n->row.blocks -= bin.total;
	return again;
}

/* ---- holes filled ---- */

/* Before its first extent a file has none, and nobody needs to look. */
static void first_extent(struct tx *tx, struct ns_node *n)
{
	struct pr_key prefix;

	if (n->row.flags & NS_F_MAPPED)
		return;
	pr_key_prefix_maps(&prefix, tx->volume, n->ino);
	tx_known_empty(tx, &prefix);
	n->row.flags |= NS_F_MAPPED;
}

/* Allocates the head of the hole [at, end), which prev, if it has blocks, is before. */
static int fill_hole(struct tx *tx, struct ns_node *n, struct space_cursor *cursor, uint64_t at,
		     uint64_t end, uint32_t *ret_blocks)
{
	struct space_run after = {0}, run;
	struct map_extent prev;
	int r = map_before(tx, n, at, &prev);

	if (r == 0)
		after = (struct space_run){prev.lun, prev.lun_block, prev.blocks};
	else if (r != -ENOENT)
		return r;
	r = space_take(tx, cursor, &after, end - at, &run);
	if (r)
		return r;
	first_extent(tx, n);
	*ret_blocks = run.blocks;
	return map_insert(tx, n,
			  (struct map_extent){
				  .at = at,
				  .blocks = run.blocks,
				  .lun = run.lun,
				  .state = PR_EXTENT_UNWRITTEN,
				  .lun_block = run.block,
			  });
}

/* *at moves on; *total counts what was allocated. 0, also when a bound was reached. */
static int fill_holes(struct tx *tx, struct ns_node *n, struct space_cursor *cursor, uint64_t *at,
		      uint64_t to, uint64_t *total)
{
	unsigned int pieces = 0;
	struct map_extent e;
	uint32_t blocks;
	int r;

	for (unsigned int i = 0; *at < to && i < FILL_WALK && pieces < FILL_PIECES; i++) {
		r = map_from(tx, n, *at, &e);
		if (r && r != -ENOENT)
			return r;
		if (r == 0 && e.at <= *at) {
			*at = map_extent_end(&e);
			continue;
		}
		if (ns_step_full(tx))
			return 0;
		r = fill_hole(tx, n, cursor, *at, r == 0 && e.at < to ? e.at : to, &blocks);
		if (r)
			return r;
		pieces++;
		*at += blocks;
		*total += blocks;
	}
	return 0;
}

int map_fill(struct tx *tx, struct ns_node *n, struct space_cursor *cursor, uint64_t from,
	     uint64_t to, uint64_t *ret_end)
{
	uint64_t at = from, total = 0;
	int r = fill_holes(tx, n, cursor, &at, to, &total);

	if (r == -ENOSPC && at > from)
		r = 0;
	if (r == 0 && total > 0)
		r = ns_stat_add(tx, 0, -(int64_t)total, 0);
	if (r)
		return r;
	n->row.blocks += total;
	*ret_end = at < to ? at : to;
	return 0;
}

/* ---- states ---- */

/*
 * Neighbours that come to one state are joined in hand and become one row at the end: joined one by one, each would look for its
 * neighbour across all the rows that went before it.
 */
int map_convert(struct tx *tx, const struct ns_node *n, uint64_t from, uint64_t to, uint8_t state)
{
	struct map_extent e, part, run = {0};
	unsigned int walked = 0;
	bool changed = false;
	int r;

	while (from < to) {
		r = map_from(tx, n, from, &e);
		if (r == -ENOENT || (r == 0 && e.at > from))
			return -PR_E_LAYOUT;
		if (r)
			return r;
		/* A record is full of changes or of work: what was converted is not looked at again. */
		if (ns_step_full(tx) || (++walked > CONVERT_WALK && tx_change_count(tx) > 0)) {
			r = changed ? map_insert(tx, n, run) : 0;
			return r ? r : NS_AGAIN;
		}
		part = extent_part(&e, from, to);
		from = map_extent_end(&part);
		if (e.state == state && changed && extents_join(&run, &e)) {
			tx_del_map(tx, n->ino, e.at);
			run.blocks += e.blocks;
			continue;
		}
		if (e.state == state) {
			r = changed ? map_insert(tx, n, run) : 0;
			if (r)
				return r;
			run = e;
			changed = false;
			continue;
		}
		extent_cut(tx, n->ino, &e, part.at, from);
		part.state = state;
		if (run.blocks && extents_join(&run, &part)) {
			run.blocks += part.blocks;
		} else {
			r = changed ? map_insert(tx, n, run) : 0;
			if (r)
				return r;
			run = part;
		}
		changed = true;
	}
	return changed ? map_insert(tx, n, run) : 0;
}
