/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One event in, effects out: the core's own memory, time, volumes, and the order of one step. */
#include <stdarg.h>
#include <stdio.h>
#include "controller/core/ctl_int.h"

enum { STEP_CHUNK_BYTES = 64 << 10, SETTLE_ROUNDS = 4 };

/* ---- memory of one step ---- */

void *ctl_step_alloc(struct ctl *c, size_t bytes)
{
	struct ctl_chunk *k = c->step_mem;
	void *at;

	bytes = (bytes + 15) & ~(size_t)15;
	if (!k || k->cap - k->used < bytes) {
		size_t cap = bytes > STEP_CHUNK_BYTES ? bytes : STEP_CHUNK_BYTES;

		k = malloc(sizeof(*k) + cap);
		ASSERT_MEMORY(k);
		k->used = 0;
		k->cap = cap;
		k->next = c->step_mem;
		c->step_mem = k;
	}
	at = k->b + k->used;
	k->used += bytes;
	return at;
}

const uint8_t *ctl_step_copy(struct ctl *c, const void *p, size_t bytes)
{
	uint8_t *copy = ctl_step_alloc(c, bytes + 1);

	if (bytes > 0)
		memcpy(copy, p, bytes);
	copy[bytes] = 0;
	return copy;
}

const char *ctl_step_text(struct ctl *c, const char *text)
{
	return text ? (const char *)ctl_step_copy(c, text, strlen(text)) : NULL;
}

static void step_begin(struct ctl *c)
{
	while (c->step_mem && c->step_mem->next) {
		struct ctl_chunk *k = c->step_mem;

		c->step_mem = k->next;
		free(k);
	}
	if (c->step_mem)
		c->step_mem->used = 0;
	if (c->fx_first == c->fx_count)
		c->fx_first = c->fx_count = 0;
	ctl_conns_bury(c);
}

void ctl_bytes_add(struct ctl_bytes *b, const void *p, size_t len)
{
	if (b->cap - b->len < len) {
		b->cap = (b->len + len) * 2 < 4096 ? 4096 : (b->len + len) * 2;
		b->p = realloc(b->p, b->cap);
		ASSERT_MEMORY(b->p);
	}
	if (len > 0)
		memcpy(b->p + b->len, p, len);
	b->len += len;
}

/* ---- effects ---- */

struct ctl_effect *ctl_emit(struct ctl *c, enum ctl_effect_type type)
{
	struct ctl_effect *fx;

	if (c->fx_count == c->fx_cap) {
		c->fx_cap = c->fx_cap ? c->fx_cap * 2 : 256;
		c->fx = realloc(c->fx, c->fx_cap * sizeof(*c->fx));
		ASSERT_MEMORY(c->fx);
	}
	fx = &c->fx[c->fx_count++];
	memset(fx, 0, sizeof(*fx));
	fx->type = type;
	return fx;
}

bool ctl_next(struct ctl *c, struct ctl_effect *ret)
{
	if (c->fx_first == c->fx_count)
		return false;
	*ret = c->fx[c->fx_first++];
	return true;
}

void ctl_log(struct ctl *c, int level, const char *format, ...)
{
	struct ctl_effect *fx;
	char text[600];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	fx = ctl_emit(c, CTL_FX_LOG);
	fx->level = level;
	fx->text = ctl_step_text(c, text);
}

void ctl_why(struct ctl *c, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(c->why, sizeof(c->why), format, ap);
	va_end(ap);
}

/* ---- time ---- */

/*
 * File times never go back across a failover: a clock that is a little behind the last chosen time is
 * overruled, one that is far behind was set on purpose and is followed.
 */
int64_t ctl_choose_time(struct ctl *c)
{
	if (c->real_ns > c->last_ns) {
		c->clock_told = false;
		return c->real_ns;
	}
	if (c->last_ns - c->real_ns <= CTL_CLOCK_STEP_NS)
		return c->last_ns + 1;
	if (!c->clock_told)
		ctl_log(c, 4,
			"the clock is %lld ms behind the time of the last operation: followed",
			(long long)((c->last_ns - c->real_ns) / 1000000));
	c->clock_told = true;
	return c->real_ns;
}

/* ---- role ---- */

enum pr_role ctl_role(const struct ctl *c)
{
	enum pr_role role = c->booted ? ha_role(c->ha) : PR_ROLE_STARTING;

	if (c->serving)
		return PR_ROLE_ACTIVE;
	return role == PR_ROLE_ACTIVE ? PR_ROLE_PROMOTING : role;
}

