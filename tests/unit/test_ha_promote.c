/* SPDX-License-Identifier: GPL-2.0-or-later */
/* P0-P8, S5 and T9: a promotion, the promise, the heir, the override, and what each refuses. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "ha/core/ha_core.h"
#include "tests/unit/ha_rig.h"

Test(ha_pair, p_a_promotion_writes_arbiter_then_state_then_record_then_serves)
{
	pair_active_alone(3);
	ORDER("preempt", "cas 5 members 1 active 1", "save ALONE 5", "apply 3", "append", "SERVE",
	      "result 0");
	cr_assert_eq(pair.at_lsn, 4);
	cr_assert_eq(pair.saved.history[pair.saved.history_count - 1].first_lsn, 4);
}

Test(ha_pair, p0_no_batch_is_taken_once_the_promotion_began)
{
	struct pr_hash zero = {0};

	pair_start(3, 2);
	pair_boot();
	pair_link_up();
	pair_hello(PR_ROLE_ACTIVE, HA_INSYNC, 4, 0, &zero);
	SAY(SESSION, session, .epoch = 4, .link = 7, .kind = PR_LINK_INSYNC);
	cr_assert(pair_saw("link_session_ok"));
	pair.cas_error = -ETIMEDOUT;
	pair_event((struct ha_event){.type = HA_EV_PROMOTE, .ticket = 1});
	pair_forget();
	pair_give(4, 7, 1, &zero, 0);
	cr_assert(!pair_saw("append") && !pair_saw("link_ack"));
}

Test(ha_pair, p1_without_quorum_or_quarantined_it_refuses)
{
	pair_start(3, 2);
	pair_boot();
	pair_event((struct ha_event){.type = HA_EV_FENCE, .incarnation = 50});
	pair_event((struct ha_event){.type = HA_EV_PEER, .incarnation = 50, .node_up = true});
	pair_event((struct ha_event){.type = HA_EV_PROMOTE});
	cr_assert_eq(pair.result, -EPERM);
	cr_assert(strstr(pair.text, "quor"));
	ha_free(pair.h);
	pair_start(3, 2);
	pair.saved.dstate = HA_QUARANTINED;
	pair_boot();
	pair_fenced();
	pair_event((struct ha_event){.type = HA_EV_PROMOTE});
	cr_assert_eq(pair.result, -EPERM);
	cr_assert(strstr(pair.text, "quarantined"));
}

Test(ha_pair, p2_a_silent_peer_is_not_a_dead_one)
{
	pair_start(3, 2);
	pair_boot();
	pair_event((struct ha_event){.type = HA_EV_PROMOTE});
	cr_assert(pair_saw("ask fence 50"));
	pair_event((struct ha_event){.type = HA_EV_FENCE,
				     .incarnation = 49}); /* of an earlier process */
	pair_wait_ms(6000);
	cr_assert_eq(pair.result, -EPERM);
	cr_assert(!pair_saw("cas 5 members 1 active 1"));
	cr_assert_eq(ha_role(pair.h), PR_ROLE_STANDBY);
}

Test(ha_pair, p2_a_late_fence_lets_a_waiting_promotion_go_on)
{
	pair_start(3, 2);
	pair_boot();
	pair_event((struct ha_event){.type = HA_EV_PROMOTE});
	pair_wait_ms(3000);
	pair_fenced();
	cr_assert_eq(pair.result, 0);
}

Test(ha_pair, p2_the_promise_of_the_peer_is_enough)
{
	struct pr_hash zero = {0};

	pair_start(3, 2);
	pair_boot();
	pair_link_up();
	pair_hello(PR_ROLE_STANDBY, HA_INSYNC, 4, 0, &zero);
	pair_event((struct ha_event){.type = HA_EV_PROMOTE});
	cr_assert(pair_saw("link_promise_ask") && pair.result == 1);
	SAY(PROMISE, promise, .epoch = 4, .to = 1,
	    .granted = 1); /* of another epoch: counts for nothing */
	cr_assert_eq(pair.result, 1);
	SAY(PROMISE, promise, .epoch = 5, .to = 1, .granted = 1);
	cr_assert_eq(pair.result, 0);
}

