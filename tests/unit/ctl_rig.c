/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>
#include <stdio.h>
#include "tests/unit/ctl_rig.h"

enum { SEGMENT_BYTES = 1 << 20, SEGMENTS = 8, RING_SLOTS = 64 };

void rig_open(struct rig *g)
{
	memset(g, 0, sizeof(*g));
	g->config = (struct ctl_config){
		.ha = {.node = 1,
		       .beat_ms = 50,
		       .lease_ms = 600,
		       .drop_ms = 5000,
		       .link_dead_ms = 400,
		       .in_flight = 2},
		.journal = {.segment_bytes = SEGMENT_BYTES,
			    .segments = SEGMENTS,
			    .ring_slots = RING_SLOTS,
			    .in_flight = 2},
		.incarnation = 1,
		.address = {"10.0.0.1", "10.0.0.2"},
		.lease_ms = 10000,
		.sessions_max = 64,
		.slots_max = 64,
		.cache_bytes = 4 << 20,
		.overlay_bytes = 8 << 20,
		.flush_ms = 5000,
		.batch_bytes_max = 512 << 10,
	};
	memset(g->config.ha.cluster, 0xc5, 16);
	memset(g->config.journal.cluster, 0xc5, 16);
	g->disk = simdisk_new(1);
	simdisk_file(g->disk, 0, (uint64_t)RING_SLOTS * JR_PAGE_BYTES);
	for (uint32_t i = 1; i <= SEGMENTS; i++)
		simdisk_file(g->disk, i, SEGMENT_BYTES);
	simdisk_file(g->disk, 255, 0);
	g->store = simstore_new();
	g->arbiter = (struct ha_arbiter){.seq = 1, .members = 3};
	memset(g->arbiter.cluster, 0xc5, 16);
	g->arbiter_set = true;
	g->now_ms = 1000;
	g->real_ns = INT64_C(1700000000000000000);
	g->timer_ms = UINT64_MAX;
	g->next_conn = 1;
}

static void drop_mail(struct rig *g)
{
	for (unsigned i = 0; i < g->inbox_count; i++)
		free(g->inbox[i].p);
	g->inbox_count = 0;
}

void rig_crash(struct rig *g)
{
	ctl_free(g->ctl);
	g->ctl = NULL;
	while (g->queue_count > 0) {
		free(g->queue[g->queue_first++ % RIG_QUEUE_MAX].rows);
		g->queue_count--;
	}
	simdisk_crash(g->disk, SIMDISK_KEEP);
	drop_mail(g);
	g->timer_ms = UINT64_MAX;
	g->config.incarnation++;
}

void rig_close(struct rig *g)
{
	rig_crash(g);
	simdisk_free(g->disk);
	simstore_free(g->store);
}

/* ---- what the controller orders ---- */

static struct rig_job *later(struct rig *g, enum ctl_event_type type)
{
	struct rig_job *j;

	cr_assert_lt(g->queue_count, RIG_QUEUE_MAX);
	j = &g->queue[(g->queue_first + g->queue_count++) % RIG_QUEUE_MAX];
	memset(j, 0, sizeof(*j));
	j->ev.type = type;
	return j;
}

static void receive(struct rig *g, const struct ctl_effect *fx)
{
	const uint8_t *p = fx->p, *end = fx->p + fx->len;

	g->sends++;
	while (p < end) {
		struct rig_mail *m = &g->inbox[g->inbox_count++];

		cr_assert_lt(g->inbox_count, RIG_INBOX_MAX);
		cr_assert_eq(pr_frame_decode(&m->f, p, PR_PAYLOAD_MAX), 0);
		p += PR_FRAME_BYTES;
		cr_assert_eq(pr_frame_check_payload(&m->f, p), 0);
		m->conn = fx->conn;
		m->p = malloc(m->f.length + 1);
		memcpy(m->p, p, m->f.length);
		p += m->f.length;
	}
	cr_assert_eq(p, end);
}

static bool same_arbiter(const struct ha_arbiter *a, const struct ha_arbiter *b)
{
	uint8_t x[HA_ARBITER_BYTES], y[HA_ARBITER_BYTES];

	ha_arbiter_encode(x, a);
	ha_arbiter_encode(y, b);
	return memcmp(x, y, sizeof(x)) == 0;
}

