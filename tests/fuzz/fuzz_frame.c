/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A stream cut into frames. Input: how it is chunked, then pieces: a byte that says how the piece is sealed, a header, a payload.
 * What comes out must not depend on how the bytes came in, and a header that is accepted is written back as it was.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/crc32c.h"
#include "proto/frame.h"
#include "tests/fuzz/fuzz.h"

enum { STREAM_MAX = 1 << 16, FRAMES_MAX = 1024, PAYLOAD_MAX = 8192, SMALL = 96 };

enum { SEAL_CRC = 1, SEAL_MAGIC = 2, SEAL_LENGTH = 4, SEAL_PAYLOAD = 8, SEAL_ZERO = 16 };

struct outcome {
	unsigned int frames;
	uint64_t sum; /* over all headers and payloads */
	int error;
};

static void header_put(uint8_t *at, struct fuzz_in *in)
{
	size_t n;
	const uint8_t *p = fuzz_bytes(in, PR_FRAME_BYTES, &n);

	memset(at, 0, PR_FRAME_BYTES);
	if (n > 0)
		memcpy(at, p, n);
}

/* Makes of a raw header as much of a sound one as seal says. */
static size_t piece_put(uint8_t *at, size_t room, struct fuzz_in *in)
{
	uint8_t seal = fuzz_u8(in);
	const uint8_t *payload;
	size_t n;

	if (room < PR_FRAME_BYTES + PAYLOAD_MAX)
		return 0;
	header_put(at, in);
	payload = fuzz_bytes(in, pr_load16(at + 16) % PAYLOAD_MAX, &n);
	if (n > 0)
		memcpy(at + PR_FRAME_BYTES, payload, n);
	if (seal & SEAL_MAGIC) {
		pr_store32(at + 8, PR_MAGIC);
		pr_store16(at + 12, PR_VERSION);
	}
	if (seal & SEAL_LENGTH)
		pr_store32(at + 16, (uint32_t)n);
	if (seal & SEAL_ZERO)
		memset(at + 21, 0, 3);
	if (seal & SEAL_PAYLOAD)
		pr_store32(at + 4, pr_crc32c(at + PR_FRAME_BYTES, n));
	if (seal & SEAL_CRC)
		pr_store32(at, pr_crc32c(at + 4, PR_FRAME_BYTES - 4));
	return PR_FRAME_BYTES + n;
}

static void check_frame(const struct pr_frame *f, const uint8_t *payload, uint32_t max)
{
	uint8_t header[PR_FRAME_BYTES];
	char text[160];
	struct pr_text t = pr_text_on(text, sizeof(text));
	struct pr_frame back;

	FUZZ_CHECK(f->length <= max);
	pr_frame_encode(header, f, payload);
	FUZZ_CHECK(pr_frame_decode(&back, header, max) == 0);
	FUZZ_CHECK(back.type == f->type && back.length == f->length &&
		   back.payload_crc == f->payload_crc && back.epoch == f->epoch &&
		   back.session == f->session && back.sequence == f->sequence &&
		   back.slot == f->slot && back.status == f->status && back.lsn == f->lsn);
	/* Without a channel the encoder puts the type's own. */
	FUZZ_CHECK(back.channel == f->channel || f->channel == 0);
	pr_frame_dump(&t, f);
	FUZZ_CHECK(strlen(text) == t.len && t.len > 0);
}

static void note(struct outcome *o, const struct pr_frame *f, const uint8_t *payload)
{
	uint8_t header[PR_FRAME_BYTES];

	pr_frame_encode(header, f, payload);
	o->sum = o->sum * 31 + pr_crc32c(header, sizeof(header));
	o->sum = o->sum * 31 + pr_crc32c(payload, f->length);
	o->frames++;
}

/* Takes all frames that are there; a buffer that is too small grows to just what is needed. False: it is over. */
static bool take_frames(struct pr_stream *s, struct outcome *o)
{
	const uint8_t *payload;
	struct pr_frame f;
	size_t need;
	int r;

	for (;;) {
		r = pr_stream_next(s, &f, &payload);
		if (r == 1) {
			check_frame(&f, payload, s->max_payload);
			note(o, &f, payload);
			continue;
		}
		if (r != -ENOBUFS)
			break;
		need = pr_stream_need(s);
		FUZZ_CHECK(need > s->cap && need <= PR_FRAME_BYTES + (size_t)s->max_payload);
		free(pr_stream_move(s, malloc(need), need));
	}
	o->error = r;
	FUZZ_CHECK(r == 0 || (s->error && s->error[0]));
	FUZZ_CHECK(r == 0 || pr_stream_next(s, &f, &payload) == r);
	return r == 0;
}

/* step: how many bytes come at once at most. */
static struct outcome cut(const uint8_t *p, size_t len, size_t cap, size_t step, uint32_t max)
{
	struct outcome o = {0};
	struct pr_stream s;

	pr_stream_init(&s, malloc(cap), cap, max);
	while (len > 0) {
		size_t room, n = len < step ? len : step;
		uint8_t *to = pr_stream_room(&s, &room);

		FUZZ_CHECK(room > 0 && to >= s.buf && to + room <= s.buf + s.cap);
		n = n < room ? n : room;
		memcpy(to, p, n);
		pr_stream_added(&s, n);
		p += n;
		len -= n;
		if (!take_frames(&s, &o))
			break;
	}
	free(s.buf);
	return o;
}

static void one(const uint8_t *p, size_t len)
{
	static uint8_t stream[STREAM_MAX];
	struct fuzz_in in = {p, len};
	size_t step = 1 + (size_t)fuzz_u8(&in) * 3, total = 0, n;
	uint32_t max = fuzz_u8(&in) % 2 ? PAYLOAD_MAX : 64;
	struct outcome whole, parts;

	while (in.left > 0) {
		n = piece_put(stream + total, sizeof(stream) - total, &in);
		if (n == 0)
			break;
		total += n;
	}
	whole = cut(stream, total, PR_FRAME_BYTES + PAYLOAD_MAX, SIZE_MAX, max);
	parts = cut(stream, total, SMALL, step, max);
	FUZZ_CHECK(whole.frames == parts.frames && whole.sum == parts.sum &&
			   whole.error == parts.error,
		   "%u frames and error %d, in parts %u and %d", whole.frames, whole.error,
		   parts.frames, parts.error);
}

FUZZ_TARGET(frame)
