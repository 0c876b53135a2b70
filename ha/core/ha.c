/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One event in: facts are noted, then every procedure runs until none moves. Effects out, in order. And the views. */
#include "ha/core/ha_core.h"

/* ---- effects ---- */

void *ha_alloc(struct ha *h, size_t bytes)
{
	struct ha_mem *m = malloc(sizeof(*m) + bytes);

	ASSERT_MEMORY(m);
	m->next = h->mem;
	h->mem = m;
	return m + 1;
}

static void free_mem(struct ha *h)
{
	while (h->mem) {
		struct ha_mem *next = h->mem->next;

		free(h->mem);
		h->mem = next;
	}
}

struct ha_effect *ha_emit(struct ha *h, enum ha_effect_type type)
{
	struct ha_effect *fx;

	ASSERT(h->fx_count < HA_FX_MAX);
	fx = &h->fx[(h->fx_head + h->fx_count++) % HA_FX_MAX];
	memset(fx, 0, sizeof(*fx));
	fx->type = type;
	return fx;
}

bool ha_next(struct ha *h, struct ha_effect *ret)
{
	if (!h->fx_count)
		return false;
	*ret = h->fx[h->fx_head];
	h->fx_head = (h->fx_head + 1) % HA_FX_MAX;
	h->fx_count--;
	return true;
}

const char *ha_text(struct ha *h, const char *format, ...)
{
	char *text = ha_alloc(h, 512);
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, 512, format, ap);
	va_end(ap);
	return text;
}

void ha_alarm(struct ha *h, enum ha_alarm alarm, bool on)
{
	struct ha_effect *fx;

	if (!!(h->alarms & (1u << alarm)) == on)
		return;
	h->alarms ^= 1u << alarm;
	fx = ha_emit(h, HA_FX_ALARM);
	fx->alarm = alarm;
	fx->on = on;
	fx->text = ha_alarm_text(alarm);
}

void ha_die(struct ha *h, const char *text)
{
	if (h->dead)
		return;
	h->dead = true;
	h->role = PR_ROLE_STOPPED;
	ha_emit(h, HA_FX_DIE)->text = text;
}

void ha_result(struct ha *h, uint64_t ticket, int error, const char *text)
{
	struct ha_effect *fx = ha_emit(h, HA_FX_ORDER_RESULT);

	fx->ticket = ticket;
	fx->error = error;
	fx->text = text;
}

void ha_fetch(struct ha *h, enum ha_fetch kind, uint64_t lsn)
{
	struct ha_effect *fx = ha_emit(h, HA_FX_FETCH);

	h->fetch[kind].busy = true;
	h->fetch[kind].lsn = lsn;
	h->fetch[kind].number++;
	fx->lsn = lsn;
	fx->cookie = (uint64_t)kind << 56 | h->fetch[kind].number;
}

void ha_append(struct ha *h, struct jr_batch *b)
{
	ha_emit(h, HA_FX_APPEND)->batch = jr_batch_ref(b);
}

void ha_damaged(struct ha *h, const char *why)
{
	snprintf(h->damage_text, sizeof(h->damage_text), "%s", why);
	h->damage = h->damage_text;
	ha_alarm(h, HA_ALARM_JOURNAL, true);
}

void ha_note_deadline(struct ha *h, uint64_t at_ms)
{
	h->deadline_ms = ha_min(h->deadline_ms, at_ms);
}

static void serve(struct ha *h)
{
	h->served = true;
	h->held = false;
	h->st.promotion.serving_ms = h->now_ms;
	ha_emit(h, HA_FX_SERVE)->lsn = h->tail.lsn;
	if (!h->p_ordered)
		return;
	h->p_ordered = false;
	ha_result(h, h->p_ticket, 0, "active");
}

void ha_set_mode(struct ha *h, enum ha_mode mode)
{
	if (h->mode == mode)
		return;
	h->mode = mode;
	ha_alarm(h, HA_ALARM_FROZEN, mode == HA_FROZEN);
	if (mode != HA_FROZEN)
		ha_alarm(h, HA_ALARM_ALONE, mode == HA_ALONE);
	if (mode == HA_FROZEN) {
		h->frozen_ms = h->now_ms;
		h->held = h->served;
		if (h->served)
			ha_emit(h, HA_FX_HOLD);
	} else if (!h->served) {
		serve(h);
	} else if (h->held) {
		h->held = false;
		ha_emit(h, HA_FX_RESUME);
	}
}

/* ---- facts ---- */

