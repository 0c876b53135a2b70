/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The pair core against a peer that says anything, at any time. Input: what stands on the disk and in the arbiter record, then
 * events: completions in order, late or failed, time, facts, orders, and messages of a peer that need not be true. No message
 * ends the process by an assertion, and the core keeps its contract with its edges: appends and rows without a gap, one write of
 * the record and one of the state at a time, no commit before it is durable, no epoch saved that is lower than before.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ha/core/ha.h"
#include "proto/record.h"
#include "tests/fuzz/fuzz.h"

enum { BATCHES_MAX = 96, QUEUE_MAX = 64, EVENTS_MAX = 160, EFFECTS_MAX = 4000, START_MAX = 4 };

struct world {
	struct fuzz_in in;
	struct ha *h;
	uint64_t now_ms, conn, link, nonce, epoch_saved, peer_incarnation;
	struct ha_state state;
	struct ha_arbiter arbiter;
	struct jr_batch *log[BATCHES_MAX];
	unsigned int logs;
	uint64_t base_lsn;
	struct pr_hash base_hash;
	uint64_t durable_lsn, applied_lsn;
	struct ha_event queue[QUEUE_MAX];
	struct ha_arbiter record[QUEUE_MAX]; /* of a queued event */
	unsigned int queued, writes, saves, effects;
	bool died;
};

static const uint8_t cluster[16] = "any other's peer";
static const uint8_t rows[8];

static uint64_t tail_lsn(const struct world *w)
{
	return w->logs ? w->log[w->logs - 1]->last_lsn : w->base_lsn;
}

static struct jr_batch *find(const struct world *w, uint64_t lsn)
{
	for (unsigned int i = 0; i < w->logs; i++)
		if (w->log[i]->first_lsn <= lsn && lsn <= w->log[i]->last_lsn)
			return w->log[i];
	return NULL;
}

static void log_cut(struct world *w, uint64_t lsn)
{
	while (w->logs && w->log[w->logs - 1]->last_lsn > lsn)
		jr_batch_unref(w->log[--w->logs]);
}

static struct jr_batch *batch_new(uint64_t epoch, uint64_t lsn, uint64_t commit_lsn,
				  const struct pr_hash *prev)
{
	struct pr_record v = {.lsn = lsn};
	uint8_t bytes[256];
	struct pr_buf b = pr_buf_on(bytes, sizeof(bytes));

	FUZZ_CHECK(pr_record_put(&b, &v) == 0);
	return jr_batch_new(cluster, epoch, lsn, lsn, commit_lsn < lsn ? commit_lsn : 0, prev,
			    bytes, (uint32_t)b.len);
}

/* ---- what the core orders ---- */

static void answer(struct world *w, struct ha_event e)
{
	FUZZ_CHECK(w->queued < QUEUE_MAX, "the core orders more and more");
	w->queue[w->queued++] = e;
}

static void take_append(struct world *w, struct jr_batch *b)
{
	FUZZ_CHECK(b->first_lsn == tail_lsn(w) + 1);
	FUZZ_CHECK(w->logs < BATCHES_MAX);
	w->log[w->logs++] = jr_batch_ref(b);
	answer(w, (struct ha_event){.type = HA_EV_APPENDED, .lsn = b->last_lsn});
}

