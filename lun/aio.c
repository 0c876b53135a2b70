/* SPDX-License-Identifier: GPL-2.0-or-later OR LGPL-2.1-or-later */
/* The common part of both engines: slots, short transfers, waiting. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lun/aio_priv.h"
#include "proto/assert.h"

enum { DEPTH_DEFAULT = 128 };

static int engine_start(struct aio *a, const struct aio_config *c)
{
	int r = -ENOSYS;

#ifdef HAVE_URING
	if (c->engine != AIO_THREADS) {
		a->ops = &aio_uring_ops;
		r = a->ops->start(a, c);
	}
#endif
	if (r < 0 && c->engine != AIO_URING) {
		a->ops = &aio_threads_ops;
		r = a->ops->start(a, c);
	}
	return r;
}

int aio_new(const struct aio_config *cfg, struct aio **ret)
{
	struct aio_config c = cfg ? *cfg : (struct aio_config){0};
	struct aio *a = calloc(1, sizeof(*a));
	int r;

	if (!a)
		return -ENOMEM;
	if (c.depth == 0)
		c.depth = DEPTH_DEFAULT;
	a->depth = c.depth;
	a->slots = calloc(c.depth, sizeof(*a->slots));
	a->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (!a->slots || a->event_fd < 0) {
		r = a->slots ? -errno : -ENOMEM;
		goto fail;
	}
	for (uint32_t i = 0; i < c.depth; i++)
		a->slots[i].next = i + 1 < c.depth ? i + 1 : AIO_NONE;
	r = engine_start(a, &c);
	if (r < 0)
		goto fail;
	*ret = a;
	return 0;
fail:
	if (a->event_fd >= 0)
		close(a->event_fd);
	free(a->slots);
	free(a);
	return r;
}

void aio_free(struct aio *a)
{
	struct aio_done done;

	if (!a)
		return;
	aio_kick(a);
	while (a->pending > 0)
		if (!aio_reap(a, &done))
			aio_wait(a, -1);
	a->ops->stop(a);
	close(a->event_fd);
	free(a->slots);
	free(a);
}

int aio_submit(struct aio *a, const struct aio_request *request)
{
	uint32_t slot = a->free_slot;

	if (slot == AIO_NONE)
		return -EAGAIN;
	a->free_slot = a->slots[slot].next;
	a->slots[slot] = (struct aio_slot){.request = *request, .next = AIO_NONE};
	a->pending++;
	a->ops->put(a, slot);
	return 0;
}

void aio_kick(struct aio *a)
{
	a->ops->kick(a);
}

/* True: the request has ended, *ret_result says how. */
static bool piece_ended(struct aio *a, uint32_t slot, int *ret_result)
{
	struct aio_slot *s = &a->slots[slot];

	if (s->request.op == AIO_FSYNC || s->result < 0) {
		/*
		 * Interrupted before anything was transferred: the one error that is no failure of
		 * the device.
		 */
		if (s->result == -EINTR && s->request.op != AIO_FSYNC) {
			a->ops->put(a, slot);
			return false;
		}
		*ret_result = s->result < 0 ? s->result : 0;
		return true;
	}
	s->moved += (uint32_t)s->result;
	if (s->result == 0 && s->moved < s->request.bytes) {
		*ret_result = s->request.op == AIO_READ ? -ENODATA : -EIO;
		return true;
	}
	if (s->moved < s->request.bytes) {
		a->ops->put(a, slot);
		return false;
	}
	*ret_result = 0;
	return true;
}

static void event_drain(struct aio *a)
{
	uint64_t count;

	while (read(a->event_fd, &count, sizeof(count)) < 0 && errno == EINTR)
		;
}

bool aio_reap(struct aio *a, struct aio_done *ret)
{
	bool drained = false;

	for (;;) {
		uint32_t slot = a->ops->take(a);

		if (slot == AIO_NONE && !drained) {
			/* Emptied first, looked at again after: nothing can slip between. */
			event_drain(a);
			drained = true;
			continue;
		}
		if (slot == AIO_NONE)
			return false;
		ret->user = a->slots[slot].request.user;
		if (!piece_ended(a, slot, &ret->result)) {
			aio_kick(a);
			continue;
		}
		a->slots[slot].next = a->free_slot;
		a->free_slot = slot;
		ASSERT(a->pending > 0);
		a->pending--;
		return true;
	}
}

bool aio_wait(struct aio *a, int timeout_ms)
{
	struct pollfd p = {.fd = a->event_fd, .events = POLLIN};
	int r;

	aio_kick(a);
	do
		r = poll(&p, 1, timeout_ms);
	while (r < 0 && errno == EINTR);
	return r > 0;
}

int aio_fd(const struct aio *a)
{
	return a->event_fd;
}

unsigned aio_pending(const struct aio *a)
{
	return a->pending;
}

const char *aio_engine_name(const struct aio *a)
{
	return a->ops->name;
}
