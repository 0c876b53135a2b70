/* SPDX-License-Identifier: GPL-2.0-or-later */
/* S1-S4: batches, what is acked and applied when, damage, the own tail. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include "tests/unit/ha_rig.h"

Test(ha_pair, s1_a_batch_must_fit_session_epoch_lsn_and_hash)
{
	struct pr_hash hash, wrong = {{9}};

	pair_standby_in_sync(3);
	hash = pair_tail_hash();
	pair_give(4, 6, 4, &hash, 0);
	pair_give(3, 7, 4, &hash, 0);
	cr_assert(!pair_saw("append"));
	pair_give(4, 7, 4, &wrong, 0);
	cr_assert(pair_saw("link_nack") && !pair_saw("append"));
	pair_give(4, 7, 5, &hash, 0);
	cr_assert(!pair_saw("append"));
	pair_give(4, 7, 4, &hash, 3);
	ORDER("append", "link_ack");
	pair_give(4, 7, 4, &hash, 3); /* twice */
	cr_assert_eq(pair_tail(), 4);
}

Test(ha_pair, s1_a_standby_replies_to_nobody_and_submits_nothing)
{
	pair_standby_in_sync(3);
	cr_assert(!ha_may_reply(pair.h, pair.now) && !ha_can_submit(pair.h));
	cr_assert_eq(ha_batches_in_flight(pair.h), 0);
}

Test(ha_pair, s1_durable_before_the_ack_and_committed_before_applied)
{
	struct pr_hash hash;

	pair_standby_in_sync(3);
	hash = pair_tail_hash();
	pair.hold_appends = true;
	pair_give(4, 7, 4, &hash, 3);
	cr_assert(!pair_saw("link_ack"));
	pair_event((struct ha_event){.type = HA_EV_APPENDED, .lsn = 4});
	cr_assert(pair_saw("link_ack") && pair_saw("apply 3") && !pair_saw("apply 4"));
	SAY(BEAT, beat, .epoch = 4, .link = 7, .commit_lsn = 4, .sent_ms = pair.now);
	cr_assert(pair_saw("apply 4"));
}

/* Of its lease the active hears by the echo of its own clock, which begins anew with its host. */
Test(ha_pair, s1_the_beats_of_a_session_are_answered_whatever_the_one_before_it_said)
{
	struct pr_hash hash;

	pair_standby_in_sync(3);
	hash = pair_tail_hash();
	SAY(BEAT, beat, .epoch = 4, .link = 7, .commit_lsn = 3, .sent_ms = 1000000);
	cr_assert_eq(pair.echo_ms, 1000000);
	pair_link_up();
	pair_hello(PR_ROLE_ACTIVE, HA_INSYNC, 4, 3, &hash);
	SAY(SESSION, session, .epoch = 4, .link = 8, .base_lsn = 3,
	    .base_hash = pr_hash_bytes(&hash), .kind = PR_LINK_INSYNC);
	cr_assert(pair_saw("link_session_ok"));
	SAY(BEAT, beat, .epoch = 4, .link = 8, .commit_lsn = 3, .sent_ms = 500);
	cr_assert_eq(pair.echo_ms, 500);
}

Test(ha_pair, s1_with_full_rows_it_acks_on_and_applies_out_of_the_journal_later)
{
	struct pr_hash prev = {0};

	pair_start(3, 2);
	pair_boot();
	pair_link_up();
	pair_hello(PR_ROLE_ACTIVE, HA_INSYNC, 4, 0, &prev);
	SAY(SESSION, session, .epoch = 4, .link = 7, .kind = PR_LINK_INSYNC);
	pair_forget();
	pair_event((struct ha_event){.type = HA_EV_ROWS_FULL, .on = true});
	for (uint64_t lsn = 1; lsn <= 200; lsn++) {
		pair_give(4, 7, lsn, &prev, lsn - 1);
		prev = pair_tail_hash();
	}
	cr_assert_eq(pair.logs, 200);
	cr_assert(!pair_saw("link_nack") && !pair_saw("close") && !pair_saw("apply 1"));
	pair_event((struct ha_event){.type = HA_EV_ROWS_FULL});
	ORDER("apply 1", "apply 100", "apply 199");
	cr_assert(!pair_saw("apply 200"), "not committed yet");
}

