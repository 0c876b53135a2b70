/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The lab's machine room: one process that owns the switches, the power and the pods of one lab. It lives in a network and
 * a mount namespace of its own; every pod is a child in namespaces of its own and dies with it. So its death, however it
 * comes, leaves no process, mount, bridge or port behind.
 *
 * Orders are lines, one a connection, answered by "ok ..." or "err ...": on DIR/run/power.sock all of them, on the management
 * network (10.77.2.254:7700) only what a power switch knows.
 *
 *	add POD NUMBER		a pod with the addresses 10.77.{0,1,2}.NUMBER
 *	on | off | reboot | status POD; list; ping
 *	link POD pub|hb|mgmt up|down|deaf|mute|small
 *				a cable; deaf: the pod hears nothing, mute: nobody hears it, small: nobody hears its
 *				frames of more than 600 bytes
 *	rate POD KBIT|0		of all its cables
 *	switch POD works|fails|lies|hangs
 *				how the power switch obeys the fence agent: fails says so, lies says ok and does nothing,
 *				hangs does and says nothing until it works again
 *	quit
 *
 * A power cut sends no FIN: first the pod's cables go down, then its init is killed; "off" is said when init is reaped, which
 * is when every process of the pod is dead.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "deploy/lab/enter.h"

enum { PODS_MAX = 40, NETS = 3, HB = 1, POST_MS = 1000, LINE_BYTES = 256, NOT_ALLOWED = 77 };

static const char *const net_name[NETS] = {"pub", "hb", "mgmt"};

enum obedience { WORKS, FAILS, LIES, HANGS };

struct pod {
	char name[12];
	int number;
	pid_t pid;	   /* of its init; 0: off */
	uint64_t on_at_ms; /* 0: nothing planned */
	enum obedience obedience;
	char held_order[8]; /* of a fence agent, while the switch hangs */
	int held_fd;	    /* of that agent; 0: none */
};

static struct pod pods[PODS_MAX];
static int pod_count, outside_fd, switch_fd;
static const char *boot;
static FILE *events;
static bool quitting;

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* One line with the wall time in the lab's book. */
static void __attribute__((format(printf, 1, 2))) book(const char *format, ...)
{
	struct timespec t;
	va_list ap;

	clock_gettime(CLOCK_REALTIME, &t);
	fprintf(events, "%lld.%06ld ", (long long)t.tv_sec, t.tv_nsec / 1000);
	va_start(ap, format);
	vfprintf(events, format, ap);
	va_end(ap);
	fputc('\n', events);
	fflush(events);
}

static void enter_network(const struct pod *p)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)p->pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET) < 0)
		_exit(126);
}

/* Runs "PROGRAM -batch -" with these lines, in the pod's network if there is one; forced: what fails is passed over. */
static int run_batch(const struct pod *inside, const char *program, bool forced, const char *text)
{
	size_t len = strlen(text);
	int in[2], status;
	pid_t pid;
	bool told;

	if (pipe2(in, O_CLOEXEC) < 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		if (inside)
			enter_network(inside);
		dup2(in[0], 0);
		if (forced)
			dup2(open("/dev/null", O_WRONLY), 2);
		execlp(program, program, forced ? "-force" : "-batch", forced ? "-batch" : "-",
		       forced ? "-" : NULL, (char *)NULL);
		_exit(127);
	}
	close(in[0]);
	told = write(in[1], text, len) == (ssize_t)len;
	close(in[1]);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return !told || pid < 0 || (!forced && status) ? -1 : 0;
}

static int __attribute__((format(printf, 3, 4)))
batch(const char *program, bool forced, const char *format, ...)
{
	char text[4096];
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	return n < (int)sizeof(text) ? run_batch(NULL, program, forced, text) : -1;
}

static struct pod *find(const char *name)
{
	for (int i = 0; i < pod_count; i++)
		if (strcmp(pods[i].name, name) == 0)
			return &pods[i];
	return NULL;
}

