/* SPDX-License-Identifier: GPL-2.0-or-later */
/* T5 and T6 as the source: odd answers about the fork, journals that do not reach, readings that fail, peers that stall. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "tests/unit/ha_rig.h"

static void down(void)
{
	pair_event((struct ha_event){.type = HA_EV_LINK_DOWN, .conn = pair.conn});
}

/* Promoted alone over a log made by the test: batches of epoch 4, then LSN tail + 1 in epoch 5. */
static void promoted(void)
{
	pair_boot();
	pair_fenced();
	pair_event((struct ha_event){.type = HA_EV_PROMOTE});
	cr_assert_eq(ha_mode(pair.h), HA_ALONE);
	pair.incarnation = 51;
	pair_peer(51, true, true);
	pair_link_up();
	pair_forget();
}

static void active(unsigned n)
{
	pair_start(3, 2);
	pair_log_of(n);
	promoted();
}

/* LSN 1, then 2 to n + 1 in one batch, then one more. */
static void active_with_a_batch_of(unsigned n, uint32_t bytes)
{
	struct pr_hash prev = {0};

	pair_start(3, 2);
	for (unsigned i = 0; i < 3; i++) {
		uint64_t lsn = i ? pair.log[i - 1]->last_lsn + 1 : 1;

		pair.log[pair.logs++] =
			pair_batch_of(4, lsn, i == 1 ? n : 1, lsn - 1, &prev, i == 1 ? bytes : 0);
		prev = pair.log[i]->hash;
	}
	promoted();
}

static void comes(uint64_t tail, const struct pr_hash *hash)
{
	pair_hello(PR_ROLE_STANDBY, HA_OUTDATED, 4, tail, hash);
}

static void comes_new(void)
{
	struct pr_hash zero = {0};

	pair_hello_of((struct pr_link_hello){.role = PR_ROLE_STANDBY,
					     .dstate = HA_OUTDATED,
					     .epoch = 4,
					     .store_lsn = UINT64_MAX,
					     .tail_hash = pr_hash_bytes(&zero)},
		      NULL, 0);
}

static void fork_is(uint64_t nonce, uint64_t lsn, const struct pr_hash *hash, bool known)
{
	SAY(FORK, fork, .nonce = nonce, .lsn = lsn, .hash = pr_hash_bytes(hash), .known = known);
}

static void rows(uint64_t lsn, int error, bool last)
{
	pair_event((struct ha_event){.type = HA_EV_ROWS,
				     .p = (const uint8_t *)"rows",
				     .len = 4,
				     .lsn = lsn,
				     .error = error,
				     .last = last});
}

/* ---- where the logs part ---- */

Test(ha_pair, t5_a_peer_that_cannot_tell_or_says_too_much_gets_all_rows)
{
	static const struct {
		uint64_t lsn;
		bool known;
	} answers[] = {{3, false}, {4, true}};
	struct pr_hash other = {{1}};

	for (unsigned i = 0; i < 2; i++) {
		active(3);
		comes(4, &other);
		cr_assert(pair_saw("link_fork_ask"));
		fork_is(7, 3, &other, true); /* to another question */
		cr_assert(!pair_saw("rows read") && pair_count("link_fork_ask") == 1);
		fork_is(1, answers[i].lsn, &other, answers[i].known);
		cr_assert(pair_saw("rows read") && !pair_saw("session kind 1 base 3"));
		pair_end();
	}
}

Test(ha_pair, t5_the_question_goes_back_in_growing_steps_to_the_beginning)
{
	static const uint64_t asked[] = {8, 6, 2};
	struct pr_hash other = {{1}}, zero = {{0}};

	active(8);
	comes(9, &other);
	for (unsigned i = 0; i < 3; i++) {
		cr_assert_eq(pair_count("link_fork_ask"), i + 1);
		fork_is(i + 1, asked[i], &other, true);
	}
	cr_assert(!pair_saw("rows read"));
	fork_is(4, 0, &zero, true);
	cr_assert(pair_saw("session kind 1 base 0"));
}

/* A hash that is none leaves the one before it: it fits no log here. */
Test(ha_pair, t5_a_hash_cut_short_fits_nothing)
{
	struct pr_hash other = {{1}};

	active(3);
	comes(4, &other);
	SAY(FORK, fork, .nonce = 1, .lsn = 3, .known = 1, .hash = {other.b, 5});
	cr_assert(!pair_saw("session kind 1 base 3"));
	cr_assert_eq(pair_count("link_fork_ask"), 2);
}

