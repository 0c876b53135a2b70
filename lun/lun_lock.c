/* SPDX-License-Identifier: GPL-2.0-or-later OR LGPL-2.1-or-later */
/* The locks of a LUN, fcntl(2) open file description locks, and who holds one. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "lun/lun.h"
#include "lun/lun_iscsi.h"
#include "lun/lun_priv.h"

static struct flock one_byte(short type, uint64_t at)
{
	return (struct flock){
		.l_type = type, .l_whence = SEEK_SET, .l_start = (off_t)at, .l_len = 1};
}

static int byte_lock(struct lun *l, short type, uint64_t at)
{
	struct flock f = one_byte(type, at);

	if (fcntl(lun_fd(l), F_OFD_SETLK, &f) == 0)
		return 0;
	return errno == EACCES || errno == EAGAIN ? -EBUSY : -errno;
}

int lun_key_hold(struct lun *l, uint32_t key)
{
	if (l->iscsi)
		return -EOPNOTSUPP;
	return byte_lock(l, F_WRLCK, LUN_LOCK_KEYS + key);
}

int lun_key_release(struct lun *l, uint32_t key)
{
	if (l->iscsi)
		return -EOPNOTSUPP;
	return byte_lock(l, F_UNLCK, LUN_LOCK_KEYS + key);
}

/* An iSCSI LUN carries no volume, so no client ever wrote there. */
static int are_free(struct lun *l, uint64_t at, off_t keys)
{
	struct flock f = one_byte(F_WRLCK, at);

	f.l_len = keys;
	if (l->iscsi)
		return 0;
	if (fcntl(lun_fd(l), F_OFD_GETLK, &f) < 0)
		return -errno;
	return f.l_type == F_UNLCK ? 0 : -EBUSY;
}

int lun_key_is_free(struct lun *l, uint32_t key)
{
	return are_free(l, LUN_LOCK_KEYS + key, 1);
}

int lun_keys_are_free(struct lun *l)
{
	return are_free(l, LUN_LOCK_KEYS, (off_t)UINT32_MAX + 1);
}

/*
 * A line of fdinfo: "lock: 1: OFDLCK ADVISORY WRITE -1 fe:00:1234 2305843009213693952
 * 2305843009213693952"
 */
static bool line_is(const char *line, const struct stat *st, uint64_t at)
{
	unsigned major_no, minor_no;
	unsigned long inode;
	unsigned long long start;
	char end[32];

	return sscanf(line, "lock: %*s OFDLCK %*s WRITE %*s %x:%x:%lu %llu %31s", &major_no,
		      &minor_no, &inode, &start, end) == 5 &&
	       major_no == major(st->st_dev) && minor_no == minor(st->st_dev) &&
	       inode == st->st_ino && start == at;
}

static bool fdinfo_has(const char *path, const struct stat *st, uint64_t at)
{
	char line[256];
	FILE *f = fopen(path, "re");
	bool found = false;

	while (f && !found && fgets(line, sizeof(line), f))
		found = line_is(line, st, at);
	if (f)
		fclose(f);
	return found;
}

static bool process_has(const char *pid, const struct stat *st, uint64_t at)
{
	char path[600];
	struct dirent *e;
	DIR *d;
	bool found = false;

	snprintf(path, sizeof(path), "/proc/%s/fdinfo", pid);
	d = opendir(path);
	while (d && !found && (e = readdir(d))) {
		snprintf(path, sizeof(path), "/proc/%s/fdinfo/%s", pid, e->d_name);
		found = e->d_name[0] != '.' && fdinfo_has(path, st, at);
	}
	if (d)
		closedir(d);
	return found;
}

static void process_name(const char *pid, char *who, size_t size)
{
	char path[300], name[64] = "?";
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%s/comm", pid);
	f = fopen(path, "re");
	if (f) {
		if (fgets(name, sizeof(name), f))
			name[strcspn(name, "\n")] = '\0';
		fclose(f);
	}
	snprintf(who, size, "process %s (%s)", pid, name);
}

/* The kernel tells no holder of such a lock; the descriptors of the processes we may look at do. */
static void holder_find(struct lun *l, uint64_t at, char *who, size_t size)
{
	struct dirent *e;
	struct stat st;
	DIR *d;

	who[0] = '\0';
	if (fstat(lun_fd(l), &st) < 0)
		return;
	d = opendir("/proc");
	while (d && who[0] == '\0' && (e = readdir(d)))
		if (isdigit((unsigned char)e->d_name[0]) && process_has(e->d_name, &st, at))
			process_name(e->d_name, who, size);
	if (d)
		closedir(d);
}

void lun_key_holder(struct lun *l, uint32_t key, char *who, size_t size)
{
	who[0] = '\0';
	if (!l->iscsi)
		holder_find(l, LUN_LOCK_KEYS + key, who, size);
}

int lun_arbiter_lock(struct lun *l, char *who, size_t size)
{
	int r;

	if (l->iscsi)
		return lun_iscsi_hold(l->iscsi, false, who, size);
	r = byte_lock(l, F_WRLCK, LUN_LOCK_ARBITER);
	if (r == -EBUSY && who)
		holder_find(l, LUN_LOCK_ARBITER, who, size);
	return r;
}

int lun_arbiter_take(struct lun *l, char *who, size_t size)
{
	return l->iscsi ? lun_iscsi_hold(l->iscsi, true, who, size)
			: lun_arbiter_lock(l, who, size);
}

int lun_arbiter_unlock(struct lun *l)
{
	if (l->iscsi)
		return lun_iscsi_release(l->iscsi);
	return byte_lock(l, F_UNLCK, LUN_LOCK_ARBITER);
}
