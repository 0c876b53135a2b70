/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/pr.h"
#include "wire_dice.h"

static const char payload[] = "ten bytes!and more";
enum { TEN = 10, WHOLE = PR_FRAME_BYTES + TEN };

static struct pr_frame example(void)
{
	return (struct pr_frame){.type = PR_T_CREATE,
				 .length = TEN,
				 .epoch = 0x0102030405060708,
				 .session = 0x1112131415161718,
				 .sequence = 0x2122232425262728,
				 .slot = 0x31323334,
				 .status = PR_E_BUSY,
				 .lsn = 0x4142434445464748};
}

static void build(uint8_t out[WHOLE])
{
	struct pr_frame f = example();

	pr_frame_encode(out, &f, payload);
	memcpy(out + PR_FRAME_BYTES, payload, TEN);
}

/* After a change of the header that is meant: its CRC again. */
static void seal(uint8_t *frame)
{
	pr_store32(frame, pr_crc32c(frame + 4, PR_FRAME_BYTES - 4));
}

Test(frame, every_field_stands_at_its_offset)
{
	uint8_t b[WHOLE];

	build(b);
	cr_assert_eq(pr_load32(b + 0), pr_crc32c_table(0, b + 4, 60));
	cr_assert_eq(pr_load32(b + 4), pr_crc32c_table(0, payload, TEN));
	cr_assert_eq(memcmp(b + 8, "MDCP", 4), 0);
	cr_assert_eq(pr_load16(b + 12), 1);
	cr_assert_eq(pr_load16(b + 14), 0x0204);
	cr_assert_eq(pr_load32(b + 16), TEN);
	cr_assert_eq(b[20], PR_CH_ACCESS);
	cr_assert_eq(b[21] | b[22] | b[23], 0);
	cr_assert_eq(pr_load64(b + 24), 0x0102030405060708);
	cr_assert_eq(pr_load64(b + 32), 0x1112131415161718);
	cr_assert_eq(pr_load64(b + 40), 0x2122232425262728);
	cr_assert_eq(pr_load32(b + 48), 0x31323334);
	cr_assert_eq(pr_load32(b + 52), 1004);
	cr_assert_eq(pr_load64(b + 56), 0x4142434445464748);
}

Test(frame, comes_back_as_it_went)
{
	struct pr_frame f = example(), back;
	uint8_t b[WHOLE];

	build(b);
	cr_assert_eq(pr_frame_decode(&back, b, PR_PAYLOAD_MAX), 0);
	cr_assert_eq(pr_frame_check_payload(&back, b + PR_FRAME_BYTES), 0);
	cr_assert_eq(back.version, PR_VERSION);
	cr_assert_eq(back.channel, PR_CH_ACCESS);
	cr_assert_eq(back.type, f.type);
	cr_assert_eq(back.length, f.length);
	cr_assert_eq(back.epoch, f.epoch);
	cr_assert_eq(back.session, f.session);
	cr_assert_eq(back.sequence, f.sequence);
	cr_assert_eq(back.slot, f.slot);
	cr_assert_eq(back.status, f.status);
	cr_assert_eq(back.lsn, f.lsn);
}

Test(frame, a_channel_that_is_given_is_kept)
{
	struct pr_frame f = example(), back;
	uint8_t b[PR_FRAME_BYTES];

	f.channel = PR_CH_COORD;
	pr_frame_encode(b, &f, payload);
	cr_assert_eq(pr_frame_decode(&back, b, PR_PAYLOAD_MAX), 0);
	cr_assert_eq(back.channel, PR_CH_COORD);
}

Test(frame, every_changed_byte_is_noticed)
{
	uint8_t sound[WHOLE], b[WHOLE];

	build(sound);
	for (size_t at = 0; at < WHOLE; at++) {
		for (unsigned int change = 1; change < 256; change++) {
			struct pr_frame f;
			int r;

			memcpy(b, sound, sizeof(b));
			b[at] ^= (uint8_t)change;
			r = pr_frame_decode(&f, b, PR_PAYLOAD_MAX);
			if (r == 0)
				r = pr_frame_check_payload(&f, b + PR_FRAME_BYTES);
			cr_assert_eq(r, -EBADMSG, "byte %zu ^ %u", at, change);
		}
	}
}

