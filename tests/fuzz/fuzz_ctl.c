/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A whole controller as a stream of events, without a peer: clients that ask and say anything, disks, store and arbiter that answer
 * late, in another order or with an error, its death and what it finds then. No input ends the process by an assertion, and the core
 * keeps its contract: whole sound frames to connections that are there, one answer to one question, no flush beyond the commit, no
 * epoch saved that is lower than before. What a client was told stands after a death with all that was not durable lost.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "controller/core/ctl.h"
#include "journal/core/jr_state.h"
#include "proto/crc32c.h"
#include "tests/fuzz/fuzz_ctl_ask.h"
#include "tests/sim/simdisk.h"
#include "tests/sim/simstore.h"

enum { SEGMENTS = 3, SEGMENT_BYTES = 64 << 10, RING_SLOTS = 16 };
enum { JOBS_MAX = 512, CONNS = 4, EVENTS_MAX = 192, LIVES_MAX = 3 };
enum { STEPS_MAX = 20000, QUIET_MS_MAX = 60000, TICKET_PROMOTE = 1, TICKETS = 256 };

struct job {
	struct ctl_event ev;
	struct ctl_fetch fetch;
	struct ctl_flush *flush;
	struct ha_arbiter expect, next;
	bool disk;
};

struct conn {
	uint64_t id;	      /* 0: there is none */
	uint16_t asked[1024]; /* by type, not answered yet */
	uint64_t sequence;
};

struct world {
	struct fuzz_in in;
	struct ctl_config cfg;
	struct ctl *ctl;
	struct simdisk *disk;
	struct simstore *store;
	struct ha_arbiter arbiter;
	uint8_t state[HA_STATE_BYTES];
	bool has_state, died, link;
	uint64_t now_ms, timer_ms, epoch_saved, conns_made, link_conn;
	struct job job[JOBS_MAX];
	unsigned int jobs, lives;
	struct conn conn[CONNS];
	struct ask_known known;
	bool admin_asked[TICKETS];
	uint8_t tickets;
	uint32_t seen_crc, seen_count; /* of the answers to the last look */
	bool looking;
	uint64_t look_conn;
};

static const uint8_t cluster[16] = "the only one up";

static struct conn *conn_of(struct world *w, uint64_t id)
{
	for (unsigned int i = 0; i < CONNS; i++)
		if (w->conn[i].id == id)
			return &w->conn[i];
	return NULL;
}

/* ---- answers ---- */

static void know_ino(struct world *w, uint64_t ino)
{
	struct ask_known *k = &w->known;

	for (unsigned int i = 0; i < k->inos; i++)
		if (k->ino[i] == ino)
			return;
	if (k->inos < ASK_INOS)
		k->ino[k->inos++] = ino;
}

static void learn(struct world *w, const struct pr_frame *f, const uint8_t *p)
{
	struct pr_session_open_r open;
	struct pr_create_r create;
	struct pr_mkdir_r dir;
	struct pr_lookup_r lookup;
	struct pr_layout_get_r layout;

	switch (f->type) {
	case PR_T_SESSION_OPEN_R:
		FUZZ_CHECK(pr_session_open_r_decode(&open, p, f->length) == 0);
		w->known.root = open.root;
		w->known.session = open.session;
		break;
	case PR_T_CREATE_R:
		FUZZ_CHECK(pr_create_r_decode(&create, p, f->length) == 0);
		know_ino(w, create.attr.ino);
		break;
	case PR_T_MKDIR_R:
		FUZZ_CHECK(pr_mkdir_r_decode(&dir, p, f->length) == 0);
		know_ino(w, dir.attr.ino);
		break;
	case PR_T_LOOKUP_R:
		FUZZ_CHECK(pr_lookup_r_decode(&lookup, p, f->length) == 0);
		know_ino(w, lookup.attr.ino);
		break;
	case PR_T_LAYOUT_GET_R:
		FUZZ_CHECK(pr_layout_get_r_decode(&layout, p, f->length) == 0);
		w->known.generation = layout.generation;
		break;
	default:
		break;
	}
}

