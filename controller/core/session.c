/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Clients: greeting, sessions and their leases, what happens to a session that is gone. A session is a
 * row before its first reply; the lease, the connections and what it holds are volatile.
 */
#include <stdio.h>
#include "controller/core/ctl_int.h"

static struct ctl_session **bucket_of(struct ctl *c, uint64_t id)
{
	return &c->session_buckets[id % CTL_SESSION_BUCKETS];
}

struct ctl_session *ctl_session_find(struct ctl *c, uint64_t id)
{
	struct ctl_session *s = *bucket_of(c, id);

	while (s && s->id != id)
		s = s->chain;
	return s;
}

static struct ctl_session *find_client(struct ctl *c, const struct pr_uuid *client)
{
	for (struct ctl_link *l = c->sessions.next; l != &c->sessions; l = l->next) {
		struct ctl_session *s = CTL_OF(struct ctl_session, all, l);

		if (pr_uuid_equal(&s->client, client))
			return s;
	}
	return NULL;
}

static void set_rebound(struct ctl *c, struct ctl_session *s, bool rebound)
{
	if (s->rebound == rebound)
		return;
	s->rebound = rebound;
	s->was_bound |= rebound;
	if (!c->serving)
		return;
	c->unbound += rebound ? -1u : 1u;
	if (rebound)
		ctl_layouts_moved(c);
}

static void set_settling(struct ctl *c, struct ctl_session *s, bool settling)
{
	if (s->settling == settling)
		return;
	ASSERT(settling || c->settling > 0);
	s->settling = settling;
	c->settling += settling ? 1u : -1u;
	if (!settling && c->serving)
		ctl_layouts_moved(c);
}

/* All that the client asks again since its bind has come, and of each slot it is known whether that was executed before. */
static bool heard_all(const struct ctl_session *s)
{
	for (uint32_t i = 0; i < s->slot_count; i++)
		if (s->slots[i].refused ||
		    (s->slots[i].busy &&
		     ctl_may_be_stored(&s->slots[i], s->slots[i].busy->frame.sequence)))
			return false;
	return true;
}

/* ---- rows ---- */

static struct ctl_session *session_new(struct ctl *c, uint64_t id, uint32_t slots)
{
	struct ctl_session *s = calloc(1, sizeof(*s)), **bucket = bucket_of(c, id);

	ASSERT_MEMORY(s);
	s->id = id;
	s->slot_count = slots;
	s->slots = calloc(slots ? slots : 1, sizeof(*s->slots));
	ASSERT_MEMORY(s->slots);
	for (uint32_t i = 0; i < slots; i++)
		s->slots[i].known = c->serving;
	s->rebound = s->was_bound = c->serving;
	s->lease_ms = c->served_ms + c->cfg.lease_ms;
	ctl_link_init(&s->conns);
	ctl_link_init(&s->held);
	ctl_link_add(&c->sessions, &s->all);
	s->chain = *bucket;
	*bucket = s;
	c->session_count++;
	return s;
}

void ctl_session_row(struct ctl *c, uint64_t id, const struct pr_row_session *row, uint64_t lsn)
{
	struct ctl_session *s = ctl_session_find(c, id);

	if (!row) {
		if (s)
			ctl_session_gone(c, s,
					 s->evicted ? "evicted by an administrator"
						    : "the session has ended");
		return;
	}
	if (!s)
		s = session_new(c, id, row->slots);
	s->lsn = lsn;
	s->client = row->client;
	s->volume = row->volume;
	s->key = row->key;
	s->flags = row->flags;
	s->fence = row->fence;
	s->pid = row->pid;
	s->opened_ns = row->opened_ns;
	pr_bytes_copy(s->host, sizeof(s->host), row->host);
	pr_bytes_copy(s->what, sizeof(s->what), row->what);
	if (s->fence)
		set_settling(c, s, false); /* it is told nothing any more */
}

static void push_evicted(struct ctl *c, struct ctl_session *s, const char *reason)
{
	struct pr_evicted e = {.session = s->id, .reason = pr_bytes_str(reason)};
	uint8_t bytes[300];

	for (struct ctl_link *l = s->conns.next, *l_next; l_next = l->next, l != &s->conns;
	     l = l_next) {
		struct pr_frame f = {.type = PR_T_EVICTED, .session = s->id};
		struct pr_buf b = pr_buf_on(bytes, sizeof(bytes));

		ASSERT(pr_evicted_encode(&b, &e) == 0);
		ctl_send(c, CTL_OF(struct ctl_conn, of_session, l), &f, bytes, (uint32_t)b.len,
			 GATE_FREE);
	}
}

