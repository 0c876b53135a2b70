/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rows in memory against a plain map, with a small cache, late flushes and late fetches. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "controller/core/tx_rows.h"
#include "tests/sim/simstore.h"

enum { LATE_MAX = 64, VOLUME = 7 };

struct late {
	uint64_t ticket;
	struct ctl_row rows[256];
	struct rowset_row answer[256];
	uint32_t count;
	bool complete;
	struct simstore *seen;
};

struct world {
	struct rowset *rows;
	struct simstore *store, *truth;
	struct tx_priv *priv;
	struct ctl_flush *flush;
	uint64_t lsn, flush_lsn, seed;
	struct late *late[LATE_MAX];
	unsigned late_count, woken;
	bool flush_stands; /* the store has it, but memory was not told */
};

static uint64_t draw(struct world *w)
{
	w->seed ^= w->seed << 13;
	w->seed ^= w->seed >> 7;
	w->seed ^= w->seed << 17;
	return w->seed;
}

static void world_open(struct world *w, size_t cache, uint64_t seed)
{
	memset(w, 0, sizeof(*w));
	w->rows = rowset_new(cache, 1 << 20);
	w->store = simstore_new();
	w->truth = simstore_new();
	w->priv = tx_priv_new(w->rows);
	w->seed = seed * 2654435761u + 88172645463325252ull;
	w->lsn = 1;
}

static void late_free(struct late *l)
{
	simstore_free(l->seen);
	free(l);
}

static void world_close(struct world *w)
{
	for (unsigned i = 0; i < w->late_count; i++)
		late_free(w->late[i]);
	tx_priv_free(w->priv);
	rowset_free(w->rows);
	simstore_free(w->store);
	simstore_free(w->truth);
}

static void wake(void *user, void *waiter)
{
	struct world *w = user;

	w->woken++;
}

/* The store reads now; the answer may arrive much later. */
static void read_store(struct world *w)
{
	const struct rowset_fetch *f;

	while (w->late_count < LATE_MAX && (f = rowset_next_fetch(w->rows))) {
		struct late *l = calloc(1, sizeof(*l));
		struct ctl_fetch cf = {.kind = (int)f->kind,
				       .key = f->key,
				       .prefix_len = f->prefix_len,
				       .rows_max = f->rows_max};

		if (draw(w) % 4 == 0 && cf.rows_max > 3)
			cf.rows_max = 3;
		l->ticket = f->ticket;
		l->seen = simstore_copy(w->store);
		l->count = simstore_fetch(l->seen, &cf, l->rows, &l->complete);
		for (uint32_t i = 0; i < l->count; i++)
			l->answer[i] = (struct rowset_row){l->rows[i].key.b, l->rows[i].key.len,
							   l->rows[i].value, l->rows[i].bytes};
		w->late[w->late_count++] = l;
	}
}

static void answer_one(struct world *w)
{
	unsigned i;
	struct late *l;

	if (w->late_count == 0)
		return;
	i = draw(w) % w->late_count;
	l = w->late[i];
	w->late[i] = w->late[--w->late_count];
	rowset_fetched(w->rows, l->ticket, l->answer, l->count, l->complete, wake, w);
	late_free(l);
}

static void step_flush(struct world *w)
{
	if (!w->flush && rowset_can_freeze(w->rows)) {
		w->flush = rowset_freeze(w->rows);
		w->flush_lsn = w->lsn;
		w->flush_stands = false;
	} else if (w->flush && !w->flush_stands) {
		simstore_flush(w->store, w->flush, w->flush_lsn);
		w->flush_stands = true;
	} else if (w->flush) {
		rowset_flushed(w->rows);
		w->flush = NULL;
	}
}

static struct tx begin(struct world *w)
{
	struct tx tx = {.volume = VOLUME};

	tx_begin(&tx, w->priv);
	return tx;
}

static struct pr_key random_key(struct world *w)
{
	struct pr_key k;
	uint64_t n = draw(w) % 40;

	switch (draw(w) % 4) {
	case 0:
		pr_key_inode(&k, VOLUME, n);
		break;
	case 1: {
		char name[24];

		/* the order of a flush looks at eight bytes first */
		snprintf(name, sizeof(name), "name-number-%u", (unsigned)n);
		pr_key_name(&k, VOLUME, draw(w) % 3 + 1, name, strlen(name));
		break;
	}
	case 2:
		pr_key_entry(&k, VOLUME, draw(w) % 3 + 1, n);
		break;
	default:
		pr_key_space(&k, VOLUME, draw(w) % 2, n);
	}
	return k;
}

