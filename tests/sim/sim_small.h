/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Runs small enough for a search through the orders of their operations. */
#pragma once

#include "tests/sim/sim_totals.h"

/*
 * Seeds one after the other, until one is bad; jobs and keep_going are not looked at. Returns what the program ends with: 1 when one
 * is bad, or too many histories were too short or not decided, in this run or in all that the ledger knows.
 */
int sim_small_run(const struct sim_batch_run *, bool trace);
