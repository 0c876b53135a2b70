/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Named failures of disks, and of disks that are too slow. */
#include "tests/sim/sim_script.h"
#include "tests/sim/simdisk.h"
#include "tests/sim/simstore.h"

#include <errno.h>
#include <string.h>

static void fail_journal(struct sim *s, int node)
{
	s->node[node].journal_error = -EIO;
	pass(s, 3000);
	expect(s, s->quarantined == node || s->replaced > 0, "no write failed");
	served_again(s);
	expect(s, sim_active(s) == 3 - node, "who has a failed disk serves");
}

static void s43(struct sim *s)
{
	fail_journal(s, active(s));
}

static void s44(struct sim *s)
{
	fail_journal(s, 3 - active(s));
}

/* No room in the journal, then in the store: another serves; and it can be asked to. */
static void s45(struct sim *s)
{
	struct ctl_event move = {.type = CTL_EV_ADMIN, .ticket = 8, .text = "switchover"};
	int a = active(s);

	s->node[a].journal_error = -ENOSPC;
	pass(s, 3000);
	expect(s, s->quarantined == a || s->replaced > 0, "no write failed");
	served_again(s);
	expect(s, sim_active(s) == 3 - a, "whose disk is full serves");
	expect(s, wait_until(s, in_sync, 60000), "it does not come back with a new disk");
	a = active(s);
	s->node[a].store_error = -ENOSPC;
	pass(s, 3000);
	expect(s, s->node[a].store_error == 0, "no flush failed");
	served_again(s);
	expect(s, sim_active(s) == 3 - a, "whose store is full serves");
	expect(s, wait_until(s, in_sync, 60000), "it does not come back");
	a = active(s);
	sim_node_step(s, a, &move);
	pass(s, 3000);
	expect(s, sim_active(s) == 3 - a, "no handover");
	served_again(s);
}

/* The store does not keep up, and the journal may not give up what the store lacks. */
static void s46(struct sim *s)
{
	uint64_t crashes, done, kept_us = 0;
	int a;

	s->swarm.overlay_kib = 64 << 10;
	sim_node_crash(s, 1, "configured anew");
	sim_node_crash(s, 2, "configured anew");
	expect(s, wait_until(s, in_sync, 30000), "the pair does not come together again");
	a = active(s);
	crashes = s->crashes;
	s->node[a].slow_store_us = s->node[3 - a].slow_store_us = 20000ull * MS;
	for (int i = 0; i < 40; i++) {
		done = s->done_ops;
		pass(s, 500);
		kept_us += s->done_ops - done <= s->swarm.clients ? 500 * MS : 0;
	}
	expect(s, kept_us >= 2000ull * MS, "nobody has to wait for room in the journal");
	expect(s, s->crashes == crashes && sim_active(s) == a, "a full journal ends somebody");
	s->node[a].slow_store_us = s->node[3 - a].slow_store_us = 0;
	pass(s, 20000);
	served_again(s);
	kill_active(s);
	served_again(s);
}

static bool both_write(struct sim *s)
{
	return s->node[1].tag_count > 0 && s->node[2].tag_count > 0;
}

/* On one disk, then on both at once. What was acknowledged is looked at in every run. */
static void s47(struct sim *s)
{
	s->swarm.tear = 1000;
	for (int i = 0; i < 12; i++) {
		uint64_t torn = s->torn;

		expect(s, wait_until(s, both_write, 5000), "nothing is written");
		sim_node_crash(s, active(s), "power lost");
		if (i % 2)
			sim_node_crash(s, 1, "power lost");
		if (i % 2)
			sim_node_crash(s, 2, "power lost");
		expect(s, s->torn > torn, "no write was torn");
		served_again(s);
		expect(s, wait_until(s, in_sync, 20000), "the pair does not come together");
	}
}

/* A bit in pages of a node's journal that hold something, the last write perhaps among them, which may then look like a torn one. */
static void rot(struct sim *s, int node)
{
	s->tail_lost = true;
	for (uint32_t file = 1; file <= s->swarm.segments; file++) {
		uint64_t bytes;
		uint8_t *p = simdisk_bytes(s->node[node].disk, file, &bytes);

		for (uint64_t at = 0; at + 4096 <= bytes; at += 4096)
			if (pr_load32(p + at) && at / 4096 % 3 == 1)
				simdisk_flip(s->node[node].disk, file, at + 200, 3);
	}
}

