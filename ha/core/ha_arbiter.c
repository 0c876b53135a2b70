/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The arbiter record and the floor beside it: formats, and the choice between two copies. */
#include "ha/core/ha_core.h"

/*
 * record, 512 bytes                      floor, 512 bytes
 *    0  u32  crc of bytes 4..511            0  u32  crc of bytes 4..511
 *    4  u32  magic "HARB"                   4  u32  magic "HAFL"
 *    8  u16  version                        8  u16  version
 *   10  u8   members                       10  6    zero
 *   11  u8   active                        16  16   cluster
 *   12  4    zero                          32  u64  epoch
 *   16  16   cluster                       40  u64  lsn
 *   32  u64  seq                           48  ..   zero
 *   40  u64  epoch
 *   48  ..   zero
 */
#define ARBITER_MAGIC 0x42524148u
#define FLOOR_MAGIC   0x4c464148u
enum { ARBITER_VERSION = 1, ARBITER_END = 48 };

static bool all_zero(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i])
			return false;
	return true;
}

static bool sound(const uint8_t in[HA_ARBITER_BYTES], uint32_t magic)
{
	return pr_load32(in) == pr_crc32c(in + 4, HA_ARBITER_BYTES - 4) &&
	       pr_load32(in + 4) == magic && pr_load16(in + 8) == ARBITER_VERSION &&
	       all_zero(in + ARBITER_END, HA_ARBITER_BYTES - ARBITER_END);
}

void ha_arbiter_encode(uint8_t out[HA_ARBITER_BYTES], const struct ha_arbiter *a)
{
	memset(out, 0, HA_ARBITER_BYTES);
	pr_store32(out + 4, ARBITER_MAGIC);
	pr_store16(out + 8, ARBITER_VERSION);
	out[10] = a->members;
	out[11] = a->active;
	memcpy(out + 16, a->cluster, 16);
	pr_store64(out + 32, a->seq);
	pr_store64(out + 40, a->epoch);
	pr_store32(out, pr_crc32c(out + 4, HA_ARBITER_BYTES - 4));
}

int ha_arbiter_decode(struct ha_arbiter *ret, const uint8_t in[HA_ARBITER_BYTES])
{
	if (!sound(in, ARBITER_MAGIC) || in[10] > 3 || in[11] > 2 || !all_zero(in + 12, 4))
		return -EBADMSG;
	memset(ret, 0, sizeof(*ret));
	ret->members = in[10];
	ret->active = in[11];
	memcpy(ret->cluster, in + 16, 16);
	ret->seq = pr_load64(in + 32);
	ret->epoch = pr_load64(in + 40);
	return 0;
}

int ha_arbiter_pick(struct ha_arbiter *ret, const uint8_t *const copies[2], int *ret_rewrite)
{
	struct ha_arbiter a[2];
	bool good[2], blank[2];
	int best;

	for (int i = 0; i < 2; i++) {
		good[i] = copies[i] && ha_arbiter_decode(&a[i], copies[i]) == 0;
		blank[i] = copies[i] && all_zero(copies[i], HA_ARBITER_BYTES);
	}
	*ret_rewrite = -1;
	if (!good[0] && !good[1])
		return blank[0] && blank[1] ? -ENOENT : -EUCLEAN;
	if (good[0] && good[1] && a[0].seq == a[1].seq &&
	    memcmp(copies[0], copies[1], HA_ARBITER_BYTES) != 0)
		return -EUCLEAN; /* two writers of one seq: no rule can choose */
	best = !good[0] || (good[1] && a[1].seq > a[0].seq);
	if (!good[!best] || a[!best].seq != a[best].seq)
		*ret_rewrite = !best;
	*ret = a[best];
	return 0;
}

void ha_floor_encode(uint8_t out[HA_ARBITER_BYTES], const uint8_t cluster[16], uint64_t epoch,
		     uint64_t lsn)
{
	memset(out, 0, HA_ARBITER_BYTES);
	pr_store32(out + 4, FLOOR_MAGIC);
	pr_store16(out + 8, ARBITER_VERSION);
	memcpy(out + 16, cluster, 16);
	pr_store64(out + 32, epoch);
	pr_store64(out + 40, lsn);
	pr_store32(out, pr_crc32c(out + 4, HA_ARBITER_BYTES - 4));
}

int ha_floor_decode(const uint8_t in[HA_ARBITER_BYTES], const uint8_t cluster[16],
		    uint64_t *ret_epoch, uint64_t *ret_lsn)
{
	if (!sound(in, FLOOR_MAGIC) || !all_zero(in + 10, 6) || memcmp(in + 16, cluster, 16) != 0)
		return -EBADMSG;
	*ret_epoch = pr_load64(in + 32);
	*ret_lsn = pr_load64(in + 40);
	return 0;
}
