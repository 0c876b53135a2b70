/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What goes to and from the store: flushes at batch boundaries once they are committed, the journal
 * released behind them, fetches of what is missing, and the reaping of what is no longer used.
 */
#include "controller/core/ctl_int.h"

enum { REAP_STEPS = 16 };

/* ---- flush ---- */

/* A journal of records without rows, of epochs and handovers, is released by a flush that writes no more than its LSN. */
bool ctl_flush_wanted(const struct ctl *c)
{
	size_t live = rowset_live_bytes(c->rows);
	bool tight = c->no_room || jr_used_bytes(c->jr) > jr_size_bytes(c->jr) / 2;

	if (c->copying || !rowset_can_freeze(c->rows))
		return false;
	return tight ||
	       (live > 0 && (live >= c->cfg.overlay_bytes / 2 || c->now_ms >= c->flush_due_ms));
}

/* boundary: every change up to and with it is in the rows, none after it. */
void ctl_flush_maybe_freeze(struct ctl *c, uint64_t boundary)
{
	if (c->flush || c->open_count > 0 || boundary <= c->flushed || !ctl_flush_wanted(c))
		return;
	c->flush = rowset_freeze(c->rows);
	c->flush_lsn = boundary;
	c->flush_out = false;
}

static void release(struct ctl *c)
{
	uint64_t keep = ha_keep_lsn(c->ha);
	uint64_t upto = c->flushed < keep ? c->flushed : keep;

	if (upto <= c->released)
		return;
	c->released = upto;
	jr_release(c->jr, upto);
	c->no_room = false;
}

void ctl_flush_step(struct ctl *c)
{
	struct ctl_effect *fx;

	if (!c->booted)
		return;
	if (!c->flush && c->open_count == 0)
		ctl_flush_maybe_freeze(c, c->serving ? ha_next_lsn(c->ha) - 1 : c->applied);
	if (c->flush && !c->flush_out && !c->copying && ha_commit_lsn(c->ha) >= c->flush_lsn) {
		c->flush_out = true;
		fx = ctl_emit(c, CTL_FX_FLUSH);
		fx->flush = c->flush;
		fx->lsn = c->flush_lsn;
	}
	release(c);
}

void ctl_flushed(struct ctl *c, uint64_t lsn, int error)
{
	struct ha_event e = {.type = HA_EV_STORE_FLUSHED, .lsn = c->flush_lsn};

	ASSERT(c->flush && c->flush_out);
	if (error) {
		struct ctl_effect *fx = ctl_emit(c, CTL_FX_DIE);

		fx->text = "the store could not be written";
		c->dead = true;
		return;
	}
	rowset_flushed(c->rows);
	c->flush = NULL;
	c->flush_out = false;
	c->flush_due_ms = c->now_ms + c->cfg.flush_ms;
	if (c->copy_begin_waits) {
		c->copy_begin_waits = false;
		ctl_emit(c, CTL_FX_COPY_BEGIN);
		return;
	}
	c->flushed = e.lsn;
	ctl_pair_event(c, &e);
}

/* ---- fetches ---- */

void ctl_fetches(struct ctl *c)
{
	const struct rowset_fetch *f;

	while ((f = rowset_next_fetch(c->rows))) {
		struct ctl_effect *fx = ctl_emit(c, CTL_FX_FETCH);

		fx->ticket = f->ticket;
		fx->fetch.kind = f->kind == ROWSET_FETCH_ONE	? CTL_FETCH_ONE
				 : f->kind == ROWSET_FETCH_FROM ? CTL_FETCH_FROM
								: CTL_FETCH_BEFORE;
		fx->fetch.key = f->key;
		fx->fetch.prefix_len = f->prefix_len;
		fx->fetch.rows_max = f->rows_max;
		c->count_misses++;
	}
}

void ctl_rows(struct ctl *c, const struct ctl_event *ev)
{
	struct rowset_row *rows;

	if (ev->error) {
		struct ctl_effect *fx = ctl_emit(c, CTL_FX_DIE);

		fx->text = "the store could not be read";
		c->dead = true;
		return;
	}
	rows = ctl_step_alloc(c, (ev->row_count + 1) * sizeof(*rows));
	for (uint32_t i = 0; i < ev->row_count; i++)
		rows[i] = (struct rowset_row){.key = ev->rows[i].key.b,
					      .key_len = ev->rows[i].key.len,
					      .value = ev->rows[i].value,
					      .bytes = ev->rows[i].bytes};
	rowset_fetched(c->rows, ev->ticket, rows, ev->row_count, ev->complete, ctl_ops_wake, c);
}

/* ---- reaping ---- */

/* A step that did not become a record, since the batch was full, is taken again from where it began. */
static void begin_step(struct ctl *c, struct ctl_op *op)
{
	struct ctl_volume *v = ctl_volume_find(c, op->volume);
	struct ns_hint *hint = &v->hint, *before = &v->hint_before;

	if (op->stepped) {
		hint->orphan = before->orphan;
		hint->rest = before->rest;
		ns_hint_orphan(hint, before->no_orphan_below);
	}
	op->stepped = true;
	*before = *hint;
}

int run_reap(struct ctl *c, struct ctl_op *op, struct tx *tx, struct pr_buf *out)
{
	int r;

	begin_step(c, op);
	r = ns_reap_step(tx, &c->gate);

	op->arg = r > 0;
	return r > 0 ? 0 : r;
}

int run_rest(struct ctl *c, struct ctl_op *op, struct tx *tx, struct pr_buf *out)
{
	int r;

	begin_step(c, op);
	r = ns_rest_step(tx, &c->gate);
	op->arg = r > 0;
	return r > 0 ? 0 : r;
}

static bool anybody_waits(const struct ctl *c)
{
	return !ctl_link_empty(&c->blocked) || c->open_count > 0;
}

/* What is wanted while a scan is under way may be of what that has passed. */
static bool next_step(struct ctl_scan *scan)
{
	if (!scan->more && !scan->wanted)
		return false;
	if (!scan->more)
		scan->wanted = scan->held = false;
	scan->more = false;
	return true;
}

/* In turns: one may be wanted again and again while it goes on. */
static const struct ctl_kind *next_job(struct ctl_volume *v)
{
	for (int i = 0; i < 2; i++) {
		bool rest = v->rest_next;

		v->rest_next = !rest;
		if (next_step(rest ? &v->rest : &v->reap))
			return rest ? &ctl_kind_rest : &ctl_kind_reap;
	}
	return NULL;
}

/* Only while nothing more urgent is to be written, unless somebody is short of space. */
static bool may_reap_now(struct ctl *c)
{
	if (!c->serving || c->reaping || !ctl_can_write(c) || c->unbound > 0)
		return false;
	return !ctl_link_empty(&c->space_waits) || !anybody_waits(c);
}

static struct ctl_volume *volume_after(const struct ctl *c, const struct ctl_volume *v)
{
	return v->next ? v->next : c->volumes;
}

/* The volumes take turns, until none since idle wants anything. */
void ctl_background(struct ctl *c)
{
	struct ctl_volume *v = c->reap_turn ? c->reap_turn : c->volumes, *idle = NULL;

	for (int steps = 0; v && v != idle && steps < REAP_STEPS && may_reap_now(c);
	     v = volume_after(c, v)) {
		const struct ctl_kind *kind = next_job(v);

		if (!kind) {
			idle = idle ? idle : v;
			continue;
		}
		idle = NULL;
		c->reaping = true;
		ctl_job(c, kind, v->id, 0);
		ctl_ops_run(c);
		steps++;
	}
	c->reap_turn = v;
}