static void s48(struct sim *s)
{
	int b = 3 - active(s);

	hold_down(s, b, true);
	rot(s, b);
	s->held[b] = false;
	expect(s, wait_until(s, in_sync, 60000), "it is not repaired from the active");
	kill_active(s);
	served_again(s);
}

static void s49(struct sim *s)
{
	int a = active(s);

	hold_down(s, a, true);
	rot(s, a);
	s->held[a] = false;
	served_again(s);
	expect(s, wait_until(s, in_sync, 60000), "it is not repaired from the standby");
}

static void s50(struct sim *s)
{
	int a = active(s), b = 3 - a;

	hold_down(s, b, true);
	expect(s, wait_until(s, alone, 10000), "it does not go on alone");
	served_again(s);
	hold_down(s, a, true);
	rot(s, a);
	s->held[a] = false;
	pass(s, 10000);
	expect(s, !has_active(s), "the only copy was damaged, and somebody serves");
	s->ends_broken = true;
}

/* The LSN that its last refusal names as damaged, or 0. */
static uint64_t said_damaged(struct sim *s, int node)
{
	unsigned long long lsn = 0;
	struct ha_status st;
	const char *at;

	if (!s->node[node].up)
		return 0;
	ha_get_status(ctl_ha(s->node[node].ctl), &st);
	at = strstr(st.refused, "LSN ");
	return at && strstr(st.refused, "damaged") && sscanf(at, "LSN %llu", &lsn) == 1 ? lsn : 0;
}

/* The same batches on both. */
static void s51(struct sim *s)
{
	hold_down(s, 1, true);
	hold_down(s, 2, true);
	rot(s, 1);
	rot(s, 2);
	s->held[1] = s->held[2] = false;
	pass(s, 10000);
	expect(s, !has_active(s), "both copies were damaged, and somebody serves");
	expect(s, said_damaged(s, 1) > 0 && said_damaged(s, 2) == said_damaged(s, 1),
	       "who is refused does not name the LSN");
	s->ends_broken = true;
}

static bool harmed(struct sim *s)
{
	return s->harmed > s->mark;
}

static bool told(struct sim *s)
{
	return s->lost_lsn == 0;
}

/*
 * Its disk says that a write is done which is not, or not there. Later ones tell, and its next start sees it: alone it may not serve,
 * and the other mends it.
 */
static void lie_of_a_write(struct sim *s, enum sim_harm harm)
{
	int noticed = 0;

	for (int i = 0; i < 6; i++) {
		int a = active(s), b = 3 - a;
		uint64_t refused;

		s->mark = s->harmed;
		s->node[b].harm = harm;
		expect(s, wait_until(s, harmed, 30000), "no write is lost");
		expect(s, wait_until(s, told, 5000), "no later write tells of it");
		hold_down(s, a, true);
		hold_down(s, b, true);
		refused = s->refused;
		if (s->damaged == b) {
			s->held[b] = false;
			pass(s, 5000);
			expect(s, !has_active(s) && s->refused > refused,
			       "promoted without what its disk has lost");
			noticed++;
		}
		s->held[a] = s->held[b] = false;
		served_again(s);
		expect(s, wait_until(s, in_sync, 60000), "it is not repaired from the other");
		kill_active(s);
		served_again(s);
		expect(s, wait_until(s, in_sync, 60000), "the pair does not come together");
	}
	expect(s, noticed > 0, "all was read as it should be");
}

static void s52(struct sim *s)
{
	lie_of_a_write(s, SIM_HARM_MISDIRECT);
}

static void s53(struct sim *s)
{
	lie_of_a_write(s, SIM_HARM_LOSE);
}

static bool state_whole(struct sim *s)
{
	uint8_t(*copy)[HA_STATE_BYTES] = s->node[s->mark].state;

	return memcmp(copy[0], copy[1], sizeof(copy[0])) == 0 &&
	       memcmp(copy[0], copy[2], sizeof(copy[0])) == 0 &&
	       memcmp(copy[0], copy[3], sizeof(copy[0])) == 0;
}

