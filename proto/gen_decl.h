/* SPDX-License-Identifier: GPL-2.0-or-later OR LGPL-2.1-or-later */
/*
 * Declares everything of one schema: set PR_DEF to its quoted file name and include this; no
 * include guard, PR_DEF is forgotten at the end. For each STRUCT or MSG x (a ROW x reads row_x):
 *
 * struct pr_x
 * PR_MIN_x                the bytes of its shortest encoding
 * pr_x_size(v)            the bytes of this one
 * pr_x_put(b, v)          appends it: 0; -EINVAL: a field breaks its limit; -EMSGSIZE: it does not
 *                         fit. On an error the buffer is as it was. A put is what a get accepts.
 * pr_x_get(c, v)          reads it, pointing into the input, checks all; false: c->error says why
 * pr_x_encode(b, v)       the same as put
 * pr_x_decode(v, p, len)  get, and nothing may be left: 0 or -EBADMSG; *v is undefined on an error
 * pr_x_dump(t, v)         one line without a newline: x a=1 b="two"
 * pr_x_next(it, v)        the next element of a checked list; false at its end. Advances *it.
 */

/* structs */
#define STRUCT(name) struct pr_##name {
#define MSG(number, name, NAME, CHANNEL) struct pr_##name {
#define ROW(table, name, NAME) struct pr_row_##name {
#define END(name) };
#define F_U8(name) uint8_t name;
#define F_U16(name) uint16_t name;
#define F_U32(name) uint32_t name;
#define F_U64(name) uint64_t name;
#define F_I64(name) int64_t name;
#define F_ENUM8(name, max) uint8_t name;
#define F_FLAGS32(name, mask) uint32_t name;
#define F_UUID(name) struct pr_uuid name;
#define F_NAME(name, max) struct pr_bytes name;
#define F_XNAME(name, max) struct pr_bytes name;
#define F_STR(name, max) struct pr_bytes name;
#define F_BYTES(name, max) struct pr_bytes name;
#define F_STRUCT(type, name) struct pr_##type name;
#define F_LIST(type, name, max) struct pr_list name;
#include PR_DEF

/* shortest encodings */
#define STRUCT(name) enum { PR_MIN_##name = 0
#define MSG(number, name, NAME, CHANNEL) enum { PR_MIN_##name = 0
#define ROW(table, name, NAME) enum { PR_MIN_row_##name = 0
#define END(name) };
#define F_U8(name) +1
#define F_U16(name) +2
#define F_U32(name) +4
#define F_U64(name) +8
#define F_I64(name) +8
#define F_ENUM8(name, max) +1
#define F_FLAGS32(name, mask) +4
#define F_UUID(name) +16
#define F_NAME(name, max) +3
#define F_XNAME(name, max) +3
#define F_STR(name, max) +2
#define F_BYTES(name, max) +4
#define F_STRUCT(type, name) +PR_MIN_##type
#define F_LIST(type, name, max) +4
#define F_RSV(n) +n
#include PR_DEF

/* functions */
#define DECLARE(x)                                                                                 \
	size_t pr_##x##_size(const struct pr_##x *v);                                              \
	int pr_##x##_put(struct pr_buf *b, const struct pr_##x *v)                                 \
		__attribute__((warn_unused_result));                                               \
	bool pr_##x##_get(struct pr_cur *c, struct pr_##x *v)                                      \
		__attribute__((warn_unused_result));                                               \
	int pr_##x##_encode(struct pr_buf *b, const struct pr_##x *v)                              \
		__attribute__((warn_unused_result));                                               \
	int pr_##x##_decode(struct pr_##x *v, const uint8_t *p, size_t len)                        \
		__attribute__((warn_unused_result));                                               \
	void pr_##x##_dump(struct pr_text *t, const struct pr_##x *v);
#define STRUCT(name)                                                                               \
	DECLARE(name)                                                                              \
	bool pr_##name##_next(struct pr_list *it, struct pr_##name *v);
#define MSG(number, name, NAME, CHANNEL) DECLARE(name)
#define ROW(table, name, NAME) DECLARE(row_##name)
#include PR_DEF
#undef DECLARE

#undef PR_DEF
