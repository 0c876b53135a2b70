/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * treework DIRECTORY SEED SECONDS: works on a tree as an application does and knows what each name must be. Reads and listings are
 * compared all along, everything once more at the end; the first difference, and the first error, ends it with 1. When its
 * standard input gives something it compares everything again, so that the mount may be made anew in between. SIGTERM ends the work,
 * but no operation, nor what follows the work. A file named by TREEWORK_LOG gets a line of each operation: ms since 1970 when it ended, us that it took.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { NAMES = 60, DIRS = 8, SIZE_MAX_BYTES = 600000 };

enum kind { NOTHING, FILE_, LINK };

struct entry {
	enum kind kind;
	uint8_t *data;
	size_t size;
	uint32_t mode, target;
};

static struct entry tree[DIRS][NAMES];
static uint64_t seed_state, operations;
static char base[2048];
static uint8_t scratch[SIZE_MAX_BYTES + 1];

static void fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

static void fail(const char *format, ...)
{
	va_list args;

	printf("operation %llu: ", (unsigned long long)operations);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
	exit(1);
}

static uint32_t draw(uint32_t below)
{
	seed_state ^= seed_state << 13;
	seed_state ^= seed_state >> 7;
	seed_state ^= seed_state << 17;
	return (uint32_t)((seed_state >> 11) % below);
}

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static const char *path_of(uint32_t dir, uint32_t name)
{
	static char paths[2][2200];
	static unsigned turn;
	char *path = paths[turn++ % 2];

	snprintf(path, sizeof(paths[0]), "%s/d%u/n%u", base, dir, name);
	return path;
}

static void must(bool good, const char *what, const char *path)
{
	if (!good)
		fail("%s %s: %s", what, path, strerror(errno));
}

static void fill(uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)draw(256);
}

static void resize(struct entry *e, size_t size)
{
	e->data = realloc(e->data, size + 1);
	if (!e->data)
		fail("out of memory");
	if (size > e->size)
		memset(e->data + e->size, 0, size - e->size);
	e->size = size;
}

static void forget(struct entry *e)
{
	free(e->data);
	*e = (struct entry){.kind = NOTHING};
}

static void do_write(uint32_t d, uint32_t n)
{
	struct entry *e = &tree[d][n];
	const char *path = path_of(d, n);
	static const size_t sizes[] = {1, 100, 4096, 5000, 70000, 200000};
	size_t size = draw((uint32_t)sizes[draw(6)]) + 1,
	       at = e->size ? draw((uint32_t)e->size + 5000) : 0;
	int fd;

	if (e->kind == LINK || at + size > SIZE_MAX_BYTES)
		return;
	fill(scratch, size);
	fd = open(path, O_RDWR | (e->kind == NOTHING ? O_CREAT | O_EXCL : 0), 0640);
	must(fd >= 0, "open", path);
	must(pwrite(fd, scratch, size, (off_t)at) == (ssize_t)size, "write", path);
	if (draw(4) == 0)
		must(fsync(fd) == 0, "fsync", path);
	must(close(fd) == 0, "close", path);
	if (e->kind == NOTHING)
		*e = (struct entry){.kind = FILE_, .mode = 0640};
	if (at + size > e->size)
		resize(e, at + size);
	memcpy(e->data + at, scratch, size);
}

static void do_truncate(uint32_t d, uint32_t n)
{
	struct entry *e = &tree[d][n];
	size_t size = draw((uint32_t)e->size + 6000);

	if (e->kind != FILE_ || size > SIZE_MAX_BYTES)
		return;
	must(truncate(path_of(d, n), (off_t)size) == 0, "truncate", path_of(d, n));
	resize(e, size);
}

static void compare_file(const struct entry *e, const char *path)
{
	struct stat st;
	size_t got = 0;
	ssize_t r;
	int fd = open(path, O_RDONLY);

	must(fd >= 0, "open", path);
	while ((r = read(fd, scratch + got, sizeof(scratch) - got)) > 0)
		got += (size_t)r;
	must(r >= 0, "read", path);
	must(fstat(fd, &st) == 0, "fstat", path);
	close(fd);
	if (got != e->size || (size_t)st.st_size != e->size)
		fail("%s: %zu bytes read, size %lld, %zu are right", path, got,
		     (long long)st.st_size, e->size);
	for (size_t i = 0; i < got; i++)
		if (scratch[i] != e->data[i])
			fail("%s: byte %zu of %zu is %02x, %02x is right", path, i, got, scratch[i],
			     e->data[i]);
	if ((st.st_mode & 07777) != e->mode)
		fail("%s: mode %o, %o is right", path, st.st_mode & 07777, e->mode);
}

static void compare(uint32_t d, uint32_t n)
{
	struct entry *e = &tree[d][n];
	const char *path = path_of(d, n);
	char target[64], right[64];
	struct stat st;
	ssize_t got;

	if (e->kind == FILE_) {
		compare_file(e, path);
	} else if (e->kind == LINK) {
		got = readlink(path, target, sizeof(target));
		must(got >= 0, "readlink", path);
		if (got != snprintf(right, sizeof(right), "to-%u", e->target) ||
		    memcmp(target, right, (size_t)got) != 0)
			fail("%s leads to %.*s, %s is right", path, (int)got, target, right);
	} else if (lstat(path, &st) == 0) {
		fail("%s is there and was removed", path);
	} else {
		must(errno == ENOENT, "lstat", path);
	}
}