static void arbiter_cas(struct rig *g, const struct ctl_effect *fx)
{
	struct rig_job *j = later(g, CTL_EV_ARB_CAS);

	if (g->arbiter_set && !same_arbiter(&g->arbiter, &fx->expect)) {
		j->ev.error = -ESTALE;
	} else {
		g->arbiter = fx->next;
		g->arbiter_set = true;
	}
	j->ev.arbiter = &g->arbiter;
}

static void effect(struct rig *g, struct ctl_effect *fx)
{
	struct rig_job *j;

	switch (fx->type) {
	case CTL_FX_SEND:
		receive(g, fx);
		break;
	case CTL_FX_CLOSE:
		g->closes++;
		break;
	case CTL_FX_JOURNAL_IO: {
		struct simdisk_op op = {.write = fx->io.write,
					.append = fx->io.file == 255,
					.file = fx->io.file,
					.offset = fx->io.offset,
					.buffer = fx->io.buffer,
					.bytes = fx->io.bytes,
					.tag = fx->io.tag};

		simdisk_submit(g->disk, &op);
		later(g, CTL_EV_JOURNAL_IO)->disk = true;
		break;
	}
	case CTL_FX_FETCH:
		g->fetches++;
		j = later(g, CTL_EV_ROWS);
		j->fetch = fx->fetch;
		j->ev.ticket = fx->ticket;
		j->rows = calloc(fx->fetch.rows_max, sizeof(*j->rows));
		break;
	case CTL_FX_FLUSH:
		cr_assert_leq(fx->lsn, ha_commit_lsn(ctl_ha(g->ctl)));
		g->flushes++;
		simstore_flush(g->store, fx->flush, fx->lsn);
		later(g, CTL_EV_FLUSHED)->ev.lsn = fx->lsn;
		break;
	case CTL_FX_SAVE_STATE:
		ha_state_encode(g->state, fx->state);
		g->has_state = true;
		later(g, CTL_EV_STATE_SAVED);
		break;
	case CTL_FX_ARB_READ:
		j = later(g, CTL_EV_ARB_READ);
		j->ev.error = g->arbiter_set ? 0 : -ENOENT;
		j->ev.arbiter = &g->arbiter;
		break;
	case CTL_FX_ARB_CAS:
		arbiter_cas(g, fx);
		break;
	case CTL_FX_ARB_FLOOR:
		later(g, CTL_EV_ARB_FLOOR);
		break;
	case CTL_FX_PREEMPT:
		later(g, CTL_EV_PREEMPTED);
		break;
	case CTL_FX_ASK_FENCE:
		later(g, CTL_EV_FENCE)->ev.incarnation = fx->incarnation;
		break;
	case CTL_FX_FENCE_CLIENT:
		g->fence_asked = fx->session;
		if (!g->hold_fence)
			later(g, CTL_EV_CLIENT_FENCED)->ev.session = fx->session;
		break;
	case CTL_FX_ADMIN_REPLY:
		snprintf(g->admin, sizeof(g->admin), "%.*s", (int)fx->len, (const char *)fx->p);
		g->admin_error = fx->error;
		break;
	case CTL_FX_TIMER:
		g->timer_ms = fx->at_ms;
		break;
	case CTL_FX_DIE:
		snprintf(g->died, sizeof(g->died), "%s", fx->text);
		break;
	case CTL_FX_ORDER_RESULT:
		cr_assert_eq(fx->error, 0, "refused: %s", fx->text);
		break;
	default:
		break;
	}
}

void rig_step(struct rig *g, struct ctl_event *ev)
{
	struct ctl_effect fx;

	ev->now_ms = g->now_ms;
	ev->real_ns = g->real_ns += 1000;
	ev->random = g->real_ns;
	ctl_step(g->ctl, ev);
	while (ctl_next(g->ctl, &fx))
		effect(g, &fx);
}

static bool held_back(const struct rig *g, const struct rig_job *j)
{
	return (g->hold_disk && j->disk) || (g->hold_store && j->ev.type == CTL_EV_ROWS) ||
	       (g->hold_flush && j->ev.type == CTL_EV_FLUSHED);
}

