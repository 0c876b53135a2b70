/* SPDX-License-Identifier: GPL-2.0-or-later OR LGPL-2.1-or-later */
/*
 * The rows of rows.def as C: table numbers, and the structs and codec of their values. Their keys
 * are key.h's.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/cursor.h"
#include "proto/text.h"
#include "proto/uuid.h"

#define PR_DEF "proto/rows.def"
#include "proto/gen_decl.inc"

enum pr_row {
#define ROW(table, name, NAME) PR_ROW_##NAME = table,
#include "proto/rows.def"
};

enum { PR_FENCE_NONE = 0, PR_FENCE_INTENDED = 1, PR_FENCE_DONE = 2 }; /* session.fence */

const char *pr_table_name(uint8_t table); /* "inode"; NULL when there is no such table */

/* 0, or -EBADMSG when the key is malformed or of no table, or the value is not of that table. */
int pr_row_check(const uint8_t *key, size_t key_len, const uint8_t *value, size_t len);
/* "inode 1/5 mode=0100644 ..."; -EBADMSG as above, and the text then says why. */
int pr_row_dump(const uint8_t *key, size_t key_len, const uint8_t *value, size_t len,
		struct pr_text *t);
