/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Named failures as scripted runs. */
#pragma once

#include "tests/sim/sim.h"

struct sim_scenario {
	int number;
	const char *name;
	void (*script)(struct sim *);
};

#define SCENARIO(number, name)          \
	{                               \
		number, name, s##number \
	}

const struct sim_scenario *sim_scenario_at(size_t i); /* NULL: there are no more */
const struct sim_scenario *
sim_disk_scenario_at(size_t i); /* those of the disks, which the others end with */
void sim_scenario_run(struct sim *, const struct sim_scenario *);
