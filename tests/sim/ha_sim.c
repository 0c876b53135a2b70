/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The pair core under a seeded world: two cores (the real objects), a log, a store and a state file each, one arbiter LUN whose late
 * writes land blindly, a link that loses, delays and repeats, a supervisor whose waitpid proves a death, and one client. Everything
 * that can fail does, for a while; after every step the invariants of the pair must hold, and when the faults stop the pair must
 * come back to SYNC and serve.
 *
 * ha_sim [--seeds N] [--seed S] [--trace] [--ms FAULT_MS] [--stop]
 */
#include <getopt.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include "ha/core/ha.h"
#include "proto/assert_stderr.h"

typedef unsigned long long ull;
enum {
	SLOTS = 6,
	LOG_MAX = 1 << 16,
	ARB_WRITES = 16,
	QUEUE_MAX = 64,
	LINK_QUEUE = 4096,
	KINDS = 16
};

struct rows {
	uint64_t lsn;
	uint64_t seq[SLOTS], at[SLOTS]; /* the slot's last operation, and the LSN of its reply */
};

struct log {
	uint64_t base_lsn, base_epoch;
	struct pr_hash base_hash;
	struct jr_batch *batch[LOG_MAX];
	unsigned count, damaged; /* damaged: index + 1 */
};

struct node {
	uint8_t id;
	bool up;
	uint64_t incarnation, boot_us;
	struct ha *ha;
	/* on disk */
	struct log log;
	uint8_t state[HA_STATE_BYTES];
	bool has_state;
	struct rows disk;
	uint64_t persisted_epoch;
	/* being written */
	struct jr_batch *append[QUEUE_MAX];
	unsigned appends;
	uint64_t append_free_us;
	uint8_t state_next[HA_STATE_BYTES];
	bool state_busy;
	/* full copy */
	struct rows copy;
	bool copying;
	unsigned read_slot;
	/* in memory */
	struct rows rows;	   /* committed */
	struct rows view;	   /* active: with what is submitted */
	struct jr_batch *mine[64]; /* active: submitted, not committed */
	unsigned mines;
	bool serving, draining, hold, drained;
	uint64_t serve_lsn;
	struct {
		bool waiting;
		uint64_t seq;
	} want[SLOTS];
	struct {
		bool waiting;
		uint64_t seq, at, lsn;
	} owe[SLOTS];
	uint64_t timer_us;
	bool disk_slow;
	int score;
};

enum ev_kind {
	E_TIMER,
	E_APPENDED,
	E_SAVED,
	E_FETCHED,
	E_CUT,
	E_REPAIRED,
	E_ARB_READ,
	E_ARB_LAND,
	E_ARB_ANSWER,
	E_ARB_FLOOR,
	E_PREEMPTED,
	E_LINK_UP,
	E_LINK_MSG,
	E_ROWS,
	E_ROWS_APPLIED,
	E_PEER,
	E_FENCE,
	E_PROMOTE,
	E_FLUSH,
	E_CLIENT,
	E_FAULT,
	E_SUPER,
	E_RESTART,
	E_REQUEST,
	E_REPLY,
	E_DRAIN,
	E_CONNECT,
	E_SWITCH,
	E_NODE_DOWN,
	E_HEAL,
};

struct ev {
	uint64_t at_us, order;
	enum ev_kind kind;
	uint8_t node;	      /* 0..1 */
	uint64_t incarnation; /* of the process it is for; 0: the world */
	uint64_t a, b, c;
	struct jr_batch *batch;
	uint8_t *p;
	uint32_t len;
	uint16_t type;
	int error;
	bool flag, flag2, flag3;
	struct ha_arbiter arb, arb2;
};

static struct {
	uint64_t seed, rng, now_us, order, end_faults_us, steps;
	struct node node[2];
	struct ev *heap;
	unsigned heap_n, heap_cap;
	/* link */
	uint64_t conn;
	bool conn_up[2]; /* known to the node */
	bool cut[2];	 /* direction from node i */
	bool stalled[2]; /* of this connection: lost bytes stop it for good */
	uint64_t last_us[2];
	/* arbiter */
	struct ha_arbiter arb;
	uint64_t floor_epoch, floor_lsn;
	bool arb_down;
	struct {
		bool used;
		uint8_t node;
		uint64_t incarnation;
		struct ha_arbiter expect, next;
		uint64_t id;
		bool checked;
	} write[ARB_WRITES];
	uint64_t write_id;
	/* supervisor */
	uint64_t ticket, order_ticket, order_us;
	uint8_t order_node;
	bool told_dead[2];
	bool wrong; /* this seed's operator confirms fences of the living; the LUN's keys still hold */
	uint64_t wrong_incarnation[2], locked_out[2];
	uint64_t next_order_us[2];
	/* client */
	struct {
		uint64_t seq, sent_us, lsn;
		bool acked;
		uint8_t to;
	} slot[SLOTS];
	uint64_t replies;
	uint64_t replied_epoch;
	/* what the world knows to be acknowledged or committed */
	uint64_t acked_lsn, committed_lsn, alone_epoch;
	struct pr_hash acked_hash, committed_hash;
	uint8_t alone_node;
	bool faults;
	uint64_t fault_mask; /* each seed has some of them */
	uint64_t calm_us,
		restart_us; /* time between faults, and until a dead process is started again */
	unsigned syncs, kills, copies, switches, repairs, unknowns, forks;
} W;

static bool trace;
static jmp_buf failed;
static char failure[512];
static const uint8_t cluster_id[16] = "simulated pair!";

static void say(const char *f, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *f, ...)
{
	va_list ap;

	if (!trace)
		return;
	printf("%10.3f  ", (double)W.now_us / 1000);
	va_start(ap, f);
	vprintf(f, ap);
	va_end(ap);
	putchar('\n');
}

static void fail(const char *f, ...) __attribute__((format(printf, 1, 2), noreturn));
static void fail(const char *f, ...)
{
	va_list ap;

	va_start(ap, f);
	vsnprintf(failure, sizeof(failure), f, ap);
	va_end(ap);
	longjmp(failed, 1);
}

static void on_assert(const char *text, size_t len)
{
	fail("%.*s", (int)(len ? len - 1 : 0), text);
}

/* ---- chance ---- */

