/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Becoming active: P0 to P8 when the cluster orders it, T9 when the active hands over; and S5, the votes. Order of writes: the
 * arbiter record, then the state, then the EPOCH record, then SERVE. A handover has its record already: state, then SERVE.
 */
#include "ha/core/ha_core.h"

typedef unsigned long long ull;

static void enter(struct ha *h, enum ha_promote_step step)
{
	h->p = step;
	h->p_since_ms = h->now_ms;
	if (step != HA_P_IDLE && step != HA_P_HEIR)
		h->role = PR_ROLE_PROMOTING;
}

void ha_promote_cancel(struct ha *h, int error, const char *why)
{
	bool ordered = h->p_ordered;

	ASSERT(h->p != HA_P_SAVE && h->p != HA_P_RECORD);
	enter(h, HA_P_IDLE);
	h->role = PR_ROLE_STANDBY;
	h->p_ordered = false;
	h->promise_epoch = 0;
	h->heir.epoch = 0;
	snprintf(h->st.refused, sizeof(h->st.refused), "%s", why);
	if (ordered)
		ha_result(h, h->p_ticket, error, why);
	/* The session ended with P0: the active, if there is one, needs a new hello. */
	if (h->p_session_ended)
		ha_link_close(h);
	h->p_session_ended = false;
}

void ha_on_promote(struct ha *h, uint64_t ticket, bool override)
{
	if (!h->booted) {
		ha_result(h, ticket, -EAGAIN, "still starting");
		return;
	}
	if (h->role == PR_ROLE_ACTIVE && h->served) {
		ha_result(h, ticket, override ? -EINVAL : 0,
			  override ? "this controller is active: there is nothing to override"
				   : "active");
		return;
	}
	if (h->p_ordered)
		ha_result(h, h->p_ticket, -ECANCELED, "replaced by a newer order");
	h->p_ordered = true;
	h->p_ticket = ticket;
	if (h->p != HA_P_IDLE || h->role == PR_ROLE_ACTIVE)
		return;
	h->p_override = override;
	h->p_session_ended = h->r.open || h->tg != HA_TG_IDLE;
	ha_standby_end(h); /* P0 */
	memset(&h->st.promotion, 0, sizeof(h->st.promotion));
	h->st.promotion.asked_ms = h->p_ended_ms = h->now_ms;
	h->st.refused[0] = '\0';
	h->p_asked_promise = h->p_asked_fence = h->promise_refused = false;
	h->promise_epoch = 0;
	h->p_tries = 0;
	enter(h, HA_P_TAIL);
}

/* P1 */
static const char *unfit(struct ha *h)
{
	if (!h->quorate)
		return "this node is not in the quorate part of the cluster: restore quorum first";
	if (h->state.dstate == HA_QUARANTINED)
		return "this controller is quarantined: its disk failed; replace it, clear its directory, start it again";
	if (h->repair.on)
		return ha_text(h,
			       "the journal is damaged at LSN %llu: start the peer, which has it",
			       (ull)h->repair.lsn);
	if (h->damage)
		return ha_text(h, "%s: start the peer, this controller then takes a full copy",
			       h->damage);
	if (h->state.fault_flags & HA_FAULT_COPY)
		return "a full copy did not finish here: start the peer it came from";
	return NULL;
}

/* What the floor beside the record asks for. A later override gave up what it stands for, but for what the log held then. */
static uint64_t floor_lsn(const struct ha *h)
{
	for (uint32_t i = h->state.history_count; i-- > 0;) {
		const struct ha_history *y = &h->state.history[i];

		if (y->epoch > h->arb.floor_epoch && y->reason == HA_BY_OVERRIDE)
			return y->first_lsn - 1;
	}
	return h->arb.floor_lsn;
}

/* Up to which LSN the log must reach: by the floor, or, as long as the log ends in that epoch, by this disk itself. */
static uint64_t least_tail(const struct ha *h)
{
	uint64_t floor = floor_lsn(h);

	return h->state.log_epoch == h->missing_epoch ? ha_max(floor, h->missing_lsn) : floor;
}

