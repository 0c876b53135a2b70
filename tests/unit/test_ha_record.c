/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The arbiter as it may answer: late, in no order, with another's record, with nothing, or with an error. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include "tests/unit/ha_rig.h"

/* The active has lost its peer and writes the record; nothing has answered yet. */
static void t4_asks(void)
{
	pair_active_sync();
	pair.hold_cas = true;
	pair_event((struct ha_event){.type = HA_EV_LINK_DOWN, .conn = pair.conn});
	cr_assert(pair_saw("cas 6 members 1 active 1"));
}

Test(ha_pair, t4_a_refusal_ends_the_active_whatever_it_shows)
{
	struct ha_arbiter older;

	t4_asks();
	pair_event((struct ha_event){.type = HA_EV_ARB_CAS, .error = -ESTALE});
	cr_assert(pair_saw("DIE") && strstr(pair.text, "the arbiter refused"), "%s", pair.text);
	cr_assert(!pair_saw("save ALONE 6") && !pair_saw("RESUME"));
	pair_end();
	t4_asks(); /* a record older than what was read before */
	older = pair.arb;
	older.seq -= 5;
	older.epoch--;
	pair_event((struct ha_event){.type = HA_EV_ARB_CAS, .error = -ESTALE, .arbiter = &older});
	cr_assert(pair_saw("DIE") && strstr(pair.text, "the arbiter refused"), "%s", pair.text);
	cr_assert(!pair_saw("save ALONE 6") && !pair_saw("RESUME"));
}

/* The write was done, and the peer has written since: what was read meanwhile is the newer. */
Test(ha_pair, p6_a_write_that_is_answered_behind_a_newer_record_ends_the_promotion)
{
	pair_start(3, 2);
	pair.hold_cas = true;
	pair_boot();
	pair_fenced();
	pair_event((struct ha_event){.type = HA_EV_PROMOTE});
	cr_assert(pair_saw("cas 5 members 1 active 1"));
	pair.arb.seq++;
	pair_record(6, 2, 2);
	pair_wait_ms(1100);
	pair_event((struct ha_event){.type = HA_EV_ARB_CAS});
	cr_assert(pair_saw("DIE") && !pair_saw("SERVE"), "%s", pair.text);
}

Test(ha_pair, t4_over_a_record_of_an_earlier_epoch_writes_the_next_of_its_own)
{
	pair_active_sync();
	pair_record(3, 1, 1); /* by hand, or out of a snapshot: with a newer seq all the same */
	for (unsigned i = 0; i < 110; i++) {
		pair_wait_ms(10);
		pair_beat_back();
	}
	cr_assert(!pair_saw("DIE"));
	pair_event((struct ha_event){.type = HA_EV_LINK_DOWN, .conn = pair.conn});
	cr_assert(pair_saw("cas 6 members 1 active 1"));
	cr_assert_eq(ha_mode(pair.h), HA_ALONE);
}

Test(ha_pair, t7_a_record_that_names_the_other_as_active_ends_this_one_in_the_same_epoch_too)
{
	pair_active_alone(3);
	pair_record(5, 1, 2);
	pair_wait_ms(1100);
	cr_assert(pair_saw("DIE") && strstr(pair.text, "node 2 as active"), "%s", pair.text);
}

Test(ha_pair, p3_a_record_of_another_cluster_is_none)
{
	pair_start(3, 2);
	pair.arb.cluster[0] ^= 1;
	pair_boot();
	cr_assert(pair_saw("alarm ARBITER 1"));
	cr_assert_eq(pair.score, 0);
	pair_fenced();
	pair_event((struct ha_event){.type = HA_EV_PROMOTE});
	cr_assert_lt(pair.result, 0);
	cr_assert(!pair_saw("preempt"));
}

Test(ha_pair, p3_what_cannot_be_read_is_said_by_its_kind)
{
	static const struct {
		int error;
		const char *text;
	} kinds[] = {
		{-ENOENT, "there is no arbiter record"},
		{-EUCLEAN, "both copies of the arbiter record are damaged"},
		{-EIO, "check the metadata LUN"},
	};

	for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		pair_start(3, 2);
		pair_boot();
		pair_fenced();
		pair.arb_error = kinds[i].error;
		pair_event((struct ha_event){.type = HA_EV_PROMOTE});
		cr_assert_eq(pair.result, kinds[i].error);
		cr_assert(strstr(pair.text, kinds[i].text), "%s", pair.text);
		pair_end();
	}
}

Test(ha_pair, p3_a_read_that_shows_nothing_is_no_membership)
{
	pair_start(3, 2);
	pair.hold_reads = true;
	pair_boot();
	pair_event((struct ha_event){.type = HA_EV_ARB_READ});
	pair_fenced();
	pair_event((struct ha_event){.type = HA_EV_PROMOTE});
	pair_event((struct ha_event){.type = HA_EV_ARB_READ});
	cr_assert_eq(pair.result, -EPERM);
	cr_assert(!pair_saw("preempt"));
}

