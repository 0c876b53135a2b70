/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The disk of a node: its journal and its state file. */
#include <stdlib.h>
#include <string.h>
#include "tests/sim/ha_sim.h"

/* The journal takes a few appends at a time, and ends them in order. */
void hs_append(struct hs_node *n, struct jr_batch *b)
{
	uint64_t at = world.now_us + 100 + hs_upto(n->disk_slow ? 400000 : 600);
	uint64_t tail = n->appends ? n->append[n->appends - 1]->last_lsn : hs_log_tail(&n->log);

	if (b->first_lsn != tail + 1)
		hs_fail("node %u appends LSN %llu after %llu", n->id, (ull)b->first_lsn, (ull)tail);
	if (n->appends >= 3)
		hs_fail("node %u: more appends in flight than the journal takes", n->id);
	n->append[n->appends++] = jr_batch_ref(b);
	if (at < n->append_free_us)
		at = n->append_free_us;
	n->append_free_us = at;
	hs_for_node(at - world.now_us, HS_APPENDED, n)->a = b->last_lsn;
}

void hs_appended(struct hs_node *n, uint64_t lsn)
{
	while (n->appends && n->append[0]->last_lsn <= lsn) {
		if (n->log.count == HS_LOG_MAX)
			hs_fail("the log of the simulation is full");
		n->log.batch[n->log.count++] = n->append[0];
		memmove(n->append, n->append + 1, --n->appends * sizeof(n->append[0]));
	}
	hs_step(n, (struct ha_event){.type = HA_EV_APPENDED, .lsn = lsn});
}

void hs_fetched(struct hs_node *n, const struct hs_event *e)
{
	int i = hs_log_find(&n->log, e->b);
	struct jr_batch *b = i >= 0 && (unsigned)i + 1 != n->log.damaged ? n->log.batch[i] : NULL;

	for (unsigned k = 0; !b && k < n->appends; k++)
		if (n->append[k]->first_lsn <= e->b && e->b <= n->append[k]->last_lsn)
			b = n->append[k];
	hs_step(n, (struct ha_event){.type = HA_EV_FETCHED, .cookie = e->a, .batch = b});
}

void hs_cut(struct hs_node *n, uint64_t lsn)
{
	if (!hs_log_holds(&n->log, lsn, &(struct pr_hash){0}) && hs_log_find(&n->log, lsn) < 0)
		hs_fail("node %u cuts at LSN %llu which is not in its log", n->id, (ull)lsn);
	/* I8 */
	if (world.acked_lsn > lsn && world.acked_lsn > n->log.base_lsn &&
	    hs_log_holds(&n->log, world.acked_lsn, &world.acked_hash) &&
	    hs_log_tail(&n->log) >= world.acked_lsn) {
		struct hs_node *o = hs_other(n);

		if (!hs_log_holds(&o->log, world.acked_lsn, &world.acked_hash) || hs_is_member(n))
			hs_fail("I8: node %u cuts to LSN %llu, LSN %llu was acknowledged", n->id,
				(ull)lsn, (ull)world.acked_lsn);
	}
	if (hs_is_member(n))
		hs_fail("I8: node %u cuts its tail while it is a member", n->id);
	world.forks++;
	hs_for_node(500 + hs_upto(3000), HS_CUT, n)->a = lsn;
}

/* What a full copy drops without archiving it stands in the other's journal, as far back as that reaches. */
static void dropped_unarchived(const struct hs_node *n, uint64_t common_lsn)
{
	const struct hs_log *his = &hs_other(n)->log;

	for (unsigned i = 0; i < n->log.count && !his->damaged; i++) {
		const struct jr_batch *b = n->log.batch[i];

		if (b->last_lsn <= common_lsn && b->last_lsn > his->base_lsn &&
		    !hs_log_holds(his, b->last_lsn, &b->hash))
			hs_fail("T5: node %u drops LSN %llu, which only it has, and archives nothing",
				n->id, (ull)b->last_lsn);
	}
}

void hs_reset(struct hs_node *n, const struct ha_effect *fx)
{
	struct hs_event *e;

	if (hs_is_member(n))
		hs_fail("I8: node %u resets its journal while it is a member", n->id);
	dropped_unarchived(n, fx->common_lsn);
	e = hs_for_node(500 + hs_upto(3000), HS_CUT, n);
	e->flag = true;
	e->a = fx->lsn;
	e->b = fx->epoch;
	memcpy(e->p = malloc(16), fx->hash.b, 16);
}

void hs_cut_done(struct hs_node *n, const struct hs_event *e)
{
	struct hs_log *l = &n->log;

	if (e->flag) {
		hs_log_clear(l);
		l->base_lsn = e->a;
		l->base_epoch = e->b;
		memcpy(l->base_hash.b, e->p, 16);
	} else {
		while (l->count && l->batch[l->count - 1]->last_lsn > e->a) {
			if (l->damaged == l->count)
				l->damaged = 0;
			jr_batch_unref(l->batch[--l->count]);
		}
	}
	hs_step(n, (struct ha_event){.type = HA_EV_CUT, .lsn = e->a});
}

void hs_repaired(struct hs_node *n, const struct hs_event *e)
{
	struct hs_log *l = &n->log;

	if (l->damaged && pr_hash_equal(&l->batch[l->damaged - 1]->hash, &e->batch->hash)) {
		l->damaged = 0;
		world.repairs++;
		hs_step(n, (struct ha_event){.type = HA_EV_REPAIRED, .lsn = e->batch->last_lsn});
	}
}

void hs_save(struct hs_node *n, const struct ha_state *state)
{
	if (n->state_busy)
		hs_fail("node %u: two writes of the state at once", n->id);
	n->state_busy = true;
	ha_state_encode(n->state_next, state);
	hs_for_node(300 + hs_upto(n->disk_slow ? 50000 : 3000), HS_SAVED, n)->a = state->epoch;
	hs_say("node %u: saves %s epoch %llu seq %llu", n->id, ha_dstate_name(state->dstate),
	       (ull)state->epoch, (ull)state->seq);
}

void hs_saved(struct hs_node *n, uint64_t epoch)
{
	memcpy(n->state, n->state_next, sizeof(n->state));
	n->has_state = true;
	n->state_busy = false;
	if (epoch < n->persisted_epoch)
		hs_fail("I4: node %u persists epoch %llu after %llu", n->id, (ull)epoch,
			(ull)n->persisted_epoch);
	n->persisted_epoch = epoch;
	hs_step(n, (struct ha_event){.type = HA_EV_STATE_SAVED});
}