/* reason NULL: silently, the controller itself forgets. */
void ctl_session_gone(struct ctl *c, struct ctl_session *s, const char *reason)
{
	struct ctl_session **at = bucket_of(c, s->id);

	if (reason && s->ending && c->serving)
		push_evicted(c, s, reason);
	set_rebound(c, s, true);
	set_settling(c, s, false);
	ctl_session_unbind(c, s);
	while (*at != s)
		at = &(*at)->chain;
	*at = s->chain;
	ctl_link_del(&s->all);
	c->session_count--;
	free(s->slots);
	free(s);
	if (c->serving)
		ctl_layouts_moved(c);
}

void ctl_session_detach(struct ctl *c, struct ctl_conn *conn)
{
	struct ctl_session *s = conn->session;

	if (!s)
		return;
	ctl_link_del(&conn->of_session);
	conn->session = NULL;
	conn->carries = false;
	if (ctl_link_empty(&s->conns) && c->served_ms + c->cfg.lease_ms > s->lease_ms)
		s->lease_ms = c->served_ms + c->cfg.lease_ms;
}

void ctl_session_unbind(struct ctl *c, struct ctl_session *s)
{
	for (struct ctl_link *l = s->conns.next, *l_next; l_next = l->next, l != &s->conns;
	     l = l_next)
		ctl_session_detach(c, CTL_OF(struct ctl_conn, of_session, l));
	ctl_held_drop_all(c, s);
}

/* alone: connections of the same kind that the session had before are closed. */
void ctl_session_attach(struct ctl *c, struct ctl_session *s, struct ctl_conn *conn, bool alone)
{
	for (struct ctl_link *l = s->conns.next, *l_next; l_next = l->next, l != &s->conns;
	     l = l_next) {
		struct ctl_conn *old = CTL_OF(struct ctl_conn, of_session, l);

		if (alone)
			old->carries = false;
		if (!alone || old == conn ||
		    (old->channel && conn->channel && old->channel != conn->channel))
			continue;
		ctl_session_detach(c, old);
		ctl_conn_close(c, old);
	}
	if (conn->session != s) {
		ctl_session_detach(c, conn);
		conn->session = s;
		ctl_link_add(&s->conns, &conn->of_session);
	}
	if (alone)
		conn->carries = true;
	s->lease_ms = c->served_ms + c->cfg.lease_ms;
}

/* ---- greeting ---- */

static int greet(struct ctl *c, struct ctl_conn *conn, const struct pr_hello *q,
		 struct pr_hello_r *r)
{
	char uuid[2][PR_UUID_TEXT];
	struct ctl_volume *v;
	struct pr_uuid cluster;

	memcpy(cluster.b, c->cfg.ha.cluster, sizeof(cluster.b));
	if (q->version_min > PR_VERSION || q->version_max < PR_VERSION) {
		ctl_why(c,
			"this controller speaks protocol version %u, the client %u to %u: install the same release on both",
			PR_VERSION, q->version_min, q->version_max);
		return PR_E_VERSION;
	}
	if (!pr_uuid_is_zero(&q->cluster) && !pr_uuid_equal(&q->cluster, &cluster)) {
		ctl_why(c,
			"this is cluster %s, the client wants %s: check the addresses it was given",
			pr_uuid_format(uuid[0], &cluster), pr_uuid_format(uuid[1], &q->cluster));
		return PR_E_CLUSTER;
	}
	pr_bytes_copy(conn->volume, sizeof(conn->volume), q->volume);
	pr_bytes_copy(conn->host, sizeof(conn->host), q->host);
	conn->client = q->client;
	conn->channel = q->channel;
	v = ctl_volume_by_name(c, conn->volume);
	if (!v && c->serving && conn->volume[0]) {
		ctl_why(c,
			"there is no volume '%s' on this cluster: 'mdcctl volume list' names those there are",
			conn->volume);
		return PR_E_VOLUME;
	}
	*r = (struct pr_hello_r){
		.version = PR_VERSION,
		.cluster = cluster,
		.node = c->cfg.ha.node,
		.role = ctl_role(c),
		.epoch = c->booted ? ha_epoch(c->ha) : 0,
		.lease_ms = c->cfg.lease_ms,
		.slots_max = c->cfg.slots_max,
		.payload_max = PR_PAYLOAD_MAX,
		.link_ms = c->cfg.ha.beat_ms,
	};
	if (v)
		r->volume = v->uuid;
	ctl_active_address(c, &r->active);
	return 0;
}

