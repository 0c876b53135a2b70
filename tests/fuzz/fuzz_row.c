/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keys, rows and the records of a batch. Input: what it is, then its bytes. A key that is accepted is made again of its parts as
 * the same bytes; keys order as their parts do; a row or a record that is accepted is written back as it was.
 */
#include <errno.h>
#include <stdlib.h>

#include "tests/fuzz/fuzz.h"
#include "tests/unit/wire_kinds.h"

enum { TEXT_BYTES = 4096 };

/* Taken apart by its table's parser and made anew by its table's maker. False: the parser refuses it. */
static bool remake(struct pr_key *k, const uint8_t *p, size_t len)
{
	uint16_t volume = 0, lun = 0;
	uint64_t a = 0, b = 0;
	uint32_t slot = 0;
	struct pr_bytes name = {0};
	int r = -EBADMSG;

#define ONE(table, parse, make)           \
	case PR_ROW_##table:              \
		r = pr_key_parse_##parse; \
		if (!r)                   \
			pr_key_##make;    \
		break;
	switch (pr_key_table(p, len)) {
		ONE(META, meta(p, len), meta(k))
		ONE(VOLUME, volume(p, len, &volume), volume(k, volume))
		ONE(VLUN, vlun(p, len, &volume, &lun), vlun(k, volume, lun))
		ONE(VSTAT, vstat(p, len, &volume), vstat(k, volume))
		ONE(INODE, inode(p, len, &volume, &a), inode(k, volume, a))
		ONE(NAME, name(p, len, &volume, &a, &name), name(k, volume, a, name.p, name.len))
		ONE(ENTRY, entry(p, len, &volume, &a, &b), entry(k, volume, a, b))
		ONE(TARGET, target(p, len, &volume, &a), target(k, volume, a))
		ONE(XATTR, xattr(p, len, &volume, &a, &name), xattr(k, volume, a, name.p, name.len))
		ONE(MAP, map(p, len, &volume, &a, &b), map(k, volume, a, b))
		ONE(ORPHAN, orphan(p, len, &volume, &a), orphan(k, volume, a))
		ONE(SPACE, space(p, len, &volume, &lun, &a), space(k, volume, lun, a))
		ONE(REST, rest(p, len, &volume, &a), rest(k, volume, a))
		ONE(SESSION, session(p, len, &a), session(k, a))
		ONE(SLOT, slot(p, len, &a, &slot), slot(k, a, slot))
	}
#undef ONE
	return r == 0;
}

static void check_key(const uint8_t *p, size_t len)
{
	char text[TEXT_BYTES];
	struct pr_text t = pr_text_on(text, sizeof(text));
	struct pr_key made = {0}, copy, after;
	bool sound = remake(&made, p, len);

	FUZZ_CHECK((pr_key_check(p, len) == 0) == sound);
	FUZZ_CHECK(pr_key_from_bytes(&copy, p, len) ==
		   (len > 0 && len <= PR_KEY_MAX ? 0 : -EBADMSG));
	pr_key_dump(&t, p, len);
	FUZZ_CHECK(t.len > 0 && !t.cut);
	if (!sound)
		return;
	FUZZ_CHECK(made.len == len && memcmp(made.b, p, len) == 0);
	after = made;
	pr_key_after_prefix(&after);
	FUZZ_CHECK(pr_key_cmp(&made, &after) < 0 && !pr_key_has_prefix(&after, &made));
	FUZZ_CHECK(pr_table_name(p[0]) != NULL);
}

/* Two keys: the order is one of bytes, and the same both ways round. */
static void check_order(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
	int d = pr_key_cmp_bytes(a, a_len, b, b_len), e = pr_key_cmp_bytes(b, b_len, a, a_len);

	FUZZ_CHECK((d < 0) == (e > 0) && (d == 0) == (e == 0));
	FUZZ_CHECK((d == 0) == (a_len == b_len && memcmp(a, b, a_len) == 0));
}

static const struct kind *row_kind(uint8_t table)
{
	for (int i = 0; i < KINDS; i++)
		if (kinds[i].table == table)
			return &kinds[i];
	return NULL;
}

static int check_value(const uint8_t *key, size_t key_len, const uint8_t *p, size_t len)
{
	const struct kind *k = row_kind(pr_key_table(key, key_len));
	char text[TEXT_BYTES];
	struct pr_text t = pr_text_on(text, sizeof(text));
	int r = pr_row_check(key, key_len, p, len);
	union any v, back;
	struct pr_buf b;

	FUZZ_CHECK(pr_row_dump(key, key_len, p, len, &t) == r && t.len > 0);
	if (!k || pr_key_check(key, key_len)) {
		FUZZ_CHECK(r == -EBADMSG);
		return r;
	}
	FUZZ_CHECK(k->decode(&v, p, len) == r, "%s", k->name);
	if (r)
		return r;
	b = pr_buf_on(malloc(len + 1), len);
	FUZZ_CHECK(k->size(&v) == len && k->encode(&b, &v) == 0, "%s", k->name);
	FUZZ_CHECK(b.len == len && memcmp(b.p, p, len) == 0, "%s has two encodings", k->name);
	FUZZ_CHECK(k->decode(&back, b.p, len) == 0 && k->same(&v, &back), "%s", k->name);
	free(b.p);
	return 0;
}

/* Record after record, as recovery, the standby and mdcjournal read them. */
static void check_records(const uint8_t *p, size_t len)
{
	struct pr_cur c = pr_cur_on(p, len);
	char text[TEXT_BYTES];
	struct pr_record v;
	struct pr_buf b = pr_buf_on(malloc(len + 1), len);

	while (c.left > 0 && pr_record_get(&c, &v)) {
		struct pr_text t = pr_text_on(text, sizeof(text));
		struct pr_list it = v.changes;
		struct pr_change change;
		uint32_t count = 0;

		pr_record_explain(&t, &v);
		FUZZ_CHECK(strlen(text) == t.len);
		for (; pr_change_next(&it, &change); count++) {
			check_key(change.key.p, change.key.len);
			check_value(change.key.p, change.key.len, change.value.p, change.value.len);
		}
		FUZZ_CHECK(count == v.changes.count && it.len == 0);
		FUZZ_CHECK(pr_record_put(&b, &v) == 0);
	}
	FUZZ_CHECK((c.error == NULL) == (c.left == 0) || c.error != NULL);
	FUZZ_CHECK(b.len == 0 || memcmp(b.p, p, b.len) == 0);
	free(b.p);
}

static void one(const uint8_t *p, size_t len)
{
	struct fuzz_in in = {p, len};
	uint8_t what = fuzz_u8(&in);
	const uint8_t *a, *b;
	size_t a_len, b_len;

	if (what % 4 == 3) {
		check_records(in.p, in.left);
		return;
	}
	a = fuzz_bytes(&in, what % 4 == 0 ? SIZE_MAX : fuzz_u8(&in), &a_len);
	b = fuzz_bytes(&in, SIZE_MAX, &b_len);
	check_key(a, a_len);
	if (what % 4 == 1)
		check_value(a, a_len, b, b_len);
	if (what % 4 == 2)
		check_order(a, a_len, b, b_len);
}

FUZZ_TARGET(row)
