/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sim --seeds N [--from S] | --seed S [--trace]: whole pairs from seeds; the first that breaks a rule is printed with its command. */
#include "tests/sim/sim.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

enum { SAFETY_MS_MAX = 120000, HEAL_MS_MAX = 180000 };

static void seed_rng(struct sim *s, uint64_t seed)
{
	for (int i = 0; i < 4; i++) {
		uint64_t z = (seed += 0x9e3779b97f4a7c15);

		z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
		z = (z ^ z >> 27) * 0x94d049bb133111eb;
		s->rng[i] = z ^ z >> 31;
	}
}

/* Each seed has its own kind of bad day. */
static void draw_swarm(struct sim *s)
{
	struct sim_swarm *w = &s->swarm;

	w->clients = (uint32_t)sim_between(s, 3, SIM_CLIENTS);
	w->workers = (uint32_t)sim_between(s, 2, SIM_WORKERS);
	w->ops = (uint32_t)sim_between(s, 1000, 1400);
	w->faults_mean_ms = (uint32_t)sim_between(s, 20, 600);
	w->net_min_us = (uint32_t)sim_between(s, 20, 100);
	w->net_max_us =
		w->net_min_us + (uint32_t)sim_between(s, 10, sim_chance(s, 200) ? 30000 : 1000);
	w->disk_min_us = (uint32_t)sim_between(s, 30, 200);
	w->disk_max_us =
		w->disk_min_us + (uint32_t)sim_between(s, 10, sim_chance(s, 200) ? 40000 : 1000);
	w->keep = (uint32_t)sim_between(s, 0, 1000);
	w->tear = (uint32_t)sim_between(s, 0, 700);
	w->crash = 100 + (uint32_t)sim_below(s, 400);
	w->crash_both = (uint32_t)sim_below(s, 150);
	w->cut_link = (uint32_t)sim_below(s, 300);
	w->cut_client = (uint32_t)sim_below(s, 200);
	w->slow = (uint32_t)sim_below(s, 150);
	w->pause = (uint32_t)sim_below(s, 150);
	w->move = (uint32_t)sim_below(s, 300);
	w->arb = (uint32_t)sim_below(s, 100);
	w->think_us = (uint32_t)sim_between(s, 1000, 60000);
	w->restart_min_ms = (uint32_t)sim_between(s, 1, 100);
	w->restart_max_ms = w->restart_min_ms + (uint32_t)sim_between(s, 1, 3000);
	w->segments = (uint32_t)sim_between(s, 3, 8);
	w->overlay_kib = (uint32_t)sim_between(s, 64, 512);
	w->flush_ms = (uint32_t)sim_between(s, 20, 1500);
}

static void heal_way(struct sim *s, struct sim_event *e)
{
	sim_cut(s, (int)e->a, (int)e->b, false);
}

static void cut_way(struct sim *s, int a, int b)
{
	struct sim_event *e;

	sim_cut(s, a, b, true);
	e = sim_after(s, sim_between(s, 5, 3000) * SIM_US_MS, 0, heal_way);
	e->a = (uint64_t)a;
	e->b = (uint64_t)b;
	s->cuts++;
	sim_note(s, "fault: %d to %d is cut", a, b);
}

static void arbiter_back(struct sim *s, struct sim_event *e)
{
	(void)e;
	s->arbiter_cut = false;
}

static int active_node(const struct sim *s)
{
	for (int n = 1; n <= SIM_NODES; n++)
		if (s->node[n].up && s->node[n].role == PR_ROLE_ACTIVE)
			return n;
	return 0;
}

static int victim(struct sim *s)
{
	int active = active_node(s);

	return active && sim_chance(s, 600) ? active : (int)sim_between(s, 1, 2);
}

