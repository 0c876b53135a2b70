/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ha/io/worker.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct queue {
	struct job *first, **last;
};

struct worker {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct queue todo, finished;
	int event_fd;
	bool stop;
};

static void put(struct queue *q, struct job *j)
{
	j->next = NULL;
	*q->last = j;
	q->last = &j->next;
}

static struct job *take(struct queue *q)
{
	struct job *j = q->first;

	if (j) {
		q->first = j->next;
		if (!q->first)
			q->last = &q->first;
	}
	return j;
}

static void *run(void *user)
{
	struct worker *w = user;
	const uint64_t one = 1;
	struct job *j;

	pthread_mutex_lock(&w->lock);
	for (;;) {
		while (!w->stop && !w->todo.first)
			pthread_cond_wait(&w->wake, &w->lock);
		if (w->stop)
			break;
		j = take(&w->todo);
		pthread_mutex_unlock(&w->lock);
		j->work(j);
		pthread_mutex_lock(&w->lock);
		put(&w->finished, j);
		if (write(w->event_fd, &one, sizeof(one)) < 0)
			abort();
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

int worker_new(const char *name, struct worker **ret)
{
	struct worker *w = calloc(1, sizeof(*w));
	sigset_t all, before;
	int error;

	if (!w)
		return -ENOMEM;
	w->todo.last = &w->todo.first;
	w->finished.last = &w->finished.first;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->wake, NULL);
	w->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (w->event_fd < 0) {
		error = errno;
	} else {
		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, &before);
		error = pthread_create(&w->thread, NULL, run, w);
		pthread_sigmask(SIG_SETMASK, &before, NULL);
	}
	if (error) {
		if (w->event_fd >= 0)
			close(w->event_fd);
		free(w);
		return -error;
	}
	pthread_setname_np(w->thread, name);
	*ret = w;
	return 0;
}

void worker_free(struct worker *w)
{
	if (!w)
		return;
	pthread_mutex_lock(&w->lock);
	w->stop = true;
	pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&w->lock);
	pthread_join(w->thread, NULL);
	close(w->event_fd);
	free(w);
}

void worker_add(struct worker *w, struct job *j)
{
	pthread_mutex_lock(&w->lock);
	put(&w->todo, j);
	pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&w->lock);
}

int worker_fd(const struct worker *w)
{
	return w->event_fd;
}

void worker_finish(struct worker *w)
{
	uint64_t count;
	struct job *j, *list;

	if (read(w->event_fd, &count, sizeof(count)) < 0)
		return;
	pthread_mutex_lock(&w->lock);
	list = w->finished.first;
	w->finished.first = NULL;
	w->finished.last = &w->finished.first;
	pthread_mutex_unlock(&w->lock);
	while ((j = list)) {
		list = j->next;
		j->done(j);
	}
}
