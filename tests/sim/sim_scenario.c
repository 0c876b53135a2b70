/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Named failures as scripted runs: a pair and its clients at work, what goes wrong at a chosen moment, what must be so then. All
 * that is true of every run is checked as ever; at the end everybody must be at rest with everything done and both stores equal.
 */
#include "tests/sim/sim_script.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool promoting(struct sim *s)
{
	return s->node[1].role == PR_ROLE_PROMOTING || s->node[2].role == PR_ROLE_PROMOTING;
}

static bool flushing(struct sim *s)
{
	int a = sim_active(s);

	return a && s->node[a].flush;
}

/* ---- A. crash and power ---- */

static void s1(struct sim *s)
{
	int a;

	s->healing = true; /* idle */
	pass(s, 500);
	a = kill_active(s);
	expect(s, wait_until(s, has_active, 2000) && sim_active(s) == 3 - a,
	       "the standby is not active within two seconds");
	s->healing = false;
	served_again(s);
}

static uint64_t tail_of(struct sim *s, int node)
{
	struct ha_status st = {0};

	if (s->node[node].up)
		ha_get_status(ctl_ha(s->node[node].ctl), &st);
	return st.tail_lsn;
}

/* Nothing is written here any more, and all of it is more than the peer was sent. */
static bool written_not_sent(struct sim *s)
{
	int a = active(s);

	return s->node[a].tag_count == 0 && tail_of(s, a) > tail_of(s, 3 - a);
}

static void s2(struct sim *s)
{
	int a = active(s);

	sim_cut(s, a, 3 - a, true);
	expect(s, wait_until(s, written_not_sent, 1000), "nothing is written");
	sim_node_crash(s, a, "killed before the send");
	sim_cut(s, a, 3 - a, false);
	served_again(s);
}

static bool ack_under_way(struct sim *s)
{
	return sim_link_carries(s, 3 - active(s), PR_T_LINK_ACK);
}

static bool acked_and_writes(struct sim *s)
{
	return ack_under_way(s) && s->node[active(s)].tag_count > 0;
}

static void s3(struct sim *s)
{
	int a = active(s);

	s->node[a].slow_disk_us = 50 * MS;
	expect(s, wait_until(s, acked_and_writes, 1000), "the peer is not the faster one");
	sim_node_crash(s, a, "killed before its own write");
	served_again(s);
}

/* So many are committed, and their clients do not know it. */
static size_t unanswered(const struct sim *s)
{
	size_t n = 0;

	for (size_t i = 0; i < s->op_count; i++)
		n += s->ops[i]->lsn > 0 && s->ops[i]->lsn <= s->committed_lsn &&
		     !s->ops[i]->answered;
	return n;
}

static bool some_are_unanswered(struct sim *s)
{
	return unanswered(s) > 0;
}

static void s4(struct sim *s)
{
	uint64_t resends = s->resends;
	int a = active(s);

	expect(s, wait_until(s, noop_is_under_way, 10000), "nobody asks for a change");
	for (uint32_t i = 0; i < s->swarm.clients; i++)
		sim_cut(s, a, SIM_CLIENT_END + (int)i, true);
	expect(s, wait_until(s, some_are_unanswered, 1000), "nothing is committed");
	sim_node_crash(s, a, "killed before the replies left");
	active(s); /* until then the cut holds what was under way */
	cut_clients(s, a, false);
	served_again(s);
	expect(s, s->resends > resends, "nothing is asked anew");
}

static bool frozen(struct sim *s)
{
	return has_active(s) && mode_of(s, sim_active(s)) == HA_FROZEN;
}

static void s5(struct sim *s)
{
	int b = 3 - active(s);

	hold_down(s, b, true);
	expect(s, wait_until(s, frozen, 5000), "it does not freeze before it goes on alone");
	expect(s, wait_until(s, alone, 5000), "it does not go on alone");
	served_again(s);
	s->held[b] = false;
}

static void s6(struct sim *s)
{
	kill_standby(s);
	pass(s, 1000);
	expect(s, wait_until(s, in_sync, 20000), "the standby does not rejoin");
	kill_active(s);
	served_again(s);
}

static void s7(struct sim *s)
{
	sim_node_crash(s, 1, "power lost");
	sim_node_crash(s, 2, "power lost");
	served_again(s);
}

/* A dies, B goes on alone, B dies, A returns. */
static int only_the_stale(struct sim *s)
{
	int a = active(s), b = 3 - a;

	hold_down(s, a, true);
	expect(s, wait_until(s, alone, 10000), "the other does not go on alone");
	served_again(s);
	hold_down(s, b, true);
	s->held[a] = false;
	pass(s, 8000);
	expect(s, !has_active(s) && s->refused > 0, "who lacks operations was promoted");
	return b;
}