static void write_random(struct world *w)
{
	struct tx tx = begin(w);
	unsigned n = draw(w) % 6 + 1;

	for (unsigned i = 0; i < n; i++) {
		struct pr_key k = random_key(w);
		uint8_t value[64];
		uint32_t bytes = draw(w) % sizeof(value);

		for (uint32_t b = 0; b < bytes; b++)
			value[b] = (uint8_t)draw(w);
		if (draw(w) % 3 == 0) {
			tx_del(&tx, &k);
			simstore_put(w->truth, &k, NULL, 0);
		} else {
			tx_put(&tx, &k, value, bytes);
			simstore_put(w->truth, &k, value, bytes);
		}
	}
	tx_apply(&tx, ++w->lsn);
}

static void get_random(struct world *w)
{
	struct tx tx = begin(w);
	struct pr_key k = random_key(w);
	const struct ctl_row *want = simstore_find(w->truth, &k);
	struct pr_bytes v;
	int r = tx_get(&tx, &k, &v);

	if (r == TX_MISS) {
		tx_want(&tx, w);
		return;
	}
	cr_assert_eq(r, want ? 0 : -ENOENT);
	if (want)
		cr_assert(pr_bytes_equal(v, pr_bytes_of(want->value, want->bytes)));
}

static void seek_random(struct world *w)
{
	struct tx tx = begin(w);
	struct pr_key k, got;
	uint16_t prefix = 11;
	bool up = draw(w) % 2;
	struct ctl_row rows[1];
	struct pr_bytes v;
	uint32_t n;
	bool complete;
	int r;

	do
		k = random_key(w);
	while (k.b[0] != PR_ROW_ENTRY && k.b[0] != PR_ROW_SPACE);
	if (k.b[0] == PR_ROW_SPACE)
		prefix = draw(w) % 2 ? 3 : 5;
	n = simstore_fetch(w->truth,
			   &(struct ctl_fetch){.kind = up ? CTL_FETCH_FROM : CTL_FETCH_BEFORE,
					       .key = k,
					       .prefix_len = prefix,
					       .rows_max = 1},
			   rows, &complete);
	r = tx_seek(&tx, &k, prefix, up ? 1 : -1, &got, &v);
	if (r == TX_MISS) {
		tx_want(&tx, w);
		return;
	}
	cr_assert_eq(r, n ? 0 : -ENOENT);
	if (n) {
		cr_assert_eq(pr_key_cmp(&got, &rows[0].key), 0);
		cr_assert(pr_bytes_equal(v, pr_bytes_of(rows[0].value, rows[0].bytes)));
	}
}

/* fresh: the volume is, so that all its groups are known from the start. */
static void churn(size_t cache, bool fresh, uint64_t seed, unsigned steps)
{
	struct world w;

	world_open(&w, cache, seed);
	if (fresh)
		rowset_set_store_ino(w.rows, VOLUME, 0);
	for (unsigned i = 0; i < steps; i++) {
		switch (draw(&w) % 12) {
		case 0:
		case 1:
			write_random(&w);
			break;
		case 2:
		case 3:
			read_store(&w);
			break;
		case 4:
		case 5:
			answer_one(&w);
			break;
		case 6:
			if (draw(&w) % 8 == 0)
				step_flush(&w);
			break;
		case 7:
			rowset_work(w.rows, draw(&w) % 64);
			break;
		case 8:
		case 9:
			get_random(&w);
			break;
		default:
			seek_random(&w);
		}
		if (i % 64 == 0)
			rowset_check(w.rows);
	}
	cr_assert_gt(w.woken, steps / 200);
	world_close(&w);
}

Test(rowset, agrees_with_a_plain_map_when_the_cache_is_large)
{
	for (uint64_t seed = 1; seed <= 20; seed++)
		churn(1 << 20, false, seed, 4000);
}

Test(rowset, agrees_with_a_plain_map_when_everything_is_evicted)
{
	for (uint64_t seed = 1; seed <= 20; seed++)
		churn(8 << 10, false, seed, 4000);
}

Test(rowset, agrees_with_a_plain_map_when_what_is_evicted_was_all_known)
{
	for (uint64_t seed = 1; seed <= 40; seed++)
		churn(8 << 10, true, seed, 4000);
}

