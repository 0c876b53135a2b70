/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/sim/sim_totals.h"
#include "tests/sim/idle.h"

#include <string.h>

void sim_totals_add(struct sim_totals *t, const struct sim *s)
{
	t->seeds++;
	t->failed += s->violation != NULL;
	t->idle += !s->violation && !s->counts;
	t->operations += s->done_ops;
	t->failovers += s->failovers;
	t->refused += s->refused;
	t->crashes += s->crashes;
	t->evictions += s->evictions;
	t->fences += s->client_fences;
	t->lun_writes += s->lun_writes;
	t->lun_reads += s->lun_reads;
	t->lun_refused += s->lun_refused;
	t->recalls += s->recalls;
	t->copies += s->full_copies;
	t->replaced += s->replaced;
	t->corrupted += s->corrupted;
	t->harmed += s->harmed;
	t->state_harmed += s->state_harmed;
	t->store_harmed += s->store_harmed;
	t->lies += s->lies;
	t->fences_failed += s->fences_failed;
	t->lone += s->lone && !s->violation;
	t->trees += s->trees;
	t->compared += s->compared;
	t->hashes += s->hashes;
	t->steps += s->steps;
	t->virtual_ms += s->now_us / SIM_US_MS;
	for (int i = 0; i < SIM_FAULTS; i++)
		t->fault[i] += s->fault_count[i];
}

void sim_totals_sum(struct sim_totals *t, const struct sim_totals *more)
{
#define SIM_TOTAL(name, text) t->name += more->name;
	SIM_TOTALS
#undef SIM_TOTAL
	for (int i = 0; i < SIM_FAULTS; i++)
		t->fault[i] += more->fault[i];
}

void sim_totals_print(const struct sim_totals *t)
{
	uint64_t faults = 0;

	for (int i = 0; i < SIM_FAULTS; i++)
		faults += t->fault[i];
	printf("%llu seeds, %llu failed, %llu count", (unsigned long long)t->seeds,
	       (unsigned long long)t->failed, (unsigned long long)(t->seeds - t->failed - t->idle));
	printf(": %.2f virtual days", (double)t->virtual_ms / 86.4e6);
#define SIM_TOTAL(name, text)                                                         \
	if (t->name && strcmp(#name, "seeds") != 0 && strcmp(#name, "failed") != 0 && \
	    strcmp(#name, "idle") != 0 && strcmp(#name, "virtual_ms") != 0 &&         \
	    strcmp(#name, "cpu_ms") != 0)                                             \
		printf(", %llu " text, (unsigned long long)t->name);
	SIM_TOTALS
#undef SIM_TOTAL
	if (t->cpu_ms)
		printf(", %.0f seeds an hour and processor",
		       (double)t->seeds * 3.6e6 / (double)t->cpu_ms);
	printf("\n%llu faults:", (unsigned long long)faults);
	for (int i = 0; i < SIM_FAULTS; i++)
		if (t->fault[i])
			printf(" %s %llu", sim_fault_name((enum sim_fault_kind)i),
			       (unsigned long long)t->fault[i]);
	printf("\n");
	if (t->idle)
		printf("%llu of the seeds do not count%s: fewer than %d operations, %d faults or %d failovers\n",
		       (unsigned long long)t->idle,
		       idle_too_many(t->idle, t->seeds) ? ", which are too many" : "", SIM_OPS_MIN,
		       SIM_FAULTS_MIN, SIM_FAILOVERS_MIN);
}

bool sim_totals_bad(const struct sim_totals *t)
{
	return t->failed > 0 || idle_too_many(t->idle, t->seeds);
}

void sim_totals_keep(struct ledger *l, struct sim_totals *t)
{
#define SIM_TOTAL(name, text) ledger_add(l, #name, &t->name);
	SIM_TOTALS
#undef SIM_TOTAL
	for (int i = 0; i < SIM_FAULTS; i++)
		ledger_add(l, sim_fault_name((enum sim_fault_kind)i), &t->fault[i]);
}

int sim_report(const struct sim *s)
{
	if (!s->violation)
		return 0;
	printf("seed %llu: %s: %s\n  after %.3f s, %llu operations, %llu faults; replay: tests/sim/sim --seed %llu --trace\n",
	       (unsigned long long)s->seed, s->violation, s->why, (double)s->now_us / 1e6,
	       (unsigned long long)s->done_ops, (unsigned long long)s->struck,
	       (unsigned long long)s->seed);
	return 1;
}