static void receive(struct world *w, const struct ctl_effect *fx)
{
	struct conn *c = conn_of(w, fx->conn);
	const uint8_t *p = fx->p, *end = fx->p + fx->len;
	struct pr_error error;
	struct pr_frame f;

	FUZZ_CHECK(fx->conn && c, "a frame for a connection that is not there");
	while (p < end) {
		FUZZ_CHECK(end - p >= PR_FRAME_BYTES);
		FUZZ_CHECK(pr_frame_decode(&f, p, PR_PAYLOAD_MAX) == 0);
		p += PR_FRAME_BYTES;
		FUZZ_CHECK((size_t)(end - p) >= f.length && pr_frame_check_payload(&f, p) == 0);
		if (f.status)
			FUZZ_CHECK(pr_error_decode(&error, p, f.length) == 0);
		else
			FUZZ_CHECK(pr_message_check(f.type, p, f.length) == 0);
		if (f.type & 0x8000) {
			FUZZ_CHECK(c->asked[f.type & 0x3ff] > 0, "an answer to no question");
			c->asked[f.type & 0x3ff]--;
		}
		if (!f.status)
			learn(w, &f, p);
		if (w->looking && fx->conn == w->look_conn && f.type == PR_T_LOOKUP_R) {
			w->seen_crc += (pr_crc32c(p, f.length) + f.status) * (2 * f.slot + 1);
			w->seen_count++;
		}
		p += f.length;
	}
}

/* ---- what the core orders ---- */

static struct job *later(struct world *w, enum ctl_event_type type)
{
	struct job *j;

	FUZZ_CHECK(w->jobs < JOBS_MAX, "the core orders more and more");
	j = &w->job[w->jobs++];
	*j = (struct job){.ev = {.type = type}};
	return j;
}

static void journal_io(struct world *w, const struct jr_io *io)
{
	struct simdisk_op op = {.write = io->write,
				.append = io->file == JR_ARCHIVE,
				.file = io->file,
				.offset = io->offset,
				.buffer = io->buffer,
				.bytes = io->bytes,
				.tag = io->tag};

	simdisk_submit(w->disk, &op);
	later(w, CTL_EV_JOURNAL_IO)->disk = true;
}

static void effect(struct world *w, struct ctl_effect *fx)
{
	struct conn *c;
	struct job *j;

	switch (fx->type) {
	case CTL_FX_SEND:
		receive(w, fx);
		break;
	case CTL_FX_CLOSE:
		c = conn_of(w, fx->conn);
		FUZZ_CHECK(fx->conn && c, "a connection is closed that is not there");
		c->id = 0;
		break;
	case CTL_FX_LINK_SEND:
		FUZZ_CHECK(w->link && fx->conn == w->link_conn);
		jr_batch_unref(fx->batch);
		break;
	case CTL_FX_LINK_CLOSE:
		w->link = false;
		break;
	case CTL_FX_JOURNAL_IO:
		journal_io(w, &fx->io);
		break;
	case CTL_FX_FETCH:
		j = later(w, CTL_EV_ROWS);
		j->fetch = fx->fetch;
		j->ev.ticket = fx->ticket;
		break;
	case CTL_FX_FLUSH:
		FUZZ_CHECK(fx->lsn <= ha_commit_lsn(ctl_ha(w->ctl)), "a flush beyond the commit");
		j = later(w, CTL_EV_FLUSHED);
		j->flush = fx->flush;
		j->ev.lsn = fx->lsn;
		break;
	case CTL_FX_COPY_READ:
		j = later(w, CTL_EV_COPY_ROWS);
		j->ev.last = true;
		j->ev.lsn = simstore_lsn(w->store);
		break;
	case CTL_FX_COPY_BEGIN:
	case CTL_FX_COPY_PUT:
	case CTL_FX_COPY_END:
		later(w, CTL_EV_COPY_APPLIED)->ev.error = -EIO;
		break;
	case CTL_FX_SAVE_STATE:
		FUZZ_CHECK(fx->state->epoch >= w->epoch_saved, "an epoch that falls");
		w->epoch_saved = fx->state->epoch;
		ha_state_encode(w->state, fx->state);
		w->has_state = true;
		later(w, CTL_EV_STATE_SAVED);
		break;
	case CTL_FX_ARB_READ:
		later(w, CTL_EV_ARB_READ);
		break;
	case CTL_FX_ARB_CAS:
		j = later(w, CTL_EV_ARB_CAS);
		j->expect = fx->expect;
		j->next = fx->next;
		break;
	case CTL_FX_ARB_FLOOR:
		later(w, CTL_EV_ARB_FLOOR);
		break;
	case CTL_FX_PREEMPT:
		later(w, CTL_EV_PREEMPTED);
		break;
	case CTL_FX_ASK_FENCE:
		later(w, CTL_EV_FENCE)->ev.incarnation = fx->incarnation;
		break;
	case CTL_FX_FENCE_CLIENT:
		later(w, CTL_EV_CLIENT_FENCED)->ev.session = fx->session;
		break;
	case CTL_FX_ADMIN_REPLY:
		FUZZ_CHECK(fx->ticket < TICKETS && w->admin_asked[fx->ticket],
			   "an answer to no command");
		w->admin_asked[fx->ticket] = false;
		break;
	case CTL_FX_TIMER:
		w->timer_ms = fx->at_ms;
		break;
	case CTL_FX_DIE:
		w->died = true;
		break;
	case CTL_FX_COPY_KEEP:
	case CTL_FX_SCORE:
	case CTL_FX_ORDER_RESULT:
	case CTL_FX_ROLE:
	case CTL_FX_ALARM:
	case CTL_FX_LOG:
		break;
	}
}

