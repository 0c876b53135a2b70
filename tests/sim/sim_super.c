/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The supervisor of an embedded pair: it knows a death for certain, tells the survivor, restarts, and orders one to be active. */
#include "tests/sim/sim.h"

#include <errno.h>

static void tell_peer(struct sim *s, int node, int peer)
{
	bool here = peer != s->given_up && peer != s->lost;
	struct ctl_event ev = {.type = CTL_EV_PEER,
			       .incarnation = s->node[peer].incarnation,
			       .process_up = s->node[peer].up && here,
			       .node_up = here,
			       .quorate = s->node[node].no_quorum == 0};

	sim_node_step(s, node, &ev);
}

static bool fence_fails(struct sim *s)
{
	if (s->healing || !s->swarm.node_fence_fails || !sim_chance(s, s->swarm.node_fence_fails))
		return false;
	s->fences_failed++;
	return true;
}

static void tell_fenced(struct sim *s, int node, int peer, int error)
{
	struct ctl_event ev = {.type = CTL_EV_FENCE,
			       .incarnation = s->node[peer].incarnation,
			       .error = error,
			       .text = error ? "the fence device does not answer"
					     : "its end was waited for"};

	if (error)
		sim_note(s, "node %d: the fence of node %d fails", node, peer);

	sim_node_step(s, node, &ev);
}

static void fence_event(struct sim *s, struct sim_event *e);

/* A machine whose fence fails or is late is lost to the membership; the fence is tried again until it is back. */
static void facts(struct sim *s, struct sim_event *e)
{
	int node = e->node, peer = 3 - node;
	uint64_t gen = s->node[node].gen;
	bool dead = !s->node[peer].up && s->node[peer].incarnation > 0;
	bool late = dead && !s->healing && s->fence_takes_ms, fails = dead && fence_fails(s);

	if (late || fails)
		s->lost = peer;
	tell_peer(s, node, peer);
	if (s->node[node].gen == gen && dead && late)
		sim_super_fence(s, node, s->node[peer].incarnation);
	else if (s->node[node].gen == gen && dead)
		tell_fenced(s, node, peer, fails ? -EIO : 0);
	if (s->node[node].gen == gen && fails)
		sim_after(s, sim_between(s, 100, 3000) * SIM_US_MS, node, facts);
	sim_super_look(s);
}

/* ---- the quorum ---- */

static void quorum_is(struct sim *s, int node, uint64_t losses)
{
	struct sim_node *n = &s->node[node];
	bool changes = (n->no_quorum > 0) != (losses > 0);

	n->no_quorum = losses;
	if (!changes)
		return;
	sim_note(s, "node %d is %squorate", node, losses ? "not " : "");
	if (n->up)
		sim_after(s, sim_between(s, 100, 2000), node, facts);
}

static void quorum_back(struct sim *s, struct sim_event *e)
{
	if (s->node[e->a].no_quorum > 0)
		quorum_is(s, (int)e->a, s->node[e->a].no_quorum - 1);
}

void sim_super_quorum(struct sim *s, int node, uint64_t us)
{
	if (us)
		sim_after(s, us, 0, quorum_back)->a = (uint64_t)node;
	quorum_is(s, node, us ? s->node[node].no_quorum + 1 : 0);
}

/* The supervisor looks after its pair for ever; so does who dials the link. */
void sim_super_tick(struct sim *s, struct sim_event *e)
{
	int q = s->quarantined;

	(void)e;
	sim_super_look(s);
	sim_dial_link(s);
	/* Somebody comes to give it a new disk. */
	if (q && s->node[q].up && !(s->arbiter.members >> (q - 1) & 1) &&
	    ha_dstate(ctl_ha(s->node[q].ctl)) == HA_QUARANTINED &&
	    (s->healing || sim_chance(s, 20)))
		sim_node_crash(s, q, "stopped for a new disk");
	sim_after(s, sim_between(s, 10, 40) * SIM_US_MS, 0, sim_super_tick);
}

