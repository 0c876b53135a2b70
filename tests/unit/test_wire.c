/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <ctype.h>
#include <errno.h>
#include <criterion/criterion.h>

#include "wire_kinds.h"

enum { ROUNDS = 60, TRUNCATE_ALL_BELOW = 600 };

/* The bytes at the very end of their own allocation, so that a sanitizer sees one read too many. */
struct tight {
	uint8_t *whole, *p;
};

static struct tight tight_copy(const uint8_t *p, size_t len, size_t shift)
{
	struct tight t = {.whole = malloc(len + shift + (len + shift == 0))};

	PR_ASSERT(t.whole);
	t.p = t.whole + shift;
	if (len > 0)
		memcpy(t.p, p, len);
	return t;
}

static int decode_tight(const struct kind *k, const uint8_t *p, size_t len)
{
	struct tight t = tight_copy(p, len, len % 8);
	union any v;
	int r = k->decode(&v, t.p, len);

	if (k->type >= 0)
		cr_assert_eq(pr_message_check((uint16_t)k->type, t.p, len), r, "%s", k->name);
	free(t.whole);
	return r;
}

static struct pr_buf out_new(void)
{
	enum { OUT_BYTES = 24 << 20 };
	struct pr_buf out = pr_buf_on(malloc(OUT_BYTES), OUT_BYTES);

	PR_ASSERT(out.p);
	return out;
}

/* Runs check over ROUNDS random values of each kind. */
static void with_all(void (*check)(const struct kind *k, struct maker *m, struct pr_buf *out,
				   const union any *v),
		     int rounds)
{
	struct maker m = maker_new(7);
	struct pr_buf out = out_new();

	for (int i = 0; i < KINDS; i++) {
		for (int round = 0; round < rounds; round++) {
			union any v;

			memset(&v, 0xa5, sizeof(v));
			maker_reset(&m);
			out.len = 0;
			kinds[i].fill(&m, &v);
			check(&kinds[i], &m, &out, &v);
		}
	}
	free(out.p);
	maker_free(&m);
}

static void check_round_trip(const struct kind *k, struct maker *m, struct pr_buf *out,
			     const union any *v)
{
	union any back;
	size_t len;

	cr_assert_eq(k->encode(out, v), 0, "%s", k->name);
	len = out->len;
	cr_assert_eq(len, k->size(v), "%s says %zu, wrote %zu", k->name, k->size(v), len);
	cr_assert_geq(len, k->min);
	cr_assert_eq(k->decode(&back, out->p, len), 0, "%s", k->name);
	cr_assert(k->same(v, &back), "%s came back different", k->name);
	cr_assert_eq(k->encode(out, &back), 0);
	cr_assert_eq(out->len, 2 * len);
	cr_assert(len == 0 || memcmp(out->p, out->p + len, len) == 0, "%s", k->name);
}

Test(wire, every_value_comes_back_as_it_went)
{
	with_all(check_round_trip, ROUNDS);
}

static void check_raw(const struct kind *k, struct maker *m, struct pr_buf *out, const union any *v)
{
	struct raw raw = {.out = out_new(), .dirty = -1, .lie = -1};

	k->raw(&raw, v);
	cr_assert_eq(k->encode(out, v), 0);
	cr_assert_eq(raw.out.len, out->len, "%s", k->name);
	cr_assert(out->len == 0 || memcmp(raw.out.p, out->p, out->len) == 0, "%s", k->name);
	free(raw.out.p);
}

Test(wire, fields_stand_in_their_order_without_padding)
{
	with_all(check_raw, 5);
}

static void check_cuts(const struct kind *k, struct maker *m, struct pr_buf *out,
		       const union any *v)
{
	size_t len, step;

	cr_assert_eq(k->encode(out, v), 0);
	len = out->len;
	step = len <= TRUNCATE_ALL_BELOW ? 1 : 1 + len / 200;
	for (size_t cut = 0; cut < len; cut += step)
		cr_assert_eq(decode_tight(k, out->p, cut), -EBADMSG, "%s cut to %zu of %zu",
			     k->name, cut, len);
	cr_assert_eq(decode_tight(k, out->p, len), 0, "%s", k->name);
	pr_put_u8(out, 0);
	cr_assert_eq(decode_tight(k, out->p, len + 1), -EBADMSG, "%s with a byte more", k->name);
}

Test(wire, cut_anywhere_or_one_byte_longer_it_is_refused)
{
	with_all(check_cuts, 12);
}