static void step(struct world *w, struct ctl_event ev)
{
	struct ctl_effect fx;

	if (w->died)
		return;
	ev.now_ms = w->now_ms;
	ev.real_ns = (int64_t)(INT64_C(1700000000000000000) + (int64_t)w->now_ms * 1000000);
	ev.random = w->now_ms * 0x9e3779b97f4a7c15;
	ctl_step(w->ctl, &ev);
	while (!w->died && ctl_next(w->ctl, &fx))
		effect(w, &fx);
}

static void pump(struct world *w)
{
	step(w, (struct ctl_event){.type = CTL_EV_PUMP});
}

/* ---- completions ---- */

static bool same(const struct ha_arbiter *a, const struct ha_arbiter *b)
{
	uint8_t x[HA_ARBITER_BYTES], y[HA_ARBITER_BYTES];

	ha_arbiter_encode(x, a);
	ha_arbiter_encode(y, b);
	return memcmp(x, y, sizeof(x)) == 0;
}

/* The first of its kind that waits: completions of one thing keep their order, only the journal's do not. */
static unsigned int first_like(const struct world *w, unsigned int i)
{
	unsigned int k = 0;

	while (w->job[k].ev.type != w->job[i].ev.type)
		k++;
	return k;
}

static void complete(struct world *w, unsigned int i, bool fails)
{
	struct ctl_row *rows = NULL;
	struct ha_arbiter stands;
	struct job j;

	i = first_like(w, i);
	j = w->job[i];
	w->jobs--;
	memmove(w->job + i, w->job + i + 1, (w->jobs - i) * sizeof(w->job[0]));
	switch (j.ev.type) {
	case CTL_EV_JOURNAL_IO:
		j.ev.error = simdisk_complete(w->disk, fails ? simdisk_pending(w->disk) - 1 : 0,
					      &j.ev.tag);
		break;
	case CTL_EV_ROWS:
		rows = calloc(j.fetch.rows_max, sizeof(*rows));
		j.ev.error = fails ? -EIO : 0;
		j.ev.row_count = simstore_fetch(w->store, &j.fetch, rows, &j.ev.complete);
		j.ev.rows = rows;
		break;
	case CTL_EV_FLUSHED:
		j.ev.error = fails ? -EIO : 0;
		if (!fails)
			simstore_flush(w->store, j.flush, j.ev.lsn);
		break;
	case CTL_EV_ARB_CAS:
		j.ev.error = fails ? -EIO : same(&w->arbiter, &j.expect) ? 0 : -ESTALE;
		if (!j.ev.error || (fails && fuzz_u8(&w->in) % 2))
			w->arbiter = j.next;
		break;
	case CTL_EV_ARB_READ:
	case CTL_EV_ARB_FLOOR:
	case CTL_EV_PREEMPTED:
	case CTL_EV_FENCE:
	case CTL_EV_CLIENT_FENCED:
		j.ev.error = fails ? -EIO : 0;
		break;
	default:
		break;
	}
	stands = w->arbiter;
	j.ev.arbiter = &stands;
	step(w, j.ev);
	free(rows);
	pump(w);
}

static void settle(struct world *w)
{
	for (unsigned int n = 0; w->jobs > 0 && !w->died; n++) {
		FUZZ_CHECK(n < STEPS_MAX, "the core never comes to rest");
		complete(w, 0, false);
	}
}

/* Until it serves or until: time goes by from timer to timer. */
static void wait_ms(struct world *w, uint64_t ms)
{
	uint64_t end = w->now_ms + ms;

	settle(w);
	while (!w->died && w->timer_ms <= end) {
		w->now_ms = w->timer_ms > w->now_ms ? w->timer_ms : w->now_ms;
		w->timer_ms = UINT64_MAX;
		step(w, (struct ctl_event){.type = CTL_EV_TIMER});
		pump(w);
		settle(w);
	}
	w->now_ms = end;
}

