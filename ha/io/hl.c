/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ha/io/hl.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "ha/io/gate.h"
#include "ha/io/tcp.h"
#include "proto/assert.h"
#include "proto/wire.h"

enum {
	CANDIDATES_MAX = 8,
	TICK_MS = 50, /* dialling, and the patience with candidates */
	CONNECT_MS = 1000,
	SILENT_MS = 3000, /* of a candidate */
	YOUNG_MS = 1000,  /* a link that dies younger is dialled again later and later */
	PATIENCE_MAX_MS = 2000,
	IN_BYTES = 256 << 10,
	IOVS_MAX = 64,
	QUEUE_MAX_BYTES = 256 << 20, /* the core holds the stream back long before */
};

/* Bytes to be sent: a copy, or the image of a batch. */
struct piece {
	struct piece *next;
	struct jr_batch *batch;
	size_t len, sent;
	uint8_t bytes[];
};

struct link {
	int fd; /* -1: unused */
	bool connecting, closing;
	uint64_t id; /* 0: not the link yet */
	uint64_t since_ms;
	char peer[TCP_NAME_MAX];
	struct pr_stream in;
	struct piece *first, **last;
	size_t queued;
	bool wants_out;
};

struct hl {
	struct hl_config c;
	char address[2][64];
	int epoll_fd, listen_fd, spare_fd, timer_fd;
	uint64_t next_id;
	struct link current; /* the link, or on node 2 the one being dialled */
	struct link candidate[CANDIDATES_MAX];
	struct gate closed_gate;
	uint64_t complained_ms, dial_ms; /* not before dial_ms */
	uint32_t patience_ms;		 /* grows while links die young */
	bool ticking;
};

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void __attribute__((format(printf, 3, 4)))
say(struct hl *h, int level, const char *format, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	h->c.log(h->c.user, level, text);
}

/* Of a connection that is not the link. */
static void say_closed(struct hl *h, const struct link *l, const char *why)
{
	char more[GATE_TEXT];

	if (gate_open(&h->closed_gate, now_ms(), more))
		say(h, LOG_WARNING, "heartbeat port: connection from %s closed, %s%s", l->peer, why,
		    more);
}

static struct piece *new_piece(const uint8_t *p, size_t len, struct jr_batch *batch)
{
	struct piece *n = malloc(sizeof(*n) + (batch ? 0 : len));

	ASSERT_MEMORY(n); /* a queue that lost a piece would be a different stream */
	*n = (struct piece){.batch = batch, .len = len};
	if (p)
		memcpy(n->bytes, p, len);
	return n;
}

static void append(struct link *l, struct piece *n)
{
	*l->last = n;
	l->last = &n->next;
	l->queued += n->len;
}

static void drop_piece(struct link *l)
{
	struct piece *n = l->first;

	l->first = n->next;
	if (!l->first)
		l->last = &l->first;
	jr_batch_unref(n->batch);
	free(n);
}

static bool open_link(struct hl *h, struct link *l, int fd, bool connecting)
{
	struct epoll_event e = {.events = connecting ? EPOLLOUT : EPOLLIN, .data.ptr = l};
	uint8_t *in = malloc(IN_BYTES);

	if (!in || epoll_ctl(h->epoll_fd, EPOLL_CTL_ADD, fd, &e) < 0) {
		free(in);
		close(fd);
		return false;
	}
	*l = (struct link){
		.fd = fd, .connecting = connecting, .since_ms = now_ms(), .wants_out = connecting};
	l->last = &l->first;
	pr_stream_init(&l->in, in, IN_BYTES, PR_PAYLOAD_MAX_LINK);
	return true;
}

static void close_link(struct link *l)
{
	if (l->fd < 0)
		return;
	close(l->fd);
	while (l->first)
		drop_piece(l);
	free(l->in.buf);
	*l = (struct link){.fd = -1};
}

/* The connection ended; the core is told if it was the link. */
static void lost(struct hl *h, struct link *l, const char *why)
{
	uint64_t id = l->closing ? 0 : l->id, now = now_ms();

	if (l->id && now - l->since_ms < YOUNG_MS) {
		h->patience_ms = h->patience_ms < PATIENCE_MAX_MS ? 2 * h->patience_ms + TICK_MS
								  : PATIENCE_MAX_MS;
		h->dial_ms = now + h->patience_ms;
	} else if (l->id) {
		h->patience_ms = 0;
	}
	if (l->id)
		say(h, LOG_WARNING, "heartbeat link to %s: closed, %s", l->peer, why);
	close_link(l);
	if (id)
		h->c.down(h->c.user, id);
}

