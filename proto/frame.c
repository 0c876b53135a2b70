/* SPDX-License-Identifier: GPL-2.0-or-later OR LGPL-2.1-or-later */
#include "proto/frame.h"

#include <errno.h>

#include "proto/assert.h"
#include "proto/crc32c.h"
#include "proto/status.h"
#include "proto/wire.h"

#define AT(field) offsetof(struct pr_frame_wire, field)

enum { CRC_FROM = AT(payload_crc), CRC_BYTES = PR_FRAME_BYTES - CRC_FROM };

void pr_frame_encode_crc(uint8_t out[PR_FRAME_BYTES], const struct pr_frame *f,
			 uint32_t payload_crc)
{
	uint8_t channel = f->channel ? f->channel : (uint8_t)pr_type_channel(f->type);

	pr_store32(out + AT(payload_crc), payload_crc);
	pr_store32(out + AT(magic), PR_MAGIC);
	pr_store16(out + AT(version), f->version ? f->version : PR_VERSION);
	pr_store16(out + AT(type), f->type);
	pr_store32(out + AT(length), f->length);
	out[AT(channel)] = channel;
	out[AT(flags)] = 0;
	pr_store16(out + AT(reserved), 0);
	pr_store64(out + AT(epoch), f->epoch);
	pr_store64(out + AT(session), f->session);
	pr_store64(out + AT(sequence), f->sequence);
	pr_store32(out + AT(slot), f->slot);
	pr_store32(out + AT(status), f->status);
	pr_store64(out + AT(lsn), f->lsn);
	pr_store32(out + AT(header_crc), pr_crc32c(out + CRC_FROM, CRC_BYTES));
}

void pr_frame_encode(uint8_t out[PR_FRAME_BYTES], const struct pr_frame *f, const void *payload)
{
	pr_frame_encode_crc(out, f, pr_crc32c(payload, f->length));
}

/* Why this is not a header, or NULL. */
static const char *header_bad(const uint8_t in[PR_FRAME_BYTES])
{
	if (pr_load32(in + AT(magic)) != PR_MAGIC)
		return "not an mdcpair stream";
	if (pr_load32(in + AT(header_crc)) != pr_crc32c(in + CRC_FROM, CRC_BYTES))
		return "header damaged";
	return NULL;
}

static void load_header(struct pr_frame *f, const uint8_t in[PR_FRAME_BYTES])
{
	f->version = pr_load16(in + AT(version));
	f->type = pr_load16(in + AT(type));
	f->length = pr_load32(in + AT(length));
	f->payload_crc = pr_load32(in + AT(payload_crc));
	f->channel = in[AT(channel)];
	f->epoch = pr_load64(in + AT(epoch));
	f->session = pr_load64(in + AT(session));
	f->sequence = pr_load64(in + AT(sequence));
	f->slot = pr_load32(in + AT(slot));
	f->status = pr_load32(in + AT(status));
	f->lsn = pr_load64(in + AT(lsn));
}

/* As pr_frame_decode, with the reason. */
static int decode_header(struct pr_frame *f, const uint8_t in[PR_FRAME_BYTES], uint32_t max_payload,
			 const char **why)
{
	*why = header_bad(in);
	if (*why)
		return -EBADMSG;
	load_header(f, in);
	if (f->version != PR_VERSION) {
		*why = "another protocol version";
		return -EPROTONOSUPPORT;
	}
	if (in[AT(flags)] != 0 || pr_load16(in + AT(reserved)) != 0) {
		*why = "reserved header bytes not zero";
		return -EBADMSG;
	}
	if (f->length > max_payload) {
		*why = "payload too long";
		return -EMSGSIZE;
	}
	return 0;
}

int pr_frame_decode(struct pr_frame *f, const uint8_t in[PR_FRAME_BYTES], uint32_t max_payload)
{
	const char *why;

	return decode_header(f, in, max_payload, &why);
}

int pr_frame_check_payload(const struct pr_frame *f, const uint8_t *payload)
{
	return pr_crc32c(payload, f->length) == f->payload_crc ? 0 : -EBADMSG;
}

