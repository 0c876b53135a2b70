/* SPDX-License-Identifier: GPL-2.0-or-later OR LGPL-2.1-or-later */
#include "proto/hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

_Static_assert(sizeof(XXH128_canonical_t) == sizeof(struct pr_hash), "XXH3's canonical form");

struct pr_hash pr_hash_of(const void *p, size_t len)
{
	XXH128_canonical_t canonical;
	struct pr_hash h;

	XXH128_canonicalFromHash(&canonical, XXH3_128bits(p, len));
	memcpy(h.b, canonical.digest, sizeof(h.b));
	return h;
}

struct pr_hash pr_hash_chain(const struct pr_hash *prev, const void *p, size_t len)
{
	struct pr_hash pair[2] = {*prev, pr_hash_of(p, len)};

	return pr_hash_of(pair, sizeof(pair));
}

uint64_t pr_hash64(const void *p, size_t len, uint64_t seed)
{
	return XXH3_64bits_withSeed(p, len, seed);
}

char *pr_hash_format(char out[PR_HASH_TEXT], const struct pr_hash *h)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < sizeof(h->b); i++) {
		out[2 * i] = digits[h->b[i] >> 4];
		out[2 * i + 1] = digits[h->b[i] & 15];
	}
	out[PR_HASH_TEXT - 1] = '\0';
	return out;
}
