/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Requests: slots and sequences, sent again after a failover, cancelled, and answered once. */
#include <criterion/criterion.h>
#include <errno.h>
#include "tests/unit/cl_rig.h"

Test(cl_core, each_request_takes_a_slot_and_its_next_sequence)
{
	struct net *r = net_serving();
	struct net_sent *first, *second;

	ask_getattr(r, 3, 100);
	ask_getattr(r, 4, 101);
	first = net_want(r, at(A, ACCESS), PR_T_GETATTR);
	second = net_want(r, at(A, ACCESS), PR_T_GETATTR);
	cr_assert_neq(first->f.slot, second->f.slot);
	cr_assert_eq(first->f.sequence, 1);
	cr_assert_eq(first->f.session, 42);
	net_getattr_reply(r, at(A, ACCESS), first, 5);
	cr_assert_eq(r->dones, 1);
	cr_assert_eq(r->done[0].tag, 100);
	cr_assert_eq(r->done[0].error, 0);
	ask_getattr(r, 5, 102);
	second = net_want(r, at(A, ACCESS), PR_T_GETATTR);
	cr_assert_eq(second->f.slot, first->f.slot);
	cr_assert_eq(second->f.sequence, 2);
	net_free(r);
}

Test(cl_core, more_requests_than_slots_wait_for_one)
{
	struct net *r = net_serving();
	struct net_sent *first;

	for (uint64_t i = 0; i < 5; i++)
		ask_getattr(r, 3, 100 + i);
	first = net_want(r, at(A, ACCESS), PR_T_GETATTR);
	for (int i = 0; i < 3; i++)
		net_want(r, at(A, ACCESS), PR_T_GETATTR);
	cr_assert(net_quiet(r));
	net_getattr_reply(r, at(A, ACCESS), first, 5);
	cr_assert_eq(net_want(r, at(A, ACCESS), PR_T_GETATTR)->f.sequence, 2);
	net_free(r);
}

Test(cl_core, after_a_failover_the_same_sequence_is_sent_again)
{
	struct net *r = net_serving();
	struct net_sent *before, *after;

	ask_create(r, "x", 100);
	before = net_want(r, at(A, ACCESS), PR_T_CREATE);
	net_kill_peer(r, A);
	cr_assert_eq(r->outages, 1);
	net_pass(r, 50);
	cr_assert(net_quiet(r));
	net_notice(r, at(B, COORD), PR_ROLE_ACTIVE, 6);
	cr_assert_eq(net_want(r, at(B, ACCESS), PR_T_SESSION_BIND)->f.session, 42);
	cr_assert(net_quiet(r), "nothing may be sent before the session is bound");
	net_bind_reply(r, at(B, ACCESS), 6);
	after = net_want(r, at(B, ACCESS), PR_T_CREATE);
	cr_assert_eq(after->f.slot, before->f.slot);
	cr_assert_eq(after->f.sequence, before->f.sequence);
	cr_assert_eq(after->f.epoch, 6);
	net_create_reply(r, at(B, ACCESS), after, 6, 11);
	cr_assert_eq(r->dones, 1);
	cr_assert_eq(r->done[0].error, 0);
	net_free(r);
}

Test(cl_core, requests_made_during_the_outage_wait)
{
	struct net *r = net_serving();

	net_kill_peer(r, A);
	ask_getattr(r, 3, 100);
	net_pass(r, 60000);
	cr_assert_eq(r->dones, 0);
	/* The idle standby was dropped for its silence; it comes back, active. */
	if (!r->conn[at(B, ACCESS)])
		net_pass(r, 1000);
	for (int i = 0; i < CL_PORTS; i++)
		if (r->conn[at(B, i)])
			net_up(r, at(B, i));
	net_look_away(r);
	net_hello(r, at(B, ACCESS), PR_ROLE_ACTIVE, 6);
	net_want(r, at(B, ACCESS), PR_T_SESSION_BIND);
	net_bind_reply(r, at(B, ACCESS), 6);
	net_getattr_reply(r, at(B, ACCESS), net_want(r, at(B, ACCESS), PR_T_GETATTR), 6);
	cr_assert_eq(r->dones, 1);
	cr_assert_eq(r->done[0].error, 0);
	net_free(r);
}

Test(cl_core, a_reply_that_comes_twice_counts_once)
{
	struct net *r = net_serving();
	struct cl_stats stats;
	struct net_sent *s;

	ask_getattr(r, 3, 100);
	s = net_want(r, at(A, ACCESS), PR_T_GETATTR);
	net_getattr_reply(r, at(A, ACCESS), s, 5);
	net_getattr_reply(r, at(A, ACCESS), s, 5);
	cr_assert_eq(r->dones, 1);
	/* Nor does it answer the slot's next request. */
	ask_getattr(r, 4, 101);
	net_getattr_reply(r, at(A, ACCESS), s, 5);
	cr_assert_eq(r->dones, 1);
	cl_get_stats(r->cl, &stats);
	cr_assert_eq(stats.late_replies, 2);
	net_free(r);
}

Test(cl_core, busy_is_tried_again_with_the_same_sequence)
{
	struct net *r = net_serving();
	struct net_sent *first, *again;

	ask_getattr(r, 3, 100);
	first = net_want(r, at(A, ACCESS), PR_T_GETATTR);
	net_error_reply(r, at(A, ACCESS), first, 5, PR_E_BUSY);
	cr_assert_eq(r->dones, 0);
	cr_assert(net_quiet(r));
	net_pass(r, 10);
	again = net_want(r, at(A, ACCESS), PR_T_GETATTR);
	cr_assert_eq(again->f.sequence, first->f.sequence);
	net_getattr_reply(r, at(A, ACCESS), again, 5);
	cr_assert_eq(r->dones, 1);
	net_free(r);
}

