/* SPDX-License-Identifier: GPL-2.0-or-later */
/* T2 to T4: a peer that is lost, half lost, back too late or with too little. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include "tests/unit/ha_rig.h"

static void down(void)
{
	pair_event((struct ha_event){.type = HA_EV_LINK_DOWN, .conn = pair.conn});
}

static void back(enum ha_dstate dstate, uint64_t store_lsn)
{
	struct pr_hash hash = pair_tail_hash();

	pair_hello_of((struct pr_link_hello){.role = PR_ROLE_STANDBY,
					     .dstate = (uint8_t)dstate,
					     .epoch = 5,
					     .log_epoch = 5,
					     .tail_lsn = pair_tail(),
					     .store_lsn = store_lsn,
					     .tail_hash = pr_hash_bytes(&hash)},
		      NULL, 0);
}

/* The only member is promoted without a fence; then the peer takes part. */
static void sync_without_a_fence(void)
{
	pair_start(1, 1);
	pair_boot();
	pair_event((struct ha_event){.type = HA_EV_PROMOTE});
	pair_comes_in_sync();
	pair_forget();
}

Test(ha_pair, t4_a_lost_node_waits_for_a_fence_of_its_present_life)
{
	sync_without_a_fence();
	pair_peer(50, false, false);
	pair_wait_ms(3000);
	cr_assert_eq(ha_mode(pair.h), HA_FROZEN);
	pair_event((struct ha_event){.type = HA_EV_FENCE, .incarnation = 49});
	pair_wait_ms(3000);
	cr_assert_eq(ha_mode(pair.h), HA_FROZEN);
	pair_event((struct ha_event){.type = HA_EV_FENCE, .incarnation = 50});
	cr_assert_eq(ha_mode(pair.h), HA_ALONE);
}

/* As where the cluster has no fence device, and nobody is asked. */
Test(ha_pair, a_lost_node_that_nobody_fences_is_an_alarm)
{
	sync_without_a_fence();
	pair_peer(50, false, false);
	pair_wait_ms(19000);
	cr_assert(!pair_saw("alarm FENCE 1"));
	pair_wait_ms(2000);
	cr_assert(pair_saw("alarm FENCE 1"));
	pair_event((struct ha_event){.type = HA_EV_FENCE, .incarnation = 50});
	cr_assert(pair_saw("alarm FENCE 0"));
	pair_forget();
	pair_wait_ms(30000);
	cr_assert(!pair_saw("alarm FENCE 1"));
}

Test(ha_pair, a_node_of_which_nothing_was_ever_seen_is_not_lost)
{
	pair_start(1, 1);
	pair_boot_alone(0, JR_EMPTY);
	pair_peer(0, false, false);
	pair_wait_ms(30000);
	cr_assert(!pair_saw("alarm FENCE 1"));
}

Test(ha_pair, a_fence_that_failed_is_an_alarm_until_the_peer_is_there_again)
{
	sync_without_a_fence();
	pair_peer(50, false, false);
	pair_event((struct ha_event){.type = HA_EV_FENCE, .incarnation = 50, .error = -EIO});
	cr_assert(pair_saw("alarm FENCE 1"));
	pair_peer(50, false, true);
	cr_assert(!pair_saw("alarm FENCE 0"));
	pair_peer(51, true, true);
	cr_assert(pair_saw("alarm FENCE 0"));
}

Test(ha_pair, replies_wait_for_a_lapsed_lease_and_go_on_with_it)
{
	uint64_t sent;

	pair_active_sync();
	sent = pair.now;
	pair_submit();
	pair_ack(pair_tail());
	pair_forget();
	pair_beats_ms(600); /* it lives, and has answered no heartbeat of this session since */
	cr_assert(!ha_may_reply(pair.h, pair.now));
	SAY(BEAT, beat, .epoch = pair.epoch, .link = pair.link, .echo_ms = sent + 50);
	cr_assert(!pair_saw("committed"), "that one is too old");
	pair_beat_back();
	cr_assert(pair_saw("committed"));
	cr_assert(ha_may_reply(pair.h, pair.now));
}

/* ---- T3 ---- */

Test(ha_pair, t3_a_peer_that_is_outdated_or_has_no_rows_is_no_member_any_more)
{
	for (unsigned i = 0; i < 3; i++) {
		pair_freeze = true;
		pair_active_sync();
		down();
		pair_link_up();
		pair_forget();
		back(i == 0 ? HA_OUTDATED : HA_INSYNC, i == 1 ? UINT64_MAX : 0);
		cr_assert_eq(pair_saw("session kind 0 base 4"), i == 2);
		cr_assert_eq(ha_mode(pair.h), HA_FROZEN);
		pair_end();
	}
}

Test(ha_pair, t3_an_offer_that_nobody_answers_ends_the_connection)
{
	pair_freeze = true;
	pair_active_sync();
	down();
	pair_link_up();
	back(HA_INSYNC, 0);
	pair_forget();
	pair_beats_ms(900);
	cr_assert(!pair_saw("close"));
	pair_beats_ms(200);
	cr_assert(pair_saw("close"));
	cr_assert_eq(ha_mode(pair.h), HA_FROZEN);
}

