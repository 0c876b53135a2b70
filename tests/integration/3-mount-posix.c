/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What an application expects of a local file system, on a mount in the working directory. argv[1] is a command that kills the
 * active controller; each part lets it run between what it does and what it looks at.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/falloc.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

static const char *kill_command;

#define CHECK(x)                                                                              \
	do {                                                                                  \
		errno = 0;                                                                    \
		if (!(x)) {                                                                   \
			fprintf(stderr, "line %d: %s (%s)\n", __LINE__, #x, strerror(errno)); \
			_exit(1);                                                             \
		}                                                                             \
	} while (0)
#define REFUSED(x, error) CHECK((x) < 0 && errno == (error))

static void kill_active(void)
{
	CHECK(system(kill_command) == 0);
}

static void wait_for(int children)
{
	int status;

	while (children--)
		CHECK(wait(&status) > 0 && status == 0);
}

/* Two processes write in turn through mappings of their own. */
static void take_turns(unsigned who, unsigned turns)
{
	int fd = open("mapped", O_RDWR);
	_Atomic unsigned *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	CHECK(p != MAP_FAILED);
	for (unsigned i = 0; i < turns; i++) {
		while (p[0] % 2 != who)
			usleep(1);
		p[1 + i * 50] = p[0];
		if (i % 1000 == 0)
			CHECK(msync((void *)p, 1 << 20, MS_SYNC) == 0);
		p[0]++;
	}
	_exit(0);
}

static void mapped_by_two(void)
{
	int fd = open("mapped", O_RDWR | O_CREAT, 0644);
	unsigned turns;

	CHECK(ftruncate(fd, 1 << 20) == 0);
	for (unsigned who = 0; who < 2; who++)
		if (fork() == 0)
			take_turns(who, 4000);
	kill_active();
	wait_for(2);
	CHECK(pread(fd, &turns, sizeof(turns), 0) == sizeof(turns) && turns == 8000);
	close(fd);
}

static void append(int who, int lines)
{
	int fd = open("log", O_WRONLY | O_APPEND | O_CREAT, 0644), n;
	char line[64];

	for (int i = 0; i < lines; i++) {
		n = snprintf(line, sizeof(line), "%d %d%*s\n", who, i, i % 17, "");
		CHECK(write(fd, line, (size_t)n) == n);
	}
	CHECK(close(fd) == 0);
	_exit(0);
}

static void appended_by_three(void)
{
	int next[3] = {0}, who, i;
	char line[64];
	FILE *f;

	for (who = 0; who < 3; who++)
		if (fork() == 0)
			append(who, 500);
	kill_active();
	wait_for(3);
	f = fopen("log", "r");
	while (fgets(line, sizeof(line), f))
		CHECK(sscanf(line, "%d %d", &who, &i) == 2 && next[who]++ == i);
	CHECK(next[0] == 500 && next[1] == 500 && next[2] == 500);
	fclose(f);
}

static struct flock range(short type, off_t start, off_t bytes)
{
	return (struct flock){
		.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = bytes};
}

static void meet_locks(int met)
{
	int fd = open("locked", O_RDWR), whole = open("whole", O_RDWR);
	struct flock l = range(F_WRLCK, 15, 1);

	REFUSED(fcntl(fd, F_SETLK, &l), EAGAIN);
	CHECK(fcntl(fd, F_GETLK, &l) == 0 && l.l_type == F_WRLCK && l.l_start == 10);
	l = range(F_WRLCK, 2, 1);
	REFUSED(fcntl(fd, F_OFD_SETLK, &l), EAGAIN);
	l = range(F_WRLCK, 30, 1);
	CHECK(fcntl(fd, F_SETLK, &l) == 0);
	REFUSED(flock(whole, LOCK_EX | LOCK_NB), EWOULDBLOCK);
	CHECK(write(met, "", 1) == 1);
	CHECK(flock(whole, LOCK_EX) == 0);
	_exit(0);
}

static void locked(void)
{
	int fd = open("locked", O_RDWR | O_CREAT, 0644);
	int own = open("locked", O_RDWR), whole = open("whole", O_RDWR | O_CREAT, 0644);
	struct flock l = range(F_WRLCK, 10, 10), o = range(F_WRLCK, 0, 5);
	int met[2];
	char c;

	CHECK(pipe(met) == 0);
	CHECK(fcntl(fd, F_SETLK, &l) == 0);
	CHECK(fcntl(own, F_OFD_SETLK, &o) == 0);
	CHECK(flock(whole, LOCK_EX) == 0);
	kill_active();
	if (fork() == 0)
		meet_locks(met[1]);
	CHECK(read(met[0], &c, 1) == 1);
	usleep(100000);
	CHECK(waitpid(-1, NULL, WNOHANG) == 0);
	CHECK(flock(whole, LOCK_UN) == 0);
	wait_for(1);
	close(met[0]);
	close(met[1]);
	close(own);
	close(fd);
	close(whole);
}

static void renamed_over_open(void)
{
	int old = open("target", O_RDWR | O_CREAT, 0644),
	    fresh = open("new", O_RDWR | O_CREAT, 0644);
	char b[16];
	struct stat st;

	CHECK(write(old, "old", 3) == 3 && write(fresh, "newer", 5) == 5);
	CHECK(rename("new", "target") == 0);
	kill_active();
	CHECK(pread(old, b, 16, 0) == 3 && memcmp(b, "old", 3) == 0);
	CHECK(fstat(old, &st) == 0 && st.st_nlink == 0 && st.st_size == 3);
	CHECK(pwrite(old, "still", 5, 5000) == 5 && fsync(old) == 0);
	CHECK(pread(old, b, 16, 5000) == 5 && memcmp(b, "still", 5) == 0);
	CHECK(ftruncate(old, 2) == 0 && pread(old, b, 16, 0) == 2);
	CHECK(stat("target", &st) == 0 && st.st_size == 5);
	REFUSED(renameat2(AT_FDCWD, "log", AT_FDCWD, "target", RENAME_NOREPLACE), EEXIST);
	CHECK(renameat2(AT_FDCWD, "log", AT_FDCWD, "target", RENAME_EXCHANGE) == 0);
	CHECK(stat("log", &st) == 0 && st.st_size == 5);
	close(old);
	close(fresh);
}

static void unlinked_but_open(void)
{
	enum { FILES = 20 };
	int fds[FILES], dir;
	char name[16], b[8192], c[8192];
	struct stat st;

	for (int i = 0; i < FILES; i++) {
		snprintf(name, sizeof(name), "gone-%d", i);
		fds[i] = open(name, O_RDWR | O_CREAT, 0644);
		memset(b, 'a' + i, sizeof(b));
		CHECK(write(fds[i], b, sizeof(b)) == sizeof(b) && unlink(name) == 0);
	}
	CHECK(mkdir("gone", 0755) == 0);
	dir = open("gone", O_RDONLY | O_DIRECTORY);
	CHECK(rmdir("gone") == 0);
	kill_active();
	for (int i = 0; i < FILES; i++) {
		memset(b, 'a' + i, sizeof(b));
		CHECK(pread(fds[i], c, sizeof(c), 0) == sizeof(c) && memcmp(b, c, sizeof(c)) == 0);
		CHECK(fstat(fds[i], &st) == 0 && st.st_nlink == 0 && st.st_size == sizeof(b));
		CHECK(pwrite(fds[i], "xyz", 3, 100000) == 3 && fsync(fds[i]) == 0);
		CHECK(close(fds[i]) == 0);
	}
	REFUSED(openat(dir, "x", O_CREAT | O_RDWR, 0644), ENOENT);
	CHECK(fstat(dir, &st) == 0);
	close(dir);
}

static void attributes(void)
{
	static char large[65536], b[65536];
	int fd = open("attributes", O_RDWR | O_CREAT, 0644);
	char name[256];

	for (size_t i = 0; i < sizeof(large); i++)
		large[i] = (char)(i * 7);
	memset(name, 'n', 255);
	memcpy(name, "user.", 5);
	name[255] = 0;
	CHECK(fsetxattr(fd, "user.small", "1", 1, XATTR_CREATE) == 0);
	CHECK(fsetxattr(fd, "user.empty", "", 0, 0) == 0);
	CHECK(fsetxattr(fd, "user.large", large, sizeof(large), 0) == 0);
	CHECK(fsetxattr(fd, name, "1", 1, 0) == 0);
	REFUSED(fsetxattr(fd, "user.small", "2", 1, XATTR_CREATE), EEXIST);
	REFUSED(fsetxattr(fd, "user.none", "2", 1, XATTR_REPLACE), ENODATA);
	kill_active();
	CHECK(fgetxattr(fd, "user.large", b, sizeof(b)) == sizeof(b) &&
	      memcmp(b, large, sizeof(b)) == 0);
	REFUSED(fgetxattr(fd, "user.large", b, 10), ERANGE);
	CHECK(fgetxattr(fd, "user.empty", b, 10) == 0);
	CHECK(flistxattr(fd, b, sizeof(b)) == 11 + 11 + 11 + 256);
	CHECK(fremovexattr(fd, "user.small") == 0);
	REFUSED(fremovexattr(fd, "user.small"), ENODATA);
	close(fd);
}

static void names(void)
{
	struct statvfs v;
	char n[257];

	memset(n, 0xfe, 256);
	n[256] = 0;
	REFUSED(mkdir(n, 0755), ENAMETOOLONG);
	n[255] = 0;
	CHECK(mkdir(n, 0755) == 0 && access(n, X_OK) == 0 && rmdir(n) == 0);
	CHECK(mkdir("new\nline \\\"'", 0755) == 0 && rmdir("new\nline \\\"'") == 0);
	CHECK(statvfs(".", &v) == 0 && v.f_namemax == 255 && v.f_bfree > 0 &&
	      v.f_bfree <= v.f_blocks && v.f_bavail <= v.f_bfree && v.f_files > 0);
}

static void holes(void)
{
	enum { MIB = 1 << 20 };
	int fd = open("holes", O_RDWR | O_CREAT, 0644), writes;
	struct stat st;

	CHECK(ftruncate(fd, 100 * MIB) == 0);
	REFUSED(lseek(fd, 0, SEEK_DATA), ENXIO);
	CHECK(pwrite(fd, "data", 4, 50 * MIB) == 4);
	kill_active();
	CHECK(lseek(fd, 0, SEEK_HOLE) == 0 && lseek(fd, 0, SEEK_DATA) == 50 * MIB);
	CHECK(lseek(fd, 50 * MIB, SEEK_HOLE) == 50 * MIB + 4096);
	CHECK(lseek(fd, 99 * MIB, SEEK_HOLE) == 99 * MIB);
	REFUSED(lseek(fd, 51 * MIB, SEEK_DATA), ENXIO);
	REFUSED(lseek(fd, 100 * MIB, SEEK_HOLE), ENXIO);
	REFUSED(fallocate(fd, 0, 0, (off_t)MIB << 20), ENOSPC);
	CHECK(fsync(fd) == 0 && fstat(fd, &st) == 0 && st.st_blocks < 4096);
	CHECK(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 8 * MIB) == 0);
	CHECK(fstat(fd, &st) == 0 && st.st_size == 100 * MIB && st.st_blocks >= 16384);
	REFUSED(fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 0, 4096), EOPNOTSUPP);
	close(fd);
	writes = open("holes", O_WRONLY);
	CHECK(ftruncate(writes, 200 * MIB) == 0);
	CHECK(lseek(writes, 150 * MIB, SEEK_HOLE) == 150 * MIB);
	CHECK(lseek(writes, 9 * MIB, SEEK_DATA) == 50 * MIB);
	close(writes);
}

