/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Making, opening and locking the files of a journal. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "journal/io/jx_files.h"

enum { ZERO_BYTES = 1 << 20, PATIENCE_MS = 10000, RETRY_MS = 5 };

const char *jx_file_name(uint8_t file, char out[32])
{
	if (file == 0)
		snprintf(out, 32, "ring");
	else if (file == JX_ARCHIVE)
		snprintf(out, 32, "archive");
	else
		snprintf(out, 32, "segment-%03u", file);
	return out;
}

void jx_files_init(struct jx_files *f)
{
	*f = (struct jx_files){.dir_fd = -1, .lock_fd = -1};
	for (int i = 0; i < JX_FILES_MAX; i++)
		f->fds[i] = -1;
}

void jx_files_close(struct jx_files *f)
{
	for (int i = 0; i < JX_FILES_MAX; i++)
		if (f->fds[i] >= 0)
			close(f->fds[i]);
	if (f->lock_fd >= 0)
		close(f->lock_fd);
	if (f->dir_fd >= 0)
		close(f->dir_fd);
	jx_files_init(f);
}

static int say(char *why, size_t size, int error, const char *path, const char *name,
	       const char *what)
{
	if (what)
		snprintf(why, size, "%s/%s: %s", path, name, what);
	else
		snprintf(why, size, "%s/%s: %s", path, name, strerror(-error));
	return error;
}

/* 1: it is there, 0: it is not, or -errno: nobody knows. */
static int exists(const struct jx_files *f, const char *name)
{
	if (faccessat(f->dir_fd, name, F_OK, 0) == 0)
		return 1;
	return errno == ENOENT ? 0 : -errno;
}

/* ---- locks ---- */

static int lock_try(int fd)
{
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	return fcntl(fd, F_OFD_SETLK, &l) < 0 ? -errno : 0;
}

/* Polls: F_OFD_SETLKW cannot be given up. */
static int lock_wait(int fd, unsigned patience_ms)
{
	struct timespec pause = {.tv_nsec = RETRY_MS * 1000000l};
	int r;

	for (unsigned waited = 0;; waited += RETRY_MS) {
		r = lock_try(fd);
		if ((r != -EAGAIN && r != -EACCES) || waited >= patience_ms)
			return r;
		nanosleep(&pause, NULL);
	}
}

static void holder_read(int fd, char *who, size_t size)
{
	ssize_t n = pread(fd, who, size - 1, 0);

	who[n > 0 ? n : 0] = '\0';
	who[strcspn(who, "\n")] = '\0';
}

static void holder_write(int fd)
{
	char text[128], name[32] = "?";
	FILE *comm = fopen("/proc/self/comm", "re");
	int n;

	if (comm) {
		if (fgets(name, sizeof(name), comm))
			name[strcspn(name, "\n")] = '\0';
		fclose(comm);
	}
	n = snprintf(text, sizeof(text), "%s, process %ld\n", name, (long)getpid());
	if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)n, 0) < 0)
		return; /* only words for people */
}

