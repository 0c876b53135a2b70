/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The heartbeat link: connections, hellos, beats, silence, and which message goes to which procedure. A message counts only on
 * the connection it came by; a new connection begins with a hello from both sides, and an active acts only on a hello that
 * answers its own, so that what it reads of the peer's log is not older than its question.
 */
#include "ha/core/ha_core.h"

struct pr_buf ha_send_begin(struct ha *h, size_t bytes)
{
	return pr_buf_on(ha_alloc(h, bytes), bytes);
}

void ha_send_end(struct ha *h, uint16_t type, struct pr_buf *b, struct jr_batch *batch)
{
	struct ha_effect *fx;

	ASSERT(!b->failed);
	if (!h->conn)
		return;
	if (batch)
		pr_store32(b->p + b->len - 4, batch->image_bytes);
	fx = ha_emit(h, HA_FX_SEND);
	fx->conn = h->conn;
	fx->msg_type = type;
	fx->p = b->p;
	fx->len = (uint32_t)b->len;
	fx->batch = batch ? jr_batch_ref(batch) : NULL;
}

void ha_send_batch(struct ha *h, struct jr_batch *batch)
{
	struct pr_link_batch m = {
		.epoch = h->state.epoch,
		.link = h->s.link,
		.first_lsn = batch->first_lsn,
		.last_lsn = batch->last_lsn,
	};
	struct pr_buf b = ha_send_begin(h, pr_link_batch_size(&m));
	int r = pr_link_batch_encode(&b, &m);

	ASSERT(r == 0);
	ha_send_end(h, PR_T_LINK_BATCH, &b, batch);
	h->s.told_commit_lsn = ha_max(h->s.told_commit_lsn, batch->commit_lsn);
}

void ha_send_hello(struct ha *h)
{
	bool active = h->role == PR_ROLE_ACTIVE;
	bool copy = h->damage || (h->state.fault_flags & HA_FAULT_COPY);
	struct pr_link_hello m = {
		.version_min = PR_VERSION,
		.version_max = PR_VERSION,
		.node = h->cfg.node,
		.role = (uint8_t)h->role,
		.mode = (uint8_t)h->mode,
		.dstate = (uint8_t)h->state.dstate,
		.incarnation = h->incarnation,
		.epoch = h->state.epoch,
		.log_epoch = h->state.log_epoch,
		.first_lsn = h->first_lsn,
		.tail_lsn = copy ? 0 : h->tail.lsn,
		.commit_lsn = copy ? 0 : h->commit.lsn,
		.store_lsn = copy ? HA_NO_ROWS : h->applied_lsn,
		.tail_hash = pr_hash_bytes(&h->tail.hash),
		.nonce = active ? ++h->hello_nonce : h->answer_nonce,
	};
	struct pr_buf b;
	size_t at;
	int r;

	if (!h->conn)
		return;
	memcpy(m.cluster.b, h->cfg.cluster, 16);
	b = ha_send_begin(h, pr_link_hello_size(&m) + h->state.history_count * (size_t)64);
	r = pr_link_hello_encode(&b, &m);
	ASSERT(r == 0);
	at = pr_tail_open(&b);
	for (uint32_t i = 0; i < h->state.history_count; i++) {
		const struct ha_history *y = &h->state.history[i];
		struct pr_history e = {
			.epoch = y->epoch,
			.first_lsn = y->first_lsn,
			.hash = pr_hash_bytes(&y->hash),
			.members = y->members,
			.reason = y->reason,
		};

		r = pr_history_put(&b, &e);
		ASSERT(r == 0);
	}
	pr_tail_close(&b, at, h->state.history_count);
	ha_send_end(h, PR_T_LINK_HELLO, &b, NULL);
}

/* In a session the beats carry its commit and the lease; without one they only say that the way is open. */
void ha_send_beat(struct ha *h)
{
	bool active = h->role == PR_ROLE_ACTIVE;

	if (active) {
		HA_SEND(h, LINK_BEAT, link_beat, .epoch = h->state.epoch,
			.link = h->s.open ? h->s.link : 0,
			.commit_lsn = h->s.open ? h->commit.lsn : 0, .sent_ms = h->now_ms);
		if (h->s.open)
			h->s.told_commit_lsn = h->commit.lsn;
	} else {
		HA_SEND(h, LINK_BEAT, link_beat, .epoch = h->state.epoch,
			.link = h->r.open ? h->r.link : 0, .commit_lsn = h->commit.lsn,
			.sent_ms = h->now_ms, .echo_ms = h->r.open ? h->r.echo_ms : 0);
	}
}

