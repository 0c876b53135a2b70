/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The arbiter: each compare-and-swap reads and checks now, and writes blindly later. */
#include <errno.h>
#include <string.h>
#include "tests/sim/ha_sim.h"

static void cas_finish(unsigned i, bool land)
{
	struct ha_arbiter *a = &world.arb;
	int error = 0;

	if (!world.write[i].used)
		return;
	world.write[i].used = false;
	if (!world.write[i].checked)
		error = -ESTALE;
	else if (!land)
		error = -EIO;
	else {
		*a = world.write[i].next;
		hs_say("arbiter: seq %llu epoch %llu members %u active %u", (ull)a->seq,
		       (ull)a->epoch, a->members, a->active);
	}
	struct hs_event *e = hs_later(100 + hs_upto(1000), HS_ARB_ANSWER, world.write[i].node);
	e->incarnation = world.write[i].incarnation;
	e->error = error;
	e->arb = *a;
}

static bool is_alive(unsigned w)
{
	const struct hs_node *n = &world.node[world.write[w].node];

	return n->up && n->incarnation == world.write[w].incarnation;
}

/* Each writer locks by its open description: what a former process here had queued is over before this one writes. */
static void drain_former(const struct hs_node *n)
{
	for (unsigned w = 0; w < HS_ARB_WRITES; w++)
		if (world.write[w].used && world.write[w].node == hs_index(n) &&
		    world.write[w].incarnation != n->incarnation)
			cas_finish(w, hs_chance(500));
}

void hs_cas(struct hs_node *n, const struct ha_effect *fx)
{
	unsigned i = 0;
	uint64_t delay = 200 + hs_upto(2000);
	struct hs_node *o = hs_other(n);

	drain_former(n);
	while (i < HS_ARB_WRITES && world.write[i].used)
		i++;
	if (i == HS_ARB_WRITES)
		hs_fail("too many writes of the arbiter at once");
	for (unsigned j = 0; j < HS_ARB_WRITES; j++)
		if (world.write[j].used && world.write[j].node == hs_index(n) &&
		    world.write[j].incarnation == n->incarnation)
			hs_fail("node %u: two arbiter writes in flight", n->id);
	/* I7: who takes the role over proves that the other does not have it. */
	if (ha_role(n->ha) == PR_ROLE_PROMOTING && world.arb.members == 3 && o->up &&
	    ha_role(o->ha) == PR_ROLE_ACTIVE &&
	    world.wrong_incarnation[hs_index(o)] != o->incarnation)
		hs_fail("I7: node %u promotes itself while node %u is active and a member", n->id,
			o->id);
	world.write[i].used = true;
	world.write[i].node = (uint8_t)hs_index(n);
	world.write[i].incarnation = n->incarnation;
	world.write[i].next = fx->next;
	world.write[i].id = ++world.write_id;
	/* Read and check now, write blindly later. */
	if (world.locked_out[hs_index(n)] == n->incarnation) { /* reservation conflict */
		world.write[i].used = false;
		hs_for_node(delay, HS_ARB_ANSWER, n)->error = -EBADE;
		return;
	}
	world.write[i].checked = memcmp(&world.arb, &fx->expect, sizeof(world.arb)) == 0;
	if (world.arb_down || hs_chance(world.faults ? 60 : 0)) {
		struct hs_event *e = hs_for_node(delay, HS_ARB_ANSWER, n);

		world.unknowns++;
		e->error = -ETIMEDOUT;
		delay += 5000 + hs_upto(300000);
	}
	struct hs_event *e = hs_later(delay, HS_ARB_LAND, hs_index(n));
	e->a = world.write[i].id;
	e->flag = !hs_chance(world.faults ? 150 : 0);
}

void hs_cas_land(const struct hs_event *e)
{
	for (unsigned i = 0; i < HS_ARB_WRITES; i++)
		if (world.write[i].used && world.write[i].id == e->a)
			cas_finish(i, e->flag);
}

void hs_preempt(struct hs_node *n)
{
	unsigned other = !hs_index(n);

	/* The lock is ours when what the old writer had queued is over; a LUN without locks and keys stops nobody who lives. */
	for (unsigned w = 0; w < HS_ARB_WRITES; w++)
		if (world.write[w].used && world.write[w].node == other &&
		    !(world.keyless && is_alive(w)))
			cas_finish(w, hs_chance(500));
	drain_former(n);
	if (!world.keyless)
		world.locked_out[other] = world.node[other].incarnation;
	world.locked_out[!other] = 0;
	hs_for_node(100 + hs_upto(3000), HS_PREEMPTED, n);
}
