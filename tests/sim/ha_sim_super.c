/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The supervisor: it knows who is dead, fences, and orders who shall be active. */
#include <errno.h>
#include "tests/sim/ha_sim.h"

void hs_peer_fact(struct hs_node *to, const struct hs_node *about, bool up)
{
	struct hs_event *e = hs_for_node(hs_upto(3000), HS_PEER, to);

	e->a = about->incarnation;
	e->flag = up;
	e->flag2 = true;
}

/* waitpid returned */
void hs_node_down(struct hs_node *n)
{
	struct hs_node *o = hs_other(n);

	if (!o->up)
		return;
	hs_peer_fact(o, n, false);
	hs_for_node(3000 + hs_upto(2000), HS_FENCE, o)->a = n->incarnation;
}

void hs_supervise(void)
{
	int best = -1;
	bool active = false;

	for (unsigned i = 0; i < 2; i++) {
		struct hs_node *n = &world.node[i];

		if (!n->up)
			continue;
		active |= n->score == 1000;
		if (n->score > 0 && n->score < 1000 && world.now_us >= world.next_order_us[i] &&
		    (best < 0 || n->score > world.node[best].score))
			best = (int)i;
	}
	if (world.order_ticket && world.now_us > world.order_us + 8000000)
		world.order_ticket = 0;
	if (!active && best >= 0 && !world.order_ticket) {
		struct hs_event *e;

		world.order_ticket = ++world.ticket;
		world.order_us = world.now_us;
		world.order_node = (uint8_t)best;
		e = hs_for_node(hs_upto(2000), HS_PROMOTE, &world.node[best]);
		e->a = world.order_ticket;
		/* Somebody else has the same idea of the other. */
		if (world.faults && world.node[!best].up && hs_chance(200))
			hs_for_node(hs_upto(8000), HS_PROMOTE, &world.node[!best])->a =
				++world.ticket;
	}
	/* Where the operator is wrong, also of a pair that is well. */
	if (world.faults && world.wrong && hs_chance(20) && hs_settled())
		hs_rogue_order(&world.node[world.node[0].score == 1000]);
	hs_later(5000 + hs_upto(10000), HS_SUPER, 0);
}

void hs_fence(const struct hs_event *e)
{
	struct hs_node *n = &world.node[e->node], *o = &world.node[!e->node];
	int error = 0;

	if (e->flag) { /* asked for */
		if (o->incarnation != e->a)
			return;
		if (o->up) {
			if (world.faults ? hs_chance(600) : true)
				error = -EIO; /* refused: it is alive and well as far as the supervisor sees */
			else
				hs_die(o);
		}
	}
	if (!error && o->up && o->incarnation == e->a && !e->flag2)
		return;
	hs_step(n, (struct ha_event){.type = HA_EV_FENCE, .incarnation = e->a, .error = error});
}

void hs_order_result(struct hs_node *n, const struct ha_effect *fx)
{
	hs_say("node %u: order %llu: %d %s", n->id, (ull)fx->ticket, fx->error, fx->text);
	if (fx->ticket == world.order_ticket) {
		world.order_ticket = 0;
		if (fx->error)
			world.next_order_us[hs_index(n)] = world.now_us + 50000 + hs_upto(100000);
	}
	if (!fx->error && fx->ticket >> 32)
		world.switches++;
}
