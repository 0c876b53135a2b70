/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tasks: what the caller's thread asks the store's threads for, and how it comes back. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "controller/io/store_int.h"
#include "proto/assert.h"

struct task *task_take(struct task_list *l)
{
	struct task *t = STAILQ_FIRST(l);

	if (t)
		STAILQ_REMOVE_HEAD(l, next);
	return t;
}

void task_free(struct task *t)
{
	if (!t)
		return;
	store_rows_free(&t->rows);
	free(t);
}

struct task *task_new(enum work work)
{
	struct task *t = calloc(1, sizeof(*t));

	ASSERT_MEMORY(t);
	t->work = work;
	return t;
}

void task_finish(struct store *s, struct task_list *l)
{
	const uint64_t one = 1;
	bool first;

	pthread_mutex_lock(&s->lock);
	first = STAILQ_EMPTY(&s->finished);
	STAILQ_CONCAT(&s->finished, l);
	pthread_mutex_unlock(&s->lock);
	if (first)
		ASSERT(write(s->event_fd, &one, sizeof(one)) == sizeof(one));
}

int store_failed(struct task *t, int rc, const char *doing)
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