static void boot_journal(struct ha *h, const struct jr_event *o)
{
	switch (o->verdict) {
	case JR_CLEAN:
	case JR_EMPTY:
	case JR_TORN:
		break;
	case JR_REPAIR:
		h->repair.on = true;
		h->repair.lsn = o->damaged_first;
		h->repair.last = o->damaged_last;
		ha_alarm(h, HA_ALARM_JOURNAL, true);
		break;
	case JR_HALT:
		ha_damaged(h, ha_text(h, "the journal is damaged: %.100s", o->why));
		break;
	case JR_FOREIGN:
		ha_die(h,
		       ha_text(h,
			       "%.150s: correct the configuration, or move the journal, state and store away for a full copy",
			       o->why));
		return;
	}
	h->first_lsn = o->first_lsn;
	h->missing_lsn = o->missing_lsn;
	h->missing_epoch = h->state.log_epoch;
	h->tail = (struct ha_mark){o->tail_lsn, o->tail_hash};
	h->durable_lsn = o->tail_lsn;
	h->commit.lsn = ha_min(ha_max(o->commit_lsn, h->store_lsn), o->tail_lsn);
}

static void boot(struct ha *h, const struct ha_event *e)
{
	ASSERT(!h->booted && e->opened);
	h->incarnation = e->incarnation;
	h->store_lsn = h->applied_lsn = e->store_lsn;
	if (e->error == 0) {
		h->state = *e->state;
	} else if (e->error == -ENOENT) {
		memcpy(h->state.cluster, h->cfg.cluster, 16);
		h->state.node = h->cfg.node;
	} else {
		ha_die(h,
		       "fewer than two of the four copies of the pair's state agree: restore one, or clear this directory for a full copy");
		return;
	}
	if (memcmp(h->state.cluster, h->cfg.cluster, 16) != 0 || h->state.node != h->cfg.node) {
		ha_die(h, "the state of the pair belongs to another cluster or node");
		return;
	}
	h->saved_seq = h->state.seq;
	h->role = PR_ROLE_STANDBY;
	h->mode = HA_FROZEN;
	boot_journal(h, e->opened);
	if (h->store_lsn > h->tail.lsn || h->store_lsn + 1 < h->first_lsn)
		ha_damaged(h,
			   ha_text(h, "the rows stand at LSN %llu, the journal holds %llu to %llu",
				   (unsigned long long)h->store_lsn,
				   (unsigned long long)h->first_lsn,
				   (unsigned long long)h->tail.lsn));
	ha_alarm(h, HA_ALARM_QUARANTINED, h->state.dstate == HA_QUARANTINED);
	h->booted = true;
	ha_arb_read(h);
	if (h->conn)
		ha_send_hello(h);
}

static void peer_fact(struct ha *h, const struct ha_event *e)
{
	h->quorate = e->quorate;
	if (e->incarnation < h->peer.incarnation)
		return;
	if (e->incarnation > h->peer.incarnation)
		h->promise_epoch = 0;
	h->peer.incarnation = e->incarnation;
	h->peer.known = true;
	h->peer.process_up = e->process_up;
	h->peer.node_up = e->node_up;
	if (e->node_up)
		h->peer.lost_ms = 0;
	else if (!h->peer.lost_ms)
		h->peer.lost_ms = h->now_ms;
	if (e->node_up && e->process_up)
		h->fence_failed = false;
	if (!e->process_up || !e->node_up)
		ha_link_close(h);
}

static void fence_fact(struct ha *h, const struct ha_event *e)
{
	h->fence_failed = e->error != 0;
	snprintf(h->fence_why, sizeof(h->fence_why), "%s", e->error && e->text ? e->text : "");
	if (!e->error) {
		h->fence_incarnation =
			h->fence_ok ? ha_max(h->fence_incarnation, e->incarnation) : e->incarnation;
		h->fence_ok = true;
	}
	if (ha_peer_fenced(h))
		ha_link_close(h);
}

static void appended(struct ha *h, uint64_t lsn)
{
	ASSERT(lsn <= h->tail.lsn);
	h->durable_lsn = ha_max(h->durable_lsn, lsn);
}

static void cut_done(struct ha *h)
{
	if (!h->cut_busy)
		return;
	h->cut_busy = false;
	h->tail = h->cut;
	h->durable_lsn = h->cut.lsn;
	h->commit.lsn = ha_min(h->commit.lsn, h->cut.lsn);
}

/*
 * What is damaged here may never have been the pair's: a tail that the peer went on without. Then no batch of the peer's mends it, and
 * only a full copy helps.
 */
static void repair_refused(struct ha *h, const char *why)
{
	h->repair.on = false;
	ha_damaged(h, ha_text(h, "LSN %llu is damaged here, and the peer cannot mend it: %.80s",
			      (unsigned long long)h->repair.lsn, why));
}

