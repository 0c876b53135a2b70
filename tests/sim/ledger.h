/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sums over seeds in a file: over each seed from the first to before the next, once. Lines "VALUE NAME". A run that is told of a
 * ledger goes on behind it. It forgets nothing, a failure least of all: a core that was mended begins a new one.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum { LEDGER_SUMS = 128 };

struct ledger {
	const char *path; /* NULL: none, nothing is read or written */
	uint64_t first, next;
	struct ledger_sum {
		const char *name;
		uint64_t *value;
	} sum[LEDGER_SUMS];
	unsigned sums;
};

/* A new file begins at the seed `from`. */
void ledger_begin(struct ledger *, const char *path, uint64_t from);
/* The caller keeps both. The first is the number of seeds. */
void ledger_add(struct ledger *, const char *name, uint64_t *value);

/* Into next, first and the sums: 0, or -1 when it has said on stderr why not. A file that is not there has known nothing yet. */
int ledger_read(struct ledger *);
/* The old one or the new one, whatever happens meanwhile. */
int ledger_write(const struct ledger *);
