/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The client core against two controllers and a network that say and do anything: connections that come and go, answers that are
 * true, late, repeated, of another epoch or not answers at all, recalls, notices, evictions. No input ends the process by an
 * assertion; each request is answered once, with what a reply to it said or with an error; what is sent under a sequence once is
 * what is sent under it for ever, and a slot asks its next question only after the answer to the last.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/core/cl.h"
#include "proto/crc32c.h"
#include "tests/fuzz/fuzz.h"

enum {
	EVENTS_MAX = 256,
	TIMERS_MAX = 8,
	REQUESTS_MAX = 64,
	SENT_MAX = 256,
	SLOTS = 4,
	SESSION = 42
};

struct request {
	uint64_t id; /* 0: not submitted */
	uint16_t type;
	bool done;
};

/* A request as it was first sent. */
struct sent {
	struct pr_frame f;
	uint32_t crc;
	bool told; /* an answer was given to the client, which may have taken it */
};

struct world {
	struct fuzz_in in;
	struct cl *cl;
	uint64_t now_ms, epoch, ask, conn[CL_LINKS];
	bool up[CL_LINKS], failed, evicted, closed, closing, recalled, ended;
	struct request request[REQUESTS_MAX];
	unsigned int requests, sents;
	struct sent sent[SENT_MAX];
	uint64_t newest[SLOTS]; /* sequence, by slot */
	uint32_t reply_crc;	/* of what is being handed over */
	uint16_t reply_type;	/* 0: nothing */
	uint32_t reply_len;
};

static int link_of(const struct world *w, uint64_t conn)
{
	for (int i = 0; i < CL_LINKS; i++)
		if (w->conn[i] == conn && conn)
			return i;
	return -1;
}

/* ---- what the core sends ---- */

static struct sent *find_sent(struct world *w, uint32_t slot, uint64_t sequence)
{
	for (unsigned int i = 0; i < w->sents; i++)
		if (w->sent[i].f.slot == slot && w->sent[i].f.sequence == sequence)
			return &w->sent[i];
	return NULL;
}

static void took_request(struct world *w, const struct pr_frame *f, const uint8_t *p)
{
	uint32_t crc = pr_crc32c(p, f->length);
	struct sent *s, *last;

	FUZZ_CHECK(f->slot < SLOTS && f->sequence > 0 && f->session == SESSION);
	s = find_sent(w, f->slot, f->sequence);
	if (s) {
		FUZZ_CHECK(s->crc == crc && s->f.type == f->type,
			   "another request under the same sequence");
		return;
	}
	FUZZ_CHECK(f->sequence > w->newest[f->slot], "a sequence that falls");
	last = find_sent(w, f->slot, w->newest[f->slot]);
	FUZZ_CHECK(!last || last->told, "a slot that does not wait for its answer");
	w->newest[f->slot] = f->sequence;
	FUZZ_CHECK(w->sents < SENT_MAX);
	w->sent[w->sents++] = (struct sent){.f = *f, .crc = crc};
}

static void took_send(struct world *w, const struct cl_effect *fx)
{
	const uint8_t *p = fx->p, *end = fx->p + fx->len;
	int link = link_of(w, fx->conn);
	struct pr_frame f;

	FUZZ_CHECK(link >= 0 && w->up[link], "a frame for a connection that is not there");
	while (p < end) {
		FUZZ_CHECK(end - p >= PR_FRAME_BYTES &&
			   pr_frame_decode(&f, p, PR_PAYLOAD_MAX) == 0);
		p += PR_FRAME_BYTES;
		FUZZ_CHECK((size_t)(end - p) >= f.length && pr_frame_check_payload(&f, p) == 0 &&
			   pr_message_check(f.type, p, f.length) == 0);
		if (f.type == PR_T_SESSION_OPEN || f.type == PR_T_SESSION_BIND)
			w->ask = f.sequence;
		else if (f.type >> 8 == 0x02 || f.type >> 8 == 0x03)
			took_request(w, &f, p);
		p += f.length;
	}
}

