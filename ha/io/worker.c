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

STAILQ_HEAD(job_list, job);

struct worker {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct job_list todo, finished;
	int event_fd;
	bool stop;
};

static void *run(void *user)
{
	struct worker *w = user;
	const uint64_t one = 1;
	struct job *j;

	pthread_mutex_lock(&w->lock);
	for (;;) {
		while (!w->stop && STAILQ_EMPTY(&w->todo))
			pthread_cond_wait(&w->wake, &w->lock);
		if (w->stop)
			break;
		j = STAILQ_FIRST(&w->todo);
		STAILQ_REMOVE_HEAD(&w->todo, next);
		pthread_mutex_unlock(&w->lock);
		j->work(j);
		pthread_mutex_lock(&w->lock);
		STAILQ_INSERT_TAIL(&w->finished, j, next);
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
	STAILQ_INIT(&w->todo);
	STAILQ_INIT(&w->finished);
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
	STAILQ_INSERT_TAIL(&w->todo, j, next);
	pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&w->lock);
}

int worker_fd(const struct worker *w)
{
	return w->event_fd;
}

void worker_finish(struct worker *w)
{
	struct job_list list = STAILQ_HEAD_INITIALIZER(list);
	uint64_t count;
	struct job *j;

	if (read(w->event_fd, &count, sizeof(count)) < 0)
		return;
	pthread_mutex_lock(&w->lock);
	STAILQ_CONCAT(&list, &w->finished);
	pthread_mutex_unlock(&w->lock);
	while ((j = STAILQ_FIRST(&list))) {
		STAILQ_REMOVE_HEAD(&list, next);
		j->done(j);
	}
}
