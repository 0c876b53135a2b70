/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What mdcctl check asks of the network: addresses, reserved ports, full frames to the other host. */
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "controller/io/check.h"

enum { ICMP_BYTES = 8, TOKEN_BYTES = 8, ANSWER_MS = 1000, TRIES = 3, FRAME_MAX = 65000 };

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static socklen_t parse(const char *text, union address *ret)
{
	*ret = (union address){0};
	if (inet_pton(AF_INET, text, &ret->v4.sin_addr) == 1) {
		ret->any.sa_family = AF_INET;
		return sizeof(ret->v4);
	}
	ret->any.sa_family = AF_INET6;
	return inet_pton(AF_INET6, text, &ret->v6.sin6_addr) == 1 ? sizeof(ret->v6) : 0;
}

static bool same(const union address *a, const struct sockaddr *b)
{
	const union address *o = (const void *)b;

	if (!b || a->any.sa_family != b->sa_family)
		return false;
	return a->any.sa_family == AF_INET
		       ? a->v4.sin_addr.s_addr == o->v4.sin_addr.s_addr
		       : memcmp(&a->v6.sin6_addr, &o->v6.sin6_addr, sizeof(struct in6_addr)) == 0;
}

/* The name of the interface that has the address; false: none has. */
static bool find_interface(const char *address, char name[IF_NAMESIZE], bool *ret_loopback)
{
	struct ifaddrs *list, *i;
	union address a;
	bool found = false;

	if (!parse(address, &a) || getifaddrs(&list) < 0)
		return false;
	for (i = list; i && !found; i = i->ifa_next)
		if (same(&a, i->ifa_addr)) {
			found = true;
			snprintf(name, IF_NAMESIZE, "%s", i->ifa_name);
			*ret_loopback = i->ifa_flags & IFF_LOOPBACK;
		}
	freeifaddrs(list);
	/* All of 127/8 is the loopback's, though only 127.0.0.1 is listed. */
	if (!found && a.any.sa_family == AF_INET && ntohl(a.v4.sin_addr.s_addr) >> 24 == 127) {
		strcpy(name, "lo");
		*ret_loopback = found = true;
	}
	return found;
}

bool check_is_here(const char *address)
{
	char name[IF_NAMESIZE];
	bool loopback;

	return find_interface(address, name, &loopback);
}

static int mtu_of(const char *interface)
{
	struct ifreq r = {0};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), mtu = -1;

	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", interface);
	if (fd >= 0 && ioctl(fd, SIOCGIFMTU, &r) == 0)
		mtu = r.ifr_mtu;
	if (fd >= 0)
		close(fd);
	return mtu;
}

static int open_echo(const union address *from, socklen_t len)
{
	bool v6 = from->any.sa_family == AF_INET6;
	int protocol = v6 ? (int)IPPROTO_ICMPV6 : (int)IPPROTO_ICMP, on = IP_PMTUDISC_DO, one = 1;
	int fd = socket(from->any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, protocol);

	if (fd < 0)
		fd = socket(from->any.sa_family, SOCK_RAW | SOCK_CLOEXEC, protocol);
	if (fd < 0)
		return -errno;
	if (v6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_DONTFRAG, &one, sizeof(one));
	else
		setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &on, sizeof(on));
	if (bind(fd, &from->any, len) < 0) {
		close(fd);
		return -EADDRNOTAVAIL;
	}
	return fd;
}

