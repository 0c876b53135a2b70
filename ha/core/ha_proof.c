/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ha/core/ha_proof.h"

static enum ha_proof_verdict dead(struct ha_proof *p)
{
	p->reported = p->own = 0;
	p->proven = p->incarnation + 1;
	return HA_PROOF_DEAD;
}

void ha_proof_came(struct ha_proof *p, uint64_t incarnation)
{
	if (incarnation != p->incarnation)
		p->doubtful |= p->incarnation && p->proven != p->incarnation + 1;
	p->incarnation = incarnation;
	p->reported = 0; /* who speaks after it was cut off, was not */
	p->member = true;
}

enum ha_proof_verdict ha_proof_gone(struct ha_proof *p, enum ha_proof_left how, uint64_t now_ms)
{
	bool cut =
		p->reported == p->incarnation + 1 && now_ms - p->reported_ms < HA_PROOF_REPORT_MS;

	p->member = false;
	p->reported = 0;
	return how != HA_PROOF_LOST || cut ? dead(p) : HA_PROOF_NONE;
}

void ha_proof_requested(struct ha_proof *p)
{
	if (!p->requested)
		p->requested = p->incarnation + 1;
}

void ha_proof_own_request(struct ha_proof *p, uint64_t incarnation)
{
	p->own = incarnation + 1;
	ha_proof_requested(p);
}

enum ha_proof_verdict ha_proof_cut(struct ha_proof *p, uint64_t now_ms)
{
	uint64_t requested = p->requested;
	bool doubtful = p->doubtful || p->member;

	p->requested = 0;
	p->doubtful = false;
	if (requested ? requested != p->incarnation + 1 : doubtful) {
		if (p->own != p->incarnation + 1)
			return HA_PROOF_OLD;
		ha_proof_requested(p);
		return HA_PROOF_AGAIN;
	}
	if (!p->member)
		return dead(p);
	p->reported = p->incarnation + 1;
	p->reported_ms = now_ms;
	return HA_PROOF_WAITS;
}

enum ha_proof_verdict ha_proof_not_cut(struct ha_proof *p)
{
	p->requested = 0;
	if (p->member || p->proven == p->incarnation + 1)
		return HA_PROOF_NONE;
	if (p->own == p->incarnation + 1)
		p->own = 0;
	return HA_PROOF_ALIVE;
}

enum ha_proof_verdict ha_proof_own_failed(struct ha_proof *p, uint64_t *incarnation)
{
	if (!p->own)
		return HA_PROOF_NONE;
	*incarnation = p->own - 1;
	p->own = p->requested = 0;
	return HA_PROOF_ALIVE;
}
