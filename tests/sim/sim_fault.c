/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What goes wrong. Each seed draws its own kind of bad day: which faults there are and how often, how slow disks and network are.
 * The i-th fault of a seed draws from a generator of its own, so that leaving out another one does not change it.
 */
#include "tests/sim/sim.h"

#include <errno.h>
#include <string.h>

static const char *const fault_names[SIM_FAULTS] = {
#define SIM_FAULT(name, text) text,
	SIM_FAULT_KINDS
#undef SIM_FAULT
};

const char *sim_fault_name(enum sim_fault_kind kind)
{
	return fault_names[kind];
}

/* Controllers stand still for long, and clients are always there: who loses a session then has been wronged. */
static void draw_stillness(struct sim *s)
{
	uint32_t *weight = s->swarm.weight;

	s->swarm.long_pauses = 100;
	if (!sim_chance(s, 150))
		return;
	s->swarm.long_pauses = 500;
	weight[SIM_FAULT_CUT_CLIENT] = weight[SIM_FAULT_CLIENT_OFF] = 0;
	weight[SIM_FAULT_CLIENT_PAUSE] = 0;
	weight[SIM_FAULT_PAUSE] = (uint32_t)sim_between(s, 200, 600);
}

/* Rare, for it takes its time: the journal is small then, or it would not be full in the end. */
static void draw_loop(struct sim *s)
{
	if (!sim_chance(s, 60))
		return;
	s->swarm.segments = 3;
	s->swarm.weight[SIM_FAULT_CRASH_LOOP] = (uint32_t)sim_between(s, 20, 100);
}

/* In some clusters fencing takes a node's key off the LUN and no more: it lives on, and its successor waits for its lease. */
static void draw_fencing(struct sim *s)
{
	struct sim_swarm *w = &s->swarm;

	if (sim_chance(s, 350))
		w->node_fence_fails = (uint32_t)sim_between(s, 50, 800);
	if (!sim_chance(s, 400))
		return;
	w->takeover_wait_ms =
		(uint32_t)sim_between(s, SIM_LINK_LEASE_MS + 1, 2 * SIM_LINK_LEASE_MS);
	w->weight[SIM_FAULT_FALSE_DEATH] = (uint32_t)sim_between(s, 100, 500);
}

/* What the disks do under ring, state and store; scripts need to know nothing of it. */
static void draw_small_disks(struct sim *s)
{
	for (int i = SIM_FAULT_RING_LOST; i <= SIM_FAULT_STORE_UNREADABLE; i++)
		s->swarm.weight[i] = sim_chance(s, 400) ? 0 : (uint32_t)sim_between(s, 1, 300);
}

