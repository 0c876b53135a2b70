/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What was asked of registers and what was answered, and whether there is an order of it all that explains every answer. Each
 * value is written once at most, so the answer is exact and needs no search: Gibbons and Korach, "Testing Shared Memories",
 * SIAM J. Comput. 26 (1997). Knows nothing of who asked whom. Times are of one clock, us or ticks.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HISTORY_WHY_BYTES = 256 };

/* Never answered: it may have happened at any time since, or never. */
#define HISTORY_UNKNOWN UINT64_MAX

struct history_op {
	uint64_t reg, value; /* every register holds 0 at first */
	uint64_t asked_us, answered_us;
	bool is_write;
};

/*
 * True when each register can have taken its operations one by one, each at a moment between being asked and being answered.
 * Sorts ops. Else why says which register and which values.
 */
bool history_is_linear(struct history_op *ops, size_t n, char why[static HISTORY_WHY_BYTES]);
