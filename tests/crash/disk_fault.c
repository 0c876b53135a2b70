/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which call fails, and what must not be asked for again behind it. */
#include "tests/crash/disk_int.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { DESCRIPTORS = 256 };

static const char *const fault_names[DISK_FAULTS] = {"EIO", "ENOSPC", "short"};

const char *disk_fault_name(enum disk_fault f)
{
	return fault_names[f];
}

unsigned disk_can_fail(uint64_t call)
{
	return call < DISK_CALLS_MAX ? disk.can_fail[call] : 1 << DISK_EIO;
}

int disk_planned_errno(void)
{
	return disk.plan.fault == DISK_ENOSPC ? ENOSPC : EIO;
}

void disk_strike(const char *call, const char *name, uint64_t number, off_t offset)
{
	snprintf(disk.struck, sizeof(disk.struck), "%s %.90s at %lld", call, name,
		 (long long)offset);
	if (disk.plan.trace)
		printf("        disk: %s %llu is the last one\n", disk.struck,
		       (unsigned long long)number);
}

bool disk_fails_here(const char *call, const char *name, unsigned can)
{
	disk.calls++;
	if (disk.calls < DISK_CALLS_MAX)
		disk.can_fail[disk.calls] = (uint8_t)can;
	if (disk.plan.trace)
		printf("        disk %d: call %llu: %s %s\n", disk.node,
		       (unsigned long long)disk.calls, call, name);
	if (disk.calls != disk.plan.fail_at)
		return false;
	disk.failed = disk.failed_life = true;
	disk.failed_node = disk.node;
	disk_strike(call, name, disk.calls, 0);
	return true;
}

static void repeats(const char *call, const char *name)
{
	if (disk.repeated)
		return;
	disk.repeated = true;
	snprintf(disk.repeated_name, sizeof(disk.repeated_name), "%s %.90s", call, name);
}

bool disk_write_fails(const char *call, const char *name, unsigned can, const struct stat *st,
		      bool durable, off_t offset)
{
	if (disk.failed_durable && disk.failed_node == disk.node && st->st_dev == disk.failed_dev &&
	    st->st_ino == disk.failed_ino && offset == disk.failed_at)
		repeats(call, name);
	if (!disk_fails_here(call, name, can))
		return false;
	disk.failed_dev = st->st_dev;
	disk.failed_ino = st->st_ino;
	disk.failed_at = offset;
	/* The state's other copies are written, LMDB writes the transaction anew, the arbiter reads back what stands. */
	disk.failed_durable = durable && disk.plan.fault != DISK_SHORT && strstr(name, "journal/");
	disk_strike(call, name, disk.calls, offset);
	return true;
}

/* ---- syncs: the kernel tells of a failure once, each description that was open then, and what it could not write is clean from then on ---- */

static bool is_lost(const struct stat *st)
{
	return disk.lost.node && disk.lost.node == disk.node && st->st_dev == disk.lost.dev &&
	       st->st_ino == disk.lost.ino;
}

void disk_sync_fails(int fd, const struct stat *st)
{
	struct lost *l = &disk.lost;
	struct stat other;

	*l = (struct lost){.node = disk.node,
			   .no_room = disk.plan.fault == DISK_ENOSPC,
			   .dev = st->st_dev,
			   .ino = st->st_ino};
	for (int i = 3; i < DESCRIPTORS && l->untold_count < UNTOLD_MAX; i++)
		if (i != fd && fstat(i, &other) == 0 && is_lost(&other))
			l->untold[l->untold_count++] = i;
}

/* Was it one of those that are still to be told? */
static bool tell(int fd)
{
	struct lost *l = &disk.lost;

	for (unsigned i = 0; i < l->untold_count; i++) {
		if (l->untold[i] != fd)
			continue;
		l->untold[i] = l->untold[--l->untold_count];
		return true;
	}
	return false;
}

int disk_sync_lost(const char *name, int fd, const struct stat *st)
{
	if (!is_lost(st))
		return 0;
	if (tell(fd))
		return -EIO;
	repeats("sync", name);
	return 0;
}

void disk_written_anew(const struct stat *st)
{
	if (is_lost(st) && disk.lost.no_room)
		disk.lost.node = 0;
}

void disk_opened(int fd)
{
	tell(fd);
}
