/* SPDX-License-Identifier: GPL-2.0-or-later OR LGPL-2.1-or-later */
/*
 * UUIDs as 16 bytes in the order of their text (RFC 9562). Makes no randomness: the caller brings it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct pr_uuid {
	uint8_t b[16];
};

#define PR_UUID_TEXT 37 /* bytes of the text form with its NUL */

/* Writes the 36 characters in lower case and a NUL; returns out. */
char *pr_uuid_format(char out[PR_UUID_TEXT], const struct pr_uuid *uuid);

/* Takes exactly the 36 characters, either case. Returns 0 or -EINVAL; *ret is set only on success. */
int pr_uuid_parse(const char *text, struct pr_uuid *ret);

/* A version 4 UUID out of 16 random bytes. */
struct pr_uuid pr_uuid_make(const uint8_t random[16]);

static inline bool pr_uuid_equal(const struct pr_uuid *a, const struct pr_uuid *b)
{
	return memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

static inline bool pr_uuid_is_zero(const struct pr_uuid *uuid)
{
	static const struct pr_uuid zero;

	return pr_uuid_equal(uuid, &zero);
}
