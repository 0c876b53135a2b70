/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The standby: the session as the active opens it, batches in order (S1), what is applied and when, and the target's side of a
 * resync. Order of its writes: state (SYNCTARGET, epoch) before the cut of its own tail; the cut only with proof that nobody
 * can have been acknowledged for it; batch durable before its ack; committed before applied.
 */
#include "ha/core/ha_core.h"

static void drop_received(struct ha *h, uint64_t after_lsn)
{
	while (h->receiveds && h->received[h->receiveds - 1]->last_lsn > after_lsn)
		jr_batch_unref(h->received[--h->receiveds]);
	if (h->appended > h->receiveds)
		h->appended = h->receiveds;
}

void ha_standby_end(struct ha *h)
{
	h->r.open = false;
	h->r.insync_asked = false;
	h->tg = HA_TG_IDLE;
	h->rows = HA_ROWS_IDLE;
}

/* ---- the session ---- */

void ha_on_session(struct ha *h, const struct pr_link_session *m)
{
	if (h->role != PR_ROLE_STANDBY || h->p != HA_P_IDLE || h->repair.on || h->heir.epoch ||
	    m->epoch < h->state.epoch || m->epoch > HA_EPOCH_MAX ||
	    h->state.dstate == HA_QUARANTINED || h->cut_busy || h->rows_busy ||
	    h->his.role != PR_ROLE_ACTIVE)
		return;
	if ((h->r.open || h->tg != HA_TG_IDLE) && h->r.epoch == m->epoch && h->r.link == m->link)
		return; /* asked again */
	if (h->durable_lsn != h->tail.lsn)
		return;
	ha_standby_end(h);
	h->r.conn = h->conn;
	h->r.epoch = m->epoch;
	h->r.link = m->link;
	h->r.kind = m->kind;
	h->r.base_lsn = m->base_lsn;
	h->r.goal_lsn = m->goal_lsn;
	h->r.echo_ms = 0;
	h->r.acked_lsn = m->base_lsn;
	pr_hash_from_bytes(m->base_hash, &h->r.base_hash);
	h->tg = HA_TG_PROOF;
	h->tg_ticket = m->kind == PR_LINK_INSYNC ? 0 : ha_arb_read(h);
}

static bool base_is_tail(const struct ha *h)
{
	return h->r.base_lsn == h->tail.lsn && pr_hash_equal(&h->r.base_hash, &h->tail.hash);
}

static void refuse_session(struct ha *h)
{
	ha_alarm(h, HA_ALARM_PEER, true);
	ha_link_close(h);
}

/*
 * A full copy drops the whole journal; what ends after this LSN may stand here alone and is archived. Up to where the active found
 * the logs equal; else what was committed here before the last common epoch ended. Of damage, and of a copy that did not finish
 * (the history here is the active's by then), nothing is known.
 */
static uint64_t common_lsn(const struct ha *h)
{
	if (h->damage || (h->state.fault_flags & HA_FAULT_COPY))
		return 0;
	return h->r.goal_lsn ? h->r.goal_lsn : ha_min(ha_history_bound(h), h->commit.lsn);
}

/*
 * Proof before anything of mine is given up: the arbiter is in the active's epoch and does not name me, so nothing I hold and
 * the active does not can have been acknowledged.
 */
static bool prove(struct ha *h)
{
	if (h->r.kind == PR_LINK_INSYNC) {
		if (!base_is_tail(h) || h->state.dstate != HA_INSYNC)
			refuse_session(h);
		else
			h->tg = HA_TG_SAVE;
		return true;
	}
	if (!ha_arb_was_read(h, h->tg_ticket))
		return false;
	if (h->arb.error || h->arb.record.epoch != h->r.epoch || ha_is_member(h, h->cfg.node)) {
		refuse_session(h);
		return true;
	}
	if (h->r.kind == PR_LINK_COPY)
		h->r.common_lsn = common_lsn(h);
	if (h->r.kind == PR_LINK_COPY || base_is_tail(h)) {
		h->tg = HA_TG_SAVE;
		return true;
	}
	if (h->r.base_lsn >= h->tail.lsn || h->r.base_lsn < h->applied_lsn) {
		refuse_session(h);
		return true;
	}
	h->tg = HA_TG_BASE;
	ha_fetch(h, HA_FETCH_BASE, h->r.base_lsn + 1);
	return true;
}

