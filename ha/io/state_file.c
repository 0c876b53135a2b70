/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ha/io/state_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { COPIES = 4, ALL_COPIES = 0xf, NEEDED = 3, LOCK_WAIT_MS = 5000 };

struct state_file {
	int fd;
	uint8_t *page; /* aligned for O_DIRECT */
};

static int open_file(const char *path)
{
	int flags = O_RDWR | O_CREAT | O_DSYNC | O_CLOEXEC;
	int fd = open(path, flags | O_DIRECT, 0600);

	if (fd < 0 && errno == EINVAL) /* a file system without direct I/O */
		fd = open(path, flags, 0600);
	return fd < 0 ? -errno : fd;
}

/* Writes of a process just killed may still be under way: the lock comes when they are over. */
static int lock_file(int fd)
{
	const struct timespec pause = {.tv_nsec = 10000000};
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	for (int waited_ms = 0; waited_ms < LOCK_WAIT_MS; waited_ms += 10) {
		if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
			return 0;
		if (errno != EAGAIN && errno != EACCES)
			return -errno;
		nanosleep(&pause, NULL);
	}
	return -EBUSY;
}

/* copies: bit i for each that is written. How many were, each durable. */
static int write_copies(struct state_file *f, const struct ha_state *state, unsigned copies)
{
	int written = 0;

	ha_state_encode(f->page, state);
	for (int i = 0; i < COPIES; i++)
		if ((copies >> i & 1) && pwrite(f->fd, f->page, HA_STATE_BYTES,
						(off_t)i * HA_STATE_BYTES) == HA_STATE_BYTES)
			written++;
	return written;
}

static int read_copies(struct state_file *f, struct ha_state *ret, int *ret_error)
{
	uint8_t *room = malloc(COPIES * HA_STATE_BYTES);
	const uint8_t *copies[COPIES];
	unsigned others;
	int good;
	ssize_t n;

	if (!room)
		return -ENOMEM;
	for (int i = 0; i < COPIES; i++) {
		memset(f->page, 0, HA_STATE_BYTES);
		n = pread(f->fd, f->page, HA_STATE_BYTES, (off_t)i * HA_STATE_BYTES);
		memcpy(room + i * HA_STATE_BYTES, f->page, HA_STATE_BYTES);
		copies[i] = n < 0 ? NULL : room + i * HA_STATE_BYTES;
	}
	*ret_error = ha_state_pick(ret, copies, &others);
	free(room);
	if (*ret_error)
		return 0;
	good = COPIES - __builtin_popcount(others) + write_copies(f, ret, others);
	return good >= NEEDED ? 0 : -EIO;
}

int state_file_open(const char *dir, struct state_file **ret, struct ha_state *ret_state,
		    int *ret_error, char *why, size_t why_size)
{
	struct state_file *f = calloc(1, sizeof(*f));
	char path[PATH_MAX];
	int error;

	if (!f)
		return -ENOMEM;
	if (snprintf(path, sizeof(path), "%s/state", dir) >= (int)sizeof(path)) {
		free(f);
		return -ENAMETOOLONG;
	}
	f->page = aligned_alloc(HA_STATE_BYTES, HA_STATE_BYTES);
	f->fd = open_file(path);
	error = f->fd < 0 ? f->fd : f->page ? lock_file(f->fd) : -ENOMEM;
	if (error == 0)
		error = read_copies(f, ret_state, ret_error);
	if (error < 0) {
		snprintf(why, why_size, "%s: %s", path,
			 error == -EBUSY ? "another process writes it" : strerror(-error));
		state_file_close(f);
		return error;
	}
	*ret = f;
	return 0;
}

void state_file_close(struct state_file *f)
{
	if (!f)
		return;
	if (f->fd >= 0)
		close(f->fd);
	free(f->page);
	free(f);
}

int state_file_write(struct state_file *f, const struct ha_state *state)
{
	return write_copies(f, state, ALL_COPIES) >= NEEDED ? 0 : -EIO;
}