/* ---- power ---- */

/* The pod's first process: waits for its cables, starts its boot script, reaps. */
static _Noreturn void become_init(const struct pod *p, int go)
{
	char number[12], byte, log[64];
	sigset_t none;
	int fd;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (read(go, &byte, 1) != 1)
		_exit(1);
	setsid();
	if (sethostname(p->name, strlen(p->name)) < 0)
		_exit(1);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	snprintf(log, sizeof(log), "pods/%s/console.log", p->name);
	fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0644);
	dup2(open("/dev/null", O_RDONLY), 0);
	dup2(fd, 1);
	dup2(fd, 2);
	close_range(3, ~0u, 0);
	snprintf(number, sizeof(number), "%d", p->number);
	if (fork() == 0) {
		execl(boot, boot, p->name, number, (char *)NULL);
		perror(boot);
		_exit(127);
	}
	for (;;)
		if (waitpid(-1, NULL, 0) < 0 && errno == ECHILD)
			pause();
}

static int write_pid(const struct pod *p)
{
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "run/%s.pid", p->name);
	f = fopen(path, "we");
	if (!f)
		return -1;
	fprintf(f, "%d\n", (int)p->pid);
	return fclose(f);
}

static int plug_in(const struct pod *p)
{
	char text[1024];
	size_t n = 0;

	for (int i = 0; i < NETS; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n,
				      "link add %s-%s type veth peer name eth%d address "
				      "02:4d:00:00:%02x:%02x netns %d\n"
				      "link set %s-%s master br-%s up\n",
				      p->name, net_name[i], i, i, p->number, (int)p->pid, p->name,
				      net_name[i], net_name[i]);
	return batch("ip", false, "%s", text);
}

static const char *power_on(struct pod *p)
{
	int go[2];

	p->on_at_ms = 0;
	if (p->pid)
		return "ok already on";
	batch("ip", true, "link del %s-pub\nlink del %s-hb\nlink del %s-mgmt\n", p->name, p->name,
	      p->name);
	if (pipe2(go, O_CLOEXEC) < 0)
		return "err no pipe";
	p->pid = (pid_t)syscall(SYS_clone,
				CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS |
					CLONE_NEWIPC | SIGCHLD,
				0, 0, 0, 0);
	if (p->pid == 0) {
		close(go[1]);
		become_init(p, go[0]);
	}
	close(go[0]);
	if (p->pid < 0 || plug_in(p) < 0 || write_pid(p) < 0 || write(go[1], "g", 1) != 1) {
		close(go[1]);
		if (p->pid > 0)
			kill(p->pid, SIGKILL);
		return "err the pod did not start";
	}
	close(go[1]);
	book("%s on", p->name);
	return "ok on";
}

static const char *power_off(struct pod *p)
{
	uint64_t begun = now_ms();
	char path[64];

	p->on_at_ms = 0;
	if (!p->pid)
		return "ok already off";
	batch("ip", true, "link set %s-pub down\nlink set %s-hb down\nlink set %s-mgmt down\n",
	      p->name, p->name, p->name);
	book("%s cables down", p->name);
	kill(p->pid, SIGKILL);
	while (waitpid(p->pid, NULL, 0) < 0 && errno == EINTR)
		;
	p->pid = 0;
	snprintf(path, sizeof(path), "run/%s.pid", p->name);
	unlink(path);
	book("%s off after %llu ms", p->name, (unsigned long long)(now_ms() - begun));
	return "ok off";
}

static const char *reboot_pod(struct pod *p)
{
	power_off(p);
	p->on_at_ms = now_ms() + POST_MS;
	return "ok off, on in 1 s";
}

/* ---- cables ---- */