static void check_small_buffers(const struct kind *k, struct maker *m, struct pr_buf *out,
				const union any *v)
{
	size_t len = k->size(v);

	for (size_t cap = len > 40 ? len - 40 : 0; cap < len; cap++) {
		struct tight t = tight_copy(out->p, cap, 0);
		struct pr_buf small = pr_buf_on(t.p, cap);

		cr_assert_eq(k->encode(&small, v), -EMSGSIZE, "%s", k->name);
		cr_assert_eq(small.len, 0);
		cr_assert(!small.failed);
		free(t.whole);
	}
}

Test(wire, an_encoding_that_does_not_fit_leaves_the_buffer_as_it_was)
{
	with_all(check_small_buffers, 4);
}

static int spoiled_total;

static void check_spoiled(const struct kind *k, struct maker *m, struct pr_buf *out,
			  const union any *v)
{
	const char *field;

	for (int which = 0;; which++) {
		struct raw raw = {.dirty = -1, .lie = -1};
		union any bad = *v;
		int at = which;

		field = k->spoil(m, &bad, &at);
		if (!field)
			break;
		raw.out = out_new();
		cr_assert_eq(k->encode(out, &bad), -EINVAL, "%s.%s", k->name, field);
		k->raw(&raw, &bad);
		cr_assert(!raw.out.failed);
		cr_assert_eq(decode_tight(k, raw.out.p, raw.out.len), -EBADMSG, "%s.%s", k->name,
			     field);
		free(raw.out.p);
		maker_reset(m);
		spoiled_total++;
		/* The next round needs a value that was not reset away. */
		k->fill(m, (void *)v);
	}
	cr_assert_eq(out->len, 0);
}

Test(wire, a_field_beyond_its_limit_is_neither_written_nor_read)
{
	with_all(check_spoiled, 2);
	cr_assert_geq(spoiled_total, 2 * 190);
}

static int dirtied_total;

static void check_reserved(const struct kind *k, struct maker *m, struct pr_buf *out,
			   const union any *v)
{
	for (int which = 0;; which++) {
		struct raw raw = {.out = out_new(), .dirty = which, .lie = -1};
		bool dirtied;

		k->raw(&raw, v);
		dirtied = raw.dirtied;
		if (dirtied)
			cr_assert_eq(decode_tight(k, raw.out.p, raw.out.len), -EBADMSG,
				     "%s takes a reserved byte", k->name);
		free(raw.out.p);
		if (!dirtied)
			break;
		dirtied_total++;
	}
}

Test(wire, a_reserved_byte_that_is_not_zero_is_refused)
{
	with_all(check_reserved, 2);
	cr_assert_geq(dirtied_total, 2 * 80);
}

static int lied_total;

static void check_lies(const struct kind *k, struct maker *m, struct pr_buf *out,
		       const union any *v)
{
	for (int which = 0;; which++) {
		struct raw raw = {.out = out_new(), .dirty = -1, .lie = which};
		bool lied;

		k->raw(&raw, v);
		lied = raw.lied;
		if (lied)
			cr_assert_eq(decode_tight(k, raw.out.p, raw.out.len), -EBADMSG,
				     "%s believes a huge length", k->name);
		free(raw.out.p);
		if (!lied)
			break;
		lied_total++;
	}
}

Test(wire, a_huge_length_or_count_is_refused)
{
	with_all(check_lies, 3);
	cr_assert_geq(lied_total, 3 * 80);
}

static struct pr_list gids(struct pr_buf *b, uint32_t count)
{
	struct pr_list list = {.count = count, .p = b->p + b->len};

	for (uint32_t i = 0; i < count; i++)
		cr_assert_eq(pr_gid_put(b, &(struct pr_gid){.gid = 100 + i}), 0);
	list.len = (uint32_t)(b->p + b->len - list.p);
	return list;
}

Test(wire, a_count_that_is_off_by_one_is_refused)
{
	struct pr_buf out = out_new();
	struct pr_cred v = {.uid = 1, .gid = 2}, back;
	const size_t at = 8; /* of the count, behind uid and gid */

	v.groups = gids(&out, 5);
	out.p += out.len;
	out.cap -= out.len;
	out.len = 0;
	cr_assert_eq(pr_cred_encode(&out, &v), 0);
	for (uint32_t count = 0; count < 20; count++) {
		pr_store32(out.p + at, count);
		cr_assert_eq(pr_cred_decode(&back, out.p, out.len), count == 5 ? 0 : -EBADMSG);
	}
	free((void *)v.groups.p);
}

