/* SPDX-License-Identifier: GPL-2.0-or-later */
/* P2 and S5: proof of the peer's end, promises, and races of a promotion with all that may change meanwhile. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include "tests/unit/ha_rig.h"

static void peer_is(uint8_t role)
{
	struct pr_hash zero = {0};

	pair_link_up();
	pair_hello(role, HA_INSYNC, 4, 0, &zero);
}

static void promise(uint64_t epoch, bool granted)
{
	SAY(PROMISE, promise, .epoch = epoch, .to = pair.cfg.node, .granted = granted,
	    .why = pr_bytes_str(granted ? "" : "it is tired"));
}

static void order(void)
{
	pair_event((struct ha_event){.type = HA_EV_PROMOTE, .ticket = 1});
}

Test(ha_pair, p2_a_fence_that_failed_is_told_with_its_reason)
{
	static const char *const texts[] = {"the switch does not answer", NULL};

	for (unsigned i = 0; i < 2; i++) {
		pair_start(3, 2);
		pair_boot();
		order();
		pair_event((struct ha_event){
			.type = HA_EV_FENCE, .incarnation = 50, .error = -EIO, .text = texts[i]});
		cr_assert(pair_saw("alarm FENCE 1"));
		pair_wait_ms(6000);
		cr_assert_eq(pair.result, -EPERM);
		cr_assert(strstr(pair.text, i == 0 ? texts[0] : "gave no promise"), "%s",
			  pair.text);
		pair_end();
	}
}

Test(ha_pair, p2_a_refused_promise_ends_the_promotion_with_its_reason)
{
	pair_start(3, 2);
	pair_boot();
	peer_is(PR_ROLE_STANDBY);
	order();
	promise(5, false);
	cr_assert_eq(pair.result, -EPERM);
	cr_assert(strstr(pair.text, "it is tired"), "%s", pair.text);
}

/* It is given for the epoch that follows the record, and the record moved. */
Test(ha_pair, p2_a_promise_counts_for_its_epoch_only)
{
	pair_start(3, 2);
	pair.hold_preempts = true;
	pair_boot();
	peer_is(PR_ROLE_STANDBY);
	order();
	promise(5, true);
	cr_assert(pair_saw("preempt"));
	pair_record(5, 3, 2);
	pair_beats_ms(1100);
	pair_event((struct ha_event){.type = HA_EV_PREEMPTED});
	cr_assert(!pair_saw("cas 6 members 1 active 1"));
	pair_beats_ms(6000);
	cr_assert_eq(pair.result, -EPERM);
}

Test(ha_pair, p3_who_is_not_named_any_more_when_the_hold_is_had_writes_nothing)
{
	pair_start(3, 2);
	pair.hold_preempts = true;
	pair_boot();
	pair_fenced();
	order();
	cr_assert(pair_saw("preempt"));
	pair_record(5, 2, 2); /* what the old active had on its way */
	pair_wait_ms(1100);
	pair_event((struct ha_event){.type = HA_EV_PREEMPTED});
	cr_assert_eq(pair.result, -EPERM);
	cr_assert(!pair_saw("cas 6 members 1 active 1"));
}

Test(ha_pair, p4_without_the_hold_no_promotion)
{
	pair_start(3, 2);
	pair.preempt_error = -EBUSY;
	pair_boot();
	pair_fenced();
	order();
	cr_assert_eq(pair.result, -EBUSY);
	cr_assert(!pair_saw("cas 5 members 1 active 1"));
}

Test(ha_pair, p6_a_record_that_moves_on_and_on_ends_the_promotion)
{
	pair_start(3, 2);
	pair.hold_cas = true;
	pair_boot();
	pair_fenced();
	order();
	for (unsigned i = 0; i < 4; i++) {
		cr_assert_eq(pair.result, 1);
		cr_assert_eq(pair_count("cas 5 members 1 active 1"), i + 1);
		pair.arb.seq++; /* still naming both */
		pair_event((struct ha_event){
			.type = HA_EV_ARB_CAS, .error = -ESTALE, .arbiter = &pair.arb});
	}
	cr_assert_eq(pair.result, -EAGAIN);
	cr_assert(strstr(pair.text, "changed by the peer"), "%s", pair.text);
}

/* ---- S5 ---- */

