/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Traffic with the arbiter: fresh reads, one write in flight, and outcomes that are unknown until they are known. Who may write
 * at all is decided by the callers; that nobody writes against a promise is asserted here.
 */
#include "ha/core/ha_core.h"

uint64_t ha_arb_read(struct ha *h)
{
	if (h->arb.read_busy) {
		h->arb.read_again = true;
		return h->arb.reads_started + 1;
	}
	h->arb.read_busy = true;
	h->arb.read_ms = h->now_ms;
	h->arb.reads_started++;
	ha_emit(h, HA_FX_ARB_READ);
	return h->arb.reads_started;
}

bool ha_arb_was_read(const struct ha *h, uint64_t ticket)
{
	return h->arb.reads_done >= ticket;
}

bool ha_arb_free(const struct ha *h)
{
	return h->arb.write == HA_WRITE_NONE && !h->hold_owed;
}

/* An heir takes the old active's hold on the LUNs while it serves already; it writes nothing before it has it. */
static bool run_hold(struct ha *h)
{
	if (h->role != PR_ROLE_ACTIVE || !h->hold_owed)
		return false;
	if (h->preempt_busy) {
		if (!h->preempt_done)
			return false;
		h->preempt_busy = false;
		h->hold_owed = h->preempt_error != 0;
		h->arb.retry_ms = h->now_ms + (h->hold_owed ? HA_ARBITER_RETRY_MS : 0);
		return true;
	}
	if (h->now_ms < h->arb.retry_ms) {
		ha_note_deadline(h, h->arb.retry_ms);
		return false;
	}
	h->preempt_busy = true;
	h->preempt_done = false;
	ha_emit(h, HA_FX_PREEMPT);
	return true;
}

/* S5: a promise given binds until the record reaches its epoch or the peer is proven dead. */
bool ha_vote_binds(const struct ha *h)
{
	return h->vote_epoch && !(h->arb.known && h->arb.record.epoch >= h->vote_epoch) &&
	       !ha_peer_fenced(h);
}

void ha_arb_cas(struct ha *h, uint64_t epoch, uint8_t members, uint8_t active)
{
	struct ha_effect *fx;

	ASSERT(ha_arb_free(h) && h->arb.known);
	ASSERT(epoch >= h->arb.record.epoch);
	ASSERT(members & ha_bit(active));
	/* A vote is broken only by the handover that it was given for. */
	ASSERT(!ha_vote_binds(h) || (epoch == h->vote_epoch && active == ha_peer_node(h)));
	h->arb.next = h->arb.record;
	h->arb.next.seq++;
	h->arb.next.epoch = epoch;
	h->arb.next.members = members;
	h->arb.next.active = active;
	h->arb.write = HA_WRITE_CAS;
	h->arb.outcome = HA_PENDING;
	h->arb.unknown = h->arb.read_back = false;
	fx = ha_emit(h, HA_FX_ARB_CAS);
	fx->expect = h->arb.record;
	fx->next = h->arb.next;
}

static bool same_record(const struct ha_arbiter *a, const struct ha_arbiter *b)
{
	return a->seq == b->seq && a->epoch == b->epoch && a->members == b->members &&
	       a->active == b->active;
}

static void take_record(struct ha *h, const struct ha_arbiter *a)
{
	if (h->arb.known && a->seq < h->arb.record.seq)
		return; /* a read that began before our own write */
	h->arb.record = *a;
	h->arb.known = true;
}

/* One that is read well may still not be writable, and only who writes it finds out. */
bool ha_arb_fails(const struct ha *h)
{
	return h->arb.error || h->arb.unknown || h->arb.unwritten;
}

static void tell_alarm(struct ha *h)
{
	if (h->role == PR_ROLE_STANDBY)
		h->arb.unwritten = false;
	ha_alarm(h, HA_ALARM_ARBITER, ha_arb_fails(h));
}

static void conclude(struct ha *h, enum ha_outcome outcome)
{
	h->arb.write = HA_WRITE_NONE;
	h->arb.outcome = outcome;
	h->arb.unknown = h->arb.read_back = false;
	h->arb.retry_ms = h->now_ms + (outcome == HA_FAILED ? HA_ARBITER_RETRY_MS : 0);
}

/* The write is over; what stands decides what became of it. */
static void read_back(struct ha *h)
{
	if (same_record(&h->arb.record, &h->arb.next))
		conclude(h, HA_DONE);
	else
		conclude(h, h->arb.record.seq >= h->arb.next.seq ? HA_REFUSED : HA_FAILED);
}

static void cas_answered(struct ha *h, const struct ha_event *e)
{
	if (h->arb.write != HA_WRITE_CAS)
		return;
	switch (e->error) {
	case 0:
		take_record(h, &h->arb.next);
		h->arb.unwritten = false;
		conclude(h, HA_DONE);
		break;
	case -ESTALE:
		if (e->arbiter)
			take_record(h, e->arbiter);
		if (e->arbiter && same_record(&h->arb.record, &h->arb.next))
			conclude(h, HA_DONE);
		else
			conclude(h, HA_REFUSED);
		break;
	case -ETIMEDOUT:
		h->arb.unknown = true;
		ha_alarm(h, HA_ALARM_ARBITER, true);
		break;
	case -EBADE:
		if (h->role == PR_ROLE_ACTIVE) {
			ha_die(h,
			       "the reservation key of the metadata LUN was taken away: another controller takes over");
			return;
		}
		/* fall through */
	default:
		ha_alarm(h, HA_ALARM_ARBITER, true);
		h->arb.unwritten = true;
		h->arb.read_back = true;
		h->arb.read_back_ticket = ha_arb_read(h);
	}
}

