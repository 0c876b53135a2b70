/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>

#include "proto/pr.h"

Test(text, writes_numbers_as_printf_does)
{
	char text[200];
	struct pr_text t = pr_text_on(text, sizeof(text));

	pr_text_u64(&t, 0);
	pr_text_char(&t, ' ');
	pr_text_u64(&t, UINT64_MAX);
	pr_text_char(&t, ' ');
	pr_text_i64(&t, INT64_MIN);
	pr_text_char(&t, ' ');
	pr_text_i64(&t, -1);
	pr_text_char(&t, ' ');
	pr_text_hex(&t, 0xdeadbeef);
	pr_text_char(&t, ' ');
	pr_text_octal(&t, 0755);
	pr_text_octal(&t, 0);
	pr_text_printf(&t, " %d%%", 50);
	cr_assert_str_eq(text, "0 18446744073709551615 -9223372036854775808 -1 0xdeadbeef 07550"
			       " 50%");
}

Test(text, quotes_what_a_terminal_must_not_see)
{
	char text[100];
	struct pr_text t = pr_text_on(text, sizeof(text));

	pr_text_quoted(&t, "a\"b\\c\033[\xff", 8);
	cr_assert_str_eq(text, "\"a\\\"b\\\\c\\x1b[\\xff\"");
}

Test(text, shows_the_first_bytes_and_the_length_of_the_rest)
{
	uint8_t bytes[40] = {0xab, 0xcd};
	char text[100];
	struct pr_text t = pr_text_on(text, sizeof(text));

	pr_text_bytes(&t, bytes, 2);
	cr_assert_str_eq(text, "abcd");
	t = pr_text_on(text, sizeof(text));
	pr_text_bytes(&t, bytes, 40);
	cr_assert_str_eq(text + 64, "+8");
}

Test(text, what_does_not_fit_is_cut_and_marked_for_good)
{
	for (size_t cap = 1; cap <= 12; cap++) {
		char text[13];
		struct pr_text t = pr_text_on(text, cap);

		memset(text + 1, 'z', sizeof(text) - 1);
		pr_text_str(&t, "hello");
		pr_text_printf(&t, "-%s", "world");
		cr_assert_eq(t.cut, cap < 12);
		cr_assert_eq(strlen(text), cap - 1);
		cr_assert_eq(text[cap], cap < 13 ? 'z' : 0);
		if (cap == 8)
			cr_assert_str_eq(text, "hell...");
		pr_text_str(&t, "");
		pr_text_char(&t, 'x');
		cr_assert(t.cut);
		cr_assert_eq(strlen(text), cap - 1);
	}
}

/* ---- cursors ---- */

Test(cursor, a_full_writer_writes_nothing_more)
{
	uint8_t space[8] = {0};
	struct pr_buf b = pr_buf_on(space, 7);

	pr_put_u32(&b, 0x04030201);
	pr_put_u32(&b, 0xffffffff);
	cr_assert(b.failed);
	cr_assert_eq(b.len, 4);
	pr_put_u8(&b, 0xff);
	cr_assert_eq(b.len, 4);
	cr_assert_eq(memcmp(space, "\1\2\3\4\0\0\0\0", 8), 0);
	cr_assert_neq(pr_ping_encode(&b, &(struct pr_ping){0}), 0);
}

Test(cursor, reads_what_was_written_and_not_a_byte_more)
{
	uint8_t space[64], bytes[3], u8;
	struct pr_buf b = pr_buf_on(space, sizeof(space));
	struct pr_cur c;
	uint16_t u16;
	uint32_t u32;
	uint64_t u64;
	int64_t i64;

	pr_put_u8(&b, 1);
	pr_put_u16(&b, 0x0203);
	pr_put_u32(&b, 0x04050607);
	pr_put_u64(&b, UINT64_MAX - 1);
	pr_put_i64(&b, -5);
	pr_put_bytes(&b, "abc", 3);
	pr_put_zero(&b, 2);
	c = pr_cur_on(space, b.len - 2);
	cr_assert(pr_get_u8(&c, &u8) && u8 == 1);
	cr_assert(pr_get_u16(&c, &u16) && u16 == 0x0203);
	cr_assert(pr_get_u32(&c, &u32) && u32 == 0x04050607);
	cr_assert(pr_get_u64(&c, &u64) && u64 == UINT64_MAX - 1);
	cr_assert(pr_get_i64(&c, &i64) && i64 == -5);
	cr_assert(!pr_get_u32(&c, &u32));
	cr_assert(pr_get_bytes(&c, bytes, 3) && !memcmp(bytes, "abc", 3));
	cr_assert(pr_cur_end(&c));
	cr_assert(!pr_get_u8(&c, &u8));
}

Test(cursor, bytes_are_copied_into_a_string_and_cut)
{
	char out[4];

	cr_assert_str_eq(pr_bytes_copy(out, sizeof(out), pr_bytes_str("ab")), "ab");
	cr_assert_str_eq(pr_bytes_copy(out, sizeof(out), pr_bytes_str("abcdef")), "abc");
	cr_assert_str_eq(pr_bytes_copy(out, 1, pr_bytes_str("abc")), "");
	cr_assert(pr_bytes_equal(pr_bytes_str("a"), pr_bytes_of("a", 1)));
	cr_assert(!pr_bytes_equal(pr_bytes_str("a"), pr_bytes_str("ab")));
	cr_assert(pr_bytes_equal(pr_bytes_of(NULL, 0), pr_bytes_str("")));
}

/* ---- assertions ---- */

static void check_handler(const char *text, size_t len)
{
	cr_assert_eq(strlen(text), len);
	cr_assert_not_null(strstr(text, "test_text.c:"));
	if (strstr(text, "ASSERT(1 + 1 == 3)\n"))
		raise(SIGUSR1);
}

Test(assert, a_false_one_reaches_the_handler_with_its_text, .signal = SIGUSR1)
{
	pr_assert_handler = check_handler;
	PR_ASSERT(1 + 1 == 3);
}

Test(assert, a_false_one_ends_the_process, .signal = SIGABRT)
{
	PR_ASSERT(false);
}

Test(assert, a_true_one_is_evaluated_once)
{
	int n = 0;

	PR_ASSERT(++n == 1);
	ASSERT(n == 1);
	cr_assert_eq(n, 1);
}

Test(assert, a_spoiled_list_is_not_walked, .signal = SIGABRT)
{
	struct pr_list it = {.count = 1, .p = (const uint8_t *)"abc", .len = 3};
	struct pr_gid gid;

	pr_gid_next(&it, &gid);
}
