/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a peer says: words of another session, epoch or kind change nothing. */
#include <criterion/criterion.h>
#include <string.h>
#include "tests/unit/ha_rig.h"

/* The next epoch, an override's jump included, must fit as well. */
Test(ha_pair, an_epoch_that_leaves_no_room_for_the_next_is_refused)
{
	struct pr_hash hash = {0};

	pair_start(3, 2);
	pair_boot();
	pair_link_up();
	pair_hello(PR_ROLE_ACTIVE, HA_DALONE, UINT64_MAX - 1, 0, &hash);
	cr_assert(pair_saw("alarm PEER 1") && pair_saw("close"));
	pair_link_up();
	pair_hello(PR_ROLE_ACTIVE, HA_DALONE, 5, 0, &hash);
	SAY(OUTDATE, outdate, .epoch = UINT64_MAX - 1);
	SAY(SESSION, session, .epoch = UINT64_MAX - 1, .link = 7, .kind = PR_LINK_INSYNC,
	    .base_hash = pr_hash_bytes(&hash));
	cr_assert(!pair_saw("link_outdate_ok") && !pair_saw("link_session_ok"));
	cr_assert_eq(pair.saved.epoch, 4);
	SAY(SESSION, session, .epoch = 5, .link = 7, .kind = PR_LINK_INSYNC,
	    .base_hash = pr_hash_bytes(&hash));
	cr_assert(pair_saw("link_session_ok"));
	cr_assert_eq(pair.saved.epoch, 5);
}

static uint64_t zero_hash_bytes[2];

#define ZERO_HASH                                    \
	{                                            \
		(const uint8_t *)zero_hash_bytes, 16 \
	}

/* Every word of a session, of one that is not this one: by its epoch, by its number, or by both. */
static void words_of_another_session(uint64_t epoch, uint64_t link)
{
	struct pr_hash hash = pair_tail_hash();

	SAY(SESSION_OK, session_ok, .epoch = epoch, .link = link, .tail_lsn = pair_tail(),
	    .tail_hash = pr_hash_bytes(&hash));
	SAY(ACK, ack, .epoch = epoch, .link = link, .lsn = pair_tail());
	SAY(NACK, nack, .epoch = epoch, .link = link, .lsn = pair_tail());
	SAY(BEAT, beat, .epoch = epoch, .link = link, .commit_lsn = pair_tail(),
	    .echo_ms = pair.now);
	SAY(INSYNC, insync, .epoch = epoch, .link = link, .lsn = pair_tail());
	SAY(INSYNC_OK, insync_ok, .epoch = epoch, .link = link, .lsn = pair_tail());
	SAY(ROWS, rows, .epoch = epoch, .link = link, .lsn = pair_tail());
	SAY(ROWS_OK, rows_ok, .epoch = epoch, .link = link, .last = 1);
	SAY(HANDOVER, handover, .epoch = epoch + 1, .link = link + 1, .lsn = pair_tail());
	SAY(FORK, fork, .nonce = 99, .lsn = pair_tail(), .epoch = epoch, .hash = ZERO_HASH,
	    .known = 1);
	SAY(BATCH_GIVE, batch_give, .nonce = 99, .lsn = pair_tail());
	SAY(PROMISE, promise, .epoch = epoch, .to = 2, .granted = 1);
	SAY(PROMISE, promise, .epoch = epoch, .to = 1, .granted = 1);
	SAY(PROMISE_ASK, promise_ask, .epoch = epoch + 1, .to = 1);
	pair_give(epoch, link, pair_tail() + 1, &hash, pair_tail());
	for (uint64_t kind = 0; kind < 8; kind++)
		pair_event(
			(struct ha_event){.type = HA_EV_FETCHED, .cookie = kind << 56 | 0xffffff});
	pair_event((struct ha_event){.type = HA_EV_STATE_SAVED});
	pair_event((struct ha_event){.type = HA_EV_ARB_CAS, .arbiter = &pair.arb});
	pair_event((struct ha_event){.type = HA_EV_ARB_READ, .arbiter = &pair.arb});
	pair_event((struct ha_event){.type = HA_EV_ROWS_APPLIED});
	pair_event((struct ha_event){.type = HA_EV_LINK_DOWN, .conn = pair.conn + 9});
	pair_event((struct ha_event){.type = HA_EV_LINK_UP, .conn = pair.conn - 1});
	pair_event((struct ha_event){.type = HA_EV_LINK_MSG, .conn = pair.conn + 9});
}

