/* SPDX-License-Identifier: GPL-2.0-or-later OR LGPL-2.1-or-later */
#include "proto/uuid.h"

#include <errno.h>

static bool dash_at(size_t i)
{
	return i == 8 || i == 13 || i == 18 || i == 23;
}

char *pr_uuid_format(char out[PR_UUID_TEXT], const struct pr_uuid *uuid)
{
	static const char digits[] = "0123456789abcdef";
	size_t byte = 0;

	for (size_t i = 0; i < PR_UUID_TEXT - 1;) {
		if (dash_at(i)) {
			out[i++] = '-';
			continue;
		}
		out[i++] = digits[uuid->b[byte] >> 4];
		out[i++] = digits[uuid->b[byte++] & 15];
	}
	out[PR_UUID_TEXT - 1] = '\0';
	return out;
}

static int digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int pr_uuid_parse(const char *text, struct pr_uuid *ret)
{
	struct pr_uuid uuid;
	size_t byte = 0;

	if (strnlen(text, PR_UUID_TEXT) != PR_UUID_TEXT - 1)
		return -EINVAL;
	for (size_t i = 0; i < PR_UUID_TEXT - 1;) {
		int high, low;

		if (dash_at(i)) {
			if (text[i++] != '-')
				return -EINVAL;
			continue;
		}
		high = digit_value(text[i++]);
		low = digit_value(text[i++]);
		if (high < 0 || low < 0)
			return -EINVAL;
		uuid.b[byte++] = (uint8_t)(high << 4 | low);
	}
	*ret = uuid;
	return 0;
}

struct pr_uuid pr_uuid_make(const uint8_t random[16])
{
	struct pr_uuid uuid;

	memcpy(uuid.b, random, sizeof(uuid.b));
	uuid.b[6] = (uint8_t)((uuid.b[6] & 0x0f) | 0x40);
	uuid.b[8] = (uint8_t)((uuid.b[8] & 0x3f) | 0x80);
	return uuid;
}
