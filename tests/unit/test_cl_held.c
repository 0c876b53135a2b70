/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the client holds: layouts that are recalled, and what a new active is told. */
#include <criterion/criterion.h>
#include "tests/unit/cl_rig.h"

static void recall(struct net *r, int link, uint64_t ino, uint64_t generation, uint64_t epoch)
{
	SAY(r, link, FRAME(.type = PR_T_RECALL, .epoch = epoch), recall, .ino = ino,
	    .generation = generation, .mode = PR_LAYOUT_WRITE);
}

static void grant(struct net *r, int link, const struct net_sent *s, uint64_t generation)
{
	SAY(r, link, net_reply_to(s, 5), layout_get_r, .generation = generation);
}

Test(cl_core, a_recall_that_overtakes_its_grant_kills_it)
{
	struct net *r = net_serving();
	struct net_sent *s;

	ask_layout(r, 3, PR_LAYOUT_WRITE, 100);
	s = net_want(r, at(A, ACCESS), PR_T_LAYOUT_GET);
	recall(r, at(A, COORD), 3, 77, 5);
	cr_assert_eq(r->recalls, 0);
	grant(r, at(A, ACCESS), s, 77);
	cr_assert_eq(r->dones, 1);
	cr_assert_eq(r->recalls, 1);
	cr_assert_eq(r->recall_generation, 77);
	cr_assert_eq(r->recall_after_done, 1);
	net_free(r);
}

Test(cl_core, a_recall_of_an_older_generation_leaves_the_grant_alone)
{
	struct net *r = net_serving();
	struct net_sent *s;

	ask_layout(r, 3, PR_LAYOUT_WRITE, 100);
	s = net_want(r, at(A, ACCESS), PR_T_LAYOUT_GET);
	recall(r, at(A, COORD), 3, 76, 5);
	grant(r, at(A, ACCESS), s, 77);
	cr_assert_eq(r->recalls, 0);
	/* One of its own is delivered, one of somebody else's inode is not. */
	recall(r, at(A, COORD), 4, 78, 5);
	cr_assert_eq(r->recalls, 0);
	recall(r, at(A, COORD), 3, 77, 5);
	cr_assert_eq(r->recalls, 1);
	net_free(r);
}

/* What the session says that it holds when the active of this epoch is told: at most two, by inode. */
static uint32_t told(struct net *r, uint64_t epoch, struct pr_held held[2])
{
	struct pr_session_bind bind;
	struct net_sent *s;
	uint32_t n;

	net_kill_peer(r, A);
	net_look_away(r);
	net_notice(r, at(B, ACCESS), PR_ROLE_ACTIVE, epoch);
	s = net_want(r, at(B, ACCESS), PR_T_SESSION_BIND);
	cr_assert_eq(pr_session_bind_decode(&bind, s->p, s->f.length), 0);
	n = bind.held.count;
	cr_assert_leq(n, 2);
	for (uint32_t i = 0; i < n; i++)
		cr_assert(pr_held_next(&bind.held, &held[i]));
	if (n == 2 && held[0].ino > held[1].ino) {
		struct pr_held swap = held[0];

		held[0] = held[1];
		held[1] = swap;
	}
	return n;
}

Test(cl_core, opens_and_layouts_are_told_to_the_new_active)
{
	struct net *r = net_serving();
	struct pr_held held[2];

	ask_create(r, "x", 100);
	net_create_reply(r, at(A, ACCESS), net_want(r, at(A, ACCESS), PR_T_CREATE), 5, 3);
	ask_create(r, "y", 101);
	net_create_reply(r, at(A, ACCESS), net_want(r, at(A, ACCESS), PR_T_CREATE), 5, 4);
	ask_layout(r, 3, PR_LAYOUT_WRITE, 102);
	grant(r, at(A, ACCESS), net_want(r, at(A, ACCESS), PR_T_LAYOUT_GET), 77);
	/* A get under way is no layout yet. */
	ask_layout(r, 9, PR_LAYOUT_WRITE, 103);
	cr_assert_eq(told(r, 6, held), 2);
	cr_assert_eq(held[0].ino, 3);
	cr_assert_eq(held[0].opens, 1);
	cr_assert_eq(held[0].layout, PR_LAYOUT_WRITE);
	cr_assert_eq(held[0].generation, 77);
	cr_assert_eq(held[1].ino, 4);
	cr_assert_eq(held[1].layout, PR_LAYOUT_NONE);
	net_free(r);
}

/* A create that finds what is no file: the controller counts no open, and nobody would close it. */
Test(cl_core, what_is_no_file_is_not_open)
{
	struct net *r = net_serving();
	struct pr_held held[2];
	struct net_sent *s;
	uint64_t id;

	ask_create(r, "fifo", 100);
	s = net_want(r, at(A, ACCESS), PR_T_CREATE);
	SAY(r, at(A, ACCESS), net_reply_to(s, 5), create_r, .attr = {.ino = 3, .mode = 0010644});
	cr_assert_eq(r->dones, 1);
	id = ask_create(r, "fifo", 101);
	s = net_want(r, at(A, ACCESS), PR_T_CREATE);
	net_step(r, (struct cl_event){.type = CL_EV_CANCEL, .id = id});
	SAY(r, at(A, ACCESS), net_reply_to(s, 5), create_r, .attr = {.ino = 3, .mode = 0010644});
	cr_assert(net_quiet(r), "there is nothing to give back");
	cr_assert_eq(told(r, 6, held), 0);
	net_free(r);
}

