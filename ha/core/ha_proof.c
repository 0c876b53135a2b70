/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ha/core/ha_proof.h"

static enum ha_proof_verdict dead(struct ha_proof *p)
{
	p->reported = p->own = p->late_ms = 0;
	p->again = false;
	p->proven = p->incarnation + 1;
	return HA_PROOF_DEAD;
}

static enum ha_proof_verdict ask_again(struct ha_proof *p)
{
	p->own = p->incarnation + 1;
	p->again = true;
	return HA_PROOF_AGAIN;
}

static enum ha_proof_verdict cut_off(struct ha_proof *p, uint64_t now_ms)
{
	if (!p->member)
		return dead(p);
	p->reported = p->incarnation + 1;
	p->reported_ms = now_ms;
	return HA_PROOF_WAITS;
}

/* What a fencing of this life that failed says: the next report is of somebody who knows that, an operator's confirmation. */
static void own_over(struct ha_proof *p)
{
	p->own = p->late_ms = 0;
	p->again = false;
}

void ha_proof_came(struct ha_proof *p, uint64_t incarnation, uint64_t now_ms)
{
	if (incarnation != p->incarnation) {
		if (p->incarnation && p->proven != p->incarnation + 1)
			p->late_ms = now_ms + HA_PROOF_LATE_MS;
		p->dropped = 0;
	}
	p->incarnation = incarnation;
	p->member = true;
	p->reported = 0; /* who speaks after it was cut off, was not */
}

enum ha_proof_verdict ha_proof_gone(struct ha_proof *p, enum ha_proof_left how, uint64_t now_ms)
{
	bool cut =
		p->reported == p->incarnation + 1 && now_ms - p->reported_ms < HA_PROOF_REPORT_MS;

	p->member = false;
	p->reported = 0;
	if (how != HA_PROOF_LOST || cut)
		return dead(p);
	return p->dropped == p->incarnation + 1 && !p->again ? ask_again(p) : HA_PROOF_NONE;
}

void ha_proof_requested(struct ha_proof *p)
{
	if (!p->requested)
		p->requested = p->incarnation + 1;
}

void ha_proof_own_request(struct ha_proof *p, uint64_t incarnation, uint64_t now_ms)
{
	p->own = incarnation + 1;
	p->again |= now_ms < p->late_ms;
	ha_proof_requested(p);
}

enum ha_proof_verdict ha_proof_cut(struct ha_proof *p, uint64_t now_ms)
{
	uint64_t requested = p->requested;
	bool of_this =
		requested ? requested == p->incarnation + 1 : !p->member && now_ms >= p->late_ms;

	p->requested = 0;
	if (of_this && !p->again)
		return cut_off(p, now_ms);
	p->dropped = p->incarnation + 1;
	if (p->again || (p->member && p->own != p->incarnation + 1))
		return HA_PROOF_OLD;
	return ask_again(p);
}

enum ha_proof_verdict ha_proof_own_done(struct ha_proof *p, uint64_t now_ms)
{
	if (!p->again)
		return HA_PROOF_NONE;
	p->again = false;
	if (p->own == p->incarnation + 1)
		return cut_off(p, now_ms);
	return p->member ? HA_PROOF_NONE : ask_again(p);
}

enum ha_proof_verdict ha_proof_not_cut(struct ha_proof *p)
{
	p->requested = 0;
	if (p->member || p->proven == p->incarnation + 1)
		return HA_PROOF_NONE;
	if (p->own == p->incarnation + 1)
		own_over(p);
	return HA_PROOF_ALIVE;
}

enum ha_proof_verdict ha_proof_own_failed(struct ha_proof *p, uint64_t *incarnation)
{
	if (!p->own)
		return HA_PROOF_NONE;
	*incarnation = p->own - 1;
	p->requested = 0;
	own_over(p);
	return HA_PROOF_ALIVE;
}
