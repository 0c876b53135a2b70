/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What goes wrong of itself: deaths, cuts, an arbiter out of reach, orders that nobody needs. */
#include "tests/sim/ha_sim.h"

/* Nobody asked for it; where the operator is wrong, he may have confirmed a fence of the living before. */
void hs_rogue_order(struct hs_node *n)
{
	if (!n->up)
		return;
	if (world.wrong && hs_chance(600)) {
		struct hs_node *o = hs_other(n);
		struct hs_event *e = hs_for_node(0, HS_FENCE, n);

		e->a = world.wrong_incarnation[hs_index(o)] = o->incarnation;
		e->flag2 = true;
		/* the link breaks about when the successor writes, or what it says is not heard any more */
		if (hs_chance(500))
			hs_later(hs_upto(500000), HS_HEAL, 0)->flag2 = true;
		else
			hs_later(hs_upto(500000), HS_PART, 0)->a = hs_index(n);
	}
	hs_for_node(hs_upto(2000), HS_PROMOTE, n)->a = ++world.ticket;
}

void hs_part(const struct hs_event *e)
{
	if (!world.faults)
		return;
	world.cut[e->a] = true;
	hs_say("link: cut %d %d", world.cut[0], world.cut[1]);
	hs_later(hs_upto(600000), HS_HEAL, 0);
}

void hs_fault(void)
{
	struct hs_node *n = &world.node[hs_upto(2)];
	unsigned kind = (unsigned)hs_upto(14);

	if (!world.faults)
		return;
	hs_later(2000 + hs_upto(world.calm_us), HS_FAULT, 0);
	if (!(world.fault_mask & 1u << kind))
		return;
	switch (kind) {
	case 0:
	case 1:
	case 2:
		if (hs_chance(600))
			hs_die(n);
		break;
	case 3:
		if (hs_chance(250)) {
			hs_die(&world.node[0]);
			hs_die(&world.node[1]);
		}
		break;
	case 4:
		world.cut[hs_upto(2)] = true;
		hs_say("link: cut %d %d", world.cut[0], world.cut[1]);
		hs_later(hs_upto(600000), HS_HEAL, 0);
		break;
	case 5:
		world.cut[0] = world.cut[1] = true;
		hs_say("link: cut both");
		hs_later(hs_upto(600000), HS_HEAL, 0);
		break;
	case 8:
		if (world.conn_up[0] && world.conn_up[1])
			hs_link_reset();
		break;
	case 9:
		n->disk_slow = !n->disk_slow;
		hs_say("node %u: disk %s", n->id, n->disk_slow ? "slow" : "fast");
		break;
	case 10:
		world.arb_down = true;
		hs_later(hs_upto(800000), HS_HEAL, 0)->flag = true;
		break;
	case 6:
	case 7:
	case 11:
	case 12:
		for (unsigned i = 0; i < 2; i++)
			if (world.node[i].up && ha_role(world.node[i].ha) == PR_ROLE_ACTIVE)
				hs_for_node(hs_upto(2000), HS_SWITCH, &world.node[i])->a =
					++world.ticket | (uint64_t)1 << 32;
		break;
	case 13:
		hs_rogue_order(n);
		break;
	}
}

void hs_heal(const struct hs_event *e)
{
	if (e->flag) {
		world.arb_down = false;
		return;
	}
	world.cut[0] = world.cut[1] = false;
	if (e->flag2)
		hs_link_reset();
	hs_link_connect();
}
