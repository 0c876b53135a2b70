/* SPDX-License-Identifier: GPL-2.0-or-later */
/* T5 and T6 as their target: which sessions are refused, the cut, the full copy, and links that go in the midst of each. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include "tests/unit/ha_rig.h"

static void connected(void)
{
	struct pr_hash zero = {0};

	pair_link_up();
	pair_hello(PR_ROLE_ACTIVE, HA_DALONE, 5, 9, &zero);
}

/* A member no longer: the active is alone in epoch 5; four LSNs of epoch 4 stand here, two are known to be committed. */
static void outdated(void)
{
	pair_start(2, 2);
	pair.saved.dstate = HA_OUTDATED;
	pair.arb.epoch = 5;
	pair_log_of(4);
	pair_boot();
	connected();
	pair.epoch = 5;
	pair.link = 7;
	pair_forget();
}

static void offer(uint8_t kind, uint64_t base_lsn, const struct pr_hash *hash)
{
	SAY(SESSION, session, .epoch = pair.epoch, .link = pair.link, .kind = kind,
	    .base_lsn = base_lsn, .base_hash = pr_hash_bytes(hash));
}

static void refused(const char *why)
{
	cr_assert(pair_saw("close") && pair_saw("alarm PEER 1"), "%s", why);
	cr_assert(!pair_saw("link_session_ok") && !pair_saw("cut 3"), "%s", why);
	cr_assert_eq(pair.saved.dstate, HA_OUTDATED, "%s", why);
	cr_assert_eq(pair_tail(), 4, "%s", why);
	pair_end();
}

Test(ha_pair, t5_a_base_that_is_not_on_the_own_chain_is_refused)
{
	static const struct pr_hash other = {{9}};
	static const struct {
		uint64_t base_lsn;
		const char *why;
	} bases[] = {
		{4, "the tail with another hash"},
		{9, "behind the tail"},
		{1, "on the chain, before what is applied"},
		{3, "in the log with another hash"},
	};

	for (unsigned i = 0; i < sizeof(bases) / sizeof(bases[0]); i++) {
		outdated();
		offer(PR_LINK_RESYNC, bases[i].base_lsn,
		      bases[i].base_lsn == 1 ? &pair.log[0]->hash : &other);
		cr_assert_eq(pair_saw("fetch 4"), bases[i].base_lsn == 3);
		cr_assert(!pair_saw("fetch 5") && !pair_saw("fetch 10") && !pair_saw("fetch 2"));
		refused(bases[i].why);
	}
}

Test(ha_pair, t5_a_base_that_the_journal_does_not_show_is_refused)
{
	struct jr_batch *later;

	for (unsigned i = 0; i < 3; i++) {
		outdated();
		later = pair_batch(4, 5, 0, &pair.log[2]->hash, 0);
		pair.hold_fetches = true;
		offer(PR_LINK_RESYNC, 3, &pair.log[2]->hash);
		cr_assert(pair_saw("fetch 4") && !pair_saw("close"));
		pair_fetched(i == 0 ? NULL : i == 1 ? pair.log[1] : later);
		jr_batch_unref(later);
		refused(i == 0 ? "none" : "another batch");
	}
}

Test(ha_pair, t5_nothing_is_given_up_unless_the_arbiter_is_where_the_active_is)
{
	for (unsigned i = 0; i < 3; i++) {
		outdated();
		if (i == 0)
			pair_record(5, 3, 2); /* this one is a member */
		else if (i == 1)
			pair_record(6, 2, 2); /* it is no active any more */
		else
			pair.arb_error = -EIO;
		offer(PR_LINK_RESYNC, 3, &pair.log[2]->hash);
		refused("no proof");
	}
}

Test(ha_pair, t3_a_session_in_sync_fits_the_own_tail_or_is_refused)
{
	struct pr_hash hash, other = {{9}};

	for (unsigned i = 0; i < 3; i++) {
		pair_standby_in_sync(3);
		hash = pair_tail_hash();
		pair_event((struct ha_event){.type = HA_EV_LINK_DOWN, .conn = pair.conn});
		pair_link_up();
		pair_hello(PR_ROLE_ACTIVE, HA_INSYNC, 4, 3, &hash);
		pair_forget();
		pair.link = 8;
		offer(PR_LINK_INSYNC, i == 0 ? 2 : 3, i == 1 ? &other : &hash);
		cr_assert_eq(pair_saw("link_session_ok"), i == 2);
		cr_assert_eq(pair_saw("close"), i != 2);
		pair_end();
	}
}