Test(ha_pair, p2_the_only_member_needs_nobody)
{
	pair_start(1, 1);
	pair_boot();
	pair_event((struct ha_event){.type = HA_EV_PROMOTE});
	cr_assert_eq(pair.result, 0);
}

Test(ha_pair, p3_who_is_not_a_member_refuses_and_names_the_other)
{
	pair_start(2, 2);
	pair_log_of(3);
	pair_boot();
	pair_fenced();
	pair_event((struct ha_event){.type = HA_EV_PROMOTE});
	cr_assert_eq(pair.result, -EPERM);
	cr_assert(strstr(pair.text, "node 2") && strstr(pair.text, "LSN 3") &&
		  strstr(pair.text, "mdcctl override"));
}

/* With three LSNs, where the floor beside the record and the journal itself say how many there must be. */
static void promote_three(uint64_t floor, uint64_t missing)
{
	pair_start(3, 2);
	pair_log_of(3);
	pair.floor = floor;
	pair.missing = missing;
	pair_boot();
	pair_fenced();
	pair_event((struct ha_event){.type = HA_EV_PROMOTE});
}

Test(ha_pair, p3_a_tail_below_the_floor_is_an_old_snapshot)
{
	promote_three(4, 0);
	cr_assert_eq(pair.result, -EPERM);
	cr_assert(strstr(pair.text, "LSN 4 to 4"));
}

/* The journal itself tells of it, when the floor is not yet there. */
Test(ha_pair, p3_what_the_disk_lost_is_missed_until_it_is_there)
{
	promote_three(0, 5);
	cr_assert_eq(pair.result, -EPERM);
	cr_assert(strstr(pair.text, "LSN 4 to 5") && strstr(pair.text, "start node 2"), "%s",
		  pair.text);
}

Test(ha_pair, p3_what_is_there_is_not_missed)
{
	promote_three(3, 3);
	cr_assert_eq(pair.result, 0, "%s", pair.text);
}

/* By `mdcctl override` the pair has gone on without it. */
Test(ha_pair, p3_what_a_later_epoch_has_not_is_not_missed)
{
	struct pr_hash hash;

	pair_start(3, 2);
	pair_log_of(3);
	pair.missing = 9;
	pair_boot();
	hash = pair_tail_hash();
	pair_record(5, 3, 2);
	pair_link_up();
	pair_hello(PR_ROLE_ACTIVE, HA_INSYNC, 5, 3, &hash);
	SAY(SESSION, session, .epoch = 5, .link = 7, .kind = PR_LINK_INSYNC, .base_lsn = 3,
	    .base_hash = pr_hash_bytes(&hash), .goal_lsn = 3);
	pair_fenced();
	pair_event((struct ha_event){.type = HA_EV_PROMOTE});
	cr_assert_eq(pair.result, 0, "%s", pair.text);
}

/* The LUN was copied and the copy put in its place: only the peer knew that the pair had gone on without this one. */
Test(ha_pair, p3_a_record_older_than_what_the_peer_said_is_an_old_one)
{
	struct pr_hash hash;

	pair_start(3, 2);
	pair_log_of(3);
	pair_boot();
	hash = pair_tail_hash();
	pair_link_up();
	pair_hello(PR_ROLE_ACTIVE, HA_DALONE, 5, 3, &hash);
	pair_fenced();
	pair_event((struct ha_event){.type = HA_EV_PROMOTE});
	cr_assert_eq(pair.result, -EPERM);
	cr_assert(strstr(pair.text, "epoch 4, the peer has been in epoch 5"), "%s", pair.text);
}

