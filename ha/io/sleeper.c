/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ha/io/sleeper.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { COMM_BYTES = 15 }; /* of a name that the kernel knows */

/* The first line of /proc/PID/FILE. */
static bool proc_line(pid_t pid, const char *file, char *line, size_t size)
{
	char path[48];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, line, size - 1);
	close(fd);
	if (n <= 0)
		return false;
	line[n] = '\0';
	line[strcspn(line, "\n")] = '\0';
	return true;
}

static bool is_named(pid_t pid, const char *name)
{
	char comm[32];

	return proc_line(pid, "comm", comm, sizeof(comm)) && strncmp(comm, name, COMM_BYTES) == 0;
}

static bool is_asleep(pid_t pid)
{
	char call[256];
	long number;

	if (!proc_line(pid, "syscall", call, sizeof(call)))
		return false;
	number = strtol(call, NULL, 10);
	return number == SYS_clock_nanosleep || number == SYS_nanosleep; /* glibc before 2.31 */
}

static pid_t pid_of(const char *name)
{
	DIR *d = opendir("/proc");
	pid_t found = 0;

	for (struct dirent *e; d && !found && (e = readdir(d));) {
		pid_t pid = (pid_t)strtol(e->d_name, NULL, 10);

		if (pid > 0 && is_named(pid, name))
			found = pid;
	}
	if (d)
		closedir(d);
	return found;
}

bool sleeper_wake(const char *name, pid_t *pid)
{
	if (!*pid || !is_named(*pid, name))
		*pid = pid_of(name);
	return *pid && is_asleep(*pid) && kill(*pid, SIGCHLD) == 0;
}
