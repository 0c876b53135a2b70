/* SPDX-License-Identifier: GPL-2.0-or-later OR LGPL-2.1-or-later */
/* The label's encoding. */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "lun/label.h"
#include "proto/assert.h"
#include "proto/crc32c.h"
#include "proto/cursor.h"

struct label_disk {
	uint32_t crc;
	uint32_t zero;
	uint8_t magic[8];
	uint32_t version;
	uint32_t flags;
	uint64_t blocks;
	uint64_t data_block;
	int64_t labelled_ns;
	uint8_t cluster[16];
	uint8_t lun[16];
	uint8_t volume[16];
	uint16_t number;
	uint8_t zero2[6];
	uint8_t name[64];
	uint8_t zero3[3928];
};

#define AT(field)	      offsetof(struct label_disk, field)
#define LUN_AT(field, offset) _Static_assert(AT(field) == (offset), "label." #field " moved")
LUN_AT(magic, 8);
LUN_AT(version, 16);
LUN_AT(flags, 20);
LUN_AT(blocks, 24);
LUN_AT(data_block, 32);
LUN_AT(labelled_ns, 40);
LUN_AT(cluster, 48);
LUN_AT(lun, 64);
LUN_AT(volume, 80);
LUN_AT(number, 96);
LUN_AT(name, 104);
LUN_AT(zero3, 168);
_Static_assert(sizeof(struct label_disk) == LUN_BLOCK_BYTES, "label size");

static const uint8_t magic[8] = "mdcpair";

bool lun_name_ok(const char *name)
{
	size_t n = strlen(name);

	if (n == 0 || n > LUN_NAME_MAX || name[0] == '-' || name[0] == '.')
		return false;
	for (size_t i = 0; i < n; i++) {
		char c = name[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      strchr("._-", c)))
			return false;
	}
	return true;
}

void lun_label_encode(uint8_t out[LUN_BLOCK_BYTES], const struct lun_label *l)
{
	ASSERT(lun_name_ok(l->name));
	memset(out, 0, LUN_BLOCK_BYTES);
	memcpy(out + AT(magic), magic, sizeof(magic));
	pr_store32(out + AT(version), LUN_LABEL_VERSION);
	pr_store32(out + AT(flags), l->flags);
	pr_store64(out + AT(blocks), l->blocks);
	pr_store64(out + AT(data_block), l->data_block);
	pr_store64(out + AT(labelled_ns), (uint64_t)l->labelled_ns);
	memcpy(out + AT(cluster), l->cluster.b, 16);
	memcpy(out + AT(lun), l->lun.b, 16);
	memcpy(out + AT(volume), l->volume.b, 16);
	pr_store16(out + AT(number), l->number);
	memcpy(out + AT(name), l->name, strlen(l->name));
	pr_store32(out, pr_crc32c(out + 4, LUN_BLOCK_BYTES - 4));
}

static const char *label_reject(const uint8_t *in, const struct lun_label *l)
{
	static const uint8_t zeros[sizeof(((struct label_disk *)0)->zero3)];
	size_t n = strnlen(l->name, sizeof(l->name));

	if (l->flags & ~(uint32_t)LUN_FLAG_ARBITER)
		return "unknown flags in the label";
	if (l->data_block < LUN_FLOOR_BLOCK + 2 || l->blocks <= l->data_block)
		return "impossible sizes in the label";
	if (n == sizeof(l->name) || !lun_name_ok(l->name))
		return "impossible name in the label";
	if (memcmp(in + AT(name) + n, zeros, sizeof(l->name) - n) != 0 ||
	    memcmp(in + AT(zero), zeros, 4) != 0 || memcmp(in + AT(zero2), zeros, 6) != 0 ||
	    memcmp(in + AT(zero3), zeros, sizeof(zeros)) != 0)
		return "reserved bytes of the label are not zero";
	return NULL;
}

int lun_label_decode(struct lun_label *ret, const uint8_t in[LUN_BLOCK_BYTES], const char **ret_why)
{
	struct lun_label l = {
		.number = pr_load16(in + AT(number)),
		.flags = pr_load32(in + AT(flags)),
		.blocks = pr_load64(in + AT(blocks)),
		.data_block = pr_load64(in + AT(data_block)),
		.labelled_ns = (int64_t)pr_load64(in + AT(labelled_ns)),
	};
	const char *why = NULL;
	int r = 0;

	memcpy(l.cluster.b, in + AT(cluster), 16);
	memcpy(l.lun.b, in + AT(lun), 16);
	memcpy(l.volume.b, in + AT(volume), 16);
	memcpy(l.name, in + AT(name), sizeof(l.name));
	if (memcmp(in + AT(magic), magic, sizeof(magic)) != 0) {
		why = "no label";
		r = -ENODATA;
	} else if (pr_load32(in) != pr_crc32c(in + 4, LUN_BLOCK_BYTES - 4)) {
		why = "the label's CRC does not match";
		r = -EBADMSG;
	} else if (pr_load32(in + AT(version)) != LUN_LABEL_VERSION) {
		why = "the label is of another format version";
		r = -EPROTONOSUPPORT;
	} else {
		why = label_reject(in, &l);
		r = why ? -EBADMSG : 0;
	}
	if (ret_why)
		*ret_why = why;
	if (r == 0)
		*ret = l;
	return r;
}
