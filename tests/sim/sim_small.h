/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Runs small enough for a search through the orders of their operations. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct sim_small_totals {
	uint64_t histories, failed, undecided, operations, unknown, faults, promotions, steps;
};

/* Seeds from `from` on, until one is bad. Returns 1 then. */
int sim_small_run(uint64_t from, uint64_t seeds, bool trace);
