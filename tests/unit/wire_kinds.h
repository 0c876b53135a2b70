/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For tests: every struct of the three schemas with random valid values, one field spoiled at a
 * time, an encoder that checks nothing, and equality. Made of the schemas, so a new message is
 * tested the moment it is written down.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/pr.h"
#include "wire_dice.h"

/* ---- values live here until the next reset ---- */

struct maker {
	struct dice dice;
	struct pr_buf arena;
};

static inline struct maker maker_new(uint64_t seed)
{
	enum { ARENA_BYTES = 24 << 20 };
	void *p = malloc(ARENA_BYTES);

	PR_ASSERT(p);
	return (struct maker){.dice = {seed}, .arena = pr_buf_on(p, ARENA_BYTES)};
}

static inline void maker_free(struct maker *m)
{
	free(m->arena.p);
}

static inline void maker_reset(struct maker *m)
{
	m->arena.len = 0;
}

static inline struct pr_bytes make_bytes(struct maker *m, uint32_t len, bool zeros, bool slashes)
{
	uint8_t *p = pr_buf_take(&m->arena, len);

	PR_ASSERT(p);
	for (uint32_t i = 0; i < len; i++) {
		p[i] = (uint8_t)roll(&m->dice);
		if ((p[i] == 0 && !zeros) || (p[i] == '/' && !slashes))
			p[i] = 'x';
	}
	return pr_bytes_of(p, len);
}

/* Mostly short, sometimes as long as may be. */
static inline uint32_t make_len(struct maker *m, uint32_t min, uint32_t max)
{
	uint32_t usual = max < 24 ? max : 24;

	if (max <= 4096 && roll_below(&m->dice, 16) == 0)
		return max;
	return min + roll_below(&m->dice, usual - min + 1);
}

static inline bool list_same(const struct pr_list *a, const struct pr_list *b)
{
	return a->count == b->count && a->len == b->len &&
	       (a->len == 0 || memcmp(a->p, b->p, a->len) == 0);
}

/* clang-format off */

/* ---- fill_x: a random valid value ---- */
#define STRUCT(name)                                                                               \
	__attribute__((unused)) static void fill_list_##name(struct maker *m,                      \
							     struct pr_list *list, uint32_t count);
#include "proto/all.def"

#define OPEN(x)                                                                                    \
	static void fill_##x(struct maker *m, struct pr_##x *v)                                    \
	{                                                                                          \
		(void)m;                                                                           \
		(void)v;
#define STRUCT(name) OPEN(name)
#define MSG(number, name, NAME, CHANNEL) OPEN(name)
#define ROW(table, name, NAME) OPEN(row_##name)
#define END(name) }
#define F_U8(name) v->name = (uint8_t)roll_number(&m->dice);
#define F_U16(name) v->name = (uint16_t)roll_number(&m->dice);
#define F_U32(name) v->name = (uint32_t)roll_number(&m->dice);
#define F_U64(name) v->name = roll_number(&m->dice);
#define F_I64(name) v->name = (int64_t)roll_number(&m->dice);
#define F_ENUM8(name, max) v->name = (uint8_t)roll_below(&m->dice, max + 1);
#define F_FLAGS32(name, mask) v->name = (uint32_t)roll(&m->dice) & mask;
#define F_UUID(name) memcpy(v->name.b, make_bytes(m, 16, true, true).p, 16);
#define F_NAME(name, max) v->name = make_bytes(m, make_len(m, 1, max), false, false);
#define F_XNAME(name, max) v->name = make_bytes(m, make_len(m, 1, max), false, true);
#define F_STR(name, max) v->name = make_bytes(m, make_len(m, 0, max), false, true);
#define F_BYTES(name, max) v->name = make_bytes(m, make_len(m, 0, max), true, true);
#define F_STRUCT(type, name) fill_##type(m, &v->name);
#define F_LIST(type, name, max)                                                                    \
	fill_list_##type(m, &v->name,                                                              \
			 roll_below(&m->dice, 64) == 0 ? max : roll_below(&m->dice, 4));
#include "proto/all.def"
#undef OPEN

