/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From nothing to a pair core that is told what stands on the disk: the journal is opened, the few rows the core keeps in mind are read. */
#include "controller/core/ctl_int.h"

void ctl_boot(struct ctl *c, const struct ctl_event *ev)
{
	ASSERT(!c->booted && !c->opened);
	if (ev->state)
		c->boot_state = *ev->state;
	c->boot_error = ev->error;
	c->store_lsn = c->applied = c->flushed = ev->store_lsn;
	c->flush_due_ms = c->now_ms + c->cfg.flush_ms;
	jr_open(c->jr);
	ctl_load(c);
}

void ctl_load(struct ctl *c)
{
	ctl_job(c, &ctl_kind_load, 0, 0);
}

static int see_table(struct ctl *c, struct tx *tx, uint8_t table)
{
	struct pr_key at, found;
	struct pr_bytes value;
	int r;

	pr_key_prefix_table(&at, table);
	while ((r = tx_seek(tx, &at, 1, 1, &found, &value)) == 0) {
		ctl_derive(c, pr_key_bytes(&found), value, 0);
		/* the next possible key: this one and a zero byte */
		at = found;
		if (at.len < PR_KEY_MAX)
			at.b[at.len++] = 0;
	}
	return r == -ENOENT ? 0 : r;
}

int run_load(struct ctl *c, struct ctl_op *op, struct tx *tx, struct pr_buf *out)
{
	struct pr_key key;
	struct pr_bytes value;
	int r;

	pr_key_meta(&key);
	r = tx_get(tx, &key, &value);
	if (r == TX_MISS)
		return r;
	if (r == 0)
		ctl_derive(c, pr_key_bytes(&key), value, 0);
	r = see_table(c, tx, PR_ROW_VOLUME);
	return r ? r : see_table(c, tx, PR_ROW_SESSION);
}

void done_load(struct ctl *c, struct ctl_op *op, const struct pr_buf *out, uint64_t lsn)
{
	c->loaded = true;
	if (c->copy_end) {
		struct ha_event e = {.type = HA_EV_ROWS_APPLIED};

		c->copy_end = false;
		c->copying = false;
		ctl_pair_event(c, &e);
		return;
	}
	ctl_boot_go_on(c);
}

void ctl_boot_go_on(struct ctl *c)
{
	struct ha_event e = {
		.type = HA_EV_BOOT,
		.state = &c->boot_state,
		.error = c->boot_error,
		.opened = &c->journal_opened,
		.store_lsn = c->store_lsn,
		.incarnation = c->cfg.incarnation,
	};

	if (c->booted || !c->opened || !c->loaded)
		return;
	c->booted = true;
	ctl_pair_event(c, &e);
}