/* P3 */
static const char *not_named(struct ha *h)
{
	const struct ha_arbiter *a = &h->arb.record;
	uint64_t been = ha_max(h->state.epoch, h->heard_epoch);

	if (!ha_is_member(h, h->cfg.node))
		return ha_text(
			h,
			"the arbiter (epoch %llu) names node %u as holder of the latest operations; here the log ends at "
			"LSN %llu in epoch %llu: start node %u, or `mdcctl override` when it is gone for good",
			(ull)a->epoch, ha_peer_node(h), (ull)h->tail.lsn, (ull)h->state.log_epoch,
			ha_peer_node(h));
	/* An epoch stands in the record before anybody is in it. */
	if (a->epoch < been)
		return ha_text(
			h,
			"the arbiter record is of epoch %llu, %s has been in epoch %llu: the record is an old one "
			"(a snapshot or a copy of its LUN?): bring the LUN back, or `mdcctl override`",
			(ull)a->epoch, been > h->state.epoch ? "the peer" : "this controller",
			(ull)been);
	if (h->tail.lsn < least_tail(h))
		return ha_text(
			h,
			"LSN %llu to %llu were acknowledged and are missing here (a write that this disk lost, or an old snapshot "
			"of it?): start node %u, or `mdcctl override` when it is gone for good",
			(ull)h->tail.lsn + 1, (ull)least_tail(h), ha_peer_node(h));
	if (h->state.dstate == HA_NEW && a->epoch > 0)
		return ha_text(
			h,
			"this controller is new and empty, the pair is in epoch %llu: start node %u",
			(ull)a->epoch, ha_peer_node(h));
	if (h->state.dstate == HA_SYNCTARGET || h->state.dstate == HA_OUTDATED)
		return ha_text(h, "this controller is %s: let it resync from node %u",
			       ha_dstate_name(h->state.dstate), ha_peer_node(h));
	return NULL;
}

static uint64_t next_epoch(const struct ha *h)
{
	uint64_t been = ha_max(h->state.epoch, h->heard_epoch);
	uint64_t epoch = ha_max(h->arb.record.epoch, h->p_override ? been : 0);

	return epoch + (h->p_override ? HA_OVERRIDE_EPOCHS : 1);
}

/* P2: unknown means no. */
static bool proven(const struct ha *h)
{
	return ha_peer_fenced(h) || h->arb.record.members == ha_bit(h->cfg.node) ||
	       (h->promise_epoch && h->promise_epoch == next_epoch(h));
}

/*
 * No link to it, and the cluster does not see it running either: a link alone may be cut while it serves, and of a controller that the
 * link was told of before the cluster was, the cluster has said nothing yet.
 */
static bool is_away(const struct ha *h)
{
	bool running = !h->peer.known || (h->peer.process_up && h->peer.node_up);

	return !h->conn && (ha_peer_fenced(h) || !running);
}

