/* SPDX-License-Identifier: GPL-2.0-or-later OR LGPL-2.1-or-later */
/*
 * What stands at the beginning of a LUN, and where. Owns the layout and the label's encoding;
 * touches no LUN (lun.h does).
 *
 * In blocks of 4096 bytes, all integers little-endian:
 *
 *	0		label
 *	1, 2		arbiter record, copies 0 and 1: 512 bytes of ha's format, the rest zero
 *	3, 4		floor, copies 0 and 1: the same
 *	5 .. 255	reserved, zero
 *	256 ..		file data (1 MiB from the start)
 *
 * Advisory locks (fcntl, open file description) stand for what SCSI reservation keys are on a SAN,
 * on LUNs that are files or loop devices. Their byte ranges lie far behind any data:
 *
 *	2^61		one byte: the right to write arbiter and floor
 *	2^62 + key	one byte for each client key (u32), held on the descriptor
 *			that does the client's I/O
 *
 * The label:
 *
 *	0	4	CRC-32C of bytes 4..4095
 *	4	4	zero
 *	8	8	magic "mdcpair\0"
 *	16	4	format version, 1
 *	20	4	flags: 1 has the arbiter record
 *	24	8	total blocks of 4096 bytes
 *	32	8	first data block
 *	40	8	labelled at, nanoseconds since 1970
 *	48	16	cluster UUID
 *	64	16	LUN UUID
 *	80	16	volume UUID, zero until the LUN is part of a volume
 *	96	2	number of the LUN in its volume
 *	98	6	zero
 *	104	64	name, NUL padded, at most 63 bytes
 *	168	3928	zero
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "proto/uuid.h"

enum {
	LUN_BLOCK_BYTES = 4096,
	LUN_LABEL_BLOCK = 0,
	LUN_ARBITER_BLOCK = 1,
	LUN_FLOOR_BLOCK = 3,
	LUN_DATA_BLOCK = 256,
	LUN_BLOCKS_MIN = 1024, /* 4 MiB */
	LUN_LABEL_VERSION = 1,
	LUN_NAME_MAX = 63,
	LUN_FLAG_ARBITER = 1,
};
#define LUN_LOCK_ARBITER (UINT64_C(1) << 61)
#define LUN_LOCK_KEYS	 (UINT64_C(1) << 62)

struct lun_label {
	struct pr_uuid cluster, lun, volume;
	uint16_t number;
	uint32_t flags;
	uint64_t blocks, data_block;
	int64_t labelled_ns;
	char name[LUN_NAME_MAX + 1];
};

void lun_label_encode(uint8_t out[LUN_BLOCK_BYTES], const struct lun_label *);
/*
 * 0; -ENODATA no label (the magic is not there); -EBADMSG a label that is damaged; -EPROTONOSUPPORT
 * one of another format version. *ret_why (may be NULL) says it in words.
 */
int lun_label_decode(struct lun_label *ret, const uint8_t in[LUN_BLOCK_BYTES],
		     const char **ret_why);

/* Letters, digits, '.', '_', '-'; 1 to 63; not beginning with '-' or '.'. */
bool lun_name_ok(const char *name);
