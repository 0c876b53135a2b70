/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A command in the namespaces of a process. */
#pragma once

/* Its exit status, 128 and the signal that ended it, 126 or 127 as in a shell. command: as for execvp. */
int enter(const char *pid, char **command);
