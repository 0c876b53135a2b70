/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Small runs, of few clients, files and names: their answers alone must have an order that explains them. */
#include "tests/sim/sim_small.h"

#include <stdlib.h>

#include "tests/check/order.h"
#include "tests/sim/sim_totals.h"

enum { STEPS_MAX = 2000000 };

static void make_small(struct sim *s)
{
	struct sim_swarm *w = &s->swarm;

	w->clients = (uint32_t)sim_between(s, 2, 3);
	w->workers = 2;
	w->ops = (uint32_t)sim_between(s, 100, 250);
	w->think_us = (uint32_t)sim_between(s, 500, 40000);
	w->faults_mean_ms = (uint32_t)sim_between(s, 40, 400);
	w->data = 0;
	w->pages = 0;
	w->names = (uint32_t)sim_between(s, 2, 4);
	w->inodes = (uint32_t)sim_between(s, 3, 9);
}

static bool is_of_namespace(uint16_t type)
{
	return type != PR_T_CLOSE && type != PR_T_FSYNC && type != PR_T_NOOP;
}

static uint32_t history(const struct sim *s, struct order_op *ret)
{
	uint32_t count = 0;

	for (size_t i = 0; i < s->op_count; i++) {
		const struct sim_op *op = s->ops[i];
		bool known = op->answered && !op->unknown;

		if (!op->sent || !is_of_namespace(op->q.type))
			continue;
		ret[count] = (struct order_op){.q = op->q,
					       .told = op->told,
					       .asked = op->asked_us,
					       .answered = known ? op->answered_us : UINT64_MAX,
					       .place = (int)i};
		/* A number that no answer names stands for what was perhaps made. */
		ret[count].made = known && op->told.ino ? op->told.ino
				  : op->made		? op->made
							: (UINT64_C(1) << 60) + i;
		count++;
	}
	return count;
}

static void judge(struct sim *s, struct sim_small_totals *t)
{
	struct order_op *ops = calloc(s->op_count + 1, sizeof(*ops));
	uint32_t count = history(s, ops);
	uint64_t steps;
	int stuck;

	switch (order_search(ops, count, s->root, STEPS_MAX, &steps, &stuck)) {
	case ORDER_NONE:
		sim_fail(
			s, "linearizable",
			"no order of the %u operations explains all answers; where it came furthest, that to operation %d, a %s of client %d, was in the way",
			count, stuck, stuck < 0 ? "?" : pr_type_name(s->ops[stuck]->q.type),
			stuck < 0 ? -1 : s->ops[stuck]->client);
		break;
	case ORDER_UNDECIDED:
		t->undecided++;
		break;
	case ORDER_FOUND:
		break;
	}
	for (uint32_t i = 0; i < count; i++)
		t->unknown += ops[i].answered == UINT64_MAX;
	t->operations += count;
	t->steps += steps;
	free(ops);
}

static int run_one(uint64_t seed, bool trace, struct sim_small_totals *t)
{
	struct sim *s = sim_new(seed);
	int bad;

	s->trace = trace;
	make_small(s);
	sim_run(s);
	if (!s->violation)
		judge(s, t);
	bad = s->violation != NULL;
	if (bad)
		printf("seed %llu: %s: %s; replay: tests/sim/sim --search --from %llu --trace\n",
		       (unsigned long long)seed, s->violation, s->why, (unsigned long long)seed);
	t->histories++;
	t->failed += (uint64_t)bad;
	t->promotions += s->promotions;
	t->faults += s->struck;
	sim_free(s);
	return bad;
}

int sim_small_run(uint64_t from, uint64_t seeds, bool trace)
{
	struct sim_small_totals t = {0};
	int bad = 0;

	for (uint64_t i = 0; i < seeds && !bad; i++)
		bad = run_one(from + i, trace, &t);
	printf("%llu histories searched, %llu failed, %llu undecided: %llu operations, of %llu the outcome is unknown, %llu faults, %llu promotions, %llu steps of the search\n",
	       (unsigned long long)t.histories, (unsigned long long)t.failed,
	       (unsigned long long)t.undecided, (unsigned long long)t.operations,
	       (unsigned long long)t.unknown, (unsigned long long)t.faults,
	       (unsigned long long)t.promotions, (unsigned long long)t.steps);
	return bad;
}
