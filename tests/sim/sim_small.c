/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Small runs, of few clients, files and names: their answers alone must have an order that explains them. */
#include "tests/sim/sim_small.h"

#include <stdlib.h>

#include "tests/check/order.h"
#include "tests/sim/idle.h"

enum {
	STEPS_MAX = 2000000,
	OPERATIONS_MIN = 50, /* of a history that counts */
	PORTION = 25,	     /* so often the ledger is written */
};

#define SMALL_TOTALS                                            \
	SMALL_TOTAL(histories, "histories searched")            \
	SMALL_TOTAL(failed, "failed")                           \
	SMALL_TOTAL(undecided, "undecided")                     \
	SMALL_TOTAL(idle, "too short")                          \
	SMALL_TOTAL(operations, "operations")                   \
	SMALL_TOTAL(unknown, "of them with an unknown outcome") \
	SMALL_TOTAL(faults, "faults")                           \
	SMALL_TOTAL(promotions, "promotions")                   \
	SMALL_TOTAL(steps, "steps of the search")

struct totals {
#define SMALL_TOTAL(name, text) uint64_t name;
	SMALL_TOTALS
#undef SMALL_TOTAL
};

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

static void judge(struct sim *s, struct totals *t)
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
	t->idle += count < OPERATIONS_MIN;
	t->operations += count;
	t->steps += steps;
	free(ops);
}

static void run_one(uint64_t seed, bool trace, struct totals *t)
{
	struct sim *s = sim_new(seed);

	s->trace = trace;
	make_small(s);
	sim_run(s);
	if (!s->violation)
		judge(s, t);
	if (s->violation)
		printf("seed %llu: %s: %s; replay: tests/sim/sim --search --from %llu --trace\n",
		       (unsigned long long)seed, s->violation, s->why, (unsigned long long)seed);
	t->histories++;
	t->failed += s->violation != NULL;
	t->promotions += s->promotions;
	t->faults += s->struck;
	sim_free(s);
}

static void sum(struct totals *t, const struct totals *more)
{
#define SMALL_TOTAL(name, text) t->name += more->name;
	SMALL_TOTALS
#undef SMALL_TOTAL
}

static void keep(struct ledger *l, struct totals *t)
{
#define SMALL_TOTAL(name, text) ledger_add(l, #name, &t->name);
	SMALL_TOTALS
#undef SMALL_TOTAL
}

static bool too_many(const struct totals *t)
{
	return idle_too_many(t->undecided + t->idle, t->histories);
}

static void print(const struct totals *t)
{
	const char *between = "";

#define SMALL_TOTAL(name, text)                                       \
	printf("%s%llu " text, between, (unsigned long long)t->name); \
	between = ", ";
	SMALL_TOTALS
#undef SMALL_TOTAL
	printf("\n");
	if (too_many(t))
		printf("too many histories are undecided, or have fewer than %d operations\n",
		       OPERATIONS_MIN);
}

int sim_small_run(const struct sim_batch_run *run, bool trace)
{
	struct totals now = {0}, ever = {0};
	struct ledger ledger;
	uint64_t end;

	ledger_begin(&ledger, run->ledger, run->from);
	keep(&ledger, &ever);
	if (ledger_read(&ledger) < 0)
		return 2;
	end = ledger.next + run->seeds;
	while (ledger.next < end && now.failed == 0) {
		struct totals one = {0};

		run_one(ledger.next++, trace, &one);
		sum(&now, &one);
		sum(&ever, &one);
		if ((ledger.next == end || now.failed || now.histories % PORTION == 0) &&
		    ledger_write(&ledger) < 0)
			return 2;
	}
	print(&now);
	if (run->ledger) {
		printf("with what %s knew: ", run->ledger);
		print(&ever);
	}
	return ever.failed > 0 || too_many(&ever) || too_many(&now);
}