static void s54(struct sim *s)
{
	for (int bad = 1; bad <= 3; bad++) {
		int a = active(s), b = 3 - a;
		uint8_t good[HA_STATE_BYTES];

		hold_down(s, b, true);
		expect(s, wait_until(s, alone, 10000), "it does not go on alone");
		s->mark = (uint64_t)b;
		memcpy(good, s->node[b].state[3], sizeof(good));
		for (int i = 0; i < SIM_STATE_COPIES; i++)
			memcpy(s->node[b].state[i], good, sizeof(good));
		for (int i = 0; i < bad; i++)
			s->node[b].state[i][7 + i] ^= 0x10;
		s->held[b] = false;
		if (bad == 3) {
			hold_down(s, a, true);
			pass(s, 8000);
			expect(s, !has_active(s) && s->node[b].role != PR_ROLE_STANDBY,
			       "one copy of four is enough for it");
			s->held[a] = false;
			expect(s, wait_until(s, has_active, 20000) && sim_active(s) == a,
			       "not the holder serves");
			served_again(s);
			memcpy(s->node[b].state[0], good, sizeof(good));
		}
		expect(s, wait_until(s, in_sync, 30000),
		       "it does not start with what copies it has");
		expect(s, state_whole(s), "its bad copies were not written over");
		kill_active(s);
		served_again(s);
		expect(s, wait_until(s, in_sync, 30000), "the pair does not come together");
	}
}

/* Sectors that cannot be read, found by who is to be promoted. */
static void s55(struct sim *s)
{
	int a = active(s), b = 3 - a;
	uint64_t refused, alarmed;

	hold_down(s, a, true);
	hold_down(s, b, true);
	for (uint32_t file = 1; file <= s->swarm.segments; file++) {
		uint64_t bytes;
		uint8_t *p = simdisk_bytes(s->node[b].disk, file, &bytes);

		if (pr_load32(p + 4 * 4096))
			simdisk_unreadable(s->node[b].disk, file, 4 * 4096, 4096);
	}
	s->tail_lost = true;
	refused = s->refused;
	alarmed = s->alarmed[HA_ALARM_JOURNAL];
	s->held[b] = false;
	pass(s, 10000);
	expect(s, !has_active(s) && s->refused > refused, "promoted with a journal it cannot read");
	expect(s, s->alarmed[HA_ALARM_JOURNAL] > alarmed, "no alarm");
	s->held[a] = false;
	served_again(s);
	expect(s, sim_active(s) == a, "not who can read its journal serves");
	expect(s, wait_until(s, in_sync, 60000), "it is not repaired");
	kill_active(s);
	served_again(s);
}

static bool dropped(struct sim *s)
{
	return !in_sync(s);
}

/* Dropped no sooner than after drop_ms, taken back later each time, and for an hour not more than three times. */
static void s56(struct sim *s)
{
	enum { DROP_MS = 5000, HOUR_MS = 3600000 };
	uint64_t first_us = s->now_us;

	for (int i = 0; i < 3; i++) {
		int b = 3 - active(s);
		uint64_t slow_us = s->now_us, dropped_us;

		s->node[b].slow_disk_us = 7000ull * MS;
		expect(s, wait_until(s, dropped, 20000), "a slow standby is not dropped");
		dropped_us = s->now_us;
		expect(s, dropped_us + 100 * MS >= slow_us + (uint64_t)DROP_MS * MS,
		       "it is dropped too soon");
		s->node[b].slow_disk_us = 0;
		served_again(s);
		if (i == 2)
			break;
		expect(s, wait_until(s, in_sync, 120000), "it is not taken back");
		expect(s, s->now_us >= dropped_us + ((uint64_t)DROP_MS << i) * MS,
		       "it is taken back too soon");
	}
	expect(s, s->alarmed[HA_ALARM_SLOW_PEER] >= 3, "no alarm");
	s->quiet_until_us = UINT64_MAX; /* nobody asks for anything */
	sim_until(s, first_us + (uint64_t)(HOUR_MS - 10000) * MS, in_sync);
	expect(s, !in_sync(s), "it is taken back after three drops in an hour");
	expect(s, wait_until(s, in_sync, 120000), "it is not taken back after an hour");
	s->quiet_until_us = 0;
	for (uint32_t i = 0; i < s->swarm.clients; i++)
		sim_after(s, 1, SIM_CLIENT_END + (int)i, sim_client_pump);
	served_again(s);
}

/* It serves as slowly as its disk is. It hands over to nobody: the other's disk may be no better. */
static void s57(struct sim *s)
{
	uint64_t promotions = s->promotions, crashes = s->crashes, epoch = s->arbiter.epoch, done;
	int a = active(s);

	s->node[a].slow_disk_us = 100 * MS;
	pass(s, 1000);
	done = s->done_ops;
	pass(s, 30000);
	expect(s, s->done_ops > done + 100, "a slow active does not serve");
	expect(s, s->promotions == promotions && s->crashes == crashes && sim_active(s) == a,
	       "a slow active is taken for a dead one");
	expect(s, in_sync(s) && s->arbiter.epoch == epoch, "a slow active costs the standby");
	served_again(s);
}