/* ---- its life ---- */

static bool serves(const struct world *w)
{
	return !w->died && ha_role(ctl_ha(w->ctl)) == PR_ROLE_ACTIVE;
}

static void boot(struct world *w)
{
	struct ctl_event ev = {.type = CTL_EV_BOOT, .store_lsn = simstore_lsn(w->store)};
	struct ha_state st;
	char why[256];

	w->cfg.incarnation++;
	w->died = false;
	w->timer_ms = UINT64_MAX;
	w->ctl = ctl_new(&w->cfg, why);
	FUZZ_CHECK(w->ctl, "%s", why);
	ev.error = w->has_state ? 0 : -ENOENT;
	if (w->has_state) {
		FUZZ_CHECK(ha_state_decode(&st, w->state) == 0);
		ev.state = &st;
	}
	step(w, ev);
	settle(w);
	step(w, (struct ctl_event){
			.type = CTL_EV_PEER, .incarnation = 1, .node_up = true, .quorate = true});
	step(w, (struct ctl_event){.type = CTL_EV_FENCE, .incarnation = 1, .text = "proven"});
	settle(w);
	step(w, (struct ctl_event){.type = CTL_EV_PROMOTE, .ticket = TICKET_PROMOTE});
	for (int i = 0; i < 40 && !w->died && !serves(w); i++)
		wait_ms(w, 50);
	wait_ms(w, 50);
}

static void die(struct world *w, enum simdisk_crash fate)
{
	ctl_free(w->ctl);
	w->ctl = NULL;
	w->jobs = 0;
	memset(w->conn, 0, sizeof(w->conn));
	memset(w->admin_asked, 0, sizeof(w->admin_asked));
	w->link = false;
	simdisk_crash(w->disk, fate);
	w->lives++;
}

static void admin(struct world *w, const char *text)
{
	uint8_t ticket = w->tickets++;

	if (w->admin_asked[ticket])
		return;
	w->admin_asked[ticket] = true;
	step(w, (struct ctl_event){.type = CTL_EV_ADMIN, .ticket = ticket, .text = text});
}

static void make_volume(struct world *w)
{
	admin(w, "volume-create vol1 00000000-0000-4000-8000-0000000000aa lun1 "
		 "00000000-0000-4000-8000-0000000000bb 256 64 -");
	wait_ms(w, 50);
}

static void begin(struct world *w, const uint8_t *p, size_t len)
{
	uint8_t how;

	*w = (struct world){.in = {p, len}, .now_ms = 1000, .conns_made = 1};
	how = fuzz_u8(&w->in);
	w->cfg = (struct ctl_config){
		.ha = {.node = 1,
		       .beat_ms = 50,
		       .lease_ms = 600,
		       .drop_ms = 5000,
		       .link_dead_ms = 400,
		       .in_flight = 1 + how % 2},
		.journal = {.segment_bytes = SEGMENT_BYTES,
			    .segments = SEGMENTS,
			    .ring_slots = RING_SLOTS,
			    .in_flight = 1 + how % 2},
		.address = {"10.0.0.1", "10.0.0.2"},
		.lease_ms = 2000,
		.sessions_max = 4,
		.slots_max = 4,
		.cache_bytes = 16 << 10,
		.overlay_bytes = how & 2 ? 16 << 10 : 64 << 10,
		.flush_ms = how & 4 ? 100 : 5000,
		.batch_bytes_max = 32 << 10,
	};
	memcpy(w->cfg.ha.cluster, cluster, 16);
	memcpy(w->cfg.journal.cluster, cluster, 16);
	w->disk = simdisk_new(how);
	simdisk_file(w->disk, 0, (uint64_t)RING_SLOTS * JR_PAGE_BYTES);
	for (uint32_t i = 1; i <= SEGMENTS; i++)
		simdisk_file(w->disk, i, SEGMENT_BYTES);
	simdisk_file(w->disk, JR_ARCHIVE, 0);
	w->store = simstore_new();
	w->arbiter = (struct ha_arbiter){.seq = 1, .members = 3};
	memcpy(w->arbiter.cluster, cluster, 16);
}

/* ---- clients ---- */

static size_t take_bytes(struct world *w, void *out, size_t n)
{
	size_t len;
	const uint8_t *p = fuzz_bytes(&w->in, n, &len);

	memcpy(out, p, len);
	return len;
}

