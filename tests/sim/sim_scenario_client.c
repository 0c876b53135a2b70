/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Named failures of clients and LUNs, and of who sends what nobody should. */
#include "tests/sim/sim_script.h"

#include <errno.h>
#include <string.h>

#include "proto/crc32c.h"

static bool holds_layouts(struct sim *s, int client)
{
	for (int w = 0; w < SIM_WORKERS; w++)
		if (s->client[client].worker[w].task.state == SIM_TASK_IO)
			return true;
	return false;
}

static bool first_writes(struct sim *s)
{
	return holds_layouts(s, 0);
}

static bool fenced_one(struct sim *s)
{
	return s->client_fences > s->mark;
}

/* Blocks of the LUN, and the file that had them. */
struct granted {
	unsigned count;
	uint64_t ino[256], lun_block[256];
};

static void granted_to(const struct sim_client *c, struct granted *ret)
{
	ret->count = 0;
	for (int w = 0; w < SIM_WORKERS; w++) {
		const struct sim_task *t = &c->worker[w].task;

		for (unsigned i = 0; t->state == SIM_TASK_IO && t->write && i < t->extent_count;
		     i++)
			for (uint64_t b = 0; b < t->extent[i].blocks && ret->count < 256; b++) {
				ret->ino[ret->count] = t->ino;
				ret->lun_block[ret->count++] = t->extent[i].lun_block + b;
			}
	}
}

/* One of them belongs to another file, and was written for it. */
static bool reused(const struct sim *s, const struct granted *g)
{
	for (unsigned i = 0; i < g->count; i++) {
		const struct sim_block *b = &s->lun[g->lun_block[i]];

		if (b->owner == SIM_OWNER_FILE && b->owner_ino != g->ino[i] &&
		    b->now.ino == b->owner_ino)
			return true;
	}
	return false;
}

static bool has_room(const struct sim_client *c, int worker)
{
	return !c->worker[worker].op && c->worker[worker].task.state == SIM_TASK_NONE;
}

/* A client cuts the file to nothing: its blocks become free as soon as nobody may write them any more. */
static bool cut_file(struct sim *s, int client, uint64_t ino)
{
	struct sim_client *c = &s->client[client];
	int w = 0;
	struct sim_op *op;
	struct pr_buf *b;

	while (w < (int)s->swarm.workers && !has_room(c, w))
		w++;
	if (w == (int)s->swarm.workers || !c->session_stands || !sim_data_cut(s, client, ino))
		return false;
	op = sim_op_new(s, client, w);
	op->q = (struct model_op){.type = PR_T_SETATTR, .ino = ino, .flags = PR_SET_SIZE};
	b = cl_prepare(c->cl, 2048);
	expect(s, sim_work_encode(b, &op->q, s->op_count) == 0, "cannot encode");
	op->crc = pr_crc32c(b->p, b->len);
	op->bytes = (uint32_t)b->len;
	c->worker[w].op = op;
	c->unsent[c->unsent_count++] = op;
	cl_submit(c->cl, op->q.type, (uint64_t)w);
	sim_after(s, 1, c->end, sim_client_pump);
	return true;
}

/* Writes of the first client are on their way. */
static bool first_sends(struct sim *s)
{
	for (int w = 0; w < SIM_WORKERS; w++)
		if (s->client[0].worker[w].task.flying > 0)
			return true;
	return false;
}

/* Another client cuts files that have blocks, so that there is room. */
static void make_room(struct sim *s)
{
	uint64_t last = 0;

	for (uint32_t i = SIM_LUN_FIRST; i < s->swarm.lun_blocks; i++) {
		const struct sim_block *b = &s->lun[i];

		if (b->owner != SIM_OWNER_FILE || b->owner_ino == last)
			continue;
		last = b->owner_ino;
		for (int k = 0; k < 20 && !cut_file(s, 1, last); k++)
			pass(s, 10);
	}
}

