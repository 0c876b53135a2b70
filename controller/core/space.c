/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Next fit: a file goes on where its last extent ends if that is free, else the search goes on where the last one stopped. It looks at
 * a few free extents for one that is large enough and then takes the largest it saw, so that its cost does not depend on how
 * much of the LUN is free or in how many pieces.
 */
#include "controller/core/space.h"

#include <errno.h>

#include "controller/core/ns_node.h"

enum {
	FIRST_BLOCK = 1, /* block 0 of a LUN is its label */
	PROBES = 16,
	REST_SCAN = 256,
};

void space_cursor_load(struct tx *tx, struct space_cursor *c, bool new_file)
{
	const struct ns_hint *hint = ctl_ns_hint(tx->ctl, tx->volume);

	/* New files go round the LUNs; a number that no LUN has becomes the next one's. */
	c->lun = (uint16_t)((hint->lun + new_file) % NS_LUNS_MAX);
	c->block = hint->space[c->lun];
	c->moved = false;
}

void space_cursor_keep(struct tx *tx, const struct space_cursor *c)
{
	struct ns_hint *hint = ctl_ns_hint(tx->ctl, tx->volume);

	if (!c->moved)
		return;
	hint->lun = c->lun;
	hint->space[c->lun] = c->block;
}

/* dir > 0: the first free run that begins at or after block; dir < 0: the last one that begins before it. */
static int free_seek(struct tx *tx, uint16_t lun, uint64_t block, int dir, uint64_t *ret_block,
		     uint64_t *ret_blocks)
{
	struct pr_row_space row;
	struct pr_key from, prefix, key;
	struct pr_bytes value;
	uint16_t volume;
	int r;

	pr_key_space(&from, tx->volume, lun, block);
	pr_key_prefix_spaces(&prefix, tx->volume, lun);
	r = tx_seek(tx, &from, prefix.len, dir, &key, &value);
	if (r)
		return r;
	r = pr_key_parse_space(key.b, key.len, &volume, &lun, ret_block);
	ASSERT(r == 0);
	r = pr_row_space_decode(&row, value.p, value.len);
	ASSERT(r == 0 && row.blocks > 0);
	*ret_blocks = row.blocks;
	return 0;
}

/* The head of a free run is taken; what is left keeps its end. */
static void take_head(struct tx *tx, const struct space_run *run, uint64_t free_blocks)
{
	struct pr_row_space rest = {.blocks = free_blocks - run->blocks};

	tx_del_space(tx, run->lun, run->block);
	if (rest.blocks > 0)
		tx_put_space(tx, run->lun, run->block + run->blocks, &rest);
}

static int take_after(struct tx *tx, const struct space_run *after, uint64_t want,
		      struct space_run *ret)
{
	struct pr_row_space row;
	int r;

	if (after->blocks == 0)
		return -ENOENT;
	*ret = (struct space_run){.lun = after->lun, .block = after->block + after->blocks};
	r = tx_get_space(tx, ret->lun, ret->block, &row);
	if (r)
		return r;
	ret->blocks = (uint32_t)(row.blocks < want ? row.blocks : want);
	take_head(tx, ret, row.blocks);
	return 0;
}

/* Looks at a few runs from the cursor on, once round the end. -ENOENT: nothing is free on this LUN. */
static int probe(struct tx *tx, const struct space_cursor *c, uint64_t want, uint64_t *ret_block,
		 uint64_t *ret_blocks)
{
	uint64_t at = c->block < FIRST_BLOCK ? FIRST_BLOCK : c->block, block, blocks;
	bool wrapped = at == FIRST_BLOCK;
	int r;

	*ret_blocks = 0;
	for (unsigned int i = 0; i < PROBES && *ret_blocks < want; i++) {
		r = free_seek(tx, c->lun, at, 1, &block, &blocks);
		if (r == -ENOENT && !wrapped) {
			wrapped = true;
			at = FIRST_BLOCK;
			continue;
		}
		if (r == -ENOENT)
			break;
		if (r)
			return r;
		if (blocks > *ret_blocks) {
			*ret_block = block;
			*ret_blocks = blocks;
		}
		at = block + blocks;
	}
	return *ret_blocks > 0 ? 0 : -ENOENT;
}

/* The LUN of that number, or the first after it. -ENOENT: none from there on. */
static int lun_from(struct tx *tx, uint16_t lun, uint16_t *ret)
{
	struct pr_key from, prefix, key;
	struct pr_bytes value;
	uint16_t volume;
	int r;

	pr_key_vlun(&from, tx->volume, lun);
	pr_key_prefix_volume(&prefix, PR_ROW_VLUN, tx->volume);
	r = tx_seek(tx, &from, prefix.len, 1, &key, &value);
	if (r)
		return r;
	r = pr_key_parse_vlun(key.b, key.len, &volume, ret);
	ASSERT(r == 0);
	return 0;
}

/* Moves the cursor to the LUN of that number, or the next there is. -ENOENT: the volume has none. */
static int cursor_to_lun(struct tx *tx, struct space_cursor *c, uint16_t lun)
{
	uint16_t was = c->lun;
	int r = lun_from(tx, lun, &c->lun);

	if (r == -ENOENT)
		r = lun_from(tx, 0, &c->lun);
	if (r == 0 && c->lun != was)
		c->block = ctl_ns_hint(tx->ctl, tx->volume)->space[c->lun % NS_LUNS_MAX];
	return r;
}