void sim_swarm_draw(struct sim *s)
{
	struct sim_swarm *w = &s->swarm;

	w->clients = (uint32_t)sim_between(s, 3, SIM_CLIENTS);
	w->workers = (uint32_t)sim_between(s, 2, SIM_WORKERS);
	w->ops = (uint32_t)sim_between(s, SIM_OPS_MIN, SIM_OPS_MIN + 400);
	w->faults_mean_ms = (uint32_t)sim_between(s, 80, sim_chance(s, 400) ? 400 : 1500);
	w->net_min_us = (uint32_t)sim_between(s, 20, 100);
	w->net_max_us =
		w->net_min_us + (uint32_t)sim_between(s, 10, sim_chance(s, 200) ? 30000 : 1000);
	w->disk_min_us = (uint32_t)sim_between(s, 30, 200);
	w->disk_max_us =
		w->disk_min_us + (uint32_t)sim_between(s, 10, sim_chance(s, 200) ? 40000 : 1000);
	w->keep = (uint32_t)sim_between(s, 0, 1000);
	w->tear = (uint32_t)sim_between(s, 0, 700);
	w->think_us = (uint32_t)sim_between(s, 1000, 60000);
	w->restart_min_ms = (uint32_t)sim_between(s, 1, 100);
	w->restart_max_ms = w->restart_min_ms + (uint32_t)sim_between(s, 1, 3000);
	w->segments = (uint32_t)sim_between(s, 3, 8);
	w->overlay_kib = (uint32_t)sim_between(s, 64, 512);
	w->flush_ms = (uint32_t)sim_between(s, 20, 1500);
	w->names = MODEL_NAMES;
	w->inodes = 60;
	w->cache_kib = (uint32_t)sim_between(s, 16, 64);
	w->fetch_max_us = (uint32_t)sim_between(s, 300, sim_chance(s, 500) ? 3000 : 100000);
	w->lease_ms = (uint32_t)sim_between(s, 2000, 8000);
	w->lun_blocks =
		SIM_LUN_FIRST + (uint32_t)sim_between(s, 60, sim_chance(s, 500) ? 200 : 2000);
	w->lun_stuck = (uint32_t)sim_below(s, 60);
	w->data = (uint32_t)sim_below(s, 500);
	w->pages = (uint32_t)sim_below(s, 800);
	w->fence_late = (uint32_t)sim_below(s, 300);
	w->fence_fails = (uint32_t)sim_below(s, 700);
	/* A kind that never happens lets the others go further. */
	for (int i = 0; i < SIM_FAULT_FALSE_DEATH; i++)
		w->weight[i] = sim_chance(s, 300) ? 0 : (uint32_t)sim_between(s, 1, 300);
	w->weight[SIM_FAULT_CRASH] += 100;
	/* From a generator of their own: scripts depend on what else a seed draws. */
	sim_rng_seed(&s->fault_rng, ~s->seed);
	s->striking = true;
	draw_stillness(s);
	draw_fencing(s);
	draw_loop(s);
	if (sim_chance(s, 333))
		s->swarm.burst = (uint32_t)sim_between(s, 200, 600);
	draw_small_disks(s);
	if (sim_chance(s, 300))
		w->weight[SIM_FAULT_QUORUM] = (uint32_t)sim_between(s, 50, 400);
	s->striking = false;
}

void sim_swarm_print(const struct sim *s)
{
	const struct sim_swarm *w = &s->swarm;

	printf("seed %llu: %u clients of %u workers, %u operations, think %u us, a fault each %u ms, network %u..%u us, disks %u..%u us, kept %u torn %u in 1000, restart %u..%u ms, %u segments, overlay %u KiB, flush %u ms, lease %u ms, LUN of %u blocks, %u data tasks in 1000\n  faults:",
	       (unsigned long long)s->seed, w->clients, w->workers, w->ops, w->think_us,
	       w->faults_mean_ms, w->net_min_us, w->net_max_us, w->disk_min_us, w->disk_max_us,
	       w->keep, w->tear, w->restart_min_ms, w->restart_max_ms, w->segments, w->overlay_kib,
	       w->flush_ms, w->lease_ms, w->lun_blocks - SIM_LUN_FIRST, w->data);
	for (int i = 0; i < SIM_FAULTS; i++)
		if (w->weight[i])
			printf(" %s %u", fault_names[i], w->weight[i]);
	printf("\n  fences of clients fail %u, of controllers are late %u in 1000; %u in 1000 pauses are longer than a session; LUN writes stuck %u in 1000; cache %u KiB, fetches up to %u us",
	       w->fence_fails, w->fence_late, w->long_pauses, w->lun_stuck, w->cache_kib,
	       w->fetch_max_us);
	if (w->burst)
		printf("\n  %u of 1000 faults bring another within 5 ms", w->burst);
	if (w->takeover_wait_ms)
		printf("\n  a fenced controller lives, its successor waits %u ms",
		       w->takeover_wait_ms);
	if (w->node_fence_fails)
		printf("\n  %u of 1000 fences of a controller fail", w->node_fence_fails);
	printf("\n");
}

int sim_active(const struct sim *s)
{
	for (int n = 1; n <= SIM_NODES; n++)
		if (s->node[n].up && s->node[n].role == PR_ROLE_ACTIVE && n != s->given_up)
			return n;
	return 0;
}

static int victim(struct sim *s)
{
	int active = sim_active(s);

	return active && sim_chance(s, 600) ? active : (int)sim_between(s, 1, 2);
}

