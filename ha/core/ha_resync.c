/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * T5 and T6 as their source. First where the two logs part: by history, then by hashes, backwards in growing steps. From there
 * the journal is streamed; when it does not reach back that far, or the peer's rows already hold what was never committed, all
 * rows are copied and the journal streamed from the LSN of the first range. Then, behind a barrier: (1) acks are required,
 * (2) INSYNC here, (3) INSYNC there, (4) the record names both, (5) SYNC.
 */
#include "ha/core/ha_core.h"

enum {
	BACKOFF_MIN_MS = 100,
	BACKOFF_MAX_MS = 5000,
	STEADY_MS = 10000,
	SLOW_BACKOFF_MAX_MS = 600000
};

static bool readmission_due(const struct ha *h)
{
	return h->now_ms >= h->re.not_before_ms &&
	       (!h->re.drops_ms[0] || h->now_ms >= h->re.drops_ms[0] + HA_HOUR_MS);
}

/* The longer a session lasted, the sooner the next is tried. */
static void back_off(struct ha *h)
{
	if (h->mode == HA_SYNC && h->now_ms >= h->re.synced_ms + STEADY_MS)
		h->re.backoff_ms = 0;
	else
		h->re.backoff_ms =
			ha_min(ha_max(h->re.backoff_ms * 2, BACKOFF_MIN_MS), BACKOFF_MAX_MS);
	h->re.not_before_ms = ha_max(h->re.not_before_ms, h->now_ms + h->re.backoff_ms);
	if (!h->peer_slow)
		return;
	h->re.slow_ms =
		ha_min(h->re.slow_ms ? h->re.slow_ms * 2 : h->cfg.drop_ms, SLOW_BACKOFF_MAX_MS);
	h->re.not_before_ms = h->now_ms + h->re.slow_ms;
}

void ha_resync_stop(struct ha *h)
{
	if (h->mode == HA_SYNC || h->rs != HA_RS_IDLE)
		back_off(h);
	free(h->re.rows_p);
	h->re.rows_p = NULL;
	h->re.rows_held = false;
	if (h->rs == HA_RS_IDLE)
		return;
	if (h->rs == HA_RS_CAS) {
		ha_set_mode(h, HA_FROZEN); /* the peer may be a member by now */
		return;
	}
	h->rs = HA_RS_IDLE;
	if (!h->require_ack)
		return;
	/* T6 backwards: not published, so acks need not be required any longer. */
	h->require_ack = false;
	if (h->state.dstate != HA_DALONE) {
		h->state.dstate = HA_DALONE;
		ha_save(h);
	}
	ha_commit(h);
}

static void give_up(struct ha *h)
{
	ha_link_close(h);
}

static void copy_all(struct ha *h, uint64_t fork_lsn)
{
	h->re.fork_lsn = fork_lsn;
	h->re.force_copy = false;
	if (h->re.rows_busy)
		return give_up(h); /* a read of the last attempt is still out */
	h->rs = HA_RS_ROWS_FIRST;
	h->re.rows_busy = true;
	ha_emit(h, HA_FX_ROWS_READ)->cookie = 0;
}

/* ---- where the logs part ---- */

static void ask(struct ha *h, uint64_t lsn)
{
	h->rs = HA_RS_ASK;
	h->re.asked_lsn = lsn;
	h->re.nonce = ++h->nonce;
	HA_SEND(h, LINK_FORK_ASK, link_fork_ask, .nonce = h->re.nonce, .lsn = lsn);
}

static void compared(struct ha *h, bool same)
{
	uint64_t lsn = h->re.mark.lsn;

	if (same && lsn >= h->re.lo) {
		h->rs = HA_RS_OPENING;
		h->re.goal_lsn = h->tail.lsn;
		ha_session_open(h, PR_LINK_RESYNC, lsn, &h->re.mark.hash, h->tail.lsn);
	} else if (same) {
		copy_all(h, lsn);
	} else if (lsn == 0) {
		copy_all(h, 0);
	} else {
		lsn -= ha_min(lsn, h->re.step);
		h->re.step *= 2;
		ask(h, lsn);
	}
}

/* Is the peer's mark on my chain? */
static void compare(struct ha *h)
{
	h->rs = HA_RS_OWN;
	if (h->re.mark.lsn > h->tail.lsn)
		ask(h, h->tail.lsn);
	else if (h->re.mark.lsn == h->tail.lsn)
		compared(h, pr_hash_equal(&h->re.mark.hash, &h->tail.hash));
	else
		ha_fetch(h, HA_FETCH_OWN, h->re.mark.lsn + 1);
}

