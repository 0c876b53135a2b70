/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The session: where it is opened and bound, and how it ends. */
#include <criterion/criterion.h>
#include <errno.h>
#include "tests/unit/cl_rig.h"

Test(cl_core, a_session_is_opened_on_the_access_port_of_the_active)
{
	struct net *r = net_new();

	net_connect(r, at(B, COORD), PR_ROLE_STANDBY, 5);
	net_connect(r, at(A, ACCESS), PR_ROLE_ACTIVE, 5);
	cr_assert_eq(net_want(r, at(A, ACCESS), PR_T_SESSION_OPEN)->f.session, 0);
	cr_assert_eq(r->ready, 0);
	net_open_reply(r, at(A, ACCESS), 5);
	cr_assert_eq(r->ready, 1);
	cr_assert_eq(r->serving, 1);
	net_free(r);
}

Test(cl_core, the_active_dies_before_the_session_is_open)
{
	struct net *r = net_new();

	net_connect(r, at(A, ACCESS), PR_ROLE_ACTIVE, 5);
	net_want(r, at(A, ACCESS), PR_T_SESSION_OPEN);
	net_connect(r, at(B, ACCESS), PR_ROLE_STANDBY, 5);
	net_down(r, at(A, ACCESS), -ECONNRESET);
	cr_assert(net_quiet(r));
	net_notice(r, at(B, ACCESS), PR_ROLE_ACTIVE, 6);
	net_want(r, at(B, ACCESS), PR_T_SESSION_OPEN);
	net_open_reply(r, at(B, ACCESS), 6);
	cr_assert_eq(r->ready, 1);
	net_free(r);
}

Test(cl_core, a_session_opened_where_a_standby_greeted_outlives_a_restart)
{
	struct net *r = net_new();

	net_connect(r, at(A, ACCESS), PR_ROLE_STANDBY, 5);
	net_notice(r, at(A, ACCESS), PR_ROLE_ACTIVE, 6);
	net_want(r, at(A, ACCESS), PR_T_SESSION_OPEN);
	net_open_reply(r, at(A, ACCESS), 6);
	net_down(r, at(A, ACCESS), -ECONNRESET);
	net_pass(r, 20);
	net_connect(r, at(A, ACCESS), PR_ROLE_STANDBY, 6);
	net_notice(r, at(A, ACCESS), PR_ROLE_ACTIVE, 7);
	net_want(r, at(A, ACCESS), PR_T_SESSION_BIND);
	net_free(r);
}

/* The open is answered after another controller opened the session, on a connection that is chosen again. */
Test(cl_core, a_session_is_opened_once)
{
	struct net *r = net_new();
	struct net_sent *open, *q;

	net_connect(r, at(A, ACCESS), PR_ROLE_ACTIVE, 5);
	open = net_want(r, at(A, ACCESS), PR_T_SESSION_OPEN);
	net_connect(r, at(B, ACCESS), PR_ROLE_STANDBY, 5);
	net_notice(r, at(B, ACCESS), PR_ROLE_ACTIVE, 6);
	net_want(r, at(B, ACCESS), PR_T_SESSION_OPEN);
	net_open_reply(r, at(B, ACCESS), 6);
	ask_create(r, "x", 100);
	q = net_want(r, at(B, ACCESS), PR_T_CREATE);
	cr_assert_eq(q->f.sequence, 1);
	net_notice(r, at(A, ACCESS), PR_ROLE_ACTIVE, 7);
	net_want(r, at(A, ACCESS), PR_T_SESSION_BIND);
	SAY(r, at(A, ACCESS), net_reply_to(open, 7), session_open_r, .session = 42, .slots = 4,
	    .key = 9, .root = 1, .block_bytes = 4096);
	cr_assert_eq(r->ready, 1);
	cr_assert_eq(r->serving, 1);
	net_bind_reply(r, at(A, ACCESS), 7);
	cr_assert_eq(r->serving, 2);
	net_create_reply(r, at(A, ACCESS), net_want(r, at(A, ACCESS), PR_T_CREATE), 7, 3);
	cr_assert_eq(r->dones, 1);
	ask_create(r, "y", 101);
	cr_assert_eq(net_want(r, at(A, ACCESS), PR_T_CREATE)->f.sequence, 2);
	net_free(r);
}

/* A bind in two parts is answered late, when the session is bound there anew: that is half an answer, not a whole one. */
Test(cl_core, an_answer_to_an_older_bind_is_none)
{
	struct net *r = net_serving();
	struct net_sent *old;

	net_notice(r, at(B, ACCESS), PR_ROLE_ACTIVE, 6);
	old = net_want(r, at(B, ACCESS), PR_T_SESSION_BIND);
	net_notice(r, at(B, ACCESS), PR_ROLE_ACTIVE, 7);
	net_want(r, at(B, ACCESS), PR_T_SESSION_BIND);
	SAY(r, at(B, ACCESS), net_reply_to(old, 7), session_bind_r, .lost = 0);
	cr_assert_eq(r->serving, 1);
	net_bind_reply(r, at(B, ACCESS), 7);
	cr_assert_eq(r->serving, 2);
	net_free(r);
}