static void strike(struct sim *s)
{
	const struct sim_swarm *w = &s->swarm;
	uint32_t weight[] = {w->crash, w->crash_both, w->cut_link, w->cut_client,
			     w->slow,  w->pause,      w->move,	   w->arb},
		 sum = 0, at;
	int kind = 0, node = victim(s);

	for (size_t i = 0; i < sizeof(weight) / sizeof(weight[0]); i++)
		sum += weight[i];
	at = (uint32_t)sim_below(s, sum);
	while (at >= weight[kind])
		at -= weight[kind++];
	s->faults++;
	switch (kind) {
	case 0:
		sim_node_crash(s, node, "killed");
		break;
	case 1:
		sim_node_crash(s, 1, "power lost");
		sim_node_crash(s, 2, "power lost");
		break;
	case 2:
		if (sim_chance(s, 600))
			cut_way(s, 3 - node, node);
		cut_way(s, node, 3 - node);
		break;
	case 3: {
		int end = SIM_CLIENT_END + (int)sim_below(s, w->clients);

		if (sim_chance(s, 600))
			cut_way(s, node, end);
		cut_way(s, end, node);
		break;
	}
	case 4:
		s->node[node].slow_disk_us = sim_between(s, 1, 800) * SIM_US_MS;
		break;
	case 5:
		s->node[node].paused_until_us = s->now_us + sim_between(s, 10, 4000) * SIM_US_MS;
		s->pauses++;
		break;
	case 6: {
		struct ctl_event ev = {.type = CTL_EV_ADMIN, .ticket = 8, .text = "switchover"};

		if (active_node(s))
			sim_node_step(s, active_node(s), &ev);
		s->moves++;
		break;
	}
	case 7:
		s->arbiter_cut = true;
		sim_after(s, sim_between(s, 10, 2000) * SIM_US_MS, 0, arbiter_back);
		break;
	}
}

static void fault(struct sim *s, struct sim_event *e)
{
	(void)e;
	if (s->healing)
		return;
	strike(s);
	sim_after(s, sim_between(s, 1, 2ull * s->swarm.faults_mean_ms) * SIM_US_MS, 0, fault);
}

static void heal(struct sim *s)
{
	s->healing = true;
	s->arbiter_cut = false;
	memset(s->cut, 0, sizeof(s->cut));
	for (int n = 1; n <= SIM_NODES; n++)
		s->node[n].slow_disk_us = 0;
	sim_note(s, "faults stop");
}

static void bury(struct sim *s)
{
	while (s->dead_count > 0)
		ctl_free(s->dead[--s->dead_count]);
}

static bool settled(struct sim *s)
{
	int a = active_node(s);

	return sim_client_idle(s) && a && ha_mode(ctl_ha(s->node[a].ctl)) == HA_SYNC;
}

static void run_until(struct sim *s, uint64_t end_us, bool (*until)(struct sim *))
{
	while (!s->violation && s->now_us < end_us && !(until && until(s)) && sim_run_one(s))
		bury(s);
}

static bool has_volume(struct sim *s)
{
	return s->volume_made;
}

static bool ops_done(struct sim *s)
{
	return sim_client_idle(s);
}

static void run(struct sim *s, uint64_t seed)
{
	s->seed = seed;
	seed_rng(s, seed);
	draw_swarm(s);
	/* The LUN was labelled: both are members of nothing yet, nobody was active. */
	s->arbiter = (struct ha_arbiter){.seq = 1, .members = 3};
	memset(s->arbiter.cluster, 0xc5, sizeof(s->arbiter.cluster));
	s->arbiter_set = true;
	sim_node_boot(s, 1);
	sim_node_boot(s, 2);
	sim_after(s, 0, 0, sim_super_tick);
	run_until(s, 10000 * SIM_US_MS, has_volume);
	if (!s->violation && !s->volume_made)
		sim_fail(s, "liveness", "no volume after ten seconds without a fault");
	for (int i = 0; i < (int)s->swarm.clients; i++)
		sim_client_start(s, i);
	sim_after(s, 400 * SIM_US_MS, 0, fault);
	run_until(s, (uint64_t)SAFETY_MS_MAX * SIM_US_MS, ops_done);
	if (!s->violation) {
		uint64_t end_us = s->now_us + (uint64_t)HEAL_MS_MAX * SIM_US_MS;

		heal(s);
		run_until(s, end_us, settled);
		if (!s->violation && !settled(s))
			sim_fail(s, "liveness",
				 "faults stopped %d s ago: %llu of %u operations done, active: %d",
				 HEAL_MS_MAX / 1000, (unsigned long long)s->done_ops, s->swarm.ops,
				 active_node(s));
	}
	if (!s->violation) {
		run_until(s, s->now_us + (2ull * s->swarm.flush_ms + 1500) * SIM_US_MS, NULL);
		sim_check_end(s);
	}
}

