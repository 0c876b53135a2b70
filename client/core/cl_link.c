/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Connections and the choice among them. Each controller has two links, one per port; any of the
 * four may serve. The active is the controller that says so with the highest epoch; requests travel
 * on its access link, or on its coordination link when that is the only one to be had. The moment
 * the choice changes the session is bound there, and cl_request.c sends what is unanswered.
 */
#include "client/core/cl_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HELD_PER_BIND = 4096, HOLD_MIN_MS = 5, HOLD_MAX_MS = 200 };

static const char *const port_names[CL_PORTS] = {"access", "coordination"};

static int peer_of(int link)
{
	return link / CL_PORTS;
}

static int port_of(int link)
{
	return link % CL_PORTS;
}

static int link_at(int peer, int port)
{
	return peer * CL_PORTS + port;
}

static bool ready(const struct cl *cl, int i)
{
	return cl->links[i].state == CL_LINK_READY;
}

static void must(int r)
{
	ASSERT(r == 0);
}

/* ---- sending ---- */

bool cl_link_put(struct cl *cl, int i, struct pr_frame *f, const void *payload, uint32_t crc)
{
	struct pr_buf *out = &cl->links[i].out;
	uint8_t *w;

	if (!cl_room(out, PR_FRAME_BYTES + f->length))
		return false;
	w = pr_buf_take(out, PR_FRAME_BYTES + f->length);
	pr_frame_encode_crc(w, f, crc);
	if (f->length)
		memcpy(w + PR_FRAME_BYTES, payload, f->length);
	return true;
}

/* Messages that have no slot: begin, encode into link->out, end. False: no memory, nothing was
 * sent. The sizes are exact, so an encoder can only refuse what cl_new should have. */
static bool begin(struct cl *cl, int i, size_t bytes, size_t *ret_at)
{
	struct pr_buf *out = &cl->links[i].out;

	if (!cl_room(out, PR_FRAME_BYTES + bytes))
		return false;
	*ret_at = pr_frame_begin(out);
	return true;
}

static void end(struct cl *cl, int i, size_t at, uint16_t type)
{
	struct pr_frame f = {.type = type, .epoch = cl->epoch, .session = cl->session};
	int r;

	if (type == PR_T_HELLO || type == PR_T_SESSION_OPEN)
		f.session = 0;
	if (type == PR_T_SESSION_OPEN || type == PR_T_SESSION_BIND ||
	    (type == PR_T_PING && i == cl->cur && cl_requests_sent(cl)))
		f.sequence = cl->choices;
	r = pr_frame_end(&cl->links[i].out, at, &f);
	ASSERT(r == 0);
}

static void send_hello(struct cl *cl, int i)
{
	struct pr_hello hello = {
		.version_min = PR_VERSION,
		.version_max = PR_VERSION,
		.cluster = cl->cluster,
		.client = cl->config.client,
		.volume = pr_bytes_str(cl->config.volume),
		.host = pr_bytes_str(cl->config.host),
		.program = pr_bytes_str(cl->config.program),
		.channel = port_of(i) == 0 ? PR_CH_ACCESS : PR_CH_COORD,
	};
	size_t at;

	if (!begin(cl, i, pr_hello_size(&hello), &at))
		return;
	must(pr_hello_encode(&cl->links[i].out, &hello));
	end(cl, i, at, PR_T_HELLO);
}

static void send_ping(struct cl *cl, int i)
{
	struct pr_ping ping = {.nonce = cl->now_ms};
	size_t at;

	cl->links[i].ping_ms = cl->now_ms;
	if (!begin(cl, i, pr_ping_size(&ping), &at))
		return;
	must(pr_ping_encode(&cl->links[i].out, &ping));
	end(cl, i, at, PR_T_PING);
}

static bool send_open(struct cl *cl, int i)
{
	struct pr_session_open open = {
		.client = cl->config.client,
		.slots = cl->config.slots,
		.flags = cl->config.flags,
		.host = pr_bytes_str(cl->config.host),
		.what = pr_bytes_str(cl->config.what),
		.pid = cl->config.pid,
	};
	size_t at;

	if (!begin(cl, i, pr_session_open_size(&open), &at))
		return false;
	must(pr_session_open_encode(&cl->links[i].out, &open));
	end(cl, i, at, PR_T_SESSION_OPEN);
	return true;
}

/*
 * A return may have run though its reply was not seen: to claim that layout again would take it from whom it was granted to since.
 */
