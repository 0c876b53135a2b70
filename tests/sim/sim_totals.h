/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Many seeds: run on several processes, summed, kept in a ledger. */
#pragma once

#include "tests/sim/ledger.h"
#include "tests/sim/sim.h"

struct sim_batch_run {
	uint64_t from, seeds;
	unsigned jobs;
	bool keep_going;
	const char *ledger; /* NULL: none */
};

/* What is summed over seeds. */
#define SIM_TOTALS                                                    \
	SIM_TOTAL(seeds, "seeds")                                     \
	SIM_TOTAL(failed, "failed")                                   \
	SIM_TOTAL(idle, "that did too little")                        \
	SIM_TOTAL(operations, "operations")                           \
	SIM_TOTAL(failovers, "failovers")                             \
	SIM_TOTAL(refused, "refused promotions")                      \
	SIM_TOTAL(crashes, "crashes")                                 \
	SIM_TOTAL(evictions, "sessions lost")                         \
	SIM_TOTAL(fences, "client fences")                            \
	SIM_TOTAL(lun_writes, "blocks written")                       \
	SIM_TOTAL(lun_reads, "blocks read")                           \
	SIM_TOTAL(lun_refused, "blocks refused")                      \
	SIM_TOTAL(recalls, "recalls")                                 \
	SIM_TOTAL(copies, "full copies")                              \
	SIM_TOTAL(replaced, "disks replaced")                         \
	SIM_TOTAL(corrupted, "damaged frames")                        \
	SIM_TOTAL(harmed, "damages of a journal")                     \
	SIM_TOTAL(state_harmed, "of a state")                         \
	SIM_TOTAL(store_harmed, "of a store")                         \
	SIM_TOTAL(lies, "fences that lied")                           \
	SIM_TOTAL(fences_failed, "fences of controllers that failed") \
	SIM_TOTAL(lone, "that ended with one controller")             \
	SIM_TOTAL(trees, "final trees")                               \
	SIM_TOTAL(compared, "stores compared")                        \
	SIM_TOTAL(hashes, "batches compared on disks")                \
	SIM_TOTAL(steps, "steps")                                     \
	SIM_TOTAL(virtual_ms, "virtual ms")                           \
	SIM_TOTAL(cpu_ms, "processor ms")

struct sim_totals {
#define SIM_TOTAL(name, text) uint64_t name;
	SIM_TOTALS
#undef SIM_TOTAL
	uint64_t fault[SIM_FAULTS];
};

void sim_totals_add(struct sim_totals *, const struct sim *);
void sim_totals_sum(struct sim_totals *, const struct sim_totals *);
void sim_totals_print(const struct sim_totals *);
/* A seed failed, or too many did too little. */
bool sim_totals_bad(const struct sim_totals *);
/* The ledger is of these. */
void sim_totals_keep(struct ledger *, struct sim_totals *);

/* Prints what rule the run broke and how to see it again. Returns 1 if one was. */
int sim_report(const struct sim *);
int sim_run_many(struct sim_batch_run *);