static void was_read(struct ha *h, const struct ha_event *e)
{
	if (!h->arb.read_busy)
		return;
	h->arb.read_busy = false;
	h->arb.reads_done = h->arb.reads_started;
	h->arb.error = e->error;
	if (!e->error && e->arbiter && memcmp(e->arbiter->cluster, h->cfg.cluster, 16) != 0)
		h->arb.error = -EMEDIUMTYPE;
	if (!h->arb.error && e->arbiter) {
		take_record(h, e->arbiter);
		h->arb.floor_epoch = e->floor_epoch;
		h->arb.floor_lsn = e->floor_lsn;
	}
	tell_alarm(h);
	if (h->arb.read_back && h->arb.reads_done >= h->arb.read_back_ticket) {
		if (h->arb.error)
			h->arb.retry_ms = h->now_ms + HA_ARBITER_RETRY_MS;
		else
			read_back(h);
	}
	if (h->arb.read_again) {
		h->arb.read_again = false;
		ha_arb_read(h);
	}
}

void ha_arb_event(struct ha *h, const struct ha_event *e)
{
	switch (e->type) {
	case HA_EV_ARB_READ:
		was_read(h, e);
		break;
	case HA_EV_ARB_CAS:
		cas_answered(h, e);
		break;
	case HA_EV_ARB_FLOOR:
		if (h->arb.write == HA_WRITE_FLOOR && e->error != -ETIMEDOUT)
			h->arb.write = HA_WRITE_NONE;
		h->arb.unwritten = e->error != 0;
		if (e->error)
			h->arb.floor_sent_lsn = 0; /* and once more at the next look */
		if (e->error == -EBADE && h->role == PR_ROLE_ACTIVE && !h->hold_owed)
			ha_die(h,
			       "the reservation key of the metadata LUN was taken away: another controller takes over");
		else if (e->error)
			ha_alarm(h, HA_ALARM_ARBITER, true);
		break;
	default:
		break;
	}
}

/*
 * A standby's score follows the record: after T6 it looks often until it is named, and at once when the session is gone, since
 * what it says next may be what the cluster decides by.
 */
static uint64_t next_poll_ms(const struct ha *h)
{
	bool waits = h->role == PR_ROLE_STANDBY && h->r.open && h->r.kind == PR_LINK_INSYNC &&
		     !h->arb.error && !ha_is_member(h, h->cfg.node);

	return h->arb.read_ms + (waits ? HA_ARBITER_NAMED_MS : HA_ARBITER_POLL_MS);
}

/* The active looks at the record and keeps the floor, now and then only to see that it can; the standby looks whether it is still named. */
static bool poll(struct ha *h)
{
	bool active = h->role == PR_ROLE_ACTIVE, moved = false;

	if (h->now_ms < next_poll_ms(h)) {
		ha_note_deadline(h, next_poll_ms(h));
		return false;
	}
	if (!h->arb.read_busy) {
		ha_arb_read(h);
		moved = true;
	}
	if (active && h->mode != HA_FROZEN && ha_arb_free(h) && !h->arb.error &&
	    h->sw == HA_SW_IDLE && !ha_vote_binds(h) &&
	    (h->commit.lsn != h->arb.floor_sent_lsn ||
	     h->now_ms >= h->arb.floor_ms + HA_FLOOR_MS)) {
		struct ha_effect *fx = ha_emit(h, HA_FX_ARB_FLOOR);

		fx->epoch = h->state.epoch;
		fx->lsn = h->commit.lsn;
		h->arb.floor_ms = h->now_ms;
		h->arb.floor_sent_lsn = h->commit.lsn;
		h->arb.write = HA_WRITE_FLOOR;
		moved = true;
	}
	return moved;
}

bool ha_run_arbiter(struct ha *h)
{
	if (!h->booted)
		return false;
	if (h->arb.read_back && !h->arb.read_busy) {
		if (h->now_ms >= h->arb.retry_ms) {
			h->arb.read_back_ticket = ha_arb_read(h);
			return true;
		}
		ha_note_deadline(h, h->arb.retry_ms);
	}
	if (h->vote_epoch && !ha_vote_binds(h)) {
		h->vote_epoch = 0;
		return true;
	}
	/* T7: the record names a newer epoch than mine, and it was not I who wrote it just now. */
	if (h->role == PR_ROLE_ACTIVE && h->arb.known && h->arb.write != HA_WRITE_CAS &&
	    !(h->arb.outcome == HA_DONE && (h->t4 == HA_T4_CAS || h->sw == HA_SW_CAS)) &&
	    (h->arb.record.epoch > h->state.epoch || h->arb.record.active != h->cfg.node)) {
		ha_die(h,
		       ha_text(h,
			       "the arbiter is in epoch %llu with node %u as active, this controller served epoch %llu",
			       (unsigned long long)h->arb.record.epoch, h->arb.record.active,
			       (unsigned long long)h->state.epoch));
		return false;
	}
	return run_hold(h) || poll(h);
}
