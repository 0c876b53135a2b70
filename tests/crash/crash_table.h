/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "tests/crash/crash.h"

struct crash_table {
	uint64_t count[CRASH_WHERES][CRASH_OUTCOMES];
};

const char *crash_outcome_name(enum crash_outcome);
void crash_table_add(struct crash_table *, const struct crash_result *);
uint64_t crash_table_total(const struct crash_table *, enum crash_where);
void crash_table_print(const struct crash_table *);
