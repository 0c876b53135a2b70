/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One operation: its writes kept aside in an arena, its reads over them and the rows. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "controller/core/tx.h"

enum {
	TX_ARENA_BYTES = 64 << 10,
	TX_SCRATCH_BYTES = 256 << 10,
	TX_PREFETCH_MAX = 1024,
};

struct arena_chunk {
	struct arena_chunk *next;
	size_t used, cap;
	uint8_t b[];
};

struct tx_write {
	uint64_t hash;
	const uint8_t *key;
	const uint8_t *value; /* NULL: delete */
	uint32_t bytes;
	uint16_t key_len;
};

struct tx_miss {
	enum rowset_fetch_kind kind;
	uint16_t len;
	const uint8_t *key;
};

struct tx_priv {
	struct rowset *rows;
	struct arena_chunk *chunk; /* the current one; the first stays */
	struct tx_write *writes;
	uint32_t write_count, write_cap;
	struct tx_miss missing; /* what stopped the run */
	bool missed;
	struct tx_miss hints[TX_PREFETCH_MAX];
	uint32_t hint_count;
	struct pr_buf scratch;
	uint8_t scratch_bytes[TX_SCRATCH_BYTES];
};

static struct arena_chunk *chunk_new(size_t bytes, struct arena_chunk *next)
{
	struct arena_chunk *c = malloc(sizeof(*c) + bytes);

	ASSERT_MEMORY(c);
	c->next = next;
	c->used = 0;
	c->cap = bytes;
	return c;
}

struct tx_priv *tx_priv_new(struct rowset *rows)
{
	struct tx_priv *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->rows = rows;
	p->chunk = chunk_new(TX_ARENA_BYTES, NULL);
	return p;
}

void tx_priv_free(struct tx_priv *p)
{
	if (!p)
		return;
	while (p->chunk) {
		struct arena_chunk *c = p->chunk;

		p->chunk = c->next;
		free(c);
	}
	free(p->writes);
	free(p);
}

static uint8_t *take(struct tx_priv *p, size_t bytes)
{
	struct arena_chunk *c = p->chunk;
	uint8_t *at;

	bytes = (bytes + 7) & ~(size_t)7;
	if (c->cap - c->used < bytes)
		c = p->chunk = chunk_new(bytes > TX_ARENA_BYTES ? bytes : TX_ARENA_BYTES, p->chunk);
	at = c->b + c->used;
	c->used += bytes;
	return at;
}

void tx_begin(struct tx *tx, struct tx_priv *p)
{
	while (p->chunk->next) {
		struct arena_chunk *c = p->chunk;

		p->chunk = c->next;
		free(c);
	}
	p->chunk->used = 0;
	p->write_count = 0;
	p->missed = false;
	p->hint_count = 0;
	p->scratch = pr_buf_on(p->scratch_bytes, sizeof(p->scratch_bytes));
	tx->priv = p;
	tx->saw_lsn = 0;
}

/* ---- own writes ---- */

static struct tx_write *own_write(struct tx_priv *p, uint64_t hash, const uint8_t *key,
				  uint16_t len)
{
	for (uint32_t i = 0; i < p->write_count; i++) {
		struct tx_write *w = &p->writes[i];

		if (w->hash == hash && w->key_len == len && memcmp(w->key, key, len) == 0)
			return w;
	}
	return NULL;
}

static void write_row(struct tx *tx, const struct pr_key *key, const uint8_t *value, uint32_t bytes)
{
	struct tx_priv *p = tx->priv;
	uint64_t hash = rowset_hash(key->b, key->len);
	struct tx_write *w = own_write(p, hash, key->b, key->len);

	if (!w) {
		uint8_t *k = take(p, key->len);

		if (p->write_count == p->write_cap) {
			p->write_cap = p->write_cap ? p->write_cap * 2 : 64;
			p->writes = realloc(p->writes, p->write_cap * sizeof(*p->writes));
			ASSERT_MEMORY(p->writes);
		}
		ASSERT(p->write_count < TX_CHANGES_MAX + 64);
		memcpy(k, key->b, key->len);
		w = &p->writes[p->write_count++];
		w->hash = hash;
		w->key = k;
		w->key_len = key->len;
		rowset_expect(p->rows, hash);
	}
	w->value = value;
	w->bytes = value ? bytes : 0;
}

uint8_t *tx_room(struct tx *tx, uint32_t bytes)
{
	return take(tx->priv, bytes ? bytes : 1);
}

void tx_put_room(struct tx *tx, const struct pr_key *key, const uint8_t *value, uint32_t bytes)
{
	write_row(tx, key, value, bytes);
}

