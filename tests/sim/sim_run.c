/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The life of one seed: a pair is made, its clients work while faults strike, then faults stop and it must come to rest. */
#include "tests/sim/sim.h"
#include "tests/sim/simstore.h"

#include <stdlib.h>
#include <string.h>

enum { SAFETY_MS_MAX = 600000, HEAL_MS_MAX = 180000 };

bool sim_enough(const struct sim *s)
{
	if (s->scripted)
		return s->done_ops >= s->swarm.ops;
	return s->done_ops >= s->swarm.ops && s->struck >= SIM_FAULTS_MIN &&
	       s->failovers >= SIM_FAILOVERS_MIN;
}

static void bury(struct sim *s)
{
	while (s->dead_count > 0)
		ctl_free(s->dead[--s->dead_count]);
}

void sim_until(struct sim *s, uint64_t end_us, bool (*until)(struct sim *))
{
	while (!s->violation && s->now_us < end_us && !(until && until(s)) && sim_run_one(s))
		bury(s);
}

static bool has_volume(struct sim *s)
{
	return s->volume_made;
}

static bool safety_over(struct sim *s)
{
	if (s->until_us)
		return s->now_us >= s->until_us;
	return sim_enough(s);
}

bool sim_settled(struct sim *s)
{
	int a = sim_active(s);

	for (int n = 1; n <= SIM_NODES; n++)
		if (s->node[n].paused_until_us > s->now_us)
			return false;
	return sim_client_idle(s) && a &&
	       ha_mode(ctl_ha(s->node[a].ctl)) == (s->lone ? HA_ALONE : HA_SYNC);
}

void sim_begin(struct sim *s)
{
	/* The LUN was labelled: both are members of nothing yet, nobody was active. */
	s->arbiter = (struct ha_arbiter){.seq = 1, .members = 3};
	memset(s->arbiter.cluster, s->cluster, sizeof(s->arbiter.cluster));
	s->arbiter_set = true;
	sim_node_boot(s, 1);
	sim_node_boot(s, 2);
	sim_after(s, 0, 0, sim_super_tick);
	sim_until(s, 10000 * SIM_US_MS, has_volume);
	if (!s->violation && !s->volume_made)
		sim_fail(s, "liveness", "no volume after ten seconds without a fault");
	for (int i = 0; i < (int)s->swarm.clients; i++)
		sim_client_start(s, i);
}

static bool record_rests(struct sim *s)
{
	return s->cas_flying == 0;
}

/* What was read wrongly once, the controller takes for damage until it starts anew. */
static bool found_damage(const struct sim *s, int node)
{
	struct ha_status st;

	if (!s->node[node].up)
		return false;
	ha_get_status(ctl_ha(s->node[node].ctl), &st);
	return st.alarms >> HA_ALARM_JOURNAL & 1;
}

/* By the record it holds everything, and nothing is wrong with its disk. */
static bool is_healthy(const struct sim *s, int node)
{
	return s->arbiter.members >> (node - 1) & 1 && s->quarantined != node &&
	       s->damaged != node && !s->node[node].lags && !s->node[node].store_moved &&
	       !found_damage(s, node);
}

static void take_away(struct sim *s, int node, bool on)
{
	s->held[node] = on;
	if (on)
		sim_node_crash(s, node, "taken away for good");
}

/* Who is healthy serves alone from now on. What a dead controller still had under way to the record may change who that is. */
static void leave_one(struct sim *s)
{
	int away = (int)sim_between(s, 1, 2);

	take_away(s, away, true);
	sim_until(s, s->now_us + 5000 * SIM_US_MS, record_rests);
	if (!is_healthy(s, 3 - away)) {
		take_away(s, away, false);
		away = 3 - away;
		s->lone = is_healthy(s, 3 - away);
		take_away(s, away, s->lone);
	}
}

/* Behind the LSN of a store there may be records without rows. */
static void look_at_stores(struct sim *s)
{
	unsigned due = s->lone ? 1 : SIM_NODES;

	for (int n = 1; n <= SIM_NODES; n++)
		if (s->node[n].up)
			simstore_set_lsn(s->node[n].store, s->committed_lsn);
	sim_check_end(s);
	if (!s->violation && s->trees < due)
		sim_fail(s, "end", "%llu stores of %u were compared with the model",
			 (unsigned long long)s->trees, due);
}

void sim_finish(struct sim *s)
{
	uint64_t end_us = s->now_us + (uint64_t)HEAL_MS_MAX * SIM_US_MS, lsn;
	char text[200];

	s->counts = sim_enough(s);
	sim_heal(s);
	if (s->lone)
		leave_one(s);
	sim_until(s, end_us, sim_settled);
	if (!s->violation && !sim_settled(s))
		sim_fail(s, "liveness", "faults stopped %d s ago, active: %d, %s",
			 HEAL_MS_MAX / 1000, sim_active(s), sim_op_waiting(s, text));
	/* The stores get it; a session that runs out then has its records, too. */
	do {
		lsn = s->committed_lsn;
		sim_until(s, s->now_us + (2ull * s->swarm.flush_ms + 1500) * SIM_US_MS, NULL);
	} while (!s->violation && s->committed_lsn != lsn && s->now_us < end_us);
	if (!s->violation)
		look_at_stores(s);
	if (!s->violation)
		sim_journal_check_end(s);
}

struct sim *sim_new(uint64_t seed)
{
	struct sim *s = calloc(1, sizeof(*s));

	s->seed = seed;
	s->cluster = 0xc5;
	sim_rng_seed(&s->rng, seed);
	sim_swarm_draw(s);
	sim_lun_new(s);
	return s;
}

void sim_run(struct sim *s)
{
	sim_begin(s);
	sim_after(s, 400 * SIM_US_MS, 0, sim_fault);
	sim_until(s, (uint64_t)SAFETY_MS_MAX * SIM_US_MS, safety_over);
	s->lone = sim_chance(s, 300);
	if (!s->violation && !s->ends_broken)
		sim_finish(s);
}

void sim_free(struct sim *s)
{
	while (s->heap_count > 0) {
		struct sim_event *e = s->heap[--s->heap_count];

		if (e->drop)
			e->drop(s, e);
		free(e->p);
		free(e);
	}
	free(s->heap);
	bury(s);
	for (int n = 1; n <= SIM_NODES; n++)
		sim_node_free(s, n);
	sim_client_free(s);
	sim_history_free(s);
	sim_net_free(s);
	sim_witness_free(s);
	sim_lun_free(s);
	free(s);
}
