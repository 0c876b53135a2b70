/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Connections: sockets that never block, cut into frames on the way in, one send per round on the
 * way out. */
#include "client/io/mdc_priv.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { IN_BYTES = 64 << 10, READS_PER_ROUND = 8 };

static void set_port(struct sockaddr_storage *to, uint16_t port)
{
	if (to->ss_family == AF_INET6)
		((struct sockaddr_in6 *)to)->sin6_port = htons(port);
	else
		((struct sockaddr_in *)to)->sin_port = htons(port);
}

static uint16_t port_of(const struct sockaddr_storage *of)
{
	return ntohs(of->ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)of)->sin6_port
					       : ((const struct sockaddr_in *)of)->sin_port);
}

/* ---- opening and closing ---- */

static void watch(struct mdc_conn *c, int op, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = c};

	epoll_ctl(c->mdc->loop->epoll_fd, op, c->fd, &ev);
	c->watching = events & EPOLLOUT;
}

static void down(struct mdc_conn *c, int error)
{
	struct mdc *mdc = c->mdc;
	uint64_t id = c->id;

	c->address->error = error;
	c->address->answered = false;
	mdc_conn_close(c);
	mdc_step(mdc, &(struct cl_event){.type = CL_EV_CONN_DOWN, .conn = id, .error = error});
	mdc_touch(mdc);
}

void mdc_conn_close(struct mdc_conn *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	c->id = 0;
	c->out.len = c->out_sent = 0;
	c->connecting = c->watching = false;
}

static int start(struct mdc_conn *c)
{
	struct mdc_address *a = c->address;
	struct sockaddr_storage to;
	int one = 1, ms = 10000;

	if (!mdc_address_look(a))
		return -EHOSTUNREACH;
	to = a->socket;
	set_port(&to, c->port == 0 && a->port ? a->port
		      : c->port == 1 && a->port
			      ? (uint16_t)(a->port + c->mdc->port[1] - c->mdc->port[0])
			      : c->mdc->port[c->port]);
	c->fd = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		return -errno;
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(c->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms));
	if (connect(c->fd, (struct sockaddr *)&to, a->length) < 0 && errno != EINPROGRESS)
		return -errno;
	c->connecting = true;
	watch(c, EPOLL_CTL_ADD, EPOLLIN | EPOLLOUT);
	return 0;
}

int mdc_conn_open(struct mdc *mdc, uint64_t conn, int peer, int port)
{
	struct mdc_conn *c = &mdc->conns[conn % CL_LINKS];
	int r;

	ASSERT(c->id == 0);
	c->mdc = mdc;
	c->id = conn;
	c->port = port;
	c->address = &mdc->address[peer];
	c->fd = -1;
	if (!c->in.buf) {
		uint8_t *buf = malloc(IN_BYTES);

		if (buf)
			pr_stream_init(&c->in, buf, IN_BYTES, PR_PAYLOAD_MAX);
	} else {
		pr_stream_init(&c->in, c->in.buf, c->in.cap, PR_PAYLOAD_MAX);
	}
	r = c->in.buf ? start(c) : -ENOMEM;
	if (r < 0) {
		c->address->error = r;
		mdc_conn_close(c);
	}
	return r;
}

/*
 * The client ports lie in the range of outgoing ports: a connection to a port that nobody listens
 * on can meet itself, and one that took a controller's port would keep the controller from it.
 */
static bool in_the_way(struct mdc_conn *c)
{
	struct sockaddr_storage own, other;
	socklen_t own_len = sizeof(own), other_len = sizeof(other);
	struct linger reset = {.l_onoff = 1};
	uint16_t port;

	if (getsockname(c->fd, (struct sockaddr *)&own, &own_len) < 0 ||
	    getpeername(c->fd, (struct sockaddr *)&other, &other_len) < 0)
		return false;
	port = port_of(&own);
	if (port != c->mdc->port[0] && port != c->mdc->port[1] && port != port_of(&other))
		return false;
	setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	return true;
}

static bool is_connected(struct mdc_conn *c)
{
	struct sockaddr_storage other;
	socklen_t len = sizeof(other);

	return getpeername(c->fd, (struct sockaddr *)&other, &len) == 0 || errno != ENOTCONN;
}

