/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The functions that stand in place of the C library's, for the executors and for LMDB. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "tests/crash/disk_int.h"
#include "tests/crash/heap.h"

#define EIO_ALONE    (1u << DISK_EIO)
#define EIO_ENOSPC   (1u << DISK_EIO | 1u << DISK_ENOSPC)
#define EIO_OR_SHORT (1u << DISK_EIO | 1u << DISK_SHORT)
#define ANY_FAULT    (EIO_ENOSPC | 1u << DISK_SHORT)

static void path_of(int fd, char out[512])
{
	char link[64];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, out, 511);
	out[n > 0 ? n : 0] = '\0';
}

/* The last three parts of it. */
static void name_of(const char *path, char out[DISK_NAME])
{
	size_t n = strlen(path);
	int slashes = 0;

	while (n > 0 && slashes < 3)
		slashes += path[--n] == '/';
	snprintf(out, DISK_NAME, "%.100s", path + (n > 0 ? n + 1 : 0));
}

static void name_of_fd(int fd, char out[DISK_NAME])
{
	char path[512];

	path_of(fd, path);
	name_of(path, out);
}

static bool is_file(int fd, struct stat *ret)
{
	return fstat(fd, ret) == 0 && S_ISREG(ret->st_mode);
}

static void enter(void)
{
	heap_pause();
	pthread_mutex_lock(&disk.lock);
}

/* errno is what it was. */
static void leave(void)
{
	int error = errno;

	pthread_mutex_unlock(&disk.lock);
	heap_resume();
	errno = error;
}

/* ---- writes ---- */

static size_t length(const struct iovec *v, int count)
{
	size_t bytes = 0;

	for (int i = 0; i < count; i++)
		bytes += v[i].iov_len;
	return bytes;
}

static ssize_t fail(int fd, const struct iovec *v, off_t offset, int flags)
{
	struct iovec part = *v;

	if (disk.plan.fault == DISK_SHORT) {
		part.iov_len = part.iov_len / 2 / SECTOR * SECTOR;
		return part.iov_len ? disk_real_write(fd, &part, 1, offset, flags) : 0;
	}
	errno = disk_planned_errno();
	return -1;
}

static ssize_t counted(const char *call, int fd, const struct iovec *v, int count, off_t offset,
		       int flags, const struct stat *st)
{
	bool durable = flags & RWF_DSYNC || fcntl(fd, F_GETFL) & O_DSYNC;
	off_t at = offset < 0 ? lseek(fd, 0, SEEK_CUR) : offset;
	char name[DISK_NAME];

	/* Its process goes on for a moment, on a disk that forgets it. */
	if (disk.dead) {
		disk_remember_write(fd, st, at, length(v, count));
		return disk_real_write(fd, v, count, offset, flags);
	}
	name_of_fd(fd, name);
	disk.writes++;
	if (disk.plan.trace)
		printf("        disk %d: write %llu: %s %s at %lld, %zu bytes%s\n", disk.node,
		       (unsigned long long)disk.writes, call, name, (long long)at, length(v, count),
		       durable ? "" : ", not durable");
	if (disk_write_fails(call, name, ANY_FAULT, st, durable, at))
		return fail(fd, v, offset, flags);
	disk_written_anew(st);
	if (disk_crashes_here() || !durable)
		disk_remember_write(fd, st, at, length(v, count));
	if (disk_crashes_here())
		disk_crash(call, name, at);
	return disk_real_write(fd, v, count, offset, flags);
}

static ssize_t any_write(const char *call, int fd, const struct iovec *v, int count, off_t offset,
			 int flags)
{
	struct stat st;
	ssize_t n;

	if (disk.node == 0 || !is_file(fd, &st))
		return disk_real_write(fd, v, count, offset, flags);
	enter();
	n = counted(call, fd, v, count, offset, flags, &st);
	leave();
	return n;
}

ssize_t write(int fd, const void *p, size_t bytes)
{
	struct iovec v = {(void *)(uintptr_t)p, bytes};

	return any_write("write", fd, &v, 1, -1, 0);
}

