/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The label of a LUN. Input: what is sealed, then bytes for the block's beginning, then one byte to be changed far behind. */
#include <errno.h>
#include <string.h>

#include "lun/label.h"
#include "proto/crc32c.h"
#include "proto/cursor.h"
#include "tests/fuzz/fuzz.h"

enum { SEAL_CRC = 1, SEAL_MAGIC = 2, SEAL_VERSION = 4, SPOIL = 8, FIELDS_END = 168 };

static void one(const uint8_t *p, size_t len)
{
	uint8_t block[LUN_BLOCK_BYTES] = {0}, again[LUN_BLOCK_BYTES];
	struct fuzz_in in = {p, len};
	uint8_t seal = fuzz_u8(&in);
	uint16_t at = (uint16_t)fuzz_take(&in, 2);
	struct lun_label label, back;
	const char *why = "";
	const uint8_t *from;
	size_t n;
	int r;

	from = fuzz_bytes(&in, FIELDS_END, &n);
	if (n > 0)
		memcpy(block, from, n);
	if (seal & SEAL_MAGIC)
		memcpy(block + 8, "mdcpair", 8);
	if (seal & SEAL_VERSION)
		pr_store32(block + 16, LUN_LABEL_VERSION);
	if (seal & SPOIL)
		block[at % LUN_BLOCK_BYTES] ^= (uint8_t)(1 + seal);
	if (seal & SEAL_CRC)
		pr_store32(block, pr_crc32c(block + 4, sizeof(block) - 4));
	r = lun_label_decode(&label, block, &why);
	FUZZ_CHECK((r == 0) == (why == NULL));
	FUZZ_CHECK(lun_label_decode(&back, block, NULL) == r);
	if (r) {
		FUZZ_CHECK(r == -ENODATA || r == -EBADMSG || r == -EPROTONOSUPPORT);
		return;
	}
	FUZZ_CHECK(lun_name_ok(label.name) && label.data_block < label.blocks);
	lun_label_encode(again, &label);
	FUZZ_CHECK(memcmp(again, block, sizeof(block)) == 0);
}

FUZZ_TARGET(label)
