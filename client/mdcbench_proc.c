/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The processes of an embedded pair: who they are (mdcctl), what they have used (/proc). */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/mdcbench.h"
#include "proto/command_line.h"

/* In a build tree libtool keeps this program one directory below the others. */
static void find_program(const char *program, char *ret, size_t size)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 64);

	for (int up = 0; n > 0 && up < 2; up++) {
		self[n] = 0;
		snprintf(ret, size, "%s%s/%s", dirname(self), up ? "/.." : "", program);
		if (access(ret, X_OK) == 0)
			return;
		n = readlink("/proc/self/exe", self, sizeof(self) - 64);
	}
	snprintf(ret, size, "%s", program);
}

static pid_t spawn(const char *const *argv, int out)
{
	char path[PATH_MAX + 64];
	pid_t pid;

	find_program(argv[0], path, sizeof(path));
	pid = vfork();
	if (pid == 0) {
		dup2(out, STDOUT_FILENO);
		execvp(path, (char *const *)argv);
		_exit(127);
	}
	if (pid < 0)
		mb_die("%s: %s", path, strerror(errno));
	return pid;
}

pid_t mb_spawn(const char *program, const char *a, const char *b, const char *c)
{
	const char *argv[] = {program, a, b, c, NULL};
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	pid_t pid = spawn(argv, null);

	close(null);
	return pid;
}

static json_t *ask_status(void)
{
	const char *argv[] = {"mdcctl", "-C", mb_options.pair, "--json", "status", NULL};
	json_t *status;
	FILE *in;
	pid_t pid;
	int fd[2];

	if (pipe2(fd, O_CLOEXEC) < 0)
		mb_die("pipe: %s", strerror(errno));
	pid = spawn(argv, fd[1]);
	close(fd[1]);
	in = fdopen(fd[0], "r");
	status = json_loadf(in, 0, NULL);
	fclose(in);
	waitpid(pid, NULL, 0);
	return status;
}

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

/* What no waiting changes: there is no pair, or nobody runs it. */
static void check_hopeless(const json_t *status)
{
	char room[4 * PATH_MAX];

	if (*text_of(status, "error"))
		mb_die("%s", text_of(status, "error"));
	if (json_is_null(json_object_get(status, "supervisor")))
		mb_die("the pair is not up: mdcpair up %s",
		       pr_shell_word(mb_options.pair, room, sizeof(room)));
}

bool mb_pair_status(struct mb_pair *ret)
{
	json_t *status = mb_options.pair ? ask_status() : NULL, *c;
	size_t i;

	memset(ret, 0, sizeof(*ret));
	if (!status)
		return false;
	check_hopeless(status);
	ret->active = (int)json_integer_value(json_object_get(status, "active"));
	ret->epoch = (uint64_t)json_integer_value(json_object_get(status, "epoch"));
	json_array_foreach(json_object_get(status, "controllers"), i, c)
	{
		int node = (int)json_integer_value(json_object_get(c, "node"));

		if (node != 1 && node != 2)
			continue;
		ret->pid[node - 1] = (pid_t)json_integer_value(json_object_get(c, "pid"));
		snprintf(ret->address[node - 1], sizeof(ret->address[0]), "%s",
			 text_of(c, "address"));
		if (node == ret->active)
			ret->insync = strcmp(text_of(c, "mode"), "SYNC") == 0 &&
				      json_is_true(json_object_get(c, "peer_insync"));
	}
	json_decref(status);
	return true;
}

void mb_pair_wait_insync(struct mb_pair *ret)
{
	uint64_t until = mb_now_ns() + 60ull * 1000000000;
	char room[4 * PATH_MAX];

	while ((!mb_pair_status(ret) || !ret->insync) && !mb_stopped()) {
		if (mb_now_ns() > until)
			mb_die("%s: no standby in sync for a minute: mdcctl -C %s status",
			       mb_options.pair, pr_shell_word(mb_options.pair, room, sizeof(room)));
		usleep(50000);
	}
}

/* The number behind a key in a file of /proc. */
static uint64_t proc_number(pid_t pid, const char *file, const char *key)
{
	char path[64], line[256];
	uint64_t value = 0;
	FILE *in;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	in = fopen(path, "re");
	if (!in)
		return 0;
	while (fgets(line, sizeof(line), in))
		if (strncmp(line, key, strlen(key)) == 0)
			value = strtoull(line + strlen(key), NULL, 10);
	fclose(in);
	return value;
}

static double cpu_us(pid_t pid)
{
	char path[64], text[1024];
	unsigned long user = 0, system = 0;
	size_t n;
	FILE *in;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	in = fopen(path, "re");
	if (!in)
		return 0;
	n = fread(text, 1, sizeof(text) - 1, in);
	fclose(in);
	text[n] = 0;
	if (!strrchr(text, ')') ||
	    sscanf(strrchr(text, ')'), ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
		   &user, &system) != 2)
		return 0;
	return (double)(user + system) * 1e6 / (double)sysconf(_SC_CLK_TCK);
}

static void process_get(pid_t pid, struct mb_process *ret)
{
	ret->pid = pid;
	ret->cpu_us = cpu_us(pid);
	ret->write_bytes = proc_number(pid, "io", "write_bytes:");
	ret->rss_anon = proc_number(pid, "status", "RssAnon:") * 1024;
}

void mb_usage_get(struct mb_usage *ret)
{
	struct mb_pair pair;
	struct rusage own;

	memset(ret, 0, sizeof(*ret));
	if (mb_pair_status(&pair))
		for (int i = 0; i < 2; i++)
			if (pair.pid[i])
				process_get(pair.pid[i], &ret->node[i]);
	getrusage(RUSAGE_SELF, &own);
	ret->own_us = (double)(own.ru_utime.tv_sec + own.ru_stime.tv_sec) * 1e6 +
		      (double)(own.ru_utime.tv_usec + own.ru_stime.tv_usec);
}

void mb_usage_add(struct mb_usage *sum, const struct mb_usage *before, const struct mb_usage *after)
{
	sum->own_us += after->own_us - before->own_us;
	for (int i = 0; i < 2; i++) {
		const struct mb_process *b = &before->node[i], *a = &after->node[i];

		if (a->pid != b->pid)
			continue;
		sum->node[i].cpu_us += a->cpu_us - b->cpu_us;
		sum->node[i].write_bytes += a->write_bytes - b->write_bytes;
	}
}
