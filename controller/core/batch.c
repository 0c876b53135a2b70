/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Group commit. Records gather in the open batch, applied to the rows as they come. It is closed at
 * once when nothing is on its way, else when a quarter of the requests that wait are in it: fewer and
 * larger batches are what makes many clients fast, and one client never waits for company.
 */
#include "controller/core/ctl_int.h"

static uint32_t image_bytes(uint32_t payload)
{
	return payload + payload / 32 + 2 * JR_PAGE_BYTES;
}

bool ctl_can_write(struct ctl *c)
{
	if (!c->serving || c->hold || c->drain || c->batch_full)
		return false;
	if (rowset_dirty_bytes(c->rows) >= c->cfg.overlay_bytes)
		return false;
	/* Begun only with room for all of it, so that the journal can always take what is open. */
	c->no_room = c->open_count == 0 && !jr_has_room(c->jr, image_bytes(c->cfg.batch_bytes_max));
	return !c->no_room;
}

uint64_t ctl_batch_next_lsn(const struct ctl *c)
{
	return c->open_count > 0 ? c->open_first + c->open_count : ha_next_lsn(c->ha);
}

static void note_time(struct ctl *c, struct tx *tx)
{
	struct pr_row_meta meta;

	if (!c->meta_known || c->now_ms - c->meta_noted_ms < CTL_NOTE_TIME_MS)
		return;
	if (tx_get_meta(tx, &meta))
		return;
	meta.time_ns = (uint64_t)c->last_ns;
	tx_put_meta(tx, &meta);
	c->meta_noted_ms = c->now_ms;
}

static int encode(struct ctl *c, struct tx *tx, const struct ctl_op *op, uint64_t lsn)
{
	struct pr_record r = {
		.lsn = lsn,
		.kind = PR_RECORD_OPERATION,
		.type = op->frame.type,
		.time_ns = tx->now_ns,
		.session = op->session,
		.slot = op->frame.slot,
		.sequence = op->frame.sequence,
	};

	return tx_encode(tx, &r, &c->open);
}

int ctl_batch_add(struct ctl *c, struct tx *tx, const struct ctl_op *op, uint64_t *ret_lsn)
{
	uint64_t lsn = ctl_batch_next_lsn(c);

	if (tx->now_ns > c->last_ns)
		c->last_ns = tx->now_ns;
	note_time(c, tx);
	if (encode(c, tx, op, lsn)) {
		if (c->open_count == 0)
			return -EMSGSIZE;
		if (!ctl_batch_close(c, true)) {
			c->batch_full = true;
			return -EAGAIN;
		}
		lsn = ctl_batch_next_lsn(c);
		if (encode(c, tx, op, lsn))
			return -EMSGSIZE;
	}
	if (c->open_count++ == 0)
		c->open_first = lsn;
	tx_apply(tx, lsn);
	ctl_derive_tx(c, tx, lsn);
	c->count_records++;
	*ret_lsn = lsn;
	return 0;
}

/* The pair core took LSNs for a record of its own while this batch was open. */
static void renumber(struct ctl *c, uint64_t first)
{
	struct pr_cur cur = pr_cur_on(c->open.p, c->open.len);
	uint64_t delta = first - c->open_first;

	ASSERT(first > c->open_first);
	while (cur.left > 0) {
		uint8_t *at = c->open.p + (c->open.len - cur.left);
		struct pr_record r;
		struct pr_list it;
		struct pr_change ch;

		ASSERT(pr_record_get(&cur, &r));
		pr_store64(at, r.lsn + delta);
		for (it = r.changes; pr_change_next(&it, &ch);)
			rowset_shift(c->rows, ch.key.p, (uint16_t)ch.key.len, r.lsn + delta);
	}
	ctl_replies_shift(c, c->open_first, delta);
	ctl_admin_shift(c, c->open_first, delta);
	for (struct ctl_link *l = c->sessions.next; l != &c->sessions; l = l->next) {
		struct ctl_session *s = CTL_OF(struct ctl_session, all, l);

		if (s->lsn >= c->open_first)
			s->lsn += delta;
	}
	c->open_first = first;
}

/*
 * At once, before any commit is heard of: a reply that still waits for the LSN which went to the pair core's own record would leave with
 * that record's commit, before its operation is durable anywhere.
 */
void ctl_batch_follow(struct ctl *c)
{
	if (c->open_count > 0 && c->serving && ha_next_lsn(c->ha) > c->open_first)
		renumber(c, ha_next_lsn(c->ha));
}

static bool time_to_close(const struct ctl *c)
{
	uint64_t waiting = c->open_count;

	if (c->submitted > c->commit)
		waiting += c->submitted - c->commit;
	return ha_batches_in_flight(c->ha) == 0 || c->drain || c->batch_full ||
	       c->open_count * 4 >= waiting || c->open.len >= c->open.cap / 2 ||
	       ctl_flush_wanted(c);
}

bool ctl_batch_close(struct ctl *c, bool force)
{
	struct ha_event e = {.type = HA_EV_SUBMIT};
	struct pr_hash prev;

	if (c->open_count == 0 || !c->serving || !ha_can_submit(c->ha))
		return false;
	if (!force && !time_to_close(c))
		return false;
	if (!jr_has_room(c->jr, image_bytes((uint32_t)c->open.len))) {
		c->no_room = true;
		return false;
	}
	ASSERT(ha_next_lsn(c->ha) == c->open_first);
	prev = ha_tail_hash(c->ha);
	e.batch = jr_batch_new(c->cfg.ha.cluster, ha_epoch(c->ha), c->open_first,
			       c->open_first + c->open_count - 1, ha_commit_lsn(c->ha), &prev,
			       c->open.p, (uint32_t)c->open.len);
	ASSERT(e.batch);
	c->submitted = e.batch->last_lsn;
	c->open.len = 0;
	c->open_count = 0;
	c->batch_full = false;
	c->count_batches++;
	ctl_pair_event(c, &e);
	jr_batch_unref(e.batch);
	ctl_flush_maybe_freeze(c, c->submitted);
	return true;
}