static uint8_t layout_held(const struct cl_held *held)
{
	return held->generation > held->returning ? held->layout : PR_LAYOUT_NONE;
}

/* One bind: the held entries from *at_entry on, as many as a message takes. */
static bool send_bind(struct cl *cl, int i, uint32_t *at_entry)
{
	struct pr_session_bind bind = {.session = cl->session, .client = cl->config.client};
	uint32_t e = *at_entry, end_entry = e, n = 0;
	struct pr_buf *out = &cl->links[i].out;
	size_t at, list;

	for (; end_entry < cl->held.size && n < HELD_PER_BIND; end_entry++)
		n += cl->held.at[end_entry].ino != 0;
	bind.flags = end_entry < cl->held.size ? PR_BIND_MORE : 0;
	if (!begin(cl, i, pr_session_bind_size(&bind) + n * PR_MIN_held, &at))
		return false;
	must(pr_session_bind_encode(out, &bind));
	list = pr_tail_open(out);
	for (n = 0; e < end_entry; e++) {
		const struct cl_held *held = &cl->held.at[e];
		uint8_t layout = layout_held(held);

		if (!held->opens && layout == PR_LAYOUT_NONE)
			continue;
		must(pr_held_put(out, &(struct pr_held){.ino = held->ino,
							.opens = held->opens,
							.layout = layout,
							.generation = held->generation}));
		n++;
	}
	pr_tail_close(out, list, n);
	end(cl, i, at, PR_T_SESSION_BIND);
	*at_entry = end_entry;
	return true;
}

static bool send_binds(struct cl *cl, int i)
{
	uint32_t entry = 0;

	cl->binds_left = 0;
	do {
		if (!send_bind(cl, i, &entry))
			return false;
		cl->binds_left++;
	} while (entry < cl->held.size);
	return true;
}

/* ---- who serves ---- */

static void hold(struct cl *cl)
{
	cl->hold_delay_ms = cl->hold_delay_ms ? cl->hold_delay_ms * 2 : HOLD_MIN_MS;
	if (cl->hold_delay_ms > HOLD_MAX_MS)
		cl->hold_delay_ms = HOLD_MAX_MS;
	cl->hold_ms = cl->now_ms + cl->hold_delay_ms;
}

static void leave(struct cl *cl)
{
	bool served = cl->phase == CL_BOUND;

	if (cl->phase == CL_OVER)
		return;
	cl->phase = CL_SEEK;
	cl->cur = -1;
	cl->closing = false;
	if (!served)
		return;
	cl->outage_ms = cl->now_ms;
	cl_requests_unbound(cl);
	cl_emit(cl, CL_FX_SERVING)->on = false;
}

/* The active: says so, with the highest epoch, none lower than one already seen. */
static int active_peer(const struct cl *cl)
{
	int best = -1;

	for (int p = 0; p < CL_PEERS; p++) {
		const struct cl_peer *peer = &cl->peers[p];

		if (peer->role != PR_ROLE_ACTIVE || peer->epoch < cl->epoch)
			continue;
		if (best < 0 || peer->epoch > cl->peers[best].epoch)
			best = p;
	}
	return best;
}

static bool access_may_come(const struct cl *cl, int peer)
{
	const struct cl_link *access = &cl->links[link_at(peer, 0)];
	const struct cl_link *coord = &cl->links[link_at(peer, 1)];

	return (access->state == CL_LINK_CONNECTING || access->state == CL_LINK_HELLO) &&
	       cl->now_ms < coord->since_ms + cl->config.prefer_ms;
}

static int choice(const struct cl *cl)
{
	int peer = active_peer(cl);

	if (peer < 0)
		return -1;
	if (ready(cl, link_at(peer, 0)))
		return link_at(peer, 0);
	if (!ready(cl, link_at(peer, 1)) || access_may_come(cl, peer))
		return -1;
	return link_at(peer, 1);
}

/* It may have been no active yet when it was greeted. */
static void know(struct cl *cl, const struct cl_peer *peer)
{
	cl->cluster = peer->cluster;
	cl->lease_ms = peer->lease_ms;
	if (!pr_uuid_is_zero(&peer->volume))
		cl->volume = peer->volume;
}

