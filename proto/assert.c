/* SPDX-License-Identifier: GPL-2.0-or-later OR LGPL-2.1-or-later */
#include "proto/assert.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

pr_assert_fn pr_assert_handler;
char pr_assert_text[512];

/* n: what snprintf said of the text. */
static _Noreturn void end(int n)
{
	if (n < 0)
		n = 0;
	if ((size_t)n >= sizeof(pr_assert_text)) {
		n = sizeof(pr_assert_text) - 1;
		pr_assert_text[n - 1] = '\n';
	}
	if (pr_assert_handler)
		pr_assert_handler(pr_assert_text, (size_t)n);
	abort();
}

void pr_assert_failed(const char *file, int line, const char *func, const char *what)
{
	end(snprintf(pr_assert_text, sizeof(pr_assert_text), "%s:%d: %s: ASSERT(%s)\n", file, line,
		     func, what));
}

void pr_out_of_memory(const char *file, int line, const char *func)
{
	end(snprintf(pr_assert_text, sizeof(pr_assert_text), "%s:%d: %s: out of memory\n", file,
		     line, func));
}
