/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is summed over seeds, in a run and in its ledger. */
#pragma once
#include "tests/sim/ha_sim.h"
#include "tests/sim/ledger.h"

#define HS_TOTALS                        \
	HS_TOTAL(seeds, "seeds")         \
	HS_TOTAL(failed, "failed")       \
	HS_TOTAL(idle, "did too little") \
	HS_TOTAL(steps, "steps")         \
	HS_TOTAL(replies, "replies")     \
	HS_TOTAL(deaths, "deaths")       \
	HS_TOTAL(failovers, "failovers") \
	HS_TOTAL(handovers, "handovers") \
	HS_TOTAL(cuts, "cuts")           \
	HS_TOTAL(copies, "full copies")  \
	HS_TOTAL(repairs, "repairs")     \
	HS_TOTAL(unknowns, "unknown arbiter writes")

struct hs_totals {
#define HS_TOTAL(name, text) uint64_t name;
	HS_TOTALS
#undef HS_TOTAL
};

bool hs_enough(void); /* happened in this seed so far */
/* The seed that has just ended. One in which too little happened does not count. */
void hs_totals_add(struct hs_totals *, bool good);
void hs_totals_sum(struct hs_totals *, const struct hs_totals *more);
void hs_totals_keep(struct ledger *, struct hs_totals *); /* the ledger is of these */
void hs_totals_print(const struct hs_totals *);
/* A seed failed, or too many did too little. */
bool hs_totals_bad(const struct hs_totals *);
