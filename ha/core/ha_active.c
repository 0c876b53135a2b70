/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The active: batches to both journals and their commit (T1), loss of the session (T2), its return (T3), going on alone (T4).
 * Order of its writes when it goes alone: arbiter record, then state, then the EPOCH record; then the first reply.
 */
#include "ha/core/ha_core.h"

bool ha_peer_fenced(const struct ha *h)
{
	return h->fence_ok && h->fence_incarnation >= h->peer.incarnation;
}

/* ---- the session ---- */

void ha_session_open(struct ha *h, uint8_t kind, uint64_t base_lsn, const struct pr_hash *hash,
		     uint64_t goal_lsn)
{
	h->s.opening = true;
	h->s.open = false;
	h->s.kind = kind;
	h->s.link = ++h->links;
	h->s.base_lsn = h->s.acked_lsn = base_lsn;
	h->s.next_lsn = base_lsn + 1;
	h->s.window_batches = 0;
	h->s.window_bytes = 0;
	h->s.told_commit_lsn = 0;
	h->s.opened_ms = h->s.progress_ms = h->now_ms;
	HA_SEND(h, LINK_SESSION, link_session, .epoch = h->state.epoch, .link = h->s.link,
		.base_lsn = base_lsn, .base_hash = pr_hash_bytes(hash), .kind = kind,
		.goal_lsn = goal_lsn);
}

static void forget_session(struct ha *h)
{
	h->s.open = h->s.opening = false;
	h->s.window_batches = 0;
	h->s.window_bytes = 0;
	h->his.answer = false;
}

/* Data was under way for a while, and not even a first ack came: the next session would end like this one. */
static bool brought_nothing(const struct ha *h)
{
	return h->s.open && h->s.kind == PR_LINK_INSYNC && h->flights &&
	       h->s.acked_lsn == h->s.base_lsn && h->s.next_lsn > h->s.base_lsn + 1 &&
	       h->now_ms >= h->flight[0].sent_ms + h->cfg.link_dead_ms / 2;
}

/* T2: what was acked in this session counts no more; what was committed stays committed. */
void ha_session_lost(struct ha *h)
{
	if (h->s.open)
		h->path_dead = brought_nothing(h);
	forget_session(h);
	ha_resync_stop(h);
	if (h->mode == HA_SYNC)
		ha_set_mode(h, HA_FROZEN);
	ha_switch_failed(h, "the standby was lost meanwhile");
}

static void window_push(struct ha *h, struct jr_batch *b)
{
	ASSERT(h->s.window_batches < HA_FLIGHT_MAX + HA_WINDOW_BATCHES);
	h->s.window[h->s.window_batches].lsn = b->last_lsn;
	h->s.window[h->s.window_batches++].bytes = b->image_bytes;
	h->s.window_bytes += b->image_bytes;
	h->re.streamed_bytes += b->image_bytes;
}

static void window_pop(struct ha *h)
{
	unsigned n = 0;

	while (n < h->s.window_batches && h->s.window[n].lsn <= h->s.acked_lsn)
		h->s.window_bytes -= h->s.window[n++].bytes;
	memmove(h->s.window, h->s.window + n, (h->s.window_batches - n) * sizeof(h->s.window[0]));
	h->s.window_batches -= n;
}

static bool window_has_room(const struct ha *h)
{
	return h->s.window_batches < HA_WINDOW_BATCHES && h->s.window_bytes < HA_WINDOW_BYTES;
}

void ha_stream_send(struct ha *h, struct jr_batch *b)
{
	ASSERT(b->first_lsn == h->s.next_lsn);
	if (!h->s.window_batches)
		h->s.progress_ms = h->now_ms;
	window_push(h, b);
	h->s.next_lsn = b->last_lsn + 1;
	ha_send_batch(h, b);
}

/* What the session has not been sent yet: from memory while it is uncommitted, else from the journal. */
void ha_stream(struct ha *h)
{
	if (!h->s.open || h->rs == HA_RS_ROWS || h->fetch[HA_FETCH_STREAM].busy)
		return;
	while (h->s.next_lsn <= h->tail.lsn && window_has_room(h)) {
		unsigned i = 0;

		while (i < h->flights && h->flight[i].batch->first_lsn != h->s.next_lsn)
			i++;
		if (i == h->flights) {
			ha_fetch(h, HA_FETCH_STREAM, h->s.next_lsn);
			return;
		}
		ha_stream_send(h, h->flight[i].batch);
	}
}