ssize_t writev(int fd, const struct iovec *v, int count)
{
	return any_write("writev", fd, v, count, -1, 0);
}

ssize_t pwrite(int fd, const void *p, size_t bytes, off_t offset)
{
	struct iovec v = {(void *)(uintptr_t)p, bytes};

	return any_write("pwrite", fd, &v, 1, offset, 0);
}

ssize_t pwritev(int fd, const struct iovec *v, int count, off_t offset)
{
	return any_write("pwritev", fd, v, count, offset, 0);
}

ssize_t pwritev2(int fd, const struct iovec *v, int count, off_t offset, int flags)
{
	return any_write("pwritev2", fd, v, count, offset, flags);
}

/* ---- reads; LMDB reads its pages by mmap, which is not seen here, and its head by pread ---- */

static ssize_t any_read(const char *call, int fd, const struct iovec *v, int count, off_t offset,
			int flags)
{
	struct iovec half = *v;
	char name[DISK_NAME];
	struct stat st;
	bool fails;

	if (disk.node == 0 || disk.dead || !is_file(fd, &st))
		return syscall(SYS_preadv2, fd, v, count, offset, offset >> 32, flags);
	enter();
	name_of_fd(fd, name);
	fails = disk_fails_here(call, name, EIO_OR_SHORT);
	leave();
	if (!fails)
		return syscall(SYS_preadv2, fd, v, count, offset, offset >> 32, flags);
	if (disk.plan.fault == DISK_SHORT) {
		half.iov_len /= 2;
		return syscall(SYS_preadv2, fd, &half, 1, offset, offset >> 32, flags);
	}
	errno = disk_planned_errno();
	return -1;
}

ssize_t read(int fd, void *p, size_t bytes)
{
	struct iovec v = {p, bytes};

	return any_read("read", fd, &v, 1, -1, 0);
}

ssize_t pread(int fd, void *p, size_t bytes, off_t offset)
{
	struct iovec v = {p, bytes};

	return any_read("pread", fd, &v, 1, offset, 0);
}

ssize_t preadv(int fd, const struct iovec *v, int count, off_t offset)
{
	return any_read("preadv", fd, v, count, offset, 0);
}

ssize_t preadv2(int fd, const struct iovec *v, int count, off_t offset, int flags)
{
	return any_read("preadv2", fd, v, count, offset, flags);
}

/* ---- syncs ---- */

static int any_sync(const char *call, int fd, long number)
{
	char name[DISK_NAME];
	struct stat st;
	int error;

	if (disk.node == 0)
		return (int)syscall(number, fd);
	if (disk.dead)
		return 0;
	if (fstat(fd, &st) < 0)
		return -1;
	enter();
	name_of_fd(fd, name);
	error = disk_sync_lost(name, fd, &st);
	if (disk_write_fails(call, name, EIO_ENOSPC, &st, true, 0)) {
		disk_sync_fails(fd, &st);
		error = -disk_planned_errno();
	}
	if (!error)
		disk_synced(&st);
	leave();
	if (!error)
		return (int)syscall(number, fd);
	errno = -error;
	return -1;
}

int fsync(int fd)
{
	return any_sync("fsync", fd, SYS_fsync);
}

int fdatasync(int fd)
{
	return any_sync("fdatasync", fd, SYS_fdatasync);
}

int ftruncate(int fd, off_t bytes)
{
	char name[DISK_NAME];
	bool fails;

	if (disk.node == 0 || disk.dead)
		return (int)syscall(SYS_ftruncate, fd, bytes);
	enter();
	name_of_fd(fd, name);
	fails = disk_fails_here("ftruncate", name, EIO_ENOSPC);
	leave();
	if (!fails)
		return (int)syscall(SYS_ftruncate, fd, bytes);
	errno = disk_planned_errno();
	return -1;
}

/* ---- names ---- */

