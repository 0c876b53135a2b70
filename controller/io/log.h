/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where the daemon's sentences go: stderr, syslog or a file through libqb, and always the blackbox,
 * which is written to a file when the process crashes or an assertion fails.
 */
#pragma once

#include <qb/qblog.h>

/* to: "stderr", "syslog" or a file. crash_dir: where blackbox.PID goes; NULL: no blackbox. 0 or -errno. */
int log_open(const char *program, const char *to, int level, const char *crash_dir);
void log_close(void);

#define log_error(...)	 qb_log(LOG_ERR, __VA_ARGS__)
#define log_warning(...) qb_log(LOG_WARNING, __VA_ARGS__)
#define log_notice(...)	 qb_log(LOG_NOTICE, __VA_ARGS__)
#define log_info(...)	 qb_log(LOG_INFO, __VA_ARGS__)
#define log_debug(...)	 qb_log(LOG_DEBUG, __VA_ARGS__)
