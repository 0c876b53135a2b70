/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/crash/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "tests/crash/heap.h"

enum { SECTOR = 512, UNDO_MAX = 4096, PIECES = 64 };

/* One write or rename that is not durable yet. */
struct undo {
	int node, fd; /* fd: -1 of a rename */
	dev_t dev;
	ino_t ino;
	off_t offset, old_size;
	size_t bytes;
	uint8_t *old;
	char from[256], to[256];
	unsigned flags;
	bool after; /* asked for when the power was gone already: it never happened */
};

static struct {
	pthread_mutex_t lock;
	struct disk_plan plan;
	int node;
	bool dead, failed;
	enum disk_fate fate;
	unsigned crashes;
	uint64_t writes, calls, dice;
	struct undo undo[UNDO_MAX];
	size_t undo_count;
	int failed_node;
	dev_t failed_dev;
	ino_t failed_ino;
	off_t failed_at;
	bool failed_durable, repeated;
	char struck[128], repeated_name[128];
} disk = {.lock = PTHREAD_MUTEX_INITIALIZER};

static const char *const fate_names[DISK_FATES] = {"kept", "dropped", "torn"};
static const char *const fault_names[DISK_FAULTS] = {"EIO", "ENOSPC", "short"};

const char *disk_fate_name(enum disk_fate f)
{
	return fate_names[f];
}

const char *disk_fault_name(enum disk_fault f)
{
	return fault_names[f];
}

void disk_start(const struct disk_plan *plan)
{
	disk.plan = *plan;
	disk.dice = plan->crash_at[0] * 0x9e3779b97f4a7c15 + 1;
}

void disk_node(int node)
{
	disk.node = node;
	disk.dead = false;
}

int disk_whose(void)
{
	return disk.node;
}

bool disk_dead(void)
{
	return disk.dead;
}

void disk_kill(enum disk_fate fate)
{
	disk.dead = true;
	disk.fate = fate;
}

enum disk_fate disk_fate_now(void)
{
	return disk.fate;
}

uint64_t disk_writes(void)
{
	return disk.writes;
}

uint64_t disk_calls(void)
{
	return disk.calls;
}

bool disk_failed(void)
{
	return disk.failed;
}

int disk_failed_node(void)
{
	return disk.failed_node;
}

const char *disk_struck(void)
{
	return disk.struck;
}

const char *disk_repeated(void)
{
	return disk.repeated ? disk.repeated_name : NULL;
}