static bool run_proof(struct ha *h)
{
	/* The record may have been read again meanwhile: no promise is asked for in vain. */
	if (!h->p_override && not_named(h)) {
		ha_promote_cancel(h, -EPERM, not_named(h));
		return true;
	}
	if (h->p_override && is_away(h))
		h->vote_epoch = 0;
	if (!ha_vote_binds(h) && (proven(h) || (h->p_override && is_away(h)))) {
		h->st.promotion.fenced_ms = h->now_ms;
		h->preempt_done = false;
		ha_emit(h, HA_FX_PREEMPT);
		enter(h, HA_P_PREEMPT);
		return true;
	}
	if (h->p_override) {
		ha_promote_cancel(
			h, -EPERM,
			ha_text(h,
				"node %u is running, and may be active: an override is for a controller that is gone; "
				"stop mdcd on its host or cut its power first",
				ha_peer_node(h)));
		return true;
	}
	if (h->promise_refused) {
		ha_promote_cancel(h, -EPERM,
				  ha_text(h, "the peer refuses to stand by: %s", h->promise_why));
		return true;
	}
	if (!h->p_asked_promise && h->conn && h->his.known) {
		h->p_asked_promise = true;
		h->p_since_ms = h->now_ms;
		HA_SEND(h, LINK_PROMISE_ASK, link_promise_ask, .epoch = next_epoch(h),
			.to = h->cfg.node);
		return true;
	}
	if (h->p_asked_promise && h->conn && h->now_ms < h->p_since_ms + HA_PROMISE_WAIT_MS) {
		ha_note_deadline(h, h->p_since_ms + HA_PROMISE_WAIT_MS);
		return false;
	}
	if (ha_vote_binds(h)) { /* only the peer's own promise gives it back */
		ha_promote_cancel(
			h, -EPERM,
			ha_text(h,
				"epoch %llu was promised to node %u, which has not used it and is not fenced",
				(ull)h->vote_epoch, ha_peer_node(h)));
		return true;
	}
	if (!h->p_asked_fence) {
		h->p_asked_fence = true;
		ha_emit(h, HA_FX_ASK_FENCE)->incarnation = h->peer.incarnation;
		return true;
	}
	if (h->now_ms < h->p_since_ms + HA_FENCE_WAIT_MS) {
		ha_note_deadline(h, h->p_since_ms + HA_FENCE_WAIT_MS);
		return false;
	}
	ha_promote_cancel(
		h, -EPERM,
		h->fence_why[0]
			? ha_text(h, "node %u is not proven dead: %s; fence it or start it",
				  ha_peer_node(h), h->fence_why)
			: ha_text(h,
				  "node %u is not proven dead (incarnation %llu), gave no promise and is a member: "
				  "fence it or start it",
				  ha_peer_node(h), (ull)h->peer.incarnation));
	return true;
}

static bool run_read(struct ha *h)
{
	const char *why;

	if (!ha_arb_was_read(h, h->p_read))
		return false;
	if (h->arb.error) {
		ha_promote_cancel(
			h, h->arb.error,
			h->arb.error == -ENOENT
				? "there is no arbiter record on the metadata LUN: is it the right one? If it was lost: mdcctl lun renew-arbiter"
			: h->arb.error == -EUCLEAN
				? "both copies of the arbiter record are damaged: no change of role until mdcctl lun renew-arbiter"
				: "the arbiter record cannot be read: check the metadata LUN");
		return true;
	}
	h->st.promotion.arbiter_ms = h->now_ms;
	why = h->p_override ? NULL : not_named(h);
	if (why) {
		ha_promote_cancel(h, -EPERM, why);
		return true;
	}
	if (h->state.dstate == HA_NEW && !h->p_override) {
		/* Nobody was ever active: empty is complete. It must stand before the record changes, or after a crash
		 * this controller could not be told from one that lost its disk. */
		h->state.dstate = HA_INSYNC;
		ha_save(h);
	}
	enter(h, HA_P_PROOF);
	return true;
}

/*
 * Alone in the epoch of the record, by the state too: no session of another epoch was accepted since, so nobody holds a lease. The record
 * by itself may be a late write of a former life, behind which the one after it stood by the old active again.
 */
static bool was_alone(const struct ha *h)
{
	return h->arb.record.members == ha_bit(h->cfg.node) &&
	       h->arb.record.epoch == h->state.epoch;
}

static bool run_lease(struct ha *h)
{
	uint64_t due = h->p_ended_ms + h->cfg.takeover_wait_ms;

	/* P5. A promise says that nobody holds a lease. */
	if (h->cfg.fabric_fencing && !h->promise_epoch && !was_alone(h) && h->now_ms < due) {
		ha_note_deadline(h, due);
		return false;
	}
	if (!ha_arb_free(h) || !ha_saved(h))
		return false;
	if (!h->p_override && not_named(h)) { /* what the old active had on its way has landed */
		ha_promote_cancel(h, -EPERM, not_named(h));
		return true;
	}
	if (!h->p_override && !proven(h)) { /* a new incarnation came meanwhile */
		enter(h, HA_P_PROOF);
		return true;
	}
	ASSERT(h->durable_lsn == h->tail.lsn && !h->r.open && h->state.dstate != HA_QUARANTINED);
	ASSERT(h->p_override || ha_is_member(h, h->cfg.node));
	ha_arb_cas(h, next_epoch(h), ha_bit(h->cfg.node), h->cfg.node);
	enter(h, HA_P_CAS);
	return true;
}

