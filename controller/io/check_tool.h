/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command mdcctl check. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "controller/io/pair_status.h"

struct check_tool {
	const struct pair_place *where; /* its conf need not be sound: that is a finding */
	const char *place;		/* as -C said it, NULL if it did not */
	const char *peer, *peer_facts;	/* how the other host is asked; NULL: not */
	const char *corosync, *cib;	/* files, NULL: where they are by rights */
	bool facts, json;
};

/* mdcctl's exit status; PAIR_UNREACHABLE has a sentence in why. */
int check_run(const struct check_tool *, char *why, size_t size);
