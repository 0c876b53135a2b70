/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a client knows of a file's extents under its layout, and which blocks it has written that no
 * commit has told of yet. Sorted arrays; all numbers are blocks of 4096 bytes.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { CL_BLOCK_BYTES = 4096 };

struct cl_ext {
	uint64_t file_block, lun_block;
	uint32_t blocks;
	uint16_t lun;
	uint8_t state; /* PR_EXTENT_* */
	bool writable; /* granted for writing */
};

struct cl_map {
	struct cl_ext *at;
	uint32_t count, cap;
};

struct cl_range {
	uint64_t from, to; /* to: the first block after it */
};

struct cl_ranges {
	struct cl_range *at;
	uint32_t count, cap;
};

void cl_map_free(struct cl_map *);
/* The first extent that ends after block; NULL: none. */
const struct cl_ext *cl_map_find(const struct cl_map *, uint64_t block);
/* Takes a grant: replaces what was known, but what was written here stays written. False: no
 * memory. */
bool cl_map_grant(struct cl_map *, const struct cl_ext *);
/* The first block of [from, to) that is not known (for writing: not allocated under a write
 * layout); to: all are. */
uint64_t cl_map_gap(const struct cl_map *, uint64_t from, uint64_t to, bool writing);
/* [from, to) is on the LUN now: what was unwritten becomes written and is added to dirty. False: no
 * memory. */
bool cl_map_written(struct cl_map *, uint64_t from, uint64_t to, struct cl_ranges *dirty);
/* What was written to [from, to) is not there: it becomes unwritten. False: no memory. */
bool cl_map_lost(struct cl_map *, uint64_t from, uint64_t to);
/* Forgets [from, to). False: no memory. */
bool cl_map_forget(struct cl_map *, uint64_t from, uint64_t to);

void cl_ranges_free(struct cl_ranges *);
bool cl_ranges_add(struct cl_ranges *, uint64_t from, uint64_t to); /* merges; false: no memory */
uint64_t cl_ranges_blocks(const struct cl_ranges *);
