/* SPDX-License-Identifier: GPL-2.0-or-later */
/* T8, the handover to the other. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include "tests/unit/ha_rig.h"

Test(ha_pair, t8_a_handover_drains_promises_and_writes_the_record_last)
{
	pair_active_sync();
	pair_submit();
	pair_event((struct ha_event){.type = HA_EV_SWITCHOVER, .ticket = 8});
	pair_ack(pair_tail());
	cr_assert(pair_saw("DRAIN") && !pair_saw("link_handover"));
	pair_event((struct ha_event){.type = HA_EV_DRAINED});
	cr_assert(!pair_saw("link_handover"), "the HANDOVER record is not acked");
	pair_ack(pair_tail());
	ORDER("DRAIN", "link_handover", "cas 6 members 3 active 2", "STANDBY", "result 0");
	cr_assert_eq(ha_role(pair.h), PR_ROLE_STANDBY);
}

Test(ha_pair, t8_a_demotion_with_a_standby_in_sync_is_a_handover)
{
	pair_active_sync();
	pair_event((struct ha_event){.type = HA_EV_DEMOTE, .ticket = 8});
	pair_event((struct ha_event){.type = HA_EV_DRAINED});
	pair_ack(pair_tail());
	ORDER("DRAIN", "link_handover", "cas 6 members 3 active 2", "STANDBY", "result 0");
}

Test(ha_pair, t8_a_peer_lost_before_the_promise_means_going_on)
{
	pair_active_sync();
	pair_event((struct ha_event){.type = HA_EV_SWITCHOVER, .ticket = 8});
	pair_event((struct ha_event){.type = HA_EV_DRAINED});
	pair_event((struct ha_event){.type = HA_EV_LINK_DOWN, .conn = pair.conn});
	cr_assert(pair_saw("UNDRAIN") && !pair_saw("STANDBY"));
	cr_assert_eq(pair.result, -EAGAIN);
	cr_assert_eq(ha_mode(pair.h), HA_ALONE);
}

Test(ha_pair, t8_after_the_promise_only_the_peer_can_give_it_back)
{
	pair_active_sync();
	pair.cas_error = -EIO;
	pair_event((struct ha_event){.type = HA_EV_SWITCHOVER, .ticket = 8});
	pair_event((struct ha_event){.type = HA_EV_DRAINED});
	pair_ack(pair_tail());
	ORDER("link_handover", "cas 6 members 3 active 2", "link_promise_ask");
	cr_assert(!pair_saw("UNDRAIN"));
	SAY(PROMISE, promise, .epoch = 6, .to = 1, .granted = 1);
	cr_assert(pair_saw("UNDRAIN"));
	cr_assert_eq(pair.result, -EAGAIN);
}

Test(ha_pair, t8_without_sync_it_is_refused)
{
	pair_active_alone(3);
	pair_event((struct ha_event){.type = HA_EV_SWITCHOVER, .ticket = 8});
	cr_assert_eq(pair.result, -EAGAIN);
	cr_assert_eq(ha_mode(pair.h), HA_ALONE);
}

Test(ha_pair, t8_a_record_that_somebody_else_wrote_ends_the_active)
{
	pair_active_sync();
	pair.hold_cas = true;
	pair_event((struct ha_event){.type = HA_EV_SWITCHOVER, .ticket = 8});
	pair_event((struct ha_event){.type = HA_EV_SWITCHOVER, .ticket = 9});
	cr_assert_eq(pair.result, -EALREADY);
	pair_event((struct ha_event){.type = HA_EV_DRAINED});
	pair_ack(pair_tail());
	pair.arb.seq++;
	pair.arb.epoch = 9;
	pair.arb.active = pair.arb.members = 2;
	pair_event(
		(struct ha_event){.type = HA_EV_ARB_CAS, .error = -ESTALE, .arbiter = &pair.arb});
	cr_assert(pair_saw("DIE") && strstr(pair.text, "refused the handover"), "%s", pair.text);
}

Test(ha_pair, t8_a_refusal_that_shows_the_own_record_is_none)
{
	pair_active_sync();
	pair.hold_cas = true;
	pair_event((struct ha_event){.type = HA_EV_SWITCHOVER, .ticket = 8});
	pair_event((struct ha_event){.type = HA_EV_DRAINED});
	pair_ack(pair_tail());
	pair.arb.seq++;
	pair.arb.epoch++;
	pair.arb.active = 2;
	pair_event(
		(struct ha_event){.type = HA_EV_ARB_CAS, .error = -ESTALE, .arbiter = &pair.arb});
	cr_assert(pair_saw("STANDBY") && !pair_saw("DIE"));
	cr_assert_eq(pair.result, 0);
}

/* ---- the way back ---- */

