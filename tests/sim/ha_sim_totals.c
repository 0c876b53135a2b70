/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What happened in many seeds, and was it enough. */
#include <stdio.h>
#include "tests/sim/ha_sim_totals.h"
#include "tests/sim/idle.h"

enum { REPLIES_MIN = 100, FAILOVERS_MIN = 2 };

bool hs_enough(void)
{
	return world.replies >= REPLIES_MIN && world.failovers >= FAILOVERS_MIN;
}

void hs_totals_add(struct hs_totals *t, bool good)
{
	t->seeds++;
	t->failed += !good;
	t->idle += good && !hs_enough();
	t->steps += world.steps;
	t->replies += world.replies;
	t->deaths += world.kills;
	t->failovers += world.failovers;
	t->handovers += world.switches;
	t->cuts += world.forks;
	t->copies += world.copies;
	t->repairs += world.repairs;
	t->unknowns += world.unknowns;
}

void hs_totals_sum(struct hs_totals *t, const struct hs_totals *more)
{
#define HS_TOTAL(name, text) t->name += more->name;
	HS_TOTALS
#undef HS_TOTAL
}

void hs_totals_keep(struct ledger *l, struct hs_totals *t)
{
#define HS_TOTAL(name, text) ledger_add(l, #name, &t->name);
	HS_TOTALS
#undef HS_TOTAL
}

void hs_totals_print(const struct hs_totals *t)
{
	const char *between = "";

#define HS_TOTAL(name, text)                           \
	printf("%s%llu " text, between, (ull)t->name); \
	between = ", ";
	HS_TOTALS
#undef HS_TOTAL
	printf("\n");
	if (t->idle)
		printf("%llu of the seeds do not count%s: fewer than %d replies or %d failovers\n",
		       (ull)t->idle, idle_too_many(t->idle, t->seeds) ? ", which are too many" : "",
		       REPLIES_MIN, FAILOVERS_MIN);
}

bool hs_totals_bad(const struct hs_totals *t)
{
	return t->failed > 0 || idle_too_many(t->idle, t->seeds);
}