/* It is connected when its turn is over, and the session is being opened: it is waited for. */
Test(ha_pair, t3_an_offer_made_late_keeps_the_active_from_going_on_alone)
{
	pair_membership_ms = 2000;
	pair_active_sync();
	down();
	pair_wait_ms(300);
	pair_link_up();
	pair_beats_ms(600);
	back(HA_INSYNC, 0);
	cr_assert(pair_saw("session kind 0 base 4"));
	pair_beats_ms(500);
	cr_assert(!pair_saw("cas 6 members 1 active 1"));
	pair_session_ok(4);
	cr_assert_eq(ha_mode(pair.h), HA_SYNC);
}

/* The peer has all of it, and only the own disk is late: the session brought nothing because nothing lacked. */
Test(ha_pair, t3_a_session_that_had_nothing_to_bring_is_followed_by_another)
{
	pair_membership_ms = 2000;
	pair_active_sync();
	pair.hold_appends = true;
	pair_submit();
	for (unsigned i = 0; i < 2; i++) {
		pair_forget();
		down();
		pair_link_up();
		back(HA_INSYNC, 0);
		cr_assert(pair_saw("session kind 0 base 5"), "%u", i);
		pair_session_ok(5);
		cr_assert_eq(ha_mode(pair.h), HA_SYNC);
		cr_assert(!pair_saw("committed"), "not durable here");
		pair_beats_ms(900);
	}
	pair_event((struct ha_event){.type = HA_EV_APPENDED, .lsn = 5});
	cr_assert_eq(pair.committed, 5);
}

/* Connected, alive, and it says nothing of its log. */
Test(ha_pair, t4_a_peer_that_does_not_come_back_though_connected_is_left)
{
	pair_membership_ms = 2000;
	pair_active_sync();
	down();
	pair_wait_ms(100);
	pair_link_up();
	pair_beats_ms(800);
	cr_assert_eq(ha_mode(pair.h), HA_FROZEN);
	pair_beats_ms(200);
	cr_assert(pair_saw("cas 6 members 1 active 1"));
	cr_assert_eq(ha_mode(pair.h), HA_ALONE);
}

/* What stands in its name on the link, the cluster has seen die. */
Test(ha_pair, t4_a_connection_of_a_dead_process_is_no_reason_to_wait)
{
	pair_active_sync();
	pair.cas_error = -EIO; /* so that it is not left in the same moment */
	pair_peer(51, false, true);
	pair_link_up();
	pair.cas_error = 0;
	pair_beats_ms(250);
	cr_assert_eq(ha_mode(pair.h), HA_ALONE);
}

/* ---- the record did not get as far as both ---- */

static void publishing_when_the_link_went(void)
{
	struct pr_hash hash;

	pair_active_alone(3);
	pair.incarnation = 51;
	pair_peer(51, true, true);
	pair_link_up();
	hash = pair_tail_hash();
	pair_hello(PR_ROLE_STANDBY, HA_OUTDATED, 4, pair_tail(), &hash);
	pair_session_ok(pair_tail());
	pair.hold_cas = true;
	SAY(INSYNC_OK, insync_ok, .epoch = pair.epoch, .link = pair.link, .lsn = pair_tail());
	cr_assert(pair_saw("cas 5 members 3 active 1"));
	down();
	cr_assert_eq(ha_mode(pair.h), HA_FROZEN, "the peer may be a member by now");
	pair_forget();
}

Test(ha_pair, t6_a_record_that_did_not_name_the_peer_lets_the_active_go_on_at_once)
{
	publishing_when_the_link_went();
	pair_event((struct ha_event){.type = HA_EV_ARB_CAS, .error = -EIO});
	pair_wait_ms(300);
	cr_assert_eq(ha_mode(pair.h), HA_ALONE);
	cr_assert_eq(ha_epoch(pair.h), 5, "no new epoch: nobody else was named in this one");
	cr_assert(pair_saw("RESUME"));
}

Test(ha_pair, t6_who_was_not_named_is_no_member_when_it_is_back)
{
	publishing_when_the_link_went();
	pair_event((struct ha_event){.type = HA_EV_ARB_CAS, .error = -EIO});
	pair_link_up();
	back(HA_INSYNC, 0);
	cr_assert(!pair_saw("session kind 0 base 4"));
	pair_beats_ms(300);
	cr_assert_eq(ha_mode(pair.h), HA_ALONE);
}

Test(ha_pair, t6_a_record_that_named_the_peer_after_all_is_taken_back_by_the_next)
{
	publishing_when_the_link_went();
	pair.arb.seq++;
	pair.arb.members = 3;
	pair.hold_cas = false;
	pair_event((struct ha_event){.type = HA_EV_ARB_CAS});
	pair_wait_ms(300);
	cr_assert(pair_saw("cas 6 members 1 active 1"));
	cr_assert_eq(ha_mode(pair.h), HA_ALONE);
}
