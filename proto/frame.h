/* SPDX-License-Identifier: GPL-2.0-or-later OR LGPL-2.1-or-later */
/*
 * A frame: 64 bytes of header, then the payload, on every stream between controllers, clients and
 * tools. Owns the header's layout, its checks, and the cutting of a byte stream into frames; never
 * reads or writes a socket. README.md has the header by byte offsets.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/cursor.h"
#include "proto/text.h"

#define PR_MAGIC	    0x5043444d /* "MDCP" */
#define PR_VERSION	    1
#define PR_FRAME_BYTES	    64
#define PR_PAYLOAD_MAX	    ((1u << 20) + (64u << 10)) /* client channels */
#define PR_PAYLOAD_MAX_LINK (8u << 20)		       /* between the controllers */

/* As it stands on the wire, all little-endian. */
struct pr_frame_wire {
	uint32_t header_crc; /* CRC-32C of bytes 4..63 */
	uint32_t payload_crc;
	uint32_t magic;
	uint16_t version;
	uint16_t type;
	uint32_t length; /* of the payload */
	uint8_t channel;
	uint8_t flags; /* reserved */
	uint16_t reserved;
	uint64_t epoch;
	uint64_t session;
	uint64_t sequence;
	uint32_t slot;
	uint32_t status;
	uint64_t lsn;
};

#define PR_AT(field, offset) \
	_Static_assert(offsetof(struct pr_frame_wire, field) == offset, #field " moved")
PR_AT(header_crc, 0);
PR_AT(payload_crc, 4);
PR_AT(magic, 8);
PR_AT(version, 12);
PR_AT(type, 14);
PR_AT(length, 16);
PR_AT(channel, 20);
PR_AT(flags, 21);
PR_AT(reserved, 22);
PR_AT(epoch, 24);
PR_AT(session, 32);
PR_AT(sequence, 40);
PR_AT(slot, 48);
PR_AT(status, 52);
PR_AT(lsn, 56);
#undef PR_AT
_Static_assert(sizeof(struct pr_frame_wire) == PR_FRAME_BYTES, "frame header size");

struct pr_frame {
	uint16_t version; /* 0 when encoding: PR_VERSION */
	uint16_t type;
	uint32_t length;      /* payload bytes */
	uint32_t payload_crc; /* set by decode; encode computes it */
	uint8_t channel;      /* 0 when encoding: the type's own */
	uint64_t epoch;
	uint64_t session;
	uint64_t sequence;
	uint32_t slot;
	uint32_t status; /* 0, an errno value, or PR_E_*; then the payload of a reply is pr_error */
	uint64_t lsn;
};

/* Fills out for f->length bytes at payload. */
void pr_frame_encode(uint8_t out[PR_FRAME_BYTES], const struct pr_frame *f, const void *payload);
/* The same when the payload's CRC-32C is already known. */
void pr_frame_encode_crc(uint8_t out[PR_FRAME_BYTES], const struct pr_frame *f,
			 uint32_t payload_crc);

/*
 * 0; -EBADMSG: not a frame or damaged; -EPROTONOSUPPORT: a sound header of another version, *f is
 * filled so that it can be answered; -EMSGSIZE: the payload is longer than max_payload, *f is filled.
 */
int pr_frame_decode(struct pr_frame *f, const uint8_t in[PR_FRAME_BYTES], uint32_t max_payload);
/* 0 or -EBADMSG. payload holds f->length bytes. */
int pr_frame_check_payload(const struct pr_frame *f, const uint8_t *payload);

/* A frame built in place: at = begin, encode the message, end. end sets f->length. */
size_t pr_frame_begin(struct pr_buf *b);
/* 0; -EMSGSIZE when the buffer failed. */
int pr_frame_end(struct pr_buf *b, size_t at, struct pr_frame *f);

/* "create access epoch=1 session=2 ..." */
void pr_frame_dump(struct pr_text *t, const struct pr_frame *f);

/* The most payload a channel carries. */
uint32_t pr_channel_payload_max(uint8_t channel);

/*
 * Cuts a stream into frames in a buffer of the caller's. Bytes are read straight into the buffer and
 * frames are handed out where they lie; only the beginning of an unfinished frame ever moves.
 *
 *	size_t room;
 *	uint8_t *to = pr_stream_room(&s, &room);
 *	n = read(fd, to, room);
 *	pr_stream_added(&s, n);
 *	while ((r = pr_stream_next(&s, &f, &payload)) == 1)
 *		...			payload stays valid until the next pr_stream_room
 *	r == 0: read more; -ENOBUFS: pr_stream_move to a buffer of pr_stream_need bytes, then go on;
 *	else close the connection, s.error says why
 */
struct pr_stream {
	uint8_t *buf;
	size_t cap, start, end; /* unread bytes are buf[start..end) */
	uint32_t max_payload;
	int broken; /* the errno, negative, that ended it */
	const char *error;
};

/* cap of at least PR_FRAME_BYTES; PR_FRAME_BYTES + max_payload never answers -ENOBUFS. */
void pr_stream_init(struct pr_stream *s, void *buf, size_t cap, uint32_t max_payload);
/* Where the next bytes go and how many fit; never 0 after a next that returned 0. */
uint8_t *pr_stream_room(struct pr_stream *s, size_t *ret_room);
void pr_stream_added(struct pr_stream *s, size_t n);
/* 1: a whole, checked frame; 0: more bytes are needed; or as pr_frame_decode, for good. */
int pr_stream_next(struct pr_stream *s, struct pr_frame *f, const uint8_t **ret_payload);
/* The buffer size that the frame at hand needs. */
size_t pr_stream_need(const struct pr_stream *s);
/* Goes on in another buffer, which holds at least the unread bytes; returns the old one. */
void *pr_stream_move(struct pr_stream *s, void *buf, size_t cap);