static uint64_t rnd(void)
{
	uint64_t z = (W.rng += 0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

static uint64_t upto(uint64_t n)
{
	return n ? rnd() % n : 0;
}

static bool chance(unsigned permille)
{
	return upto(1000) < permille;
}

/* ---- time ---- */

static bool before(const struct ev *a, const struct ev *b)
{
	return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

static struct ev *later(uint64_t delay_us, enum ev_kind kind, unsigned node)
{
	unsigned i;
	struct ev e = {.at_us = W.now_us + delay_us,
		       .order = ++W.order,
		       .kind = kind,
		       .node = (uint8_t)node};

	if (W.heap_n == W.heap_cap) {
		W.heap_cap = W.heap_cap ? W.heap_cap * 2 : 1024;
		W.heap = realloc(W.heap, W.heap_cap * sizeof(*W.heap));
	}
	i = W.heap_n++;
	while (i && before(&e, &W.heap[(i - 1) / 2])) {
		W.heap[i] = W.heap[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	W.heap[i] = e;
	return &W.heap[i];
}

static struct ev *for_node(uint64_t delay_us, enum ev_kind kind, struct node *n)
{
	struct ev *e = later(delay_us, kind, (unsigned)(n - W.node));

	e->incarnation = n->incarnation;
	return e;
}

static bool pop(struct ev *ret)
{
	unsigned i = 0;
	struct ev last;

	if (!W.heap_n)
		return false;
	*ret = W.heap[0];
	last = W.heap[--W.heap_n];
	for (;;) {
		unsigned c = 2 * i + 1;

		if (c >= W.heap_n)
			break;
		if (c + 1 < W.heap_n && before(&W.heap[c + 1], &W.heap[c]))
			c++;
		if (!before(&W.heap[c], &last))
			break;
		W.heap[i] = W.heap[c];
		i = c;
	}
	W.heap[i] = last;
	return true;
}

/* ---- logs ---- */

static uint64_t log_tail(const struct log *l)
{
	return l->count ? l->batch[l->count - 1]->last_lsn : l->base_lsn;
}

static int log_find(const struct log *l, uint64_t lsn)
{
	for (unsigned i = l->count; i-- > 0;)
		if (l->batch[i]->first_lsn <= lsn && lsn <= l->batch[i]->last_lsn)
			return (int)i;
	return -1;
}

static void log_clear(struct log *l)
{
	while (l->count)
		jr_batch_unref(l->batch[--l->count]);
	l->damaged = 0;
}

/* Does this log hold the chain up to (lsn, hash)? */
static bool log_holds(const struct log *l, uint64_t lsn, const struct pr_hash *hash)
{
	int i;

	if (lsn <= l->base_lsn)
		return true;
	i = log_find(l, lsn);
	return i >= 0 && l->batch[i]->last_lsn == lsn && pr_hash_equal(&l->batch[i]->hash, hash);
}

static bool holds(const struct node *n, uint64_t lsn, const struct pr_hash *hash, bool pending)
{
	if (log_holds(&n->log, lsn, hash))
		return true;
	if (pending)
		for (unsigned i = 0; i < n->appends; i++)
			if (n->append[i]->last_lsn == lsn &&
			    pr_hash_equal(&n->append[i]->hash, hash))
				return true;
	return false;
}

static void apply_batch(struct rows *r, const struct jr_batch *b)
{
	struct pr_cur c = pr_cur_on(b->payload, b->payload_bytes);
	struct pr_record v;

	while (c.left && pr_record_get(&c, &v)) {
		if (v.kind != PR_RECORD_OPERATION)
			continue;
		r->seq[v.slot] = v.sequence;
		r->at[v.slot] = v.lsn;
	}
	r->lsn = b->last_lsn;
}

/* ---- processes ---- */

static void step(struct node *n, struct ha_event e);
static void pump(struct node *n);

static void link_down(struct node *n)
{
	struct ev *e = for_node(upto(2000), E_LINK_UP, n);

	e->flag = true;
	e->a = W.conn;
}

static void node_die(struct node *n, bool clean)
{
	unsigned keep;

	if (!n->up)
		return;
	(void)clean;
	n->up = false;
	W.kills++;
	say("node %u: process %llu dies (role %u mode %u)", n->id, (ull)n->incarnation,
	    ha_role(n->ha), ha_mode(n->ha));
	/* Writes on their way: any prefix of the appends may have reached the disk, and the state or not. */
	keep = (unsigned)upto(n->appends + 1);
	for (unsigned i = 0; i < n->appends; i++) {
		if (i < keep)
			n->log.batch[n->log.count++] = n->append[i];
		else
			jr_batch_unref(n->append[i]);
	}
	n->appends = 0;
	if (n->state_busy && chance(500)) {
		memcpy(n->state, n->state_next, sizeof(n->state));
		n->has_state = true;
	}
	n->state_busy = false;
	for (unsigned i = 0; i < n->mines; i++)
		jr_batch_unref(n->mine[i]);
	n->mines = 0;
	n->serving = n->draining = n->hold = n->drained = n->copying = false;
	memset(n->want, 0, sizeof(n->want));
	memset(n->owe, 0, sizeof(n->owe));
	ha_free(n->ha);
	n->ha = NULL;
	n->score = 0;
	W.told_dead[n - W.node] = false;
	W.conn_up[0] = W.conn_up[1] = false;
	/* the survivor's end of the connection closes, unless the way is cut */
	struct node *o = &W.node[n == W.node];
	if (o->up && W.conn && !W.cut[n - W.node] && chance(800))
		link_down(o);
	for_node(500 + upto(20000), E_NODE_DOWN, n); /* waitpid */
	later(2000 + upto(W.faults ? W.restart_us : 100000), E_RESTART, (unsigned)(n - W.node));
	if (W.order_ticket && W.order_node == (n - W.node))
		W.order_ticket = 0;
}

static uint64_t known_commit(const struct log *l)
{
	uint64_t lsn = 0;

	for (unsigned i = 0; i < l->count; i++)
		if (l->batch[i]->commit_lsn > lsn)
			lsn = l->batch[i]->commit_lsn;
	return lsn < log_tail(l) ? lsn : log_tail(l);
}

static void peer_fact(struct node *to, const struct node *about, bool up)
{
	struct ev *e = for_node(upto(3000), E_PEER, to);

	e->a = about->incarnation;
	e->flag = up;
	e->flag2 = true;
}

static void node_boot(struct node *n)
{
	struct node *o = &W.node[n == W.node];
	struct ha_config cfg = {
		.node = n->id,
		.beat_ms = 20,
		.lease_ms = 200,
		.drop_ms = 1500,
		.link_dead_ms = 150,
		.in_flight = 2,
		.drift_ppm = 1000,
		.fabric_fencing = W.wrong,
		.takeover_wait_ms = 250,
	};
	struct jr_event opened = {.type = JR_EV_OPENED,
				  .verdict = n->log.count ? JR_CLEAN : JR_EMPTY};
	struct ha_state state;
	const uint8_t *copies[4] = {n->state, n->state, n->state, n->state};
	struct ha_event e = {.type = HA_EV_BOOT, .opened = &opened, .store_lsn = n->disk.lsn};

	memcpy(cfg.cluster, cluster_id, 16);
	n->up = true;
	n->incarnation++;
	n->ha = ha_new(&cfg);
	if (!n->ha)
		fail("the configuration is refused");
	n->rows = n->disk;
	n->read_slot = 0;
	n->timer_us = 0;
	n->append_free_us = W.now_us;
	opened.first_lsn = n->log.base_lsn + 1;
	opened.tail_lsn = log_tail(&n->log);
	opened.tail_hash = n->log.count ? n->log.batch[n->log.count - 1]->hash : n->log.base_hash;
	opened.tail_epoch =
		n->log.count ? n->log.batch[n->log.count - 1]->epoch : n->log.base_epoch;
	opened.commit_lsn = known_commit(&n->log);
	/* Bit rot, where the other still has it. */
	if (W.faults && n->log.count > 3 && chance(40)) {
		unsigned i = n->log.count - 1 - (unsigned)upto(n->log.count < 8 ? n->log.count : 8);

		if (!o->log.damaged &&
		    log_holds(&o->log, n->log.batch[i]->last_lsn, &n->log.batch[i]->hash) &&
		    n->log.batch[i]->first_lsn > o->log.base_lsn && W.arb.members == 3)
			n->log.damaged = i + 1;
	}
	if (n->log.damaged) {
		opened.verdict = JR_REPAIR;
		opened.damaged_first = n->log.batch[n->log.damaged - 1]->first_lsn;
		opened.damaged_last = n->log.batch[n->log.damaged - 1]->last_lsn;
	}
	say("node %u: process %llu starts: log %llu..%llu store %llu%s", n->id, (ull)n->incarnation,
	    (ull)opened.first_lsn, (ull)opened.tail_lsn, (ull)n->disk.lsn,
	    n->log.damaged ? " DAMAGED" : "");
	e.incarnation = n->incarnation;
	e.error = n->has_state ? ha_state_pick(&state, copies, NULL) : -ENOENT;
	e.state = &state;
	if (n->has_state && e.error)
		fail("node %u: its state does not decode", n->id);
	W.told_dead[n - W.node] = false;
	for_node(upto(20000), E_FLUSH, n);
	step(n, e);
	if (!n->up)
		return;
	if (o->up) {
		peer_fact(n, o, true);
		peer_fact(o, n, true);
	} else {
		peer_fact(n, o, false);
		struct ev *f = for_node(3000 + upto(3000), E_FENCE, n);
		f->a = o->incarnation;
	}
	later(upto(5000), E_CONNECT, 0);
}

/* ---- the arbiter ---- */

static void arb_finish(unsigned i, bool land)
{
	struct ha_arbiter *a = &W.arb;
	int error = 0;

	if (!W.write[i].used)
		return;
	W.write[i].used = false;
	if (!W.write[i].checked)
		error = -ESTALE;
	else if (!land)
		error = -EIO;
	else {
		*a = W.write[i].next;
		say("arbiter: seq %llu epoch %llu members %u active %u", (ull)a->seq, (ull)a->epoch,
		    a->members, a->active);
	}
	struct ev *e = later(100 + upto(1000), E_ARB_ANSWER, W.write[i].node);
	e->incarnation = W.write[i].incarnation;
	e->error = error;
	e->arb = *a;
}

/* Each writer locks by its open description: what a former process here had queued is over before this one writes. */
static void drain_former(const struct node *n)
{
	for (unsigned w = 0; w < ARB_WRITES; w++)
		if (W.write[w].used && W.write[w].node == n - W.node &&
		    W.write[w].incarnation != n->incarnation)
			arb_finish(w, chance(500));
}

static void arb_cas(struct node *n, const struct ha_effect *fx)
{
	unsigned i = 0;
	uint64_t delay = 200 + upto(2000);
	struct node *o = &W.node[n == W.node];

	drain_former(n);
	while (i < ARB_WRITES && W.write[i].used)
		i++;
	if (i == ARB_WRITES)
		fail("too many writes of the arbiter at once");
	for (unsigned j = 0; j < ARB_WRITES; j++)
		if (W.write[j].used && W.write[j].node == n - W.node &&
		    W.write[j].incarnation == n->incarnation)
			fail("node %u: two arbiter writes in flight", n->id);
	/* I7: who takes the role over proves that the other does not have it. */
	if (ha_role(n->ha) == PR_ROLE_PROMOTING && W.arb.members == 3 && o->up &&
	    ha_role(o->ha) == PR_ROLE_ACTIVE && W.wrong_incarnation[o - W.node] != o->incarnation)
		fail("I7: node %u promotes itself while node %u is active and a member", n->id,
		     o->id);
	W.write[i].used = true;
	W.write[i].node = (uint8_t)(n - W.node);
	W.write[i].incarnation = n->incarnation;
	W.write[i].expect = fx->expect;
	W.write[i].next = fx->next;
	W.write[i].id = ++W.write_id;
	/* Read and check now, write blindly later. */
	if (W.locked_out[n - W.node] == n->incarnation) { /* reservation conflict */
		W.write[i].used = false;
		for_node(delay, E_ARB_ANSWER, n)->error = -EBADE;
		return;
	}
	W.write[i].checked = memcmp(&W.arb, &fx->expect, sizeof(W.arb)) == 0;
	if (W.arb_down || chance(W.faults ? 60 : 0)) {
		struct ev *e = for_node(delay, E_ARB_ANSWER, n);

		W.unknowns++;
		e->error = -ETIMEDOUT;
		delay += 5000 + upto(300000);
	}
	struct ev *e = later(delay, E_ARB_LAND, (unsigned)(n - W.node));
	e->a = W.write[i].id;
	e->flag = !chance(W.faults ? 150 : 0);
}

/* ---- the link ---- */

static void link_reset(void)
{
	for (unsigned i = 0; i < 2; i++)
		if (W.node[i].up && W.conn_up[i])
			link_down(&W.node[i]);
	W.conn_up[0] = W.conn_up[1] = false;
	later(1000 + upto(20000), E_CONNECT, 0);
}

static void link_send(struct node *n, const struct ha_effect *fx)
{
	unsigned from = (unsigned)(n - W.node);
	struct node *o = &W.node[!from];
	uint32_t image = fx->batch ? fx->batch->image_bytes : 0;
	uint64_t at;
	struct ev *e;

	if (fx->conn != W.conn || !W.conn_up[from] || !o->up)
		return;
	if (W.faults && chance(2))
		W.stalled[from] = true;
	if (W.cut[from] || W.stalled[from]) {
		W.stalled[from] = true;
		return;
	}
	at = W.now_us + 30 + upto(W.faults && chance(20) ? 60000 : 400);
	if (at < W.last_us[from])
		at = W.last_us[from];
	W.last_us[from] = at;
	for (unsigned twice = 0; twice < (W.faults && chance(10) ? 2u : 1u); twice++) {
		e = for_node(at - W.now_us, E_LINK_MSG, o);
		e->a = fx->conn;
		e->type = fx->msg_type;
		e->len = fx->len + image;
		e->p = malloc(e->len);
		memcpy(e->p, fx->p, fx->len);
		if (image)
			memcpy(e->p + fx->len, fx->batch->image, image);
	}
}

/* ---- the client's and the controller's part ---- */

static void reply(struct node *n, unsigned slot, uint64_t seq, uint64_t at)
{
	struct ev *e;

	if (W.replied_epoch > ha_epoch(n->ha))
		fail("I2: node %u replies in epoch %llu after epoch %llu replied", n->id,
		     (ull)ha_epoch(n->ha), (ull)W.replied_epoch);
	W.replied_epoch = ha_epoch(n->ha);
	e = later(50 + upto(500), E_REPLY, slot);
	e->a = seq;
	e->b = at;
	/* From here on it may have been seen: it is acknowledged. */
	if (n->rows.lsn > W.acked_lsn || !W.acked_lsn) {
		int i;

		if (W.acked_lsn && !holds(n, W.acked_lsn, &W.acked_hash, true))
			fail("I1: node %u acknowledges LSN %llu without LSN %llu", n->id, (ull)at,
			     (ull)W.acked_lsn);
		if (at > W.acked_lsn && at > n->log.base_lsn) {
			i = log_find(&n->log, at);
			if (i < 0)
				fail("node %u acknowledges LSN %llu that is not in its log", n->id,
				     (ull)at);
			W.acked_lsn = n->log.batch[i]->last_lsn;
			W.acked_hash = n->log.batch[i]->hash;
		}
	}
}

static void send_replies(struct node *n)
{
	if (!n->up || !n->serving)
		return;
	for (unsigned s = 0; s < SLOTS; s++)
		if (n->owe[s].waiting && n->owe[s].lsn <= n->rows.lsn &&
		    ha_may_reply(n->ha, W.now_us / 1000)) {
			n->owe[s].waiting = false;
			reply(n, s, n->owe[s].seq, n->owe[s].at);
		}
}

static void close_batch(struct node *n)
{
	static uint8_t payload[SLOTS * 128];
	struct pr_buf b = pr_buf_on(payload, sizeof(payload));
	uint64_t first = ha_next_lsn(n->ha), lsn = first;
	struct pr_hash prev = ha_tail_hash(n->ha);
	struct jr_batch *batch;

	for (unsigned s = 0; s < SLOTS; s++) {
		struct pr_record v = {.lsn = lsn,
				      .kind = PR_RECORD_OPERATION,
				      .slot = s,
				      .sequence = n->want[s].seq};

		if (!n->want[s].waiting || (lsn > first && chance(300)))
			continue;
		n->want[s].waiting = false;
		if (n->view.seq[s] == v.sequence) { /* executed already: the stored reply */
			n->owe[s].waiting = true;
			n->owe[s].seq = v.sequence;
			n->owe[s].at = n->owe[s].lsn = n->view.at[s];
			continue;
		}
		if (n->view.seq[s] > v.sequence)
			continue;
		if (pr_record_put(&b, &v) < 0)
			abort();
		n->owe[s].waiting = true;
		n->owe[s].seq = v.sequence;
		n->owe[s].at = n->owe[s].lsn = lsn;
		lsn++;
	}
	if (lsn == first)
		return;
	batch = jr_batch_new(cluster_id, ha_epoch(n->ha), first, lsn - 1, ha_commit_lsn(n->ha),
			     &prev, payload, (uint32_t)b.len);
	apply_batch(&n->view, batch);
	step(n, (struct ha_event){.type = HA_EV_SUBMIT, .batch = batch});
	jr_batch_unref(batch);
}

static void pump(struct node *n)
{
	bool any = false;

	if (!n->up || !n->serving || n->hold || n->drained)
		return;
	for (unsigned s = 0; s < SLOTS; s++)
		any |= n->want[s].waiting;
	if (any && !n->draining && ha_can_submit(n->ha))
		close_batch(n);
	if (n->up)
		send_replies(n);
}

static void committed(struct node *n, uint64_t lsn)
{
	struct node *o = &W.node[n == W.node];

	while (n->mines && n->mine[0]->last_lsn <= lsn) {
		struct jr_batch *b = n->mine[0];

		if (b->first_lsn != n->rows.lsn + 1)
			fail("node %u commits LSN %llu on rows at %llu", n->id, (ull)b->first_lsn,
			     (ull)n->rows.lsn);
		if (!log_holds(&n->log, b->last_lsn, &b->hash))
			fail("node %u commits LSN %llu that is not durable here", n->id,
			     (ull)b->last_lsn);
		/* I3, I5 at the moment it matters: what is committed is held by every member. */
		if ((W.arb.members & (1u << (o - W.node))) &&
		    !log_holds(&o->log, b->last_lsn, &b->hash))
			fail("I3: node %u commits LSN %llu which member %u does not hold", n->id,
			     (ull)b->last_lsn, o->id);
		if (b->last_lsn > W.committed_lsn) {
			W.committed_lsn = b->last_lsn;
			W.committed_hash = b->hash;
		}
		apply_batch(&n->rows, b);
		jr_batch_unref(b);
		memmove(n->mine, n->mine + 1, --n->mines * sizeof(n->mine[0]));
	}
	send_replies(n);
}

static void serve(struct node *n, uint64_t lsn)
{
	if (n->rows.lsn > lsn)
		fail("node %u serves at LSN %llu with rows at %llu", n->id, (ull)lsn,
		     (ull)n->rows.lsn);
	n->serving = true;
	n->hold = n->draining = n->drained = false;
	n->serve_lsn = lsn;
	/* own records of the core carry no rows */
	n->view = n->rows;
	say("node %u: SERVE epoch %llu at LSN %llu mode %u", n->id, (ull)ha_epoch(n->ha), (ull)lsn,
	    ha_mode(n->ha));
}

/* The only member adopts its whole tail: from here on it is committed. */
static void adopt(uint64_t lsn, const struct pr_hash *hash)
{
	if (lsn <= W.committed_lsn)
		return;
	W.committed_lsn = lsn;
	W.committed_hash = *hash;
}

static void take_apply(struct node *n, struct jr_batch *b)
{
	if (b->first_lsn > n->rows.lsn + 1)
		fail("node %u applies LSN %llu on rows at %llu", n->id, (ull)b->first_lsn,
		     (ull)n->rows.lsn);
	if (!log_holds(&n->log, b->last_lsn, &b->hash))
		fail("node %u applies LSN %llu that is not durable here", n->id, (ull)b->last_lsn);
	/* I13; the role is settled once the record names it. */
	if (ha_role(n->ha) == PR_ROLE_STANDBY && b->last_lsn > W.committed_lsn)
		fail("I13: node %u applies LSN %llu, committed is %llu", n->id, (ull)b->last_lsn,
		     (ull)W.committed_lsn);
	if (b->last_lsn == W.committed_lsn && !pr_hash_equal(&b->hash, &W.committed_hash) &&
	    ha_role(n->ha) == PR_ROLE_STANDBY)
		fail("I13: node %u applies another LSN %llu than was committed", n->id,
		     (ull)b->last_lsn);
	if (ha_role(n->ha) == PR_ROLE_PROMOTING)
		adopt(b->last_lsn, &b->hash);
	if (b->last_lsn > n->rows.lsn)
		apply_batch(&n->rows, b);
}

static void cut(struct node *n, uint64_t lsn)
{
	if (!log_holds(&n->log, lsn, &(struct pr_hash){0}) && log_find(&n->log, lsn) < 0)
		fail("node %u cuts at LSN %llu which is not in its log", n->id, (ull)lsn);
	/* I8 */
	if (W.acked_lsn > lsn && W.acked_lsn > n->log.base_lsn &&
	    log_holds(&n->log, W.acked_lsn, &W.acked_hash) && log_tail(&n->log) >= W.acked_lsn) {
		struct node *o = &W.node[n == W.node];

		if (!log_holds(&o->log, W.acked_lsn, &W.acked_hash) ||
		    (W.arb.members & (1u << (n - W.node))))
			fail("I8: node %u cuts to LSN %llu, LSN %llu was acknowledged", n->id,
			     (ull)lsn, (ull)W.acked_lsn);
	}
	if (W.arb.members & (1u << (n - W.node)))
		fail("I8: node %u cuts its tail while it is a member", n->id);
	W.forks++;
	for_node(500 + upto(3000), E_CUT, n)->a = lsn;
}

/* ---- effects ---- */

/* What a full copy drops without archiving it stands in the other's journal, as far back as that reaches. */
static void dropped_unarchived(const struct node *n, uint64_t common_lsn)
{
	const struct log *his = &W.node[2 - n->id].log;

	for (unsigned i = 0; i < n->log.count && !his->damaged; i++) {
		const struct jr_batch *b = n->log.batch[i];

		if (b->last_lsn <= common_lsn && b->last_lsn > his->base_lsn &&
		    !log_holds(his, b->last_lsn, &b->hash))
			fail("T5: node %u drops LSN %llu, which only it has, and archives nothing",
			     n->id, (ull)b->last_lsn);
	}
}

static void effect(struct node *n, struct ha_effect *fx)
{
	struct ev *e;
	int i;

	switch (fx->type) {
	case HA_FX_SEND:
		link_send(n, fx);
		break;
	case HA_FX_CLOSE_LINK:
		if (fx->conn == W.conn)
			link_reset();
		break;
	case HA_FX_APPEND: {
		uint64_t at = W.now_us + 100 + upto(n->disk_slow ? 400000 : 600);
		const struct jr_batch *b = fx->batch;
		uint64_t tail =
			n->appends ? n->append[n->appends - 1]->last_lsn : log_tail(&n->log);

		if (b->first_lsn != tail + 1)
			fail("node %u appends LSN %llu after %llu", n->id, (ull)b->first_lsn,
			     (ull)tail);
		if (n->appends >= 3)
			fail("node %u: more appends in flight than the journal takes", n->id);
		n->append[n->appends++] = jr_batch_ref(fx->batch);
		if (at < n->append_free_us)
			at = n->append_free_us;
		n->append_free_us = at;
		for_node(at - W.now_us, E_APPENDED, n)->a = b->last_lsn;
		if (ha_role(n->ha) == PR_ROLE_ACTIVE && !n->serving)
			adopt(b->first_lsn - 1, &b->prev_hash);
		if (ha_role(n->ha) == PR_ROLE_ACTIVE)
			n->mine[n->mines++] = jr_batch_ref(fx->batch);
		break;
	}
	case HA_FX_COMMITTED:
		committed(n, fx->lsn);
		break;
	case HA_FX_APPLY:
		take_apply(n, fx->batch);
		break;
	case HA_FX_FETCH:
		e = for_node(100 + upto(1000), E_FETCHED, n);
		e->a = fx->cookie;
		e->b = fx->lsn;
		break;
	case HA_FX_CUT:
		cut(n, fx->lsn);
		break;
	case HA_FX_REPAIR:
		e = for_node(500 + upto(3000), E_REPAIRED, n);
		e->batch = jr_batch_ref(fx->batch);
		break;
	case HA_FX_RESET:
		if (W.arb.members & (1u << (n - W.node)))
			fail("I8: node %u resets its journal while it is a member", n->id);
		dropped_unarchived(n, fx->common_lsn);
		e = for_node(500 + upto(3000), E_CUT, n);
		e->flag = true;
		e->a = fx->lsn;
		e->b = fx->epoch;
		memcpy(e->p = malloc(16), fx->hash.b, 16);
		break;
	case HA_FX_SAVE_STATE:
		if (n->state_busy)
			fail("node %u: two writes of the state at once", n->id);
		n->state_busy = true;
		ha_state_encode(n->state_next, fx->state);
		for_node(300 + upto(n->disk_slow ? 50000 : 3000), E_SAVED, n)->a = fx->state->epoch;
		say("node %u: saves %s epoch %llu seq %llu", n->id,
		    ha_dstate_name(fx->state->dstate), (ull)fx->state->epoch, (ull)fx->state->seq);
		break;
	case HA_FX_ARB_READ:
		for_node(100 + upto(1500), E_ARB_READ, n);
		break;
	case HA_FX_ARB_CAS:
		say("node %u: CAS to epoch %llu members %u active %u", n->id, (ull)fx->next.epoch,
		    fx->next.members, fx->next.active);
		arb_cas(n, fx);
		break;
	case HA_FX_ARB_FLOOR:
		e = for_node(100 + upto(1000), E_ARB_FLOOR, n);
		e->a = fx->epoch;
		e->b = fx->lsn;
		break;
	case HA_FX_ASK_FENCE:
		e = later(5000 + upto(100000), E_FENCE, (unsigned)(n - W.node));
		e->incarnation = n->incarnation;
		e->flag = true;
		e->a = fx->incarnation;
		break;
	case HA_FX_PREEMPT: {
		unsigned other = n == W.node;

		/* The lock is ours when what the old writer had queued is over. */
		for (unsigned w = 0; w < ARB_WRITES; w++)
			if (W.write[w].used && W.write[w].node == other)
				arb_finish(w, chance(500));
		drain_former(n);
		W.locked_out[other] = W.node[other].incarnation;
		W.locked_out[!other] = 0;
		for_node(100 + upto(3000), E_PREEMPTED, n);
		break;
	}
	case HA_FX_SCORE:
		n->score = fx->score;
		break;
	case HA_FX_ORDER_RESULT:
		say("node %u: order %llu: %d %s", n->id, (ull)fx->ticket, fx->error, fx->text);
		if (fx->ticket == W.order_ticket) {
			W.order_ticket = 0;
			if (fx->error)
				W.next_order_us[n - W.node] = W.now_us + 50000 + upto(100000);
		}
		if (!fx->error && fx->ticket >> 32)
			W.switches++;
		break;
	case HA_FX_SERVE:
		serve(n, fx->lsn);
		break;
	case HA_FX_HOLD:
		n->hold = true;
		say("node %u: HOLD", n->id);
		break;
	case HA_FX_RESUME:
		n->hold = false;
		say("node %u: RESUME mode %u epoch %llu", n->id, ha_mode(n->ha),
		    (ull)ha_epoch(n->ha));
		break;
	case HA_FX_DRAIN:
		n->draining = true;
		for_node(upto(3000), E_DRAIN, n);
		break;
	case HA_FX_UNDRAIN:
		n->draining = n->drained = false;
		break;
	case HA_FX_STANDBY:
		say("node %u: STANDBY", n->id);
		n->serving = n->draining = n->drained = n->hold = false;
		memset(n->want, 0, sizeof(n->want));
		memset(n->owe, 0, sizeof(n->owe));
		if (n->mines)
			fail("node %u handed over with batches that are not committed", n->id);
		break;
	case HA_FX_ROWS_READ:
		if (!fx->cookie)
			n->read_slot = 0;
		for_node(300 + upto(20000), E_ROWS, n);
		break;
	case HA_FX_ROWS_BEGIN:
		say("node %u: full copy begins at LSN %llu", n->id, (ull)fx->lsn);
		W.copies++;
		n->copying = true;
		memset(&n->copy, 0, sizeof(n->copy));
		for_node(300 + upto(2000), E_ROWS_APPLIED, n);
		break;
	case HA_FX_ROWS_PUT:
		if (!n->copying)
			fail("node %u: rows without a beginning", n->id);
		for (i = 0; i + 24 <= (int)fx->len; i += 24) {
			unsigned s = (unsigned)pr_load64(fx->p + i);

			n->copy.seq[s] = pr_load64(fx->p + i + 8);
			n->copy.at[s] = pr_load64(fx->p + i + 16);
		}
		for_node(300 + upto(2000), E_ROWS_APPLIED, n);
		break;
	case HA_FX_ROWS_END:
		n->copy.lsn = fx->lsn;
		n->disk = n->rows = n->copy;
		n->copying = false;
		for_node(300 + upto(2000), E_ROWS_APPLIED, n);
		break;
	case HA_FX_ROWS_KEEP:
		break;
	case HA_FX_TIMER:
		n->timer_us = fx->at_ms * 1000;
		for_node(n->timer_us > W.now_us ? n->timer_us - W.now_us : 0, E_TIMER, n);
		break;
	case HA_FX_ALARM:
		say("node %u: alarm %s %s", n->id, ha_alarm_name((unsigned)fx->alarm),
		    fx->on ? "on" : "off");
		break;
	case HA_FX_DIE:
		say("node %u: DIE: %s", n->id, fx->text);
		break;
	}
}

static void check(void)
{
	unsigned may = 0;

	for (unsigned i = 0; i < 2; i++) {
		struct node *n = &W.node[i], *o = &W.node[!i];

		if ((W.arb.members & (1u << i)) && W.acked_lsn && !n->log.damaged &&
		    !log_holds(&n->log, W.acked_lsn, &W.acked_hash))
			fail("I3: member %u does not hold LSN %llu, which was acknowledged (its log ends at %llu)",
			     n->id, (ull)W.acked_lsn, (ull)log_tail(&n->log));
		if (!n->up)
			continue;
		if (n->serving && ha_may_reply(n->ha, W.now_us / 1000)) {
			may++;
			if (W.acked_lsn && !holds(n, W.acked_lsn, &W.acked_hash, true))
				fail("I1: active %u does not hold LSN %llu", n->id,
				     (ull)W.acked_lsn);
		}
		if (ha_role(n->ha) == PR_ROLE_ACTIVE && ha_mode(n->ha) == HA_ALONE) {
			if (W.alone_epoch == ha_epoch(n->ha) && W.alone_node != n->id)
				fail("I6: both were ALONE in epoch %llu", (ull)W.alone_epoch);
			W.alone_epoch = ha_epoch(n->ha);
			W.alone_node = n->id;
		}
		if (ha_role(n->ha) == PR_ROLE_ACTIVE && ha_mode(n->ha) == HA_SYNC &&
		    W.arb.members == 3 && ha_commit_lsn(n->ha) == W.committed_lsn &&
		    W.committed_lsn && !o->log.damaged &&
		    !log_holds(&o->log, W.committed_lsn, &W.committed_hash))
			fail("I11: in SYNC node %u does not hold committed LSN %llu", o->id,
			     (ull)W.committed_lsn);
	}
	if (may > 1)
		fail("I2: both may reply");
}

static void step(struct node *n, struct ha_event e)
{
	struct ha_effect fx;
	bool dies = false;

	if (!n->up)
		return;
	e.now_ms = W.now_us / 1000;
	e.random = rnd();
	ha_step(n->ha, &e);
	while (ha_next(n->ha, &fx)) {
		effect(n, &fx);
		dies |= fx.type == HA_FX_DIE;
		jr_batch_unref(fx.batch);
	}
	W.steps++;
	check();
	if (dies)
		node_die(n, true);
}

/* ---- what happens ---- */

static void rows_read(struct node *n)
{
	uint8_t buf[48];
	struct ha_event e = {.type = HA_EV_ROWS,
			     .p = buf,
			     .len = sizeof(buf),
			     .lsn = n->disk.lsn,
			     .total_bytes = SLOTS * 24};

	for (unsigned i = 0; i < 2; i++, n->read_slot++) {
		pr_store64(buf + i * 24, n->read_slot);
		pr_store64(buf + i * 24 + 8, n->disk.seq[n->read_slot]);
		pr_store64(buf + i * 24 + 16, n->disk.at[n->read_slot]);
	}
	e.last = n->read_slot >= SLOTS;
	e.done_bytes = n->read_slot * 24;
	if (e.last)
		n->read_slot = 0;
	step(n, e);
}

static void flush(struct node *n)
{
	struct log *l = &n->log;
	uint64_t keep = ha_keep_lsn(n->ha);
	unsigned k = 0;

	if (n->rows.lsn > W.committed_lsn && ha_role(n->ha) == PR_ROLE_STANDBY)
		fail("I13: node %u stores LSN %llu, committed is %llu", n->id, (ull)n->rows.lsn,
		     (ull)W.committed_lsn);
	if (!n->copying) {
		n->disk = n->rows;
		step(n, (struct ha_event){.type = HA_EV_STORE_FLUSHED, .lsn = n->disk.lsn});
	}
	if (!n->up)
		return;
	if (W.faults && chance(300) && !l->damaged && !n->copying) {
		if (keep > n->disk.lsn)
			keep = n->disk.lsn;
		while (k < l->count && l->batch[k]->last_lsn <= keep && chance(950))
			k++;
		if (k) {
			l->base_lsn = l->batch[k - 1]->last_lsn;
			l->base_hash = l->batch[k - 1]->hash;
			l->base_epoch = l->batch[k - 1]->epoch;
			for (unsigned i = 0; i < k; i++)
				jr_batch_unref(l->batch[i]);
			memmove(l->batch, l->batch + k, (l->count - k) * sizeof(l->batch[0]));
			l->count -= k;
		}
	}
	for_node(5000 + upto(400000), E_FLUSH, n);
}

static void do_cut(struct node *n, struct ev *e)
{
	struct log *l = &n->log;

	if (e->flag) {
		log_clear(l);
		l->base_lsn = e->a;
		l->base_epoch = e->b;
		memcpy(l->base_hash.b, e->p, 16);
	} else {
		while (l->count && l->batch[l->count - 1]->last_lsn > e->a) {
			if (l->damaged == l->count)
				l->damaged = 0;
			jr_batch_unref(l->batch[--l->count]);
		}
	}
	step(n, (struct ha_event){.type = HA_EV_CUT, .lsn = e->a});
}

static void repair(struct node *n, struct ev *e)
{
	struct log *l = &n->log;

	if (l->damaged && pr_hash_equal(&l->batch[l->damaged - 1]->hash, &e->batch->hash)) {
		l->damaged = 0;
		W.repairs++;
		step(n, (struct ha_event){.type = HA_EV_REPAIRED, .lsn = e->batch->last_lsn});
	}
}

static void fetch(struct node *n, struct ev *e)
{
	int i = log_find(&n->log, e->b);
	struct jr_batch *b = i >= 0 && (unsigned)i + 1 != n->log.damaged ? n->log.batch[i] : NULL;

	for (unsigned k = 0; !b && k < n->appends; k++)
		if (n->append[k]->first_lsn <= e->b && e->b <= n->append[k]->last_lsn)
			b = n->append[k];
	step(n, (struct ha_event){.type = HA_EV_FETCHED, .cookie = e->a, .batch = b});
}

static void supervise(void)
{
	int best = -1;
	bool active = false;

	for (unsigned i = 0; i < 2; i++) {
		struct node *n = &W.node[i];

		if (!n->up)
			continue;
		active |= n->score == 1000;
		if (n->score > 0 && n->score < 1000 && W.now_us >= W.next_order_us[i] &&
		    (best < 0 || n->score > W.node[best].score))
			best = (int)i;
	}
	if (W.order_ticket && W.now_us > W.order_us + 8000000)
		W.order_ticket = 0;
	if (!active && best >= 0 && !W.order_ticket) {
		struct ev *e;

		W.order_ticket = ++W.ticket;
		W.order_us = W.now_us;
		W.order_node = (uint8_t)best;
		e = for_node(upto(2000), E_PROMOTE, &W.node[best]);
		e->a = W.order_ticket;
	}
	later(5000 + upto(10000), E_SUPER, 0);
}

static void fence(struct ev *e)
{
	struct node *n = &W.node[e->node], *o = &W.node[!e->node];
	int error = 0;

	if (e->flag) { /* asked for */
		if (o->incarnation != e->a)
			return;
		if (o->up) {
			if (W.faults ? chance(600) : true)
				error = -EIO; /* refused: it is alive and well as far as the supervisor sees */
			else
				node_die(o, false);
		}
	}
	if (!error && o->up && o->incarnation == e->a && !e->flag2)
		return;
	step(n, (struct ha_event){.type = HA_EV_FENCE, .incarnation = e->a, .error = error});
}

static void connect_link(void)
{
	if (!W.node[0].up || !W.node[1].up || W.cut[0] || W.cut[1])
		return;
	if (W.conn_up[0] && W.conn_up[1])
		return;
	W.conn++;
	W.stalled[0] = W.stalled[1] = false;
	for (unsigned i = 0; i < 2; i++) {
		uint64_t delay = upto(1500);

		W.conn_up[i] = true;
		W.last_us[!i] = W.now_us + delay; /* what the other sends comes after that */
		for_node(delay, E_LINK_UP, &W.node[i])->a = W.conn;
	}
	say("link: connection %llu", (ull)W.conn);
}

static void fault(void)
{
	struct node *n = &W.node[upto(2)];
	unsigned kind = (unsigned)upto(14);

	if (!W.faults)
		return;
	later(2000 + upto(W.calm_us), E_FAULT, 0);
	if (!(W.fault_mask & 1u << kind))
		return;
	switch (kind) {
	case 0:
	case 1:
	case 2:
		if (chance(600))
			node_die(n, false);
		break;
	case 3:
		if (chance(250)) {
			node_die(&W.node[0], false);
			node_die(&W.node[1], false);
		}
		break;
	case 4:
		W.cut[upto(2)] = true;
		say("link: cut %d %d", W.cut[0], W.cut[1]);
		later(upto(600000), E_HEAL, 0);
		break;
	case 5:
		W.cut[0] = W.cut[1] = true;
		say("link: cut both");
		later(upto(600000), E_HEAL, 0);
		break;
	case 8:
		if (W.conn_up[0] && W.conn_up[1])
			link_reset();
		break;
	case 9:
		n->disk_slow = !n->disk_slow;
		say("node %u: disk %s", n->id, n->disk_slow ? "slow" : "fast");
		break;
	case 10:
		W.arb_down = true;
		later(upto(800000), E_HEAL, 0)->flag = true;
		break;
	case 6:
	case 7:
	case 11:
	case 12:
		for (unsigned i = 0; i < 2; i++)
			if (W.node[i].up && ha_role(W.node[i].ha) == PR_ROLE_ACTIVE)
				for_node(upto(2000), E_SWITCH, &W.node[i])->a =
					++W.ticket | (uint64_t)1 << 32;
		break;
	case 13: /* a rogue order */
		if (!n->up)
			break;
		if (W.wrong && chance(600)) {
			struct node *o = &W.node[n == W.node];
			struct ev *e = for_node(0, E_FENCE, n);

			e->a = W.wrong_incarnation[o - W.node] = o->incarnation;
			e->flag2 = true;
			later(upto(500000), E_HEAL, 0)->flag2 =
				true; /* the link breaks about when the successor writes */
		}
		for_node(upto(2000), E_PROMOTE, n)->a = ++W.ticket;
		break;
	}
}

static void client_send(unsigned s)
{
	W.slot[s].sent_us = W.now_us;
	if (chance(300))
		W.slot[s].to = (uint8_t)upto(2);
	struct ev *e = later(50 + upto(800), E_REQUEST, W.slot[s].to);
	e->a = s;
	e->b = W.slot[s].seq;
}

static bool settled(void)
{
	const struct node *a = NULL, *s = NULL;

	for (unsigned i = 0; i < 2; i++) {
		if (!W.node[i].up)
			return false;
		if (ha_role(W.node[i].ha) == PR_ROLE_ACTIVE)
			a = &W.node[i];
		else
			s = &W.node[i];
	}
	return a && s && ha_mode(a->ha) == HA_SYNC && W.arb.members == 3 && a->serving;
}

static void client(void)
{
	/* During the hour in which a standby may not come back the client rests, or the log would fill. */
	bool rest = !W.faults && W.now_us > W.end_faults_us + 20000000 && !settled();

	for (unsigned s = 0; s < SLOTS && !rest; s++)
		if (W.now_us >= W.slot[s].sent_us + 50000)
			client_send(s);
	later(5000 + upto(20000), E_CLIENT, 0);
}

static void replied(struct ev *e)
{
	unsigned s = e->node;

	if (e->a > W.slot[s].seq)
		fail("I9: slot %u got a reply to an operation it never sent", s);
	if (e->a < W.slot[s].seq)
		return;
	W.replies++;
	W.slot[s].lsn = e->b;
	W.slot[s].seq++;
	W.slot[s].sent_us = W.now_us;
	if (chance(900) && (W.faults || W.now_us < W.end_faults_us + 20000000 || settled()))
		client_send(s);
}

static void happen(struct ev *e)
{
	struct node *n = &W.node[e->node & 1];

	if (e->incarnation &&
	    (e->incarnation != n->incarnation || (!n->up && e->kind != E_NODE_DOWN)))
		return;
	switch (e->kind) {
	case E_TIMER:
		step(n, (struct ha_event){.type = HA_EV_TIMER});
		break;
	case E_APPENDED:
		while (n->appends && n->append[0]->last_lsn <= e->a) {
			if (n->log.count == LOG_MAX)
				fail("the log of the simulation is full");
			n->log.batch[n->log.count++] = n->append[0];
			memmove(n->append, n->append + 1, --n->appends * sizeof(n->append[0]));
		}
		step(n, (struct ha_event){.type = HA_EV_APPENDED, .lsn = e->a});
		break;
	case E_SAVED:
		memcpy(n->state, n->state_next, sizeof(n->state));
		n->has_state = true;
		n->state_busy = false;
		if (e->a < n->persisted_epoch)
			fail("I4: node %u persists epoch %llu after %llu", n->id, (ull)e->a,
			     (ull)n->persisted_epoch);
		n->persisted_epoch = e->a;
		step(n, (struct ha_event){.type = HA_EV_STATE_SAVED});
		break;
	case E_FETCHED:
		fetch(n, e);
		break;
	case E_CUT:
		do_cut(n, e);
		break;
	case E_REPAIRED:
		repair(n, e);
		break;
	case E_ARB_READ:
		step(n, (struct ha_event){.type = HA_EV_ARB_READ,
					  .error = W.arb_down ? -EIO : 0,
					  .arbiter = &W.arb,
					  .floor_lsn = W.floor_lsn});
		break;
	case E_ARB_LAND:
		for (unsigned i = 0; i < ARB_WRITES; i++)
			if (W.write[i].used && W.write[i].id == e->a)
				arb_finish(i, e->flag);
		break;
	case E_ARB_ANSWER:
		step(n, (struct ha_event){
				.type = HA_EV_ARB_CAS, .error = e->error, .arbiter = &e->arb});
		break;
	case E_ARB_FLOOR:
		if (!W.arb_down) {
			W.floor_epoch = e->a;
			W.floor_lsn = e->b;
		}
		step(n, (struct ha_event){.type = HA_EV_ARB_FLOOR, .error = W.arb_down ? -EIO : 0});
		break;
	case E_PREEMPTED:
		step(n, (struct ha_event){.type = HA_EV_PREEMPTED});
		break;
	case E_LINK_UP:
		if (e->flag)
			step(n, (struct ha_event){.type = HA_EV_LINK_DOWN, .conn = e->a});
		else if (e->a == W.conn && W.conn_up[e->node])
			say("node %u: link up %llu", n->id, (ull)e->a),
				step(n, (struct ha_event){.type = HA_EV_LINK_UP, .conn = e->a});
		break;
	case E_LINK_MSG:
		if (e->type != PR_T_LINK_BEAT && e->type != PR_T_LINK_BATCH &&
		    e->type != PR_T_LINK_ACK)
			say("node %u: gets %s", n->id, pr_type_name(e->type));
		/* Of a connection that is gone, too: the core must know by its number. */
		if (e->a == W.conn || W.faults)
			step(n, (struct ha_event){.type = HA_EV_LINK_MSG,
						  .conn = e->a,
						  .msg_type = e->type,
						  .p = e->p,
						  .len = e->len});
		break;
	case E_ROWS:
		rows_read(n);
		break;
	case E_ROWS_APPLIED:
		step(n, (struct ha_event){.type = HA_EV_ROWS_APPLIED});
		break;
	case E_PEER:
		step(n, (struct ha_event){.type = HA_EV_PEER,
					  .incarnation = e->a,
					  .process_up = e->flag,
					  .node_up = e->flag2,
					  .quorate = true});
		break;
	case E_NODE_DOWN: { /* waitpid returned */
		struct node *o = &W.node[!e->node];

		if (o->up) {
			peer_fact(o, n, false);
			for_node(3000 + upto(2000), E_FENCE, o)->a = n->incarnation;
		}
		break;
	}
	case E_FENCE:
		fence(e);
		break;
	case E_PROMOTE:
		say("node %u: order %llu: promote", n->id, (ull)e->a);
		step(n, (struct ha_event){.type = HA_EV_PROMOTE, .ticket = e->a});
		break;
	case E_SWITCH:
		say("node %u: order %llu: switch over", n->id, (ull)e->a);
		step(n, (struct ha_event){.type = HA_EV_SWITCHOVER, .ticket = e->a});
		break;
	case E_FLUSH:
		flush(n);
		break;
	case E_CLIENT:
		client();
		break;
	case E_FAULT:
		fault();
		break;
	case E_SUPER:
		supervise();
		break;
	case E_RESTART:
		if (!n->up)
			node_boot(n);
		break;
	case E_REQUEST:
		if (n->up && n->serving && !n->draining) {
			n->want[e->a].waiting = true;
			n->want[e->a].seq = e->b;
		} else {
			W.slot[e->a].to = !e->node;
		}
		break;
	case E_REPLY:
		replied(e);
		break;
	case E_DRAIN:
		if (n->draining) {
			n->drained = true;
			step(n, (struct ha_event){.type = HA_EV_DRAINED});
		}
		break;
	case E_CONNECT:
		connect_link();
		break;
	case E_HEAL:
		if (e->flag) {
			W.arb_down = false;
			break;
		}
		W.cut[0] = W.cut[1] = false;
		if (e->flag2)
			link_reset();
		connect_link();
		break;
	}
	if (e->node < 2)
		pump(n);
}

static void run_until(uint64_t us)
{
	struct ev e;

	while (W.heap_n && W.heap[0].at_us <= us) {
		pop(&e);
		W.now_us = e.at_us;
		happen(&e);
		jr_batch_unref(e.batch);
		free(e.p);
	}
	W.now_us = us;
}

/* An hour for a standby that was dropped three times; else seconds. */
static void settle(void)
{
	uint64_t began = W.now_us;

	while (!settled() && W.now_us < began + 4000000000ull)
		run_until(W.now_us + (W.now_us < began + 60000000 ? 100000 : 10000000));
	if (!settled())
		fail("liveness: the pair did not come back to SYNC (node 1: up %d, node 2: up %d; members %u active %u)",
		     W.node[0].up, W.node[1].up, W.arb.members, W.arb.active);
}

static void finish(void)
{
	uint64_t replies;

	W.faults = false;
	W.end_faults_us = W.now_us;
	W.cut[0] = W.cut[1] = W.arb_down = false;
	W.node[0].disk_slow = W.node[1].disk_slow = false;
	later(1, E_CONNECT, 0);
	for (unsigned i = 0; i < 2; i++)
		if (!W.node[i].up)
			later(1000 + upto(300000), E_RESTART, i);
	say("---- the faults stop ----");
	settle();
	/* What the faults left behind may break a session once more: then it must settle again. */
	for (unsigned i = 0; i < 5; i++) {
		replies = W.replies;
		run_until(W.now_us + 500000);
		if (settled() && W.replies >= replies + 10)
			break;
		if (i == 4)
			fail("liveness: %llu replies in half a second of calm",
			     (ull)(W.replies - replies));
		settle();
	}
	/* I14: stop the client, let the standby catch up. */
	for (unsigned s = 0; s < SLOTS; s++)
		W.slot[s].sent_us = UINT64_MAX - 1000000;
	for (unsigned i = 0; i < W.heap_n; i++)
		if (W.heap[i].kind == E_REQUEST || W.heap[i].kind == E_CLIENT)
			W.heap[i].kind = E_CONNECT;
	run_until(W.now_us + 500000);
	for (unsigned s = 0; s < SLOTS; s++)
		if (W.node[0].rows.seq[s] != W.node[1].rows.seq[s] ||
		    W.node[0].rows.at[s] != W.node[1].rows.at[s])
			fail("I14: slot %u differs: node 1 has %llu at LSN %llu, node 2 %llu at %llu",
			     s, (ull)W.node[0].rows.seq[s], (ull)W.node[0].rows.at[s],
			     (ull)W.node[1].rows.seq[s], (ull)W.node[1].rows.at[s]);
}

static void begin(uint64_t seed)
{
	memset(&W, 0, sizeof(W));
	W.seed = seed;
	W.rng = seed * 0x2545f4914f6cdd1d + 1;
	W.faults = true;
	W.now_us = 1000000;
	W.fault_mask = rnd() | rnd();
	W.calm_us = 10000 << upto(8);
	W.wrong = chance(250);
	W.restart_us = chance(500) ? 300000 : 2000000;
	for (unsigned i = 0; i < 2; i++) {
		W.node[i].id = (uint8_t)(i + 1);
		W.node[i].incarnation = upto(100);
		later(upto(20000), E_RESTART, i);
	}
	memcpy(W.arb.cluster, cluster_id, 16);
	W.arb.seq = 1;
	W.arb.members = 3;
	for (unsigned s = 0; s < SLOTS; s++)
		W.slot[s].seq = 1;
	later(1000, E_CLIENT, 0);
	later(1000, E_SUPER, 0);
	later(200000 + upto(300000), E_FAULT, 0);
}

static void end(void)
{
	struct ev e;

	while (pop(&e)) {
		jr_batch_unref(e.batch);
		free(e.p);
	}
	free(W.heap);
	for (unsigned i = 0; i < 2; i++) {
		struct node *n = &W.node[i];

		for (unsigned k = 0; k < n->appends; k++)
			jr_batch_unref(n->append[k]);
		for (unsigned k = 0; k < n->mines; k++)
			jr_batch_unref(n->mine[k]);
		log_clear(&n->log);
		ha_free(n->ha);
	}
}

static bool run_seed(uint64_t seed, uint64_t fault_ms)
{
	volatile bool good = false;

	begin(seed);
	if (!setjmp(failed)) {
		run_until(W.now_us + fault_ms * 1000);
		finish();
		good = true;
	}
	if (!good)
		printf("seed %llu at %.3f ms: %s\n", (ull)seed, (double)W.now_us / 1000, failure);
	return good;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"seeds", required_argument, NULL, 'n'}, {"seed", required_argument, NULL, 's'},
		{"trace", no_argument, NULL, 't'},	 {"ms", required_argument, NULL, 'm'},
		{"stop", no_argument, NULL, '1'},	 {0},
	};
	uint64_t seeds = 1, seed = 1, ms = 8000, bad = 0, enough = 10;
	uint64_t replies = 0, kills = 0, copies = 0, switches = 0, repairs = 0, unknowns = 0,
		 forks = 0, steps = 0;
	int c;

	while ((c = getopt_long(argc, argv, "n:s:tm:1", options, NULL)) != -1)
		switch (c) {
		case 'n':
			seeds = strtoull(optarg, NULL, 0);
			break;
		case 's':
			seed = strtoull(optarg, NULL, 0);
			break;
		case 't':
			trace = true;
			break;
		case 'm':
			ms = strtoull(optarg, NULL, 0);
			break;
		case '1':
			enough = 1;
			break;
		default:
			fprintf(stderr,
				"usage: ha_sim [--seeds N] [--seed S] [--trace] [--ms FAULT_MS] [--stop]\n");
			return 2;
		}
	setvbuf(stdout, NULL, _IOLBF, 0);
	pr_assert_handler = on_assert;
	for (uint64_t i = 0; i < seeds && bad < enough; i++) {
		bad += !run_seed(seed + i, ms);
		replies += W.replies;
		kills += W.kills;
		copies += W.copies;
		switches += W.switches;
		repairs += W.repairs;
		unknowns += W.unknowns;
		forks += W.forks;
		steps += W.steps;
		end();
	}
	printf("ha_sim: %llu seeds, %llu failed; %llu steps, %llu replies, %llu deaths, %llu handovers, %llu cuts, %llu full copies, "
	       "%llu repairs, %llu unknown arbiter writes\n",
	       (ull)seeds, (ull)bad, (ull)steps, (ull)replies, (ull)kills, (ull)switches,
	       (ull)forks, (ull)copies, (ull)repairs, (ull)unknowns);
	return bad ? 1 : 0;
}