static void s8(struct sim *s)
{
	s->held[only_the_stale(s)] = false;
}

static void s9(struct sim *s)
{
	int b = only_the_stale(s);

	s->held[b] = false;
	expect(s, wait_until(s, has_active, 20000) && sim_active(s) == b, "not the holder serves");
	expect(s, wait_until(s, in_sync, 20000), "the stale one is not resynced");
}

static bool epoch_grew(struct sim *s)
{
	return s->arbiter.epoch > s->mark;
}

static void s10(struct sim *s)
{
	int a;

	s->mark = s->arbiter.epoch;
	a = kill_active(s);
	expect(s, wait_until(s, epoch_grew, 10000), "no promotion");
	sim_node_crash(s, 3 - a, "killed before its state was saved");
	served_again(s);
}

static bool is_target(struct sim *s)
{
	return s->node[s->mark].up && ha_dstate(ctl_ha(s->node[s->mark].ctl)) == HA_SYNCTARGET;
}

/* Each time a little later in it. */
static void s11(struct sim *s)
{
	int struck = 0;

	for (int i = 0; i < 25; i++) {
		s->mark = (uint64_t)kill_standby(s);
		expect(s, wait_until(s, is_target, 10000), "no resync");
		sim_until(s, s->now_us + 100 * (uint64_t)i, NULL);
		struck += is_target(s);
		sim_node_crash(s, (int)s->mark, "killed in its resync");
		pass(s, 500);
	}
	expect(s, struck >= 10, "its resyncs were over");
	served_again(s);
}

static void s12(struct sim *s)
{
	for (int i = 0; i < 10; i++) {
		int a = kill_active(s);

		expect(s, wait_until(s, promoting, 10000), "no promotion");
		sim_node_crash(s, 3 - a, "killed in its promotion");
		pass(s, 2000);
	}
	served_again(s);
}

static bool so_many_are_bound(struct sim *s)
{
	return bound(s) == s->mark;
}

/* Each time one, two or three of the clients are bound, and the others are not. */
static void s13(struct sim *s)
{
	kill_active(s);
	for (uint64_t i = 0; i < 10; i++) {
		s->mark = 1 + i % (s->swarm.clients - 1);
		expect(s, wait_until(s, so_many_are_bound, 10000), "so many never are");
		kill_active(s);
	}
	served_again(s);
}

static void s14(struct sim *s)
{
	for (int i = 0; i < 10; i++) {
		expect(s, wait_until(s, flushing, 10000), "no flush");
		kill_active(s);
		pass(s, 2000);
	}
	served_again(s);
}

/* Nobody writes: all that a life leaves in the journal is its epoch. */
static void s15(struct sim *s)
{
	uint64_t epoch = 0;

	s->healing = true;
	for (int i = 0; i < 250; i++) {
		active(s);
		expect(s, s->arbiter.epoch > epoch, "active in an epoch that was there before");
		epoch = s->arbiter.epoch;
		kill_active(s);
		pass(s, 150);
	}
	expect(s, wait_until(s, has_active, 20000), "nobody is active after the loop");
	s->healing = false;
	served_again(s);
}

/* ---- B. network ---- */

static void s16(struct sim *s)
{
	uint64_t crashes = s->crashes;

	cut_link(s, true);
	expect(s, wait_until(s, alone, 5000), "nobody goes on alone");
	served_again(s);
	expect(s, s->crashes == crashes, "somebody was stopped");
	cut_link(s, false);
}

static void s17(struct sim *s)
{
	int a = active(s);

	cut_clients(s, a, true);
	pass(s, 2000);
	expect(s, in_sync(s) && sim_active(s) == a, "the pair came apart");
	cut_clients(s, a, false);
}

static void s18(struct sim *s)
{
	cut_link(s, true);
	cut_clients(s, 1, true);
	cut_clients(s, 2, true);
	pass(s, 5000);
	expect(s, s->arbiter.members == 1 || s->arbiter.members == 2, "no winner");
	cut_link(s, false);
	cut_clients(s, 1, false);
	cut_clients(s, 2, false);
}

static bool nobody_has_link(struct sim *s)
{
	for (int n = 1; n <= SIM_NODES; n++) {
		struct ha_status st;

		if (!s->node[n].up)
			return false;
		ha_get_status(ctl_ha(s->node[n].ctl), &st);
		if (st.link_up)
			return false;
	}
	return true;
}

