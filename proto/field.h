/* SPDX-License-Identifier: GPL-2.0-or-later OR LGPL-2.1-or-later */
/*
 * What one field costs: its limits, its bytes, its text. For gen_code.inc only. A limit stands here
 * once and is asked both before encoding and after decoding.
 */
#pragma once

#include "proto/assert.h"
#include "proto/cursor.h"
#include "proto/text.h"

/* ---- limits: the reason, or NULL ---- */

static inline const char *pr_field_bad_enum(uint8_t v, unsigned int max)
{
	return v > max ? "out of range" : NULL;
}

static inline const char *pr_field_bad_flags(uint32_t v, uint32_t mask)
{
	return v & ~mask ? "unknown flag" : NULL;
}

static inline const char *pr_field_bad_bytes(struct pr_bytes v, uint32_t max)
{
	return v.len > max ? "too long" : NULL;
}

static inline const char *pr_field_bad_str(struct pr_bytes v, uint32_t max)
{
	if (v.len > max)
		return "too long";
	return v.len > 0 && memchr(v.p, 0, v.len) ? "contains NUL" : NULL;
}

static inline const char *pr_field_bad_xname(struct pr_bytes v, uint32_t max)
{
	return v.len == 0 ? "empty" : pr_field_bad_str(v, max);
}

static inline const char *pr_field_bad_name(struct pr_bytes v, uint32_t max)
{
	const char *bad = pr_field_bad_xname(v, max);

	if (bad)
		return bad;
	return memchr(v.p, '/', v.len) ? "contains /" : NULL;
}

/* ---- stores at a place known to be large enough; return the byte after ---- */

static inline uint8_t *pr_field_store8(uint8_t *w, uint8_t v)
{
	*w = v;
	return w + 1;
}

static inline uint8_t *pr_field_store16(uint8_t *w, uint16_t v)
{
	pr_store16(w, v);
	return w + 2;
}

static inline uint8_t *pr_field_store32(uint8_t *w, uint32_t v)
{
	pr_store32(w, v);
	return w + 4;
}

static inline uint8_t *pr_field_store64(uint8_t *w, uint64_t v)
{
	pr_store64(w, v);
	return w + 8;
}

static inline uint8_t *pr_field_store(uint8_t *w, const void *p, size_t len)
{
	if (len > 0)
		memcpy(w, p, len);
	return w + len;
}

static inline uint8_t *pr_field_store_zero(uint8_t *w, size_t len)
{
	memset(w, 0, len);
	return w + len;
}

static inline uint8_t *pr_field_store_short(uint8_t *w, struct pr_bytes v)
{
	return pr_field_store(pr_field_store16(w, (uint16_t)v.len), v.p, v.len);
}

static inline uint8_t *pr_field_store_long(uint8_t *w, struct pr_bytes v)
{
	return pr_field_store(pr_field_store32(w, v.len), v.p, v.len);
}

/* ---- reads ---- */

static inline bool pr_field_get_run(struct pr_cur *c, struct pr_bytes *v, uint32_t len,
				    const char *where)
{
	v->len = len;
	v->p = pr_cur_take(c, len);
	return v->p != NULL || pr_cur_fail(c, where, "cut short");
}

/* A u16 length and its bytes. */
static inline bool pr_field_get_short(struct pr_cur *c, struct pr_bytes *v, const char *where)
{
	uint16_t len;

	if (!pr_get_u16(c, &len))
		return pr_cur_fail(c, where, "cut short");
	return pr_field_get_run(c, v, len, where);
}

static inline bool pr_field_judge(struct pr_cur *c, const char *where, const char *bad)
{
	return bad == NULL || pr_cur_fail(c, where, bad);
}

static inline bool pr_field_get_name(struct pr_cur *c, struct pr_bytes *v, uint32_t max,
				     const char *where)
{
	return pr_field_get_short(c, v, where) &&
	       pr_field_judge(c, where, pr_field_bad_name(*v, max));
}

static inline bool pr_field_get_xname(struct pr_cur *c, struct pr_bytes *v, uint32_t max,
				      const char *where)
{
	return pr_field_get_short(c, v, where) &&
	       pr_field_judge(c, where, pr_field_bad_xname(*v, max));
}

static inline bool pr_field_get_str(struct pr_cur *c, struct pr_bytes *v, uint32_t max,
				    const char *where)
{
	return pr_field_get_short(c, v, where) &&
	       pr_field_judge(c, where, pr_field_bad_str(*v, max));
}

static inline bool pr_field_get_bytes(struct pr_cur *c, struct pr_bytes *v, uint32_t max,
				      const char *where)
{
	uint32_t len;

	if (!pr_get_u32(c, &len))
		return pr_cur_fail(c, where, "cut short");
	if (len > max)
		return pr_cur_fail(c, where, "too long");
	return pr_field_get_run(c, v, len, where);
}

static inline bool pr_field_get_uuid(struct pr_cur *c, struct pr_uuid *v, const char *where)
{
	return pr_get_bytes(c, v->b, sizeof(v->b)) || pr_cur_fail(c, where, "cut short");
}

static inline bool pr_field_get_zero(struct pr_cur *c, size_t len)
{
	const uint8_t *r = pr_cur_take(c, len);
	uint8_t any = 0;

	if (!r)
		return pr_cur_fail(c, "reserved", "cut short");
	for (size_t i = 0; i < len; i++)
		any |= r[i];
	return any == 0 || pr_cur_fail(c, "reserved", "not zero");
}

/* ---- text ---- */

/* " name=", without the space after an opening brace. */
static inline void pr_field_dump_name(struct pr_text *t, const char *name)
{
	if (t->len > 0 && t->p[t->len - 1] != '{')
		pr_text_char(t, ' ');
	pr_text_str(t, name);
	pr_text_char(t, '=');
}
