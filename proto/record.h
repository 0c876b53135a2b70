/* SPDX-License-Identifier: GPL-2.0-or-later OR LGPL-2.1-or-later */
/*
 * The journal's records of journal.def as C: what stands inside a batch. The batch around them is
 * the journal's.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/cursor.h"
#include "proto/text.h"

#define PR_DEF "proto/journal.def"
#include "proto/gen_decl.inc"

enum { PR_RECORD_OPERATION = 0, PR_RECORD_EPOCH = 1, PR_RECORD_HANDOVER = 2 }; /* record.kind */
enum { PR_CHANGE_DELETE = 0, PR_CHANGE_PUT = 1 };			       /* change.op */

/* The record in a line and each of its changes, decoded as a row, in a line of its own. */
void pr_record_explain(struct pr_text *t, const struct pr_record *v);
