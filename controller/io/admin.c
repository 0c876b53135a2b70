/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "controller/io/admin.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <qb/qbdefs.h>
#include <qb/qbipcs.h>

#include "controller/io/log.h"
#include "ha/io/gate.h"
#include "ha/io/tcp.h"
#include "proto/assert.h"
#include "proto/hash.h"

enum {
	RETRY_MS = 5,
	PENDING_MAX = 64,
	COMMAND_MAX = 16 << 10,
	WATCHED_MAX = 2 * PENDING_MAX, /* two of each connection */
	STRANGERS_MAX = 16,	       /* connections of other users, who will be refused */
	GUEST_MS = 3000,	       /* of a connection that does not say who it is */
	NAME_TRIES = 50,
	NAME_POLL_US = 200000
};

/* A descriptor libqb wants to be polled. */
struct watched {
	int fd;
	struct loop_source *source;
	qb_ipcs_dispatch_fn_t fn;
	void *data;
	uint64_t guest_ms; /* since then it has not said who it is; 0: no guest */
	bool stranger;	   /* a guest of another user */
	struct watched *next;
};

/* A request under way, then its reply until the last piece was taken. */
struct pending {
	uint64_t ticket;
	qb_ipcs_connection_t *conn; /* NULL: the caller is gone */
	char *reply;
	size_t len, sent;
	int error;
	struct pending *next;
};

struct deferred {
	qb_loop_job_dispatch_fn fn;
	void *data;
	struct deferred *next;
};

struct admin {
	struct loop *loop;
	qb_ipcs_service_t *service;
	struct watched *watched;
	uint32_t watched_count, stranger_count;
	int door_fd, spare_fd;
	bool at_door; /* what libqb adds now has just come in */
	struct gate full_gate, stranger_gate;
	struct loop_timer guest_timer;
	struct pending *pending;
	uint32_t pending_count;
	struct deferred *jobs;
	struct loop_timer job_timer, retry_timer;
	uint64_t next_ticket;
	void (*request)(void *user, uint64_t ticket, const char *text);
	void *user;
};

static struct admin *the_admin;

void admin_name(const char *dir, char out[64])
{
	char path[4096];

	if (!realpath(dir, path))
		snprintf(path, sizeof(path), "%s", dir);
	snprintf(out, 64, "mdcd-%016" PRIx64, pr_hash64(path, strlen(path), 0));
}

/* ---- libqb's polling on our loop ---- */

static uint32_t to_epoll(int32_t events)
{
	return (events & POLLIN ? EPOLLIN : 0u) | (events & POLLOUT ? EPOLLOUT : 0u);
}

static struct watched **find_fd(struct admin *a, int fd)
{
	struct watched **w = &a->watched;

	while (*w && (*w)->fd != fd)
		w = &(*w)->next;
	return w;
}

static void unwatch(struct admin *a, int fd)
{
	struct watched **at = find_fd(a, fd), *w = *at;

	if (!w)
		return;
	loop_remove(a->loop, w->source);
	*at = w->next;
	a->watched_count--;
	a->stranger_count -= w->stranger;
	free(w);
}

/* Anybody on this host finds the door, and libqb takes in whoever comes, as long as he likes to stand there. */
static bool may_enter(struct admin *a)
{
	int fd = a->watched_count < WATCHED_MAX ? tcp_spare() : -1;
	char more[GATE_TEXT];

	if (fd >= 0 && a->spare_fd < 0)
		a->spare_fd = fd;
	else if (fd >= 0)
		close(fd);
	if (fd >= 0)
		return true;
	fd = tcp_accept(a->door_fd, &a->spare_fd);
	if (fd >= 0)
		close(fd);
	if (gate_open(&a->full_gate, loop_now_ms(), more))
		log_warning("admin: a connection was refused, %s%s",
			    fd >= 0 ? "there are too many" : "no descriptor is left", more);
	return false;
}

static bool may_order(uid_t uid)
{
	return uid == 0 || uid == geteuid();
}

static bool is_stranger(int fd)
{
	struct ucred c;
	socklen_t len = sizeof(c);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &c, &len) < 0 || !may_order(c.uid);
}

/* libqb closes what is shut down. */
static void welcome(struct admin *a, struct watched *w)
{
	w->guest_ms = loop_now_ms();
	w->stranger = is_stranger(w->fd);
	a->stranger_count += w->stranger;
	if (w->stranger && a->stranger_count > STRANGERS_MAX)
		shutdown(w->fd, SHUT_RDWR);
	if (!a->guest_timer.at_ms)
		loop_set_timer(a->loop, &a->guest_timer, w->guest_ms + GUEST_MS);
}

static void look_at_guests(void *user)
{
	struct admin *a = user;
	uint64_t now = loop_now_ms(), oldest = 0;

	for (struct watched *w = a->watched; w; w = w->next)
		if (w->guest_ms && now - w->guest_ms >= GUEST_MS)
			shutdown(w->fd, SHUT_RDWR);
		else if (w->guest_ms && (!oldest || w->guest_ms < oldest))
			oldest = w->guest_ms;
	if (oldest)
		loop_set_timer(a->loop, &a->guest_timer, oldest + GUEST_MS);
}

