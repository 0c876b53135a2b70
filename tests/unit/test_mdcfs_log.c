/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The mount's log: who has a line to write waits for no reader, and what is left out is told where it is missing. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "client/mdcfs.h"

enum { LINES = 1000 };

/* ---- what stands around it ---- */

struct mf mf;

int mf_thread(void *(*run)(void *arg), void *arg)
{
	pthread_t thread;
	int r = pthread_create(&thread, NULL, run, arg);

	return r ? r : pthread_detach(thread);
}

/* Standard error is a pipe without any room left. Returns its other end. */
static int fill_log(void)
{
	char much[4096];
	int fds[2];

	memset(much, '\n', sizeof(much));
	cr_assert_eq(pipe2(fds, O_NONBLOCK), 0);
	while (write(fds[1], much, sizeof(much)) > 0)
		;
	cr_assert_eq(fcntl(fds[0], F_SETFL, 0), 0);
	cr_assert_eq(fcntl(fds[1], F_SETFL, 0), 0);
	cr_assert_eq(dup2(fds[1], STDERR_FILENO), STDERR_FILENO);
	close(fds[1]);
	return fds[0];
}

Test(mdcfs_log, full, .timeout = 60)
{
	int fd = fill_log();
	FILE *f = fdopen(fd, "r");
	unsigned accounted = 0, missing = 0, n;
	char line[256];

	mf_log_start();
	for (unsigned i = 0; i < LINES; i++)
		mf_log(LOG_NOTICE, "line %u", i);
	mf_log_stop(); /* nor does the end */
	while (accounted < LINES && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "mdcfs: line %u", &n) == 1) {
			cr_assert_eq(n, accounted, "line %u after %u", n, accounted);
			accounted++;
		} else if (sscanf(line, "mdcfs: %u lines of the log are left out", &n) == 1) {
			accounted += n;
			missing += n;
		}
	}
	cr_assert_eq(accounted, LINES);
	cr_assert_gt(missing, 0);
	fclose(f);
}
