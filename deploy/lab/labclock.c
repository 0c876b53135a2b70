/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Preloaded into a program of the lab, it sets that program's wall clock: by as many seconds as the file says that LAB_CLOCK names.
 * What counts intervals is left alone. It asks for no memory and calls no clock of the C library: allocators read one while they start.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static long seconds_off(void)
{
	const char *path = getenv("LAB_CLOCK");
	char text[32] = "";
	long fd = path ? syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC) : -1;

	if (fd < 0)
		return 0;
	syscall(SYS_read, fd, text, sizeof(text) - 1);
	syscall(SYS_close, fd);
	return strtol(text, NULL, 10);
}

int clock_gettime(clockid_t id, struct timespec *ret)
{
	int r = (int)syscall(SYS_clock_gettime, id, ret);

	if (r == 0 && id == CLOCK_REALTIME)
		ret->tv_sec += seconds_off();
	return r;
}
