/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The active: T1-T4 and T7, batches, commit, loss and return of the session, going on alone, the end. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include "tests/unit/ha_rig.h"

Test(ha_pair, t1_a_reply_waits_for_both_journals)
{
	pair_active_sync();
	pair.hold_appends = true;
	pair_submit();
	pair_ack(pair_tail());
	cr_assert(!pair_saw("committed"), "durable at the peer only");
	pair_event((struct ha_event){.type = HA_EV_APPENDED, .lsn = pair_tail()});
	cr_assert(pair_saw("committed"));
	pair_forget();
	pair.hold_appends = false;
	pair_submit();
	cr_assert(!pair_saw("committed"), "durable here only");
	pair_ack(pair_tail());
	cr_assert_eq(pair.committed, pair_tail());
}

Test(ha_pair, t1_no_more_than_the_configured_batches_are_on_their_way)
{
	pair_active_sync();
	pair_submit();
	cr_assert(ha_can_submit(pair.h));
	pair_submit();
	cr_assert(!ha_can_submit(pair.h));
	pair_ack(pair_tail() - 1);
	cr_assert(ha_can_submit(pair.h));
}

Test(ha_pair, t2_acks_of_another_session_or_epoch_do_not_count)
{
	pair_active_sync();
	pair_submit();
	SAY(ACK, ack, .epoch = pair.epoch, .link = pair.link - 1, .lsn = pair_tail());
	SAY(ACK, ack, .epoch = pair.epoch - 1, .link = pair.link, .lsn = pair_tail());
	SAY(ACK, ack, .epoch = pair.epoch, .link = pair.link, .lsn = pair_tail() + 1);
	cr_assert(!pair_saw("committed"));
}

Test(ha_pair, t2_a_lost_session_freezes_and_its_late_acks_are_nothing)
{
	pair_active_sync();
	pair.hold_cas = true;
	pair_submit();
	pair_event((struct ha_event){.type = HA_EV_LINK_DOWN, .conn = pair.conn});
	cr_assert(pair_saw("HOLD"));
	cr_assert_eq(ha_mode(pair.h), HA_FROZEN);
	pair_ack(pair_tail());
	cr_assert(!pair_saw("committed"));
	cr_assert(!ha_may_reply(pair.h, pair.now) && !ha_can_submit(pair.h));
}

Test(ha_pair, t3_the_peer_comes_back_and_only_what_it_lacks_is_sent_again)
{
	struct pr_hash hash;

	pair_freeze = true; /* so that T4 leaves it the time */
	pair_active_sync();
	pair_submit();
	hash = pair_tail_hash();
	pair_submit();
	pair_event((struct ha_event){.type = HA_EV_LINK_DOWN, .conn = pair.conn});
	pair_wait_ms(3000);
	cr_assert_eq(ha_mode(pair.h), HA_FROZEN);
	cr_assert(pair_saw("alarm FROZEN 1"));
	pair_link_up();
	pair_forget();
	pair_hello(PR_ROLE_STANDBY, HA_INSYNC, 5, 5, &hash);
	cr_assert(pair_saw("session kind 0 base 5") && !pair_saw("link_batch"));
	pair_session_ok(5);
	cr_assert_eq(ha_mode(pair.h), HA_SYNC);
	cr_assert(pair_saw("RESUME") && pair_saw("link_batch"));
	cr_assert_eq(pair.committed, 5, "what it has is acked by having it");
	pair_ack(6);
	cr_assert_eq(pair.committed, 6);
}

Test(ha_pair, t3_a_peer_that_lost_what_was_committed_is_no_member_any_more)
{
	struct pr_hash zero = {0};

	pair_freeze = true;
	pair_active_sync();
	pair_event((struct ha_event){.type = HA_EV_LINK_DOWN, .conn = pair.conn});
	pair_link_up();
	pair_forget();
	pair_hello(PR_ROLE_STANDBY, HA_INSYNC, 5, 0, &zero);
	cr_assert(!pair_saw("session kind 0 base 0"));
	cr_assert_eq(ha_mode(pair.h), HA_FROZEN);
}

Test(ha_pair, t4_a_dead_process_is_left_at_once)
{
	pair_active_sync();
	pair_submit();
	pair_forget();
	pair_event((struct ha_event){
		.type = HA_EV_PEER, .incarnation = 51, .node_up = true, .quorate = true});
	ORDER("HOLD", "cas 6 members 1 active 1", "save ALONE 6", "append", "RESUME", "committed");
	cr_assert_eq(ha_mode(pair.h), HA_ALONE);
	cr_assert(pair_saw("alarm ALONE 1"));
}

