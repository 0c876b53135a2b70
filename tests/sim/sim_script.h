/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the scripts of named failures are made of: time that passes, who is what, who is taken away. */
#pragma once

#include "tests/sim/sim_scenario.h"

enum { MS = SIM_US_MS };

static inline void expect(struct sim *s, bool holds, const char *what)
{
	if (!holds)
		sim_fail(s, "scenario", "%s", what);
}

static inline void pass(struct sim *s, uint64_t ms)
{
	sim_until(s, s->now_us + ms * MS, NULL);
}

static inline bool wait_until(struct sim *s, bool (*what)(struct sim *), uint64_t ms)
{
	sim_until(s, s->now_us + ms * MS, what);
	return what(s);
}

static inline enum ha_mode mode_of(struct sim *s, int node)
{
	return s->node[node].up ? ha_mode(ctl_ha(s->node[node].ctl)) : HA_FROZEN;
}

static inline bool has_active(struct sim *s)
{
	return sim_active(s) != 0;
}

static inline bool in_sync(struct sim *s)
{
	int a = sim_active(s);

	return a && mode_of(s, a) == HA_SYNC;
}

static inline bool alone(struct sim *s)
{
	int a = sim_active(s);

	return a && mode_of(s, a) == HA_ALONE && s->arbiter.members == 1u << (a - 1);
}

static inline int active(struct sim *s)
{
	expect(s, wait_until(s, has_active, 20000), "nobody is active");
	return sim_active(s) ? sim_active(s) : 1;
}

static inline int kill_active(struct sim *s)
{
	int a = active(s);

	sim_node_crash(s, a, "killed");
	return a;
}

static inline int kill_standby(struct sim *s)
{
	int b = 3 - active(s);

	sim_node_crash(s, b, "killed");
	return b;
}

static inline bool alarms(struct sim *s, int node, enum ha_alarm alarm)
{
	struct ha_status st;

	if (!s->node[node].up)
		return false;
	ha_get_status(ctl_ha(s->node[node].ctl), &st);
	return st.alarms >> alarm & 1;
}

/* It stays down until it is let go. */
static inline void hold_down(struct sim *s, int node, bool on)
{
	s->held[node] = on;
	if (on)
		sim_node_crash(s, node, "taken away");
}

static inline void served_again(struct sim *s)
{
	uint64_t done = s->done_ops;

	active(s);
	pass(s, 3000);
	if (s->done_ops == done) /* all may wait for blocks, which takes three seconds */
		pass(s, 3000);
	expect(s, s->done_ops > done, "no request is answered");
}

/* So many clients are bound to who is active now. */
static inline uint32_t bound(struct sim *s)
{
	int a = sim_active(s);
	uint32_t count = 0;

	for (uint32_t i = 0; a && i < s->swarm.clients; i++) {
		struct cl_view view;

		cl_get_view(s->client[i].cl, &view);
		count += view.peer == a - 1 && view.epoch == ha_epoch(ctl_ha(s->node[a].ctl));
	}
	return count;
}

static inline void cut_link(struct sim *s, bool on)
{
	sim_cut(s, 1, 2, on);
	sim_cut(s, 2, 1, on);
}

static inline void cut_clients(struct sim *s, int node, bool on)
{
	for (uint32_t i = 0; i < s->swarm.clients; i++) {
		s->client[i].disturbed_us = s->now_us + 60000ull * MS;
		sim_cut(s, SIM_CLIENT_END + (int)i, node, on);
		sim_cut(s, node, SIM_CLIENT_END + (int)i, on);
	}
}

/* A request that is sure to be executed has left its client, and has no record yet. */
static inline bool noop_is_under_way(struct sim *s)
{
	for (size_t i = s->op_count; i > 0; i--) {
		const struct sim_op *op = s->ops[i - 1];

		if (op->q.type == PR_T_NOOP && op->sent && !op->lsn && !op->answered)
			return true;
	}
	return false;
}