size_t pr_frame_begin(struct pr_buf *b)
{
	size_t at = b->len;

	pr_put_zero(b, PR_FRAME_BYTES);
	return at;
}

int pr_frame_end(struct pr_buf *b, size_t at, struct pr_frame *f)
{
	if (b->failed)
		return -EMSGSIZE;
	f->length = (uint32_t)(b->len - at - PR_FRAME_BYTES);
	pr_frame_encode(b->p + at, f, b->p + at + PR_FRAME_BYTES);
	return 0;
}

void pr_frame_dump(struct pr_text *t, const struct pr_frame *f)
{
	const char *name = pr_type_name(f->type);

	if (name)
		pr_text_str(t, name);
	else
		pr_text_printf(t, "type 0x%04x", f->type);
	pr_text_printf(t, " %s epoch=%llu session=%llu slot=%u sequence=%llu",
		       pr_channel_name(f->channel), (unsigned long long)f->epoch,
		       (unsigned long long)f->session, f->slot, (unsigned long long)f->sequence);
	pr_text_printf(t, " lsn=%llu status=%s length=%u", (unsigned long long)f->lsn,
		       pr_status_name(f->status), f->length);
}

uint32_t pr_channel_payload_max(uint8_t channel)
{
	return channel == PR_CH_LINK ? PR_PAYLOAD_MAX_LINK : PR_PAYLOAD_MAX;
}

/* ---- streams ---- */

/* So few bytes are moved to the front rather than read on in a small rest of the buffer. */
enum { STREAM_CHEAP = 1024 };

void pr_stream_init(struct pr_stream *s, void *buf, size_t cap, uint32_t max_payload)
{
	PR_ASSERT(cap >= PR_FRAME_BYTES);
	*s = (struct pr_stream){.buf = buf, .cap = cap, .max_payload = max_payload};
}

size_t pr_stream_need(const struct pr_stream *s)
{
	if (s->end - s->start < PR_FRAME_BYTES)
		return PR_FRAME_BYTES;
	return PR_FRAME_BYTES + (size_t)pr_load32(s->buf + s->start + AT(length));
}

uint8_t *pr_stream_room(struct pr_stream *s, size_t *ret_room)
{
	size_t held = s->end - s->start;

	bool cheap = held <= STREAM_CHEAP && s->start >= s->cap / 2;

	if (s->start > 0 && (held == 0 || cheap || s->cap - s->start < pr_stream_need(s))) {
		memmove(s->buf, s->buf + s->start, held);
		s->start = 0;
		s->end = held;
	}
	*ret_room = s->cap - s->end;
	return s->buf + s->end;
}

void pr_stream_added(struct pr_stream *s, size_t n)
{
	PR_ASSERT(n <= s->cap - s->end);
	s->end += n;
}

static int stream_break(struct pr_stream *s, int r, const char *why)
{
	s->broken = r;
	s->error = why;
	return r;
}

int pr_stream_next(struct pr_stream *s, struct pr_frame *f, const uint8_t **ret_payload)
{
	const uint8_t *at = s->buf + s->start;
	size_t held = s->end - s->start;
	const char *why;
	int r;

	if (s->broken)
		return s->broken;
	if (held < PR_FRAME_BYTES)
		return 0;
	r = decode_header(f, at, s->max_payload, &why);
	if (r)
		return stream_break(s, r, why);
	if (held - PR_FRAME_BYTES < f->length)
		return s->cap - PR_FRAME_BYTES < f->length ? -ENOBUFS : 0;
	if (pr_frame_check_payload(f, at + PR_FRAME_BYTES))
		return stream_break(s, -EBADMSG, "payload damaged");
	*ret_payload = at + PR_FRAME_BYTES;
	s->start += PR_FRAME_BYTES + (size_t)f->length;
	return 1;
}

void *pr_stream_move(struct pr_stream *s, void *buf, size_t cap)
{
	size_t held = s->end - s->start;
	void *old = s->buf;

	PR_ASSERT(cap >= held && cap >= PR_FRAME_BYTES);
	memcpy(buf, s->buf + s->start, held);
	s->buf = buf;
	s->cap = cap;
	s->start = 0;
	s->end = held;
	return old;
}