void ctl_hello(struct ctl *c, struct ctl_conn *conn, const struct pr_frame *f, const uint8_t *p)
{
	struct pr_hello q;
	struct pr_hello_r r;
	uint8_t bytes[512];
	struct pr_buf b = pr_buf_on(bytes, sizeof(bytes));
	int err;

	c->why[0] = 0;
	if (pr_hello_decode(&q, p, f->length)) {
		ctl_why(c, "the greeting makes no sense");
		err = -EBADMSG;
	} else {
		err = greet(c, conn, &q, &r);
	}
	if (!err)
		ASSERT(pr_hello_r_encode(&b, &r) == 0);
	ctl_reply(c, conn, f, err, bytes, (uint32_t)b.len, 0, GATE_FREE);
	if (err)
		ctl_conn_close(c, conn);
	else
		conn->greeted = true;
}

void ctl_notices(struct ctl *c)
{
	struct pr_notice n = {
		.node = c->cfg.ha.node, .role = ctl_role(c), .epoch = ha_epoch(c->ha)};
	uint8_t bytes[400];
	struct pr_buf b = pr_buf_on(bytes, sizeof(bytes));

	ctl_active_address(c, &n.active);
	ASSERT(pr_notice_encode(&b, &n) == 0);
	for (struct ctl_link *l = c->conns.next, *l_next; l_next = l->next, l != &c->conns;
	     l = l_next) {
		struct ctl_conn *conn = CTL_OF(struct ctl_conn, all, l);
		struct pr_frame f = {.type = PR_T_NOTICE};

		if (conn->greeted)
			ctl_send(c, conn, &f, bytes, (uint32_t)b.len, GATE_FREE);
	}
}

/* ---- lease ---- */

/*
 * Leases and recalls run on the time in which this controller served. While it stood still, which shows as a step that comes later than the
 * tick it had asked for, what clients sent was not read; while it held its replies nobody could bind. Neither counts against them.
 */
void ctl_served(struct ctl *c, uint64_t now_ms)
{
	uint64_t gap_ms = now_ms - c->now_ms;

	if (c->serving && !c->hold && !c->drain)
		c->served_ms += gap_ms < CTL_TICK_MS ? gap_ms : CTL_TICK_MS;
}

void ctl_ping(struct ctl *c, struct ctl_conn *conn, const struct pr_frame *f, const uint8_t *p)
{
	struct ctl_session *s = f->session ? ctl_session_find(c, f->session) : NULL;
	struct pr_ping q;
	struct pr_ping_r r;
	uint8_t bytes[64];
	struct pr_buf b = pr_buf_on(bytes, sizeof(bytes));
	int err = 0;

	c->why[0] = 0;
	if (pr_ping_decode(&q, p, f->length)) {
		err = -EBADMSG;
	} else if (c->serving && f->session &&
		   (!s || !pr_uuid_equal(&s->client, &conn->client) || s->ending || s->fence)) {
		err = PR_E_BAD_SESSION;
	} else {
		if (s && c->serving && f->epoch >= c->serving_epoch) {
			ctl_session_attach(c, s, conn, false);
			if (s->settling && conn->carries && !s->binding &&
			    f->sequence == s->bind_sequence && heard_all(s))
				set_settling(c, s, false);
		}
		r = (struct pr_ping_r){.nonce = q.nonce, .role = ctl_role(c)};
		ASSERT(pr_ping_r_encode(&b, &r) == 0);
	}
	ctl_reply(c, conn, f, err, bytes, (uint32_t)b.len, 0, GATE_FREE);
}

static uint64_t rebind_until(const struct ctl *c)
{
	return c->served_ms + 3ull * c->cfg.lease_ms;
}

