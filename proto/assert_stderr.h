/* SPDX-License-Identifier: GPL-2.0-or-later OR LGPL-2.1-or-later */
/*
 * For main() of programs and tests, never for pure code: failed assertions go to stderr by a bare
 * write(2), which is safe in any state of the process.
 */
#pragma once

#include <unistd.h>

#include "proto/assert.h"

static inline void pr_assert_write_stderr(const char *text, size_t len)
{
	while (len > 0) {
		ssize_t n = write(STDERR_FILENO, text, len);

		if (n <= 0)
			return;
		text += n;
		len -= (size_t)n;
	}
}

static inline void pr_assert_to_stderr(void)
{
	pr_assert_handler = pr_assert_write_stderr;
}
