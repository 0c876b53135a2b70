/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A process of another program that sleeps while something waits for it is woken. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

/*
 * Ends the sleep (sleep(), nanosleep()) that the process of this name is in, by SIGCHLD, which it must handle. Does nothing to one that is not asleep,
 * or not there. *pid remembers it between calls, 0 at first. True: it was woken. Linux: proc(5), comm and syscall.
 */
bool sleeper_wake(const char *name, pid_t *pid);
