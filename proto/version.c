/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "proto/version.h"

const char *pr_version(void)
{
	return PACKAGE_VERSION;
}
