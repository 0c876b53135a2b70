/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>
#include <string.h>

#include "tests/check/history.h"

#define W(value_, asked, answered)                                                 \
	{                                                                          \
		.value = (value_), .asked_us = (asked), .answered_us = (answered), \
		.is_write = true                                                   \
	}
#define R(value_, asked, answered)                                                \
	{                                                                         \
		.value = (value_), .asked_us = (asked), .answered_us = (answered) \
	}
#define LINEAR(...)                                \
	linear((struct history_op[]){__VA_ARGS__}, \
	       sizeof((struct history_op[]){__VA_ARGS__}) / sizeof(struct history_op))

static char why[HISTORY_WHY_BYTES];

static bool linear(struct history_op *ops, size_t n)
{
	why[0] = '\0';
	return history_is_linear(ops, n, why);
}

Test(history, one_after_the_other_is_linear)
{
	cr_assert(LINEAR(R(0, 1, 2), W(5, 3, 4), R(5, 5, 6), W(7, 7, 8), R(7, 9, 10)));
}

Test(history, what_overlaps_may_go_either_way)
{
	cr_assert(LINEAR(W(5, 1, 10), R(0, 2, 3), R(5, 4, 5), R(5, 11, 12)));
	cr_assert(LINEAR(W(5, 1, 10), W(7, 1, 10), R(5, 11, 12)));
	cr_assert(LINEAR(W(5, 1, 10), W(7, 1, 10), R(7, 11, 12)));
}

Test(history, a_lost_write_is_found)
{
	cr_assert_not(LINEAR(W(5, 1, 2), R(0, 3, 4)));
	cr_assert_not(LINEAR(W(5, 1, 2), W(7, 3, 4), R(5, 5, 6)));
	cr_assert_str_eq(why, "register 0: 5 was seen before and behind 7", "%s", why);
}

Test(history, a_stale_read_is_found)
{
	cr_assert_not(LINEAR(W(5, 1, 10), R(5, 2, 3), R(0, 4, 5)));
	cr_assert_not(LINEAR(W(5, 1, 2), W(7, 3, 10), R(7, 4, 5), R(5, 6, 7)));
}

/* A write that ran again after another one had replaced it. */
Test(history, a_write_that_ran_twice_is_found)
{
	cr_assert_not(LINEAR(W(5, 1, 2), W(7, 3, 4), R(7, 5, 6), R(5, 7, 8)));
}

Test(history, two_answers_that_contradict_are_found)
{
	cr_assert_not(LINEAR(W(5, 1, 20), W(7, 1, 20), R(5, 2, 3), R(7, 4, 5), R(5, 6, 7)));
}

Test(history, a_value_nobody_wrote_is_found)
{
	cr_assert_not(LINEAR(W(5, 1, 2), R(6, 3, 4)));
	cr_assert_not(LINEAR(R(5, 1, 2), W(5, 3, 4)));
}

Test(history, a_write_without_an_answer_may_have_happened_or_not)
{
	cr_assert(LINEAR(W(5, 1, HISTORY_UNKNOWN), R(0, 2, 3)));
	cr_assert(LINEAR(W(5, 1, HISTORY_UNKNOWN), R(0, 2, 3), R(5, 4, 5), R(5, 6, 7)));
	cr_assert_not(LINEAR(W(5, 1, HISTORY_UNKNOWN), R(5, 2, 3), R(0, 4, 5)));
}

Test(history, registers_are_apart)
{
	struct history_op ops[] = {W(5, 1, 2), R(0, 3, 4), W(9, 1, 2), R(9, 3, 4)};

	ops[1].reg = ops[2].reg = ops[3].reg = 1;
	cr_assert_not(linear(ops, 4));
	ops[1].reg = 2;
	cr_assert(linear(ops, 4));
}
