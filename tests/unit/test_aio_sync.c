/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A sync that failed is not tried again: what it was to make durable is nowhere, and a second one would say that all is well. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "lun/aio.h"

static int syncs, fails;

/* In place of the C library's. */
int fdatasync(int fd)
{
	syncs++;
	if (fails == 0)
		return 0;
	fails--;
	errno = EIO;
	return -1;
}

int fsync(int fd)
{
	return fdatasync(fd);
}

static int sync_once(struct aio *a, int fd)
{
	struct aio_done done;

	cr_assert_eq(aio_submit(a, &(struct aio_request){.op = AIO_FSYNC, .fd = fd}), 0);
	aio_kick(a);
	while (!aio_reap(a, &done))
		cr_assert(aio_wait(a, 5000));
	return done.result;
}

Test(aio_sync, one_that_failed_is_told_and_not_repeated)
{
	char path[] = "./test_aio_sync-XXXXXX";
	int fd = mkstemp(path);
	struct aio *a;

	cr_assert_geq(fd, 0);
	unlink(path);
	cr_assert_eq(aio_new(&(struct aio_config){.engine = AIO_THREADS, .depth = 4}, &a), 0);
	fails = 1;
	cr_assert_eq(sync_once(a, fd), -EIO);
	cr_assert_eq(syncs, 1);
	cr_assert_eq(sync_once(a, fd), 0);
	cr_assert_eq(syncs, 2);
	aio_free(a);
	close(fd);
}
