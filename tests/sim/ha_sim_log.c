/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The log of a node: a chain of batches, of which the first may have been trimmed and one damaged. */
#include "tests/sim/ha_sim.h"

uint64_t hs_log_tail(const struct hs_log *l)
{
	return l->count ? l->batch[l->count - 1]->last_lsn : l->base_lsn;
}

int hs_log_find(const struct hs_log *l, uint64_t lsn)
{
	for (unsigned i = l->count; i-- > 0;)
		if (l->batch[i]->first_lsn <= lsn && lsn <= l->batch[i]->last_lsn)
			return (int)i;
	return -1;
}

void hs_log_clear(struct hs_log *l)
{
	while (l->count)
		jr_batch_unref(l->batch[--l->count]);
	l->damaged = 0;
}

/* Does this log hold the chain up to (lsn, hash)? */
bool hs_log_holds(const struct hs_log *l, uint64_t lsn, const struct pr_hash *hash)
{
	int i;

	if (lsn <= l->base_lsn)
		return true;
	i = hs_log_find(l, lsn);
	return i >= 0 && l->batch[i]->last_lsn == lsn && pr_hash_equal(&l->batch[i]->hash, hash);
}

/* The same, with what is being appended. */
bool hs_holds(const struct hs_node *n, uint64_t lsn, const struct pr_hash *hash)
{
	if (hs_log_holds(&n->log, lsn, hash))
		return true;
	for (unsigned i = 0; i < n->appends; i++)
		if (n->append[i]->last_lsn == lsn && pr_hash_equal(&n->append[i]->hash, hash))
			return true;
	return false;
}

uint64_t hs_log_commit(const struct hs_log *l)
{
	uint64_t lsn = 0;

	for (unsigned i = 0; i < l->count; i++)
		if (l->batch[i]->commit_lsn > lsn)
			lsn = l->batch[i]->commit_lsn;
	return lsn < hs_log_tail(l) ? lsn : hs_log_tail(l);
}

void hs_rows_apply(struct hs_rows *r, const struct jr_batch *b)
{
	struct pr_cur c = pr_cur_on(b->payload, b->payload_bytes);
	struct pr_record v;

	while (c.left && pr_record_get(&c, &v)) {
		if (v.kind != PR_RECORD_OPERATION)
			continue;
		r->seq[v.slot] = v.sequence;
		r->at[v.slot] = v.lsn;
	}
	r->lsn = b->last_lsn;
}