/* Where the last epoch known to both ended here, whatever the peer has behind it. */
Test(ha_pair, t5_no_lsn_behind_the_last_common_epoch_is_asked_for)
{
	static const struct pr_history theirs[] = {{.epoch = 4, .first_lsn = 1, .members = 3}};
	struct pr_hash other = {{1}};

	pair_start(3, 2);
	pair_log_of(3);
	pair.saved.history[0] = (struct ha_history){.epoch = 4, .first_lsn = 1, .members = 3};
	pair.saved.history_count = 1;
	promoted();
	pair_submit();
	cr_assert_eq(pair_tail(), 5);
	pair_hello_of((struct pr_link_hello){.role = PR_ROLE_STANDBY,
					     .dstate = HA_OUTDATED,
					     .epoch = 4,
					     .log_epoch = 4,
					     .tail_lsn = 5,
					     .tail_hash = pr_hash_bytes(&other)},
		      theirs, 1);
	cr_assert(pair_saw("link_fork_ask"));
	fork_is(1, 4, &other, true); /* epoch 5 began with it here */
	cr_assert(pair_saw("rows read"), "it was asked for LSN 3");
}

/* Rows, or commits, beyond the fork: what the peer has can only be replaced. */
Test(ha_pair, t5_a_peer_that_holds_more_than_is_common_gets_all_rows)
{
	for (unsigned i = 0; i < 2; i++) {
		struct pr_hash other = {{1}};

		active(3);
		pair_hello_of((struct pr_link_hello){.role = PR_ROLE_STANDBY,
						     .dstate = HA_OUTDATED,
						     .epoch = 4,
						     .log_epoch = 4,
						     .tail_lsn = 4,
						     .commit_lsn = i ? 4 : 0,
						     .store_lsn = i ? 0 : 4,
						     .tail_hash = pr_hash_bytes(&other)},
			      NULL, 0);
		fork_is(1, 3, &pair.log[2]->hash, true);
		cr_assert(pair_saw("rows read"));
		rows(4, 0, true);
		cr_assert(pair_saw("session kind 2 base 4"));
		pair_end();
	}
}

Test(ha_pair, t5_a_tail_in_the_midst_of_a_batch_is_asked_for_before_it)
{
	struct pr_hash other = {{1}};

	active_with_a_batch_of(2, 0);
	comes(2, &other);
	cr_assert(pair_saw("link_fork_ask"));
	fork_is(1, 1, &pair.log[0]->hash, true);
	cr_assert(pair_saw("session kind 1 base 1"));
}

/* ---- streaming ---- */

Test(ha_pair, t5_no_more_than_the_window_is_on_its_way)
{
	struct pr_hash prev = {0};

	pair_start(3, 2);
	for (unsigned i = 0; i < 10; i++) {
		pair.log[pair.logs++] = pair_batch_of(4, i + 1, 1, i, &prev, 2 << 20);
		prev = pair.log[i]->hash;
	}
	promoted();
	comes(0, &(struct pr_hash){{0}});
	pair_session_ok(0);
	cr_assert_eq(pair_count("link_batch"), 8, "16 MiB");
	pair_ack(1);
	cr_assert_eq(pair_count("link_batch"), 9);
	pair_ack(9);
	cr_assert_eq(pair_count("link_batch"), 11);
}

Test(ha_pair, t6_the_barrier_closes_when_little_lacks)
{
	active_with_a_batch_of(5000, 0);
	comes(0, &(struct pr_hash){{0}});
	pair_session_ok(0);
	pair_submit();
	cr_assert(pair_saw("committed"), "far from it: no ack is required");
	pair_forget();
	pair_ack(1);
	pair_submit();
	cr_assert(pair_saw("committed"));
	pair_forget();
	pair_ack(5001);
	pair_submit();
	cr_assert(!pair_saw("committed"));
	pair_ack(pair_tail());
	cr_assert(pair_saw("committed") && pair_saw("link_insync"));
}

static bool barrier_is_closed(void)
{
	pair_forget();
	pair_submit();
	return !pair_saw("committed");
}

/* What the journal has yet to give would be waited for: first it goes on its way. */
Test(ha_pair, t6_the_barrier_closes_when_all_that_lacks_is_on_its_way)
{
	active(40);
	comes(0, &(struct pr_hash){{0}});
	pair_session_ok(0);
	cr_assert_eq(pair_count("link_batch"), 16);
	cr_assert(!barrier_is_closed());
	pair_ack(16);
	pair_ack(24);
	cr_assert(!barrier_is_closed(), "40 on their way, 43 there are");
	pair_ack(27);
	cr_assert(barrier_is_closed());
	pair_ack(43);
	pair_ack(pair_tail());
	cr_assert(pair_saw("committed") && pair_saw("link_insync"));
}

