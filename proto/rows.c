/* SPDX-License-Identifier: GPL-2.0-or-later OR LGPL-2.1-or-later */
#include "proto/rows.h"

#include "proto/key.h"

#define PR_DEF "proto/rows.def"
#include "proto/gen_code.inc"

const char *pr_table_name(uint8_t table)
{
	switch (table) {
#define ROW(table, name, NAME) \
	case table:            \
		return #name;
#include "proto/rows.def"
	}
	return NULL;
}

int pr_row_check(const uint8_t *key, size_t key_len, const uint8_t *value, size_t len)
{
	if (pr_key_check(key, key_len))
		return -EBADMSG;
	switch (pr_key_table(key, key_len)) {
#define ROW(table, name, NAME)                                 \
	case table: {                                          \
		struct pr_row_##name v;                        \
                                                               \
		return pr_row_##name##_decode(&v, value, len); \
	}
#include "proto/rows.def"
	}
	return -EBADMSG;
}

static int dump_value(uint8_t table, struct pr_cur *c, struct pr_text *t)
{
	switch (table) {
#define ROW(table, name, NAME)                \
	case table: {                         \
		struct pr_row_##name v;       \
                                              \
		if (!whole_row_##name(c, &v)) \
			return -EBADMSG;      \
		dump_row_##name(t, &v);       \
		return 0;                     \
	}
#include "proto/rows.def"
	}
	return -EBADMSG;
}

int pr_row_dump(const uint8_t *key, size_t key_len, const uint8_t *value, size_t len,
		struct pr_text *t)
{
	struct pr_cur c = pr_cur_on(value, len);
	int r;

	pr_key_dump(t, key, key_len);
	if (pr_key_check(key, key_len))
		return -EBADMSG;
	r = dump_value(pr_key_table(key, key_len), &c, t);
	if (r) {
		pr_text_str(t, " BAD VALUE: ");
		pr_cur_why(&c, t);
	}
	return r;
}
