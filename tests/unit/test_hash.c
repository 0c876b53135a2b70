/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>
#include <string.h>

#include "proto/hash.h"

static void expect(struct pr_hash h, const char *want)
{
	char text[PR_HASH_TEXT];

	cr_assert_str_eq(pr_hash_format(text, &h), want);
}

/* Of xxHash's own test suite: seed 0, canonical form. */
Test(hash, gives_the_published_value_of_nothing)
{
	expect(pr_hash_of("", 0), "99aa06d3014798d86001c324468d497f");
}

Test(hash, the_value_in_the_journal_never_changes)
{
	struct pr_hash zero = {{0}}, first = pr_hash_chain(&zero, "first", 5);

	expect(pr_hash_of("mdcpair", 7), "14ed06ca999dcbc6930c77ef7d10a322");
	expect(first, "0216a5e4889d214a7f6ed345362c82aa");
	expect(pr_hash_chain(&first, "second", 6), "a8d3c0d121199d09f052d11e2049f7c8");
}

Test(hash, a_chain_depends_on_every_link_and_their_order)
{
	struct pr_hash zero = {{0}};
	struct pr_hash a = pr_hash_chain(&zero, "a", 1), b = pr_hash_chain(&zero, "b", 1);
	struct pr_hash ab = pr_hash_chain(&a, "b", 1), ba = pr_hash_chain(&b, "a", 1);
	struct pr_hash whole = pr_hash_chain(&zero, "ab", 2);

	cr_assert(!pr_hash_equal(&a, &b));
	cr_assert(!pr_hash_equal(&ab, &ba));
	cr_assert(!pr_hash_equal(&ab, &whole));
	cr_assert(!pr_hash_is_zero(&a));
	cr_assert(pr_hash_is_zero(&zero));
}

Test(hash, travels_as_sixteen_bytes_or_as_none)
{
	struct pr_hash h = pr_hash_of("x", 1), back;

	cr_assert(pr_hash_from_bytes(pr_hash_bytes(&h), &back));
	cr_assert(pr_hash_equal(&h, &back));
	cr_assert(pr_hash_from_bytes(pr_bytes_of(NULL, 0), &back));
	cr_assert(pr_hash_is_zero(&back));
	for (size_t len = 1; len < 16; len++)
		cr_assert(!pr_hash_from_bytes(pr_bytes_of(h.b, len), &back));
}

Test(hash, the_seed_changes_the_short_hash)
{
	cr_assert_eq(pr_hash64("key", 3, 1), pr_hash64("key", 3, 1));
	cr_assert_neq(pr_hash64("key", 3, 1), pr_hash64("key", 3, 2));
}
