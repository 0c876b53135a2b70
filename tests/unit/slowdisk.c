/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Preloaded into tgtd by test_lun_iscsi: a store behind which writes take up to 20 ms, and pass each other. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

ssize_t pwrite64(int fd, const void *from, size_t bytes, off64_t at)
{
	static ssize_t (*real)(int, const void *, size_t, off64_t);

	if (!real)
		real = (ssize_t(*)(int, const void *, size_t, off64_t))dlsym(RTLD_NEXT, "pwrite64");
	usleep((useconds_t)(rand() % 20000));
	return real(fd, from, bytes, at);
}