static void s19(struct sim *s)
{
	for (int from = 1; from <= 2; from++) {
		uint64_t crashes = s->crashes;

		sim_cut(s, from, 3 - from, true);
		expect(s, wait_until(s, nobody_has_link, 2000), "one of them keeps the session");
		expect(s, wait_until(s, alone, 10000), "nobody goes on alone");
		expect(s, s->crashes == crashes, "somebody was stopped");
		sim_cut(s, from, 3 - from, false);
		expect(s, wait_until(s, in_sync, 30000), "no new session");
	}
}

static bool batch_under_way(struct sim *s)
{
	return sim_link_carries(s, active(s), PR_T_LINK_BATCH);
}

/* The standby loses the link with acks under way. They come when the next session stands, or before it does. */
static void s20(struct sim *s)
{
	uint64_t epoch = s->arbiter.epoch, sessions = s->link_frames[PR_T_LINK_SESSION & 0x1f];

	s->ghosts = true;
	for (int i = 0; i < 10; i++) {
		expect(s, wait_until(s, ack_under_way, 5000), "nothing is acked");
		sim_link_half_dead(s, 3 - active(s), 200);
		s->mtu = i % 2; /* then the new session does not stand yet */
		pass(s, 230);
		s->mtu = 0;
		pass(s, 1000);
		expect(s, in_sync(s), "no new session after a blip");
	}
	expect(s, s->arbiter.epoch == epoch && in_sync(s), "a blip changed the epoch");
	expect(s, s->link_frames[PR_T_LINK_SESSION & 0x1f] >= sessions + 10,
	       "a session outlived its link");
	expect(s, s->ghost_acks >= 10, "no ack of an old session came");
}

/* From the time when the back-off is at its longest, one resync in each of them at most. */
static void s21(struct sim *s)
{
	enum { FLAP_MS = 600, FLAPS = 100, EARLY = 30, BACK_OFF_MS = 5000 };
	uint64_t *sessions = &s->link_frames[PR_T_LINK_SESSION & 0x1f], before = *sessions,
		 early = 0;

	for (int i = 0; i < FLAPS; i++) {
		if (i == EARLY)
			early = *sessions;
		cut_link(s, i % 2 == 0);
		pass(s, FLAP_MS);
	}
	expect(s, *sessions > before, "no resync was tried");
	expect(s, early - before <= 8, "the back-off does not grow");
	expect(s, *sessions - early <= (FLAPS - EARLY) * FLAP_MS / BACK_OFF_MS + 1,
	       "more than one resync in a back-off");
	cut_link(s, false);
	expect(s, wait_until(s, in_sync, 60000), "it does not come to rest");
}

/*
 * The active loses the link with batches under way, and dies or goes on alone; they come when the other is active in the next epoch, or
 * a standby that lacks them.
 */
static void s22(struct sim *s)
{
	s->ghosts = true;
	for (int i = 0; i < 6; i++) {
		uint64_t epoch = s->arbiter.epoch;

		expect(s, wait_until(s, batch_under_way, 5000), "nothing is sent");
		sim_link_half_dead(s, active(s), 3000);
		pass(s, 1);
		if (i % 2)
			kill_active(s);
		else
			cut_link(s, true);
		served_again(s);
		pass(s, 500);
		cut_link(s, false);
		expect(s, s->arbiter.epoch > epoch, "no new epoch");
		expect(s, wait_until(s, in_sync, 20000), "the pair does not come together");
	}
	expect(s, s->ghosts_of_old >= 6, "no message of an old epoch came");
}

static void s23(struct sim *s)
{
	uint64_t epoch = s->arbiter.epoch;

	s->repeats = 300;
	pass(s, 2000);
	expect(s, s->repeated == 300, "no frame came twice");
	expect(s, in_sync(s) && s->arbiter.epoch == epoch,
	       "frames that come twice cost the session");
	for (int i = 0; i < 10; i++) {
		s->swaps = 1;
		pass(s, 1500);
	}
	expect(s, s->swapped >= 5, "no frame overtook another");
	served_again(s);
	expect(s, wait_until(s, in_sync, 20000), "the pair does not come together");
	kill_active(s);
	served_again(s);
}

static bool flipped(struct sim *s)
{
	return s->corrupt == 0;
}

static void s24(struct sim *s)
{
	for (uint64_t i = 1; i <= 30; i++) {
		s->corrupt = 1;
		expect(s, wait_until(s, flipped, 5000), "nothing is sent");
		expect(s, s->corrupted == i, "a flipped bit was not seen");
		pass(s, 200);
	}
	served_again(s);
}

