/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the core orders is noted as a word, and done at once unless the test holds it back. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "tests/unit/ha_rig.h"

const uint8_t pair_cluster[16] = "scripted pair";
struct pair_rig pair;
bool pair_freeze;
uint32_t pair_membership_ms;
bool pair_no_memory;

/* The linker puts these in the place of the core's calls (local.mk). */
void *__real_malloc(size_t), *__real_calloc(size_t, size_t);
void *__wrap_malloc(size_t), *__wrap_calloc(size_t, size_t);

void *__wrap_malloc(size_t bytes)
{
	return pair_no_memory ? NULL : __real_malloc(bytes);
}

void *__wrap_calloc(size_t n, size_t bytes)
{
	return pair_no_memory ? NULL : __real_calloc(n, bytes);
}

static void note(const char *f, ...) __attribute__((format(printf, 1, 2)));
static void note(const char *f, ...)
{
	va_list ap;

	if (pair.seens == PAIR_SEEN_MAX)
		return;
	va_start(ap, f);
	vsnprintf(pair.seen[pair.seens++], 64, f, ap);
	va_end(ap);
}

static struct jr_batch *find(uint64_t lsn)
{
	for (unsigned i = 0; i < pair.logs; i++)
		if (pair.log[i] && pair.log[i]->first_lsn <= lsn && lsn <= pair.log[i]->last_lsn)
			return pair.log[i];
	return NULL;
}

static void on_send(const struct ha_effect *fx)
{
	struct pr_link_session s;
	struct pr_link_promise v;
	struct pr_link_hello y;
	struct pr_link_beat b;

	if (fx->msg_type == PR_T_LINK_BEAT) {
		cr_assert_eq(pr_link_beat_decode(&b, fx->p, fx->len), 0);
		pair.echo_ms = b.echo_ms;
		return;
	}
	if (fx->msg_type == PR_T_LINK_SESSION && pr_link_session_decode(&s, fx->p, fx->len) == 0) {
		pair.link = s.link;
		pair.epoch = s.epoch;
		note("session kind %u base %llu", s.kind, (unsigned long long)s.base_lsn);
		return;
	}
	if (fx->msg_type == PR_T_LINK_HELLO && pr_link_hello_decode(&y, fx->p, fx->len) == 0)
		pair.hello_nonce = y.nonce;
	if (fx->msg_type == PR_T_LINK_PROMISE && pr_link_promise_decode(&v, fx->p, fx->len) == 0)
		note("vote %llu %s", (unsigned long long)v.epoch, v.granted ? "given" : "refused");
	note("%s", pr_type_name(fx->msg_type));
}