/* ---- the floor ---- */

static void floor_under_way(void)
{
	pair_active_alone(3);
	pair.hold_floors = true;
	pair_submit();
	pair_wait_ms(1100);
	cr_assert_eq(pair.floors, 1);
	pair_forget();
}

static void floor_answered(int error)
{
	pair_event((struct ha_event){.type = HA_EV_ARB_FLOOR, .error = error});
}

/* The peer takes part again up to where the record would be written. */
static void resynced(void)
{
	struct pr_hash hash;

	pair.incarnation = 51;
	pair_peer(51, true, true);
	pair_link_up();
	hash = pair_tail_hash();
	pair_hello(PR_ROLE_STANDBY, HA_OUTDATED, 4, pair_tail(), &hash);
	pair_session_ok(pair_tail());
	SAY(INSYNC_OK, insync_ok, .epoch = pair.epoch, .link = pair.link, .lsn = pair_tail());
}

Test(ha_pair, a_floor_under_way_lets_no_other_write_of_the_arbiter_begin)
{
	floor_under_way();
	resynced();
	cr_assert(!pair_saw("cas 5 members 3 active 1"));
	floor_answered(-ETIMEDOUT);
	cr_assert(!pair_saw("cas 5 members 3 active 1"), "not known to be over");
	cr_assert(pair_saw("alarm ARBITER 1"));
	floor_answered(0);
	cr_assert(pair_saw("cas 5 members 3 active 1"));
	cr_assert_eq(ha_mode(pair.h), HA_SYNC);
}

Test(ha_pair, a_floor_that_failed_is_over_and_told)
{
	floor_under_way();
	resynced();
	floor_answered(-EIO);
	cr_assert(pair_saw("alarm ARBITER 1") && pair_saw("cas 5 members 3 active 1"));
}

/* It is read all the time, and written well only when somebody tries. */
Test(ha_pair, a_record_that_cannot_be_written_is_an_alarm_until_it_can)
{
	floor_under_way();
	floor_answered(-EIO);
	cr_assert(pair_saw("alarm ARBITER 1"));
	pair_wait_ms(1100);
	cr_assert(!pair_saw("alarm ARBITER 0"));
	cr_assert_eq(pair.floors, 2, "and it is tried again");
	floor_answered(0);
	pair_wait_ms(1100);
	cr_assert(pair_saw("alarm ARBITER 0"));
}

Test(ha_pair, an_idle_active_writes_its_floor_now_and_then)
{
	floor_under_way();
	floor_answered(0);
	pair_wait_ms(28000);
	cr_assert_eq(pair.floors, 1);
	pair_wait_ms(3000);
	cr_assert_eq(pair.floors, 2);
}

Test(ha_pair, nothing_is_handed_over_that_nobody_could_take)
{
	pair_active_sync();
	floor_answered(-EIO);
	pair_event((struct ha_event){.type = HA_EV_SWITCHOVER, .ticket = 7});
	cr_assert_eq(pair.result, -EAGAIN);
	cr_assert(strstr(pair.text, "arbiter record"), "%s", pair.text);
}

Test(ha_pair, t7_a_key_found_missing_by_the_floor_ends_the_active_and_no_standby)
{
	floor_under_way();
	floor_answered(-EBADE);
	cr_assert(pair_saw("DIE") && strstr(pair.text, "key of the metadata LUN"), "%s", pair.text);
	pair_end();
	pair_standby_in_sync(3);
	floor_answered(-EBADE);
	cr_assert(pair_saw("alarm ARBITER 1") && !pair_saw("DIE"));
}

Test(ha_pair, a_stray_end_of_a_floor_frees_no_other_write)
{
	t4_asks();
	floor_answered(0);
	pair_wait_ms(3000);
	cr_assert_eq(pair_count("cas 6 members 1 active 1"), 1);
	cr_assert_eq(ha_mode(pair.h), HA_FROZEN);
	pair_record(6, 1, 1);
	pair_event((struct ha_event){.type = HA_EV_ARB_CAS});
	cr_assert_eq(ha_mode(pair.h), HA_ALONE);
}

Test(ha_pair, a_standby_that_waits_to_be_named_does_not_press_an_arbiter_that_errs)
{
	unsigned reads;

	pair_standby_resyncing();
	SAY(INSYNC, insync, .epoch = 4, .link = 7);
	pair.arb_error = -EIO;
	pair_beats_ms(60);
	reads = pair.arb_reads;
	pair_beats_ms(900);
	cr_assert_leq(pair.arb_reads, reads + 1);
}

/* ---- T9: the old active's hold on the LUNs ---- */

