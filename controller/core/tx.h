/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One operation on the rows. An operation is a function that can be started again: every read may answer TX_MISS, after which it
 * returns TX_MISS at once having changed nothing; the row is fetched and the function runs anew. What it writes is kept aside,
 * seen by its own later reads, and becomes a journal record when it returns 0. What it read decides which commit its reply waits for.
 */
#pragma once
#include "controller/core/ctl.h"

enum { TX_MISS = -100000 };			/* no errno */

struct tx {
	struct ctl *ctl;
	uint64_t session;			/* 0: the controller itself */
	uint16_t volume;
	int64_t now_ns;				/* chosen time; never goes back */
	uint64_t saw_lsn;			/* highest LSN among what was read, absences included */
	/* the rest belongs to rows.c */
	struct tx_priv *priv;
};

/* 0 (value valid until the tx ends), -ENOENT, TX_MISS. */
int tx_get(struct tx *, const struct pr_key *, struct pr_bytes *ret_value);
/* First row with key >= from (dir > 0) or last row with key < from (dir < 0) that shares prefix_len first bytes with from. 0, -ENOENT, TX_MISS. */
int tx_seek(struct tx *, const struct pr_key *from, uint16_t prefix_len, int dir, struct pr_key *ret_key, struct pr_bytes *ret_value);
void tx_put(struct tx *, const struct pr_key *, const uint8_t *value, uint32_t bytes);
void tx_del(struct tx *, const struct pr_key *);
/* Hint: these rows will be wanted too; fetched together when one misses. */
void tx_prefetch(struct tx *, const struct pr_key *);

/* Typed helpers, generated from rows.def: tx_get_inode(tx, ino, &row), tx_put_inode(tx, ino, &row) ... in controller/core/tx_rows.h */
