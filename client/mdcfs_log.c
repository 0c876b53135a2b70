/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The log. Until the mount stands a line is written where it arises; from then on a thread of its own
 * writes them: who reads the log may wait for this very mount, and must not stop it. There is room for
 * a number of lines; what finds none is counted and left out.
 */
#include <stdarg.h>
#include <stdio.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "client/mdcfs.h"

enum { LINES = 64, LINE_BYTES = 1024, STOP_S = 1 };

static atomic_bool to_syslog;

static struct {
	pthread_mutex_t lock;
	pthread_cond_t wake, empty;
	struct line {
		int priority;
		char text[LINE_BYTES];
	} lines[LINES];
	unsigned first, count, left_out;
	bool runs;
} queue = {.lock = PTHREAD_MUTEX_INITIALIZER,
	   .wake = PTHREAD_COND_INITIALIZER,
	   .empty = PTHREAD_COND_INITIALIZER};

void mf_log_to_syslog(void)
{
	openlog("mdcfs", LOG_PID, LOG_DAEMON);
	to_syslog = true;
}

static void put(int priority, const char *text)
{
	char line[LINE_BYTES + 16];
	ssize_t n;

	if (to_syslog) {
		syslog(priority, "%s: %s", mf.conf.mountpoint, text);
		return;
	}
	n = snprintf(line, sizeof(line), "mdcfs: %s\n", text);
	n = write(STDERR_FILENO, line, (size_t)n);
	(void)n; /* there is nobody to be told */
}

/* ---- the queue; with the lock ---- */

static struct line *add(int priority)
{
	struct line *line = &queue.lines[(queue.first + queue.count++) % LINES];

	line->priority = priority;
	return line;
}

static void take(void)
{
	queue.first = (queue.first + 1) % LINES;
	queue.count--;
	if (queue.left_out)
		snprintf(add(LOG_WARNING)->text, LINE_BYTES,
			 "%u lines of the log are left out here: it was not read in time",
			 queue.left_out);
	queue.left_out = 0;
	if (queue.count == 0)
		pthread_cond_signal(&queue.empty);
}

static void *run(void *arg)
{
	const struct line *line;

	pthread_mutex_lock(&queue.lock);
	for (;;) {
		while (queue.count == 0)
			pthread_cond_wait(&queue.wake, &queue.lock);
		line = &queue.lines[queue.first];
		pthread_mutex_unlock(&queue.lock);
		put(line->priority, line->text);
		pthread_mutex_lock(&queue.lock);
		take();
	}
	return NULL;
}

void mf_log_start(void)
{
	pthread_mutex_lock(&queue.lock);
	queue.runs = mf_thread(run, NULL) == 0;
	pthread_mutex_unlock(&queue.lock);
}

void mf_log_stop(void)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += STOP_S;
	pthread_mutex_lock(&queue.lock);
	while (queue.count > 0 && pthread_cond_timedwait(&queue.empty, &queue.lock, &until) == 0)
		;
	pthread_mutex_unlock(&queue.lock);
}

void mf_log(int priority, const char *format, ...)
{
	char text[LINE_BYTES];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	pthread_mutex_lock(&queue.lock);
	if (!queue.runs) {
		pthread_mutex_unlock(&queue.lock);
		put(priority, text);
		return;
	}
	if (queue.count == LINES) {
		queue.left_out++;
	} else {
		snprintf(add(priority)->text, LINE_BYTES, "%s", text);
		pthread_cond_signal(&queue.wake);
	}
	pthread_mutex_unlock(&queue.lock);
}
