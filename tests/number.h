/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Numbers on a command line: one that is none, or not allowed, ends the program with status 2 and names its option. */
#pragma once

#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* Decimal, or with 0x hexadecimal. */
static inline uint64_t number_of(const char *option, const char *text, uint64_t min, uint64_t max)
{
	char *end;
	uint64_t n;

	errno = 0;
	n = strtoull(text, &end, 0);
	if (isdigit((unsigned char)text[0]) && !*end && !errno && n >= min && n <= max)
		return n;
	fprintf(stderr, "--%s: \"%s\" is no number from %llu ", option, text,
		(unsigned long long)min);
	fprintf(stderr, max == UINT64_MAX ? "on\n" : "to %llu\n", (unsigned long long)max);
	exit(2);
}