static void do_job(struct rig *g, struct rig_job *j)
{
	if (j->disk)
		j->ev.error = simdisk_complete(g->disk, 0, &j->ev.tag);
	if (j->ev.type == CTL_EV_ROWS) {
		j->ev.row_count = simstore_fetch(g->store, &j->fetch, j->rows, &j->ev.complete);
		j->ev.rows = j->rows;
	}
	rig_step(g, &j->ev);
	free(j->rows);
}

static void pump(struct rig *g)
{
	do
		rig_step(g, &(struct ctl_event){.type = CTL_EV_PUMP});
	while (!g->died[0] && ctl_work(g->ctl));
}

void rig_run(struct rig *g)
{
	unsigned kept = 0;

	pump(g);
	while (g->queue_count > kept && !g->died[0]) {
		struct rig_job j = g->queue[g->queue_first];

		g->queue_first = (g->queue_first + 1) % RIG_QUEUE_MAX;
		g->queue_count--;
		if (held_back(g, &j)) {
			g->queue[(g->queue_first + g->queue_count++) % RIG_QUEUE_MAX] = j;
			kept++;
			continue;
		}
		kept = 0;
		do_job(g, &j);
		pump(g);
	}
}

void rig_wait(struct rig *g, uint64_t ms)
{
	uint64_t end = g->now_ms + ms;

	rig_run(g);
	while (g->timer_ms <= end) {
		if (g->timer_ms > g->now_ms)
			g->now_ms = g->timer_ms;
		g->timer_ms = UINT64_MAX;
		rig_step(g, &(struct ctl_event){.type = CTL_EV_TIMER});
		rig_run(g);
	}
	g->now_ms = end;
}

/* ---- its life ---- */

void rig_boot(struct rig *g)
{
	struct ctl_event ev = {.type = CTL_EV_BOOT, .store_lsn = simstore_lsn(g->store)};
	struct ctl_event peer = {
		.type = CTL_EV_PEER, .incarnation = 1, .node_up = true, .quorate = true};
	struct ctl_event fence = {.type = CTL_EV_FENCE, .incarnation = 1, .text = "waited for"};
	struct ha_state st;
	char why[256] = "";

	g->ctl = ctl_new(&g->config, why);
	cr_assert(g->ctl, "%s", why);
	if (g->has_state) {
		cr_assert_eq(ha_state_decode(&st, g->state), 0);
		ev.state = &st;
	} else {
		ev.error = -ENOENT;
	}
	rig_step(g, &ev);
	rig_run(g);
	rig_step(g, &peer);
	rig_step(g, &fence);
	rig_run(g);
	cr_assert_eq(g->died[0], 0, "%s", g->died);
}

void rig_serve(struct rig *g)
{
	rig_step(g, &(struct ctl_event){.type = CTL_EV_PROMOTE, .ticket = 5});
	for (int i = 0; i < 100 && !g->ctl->serving; i++)
		rig_wait(g, 50);
	cr_assert(g->ctl->serving, "promoted: %s", rig_admin(g, "status"));
}

const char *rig_admin(struct rig *g, const char *text)
{
	g->admin[0] = 0;
	rig_step(g, &(struct ctl_event){.type = CTL_EV_ADMIN, .ticket = 9, .text = text});
	rig_run(g);
	return g->admin;
}

void rig_volume(struct rig *g)
{
	rig_admin(
		g,
		"volume-create vol1 00000000-0000-4000-8000-0000000000aa lun1 00000000-0000-4000-8000-0000000000bb 4096 256 -");
	cr_assert_eq(g->admin_error, 0, "%s", g->admin);
}

void rig_start(struct rig *g)
{
	rig_open(g);
	rig_boot(g);
	rig_serve(g);
	rig_volume(g);
}

void rig_start_one(struct rig *g, struct rig_client *cl)
{
	rig_start(g);
	cr_assert_eq(rig_client_open(g, cl, 1, 0), 0);
}

void rig_restart(struct rig *g)
{
	rig_crash(g);
	rig_boot(g);
	rig_serve(g);
}

void rig_says(const char *text, const char *what)
{
	cr_assert(strstr(text, what), "no \"%s\" in: %s", what, text);
}

