/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a start finds, and what comes before it is over. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include "tests/unit/ha_rig.h"

Test(ha_pair, a_journal_or_state_of_another_pair_ends_the_start)
{
	pair_start(3, 2);
	pair_log_of(2);
	pair_boot_as(0, JR_FOREIGN);
	cr_assert(pair_saw("DIE") && strstr(pair.text, "correct the configuration"), "%s",
		  pair.text);
	pair_end();
	pair_start(3, 2);
	pair.saved.node = 2;
	pair_boot();
	cr_assert(pair_saw("DIE") && strstr(pair.text, "another cluster or node"), "%s", pair.text);
	pair_end();
	pair_start(3, 2);
	pair.saved.cluster[0] ^= 1;
	pair_boot();
	cr_assert(pair_saw("DIE") && strstr(pair.text, "another cluster or node"), "%s", pair.text);
	pair_end();
	pair_start(3, 2);
	pair_boot_as(-EUCLEAN, JR_EMPTY);
	cr_assert(pair_saw("DIE") && strstr(pair.text, "fewer than two"), "%s", pair.text);
}

Test(ha_pair, an_order_before_the_start_is_over_waits)
{
	pair_start(3, 2);
	pair.h = ha_new(&pair.cfg);
	pair_event((struct ha_event){.type = HA_EV_PROMOTE, .ticket = 1});
	cr_assert_eq(pair.result, -EAGAIN);
}

Test(ha_pair, a_peer_that_connects_before_the_start_is_over_hears_of_it_again)
{
	pair_start(3, 2);
	pair.h = ha_new(&pair.cfg);
	pair_link_up();
	pair_forget();
	pair_boot_alone(0, JR_EMPTY);
	cr_assert(pair_saw("link_hello"));
	pair_end();
	pair_start(3, 2); /* it goes before that */
	pair.h = ha_new(&pair.cfg);
	pair_link_up();
	pair_peer(50, false, true);
	cr_assert(pair_saw("close"));
	pair_forget();
	pair_boot_alone(0, JR_EMPTY);
	cr_assert(!pair_saw("link_hello"));
	cr_assert_eq(ha_role(pair.h), PR_ROLE_STANDBY);
}

/* Rows that the journal does not meet are worth nothing: no promotion, and a full copy instead. */
static void rows_at(uint64_t first_lsn, uint64_t store_lsn)
{
	pair_start(3, 2);
	pair_log_of(4);
	pair.first_lsn = first_lsn;
	pair.store_lsn = store_lsn;
	pair_boot();
	pair_fenced();
	pair_event((struct ha_event){.type = HA_EV_PROMOTE});
}

Test(ha_pair, rows_that_the_journal_does_not_meet_are_damage)
{
	rows_at(1, 5);
	cr_assert(pair_saw("alarm JOURNAL 1"));
	cr_assert_eq(pair.result, -EPERM);
	cr_assert(strstr(pair.text, "the rows stand at LSN 5"), "%s", pair.text);
	pair_end();
	rows_at(3, 1);
	cr_assert(pair_saw("alarm JOURNAL 1"));
	cr_assert_eq(pair.result, -EPERM);
	cr_assert(strstr(pair.text, "the rows stand at LSN 1"), "%s", pair.text);
	pair_end();
	rows_at(3, 2);
	cr_assert(!pair_saw("alarm JOURNAL 1"));
	cr_assert_eq(pair.result, 0, "%s", pair.text);
	pair_end();
	rows_at(1, 4);
	cr_assert_eq(pair.result, 0, "%s", pair.text);
}

/* ---- the end ---- */

Test(ha_pair, t7_a_state_that_cannot_be_saved_ends_the_process)
{
	pair_start(3, 2);
	pair.hold_saves = true;
	pair_boot();
	pair_fenced();
	pair_event((struct ha_event){.type = HA_EV_PROMOTE});
	cr_assert(pair_saw("save ALONE 5"));
	pair_event((struct ha_event){.type = HA_EV_STATE_SAVED, .error = -EIO});
	cr_assert(pair_saw("DIE") && !pair_saw("SERVE"));
	cr_assert(strstr(pair.text, "could not be saved"), "%s", pair.text);
}

/* The write of QUARANTINED fails, and its time is over in the same moment. */
Test(ha_pair, t7_the_end_is_told_once)
{
	pair_active_sync();
	pair.hold_saves = true;
	pair_event((struct ha_event){.type = HA_EV_APPEND_FAILED, .error = -EIO});
	cr_assert(pair_saw("save QUARANTINED 5") && !pair_saw("DIE"));
	cr_assert(!ha_may_reply(pair.h, pair.now) && !ha_can_submit(pair.h));
	pair_event((struct ha_event){.type = HA_EV_APPEND_FAILED, .error = -EIO});
	cr_assert_eq(pair_count("save QUARANTINED 5"), 1);
	pair.now += 2000;
	pair_event((struct ha_event){.type = HA_EV_STATE_SAVED, .error = -EIO});
	cr_assert_eq(pair_count("DIE"), 1);
	cr_assert(strstr(pair.text, "could not be saved"), "%s", pair.text);
}

Test(ha_pair, without_memory_there_is_no_core)
{
	pair_start(3, 2);
	pair_no_memory = true;
	pair.h = ha_new(&pair.cfg);
	pair_no_memory = false;
	cr_assert_null(pair.h);
}

/* ---- effects that nobody takes yet ---- */

/* Each of these questions is answered at once. */
static void ask_forks(unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		SAY(FORK_ASK, fork_ask, .nonce = i, .lsn = 9);
}

Test(ha_pair, effects_that_wait_slow_the_procedures_and_lose_nothing)
{
	struct pr_hash zero = {0};

	pair_start(3, 2);
	pair_boot();
	pair_link_up();
	pair_hello(PR_ROLE_STANDBY, HA_INSYNC, 4, 0, &zero);
	pair.hold_effects = true;
	ask_forks(600);
	/* from here on a procedure moves once with each event */
	pair_event((struct ha_event){.type = HA_EV_PROMOTE});
	pair_event((struct ha_event){.type = HA_EV_ARB_READ, .arbiter = &pair.arb});
	SAY(PROMISE, promise, .epoch = 5, .to = 1, .granted = 1); /* not asked for yet */
	pair.hold_effects = false;
	pair_event((struct ha_event){.type = HA_EV_TIMER});
	cr_assert_eq(pair_count("link_fork"), 600);
	cr_assert_eq(pair_count("link_promise_ask"), 1);
	cr_assert(!pair_saw("preempt"), "the promise answered no question");
	SAY(PROMISE, promise, .epoch = 5, .to = 1, .granted = 1);
	cr_assert_eq(pair.result, 0, "%s", pair.text);
}

Test(ha_pair, what_waits_is_freed_with_the_core)
{
	struct pr_hash hash;
	struct jr_batch *b;

	pair_active_alone(3);
	hash = pair_tail_hash();
	b = pair_batch(5, 5, 4, &hash, 0);
	ha_step(pair.h, &(struct ha_event){.type = HA_EV_SUBMIT, .now_ms = pair.now, .batch = b});
	cr_assert_eq(b->refs, 3, "in flight, and to be appended");
	ha_free(pair.h);
	pair.h = NULL;
	cr_assert_eq(b->refs, 1);
	jr_batch_unref(b);
}
