/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "controller/io/store.h"
#include "proto/pr.h"

struct mixed {
	uint64_t ino;
	uint32_t version; /* 0: removed */
};

/* Any length up to what LMDB keeps in pages of its own. */
static uint32_t mixed_value(const struct mixed *m, uint8_t *out)
{
	uint32_t n =
		(uint32_t)((m->ino * 31 + m->version * 101) % (m->version % 17 ? 300 : 9000)) + 1;

	memset(out, (int)(m->ino + m->version), n);
	return n;
}

/* A flush of our own making: inodes ino..ino+count-1 of volume 1, each of one size, or their absence. */
struct ctl_flush {
	uint64_t ino, count, size;
	bool remove;
	const struct mixed *mixed; /* instead: any rows */
	struct pr_key key;
	uint8_t value[9000];
};

size_t ctl_flush_count(struct ctl_flush *f)
{
	return f->count;
}

void ctl_flush_sort(struct ctl_flush *f)
{
}

void ctl_flush_get(struct ctl_flush *f, size_t i, const uint8_t **ret_key, size_t *ret_key_len,
		   const uint8_t **ret_value, size_t *ret_len)
{
	struct pr_row_inode row = {.size = f->size, .nlink = 1};
	struct pr_buf b = pr_buf_on(f->value, sizeof(f->value));

	if (f->mixed) {
		pr_key_inode(&f->key, 1, f->mixed[i].ino);
		*ret_key = f->key.b;
		*ret_key_len = f->key.len;
		*ret_len = f->mixed[i].version ? mixed_value(&f->mixed[i], f->value) : 0;
		*ret_value = f->mixed[i].version ? f->value : NULL;
		return;
	}
	pr_key_inode(&f->key, 1, f->ino + i);
	cr_assert_eq(pr_row_inode_encode(&b, &row), 0);
	*ret_key = f->key.b;
	*ret_key_len = f->key.len;
	*ret_value = f->remove ? NULL : f->value;
	*ret_len = b.len;
}

static char dir[] = "/tmp/mdc-store.XXXXXX";
static struct store *store;
static struct store_done done;
static uint64_t map_bytes = 64 << 20;
static uint8_t cluster = 1;

static int open_store(char *why)
{
	struct store_config c = {.dir = dir, .map_bytes = map_bytes, .readers = 2, .flush_ms = 100};

	memset(c.cluster.b, cluster, sizeof(c.cluster.b));
	return store_open(&c, &store, why, 512);
}

static void begin(void)
{
	char why[512] = "";

	cr_assert_not_null(mkdtemp(dir));
	cr_assert_eq(open_store(why), 0, "%s", why);
}

static void end(void)
{
	char command[64];

	store_close(store);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	cr_assert_eq(system(command), 0);
}

static void reopen(void)
{
	char why[512] = "";

	store_close(store);
	store = NULL;
	cr_assert_eq(open_store(why), 0, "%s", why);
}

static void wait_done(enum store_done_type type)
{
	struct pollfd p = {.fd = store_fd(store), .events = POLLIN};

	store_kick(store);
	while (!store_next(store, &done)) {
		store_kick(store);
		cr_assert_eq(poll(&p, 1, 10000), 1, "the store does not answer");
	}
	cr_assert_eq(done.type, type);
}

static void flush_all(struct ctl_flush *f, uint64_t lsn)
{
	store_flush(store, f, lsn);
	wait_done(STORE_FLUSHED);
	cr_assert_eq(done.error, 0, "%s", done.text);
	cr_assert_eq(done.lsn, lsn);
}

static void flush(uint64_t ino, uint64_t count, uint64_t size, uint64_t lsn)
{
	struct ctl_flush f = {.ino = ino, .count = count, .size = size};

	flush_all(&f, lsn);
}

static void fetch(int kind, uint64_t ino, uint16_t prefix_len, uint32_t rows_max)
{
	struct ctl_fetch f = {.kind = kind, .prefix_len = prefix_len, .rows_max = rows_max};

	pr_key_inode(&f.key, 1, ino);
	store_fetch(store, 7, &f);
	wait_done(STORE_ROWS);
	cr_assert_eq(done.error, 0, "%s", done.text);
	cr_assert_eq(done.ticket, 7u);
}