Test(rowset, a_fetch_older_than_a_flush_is_thrown_away)
{
	struct world w;
	struct pr_key k;
	struct pr_bytes v;
	struct tx tx;

	world_open(&w, 0, 1);
	pr_key_inode(&k, VOLUME, 5);
	simstore_put(w.store, &k, "old", 3);
	tx = begin(&w);
	cr_assert_eq(tx_get(&tx, &k, &v), TX_MISS);
	tx_want(&tx, &w);
	read_store(&w);
	tx = begin(&w);
	tx_put(&tx, &k, (const uint8_t *)"new", 3);
	tx_apply(&tx, 9);
	step_flush(&w);
	step_flush(&w);
	step_flush(&w);
	while (rowset_work(w.rows, 10))
		;
	cr_assert_eq(rowset_row_count(w.rows), 0, "it was evicted");
	answer_one(&w);
	cr_assert_eq(w.woken, 1);
	tx = begin(&w);
	cr_assert_eq(tx_get(&tx, &k, &v), TX_MISS, "the old value did not come in");
	world_close(&w);
}

Test(rowset, what_is_frozen_keeps_its_value_while_it_is_written_again)
{
	struct world w;
	struct pr_key k;
	struct tx tx;

	world_open(&w, 1 << 20, 1);
	pr_key_inode(&k, VOLUME, 5);
	tx = begin(&w);
	tx_put(&tx, &k, (const uint8_t *)"one", 3);
	tx_apply(&tx, 2);
	step_flush(&w);
	tx = begin(&w);
	tx_put(&tx, &k, (const uint8_t *)"two", 3);
	tx_apply(&tx, 3);
	step_flush(&w);
	cr_assert_arr_eq(simstore_find(w.store, &k)->value, "one", 3);
	step_flush(&w);
	rowset_work(w.rows, 10);
	step_flush(&w);
	step_flush(&w);
	cr_assert_arr_eq(simstore_find(w.store, &k)->value, "two", 3);
	world_close(&w);
}

Test(rowset, changes_made_elsewhere_become_rows_in_their_order)
{
	for (uint8_t n = 1; n <= 3 * TX_REPLAY_AHEAD; n++) {
		struct tx_replay rp = {0};
		struct pr_bytes v;
		struct world w;
		struct pr_key k;
		struct tx tx;
		uint8_t values[3 * TX_REPLAY_AHEAD];

		world_open(&w, 1 << 20, 1);
		rp.rows = w.rows;
		pr_key_inode(&k, VOLUME, 5);
		for (uint8_t i = 0; i < n; i++) {
			values[i] = i;
			cr_assert_eq(tx_replay(&rp, pr_bytes_of(k.b, k.len),
					       pr_bytes_of(&values[i], 1), i + 2),
				     0);
		}
		tx_replay_end(&rp);
		tx = begin(&w);
		cr_assert_eq(tx_get(&tx, &k, &v), 0);
		cr_assert_eq(v.p[0], n - 1, "after %u changes it is that of %u", n, v.p[0] + 1);
		cr_assert_eq(tx.saw_lsn, n + 1u);
		world_close(&w);
	}
}

Test(rowset, reads_see_the_lsn_of_absences_too)
{
	struct world w;
	struct pr_key k, got;
	struct pr_bytes v;
	struct tx tx;

	world_open(&w, 1 << 20, 1);
	rowset_set_store_ino(w.rows, VOLUME, 0);
	for (unsigned i = 1; i <= 3; i++) {
		pr_key_entry(&k, VOLUME, 1, i);
		tx = begin(&w);
		tx_put(&tx, &k, (const uint8_t *)"x", 1);
		tx_apply(&tx, i);
	}
	pr_key_entry(&k, VOLUME, 1, 1);
	tx = begin(&w);
	tx_del(&tx, &k);
	tx_apply(&tx, 40);
	tx = begin(&w);
	cr_assert_eq(tx_seek(&tx, &k, 11, 1, &got, &v), 0);
	cr_assert_eq(got.b[18], 2);
	cr_assert_eq(tx.saw_lsn, 40);
	tx = begin(&w);
	cr_assert_eq(tx_get(&tx, &k, &v), -ENOENT);
	cr_assert_eq(tx.saw_lsn, 40);
	world_close(&w);
}