static void take_effect(struct world *w, const struct ha_effect *fx)
{
	struct pr_link_session session;
	struct pr_link_hello hello;

	switch (fx->type) {
	case HA_FX_SEND:
		if (fx->msg_type == PR_T_LINK_SESSION &&
		    pr_link_session_decode(&session, fx->p, fx->len) == 0)
			w->link = session.link;
		if (fx->msg_type == PR_T_LINK_HELLO &&
		    pr_link_hello_decode(&hello, fx->p, fx->len) == 0)
			w->nonce = hello.nonce;
		break;
	case HA_FX_APPEND:
		take_append(w, fx->batch);
		break;
	case HA_FX_COMMITTED:
		FUZZ_CHECK(fx->lsn <= w->durable_lsn);
		break;
	case HA_FX_APPLY:
		FUZZ_CHECK(fx->batch->first_lsn <= w->applied_lsn + 1 &&
			   fx->batch->last_lsn > w->applied_lsn);
		w->applied_lsn = fx->batch->last_lsn;
		break;
	case HA_FX_FETCH:
		answer(w, (struct ha_event){
				  .type = HA_EV_FETCHED, .cookie = fx->cookie, .lsn = fx->lsn});
		break;
	case HA_FX_CUT:
		FUZZ_CHECK(fx->lsn == w->base_lsn || find(w, fx->lsn));
		log_cut(w, fx->lsn);
		w->durable_lsn = fx->lsn;
		answer(w, (struct ha_event){.type = HA_EV_CUT, .lsn = fx->lsn});
		break;
	case HA_FX_RESET:
		log_cut(w, 0);
		w->base_lsn = w->durable_lsn = w->applied_lsn = fx->lsn;
		w->base_hash = fx->hash;
		answer(w, (struct ha_event){.type = HA_EV_CUT, .lsn = fx->lsn});
		break;
	case HA_FX_REPAIR:
		answer(w, (struct ha_event){.type = HA_EV_REPAIRED, .lsn = fx->batch->last_lsn});
		break;
	case HA_FX_SAVE_STATE:
		FUZZ_CHECK(++w->saves == 1 && fx->state->epoch >= w->epoch_saved);
		w->epoch_saved = fx->state->epoch;
		answer(w, (struct ha_event){.type = HA_EV_STATE_SAVED});
		break;
	case HA_FX_ARB_READ:
		answer(w, (struct ha_event){.type = HA_EV_ARB_READ});
		break;
	case HA_FX_ARB_CAS:
		FUZZ_CHECK(++w->writes == 1 && fx->next.epoch >= fx->expect.epoch);
		w->record[w->queued] = fx->next;
		answer(w, (struct ha_event){
				  .type = HA_EV_ARB_CAS,
				  .error = memcmp(&fx->expect, &w->arbiter, sizeof(w->arbiter)) == 0
						   ? 0
						   : -ESTALE});
		break;
	case HA_FX_ARB_FLOOR:
		FUZZ_CHECK(++w->writes == 1);
		answer(w, (struct ha_event){.type = HA_EV_ARB_FLOOR});
		break;
	case HA_FX_ASK_FENCE:
		answer(w, (struct ha_event){.type = HA_EV_FENCE, .incarnation = fx->incarnation});
		break;
	case HA_FX_PREEMPT:
		answer(w, (struct ha_event){.type = HA_EV_PREEMPTED});
		break;
	case HA_FX_DRAIN:
		answer(w, (struct ha_event){.type = HA_EV_DRAINED});
		break;
	case HA_FX_ROWS_READ:
		answer(w, (struct ha_event){.type = HA_EV_ROWS,
					    .p = rows,
					    .len = sizeof(rows),
					    .lsn = tail_lsn(w),
					    .last = fx->cookie != 0});
		break;
	case HA_FX_ROWS_BEGIN:
	case HA_FX_ROWS_PUT:
	case HA_FX_ROWS_END:
		answer(w, (struct ha_event){.type = HA_EV_ROWS_APPLIED});
		break;
	case HA_FX_DIE:
		w->died = true;
		break;
	case HA_FX_CLOSE_LINK:
	case HA_FX_SCORE:
	case HA_FX_ORDER_RESULT:
	case HA_FX_SERVE:
	case HA_FX_HOLD:
	case HA_FX_RESUME:
	case HA_FX_UNDRAIN:
	case HA_FX_STANDBY:
	case HA_FX_ROWS_KEEP:
	case HA_FX_TIMER:
	case HA_FX_ALARM:
		break;
	}
}

static void step(struct world *w, struct ha_event e)
{
	struct ha_effect fx;

	if (w->died)
		return;
	e.now_ms = w->now_ms;
	ha_step(w->h, &e);
	while (ha_next(w->h, &fx)) {
		FUZZ_CHECK(++w->effects < EFFECTS_MAX, "the core never comes to rest");
		take_effect(w, &fx);
		jr_batch_unref(fx.batch);
	}
	FUZZ_CHECK(w->died || ha_commit_lsn(w->h) < ha_next_lsn(w->h));
}