Test(frame, another_version_can_still_be_answered)
{
	static const uint16_t versions[] = {0, 2, 0xffff};
	uint8_t b[WHOLE];

	build(b);
	for (size_t i = 0; i < 3; i++) {
		struct pr_frame f;

		pr_store16(b + 12, versions[i]);
		seal(b);
		cr_assert_eq(pr_frame_decode(&f, b, PR_PAYLOAD_MAX), -EPROTONOSUPPORT);
		cr_assert_eq(f.version, versions[i]);
		cr_assert_eq(f.sequence, example().sequence);
	}
}

Test(frame, reserved_bytes_must_be_zero)
{
	for (size_t at = 21; at < 24; at++) {
		struct pr_frame f;
		uint8_t b[WHOLE];

		build(b);
		b[at] = 1;
		seal(b);
		cr_assert_eq(pr_frame_decode(&f, b, PR_PAYLOAD_MAX), -EBADMSG);
	}
}

Test(frame, a_payload_beyond_the_limit_is_refused_by_its_header)
{
	uint8_t b[WHOLE];
	struct pr_frame f;

	build(b);
	cr_assert_eq(pr_frame_decode(&f, b, TEN), 0);
	cr_assert_eq(pr_frame_decode(&f, b, TEN - 1), -EMSGSIZE);
	pr_store32(b + 16, UINT32_MAX);
	seal(b);
	cr_assert_eq(pr_frame_decode(&f, b, PR_PAYLOAD_MAX_LINK), -EMSGSIZE);
	cr_assert_eq(f.length, UINT32_MAX);
}

Test(frame, is_built_in_place_around_a_message)
{
	uint8_t space[256];
	struct pr_buf b = pr_buf_on(space, sizeof(space));
	struct pr_frame f = {.type = PR_T_PING, .session = 5}, back;
	struct pr_ping ping = {.nonce = 77}, got;
	size_t at;

	pr_put_u8(&b, 0xee);
	at = pr_frame_begin(&b);
	cr_assert_eq(pr_ping_encode(&b, &ping), 0);
	cr_assert_eq(pr_frame_end(&b, at, &f), 0);
	cr_assert_eq(f.length, 8);
	cr_assert_eq(b.len, 1 + PR_FRAME_BYTES + 8);
	cr_assert_eq(pr_frame_decode(&back, space + 1, PR_PAYLOAD_MAX), 0);
	cr_assert_eq(back.channel, PR_CH_COORD);
	cr_assert_eq(pr_frame_check_payload(&back, space + 1 + PR_FRAME_BYTES), 0);
	cr_assert_eq(pr_ping_decode(&got, space + 1 + PR_FRAME_BYTES, back.length), 0);
	cr_assert_eq(got.nonce, 77);
	b.cap = b.len + 10;
	at = pr_frame_begin(&b);
	cr_assert_eq(pr_frame_end(&b, at, &f), -EMSGSIZE);
}

Test(frame, dumps_its_header)
{
	struct pr_frame f = {.type = PR_T_CREATE_R,
			     .channel = PR_CH_ACCESS,
			     .epoch = 2,
			     .session = 3,
			     .slot = 4,
			     .sequence = 5,
			     .lsn = 6,
			     .status = ENOENT,
			     .length = 7};
	char text[160];
	struct pr_text t = pr_text_on(text, sizeof(text));

	pr_frame_dump(&t, &f);
	cr_assert_str_eq(text, "create_r access epoch=2 session=3 slot=4 sequence=5 lsn=6"
			       " status=ENOENT length=7");
}

Test(frame, only_the_link_carries_the_large_payloads)
{
	cr_assert_eq(pr_channel_payload_max(PR_CH_LINK), PR_PAYLOAD_MAX_LINK);
	cr_assert_eq(pr_channel_payload_max(PR_CH_ACCESS), PR_PAYLOAD_MAX);
	cr_assert_eq(pr_channel_payload_max(0xff), PR_PAYLOAD_MAX);
}

/* ---- streams ---- */