void ha_target_fetched(struct ha *h, struct jr_batch *b)
{
	if (h->tg != HA_TG_BASE)
		return;
	if (!b || b->first_lsn != h->r.base_lsn + 1 ||
	    !pr_hash_equal(&b->prev_hash, &h->r.base_hash))
		refuse_session(h);
	else
		h->tg = HA_TG_SAVE;
}

static void save_target(struct ha *h)
{
	bool adopt = h->r.epoch > h->state.epoch || h->r.kind != PR_LINK_INSYNC;

	if (!adopt)
		return;
	h->state.epoch = h->r.epoch;
	h->state.log_epoch = h->his.log_epoch;
	h->state.history_count = h->his.history_count;
	memcpy(h->state.history, h->his.history, sizeof(h->his.history));
	if (h->r.kind != PR_LINK_INSYNC)
		h->state.dstate = HA_SYNCTARGET;
	if (h->r.kind == PR_LINK_COPY)
		h->state.fault_flags |= HA_FAULT_COPY;
	ha_save(h);
}

static void cut_to(struct ha *h, uint64_t lsn, const struct pr_hash *hash)
{
	h->cut.lsn = lsn;
	h->cut.hash = *hash;
	h->cut_busy = true;
	drop_received(h, lsn);
}

static void open_session(struct ha *h)
{
	h->tg = HA_TG_IDLE;
	h->r.open = true;
	ha_alarm(h, HA_ALARM_PEER, false);
	if (h->r.kind == PR_LINK_COPY)
		h->rows = HA_ROWS_PUT;
	HA_SEND(h, LINK_SESSION_OK, link_session_ok, .epoch = h->r.epoch, .link = h->r.link,
		.tail_lsn = h->tail.lsn, .tail_hash = pr_hash_bytes(&h->tail.hash));
}

static bool run_target(struct ha *h)
{
	switch (h->tg) {
	case HA_TG_IDLE:
	case HA_TG_BASE:
		return false;
	case HA_TG_PROOF:
		return prove(h);
	case HA_TG_SAVE:
		save_target(h);
		h->tg = HA_TG_CUT;
		return true;
	case HA_TG_CUT:
		if (!ha_saved(h))
			return false;
		h->tg = HA_TG_RESET;
		if (h->r.kind == PR_LINK_RESYNC && h->r.base_lsn < h->tail.lsn) {
			ASSERT(h->state.dstate == HA_SYNCTARGET && h->applied_lsn <= h->r.base_lsn);
			cut_to(h, h->r.base_lsn, &h->r.base_hash);
			ha_emit(h, HA_FX_CUT)->lsn = h->r.base_lsn;
		}
		return true;
	case HA_TG_RESET:
		if (h->cut_busy)
			return false;
		h->tg = HA_TG_BEGIN;
		if (h->r.kind == PR_LINK_COPY) {
			struct ha_effect *fx = ha_emit(h, HA_FX_RESET);

			fx->lsn = h->r.base_lsn;
			fx->common_lsn = h->r.common_lsn;
			fx->epoch = ha_history_epoch_at(h, h->r.base_lsn);
			fx->hash = h->r.base_hash;
			cut_to(h, h->r.base_lsn, &h->r.base_hash);
			drop_received(h, 0);
		}
		return true;
	case HA_TG_BEGIN:
		if (h->cut_busy || h->rows_busy)
			return false;
		if (h->r.kind == PR_LINK_COPY) {
			h->first_lsn = h->r.base_lsn + 1;
			h->commit.lsn = h->r.base_lsn;
			h->rows_busy = 1;
			h->rows_begun = false;
			h->rows_last = false;
			h->rows_error = 0;
			h->rows_bytes = 0;
			ha_emit(h, HA_FX_ROWS_BEGIN)->lsn = h->r.base_lsn;
		}
		h->tg = HA_TG_BEGUN;
		return true;
	case HA_TG_BEGUN:
		if (h->rows_busy)
			return false;
		open_session(h);
		return true;
	}
	return false;
}

