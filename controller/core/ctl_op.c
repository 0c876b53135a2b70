/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Operations: a request, or a job of the controller itself, from its first run to its reply. One that
 * misses a row, may not write now, or waits for a layout parks with a copy of its request and is run
 * anew; each (session, slot, sequence) executes once.
 */
#include <stdio.h>
#include "controller/core/ctl_int.h"

/* ---- parking ---- */

static struct ctl_op *park(struct ctl *c, struct ctl_op *op, struct ctl_link *where)
{
	struct ctl_op *copy = op;

	if (!op->parked) {
		copy = malloc(sizeof(*copy) + op->frame.length);
		ASSERT_MEMORY(copy);
		*copy = *op;
		if (op->frame.length > 0)
			memcpy(copy + 1, op->p, op->frame.length);
		copy->p = (uint8_t *)(copy + 1);
		copy->parked = true;
		copy->since_ms = c->now_ms;
		c->parked++;
	}
	ctl_link_add(where, &copy->link);
	return copy;
}

static void op_free(struct ctl *c, struct ctl_op *op)
{
	if (!op->parked)
		return;
	if (op == c->keeper) {
		c->keeper = NULL;
		rowset_keep_end(c->rows);
	}
	c->parked--;
	free(op->text);
	free(op);
}

static struct ctl_slot *slot_of(struct ctl *c, const struct ctl_op *op)
{
	struct ctl_session *s;

	if (!(op->kind->flags & KIND_STORES) || op->frame.sequence == 0)
		return NULL;
	s = ctl_session_find(c, op->session);
	return s && op->frame.slot < s->slot_count ? &s->slots[op->frame.slot] : NULL;
}

/* From here on a repeat of this request finds it instead of running a second time. */
static void park_in(struct ctl *c, struct ctl_op *op, struct ctl_link *where)
{
	struct ctl_op *copy = park(c, op, where);
	struct ctl_slot *slot = slot_of(c, copy);

	if (slot)
		slot->busy = copy;
}

void ctl_ops_wake(void *user, void *waiter)
{
	struct ctl *c = user;
	struct ctl_op *op = waiter;

	ASSERT(op->missing > 0);
	if (--op->missing > 0)
		return;
	ctl_link_del(&op->link);
	ctl_link_add(&c->ready_ops, &op->link);
}

struct ctl_op *ctl_job(struct ctl *c, const struct ctl_kind *kind, uint16_t volume, uint64_t arg)
{
	struct ctl_op op = {.kind = kind, .volume = volume, .arg = arg};

	return park(c, &op, &c->ready_ops);
}

/* ---- the end of an operation ---- */

static void unbusy(struct ctl *c, struct ctl_op *op)
{
	struct ctl_slot *slot = slot_of(c, op);

	if (slot && slot->busy == op)
		slot->busy = NULL;
}

static void answer(struct ctl *c, struct ctl_op *op, int status, const void *payload, uint32_t len,
		   uint64_t lsn, enum ctl_gate gate)
{
	if (op->conn)
		ctl_reply(c, ctl_conn_find(c, op->conn), &op->frame, status, payload, len, lsn,
			  gate);
}

static void fail(struct ctl *c, struct ctl_op *op, int status, uint64_t lsn, enum ctl_gate gate)
{
	unbusy(c, op);
	if (op->kind->failed)
		op->kind->failed(c, op, status);
	answer(c, op, status, NULL, 0, lsn, gate);
	op_free(c, op);
}

static void not_active(struct ctl *c, struct ctl_op *op)
{
	char address[256];
	struct pr_bytes active;

	ctl_active_address(c, &active);
	pr_bytes_copy(address, sizeof(address), active);
	ctl_why(c, "node %u is %s%s%s", c->cfg.ha.node, pr_role_name(ctl_role(c)),
		address[0] ? "; the active controller is " : "", address);
	fail(c, op, PR_E_NOT_ACTIVE, 0, GATE_FREE);
}

static void abandon_list(struct ctl *c, struct ctl_link *list)
{
	while (!ctl_link_empty(list)) {
		struct ctl_op *op = CTL_OF(struct ctl_op, link, list->next);

		ctl_link_del(&op->link);
		if (op->missing > 0)
			rowset_forget_waiter(c->rows, op);
		not_active(c, op);
	}
}

void ctl_ops_abandon(struct ctl *c)
{
	abandon_list(c, &c->ready_ops);
	abandon_list(c, &c->missing);
	abandon_list(c, &c->blocked);
	abandon_list(c, &c->layout_waits);
	abandon_list(c, &c->space_waits);
	c->reaping = false;
}

