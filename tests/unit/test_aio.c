/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lun/aio.h"
#include "proto/assert_stderr.h"

enum { PAGE = 4096 };

static const enum aio_engine engines[] = {AIO_AUTO, AIO_URING, AIO_THREADS};

static struct aio *engine_new(enum aio_engine engine, unsigned depth)
{
	struct aio *a;
	int r = aio_new(&(struct aio_config){.engine = engine, .depth = depth}, &a);

	pr_assert_to_stderr();
	if (engine == AIO_URING && r < 0) {
		fprintf(stderr, "no io_uring here: %s\n", strerror(-r));
		return NULL;
	}
	cr_assert_eq(r, 0);
	return a;
}

static int file_new(uint64_t bytes, int flags)
{
	char path[] = "./test_aio-XXXXXX";
	int fd = mkstemp(path), again;

	cr_assert_geq(fd, 0);
	cr_assert_eq(ftruncate(fd, (off_t)bytes), 0);
	again = open(path, O_RDWR | flags);
	if (again < 0)
		again = open(path, O_RDWR);
	close(fd);
	unlink(path);
	return again;
}

static struct aio_done one(struct aio *a)
{
	struct aio_done done;

	while (!aio_reap(a, &done))
		cr_assert(aio_wait(a, 5000));
	return done;
}

Test(aio, what_is_written_is_read)
{
	for (unsigned e = 0; e < 3; e++) {
		struct aio *a = engine_new(engines[e], 8);
		int fd = file_new(64 * PAGE, O_DIRECT);
		uint8_t *p = NULL;

		if (!a)
			continue;
		cr_assert_eq(posix_memalign((void **)&p, PAGE, 9 * PAGE), 0);
		for (unsigned i = 0; i < 8; i++) {
			memset(p + i * PAGE, (int)i + 1, PAGE);
			cr_assert_eq(aio_submit(a, &(struct aio_request){.op = AIO_WRITE,
									 .flags = AIO_DSYNC,
									 .fd = fd,
									 .buffer = p + i * PAGE,
									 .bytes = PAGE,
									 .offset = 3 * i * PAGE,
									 .user = p + i * PAGE}),
				     0);
		}
		cr_assert_eq(aio_submit(a, &(struct aio_request){.op = AIO_FSYNC, .fd = fd}),
			     -EAGAIN);
		cr_assert_eq(aio_pending(a), 8u);
		aio_kick(a);
		for (unsigned i = 0; i < 8; i++)
			cr_assert_eq(one(a).result, 0);
		cr_assert_eq(
			aio_submit(a, &(struct aio_request){.op = AIO_FSYNC, .fd = fd, .user = a}),
			0);
		aio_kick(a);
		cr_assert_eq(one(a).user, (void *)a);
		for (unsigned i = 0; i < 8; i++) {
			memset(p + 8 * PAGE, 0xee, PAGE);
			cr_assert_eq(aio_submit(a, &(struct aio_request){.op = AIO_READ,
									 .fd = fd,
									 .buffer = p + 8 * PAGE,
									 .bytes = PAGE,
									 .offset = 3 * i * PAGE}),
				     0);
			aio_kick(a);
			cr_assert_eq(one(a).result, 0);
			cr_assert_eq(memcmp(p + 8 * PAGE, p + i * PAGE, PAGE), 0);
		}
		cr_assert_eq(aio_pending(a), 0u);
		aio_free(a);
		free(p);
		close(fd);
	}
}

Test(aio, errors_come_back_with_their_request)
{
	for (unsigned e = 0; e < 3; e++) {
		struct aio *a = engine_new(engines[e], 8);
		int fd = file_new(2 * PAGE, 0);
		uint8_t *p = malloc(4 * PAGE);
		struct aio_done d;

		if (!a)
			continue;
		aio_submit(a, &(struct aio_request){.op = AIO_READ,
						    .fd = fd,
						    .buffer = p,
						    .bytes = 3 * PAGE,
						    .user = &d});
		aio_kick(a);
		d = one(a);
		cr_assert_eq(d.result, -ENODATA);
		cr_assert_eq(d.user, (void *)&d);
		aio_submit(a, &(struct aio_request){
				      .op = AIO_WRITE, .fd = -1, .buffer = p, .bytes = PAGE});
		aio_kick(a);
		cr_assert_eq(one(a).result, -EBADF);
		aio_free(a);
		free(p);
		close(fd);
	}
}

Test(aio, its_descriptor_is_readable_when_something_ended)
{
	for (unsigned e = 0; e < 3; e++) {
		struct aio *a = engine_new(engines[e], 8);
		int fd = file_new(2 * PAGE, 0);
		struct aio_done d;
		uint8_t *p = malloc(PAGE);

		if (!a)
			continue;
		cr_assert_not(aio_reap(a, &d));
		cr_assert_not(aio_wait(a, 10));
		aio_submit(a, &(struct aio_request){
				      .op = AIO_READ, .fd = fd, .buffer = p, .bytes = PAGE});
		cr_assert(aio_wait(a, 5000));
		cr_assert(aio_reap(a, &d));
		cr_assert_not(aio_reap(a, &d));
		cr_assert_not(aio_wait(a, 10));
		aio_free(a);
		free(p);
		close(fd);
	}
}

Test(aio, freeing_waits_for_what_is_under_way)
{
	for (unsigned e = 0; e < 3; e++) {
		struct aio *a = engine_new(engines[e], 64);
		int fd = file_new(64 * PAGE, 0);
		uint8_t *p = calloc(1, 64 * PAGE), back[PAGE];

		if (!a)
			continue;
		memset(p, 7, 64 * PAGE);
		for (unsigned i = 0; i < 64; i++)
			cr_assert_eq(aio_submit(a, &(struct aio_request){.op = AIO_WRITE,
									 .fd = fd,
									 .buffer = p + i * PAGE,
									 .bytes = PAGE,
									 .offset = i * PAGE}),
				     0);
		aio_free(a);
		for (unsigned i = 0; i < 64; i++) {
			cr_assert_eq(pread(fd, back, PAGE, i * PAGE), PAGE);
			cr_assert_eq(back[17], 7);
		}
		free(p);
		close(fd);
	}
}
