/* SPDX-License-Identifier: GPL-2.0-or-later */
/* T5 and T6: where the logs part, streaming, full copy, and the steps to both being members. */
#include <criterion/criterion.h>
#include <string.h>
#include "tests/unit/ha_rig.h"

Test(ha_pair, t5_a_standby_of_a_newer_epoch_gets_no_session)
{
	struct pr_hash hash;

	pair_active_alone(3);
	pair_link_up();
	hash = pair_tail_hash();
	pair_forget();
	pair_hello(PR_ROLE_STANDBY, HA_INSYNC, 9, pair_tail(), &hash);
	cr_assert(pair_saw("alarm PEER 1"));
	cr_assert(!pair_saw("session kind 1 base 4"));
}

Test(ha_pair, t5_the_alarm_of_a_peer_that_did_not_fit_ends_with_a_session)
{
	struct pr_hash hash;

	pair_active_alone(3);
	pair_link_up();
	hash = pair_tail_hash();
	pair_hello(PR_ROLE_STANDBY, HA_INSYNC, 9, pair_tail(), &hash);
	cr_assert(pair_saw("alarm PEER 1"));
	pair.incarnation = 51;
	pair_peer(51, true, true);
	pair_comes_in_sync();
	cr_assert(pair_saw("alarm PEER 0"));
}

Test(ha_pair, t5_the_fork_is_found_and_streaming_begins_there)
{
	struct pr_hash other = {{1, 2, 3}};

	pair_active_alone(3);
	pair_link_up();
	pair_forget();
	pair_hello(PR_ROLE_STANDBY, HA_INSYNC, 4, 4, &other); /* its LSN 4 is another one */
	cr_assert(pair_saw("link_fork_ask"));
	SAY(FORK, fork, .nonce = 1, .lsn = 3, .hash = pr_hash_bytes(&pair.log[2]->hash),
	    .known = 1);
	cr_assert(pair_saw("session kind 1 base 3"));
	pair_session_ok(3);
	cr_assert(pair_saw("link_batch"));
}

Test(ha_pair, t5_rows_are_copied_when_the_journal_does_not_reach_back)
{
	struct pr_hash zero = {0};

	pair_active_alone(3);
	jr_batch_unref(pair.log[0]);
	pair.log[0] = NULL;
	pair_link_up();
	pair_forget();
	pair_hello(PR_ROLE_STANDBY, HA_NEW, 0, 0, &zero);
	cr_assert(pair_saw("rows read"));
	pair_event((struct ha_event){.type = HA_EV_ROWS,
				     .p = (const uint8_t *)"rows",
				     .len = 4,
				     .lsn = 2,
				     .last = true});
	cr_assert(pair_saw("session kind 2 base 2"));
	pair_session_ok(2);
	cr_assert(pair_saw("link_rows") && !pair_saw("link_batch"));
	SAY(ROWS_OK, rows_ok, .epoch = pair.epoch, .link = pair.link, .last = 1);
	cr_assert(pair_saw("link_batch"));
}

/* A member no longer, with 5 LSNs of which 4 are committed, gets a full copy from LSN 100 on. */
static void copy_onto(uint32_t faults, enum jr_verdict verdict, uint64_t goal_lsn)
{
	static const struct pr_history theirs[] = {{.epoch = 3, .first_lsn = 1, .members = 3},
						   {.epoch = 5, .first_lsn = 4, .members = 2}};
	struct pr_hash zero = {0};

	pair_start(2, 2);
	pair.saved.dstate = HA_OUTDATED;
	pair.saved.fault_flags = faults;
	pair.saved.history[0] = (struct ha_history){.epoch = 3, .first_lsn = 1, .members = 3};
	pair.saved.history[1] = (struct ha_history){.epoch = 4, .first_lsn = 3, .members = 1};
	pair.saved.history_count = 2;
	pair.arb.epoch = 5;
	pair_log_of(5);
	pair_boot_as(0, verdict);
	pair_link_up();
	pair_hello_of((struct pr_link_hello){.role = PR_ROLE_ACTIVE, .epoch = 5, .log_epoch = 5},
		      theirs, 2);
	SAY(SESSION, session, .epoch = 5, .link = 7, .kind = PR_LINK_COPY, .base_lsn = 100,
	    .goal_lsn = goal_lsn, .base_hash = pr_hash_bytes(&zero));
}