void ha_link_close(struct ha *h)
{
	if (!h->conn)
		return;
	ha_emit(h, HA_FX_CLOSE_LINK)->conn = h->conn;
	h->conn = 0;
	h->his.known = h->his.answer = false;
	h->answer_owed = h->outdate_owed = false;
	h->repair.busy = false;
	if (h->role == PR_ROLE_ACTIVE) {
		ha_session_lost(h);
	} else {
		if (h->booted && h->r.open)
			ha_arb_read(h); /* is this controller still named? */
		ha_standby_end(h);
	}
}

static void link_up(struct ha *h, uint64_t conn)
{
	if (conn <= h->conn)
		return;
	if (h->conn)
		ha_link_close(h);
	h->conn = conn;
	h->heard_ms = h->now_ms;
	h->answer_nonce = 0;
	ha_send_hello(h);
	ha_send_beat(h);
}

static void take_hello(struct ha *h, const struct pr_link_hello *m)
{
	struct pr_list it = m->history;
	struct pr_history y;

	h->his.known = true;
	h->his.role = m->role;
	h->his.dstate = m->dstate;
	h->his.incarnation = m->incarnation;
	h->his.epoch = m->epoch;
	h->heard_epoch = ha_max(h->heard_epoch, m->epoch);
	h->his.log_epoch = m->log_epoch;
	h->his.tail_lsn = m->tail_lsn;
	h->his.commit_lsn = m->commit_lsn;
	h->his.store_lsn = m->store_lsn;
	pr_hash_from_bytes(m->tail_hash, &h->his.tail_hash);
	h->his.history_count = 0;
	while (h->his.history_count < HA_HISTORY_MAX && pr_history_next(&it, &y)) {
		struct ha_history *to = &h->his.history[h->his.history_count++];

		*to = (struct ha_history){
			.epoch = y.epoch,
			.first_lsn = y.first_lsn,
			.members = y.members,
			.reason = y.reason,
		};
		pr_hash_from_bytes(y.hash, &to->hash);
	}
	if (m->incarnation > h->peer.incarnation) {
		h->peer.incarnation = m->incarnation;
		h->peer.process_up = true;
		h->promise_epoch = 0;
	}
}

static void on_hello(struct ha *h, const struct pr_link_hello *m)
{
	if (memcmp(m->cluster.b, h->cfg.cluster, 16) != 0 || m->node != ha_peer_node(h) ||
	    m->epoch > HA_EPOCH_MAX || m->log_epoch > HA_EPOCH_MAX) {
		ha_alarm(h, HA_ALARM_PEER, true);
		ha_link_close(h);
		return;
	}
	if (m->incarnation < h->peer.incarnation)
		return; /* of a process that is gone */
	take_hello(h, m);
	if (h->role == PR_ROLE_ACTIVE) {
		if (m->role == PR_ROLE_ACTIVE || m->epoch > h->state.epoch) {
			ha_alarm(h, HA_ALARM_PEER, true);
			ha_arb_read(h); /* T7: if it is in the newer epoch, this one ends */
			return;
		}
		h->his.answer = m->nonce == h->hello_nonce;
	} else if (m->role == PR_ROLE_ACTIVE) {
		h->answer_owed = true;
		h->answer_nonce = m->nonce;
	}
}

static void on_beat(struct ha *h, const struct pr_link_beat *m)
{
	if (h->role == PR_ROLE_ACTIVE) {
		if (!h->s.open || m->link != h->s.link || m->epoch != h->state.epoch || !m->echo_ms)
			return;
		if (m->echo_ms > h->now_ms)
			return;
		h->lease_end_ms = ha_max(h->lease_end_ms, m->echo_ms + h->cfg.lease_ms);
		return;
	}
	if (!h->r.open || m->link != h->r.link || m->epoch != h->r.epoch)
		return;
	h->commit.lsn = ha_max(h->commit.lsn, ha_min(m->commit_lsn, h->tail.lsn));
	/* Answered at once: the active's lease hangs on it. A beat that only brings a commit needs no answer. */
	if (m->sent_ms >= h->r.echo_ms + h->cfg.beat_ms / 2) {
		h->r.echo_ms = m->sent_ms;
		ha_send_beat(h);
	}
}

