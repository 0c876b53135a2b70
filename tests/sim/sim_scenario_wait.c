/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Failures that have no script here: why, and what shows them. */
#include "tests/sim/sim_scenario.h"

static const struct {
	int number;
	const char *why;
} waits[] = {
	{25, "an RDMA queue pair error: waits for the RDMA link"},
	{32, "both fence each other: the simulator has no cluster stack; mdcchaos plays it"},
	{33,
	 "the rebooted node does not see its peer: the simulator has no cluster stack; mdcchaos plays it"},
	{35,
	 "corosync killed on the active: the simulator has no cluster stack; mdcchaos plays it"},
	{36, "Pacemaker killed, mdcd lives: the simulator has no cluster stack; mdcchaos plays it"},
	{37, "a stale promotion score: the simulator has no cluster stack; mdcchaos plays it"},
	{38, "the CIB restored from before: the simulator has no cluster stack; mdcchaos plays it"},
	{65,
	 "the n-th allocation fails: the cores end their process then, and the simulator is in it; crash --sweep memory shows it"},
	{66,
	 "limits of descriptors and threads: the simulator has neither; test 028 has the descriptors"},
	{73, "a key preempted on one path of four: waits for a model of paths"},
	{77, "version skew: waits for a second version"},
};

const char *sim_scenario_waits_for(int number)
{
	for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++)
		if (waits[i].number == number)
			return waits[i].why;
	return NULL;
}