/* ---- each kind ---- */

static void heal_way(struct sim *s, struct sim_event *e)
{
	sim_cut(s, (int)e->a, (int)e->b, false);
}

/* Until then it may be out of reach: who loses a session is asked for a reason. */
static void disturbed(struct sim *s, int end, uint64_t us)
{
	if (!sim_is_node(end) && s->now_us + us > s->client[end - SIM_CLIENT_END].disturbed_us)
		s->client[end - SIM_CLIENT_END].disturbed_us = s->now_us + us;
}

static void cut_way(struct sim *s, int a, int b, uint64_t max_ms)
{
	uint64_t us = sim_between(s, 5, max_ms) * SIM_US_MS;
	struct sim_event *e;

	sim_cut(s, a, b, true);
	disturbed(s, a, us);
	disturbed(s, b, us);
	e = sim_after(s, us, 0, heal_way);
	e->a = (uint64_t)a;
	e->b = (uint64_t)b;
	sim_note(s, "fault: %d to %d is cut", a, b);
}

static void cut_between(struct sim *s, int a, int b, uint64_t max_ms)
{
	if (sim_chance(s, 600))
		cut_way(s, b, a, max_ms);
	cut_way(s, a, b, max_ms);
}

/* From both controllers, for as long as its session may last, or longer. */
static void cut_off(struct sim *s, int client)
{
	uint64_t max_ms = sim_chance(s, 500) ? 3000 : 6ull * s->swarm.lease_ms;

	cut_between(s, SIM_CLIENT_END + client, 1, max_ms);
	cut_between(s, SIM_CLIENT_END + client, 2, max_ms);
}

static void stop_client(struct sim *s, int client)
{
	uint64_t us = sim_between(s, 10, sim_chance(s, 500) ? 3000 : 6ull * s->swarm.lease_ms) *
		      SIM_US_MS;

	sim_pause(s, SIM_CLIENT_END + client, us);
	disturbed(s, SIM_CLIENT_END + client, us);
}

static void arbiter_back(struct sim *s, struct sim_event *e)
{
	(void)e;
	s->arbiter_cut = false;
}

/* The active stands still, or nobody hears it, or the cluster is mistaken; the clients may well reach it. */
static bool false_death(struct sim *s)
{
	int a = sim_active(s);

	if (!a || s->given_up || !s->node[3 - a].up)
		return false;
	if (sim_chance(s, 600))
		sim_pause(s, a, sim_between(s, 100, 4000) * SIM_US_MS);
	else if (sim_chance(s, 800))
		cut_between(s, a, 3 - a, 4000);
	sim_super_give_up(s, a);
	return true;
}

static void crash_again(struct sim *s, struct sim_event *e)
{
	(void)e;
	if (s->healing || s->loop_crashes == 0) {
		s->quiet_until_us = 0;
		for (uint32_t i = 0; i < s->swarm.clients; i++)
			sim_after(s, 1, SIM_CLIENT_END + (int)i, sim_client_pump);
		return;
	}
	s->loop_crashes--;
	if (sim_active(s))
		sim_node_crash(s, sim_active(s), "killed in a loop");
	sim_after(s, sim_between(s, 50, 250) * SIM_US_MS, 0, crash_again);
}

/* At night, when nobody asks for anything and nothing else happens: all that these lives leave in the journals is their epochs. */
static bool crash_loop(struct sim *s)
{
	if (s->loop_crashes)
		return false;
	s->loop_crashes = (unsigned)sim_between(s, 100, 350);
	s->quiet_until_us = UINT64_MAX;
	sim_after(s, 100 * SIM_US_MS, 0, crash_again);
	return true;
}

void sim_struck(struct sim *s, enum sim_fault_kind kind)
{
	s->fault_count[kind]++;
	s->struck++;
}