static void forget_list(struct ctl *c, struct ctl_link *list, uint64_t session)
{
	for (struct ctl_link *l = list->next, *l_next; l_next = l->next, l != list; l = l_next) {
		struct ctl_op *op = CTL_OF(struct ctl_op, link, l);

		if (op->session != session)
			continue;
		ctl_link_del(l);
		if (op->missing > 0)
			rowset_forget_waiter(c->rows, op);
		unbusy(c, op);
		op_free(c, op);
	}
}

void ctl_ops_forget(struct ctl *c, uint64_t session)
{
	forget_list(c, &c->ready_ops, session);
	forget_list(c, &c->missing, session);
	forget_list(c, &c->blocked, session);
	forget_list(c, &c->layout_waits, session);
	forget_list(c, &c->space_waits, session);
}

/* ---- stored replies ---- */

static void give_stored(struct ctl *c, struct ctl_op *op, const struct pr_row_slot *row,
			uint64_t lsn)
{
	c->count_replayed++;
	c->why[0] = 0;
	if (row->type != op->frame.type) {
		ctl_why(c, "slot %u, sequence %llu was another request", op->frame.slot,
			(unsigned long long)op->frame.sequence);
		fail(c, op, PR_E_STALE_SEQUENCE, lsn, GATE_COMMIT);
		return;
	}
	if (op->kind->again)
		op->kind->again(op, row->reply);
	if (op->kind->done)
		op->kind->done(c, op, NULL, lsn);
	unbusy(c, op);
	answer(c, op, (int)row->status, row->reply.p, row->reply.len, lsn, GATE_COMMIT);
	op_free(c, op);
}

enum slot_verdict { SLOT_RUN, SLOT_DONE, SLOT_MISS };

/* Has this request been executed, is it being executed, or may it run? */
static enum slot_verdict slot_check(struct ctl *c, struct ctl_op *op, struct tx *tx)
{
	struct ctl_slot *slot = slot_of(c, op);
	struct pr_row_slot row;
	int r;

	if (!slot)
		return SLOT_RUN;
	slot->refused = false;
	if (slot->busy && slot->busy != op) {
		if (slot->busy->frame.sequence == op->frame.sequence) {
			/* the same request over another connection: its reply goes there now */
			slot->busy->conn = op->conn;
			op_free(c, op);
		} else {
			ctl_why(c, "slot %u is still at work on sequence %llu", op->frame.slot,
				(unsigned long long)slot->busy->frame.sequence);
			fail(c, op, PR_E_BUSY, 0, GATE_FREE);
		}
		return SLOT_DONE;
	}
	if (op->changed || !ctl_may_be_stored(slot, op->frame.sequence))
		return SLOT_RUN;
	r = tx_get_slot(tx, op->session, op->frame.slot, &row);
	if (r == TX_MISS)
		return SLOT_MISS;
	slot->known = true;
	slot->sequence = r == 0 ? row.sequence : 0;
	if (op->frame.sequence > slot->sequence) {
		tx_begin(tx, c->txp);
		return SLOT_RUN;
	}
	if (op->frame.sequence == slot->sequence) {
		give_stored(c, op, &row, tx->saw_lsn);
	} else {
		c->why[0] = 0;
		fail(c, op, PR_E_STALE_SEQUENCE, tx->saw_lsn, GATE_COMMIT);
	}
	return SLOT_DONE;
}

static void store_reply(struct tx *tx, const struct ctl_op *op, const struct pr_buf *out)
{
	struct pr_row_slot row = {
		.sequence = op->frame.sequence,
		.type = op->frame.type,
		.reply = {.p = out->p, .len = (uint32_t)out->len},
	};

	tx_put_slot(tx, op->session, op->frame.slot, &row);
}

/* ---- one run ---- */

static void finish(struct ctl *c, struct ctl_op *op, uint64_t lsn, const struct pr_buf *out)
{
	struct ctl_slot *slot = slot_of(c, op);
	bool stored = slot && op->changed;

	if (slot && slot->busy == op)
		slot->busy = NULL;
	if (stored)
		slot->sequence = op->frame.sequence;
	if (op->kind->done)
		op->kind->done(c, op, out, lsn);
	answer(c, op, 0, out->p, (uint32_t)out->len, lsn, GATE_COMMIT);
	op_free(c, op);
}

static void keep_inos(struct ctl *c, uint16_t volume, bool keep)
{
	struct ctl_volume *v = ctl_volume_find(c, volume);

	if (v && keep && v->pending_limit > v->ino_limit)
		v->ino_limit = v->pending_limit;
	if (v)
		v->pending_limit = 0;
}

