/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mdcpair: an embedded pair of controllers on one host. See mdcpair(8). */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "controller/io/loop.h"
#include "controller/io/pair_dir.h"
#include "controller/io/pair_print.h"
#include "controller/io/pair_socket.h"
#include "controller/io/pair_status.h"
#include "controller/io/supervisor.h"
#include "controller/io/volume_tool.h"
#include "proto/assert_stderr.h"
#include "proto/command_line.h"
#include "proto/version.h"

enum { OK = 0, FAILED = 1, USAGE = 2, UNREACHABLE = 3, DEGRADED = 4 };
enum { UP_WAIT_MS = 60000, DOWN_WAIT_MS = 30000, POLL_MS = 50 };
static const char default_lun_bytes[] = "4G";

static void usage(FILE *to)
{
	fprintf(to,
		"usage: mdcpair up [--lun-size SIZE] DIR\n"
		"       mdcpair down DIR\n"
		"       mdcpair status [--json] DIR\n"
		"       mdcpair kill DIR active|standby\n"
		"\n"
		"An embedded pair of metadata controllers on this host; its whole state is in DIR.\n"
		"  up      starts it, and makes it first if DIR is empty; prints how to mount\n"
		"  down    stops it\n"
		"  status  what both controllers and their supervisor say\n"
		"  kill    SIGKILL for the controller that has this role now\n"
		"  --lun-size SIZE   of the LUN made by the first up, reserved at once (%s)\n",
		default_lun_bytes);
}

static int complain(const char *text)
{
	fprintf(stderr, "mdcpair: %s\n", text);
	return FAILED;
}

static void pause_ms(int ms)
{
	const struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};

	nanosleep(&t, NULL);
}

/* ---- the supervisor's process ---- */

/* mdcd stands beside this program, or in the sbin beside its bin, or in the path. */
static void find_mdcd(char out[PATH_MAX])
{
	static const char *const places[] = {"mdcd", "../sbin/mdcd"};
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	if (n > 0) {
		self[n] = '\0';
		slash = strrchr(self, '/');
		slash[1] = '\0';
		for (size_t i = 0; i < 2; i++)
			if (snprintf(out, PATH_MAX, "%s%s", self, places[i]) < PATH_MAX &&
			    access(out, X_OK) == 0)
				return;
	}
	strcpy(out, "mdcd");
}

static void redirect(const struct pair_dir *d)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int fd = pair_dir_open_log(d, "supervisor");

	dup2(null, STDIN_FILENO);
	dup2(fd >= 0 ? fd : null, STDOUT_FILENO);
	dup2(fd >= 0 ? fd : null, STDERR_FILENO);
}

/* "mdcpair supervise FD DIR": what up starts; the descriptor takes the word that it stands. */
static int run_supervisor(int argc, char **argv)
{
	static struct pair_dir d;
	char why[512], mdcd[PATH_MAX];
	int fd;

	if (argc != 2)
		return USAGE;
	fd = atoi(argv[0]);
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	if (pair_dir_open(argv[1], &d, why, sizeof(why)) < 0)
		return complain(why);
	redirect(&d);
	find_mdcd(mdcd);
	return supervise(&d, mdcd, fd);
}

static int spawn_supervisor(const struct pair_dir *d, char *why, size_t size)
{
	char word[64] = "", fd_text[16];
	int pipe_fd[2];
	pid_t pid;
	ssize_t n;

	if (pipe2(pipe_fd, O_CLOEXEC) < 0) {
		int error = errno;

		snprintf(why, size, "no pipe to the supervisor: %s", strerror(error));
		return -error;
	}
	pid = fork();
	if (pid == 0) {
		if (setsid() < 0 || fork() != 0 || chdir("/") < 0)
			_exit(0);
		fcntl(pipe_fd[1], F_SETFD, 0);
		snprintf(fd_text, sizeof(fd_text), "%d", pipe_fd[1]);
		execl("/proc/self/exe", "mdcpair", "supervise", fd_text, d->path, (char *)NULL);
		_exit(1);
	}
	close(pipe_fd[1]);
	if (pid > 0)
		waitpid(pid, NULL, 0);
	n = read(pipe_fd[0], word, sizeof(word) - 1);
	close(pipe_fd[0]);
	if (n > 0 && strncmp(word, "ok", 2) == 0)
		return 0;
	pid = pair_dir_supervisor(d->path);
	if (pid)
		snprintf(
			why, size,
			"the supervisor of %.300s, PID %d, runs and does not answer: let it go on (kill -CONT %d), or kill it",
			d->path, (int)pid, (int)pid);
	else
		snprintf(why, size,
			 "the supervisor did not start: %s; see %.300s/log/supervisor.log",
			 n > 0 ? word : "no word from it", d->path);
	return -EIO;
}