static void repaired(struct ha *h, const struct ha_event *e)
{
	if (!h->repair.on)
		return;
	h->repair.busy = false;
	if (e->error) {
		repair_refused(h, e->text);
		return;
	}
	h->repair.lsn = ha_max(h->repair.lsn, e->lsn) + 1;
	if (h->repair.lsn <= h->repair.last)
		return;
	h->repair.on = false;
	ha_alarm(h, HA_ALARM_JOURNAL, false);
}

/* T7: a storage error is never retried. QUARANTINED is persisted first if it can be. */
static void quarantine(struct ha *h)
{
	if (h->quarantine_ms)
		return;
	h->quarantine_ms = h->now_ms + HA_QUARANTINE_WAIT_MS;
	h->state.dstate = HA_QUARANTINED;
	h->mode = HA_FROZEN;
	ha_save(h);
}

static bool still_dying(struct ha *h, const struct ha_event *e)
{
	if (!h->quarantine_ms)
		return false;
	if (e->type == HA_EV_STATE_SAVED)
		ha_state_saved(h, e->error);
	if (ha_saved(h) || h->now_ms >= h->quarantine_ms)
		ha_die(h, "a write to the journal failed");
	ha_note_deadline(h, h->quarantine_ms);
	return true;
}

static void take_event(struct ha *h, const struct ha_event *e)
{
	switch (e->type) {
	case HA_EV_BOOT:
		boot(h, e);
		break;
	case HA_EV_TIMER:
		break;
	case HA_EV_LINK_UP:
	case HA_EV_LINK_DOWN:
	case HA_EV_LINK_MSG:
	case HA_EV_FETCHED:
		ha_link_event(h, e);
		break;
	case HA_EV_SUBMIT:
		ha_on_submit(h, e->batch);
		break;
	case HA_EV_APPENDED:
		appended(h, e->lsn);
		break;
	case HA_EV_APPEND_FAILED:
		quarantine(h);
		break;
	case HA_EV_CUT:
		cut_done(h);
		break;
	case HA_EV_REPAIRED:
		repaired(h, e);
		break;
	case HA_EV_STATE_SAVED:
		ha_state_saved(h, e->error);
		break;
	case HA_EV_ARB_READ:
	case HA_EV_ARB_CAS:
	case HA_EV_ARB_FLOOR:
		ha_arb_event(h, e);
		break;
	case HA_EV_PEER:
		peer_fact(h, e);
		break;
	case HA_EV_FENCE:
		fence_fact(h, e);
		break;
	case HA_EV_PREEMPTED:
		h->preempt_done = true;
		h->preempt_error = e->error;
		break;
	case HA_EV_PROMOTE:
	case HA_EV_OVERRIDE:
		ha_on_promote(h, e->ticket, e->type == HA_EV_OVERRIDE);
		break;
	case HA_EV_DEMOTE:
	case HA_EV_SWITCHOVER:
		ha_on_switchover(h, e->ticket, e->type == HA_EV_DEMOTE);
		break;
	case HA_EV_DRAINED:
		h->drained = true;
		break;
	case HA_EV_STORE_FLUSHED:
		h->store_lsn = ha_max(h->store_lsn, e->lsn);
		break;
	case HA_EV_ROWS_FULL:
		h->rows_full = e->on;
		break;
	case HA_EV_ROWS:
		ha_on_rows(h, e);
		break;
	case HA_EV_ROWS_APPLIED:
		ha_on_rows_applied(h, e->error);
		break;
	}
}

/* A lost node that nobody fences, or is asked to fence: without its proof this controller waits, and must not wait in silence. */
static void watch_fence(struct ha *h)
{
	uint64_t due = h->peer.lost_ms + HA_FENCE_ALARM_MS;
	bool waits = h->peer.lost_ms && h->peer.incarnation && !ha_peer_fenced(h);

	if (waits && h->now_ms < due)
		ha_note_deadline(h, due);
	ha_alarm(h, HA_ALARM_FENCE, h->fence_failed || (waits && h->now_ms >= due));
}

static void run(struct ha *h)
{
	bool moved;

	do {
		h->deadline_ms = UINT64_MAX;
		moved = ha_run_arbiter(h);
		moved |= ha_run_link(h);
		moved |= ha_run_standby(h);
		moved |= ha_run_apply(h);
		moved |= ha_run_promote(h);
		moved |= ha_run_switch(h);
		moved |= ha_run_resync(h);
		moved |= ha_run_active(h);
	} while (moved && !h->dead && h->fx_count < HA_FX_MAX / 2);
	if (!h->dead)
		watch_fence(h);
}