/* ---- clients ---- */

uint64_t rig_connect(struct rig *g)
{
	struct ctl_event ev = {.type = CTL_EV_CONN_UP, .conn = g->next_conn++, .peer = "test"};

	rig_step(g, &ev);
	return ev.conn;
}

void rig_hang_up(struct rig *g, uint64_t conn)
{
	struct ctl_event ev = {.type = CTL_EV_CONN_DOWN, .conn = conn};

	rig_step(g, &ev);
}

void rig_send(struct rig *g, uint64_t conn, const struct pr_frame *f, const void *payload)
{
	uint8_t *copy = malloc(f->length + 1);
	struct pr_frame frame = *f;
	struct ctl_event ev = {
		.type = CTL_EV_FRAME, .conn = conn, .frame = &frame, .p = copy, .len = f->length};

	if (frame.epoch == 0)
		frame.epoch = ha_epoch(ctl_ha(g->ctl));
	memcpy(copy, payload, f->length);
	rig_step(g, &ev);
	free(copy);
}

static int find_mail(struct rig *g, uint64_t conn, uint16_t type)
{
	for (unsigned i = 0; i < g->inbox_count; i++)
		if (g->inbox[i].conn == conn && (type == 0 || g->inbox[i].f.type == type))
			return (int)i;
	return -1;
}

bool rig_has(struct rig *g, uint64_t conn, uint16_t type)
{
	return find_mail(g, conn, type) >= 0;
}

struct rig_mail rig_take(struct rig *g, uint64_t conn, uint16_t type)
{
	int i = find_mail(g, conn, type);
	struct rig_mail m;

	cr_assert_geq(i, 0, "no mail of type 0x%x for connection %llu", type,
		      (unsigned long long)conn);
	m = g->inbox[i];
	g->inbox_count--;
	memmove(&g->inbox[i], &g->inbox[i + 1], (g->inbox_count - (unsigned)i) * sizeof(m));
	return m;
}

uint32_t rig_status(struct rig *g, uint64_t conn, uint16_t type)
{
	struct rig_mail m = rig_take(g, conn, type);

	free(m.p);
	return m.f.status;
}

uint32_t rig_answer(struct rig *g, uint64_t conn, uint16_t type, const char *why)
{
	struct rig_mail m = rig_take(g, conn, type);
	struct pr_error e;
	char text[512] = "";

	if (m.f.status) {
		cr_assert_eq(pr_error_decode(&e, m.p, m.f.length), 0);
		pr_bytes_copy(text, sizeof(text), e.text);
	}
	cr_assert(strstr(text, why), "\"%s\" does not say \"%s\"", text, why);
	free(m.p);
	return m.f.status;
}

uint8_t rig_space[PR_PAYLOAD_MAX];

uint32_t rig_hello(struct rig *g, uint64_t conn, const struct pr_uuid *client, const char *volume)
{
	struct pr_frame f = {.type = PR_T_HELLO};
	struct pr_hello q = {.version_min = PR_VERSION,
			     .version_max = PR_VERSION,
			     .client = *client,
			     .volume = pr_bytes_str(volume),
			     .host = pr_bytes_str("host"),
			     .channel = PR_CH_ACCESS};

	RIG_SEND(g, conn, &f, hello, &q);
	rig_run(g);
	return rig_status(g, conn, PR_T_HELLO_R);
}

uint32_t rig_client_open(struct rig *g, struct rig_client *cl, uint8_t id, uint32_t flags)
{
	struct pr_frame f = {.type = PR_T_SESSION_OPEN};
	struct pr_session_open q = {.slots = 64,
				    .flags = flags,
				    .host = pr_bytes_str("host"),
				    .what = pr_bytes_str("test")};
	struct pr_session_open_r r;
	struct rig_mail m;

	memset(cl, 0, sizeof(*cl));
	memset(cl->uuid.b, id, sizeof(cl->uuid.b));
	q.client = cl->uuid;
	cl->conn = rig_connect(g);
	cr_assert_eq(rig_hello(g, cl->conn, &cl->uuid, "vol1"), 0);
	RIG_SEND(g, cl->conn, &f, session_open, &q);
	rig_run(g);
	if (!rig_has(g, cl->conn, PR_T_SESSION_OPEN_R))
		return UINT32_MAX;
	m = rig_take(g, cl->conn, PR_T_SESSION_OPEN_R);
	if (m.f.status == 0) {
		cr_assert_eq(pr_session_open_r_decode(&r, m.p, m.f.length), 0);
		cl->session = r.session;
		cl->root = r.root;
		cr_assert_eq(r.luns.count, 1);
	} else {
		struct pr_error e;

		cr_assert_eq(pr_error_decode(&e, m.p, m.f.length), 0);
		pr_bytes_copy(g->why, sizeof(g->why), e.text);
	}
	free(m.p);
	return m.f.status;
}

