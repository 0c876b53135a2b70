/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The two client ports: listens, accepts, cuts what comes into checked frames, and sends what was
 * queued, once per connection and round. Owns every client connection and its limits; what a frame
 * means is not its business. Garbage costs its sender the connection and a line in the log.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "controller/io/loop.h"
#include "proto/frame.h"

struct ports;

struct ports_config {
	struct loop *loop;
	const char *address;
	uint16_t port[2]; /* access, coordination */
	uint32_t connections_max;
	void (*up)(void *user, uint64_t conn, const char *peer);
	void (*down)(void *user, uint64_t conn);
	void (*frame)(void *user, uint64_t conn, const struct pr_frame *frame,
		      const uint8_t *payload);
	void *user;
};

struct ports_stats {
	uint32_t connections;
	uint64_t accepted, refused, garbage, slow, frames_in, bytes_in, bytes_out, sends;
};

/* 0, or -errno and a sentence. */
int ports_open(const struct ports_config *, struct ports **ret, char *why, size_t why_size);
void ports_free(struct ports *);

/* Queues; a connection that is gone is silently passed over. */
void ports_send(struct ports *, uint64_t conn, const uint8_t *p, uint32_t len);
/* Closes after what was queued before has been sent. No down() follows. */
void ports_close(struct ports *, uint64_t conn);
/* End of a round: one send() for each connection that has something. */
void ports_flush(struct ports *);
void ports_get_stats(const struct ports *, struct ports_stats *ret);