void tx_put(struct tx *tx, const struct pr_key *key, const uint8_t *value, uint32_t bytes)
{
	uint8_t *copy = tx_room(tx, bytes);

	if (bytes > 0)
		memcpy(copy, value, bytes);
	write_row(tx, key, copy, bytes);
}

void tx_del(struct tx *tx, const struct pr_key *key)
{
	write_row(tx, key, NULL, 0);
}

uint32_t tx_change_count(const struct tx *tx)
{
	return tx->priv->write_count;
}

void tx_change(const struct tx *tx, uint32_t i, struct pr_bytes *ret_key,
	       struct pr_bytes *ret_value)
{
	const struct tx_write *w = &tx->priv->writes[i];

	*ret_key = (struct pr_bytes){.p = w->key, .len = w->key_len};
	*ret_value = (struct pr_bytes){.p = w->value, .len = w->bytes};
}

struct pr_buf *tx_scratch(struct tx *tx)
{
	return &tx->priv->scratch;
}

void tx_known_empty(struct tx *tx, const struct pr_key *prefix)
{
	rowset_known_empty(tx->priv->rows, prefix->b, prefix->len);
}

/* ---- reads ---- */

static const uint8_t *copy_key(struct tx_priv *p, const uint8_t *key, uint16_t len)
{
	uint8_t *k = take(p, len);

	memcpy(k, key, len);
	return k;
}

static int miss(struct tx_priv *p, enum rowset_fetch_kind kind, const uint8_t *key, uint16_t len)
{
	p->missed = true;
	p->missing = (struct tx_miss){.kind = kind, .len = len, .key = copy_key(p, key, len)};
	return TX_MISS;
}

int tx_get(struct tx *tx, const struct pr_key *key, struct pr_bytes *ret_value)
{
	struct tx_priv *p = tx->priv;
	uint64_t hash = rowset_hash(key->b, key->len);
	struct tx_write *w = own_write(p, hash, key->b, key->len);

	if (w) {
		if (!w->value)
			return -ENOENT;
		*ret_value = (struct pr_bytes){.p = w->value, .len = w->bytes};
		return 0;
	}
	switch (rowset_get(p->rows, key->b, key->len, hash, ret_value, &tx->saw_lsn)) {
	case ROWSET_FOUND:
		return 0;
	case ROWSET_ABSENT:
		return -ENOENT;
	default:
		return miss(p, ROWSET_FETCH_ONE, key->b, key->len);
	}
}

void tx_prefetch(struct tx *tx, const struct pr_key *key)
{
	struct tx_priv *p = tx->priv;
	struct pr_bytes value;
	uint64_t saw = 0;

	if (p->hint_count == TX_PREFETCH_MAX ||
	    rowset_get(p->rows, key->b, key->len, rowset_hash(key->b, key->len), &value, &saw) !=
		    ROWSET_MISS)
		return;
	p->hints[p->hint_count++] = (struct tx_miss){
		.kind = ROWSET_FETCH_ONE,
		.len = key->len,
		.key = copy_key(p, key->b, key->len),
	};
}

static bool written_here(void *user, uint32_t tag, const uint8_t *key, uint16_t len)
{
	struct tx_priv *p = user;

	for (uint32_t i = 0; i < p->write_count; i++)
		if ((uint32_t)p->writes[i].hash == tag && p->writes[i].key_len == len &&
		    memcmp(p->writes[i].key, key, len) == 0)
			return true;
	return false;
}

/* The own write that a seek would find first. */
static struct tx_write *seek_own(struct tx_priv *p, const struct pr_key *from, uint16_t prefix_len,
				 int dir)
{
	struct tx_write *best = NULL;

	for (uint32_t i = 0; i < p->write_count; i++) {
		struct tx_write *w = &p->writes[i];
		int d;

		if (!w->value || w->key_len < prefix_len ||
		    memcmp(w->key, from->b, prefix_len) != 0)
			continue;
		d = pr_key_cmp_bytes(w->key, w->key_len, from->b, from->len);
		if (dir > 0 ? d < 0 : d >= 0)
			continue;
		d = best ? pr_key_cmp_bytes(w->key, w->key_len, best->key, best->key_len) : 0;
		if (!best || (dir > 0 ? d < 0 : d > 0))
			best = w;
	}
	return best;
}

static int give(struct pr_bytes key, struct pr_bytes value, struct pr_key *ret_key,
		struct pr_bytes *ret_value)
{
	*ret_value = value;
	return pr_key_from_bytes(ret_key, key.p, key.len);
}

