/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "controller/io/store.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <lmdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "controller/io/store_head.h"
#include "controller/io/store_rows.h"
#include "proto/assert.h"

enum {
	FORMAT = 1,
	READERS_MAX = 16,
	READ_BATCH = 32, /* fetches a read transaction serves */
	COPY_CHUNK_BYTES = 512 << 10,
	PACE_ROWS = 256,
	PACE_ROW_US =
		1, /* three rows of a create: slower than the creates come, and they would wait */
	PACE_MAX_MS = 5000,
	NO_SPACE_RETRY_MS = 500,
	NO_SPACE_BYTES = 1 << 20, /* less than LMDB writes at once */
};
#define MAP_GRAIN ((uint64_t)1 << 30)

enum work { FETCH, COPY_READ, FLUSH, COPY_BEGIN, COPY_PUT, COPY_END, COPY_KEEP, SPACE };

struct task {
	struct task *next;
	enum work work;
	struct ctl_fetch fetch;
	struct ctl_flush *flush;
	uint64_t cookie;
	struct store_rows rows; /* of COPY_PUT: its bytes; of fetches: the answer */
	struct store_done done;
	char text[160];
};

struct list {
	struct task *first, **last;
};

/* An open environment. */
struct env {
	MDB_env *mdb;
	MDB_dbi dbi;
	int errors_fd; /* its file once more: a failed sync is told to it too */
};

struct store {
	char dir[PATH_MAX];
	struct pr_uuid cluster;
	uint64_t map_bytes;
	uint32_t flush_ms;
	struct env env;	     /* changed only under env_lock for writing */
	struct env incoming; /* of a full copy; the writer's alone */
	pthread_rwlock_t env_lock;
	uint32_t env_serial;

	pthread_mutex_t lock;
	pthread_cond_t read_wake, write_wake;
	struct list reads, writes, finished;
	bool stop;
	int event_fd;
	pthread_t reader[READERS_MAX], writer;
	uint32_t readers;
	bool has_writer;

	/* of the caller's thread */
	struct list new_reads;
	uint32_t new_read_count;
	struct list handing; /* finished, being handed out */
	struct task *handed;
	uint64_t reported_lsn;
	bool eof;
	struct store_stats stats;

	/* of the copy source: where it stands */
	struct pr_key copy_after;
	uint64_t copy_done_bytes;
};

/* The key of the store itself sorts before every row's and is none. */
static const uint8_t meta_key[] = {0, 's', 't', 'o', 'r', 'e'};

struct meta {
	uint32_t format, reserved;
	uint64_t lsn;
	uint8_t cluster[16];
};
_Static_assert(sizeof(struct meta) == 32, "the store's own row");

static void list_init(struct list *l)
{
	l->first = NULL;
	l->last = &l->first;
}

static void list_put(struct list *l, struct task *t)
{
	t->next = NULL;
	*l->last = t;
	l->last = &t->next;
}

static struct task *list_take(struct list *l)
{
	struct task *t = l->first;

	if (t) {
		l->first = t->next;
		if (!l->first)
			l->last = &l->first;
	}
	return t;
}

static void list_join(struct list *to, struct list *from)
{
	if (!from->first)
		return;
	*to->last = from->first;
	to->last = from->last;
	list_init(from);
}

static void free_task(struct task *t)
{
	if (!t)
		return;
	store_rows_free(&t->rows);
	free(t);
}

static struct task *new_task(enum work work)
{
	struct task *t = calloc(1, sizeof(*t));

	ASSERT_MEMORY(t);
	t->work = work;
	return t;
}

/* ---- errors ---- */

/* LMDB's own numbers become errno values; the text keeps what was said. */
static int failed(struct task *t, int rc, const char *doing)
{
	if (t)
		snprintf(t->text, sizeof(t->text), "store: %s: %s", doing, mdb_strerror(rc));
	if (rc > 0)
		return -rc;
	return rc == MDB_CORRUPTED || rc == MDB_PAGE_NOTFOUND || rc == MDB_VERSION_MISMATCH ||
			       rc == MDB_INVALID
		       ? -EUCLEAN
		       : -EIO;
}

/* ---- the environment ---- */