void ha_on_session_ok(struct ha *h, const struct pr_link_session_ok *m)
{
	if (h->role != PR_ROLE_ACTIVE || !h->s.opening || m->epoch != h->state.epoch ||
	    m->link != h->s.link)
		return;
	if (m->tail_lsn != h->s.base_lsn) {
		ha_link_close(h);
		return;
	}
	h->s.opening = false;
	h->s.open = true;
	ha_alarm(h, HA_ALARM_PEER, false);
	h->s.progress_ms = h->now_ms;
	h->lease_end_ms = h->s.opened_ms + h->cfg.lease_ms;
	h->lease_lapsed = false;
	if (h->s.kind == PR_LINK_INSYNC) {
		for (unsigned i = 0; i < h->flights; i++)
			h->flight[i].sent_ms = h->now_ms;
		h->require_ack = true;
		ha_set_mode(h, HA_SYNC);
		h->re.synced_ms = h->now_ms;
	} else {
		h->rs = h->s.kind == PR_LINK_COPY ? HA_RS_ROWS : HA_RS_STREAM;
	}
	ha_send_beat(h);
	ha_stream(h);
}

void ha_on_ack(struct ha *h, const struct pr_link_ack *m)
{
	/* Acks count only for the (session, epoch) they were asked in. */
	if (h->role != PR_ROLE_ACTIVE || !h->s.open || m->epoch != h->state.epoch ||
	    m->link != h->s.link || m->lsn <= h->s.acked_lsn || m->lsn >= h->s.next_lsn)
		return;
	h->s.acked_lsn = m->lsn;
	h->s.progress_ms = h->now_ms;
	window_pop(h);
	ha_commit(h);
	ha_stream(h);
}

/* ---- batches ---- */

static void take(struct ha *h, struct jr_batch *b)
{
	ASSERT(h->role == PR_ROLE_ACTIVE && b->first_lsn == h->tail.lsn + 1 &&
	       b->epoch == h->state.epoch);
	ASSERT(pr_hash_equal(&b->prev_hash, &h->tail.hash) && h->flights < HA_FLIGHT_MAX);
	h->flight[h->flights].batch = jr_batch_ref(b);
	h->flight[h->flights++].sent_ms = h->now_ms;
	h->tail.lsn = b->last_lsn;
	h->tail.hash = b->hash;
	ha_append(h, b);
	ha_stream(h);
}

void ha_on_submit(struct ha *h, struct jr_batch *b)
{
	ASSERT(ha_can_submit(h));
	take(h, b);
}

/* The pair core's own record: one LSN, no rows. */
void ha_own_record(struct ha *h, uint8_t kind)
{
	struct pr_record record = {.lsn = h->tail.lsn + 1, .kind = kind};
	uint8_t payload[PR_MIN_record];
	struct pr_buf buf = pr_buf_on(payload, sizeof(payload));
	int r = pr_record_encode(&buf, &record);
	struct jr_batch *b;

	ASSERT(r == 0);
	b = jr_batch_new(h->cfg.cluster, h->state.epoch, record.lsn, record.lsn, h->commit.lsn,
			 &h->tail.hash, payload, (uint32_t)buf.len);
	ASSERT(b);
	take(h, b);
	jr_batch_unref(b);
}

/* In order: durable here, and where acks are required, acked in this session and epoch. */
bool ha_commit(struct ha *h)
{
	uint64_t limit = h->durable_lsn;
	unsigned n = 0;

	if (h->role != PR_ROLE_ACTIVE || h->mode == HA_FROZEN)
		return false;
	ASSERT(h->require_ack || h->arb.record.members == ha_bit(h->cfg.node)); /* I5 */
	if (h->require_ack)
		limit = h->s.open ? ha_min(limit, h->s.acked_lsn) : 0;
	while (n < h->flights && h->flight[n].batch->last_lsn <= limit) {
		h->commit.lsn = h->flight[n].batch->last_lsn;
		h->commit.hash = h->flight[n].batch->hash;
		jr_batch_unref(h->flight[n++].batch);
	}
	if (!n)
		return false;
	memmove(h->flight, h->flight + n, (h->flights - n) * sizeof(h->flight[0]));
	h->flights -= n;
	h->commit_ms = h->now_ms;
	ha_emit(h, HA_FX_COMMITTED)->lsn = h->commit.lsn;
	return true;
}

