/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/fuzz/fuzz.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/assert_stderr.h"

void (*fuzz_context)(void);

void fuzz_fail(const char *file, int line, const char *what, const char *format, ...)
{
	va_list ap;

	fprintf(stderr, "%s:%d: does not hold: %s", file, line, what);
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputc('\n', stderr);
	if (fuzz_context)
		fuzz_context();
	abort();
}

#ifdef FUZZ_ENGINE
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	pr_assert_to_stderr();
	return 0;
}
#endif
