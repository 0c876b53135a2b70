/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The map of a file: which of its blocks lie where. Extents never overlap; two that touch in the file and on the LUN and are of
 * one state are one row. All functions run inside a tx and return 0, a negative errno or TX_MISS unless they say more; those that
 * may change much return NS_AGAIN when the record is full, having changed a part.
 */
#pragma once
#include "controller/core/ns_node.h"
#include "controller/core/space.h"

#define MAP_END (UINT64_C(1) << 52) /* no file block reaches it */

struct map_extent {
	uint64_t at; /* file block */
	uint32_t blocks;
	uint16_t lun;
	uint8_t state; /* PR_EXTENT_UNWRITTEN or _WRITTEN */
	uint64_t lun_block;
};

static inline uint64_t map_extent_end(const struct map_extent *e)
{
	return e->at + e->blocks;
}

/* The first extent that ends after this block; -ENOENT. */
int map_from(struct tx *, const struct ns_node *, uint64_t block, struct map_extent *ret);
/* The last extent that begins before this block; -ENOENT. */
int map_before(struct tx *, const struct ns_node *, uint64_t block, struct map_extent *ret);
/* Adds what was a hole. */
int map_insert(struct tx *, const struct ns_node *, struct map_extent);
/* Makes [from, to) a hole, its end first; the blocks rest. NS_AGAIN. */
int map_punch(struct tx *, struct ns_node *, uint64_t from, uint64_t to);
/* Allocates the holes in [from, to) as unwritten. *ret_end: up to where; short when the record is full or space runs out. */
int map_fill(struct tx *, struct ns_node *, struct space_cursor *, uint64_t from, uint64_t to,
	     uint64_t *ret_end);
/* Gives what is mapped in [from, to) this state. -PR_E_LAYOUT: a hole is in it. NS_AGAIN. */
int map_convert(struct tx *, const struct ns_node *, uint64_t from, uint64_t to, uint8_t state);
