/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where the pair core, the journal and the rows meet: what each orders or reports becomes an event of another or an effect. */
#include "controller/core/ctl_int.h"

void ctl_pair_event(struct ctl *c, struct ha_event *e)
{
	e->now_ms = c->now_ms;
	e->random = c->random;
	ha_step(c->ha, e);
	ctl_batch_follow(c);
}

static void die(struct ctl *c, const char *text)
{
	struct ctl_effect *fx = ctl_emit(c, CTL_FX_DIE);

	fx->text = ctl_step_text(c, text ? text : "the pair core ends this process");
	c->dead = true;
}

/* ---- the heartbeat link ---- */

void ctl_pair_link(struct ctl *c, const struct ctl_event *ev)
{
	struct ha_event e = {.conn = ev->conn};

	if (!c->booted)
		return;
	e.type = ev->type == CTL_EV_LINK_UP	? HA_EV_LINK_UP
		 : ev->type == CTL_EV_LINK_DOWN ? HA_EV_LINK_DOWN
						: HA_EV_LINK_MSG;
	if (ev->type == CTL_EV_LINK_FRAME) {
		c->heard_peer_ms = c->now_ms;
		e.msg_type = ev->frame->type;
		e.p = ev->p;
		e.len = ev->frame->length;
	}
	ctl_pair_event(c, &e);
}

static void link_send(struct ctl *c, struct ha_effect *h)
{
	struct ctl_effect *fx = ctl_emit(c, CTL_FX_LINK_SEND);
	uint8_t *p = ctl_step_alloc(c, PR_FRAME_BYTES + h->len);
	struct pr_frame f = {.type = h->msg_type, .epoch = ha_epoch(c->ha), .length = h->len};
	uint32_t crc = pr_crc32c(h->p, h->len);

	if (h->batch) {
		f.length += h->batch->image_bytes;
		crc = pr_crc32c_more(crc, h->batch->image, h->batch->image_bytes);
	}
	pr_frame_encode_crc(p, &f, crc);
	if (h->len > 0)
		memcpy(p + PR_FRAME_BYTES, h->p, h->len);
	fx->conn = h->conn;
	fx->p = p;
	fx->len = PR_FRAME_BYTES + h->len;
	fx->batch = h->batch;
}

/* ---- the journal ---- */

static void append_later(struct ctl *c, struct jr_batch *b)
{
	if (c->append_count == c->append_cap) {
		uint32_t cap = c->append_cap ? c->append_cap * 2 : 32;
		struct jr_batch **q = malloc(cap * sizeof(*q));

		ASSERT_MEMORY(q);
		for (uint32_t i = 0; i < c->append_count; i++)
			q[i] = c->appends[(c->append_first + i) % c->append_cap];
		free(c->appends);
		c->appends = q;
		c->append_first = 0;
		c->append_cap = cap;
	}
	c->appends[(c->append_first + c->append_count++) % c->append_cap] = b;
}

static bool appends_run(struct ctl *c)
{
	bool any = false;

	while (c->append_count > 0) {
		struct jr_batch *b = c->appends[c->append_first];
		int r = jr_append(c->jr, b);

		if (r == -ENOSPC || r == -EBUSY) {
			c->no_room = r == -ENOSPC;
			break;
		}
		ASSERT(r == 0 || r == -EIO);
		c->append_first = (c->append_first + 1) % c->append_cap;
		c->append_count--;
		jr_batch_unref(b);
		any = true;
	}
	return any;
}

static void journal_event(struct ctl *c, struct jr_event *j)
{
	struct ha_event e = {.lsn = j->lsn, .cookie = j->cookie, .error = j->error};

	switch (j->type) {
	case JR_EV_OPENED:
		c->opened = true;
		c->journal_opened = *j;
		ctl_boot_go_on(c);
		return;
	case JR_EV_APPENDED:
		e.type = HA_EV_APPENDED;
		break;
	case JR_EV_FETCHED:
		e.type = HA_EV_FETCHED;
		e.batch = j->batch;
		break;
	case JR_EV_CUT:
		e.type = HA_EV_CUT;
		break;
	case JR_EV_REPAIRED:
		e.type = HA_EV_REPAIRED;
		break;
	case JR_EV_FAILED:
		if (!c->booted) { /* nobody there yet who could persist that it is quarantined */
			die(c, "a write to the journal failed while it was recovered");
			return;
		}
		e.type = HA_EV_APPEND_FAILED;
		e.text = j->why;
		break;
	case JR_EV_DAMAGE:
		ctl_log(c, 3, "journal: damage at LSN %llu, file %u, offset %llu: %s",
			(unsigned long long)j->lsn, j->file, (unsigned long long)j->offset, j->why);
		if (!j->error)
			return;
		e.type = HA_EV_REPAIRED;
		e.error = j->error;
		e.text = j->why;
		break;
	case JR_EV_VERIFIED:
		ctl_log(c, 6, "journal: verified up to LSN %llu", (unsigned long long)j->lsn);
		return;
	}
	if (c->booted)
		ctl_pair_event(c, &e);
	jr_batch_unref(j->batch);
}