Test(rowset, own_writes_are_seen_in_order_with_the_rows)
{
	struct world w;
	struct pr_key k, got;
	struct pr_bytes v;
	struct tx tx;

	world_open(&w, 1 << 20, 1);
	rowset_set_store_ino(w.rows, VOLUME, 0);
	tx = begin(&w);
	for (unsigned i = 2; i <= 8; i += 2) {
		pr_key_map(&k, VOLUME, 1, i);
		tx_put(&tx, &k, (const uint8_t *)"r", 1);
	}
	tx_apply(&tx, 2);
	tx = begin(&w);
	pr_key_map(&k, VOLUME, 1, 4);
	tx_del(&tx, &k);
	pr_key_map(&k, VOLUME, 1, 5);
	tx_put(&tx, &k, (const uint8_t *)"o", 1);
	pr_key_map(&k, VOLUME, 1, 3);
	cr_assert_eq(tx_seek(&tx, &k, 11, 1, &got, &v), 0);
	cr_assert_eq(got.b[18], 5);
	cr_assert_eq(v.p[0], 'o');
	pr_key_map(&k, VOLUME, 1, 5);
	cr_assert_eq(tx_seek(&tx, &k, 11, -1, &got, &v), 0);
	cr_assert_eq(got.b[18], 2);
	pr_key_map(&k, VOLUME, 1, 9);
	cr_assert_eq(tx_seek(&tx, &k, 11, 1, &got, &v), -ENOENT);
	cr_assert_eq(tx_seek(&tx, &k, 11, -1, &got, &v), 0);
	cr_assert_eq(got.b[18], 8);
	world_close(&w);
}

Test(rowset, a_new_inode_needs_no_fetch)
{
	struct world w;
	struct pr_key k, got;
	struct pr_bytes v;
	struct tx tx;

	world_open(&w, 1 << 20, 1);
	rowset_set_store_ino(w.rows, VOLUME, 100);
	tx = begin(&w);
	pr_key_name(&k, VOLUME, 100, "a", 1);
	cr_assert_eq(tx_get(&tx, &k, &v), -ENOENT);
	pr_key_map(&k, VOLUME, 100, 0);
	cr_assert_eq(tx_seek(&tx, &k, 11, 1, &got, &v), -ENOENT);
	pr_key_map(&k, VOLUME, 99, 0);
	cr_assert_eq(tx_seek(&tx, &k, 11, 1, &got, &v), TX_MISS);
	world_close(&w);
}

/* Everything reaches the store, and memory keeps as little as it may. */
static void settle(struct world *w)
{
	for (int i = 0; i < 3; i++)
		step_flush(w);
	while (rowset_work(w->rows, 1000))
		;
}

Test(rowset, names_of_a_new_directory_stay_known_after_eviction)
{
	struct world w;
	struct pr_key k;
	struct pr_bytes v;
	struct tx tx;
	unsigned misses = 0;

	world_open(&w, 1 << 20, 1);
	rowset_set_store_ino(w.rows, VOLUME, 0);
	for (unsigned i = 0; i < 20000; i++) {
		char name[16];

		snprintf(name, sizeof(name), "file%u", i);
		pr_key_name(&k, VOLUME, 1, name, strlen(name));
		tx = begin(&w);
		if (tx_get(&tx, &k, &v) == TX_MISS)
			misses++;
		tx_put(&tx, &k, (const uint8_t *)"12345678", 8);
		tx_apply(&tx, ++w.lsn);
		if (i % 1000 == 999)
			settle(&w);
	}
	cr_assert_lt(rowset_row_count(w.rows), 12000);
	cr_assert_lt(misses, 200);
	pr_key_name(&k, VOLUME, 1, "file7", 5);
	tx = begin(&w);
	cr_assert_eq(tx_get(&tx, &k, &v), TX_MISS, "one that exists is fetched");
	rowset_check(w.rows);
	world_close(&w);
}

/* Creates (value) or removes what is there; fetches what is missing. Returns how often it had to. */
static unsigned change_names(struct world *w, unsigned count, const char *value)
{
	unsigned fetched = 0;

	for (unsigned i = 0; i < count; i++) {
		struct tx tx;
		struct pr_key k;
		struct pr_bytes v;
		char name[16];
		int r;

		snprintf(name, sizeof(name), "file%u", i);
		pr_key_name(&k, VOLUME, 1, name, strlen(name));
		for (;; fetched++) {
			tx = begin(w);
			r = tx_get(&tx, &k, &v);
			if (r != TX_MISS)
				break;
			tx_want(&tx, w);
			read_store(w);
			answer_one(w);
		}
		cr_assert_eq(r, value ? -ENOENT : 0);
		if (value)
			tx_put(&tx, &k, (const uint8_t *)value, (uint32_t)strlen(value));
		else
			tx_del(&tx, &k);
		tx_apply(&tx, ++w->lsn);
	}
	settle(w);
	return fetched;
}

