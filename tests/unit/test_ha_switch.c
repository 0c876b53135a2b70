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
