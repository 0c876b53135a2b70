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
	pair_event((struct ha_event){.type = HA_EV_LINK_UP, .conn = 1});
}
