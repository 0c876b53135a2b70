/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Runs in processes of their own, several at a time, each in an empty directory: a run may abort. */
#pragma once
#include "tests/crash/crash.h"

typedef void crash_done_fn(void *user, const struct crash_run *, const struct crash_result *);

struct crash_pool;

struct crash_pool *crash_pool_new(unsigned jobs, const char *base_dir, crash_done_fn *, void *user);
/* May call done for runs given before, in any order. */
void crash_pool_give(struct crash_pool *, const struct crash_run *);
void crash_pool_finish(struct crash_pool *);
void crash_pool_free(struct crash_pool *);