static bool run_cas(struct ha *h)
{
	if (h->arb.outcome == HA_PENDING)
		return false;
	/* What the dead active had on its way may have landed before its lock was ours: look again, a few times. */
	if (h->arb.outcome == HA_REFUSED && h->p_tries++ < 3 && (h->p_override || !not_named(h))) {
		enter(h, HA_P_PROOF);
		return true;
	}
	if (h->arb.outcome != HA_DONE) {
		ha_promote_cancel(
			h, -EAGAIN,
			h->arb.outcome == HA_REFUSED
				? "the arbiter record was changed by the peer meanwhile: look who is active"
				: "the arbiter record could not be written: check the metadata LUN");
		return true;
	}
	h->state.epoch = h->state.log_epoch = h->arb.record.epoch;
	h->state.dstate = HA_DALONE;
	h->state.overrides += h->p_override;
	ha_history_push(h, h->state.epoch, h->tail.lsn + 1, h->arb.record.members,
			h->p_override ? HA_BY_OVERRIDE : HA_BY_PROMOTION);
	ha_save(h);
	h->vote_epoch = 0;
	h->st.promotion.verified_ms = h->now_ms;
	enter(h, HA_P_SAVE);
	return true;
}

/* ---- T9 ---- */

void ha_on_handover(struct ha *h, const struct pr_link_handover *m)
{
	if (h->role == PR_ROLE_ACTIVE) {
		if (h->mode == HA_FROZEN && m->epoch == h->state.epoch && !h->s.open &&
		    !h->s.opening)
			ha_send_hello(h); /* the former active is standby by now */
		return;
	}
	if (h->p == HA_P_HEIR && m->epoch == h->heir.epoch) {
		h->heir_poll_ms = h->now_ms;
		return;
	}
	if (h->p != HA_P_IDLE || !h->r.open || m->link != h->r.link ||
	    m->epoch != h->state.epoch + 1 || m->lsn != h->tail.lsn ||
	    h->durable_lsn != h->tail.lsn || h->state.dstate != HA_INSYNC || h->vote_epoch)
		return;
	h->heir.epoch = h->promise_epoch = m->epoch;
	h->heir.lsn = m->lsn;
	h->heir.incarnation = h->peer.incarnation;
	ha_standby_end(h);
	memset(&h->st.promotion, 0, sizeof(h->st.promotion));
	h->st.promotion.asked_ms = h->p_ended_ms = h->now_ms;
	h->p_override = h->p_session_ended = false;
	h->p_asked_promise = h->p_asked_fence = h->promise_refused = false;
	h->heir_poll_ms = h->now_ms;
	h->p_read = 0;
	enter(h, HA_P_HEIR);
}

static bool run_heir(struct ha *h)
{
	if (h->p_read && ha_arb_was_read(h, h->p_read)) {
		h->p_read = 0;
		h->heir_poll_ms =
			h->now_ms + (h->now_ms < h->p_since_ms + 1000 ? 10 : HA_ARBITER_RETRY_MS);
		if (h->arb.error)
			return true;
		if (h->arb.record.epoch == h->heir.epoch && h->arb.record.active == h->cfg.node &&
		    ha_is_member(h, h->cfg.node)) {
			h->st.promotion.arbiter_ms = h->st.promotion.verified_ms = h->now_ms;
			h->state.epoch = h->state.log_epoch = h->heir.epoch;
			ha_history_push(h, h->state.epoch, h->tail.lsn + 1, h->arb.record.members,
					HA_BY_HANDOVER);
			ha_save(h);
			enter(h, HA_P_HEIR_SAVE);
			return true;
		}
		if (h->arb.record.epoch >= h->heir.epoch ||
		    h->peer.incarnation > h->heir.incarnation || ha_peer_fenced(h)) {
			/* The handover did not come about. An order to promote goes its own way from here. */
			h->heir.epoch = 0;
			enter(h, HA_P_IDLE);
			if (h->p_ordered) {
				h->p_ordered = false;
				ha_on_promote(h, h->p_ticket, false);
			} else {
				h->role = PR_ROLE_STANDBY;
				h->promise_epoch = 0;
				ha_link_close(h);
			}
		}
		return true;
	}
	if (!h->p_read && h->now_ms >= h->heir_poll_ms) {
		h->p_read = ha_arb_read(h);
		return true;
	}
	if (!h->p_read)
		ha_note_deadline(h, h->heir_poll_ms);
	return false;
}