Test(ha_pair, t6_the_barrier_does_not_wait_for_ever_for_a_peer_to_come_nearer)
{
	active(100);
	comes(0, &(struct pr_hash){{0}});
	pair_session_ok(0);
	for (uint64_t lsn = 1; lsn < 10; lsn++) {
		pair_beats_ms(200);
		pair_ack(lsn);
		cr_assert(!barrier_is_closed());
	}
	pair_beats_ms(250);
	cr_assert(barrier_is_closed());
}

/* So that batches are few, and it comes nearer. */
Test(ha_pair, t6_near_the_end_one_batch_is_on_its_way_at_a_time)
{
	active_with_a_batch_of(5000, 0);
	comes(0, &(struct pr_hash){{0}});
	pair.hold_appends = true;
	pair_session_ok(0);
	pair_submit();
	cr_assert(ha_can_submit(pair.h), "far from it: two");
	pair_event((struct ha_event){.type = HA_EV_APPENDED, .lsn = pair_tail()});
	pair_ack(1);
	pair_ack(5001);
	pair_end();

	active(40);
	pair.hold_appends = true;
	cr_assert(ha_can_submit(pair.h));
	pair_submit();
	cr_assert(ha_can_submit(pair.h), "nobody lacks anything: two");
	pair_event((struct ha_event){.type = HA_EV_APPENDED, .lsn = pair_tail()});
	comes(0, &(struct pr_hash){{0}});
	pair_session_ok(0);
	pair_submit();
	cr_assert(!ha_can_submit(pair.h));
	pair_event((struct ha_event){.type = HA_EV_APPENDED, .lsn = pair_tail()});
	cr_assert(ha_can_submit(pair.h));
}

/* Little lacks, but its disk is slow: clients do not wait for all of that. */
Test(ha_pair, t6_the_barrier_opens_again_for_a_standby_that_takes_long)
{
	active(8);
	comes(0, &(struct pr_hash){{0}});
	pair_session_ok(0);
	pair_submit();
	pair_forget();
	pair_ack(2);
	pair_beats_ms(900);
	cr_assert(!pair_saw("committed"), "closed");
	pair_beats_ms(200);
	cr_assert(pair_saw("committed") && ha_mode(pair.h) == HA_ALONE);
	for (uint64_t lsn = 3; lsn < 6; lsn++) {
		pair_ack(lsn);
		pair_forget();
		pair_submit();
		cr_assert(pair_saw("committed"), "open");
		pair_beats_ms(3000);
	}
	pair_beats_ms(1500);
	pair_forget();
	pair_submit();
	cr_assert(!pair_saw("committed"), "closed again");
	pair_ack(pair_tail());
	cr_assert(pair_saw("committed") && pair_saw("link_insync"));
}

Test(ha_pair, t6_the_barrier_costs_nothing_when_nothing_lacks)
{
	active(8);
	comes(0, &(struct pr_hash){{0}});
	pair_session_ok(0);
	pair_beats_ms(1200);
	cr_assert(!pair_saw("link_insync"));
	pair_ack(pair_tail());
	cr_assert(pair_saw("link_insync"));
}

static void streaming(void)
{
	active(3);
	pair.hold_fetches = true;
	comes(0, &(struct pr_hash){{0}});
	pair_fetched(pair.log[0]);
	pair_session_ok(0);
	cr_assert_eq(pair_count("fetch 1"), 2);
}

Test(ha_pair, t5_a_journal_that_lost_the_next_batch_gives_all_rows_to_the_next_session)
{
	streaming();
	pair_fetched(NULL);
	cr_assert(pair_saw("close"));
	pair_link_up();
	pair_beats_ms(200);
	pair_forget();
	comes(0, &(struct pr_hash){{0}});
	cr_assert(pair_saw("rows read"));
}