/* It dies while it writes; another client cuts its files. */
static void dies_writing(struct sim *s)
{
	uint64_t session;
	struct granted g;

	make_room(s);
	s->mark = s->client_fences;
	s->swarm.lun_stuck = 1000; /* what it sends comes to the LUN late */
	expect(s, wait_until(s, first_sends, 60000), "it never writes");
	s->swarm.lun_stuck = 0;
	session = s->client[0].session;
	granted_to(&s->client[0], &g);
	sim_client_crash(s, 0);
	for (unsigned i = 0; i < g.count; i++)
		if (i == 0 || g.ino[i] != g.ino[i - 1])
			for (int k = 0; k < 100 && !cut_file(s, 1, g.ino[i]); k++)
				pass(s, 20);
	for (int i = 0; i < 6000 && !reused(s, &g) && !s->violation; i++)
		pass(s, 20);
	expect(s, reused(s, &g), "its blocks are not used again");
	expect(s, fenced_one(s) && sim_lun_fenced(s, session), "used again before its fence");
	pass(s, 20000);
}

/* In every run a write that lands on what is another file's by then is a violation. */
static void s70(struct sim *s)
{
	uint64_t refused = s->lun_refused;

	s->swarm.fence_fails = 600;
	for (int i = 0; i < 5 && s->lun_refused == refused && !s->violation; i++)
		dies_writing(s);
	expect(s, s->lun_refused > refused, "nothing that it had sent came behind its fence");
	served_again(s);
}

/* Writes of the first client are on their way, or it is about to send some. */
static bool about_to_write(struct sim *s)
{
	for (int w = 0; w < SIM_WORKERS; w++) {
		const struct sim_task *t = &s->client[0].worker[w].task;

		if (t->state == SIM_TASK_IO && t->write && t->flying == 0)
			return true;
	}
	return false;
}

/* It stands still between its layout and its writes, until long after its fence. */
static void s71(struct sim *s)
{
	uint64_t lost = s->evictions;

	s->swarm.lun_stuck = 0;
	for (int i = 0; i < 10 && s->lun_refused == 0; i++) {
		expect(s, wait_until(s, about_to_write, 20000), "it never writes");
		s->client[0].disturbed_us = s->now_us + 8ull * s->swarm.lease_ms * MS;
		s->mark = s->client_fences;
		sim_pause(s, s->client[0].end, 8ull * s->swarm.lease_ms * MS);
		pass(s, 7ull * s->swarm.lease_ms);
		expect(s, fenced_one(s), "it is not fenced");
		pass(s, 3ull * s->swarm.lease_ms);
	}
	expect(s, s->evictions > lost, "it kept its session");
	expect(s, s->lun_refused > 0, "nothing that it wrote was refused");
	served_again(s);
}

static void s72(struct sim *s)
{
	s->mark = s->client_fences;
	s->swarm.fence_fails = 1000;
	expect(s, wait_until(s, first_writes, 10000), "it never writes");
	sim_client_crash(s, 0);
	pass(s, 4ull * s->swarm.lease_ms);
	kill_active(s);
	pass(s, 2000);
	expect(s, s->client_fences == s->mark, "it was fenced without the LUN");
	s->swarm.fence_fails = 0;
	expect(s, wait_until(s, fenced_one, 60000), "the new active does not complete the fence");
	served_again(s);
}

static void s74(struct sim *s)
{
	uint64_t evictions = s->evictions, fences = s->client_fences;

	s->client[0].disturbed_us = s->client[0].paused_until_us =
		s->now_us + 20ull * s->swarm.lease_ms * MS;
	kill_active(s);
	pass(s, 8ull * s->swarm.lease_ms);
	expect(s, s->client_fences == fences + 1 && sim_lun_fenced(s, s->client[0].session),
	       "who does not come back is not fenced, or not alone");
	expect(s, s->evictions == evictions, "others lost their sessions");
	served_again(s);
}

static bool rebinding(struct sim *s)
{
	return bound(s) > 0 && bound(s) < s->swarm.clients;
}

static void s75(struct sim *s)
{
	kill_active(s);
	expect(s, wait_until(s, rebinding, 10000), "no client is bound before the others");
	kill_active(s);
	served_again(s);
}