/* Who writes epochs that were used before would have two logs of one epoch. */
Test(ha_pair, p3_a_record_older_than_this_controller_is_an_old_snapshot)
{
	pair_start(3, 2);
	pair.saved.epoch = pair.saved.log_epoch = 6;
	pair_boot();
	pair_fenced();
	pair_event((struct ha_event){.type = HA_EV_PROMOTE});
	cr_assert_eq(pair.result, -EPERM);
	cr_assert(strstr(pair.text, "epoch 4, this controller has been in epoch 6"), "%s",
		  pair.text);
	cr_assert_eq(pair.saved.epoch, 6);
	pair_event((struct ha_event){.type = HA_EV_OVERRIDE});
	cr_assert_eq(ha_role(pair.h), PR_ROLE_ACTIVE, "%s", pair.text);
	cr_assert_gt(pair.saved.epoch, 6);
}

Test(ha_pair, p3_an_unreadable_arbiter_means_no)
{
	pair_start(3, 2);
	pair_boot();
	pair_fenced();
	pair.arb_error = -EUCLEAN;
	pair_event((struct ha_event){.type = HA_EV_PROMOTE});
	cr_assert_eq(pair.result, -EUCLEAN);
}

Test(ha_pair, p3_a_disk_that_was_lost_is_not_a_new_pair)
{
	pair_start(3, 2);
	memset(&pair.saved, 0, sizeof(pair.saved));
	pair_boot_as(-ENOENT, JR_EMPTY);
	pair_fenced();
	pair_event((struct ha_event){.type = HA_EV_PROMOTE});
	cr_assert_eq(pair.result, -EPERM);
	cr_assert(strstr(pair.text, "new and empty"));
}

Test(ha_pair, p5_fabric_fencing_waits_the_lease_out)
{
	pair_start(3, 2);
	pair.cfg.fabric_fencing = true;
	pair.cfg.takeover_wait_ms = 600;
	pair_boot();
	pair_fenced();
	pair_event((struct ha_event){.type = HA_EV_PROMOTE});
	pair_wait_ms(590);
	cr_assert(!pair_saw("cas 5 members 1 active 1"));
	pair_wait_ms(20);
	cr_assert(pair_saw("cas 5 members 1 active 1"));
}

/* A late write of a former life names this controller alone, while the old active went on with its new life as standby. */
Test(ha_pair, p5_a_record_of_a_former_life_does_not_end_the_lease)
{
	pair_start(3, 2);
	pair.cfg.fabric_fencing = true;
	pair.cfg.takeover_wait_ms = 600;
	pair.arb.epoch = 5;
	pair.arb.members = pair.arb.active = 1;
	pair_boot();
	pair_event((struct ha_event){.type = HA_EV_PROMOTE});
	pair_wait_ms(590);
	cr_assert(!pair_saw("cas 6 members 1 active 1"));
	pair_wait_ms(20);
	cr_assert(pair_saw("cas 6 members 1 active 1"));
}

/* Alone by record and state: nobody stood by anybody since. */
Test(ha_pair, p5_who_was_alone_does_not_wait)
{
	pair_start(1, 1);
	pair.cfg.fabric_fencing = true;
	pair.cfg.takeover_wait_ms = 600;
	pair_boot();
	pair_event((struct ha_event){.type = HA_EV_PROMOTE});
	pair_wait_ms(10);
	cr_assert(pair_saw("cas 5 members 1 active 1"));
}

Test(ha_pair, p6_a_cas_that_timed_out_decides_nothing_until_it_is_known)
{
	pair_start(3, 2);
	pair.hold_cas = true;
	pair_boot();
	pair_fenced();
	pair_event((struct ha_event){.type = HA_EV_PROMOTE});
	pair_event((struct ha_event){.type = HA_EV_ARB_CAS, .error = -ETIMEDOUT});
	pair_wait_ms(10000);
	cr_assert_eq(pair.result, 1);
	cr_assert(!pair_saw("SERVE"));
	pair_event((struct ha_event){.type = HA_EV_ARB_CAS});
	cr_assert_eq(pair.result, 0);
}