static void took_done(struct world *w, const struct cl_effect *fx)
{
	struct request *q;

	FUZZ_CHECK(fx->tag < w->requests, "an answer to no request");
	q = &w->request[fx->tag];
	FUZZ_CHECK(!q->done, "a second answer");
	FUZZ_CHECK(q->type == fx->message);
	q->done = true;
	if (fx->error)
		return;
	FUZZ_CHECK(w->reply_type == (q->type | PR_T_REPLY) && w->reply_len == fx->len &&
			   w->reply_crc == pr_crc32c(fx->p, fx->len),
		   "an answer that nobody gave");
}

static void took(struct world *w, const struct cl_effect *fx)
{
	int link;

	switch (fx->type) {
	case CL_FX_CONNECT:
		FUZZ_CHECK(fx->peer >= 0 && fx->peer < CL_PEERS && fx->port >= 0 &&
			   fx->port < CL_PORTS && link_of(w, fx->conn) < 0 && fx->conn);
		link = fx->peer * CL_PORTS + fx->port;
		FUZZ_CHECK(w->conn[link] == 0, "two connections to one port");
		w->conn[link] = fx->conn;
		w->up[link] = false;
		break;
	case CL_FX_DROP:
		link = link_of(w, fx->conn);
		FUZZ_CHECK(link >= 0, "a connection is dropped that is not there");
		w->conn[link] = 0;
		break;
	case CL_FX_SEND:
		took_send(w, fx);
		break;
	case CL_FX_DONE:
		took_done(w, fx);
		break;
	case CL_FX_FAILED:
		FUZZ_CHECK(!w->failed && fx->error < 0);
		w->failed = true;
		break;
	case CL_FX_EVICTED:
		FUZZ_CHECK(!w->evicted);
		w->evicted = true;
		break;
	case CL_FX_CLOSED:
		FUZZ_CHECK(!w->closed);
		w->closed = true;
		break;
	case CL_FX_RECALL:
		FUZZ_CHECK(w->recalled, "a recall that nobody asked for");
		break;
	case CL_FX_READY:
	case CL_FX_SERVING:
	case CL_FX_WARNING:
		break;
	}
}

static void step(struct world *w, struct cl_event ev)
{
	struct cl_effect fx;

	ev.now_ms = w->now_ms;
	cl_step(w->cl, &ev);
	while (cl_next(w->cl, &fx))
		took(w, &fx);
}

static void pump(struct world *w)
{
	step(w, (struct cl_event){.type = CL_EV_PUMP});
}

/* ---- what it is told ---- */

static void hand_over(struct world *w, int link, struct pr_frame *f, const uint8_t *p)
{
	uint8_t *copy = malloc(f->length ? f->length : 1);

	if (f->length)
		memcpy(copy, p, f->length);
	f->version = PR_VERSION;
	w->reply_type = f->type;
	w->reply_len = f->length;
	w->reply_crc = pr_crc32c(copy, f->length);
	step(w,
	     (struct cl_event){.type = CL_EV_FRAME, .conn = w->conn[link], .frame = f, .p = copy});
	w->reply_type = 0;
	free(copy);
}

#define TELL(w, link, frame, name, ...)                             \
	do {                                                        \
		struct pr_##name m_ = {__VA_ARGS__};                \
		uint8_t room_[1024];                                \
		struct pr_buf b_ = pr_buf_on(room_, sizeof(room_)); \
		struct pr_frame f_ = frame;                         \
		if (pr_##name##_encode(&b_, &m_) == 0) {            \
			f_.length = (uint32_t)b_.len;               \
			hand_over(w, link, &f_, room_);             \
		}                                                   \
	} while (0)
#define FRAME(...) ((struct pr_frame){__VA_ARGS__})

static uint64_t any_epoch(struct world *w, uint8_t how)
{
	if (how % 16 == 0)
		w->epoch++;
	return how % 16 == 1 ? w->epoch - 1 : how % 16 == 2 ? 0 : w->epoch;
}

