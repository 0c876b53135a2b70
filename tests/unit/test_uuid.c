/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "proto/uuid.h"

static const char example[] = "01234567-89ab-cdef-fedc-ba9876543210";

Test(uuid, its_text_comes_back_as_it_went)
{
	static const uint8_t want[16] = {0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef,
					 0xfe, 0xdc, 0xba, 0x98, 0x76, 0x54, 0x32, 0x10};
	char text[PR_UUID_TEXT];
	struct pr_uuid uuid;

	cr_assert_eq(pr_uuid_parse(example, &uuid), 0);
	cr_assert_eq(memcmp(uuid.b, want, sizeof(want)), 0);
	cr_assert_str_eq(pr_uuid_format(text, &uuid), example);
	cr_assert_eq(pr_uuid_parse("01234567-89AB-CDEF-FEDC-BA9876543210", &uuid), 0);
	cr_assert_str_eq(pr_uuid_format(text, &uuid), example);
}

Test(uuid, any_other_text_is_refused_and_nothing_set)
{
	struct pr_uuid uuid = {{1}}, before = uuid;
	char text[PR_UUID_TEXT + 1];

	for (size_t len = 0; len < strlen(example); len++) {
		memcpy(text, example, len);
		text[len] = '\0';
		cr_assert_eq(pr_uuid_parse(text, &uuid), -EINVAL);
	}
	strcpy(text, example);
	strcat(text, "0");
	cr_assert_eq(pr_uuid_parse(text, &uuid), -EINVAL);
	for (size_t at = 0; at < strlen(example); at++) {
		strcpy(text, example);
		text[at] = 'g';
		cr_assert_eq(pr_uuid_parse(text, &uuid), -EINVAL, "%s", text);
	}
	cr_assert(pr_uuid_equal(&uuid, &before));
}

Test(uuid, a_made_one_is_of_version_4)
{
	for (unsigned int fill = 0; fill < 256; fill++) {
		char text[PR_UUID_TEXT];
		uint8_t random[16];
		struct pr_uuid uuid;

		memset(random, (int)fill, sizeof(random));
		uuid = pr_uuid_make(random);
		pr_uuid_format(text, &uuid);
		cr_assert_eq(text[14], '4');
		cr_assert(strchr("89ab", text[19]));
		cr_assert(!pr_uuid_is_zero(&uuid));
	}
	cr_assert(pr_uuid_is_zero(&(struct pr_uuid){{0}}));
}
