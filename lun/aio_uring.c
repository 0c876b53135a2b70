/* SPDX-License-Identifier: GPL-2.0-or-later OR LGPL-2.1-or-later */
/* The io_uring engine. */
#ifdef HAVE_URING

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <sys/uio.h>

#include "lun/aio_priv.h"
#include "proto/assert.h"

static int uring_start(struct aio *a, const struct aio_config *c)
{
	struct io_uring *ring = calloc(1, sizeof(*ring));
	int r;

	if (!ring)
		return -ENOMEM;
	r = io_uring_queue_init(c->depth, ring, 0);
	if (r < 0) {
		free(ring);
		return r;
	}
	r = io_uring_register_eventfd(ring, a->event_fd);
	if (r < 0) {
		io_uring_queue_exit(ring);
		free(ring);
		return r;
	}
	a->engine = ring;
	return 0;
}

static void uring_stop(struct aio *a)
{
	io_uring_queue_exit(a->engine);
	free(a->engine);
}

static void uring_kick(struct aio *a)
{
	struct io_uring *ring = a->engine;

	while (io_uring_sq_ready(ring) > 0) {
		int r = io_uring_submit(ring);

		/*
		 * -EAGAIN, -EBUSY: the kernel is short of memory for a moment; the requests stay
		 * queued.
		 */
		if (r < 0 && r != -EINTR && r != -EAGAIN && r != -EBUSY)
			ASSERT(!"io_uring_submit");
	}
}

static void uring_put(struct aio *a, uint32_t slot)
{
	const struct aio_slot *s = &a->slots[slot];
	const struct aio_request *q = &s->request;
	struct io_uring_sqe *sqe = io_uring_get_sqe(a->engine);
	char *at = (char *)q->buffer + s->moved;

	if (!sqe) {
		uring_kick(a);
		sqe = io_uring_get_sqe(a->engine);
		ASSERT(sqe);
	}
	switch (q->op) {
	case AIO_READ:
		io_uring_prep_read(sqe, q->fd, at, q->bytes - s->moved, q->offset + s->moved);
		break;
	case AIO_WRITE:
		io_uring_prep_write(sqe, q->fd, at, q->bytes - s->moved, q->offset + s->moved);
		if (q->flags & AIO_DSYNC)
			sqe->rw_flags = RWF_DSYNC;
		break;
	case AIO_FSYNC:
		io_uring_prep_fsync(sqe, q->fd, IORING_FSYNC_DATASYNC);
		break;
	}
	sqe->user_data = slot;
}

static uint32_t uring_take(struct aio *a)
{
	struct io_uring *ring = a->engine;
	struct io_uring_cqe *cqe;
	uint32_t slot;

	if (io_uring_peek_cqe(ring, &cqe) != 0)
		return AIO_NONE;
	slot = (uint32_t)cqe->user_data;
	a->slots[slot].result = cqe->res;
	io_uring_cqe_seen(ring, cqe);
	return slot;
}

const struct aio_engine_ops aio_uring_ops = {
	.name = "io_uring",
	.start = uring_start,
	.stop = uring_stop,
	.put = uring_put,
	.kick = uring_kick,
	.take = uring_take,
};

#else

/* ISO C wants something in every file. */
typedef int aio_uring_left_out;

#endif