static void say_hello(struct world *w, int link, uint8_t how)
{
	uint8_t role = how % 4 == 0 ? PR_ROLE_STANDBY : how % 4 == 1 ? how / 4 % 5 : PR_ROLE_ACTIVE;
	uint64_t epoch = any_epoch(w, how >> 3);

	TELL(w, link, FRAME(.type = PR_T_HELLO_R, .epoch = epoch), hello_r, .version = PR_VERSION,
	     .cluster = {{how == 255 ? 2 : 1}}, .node = (uint8_t)(link / CL_PORTS + 1),
	     .role = role, .epoch = epoch, .lease_ms = how & 64 ? 30000 : 2000, .slots_max = SLOTS,
	     .active = pr_bytes_str("127.0.0.1"));
}

static void say_session(struct world *w, int link, uint8_t how)
{
	uint64_t epoch = any_epoch(w, how >> 4);

	if (how % 8 == 0)
		TELL(w, link,
		     FRAME(.type = PR_T_SESSION_BIND_R, .epoch = epoch, .session = SESSION,
			   .sequence = w->ask),
		     session_bind_r, .lost = how / 8);
	else if (how % 8 == 1)
		TELL(w, link,
		     FRAME(.type = how & 8 ? PR_T_SESSION_OPEN_R : PR_T_SESSION_BIND_R,
			   .epoch = epoch, .sequence = w->ask, .session = SESSION,
			   .status = (uint32_t)fuzz_take(&w->in, 2)),
		     error, .text = pr_bytes_str("because"));
	else
		TELL(w, link,
		     FRAME(.type = PR_T_SESSION_OPEN_R, .epoch = epoch,
			   .sequence = w->ask - (how == 255)),
		     session_open_r, .session = SESSION, .slots = SLOTS, .key = 9, .root = 1,
		     .block_bytes = 4096);
	if (how & 8)
		TELL(w, link,
		     FRAME(.type = PR_T_SESSION_BIND_R, .epoch = epoch, .session = SESSION,
			   .sequence = w->ask),
		     session_bind_r, .lost = 0);
}

static void say_error(struct world *w, int link, struct pr_frame *f, uint8_t how)
{
	static const uint32_t statuses[] = {2, 5, 11, 17, 28, 30, PR_E_BAD_SESSION, PR_E_LAYOUT};

	f->status = how & 8 ? (uint32_t)(1000 + how / 16) : statuses[how / 16 % 8];
	TELL(w, link, *f, error, .text = pr_bytes_str("so"));
}

/* An answer to something that was sent: now, or long ago. */
static void say_answer(struct world *w, int link, uint8_t how)
{
	struct sent *s;
	struct pr_frame f;
	struct pr_attr attr = {.ino = 3, .change = how};

	if (w->sents == 0)
		return;
	s = &w->sent[how & 4 ? fuzz_below(&w->in, w->sents) : w->sents - 1];
	f = FRAME(.type = s->f.type | PR_T_REPLY, .epoch = any_epoch(w, fuzz_u8(&w->in)),
		  .session = SESSION, .slot = s->f.slot, .sequence = s->f.sequence, .lsn = how);
	s->told = true;
	if (how % 4 == 3) {
		say_error(w, link, &f, fuzz_u8(&w->in));
		return;
	}
	switch (s->f.type) {
	case PR_T_GETATTR:
		TELL(w, link, f, getattr_r, .attr = attr);
		break;
	case PR_T_CREATE:
		TELL(w, link, f, create_r, .attr = attr, .created = 1);
		break;
	case PR_T_OPEN:
		TELL(w, link, f, open_r, .attr = attr);
		break;
	case PR_T_CLOSE:
		TELL(w, link, f, close_r, );
		break;
	case PR_T_LAYOUT_GET:
		TELL(w, link, f, layout_get_r, .generation = 1 + how / 8u);
		break;
	default:
		TELL(w, link, f, layout_return_r, );
	}
}

