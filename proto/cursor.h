/* SPDX-License-Identifier: GPL-2.0-or-later OR LGPL-2.1-or-later */
/*
 * Byte cursors: a bounded writer (pr_buf), a bounded reader (pr_cur) and the pieces messages are
 * made of. Neither owns memory, allocates, or reads or writes past its bounds.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "proto/uuid.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__ && __BYTE_ORDER__ != __ORDER_BIG_ENDIAN__
#error "a byte order nobody has any more"
#endif

/* Bytes that belong to somebody else: after decoding, to the input. */
struct pr_bytes {
	const uint8_t *p;
	uint32_t len;
};

/*
 * Encoded elements of a list. After decoding all of them have been checked, so pr_<struct>_next
 * cannot meet a bad one. To build one, append elements to a pr_buf by pr_<struct>_put.
 */
struct pr_list {
	uint32_t count;
	const uint8_t *p;
	uint32_t len;
};

static inline struct pr_bytes pr_bytes_of(const void *p, size_t len)
{
	return (struct pr_bytes){.p = p, .len = (uint32_t)len};
}

static inline struct pr_bytes pr_bytes_str(const char *text)
{
	return pr_bytes_of(text, strlen(text));
}

static inline bool pr_bytes_equal(struct pr_bytes a, struct pr_bytes b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

/* Copies into a C string, cut to size - 1 bytes. Returns out. */
static inline char *pr_bytes_copy(char *out, size_t size, struct pr_bytes b)
{
	size_t n = b.len < size ? b.len : size - 1;

	if (n > 0)
		memcpy(out, b.p, n);
	out[n] = '\0';
	return out;
}

/* ---- little-endian integers at any address ---- */

static inline uint16_t pr_le16(uint16_t v)
{
	return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? v : __builtin_bswap16(v);
}

static inline uint32_t pr_le32(uint32_t v)
{
	return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? v : __builtin_bswap32(v);
}

static inline uint64_t pr_le64(uint64_t v)
{
	return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? v : __builtin_bswap64(v);
}

static inline uint16_t pr_load16(const void *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return pr_le16(v);
}

static inline uint32_t pr_load32(const void *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return pr_le32(v);
}

static inline uint64_t pr_load64(const void *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return pr_le64(v);
}

static inline void pr_store16(void *p, uint16_t v)
{
	v = pr_le16(v);
	memcpy(p, &v, sizeof(v));
}

static inline void pr_store32(void *p, uint32_t v)
{
	v = pr_le32(v);
	memcpy(p, &v, sizeof(v));
}

static inline void pr_store64(void *p, uint64_t v)
{
	v = pr_le64(v);
	memcpy(p, &v, sizeof(v));
}

/* ---- writer ---- */

/*
 * p[0..len) is written, cap is the end. A primitive pr_put_* that does not fit writes nothing and
 * sets failed, which stays set: check it once at the end. The typed pr_<name>_put and
 * pr_<name>_encode write all or nothing and answer by their return value.
 */
struct pr_buf {
	uint8_t *p;
	size_t len, cap;
	bool failed;
};

static inline struct pr_buf pr_buf_on(void *p, size_t cap)
{
	return (struct pr_buf){.p = p, .cap = cap};
}

/* Room for n bytes at the end, already counted as written; NULL when they do not fit. */
static inline uint8_t *pr_buf_take(struct pr_buf *b, size_t n)
{
	uint8_t *w;

	if (__builtin_expect(b->failed || b->cap - b->len < n, 0)) {
		b->failed = true;
		return NULL;
	}
	w = b->p + b->len;
	b->len += n;
	return w;
}

static inline void pr_put_u8(struct pr_buf *b, uint8_t v)
{
	uint8_t *w = pr_buf_take(b, 1);

	if (w)
		*w = v;
}

static inline void pr_put_u16(struct pr_buf *b, uint16_t v)
{
	uint8_t *w = pr_buf_take(b, sizeof(v));

	if (w)
		pr_store16(w, v);
}

static inline void pr_put_u32(struct pr_buf *b, uint32_t v)
{
	uint8_t *w = pr_buf_take(b, sizeof(v));

	if (w)
		pr_store32(w, v);
}

static inline void pr_put_u64(struct pr_buf *b, uint64_t v)
{
	uint8_t *w = pr_buf_take(b, sizeof(v));

	if (w)
		pr_store64(w, v);
}

static inline void pr_put_i64(struct pr_buf *b, int64_t v)
{
	pr_put_u64(b, (uint64_t)v);
}

static inline void pr_put_bytes(struct pr_buf *b, const void *p, size_t len)
{
	uint8_t *w = pr_buf_take(b, len);

	if (w && len > 0)
		memcpy(w, p, len);
}

static inline void pr_put_zero(struct pr_buf *b, size_t len)
{
	uint8_t *w = pr_buf_take(b, len);

	if (w && len > 0)
		memset(w, 0, len);
}

/*
 * Growing a list in place, for a message whose last field is a list: encode it with the list empty,
 * at = pr_tail_open(b), append elements by pr_<struct>_put, then pr_tail_close(b, at, count). The
 * caller keeps count within the field's limit.
 */
static inline size_t pr_tail_open(const struct pr_buf *b)
{
	return b->len - sizeof(uint32_t);
}

static inline void pr_tail_close(struct pr_buf *b, size_t at, uint32_t count)
{
	pr_store32(b->p + at, count);
}

/* ---- reader ---- */

enum { PR_CUR_DEPTH = 4 };

/*
 * What is left to read. The first failure sets error, a static text such as "empty", and where, the
 * path of names from the innermost field outwards; pr_cur_why() joins them.
 */
struct pr_cur {
	const uint8_t *p;
	size_t left;
	const char *error;
	const char *where[PR_CUR_DEPTH];
	unsigned int depth;
};

static inline struct pr_cur pr_cur_on(const void *p, size_t len)
{
	struct pr_cur c;

	c.p = p;
	c.left = len;
	c.error = NULL;
	c.depth = 0;
	return c;
}

void pr_cur_note_failure(struct pr_cur *c, const char *where, const char *error)
	__attribute__((cold));
void pr_cur_note_path(struct pr_cur *c, const char *where) __attribute__((cold));

/* Records a failure, once, at this field; where may be NULL. Always false, to be returned. */
static inline bool pr_cur_fail(struct pr_cur *c, const char *where, const char *error)
{
	pr_cur_note_failure(c, where, error);
	return false;
}

/* Adds the name of what the failed field is part of. Always false. */
static inline bool pr_cur_inside(struct pr_cur *c, const char *where)
{
	pr_cur_note_path(c, where);
	return false;
}

/* True when nothing is left, else a failure. */
static inline bool pr_cur_end(struct pr_cur *c)
{
	return c->left == 0 || pr_cur_fail(c, NULL, "bytes after its end");
}

/* The next n bytes, or NULL when fewer are left. */
static inline const uint8_t *pr_cur_take(struct pr_cur *c, size_t n)
{
	const uint8_t *r = c->p;

	if (__builtin_expect(c->left < n, 0))
		return NULL;
	c->p = r + n;
	c->left -= n;
	return r;
}

static inline bool pr_get_u8(struct pr_cur *c, uint8_t *ret)
{
	const uint8_t *r = pr_cur_take(c, 1);

	if (r)
		*ret = *r;
	return r != NULL;
}

static inline bool pr_get_u16(struct pr_cur *c, uint16_t *ret)
{
	const uint8_t *r = pr_cur_take(c, sizeof(*ret));

	if (r)
		*ret = pr_load16(r);
	return r != NULL;
}

static inline bool pr_get_u32(struct pr_cur *c, uint32_t *ret)
{
	const uint8_t *r = pr_cur_take(c, sizeof(*ret));

	if (r)
		*ret = pr_load32(r);
	return r != NULL;
}

static inline bool pr_get_u64(struct pr_cur *c, uint64_t *ret)
{
	const uint8_t *r = pr_cur_take(c, sizeof(*ret));

	if (r)
		*ret = pr_load64(r);
	return r != NULL;
}

static inline bool pr_get_i64(struct pr_cur *c, int64_t *ret)
{
	uint64_t v;

	if (!pr_get_u64(c, &v))
		return false;
	*ret = (int64_t)v;
	return true;
}

static inline bool pr_get_bytes(struct pr_cur *c, void *ret, size_t len)
{
	const uint8_t *r = pr_cur_take(c, len);

	if (r && len > 0)
		memcpy(ret, r, len);
	return r != NULL;
}