Test(cl_core, an_error_of_the_namespace_is_the_callers)
{
	struct net *r = net_serving();

	ask_getattr(r, 3, 100);
	net_error_reply(r, at(A, ACCESS), net_want(r, at(A, ACCESS), PR_T_GETATTR), 5, ENOENT);
	cr_assert_eq(r->dones, 1);
	cr_assert_eq(r->done[0].error, -ENOENT);
	net_free(r);
}

Test(cl_core, not_active_is_no_answer)
{
	struct net *r = net_serving();
	struct net_sent *first;

	ask_getattr(r, 3, 100);
	first = net_want(r, at(A, ACCESS), PR_T_GETATTR);
	net_error_reply(r, at(A, ACCESS), first, 5, PR_E_NOT_ACTIVE);
	cr_assert_eq(r->dones, 0);
	cr_assert_eq(r->outages, 1);
	net_notice(r, at(B, ACCESS), PR_ROLE_ACTIVE, 6);
	net_bind_reply(r, at(B, ACCESS), 6);
	net_want(r, at(B, ACCESS), PR_T_SESSION_BIND);
	cr_assert_eq(net_want(r, at(B, ACCESS), PR_T_GETATTR)->f.sequence, first->f.sequence);
	net_free(r);
}

Test(cl_core, a_cancelled_request_keeps_its_slot_until_its_reply)
{
	struct net *r = net_serving();
	struct cl_stats stats;
	struct net_sent *s;
	uint64_t id = ask_getattr(r, 3, 100);

	s = net_want(r, at(A, ACCESS), PR_T_GETATTR);
	net_step(r, (struct cl_event){.type = CL_EV_CANCEL, .id = id});
	cr_assert_eq(r->dones, 1);
	cr_assert_eq(r->done[0].error, -EINTR);
	cl_get_stats(r->cl, &stats);
	cr_assert_eq(stats.in_flight, 1);
	ask_getattr(r, 4, 101);
	cr_assert_neq(net_want(r, at(A, ACCESS), PR_T_GETATTR)->f.slot, s->f.slot);
	net_getattr_reply(r, at(A, ACCESS), s, 5);
	cr_assert_eq(r->dones, 1);
	cl_get_stats(r->cl, &stats);
	cr_assert_eq(stats.in_flight, 1);
	ask_getattr(r, 4, 102);
	cr_assert_eq(net_want(r, at(A, ACCESS), PR_T_GETATTR)->f.sequence, 2);
	net_free(r);
}

Test(cl_core, a_cancelled_request_is_sent_again_after_a_failover_too)
{
	struct net *r = net_serving();
	struct net_sent *s;
	uint64_t id = ask_create(r, "x", 100);

	s = net_want(r, at(A, ACCESS), PR_T_CREATE);
	net_step(r, (struct cl_event){.type = CL_EV_CANCEL, .id = id});
	net_kill_peer(r, A);
	net_notice(r, at(B, ACCESS), PR_ROLE_ACTIVE, 6);
	net_bind_reply(r, at(B, ACCESS), 6);
	net_want(r, at(B, ACCESS), PR_T_SESSION_BIND);
	cr_assert_eq(net_want(r, at(B, ACCESS), PR_T_CREATE)->f.sequence, s->f.sequence);
	net_free(r);
}

Test(cl_core, the_open_of_a_cancelled_create_is_given_back)
{
	struct net *r = net_serving();
	struct pr_close q;
	struct net_sent *s;
	uint64_t id = ask_create(r, "x", 100);

	s = net_want(r, at(A, ACCESS), PR_T_CREATE);
	net_step(r, (struct cl_event){.type = CL_EV_CANCEL, .id = id});
	net_create_reply(r, at(A, ACCESS), s, 5, 11);
	s = net_want(r, at(A, ACCESS), PR_T_CLOSE);
	cr_assert_eq(pr_close_decode(&q, s->p, s->f.length), 0);
	cr_assert_eq(q.ino, 11);
	cr_assert_eq(q.opens, 1);
	net_free(r);
}

Test(cl_core, a_cancelled_open_is_given_back)
{
	struct net *r = net_serving();
	struct pr_open open = {.ino = 11};
	struct pr_close q;
	struct net_sent *s;
	uint64_t id;

	cr_assert_eq(pr_open_encode(cl_prepare(r->cl, pr_open_size(&open)), &open), 0);
	id = cl_submit(r->cl, PR_T_OPEN, 100);
	net_pump(r);
	s = net_want(r, at(A, ACCESS), PR_T_OPEN);
	net_step(r, (struct cl_event){.type = CL_EV_CANCEL, .id = id});
	SAY(r, at(A, ACCESS), net_reply_to(s, 5), open_r, .attr = {.ino = 11});
	s = net_want(r, at(A, ACCESS), PR_T_CLOSE);
	cr_assert_eq(pr_close_decode(&q, s->p, s->f.length), 0);
	cr_assert_eq(q.ino, 11);
	cr_assert_eq(q.opens, 1);
	net_free(r);
}

Test(cl_core, a_request_without_a_slot_is_cancelled_for_good)
{
	struct net *r = net_serving();
	uint64_t id;

	net_kill_peer(r, A);
	id = ask_getattr(r, 3, 100);
	net_step(r, (struct cl_event){.type = CL_EV_CANCEL, .id = id});
	cr_assert_eq(r->done[0].error, -EINTR);
	net_notice(r, at(B, ACCESS), PR_ROLE_ACTIVE, 6);
	net_bind_reply(r, at(B, ACCESS), 6);
	net_want(r, at(B, ACCESS), PR_T_SESSION_BIND);
	cr_assert(net_quiet(r));
	net_free(r);
}
