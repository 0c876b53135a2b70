/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The arbiter record on the first LUN, and who may write it. Carries out reads, compare-and-swaps and
 * floor writes in a thread of its own: copy 0, then copy 1, each durable and read back. Holds the LUN's
 * writer lock, on the descriptor that writes, from the preemption (or the first write) until release:
 * taking it proves that nothing of a dead writer is still on its way. Decides nothing.
 *
 * What takes longer than its patience is reported once as -ETIMEDOUT, and again with its outcome when
 * that is known; nothing else is written in between, because it is one thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "ha/core/ha.h"

struct arbiter;

enum arbiter_done_type { ARBITER_READ, ARBITER_CAS, ARBITER_FLOOR, ARBITER_PREEMPTED };

struct arbiter_done {
	enum arbiter_done_type type;
	int error; /* as HA_EV_ARB_* wants it */
	struct ha_arbiter record;
	uint64_t floor_epoch, floor_lsn;
	char text[256]; /* for the log, may be empty */
};

struct arbiter_config {
	const uint8_t *cluster; /* 16 bytes */
	uint8_t node;
	const char *const *paths; /* of all metadata LUNs, the first one has the record */
	uint32_t count;
	uint32_t patience_ms;
};

/* Opens no LUN yet: one that cannot be reached is what a later answer says. */
int arbiter_new(const struct arbiter_config *, struct arbiter **ret);
void arbiter_free(struct arbiter *); /* NULL is fine */

void arbiter_read(struct arbiter *);
void arbiter_cas(struct arbiter *, const struct ha_arbiter *expect, const struct ha_arbiter *next);
void arbiter_floor(struct arbiter *, uint64_t epoch, uint64_t lsn);
void arbiter_preempt(struct arbiter *);
void arbiter_release(struct arbiter *); /* not the writer any more; no answer */

int arbiter_fd(const struct arbiter *); /* readable: call arbiter_next until false */
bool arbiter_next(struct arbiter *, struct arbiter_done *ret);
