/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What mdcctl asks of the core. A command is a line of words; the answer is JSON.
 *
 *	status | clients | journal | volumes | luns | df | counters
 *	evict SESSION [HOST]
 *	volume-create NAME UUID [LUN-NAME UUID BLOCKS DATA-BLOCK HINT|-]...
 *	switchover | override
 */
#include <stdio.h>
#include "controller/core/ctl_json.h"

enum { WORDS_MAX = 2 + 5 * NS_LUNS_MAX + 1, CMD_LUNS_MAX = 64 };

/* ---- answers ---- */

static void reply(struct ctl *c, uint64_t ticket, int error, const void *p, size_t len)
{
	struct ctl_effect *fx = ctl_emit(c, CTL_FX_ADMIN_REPLY);

	fx->ticket = ticket;
	fx->error = error;
	fx->p = ctl_step_copy(c, p, len);
	fx->len = (uint32_t)len;
}

static void reply_json(struct ctl *c, uint64_t ticket, struct ctl_json *j)
{
	reply(c, ticket, 0, j->out.p, j->out.len);
	free(j->out.p);
}

static void reply_error(struct ctl *c, uint64_t ticket, int error, const char *text)
{
	struct ctl_json j = {0};

	ctl_json_open(&j, NULL, '{');
	ctl_json_text(&j, "error", text);
	ctl_json_close(&j, '}');
	reply(c, ticket, error, j.out.p, j.out.len);
	free(j.out.p);
}

/* The answer to a change waits for its commit. */
static void reply_when_committed(struct ctl *c, uint64_t ticket, uint64_t lsn, struct ctl_json *j)
{
	if (c->admin_wait_count == c->admin_wait_cap) {
		c->admin_wait_cap = c->admin_wait_cap ? c->admin_wait_cap * 2 : 8;
		c->admin_waits =
			realloc(c->admin_waits, c->admin_wait_cap * sizeof(*c->admin_waits));
		ASSERT_MEMORY(c->admin_waits);
	}
	c->admin_waits[c->admin_wait_count++] =
		(struct ctl_admin_wait){.ticket = ticket, .lsn = lsn, .json = j->out};
}

void ctl_admin_committed(struct ctl *c)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < c->admin_wait_count; i++) {
		struct ctl_admin_wait *w = &c->admin_waits[i];

		if (w->lsn > c->commit) {
			c->admin_waits[kept++] = *w;
			continue;
		}
		reply(c, w->ticket, 0, w->json.p, w->json.len);
		free(w->json.p);
	}
	c->admin_wait_count = kept;
}

void ctl_admin_shift(struct ctl *c, uint64_t from, uint64_t delta)
{
	for (uint32_t i = 0; i < c->admin_wait_count; i++)
		if (c->admin_waits[i].lsn >= from)
			c->admin_waits[i].lsn += delta;
}

void ctl_admin_order(struct ctl *c, uint64_t ticket, int error, const char *text)
{
	struct ctl_json j = {0};

	if (error) {
		reply_error(c, ticket & ~CTL_ADMIN_TICKET, error, text ? text : "refused");
		return;
	}
	ctl_json_open(&j, NULL, '{');
	ctl_json_text(&j, "result", text && text[0] ? text : "done");
	ctl_json_u64(&j, "epoch", ha_epoch(c->ha));
	ctl_json_close(&j, '}');
	reply_json(c, ticket & ~CTL_ADMIN_TICKET, &j);
}

static bool number(const char *text, uint64_t *ret)
{
	char *end;

	*ret = strtoull(text, &end, 10);
	return end != text && *end == 0;
}

static bool is(const char *word, const char *what)
{
	return strcmp(word, what) == 0;
}

/* ---- what needs no row ---- */