static void choose(struct cl *cl)
{
	int i;

	if (cl->phase == CL_OVER)
		return;
	i = choice(cl);
	if (i == cl->cur)
		return;
	leave(cl);
	if (i < 0 || cl->now_ms < cl->hold_ms)
		return;
	cl->cur = i;
	cl->choices++;
	cl->phase = CL_ASK;
	cl->lost = 0;
	cl->epoch = cl->peers[peer_of(i)].epoch;
	know(cl, &cl->peers[peer_of(i)]);
	if (cl->session ? send_binds(cl, i) : send_open(cl, i))
		return;
	hold(cl);
	leave(cl);
}

static void role_said(struct cl *cl, int i, uint8_t role, uint64_t epoch)
{
	struct cl_peer *peer = &cl->peers[peer_of(i)];

	if (role == PR_ROLE_ACTIVE && peer->role == role && epoch < peer->epoch)
		epoch = peer->epoch;
	peer->role = role;
	peer->epoch = epoch;
	/*
	 * Active in a new epoch: what it answered in the old one may still be on its way and would be dropped, and it may have been
	 * standby in between. So the session is bound anew, and everything asked again.
	 */
	if (role == PR_ROLE_ACTIVE && cl->cur >= 0 && peer_of(cl->cur) == peer_of(i) &&
	    epoch > cl->epoch)
		leave(cl);
	choose(cl);
}

void cl_not_active(struct cl *cl, int i)
{
	cl->peers[peer_of(i)].role = PR_ROLE_STANDBY;
	choose(cl);
}

static void serving(struct cl *cl, int i)
{
	struct cl_effect *fx;
	uint64_t gap = cl->now_ms - cl->outage_ms;
	int coord = link_at(peer_of(i), 1);

	cl->phase = CL_BOUND;
	cl->hold_delay_ms = 0;
	if (cl->last_peer >= 0) {
		if (gap > cl->stats.longest_gap_ms)
			cl->stats.longest_gap_ms = (uint32_t)gap;
		cl->stats.failovers += cl->last_peer != peer_of(i);
	}
	cl->last_peer = peer_of(i);
	fx = cl_emit(cl, CL_FX_SERVING);
	fx->on = true;
	fx->gap_ms = (uint32_t)gap;
	fx->peer = peer_of(i);
	fx->lost = cl->lost;
	cl_requests_bound(cl);
	send_ping(cl, i);
	if (i != coord && ready(cl, coord))
		send_ping(cl, coord);
	cl_close_if_idle(cl);
}

/* ---- the life of a link ---- */

static void connect_link(struct cl *cl, int i)
{
	struct cl_link *link = &cl->links[i];
	struct cl_effect *fx;

	cl->next_conn += CL_LINKS;
	link->conn = cl->next_conn + (uint64_t)i;
	link->state = CL_LINK_CONNECTING;
	link->since_ms = cl->now_ms;
	link->out.len = 0;
	fx = cl_emit(cl, CL_FX_CONNECT);
	fx->conn = link->conn;
	fx->peer = peer_of(i);
	fx->port = port_of(i);
}

void cl_links_start(struct cl *cl)
{
	for (int i = 0; i < CL_LINKS; i++) {
		cl->links[i].lost_ms = cl->now_ms;
		cl->links[i].retry_ms = UINT64_MAX;
		if (peer_of(i) < (int)cl->config.peers)
			connect_link(cl, i);
	}
}

static void forget_conn(struct cl *cl, int i)
{
	struct cl_link *link = &cl->links[i];
	int sibling = link_at(peer_of(i), 1 - port_of(i));

	if (link->state == CL_LINK_READY)
		link->lost_ms = cl->now_ms;
	link->state = CL_LINK_IDLE;
	link->conn = 0;
	link->out.len = 0;
	link->delay_ms = link->delay_ms ? link->delay_ms * 2 : cl->config.retry_min_ms;
	if (link->delay_ms > cl->config.retry_max_ms)
		link->delay_ms = cl->config.retry_max_ms;
	link->retry_ms = cl->now_ms + link->delay_ms;
	if (!ready(cl, sibling))
		cl->peers[peer_of(i)].role = CL_ROLE_UNKNOWN;
	if (cl->cur == i)
		leave(cl);
	choose(cl);
}

static void drop(struct cl *cl, int i)
{
	cl_emit(cl, CL_FX_DROP)->conn = cl->links[i].conn;
	forget_conn(cl, i);
}

void cl_link_up(struct cl *cl, int i)
{
	if (cl->links[i].state != CL_LINK_CONNECTING || cl->phase == CL_OVER)
		return;
	cl->links[i].state = CL_LINK_HELLO;
	cl->links[i].heard_ms = cl->now_ms;
	send_hello(cl, i);
}

