/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One run: a script of operations, the planned fault on its way, then rest, and everything is looked at. */
#include "tests/crash/crash.h"

#include <string.h>

enum { WORK_MS_MAX = 60000, REST_MS_MAX = 120000, FLUSH_MS = 40, AWAY_MS = 400 };

static const char *const script_names[CRASH_SCRIPTS] = {"pair", "apart", "still", "fresh"};

const char *crash_script_name(enum crash_script script)
{
	return script_names[script];
}

static enum crash_script script;
static unsigned step;
static const struct crash_run *playing;
static uint8_t old_sector[512], sound_sector[512], bad_sector[512];
static char shown_by[512];
static struct crash_struck struck;
static uint64_t untold; /* crash_where_untold() of the damage that was done */

/* The same for all runs: chance is only in what the clients ask for, and always the same. */
static void set_swarm(struct sim *s, uint64_t ops)
{
	s->swarm = (struct sim_swarm){
		.clients = 3,
		.workers = script == CRASH_APART ? 1 : 3, /* more, smaller batches */
		.ops = script == CRASH_FRESH ? UINT32_MAX : (uint32_t)ops,
		.net_min_us = 30,
		.net_max_us = 200,
		.disk_min_us = 30,
		.disk_max_us = 400,
		.keep = 1000,
		.think_us = 2000,
		.restart_min_ms = 20,
		.restart_max_ms = 60,
		.segments = 4,
		.overlay_kib = 192,
		.flush_ms = FLUSH_MS,
		.lease_ms = 10000,
		.lun_blocks = s->swarm.lun_blocks,
		.data = 200,
		.pages = 300,
		.names = MODEL_NAMES,
		.inodes = 60,
	};
}

static void hand_over(struct sim *s)
{
	struct ctl_event move = {.type = CTL_EV_ADMIN, .ticket = 8, .text = "switchover"};

	if (sim_active(s))
		sim_node_step(s, sim_active(s), &move);
}

static void lose_standby(struct sim *s)
{
	int active = sim_active(s);

	if (!active || !s->node[3 - active].up)
		return;
	s->swarm.restart_min_ms = s->swarm.restart_max_ms = AWAY_MS;
	sim_node_crash(s, 3 - active, "killed by the script");
	s->swarm.restart_min_ms = 20;
	s->swarm.restart_max_ms = 60;
}

static void script_tick(struct sim *s, struct sim_event *e)
{
	(void)e;
	if (step == 0 && script == CRASH_PAIR && s->done_ops >= s->swarm.ops / 2) {
		step++;
		hand_over(s);
	}
	if (step == 0 && script == CRASH_STILL && s->done_ops >= s->swarm.ops / 2) {
		step++;
		crash_damage_keep(playing->dir, &playing->damage, old_sector);
	}
	/* From here on the stores get nothing any more. */
	if (step == 0 && script == CRASH_FRESH && s->done_ops >= playing->ops * 7 / 8) {
		step++;
		crash_flushes_hold(true);
		if (playing->damage.kind)
			crash_damage_keep(playing->dir, &playing->damage, old_sector);
	}
	if (step == 0 && script == CRASH_APART && s->done_ops >= s->swarm.ops / 10) {
		step++;
		lose_standby(s);
	}
	/* Alone it keeps what it wrote last in memory: only its next life needs the copy. */
	if (step == 1 && script == CRASH_APART && s->done_ops >= s->swarm.ops / 2 + 20) {
		step++;
		if (sim_active(s))
			sim_node_crash(s, sim_active(s), "killed by the script");
	}
	if (!s->healing)
		sim_after(s, 1 * SIM_US_MS, 0, script_tick);
}

/* The controller that has given up its disk, or 0. */
static int quarantined(const struct sim *s)
{
	for (int n = 1; n <= SIM_NODES; n++)
		if (s->node[n].ctl && ha_dstate(ctl_ha(s->node[n].ctl)) == HA_QUARANTINED)
			return n;
	return 0;
}

