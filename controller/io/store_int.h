/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The insides of the store, shared by store*.c only. */
#pragma once
#include <limits.h>
#include <lmdb.h>
#include <pthread.h>
#include <sys/queue.h>

#include "controller/io/store.h"
#include "controller/io/store_rows.h"

enum {
	STORE_FORMAT = 1,
	STORE_READERS_MAX = 16,
	STORE_READ_BATCH = 32, /* fetches a read transaction serves */
	STORE_CHUNK_BYTES = 512 << 10,
};

enum work { FETCH, COPY_READ, FLUSH, COPY_BEGIN, COPY_PUT, COPY_END, COPY_KEEP, SPACE };

struct task {
	STAILQ_ENTRY(task) next;
	enum work work;
	struct ctl_fetch fetch;
	struct ctl_flush *flush;
	uint64_t cookie;
	struct store_rows rows; /* of COPY_PUT: its bytes; of fetches: the answer */
	struct store_done done;
	char text[160];
};

STAILQ_HEAD(task_list, task);

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
	struct task_list reads, writes, finished;
	bool stop;
	int event_fd;
	pthread_t reader[STORE_READERS_MAX], writer;
	uint32_t readers;
	bool has_writer;

	/* of the caller's thread */
	struct task_list new_reads;
	uint32_t new_read_count;
	struct task_list handing; /* finished, being handed out */
	struct task *handed;
	uint64_t reported_lsn;
	bool eof;
	struct store_stats stats;

	/* of the copy source: where it stands */
	struct pr_key copy_after;
	uint64_t copy_done_bytes;
};

/* What stands in the store about itself: the value of a key that sorts before every row's and is none. */
struct store_meta {
	uint32_t format, reserved;
	uint64_t lsn;
	uint8_t cluster[16];
};
_Static_assert(sizeof(struct store_meta) == 32, "the store's own row");

/* ---- store_task.c ---- */
struct task *task_take(struct task_list *); /* the first; NULL: none */
struct task *task_new(enum work);
void task_free(struct task *); /* NULL is fine */
/* Hands tasks, one at least, to the caller's thread; the list is empty then. */
void task_finish(struct store *, struct task_list *);
/* LMDB's own numbers become errno values; the text of the task (NULL: none) keeps what was said. -errno. */
int store_failed(struct task *, int rc, const char *doing);

/* ---- store_env.c: an error is LMDB's or errno's, positive ---- */
bool env_is_meta(const MDB_val *key); /* the key of the store itself */
struct pr_key env_first_key(void);    /* the same: every row's is behind it */
int env_get_meta(const struct env *, MDB_txn *, struct store_meta *ret);
int env_put_meta(struct store *, const struct env *, MDB_txn *, uint64_t lsn);
/* A new environment gets its meta row; an old one's is left as it is. */
int env_open(struct store *, const char *path, unsigned flags, struct env *ret);
void env_close(struct env *);
int env_path(const struct store *, const char *name, char out[PATH_MAX]);
int env_remove(const struct store *, const char *name);
int env_rename(const struct store *, const char *from, const char *to, unsigned flags);
int env_sync_dir(const char *path);
/*
 * A new environment gets its name when it is whole and durable: nobody can use a part of one, and only a person could take it away.
 */
int env_make(struct store *, const char *path);
/* Twice the room, at least. No read transaction may be open meanwhile. */
int env_grow(struct store *, struct env *);

/* ---- store_read.c, store_write.c: the threads ---- */
void *store_reader(void *store);
void *store_writer(void *store);