/* The active that was told meanwhile knows nothing of the old one: to claim its mode again is to claim what others may have. */
Test(cl_core, a_grant_is_not_joined_with_what_is_being_returned)
{
	struct net *r = net_serving();
	struct net_sent *get, *back;
	struct pr_held held[2];

	ask_layout(r, 3, PR_LAYOUT_WRITE, 100);
	grant(r, at(A, ACCESS), net_want(r, at(A, ACCESS), PR_T_LAYOUT_GET), 77);
	ask_return(r, 3, 77, 101);
	back = net_want(r, at(A, ACCESS), PR_T_LAYOUT_RETURN);
	ask_layout(r, 3, PR_LAYOUT_READ, 102);
	get = net_want(r, at(A, ACCESS), PR_T_LAYOUT_GET);
	grant(r, at(A, ACCESS), get, 78);
	SAY(r, at(A, ACCESS), net_reply_to(back, 5), layout_return_r);
	cr_assert_eq(r->dones, 3);
	cr_assert_eq(told(r, 6, held), 1);
	cr_assert_eq(held[0].ino, 3);
	cr_assert_eq(held[0].layout, PR_LAYOUT_READ);
	cr_assert_eq(held[0].generation, 78);
	net_free(r);
}

/* A recall that comes late finds nothing, and no inode is remembered for it. */
Test(cl_core, what_was_returned_is_held_no_more)
{
	struct net *r = net_serving();
	struct pr_held held[2];

	ask_layout(r, 3, PR_LAYOUT_WRITE, 100);
	grant(r, at(A, ACCESS), net_want(r, at(A, ACCESS), PR_T_LAYOUT_GET), 77);
	ask_return(r, 3, 77, 101);
	SAY(r, at(A, ACCESS), net_reply_to(net_want(r, at(A, ACCESS), PR_T_LAYOUT_RETURN), 5),
	    layout_return_r);
	recall(r, at(A, COORD), 3, 77, 5);
	cr_assert_eq(r->recalls, 0);
	cr_assert_eq(told(r, 6, held), 0);
	net_free(r);
}

/* What it grants may be another's by now: the bind between did not name it. */
Test(cl_core, a_grant_of_an_epoch_before_the_bind_is_none)
{
	struct net *r = net_serving();
	struct net_sent *old;

	ask_layout(r, 3, PR_LAYOUT_WRITE, 100);
	old = net_want(r, at(A, ACCESS), PR_T_LAYOUT_GET);
	net_notice(r, at(A, ACCESS), PR_ROLE_ACTIVE, 7);
	net_want(r, at(A, ACCESS), PR_T_SESSION_BIND);
	net_bind_reply(r, at(A, ACCESS), 7);
	net_want(r, at(A, ACCESS), PR_T_LAYOUT_GET);
	grant(r, at(A, ACCESS), old, 77);
	cr_assert_eq(r->dones, 0, "granted before the promotion");
	SAY(r, at(A, ACCESS), net_reply_to(old, 7), layout_get_r, .generation = 78);
	cr_assert_eq(r->dones, 1);
	net_free(r);
}

static void create_and_open(struct net *r, uint64_t ino)
{
	ask_create(r, "x", 100);
	net_create_reply(r, at(A, ACCESS), net_want(r, at(A, ACCESS), PR_T_CREATE), 5, ino);
}

Test(cl_core, a_close_of_all_opens_leaves_none)
{
	struct pr_close q = {.ino = 3, .opens = 2};
	struct net *r = net_serving();
	struct pr_held held[2];

	create_and_open(r, 3);
	create_and_open(r, 3);
	cr_assert_eq(pr_close_encode(cl_prepare(r->cl, pr_close_size(&q)), &q), 0);
	cl_submit(r->cl, PR_T_CLOSE, 101);
	net_pump(r);
	SAY(r, at(A, ACCESS), net_reply_to(net_want(r, at(A, ACCESS), PR_T_CLOSE), 5), close_r);
	cr_assert_eq(r->dones, 3);
	cr_assert_eq(told(r, 6, held), 0);
	net_free(r);
}

/* More than one bind takes; each part is answered with what it has lost. */
Test(cl_core, each_of_very_many_is_told_once_and_all_losses_are_summed)
{
	enum { MANY = 20000, PARTS = 5 };
	static uint8_t seen[MANY + 1];
	struct net *r = net_serving();
	struct pr_session_bind bind;
	struct pr_held held;
	int serving = r->serving;

	for (uint64_t ino = 1; ino <= MANY; ino++) {
		create_and_open(r, ino);
		r->sents = r->seen = r->dones = 0;
	}
	net_kill_peer(r, A);
	net_look_away(r);
	net_notice(r, at(B, ACCESS), PR_ROLE_ACTIVE, 6);
	for (int part = 1; part <= PARTS; part++) {
		struct net_sent *s = net_want(r, at(B, ACCESS), PR_T_SESSION_BIND);

		cr_assert_eq(pr_session_bind_decode(&bind, s->p, s->f.length), 0);
		cr_assert_eq(bind.flags, part < PARTS ? PR_BIND_MORE : 0);
		while (pr_held_next(&bind.held, &held)) {
			cr_assert(held.ino <= MANY && held.opens == 1);
			cr_assert_eq(seen[held.ino]++, 0);
		}
	}
	for (uint64_t ino = 1; ino <= MANY; ino++)
		cr_assert_eq(seen[ino], 1, "inode %llu is not told", (unsigned long long)ino);
	for (uint32_t part = 1; part <= PARTS; part++) {
		cr_assert_eq(r->serving, serving, "bound before the last part");
		SAY(r, at(B, ACCESS),
		    FRAME(.type = PR_T_SESSION_BIND_R, .epoch = 6, .session = 42,
			  .sequence = r->ask),
		    session_bind_r, .lost = part);
	}
	cr_assert_eq(r->serving, serving + 1);
	cr_assert_eq(r->lost, 1 + 2 + 3 + 4 + 5);
	net_free(r);
}
