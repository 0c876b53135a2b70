/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "controller/io/pair_dir.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "controller/io/conf.h"
#include "controller/io/lun_tool.h"
#include "proto/hash.h"

enum { ACCESS_PORT = 60598, COORD_PORT = 60766, HEARTBEAT_PORT = 60599, ADDRESS_TRIES = 200 };

static int __attribute__((format(printf, 4, 5)))
say(char *why, size_t size, int error, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(why, size, format, ap);
	va_end(ap);
	return error;
}

int pair_parse_bytes(const char *text, uint64_t *ret)
{
	static const char units[] = "KMGT";
	char *end;
	unsigned long long v = strtoull(text, &end, 10);
	const char *unit = *end ? strchr(units, *end) : NULL;

	if (end == text || text[0] == '-' || (*end && (!unit || end[1])))
		return -EINVAL;
	for (long i = unit ? unit - units + 1 : 0; i > 0; i--) {
		if (v >> 54)
			return -EINVAL;
		v <<= 10;
	}
	*ret = v;
	return 0;
}

static int set_paths(struct pair_dir *d, const char *path, char *why, size_t size)
{
	char real[PATH_MAX];

	if (!realpath(path, real))
		return say(why, size, -errno, "%s: %s", path, strerror(errno));
	if (strlen(real) >= sizeof(d->path))
		return say(why, size, -ENAMETOOLONG, "%s: the path is too long", real);
	strcpy(d->path, real);
	for (int i = 0; i < 2; i++)
		snprintf(d->node[i], sizeof(d->node[i]), "%s/node%d", d->path, i + 1);
	return 0;
}

/* What cannot be read is not empty. */
static bool is_empty(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *e;
	bool empty = dir;

	errno = 0;
	while (empty && (e = readdir(dir)))
		empty = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;
	empty = empty && errno == 0;
	if (dir)
		closedir(dir);
	return empty;
}

static bool has(const struct pair_dir *d, const char *name)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", d->path, name);
	return access(path, F_OK) == 0;
}

/* What both controllers agree on is read from the first one's configuration. */
static int read_conf(struct pair_dir *d, char *why, size_t size)
{
	static struct conf c;
	char path[PATH_MAX + 16], text[512];
	int error;

	snprintf(path, sizeof(path), "%s/mdcd.conf", d->node[0]);
	error = conf_read(path, &c, text);
	if (error < 0)
		return say(why, size, error, "%s", text);
	d->cluster = c.cluster;
	d->access_port = (uint16_t)c.access_port;
	for (int i = 0; i < 2; i++)
		strcpy(d->address[i], c.access[i]);
	return 0;
}