/* Frames of random lengths up to longest, numbered by their sequence, one after the other. */
static struct pr_buf many_frames(struct dice *d, uint32_t count, uint32_t longest)
{
	size_t cap = (size_t)count * (PR_FRAME_BYTES + longest);
	struct pr_buf b = pr_buf_on(malloc(cap), cap);

	for (uint32_t i = 0; i < count; i++) {
		struct pr_frame f = {.type = PR_T_NOOP, .sequence = i};
		size_t at = pr_frame_begin(&b);

		for (uint32_t n = roll_below(d, longest + 1); n > 0; n--)
			pr_put_u8(&b, (uint8_t)(i + n));
		cr_assert_eq(pr_frame_end(&b, at, &f), 0);
	}
	return b;
}

/* Takes all frames at hand, which continue at number next; returns the number after them. */
static uint64_t take_frames(struct pr_stream *s, uint64_t next, int *ret_last)
{
	const uint8_t *got;
	struct pr_frame f;

	while ((*ret_last = pr_stream_next(s, &f, &got)) == 1) {
		cr_assert_eq(f.sequence, next);
		for (uint32_t i = 0; i < f.length; i++)
			cr_assert_eq(got[i], (uint8_t)(next + f.length - i));
		next++;
	}
	return next;
}

static size_t pour(struct pr_stream *s, const struct pr_buf *from, size_t done, size_t at_most)
{
	size_t room, n = from->len - done;
	uint8_t *to = pr_stream_room(s, &room);

	cr_assert_gt(room, 0);
	if (n > room)
		n = room;
	if (n > at_most)
		n = at_most;
	memcpy(to, from->p + done, n);
	pr_stream_added(s, n);
	return n;
}

static void run_stream(uint64_t seed, uint32_t longest, size_t cap, size_t largest_read)
{
	struct dice d = {seed};
	struct pr_buf in = many_frames(&d, 200, longest);
	uint8_t *space = malloc(cap);
	struct pr_stream s;
	uint64_t next = 0;
	int last = 0;

	pr_stream_init(&s, space, cap, longest);
	for (size_t done = 0; done < in.len;) {
		done += pour(&s, &in, done, 1 + roll_below(&d, (uint32_t)largest_read));
		next = take_frames(&s, next, &last);
		cr_assert_eq(last, 0);
	}
	cr_assert_eq(next, 200);
	free(space);
	free(in.p);
}

Test(stream, gives_every_frame_however_the_bytes_arrive)
{
	for (uint64_t seed = 1; seed <= 20; seed++) {
		run_stream(seed, 300, PR_FRAME_BYTES + 300, 1);
		run_stream(seed, 300, PR_FRAME_BYTES + 300, 500);
		run_stream(seed, 300, 4096, 200);
		run_stream(seed, 5000, PR_FRAME_BYTES + 5000, 6000);
		run_stream(seed, 5000, 65536, 70000);
		run_stream(seed, 0, PR_FRAME_BYTES, 64);
	}
}

Test(stream, asks_for_a_larger_buffer_and_goes_on)
{
	struct dice d = {5};
	struct pr_buf in = many_frames(&d, 100, 3000);
	void *space = malloc(PR_FRAME_BYTES);
	struct pr_stream s;
	uint64_t next = 0;
	int moves = 0;

	pr_stream_init(&s, space, PR_FRAME_BYTES, 3000);
	for (size_t done = 0; done < in.len;) {
		int last;

		done += pour(&s, &in, done, in.len);
		next = take_frames(&s, next, &last);
		if (last == -ENOBUFS) {
			size_t need = pr_stream_need(&s);

			cr_assert_gt(need, s.cap);
			cr_assert_leq(need, PR_FRAME_BYTES + 3000);
			free(pr_stream_move(&s, malloc(need), need));
			moves++;
		} else {
			cr_assert_eq(last, 0);
		}
	}
	cr_assert_eq(next, 100);
	cr_assert_gt(moves, 0);
	free(s.buf);
	free(in.p);
}