/* Did it strike at once? Others wait for a write, a connection or a fence that they can spoil, and are counted there. */
static bool strike(struct sim *s, enum sim_fault_kind kind)
{
	int node = victim(s), client = (int)sim_below(s, s->swarm.clients);
	struct sim_node *n = &s->node[node];
	struct ctl_event move = {.type = CTL_EV_ADMIN, .ticket = 8, .text = "switchover"};

	sim_note(s, "fault %llu: %s, node %d", (unsigned long long)s->faults, fault_names[kind],
		 node);
	switch (kind) {
	case SIM_FAULT_CRASH:
		return sim_node_crash(s, node, "killed");
	case SIM_FAULT_CRASH_BOTH:
		return (int)sim_node_crash(s, 1, "power lost") +
			       (int)sim_node_crash(s, 2, "power lost") >
		       0;
	case SIM_FAULT_CUT_LINK:
		cut_between(s, node, 3 - node, 3000);
		break;
	case SIM_FAULT_CUT_CLIENT:
		cut_between(s, SIM_CLIENT_END + client, node, 3000);
		break;
	case SIM_FAULT_CLIENT_OFF:
		cut_off(s, client);
		break;
	case SIM_FAULT_CLIENT_CRASH:
		return sim_client_crash(s, client);
	case SIM_FAULT_CLIENT_PAUSE:
		stop_client(s, client);
		break;
	case SIM_FAULT_RESET:
		return sim_net_reset(s);
	case SIM_FAULT_HALF_DEAD:
		if (sim_chance(s, 500))
			s->doomed_next = (unsigned)sim_between(s, 1, 2 * s->swarm.clients);
		else
			return sim_net_half_dead(s);
		return false;
	case SIM_FAULT_CORRUPT:
		s->corrupt++;
		return false;
	case SIM_FAULT_CLOCK:
		n->clock_ns += (int64_t)sim_between(s, 1, 1000000) * 1000000 *
			       (int64_t)(sim_chance(s, 300) ? 86400 : 1) *
			       (sim_chance(s, 500) ? 1 : -1);
		break;
	case SIM_FAULT_JOURNAL_EIO:
		n->journal_error = -EIO;
		return false;
	case SIM_FAULT_JOURNAL_ENOSPC:
		n->journal_error = -ENOSPC;
		return false;
	case SIM_FAULT_JOURNAL_ROT:
		n->harm = SIM_HARM_ROT;
		return false;
	case SIM_FAULT_JOURNAL_UNREADABLE:
		n->harm = SIM_HARM_UNREADABLE;
		return false;
	case SIM_FAULT_JOURNAL_LOST:
		n->harm = SIM_HARM_LOSE;
		return false;
	case SIM_FAULT_JOURNAL_MISDIRECTED:
		n->harm = SIM_HARM_MISDIRECT;
		return false;
	case SIM_FAULT_STORE_LOST:
		n->lose_flush = true;
		return false;
	case SIM_FAULT_STORE_UNREADABLE:
		n->rot_store = true;
		return false;
	case SIM_FAULT_RING_LOST:
		n->harm = SIM_HARM_LOSE_RING;
		return false;
	case SIM_FAULT_RING_MISDIRECTED:
		n->harm = SIM_HARM_MISDIRECT_RING;
		return false;
	case SIM_FAULT_STATE_ROT:
		n->rot_state = true;
		return false;
	case SIM_FAULT_STATE_LOST:
		n->state_harm = SIM_STATE_LOSE;
		return false;
	case SIM_FAULT_STATE_MISDIRECTED:
		n->state_harm = SIM_STATE_MISDIRECT;
		return false;
	case SIM_FAULT_STATE_EIO:
		n->state_harm = SIM_STATE_EIO;
		return false;
	case SIM_FAULT_STATE_ENOSPC:
		n->state_harm = SIM_STATE_ENOSPC;
		return false;
	case SIM_FAULT_STATE_SHORT:
		n->state_harm = SIM_STATE_SHORT;
		return false;
	case SIM_FAULT_ARBITER_ROT:
		s->arbiter_rots = true;
		return false;
	case SIM_FAULT_STORE_EIO:
		n->store_error = -EIO;
		return false;
	case SIM_FAULT_STORE_ENOSPC:
		n->store_error = -ENOSPC;
		return false;
	case SIM_FAULT_FENCE_LIES:
		s->fence_lies = true;
		return false;
	case SIM_FAULT_LUN_CACHE:
		sim_lun_lose_cache(s);
		break;
	case SIM_FAULT_SLOW_DISK:
		n->slow_disk_us = sim_between(s, 1, 800) * SIM_US_MS;
		break;
	case SIM_FAULT_PAUSE:
		sim_pause(s, node,
			  sim_between(s, 10,
				      sim_chance(s, s->swarm.long_pauses) ? 6ull * s->swarm.lease_ms
									  : 4000) *
				  SIM_US_MS);
		break;
	case SIM_FAULT_SWITCHOVER:
		if (!sim_active(s))
			return false;
		sim_node_step(s, sim_active(s), &move);
		break;
	case SIM_FAULT_ARBITER:
		s->arbiter_cut = true;
		sim_after(s, sim_between(s, 10, 2000) * SIM_US_MS, 0, arbiter_back);
		break;
	case SIM_FAULT_FALSE_DEATH:
		return false_death(s);
	case SIM_FAULT_CRASH_LOOP:
		return crash_loop(s);
	case SIM_FAULT_QUORUM:
		sim_super_quorum(s, node, sim_between(s, 10, 4000) * SIM_US_MS);
		break;
	case SIM_FAULTS:
		break;
	}
	return true;
}