static void list(uint32_t d)
{
	bool seen[NAMES] = {false};
	struct dirent *entry;
	char path[2200];
	DIR *dir;

	snprintf(path, sizeof(path), "%s/d%u", base, d);
	dir = opendir(path);
	must(dir, "opendir", path);
	while ((errno = 0, entry = readdir(dir))) {
		unsigned n;

		if (entry->d_name[0] == '.')
			continue;
		if (sscanf(entry->d_name, "n%u", &n) != 1 || n >= NAMES || seen[n] ||
		    tree[d][n].kind == NOTHING)
			fail("%s lists %s, which is not there or was listed before", path,
			     entry->d_name);
		seen[n] = true;
	}
	must(errno == 0, "readdir", path);
	closedir(dir);
	for (unsigned n = 0; n < NAMES; n++)
		if (tree[d][n].kind != NOTHING && !seen[n])
			fail("%s does not list n%u", path, n);
}

static void do_unlink(uint32_t d, uint32_t n)
{
	if (tree[d][n].kind == NOTHING) {
		if (unlink(path_of(d, n)) == 0 || errno != ENOENT)
			fail("unlink %s, which is not there: %s", path_of(d, n), strerror(errno));
		return;
	}
	must(unlink(path_of(d, n)) == 0, "unlink", path_of(d, n));
	forget(&tree[d][n]);
}

static void do_rename(uint32_t d, uint32_t n)
{
	uint32_t d2 = draw(DIRS), n2 = draw(NAMES);
	struct entry *from = &tree[d][n], *to = &tree[d2][n2];

	if (from->kind == NOTHING || from == to)
		return;
	must(rename(path_of(d, n), path_of(d2, n2)) == 0, "rename", path_of(d, n));
	forget(to);
	*to = *from;
	*from = (struct entry){.kind = NOTHING};
}

static void do_symlink(uint32_t d, uint32_t n)
{
	struct entry *e = &tree[d][n];
	uint32_t target = draw(1000000);
	char text[64];
	int r;

	snprintf(text, sizeof(text), "to-%u", target);
	r = symlink(text, path_of(d, n));
	if (e->kind != NOTHING) {
		if (r == 0 || errno != EEXIST)
			fail("symlink %s, which is there: %s", path_of(d, n), strerror(errno));
		return;
	}
	must(r == 0, "symlink", path_of(d, n));
	*e = (struct entry){.kind = LINK, .target = target};
}

static void do_chmod(uint32_t d, uint32_t n)
{
	struct entry *e = &tree[d][n];

	if (e->kind != FILE_)
		return;
	e->mode = 0600 | draw(0200);
	must(chmod(path_of(d, n), e->mode) == 0, "chmod", path_of(d, n));
}

static void one(void)
{
	uint32_t d = draw(DIRS), n = draw(NAMES), what = draw(100);

	if (what < 30)
		do_write(d, n);
	else if (what < 37)
		do_truncate(d, n);
	else if (what < 60)
		compare(d, n);
	else if (what < 72)
		do_unlink(d, n);
	else if (what < 82)
		do_rename(d, n);
	else if (what < 88)
		do_symlink(d, n);
	else if (what < 93)
		do_chmod(d, n);
	else
		list(d);
	operations++;
}

static void compare_all(void)
{
	for (uint32_t d = 0; d < DIRS; d++) {
		list(d);
		for (uint32_t n = 0; n < NAMES; n++)
			compare(d, n);
	}
}

/* Blocked all along: a system call that waits for its file is not interrupted. */
static bool told_to_end(void)
{
	sigset_t pending;

	return sigpending(&pending) == 0 && sigismember(&pending, SIGTERM) == 1;
}

static void block_sigterm(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
}

static void note(FILE *log, double took_s)
{
	struct timespec t;

	if (!log)
		return;
	clock_gettime(CLOCK_REALTIME, &t);
	fprintf(log, "%lld %.0f\n", (long long)t.tv_sec * 1000 + t.tv_nsec / 1000000, took_s * 1e6);
}

/* Until the time is over. Returns the longest an operation took, in seconds. */
static double work(double seconds, FILE *log)
{
	double begun, took, longest = 0, end = now_s() + seconds;

	while (!told_to_end() && (begun = now_s()) < end) {
		one();
		took = now_s() - begun;
		note(log, took);
		if (took > longest)
			longest = took;
	}
	return longest;
}

int main(int argc, char **argv)
{
	const char *log_path = getenv("TREEWORK_LOG");
	FILE *log = NULL;
	double longest;
	char path[2200];

	if (argc != 4) {
		fprintf(stderr, "usage: treework DIRECTORY SEED SECONDS\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	umask(0);
	block_sigterm();
	if (log_path) {
		must((log = fopen(log_path, "w")), "open", log_path);
		setvbuf(log, NULL, _IOLBF, 0);
	}
	seed_state = strtoull(argv[2], NULL, 0) * 2654435761u + 88172645463325252ull;
	snprintf(base, sizeof(base), "%s/work%s", argv[1], argv[2]);
	must(mkdir(base, 0755) == 0, "mkdir", base);
	for (uint32_t d = 0; d < DIRS; d++) {
		snprintf(path, sizeof(path), "%s/d%u", base, d);
		must(mkdir(path, 0755) == 0, "mkdir", path);
	}
	longest = work(strtod(argv[3], NULL), log);
	if (log)
		fclose(log);
	compare_all();
	printf("seed %s: %llu operations as they must be, the longest took %.2f s\n", argv[2],
	       (unsigned long long)operations, longest);
	if (getchar() != EOF) {
		compare_all();
		printf("seed %s: all of it is still there\n", argv[2]);
	}
	return 0;
}
