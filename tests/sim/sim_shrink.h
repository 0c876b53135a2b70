/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Fewer faults for the same failure. */
#pragma once

#include "tests/sim/sim.h"

/* What makes a run another one than its seed alone, as the command's options say it. */
struct sim_replay {
	const char *only;  /* of its faults these: "3,17,42"; NULL: all */
	uint64_t until_ms; /* faults stop then; 0: when enough has happened */
	bool no_rest;	   /* it ends with the faults */
};

void sim_replay(struct sim *, const struct sim_replay *);
/* Prints the fewest faults it finds with which it fails in the same way, and the command. Returns 1, or 0 when the seed holds. */
int sim_shrink(uint64_t seed);
