/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The store's writer: flushes, and the environment that a full copy arrives in. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "controller/io/store_int.h"
#include "proto/assert.h"

enum {
	PACE_ROWS = 256,
	PACE_ROW_US =
		1, /* three rows of a create: slower than the creates come, and they would wait */
	PACE_MAX_MS = 5000,
	RUN_ROWS = 64, /* of a long run, at least */
	PAGE_BYTES = 4096,
	NO_SPACE_RETRY_MS = 500,
	NO_SPACE_BYTES = 1 << 20, /* less than LMDB writes at once */
};

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void pause_us(uint64_t us)
{
	const struct timespec t = {.tv_sec = (time_t)(us / 1000000),
				   .tv_nsec = (long)(us % 1000000) * 1000};

	nanosleep(&t, NULL);
}

/* Spread over a part of the time until the next flush, so that it takes a little of the CPU at a time. */
static void pace(struct store *s, uint64_t begun_us, size_t done, size_t count)
{
	uint64_t span_us, due_us, now;

	if (count < 16 * PACE_ROWS || __atomic_load_n(&s->stop, __ATOMIC_RELAXED))
		return;
	span_us = (uint64_t)s->flush_ms * 1000 / 4;
	if (span_us > count * PACE_ROW_US)
		span_us = count * PACE_ROW_US;
	if (span_us > PACE_MAX_MS * 1000ull)
		span_us = PACE_MAX_MS * 1000ull;
	due_us = begun_us + span_us * done / count;
	now = now_us();
	if (now < due_us)
		pause_us(due_us - now);
}

/* A transaction that writes. Puts in the order of keys find their page under the cursor; a removal begins with a new one. */
struct writing {
	const struct env *e;
	MDB_txn *txn;
	MDB_cursor *cursor;
};

static int begin_writing(struct writing *w, const struct env *e)
{
	*w = (struct writing){.e = e};
	return mdb_txn_begin(e->mdb, NULL, 0, &w->txn);
}

static void drop_cursor(struct writing *w)
{
	if (w->cursor)
		mdb_cursor_close(w->cursor);
	w->cursor = NULL;
}