static void give(struct world *w, struct conn *c, struct pr_frame *f, const uint8_t *p)
{
	/* Exactly as long as it is: a sanitizer sees one byte read too many. */
	uint8_t *copy = malloc(f->length ? f->length : 1);

	if (f->length)
		memcpy(copy, p, f->length);
	c->asked[f->type & 0x3ff]++;
	f->version = PR_VERSION;
	step(w,
	     (struct ctl_event){
		     .type = CTL_EV_FRAME, .conn = c->id, .frame = f, .p = copy, .len = f->length});
	free(copy);
}

static void connect_client(struct world *w, struct conn *c)
{
	if (c->id)
		return;
	memset(c, 0, sizeof(*c));
	c->id = ++w->conns_made;
	step(w, (struct ctl_event){.type = CTL_EV_CONN_UP, .conn = c->id, .peer = "fuzz"});
}

static void hang_up(struct world *w, struct conn *c)
{
	uint64_t id = c->id;

	if (!id)
		return;
	c->id = 0;
	step(w, (struct ctl_event){.type = CTL_EV_CONN_DOWN, .conn = id});
}

static void ask(struct world *w, struct conn *c)
{
	uint8_t room[8192], how = fuzz_u8(&w->in);
	struct pr_buf b = pr_buf_on(room, sizeof(room));
	struct pr_frame f = {.epoch = ha_epoch(ctl_ha(w->ctl)), .session = w->known.session};
	size_t len;

	if (!c->id)
		connect_client(w, c);
	if (!c->id)
		return;
	w->known.client = (uint8_t)(1 + (c - w->conn) % 2);
	f.slot = how % 4 == 3 ? how / 4 : how % 2;
	f.sequence = how & 16 ? how / 32 : ++c->sequence;
	if (how & 8 && how & 4) {
		f.type = (uint16_t)fuzz_take(&w->in, 2);
		f.session = how & 64 ? w->known.session : fuzz_u8(&w->in);
		len = take_bytes(w, room, fuzz_u8(&w->in));
		b.len = len;
	} else {
		f.type = fuzz_ctl_ask(&w->in, &w->known, &b);
	}
	f.length = (uint32_t)b.len;
	if (f.type)
		give(w, c, &f, room);
}

