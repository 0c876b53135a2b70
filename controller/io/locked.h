/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stddef.h>

/*
 * A busy host must not look like a dead one: code that ran for the last time months ago must be there at a promotion, and a host that is
 * short of memory throws out just that, or swaps what was not touched for long. Locks program, libraries, heap and stacks in
 * memory: code at once, the rest as far as it was ever touched, also what comes later. 0, or -EPERM when the process may not lock as much
 * as it may come to need (RLIMIT_MEMLOCK, which is raised if that is allowed): then only code is locked, and why says it; or another
 * errno.
 */
int locked_take(char *why, size_t size);
/* What is mapped of the file is no part of it: it may be larger than memory. Anew after each change of the map. */
void locked_leave_out(int fd);