static void say_promotion(struct ctl *c, struct ctl_json *j, const struct ha_status *st)
{
	uint64_t asked = st->promotion.asked_ms;

	ctl_json_open(j, "last_promotion", '{');
	ctl_json_u64(j, "asked", asked);
	ctl_json_u64(j, "fenced", st->promotion.fenced_ms);
	ctl_json_u64(j, "arbiter", st->promotion.arbiter_ms);
	ctl_json_u64(j, "verified", st->promotion.verified_ms);
	ctl_json_u64(j, "serving", c->serving_since_ms);
	ctl_json_u64(j, "first_client_op", c->first_op_ms);
	ctl_json_u64(j, "detect_ms", c->detect_ms);
	ctl_json_u64(j, "promote_ms",
		     asked && c->serving_since_ms > asked ? c->serving_since_ms - asked : 0);
	ctl_json_u64(j, "first_client_op_ms",
		     c->first_op_ms > c->serving_since_ms ? c->first_op_ms - c->serving_since_ms
							  : 0);
	ctl_json_close(j, '}');
}

static void say_alarms(struct ctl_json *j, const struct ha_status *st)
{
	ctl_json_open(j, "alarms", '[');
	for (unsigned i = 0; i < HA_ALARM_COUNT; i++) {
		if (!(st->alarms >> i & 1))
			continue;
		ctl_json_open(j, NULL, '{');
		ctl_json_text(j, "name", ha_alarm_name(i));
		ctl_json_text(j, "text", ha_alarm_text(i));
		ctl_json_close(j, '}');
	}
	ctl_json_close(j, ']');
}

static void say_status(struct ctl *c, struct ctl_json *j)
{
	struct ha_status st;

	ha_get_status(c->ha, &st);
	ctl_json_u64(j, "node", c->cfg.ha.node);
	ctl_json_text(j, "role", pr_role_name(ctl_role(c)));
	ctl_json_text(j, "mode", ha_mode_name(st.mode));
	ctl_json_text(j, "state", ha_dstate_name(st.dstate));
	ctl_json_u64(j, "epoch", st.epoch);
	ctl_json_u64(j, "tail_lsn", st.tail_lsn);
	ctl_json_u64(j, "commit_lsn", st.commit_lsn);
	ctl_json_u64(j, "peer_acked_lsn", st.peer_acked_lsn);
	ctl_json_u64(j, "members", st.members);
	ctl_json_bool(j, "link_up", st.link_up);
	ctl_json_bool(j, "peer_insync", st.peer_insync);
	ctl_json_i64(j, "sync_percent", st.resync_percent);
	ctl_json_u64(j, "sync_eta_ms", st.resync_eta_ms);
	ctl_json_text(j, "refused", st.refused);
	say_alarms(j, &st);
	say_promotion(c, j, &st);
}

static void say_client(struct ctl *c, struct ctl_json *j, const struct ctl_session *s)
{
	struct ctl_volume *v = ctl_volume_find(c, s->volume);
	uint64_t opens = 0, layouts = 0, recalled = 0, conns = 0;

	for (struct ctl_link *l = s->held.next; l != &s->held; l = l->next) {
		const struct ctl_held *h = CTL_OF(struct ctl_held, of_session, l);

		opens += h->opens;
		layouts += h->mode != PR_LAYOUT_NONE;
		recalled += h->recalled_ms > 0;
	}
	for (struct ctl_link *l = s->conns.next; l != &s->conns; l = l->next)
		conns++;
	ctl_json_open(j, NULL, '{');
	ctl_json_u64(j, "session", s->id);
	ctl_json_text(j, "host", s->host);
	ctl_json_text(j, "what", s->what);
	ctl_json_u64(j, "pid", s->pid);
	ctl_json_text(j, "volume", v ? v->name : "");
	ctl_json_bool(j, "exclusive", s->flags & PR_OPEN_EXCLUSIVE);
	ctl_json_bool(j, "reader", s->flags & PR_OPEN_READER);
	ctl_json_u64(j, "key", s->key);
	ctl_json_u64(j, "slots", s->slot_count);
	ctl_json_i64(j, "opened_ns", s->opened_ns);
	ctl_json_u64(j, "connections", conns);
	ctl_json_u64(j, "opens", opens);
	ctl_json_u64(j, "layouts", layouts);
	ctl_json_u64(j, "recalled", recalled);
	ctl_json_bool(j, "bound", s->rebound);
	ctl_json_text(j, "state", ctl_session_state(s));
	/* others' requests wait for it: it has been asked for a layout, or has not said yet what it holds */
	ctl_json_bool(j, "blocks_others",
		      (recalled > 0 || !s->rebound || s->ending) &&
			      !ctl_link_empty(&c->layout_waits));
	ctl_json_u64(j, "lease_left_ms", ctl_session_lease_left_ms(c, s));
	ctl_json_close(j, '}');
}