/* ---- roles and modes ---- */

void ha_become_active(struct ha *h, enum ha_mode mode)
{
	ASSERT(h->durable_lsn == h->tail.lsn && h->receiveds == 0);
	h->role = PR_ROLE_ACTIVE;
	h->s.open = h->s.opening = false;
	h->his.answer = false;
	h->served = h->held = false;
	h->require_ack = mode != HA_ALONE;
	h->peer_slow = h->peer_unfit = h->path_dead = false;
	h->mode = HA_FROZEN;
	h->frozen_ms = h->now_ms;
	h->promise_epoch = 0;
	h->re.not_before_ms = h->re.backoff_ms = 0;
	ha_send_hello(h);
}

void ha_go_alone(struct ha *h)
{
	ASSERT(h->arb.record.members == ha_bit(h->cfg.node));
	h->require_ack = false;
	h->alone_since_ms = h->now_ms;
	h->alone_lsn = h->commit.lsn;
	ha_set_mode(h, HA_ALONE);
	ha_commit(h);
	if (!h->conn)
		return;
	HA_SEND(h, LINK_OUTDATE, link_outdate, .epoch = h->state.epoch);
	ha_send_hello(h);
}

/* ---- T3 ---- */

static bool on_my_chain(const struct ha *h, uint64_t lsn, const struct pr_hash *hash)
{
	if (lsn == h->commit.lsn)
		return pr_hash_equal(hash, &h->commit.hash);
	for (unsigned i = 0; i < h->flights; i++)
		if (h->flight[i].batch->last_lsn == lsn)
			return pr_hash_equal(hash, &h->flight[i].batch->hash);
	return false;
}

static bool run_rejoin(struct ha *h)
{
	if (h->s.open || h->sw != HA_SW_IDLE)
		return false;
	if (h->s.opening) {
		if (h->now_ms < h->s.opened_ms + h->cfg.link_dead_ms) {
			ha_note_deadline(h, h->s.opened_ms + h->cfg.link_dead_ms);
			return false;
		}
		ha_link_close(h);
		return true;
	}
	if (!h->his.answer || h->peer_unfit || h->peer_slow || !ha_arb_free(h))
		return false;
	if (h->path_dead && !h->cfg.freeze_on_peer_loss &&
	    h->now_ms < h->frozen_ms + h->cfg.drop_ms) {
		ha_note_deadline(h, h->frozen_ms + h->cfg.drop_ms);
		return false; /* T4 has its chance */
	}
	if (h->his.dstate != HA_INSYNC || h->his.store_lsn == HA_NO_ROWS ||
	    !ha_is_member(h, ha_peer_node(h)) ||
	    !on_my_chain(h, h->his.tail_lsn, &h->his.tail_hash)) {
		h->peer_unfit = true;
		return true;
	}
	ha_session_open(h, PR_LINK_INSYNC, h->his.tail_lsn, &h->his.tail_hash, h->tail.lsn);
	return true;
}

/* ---- T4 ---- */

static bool may_go_alone(struct ha *h)
{
	if (h->s.open || h->cfg.freeze_on_peer_loss || !ha_arb_free(h) ||
	    h->now_ms < h->arb.retry_ms || h->sw != HA_SW_IDLE || ha_vote_binds(h))
		return false;
	if (h->peer_slow || h->peer_unfit)
		return true;
	if (h->conn && h->peer.process_up && !h->path_dead &&
	    h->now_ms < h->frozen_ms + h->cfg.link_dead_ms) {
		ha_note_deadline(h, h->frozen_ms + h->cfg.link_dead_ms);
		return false; /* connected: T3 has its chance */
	}
	if (h->s.opening)
		return false;
	/* A link that fell silent with its node: who is cut off would win the record, and serve nobody. */
	if (!h->conn && h->peer.known && h->peer.process_up &&
	    h->now_ms < h->heard_ms + h->cfg.membership_ms) {
		ha_note_deadline(h, h->heard_ms + h->cfg.membership_ms);
		return false;
	}
	return !h->peer.known || h->peer.node_up || ha_peer_fenced(h);
}