static void s26(struct sim *s)
{
	uint64_t done;

	cut_clients(s, active(s), true);
	pass(s, 200);
	done = s->done_ops;
	pass(s, 1500);
	expect(s, s->done_ops == done, "the standby served");
	cut_clients(s, active(s), false);
}

static void s27(struct sim *s)
{
	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < 6; i++) {
			int a = 1 + (int)sim_below(s, 2 + s->swarm.clients),
			    b = 1 + (int)sim_below(s, 2);

			if (a != b)
				sim_cut(s, a, b, sim_chance(s, 600));
		}
		pass(s, 300);
	}
	memset(s->cut, 0, sizeof(s->cut));
	for (uint32_t i = 0; i < s->swarm.clients; i++)
		s->client[i].disturbed_us = s->now_us;
	served_again(s);
}

/* Beats pass, batches do not. */
static void s28(struct sim *s)
{
	int a = active(s);

	s->mtu = 1400;
	expect(s, wait_until(s, alone, 15000) && sim_active(s) == a,
	       "nobody sees that data stalls");
	expect(s, s->stalled > 0, "nothing stalls");
	served_again(s);
	s->mtu = 0;
	expect(s, wait_until(s, in_sync, 60000), "the pair does not come together");
}

static const struct sim_scenario scenarios[] = {
	SCENARIO(1, "active killed while idle: the standby serves"),
	SCENARIO(2, "killed after the local write, before the send"),
	SCENARIO(3, "killed after the peer is durable, before the local write is"),
	SCENARIO(4, "killed after commit, before the replies left"),
	SCENARIO(5, "standby taken away: on alone"),
	SCENARIO(6, "standby killed: it rejoins and can take over"),
	SCENARIO(7, "both lose power"),
	SCENARIO(8, "A dies, B writes alone, B dies, A returns: A refuses"),
	SCENARIO(9, "as 8, then B returns: B serves, A resyncs"),
	SCENARIO(10, "killed between arbiter and own state"),
	SCENARIO(11, "killed at steps of a resync"),
	SCENARIO(12, "killed during promotion"),
	SCENARIO(13, "killed while clients rebind"),
	SCENARIO(14, "killed during store flushes"),
	SCENARIO(15, "a crash loop, 250 times"),
	SCENARIO(16, "link down: alone by the arbiter, nobody is stopped"),
	SCENARIO(17, "clients do not reach the active: the pair stays"),
	SCENARIO(18, "all networks down: one winner"),
	SCENARIO(19, "one-way loss, either way"),
	SCENARIO(20, "a blip: a new session in the same epoch, old acks count for nothing"),
	SCENARIO(21, "the link flaps 100 times: one resync per back-off"),
	SCENARIO(22, "messages of an old epoch come late: nothing comes of them"),
	SCENARIO(23, "frames of the link come twice, or overtake each other"),
	SCENARIO(24, "flipped bits in frames"),
	SCENARIO(26, "clients reach only the standby: never served"),
	SCENARIO(27, "random subsets of ways clogged"),
	SCENARIO(28, "small frames pass, data stalls: the standby is dropped"),
	{0},
};

const struct sim_scenario *sim_scenario_of(int number)
{
	const struct sim_scenario *const all[] = {scenarios, sim_fence_scenarios,
						  sim_disk_scenarios, sim_client_scenarios};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		for (const struct sim_scenario *s = all[i]; s->number; s++)
			if (s->number == number)
				return s;
	return NULL;
}

/* Calm weather but for what the script does. */
static void calm(struct sim *s)
{
	struct sim_swarm *w = &s->swarm;

	w->clients = 4;
	w->workers = 4;
	w->think_us = 30000;
	w->net_max_us = w->net_min_us + 200;
	w->disk_max_us = w->disk_min_us + 300;
	w->restart_min_ms = 20;
	w->restart_max_ms = 200;
	w->segments = 3;
	w->flush_ms = 300;
	w->lease_ms = 3000;
	w->lun_stuck = w->fence_fails = w->fence_late = w->node_fence_fails = 0;
	w->takeover_wait_ms = 0;
	w->data = 300;
	w->ops = UINT32_MAX;
}

void sim_scenario_run(struct sim *s, const struct sim_scenario *scenario)
{
	calm(s);
	sim_begin(s);
	pass(s, 2000);
	expect(s, in_sync(s), "the pair does not come together");
	scenario->script(s);
	if (!s->violation && !s->ends_broken)
		sim_finish(s);
}
