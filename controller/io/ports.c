/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "controller/io/ports.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "controller/io/log.h"
#include "ha/io/gate.h"
#include "ha/io/tcp.h"
#include "proto/assert.h"
#include "proto/status.h"
#include "proto/wire.h"

enum {
	IN_BYTES = 16 << 10,	   /* where a connection's input buffer starts */
	OUT_KEEP_BYTES = 64 << 10, /* an empty output buffer larger than this is given back */
	OUT_PAUSE_BYTES = 4 << 20, /* nothing more is read from who does not take its replies */
	OUT_MAX_BYTES = 64 << 20,
	STALL_MS = 60000,  /* of a connection whose output does not move at all */
	SILENT_MS = 10000, /* of a connection that has not sent one whole frame */
	SWEEP_MS = 2000,
	ACCEPTS_MAX = 64, /* a round and port */
	SLOT_BITS = 16,
};

struct conn {
	struct ports *ports;
	int fd;
	uint64_t id;
	struct loop_source *source;
	char peer[TCP_NAME_MAX];
	struct pr_stream in;
	uint8_t *out;
	size_t out_start, out_end, out_cap;
	uint64_t since_ms; /* accepted, or its output last moved */
	bool dirty, spoke, closing, told;
	struct conn *next_dirty;
};

struct ports {
	struct ports_config c;
	int listen_fd[2], spare_fd;
	struct loop_source *listen_source[2];
	struct conn **slots;
	uint32_t slot_count, free_hint;
	uint64_t next_serial;
	struct conn *dirty;
	struct loop_timer sweep;
	struct ports_stats stats;
	struct gate refused_gate, garbage_gate, version_gate, stuck_gate;
};

static void drop(struct conn *c)
{
	struct ports *p = c->ports;

	loop_remove(p->c.loop, c->source);
	close(c->fd);
	p->slots[c->id & ((1u << SLOT_BITS) - 1)] = NULL;
	p->stats.connections--;
	for (struct conn **d = &p->dirty; c->dirty && *d; d = &(*d)->next_dirty)
		if (*d == c) {
			*d = c->next_dirty;
			break;
		}
	free(c->in.buf);
	free(c->out);
	free(c);
}

/* Drops it and says so to the core, unless the core asked for it. */
static void lost(struct conn *c)
{
	struct ports *p = c->ports;
	uint64_t id = c->id;
	bool tell = !c->told;

	drop(c);
	if (tell)
		p->c.down(p->c.user, id);
}

static struct conn *find(struct ports *p, uint64_t id)
{
	struct conn *c = p->slots[id & ((1u << SLOT_BITS) - 1)];

	return c && c->id == id ? c : NULL;
}

static size_t waiting(const struct conn *c)
{
	return c->out_end - c->out_start;
}

static bool reserve(struct conn *c, size_t len)
{
	size_t cap = c->out_cap ? c->out_cap : 4096;
	uint8_t *out;

	if (c->out_cap - c->out_end >= len)
		return true;
	if (c->out_start > 0) {
		memmove(c->out, c->out + c->out_start, waiting(c));
		c->out_end -= c->out_start;
		c->out_start = 0;
		if (c->out_cap - c->out_end >= len)
			return true;
	}
	while (cap - c->out_end < len)
		cap *= 2;
	out = realloc(c->out, cap);
	if (!out)
		return false;
	c->out = out;
	c->out_cap = cap;
	return true;
}

static void mark_dirty(struct conn *c)
{
	if (c->dirty)
		return;
	c->dirty = true;
	c->next_dirty = c->ports->dirty;
	c->ports->dirty = c;
}

void ports_send(struct ports *ports, uint64_t conn, const uint8_t *p, uint32_t len)
{
	struct conn *c = find(ports, conn);

	if (!c || c->closing)
		return;
	if (waiting(c) + len > OUT_MAX_BYTES || !reserve(c, len)) {
		log_warning("client %s: closed, it does not take its replies (%zu bytes wait)",
			    c->peer, waiting(c));
		ports->stats.slow++;
		c->closing = true; /* not here: the core may be in the middle of a step */
		c->out_start = c->out_end = 0;
		mark_dirty(c);
		return;
	}
	if (waiting(c) == 0)
		c->since_ms = loop_now_ms();
	memcpy(c->out + c->out_end, p, len);
	c->out_end += len;
	mark_dirty(c);
}

void ports_close(struct ports *p, uint64_t id)
{
	struct conn *c = find(p, id);

	if (!c)
		return;
	c->closing = c->told = true;
	mark_dirty(c);
}