/* ---- completions ---- */

static void complete(struct world *w, unsigned int i, bool fails)
{
	struct ha_event e = w->queue[i];
	struct ha_arbiter next = w->record[i], stands;

	w->queued--;
	memmove(w->queue + i, w->queue + i + 1, (w->queued - i) * sizeof(w->queue[0]));
	memmove(w->record + i, w->record + i + 1, (w->queued - i) * sizeof(w->record[0]));
	switch (e.type) {
	case HA_EV_APPENDED:
		if (fails)
			e = (struct ha_event){.type = HA_EV_APPEND_FAILED, .error = -EIO};
		else if (e.lsn > tail_lsn(w))
			return; /* cut meanwhile */
		else if (e.lsn > w->durable_lsn)
			w->durable_lsn = e.lsn;
		break;
	case HA_EV_FETCHED:
		e.batch = fails ? NULL : find(w, e.lsn);
		break;
	case HA_EV_STATE_SAVED:
		w->saves--;
		break;
	case HA_EV_ARB_CAS:
		w->writes--;
		if (!e.error && fails)
			e.error = -EIO;
		if (!e.error || (fails && fuzz_u8(&w->in) % 2))
			w->arbiter = next;
		stands = w->arbiter;
		e.arbiter = &stands;
		break;
	case HA_EV_ARB_READ:
		stands = w->arbiter;
		e.arbiter = &stands;
		e.error = fails ? -EIO : 0;
		break;
	case HA_EV_ARB_FLOOR:
		w->writes--;
		e.error = fails ? -EIO : 0;
		break;
	case HA_EV_FENCE:
	case HA_EV_PREEMPTED:
		e.error = fails ? -EBUSY : 0;
		break;
	default:
		break;
	}
	step(w, e);
}

/* ---- messages that need not be true ---- */

static uint64_t any_lsn(struct world *w)
{
	uint8_t how = fuzz_u8(&w->in);
	uint64_t tail = tail_lsn(w);

	switch (how % 8) {
	case 0:
		return 0;
	case 1:
		return ha_commit_lsn(w->h);
	case 2:
		return tail + 1;
	case 3:
		return tail > 0 ? tail - 1 : 0;
	case 4:
		return how / 8;
	case 5:
		return UINT64_MAX - how / 8;
	default:
		return tail;
	}
}

static uint64_t any_epoch(struct world *w)
{
	uint8_t how = fuzz_u8(&w->in);
	uint64_t epoch = ha_epoch(w->h);

	return how % 8 == 0   ? how / 8
	       : how % 8 == 1 ? epoch + 1
	       : how % 8 == 2 ? UINT64_MAX
			      : epoch;
}

static uint64_t any_link(struct world *w)
{
	uint8_t how = fuzz_u8(&w->in);

	return how % 8 == 0 ? how / 8 : w->link;
}

static struct pr_hash any_hash(struct world *w, uint64_t lsn)
{
	const struct jr_batch *b = find(w, lsn);
	struct pr_hash hash = b ? b->hash : w->base_hash;

	if (fuzz_u8(&w->in) % 8 == 0)
		hash.b[0] ^= 1;
	return hash;
}

static void hand_over(struct world *w, uint16_t type, const uint8_t *p, const struct pr_buf *b)
{
	step(w, (struct ha_event){.type = HA_EV_LINK_MSG,
				  .conn = w->conn,
				  .msg_type = type,
				  .p = p,
				  .len = (uint32_t)b->len});
}

