/* SPDX-License-Identifier: GPL-2.0-or-later OR LGPL-2.1-or-later */
/*
 * The 128-bit hash that chains batches (XXH3, seed 0, in its canonical big-endian form) and the
 * 64-bit one for tables in memory. Neither is cryptographic: they find accidents, not forgers.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "proto/cursor.h"

struct pr_hash {
	uint8_t b[16];
};

struct pr_hash pr_hash_of(const void *p, size_t len);

/* The hash that stands after a piece: of prev's 16 bytes followed by the piece's own hash. */
struct pr_hash pr_hash_chain(const struct pr_hash *prev, const void *p, size_t len);

/* For tables in memory only, never stored. */
uint64_t pr_hash64(const void *p, size_t len, uint64_t seed);

static inline bool pr_hash_equal(const struct pr_hash *a, const struct pr_hash *b)
{
	return memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

static inline bool pr_hash_is_zero(const struct pr_hash *h)
{
	static const struct pr_hash zero;

	return pr_hash_equal(h, &zero);
}

/* A message's hash field is F_BYTES of at most 16: empty, which reads as zero, or all 16. */
static inline struct pr_bytes pr_hash_bytes(const struct pr_hash *h)
{
	return (struct pr_bytes){.p = h->b, .len = sizeof(h->b)};
}

static inline bool pr_hash_from_bytes(struct pr_bytes bytes, struct pr_hash *ret)
{
	if (bytes.len == sizeof(ret->b)) {
		memcpy(ret->b, bytes.p, sizeof(ret->b));
		return true;
	}
	if (bytes.len == 0)
		*ret = (struct pr_hash){0};
	return bytes.len == 0;
}

#define PR_HASH_TEXT 33
/* 32 hexadecimal characters and a NUL; returns out. */
char *pr_hash_format(char out[PR_HASH_TEXT], const struct pr_hash *h);
