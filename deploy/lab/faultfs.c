/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * faultfs DIR CONTROL [direct_io]: mounts DIR over itself, with a disk under it that can be slow, fail or be full. CONTROL is a file of words
 * that are read at each operation: ms that a write and a sync take longer; ok, fails (writes and syncs: EIO), full (ENOSPC) or dead
 * (reads, too: EIO); and perhaps FROM TO, bytes of each file: what lies elsewhere, and syncs, are well then. io_uring passes a preloaded
 * library by, but not a file system. With direct_io the kernel caches nothing of it, and there is no mmap. Runs until it is unmounted or
 * killed.
 */
#define FUSE_USE_VERSION 31
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse3/fuse.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

static int root_fd, control_fd;
static bool uncached;

/* What an operation on what path names takes: the path below the root. */
static const char *below(const char *path)
{
	return path[1] ? path + 1 : ".";
}

static int result(int r)
{
	return r < 0 ? -errno : r;
}

enum what { READ, WRITE, SYNC };

struct state {
	long ms;
	char word[16];
	long long from, to;
};

static struct state now(void)
{
	struct state s = {.word = "ok"};
	char text[96] = "";

	if (pread(control_fd, text, sizeof(text) - 1, 0) > 0 &&
	    sscanf(text, "%ld %15s %lld %lld", &s.ms, s.word, &s.from, &s.to) < 4)
		s.from = s.to = 0;
	return s;
}

static bool is_well(const struct state *s, enum what what, off_t at, size_t n)
{
	return s->to && (what == SYNC || at >= s->to || at + (off_t)n <= s->from);
}

/* Waits as long as the disk takes; 0, or what it answers instead. */
static int disk(enum what what, off_t at, size_t n)
{
	struct state s = now();
	struct timespec t = {.tv_sec = s.ms / 1000, .tv_nsec = s.ms % 1000 * 1000000};

	if (is_well(&s, what, at, n))
		return 0;
	if (what == READ)
		return strcmp(s.word, "dead") == 0 ? -EIO : 0;
	if (s.ms > 0)
		nanosleep(&t, NULL);
	if (strcmp(s.word, "fails") == 0 || strcmp(s.word, "dead") == 0)
		return -EIO;
	return strcmp(s.word, "full") == 0 ? -ENOSPC : 0;
}

static int do_getattr(const char *path, struct stat *st, struct fuse_file_info *fi)
{
	if (fi)
		return result(fstat((int)fi->fh, st));
	return result(fstatat(root_fd, below(path), st, AT_SYMLINK_NOFOLLOW));
}

/* What the kernel asks is not aligned in memory: no O_DIRECT below. O_DSYNC stays. */
static int open_below(const char *path, mode_t mode, struct fuse_file_info *fi)
{
	int fd = openat(root_fd, below(path), (fi->flags & ~O_DIRECT) | O_CLOEXEC, mode);

	if (fd < 0)
		return -errno;
	fi->fh = (uint64_t)fd;
	fi->direct_io = uncached;
	return 0;
}

static int do_open(const char *path, struct fuse_file_info *fi)
{
	return open_below(path, 0, fi);
}

static int do_create(const char *path, mode_t mode, struct fuse_file_info *fi)
{
	fi->flags |= O_CREAT;
	return open_below(path, mode, fi);
}

static int do_release(const char *path, struct fuse_file_info *fi)
{
	(void)path;
	return result(close((int)fi->fh));
}

static int do_read(const char *path, char *to, size_t n, off_t at, struct fuse_file_info *fi)
{
	int r = disk(READ, at, n);

	(void)path;
	return r ? r : result((int)pread((int)fi->fh, to, n, at));
}

static int do_write(const char *path, const char *from, size_t n, off_t at,
		    struct fuse_file_info *fi)
{
	int r = disk(WRITE, at, n);

	(void)path;
	return r ? r : result((int)pwrite((int)fi->fh, from, n, at));
}

