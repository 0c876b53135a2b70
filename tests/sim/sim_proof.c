/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * I7: who makes himself active was told that the life of his peer which he knows of is over, or has its promise, or stands alone in
 * the record. P1: and was quorate at some time since he was ordered to. What he was told is seen as it comes to him, in this life of
 * his: proofs do not outlive a process.
 */
#include "tests/sim/sim.h"

enum { OVERRIDE_EPOCHS = 65536 }; /* an operator has answered for it */

static void promised(struct sim *s, int node, const struct ctl_event *ev)
{
	struct pr_link_promise m;

	if (pr_link_promise_decode(&m, ev->p, ev->len) < 0 || !m.granted || m.to != node)
		return;
	s->node[node].proof.promised_epoch = m.epoch;
	s->node[node].proof.promised_by = s->node[node].proof.greeted;
}

/* The membership may tell of a life after its first words on the link. */
static void greeted(struct sim *s, int node, const struct ctl_event *ev)
{
	struct pr_link_hello m;

	if (pr_link_hello_decode(&m, ev->p, ev->len) == 0)
		s->node[node].proof.greeted = m.incarnation;
}

void sim_proof_event(struct sim *s, int node, const struct ctl_event *ev)
{
	struct sim_proof *p = &s->node[node].proof;

	if (p->gen != s->node[node].gen)
		*p = (struct sim_proof){.gen = s->node[node].gen};
	if (ev->type == CTL_EV_PEER && ev->incarnation > p->peer) {
		p->peer = ev->incarnation;
		if (p->promised_by < p->peer)
			p->promised_epoch = 0;
	}
	if (ev->type == CTL_EV_LINK_FRAME && ev->frame->type == PR_T_LINK_HELLO)
		greeted(s, node, ev);
	if (ev->type == CTL_EV_PEER)
		p->quorate = ev->quorate;
	if (ev->type == CTL_EV_PROMOTE && s->node[node].role != PR_ROLE_PROMOTING)
		p->was_quorate = p->quorate;
	p->was_quorate |= p->quorate;
	if (ev->type == CTL_EV_FENCE && ev->error == 0) {
		p->told = true;
		if (ev->incarnation > p->fenced)
			p->fenced = ev->incarnation;
	}
	if (ev->type == CTL_EV_LINK_FRAME && ev->frame->type == PR_T_LINK_PROMISE)
		promised(s, node, ev);
}

void sim_proof_cas(struct sim *s, int node, const struct ha_arbiter *expect,
		   const struct ha_arbiter *next)
{
	const struct sim_proof *p = &s->node[node].proof;
	unsigned me = 1u << (node - 1);

	if (ha_role(ctl_ha(s->node[node].ctl)) != PR_ROLE_PROMOTING || next->active != node)
		return;
	if (p->promised_epoch != next->epoch && !p->was_quorate) {
		sim_fail(
			s, "P1",
			"node %d is to be active in epoch %llu, and was not quorate since it was ordered to",
			node, (unsigned long long)next->epoch);
		return;
	}
	if (expect->members == me || next->epoch >= expect->epoch + OVERRIDE_EPOCHS)
		return;
	if (p->gen == s->node[node].gen &&
	    ((p->told && p->fenced >= p->peer) || p->promised_epoch == next->epoch))
		return;
	sim_fail(
		s, "I7",
		"node %d is to be active in epoch %llu, members %u, and has no proof of its peer's end (life %llu, over: %llu) nor its promise",
		node, (unsigned long long)next->epoch, expect->members, (unsigned long long)p->peer,
		(unsigned long long)p->fenced);
}