Test(ha_pair, t5_a_link_that_goes_while_the_base_is_looked_up_ends_the_attempt)
{
	outdated();
	pair.hold_fetches = true;
	offer(PR_LINK_RESYNC, 3, &pair.log[2]->hash);
	pair_event((struct ha_event){.type = HA_EV_LINK_DOWN, .conn = pair.conn});
	pair_fetched(pair.log[3]);
	cr_assert(!pair_saw("cut 3") && !pair_saw("link_session_ok"));
	cr_assert_eq(pair.saved.dstate, HA_OUTDATED);
}

/* ---- the cut ---- */

static void cut_under_way(void)
{
	outdated();
	pair.hold_cuts = true;
	offer(PR_LINK_RESYNC, 3, &pair.log[2]->hash);
	ORDER("save SYNCTARGET 5", "cut 3");
	cr_assert(!pair_saw("link_session_ok"));
}

Test(ha_pair, t5_a_link_that_goes_during_the_cut_is_answered_when_it_is_done)
{
	cut_under_way();
	pair_event((struct ha_event){.type = HA_EV_LINK_DOWN, .conn = pair.conn});
	connected();
	offer(PR_LINK_RESYNC, 3, &pair.log[2]->hash);
	cr_assert_eq(pair_count("link_hello"), 1, "the first word of a connection, and no answer");
	cr_assert_eq(pair_count("cut 3"), 1);
	cr_assert(!pair_saw("link_session_ok"));
	pair_forget();
	pair_event((struct ha_event){.type = HA_EV_CUT, .lsn = 3});
	cr_assert(pair_saw("link_hello") && !pair_saw("link_session_ok"), "asked too early");
	cr_assert_eq(pair_tail(), 3);
	offer(PR_LINK_RESYNC, 3, &pair.log[2]->hash);
	cr_assert(pair_saw("link_session_ok"));
}

Test(ha_pair, p0_a_promotion_waits_for_the_cut_and_then_refuses)
{
	cut_under_way();
	pair_event((struct ha_event){.type = HA_EV_PROMOTE});
	pair_beats_ms(100);
	cr_assert_eq(pair.result, 1);
	pair_event((struct ha_event){.type = HA_EV_CUT, .lsn = 3});
	cr_assert_eq(pair.result, -EPERM);
}

Test(ha_pair, t5_the_end_of_a_cut_that_is_none_changes_nothing)
{
	pair_standby_in_sync(3);
	pair_event((struct ha_event){.type = HA_EV_CUT, .lsn = 1});
	cr_assert_eq(pair_tail(), 3);
}

/* ---- the full copy ---- */

static void applied(int error)
{
	pair_event((struct ha_event){.type = HA_EV_ROWS_APPLIED, .error = error});
}

static void copy_begins(uint64_t base_lsn)
{
	struct pr_hash hash = {{1}};

	outdated();
	offer(PR_LINK_COPY, base_lsn, &hash);
	ORDER("save SYNCTARGET 5", "rows begin");
	cr_assert(!pair_saw("link_session_ok"), "the new store does not stand yet");
}

static void rows(uint64_t epoch, uint64_t link, bool last)
{
	SAY(ROWS, rows, .epoch = epoch, .link = link, .lsn = 100, .last = last,
	    .rows = {(const uint8_t *)"rows", 4});
}

Test(ha_pair, t5_ranges_of_rows_are_answered_one_by_one_and_the_last_when_all_stands)
{
	copy_begins(100);
	applied(0);
	cr_assert(pair_saw("link_session_ok"));
	rows(5, 8, false); /* another session, another epoch */
	rows(4, 7, false);
	cr_assert(!pair_saw("rows put"));
	rows(5, 7, false);
	rows(5, 7, true);
	rows(5, 7, false); /* behind the last */
	cr_assert_eq(pair_count("rows put"), 2);
	cr_assert(!pair_saw("link_rows_ok"));
	applied(0);
	cr_assert_eq(pair_count("link_rows_ok"), 1);
	cr_assert(!pair_saw("rows end"));
	applied(0);
	cr_assert(pair_saw("rows end"));
	cr_assert_eq(pair_count("link_rows_ok"), 1);
	applied(0);
	cr_assert_eq(pair_count("link_rows_ok"), 2);
	cr_assert_eq(pair.saved.fault_flags, 0);
	applied(0); /* nothing was asked */
	cr_assert_eq(ha_commit_lsn(pair.h), 100);
}