static uint32_t bind_held(struct ctl *c, struct ctl_session *s, struct pr_list list)
{
	struct pr_held e;
	uint32_t lost = 0;

	while (pr_held_next(&list, &e)) {
		struct ctl_held *h;

		if (e.layout != PR_LAYOUT_NONE) {
			/* nothing else can have been granted meanwhile, unless this session was thought gone */
			bool in_the_way = false;

			for (struct ctl_link *l = c->sessions.next; l != &c->sessions;
			     l = l->next) {
				struct ctl_session *o = CTL_OF(struct ctl_session, all, l);

				h = o != s && o->volume == s->volume ? ctl_held_find(c, o, e.ino)
								     : NULL;
				if (h && h->mode != PR_LAYOUT_NONE &&
				    (h->mode == PR_LAYOUT_WRITE || e.layout == PR_LAYOUT_WRITE))
					in_the_way = true;
			}
			if (in_the_way) {
				lost++;
				e.layout = PR_LAYOUT_NONE;
			}
		}
		if (e.opens == 0 && e.layout == PR_LAYOUT_NONE)
			continue;
		h = ctl_held_make(c, s, e.ino);
		h->opens = e.opens;
		h->mode = e.layout;
		h->generation = e.generation;
		h->wrote = e.layout == PR_LAYOUT_WRITE;
	}
	return lost;
}

void ctl_bind(struct ctl *c, struct ctl_conn *conn, const struct pr_frame *f, const uint8_t *p)
{
	struct pr_session_bind q;
	struct pr_session_bind_r r = {0};
	struct ctl_session *s;
	uint8_t bytes[16];
	struct pr_buf b = pr_buf_on(bytes, sizeof(bytes));
	bool begins;

	c->why[0] = 0;
	if (pr_session_bind_decode(&q, p, f->length)) {
		ctl_reply(c, conn, f, -EBADMSG, NULL, 0, 0, GATE_FREE);
		return;
	}
	if (!c->serving || c->drain) {
		ctl_reply(c, conn, f, PR_E_NOT_ACTIVE, NULL, 0, 0, GATE_FREE);
		return;
	}
	if (f->epoch < c->serving_epoch)
		return; /* on its way since this controller was active before: what it claims is long another's */
	s = ctl_session_find(c, q.session);
	if (!s || !pr_uuid_equal(&s->client, &q.client) || s->ending || s->fence) {
		ctl_reply(c, conn, f, PR_E_BAD_SESSION, NULL, 0, s ? s->lsn : c->submitted,
			  GATE_COMMIT);
		return;
	}
	if (f->sequence < s->bind_sequence)
		return; /* overtaken by a later one on another connection; nobody waits for its answer */
	/* The one before it may have been cut off between its parts. */
	begins = !s->binding || f->sequence > s->bind_sequence;
	s->bind_sequence = f->sequence;
	ctl_session_attach(c, s, conn, true);
	if (begins) {
		/*
		 * The client sends all again. What failed, or has not run yet, leaves no trace in its slot and runs then: it must not
		 * hear of both.
		 */
		ctl_replies_drop(conn);
		ctl_ops_forget(c, s->id);
		set_rebound(c, s, false); /* until all parts are here nothing is granted */
		s->rebind_ms = rebind_until(c);
		for (uint32_t i = 0; i < s->slot_count; i++)
			s->slots[i].refused = false;
		/* and until all was asked again nothing is reaped; a reader's requests are not stored */
		set_settling(c, s, !(s->flags & PR_OPEN_READER));
		for (struct ctl_link *l = s->held.next; l != &s->held; l = l->next)
			CTL_OF(struct ctl_held, of_session, l)->wrote = false;
		ctl_held_drop_all(c, s);
	}
	r.lost = bind_held(c, s, q.held);
	s->binding = q.flags & PR_BIND_MORE;
	if (!s->binding)
		set_rebound(c, s, true);
	ASSERT(pr_session_bind_r_encode(&b, &r) == 0);
	ctl_reply(c, conn, f, 0, bytes, (uint32_t)b.len, s->lsn, GATE_COMMIT);
}

void ctl_sessions_serve(struct ctl *c)
{
	c->unbound = c->settling = 0;
	for (struct ctl_link *l = c->sessions.next; l != &c->sessions; l = l->next) {
		struct ctl_session *s = CTL_OF(struct ctl_session, all, l);

		s->bind_sequence = 0;
		s->rebound = s->was_bound = s->binding = s->ending = s->fencing = false;
		s->settling = false;
		s->lease_ms = c->served_ms + c->cfg.lease_ms;
		s->rebind_ms = rebind_until(c);
		for (uint32_t i = 0; i < s->slot_count; i++)
			s->slots[i] = (struct ctl_slot){0};
		if (s->fence) {
			s->ending = true;
			s->fence_retry_ms = c->now_ms;
		}
		c->unbound++;
	}
}

