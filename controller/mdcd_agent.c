/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mdcd-agent: what ocf:mdcpair:controller asks of the controller on its host. Its exit status is the OCF status, its complaint
 * the exit reason. It decides nothing: mdcd refuses or obeys.
 *
 * What start left running is found by a link in /run to its directory: a configuration that somebody breaks, changes or takes away
 * under it stops nobody, and a stop does stop.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "controller/io/admin_client.h"
#include "controller/io/conf.h"
#include "controller/io/loop.h"
#include "proto/command_line.h"
#include "proto/version.h"

enum {
	SUCCESS = 0,
	FAILED = 1,
	WRONG_USAGE =
		2, /* and a wrong configuration: of this host only, where 6 would end the resource on all */
	UNIMPLEMENTED = 3,
	NOT_RUNNING = 7,
	PROMOTED = 8,
	MONITOR_MS = 8000,
	ORDER_MS = 55000,
	STOP_MS = 8000,
	END_MS = 1000,
	TICK_MS = 5,
};

static struct conf conf;
static const char *conf_path = "/etc/mdcpair/mdcd.conf", *dir;
static char conf_wrong[700]; /* why nothing can be started; empty: it can */
static char link_path[PATH_MAX], linked_dir[PATH_MAX];

static int __attribute__((format(printf, 2, 3))) complain(int status, const char *format, ...)
{
	va_list ap;

	fprintf(stderr, "ocf-exit-reason:");
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fprintf(stderr, "\n");
	return status;
}

static void pause_ms(int ms)
{
	poll(NULL, 0, ms);
}

/* ---- the process ---- */

/* True while a process has DIR/lock locked; *ret_pid is what it wrote there. */
static bool is_running(pid_t *ret_pid)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	char path[PATH_MAX + 8], text[64] = "";
	int fd, pid = 0;
	bool held;

	if (!dir)
		return false;
	snprintf(path, sizeof(path), "%s/lock", dir);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return false;
	held = fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
	if (pread(fd, text, sizeof(text) - 1, 0) > 0)
		sscanf(text, "pid %d", &pid);
	close(fd);
	*ret_pid = pid;
	return held;
}

static bool is_over(int ms)
{
	uint64_t end = loop_now_ms() + (uint64_t)ms;
	pid_t pid;

	while (is_running(&pid)) {
		if (loop_now_ms() >= end)
			return false;
		pause_ms(TICK_MS);
	}
	return true;
}

/* /run/mdcd-etc-mdcpair-mdcd.conf for /etc/mdcpair/mdcd.conf; the OCF agent looks there, too. */
static void name_link(void)
{
	snprintf(link_path, sizeof(link_path), "/run/mdcd%s%s", *conf_path == '/' ? "" : "-",
		 conf_path);
	for (char *p = link_path + strlen("/run/"); *p; p++)
		if (*p == '/')
			*p = '-';
}

static void set_link(void)
{
	if (!link_path[0])
		return;
	unlink(link_path);
	if (symlink(dir, link_path) < 0)
		fprintf(stderr, "mdcd-agent: %s: %s\n", link_path, strerror(errno));
}

/* The directory of what start left running, if it does run. */
static bool find_running(void)
{
	ssize_t n = readlink(link_path, linked_dir, sizeof(linked_dir) - 1);
	pid_t pid;

	if (n <= 0)
		return false;
	linked_dir[n] = '\0';
	dir = linked_dir;
	return is_running(&pid);
}

static void read_conf(void)
{
	char why[512];

	dir = NULL;
	if (conf_read(conf_path, &conf, why) < 0)
		snprintf(conf_wrong, sizeof(conf_wrong), "%s", why);
	else if (conf.stack != CONF_COROSYNC)
		snprintf(conf_wrong, sizeof(conf_wrong),
			 "%s: cluster.stack = corosync is wanted under Pacemaker", conf_path);
	else
		conf_wrong[0] = '\0';
	if (!conf_wrong[0])
		dir = conf.dir;
}

/* ---- what it says ---- */

/* Its answer to a command, to be freed; NULL and an errno when it gives none. *ret_error: its refusal. */
static json_t *ask(const char *command, int wait_ms, int *ret_error)
{
	char *text;
	json_t *o;
	int error = dir ? admin_ask(dir, command, wait_ms, &text, ret_error) : -ENOENT;

	if (error < 0) {
		errno = -error;
		return NULL;
	}
	o = json_loads(text, 0, NULL);
	free(text);
	return o ? o : json_object();
}

static const char *said(const json_t *o, const char *key)
{
	const char *text = json_string_value(json_object_get(o, key));

	return text ? text : "";
}

static int view(void)
{
	int refused;
	json_t *o = ask("agent view", MONITOR_MS, &refused);

	if (!o && conf_wrong[0])
		return complain(NOT_RUNNING, "%s", conf_wrong);
	if (!o)
		return NOT_RUNNING;
	printf("%s %s %s %s\n", said(o, "role"), said(o, "mode"), said(o, "state"),
	       said(o, "members"));
	json_decref(o);
	return SUCCESS;
}

/* ---- the actions ---- */

static int monitor(void)
{
	pid_t pid;
	json_t *o;
	int refused, status;

	if (!is_running(&pid))
		return NOT_RUNNING;
	o = ask("agent view", MONITOR_MS, &refused);
	if (!o) {
		/* It opens its door a little after it took the directory, and may have ended in between. */
		if (!is_running(&pid))
			return NOT_RUNNING;
		return complain(FAILED, "mdcd, PID %d, runs but does not answer: %s", (int)pid,
				strerror(errno));
	}
	status = strcmp(said(o, "role"), "active") == 0 ? PROMOTED : SUCCESS;
	json_decref(o);
	return status;
}

