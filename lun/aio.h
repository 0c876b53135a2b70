/* SPDX-License-Identifier: GPL-2.0-or-later OR LGPL-2.1-or-later */
/*
 * Asynchronous block I/O: reads, writes and flushes by io_uring, or by a pool of threads where
 * io_uring is not to be had. One queue serves one thread. Owns what is under way, never the buffers
 * or descriptors; never repeats a request that failed.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct aio;

enum aio_engine { AIO_AUTO, AIO_URING, AIO_THREADS };
enum aio_op { AIO_READ, AIO_WRITE, AIO_FSYNC };
enum {
	AIO_DSYNC = 1
}; /* the write is durable when it is done: O_DSYNC for this one write (pwritev2(2), RWF_DSYNC) */

struct aio_config {
	enum aio_engine engine;
	unsigned depth;	  /* requests under way at once, at most; 0: 128 */
	unsigned threads; /* of the pool; 0: 4 */
};

struct aio_request {
	enum aio_op op;
	unsigned flags;
	int fd;
	void *buffer; /* valid until it is reaped */
	uint32_t bytes;
	uint64_t offset; /* bytes */
	void *user;
};

struct aio_done {
	void *user;
	/*
	 * 0, or -errno. A transfer that ends before its last byte is -EIO, a read past the end
	 * -ENODATA
	 */
	int result;
};

/*
 * 0, or -errno: -ENOSYS or what io_uring_setup(2) said if AIO_URING was insisted on. NULL:
 * defaults.
 */
int aio_new(const struct aio_config *, struct aio **ret);
/* Waits for everything under way; what was not reaped is lost. NULL is fine. */
void aio_free(struct aio *);

/* 0, or -EAGAIN: depth requests are under way. May be held back until aio_kick. */
int aio_submit(struct aio *, const struct aio_request *);
void aio_kick(struct aio *);
/* The next completion; false: none for now. Call until false after aio_fd became readable. */
bool aio_reap(struct aio *, struct aio_done *ret);
/* Waits for a completion, at most so long (-1: forever). False: none. */
bool aio_wait(struct aio *, int timeout_ms);

int aio_fd(const struct aio *);		  /* readable when there is something to reap */
unsigned aio_pending(const struct aio *); /* submitted, not reaped */
const char *aio_engine_name(const struct aio *);
