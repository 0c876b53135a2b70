/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "controller/io/locked.h"

enum { BYTES = 1 << 20 };

static bool is_locked(const void *where)
{
	FILE *smaps = fopen("/proc/self/smaps", "re");
	bool here = false, locked = false;
	char line[512];

	while (fgets(line, sizeof(line), smaps)) {
		uintptr_t from, to;

		if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &from, &to) == 2)
			here = (uintptr_t)where >= from && (uintptr_t)where < to;
		else if (here && strncmp(line, "VmFlags:", 8) == 0)
			locked = strstr(line, " lo") != NULL;
	}
	fclose(smaps);
	return locked;
}

/* Each test is a process of its own. */
Test(locked, heap_and_code_are_and_the_map_of_the_file_is_not)
{
	FILE *file = tmpfile();
	char why[256], *heap, *map;

#ifdef __SANITIZE_ADDRESS__
	cr_skip_test("the address sanitizer lets nothing lock memory");
#endif
	if (locked_take(why, sizeof(why)) == -EPERM)
		cr_skip_test("%s", why);
	heap = calloc(4, BYTES);
	heap[0] = 1;
	cr_assert_eq(ftruncate(fileno(file), BYTES), 0);
	map = mmap(NULL, BYTES, PROT_READ, MAP_SHARED, fileno(file), 0);
	cr_assert(is_locked(heap));
	cr_assert(is_locked((void *)(uintptr_t)&locked_take));
	cr_assert(is_locked(map), "only what is left out is not");
	locked_leave_out(fileno(file));
	cr_assert_not(is_locked(map));
	cr_assert(is_locked(heap));
}

Test(locked, a_limit_leaves_the_heap_and_says_so)
{
	struct rlimit l = {65536, 65536};
	char why[256], *heap;

	cr_assert_eq(setrlimit(RLIMIT_MEMLOCK, &l), 0);
	if (geteuid() == 0)
		cr_assert_eq(setresuid(65534, 65534, 65534), 0);
	cr_assert_lt(locked_take(why, sizeof(why)), 0);
	cr_assert(strstr(why, "RLIMIT_MEMLOCK is 64 KiB") || strstr(why, "Cannot allocate memory"),
		  "%s", why);
	heap = calloc(4, BYTES);
	cr_assert(heap, "memory beyond the limit is still to be had");
	heap[0] = 1;
	cr_assert_not(is_locked(heap));
}
