/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <sys/sysmacros.h>
#include <time.h>

#include "client/mdcfs.h"

enum { NS_PER_S = 1000000000 };
#define DAY_NS		  ((int64_t)86400 * NS_PER_S)
#define KERNEL_FMODE_EXEC 0x20 /* __FMODE_EXEC: an open by execve(2), include/linux/fs.h */

static struct timespec timespec_of(int64_t ns)
{
	int64_t s = ns / NS_PER_S, rest = ns % NS_PER_S;

	if (rest < 0) {
		s--;
		rest += NS_PER_S;
	}
	return (struct timespec){.tv_sec = s, .tv_nsec = rest};
}

void mf_stat(const struct mdc_attr *a, struct stat *ret)
{
	*ret = (struct stat){
		.st_ino = a->ino,
		.st_mode = a->mode,
		.st_nlink = a->nlink,
		.st_uid = a->uid,
		.st_gid = a->gid,
		.st_rdev = (dev_t)a->rdev,
		.st_size = (off_t)a->size,
		.st_blocks = (blkcnt_t)a->blocks,
		.st_blksize = MF_BLOCK,
		.st_atim = timespec_of(a->atime_ns),
		.st_mtim = timespec_of(a->mtime_ns),
		.st_ctim = timespec_of(a->ctime_ns),
	};
}

/* Inode numbers are never used again, so one generation is enough. The timeouts stay zero. */
void mf_entry(const struct mdc_attr *a, struct fuse_entry_param *ret)
{
	*ret = (struct fuse_entry_param){.ino = mf_node(a->ino), .generation = 1};
	mf_stat(a, &ret->attr);
}

uint32_t mf_open_flags(int flags)
{
	uint32_t r = 0;

	switch (flags & O_ACCMODE) {
	case O_WRONLY:
		r = MDC_O_WRITE;
		break;
	case O_RDWR:
		r = MDC_O_READ | MDC_O_WRITE;
		break;
	default:
		r = flags & KERNEL_FMODE_EXEC ? MDC_O_EXEC : MDC_O_READ;
	}
	if (flags & O_TRUNC)
		r |= MDC_O_TRUNC;
	if (flags & O_APPEND)
		r |= MDC_O_APPEND;
	return r;
}

bool mf_wants_touch(const struct mdc_attr *a, int flags)
{
	struct timespec now;

	if (mf.conf.noatime || mf.conf.readonly || (flags & O_NOATIME))
		return false;
	if (a->atime_ns <= a->mtime_ns || a->atime_ns <= a->ctime_ns)
		return true;
	clock_gettime(CLOCK_REALTIME, &now);
	return a->atime_ns < (int64_t)now.tv_sec * NS_PER_S - DAY_NS;
}

void mf_touch(uint64_t ino)
{
	mf_tell(&(struct mdc_request){
		.op = MDC_SETATTR,
		.ino = ino,
		.valid = MDC_SET_ATIME_TOUCH,
		.set = &(struct mdc_attr){0},
	});
}