/* What the pod sends goes through a bucket of this size, which drops what is greater; 0: no bucket. */
static int set_bucket(const struct pod *p, int net, int bytes)
{
	char text[128];

	if (bytes)
		snprintf(text, sizeof(text),
			 "qdisc replace dev eth%d root tbf rate %s burst %d limit %d\n", net,
			 bytes < 64 ? "8bit" : "1gbit", bytes, bytes < 64 ? bytes : 1 << 20);
	else
		snprintf(text, sizeof(text), "qdisc del dev eth%d root\n", net);
	return run_batch(p, "tc", bytes == 0, text);
}

/*
 * What the pod sends is dropped at the ports of the others, behind its own: a queue of its own that drops would tell the sender
 * (ENOBUFS), and knet then holds up its other ring as well. Only where nobody else talks: on the heartbeat network.
 */
static int set_buckets_of_others(const struct pod *p, const char *net, int bytes)
{
	int error = 0;

	for (int i = 0; i < pod_count; i++) {
		const struct pod *o = &pods[i];

		if (o == p || !o->pid)
			continue;
		if (bytes)
			error |= batch(
				"tc", false,
				"qdisc replace dev %s-%s root tbf rate %s burst %d limit %d\n",
				o->name, net, bytes < 64 ? "8bit" : "1gbit", bytes,
				bytes < 64 ? bytes : 1 << 20);
		else
			batch("tc", true, "qdisc del dev %s-%s root\n", o->name, net);
	}
	return error;
}

static int set_loss(const struct pod *p, int net, int bytes)
{
	return net == HB ? set_buckets_of_others(p, net_name[net], bytes)
			 : set_bucket(p, net, bytes);
}

static const char *set_link(struct pod *p, const char *net, const char *how)
{
	int i = 0, error;

	while (i < NETS && strcmp(net_name[i], net) != 0)
		i++;
	if (i == NETS)
		return "err networks are pub, hb and mgmt";
	if (!p->pid)
		return "err the pod is off";
	if (strcmp(how, "up") == 0) {
		batch("tc", true, "qdisc del dev %s-%s root\n", p->name, net);
		set_loss(p, i, 0);
		error = batch("ip", false, "link set %s-%s up\n", p->name, net);
	} else if (strcmp(how, "down") == 0) {
		error = batch("ip", false, "link set %s-%s down\n", p->name, net);
	} else if (strcmp(how, "deaf") == 0) {
		/* A bucket smaller than any frame lets nothing out of the switch's port. */
		error = batch("tc", false,
			      "qdisc replace dev %s-%s root tbf rate 8bit burst 10 limit 10\n",
			      p->name, net);
	} else if (strcmp(how, "mute") == 0) {
		error = set_loss(p, i, 10);
	} else if (strcmp(how, "small") == 0) {
		error = set_loss(p, i, 600);
	} else {
		return "err up, down, deaf, mute or small";
	}
	book("%s %s %s", p->name, net, how);
	return error ? "err tc or ip refused it" : "ok";
}

static const char *set_rate(const struct pod *p, int kbit)
{
	int error = 0;

	for (int i = 0; i < NETS; i++)
		if (kbit)
			error |= batch("tc", false,
				       "qdisc replace dev %s-%s root tbf rate %dkbit burst 16kb "
				       "latency 400ms\n",
				       p->name, net_name[i], kbit);
		else
			batch("tc", true, "qdisc del dev %s-%s root\n", p->name, net_name[i]);
	book("%s rate %d kbit", p->name, kbit);
	return error ? "err tc refused it" : "ok";
}

/* ---- orders ---- */

static const char *add_pod(const char *name, int number)
{
	struct pod *p = &pods[pod_count];

	if (find(name) || pod_count == PODS_MAX || strlen(name) > 9 || number < 1 || number > 250)
		return "err there already, too many, a name longer than 9, or a number beyond 250";
	*p = (struct pod){.number = number};
	strcpy(p->name, name);
	pod_count++;
	return "ok";
}

