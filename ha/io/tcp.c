/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ha/io/tcp.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static int parse(const char *text, uint16_t port, union address *a, socklen_t *ret_len)
{
	memset(a, 0, sizeof(*a));
	if (inet_pton(AF_INET, text, &a->v4.sin_addr) == 1) {
		a->v4.sin_family = AF_INET;
		a->v4.sin_port = htons(port);
		*ret_len = sizeof(a->v4);
		return 0;
	}
	if (inet_pton(AF_INET6, text, &a->v6.sin6_addr) == 1) {
		a->v6.sin6_family = AF_INET6;
		a->v6.sin6_port = htons(port);
		*ret_len = sizeof(a->v6);
		return 0;
	}
	return -EINVAL;
}

int tcp_spare(void)
{
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

int tcp_accept(int listen_fd, int *spare)
{
	int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	int error = fd < 0 ? -errno : fd;

	if (error != -EMFILE && error != -ENFILE)
		return error;
	if (*spare >= 0)
		close(*spare);
	fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0)
		close(fd);
	*spare = tcp_spare();
	return error;
}

void tcp_peer_name(int fd, char out[TCP_NAME_MAX])
{
	union address a;
	socklen_t len = sizeof(a);
	char host[INET6_ADDRSTRLEN] = "?";

	snprintf(out, TCP_NAME_MAX, "an unknown address");
	if (getpeername(fd, &a.any, &len) < 0)
		return;
	if (a.any.sa_family == AF_INET) {
		inet_ntop(AF_INET, &a.v4.sin_addr, host, sizeof(host));
		snprintf(out, TCP_NAME_MAX, "%s:%u", host, ntohs(a.v4.sin_port));
	} else if (a.any.sa_family == AF_INET6) {
		inet_ntop(AF_INET6, &a.v6.sin6_addr, host, sizeof(host));
		snprintf(out, TCP_NAME_MAX, "[%s]:%u", host, ntohs(a.v6.sin6_port));
	}
}

bool tcp_peer_is(int fd, const char *address)
{
	union address is, want;
	socklen_t len = sizeof(is), ignored;

	if (parse(address, 0, &want, &ignored) < 0 || getpeername(fd, &is.any, &len) < 0 ||
	    is.any.sa_family != want.any.sa_family)
		return false;
	return is.any.sa_family == AF_INET
		       ? is.v4.sin_addr.s_addr == want.v4.sin_addr.s_addr
		       : memcmp(&is.v6.sin6_addr, &want.v6.sin6_addr, sizeof(is.v6.sin6_addr)) == 0;
}

/* The address part of a line of /proc/net/tcp or tcp6: what the kernel prints, word by word. */
static bool line_matches(const char *local, const union address *want)
{
	static const char any6[] = "00000000000000000000000000000000";
	char mine[33];
	const uint32_t *words = (const uint32_t *)(const void *)&want->v6.sin6_addr;

	if (want->any.sa_family == AF_INET) {
		snprintf(mine, sizeof(mine), "%08X", want->v4.sin_addr.s_addr);
		return strcmp(local, mine) == 0 || strcmp(local, "00000000") == 0 ||
		       strcmp(local, any6) == 0;
	}
	for (int i = 0; i < 4; i++)
		snprintf(mine + 8 * i, 9, "%08X", words[i]);
	return strcmp(local, mine) == 0 || strcmp(local, any6) == 0;
}

/* The socket's inode; a listener rather than an outgoing connection. 0: none found. */
static uint64_t find_inode(const char *table, const union address *want, uint16_t port,
			   unsigned *ret_uid)
{
	FILE *f = fopen(table, "re");
	char line[512], local[64];
	unsigned at, state, uid;
	uint64_t inode, found = 0;

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line,
			   " %*u: %63[0-9A-F]:%X %*[0-9A-F]:%*X %X %*X:%*X %*X:%*X %*X %u %*u %" SCNu64,
			   local, &at, &state, &uid, &inode) != 5)
			continue;
		if (at != port || !line_matches(local, want) || (found && state != 0x0a))
			continue;
		found = inode;
		*ret_uid = uid;
	}
	if (f)
		fclose(f);
	return found;
}