Test(ha_pair, t5_a_batch_that_is_not_the_next_is_never_sent)
{
	struct jr_batch *b;

	streaming();
	pair_fetched(pair.log[2]); /* none of this session's */
	cr_assert(!pair_saw("link_batch") && !pair_saw("close"));
	cr_assert_eq(pair_count("fetch 1"), 3, "it is fetched again");
	pair_fetched(pair.log[0]);
	cr_assert_eq(pair_count("link_batch"), 1);
	pair_fetched(pair.log[0]); /* one before it */
	cr_assert_eq(pair_count("link_batch"), 1);
	b = pair_batch_of(4, 1, 3, 0, &(struct pr_hash){{0}}, 0);
	pair_fetched(b); /* the session began in the midst of it */
	jr_batch_unref(b);
	cr_assert_eq(pair_count("link_batch"), 1);
	cr_assert(pair_saw("close"));
}

Test(ha_pair, t5_the_next_attempt_waits_for_what_the_last_one_reads)
{
	streaming();
	down();
	pair_link_up();
	pair_wait_ms(200);
	pair_forget();
	comes(4, &(struct pr_hash){{1}});
	cr_assert(!pair_saw("link_fork_ask"));
	pair_fetched(pair.log[0]);
	cr_assert(pair_saw("link_fork_ask") && !pair_saw("link_batch"));
}

/* ---- the full copy ---- */

static void copying(void)
{
	active(3);
	comes_new();
	cr_assert(pair_saw("rows read"));
}

static void rows_ok(uint64_t epoch, uint64_t link, bool last)
{
	SAY(ROWS_OK, rows_ok, .epoch = epoch, .link = link, .last = last);
}

Test(ha_pair, t5_a_reading_that_fails_ends_the_attempt)
{
	copying();
	rows(4, -EIO, false);
	cr_assert(pair_saw("close") && !pair_saw("session kind 2 base 4"));
	pair_end();
	copying();
	pair_no_memory = true;
	ha_step(pair.h, &(struct ha_event){.type = HA_EV_ROWS, .now_ms = pair.now, .len = 4});
	pair_no_memory = false;
	pair_event((struct ha_event){.type = HA_EV_TIMER});
	cr_assert(pair_saw("close") && !pair_saw("session kind 2 base 4"));
}

Test(ha_pair, t5_a_second_copy_waits_for_the_reading_of_the_first)
{
	copying();
	down();
	pair_link_up();
	pair_wait_ms(200);
	pair_forget();
	comes_new();
	cr_assert(pair_saw("close") && !pair_saw("rows read"));
	rows(4, 0, false); /* nobody waits for it */
	cr_assert(!pair_saw("session kind 2 base 4"));
	pair_link_up();
	pair_wait_ms(400);
	comes_new();
	cr_assert(pair_saw("rows read"));
}

Test(ha_pair, t5_ranges_go_out_one_by_one)
{
	copying();
	rows(4, 0, false);
	cr_assert(pair_saw("session kind 2 base 4"));
	rows_ok(pair.epoch, pair.link, true); /* before it is open */
	pair_session_ok(4);
	cr_assert_eq(pair_count("link_rows"), 1);
	rows_ok(pair.epoch + 1, pair.link, true);
	rows_ok(pair.epoch, pair.link + 1, true);
	rows(4, 0, true); /* read ahead */
	cr_assert_eq(pair_count("link_rows"), 1);
	rows_ok(pair.epoch, pair.link, false);
	cr_assert_eq(pair_count("link_rows"), 2);
	rows_ok(pair.epoch, pair.link, true);
	cr_assert(pair_saw("link_insync"));
	rows_ok(pair.epoch, pair.link, true);
	cr_assert_eq(pair_count("link_insync"), 1);
}

Test(ha_pair, t5_an_answer_to_rows_not_sent_is_none)
{
	copying();
	rows(4, 0, false);
	pair_session_ok(4);
	rows_ok(pair.epoch, pair.link, false);
	rows_ok(pair.epoch, pair.link, true); /* the next range is still being read */
	cr_assert(!pair_saw("link_insync"));
	rows(4, 0, true);
	cr_assert_eq(pair_count("link_rows"), 2);
}

Test(ha_pair, t5_rows_whose_lsn_ends_no_batch_are_of_no_use)
{
	active_with_a_batch_of(2, 0);
	comes_new();
	rows(2, 0, true); /* LSN 2 and 3 are one batch */
	cr_assert(pair_saw("close") && !pair_saw("session kind 2 base 2"));
	pair_link_up();
	pair_wait_ms(200);
	comes_new();
	rows(3, 0, true);
	cr_assert(pair_saw("session kind 2 base 3"));
}

/* ---- T6 ---- */

