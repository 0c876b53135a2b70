/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The supervisor's own door, DIR/supervisor.sock: one request, one answer in JSON. Works however long
 * the directory's path is.
 */
#pragma once

enum { PAIR_REQUEST_MAX = 256, PAIR_ANSWER_MAX = 64 << 10 };

int pair_socket_listen(const char *dir); /* descriptor or -errno */
/* The answer, to be freed. -ENOENT, -ECONNREFUSED: no supervisor runs; -EPIPE: it went away. */
int pair_socket_ask(const char *dir, const char *request, int wait_ms, char **ret_answer);
