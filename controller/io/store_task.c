/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tasks: what the caller's thread asks the store's threads for, and how it comes back. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "controller/io/store_int.h"
#include "proto/assert.h"

void task_list_init(struct task_list *l)
{
	l->first = NULL;
	l->last = &l->first;
}

void task_list_put(struct task_list *l, struct task *t)
{
	t->next = NULL;
	*l->last = t;
	l->last = &t->next;
}

struct task *task_list_take(struct task_list *l)
{
	struct task *t = l->first;

	if (t) {
		l->first = t->next;
		if (!l->first)
			l->last = &l->first;
	}
	return t;
}

void task_list_join(struct task_list *to, struct task_list *from)
{
	if (!from->first)
		return;
	*to->last = from->first;
	to->last = from->last;
	task_list_init(from);
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

void task_finish(struct store *s, struct task *list)
{
	const uint64_t one = 1;
	bool first;

	pthread_mutex_lock(&s->lock);
	first = !s->finished.first;
	while (list) {
		struct task *next = list->next;

		task_list_put(&s->finished, list);
		list = next;
	}
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