Test(stream, a_frame_is_handed_out_where_it_was_read)
{
	uint8_t b[WHOLE], space[4096];
	const uint8_t *got;
	struct pr_stream s;
	struct pr_frame f;
	size_t room;

	build(b);
	pr_stream_init(&s, space, sizeof(space), PR_PAYLOAD_MAX);
	cr_assert_eq(pr_stream_room(&s, &room), space);
	cr_assert_eq(room, sizeof(space));
	memcpy(space, b, WHOLE);
	memcpy(space + WHOLE, b, WHOLE);
	pr_stream_added(&s, 2 * WHOLE);
	cr_assert_eq(pr_stream_next(&s, &f, &got), 1);
	cr_assert_eq(got, space + PR_FRAME_BYTES);
	cr_assert_eq(pr_stream_next(&s, &f, &got), 1);
	cr_assert_eq(got, space + WHOLE + PR_FRAME_BYTES);
	cr_assert_eq(pr_stream_next(&s, &f, &got), 0);
}

static void expect_broken(const uint8_t *bytes, size_t len, uint32_t max, int want, const char *why)
{
	uint8_t space[4096];
	const uint8_t *got;
	struct pr_stream s;
	struct pr_frame f;
	size_t room;

	pr_stream_init(&s, space, sizeof(space), max);
	memcpy(pr_stream_room(&s, &room), bytes, len);
	pr_stream_added(&s, len);
	for (int i = 0; i < 2; i++) {
		cr_assert_eq(pr_stream_next(&s, &f, &got), want);
		cr_assert_str_eq(s.error, why);
		pr_stream_room(&s, &room);
	}
}

Test(stream, once_broken_it_stays_broken_and_says_why)
{
	uint8_t b[WHOLE], bad[WHOLE];

	build(b);
	expect_broken(b, WHOLE, TEN - 1, -EMSGSIZE, "payload too long");
	memcpy(bad, b, WHOLE);
	bad[WHOLE - 1] ^= 1;
	expect_broken(bad, WHOLE, TEN, -EBADMSG, "payload damaged");
	memcpy(bad, b, WHOLE);
	bad[40] ^= 1;
	expect_broken(bad, WHOLE, TEN, -EBADMSG, "header damaged");
	memset(bad, 'G', WHOLE);
	expect_broken(bad, WHOLE, TEN, -EBADMSG, "not an mdcpair stream");
	memcpy(bad, b, WHOLE);
	pr_store16(bad + 12, 9);
	seal(bad);
	expect_broken(bad, WHOLE, TEN, -EPROTONOSUPPORT, "another protocol version");
	memcpy(bad, b, WHOLE);
	bad[21] = 1;
	seal(bad);
	expect_broken(bad, WHOLE, TEN, -EBADMSG, "reserved header bytes not zero");
}

Test(stream, garbage_never_passes)
{
	struct dice d = {9};
	uint8_t bytes[512];

	for (int i = 0; i < 20000; i++) {
		struct pr_stream s;
		const uint8_t *got;
		struct pr_frame f;
		size_t len = roll_below(&d, sizeof(bytes) + 1);

		for (size_t at = 0; at < len; at++)
			bytes[at] = (uint8_t)roll(&d);
		if (i % 2 && len >= 12)
			pr_store32(bytes + 8, PR_MAGIC);
		pr_stream_init(&s, bytes, sizeof(bytes), PR_PAYLOAD_MAX);
		pr_stream_added(&s, len);
		cr_assert_leq(pr_stream_next(&s, &f, &got), 0);
	}
}

/* ---- status ---- */

Test(status, errors_have_names_and_texts)
{
	cr_assert_str_eq(pr_status_name(0), "OK");
	cr_assert_str_eq(pr_status_name(ENOENT), "ENOENT");
	cr_assert_str_eq(pr_status_text(ENOSPC), "no space left on device");
	cr_assert_str_eq(pr_status_name(PR_E_NOT_ACTIVE), "NOT_ACTIVE");
	cr_assert_str_eq(pr_status_text(PR_E_CLUSTER), "the peer belongs to another cluster");
	cr_assert_str_eq(pr_status_name(999), "?");
	cr_assert_str_eq(pr_status_text(UINT32_MAX), "unknown status");
	for (uint32_t status = 1001; status <= 1009; status++)
		cr_assert_str_neq(pr_status_name(status), "?");
}
