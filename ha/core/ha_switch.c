/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * T8, the planned change of roles, in this order: drain; the HANDOVER record acked; the promise to the peer; the arbiter names the
 * peer active, members unchanged; standby. Up to the promise any failure means going on as before. After it the promise binds:
 * the way back is the peer's own promise.
 */
#include "ha/core/ha_core.h"

void ha_on_switchover(struct ha *h, uint64_t ticket, bool demote)
{
	if (h->role != PR_ROLE_ACTIVE) {
		if (demote && (h->p == HA_P_SAVE || h->p == HA_P_ADOPT)) {
			/* The record names it alone already: what stands here stays eligible, by a new process. */
			ha_result(h, ticket, 0, "the promotion ends with the process");
			ha_die(h, "demoted while it was being promoted");
			return;
		}
		if (demote && h->role == PR_ROLE_PROMOTING)
			ha_promote_cancel(h, -ECANCELED, "demoted before the promotion was done");
		ha_result(h, ticket, demote ? 0 : -EINVAL,
			  demote ? "standby" : "this controller is not the active one");
		return;
	}
	if (h->sw != HA_SW_IDLE) {
		ha_result(h, ticket, -EALREADY, "a switchover is under way");
		return;
	}
	if (h->mode != HA_SYNC || !h->s.open) {
		ha_result(
			h, ticket, demote ? 0 : -EAGAIN,
			demote ? "no standby is in sync: the active ends, its data stays eligible here"
			       : "no standby is in sync: wait until `mdcctl status` shows SYNC, then try again");
		if (demote)
			ha_die(h, "demoted while no standby is in sync");
		return;
	}
	if (!demote && ha_arb_fails(h)) {
		ha_result(
			h, ticket, -EAGAIN,
			"the arbiter record cannot be read and written, so nobody could take over: check the metadata LUN");
		return;
	}
	h->sw = HA_SW_DRAIN;
	h->sw_ticket = ticket;
	h->sw_demote = demote;
	h->drained = false;
	ha_emit(h, HA_FX_DRAIN);
}

static void go_on(struct ha *h, const char *why)
{
	h->sw = HA_SW_IDLE;
	ha_emit(h, HA_FX_UNDRAIN);
	ha_result(h, h->sw_ticket, -EAGAIN, why);
}

void ha_switch_failed(struct ha *h, const char *why)
{
	if (h->sw == HA_SW_IDLE || h->sw == HA_SW_CAS)
		return;
	if (h->sw == HA_SW_TAKE_BACK)
		h->sw = HA_SW_CAS;
	else
		go_on(h, why);
}

static void say_handover(struct ha *h, uint64_t epoch)
{
	HA_SEND(h, LINK_HANDOVER, link_handover, .epoch = epoch, .link = h->s.link,
		.lsn = h->tail.lsn);
}

static void become_standby(struct ha *h)
{
	ASSERT(!h->flights && h->commit.lsn == h->tail.lsn && h->durable_lsn == h->tail.lsn);
	h->sw = HA_SW_IDLE;
	h->role = PR_ROLE_STANDBY;
	h->mode = HA_FROZEN;
	h->held = h->served = false;
	h->s.open = h->s.opening = false;
	h->his.answer = false;
	h->require_ack = h->hold_owed = false;
	h->applied_lsn = h->tail.lsn;
	h->r.open = false;
	h->p = HA_P_IDLE;
	ha_alarm(h, HA_ALARM_FROZEN, false);
	ha_alarm(h, HA_ALARM_ALONE, false);
	ha_emit(h, HA_FX_STANDBY);
	ha_result(h, h->sw_ticket, 0, "handed over");
	say_handover(h, h->arb.record.epoch);
}

static bool run_cas(struct ha *h)
{
	switch (h->arb.outcome) {
	case HA_PENDING:
		return false;
	case HA_DONE:
		become_standby(h);
		return true;
	case HA_REFUSED:
		ha_die(h, "the arbiter refused the handover: somebody else wrote the record");
		return false;
	case HA_FAILED:
		break;
	}
	if (!h->vote_epoch) { /* the peer is proven dead: the promise is void */
		go_on(h, "the standby died meanwhile");
		return true;
	}
	if (h->conn && h->his.known) {
		h->sw = HA_SW_TAKE_BACK;
		HA_SEND(h, LINK_PROMISE_ASK, link_promise_ask, .epoch = h->vote_epoch,
			.to = h->cfg.node);
		return true;
	}
	if (h->now_ms < h->arb.retry_ms) {
		ha_note_deadline(h, h->arb.retry_ms);
		return false;
	}
	ha_arb_cas(h, h->vote_epoch, h->arb.record.members, ha_peer_node(h));
	return true;
}

bool ha_run_switch(struct ha *h)
{
	switch (h->sw) {
	case HA_SW_IDLE:
		return false;
	case HA_SW_DRAIN:
		if (!h->drained)
			return false;
		h->sw = HA_SW_QUIET;
		return true;
	case HA_SW_QUIET:
		if (h->flights)
			return false;
		h->sw = HA_SW_RECORD;
		ha_own_record(h, PR_RECORD_HANDOVER);
		return true;
	case HA_SW_RECORD:
		if (h->flights || !ha_arb_free(h) || ha_vote_binds(h))
			return false;
		ASSERT(h->s.open && h->mode == HA_SYNC && h->arb.record.members == 3);
		h->sw = HA_SW_CAS;
		h->vote_epoch = h->state.epoch + 1;
		say_handover(h, h->vote_epoch);
		ha_arb_cas(h, h->vote_epoch, h->arb.record.members, ha_peer_node(h));
		return true;
	case HA_SW_CAS:
		return run_cas(h);
	case HA_SW_TAKE_BACK:
		if (h->vote_epoch)
			return false;
		/* The peer ended its session when it became heir: a new one is needed. */
		go_on(h, "the arbiter could not be written; this controller stays active");
		ha_link_close(h);
		return true;
	}
	return false;
}