/* ---- up ---- */

static bool is_up(const struct pair_dir *d)
{
	char *answer;

	if (pair_socket_ask(d->path, "status", 1000, &answer) < 0)
		return false;
	free(answer);
	return true;
}

/* Says of each controller that cannot start why. Their number. */
static int say_hopeless(const struct pair_place *place, const json_t *supervisor, FILE *to)
{
	json_t *c;
	size_t i;
	int count = 0;

	json_array_foreach(json_object_get(supervisor, "children"), i, c)
	{
		const char *why = json_string_value(json_object_get(c, "why"));

		if (!json_is_true(json_object_get(c, "hopeless")))
			continue;
		count++;
		if (to && why && *why)
			fprintf(to, "mdcpair: node %zu cannot start: %s\n", i + 1, why);
		else if (to)
			fprintf(to, "mdcpair: node %zu cannot start: see %s/log/node%zu.log\n",
				i + 1, place->pair, i + 1);
	}
	return count;
}

static bool one_refused(const json_t *status)
{
	json_t *c;
	size_t i;

	json_array_foreach(json_object_get(status, "controllers"), i, c)
	{
		const char *refused = json_string_value(json_object_get(c, "refused"));

		if (refused && *refused)
			return true;
	}
	return false;
}

/* Waiting longer is in vain: no supervisor any more, or one cannot start, and the other may not serve or is not enough. Says why. */
static bool is_hopeless(const struct pair_place *place, const json_t *status, bool insync)
{
	json_t *s = json_object_get(status, "supervisor");
	int count;

	if (!json_is_object(s)) {
		fprintf(stderr, "mdcpair: the supervisor is gone\n");
		return true;
	}
	count = say_hopeless(place, s, NULL);
	if (count == 0 || (count == 1 && !insync && !one_refused(status)))
		return false;
	say_hopeless(place, s, stderr);
	if (count == 1 && !insync)
		pair_print_waiting(status, stderr);
	return true;
}

enum reached { REACHED, NOT_YET, HOPELESS };

/* Says what is waited for: what is new after a few seconds, the same again after half a minute. */
static enum reached wait_for(const struct pair_place *place, bool insync)
{
	uint64_t begun = loop_now_ms(), said = begun;
	char line[PAIR_WAITING_MAX], last[PAIR_WAITING_MAX] = "";
	const char *health;
	json_t *s;
	bool reached, hopeless;

	for (;;) {
		s = pair_status(place);
		health = pair_health(s);
		reached = strcmp(health, "ok") == 0 || (!insync && strcmp(health, "down") != 0);
		if (!reached && loop_now_ms() - said >= 3000) {
			pair_waiting_text(s, line);
			if (strcmp(line, last) != 0 || loop_now_ms() - said >= 30000) {
				said = loop_now_ms();
				fprintf(stderr, "%s\n", line);
				strcpy(last, line);
			}
		}
		hopeless = !reached && is_hopeless(place, s, insync);
		json_decref(s);
		if (reached || hopeless || loop_now_ms() - begun > UP_WAIT_MS)
			return reached ? REACHED : hopeless ? HOPELESS : NOT_YET;
		pause_ms(POLL_MS);
	}
}

static void print_mount(const struct pair_dir *d)
{
	char room[4 * PATH_MAX];
	const char *dir = pr_shell_word(d->path, room, sizeof(room));

	printf("mount it:   mdcfs %s,%s:/vol1 MOUNTPOINT\n"
	       "look at it: mdcctl -C %s status\n"
	       "stop it:    mdcpair down %s\n",
	       d->address[0], d->address[1], dir, dir);
}

/*
 * 0, -ENOENT: it is not up, or another -errno: it does not stop. A door that is not there or was closed says nothing: it may be taken by
 * others, or not open yet. Who has the lock runs.
 */
static int stop(const struct pair_dir *d)
{
	uint64_t begun = loop_now_ms();
	bool ran = false;
	char *answer;
	int error;

	for (;;) {
		error = pair_socket_ask(d->path, "stop", DOWN_WAIT_MS, &answer);
		if (error == 0)
			free(answer);
		if (error != -ENOENT && error != -ECONNREFUSED && error != -EPIPE &&
		    error != -ECONNRESET)
			return error;
		ran = ran || error == -EPIPE || error == -ECONNRESET;
		if (!pair_dir_supervisor(d->path))
			return ran ? 0 : -ENOENT;
		if (loop_now_ms() - begun > DOWN_WAIT_MS)
			return error;
		pause_ms(POLL_MS);
	}
}