/* splitmix64 */
static uint64_t dice(void)
{
	uint64_t z = (disk.dice += 0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

bool disk_queued_lands(uint32_t bytes, uint64_t *ret_mask)
{
	*ret_mask = disk.fate == DISK_TORN ? dice() : UINT64_MAX;
	return disk.fate != DISK_DROPPED;
}

/* ---- what the C library would do ---- */

static ssize_t real_write(int fd, const struct iovec *v, int count, off_t offset, int flags)
{
	return syscall(SYS_pwritev2, fd, v, count, offset, offset >> 32, flags);
}

static void name_of(int fd, char out[128])
{
	char link[64], path[512];
	ssize_t n;
	int slashes = 0;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	path[n > 0 ? n : 0] = '\0';
	while (n > 0 && slashes < 3)
		slashes += path[--n] == '/';
	snprintf(out, 128, "%.100s", path + (n > 0 ? n + 1 : 0));
}

static bool is_file(int fd, struct stat *ret)
{
	return fstat(fd, ret) == 0 && S_ISREG(ret->st_mode);
}

static void strike(const char *call, const char *name, uint64_t number, off_t offset)
{
	snprintf(disk.struck, sizeof(disk.struck), "%s %s at %lld", call, name, (long long)offset);
	if (disk.plan.trace)
		printf("        disk: %s %llu is the last one\n", disk.struck,
		       (unsigned long long)number);
}

/* ---- what is not durable yet ---- */

static struct undo *new_undo(void)
{
	struct undo *u;

	if (disk.undo_count == UNDO_MAX) {
		fprintf(stderr, "crash: more than %d writes without a sync\n", UNDO_MAX);
		abort();
	}
	u = &disk.undo[disk.undo_count++];
	*u = (struct undo){.node = disk.node, .fd = -1, .after = disk.dead};
	return u;
}

static void forget(struct undo *u)
{
	if (u->fd >= 0)
		close(u->fd);
	free(u->old);
}

static void remember_write(int fd, const struct stat *st, off_t offset, size_t bytes)
{
	struct undo *u = new_undo();
	char link[64];
	ssize_t n;

	/* A description of its own: the one that writes may be for nothing else, and holds locks. */
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	u->fd = (int)syscall(SYS_openat, AT_FDCWD, link, O_RDWR | O_CLOEXEC);
	if (u->fd < 0) {
		perror("crash: looking at what is overwritten");
		abort();
	}
	u->dev = st->st_dev;
	u->ino = st->st_ino;
	u->offset = offset;
	u->old_size = st->st_size;
	u->bytes = bytes;
	if (posix_memalign((void **)&u->old, 4096, (bytes + 4095) / 4096 * 4096) != 0)
		abort();
	memset(u->old, 0, bytes);
	n = pread(u->fd, u->old, bytes, offset);
	if (n < 0) {
		perror("crash: reading what is overwritten");
		abort();
	}
}

static void drop_undo(bool (*match)(const struct undo *, const struct stat *),
		      const struct stat *st)
{
	size_t left = 0;

	for (size_t i = 0; i < disk.undo_count; i++) {
		if (match(&disk.undo[i], st))
			forget(&disk.undo[i]);
		else
			disk.undo[left++] = disk.undo[i];
	}
	disk.undo_count = left;
}

static bool is_of_file(const struct undo *u, const struct stat *st)
{
	return u->fd >= 0 && u->dev == st->st_dev && u->ino == st->st_ino;
}

static bool is_rename(const struct undo *u, const struct stat *st)
{
	return u->fd < 0 && u->node == disk.node;
}

static void synced(const struct stat *st)
{
	drop_undo(S_ISDIR(st->st_mode) ? is_rename : is_of_file, st);
}

static void undo_rename(const struct undo *u)
{
	if (syscall(SYS_renameat2, AT_FDCWD, u->to, AT_FDCWD, u->from, u->flags) < 0)
		perror("crash: undoing a rename");
}

static void undo_write(const struct undo *u, bool torn)
{
	for (size_t at = 0; at < u->bytes; at += SECTOR) {
		struct iovec v = {u->old + at, u->bytes - at < SECTOR ? u->bytes - at : SECTOR};

		if (torn && (dice() & 1))
			continue;
		if (real_write(u->fd, &v, 1, u->offset + (off_t)at, 0) < 0)
			perror("crash: undoing a write");
	}
	if (!torn && ftruncate(u->fd, u->old_size) < 0)
		perror("crash: undoing growth");
}

void disk_settle(int node)
{
	size_t left = 0;

	for (size_t i = disk.undo_count; i > 0; i--) {
		struct undo *u = &disk.undo[i - 1];

		if (u->node != node || (disk.fate == DISK_KEPT && !u->after))
			continue;
		if (u->fd >= 0)
			undo_write(u, disk.fate == DISK_TORN && !u->after);
		else if (disk.fate == DISK_DROPPED || u->after || (dice() & 1))
			undo_rename(u);
	}
	for (size_t i = 0; i < disk.undo_count; i++) {
		if (disk.undo[i].node == node)
			forget(&disk.undo[i]);
		else
			disk.undo[left++] = disk.undo[i];
	}
	disk.undo_count = left;
	disk.dead = false;
	if (disk.failed_node == node)
		disk.failed_durable = false; /* another process now */
}

/* ---- one call ---- */

static size_t length(const struct iovec *v, int count)
{
	size_t bytes = 0;

	for (int i = 0; i < count; i++)
		bytes += v[i].iov_len;
	return bytes;
}

static bool crashes_here(void)
{
	return disk.crashes < DISK_CRASHES && disk.plan.crash_at[disk.crashes] == disk.writes;
}

static void crash(const char *call, const char *name, off_t offset)
{
	disk.dead = true;
	disk.fate = disk.plan.fate[disk.crashes++];
	if (disk.crashes == 1)
		strike(call, name, disk.writes, offset);
}

/* True: this call fails as planned. */
static bool fails_here(const char *call, const char *name, const struct stat *st, bool durable,
		       off_t offset)
{
	disk.calls++;
	if (disk.failed_durable && disk.failed_node == disk.node && st->st_dev == disk.failed_dev &&
	    st->st_ino == disk.failed_ino && offset == disk.failed_at && !disk.repeated) {
		disk.repeated = true;
		snprintf(disk.repeated_name, sizeof(disk.repeated_name), "%s %s", call, name);
	}
	if (disk.calls != disk.plan.fail_at)
		return false;
	disk.failed = true;
	disk.failed_node = disk.node;
	disk.failed_dev = st->st_dev;
	disk.failed_ino = st->st_ino;
	disk.failed_at = offset;
	/* The state's other copies are written, LMDB writes the transaction anew, the arbiter reads back what stands. */
	disk.failed_durable = durable && disk.plan.fault != DISK_SHORT && strstr(name, "journal/");
	strike(call, name, disk.calls, offset);
	return true;
}

static ssize_t fail(int fd, const struct iovec *v, off_t offset, int flags)
{
	struct iovec part = *v;

	if (disk.plan.fault == DISK_SHORT) {
		part.iov_len = part.iov_len / 2 / SECTOR * SECTOR;
		return part.iov_len ? real_write(fd, &part, 1, offset, flags) : 0;
	}
	errno = disk.plan.fault == DISK_ENOSPC ? ENOSPC : EIO;
	return -1;
}

static ssize_t counted(const char *call, int fd, const struct iovec *v, int count, off_t offset,
		       int flags, const struct stat *st)
{
	bool durable = flags & RWF_DSYNC || fcntl(fd, F_GETFL) & O_DSYNC;
	off_t at = offset < 0 ? lseek(fd, 0, SEEK_CUR) : offset;
	char name[128];

	/* Its process goes on for a moment, on a disk that forgets it. */
	if (disk.dead) {
		remember_write(fd, st, at, length(v, count));
		return real_write(fd, v, count, offset, flags);
	}
	name_of(fd, name);
	disk.writes++;
	if (disk.plan.trace)
		printf("        disk %d: write %llu call %llu: %s %s at %lld, %zu bytes%s\n",
		       disk.node, (unsigned long long)disk.writes,
		       (unsigned long long)disk.calls + 1, call, name, (long long)at,
		       length(v, count), durable ? "" : ", not durable");
	if (fails_here(call, name, st, durable, at))
		return fail(fd, v, offset, flags);
	if (crashes_here() || !durable)
		remember_write(fd, st, at, length(v, count));
	if (crashes_here())
		crash(call, name, at);
	return real_write(fd, v, count, offset, flags);
}

static ssize_t any_write(const char *call, int fd, const struct iovec *v, int count, off_t offset,
			 int flags)
{
	struct stat st;
	ssize_t n;
	int error;

	if (disk.node == 0 || !is_file(fd, &st))
		return real_write(fd, v, count, offset, flags);
	heap_pause();
	pthread_mutex_lock(&disk.lock);
	n = counted(call, fd, v, count, offset, flags, &st);
	error = errno;
	pthread_mutex_unlock(&disk.lock);
	heap_resume();
	errno = error;
	return n;
}

static int any_sync(const char *call, int fd, long number)
{
	struct stat st;
	char name[128];
	bool fails;

	if (disk.node == 0)
		return (int)syscall(number, fd);
	if (disk.dead)
		return 0;
	if (fstat(fd, &st) < 0)
		return -1;
	heap_pause();
	pthread_mutex_lock(&disk.lock);
	name_of(fd, name);
	fails = fails_here(call, name, &st, true, 0);
	if (disk.plan.trace)
		printf("        disk %d: call %llu: %s %s\n", disk.node,
		       (unsigned long long)disk.calls, call, name);
	if (!fails)
		synced(&st);
	pthread_mutex_unlock(&disk.lock);
	heap_resume();
	if (!fails)
		return (int)syscall(number, fd);
	errno = disk.plan.fault == DISK_ENOSPC ? ENOSPC : EIO;
	return -1;
}

/* ---- in place of the C library's ---- */

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

int fsync(int fd)
{
	return any_sync("fsync", fd, SYS_fsync);
}

int fdatasync(int fd)
{
	return any_sync("fdatasync", fd, SYS_fdatasync);
}

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
	struct undo *u;

	if (disk.node == 0)
		return (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, flags);
	disk.writes += !disk.dead;
	if (disk.plan.trace && !disk.dead)
		printf("        disk %d: write %llu: rename %s to %s\n", disk.node,
		       (unsigned long long)disk.writes, from, to);
	if (syscall(SYS_renameat2, from_dir, from, to_dir, to, flags) < 0)
		return -1;
	u = new_undo();
	u->flags = flags;
	snprintf(u->from, sizeof(u->from), "%s", from);
	snprintf(u->to, sizeof(u->to), "%s", to);
	if (!disk.dead && crashes_here())
		crash("rename", to, 0);
	return 0;
}

static int any_open(int dir, const char *path, int flags, mode_t mode)
{
	/* A process without power makes no files. */
	if (disk.node && disk.dead && flags & (O_CREAT | O_TRUNC)) {
		errno = EIO;
		return -1;
	}
	return (int)syscall(SYS_openat, dir, path, flags, mode);
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

int unlink(const char *path)
{
	return disk.node && disk.dead ? 0 : (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

int unlinkat(int dir, const char *path, int flags)
{
	return disk.node && disk.dead ? 0 : (int)syscall(SYS_unlinkat, dir, path, flags);
}

/* Time stands still in here: who would wait looks again at once. */
int nanosleep(const struct timespec *t, struct timespec *left)
{
	return 0;
}
