/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "controller/io/store_rows.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/assert.h"
#include "proto/rows.h"

enum { HEADER_BYTES = 6 };

void store_rows_free(struct store_rows *r)
{
	free(r->bytes);
	free(r->array);
	*r = (struct store_rows){0};
}

void store_rows_clear(struct store_rows *r)
{
	r->used = 0;
	r->count = 0;
}

static uint8_t *reserve(struct store_rows *r, size_t len)
{
	size_t cap = r->cap ? r->cap : 512;

	while (cap - r->used < len)
		cap *= 2;
	if (cap != r->cap) {
		r->bytes = realloc(r->bytes, cap);
		ASSERT_MEMORY(r->bytes);
		r->cap = cap;
	}
	return r->bytes + r->used;
}

void store_rows_add(struct store_rows *r, const MDB_val *key, const MDB_val *value)
{
	uint8_t *to = reserve(r, HEADER_BYTES + key->mv_size + value->mv_size);

	pr_store16(to, (uint16_t)key->mv_size);
	pr_store32(to + 2, (uint32_t)value->mv_size);
	memcpy(to + HEADER_BYTES, key->mv_data, key->mv_size);
	memcpy(to + HEADER_BYTES + key->mv_size, value->mv_data, value->mv_size);
	r->used += HEADER_BYTES + key->mv_size + value->mv_size;
	r->count++;
}

bool store_rows_pack(struct store_rows *r, const MDB_val *key, const MDB_val *value, size_t limit)
{
	if (r->count > 0 && r->used + HEADER_BYTES + key->mv_size + value->mv_size > limit)
		return false;
	store_rows_add(r, key, value);
	return true;
}

void store_rows_set_packed(struct store_rows *r, const uint8_t *p, uint32_t len)
{
	store_rows_clear(r);
	memcpy(reserve(r, len), p, len);
	r->used = len;
}

const struct ctl_row *store_rows_array(struct store_rows *r)
{
	const uint8_t *p = r->bytes;

	if (r->count == 0)
		return NULL;
	free(r->array);
	r->array = malloc(r->count * sizeof(*r->array));
	ASSERT_MEMORY(r->array);
	for (uint32_t i = 0; i < r->count; i++) {
		struct ctl_row *row = &r->array[i];

		row->key.len = pr_load16(p);
		row->bytes = pr_load32(p + 2);
		memcpy(row->key.b, p + HEADER_BYTES, row->key.len);
		row->value = p + HEADER_BYTES + row->key.len;
		p = row->value + row->bytes;
	}
	return r->array;
}

int store_rows_unpack(const struct store_rows *r, size_t *at, struct pr_bytes *ret_key,
		      struct pr_bytes *ret_value)
{
	struct pr_cur c = pr_cur_on(r->bytes + *at, r->used - *at);
	uint16_t key_len;
	uint32_t len;

	if (c.left == 0)
		return 0;
	if (!pr_get_u16(&c, &key_len) || !pr_get_u32(&c, &len))
		return -EBADMSG;
	ret_key->len = key_len;
	ret_value->len = len;
	if (!(ret_key->p = pr_cur_take(&c, key_len)) || !(ret_value->p = pr_cur_take(&c, len)) ||
	    pr_row_check(ret_key->p, key_len, ret_value->p, len) < 0)
		return -EBADMSG;
	*at = r->used - c.left;
	return 1;
}
