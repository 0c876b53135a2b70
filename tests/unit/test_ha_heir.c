/* SPDX-License-Identifier: GPL-2.0-or-later */
/* T9 and what may come between: handovers that fit nothing, records that name another, a peer that is back as another life. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include "tests/unit/ha_rig.h"

static void handed(uint64_t epoch)
{
	SAY(HANDOVER, handover, .epoch = epoch, .link = pair.link, .lsn = pair_tail());
}

static void heir(void)
{
	pair_standby_in_sync(3);
	handed(5);
	pair_forget();
}

static bool no_heir(void)
{
	pair_record(5, 3, 1);
	pair_beats_ms(1200);
	return !pair_saw("save INSYNC 5") && ha_role(pair.h) == PR_ROLE_STANDBY;
}

Test(ha_pair, t9_a_handover_waits_for_no_batch_that_is_not_durable)
{
	struct pr_hash hash;

	pair_standby_in_sync(3);
	hash = pair_tail_hash();
	pair.hold_appends = true;
	pair_give(4, 7, 4, &hash, 3);
	handed(5);
	pair_event((struct ha_event){.type = HA_EV_APPENDED, .lsn = 4});
	cr_assert(no_heir());
}

Test(ha_pair, t9_who_is_not_insync_is_no_heir)
{
	pair_standby_resyncing();
	pair.link = 7;
	cr_assert(pair_saw("link_session_ok"));
	handed(5);
	cr_assert(no_heir());
}

Test(ha_pair, t9_who_has_given_a_vote_is_no_heir)
{
	struct pr_hash hash;

	pair_standby_in_sync(3);
	SAY(PROMISE_ASK, promise_ask, .epoch = 5, .to = 2);
	cr_assert(pair_saw("link_promise"));
	hash = pair_tail_hash();
	pair.link = 8;
	SAY(SESSION, session, .epoch = 4, .link = 8, .base_lsn = 3,
	    .base_hash = pr_hash_bytes(&hash), .kind = PR_LINK_INSYNC);
	cr_assert(pair_saw("link_session_ok"));
	handed(5);
	cr_assert(no_heir());
}

/* The record reached the epoch, and it names the heir neither active nor member. */
Test(ha_pair, t9_a_record_that_names_another_ends_the_waiting)
{
	static const uint8_t records[][2] = {{3, 2}, {2, 1}};

	for (unsigned i = 0; i < 2; i++) {
		heir();
		handed(6); /* another one than it is heir of */
		pair_record(5, records[i][0], records[i][1]);
		pair_beats_ms(1200);
		cr_assert(pair_saw("close") && !pair_saw("SERVE"));
		cr_assert(!pair_saw("save INSYNC 5"));
		cr_assert_eq(ha_role(pair.h), PR_ROLE_STANDBY);
		pair_end();
	}
}

Test(ha_pair, t9_an_active_that_is_back_as_another_life_hands_nothing_over)
{
	heir();
	pair_peer(51, true, true);
	pair_beats_ms(100);
	cr_assert(pair_saw("close"));
	cr_assert(no_heir());
}

Test(ha_pair, t9_an_heir_looks_less_often_when_nothing_comes)
{
	unsigned reads;

	heir();
	pair_beats_ms(1100);
	reads = pair.arb_reads;
	pair_beats_ms(1000);
	cr_assert_leq(pair.arb_reads, reads + 7);
	cr_assert_geq(pair.arb_reads, reads + 4);
	pair_record(5, 3, 1);
	pair_beats_ms(300);
	cr_assert(pair_saw("save INSYNC 5"), "it is still heir");
}

Test(ha_pair, t9_an_heir_whose_journal_does_not_reach_the_rows_ends)
{
	heir();
	jr_batch_unref(pair.log[2]);
	pair.log[2] = NULL;
	pair_record(5, 3, 1);
	pair_beats_ms(1200);
	cr_assert(pair_saw("DIE") && strstr(pair.text, "the rows could not be brought up"), "%s",
		  pair.text);
	cr_assert(!pair_saw("SERVE"));
}

/* ---- active, and not serving yet ---- */

static void heir_without_session(void)
{
	heir();
	pair_record(5, 3, 1);
	pair_beats_ms(30);
	cr_assert_eq(ha_role(pair.h), PR_ROLE_ACTIVE);
	cr_assert(!pair_saw("SERVE"));
	pair_forget();
}

static void session(void)
{
	struct pr_hash hash = pair_tail_hash();

	pair_hello(PR_ROLE_STANDBY, HA_INSYNC, 4, 3, &hash);
	cr_assert(pair_saw("session kind 0 base 3"));
}

Test(ha_pair, t9_an_order_to_promote_an_heir_is_done_when_it_serves)
{
	heir_without_session();
	pair_event((struct ha_event){.type = HA_EV_PROMOTE, .ticket = 4});
	cr_assert_eq(pair.result, 1);
	session();
	pair_session_ok(3);
	cr_assert(pair_saw("SERVE"));
	cr_assert_eq(pair.result, 0);
}

/* The former active says so when it is standby: what it was asked before that, it did not answer. */
Test(ha_pair, t9_the_end_of_the_handover_makes_the_heir_ask_again)
{
	heir_without_session();
	handed(4); /* of another epoch */
	cr_assert(!pair_saw("link_hello"));
	handed(5);
	cr_assert(pair_saw("link_hello"));
	session();
	pair_forget();
	handed(5); /* one is offered */
	cr_assert(!pair_saw("link_hello"));
	pair_session_ok(3);
	handed(5);
	cr_assert(!pair_saw("link_hello"));
	cr_assert_eq(ha_mode(pair.h), HA_SYNC);
}

/* Nothing was ever heard of the cluster's membership, so there is nothing of it to wait for. */
Test(ha_pair, t9_an_heir_that_knows_no_membership_goes_on_alone_at_once)
{
	struct pr_hash zero = {0};

	pair_start(3, 2);
	pair.cfg.membership_ms = 60000;
	pair_boot_alone(0, JR_EMPTY);
	pair_link_up();
	pair_hello(PR_ROLE_ACTIVE, HA_INSYNC, 4, 0, &zero);
	pair.link = 7;
	SAY(SESSION, session, .epoch = 4, .link = 7, .kind = PR_LINK_INSYNC);
	handed(5);
	pair_record(5, 3, 1);
	pair_beats_ms(30);
	pair_hello(PR_ROLE_STANDBY, HA_INSYNC, 4, 0, &zero);
	pair_session_ok(0);
	cr_assert(pair_saw("SERVE"));
	pair_event((struct ha_event){.type = HA_EV_LINK_DOWN, .conn = pair.conn});
	pair_wait_ms(30);
	cr_assert_eq(ha_mode(pair.h), HA_ALONE);
}
