/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The store of a node: rows that are flushed now and then, and read and replaced by a full copy. */
#include <string.h>
#include "tests/sim/ha_sim.h"

enum { ROW_BYTES = 24 }; /* of a full copy: slot, sequence, LSN */

/* Some of the log's beginning goes, up to keep_lsn at most. */
static void trim(struct hs_node *n, uint64_t keep_lsn)
{
	struct hs_log *l = &n->log;
	unsigned k = 0;

	while (k < l->count && l->batch[k]->last_lsn <= keep_lsn && hs_chance(950))
		k++;
	if (!k)
		return;
	l->base_lsn = l->batch[k - 1]->last_lsn;
	l->base_hash = l->batch[k - 1]->hash;
	l->base_epoch = l->batch[k - 1]->epoch;
	for (unsigned i = 0; i < k; i++)
		jr_batch_unref(l->batch[i]);
	memmove(l->batch, l->batch + k, (l->count - k) * sizeof(l->batch[0]));
	l->count -= k;
}

void hs_flush(struct hs_node *n)
{
	uint64_t keep = ha_keep_lsn(n->ha);

	if (n->rows.lsn > world.committed_lsn && ha_role(n->ha) == PR_ROLE_STANDBY)
		hs_fail("I13: node %u stores LSN %llu, committed is %llu", n->id, (ull)n->rows.lsn,
			(ull)world.committed_lsn);
	if (!n->copying) {
		n->disk = n->rows;
		hs_step(n, (struct ha_event){.type = HA_EV_STORE_FLUSHED, .lsn = n->disk.lsn});
	}
	if (!n->up)
		return;
	if (world.faults && hs_chance(300) && !n->log.damaged && !n->copying)
		trim(n, keep < n->disk.lsn ? keep : n->disk.lsn);
	hs_for_node(5000 + hs_upto(400000), HS_FLUSH, n);
}

void hs_rows_read(struct hs_node *n)
{
	uint8_t buf[2 * ROW_BYTES];
	struct ha_event e = {.type = HA_EV_ROWS,
			     .p = buf,
			     .len = sizeof(buf),
			     .lsn = n->disk.lsn,
			     .total_bytes = HS_SLOTS * ROW_BYTES};

	for (unsigned i = 0; i < 2; i++, n->read_slot++) {
		pr_store64(buf + i * ROW_BYTES, n->read_slot);
		pr_store64(buf + i * ROW_BYTES + 8, n->disk.seq[n->read_slot]);
		pr_store64(buf + i * ROW_BYTES + 16, n->disk.at[n->read_slot]);
	}
	e.last = n->read_slot >= HS_SLOTS;
	e.done_bytes = n->read_slot * ROW_BYTES;
	if (e.last)
		n->read_slot = 0;
	hs_step(n, e);
}

static void rows_applied(struct hs_node *n)
{
	hs_for_node(300 + hs_upto(2000), HS_ROWS_APPLIED, n);
}

void hs_rows_begin(struct hs_node *n, uint64_t lsn)
{
	hs_say("node %u: full copy begins at LSN %llu", n->id, (ull)lsn);
	world.copies++;
	n->copying = true;
	memset(&n->copy, 0, sizeof(n->copy));
	rows_applied(n);
}

void hs_rows_put(struct hs_node *n, const struct ha_effect *fx)
{
	if (!n->copying)
		hs_fail("node %u: rows without a beginning", n->id);
	for (uint32_t i = 0; i + ROW_BYTES <= fx->len; i += ROW_BYTES) {
		unsigned s = (unsigned)pr_load64(fx->p + i);

		n->copy.seq[s] = pr_load64(fx->p + i + 8);
		n->copy.at[s] = pr_load64(fx->p + i + 16);
	}
	rows_applied(n);
}

void hs_rows_end(struct hs_node *n, uint64_t lsn)
{
	n->copy.lsn = lsn;
	n->disk = n->rows = n->copy;
	n->copying = false;
	rows_applied(n);
}