static void restart(struct sim *s, struct sim_event *e)
{
	if (s->held[e->a])
		sim_after(s, 20 * SIM_US_MS, 0, restart)->a = e->a;
	else if (!s->node[e->a].up)
		sim_node_boot(s, (int)e->a);
}

void sim_super_born(struct sim *s, int node)
{
	int peer = 3 - node;

	if (s->given_up == node)
		s->given_up = 0;
	if (s->lost == node)
		s->lost = 0;
	s->node[node].settle_us = s->now_us + sim_between(s, 5, 300) * SIM_US_MS;
	sim_after(s, sim_between(s, 100, 2000), node, facts);
	if (s->node[peer].up)
		sim_after(s, sim_between(s, 100, 2000), peer, facts);
}

void sim_super_died(struct sim *s, int node)
{
	int peer = 3 - node;
	uint64_t wait_ms = s->healing || s->loop_crashes ? 20
							 : sim_between(s, s->swarm.restart_min_ms,
								       s->swarm.restart_max_ms);

	if (s->promoting == node)
		s->promoting = 0;
	if (s->node[peer].up)
		sim_after(s, sim_between(s, 200, 3000), peer, facts);
	sim_after(s, wait_ms * SIM_US_MS, 0, restart)->a = (uint64_t)node;
}

/* ---- the cluster gives up a controller that lives ---- */

/* In the end whoever watches over it stops it, if it did not come to its end itself. */
static void stop_given_up(struct sim *s, struct sim_event *e)
{
	if (!s->unstopped)
		sim_node_crash(s, e->node, "stopped by who watches over it");
}

static void hear_of_it(struct sim *s, struct sim_event *e)
{
	int peer = 3 - e->node;

	if (s->given_up != peer)
		return;
	tell_peer(s, e->node, peer);
	if (s->node[e->node].up && s->node[peer].fenced_gen == s->node[peer].gen)
		tell_fenced(s, e->node, peer, 0);
	sim_super_look(s);
}

static void hear_of_failure(struct sim *s, struct sim_event *e)
{
	if (s->given_up == 3 - e->node)
		tell_fenced(s, e->node, 3 - e->node, -EIO);
}

static void cut_off_lun(struct sim *s, struct sim_event *e)
{
	int node = (int)e->a, peer = 3 - node;

	if (s->given_up != node || s->node[node].gen != e->b)
		return;
	if (fence_fails(s)) {
		struct sim_event *again =
			sim_after(s, sim_between(s, 100, 2000) * SIM_US_MS, 0, cut_off_lun);

		again->a = e->a;
		again->b = e->b;
		if (s->node[peer].up)
			sim_after(s, sim_between(s, 100, 2000), peer, hear_of_failure);
		return;
	}
	if (s->fence_lies) {
		sim_note(s, "node %d lives, and its key is said to be off the LUN", node);
		s->fence_lies = false;
		s->lies++;
		sim_struck(s, SIM_FAULT_FENCE_LIES);
	} else {
		sim_note(s, "node %d lives, and its key is off the LUN", node);
		s->node[node].keyless_gen = s->node[node].gen;
	}
	s->node[node].fenced_gen = s->node[node].gen;
	if (s->node[peer].up)
		sim_after(s, sim_between(s, 100, 2000), peer, hear_of_it);
}

void sim_super_give_up(struct sim *s, int node)
{
	struct sim_event *e;

	sim_note(s, "node %d is given up", node);
	s->given_up = node;
	if (s->node[3 - node].up)
		sim_after(s, sim_between(s, 100, 2000), 3 - node, hear_of_it);
	e = sim_after(s, sim_between(s, 1, 300) * SIM_US_MS, 0, cut_off_lun);
	e->a = (uint64_t)node;
	e->b = s->node[node].gen;
	sim_after(s, sim_between(s, 500, 10000) * SIM_US_MS, node, stop_given_up);
}

