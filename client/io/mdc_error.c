/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The sentence that belongs to the last error of a thread. */
#include "client/io/mdc_priv.h"

#include <stdarg.h>
#include <stdio.h>

#include "proto/version.h"

static __thread char error_text[1024];

const char *mdc_error(void)
{
	return error_text;
}

const char *mdc_version(void)
{
	return pr_version();
}

int mdc_fail(int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error_text, sizeof(error_text), format, args);
	va_end(args);
	return error;
}