static void effect(const struct ha_effect *fx)
{
	struct ha_event e = {0};

	switch (fx->type) {
	case HA_FX_SEND:
		on_send(fx);
		break;
	case HA_FX_CLOSE_LINK:
		note("close");
		break;
	case HA_FX_APPEND:
		note("append");
		pair.log[pair.logs++] = jr_batch_ref(fx->batch);
		if (!pair.hold_appends)
			pair_event((struct ha_event){.type = HA_EV_APPENDED,
						     .lsn = fx->batch->last_lsn});
		break;
	case HA_FX_COMMITTED:
		note("committed");
		pair.committed = fx->lsn;
		break;
	case HA_FX_APPLY:
		note("apply %llu", (unsigned long long)fx->batch->last_lsn);
		break;
	case HA_FX_FETCH:
		note("fetch %llu", (unsigned long long)fx->lsn);
		pair.cookie = fx->cookie;
		if (pair.hold_fetches)
			break;
		pair_event((struct ha_event){
			.type = HA_EV_FETCHED, .cookie = fx->cookie, .batch = find(fx->lsn)});
		break;
	case HA_FX_CUT:
		note("cut %llu", (unsigned long long)fx->lsn);
		if (pair.hold_cuts)
			break;
		pair_event((struct ha_event){.type = HA_EV_CUT, .lsn = fx->lsn});
		break;
	case HA_FX_SAVE_STATE:
		note("save %s %llu", ha_dstate_name(fx->state->dstate),
		     (unsigned long long)fx->state->epoch);
		pair.saved = *fx->state;
		if (!pair.hold_saves)
			pair_event((struct ha_event){.type = HA_EV_STATE_SAVED});
		break;
	case HA_FX_ARB_READ:
		pair.arb_reads++;
		if (pair.hold_reads)
			break;
		pair_event((struct ha_event){.type = HA_EV_ARB_READ,
					     .error = pair.arb_error,
					     .arbiter = &pair.arb,
					     .floor_epoch = pair.floor_epoch,
					     .floor_lsn = pair.floor});
		break;
	case HA_FX_ARB_CAS:
		note("cas %llu members %u active %u", (unsigned long long)fx->next.epoch,
		     fx->next.members, fx->next.active);
		if (pair.hold_cas)
			break;
		e = (struct ha_event){
			.type = HA_EV_ARB_CAS, .error = pair.cas_error, .arbiter = &pair.arb};
		if (!e.error && memcmp(&fx->expect, &pair.arb, sizeof(pair.arb)) != 0)
			e.error = -ESTALE;
		if (!e.error)
			pair.arb = fx->next;
		pair_event(e);
		break;
	case HA_FX_ARB_FLOOR:
		pair.floor = fx->lsn;
		pair.floor_epoch = fx->epoch;
		pair.floors++;
		if (!pair.hold_floors)
			pair_event((struct ha_event){.type = HA_EV_ARB_FLOOR});
		break;
	case HA_FX_PREEMPT:
		pair.preempts++;
		note("preempt");
		if (!pair.hold_preempts)
			pair_event((struct ha_event){.type = HA_EV_PREEMPTED,
						     .error = pair.preempt_error});
		break;
	case HA_FX_ASK_FENCE:
		note("ask fence %llu", (unsigned long long)fx->incarnation);
		break;
	case HA_FX_ORDER_RESULT:
		note("result %d", fx->error);
		pair.result = fx->error;
		snprintf(pair.text, sizeof(pair.text), "%s", fx->text);
		break;
	case HA_FX_SERVE:
		note("SERVE");
		pair.at_lsn = fx->lsn;
		break;
	case HA_FX_ALARM:
		note("alarm %s %d", ha_alarm_name((unsigned)fx->alarm), fx->on);
		break;
	case HA_FX_DIE:
		note("DIE");
		snprintf(pair.text, sizeof(pair.text), "%s", fx->text);
		break;
	case HA_FX_RESET:
		note("reset %llu common %llu", (unsigned long long)fx->lsn,
		     (unsigned long long)fx->common_lsn);
		if (pair.hold_cuts)
			break;
		pair_event((struct ha_event){.type = HA_EV_CUT, .lsn = fx->lsn});
		break;
	case HA_FX_REPAIR:
		note("repair %llu", (unsigned long long)fx->batch->first_lsn);
		if (pair.hold_repairs)
			break;
		pair_event((struct ha_event){.type = HA_EV_REPAIRED,
					     .lsn = fx->batch->last_lsn,
					     .error = pair.other_batch ? -EILSEQ : 0,
					     .text = pair.other_batch ? "another batch" : NULL});
		break;
#define WORD(type, word)    \
	case type:          \
		note(word); \
		break;
		WORD(HA_FX_HOLD, "HOLD")
		WORD(HA_FX_RESUME, "RESUME")
		WORD(HA_FX_DRAIN, "DRAIN")
		WORD(HA_FX_UNDRAIN, "UNDRAIN")
		WORD(HA_FX_STANDBY, "STANDBY")
		WORD(HA_FX_ROWS_READ, "rows read")
		WORD(HA_FX_ROWS_BEGIN, "rows begin")
		WORD(HA_FX_ROWS_PUT, "rows put")
		WORD(HA_FX_ROWS_END, "rows end")
		WORD(HA_FX_ROWS_KEEP, "rows keep")
#undef WORD
	case HA_FX_SCORE:
		pair.score = fx->score;
		break;
	case HA_FX_TIMER:
		break;
	}
}

void pair_event(struct ha_event e)
{
	static unsigned depth;
	struct ha_effect fx;

	e.now_ms = pair.now;
	ha_step(pair.h, &e);
	if (depth || pair.hold_effects)
		return; /* the outer loop takes what came */
	depth++;
	while (ha_next(pair.h, &fx)) {
		effect(&fx);
		jr_batch_unref(fx.batch);
	}
	depth--;
}