void ctl_active_address(struct ctl *c, struct pr_bytes *ret)
{
	struct ha_status st;
	uint8_t node;

	*ret = (struct pr_bytes){0};
	if (!c->booted)
		return;
	ha_get_status(c->ha, &st);
	node = c->serving ? c->cfg.ha.node : st.arbiter_active;
	if (node == 1 || node == 2)
		*ret = pr_bytes_str(c->cfg.address[node - 1]);
}

static void role_check(struct ctl *c)
{
	struct ctl_effect *fx;

	if (!c->booted || (ctl_role(c) == c->told_role && ha_epoch(c->ha) == c->told_epoch))
		return;
	c->told_role = ctl_role(c);
	c->told_epoch = ha_epoch(c->ha);
	fx = ctl_emit(c, CTL_FX_ROLE);
	fx->epoch = c->told_epoch;
	fx->text = pr_role_name(c->told_role);
	ctl_notices(c);
}

/* ---- volumes and other rows kept in mind ---- */

struct ctl_volume *ctl_volume_find(struct ctl *c, uint16_t id)
{
	for (struct ctl_volume *v = c->volumes; v; v = v->next)
		if (v->id == id)
			return v;
	return NULL;
}

struct ctl_volume *ctl_volume_by_name(struct ctl *c, const char *name)
{
	for (struct ctl_volume *v = c->volumes; v; v = v->next)
		if (strcmp(v->name, name) == 0)
			return v;
	return NULL;
}

static void volume_row(struct ctl *c, uint16_t id, const struct pr_row_volume *row)
{
	struct ctl_volume *v = ctl_volume_find(c, id);

	if (!v) {
		v = calloc(1, sizeof(*v));
		ASSERT_MEMORY(v);
		v->id = id;
		v->next = c->volumes;
		v->next_ino = row->next_ino;
		v->reap.wanted = v->rest.wanted = true;
		c->volumes = v;
	}
	v->uuid = row->uuid;
	pr_bytes_copy(v->name, sizeof(v->name), row->name);
	v->root = row->root;
	v->block_bytes = row->block_bytes;
	/* The row's bound: who serves hands out below it, who applies begins there when its time comes. */
	if (!c->serving)
		v->next_ino = row->next_ino;
	v->ino_limit = row->next_ino;
}

void ctl_derive(struct ctl *c, struct pr_bytes key, struct pr_bytes value, uint64_t lsn)
{
	uint16_t volume;
	uint64_t session, ino;
	bool ok = true;

	switch (key.p[0]) {
	case PR_ROW_META:
		ok = value.p && pr_row_meta_decode(&c->meta, value.p, value.len) == 0;
		c->meta_known = true;
		if (c->meta.time_ns > (uint64_t)c->last_ns)
			c->last_ns = (int64_t)c->meta.time_ns;
		break;
	case PR_ROW_VOLUME: {
		struct pr_row_volume row;

		ok = value.p && pr_key_parse_volume(key.p, key.len, &volume) == 0 &&
		     pr_row_volume_decode(&row, value.p, value.len) == 0;
		if (ok)
			volume_row(c, volume, &row);
		break;
	}
	case PR_ROW_SESSION: {
		struct pr_row_session row;

		ok = pr_key_parse_session(key.p, key.len, &session) == 0 &&
		     (!value.p || pr_row_session_decode(&row, value.p, value.len) == 0);
		if (ok)
			ctl_session_row(c, session, value.p ? &row : NULL, lsn);
		break;
	}
	case PR_ROW_ORPHAN:
	case PR_ROW_REST: {
		struct ctl_volume *v = ctl_volume_find(c, (uint16_t)(key.p[1] << 8 | key.p[2]));

		if (v && value.p && key.p[0] == PR_ROW_ORPHAN) {
			v->reap.wanted = true;
			if (pr_key_parse_orphan(key.p, key.len, &volume, &ino) == 0)
				ns_hint_orphan(&v->hint, ino);
		} else if (v && value.p)
			v->rest.wanted = true;
		break;
	}
	default:
		break;
	}
	ASSERT(ok);
}

void ctl_derive_tx(struct ctl *c, struct tx *tx, uint64_t lsn)
{
	uint32_t n = tx_change_count(tx);

	for (uint32_t i = 0; i < n; i++) {
		struct pr_bytes key, value;

		tx_change(tx, i, &key, &value);
		ctl_derive(c, key, value, lsn);
	}
}

void ctl_forget_derived(struct ctl *c)
{
	while (!ctl_link_empty(&c->sessions))
		ctl_session_gone(c, CTL_OF(struct ctl_session, all, c->sessions.next), NULL);
	while (c->volumes) {
		struct ctl_volume *v = c->volumes;

		c->volumes = v->next;
		free(v);
	}
	c->reap_turn = NULL;
	c->meta_known = false;
	memset(&c->meta, 0, sizeof(c->meta));
}

