/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The caller's side of the store: what is asked, what became true, open and close. */
#include "controller/io/store.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "controller/io/store_int.h"
#include "proto/assert.h"

void store_fetch(struct store *s, uint64_t ticket, const struct ctl_fetch *f)
{
	struct task *t = task_new(FETCH);

	t->fetch = *f;
	t->done.type = STORE_ROWS;
	t->done.ticket = ticket;
	s->stats.fetches++;
	STAILQ_INSERT_TAIL(&s->new_reads, t, next);
	s->new_read_count++;
}

void store_copy_read(struct store *s, uint64_t cookie)
{
	struct task *t = task_new(COPY_READ);

	t->cookie = cookie;
	t->done.type = STORE_COPY_ROWS;
	STAILQ_INSERT_TAIL(&s->new_reads, t, next);
	s->new_read_count++;
}

void store_kick(struct store *s)
{
	if (STAILQ_EMPTY(&s->new_reads))
		return;
	pthread_mutex_lock(&s->lock);
	STAILQ_CONCAT(&s->reads, &s->new_reads);
	if (s->new_read_count > STORE_READ_BATCH)
		pthread_cond_broadcast(&s->read_wake);
	else
		pthread_cond_signal(&s->read_wake);
	pthread_mutex_unlock(&s->lock);
	s->new_read_count = 0;
}

static void add_write(struct store *s, struct task *t)
{
	pthread_mutex_lock(&s->lock);
	STAILQ_INSERT_TAIL(&s->writes, t, next);
	pthread_cond_signal(&s->write_wake);
	pthread_mutex_unlock(&s->lock);
}

void store_flush(struct store *s, struct ctl_flush *flush, uint64_t lsn)
{
	struct task *t = task_new(FLUSH);

	t->flush = flush;
	t->done.type = STORE_FLUSHED;
	t->done.lsn = lsn;
	s->stats.flushing = true;
	add_write(s, t);
}

static struct task *copy_task(enum work work)
{
	struct task *t = task_new(work);

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
	STAILQ_CONCAT(&s->handing, &s->finished);
	pthread_mutex_unlock(&s->lock);
	return !STAILQ_EMPTY(&s->handing);
}

/* An answer older than a flush already reported would bring back what that flush replaced: read again. */
static bool is_stale(struct store *s, struct task *t)
{
	if (t->work != FETCH || t->done.error || t->done.lsn >= s->reported_lsn)
		return false;
	s->stats.fetches_again++;
	STAILQ_INSERT_TAIL(&s->new_reads, t, next);
	s->new_read_count++;
	return true;
}

bool store_next(struct store *s, struct store_done *ret)
{
	struct task *t;

	task_free(s->handed);
	s->handed = NULL;
	do {
		if (STAILQ_EMPTY(&s->handing) && !collect(s))
			return false;
		t = task_take(&s->handing);
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
	struct store_meta m;
	MDB_txn *txn;
	int rc = mdb_txn_begin(s->env.mdb, NULL, MDB_RDONLY, &txn);

	if (!rc) {
		rc = env_get_meta(&s->env, txn, &m);
		mdb_txn_abort(txn);
	}
	if (rc) {
		snprintf(why, why_size, "%s/store: %s", s->dir, mdb_strerror(rc));
		return store_failed(NULL, rc, "");
	}
	if (pr_le32(m.format) != STORE_FORMAT) {
		snprintf(why, why_size,
			 "%s/store has format %u, this mdcd knows %d: use the mdcd that wrote it",
			 s->dir, pr_le32(m.format), STORE_FORMAT);
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
	int error = start_thread(&s->writer, store_writer, s, "mdcd-flush");

	s->has_writer = error == 0;
	while (!error && s->readers < readers && s->readers < STORE_READERS_MAX) {
		error = start_thread(&s->reader[s->readers], store_reader, s, "mdcd-fetch");
		if (!error)
			s->readers++;
	}
	return error;
}

static int init(struct store *s, const struct store_config *c)
{
	pthread_rwlockattr_t attr;

	STAILQ_INIT(&s->reads);
	STAILQ_INIT(&s->writes);
	STAILQ_INIT(&s->finished);
	STAILQ_INIT(&s->new_reads);
	STAILQ_INIT(&s->handing);
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
		error = env_path(s, "store", path);
	if (!error) {
		rc = env_remove(s, "store.new");
		if (!rc)
			rc = env_remove(s, "store.old");
		if (!rc)
			rc = env_make(s, path);
		if (!rc)
			rc = env_open(s, path, 0, &s->env);
		if (rc) {
			error = store_failed(NULL, rc, "");
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

static void free_list(struct task_list *l)
{
	struct task *t;

	while ((t = task_take(l)))
		task_free(t);
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
	task_free(s->handed);
	free_list(&s->reads);
	free_list(&s->writes);
	free_list(&s->finished);
	free_list(&s->new_reads);
	free_list(&s->handing);
	env_close(&s->incoming);
	env_close(&s->env);
	if (s->event_fd >= 0)
		close(s->event_fd);
	free(s);
}
