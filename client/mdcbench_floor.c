/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What this machine can do at best: a TCP round trip between two processes, and a 4 KiB O_DIRECT O_DSYNC write while a second
 * writer does the same, as the two journals do. F is what a create must at least take: the client's round trip and, behind it, the
 * slower of the local write and the link's round trip with the standby's write.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/mdcbench.h"

enum {
	TURNS = 400,
	MESSAGE_BYTES = 200,
	BLOCK_BYTES = 4096,
	FILE_BLOCKS = 1024,
};

static void echo_for_ever(int listener)
{
	char message[MESSAGE_BYTES];
	int on = 1, fd;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	fd = accept(listener, NULL, NULL);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	while (recv(fd, message, sizeof(message), MSG_WAITALL) == sizeof(message))
		if (send(fd, message, sizeof(message), MSG_NOSIGNAL) != sizeof(message))
			break;
	_exit(0);
}

static int echo_start(pid_t *ret_pid)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
	socklen_t length = sizeof(address);

	if (bind(listener, (struct sockaddr *)&address, length) < 0 || listen(listener, 1) < 0 ||
	    getsockname(listener, (struct sockaddr *)&address, &length) < 0)
		mb_die("floor: %s", strerror(errno));
	*ret_pid = fork();
	if (*ret_pid == 0) {
		close(fd);
		echo_for_ever(listener);
	}
	if (*ret_pid < 0 || connect(fd, (struct sockaddr *)&address, length) < 0)
		mb_die("floor: %s", strerror(errno));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	close(listener);
	return fd;
}

static double round_trip_us(void)
{
	struct mb_hist hist = {0};
	char message[MESSAGE_BYTES] = "";
	pid_t pid;
	int fd = echo_start(&pid);

	for (int i = 0; i < TURNS; i++) {
		uint64_t start = mb_now_ns();

		if (send(fd, message, sizeof(message), MSG_NOSIGNAL) != sizeof(message) ||
		    recv(fd, message, sizeof(message), MSG_WAITALL) != sizeof(message))
			mb_die("floor: %s", strerror(errno));
		mb_hist_add(&hist, mb_now_ns() - start);
	}
	close(fd);
	waitpid(pid, NULL, 0);
	return mb_hist_us(&hist, 0.5);
}

struct writer {
	pthread_t thread;
	pthread_barrier_t *barrier;
	char path[PATH_MAX];
	int fd;
	void *block;
	struct mb_hist hist;
};

static int writer_open(struct writer *w, int number)
{
	const char *dir = mb_options.disk ? mb_options.disk : mb_options.pair;
	struct mb_hist zero = {0};

	w->hist = zero;
	snprintf(w->path, sizeof(w->path),
		 mb_options.disk ? "%s/.mdcbench%d" : "%s/node%d/.mdcbench", dir, number);
	if (posix_memalign(&w->block, BLOCK_BYTES, BLOCK_BYTES) != 0)
		return -ENOMEM;
	memset(w->block, 1, BLOCK_BYTES);
	w->fd = open(w->path, O_CREAT | O_RDWR | O_DIRECT | O_DSYNC | O_CLOEXEC, 0600);
	if (w->fd < 0)
		return -errno;
	return 0;
}

/* Written once, so that what is measured allocates nothing. */
static int writer_fill(struct writer *w)
{
	enum { CHUNK = 1 << 20 };
	int fd = open(w->path, O_RDWR | O_CLOEXEC), error = 0;
	char *chunk = calloc(1, CHUNK);

	if (fd < 0 || !chunk)
		error = -ENOMEM;
	for (off_t at = 0; !error && at < (off_t)FILE_BLOCKS * BLOCK_BYTES; at += CHUNK)
		if (pwrite(fd, chunk, CHUNK, at) != CHUNK)
			error = -EIO;
	if (fd >= 0 && fsync(fd) < 0)
		error = -errno;
	free(chunk);
	if (fd >= 0)
		close(fd);
	return error;
}

static void *writer_main(void *arg)
{
	struct writer *w = arg;

	for (int i = 0; i < TURNS; i++) {
		uint64_t start;

		pthread_barrier_wait(w->barrier);
		start = mb_now_ns();
		if (pwrite(w->fd, w->block, BLOCK_BYTES, (off_t)i * BLOCK_BYTES) != BLOCK_BYTES)
			mb_die("%s: %s", w->path, strerror(errno));
		mb_hist_add(&w->hist, mb_now_ns() - start);
	}
	return NULL;
}

static void measure_disks(struct mb_floor *ret)
{
	pthread_barrier_t barrier;
	struct writer *w = calloc(2, sizeof(*w));

	pthread_barrier_init(&barrier, NULL, 2);
	for (int i = 0; i < 2; i++) {
		int error = writer_open(&w[i], i + 1);

		w[i].barrier = &barrier;
		if (!error)
			error = writer_fill(&w[i]);
		if (error)
			mb_die("%s: %s; --disk PATH names another directory", w[i].path,
			       strerror(-error));
	}
	for (int i = 0; i < 2; i++)
		pthread_create(&w[i].thread, NULL, writer_main, &w[i]);
	for (int i = 0; i < 2; i++) {
		pthread_join(w[i].thread, NULL);
		ret->dsync_us[i] = mb_hist_us(&w[i].hist, 0.5);
		ret->dsync_p99_us[i] = mb_hist_us(&w[i].hist, 0.99);
		close(w[i].fd);
		unlink(w[i].path);
		free(w[i].block);
	}
	pthread_barrier_destroy(&barrier);
	free(w);
}

void mb_floor_measure(const struct mb_floor *before, struct mb_floor *ret)
{
	struct mb_floor floor = {.rtt_us = round_trip_us(),
				 .with_disk = mb_options.disk || mb_options.pair};
	double link;

	if (floor.with_disk)
		measure_disks(&floor);
	link = floor.rtt_us + floor.dsync_us[1];
	floor.f_us = floor.rtt_us + (floor.dsync_us[0] > link ? floor.dsync_us[0] : link);
	*ret = before && before->f_us < floor.f_us ? *before : floor;
}

json_t *mb_floor_json(const struct mb_floor *floor)
{
	if (!floor->with_disk)
		return json_pack("{s:f}", "rtt_us", floor->rtt_us);
	return json_pack("{s:f, s:[f,f], s:[f,f], s:f}", "rtt_us", floor->rtt_us, "dsync_p50_us",
			 floor->dsync_us[0], floor->dsync_us[1], "dsync_p99_us",
			 floor->dsync_p99_us[0], floor->dsync_p99_us[1], "f_us", floor->f_us);
}