/* Both changes are of the same step of the session, and the disk has only the first. */
Test(ha_pair, t5_what_changes_while_the_state_is_written_is_written_too)
{
	struct pr_hash zero = {0};

	pair_start(3, 2);
	pair_boot();
	pair_record(5, 2, 2);
	pair_link_up();
	pair_hello(PR_ROLE_ACTIVE, HA_DALONE, 5, 0, &zero);
	pair.hold_saves = true;
	SAY(OUTDATE, outdate, .epoch = 5);
	cr_assert_eq(pair.saved.dstate, HA_OUTDATED);
	SAY(SESSION, session, .epoch = 5, .link = 7, .kind = PR_LINK_RESYNC);
	pair_event((struct ha_event){.type = HA_EV_STATE_SAVED});
	cr_assert(!pair_saw("link_session_ok"), "it stands on no disk");
	cr_assert_eq(pair.saved.dstate, HA_SYNCTARGET);
	pair_event((struct ha_event){.type = HA_EV_STATE_SAVED});
	cr_assert(pair_saw("link_session_ok"));
}

Test(ha_pair, s2_outdate_is_saved_before_it_is_acked)
{
	struct pr_hash hash = {0};

	pair_start(3, 2);
	pair_boot();
	pair_link_up();
	pair_hello(PR_ROLE_ACTIVE, HA_DALONE, 5, 0, &hash);
	pair.hold_saves = true;
	SAY(OUTDATE, outdate, .epoch = 5);
	cr_assert(pair_saw("save OUTDATED 5") && !pair_saw("link_outdate_ok"));
	pair_event((struct ha_event){.type = HA_EV_STATE_SAVED});
	cr_assert(pair_saw("link_outdate_ok"));
	SAY(OUTDATE, outdate, .epoch = 3);
	cr_assert_eq(ha_epoch(pair.h), 5);
}

/* A log of three batches whose second is damaged; the peer, active in the next epoch, gives its own. */
static void mended_by_peer(bool fits)
{
	struct pr_hash hash;

	pair_start(3, 2);
	pair_log_of(3);
	pair.other_batch = !fits;
	hash = pair.log[2]->hash;
	pair_boot_as(0, JR_REPAIR);
	pair_fenced();
	pair_event((struct ha_event){.type = HA_EV_PROMOTE});
	cr_assert_eq(pair.result, -EPERM, "not promotable without the peer");
	pair_event((struct ha_event){.type = HA_EV_PEER,
				     .incarnation = 51,
				     .node_up = true,
				     .process_up = true,
				     .quorate = true});
	pair_link_up();
	pair_forget();
	struct pr_uuid id;
	memcpy(id.b, pair_cluster, 16);
	SAY(HELLO, hello, .version_min = 1, .version_max = 1, .cluster = id, .node = 2,
	    .role = PR_ROLE_ACTIVE, .incarnation = 51, .epoch = 4, .tail_lsn = 3,
	    .tail_hash = pr_hash_bytes(&hash));
	cr_assert(pair_saw("link_batch_ask") && !pair_saw("link_hello"),
		  "the active waits until the log is whole");
	SAY(BATCH_GIVE, batch_give, .lsn = 2, .known = 1,
	    .image = {pair.log[1]->image, pair.log[1]->image_bytes});
	ORDER("repair 2", "link_hello");
}

Test(ha_pair, s3_a_damaged_batch_comes_from_the_peer)
{
	mended_by_peer(true);
	cr_assert(pair_saw("alarm JOURNAL 0"));
}

/* What was damaged is a tail that the peer went on without. */
Test(ha_pair, s3_damage_that_the_peer_has_otherwise_wants_a_full_copy)
{
	mended_by_peer(false);
	cr_assert(!pair_saw("alarm JOURNAL 0"));
	pair_fenced();
	pair_event((struct ha_event){.type = HA_EV_PROMOTE});
	cr_assert_eq(pair.result, -EPERM);
	cr_assert(strstr(pair.text, "another batch"), "%s", pair.text);
}

