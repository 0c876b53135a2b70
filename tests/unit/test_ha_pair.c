/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One core, scripted: each row of the protocol's tables with the events that lead to it and the effects that must follow, in order. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "ha/core/ha.h"

enum { SEEN_MAX = 1024, LOG_MAX = 256 };
static const uint8_t cluster[16] = "scripted pair";

static struct {
	struct ha *h;
	struct ha_config cfg;
	uint64_t now, conn, incarnation, link,
		epoch; /* link, epoch: of the last link_session seen or faked */
	uint64_t hello_nonce;
	struct ha_state saved;
	struct ha_arbiter arb;
	uint64_t floor;
	bool hold_saves, hold_cas, hold_appends, other_batch; /* the journal takes no repair */
	int cas_error, arb_error, score;
	unsigned arb_reads;
	struct jr_batch *log[LOG_MAX];
	unsigned logs;
	char seen[SEEN_MAX][64]; /* what came out, as words */
	unsigned seens;
	uint64_t committed, at_lsn, preempts;
	int result;
	char text[512];
} T;

static void ev(struct ha_event e);

static void note(const char *f, ...) __attribute__((format(printf, 1, 2)));
static void note(const char *f, ...)
{
	va_list ap;

	if (T.seens == SEEN_MAX)
		return;
	va_start(ap, f);
	vsnprintf(T.seen[T.seens++], 64, f, ap);
	va_end(ap);
}

static struct jr_batch *find(uint64_t lsn)
{
	for (unsigned i = 0; i < T.logs; i++)
		if (T.log[i] && T.log[i]->first_lsn <= lsn && lsn <= T.log[i]->last_lsn)
			return T.log[i];
	return NULL;
}

static void on_send(const struct ha_effect *fx)
{
	struct pr_link_session s;
	struct pr_link_hello y;

	if (fx->msg_type == PR_T_LINK_BEAT)
		return;
	if (fx->msg_type == PR_T_LINK_SESSION && pr_link_session_decode(&s, fx->p, fx->len) == 0) {
		T.link = s.link;
		T.epoch = s.epoch;
		note("session kind %u base %llu", s.kind, (unsigned long long)s.base_lsn);
		return;
	}
	if (fx->msg_type == PR_T_LINK_HELLO && pr_link_hello_decode(&y, fx->p, fx->len) == 0)
		T.hello_nonce = y.nonce;
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
		T.log[T.logs++] = jr_batch_ref(fx->batch);
		if (!T.hold_appends)
			ev((struct ha_event){.type = HA_EV_APPENDED, .lsn = fx->batch->last_lsn});
		break;
	case HA_FX_COMMITTED:
		note("committed");
		T.committed = fx->lsn;
		break;
	case HA_FX_APPLY:
		note("apply %llu", (unsigned long long)fx->batch->last_lsn);
		break;
	case HA_FX_FETCH:
		ev((struct ha_event){
			.type = HA_EV_FETCHED, .cookie = fx->cookie, .batch = find(fx->lsn)});
		break;
	case HA_FX_CUT:
		note("cut %llu", (unsigned long long)fx->lsn);
		ev((struct ha_event){.type = HA_EV_CUT, .lsn = fx->lsn});
		break;
	case HA_FX_SAVE_STATE:
		note("save %s %llu", ha_dstate_name(fx->state->dstate),
		     (unsigned long long)fx->state->epoch);
		T.saved = *fx->state;
		if (!T.hold_saves)
			ev((struct ha_event){.type = HA_EV_STATE_SAVED});
		break;
	case HA_FX_ARB_READ:
		T.arb_reads++;
		ev((struct ha_event){.type = HA_EV_ARB_READ,
				     .error = T.arb_error,
				     .arbiter = &T.arb,
				     .floor_lsn = T.floor});
		break;
	case HA_FX_ARB_CAS:
		note("cas %llu members %u active %u", (unsigned long long)fx->next.epoch,
		     fx->next.members, fx->next.active);
		if (T.hold_cas)
			break;
		e = (struct ha_event){
			.type = HA_EV_ARB_CAS, .error = T.cas_error, .arbiter = &T.arb};
		if (!e.error && memcmp(&fx->expect, &T.arb, sizeof(T.arb)) != 0)
			e.error = -ESTALE;
		if (!e.error)
			T.arb = fx->next;
		ev(e);
		break;
	case HA_FX_ARB_FLOOR:
		T.floor = fx->lsn;
		ev((struct ha_event){.type = HA_EV_ARB_FLOOR});
		break;
	case HA_FX_PREEMPT:
		T.preempts++;
		note("preempt");
		ev((struct ha_event){.type = HA_EV_PREEMPTED});
		break;
	case HA_FX_ASK_FENCE:
		note("ask fence %llu", (unsigned long long)fx->incarnation);
		break;
	case HA_FX_ORDER_RESULT:
		note("result %d", fx->error);
		T.result = fx->error;
		snprintf(T.text, sizeof(T.text), "%s", fx->text);
		break;
	case HA_FX_SERVE:
		note("SERVE");
		T.at_lsn = fx->lsn;
		break;
	case HA_FX_ALARM:
		note("alarm %s %d", ha_alarm_name((unsigned)fx->alarm), fx->on);
		break;
	case HA_FX_DIE:
		note("DIE");
		snprintf(T.text, sizeof(T.text), "%s", fx->text);
		break;
	case HA_FX_RESET:
		note("reset %llu common %llu", (unsigned long long)fx->lsn,
		     (unsigned long long)fx->common_lsn);
		ev((struct ha_event){.type = HA_EV_CUT, .lsn = fx->lsn});
		break;
	case HA_FX_REPAIR:
		note("repair %llu", (unsigned long long)fx->batch->first_lsn);
		ev((struct ha_event){.type = HA_EV_REPAIRED,
				     .lsn = fx->batch->last_lsn,
				     .error = T.other_batch ? -EILSEQ : 0,
				     .text = T.other_batch ? "another batch" : NULL});
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
		T.score = fx->score;
		break;
	case HA_FX_TIMER:
		break;
	}
}

static void ev(struct ha_event e)
{
	static unsigned depth;
	struct ha_effect fx;

	e.now_ms = T.now;
	ha_step(T.h, &e);
	if (depth)
		return; /* the outer loop takes what came */
	depth++;
	while (ha_next(T.h, &fx)) {
		effect(&fx);
		jr_batch_unref(fx.batch);
	}
	depth--;
}

static int at(const char *word)
{
	for (unsigned i = 0; i < T.seens; i++)
		if (strcmp(T.seen[i], word) == 0)
			return (int)i;
	return -1;
}

static bool saw(const char *word)
{
	return at(word) >= 0;
}

static void forget(void)
{
	T.seens = 0;
	T.result = 1;
	T.text[0] = '\0';
}

/* The words must have come, in this order. */
static void in_order(const char *const *words)
{
	int last = -1;

	for (; *words; words++) {
		int i = at(*words);

		cr_assert_gt(i, last, "\"%s\" is missing or too early (%d after %d)", *words, i,
			     last);
		last = i;
	}
}
#define ORDER(...) in_order((const char *const[]){__VA_ARGS__, NULL})

static void wait_ms(uint64_t ms)
{
	for (uint64_t end = T.now + ms; T.now < end;) {
		T.now += ms < 10 ? 1 : 10;
		ev((struct ha_event){.type = HA_EV_TIMER});
	}
}

static bool freeze;
static uint32_t membership_ms;

static void start(uint8_t members, uint8_t active)
{
	memset(&T, 0, sizeof(T));
	T.now = 1000;
	T.incarnation = 50;
	T.cfg = (struct ha_config){
		.node = 1,
		.beat_ms = 50,
		.lease_ms = 500,
		.drop_ms = 5000,
		.link_dead_ms = 1000,
		.in_flight = 2,
		.drift_ppm = 1000,
	};
	T.cfg.freeze_on_peer_loss = freeze;
	T.cfg.membership_ms = membership_ms;
	memcpy(T.cfg.cluster, cluster, 16);
	memcpy(T.arb.cluster, cluster, 16);
	T.arb.seq = 10;
	T.arb.epoch = 4;
	T.arb.members = members;
	T.arb.active = active;
	memcpy(T.saved.cluster, cluster, 16);
	T.saved.node = 1;
	T.saved.dstate = HA_INSYNC;
	T.saved.epoch = T.saved.log_epoch = 4;
	T.result = 1;
}

static struct jr_batch *batch(uint64_t epoch, uint64_t lsn, uint64_t commit,
			      const struct pr_hash *prev, uint32_t slot)
{
	struct pr_record v = {.lsn = lsn, .slot = slot};
	uint8_t bytes[PR_MIN_record];
	struct pr_buf b = pr_buf_on(bytes, sizeof(bytes));

	cr_assert_eq(pr_record_put(&b, &v), 0);
	return jr_batch_new(cluster, epoch, lsn, lsn, commit, prev, bytes, (uint32_t)b.len);
}

