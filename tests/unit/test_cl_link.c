/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Connections: which port is taken, which are blocked, silent or damaged, and when they are tried again. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include "tests/unit/cl_rig.h"

Test(cl_core, a_blocked_access_port_costs_a_warning)
{
	struct net *r = net_new();

	r->refuse[at(A, ACCESS)] = true;
	net_down(r, at(A, ACCESS), -ECONNREFUSED);
	net_connect(r, at(A, COORD), PR_ROLE_ACTIVE, 5);
	net_want(r, at(A, COORD), PR_T_SESSION_OPEN);
	net_open_reply(r, at(A, COORD), 5);
	ask_getattr(r, 3, 100);
	net_getattr_reply(r, at(A, COORD), net_want(r, at(A, COORD), PR_T_GETATTR), 5);
	cr_assert_eq(r->dones, 1);
	cr_assert_eq(r->warnings, 0);
	net_pass(r, 2500);
	cr_assert_eq(r->warnings, 1);
	cr_assert(strstr(r->text, "access port of controller 1"));
	net_free(r);
}

Test(cl_core, a_silent_access_port_is_waited_for_a_moment_only)
{
	struct net *r = net_new();

	net_connect(r, at(A, COORD), PR_ROLE_ACTIVE, 5);
	cr_assert(net_quiet(r));
	net_pass(r, 31);
	net_want(r, at(A, COORD), PR_T_SESSION_OPEN);
	net_free(r);
}

Test(cl_core, a_blocked_coordination_port_costs_a_warning)
{
	struct net *r = net_new();

	r->refuse[at(A, COORD)] = true;
	net_down(r, at(A, COORD), -ECONNREFUSED);
	net_connect(r, at(A, ACCESS), PR_ROLE_ACTIVE, 5);
	net_open_reply(r, at(A, ACCESS), 5);
	net_look_away(r);
	net_pass(r, 600);
	/* The lease is renewed on what there is. */
	net_want(r, at(A, ACCESS), PR_T_PING);
	net_pass(r, 2000);
	cr_assert_eq(r->warnings, 1);
	cr_assert(strstr(r->text, "coordination port of controller 1"));
	net_free(r);
}

Test(cl_core, the_access_port_is_taken_when_it_comes_back)
{
	struct net *r = net_new();
	struct net_sent *before;

	net_down(r, at(A, ACCESS), -ECONNREFUSED);
	net_connect(r, at(A, COORD), PR_ROLE_ACTIVE, 5);
	net_want(r, at(A, COORD), PR_T_SESSION_OPEN);
	net_open_reply(r, at(A, COORD), 5);
	ask_getattr(r, 3, 100);
	before = net_want(r, at(A, COORD), PR_T_GETATTR);
	net_pass(r, 10);
	net_connect(r, at(A, ACCESS), PR_ROLE_ACTIVE, 5);
	net_want(r, at(A, ACCESS), PR_T_SESSION_BIND);
	net_bind_reply(r, at(A, ACCESS), 5);
	cr_assert_eq(net_want(r, at(A, ACCESS), PR_T_GETATTR)->f.sequence, before->f.sequence);
	net_free(r);
}

Test(cl_core, a_damaged_frame_means_a_new_connection)
{
	struct net *r = net_serving();
	struct net_sent *before;

	ask_getattr(r, 3, 100);
	before = net_want(r, at(A, ACCESS), PR_T_GETATTR);
	net_down(r, at(A, ACCESS), -EBADMSG);
	cr_assert_eq(r->warnings, 1);
	/* Meanwhile the other port serves. */
	net_want(r, at(A, COORD), PR_T_SESSION_BIND);
	net_bind_reply(r, at(A, COORD), 5);
	cr_assert_eq(net_want(r, at(A, COORD), PR_T_GETATTR)->f.sequence, before->f.sequence);
	net_pass(r, 10);
	net_connect(r, at(A, ACCESS), PR_ROLE_ACTIVE, 5);
	net_want(r, at(A, ACCESS), PR_T_SESSION_BIND);
	net_free(r);
}

Test(cl_core, silence_ends_a_connection)
{
	struct net *r = net_serving();

	net_pass(r, 2900);
	cr_assert_eq(r->drops, 0);
	net_pass(r, 200);
	cr_assert_eq(r->drops, CL_LINKS, "%d", r->drops);
	cr_assert_eq(r->outages, 1);
	net_free(r);
}

Test(cl_core, silence_is_noticed_while_half_of_a_short_lease_is_left)
{
	struct net *r;

	net_lease_ms = 2000;
	r = net_serving();
	net_pass(r, 900);
	cr_assert_eq(r->drops, 0);
	net_pass(r, 200);
	cr_assert_eq(r->drops, CL_LINKS, "%d", r->drops);
	net_free(r);
}

Test(cl_core, reconnecting_backs_off_but_not_for_long)
{
	struct net *r = net_serving();
	struct cl_stats before, after;

	net_kill_peer(r, A);
	net_kill_peer(r, B);
	cl_get_stats(r->cl, &before);
	net_pass(r, 100);
	cl_get_stats(r->cl, &after);
	cr_assert(after.reconnects - before.reconnects >= 12,
		  "each of four links at 5, 15, 35 and 75 ms");
	net_pass(r, 10000);
	before = after;
	cl_get_stats(r->cl, &after);
	cr_assert(after.reconnects - before.reconnects >= 4 * 45 &&
		  after.reconnects - before.reconnects <= 4 * 55);
	net_free(r);
}