static void say_hello(struct world *w, uint8_t *buffer, size_t size)
{
	struct pr_link_hello m = {.version_min = PR_VERSION,
				  .version_max = PR_VERSION,
				  .node = 2,
				  .incarnation = w->peer_incarnation,
				  .nonce = w->nonce,
				  .first_lsn = 1};
	struct pr_buf b = pr_buf_on(buffer, size);
	struct pr_hash hash;
	uint8_t how, count;
	size_t at;

	memcpy(m.cluster.b, cluster, 16);
	m.tail_lsn = any_lsn(w);
	hash = any_hash(w, m.tail_lsn);
	m.tail_hash = pr_hash_bytes(&hash);
	how = fuzz_u8(&w->in);
	m.role = how % 4;
	m.mode = (how >> 2) % 3;
	m.dstate = (how >> 5) % 6;
	m.epoch = any_epoch(w);
	m.log_epoch = any_epoch(w);
	m.commit_lsn = any_lsn(w);
	m.store_lsn = any_lsn(w);
	FUZZ_CHECK(pr_link_hello_encode(&b, &m) == 0);
	count = fuzz_u8(&w->in) % 4;
	at = pr_tail_open(&b);
	for (uint8_t i = 0; i < count; i++) {
		struct pr_history y = {.hash = pr_hash_bytes(&hash), .members = 3};

		y.epoch = any_epoch(w);
		y.first_lsn = any_lsn(w);
		FUZZ_CHECK(pr_history_put(&b, &y) == 0);
	}
	pr_tail_close(&b, at, count);
	hand_over(w, PR_T_LINK_HELLO, buffer, &b);
}

/* What most messages are made of. */
struct words {
	uint64_t lsn, epoch, link;
	struct pr_hash hash;
	uint8_t flag;
};

static struct words any_words(struct world *w)
{
	struct words s;

	s.lsn = any_lsn(w);
	s.epoch = any_epoch(w);
	s.link = any_link(w);
	s.hash = any_hash(w, s.lsn);
	s.flag = fuzz_u8(&w->in);
	return s;
}

