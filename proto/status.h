/* SPDX-License-Identifier: GPL-2.0-or-later OR LGPL-2.1-or-later */
/*
 * What a reply's status field says: 0, an errno value as Linux numbers them, or one of these, which
 * no application sees: the client's core deals with them.
 */
#pragma once

#include <stdint.h>

/* PR_STATUS(number, NAME, text) */
#define PR_STATUS_LIST                                                                   \
	PR_STATUS(1001, NOT_ACTIVE, "this controller is not the active one")             \
	PR_STATUS(1002, BAD_SESSION, "the session is unknown or was evicted")            \
	PR_STATUS(1003, STALE_SEQUENCE, "the slot has already executed a later request") \
	PR_STATUS(1004, BUSY, "the controller has no room for the request now")          \
	PR_STATUS(1005, VERSION, "no protocol version is spoken by both sides")          \
	PR_STATUS(1006, CLUSTER, "the peer belongs to another cluster")                  \
	PR_STATUS(1007, MOUNTED, "the volume is already mounted")                        \
	PR_STATUS(1008, VOLUME, "there is no volume of that name")                       \
	PR_STATUS(1009, LAYOUT, "the layout was recalled or is of an older generation")

enum pr_status {
#define PR_STATUS(number, NAME, text) PR_E_##NAME = number,
	PR_STATUS_LIST
#undef PR_STATUS
};

/* "OK", "NOT_ACTIVE", "ENOENT"; "?" for a number without a name. */
const char *pr_status_name(uint32_t status);
/* A sentence without a full stop. */
const char *pr_status_text(uint32_t status);
