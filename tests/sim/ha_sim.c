/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs seeds, and says of each that fails what was wrong.
 *
 * ha_sim [--seeds N] [--seed S] [--trace] [--ms FAULT_MS] [--stop] [--ledger FILE]
 *
 * With a ledger it goes on behind the last seed of that; a new one begins at S.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "proto/assert_stderr.h"
#include "tests/number.h"
#include "tests/sim/ha_sim_totals.h"

enum {
	FAULT_MS = 8000,
	MORE_MAX = 8,  /* so many times as long, until enough has happened */
	PORTION = 100, /* so often the ledger is written */
};

static void run_until(uint64_t us)
{
	struct hs_event e;

	while (world.heap_n && world.heap[0].at_us <= us) {
		hs_pop(&e);
		world.now_us = e.at_us;
		hs_happen(&e);
		jr_batch_unref(e.batch);
		free(e.p);
	}
	world.now_us = us;
}

/* An hour for a standby that was dropped three times; else seconds. */
static void settle(void)
{
	uint64_t began = world.now_us;

	while (!hs_settled() && world.now_us < began + 4000000000ull)
		run_until(world.now_us + (world.now_us < began + 60000000 ? 100000 : 10000000));
	if (!hs_settled())
		hs_fail("liveness: the pair did not come back to SYNC (node 1: up %d, node 2: up %d; members %u active %u)",
			world.node[0].up, world.node[1].up, world.arb.members, world.arb.active);
}

static void finish(void)
{
	uint64_t replies;

	world.faults = false;
	world.end_faults_us = world.now_us;
	world.cut[0] = world.cut[1] = world.arb_down = false;
	world.node[0].disk_slow = world.node[1].disk_slow = false;
	hs_later(1, HS_CONNECT, 0);
	for (unsigned i = 0; i < 2; i++)
		if (!world.node[i].up)
			hs_later(1000 + hs_upto(300000), HS_RESTART, i);
	hs_say("---- the faults stop ----");
	settle();
	/* What the faults left behind may break a session once more: then it must settle again. */
	for (unsigned i = 0; i < 5; i++) {
		replies = world.replies;
		run_until(world.now_us + 500000);
		if (hs_settled() && world.replies >= replies + 10)
			break;
		if (i == 4)
			hs_fail("liveness: %llu replies in half a second of calm",
				(ull)(world.replies - replies));
		settle();
	}
	/* I14: stop the client, let the standby catch up. */
	for (unsigned s = 0; s < HS_SLOTS; s++)
		world.slot[s].sent_us = UINT64_MAX - 1000000;
	for (unsigned i = 0; i < world.heap_n; i++)
		if (world.heap[i].kind == HS_REQUEST || world.heap[i].kind == HS_CLIENT)
			world.heap[i].kind = HS_CONNECT;
	run_until(world.now_us + 500000);
	for (unsigned s = 0; s < HS_SLOTS; s++)
		if (world.node[0].rows.seq[s] != world.node[1].rows.seq[s] ||
		    world.node[0].rows.at[s] != world.node[1].rows.at[s])
			hs_fail("I14: slot %u differs: node 1 has %llu at LSN %llu, node 2 %llu at %llu",
				s, (ull)world.node[0].rows.seq[s], (ull)world.node[0].rows.at[s],
				(ull)world.node[1].rows.seq[s], (ull)world.node[1].rows.at[s]);
}

static void begin(uint64_t seed)
{
	memset(&world, 0, sizeof(world));
	world.rng = seed * 0x2545f4914f6cdd1d + 1;
	world.faults = true;
	world.now_us = 1000000;
	world.fault_mask = hs_random() | hs_random();
	world.calm_us = 10000 << hs_upto(8);
	world.wrong = hs_chance(250);
	world.keyless = !world.wrong && hs_chance(500);
	world.restart_us = hs_chance(500) ? 300000 : 2000000;
	for (unsigned i = 0; i < 2; i++) {
		world.node[i].id = (uint8_t)(i + 1);
		world.node[i].incarnation = hs_upto(100);
		hs_later(hs_upto(20000), HS_RESTART, i);
	}
	memcpy(world.arb.cluster, hs_cluster, 16);
	world.arb.seq = 1;
	world.arb.members = 3;
	for (unsigned s = 0; s < HS_SLOTS; s++)
		world.slot[s].seq = 1;
	hs_later(1000, HS_CLIENT, 0);
	hs_later(1000, HS_SUPER, 0);
	hs_later(200000 + hs_upto(300000), HS_FAULT, 0);
}

