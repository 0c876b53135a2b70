/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A command in a pod. Unlike nsenter(1) it does not stop when the command is stopped: what stands still as its parent would keep
 * a pod that was paused from ever being off.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "deploy/lab/enter.h"

static volatile pid_t child;

static void pass_on(int signal)
{
	if (child > 0)
		kill(child, signal);
}

static int join(const char *pid)
{
	static const char *const names[] = {"uts", "ipc", "net", "pid", "mnt"};
	int fds[5];
	char path[64];

	for (int i = 0; i < 5; i++) {
		snprintf(path, sizeof(path), "/proc/%.20s/ns/%s", pid, names[i]);
		fds[i] = open(path, O_RDONLY | O_CLOEXEC);
		if (fds[i] < 0)
			return -errno;
	}
	for (int i = 0; i < 5; i++)
		if (setns(fds[i], 0) < 0)
			return -errno;
	return 0;
}

int enter(const char *pid, char **command)
{
	static const int passed[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT};
	struct sigaction a = {.sa_handler = pass_on};
	int status = 0, error = join(pid);

	if (error < 0) {
		fprintf(stderr, "labd: the pod of process %s cannot be entered: %s\n", pid,
			strerror(-error));
		return 126;
	}
	child = fork();
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execvp(command[0], command);
		fprintf(stderr, "labd: %s: %s\n", command[0], strerror(errno));
		_exit(127);
	}
	if (child < 0)
		return 126;
	for (size_t i = 0; i < sizeof(passed) / sizeof(passed[0]); i++)
		sigaction(passed[i], &a, NULL);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