/* 0: it is a record now, or there was nothing to record. */
static int record(struct ctl *c, struct ctl_op *op, struct tx *tx, const struct pr_buf *out,
		  bool last, uint64_t *ret_lsn)
{
	bool stores = last && slot_of(c, op) &&
		      (tx_change_count(tx) > 0 || op->changed || op->kind->type == PR_T_NOOP);
	int r;

	if (stores)
		store_reply(tx, op, out);
	*ret_lsn = tx->saw_lsn;
	if (tx_change_count(tx) == 0)
		return 0;
	r = ctl_batch_add(c, tx, op, ret_lsn);
	if (r == 0)
		op->changed = true;
	return r;
}

static void miss(struct ctl *c, struct ctl_op *op, struct tx *tx)
{
	struct ctl_op *copy = park(c, op, &c->missing);
	struct ctl_slot *slot = slot_of(c, copy);

	if (slot)
		slot->busy = copy;
	copy->missing = tx_want(tx, copy);
	/* Its rows may not all fit, or others may push them out before it has the last one: from now on they stay. */
	if (++copy->misses > CTL_MISSES_MAX && !c->keeper)
		c->keeper = copy;
}

static bool still_to_be_seen(const struct ctl_scan *scan)
{
	return scan->wanted || scan->more || scan->held;
}

static bool waits_for_space(struct ctl *c, struct ctl_op *op, int r)
{
	struct ctl_volume *v = ctl_volume_find(c, op->volume);

	if (r != -ENOSPC || !v || (op->kind->flags & KIND_INTERNAL))
		return false;
	if (op->space_tried && c->now_ms - op->since_ms >= CTL_SPACE_WAIT_MS)
		return false;
	/* the first time: see what rests; again only while something is held back or still to be seen */
	if (op->space_tried && !still_to_be_seen(&v->rest) && !still_to_be_seen(&v->reap) &&
	    !c->reaping)
		return false;
	v->rest.wanted = true;
	v->reap.wanted = true;
	op->space_tried = true;
	return true;
}

static void ran(struct ctl *c, struct ctl_op *op, struct tx *tx, int r, const struct pr_buf *out)
{
	uint64_t lsn;
	int err = 0;

	if (r == 0 || r == NS_AGAIN)
		err = record(c, op, tx, out, r == 0, &lsn);
	keep_inos(c, op->volume, (r == 0 || r == NS_AGAIN) && err == 0);
	if (err == -EAGAIN)
		park_in(c, op, &c->blocked);
	else if (err)
		fail(c, op, err, tx->saw_lsn, GATE_COMMIT);
	else if (r == 0)
		finish(c, op, lsn, out);
	else if (r == NS_AGAIN)
		park_in(c, op, &c->ready_ops);
	else if (r == TX_MISS)
		miss(c, op, tx);
	else if (r == OP_WAIT)
		park_in(c, op, &c->layout_waits);
	else if (waits_for_space(c, op, r))
		park_in(c, op, &c->space_waits);
	else if (r == OP_BAD)
		fail(c, op, -EBADMSG, 0, GATE_FREE);
	else
		fail(c, op, r, tx->saw_lsn, GATE_COMMIT);
}

static int session_check(struct ctl *c, struct ctl_op *op)
{
	struct ctl_session *s;

	if (!(op->kind->flags & KIND_SESSION))
		return 0;
	s = ctl_session_find(c, op->session);
	if (!s || s->fence || s->ending)
		return PR_E_BAD_SESSION;
	op->volume = s->volume;
	if ((op->kind->flags & KIND_STORES) && op->frame.slot >= s->slot_count) {
		ctl_why(c, "slot %u: this session has %u", op->frame.slot, s->slot_count);
		return -EINVAL;
	}
	if ((op->kind->flags & KIND_STORES) && (s->flags & PR_OPEN_READER))
		return -EROFS;
	return 0;
}

static void run(struct ctl *c, struct ctl_op *op)
{
	struct pr_buf out = pr_buf_on(c->reply, PR_PAYLOAD_MAX);
	uint8_t flags = op->kind->flags;
	struct tx tx = {.ctl = c, .session = op->session};
	int err;

	c->why[0] = 0;
	if (!c->serving && !(flags & KIND_BOOT)) {
		not_active(c, op);
		return;
	}
	err = session_check(c, op);
	if (err) {
		fail(c, op, err, c->submitted, GATE_COMMIT);
		return;
	}
	tx.volume = op->volume;
	tx.random = c->random;
	tx.now_ns = c->serving ? ctl_choose_time(c) : 0;
	tx.lsn = c->serving ? ctl_batch_next_lsn(c) : 0;
	tx_begin(&tx, c->txp);
	switch (slot_check(c, op, &tx)) {
	case SLOT_DONE:
		return;
	case SLOT_MISS:
		miss(c, op, &tx);
		return;
	case SLOT_RUN:
		break;
	}
	if ((flags & KIND_MUTATES) && !ctl_can_write(c)) {
		park_in(c, op, &c->blocked);
		return;
	}
	c->count_ops++;
	err = op->kind->run(c, op, &tx, &out);
	ran(c, op, &tx, err, &out);
}