static uint64_t ino_of(uint32_t i)
{
	uint16_t volume;
	uint64_t ino;

	cr_assert_eq(pr_key_parse_inode(done.rows[i].key.b, done.rows[i].key.len, &volume, &ino),
		     0);
	return ino;
}

static uint64_t size_of(uint32_t i)
{
	struct pr_row_inode row;

	cr_assert_eq(pr_row_inode_decode(&row, done.rows[i].value, done.rows[i].bytes), 0);
	return row.size;
}

TestSuite(store, .init = begin, .fini = end);

Test(store, a_new_one_stands_at_lsn_0_and_is_empty)
{
	cr_assert_eq(store_lsn(store), 0u);
	fetch(CTL_FETCH_FROM, 0, 1, 10);
	cr_assert_eq(done.row_count, 0u);
	cr_assert(done.complete);
}

Test(store, rows_and_their_lsn_survive_a_restart)
{
	flush(10, 5, 111, 42);
	reopen();
	cr_assert_eq(store_lsn(store), 42u);
	fetch(CTL_FETCH_ONE, 12, 0, 1);
	cr_assert_eq(done.row_count, 1u);
	cr_assert_eq(size_of(0), 111u);
	fetch(CTL_FETCH_ONE, 15, 0, 1);
	cr_assert_eq(done.row_count, 0u);
}

Test(store, a_later_flush_replaces_and_deletes)
{
	struct ctl_flush gone = {.ino = 11, .count = 1, .remove = true};

	flush(10, 3, 1, 1);
	flush(10, 1, 2, 2);
	store_flush(store, &gone, 3);
	wait_done(STORE_FLUSHED);
	fetch(CTL_FETCH_FROM, 0, 3, 10);
	cr_assert_eq(done.row_count, 2u);
	cr_assert_eq(ino_of(0), 10u);
	cr_assert_eq(size_of(0), 2u);
	cr_assert_eq(ino_of(1), 12u);
	cr_assert_eq(size_of(1), 1u);
}

Test(store, ranges_go_both_ways_and_say_whether_they_are_complete)
{
	flush(10, 10, 1, 1);
	fetch(CTL_FETCH_FROM, 15, 3, 3);
	cr_assert_eq(done.row_count, 3u);
	cr_assert_eq(ino_of(0), 15u);
	cr_assert_eq(ino_of(2), 17u);
	cr_assert_not(done.complete);
	fetch(CTL_FETCH_FROM, 15, 3, 100);
	cr_assert_eq(done.row_count, 5u);
	cr_assert(done.complete);
	fetch(CTL_FETCH_BEFORE, 15, 3, 2);
	cr_assert_eq(done.row_count, 2u);
	cr_assert_eq(ino_of(0), 14u);
	cr_assert_eq(ino_of(1), 13u);
	cr_assert_not(done.complete);
	fetch(CTL_FETCH_BEFORE, 100, 3, 100);
	cr_assert_eq(done.row_count, 10u);
	cr_assert(done.complete);
	fetch(CTL_FETCH_BEFORE, 10, 3, 100);
	cr_assert_eq(done.row_count, 0u);
	cr_assert(done.complete);
}

static void check_all(const uint32_t *version, uint64_t rows)
{
	static uint8_t value[9000];
	uint64_t next = 0;

	while (next < rows) {
		fetch(CTL_FETCH_FROM, next, 3, 500);
		for (uint32_t i = 0; i < done.row_count; i++, next++) {
			struct mixed m = {.ino = ino_of(i)};

			for (; next < m.ino; next++)
				cr_assert_eq(version[next], 0u, "row %u is missing",
					     (unsigned)next);
			m.version = version[next];
			cr_assert_neq(m.version, 0u, "row %u was removed", (unsigned)next);
			cr_assert_eq(done.rows[i].bytes, mixed_value(&m, value));
			cr_assert_arr_eq(done.rows[i].value, value, done.rows[i].bytes);
		}
		if (!done.complete)
			continue;
		for (; next < rows; next++)
			cr_assert_eq(version[next], 0u, "row %u is missing", (unsigned)next);
	}
}

