/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Named failures of fencing, membership and the arbiter, and of time. */
#include "tests/sim/sim_script.h"

#include <errno.h>
#include <string.h>

/* ---- C. fencing and membership ---- */

/* A cluster whose fences take a node's key off the LUN and let it live. */
static void fabric(struct sim *s)
{
	s->swarm.takeover_wait_ms = 2 * SIM_LINK_LEASE_MS;
	sim_node_crash(s, 1, "configured anew");
	sim_node_crash(s, 2, "configured anew");
	expect(s, wait_until(s, in_sync, 30000), "the pair does not come together again");
}

static void s29(struct sim *s)
{
	int a = active(s), b = 3 - a;
	uint64_t done, failed, refused = s->refused;

	s->swarm.node_fence_fails = 1000;
	sim_super_lose(s, b);
	pass(s, 2000);
	done = s->done_ops;
	failed = s->fences_failed;
	pass(s, 30000);
	expect(s, sim_active(s) == a && mode_of(s, a) == HA_FROZEN && s->done_ops == done,
	       "it goes on alone though nobody is fenced");
	expect(s, alarms(s, a, HA_ALARM_FENCE) && s->fences_failed > failed + 5,
	       "no alarm, or no try");
	s->swarm.node_fence_fails = 0;
	expect(s, wait_until(s, alone, 10000), "it does not go on behind the fence");
	served_again(s);
	s->held[b] = false;
	expect(s, wait_until(s, in_sync, 30000), "the standby does not come back");
	s->swarm.node_fence_fails = 1000;
	sim_super_lose(s, a);
	pass(s, 30000);
	expect(s, !has_active(s) && s->refused > refused,
	       "it was promoted though nobody is fenced");
	expect(s, alarms(s, b, HA_ALARM_FENCE), "no alarm of the standby");
	s->swarm.node_fence_fails = 0;
	served_again(s);
	s->held[a] = false;
}

/* The successor takes the lock, or the key, from who lives: where that cannot be, it is refused. */
static void s30(struct sim *s)
{
	uint64_t refused = s->refused, answered, gen;
	int a = active(s);

	s->unstopped = s->fence_lies = true;
	sim_super_give_up(s, a);
	pass(s, 5000);
	expect(s, s->lies == 1, "no fence lied");
	expect(s, s->refused > refused && s->node[3 - a].role != PR_ROLE_ACTIVE,
	       "promoted while the other holds the lock");
	expect(s, s->node[a].up && s->node[a].role == PR_ROLE_ACTIVE,
	       "who lives is not active any more");
	s->given_up = 0;
	fabric(s);
	a = active(s);
	gen = s->node[a].gen;
	s->fence_lies = true;
	sim_pause(s, a, 4000 * MS);
	sim_super_give_up(s, a);
	expect(s, wait_until(s, has_active, 10000) && sim_active(s) == 3 - a, "nobody is promoted");
	answered = s->node[a].answered;
	served_again(s);
	pass(s, 2000);
	expect(s, s->lies == 2, "no fence lied");
	expect(s, s->node[a].answered == answered && s->node[a].gen != gen,
	       "who lost its key goes on");
	s->unstopped = false;
}

/* Its machine is lost, and the fence is confirmed ten minutes later. */
static void s31(struct sim *s)
{
	enum { LATE_MS = 600000 };
	int a = active(s);
	uint64_t promotions, refused, done, lost_us = s->now_us;

	s->fence_takes_ms = LATE_MS;
	sim_super_lose(s, a);
	pass(s, 2000);
	promotions = s->promotions;
	refused = s->refused;
	done = s->done_ops;
	pass(s, LATE_MS - 5000);
	expect(s, !has_active(s) && s->promotions == promotions && s->done_ops == done,
	       "promoted before the fence came");
	expect(s, s->refused > refused && alarms(s, 3 - a, HA_ALARM_FENCE),
	       "nobody asks, or no alarm");
	expect(s, wait_until(s, has_active, 30000) && sim_active(s) == 3 - a,
	       "not promoted when the fence came");
	expect(s, s->now_us >= lost_us + (uint64_t)LATE_MS * MS, "promoted before the fence came");
	served_again(s);
	s->fence_takes_ms = 0;
	s->held[a] = false;
}

/* No fence of it will ever be confirmed: it must come back. */
static void s34(struct sim *s)
{
	int a = active(s), b = 3 - a;
	uint64_t done;

	s->swarm.node_fence_fails = 1000;
	sim_super_lose(s, b);
	pass(s, 2000);
	done = s->done_ops;
	pass(s, 60000);
	expect(s, sim_active(s) == a && mode_of(s, a) == HA_FROZEN && s->done_ops == done,
	       "it does not stay frozen");
	s->held[b] = false;
	expect(s, wait_until(s, in_sync, 30000) && sim_active(s) == a,
	       "it does not go on when the power is back");
	served_again(s);
	sim_super_lose(s, a);
	pass(s, 60000);
	expect(s, !has_active(s), "promoted, and who was active may live");
	s->held[a] = false;
	served_again(s);
}