static void say_clients(struct ctl *c, struct ctl_json *j)
{
	ctl_json_open(j, "clients", '[');
	for (struct ctl_link *l = c->sessions.next; l != &c->sessions; l = l->next)
		say_client(c, j, CTL_OF(struct ctl_session, all, l));
	ctl_json_close(j, ']');
}

/* One that is alive is named twice, by its session and its host: it loses what it has not written yet. */
static int evict(struct ctl *c, char **words, int count, struct ctl_json *j)
{
	struct ctl_session *s;
	uint64_t id;

	if (count < 2 || !number(words[1], &id)) {
		ctl_why(c, "evict SESSION: the number that 'mdcctl clients' shows");
		return -EINVAL;
	}
	s = ctl_session_find(c, id);
	if (!s) {
		ctl_why(c, "there is no session %s: see 'mdcctl clients'", words[1]);
		return -ENOENT;
	}
	if (s->rebound && !s->ending && !ctl_link_empty(&s->conns) &&
	    (count < 3 || !is(words[2], s->host))) {
		ctl_why(c,
			"session %s of %s (%s) is alive, and would lose what it has not written: unmount it there, or say --force %s",
			words[1], s->host, s->what, s->host);
		return -EBUSY;
	}
	ctl_json_u64(j, "session", id);
	ctl_json_text(j, "host", s->host);
	ctl_json_text(j, "what", s->what);
	ctl_session_evict(c, s); /* when it is ending already: the same answer */
	ctl_json_text(j, "state", ctl_session_state(s));
	return 0;
}

static void say_journal(struct ctl *c, struct ctl_json *j)
{
	ctl_json_u64(j, "first_lsn", jr_first_lsn(c->jr));
	ctl_json_u64(j, "tail_lsn", jr_tail_lsn(c->jr));
	ctl_json_u64(j, "durable_lsn", jr_durable_lsn(c->jr));
	ctl_json_u64(j, "commit_lsn", ha_commit_lsn(c->ha));
	ctl_json_u64(j, "store_lsn", c->flushed);
	ctl_json_u64(j, "released_lsn", c->released);
	ctl_json_u64(j, "used_bytes", jr_used_bytes(c->jr));
	ctl_json_u64(j, "size_bytes", jr_size_bytes(c->jr));
	ctl_json_u64(j, "batches", c->count_batches);
	ctl_json_u64(j, "records", c->count_records);
}

static void say_counters(struct ctl *c, struct ctl_json *j)
{
	ctl_json_u64(j, "operations", c->count_ops);
	ctl_json_u64(j, "records", c->count_records);
	ctl_json_u64(j, "batches", c->count_batches);
	ctl_json_u64(j, "fetches", c->count_misses);
	ctl_json_u64(j, "replayed", c->count_replayed);
	ctl_json_u64(j, "parked", c->parked);
	ctl_json_u64(j, "rows", rowset_row_count(c->rows));
	ctl_json_u64(j, "dirty_bytes", rowset_dirty_bytes(c->rows));
	ctl_json_u64(j, "clean_bytes", rowset_clean_bytes(c->rows));
	ctl_json_bool(j, "flushing", c->flush != NULL);
	ctl_json_u64(j, "sessions", c->session_count);
	ctl_json_u64(j, "unbound", c->unbound);
}

static void say_volumes(struct ctl *c, struct ctl_json *j)
{
	ctl_json_open(j, "volumes", '[');
	for (struct ctl_volume *v = c->volumes; v; v = v->next) {
		ctl_json_open(j, NULL, '{');
		ctl_json_u64(j, "id", v->id);
		ctl_json_text(j, "name", v->name);
		ctl_json_uuid(j, "uuid", &v->uuid);
		ctl_json_u64(j, "block_bytes", v->block_bytes);
		ctl_json_close(j, '}');
	}
	ctl_json_close(j, ']');
}

/* ---- what does ---- */