static enum sim_fault_kind draw_kind(struct sim *s)
{
	const uint32_t *weight = s->swarm.weight;
	uint32_t sum = 0, at;
	int kind = 0;

	/* All has been asked for and not enough has failed over. */
	if (s->done_ops >= s->swarm.ops && sim_chance(s, 500))
		return SIM_FAULT_CRASH;
	for (int i = 0; i < SIM_FAULTS; i++)
		sum += weight[i];
	at = (uint32_t)sim_below(s, sum);
	while (at >= weight[kind])
		at -= weight[kind++];
	return (enum sim_fault_kind)kind;
}

void sim_fault(struct sim *s, struct sim_event *e)
{
	enum sim_fault_kind kind;
	uint64_t wait_ms;

	(void)e;
	if (s->healing)
		return;
	sim_rng_seed(&s->fault_rng, s->seed * UINT64_C(0x9e3779b97f4a7c15) + s->fault_index);
	s->striking = true;
	kind = draw_kind(s);
	/* Where so much goes wrong that nothing gets done, it becomes less with time. */
	wait_ms = sim_between(s, 1, 2ull * s->swarm.faults_mean_ms) *
		  (1 + s->now_us / (30000ull * SIM_US_MS));
	if (s->swarm.burst && sim_chance(s, s->swarm.burst))
		wait_ms = sim_below(s, 6);
	if (s->loop_crashes == 0 &&
	    !s->skip[s->fault_index < SIM_FAULTS_MAX ? s->fault_index : SIM_FAULTS_MAX - 1]) {
		s->faults++;
		if (strike(s, kind))
			sim_struck(s, kind);
	}
	s->striking = false;
	s->fault_index++;
	sim_after(s, wait_ms * SIM_US_MS, 0, sim_fault);
}

void sim_heal(struct sim *s)
{
	s->healing = true;
	s->healed_us = s->now_us;
	s->arbiter_cut = false;
	s->corrupt = 0;
	s->fence_lies = s->arbiter_rots = false;
	s->doomed_next = s->loop_crashes = 0;
	s->quiet_until_us = 0;
	memset(s->cut, 0, sizeof(s->cut));
	memset(s->held, 0, sizeof(s->held));
	for (int n = 1; n <= SIM_NODES; n++) {
		s->node[n].slow_disk_us = 0;
		s->node[n].journal_error = s->node[n].store_error = 0;
		s->node[n].harm = SIM_HARM_NONE;
		s->node[n].state_harm = SIM_STATE_SOUND;
		s->node[n].lose_flush = s->node[n].rot_store = false;
		sim_super_quorum(s, n, 0);
	}
	for (uint32_t i = 0; i < s->swarm.clients; i++)
		sim_resume(s, SIM_CLIENT_END + (int)i);
	sim_note(s, "faults stop");
}
