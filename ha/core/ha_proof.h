/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which life of the peer (its incarnation) is proven over, out of what corosync's group and the fencer say. Pure: what happened goes in, in the
 * order in which it became known, a verdict comes out.
 *
 * A life is over when its own node's corosync saw its process end, when it said that it ends, and when the fencer reports that its node was cut
 * off and it is no member of the group any more. The loss of its node proves nothing. A report is one of the life that was the last known
 * when the request was first heard of: it may come so late that the node has started anew, and is no proof against that life.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { HA_PROOF_REPORT_MS = 10000 }; /* so long a report waits for its victim to leave the group */

enum ha_proof_left {
	HA_PROOF_ENDED, /* its process ended */
	HA_PROOF_SAID,	/* it said so itself */
	HA_PROOF_LOST,	/* its node is lost */
};

enum ha_proof_verdict {
	HA_PROOF_NONE,
	HA_PROOF_DEAD,	/* the last known life is over */
	HA_PROOF_WAITS, /* the report counts when that life leaves */
	HA_PROOF_OLD,	/* the report is of a life before, or nobody can tell */
	HA_PROOF_AGAIN, /* so it is, and the own request is of this life: ask once more */
	HA_PROOF_ALIVE, /* the fencing failed */
};

/* All zero at the start. */
struct ha_proof {
	uint64_t incarnation; /* of the peer, as it last announced itself; 0: never yet */
	bool member;	      /* that life is in the group */
	bool doubtful; /* the life before left without a proof, and no fencing was reported since */
	uint64_t proven;    /* the dead one + 1, 0: none; likewise: */
	uint64_t requested; /* whom a fencing that somebody asked for is to cut off */
	uint64_t own;	    /* whom the one that this controller asked for */
	uint64_t reported;  /* who was cut off, and was a member yet */
	uint64_t reported_ms;
};

/* The peer announced itself. */
void ha_proof_came(struct ha_proof *, uint64_t incarnation);
/* Its life left the group. DEAD or NONE. */
enum ha_proof_verdict ha_proof_gone(struct ha_proof *, enum ha_proof_left, uint64_t now_ms);
/* The fencer was asked, by anybody; may be said again while it is at work. */
void ha_proof_requested(struct ha_proof *);
/* This controller asks, because of that life. */
void ha_proof_own_request(struct ha_proof *, uint64_t incarnation);
/* The fencer reports that it cut the peer's node off: DEAD, WAITS, OLD or AGAIN. */
enum ha_proof_verdict ha_proof_cut(struct ha_proof *, uint64_t now_ms);
/* A fencing failed, whoever asked for it: ALIVE, or NONE where nobody needs it. */
enum ha_proof_verdict ha_proof_not_cut(struct ha_proof *);
/* The own request failed: ALIVE, once, and *incarnation is whom it was for; or NONE. */
enum ha_proof_verdict ha_proof_own_failed(struct ha_proof *, uint64_t *incarnation);
