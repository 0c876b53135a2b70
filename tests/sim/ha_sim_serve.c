/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the controller around the core does: it makes batches of requests, applies what is committed, and replies. */
#include <stdlib.h>
#include <string.h>
#include "tests/sim/ha_sim.h"

static void reply(struct hs_node *n, unsigned slot, uint64_t seq, uint64_t at)
{
	struct hs_event *e;

	if (world.replied_epoch > ha_epoch(n->ha))
		hs_fail("I2: node %u replies in epoch %llu after epoch %llu replied", n->id,
			(ull)ha_epoch(n->ha), (ull)world.replied_epoch);
	world.replied_epoch = ha_epoch(n->ha);
	e = hs_later(50 + hs_upto(500), HS_REPLY, slot);
	e->a = seq;
	/* From here on it may have been seen: it is acknowledged. */
	if (n->rows.lsn > world.acked_lsn || !world.acked_lsn) {
		int i;

		if (world.acked_lsn && !hs_holds(n, world.acked_lsn, &world.acked_hash))
			hs_fail("I1: node %u acknowledges LSN %llu without LSN %llu", n->id,
				(ull)at, (ull)world.acked_lsn);
		if (at > world.acked_lsn && at > n->log.base_lsn) {
			i = hs_log_find(&n->log, at);
			if (i < 0)
				hs_fail("node %u acknowledges LSN %llu that is not in its log",
					n->id, (ull)at);
			world.acked_lsn = n->log.batch[i]->last_lsn;
			world.acked_hash = n->log.batch[i]->hash;
		}
	}
}

static void send_replies(struct hs_node *n)
{
	if (!n->up || !n->serving)
		return;
	for (unsigned s = 0; s < HS_SLOTS; s++)
		if (n->owe[s].waiting && n->owe[s].lsn <= n->rows.lsn &&
		    ha_may_reply(n->ha, world.now_us / 1000)) {
			n->owe[s].waiting = false;
			reply(n, s, n->owe[s].seq, n->owe[s].at);
		}
}

static void close_batch(struct hs_node *n)
{
	static uint8_t payload[HS_SLOTS * 128];
	struct pr_buf b = pr_buf_on(payload, sizeof(payload));
	uint64_t first = ha_next_lsn(n->ha), lsn = first;
	struct pr_hash prev = ha_tail_hash(n->ha);
	struct jr_batch *batch;

	for (unsigned s = 0; s < HS_SLOTS; s++) {
		struct pr_record v = {.lsn = lsn,
				      .kind = PR_RECORD_OPERATION,
				      .slot = s,
				      .sequence = n->want[s].seq};

		if (!n->want[s].waiting || (lsn > first && hs_chance(300)))
			continue;
		n->want[s].waiting = false;
		if (n->view.seq[s] == v.sequence) { /* executed already: the stored reply */
			n->owe[s].waiting = true;
			n->owe[s].seq = v.sequence;
			n->owe[s].at = n->owe[s].lsn = n->view.at[s];
			continue;
		}
		if (n->view.seq[s] > v.sequence)
			continue;
		if (pr_record_put(&b, &v) < 0)
			abort();
		n->owe[s].waiting = true;
		n->owe[s].seq = v.sequence;
		n->owe[s].at = n->owe[s].lsn = lsn;
		lsn++;
	}
	if (lsn == first)
		return;
	batch = jr_batch_new(hs_cluster, ha_epoch(n->ha), first, lsn - 1, ha_commit_lsn(n->ha),
			     &prev, payload, (uint32_t)b.len);
	hs_rows_apply(&n->view, batch);
	hs_step(n, (struct ha_event){.type = HA_EV_SUBMIT, .batch = batch});
	jr_batch_unref(batch);
}

void hs_pump(struct hs_node *n)
{
	bool any = false;

	if (!n->up || !n->serving || n->hold || n->drained)
		return;
	for (unsigned s = 0; s < HS_SLOTS; s++)
		any |= n->want[s].waiting;
	if (any && !n->draining && ha_can_submit(n->ha))
		close_batch(n);
	if (n->up)
		send_replies(n);
}