/* False: the connection is gone. */
static bool push(struct conn *c)
{
	ssize_t n;

	while (waiting(c) > 0) {
		n = send(c->fd, c->out + c->out_start, waiting(c), MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) {
			lost(c);
			return false;
		}
		c->ports->stats.sends++;
		c->ports->stats.bytes_out += (uint64_t)n;
		c->out_start += (size_t)n;
		c->since_ms = loop_now_ms();
	}
	if (waiting(c) == 0) {
		c->out_start = c->out_end = 0;
		if (c->out_cap > OUT_KEEP_BYTES) {
			free(c->out);
			c->out = NULL;
			c->out_cap = 0;
		}
		if (c->closing) {
			lost(c);
			return false;
		}
	}
	loop_change(c->ports->c.loop, c->source,
		    (waiting(c) < OUT_PAUSE_BYTES && !c->closing ? EPOLLIN : 0u) |
			    (waiting(c) > 0 ? EPOLLOUT : 0u));
	return true;
}

void ports_flush(struct ports *p)
{
	while (p->dirty) {
		struct conn *c = p->dirty;

		p->dirty = c->next_dirty;
		c->dirty = false;
		push(c);
	}
}

/* A client of another version hears why before it is closed. */
static void answer_version(struct conn *c, const struct pr_frame *f)
{
	uint8_t room[PR_FRAME_BYTES + 640];
	struct pr_buf b = pr_buf_on(room, sizeof(room));
	struct pr_frame r = {.type = f->type | PR_T_REPLY,
			     .channel = PR_CH_ACCESS,
			     .session = f->session,
			     .slot = f->slot,
			     .sequence = f->sequence,
			     .status = PR_E_VERSION};
	struct pr_error e;
	char text[160];
	size_t at = pr_frame_begin(&b);

	snprintf(text, sizeof(text),
		 "this controller speaks frames of version %d, not %u: upgrade the older side",
		 PR_VERSION, f->version);
	e.text = pr_bytes_str(text);
	if (pr_error_encode(&b, &e) == 0 && pr_frame_end(&b, at, &r) == 0)
		ports_send(c->ports, c->id, b.p, (uint32_t)b.len);
}

static void garbage(struct conn *c, int error, const struct pr_frame *f)
{
	bool version = error == -EPROTONOSUPPORT;
	char more[GATE_TEXT];

	c->ports->stats.garbage++;
	if (gate_open(version ? &c->ports->version_gate : &c->ports->garbage_gate, loop_now_ms(),
		      more)) {
		if (version)
			log_warning(
				"client %s: closed, it speaks frames of version %u and this controller %d: "
				"upgrade the older side%s",
				c->peer, f->version, PR_VERSION, more);
		else
			log_warning(
				"client %s: closed, it sent what is no frame of this protocol (%s)%s",
				c->peer, c->in.error ? c->in.error : strerror(-error), more);
	}
	if (version)
		answer_version(c, f);
	c->closing = true;
	mark_dirty(c);
}

static bool grow_input(struct conn *c)
{
	size_t cap = pr_stream_need(&c->in);
	void *to = malloc(cap);

	if (!to)
		return false;
	free(pr_stream_move(&c->in, to, cap));
	return true;
}

static bool take_frames(struct conn *c)
{
	struct ports *p = c->ports;
	uint64_t id = c->id;
	struct pr_frame f;
	const uint8_t *payload;
	int r;

	for (;;) {
		r = pr_stream_next(&c->in, &f, &payload);
		if (r == 0)
			return true;
		if (r == -ENOBUFS) {
			if (grow_input(c))
				continue;
			return true;
		}
		if (r < 0) {
			garbage(c, r, &f);
			return true;
		}
		c->spoke = true;
		p->stats.frames_in++;
		p->c.frame(p->c.user, c->id, &f, payload);
		c = find(p, id);
		if (!c || c->closing)
			return c != NULL;
	}
}

static void readable(struct conn *c)
{
	size_t room;
	uint8_t *to = pr_stream_room(&c->in, &room);
	ssize_t n = recv(c->fd, to, room, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		lost(c);
		return;
	}
	c->ports->stats.bytes_in += (uint64_t)n;
	pr_stream_added(&c->in, (size_t)n);
	take_frames(c);
}

static void conn_ready(void *user, uint32_t events)
{
	struct conn *c = user;

	if (events & EPOLLOUT) {
		if (!push(c))
			return;
	}
	if (c->closing) {
		if (events & (EPOLLERR | EPOLLHUP))
			lost(c);
		return;
	}
	if (events & (EPOLLIN | EPOLLERR | EPOLLHUP))
		readable(c);
}

/* Counts a refusal. True: it is to be told. */
static bool refused(struct ports *p, char more[GATE_TEXT])
{
	p->stats.refused++;
	return gate_open(&p->refused_gate, loop_now_ms(), more);
}

static int32_t free_slot(struct ports *p)
{
	for (uint32_t i = 0; i < p->slot_count; i++) {
		uint32_t at = (p->free_hint + i) % p->slot_count;

		if (!p->slots[at]) {
			p->free_hint = at + 1;
			return (int32_t)at;
		}
	}
	return -1;
}

