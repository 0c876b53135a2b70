/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The heartbeat link over TCP: node 1 listens, node 2 dials, again and again. A connection becomes the
 * link only when its first whole frame is a link_hello of this cluster from the other node, so that a
 * stranger on the port never disturbs the link that stands. One descriptor to poll, whatever is inside.
 * It carries frames; what they say, and whether the peer is believed, is the core's business.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "journal/core/jr.h"
#include "proto/frame.h"
#include "proto/uuid.h"

struct hl;

struct hl_config {
	struct pr_uuid cluster;
	uint8_t node;
	const char *address[2]; /* of node 1 and node 2 */
	uint16_t port;
	uint32_t dead_ms; /* TCP_USER_TIMEOUT */
	void (*up)(void *user, uint64_t conn);
	void (*down)(void *user, uint64_t conn);
	void (*frame)(void *user, uint64_t conn, const struct pr_frame *frame,
		      const uint8_t *payload);
	void (*log)(void *user, int level, const char *text);
	void *user;
};

/* 0, or -errno and a sentence. */
int hl_open(const struct hl_config *, struct hl **ret, char *why, size_t why_size);
void hl_free(struct hl *);
int hl_fd(const struct hl *); /* readable: call hl_run */
void hl_run(struct hl *);

/*
 * Queues p, and behind it without a copy the batch's image; takes over the caller's reference to the
 * batch, which may be NULL.
 */
void hl_send(struct hl *, uint64_t conn, const uint8_t *p, uint32_t len, struct jr_batch *batch);
void hl_close(struct hl *, uint64_t conn); /* after what was queued; no down() follows */
void hl_flush(struct hl *);		   /* end of a round: one sendmsg for all that was queued */