/* Whose batch ends at or before lsn, by the batch after it: the same question the active puts to its own journal. */
static void answer_fork(struct ha *h, const struct ha_mark *mark, bool known)
{
	HA_SEND(h, LINK_FORK, link_fork, .nonce = h->his_nonce, .lsn = mark->lsn,
		.hash = pr_hash_bytes(&mark->hash), .known = known);
}

static void on_fork_ask(struct ha *h, const struct pr_link_fork_ask *m)
{
	static const struct ha_mark zero;

	h->his_nonce = m->nonce;
	if (m->lsn >= h->tail.lsn)
		answer_fork(h, &h->tail, true);
	else if (m->lsn == 0)
		answer_fork(h, &zero, true);
	else
		ha_fetch(h, HA_FETCH_ANSWER, m->lsn + 1);
}

static void fork_fetched(struct ha *h, struct jr_batch *b)
{
	struct ha_mark mark = {0};

	if (b)
		mark = (struct ha_mark){b->first_lsn - 1, b->prev_hash};
	answer_fork(h, &mark, b != NULL);
}

static void give_fetched(struct ha *h, struct jr_batch *b)
{
	struct pr_link_batch_give m = {
		.nonce = h->his_nonce, .lsn = h->fetch[HA_FETCH_GIVE].lsn, .known = b != NULL};
	struct pr_buf buf = ha_send_begin(h, pr_link_batch_give_size(&m));
	int r = pr_link_batch_give_encode(&buf, &m);

	ASSERT(r == 0);
	ha_send_end(h, PR_T_LINK_BATCH_GIVE, &buf, b);
}

static void on_batch_give(struct ha *h, const struct pr_link_batch_give *m)
{
	const char *why;
	struct jr_batch *b;

	if (!h->repair.on || !h->repair.busy || m->lsn != h->repair.lsn)
		return;
	b = m->known ? jr_batch_open(h->cfg.cluster, m->image.p, m->image.len, &why) : NULL;
	if (!b || b->first_lsn > m->lsn || b->last_lsn < m->lsn) {
		jr_batch_unref(b);
		h->repair.on = false;
		ha_damaged(h, ha_text(h, "LSN %llu is damaged here and the peer does not have it",
				      (unsigned long long)h->repair.lsn));
		return;
	}
	ha_emit(h, HA_FX_REPAIR)->batch = b;
}

static void fetched(struct ha *h, const struct ha_event *e)
{
	unsigned kind = (unsigned)(e->cookie >> 56);

	if (kind >= HA_FETCH_COUNT || !h->fetch[kind].busy ||
	    h->fetch[kind].number != (e->cookie & 0xffffffffffffff))
		return;
	h->fetch[kind].busy = false;
	switch ((enum ha_fetch)kind) {
	case HA_FETCH_APPLY:
		ha_apply_fetched(h, e->batch);
		break;
	case HA_FETCH_ANSWER:
		fork_fetched(h, e->batch);
		break;
	case HA_FETCH_GIVE:
		give_fetched(h, e->batch);
		break;
	case HA_FETCH_BASE:
		ha_target_fetched(h, e->batch);
		break;
	case HA_FETCH_OWN:
	case HA_FETCH_STREAM:
		ha_resync_fetched(h, kind, e->batch);
		break;
	case HA_FETCH_COUNT:
		break;
	}
}

static void refuse(struct ha *h)
{
	ha_alarm(h, HA_ALARM_PEER, true);
	ha_link_close(h);
}