static void release(struct sim *s)
{
	while (s->heap_count > 0) {
		struct sim_event *e = s->heap[--s->heap_count];

		free(e->p);
		free(e);
	}
	free(s->heap);
	bury(s);
	for (int n = 1; n <= SIM_NODES; n++)
		sim_node_free(&s->node[n]);
	sim_client_free(s);
	sim_history_free(s);
	sim_net_free(s);
	sim_witness_free(s);
	free(s);
}

struct totals {
	uint64_t seeds, ops, faults, crashes, promotions, moves, cuts, pauses, copies, steps,
		virtual_ms, compared, trees, refused;
};

static int one(uint64_t seed, bool trace, struct totals *t)
{
	struct sim *s = calloc(1, sizeof(*s));
	int bad;

	s->trace = trace;
	run(s, seed);
	t->seeds++;
	t->ops += s->done_ops;
	t->faults += s->faults;
	t->crashes += s->crashes;
	t->promotions += s->promotions;
	t->moves += s->moves;
	t->cuts += s->cuts;
	t->pauses += s->pauses;
	t->copies += s->full_copies;
	t->steps += s->steps;
	t->compared += s->compared;
	t->trees += s->trees;
	t->refused += s->refused;
	t->virtual_ms += s->now_us / SIM_US_MS;
	bad = s->violation != NULL;
	if (bad)
		printf("seed %llu: %s: %s\n  after %.3f s, %llu operations, %llu faults; replay: tests/sim/sim --seed %llu --trace\n",
		       (unsigned long long)seed, s->violation, s->why, (double)s->now_us / 1e6,
		       (unsigned long long)s->done_ops, (unsigned long long)s->faults,
		       (unsigned long long)seed);
	else if (trace)
		printf("seed %llu holds; trace hash %016llx\n", (unsigned long long)seed,
		       (unsigned long long)s->hash);
	release(s);
	return bad;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"seeds", 1, 0, 'n'},	   {"from", 1, 0, 'f'},
						{"seed", 1, 0, 's'},	   {"trace", 0, 0, 't'},
						{"keep-going", 0, 0, 'k'}, {0}};
	uint64_t seeds = 1, from = 1, failed = 0;
	bool trace = false, keep_going = false;
	struct totals t = {0};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'n':
			seeds = strtoull(optarg, NULL, 0);
			break;
		case 'f':
			from = strtoull(optarg, NULL, 0);
			break;
		case 's':
			from = strtoull(optarg, NULL, 0);
			seeds = 1;
			break;
		case 't':
			trace = true;
			break;
		case 'k':
			keep_going = true;
			break;
		default:
			fprintf(stderr,
				"usage: sim --seeds N [--from S] [--keep-going] | --seed S [--trace]\n");
			return 2;
		}
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (uint64_t i = 0; i < seeds && (keep_going || !failed); i++)
		failed += (uint64_t)one(from + i, trace, &t);
	printf("%llu seeds, %llu failed: %llu operations, %llu faults (%llu crashes, %llu cuts, %llu pauses, %llu switchovers asked), "
	       "%llu promotions, %llu refused, %llu full copies, %llu stores compared, %llu trees, %.1f virtual hours, %llu steps\n",
	       (unsigned long long)t.seeds, (unsigned long long)failed, (unsigned long long)t.ops,
	       (unsigned long long)t.faults, (unsigned long long)t.crashes,
	       (unsigned long long)t.cuts, (unsigned long long)t.pauses,
	       (unsigned long long)t.moves, (unsigned long long)t.promotions,
	       (unsigned long long)t.refused, (unsigned long long)t.copies,
	       (unsigned long long)t.compared, (unsigned long long)t.trees,
	       (double)t.virtual_ms / 3.6e6, (unsigned long long)t.steps);
	return failed ? 1 : 0;
}