static int get_meta(const struct env *e, MDB_txn *txn, struct meta *ret)
{
	MDB_val k = {sizeof(meta_key), (void *)(uintptr_t)meta_key}, v;
	int rc = mdb_get(txn, e->dbi, &k, &v);

	if (rc)
		return rc;
	if (v.mv_size != sizeof(*ret))
		return MDB_CORRUPTED;
	memcpy(ret, v.mv_data, sizeof(*ret));
	return 0;
}

static int put_meta(struct store *s, const struct env *e, MDB_txn *txn, uint64_t lsn)
{
	struct meta m = {.format = pr_le32(FORMAT), .lsn = pr_le64(lsn)};
	MDB_val k = {sizeof(meta_key), (void *)(uintptr_t)meta_key}, v = {sizeof(m), &m};

	memcpy(m.cluster, s->cluster.b, sizeof(m.cluster));
	return mdb_put(txn, e->dbi, &k, &v, 0);
}

static void close_env(struct env *e)
{
	if (e->mdb) {
		mdb_env_close(e->mdb);
		if (e->errors_fd >= 0)
			close(e->errors_fd);
	}
	*e = (struct env){0};
}

static int open_errors_fd(const char *path)
{
	char file[PATH_MAX];

	snprintf(file, sizeof(file), "%.4000s/data.mdb", path);
	return open(file, O_RDONLY | O_CLOEXEC);
}

/* A new environment gets its meta row; an old one's is left as it is. */
static int open_env(struct store *s, const char *path, unsigned flags, struct env *ret)
{
	struct env e = {.errors_fd = -1};
	struct meta m;
	MDB_txn *txn = NULL;
	MDB_envinfo info;
	int rc;

	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return errno;
	rc = store_head_check(path);
	if (!rc)
		rc = mdb_env_create(&e.mdb);
	if (!rc)
		rc = mdb_env_set_mapsize(e.mdb, s->map_bytes);
	if (!rc)
		rc = mdb_env_set_maxreaders(e.mdb, READERS_MAX + 16);
	if (!rc)
		rc = mdb_env_open(e.mdb, path, MDB_NOTLS | MDB_NORDAHEAD | flags, 0600);
	if (!rc && (e.errors_fd = open_errors_fd(path)) < 0)
		rc = errno;
	if (!rc) {
		mdb_env_info(e.mdb, &info);
		if (info.me_mapsize > s->map_bytes)
			s->map_bytes = info.me_mapsize;
		rc = mdb_txn_begin(e.mdb, NULL, 0, &txn);
	}
	if (!rc)
		rc = mdb_dbi_open(txn, NULL, 0, &e.dbi);
	if (!rc)
		rc = get_meta(&e, txn, &m);
	if (rc == MDB_NOTFOUND)
		rc = put_meta(s, &e, txn, 0);
	if (!rc)
		rc = mdb_txn_commit(txn);
	else if (txn)
		mdb_txn_abort(txn);
	if (rc)
		close_env(&e);
	else
		*ret = e;
	return rc;
}

static int path_of(const struct store *s, const char *name, char out[PATH_MAX])
{
	return snprintf(out, PATH_MAX, "%s/%s", s->dir, name) < PATH_MAX ? 0 : -ENAMETOOLONG;
}

static void remove_env(const struct store *s, const char *name)
{
	static const char *const files[] = {"data.mdb", "lock.mdb"};
	char path[PATH_MAX], file[PATH_MAX + 16];

	if (path_of(s, name, path) < 0)
		return;
	for (size_t i = 0; i < 2; i++) {
		snprintf(file, sizeof(file), "%s/%s", path, files[i]);
		unlink(file);
	}
	rmdir(path);
}

static int sync_dir(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), error = 0;

	if (fd < 0)
		return errno;
	if (fsync(fd) < 0)
		error = errno;
	close(fd);
	return error;
}

static int rename_in(const struct store *s, const char *from, const char *to, unsigned flags)
{
	char a[PATH_MAX], b[PATH_MAX];

	if (path_of(s, from, a) < 0 || path_of(s, to, b) < 0)
		return ENAMETOOLONG;
	return renameat2(AT_FDCWD, a, AT_FDCWD, b, flags) < 0 ? errno : 0;
}

