/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rows on their way out of LMDB or into it: copies that outlive a transaction, as an array for the core
 * or packed for the wire (u16 key length, u32 value length, key, value; little-endian).
 */
#pragma once

#include <lmdb.h>

#include "controller/core/ctl.h"

struct store_rows {
	uint8_t *bytes;
	size_t used, cap;
	uint32_t count;
	struct ctl_row *array;
};

void store_rows_free(struct store_rows *);
void store_rows_clear(struct store_rows *);
/* Copies a row in. */
void store_rows_add(struct store_rows *, const MDB_val *key, const MDB_val *value);
static inline size_t store_rows_bytes(const struct store_rows *r)
{
	return r->used;
}
/* The rows added; valid until the next change. */
const struct ctl_row *store_rows_array(struct store_rows *);

/* False: limit would be passed, and the row is not in. The first row always is. */
bool store_rows_pack(struct store_rows *, const MDB_val *key, const MDB_val *value, size_t limit);
void store_rows_set_packed(struct store_rows *, const uint8_t *p, uint32_t len);
/* 1: a row, checked; 0: the end; -EBADMSG. *at starts at 0. */
int store_rows_unpack(const struct store_rows *, size_t *at, struct pr_bytes *ret_key,
		      struct pr_bytes *ret_value);