static void punched(void)
{
	int fd = open("punched", O_RDWR | O_CREAT, 0644), to = open("copy", O_RDWR | O_CREAT, 0644);
	loff_t from = 0, at = 0;
	char b[20000];

	memset(b, 'z', sizeof(b));
	CHECK(write(fd, b, sizeof(b)) == sizeof(b));
	CHECK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 6000, 3000) == 0);
	CHECK(fallocate(fd, FALLOC_FL_ZERO_RANGE, 15000, 4000) == 0);
	kill_active();
	CHECK(copy_file_range(fd, &from, to, &at, sizeof(b), 0) == sizeof(b));
	CHECK(pread(to, b, sizeof(b), 0) == sizeof(b));
	for (int i = 0; i < 20000; i++)
		CHECK(b[i] == ((i >= 6000 && i < 9000) || (i >= 15000 && i < 19000) ? 0 : 'z'));
	close(fd);
	close(to);
}

/* Brings the file's pages back again and again. */
static pid_t start_reader(void)
{
	static char b[65536];
	pid_t pid = fork();
	int fd;

	if (pid)
		return pid;
	fd = open("direct", O_RDONLY);
	for (;;)
		if (pread(fd, b, sizeof(b), 0) < 0)
			_exit(1);
}

/* What an asynchronous write past the page cache has written is what readers through it see. */
static void written_past_the_pages(void)
{
	static char seen[65536];
	int fd = open("direct", O_RDWR | O_CREAT | O_DIRECT, 0644);
	int through = open("direct", O_RDONLY);
	char *b = aligned_alloc(4096, sizeof(seen));
	struct iocb io = {.aio_lio_opcode = IOCB_CMD_PWRITE,
			  .aio_fildes = (uint32_t)fd,
			  .aio_buf = (uintptr_t)b,
			  .aio_nbytes = sizeof(seen)},
		    *ios = &io;
	struct io_event event;
	aio_context_t context = 0;
	pid_t reader;

	CHECK(syscall(SYS_io_setup, 1, &context) == 0);
	reader = start_reader();
	for (int i = 1; i <= 600; i++) {
		memset(b, i, sizeof(seen));
		CHECK(syscall(SYS_io_submit, context, 1, &ios) == 1);
		CHECK(syscall(SYS_io_getevents, context, 1, 1, &event, NULL) == 1);
		CHECK(event.res == sizeof(seen));
		CHECK(pread(through, seen, sizeof(seen), 0) == sizeof(seen));
		CHECK(memcmp(seen, b, sizeof(seen)) == 0);
		if (i == 300)
			kill_active();
	}
	CHECK(kill(reader, SIGKILL) == 0 && waitpid(reader, NULL, 0) == reader);
	close(through);
	close(fd);
	free(b);
}