static int do_fsync(const char *path, int data_only, struct fuse_file_info *fi)
{
	int r = disk(SYNC, 0, 0);

	(void)path;
	if (r)
		return r;
	return result(data_only ? fdatasync((int)fi->fh) : fsync((int)fi->fh));
}

static int do_fsyncdir(const char *path, int data_only, struct fuse_file_info *fi)
{
	(void)path;
	(void)data_only;
	(void)fi;
	return result(fsync(root_fd));
}

static int do_fallocate(const char *path, int mode, off_t at, off_t n, struct fuse_file_info *fi)
{
	int r = disk(WRITE, at, (size_t)n);

	(void)path;
	return r ? r : result(fallocate((int)fi->fh, mode, at, n));
}

static int do_truncate(const char *path, off_t size, struct fuse_file_info *fi)
{
	int fd, r;

	if (fi)
		return result(ftruncate((int)fi->fh, size));
	fd = openat(root_fd, below(path), O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = result(ftruncate(fd, size));
	close(fd);
	return r;
}

static int do_unlink(const char *path)
{
	return result(unlinkat(root_fd, below(path), 0));
}

static int do_rmdir(const char *path)
{
	return result(unlinkat(root_fd, below(path), AT_REMOVEDIR));
}

static int do_mkdir(const char *path, mode_t mode)
{
	return result(mkdirat(root_fd, below(path), mode));
}

static int do_mknod(const char *path, mode_t mode, dev_t dev)
{
	return result(mknodat(root_fd, below(path), mode, dev));
}

static int do_rename(const char *from, const char *to, unsigned flags)
{
	return result(renameat2(root_fd, below(from), root_fd, below(to), flags));
}

static int do_chmod(const char *path, mode_t mode, struct fuse_file_info *fi)
{
	return result(fi ? fchmod((int)fi->fh, mode) : fchmodat(root_fd, below(path), mode, 0));
}

static int do_utimens(const char *path, const struct timespec t[2], struct fuse_file_info *fi)
{
	return result(fi ? futimens((int)fi->fh, t)
			 : utimensat(root_fd, below(path), t, AT_SYMLINK_NOFOLLOW));
}

static int do_statfs(const char *path, struct statvfs *st)
{
	(void)path;
	return result(fstatvfs(root_fd, st));
}

static int do_readdir(const char *path, void *to, fuse_fill_dir_t fill, off_t at,
		      struct fuse_file_info *fi, enum fuse_readdir_flags flags)
{
	int fd = openat(root_fd, below(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	(void)at;
	(void)fi;
	(void)flags;
	if (!dir)
		return -errno;
	for (struct dirent *e; (e = readdir(dir));)
		fill(to, e->d_name, NULL, 0, 0);
	closedir(dir);
	return 0;
}

static const struct fuse_operations operations = {
	.getattr = do_getattr,
	.open = do_open,
	.create = do_create,
	.release = do_release,
	.read = do_read,
	.write = do_write,
	.fsync = do_fsync,
	.fsyncdir = do_fsyncdir,
	.fallocate = do_fallocate,
	.truncate = do_truncate,
	.unlink = do_unlink,
	.rmdir = do_rmdir,
	.mkdir = do_mkdir,
	.mknod = do_mknod,
	.rename = do_rename,
	.chmod = do_chmod,
	.utimens = do_utimens,
	.statfs = do_statfs,
	.readdir = do_readdir,
};

int main(int argc, char **argv)
{
	char *args[] = {argv[0], argv[1], "-f", "-o", "attr_timeout=0,entry_timeout=0", NULL};

	uncached = argc == 4 && strcmp(argv[3], "direct_io") == 0;
	if (argc != 3 && !uncached) {
		fprintf(stderr, "usage: faultfs DIR CONTROL [direct_io]\n");
		return 2;
	}
	umask(0);
	root_fd = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	control_fd = open(argv[2], O_RDONLY | O_CLOEXEC);
	if (root_fd < 0 || control_fd < 0) {
		fprintf(stderr, "faultfs: %s: %s\n", argv[root_fd < 0 ? 1 : 2], strerror(errno));
		return 1;
	}
	return fuse_main(5, args, &operations, NULL);
}