static void accepted(struct ports *p, int fd)
{
	struct conn *c = calloc(1, sizeof(*c));
	uint8_t *in = malloc(IN_BYTES);
	char peer[TCP_NAME_MAX], more[GATE_TEXT];
	int32_t slot = free_slot(p);

	tcp_peer_name(fd, peer);
	if (!c || !in || slot < 0 ||
	    loop_add(p->c.loop, fd, EPOLLIN, conn_ready, c, &c->source) < 0) {
		free(c);
		free(in);
		if (refused(p, more))
			log_warning(
				"client %s: refused, %u connections are the limit (tuning.connections_max, or that of open files)%s",
				peer, p->slot_count, more);
		close(fd);
		return;
	}
	tcp_tune(fd, 0);
	c->ports = p;
	c->fd = fd;
	c->id = ++p->next_serial << SLOT_BITS | (uint32_t)slot;
	strcpy(c->peer, peer);
	c->since_ms = loop_now_ms();
	pr_stream_init(&c->in, in, IN_BYTES, PR_PAYLOAD_MAX);
	p->slots[slot] = c;
	p->stats.connections++;
	p->stats.accepted++;
	p->c.up(p->c.user, c->id, c->peer);
}

static void accept_ready(struct ports *p, int listen_fd)
{
	char more[GATE_TEXT];

	for (int i = 0; i < ACCEPTS_MAX; i++) {
		int fd = tcp_accept(listen_fd, &p->spare_fd);

		if (fd >= 0)
			accepted(p, fd);
		else if (fd == -EMFILE || fd == -ENFILE) {
			if (refused(p, more))
				log_error(
					"no descriptor is left for another client: raise the limit of open files%s",
					more);
		} else if (fd != -EINTR && fd != -ECONNABORTED)
			return;
	}
}

static void access_ready(void *user, uint32_t events)
{
	struct ports *p = user;

	accept_ready(p, p->listen_fd[0]);
}

static void coord_ready(void *user, uint32_t events)
{
	struct ports *p = user;

	accept_ready(p, p->listen_fd[1]);
}

static void stuck(struct conn *c, uint64_t now, const char *what, int ms)
{
	char more[GATE_TEXT];

	if (gate_open(&c->ports->stuck_gate, now, more))
		log_warning("client %s: closed, it has %s for %d s%s", c->peer, what, ms / 1000,
			    more);
	lost(c);
}

static void sweep(void *user)
{
	struct ports *p = user;
	uint64_t now = loop_now_ms();

	for (uint32_t i = 0; i < p->slot_count; i++) {
		struct conn *c = p->slots[i];

		if (!c)
			continue;
		if (waiting(c) > 0 && now - c->since_ms > STALL_MS) {
			p->stats.slow++;
			stuck(c, now, "taken nothing", STALL_MS);
		} else if (!c->spoke && now - c->since_ms > SILENT_MS) {
			stuck(c, now, "not said anything", SILENT_MS);
		}
	}
	loop_set_timer(p->c.loop, &p->sweep, now + SWEEP_MS);
}

int ports_open(const struct ports_config *config, struct ports **ret, char *why, size_t why_size)
{
	static const loop_fn ready[2] = {access_ready, coord_ready};
	struct ports *p = calloc(1, sizeof(*p));
	int error = 0;

	if (!p)
		return -ENOMEM;
	p->c = *config;
	p->listen_fd[0] = p->listen_fd[1] = -1;
	p->spare_fd = tcp_spare();
	p->slot_count = config->connections_max < (1u << SLOT_BITS) ? config->connections_max
								    : (1u << SLOT_BITS);
	p->slots = calloc(p->slot_count, sizeof(struct conn *));
	if (!p->slots)
		error = -ENOMEM;
	for (int i = 0; i < 2 && error == 0; i++) {
		p->listen_fd[i] = tcp_listen(config->address, config->port[i], why, why_size);
		error = p->listen_fd[i] < 0 ? p->listen_fd[i]
					    : loop_add(config->loop, p->listen_fd[i], EPOLLIN,
						       ready[i], p, &p->listen_source[i]);
	}
	if (error < 0) {
		ports_free(p);
		return error;
	}
	p->sweep = (struct loop_timer){.fn = sweep, .user = p};
	loop_set_timer(config->loop, &p->sweep, loop_now_ms() + SWEEP_MS);
	*ret = p;
	return 0;
}

void ports_free(struct ports *p)
{
	if (!p)
		return;
	loop_clear_timer(p->c.loop, &p->sweep);
	for (uint32_t i = 0; i < p->slot_count && p->slots; i++)
		if (p->slots[i])
			drop(p->slots[i]);
	for (int i = 0; i < 2; i++) {
		loop_remove(p->c.loop, p->listen_source[i]);
		if (p->listen_fd[i] >= 0)
			close(p->listen_fd[i]);
	}
	if (p->spare_fd >= 0)
		close(p->spare_fd);
	free(p->slots);
	free(p);
}

void ports_get_stats(const struct ports *p, struct ports_stats *ret)
{
	*ret = p->stats;
}