/* The operator says that the active is dead. It lives, on the other side of a cut, or in sight. */
static void s39(struct sim *s)
{
	uint64_t refused = s->refused;
	int a = active(s);

	sim_super_confirm(s, 3 - a);
	pass(s, 5000);
	expect(s, s->refused > refused && s->node[3 - a].role != PR_ROLE_ACTIVE,
	       "promoted while the other holds the lock");
	expect(s, s->node[a].up && sim_active(s) == a, "who lives is not active any more");
	served_again(s);
	fabric(s);
	for (int i = 0; i < 6; i++) {
		uint64_t answered, gen;
		int b;

		expect(s, wait_until(s, in_sync, 30000), "the pair does not come together");
		a = active(s);
		b = 3 - a;
		gen = s->node[a].gen;
		answered = s->node[a].answered;
		if (i % 3 == 0)
			sim_pause(s, a, 3000 * MS);
		cut_link(s, i % 3 == 1);
		sim_super_confirm(s, b);
		pass(s, 6000);
		cut_link(s, false);
		expect(s, i % 3 || (s->node[b].role == PR_ROLE_ACTIVE && s->node[b].answered > 0),
		       "who is ordered to be active while the other stands still is not");
		expect(s, i % 3 || (s->node[a].gen != gen && s->node[a].answered == answered),
		       "it answers behind its successor");
		expect(s, s->node[1].role != PR_ROLE_ACTIVE || s->node[2].role != PR_ROLE_ACTIVE,
		       "both are active");
		served_again(s);
	}
}

static void s40(struct sim *s)
{
	s->arbiter_cut = true;
	served_again(s);
	expect(s, in_sync(s), "not SYNC without the arbiter");
	expect(s, alarms(s, active(s), HA_ALARM_ARBITER), "no alarm");
	s->arbiter_cut = false;
	pass(s, 3000);
	expect(s, in_sync(s) && !alarms(s, active(s), HA_ALARM_ARBITER),
	       "the alarm stays on when the record can be read");
}

static void s41(struct sim *s)
{
	int b = 3 - active(s);
	uint64_t done;

	s->arbiter_cut = true;
	hold_down(s, b, true);
	pass(s, 300);
	done = s->done_ops;
	pass(s, 5000);
	expect(s, s->done_ops == done && !alone(s), "it went on without the arbiter");
	s->arbiter_cut = false;
	served_again(s);
	s->held[b] = false;
}

static bool copies_equal(struct sim *s)
{
	return !s->arbiter_rots &&
	       memcmp(s->arbiter_copy[0], s->arbiter_copy[1], HA_ARBITER_BYTES) == 0;
}

static void s42(struct sim *s)
{
	uint8_t old[HA_ARBITER_BYTES];
	uint64_t epoch = s->arbiter.epoch, refused;
	int a;

	memcpy(old, s->arbiter_copy[0], sizeof(old));
	for (int i = 0; i < 6; i++) {
		if (i % 3 == 0)
			s->arbiter_rots = true;
		else if (i > 0) /* the other copy missed all writes since */
			memcpy(s->arbiter_copy[i % 3 - 1], old, sizeof(old));
		pass(s, 3000); /* the record is read, and nobody writes it */
		expect(s, copies_equal(s), "a damaged copy was not repaired");
		kill_active(s);
		served_again(s);
		expect(s, s->arbiter.epoch > epoch, "no change of roles");
		expect(s, wait_until(s, in_sync, 20000), "the pair does not come together");
		epoch = s->arbiter.epoch;
	}
	s->arbiter_cut = true;
	s->arbiter_error = -EUCLEAN; /* neither can be read */
	epoch = s->arbiter.epoch;
	a = active(s);
	hold_down(s, a, true);
	refused = s->refused;
	pass(s, 10000);
	expect(s, !has_active(s) && s->refused > refused && s->arbiter.epoch == epoch,
	       "a change of roles without a record");
	s->arbiter_cut = false;
	s->held[a] = false;
	served_again(s);
}

/* ---- E. time ---- */

static void s63(struct sim *s)
{
	for (int i = 0; i < 6; i++) {
		s->node[1 + i % 2].clock_ns += (i % 3 ? -1 : 2) * 365ll * 86400 * 1000000000;
		pass(s, 500);
		kill_active(s);
		served_again(s);
	}
}

/* It is given up and another serves while it stands still; then it sees all that came meanwhile at once. */
static void s64(struct sim *s)
{
	fabric(s);
	s->unstopped = true;
	for (int i = 0; i < 3; i++) {
		int a = active(s), b = 3 - a;
		uint64_t gen = s->node[a].gen, wakes_us = s->now_us + 20000ull * MS, answered;

		sim_pause(s, a, 20000ull * MS);
		pass(s, 300);
		answered = s->node[a].answered;
		sim_super_give_up(s, a);
		expect(s, wait_until(s, has_active, 10000) && sim_active(s) == b,
		       "no successor while it stands still");
		served_again(s);
		expect(s, s->now_us < wakes_us && s->node[a].gen == gen, "it does not stand still");
		sim_until(s, wakes_us + 3000ull * MS, NULL);
		expect(s, s->node[a].answered == answered, "it answers behind its successor");
		expect(s, s->node[a].gen != gen, "it goes on behind its successor");
		expect(s, wait_until(s, in_sync, 30000), "it is not taken back");
	}
	s->unstopped = false;
	served_again(s);
}

const struct sim_scenario sim_fence_scenarios[] = {
	SCENARIO(29, "fencing fails: FROZEN or STANDBY, and an alarm"),
	SCENARIO(30, "fencing lies: the lock, or the key, stops who lives"),
	SCENARIO(31, "the fence is ten minutes late: nobody is promoted until then"),
	SCENARIO(34, "no fence can be had: frozen until the node is back"),
	SCENARIO(39, "an operator confirms the fence of who lives"),
	SCENARIO(40, "arbiter unreachable in SYNC: on"),
	SCENARIO(41, "arbiter unreachable and peer lost: FROZEN"),
	SCENARIO(42, "copies of the arbiter record rot, are old, or both are unreadable"),
	SCENARIO(63, "clocks set years ahead and back"),
	SCENARIO(
		64,
		"active stopped beyond its lease, resumed behind its successor: it answers nothing"),
	{0},
};