/* The record could not be written, and the promise is out: the heir is asked for its own. */
static void asks_for_it_back(void)
{
	pair_active_sync();
	pair.cas_error = -EIO;
	pair_event((struct ha_event){.type = HA_EV_SWITCHOVER, .ticket = 8});
	cr_assert(ha_can_submit(pair.h), "what was begun may end");
	pair_event((struct ha_event){.type = HA_EV_DRAINED});
	cr_assert(!ha_can_submit(pair.h));
	pair_ack(pair_tail());
	cr_assert_eq(pair_count("link_promise_ask"), 1);
	cr_assert_eq(pair_count("cas 6 members 3 active 2"), 1);
}

static void said(uint64_t epoch, bool granted)
{
	SAY(PROMISE, promise, .epoch = epoch, .to = 1, .granted = granted);
}

Test(ha_pair, t8_a_refusal_or_another_promise_gives_nothing_back)
{
	asks_for_it_back();
	said(7, true);
	cr_assert(!pair_saw("UNDRAIN"));
	cr_assert_eq(pair_count("link_promise_ask"), 1);
	said(6, false);
	cr_assert(!pair_saw("UNDRAIN"));
	cr_assert_eq(pair_count("link_promise_ask"), 2, "it is asked again");
	said(6, true);
	cr_assert(pair_saw("UNDRAIN"));
	cr_assert_eq(pair.result, -EAGAIN);
}

/* Out of reach, the heir cannot give it back: the record is tried again until one of both comes about. */
Test(ha_pair, t8_without_the_heir_the_record_is_written_again)
{
	struct pr_hash hash;

	asks_for_it_back();
	pair_event((struct ha_event){.type = HA_EV_LINK_DOWN, .conn = pair.conn});
	cr_assert(!pair_saw("UNDRAIN"));
	pair_wait_ms(100);
	pair_link_up(); /* and has not said who it is */
	pair_wait_ms(500);
	cr_assert_geq(pair_count("cas 6 members 3 active 2"), 2);
	cr_assert_leq(pair_count("cas 6 members 3 active 2"), 5, "every 200 ms");
	hash = pair_tail_hash();
	pair_hello(PR_ROLE_STANDBY, HA_INSYNC, 5, pair_tail(), &hash);
	pair_wait_ms(300);
	cr_assert_eq(pair_count("link_promise_ask"), 2);
	cr_assert(!pair_saw("cas 6 members 1 active 1"), "the promise still binds");
	cr_assert_eq(ha_mode(pair.h), HA_FROZEN);
	pair.cas_error = 0;
	pair_event((struct ha_event){.type = HA_EV_LINK_DOWN, .conn = pair.conn});
	pair_wait_ms(300);
	cr_assert(pair_saw("STANDBY"));
	cr_assert_eq(pair.result, 0);
	cr_assert_eq(pair.arb.active, 2);
}

static void fenced(void)
{
	pair_event((struct ha_event){.type = HA_EV_FENCE, .incarnation = 51});
}

Test(ha_pair, t8_the_proven_end_of_the_heir_voids_the_promise)
{
	asks_for_it_back();
	fenced();
	cr_assert(pair_saw("UNDRAIN") && !pair_saw("STANDBY"));
	cr_assert_eq(pair.result, -EAGAIN);
	cr_assert(strstr(pair.text, "died meanwhile"), "%s", pair.text);
	pair.cas_error = 0;
	pair_wait_ms(500);
	cr_assert_eq(ha_mode(pair.h), HA_ALONE);
}

/* The heir dies while the record is being written, and then it says that it is the heir's. */
Test(ha_pair, t8_a_record_that_lands_behind_the_heirs_end_is_a_handover)
{
	pair_active_sync();
	pair.hold_cas = true;
	pair_event((struct ha_event){.type = HA_EV_SWITCHOVER, .ticket = 8});
	pair_event((struct ha_event){.type = HA_EV_DRAINED});
	pair_ack(pair_tail());
	fenced();
	pair_record(6, 3, 2);
	pair_event((struct ha_event){.type = HA_EV_ARB_CAS});
	cr_assert(pair_saw("STANDBY") && !pair_saw("DIE"));
	cr_assert_eq(pair.result, 0);
	pair.hold_cas = false;
	pair_event((struct ha_event){.type = HA_EV_PROMOTE, .ticket = 9});
	cr_assert_eq(pair.result, 0, "%s", pair.text);
	cr_assert_eq(pair.arb.members, 1);
}

Test(ha_pair, t8_the_record_waits_for_a_floor_under_way)
{
	pair_active_sync();
	pair.hold_floors = true;
	pair_submit();
	pair_ack(pair_tail());
	for (unsigned i = 0; i < 110; i++) {
		pair_wait_ms(10);
		pair_beat_back();
	}
	cr_assert_gt(pair.floors, 0);
	pair_event((struct ha_event){.type = HA_EV_SWITCHOVER, .ticket = 8});
	pair_event((struct ha_event){.type = HA_EV_DRAINED});
	pair_ack(pair_tail());
	cr_assert(!pair_saw("link_handover") && !pair_saw("cas 6 members 3 active 2"));
	pair_event((struct ha_event){.type = HA_EV_ARB_FLOOR});
	ORDER("link_handover", "cas 6 members 3 active 2", "STANDBY");
}