static void watch(struct hl *h, struct link *l)
{
	bool want = l->first != NULL || l->connecting;
	struct epoll_event e = {.events = (l->connecting ? 0u : EPOLLIN) | (want ? EPOLLOUT : 0u),
				.data.ptr = l};

	if (want == l->wants_out)
		return;
	l->wants_out = want;
	ASSERT(epoll_ctl(h->epoll_fd, EPOLL_CTL_MOD, l->fd, &e) == 0);
}

static int gather(struct link *l, struct iovec iov[IOVS_MAX])
{
	int n = 0;

	for (struct piece *p = l->first; p && n < IOVS_MAX; p = p->next) {
		uint8_t *base = p->batch ? p->batch->image : p->bytes;

		iov[n++] = (struct iovec){.iov_base = base + p->sent, .iov_len = p->len - p->sent};
	}
	return n;
}

static void sent(struct link *l, size_t n)
{
	l->queued -= n;
	while (n > 0) {
		struct piece *p = l->first;
		size_t part = p->len - p->sent < n ? p->len - p->sent : n;

		p->sent += part;
		n -= part;
		if (p->sent == p->len)
			drop_piece(l);
	}
}

/* False: the connection is gone. */
static bool push(struct hl *h, struct link *l)
{
	struct iovec iov[IOVS_MAX];
	ssize_t n;

	while (l->first && !l->connecting) {
		struct msghdr m = {.msg_iov = iov, .msg_iovlen = (size_t)gather(l, iov)};

		n = sendmsg(l->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) {
			lost(h, l, strerror(errno));
			return false;
		}
		sent(l, (size_t)n);
	}
	if (!l->first && l->closing) {
		close_link(l);
		return false;
	}
	watch(h, l);
	return true;
}

static void begin(struct hl *h, struct link *l)
{
	l->id = ++h->next_id;
	say(h, LOG_INFO, "heartbeat link: connected with %s", l->peer);
	h->c.up(h->c.user, l->id);
}

/* Why this first frame does not make its connection the link; NULL: it does. */
static const char *refusal(struct hl *h, const struct pr_frame *f, const uint8_t *payload,
			   char text[160])
{
	struct pr_link_hello hello;
	char theirs[PR_UUID_TEXT], ours[PR_UUID_TEXT];

	if (f->type != PR_T_LINK_HELLO || pr_link_hello_decode(&hello, payload, f->length) < 0)
		return "it did not begin with a link_hello";
	if (!pr_uuid_equal(&hello.cluster, &h->c.cluster)) {
		snprintf(
			text, 160,
			"it belongs to cluster %s, this one is %s: correct [heartbeat] on one side",
			pr_uuid_format(theirs, &hello.cluster),
			pr_uuid_format(ours, &h->c.cluster));
		return text;
	}
	if (hello.node != 3 - h->c.node) {
		snprintf(text, 160,
			 "it says it is node %u, as this one: correct [node] id on one side",
			 hello.node);
		return text;
	}
	return NULL;
}

/* The candidate's first frame is there: it replaces the link, or goes. Returns where it lives now. */
static struct link *promote(struct hl *h, struct link *l, const struct pr_frame *f,
			    const uint8_t *payload)
{
	char text[160];
	const char *why = refusal(h, f, payload, text);

	if (why) {
		say_closed(h, l, why);
		close_link(l);
		return NULL;
	}
	if (h->current.fd >= 0)
		lost(h, &h->current, "the peer opened a new one");
	ASSERT(l != &h->current && h->current.fd < 0);
	h->current = *l;
	if (!h->current.first)
		h->current.last = &h->current.first;
	*l = (struct link){.fd = -1};
	l = &h->current;
	struct epoll_event e = {.events = EPOLLIN, .data.ptr = l};
	ASSERT(epoll_ctl(h->epoll_fd, EPOLL_CTL_MOD, l->fd, &e) == 0);
	l->wants_out = false;
	begin(h, l);
	return l;
}