bool ha_run_promote(struct ha *h)
{
	const char *why;

	switch (h->p) {
	case HA_P_IDLE:
		return false;
	case HA_P_TAIL:
		why = unfit(h);
		if (why) {
			ha_promote_cancel(h, -EPERM, why);
			return true;
		}
		if (h->durable_lsn != h->tail.lsn || h->cut_busy || h->rows_busy || !ha_saved(h))
			return false;
		h->st.promotion.journal_ms = h->now_ms;
		h->p_read = ha_arb_read(h);
		enter(h, HA_P_READ);
		return true;
	case HA_P_READ:
		return run_read(h);
	case HA_P_PROOF:
		return run_proof(h);
	case HA_P_PREEMPT:
		if (!h->preempt_done)
			return false;
		if (h->preempt_error)
			ha_promote_cancel(
				h, h->preempt_error,
				"the old active's hold on the metadata LUN could not be taken: is it really dead?");
		else
			enter(h, HA_P_LEASE);
		return true;
	case HA_P_LEASE:
		return run_lease(h);
	case HA_P_CAS:
		return run_cas(h);
	case HA_P_SAVE:
		if (!ha_saved(h))
			return false;
		enter(h, HA_P_ADOPT);
		return true;
	case HA_P_ADOPT:
		if (h->damage)
			ha_die(h, "the rows could not be brought up to the end of the log");
		if (h->damage || h->applied_lsn != h->tail.lsn)
			return false;
		h->commit = h->tail; /* P7: the whole verified tail is adopted */
		enter(h, HA_P_RECORD);
		ha_become_active(h, HA_ALONE);
		ha_own_record(h, PR_RECORD_EPOCH);
		return true;
	case HA_P_RECORD:
		if (h->durable_lsn != h->tail.lsn)
			return false;
		enter(h, HA_P_IDLE);
		h->role = PR_ROLE_ACTIVE;
		ha_go_alone(h);
		return true;
	case HA_P_HEIR:
		return run_heir(h);
	case HA_P_HEIR_SAVE:
		if (!ha_saved(h))
			return false;
		h->commit.lsn = h->tail.lsn;
		enter(h, HA_P_HEIR_APPLY);
		return true;
	case HA_P_HEIR_APPLY:
		if (h->damage)
			ha_die(h, "the rows could not be brought up to the end of the log");
		if (h->damage || h->applied_lsn != h->tail.lsn)
			return false;
		h->commit = h->tail;
		h->heir.epoch = 0;
		enter(h, HA_P_IDLE);
		h->hold_owed = true;
		h->preempt_busy = false;
		h->arb.retry_ms = h->now_ms;
		ha_become_active(h, HA_SYNC);
		return true;
	}
	return false;
}

/* ---- S5 ---- */

static void answer(struct ha *h, uint64_t epoch, bool granted, const char *why)
{
	HA_SEND(h, LINK_PROMISE, link_promise, .epoch = epoch, .to = ha_peer_node(h),
		.granted = granted, .tail_lsn = h->tail.lsn, .why = pr_bytes_str(why));
}