static int complain_running(const struct pair_dir *d, int error)
{
	fprintf(stderr,
		"mdcpair: the supervisor, PID %d, does not stop: %s; see %s/log/supervisor.log\n",
		(int)pair_dir_supervisor(d->path), strerror(-error), d->path);
	return FAILED;
}

/* Ends what this up started, and removes the pair if it made it. */
static int undo_up(const struct pair_dir *d, const char *why)
{
	bool ignored;
	int hold = pair_dir_hold(d->path, &ignored), error = stop(d);

	fprintf(stderr, "mdcpair: %s\n", why);
	if (error && error != -ENOENT) {
		complain_running(d, error);
	} else if (d->made) {
		pair_dir_unmake(d);
		fprintf(stderr, "mdcpair: what was made in %s was removed again\n", d->path);
	} else {
		fprintf(stderr, "mdcpair: the pair was stopped again; see %s/log\n", d->path);
	}
	if (hold >= 0)
		close(hold);
	return FAILED;
}

static int finish_up(const struct pair_dir *d, const struct pair_place *place)
{
	char why[512], room[4 * PATH_MAX];
	const char *dir = pr_shell_word(d->path, room, sizeof(room));
	enum reached serves = wait_for(place, false);

	if (serves == HOPELESS)
		return undo_up(d, "no controller became active");
	if (serves == NOT_YET) {
		fprintf(stderr,
			"mdcpair: no controller became active within %d s; the pair goes on trying: see mdcctl -C %s status and "
			"%s/log; mdcpair down %s ends it\n",
			UP_WAIT_MS / 1000, dir, d->path, dir);
		return FAILED;
	}
	/* A pair that was there before serves on. */
	if (volume_tool_ensure(place, "vol1", "lun0", why, sizeof(why)) < 0)
		return d->made ? undo_up(d, why) : complain(why);
	if (wait_for(place, true) != REACHED) {
		fprintf(stderr,
			"mdcpair: one controller serves, but the other is not in sync yet; see mdcctl -C %s status\n",
			dir);
		return DEGRADED;
	}
	printf("the pair is up: controllers at %s and %s, both hold everything\n", d->address[0],
	       d->address[1]);
	print_mount(d);
	return OK;
}

/* Another up may have started it just now. */
static int already_up(const struct pair_dir *d)
{
	struct pair_place place;
	char why[512];

	printf("the pair in %s is already up\n", d->path);
	print_mount(d);
	if (pair_find(d->path, &place, why, sizeof(why)) < 0)
		return complain(why);
	return wait_for(&place, true) == REACHED ? OK : DEGRADED;
}

/* Opens the pair or makes it, and sees to it that a supervisor runs. *ret_ran: one did before. */
static int start_pair(const char *path, uint64_t lun_bytes, bool size_given, struct pair_dir *d,
		      bool *ret_ran, char *why, size_t size)
{
	int error = pair_dir_open(path, d, why, size);

	if (error == -ENOENT) {
		error = pair_dir_make(path, lun_bytes, d, why, size);
		if (!error)
			printf("made a pair in %s: LUN of %llu MiB, its space reserved\n", d->path,
			       (unsigned long long)lun_bytes >> 20);
	} else if (!error && size_given) {
		fprintf(stderr, "mdcpair: %s holds a pair already; its LUN stays as it is\n",
			d->path);
	}
	*ret_ran = !error && is_up(d);
	return error || *ret_ran ? error : spawn_supervisor(d, why, size);
}

static int up(const char *path, const char *lun_size)
{
	static struct pair_dir d;
	static struct pair_place place;
	uint64_t lun_bytes;
	char why[512];
	int error, hold;
	bool ran;

	if (pair_parse_bytes(lun_size ? lun_size : default_lun_bytes, &lun_bytes) < 0 ||
	    lun_bytes < 16 << 20) {
		fprintf(stderr,
			"mdcpair: --lun-size %s: a size like 512M or 4G is wanted, at least 16M\n",
			lun_size);
		return USAGE;
	}
	hold = pair_dir_hold(path, &d.made_dir);
	error = start_pair(path, lun_bytes, lun_size, &d, &ran, why, sizeof(why));
	if (error)
		pair_dir_unmake(&d);
	if (hold >= 0)
		close(hold);
	if (!error && ran)
		return already_up(&d);
	if (error)
		return complain(why);
	if (pair_find(path, &place, why, sizeof(why)) < 0)
		return undo_up(&d, why);
	return finish_up(&d, &place);
}