static int lock_take(struct jx_files *f, const char *path, unsigned patience_ms, char *why,
		     size_t size)
{
	char who[128];
	int r;

	f->lock_fd = openat(f->dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (f->lock_fd < 0)
		return say(why, size, -errno, path, "lock", NULL);
	r = lock_wait(f->lock_fd, patience_ms);
	if (r == -EAGAIN || r == -EACCES) {
		holder_read(f->lock_fd, who, sizeof(who));
		snprintf(why, size, "%s: the journal is in use by %s", path,
			 who[0] ? who : "another process");
		return -EBUSY;
	}
	if (r < 0)
		return say(why, size, r, path, "lock", NULL);
	holder_write(f->lock_fd);
	return 0;
}

bool jx_in_use(const char *dir, char *who, size_t size)
{
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	char path[4096];
	bool used;
	int fd;

	snprintf(path, sizeof(path), "%s/lock", dir);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	used = fcntl(fd, F_OFD_GETLK, &l) == 0 && l.l_type != F_UNLCK;
	if (used)
		holder_read(fd, who, size);
	close(fd);
	return used;
}

/* ---- making ---- */

static int open_direct(struct jx_files *f, const char *name, int flags)
{
	int fd = openat(f->dir_fd, name, flags | O_CLOEXEC | O_DIRECT, 0600);

	if (fd < 0 && errno == EINVAL) {
		f->direct = false;
		fd = openat(f->dir_fd, name, flags | O_CLOEXEC, 0600);
	}
	return fd < 0 ? -errno : fd;
}

struct making {
	const struct jx_config *cfg;
	uint8_t *zeros;
	uint64_t done, total;
};

static int zero_fill(int fd, uint64_t bytes, struct making *m)
{
	uint64_t at = 0;

	while (at < bytes) {
		size_t n = bytes - at < ZERO_BYTES ? bytes - at : ZERO_BYTES;
		ssize_t w = pwrite(fd, m->zeros, n, (off_t)at);

		if (w < 0 && errno == EINTR)
			continue;
		if (w <= 0)
			return w < 0 ? -errno : -EIO;
		at += (uint64_t)w;
		m->done += (uint64_t)w;
		if (m->cfg->progress)
			m->cfg->progress(m->cfg->user, m->done, m->total);
	}
	return fsync(fd) < 0 ? -errno : 0;
}

/*
 * Real zeros, not fallocate: an unwritten extent would cost a file system transaction at its first
 * write.
 */
static int make_one(struct jx_files *f, const char *name, uint64_t bytes, struct making *m)
{
	int fd = open_direct(f, name, O_RDWR | O_CREAT | O_TRUNC);
	int r;

	if (fd < 0)
		return fd;
	r = bytes > 0 ? zero_fill(fd, bytes, m) : 0;
	close(fd);
	return r;
}

/* A disk that it does not fit on is not filled first: others want to write there, the log above all. */
static int room_for(struct jx_files *f, const char *path, uint64_t bytes, char *why, size_t size)
{
	struct statvfs v;

	if (fstatvfs(f->dir_fd, &v) < 0)
		return say(why, size, -errno, path, "", NULL);
	if ((uint64_t)v.f_bavail * v.f_frsize >= bytes)
		return 0;
	snprintf(
		why, size,
		"%s: no room for a journal of %llu MiB, %llu MiB are free: make room, or set journal.segments and "
		"journal.segment_mib lower",
		path, (unsigned long long)(bytes >> 20),
		(unsigned long long)((uint64_t)v.f_bavail * v.f_frsize >> 20));
	return -ENOSPC;
}

static int make_all(struct jx_files *f, const char *path, const struct jx_config *c, char *why,
		    size_t size)
{
	const struct jr_config *j = &c->journal;
	struct making m = {.cfg = c,
			   .total = (uint64_t)j->segment_bytes * j->segments +
				    (uint64_t)j->ring_slots * JR_PAGE_BYTES};
	char name[32] = "unfinished";
	int fd, r = room_for(f, path, m.total, why, size);

	if (r < 0)
		return r;
	if (posix_memalign((void **)&m.zeros, JR_PAGE_BYTES, ZERO_BYTES) != 0)
		return -ENOMEM;
	memset(m.zeros, 0, ZERO_BYTES);
	fd = openat(f->dir_fd, name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || fsync(f->dir_fd) < 0)
		r = -errno;
	if (fd >= 0)
		close(fd);
	for (unsigned i = 1; i <= j->segments && r == 0; i++)
		r = make_one(f, jx_file_name((uint8_t)i, name), j->segment_bytes, &m);
	if (r == 0)
		r = make_one(f, jx_file_name(JX_ARCHIVE, name), 0, &m);
	if (r == 0)
		r = make_one(f, jx_file_name(0, name), (uint64_t)j->ring_slots * JR_PAGE_BYTES, &m);
	free(m.zeros);
	for (unsigned i = 1; i <= j->segments && r == -ENOSPC; i++)
		unlinkat(f->dir_fd, jx_file_name((uint8_t)i, (char[32]){0}), 0);
	if (r == 0 && (fsync(f->dir_fd) < 0 || unlinkat(f->dir_fd, "unfinished", 0) < 0 ||
		       fsync(f->dir_fd) < 0))
		r = -errno;
	return r < 0 ? say(why, size, r, path, name, NULL) : 0;
}

static int make_if_new(struct jx_files *f, const char *path, const struct jx_config *c, char *why,
		       size_t size)
{
	int ring = exists(f, "ring"), segment = exists(f, "segment-001"),
	    unfinished = exists(f, "unfinished");

	if (ring < 0)
		return say(why, size, ring, path, "ring", NULL);
	if (segment < 0)
		return say(why, size, segment, path, "segment-001", NULL);
	if (unfinished < 0)
		return say(why, size, unfinished, path, "unfinished", NULL);
	if (unfinished || (!ring && !segment))
		return make_all(f, path, c, why, size);
	if (!ring)
		return say(why, size, -EUCLEAN, path, "ring",
			   "is missing, but there are segments: bring it back, or move "
			   "the directory away for a full copy from the peer");
	return 0;
}

/* ---- opening ---- */

static int open_one(struct jx_files *f, const char *path, const struct jx_config *c, uint8_t file,
		    uint64_t bytes, char *why, size_t size)
{
	char name[32], text[128];
	struct stat st;
	int fd, r;

	jx_file_name(file, name);
	if (file == JX_ARCHIVE && c->read_only)
		return 0;
	fd = open_direct(f, name,
			 c->read_only	      ? O_RDONLY
			 : file == JX_ARCHIVE ? O_RDWR | O_CREAT
					      : O_RDWR);
	if (fd < 0)
		return say(why, size, fd == -ENOENT ? -EUCLEAN : fd, path, name,
			   fd == -ENOENT ? "is missing" : NULL);
	f->fds[file] = fd;
	if (fstat(fd, &st) < 0)
		return say(why, size, -errno, path, name, NULL);
	if (file == JX_ARCHIVE) {
		f->archive_bytes = (uint64_t)st.st_size / JR_PAGE_BYTES * JR_PAGE_BYTES;
	} else if ((uint64_t)st.st_size != bytes) {
		snprintf(text, sizeof(text), "has %llu bytes, the configuration says %llu",
			 (unsigned long long)st.st_size, (unsigned long long)bytes);
		return say(why, size, -EUCLEAN, path, name, text);
	}
	if (c->read_only)
		return 0;
	/* Who holds this but not `lock` is dead, and its last writes are still on their way. */
	r = lock_wait(fd, c->patience_ms);
	if (r < 0)
		return say(why, size, r == -EAGAIN || r == -EACCES ? -EBUSY : r, path, name,
			   r == -EAGAIN || r == -EACCES
				   ? "writes of a process that ended are still under way"
				   : NULL);
	return 0;
}

int jx_files_open(struct jx_files *f, const char *path, const struct jx_config *cfg, char *why,
		  size_t size)
{
	struct jx_config c = *cfg;
	int r = 0;

	f->direct = true;
	if (c.patience_ms == 0)
		c.patience_ms = PATIENCE_MS;
	if (!c.read_only && mkdir(path, 0700) < 0 && errno != EEXIST)
		return say(why, size, -errno, path, "", NULL);
	f->dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (f->dir_fd < 0)
		return say(why, size, -errno, path, "", NULL);
	if (!c.read_only) {
		r = lock_take(f, path, c.patience_ms, why, size);
		if (r == 0)
			r = make_if_new(f, path, &c, why, size);
	}
	if (r == 0)
		r = open_one(f, path, &c, 0, (uint64_t)c.journal.ring_slots * JR_PAGE_BYTES, why,
			     size);
	for (unsigned i = 1; i <= c.journal.segments && r == 0; i++)
		r = open_one(f, path, &c, (uint8_t)i, c.journal.segment_bytes, why, size);
	if (r == 0)
		r = open_one(f, path, &c, JX_ARCHIVE, 0, why, size);
	return r;
}