Test(store, rows_put_and_removed_by_turns_are_what_they_should_be, .timeout = 120)
{
	enum { ROWS = 6000, FLUSHES = 40 };
	static uint32_t version[ROWS];
	static struct mixed list[ROWS];
	struct ctl_flush f = {.mixed = list};
	uint32_t random = 1;

	for (uint32_t n = 1; n <= FLUSHES; n++) {
		uint32_t share = n % 5 ? 1 + n % 7 : 60, removals = n % 3 ? 4 : 1;

		f.count = 0;
		for (uint64_t ino = 0; ino < ROWS; ino++) {
			random = random * 1664525 + 1013904223;
			if ((random >> 8) % 64 >= share)
				continue;
			version[ino] = (random >> 20) % removals ? n : 0;
			list[f.count++] = (struct mixed){ino, version[ino]};
		}
		flush_all(&f, n);
		if (n % 10 == 0)
			reopen();
		check_all(version, ROWS);
	}
}

/* Runs of new rows, short and long, with rows of the store between them, before and behind. */
Test(store, runs_of_new_rows_leave_those_around_them_as_they_are, .timeout = 120)
{
	enum { ROWS = 20000, FLUSHES = 24 };
	static uint32_t version[ROWS];
	static struct mixed list[ROWS];
	struct ctl_flush f = {.mixed = list};
	uint32_t random = 7;

	for (uint32_t n = 1; n <= FLUSHES; n++) {
		f.count = 0;
		for (uint64_t ino = 0; ino < ROWS;) {
			uint64_t stop;
			bool skip;

			random = random * 1664525 + 1013904223;
			stop = ino + 1 + (random >> 8) % (n % 2 ? 1000 : 90);
			skip = n > 1 && (random >> 24) % 4 > 0;
			for (; ino < stop && ino < ROWS; ino++) {
				if (skip || (version[ino] && n % 3))
					continue;
				version[ino] = (random >> 20) % 8 ? n : 0;
				list[f.count++] = (struct mixed){ino, version[ino]};
			}
			ino += n == 1 ? 700 : 0;
		}
		flush_all(&f, n);
		check_all(version, ROWS);
	}
}

/* What is made last of a table has rows of the next table behind it, in the same page. */
Test(store, pages_of_ascending_rows_are_full)
{
	enum { RUN = 4000, RUNS = 10 };
	struct store_stats stats;
	uint64_t row_bytes;

	flush(1ull << 40, 100, 1, 1);
	for (uint64_t i = 0; i < RUNS; i++)
		flush(i * RUN, RUN, 2, i + 2);
	fetch(CTL_FETCH_ONE, 1, 0, 1);
	row_bytes = done.rows[0].bytes + done.rows[0].key.len + 10;
	store_get_stats(store, &stats);
	cr_assert_eq(stats.entries, RUN * RUNS + 101u);
	cr_assert_lt(stats.used_bytes, RUN * RUNS * row_bytes * 5 / 4, "%u bytes for a row of %u",
		     (unsigned)(stats.used_bytes / (RUN * RUNS)), (unsigned)row_bytes);
	fetch(CTL_FETCH_FROM, RUN * RUNS, 3, 1000);
	cr_assert_eq(done.row_count, 100u);
	cr_assert_eq(ino_of(0), 1ull << 40);
	cr_assert_eq(ino_of(99), (1ull << 40) + 99);
	cr_assert_eq(size_of(99), 1u);
}

Test(store, a_full_map_grows_and_nothing_is_lost)
{
	struct store_stats stats;
	char command[64];

	map_bytes = 1 << 20;
	store_close(store);
	snprintf(command, sizeof(command), "rm -r %s/store", dir);
	cr_assert_eq(system(command), 0);
	store = NULL;
	reopen();
	for (uint64_t i = 0; i < 4; i++)
		flush(i * 20000, 20000, i, i + 1);
	store_get_stats(store, &stats);
	cr_assert_gt(stats.map_grown, 0u);
	cr_assert_eq(stats.entries, 80001u);
	fetch(CTL_FETCH_ONE, 79999, 0, 1);
	cr_assert_eq(size_of(0), 3u);
	reopen();
	cr_assert_eq(store_lsn(store), 4u);
	fetch(CTL_FETCH_ONE, 0, 0, 1);
	cr_assert_eq(done.row_count, 1u);
}