/* A new environment gets its name when it is whole and durable: nobody can use a part of one, and only a person could take it away. */
static int make_env(struct store *s, const char *path)
{
	char new[PATH_MAX], file[PATH_MAX + 16];
	struct env e;
	int rc;

	snprintf(file, sizeof(file), "%s/data.mdb", path);
	if (access(file, F_OK) == 0)
		return 0;
	if (path_of(s, "store.new", new) < 0)
		return ENAMETOOLONG;
	remove_env(s, "store");
	rc = open_env(s, new, 0, &e);
	if (rc)
		return rc;
	close_env(&e);
	rc = sync_dir(new);
	if (!rc)
		rc = rename_in(s, "store.new", "store", 0);
	return rc ? rc : sync_dir(s->dir);
}

/* Twice the room, at least. No read transaction may be open meanwhile. */
static int grow_map(struct store *s, struct env *e)
{
	int rc;

	pthread_rwlock_wrlock(&s->env_lock);
	s->map_bytes = (s->map_bytes * 2 + MAP_GRAIN - 1) / MAP_GRAIN * MAP_GRAIN;
	rc = mdb_env_set_mapsize(e->mdb, s->map_bytes);
	pthread_rwlock_unlock(&s->env_lock);
	pthread_mutex_lock(&s->lock);
	s->stats.map_grown++;
	pthread_mutex_unlock(&s->lock);
	return rc;
}

/* ---- readers ---- */

static bool shares_prefix(const struct ctl_fetch *f, const MDB_val *k)
{
	return k->mv_size >= f->prefix_len && memcmp(k->mv_data, f->key.b, f->prefix_len) == 0;
}

static bool is_meta(const MDB_val *k)
{
	return k->mv_size == sizeof(meta_key) &&
	       memcmp(k->mv_data, meta_key, sizeof(meta_key)) == 0;
}

/* Rows of a range, in either direction, until the prefix ends, or there are enough. */
static int fetch_range(const struct env *e, MDB_txn *txn, struct task *t)
{
	const struct ctl_fetch *f = &t->fetch;
	bool back = f->kind == CTL_FETCH_BEFORE;
	MDB_val k = {f->key.len, (void *)(uintptr_t)f->key.b}, v;
	MDB_cursor *c;
	int rc = mdb_cursor_open(txn, e->dbi, &c);

	if (rc)
		return rc;
	rc = mdb_cursor_get(c, &k, &v, MDB_SET_RANGE);
	if (back)
		rc = mdb_cursor_get(c, &k, &v, rc == MDB_NOTFOUND ? MDB_LAST : MDB_PREV);
	while (!rc && shares_prefix(f, &k) && !is_meta(&k)) {
		if (t->rows.count >= f->rows_max ||
		    store_rows_bytes(&t->rows) >= COPY_CHUNK_BYTES) {
			mdb_cursor_close(c);
			return 0;
		}
		store_rows_add(&t->rows, &k, &v);
		rc = mdb_cursor_get(c, &k, &v, back ? MDB_PREV : MDB_NEXT);
	}
	mdb_cursor_close(c);
	if (rc && rc != MDB_NOTFOUND)
		return rc;
	t->done.complete = true;
	return 0;
}

static int fetch_one(const struct env *e, MDB_txn *txn, struct task *t)
{
	MDB_val k = {t->fetch.key.len, t->fetch.key.b}, v;
	int rc = mdb_get(txn, e->dbi, &k, &v);

	t->done.complete = true;
	if (rc == MDB_NOTFOUND)
		return 0;
	if (!rc)
		store_rows_add(&t->rows, &k, &v);
	return rc;
}

static void do_fetch(const struct env *e, MDB_txn *txn, uint64_t lsn, struct task *t)
{
	int rc;

	store_rows_clear(&t->rows);
	t->done.lsn = lsn;
	t->done.complete = false;
	rc = t->fetch.kind == CTL_FETCH_ONE ? fetch_one(e, txn, t) : fetch_range(e, txn, t);
	t->done.error = rc ? failed(t, rc, "fetch") : 0;
}

static void do_copy_read(struct store *s, const struct env *e, MDB_txn *txn, uint64_t lsn,
			 struct task *t)
{
	MDB_cursor *c;
	MDB_val k, v;
	MDB_stat stat;
	int rc = mdb_cursor_open(txn, e->dbi, &c);

