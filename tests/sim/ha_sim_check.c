/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The invariants, as ha/README.md names them, that hold after every step. */
#include "tests/sim/ha_sim.h"

void hs_check(void)
{
	unsigned may = 0;

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