/* This call of a controller concerns a file of its own, and fails as planned. */
static bool name_fails(const char *call, int dir, const char *path, unsigned can)
{
	char whole[512] = "", name[DISK_NAME];
	bool fails = false;

	if (disk.node == 0 || disk.dead)
		return false;
	enter();
	if (path[0] != '/' && dir != AT_FDCWD)
		path_of(dir, whole);
	snprintf(whole + strlen(whole), sizeof(whole) - strlen(whole), "%s%.300s",
		 whole[0] ? "/" : "", path);
	if (disk.plan.dir && strncmp(whole, disk.plan.dir, strlen(disk.plan.dir)) == 0) {
		name_of(whole, name);
		fails = disk_fails_here(call, name, can);
	}
	leave();
	if (fails)
		errno = disk_planned_errno();
	return fails;
}

static int any_open(int dir, const char *path, int flags, mode_t mode)
{
	int fd;

	/* A process without power makes no files. */
	if (disk.node && disk.dead && flags & (O_CREAT | O_TRUNC)) {
		errno = EIO;
		return -1;
	}
	if (name_fails("open", dir, path, flags & O_CREAT ? EIO_ENOSPC : EIO_ALONE))
		return -1;
	fd = (int)syscall(SYS_openat, dir, path, flags, mode);
	if (disk.node && fd >= 0)
		disk_opened(fd);
	return fd;
}

int open(const char *path, int flags, ...)
{
	va_list args;
	mode_t mode;

	va_start(args, flags);
	mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
	va_end(args);
	return any_open(AT_FDCWD, path, flags, mode);
}

int openat(int dir, const char *path, int flags, ...)
{
	va_list args;
	mode_t mode;

	va_start(args, flags);
	mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
	va_end(args);
	return any_open(dir, path, flags, mode);
}

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
	if (disk.node == 0)
		return (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, flags);
	disk.writes += !disk.dead;
	if (disk.plan.trace && !disk.dead)
		printf("        disk %d: write %llu: rename %s to %s\n", disk.node,
		       (unsigned long long)disk.writes, from, to);
	if (name_fails("rename", to_dir, to, EIO_ENOSPC) ||
	    syscall(SYS_renameat2, from_dir, from, to_dir, to, flags) < 0)
		return -1;
	disk_remember_rename(from, to, flags);
	if (!disk.dead && disk_crashes_here())
		disk_crash("rename", to, 0);
	return 0;
}

int unlinkat(int dir, const char *path, int flags)
{
	if (disk.node && disk.dead)
		return 0;
	if (name_fails("unlink", dir, path, EIO_ALONE)) {
		__atomic_add_fetch(&disk.removals, 1, __ATOMIC_SEQ_CST);
		return -1;
	}
	return (int)syscall(SYS_unlinkat, dir, path, flags);
}

int unlink(const char *path)
{
	return unlinkat(AT_FDCWD, path, 0);
}

int rmdir(const char *path)
{
	int r = name_fails("rmdir", AT_FDCWD, path, EIO_ALONE)
			? -1
			: (int)syscall(SYS_unlinkat, AT_FDCWD, path, AT_REMOVEDIR);

	__atomic_add_fetch(&disk.removals, 1, __ATOMIC_SEQ_CST);
	return r;
}

int mkdir(const char *path, mode_t mode)
{
	return name_fails("mkdir", AT_FDCWD, path, EIO_ENOSPC)
		       ? -1
		       : (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
}

/* To ask whether a file is there reads its directory. */
int faccessat(int dir, const char *path, int mode, int flags)
{
	return name_fails("faccessat", dir, path, EIO_ALONE)
		       ? -1
		       : (int)syscall(SYS_faccessat, dir, path, mode);
}

int access(const char *path, int mode)
{
	return name_fails("access", AT_FDCWD, path, EIO_ALONE)
		       ? -1
		       : (int)syscall(SYS_faccessat, AT_FDCWD, path, mode);
}

int stat(const char *restrict path, struct stat *restrict ret)
{
	return name_fails("stat", AT_FDCWD, path, EIO_ALONE) ? -1 : fstatat(AT_FDCWD, path, ret, 0);
}

/* Time stands still in here: who would wait looks again at once. */
int nanosleep(const struct timespec *t, struct timespec *left)
{
	return 0;
}