Test(ha_pair, p6_a_failed_cas_is_read_back)
{
	pair_start(3, 2);
	pair.cas_error = -EIO;
	pair_boot();
	pair_fenced();
	pair_event((struct ha_event){.type = HA_EV_PROMOTE});
	cr_assert_eq(pair.result, -EAGAIN, "the record is as before: it was not written");
	cr_assert_eq(ha_role(pair.h), PR_ROLE_STANDBY);
}

/* Not at once again: who cannot be read is asked five times a second. */
Test(ha_pair, p6_a_read_back_that_fails_is_tried_again)
{
	unsigned reads;

	pair_start(3, 2);
	pair.hold_cas = true;
	pair_boot();
	pair_fenced();
	pair_event((struct ha_event){.type = HA_EV_PROMOTE});
	pair.arb_error = -EIO;
	pair_event((struct ha_event){.type = HA_EV_ARB_CAS, .error = -EIO});
	reads = pair.arb_reads;
	pair_wait_ms(150);
	cr_assert_eq(pair.arb_reads, reads);
	cr_assert_eq(pair.result, 1, "nobody knows yet");
	pair.arb_error = 0;
	pair_wait_ms(100);
	cr_assert_gt(pair.arb_reads, reads);
	cr_assert_eq(pair.result, -EAGAIN, "the record is as before: it was not written");
}

Test(ha_pair, p7_the_record_waits_for_the_state)
{
	pair_start(3, 2);
	pair.hold_saves = true;
	pair_boot();
	pair_fenced();
	pair_event((struct ha_event){.type = HA_EV_PROMOTE});
	cr_assert(pair_saw("save ALONE 5") && !pair_saw("append") && !pair_saw("SERVE"));
}

Test(ha_pair, t9_an_heir_saves_opens_a_session_and_serves_without_writing_the_record)
{
	pair_standby_in_sync(3);
	SAY(HANDOVER, handover, .epoch = 5, .link = 7, .lsn = 3);
	cr_assert(!pair_saw("save INSYNC 5"), "the record does not name it yet");
	pair.arb.seq++;
	pair.arb.epoch = 5;
	pair.arb.active = 1;
	pair_wait_ms(30);
	cr_assert(pair_saw("save INSYNC 5") && !pair_saw("SERVE"));
	struct pr_hash hash = pair_tail_hash();
	pair_hello(PR_ROLE_STANDBY, HA_INSYNC, 4, 3, &hash);
	cr_assert(pair_saw("session kind 0 base 3"));
	pair_session_ok(3);
	cr_assert(pair_saw("SERVE"));
	cr_assert_eq(ha_mode(pair.h), HA_SYNC);
	for (unsigned i = 0; i < pair.seens; i++)
		cr_assert(strncmp(pair.seen[i], "cas", 3) != 0);
	cr_assert_eq(pair.preempts, 1,
		     "it takes the hold on the LUNs for what it will write later");
}

Test(ha_pair, t9_a_handover_of_another_session_or_tail_is_none)
{
	pair_standby_in_sync(3);
	pair.arb.seq++;
	pair.arb.epoch = 5;
	pair.arb.active = 1;
	SAY(HANDOVER, handover, .epoch = 5, .link = 6, .lsn = 3);
	SAY(HANDOVER, handover, .epoch = 5, .link = 7, .lsn = 2);
	SAY(HANDOVER, handover, .epoch = 6, .link = 7, .lsn = 3);
	pair_wait_ms(100);
	cr_assert(!pair_saw("save INSYNC 5"));
}

static void give_a_vote(void)
{
	struct pr_hash hash = {0};

	pair_start(3, 2);
	pair_boot();
	pair_link_up();
	pair_hello(PR_ROLE_PROMOTING, HA_INSYNC, 4, 0, &hash);
	SAY(PROMISE_ASK, promise_ask, .epoch = 5, .to = 2);
	cr_assert(pair_saw("vote 5 given"));
}