/* ---- rows made elsewhere ---- */

static void replay_record(struct ctl *c, struct tx_replay *rp, const struct pr_record *r)
{
	struct pr_list it = r->changes;
	struct pr_change ch;

	while (pr_change_next(&it, &ch)) {
		struct pr_bytes value = ch.value;

		if (ch.op == PR_CHANGE_DELETE)
			value.p = NULL;
		ASSERT(tx_replay(rp, ch.key, value, r->lsn) == 0);
		ctl_derive(c, ch.key, value, r->lsn);
	}
}

static void apply(struct ctl *c, struct jr_batch *b)
{
	struct pr_cur cur = pr_cur_on(b->payload, b->payload_bytes);
	struct tx_replay rp;

	rp.rows = c->rows;
	rp.taken = 0;
	while (cur.left > 0) {
		struct pr_record r;

		ASSERT(pr_record_get(&cur, &r));
		if (r.lsn <= c->applied)
			continue;
		replay_record(c, &rp, &r);
		if (r.time_ns > c->last_ns)
			c->last_ns = r.time_ns;
	}
	tx_replay_end(&rp);
	if (b->last_lsn > c->applied)
		c->applied = b->last_lsn;
	jr_batch_unref(b);
	ctl_flush_maybe_freeze(c, c->applied);
}

/* The standby's rows are bounded as the active's are: what it cannot take in yet stays in the journal. */
static bool apply_pressure(struct ctl *c)
{
	struct ha_event e = {.type = HA_EV_ROWS_FULL};

	e.on = rowset_dirty_bytes(c->rows) >= c->cfg.overlay_bytes;
	if (!c->booted || e.on == c->rows_full)
		return false;
	c->rows_full = e.on;
	ctl_pair_event(c, &e);
	return true;
}

/* ---- roles ---- */

static void serve(struct ctl *c, struct ha_effect *h)
{
	ASSERT(!c->serving);
	c->serving = true;
	c->hold = c->drain = c->drained = false;
	c->applied = h->lsn > c->applied ? h->lsn : c->applied;
	c->submitted = h->lsn;
	if (ha_commit_lsn(c->ha) > c->commit)
		c->commit = ha_commit_lsn(c->ha);
	c->serving_epoch = h->epoch ? h->epoch : ha_epoch(c->ha);
	c->serving_since_ms = c->now_ms;
	c->first_op_ms = 0;
	c->tick_ms = c->now_ms + CTL_TICK_MS;
	c->generation = h->epoch ? h->epoch << 40 : ha_epoch(c->ha) << 40;
	for (struct ctl_volume *v = c->volumes; v; v = v->next) {
		v->next_ino = v->served_ino = v->ino_limit;
		v->pending_limit = 0;
		memset(&v->hint, 0, sizeof(v->hint));
		v->reap = v->rest = (struct ctl_scan){.wanted = true};
	}
	ctl_sessions_serve(c);
}

/* By T8 only: every other end of the active role ends the process. */
void ctl_serve_end(struct ctl *c)
{
	if (!c->serving)
		return;
	ASSERT(c->open_count == 0);
	c->applied = c->submitted > c->applied ? c->submitted : c->applied;
	ctl_replies_free(c);
	c->serving = c->hold = c->drain = c->drained = false;
	ctl_ops_abandon(c);
	for (struct ctl_link *l = c->sessions.next, *l_next; l_next = l->next, l != &c->sessions;
	     l = l_next)
		ctl_session_unbind(c, CTL_OF(struct ctl_session, all, l));
}

static void copy_begin(struct ctl *c)
{
	c->copying = true;
	if (c->flush_out) {
		c->copy_begin_waits = true;
		return;
	}
	ctl_emit(c, CTL_FX_COPY_BEGIN);
}

static void plain(struct ctl *c, struct ha_effect *h, enum ctl_effect_type type)
{
	struct ctl_effect *fx = ctl_emit(c, type);

	fx->conn = h->conn;
	fx->lsn = h->lsn;
	fx->epoch = h->epoch;
	fx->cookie = h->cookie;
	fx->incarnation = h->incarnation;
	fx->ticket = h->ticket;
	fx->expect = h->expect;
	fx->next = h->next;
	fx->error = h->error;
	fx->score = h->score;
	fx->alarm = h->alarm;
	fx->on = h->on;
	fx->text = ctl_step_text(c, h->text);
	if (h->len > 0)
		fx->p = ctl_step_copy(c, h->p, h->len);
	fx->len = h->len;
	if (h->state)
		fx->state = (const void *)ctl_step_copy(c, h->state, sizeof(*h->state));
}