static int take_probed(struct tx *tx, struct space_cursor *c, uint64_t want, struct space_run *ret)
{
	uint64_t block = 0, blocks = 0;
	int r = cursor_to_lun(tx, c, c->lun);
	uint16_t first = c->lun;

	while (r == 0) {
		r = probe(tx, c, want, &block, &blocks);
		if (r != -ENOENT)
			break;
		r = cursor_to_lun(tx, c, c->lun + 1);
		if (r == 0 && c->lun == first)
			r = -ENOSPC;
	}
	if (r)
		return r == -ENOENT ? -ENOSPC : r;
	*ret = (struct space_run){
		.lun = c->lun,
		.block = block,
		.blocks = (uint32_t)(blocks < want ? blocks : want),
	};
	take_head(tx, ret, blocks);
	return 0;
}

int space_take(struct tx *tx, struct space_cursor *c, const struct space_run *after, uint64_t want,
	       struct space_run *ret)
{
	int r;

	ASSERT(want > 0);
	if (want > SPACE_BLOCKS_MAX)
		want = SPACE_BLOCKS_MAX;
	r = take_after(tx, after, want, ret);
	if (r == -ENOENT)
		r = take_probed(tx, c, want, ret);
	if (r)
		return r;
	c->lun = ret->lun;
	c->block = ret->block + ret->blocks;
	c->moved = true;
	return 0;
}

/* ---- freeing ---- */

int space_bin_close(struct tx *tx, struct space_bin *bin)
{
	struct pr_row_rest row = {
		.lun = bin->run.lun,
		.blocks = bin->run.blocks,
		.lun_block = bin->run.block,
		.ino = bin->ino,
		.since_lsn = tx->lsn,
	};
	uint64_t sequence;

	if (row.blocks == 0)
		return 0;
	/* Inode numbers grow and are never given twice, which is all a sequence needs. */
	sequence = ctl_new_ino(tx);
	if (sequence == 0)
		return TX_MISS;
	tx_put_rest(tx, sequence, &row);
	bin->run.blocks = 0;
	return 0;
}

int space_bin_add(struct tx *tx, struct space_bin *bin, struct space_run run)
{
	struct space_run *have = &bin->run;
	bool fits = have->blocks > 0 && have->lun == run.lun &&
		    (uint64_t)have->blocks + run.blocks <= SPACE_BLOCKS_MAX;
	int r;

	bin->total += run.blocks;
	if (fits && have->block + have->blocks == run.block) {
		have->blocks += run.blocks;
		return 0;
	}
	if (fits && run.block + run.blocks == have->block) {
		have->block = run.block;
		have->blocks += run.blocks;
		return 0;
	}
	r = space_bin_close(tx, bin);
	bin->run = run;
	return r;
}

int space_give(struct tx *tx, uint16_t lun, uint64_t block, uint64_t blocks)
{
	uint64_t begin = block, near, near_blocks;
	int r = free_seek(tx, lun, block, -1, &near, &near_blocks);

	if (r == 0) {
		/* Free twice would be somebody's data given to another. */
		ASSERT(near + near_blocks <= block);
		if (near + near_blocks == block) {
			begin = near;
			blocks += near_blocks;
		}
	} else if (r != -ENOENT) {
		return r;
	}
	r = free_seek(tx, lun, block, 1, &near, &near_blocks);
	if (r == 0) {
		ASSERT(near >= begin + blocks);
		if (near == begin + blocks) {
			tx_del_space(tx, lun, near);
			blocks += near_blocks;
		}
	} else if (r != -ENOENT) {
		return r;
	}
	tx_put_space(tx, lun, begin, &(struct pr_row_space){.blocks = blocks});
	return 0;
}

/* ---- rest ---- */

static int rest_from(struct tx *tx, uint64_t *sequence, struct pr_row_rest *ret)
{
	struct pr_key from, prefix, key;
	struct pr_bytes value;
	uint16_t volume;
	int r;

	pr_key_rest(&from, tx->volume, *sequence);
	pr_key_prefix_volume(&prefix, PR_ROW_REST, tx->volume);
	r = tx_seek(tx, &from, prefix.len, 1, &key, &value);
	if (r)
		return r;
	r = pr_key_parse_rest(key.b, key.len, &volume, sequence);
	ASSERT(r == 0);
	r = pr_row_rest_decode(ret, value.p, value.len);
	ASSERT(r == 0);
	return 0;
}

int ns_rest_step(struct tx *tx, const struct ns_gate *gate)
{
	struct ns_hint *hint = ctl_ns_hint(tx->ctl, tx->volume);
	uint64_t sequence = hint->rest;
	struct pr_row_rest row;
	int64_t freed = 0;
	int r = 0;

	for (unsigned int i = 0; i < REST_SCAN && !ns_step_full(tx); i++, sequence++) {
		r = rest_from(tx, &sequence, &row);
		if (r)
			break;
		if (!gate->may_reuse(gate->user, tx->volume, row.ino, row.since_lsn))
			continue;
		r = space_give(tx, row.lun, row.lun_block, row.blocks);
		if (r)
			break;
		tx_del_rest(tx, sequence);
		freed += row.blocks;
	}
	if (r && r != -ENOENT)
		return r;
	if (freed > 0 && ns_stat_add(tx, 0, freed, -freed) == TX_MISS)
		return TX_MISS;
	hint->rest = r == -ENOENT ? 0 : sequence;
	return r == 0 || freed > 0;
}