Test(rowset, a_directory_that_was_emptied_is_filled_again_without_a_fetch)
{
	struct world w;

	world_open(&w, 128 << 10, 1);
	rowset_set_store_ino(w.rows, VOLUME, 0);
	for (int round = 0; round < 3; round++) {
		cr_assert_eq(change_names(&w, 2000, "12345678"), 0, "round %d", round);
		cr_assert_gt(change_names(&w, 2000, NULL), 1000);
		rowset_check(w.rows);
	}
	world_close(&w);
}

Test(rowset, a_reset_forgets_all_but_the_flush_in_flight)
{
	struct world w;
	struct pr_key k;
	struct pr_bytes v;
	struct tx tx;

	world_open(&w, 1 << 20, 1);
	for (unsigned i = 0; i < 50; i++)
		write_random(&w);
	step_flush(&w);
	for (unsigned i = 0; i < 50; i++)
		write_random(&w);
	rowset_reset(w.rows);
	cr_assert_eq(rowset_row_count(w.rows), 0);
	write_random(&w);
	simstore_flush(w.store, w.flush, 1000);
	rowset_flushed(w.rows);
	while (rowset_work(w.rows, 10))
		;
	pr_key_inode(&k, VOLUME, 5000);
	tx = begin(&w);
	cr_assert_eq(tx_get(&tx, &k, &v), TX_MISS);
	rowset_check(w.rows);
	world_close(&w);
}

Test(rowset, nothing_is_fetched_before_the_first_possible_key)
{
	struct pr_bytes key, value, at;
	struct pr_key from;
	struct world w;
	uint64_t saw = 0;

	world_open(&w, 1 << 20, 9);
	pr_key_space(&from, VOLUME, 0, 0);
	cr_assert_eq(
		rowset_seek(w.rows, from.b, from.len, 3, -1, NULL, NULL, &key, &value, &saw, &at),
		ROWSET_ABSENT);
	world_close(&w);
}

/* Answers every fetch from an empty store. Returns how many there were. */
static unsigned answer_empty(struct world *w)
{
	const struct rowset_fetch *f;
	unsigned n = 0;

	for (; (f = rowset_next_fetch(w->rows)); n++)
		rowset_fetched(w->rows, f->ticket, NULL, 0, true, wake, w);
	return n;
}

Test(rowset, a_walk_down_over_a_known_absence_ends)
{
	enum rowset_answer a = ROWSET_MISS;
	struct pr_bytes key, value, at;
	struct pr_key from, absent;
	unsigned rounds = 0;
	struct world w;
	uint64_t saw = 0;

	world_open(&w, 1 << 20, 10);
	/* block 1 is known to be absent, what is before it is not known yet */
	pr_key_space(&absent, VOLUME, 0, 1);
	rowset_want(w.rows, ROWSET_FETCH_FROM, absent.b, absent.len, &w);
	cr_assert_eq(answer_empty(&w), 1);
	pr_key_space(&from, VOLUME, 0, 3);
	for (; a == ROWSET_MISS && rounds < 5; rounds++) {
		a = rowset_seek(w.rows, from.b, from.len, 3, -1, NULL, NULL, &key, &value, &saw,
				&at);
		if (a == ROWSET_MISS) {
			rowset_want(w.rows, ROWSET_FETCH_BEFORE, at.p, (uint16_t)at.len, &w);
			answer_empty(&w);
		}
	}
	cr_assert_eq(a, ROWSET_ABSENT, "still unknown after %u fetches", rounds);
	world_close(&w);
}

/* As an operation that is run again from its beginning whenever a fetch has come: what is around each of many places. */
static bool asks_around(struct world *w, unsigned places)
{
	struct pr_bytes key, value, at;
	struct pr_key from, other;
	uint64_t saw = 0;

	for (unsigned i = 0; i < places; i++) {
		pr_key_space(&from, VOLUME, 0, 100 * i + 20);
		pr_key_space(&other, VOLUME, 0, 100 * i + 50);
		for (int dir = -1; dir < 2; dir += 2)
			if (rowset_seek(w->rows, from.b, from.len, 3, dir, NULL, NULL, &key, &value,
					&saw, &at) == ROWSET_MISS) {
				rowset_want(w->rows,
					    dir < 0 ? ROWSET_FETCH_BEFORE : ROWSET_FETCH_FROM, at.p,
					    (uint16_t)at.len, w);
				return false;
			}
		if (rowset_get(w->rows, other.b, other.len, rowset_hash(other.b, other.len), &value,
			       &saw) == ROWSET_MISS) {
			rowset_want(w->rows, ROWSET_FETCH_ONE, other.b, other.len, w);
			return false;
		}
	}
	return true;
}