/* The pings on a link from this frame on that name the bind of this sequence. */
static int pings_behind(const struct net *r, int link, int from, uint64_t sequence)
{
	int n = 0;

	for (; from < r->sents; from++)
		n += r->sent[from].link == link && r->sent[from].f.type == PR_T_PING &&
		     r->sent[from].f.sequence == sequence;
	return n;
}

/* It names its bind when all that is unanswered has been sent again on that connection: the controller waits for that. */
Test(cl_core, a_ping_says_behind_which_bind_all_was_asked_again)
{
	struct net *r = net_serving();
	uint64_t bind;
	int from;

	ask_create(r, "x", 100);
	net_want(r, at(A, ACCESS), PR_T_CREATE);
	net_notice(r, at(B, ACCESS), PR_ROLE_ACTIVE, 6);
	bind = net_want(r, at(B, ACCESS), PR_T_SESSION_BIND)->f.sequence;
	from = r->sents;
	net_pass(r, 600);
	cr_assert(pings_behind(r, at(B, ACCESS), from, 0) > 0);
	for (int i = 0; i < CL_LINKS; i++)
		cr_assert_eq(pings_behind(r, i, from, bind), 0, "it is not bound yet");
	net_look_away(r);
	net_bind_reply(r, at(B, ACCESS), 6);
	from = r->seen;
	net_want(r, at(B, ACCESS), PR_T_CREATE);
	cr_assert_eq(pings_behind(r, at(B, ACCESS), from, bind), 1);
	cr_assert_eq(pings_behind(r, at(B, ACCESS), r->seen, bind), 1, "behind the create");
	cr_assert_eq(pings_behind(r, at(B, COORD), from, 0), 1, "nothing is in order there");
	from = r->sents;
	net_pass(r, 600);
	cr_assert_eq(pings_behind(r, at(B, ACCESS), from, bind), 1, "if that came too early");
	cr_assert_eq(pings_behind(r, at(B, COORD), from, 0), 1);
	net_free(r);
}

Test(cl_core, the_new_active_dies_while_the_session_is_being_bound)
{
	struct net *r = net_serving();
	struct net_sent *before, *after;

	ask_create(r, "x", 100);
	before = net_want(r, at(A, ACCESS), PR_T_CREATE);
	r->refuse[at(A, ACCESS)] = r->refuse[at(A, COORD)] = false;
	net_down(r, at(A, COORD), -ECONNRESET);
	net_down(r, at(A, ACCESS), -ECONNRESET);
	net_notice(r, at(B, ACCESS), PR_ROLE_ACTIVE, 6);
	net_want(r, at(B, ACCESS), PR_T_SESSION_BIND);
	net_pass(r, 20);
	net_connect(r, at(A, ACCESS), PR_ROLE_STANDBY, 6);
	net_kill_peer(r, B);
	net_notice(r, at(A, ACCESS), PR_ROLE_ACTIVE, 7);
	net_want(r, at(A, ACCESS), PR_T_SESSION_BIND);
	net_bind_reply(r, at(A, ACCESS), 7);
	after = net_want(r, at(A, ACCESS), PR_T_CREATE);
	cr_assert_eq(after->f.sequence, before->f.sequence);
	net_free(r);
}

Test(cl_core, a_switchover_needs_no_lost_connection)
{
	struct net *r = net_serving();

	net_notice(r, at(A, COORD), PR_ROLE_STANDBY, 5);
	cr_assert_eq(r->outages, 1);
	ask_getattr(r, 3, 100);
	cr_assert(net_quiet(r));
	net_notice(r, at(B, COORD), PR_ROLE_ACTIVE, 6);
	net_want(r, at(B, ACCESS), PR_T_SESSION_BIND);
	net_bind_reply(r, at(B, ACCESS), 6);
	net_want(r, at(B, ACCESS), PR_T_GETATTR);
	net_free(r);
}

Test(cl_core, the_higher_epoch_is_the_active_though_the_old_one_still_says_so)
{
	struct net *r = net_serving();
	struct net_sent *s;

	ask_getattr(r, 3, 100);
	s = net_want(r, at(A, ACCESS), PR_T_GETATTR);
	net_notice(r, at(B, COORD), PR_ROLE_ACTIVE, 6);
	net_want(r, at(B, ACCESS), PR_T_SESSION_BIND);
	/* What the old one still answers is of a lower epoch. */
	net_getattr_reply(r, at(A, ACCESS), s, 5);
	cr_assert_eq(r->dones, 0);
	net_bind_reply(r, at(B, ACCESS), 6);
	net_getattr_reply(r, at(A, ACCESS), s, 5);
	cr_assert_eq(r->dones, 0);
	net_notice(r, at(A, COORD), PR_ROLE_ACTIVE, 5);
	net_getattr_reply(r, at(B, ACCESS), net_want(r, at(B, ACCESS), PR_T_GETATTR), 6);
	cr_assert_eq(r->dones, 1);
	net_free(r);
}