/* The only member adopts its whole tail: from here on it is committed. */
static void adopt(uint64_t lsn, const struct pr_hash *hash)
{
	if (lsn <= world.committed_lsn)
		return;
	world.committed_lsn = lsn;
	world.committed_hash = *hash;
}

/* What the active appends is committed later, by its own batches. */
void hs_own(struct hs_node *n, struct jr_batch *b)
{
	if (!n->serving)
		adopt(b->first_lsn - 1, &b->prev_hash);
	n->mine[n->mines++] = jr_batch_ref(b);
}

void hs_committed(struct hs_node *n, uint64_t lsn)
{
	struct hs_node *o = hs_other(n);

	while (n->mines && n->mine[0]->last_lsn <= lsn) {
		struct jr_batch *b = n->mine[0];

		if (b->first_lsn != n->rows.lsn + 1)
			hs_fail("node %u commits LSN %llu on rows at %llu", n->id,
				(ull)b->first_lsn, (ull)n->rows.lsn);
		if (!hs_log_holds(&n->log, b->last_lsn, &b->hash))
			hs_fail("node %u commits LSN %llu that is not durable here", n->id,
				(ull)b->last_lsn);
		/* I3, I5 at the moment it matters: what is committed is held by every member. */
		if (hs_is_member(o) && !hs_log_holds(&o->log, b->last_lsn, &b->hash))
			hs_fail("I3: node %u commits LSN %llu which member %u does not hold", n->id,
				(ull)b->last_lsn, o->id);
		if (b->last_lsn > world.committed_lsn) {
			world.committed_lsn = b->last_lsn;
			world.committed_hash = b->hash;
		}
		hs_rows_apply(&n->rows, b);
		jr_batch_unref(b);
		memmove(n->mine, n->mine + 1, --n->mines * sizeof(n->mine[0]));
	}
	send_replies(n);
}

void hs_serve(struct hs_node *n, uint64_t lsn)
{
	if (n->rows.lsn > lsn)
		hs_fail("node %u serves at LSN %llu with rows at %llu", n->id, (ull)lsn,
			(ull)n->rows.lsn);
	world.failovers += world.served_by != 0 &&
			   (world.served_by != n->id || world.served_life != n->incarnation);
	world.served_by = n->id;
	world.served_life = n->incarnation;
	n->serving = true;
	n->hold = n->draining = n->drained = false;
	/* own records of the core carry no rows */
	n->view = n->rows;
	hs_say("node %u: SERVE epoch %llu at LSN %llu mode %u", n->id, (ull)ha_epoch(n->ha),
	       (ull)lsn, ha_mode(n->ha));
}

void hs_apply(struct hs_node *n, struct jr_batch *b)
{
	if (b->first_lsn > n->rows.lsn + 1)
		hs_fail("node %u applies LSN %llu on rows at %llu", n->id, (ull)b->first_lsn,
			(ull)n->rows.lsn);
	if (!hs_log_holds(&n->log, b->last_lsn, &b->hash))
		hs_fail("node %u applies LSN %llu that is not durable here", n->id,
			(ull)b->last_lsn);
	/* I13; the role is settled once the record names it. */
	if (ha_role(n->ha) == PR_ROLE_STANDBY && b->last_lsn > world.committed_lsn)
		hs_fail("I13: node %u applies LSN %llu, committed is %llu", n->id, (ull)b->last_lsn,
			(ull)world.committed_lsn);
	if (b->last_lsn == world.committed_lsn && !pr_hash_equal(&b->hash, &world.committed_hash) &&
	    ha_role(n->ha) == PR_ROLE_STANDBY)
		hs_fail("I13: node %u applies another LSN %llu than was committed", n->id,
			(ull)b->last_lsn);
	if (ha_role(n->ha) == PR_ROLE_PROMOTING)
		adopt(b->last_lsn, &b->hash);
	if (b->last_lsn > n->rows.lsn)
		hs_rows_apply(&n->rows, b);
}

void hs_stand_by(struct hs_node *n)
{
	hs_say("node %u: STANDBY", n->id);
	n->serving = n->draining = n->drained = n->hold = false;
	memset(n->want, 0, sizeof(n->want));
	memset(n->owe, 0, sizeof(n->owe));
	if (n->mines)
		hs_fail("node %u handed over with batches that are not committed", n->id);
}