static void behind_the_barrier(void)
{
	struct pr_hash hash;

	active(3);
	hash = pair_tail_hash();
	comes(4, &hash);
	pair_session_ok(4);
	cr_assert(pair_saw("link_insync"));
}

static void insync_ok(uint64_t epoch, uint64_t link, uint64_t lsn)
{
	SAY(INSYNC_OK, insync_ok, .epoch = epoch, .link = link, .lsn = lsn);
}

Test(ha_pair, t6_the_peer_is_named_by_its_own_word_only)
{
	behind_the_barrier();
	insync_ok(pair.epoch - 1, pair.link, 4);
	insync_ok(pair.epoch, pair.link + 1, 4);
	insync_ok(pair.epoch, pair.link, 3);
	cr_assert(!pair_saw("cas 5 members 3 active 1"));
	insync_ok(pair.epoch, pair.link, 4);
	cr_assert(pair_saw("cas 5 members 3 active 1"));
	cr_assert_eq(ha_mode(pair.h), HA_SYNC);
}

Test(ha_pair, t6_a_refusal_of_the_record_ends_the_active)
{
	behind_the_barrier();
	pair.hold_cas = true;
	insync_ok(pair.epoch, pair.link, 4);
	pair_event((struct ha_event){.type = HA_EV_ARB_CAS, .error = -ESTALE});
	cr_assert(pair_saw("DIE") && strstr(pair.text, "refused to name both"), "%s", pair.text);
}

Test(ha_pair, t6_a_record_that_cannot_be_written_is_tried_again)
{
	behind_the_barrier();
	pair.cas_error = -EIO;
	insync_ok(pair.epoch, pair.link, 4);
	pair_beats_ms(100);
	cr_assert_eq(pair_count("cas 5 members 3 active 1"), 1);
	cr_assert_eq(ha_mode(pair.h), HA_ALONE);
	pair_beats_ms(150);
	cr_assert_eq(pair_count("cas 5 members 3 active 1"), 2);
	pair.cas_error = 0;
	pair_beats_ms(250);
	cr_assert_eq(ha_mode(pair.h), HA_SYNC);
}

/* FROZEN with the session still open: what the former active says of a handover asks for nothing. */
Test(ha_pair, t6_an_unknown_outcome_freezes_the_session_and_keeps_it)
{
	behind_the_barrier();
	pair.hold_cas = true;
	insync_ok(pair.epoch, pair.link, 4);
	pair_event((struct ha_event){.type = HA_EV_ARB_CAS, .error = -ETIMEDOUT});
	cr_assert_eq(ha_mode(pair.h), HA_FROZEN);
	pair_forget();
	SAY(HANDOVER, handover, .epoch = pair.epoch, .link = pair.link, .lsn = 4);
	cr_assert(!pair_saw("link_hello"));
	pair.arb.seq++;
	pair.arb.members = 3;
	pair_event((struct ha_event){.type = HA_EV_ARB_CAS});
	cr_assert_eq(ha_mode(pair.h), HA_SYNC);
}

/* It is known to name nobody else: this one alone goes on. */
Test(ha_pair, t6_an_unknown_outcome_that_is_found_to_be_none_holds_nobody)
{
	behind_the_barrier();
	pair.hold_cas = true;
	insync_ok(pair.epoch, pair.link, 4);
	pair_event((struct ha_event){.type = HA_EV_ARB_CAS, .error = -ETIMEDOUT});
	cr_assert_eq(ha_mode(pair.h), HA_FROZEN);
	pair_event((struct ha_event){.type = HA_EV_ARB_CAS, .error = -EIO});
	cr_assert_eq(ha_mode(pair.h), HA_ALONE);
	cr_assert(ha_may_reply(pair.h, pair.now));
}

/* The peer may be named by then, and be promoted. */
Test(ha_pair, t6_while_the_record_is_written_replies_end_with_the_lease)
{
	behind_the_barrier();
	pair.hold_cas = true;
	insync_ok(pair.epoch, pair.link, 4);
	cr_assert_eq(ha_mode(pair.h), HA_ALONE);
	pair_beat_back();
	cr_assert(ha_may_reply(pair.h, pair.now + 499));
	cr_assert(!ha_may_reply(pair.h, pair.now + 500));
}

/* ---- peers that stall ---- */

Test(ha_pair, t5_a_target_that_takes_nothing_is_left_after_the_drop_time)
{
	active(3);
	comes(0, &(struct pr_hash){{0}});
	pair_session_ok(0);
	cr_assert(pair_saw("link_batch"));
	pair_beats_ms(4900);
	cr_assert(!pair_saw("close"));
	pair_beats_ms(200);
	cr_assert(pair_saw("close"));
	cr_assert_eq(ha_mode(pair.h), HA_ALONE);
}