/* ---- batches ---- */

static void nack(struct ha *h, uint64_t lsn, uint32_t reason)
{
	HA_SEND(h, LINK_NACK, link_nack, .epoch = h->r.epoch, .link = h->r.link, .lsn = lsn,
		.reason = reason);
}

void ha_on_batch(struct ha *h, const struct pr_link_batch *m)
{
	const char *why;
	struct jr_batch *b;

	if (h->role != PR_ROLE_STANDBY || !h->r.open || h->r.conn != h->conn ||
	    m->epoch != h->r.epoch || m->link != h->r.link)
		return;
	if (m->last_lsn <= h->tail.lsn)
		return; /* sent twice */
	b = jr_batch_open(h->cfg.cluster, m->image.p, m->image.len, &why);
	if (!b || b->first_lsn != h->tail.lsn + 1 || b->last_lsn != m->last_lsn ||
	    b->epoch > h->r.epoch || !pr_hash_equal(&b->prev_hash, &h->tail.hash) ||
	    h->receiveds == HA_RECEIVED_MAX || h->rows != HA_ROWS_IDLE) {
		jr_batch_unref(b);
		nack(h, m->first_lsn, EBADMSG);
		return;
	}
	h->received[h->receiveds++] = b;
	h->tail.lsn = b->last_lsn;
	h->tail.hash = b->hash;
	h->commit.lsn = ha_max(h->commit.lsn, ha_min(b->commit_lsn, h->tail.lsn));
}

static bool run_append(struct ha *h)
{
	bool moved = false;
	unsigned busy = 0;

	for (unsigned i = 0; i < h->appended; i++)
		busy += h->received[i]->last_lsn > h->durable_lsn;
	while (h->appended < h->receiveds && busy < h->cfg.in_flight && !h->cut_busy) {
		ha_append(h, h->received[h->appended++]);
		busy++;
		moved = true;
	}
	return moved;
}

/* ---- applying ---- */

static uint64_t apply_goal(const struct ha *h)
{
	if (h->damage || h->repair.on || (h->state.fault_flags & HA_FAULT_COPY) ||
	    h->role == PR_ROLE_ACTIVE)
		return h->applied_lsn;
	/* Rows beyond the commit cannot be flushed: a promotion that waits for room there would wait for ever. */
	if (h->rows_full && h->applied_lsn < h->commit.lsn)
		return h->applied_lsn;
	if (h->p == HA_P_ADOPT || h->p == HA_P_HEIR_APPLY)
		return h->durable_lsn;
	return ha_min(h->commit.lsn, h->durable_lsn);
}

static void apply(struct ha *h, struct jr_batch *b)
{
	ASSERT(b->first_lsn <= h->applied_lsn + 1 && b->last_lsn > h->applied_lsn);
	ha_emit(h, HA_FX_APPLY)->batch = jr_batch_ref(b);
	h->applied_lsn = b->last_lsn;
}

/* What is applied, and what is durable while nothing may be applied: that comes from the journal again. */
static void forget_applied(struct ha *h)
{
	uint64_t upto = h->rows_full ? h->durable_lsn : h->applied_lsn;
	unsigned n = 0;

	while (n < h->appended && h->received[n]->last_lsn <= upto)
		jr_batch_unref(h->received[n++]);
	memmove(h->received, h->received + n, (h->receiveds - n) * sizeof(h->received[0]));
	h->receiveds -= n;
	h->appended -= n;
}

