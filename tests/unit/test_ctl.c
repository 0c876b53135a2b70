/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The controller core with one client or two: what is answered when, and what survives. */
#include <criterion/criterion.h>
#include <stdio.h>
#include "tests/unit/ctl_rig.h"

Test(ctl, boots_promotes_creates_and_looks_up)
{
	static struct rig g;
	struct rig_client cl;
	uint64_t made, found;

	rig_start(&g);
	cr_assert_eq(rig_client_open(&g, &cl, 1, 0), 0);
	cr_assert_eq(rig_create(&g, &cl, "hello", &made), 0);
	cr_assert_eq(rig_lookup(&g, &cl, "hello", &found), 0);
	cr_assert_eq(made, found);
	cr_assert_eq(rig_lookup(&g, &cl, "nobody", NULL), ENOENT);
	rig_close(&g);
}
