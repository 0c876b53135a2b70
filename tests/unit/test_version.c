/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>

#include "proto/version.h"

Test(version, is_that_of_the_package)
{
	cr_assert_str_eq(pr_version(), PACKAGE_VERSION);
}