	if (t->cookie == 0) {
		s->copy_after = (struct pr_key){.len = sizeof(meta_key)};
		memcpy(s->copy_after.b, meta_key, sizeof(meta_key));
		s->copy_done_bytes = 0;
	}
	t->done.lsn = lsn;
	if (!rc) {
		k = (MDB_val){s->copy_after.len, s->copy_after.b};
		rc = mdb_cursor_get(c, &k, &v, MDB_SET_RANGE);
		if (!rc &&
		    pr_key_cmp_bytes(k.mv_data, k.mv_size, s->copy_after.b, s->copy_after.len) == 0)
			rc = mdb_cursor_get(c, &k, &v, MDB_NEXT);
		while (!rc && store_rows_pack(&t->rows, &k, &v, COPY_CHUNK_BYTES)) {
			s->copy_after.len = (uint16_t)k.mv_size;
			memcpy(s->copy_after.b, k.mv_data, k.mv_size);
			s->copy_done_bytes += k.mv_size + v.mv_size;
			rc = mdb_cursor_get(c, &k, &v, MDB_NEXT);
		}
		mdb_cursor_close(c);
	}
	t->done.last = rc == MDB_NOTFOUND;
	t->done.error = rc && rc != MDB_NOTFOUND ? failed(t, rc, "copy") : 0;
	if (mdb_stat(txn, e->dbi, &stat) == 0)
		t->done.total_bytes = (stat.ms_leaf_pages + stat.ms_overflow_pages) *
				      (uint64_t)stat.ms_psize * 3 / 4;
	if (t->done.total_bytes < s->copy_done_bytes || t->done.last)
		t->done.total_bytes = s->copy_done_bytes;
	t->done.done_bytes = s->copy_done_bytes;
}

/* One read transaction for a batch of tasks. */
static void read_batch(struct store *s, MDB_txn **txn, uint32_t *serial, struct task *list)
{
	struct meta m = {0};
	int rc = 0;

	pthread_rwlock_rdlock(&s->env_lock);
	if (*txn && *serial != s->env_serial)
		*txn = NULL; /* closed with its environment */
	if (*txn)
		rc = mdb_txn_renew(*txn);
	else
		rc = mdb_txn_begin(s->env.mdb, NULL, MDB_RDONLY, txn);
	*serial = s->env_serial;
	if (!rc)
		rc = get_meta(&s->env, *txn, &m);
	for (struct task *t = list; t; t = t->next) {
		if (rc)
			t->done.error = failed(t, rc, "read");
		else if (t->work == FETCH)
			do_fetch(&s->env, *txn, pr_le64(m.lsn), t);
		else
			do_copy_read(s, &s->env, *txn, pr_le64(m.lsn), t);
	}
	if (*txn)
		mdb_txn_reset(*txn);
	pthread_rwlock_unlock(&s->env_lock);
}

static void finish(struct store *s, struct task *list)
{
	const uint64_t one = 1;
	bool first;

	pthread_mutex_lock(&s->lock);
	first = !s->finished.first;
	while (list) {
		struct task *next = list->next;

		list_put(&s->finished, list);
		list = next;
	}
	pthread_mutex_unlock(&s->lock);
	if (first)
		ASSERT(write(s->event_fd, &one, sizeof(one)) == sizeof(one));
}

static struct task *take_reads(struct store *s)
{
	struct task *list = NULL, **last = &list, *t;

	pthread_mutex_lock(&s->lock);
	while (!s->stop && !s->reads.first)
		pthread_cond_wait(&s->read_wake, &s->lock);
	for (int i = 0; i < READ_BATCH && !s->stop && (t = list_take(&s->reads)); i++) {
		t->next = NULL;
		*last = t;
		last = &t->next;
	}
	pthread_mutex_unlock(&s->lock);
	return list;
}

static void *reader(void *user)
{
	struct store *s = user;
	MDB_txn *txn = NULL;
	uint32_t serial = 0;
	struct task *list;

	while ((list = take_reads(s))) {
		read_batch(s, &txn, &serial, list);
		finish(s, list);
	}
	if (txn && serial == s->env_serial)
		mdb_txn_abort(txn);
	return NULL;
}

/* ---- the writer ---- */

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