static void watched_ready(void *user, uint32_t events)
{
	struct watched *w = user;
	struct admin *a = the_admin;
	int fd = w->fd;
	int32_t revents = (events & EPOLLIN ? POLLIN : 0) | (events & EPOLLOUT ? POLLOUT : 0) |
			  (events & EPOLLERR ? POLLERR : 0) | (events & EPOLLHUP ? POLLHUP : 0);

	if (fd == a->door_fd && !may_enter(a))
		return;
	a->at_door = fd == a->door_fd;
	if (w->fn(fd, revents, w->data) < 0 && *find_fd(a, fd) == w)
		unwatch(a, fd);
	a->at_door = false;
}

static int32_t add_fd(enum qb_loop_priority p, int32_t fd, int32_t events, void *data,
		      qb_ipcs_dispatch_fn_t fn)
{
	struct watched *w;
	int error;

	unwatch(the_admin, fd);
	w = malloc(sizeof(*w));
	if (!w)
		return -ENOMEM;
	*w = (struct watched){.fd = fd, .fn = fn, .data = data};
	error = loop_add(the_admin->loop, fd, to_epoll(events), watched_ready, w, &w->source);
	if (error < 0) {
		free(w);
		return error;
	}
	w->next = the_admin->watched;
	the_admin->watched = w;
	the_admin->watched_count++;
	if (the_admin->door_fd < 0)
		the_admin->door_fd = fd; /* libqb begins with it */
	if (the_admin->at_door)
		welcome(the_admin, w);
	return 0;
}

static int32_t change_fd(enum qb_loop_priority p, int32_t fd, int32_t events, void *data,
			 qb_ipcs_dispatch_fn_t fn)
{
	struct watched *w = *find_fd(the_admin, fd);

	if (!w)
		return -ENOENT;
	w->fn = fn;
	w->data = data;
	loop_change(the_admin->loop, w->source, to_epoll(events));
	return 0;
}

static int32_t remove_fd(int32_t fd)
{
	unwatch(the_admin, fd);
	return 0;
}

static int32_t add_job(enum qb_loop_priority p, void *data, qb_loop_job_dispatch_fn fn)
{
	struct deferred *d = malloc(sizeof(*d)), **last = &the_admin->jobs;

	if (!d)
		return -ENOMEM;
	*d = (struct deferred){.fn = fn, .data = data};
	while (*last)
		last = &(*last)->next;
	*last = d;
	loop_set_timer(the_admin->loop, &the_admin->job_timer, 1);
	return 0;
}

static void run_jobs(void *user)
{
	struct admin *a = user;
	struct deferred *d = a->jobs, *next;

	for (a->jobs = NULL; d; d = next) {
		next = d->next;
		d->fn(d->data);
		free(d);
	}
}

/* ---- requests and replies ---- */

static struct pending **find(struct admin *a, uint64_t ticket)
{
	struct pending **p = &a->pending;

	while (*p && (*p)->ticket != ticket)
		p = &(*p)->next;
	return p;
}

static void forget(struct admin *a, struct pending **at)
{
	struct pending *p = *at;

	*at = p->next;
	a->pending_count--;
	if (p->conn)
		qb_ipcs_connection_unref(p->conn);
	free(p->reply);
	free(p);
}

/* True: all of it is with the caller, or never will be. */
static bool send_pieces(struct pending *p)
{
	struct qb_ipc_response_header h = {0};
	struct iovec iov[2];
	ssize_t n;

	while (p->conn) {
		size_t len = p->len - p->sent;

		if (len > ADMIN_MESSAGE_BYTES / 2)
			len = ADMIN_MESSAGE_BYTES / 2;
		h.id = p->sent + len == p->len ? ADMIN_LAST : ADMIN_PIECE;
		h.error = p->error;
		h.size = (int32_t)(sizeof(h) + len);
		iov[0] = (struct iovec){&h, sizeof(h)};
		iov[1] = (struct iovec){p->reply + p->sent, len};
		n = qb_ipcs_response_sendv(p->conn, iov, 2);
		if (n == -EAGAIN || n == -ENOBUFS)
			return false;
		p->sent += len;
		if (n < 0 || h.id == ADMIN_LAST)
			break;
	}
	return true;
}

static void retry(void *user)
{
	struct admin *a = user;

	for (struct pending **at = &a->pending; *at;) {
		if (!(*at)->reply)
			at = &(*at)->next;
		else if (send_pieces(*at))
			forget(a, at);
		else {
			loop_set_timer(a->loop, &a->retry_timer, loop_now_ms() + RETRY_MS);
			at = &(*at)->next;
		}
	}
}

void admin_reply(struct admin *a, uint64_t ticket, int error, const void *json, size_t len)
{
	struct pending **at = find(a, ticket);

	if (!*at)
		return;
	(*at)->reply = malloc(len + 1);
	ASSERT_MEMORY((*at)->reply);
	memcpy((*at)->reply, json, len);
	(*at)->len = len;
	(*at)->error = error;
	if (send_pieces(*at))
		forget(a, at);
	else
		loop_set_timer(a->loop, &a->retry_timer, loop_now_ms() + RETRY_MS);
}