Test(ha_pair, s4_the_own_tail_is_cut_only_with_proof)
{
	struct pr_hash hash;

	pair_start(3, 2); /* the record still names me */
	pair_log_of(4);
	hash = pair.log[2]->hash;
	pair_boot();
	pair_link_up();
	pair_hello(PR_ROLE_ACTIVE, HA_DALONE, 5, 9, &hash);
	SAY(SESSION, session, .epoch = 5, .link = 7, .base_lsn = 3,
	    .base_hash = pr_hash_bytes(&hash), .kind = PR_LINK_RESYNC);
	cr_assert(!pair_saw("cut 3") && !pair_saw("save SYNCTARGET 5"));
	cr_assert(pair_saw("close"));
	pair.arb.seq++;
	pair.arb.epoch = 5;
	pair.arb.members = 2;
	pair_link_up();
	pair_hello(PR_ROLE_ACTIVE, HA_DALONE, 5, 9, &hash);
	SAY(SESSION, session, .epoch = 5, .link = 8, .base_lsn = 3,
	    .base_hash = pr_hash_bytes(&hash), .kind = PR_LINK_RESYNC);
	ORDER("save SYNCTARGET 5", "cut 3", "link_session_ok");
}

Test(ha_pair, after_a_restart_only_what_is_known_to_be_committed_is_applied)
{
	pair_start(3, 2);
	pair_log_of(5);
	pair_boot();
	cr_assert(pair_saw("apply 3") && !pair_saw("apply 4"));
}

/* A write of the state is under way, and the record names this controller alone. */
Test(ha_pair, a_demotion_after_the_record_was_written_ends_the_process)
{
	pair_start(3, 2);
	pair_log_of(3);
	pair_boot();
	pair_fenced();
	pair.hold_saves = true;
	pair_event((struct ha_event){.type = HA_EV_PROMOTE, .ticket = 1});
	cr_assert_eq(ha_role(pair.h), PR_ROLE_PROMOTING);
	cr_assert_eq(pair.arb.members, 1);
	pair_forget();
	pair_event((struct ha_event){.type = HA_EV_DEMOTE, .ticket = 2});
	ORDER("result 0", "DIE");
	cr_assert(!pair_saw("SERVE"));
}

/* ---- batches that are not what they should be ---- */

static void hand(const struct jr_batch *b, uint64_t last_lsn, uint32_t bytes)
{
	SAY(BATCH, batch, .epoch = 4, .link = 7, .first_lsn = b->first_lsn, .last_lsn = last_lsn,
	    .image = {b->image, bytes});
}

Test(ha_pair, s1_a_batch_that_is_damaged_or_not_what_was_said_is_refused)
{
	struct pr_hash hash, other = {{9}};
	struct jr_batch *good, *newer, *later, *forked;

	pair_standby_in_sync(3);
	hash = pair_tail_hash();
	good = pair_batch(4, 4, 3, &hash, 0);
	newer = pair_batch(5, 4, 3, &hash, 0);
	later = pair_batch(4, 5, 3, &hash, 0);
	forked = pair_batch(4, 4, 3, &other, 0);
	hand(good, 4, good->image_bytes - 1);
	hand(good, 5, good->image_bytes);
	hand(newer, 4, newer->image_bytes);
	hand(later, 5, later->image_bytes);
	hand(forked, 4, forked->image_bytes);
	cr_assert_eq(pair_count("link_nack"), 5);
	cr_assert(!pair_saw("append") && !pair_saw("link_ack"));
	cr_assert_eq(pair_tail(), 3);
	hand(good, 4, good->image_bytes);
	ORDER("append", "link_ack");
	jr_batch_unref(good);
	jr_batch_unref(newer);
	jr_batch_unref(later);
	jr_batch_unref(forked);
}

Test(ha_pair, s1_what_is_received_and_not_durable_has_a_limit)
{
	struct pr_hash prev;

	pair_standby_in_sync(3);
	pair.hold_appends = true;
	for (uint64_t lsn = 4; !pair_saw("link_nack") && lsn < 1000; lsn++) {
		prev = pair_tail_hash();
		pair_give(4, 7, lsn, &prev, 3);
	}
	cr_assert_eq(pair_tail(), 3 + 128);
	cr_assert_eq(pair_count("append"), 2, "as many as may be on their way");
	for (uint64_t lsn = 4; lsn <= 131; lsn++)
		pair_event((struct ha_event){.type = HA_EV_APPENDED, .lsn = lsn});
	SAY(BEAT, beat, .epoch = 4, .link = 7, .commit_lsn = 131, .sent_ms = pair.now);
	cr_assert(pair_saw("apply 131"));
	prev = pair_tail_hash();
	pair_give(4, 7, 132, &prev, 131);
	cr_assert_eq(pair_tail(), 132);
}

/* ---- a batch is applied when all of it is committed ---- */