static void fence_event(struct sim *s, struct sim_event *e)
{
	int peer = 3 - e->node;
	bool lives = s->node[peer].up && s->node[peer].incarnation == e->a, fails = fence_fails(s);

	if (lives && !fails && s->fence_lies) {
		sim_note(s, "the fence of node %d is reported and did not happen", peer);
		s->fence_lies = false;
		s->lies++;
		sim_struck(s, SIM_FAULT_FENCE_LIES);
	} else if (lives && !fails && s->unstopped && s->swarm.takeover_wait_ms) {
		s->node[peer].keyless_gen = s->node[peer].gen;
	} else if (lives && !fails) {
		sim_node_crash(s, peer, "fenced");
	}
	if (s->node[e->node].up)
		tell_fenced(s, e->node, peer, fails ? -EIO : 0);
}

void sim_super_fence(struct sim *s, int node, uint64_t incarnation)
{
	/* It may take its time. */
	uint64_t ms = !s->healing && sim_chance(s, s->swarm.fence_late) ? sim_between(s, 10, 8000)
									: sim_between(s, 1, 10);

	if (s->fence_takes_ms && !s->healing)
		ms = s->fence_takes_ms;
	sim_after(s, ms * SIM_US_MS, node, fence_event)->a = incarnation;
}

static void promote(struct sim *s, struct sim_event *e)
{
	struct ctl_event ev = {.type = CTL_EV_PROMOTE, .ticket = s->promote_ticket};

	if (s->promoting == e->node)
		sim_node_step(s, e->node, &ev);
}

void sim_super_look(struct sim *s)
{
	int best = 0;

	if (s->promoting && s->now_us < s->promote_until_us)
		return;
	for (int n = 1; n <= SIM_NODES; n++) {
		if (!s->node[n].up || n == s->given_up)
			continue;
		if (s->node[n].role == PR_ROLE_ACTIVE || s->node[n].role == PR_ROLE_PROMOTING)
			return;
		if (s->node[n].role != PR_ROLE_STANDBY || s->node[n].settle_us > s->now_us)
			continue;
		if (!best || s->node[n].score > s->node[best].score)
			best = n;
	}
	if (!best)
		return;
	if (best == s->last_tried && s->node[3 - best].up && 3 - best != s->given_up &&
	    s->node[3 - best].role == PR_ROLE_STANDBY)
		best = 3 - best;
	s->promoting = best;
	s->promote_ticket = ++s->ticket;
	s->promote_until_us = s->now_us + 3000 * SIM_US_MS;
	sim_after(s, sim_between(s, 50, 1000), best, promote);
}

static void gone(struct sim *s, struct sim_event *e)
{
	sim_node_crash(s, (int)e->a, "its machine is lost");
}

void sim_super_lose(struct sim *s, int node)
{
	s->held[node] = true;
	s->lost = node;
	sim_pause(s, node, 1000 * SIM_US_MS);
	sim_after(s, 100 * SIM_US_MS, 3 - node, facts);
	sim_after(s, 500 * SIM_US_MS, 0, gone)->a = (uint64_t)node;
}

void sim_super_confirm(struct sim *s, int node)
{
	tell_fenced(s, node, 3 - node, 0);
	s->promoting = node;
	s->promote_ticket = ++s->ticket;
	s->promote_until_us = s->now_us + 3000 * SIM_US_MS;
	sim_after(s, 100, node, promote);
}

void sim_super_result(struct sim *s, int node, uint64_t ticket, int error, const char *why)
{
	if (s->promoting != node || ticket != s->promote_ticket)
		return;
	s->promoting = 0;
	s->last_tried = error ? node : 0;
	sim_note(s, "node %d: promotion %s %s", node, error ? "refused:" : "done",
		 error && why ? why : "");
	if (error) {
		s->refused++;
		s->node[node].settle_us = s->now_us + 50 * SIM_US_MS;
	} else {
		s->promotions++;
	}
}