/* ---- what the namespace asks ---- */

uint64_t ctl_new_ino(struct tx *tx)
{
	struct ctl_volume *v = ctl_volume_find(tx->ctl, tx->volume);
	struct pr_row_volume row;
	uint64_t limit;

	ASSERT(v);
	limit = v->pending_limit ? v->pending_limit : v->ino_limit;
	if (v->next_ino >= limit) {
		if (tx_get_volume(tx, &row))
			return 0;
		row.next_ino = v->next_ino + CTL_INO_RANGE;
		v->pending_limit = row.next_ino;
		tx_put_volume(tx, &row);
	}
	return v->next_ino++;
}

uint64_t ctl_layout_generation(struct ctl *c)
{
	return ++c->generation;
}

struct pr_buf *ns_scratch(struct tx *tx)
{
	return tx_scratch(tx);
}

struct ns_hint *ctl_ns_hint(struct ctl *c, uint16_t volume)
{
	struct ctl_volume *v = ctl_volume_find(c, volume);

	ASSERT(v);
	return &v->hint;
}

/* ---- the life of a core ---- */

static void init_lists(struct ctl *c)
{
	struct ctl_link *lists[] = {&c->missing,     &c->blocked, &c->ready_ops, &c->layout_waits,
				    &c->space_waits, &c->conns,	  &c->ready,	 &c->waiting,
				    &c->sessions,    &c->graves};

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		ctl_link_init(lists[i]);
}

static const char *config_why(const struct ctl_config *cfg)
{
	if (cfg->sessions_max == 0 || cfg->sessions_max > 65535)
		return "sessions_max: 1 to 65535";
	if (cfg->slots_max == 0 || cfg->slots_max > 1024)
		return "slots_max: 1 to 1024";
	if (cfg->lease_ms < 1000)
		return "lease_ms: at least 1000";
	if (cfg->cache_bytes < 16 << 10)
		return "cache_bytes: at least 16 KiB";
	if (cfg->overlay_bytes < 16 << 10)
		return "overlay_bytes: at least 16 KiB";
	if (cfg->flush_ms == 0)
		return "flush_ms: at least 1";
	if (cfg->batch_bytes_max < 32 << 10 ||
	    cfg->batch_bytes_max > JR_BATCH_BYTES_MAX - (64 << 10))
		return "batch_bytes_max: 32 KiB to 4032 KiB";
	if (cfg->batch_bytes_max + cfg->batch_bytes_max / 32 + 16384 > cfg->journal.segment_bytes)
		return "batch_bytes_max: a batch has to fit into a journal segment";
	if (!jr_config_ok(&cfg->journal))
		return "the journal's sizes do not fit together";
	return NULL;
}

struct ctl *ctl_new(const struct ctl_config *cfg, char ret_why[256])
{
	const char *why = config_why(cfg);
	struct ctl *c;

	if (!why && ha_config_check(&cfg->ha, NULL, ret_why) < 0)
		return NULL;
	if (why) {
		snprintf(ret_why, 256, "%s", why);
		return NULL;
	}
	c = calloc(1, sizeof(*c));
	if (!c) {
		snprintf(ret_why, 256, "no memory");
		return NULL;
	}
	c->cfg = *cfg;
	init_lists(c);
	c->ha = ha_new(&cfg->ha);
	c->jr = jr_new(&cfg->journal);
	c->rows = rowset_new(cfg->cache_bytes, cfg->overlay_bytes);
	c->txp = c->rows ? tx_priv_new(c->rows) : NULL;
	c->batch = malloc(cfg->batch_bytes_max);
	c->reply = malloc(PR_PAYLOAD_MAX);
	if (!c->ha || !c->jr || !c->txp || !c->batch || !c->reply) {
		snprintf(ret_why, 256, "no memory");
		ctl_free(c);
		return NULL;
	}
	c->gate = (struct ns_gate){.user = c, .may_reap = ctl_may_reap, .may_reuse = ctl_may_reuse};
	c->open = pr_buf_on(c->batch, cfg->batch_bytes_max);
	c->ha_timer_ms = c->ring_due_ms = c->timer_told_ms = UINT64_MAX;
	return c;
}

static void free_conns(struct ctl *c)
{
	while (!ctl_link_empty(&c->conns))
		ctl_conn_down(c, CTL_OF(struct ctl_conn, all, c->conns.next)->id);
}

