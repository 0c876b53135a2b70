/* SPDX-License-Identifier: GPL-2.0-or-later OR LGPL-2.1-or-later */
/*
 * Readable text in a bounded buffer: always ends with a NUL, what does not fit is cut and marked.
 * Owns nothing.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/cursor.h"
#include "proto/uuid.h"

struct pr_text {
	char *p;
	size_t len, cap; /* len without the NUL */
	bool cut;
};

/* cap of at least 1. */
struct pr_text pr_text_on(char *p, size_t cap);

void pr_text_char(struct pr_text *t, char c);
void pr_text_str(struct pr_text *t, const char *s);
void pr_text_u64(struct pr_text *t, uint64_t v);
void pr_text_i64(struct pr_text *t, int64_t v);
void pr_text_hex(struct pr_text *t, uint64_t v);   /* 0x... */
void pr_text_octal(struct pr_text *t, uint32_t v); /* 0644 */
void pr_text_uuid(struct pr_text *t, const struct pr_uuid *uuid);
/* In quotes, everything but printable ASCII escaped as \xNN. */
void pr_text_quoted(struct pr_text *t, const void *p, size_t len);
/* The first 32 bytes in hexadecimal, then the length of the rest. */
void pr_text_bytes(struct pr_text *t, const void *p, size_t len);
void pr_text_printf(struct pr_text *t, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Why a reader stopped, as "create.cred.groups: too many"; nothing when it did not. */
void pr_cur_why(const struct pr_cur *c, struct pr_text *t);
