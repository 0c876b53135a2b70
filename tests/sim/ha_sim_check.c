/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The invariants, as ha/README.md names them, that hold after every step. */
#include "tests/sim/ha_sim.h"

/*
 * I5: who commits by himself is the only member in the record. Both are named only while acks are required, which an active that stands
 * alone does from the barrier of T6 on, until it is told that the link is gone: then the other one holds all that is committed.
 */
static void check_alone(const struct hs_node *n)
{
	const struct hs_node *o = &world.node[!hs_index(n)];

	if (ha_mode(n->ha) != HA_ALONE || world.arb.epoch != ha_epoch(n->ha) ||
	    world.arb.members == 1u << hs_index(n))
		return;
	if (world.arb.members != 3 || !n->linked ||
	    (!o->log.damaged && world.committed_lsn &&
	     !hs_log_holds(&o->log, world.committed_lsn, &world.committed_hash)))
		hs_fail("I5: node %u is ALONE in epoch %llu, members are %u", n->id,
			(ull)ha_epoch(n->ha), world.arb.members);
}

/* I14: at the same LSN the rows are the same, in memory and on disk. */
static void check_rows(const struct hs_rows *a, const struct hs_rows *b)
{
	for (unsigned s = 0; a->lsn == b->lsn && s < HS_SLOTS; s++)
		if (a->seq[s] != b->seq[s] || a->at[s] != b->at[s])
			hs_fail("I14: at LSN %llu slot %u is at operation %llu of LSN %llu, and at %llu of %llu",
				(ull)a->lsn, s, (ull)a->seq[s], (ull)a->at[s], (ull)b->seq[s],
				(ull)b->at[s]);
}

void hs_check(void)
{
	unsigned may = 0;

	check_rows(&world.node[0].rows, &world.node[1].rows);
	check_rows(&world.node[0].disk, &world.node[1].disk);

	for (unsigned i = 0; i < 2; i++) {
		struct hs_node *n = &world.node[i], *o = &world.node[!i];

		if (hs_is_member(n) && world.acked_lsn && !n->log.damaged &&
		    !hs_log_holds(&n->log, world.acked_lsn, &world.acked_hash))
			hs_fail("I3: member %u does not hold LSN %llu, which was acknowledged (its log ends at %llu)",
				n->id, (ull)world.acked_lsn, (ull)hs_log_tail(&n->log));
		if (!n->up)
			continue;
		if (n->serving && ha_may_reply(n->ha, world.now_us / 1000)) {
			may++;
			if (world.acked_lsn && !hs_holds(n, world.acked_lsn, &world.acked_hash))
				hs_fail("I1: active %u does not hold LSN %llu", n->id,
					(ull)world.acked_lsn);
		}
		if (ha_role(n->ha) == PR_ROLE_ACTIVE)
			check_alone(n);
		if (ha_role(n->ha) == PR_ROLE_ACTIVE && ha_mode(n->ha) == HA_ALONE) {
			if (world.alone_epoch == ha_epoch(n->ha) && world.alone_node != n->id)
				hs_fail("I6: both were ALONE in epoch %llu",
					(ull)world.alone_epoch);
			world.alone_epoch = ha_epoch(n->ha);
			world.alone_node = n->id;
		}
		if (ha_role(n->ha) == PR_ROLE_ACTIVE && ha_mode(n->ha) == HA_SYNC &&
		    world.arb.members == 3 && ha_commit_lsn(n->ha) == world.committed_lsn &&
		    world.committed_lsn && !o->log.damaged &&
		    !hs_log_holds(&o->log, world.committed_lsn, &world.committed_hash))
			hs_fail("I11: in SYNC node %u does not hold committed LSN %llu", o->id,
				(ull)world.committed_lsn);
	}
	if (may > 1)
		hs_fail("I2: both may reply");
}
