/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One operation on the rows. An operation is a function that can be started again: every read may answer TX_MISS, after which it
 * returns TX_MISS at once having changed nothing; the row is fetched and the function runs anew. What it writes is kept aside,
 * seen by its own later reads, and becomes a journal record when it returns 0. What it read decides which commit its reply waits for.
 */
#pragma once
#include "controller/core/ctl.h"
#include "controller/core/rowset.h"

enum { TX_MISS = -100000 };	/* no errno */
enum { TX_CHANGES_MAX = 4000 }; /* of one record, a slot's row apart; asserted */

struct tx_priv;

struct tx {
	struct ctl *ctl;
	uint64_t session; /* 0: the controller itself */
	uint16_t volume;
	int64_t now_ns;	  /* chosen time; never goes back */
	uint64_t lsn;	  /* what this operation's record will have, if it changes anything */
	uint64_t saw_lsn; /* highest LSN among what was read, absences included */
	uint64_t random;
	struct tx_priv *priv; /* the rest belongs to tx.c */
};

/* 0 (value valid until the tx ends), -ENOENT, TX_MISS. */
int tx_get(struct tx *, const struct pr_key *, struct pr_bytes *ret_value);
/*
 * First row with key >= from (dir > 0) or last row with key < from (dir < 0) that shares prefix_len first bytes with from.
 * Only in listed tables (rowset.h), with a prefix at least as long as the table's group. 0, -ENOENT, TX_MISS.
 */
int tx_seek(struct tx *, const struct pr_key *from, uint16_t prefix_len, int dir,
	    struct pr_key *ret_key, struct pr_bytes *ret_value);
void tx_put(struct tx *, const struct pr_key *, const uint8_t *value, uint32_t bytes);
void tx_del(struct tx *, const struct pr_key *);
/* Room for a value of at most `bytes` in the tx's own memory, to encode into; valid until the tx ends. */
uint8_t *tx_room(struct tx *, uint32_t bytes);
/* As tx_put, but the value lies in tx_room and is not copied. */
void tx_put_room(struct tx *, const struct pr_key *, const uint8_t *value, uint32_t bytes);
/* Hint: these rows will be wanted too; fetched together when one misses. */
void tx_prefetch(struct tx *, const struct pr_key *);
/* The caller knows that nothing with this prefix (a whole group of rowset.h) was ever written: a new directory, say. Spares a fetch. */
void tx_known_empty(struct tx *, const struct pr_key *prefix);
/* Changes written so far, for functions that work in bounded steps. */
uint32_t tx_change_count(const struct tx *);
/* 256 KiB, emptied at the start of each run of an operation; ns_scratch is this. */
struct pr_buf *tx_scratch(struct tx *);

/* ---- for who runs operations ---- */

struct tx_priv *
tx_priv_new(struct rowset *); /* reused by one operation after the other; NULL: no memory */
void tx_priv_free(struct tx_priv *);
/* Forgets the last run's writes. The caller has filled ctl, session, volume, now_ns, lsn, random. */
void tx_begin(struct tx *, struct tx_priv *);
/* Change i of tx_change_count. value.p NULL: deleted. */
void tx_change(const struct tx *, uint32_t i, struct pr_bytes *ret_key, struct pr_bytes *ret_value);
/* Append the record of this operation to b: 0 or -EMSGSIZE (b as before). r's changes are filled here; lsn and the rest by the caller. */
int tx_encode(struct tx *, struct pr_record *r, struct pr_buf *b);
/* The writes become rows as of lsn. */
void tx_apply(struct tx *, uint64_t lsn);
/* A run that answered TX_MISS waits for these: calls rowset_want for each. Returns how many. */
uint32_t tx_want(struct tx *, void *waiter);

/* Changes made elsewhere become rows in their order, each some changes after it was given: what it needs is brought near meanwhile. */
enum { TX_REPLAY_AHEAD = 16 };
struct tx_replayed {
	struct pr_bytes key, value;
	uint64_t hash, lsn;
};
struct tx_replay {
	struct rowset *rows;
	uint32_t taken;
	struct tx_replayed change[TX_REPLAY_AHEAD]; /* the last ones, not yet rows */
};
/* value.p NULL: deleted. Key and value stay until tx_replay_end. 0, or -EBADMSG: no key. */
int tx_replay(struct tx_replay *, struct pr_bytes key, struct pr_bytes value, uint64_t lsn);
void tx_replay_end(struct tx_replay *);

/* Typed helpers of rows.def: tx_get_inode(tx, ino, &row), tx_put_inode(tx, ino, &row), tx_del_inode(tx, ino) ... in tx_rows.h */