int tx_seek(struct tx *tx, const struct pr_key *from, uint16_t prefix_len, int dir,
	    struct pr_key *ret_key, struct pr_bytes *ret_value)
{
	struct tx_priv *p = tx->priv;
	struct tx_write *own = p->write_count > 0 ? seek_own(p, from, prefix_len, dir) : NULL;
	struct pr_bytes key, value, at;
	struct pr_bytes own_key = {0}, own_value = {0};
	enum rowset_answer answer;

	if (own) {
		own_key = (struct pr_bytes){.p = own->key, .len = own->key_len};
		own_value = (struct pr_bytes){.p = own->value, .len = own->bytes};
	}
	answer = rowset_seek(p->rows, from->b, from->len, prefix_len, dir,
			     p->write_count > 0 ? written_here : NULL, p, &key, &value,
			     &tx->saw_lsn, &at);
	if (answer == ROWSET_MISS)
		return miss(p, dir > 0 ? ROWSET_FETCH_FROM : ROWSET_FETCH_BEFORE, at.p,
			    (uint16_t)at.len);
	if (answer == ROWSET_FOUND && own) {
		int d = pr_key_cmp_bytes(own_key.p, own_key.len, key.p, key.len);

		if (dir > 0 ? d < 0 : d > 0)
			return give(own_key, own_value, ret_key, ret_value);
	} else if (own) {
		return give(own_key, own_value, ret_key, ret_value);
	}
	if (answer == ROWSET_ABSENT)
		return -ENOENT;
	return give(key, value, ret_key, ret_value);
}

/* ---- the end of a run ---- */

uint32_t tx_want(struct tx *tx, void *waiter)
{
	struct tx_priv *p = tx->priv;

	ASSERT(p->missed);
	rowset_want(p->rows, p->missing.kind, p->missing.key, p->missing.len, waiter);
	for (uint32_t i = 0; i < p->hint_count; i++)
		rowset_want(p->rows, p->hints[i].kind, p->hints[i].key, p->hints[i].len, waiter);
	return 1 + p->hint_count;
}

int tx_encode(struct tx *tx, struct pr_record *r, struct pr_buf *b)
{
	struct tx_priv *p = tx->priv;
	struct pr_buf was = *b;
	size_t at;

	r->changes = (struct pr_list){0};
	if (pr_record_put(b, r))
		return -EMSGSIZE;
	at = pr_tail_open(b);
	for (uint32_t i = 0; i < p->write_count; i++) {
		struct tx_write *w = &p->writes[i];
		struct pr_change c = {
			.op = w->value ? PR_CHANGE_PUT : PR_CHANGE_DELETE,
			.key = {.p = w->key, .len = w->key_len},
			.value = {.p = w->value, .len = w->bytes},
		};
		int err = pr_change_put(b, &c);

		rowset_expect_row(p->rows, w->hash);
		ASSERT(err != -EINVAL);
		if (err) {
			*b = was;
			return -EMSGSIZE;
		}
	}
	pr_tail_close(b, at, p->write_count);
	return 0;
}

void tx_apply(struct tx *tx, uint64_t lsn)
{
	struct tx_priv *p = tx->priv;

	for (uint32_t i = 0; i < p->write_count; i++) {
		struct tx_write *w = &p->writes[i];

		rowset_put(p->rows, w->key, w->key_len, w->hash, w->value, w->bytes, lsn);
	}
}

/* ---- rows made elsewhere ---- */

static void replay_put(struct tx_replay *rp, uint32_t i)
{
	const struct tx_replayed *c = &rp->change[i % TX_REPLAY_AHEAD];

	rowset_put(rp->rows, c->key.p, (uint16_t)c->key.len, c->hash, c->value.p, c->value.len,
		   c->lsn);
}

int tx_replay(struct tx_replay *rp, struct pr_bytes key, struct pr_bytes value, uint64_t lsn)
{
	const uint32_t half = TX_REPLAY_AHEAD / 2;
	uint32_t i = rp->taken++;

	if (pr_key_check(key.p, key.len))
		return -EBADMSG;
	if (i >= TX_REPLAY_AHEAD)
		replay_put(rp, i - TX_REPLAY_AHEAD);
	rp->change[i % TX_REPLAY_AHEAD] =
		(struct tx_replayed){key, value, rowset_hash(key.p, (uint16_t)key.len), lsn};
	rowset_expect(rp->rows, rp->change[i % TX_REPLAY_AHEAD].hash);
	if (i >= half)
		rowset_expect_row(rp->rows, rp->change[(i - half) % TX_REPLAY_AHEAD].hash);
	return 0;
}

void tx_replay_end(struct tx_replay *rp)
{
	uint32_t i = rp->taken > TX_REPLAY_AHEAD ? rp->taken - TX_REPLAY_AHEAD : 0;

	for (; i < rp->taken; i++)
		replay_put(rp, i);
	rp->taken = 0;
}
