/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A journal that gets no memory at its start, whichever allocation fails, is none, and leaves nothing behind. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "journal/core/jr.h"

/* The linker puts these in the place of the C library's (--wrap). */
void *__real_malloc(size_t bytes);
void *__real_calloc(size_t n, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t n, size_t bytes);

static unsigned calls, denied; /* the denied-th call gets nothing; 0: each gets what it asks for */

void *__wrap_malloc(size_t bytes)
{
	return ++calls == denied ? NULL : __real_malloc(bytes);
}

void *__wrap_calloc(size_t n, size_t bytes)
{
	return ++calls == denied ? NULL : __real_calloc(n, bytes);
}

Test(jr_memory, a_journal_without_all_of_its_memory_is_none)
{
	static const struct jr_config cfg = {
		.segment_bytes = 16 * 4096, .segments = 4, .ring_slots = 64, .in_flight = 2};
	struct jr *jr = jr_new(&cfg);
	unsigned needed = calls;

	cr_assert_not_null(jr);
	jr_free(jr);
	cr_assert_gt(needed, 1u);
	for (denied = 1; denied <= needed; denied++) {
		calls = 0;
		cr_assert_null(jr_new(&cfg), "call %u", denied);
		cr_assert_geq(calls, denied);
	}
	calls = denied = 0;
	jr = jr_new(&cfg);
	cr_assert_not_null(jr);
	cr_assert_eq(calls, needed);
	jr_free(jr);
}