enum { MINE = 1 << 20 };

/* Into and out of a mapping of the file itself, past its pages and through them. */
static void move_within(char *map, int direct, int through, unsigned seed)
{
	for (int i = 0; i < 300; i++) {
		off_t at = rand_r(&seed) % 200 * 4096;
		char *p = map + rand_r(&seed) % 200 * 4096;
		size_t bytes = (1 + (size_t)rand_r(&seed) % 8) * 4096;

		/* A page that is dropped meanwhile fails with EFAULT at times, here as elsewhere. */
		switch (rand_r(&seed) % 7) {
		case 0:
			CHECK(pwrite(direct, p, bytes, at) > 0 || errno == EFAULT);
			break;
		case 1:
			CHECK(pread(direct, p, bytes, at) > 0 || errno == EFAULT);
			break;
		case 2:
			CHECK(pwrite(through, p, bytes, at) > 0 || errno == EFAULT);
			break;
		case 3:
			CHECK(pread(through, p, bytes, at) > 0 || errno == EFAULT);
			break;
		case 4:
			CHECK(msync(map, MINE, MS_SYNC) == 0);
			break;
		case 5:
			CHECK(fsync(direct) == 0);
			break;
		case 6:
			memset(p, i, bytes);
			break;
		}
	}
	_exit(0);
}