void ha_step(struct ha *h, const struct ha_event *e)
{
	if (!h->fx_count)
		free_mem(h);
	if (h->dead)
		return;
	h->now_ms = ha_max(h->now_ms, e->now_ms);
	h->deadline_ms = UINT64_MAX;
	if (!still_dying(h, e)) {
		take_event(h, e);
		if (h->booted && !h->dead && !h->quarantine_ms) {
			run(h);
			ha_score(h);
		}
	}
	if (h->dead || h->deadline_ms == h->timer_ms || h->deadline_ms == UINT64_MAX)
		return;
	h->timer_ms = h->deadline_ms;
	ha_emit(h, HA_FX_TIMER)->at_ms = h->deadline_ms;
}

/* ---- life ---- */

int ha_config_check(const struct ha_config *c, struct ha_timing *ret, char ret_why[160])
{
	uint64_t lease = c->lease_ms + ((uint64_t)c->lease_ms * c->drift_ppm + 999999) / 1000000;
	struct ha_timing t = {
		.noticed_ms = c->link_dead_ms + c->beat_ms,
		.silent_ms = (uint32_t)lease,
		/* The last heartbeat is answered at the latest when the session ends, and from there the wait runs. */
		.successor_ms = c->fabric_fencing ? c->takeover_wait_ms : 0,
	};
	const char *why = NULL;

	if (c->node < 1 || c->node > 2)
		why = "node must be 1 or 2";
	else if (c->in_flight < 1 || c->in_flight > 8)
		why = "in_flight must be 1 to 8";
	else if (c->beat_ms < 1 || c->lease_ms < 3 * c->beat_ms)
		why = "lease_ms must be three heartbeats or more: one lost heartbeat must not stop replies";
	else if (c->link_dead_ms < 3 * c->beat_ms)
		why = "link_dead_ms must be three heartbeats or more";
	else if (c->drop_ms < c->link_dead_ms)
		why = "drop_ms must not be shorter than link_dead_ms: a slow disk is not a dead link";
	else if (c->drift_ppm > 100000)
		why = "drift_ppm above 100000: no clock is that bad";
	else if (c->fabric_fencing && c->takeover_wait_ms <= lease)
		why = "takeover_wait_ms must exceed lease_ms with drift: a lost active could still answer when its successor begins";
	if (ret)
		*ret = t;
	if (why && ret_why)
		snprintf(ret_why, 160, "%s", why);
	return why ? -EINVAL : 0;
}

struct ha *ha_new(const struct ha_config *c)
{
	struct ha_timing timing;
	struct ha *h;

	if (ha_config_check(c, &timing, NULL) < 0)
		return NULL;
	h = calloc(1, sizeof(*h));
	if (!h)
		return NULL;
	h->cfg = *c;
	h->timing = timing;
	h->role = PR_ROLE_STARTING;
	h->mode = HA_FROZEN;
	h->score_said = -1;
	return h;
}

void ha_free(struct ha *h)
{
	struct ha_effect fx;

	if (!h)
		return;
	while (ha_next(h, &fx))
		jr_batch_unref(fx.batch);
	while (h->flights)
		jr_batch_unref(h->flight[--h->flights].batch);
	while (h->receiveds)
		jr_batch_unref(h->received[--h->receiveds]);
	free(h->re.rows_p);
	free_mem(h);
	free(h);
}

/* ---- views ---- */

const char *ha_alarm_name(unsigned alarm)
{
	static const char *const names[] = {
#define HA_ALARM(id, text) [HA_ALARM_##id] = #id,
		HA_ALARMS
#undef HA_ALARM
	};

	return alarm < HA_ALARM_COUNT ? names[alarm] : "?";
}

const char *ha_alarm_text(unsigned alarm)
{
	static const char *const texts[] = {
#define HA_ALARM(id, text) [HA_ALARM_##id] = text,
		HA_ALARMS
#undef HA_ALARM
	};

	return alarm < HA_ALARM_COUNT ? texts[alarm] : "?";
}

const char *ha_mode_name(unsigned mode)
{
	static const char *const names[] = {
		[HA_SYNC] = "SYNC", [HA_FROZEN] = "FROZEN", [HA_ALONE] = "ALONE"};

	return mode <= HA_ALONE ? names[mode] : "?";
}

const char *ha_dstate_name(unsigned dstate)
{
	static const char *const names[] = {
		[HA_NEW] = "NEW",	    [HA_INSYNC] = "INSYNC",
		[HA_OUTDATED] = "OUTDATED", [HA_SYNCTARGET] = "SYNCTARGET",
		[HA_DALONE] = "ALONE",	    [HA_QUARANTINED] = "QUARANTINED",
	};

	return dstate <= HA_QUARANTINED ? names[dstate] : "?";
}