static int32_t accept_caller(qb_ipcs_connection_t *c, uid_t uid, gid_t gid)
{
	char more[GATE_TEXT];

	if (may_order(uid))
		return 0;
	if (gate_open(&the_admin->stranger_gate, loop_now_ms(), more))
		log_warning(
			"admin: a connection of UID %u was refused, only root and UID %u may give orders%s",
			(unsigned)uid, (unsigned)geteuid(), more);
	return -EACCES;
}

static int32_t caller_said(qb_ipcs_connection_t *c, void *data, size_t size)
{
	const struct qb_ipc_request_header *h = data;
	const char *text = (const char *)data + sizeof(*h);
	size_t len = size - sizeof(*h);
	struct admin *a = the_admin;
	struct pending *p;

	if (size <= sizeof(*h) || h->id != ADMIN_REQUEST || len > COMMAND_MAX ||
	    text[len - 1] != '\0') {
		log_warning("admin: a request that makes no sense was passed over");
		return -EBADMSG;
	}
	p = a->pending_count < PENDING_MAX ? calloc(1, sizeof(*p)) : NULL;
	if (!p)
		return -ENOBUFS;
	qb_ipcs_connection_ref(c);
	p->ticket = ++a->next_ticket;
	p->conn = c;
	p->next = a->pending;
	a->pending = p;
	a->pending_count++;
	a->request(a->user, p->ticket, text);
	return 0;
}

static int32_t caller_left(qb_ipcs_connection_t *c)
{
	for (struct pending *p = the_admin->pending; p; p = p->next)
		if (p->conn == c) {
			p->conn = NULL;
			qb_ipcs_connection_unref(c);
		}
	return 0;
}

static void caller_created(qb_ipcs_connection_t *c)
{
}

static void caller_destroyed(qb_ipcs_connection_t *c)
{
}

/*
 * The directory's lock is ours, so who has the name is a process that is ending, or whose directory was removed and that ends for it:
 * it is waited for.
 */
static int serve(struct admin *a, const char *name, struct qb_ipcs_service_handlers *handlers,
		 struct qb_ipcs_poll_handlers *polling)
{
	int error;

	for (unsigned tries = 0;; tries++) {
		a->service = qb_ipcs_create(name, 0, QB_IPC_SOCKET, handlers);
		if (!a->service)
			return -ENOMEM;
		qb_ipcs_poll_handlers_set(a->service, polling);
		error = qb_ipcs_run(a->service);
		if (error == 0)
			return 0;
		a->service = NULL; /* it frees itself then */
		if (error != -EADDRINUSE || tries == NAME_TRIES)
			return error;
		usleep(NAME_POLL_US);
	}
}

int admin_open(struct loop *loop, const char *name,
	       void (*request)(void *user, uint64_t ticket, const char *text), void *user,
	       struct admin **ret, char *why, size_t why_size)
{
	static struct qb_ipcs_service_handlers handlers = {
		.connection_accept = accept_caller,
		.connection_created = caller_created,
		.msg_process = caller_said,
		.connection_closed = caller_left,
		.connection_destroyed = caller_destroyed,
	};
	static struct qb_ipcs_poll_handlers polling = {
		.job_add = add_job,
		.dispatch_add = add_fd,
		.dispatch_mod = change_fd,
		.dispatch_del = remove_fd,
	};
	struct admin *a = calloc(1, sizeof(*a));
	int error;

	if (!a)
		return -ENOMEM;
	ASSERT(!the_admin);
	the_admin = a;
	a->loop = loop;
	a->request = request;
	a->user = user;
	a->job_timer = (struct loop_timer){.fn = run_jobs, .user = a};
	a->retry_timer = (struct loop_timer){.fn = retry, .user = a};
	a->guest_timer = (struct loop_timer){.fn = look_at_guests, .user = a};
	a->door_fd = -1;
	a->spare_fd = tcp_spare();
	error = serve(a, name, &handlers, &polling);
	if (error < 0) {
		snprintf(why, why_size, "admin socket %s: %s", name,
			 error == -EADDRINUSE ? "another mdcd of this directory has it"
					      : strerror(-error));
		admin_free(a);
		return error;
	}
	*ret = a;
	return 0;
}

void admin_free(struct admin *a)
{
	if (!a)
		return;
	while (a->pending)
		forget(a, &a->pending);
	if (a->service)
		qb_ipcs_destroy(a->service);
	run_jobs(a);
	while (a->watched)
		unwatch(a, a->watched->fd);
	loop_clear_timer(a->loop, &a->job_timer);
	loop_clear_timer(a->loop, &a->retry_timer);
	loop_clear_timer(a->loop, &a->guest_timer);
	if (a->spare_fd >= 0)
		close(a->spare_fd);
	the_admin = NULL;
	free(a);
}