int pair_dir_find(const char *path, struct pair_dir *ret, char *why, size_t size)
{
	struct stat st;
	int error;

	if (stat(path, &st) < 0)
		return say(why, size, -errno, "%s: %s", path, strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return say(why, size, -ENOTDIR, "%s is not a directory", path);
	if (access(path, R_OK | X_OK) < 0)
		return say(why, size, -errno, "%s: %s: ask as root or as user %u, whose it is",
			   path, strerror(errno), st.st_uid);
	error = set_paths(ret, path, why, size);
	if (error)
		return error;
	if (has(ret, "pair"))
		return 0;
	if (has(ret, "pair.new") || is_empty(ret->path))
		return say(why, size, -ENOENT, "%s holds no pair yet: mdcpair up makes one", path);
	return say(why, size, -EBADF,
		   "%s is neither empty nor the directory of a pair: take another one", path);
}

int pair_dir_read(struct pair_dir *d, char *why, size_t size)
{
	int error = read_conf(d, why, size);

	return error == -ENOENT ? -EBADF : error; /* where a pair is, none is made */
}

int pair_dir_open(const char *path, struct pair_dir *ret, char *why, size_t size)
{
	int error = pair_dir_find(path, ret, why, size);

	return error ? error : pair_dir_read(ret, why, size);
}

pid_t pair_dir_supervisor(const char *path)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	char pid_path[PATH_MAX], text[16] = "";
	pid_t pid = 0;
	int fd;

	if (snprintf(pid_path, sizeof(pid_path), "%s/supervisor.pid", path) >=
	    (int)sizeof(pid_path))
		return 0;
	fd = open(pid_path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	if (fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK) {
		if (read(fd, text, sizeof(text) - 1) > 0)
			pid = atoi(text);
		if (pid <= 0)
			pid = -1;
	}
	close(fd);
	return pid;
}

/* ---- making one ---- */

static bool can_bind(const char *address, uint16_t port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
	bool can;

	inet_pton(AF_INET, address, &a.sin_addr);
	if (fd < 0)
		return false;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	can = bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0;
	close(fd);
	return can;
}

static bool are_free(struct pair_dir *d)
{
	static const uint16_t ports[] = {ACCESS_PORT, COORD_PORT, HEARTBEAT_PORT};

	for (int i = 0; i < 2; i++)
		for (int j = 0; j < 3; j++)
			if (!can_bind(d->address[i], ports[j]))
				return false;
	return true;
}

/* Two addresses of 127.0.0.0/8 that follow from the directory's name, so that pairs do not meet. */
static int choose_addresses(struct pair_dir *d, char *why, size_t size)
{
	for (uint64_t try = 0; try < ADDRESS_TRIES; try++) {
		uint64_t h = pr_hash64(d->path, strlen(d->path), try);
		unsigned b = 1 + h % 254, c = h >> 8 & 0xff, last = 1 + 2 * (h >> 16 & 0x7e);

		snprintf(d->address[0], sizeof(d->address[0]), "127.%u.%u.%u", b, c, last);
		snprintf(d->address[1], sizeof(d->address[1]), "127.%u.%u.%u", b, c, last + 1);
		if (are_free(d))
			return 0;
	}
	return say(
		why, size, -EADDRINUSE,
		"no address of 127.0.0.0/8 has ports %d, %d and %d free: is something bound to 0.0.0.0 there? See \"ss -ltnp\"",
		ACCESS_PORT, COORD_PORT, HEARTBEAT_PORT);
}

static int write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	if (!f)
		return -errno;
	if (fputs(text, f) < 0 || fflush(f) != 0 || fsync(fileno(f)) < 0) {
		fclose(f);
		return -EIO;
	}
	return fclose(f) == 0 ? 0 : -errno;
}

static int write_conf(const struct pair_dir *d, int node)
{
	char path[PATH_MAX + 16], text[2048], uuid[PR_UUID_TEXT];

	snprintf(path, sizeof(path), "%s/mdcd.conf", d->node[node - 1]);
	snprintf(text, sizeof(text),
		 "# Controller %d of an embedded pair, made by mdcpair up. See mdcd.conf(5).\n"
		 "[cluster]\nuuid = %s\nname = embedded\n\n"
		 "[node]\nid = %d\ndir = .\n\n"
		 "[access]\naddress1 = %s\naddress2 = %s\n\n"
		 "[heartbeat]\naddress1 = %s\naddress2 = %s\n\n"
		 "[lun]\npath1 = ../lun0\n\n"
		 "[supervisor]\nfd = 3\n",
		 node, pr_uuid_format(uuid, &d->cluster), node, d->address[0], d->address[1],
		 d->address[0], d->address[1]);
	return write_file(path, text);
}

