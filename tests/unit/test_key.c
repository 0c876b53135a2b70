/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "proto/pr.h"
#include "wire_dice.h"

/* Parts that a key of any table may have, compared in the order of rows.def. */
struct parts {
	uint16_t volume, lun;
	uint64_t a, b;
	uint32_t slot;
	char name[256];
	size_t name_len;
};

static struct parts parts_random(struct dice *d)
{
	struct parts x = {.volume = (uint16_t)roll_number(d),
			  .lun = (uint16_t)roll_number(d),
			  .a = roll_number(d),
			  .b = roll_number(d),
			  .slot = (uint32_t)roll_number(d),
			  .name_len = 1 + roll_below(d, roll_below(d, 8) ? 6 : 255)};

	for (size_t i = 0; i < x.name_len; i++)
		x.name[i] = (char)(roll_below(d, 2) ? 'a' : 1 + roll_below(d, 255));
	return x;
}

static void make(struct pr_key *k, enum pr_row table, const struct parts *x)
{
	memset(k, 0x5a, sizeof(*k));
	switch (table) {
	case PR_ROW_META:
		return pr_key_meta(k);
	case PR_ROW_VOLUME:
		return pr_key_volume(k, x->volume);
	case PR_ROW_VLUN:
		return pr_key_vlun(k, x->volume, x->lun);
	case PR_ROW_VSTAT:
		return pr_key_vstat(k, x->volume);
	case PR_ROW_INODE:
		return pr_key_inode(k, x->volume, x->a);
	case PR_ROW_NAME:
		return pr_key_name(k, x->volume, x->a, x->name, x->name_len);
	case PR_ROW_ENTRY:
		return pr_key_entry(k, x->volume, x->a, x->b);
	case PR_ROW_TARGET:
		return pr_key_target(k, x->volume, x->a);
	case PR_ROW_XATTR:
		return pr_key_xattr(k, x->volume, x->a, x->name, x->name_len);
	case PR_ROW_MAP:
		return pr_key_map(k, x->volume, x->a, x->b);
	case PR_ROW_ORPHAN:
		return pr_key_orphan(k, x->volume, x->a);
	case PR_ROW_SPACE:
		return pr_key_space(k, x->volume, x->lun, x->b);
	case PR_ROW_REST:
		return pr_key_rest(k, x->volume, x->a);
	case PR_ROW_SESSION:
		return pr_key_session(k, x->a);
	case PR_ROW_SLOT:
		return pr_key_slot(k, x->a, x->slot);
	}
	cr_assert_fail("table 0x%02x has no maker", table);
}

static int parse(enum pr_row table, const uint8_t *p, size_t len, struct parts *x)
{
	struct pr_bytes name = {0};
	int r = -EBADMSG;

	switch (table) {
	case PR_ROW_META:
		return pr_key_parse_meta(p, len);
	case PR_ROW_VOLUME:
		return pr_key_parse_volume(p, len, &x->volume);
	case PR_ROW_VLUN:
		return pr_key_parse_vlun(p, len, &x->volume, &x->lun);
	case PR_ROW_VSTAT:
		return pr_key_parse_vstat(p, len, &x->volume);
	case PR_ROW_INODE:
		return pr_key_parse_inode(p, len, &x->volume, &x->a);
	case PR_ROW_NAME:
		r = pr_key_parse_name(p, len, &x->volume, &x->a, &name);
		break;
	case PR_ROW_ENTRY:
		return pr_key_parse_entry(p, len, &x->volume, &x->a, &x->b);
	case PR_ROW_TARGET:
		return pr_key_parse_target(p, len, &x->volume, &x->a);
	case PR_ROW_XATTR:
		r = pr_key_parse_xattr(p, len, &x->volume, &x->a, &name);
		break;
	case PR_ROW_MAP:
		return pr_key_parse_map(p, len, &x->volume, &x->a, &x->b);
	case PR_ROW_ORPHAN:
		return pr_key_parse_orphan(p, len, &x->volume, &x->a);
	case PR_ROW_SPACE:
		return pr_key_parse_space(p, len, &x->volume, &x->lun, &x->b);
	case PR_ROW_REST:
		return pr_key_parse_rest(p, len, &x->volume, &x->a);
	case PR_ROW_SESSION:
		return pr_key_parse_session(p, len, &x->a);
	case PR_ROW_SLOT:
		return pr_key_parse_slot(p, len, &x->a, &x->slot);
	}
	if (r == 0) {
		x->name_len = name.len;
		memcpy(x->name, name.p, name.len);
	}
	return r;
}

