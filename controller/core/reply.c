/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Connections and what is sent on them. A reply leaves when the commit of what it saw is known and
 * while this controller may reply; all that a connection is owed leaves in one send.
 */
#include "controller/core/ctl_int.h"

static struct ctl_conn **conn_bucket(struct ctl *c, uint64_t id)
{
	return &c->conn_buckets[(id * UINT64_C(0x9e3779b97f4a7c15) >> 40) % CTL_CONN_BUCKETS];
}

struct ctl_conn *ctl_conn_find(struct ctl *c, uint64_t id)
{
	struct ctl_conn *conn = *conn_bucket(c, id);

	while (conn && conn->id != id)
		conn = conn->chain;
	return conn;
}

void ctl_conn_up(struct ctl *c, const struct ctl_event *ev)
{
	struct ctl_conn *conn = calloc(1, sizeof(*conn)), **bucket = conn_bucket(c, ev->conn);

	ASSERT_MEMORY(conn);
	ASSERT(!ctl_conn_find(c, ev->conn));
	conn->id = ev->conn;
	if (ev->peer)
		pr_bytes_copy(conn->peer, sizeof(conn->peer), pr_bytes_str(ev->peer));
	ctl_link_init(&conn->ready);
	ctl_link_init(&conn->waiting);
	ctl_link_init(&conn->of_session);
	ctl_link_add(&c->conns, &conn->all);
	conn->chain = *bucket;
	*bucket = conn;
}

/* Nobody finds it any more; its memory is still there. */
static void conn_forget(struct ctl *c, struct ctl_conn *conn)
{
	struct ctl_conn **at = conn_bucket(c, conn->id);

	while (*at != conn)
		at = &(*at)->chain;
	*at = conn->chain;
	ctl_session_detach(c, conn);
	ctl_link_del(&conn->all);
	ctl_link_del(&conn->ready);
	ctl_link_del(&conn->waiting);
}

static void conn_free(struct ctl_conn *conn)
{
	free(conn->free.p);
	free(conn->now.p);
	free(conn->wait.p);
	free(conn->flying.p);
	free(conn->waits);
	free(conn);
}

void ctl_conn_down(struct ctl *c, uint64_t id)
{
	struct ctl_conn *conn = ctl_conn_find(c, id);

	if (!conn)
		return;
	conn_forget(c, conn);
	conn_free(conn);
}

void ctl_conns_bury(struct ctl *c)
{
	for (struct ctl_link *l = c->graves.next, *l_next; l_next = l->next, l != &c->graves;
	     l = l_next) {
		ctl_link_del(l);
		conn_free(CTL_OF(struct ctl_conn, all, l));
	}
}

/* After what was sent before. */
void ctl_conn_close(struct ctl *c, struct ctl_conn *conn)
{
	conn->closing = true;
	if (ctl_link_empty(&conn->ready))
		ctl_link_add(&c->ready, &conn->ready);
}

/* ---- queues ---- */

static void make_ready(struct ctl *c, struct ctl_conn *conn)
{
	if (ctl_link_empty(&conn->ready))
		ctl_link_add(&c->ready, &conn->ready);
}

static void wait_for(struct ctl *c, struct ctl_conn *conn, uint64_t lsn)
{
	struct ctl_wait *last;

	if (conn->wait_count > 0) {
		last = &conn->waits[conn->wait_first + conn->wait_count - 1];
		/* what was queued first leaves first: never earlier than it may, sometimes later */
		if (lsn <= last->lsn) {
			last->end = conn->wait.len;
			return;
		}
	}
	if (conn->wait_first + conn->wait_count == conn->wait_cap) {
		if (conn->wait_first > conn->wait_cap / 2) {
			memmove(conn->waits, conn->waits + conn->wait_first,
				conn->wait_count * sizeof(*conn->waits));
			conn->wait_first = 0;
		} else {
			conn->wait_cap = conn->wait_cap ? conn->wait_cap * 2 : 16;
			conn->waits = realloc(conn->waits, conn->wait_cap * sizeof(*conn->waits));
			ASSERT_MEMORY(conn->waits);
		}
	}
	conn->waits[conn->wait_first + conn->wait_count++] =
		(struct ctl_wait){.lsn = lsn, .end = conn->wait.len};
	if (ctl_link_empty(&conn->waiting))
		ctl_link_add(&c->waiting, &conn->waiting);
}

