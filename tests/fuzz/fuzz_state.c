/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The four copies of a controller's state, in every state a crash, a fault or another's hand can leave them in. Input: how each
 * copy is made, then its bytes. The choice is compared with the rule: the newest state that two copies agree on.
 */
#include <errno.h>
#include <string.h>

#include "ha/core/ha.h"
#include "proto/crc32c.h"
#include "proto/cursor.h"
#include "tests/fuzz/fuzz.h"

enum { COPIES = 4, FIELDS_END = 72 + 40 * 3 };
enum { UNREADABLE = 0, BLANK = 1, SAME_AS_BEFORE = 2, CHANGED = 3 }; /* how % 4 */
enum { SEAL_CRC = 4, SEAL_FORMAT = 8, SPOIL_FAR = 16 };

/* NULL: unreadable. Else at, filled; before: what the copy before it holds. */
static const uint8_t *copy_make(uint8_t at[HA_STATE_BYTES], const uint8_t *before,
				struct fuzz_in *in)
{
	uint8_t how = fuzz_u8(in);
	const uint8_t *from;
	size_t n;

	memset(at, 0, HA_STATE_BYTES);
	if (how % 4 == UNREADABLE)
		return NULL;
	if (how % 4 == BLANK)
		return at;
	if (before)
		memcpy(at, before, HA_STATE_BYTES);
	if (how % 4 == SAME_AS_BEFORE)
		return at;
	from = fuzz_bytes(in, fuzz_u8(in) % (FIELDS_END + 1), &n);
	for (size_t i = 0; i < n; i++)
		at[i] ^= from[i];
	if (how & SEAL_FORMAT) {
		memcpy(at + 4, "HAST", 4);
		pr_store16(at + 8, 1);
		pr_store32(at + 12, pr_load32(at + 12) % (HA_HISTORY_MAX + 1));
	}
	if (how & SPOIL_FAR)
		at[fuzz_take(in, 2) % HA_STATE_BYTES] ^= 0x40;
	if (how & SEAL_CRC)
		pr_store32(at, pr_crc32c(at + 4, HA_STATE_BYTES - 4));
	return at;
}

/* What is accepted is written back as the same bytes. */
static bool state_read(struct ha_state *ret, const uint8_t *copy)
{
	uint8_t again[HA_STATE_BYTES];

	if (!copy || ha_state_decode(ret, copy) < 0)
		return false;
	FUZZ_CHECK(ret->node >= 1 && ret->node <= 2 && ret->dstate <= HA_QUARANTINED &&
		   ret->history_count <= HA_HISTORY_MAX);
	ha_state_encode(again, ret);
	FUZZ_CHECK(memcmp(again, copy, sizeof(again)) == 0);
	return true;
}

static unsigned int equals(const uint8_t *const copies[COPIES], const uint8_t *copy)
{
	unsigned int n = 0;

	for (int i = 0; i < COPIES; i++)
		n += copies[i] && memcmp(copies[i], copy, HA_STATE_BYTES) == 0;
	return n;
}

static void check_choice(const uint8_t *const copies[COPIES])
{
	static const uint8_t zeros[HA_STATE_BYTES];
	struct ha_state picked, state;
	uint8_t block[HA_STATE_BYTES];
	unsigned int others = 99, blanks = 0, agreed = 0;
	int r = ha_state_pick(&picked, copies, &others);

	for (int i = 0; i < COPIES; i++) {
		blanks += copies[i] && memcmp(copies[i], zeros, sizeof(zeros)) == 0;
		if (!state_read(&state, copies[i]) || equals(copies, copies[i]) < 2)
			continue;
		agreed++;
		FUZZ_CHECK(r == 0 && picked.seq >= state.seq);
	}
	if (!agreed) {
		FUZZ_CHECK(others == 0 && r == (blanks >= 2 ? -ENOENT : -EUCLEAN));
		return;
	}
	ha_state_encode(block, &picked);
	FUZZ_CHECK(r == 0 && equals(copies, block) >= 2);
	for (int i = 0; i < COPIES; i++)
		FUZZ_CHECK((others >> i & 1) !=
			   (copies[i] && memcmp(copies[i], block, sizeof(block)) == 0));
}

static void one(const uint8_t *p, size_t len)
{
	static uint8_t block[COPIES][HA_STATE_BYTES];
	struct fuzz_in in = {p, len};
	const uint8_t *copies[COPIES];

	for (int i = 0; i < COPIES; i++)
		copies[i] = copy_make(block[i], i > 0 ? block[i - 1] : NULL, &in);
	check_choice(copies);
}

FUZZ_TARGET(state)
