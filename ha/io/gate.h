/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A sentence that strangers can cause as often as they like: it is said once a second at most, and the next one tells how many were
 * held back meanwhile.
 */
#pragma once

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { GATE_MS = 1000, GATE_TEXT = 48 };

struct gate {
	uint64_t shut_until_ms, held;
};

/* True: to be said now, with more at its end. */
static inline bool gate_open(struct gate *g, uint64_t now_ms, char more[GATE_TEXT])
{
	more[0] = '\0';
	if (now_ms < g->shut_until_ms) {
		g->held++;
		return false;
	}
	if (g->held)
		snprintf(more, GATE_TEXT, " (and %" PRIu64 " more before)", g->held);
	*g = (struct gate){.shut_until_ms = now_ms + GATE_MS};
	return true;
}
