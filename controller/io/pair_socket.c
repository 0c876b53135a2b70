/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "controller/io/pair_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* The socket's address through the directory's descriptor: a path may be longer than sun_path. */
static int open_socket(const char *dir, struct sockaddr_un *a, int *ret_dir_fd)
{
	int dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int fd = dir_fd < 0 ? -1 : socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (fd < 0) {
		int error = -errno;

		if (dir_fd >= 0)
			close(dir_fd);
		return error;
	}
	*a = (struct sockaddr_un){.sun_family = AF_UNIX};
	snprintf(a->sun_path, sizeof(a->sun_path), "/proc/self/fd/%d/supervisor.sock", dir_fd);
	*ret_dir_fd = dir_fd;
	return fd;
}

int pair_socket_listen(const char *dir)
{
	struct sockaddr_un a;
	int dir_fd, fd = open_socket(dir, &a, &dir_fd), error = 0;
	mode_t mask;

	if (fd < 0)
		return fd;
	unlinkat(dir_fd, "supervisor.sock", 0);
	mask = umask(0177); /* who may write to it may stop the pair */
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, 16) < 0)
		error = -errno;
	umask(mask);
	close(dir_fd);
	if (error == 0)
		return fd;
	close(fd);
	return error;
}

int pair_socket_ask(const char *dir, const char *request, int wait_ms, char **ret_answer)
{
	struct sockaddr_un a;
	int dir_fd, fd = open_socket(dir, &a, &dir_fd), error = 0;
	struct timeval patience = {.tv_sec = wait_ms / 1000, .tv_usec = wait_ms % 1000 * 1000L};
	struct pollfd p = {.fd = fd, .events = POLLIN};
	char *answer = malloc(PAIR_ANSWER_MAX + 1);
	ssize_t n = -1;

	if (fd < 0) {
		free(answer);
		return fd;
	}
	/* One that is stopped lets the first few connect, and the next wait. */
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (!answer)
		error = -ENOMEM;
	else if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ||
		 send(fd, request, strlen(request), MSG_NOSIGNAL) < 0)
		error = errno == EAGAIN ? -ETIMEDOUT : -errno;
	else if (poll(&p, 1, wait_ms) == 0)
		error = -ETIMEDOUT;
	else if ((n = recv(fd, answer, PAIR_ANSWER_MAX, 0)) <= 0)
		error = n == 0 ? -EPIPE : -errno;
	close(fd);
	close(dir_fd);
	if (error) {
		free(answer);
		return error;
	}
	answer[n] = '\0';
	*ret_answer = answer;
	return 0;
}