enum pr_role ha_role(const struct ha *h)
{
	return h->role;
}

enum ha_mode ha_mode(const struct ha *h)
{
	return h->mode;
}

enum ha_dstate ha_dstate(const struct ha *h)
{
	return h->state.dstate;
}

uint64_t ha_epoch(const struct ha *h)
{
	return h->state.epoch;
}

uint64_t ha_next_lsn(const struct ha *h)
{
	return h->tail.lsn + 1;
}

uint64_t ha_commit_lsn(const struct ha *h)
{
	return h->commit.lsn;
}

struct pr_hash ha_tail_hash(const struct ha *h)
{
	return h->tail.hash;
}

bool ha_can_submit(const struct ha *h)
{
	return h->role == PR_ROLE_ACTIVE && h->served && h->mode != HA_FROZEN &&
	       h->flights < (ha_resync_near(h) ? 1 : h->cfg.in_flight) && !h->quarantine_ms &&
	       (h->sw == HA_SW_IDLE || (h->sw == HA_SW_DRAIN && !h->drained));
}

unsigned ha_batches_in_flight(const struct ha *h)
{
	return h->role == PR_ROLE_ACTIVE ? h->flights : 0;
}

bool ha_may_reply(const struct ha *h, uint64_t now_ms)
{
	if (h->role != PR_ROLE_ACTIVE || !h->served || h->quarantine_ms || h->mode == HA_FROZEN)
		return false;
	if (h->mode == HA_ALONE && h->rs != HA_RS_CAS)
		return true;
	return now_ms < h->lease_end_ms;
}

uint64_t ha_keep_lsn(const struct ha *h)
{
	if (h->role != PR_ROLE_ACTIVE || h->rs == HA_RS_IDLE)
		return UINT64_MAX;
	if (h->rs < HA_RS_OPENING)
		return h->rs >= HA_RS_ROWS_FIRST ? h->re.rows_lsn : h->re.mark.lsn;
	return h->s.acked_lsn;
}

static void resync_status(const struct ha *h, struct ha_status *ret)
{
	uint64_t elapsed = h->now_ms - h->re.started_ms, done, total;

	ret->resync_percent = -1;
	if (h->role != PR_ROLE_ACTIVE || h->rs == HA_RS_IDLE)
		return;
	ret->resync_percent = 0;
	ret->resync_done_bytes = h->re.done_bytes;
	ret->resync_total_bytes = ha_max(h->re.total_bytes, h->re.done_bytes);
	if (h->rs < HA_RS_ROWS)
		return;
	done = h->rs == HA_RS_ROWS ? h->re.done_bytes : h->s.acked_lsn - h->s.base_lsn;
	total = h->rs == HA_RS_ROWS ? ret->resync_total_bytes
				    : ha_max(h->re.goal_lsn, h->s.acked_lsn) - h->s.base_lsn;
	if (h->rs >= HA_RS_STREAM && done) {
		ret->resync_done_bytes = h->re.streamed_bytes;
		ret->resync_total_bytes =
			(uint64_t)((double)h->re.streamed_bytes / (double)done * (double)total);
	}
	ret->resync_percent = total ? (int)(done * 100 / total) : 100;
	ret->resync_eta_ms = done ? (uint64_t)((double)elapsed / (double)done *
					       (double)(total - ha_min(done, total)))
				  : 0;
}

void ha_get_status(const struct ha *h, struct ha_status *ret)
{
	*ret = h->st;
	ret->role = h->role;
	ret->mode = h->mode;
	ret->dstate = h->state.dstate;
	ret->epoch = h->state.epoch;
	ret->tail_lsn = h->tail.lsn;
	ret->commit_lsn = h->commit.lsn;
	ret->peer_acked_lsn = h->s.acked_lsn;
	ret->peer_incarnation = h->peer.incarnation;
	ret->members = h->arb.record.members;
	ret->arbiter_active = h->arb.record.active;
	ret->arbiter_seq = h->arb.record.seq;
	ret->link_up = h->conn != 0;
	ret->peer_insync = h->role == PR_ROLE_ACTIVE && h->mode == HA_SYNC;
	ret->alone_since_ms =
		h->role == PR_ROLE_ACTIVE && h->mode == HA_ALONE ? h->alone_since_ms : 0;
	ret->alone_ops = ret->alone_since_ms ? h->commit.lsn - h->alone_lsn : 0;
	ret->alarms = h->alarms;
	resync_status(h, ret);
}