/* ---- the end of a session ---- */

static void end_session(struct ctl *c, struct ctl_session *s, bool fence)
{
	s->ending = true;
	ctl_log(c, 5, "session %llu of %s (%s) is gone: %s", (unsigned long long)s->id, s->host,
		s->what,
		fence	     ? "its host is fenced from the LUNs"
		: s->evicted ? "evicted"
			     : "closed");
	ctl_job(c, fence ? &ctl_kind_fence : &ctl_kind_end, s->volume, s->id);
}

const char *ctl_session_state(const struct ctl_session *s)
{
	if (s->fence)
		return "being fenced";
	if (s->ending)
		return "ending";
	if (!s->rebound)
		return ctl_link_empty(&s->conns) ? "not back" : "binding";
	if (ctl_link_empty(&s->conns))
		return "lost";
	return s->settling ? "binding" : "live";
}

/* It ends then at the latest if the client stays silent. */
uint64_t ctl_session_lease_left_ms(const struct ctl *c, const struct ctl_session *s)
{
	uint64_t end = s->lease_ms;

	if (!ctl_link_empty(&s->conns))
		end += 2ull * c->cfg.lease_ms;
	return end > c->served_ms ? end - c->served_ms : 0;
}

int ctl_session_evict(struct ctl *c, struct ctl_session *s)
{
	if (s->ending || s->fence)
		return -EALREADY;
	s->evicted = true;
	end_session(c, s, !s->rebound || ctl_session_holds_layouts(s));
	return 0;
}

static void lease_check(struct ctl *c, struct ctl_session *s)
{
	bool silent = c->served_ms >= s->lease_ms + 2ull * c->cfg.lease_ms;

	if (!s->rebound && c->served_ms >= s->rebind_ms) {
		end_session(c, s, true);
		return;
	}
	if (silent)
		for (struct ctl_link *l = s->conns.next, *l_next; l_next = l->next, l != &s->conns;
		     l = l_next) {
			struct ctl_conn *conn = CTL_OF(struct ctl_conn, of_session, l);
			uint64_t lease = s->lease_ms;

			ctl_session_detach(c, conn);
			ctl_conn_close(c, conn);
			s->lease_ms = lease;
		}
	if (ctl_link_empty(&s->conns) && c->served_ms >= s->lease_ms)
		end_session(c, s, !s->rebound || ctl_session_holds_layouts(s));
}

void ctl_fences_ask(struct ctl *c)
{
	for (struct ctl_link *l = c->sessions.next; l != &c->sessions; l = l->next) {
		struct ctl_session *s = CTL_OF(struct ctl_session, all, l);
		struct ctl_effect *fx;

		if (s->fence != PR_FENCE_INTENDED || s->fencing || s->lsn > c->commit ||
		    c->now_ms < s->fence_retry_ms)
			continue;
		s->fencing = true;
		fx = ctl_emit(c, CTL_FX_FENCE_CLIENT);
		fx->session = s->id;
		fx->key = s->key;
	}
}

void ctl_client_fenced(struct ctl *c, uint64_t session, int error)
{
	struct ctl_session *s = ctl_session_find(c, session);

	if (!s || !c->serving || !s->fencing)
		return;
	if (error) {
		ctl_log(c, 3, "session %llu of %s could not be fenced (error %d): tried again",
			(unsigned long long)s->id, s->host, -error);
		s->fencing = false;
		s->fence_retry_ms = c->now_ms + 1000;
		return;
	}
	ctl_job(c, &ctl_kind_end, s->volume, s->id);
}

void ctl_sessions_tick(struct ctl *c)
{
	for (struct ctl_link *l = c->sessions.next, *l_next; l_next = l->next, l != &c->sessions;
	     l = l_next) {
		struct ctl_session *s = CTL_OF(struct ctl_session, all, l);

		if (!s->ending && !c->hold)
			lease_check(c, s);
	}
	ctl_fences_ask(c);
}

/* ---- operations ---- */

