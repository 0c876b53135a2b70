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
	s->ends_broken = true;
}

static void s56(struct sim *s)
{
	int b = 3 - active(s);

	s->node[b].slow_disk_us = 30000ull * MS;
	expect(s, wait_until(s, alone, 20000), "a slow standby is not dropped");
	served_again(s);
	s->node[b].slow_disk_us = 0;
}

static void s57(struct sim *s)
{
	uint64_t promotions = s->promotions;

	s->node[active(s)].slow_disk_us = 100 * MS;
	pass(s, 30000);
	expect(s, s->promotions <= promotions + 1, "a slow active flaps");
	served_again(s);
}

static void s58(struct sim *s)
{
	int a = active(s);

	s->node[a].slow_disk_us = 30000ull * MS;
	pass(s, 500);
	s->node[a].slow_disk_us = 0;
	pass(s, 40000);
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

static const struct sim_scenario scenarios[] = {
	SCENARIO(43, "EIO on the active's journal: quarantine, failover"),
	SCENARIO(44, "EIO on the standby's journal: it is dropped"),
	SCENARIO(48, "bit rot on the standby: repaired from the active"),
	SCENARIO(49, "bit rot on the active: repaired from the other"),
	SCENARIO(50, "bit rot on the only copy: nobody serves"),
	SCENARIO(51, "bit rot of the same batches on both: nobody serves"),
	SCENARIO(56, "standby's disk far too slow: dropped"),
	SCENARIO(57, "active's disk slow: no flapping"),
	SCENARIO(58, "a disk stalls 30 s"),
	SCENARIO(59, "a disk restored from an old snapshot: refused, then resynced"),
	SCENARIO(61, "standby's disk lost: rebuilt while serving"),
	SCENARIO(62, "the source dies in mid-copy: the target never serves"),
	SCENARIO(67, "ten times overload: no failover"),
};

const struct sim_scenario *sim_disk_scenario_at(size_t i)
{
	return i < sizeof(scenarios) / sizeof(scenarios[0]) ? &scenarios[i] : NULL;
}
