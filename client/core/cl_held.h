/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the session holds: opens and layouts by inode, told to every controller the session is bound
 * to. Owned by the client core.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "proto/wire.h"

struct cl_held {
	uint64_t ino; /* 0: empty */
	uint32_t opens;
	uint8_t layout; /* PR_LAYOUT_* */
	uint64_t generation;
	uint64_t returning; /* asked to be returned up to this generation: not used any more */
	uint32_t gets;	    /* LAYOUT_GETs under way */
	uint64_t recalled;  /* a recall that came before its grant */
	uint8_t recalled_mode;
};

struct cl_held_table {
	struct cl_held *at;
	uint32_t size, count; /* size: a power of two or 0 */
};

void cl_held_free(struct cl_held_table *);
/* Makes sure that the next `more` new entries find room. False: no memory. */
bool cl_held_reserve(struct cl_held_table *, uint32_t more);
struct cl_held *cl_held_find(struct cl_held_table *, uint64_t ino); /* NULL: nothing held */
struct cl_held *cl_held_make(struct cl_held_table *, uint64_t ino); /* after cl_held_reserve */
/* Forgets the entry if nothing is held any more; pointers into the table are void then. */
void cl_held_tidy(struct cl_held_table *, struct cl_held *);