/* A few elements are random; the rest of a long list repeats the first. */
#define STRUCT(x)                                                                                  \
	static void fill_list_##x(struct maker *m, struct pr_list *list, uint32_t count)           \
	{                                                                                          \
		struct pr_buf b = pr_buf_on(malloc(1 << 20), 1 << 20);                             \
		struct pr_##x v;                                                                   \
                                                                                                   \
		PR_ASSERT(b.p);                                                                    \
		for (uint32_t i = 0; i < count; i++) {                                             \
			if (i < 8)                                                                 \
				fill_##x(m, &v);                                                   \
			if (pr_##x##_put(&b, &v))                                                  \
				count = i;                                                         \
		}                                                                                  \
		*list = (struct pr_list){count, m->arena.p + m->arena.len, (uint32_t)b.len};       \
		pr_put_bytes(&m->arena, b.p, b.len);                                               \
		PR_ASSERT(!m->arena.failed);                                                       \
		free(b.p);                                                                         \
	}
#include "proto/all.def"

/* ---- same_x ---- */
#define OPEN(x)                                                                                    \
	static bool same_##x(const struct pr_##x *a, const struct pr_##x *b)                       \
	{                                                                                          \
		bool same = true;                                                                  \
		(void)a;                                                                           \
		(void)b;
#define STRUCT(name) OPEN(name)
#define MSG(number, name, NAME, CHANNEL) OPEN(name)
#define ROW(table, name, NAME) OPEN(row_##name)
#define END(name)                                                                                  \
		return same;                                                                       \
	}
#define PLAIN(name) same = same && a->name == b->name;
#define BYTES(name) same = same && pr_bytes_equal(a->name, b->name);
#define F_U8(name) PLAIN(name)
#define F_U16(name) PLAIN(name)
#define F_U32(name) PLAIN(name)
#define F_U64(name) PLAIN(name)
#define F_I64(name) PLAIN(name)
#define F_ENUM8(name, max) PLAIN(name)
#define F_FLAGS32(name, mask) PLAIN(name)
#define F_UUID(name) same = same && pr_uuid_equal(&a->name, &b->name);
#define F_NAME(name, max) BYTES(name)
#define F_XNAME(name, max) BYTES(name)
#define F_STR(name, max) BYTES(name)
#define F_BYTES(name, max) BYTES(name)
#define F_STRUCT(type, name) same = same && same_##type(&a->name, &b->name);
#define F_LIST(type, name, max) same = same && list_same(&a->name, &b->name);
#include "proto/all.def"
#undef OPEN
#undef PLAIN
#undef BYTES

/*
 * ---- raw_x: encodes without a check, and lies where it is told to ----
 * dirty: which reserved byte is not zero, counted from 0; lie: which length or count is replaced by
 * all ones. -1 for none.
 */
struct raw {
	struct pr_buf out;
	int dirty, lie;
	bool dirtied, lied;
};

static inline void raw_reserved(struct raw *r, unsigned int n)
{
	while (n-- > 0) {
		bool here = r->dirty == 0;

		pr_put_u8(&r->out, here ? 0x40 : 0);
		r->dirtied |= here;
		r->dirty--;
	}
}

static inline bool raw_lies_here(struct raw *r)
{
	bool here = r->lie == 0;

	r->lied |= here;
	r->lie--;
	return here;
}

static inline void raw_short(struct raw *r, struct pr_bytes v)
{
	pr_put_u16(&r->out, raw_lies_here(r) ? UINT16_MAX : (uint16_t)v.len);
	pr_put_bytes(&r->out, v.p, v.len);
}

static inline void raw_long(struct raw *r, uint32_t count, const void *p, uint32_t len)
{
	pr_put_u32(&r->out, raw_lies_here(r) ? UINT32_MAX : count);
	pr_put_bytes(&r->out, p, len);
}

#define OPEN(x)                                                                                    \
	static void raw_##x(struct raw *r, const struct pr_##x *v)                                 \
	{                                                                                          \
		(void)r;                                                                           \
		(void)v;
#define STRUCT(name) OPEN(name)
#define MSG(number, name, NAME, CHANNEL) OPEN(name)
#define ROW(table, name, NAME) OPEN(row_##name)
#define END(name) }
#define F_U8(name) pr_put_u8(&r->out, v->name);
#define F_U16(name) pr_put_u16(&r->out, v->name);
#define F_U32(name) pr_put_u32(&r->out, v->name);
#define F_U64(name) pr_put_u64(&r->out, v->name);
#define F_I64(name) pr_put_i64(&r->out, v->name);
#define F_ENUM8(name, max) pr_put_u8(&r->out, v->name);
#define F_FLAGS32(name, mask) pr_put_u32(&r->out, v->name);
#define F_UUID(name) pr_put_bytes(&r->out, v->name.b, 16);
#define F_NAME(name, max) raw_short(r, v->name);
#define F_XNAME(name, max) raw_short(r, v->name);
#define F_STR(name, max) raw_short(r, v->name);
#define F_BYTES(name, max) raw_long(r, v->name.len, v->name.p, v->name.len);
#define F_STRUCT(type, name) raw_##type(r, &v->name);
#define F_LIST(type, name, max) raw_long(r, v->name.count, v->name.p, v->name.len);
#define F_RSV(n) raw_reserved(r, n);
#include "proto/all.def"
#undef OPEN

/* ---- spoil_x: breaks limit number *at; true when there was one, with the field's name ---- */
static inline void spoil_byte(struct maker *m, struct pr_bytes *v, uint8_t with)
{
	*v = make_bytes(m, 5, false, false);
	((uint8_t *)v->p)[3] = with;
}

static inline void spoil_list(struct maker *m, struct pr_list *list, uint32_t count)
{
	size_t element = list->count ? list->len / list->count : 0;

	if (element == 0 || (uint64_t)element * count > (8 << 20)) {
		list->count = count;
		return;
	}
	*list = (struct pr_list){count, m->arena.p + m->arena.len, (uint32_t)(element * count)};
	pr_put_zero(&m->arena, list->len);
	PR_ASSERT(!m->arena.failed);
}

#define OPEN(x)                                                                                    \
	static const char *spoil_##x(struct maker *m, struct pr_##x *v, int *at)                   \
	{                                                                                          \
		(void)m;                                                                           \
		(void)v;                                                                           \
		(void)at;
#define STRUCT(name) OPEN(name)
#define MSG(number, name, NAME, CHANNEL) OPEN(name)
#define ROW(table, name, NAME) OPEN(row_##name)
#define END(name)                                                                                  \
		return NULL;                                                                       \
	}
#define SPOIL(name, how)                                                                           \
	if ((*at)-- == 0) {                                                                        \
		how;                                                                               \
		return #name;                                                                      \
	}
#define F_ENUM8(name, max)                                                                         \
	SPOIL(name, v->name = max + 1)                                                             \
	SPOIL(name, v->name = 255)
#define F_FLAGS32(name, mask)                                                                      \
	SPOIL(name, v->name |= ((uint32_t)mask + 1))                                               \
	SPOIL(name, v->name |= 0x80000000u)
#define F_NAME(name, max)                                                                          \
	SPOIL(name, v->name = pr_bytes_of("", 0))                                                  \
	SPOIL(name, v->name = make_bytes(m, max + 1, false, false))                                \
	SPOIL(name, spoil_byte(m, &v->name, 0))                                                    \
	SPOIL(name, spoil_byte(m, &v->name, '/'))
#define F_XNAME(name, max)                                                                         \
	SPOIL(name, v->name = pr_bytes_of("", 0))                                                  \
	SPOIL(name, v->name = make_bytes(m, max + 1, false, false))                                \
	SPOIL(name, spoil_byte(m, &v->name, 0))
#define F_STR(name, max)                                                                           \
	SPOIL(name, v->name = make_bytes(m, max + 1, false, true))                                 \
	SPOIL(name, spoil_byte(m, &v->name, 0))
#define F_BYTES(name, max) SPOIL(name, v->name = make_bytes(m, max + 1, true, true))
#define F_STRUCT(type, name)                                                                       \
	if (*at >= 0 && spoil_##type(m, &v->name, at))                                             \
		return #name;
#define F_LIST(type, name, max) SPOIL(name, spoil_list(m, &v->name, max + 1))
#include "proto/all.def"
#undef OPEN
#undef SPOIL

/* ---- one table of all kinds ---- */
#define KIND(x)                                                                                    \
	static void any_fill_##x(struct maker *m, void *v)                                         \
	{                                                                                          \
		fill_##x(m, v);                                                                    \
	}                                                                                          \
	static bool any_same_##x(const void *a, const void *b)                                     \
	{                                                                                          \
		return same_##x(a, b);                                                             \
	}                                                                                          \
	static void any_raw_##x(struct raw *r, const void *v)                                      \
	{                                                                                          \
		raw_##x(r, v);                                                                     \
	}                                                                                          \
	static const char *any_spoil_##x(struct maker *m, void *v, int *at)                        \
	{                                                                                          \
		return spoil_##x(m, v, at);                                                        \
	}                                                                                          \
	static size_t any_size_##x(const void *v)                                                  \
	{                                                                                          \
		return pr_##x##_size(v);                                                           \
	}                                                                                          \
	static int any_encode_##x(struct pr_buf *b, const void *v)                                 \
	{                                                                                          \
		return pr_##x##_encode(b, v);                                                      \
	}                                                                                          \
	static bool any_get_##x(struct pr_cur *c, void *v)                                         \
	{                                                                                          \
		return pr_##x##_get(c, v);                                                         \
	}                                                                                          \
	static int any_decode_##x(void *v, const uint8_t *p, size_t len)                           \
	{                                                                                          \
		return pr_##x##_decode(v, p, len);                                                 \
	}                                                                                          \
	static void any_dump_##x(struct pr_text *t, const void *v)                                 \
	{                                                                                          \
		pr_##x##_dump(t, v);                                                               \
	}
#define STRUCT(name) KIND(name)
#define MSG(number, name, NAME, CHANNEL) KIND(name)
#define ROW(table, name, NAME) KIND(row_##name)
#include "proto/all.def"
#undef KIND

struct kind {
	const char *name;
	int type;  /* of a message, else -1 */
	int table; /* of a row, else -1 */
	size_t min;
	void (*fill)(struct maker *m, void *v);
	bool (*same)(const void *a, const void *b);
	void (*raw)(struct raw *r, const void *v);
	const char *(*spoil)(struct maker *m, void *v, int *at);
	size_t (*size)(const void *v);
	int (*encode)(struct pr_buf *b, const void *v);
	bool (*get)(struct pr_cur *c, void *v);
	int (*decode)(void *v, const uint8_t *p, size_t len);
	void (*dump)(struct pr_text *t, const void *v);
};

static const struct kind kinds[] = {
#define KIND(x, label, type_, table_)                                                              \
	{.name = label,                                                                            \
	 .type = type_,                                                                            \
	 .table = table_,                                                                          \
	 .min = PR_MIN_##x,                                                                        \
	 .fill = any_fill_##x,                                                                     \
	 .same = any_same_##x,                                                                     \
	 .raw = any_raw_##x,                                                                       \
	 .spoil = any_spoil_##x,                                                                   \
	 .size = any_size_##x,                                                                     \
	 .encode = any_encode_##x,                                                                 \
	 .get = any_get_##x,                                                                       \
	 .decode = any_decode_##x,                                                                 \
	 .dump = any_dump_##x},
#define STRUCT(name) KIND(name, #name, -1, -1)
#define MSG(number, name, NAME, CHANNEL) KIND(name, #name, number, -1)
#define ROW(table, name, NAME) KIND(row_##name, #name, -1, table)
#include "proto/all.def"
#undef KIND
};

enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

/* Holds a value of any kind. */
union any {
#define STRUCT(name) struct pr_##name s_##name;
#define MSG(number, name, NAME, CHANNEL) struct pr_##name m_##name;
#define ROW(table, name, NAME) struct pr_row_##name r_##name;
#include "proto/all.def"
	uint64_t align;
};

/* clang-format on */