void ha_on_fork(struct ha *h, const struct pr_link_fork *m)
{
	if (h->rs != HA_RS_ASK || m->nonce != h->re.nonce)
		return;
	if (!m->known || m->lsn > h->re.asked_lsn) {
		copy_all(h, 0);
		return;
	}
	h->re.mark.lsn = m->lsn;
	pr_hash_from_bytes(m->hash, &h->re.mark.hash);
	compare(h);
}

/* No LSN after this one is common: where the last epoch known to both ended, here or there. */
uint64_t ha_history_bound(const struct ha *h)
{
	const struct ha_state *s = &h->state;

	for (uint32_t i = s->history_count; i-- > 0;)
		for (unsigned j = h->his.history_count; j-- > 0;) {
			uint64_t mine = UINT64_MAX, his = UINT64_MAX;

			if (s->history[i].epoch != h->his.history[j].epoch ||
			    s->history[i].first_lsn != h->his.history[j].first_lsn)
				continue;
			if (i + 1 < s->history_count)
				mine = s->history[i + 1].first_lsn - 1;
			if (j + 1 < h->his.history_count)
				his = h->his.history[j + 1].first_lsn - 1;
			return ha_min(mine, his);
		}
	return UINT64_MAX;
}

static void begin(struct ha *h)
{
	uint64_t bound = ha_min(ha_history_bound(h), h->tail.lsn);

	h->his.answer = false;
	h->re.lo = ha_max(h->his.commit_lsn, h->his.store_lsn);
	h->re.step = 1;
	h->re.started_ms = h->now_ms;
	h->re.done_bytes = h->re.total_bytes = h->re.streamed_bytes = 0;
	h->re.rows_lsn = 0;
	h->re.barrier_not_before_ms = h->re.near_ms = 0;
	if (h->re.force_copy || h->his.store_lsn == HA_NO_ROWS) {
		copy_all(h, 0);
	} else if (h->his.tail_lsn > bound) {
		ask(h, bound);
	} else {
		h->re.mark = (struct ha_mark){h->his.tail_lsn, h->his.tail_hash};
		compare(h);
	}
}

/* ---- rows ---- */

static void open_copy(struct ha *h, const struct pr_hash *hash)
{
	h->rs = HA_RS_OPENING;
	ha_session_open(h, PR_LINK_COPY, h->re.rows_lsn, hash, h->re.fork_lsn);
}

static void send_rows(struct ha *h)
{
	ASSERT(h->re.rows_held);
	HA_SEND(h, LINK_ROWS, link_rows, .epoch = h->state.epoch, .link = h->s.link,
		.lsn = h->re.rows_lsn, .done_bytes = h->re.done_bytes,
		.total_bytes = h->re.total_bytes, .last = h->re.rows_last,
		.rows = pr_bytes_of(h->re.rows_p, h->re.rows_len));
	h->re.rows_held = false;
	h->re.rows_out = true;
	if (!h->re.rows_last) {
		h->re.rows_busy = true;
		ha_emit(h, HA_FX_ROWS_READ)->cookie = 1;
	}
}

/* One range is read ahead while the one before it is on its way. */
void ha_on_rows(struct ha *h, const struct ha_event *e)
{
	h->re.rows_busy = false;
	if (h->rs != HA_RS_ROWS_FIRST && h->rs != HA_RS_ROWS)
		return;
	free(h->re.rows_p);
	h->re.rows_p = malloc(e->len + 1);
	if (e->error || !h->re.rows_p) {
		give_up(h);
		return;
	}
	memcpy(h->re.rows_p, e->p, e->len);
	h->re.rows_len = e->len;
	h->re.rows_held = true;
	h->re.rows_last = e->last;
	h->re.done_bytes = e->done_bytes;
	h->re.total_bytes = e->total_bytes;
	if (h->rs == HA_RS_ROWS)
		return;
	h->re.rows_lsn = e->lsn;
	h->re.rows_out = false;
	h->rs = HA_RS_ROWS_BASE;
	if (h->re.rows_lsn == h->tail.lsn)
		open_copy(h, &h->tail.hash);
	else
		ha_fetch(h, HA_FETCH_OWN, h->re.rows_lsn + 1);
}

