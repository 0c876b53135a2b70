/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <criterion/criterion.h>

#include "wire_kinds.h"

enum { LOOPS = 1000000, LONGEST = 512 };

static int accepted;

/* What is accepted is written back as the same bytes: nothing has two encodings. */
static void feed(const struct kind *k, const uint8_t *p, size_t len)
{
	static uint8_t space[LONGEST];
	uint8_t *tight = malloc(len + (len == 0));
	struct pr_buf out = pr_buf_on(space, sizeof(space));
	union any v;

	PR_ASSERT(tight);
	memcpy(tight, p, len);
	if (k->decode(&v, tight, len) == 0) {
		accepted++;
		cr_assert_eq(k->encode(&out, &v), 0, "%s", k->name);
		cr_assert(out.len == len && memcmp(space, p, len) == 0, "%s", k->name);
	}
	free(tight);
}

static void feed_text(const struct kind *k, const uint8_t *p, size_t len)
{
	char text[200];
	struct pr_text t = pr_text_on(text, sizeof(text));

	if (k->type >= 0)
		pr_message_dump((uint16_t)k->type, p, len, &t);
	else
		pr_row_dump(p, len / 2, p + len / 2, len - len / 2, &t);
	cr_assert_eq(strlen(text), t.len);
}

Test(wire_garbage, random_bytes_are_answered_without_harm)
{
	struct dice d = {11};
	uint8_t bytes[96];

	for (int i = 0; i < LOOPS; i++) {
		size_t len = roll_below(&d, sizeof(bytes) + 1);

		for (size_t at = 0; at < len; at++)
			bytes[at] = roll_below(&d, 4) ? 0 : (uint8_t)roll(&d);
		feed(&kinds[roll_below(&d, KINDS)], bytes, len);
	}
	cr_assert_gt(accepted, 1000);
}

static size_t mutate(struct dice *d, uint8_t *p, size_t len)
{
	for (uint32_t n = 1 + roll_below(d, 3); n > 0 && len > 0; n--) {
		size_t at = roll_below(d, (uint32_t)len);

		switch (roll_below(d, 5)) {
		case 0:
			p[at] ^= (uint8_t)(1u << roll_below(d, 8));
			break;
		case 1:
			p[at] = (uint8_t)roll(d);
			break;
		case 2:
			p[at] = roll_below(d, 2) ? 0xff : 0;
			break;
		case 3:
			len = at;
			break;
		default:
			memmove(p + at, p + at + 1, len - at - 1);
			len--;
		}
	}
	return len;
}

Test(wire_garbage, damaged_messages_are_answered_without_harm)
{
	struct maker m = maker_new(12);
	uint8_t sound[LONGEST], bytes[LONGEST];
	const struct kind *k = NULL;
	struct pr_buf out;

	for (int i = 0; i < LOOPS; i++) {
		if (i % 100 == 0) {
			union any v;

			do {
				k = &kinds[roll_below(&m.dice, KINDS)];
				maker_reset(&m);
				k->fill(&m, &v);
				out = pr_buf_on(sound, sizeof(sound));
			} while (k->encode(&out, &v) != 0);
		}
		memcpy(bytes, sound, out.len);
		size_t len = mutate(&m.dice, bytes, out.len);

		feed(k, bytes, len);
		if (i % 16 == 0)
			feed_text(k, bytes, len);
	}
	cr_assert_gt(accepted, 1000);
	maker_free(&m);
}