/* What the first client is about to write and the second has no work on, which has a free worker. */
static uint64_t wanted_by_both(const struct sim *s)
{
	const struct sim_worker *free = &s->client[1].worker[0];

	if (free->op || free->task.state != SIM_TASK_NONE || !s->client[1].session_stands)
		return 0;
	for (int w = 0; w < SIM_WORKERS; w++) {
		const struct sim_task *t = &s->client[0].worker[w].task;
		bool both = false;

		if (t->state != SIM_TASK_IO || !t->write || t->flying > 0)
			continue;
		for (int i = 0; i < SIM_WORKERS; i++)
			both |= s->client[1].worker[i].task.ino == t->ino;
		if (!both)
			return t->ino;
	}
	return 0;
}

static bool may_collide(struct sim *s)
{
	return wanted_by_both(s) != 0;
}

/* The second client asks for the first one's blocks, which is away while the roles change. */
static void s76(struct sim *s)
{
	struct sim_worker *w = &s->client[1].worker[0];
	bool served = false;
	uint64_t ino, back_us;

	expect(s, wait_until(s, may_collide, 60000), "no two want one file");
	ino = wanted_by_both(s);
	sim_pause(s, s->client[0].end, 2500 * MS);
	back_us = s->client[0].disturbed_us = s->client[0].paused_until_us;
	kill_active(s);
	expect(s, sim_data_begin(s, 1, 0, ino), "it has that file already");
	w->task.write = true;
	w->next_us = s->now_us;
	sim_after(s, 1, s->client[1].end, sim_client_pump);
	while (s->now_us < back_us && !s->violation) {
		pass(s, 5);
		served |= has_active(s) && s->client[1].served && w->op;
		expect(s,
		       s->now_us >= back_us ||
			       (w->task.ino == ino && w->task.state == SIM_TASK_GET),
		       "granted, and the first has not come back");
	}
	expect(s, served, "the new active was not asked meanwhile");
	for (int i = 0; i < 4000 && w->task.state == SIM_TASK_GET && !s->violation; i++)
		pass(s, 5);
	expect(s, w->task.state != SIM_TASK_GET, "not granted when the first has come back");
	served_again(s);
}

static bool executed_unanswered(struct sim *s)
{
	for (size_t i = 0; i < s->op_count; i++)
		if (s->ops[i]->lsn && !s->ops[i]->answered)
			return true;
	return false;
}

/* What was executed and not answered is asked anew of the next active: once, and with the reply that was stored. */
static void s68(struct sim *s)
{
	enum { MAX = 64 };
	uint64_t resends = s->resends, lsn[MAX] = {0};
	struct sim_op *op[MAX] = {0};
	int a = active(s), n = 0;

	expect(s, wait_until(s, noop_is_under_way, 10000), "nobody asks for a change");
	for (uint32_t i = 0; i < s->swarm.clients; i++) {
		s->client[i].disturbed_us = s->now_us + 60000ull * MS;
		sim_cut(s, a, SIM_CLIENT_END + (int)i, true);
	}
	wait_until(s, executed_unanswered, 1000);
	pass(s, 50);
	for (size_t i = 0; i < s->op_count && n < MAX; i++)
		if (s->ops[i]->lsn && !s->ops[i]->answered) {
			lsn[n] = s->ops[i]->lsn;
			op[n++] = s->ops[i];
		}
	expect(s, n > 0, "nothing was executed without an answer");
	sim_node_crash(s, a, "killed before the replies left");
	active(s); /* until then the cut holds what was under way */
	cut_clients(s, a, false);
	served_again(s);
	expect(s, s->resends >= resends + (uint64_t)n, "nothing was asked anew");
	for (int i = 0; i < n; i++)
		expect(s,
		       op[i]->answered && !op[i]->unknown && op[i]->error == 0 &&
			       op[i]->lsn == lsn[i],
		       "what was executed is not answered as it was");
}

static void send_frame(struct sim *s, int client, const struct pr_frame *f, const void *payload)
{
	uint8_t head[PR_FRAME_BYTES];

	pr_frame_encode(head, f, payload);
	sim_send(s, s->client[client].end, sim_access_of(s, client, active(s)), head, sizeof(head),
		 payload, f->length);
}