/* The answer to a fetch that ran before a flush, taken after the flush was reported, would be stale. */
Test(store, no_answer_is_older_than_a_flush_already_reported)
{
	struct ctl_flush f = {.ino = 1, .count = 1, .size = 2};
	struct ctl_fetch one = {.kind = CTL_FETCH_ONE, .rows_max = 1};
	struct pollfd p = {.fd = store_fd(store), .events = POLLIN};
	bool flushed = false;
	int answers = 0;

	flush(1, 1, 1, 1);
	pr_key_inode(&one.key, 1, 1);
	for (int i = 0; i < 200; i++)
		store_fetch(store, 1, &one);
	store_kick(store);
	store_flush(store, &f, 2);
	while (answers < 200 || !flushed) {
		poll(&p, 1, 10000);
		while (store_next(store, &done)) {
			if (done.type == STORE_FLUSHED) {
				flushed = true;
				continue;
			}
			answers++;
			if (flushed)
				cr_assert_eq(size_of(0), 2u);
		}
		store_kick(store);
	}
}

static void copy_all(struct store *to, uint64_t *ret_bytes)
{
	uint64_t cookie = 0, lsn = 0;

	store_copy_begin(to);
	do {
		uint8_t *bytes;
		uint32_t len;
		bool last;

		store_copy_read(store, cookie++);
		wait_done(STORE_COPY_ROWS);
		cr_assert_eq(done.error, 0);
		if (!lsn)
			lsn = done.lsn;
		cr_assert_leq(done.done_bytes, done.total_bytes);
		bytes = malloc(done.len + 1);
		len = done.len;
		last = done.last;
		*ret_bytes = done.done_bytes;
		memcpy(bytes, done.p, len);
		store_copy_put(to, bytes, len);
		free(bytes);
		if (last)
			break;
	} while (true);
	store_copy_end(to, lsn);
}

Test(store, a_full_copy_is_adopted_whole)
{
	struct store *source, *target;
	char target_dir[] = "/tmp/mdc-store.XXXXXX", why[512], command[64];
	struct store_config c = {
		.dir = target_dir, .map_bytes = 1 << 20, .readers = 1, .flush_ms = 100};
	uint64_t bytes;
	int answers = 0;

	cr_assert_not_null(mkdtemp(target_dir));
	memset(c.cluster.b, cluster, 16);
	flush(1, 20000, 5, 77);
	source = store;
	cr_assert_eq(store_open(&c, &target, why, sizeof(why)), 0, "%s", why);
	store = target;
	flush(500000, 10, 9, 3); /* what the target had must be gone */
	store = source;
	copy_all(target, &bytes);
	cr_assert_gt(bytes, 20000u * 100);
	store = target;
	do {
		wait_done(STORE_COPY_APPLIED);
		cr_assert_eq(done.error, 0, "%s", done.text);
		answers++;
	} while (store_lsn(target) != 77);
	cr_assert_gt(answers, 3);
	fetch(CTL_FETCH_ONE, 20000, 0, 1);
	cr_assert_eq(size_of(0), 5u);
	fetch(CTL_FETCH_FROM, 20001, 3, 100);
	cr_assert_eq(done.row_count, 0u);
	flush(20001, 1, 6, 78); /* the new environment takes flushes */
	store_copy_keep(target);
	store_close(target);
	cr_assert_eq(store_open(&c, &target, why, sizeof(why)), 0, "%s", why);
	cr_assert_eq(store_lsn(target), 78u);
	store_close(target);
	store = source;
	snprintf(command, sizeof(command), "rm -rf %s", target_dir);
	cr_assert_eq(system(command), 0);
}

Test(store, a_damaged_copy_is_refused)
{
	static const uint8_t garbage[] = {200, 0, 255, 255, 0, 0, 1, 2, 3};

	store_copy_begin(store);
	wait_done(STORE_COPY_APPLIED);
	store_copy_put(store, garbage, sizeof(garbage));
	wait_done(STORE_COPY_APPLIED);
	cr_assert_eq(done.error, -EBADMSG);
}

Test(store, an_interrupted_copy_leaves_the_old_rows)
{
	flush(1, 3, 1, 9);
	store_copy_begin(store);
	wait_done(STORE_COPY_APPLIED);
	reopen();
	cr_assert_eq(store_lsn(store), 9u);
	fetch(CTL_FETCH_ONE, 3, 0, 1);
	cr_assert_eq(done.row_count, 1u);
}

Test(store, the_store_of_another_cluster_is_refused)
{
	char why[512] = "";

	store_close(store);
	store = NULL;
	cluster = 2;
	cr_assert_eq(open_store(why), -EXDEV);
	cr_assert_not_null(strstr(why, "belongs to cluster 01010101"), "%s", why);
}