/* It holds what nobody else does. */
static bool halted(const struct sim *s)
{
	int q = quarantined(s);

	return q && s->arbiter.members == 1u << (q - 1);
}

/* Both hold everything; or one has given up its disk and the other serves alone, or may not, because it lacks the latest operations. */
static bool at_rest(struct sim *s)
{
	int q = quarantined(s);

	if (!s->node[1].up || !s->node[2].up)
		return false;
	if (!q)
		return sim_settled(s);
	return halted(s) || (sim_client_idle(s) && sim_active(s) == 3 - q);
}

/* Somebody was told this moment of what has a record. */
static bool told_of_a_record(const struct sim *s)
{
	for (size_t i = s->op_count; i > 0; i--)
		if (s->ops[i - 1]->answered && s->ops[i - 1]->lsn &&
		    s->ops[i - 1]->answered_us == s->now_us)
			return true;
	return false;
}

/* Of both nodes some batches are named by no ring entry. */
static bool rings_are_behind(void)
{
	struct crash_fresh fresh;
	bool behind = true;

	for (int n = 1; n <= SIM_NODES && behind; n++) {
		crash_where_fresh(playing->dir, n, crash_store_lsn(n), &fresh);
		behind = fresh.unnamed >= 3;
	}
	return behind;
}

/* In fresh, whose clients go on asking, the power goes before the rings name what was answered last. */
static bool all_done(struct sim *s)
{
	if (script == CRASH_FRESH)
		return halted(s) ||
		       (s->done_ops >= playing->ops && told_of_a_record(s) && rings_are_behind());
	return sim_enough(s) || halted(s);
}

static void rest(struct sim *s)
{
	uint64_t crashes;
	char text[200];

	sim_heal(s);
	heap_relieve();
	do {
		crashes = s->crashes;
		sim_until(s, s->now_us + (uint64_t)REST_MS_MAX * SIM_US_MS, at_rest);
		if (!s->violation && !at_rest(s))
			sim_fail(s, "liveness", "%d s after the last operation, active: %d, %s",
				 REST_MS_MAX / 1000, sim_active(s), sim_op_waiting(s, text));
		sim_until(s, s->now_us + (4ull * FLUSH_MS + 1500) * SIM_US_MS, NULL);
	} while (!s->violation && s->crashes != crashes);
}

/* Both at once; of fresh in the moment of the last answer: what was still under way is gone. */
static void lose_power(struct sim *s, struct crash_result *r)
{
	uint64_t store_lsn[SIM_NODES + 1];

	for (int n = 1; n <= SIM_NODES; n++)
		store_lsn[n] = crash_store_lsn(n);
	if (!s->healing)
		sim_heal(s);
	heap_relieve();
	for (int n = 1; n <= SIM_NODES; n++) {
		disk_node(n);
		if (script == CRASH_FRESH)
			disk_kill(DISK_DROPPED);
		sim_node_crash(s, n, "power lost");
	}
	crash_flushes_hold(false);
	s->tail_lost = true;
	disk_node(0);
	for (int n = 1; n <= SIM_NODES && script == CRASH_FRESH; n++)
		crash_where_fresh(playing->dir, n, store_lsn[n], &r->fresh[n]);
	if (playing->damage.kind)
		crash_where(playing->dir, &playing->damage, store_lsn[playing->damage.node],
			    &struck);
}

/* Alone: it serves, and all is there; or it does not, and says why. */
static bool lone_at_rest(struct sim *s)
{
	return sim_active(s) == playing->damage.node && sim_client_idle(s);
}

static bool is_rule(const struct sim *s, const char *rule)
{
	return s->violation && strcmp(s->violation, rule) == 0;
}

static void rest_alone(struct sim *s, struct crash_result *r)
{
	sim_until(s, s->now_us + 8000ull * SIM_US_MS, lone_at_rest);
	sim_until(s, s->now_us + (4ull * FLUSH_MS + 1500) * SIM_US_MS, NULL);
	if (untold && (is_rule(s, "I1") || is_rule(s, "I11"))) {
		r->lost = true;
		s->violation = NULL;
		return;
	}
	if (!s->violation && sim_active(s) && !sim_client_idle(s))
		sim_fail(s, "liveness", "it serves alone, and does not answer everybody");
}

