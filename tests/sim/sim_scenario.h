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

enum { SIM_SCENARIO_LAST = 78 };

/* Each ends with number 0. */
extern const struct sim_scenario sim_fence_scenarios[], sim_disk_scenarios[],
	sim_client_scenarios[];

const struct sim_scenario *sim_scenario_of(int number);
const char *sim_scenario_waits_for(int number); /* why there is none; NULL: there is one */
void sim_scenario_run(struct sim *, const struct sim_scenario *);
