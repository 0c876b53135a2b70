/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which life of the peer (its incarnation) is proven over, out of what corosync's group and the fencer say. Pure: what happened goes in, in
 * the order in which it became known, a verdict comes out.
 *
 * A life is over when its own node's corosync saw its process end, when it said that it ends, and when the fencer reports that its node was
 * cut off and it is no member of the group any more. The loss of its node proves nothing. A report is one of the life that was the last
 * known when the request was first heard of: it may come so late that the node has started anew, and is no proof against that life. Where
 * nobody can tell whose it is, the fencer is asked once more, and only the end of that request counts.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum {
	HA_PROOF_REPORT_MS = 10000, /* so long a report waits for its victim to leave the group */
	HA_PROOF_LATE_MS =
		600000, /* so long after a life that left without a proof a report may be of that */
};

enum ha_proof_left {
	HA_PROOF_ENDED, /* its process ended */
	HA_PROOF_SAID,	/* it said so itself */
	HA_PROOF_LOST,	/* its node is lost */
};

enum ha_proof_verdict {
	HA_PROOF_NONE,
	HA_PROOF_DEAD,	/* the last known life is over */
	HA_PROOF_WAITS, /* the report counts when that life leaves */
	HA_PROOF_OLD,	/* nobody can tell whether the report is of this life */
	HA_PROOF_AGAIN, /* so it is, and a proof is wanted: ask the fencer once more */
	HA_PROOF_ALIVE, /* the fencing failed */
};

/* All zero at the start. */
struct ha_proof {
	uint64_t incarnation; /* of the peer, as it last announced itself; 0: never yet */
	bool member;	      /* that life is in the group */
	bool again;	      /* only the end of the own request counts */
	uint64_t late_ms;     /* until then a report may be of a life before */
	uint64_t proven;      /* the dead one + 1, 0: none; likewise: */
	uint64_t requested;   /* whom a fencing that somebody asked for is to cut off */
	uint64_t own;	      /* whom the one that this controller asked for */
	uint64_t reported;    /* who was cut off, and was a member yet */
	uint64_t reported_ms;
	uint64_t dropped; /* at whose time a report was no proof */
};

/* The peer announced itself. Times are in ms, of one clock that does not go back. */
void ha_proof_came(struct ha_proof *, uint64_t incarnation, uint64_t now_ms);
/* Its life left the group: DEAD, AGAIN or NONE. */
enum ha_proof_verdict ha_proof_gone(struct ha_proof *, enum ha_proof_left, uint64_t now_ms);
/* The fencer was asked, by anybody; may be said again while it is at work. */
void ha_proof_requested(struct ha_proof *);
/* This controller asks, because of that life. */
void ha_proof_own_request(struct ha_proof *, uint64_t incarnation, uint64_t now_ms);
/* The fencer reports that the peer's node was cut off, whoever asked for it: DEAD, WAITS, OLD or AGAIN. */
enum ha_proof_verdict ha_proof_cut(struct ha_proof *, uint64_t now_ms);
/* The own request was carried out: DEAD, WAITS or AGAIN, or NONE where ha_proof_cut says it. */
enum ha_proof_verdict ha_proof_own_done(struct ha_proof *, uint64_t now_ms);
/* A fencing failed, whoever asked for it: ALIVE, or NONE where nobody needs it. */
enum ha_proof_verdict ha_proof_not_cut(struct ha_proof *);
/* The own request failed: ALIVE, once, and *incarnation is whom it was for; or NONE. */
enum ha_proof_verdict ha_proof_own_failed(struct ha_proof *, uint64_t *incarnation);