static bool grow_input(struct link *l)
{
	size_t cap = pr_stream_need(&l->in);
	void *to = malloc(cap);

	if (!to)
		return false;
	free(pr_stream_move(&l->in, to, cap));
	return true;
}

static void take_frames(struct hl *h, struct link *l)
{
	struct pr_frame f;
	const uint8_t *payload;
	char text[160];
	uint64_t id;
	int r;

	while ((r = pr_stream_next(&l->in, &f, &payload)) != 0) {
		if (r == -ENOBUFS && grow_input(l))
			continue;
		if (r < 0) {
			snprintf(text, sizeof(text),
				 "it sent what is no frame of this protocol (%s)",
				 l->in.error ? l->in.error : strerror(-r));
			if (!l->id)
				say_closed(h, l, text);
			lost(h, l, l->in.error ? l->in.error : strerror(-r));
			return;
		}
		if (!l->id) {
			l = promote(h, l, &f, payload);
			if (!l || !l->id)
				return;
		}
		id = l->id;
		h->c.frame(h->c.user, id, &f, payload);
		if (h->current.id != id || h->current.closing)
			return;
	}
}

static void readable(struct hl *h, struct link *l)
{
	size_t room;
	uint8_t *to = pr_stream_room(&l->in, &room);
	ssize_t n = recv(l->fd, to, room, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		lost(h, l, n == 0 ? "the peer closed it" : strerror(errno));
		return;
	}
	pr_stream_added(&l->in, (size_t)n);
	take_frames(h, l);
}

static void connected(struct hl *h, struct link *l)
{
	int error = 0;
	socklen_t len = sizeof(error);

	getsockopt(l->fd, SOL_SOCKET, SO_ERROR, &error, &len);
	if (error) {
		close_link(l);
		return;
	}
	l->connecting = false;
	tcp_tune(l->fd, h->c.dead_ms);
	tcp_peer_name(l->fd, l->peer);
	l->wants_out = true;
	watch(h, l);
	begin(h, l);
}

static void link_ready(struct hl *h, struct link *l, uint32_t events)
{
	if (l->fd < 0)
		return;
	if (l->connecting) {
		if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
			connected(h, l);
		return;
	}
	if ((events & EPOLLOUT) && !push(h, l))
		return;
	if (events & (EPOLLIN | EPOLLERR | EPOLLHUP))
		readable(h, l);
}

/* The other controller dials from its own address. Who else comes may not take the places of candidates. */
static void refuse_stranger(struct hl *h, const char *peer)
{
	uint64_t now = now_ms();

	if (h->complained_ms && now - h->complained_ms <= 60000)
		return;
	h->complained_ms = now;
	say(h, LOG_WARNING,
	    "heartbeat port: connection from %s refused, the other controller's address is %s",
	    peer, h->address[1]);
}

static void accept_all(struct hl *h)
{
	int fd;

	while ((fd = tcp_accept(h->listen_fd, &h->spare_fd)) >= 0) {
		struct link *free_one = NULL;
		char peer[TCP_NAME_MAX];

		tcp_peer_name(fd, peer);
		if (!tcp_peer_is(fd, h->address[1])) {
			refuse_stranger(h, peer);
			close(fd);
			continue;
		}
		for (int i = 0; i < CANDIDATES_MAX && !free_one; i++)
			if (h->candidate[i].fd < 0)
				free_one = &h->candidate[i];
		if (!free_one) {
			close(fd);
			continue;
		}
		tcp_tune(fd, h->c.dead_ms);
		if (open_link(h, free_one, fd, false))
			strcpy(free_one->peer, peer);
	}
}

static void dial(struct hl *h)
{
	int fd = tcp_connect_start(h->address[1], h->address[0], h->c.port);
	uint64_t now = now_ms();

	if (fd >= 0) {
		open_link(h, &h->current, fd, true);
		return;
	}
	if (now - h->complained_ms > 60000) {
		h->complained_ms = now;
		say(h, LOG_WARNING, "heartbeat link: cannot dial %s from %s: %s", h->address[0],
		    h->address[1], strerror(-fd));
	}
}

/* The timer runs only while there is something to time. */
static void arm(struct hl *h)
{
	bool need = h->c.node == 2 && (h->current.fd < 0 || h->current.connecting);
	struct itimerspec every = {0};

	for (int i = 0; i < CANDIDATES_MAX && !need; i++)
		need = h->candidate[i].fd >= 0;
	if (need == h->ticking)
		return;
	h->ticking = need;
	if (need)
		every.it_interval.tv_nsec = every.it_value.tv_nsec = TICK_MS * 1000000L;
	timerfd_settime(h->timer_fd, 0, &every, NULL);
}

