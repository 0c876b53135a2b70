/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What happens next: an event of the world, or of a process that still lives. */
#include <errno.h>
#include "tests/sim/ha_sim.h"

void hs_happen(struct hs_event *e)
{
	struct hs_node *n = &world.node[e->node & 1];

	if (e->incarnation &&
	    (e->incarnation != n->incarnation || (!n->up && e->kind != HS_NODE_DOWN)))
		return;
	switch (e->kind) {
	case HS_TIMER:
		hs_step(n, (struct ha_event){.type = HA_EV_TIMER});
		break;
	case HS_APPENDED:
		hs_appended(n, e->a);
		break;
	case HS_SAVED:
		hs_saved(n, e->a);
		break;
	case HS_FETCHED:
		hs_fetched(n, e);
		break;
	case HS_CUT:
		hs_cut_done(n, e);
		break;
	case HS_REPAIRED:
		hs_repaired(n, e);
		break;
	case HS_ARB_READ:
		hs_step(n, (struct ha_event){.type = HA_EV_ARB_READ,
					     .error = world.arb_down ? -EIO : 0,
					     .arbiter = &world.arb,
					     .floor_epoch = world.floor_epoch,
					     .floor_lsn = world.floor_lsn});
		break;
	case HS_ARB_LAND:
		hs_cas_land(e);
		break;
	case HS_ARB_ANSWER:
		hs_step(n, (struct ha_event){
				   .type = HA_EV_ARB_CAS, .error = e->error, .arbiter = &e->arb});
		break;
	case HS_ARB_FLOOR:
		if (!world.arb_down) {
			world.floor_lsn = e->a;
			world.floor_epoch = e->b;
		}
		hs_step(n, (struct ha_event){.type = HA_EV_ARB_FLOOR,
					     .error = world.arb_down ? -EIO : 0});
		break;
	case HS_PREEMPTED:
		hs_step(n, (struct ha_event){.type = HA_EV_PREEMPTED});
		break;
	case HS_LINK_UP:
		if (e->flag) {
			if (n->linked == e->a)
				n->linked = 0;
			hs_step(n, (struct ha_event){.type = HA_EV_LINK_DOWN, .conn = e->a});
		} else if (e->a == world.conn && world.conn_up[e->node]) {
			hs_say("node %u: link up %llu", n->id, (ull)e->a);
			n->linked = e->a;
			hs_step(n, (struct ha_event){.type = HA_EV_LINK_UP, .conn = e->a});
		}
		break;
	case HS_LINK_MSG:
		hs_link_message(n, e);
		break;
	case HS_ROWS:
		hs_rows_read(n);
		break;
	case HS_ROWS_APPLIED:
		hs_step(n, (struct ha_event){.type = HA_EV_ROWS_APPLIED});
		break;
	case HS_PEER:
		hs_step(n, (struct ha_event){.type = HA_EV_PEER,
					     .incarnation = e->a,
					     .process_up = e->flag,
					     .node_up = e->flag2,
					     .quorate = true});
		break;
	case HS_NODE_DOWN:
		hs_node_down(n);
		break;
	case HS_FENCE:
		hs_fence(e);
		break;
	case HS_PROMOTE:
		hs_say("node %u: order %llu: promote", n->id, (ull)e->a);
		hs_step(n, (struct ha_event){.type = HA_EV_PROMOTE, .ticket = e->a});
		break;
	case HS_SWITCH:
		hs_say("node %u: order %llu: switch over", n->id, (ull)e->a);
		hs_step(n, (struct ha_event){.type = HA_EV_SWITCHOVER, .ticket = e->a});
		break;
	case HS_FLUSH:
		hs_flush(n);
		break;
	case HS_CLIENT:
		hs_client();
		break;
	case HS_FAULT:
		hs_fault();
		break;
	case HS_SUPER:
		hs_supervise();
		break;
	case HS_RESTART:
		if (!n->up)
			hs_boot(n);
		break;
	case HS_REQUEST:
		hs_request(n, e);
		break;
	case HS_REPLY:
		hs_replied(e);
		break;
	case HS_DRAIN:
		if (n->draining) {
			n->drained = true;
			hs_step(n, (struct ha_event){.type = HA_EV_DRAINED});
		}
		break;
	case HS_CONNECT:
		hs_link_connect();
		break;
	case HS_HEAL:
		hs_heal(e);
		break;
	case HS_PART:
		hs_part(e);
		break;
	}
	if (e->node < 2)
		hs_pump(n);
}
