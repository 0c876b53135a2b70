/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One sector of one file is damaged while both controllers are down. */
#include "tests/crash/crash.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "ha/core/ha.h"
#include "lun/label.h"

enum { SECTOR = 512, PAGE = 4096 };

static const char *const kind_names[CRASH_DAMAGES] = {"none", "zeroed", "flipped", "old",
						      "swapped"};
static const char *const file_names[CRASH_FILES] = {"journal/ring",
						    "journal/segment-001",
						    "journal/segment-002",
						    "journal/segment-003",
						    "state",
						    "lun"};

const char *crash_damage_name(enum crash_damage_kind kind)
{
	return kind_names[kind];
}

const char *crash_file_name(enum crash_file file)
{
	return file_names[file];
}

static void path_of(const char *dir, const struct crash_damage *d, char out[512])
{
	if (d->file == CRASH_FILE_LUN)
		snprintf(out, 512, "%s/lun", dir);
	else
		snprintf(out, 512, "%s/n%d/%s", dir, d->node, file_names[d->file]);
}

uint64_t crash_file_sectors(enum crash_file file)
{
	if (file == CRASH_FILE_STATE)
		return 4 * HA_STATE_BYTES / SECTOR;
	if (file == CRASH_FILE_LUN) /* both copies of the arbiter record and of the floor */
		return 4 * LUN_BLOCK_BYTES / SECTOR;
	return file == CRASH_FILE_RING ? CRASH_RING_SLOTS * PAGE / SECTOR
				       : CRASH_SEGMENT_BYTES / SECTOR;
}

uint64_t crash_damage_other(const struct crash_damage *d)
{
	return (d->sector + PAGE / SECTOR) % crash_file_sectors(d->file);
}

static off_t offset_of(const struct crash_damage *d, uint64_t sector)
{
	off_t begin = d->file == CRASH_FILE_LUN ? (off_t)LUN_ARBITER_BLOCK * LUN_BLOCK_BYTES : 0;

	return begin + (off_t)sector * SECTOR;
}

static bool transfer(const char *path, off_t at, uint8_t *p, bool write)
{
	int fd = open(path, (write ? O_WRONLY : O_RDONLY) | O_CLOEXEC);
	ssize_t n = -1;

	if (fd >= 0) {
		n = write ? pwrite(fd, p, SECTOR, at) : pread(fd, p, SECTOR, at);
		close(fd);
	}
	return n == SECTOR;
}

void crash_damage_keep(const char *dir, const struct crash_damage *d, uint8_t ret[SECTOR])
{
	char path[512];

	path_of(dir, d, path);
	memset(ret, 0, SECTOR);
	transfer(path, offset_of(d, d->sector), ret, false);
}

int crash_damage_do(const char *dir, const struct crash_damage *d, const uint8_t old[SECTOR])
{
	uint64_t other = crash_damage_other(d);
	uint8_t now[SECTOR], next[SECTOR], is[SECTOR];
	char path[512];

	path_of(dir, d, path);
	if (!transfer(path, offset_of(d, d->sector), is, false) ||
	    !transfer(path, offset_of(d, other), next, false))
		return -EIO;
	memcpy(now, is, SECTOR);
	switch (d->kind) {
	case CRASH_ZEROED:
		memset(now, 0, SECTOR);
		break;
	case CRASH_FLIPPED:
		now[d->sector * 37 % SECTOR] ^= (uint8_t)(1 << d->sector % 8);
		break;
	case CRASH_OLD:
		memcpy(now, old, SECTOR);
		break;
	default:
		memcpy(now, next, SECTOR);
		memcpy(next, is, SECTOR);
		if (!transfer(path, offset_of(d, other), next, true))
			return -EIO;
		break;
	}
	if (!transfer(path, offset_of(d, d->sector), now, true))
		return -EIO;
	return memcmp(now, is, SECTOR) != 0;
}
