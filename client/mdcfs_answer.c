/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Answers that may wait for pages of this very mount. The answer to a direct read marks the pages
 * of the reader's buffer, which may be a mapping of a file here, and dropping pages takes their
 * locks; who has such a lock may wait for an answer of the library's thread, or for another one of
 * these. So none of them holds another up: there are as many threads as answers at a time.
 */
#include "client/mdcfs.h"

static struct {
	pthread_mutex_t lock;
	pthread_cond_t wake, gone;
	struct mf_op *first, **last;
	unsigned queued, idle, threads;
	bool stop;
} answers = {.lock = PTHREAD_MUTEX_INITIALIZER,
	     .wake = PTHREAD_COND_INITIALIZER,
	     .gone = PTHREAD_COND_INITIALIZER,
	     .last = &answers.first};

/* With the lock. NULL: the end. */
static struct mf_op *next(void)
{
	struct mf_op *op;

	answers.idle++;
	while (!answers.first && !answers.stop)
		pthread_cond_wait(&answers.wake, &answers.lock);
	answers.idle--;
	op = answers.first;
	if (!op)
		return NULL;
	answers.first = op->later;
	if (!answers.first)
		answers.last = &answers.first;
	answers.queued--;
	return op;
}

static void *run(void *arg)
{
	struct mf_op *op;

	pthread_mutex_lock(&answers.lock);
	while ((op = next())) {
		pthread_mutex_unlock(&answers.lock);
		op->answer(op);
		pthread_mutex_lock(&answers.lock);
	}
	answers.threads--;
	pthread_cond_signal(&answers.gone);
	pthread_mutex_unlock(&answers.lock);
	return NULL;
}

bool mf_answer_apart(struct mf_op *op, void (*answer)(struct mf_op *))
{
	bool r;

	op->answer = answer;
	op->later = NULL;
	pthread_mutex_lock(&answers.lock);
	if (!answers.stop && answers.queued >= answers.idle && mf_thread(run, NULL) == 0)
		answers.threads++;
	r = !answers.stop && answers.threads > 0;
	if (r) {
		*answers.last = op;
		answers.last = &op->later;
		answers.queued++;
	}
	pthread_mutex_unlock(&answers.lock);
	if (r)
		pthread_cond_signal(&answers.wake);
	return r;
}

void mf_answers_stop(void)
{
	pthread_mutex_lock(&answers.lock);
	answers.stop = true;
	pthread_cond_broadcast(&answers.wake);
	while (answers.threads > 0)
		pthread_cond_wait(&answers.gone, &answers.lock);
	pthread_mutex_unlock(&answers.lock);
}