void cl_link_down(struct cl *cl, int i, int error)
{
	if (error == -EBADMSG)
		cl_warn(cl, "controller %d sent a damaged frame on the %s port; connecting anew",
			peer_of(i) + 1, port_names[port_of(i)]);
	forget_conn(cl, i);
}

/* A port that stays away while its sibling is there: nothing is lost, but somebody should know. */
static void warn_of_port(struct cl *cl, int i)
{
	struct cl_link *link = &cl->links[i];
	int sibling = link_at(peer_of(i), 1 - port_of(i));

	if (link->warned || link->state == CL_LINK_READY || !ready(cl, sibling) ||
	    cl->now_ms < link->lost_ms + cl->config.warn_ms)
		return;
	link->warned = true;
	cl_warn(cl,
		"the %s port of controller %d cannot be reached; everything goes through its %s port",
		port_names[port_of(i)], peer_of(i) + 1, port_names[1 - port_of(i)]);
}

static uint32_t ping_every(const struct cl *cl)
{
	uint32_t every = cl->config.ping_ms;

	return cl->lease_ms && cl->lease_ms / 4 < every ? cl->lease_ms / 4 + 1 : every;
}

/* A controller that lost the connection lets the session's lease run: there must be time to connect anew. */
static uint32_t silence(const struct cl *cl)
{
	uint32_t ms = cl->config.silence_ms;

	return cl->lease_ms && cl->lease_ms / 2 < ms ? cl->lease_ms / 2 : ms;
}

static void tick(struct cl *cl, int i)
{
	struct cl_link *link = &cl->links[i];

	switch (link->state) {
	case CL_LINK_IDLE:
		if (cl->now_ms >= link->retry_ms) {
			cl->stats.reconnects++;
			connect_link(cl, i);
		}
		break;
	case CL_LINK_CONNECTING:
	case CL_LINK_HELLO:
		if (cl->now_ms >= link->since_ms + cl->config.connect_ms)
			drop(cl, i);
		break;
	case CL_LINK_READY:
		if (cl->now_ms >= link->heard_ms + silence(cl))
			drop(cl, i);
		else if (cl->now_ms >= link->ping_ms + ping_every(cl))
			send_ping(cl, i);
		break;
	}
	warn_of_port(cl, i);
}