static bool writes(struct sim *s)
{
	return s->node[s->mark].tag_count > 0;
}

/* Its writes of now come back after 30 s, later ones at once. */
static void stall(struct sim *s, int node)
{
	s->node[node].slow_disk_us = 30000ull * MS;
	pass(s, 20);
	s->mark = (uint64_t)node;
	expect(s, wait_until(s, writes, 2000), "nothing is written");
	s->node[node].slow_disk_us = 0;
	pass(s, 500);
	expect(s, writes(s), "no write is stuck");
}

/* The standby's: the active is in the next epoch when they come back. The active's: another is active then. */
static void s58(struct sim *s)
{
	int a = active(s), b = 3 - a;
	uint64_t epoch = s->arbiter.epoch, answered, gen;

	stall(s, b);
	expect(s, wait_until(s, alone, 15000) && s->arbiter.epoch > epoch, "it is not dropped");
	expect(s, writes(s), "no write is stuck any more");
	pass(s, 32000);
	expect(s, !writes(s) || in_sync(s), "the disk does not come back");
	expect(s, s->old_acks == 0, "an ack of an old epoch came");
	expect(s, wait_until(s, in_sync, 60000), "it is not taken back");
	a = active(s);
	s->swarm.takeover_wait_ms = 2 * SIM_LINK_LEASE_MS;
	s->unstopped = true;
	sim_node_crash(s, a, "configured anew");
	sim_node_crash(s, 3 - a, "configured anew");
	expect(s, wait_until(s, in_sync, 30000), "the pair does not come together again");
	a = active(s);
	stall(s, a);
	sim_pause(s, a, 29000 * MS);
	gen = s->node[a].gen;
	sim_super_give_up(s, a);
	expect(s, wait_until(s, has_active, 10000) && sim_active(s) == 3 - a, "no successor");
	answered = s->node[a].answered;
	pass(s, 35000);
	expect(s, s->node[a].answered == answered || s->node[a].gen != gen,
	       "it answers in an old epoch");
	s->unstopped = false;
	served_again(s);
}

/* Its disk as it was: journal, rows and state. */
static void restore(struct sim_node *n, struct simdisk *disk, struct simstore *store,
		    const void *state)
{
	simdisk_free(n->disk);
	simstore_free(n->store);
	n->disk = disk;
	n->store = store;
	memcpy(n->state, state, sizeof(n->state));
}

/* Of the time when both held everything, as the record still says: only the floor beside it knows better. */
static void s59(struct sim *s)
{
	int a = active(s), b = 3 - a;
	uint8_t state[sizeof(s->node[b].state)];
	struct simstore *store;
	struct simdisk *disk;
	uint64_t refused;

	hold_down(s, b, true);
	disk = simdisk_copy(s->node[b].disk, 1);
	store = simstore_copy(s->node[b].store);
	memcpy(state, s->node[b].state, sizeof(state));
	s->held[b] = false;
	expect(s, wait_until(s, in_sync, 20000), "it does not come back");
	served_again(s);
	a = active(s);
	b = 3 - a;
	hold_down(s, a, true);
	hold_down(s, b, true);
	restore(&s->node[b], disk, store, state);
	refused = s->refused;
	s->held[b] = false;
	pass(s, 8000);
	expect(s, !has_active(s) && s->refused > refused, "an old snapshot was promoted");
	s->held[a] = false;
	expect(s, wait_until(s, in_sync, 60000) && sim_active(s) == a,
	       "it is not brought what it lacks");
	served_again(s);
}

