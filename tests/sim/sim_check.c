/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What must be true: after every step of a controller, whenever one answers, and at the end. */
#include "tests/sim/sim.h"
#include "tests/sim/simstore.h"

#include <string.h>
#include <sys/stat.h>

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
	/* I4: what was not persisted is forgotten with this process. */
	if (s->node[node].persisted_epoch < ha_epoch(ha))
		sim_fail(s, "I4", "node %d answers in epoch %llu, it has persisted %llu", node,
			 (unsigned long long)ha_epoch(ha),
			 (unsigned long long)s->node[node].persisted_epoch);
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
	if (st.tail_lsn >= s->acked_lsn)
		s->node[node].lags = false;
	if (st.role == PR_ROLE_ACTIVE)
		check_active(s, node, &st);
	/* I12, by what the simulator knows of the disk: it was told, and had the time to write that down. */
	if (s->quarantined == node && s->node[node].failed_told && st.role == PR_ROLE_ACTIVE)
		sim_fail(s, "I12", "node %d is active, on a disk that failed", node);
	/* I3: a member that is up and settled holds what was acknowledged. */
	if (s->arbiter_set && !s->tail_lost && !s->node[node].lags && st.role == PR_ROLE_STANDBY &&
	    s->arbiter.members >> (node - 1) & 1 && st.dstate == HA_INSYNC &&
	    st.epoch == s->arbiter.epoch && st.tail_lsn < s->acked_lsn)
		sim_fail(s, "I3", "node %d is a member with a tail of %llu, %llu was acknowledged",
			 node, (unsigned long long)st.tail_lsn, (unsigned long long)s->acked_lsn);
}

static uint64_t digest_of(uint64_t ino, const struct pr_row_inode *row)
{
	return model_digest(&(struct model_answer){
		.ino = ino,
		.mode = row->mode,
		.nlink = row->nlink,
		.size = S_ISREG(row->mode) ? row->size : 0,
		.attr = {.uid = row->uid,
			 .gid = row->gid,
			 .rdev = row->rdev,
			 .change = row->change,
			 .atime_ns = row->atime_ns,
			 .mtime_ns = row->mtime_ns,
			 .ctime_ns = row->ctime_ns,
			 .btime_ns = row->btime_ns},
	});
}

static void check_inode(struct sim *s, const struct ctl_row *row, uint64_t ino)
{
	struct pr_row_inode inode;
	struct model_answer is;

	if (pr_row_inode_decode(&inode, row->value, row->bytes) < 0)
		sim_fail(s, "tree", "the row of inode %llu does not decode",
			 (unsigned long long)ino);
	else if (!model_now(s->model, ino, &is))
		sim_fail(s, "tree", "inode %llu is in the store, not in the model",
			 (unsigned long long)ino);
	else if (digest_of(ino, &inode) != model_digest(&is) ||
		 (S_ISDIR(is.mode) && inode.parent != is.value))
		sim_fail(
			s, "tree",
			"inode %llu: mode %o links %u size %llu change %llu, the model: %o %u %llu %llu; or owner, times or parent",
			(unsigned long long)ino, inode.mode, inode.nlink,
			(unsigned long long)inode.size, (unsigned long long)inode.change, is.mode,
			is.nlink, (unsigned long long)is.size, (unsigned long long)is.attr.change);
	else if (inode.nlink == 0 && sim_all_are_back(s) && !sim_is_open(s, ino))
		sim_fail(s, "leak", "inode %llu has no name, and nobody has it open",
			 (unsigned long long)ino);
}

static void check_name(struct sim *s, const struct ctl_row *row, uint64_t dir, struct pr_bytes text)
{
	int name = model_name_index(text);
	struct pr_row_name n;
	struct model_answer is;

	if (pr_row_name_decode(&n, row->value, row->bytes) < 0 || name < 0 ||
	    !model_now(s->model, dir, &is) || is.entry[name] != n.ino ||
	    is.cookie[name] != n.cookie)
		sim_fail(s, "tree", "a name of inode %llu in directory %llu is not in the model",
			 (unsigned long long)n.ino, (unsigned long long)dir);
}

/* All that the store holds is in the reference namespace, and as much. */
static void check_tree(struct sim *s, const struct simstore *store)
{
	uint64_t inodes = 0, names = 0;

	for (size_t i = 0; i < simstore_count(store) && !s->violation; i++) {
		struct pr_bytes text;
		struct ctl_row row;
		uint16_t volume;
		uint64_t ino;

		simstore_row(store, i, &row);
		if (pr_key_parse_inode(row.key.b, row.key.len, &volume, &ino) == 0) {
			check_inode(s, &row, ino);
			inodes++;
		} else if (pr_key_parse_name(row.key.b, row.key.len, &volume, &ino, &text) == 0) {
			check_name(s, &row, ino, text);
			names++;
		}
	}
	for (uint64_t i = 0; i < model_count(s->model); i++) {
		struct model_answer is;
		uint32_t type;

		if (!model_now(s->model, model_ino(s->model, i, &type), &is))
			continue;
		inodes--;
		for (int k = 0; k < MODEL_NAMES; k++)
			names -= is.entry[k] != 0;
	}
	if (inodes || names)
		sim_fail(s, "tree", "%lld inodes and %lld names too many", (long long)inodes,
			 (long long)names);
	s->trees++;
}

/* Row by row. */
static void check_same(struct sim *s, const char *rule, const struct simstore *a,
		       const struct simstore *b, const char *what)
{
	unsigned long long lsn = simstore_lsn(a);
	struct ctl_row x, y;

	if (simstore_count(a) != simstore_count(b)) {
		sim_fail(s, rule, "%s: %zu rows against %zu at LSN %llu", what, simstore_count(a),
			 simstore_count(b), lsn);
		return;
	}
	for (size_t i = 0; i < simstore_count(a) && !s->violation; i++) {
		simstore_row(a, i, &x);
		simstore_row(b, i, &y);
		if (x.key.len != y.key.len || memcmp(x.key.b, y.key.b, x.key.len) != 0 ||
		    x.bytes != y.bytes || memcmp(x.value, y.value, x.bytes) != 0)
			sim_fail(s, rule, "%s: row %zu differs at LSN %llu, table %02x", what, i,
				 lsn, x.key.b[0]);
	}
}

/* I14: at equal LSN both stores are equal row by row. */
void sim_check_stores(struct sim *s)
{
	struct simstore *a = s->node[1].store, *b = s->node[2].store;

	if (!a || !b || simstore_lsn(a) != simstore_lsn(b))
		return;
	s->compared++;
	check_same(s, "I14", a, b, "both stores");
}

/* Each store is the reference namespace's tree, and all its rows are what the committed records, one after the other, leave. */
static void check_trees(struct sim *s)
{
	for (int n = 1; n <= SIM_NODES; n++) {
		if (simstore_lsn(s->node[n].store) != s->committed_lsn)
			continue;
		check_tree(s, s->node[n].store);
		check_same(s, "rows", s->node[n].store, s->rows,
			   "a store and the committed records");
	}
}

void sim_check_end(struct sim *s)
{
	check_trees(s);
	sim_lun_check_end(s);
	sim_check_stores(s);
}
