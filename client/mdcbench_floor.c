/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What this machine can do at best, as a chain of three processes like client, active and standby: a message to the second, which
 * hands it to the third; both write 4 KiB with O_DIRECT and O_DSYNC at the same time, the third answers, the second answers. F is
 * the median of the whole: the client's round trip and, behind it, the longer of the local write and the link's round trip with the
 * standby's write. Without a disk only the round trip to the second is measured.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
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

/* A file of blocks written once, so that what is measured allocates nothing. */
struct disk {
	char path[PATH_MAX];
	int fd;
	void *block;
	struct mb_hist *hist; /* shared with the process that writes */
};

/* A process of the chain, and our socket to it. */
struct link {
	pid_t pid;
	int fd;
};

static bool hear(int fd)
{
	char message[MESSAGE_BYTES];

	return recv(fd, message, sizeof(message), MSG_WAITALL) == sizeof(message);
}

static bool say(int fd)
{
	static const char message[MESSAGE_BYTES];

	return send(fd, message, sizeof(message), MSG_NOSIGNAL) == sizeof(message);
}

static bool disk_write(struct disk *d, int turn)
{
	uint64_t start = mb_now_ns();
	off_t at = (off_t)(turn % FILE_BLOCKS) * BLOCK_BYTES;

	if (!d)
		return true;
	if (pwrite(d->fd, d->block, BLOCK_BYTES, at) != BLOCK_BYTES)
		return false;
	mb_hist_add(d->hist, mb_now_ns() - start);
	return true;
}

static _Noreturn void link_main(int listener, int next, struct disk *d)
{
	int fd = accept(listener, NULL, NULL), on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	for (int turn = 0; hear(fd); turn++)
		if ((next >= 0 && !say(next)) || !disk_write(d, turn) ||
		    (next >= 0 && !hear(next)) || !say(fd))
			_exit(1);
	_exit(0);
}

static struct link link_start(int next, struct disk *d)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
	struct link link = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
	socklen_t length = sizeof(address);

	if (bind(listener, (struct sockaddr *)&address, length) < 0 || listen(listener, 1) < 0 ||
	    getsockname(listener, (struct sockaddr *)&address, &length) < 0)
		mb_die("floor: %s", strerror(errno));
	link.pid = fork();
	if (link.pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		mb_stop_ignore();
		close(link.fd);
		link_main(listener, next, d);
	}
	if (link.pid < 0 || connect(link.fd, (struct sockaddr *)&address, length) < 0)
		mb_die("floor: %s", strerror(errno));
	setsockopt(link.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	close(listener);
	return link;
}

static void link_end(struct link *link)
{
	int status;

	close(link->fd);
	if (waitpid(link->pid, &status, 0) != link->pid || status != 0)
		mb_die("floor: a process of the measurement failed");
}

static double turns_us(const struct link *first)
{
	struct mb_hist hist = {0};

	for (int i = 0; i < TURNS && !mb_stopped(); i++) {
		uint64_t start = mb_now_ns();

		if (!say(first->fd) || !hear(first->fd))
			mb_die("floor: a process of the measurement failed; is the disk full?");
		mb_hist_add(&hist, mb_now_ns() - start);
	}
	return mb_hist_us(&hist, 0.5);
}

static int disk_fill(const char *path)
{
	enum { CHUNK = 1 << 20 };
	int fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600), error = 0;
	char *chunk = calloc(1, CHUNK);

	if (fd < 0 || !chunk)
		error = fd < 0 ? -errno : -ENOMEM;
	for (off_t at = 0; !error && at < (off_t)FILE_BLOCKS * BLOCK_BYTES; at += CHUNK) {
		ssize_t n = pwrite(fd, chunk, CHUNK, at);

		if (n != CHUNK)
			error = n < 0 ? -errno : -ENOSPC;
	}
	if (!error && fsync(fd) < 0)
		error = -errno;
	free(chunk);
	if (fd >= 0)
		close(fd);
	return error;
}

/* number: of the node, in whose directory the file lies. */
static void disk_open(struct disk *d, int number)
{
	const char *dir = mb_options.disk ? mb_options.disk : mb_options.pair;
	int error;

	snprintf(d->path, sizeof(d->path),
		 mb_options.disk ? "%s/.mdcbench%d" : "%s/node%d/.mdcbench", dir, number);
	error = disk_fill(d->path);
	d->fd = error ? -1 : open(d->path, O_RDWR | O_DIRECT | O_DSYNC | O_CLOEXEC);
	if (!error && d->fd < 0)
		error = -errno;
	if (error)
		mb_die("%s: %s; --disk PATH names another directory", d->path, strerror(-error));
	d->hist = mmap(NULL, sizeof(*d->hist), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		       -1, 0);
	if (d->hist == MAP_FAILED || posix_memalign(&d->block, BLOCK_BYTES, BLOCK_BYTES) != 0)
		mb_die("floor: %s", strerror(ENOMEM));
	memset(d->block, 1, BLOCK_BYTES);
}

static void disk_close(struct disk *d)
{
	close(d->fd);
	unlink(d->path);
	munmap(d->hist, sizeof(*d->hist));
	free(d->block);
}

static void measure_chain(struct mb_floor *ret)
{
	struct disk *disks = calloc(2, sizeof(*disks));
	struct link active, standby;

	disk_open(&disks[0], 1);
	disk_open(&disks[1], 2);
	standby = link_start(-1, &disks[1]);
	active = link_start(standby.fd, &disks[0]);
	ret->f_us = turns_us(&active);
	link_end(&active);
	link_end(&standby);
	for (int i = 0; i < 2; i++) {
		ret->dsync_us[i] = mb_hist_us(disks[i].hist, 0.5);
		ret->dsync_p99_us[i] = mb_hist_us(disks[i].hist, 0.99);
		disk_close(&disks[i]);
	}
	free(disks);
}

void mb_floor_measure(struct mb_floor *ret)
{
	struct link echo;

	*ret = (struct mb_floor){.with_disk = mb_options.disk || mb_options.pair};
	if (mb_stopped())
		return;
	echo = link_start(-1, NULL);
	ret->rtt_us = turns_us(&echo);
	link_end(&echo);
	if (ret->with_disk)
		measure_chain(ret);
}

json_t *mb_floor_json(const struct mb_floor *floor)
{
	if (!floor->with_disk)
		return json_pack("{s:f}", "rtt_us", floor->rtt_us);
	return json_pack("{s:f, s:[f,f], s:[f,f], s:f}", "rtt_us", floor->rtt_us, "dsync_p50_us",
			 floor->dsync_us[0], floor->dsync_us[1], "dsync_p99_us",
			 floor->dsync_p99_us[0], floor->dsync_p99_us[1], "f_us", floor->f_us);
}