static uint16_t internet_sum(const uint8_t *p, size_t n)
{
	uint32_t sum = 0;

	for (size_t i = 0; i + 1 < n; i += 2)
		sum += (uint32_t)p[i] << 8 | p[i + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

/* An answer carries our token; a raw socket shows the IP header before it, and our own question on some ways. */
static bool is_answer(const uint8_t *p, ssize_t n, bool v6, const uint8_t token[TOKEN_BYTES])
{
	size_t head = !v6 && n > 20 && p[0] >> 4 == 4 && p[0] != 0 ? (size_t)(p[0] & 15) * 4 : 0;

	return n >= (ssize_t)(head + ICMP_BYTES + TOKEN_BYTES) && p[head] == (v6 ? 129 : 0) &&
	       memcmp(p + head + ICMP_BYTES, token, TOKEN_BYTES) == 0;
}

/* One echo of so many bytes of IP packet: 0, -ETIMEDOUT, -EMSGSIZE ... */
static int echo(int fd, const union address *to, socklen_t len, int bytes)
{
	static uint8_t out[FRAME_MAX], in[FRAME_MAX + 64];
	bool v6 = to->any.sa_family == AF_INET6;
	size_t n = (size_t)(bytes - (v6 ? 40 : 20)) & ~(size_t)1;
	struct pollfd p = {.fd = fd, .events = POLLIN};
	uint8_t *token = out + ICMP_BYTES;

	for (int i = 0; i < TRIES; i++) {
		memset(out, 0, sizeof(out));
		out[0] = v6 ? 128 : 8;
		out[5] = out[7] = (uint8_t)(i + 1);
		if (getrandom(token, TOKEN_BYTES, 0) != TOKEN_BYTES)
			return -EIO;
		if (!v6) {
			uint16_t sum = internet_sum(out, n);

			out[2] = (uint8_t)(sum >> 8);
			out[3] = (uint8_t)sum;
		}
		if (sendto(fd, out, n, 0, &to->any, len) < 0)
			return -errno;
		while (poll(&p, 1, ANSWER_MS) > 0) {
			ssize_t got = recv(fd, in, sizeof(in), MSG_DONTWAIT);

			if (got < 0 && errno != EAGAIN)
				return -errno;
			if (is_answer(in, got, v6, token))
				return 0;
		}
	}
	return -ETIMEDOUT;
}

static json_t *verdict(const char *interface, int mtu, int small, int full)
{
	const char *text = "ok";

	if (small)
		text = small == -ETIMEDOUT ? "no answer" : strerror(-small);
	else if (full)
		text = full == -ETIMEDOUT ? "full frames get no answer, small ones do"
					  : strerror(-full);
	return json_pack("{s:s,s:i,s:s}", "interface", interface, "mtu", mtu, "answer", text);
}

json_t *check_frames(const char *from, const char *to)
{
	char interface[IF_NAMESIZE];
	union address a, b;
	socklen_t from_len = parse(from, &a), to_len = parse(to, &b);
	bool loopback;
	int fd, mtu, small, full = 0;

	if (!from_len || !to_len || !find_interface(from, interface, &loopback))
		return json_null();
	mtu = mtu_of(interface);
	if (loopback)
		return verdict(interface, mtu, 0, 0);
	fd = open_echo(&a, from_len);
	if (fd < 0)
		return verdict(interface, mtu, fd, 0);
	small = echo(fd, &b, to_len, 100);
	if (!small)
		full = echo(fd, &b, to_len, mtu < FRAME_MAX ? mtu : FRAME_MAX);
	close(fd);
	return verdict(interface, mtu, small, full);
}

/* "60598,60700-60800": is the port in it? */
static bool in_list(const char *list, unsigned port)
{
	while (*list) {
		char *end;
		unsigned long first = strtoul(list, &end, 10), last = first;

		if (end == list)
			return false;
		if (*end == '-')
			last = strtoul(end + 1, &end, 10);
		if (port >= first && port <= last)
			return true;
		list = end + strspn(end, ",\n");
	}
	return false;
}

void check_reserved(json_t *o, const unsigned *ports, int count)
{
	char reserved[4096] = "";
	unsigned low = 0, high = 0;
	json_t *list = json_array();
	FILE *f = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");

	if (f && fscanf(f, "%u %u", &low, &high) != 2)
		low = high = 0;
	if (f)
		fclose(f);
	f = fopen("/proc/sys/net/ipv4/ip_local_reserved_ports", "re");
	if (f && !fgets(reserved, sizeof(reserved), f))
		reserved[0] = '\0';
	if (f)
		fclose(f);
	for (int i = 0; i < count; i++)
		if (ports[i] >= low && ports[i] <= high && !in_list(reserved, ports[i]))
			json_array_append_new(list, json_integer(ports[i]));
	reserved[strcspn(reserved, "\n")] = '\0';
	json_object_set_new(o, "reserved_ports", json_string(reserved));
	json_object_set_new(o, "unreserved_ports", list);
}
