/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ha/io/cluster_helper.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LINE_BYTES = 512 };

struct cluster_helper {
	pid_t pid;
	int fd;
	void (*said)(void *user, const char *line);
	void *user;
};

static _Noreturn void become(const char *path, const char *own, const char *peer,
			     const char *resource, int fd)
{
	const struct sched_param normal = {0};
	sigset_t none;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sched_setscheduler(0, SCHED_OTHER, &normal);
	if (fd == 3)
		fcntl(3, F_SETFD, 0);
	else
		dup2(fd, 3);
	close_range(4, ~0u, 0);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execl(path, "mdcd-pacemaker", own, peer, resource ? resource : "", (char *)NULL);
	_exit(127);
}

int cluster_helper_start(const char *path, const char *own, const char *peer, const char *resource,
			 void (*said)(void *user, const char *line), void *user,
			 struct cluster_helper **ret, char *why, size_t size)
{
	struct cluster_helper *h = calloc(1, sizeof(*h));
	int pair[2];

	if (!h)
		return -ENOMEM;
	if (access(path, X_OK) < 0 ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		snprintf(why, size, "%s: %s; it belongs beside mdcd", path, strerror(errno));
		free(h);
		return -ENOENT;
	}
	h->pid = fork();
	if (h->pid == 0)
		become(path, own, peer, resource, pair[1]);
	close(pair[1]);
	h->fd = pair[0];
	h->said = said;
	h->user = user;
	if (h->pid < 0) {
		close(h->fd);
		free(h);
		return -EAGAIN;
	}
	*ret = h;
	return 0;
}

void cluster_helper_free(struct cluster_helper *h)
{
	if (!h)
		return;
	close(h->fd);
	kill(h->pid, SIGKILL);
	waitpid(h->pid, NULL, 0);
	free(h);
}

int cluster_helper_fd(const struct cluster_helper *h)
{
	return h->fd;
}

int cluster_helper_run(struct cluster_helper *h)
{
	char line[LINE_BYTES];
	ssize_t n;

	while ((n = recv(h->fd, line, sizeof(line) - 1, MSG_DONTWAIT)) > 0) {
		line[n] = '\0';
		h->said(h->user, line);
	}
	return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -EPIPE;
}

/* A child that takes nothing is found dead by the next run. */
void cluster_helper_say(struct cluster_helper *h, const char *line)
{
	if (send(h->fd, line, strlen(line), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		return;
}