static int at(const char *word)
{
	for (unsigned i = 0; i < pair.seens; i++)
		if (strcmp(pair.seen[i], word) == 0)
			return (int)i;
	return -1;
}

bool pair_saw(const char *word)
{
	return at(word) >= 0;
}

unsigned pair_count(const char *word)
{
	unsigned n = 0;

	for (unsigned i = 0; i < pair.seens; i++)
		n += strcmp(pair.seen[i], word) == 0;
	return n;
}

void pair_forget(void)
{
	pair.seens = 0;
	pair.result = 1;
	pair.text[0] = '\0';
}

/* The words must have come, in this order. */
void pair_in_order(const char *const *words)
{
	int last = -1;

	for (; *words; words++) {
		int i = at(*words);

		cr_assert_gt(i, last, "\"%s\" is missing or too early (%d after %d)", *words, i,
			     last);
		last = i;
	}
}

void pair_wait_ms(uint64_t ms)
{
	for (uint64_t end = pair.now + ms; pair.now < end;) {
		pair.now += ms < 10 ? 1 : 10;
		pair_event((struct ha_event){.type = HA_EV_TIMER});
	}
}

void pair_start(uint8_t members, uint8_t active)
{
	memset(&pair, 0, sizeof(pair));
	pair.now = 1000;
	pair.first_lsn = 1;
	pair.incarnation = 50;
	pair.cfg = (struct ha_config){
		.node = 1,
		.beat_ms = 50,
		.lease_ms = 500,
		.drop_ms = 5000,
		.link_dead_ms = 1000,
		.in_flight = 2,
		.drift_ppm = 1000,
	};
	pair.cfg.freeze_on_peer_loss = pair_freeze;
	pair.cfg.membership_ms = pair_membership_ms;
	memcpy(pair.cfg.cluster, pair_cluster, 16);
	memcpy(pair.arb.cluster, pair_cluster, 16);
	pair.arb.seq = 10;
	pair.arb.epoch = 4;
	pair.arb.members = members;
	pair.arb.active = active;
	memcpy(pair.saved.cluster, pair_cluster, 16);
	pair.saved.node = 1;
	pair.saved.dstate = HA_INSYNC;
	pair.saved.epoch = pair.saved.log_epoch = 4;
	pair.result = 1;
}

struct jr_batch *pair_batch_of(uint64_t epoch, uint64_t lsn, unsigned n, uint64_t commit,
			       const struct pr_hash *prev, uint32_t bytes)
{
	size_t size = n * (size_t)PR_MIN_record + bytes;
	uint8_t *p = calloc(1, size);
	struct pr_buf b = pr_buf_on(p, size);
	struct jr_batch *batch;

	for (unsigned i = 0; i < n; i++)
		cr_assert_eq(pr_record_put(&b, &(struct pr_record){.lsn = lsn + i}), 0);
	batch = jr_batch_new(pair_cluster, epoch, lsn, lsn + n - 1, commit, prev, p,
			     (uint32_t)size);
	free(p);
	cr_assert(batch);
	return batch;
}

struct jr_batch *pair_batch(uint64_t epoch, uint64_t lsn, uint64_t commit,
			    const struct pr_hash *prev, uint32_t slot)
{
	struct pr_record v = {.lsn = lsn, .slot = slot};
	uint8_t bytes[PR_MIN_record];
	struct pr_buf b = pr_buf_on(bytes, sizeof(bytes));

	cr_assert_eq(pr_record_put(&b, &v), 0);
	return jr_batch_new(pair_cluster, epoch, lsn, lsn, commit, prev, bytes, (uint32_t)b.len);
}

/* A log of n batches of epoch 4, one LSN each. */
void pair_log_of(unsigned n)
{
	struct pr_hash prev = {0};

	for (unsigned i = 0; i < n; i++) {
		pair.log[pair.logs++] = pair_batch(4, i + 1, i ? i - 1 : 0, &prev, 0);
		prev = pair.log[i]->hash;
	}
}