/* No disk can tell this from a crash during the write. But all before it is there. */
static void look_untold(struct sim *s)
{
	uint64_t tail;

	untold = crash_where_untold(playing->dir, &playing->damage, &struck);
	if (!untold)
		return;
	tail = crash_journal_tail(playing->dir, playing->damage.node);
	if (tail != untold - 1)
		sim_fail(s, "end",
			 "the batch at LSN %llu is as in a crash, and recovery ends at %llu",
			 (unsigned long long)untold, (unsigned long long)tail);
}

static void damage(struct sim *s, struct crash_result *r)
{
	const struct crash_damage *d = &playing->damage;
	uint64_t noticed = crash_noticed() + crash_refused_starts();
	int changed;

	lose_power(s, r);
	if (d->lone)
		crash_node_keep_down(3 - d->node);
	r->where_it_lay = struck.where;
	crash_damage_keep(playing->dir, d, sound_sector);
	changed = crash_damage_do(playing->dir, d, old_sector);
	crash_damage_keep(playing->dir, d, bad_sector);
	if (changed < 0)
		sim_fail(s, "damage", "the sector cannot be damaged");
	if (changed > 0)
		look_untold(s);
	if (d->lone && !s->violation)
		rest_alone(s, r);
	else if (!s->violation)
		rest(s);
	r->changed = changed > 0;
	r->noticed = crash_noticed() + crash_refused_starts() > noticed;
	r->served = sim_active(s) != 0;
	if (!s->violation && !r->served && !r->noticed)
		sim_fail(s, "silence", "nobody serves, and nothing says why");
	if (!s->violation && !r->served && !d->lone)
		sim_fail(s, "repair", "nobody serves, although the peer has all");
}

/* Whoever serves has all; and its journal is read from its file. */
static void look_alone(struct sim *s, struct crash_result *r)
{
	if (r->served && !r->lost) {
		crash_stores_read(s);
		sim_check_end(s);
		if (!s->violation && s->trees != 1)
			sim_fail(s, "end", "the store was not compared with the model");
	}
	crash_nodes_stop();
	if (!s->violation && !r->lost)
		r->shown = !crash_journal_whole(playing->dir, playing->damage.node, shown_by);
	if (!s->violation && r->shown && !r->changed)
		sim_fail(s, "journal", "nothing was damaged, and yet: %s", shown_by);
}

static void look_at_sector(struct sim *s, struct crash_result *r)
{
	enum crash_where w = r->where_it_lay;
	uint8_t now[512];

	disk_node(0);
	crash_damage_keep(playing->dir, &playing->damage, now);
	r->outcome = r->lost					   ? CRASH_LOST
		     : r->noticed				   ? CRASH_SAID
		     : r->shown					   ? CRASH_VERIFIED
		     : memcmp(now, sound_sector, sizeof(now)) == 0 ? CRASH_MENDED
		     : memcmp(now, bad_sector, sizeof(now)) != 0   ? CRASH_OVERWRITTEN
								   : CRASH_UNNOTICED;
	if (!s->violation && r->changed && r->outcome == CRASH_UNNOTICED &&
	    (w == CRASH_BATCH_NEEDED || w == CRASH_BATCH_STORED ||
	     (w == CRASH_BATCH_UNNAMED && !untold)))
		sim_fail(s, "silence", "a damaged %s, and nobody notices", crash_where_name(w));
}

