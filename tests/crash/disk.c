/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a controller has written and the disk does not hold yet, and what becomes of it. */
#include "tests/crash/disk_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

struct disk disk = {.lock = PTHREAD_MUTEX_INITIALIZER};

static const char *const fate_names[DISK_FATES] = {"kept", "dropped", "torn"};

const char *disk_fate_name(enum disk_fate f)
{
	return fate_names[f];
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

uint64_t disk_removals(void)
{
	return __atomic_load_n(&disk.removals, __ATOMIC_SEQ_CST);
}

bool disk_failed(void)
{
	return disk.failed;
}

bool disk_failed_in_this_life(void)
{
	return disk.failed_life && disk.failed_node == disk.node;
}

bool disk_failed_hard(void)
{
	return disk.failed && disk.plan.fault != DISK_SHORT;
}

int disk_failed_node(void)
{
	return disk.failed_node;
}

const char *disk_struck(void)
{
	return disk.struck;
}

bool disk_plan_done(void)
{
	unsigned crashes = 0;

	while (crashes < DISK_CRASHES && disk.plan.crash_at[crashes])
		crashes++;
	return disk.crashes == crashes && (disk.failed || !disk.plan.fail_at);
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

ssize_t disk_real_write(int fd, const struct iovec *v, int count, off_t offset, int flags)
{
	return syscall(SYS_pwritev2, fd, v, count, offset, offset >> 32, flags);
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

void disk_remember_write(int fd, const struct stat *st, off_t offset, size_t bytes)
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
	n = syscall(SYS_pread64, u->fd, u->old, bytes, offset);
	if (n < 0) {
		perror("crash: reading what is overwritten");
		abort();
	}
}

void disk_remember_rename(const char *from, const char *to, unsigned flags)
{
	struct undo *u = new_undo();

	u->flags = flags;
	snprintf(u->from, sizeof(u->from), "%s", from);
	snprintf(u->to, sizeof(u->to), "%s", to);
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

void disk_synced(const struct stat *st)
{
	drop_undo(S_ISDIR(st->st_mode) ? is_rename : is_of_file, st);
}

/* What has been removed since stays so: removals are durable at once. */
static void undo_rename(const struct undo *u)
{
	if (syscall(SYS_renameat2, AT_FDCWD, u->to, AT_FDCWD, u->from, u->flags) < 0 &&
	    errno != ENOENT)
		perror("crash: undoing a rename");
}

static void undo_write(const struct undo *u, bool torn)
{
	for (size_t at = 0; at < u->bytes; at += SECTOR) {
		struct iovec v = {u->old + at, u->bytes - at < SECTOR ? u->bytes - at : SECTOR};

		if (torn && (dice() & 1))
			continue;
		if (disk_real_write(u->fd, &v, 1, u->offset + (off_t)at, 0) < 0)
			perror("crash: undoing a write");
	}
	if (!torn && syscall(SYS_ftruncate, u->fd, u->old_size) < 0)
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
	/* Another process now. */
	if (disk.failed_node == node)
		disk.failed_durable = disk.failed_life = false;
	if (disk.lost.node == node)
		disk.lost.node = 0;
}

/* ---- the power goes ---- */

bool disk_crashes_here(void)
{
	return disk.crashes < DISK_CRASHES && disk.plan.crash_at[disk.crashes] == disk.writes;
}

void disk_crash(const char *call, const char *name, off_t offset)
{
	disk.dead = true;
	disk.fate = disk.plan.fate[disk.crashes++];
	if (disk.crashes == 1)
		disk_strike(call, name, disk.writes, offset);
}