static void commit(uint64_t lsn)
{
	pair.now += 100;
	SAY(BEAT, beat, .epoch = 4, .link = 7, .commit_lsn = lsn, .sent_ms = pair.now);
}

Test(ha_pair, s1_a_batch_of_which_a_part_is_committed_waits)
{
	struct pr_hash hash;
	struct jr_batch *b;

	pair_standby_in_sync(3);
	hash = pair_tail_hash();
	b = pair_batch_of(4, 4, 2, 3, &hash, 0);
	hand(b, 5, b->image_bytes);
	jr_batch_unref(b);
	cr_assert(pair_saw("apply 3"));
	pair_forget();
	commit(4);
	commit(4);
	cr_assert(!pair_saw("apply 5") && !pair_saw("fetch 4"));
	commit(5);
	cr_assert(pair_saw("apply 5") && !pair_saw("fetch 4"));
}

/* It is in the journal only: it is read once, and again when all of it is committed. */
static void restarted_with_three_in_a_batch(void)
{
	struct pr_hash zero = {0};

	pair_start(3, 2);
	pair.log[pair.logs++] = pair_batch_of(4, 1, 3, 0, &zero, 0);
	pair_boot(); /* LSN 1 is known to be committed */
	cr_assert(!pair_saw("apply 3"));
	pair_link_up();
	pair_hello(PR_ROLE_ACTIVE, HA_INSYNC, 4, 3, &pair.log[0]->hash);
	SAY(SESSION, session, .epoch = 4, .link = 7, .base_lsn = 3,
	    .base_hash = pr_hash_bytes(&pair.log[0]->hash), .kind = PR_LINK_INSYNC);
	cr_assert(pair_saw("link_session_ok"));
}

Test(ha_pair, after_a_restart_a_batch_of_which_a_part_is_committed_waits)
{
	restarted_with_three_in_a_batch();
	commit(2);
	cr_assert(!pair_saw("apply 3"));
	cr_assert_eq(pair_count("fetch 1"), 1);
	commit(3);
	cr_assert_eq(pair_count("apply 3"), 1);
	cr_assert_eq(pair_count("fetch 1"), 2);
}

/* Behind rows that cannot be applied the journal would get full, and what waits for room in it would keep it from any session. */
Test(ha_pair, a_journal_that_goes_bad_in_a_session_is_repaired_by_a_new_start)
{
	restarted_with_three_in_a_batch();
	pair.hold_fetches = true;
	commit(3);
	cr_assert_eq(pair_count("fetch 1"), 2);
	pair_fetched(NULL);
	cr_assert(pair_saw("DIE"));
	cr_assert(strstr(pair.text, "starts anew, to have it repaired"), "%s", pair.text);
	cr_assert(!pair_saw("alarm JOURNAL 1"));
}

/* The session is over, but what it brought is still being written: that is no journal to give a verdict on. */
Test(ha_pair, a_journal_that_goes_bad_behind_a_session_starts_anew_while_it_is_written)
{
	struct pr_hash tail;

	restarted_with_three_in_a_batch();
	pair.hold_fetches = pair.hold_appends = true;
	tail = pair_tail_hash();
	pair_give(4, 7, 4, &tail, 3);
	cr_assert_eq(pair_tail(), 4);
	commit(3);
	pair_event((struct ha_event){.type = HA_EV_LINK_DOWN, .conn = pair.conn});
	pair_fetched(NULL);
	cr_assert(pair_saw("DIE"));
	cr_assert(strstr(pair.text, "starts anew, to have it repaired"), "%s", pair.text);
	cr_assert(!pair_saw("alarm JOURNAL 1"));
}

Test(ha_pair, a_journal_that_does_not_go_on_from_the_rows_is_damage)
{
	for (unsigned i = 0; i < 3; i++) {
		pair_start(3, 2);
		pair_log_of(5);
		pair.store_lsn = 2;
		pair.hold_fetches = true;
		pair_boot();
		cr_assert(pair_saw("fetch 3"));
		pair_fetched(i == 0 ? NULL : pair.log[i == 1 ? 3 : 1]);
		cr_assert(pair_saw("alarm JOURNAL 1"));
		cr_assert(!pair_saw("apply 4") && !pair_saw("apply 2"));
		pair_fenced();
		pair_event((struct ha_event){.type = HA_EV_PROMOTE});
		cr_assert_eq(pair.result, -EPERM);
		cr_assert(strstr(pair.text, "does not go on from there"), "%s", pair.text);
		pair_end();
	}
}