uint32_t rig_bind(struct rig *g, struct rig_client *cl, const struct pr_held *held, uint32_t count)
{
	struct pr_frame f = {.type = PR_T_SESSION_BIND};
	struct pr_session_bind q = {.session = cl->session, .client = cl->uuid};
	uint8_t list[4096];
	struct pr_buf b = pr_buf_on(list, sizeof(list));

	for (uint32_t i = 0; i < count; i++)
		cr_assert_eq(pr_held_put(&b, &held[i]), 0);
	q.held = (struct pr_list){.count = count, .p = list, .len = (uint32_t)b.len};
	RIG_SEND(g, cl->conn, &f, session_bind, &q);
	rig_run(g);
	return rig_status(g, cl->conn, PR_T_SESSION_BIND_R);
}

uint32_t rig_bind_anew(struct rig *g, struct rig_client *cl, const struct pr_held *held,
		       uint32_t count)
{
	cl->conn = rig_connect(g);
	cr_assert_eq(rig_hello(g, cl->conn, &cl->uuid, "vol1"), 0);
	return rig_bind(g, cl, held, count);
}

void rig_create_send(struct rig *g, struct rig_client *cl, uint32_t slot, const char *name)
{
	struct pr_frame f = {.type = PR_T_CREATE,
			     .session = cl->session,
			     .slot = slot,
			     .sequence = ++cl->sequence[slot]};
	struct pr_create q = {.parent = cl->root,
			      .mode = 0100644,
			      .flags = PR_O_WRITE | PR_O_CREAT,
			      .name = pr_bytes_str(name)};

	RIG_SEND(g, cl->conn, &f, create, &q);
}

uint32_t rig_create(struct rig *g, struct rig_client *cl, const char *name, uint64_t *ret_ino)
{
	struct pr_create_r r;
	struct rig_mail m;

	rig_create_send(g, cl, 0, name);
	rig_run(g);
	m = rig_take(g, cl->conn, PR_T_CREATE_R);
	if (m.f.status == 0) {
		cr_assert_eq(pr_create_r_decode(&r, m.p, m.f.length), 0);
		if (ret_ino)
			*ret_ino = r.attr.ino;
	}
	free(m.p);
	return m.f.status;
}

uint32_t rig_lookup(struct rig *g, struct rig_client *cl, const char *name, uint64_t *ret_ino)
{
	struct pr_frame f = {.type = PR_T_LOOKUP, .session = cl->session};
	struct pr_lookup q = {.parent = cl->root, .name = pr_bytes_str(name)};
	struct pr_lookup_r r;
	struct rig_mail m;

	RIG_SEND(g, cl->conn, &f, lookup, &q);
	rig_run(g);
	m = rig_take(g, cl->conn, PR_T_LOOKUP_R);
	if (m.f.status == 0) {
		cr_assert_eq(pr_lookup_r_decode(&r, m.p, m.f.length), 0);
		if (ret_ino)
			*ret_ino = r.attr.ino;
	}
	free(m.p);
	return m.f.status;
}

uint32_t rig_unlink(struct rig *g, struct rig_client *cl, const char *name)
{
	struct pr_frame f = {
		.type = PR_T_UNLINK, .session = cl->session, .sequence = ++cl->sequence[0]};
	struct pr_unlink q = {.parent = cl->root, .name = pr_bytes_str(name)};

	RIG_SEND(g, cl->conn, &f, unlink, &q);
	rig_run(g);
	return rig_status(g, cl->conn, PR_T_UNLINK_R);
}