/* All of a disk, and then the journal alone, from a pair that has another name. */
static void s60(struct sim *s)
{
	struct sim *o = sim_new(s->seed + 1);
	int a = active(s), b = 3 - a;
	struct simdisk *mine;
	uint32_t blocks;

	o->cluster = 0xa1;
	blocks = o->swarm.lun_blocks;
	o->swarm = s->swarm;
	o->swarm.lun_blocks = blocks;
	sim_begin(o);
	pass(o, 3000);
	expect(s, !o->violation && in_sync(o), "there is no other pair");
	hold_down(s, b, true);
	expect(s, wait_until(s, alone, 10000), "it does not go on alone");
	for (int i = 0; i < 2; i++) {
		struct simstore *rows = simstore_copy(s->node[b].store);
		uint8_t state[sizeof(s->node[b].state)];
		uint64_t gen = s->node[b].gen;

		mine = simdisk_copy(s->node[b].disk, 1);
		memcpy(state, s->node[b].state, sizeof(state));
		restore(&s->node[b], simdisk_copy(o->node[b].disk, 2),
			simstore_copy(i ? s->node[b].store : o->node[b].store),
			i ? s->node[b].state : o->node[b].state);
		s->held[b] = false;
		pass(s, 5000);
		expect(s, s->node[b].gen > gen + 2 && alone(s),
		       "it lives with a disk of another pair");
		hold_down(s, a, true);
		pass(s, 5000);
		expect(s, !has_active(s), "a disk of another pair was promoted");
		hold_down(s, b, true);
		s->held[a] = false;
		expect(s, wait_until(s, alone, 20000), "the holder does not serve");
		restore(&s->node[b], mine, rows, state);
	}
	s->held[b] = false;
	expect(s, wait_until(s, in_sync, 60000), "it does not come back with its own disk");
	kill_active(s);
	served_again(s);
	sim_free(o);
}

static void s61(struct sim *s)
{
	int b;

	pass(s, 25000);
	b = 3 - active(s);
	s->node[b].journal_error = -EIO;
	pass(s, 8000);
	expect(s, wait_until(s, in_sync, 60000), "the disk is not rebuilt");
	expect(s, s->full_copies > 0, "there was no full copy");
	kill_active(s);
	served_again(s);
}

static bool copies(struct sim *s)
{
	return s->node[1].copy || s->node[2].copy;
}

static void s62(struct sim *s)
{
	int a, b;

	pass(s, 25000); /* until the journal has forgotten its beginning */
	a = active(s);
	b = 3 - a;
	s->node[b].journal_error = -EIO;
	expect(s, wait_until(s, copies, 60000), "there was no full copy");
	hold_down(s, a, true);
	pass(s, 5000);
	expect(s, !has_active(s), "half a copy was promoted");
	s->held[a] = false;
	expect(s, wait_until(s, has_active, 20000) && sim_active(s) == a,
	       "not who holds everything serves");
}

/* Ten times what the disks can do. */
static void s67(struct sim *s)
{
	uint64_t promotions = s->promotions;

	s->swarm.think_us = 0;
	s->swarm.disk_min_us *= 10;
	s->swarm.disk_max_us *= 10;
	pass(s, 20000);
	expect(s, s->promotions == promotions, "overload is taken for a death");
	expect(s, in_sync(s), "overload costs the standby");
	served_again(s);
}

const struct sim_scenario sim_disk_scenarios[] = {
	SCENARIO(43, "EIO on the active's journal: quarantine, failover"),
	SCENARIO(44, "EIO on the standby's journal: it is dropped"),
	SCENARIO(45, "no room on the active's disk: another serves"),
	SCENARIO(46, "journal full: who asks waits, nothing is written over"),
	SCENARIO(47, "last writes torn, on one disk and on both"),
	SCENARIO(48, "bit rot on the standby: repaired from the active"),
	SCENARIO(49, "bit rot on the active: repaired from the other"),
	SCENARIO(50, "bit rot on the only copy: nobody serves"),
	SCENARIO(51, "bit rot of the same batches on both: nobody serves"),
	SCENARIO(52, "writes that landed elsewhere: noticed and repaired"),
	SCENARIO(53, "writes that were lost: noticed and repaired"),
	SCENARIO(54, "bad copies of the state: two of four are enough, one is not"),
	SCENARIO(55, "sectors that cannot be read at the promotion: refused, alarm"),
	SCENARIO(56, "standby's disk far too slow: dropped, taken back later each time"),
	SCENARIO(57, "active's disk slow: it serves slowly, nobody is promoted"),
	SCENARIO(58, "a disk stalls 30 s: no late ack in an old epoch"),
	SCENARIO(59, "a disk restored from an old snapshot: refused, then resynced"),
	SCENARIO(60, "a disk of another cluster: refused"),
	SCENARIO(61, "standby's disk lost: rebuilt while serving"),
	SCENARIO(62, "the source dies in mid-copy: the target never serves"),
	SCENARIO(67, "ten times overload: no failover"),
	{0},
};