static pid_t launch(void)
{
	pid_t pid = fork();
	int null;

	if (pid != 0)
		return pid;
	setsid();
	null = open("/dev/null", O_RDWR);
	dup2(null, 0);
	dup2(null, 1);
	dup2(null, 2);
	close_range(3, ~0u, 0);
	execlp("mdcd", "mdcd", "-c", conf_path, (char *)NULL);
	_exit(127);
}

/* Why it would not start, or where to look. */
static int explain(int status)
{
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
		return complain(FAILED, "mdcd is not in PATH");
	return complain(FAILED, "mdcd -c %s ended at once (%s %d): its log, %s, says why",
			conf_path, WIFSIGNALED(status) ? "signal" : "status",
			WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), conf.log_to);
}

static int start(void)
{
	int refused, status;
	pid_t pid, holder;
	json_t *o;

	if (is_running(&holder))
		return monitor() == PROMOTED ? SUCCESS : monitor();
	if (dir == linked_dir)
		read_conf();
	if (conf_wrong[0])
		return complain(WRONG_USAGE, "%s", conf_wrong);
	set_link();
	pid = launch();
	if (pid < 0)
		return complain(FAILED, "no process can be made: %s", strerror(errno));
	/* Pacemaker limits the time that this may take: a long journal is read as long as it takes. */
	for (;;) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return explain(status);
		o = is_running(&holder) ? ask("agent view", 1000, &refused) : NULL;
		if (o && strcmp(said(o, "role"), "starting") != 0) {
			json_decref(o);
			return SUCCESS;
		}
		json_decref(o);
		pause_ms(TICK_MS);
	}
}

static int stop(void)
{
	int refused;
	pid_t pid;

	if (!is_running(&pid)) {
		unlink(link_path);
		return SUCCESS;
	}
	json_decref(ask("agent stop", 1000, &refused));
	if (is_over(STOP_MS))
		return SUCCESS;
	if (is_running(&pid) && pid > 0)
		kill(pid, SIGKILL);
	return is_over(STOP_MS) ? SUCCESS
				: complain(FAILED, "mdcd, PID %d, does not die", (int)pid);
}

static int order(const char *command, const char *name)
{
	int refused = 0, status = SUCCESS;
	json_t *o = ask(command, ORDER_MS, &refused);

	if (!o)
		return complain(FAILED, "mdcd did not answer the order to %s: %s", name,
				strerror(errno));
	if (refused)
		status = complain(FAILED, "mdcd refused to %s: %s", name, said(o, "error"));
	json_decref(o);
	return status;
}

static bool stands_by(void)
{
	int refused;
	json_t *o = ask("agent view", 1000, &refused);
	bool standby = strcmp(said(o, "role"), "standby") == 0;

	json_decref(o);
	return standby;
}

/* One that could only end instead of standing by has done what was asked; what is demoted runs, so it starts again. */
static int demote(void)
{
	uint64_t end;
	pid_t pid;
	int status;

	if (!is_running(&pid))
		return SUCCESS;
	status = order("agent demote", "demote");
	for (end = loop_now_ms() + END_MS; is_running(&pid); pause_ms(TICK_MS))
		if ((status == SUCCESS && stands_by()) || loop_now_ms() >= end)
			return status;
	return start();
}

static void usage(FILE *to)
{
	fprintf(to,
		"usage: mdcd-agent [-c FILE | -C DIR] ACTION\n"
		"\n"
		"What ocf:mdcpair:controller asks; the exit status is that of an OCF agent.\n"
		"  start, stop, promote, demote   orders; mdcd obeys or refuses\n"
		"  monitor                        0: a standby, 7: nothing runs, 8: the active\n"
		"  validate-all                   is the configuration sound?\n"
		"  notify                         nothing\n"
		"  view                           role, mode, data and members of the pair as mdcd knows them\n"
		"  -c FILE   its configuration; /etc/mdcpair/mdcd.conf if not given\n"
		"  -C DIR    the controller's directory, instead of a configuration\n"
		"  -h, --help, --version\n");
}

static int promote(void)
{
	return order("agent promote", "promote");
}

static int nothing(void)
{
	return SUCCESS;
}

static int validate(void)
{
	read_conf();
	return conf_wrong[0] ? complain(WRONG_USAGE, "%s", conf_wrong) : SUCCESS;
}

static const struct action {
	const char *name;
	int (*run)(void);
} actions[] = {
	{"start", start},   {"stop", stop}, {"monitor", monitor}, {"promote", promote},
	{"demote", demote}, {"view", view}, {"notify", nothing},  {"validate-all", validate},
};

static const struct action *find_action(const char *name)
{
	for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
		if (strcmp(actions[i].name, name) == 0)
			return &actions[i];
	return NULL;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'v'},
		{0},
	};
	const struct action *action;
	int c;

	while ((c = getopt_long(argc, argv, "c:C:h", options, NULL)) != -1) {
		if (c == 'c') {
			conf_path = optarg;
		} else if (c == 'C') {
			dir = optarg;
		} else if (c == 'h') {
			usage(stdout);
			return SUCCESS;
		} else if (c == 'v') {
			printf("mdcd-agent %s\n", pr_version());
			return SUCCESS;
		} else {
			return pr_wrong_usage(WRONG_USAGE, NULL);
		}
	}
	if (optind != argc - 1)
		return pr_wrong_usage(WRONG_USAGE, "one action is wanted, not %d words",
				      argc - optind);
	action = find_action(argv[optind]);
	if (!action)
		return pr_wrong_usage(UNIMPLEMENTED, "unknown action: %s", argv[optind]);
	signal(SIGPIPE, SIG_IGN);
	if (!dir) {
		name_link();
		if (!find_running())
			read_conf();
	}
	return action->run();
}