Test(wire, an_encoder_refuses_a_list_that_is_not_what_it_says)
{
	uint8_t space[256], elements[64];
	struct pr_buf out = pr_buf_on(space, sizeof(space));
	struct pr_buf in = pr_buf_on(elements, sizeof(elements));
	struct pr_cred v = {.groups = gids(&in, 4)};

	v.groups.count = 3;
	cr_assert_eq(pr_cred_encode(&out, &v), -EINVAL);
	v.groups.count = 5;
	cr_assert_eq(pr_cred_encode(&out, &v), -EINVAL);
	v.groups.count = 4;
	v.groups.len--;
	cr_assert_eq(pr_cred_encode(&out, &v), -EINVAL);
	v.groups.len++;
	cr_assert_eq(pr_cred_encode(&out, &v), 0);
}

Test(wire, next_walks_a_list_once)
{
	uint8_t elements[64];
	struct pr_buf in = pr_buf_on(elements, sizeof(elements));
	struct pr_list it = gids(&in, 3);
	struct pr_gid gid;

	for (uint32_t i = 0; i < 3; i++) {
		cr_assert(pr_gid_next(&it, &gid));
		cr_assert_eq(gid.gid, 100 + i);
	}
	cr_assert(!pr_gid_next(&it, &gid));
	cr_assert(!pr_gid_next(&it, &gid));
	cr_assert_eq(it.len, 0);
}

Test(wire, a_list_at_the_end_can_grow_in_place)
{
	uint8_t space[1024];
	struct pr_buf out = pr_buf_on(space, sizeof(space));
	struct pr_readdir_r reply = {.eof = 1, .parent = 9}, back;
	struct pr_dirent entry = {.name = pr_bytes_str("etc"), .cookie = 1};
	size_t at;

	cr_assert_eq(pr_readdir_r_encode(&out, &reply), 0);
	at = pr_tail_open(&out);
	for (; entry.cookie <= 3; entry.cookie++)
		cr_assert_eq(pr_dirent_put(&out, &entry), 0);
	pr_tail_close(&out, at, 3);
	cr_assert_eq(pr_readdir_r_decode(&back, out.p, out.len), 0);
	cr_assert_eq(back.entries.count, 3);
	cr_assert_eq(back.parent, 9);
	for (uint64_t cookie = 1; pr_dirent_next(&back.entries, &entry); cookie++)
		cr_assert_eq(entry.cookie, cookie);
}

/* ---- reasons ---- */

static void expect_why(uint16_t type, const struct raw *raw, const char *why)
{
	char text[128];
	struct pr_text t = pr_text_on(text, sizeof(text));

	pr_message_why(type, raw->out.p, raw->out.len, &t);
	cr_assert_str_eq(text, why);
	t = pr_text_on(text, sizeof(text));
	cr_assert_neq(pr_message_dump(type, raw->out.p, raw->out.len, &t), 0);
	cr_assert_str_eq(text, why);
}

Test(wire, a_refusal_names_message_field_and_reason)
{
	uint8_t space[512];
	struct pr_create v = {.name = pr_bytes_str("file")};
	struct raw raw = {.out = pr_buf_on(space, sizeof(space)), .dirty = -1, .lie = -1};

	raw_create(&raw, &v);
	raw.out.len--;
	expect_why(PR_T_CREATE, &raw, "create.name: cut short");
	raw.out.len += 2;
	expect_why(PR_T_CREATE, &raw, "create: bytes after its end");
	raw.out.len = 0;
	v.name = pr_bytes_of("", 0);
	raw_create(&raw, &v);
	expect_why(PR_T_CREATE, &raw, "create.name: empty");
	raw.out.len = 0;
	v.name = pr_bytes_str("a/b");
	raw_create(&raw, &v);
	expect_why(PR_T_CREATE, &raw, "create.name: contains /");
	raw.out.len = 0;
	v.cred.groups.count = 5000;
	raw_create(&raw, &v);
	expect_why(PR_T_CREATE, &raw, "create.cred.groups: too many");
	raw.out.len = 0;
	v.cred.groups.count = 4000;
	raw_create(&raw, &v);
	expect_why(PR_T_CREATE, &raw, "create.cred.groups: more than there are bytes for");
	expect_why(0x7fff, &raw, "no message has type 0x7fff");
}

