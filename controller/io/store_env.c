/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The environment on disk: made whole or not at all, opened, grown, renamed. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "controller/io/locked.h"
#include "controller/io/store_head.h"
#include "controller/io/store_int.h"

#define MAP_GRAIN ((uint64_t)1 << 30)

/* The key of the store itself sorts before every row's and is none. */
static const uint8_t meta_key[] = {0, 's', 't', 'o', 'r', 'e'};

bool env_is_meta(const MDB_val *k)
{
	return k->mv_size == sizeof(meta_key) &&
	       memcmp(k->mv_data, meta_key, sizeof(meta_key)) == 0;
}

struct pr_key env_first_key(void)
{
	struct pr_key k = {.len = sizeof(meta_key)};

	memcpy(k.b, meta_key, sizeof(meta_key));
	return k;
}

int env_get_meta(const struct env *e, MDB_txn *txn, struct store_meta *ret)
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

int env_put_meta(struct store *s, const struct env *e, MDB_txn *txn, uint64_t lsn)
{
	struct store_meta m = {.format = pr_le32(STORE_FORMAT), .lsn = pr_le64(lsn)};
	MDB_val k = {sizeof(meta_key), (void *)(uintptr_t)meta_key}, v = {sizeof(m), &m};

	memcpy(m.cluster, s->cluster.b, sizeof(m.cluster));
	return mdb_put(txn, e->dbi, &k, &v, 0);
}

void env_close(struct env *e)
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

int env_open(struct store *s, const char *path, unsigned flags, struct env *ret)
{
	struct env e = {.errors_fd = -1};
	struct store_meta m;
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
		rc = mdb_env_set_maxreaders(e.mdb, STORE_READERS_MAX + 16);
	if (!rc)
		rc = mdb_env_open(e.mdb, path, MDB_NOTLS | MDB_NORDAHEAD | flags, 0600);
	if (!rc && (e.errors_fd = open_errors_fd(path)) < 0)
		rc = errno;
	if (!rc) {
		mdb_env_info(e.mdb, &info);
		if (info.me_mapsize > s->map_bytes)
			s->map_bytes = info.me_mapsize;
		locked_leave_out(e.errors_fd);
		rc = mdb_txn_begin(e.mdb, NULL, 0, &txn);
	}
	if (!rc)
		rc = mdb_dbi_open(txn, NULL, 0, &e.dbi);
	if (!rc)
		rc = env_get_meta(&e, txn, &m);
	if (rc == MDB_NOTFOUND)
		rc = env_put_meta(s, &e, txn, 0);
	if (!rc)
		rc = mdb_txn_commit(txn);
	else if (txn)
		mdb_txn_abort(txn);
	if (rc)
		env_close(&e);
	else
		*ret = e;
	return rc;
}

int env_path(const struct store *s, const char *name, char out[PATH_MAX])
{
	return snprintf(out, PATH_MAX, "%s/%s", s->dir, name) < PATH_MAX ? 0 : -ENAMETOOLONG;
}

int env_remove(const struct store *s, const char *name)
{
	static const char *const files[] = {"data.mdb", "lock.mdb"};
	char path[PATH_MAX], file[PATH_MAX + 16];

	if (env_path(s, name, path) < 0)
		return ENAMETOOLONG;
	for (size_t i = 0; i < 2; i++) {
		snprintf(file, sizeof(file), "%s/%s", path, files[i]);
		if (unlink(file) < 0 && errno != ENOENT)
			return errno;
	}
	return rmdir(path) < 0 && errno != ENOENT ? errno : 0;
}

int env_sync_dir(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), error = 0;

	if (fd < 0)
		return errno;
	if (fsync(fd) < 0)
		error = errno;
	close(fd);
	return error;
}

int env_rename(const struct store *s, const char *from, const char *to, unsigned flags)
{
	char a[PATH_MAX], b[PATH_MAX];

	if (env_path(s, from, a) < 0 || env_path(s, to, b) < 0)
		return ENAMETOOLONG;
	return renameat2(AT_FDCWD, a, AT_FDCWD, b, flags) < 0 ? errno : 0;
}

int env_make(struct store *s, const char *path)
{
	char new[PATH_MAX], file[PATH_MAX + 16];
	struct env e;
	int rc;

	snprintf(file, sizeof(file), "%s/data.mdb", path);
	if (access(file, F_OK) == 0)
		return 0;
	if (errno != ENOENT) /* it may be there, and hold everything */
		return errno;
	if (env_path(s, "store.new", new) < 0)
		return ENAMETOOLONG;
	rc = env_remove(s, "store");
	if (!rc)
		rc = env_open(s, new, 0, &e);
	if (rc)
		return rc;
	env_close(&e);
	rc = env_sync_dir(new);
	if (!rc)
		rc = env_rename(s, "store.new", "store", 0);
	return rc ? rc : env_sync_dir(s->dir);
}

int env_grow(struct store *s, struct env *e)
{
	int rc;

	pthread_rwlock_wrlock(&s->env_lock);
	s->map_bytes = (s->map_bytes * 2 + MAP_GRAIN - 1) / MAP_GRAIN * MAP_GRAIN;
	rc = mdb_env_set_mapsize(e->mdb, s->map_bytes);
	locked_leave_out(e->errors_fd);
	pthread_rwlock_unlock(&s->env_lock);
	pthread_mutex_lock(&s->lock);
	s->stats.map_grown++;
	pthread_mutex_unlock(&s->lock);
	return rc;
}