static void nothing_changes(void)
{
	uint64_t lsn = pair_tail(), commit = ha_commit_lsn(pair.h), epoch = ha_epoch(pair.h);
	struct ha_state saved = pair.saved;
	struct ha_arbiter arb = pair.arb;
	unsigned mode = ha_mode(pair.h), role = ha_role(pair.h);

	pair_forget();
	words_of_another_session(pair.epoch, pair.link + 5);
	words_of_another_session(pair.epoch - 1, pair.link);
	words_of_another_session(pair.epoch + 1, pair.link);
	cr_assert(!pair_saw("DIE") && !pair_saw("append") && !pair_saw("SERVE") &&
		  !pair_saw("close") && !pair_saw("rows begin") && !pair_saw("rows put"));
	cr_assert_eq(pair_tail(), lsn);
	cr_assert_eq(ha_commit_lsn(pair.h), commit);
	cr_assert_eq(ha_epoch(pair.h), epoch);
	cr_assert_eq(ha_mode(pair.h), mode);
	cr_assert_eq(ha_role(pair.h), role);
	cr_assert_eq(memcmp(&saved, &pair.saved, sizeof(saved)), 0);
	cr_assert_eq(memcmp(&arb, &pair.arb, sizeof(arb)), 0);
}

Test(ha_pair, words_of_another_session_change_nothing_at_an_active)
{
	pair_active_sync();
	nothing_changes();
	pair_submit();
	nothing_changes();
	pair_ack(pair_tail());
	cr_assert(pair_saw("committed"), "the right one counts after all the wrong ones");
}

Test(ha_pair, words_of_another_session_change_nothing_at_a_standby)
{
	struct pr_hash hash;

	pair_standby_in_sync(3);
	nothing_changes();
	hash = pair_tail_hash();
	pair_give(4, 7, 4, &hash, 3);
	ORDER("append", "link_ack");
}

Test(ha_pair, words_of_another_session_change_nothing_while_one_is_offered)
{
	struct pr_hash hash;

	pair_active_alone(3);
	pair_link_up();
	hash = pair_tail_hash();
	pair_hello(PR_ROLE_STANDBY, HA_OUTDATED, 4, pair_tail(), &hash);
	cr_assert_gt(pair.link, 0);
	nothing_changes();
	pair_session_ok(pair_tail());
	SAY(INSYNC_OK, insync_ok, .epoch = pair.epoch, .link = pair.link, .lsn = pair_tail());
	cr_assert_eq(ha_mode(pair.h), HA_SYNC);
}

Test(ha_pair, a_word_that_is_none_closes_the_link)
{
	pair_standby_in_sync(3);
	pair_message(0x05ff, NULL, 0);
	cr_assert(pair_saw("alarm PEER 1") && pair_saw("close"));
	pair_end();
	pair_standby_in_sync(3);
	pair_message(PR_T_LINK_ACK, (const uint8_t *)"short", 5);
	cr_assert(pair_saw("alarm PEER 1") && pair_saw("close"));
	ha_free(pair.h);
	pair.h = NULL;
	cr_assert_str_eq(ha_alarm_name(999), "?");
	cr_assert_str_eq(ha_alarm_text(999), "?");
	cr_assert_str_eq(ha_mode_name(99), "?");
	cr_assert_str_eq(ha_dstate_name(99), "?");
}

Test(ha_pair, a_word_cut_short_closes_the_link)
{
	static const uint16_t words[] = {
		PR_T_LINK_HELLO,       PR_T_LINK_SESSION,    PR_T_LINK_SESSION_OK,
		PR_T_LINK_BATCH,       PR_T_LINK_ACK,	     PR_T_LINK_NACK,
		PR_T_LINK_BEAT,	       PR_T_LINK_OUTDATE,    PR_T_LINK_OUTDATE_OK,
		PR_T_LINK_PROMISE,     PR_T_LINK_INSYNC,     PR_T_LINK_INSYNC_OK,
		PR_T_LINK_PROMISE_ASK, PR_T_LINK_FORK_ASK,   PR_T_LINK_FORK,
		PR_T_LINK_BATCH_ASK,   PR_T_LINK_BATCH_GIVE, PR_T_LINK_ROWS,
		PR_T_LINK_ROWS_OK,     PR_T_LINK_HANDOVER,   PR_T_LINK_BYE,
	};
	struct pr_hash hash = {0};

	pair_start(3, 2);
	pair_boot();
	for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		pair_link_up();
		pair_hello(PR_ROLE_STANDBY, HA_INSYNC, 4, 0, &hash);
		pair_forget();
		pair_message(words[i], (const uint8_t *)"abc", 3);
		cr_assert(pair_saw("close"), "%s", pr_type_name(words[i]));
	}
	cr_assert_eq(ha_epoch(pair.h), 4);
}

