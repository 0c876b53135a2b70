/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When the peer was heard last, missed, and proven dead: for the times of a promotion. Decides nothing. */
#pragma once

#include <stdint.h>

struct edge;

/* ms of CLOCK_BOOTTIME, 0: not so. */
struct edge_loss {
	uint64_t heard_ms;	 /* its last frame before it was missed */
	uint64_t missed_ms;	 /* its link, its process or its node */
	uint64_t gone_ms;	 /* the membership has its process or its node no more */
	uint64_t fence_asked_ms; /* by whomever */
	uint64_t dead_ms;	 /* the proof of that was there */
};

void edge_peer_heard(struct edge *, uint16_t type); /* type: of a frame on the link */
void edge_peer_missed(struct edge *);
void edge_peer_gone(struct edge *);
void edge_peer_fence_asked(struct edge *);
void edge_peer_dead(struct edge *);

/* This controller is active now: what was noted belongs to this promotion, and the log gets its times. */
void edge_promoted(struct edge *);
/* And a client was answered. */
void edge_first_reply(struct edge *);
