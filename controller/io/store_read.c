/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The store's readers: fetches, and the rows of a full copy on their way out. */
#include <string.h>

#include "controller/io/store_int.h"

static bool shares_prefix(const struct ctl_fetch *f, const MDB_val *k)
{
	return k->mv_size >= f->prefix_len && memcmp(k->mv_data, f->key.b, f->prefix_len) == 0;
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
	while (!rc && shares_prefix(f, &k) && !env_is_meta(&k)) {
		if (t->rows.count >= f->rows_max ||
		    store_rows_bytes(&t->rows) >= STORE_CHUNK_BYTES) {
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
	t->done.error = rc ? store_failed(t, rc, "fetch") : 0;
}

static void do_copy_read(struct store *s, const struct env *e, MDB_txn *txn, uint64_t lsn,
			 struct task *t)
{
	MDB_cursor *c;
	MDB_val k, v;
	MDB_stat stat;
	int rc = mdb_cursor_open(txn, e->dbi, &c);

	if (t->cookie == 0) {
		s->copy_after = env_first_key();
		s->copy_done_bytes = 0;
	}
	t->done.lsn = lsn;
	if (!rc) {
		k = (MDB_val){s->copy_after.len, s->copy_after.b};
		rc = mdb_cursor_get(c, &k, &v, MDB_SET_RANGE);
		if (!rc &&
		    pr_key_cmp_bytes(k.mv_data, k.mv_size, s->copy_after.b, s->copy_after.len) == 0)
			rc = mdb_cursor_get(c, &k, &v, MDB_NEXT);
		while (!rc && store_rows_pack(&t->rows, &k, &v, STORE_CHUNK_BYTES)) {
			s->copy_after.len = (uint16_t)k.mv_size;
			memcpy(s->copy_after.b, k.mv_data, k.mv_size);
			s->copy_done_bytes += k.mv_size + v.mv_size;
			rc = mdb_cursor_get(c, &k, &v, MDB_NEXT);
		}
		mdb_cursor_close(c);
	}
	t->done.last = rc == MDB_NOTFOUND;
	t->done.error = rc && rc != MDB_NOTFOUND ? store_failed(t, rc, "copy") : 0;
	if (mdb_stat(txn, e->dbi, &stat) == 0)
		t->done.total_bytes = (stat.ms_leaf_pages + stat.ms_overflow_pages) *
				      (uint64_t)stat.ms_psize * 3 / 4;
	if (t->done.total_bytes < s->copy_done_bytes || t->done.last)
		t->done.total_bytes = s->copy_done_bytes;
	t->done.done_bytes = s->copy_done_bytes;
}

/* One read transaction for a batch of tasks. */
static void read_batch(struct store *s, MDB_txn **txn, uint32_t *serial, struct task_list *list)
{
	struct store_meta m = {0};
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
		rc = env_get_meta(&s->env, *txn, &m);
	for (struct task *t = STAILQ_FIRST(list); t; t = STAILQ_NEXT(t, next)) {
		if (rc)
			t->done.error = store_failed(t, rc, "read");
		else if (t->work == FETCH)
			do_fetch(&s->env, *txn, pr_le64(m.lsn), t);
		else
			do_copy_read(s, &s->env, *txn, pr_le64(m.lsn), t);
	}
	if (*txn)
		mdb_txn_reset(*txn);
	pthread_rwlock_unlock(&s->env_lock);
}

/* False: the store is being closed. */
static bool take_reads(struct store *s, struct task_list *list)
{
	struct task *t;

	pthread_mutex_lock(&s->lock);
	while (!s->stop && STAILQ_EMPTY(&s->reads))
		pthread_cond_wait(&s->read_wake, &s->lock);
	for (int i = 0; i < STORE_READ_BATCH && !s->stop && (t = task_take(&s->reads)); i++)
		STAILQ_INSERT_TAIL(list, t, next);
	pthread_mutex_unlock(&s->lock);
	return !STAILQ_EMPTY(list);
}

void *store_reader(void *user)
{
	struct store *s = user;
	MDB_txn *txn = NULL;
	uint32_t serial = 0;
	struct task_list list = STAILQ_HEAD_INITIALIZER(list);

	while (take_reads(s, &list)) {
		read_batch(s, &txn, &serial, &list);
		task_finish(s, &list);
	}
	if (txn && serial == s->env_serial)
		mdb_txn_abort(txn);
	return NULL;
}