Test(ha_pair, s5_a_vote_binds_until_the_record_reaches_its_epoch)
{
	give_a_vote();
	pair_event((struct ha_event){.type = HA_EV_PROMOTE});
	cr_assert_eq(pair.result, 1);
	pair_wait_ms(1000);
	cr_assert_eq(pair.result, -EPERM);
	cr_assert(strstr(pair.text, "promised"));
	pair_fenced(); /* or `to` is fenced */
	pair_event((struct ha_event){.type = HA_EV_PROMOTE});
	cr_assert_eq(pair.result, 0);
}

/* Who was promised an epoch and cannot use it is asked in turn: else neither would ever be promoted. */
Test(ha_pair, s5_the_peers_own_promise_gives_a_vote_back)
{
	give_a_vote();
	pair_forget();
	pair_event((struct ha_event){.type = HA_EV_PROMOTE});
	cr_assert(pair_saw("link_promise_ask") && !pair_saw("cas 5 members 1 active 1"));
	SAY(PROMISE, promise, .epoch = 5, .to = 1, .granted = 1);
	cr_assert_eq(pair.result, 0);
}

Test(ha_pair, p2_who_is_not_named_any_more_asks_for_no_promise)
{
	struct pr_hash hash = {0};

	pair_start(3, 2);
	pair_boot();
	pair_event((struct ha_event){.type = HA_EV_PROMOTE});
	cr_assert_eq(pair.result, 1);
	pair.arb.seq++;
	pair.arb.epoch = 5;
	pair.arb.members = 2;
	pair_wait_ms(5000); /* it is read again meanwhile */
	pair_link_up();
	pair_hello(PR_ROLE_STANDBY, HA_DALONE, 5, 0, &hash);
	cr_assert(!pair_saw("link_promise_ask"));
	cr_assert_eq(pair.result, -EPERM);
	cr_assert(strstr(pair.text, "names node 2"), "%s", pair.text);
}

Test(ha_pair, s5_of_two_promoters_the_lower_node_wins)
{
	struct pr_hash hash = {0};

	pair_start(3, 2); /* node 1 promotes, node 2 asks */
	pair_boot();
	pair_link_up();
	pair_hello(PR_ROLE_PROMOTING, HA_INSYNC, 4, 0, &hash);
	pair_event((struct ha_event){.type = HA_EV_PROMOTE});
	SAY(PROMISE_ASK, promise_ask, .epoch = 5, .to = 2);
	cr_assert(pair_saw("vote 5 refused"));
	cr_assert_eq(pair.result, 1, "still promoting");
	cr_assert_eq(ha_role(pair.h), PR_ROLE_PROMOTING);
}

Test(ha_pair, cold_start_the_longer_log_does_not_vote_for_the_shorter)
{
	struct pr_hash hash = {0};

	pair_start(3, 2);
	pair_log_of(3);
	pair_boot();
	pair_link_up();
	pair_hello(PR_ROLE_PROMOTING, HA_INSYNC, 4, 2, &hash);
	SAY(PROMISE_ASK, promise_ask, .epoch = 5, .to = 2);
	cr_assert(pair_saw("vote 5 refused"));
	pair_event((struct ha_event){.type = HA_EV_PROMOTE});
	SAY(PROMISE, promise, .epoch = 5, .to = 1, .granted = 1);
	cr_assert_eq(pair.result, 0, "no vote was given that would bind");
}

Test(ha_pair, an_override_jumps_the_epoch_and_is_counted)
{
	pair_start(2, 2);
	pair_log_of(3);
	pair.floor = 9;
	pair_boot();
	pair_peer(50, false, false);
	pair_event((struct ha_event){.type = HA_EV_OVERRIDE, .ticket = 1});
	cr_assert_eq(pair.result, 0, "%s", pair.text);
	cr_assert_eq(pair.arb.epoch, 4 + 65536);
	cr_assert_eq(pair.arb.members, 1);
	cr_assert_eq(pair.saved.overrides, 1);
	pair_wait_ms(1100);
	cr_assert_eq(pair.floor, 4, "the floor is its own now");
}