/* A log of n batches of epoch 4, one LSN each. */
static void log_of(unsigned n)
{
	struct pr_hash prev = {0};

	for (unsigned i = 0; i < n; i++) {
		T.log[T.logs++] = batch(4, i + 1, i ? i - 1 : 0, &prev, 0);
		prev = T.log[i]->hash;
	}
}

static void boot_as(int state_error, enum jr_verdict verdict)
{
	struct jr_event opened = {
		.type = JR_EV_OPENED, .verdict = verdict, .first_lsn = 1, .tail_lsn = T.logs};
	struct ha_state state = T.saved;

	if (T.logs)
		opened.tail_hash = T.log[T.logs - 1]->hash;
	opened.commit_lsn = T.logs > 1 ? T.logs - 2 : 0;
	opened.damaged_first = opened.damaged_last = 2;
	T.h = ha_new(&T.cfg);
	ev((struct ha_event){.type = HA_EV_BOOT,
			     .error = state_error,
			     .state = &state,
			     .opened = &opened,
			     .incarnation = 100});
	ev((struct ha_event){.type = HA_EV_PEER,
			     .incarnation = 50,
			     .process_up = true,
			     .node_up = true,
			     .quorate = true});
}

static void boot(void)
{
	boot_as(0, T.logs ? JR_CLEAN : JR_EMPTY);
}

static void fenced(void)
{
	ev((struct ha_event){
		.type = HA_EV_PEER, .incarnation = 50, .node_up = true, .quorate = true});
	ev((struct ha_event){.type = HA_EV_FENCE, .incarnation = 50});
}

/* ---- the peer, faked ---- */

static void msg(uint16_t type, const uint8_t *p, size_t len)
{
	ev((struct ha_event){.type = HA_EV_LINK_MSG,
			     .conn = T.conn,
			     .msg_type = type,
			     .p = p,
			     .len = (uint32_t)len});
}

