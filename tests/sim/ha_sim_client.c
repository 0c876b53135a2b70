/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The client: in each slot one operation after the other, sent again until its reply comes. */
#include "tests/sim/ha_sim.h"

static void client_send(unsigned s)
{
	world.slot[s].sent_us = world.now_us;
	if (hs_chance(300))
		world.slot[s].to = (uint8_t)hs_upto(2);
	struct hs_event *e = hs_later(50 + hs_upto(800), HS_REQUEST, world.slot[s].to);
	e->a = s;
	e->b = world.slot[s].seq;
}

bool hs_settled(void)
{
	const struct hs_node *a = NULL, *s = NULL;

	for (unsigned i = 0; i < 2; i++) {
		if (!world.node[i].up)
			return false;
		if (ha_role(world.node[i].ha) == PR_ROLE_ACTIVE)
			a = &world.node[i];
		else
			s = &world.node[i];
	}
	return a && s && ha_mode(a->ha) == HA_SYNC && world.arb.members == 3 && a->serving;
}

void hs_client(void)
{
	/* During the hour in which a standby may not come back the client rests, or the log would fill. */
	bool rest = !world.faults && world.now_us > world.end_faults_us + 20000000 && !hs_settled();

	for (unsigned s = 0; s < HS_SLOTS && !rest; s++)
		if (world.now_us >= world.slot[s].sent_us + 50000)
			client_send(s);
	hs_later(5000 + hs_upto(20000), HS_CLIENT, 0);
}

void hs_replied(const struct hs_event *e)
{
	unsigned s = e->node;

	if (e->a > world.slot[s].seq)
		hs_fail("I9: slot %u got a reply to an operation it never sent", s);
	if (e->a < world.slot[s].seq)
		return;
	world.replies++;
	world.slot[s].seq++;
	world.slot[s].sent_us = world.now_us;
	if (hs_chance(900) &&
	    (world.faults || world.now_us < world.end_faults_us + 20000000 || hs_settled()))
		client_send(s);
}

void hs_request(struct hs_node *n, const struct hs_event *e)
{
	if (n->up && n->serving && !n->draining) {
		n->want[e->a].waiting = true;
		n->want[e->a].seq = e->b;
	} else {
		world.slot[e->a].to = !e->node;
	}
}
