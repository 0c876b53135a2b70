/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * DIR/state: the four copies of what a controller persists about itself. Written means three of four
 * are durable, opened means two agree. Holds the lock of the file while it is open, on the descriptor
 * that does the I/O, so that a successor never reads what a dead process still writes.
 */
#pragma once

#include "ha/core/ha.h"

struct state_file;

/*
 * Reads, chooses, and writes the choice over the copies that differ. *ret_error is what BOOT wants to know: 0 (*ret_state is valid), -ENOENT blank,
 * -EUCLEAN fewer than two copies agree. Returns 0, or -errno and a sentence when the file cannot be
 * used at all: -EIO when fewer than three copies could be made to hold the choice.
 */
int state_file_open(const char *dir, struct state_file **ret, struct ha_state *ret_state,
		    int *ret_error, char *why, size_t why_size);
void state_file_close(struct state_file *); /* NULL is fine */

/* One at a time. Blocks until three copies are durable: 0, or -EIO. For a thread of its own. */
int state_file_write(struct state_file *, const struct ha_state *);
