/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A real cluster's side of the pair: corosync says who is there and whether this node is quorate, Pacemaker's fencer proves
 * who is dead. Brings the facts that the embedded supervisor brings otherwise, and takes the same wishes. It believes nothing
 * that it did not see in this life, and decides nothing.
 *
 * What counts as proof that a life of the peer (its incarnation) is over:
 *   - its own node's corosync saw its process end (PROCDOWN: every descriptor of the process is closed), or it said that it
 *     ends, as its last act (LEAVE);
 *   - the fencer reports that the peer's node was cut off, while that life is no member of the group any more; a report that
 *     comes while it still is one waits for it to leave. One that may be of a life before is none (ha/core/ha_proof.h).
 * The loss of its node is none.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/uuid.h"

struct cluster;

struct cluster_config {
	struct pr_uuid cluster;
	uint8_t node;	      /* 1 or 2 */
	uint64_t incarnation; /* of this process, grows with each start */
	const char *
		resource; /* the Pacemaker resource this controller is an instance of; NULL: none */
	const char *helper; /* path of mdcd-pacemaker */
	/* The peer: its last known incarnation (0: never seen), is its process in the group, its node, are we quorate. */
	void (*peer)(void *user, uint64_t incarnation, bool process, bool node, bool quorate);
	/* The fencer was asked for the peer's node, by whomever. May come more than once; proves nothing. */
	void (*fence_asked)(void *user);
	/* error 0: that incarnation is proven dead; else the fencing that was asked for failed. */
	void (*fenced)(void *user, uint64_t incarnation, int error, const char *text);
	/* corosync is gone, or this is no pair: end the process now. */
	void (*gone)(void *user, const char *why);
	void (*log)(void *user, int level, const char *text);
	void *user;
};

/* Joins: 0, or -errno and a sentence. From here on the peer knows this process. Facts come by cluster_run only. */
int cluster_open(const struct cluster_config *, struct cluster **ret, char *why, size_t why_size);
/* said: this process ends in order, and has no descriptor of a LUN or journal left: nobody need report its death. */
void cluster_close(struct cluster *, bool said); /* NULL is fine */

/* How long after its last word a node may still be held for a member, in ms: corosync's token and consensus. */
uint32_t cluster_membership_ms(const struct cluster *);

int cluster_fd(const struct cluster *); /* readable: call cluster_run */
void cluster_run(struct cluster *);

/* A hint for Pacemaker; 0: never promote. Written when the cluster has time for it; at once when it falls. */
void cluster_score(struct cluster *, int score);
/* Cut the peer's node off, if that incarnation is not proven dead yet; answered by fenced(). */
void cluster_ask_fence(struct cluster *, uint64_t incarnation);
