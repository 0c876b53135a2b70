/* SPDX-License-Identifier: GPL-2.0-or-later OR LGPL-2.1-or-later */
/* Between aio.c and its two engines: an engine moves one piece of a slot's request at a time. */
#pragma once
#include "lun/aio.h"

struct aio_slot {
	struct aio_request request;
	uint32_t moved; /* bytes done already */
	int result;	/* of the last piece: bytes, or -errno */
	uint32_t next;	/* in the free list or an engine's list */
};

enum { AIO_NONE = 0xffffffff };

struct aio_engine_ops {
	const char *name;
	int (*start)(struct aio *, const struct aio_config *);
	void (*stop)(struct aio *);
	void (*put)(struct aio *, uint32_t slot); /* queue the rest of a slot's request */
	void (*kick)(struct aio *);
	uint32_t (*take)(struct aio *); /* a slot whose piece has ended, AIO_NONE: none */
};

struct aio {
	const struct aio_engine_ops *ops;
	void *engine;
	int event_fd;
	struct aio_slot *slots;
	uint32_t depth, free_slot;
	unsigned pending;
};

extern const struct aio_engine_ops aio_uring_ops, aio_threads_ops;
