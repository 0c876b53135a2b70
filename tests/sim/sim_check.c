/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What must be true: after every step of a controller, whenever one answers, and at the end. */
#include "tests/sim/sim.h"
#include "tests/sim/simstore.h"

#include <string.h>

/* I2: at most one acknowledges, and acknowledging epochs never go back. */
void sim_check_serving(struct sim *s, int node)
{
	const struct ha *ha = ctl_ha(s->node[node].ctl), *other;
	uint64_t now_ms = s->now_us / SIM_US_MS + 1000;
	int peer = 3 - node;

	if (ha_role(ha) != PR_ROLE_ACTIVE || !ha_may_reply(ha, now_ms))
		return;
	s->replies++;
	if (ha_epoch(ha) < s->acked_epoch)
		sim_fail(s, "I2", "node %d answers in epoch %llu after %llu", node,
			 (unsigned long long)ha_epoch(ha), (unsigned long long)s->acked_epoch);
	s->acked_epoch = ha_epoch(ha);
	if (!s->node[peer].up)
		return;
	other = ctl_ha(s->node[peer].ctl);
	if (ha_role(other) == PR_ROLE_ACTIVE && ha_may_reply(other, now_ms))
		sim_fail(s, "I2", "both may answer: node %d in epoch %llu, node %d in epoch %llu",
			 node, (unsigned long long)ha_epoch(ha), peer,
			 (unsigned long long)ha_epoch(other));
}

static void check_active(struct sim *s, int node, const struct ha_status *st)
{
	uint64_t now_ms = s->now_us / SIM_US_MS + 1000;

	if (!ha_may_reply(ctl_ha(s->node[node].ctl), now_ms))
		return;
	/* I1: its log reaches every LSN that was ever acknowledged. */
	if (st->tail_lsn < s->acked_lsn)
		sim_fail(s, "I1", "node %d serves with a tail of %llu, %llu was acknowledged", node,
			 (unsigned long long)st->tail_lsn, (unsigned long long)s->acked_lsn);
	if (st->commit_lsn > s->acked_lsn)
		s->acked_lsn = st->commit_lsn;
	if (st->mode != HA_ALONE)
		return;
	/* I6 */
	if (st->epoch < sizeof(s->epoch_owner) / sizeof(s->epoch_owner[0])) {
		if (s->epoch_owner[st->epoch] && s->epoch_owner[st->epoch] != (uint64_t)node)
			sim_fail(s, "I6", "both stood alone in epoch %llu",
				 (unsigned long long)st->epoch);
		s->epoch_owner[st->epoch] = (uint64_t)node;
	}
	/* I5: who answers alone is the only member. */
	if (s->arbiter_set && s->arbiter.epoch == st->epoch &&
	    s->arbiter.members != 1u << (node - 1) && !(st->link_up && s->arbiter.members == 3))
		sim_fail(s, "I5", "node %d answers alone in epoch %llu, members are %u", node,
			 (unsigned long long)st->epoch, s->arbiter.members);
}

void sim_check_step(struct sim *s, int node)
{
	struct ha_status st;

	ha_get_status(ctl_ha(s->node[node].ctl), &st);
	if (st.commit_lsn > st.tail_lsn)
		sim_fail(s, "I13", "node %d: committed %llu beyond its tail %llu", node,
			 (unsigned long long)st.commit_lsn, (unsigned long long)st.tail_lsn);
	if (st.role == PR_ROLE_ACTIVE)
		check_active(s, node, &st);
	/* I3: a member that is up and settled holds what was acknowledged. */
	if (s->arbiter_set && st.role == PR_ROLE_STANDBY && s->arbiter.members >> (node - 1) & 1 &&
	    st.dstate == HA_INSYNC && st.epoch == s->arbiter.epoch && st.tail_lsn < s->acked_lsn)
		sim_fail(s, "I3", "node %d is a member with a tail of %llu, %llu was acknowledged",
			 node, (unsigned long long)st.tail_lsn, (unsigned long long)s->acked_lsn);
}

/* I14: at equal LSN both stores are equal row by row. */
void sim_check_end(struct sim *s)
{
	struct simstore *a = s->node[1].store, *b = s->node[2].store;

	if (simstore_lsn(a) != simstore_lsn(b))
		return;
	if (simstore_count(a) != simstore_count(b)) {
		sim_fail(s, "I14", "%zu rows against %zu at LSN %llu", simstore_count(a),
			 simstore_count(b), (unsigned long long)simstore_lsn(a));
		return;
	}
	s->compared++;
	for (size_t i = 0; i < simstore_count(a); i++) {
		struct ctl_row x, y;

		simstore_row(a, i, &x);
		simstore_row(b, i, &y);
		if (x.key.len != y.key.len || memcmp(x.key.b, y.key.b, x.key.len) != 0 ||
		    x.bytes != y.bytes || memcmp(x.value, y.value, x.bytes) != 0) {
			sim_fail(s, "I14", "row %zu differs at LSN %llu, table %02x", i,
				 (unsigned long long)simstore_lsn(a), x.key.b[0]);
			return;
		}
	}
}
