/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Of damaged sectors: where they lay, and who noticed. */
#include "tests/crash/crash_table.h"

#include <stdio.h>

static const char *const outcomes[CRASH_OUTCOMES] = {
	[CRASH_SAID] = "said at the start",	[CRASH_VERIFIED] = "shown by verification",
	[CRASH_MENDED] = "mended unasked",	[CRASH_OVERWRITTEN] = "overwritten",
	[CRASH_UNNOTICED] = "stays, unnoticed", [CRASH_LOST] = "as in a crash: served without it",
};

const char *crash_outcome_name(enum crash_outcome o)
{
	return outcomes[o];
}

void crash_table_add(struct crash_table *t, const struct crash_result *r)
{
	if (r->changed)
		t->count[r->where_it_lay][r->outcome]++;
}

uint64_t crash_table_total(const struct crash_table *t, enum crash_where where)
{
	uint64_t n = 0;

	for (unsigned o = 0; o < CRASH_OUTCOMES; o++)
		n += t->count[where][o];
	return n;
}

void crash_table_print(const struct crash_table *t)
{
	printf("  %-36s %8s", "the sector was part of", "changed");
	for (unsigned o = 0; o < CRASH_OUTCOMES; o++)
		printf(" | %s", outcomes[o]);
	printf(" | why nobody need notice\n");
	for (unsigned w = 0; w < CRASH_WHERES; w++) {
		if (!crash_table_total(t, w))
			continue;
		printf("  %-36s %8llu", crash_where_name(w),
		       (unsigned long long)crash_table_total(t, w));
		for (unsigned o = 0; o < CRASH_OUTCOMES; o++)
			printf(" | %llu", (unsigned long long)t->count[w][o]);
		printf(" | %s\n", crash_where_why(w));
	}
}