#define SAY(NAME, name, ...)                                          \
	do {                                                          \
		struct pr_##name m_ = {__VA_ARGS__};                  \
		struct pr_buf b_ = pr_buf_on(buffer, sizeof(buffer)); \
		if (pr_##name##_encode(&b_, &m_) == 0)                \
			hand_over(w, PR_T_##NAME, buffer, &b_);       \
	} while (0)

static void say_batch(struct world *w, const struct words *s, bool give)
{
	static uint8_t buffer[64 << 10];
	struct pr_hash prev =
		s->lsn > 0 && find(w, s->lsn - 1) ? find(w, s->lsn - 1)->hash : w->base_hash;
	struct jr_batch *b;

	if (s->lsn == 0 || s->lsn == UINT64_MAX)
		return;
	prev.b[0] ^= s->flag & 1;
	b = batch_new(s->epoch, s->lsn, s->flag >> 4, &prev);
	if (!b)
		return;
	if (give)
		SAY(LINK_BATCH_GIVE, link_batch_give, .lsn = s->lsn, .known = (s->flag & 2) != 0,
		    .image = pr_bytes_of(b->image, b->image_bytes));
	else
		SAY(LINK_BATCH, link_batch, .epoch = s->epoch, .link = s->link, .first_lsn = s->lsn,
		    .last_lsn = s->lsn, .image = pr_bytes_of(b->image, b->image_bytes));
	jr_batch_unref(b);
}

static void say_as_active(struct world *w, const struct words *s, uint8_t kind)
{
	static uint8_t buffer[8 << 10];

	switch (kind) {
	case 0:
	case 1:
		SAY(LINK_SESSION, link_session, .epoch = s->epoch, .link = ++w->link,
		    .base_lsn = s->lsn, .base_hash = pr_hash_bytes(&s->hash), .kind = s->flag % 3,
		    .goal_lsn = s->flag >> 4);
		break;
	case 2:
	case 3:
	case 4:
		say_batch(w, s, false);
		break;
	case 5:
		say_batch(w, s, true);
		break;
	case 6:
		SAY(LINK_BEAT, link_beat, .epoch = s->epoch, .link = s->link, .commit_lsn = s->lsn,
		    .sent_ms = w->now_ms, .echo_ms = w->now_ms);
		break;
	case 7:
		SAY(LINK_OUTDATE, link_outdate, .epoch = s->epoch);
		break;
	case 8:
		SAY(LINK_INSYNC, link_insync, .epoch = s->epoch, .link = s->link, .lsn = s->lsn);
		break;
	case 9:
		SAY(LINK_FORK_ASK, link_fork_ask, .nonce = 1, .lsn = s->lsn);
		break;
	case 10:
		SAY(LINK_ROWS, link_rows, .epoch = s->epoch, .link = s->link, .lsn = s->lsn,
		    .last = s->flag % 2, .rows = pr_bytes_of(rows, sizeof(rows)));
		break;
	default:
		SAY(LINK_HANDOVER, link_handover, .epoch = s->epoch, .link = s->link,
		    .lsn = s->lsn);
	}
}

static void say_as_standby(struct world *w, const struct words *s, uint8_t kind)
{
	static uint8_t buffer[8 << 10];

	switch (kind) {
	case 0:
	case 1:
		SAY(LINK_SESSION_OK, link_session_ok, .epoch = s->epoch, .link = s->link,
		    .tail_lsn = s->lsn, .tail_hash = pr_hash_bytes(&s->hash));
		break;
	case 2:
	case 3:
	case 4:
		SAY(LINK_ACK, link_ack, .epoch = s->epoch, .link = s->link, .lsn = s->lsn);
		break;
	case 5:
		SAY(LINK_NACK, link_nack, .epoch = s->epoch, .link = s->link, .lsn = s->lsn);
		break;
	case 6:
		SAY(LINK_PROMISE_ASK, link_promise_ask, .epoch = s->epoch, .to = 2);
		break;
	case 7:
		SAY(LINK_PROMISE, link_promise, .epoch = s->epoch, .to = 1,
		    .granted = s->flag % 4 != 0);
		break;
	case 8:
		SAY(LINK_INSYNC_OK, link_insync_ok, .epoch = s->epoch, .link = s->link,
		    .lsn = s->lsn);
		break;
	case 9:
		SAY(LINK_FORK, link_fork, .nonce = s->flag, .lsn = s->lsn,
		    .hash = pr_hash_bytes(&s->hash), .known = 1);
		break;
	case 10:
		SAY(LINK_ROWS_OK, link_rows_ok, .epoch = s->epoch, .link = s->link,
		    .last = s->flag % 2);
		break;
	default:
		SAY(LINK_BATCH_ASK, link_batch_ask, .nonce = 1, .lsn = s->lsn);
	}
}

static void say(struct world *w)
{
	static uint8_t buffer[8 << 10];
	uint8_t kind = fuzz_u8(&w->in);
	struct words s;

	if (kind % 4 == 0) {
		say_hello(w, buffer, sizeof(buffer));
		return;
	}
	s = any_words(w);
	if (kind % 4 == 1)
		say_as_active(w, &s, (kind >> 2) % 12);
	else
		say_as_standby(w, &s, (kind >> 2) % 12);
}

/* ---- events ---- */

static void submit(struct world *w)
{
	struct pr_hash prev = ha_tail_hash(w->h);
	struct jr_batch *b;

	if (w->died || !ha_can_submit(w->h) || w->logs + 8 > BATCHES_MAX)
		return;
	b = batch_new(ha_epoch(w->h), ha_next_lsn(w->h), ha_commit_lsn(w->h), &prev);
	FUZZ_CHECK(b);
	step(w, (struct ha_event){.type = HA_EV_SUBMIT, .batch = b});
	jr_batch_unref(b);
}

static void peer_fact(struct world *w)
{
	uint8_t how = fuzz_u8(&w->in);

	w->peer_incarnation += how % 4 == 0;
	step(w, (struct ha_event){.type = HA_EV_PEER,
				  .incarnation = w->peer_incarnation,
				  .process_up = how & 4,
				  .node_up = how & 8,
				  .quorate = !(how & 16)});
}

/* The peer writes the record: as the active of its epoch, or because it took the role over. */
static void peer_writes(struct world *w)
{
	uint8_t how = fuzz_u8(&w->in);

	if (w->writes)
		return;
	w->arbiter.seq++;
	w->arbiter.epoch += w->arbiter.active == 1 || (how & 1);
	w->arbiter.members = how & 2 ? 2 : 3;
	w->arbiter.active = 2;
}

static void event(struct world *w)
{
	uint8_t what = fuzz_u8(&w->in);

	switch (what % 16) {
	case 0:
	case 1:
	case 2:
	case 3:
		if (w->queued)
			complete(w, 0, false);
		break;
	case 4:
		while (w->queued && !w->died)
			complete(w, 0, false);
		break;
	case 5:
		if (w->queued)
			complete(w, fuzz_below(&w->in, w->queued), what & 16);
		break;
	case 6:
		w->now_ms += (uint64_t)1 << (what >> 4);
		step(w, (struct ha_event){.type = HA_EV_TIMER});
		break;
	case 7:
		step(w, (struct ha_event){.type = HA_EV_LINK_UP, .conn = ++w->conn});
		break;
	case 8:
		step(w, (struct ha_event){.type = HA_EV_LINK_DOWN, .conn = w->conn});
		break;
	case 9:
		peer_fact(w);
		break;
	case 10:
		step(w, (struct ha_event){.type = HA_EV_FENCE,
					  .incarnation = w->peer_incarnation,
					  .error = what & 16 ? -EIO : 0});
		break;
	case 11:
		step(w, (struct ha_event){.type = what >> 4 == 0   ? HA_EV_DEMOTE
						  : what >> 4 == 1 ? HA_EV_SWITCHOVER
						  : what >> 4 == 2 ? HA_EV_OVERRIDE
								   : HA_EV_PROMOTE,
					  .ticket = what});
		break;
	case 12:
		submit(w);
		break;
	case 13:
		if (what >> 4 == 0)
			peer_writes(w);
		else
			say(w);
		break;
	default:
		say(w);
	}
}

static void boot(struct world *w)
{
	uint8_t how = fuzz_u8(&w->in), verdict = fuzz_u8(&w->in);
	unsigned int n = fuzz_u8(&w->in) % (START_MAX + 1);
	struct jr_event opened = {.type = JR_EV_OPENED, .first_lsn = 1};
	struct pr_hash hash = {0};

	for (unsigned int i = 0; i < n; i++) {
		w->log[w->logs++] = batch_new(4, i + 1, i ? i - 1 : 0, &hash);
		hash = w->log[i]->hash;
	}
	w->durable_lsn = opened.tail_lsn = n;
	opened.tail_hash = hash;
	opened.commit_lsn = n > 1 ? n - 2 : 0;
	opened.verdict = n ? JR_CLEAN : JR_EMPTY;
	if (n && verdict % 8 == 0) {
		opened.verdict = verdict & 8 ? JR_HALT : JR_REPAIR;
		opened.damaged_first = opened.damaged_last = n;
	}
	memcpy(w->state.cluster, cluster, 16);
	w->state.node = 1;
	w->state.dstate = how % 6;
	w->state.epoch = w->state.log_epoch = w->epoch_saved = 4;
	memcpy(w->arbiter.cluster, cluster, 16);
	w->arbiter.seq = 10;
	w->arbiter.epoch = 4 + (how >> 7);
	w->arbiter.members = (how >> 3) & 3;
	w->arbiter.active = 1 + ((how >> 5) & 1);
	step(w, (struct ha_event){.type = HA_EV_BOOT,
				  .state = &w->state,
				  .opened = &opened,
				  .incarnation = 7,
				  .error = how == 0xff ? -ENOENT : 0});
}

static void one(const uint8_t *p, size_t len)
{
	struct world w = {.in = {p, len}, .now_ms = 1000, .peer_incarnation = 3};
	struct ha_config cfg = {.node = 1,
				.beat_ms = 50,
				.lease_ms = 500,
				.drop_ms = 2000,
				.link_dead_ms = 1000,
				.in_flight = 2,
				.drift_ppm = 1000};

	memcpy(cfg.cluster, cluster, 16);
	w.h = ha_new(&cfg);
	FUZZ_CHECK(w.h);
	boot(&w);
	for (unsigned int i = 0; i < EVENTS_MAX && w.in.left > 0 && !w.died; i++) {
		if (w.logs + 4 > BATCHES_MAX || w.queued + 16 > QUEUE_MAX)
			break;
		w.effects = 0;
		event(&w);
	}
	ha_free(w.h);
	log_cut(&w, 0);
}

FUZZ_TARGET(ha)