static int say_luns(struct ctl *c, struct tx *tx, struct ctl_json *j)
{
	int r = 0;

	ctl_json_open(j, "luns", '[');
	for (struct ctl_volume *v = c->volumes; v && !r; v = v->next) {
		struct pr_key at, found;
		struct pr_bytes value;

		pr_key_vlun(&at, v->id, 0);
		while ((r = tx_seek(tx, &at, 3, 1, &found, &value)) == 0) {
			struct pr_row_vlun row;
			uint16_t volume, lun;
			char text[256];

			ASSERT(pr_row_vlun_decode(&row, value.p, value.len) == 0);
			ASSERT(pr_key_parse_vlun(found.b, found.len, &volume, &lun) == 0);
			ctl_json_open(j, NULL, '{');
			ctl_json_text(j, "volume", v->name);
			ctl_json_u64(j, "lun", lun);
			ctl_json_text(j, "name", pr_bytes_copy(text, sizeof(text), row.name));
			ctl_json_uuid(j, "uuid", &row.uuid);
			ctl_json_text(j, "hint", pr_bytes_copy(text, sizeof(text), row.hint));
			ctl_json_u64(j, "blocks", row.blocks);
			ctl_json_u64(j, "data_block", row.data_block);
			ctl_json_u64(j, "bytes", row.blocks * 4096);
			ctl_json_close(j, '}');
			if (lun == UINT16_MAX)
				break;
			pr_key_vlun(&at, v->id, (uint16_t)(lun + 1));
		}
		if (r == -ENOENT)
			r = 0;
	}
	ctl_json_close(j, ']');
	return r;
}

