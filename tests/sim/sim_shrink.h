/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Fewer faults for the same failure. */
#pragma once

#include "tests/sim/sim.h"

/* Prints the fewest faults it finds that break the same rule, and the command. Returns 1, or 0 when the seed holds. */
int sim_shrink(uint64_t seed);
/* Only these faults happen: "3,17,42". */
void sim_only(struct sim *, const char *list);