/* A request of the first client that left a record, as one of the same slot has since. */
static const struct sim_op *overtaken(const struct sim *s)
{
	const struct sim_op *last[SIM_SLOTS] = {NULL};

	for (size_t k = s->op_count; k > 0; k--) {
		const struct sim_op *op = s->ops[k - 1];

		if (op->client != 0 || !op->lsn || op->session != s->client[0].session)
			continue;
		if (last[op->slot])
			return op;
		last[op->slot] = op;
	}
	return NULL;
}

/* A request of a slot that has gone on since: its reply is no more. */
static void s69(struct sim *s)
{
	uint8_t payload[4096];
	uint64_t told = 0;

	for (int i = 0; i < 10; i++) {
		struct pr_buf b = pr_buf_on(payload, sizeof(payload));
		const struct sim_op *op;

		pass(s, 500);
		op = overtaken(s);
		expect(s, op && sim_work_encode(&b, &op->q, 1) == 0, "there is no old request");
		if (s->violation)
			return;
		s->tap = (struct sim_asked){.session = op->session,
					    .slot = op->slot,
					    .sequence = op->sequence,
					    .type = op->q.type};
		send_frame(s, 0,
			   &(struct pr_frame){.type = op->q.type,
					      .epoch = s->arbiter.epoch,
					      .session = op->session,
					      .slot = op->slot,
					      .sequence = op->sequence,
					      .length = (uint32_t)b.len},
			   payload);
		pass(s, 500);
		expect(s,
		       s->tap.answers == 0 || s->tap.status == PR_E_STALE_SEQUENCE ||
			       s->tap.status == PR_E_BUSY,
		       "it was answered as if it were new");
		told += s->tap.answers > 0 && s->tap.status == PR_E_STALE_SEQUENCE;
		if (i == 4)
			kill_active(s);
		if (i == 4)
			served_again(s);
	}
	expect(s, told >= 3, "who asked was not told");
}

/* What only a controller may say, by a client's connection, and what does not decode. */
static void s78(struct sim *s)
{
	static const uint16_t types[] = {PR_T_LINK_OUTDATE, PR_T_LINK_PROMISE_ASK,
					 PR_T_LINK_PROMISE, PR_T_LINK_HANDOVER,
					 PR_T_LINK_HELLO,   PR_T_CREATE};
	uint64_t epoch = s->arbiter.epoch, crashes = s->crashes, promotions = s->promotions;
	uint8_t payload[200];
	int a = active(s);

	for (size_t i = 0; i < sizeof(payload); i++)
		payload[i] = (uint8_t)sim_random(s);
	for (size_t i = 0; i < 4 * sizeof(types) / sizeof(types[0]); i++) {
		uint16_t type = types[i % 6];

		pass(s, 300);
		pr_store64(payload, epoch + i % 3); /* an epoch that makes sense, or is to come */
		s->tap = (struct sim_asked){.session = s->client[0].session, .type = type};
		send_frame(s, 0,
			   &(struct pr_frame){.type = type,
					      .epoch = epoch,
					      .session = s->client[0].session,
					      .length = type == PR_T_LINK_OUTDATE ? 8 : 200},
			   payload);
		pass(s, 300);
		expect(s, s->tap.answers == 1 && s->tap.status != 0,
		       "who forges is not told that it is refused");
	}
	expect(s,
	       s->arbiter.epoch == epoch && s->crashes == crashes && s->promotions == promotions &&
		       sim_active(s) == a && in_sync(s),
	       "a forged message changed something");
	served_again(s);
}

const struct sim_scenario sim_client_scenarios[] = {
	SCENARIO(68, "executed, not answered: asked anew of the next active"),
	SCENARIO(69, "asked anew when its reply is no more: an error, not a run"),
	SCENARIO(70, "client dies with a layout: fenced, then reuse"),
	SCENARIO(71, "a paused client writes after its eviction: refused"),
	SCENARIO(72, "failover during a client's fence: completed first"),
	SCENARIO(74, "a client does not come back: fenced alone"),
	SCENARIO(75, "a second failover while clients rebind"),
	SCENARIO(76, "a conflicting layout meanwhile is delayed"),
	SCENARIO(78, "forged and malformed messages"),
	{0},
};
