/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Messages of every kind, both ways. Input: type u16, then the payload. What a decoder accepts it writes back as the same bytes,
 * in exactly that much room; what it refuses it gives a reason for.
 */
#include <errno.h>
#include <stdlib.h>

#include "tests/fuzz/fuzz.h"
#include "tests/unit/wire_kinds.h"

enum { TEXT_BYTES = 4096 };

/* Parts of messages, which have no number, come by their place in the table. */
static const struct kind *kind_of(uint16_t type)
{
	for (int i = 0; i < KINDS; i++)
		if (kinds[i].type == type)
			return &kinds[i];
	return &kinds[type % KINDS];
}

static void check_text(const struct kind *k, const union any *v)
{
	char text[TEXT_BYTES];
	size_t cap = sizeof(text);

	for (int i = 0; i < 2; i++, cap = 40) {
		struct pr_text t = pr_text_on(text, cap);

		k->dump(&t, v);
		FUZZ_CHECK(t.len < cap && strlen(text) == t.len && !strchr(text, '\n'), "%s",
			   k->name);
	}
}

static void check_accepted(const struct kind *k, const union any *v, const uint8_t *p, size_t len)
{
	uint8_t *out = malloc(len + 1);
	struct pr_buf b = pr_buf_on(out, len);
	union any back;

	FUZZ_CHECK(k->size(v) == len && len >= k->min, "%s", k->name);
	FUZZ_CHECK(k->encode(&b, v) == 0 && b.len == len, "%s", k->name);
	FUZZ_CHECK(len == 0 || memcmp(out, p, len) == 0, "%s has two encodings", k->name);
	FUZZ_CHECK(k->decode(&back, out, len) == 0 && k->same(v, &back), "%s", k->name);
	if (len > 0) {
		b = pr_buf_on(out, len - 1);
		FUZZ_CHECK(k->encode(&b, v) == -EMSGSIZE && b.len == 0 && !b.failed, "%s", k->name);
	}
	check_text(k, v);
	free(out);
}

static void check_by_number(const struct kind *k, int r, const uint8_t *p, size_t len)
{
	char why[256], text[256];
	struct pr_text w = pr_text_on(why, sizeof(why)), t = pr_text_on(text, sizeof(text));
	uint16_t type = (uint16_t)k->type;

	FUZZ_CHECK(pr_message_check(type, p, len) == r, "%s", k->name);
	pr_message_why(type, p, len, &w);
	FUZZ_CHECK((w.len > 0) == (r != 0), "%s: \"%s\"", k->name, why);
	FUZZ_CHECK(pr_message_dump(type, p, len, &t) == r && t.len > 0, "%s", k->name);
}

static void one(const uint8_t *p, size_t len)
{
	const struct kind *k;
	union any v;
	int r;

	if (len < 2)
		return;
	k = kind_of(pr_load16(p));
	p += 2;
	len -= 2;
	r = k->decode(&v, p, len);
	FUZZ_CHECK(r == 0 || r == -EBADMSG, "%s: %d", k->name, r);
	if (r == 0)
		check_accepted(k, &v, p, len);
	if (k->type >= 0)
		check_by_number(k, r, p, len);
}

FUZZ_TARGET(message)