void ctl_free(struct ctl *c)
{
	if (!c)
		return;
	c->serving = false;
	while (c->fx_first < c->fx_count)
		jr_batch_unref(c->fx[c->fx_first++].batch);
	ctl_ops_abandon(c);
	ctl_conns_bury(c);
	free_conns(c);
	ctl_forget_derived(c);
	while (c->held_free) {
		struct ctl_held *h = c->held_free;

		c->held_free = h->chain;
		free(h);
	}
	while (c->append_count > 0) {
		jr_batch_unref(c->appends[c->append_first++ % c->append_cap]);
		c->append_count--;
	}
	for (uint32_t i = 0; i < c->admin_wait_count; i++)
		free(c->admin_waits[i].json.p);
	free(c->admin_waits);
	free(c->appends);
	ha_free(c->ha);
	jr_free(c->jr);
	tx_priv_free(c->txp);
	rowset_free(c->rows);
	free(c->batch);
	free(c->reply);
	free(c->fx);
	while (c->step_mem) {
		struct ctl_chunk *k = c->step_mem;

		c->step_mem = k->next;
		free(k);
	}
	free(c);
}

const struct ha *ctl_ha(const struct ctl *c)
{
	return c->ha;
}

/* ---- one step ---- */

static void pass_to_pair(struct ctl *c, const struct ctl_event *ev, enum ha_event_type type)
{
	struct ha_event e = {
		.type = type,
		.incarnation = ev->incarnation,
		.ticket = ev->ticket,
		.error = ev->error,
		.process_up = ev->process_up,
		.node_up = ev->node_up,
		.quorate = ev->quorate,
		.arbiter = ev->arbiter,
		.floor_epoch = ev->floor_epoch,
		.floor_lsn = ev->floor_lsn,
		.lsn = ev->lsn,
		.last = ev->last,
		.done_bytes = ev->done_bytes,
		.total_bytes = ev->total_bytes,
		.p = ev->p,
		.len = ev->len,
		.text = ev->text,
	};

	ctl_pair_event(c, &e);
}

static void copy_applied(struct ctl *c, const struct ctl_event *ev)
{
	if (c->copy_end && ev->error == 0) {
		/* the store is another one now: what was in memory is of the old */
		rowset_reset(c->rows);
		ctl_forget_derived(c);
		c->loaded = false;
		ctl_load(c);
		return;
	}
	c->copy_end = false;
	pass_to_pair(c, ev, HA_EV_ROWS_APPLIED);
}

static void timer(struct ctl *c, const struct ctl_event *ev)
{
	c->timer_told_ms = UINT64_MAX;
	if (!c->booted)
		return;
	if (c->now_ms >= c->ha_timer_ms)
		c->ha_timer_ms = UINT64_MAX;
	pass_to_pair(c, ev, HA_EV_TIMER);
}