/* What is no answer. */
static void say_other(struct world *w, int link, uint8_t how)
{
	uint64_t epoch = any_epoch(w, fuzz_u8(&w->in));
	struct pr_frame f = {.epoch = epoch};
	const uint8_t *p;
	size_t len;

	switch (how % 8) {
	case 0:
	case 1:
		w->recalled = true;
		TELL(w, link, FRAME(.type = PR_T_RECALL, .epoch = epoch, .session = SESSION),
		     recall, .ino = 3, .generation = how / 8u, .mode = how / 64 % 3);
		break;
	case 2:
	case 3:
		TELL(w, link, FRAME(.type = PR_T_NOTICE, .epoch = epoch), notice,
		     .node = (uint8_t)(link / CL_PORTS + 1), .role = how / 8 % 5, .epoch = epoch);
		break;
	case 4:
	case 5:
		TELL(w, link, FRAME(.type = PR_T_PING_R, .epoch = epoch), ping_r, .nonce = how / 8,
		     .role = how / 32 % 5);
		break;
	case 6:
		TELL(w, link, FRAME(.type = PR_T_EVICTED, .epoch = epoch, .session = SESSION),
		     evicted, .session = how & 8 ? SESSION : how, .reason = pr_bytes_str("gone"));
		break;
	default:
		f.type = (uint16_t)fuzz_take(&w->in, 2);
		f.session = SESSION;
		f.slot = fuzz_u8(&w->in);
		f.sequence = fuzz_u8(&w->in);
		f.status = fuzz_u8(&w->in) % 4 == 0 ? 1001 : 0;
		p = fuzz_bytes(&w->in, fuzz_u8(&w->in), &len);
		f.length = (uint32_t)len;
		if (f.type & PR_T_REPLY && find_sent(w, f.slot, f.sequence))
			find_sent(w, f.slot, f.sequence)->told = true;
		if (f.type == PR_T_RECALL)
			w->recalled = true;
		hand_over(w, link, &f, p);
	}
}

/* ---- what is asked of it ---- */

static void submit(struct world *w, uint8_t how)
{
	static const uint16_t types[] = {PR_T_GETATTR, PR_T_CREATE,	PR_T_OPEN,
					 PR_T_CLOSE,   PR_T_LAYOUT_GET, PR_T_LAYOUT_RETURN};
	uint16_t type = types[how % 6];
	struct request *q;
	struct pr_buf *b;
	int error;

	if (w->requests == REQUESTS_MAX || w->closing)
		return;
	b = cl_prepare(w->cl, 256);
	FUZZ_CHECK(b);
	switch (type) {
	case PR_T_GETATTR:
		error = pr_getattr_encode(b, &(struct pr_getattr){.ino = how});
		break;
	case PR_T_CREATE:
		error = pr_create_encode(
			b, &(struct pr_create){.parent = how, .name = pr_bytes_str("x")});
		break;
	case PR_T_OPEN:
		error = pr_open_encode(b, &(struct pr_open){.ino = 3, .flags = how});
		break;
	case PR_T_CLOSE:
		error = pr_close_encode(b, &(struct pr_close){.ino = 3, .opens = 1});
		break;
	case PR_T_LAYOUT_GET:
		error = pr_layout_get_encode(
			b, &(struct pr_layout_get){.ino = 3, .blocks = 1, .mode = 1 + how / 6 % 2});
		break;
	default:
		error = pr_layout_return_encode(
			b, &(struct pr_layout_return){.ino = 3, .generation = how / 6});
	}
	FUZZ_CHECK(error == 0);
	if (how == 255) {
		cl_abandon(w->cl);
		return;
	}
	q = &w->request[w->requests];
	q->type = type;
	q->id = cl_submit(w->cl, type, w->requests++);
	FUZZ_CHECK(q->id);
	if (how & 128)
		pump(w);
}