static const enum pr_row tables[] = {
/* clang-format off */
#define ROW(table, name, NAME) PR_ROW_##NAME,
#include "proto/rows.def"
	/* clang-format on */
};

enum { TABLES = sizeof(tables) / sizeof(tables[0]), ROUNDS = 300 };

static int sign(int v)
{
	return (v > 0) - (v < 0);
}

static int cmp64(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

static int cmp_names(const struct parts *a, const struct parts *b)
{
	size_t common = a->name_len < b->name_len ? a->name_len : b->name_len;
	int d = sign(memcmp(a->name, b->name, common));

	return d ? d : cmp64(a->name_len, b->name_len);
}

/* Only the parts that this table's key has are filled, so the others compare equal. */
static int cmp_parts(const struct parts *a, const struct parts *b)
{
	int d = cmp64(a->volume, b->volume);

	d = d ? d : cmp64(a->lun, b->lun);
	d = d ? d : cmp64(a->a, b->a);
	d = d ? d : cmp64(a->b, b->b);
	d = d ? d : cmp64(a->slot, b->slot);
	return d ? d : cmp_names(a, b);
}

Test(key, parts_come_back_as_they_went)
{
	struct dice d = {1};

	for (int i = 0; i < TABLES; i++) {
		for (int round = 0; round < ROUNDS; round++) {
			struct parts x = parts_random(&d), back = {0};
			struct pr_key k, again;

			make(&k, tables[i], &x);
			cr_assert_leq(k.len, PR_KEY_MAX);
			cr_assert_eq(pr_key_table(k.b, k.len), tables[i]);
			cr_assert_eq(pr_key_check(k.b, k.len), 0);
			cr_assert_eq(parse(tables[i], k.b, k.len, &back), 0);
			make(&again, tables[i], &back);
			cr_assert_eq(pr_key_cmp(&k, &again), 0);
		}
	}
}

Test(key, the_order_of_keys_is_the_order_of_their_parts)
{
	struct dice d = {2};

	for (int i = 0; i < TABLES; i++) {
		for (int round = 0; round < ROUNDS; round++) {
			struct parts x = parts_random(&d), y = parts_random(&d);
			struct parts a = {0}, b = {0};
			struct pr_key j, k;

			if (roll_below(&d, 2))
				y.volume = x.volume;
			if (roll_below(&d, 2))
				y.a = x.a;
			if (roll_below(&d, 2))
				y.lun = x.lun;
			make(&j, tables[i], &x);
			make(&k, tables[i], &y);
			parse(tables[i], j.b, j.len, &a);
			parse(tables[i], k.b, k.len, &b);
			cr_assert_eq(sign(pr_key_cmp(&j, &k)), cmp_parts(&a, &b), "table 0x%02x",
				     tables[i]);
			cr_assert_eq(sign(pr_key_cmp(&k, &j)), -cmp_parts(&a, &b));
		}
	}
}

Test(key, a_key_of_another_length_or_table_is_refused)
{
	struct dice d = {3};

	for (int i = 0; i < TABLES; i++) {
		struct parts x = parts_random(&d), back;
		struct pr_key k;
		bool named = tables[i] == PR_ROW_NAME || tables[i] == PR_ROW_XATTR;
		size_t shortest = named ? 12 : 0;

		make(&k, tables[i], &x);
		for (size_t len = 0; len < (named ? shortest : k.len); len++) {
			cr_assert_eq(parse(tables[i], k.b, len, &back), -EBADMSG);
			cr_assert_eq(pr_key_check(k.b, len), -EBADMSG);
		}
		if (!named)
			cr_assert_eq(parse(tables[i], k.b, k.len + 1u, &back), -EBADMSG);
		for (int other = 0; other < TABLES; other++)
			if (other != i)
				cr_assert_eq(parse(tables[other], k.b, k.len, &back), -EBADMSG);
		k.b[0] = 0xfe;
		cr_assert_eq(pr_key_check(k.b, k.len), -EBADMSG);
	}
}

Test(key, a_name_of_256_bytes_is_refused)
{
	uint8_t raw[11 + 256] = {PR_ROW_NAME};
	struct pr_bytes name;
	uint16_t volume;
	uint64_t dir;

	memset(raw + 11, 'x', 256);
	cr_assert_eq(pr_key_parse_name(raw, 11 + 255, &volume, &dir, &name), 0);
	cr_assert_eq(pr_key_parse_name(raw, 11 + 256, &volume, &dir, &name), -EBADMSG);
	cr_assert_eq(pr_key_parse_name(raw, 11, &volume, &dir, &name), -EBADMSG);
}

Test(key, bytes_are_big_endian)
{
	static const uint8_t want[] = {0x10, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
	struct pr_key k;

	pr_key_inode(&k, 0x0102, 0x030405060708090a);
	cr_assert_eq(pr_key_cmp_bytes(k.b, k.len, want, sizeof(want)), 0);
}

/* ---- prefixes ---- */

/* Keys of prefix lie from the prefix up to what follows it; the others lie outside. */
static void expect_within(const struct pr_key *prefix, const struct pr_key *k, bool within)
{
	struct pr_key end = *prefix;

	pr_key_after_prefix(&end);
	cr_assert_eq(pr_key_has_prefix(k, prefix), within);
	cr_assert_eq(pr_key_cmp(prefix, k) <= 0 && pr_key_cmp(k, &end) < 0, within);
}

Test(key, a_prefix_holds_its_own_keys_only)
{
	static const uint64_t dirs[] = {0, 1, 255, 256, 0xffffffff, UINT64_MAX - 1, UINT64_MAX};
	struct pr_key prefix, k;

	for (size_t i = 0; i < 7; i++) {
		for (size_t j = 0; j < 7; j++) {
			pr_key_prefix_names(&prefix, 3, dirs[i]);
			pr_key_name(&k, 3, dirs[j], "\xff\xff", 2);
			expect_within(&prefix, &k, i == j);
			pr_key_name(&k, 4, dirs[j], "a", 1);
			expect_within(&prefix, &k, false);
			pr_key_prefix_entries(&prefix, 3, dirs[i]);
			pr_key_entry(&k, 3, dirs[j], UINT64_MAX);
			expect_within(&prefix, &k, i == j);
			pr_key_prefix_xattrs(&prefix, 3, dirs[i]);
			pr_key_xattr(&k, 3, dirs[j], "user.a", 6);
			expect_within(&prefix, &k, i == j);
			pr_key_prefix_maps(&prefix, 3, dirs[i]);
			pr_key_map(&k, 3, dirs[j], 0);
			expect_within(&prefix, &k, i == j);
			pr_key_prefix_slots(&prefix, dirs[i]);
			pr_key_slot(&k, dirs[j], UINT32_MAX);
			expect_within(&prefix, &k, i == j);
		}
	}
	pr_key_prefix_spaces(&prefix, 0xffff, 0xffff);
	pr_key_space(&k, 0xffff, 0xffff, UINT64_MAX);
	expect_within(&prefix, &k, true);
	pr_key_prefix_volume(&prefix, PR_ROW_INODE, 0xffff);
	pr_key_inode(&k, 0xffff, UINT64_MAX);
	expect_within(&prefix, &k, true);
	pr_key_prefix_table(&prefix, PR_ROW_SLOT);
	pr_key_slot(&k, UINT64_MAX, UINT32_MAX);
	expect_within(&prefix, &k, true);
	pr_key_session(&k, UINT64_MAX);
	expect_within(&prefix, &k, false);
}

/* ---- text ---- */

static void expect_dump(const struct pr_key *k, const char *want)
{
	char text[128];
	struct pr_text t = pr_text_on(text, sizeof(text));

	pr_key_dump(&t, k->b, k->len);
	cr_assert_str_eq(text, want);
}

Test(key, dumps_its_parts)
{
	struct pr_key k;

	pr_key_meta(&k);
	expect_dump(&k, "meta");
	pr_key_volume(&k, 1);
	expect_dump(&k, "volume 1");
	pr_key_vlun(&k, 1, 2);
	expect_dump(&k, "vlun 1/2");
	pr_key_inode(&k, 1, 5);
	expect_dump(&k, "inode 1/5");
	pr_key_name(&k, 1, 2, "etc", 3);
	expect_dump(&k, "name 1/2/\"etc\"");
	pr_key_entry(&k, 1, 2, 3);
	expect_dump(&k, "entry 1/2/3");
	pr_key_space(&k, 1, 2, 3);
	expect_dump(&k, "space 1/2/3");
	pr_key_session(&k, 7);
	expect_dump(&k, "session 7");
	pr_key_slot(&k, 7, 8);
	expect_dump(&k, "slot 7/8");
	k.len--;
	expect_dump(&k, "BAD KEY 310000000000000007000000");
}

Test(key, is_copied_only_when_it_fits)
{
	uint8_t raw[PR_KEY_MAX + 1] = {PR_ROW_META};
	struct pr_key k;

	cr_assert_eq(pr_key_from_bytes(&k, raw, 0), -EBADMSG);
	cr_assert_eq(pr_key_from_bytes(&k, raw, PR_KEY_MAX + 1), -EBADMSG);
	cr_assert_eq(pr_key_from_bytes(&k, raw, PR_KEY_MAX), 0);
	cr_assert_eq(k.len, PR_KEY_MAX);
}

/* ---- rows by their key ---- */

Test(rows, a_row_is_shown_by_its_key_and_value)
{
	uint8_t space[64];
	struct pr_buf b = pr_buf_on(space, sizeof(space));
	struct pr_row_name v = {.ino = 9, .cookie = 4, .type = 8};
	char text[160];
	struct pr_text t = pr_text_on(text, sizeof(text));
	struct pr_key k;

	pr_key_name(&k, 1, 2, "etc", 3);
	cr_assert_eq(pr_row_name_encode(&b, &v), 0);
	cr_assert_eq(pr_row_check(k.b, k.len, b.p, b.len), 0);
	cr_assert_eq(pr_row_dump(k.b, k.len, b.p, b.len, &t), 0);
	cr_assert_str_eq(text, "name 1/2/\"etc\" ino=9 cookie=4 type=8");

	t = pr_text_on(text, sizeof(text));
	cr_assert_eq(pr_row_check(k.b, k.len, b.p, b.len - 1), -EBADMSG);
	cr_assert_eq(pr_row_dump(k.b, k.len, b.p, b.len - 1, &t), -EBADMSG);
	cr_assert_str_eq(text, "name 1/2/\"etc\" BAD VALUE: name.type: cut short");
	cr_assert_eq(pr_row_check(k.b, 3, b.p, b.len), -EBADMSG);
	cr_assert_eq(pr_row_dump(k.b, 3, b.p, b.len, &t), -EBADMSG);
}

Test(rows, tables_have_names)
{
	cr_assert_str_eq(pr_table_name(PR_ROW_SLOT), "slot");
	cr_assert_null(pr_table_name(0));
}