/* It died before it wrote a floor of its own: epoch 4 began by an override, behind LSN given - 1. */
static void promote_overridden(uint64_t first_lsn, uint64_t floor_epoch)
{
	pair_start(1, 1);
	pair_log_of(3);
	pair.floor = 9;
	pair.floor_epoch = floor_epoch;
	pair.saved.dstate = HA_DALONE;
	pair.saved.history_count = 2;
	pair.saved.history[1] = (struct ha_history){
		.epoch = 4, .first_lsn = first_lsn, .members = 1, .reason = HA_BY_OVERRIDE};
	pair_boot();
	pair_event((struct ha_event){.type = HA_EV_PROMOTE});
}

Test(ha_pair, the_floor_that_an_override_gave_up_binds_nobody)
{
	promote_overridden(4, 3);
	cr_assert_eq(pair.result, 0, "%s", pair.text);
}

Test(ha_pair, what_an_override_kept_is_still_asked_for)
{
	promote_overridden(5, 3);
	cr_assert_eq(pair.result, -EPERM);
	cr_assert(strstr(pair.text, "LSN 4 to 4"), "%s", pair.text);
	pair_end();
	promote_overridden(4, 4);
	cr_assert_eq(pair.result, -EPERM);
	cr_assert(strstr(pair.text, "LSN 4 to 9"), "%s", pair.text);
}

Test(ha_pair, an_active_takes_nothing_before_its_epoch_is_durable)
{
	pair_start(3, 2);
	pair.hold_appends = true;
	pair_boot();
	pair_fenced();
	pair_event((struct ha_event){.type = HA_EV_PROMOTE});
	cr_assert(pair_saw("append") && !pair_saw("SERVE"));
	cr_assert(!ha_can_submit(pair.h));
	pair_event((struct ha_event){.type = HA_EV_APPENDED, .lsn = pair_tail()});
	cr_assert(pair_saw("SERVE") && ha_can_submit(pair.h));
}

/* A link alone may be cut while both live. */
Test(ha_pair, an_override_is_refused_while_the_cluster_sees_the_peer)
{
	for (unsigned i = 0; i < 2; i++) {
		pair_start(2, 2);
		pair_log_of(3);
		pair_boot();
		pair_peer(50, true, true);
		pair_event((struct ha_event){.type = HA_EV_OVERRIDE, .ticket = 1});
		cr_assert_eq(pair.result, -EPERM);
		cr_assert(strstr(pair.text, "node 2 is running"), "%s", pair.text);
		pair_peer(50, i == 0, i == 1);
		pair_event((struct ha_event){.type = HA_EV_OVERRIDE, .ticket = 2});
		cr_assert_eq(pair.result, 0, "%s", pair.text);
		pair_event((struct ha_event){.type = HA_EV_OVERRIDE, .ticket = 3});
		cr_assert_eq(pair.result, -EINVAL);
		pair_end();
	}
}

/* The link spoke to the one that was started last; the cluster tells of the one before it. */
Test(ha_pair, an_override_is_refused_before_the_cluster_has_told_of_who_was_connected)
{
	struct pr_hash hash = {0};

	pair_start(2, 2);
	pair_boot_alone(0, JR_EMPTY);
	pair_link_up();
	pair_hello(PR_ROLE_STANDBY, HA_INSYNC, 4, 0, &hash);
	pair_event((struct ha_event){.type = HA_EV_LINK_DOWN, .conn = pair.conn});
	pair_peer(1, false, false);
	pair_event((struct ha_event){.type = HA_EV_OVERRIDE, .ticket = 1});
	cr_assert_eq(pair.result, -EPERM);
	cr_assert(strstr(pair.text, "node 2 is running"), "%s", pair.text);
	pair_peer(50, false, false);
	pair_event((struct ha_event){.type = HA_EV_OVERRIDE, .ticket = 2});
	cr_assert_eq(pair.result, 0, "%s", pair.text);
}

Test(ha_pair, an_override_is_refused_while_the_peer_is_connected)
{
	struct pr_hash hash = {0};

	pair_start(2, 2);
	pair_boot();
	pair_link_up();
	pair_hello(PR_ROLE_STANDBY, HA_INSYNC, 4, 0, &hash);
	pair_event((struct ha_event){.type = HA_EV_OVERRIDE, .ticket = 1});
	cr_assert_eq(pair.result, -EPERM);
}