static void cancel(struct world *w, uint8_t how)
{
	struct request *q;

	if (w->requests == 0)
		return;
	q = &w->request[how % w->requests];
	step(w, (struct cl_event){.type = CL_EV_CANCEL, .id = q->id});
	FUZZ_CHECK(q->done, "a request that was cancelled is not answered");
}

/* ---- time ---- */

static void pass(struct world *w, uint8_t how)
{
	uint64_t wake = cl_wake_ms(w->cl);

	if (how & 1 && wake != UINT64_MAX)
		w->now_ms = wake > w->now_ms ? wake : w->now_ms;
	else
		w->now_ms += (uint64_t)1 << (how >> 4);
	for (int i = 0; i < TIMERS_MAX; i++) {
		step(w, (struct cl_event){.type = CL_EV_TIMER});
		pump(w);
		if (cl_wake_ms(w->cl) > w->now_ms)
			return;
	}
	FUZZ_CHECK(false, "it wakes again and again");
}

static void connection(struct world *w, int link, uint8_t how)
{
	uint64_t conn = w->conn[link];

	if (!conn)
		return;
	if (how % 4 && !w->up[link]) {
		w->up[link] = true;
		step(w, (struct cl_event){.type = CL_EV_CONN_UP, .conn = conn});
		pump(w);
		return;
	}
	w->conn[link] = 0;
	w->up[link] = false;
	step(w, (struct cl_event){.type = CL_EV_CONN_DOWN,
				  .conn = conn,
				  .error = how & 16 ? -EBADMSG : -ECONNRESET});
	pump(w);
}

/* Up, greeted and, if it is the active, asked for a session: the way to where things happen. */
static void serve(struct world *w, int link, uint8_t how)
{
	if (w->conn[link] && !w->up[link])
		connection(w, link, 1);
	if (!w->conn[link] || !w->up[link])
		return;
	say_hello(w, link, how & 128 ? 2 + 0x38 : 0x38);
	pump(w);
	if (w->conn[link] && how & 128) {
		say_session(w, link, 0x3a);
		pump(w);
	}
}

static void event(struct world *w)
{
	uint8_t what = fuzz_u8(&w->in), how = fuzz_u8(&w->in);
	int link = what >> 4 & 3;

	if (what % 16 < 8 && what % 16 > 1 && (!w->conn[link] || !w->up[link]))
		what = 0;
	switch (what % 16) {
	case 0:
		serve(w, link, how);
		break;
	case 1:
		connection(w, link, how);
		break;
	case 2:
		say_hello(w, link, how);
		break;
	case 3:
		say_session(w, link, how);
		break;
	case 4:
	case 5:
	case 6:
		say_answer(w, link, how);
		break;
	case 7:
		say_other(w, link, how);
		break;
	case 8:
	case 9:
		pass(w, how);
		break;
	case 10:
		cancel(w, how);
		break;
	case 11:
		if (how == 0 && !w->closing) {
			w->closing = true;
			step(w, (struct cl_event){.type = CL_EV_CLOSE});
		}
		break;
	default:
		submit(w, how);
	}
	if (what & 128)
		pump(w);
}

static void one(const uint8_t *p, size_t len)
{
	struct cl_config config = {
		.client = {{1}}, .volume = "vol1", .host = "h", .program = "p", .slots = SLOTS};
	static struct world w;

	memset(&w, 0, sizeof(w));
	w.in = (struct fuzz_in){p, len};
	w.now_ms = 1000;
	w.epoch = 5;
	w.cl = cl_new(&config);
	step(&w, (struct cl_event){.type = CL_EV_START});
	for (unsigned int i = 0; i < EVENTS_MAX && w.in.left > 0; i++) {
		event(&w);
		if (w.failed || w.closed || w.sents == SENT_MAX)
			break;
	}
	pump(&w);
	if (w.evicted)
		for (unsigned int i = 0; i < w.requests; i++)
			FUZZ_CHECK(w.request[i].done, "evicted, and a request waits");
	cl_free(w.cl);
}

FUZZ_TARGET(cl)