/* op is in no list. It is freed, or in a list, when this returns. */
void ctl_op_run(struct ctl *c, struct ctl_op *op)
{
	if (op == c->keeper)
		rowset_keep(c->rows, true);
	run(c, op);
	rowset_keep(c->rows, false);
}

void ctl_ops_unblock(struct ctl *c)
{
	ctl_link_splice(&c->ready_ops, &c->blocked);
}

void ctl_ops_run(struct ctl *c)
{
	struct ctl_link now;

	if (!ctl_link_empty(&c->blocked) && ctl_can_write(c))
		ctl_ops_unblock(c);
	if (!ctl_link_empty(&c->space_waits) && !c->reaping) {
		/* what rested was looked through: who waited tries again, and is refused when it was no use */
		ctl_link_splice(&c->ready_ops, &c->space_waits);
	}
	ctl_link_init(&now);
	ctl_link_splice(&now, &c->ready_ops);
	while (!ctl_link_empty(&now)) {
		struct ctl_op *op = CTL_OF(struct ctl_op, link, now.next);

		ctl_link_del(&op->link);
		ctl_op_run(c, op);
	}
}

/* ---- frames ---- */

static void refuse(struct ctl *c, struct ctl_conn *conn, const struct pr_frame *f, int status)
{
	ctl_reply(c, conn, f, status, NULL, 0, 0, GATE_FREE);
}

static void too_many(struct ctl *c, struct ctl_conn *conn, const struct ctl_op *op)
{
	struct ctl_slot *slot = slot_of(c, op);

	if (slot && conn->carries && conn->session->id == op->session &&
	    ctl_may_be_stored(slot, op->frame.sequence))
		slot->refused = true;
	refuse(c, conn, &op->frame, PR_E_BUSY);
}

static void request(struct ctl *c, struct ctl_conn *conn, const struct pr_frame *f,
		    const uint8_t *p)
{
	struct ctl_op op = {.kind = ctl_kind_of(f, p),
			    .frame = *f,
			    .p = p,
			    .conn = conn->id,
			    .session = f->session};
	struct ctl_volume *v;

	c->why[0] = 0;
	if (!op.kind) {
		refuse(c, conn, f, -EOPNOTSUPP);
		return;
	}
	if (c->parked >= CTL_OPS_MAX) {
		too_many(c, conn, &op);
		return;
	}
	if (!(op.kind->flags & KIND_SESSION)) {
		if (c->serving && f->epoch < c->serving_epoch)
			return; /* as an old bind */
		op.session = 0;
		v = ctl_volume_by_name(c, conn->volume);
		op.volume = v ? v->id : 0;
	} else if (c->serving && (!conn->session || conn->session->id != f->session)) {
		if (f->epoch < c->serving_epoch)
			return;
		if (f->type == PR_T_SESSION_CLOSE && !ctl_session_find(c, f->session)) {
			ctl_reply(c, conn, f, 0, NULL, 0, c->submitted, GATE_COMMIT);
			return;
		}
		if (ctl_session_find(c, f->session))
			ctl_why(c, "this connection is not bound to session %llu",
				(unsigned long long)f->session);
		ctl_reply(c, conn, f, PR_E_BAD_SESSION, NULL, 0, c->submitted, GATE_COMMIT);
		return;
	} else if (c->serving && (!conn->carries || f->epoch < c->serving_epoch)) {
		/*
		 * Sent before the session was bound here last, and sent again since. A failed request leaves no trace in its
		 * slot, so a late copy of it would be executed as if it were new.
		 */
		return;
	}
	if (conn->session)
		conn->session->lease_ms = c->served_ms + c->cfg.lease_ms;
	ctl_op_run(c, &op);
}

void ctl_frame(struct ctl *c, const struct ctl_event *ev)
{
	struct ctl_conn *conn = ctl_conn_find(c, ev->conn);
	const struct pr_frame *f = ev->frame;

	if (!conn || conn->closing)
		return;
	if (f->type == PR_T_HELLO) {
		ctl_hello(c, conn, f, ev->p);
		return;
	}
	if (!conn->greeted) {
		ctl_why(c, "the first message of a connection is hello");
		refuse(c, conn, f, -EPROTO);
		ctl_conn_close(c, conn);
		return;
	}
	switch (f->type) {
	case PR_T_PING:
		ctl_ping(c, conn, f, ev->p);
		break;
	case PR_T_SESSION_BIND:
		ctl_bind(c, conn, f, ev->p);
		break;
	default:
		request(c, conn, f, ev->p);
	}
}