Test(ha_pair, t4_a_refused_arbiter_ends_the_process)
{
	pair_active_sync();
	pair.arb.seq++;
	pair.arb.epoch++;
	pair.arb.members = pair.arb.active = 2;
	pair_event((struct ha_event){.type = HA_EV_LINK_DOWN, .conn = pair.conn});
	cr_assert(pair_saw("DIE") && !pair_saw("RESUME") && !pair_saw("save ALONE 6"));
}

Test(ha_pair, t4_a_lost_node_is_left_only_when_it_is_fenced)
{
	pair_active_sync();
	pair_event((struct ha_event){.type = HA_EV_PEER, .incarnation = 51, .quorate = true});
	pair_wait_ms(3000);
	cr_assert(!pair_saw("cas 6 members 1 active 1"));
	pair_event((struct ha_event){.type = HA_EV_FENCE, .incarnation = 51, .error = -EIO});
	pair_wait_ms(3000);
	cr_assert(pair_saw("alarm FENCE 1") && !pair_saw("cas 6 members 1 active 1"));
	pair_event((struct ha_event){.type = HA_EV_FENCE, .incarnation = 51});
	cr_assert(pair_saw("cas 6 members 1 active 1"));
}

Test(ha_pair, t4_a_lost_link_waits_for_what_the_membership_may_say)
{
	pair_membership_ms = 2500;
	pair_active_sync();
	pair_event((struct ha_event){.type = HA_EV_LINK_DOWN, .conn = pair.conn});
	pair_wait_ms(2400);
	cr_assert(!pair_saw("cas 6 members 1 active 1"));
	/* its node is gone too: this one may be who is cut off */
	pair_event((struct ha_event){.type = HA_EV_PEER, .incarnation = 51, .quorate = true});
	pair_wait_ms(5000);
	cr_assert(!pair_saw("cas 6 members 1 active 1"));
	cr_assert_eq(ha_mode(pair.h), HA_FROZEN);
}

Test(ha_pair, t4_a_lost_link_alone_is_no_reason_to_wait_longer)
{
	pair_membership_ms = 2500;
	pair_active_sync();
	pair_event((struct ha_event){.type = HA_EV_LINK_DOWN, .conn = pair.conn});
	pair_wait_ms(2600);
	cr_assert(pair_saw("cas 6 members 1 active 1"));
	cr_assert_eq(ha_mode(pair.h), HA_ALONE);
}

Test(ha_pair, t4_a_slow_peer_is_dropped_after_the_drop_time)
{
	pair_active_sync();
	pair_submit();
	for (unsigned i = 0; i < 4900 / 10; i++) {
		pair_wait_ms(10);
		pair_beat_back();
	}
	cr_assert_eq(ha_mode(pair.h), HA_SYNC);
	for (unsigned i = 0; i < 20; i++) {
		pair_wait_ms(10);
		pair_beat_back();
	}
	cr_assert_eq(ha_mode(pair.h), HA_ALONE);
	cr_assert(pair_saw("alarm SLOW_PEER 1"));
}

/* It comes back at once, with all that it needs to take part; the arbiter takes its time. */
Test(ha_pair, t4_a_slow_peer_that_is_back_is_offered_nothing_before_it_is_dropped)
{
	struct pr_hash hash;

	pair_active_sync();
	pair.hold_cas = true;
	pair_submit();
	pair_beats_ms(5100);
	cr_assert_eq(ha_mode(pair.h), HA_FROZEN);
	pair_link_up();
	pair_forget();
	hash = pair_tail_hash();
	pair_hello(PR_ROLE_STANDBY, HA_INSYNC, 5, pair_tail(), &hash);
	pair_beats_ms(300);
	cr_assert(!pair_saw("session kind"));
	cr_assert_eq(ha_mode(pair.h), HA_FROZEN);
	pair.hold_cas = false;
	pair_event((struct ha_event){.type = HA_EV_ARB_CAS, .error = -EIO});
	pair_beats_ms(300);
	cr_assert_eq(ha_mode(pair.h), HA_ALONE);
}

/* The peer comes back to where it was before the last batch, and gets that; then silence, and it is there again. */
static void session_again(bool acked, unsigned ms)
{
	uint64_t base = pair_tail();
	struct pr_hash hash = pair_tail_hash();

	pair_submit();
	pair_event((struct ha_event){.type = HA_EV_LINK_DOWN, .conn = pair.conn});
	pair_link_up();
	pair_hello(PR_ROLE_STANDBY, HA_INSYNC, 5, base, &hash);
	pair_session_ok(base);
	cr_assert_eq(ha_mode(pair.h), HA_SYNC);
	cr_assert(pair_saw("link_batch"));
	if (acked) {
		pair_ack(pair_tail());
		base = pair_tail();
		hash = pair_tail_hash();
		pair_submit();
	}
	pair_wait_ms(ms);
	pair_event((struct ha_event){.type = HA_EV_LINK_DOWN, .conn = pair.conn});
	pair_link_up();
	pair_forget();
	pair_hello(PR_ROLE_STANDBY, HA_INSYNC, 5, base, &hash);
}

