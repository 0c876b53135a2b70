/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A process of the pair core: it starts, takes events, and dies. */
#include <errno.h>
#include <string.h>
#include "tests/sim/ha_sim.h"

void hs_die(struct hs_node *n)
{
	unsigned keep;

	if (!n->up)
		return;
	n->up = false;
	world.kills++;
	hs_say("node %u: process %llu dies (role %u mode %u)", n->id, (ull)n->incarnation,
	       ha_role(n->ha), ha_mode(n->ha));
	/* Writes on their way: any prefix of the appends may have reached the disk, and the state or not. */
	keep = (unsigned)hs_upto(n->appends + 1);
	for (unsigned i = 0; i < n->appends; i++) {
		if (i < keep)
			n->log.batch[n->log.count++] = n->append[i];
		else
			jr_batch_unref(n->append[i]);
	}
	n->appends = 0;
	if (n->state_busy && hs_chance(500)) {
		memcpy(n->state, n->state_next, sizeof(n->state));
		n->has_state = true;
	}
	n->state_busy = false;
	for (unsigned i = 0; i < n->mines; i++)
		jr_batch_unref(n->mine[i]);
	n->mines = 0;
	n->serving = n->draining = n->hold = n->drained = n->copying = false;
	memset(n->want, 0, sizeof(n->want));
	memset(n->owe, 0, sizeof(n->owe));
	ha_free(n->ha);
	n->ha = NULL;
	n->score = 0;
	n->linked = 0;
	world.conn_up[0] = world.conn_up[1] = false;
	/* the survivor's end of the connection closes, unless the way is cut */
	struct hs_node *o = hs_other(n);
	if (o->up && world.conn && !world.cut[hs_index(n)] && hs_chance(800))
		hs_link_down(o);
	hs_for_node(500 + hs_upto(20000), HS_NODE_DOWN, n); /* waitpid */
	hs_later(2000 + hs_upto(world.faults ? world.restart_us : 100000), HS_RESTART, hs_index(n));
	if (world.order_ticket && world.order_node == hs_index(n))
		world.order_ticket = 0;
}

void hs_boot(struct hs_node *n)
{
	struct hs_node *o = hs_other(n);
	struct ha_config cfg = {
		.node = n->id,
		.beat_ms = 20,
		.lease_ms = 200,
		.drop_ms = 1500,
		.link_dead_ms = 150,
		.in_flight = 2,
		.drift_ppm = 1000,
		.fabric_fencing = world.wrong,
		.takeover_wait_ms = 250,
	};
	struct jr_event opened = {.type = JR_EV_OPENED,
				  .verdict = n->log.count ? JR_CLEAN : JR_EMPTY};
	struct ha_state state;
	const uint8_t *copies[4] = {n->state, n->state, n->state, n->state};
	struct ha_event e = {.type = HA_EV_BOOT, .opened = &opened, .store_lsn = n->disk.lsn};

	memcpy(cfg.cluster, hs_cluster, 16);
	n->up = true;
	n->incarnation++;
	n->ha = ha_new(&cfg);
	if (!n->ha)
		hs_fail("the configuration is refused");
	n->rows = n->disk;
	n->read_slot = 0;
	n->append_free_us = world.now_us;
	opened.first_lsn = n->log.base_lsn + 1;
	opened.tail_lsn = hs_log_tail(&n->log);
	opened.tail_hash = n->log.count ? n->log.batch[n->log.count - 1]->hash : n->log.base_hash;
	opened.tail_epoch =
		n->log.count ? n->log.batch[n->log.count - 1]->epoch : n->log.base_epoch;
	opened.commit_lsn = hs_log_commit(&n->log);
	/* Bit rot, where the other still has it. */
	if (world.faults && n->log.count > 3 && hs_chance(40)) {
		unsigned i =
			n->log.count - 1 - (unsigned)hs_upto(n->log.count < 8 ? n->log.count : 8);

		if (!o->log.damaged &&
		    hs_log_holds(&o->log, n->log.batch[i]->last_lsn, &n->log.batch[i]->hash) &&
		    n->log.batch[i]->first_lsn > o->log.base_lsn && world.arb.members == 3)
			n->log.damaged = i + 1;
	}
	if (n->log.damaged) {
		opened.verdict = JR_REPAIR;
		opened.damaged_first = n->log.batch[n->log.damaged - 1]->first_lsn;
		opened.damaged_last = n->log.batch[n->log.damaged - 1]->last_lsn;
	}
	hs_say("node %u: process %llu starts: log %llu..%llu store %llu%s", n->id,
	       (ull)n->incarnation, (ull)opened.first_lsn, (ull)opened.tail_lsn, (ull)n->disk.lsn,
	       n->log.damaged ? " DAMAGED" : "");
	e.incarnation = n->incarnation;
	e.error = n->has_state ? ha_state_pick(&state, copies, NULL) : -ENOENT;
	e.state = &state;
	if (n->has_state && e.error)
		hs_fail("node %u: its state does not decode", n->id);
	hs_for_node(hs_upto(20000), HS_FLUSH, n);
	hs_step(n, e);
	if (!n->up)
		return;
	if (o->up) {
		hs_peer_fact(n, o, true);
		hs_peer_fact(o, n, true);
	} else {
		hs_peer_fact(n, o, false);
		struct hs_event *f = hs_for_node(3000 + hs_upto(3000), HS_FENCE, n);
		f->a = o->incarnation;
	}
	hs_later(hs_upto(5000), HS_CONNECT, 0);
}

void hs_step(struct hs_node *n, struct ha_event e)
{
	struct ha_effect fx;
	bool dies = false;

	if (!n->up)
		return;
	e.now_ms = world.now_us / 1000;
	e.random = hs_random();
	ha_step(n->ha, &e);
	while (ha_next(n->ha, &fx)) {
		hs_effect(n, &fx);
		dies |= fx.type == HA_FX_DIE;
		jr_batch_unref(fx.batch);
	}
	world.steps++;
	hs_check();
	if (dies)
		hs_die(n);
}