Test(ha_pair, t5_a_full_copy_archives_what_may_stand_here_alone)
{
	copy_onto(0, JR_CLEAN, 3); /* the active found the logs equal up to 3 */
	ORDER("save SYNCTARGET 5", "reset 100 common 3", "rows begin");
	pair_end();
	copy_onto(0, JR_CLEAN, 0); /* it could not tell: epoch 3 ended with LSN 2 here */
	ORDER("save SYNCTARGET 5", "reset 100 common 2", "rows begin");
	pair_end();
	/* an earlier copy did not finish: the history is no longer that of the journal */
	copy_onto(1, JR_CLEAN, 0);
	ORDER("save SYNCTARGET 5", "reset 100 common 0", "rows begin");
	pair_end();
	copy_onto(0, JR_HALT, 0);
	ORDER("save SYNCTARGET 5", "reset 100 common 0", "rows begin");
}

Test(ha_pair, t6_the_five_steps_come_in_order)
{
	struct pr_hash hash;

	pair_active_alone(3);
	pair_link_up();
	hash = pair.log[2]->hash;
	pair_forget();
	pair_hello(PR_ROLE_STANDBY, HA_OUTDATED, 4, 3, &hash);
	pair_session_ok(3);
	cr_assert(!pair_saw("link_insync"), "not caught up");
	pair_submit();
	cr_assert(!pair_saw("committed"), "acks are required from the barrier on");
	pair_ack(4);
	cr_assert(pair_saw("link_insync"));
	cr_assert(!pair_saw("cas 5 members 3 active 1"), "the peer has not saved INSYNC");
	SAY(INSYNC_OK, insync_ok, .epoch = pair.epoch, .link = pair.link, .lsn = 4);
	ORDER("session kind 1 base 3", "save INSYNC 5", "link_insync", "cas 5 members 3 active 1",
	      "alarm ALONE 0");
	cr_assert_eq(ha_mode(pair.h), HA_SYNC);
}

/* A standby behind T6 (3): INSYNC, and not yet named. */
static void standby_insync_unnamed(void)
{
	pair_standby_resyncing();
	SAY(INSYNC, insync, .epoch = 4, .link = 7);
	cr_assert(pair_saw("link_insync_ok"));
	pair.epoch = 4;
	pair.link = 7;
	cr_assert_eq(pair.score, 0);
}

static void name_both(void)
{
	pair.arb.members = 3;
	pair.arb.seq++;
}

Test(ha_pair, t6_the_standby_sees_soon_that_it_is_named_and_raises_its_score)
{
	standby_insync_unnamed();
	pair_wait_ms(400);
	cr_assert_eq(pair.score, 0);
	name_both();
	pair_wait_ms(60);
	cr_assert_geq(pair.score, 100);
	unsigned reads = pair.arb_reads;
	pair_wait_ms(500);
	cr_assert_leq(pair.arb_reads, reads + 1, "named: no reason to look so often");
}

Test(ha_pair, t6_the_score_is_true_at_once_when_the_session_goes)
{
	standby_insync_unnamed();
	name_both();
	pair_event((struct ha_event){.type = HA_EV_LINK_DOWN, .conn = pair.conn});
	cr_assert_geq(pair.score, 100);
	pair_link_up();
	struct pr_hash zero = {0};
	pair_hello(PR_ROLE_ACTIVE, HA_INSYNC, 4, 0, &zero);
	SAY(SESSION, session, .epoch = 4, .link = 8, .kind = PR_LINK_INSYNC);
	pair.arb.members = 2; /* the active goes on alone */
	pair.arb.epoch = 5;
	pair.arb.seq++;
	pair_event((struct ha_event){.type = HA_EV_LINK_DOWN, .conn = pair.conn});
	cr_assert_eq(pair.score, 0);
}

Test(ha_pair, t6_a_lost_peer_before_the_record_takes_the_steps_back)
{
	struct pr_hash hash;

	pair_active_alone(3);
	pair_link_up();
	hash = pair.log[2]->hash;
	pair_hello(PR_ROLE_STANDBY, HA_OUTDATED, 4, 3, &hash);
	pair_session_ok(3);
	pair_submit();
	pair_ack(4);
	pair_forget();
	pair_event((struct ha_event){.type = HA_EV_LINK_DOWN, .conn = pair.conn});
	cr_assert(pair_saw("save ALONE 5") && pair_saw("committed"));
	cr_assert_eq(ha_mode(pair.h), HA_ALONE);
}
