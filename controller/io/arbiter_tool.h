/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An arbiter record of which neither copy is left, made anew of what controllers persist about themselves. The record is what says who
 * holds everything; without it only their own states can: who was in the latest epoch, and alone in it before who was not.
 */
#pragma once

#include <stdbool.h>

#include "controller/io/pair_status.h"
#include "ha/core/ha.h"

struct lun;
struct state_file;

struct arbiter_tool {
	struct lun *lun;
	struct state_file *state[2]; /* locked: no controller runs meanwhile */
	struct ha_arbiter record;    /* to be written */
	bool other_unknown;	     /* only this host's controller was asked */
};

/*
 * Refuses while a copy can be used (-EEXIST), where a controller runs (-EBUSY), and when nobody who was asked holds everything for
 * certain (-EPERM). 0, or -errno and a sentence; arbiter_tool_end in any case.
 */
int arbiter_tool_begin(struct arbiter_tool *, const struct pair_place *, char *why, size_t size);
int arbiter_tool_write(struct arbiter_tool *, char *why, size_t size);
void arbiter_tool_end(struct arbiter_tool *);
