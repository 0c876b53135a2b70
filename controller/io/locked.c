/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "controller/io/locked.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <link.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

static int lock_segments(struct dl_phdr_info *o, size_t size, void *user)
{
	(void)size;
	(void)user;
	for (int i = 0; i < o->dlpi_phnum; i++) {
		const ElfW(Phdr) *s = &o->dlpi_phdr[i];

		if (s->p_type == PT_LOAD &&
		    mlock((const void *)(o->dlpi_addr + s->p_vaddr), s->p_memsz) < 0)
			return errno;
	}
	return 0;
}

/* Under a limit that counts for it each mmap beyond it would fail from then on, the map of the store first. */
static bool counts(const struct rlimit *l)
{
	size_t bytes = l->rlim_cur + (size_t)sysconf(_SC_PAGESIZE);
	void *beyond =
		mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	bool refused;

	if (beyond == MAP_FAILED)
		return true;
	refused = mlock2(beyond, bytes, MLOCK_ONFAULT) < 0;
	munmap(beyond, bytes);
	return refused;
}

static int raise_limit(char *why, size_t size)
{
	struct rlimit l = {RLIM_INFINITY, RLIM_INFINITY};

	if (setrlimit(RLIMIT_MEMLOCK, &l) == 0)
		return 0;
	if (getrlimit(RLIMIT_MEMLOCK, &l) < 0 || l.rlim_cur == RLIM_INFINITY || !counts(&l))
		return 0;
	snprintf(
		why, size,
		"RLIMIT_MEMLOCK is %" PRIu64
		" KiB and may not be raised: only code is locked in memory (LimitMEMLOCK=infinity in the unit, --ulimit memlock=-1 of a container)",
		(uint64_t)l.rlim_cur / 1024);
	return -EPERM;
}

int locked_take(char *why, size_t size)
{
	int limited = raise_limit(why, size), error;

	if (!limited && mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) < 0) {
		error = errno;
		snprintf(why, size, "memory is not locked: %s", strerror(error));
		return -error;
	}
	error = dl_iterate_phdr(lock_segments, NULL);
	if (error) {
		snprintf(why, size, "the program is not locked in memory: %s", strerror(error));
		return -error;
	}
	return limited;
}

void locked_leave_out(int fd)
{
	char link[64], path[PATH_MAX], *line = NULL;
	FILE *maps = fopen("/proc/self/maps", "re");
	size_t room = 0;
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	while (maps && n > 0 && getline(&line, &room, maps) > 0) {
		uintptr_t from, to;
		int at = 0;

		line[strcspn(line, "\n")] = '\0';
		path[n] = '\0';
		if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %*s %*s %*s %*s %n", &from, &to, &at) ==
			    2 &&
		    at && strcmp(line + at, path) == 0)
			munlock((const void *)from, to - from);
	}
	free(line);
	if (maps)
		fclose(maps);
}