Test(ha_pair, a_stranger_is_refused)
{
	pair_start(3, 2);
	pair_boot();
	pair_link_up();
	pair_hello_of((struct pr_link_hello){.cluster.b = "another pair", .role = PR_ROLE_ACTIVE},
		      NULL, 0);
	cr_assert(pair_saw("close") && pair_saw("alarm PEER 1"));
	pair_forget();
	pair_link_up();
	pair_hello_of((struct pr_link_hello){.node = 1, .role = PR_ROLE_ACTIVE}, NULL, 0);
	cr_assert(pair_saw("close"), "this node's own number");
}

/* A connection that stood half open: its process is gone. */
Test(ha_pair, a_hello_of_an_earlier_life_is_none)
{
	struct pr_hash hash = {0};

	pair_start(3, 2);
	pair_boot();
	pair_link_up();
	pair.incarnation = 49;
	pair_hello(PR_ROLE_ACTIVE, HA_INSYNC, 4, 0, &hash);
	SAY(SESSION, session, .epoch = 4, .link = 7, .kind = PR_LINK_INSYNC);
	cr_assert(!pair_saw("link_session_ok") && !pair_saw("close"));
	pair.incarnation = 50;
	pair_hello(PR_ROLE_ACTIVE, HA_INSYNC, 4, 0, &hash);
	SAY(SESSION, session, .epoch = 4, .link = 7, .kind = PR_LINK_INSYNC);
	cr_assert(pair_saw("link_session_ok"));
}

Test(ha_pair, a_farewell_or_a_nack_closes_the_link)
{
	pair_active_sync();
	SAY(BYE, bye, .reason = 1);
	cr_assert(pair_saw("close"));
	pair_end();
	pair_active_sync();
	pair_submit();
	SAY(NACK, nack, .epoch = pair.epoch, .link = pair.link, .lsn = pair_tail());
	cr_assert(pair_saw("close") && pair_saw("HOLD"));
}

/* Heartbeats are answered with the time at which they were sent: one of a time to come was not. */
Test(ha_pair, an_answer_to_a_heartbeat_not_sent_yet_renews_no_lease)
{
	pair_active_sync();
	cr_assert(ha_may_reply(pair.h, pair.now + 499));
	SAY(BEAT, beat, .epoch = pair.epoch, .link = pair.link, .echo_ms = pair.now + 10000);
	cr_assert(!ha_may_reply(pair.h, pair.now + 500));
}

/* ---- an active is answered once nothing here is half-way ---- */

Test(ha_pair, an_heir_answers_no_other_active)
{
	struct pr_hash hash;

	pair_standby_in_sync(3);
	hash = pair_tail_hash();
	SAY(HANDOVER, handover, .epoch = 5, .link = 7, .lsn = 3);
	pair_hello(PR_ROLE_ACTIVE, HA_INSYNC, 4, 3, &hash);
	pair_beats_ms(100);
	cr_assert(!pair_saw("link_hello"));
	SAY(SESSION, session, .epoch = 4, .link = 8, .base_lsn = 3,
	    .base_hash = pr_hash_bytes(&hash), .kind = PR_LINK_INSYNC);
	SAY(OUTDATE, outdate, .epoch = 4);
	cr_assert(!pair_saw("link_session_ok") && !pair_saw("link_outdate_ok"));
	SAY(PROMISE_ASK, promise_ask, .epoch = 5, .to = 2); /* it takes the handover back */
	cr_assert(pair_saw("link_hello"));
}

Test(ha_pair, an_active_is_answered_when_the_own_log_stands)
{
	struct pr_hash hash;

	pair_standby_in_sync(3);
	hash = pair_tail_hash();
	pair.hold_appends = true;
	pair_give(4, 7, 4, &hash, 3);
	pair_event((struct ha_event){.type = HA_EV_LINK_DOWN, .conn = pair.conn});
	pair_link_up();
	pair_forget();
	pair_hello(PR_ROLE_ACTIVE, HA_INSYNC, 4, 4, &hash);
	hash = pair_tail_hash();
	SAY(SESSION, session, .epoch = 4, .link = 8, .base_lsn = 4,
	    .base_hash = pr_hash_bytes(&hash), .kind = PR_LINK_INSYNC); /* not even asked for */
	cr_assert(!pair_saw("link_hello") && !pair_saw("link_session_ok"));
	pair_event((struct ha_event){.type = HA_EV_APPENDED, .lsn = 4});
	cr_assert(pair_saw("link_hello"));
	SAY(SESSION, session, .epoch = 4, .link = 8, .base_lsn = 4,
	    .base_hash = pr_hash_bytes(&hash), .kind = PR_LINK_INSYNC);
	cr_assert(pair_saw("link_session_ok"));
}