/* It is active and offered a session, and the hold is not to be had. */
static void heir_without_hold(void)
{
	struct pr_hash hash;

	pair_standby_in_sync(3);
	SAY(HANDOVER, handover, .epoch = 5, .link = 7, .lsn = 3);
	pair_record(5, 3, 1);
	pair.preempt_error = -EIO;
	pair_wait_ms(30);
	hash = pair_tail_hash();
	pair_hello(PR_ROLE_STANDBY, HA_INSYNC, 4, 3, &hash);
	cr_assert_eq(ha_role(pair.h), PR_ROLE_ACTIVE);
	cr_assert_eq(pair.preempts, 1);
}

Test(ha_pair, t9_an_heir_begins_nothing_before_it_has_the_hold_and_asks_for_it_again)
{
	heir_without_hold();
	pair_beats_ms(1200);
	cr_assert_geq(pair.preempts, 5);
	cr_assert_leq(pair.preempts, 8, "every 200 ms");
	cr_assert_eq(pair.floors, 0);
	cr_assert(!pair_saw("SERVE"));
	pair_event((struct ha_event){.type = HA_EV_LINK_DOWN, .conn = pair.conn});
	pair_wait_ms(1000);
	cr_assert(!pair_saw("cas 6 members 1 active 1"));
	pair.preempt_error = 0;
	pair_wait_ms(300);
	cr_assert(pair_saw("cas 6 members 1 active 1") && pair_saw("SERVE"));
	cr_assert_eq(ha_mode(pair.h), HA_ALONE);
}

Test(ha_pair, t9_a_key_missing_before_the_hold_is_had_is_no_end)
{
	heir_without_hold();
	floor_answered(-EBADE);
	cr_assert(pair_saw("alarm ARBITER 1") && !pair_saw("DIE"));
}

/* ---- reads ---- */

Test(ha_pair, a_read_that_began_before_the_own_write_tells_nothing_newer)
{
	struct ha_arbiter before;

	pair_active_sync();
	pair.hold_reads = true;
	for (unsigned i = 0; i < 110; i++) {
		pair_wait_ms(10);
		pair_beat_back();
	}
	before = pair.arb;
	pair_event((struct ha_event){.type = HA_EV_LINK_DOWN, .conn = pair.conn});
	cr_assert_eq(ha_mode(pair.h), HA_ALONE);
	pair_event((struct ha_event){.type = HA_EV_ARB_READ, .arbiter = &before});
	cr_assert(!pair_saw("DIE"));
	cr_assert_eq(ha_mode(pair.h), HA_ALONE);
	pair_submit();
	cr_assert_eq(pair.committed, pair_tail());
}

/* The write failed, but landed: only a read that began behind it can say so. */
Test(ha_pair, a_read_that_began_before_a_failed_write_does_not_say_what_became_of_it)
{
	struct ha_arbiter before, after;

	pair_active_sync();
	pair.hold_reads = pair.hold_cas = true;
	for (unsigned i = 0; i < 110; i++) {
		pair_wait_ms(10);
		pair_beat_back();
	}
	before = pair.arb;
	pair_event((struct ha_event){.type = HA_EV_LINK_DOWN, .conn = pair.conn});
	cr_assert_eq(pair_count("cas 6 members 1 active 1"), 1);
	pair_event((struct ha_event){.type = HA_EV_ARB_CAS, .error = -EIO, .arbiter = &before});
	pair_event((struct ha_event){.type = HA_EV_ARB_READ, .arbiter = &before});
	cr_assert_eq(pair_count("cas 6 members 1 active 1"), 1,
		     "it is not written again before it is known");
	cr_assert_eq(ha_mode(pair.h), HA_FROZEN);
	after = before;
	after.seq++;
	after.epoch = 6;
	after.members = after.active = 1;
	pair_event((struct ha_event){.type = HA_EV_ARB_READ, .arbiter = &after});
	cr_assert_eq(ha_mode(pair.h), HA_ALONE);
	cr_assert_eq(pair_count("cas 6 members 1 active 1"), 1);
}

Test(ha_pair, t3_a_session_in_sync_does_not_wait_for_the_arbiter)
{
	struct pr_hash zero = {0};
	unsigned reads;

	pair_start(3, 2);
	pair.hold_reads = true;
	pair_boot();
	reads = pair.arb_reads;
	pair_link_up();
	pair_hello(PR_ROLE_ACTIVE, HA_INSYNC, 4, 0, &zero);
	SAY(SESSION, session, .epoch = 4, .link = 7, .kind = PR_LINK_INSYNC);
	cr_assert(pair_saw("link_session_ok"));
	pair_beats_ms(2000);
	cr_assert_eq(pair.arb_reads, reads, "one read at a time");
	pair_event((struct ha_event){.type = HA_EV_ARB_READ, .arbiter = &pair.arb});
	cr_assert_geq(pair.score, 100);
}