void pair_boot_alone(int state_error, enum jr_verdict verdict)
{
	struct jr_event opened = {
		.type = JR_EV_OPENED, .verdict = verdict, .first_lsn = pair.first_lsn};
	struct ha_state state = pair.saved;

	if (pair.logs) {
		opened.tail_lsn = pair.log[pair.logs - 1]->last_lsn;
		opened.tail_hash = pair.log[pair.logs - 1]->hash;
	}
	opened.commit_lsn = opened.tail_lsn > 1 ? opened.tail_lsn - 2 : 0;
	opened.damaged_first = opened.damaged_last = 2;
	opened.missing_lsn = pair.missing;
	if (!pair.h)
		pair.h = ha_new(&pair.cfg);
	pair_event((struct ha_event){.type = HA_EV_BOOT,
				     .error = state_error,
				     .state = &state,
				     .opened = &opened,
				     .store_lsn = pair.store_lsn,
				     .incarnation = 100});
}

void pair_peer(uint64_t incarnation, bool process_up, bool node_up)
{
	pair_event((struct ha_event){.type = HA_EV_PEER,
				     .incarnation = incarnation,
				     .process_up = process_up,
				     .node_up = node_up,
				     .quorate = true});
}

void pair_boot_as(int state_error, enum jr_verdict verdict)
{
	pair_boot_alone(state_error, verdict);
	pair_peer(50, true, true);
}

void pair_boot(void)
{
	pair_boot_as(0, pair.logs ? JR_CLEAN : JR_EMPTY);
}

void pair_fenced(void)
{
	pair_peer(50, false, true);
	pair_event((struct ha_event){.type = HA_EV_FENCE, .incarnation = 50});
}

void pair_record(uint64_t epoch, uint8_t members, uint8_t active)
{
	pair.arb.seq++;
	pair.arb.epoch = epoch;
	pair.arb.members = members;
	pair.arb.active = active;
}

void pair_fetched(struct jr_batch *b)
{
	pair_event((struct ha_event){.type = HA_EV_FETCHED, .cookie = pair.cookie, .batch = b});
}

void pair_message(uint16_t type, const uint8_t *p, size_t len)
{
	pair_event((struct ha_event){.type = HA_EV_LINK_MSG,
				     .conn = pair.conn,
				     .msg_type = type,
				     .p = p,
				     .len = (uint32_t)len});
}

void pair_link_up(void)
{
	pair_event((struct ha_event){.type = HA_EV_LINK_UP, .conn = ++pair.conn});
}

void pair_hello(uint8_t role, enum ha_dstate dstate, uint64_t epoch, uint64_t tail,
		const struct pr_hash *hash)
{
	pair_hello_of((struct pr_link_hello){.role = role,
					     .dstate = (uint8_t)dstate,
					     .epoch = epoch,
					     .log_epoch = epoch,
					     .tail_lsn = tail,
					     .tail_hash = pr_hash_bytes(hash)},
		      NULL, 0);
}

void pair_hello_of(struct pr_link_hello m, const struct pr_history *history, unsigned histories)
{
	uint8_t bytes[8192];
	struct pr_buf b = pr_buf_on(bytes, sizeof(bytes));
	struct pr_uuid none = {{0}};
	size_t at;

	m.version_min = m.version_max = 1;
	if (memcmp(&m.cluster, &none, sizeof(none)) == 0)
		memcpy(m.cluster.b, pair_cluster, 16);
	if (!m.node)
		m.node = (uint8_t)(3 - pair.cfg.node);
	if (!m.incarnation)
		m.incarnation = pair.incarnation;
	if (!m.nonce)
		m.nonce = pair.hello_nonce;
	cr_assert_eq(pr_link_hello_encode(&b, &m), 0);
	at = pr_tail_open(&b);
	for (unsigned i = 0; i < histories; i++)
		cr_assert_eq(pr_history_put(&b, &history[i]), 0);
	pr_tail_close(&b, at, histories);
	pair_message(PR_T_LINK_HELLO, bytes, b.len);
}

void pair_session_ok(uint64_t tail)
{
	SAY(SESSION_OK, session_ok, .epoch = pair.epoch, .link = pair.link, .tail_lsn = tail);
}