Test(wire, a_refusal_inside_a_list_names_the_element_field)
{
	uint8_t space[256];
	struct pr_buf b = pr_buf_on(space, sizeof(space));
	struct raw raw = {.dirty = -1, .lie = -1};
	struct pr_layout_get_r v = {.size = 1};

	cr_assert_eq(pr_layout_get_r_encode(&b, &v), 0);
	raw.out = b;
	pr_tail_close(&raw.out, pr_tail_open(&raw.out), 1);
	raw_extent(&raw, &(struct pr_extent){.state = 3});
	expect_why(PR_T_LAYOUT_GET_R, &raw, "layout_get_r.extents.state: out of range");
}

Test(wire, a_sound_message_has_no_reason)
{
	char text[64];
	struct pr_text t = pr_text_on(text, sizeof(text));

	pr_message_why(PR_T_STATFS, NULL, 0, &t);
	cr_assert_str_eq(text, "");
}

/* ---- text ---- */

static void check_dump(const struct kind *k, struct maker *m, struct pr_buf *out,
		       const union any *v)
{
	static const size_t caps[] = {1, 2, 5, 17, 64, 65536};

	for (size_t i = 0; i < sizeof(caps) / sizeof(caps[0]); i++) {
		char *space = malloc(caps[i]);
		struct pr_text t = pr_text_on(space, caps[i]);

		k->dump(&t, v);
		cr_assert_lt(t.len, caps[i]);
		cr_assert_eq(strlen(space), t.len, "%s", k->name);
		cr_assert_null(strchr(space, '\n'));
		if (caps[i] > 64)
			cr_assert_eq(strncmp(space, k->name, strlen(k->name)), 0, "%s", space);
		free(space);
	}
}

Test(wire, dumps_stay_in_one_line_and_in_their_buffer)
{
	with_all(check_dump, 10);
}

Test(wire, a_dump_is_readable)
{
	char text[512];
	struct pr_text t = pr_text_on(text, sizeof(text));
	uint8_t elements[64];
	struct pr_buf in = pr_buf_on(elements, sizeof(elements));
	struct pr_create v = {.cred = {.uid = 1000, .gid = 100, .groups = gids(&in, 2)},
			      .parent = 1,
			      .mode = 0100644,
			      .flags = PR_O_WRITE | PR_O_EXCL,
			      .name = pr_bytes_str("new \"file\"\n")};

	pr_create_dump(&t, &v);
	cr_assert_str_eq(text, "create cred={uid=1000 gid=100 groups=[{gid=100}{gid=101}]} parent=1"
			       " mode=0100644 flags=6 name=\"new \\\"file\\\"\\x0a\"");
}

/* ---- names and numbers ---- */

Test(wire, the_upper_case_names_are_the_names)
{
	char upper[64];

	/* clang-format off */
#define SAME(name, NAME)                                                                           \
	for (size_t i = 0; i <= strlen(#name); i++)                                                \
		upper[i] = (char)toupper((unsigned char)#name[i]);                                 \
	cr_assert_str_eq(upper, #NAME);
#define MSG(number, name, NAME, CHANNEL) SAME(name, NAME)
#define ROW(table, name, NAME) SAME(name, NAME)
#include "proto/all.def"
	/* clang-format on */
}

Test(wire, a_reply_has_its_requests_number_and_name)
{
	for (int i = 0; i < KINDS; i++) {
		uint16_t type = (uint16_t)kinds[i].type;
		char want[64];

		if (kinds[i].type < 0)
			continue;
		cr_assert_str_eq(pr_type_name(type), kinds[i].name);
		cr_assert_neq(pr_type_channel(type), 0);
		if (type & PR_T_REPLY) {
			const char *request = pr_type_name(type & ~PR_T_REPLY);

			cr_assert_not_null(request, "%s has no request", kinds[i].name);
			snprintf(want, sizeof(want), "%s_r", request);
			cr_assert_str_eq(kinds[i].name, want);
		} else if (pr_type_channel(type) == PR_CH_ACCESS) {
			cr_assert_not_null(pr_type_name(type | PR_T_REPLY), "%s", kinds[i].name);
		}
	}
	cr_assert_null(pr_type_name(0));
	cr_assert_null(pr_type_name(0xffff));
	cr_assert_eq(pr_type_channel(0), 0);
	cr_assert_eq(pr_message_check(0, NULL, 0), -EOPNOTSUPP);
}

Test(wire, roles_and_channels_have_names)
{
	cr_assert_str_eq(pr_role_name(PR_ROLE_ACTIVE), "active");
	cr_assert_str_eq(pr_role_name(5), "?");
	cr_assert_str_eq(pr_channel_name(PR_CH_LINK), "link");
	cr_assert_str_eq(pr_channel_name(0), "?");
}