#define SAY(NAME, name, ...)                                          \
	do {                                                          \
		struct pr_link_##name m_ = {__VA_ARGS__};             \
		static uint8_t bytes_[16384];                         \
		struct pr_buf b_ = pr_buf_on(bytes_, sizeof(bytes_)); \
		cr_assert_eq(pr_link_##name##_encode(&b_, &m_), 0);   \
		msg(PR_T_LINK_##NAME, bytes_, b_.len);                \
	} while (0)

static void link_up(void)
{
	ev((struct ha_event){.type = HA_EV_LINK_UP, .conn = ++T.conn});
}

static void hello(uint8_t role, enum ha_dstate dstate, uint64_t epoch, uint64_t tail,
		  const struct pr_hash *hash)
{
	struct pr_uuid id;

	memcpy(id.b, cluster, 16);
	SAY(HELLO, hello, .version_min = 1, .version_max = 1, .cluster = id, .node = 2,
	    .role = role, .dstate = (uint8_t)dstate, .incarnation = T.incarnation, .epoch = epoch,
	    .log_epoch = epoch, .nonce = T.hello_nonce, .tail_lsn = tail,
	    .tail_hash = pr_hash_bytes(hash));
}

static void session_ok(uint64_t tail)
{
	SAY(SESSION_OK, session_ok, .epoch = T.epoch, .link = T.link, .tail_lsn = tail);
}

static void ack(uint64_t lsn)
{
	SAY(ACK, ack, .epoch = T.epoch, .link = T.link, .lsn = lsn);
}

static void beat_back(void)
{
	SAY(BEAT, beat, .epoch = T.epoch, .link = T.link, .echo_ms = T.now);
}

static struct pr_hash tail_hash(void)
{
	return ha_tail_hash(T.h);
}

static uint64_t tail(void)
{
	return ha_next_lsn(T.h) - 1;
}

static void submit(void)
{
	struct pr_hash prev = tail_hash();
	struct jr_batch *b = batch(ha_epoch(T.h), ha_next_lsn(T.h), ha_commit_lsn(T.h), &prev, 0);

	ev((struct ha_event){.type = HA_EV_SUBMIT, .batch = b});
	jr_batch_unref(b);
}

/* Promoted alone, with n LSNs before the EPOCH record. */
static void active_alone(unsigned n)
{
	start(3, 2);
	log_of(n);
	boot();
	fenced();
	ev((struct ha_event){.type = HA_EV_PROMOTE, .ticket = 1});
	cr_assert_eq(ha_role(T.h), PR_ROLE_ACTIVE, "%s", T.text);
	cr_assert_eq(ha_mode(T.h), HA_ALONE);
}

static void active_sync(void)
{
	struct pr_hash hash;

	active_alone(3);
	T.incarnation = 51; /* its successor */
	ev((struct ha_event){.type = HA_EV_PEER,
			     .incarnation = 51,
			     .process_up = true,
			     .node_up = true,
			     .quorate = true});
	link_up();
	hash = tail_hash();
	hello(PR_ROLE_STANDBY, HA_OUTDATED, 4, tail(), &hash);
	session_ok(tail());
	SAY(INSYNC_OK, insync_ok, .epoch = T.epoch, .link = T.link, .lsn = tail());
	cr_assert_eq(ha_mode(T.h), HA_SYNC);
	beat_back();
	forget();
}

static void done(void)
{
	ha_free(T.h);
	while (T.logs)
		jr_batch_unref(T.log[--T.logs]);
}

TestSuite(ha_pair, .fini = done);

/* ---- promotion ---- */

Test(ha_pair, p_a_promotion_writes_arbiter_then_state_then_record_then_serves)
{
	active_alone(3);
	ORDER("preempt", "cas 5 members 1 active 1", "save ALONE 5", "apply 3", "append", "SERVE",
	      "result 0");
	cr_assert_eq(T.at_lsn, 4);
	cr_assert_eq(T.saved.history[T.saved.history_count - 1].first_lsn, 4);
}

Test(ha_pair, p0_no_batch_is_taken_once_the_promotion_began)
{
	struct pr_hash zero = {0};

	start(3, 2);
	boot();
	link_up();
	hello(PR_ROLE_ACTIVE, HA_INSYNC, 4, 0, &zero);
	SAY(SESSION, session, .epoch = 4, .link = 7, .kind = PR_LINK_INSYNC);
	cr_assert(saw("link_session_ok"));
	T.cas_error = -ETIMEDOUT;
	ev((struct ha_event){.type = HA_EV_PROMOTE, .ticket = 1});
	forget();
	struct jr_batch *b = batch(4, 1, 0, &zero, 0);
	SAY(BATCH, batch, .epoch = 4, .link = 7, .first_lsn = 1, .last_lsn = 1,
	    .image = {b->image, b->image_bytes});
	jr_batch_unref(b);
	cr_assert(!saw("append") && !saw("link_ack"));
}

Test(ha_pair, p1_without_quorum_or_quarantined_it_refuses)
{
	start(3, 2);
	boot();
	ev((struct ha_event){.type = HA_EV_FENCE, .incarnation = 50});
	ev((struct ha_event){.type = HA_EV_PEER, .incarnation = 50, .node_up = true});
	ev((struct ha_event){.type = HA_EV_PROMOTE});
	cr_assert_eq(T.result, -EPERM);
	cr_assert(strstr(T.text, "quor"));
	ha_free(T.h);
	start(3, 2);
	T.saved.dstate = HA_QUARANTINED;
	boot();
	fenced();
	ev((struct ha_event){.type = HA_EV_PROMOTE});
	cr_assert_eq(T.result, -EPERM);
	cr_assert(strstr(T.text, "quarantined"));
}

Test(ha_pair, p2_a_silent_peer_is_not_a_dead_one)
{
	start(3, 2);
	boot();
	ev((struct ha_event){.type = HA_EV_PROMOTE});
	cr_assert(saw("ask fence 50"));
	ev((struct ha_event){.type = HA_EV_FENCE, .incarnation = 49}); /* of an earlier process */
	wait_ms(6000);
	cr_assert_eq(T.result, -EPERM);
	cr_assert(!saw("cas 5 members 1 active 1"));
	cr_assert_eq(ha_role(T.h), PR_ROLE_STANDBY);
}

Test(ha_pair, p2_a_late_fence_lets_a_waiting_promotion_go_on)
{
	start(3, 2);
	boot();
	ev((struct ha_event){.type = HA_EV_PROMOTE});
	wait_ms(3000);
	fenced();
	cr_assert_eq(T.result, 0);
}

Test(ha_pair, p2_the_promise_of_the_peer_is_enough)
{
	struct pr_hash zero = {0};

	start(3, 2);
	boot();
	link_up();
	hello(PR_ROLE_STANDBY, HA_INSYNC, 4, 0, &zero);
	ev((struct ha_event){.type = HA_EV_PROMOTE});
	cr_assert(saw("link_promise_ask") && T.result == 1);
	SAY(PROMISE, promise, .epoch = 4, .to = 1,
	    .granted = 1); /* of another epoch: counts for nothing */
	cr_assert_eq(T.result, 1);
	SAY(PROMISE, promise, .epoch = 5, .to = 1, .granted = 1);
	cr_assert_eq(T.result, 0);
}

Test(ha_pair, p2_the_only_member_needs_nobody)
{
	start(1, 1);
	boot();
	ev((struct ha_event){.type = HA_EV_PROMOTE});
	cr_assert_eq(T.result, 0);
}

Test(ha_pair, p3_who_is_not_a_member_refuses_and_names_the_other)
{
	start(2, 2);
	log_of(3);
	boot();
	fenced();
	ev((struct ha_event){.type = HA_EV_PROMOTE});
	cr_assert_eq(T.result, -EPERM);
	cr_assert(strstr(T.text, "node 2") && strstr(T.text, "LSN 3") &&
		  strstr(T.text, "mdcctl override"));
}

Test(ha_pair, p3_a_tail_below_the_floor_is_an_old_snapshot)
{
	start(3, 2);
	log_of(3);
	T.floor = 4;
	boot();
	fenced();
	ev((struct ha_event){.type = HA_EV_PROMOTE});
	cr_assert_eq(T.result, -EPERM);
	cr_assert(strstr(T.text, "LSN 4 to 4"));
}

/* Who writes epochs that were used before would have two logs of one epoch. */
Test(ha_pair, p3_a_record_older_than_this_controller_is_an_old_snapshot)
{
	start(3, 2);
	T.saved.epoch = T.saved.log_epoch = 6;
	boot();
	fenced();
	ev((struct ha_event){.type = HA_EV_PROMOTE});
	cr_assert_eq(T.result, -EPERM);
	cr_assert(strstr(T.text, "epoch 4, this controller has been in epoch 6"), "%s", T.text);
	cr_assert_eq(T.saved.epoch, 6);
	ev((struct ha_event){.type = HA_EV_OVERRIDE});
	cr_assert_eq(ha_role(T.h), PR_ROLE_ACTIVE, "%s", T.text);
	cr_assert_gt(T.saved.epoch, 6);
}

Test(ha_pair, p3_an_unreadable_arbiter_means_no)
{
	start(3, 2);
	boot();
	fenced();
	T.arb_error = -EUCLEAN;
	ev((struct ha_event){.type = HA_EV_PROMOTE});
	cr_assert_eq(T.result, -EUCLEAN);
}

Test(ha_pair, p3_a_disk_that_was_lost_is_not_a_new_pair)
{
	start(3, 2);
	memset(&T.saved, 0, sizeof(T.saved));
	boot_as(-ENOENT, JR_EMPTY);
	fenced();
	ev((struct ha_event){.type = HA_EV_PROMOTE});
	cr_assert_eq(T.result, -EPERM);
	cr_assert(strstr(T.text, "new and empty"));
}

Test(ha_pair, p5_fabric_fencing_waits_the_lease_out)
{
	start(3, 2);
	T.cfg.fabric_fencing = true;
	T.cfg.takeover_wait_ms = 600;
	boot();
	fenced();
	ev((struct ha_event){.type = HA_EV_PROMOTE});
	wait_ms(590);
	cr_assert(!saw("cas 5 members 1 active 1"));
	wait_ms(20);
	cr_assert(saw("cas 5 members 1 active 1"));
}

Test(ha_pair, p6_a_cas_that_timed_out_decides_nothing_until_it_is_known)
{
	start(3, 2);
	T.hold_cas = true;
	boot();
	fenced();
	ev((struct ha_event){.type = HA_EV_PROMOTE});
	ev((struct ha_event){.type = HA_EV_ARB_CAS, .error = -ETIMEDOUT});
	wait_ms(10000);
	cr_assert_eq(T.result, 1);
	cr_assert(!saw("SERVE"));
	ev((struct ha_event){.type = HA_EV_ARB_CAS});
	cr_assert_eq(T.result, 0);
}

Test(ha_pair, p6_a_failed_cas_is_read_back)
{
	start(3, 2);
	T.cas_error = -EIO;
	boot();
	fenced();
	ev((struct ha_event){.type = HA_EV_PROMOTE});
	cr_assert_eq(T.result, -EAGAIN, "the record is as before: it was not written");
	cr_assert_eq(ha_role(T.h), PR_ROLE_STANDBY);
}

Test(ha_pair, p7_the_record_waits_for_the_state)
{
	start(3, 2);
	T.hold_saves = true;
	boot();
	fenced();
	ev((struct ha_event){.type = HA_EV_PROMOTE});
	cr_assert(saw("save ALONE 5") && !saw("append") && !saw("SERVE"));
}

/* ---- the active ---- */

Test(ha_pair, t1_a_reply_waits_for_both_journals)
{
	active_sync();
	T.hold_appends = true;
	submit();
	ack(tail());
	cr_assert(!saw("committed"), "durable at the peer only");
	ev((struct ha_event){.type = HA_EV_APPENDED, .lsn = tail()});
	cr_assert(saw("committed"));
	forget();
	T.hold_appends = false;
	submit();
	cr_assert(!saw("committed"), "durable here only");
	ack(tail());
	cr_assert_eq(T.committed, tail());
}

Test(ha_pair, t1_no_more_than_the_configured_batches_are_on_their_way)
{
	active_sync();
	submit();
	cr_assert(ha_can_submit(T.h));
	submit();
	cr_assert(!ha_can_submit(T.h));
	ack(tail() - 1);
	cr_assert(ha_can_submit(T.h));
}

Test(ha_pair, t2_acks_of_another_session_or_epoch_do_not_count)
{
	active_sync();
	submit();
	SAY(ACK, ack, .epoch = T.epoch, .link = T.link - 1, .lsn = tail());
	SAY(ACK, ack, .epoch = T.epoch - 1, .link = T.link, .lsn = tail());
	SAY(ACK, ack, .epoch = T.epoch, .link = T.link, .lsn = tail() + 1);
	cr_assert(!saw("committed"));
}

Test(ha_pair, t2_a_lost_session_freezes_and_its_late_acks_are_nothing)
{
	active_sync();
	T.hold_cas = true;
	submit();
	ev((struct ha_event){.type = HA_EV_LINK_DOWN, .conn = T.conn});
	cr_assert(saw("HOLD"));
	cr_assert_eq(ha_mode(T.h), HA_FROZEN);
	ack(tail());
	cr_assert(!saw("committed"));
	cr_assert(!ha_may_reply(T.h, T.now) && !ha_can_submit(T.h));
}

Test(ha_pair, t3_the_peer_comes_back_and_only_what_it_lacks_is_sent_again)
{
	struct pr_hash hash;

	freeze = true; /* so that T4 leaves it the time */
	active_sync();
	submit();
	hash = tail_hash();
	submit();
	ev((struct ha_event){.type = HA_EV_LINK_DOWN, .conn = T.conn});
	wait_ms(3000);
	cr_assert_eq(ha_mode(T.h), HA_FROZEN);
	cr_assert(saw("alarm FROZEN 1"));
	link_up();
	forget();
	hello(PR_ROLE_STANDBY, HA_INSYNC, 5, 5, &hash);
	cr_assert(saw("session kind 0 base 5") && !saw("link_batch"));
	session_ok(5);
	cr_assert_eq(ha_mode(T.h), HA_SYNC);
	cr_assert(saw("RESUME") && saw("link_batch"));
	cr_assert_eq(T.committed, 5, "what it has is acked by having it");
	ack(6);
	cr_assert_eq(T.committed, 6);
}

Test(ha_pair, t3_a_peer_that_lost_what_was_committed_is_no_member_any_more)
{
	struct pr_hash zero = {0};

	freeze = true;
	active_sync();
	ev((struct ha_event){.type = HA_EV_LINK_DOWN, .conn = T.conn});
	link_up();
	forget();
	hello(PR_ROLE_STANDBY, HA_INSYNC, 5, 0, &zero);
	cr_assert(!saw("session kind 0 base 0"));
	cr_assert_eq(ha_mode(T.h), HA_FROZEN);
}

Test(ha_pair, t4_a_dead_process_is_left_at_once)
{
	active_sync();
	submit();
	forget();
	ev((struct ha_event){
		.type = HA_EV_PEER, .incarnation = 51, .node_up = true, .quorate = true});
	ORDER("HOLD", "cas 6 members 1 active 1", "save ALONE 6", "append", "RESUME", "committed");
	cr_assert_eq(ha_mode(T.h), HA_ALONE);
	cr_assert(saw("alarm ALONE 1"));
}

Test(ha_pair, t4_a_refused_arbiter_ends_the_process)
{
	active_sync();
	T.arb.seq++;
	T.arb.epoch++;
	T.arb.members = T.arb.active = 2;
	ev((struct ha_event){.type = HA_EV_LINK_DOWN, .conn = T.conn});
	cr_assert(saw("DIE") && !saw("RESUME") && !saw("save ALONE 6"));
}

Test(ha_pair, t4_a_lost_node_is_left_only_when_it_is_fenced)
{
	active_sync();
	ev((struct ha_event){.type = HA_EV_PEER, .incarnation = 51, .quorate = true});
	wait_ms(3000);
	cr_assert(!saw("cas 6 members 1 active 1"));
	ev((struct ha_event){.type = HA_EV_FENCE, .incarnation = 51, .error = -EIO});
	wait_ms(3000);
	cr_assert(saw("alarm FENCE 1") && !saw("cas 6 members 1 active 1"));
	ev((struct ha_event){.type = HA_EV_FENCE, .incarnation = 51});
	cr_assert(saw("cas 6 members 1 active 1"));
}

Test(ha_pair, t4_a_lost_link_waits_for_what_the_membership_may_say)
{
	membership_ms = 2500;
	active_sync();
	ev((struct ha_event){.type = HA_EV_LINK_DOWN, .conn = T.conn});
	wait_ms(2400);
	cr_assert(!saw("cas 6 members 1 active 1"));
	/* its node is gone too: this one may be who is cut off */
	ev((struct ha_event){.type = HA_EV_PEER, .incarnation = 51, .quorate = true});
	wait_ms(5000);
	cr_assert(!saw("cas 6 members 1 active 1"));
	cr_assert_eq(ha_mode(T.h), HA_FROZEN);
}

Test(ha_pair, t4_a_lost_link_alone_is_no_reason_to_wait_longer)
{
	membership_ms = 2500;
	active_sync();
	ev((struct ha_event){.type = HA_EV_LINK_DOWN, .conn = T.conn});
	wait_ms(2600);
	cr_assert(saw("cas 6 members 1 active 1"));
	cr_assert_eq(ha_mode(T.h), HA_ALONE);
}

Test(ha_pair, t4_a_slow_peer_is_dropped_after_the_drop_time)
{
	active_sync();
	submit();
	for (unsigned i = 0; i < 4900 / 10; i++) {
		wait_ms(10);
		beat_back();
	}
	cr_assert_eq(ha_mode(T.h), HA_SYNC);
	for (unsigned i = 0; i < 20; i++) {
		wait_ms(10);
		beat_back();
	}
	cr_assert_eq(ha_mode(T.h), HA_ALONE);
	cr_assert(saw("alarm SLOW_PEER 1"));
}

/* The peer comes back to where it was before the last batch, and gets that; then silence, and it is there again. */
static void session_again(bool acked, unsigned ms)
{
	uint64_t base = tail();
	struct pr_hash hash = tail_hash();

	submit();
	ev((struct ha_event){.type = HA_EV_LINK_DOWN, .conn = T.conn});
	link_up();
	hello(PR_ROLE_STANDBY, HA_INSYNC, 5, base, &hash);
	session_ok(base);
	cr_assert_eq(ha_mode(T.h), HA_SYNC);
	cr_assert(saw("link_batch"));
	if (acked) {
		ack(tail());
		base = tail();
		hash = tail_hash();
		submit();
	}
	wait_ms(ms);
	ev((struct ha_event){.type = HA_EV_LINK_DOWN, .conn = T.conn});
	link_up();
	forget();
	hello(PR_ROLE_STANDBY, HA_INSYNC, 5, base, &hash);
}

Test(ha_pair, t4_a_path_that_brings_no_data_is_left_with_the_next_session)
{
	membership_ms = 1500;
	active_sync();
	session_again(false, 600);
	wait_ms(20);
	cr_assert(!saw("session kind 0 base 4"));
	cr_assert_eq(ha_mode(T.h), HA_ALONE);
}

Test(ha_pair, t3_a_session_that_brought_something_or_was_short_may_be_followed_by_another)
{
	membership_ms = 1500;
	active_sync();
	session_again(true, 600);
	cr_assert(saw("session kind 0 base 5"));
	session_ok(5);
	ack(6);
	session_again(false, 100);
	cr_assert(saw("session kind 0 base 6"));
}

Test(ha_pair, t3_a_path_that_brought_no_data_is_tried_again_where_nobody_goes_on_alone)
{
	freeze = true;
	active_sync();
	session_again(false, 600);
	cr_assert(saw("session kind 0 base 4"));
}

Test(ha_pair, t4_an_unknown_outcome_stays_frozen)
{
	active_sync();
	T.hold_cas = true;
	ev((struct ha_event){.type = HA_EV_LINK_DOWN, .conn = T.conn});
	ev((struct ha_event){.type = HA_EV_ARB_CAS, .error = -ETIMEDOUT});
	wait_ms(20000);
	cr_assert_eq(ha_mode(T.h), HA_FROZEN);
	cr_assert(saw("alarm ARBITER 1"));
	cr_assert_eq(T.arb.epoch, 5);
}

Test(ha_pair, t5_a_standby_of_a_newer_epoch_gets_no_session)
{
	struct pr_hash hash;

	active_alone(3);
	link_up();
	hash = tail_hash();
	forget();
	hello(PR_ROLE_STANDBY, HA_INSYNC, 9, tail(), &hash);
	cr_assert(saw("alarm PEER 1"));
	cr_assert(!saw("session kind 1 base 4"));
}

Test(ha_pair, t5_the_fork_is_found_and_streaming_begins_there)
{
	struct pr_hash other = {{1, 2, 3}};

	active_alone(3);
	link_up();
	forget();
	hello(PR_ROLE_STANDBY, HA_INSYNC, 4, 4, &other); /* its LSN 4 is another one */
	cr_assert(saw("link_fork_ask"));
	SAY(FORK, fork, .nonce = 1, .lsn = 3, .hash = pr_hash_bytes(&T.log[2]->hash), .known = 1);
	cr_assert(saw("session kind 1 base 3"));
	session_ok(3);
	cr_assert(saw("link_batch"));
}

Test(ha_pair, t5_rows_are_copied_when_the_journal_does_not_reach_back)
{
	struct pr_hash zero = {0};

	active_alone(3);
	jr_batch_unref(T.log[0]);
	T.log[0] = NULL;
	link_up();
	forget();
	hello(PR_ROLE_STANDBY, HA_NEW, 0, 0, &zero);
	cr_assert(saw("rows read"));
	ev((struct ha_event){.type = HA_EV_ROWS,
			     .p = (const uint8_t *)"rows",
			     .len = 4,
			     .lsn = 2,
			     .last = true});
	cr_assert(saw("session kind 2 base 2"));
	session_ok(2);
	cr_assert(saw("link_rows") && !saw("link_batch"));
	SAY(ROWS_OK, rows_ok, .epoch = T.epoch, .link = T.link, .last = 1);
	cr_assert(saw("link_batch"));
}

/* A member no longer, with 5 LSNs of which 4 are committed, gets a full copy from LSN 100 on. */
static void copy_onto(uint32_t faults, enum jr_verdict verdict, uint64_t goal_lsn)
{
	struct pr_hash zero = {0};

	start(2, 2);
	T.saved.dstate = HA_OUTDATED;
	T.saved.fault_flags = faults;
	T.saved.history[0] = (struct ha_history){.epoch = 3, .first_lsn = 1, .members = 3};
	T.saved.history[1] = (struct ha_history){.epoch = 4, .first_lsn = 3, .members = 1};
	T.saved.history_count = 2;
	T.arb.epoch = 5;
	log_of(5);
	boot_as(0, verdict);
	link_up();
	{
		struct pr_history theirs[] = {{.epoch = 3, .first_lsn = 1, .members = 3},
					      {.epoch = 5, .first_lsn = 4, .members = 2}};
		struct pr_link_hello m = {.version_min = 1,
					  .version_max = 1,
					  .node = 2,
					  .role = PR_ROLE_ACTIVE,
					  .incarnation = T.incarnation,
					  .epoch = 5,
					  .log_epoch = 5};
		uint8_t bytes[512];
		struct pr_buf b = pr_buf_on(bytes, sizeof(bytes));
		size_t at;

		memcpy(m.cluster.b, cluster, 16);
		cr_assert_eq(pr_link_hello_encode(&b, &m), 0);
		at = pr_tail_open(&b);
		for (unsigned i = 0; i < 2; i++)
			cr_assert_eq(pr_history_put(&b, &theirs[i]), 0);
		pr_tail_close(&b, at, 2);
		msg(PR_T_LINK_HELLO, bytes, b.len);
	}
	SAY(SESSION, session, .epoch = 5, .link = 7, .kind = PR_LINK_COPY, .base_lsn = 100,
	    .goal_lsn = goal_lsn, .base_hash = pr_hash_bytes(&zero));
}

Test(ha_pair, t5_a_full_copy_archives_what_may_stand_here_alone)
{
	copy_onto(0, JR_CLEAN, 3); /* the active found the logs equal up to 3 */
	ORDER("save SYNCTARGET 5", "reset 100 common 3", "rows begin");
	done();
	copy_onto(0, JR_CLEAN, 0); /* it could not tell: epoch 3 ended with LSN 2 here */
	ORDER("save SYNCTARGET 5", "reset 100 common 2", "rows begin");
	done();
	copy_onto(
		1, JR_CLEAN,
		0); /* an earlier copy did not finish: the history is no longer that of the journal */
	ORDER("save SYNCTARGET 5", "reset 100 common 0", "rows begin");
	done();
	copy_onto(0, JR_HALT, 0);
	ORDER("save SYNCTARGET 5", "reset 100 common 0", "rows begin");
}

Test(ha_pair, t6_the_five_steps_come_in_order)
{
	struct pr_hash hash;

	active_alone(3);
	link_up();
	hash = T.log[2]->hash;
	forget();
	hello(PR_ROLE_STANDBY, HA_OUTDATED, 4, 3, &hash);
	session_ok(3);
	cr_assert(!saw("link_insync"), "not caught up");
	submit();
	cr_assert(!saw("committed"), "acks are required from the barrier on");
	ack(4);
	cr_assert(saw("link_insync"));
	cr_assert(!saw("cas 5 members 3 active 1"), "the peer has not saved INSYNC");
	SAY(INSYNC_OK, insync_ok, .epoch = T.epoch, .link = T.link, .lsn = 4);
	ORDER("session kind 1 base 3", "save INSYNC 5", "link_insync", "cas 5 members 3 active 1",
	      "alarm ALONE 0");
	cr_assert_eq(ha_mode(T.h), HA_SYNC);
}

/* A standby behind T6 (3): INSYNC, and not yet named. */
static void standby_insync_unnamed(void)
{
	struct pr_hash zero = {0};

	start(2, 2);
	T.saved.dstate = HA_OUTDATED;
	boot();
	link_up();
	hello(PR_ROLE_ACTIVE, HA_DALONE, 4, 0, &zero);
	SAY(SESSION, session, .epoch = 4, .link = 7, .kind = PR_LINK_RESYNC);
	SAY(INSYNC, insync, .epoch = 4, .link = 7);
	cr_assert(saw("link_insync_ok"));
	T.epoch = 4;
	T.link = 7;
	cr_assert_eq(T.score, 0);
}

static void name_both(void)
{
	T.arb.members = 3;
	T.arb.seq++;
}

Test(ha_pair, t6_the_standby_sees_soon_that_it_is_named_and_raises_its_score)
{
	standby_insync_unnamed();
	wait_ms(400);
	cr_assert_eq(T.score, 0);
	name_both();
	wait_ms(60);
	cr_assert_geq(T.score, 100);
	unsigned reads = T.arb_reads;
	wait_ms(500);
	cr_assert_leq(T.arb_reads, reads + 1, "named: no reason to look so often");
}

Test(ha_pair, t6_the_score_is_true_at_once_when_the_session_goes)
{
	standby_insync_unnamed();
	name_both();
	ev((struct ha_event){.type = HA_EV_LINK_DOWN, .conn = T.conn});
	cr_assert_geq(T.score, 100);
	link_up();
	struct pr_hash zero = {0};
	hello(PR_ROLE_ACTIVE, HA_INSYNC, 4, 0, &zero);
	SAY(SESSION, session, .epoch = 4, .link = 8, .kind = PR_LINK_INSYNC);
	T.arb.members = 2; /* the active goes on alone */
	T.arb.epoch = 5;
	T.arb.seq++;
	ev((struct ha_event){.type = HA_EV_LINK_DOWN, .conn = T.conn});
	cr_assert_eq(T.score, 0);
}

Test(ha_pair, t6_a_lost_peer_before_the_record_takes_the_steps_back)
{
	struct pr_hash hash;

	active_alone(3);
	link_up();
	hash = T.log[2]->hash;
	hello(PR_ROLE_STANDBY, HA_OUTDATED, 4, 3, &hash);
	session_ok(3);
	submit();
	ack(4);
	forget();
	ev((struct ha_event){.type = HA_EV_LINK_DOWN, .conn = T.conn});
	cr_assert(saw("save ALONE 5") && saw("committed"));
	cr_assert_eq(ha_mode(T.h), HA_ALONE);
}

Test(ha_pair, t7_a_failed_write_quarantines_and_ends)
{
	active_sync();
	ev((struct ha_event){.type = HA_EV_APPEND_FAILED, .error = -EIO});
	ORDER("save QUARANTINED 5", "DIE");
}

Test(ha_pair, t7_a_newer_epoch_in_the_record_ends_the_active)
{
	active_sync();
	T.arb.seq++;
	T.arb.epoch++;
	T.arb.members = T.arb.active = 2;
	for (unsigned i = 0; i < 120 && !saw("DIE"); i++) {
		wait_ms(10);
		beat_back();
	}
	cr_assert(saw("DIE"));
}

Test(ha_pair, t8_a_handover_drains_promises_and_writes_the_record_last)
{
	active_sync();
	submit();
	ev((struct ha_event){.type = HA_EV_SWITCHOVER, .ticket = 8});
	ack(tail());
	cr_assert(saw("DRAIN") && !saw("link_handover"));
	ev((struct ha_event){.type = HA_EV_DRAINED});
	cr_assert(!saw("link_handover"), "the HANDOVER record is not acked");
	ack(tail());
	ORDER("DRAIN", "link_handover", "cas 6 members 3 active 2", "STANDBY", "result 0");
	cr_assert_eq(ha_role(T.h), PR_ROLE_STANDBY);
}

Test(ha_pair, t8_a_peer_lost_before_the_promise_means_going_on)
{
	active_sync();
	ev((struct ha_event){.type = HA_EV_SWITCHOVER, .ticket = 8});
	ev((struct ha_event){.type = HA_EV_DRAINED});
	ev((struct ha_event){.type = HA_EV_LINK_DOWN, .conn = T.conn});
	cr_assert(saw("UNDRAIN") && !saw("STANDBY"));
	cr_assert_eq(T.result, -EAGAIN);
	cr_assert_eq(ha_mode(T.h), HA_ALONE);
}

Test(ha_pair, t8_after_the_promise_only_the_peer_can_give_it_back)
{
	active_sync();
	T.cas_error = -EIO;
	ev((struct ha_event){.type = HA_EV_SWITCHOVER, .ticket = 8});
	ev((struct ha_event){.type = HA_EV_DRAINED});
	ack(tail());
	ORDER("link_handover", "cas 6 members 3 active 2", "link_promise_ask");
	cr_assert(!saw("UNDRAIN"));
	SAY(PROMISE, promise, .epoch = 6, .to = 1, .granted = 1);
	cr_assert(saw("UNDRAIN"));
	cr_assert_eq(T.result, -EAGAIN);
}

Test(ha_pair, t8_without_sync_it_is_refused)
{
	active_alone(3);
	ev((struct ha_event){.type = HA_EV_SWITCHOVER, .ticket = 8});
	cr_assert_eq(T.result, -EAGAIN);
	cr_assert_eq(ha_mode(T.h), HA_ALONE);
}

/* ---- the standby ---- */

static void standby_in_sync(unsigned n)
{
	struct pr_hash hash = {0};

	start(3, 2);
	log_of(n);
	if (n)
		hash = T.log[n - 1]->hash;
	boot();
	link_up();
	hello(PR_ROLE_ACTIVE, HA_INSYNC, 4, n, &hash);
	T.epoch = 4;
	T.link = 7;
	SAY(SESSION, session, .epoch = 4, .link = 7, .base_lsn = n,
	    .base_hash = pr_hash_bytes(&hash), .kind = PR_LINK_INSYNC);
	cr_assert(saw("link_session_ok"));
	forget();
}

static void give(uint64_t epoch, uint64_t link, uint64_t lsn, const struct pr_hash *prev,
		 uint64_t commit)
{
	struct jr_batch *b = batch(epoch, lsn, commit, prev, 0);

	SAY(BATCH, batch, .epoch = epoch, .link = link, .first_lsn = lsn, .last_lsn = lsn,
	    .image = {b->image, b->image_bytes});
	jr_batch_unref(b);
}

Test(ha_pair, t9_an_heir_saves_opens_a_session_and_serves_without_writing_the_record)
{
	standby_in_sync(3);
	SAY(HANDOVER, handover, .epoch = 5, .link = 7, .lsn = 3);
	cr_assert(!saw("save INSYNC 5"), "the record does not name it yet");
	T.arb.seq++;
	T.arb.epoch = 5;
	T.arb.active = 1;
	wait_ms(30);
	cr_assert(saw("save INSYNC 5") && !saw("SERVE"));
	struct pr_hash hash = tail_hash();
	hello(PR_ROLE_STANDBY, HA_INSYNC, 4, 3, &hash);
	cr_assert(saw("session kind 0 base 3"));
	session_ok(3);
	cr_assert(saw("SERVE"));
	cr_assert_eq(ha_mode(T.h), HA_SYNC);
	for (unsigned i = 0; i < T.seens; i++)
		cr_assert(strncmp(T.seen[i], "cas", 3) != 0);
	cr_assert_eq(T.preempts, 1, "it takes the hold on the LUNs for what it will write later");
}

Test(ha_pair, t9_a_handover_of_another_session_or_tail_is_none)
{
	standby_in_sync(3);
	T.arb.seq++;
	T.arb.epoch = 5;
	T.arb.active = 1;
	SAY(HANDOVER, handover, .epoch = 5, .link = 6, .lsn = 3);
	SAY(HANDOVER, handover, .epoch = 5, .link = 7, .lsn = 2);
	SAY(HANDOVER, handover, .epoch = 6, .link = 7, .lsn = 3);
	wait_ms(100);
	cr_assert(!saw("save INSYNC 5"));
}

Test(ha_pair, s1_a_batch_must_fit_session_epoch_lsn_and_hash)
{
	struct pr_hash hash, wrong = {{9}};

	standby_in_sync(3);
	hash = tail_hash();
	give(4, 6, 4, &hash, 0);
	give(3, 7, 4, &hash, 0);
	cr_assert(!saw("append"));
	give(4, 7, 4, &wrong, 0);
	cr_assert(saw("link_nack") && !saw("append"));
	give(4, 7, 5, &hash, 0);
	cr_assert(!saw("append"));
	give(4, 7, 4, &hash, 3);
	ORDER("append", "link_ack");
	give(4, 7, 4, &hash, 3); /* twice */
	cr_assert_eq(tail(), 4);
}

Test(ha_pair, s1_durable_before_the_ack_and_committed_before_applied)
{
	struct pr_hash hash;

	standby_in_sync(3);
	hash = tail_hash();
	T.hold_appends = true;
	give(4, 7, 4, &hash, 3);
	cr_assert(!saw("link_ack"));
	ev((struct ha_event){.type = HA_EV_APPENDED, .lsn = 4});
	cr_assert(saw("link_ack") && saw("apply 3") && !saw("apply 4"));
	SAY(BEAT, beat, .epoch = 4, .link = 7, .commit_lsn = 4, .sent_ms = T.now);
	cr_assert(saw("apply 4"));
}

Test(ha_pair, s1_with_full_rows_it_acks_on_and_applies_out_of_the_journal_later)
{
	struct pr_hash prev = {0};

	start(3, 2);
	boot();
	link_up();
	hello(PR_ROLE_ACTIVE, HA_INSYNC, 4, 0, &prev);
	SAY(SESSION, session, .epoch = 4, .link = 7, .kind = PR_LINK_INSYNC);
	forget();
	ev((struct ha_event){.type = HA_EV_ROWS_FULL, .on = true});
	for (uint64_t lsn = 1; lsn <= 200; lsn++) {
		struct jr_batch *b = batch(4, lsn, lsn - 1, &prev, 0);

		SAY(BATCH, batch, .epoch = 4, .link = 7, .first_lsn = lsn, .last_lsn = lsn,
		    .image = {b->image, b->image_bytes});
		prev = b->hash;
		jr_batch_unref(b);
	}
	cr_assert_eq(T.logs, 200);
	cr_assert(!saw("link_nack") && !saw("close") && !saw("apply 1"));
	ev((struct ha_event){.type = HA_EV_ROWS_FULL});
	ORDER("apply 1", "apply 100", "apply 199");
	cr_assert(!saw("apply 200"), "not committed yet");
}

Test(ha_pair, s2_outdate_is_saved_before_it_is_acked)
{
	struct pr_hash hash = {0};

	start(3, 2);
	boot();
	link_up();
	hello(PR_ROLE_ACTIVE, HA_DALONE, 5, 0, &hash);
	T.hold_saves = true;
	SAY(OUTDATE, outdate, .epoch = 5);
	cr_assert(saw("save OUTDATED 5") && !saw("link_outdate_ok"));
	ev((struct ha_event){.type = HA_EV_STATE_SAVED});
	cr_assert(saw("link_outdate_ok"));
	SAY(OUTDATE, outdate, .epoch = 3);
	cr_assert_eq(ha_epoch(T.h), 5);
}

/* The next epoch, an override's jump included, must fit as well. */
Test(ha_pair, an_epoch_that_leaves_no_room_for_the_next_is_refused)
{
	struct pr_hash hash = {0};

	start(3, 2);
	boot();
	link_up();
	hello(PR_ROLE_ACTIVE, HA_DALONE, UINT64_MAX - 1, 0, &hash);
	cr_assert(saw("alarm PEER 1") && saw("close"));
	link_up();
	hello(PR_ROLE_ACTIVE, HA_DALONE, 5, 0, &hash);
	SAY(OUTDATE, outdate, .epoch = UINT64_MAX - 1);
	SAY(SESSION, session, .epoch = UINT64_MAX - 1, .link = 7, .kind = PR_LINK_INSYNC,
	    .base_hash = pr_hash_bytes(&hash));
	cr_assert(!saw("link_outdate_ok") && !saw("link_session_ok"));
	cr_assert_eq(T.saved.epoch, 4);
	SAY(SESSION, session, .epoch = 5, .link = 7, .kind = PR_LINK_INSYNC,
	    .base_hash = pr_hash_bytes(&hash));
	cr_assert(saw("link_session_ok"));
	cr_assert_eq(T.saved.epoch, 5);
}

/* A log of three batches whose second is damaged; the peer, active in the next epoch, gives its own. */
static void mended_by_peer(bool fits)
{
	struct pr_hash hash;

	start(3, 2);
	log_of(3);
	T.other_batch = !fits;
	hash = T.log[2]->hash;
	boot_as(0, JR_REPAIR);
	fenced();
	ev((struct ha_event){.type = HA_EV_PROMOTE});
	cr_assert_eq(T.result, -EPERM, "not promotable without the peer");
	ev((struct ha_event){.type = HA_EV_PEER,
			     .incarnation = 51,
			     .node_up = true,
			     .process_up = true,
			     .quorate = true});
	link_up();
	forget();
	struct pr_uuid id;
	memcpy(id.b, cluster, 16);
	SAY(HELLO, hello, .version_min = 1, .version_max = 1, .cluster = id, .node = 2,
	    .role = PR_ROLE_ACTIVE, .incarnation = 51, .epoch = 4, .tail_lsn = 3,
	    .tail_hash = pr_hash_bytes(&hash));
	cr_assert(saw("link_batch_ask") && !saw("link_hello"),
		  "the active waits until the log is whole");
	SAY(BATCH_GIVE, batch_give, .lsn = 2, .known = 1,
	    .image = {T.log[1]->image, T.log[1]->image_bytes});
	ORDER("repair 2", "link_hello");
}

Test(ha_pair, s3_a_damaged_batch_comes_from_the_peer)
{
	mended_by_peer(true);
	cr_assert(saw("alarm JOURNAL 0"));
}

/* What was damaged is a tail that the peer went on without. */
Test(ha_pair, s3_damage_that_the_peer_has_otherwise_wants_a_full_copy)
{
	mended_by_peer(false);
	cr_assert(!saw("alarm JOURNAL 0"));
	fenced();
	ev((struct ha_event){.type = HA_EV_PROMOTE});
	cr_assert_eq(T.result, -EPERM);
	cr_assert(strstr(T.text, "another batch"), "%s", T.text);
}

Test(ha_pair, s4_the_own_tail_is_cut_only_with_proof)
{
	struct pr_hash hash;

	start(3, 2); /* the record still names me */
	log_of(4);
	hash = T.log[2]->hash;
	boot();
	link_up();
	hello(PR_ROLE_ACTIVE, HA_DALONE, 5, 9, &hash);
	SAY(SESSION, session, .epoch = 5, .link = 7, .base_lsn = 3,
	    .base_hash = pr_hash_bytes(&hash), .kind = PR_LINK_RESYNC);
	cr_assert(!saw("cut 3") && !saw("save SYNCTARGET 5"));
	cr_assert(saw("close"));
	T.arb.seq++;
	T.arb.epoch = 5;
	T.arb.members = 2;
	link_up();
	hello(PR_ROLE_ACTIVE, HA_DALONE, 5, 9, &hash);
	SAY(SESSION, session, .epoch = 5, .link = 8, .base_lsn = 3,
	    .base_hash = pr_hash_bytes(&hash), .kind = PR_LINK_RESYNC);
	ORDER("save SYNCTARGET 5", "cut 3", "link_session_ok");
}

Test(ha_pair, s5_a_vote_binds_until_the_record_reaches_its_epoch)
{
	struct pr_hash hash = {0};

	start(3, 2);
	boot();
	link_up();
	hello(PR_ROLE_PROMOTING, HA_INSYNC, 4, 0, &hash);
	SAY(PROMISE_ASK, promise_ask, .epoch = 5, .to = 2);
	cr_assert(saw("link_promise"));
	ev((struct ha_event){.type = HA_EV_PROMOTE});
	cr_assert_eq(T.result, 1);
	wait_ms(1000);
	cr_assert_eq(T.result, -EPERM);
	cr_assert(strstr(T.text, "promised"));
	fenced(); /* or `to` is fenced */
	ev((struct ha_event){.type = HA_EV_PROMOTE});
	cr_assert_eq(T.result, 0);
}

/* Who was promised an epoch and cannot use it is asked in turn: else neither would ever be promoted. */
Test(ha_pair, s5_the_peers_own_promise_gives_a_vote_back)
{
	struct pr_hash hash = {0};

	start(3, 2);
	boot();
	link_up();
	hello(PR_ROLE_PROMOTING, HA_INSYNC, 4, 0, &hash);
	SAY(PROMISE_ASK, promise_ask, .epoch = 5, .to = 2);
	cr_assert(saw("link_promise"));
	forget();
	ev((struct ha_event){.type = HA_EV_PROMOTE});
	cr_assert(saw("link_promise_ask") && !saw("cas 5 members 1 active 1"));
	SAY(PROMISE, promise, .epoch = 5, .to = 1, .granted = 1);
	cr_assert_eq(T.result, 0);
}

Test(ha_pair, p2_who_is_not_named_any_more_asks_for_no_promise)
{
	struct pr_hash hash = {0};

	start(3, 2);
	boot();
	ev((struct ha_event){.type = HA_EV_PROMOTE});
	cr_assert_eq(T.result, 1);
	T.arb.seq++;
	T.arb.epoch = 5;
	T.arb.members = 2;
	wait_ms(5000); /* it is read again meanwhile */
	link_up();
	hello(PR_ROLE_STANDBY, HA_DALONE, 5, 0, &hash);
	cr_assert(!saw("link_promise_ask"));
	cr_assert_eq(T.result, -EPERM);
	cr_assert(strstr(T.text, "names node 2"), "%s", T.text);
}

Test(ha_pair, s5_of_two_promoters_the_lower_node_wins)
{
	struct pr_hash hash = {0};

	start(3, 2); /* node 1 promotes, node 2 asks */
	boot();
	link_up();
	hello(PR_ROLE_PROMOTING, HA_INSYNC, 4, 0, &hash);
	ev((struct ha_event){.type = HA_EV_PROMOTE});
	SAY(PROMISE_ASK, promise_ask, .epoch = 5, .to = 2);
	cr_assert_eq(T.result, 1, "still promoting");
	cr_assert_eq(ha_role(T.h), PR_ROLE_PROMOTING);
}

Test(ha_pair, cold_start_the_longer_log_does_not_vote_for_the_shorter)
{
	struct pr_hash hash = {0};

	start(3, 2);
	log_of(3);
	boot();
	link_up();
	hello(PR_ROLE_PROMOTING, HA_INSYNC, 4, 2, &hash);
	SAY(PROMISE_ASK, promise_ask, .epoch = 5, .to = 2);
	ev((struct ha_event){.type = HA_EV_PROMOTE});
	SAY(PROMISE, promise, .epoch = 5, .to = 1, .granted = 1);
	cr_assert_eq(T.result, 0, "no vote was given that would bind");
}

Test(ha_pair, after_a_restart_only_what_is_known_to_be_committed_is_applied)
{
	start(3, 2);
	log_of(5);
	boot();
	cr_assert(saw("apply 3") && !saw("apply 4"));
}

/* A write of the state is under way, and the record names this controller alone. */
Test(ha_pair, a_demotion_after_the_record_was_written_ends_the_process)
{
	start(3, 2);
	log_of(3);
	boot();
	fenced();
	T.hold_saves = true;
	ev((struct ha_event){.type = HA_EV_PROMOTE, .ticket = 1});
	cr_assert_eq(ha_role(T.h), PR_ROLE_PROMOTING);
	cr_assert_eq(T.arb.members, 1);
	forget();
	ev((struct ha_event){.type = HA_EV_DEMOTE, .ticket = 2});
	ORDER("result 0", "DIE");
	cr_assert(!saw("SERVE"));
}

Test(ha_pair, an_override_jumps_the_epoch_and_is_counted)
{
	start(2, 2);
	log_of(3);
	T.floor = 9;
	boot();
	ev((struct ha_event){.type = HA_EV_OVERRIDE, .ticket = 1});
	cr_assert_eq(T.result, 0, "%s", T.text);
	cr_assert_eq(T.arb.epoch, 4 + 65536);
	cr_assert_eq(T.arb.members, 1);
	cr_assert_eq(T.saved.overrides, 1);
	wait_ms(1100);
	cr_assert_eq(T.floor, 4, "the floor is its own now");
}

Test(ha_pair, an_override_is_refused_while_the_peer_is_connected)
{
	struct pr_hash hash = {0};

	start(2, 2);
	boot();
	link_up();
	hello(PR_ROLE_STANDBY, HA_INSYNC, 4, 0, &hash);
	ev((struct ha_event){.type = HA_EV_OVERRIDE, .ticket = 1});
	cr_assert_eq(T.result, -EPERM);
}

Test(ha_pair, replies_of_sync_end_with_the_lease)
{
	active_sync();
	cr_assert(ha_may_reply(T.h, T.now));
	cr_assert(ha_may_reply(T.h, T.now + 499));
	cr_assert(!ha_may_reply(T.h, T.now + 500));
}

Test(ha_pair, the_floor_is_at_most_a_second_old)
{
	active_alone(3);
	submit();
	wait_ms(1010);
	cr_assert_eq(T.floor, tail());
}

/* ---- what fits nothing changes nothing ---- */

static uint64_t zero_hash_bytes[2];
#define ZERO_HASH                                    \
	{                                            \
		(const uint8_t *)zero_hash_bytes, 16 \
	}

/* Every word of a session, of one that is not this one: by its epoch, by its number, or by both. */
static void words_of_another_session(uint64_t epoch, uint64_t link)
{
	struct pr_hash hash = tail_hash();

	SAY(SESSION_OK, session_ok, .epoch = epoch, .link = link, .tail_lsn = tail(),
	    .tail_hash = pr_hash_bytes(&hash));
	SAY(ACK, ack, .epoch = epoch, .link = link, .lsn = tail());
	SAY(NACK, nack, .epoch = epoch, .link = link, .lsn = tail());
	SAY(BEAT, beat, .epoch = epoch, .link = link, .commit_lsn = tail(), .echo_ms = T.now);
	SAY(INSYNC, insync, .epoch = epoch, .link = link, .lsn = tail());
	SAY(INSYNC_OK, insync_ok, .epoch = epoch, .link = link, .lsn = tail());
	SAY(ROWS, rows, .epoch = epoch, .link = link, .lsn = tail());
	SAY(ROWS_OK, rows_ok, .epoch = epoch, .link = link, .last = 1);
	SAY(HANDOVER, handover, .epoch = epoch + 1, .link = link + 1, .lsn = tail());
	SAY(FORK, fork, .nonce = 99, .lsn = tail(), .epoch = epoch, .hash = ZERO_HASH, .known = 1);
	SAY(BATCH_GIVE, batch_give, .nonce = 99, .lsn = tail());
	SAY(PROMISE, promise, .epoch = epoch, .to = 2, .granted = 1);
	SAY(PROMISE, promise, .epoch = epoch, .to = 1, .granted = 1);
	SAY(PROMISE_ASK, promise_ask, .epoch = epoch + 1, .to = 1);
	give(epoch, link, tail() + 1, &hash, tail());
	for (uint64_t kind = 0; kind < 8; kind++)
		ev((struct ha_event){.type = HA_EV_FETCHED, .cookie = kind << 56 | 0xffffff});
	ev((struct ha_event){.type = HA_EV_STATE_SAVED});
	ev((struct ha_event){.type = HA_EV_ARB_CAS, .arbiter = &T.arb});
	ev((struct ha_event){.type = HA_EV_ARB_READ, .arbiter = &T.arb});
	ev((struct ha_event){.type = HA_EV_ROWS_APPLIED});
	ev((struct ha_event){.type = HA_EV_LINK_DOWN, .conn = T.conn + 9});
	ev((struct ha_event){.type = HA_EV_LINK_UP, .conn = T.conn - 1});
	ev((struct ha_event){.type = HA_EV_LINK_MSG, .conn = T.conn + 9});
}

static void nothing_changes(void)
{
	uint64_t lsn = tail(), commit = ha_commit_lsn(T.h), epoch = ha_epoch(T.h);
	struct ha_state saved = T.saved;
	struct ha_arbiter arb = T.arb;
	unsigned mode = ha_mode(T.h), role = ha_role(T.h);

	forget();
	words_of_another_session(T.epoch, T.link + 5);
	words_of_another_session(T.epoch - 1, T.link);
	words_of_another_session(T.epoch + 1, T.link);
	cr_assert(!saw("DIE") && !saw("append") && !saw("SERVE") && !saw("close") &&
		  !saw("rows begin") && !saw("rows put"));
	cr_assert_eq(tail(), lsn);
	cr_assert_eq(ha_commit_lsn(T.h), commit);
	cr_assert_eq(ha_epoch(T.h), epoch);
	cr_assert_eq(ha_mode(T.h), mode);
	cr_assert_eq(ha_role(T.h), role);
	cr_assert_eq(memcmp(&saved, &T.saved, sizeof(saved)), 0);
	cr_assert_eq(memcmp(&arb, &T.arb, sizeof(arb)), 0);
}

Test(ha_pair, words_of_another_session_change_nothing_at_an_active)
{
	active_sync();
	nothing_changes();
	submit();
	nothing_changes();
	ack(tail());
	cr_assert(saw("committed"), "the right one counts after all the wrong ones");
}

Test(ha_pair, words_of_another_session_change_nothing_at_a_standby)
{
	struct pr_hash hash;

	standby_in_sync(3);
	nothing_changes();
	hash = tail_hash();
	give(4, 7, 4, &hash, 3);
	ORDER("append", "link_ack");
}

Test(ha_pair, words_of_another_session_change_nothing_while_one_is_offered)
{
	struct pr_hash hash;

	active_alone(3);
	link_up();
	hash = tail_hash();
	hello(PR_ROLE_STANDBY, HA_OUTDATED, 4, tail(), &hash);
	cr_assert_gt(T.link, 0);
	nothing_changes();
	session_ok(tail());
	SAY(INSYNC_OK, insync_ok, .epoch = T.epoch, .link = T.link, .lsn = tail());
	cr_assert_eq(ha_mode(T.h), HA_SYNC);
}

Test(ha_pair, a_word_that_is_none_closes_the_link)
{
	standby_in_sync(3);
	msg(0x05ff, NULL, 0);
	cr_assert(saw("alarm PEER 1") && saw("close"));
	standby_in_sync(3);
	msg(PR_T_LINK_ACK, (const uint8_t *)"short", 5);
	cr_assert(saw("alarm PEER 1") && saw("close"));
	ha_free(T.h);
	T.h = NULL;
	cr_assert_str_eq(ha_alarm_name(999), "?");
	cr_assert_str_eq(ha_alarm_text(999), "?");
	cr_assert_str_eq(ha_mode_name(99), "?");
	cr_assert_str_eq(ha_dstate_name(99), "?");
}

/* ---- what a start finds ---- */

Test(ha_pair, a_journal_or_state_of_another_pair_ends_the_start)
{
	start(3, 2);
	log_of(2);
	boot_as(0, JR_FOREIGN);
	cr_assert(saw("DIE") && strstr(T.text, "correct the configuration"), "%s", T.text);
	done();
	start(3, 2);
	T.saved.node = 2;
	boot();
	cr_assert(saw("DIE") && strstr(T.text, "another cluster or node"), "%s", T.text);
	done();
	start(3, 2);
	T.saved.cluster[0] ^= 1;
	boot();
	cr_assert(saw("DIE") && strstr(T.text, "another cluster or node"), "%s", T.text);
	done();
	start(3, 2);
	boot_as(-EUCLEAN, JR_EMPTY);
	cr_assert(saw("DIE") && strstr(T.text, "fewer than two"), "%s", T.text);
}

/* ---- the LUN is another's ---- */

Test(ha_pair, t7_an_active_whose_key_was_taken_ends)
{
	active_sync();
	T.cas_error = -EBADE;
	T.incarnation = 51;
	ev((struct ha_event){
		.type = HA_EV_PEER, .incarnation = 51, .node_up = true, .quorate = true});
	ev((struct ha_event){.type = HA_EV_LINK_DOWN, .conn = T.conn});
	wait_ms(2000);
	cr_assert(saw("DIE") && strstr(T.text, "key of the metadata LUN"), "%s", T.text);
}

Test(ha_pair, p6_a_promoter_whose_key_was_taken_looks_again)
{
	start(3, 2);
	T.cas_error = -EBADE;
	boot();
	fenced();
	ev((struct ha_event){.type = HA_EV_PROMOTE});
	cr_assert_eq(T.result, -EAGAIN, "%s", T.text);
	cr_assert_eq(ha_role(T.h), PR_ROLE_STANDBY);
}

Test(ha_pair, t8_a_record_that_somebody_else_wrote_ends_the_active)
{
	active_sync();
	T.hold_cas = true;
	ev((struct ha_event){.type = HA_EV_SWITCHOVER, .ticket = 8});
	ev((struct ha_event){.type = HA_EV_SWITCHOVER, .ticket = 9});
	cr_assert_eq(T.result, -EALREADY);
	ev((struct ha_event){.type = HA_EV_DRAINED});
	ack(tail());
	T.arb.seq++;
	T.arb.epoch = 9;
	T.arb.active = T.arb.members = 2;
	ev((struct ha_event){.type = HA_EV_ARB_CAS, .error = -ESTALE, .arbiter = &T.arb});
	cr_assert(saw("DIE") && strstr(T.text, "refused the handover"), "%s", T.text);
}

Test(ha_pair, t8_a_refusal_that_shows_the_own_record_is_none)
{
	active_sync();
	T.hold_cas = true;
	ev((struct ha_event){.type = HA_EV_SWITCHOVER, .ticket = 8});
	ev((struct ha_event){.type = HA_EV_DRAINED});
	ack(tail());
	T.arb.seq++;
	T.arb.epoch++;
	T.arb.active = 2;
	ev((struct ha_event){.type = HA_EV_ARB_CAS, .error = -ESTALE, .arbiter = &T.arb});
	cr_assert(saw("STANDBY") && !saw("DIE"));
	cr_assert_eq(T.result, 0);
}

/* ---- the heir ---- */

static void heir(void)
{
	standby_in_sync(3);
	SAY(HANDOVER, handover, .epoch = 5, .link = 7, .lsn = 3);
	forget();
}

Test(ha_pair, t9_an_heir_gives_its_promise_back_and_no_other)
{
	heir();
	SAY(HANDOVER, handover, .epoch = 5, .link = 7, .lsn = 3); /* said again */
	SAY(PROMISE_ASK, promise_ask, .epoch = 6, .to = 2);
	cr_assert(saw("link_promise"));
	wait_ms(20);
	T.arb.seq++;
	T.arb.epoch = 5;
	T.arb.active = 1;
	wait_ms(1100);
	cr_assert(saw("save INSYNC 5"), "the refused question changed nothing");
	done();
	heir();
	SAY(PROMISE_ASK, promise_ask, .epoch = 5, .to = 2);
	cr_assert(saw("link_promise"));
	T.arb.seq++;
	T.arb.epoch = 5;
	T.arb.active = 1;
	wait_ms(3000);
	cr_assert(!saw("SERVE") && !saw("save INSYNC 5"), "it is heir no more");
}

Test(ha_pair, t9_an_heir_whose_active_died_is_promoted_by_its_own_order)
{
	heir();
	ev((struct ha_event){.type = HA_EV_PROMOTE, .ticket = 3});
	cr_assert_neq(ha_role(T.h), PR_ROLE_ACTIVE);
	fenced();
	wait_ms(1500);
	cr_assert_eq(ha_role(T.h), PR_ROLE_ACTIVE, "%s", T.text);
	cr_assert_eq(T.arb.members, 1);
}

Test(ha_pair, t9_an_heir_goes_back_when_the_record_went_on_without_it)
{
	heir();
	T.arb.seq++;
	T.arb.epoch = 6;
	T.arb.active = T.arb.members = 2;
	wait_ms(1500);
	cr_assert_eq(ha_role(T.h), PR_ROLE_STANDBY);
	cr_assert(saw("close") && !saw("SERVE"));
}

Test(ha_pair, an_order_before_the_start_is_over_waits)
{
	start(3, 2);
	T.h = ha_new(&T.cfg);
	ev((struct ha_event){.type = HA_EV_PROMOTE, .ticket = 1});
	cr_assert_eq(T.result, -EAGAIN);
	ev((struct ha_event){.type = HA_EV_LINK_UP, .conn = 1});
}