Test(ha_pair, s5_a_vote_given_before_the_record_was_read_binds)
{
	pair_start(3, 2);
	pair.arb_error = -EIO;
	pair_boot();
	peer_is(PR_ROLE_PROMOTING);
	SAY(PROMISE_ASK, promise_ask, .epoch = 5, .to = 2);
	cr_assert(pair_saw("vote 5 given"));
	pair_wait_ms(50);
	pair.arb_error = 0;
	order();
	cr_assert_eq(pair.result, 1, "asks for it back");
	promise(6, true); /* not the one it asked for */
	pair_beats_ms(1100);
	cr_assert_eq(pair.result, -EPERM);
	cr_assert(strstr(pair.text, "epoch 5 was promised to node 2"), "%s", pair.text);
}

/* Of two that are promoted at once, the one with the lower number goes on. */
Test(ha_pair, s5_the_higher_node_gives_way)
{
	pair_start(3, 1);
	pair.cfg.node = pair.saved.node = 2;
	pair_boot();
	peer_is(PR_ROLE_PROMOTING);
	order();
	cr_assert_eq(pair.result, 1);
	SAY(PROMISE_ASK, promise_ask, .epoch = 5, .to = 1);
	cr_assert(pair_saw("vote 5 given"));
	cr_assert_eq(pair.result, -EAGAIN);
	cr_assert(strstr(pair.text, "lower number"), "%s", pair.text);
	cr_assert_eq(ha_role(pair.h), PR_ROLE_STANDBY);
	promise(5, true); /* the answer to the own question, too late */
	cr_assert_neq(ha_role(pair.h), PR_ROLE_PROMOTING);
}

/* Demoted while its own write of the record was under way: it may still land. */
static void demoted_in_the_midst(void)
{
	pair_start(3, 2);
	pair.hold_cas = true;
	pair_boot();
	pair_fenced();
	order();
	cr_assert(pair_saw("cas 5 members 1 active 1"));
	pair_event((struct ha_event){.type = HA_EV_DEMOTE, .ticket = 2});
	cr_assert_eq(pair.result, 0);
	cr_assert_eq(ha_role(pair.h), PR_ROLE_STANDBY);
	pair_forget();
}

Test(ha_pair, s5_no_vote_while_an_own_write_may_still_land)
{
	demoted_in_the_midst();
	pair.incarnation = 51;
	pair_peer(51, true, true);
	peer_is(PR_ROLE_PROMOTING);
	SAY(PROMISE_ASK, promise_ask, .epoch = 5, .to = 2);
	cr_assert(pair_saw("vote 5 refused"));
	pair_record(5, 1, 1); /* it lands */
	pair_event((struct ha_event){.type = HA_EV_ARB_CAS});
	pair.hold_cas = false;
	order();
	cr_assert_eq(pair.result, 0, "%s", pair.text);
	cr_assert_eq(pair.arb.epoch, 6);
}

Test(ha_pair, p6_a_second_promotion_waits_for_the_write_of_the_first)
{
	demoted_in_the_midst();
	order();
	cr_assert(!pair_saw("cas 5 members 1 active 1") && pair.result == 1);
	pair.hold_cas = false;
	pair_event(
		(struct ha_event){.type = HA_EV_ARB_CAS, .error = -ESTALE, .arbiter = &pair.arb});
	cr_assert(pair_saw("cas 5 members 1 active 1"));
	cr_assert_eq(pair.result, 0, "%s", pair.text);
}

Test(ha_pair, p2_a_promise_that_was_not_asked_for_is_none)
{
	pair_start(3, 2);
	pair_boot();
	peer_is(PR_ROLE_STANDBY);
	promise(5, true);
	order();
	cr_assert(pair_saw("link_promise_ask"));
	cr_assert_eq(pair.result, 1, "an earlier one does not count");
	promise(6, true);
	promise(6, false);
	cr_assert_eq(pair.result, 1);
}

Test(ha_pair, p2_a_new_pair_begins_with_a_promise_too)
{
	struct pr_hash zero = {0};

	pair_start(3, 0);
	pair.arb.epoch = 0;
	memset(&pair.saved, 0, sizeof(pair.saved));
	pair_boot_as(-ENOENT, JR_EMPTY);
	pair_link_up();
	pair_hello(PR_ROLE_STANDBY, HA_NEW, 0, 0, &zero);
	order();
	cr_assert(pair_saw("save INSYNC 0") && pair_saw("link_promise_ask"));
	promise(1, true);
	cr_assert_eq(pair.result, 0, "%s", pair.text);
	cr_assert_eq(pair.arb.epoch, 1);
	cr_assert_eq(pair.arb.members, 1);
}
