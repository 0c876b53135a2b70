/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "controller/io/log.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/assert.h"
#include "proto/assert_stderr.h"

enum { BLACKBOX_BYTES = 1 << 20 };

static char blackbox[PATH_MAX];

/* The blackbox is what a crashed process leaves; its file in /dev/shm goes now, not with the process. */
static void unlink_ring(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[PATH_MAX + 128], *path;

	while (maps && fgets(line, sizeof(line), maps)) {
		path = strchr(line, '/');
		if (!path || strncmp(path, "/dev/shm/qb-", 12) != 0 || !strstr(path, "-blackbox-"))
			continue;
		path[strcspn(path, " \n")] = '\0';
		unlink(path);
	}
	if (maps)
		fclose(maps);
}

static void crashed(int number)
{
	signal(number, SIG_DFL);
	if (blackbox[0])
		qb_log_blackbox_write_to_file(blackbox);
	raise(number);
}

static void assertion(const char *text, size_t len)
{
	pr_assert_write_stderr(text, len);
	qb_log(LOG_CRIT, "%.*s", len > 0 ? (int)len - 1 : 0, text);
}

static void open_blackbox(const char *dir)
{
	static const int fatal[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
	struct sigaction action = {.sa_handler = crashed, .sa_flags = (int)SA_RESETHAND};

	snprintf(blackbox, sizeof(blackbox), "%s/blackbox.%d", dir, (int)getpid());
	qb_log_filter_ctl(QB_LOG_BLACKBOX, QB_LOG_FILTER_ADD, QB_LOG_FILTER_FILE, "*", LOG_DEBUG);
	qb_log_ctl(QB_LOG_BLACKBOX, QB_LOG_CONF_SIZE, BLACKBOX_BYTES);
	qb_log_ctl(QB_LOG_BLACKBOX, QB_LOG_CONF_THREADED, QB_FALSE);
	if (qb_log_ctl(QB_LOG_BLACKBOX, QB_LOG_CONF_ENABLED, QB_TRUE) != 0) {
		blackbox[0] = '\0';
		return;
	}
	unlink_ring();
	for (size_t i = 0; i < sizeof(fatal) / sizeof(fatal[0]); i++)
		sigaction(fatal[i], &action, NULL);
}

/*
 * libqb has a sentence or two for each connection that comes to nothing, and anybody can make it say them: they are for the blackbox,
 * and for who asks for the level debug.
 */
static void quieten_libqb(struct qb_log_callsite *cs)
{
	if (qb_bit_is_set(cs->tags, QB_LOG_TAG_LIBQB_MSG_BIT) && cs->priority > LOG_CRIT)
		cs->targets &= 1u << QB_LOG_BLACKBOX;
}

int log_open(const char *program, const char *to, int level, const char *crash_dir)
{
	int32_t target;

	qb_log_init(program, LOG_DAEMON, LOG_EMERG);
	qb_log_ctl(QB_LOG_SYSLOG, QB_LOG_CONF_ENABLED, QB_FALSE);
	if (strcmp(to, "stderr") == 0)
		target = QB_LOG_STDERR;
	else if (strcmp(to, "syslog") == 0)
		target = QB_LOG_SYSLOG;
	else
		target = qb_log_file_open(to);
	if (target < 0)
		return target;
	qb_log_filter_ctl(target, QB_LOG_FILTER_CLEAR_ALL, QB_LOG_FILTER_FILE, "*", LOG_TRACE);
	qb_log_filter_ctl(target, QB_LOG_FILTER_ADD, QB_LOG_FILTER_FILE, "*", level);
	if (target != QB_LOG_SYSLOG)
		qb_log_format_set(target, "%T %N[%P] %7p %b");
	qb_log_ctl(target, QB_LOG_CONF_ENABLED, QB_TRUE);
	if (level < LOG_DEBUG)
		qb_log_filter_fn_set(quieten_libqb);
	pr_assert_handler = assertion;
	if (crash_dir)
		open_blackbox(crash_dir);
	return 0;
}

void log_close(void)
{
	pr_assert_to_stderr();
	qb_log_fini();
}
