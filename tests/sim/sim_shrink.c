/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Leaves out faults of a failing seed, many at a time, then few, as long as the same rule is broken. */
#include "tests/sim/sim_shrink.h"

#include <stdlib.h>
#include <string.h>

enum { MORE_MS = 2000 };

struct shrink {
	uint64_t seed, faults, until_us, runs;
	char rule[64];
	bool in_safety; /* it fails while faults strike: what comes after them is of no interest */
	bool skip[SIM_FAULTS_MAX];
};

static struct sim *run(struct shrink *h, const bool *skip)
{
	struct sim *s = sim_new(h->seed);

	memcpy(s->skip, skip, sizeof(s->skip));
	s->until_us = h->until_us;
	s->ends_broken = h->in_safety;
	sim_run(s);
	h->runs++;
	return s;
}

static bool still_fails(struct shrink *h, const bool *skip)
{
	struct sim *s = run(h, skip);
	bool same = s->violation && strcmp(s->violation, h->rule) == 0;

	sim_free(s);
	return same;
}

static uint64_t left(const struct shrink *h)
{
	uint64_t count = 0;

	for (uint64_t i = 0; i < h->faults; i++)
		count += !h->skip[i];
	return count;
}

/* Tries without each stretch of that many of those that are left. */
static void drop_stretches(struct shrink *h, uint64_t length)
{
	bool skip[SIM_FAULTS_MAX];

	for (uint64_t from = 0; from < h->faults;) {
		uint64_t count = 0, end = from;

		memcpy(skip, h->skip, sizeof(skip));
		for (; end < h->faults && count < length; end++) {
			count += !skip[end];
			skip[end] = true;
		}
		if (count > 0 && still_fails(h, skip))
			memcpy(h->skip, skip, sizeof(skip));
		from = end;
	}
}

static void print(const struct shrink *h)
{
	const char *comma = "";

	printf("%llu of %llu faults are enough, found in %llu runs; replay: tests/sim/sim --seed %llu --trace --only ",
	       (unsigned long long)left(h), (unsigned long long)h->faults,
	       (unsigned long long)h->runs, (unsigned long long)h->seed);
	for (uint64_t i = 0; i < h->faults; i++) {
		if (h->skip[i])
			continue;
		printf("%s%llu", comma, (unsigned long long)i);
		comma = ",";
	}
	printf("%s\n", *comma ? "" : "none");
}

int sim_shrink(uint64_t seed)
{
	struct shrink *h = calloc(1, sizeof(*h));
	struct sim *s;

	h->seed = seed;
	s = run(h, h->skip);
	if (!s->violation) {
		printf("seed %llu holds: nothing to shrink\n", (unsigned long long)seed);
		sim_free(s);
		free(h);
		return 0;
	}
	printf("seed %llu: %s: %s\n", (unsigned long long)seed, s->violation, s->why);
	snprintf(h->rule, sizeof(h->rule), "%s", s->violation);
	h->faults = s->fault_index < SIM_FAULTS_MAX ? s->fault_index : SIM_FAULTS_MAX;
	h->until_us = (s->healed_us ? s->healed_us : s->now_us) + MORE_MS * SIM_US_MS;
	h->in_safety = s->healed_us == 0;
	sim_free(s);
	for (uint64_t i = h->faults; i < SIM_FAULTS_MAX; i++)
		h->skip[i] = true;
	for (uint64_t length = h->faults / 2 + 1; length > 0; length /= 2) {
		drop_stretches(h, length);
		printf("  %llu faults left after %llu runs\n", (unsigned long long)left(h),
		       (unsigned long long)h->runs);
	}
	print(h);
	free(h);
	return 1;
}

void sim_only(struct sim *s, const char *list)
{
	for (int i = 0; i < SIM_FAULTS_MAX; i++)
		s->skip[i] = true;
	while (*list >= '0' && *list <= '9') {
		char *end;
		uint64_t i = strtoull(list, &end, 10);

		if (i < SIM_FAULTS_MAX)
			s->skip[i] = false;
		list = *end == ',' ? end + 1 : end;
	}
}