void ha_on_rows_ok(struct ha *h, const struct pr_link_rows_ok *m)
{
	if (h->rs != HA_RS_ROWS || !h->s.open || m->epoch != h->state.epoch ||
	    m->link != h->s.link || !h->re.rows_out)
		return;
	h->s.progress_ms = h->now_ms;
	h->re.rows_out = false;
	if (!m->last)
		return;
	h->rs = HA_RS_STREAM;
	h->re.goal_lsn = h->tail.lsn;
	ha_stream(h);
}

void ha_resync_fetched(struct ha *h, enum ha_fetch kind, struct jr_batch *b)
{
	if (kind == HA_FETCH_STREAM) {
		if (!h->s.open || h->rs == HA_RS_ROWS)
			return;
		if (!b) {
			h->re.force_copy = true; /* the journal no longer reaches back */
			give_up(h);
		} else if (b->first_lsn == h->s.next_lsn) {
			ha_stream_send(h, b);
			ha_stream(h);
		} else if (b->first_lsn < h->s.next_lsn && b->last_lsn >= h->s.next_lsn) {
			give_up(h); /* the base was no end of a batch */
		} else {
			ha_stream(h); /* of a session before this one */
		}
	} else if (h->rs == HA_RS_OWN) {
		if (!b)
			copy_all(h, 0);
		else if (b->first_lsn == h->re.mark.lsn + 1)
			compared(h, pr_hash_equal(&b->prev_hash, &h->re.mark.hash));
		else
			ask(h, b->first_lsn - 1);
	} else if (h->rs == HA_RS_ROWS_BASE) {
		if (b && b->first_lsn == h->re.rows_lsn + 1)
			open_copy(h, &b->prev_hash);
		else
			give_up(h);
	}
}

/* ---- T6 ---- */

void ha_on_insync_ok(struct ha *h, const struct pr_link_insync_ok *m)
{
	if (h->rs != HA_RS_PEER || !h->s.open || m->epoch != h->state.epoch ||
	    m->link != h->s.link || m->lsn != h->re.barrier_lsn)
		return;
	h->re.peer_insync = true;
}

static bool publish(struct ha *h)
{
	if (!h->re.peer_insync || !ha_arb_free(h) || ha_vote_binds(h))
		return false;
	if (h->now_ms < h->arb.retry_ms && h->arb.outcome == HA_FAILED) {
		ha_note_deadline(h, h->arb.retry_ms);
		return false;
	}
	/* I3, I5: it holds everything acknowledged, and nothing is acknowledged without it. */
	ASSERT(h->require_ack && h->s.acked_lsn >= h->re.barrier_lsn &&
	       h->s.acked_lsn >= h->commit.lsn);
	h->rs = HA_RS_CAS;
	ha_arb_cas(h, h->state.epoch, 3, h->cfg.node);
	return true;
}

static bool published(struct ha *h)
{
	if (h->arb.outcome == HA_PENDING) {
		if (h->arb.unknown)
			ha_set_mode(h, HA_FROZEN);
		return false;
	}
	if (h->arb.outcome == HA_REFUSED) {
		ha_die(h,
		       "the arbiter refused to name both members: somebody else wrote the record");
		return false;
	}
	if (!h->s.open) {
		h->rs = HA_RS_IDLE; /* FROZEN; T4 goes on from what the record says */
		return true;
	}
	if (h->arb.outcome == HA_FAILED) {
		h->rs = HA_RS_PEER;
		ha_set_mode(h, HA_ALONE);
		return true;
	}
	h->rs = HA_RS_IDLE;
	h->s.kind = PR_LINK_INSYNC;
	h->re.synced_ms = h->now_ms;
	for (unsigned i = 0; i < h->flights; i++)
		h->flight[i].sent_ms = h->now_ms;
	ha_set_mode(h, HA_SYNC);
	ha_alarm(h, HA_ALARM_SLOW_PEER, false);
	return true;
}

static bool stalled(struct ha *h)
{
	bool waiting = h->s.window_batches || h->re.rows_out || h->rs == HA_RS_PEER;

	if (h->rs < HA_RS_ROWS || h->rs == HA_RS_CAS || !waiting)
		return false;
	if (h->now_ms < h->s.progress_ms + h->cfg.drop_ms) {
		ha_note_deadline(h, h->s.progress_ms + h->cfg.drop_ms);
		return false;
	}
	give_up(h);
	return true;
}