/*
 * What waited here while the epoch grew was committed by this controller in the epoch of now; clients
 * drop replies of a lower one than they know of.
 */
static void frames_restamp(struct ctl_bytes *b, uint64_t epoch)
{
	struct pr_frame f;

	for (size_t at = 0; at < b->len; at += PR_FRAME_BYTES + f.length) {
		ASSERT(pr_frame_decode(&f, b->p + at, PR_PAYLOAD_MAX) == 0);
		f.epoch = epoch;
		pr_frame_encode_crc(b->p + at, &f, f.payload_crc);
	}
}

static void frame_put(struct ctl_bytes *b, const struct pr_frame *f, const void *payload)
{
	uint8_t header[PR_FRAME_BYTES];

	pr_frame_encode(header, f, payload);
	ctl_bytes_add(b, header, sizeof(header));
	ctl_bytes_add(b, payload, f->length);
}

/* The epoch that all of what waits carries; 0 when it carries several. */
static void stamp_note(struct ctl_conn *conn, uint64_t epoch)
{
	if (conn->now.len == 0 && conn->wait.len == conn->wait_start)
		conn->stamp_epoch = epoch;
	else if (conn->stamp_epoch != epoch)
		conn->stamp_epoch = 0;
}

void ctl_send(struct ctl *c, struct ctl_conn *conn, struct pr_frame *f, const void *payload,
	      uint32_t len, enum ctl_gate gate)
{
	if (conn->closing)
		return;
	f->length = len;
	f->epoch = c->booted ? ha_epoch(c->ha) : 0;
	if (gate == GATE_FREE) {
		frame_put(&conn->free, f, payload);
		make_ready(c, conn);
	} else if (f->lsn <= c->commit) {
		stamp_note(conn, f->epoch);
		frame_put(&conn->now, f, payload);
		make_ready(c, conn);
	} else {
		stamp_note(conn, f->epoch);
		frame_put(&conn->wait, f, payload);
		wait_for(c, conn, f->lsn);
	}
	if (conn->free.len + conn->now.len + conn->wait.len - conn->wait_start > CTL_QUEUE_MAX) {
		ctl_log(c, 5, "client %s takes no replies: closed", conn->peer);
		ctl_conn_close(c, conn);
	}
}

void ctl_reply(struct ctl *c, struct ctl_conn *conn, const struct pr_frame *f, int status,
	       const void *payload, uint32_t len, uint64_t lsn, enum ctl_gate gate)
{
	struct pr_frame r = {
		.type = f->type | PR_T_REPLY,
		.session = f->session,
		.sequence = f->sequence,
		.slot = f->slot,
		.status = (uint32_t)(status < 0 ? -status : status),
		.lsn = lsn,
	};
	uint8_t text[600];
	struct pr_buf b = pr_buf_on(text, sizeof(text));

	if (!conn)
		return;
	if (status) {
		struct pr_error e = {
			.text = pr_bytes_str(c->why[0] ? c->why : pr_status_text(r.status))};

		ASSERT(pr_error_encode(&b, &e) == 0);
		payload = text;
		len = (uint32_t)b.len;
	}
	ctl_send(c, conn, &r, payload, len, gate);
}

static void conn_committed(struct ctl *c, struct ctl_conn *conn, uint64_t commit)
{
	size_t end = conn->wait_start;

	while (conn->wait_count > 0 && conn->waits[conn->wait_first].lsn <= commit) {
		end = conn->waits[conn->wait_first].end;
		conn->wait_first++;
		conn->wait_count--;
	}
	if (end == conn->wait_start)
		return;
	ctl_bytes_add(&conn->now, conn->wait.p + conn->wait_start, end - conn->wait_start);
	conn->wait_start = end;
	make_ready(c, conn);
	if (conn->wait_count > 0)
		return;
	conn->wait.len = conn->wait_start = 0;
	conn->wait_first = 0;
	ctl_link_del(&conn->waiting);
}