static bool run_alone(struct ha *h)
{
	switch (h->t4) {
	case HA_T4_IDLE:
		if (h->mode != HA_FROZEN || h->p != HA_P_IDLE || !may_go_alone(h)) {
			if (h->arb.retry_ms > h->now_ms && h->mode == HA_FROZEN)
				ha_note_deadline(h, h->arb.retry_ms);
			return false;
		}
		h->t4 = HA_T4_CAS;
		if (h->arb.record.members == ha_bit(h->cfg.node) &&
		    h->arb.record.epoch == h->state.epoch) {
			h->t4 = HA_T4_IDLE; /* T6 did not get as far as the record */
			ha_go_alone(h);
			return true;
		}
		ha_arb_cas(h, h->state.epoch + 1, ha_bit(h->cfg.node), h->cfg.node);
		return true;
	case HA_T4_CAS:
		if (h->arb.outcome == HA_PENDING)
			return false;
		if (h->arb.outcome == HA_REFUSED) {
			ha_die(h, "the arbiter refused: the peer has taken over");
			return false;
		}
		if (h->arb.outcome == HA_FAILED) {
			h->t4 = HA_T4_IDLE;
			return true;
		}
		h->t4 = HA_T4_SAVE;
		h->state.epoch = h->state.log_epoch = h->arb.record.epoch;
		h->state.dstate = HA_DALONE;
		ha_history_push(h, h->state.epoch, h->tail.lsn + 1, h->arb.record.members,
				HA_BY_PEER_LOSS);
		ha_save(h);
		return true;
	case HA_T4_SAVE:
		if (!ha_saved(h) || h->durable_lsn != h->tail.lsn)
			return false;
		h->t4 = HA_T4_RECORD;
		ha_own_record(h, PR_RECORD_EPOCH);
		return true;
	case HA_T4_RECORD:
		if (h->durable_lsn != h->tail.lsn)
			return false;
		h->t4 = HA_T4_IDLE;
		h->peer_unfit = h->peer_slow = h->path_dead = false;
		ha_go_alone(h);
		return true;
	}
	return false;
}

/* ---- the rest ---- */

/* Slow is the peer only when my own disk has done its part. */
static bool run_slow(struct ha *h)
{
	uint64_t due;

	if (h->mode != HA_SYNC || !h->flights || h->s.acked_lsn >= h->flight[0].batch->last_lsn)
		return false;
	due = h->flight[0].sent_ms + h->cfg.drop_ms;
	if (h->now_ms < due) {
		ha_note_deadline(h, due);
		return false;
	}
	h->peer_slow = true;
	ha_alarm(h, HA_ALARM_SLOW_PEER, true);
	memmove(h->re.drops_ms, h->re.drops_ms + 1,
		sizeof(h->re.drops_ms) - sizeof(h->re.drops_ms[0]));
	h->re.drops_ms[HA_DROPS_AN_HOUR - 1] = h->now_ms;
	ha_link_close(h);
	return true;
}

static void run_lease(struct ha *h)
{
	if (h->mode != HA_SYNC)
		return;
	if (h->now_ms >= h->lease_end_ms) {
		h->lease_lapsed = true;
	} else if (h->lease_lapsed) {
		h->lease_lapsed = false;
		ha_emit(h, HA_FX_COMMITTED)->lsn = h->commit.lsn;
	} else {
		ha_note_deadline(h, h->lease_end_ms);
	}
}

/* The standby learns of a commit with the next batch; when there is none, by a beat. */
static void run_tell(struct ha *h)
{
	if (!h->s.open || h->s.told_commit_lsn >= h->commit.lsn)
		return;
	if (h->now_ms > h->commit_ms)
		ha_send_beat(h);
	else
		ha_note_deadline(h, h->commit_ms + 1);
}

bool ha_run_active(struct ha *h)
{
	bool moved;

	if (h->role != PR_ROLE_ACTIVE)
		return false;
	/* I1, I2: an active that replies is in the record, in its epoch. */
	ASSERT(h->mode == HA_FROZEN || !h->arb.known || h->arb.record.seq == 0 ||
	       ha_is_member(h, h->cfg.node) || h->arb.record.epoch > h->state.epoch);
	moved = ha_commit(h);
	ha_stream(h);
	if (h->mode == HA_FROZEN && h->t4 == HA_T4_IDLE && h->p == HA_P_IDLE)
		moved |= run_rejoin(h);
	moved |= run_slow(h) || run_alone(h);
	run_lease(h);
	run_tell(h);
	return moved;
}