bool ha_run_apply(struct ha *h)
{
	uint64_t goal = apply_goal(h), before = h->applied_lsn;

	if (h->rows_full)
		forget_applied(h);
	if (!h->booted || h->fetch[HA_FETCH_APPLY].busy || goal <= h->applied_lsn)
		return false;
	for (unsigned i = 0; i < h->appended; i++) {
		struct jr_batch *b = h->received[i];

		if (b->last_lsn <= h->applied_lsn)
			continue;
		if (b->first_lsn > h->applied_lsn + 1 || b->last_lsn > goal)
			break;
		apply(h, b);
	}
	forget_applied(h);
	if (h->applied_lsn != before)
		return true;
	if (goal < h->apply_need_lsn ||
	    (h->receiveds && h->received[0]->first_lsn <= h->applied_lsn + 1))
		return false;
	ha_fetch(h, HA_FETCH_APPLY, h->applied_lsn + 1);
	return true;
}

/*
 * Recovery found this batch whole, so it went bad since. In a session the controller starts anew: recovery then has it repaired from the
 * peer. Going on would end in a journal without room, which waits for rows that cannot be applied, and with that in no session ever.
 */
static void not_there_any_more(struct ha *h)
{
	unsigned long long lsn = h->applied_lsn;

	if (h->r.open || h->durable_lsn != h->tail.lsn)
		ha_die(h,
		       ha_text(h,
			       "the journal cannot be read any more behind LSN %llu: starts anew, to have it repaired",
			       lsn));
	else
		ha_damaged(
			h,
			ha_text(h,
				"the rows stand at LSN %llu and the journal does not go on from there",
				lsn));
}

void ha_apply_fetched(struct ha *h, struct jr_batch *b)
{
	if (apply_goal(h) <= h->applied_lsn)
		return;
	if (!b || b->first_lsn > h->applied_lsn + 1 || b->last_lsn <= h->applied_lsn) {
		not_there_any_more(h);
		return;
	}
	if (b->last_lsn > apply_goal(h)) {
		h->apply_need_lsn = b->last_lsn;
		return;
	}
	h->apply_need_lsn = 0;
	apply(h, b);
	forget_applied(h);
}

/* ---- full copy, T6, OUTDATE ---- */

void ha_on_rows_put(struct ha *h, const struct pr_link_rows *m)
{
	struct ha_effect *fx;
	uint8_t *copy;

	if (!h->r.open || h->rows != HA_ROWS_PUT || m->epoch != h->r.epoch ||
	    m->link != h->r.link || h->rows_last)
		return;
	copy = ha_alloc(h, m->rows.len + 1);
	memcpy(copy, m->rows.p, m->rows.len);
	fx = ha_emit(h, HA_FX_ROWS_PUT);
	fx->p = copy;
	fx->len = m->rows.len;
	fx->lsn = m->lsn;
	h->rows_busy++;
	h->rows_last = m->last;
	h->rows_bytes = m->done_bytes;
}

/* BEGIN, each PUT and END are answered once, in order. */
void ha_on_rows_applied(struct ha *h, int error)
{
	if (!h->rows_busy)
		return;
	h->rows_busy--;
	if (error)
		h->rows_error = error;
	if (!h->rows_begun)
		h->rows_begun = true;
	else if (h->rows == HA_ROWS_PUT && !error && !(h->rows_last && !h->rows_busy))
		HA_SEND(h, LINK_ROWS_OK, link_rows_ok, .epoch = h->r.epoch, .link = h->r.link,
			.done_bytes = h->rows_bytes);
}

