/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Free space: taking it for files and laying it to rest when it is freed. A block of a LUN that may hold data is in exactly one
 * place: mapped by a file, in `space`, or in `rest`. Runs inside a tx; knows nothing of files.
 */
#pragma once
#include "controller/core/tx.h"

enum { SPACE_BLOCKS_MAX = 1 << 30 }; /* of one extent: 4 TiB */

struct space_run {
	uint16_t lun;
	uint64_t block;
	uint32_t blocks;
};

/* Where an operation looks next: begins as the volume's hint, becomes it when the operation has succeeded. */
struct space_cursor {
	uint16_t lun;	/* the LUN being filled */
	uint64_t block; /* look from here on */
	bool moved;
};

void space_cursor_load(struct tx *, struct space_cursor *, bool new_file);
void space_cursor_keep(struct tx *, const struct space_cursor *);

/*
 * Takes up to want blocks in one piece out of free space: at the end of `after` if it can go on there (blocks 0: no such wish),
 * else where the cursor stands or soon behind. 0, -ENOSPC, TX_MISS. The caller counts them.
 */
int space_take(struct tx *, struct space_cursor *, const struct space_run *after, uint64_t want,
	       struct space_run *ret);

/* What one operation frees of one inode; neighbours become one row. Begin with only ino set. */
struct space_bin {
	uint64_t ino;
	uint64_t total;
	struct space_run run; /* not yet written */
};
int space_bin_add(struct tx *, struct space_bin *, struct space_run);
int space_bin_close(struct tx *, struct space_bin *);

/* Makes a run free, one row with its neighbours. 0 or TX_MISS. */
int space_give(struct tx *, uint16_t lun, uint64_t block, uint64_t blocks);