static void dispatch(struct ctl *c, const struct ctl_event *ev)
{
	switch (ev->type) {
	case CTL_EV_BOOT:
		ctl_boot(c, ev);
		break;
	case CTL_EV_TIMER:
		timer(c, ev);
		break;
	case CTL_EV_PUMP:
		break;
	case CTL_EV_CONN_UP:
		ctl_conn_up(c, ev);
		break;
	case CTL_EV_CONN_DOWN:
		ctl_conn_down(c, ev->conn);
		break;
	case CTL_EV_FRAME:
		ctl_frame(c, ev);
		break;
	case CTL_EV_LINK_UP:
	case CTL_EV_LINK_DOWN:
	case CTL_EV_LINK_FRAME:
		ctl_pair_link(c, ev);
		break;
	case CTL_EV_JOURNAL_IO:
		jr_io_done(c->jr, ev->tag, ev->error);
		break;
	case CTL_EV_ROWS:
		ctl_rows(c, ev);
		break;
	case CTL_EV_FLUSHED:
		ctl_flushed(c, ev->lsn, ev->error);
		break;
	case CTL_EV_COPY_ROWS:
		pass_to_pair(c, ev, HA_EV_ROWS);
		break;
	case CTL_EV_COPY_APPLIED:
		copy_applied(c, ev);
		break;
	case CTL_EV_STATE_SAVED:
		pass_to_pair(c, ev, HA_EV_STATE_SAVED);
		break;
	case CTL_EV_ARB_READ:
		pass_to_pair(c, ev, HA_EV_ARB_READ);
		break;
	case CTL_EV_ARB_CAS:
		pass_to_pair(c, ev, HA_EV_ARB_CAS);
		break;
	case CTL_EV_ARB_FLOOR:
		pass_to_pair(c, ev, HA_EV_ARB_FLOOR);
		break;
	case CTL_EV_PREEMPTED:
		pass_to_pair(c, ev, HA_EV_PREEMPTED);
		break;
	case CTL_EV_PEER:
		pass_to_pair(c, ev, HA_EV_PEER);
		break;
	case CTL_EV_FENCE:
		pass_to_pair(c, ev, HA_EV_FENCE);
		break;
	case CTL_EV_PROMOTE:
		c->detect_ms = c->heard_peer_ms ? c->now_ms - c->heard_peer_ms : 0;
		pass_to_pair(c, ev, HA_EV_PROMOTE);
		break;
	case CTL_EV_DEMOTE:
		pass_to_pair(c, ev, HA_EV_DEMOTE);
		break;
	case CTL_EV_CLIENT_FENCED:
		ctl_client_fenced(c, ev->session, ev->error);
		break;
	case CTL_EV_ADMIN:
		ctl_admin(c, ev);
		break;
	}
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* The journal's ring follows when there is time, and soon in any case. */
static void ring_follow(struct ctl *c)
{
	if (jr_unnamed(c->jr) == 0) {
		c->ring_due_ms = UINT64_MAX;
	} else if (c->ring_due_ms == UINT64_MAX) {
		c->ring_due_ms = c->now_ms + CTL_RING_MS;
	} else if (c->now_ms >= c->ring_due_ms) {
		jr_name(c->jr);
		c->ring_due_ms = c->now_ms + CTL_RING_MS;
	}
}

static void timer_set(struct ctl *c)
{
	uint64_t at = sooner(c->ha_timer_ms, c->ring_due_ms);
	struct ctl_effect *fx;

	if (rowset_live_bytes(c->rows) > 0 && !c->flush && c->booted)
		at = sooner(at, c->flush_due_ms);
	if (c->serving)
		at = sooner(at, c->tick_ms);
	if (!ctl_link_empty(&c->ready_ops))
		at = c->now_ms;
	if (at == UINT64_MAX)
		return;
	if (at <= c->now_ms)
		at = c->now_ms + 1;
	if (at == c->timer_told_ms)
		return;
	c->timer_told_ms = at;
	fx = ctl_emit(c, CTL_FX_TIMER);
	fx->at_ms = at;
}

static void drain_check(struct ctl *c)
{
	struct ha_event e = {.type = HA_EV_DRAINED};

	if (!c->drain || c->drained || c->open_count > 0 || ha_batches_in_flight(c->ha) > 0)
		return;
	c->drained = true;
	ctl_pair_event(c, &e);
}

/*
 * All that follows from what has become true, until nothing more does. An operation of very many steps goes on in the next
 * millisecond: nobody else, and no heartbeat, waits for all of it.
 */
static void settle(struct ctl *c)
{
	unsigned int rounds = 0;
	bool more;

	do {
		more = ctl_pair_run(c);
		if (c->dead)
			return;
		ctl_ops_run(c);
		ctl_flush_step(c);
		more |= ctl_batch_close(c, false);
		drain_check(c);
	} while (more || (!ctl_link_empty(&c->ready_ops) && ++rounds < SETTLE_ROUNDS));
	if (c->now_ms >= c->tick_ms && c->serving) {
		c->tick_ms = c->now_ms + CTL_TICK_MS;
		ctl_sessions_tick(c);
		ctl_held_tick(c);
	}
	ctl_background(c);
	ctl_ops_run(c);
	ring_follow(c);
	while (ctl_batch_close(c, false) || ctl_pair_run(c))
		;
}

void ctl_step(struct ctl *c, const struct ctl_event *ev)
{
	step_begin(c);
	if (c->dead)
		return;
	ctl_served(c, ev->now_ms);
	c->now_ms = ev->now_ms;
	c->real_ns = ev->real_ns;
	c->random = ev->random;
	dispatch(c, ev);
	/* A round's requests are answered together, by the PUMP at its end. */
	if (ev->type == CTL_EV_FRAME && !c->dead)
		return;
	if (!c->dead)
		settle(c);
	if (c->dead)
		return;
	role_check(c);
	ctl_fetches(c);
	ctl_replies_committed(c);
	ctl_sends(c);
	timer_set(c);
}

bool ctl_work(struct ctl *c)
{
	if (c->dead || !rowset_has_work(c->rows))
		return false;
	rowset_work(c->rows, rowset_dirty_bytes(c->rows) > c->cfg.overlay_bytes / 2
				     ? 4 * CTL_WORK_STEPS
				     : CTL_WORK_STEPS);
	return true;
}
