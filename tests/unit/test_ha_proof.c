/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>

#include "ha/core/ha_proof.h"

enum { LIFE = 7, NEXT = 9, NOW = 1000 };

static struct ha_proof p;

static void meet(uint64_t life)
{
	ha_proof_came(&p, life, NOW);
}

static void setup(void)
{
	p = (struct ha_proof){0};
	meet(LIFE);
}

TestSuite(proof, .init = setup);

static void loses(void)
{
	cr_assert_eq(ha_proof_gone(&p, HA_PROOF_LOST, NOW), HA_PROOF_NONE);
}

static void report_is(enum ha_proof_verdict expected)
{
	cr_assert_eq(ha_proof_cut(&p, NOW), expected);
}

static void done_is(enum ha_proof_verdict expected)
{
	cr_assert_eq(ha_proof_own_done(&p, NOW), expected);
}

Test(proof, a_process_that_ended_is_dead)
{
	cr_assert_eq(ha_proof_gone(&p, HA_PROOF_ENDED, NOW), HA_PROOF_DEAD);
	cr_assert_not(p.member);
}

Test(proof, who_says_so_is_dead)
{
	cr_assert_eq(ha_proof_gone(&p, HA_PROOF_SAID, NOW), HA_PROOF_DEAD);
}

Test(proof, a_lost_node_is_dead_when_the_fencer_says_so)
{
	loses();
	ha_proof_requested(&p);
	report_is(HA_PROOF_DEAD);
}

Test(proof, a_confirmation_that_nobody_requested_counts)
{
	loses();
	report_is(HA_PROOF_DEAD);
}

Test(proof, a_member_that_is_cut_off_is_dead_when_it_leaves)
{
	ha_proof_requested(&p);
	report_is(HA_PROOF_WAITS);
	cr_assert_eq(ha_proof_gone(&p, HA_PROOF_LOST, NOW + HA_PROOF_REPORT_MS - 1), HA_PROOF_DEAD);
}

Test(proof, a_report_does_not_wait_for_ever)
{
	ha_proof_requested(&p);
	report_is(HA_PROOF_WAITS);
	cr_assert_eq(ha_proof_gone(&p, HA_PROOF_LOST, NOW + HA_PROOF_REPORT_MS), HA_PROOF_NONE);
}

Test(proof, a_report_counts_once)
{
	ha_proof_requested(&p);
	report_is(HA_PROOF_WAITS);
	cr_assert_eq(ha_proof_gone(&p, HA_PROOF_LOST, NOW + 1), HA_PROOF_DEAD);
	meet(NEXT);
	cr_assert_eq(ha_proof_gone(&p, HA_PROOF_LOST, NOW + 2), HA_PROOF_NONE);
}

Test(proof, who_speaks_after_the_report_was_not_cut_off)
{
	ha_proof_requested(&p);
	report_is(HA_PROOF_WAITS);
	meet(LIFE);
	loses();
}

/* Its request was not heard of, so nobody asks again: this controller must, when that life is lost. */
Test(proof, a_report_for_a_member_that_nobody_requested_is_asked_for_again)
{
	report_is(HA_PROOF_OLD);
	cr_assert_eq(ha_proof_gone(&p, HA_PROOF_LOST, NOW), HA_PROOF_AGAIN);
	done_is(HA_PROOF_DEAD);
}

/* A device that answers when the host is on again, a process of ours that stood still meanwhile. */
Test(proof, a_late_report_is_no_proof_against_the_next_life)
{
	loses();
	ha_proof_requested(&p);
	meet(NEXT);
	ha_proof_requested(&p); /* said again while it is at work */
	report_is(HA_PROOF_OLD);
	cr_assert_eq(ha_proof_gone(&p, HA_PROOF_LOST, NOW), HA_PROOF_AGAIN);
}

Test(proof, a_late_report_is_no_proof_against_the_next_life_lost_either)
{
	loses();
	ha_proof_requested(&p);
	meet(NEXT);
	loses();
	report_is(HA_PROOF_AGAIN);
	report_is(HA_PROOF_OLD); /* the same fencing, told to each that asked for it */
	ha_proof_requested(&p);
	report_is(HA_PROOF_OLD);
	done_is(HA_PROOF_DEAD);
}

Test(proof, nor_one_whose_request_was_not_heard)
{
	loses();
	meet(NEXT);
	loses();
	report_is(HA_PROOF_AGAIN);
	done_is(HA_PROOF_DEAD);
}

Test(proof, after_some_minutes_no_report_is_late)
{
	loses();
	meet(NEXT);
	loses();
	cr_assert_eq(ha_proof_cut(&p, NOW + HA_PROOF_LATE_MS), HA_PROOF_DEAD);
}

