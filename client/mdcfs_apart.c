/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What may wait for long, in threads of its own: what takes the locks of this very mount's pages, and
 * what the library only offers waiting. The answer to a direct read marks the pages of the reader's
 * buffer, which may be a mapping of a file here, and dropping pages takes their locks; who has such a
 * lock may wait for an answer of the library's thread, or for another job here. So none of them holds
 * another up: there are as many threads as jobs at a time. One is there from the start: where no more
 * can be had, jobs follow each other, and none is lost.
 */
#include <unistd.h>

#include "client/mdcfs.h"

enum { IDLE_MOST = 8, STOP_MS = 5000 };

static struct {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct mf_job *first, **last;
	unsigned queued, idle, threads;
	atomic_bool stop;
} apart = {
	.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER, .last = &apart.first};

/* With the lock. NULL: the end. */
static struct mf_job *next(void)
{
	struct mf_job *job;

	if (!apart.first && apart.idle >= IDLE_MOST)
		return NULL;
	apart.idle++;
	while (!apart.first && !apart.stop)
		pthread_cond_wait(&apart.wake, &apart.lock);
	apart.idle--;
	job = apart.first;
	if (!job)
		return NULL;
	apart.first = job->next;
	if (!apart.first)
		apart.last = &apart.first;
	apart.queued--;
	return job;
}

static bool is_over(void *user)
{
	return apart.stop;
}

static void *run(void *arg)
{
	struct mf_job *job;

	mdc_set_interrupt(is_over, NULL);
	pthread_mutex_lock(&apart.lock);
	while ((job = next())) {
		pthread_mutex_unlock(&apart.lock);
		job->run(job->arg);
		pthread_mutex_lock(&apart.lock);
	}
	apart.threads--;
	pthread_mutex_unlock(&apart.lock);
	return NULL;
}

int mf_apart_start(void)
{
	int r;

	pthread_mutex_lock(&apart.lock);
	r = mf_thread(run, NULL);
	apart.threads += r == 0;
	pthread_mutex_unlock(&apart.lock);
	return -r;
}

bool mf_apart(struct mf_job *job, void (*work)(void *arg), void *arg)
{
	bool r;

	*job = (struct mf_job){.run = work, .arg = arg};
	pthread_mutex_lock(&apart.lock);
	r = !apart.stop;
	if (r) {
		if (apart.queued >= apart.idle && mf_thread(run, NULL) == 0)
			apart.threads++;
		*apart.last = job;
		apart.last = &job->next;
		apart.queued++;
		pthread_cond_signal(&apart.wake);
	}
	pthread_mutex_unlock(&apart.lock);
	return r;
}

/* Who waits in the library is told so again and again: he may just be on his way there. */
bool mf_apart_stop(void)
{
	bool r;

	pthread_mutex_lock(&apart.lock);
	apart.stop = true;
	pthread_cond_broadcast(&apart.wake);
	for (int ms = 0; apart.threads > 0 && ms < STOP_MS; ms++) {
		pthread_mutex_unlock(&apart.lock);
		mdc_interrupt(mf.mdc);
		usleep(1000);
		pthread_mutex_lock(&apart.lock);
	}
	r = apart.threads == 0;
	pthread_mutex_unlock(&apart.lock);
	return r;
}