Test(ha_pair, t5_a_session_that_is_never_answered_is_given_up)
{
	active(3);
	comes(0, &(struct pr_hash){{0}});
	cr_assert(pair_saw("session kind 1 base 0"));
	pair_beats_ms(5900);
	cr_assert(!pair_saw("close"));
	pair_beats_ms(200);
	cr_assert(pair_saw("close"));
}

/* ---- three drops an hour ---- */

/* It comes back with all there is. */
static void comes_again(void)
{
	struct pr_hash hash = pair_tail_hash();

	pair_link_up();
	pair_forget();
	pair_hello(PR_ROLE_STANDBY, HA_OUTDATED, 5, pair_tail(), &hash);
}

static bool is_offered_a_session(void)
{
	char session[64];

	snprintf(session, sizeof(session), "session kind 1 base %llu",
		 (unsigned long long)pair_tail());
	return pair_saw(session);
}

static void in_sync_again(void)
{
	comes_again();
	for (unsigned s = 0; s < 60 && !is_offered_a_session(); s++)
		pair_beats_ms(1000);
	pair_session_ok(pair_tail());
	insync_ok(pair.epoch, pair.link, pair_tail());
	cr_assert_eq(ha_mode(pair.h), HA_SYNC);
}

/* It answers heartbeats, and no batch. */
static void dropped(void)
{
	pair_forget();
	pair_submit();
	for (unsigned i = 0; i < 520 && !pair_saw("alarm SLOW_PEER 1"); i++) {
		pair_wait_ms(10);
		pair_beat_back();
	}
	cr_assert(pair_saw("alarm SLOW_PEER 1"));
	cr_assert_eq(ha_mode(pair.h), HA_ALONE);
}

/* Its link is lost, and it is there again: how long until it is offered a session. */
static unsigned offered_after_ms(void)
{
	unsigned ms = 0;

	pair_event((struct ha_event){.type = HA_EV_LINK_DOWN, .conn = pair.conn});
	comes_again();
	for (; ms < 10000 && !is_offered_a_session(); ms += 10)
		pair_beats_ms(10);
	return ms;
}

Test(ha_pair,
     t5_attempts_that_fail_are_further_apart_each_time_also_long_after_the_pair_was_in_sync)
{
	static const unsigned expected[] = {100, 200, 400, 800, 1600, 3200, 5000, 5000};

	pair_active_sync();
	pair_beats_ms(11000);
	cr_assert_leq(offered_after_ms(), 20);
	for (unsigned i = 0; i < 8; i++) {
		unsigned ms = offered_after_ms();

		cr_assert(ms + 20 >= expected[i] && ms <= expected[i] + 20, "%u: %u ms", i, ms);
	}
}

Test(ha_pair, t4_a_peer_that_was_dropped_three_times_within_an_hour_waits_for_its_end)
{
	uint64_t first;

	active(3);
	in_sync_again();
	dropped();
	first = pair.now;
	in_sync_again();
	dropped();
	in_sync_again();
	cr_assert_geq(pair.now, first + 5000 + 10000, "each time it waits twice as long");
	dropped();
	comes_again();
	cr_assert(pair_saw("alarm DROPS 1"));
	pair_beats_ms(60000);
	cr_assert(!is_offered_a_session());
	pair.now = first + 3600000;
	pair_event((struct ha_event){.type = HA_EV_TIMER}); /* the link has been silent */
	in_sync_again();
	cr_assert(pair_saw("alarm DROPS 0"));
}

/* The hour ends with the first of three drops, the wait for a slow peer with its own time. */
Test(ha_pair, t4_a_late_third_drop_outlasts_the_hour)
{
	uint64_t first;

	active(3);
	in_sync_again();
	dropped();
	first = pair.now;
	in_sync_again();
	dropped();
	pair.now = first + 3590000;
	pair_event((struct ha_event){.type = HA_EV_TIMER});
	in_sync_again();
	dropped();
	cr_assert_lt(pair.now, first + 3600000);
	comes_again();
	cr_assert(pair_saw("alarm DROPS 1"));
	pair_beats_ms(8000);
	cr_assert_gt(pair.now, first + 3600000);
	cr_assert(pair_saw("alarm DROPS 0") && !is_offered_a_session());
	in_sync_again();
}