static int flush_once(struct store *s, struct task *t)
{
	size_t count = ctl_flush_count(t->flush), key_len, len;
	const uint8_t *key, *value;
	uint64_t begun_us = now_us();
	struct writing w;
	int rc = begin_writing(&w, &s->env);

	if (rc)
		return rc;
	for (size_t i = 0; i < count && !rc; i++) {
		ctl_flush_get(t->flush, i, &key, &key_len, &value, &len);
		rc = put_row(&w, key, key_len, value, len);
		if (i % PACE_ROWS == PACE_ROWS - 1)
			pace(s, begun_us, i, count);
	}
	if (!rc)
		rc = put_meta(s, &s->env, w.txn, t->done.lsn);
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

/* LMDB calls a short write EIO, as it does a bad disk: it is a full one if there is no room, and no write or sync has failed. */
static bool is_full(const struct env *e, int rc)
{
	struct statvfs v;

	if (rc == ENOSPC || rc == EDQUOT)
		return true;
	if (rc != EIO || fstatvfs(e->errors_fd, &v) < 0 || fsync(e->errors_fd) < 0)
		return false;
	return (uint64_t)v.f_bavail * v.f_frsize < NO_SPACE_BYTES;
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
 * Anything else is final, a failed sync above all. 0: write it again.
 */
static int make_room(struct store *s, struct env *e, int rc, bool *waits)
{
	if (rc == MDB_MAP_FULL)
		return grow_map(s, e);
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
	t->done.error = rc ? failed(t, rc, "flush") : 0;
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

	close_env(&s->incoming);
	remove_env(s, "store.new");
	remove_env(s, "store.old");
	if (path_of(s, "store.new", path) < 0)
		return ENAMETOOLONG;
	/* Nobody reads it before it is whole, synced and renamed: no sync for each of its transactions. */
	return open_env(s, path, MDB_NOSYNC, &s->incoming);
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
		rc = put_meta(s, &s->incoming, txn, t->done.lsn);
	if (!rc)
		rc = mdb_txn_commit(txn);
	else if (txn)
		mdb_txn_abort(txn);
	if (!rc)
		rc = mdb_env_sync(s->incoming.mdb, 1);
	if (rc)
		return rc;
	close_env(&s->incoming); /* opened again below, with syncs */
	rc = rename_in(s, "store.new", "store", RENAME_EXCHANGE);
	if (!rc)
		rc = rename_in(s, "store.new", "store.old", 0);
	if (!rc)
		rc = sync_dir(s->dir);
	if (rc || path_of(s, "store", path) < 0)
		return rc ? rc : ENAMETOOLONG;
	pthread_rwlock_wrlock(&s->env_lock);
	old = s->env;
	rc = open_env(s, path, 0, &s->env);
	s->env_serial++;
	pthread_rwlock_unlock(&s->env_lock);
	if (!rc)
		close_env(&old);
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
	t->done.error = rc ? failed(t, rc, "full copy") : 0;
}

static void be_modest(void)
{
	const int who = 1, best_effort_lowest = 3 << 13; /* ioprio_set(2) */

	setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), 10);
	syscall(SYS_ioprio_set, who, 0, best_effort_lowest);
}

static void *writer(void *user)
{
	struct store *s = user;
	struct task *t;

	be_modest();
	for (;;) {
		pthread_mutex_lock(&s->lock);
		while (!s->stop && !s->writes.first)
			pthread_cond_wait(&s->write_wake, &s->lock);
		t = s->stop ? NULL : list_take(&s->writes);
		pthread_mutex_unlock(&s->lock);
		if (!t)
			return NULL;
		t->next = NULL;
		if (t->work == COPY_KEEP) {
			remove_env(s, "store.old");
			free_task(t);
			continue;
		}
		do_write(s, t);
		finish(s, t);
	}
}

/* ---- the caller's side ---- */

void store_fetch(struct store *s, uint64_t ticket, const struct ctl_fetch *f)
{
	struct task *t = new_task(FETCH);

	t->fetch = *f;
	t->done.type = STORE_ROWS;
	t->done.ticket = ticket;
	s->stats.fetches++;
	list_put(&s->new_reads, t);
	s->new_read_count++;
}

void store_copy_read(struct store *s, uint64_t cookie)
{
	struct task *t = new_task(COPY_READ);

	t->cookie = cookie;
	t->done.type = STORE_COPY_ROWS;
	list_put(&s->new_reads, t);
	s->new_read_count++;
}

void store_kick(struct store *s)
{
	if (!s->new_reads.first)
		return;
	pthread_mutex_lock(&s->lock);
	list_join(&s->reads, &s->new_reads);
	if (s->new_read_count > READ_BATCH)
		pthread_cond_broadcast(&s->read_wake);
	else
		pthread_cond_signal(&s->read_wake);
	pthread_mutex_unlock(&s->lock);
	s->new_read_count = 0;
}