/* NULL: whoever asked gets no answer for the time being. */
static const char *power_order(struct pod *p, const char *order, bool outside)
{
	bool obeys = outside || p->obedience == WORKS;

	if (strcmp(order, "status") == 0)
		return p->pid || (!obeys && p->obedience == FAILS) ? "ok on" : "ok off";
	if (strcmp(order, "on") == 0)
		return power_on(p);
	if (strcmp(order, "off") != 0 && strcmp(order, "reboot") != 0)
		return "err unknown order";
	book("%s is to be %s, asked by %s", p->name, order,
	     outside ? "the operator" : "a fence agent");
	if (!obeys && p->obedience == HANGS) {
		snprintf(p->held_order, sizeof(p->held_order), "%s", order);
		return NULL;
	}
	if (!obeys)
		return p->obedience == LIES ? "ok off" : "err the relay is stuck";
	return order[0] == 'o' ? power_off(p) : reboot_pod(p);
}

static void answer_held(struct pod *p, const char *answer)
{
	dprintf(p->held_fd, "%s\n", answer);
	close(p->held_fd);
	p->held_fd = 0;
}

/* An agent that has given up gets nothing done any more. */
static const char *set_switch(struct pod *p, const char *how)
{
	char byte;

	p->obedience = how[0] == 'f' ? FAILS : how[0] == 'l' ? LIES : how[0] == 'h' ? HANGS : WORKS;
	book("%s switch %s", p->name, how);
	if (p->held_fd && p->obedience != HANGS) {
		bool waits = recv(p->held_fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0;

		answer_held(p, waits ? power_order(p, p->held_order, false) : "err too late");
	}
	return "ok";
}

/* *ret_pod: whom the order is for, NULL if for nobody. */
static const char *obey(char *line, bool outside, struct pod **ret_pod)
{
	static char list[PODS_MAX * 16];
	char *a[4] = {0};
	struct pod *p;
	int n = 0;

	for (char *w = strtok(line, " \r\n"); w && n < 4; w = strtok(NULL, " \r\n"))
		a[n++] = w;
	if (n == 1 && strcmp(a[0], "ping") == 0)
		return "ok";
	if (n == 1 && strcmp(a[0], "list") == 0) {
		list[0] = '\0';
		for (int i = 0; i < pod_count; i++)
			strcat(strcat(list, i ? " " : ""), pods[i].name);
		return list;
	}
	if (outside && n == 1 && strcmp(a[0], "quit") == 0) {
		quitting = true;
		return "ok";
	}
	if (outside && n == 3 && strcmp(a[0], "add") == 0)
		return add_pod(a[1], atoi(a[2]));
	*ret_pod = p = n >= 2 ? find(a[1]) : NULL;
	if (!p)
		return "err no such pod";
	if (n == 2)
		return power_order(p, a[0], outside);
	if (outside && n == 4 && strcmp(a[0], "link") == 0)
		return set_link(p, a[2], a[3]);
	if (outside && n == 3 && strcmp(a[0], "rate") == 0)
		return set_rate(p, atoi(a[2]));
	if (outside && n == 3 && strcmp(a[0], "switch") == 0) {
		return set_switch(p, a[2]);
	}
	return "err unknown order";
}

static void serve(int listen_fd)
{
	struct timeval patience = {.tv_sec = 1};
	int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
	char line[LINE_BYTES];
	struct pod *pod = NULL;
	const char *answer;
	size_t len = 0;
	ssize_t n;

	if (fd < 0)
		return;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	while (len < sizeof(line) - 1 && !memchr(line, '\n', len)) {
		n = recv(fd, line + len, sizeof(line) - 1 - len, 0);
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	line[len] = '\0';
	answer = len ? obey(line, listen_fd == outside_fd, &pod) : "err nothing was said";
	if (answer) {
		dprintf(fd, "%s\n", answer);
		close(fd);
		return;
	}
	if (pod->held_fd)
		answer_held(pod, "err another agent asks");
	pod->held_fd = fd;
}

/* ---- the room itself ---- */

static int make_networks(void)
{
	return batch(
		"ip", false,
		"link set lo up\n"
		/* Pinned addresses: else a bridge takes that of a port, and who knew it is lost with the port. */
		"link add br-pub address 02:4d:00:00:00:fe type bridge\n"
		"link add br-hb address 02:4d:00:00:01:fe type bridge\n"
		"link add br-mgmt address 02:4d:00:00:02:fe type bridge\n"
		"link set br-pub up\nlink set br-hb up\nlink set br-mgmt up\n"
		"addr add 10.77.2.254/24 dev br-mgmt\naddr add 10.77.0.254/24 dev br-pub\n");
}

static int listen_outside(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "run/power.sock"};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	unlink(a.sun_path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, 64) < 0)
		return -1;
	return fd;
}