static void connected(struct mdc_conn *c)
{
	socklen_t len = sizeof(int);
	int error = 0;

	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	/* An event of the socket before this one, in the same round. */
	if (!error && !is_connected(c))
		return;
	if (!error && in_the_way(c))
		error = EADDRINUSE;
	if (error) {
		down(c, -error);
		return;
	}
	c->connecting = false;
	c->address->error = 0;
	c->address->answered = true;
	watch(c, EPOLL_CTL_MOD, EPOLLIN);
	mdc_step(c->mdc, &(struct cl_event){.type = CL_EV_CONN_UP, .conn = c->id});
	mdc_touch(c->mdc);
}

/* ---- sending ---- */

static int send_some(struct mdc_conn *c, const uint8_t *p, size_t len)
{
	ssize_t n = send(c->fd, p, len, MSG_NOSIGNAL | MSG_DONTWAIT);

	c->mdc->stats.sends++;
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	c->mdc->stats.bytes_sent += (uint64_t)n;
	return (int)n;
}

static bool keep(struct pr_buf *b, const uint8_t *p, size_t len)
{
	if (b->cap - b->len < len) {
		size_t cap = (b->len + len) * 2;
		uint8_t *bigger = realloc(b->p, cap);

		if (!bigger)
			return false;
		b->p = bigger;
		b->cap = cap;
	}
	pr_put_bytes(b, p, len);
	return true;
}

/* A send that fails is not told to the core from here: the socket's end is seen by the next read.
 */
void mdc_conn_send(struct mdc_conn *c, const uint8_t *p, uint32_t len)
{
	int n = 0;

	if (c->out.len == 0)
		n = send_some(c, p, len);
	if (n < 0 || (uint32_t)n == len)
		return;
	if (!keep(&c->out, p + n, len - (uint32_t)n)) {
		shutdown(c->fd, SHUT_RDWR);
		return;
	}
	if (!c->watching)
		watch(c, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
}

static void send_rest(struct mdc_conn *c)
{
	int n = send_some(c, c->out.p + c->out_sent, c->out.len - c->out_sent);

	if (n < 0)
		return;
	c->out_sent += (size_t)n;
	if (c->out_sent < c->out.len)
		return;
	c->out.len = c->out_sent = 0;
	watch(c, EPOLL_CTL_MOD, EPOLLIN);
}

/* ---- receiving ---- */

static bool grow(struct mdc_conn *c)
{
	size_t need = pr_stream_need(&c->in);
	uint8_t *buf = malloc(need);

	if (!buf)
		return false;
	free(pr_stream_move(&c->in, buf, need));
	return true;
}

/* Hands out all whole frames. False: the connection is gone. */
static bool frames(struct mdc_conn *c)
{
	struct mdc *mdc = c->mdc;
	uint64_t id = c->id;
	struct pr_frame f;
	const uint8_t *p;
	int r;

	while ((r = pr_stream_next(&c->in, &f, &p)) != 0) {
		if (r == 1) {
			mdc_step(mdc,
				 &(struct cl_event){
					 .type = CL_EV_FRAME, .conn = id, .frame = &f, .p = p});
			if (c->id != id)
				return false;
		} else if (r != -ENOBUFS || !grow(c)) {
			down(c, r);
			return false;
		}
	}
	return true;
}

static void receive(struct mdc_conn *c)
{
	for (int i = 0; i < READS_PER_ROUND; i++) {
		size_t room;
		uint8_t *to = pr_stream_room(&c->in, &room);
		ssize_t n = recv(c->fd, to, room, MSG_DONTWAIT);

		c->mdc->stats.receives++;
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			down(c, n == 0 ? -ECONNRESET : -errno);
			return;
		}
		c->mdc->stats.bytes_received += (uint64_t)n;
		pr_stream_added(&c->in, (size_t)n);
		if (!frames(c) || (size_t)n < room)
			return;
	}
}

void mdc_conn_ready(struct mdc_conn *c, uint32_t events)
{
	if (c->fd < 0)
		return;
	mdc_touch(c->mdc);
	if (c->connecting) {
		connected(c);
		return;
	}
	if (events & EPOLLOUT)
		send_rest(c);
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		receive(c);
}