static int put_row(struct writing *w, const uint8_t *key, size_t key_len, const uint8_t *value,
		   size_t len)
{
	MDB_val k = {key_len, (void *)(uintptr_t)key}, v = {len, (void *)(uintptr_t)value};
	int rc = 0;

	if (value) {
		if (!w->cursor)
			rc = mdb_cursor_open(w->txn, w->e->dbi, &w->cursor);
		return rc ? rc : mdb_cursor_put(w->cursor, &k, &v, 0);
	}
	drop_cursor(w);
	rc = mdb_del(w->txn, w->e->dbi, &k, NULL);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

/* rc: of what was written. 0: it is in the store, all of it. */
static int end_writing(struct writing *w, int rc)
{
	drop_cursor(w);
	if (!rc)
		return mdb_txn_commit(w->txn);
	mdb_txn_abort(w->txn);
	return rc;
}

/*
 * LMDB fills a page to the end only where rows are put behind the page's last one; a page that is added to in its middle is split in
 * halves, and stays half empty where keys ascend, as those of new inodes and entries do. So before a long run of new rows what
 * stands behind it in its page is taken out, and put back behind the run.
 */
struct run {
	struct pr_key
		before; /* the run ends before this row of the store; len 0: there is no run */
	struct store_rows
		taken; /* this row and those behind it, if they stood in the page of the run */
};

static bool is_before(struct ctl_flush *f, size_t i, const struct pr_key *k)
{
	const uint8_t *key, *value;
	size_t key_len, len;

	ctl_flush_get(f, i, &key, &key_len, &value, &len);
	return pr_key_cmp_bytes(key, key_len, k->b, k->len) < 0;
}

/* LMDB's pages lie at multiples of their size: in the map, and where malloc aligns them. Where it does not a page is not filled as well. */
static uintptr_t page_of(const MDB_val *k)
{
	return (uintptr_t)k->mv_data & ~(uintptr_t)(PAGE_BYTES - 1);
}

/* The cursor stands at k, the first row behind the run. */
static int look_behind(struct writing *w, MDB_val k, struct run *run)
{
	uintptr_t page = page_of(&k);
	MDB_val v;
	int rc = mdb_cursor_get(w->cursor, &k, &v, MDB_PREV);

	if (rc || page_of(&k) != page)
		return rc == MDB_NOTFOUND ? 0 : rc;
	while (!(rc = mdb_cursor_get(w->cursor, &k, &v, MDB_NEXT)) && page_of(&k) == page)
		store_rows_add(&run->taken, &k, &v);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

/* put: what was taken comes back; else it goes. */
static int move_taken(struct writing *w, struct run *run, bool put)
{
	const struct ctl_row *row = store_rows_array(&run->taken);
	int rc = 0;

	for (uint32_t i = 0; i < run->taken.count && !rc; i++)
		rc = put_row(w, row[i].key.b, row[i].key.len, put ? row[i].value : NULL,
			     row[i].bytes);
	return rc;
}

static int begin_run(struct writing *w, struct ctl_flush *f, size_t i, struct run *run)
{
	const uint8_t *key, *value;
	size_t key_len, len;
	MDB_val k, v;
	int rc = w->cursor ? 0 : mdb_cursor_open(w->txn, w->e->dbi, &w->cursor);

	if (rc)
		return rc;
	ctl_flush_get(f, i, &key, &key_len, &value, &len);
	k = (MDB_val){key_len, (void *)(uintptr_t)key};
	rc = mdb_cursor_get(w->cursor, &k, &v, MDB_SET_RANGE);
	if (rc)
		return rc == MDB_NOTFOUND ? 0 : rc;
	pr_key_from_bytes(&run->before, k.mv_data, k.mv_size);
	if (!is_before(f, i + RUN_ROWS - 1, &run->before)) {
		run->before.len = 0;
		return 0;
	}
	store_rows_clear(&run->taken);
	rc = look_behind(w, k, run);
	return rc ? rc : move_taken(w, run, false);
}

static int end_run(struct writing *w, struct run *run)
{
	run->before.len = 0;
	return move_taken(w, run, true);
}

static int put_rows(struct store *s, struct writing *w, struct ctl_flush *f, struct run *run)
{
	size_t count = ctl_flush_count(f), key_len, len;
	const uint8_t *key, *value;
	uint64_t begun_us = now_us();
	int rc = 0;

	for (size_t i = 0; i < count && !rc; i++) {
		if (run->before.len > 0 && !is_before(f, i, &run->before))
			rc = end_run(w, run);
		if (!rc && run->before.len == 0 && i % RUN_ROWS == 0 && i + RUN_ROWS <= count)
			rc = begin_run(w, f, i, run);
		if (rc)
			break;
		ctl_flush_get(f, i, &key, &key_len, &value, &len);
		rc = put_row(w, key, key_len, value, len);
		if (i % PACE_ROWS == PACE_ROWS - 1)
			pace(s, begun_us, i, count);
	}
	return !rc && run->before.len > 0 ? end_run(w, run) : rc;
}

static int flush_once(struct store *s, struct task *t)
{
	struct run run = {0};
	struct writing w;
	int rc = begin_writing(&w, &s->env);

	if (rc)
		return rc;
	rc = put_rows(s, &w, t->flush, &run);
	if (!rc)
		rc = env_put_meta(s, &s->env, w.txn, t->done.lsn);
	store_rows_free(&run.taken);
	return end_writing(&w, rc);
}

static bool stopping(struct store *s)
{
	bool stop;

	pthread_mutex_lock(&s->lock);
	stop = s->stop;
	pthread_mutex_unlock(&s->lock);
	return stop;
}

/* LMDB calls a short write EIO, as it does a bad disk: it is a full one if there is no room, and no write or sync has store_failed. */
static bool is_full(const struct env *e, int rc)
{
	struct statvfs v;

	if (rc == ENOSPC || rc == EDQUOT)
		return true;
	if (rc != EIO || fstatvfs(e->errors_fd, &v) < 0 || fsync(e->errors_fd) < 0)
		return false;
	return (uint64_t)v.f_bavail * v.f_frsize < NO_SPACE_BYTES;
}

static void finish(struct store *s, struct task *t)
{
	struct task_list one = STAILQ_HEAD_INITIALIZER(one);

	STAILQ_INSERT_TAIL(&one, t, next);
	task_finish(s, &one);
}

static void tell_space(struct store *s, int error)
{
	struct task *t = calloc(1, sizeof(*t));

	ASSERT_MEMORY(t);
	t->work = SPACE;
	t->done = (struct store_done){.type = STORE_SPACE, .error = error};
	snprintf(t->text, sizeof(t->text), "%.100s: %s", s->dir,
		 error ? "the disk is full, changes wait for room" : "there is room again");
	finish(s, t);
}

/*
 * A full map and a full disk are no failures: nothing of the transaction is there, it is done again.
 * Anything else is final, a store_failed sync above all. 0: write it again.
 */
static int make_room(struct store *s, struct env *e, int rc, bool *waits)
{
	if (rc == MDB_MAP_FULL)
		return env_grow(s, e);
	if (!is_full(e, rc) || stopping(s))
		return rc;
	pthread_mutex_lock(&s->lock);
	s->stats.no_space++;
	pthread_mutex_unlock(&s->lock);
	if (!*waits)
		tell_space(s, -ENOSPC);
	*waits = true;
	pause_us(NO_SPACE_RETRY_MS * 1000);
	return 0;
}

static void do_flush(struct store *s, struct task *t)
{
	uint64_t begun_us = now_us();
	bool waited = false;
	int rc;

	ctl_flush_sort(t->flush);
	while ((rc = flush_once(s, t)))
		if ((rc = make_room(s, &s->env, rc, &waited)))
			break;
	if (waited)
		tell_space(s, 0);
	t->done.error = rc ? store_failed(t, rc, "flush") : 0;
	if (rc)
		return;
	pthread_mutex_lock(&s->lock);
	s->stats.flushes++;
	s->stats.flushed_rows += ctl_flush_count(t->flush);
	s->stats.flush_ms = (now_us() - begun_us) / 1000;
	pthread_mutex_unlock(&s->lock);
}

static int copy_begin(struct store *s)
{
	char path[PATH_MAX];
	int rc;

	env_close(&s->incoming);
	rc = env_remove(s, "store.new");
	if (!rc)
		rc = env_remove(s, "store.old");
	if (!rc && env_path(s, "store.new", path) < 0)
		rc = ENAMETOOLONG;
	if (rc)
		return rc;
	/* Nobody reads it before it is whole, synced and renamed: no sync for each of its transactions. */
	return env_open(s, path, MDB_NOSYNC, &s->incoming);
}

static int put_packed(struct store *s, struct task *t)
{
	struct pr_bytes key, value;
	struct writing w;
	size_t at = 0;
	int rc = begin_writing(&w, &s->incoming), more;

	if (rc)
		return rc;
	while (!rc && (more = store_rows_unpack(&t->rows, &at, &key, &value)) != 0)
		rc = more < 0 ? EBADMSG : put_row(&w, key.p, key.len, value.p, value.len);
	return end_writing(&w, rc);
}

static int copy_put(struct store *s, struct task *t)
{
	bool waited = false;
	int rc;

	if (!s->incoming.mdb)
		return EPROTO;
	while ((rc = put_packed(s, t)))
		if ((rc = make_room(s, &s->incoming, rc, &waited)))
			break;
	if (waited)
		tell_space(s, 0);
	return rc;
}

static int copy_end(struct store *s, struct task *t)
{
	MDB_txn *txn = NULL;
	struct env old;
	char path[PATH_MAX];
	int rc;

	if (!s->incoming.mdb)
		return EPROTO;
	rc = mdb_txn_begin(s->incoming.mdb, NULL, 0, &txn);
	if (!rc)
		rc = env_put_meta(s, &s->incoming, txn, t->done.lsn);
	if (!rc)
		rc = mdb_txn_commit(txn);
	else if (txn)
		mdb_txn_abort(txn);
	if (!rc)
		rc = mdb_env_sync(s->incoming.mdb, 1);
	if (rc)
		return rc;
	env_close(&s->incoming); /* opened again below, with syncs */
	rc = env_rename(s, "store.new", "store", RENAME_EXCHANGE);
	if (!rc)
		rc = env_rename(s, "store.new", "store.old", 0);
	if (!rc)
		rc = env_sync_dir(s->dir);
	if (rc || env_path(s, "store", path) < 0)
		return rc ? rc : ENAMETOOLONG;
	pthread_rwlock_wrlock(&s->env_lock);
	old = s->env;
	rc = env_open(s, path, 0, &s->env);
	s->env_serial++;
	pthread_rwlock_unlock(&s->env_lock);
	if (!rc)
		env_close(&old);
	return rc;
}

static void do_write(struct store *s, struct task *t)
{
	int rc = 0;

	if (t->work == FLUSH) {
		do_flush(s, t);
		return;
	}
	if (t->work == COPY_BEGIN)
		rc = copy_begin(s);
	else if (t->work == COPY_PUT)
		rc = copy_put(s, t);
	else
		rc = copy_end(s, t);
	t->done.error = rc ? store_failed(t, rc, "full copy") : 0;
}

static void be_modest(void)
{
	const int who = 1, best_effort_lowest = 3 << 13; /* ioprio_set(2) */

	setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), 10);
	syscall(SYS_ioprio_set, who, 0, best_effort_lowest);
}

void *store_writer(void *user)
{
	struct store *s = user;
	struct task *t;

	be_modest();
	for (;;) {
		pthread_mutex_lock(&s->lock);
		while (!s->stop && STAILQ_EMPTY(&s->writes))
			pthread_cond_wait(&s->write_wake, &s->lock);
		t = s->stop ? NULL : task_take(&s->writes);
		pthread_mutex_unlock(&s->lock);
		if (!t)
			return NULL;
		if (t->work == COPY_KEEP) {
			(void)env_remove(s, "store.old"); /* the next start tries again */
			task_free(t);
			continue;
		}
		do_write(s, t);
		finish(s, t);
	}
}