void pair_ack(uint64_t lsn)
{
	SAY(ACK, ack, .epoch = pair.epoch, .link = pair.link, .lsn = lsn);
}

void pair_beat_back(void)
{
	SAY(BEAT, beat, .epoch = pair.epoch, .link = pair.link, .echo_ms = pair.now);
}

struct pr_hash pair_tail_hash(void)
{
	return ha_tail_hash(pair.h);
}

void pair_beat(void)
{
	SAY(BEAT, beat, .epoch = 0);
}

void pair_beats_ms(uint64_t ms)
{
	for (uint64_t end = pair.now + ms; pair.now < end; pair_wait_ms(10))
		pair_beat();
}

uint64_t pair_tail(void)
{
	return ha_next_lsn(pair.h) - 1;
}

void pair_submit(void)
{
	struct pr_hash prev = pair_tail_hash();
	struct jr_batch *b =
		pair_batch(ha_epoch(pair.h), ha_next_lsn(pair.h), ha_commit_lsn(pair.h), &prev, 0);

	pair_event((struct ha_event){.type = HA_EV_SUBMIT, .batch = b});
	jr_batch_unref(b);
}

/* Promoted alone, with n LSNs before the EPOCH record. */
void pair_active_alone(unsigned n)
{
	pair_start(3, 2);
	pair_log_of(n);
	pair_boot();
	pair_fenced();
	pair_event((struct ha_event){.type = HA_EV_PROMOTE, .ticket = 1});
	cr_assert_eq(ha_role(pair.h), PR_ROLE_ACTIVE, "%s", pair.text);
	cr_assert_eq(ha_mode(pair.h), HA_ALONE);
}

void pair_comes_in_sync(void)
{
	struct pr_hash hash = pair_tail_hash();

	pair_link_up();
	pair_hello(PR_ROLE_STANDBY, HA_OUTDATED, 4, pair_tail(), &hash);
	pair_session_ok(pair_tail());
	SAY(INSYNC_OK, insync_ok, .epoch = pair.epoch, .link = pair.link, .lsn = pair_tail());
	cr_assert_eq(ha_mode(pair.h), HA_SYNC);
}

void pair_active_sync(void)
{
	pair_active_alone(3);
	pair.incarnation = 51; /* its successor */
	pair_peer(51, true, true);
	pair_comes_in_sync();
	pair_beat_back();
	pair_forget();
}

void pair_standby_resyncing(void)
{
	struct pr_hash zero = {0};

	pair_start(2, 2);
	pair.saved.dstate = HA_OUTDATED;
	pair_boot();
	pair_link_up();
	pair_hello(PR_ROLE_ACTIVE, HA_DALONE, 4, 0, &zero);
	SAY(SESSION, session, .epoch = 4, .link = 7, .kind = PR_LINK_RESYNC);
}

void pair_standby_in_sync(unsigned n)
{
	struct pr_hash hash = {0};

	pair_start(3, 2);
	pair_log_of(n);
	if (n)
		hash = pair.log[n - 1]->hash;
	pair_boot();
	pair_link_up();
	pair_hello(PR_ROLE_ACTIVE, HA_INSYNC, 4, n, &hash);
	pair.epoch = 4;
	pair.link = 7;
	SAY(SESSION, session, .epoch = 4, .link = 7, .base_lsn = n,
	    .base_hash = pr_hash_bytes(&hash), .kind = PR_LINK_INSYNC);
	cr_assert(pair_saw("link_session_ok"));
	pair_forget();
}

void pair_give(uint64_t epoch, uint64_t link, uint64_t lsn, const struct pr_hash *prev,
	       uint64_t commit)
{
	struct jr_batch *b = pair_batch(epoch, lsn, commit, prev, 0);

	SAY(BATCH, batch, .epoch = epoch, .link = link, .first_lsn = lsn, .last_lsn = lsn,
	    .image = {b->image, b->image_bytes});
	jr_batch_unref(b);
}

void pair_end(void)
{
	ha_free(pair.h);
	pair.h = NULL;
	while (pair.logs)
		jr_batch_unref(pair.log[--pair.logs]);
}

TestSuite(ha_pair, .fini = pair_end);