Test(ha_pair, t4_a_path_that_brings_no_data_is_left_with_the_next_session)
{
	pair_membership_ms = 1500;
	pair_active_sync();
	session_again(false, 600);
	pair_wait_ms(20);
	cr_assert(!pair_saw("session kind 0 base 4"));
	cr_assert_eq(ha_mode(pair.h), HA_ALONE);
}

Test(ha_pair, t3_a_session_that_brought_something_or_was_short_may_be_followed_by_another)
{
	pair_membership_ms = 1500;
	pair_active_sync();
	session_again(true, 600);
	cr_assert(pair_saw("session kind 0 base 5"));
	pair_session_ok(5);
	pair_ack(6);
	session_again(false, 100);
	cr_assert(pair_saw("session kind 0 base 6"));
}

Test(ha_pair, t3_a_path_that_brought_no_data_is_tried_again_where_nobody_goes_on_alone)
{
	pair_freeze = true;
	pair_active_sync();
	session_again(false, 600);
	cr_assert(pair_saw("session kind 0 base 4"));
}

/* Nor can it be left, since the record cannot be written. */
Test(ha_pair, t3_a_path_that_brought_no_data_is_tried_again_after_the_drop_time)
{
	pair_membership_ms = 1500;
	pair_active_sync();
	pair.cas_error = -EIO;
	session_again(false, 600);
	cr_assert(!pair_saw("cas 6 members 1 active 1"));
	pair_beats_ms(4800);
	cr_assert(pair_saw("cas 6 members 1 active 1"));
	cr_assert(!pair_saw("session kind 0 base 4"));
	pair_beats_ms(400);
	cr_assert(pair_saw("session kind 0 base 4"));
}

Test(ha_pair, t4_an_unknown_outcome_stays_frozen)
{
	pair_active_sync();
	pair.hold_cas = true;
	pair_event((struct ha_event){.type = HA_EV_LINK_DOWN, .conn = pair.conn});
	pair_event((struct ha_event){.type = HA_EV_ARB_CAS, .error = -ETIMEDOUT});
	pair_wait_ms(20000);
	cr_assert_eq(ha_mode(pair.h), HA_FROZEN);
	cr_assert(pair_saw("alarm ARBITER 1"));
	cr_assert_eq(pair.arb.epoch, 5);
}

Test(ha_pair, t7_a_failed_write_quarantines_and_ends)
{
	pair_active_sync();
	pair_event((struct ha_event){.type = HA_EV_APPEND_FAILED, .error = -EIO});
	ORDER("save QUARANTINED 5", "DIE");
}

Test(ha_pair, t7_a_newer_epoch_in_the_record_ends_the_active)
{
	pair_active_sync();
	pair.arb.seq++;
	pair.arb.epoch++;
	pair.arb.members = pair.arb.active = 2;
	for (unsigned i = 0; i < 120 && !pair_saw("DIE"); i++) {
		pair_wait_ms(10);
		pair_beat_back();
	}
	cr_assert(pair_saw("DIE"));
}

Test(ha_pair, replies_of_sync_end_with_the_lease)
{
	pair_active_sync();
	cr_assert(ha_may_reply(pair.h, pair.now));
	cr_assert(ha_may_reply(pair.h, pair.now + 499));
	cr_assert(!ha_may_reply(pair.h, pair.now + 500));
}

Test(ha_pair, the_floor_is_at_most_a_second_old)
{
	pair_active_alone(3);
	pair_submit();
	pair_wait_ms(1010);
	cr_assert_eq(pair.floor, pair_tail());
}

/* Who lacks what it names is not promoted. */
Test(ha_pair, the_floor_names_nothing_that_is_not_committed)
{
	pair_active_sync();
	pair_submit();
	pair_beats_ms(1100);
	cr_assert_eq(ha_mode(pair.h), HA_SYNC);
	cr_assert_eq(pair.floor, pair_tail() - 1);
}

Test(ha_pair, t7_an_active_whose_key_was_taken_ends)
{
	pair_active_sync();
	pair.cas_error = -EBADE;
	pair.incarnation = 51;
	pair_event((struct ha_event){
		.type = HA_EV_PEER, .incarnation = 51, .node_up = true, .quorate = true});
	pair_event((struct ha_event){.type = HA_EV_LINK_DOWN, .conn = pair.conn});
	pair_wait_ms(2000);
	cr_assert(pair_saw("DIE") && strstr(pair.text, "key of the metadata LUN"), "%s", pair.text);
}