static bool run_rows(struct ha *h)
{
	if (h->rows_error && h->rows != HA_ROWS_IDLE) {
		ha_die(h, "the store of a full copy could not be written");
		return false;
	}
	switch (h->rows) {
	case HA_ROWS_IDLE:
		return false;
	case HA_ROWS_PUT:
		if (h->rows_busy || !h->rows_last)
			return false;
		h->rows = HA_ROWS_END;
		h->rows_busy++;
		ha_emit(h, HA_FX_ROWS_END)->lsn = h->r.base_lsn;
		return true;
	case HA_ROWS_END:
		if (h->rows_busy)
			return false;
		h->rows = HA_ROWS_CLEAR;
		h->damage = NULL;
		h->applied_lsn = h->store_lsn = h->commit.lsn = h->r.base_lsn;
		h->state.fault_flags &= ~(uint32_t)HA_FAULT_COPY;
		ha_save(h);
		return true;
	case HA_ROWS_CLEAR:
		if (!ha_saved(h))
			return false;
		h->rows = HA_ROWS_IDLE;
		h->rows_kept = true;
		ha_alarm(h, HA_ALARM_JOURNAL, false);
		HA_SEND(h, LINK_ROWS_OK, link_rows_ok, .epoch = h->r.epoch, .link = h->r.link,
			.done_bytes = h->rows_bytes, .last = 1);
		return true;
	}
	return false;
}

void ha_on_insync(struct ha *h, const struct pr_link_insync *m)
{
	if (!h->r.open || m->epoch != h->r.epoch || m->link != h->r.link || h->rows != HA_ROWS_IDLE)
		return;
	h->r.insync_asked = true;
	h->r.insync_lsn = m->lsn;
}

static bool run_insync(struct ha *h)
{
	if (!h->r.insync_asked || h->durable_lsn < h->r.insync_lsn)
		return false;
	if (h->state.dstate != HA_INSYNC) {
		ASSERT(h->state.dstate == HA_SYNCTARGET && !(h->state.fault_flags & HA_FAULT_COPY));
		h->state.dstate = HA_INSYNC;
		ha_save(h);
		return true;
	}
	if (!ha_saved(h))
		return false;
	h->r.insync_asked = false;
	h->r.kind = PR_LINK_INSYNC;
	HA_SEND(h, LINK_INSYNC_OK, link_insync_ok, .epoch = h->r.epoch, .link = h->r.link,
		.lsn = h->r.insync_lsn);
	return true;
}

/* The old store goes only when the record names me again; so does the doubt about my eligibility. */
static bool run_named(struct ha *h)
{
	if (!h->rows_kept || !ha_is_member(h, h->cfg.node) || h->state.dstate != HA_INSYNC)
		return false;
	h->rows_kept = false;
	ha_emit(h, HA_FX_ROWS_KEEP);
	return true;
}

void ha_on_outdate(struct ha *h, const struct pr_link_outdate *m)
{
	if (h->role != PR_ROLE_STANDBY || h->r.open || h->tg != HA_TG_IDLE || h->p != HA_P_IDLE ||
	    m->epoch < h->state.epoch || m->epoch > HA_EPOCH_MAX || h->his.role != PR_ROLE_ACTIVE)
		return;
	if (h->state.dstate == HA_INSYNC) {
		h->state.dstate = HA_OUTDATED;
		h->state.epoch = m->epoch;
		ha_save(h);
	}
	h->outdate_owed = true;
	h->outdate_epoch = m->epoch;
}

bool ha_run_standby(struct ha *h)
{
	bool moved = run_append(h);

	if (h->role == PR_ROLE_ACTIVE)
		return moved;
	if (h->outdate_owed && ha_saved(h)) {
		h->outdate_owed = false;
		HA_SEND(h, LINK_OUTDATE_OK, link_outdate_ok, .epoch = h->outdate_epoch);
	}
	if (h->r.open && h->r.acked_lsn < h->durable_lsn) {
		ASSERT(h->durable_lsn <= h->tail.lsn && h->state.epoch == h->r.epoch);
		h->r.acked_lsn = h->durable_lsn;
		HA_SEND(h, LINK_ACK, link_ack, .epoch = h->r.epoch, .link = h->r.link,
			.lsn = h->durable_lsn);
	}
	return run_target(h) || run_rows(h) || run_insync(h) || run_named(h) || moved;
}