Test(ha_pair, p6_a_promoter_whose_key_was_taken_looks_again)
{
	pair_start(3, 2);
	pair.cas_error = -EBADE;
	pair_boot();
	pair_fenced();
	pair_event((struct ha_event){.type = HA_EV_PROMOTE});
	cr_assert_eq(pair.result, -EAGAIN, "%s", pair.text);
	cr_assert_eq(ha_role(pair.h), PR_ROLE_STANDBY);
}

static void heir(void)
{
	pair_standby_in_sync(3);
	SAY(HANDOVER, handover, .epoch = 5, .link = 7, .lsn = 3);
	pair_forget();
}

Test(ha_pair, t9_an_heir_gives_its_promise_back_and_no_other)
{
	heir();
	SAY(HANDOVER, handover, .epoch = 5, .link = 7, .lsn = 3); /* said again */
	SAY(PROMISE_ASK, promise_ask, .epoch = 6, .to = 2);
	cr_assert(pair_saw("vote 6 refused"));
	pair_wait_ms(20);
	pair.arb.seq++;
	pair.arb.epoch = 5;
	pair.arb.active = 1;
	pair_wait_ms(1100);
	cr_assert(pair_saw("save INSYNC 5"), "the refused question changed nothing");
	pair_end();
	heir();
	SAY(PROMISE_ASK, promise_ask, .epoch = 5, .to = 2);
	cr_assert(pair_saw("vote 5 given"));
	pair.arb.seq++;
	pair.arb.epoch = 5;
	pair.arb.active = 1;
	pair_wait_ms(3000);
	cr_assert(!pair_saw("SERVE") && !pair_saw("save INSYNC 5"), "it is heir no more");
}

Test(ha_pair, t9_an_heir_whose_active_died_is_promoted_by_its_own_order)
{
	heir();
	pair_event((struct ha_event){.type = HA_EV_PROMOTE, .ticket = 3});
	cr_assert_neq(ha_role(pair.h), PR_ROLE_ACTIVE);
	pair_fenced();
	pair_wait_ms(1500);
	cr_assert_eq(ha_role(pair.h), PR_ROLE_ACTIVE, "%s", pair.text);
	cr_assert_eq(pair.arb.members, 1);
}

Test(ha_pair, t9_an_heir_goes_back_when_the_record_went_on_without_it)
{
	heir();
	pair.arb.seq++;
	pair.arb.epoch = 6;
	pair.arb.active = pair.arb.members = 2;
	pair_wait_ms(1500);
	cr_assert_eq(ha_role(pair.h), PR_ROLE_STANDBY);
	cr_assert(pair_saw("close") && !pair_saw("SERVE"));
}

/* What is asked of it, where two logs part, is asked of the newest. */
Test(ha_pair, a_history_that_is_full_forgets_the_oldest_epoch)
{
	pair_start(3, 2);
	pair.saved.history_count = HA_HISTORY_MAX;
	for (unsigned i = 0; i < HA_HISTORY_MAX; i++)
		pair.saved.history[i] = (struct ha_history){.epoch = i + 1, .first_lsn = 1};
	pair_log_of(3);
	pair_boot();
	pair_fenced();
	pair_event((struct ha_event){.type = HA_EV_PROMOTE, .ticket = 1});
	cr_assert_eq(ha_role(pair.h), PR_ROLE_ACTIVE, "%s", pair.text);
	cr_assert_eq(pair.saved.history_count, HA_HISTORY_MAX);
	cr_assert_eq(pair.saved.history[0].epoch, 2);
	cr_assert_eq(pair.saved.history[HA_HISTORY_MAX - 2].epoch, HA_HISTORY_MAX);
	cr_assert_eq(pair.saved.history[HA_HISTORY_MAX - 1].epoch, pair.saved.epoch);
}
