/* SPDX-License-Identifier: GPL-2.0-or-later OR LGPL-2.1-or-later */
/* The engine of last resort: a pool of threads, each doing one system call at a time. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

#include "lun/aio_priv.h"
#include "proto/assert.h"

enum { THREADS_DEFAULT = 4, THREADS_MAX = 64 };

struct list {
	uint32_t first, last;
};

struct pool {
	struct aio *aio;
	pthread_mutex_t lock;
	pthread_cond_t work;
	struct list todo, done;
	bool stop;
	unsigned count;
	pthread_t threads[THREADS_MAX];
};

static void list_add(struct aio *a, struct list *l, uint32_t slot)
{
	a->slots[slot].next = AIO_NONE;
	if (l->first == AIO_NONE)
		l->first = slot;
	else
		a->slots[l->last].next = slot;
	l->last = slot;
}

static uint32_t list_take(struct aio *a, struct list *l)
{
	uint32_t slot = l->first;

	if (slot != AIO_NONE)
		l->first = a->slots[slot].next;
	return slot;
}

static int write_some(const struct aio_request *q, const struct iovec *v, off_t offset)
{
	ssize_t n = pwritev2(q->fd, v, 1, offset, q->flags & AIO_DSYNC ? RWF_DSYNC : 0);

	if (n >= 0)
		return (int)n;
	if (errno != EOPNOTSUPP || !(q->flags & AIO_DSYNC))
		return -errno;
	/* A file system that does not know RWF_DSYNC: nothing was written yet. */
	n = pwritev(q->fd, v, 1, offset);
	if (n < 0)
		return -errno;
	return fdatasync(q->fd) < 0 ? -errno : (int)n;
}

static int perform(const struct aio_slot *s)
{
	const struct aio_request *q = &s->request;
	struct iovec v = {.iov_base = (char *)q->buffer + s->moved, .iov_len = q->bytes - s->moved};
	off_t offset = (off_t)(q->offset + s->moved);
	ssize_t n;

	switch (q->op) {
	case AIO_READ:
		n = preadv(q->fd, &v, 1, offset);
		return n < 0 ? -errno : (int)n;
	case AIO_WRITE:
		return write_some(q, &v, offset);
	case AIO_FSYNC:
		return fdatasync(q->fd) < 0 ? -errno : 0;
	}
	return -EINVAL;
}

static void *worker(void *arg)
{
	struct pool *p = arg;
	struct aio *a = p->aio;
	static const uint64_t one = 1;

	pthread_mutex_lock(&p->lock);
	for (;;) {
		uint32_t slot = list_take(a, &p->todo);

		if (slot == AIO_NONE) {
			if (p->stop)
				break;
			pthread_cond_wait(&p->work, &p->lock);
			continue;
		}
		pthread_mutex_unlock(&p->lock);
		a->slots[slot].result = perform(&a->slots[slot]);
		pthread_mutex_lock(&p->lock);
		list_add(a, &p->done, slot);
		while (write(a->event_fd, &one, sizeof(one)) < 0 && errno == EINTR)
			;
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

static void threads_stop(struct aio *a)
{
	struct pool *p = a->engine;

	pthread_mutex_lock(&p->lock);
	p->stop = true;
	pthread_cond_broadcast(&p->work);
	pthread_mutex_unlock(&p->lock);
	for (unsigned i = 0; i < p->count; i++)
		pthread_join(p->threads[i], NULL);
	pthread_mutex_destroy(&p->lock);
	pthread_cond_destroy(&p->work);
	free(p);
}

static int threads_start(struct aio *a, const struct aio_config *c)
{
	unsigned count = c->threads ? c->threads : THREADS_DEFAULT;
	struct pool *p = calloc(1, sizeof(*p));
	sigset_t all, old;
	int r = 0;

	if (!p)
		return -ENOMEM;
	p->aio = a;
	p->todo.first = p->done.first = AIO_NONE;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->work, NULL);
	a->engine = p;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while (p->count < count && p->count < THREADS_MAX && r == 0) {
		r = -pthread_create(&p->threads[p->count], NULL, worker, p);
		if (r == 0)
			p->count++;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r < 0)
		threads_stop(a);
	return r;
}

static void threads_put(struct aio *a, uint32_t slot)
{
	struct pool *p = a->engine;

	pthread_mutex_lock(&p->lock);
	list_add(a, &p->todo, slot);
	pthread_cond_signal(&p->work);
	pthread_mutex_unlock(&p->lock);
}

static void threads_kick(struct aio *a)
{
}

static uint32_t threads_take(struct aio *a)
{
	struct pool *p = a->engine;
	uint32_t slot;

	pthread_mutex_lock(&p->lock);
	slot = list_take(a, &p->done);
	pthread_mutex_unlock(&p->lock);
	return slot;
}

const struct aio_engine_ops aio_threads_ops = {
	.name = "threads",
	.start = threads_start,
	.stop = threads_stop,
	.put = threads_put,
	.kick = threads_kick,
	.take = threads_take,
};
