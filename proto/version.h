/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The version of this build: what --version prints and what a peer is told. */

/* Never NULL, static. */
const char *pr_version(void);