/* ---- down, kill, status ---- */

static int find_pair(const char *path, struct pair_dir *d)
{
	char why[512];

	if (pair_dir_find(path, d, why, sizeof(why)) < 0) {
		complain(why);
		return UNREACHABLE;
	}
	if (pair_dir_read(d, why, sizeof(why)) < 0)
		complain(why); /* who stops or kills goes on without */
	return OK;
}

static int down(const char *path)
{
	static struct pair_dir d;
	int error = find_pair(path, &d);

	if (error)
		return error;
	error = stop(&d);
	if (error && error != -ENOENT)
		return complain_running(&d, error);
	printf("the pair in %s is %s\n", d.path, error ? "not up" : "down");
	return OK;
}

static int kill_role(const char *path, const char *role)
{
	static struct pair_dir d;
	char request[64], *answer = NULL;
	const char *refused;
	json_t *o;
	int error = find_pair(path, &d);

	if (error)
		return error;
	snprintf(request, sizeof(request), "kill %s", role);
	error = pair_socket_ask(d.path, request, 5000, &answer);
	if (error == -ENOENT || error == -ECONNREFUSED) {
		fprintf(stderr, "mdcpair: the pair in %s is not up\n", d.path);
		return UNREACHABLE;
	}
	if (error < 0) {
		fprintf(stderr, "mdcpair: the supervisor of %s does not answer: %s\n", d.path,
			strerror(-error));
		return UNREACHABLE;
	}
	o = json_loads(answer, 0, NULL);
	free(answer);
	refused = json_string_value(json_object_get(o, "error"));
	if (refused)
		fprintf(stderr, "mdcpair: %s\n", refused);
	else
		printf("killed the %s, node %d, PID %d\n", role,
		       (int)json_integer_value(json_object_get(o, "node")),
		       (int)json_integer_value(json_object_get(o, "pid")));
	json_decref(o);
	return refused ? FAILED : OK;
}

static int status(const char *path, bool as_json)
{
	static struct pair_place place;
	char why[512];
	int error = pair_find(path, &place, why, sizeof(why));

	if (error) {
		complain(why);
		if (as_json)
			pair_print_error(why);
		return UNREACHABLE;
	}
	return pair_print_status(&place, as_json);
}

static int check_words(int argc, char **argv)
{
	static const char *const verbs[] = {"up", "down", "status", "kill"};
	bool known = false, kills;

	if (argc == 0)
		return pr_wrong_usage(USAGE, "a command is wanted: up, down, status or kill");
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		known = known || strcmp(argv[0], verbs[i]) == 0;
	if (!known)
		return pr_wrong_usage(USAGE, "unknown command: %s", argv[0]);
	kills = strcmp(argv[0], "kill") == 0;
	if (argc < 2)
		return pr_wrong_usage(USAGE, "%s wants the directory of the pair", argv[0]);
	if (kills &&
	    (argc < 3 || (strcmp(argv[2], "active") != 0 && strcmp(argv[2], "standby") != 0)))
		return pr_wrong_usage(USAGE, "kill DIR wants active or standby%s%s",
				      argc < 3 ? "" : ", not ", argc < 3 ? "" : argv[2]);
	if (argc > (kills ? 3 : 2))
		return pr_wrong_usage(USAGE, "%s wants no more words: %s", argv[0],
				      argv[kills ? 3 : 2]);
	return OK;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"lun-size", required_argument, NULL, 's'},
		{"json", no_argument, NULL, 'j'},
		{"version", no_argument, NULL, 'v'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	const char *lun_size = NULL, *verb;
	bool as_json = false;
	int c, error;

	pr_assert_to_stderr();
	pr_output_must_arrive();
	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);
	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (c == 's') {
			lun_size = optarg;
		} else if (c == 'j') {
			as_json = true;
		} else if (c == 'v') {
			printf("mdcpair %s\n", pr_version());
			return OK;
		} else if (c == 'h') {
			usage(stdout);
			return OK;
		} else {
			return pr_wrong_usage(USAGE, NULL);
		}
	}
	argc -= optind;
	argv += optind;
	verb = argc > 0 ? argv[0] : "";
	if (strcmp(verb, "supervise") == 0)
		return run_supervisor(argc - 1, argv + 1);
	error = check_words(argc, argv);
	if (error)
		return error;
	if (strcmp(verb, "up") == 0)
		return up(argv[1], lun_size);
	if (strcmp(verb, "down") == 0)
		return down(argv[1]);
	if (strcmp(verb, "status") == 0)
		return status(argv[1], as_json);
	return kill_role(argv[1], argv[2]);
}
