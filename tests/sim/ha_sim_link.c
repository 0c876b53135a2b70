/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The link between the two, one connection at a time: it loses, delays, repeats and breaks. */
#include <stdlib.h>
#include <string.h>
#include "tests/sim/ha_sim.h"

void hs_link_down(struct hs_node *n)
{
	struct hs_event *e = hs_for_node(hs_upto(2000), HS_LINK_UP, n);

	e->flag = true;
	e->a = world.conn;
}

void hs_link_reset(void)
{
	for (unsigned i = 0; i < 2; i++)
		if (world.node[i].up && world.conn_up[i])
			hs_link_down(&world.node[i]);
	world.conn_up[0] = world.conn_up[1] = false;
	hs_later(1000 + hs_upto(20000), HS_CONNECT, 0);
}

void hs_link_send(struct hs_node *n, const struct ha_effect *fx)
{
	unsigned from = hs_index(n);
	struct hs_node *o = &world.node[!from];
	uint32_t image = fx->batch ? fx->batch->image_bytes : 0;
	uint64_t at;
	struct hs_event *e;

	if (fx->conn != world.conn || !world.conn_up[from] || !o->up)
		return;
	if (world.faults && hs_chance(2))
		world.stalled[from] = true;
	if (world.cut[from] || world.stalled[from]) {
		world.stalled[from] = true;
		return;
	}
	at = world.now_us + 30 + hs_upto(world.faults && hs_chance(20) ? 60000 : 400);
	if (at < world.last_us[from])
		at = world.last_us[from];
	world.last_us[from] = at;
	for (unsigned twice = 0; twice < (world.faults && hs_chance(10) ? 2u : 1u); twice++) {
		e = hs_for_node(at - world.now_us, HS_LINK_MSG, o);
		e->a = fx->conn;
		e->type = fx->msg_type;
		e->len = fx->len + image;
		e->p = malloc(e->len);
		memcpy(e->p, fx->p, fx->len);
		if (image)
			memcpy(e->p + fx->len, fx->batch->image, image);
	}
}

void hs_link_connect(void)
{
	if (!world.node[0].up || !world.node[1].up || world.cut[0] || world.cut[1])
		return;
	if (world.conn_up[0] && world.conn_up[1])
		return;
	world.conn++;
	world.stalled[0] = world.stalled[1] = false;
	for (unsigned i = 0; i < 2; i++) {
		uint64_t delay = hs_upto(1500);

		world.conn_up[i] = true;
		/* what the other sends comes after that */
		world.last_us[!i] = world.now_us + delay;
		hs_for_node(delay, HS_LINK_UP, &world.node[i])->a = world.conn;
	}
	hs_say("link: connection %llu", (ull)world.conn);
}

void hs_link_message(struct hs_node *n, const struct hs_event *e)
{
	if (e->type != PR_T_LINK_BEAT && e->type != PR_T_LINK_BATCH && e->type != PR_T_LINK_ACK)
		hs_say("node %u: gets %s", n->id, pr_type_name(e->type));
	/* Of a connection that is gone, too: the core must know by its number. */
	if (e->a == world.conn || world.faults)
		hs_step(n, (struct ha_event){.type = HA_EV_LINK_MSG,
					     .conn = e->a,
					     .msg_type = e->type,
					     .p = e->p,
					     .len = e->len});
}