static void add_write(struct store *s, struct task *t)
{
	pthread_mutex_lock(&s->lock);
	list_put(&s->writes, t);
	pthread_cond_signal(&s->write_wake);
	pthread_mutex_unlock(&s->lock);
}

void store_flush(struct store *s, struct ctl_flush *flush, uint64_t lsn)
{
	struct task *t = new_task(FLUSH);

	t->flush = flush;
	t->done.type = STORE_FLUSHED;
	t->done.lsn = lsn;
	s->stats.flushing = true;
	add_write(s, t);
}

static struct task *copy_task(enum work work)
{
	struct task *t = new_task(work);

	t->done.type = STORE_COPY_APPLIED;
	return t;
}

void store_copy_begin(struct store *s)
{
	add_write(s, copy_task(COPY_BEGIN));
}

void store_copy_put(struct store *s, const uint8_t *p, uint32_t len)
{
	struct task *t = copy_task(COPY_PUT);

	store_rows_set_packed(&t->rows, p, len);
	add_write(s, t);
}

void store_copy_end(struct store *s, uint64_t lsn)
{
	struct task *t = copy_task(COPY_END);

	t->done.lsn = lsn;
	add_write(s, t);
}

void store_copy_keep(struct store *s)
{
	add_write(s, copy_task(COPY_KEEP));
}

int store_fd(const struct store *s)
{
	return s->event_fd;
}

uint64_t store_lsn(const struct store *s)
{
	return s->reported_lsn;
}

static bool collect(struct store *s)
{
	uint64_t count;

	if (read(s->event_fd, &count, sizeof(count)) < 0)
		return false;
	pthread_mutex_lock(&s->lock);
	list_join(&s->handing, &s->finished);
	pthread_mutex_unlock(&s->lock);
	return s->handing.first != NULL;
}

/* An answer older than a flush already reported would bring back what that flush replaced: read again. */
static bool is_stale(struct store *s, struct task *t)
{
	if (t->work != FETCH || t->done.error || t->done.lsn >= s->reported_lsn)
		return false;
	s->stats.fetches_again++;
	list_put(&s->new_reads, t);
	s->new_read_count++;
	return true;
}

bool store_next(struct store *s, struct store_done *ret)
{
	struct task *t;

	free_task(s->handed);
	s->handed = NULL;
	do {
		if (!s->handing.first && !collect(s))
			return false;
		t = list_take(&s->handing);
	} while (is_stale(s, t));
	s->handed = t;
	if (t->work == FETCH) {
		t->done.rows = store_rows_array(&t->rows);
		t->done.row_count = t->rows.count;
		s->stats.fetched_rows += t->rows.count;
	} else if (t->work == COPY_READ) {
		t->done.p = t->rows.bytes;
		t->done.len = (uint32_t)t->rows.used;
	} else if (t->work == FLUSH) {
		s->stats.flushing = false;
	}
	if ((t->work == FLUSH || t->work == COPY_END) && !t->done.error)
		s->reported_lsn = t->done.lsn;
	t->done.text = t->text[0] ? t->text : NULL;
	*ret = t->done;
	return true;
}

void store_get_stats(struct store *s, struct store_stats *ret)
{
	MDB_envinfo info;
	MDB_stat stat;

	pthread_mutex_lock(&s->lock);
	*ret = s->stats;
	pthread_mutex_unlock(&s->lock);
	ret->lsn = s->reported_lsn;
	if (pthread_rwlock_tryrdlock(&s->env_lock) != 0)
		return;
	mdb_env_info(s->env.mdb, &info);
	mdb_env_stat(s->env.mdb, &stat);
	ret->map_bytes = info.me_mapsize;
	ret->used_bytes = ((uint64_t)info.me_last_pgno + 1) * stat.ms_psize;
	ret->entries = stat.ms_entries;
	pthread_rwlock_unlock(&s->env_lock);
}

/* ---- open and close ---- */