Test(proof, an_own_request_while_reports_may_be_late_counts_by_its_own_end)
{
	loses();
	meet(NEXT);
	loses();
	ha_proof_own_request(&p, NEXT, NOW);
	report_is(HA_PROOF_OLD);
	done_is(HA_PROOF_DEAD);
}

Test(proof, an_own_request_for_a_member_that_was_promised_nothing)
{
	loses();
	ha_proof_requested(&p);
	meet(NEXT);
	p.late_ms = 0;
	ha_proof_own_request(&p, NEXT, NOW);
	report_is(HA_PROOF_AGAIN);
	done_is(HA_PROOF_WAITS);
	cr_assert_eq(ha_proof_gone(&p, HA_PROOF_LOST, NOW + 1), HA_PROOF_DEAD);
}

Test(proof, the_end_of_an_own_request_is_of_the_life_it_was_for)
{
	report_is(HA_PROOF_OLD);
	cr_assert_eq(ha_proof_gone(&p, HA_PROOF_LOST, NOW), HA_PROOF_AGAIN);
	meet(NEXT);
	done_is(HA_PROOF_NONE);
	report_is(HA_PROOF_OLD);
	cr_assert_eq(ha_proof_gone(&p, HA_PROOF_LOST, NOW), HA_PROOF_AGAIN);
	meet(NEXT + 1);
	loses();
	done_is(HA_PROOF_AGAIN);
	done_is(HA_PROOF_DEAD);
}

/* A report was dropped, but what this controller asked for itself is still at work: its end will tell. */
Test(proof, a_lost_member_that_is_being_cut_off_already_is_not_asked_for_twice)
{
	report_is(HA_PROOF_OLD);
	p.late_ms = NOW + 1;
	ha_proof_own_request(&p, LIFE, NOW);
	loses();
	done_is(HA_PROOF_DEAD);
}

Test(proof, an_own_request_is_told_by_its_report)
{
	loses();
	ha_proof_own_request(&p, LIFE, NOW);
	done_is(HA_PROOF_NONE);
	report_is(HA_PROOF_DEAD);
}

/* The device is broken, and an operator confirms by hand. */
Test(proof, when_the_own_request_failed_a_confirmation_counts)
{
	uint64_t of;

	loses();
	meet(NEXT);
	loses();
	report_is(HA_PROOF_AGAIN);
	cr_assert_eq(ha_proof_own_failed(&p, &of), HA_PROOF_ALIVE);
	report_is(HA_PROOF_DEAD);
}

Test(proof, a_life_that_came_back_is_the_same)
{
	loses();
	ha_proof_requested(&p);
	meet(LIFE);
	report_is(HA_PROOF_WAITS);
	cr_assert_eq(ha_proof_gone(&p, HA_PROOF_LOST, NOW + 1), HA_PROOF_DEAD);
}

Test(proof, after_a_proof_the_next_life_is_a_new_matter)
{
	loses();
	ha_proof_requested(&p);
	report_is(HA_PROOF_DEAD);
	meet(NEXT);
	loses();
	report_is(HA_PROOF_DEAD);
}

Test(proof, a_fencing_that_fails_is_told_of_the_lost_only)
{
	cr_assert_eq(ha_proof_not_cut(&p), HA_PROOF_NONE);
	loses();
	cr_assert_eq(ha_proof_not_cut(&p), HA_PROOF_ALIVE);
	report_is(HA_PROOF_DEAD);
	cr_assert_eq(ha_proof_not_cut(&p), HA_PROOF_NONE);
}

Test(proof, a_request_that_failed_is_over)
{
	loses();
	ha_proof_requested(&p);
	ha_proof_not_cut(&p);
	meet(NEXT);
	loses();
	ha_proof_requested(&p);
	report_is(HA_PROOF_DEAD);
}

Test(proof, an_own_request_that_fails_is_told_once)
{
	uint64_t of = 0;

	cr_assert_eq(ha_proof_own_failed(&p, &of), HA_PROOF_NONE);
	loses();
	ha_proof_own_request(&p, LIFE, NOW);
	cr_assert_eq(ha_proof_own_failed(&p, &of), HA_PROOF_ALIVE);
	cr_assert_eq(of, LIFE);
	cr_assert_eq(ha_proof_own_failed(&p, &of), HA_PROOF_NONE);
	ha_proof_own_request(&p, LIFE, NOW);
	cr_assert_eq(ha_proof_not_cut(&p), HA_PROOF_ALIVE);
	cr_assert_eq(ha_proof_own_failed(&p, &of), HA_PROOF_NONE);
}

Test(proof, an_own_request_for_a_life_not_seen_here_proves_only_what_was_seen)
{
	p = (struct ha_proof){0};
	ha_proof_own_request(&p, LIFE, NOW);
	report_is(HA_PROOF_DEAD);
	cr_assert_eq(p.incarnation, 0);
}