static int listen_switch(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(7700)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	inet_pton(AF_INET, "10.77.2.254", &a.sin_addr);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, 64) < 0)
		return -1;
	return fd;
}

/* A pod whose init ended by itself is off: its processes are gone. */
static void reap(void)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (int i = 0; i < pod_count; i++)
			if (pods[i].pid == pid) {
				pods[i].pid = 0;
				book("%s ended by itself (%x)", pods[i].name, (unsigned)status);
			}
}

static void run(void)
{
	struct pollfd f[2] = {{outside_fd, POLLIN, 0}, {switch_fd, POLLIN, 0}};

	while (!quitting) {
		int wait = 500;

		for (int i = 0; i < pod_count; i++) {
			struct pod *p = &pods[i];
			int64_t left = (int64_t)(p->on_at_ms - now_ms());

			if (p->on_at_ms && left <= 0)
				power_on(p);
			else if (p->on_at_ms && left < wait)
				wait = (int)left;
		}
		if (poll(f, 2, wait) > 0)
			for (int i = 0; i < 2; i++)
				if (f[i].revents)
					serve(f[i].fd);
		reap();
	}
	for (int i = 0; i < pod_count; i++)
		power_off(&pods[i]);
}

/* The other end: one line, its answer. */
static int ask(const char *dir, const char *line)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "run/power.sock"};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char answer[1024];
	ssize_t n;

	if (chdir(dir) < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ||
	    dprintf(fd, "%s\n", line) < 0)
		return 1;
	while ((n = read(fd, answer, sizeof(answer))) > 0)
		if (write(1, answer, (size_t)n) != n)
			return 1;
	return 0;
}

int main(int argc, char **argv)
{
	int lock;

	if (argc == 4 && strcmp(argv[1], "ask") == 0)
		return ask(argv[2], argv[3]);
	if (argc >= 4 && strcmp(argv[1], "enter") == 0)
		return enter(argv[2], argv + 3);
	if (argc != 3) {
		fprintf(stderr, "usage: labd DIR BOOTSCRIPT (mdclab starts it)\n");
		return 2;
	}
	boot = argv[2];
	if (chdir(argv[1]) < 0) {
		perror(argv[1]);
		return 1;
	}
	lock = open("run/lock", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (lock < 0 || flock(lock, LOCK_EX | LOCK_NB) < 0) {
		fprintf(stderr, "labd: %s has a lab that runs\n", argv[1]);
		return 1;
	}
	if (unshare(CLONE_NEWNET | CLONE_NEWNS) < 0 ||
	    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
		fprintf(stderr, "labd: namespaces are not allowed here: %s\n", strerror(errno));
		return NOT_ALLOWED;
	}
	signal(SIGPIPE, SIG_IGN);
	setsid();
	events = fopen("events.log", "ae");
	if (!events || make_networks() < 0) {
		fprintf(stderr, "labd: no bridges can be made here\n");
		return NOT_ALLOWED;
	}
	outside_fd = listen_outside();
	switch_fd = listen_switch();
	if (outside_fd < 0 || switch_fd < 0) {
		fprintf(stderr, "labd: its sockets: %s\n", strerror(errno));
		return 1;
	}
	if (ftruncate(lock, 0) < 0 || dprintf(lock, "%d\n", (int)getpid()) < 0)
		return 1;
	run();
	return 0;
}