/* Clients are answered by what both have, and nothing says yet that both have it all. */
static void close_barrier(struct ha *h)
{
	h->rs = HA_RS_BARRIER;
	h->require_ack = true; /* (1) */
	h->re.barrier_lsn = h->tail.lsn;
	h->re.barrier_ms = h->s.progress_ms = h->now_ms;
}

/* A standby that takes long for what it lacks gets on with it while clients do, and has another try. */
static void open_barrier(struct ha *h)
{
	h->rs = HA_RS_STREAM;
	h->require_ack = false;
	h->re.barrier_not_before_ms = h->now_ms + HA_BARRIER_AGAIN_MS;
	ha_commit(h);
}

/* It pays for each batch: while clients put one at a time on its way, batches are few and large, and it gains. */
bool ha_resync_near(const struct ha *h)
{
	return h->rs == HA_RS_STREAM && h->tail.lsn - h->s.acked_lsn <= HA_BARRIER_LAG;
}

/* With everything at the peer the barrier costs nothing; with everything on its way there, next to nothing. */
static bool barrier_due(struct ha *h)
{
	bool sent = h->s.next_lsn > h->tail.lsn;
	uint64_t at;

	if (!ha_resync_near(h))
		return false;
	if (h->s.acked_lsn == h->tail.lsn)
		return true;
	if (!h->re.near_ms)
		h->re.near_ms = h->now_ms;
	at = ha_max(h->re.barrier_not_before_ms, sent ? 0 : h->re.near_ms + HA_BARRIER_WAIT_MS);
	if (h->now_ms >= at)
		return true;
	ha_note_deadline(h, at);
	return false;
}

bool ha_run_resync(struct ha *h)
{
	if (h->role != PR_ROLE_ACTIVE)
		return false;
	if (stalled(h))
		return true;
	switch (h->rs) {
	case HA_RS_IDLE:
		if (h->mode != HA_ALONE || !h->his.answer || h->his.role != PR_ROLE_STANDBY ||
		    h->his.dstate == HA_QUARANTINED || h->s.open || h->s.opening ||
		    h->fetch[HA_FETCH_OWN].busy || h->fetch[HA_FETCH_STREAM].busy)
			return false;
		if (!readmission_due(h)) {
			ha_alarm(h, HA_ALARM_DROPS,
				 h->re.drops_ms[0] && h->now_ms < h->re.drops_ms[0] + HA_HOUR_MS);
			ha_note_deadline(
				h, ha_max(h->re.not_before_ms,
					  h->re.drops_ms[0] ? h->re.drops_ms[0] + HA_HOUR_MS : 0));
			return false;
		}
		ha_alarm(h, HA_ALARM_DROPS, false);
		begin(h);
		return true;
	case HA_RS_OPENING:
		if (h->now_ms >= h->s.opened_ms + h->cfg.drop_ms + h->cfg.link_dead_ms) {
			give_up(h);
			return true;
		}
		ha_note_deadline(h, h->s.opened_ms + h->cfg.drop_ms + h->cfg.link_dead_ms);
		return false;
	case HA_RS_ROWS:
		if (!h->re.rows_held || h->re.rows_out)
			return false;
		send_rows(h);
		return true;
	case HA_RS_STREAM:
		if (!barrier_due(h))
			return false;
		close_barrier(h);
		return true;
	case HA_RS_BARRIER:
		if (h->s.acked_lsn < h->re.barrier_lsn || h->durable_lsn < h->re.barrier_lsn) {
			if (h->now_ms >= h->re.barrier_ms + HA_BARRIER_MS) {
				open_barrier(h);
				return true;
			}
			ha_note_deadline(h, h->re.barrier_ms + HA_BARRIER_MS);
			return false;
		}
		h->rs = HA_RS_SAVE;
		h->state.dstate = HA_INSYNC; /* (2) */
		ha_save(h);
		return true;
	case HA_RS_SAVE:
		if (!ha_saved(h))
			return false;
		h->rs = HA_RS_PEER;
		h->re.peer_insync = false;
		h->s.progress_ms = h->now_ms;
		HA_SEND(h, LINK_INSYNC, link_insync, .epoch = h->state.epoch,
			.link = h->s.link, /* (3) */
			.lsn = h->re.barrier_lsn);
		return true;
	case HA_RS_PEER:
		return publish(h); /* (4) */
	case HA_RS_CAS:
		return published(h); /* (5) */
	case HA_RS_OWN:
	case HA_RS_ASK:
	case HA_RS_ROWS_FIRST:
	case HA_RS_ROWS_BASE:
		return false;
	}
	return false;
}