/* Where nothing is belongs to what was read: lost with the rows around it, it would be asked for again and again. */
Test(rowset, what_is_kept_keeps_the_gaps_that_were_read)
{
	enum { PLACES = 40 };
	unsigned rounds = 0;
	struct world w;
	bool done = false;

	world_open(&w, 2000, 11);
	for (unsigned i = 0; i < PLACES * 10; i++) {
		struct pr_key key;

		pr_key_space(&key, VOLUME, 0, 10 * i + 1);
		rowset_put(w.rows, key.b, key.len, rowset_hash(key.b, key.len), (uint8_t *)"x", 1,
			   1);
	}
	for (unsigned i = 0; i < 3; i++)
		step_flush(&w);
	while (rowset_work(w.rows, 100)) {
	}
	for (; !done && rounds < 10 * PLACES; rounds++) {
		rowset_keep(w.rows, true);
		done = asks_around(&w, PLACES);
		rowset_keep(w.rows, false);
		while (rowset_work(w.rows, 100)) {
		}
		read_store(&w);
		while (w.late_count > 0)
			answer_one(&w);
	}
	cr_assert(done, "after %u fetches", rounds);
	rowset_keep_end(w.rows);
	while (rowset_work(w.rows, 100)) {
	}
	cr_assert_leq(rowset_clean_bytes(w.rows), 2000, "what was kept is let go");
	rowset_check(w.rows);
	world_close(&w);
}

/* What a thousand rows cost whose inode numbers are so far apart. */
static size_t cost_of_inodes(uint64_t step)
{
	struct rowset *rows = rowset_new(1 << 20, 1 << 20);
	uint8_t value[16] = {0};
	struct pr_key key;
	size_t live, dirty;

	for (uint64_t i = 0; i < 1000; i++) {
		pr_key_inode(&key, VOLUME, 4096 + i * step);
		rowset_put(rows, key.b, key.len, rowset_hash(key.b, key.len), value, sizeof(value),
			   1);
	}
	rowset_check(rows);
	live = rowset_live_bytes(rows);
	rowset_freeze(rows);
	cr_assert_eq(rowset_live_bytes(rows), 0);
	cr_assert_eq(rowset_dirty_bytes(rows), live);
	rowset_flushed(rows);
	while (rowset_work(rows, 100)) {
	}
	dirty = rowset_dirty_bytes(rows);
	cr_assert_eq(dirty, 0);
	rowset_free(rows);
	return live;
}

Test(rowset, rows_far_apart_cost_the_pages_that_their_flush_changes)
{
	size_t near = cost_of_inodes(1), far = cost_of_inodes(1000);

	/* a page for each, but for the few that meet in the sketch */
	cr_assert_geq(far - near, 900 * 2048, "%zu and %zu", near, far);
	cr_assert_leq(near, 1000 * 300, "%zu", near);
}

/* What a thousand names cost that follow each other and are put there, or removed. */
static size_t cost_of_names(bool removed)
{
	struct rowset *rows = rowset_new(1 << 20, 1 << 20);
	uint8_t value[8] = {0};
	struct pr_key key;
	char name[16];
	size_t live;

	for (unsigned i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "f%u", 1000 + i);
		pr_key_name(&key, VOLUME, 1, name, strlen(name));
		rowset_put(rows, key.b, key.len, rowset_hash(key.b, key.len),
			   removed ? NULL : value, sizeof(value), 1);
	}
	rowset_check(rows);
	live = rowset_live_bytes(rows);
	rowset_free(rows);
	return live;
}

Test(rowset, names_that_go_cost_pages_of_their_own)
{
	size_t put = cost_of_names(false), removed = cost_of_names(true);

	cr_assert_leq(put, 1000 * 550, "%zu", put);
	cr_assert_geq(removed, 1000 * 1536, "%zu", removed);
	cr_assert_leq(removed, 1000 * 2048, "%zu", removed);
}