static void moved_within_itself(void)
{
	int direct = open("itself", O_RDWR | O_CREAT | O_DIRECT, 0644);
	int through = open("itself", O_RDWR);
	char *map;

	CHECK(ftruncate(direct, MINE) == 0);
	map = mmap(NULL, MINE, PROT_READ | PROT_WRITE, MAP_SHARED, through, 0);
	CHECK(map != MAP_FAILED);
	for (unsigned who = 1; who <= 6; who++)
		if (fork() == 0)
			move_within(map, direct, through, who);
	kill_active();
	wait_for(6);
	munmap(map, MINE);
	close(direct);
	close(through);
}

static bool same(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

/* Of a file that is written, and of one whose times are then set, before and after both are committed. */
/*
 * While one turns O_DIRECT on and off, two write parts of a page through the same open file: each of
 * their writes waits for the other's, and so begins in one way and is sent with the flag of the other.
 */
static void turned_to_direct(void)
{
	int fd = open("turned", O_RDWR | O_CREAT, 0644), flags = fcntl(fd, F_GETFL);
	char *p = aligned_alloc(512, 512), *seen = aligned_alloc(512, 512);
	pid_t turns, other;

	memset(p, 0, 512);
	turns = fork();
	while (turns == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		CHECK(fcntl(fd, F_SETFL, flags | O_DIRECT) == 0);
		CHECK(fcntl(fd, F_SETFL, flags) == 0);
	}
	other = fork();
	while (other == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		CHECK(pwrite(fd, p, 512, 1024) == 512);
	}
	alarm(60);
	for (int i = 0; i < 3000; i++) {
		memset(p, i, 512);
		CHECK(pwrite(fd, p, 512, 512) == 512);
		if (i % 20 == 0)
			CHECK(pread(fd, seen, 512, 512) == 512 && memcmp(seen, p, 512) == 0);
	}
	alarm(0);
	CHECK(kill(turns, SIGKILL) == 0 && waitpid(turns, NULL, 0) == turns);
	CHECK(kill(other, SIGKILL) == 0 && waitpid(other, NULL, 0) == other);
	close(fd);
	free(p);
	free(seen);
}

static void times(void)
{
	struct timespec set[2] = {{1, 2}, {4000000000, 123456789}};
	int written = open("written", O_RDWR | O_CREAT, 0644);
	int future = open("future", O_RDWR | O_CREAT, 0644);
	struct stat a, b, c, d;

	CHECK(write(written, "1", 1) == 1 && write(future, "1", 1) == 1);
	CHECK(futimens(future, set) == 0 && fstat(written, &a) == 0 && fstat(future, &c) == 0);
	CHECK(same(c.st_mtim, set[1]) && c.st_ctim.tv_sec < 4000000000);
	usleep(1300000);
	kill_active();
	CHECK(fstat(written, &b) == 0 && fstat(future, &d) == 0);
	CHECK(same(a.st_mtim, b.st_mtim) && same(a.st_ctim, b.st_ctim));
	CHECK(same(c.st_mtim, d.st_mtim) && same(c.st_ctim, d.st_ctim));
	close(written);
	close(future);
}

/* What does not fit becomes the farthest that does, on the same side of 1970. */
static void far_times(void)
{
	struct timespec set[2] = {{INT64_MAX / 2, 5}, {-INT64_MAX / 2, 5}};
	int fd = open("far", O_RDWR | O_CREAT, 0644);
	struct stat a;

	CHECK(futimens(fd, set) == 0 && fstat(fd, &a) == 0);
	CHECK(a.st_atim.tv_sec == 9223372036 && a.st_mtim.tv_sec == -9223372036);
	close(fd);
}

static void come_and_go(void)
{
	char name[32], to[32];

	for (int i = 0;; i++) {
		snprintf(name, sizeof(name), "many/new-%d", i % 100);
		snprintf(to, sizeof(to), "many/moved-%d", i % 60);
		mknod(name, S_IFREG | 0644, 0);
		rename(name, to);
		if (i % 3 == 0)
			unlink(to);
	}
}

static void list(int files)
{
	char *times = calloc(1, (size_t)files);
	DIR *d = opendir("many");
	struct dirent *e;
	int i, seen = 0;

	while (errno = 0, (e = readdir(d)))
		if (sscanf(e->d_name, "stays-%d", &i) == 1) {
			CHECK(times[i]++ == 0);
			if (++seen == files / 2)
				kill_active();
		}
	CHECK(seen == files);
	closedir(d);
	free(times);
}

static void listed_while_entries_come_and_go(int files)
{
	char name[32];
	pid_t pid;

	CHECK(mkdir("many", 0755) == 0);
	for (int i = 0; i < files; i++) {
		snprintf(name, sizeof(name), "many/stays-%d", i);
		CHECK(mknod(name, S_IFREG | 0644, 0) == 0);
	}
	pid = fork();
	if (pid == 0)
		come_and_go();
	list(files);
	list(files);
	CHECK(kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid);
}

int main(int argc, char **argv)
{
	CHECK(argc >= 2);
	kill_command = argv[1];
	mapped_by_two();
	appended_by_three();
	locked();
	renamed_over_open();
	unlinked_but_open();
	attributes();
	names();
	holes();
	punched();
	written_past_the_pages();
	moved_within_itself();
	turned_to_direct();
	times();
	far_times();
	listed_while_entries_come_and_go(argc > 2 ? atoi(argv[2]) : 1500);
	return 0;
}