static void end(void)
{
	struct hs_event e;

	while (hs_pop(&e)) {
		jr_batch_unref(e.batch);
		free(e.p);
	}
	free(world.heap);
	for (unsigned i = 0; i < 2; i++) {
		struct hs_node *n = &world.node[i];

		for (unsigned k = 0; k < n->appends; k++)
			jr_batch_unref(n->append[k]);
		for (unsigned k = 0; k < n->mines; k++)
			jr_batch_unref(n->mine[k]);
		hs_log_clear(&n->log);
		ha_free(n->ha);
	}
}

static void on_assert(const char *text, size_t len)
{
	hs_fail("%.*s", (int)(len ? len - 1 : 0), text);
}

/* A seed that was drawn too few faults gets them all. */
static void more(uint64_t fault_ms)
{
	for (unsigned i = 0; i < MORE_MAX && !hs_enough(); i++) {
		world.fault_mask = UINT64_MAX;
		run_until(world.now_us + fault_ms * 1000);
	}
}

static bool run_seed(uint64_t seed, uint64_t fault_ms)
{
	volatile bool good = false;

	begin(seed);
	if (!setjmp(hs_failed)) {
		run_until(world.now_us + fault_ms * 1000);
		more(fault_ms);
		finish();
		good = true;
	}
	if (!good)
		printf("seed %llu at %.3f ms: %s; replay: tests/sim/ha_sim --seed %llu --ms %llu --trace\n",
		       (ull)seed, (double)world.now_us / 1000, hs_failure, (ull)seed,
		       (ull)fault_ms);
	return good;
}

struct arguments {
	uint64_t seeds, from, ms, enough;
	const char *ledger;
};

/* One after the other, until enough have failed. */
static int run_seeds(const struct arguments *a)
{
	struct hs_totals now = {0}, ever = {0};
	struct ledger ledger;
	uint64_t end_seed;

	ledger_begin(&ledger, a->ledger, a->from);
	hs_totals_keep(&ledger, &ever);
	if (ledger_read(&ledger) < 0)
		return 2;
	end_seed = ledger.next + a->seeds;
	while (ledger.next < end_seed && now.failed < a->enough) {
		struct hs_totals one = {0};

		hs_totals_add(&one, run_seed(ledger.next++, a->ms));
		end();
		hs_totals_sum(&now, &one);
		hs_totals_sum(&ever, &one);
		if ((ledger.next == end_seed || one.failed || now.seeds % PORTION == 0) &&
		    ledger_write(&ledger) < 0)
			return 2;
	}
	printf("ha_sim: ");
	hs_totals_print(&now);
	if (a->ledger) {
		printf("with what %s knew: ", a->ledger);
		hs_totals_print(&ever);
	}
	return hs_totals_bad(&ever) || hs_totals_bad(&now);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"seeds", required_argument, NULL, 'n'},
		{"seed", required_argument, NULL, 's'},
		{"trace", no_argument, NULL, 't'},
		{"ms", required_argument, NULL, 'm'},
		{"stop", no_argument, NULL, '1'},
		{"ledger", required_argument, NULL, 'l'},
		{0},
	};
	struct arguments a = {.seeds = 1, .from = 1, .ms = FAULT_MS, .enough = 10};
	int c;

	while ((c = getopt_long(argc, argv, "n:s:tm:1", options, NULL)) != -1)
		switch (c) {
		case 'n':
			a.seeds = number_of("seeds", optarg, 1, UINT64_MAX);
			break;
		case 's':
			a.from = number_of("seed", optarg, 0, UINT64_MAX);
			break;
		case 't':
			hs_trace = true;
			break;
		case 'm':
			a.ms = number_of("ms", optarg, 1, UINT32_MAX);
			break;
		case '1':
			a.enough = 1;
			break;
		case 'l':
			a.ledger = optarg;
			break;
		default:
			fprintf(stderr,
				"usage: ha_sim [--seeds N] [--seed S] [--trace] [--ms FAULT_MS] [--stop] [--ledger FILE]\n");
			return 2;
		}
	setvbuf(stdout, NULL, _IOLBF, 0);
	pr_assert_handler = on_assert;
	return run_seeds(&a);
}