Test(ha_pair, t5_a_copy_may_begin_before_what_was_committed_here)
{
	copy_begins(1);
	applied(0);
	cr_assert(pair_saw("link_session_ok"));
	cr_assert_eq(pair_tail(), 1);
	cr_assert_eq(ha_commit_lsn(pair.h), 1);
}

Test(ha_pair, t5_no_batch_and_no_insync_before_the_rows_stand)
{
	struct pr_hash hash = {{1}};

	copy_begins(100);
	applied(0);
	pair_give(5, 7, 101, &hash, 100);
	cr_assert(pair_saw("link_nack") && !pair_saw("append"));
	SAY(INSYNC, insync, .epoch = 5, .link = 7, .lsn = 100);
	cr_assert(!pair_saw("link_insync_ok"));
	cr_assert_eq(pair.saved.dstate, HA_SYNCTARGET);
}

Test(ha_pair, t5_a_link_that_goes_while_rows_are_written_is_answered_when_they_are)
{
	struct pr_hash hash = {{1}};

	copy_begins(100);
	pair_event((struct ha_event){.type = HA_EV_LINK_DOWN, .conn = pair.conn});
	pair_forget();
	connected();
	pair.link = 8;
	offer(PR_LINK_COPY, 100, &hash);
	cr_assert_eq(pair_count("link_hello"), 1, "the first word of a connection, and no answer");
	cr_assert(!pair_saw("rows begin"));
	applied(0);
	cr_assert_eq(pair_count("link_hello"), 2);
	offer(PR_LINK_COPY, 100, &hash);
	cr_assert(pair_saw("rows begin"));
}

Test(ha_pair, t5_rows_that_cannot_be_written_end_the_process)
{
	copy_begins(100);
	applied(0);
	rows(5, 7, false);
	applied(-EIO);
	cr_assert(pair_saw("DIE") && strstr(pair.text, "full copy"), "%s", pair.text);
	cr_assert(!pair_saw("link_rows_ok"));
	pair_end();
	copy_begins(100); /* of an attempt that is over */
	applied(0);
	rows(5, 7, false);
	pair_event((struct ha_event){.type = HA_EV_LINK_DOWN, .conn = pair.conn});
	applied(-EIO);
	cr_assert(!pair_saw("DIE"));
	cr_assert_eq(pair.saved.fault_flags, 1, "and the copy is not done");
}

Test(ha_pair, t6_the_old_store_goes_when_the_record_names_this_one_and_it_is_insync)
{
	copy_begins(100);
	applied(0);
	rows(5, 7, true);
	applied(0);
	applied(0);
	pair_record(5, 3, 2); /* too early */
	pair_beats_ms(1200);
	cr_assert(!pair_saw("rows keep"));
	SAY(INSYNC, insync, .epoch = 5, .link = 7, .lsn = 100);
	ORDER("save INSYNC 5", "link_insync_ok");
	cr_assert(pair_saw("rows keep"));
}

Test(ha_pair, t6_insync_is_answered_when_all_of_it_is_durable)
{
	struct pr_hash hash;

	outdated();
	hash = pair_tail_hash();
	offer(PR_LINK_RESYNC, 4, &hash);
	cr_assert(pair_saw("link_session_ok"));
	pair.hold_appends = true;
	pair_give(5, 7, 5, &hash, 4);
	SAY(INSYNC, insync, .epoch = 5, .link = 7, .lsn = 5);
	cr_assert(!pair_saw("save INSYNC 5") && !pair_saw("link_insync_ok"));
	pair_event((struct ha_event){.type = HA_EV_APPENDED, .lsn = 5});
	ORDER("save INSYNC 5", "link_insync_ok");
}