static int check_meta(struct store *s, char *why, size_t why_size)
{
	char theirs[PR_UUID_TEXT], ours[PR_UUID_TEXT];
	struct pr_uuid cluster;
	struct meta m;
	MDB_txn *txn;
	int rc = mdb_txn_begin(s->env.mdb, NULL, MDB_RDONLY, &txn);

	if (!rc) {
		rc = get_meta(&s->env, txn, &m);
		mdb_txn_abort(txn);
	}
	if (rc) {
		snprintf(why, why_size, "%s/store: %s", s->dir, mdb_strerror(rc));
		return failed(NULL, rc, "");
	}
	if (pr_le32(m.format) != FORMAT) {
		snprintf(why, why_size,
			 "%s/store has format %u, this mdcd knows %d: use the mdcd that wrote it",
			 s->dir, pr_le32(m.format), FORMAT);
		return -EPROTONOSUPPORT;
	}
	memcpy(cluster.b, m.cluster, sizeof(cluster.b));
	if (!pr_uuid_equal(&cluster, &s->cluster)) {
		snprintf(
			why, why_size,
			"%s/store belongs to cluster %s, not to %s: correct [cluster] uuid or [node] dir",
			s->dir, pr_uuid_format(theirs, &cluster),
			pr_uuid_format(ours, &s->cluster));
		return -EXDEV;
	}
	s->reported_lsn = pr_le64(m.lsn);
	return 0;
}

static int start_thread(pthread_t *thread, void *(*fn)(void *), struct store *s, const char *name)
{
	sigset_t all, before;
	int error;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(thread, NULL, fn, s);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!error)
		pthread_setname_np(*thread, name);
	return -error;
}

static int start_threads(struct store *s, uint32_t readers)
{
	int error = start_thread(&s->writer, writer, s, "mdcd-flush");

	s->has_writer = error == 0;
	while (!error && s->readers < readers && s->readers < READERS_MAX) {
		error = start_thread(&s->reader[s->readers], reader, s, "mdcd-fetch");
		if (!error)
			s->readers++;
	}
	return error;
}

static int init(struct store *s, const struct store_config *c)
{
	pthread_rwlockattr_t attr;

	list_init(&s->reads);
	list_init(&s->writes);
	list_init(&s->finished);
	list_init(&s->new_reads);
	list_init(&s->handing);
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->read_wake, NULL);
	pthread_cond_init(&s->write_wake, NULL);
	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&s->env_lock, &attr);
	pthread_rwlockattr_destroy(&attr);
	s->cluster = c->cluster;
	s->map_bytes = c->map_bytes;
	s->flush_ms = c->flush_ms;
	s->env_serial = 1;
	s->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (s->event_fd < 0)
		return -errno;
	return snprintf(s->dir, sizeof(s->dir), "%s", c->dir) < (int)sizeof(s->dir) ? 0
										    : -ENAMETOOLONG;
}

int store_open(const struct store_config *c, struct store **ret, char *why, size_t why_size)
{
	struct store *s = calloc(1, sizeof(*s));
	char path[PATH_MAX];
	int error, rc;

	if (!s)
		return -ENOMEM;
	error = init(s, c);
	if (!error)
		error = path_of(s, "store", path);
	if (!error) {
		remove_env(s, "store.new");
		remove_env(s, "store.old");
		rc = make_env(s, path);
		if (!rc)
			rc = open_env(s, path, 0, &s->env);
		if (rc) {
			error = failed(NULL, rc, "");
			snprintf(
				why, why_size, "%.300s: %s%s", path, mdb_strerror(rc),
				error == -EUCLEAN
					? ": move it away, this controller then takes a full copy from its peer"
					: "");
		}
	}
	if (!error)
		error = check_meta(s, why, why_size);
	if (!error)
		error = start_threads(s, c->readers);
	if (error) {
		store_close(s);
		return error;
	}
	*ret = s;
	return 0;
}

static void free_list(struct list *l)
{
	struct task *t;

	while ((t = list_take(l)))
		free_task(t);
}

void store_close(struct store *s)
{
	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	s->stop = true;
	pthread_cond_broadcast(&s->read_wake);
	pthread_cond_broadcast(&s->write_wake);
	pthread_mutex_unlock(&s->lock);
	for (uint32_t i = 0; i < s->readers; i++)
		pthread_join(s->reader[i], NULL);
	if (s->has_writer)
		pthread_join(s->writer, NULL);
	free_task(s->handed);
	free_list(&s->reads);
	free_list(&s->writes);
	free_list(&s->finished);
	free_list(&s->new_reads);
	free_list(&s->handing);
	close_env(&s->incoming);
	close_env(&s->env);
	if (s->event_fd >= 0)
		close(s->event_fd);
	free(s);
}