static int make_dir(const char *path)
{
	return mkdir(path, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

int pair_dir_open_log(const struct pair_dir *d, const char *name)
{
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s/log", d->path);
	make_dir(path);
	snprintf(path, sizeof(path), "%s/log/%s.log", d->path, name);
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	return fd < 0 ? -errno : fd;
}

/*
 * The LUN's space is reserved at once: a file system that runs full later must not turn a write to a
 * LUN into an error, which no SAN would give.
 */
static int make_lun(const struct pair_dir *d, uint64_t bytes, char *why, size_t size)
{
	char path[PATH_MAX];
	int fd, error;

	snprintf(path, sizeof(path), "%s/lun0", d->path);
	unlink(path);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	error = fd < 0 ? -errno : -posix_fallocate(fd, 0, (off_t)bytes);
	if (fd >= 0)
		close(fd);
	if (error == -ENOSPC || error == -EFBIG) {
		unlink(path);
		return say(
			why, size, error,
			"%s: there is no room for a LUN of %llu MiB: choose a smaller one with --lun-size",
			path, (unsigned long long)bytes >> 20);
	}
	if (error)
		return say(why, size, error, "%s: %s", path, strerror(-error));
	return lun_tool_label(path, "lun0", &d->cluster, NULL, why, size);
}

static int make_all(struct pair_dir *d, uint64_t lun_bytes, char *why, size_t size)
{
	char path[PATH_MAX];
	uint8_t random[16];
	int error = 0;

	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		return say(why, size, -EIO, "no random numbers: %s", strerror(errno));
	d->cluster = pr_uuid_make(random);
	d->access_port = ACCESS_PORT;
	for (int i = 0; i < 2 && !error; i++)
		error = make_dir(d->node[i]);
	snprintf(path, sizeof(path), "%s/log", d->path);
	if (!error)
		error = make_dir(path);
	if (error)
		return say(why, size, error, "%s: %s", d->path, strerror(-error));
	error = choose_addresses(d, why, size);
	if (!error)
		error = make_lun(d, lun_bytes, why, size);
	for (int node = 1; node <= 2 && !error; node++) {
		error = write_conf(d, node);
		if (error)
			say(why, size, error, "%s: %s", d->node[node - 1], strerror(-error));
	}
	return error;
}

static int open_dir(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	while (fd >= 0 && flock(fd, LOCK_EX) < 0)
		if (errno != EINTR) {
			close(fd);
			return -1;
		}
	return fd;
}

static bool is_at(int fd, const char *path)
{
	struct stat here, there;

	return fstat(fd, &here) == 0 && stat(path, &there) == 0 && here.st_dev == there.st_dev &&
	       here.st_ino == there.st_ino;
}

/* Who had it before may have removed it. */
int pair_dir_hold(const char *path, bool *ret_made)
{
	int fd;

	for (;;) {
		*ret_made = mkdir(path, 0700) == 0;
		fd = open_dir(path);
		if (fd < 0 || is_at(fd, path))
			return fd;
		close(fd);
	}
}

int pair_dir_make(const char *path, uint64_t lun_bytes, struct pair_dir *ret, char *why,
		  size_t size)
{
	char began[PATH_MAX], ready[PATH_MAX];
	int error = make_dir(path);

	if (error)
		return say(why, size, error, "%s: %s", path, strerror(-error));
	error = set_paths(ret, path, why, size);
	if (error)
		return error;
	ret->made = is_empty(ret->path);
	snprintf(began, sizeof(began), "%s/pair.new", ret->path);
	snprintf(ready, sizeof(ready), "%s/pair", ret->path);
	error = write_file(began, "an embedded pair of mdcpair\n");
	if (error)
		return say(why, size, error, "%s: %s", began, strerror(-error));
	error = make_all(ret, lun_bytes, why, size);
	if (!error && rename(began, ready) < 0)
		error = say(why, size, -errno, "%s: %s", ready, strerror(errno));
	return error;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	return remove(path);
}

/* "pair.new" last: what is left by an interruption is still known as half of a pair. */
void pair_dir_unmake(const struct pair_dir *d)
{
	static const char *const names[] = {"lun0",	      "node1",		 "node2",   "log",
					    "supervisor.pid", "supervisor.sock", "pair.new"};
	char path[PATH_MAX], began[PATH_MAX];

	if (!d->made)
		return;
	snprintf(path, sizeof(path), "%s/pair", d->path);
	snprintf(began, sizeof(began), "%s/pair.new", d->path);
	if (rename(path, began) < 0 && errno != ENOENT)
		return;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", d->path, names[i]);
		nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
	}
	if (d->made_dir)
		rmdir(d->path);
}
