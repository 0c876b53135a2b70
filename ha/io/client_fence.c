/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ha/io/client_fence.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "lun/lun.h"
#include "proto/assert.h"

enum { LUNS_MAX = 64, TURN_MS = 50, COMPLAIN_TURNS = 100 };

struct target {
	struct target *next;
	uint32_t key;
	uint32_t turns;
	struct client_fence_done done;
};

struct client_fence {
	char path[LUNS_MAX][PATH_MAX];
	uint32_t count;
	struct lun *lun[LUNS_MAX]; /* the thread's */
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct target *todo, *ready;
	int event_fd;
	bool stop, started;
};

static void append(struct target **list, struct target *t)
{
	while (*list)
		list = &(*list)->next;
	t->next = NULL;
	*list = t;
}

/* 0: none of the LUNs' locks of this key is held. */
static int is_silent(struct client_fence *f, struct target *t)
{
	int error = 0;

	for (uint32_t i = 0; i < f->count && !error; i++) {
		if (!f->lun[i])
			error = lun_open(f->path[i], 0, &f->lun[i], t->done.text,
					 sizeof(t->done.text));
		if (!error)
			error = lun_key_is_free(f->lun[i], t->key);
		if (error == -EBUSY)
			snprintf(
				t->done.text, sizeof(t->done.text),
				"client of session %llu still has %.120s open: end its process (mdcfs) to let others go on",
				(unsigned long long)t->done.session, f->path[i]);
		else if (error && !t->done.text[0])
			snprintf(t->done.text, sizeof(t->done.text), "%.160s: %s", f->path[i],
				 strerror(-error));
	}
	return error;
}

static void report(struct client_fence *f, const struct target *t)
{
	const uint64_t one = 1;
	struct target *copy = malloc(sizeof(*copy));

	ASSERT_MEMORY(copy);
	*copy = *t;
	append(&f->ready, copy);
	ASSERT(write(f->event_fd, &one, sizeof(one)) == sizeof(one));
}

static void try_one(struct client_fence *f, struct target *t)
{
	int error;

	pthread_mutex_unlock(&f->lock);
	t->done.text[0] = '\0';
	error = is_silent(f, t);
	pthread_mutex_lock(&f->lock);
	t->turns++;
	t->done.error = error ? -EAGAIN : 0;
	if (!error)
		t->done.text[0] = '\0';
	if (!error || t->turns == COMPLAIN_TURNS)
		report(f, t);
}

static void *run(void *user)
{
	struct client_fence *f = user;
	struct timespec until;

	pthread_mutex_lock(&f->lock);
	while (!f->stop) {
		for (struct target **at = &f->todo; *at && !f->stop;) {
			struct target *t = *at;

			try_one(f, t);
			if (t->done.error) {
				at = &t->next;
				continue;
			}
			*at = t->next;
			free(t);
		}
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_nsec += TURN_MS * 1000000L;
		if (until.tv_nsec >= 1000000000L) {
			until.tv_nsec -= 1000000000L;
			until.tv_sec++;
		}
		if (f->stop)
			break;
		if (f->todo)
			pthread_cond_timedwait(&f->wake, &f->lock, &until);
		else
			pthread_cond_wait(&f->wake, &f->lock);
	}
	pthread_mutex_unlock(&f->lock);
	return NULL;
}

int client_fence_new(const char *const *paths, uint32_t count, struct client_fence **ret)
{
	struct client_fence *f = calloc(1, sizeof(*f));
	pthread_condattr_t attr;
	sigset_t all, before;
	int error;

	if (!f)
		return -ENOMEM;
	f->count = count < LUNS_MAX ? count : LUNS_MAX;
	for (uint32_t i = 0; i < f->count; i++)
		snprintf(f->path[i], sizeof(f->path[i]), "%s", paths[i]);
	pthread_mutex_init(&f->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&f->wake, &attr);
	pthread_condattr_destroy(&attr);
	f->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (f->event_fd < 0) {
		error = errno;
	} else {
		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, &before);
		error = pthread_create(&f->thread, NULL, run, f);
		pthread_sigmask(SIG_SETMASK, &before, NULL);
	}
	if (error) {
		client_fence_free(f);
		return -error;
	}
	f->started = true;
	pthread_setname_np(f->thread, "mdcd-fence");
	*ret = f;
	return 0;
}

static void free_list(struct target *t)
{
	while (t) {
		struct target *next = t->next;

		free(t);
		t = next;
	}
}

void client_fence_free(struct client_fence *f)
{
	if (!f)
		return;
	if (f->started) {
		pthread_mutex_lock(&f->lock);
		f->stop = true;
		pthread_cond_signal(&f->wake);
		pthread_mutex_unlock(&f->lock);
		pthread_join(f->thread, NULL);
	}
	free_list(f->todo);
	free_list(f->ready);
	for (uint32_t i = 0; i < f->count; i++)
		lun_close(f->lun[i]);
	if (f->event_fd >= 0)
		close(f->event_fd);
	free(f);
}

/* Asked for again after a complaint, it is still being tried. */
static struct target *target_find(const struct client_fence *f, uint64_t session)
{
	struct target *t = f->todo;

	while (t && t->done.session != session)
		t = t->next;
	return t;
}

void client_fence_start(struct client_fence *f, uint64_t session, uint32_t key)
{
	struct target *t;

	pthread_mutex_lock(&f->lock);
	t = target_find(f, session);
	if (t) {
		t->turns = 0;
	} else {
		t = calloc(1, sizeof(*t));
		ASSERT_MEMORY(t);
		t->key = key;
		t->done.session = session;
		append(&f->todo, t);
	}
	pthread_cond_signal(&f->wake);
	pthread_mutex_unlock(&f->lock);
}

int client_fence_fd(const struct client_fence *f)
{
	return f->event_fd;
}

bool client_fence_next(struct client_fence *f, struct client_fence_done *ret)
{
	struct target *t;
	uint64_t count;

	if (read(f->event_fd, &count, sizeof(count)) < 0 && !f->ready)
		return false;
	pthread_mutex_lock(&f->lock);
	t = f->ready;
	if (t)
		f->ready = t->next;
	pthread_mutex_unlock(&f->lock);
	if (!t)
		return false;
	*ret = t->done;
	free(t);
	return true;
}
