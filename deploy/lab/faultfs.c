/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * faultfs DIR CONTROL: mounts DIR over itself, with a disk under it that can be slow, fail or be full. CONTROL is a file with
 * two words, read at each write and each sync: ms that it takes longer, and ok, fails (EIO) or full (ENOSPC). io_uring passes a
 * preloaded library by, but not a file system. Runs until it is unmounted or killed.
 */
#define FUSE_USE_VERSION 31
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse3/fuse.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

static int root_fd, control_fd;

/* What an operation on what path names takes: the path below the root. */
static const char *below(const char *path)
{
	return path[1] ? path + 1 : ".";
}

static int result(int r)
{
	return r < 0 ? -errno : r;
}

/* Waits as long as the disk takes; 0, or what it answers instead. */
static int disk(void)
{
	char text[64] = "", word[16] = "ok";
	long ms = 0;

	if (pread(control_fd, text, sizeof(text) - 1, 0) > 0)
		sscanf(text, "%ld %15s", &ms, word);
	if (ms > 0) {
		struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

		nanosleep(&t, NULL);
	}
	return strcmp(word, "fails") == 0 ? -EIO : strcmp(word, "full") == 0 ? -ENOSPC : 0;
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
	(void)path;
	return result((int)pread((int)fi->fh, to, n, at));
}

static int do_write(const char *path, const char *from, size_t n, off_t at,
		    struct fuse_file_info *fi)
{
	int r = disk();

	(void)path;
	return r ? r : result((int)pwrite((int)fi->fh, from, n, at));
}

static int do_fsync(const char *path, int data_only, struct fuse_file_info *fi)
{
	int r = disk();

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
	int r = disk();

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

	if (argc != 3) {
		fprintf(stderr, "usage: faultfs DIR CONTROL\n");
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