/* Cold start: of two members the longest log of the newest epoch. */
static bool mine_is_longer(const struct ha *h)
{
	if (h->state.dstate != HA_INSYNC || h->damage || h->repair.on ||
	    !ha_is_member(h, h->cfg.node))
		return false;
	if (h->state.log_epoch != h->his.log_epoch)
		return h->state.log_epoch > h->his.log_epoch;
	return h->tail.lsn > h->his.tail_lsn;
}

void ha_on_promise_ask(struct ha *h, const struct pr_link_promise_ask *m)
{
	bool take_back = h->p == HA_P_HEIR && m->epoch == h->heir.epoch;

	if (m->to != ha_peer_node(h))
		return;
	if (h->role == PR_ROLE_ACTIVE)
		return answer(h, m->epoch, false, "this controller is active");
	if (!take_back &&
	    (m->epoch <= h->state.epoch || (h->arb.known && m->epoch <= h->arb.record.epoch)))
		return answer(h, m->epoch, false, "the epoch is old");
	if (h->p == HA_P_HEIR && !take_back)
		return answer(h, m->epoch, false, "a handover to this controller is under way");
	if (h->p > HA_P_LEASE && h->p != HA_P_HEIR)
		return answer(h, m->epoch, false, "this controller is being promoted");
	if (h->p != HA_P_IDLE && h->p != HA_P_HEIR && h->cfg.node < ha_peer_node(h))
		return answer(h, m->epoch, false,
			      "this controller is being promoted and has the lower number");
	if (!ha_arb_free(h))
		return answer(h, m->epoch, false,
			      "a write of the arbiter record is not known to be over");
	if (h->p == HA_P_IDLE && mine_is_longer(h))
		return answer(h, m->epoch, false,
			      "this controller holds the longer log: promote it instead");
	h->p_session_ended = false;
	if (h->p != HA_P_IDLE)
		ha_promote_cancel(h, -EAGAIN,
				  take_back
					  ? "the active takes the handover back"
					  : "the peer is being promoted, it has the lower number");
	ha_standby_end(h);
	h->promise_epoch = 0;
	h->vote_epoch = m->epoch;
	answer(h, m->epoch, true, "");
}

void ha_on_promise(struct ha *h, const struct pr_link_promise *m)
{
	if (m->to != h->cfg.node)
		return;
	if (h->sw == HA_SW_TAKE_BACK && m->epoch == h->vote_epoch) {
		if (m->granted)
			h->vote_epoch = 0;
		else
			h->sw = HA_SW_CAS;
		return;
	}
	if (h->p != HA_P_PROOF || !h->p_asked_promise || m->epoch != next_epoch(h))
		return;
	if (m->granted) {
		h->promise_epoch = m->epoch;
		h->vote_epoch = 0; /* it cannot use what I promised it any more */
	} else {
		h->promise_refused = true;
		pr_bytes_copy(h->promise_why, sizeof(h->promise_why), m->why);
	}
}

/* ---- the hint ---- */

void ha_score(struct ha *h)
{
	bool sole = h->arb.known && h->arb.record.members == ha_bit(h->cfg.node);
	const char *text = "";
	int score = 0;

	if (h->role == PR_ROLE_ACTIVE) {
		score = 1000;
		text = "active";
	} else if (!h->booted || !h->arb.known || h->arb.error) {
		text = "the arbiter record is not known";
	} else if (h->state.dstate == HA_QUARANTINED || h->damage || h->repair.on ||
		   (h->state.fault_flags & HA_FAULT_COPY)) {
		text = "damaged";
	} else if (not_named(h)) {
		text = "not a member";
	} else {
		score = sole ? 200 : 100;
		text = sole ? "only member" : "member";
		if (!sole && h->conn && h->his.known) {
			if (mine_is_longer(h))
				score += 10;
			else if (h->cfg.node < ha_peer_node(h))
				score += 1;
		}
	}
	if (score == h->score_said)
		return;
	h->score_said = score;
	struct ha_effect *fx = ha_emit(h, HA_FX_SCORE);
	fx->score = score;
	fx->text = text;
}