static int say_df(struct ctl *c, struct tx *tx, struct ctl_json *j)
{
	ctl_json_open(j, "volumes", '[');
	for (struct ctl_volume *v = c->volumes; v; v = v->next) {
		struct pr_row_vstat row;
		int r;

		tx->volume = v->id;
		r = tx_get_vstat(tx, &row);
		if (r == TX_MISS)
			return r;
		if (r)
			continue;
		ctl_json_open(j, NULL, '{');
		ctl_json_text(j, "name", v->name);
		ctl_json_u64(j, "bytes", row.blocks * 4096);
		ctl_json_u64(j, "used_bytes",
			     (row.blocks - row.blocks_free - row.blocks_resting) * 4096);
		ctl_json_u64(j, "free_bytes", row.blocks_free * 4096);
		ctl_json_u64(j, "resting_bytes", row.blocks_resting * 4096);
		ctl_json_u64(j, "inodes", row.inodes);
		ctl_json_close(j, '}');
	}
	ctl_json_close(j, ']');
	return 0;
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* %20 for a blank. NULL: "-", there is none. */
static const char *hint(char *word)
{
	char *to = word;

	if (is(word, "-"))
		return NULL;
	for (const char *p = word; *p; p++) {
		if (p[0] == '%' && hex_digit(p[1]) >= 0 && hex_digit(p[2]) >= 0) {
			*to++ = (char)(hex_digit(p[1]) << 4 | hex_digit(p[2]));
			p += 2;
		} else {
			*to++ = *p;
		}
	}
	*to = '\0';
	return word;
}

static int make_volume(struct ctl *c, struct tx *tx, char **words, int count, struct ctl_json *j)
{
	struct ns_lun luns[CMD_LUNS_MAX];
	struct pr_uuid uuid, lun_uuid;
	uint32_t n = 0;
	uint16_t volume;
	int r;

	if (count < 8 || (count - 3) % 5 != 0 || (count - 3) / 5 > CMD_LUNS_MAX) {
		ctl_why(c, "volume-create NAME UUID [LUN-NAME UUID BLOCKS DATA-BLOCK HINT|-]...");
		return -EINVAL;
	}
	if (pr_uuid_parse(words[2], &uuid)) {
		ctl_why(c, "'%s' is no UUID", words[2]);
		return -EINVAL;
	}
	for (int i = 3; i < count; i += 5) {
		struct ns_lun *l = &luns[n++];

		if (pr_uuid_parse(words[i + 1], &lun_uuid) || !number(words[i + 2], &l->blocks) ||
		    !number(words[i + 3], &l->data_block)) {
			ctl_why(c,
				"LUN '%s': a UUID, its blocks and its first data block are wanted",
				words[i]);
			return -EINVAL;
		}
		l->name = words[i];
		memcpy(l->uuid, lun_uuid.b, sizeof(l->uuid));
		l->hint = hint(words[i + 4]);
	}
	r = ns_volume_create(tx, words[1], uuid.b, luns, n, &volume);
	if (r == -EEXIST && !c->why[0])
		ctl_why(c, "there is a volume '%s' already, or one of its LUNs belongs to a volume",
			words[1]);
	if (r)
		return r;
	ctl_json_u64(j, "volume", volume);
	ctl_json_text(j, "name", words[1]);
	ctl_json_u64(j, "luns", n);
	return 0;
}

/* ---- commands ---- */

static int split(char *text, char **words)
{
	int n = 0;
	char *at = text, *word;

	while ((word = strsep(&at, " ")) && n < WORDS_MAX)
		if (*word)
			words[n++] = word;
	return n;
}

static int run_command(struct ctl *c, struct tx *tx, char **words, int count, struct ctl_json *j)
{
	const char *w = words[0];
	int r = 0;

	ctl_json_open(j, NULL, '{');
	if (is(w, "status"))
		say_status(c, j);
	else if (is(w, "clients"))
		say_clients(c, j);
	else if (is(w, "journal"))
		say_journal(c, j);
	else if (is(w, "counters"))
		say_counters(c, j);
	else if (is(w, "volumes"))
		say_volumes(c, j);
	else if (is(w, "luns"))
		r = say_luns(c, tx, j);
	else if (is(w, "df"))
		r = say_df(c, tx, j);
	else if (is(w, "evict"))
		r = c->serving ? evict(c, words, count, j) : PR_E_NOT_ACTIVE;
	else if (is(w, "volume-create"))
		r = c->serving ? make_volume(c, tx, words, count, j) : PR_E_NOT_ACTIVE;
	else
		r = -EOPNOTSUPP;
	ctl_json_close(j, '}');
	return r;
}

int run_admin(struct ctl *c, struct ctl_op *op, struct tx *tx, struct pr_buf *out)
{
	struct ctl_json j = {0};
	char *words[WORDS_MAX];
	char *text = strdup(op->text);
	int count, r;

	ASSERT_MEMORY(text);
	count = split(text, words);
	if (count == 0) {
		words[0] = "";
		count = 1;
	}
	r = run_command(c, tx, words, count, &j);
	if (r == 0)
		pr_put_bytes(out, j.out.p, j.out.len);
	free(text);
	free(j.out.p);
	if (r == -EOPNOTSUPP)
		ctl_why(c, "no such command: %.64s", op->text);
	return r ? r : out->failed ? -EMSGSIZE : 0;
}

void done_admin(struct ctl *c, struct ctl_op *op, const struct pr_buf *out, uint64_t lsn)
{
	struct ctl_json j = {0};

	ctl_bytes_add(&j.out, out->p, out->len);
	if (op->changed)
		reply_when_committed(c, op->ticket, lsn, &j);
	else
		reply_json(c, op->ticket, &j);
}

void failed_admin(struct ctl *c, struct ctl_op *op, int status)
{
	uint32_t number = (uint32_t)(status < 0 ? -status : status);

	reply_error(c, op->ticket, status < 0 ? status : -EAGAIN,
		    c->why[0] ? c->why : pr_status_text(number));
}

void ctl_admin(struct ctl *c, const struct ctl_event *ev)
{
	struct ctl_op *op;

	if (is(ev->text, "switchover") || is(ev->text, "override")) {
		struct ha_event e = {
			.type = is(ev->text, "override") ? HA_EV_OVERRIDE : HA_EV_SWITCHOVER,
			.ticket = ev->ticket | CTL_ADMIN_TICKET,
		};

		if (c->booted)
			ctl_pair_event(c, &e);
		else
			reply_error(c, ev->ticket, -EAGAIN, "this controller is still starting");
		return;
	}
	op = ctl_job(c,
		     strncmp(ev->text, "volume-create", 13) == 0 ? &ctl_kind_admin_change
								 : &ctl_kind_admin,
		     0, 0);
	op->ticket = ev->ticket;
	op->text = strdup(ev->text);
	ASSERT_MEMORY(op->text);
}