Test(cl_core, an_epoch_that_grows_in_place_binds_anew_and_asks_again)
{
	struct net *r = net_serving();
	struct net_sent *s;

	ask_getattr(r, 3, 100);
	s = net_want(r, at(A, ACCESS), PR_T_GETATTR);
	net_notice(r, at(A, COORD), PR_ROLE_ACTIVE, 6);
	net_want(r, at(A, ACCESS), PR_T_SESSION_BIND);
	net_getattr_reply(r, at(A, ACCESS), s, 5);
	cr_assert_eq(r->dones, 0);
	net_bind_reply(r, at(A, ACCESS), 6);
	s = net_want(r, at(A, ACCESS), PR_T_GETATTR);
	net_getattr_reply(r, at(A, ACCESS), s, 6);
	cr_assert_eq(r->dones, 1);
	net_free(r);
}

Test(cl_core, eviction_ends_everything_with_estale)
{
	struct net *r = net_serving();

	ask_getattr(r, 3, 100);
	SAY(r, at(A, COORD), FRAME(.type = PR_T_EVICTED, .epoch = 5), evicted, .session = 42,
	    .reason = pr_bytes_str("its lease ended"));
	cr_assert_eq(r->evicted, 1);
	cr_assert_str_eq(r->text, "its lease ended");
	cr_assert_eq(r->dones, 1);
	cr_assert_eq(r->done[0].error, -ESTALE);
	ask_getattr(r, 3, 101);
	cr_assert_eq(r->dones, 2);
	cr_assert_eq(r->done[1].error, -ESTALE);
	net_free(r);
}

/* It was decided by who is active no more, and perhaps never committed. */
Test(cl_core, an_eviction_of_an_epoch_that_is_over_is_none)
{
	struct net *r = net_serving();

	net_notice(r, at(B, ACCESS), PR_ROLE_ACTIVE, 6);
	net_want(r, at(B, ACCESS), PR_T_SESSION_BIND);
	net_bind_reply(r, at(B, ACCESS), 6);
	SAY(r, at(A, COORD), FRAME(.type = PR_T_EVICTED, .epoch = 5), evicted, .session = 42,
	    .reason = pr_bytes_str("its lease ended"));
	cr_assert_eq(r->evicted, 0);
	net_free(r);
}

/* Its successor is away, and what it has committed is not here. */
Test(cl_core, an_active_of_an_epoch_that_is_over_is_not_bound_to)
{
	struct net *r = net_serving();

	net_notice(r, at(B, ACCESS), PR_ROLE_ACTIVE, 6);
	net_want(r, at(B, ACCESS), PR_T_SESSION_BIND);
	net_bind_reply(r, at(B, ACCESS), 6);
	net_look_away(r);
	net_kill_peer(r, B);
	net_notice(r, at(A, ACCESS), PR_ROLE_ACTIVE, 5);
	cr_assert(net_quiet(r));
	net_notice(r, at(A, ACCESS), PR_ROLE_ACTIVE, 7);
	net_want(r, at(A, ACCESS), PR_T_SESSION_BIND);
	net_free(r);
}

Test(cl_core, a_session_that_is_gone_at_its_binding_is_evicted)
{
	struct net *r = net_serving();
	struct net_sent *s;

	ask_getattr(r, 3, 100);
	net_kill_peer(r, A);
	net_look_away(r);
	net_notice(r, at(B, ACCESS), PR_ROLE_ACTIVE, 6);
	s = net_want(r, at(B, ACCESS), PR_T_SESSION_BIND);
	net_error_reply(r, at(B, ACCESS), s, 6, PR_E_BAD_SESSION);
	cr_assert_eq(r->evicted, 1);
	cr_assert_eq(r->done[0].error, -ESTALE);
	net_free(r);
}

Test(cl_core, a_volume_mounted_elsewhere_is_refused_by_name)
{
	struct net *r = net_new();

	net_connect(r, at(A, ACCESS), PR_ROLE_ACTIVE, 5);
	net_error_reply(r, at(A, ACCESS), net_want(r, at(A, ACCESS), PR_T_SESSION_OPEN), 5,
			PR_E_MOUNTED);
	cr_assert_eq(r->failed, -EBUSY);
	cr_assert_str_eq(r->text, "because");
	net_free(r);
}

Test(cl_core, a_session_is_closed_when_its_requests_are_answered)
{
	struct net *r = net_serving();
	struct net_sent *s;

	ask_getattr(r, 3, 100);
	s = net_want(r, at(A, ACCESS), PR_T_GETATTR);
	net_step(r, (struct cl_event){.type = CL_EV_CLOSE});
	net_pump(r);
	cr_assert(net_quiet(r));
	net_getattr_reply(r, at(A, ACCESS), s, 5);
	s = net_want(r, at(A, ACCESS), PR_T_SESSION_CLOSE);
	net_say(r, at(A, ACCESS), &FRAME(.type = PR_T_SESSION_CLOSE_R, .epoch = 5), NULL, 0);
	cr_assert_eq(r->closed, 1);
	cr_assert_eq(cl_wake_ms(r->cl), UINT64_MAX);
	net_free(r);
}