static void tick(struct hl *h)
{
	uint64_t now = now_ms(), count;
	char text[64];

	if (read(h->timer_fd, &count, sizeof(count)) < 0)
		return;
	if (h->c.node == 2 && h->current.connecting && now - h->current.since_ms > CONNECT_MS)
		close_link(&h->current);
	if (h->c.node == 2 && h->current.fd < 0 && now >= h->dial_ms)
		dial(h);
	for (int i = 0; i < CANDIDATES_MAX; i++) {
		struct link *l = &h->candidate[i];

		if (l->fd < 0 || now - l->since_ms < SILENT_MS)
			continue;
		snprintf(text, sizeof(text), "it has not said anything for %d s", SILENT_MS / 1000);
		say_closed(h, l, text);
		close_link(l);
	}
}

int hl_fd(const struct hl *h)
{
	return h->epoll_fd;
}

void hl_run(struct hl *h)
{
	struct epoll_event events[16];
	int n = epoll_wait(h->epoll_fd, events, 16, 0);

	for (int i = 0; i < n; i++) {
		if (events[i].data.ptr == &h->listen_fd)
			accept_all(h);
		else if (events[i].data.ptr == &h->timer_fd)
			tick(h);
		else
			link_ready(h, events[i].data.ptr, events[i].events);
	}
	arm(h);
}

void hl_send(struct hl *h, uint64_t conn, const uint8_t *p, uint32_t len, struct jr_batch *batch)
{
	struct link *l = &h->current;

	if (l->id != conn || l->closing) {
		jr_batch_unref(batch);
		return;
	}
	append(l, new_piece(p, len, NULL));
	if (batch)
		append(l, new_piece(NULL, batch->image_bytes, batch));
	ASSERT(l->queued < QUEUE_MAX_BYTES);
}

void hl_close(struct hl *h, uint64_t conn)
{
	if (h->current.id == conn && conn)
		h->current.closing = true;
}

void hl_flush(struct hl *h)
{
	struct link *l = &h->current;

	if (l->fd >= 0 && !l->connecting && (l->closing || (l->first && !l->wants_out)))
		push(h, l);
	arm(h);
}

static int add(struct hl *h, int fd, void *what)
{
	struct epoll_event e = {.events = EPOLLIN, .data.ptr = what};

	return epoll_ctl(h->epoll_fd, EPOLL_CTL_ADD, fd, &e) < 0 ? -errno : 0;
}

int hl_open(const struct hl_config *config, struct hl **ret, char *why, size_t why_size)
{
	struct hl *h = calloc(1, sizeof(*h));
	int error;

	if (!h)
		return -ENOMEM;
	h->c = *config;
	h->current.fd = h->listen_fd = -1;
	h->spare_fd = tcp_spare();
	for (int i = 0; i < 2; i++)
		snprintf(h->address[i], sizeof(h->address[i]), "%s", config->address[i]);
	for (int i = 0; i < CANDIDATES_MAX; i++)
		h->candidate[i].fd = -1;
	h->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	h->timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
	error = h->epoll_fd < 0 || h->timer_fd < 0 ? -errno : add(h, h->timer_fd, &h->timer_fd);
	if (error == 0) {
		arm(h);
		if (config->node == 1) {
			h->listen_fd = tcp_listen(config->address[0], config->port, why, why_size);
			error = h->listen_fd < 0 ? h->listen_fd
						 : add(h, h->listen_fd, &h->listen_fd);
		}
	}
	if (error < 0) {
		hl_free(h);
		return error;
	}
	*ret = h;
	return 0;
}

void hl_free(struct hl *h)
{
	if (!h)
		return;
	close_link(&h->current);
	for (int i = 0; i < CANDIDATES_MAX; i++)
		close_link(&h->candidate[i]);
	if (h->listen_fd >= 0)
		close(h->listen_fd);
	if (h->spare_fd >= 0)
		close(h->spare_fd);
	if (h->timer_fd >= 0)
		close(h->timer_fd);
	if (h->epoll_fd >= 0)
		close(h->epoll_fd);
	free(h);
}