static bool has_socket(const char *pid, const char *link)
{
	char path[300], text[64];
	struct dirent *e;
	bool found = false;
	ssize_t n;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	d = opendir(path);
	while (d && !found && (e = readdir(d))) {
		snprintf(path, sizeof(path), "/proc/%s/fd/%.32s", pid, e->d_name);
		n = readlink(path, text, sizeof(text) - 1);
		if (n > 0) {
			text[n] = '\0';
			found = strcmp(text, link) == 0;
		}
	}
	if (d)
		closedir(d);
	return found;
}

static void name_process(const char *pid, char *out, size_t size)
{
	char path[300], comm[32] = "?";
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%s/comm", pid);
	f = fopen(path, "re");
	if (f && fgets(comm, sizeof(comm), f))
		comm[strcspn(comm, "\n")] = '\0';
	if (f)
		fclose(f);
	snprintf(out, size, "PID %s (%s)", pid, comm);
}

void tcp_port_holder(const char *address, uint16_t port, char *out, size_t size)
{
	union address want;
	socklen_t len;
	unsigned uid = 0;
	uint64_t inode;
	char link[64];
	struct dirent *e;
	DIR *proc;

	snprintf(out, size, "somebody who cannot be seen in /proc/net/tcp");
	if (parse(address, port, &want, &len) < 0)
		return;
	inode = find_inode("/proc/net/tcp", &want, port, &uid);
	if (!inode)
		inode = find_inode("/proc/net/tcp6", &want, port, &uid);
	if (!inode)
		return;
	snprintf(out, size, "a process of UID %u that only root may see", uid);
	snprintf(link, sizeof(link), "socket:[%" PRIu64 "]", inode);
	proc = opendir("/proc");
	while (proc && (e = readdir(proc)))
		if (e->d_name[0] >= '1' && e->d_name[0] <= '9' && has_socket(e->d_name, link)) {
			name_process(e->d_name, out, size);
			break;
		}
	if (proc)
		closedir(proc);
}

static void explain(int error, const char *address, uint16_t port, char *why, size_t size)
{
	char holder[128];

	if (error == EADDRINUSE) {
		tcp_port_holder(address, port, holder, sizeof(holder));
		snprintf(why, size,
			 "%s port %u is taken by %s: stop it, or give mdcd another address or port",
			 address, port, holder);
	} else if (error == EADDRNOTAVAIL) {
		snprintf(
			why, size,
			"%s is no address of this host: set it up (ip address add), or correct the configuration",
			address);
	} else {
		snprintf(why, size, "%s port %u: %s", address, port, strerror(error));
	}
}

int tcp_listen(const char *address, uint16_t port, char *why, size_t why_size)
{
	union address a;
	socklen_t len;
	int fd = -1, one = 1, error = parse(address, port, &a, &len);

	if (error == 0) {
		fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		error = fd < 0 ? -errno : 0;
	}
	if (error == 0) {
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		if (a.any.sa_family == AF_INET6)
			setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
		if (bind(fd, &a.any, len) < 0 || listen(fd, 1024) < 0)
			error = -errno;
	}
	if (error == 0)
		return fd;
	explain(-error, address, port, why, why_size);
	if (fd >= 0)
		close(fd);
	return error;
}

int tcp_connect_start(const char *from, const char *to, uint16_t port)
{
	union address a, b;
	socklen_t a_len, b_len;
	int fd, one = 1, error;

	if (parse(from, 0, &a, &a_len) < 0 || parse(to, port, &b, &b_len) < 0)
		return -EINVAL;
	fd = socket(b.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
	if (bind(fd, &a.any, a_len) < 0 ||
	    (connect(fd, &b.any, b_len) < 0 && errno != EINPROGRESS)) {
		error = -errno;
		close(fd);
		return error;
	}
	return fd;
}

void tcp_tune(int fd, uint32_t dead_ms)
{
	int one = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (dead_ms)
		setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &dead_ms, sizeof(dead_ms));
}