static int list_luns(struct tx *tx, struct pr_list *ret)
{
	struct pr_buf *buf = tx_scratch(tx);
	size_t start = buf->len;
	struct pr_key at, found;
	struct pr_bytes value;
	int r;

	*ret = (struct pr_list){0};
	pr_key_vlun(&at, tx->volume, 0);
	while ((r = tx_seek(tx, &at, 3, 1, &found, &value)) == 0) {
		struct pr_row_vlun row;
		struct pr_lun_ref ref;
		uint16_t volume, lun;

		ASSERT(pr_row_vlun_decode(&row, value.p, value.len) == 0);
		ASSERT(pr_key_parse_vlun(found.b, found.len, &volume, &lun) == 0);
		ref = (struct pr_lun_ref){.lun = lun,
					  .uuid = row.uuid,
					  .blocks = row.blocks,
					  .name = row.name,
					  .hint = row.hint};
		ASSERT(pr_lun_ref_put(buf, &ref) == 0);
		ret->count++;
		if (lun == UINT16_MAX)
			break;
		pr_key_vlun(&at, tx->volume, (uint16_t)(lun + 1));
	}
	ret->p = buf->p + start;
	ret->len = (uint32_t)(buf->len - start);
	return r == -ENOENT ? 0 : r;
}

static uint32_t free_key(struct ctl *c)
{
	for (uint32_t key = 1;; key++) {
		bool used = false;

		for (struct ctl_link *l = c->sessions.next; l != &c->sessions && !used; l = l->next)
			used = CTL_OF(struct ctl_session, all, l)->key == key;
		if (!used)
			return key;
	}
}

static const char *duration(char out[32], uint64_t ms)
{
	uint64_t s = ms / 1000;

	if (s < 120)
		snprintf(out, 32, "%llu s", (unsigned long long)s);
	else if (s < 7200)
		snprintf(out, 32, "%llu min", (unsigned long long)(s / 60));
	else
		snprintf(out, 32, "%llu h %llu min", (unsigned long long)(s / 3600),
			 (unsigned long long)(s / 60 % 60));
	return out;
}

/* Who holds the volume, since when, until when, and what to do about it. */
static void why_mounted(struct ctl *c, const struct ctl_session *s, int64_t now_ns)
{
	const struct ctl_volume *v = ctl_volume_find(c, s->volume);
	unsigned long long id = s->id;
	char age[32], left[32], who[400];

	snprintf(who, sizeof(who),
		 "'%s' is mounted by %.100s (%.120s, pid %u, session %llu) for %s",
		 v ? v->name : "", s->host, s->what, s->pid, id,
		 duration(age,
			  now_ns > s->opened_ns ? (uint64_t)(now_ns - s->opened_ns) / 1000000 : 0));
	if (s->fence)
		ctl_why(c,
			"%s: it is gone and being fenced from the LUNs, which ends when its process lets go of them: see 'mdcctl clients'",
			who);
	else if (!ctl_link_empty(&s->conns))
		ctl_why(c, "%s: unmount it there first", who);
	else
		ctl_why(c,
			"%s: %s, its lease ends in %s: try again then, or end it now by 'mdcctl clients evict %llu'",
			who,
			s->rebound ? "its connection is lost" : "it is not back since the failover",
			duration(left, ctl_session_lease_left_ms(c, s) + 999), id);
}

/* An exclusive mount of another client stands in the way: PR_E_MOUNTED, or OP_WAIT when that one is just closing. */
static int mounted(struct ctl *c, const struct pr_session_open *q, uint16_t volume, int64_t now_ns)
{
	for (struct ctl_link *l = c->sessions.next; l != &c->sessions; l = l->next) {
		struct ctl_session *s = CTL_OF(struct ctl_session, all, l);

		if (s->volume != volume || !(s->flags & q->flags & PR_OPEN_EXCLUSIVE))
			continue;
		if (s->ending && !s->fence)
			return OP_WAIT;
		why_mounted(c, s, now_ns);
		return PR_E_MOUNTED;
	}
	return 0;
}

static int make_session(struct ctl *c, struct tx *tx, const struct pr_session_open *q,
			uint64_t *ret_id, struct pr_row_session *ret)
{
	struct pr_row_meta meta = {0};
	int r = tx_get_meta(tx, &meta);

	if (r && r != -ENOENT)
		return r;
	if (meta.next_session == 0)
		meta.next_session = 1;
	*ret_id = meta.next_session++;
	meta.format = 1;
	meta.time_ns = (uint64_t)tx->now_ns;
	tx_put_meta(tx, &meta);
	*ret = (struct pr_row_session){
		.client = q->client,
		.volume = tx->volume,
		.slots = q->slots == 0		       ? 1
			 : q->slots > c->cfg.slots_max ? c->cfg.slots_max
						       : q->slots,
		.key = free_key(c),
		.flags = q->flags,
		.host = q->host,
		.what = q->what,
		.pid = q->pid,
		.opened_ns = tx->now_ns,
	};
	tx_put_session(tx, *ret_id, ret);
	return 0;
}

