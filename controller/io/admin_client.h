/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mdcctl's end of the admin socket: one command, one answer. */
#pragma once

enum { ADMIN_WAIT_MS = 20000 };

/*
 * Asks the controller whose directory this is. 0: *ret_json is its answer, to be freed, and *ret_error 0
 * or the negative errno it gave. -ENOENT, -ECONNREFUSED: no controller runs there; -ETIMEDOUT.
 */
int admin_ask(const char *dir, const char *command, int wait_ms, char **ret_json, int *ret_error);