#define TELL(w, c, slot_, NAME, name, ...)                                 \
	do {                                                               \
		struct pr_##name m_ = {__VA_ARGS__};                       \
		uint8_t room_[512];                                        \
		struct pr_buf b_ = pr_buf_on(room_, sizeof(room_));        \
		struct pr_frame f_ = {.type = PR_T_##NAME,                 \
				      .slot = slot_,                       \
				      .epoch = ha_epoch(ctl_ha((w)->ctl)), \
				      .session = (w)->known.session};      \
		FUZZ_CHECK(pr_##name##_encode(&b_, &m_) == 0);             \
		f_.length = (uint32_t)b_.len;                              \
		if ((c)->id && !(w)->died)                                 \
			give(w, c, &f_, room_);                            \
	} while (0)

static void open_session(struct world *w, struct conn *c, uint8_t client)
{
	struct pr_uuid uuid = {{client}};

	hang_up(w, c);
	connect_client(w, c);
	TELL(w, c, 0, HELLO, hello, .version_min = PR_VERSION, .version_max = PR_VERSION,
	     .client = uuid, .volume = pr_bytes_str("vol1"), .host = pr_bytes_str("h"));
	TELL(w, c, 0, SESSION_OPEN, session_open, .client = uuid, .slots = 4,
	     .host = pr_bytes_str("h"), .what = pr_bytes_str("w"));
	pump(w);
	settle(w);
}

/* ---- events ---- */

static void link_event(struct world *w, uint8_t how)
{
	struct pr_frame f = {.version = PR_VERSION, .epoch = ha_epoch(ctl_ha(w->ctl))};
	uint8_t room[256];
	size_t len;

	if (!w->link) {
		w->link = true;
		w->link_conn = ++w->conns_made;
		step(w, (struct ctl_event){.type = CTL_EV_LINK_UP, .conn = w->link_conn});
		return;
	}
	if (how % 4 == 0) {
		w->link = false;
		step(w, (struct ctl_event){.type = CTL_EV_LINK_DOWN, .conn = w->link_conn});
		return;
	}
	f.type = (uint16_t)(0x0500 + fuzz_u8(&w->in) % 24);
	len = take_bytes(w, room, fuzz_u8(&w->in));
	f.length = (uint32_t)len;
	step(w, (struct ctl_event){.type = CTL_EV_LINK_FRAME,
				   .conn = w->link_conn,
				   .frame = &f,
				   .p = room,
				   .len = f.length});
}

static void admin_event(struct world *w, uint8_t how)
{
	static const char *const lines[] = {"status",  "sessions", "volumes", "switchover",
					    "resync",  "evict 1",  "verify",  "session-evict 1",
					    "locks",   "",	   "help",    "scrub",
					    "override"};
	char text[64];
	size_t len;

	if (how % 16 < sizeof(lines) / sizeof(lines[0])) {
		admin(w, lines[how % 16]);
		return;
	}
	len = take_bytes(w, text, fuzz_u8(&w->in) % 60);
	text[len] = '\0';
	admin(w, text);
}

static void live_on(struct world *w, uint8_t how)
{
	if (w->lives >= LIVES_MAX)
		return;
	die(w, how % 3 == 0 ? SIMDISK_DROP : how % 3 == 1 ? SIMDISK_KEEP : SIMDISK_TEAR);
	boot(w);
}

static void event(struct world *w)
{
	uint8_t what = fuzz_u8(&w->in), how = what >> 4;
	struct conn *c = &w->conn[how % CONNS];

	switch (what % 16) {
	case 0:
		if (w->jobs)
			complete(w, fuzz_below(&w->in, w->jobs), false);
		break;
	case 1:
		settle(w);
		break;
	case 2:
		if (w->jobs && how < 4)
			complete(w, fuzz_below(&w->in, w->jobs), true);
		else
			pump(w);
		break;
	case 3:
		w->now_ms += (uint64_t)1 << how;
		step(w, (struct ctl_event){.type = CTL_EV_TIMER});
		break;
	case 4:
		open_session(w, c, (uint8_t)(1 + how % 2));
		break;
	case 5:
		hang_up(w, c);
		break;
	case 6:
		admin_event(w, how);
		break;
	case 7:
		link_event(w, how);
		break;
	case 8:
		if (how == 0)
			live_on(w, fuzz_u8(&w->in));
		else if (how == 1)
			wait_ms(w, 3000);
		else if (how == 2)
			step(w, (struct ctl_event){.type = CTL_EV_DEMOTE, .ticket = how});
		else
			ask(w, c);
		break;
	default:
		ask(w, c);
		if (how & 1)
			pump(w);
	}
}

/* ---- what it says after a death is what it said before ---- */

/* Each name of the root, as its own client sees it; false: it does not serve. */
static bool look(struct world *w, uint32_t *ret_crc)
{
	static const char *const names[] = {"a", "b", "dir", "a longer name than the others"};
	struct conn *c = &w->conn[0];

	if (!serves(w))
		return false;
	w->known.session = 0;
	open_session(w, c, 99);
	wait_ms(w, 100);
	if (!c->id || !serves(w) || w->known.session == 0)
		return false;
	w->looking = true;
	w->look_conn = c->id;
	w->seen_crc = w->seen_count = 0;
	for (uint32_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		TELL(w, c, i, LOOKUP, lookup, .parent = w->known.root,
		     .name = pr_bytes_str(names[i]));
	pump(w);
	for (unsigned int ms = 0; ms < QUIET_MS_MAX && w->seen_count < 4 && c->id && serves(w);
	     ms += 500) {
		wait_ms(w, 500);
		TELL(w, c, 0, PING, ping, .nonce = 1);
		pump(w);
	}
	w->looking = false;
	*ret_crc = w->seen_crc;
	return w->seen_count >= 4;
}

static void one(const uint8_t *p, size_t len)
{
	static struct world w;
	uint32_t before, after;

	begin(&w, p, len);
	boot(&w);
	make_volume(&w);
	for (unsigned int i = 0; i < EVENTS_MAX && w.in.left > 0; i++) {
		if (w.died && w.lives >= LIVES_MAX)
			break;
		if (w.died)
			live_on(&w, fuzz_u8(&w.in));
		else if (w.jobs + 64 > JOBS_MAX)
			settle(&w);
		else
			event(&w);
	}
	if (!w.died && look(&w, &before) && w.jobs == 0) {
		die(&w, SIMDISK_DROP);
		boot(&w);
		FUZZ_CHECK(serves(&w), "it does not serve again");
		FUZZ_CHECK(look(&w, &after) && before == after,
			   "what it had told is another after its death");
	}
	ctl_free(w.ctl);
	simdisk_free(w.disk);
	simstore_free(w.store);
}

FUZZ_TARGET(ctl)
