/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The arbiter record and the floor: two copies each, in every state a crash, a fault or another's hand can leave them in. Input:
 * how each copy is made, then its bytes. The choice is compared with the rule as the protocol words it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ha/core/ha.h"
#include "proto/crc32c.h"
#include "proto/cursor.h"
#include "tests/fuzz/fuzz.h"

enum { UNREADABLE = 0, BLANK = 1, SAME_AS_FIRST = 2, RAW = 3 }; /* how % 4 */
enum { SEAL_CRC = 4, SEAL_RECORD = 8, SEAL_FLOOR = 16 };
enum { FIELDS_END = 64 };

/* NULL: unreadable. Else at, filled. */
static const uint8_t *copy_make(uint8_t at[HA_ARBITER_BYTES], const uint8_t *first,
				struct fuzz_in *in)
{
	uint8_t how = fuzz_u8(in);
	const uint8_t *from;
	size_t n;

	memset(at, 0, HA_ARBITER_BYTES);
	if (how % 4 == UNREADABLE)
		return NULL;
	if (how % 4 == BLANK)
		return at;
	if (how % 4 == SAME_AS_FIRST && first)
		memcpy(at, first, HA_ARBITER_BYTES);
	from = fuzz_bytes(in, how % 4 == RAW ? FIELDS_END : fuzz_u8(in) % 4, &n);
	for (size_t i = 0; i < n; i++)
		at[(how % 4 == RAW ? 0 : 32) + i] ^= from[i];
	if (how & (SEAL_RECORD | SEAL_FLOOR)) {
		memcpy(at + 4, how & SEAL_RECORD ? "HARB" : "HAFL", 4);
		pr_store16(at + 8, 1);
	}
	if (how & SEAL_CRC)
		pr_store32(at, pr_crc32c(at + 4, HA_ARBITER_BYTES - 4));
	return at;
}

/* What is accepted is written back as the same bytes. */
static bool record_read(struct ha_arbiter *ret, const uint8_t *copy)
{
	uint8_t again[HA_ARBITER_BYTES];

	if (!copy || ha_arbiter_decode(ret, copy) < 0)
		return false;
	FUZZ_CHECK(ret->members <= 3 && ret->active <= 2);
	ha_arbiter_encode(again, ret);
	FUZZ_CHECK(memcmp(again, copy, sizeof(again)) == 0);
	return true;
}

static void check_floor(const uint8_t *copy)
{
	uint8_t again[HA_ARBITER_BYTES];
	uint64_t epoch, lsn;

	if (!copy || ha_floor_decode(copy, copy + 16, &epoch, &lsn) < 0)
		return;
	ha_floor_encode(again, copy + 16, epoch, lsn);
	FUZZ_CHECK(memcmp(again, copy, sizeof(again)) == 0);
	memcpy(again, copy + 16, 16);
	again[3] ^= 1;
	FUZZ_CHECK(ha_floor_decode(copy, again, &epoch, &lsn) == -EBADMSG);
}

static bool blank(const uint8_t *copy)
{
	static const uint8_t zeros[HA_ARBITER_BYTES];

	return copy && memcmp(copy, zeros, sizeof(zeros)) == 0;
}

static bool equal(const struct ha_arbiter *a, const struct ha_arbiter *b)
{
	uint8_t x[HA_ARBITER_BYTES], y[HA_ARBITER_BYTES];

	ha_arbiter_encode(x, a);
	ha_arbiter_encode(y, b);
	return memcmp(x, y, sizeof(x)) == 0;
}

/* The rule in its own words: the valid copy with the higher seq; the other one is completed from it. */
static void check_choice(const uint8_t *const copies[2])
{
	struct ha_arbiter a[2], picked;
	bool good[2] = {record_read(&a[0], copies[0]), record_read(&a[1], copies[1])};
	int rewrite = 7, newer, r = ha_arbiter_pick(&picked, copies, &rewrite);
	const uint8_t *mended[2];
	uint8_t block[HA_ARBITER_BYTES];

	if (!good[0] && !good[1]) {
		FUZZ_CHECK(r == (blank(copies[0]) && blank(copies[1]) ? -ENOENT : -EUCLEAN));
		return;
	}
	if (good[0] && good[1] && a[0].seq == a[1].seq && !equal(&a[0], &a[1])) {
		FUZZ_CHECK(r == -EUCLEAN);
		return;
	}
	newer = !good[0] || (good[1] && a[1].seq > a[0].seq);
	FUZZ_CHECK(r == 0 && equal(&picked, &a[newer]));
	if (rewrite < 0) {
		FUZZ_CHECK(good[0] && good[1] && equal(&a[0], &a[1]));
		return;
	}
	FUZZ_CHECK(rewrite == !newer);
	ha_arbiter_encode(block, &picked);
	mended[newer] = copies[newer];
	mended[!newer] = block;
	FUZZ_CHECK(ha_arbiter_pick(&a[0], mended, &rewrite) == 0 && rewrite == -1 &&
		   equal(&a[0], &picked));
}

static void one(const uint8_t *p, size_t len)
{
	uint8_t block[2][HA_ARBITER_BYTES];
	struct fuzz_in in = {p, len};
	const uint8_t *copies[2];

	copies[0] = copy_make(block[0], NULL, &in);
	copies[1] = copy_make(block[1], copies[0], &in);
	check_choice(copies);
	check_floor(copies[0]);
	check_floor(copies[1]);
}

FUZZ_TARGET(arbiter)
