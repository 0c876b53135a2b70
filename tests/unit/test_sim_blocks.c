/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the check of histories says of the blocks ends the seed, whatever words it has for it. */
#include <criterion/criterion.h>
#include <stdarg.h>
#include <string.h>

#include "tests/check/history.h"
#include "tests/sim/sim.h"

static const char *said; /* NULL: all is well */
static char failure[1024];

bool history_is_linear(struct history_op *ops, size_t n, char why[static HISTORY_WHY_BYTES])
{
	cr_assert(n == 0 || ops);
	if (said)
		snprintf(why, HISTORY_WHY_BYTES, "%s", said);
	return !said;
}

void sim_fail(struct sim *s, const char *rule, const char *format, ...)
{
	va_list ap;

	s->violation = rule;
	va_start(ap, format);
	vsnprintf(failure, sizeof(failure), format, ap);
	va_end(ap);
}

static const char *check(const char *text)
{
	struct sim *s = calloc(1, sizeof(*s));
	bool failed;

	said = text;
	failure[0] = '\0';
	sim_blocks_written(s, 5, 70, 3, 1);
	sim_blocks_check(s);
	failed = s->violation != NULL;
	free(s->block_ops);
	free(s);
	return failed ? failure : NULL;
}

Test(sim_blocks, what_is_explained_holds)
{
	cr_assert_null(check(NULL));
}

Test(sim_blocks, a_register_is_told_as_a_block)
{
	cr_assert(strstr(check("register 5: 1 was seen late"), "block 3 of inode 70"));
}

Test(sim_blocks, another_register_is_not_dropped)
{
	cr_assert_not_null(check("register 6: 1 was seen late"));
}

Test(sim_blocks, other_words_are_not_dropped)
{
	cr_assert_not_null(check("out of memory"));
}