static void order(struct ctl *c, struct ha_effect *h)
{
	switch (h->type) {
	case HA_FX_SEND:
		link_send(c, h);
		break;
	case HA_FX_CLOSE_LINK:
		plain(c, h, CTL_FX_LINK_CLOSE);
		break;
	case HA_FX_APPEND:
		append_later(c, h->batch);
		break;
	case HA_FX_COMMITTED:
		if (h->lsn > c->commit)
			c->commit = h->lsn;
		ctl_replies_committed(c);
		break;
	case HA_FX_APPLY:
		apply(c, h->batch);
		break;
	case HA_FX_FETCH:
		jr_fetch(c->jr, h->lsn, h->cookie);
		break;
	case HA_FX_CUT:
		jr_cut(c->jr, h->lsn);
		break;
	case HA_FX_REPAIR:
		jr_repair(c->jr, h->batch);
		jr_batch_unref(h->batch);
		break;
	case HA_FX_RESET:
		jr_reset(c->jr, h->common_lsn, h->lsn, h->epoch, &h->hash);
		break;
	case HA_FX_SAVE_STATE:
		plain(c, h, CTL_FX_SAVE_STATE);
		break;
	case HA_FX_ARB_READ:
		plain(c, h, CTL_FX_ARB_READ);
		break;
	case HA_FX_ARB_CAS:
		plain(c, h, CTL_FX_ARB_CAS);
		break;
	case HA_FX_ARB_FLOOR:
		plain(c, h, CTL_FX_ARB_FLOOR);
		break;
	case HA_FX_ASK_FENCE:
		plain(c, h, CTL_FX_ASK_FENCE);
		break;
	case HA_FX_PREEMPT:
		plain(c, h, CTL_FX_PREEMPT);
		break;
	case HA_FX_SCORE:
		plain(c, h, CTL_FX_SCORE);
		break;
	case HA_FX_ORDER_RESULT:
		if (h->ticket & CTL_ADMIN_TICKET)
			ctl_admin_order(c, h->ticket, h->error, h->text);
		else
			plain(c, h, CTL_FX_ORDER_RESULT);
		break;
	case HA_FX_SERVE:
		serve(c, h);
		break;
	case HA_FX_HOLD:
		c->hold = true;
		break;
	case HA_FX_RESUME:
		c->hold = false;
		ctl_ops_unblock(c);
		ctl_replies_committed(c);
		break;
	case HA_FX_DRAIN:
		c->drain = true;
		c->drained = false;
		break;
	case HA_FX_UNDRAIN:
		c->drain = c->drained = false;
		ctl_ops_unblock(c);
		break;
	case HA_FX_STANDBY:
		ctl_serve_end(c);
		break;
	case HA_FX_ROWS_READ:
		plain(c, h, CTL_FX_COPY_READ);
		break;
	case HA_FX_ROWS_BEGIN:
		copy_begin(c);
		break;
	case HA_FX_ROWS_PUT:
		plain(c, h, CTL_FX_COPY_PUT);
		break;
	case HA_FX_ROWS_END:
		c->copy_end = true;
		c->store_lsn = c->applied = c->flushed = h->lsn;
		plain(c, h, CTL_FX_COPY_END);
		break;
	case HA_FX_ROWS_KEEP:
		plain(c, h, CTL_FX_COPY_KEEP);
		break;
	case HA_FX_TIMER:
		c->ha_timer_ms = h->at_ms;
		break;
	case HA_FX_ALARM:
		plain(c, h, CTL_FX_ALARM);
		break;
	case HA_FX_DIE:
		die(c, h->text);
		break;
	}
}

bool ctl_pair_run(struct ctl *c)
{
	struct ha_effect h;
	struct jr_event j;
	struct jr_io io;
	bool any = false, more;

	do {
		more = appends_run(c);
		while (!c->dead && jr_next_event(c->jr, &j)) {
			journal_event(c, &j);
			more = true;
		}
		while (!c->dead && c->booted && ha_next(c->ha, &h)) {
			order(c, &h);
			more = true;
		}
		if (!c->dead)
			more |= apply_pressure(c);
		any |= more;
	} while (more && !c->dead);
	while (!c->dead && jr_next_io(c->jr, &io))
		ctl_emit(c, CTL_FX_JOURNAL_IO)->io = io;
	return any;
}