int run_session_open(struct ctl *c, struct ctl_op *op, struct tx *tx, struct pr_buf *out)
{
	struct pr_session_open q;
	struct pr_session_open_r r;
	struct pr_row_session row;
	struct ctl_session *s;
	struct ctl_volume *v = ctl_volume_find(c, op->volume);
	int err;

	if (pr_session_open_decode(&q, op->p, op->frame.length))
		return OP_BAD;
	if (!v) {
		ctl_why(c, "the connection named no volume of this cluster");
		return PR_E_VOLUME;
	}
	s = find_client(c, &q.client);
	if (s && (s->ending || s->fence))
		return OP_WAIT;
	if (s && s->volume != op->volume) {
		ctl_why(c, "this client has a session for another volume already");
		return -EINVAL;
	}
	if (!s) {
		err = mounted(c, &q, op->volume, tx->now_ns);
		if (!err && c->session_count >= c->cfg.sessions_max) {
			ctl_why(c, "there are %u sessions already, the limit of this controller",
				c->session_count);
			err = PR_E_BUSY;
		}
		if (!err)
			err = make_session(c, tx, &q, &op->arg, &row);
		if (err)
			return err;
	} else {
		op->arg = s->id;
		row.slots = s->slot_count;
		row.key = s->key;
		if (s->lsn > tx->saw_lsn)
			tx->saw_lsn = s->lsn;
	}
	r = (struct pr_session_open_r){.session = op->arg,
				       .slots = row.slots,
				       .key = row.key,
				       .root = v->root,
				       .block_bytes = v->block_bytes};
	err = list_luns(tx, &r.luns);
	if (err)
		return err;
	return pr_session_open_r_encode(out, &r) ? -EMSGSIZE : 0;
}

void done_session_open(struct ctl *c, struct ctl_op *op, const struct pr_buf *out, uint64_t lsn)
{
	struct ctl_session *s = ctl_session_find(c, op->arg);
	struct ctl_conn *conn = ctl_conn_find(c, op->conn);

	ASSERT(s);
	if (op->frame.sequence < s->bind_sequence)
		return;
	s->bind_sequence = op->frame.sequence;
	if (conn && !conn->closing)
		ctl_session_attach(c, s, conn, true);
	s->binding = false;
	set_rebound(c, s, true);
}

static int delete_rows(struct tx *tx, struct ctl_session *s)
{
	struct pr_row_slot slot;
	struct pr_key key;
	int r;

	for (uint32_t i = 0; i < s->slot_count; i++)
		if (!s->slots[i].known) {
			pr_key_slot(&key, s->id, i);
			tx_prefetch(tx, &key);
		}
	for (uint32_t i = 0; i < s->slot_count; i++) {
		if (s->slots[i].known && s->slots[i].sequence == 0)
			continue;
		r = tx_get_slot(tx, s->id, i, &slot);
		if (r == TX_MISS)
			return r;
		if (r == 0)
			tx_del_slot(tx, s->id, i);
	}
	tx_del_session(tx, s->id);
	return 0;
}

int run_session_close(struct ctl *c, struct ctl_op *op, struct tx *tx, struct pr_buf *out)
{
	struct ctl_session *s = ctl_session_find(c, op->session);

	return s ? delete_rows(tx, s) : 0;
}

int run_session_end(struct ctl *c, struct ctl_op *op, struct tx *tx, struct pr_buf *out)
{
	struct ctl_session *s = ctl_session_find(c, op->arg);

	return s ? delete_rows(tx, s) : 0;
}

int run_session_fence(struct ctl *c, struct ctl_op *op, struct tx *tx, struct pr_buf *out)
{
	struct pr_row_session row;
	int r = tx_get_session(tx, op->arg, &row);

	if (r)
		return r == -ENOENT ? 0 : r;
	row.fence = PR_FENCE_INTENDED;
	tx_put_session(tx, op->arg, &row);
	return 0;
}