/* MSG(type, name, handler(h, m)) */
#define LINK_MESSAGES(X)                               \
	X(HELLO, hello, on_hello)                      \
	X(SESSION, session, ha_on_session)             \
	X(SESSION_OK, session_ok, ha_on_session_ok)    \
	X(BATCH, batch, ha_on_batch)                   \
	X(ACK, ack, ha_on_ack)                         \
	X(NACK, nack, on_nack)                         \
	X(BEAT, beat, on_beat)                         \
	X(OUTDATE, outdate, ha_on_outdate)             \
	X(OUTDATE_OK, outdate_ok, on_outdate_ok)       \
	X(PROMISE_ASK, promise_ask, ha_on_promise_ask) \
	X(PROMISE, promise, ha_on_promise)             \
	X(INSYNC, insync, ha_on_insync)                \
	X(INSYNC_OK, insync_ok, ha_on_insync_ok)       \
	X(FORK_ASK, fork_ask, on_fork_ask)             \
	X(FORK, fork, ha_on_fork)                      \
	X(BATCH_ASK, batch_ask, on_batch_ask)          \
	X(BATCH_GIVE, batch_give, on_batch_give)       \
	X(ROWS, rows, ha_on_rows_put)                  \
	X(ROWS_OK, rows_ok, ha_on_rows_ok)             \
	X(HANDOVER, handover, ha_on_handover)          \
	X(BYE, bye, on_bye)

static void on_nack(struct ha *h, const struct pr_link_nack *m)
{
	if (h->s.open && m->link == h->s.link && m->epoch == h->state.epoch)
		ha_link_close(h);
}

static void on_outdate_ok(struct ha *h, const struct pr_link_outdate_ok *m)
{
	(void)h;
	(void)m;
}

static void on_batch_ask(struct ha *h, const struct pr_link_batch_ask *m)
{
	h->his_nonce = m->nonce;
	ha_fetch(h, HA_FETCH_GIVE, m->lsn);
}

static void on_bye(struct ha *h, const struct pr_link_bye *m)
{
	(void)m;
	ha_link_close(h);
}

static void message(struct ha *h, const struct ha_event *e)
{
	if (e->conn != h->conn || !h->conn)
		return;
	h->heard_ms = h->now_ms;
	if (!h->his.known && e->msg_type != PR_T_LINK_HELLO)
		return; /* nothing counts before the hello */
	switch (e->msg_type) {
#define X(NAME, name, handler)                                      \
	case PR_T_LINK_##NAME: {                                    \
		struct pr_link_##name m;                            \
		if (pr_link_##name##_decode(&m, e->p, e->len) == 0) \
			handler(h, &m);                             \
		else                                                \
			refuse(h);                                  \
		break;                                              \
	}
		LINK_MESSAGES(X)
#undef X
	default:
		refuse(h);
	}
}

void ha_link_event(struct ha *h, const struct ha_event *e)
{
	switch (e->type) {
	case HA_EV_LINK_UP:
		link_up(h, e->conn);
		break;
	case HA_EV_LINK_DOWN:
		if (h->conn && e->conn == h->conn)
			ha_link_close(h);
		break;
	case HA_EV_LINK_MSG:
		message(h, e);
		break;
	case HA_EV_FETCHED:
		fetched(h, e);
		break;
	default:
		break;
	}
}

static bool run_repair(struct ha *h)
{
	if (!h->repair.on || h->repair.busy || !h->conn || !h->his.known)
		return false;
	h->repair.busy = true;
	h->nonce++;
	HA_SEND(h, LINK_BATCH_ASK, link_batch_ask, .nonce = h->nonce, .lsn = h->repair.lsn);
	return true;
}

bool ha_run_link(struct ha *h)
{
	if (!h->conn)
		return false;
	if (h->now_ms >= h->heard_ms + h->cfg.link_dead_ms) {
		ha_link_close(h);
		return true;
	}
	ha_note_deadline(h, h->heard_ms + h->cfg.link_dead_ms);
	if (h->now_ms >= h->beat_ms + h->cfg.beat_ms) {
		h->beat_ms = h->now_ms;
		ha_send_beat(h);
	}
	ha_note_deadline(h, h->beat_ms + h->cfg.beat_ms);
	/* An active is answered once the log here is known: repaired if it was damaged, and without anything half-way. */
	if (h->answer_owed && h->role == PR_ROLE_STANDBY && !h->repair.on && h->p == HA_P_IDLE &&
	    h->tg == HA_TG_IDLE && h->durable_lsn == h->tail.lsn && ha_saved(h) && !h->cut_busy &&
	    !h->rows_busy) {
		h->answer_owed = false;
		ha_send_hello(h);
		return true;
	}
	return run_repair(h);
}
