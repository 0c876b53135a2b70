/* SPDX-License-Identifier: GPL-2.0-or-later OR LGPL-2.1-or-later */
/*
 * Assertions that stay on in every build. A false one ends the process: corruption or an impossible
 * state never limps on. Pure code cannot write, so the text goes to a handler the edge installs
 * (assert_stderr.h); without one it still stands in pr_assert_text for the core dump.
 */
#pragma once

#include <stddef.h>

/* Gets one line with its newline. Must neither return to the caller's work nor allocate. */
typedef void (*pr_assert_fn)(const char *text, size_t len);

extern pr_assert_fn pr_assert_handler;
extern char pr_assert_text[512];

_Noreturn void pr_assert_failed(const char *file, int line, const char *func, const char *what)
	__attribute__((cold));
_Noreturn void pr_out_of_memory(const char *file, int line, const char *func) __attribute__((cold));

#define PR_ASSERT(cond)                                                        \
	do {                                                                   \
		if (__builtin_expect(!(cond), 0))                              \
			pr_assert_failed(__FILE__, __LINE__, __func__, #cond); \
	} while (0)

/*
 * What malloc gave, where there is no way on without it. A controller ends and says so: what was acknowledged is durable on both,
 * the peer goes on, and a process without memory could not even say no.
 */
#define PR_ASSERT_MEMORY(p)                                             \
	do {                                                            \
		if (__builtin_expect(!(p), 0))                          \
			pr_out_of_memory(__FILE__, __LINE__, __func__); \
	} while (0)

#ifndef ASSERT
#define ASSERT_MEMORY(p) PR_ASSERT_MEMORY(p)
#define ASSERT(cond)	 PR_ASSERT(cond)
#endif
