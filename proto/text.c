/* SPDX-License-Identifier: GPL-2.0-or-later OR LGPL-2.1-or-later */
#include "proto/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "proto/assert.h"

static const char digits[] = "0123456789abcdef";
static const char cut_mark[] = "...";

struct pr_text pr_text_on(char *p, size_t cap)
{
	PR_ASSERT(cap > 0);
	p[0] = '\0';
	return (struct pr_text){.p = p, .cap = cap};
}

static void cut_here(struct pr_text *t)
{
	size_t mark = sizeof(cut_mark) - 1;

	t->len = t->cap - 1;
	if (t->len >= mark)
		memcpy(t->p + t->len - mark, cut_mark, mark);
	t->p[t->len] = '\0';
	t->cut = true;
}

static void append(struct pr_text *t, const char *s, size_t n)
{
	size_t room = t->cap - 1 - t->len;

	if (t->cut)
		return;
	memcpy(t->p + t->len, s, n < room ? n : room);
	if (n > room) {
		cut_here(t);
		return;
	}
	t->len += n;
	t->p[t->len] = '\0';
}

void pr_text_char(struct pr_text *t, char c)
{
	append(t, &c, 1);
}

void pr_text_str(struct pr_text *t, const char *s)
{
	append(t, s, strlen(s));
}

static void append_number(struct pr_text *t, uint64_t v, unsigned int base)
{
	char digit[24];
	size_t at = sizeof(digit);

	do {
		digit[--at] = digits[v % base];
		v /= base;
	} while (v > 0);
	append(t, digit + at, sizeof(digit) - at);
}

void pr_text_u64(struct pr_text *t, uint64_t v)
{
	append_number(t, v, 10);
}

void pr_text_i64(struct pr_text *t, int64_t v)
{
	if (v < 0)
		pr_text_char(t, '-');
	append_number(t, v < 0 ? 0 - (uint64_t)v : (uint64_t)v, 10);
}

void pr_text_hex(struct pr_text *t, uint64_t v)
{
	append(t, "0x", 2);
	append_number(t, v, 16);
}

void pr_text_octal(struct pr_text *t, uint32_t v)
{
	pr_text_char(t, '0');
	if (v > 0)
		append_number(t, v, 8);
}

void pr_text_uuid(struct pr_text *t, const struct pr_uuid *uuid)
{
	char text[PR_UUID_TEXT];

	pr_text_str(t, pr_uuid_format(text, uuid));
}

static void append_byte(struct pr_text *t, uint8_t v)
{
	char two[2] = {digits[v >> 4], digits[v & 15]};

	append(t, two, sizeof(two));
}

void pr_text_quoted(struct pr_text *t, const void *p, size_t len)
{
	const uint8_t *s = p;

	pr_text_char(t, '"');
	for (size_t i = 0; i < len && !t->cut; i++) {
		if (s[i] == '"' || s[i] == '\\') {
			pr_text_char(t, '\\');
			pr_text_char(t, (char)s[i]);
		} else if (s[i] >= 0x20 && s[i] < 0x7f) {
			pr_text_char(t, (char)s[i]);
		} else {
			append(t, "\\x", 2);
			append_byte(t, s[i]);
		}
	}
	pr_text_char(t, '"');
}

void pr_text_bytes(struct pr_text *t, const void *p, size_t len)
{
	const uint8_t *s = p;
	const size_t shown = len < 32 ? len : 32;

	for (size_t i = 0; i < shown; i++)
		append_byte(t, s[i]);
	if (len > shown)
		pr_text_printf(t, "+%zu", len - shown);
}

void pr_text_printf(struct pr_text *t, const char *format, ...)
{
	va_list ap;
	int n;

	if (t->cut)
		return;
	va_start(ap, format);
	n = vsnprintf(t->p + t->len, t->cap - t->len, format, ap);
	va_end(ap);
	if (n < 0)
		t->p[t->len] = '\0';
	else if ((size_t)n >= t->cap - t->len)
		cut_here(t);
	else
		t->len += (size_t)n;
}