void cl_links_tick(struct cl *cl)
{
	if (cl->phase == CL_OVER)
		return;
	for (int i = 0; i < CL_LINKS; i++)
		tick(cl, i);
	choose(cl);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t link_wake(const struct cl *cl, int i)
{
	const struct cl_link *link = &cl->links[i];
	uint64_t wake;

	if (link->state == CL_LINK_IDLE)
		wake = link->retry_ms;
	else if (link->state != CL_LINK_READY)
		wake = link->since_ms + cl->config.connect_ms;
	else
		wake = earlier(link->heard_ms + silence(cl), link->ping_ms + ping_every(cl));
	return wake;
}

uint64_t cl_links_wake(const struct cl *cl)
{
	uint64_t wake = UINT64_MAX;
	int peer = active_peer(cl);

	if (cl->phase == CL_OVER)
		return wake;
	for (int i = 0; i < CL_LINKS; i++)
		wake = earlier(wake, link_wake(cl, i));
	if (cl->phase != CL_SEEK || peer < 0)
		return wake;
	if (cl->hold_ms > cl->now_ms)
		wake = earlier(wake, cl->hold_ms);
	if (access_may_come(cl, peer))
		wake = earlier(wake, cl->links[link_at(peer, 1)].since_ms + cl->config.prefer_ms);
	return wake;
}

/* ---- what comes ---- */

void cl_over(struct cl *cl, enum cl_effect_type how, int error, const char *text)
{
	struct cl_effect *fx;

	if (cl->phase == CL_OVER)
		return;
	cl->phase = CL_OVER;
	cl->cur = -1;
	cl->over_error = error;
	cl->evicted = how == CL_FX_EVICTED;
	for (int i = 0; i < CL_LINKS; i++) {
		if (cl->links[i].conn)
			cl_emit(cl, CL_FX_DROP)->conn = cl->links[i].conn;
		cl->links[i].conn = 0;
		cl->links[i].state = CL_LINK_IDLE;
		cl->links[i].out.len = 0;
	}
	fx = cl_emit(cl, how);
	fx->error = error;
	fx->text = text;
	cl_requests_fail(cl, error);
}

/* A controller that does not want us: for a session not yet opened that is the answer, otherwise it
 * may pass. */
static void hello_refused(struct cl *cl, int i, const struct pr_frame *f, const uint8_t *p)
{
	const char *text = cl_reply_text(cl, f, p);

	if (f->status != PR_E_BUSY && f->status != PR_E_NOT_ACTIVE) {
		if (!cl->session) {
			cl_over(cl, CL_FX_FAILED, cl_status_errno(f->status), text);
			return;
		}
		cl_warn(cl, "controller %d refuses this client: %s", peer_of(i) + 1, text);
		cl->links[i].delay_ms = cl->config.retry_max_ms;
	}
	drop(cl, i);
}

static void hello_reply(struct cl *cl, int i, const struct pr_frame *f, const uint8_t *p)
{
	struct cl_link *link = &cl->links[i];
	struct cl_peer *peer = &cl->peers[peer_of(i)];
	struct pr_hello_r r;

	if (link->state != CL_LINK_HELLO)
		return;
	if (f->status) {
		hello_refused(cl, i, f, p);
		return;
	}
	if (pr_hello_r_decode(&r, p, f->length) < 0 || r.version != PR_VERSION) {
		cl_warn(cl, "controller %d answers hello with nonsense", peer_of(i) + 1);
		drop(cl, i);
		return;
	}
	if (cl->session && !pr_uuid_equal(&r.cluster, &cl->cluster)) {
		cl_warn(cl, "controller %d belongs to another cluster now", peer_of(i) + 1);
		link->delay_ms = cl->config.retry_max_ms;
		drop(cl, i);
		return;
	}
	link->state = CL_LINK_READY;
	link->since_ms = link->ping_ms = cl->now_ms;
	link->delay_ms = 0;
	link->warned = false;
	peer->node = r.node;
	peer->cluster = r.cluster;
	peer->volume = r.volume;
	peer->lease_ms = r.lease_ms;
	role_said(cl, i, r.role, r.epoch);
	if (cl->phase == CL_BOUND && port_of(i) == 1 && peer_of(cl->cur) == peer_of(i))
		send_ping(cl, i);
}

static void opened(struct cl *cl, int i, const struct pr_frame *f, const uint8_t *p)
{
	if (f->length) {
		free(cl->opened);
		cl->opened = malloc(f->length);
		if (!cl->opened) {
			hold(cl);
			leave(cl);
			return;
		}
		memcpy(cl->opened, p, f->length);
	}
	if (pr_session_open_r_decode(&cl->open_r, cl->opened, f->length) < 0 ||
	    !cl->open_r.session || !cl->open_r.slots || !cl_slots_make(cl, cl->open_r.slots)) {
		cl_over(cl, CL_FX_FAILED, -EPROTO,
			"the controller's answer to session_open makes no sense");
		return;
	}
	cl->session = cl->open_r.session;
	cl_emit(cl, CL_FX_READY)->open = &cl->open_r;
	serving(cl, i);
}

static void bound(struct cl *cl, int i, const struct pr_frame *f, const uint8_t *p)
{
	struct pr_session_bind_r r;

	if (pr_session_bind_r_decode(&r, p, f->length) < 0) {
		drop(cl, i);
		return;
	}
	cl->lost += r.lost;
	if (--cl->binds_left == 0)
		serving(cl, i);
}

/*
 * What was asked when the link was chosen before may be answered only now. Such an answer to an open would open the session a second
 * time, with slots that begin again at sequence 1.
 */
static bool asked(const struct cl *cl, int i, const struct pr_frame *f)
{
	uint16_t type = cl->session ? PR_T_SESSION_BIND_R : PR_T_SESSION_OPEN_R;

	return cl->phase == CL_ASK && cl->cur == i && f->epoch >= cl->epoch && f->type == type &&
	       f->sequence == cl->choices;
}

static void ask_reply(struct cl *cl, int i, const struct pr_frame *f, const uint8_t *p)
{
	if (!asked(cl, i, f)) {
		cl->stats.late_replies++;
		return;
	}
	switch (f->status) {
	case 0:
		if (f->type == PR_T_SESSION_OPEN_R)
			opened(cl, i, f, p);
		else
			bound(cl, i, f, p);
		break;
	case PR_E_NOT_ACTIVE:
		cl_not_active(cl, i);
		break;
	case PR_E_BUSY:
		hold(cl);
		leave(cl);
		break;
	case PR_E_BAD_SESSION:
		cl_over(cl, CL_FX_EVICTED, -ESTALE, cl_reply_text(cl, f, p));
		break;
	default:
		if (!cl->session) {
			cl_over(cl, CL_FX_FAILED, cl_status_errno(f->status),
				cl_reply_text(cl, f, p));
			break;
		}
		cl_warn(cl, "controller %d refuses to bind the session: %s", peer_of(i) + 1,
			cl_reply_text(cl, f, p));
		hold(cl);
		leave(cl);
		break;
	}
}

static void notice(struct cl *cl, int i, const struct pr_frame *f, const uint8_t *p)
{
	struct pr_notice n;

	if (pr_notice_decode(&n, p, f->length) == 0)
		role_said(cl, i, n.role, n.epoch);
}

static void ping_reply(struct cl *cl, int i, const struct pr_frame *f, const uint8_t *p)
{
	struct pr_ping_r r;

	if (f->status == PR_E_BAD_SESSION && cl->phase == CL_BOUND &&
	    peer_of(cl->cur) == peer_of(i) && f->epoch >= cl->epoch)
		cl_over(cl, CL_FX_EVICTED, -ESTALE, cl_reply_text(cl, f, p));
	else if (f->status == 0 && pr_ping_r_decode(&r, p, f->length) == 0)
		role_said(cl, i, r.role, f->epoch);
}

static void evicted(struct cl *cl, const struct pr_frame *f, const uint8_t *p)
{
	struct pr_evicted e;

	if (f->epoch < cl->epoch || pr_evicted_decode(&e, p, f->length) < 0 ||
	    e.session != cl->session || !cl->session)
		return;
	cl_over(cl, CL_FX_EVICTED, -ESTALE, pr_bytes_copy(cl_text(cl), CL_TEXT_BYTES, e.reason));
}

static void recall(struct cl *cl, const struct pr_frame *f, const uint8_t *p)
{
	struct pr_recall r;

	if (f->epoch >= cl->epoch && pr_recall_decode(&r, p, f->length) == 0)
		cl_recall(cl, r.ino, r.generation, r.mode);
}

void cl_close_if_idle(struct cl *cl)
{
	size_t at;

	if (!cl->close_wanted || cl->closing || cl->phase == CL_OVER)
		return;
	if (!cl->session && cl->phase != CL_ASK) {
		cl_over(cl, CL_FX_CLOSED, -ESHUTDOWN, NULL);
		return;
	}
	if (cl->phase != CL_BOUND || !cl_requests_idle(cl) || !begin(cl, cl->cur, 0, &at))
		return;
	end(cl, cl->cur, at, PR_T_SESSION_CLOSE);
	cl->closing = true;
}

static void close_reply(struct cl *cl, int i, const struct pr_frame *f)
{
	if (!cl->closing || cl->cur != i || f->epoch < cl->epoch)
		return;
	cl->closing = false;
	if (f->status == PR_E_NOT_ACTIVE)
		cl_not_active(cl, i);
	else if (f->status == PR_E_BUSY)
		drop(cl, i);
	else
		cl_over(cl, CL_FX_CLOSED, -ESHUTDOWN, NULL);
}

void cl_link_frame(struct cl *cl, int i, const struct pr_frame *f, const uint8_t *p)
{
	struct cl_link *link = &cl->links[i];

	link->heard_ms = cl->now_ms;
	if (link->state != CL_LINK_READY && f->type != PR_T_HELLO_R)
		return;
	switch (f->type) {
	case PR_T_HELLO_R:
		hello_reply(cl, i, f, p);
		break;
	case PR_T_SESSION_OPEN_R:
	case PR_T_SESSION_BIND_R:
		ask_reply(cl, i, f, p);
		break;
	case PR_T_SESSION_CLOSE_R:
		close_reply(cl, i, f);
		break;
	case PR_T_PING_R:
		ping_reply(cl, i, f, p);
		break;
	case PR_T_NOTICE:
		notice(cl, i, f, p);
		break;
	case PR_T_RECALL:
		recall(cl, f, p);
		break;
	case PR_T_EVICTED:
		evicted(cl, f, p);
		break;
	default:
		cl_request_reply(cl, i, f, p);
		break;
	}
}