void ctl_replies_committed(struct ctl *c)
{
	for (struct ctl_link *l = c->waiting.next, *l_next; l_next = l->next, l != &c->waiting;
	     l = l_next)
		conn_committed(c, CTL_OF(struct ctl_conn, waiting, l), c->commit);
	if (c->admin_wait_count > 0)
		ctl_admin_committed(c);
}

void ctl_replies_free(struct ctl *c)
{
	for (struct ctl_link *l = c->waiting.next, *l_next; l_next = l->next, l != &c->waiting;
	     l = l_next)
		conn_committed(c, CTL_OF(struct ctl_conn, waiting, l), UINT64_MAX);
	for (struct ctl_link *r = c->ready.next, *r_next; r_next = r->next, r != &c->ready;
	     r = r_next) {
		struct ctl_conn *conn = CTL_OF(struct ctl_conn, ready, r);

		ctl_bytes_add(&conn->free, conn->now.p, conn->now.len);
		conn->now.len = 0;
	}
}

void ctl_replies_shift(struct ctl *c, uint64_t from, uint64_t delta)
{
	for (struct ctl_link *l = c->waiting.next, *l_next; l_next = l->next, l != &c->waiting;
	     l = l_next) {
		struct ctl_conn *conn = CTL_OF(struct ctl_conn, waiting, l);

		for (uint32_t i = 0; i < conn->wait_count; i++)
			if (conn->waits[conn->wait_first + i].lsn >= from)
				conn->waits[conn->wait_first + i].lsn += delta;
	}
}

void ctl_replies_drop(struct ctl_conn *conn)
{
	conn->now.len = 0;
	conn->wait.len = conn->wait_start = 0;
	conn->wait_first = conn->wait_count = 0;
	ctl_link_del(&conn->waiting);
}

/* ---- sends ---- */

static bool send_one(struct ctl *c, struct ctl_conn *conn, bool may_reply)
{
	struct ctl_bytes old = conn->flying;
	struct ctl_effect *fx;

	if (may_reply && conn->now.len > 0) {
		if (conn->stamp_epoch != ha_epoch(c->ha))
			frames_restamp(&conn->now, ha_epoch(c->ha));
		if (conn->free.len == 0) {
			struct ctl_bytes swap = conn->free;

			conn->free = conn->now;
			conn->now = swap;
		} else {
			ctl_bytes_add(&conn->free, conn->now.p, conn->now.len);
			conn->now.len = 0;
		}
		if (c->first_op_ms == 0)
			c->first_op_ms = c->now_ms;
	}
	if (conn->free.len > 0) {
		conn->flying = conn->free;
		conn->free = old;
		conn->free.len = 0;
		if (conn->free.cap > 256 << 10) {
			free(conn->free.p);
			memset(&conn->free, 0, sizeof(conn->free));
		}
		fx = ctl_emit(c, CTL_FX_SEND);
		fx->conn = conn->id;
		fx->p = conn->flying.p;
		fx->len = (uint32_t)conn->flying.len;
	}
	if (!conn->closing)
		return conn->now.len == 0;
	ctl_emit(c, CTL_FX_CLOSE)->conn = conn->id;
	conn_forget(c, conn);
	ctl_link_add(&c->graves, &conn->all);
	return false;
}

void ctl_sends(struct ctl *c)
{
	bool may_reply = c->serving && ha_may_reply(c->ha, c->now_ms);

	for (struct ctl_link *l = c->ready.next, *l_next; l_next = l->next, l != &c->ready;
	     l = l_next)
		if (send_one(c, CTL_OF(struct ctl_conn, ready, l), may_reply))
			ctl_link_del(l);
}