static void look(struct sim *s, const struct crash_run *run)
{
	int q = s->violation ? 0 : quarantined(s);

	if (s->violation)
		return;
	if (q && !disk_failed())
		sim_fail(s, "end", "node %d is quarantined, and no call of it failed", q);
	if (!q) {
		crash_stores_read(s);
		sim_check_end(s);
		if (!s->violation && (s->trees != 2 || s->compared != 1))
			sim_fail(s, "end", "%llu stores of 2 were compared with the model",
				 (unsigned long long)s->trees);
	}
	crash_nodes_stop();
	if (!q && !s->violation)
		crash_journals_compare(s, run->dir);
	if (!s->violation && disk_repeated())
		sim_fail(s, "fsync", "%s after a write or sync of it had failed", disk_repeated());
}

/* A run in which it did not happen shows nothing; but a second crash may come too late. */
static void look_at_plan(struct sim *s, const struct crash_run *run)
{
	bool done = disk_plan_done() || disk_struck()[0];

	if (!s->violation && (!done || (run->heap.fail_at && !heap_failed_node())))
		sim_fail(s, "plan", "what was planned did not happen");
}

static void fill(const struct sim *s, struct crash_result *r)
{
	*r = (struct crash_result){
		.writes = disk_writes(),
		.calls = disk_calls(),
		.allocations = heap_calls(),
		.denied = heap_failed_node() != 0,
		.ops = s->done_ops,
		.crashes = s->crashes,
		.promotions = s->promotions,
		.full_copies = s->full_copies,
		.refused_starts = crash_refused_starts(),
		.struck = disk_struck()[0] != '\0',
		.once = !disk_plan_done(),
		.failed = disk_failed(),
		.quarantined = quarantined(s) != 0,
		.halted = halted(s),
	};
	for (uint64_t i = 0; i < DISK_CALLS_MAX; i++)
		r->can_fail[i] = (uint8_t)disk_can_fail(i);
	snprintf(r->where, sizeof(r->where), "%s",
		 heap_failed_node() ? heap_struck() : disk_struck());
	snprintf(r->said, sizeof(r->said), "%s", crash_memory_said());
	snprintf(r->rule, sizeof(r->rule), "%s", s->violation ? s->violation : "");
	snprintf(r->why, sizeof(r->why), "%s", s->violation ? s->why : "");
}

void crash_play(const struct crash_run *run, struct crash_result *ret)
{
	struct crash_result damaged = {0};
	struct disk_plan plan = run->plan;
	struct sim *s = sim_new(1);
	uint8_t id[16];
	char why[512];

	playing = run;
	script = run->script;
	set_swarm(s, run->ops);
	s->scripted = true;
	s->trace = run->trace;
	memset(id, 0xc5, sizeof(id));
	crash_nodes_begin(run->dir, run->script, id);
	if (crash_lun_make(run->dir, id, why) < 0)
		sim_fail(s, "lun", "%s", why);
	plan.dir = run->dir;
	disk_start(&plan);
	heap_start(&run->heap);
	if (!s->violation)
		sim_begin(s);
	if (s->violation && halted(s)) /* no volume is made while nobody may serve */
		s->violation = NULL;
	sim_after(s, 1 * SIM_US_MS, 0, script_tick);
	sim_until(s, s->now_us + (uint64_t)WORK_MS_MAX * SIM_US_MS, all_done);
	if (!s->violation && script != CRASH_FRESH)
		rest(s);
	if (!s->violation && run->damage.kind) {
		damage(s, &damaged);
	} else if (!s->violation && script == CRASH_FRESH) {
		lose_power(s, &damaged);
		rest(s);
	}
	if (!run->damage.lone)
		look(s, run);
	else if (!s->violation)
		look_alone(s, &damaged);
	if (run->damage.kind)
		look_at_sector(s, &damaged);
	look_at_plan(s, run);
	fill(s, ret);
	ret->changed = damaged.changed;
	ret->noticed = damaged.noticed;
	ret->shown = damaged.shown;
	ret->served = damaged.served;
	ret->where_it_lay = damaged.where_it_lay;
	ret->outcome = damaged.outcome;
	memcpy(ret->fresh, damaged.fresh, sizeof(ret->fresh));
	crash_nodes_stop();
	sim_free(s);
}
