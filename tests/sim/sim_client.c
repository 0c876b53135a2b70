/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A client's machine: the client core, its connections and its workers. What the workers do is sim_work.c's. */
#include "tests/sim/sim.h"
#include "tests/sim/simstore.h"

#include <stdlib.h>
#include <string.h>

#include "proto/crc32c.h"

static void restart(struct sim *s, struct sim_event *e);

static void ask(struct sim *s, int client, int worker)
{
	struct sim_client *c = &s->client[client];
	struct sim_op *op = sim_work_pick(s, client, worker);
	struct pr_buf *b;
	int r;

	if (!op)
		return;
	b = cl_prepare(c->cl, 2048);
	r = sim_work_encode(b, &op->q, s->op_count);
	if (r < 0) {
		sim_fail(s, "client", "cannot encode %s: %d", pr_type_name(op->q.type), r);
		cl_abandon(c->cl);
		return;
	}
	op->crc = pr_crc32c(b->p, b->len);
	op->bytes = (uint32_t)b->len;
	c->worker[worker].op = op;
	c->unsent[c->unsent_count++] = op;
	cl_submit(c->cl, op->q.type, (uint64_t)worker);
}

static void work(struct sim *s, int client)
{
	struct sim_client *c = &s->client[client];

	if (s->quiet_until_us > s->now_us)
		return;
	for (int w = 0; w < (int)s->swarm.workers && c->session_stands && !s->violation; w++)
		if (!c->worker[w].op && c->worker[w].next_us <= s->now_us)
			ask(s, client, w);
}

static void done(struct sim *s, int client, const struct cl_effect *fx)
{
	struct sim_client *c = &s->client[client];
	struct sim_worker *w = &c->worker[fx->tag];
	struct sim_op *op = w->op;
	uint64_t us = sim_below(s, 2ull * s->swarm.think_us + 1);

	/* All is done and only failovers are waited for: no more than keeps them busy. */
	if (s->done_ops >= s->swarm.ops)
		us = 20 * us + 100 * SIM_US_MS;
	w->op = NULL;
	w->next_us = s->now_us + us;
	sim_after(s, us, c->end, sim_client_pump);
	sim_op_answered(s, op, fx->error, fx->p, fx->len);
	s->done_ops++;
}

bool sim_client_idle(const struct sim *s)
{
	for (uint32_t i = 0; i < s->swarm.clients; i++)
		if (!s->client[i].session_stands)
			return false;
	for (uint32_t i = 0; i < s->swarm.clients; i++)
		for (int w = 0; w < SIM_WORKERS; w++)
			if (s->client[i].worker[w].op ||
			    s->client[i].worker[w].task.state != SIM_TASK_NONE)
				return false;
	return s->healing;
}

static void wake(struct sim *s, struct sim_event *e)
{
	int client = e->node - SIM_CLIENT_END;

	if (s->client[client].wake_us <= s->now_us) {
		s->client[client].wake_us = UINT64_MAX;
		sim_client_step(s, client, &(struct cl_event){.type = CL_EV_TIMER});
	}
}

void sim_client_pump(struct sim *s, struct sim_event *e)
{
	int client = e->node - SIM_CLIENT_END;

	work(s, client);
	sim_client_step(s, client, &(struct cl_event){.type = CL_EV_PUMP});
}

static void note_sent(struct sim *s, struct sim_client *c, const uint8_t *p, uint32_t left)
{
	struct pr_frame f;

	for (; left > 0; p += PR_FRAME_BYTES + f.length, left -= PR_FRAME_BYTES + f.length) {
		if (pr_frame_decode(&f, p, PR_PAYLOAD_MAX) < 0) {
			sim_fail(s, "wire", "client %d sends what is no frame", c->end);
			return;
		}
		sim_op_sent(s, c, &f, p + PR_FRAME_BYTES);
	}
}

/* When the root was made, by its row. */
static int64_t root_made_ns(const struct sim *s)
{
	struct pr_row_inode inode;
	const struct ctl_row *row;
	struct pr_key key;

	pr_key_inode(&key, 1, s->root); /* the only volume */
	row = simstore_find(s->rows, &key);
	return row && pr_row_inode_decode(&inode, row->value, row->bytes) == 0 ? inode.btime_ns : 0;
}

static void ready(struct sim *s, int client, const struct pr_session_open_r *open)
{
	struct sim_client *c = &s->client[client];

	c->session = open->session;
	c->session_stands = true;
	sim_note(s, "client %d: session %llu stands", client, (unsigned long long)open->session);
	if (!s->model) {
		s->root = open->root;
		s->model = model_new(open->root, root_made_ns(s));
	}
}

/* Only who could not be heard for long may lose its session, and hears of it before it is served again. */
static void lost(struct sim *s, int client, const char *text)
{
	struct sim_client *c = &s->client[client];
	uint64_t served_us = c->served ? s->now_us : c->unserved_us;

	sim_note(s, "client %d: session %llu is lost: %s", client, (unsigned long long)c->session,
		 text ? text : "");
	s->evictions++;
	if (c->session_stands && served_us > c->disturbed_us + s->swarm.lease_ms * SIM_US_MS &&
	    s->now_us > c->disturbed_us + 4ull * s->swarm.lease_ms * SIM_US_MS)
		sim_fail(s, "eviction", "client %d lost its session, and was always there: %s",
			 client, text ? text : "");
	c->session_stands = false;
	sim_after(s, sim_between(s, 10, 500) * SIM_US_MS, c->end, restart);
}

static void effects(struct sim *s, int client)
{
	struct sim_client *c = &s->client[client];
	struct cl_effect fx;

	while (cl_next(c->cl, &fx)) {
		switch (fx.type) {
		case CL_FX_CONNECT:
			sim_connect(s, c->end, fx.peer + 1, fx.port, fx.conn);
			break;
		case CL_FX_DROP:
			sim_hang_up(s, c->end, fx.conn);
			break;
		case CL_FX_SEND:
			note_sent(s, c, fx.p, fx.len);
			sim_send(s, c->end, fx.conn, fx.p, fx.len, NULL, 0);
			break;
		case CL_FX_DONE:
			done(s, client, &fx);
			break;
		case CL_FX_READY:
			ready(s, client, fx.open);
			break;
		case CL_FX_FAILED:
		case CL_FX_EVICTED:
			lost(s, client, fx.text);
			break;
		case CL_FX_RECALL:
			sim_data_recalled(s, client, fx.ino);
			break;
		case CL_FX_SERVING:
			sim_note(s, "client %d: %s (gap %u ms)", client,
				 fx.on ? "served" : "not served", fx.gap_ms);
			c->served = fx.on;
			c->unserved_us = s->now_us;
			if (fx.on && fx.lost)
				sim_fail(s, "layout", "client %d lost %u of what it held", client,
					 fx.lost);
			break;
		case CL_FX_WARNING:
			sim_note(s, "client %d: %s", client, fx.text);
			break;
		default:
			break;
		}
	}
}

void sim_client_step(struct sim *s, int client, struct cl_event *ev)
{
	struct sim_client *c = &s->client[client];
	uint64_t at;

	if (s->violation)
		return;
	ev->now_ms = s->now_us / SIM_US_MS + 1000;
	cl_step(c->cl, ev);
	effects(s, client);
	if (ev->type != CL_EV_PUMP)
		sim_after(s, 50, c->end, sim_client_pump);
	at = cl_wake_ms(c->cl);
	if (at != UINT64_MAX) {
		uint64_t us = at <= ev->now_ms ? s->now_us + 200 : (at - 1000) * SIM_US_MS;

		if (us < c->wake_us) {
			c->wake_us = us;
			sim_after(s, us > s->now_us ? us - s->now_us : 0, c->end, wake);
		}
	}
}

void sim_client_start(struct sim *s, int client)
{
	struct sim_client *c = &s->client[client];
	struct cl_config config = {
		.slots = s->swarm.workers, .retry_min_ms = 5, .retry_max_ms = 200};

	for (unsigned i = 0; i < sizeof(config.client); i++)
		((uint8_t *)&config.client)[i] = (uint8_t)sim_random(s);
	snprintf(config.volume, sizeof(config.volume), "vol1");
	snprintf(config.host, sizeof(config.host), "client%d", client);
	if (c->cl)
		cl_free(c->cl);
	*c = (struct sim_client){.end = SIM_CLIENT_END + client,
				 .gen = c->gen + 1,
				 .up = true,
				 .disturbed_us = c->disturbed_us,
				 .wake_us = UINT64_MAX,
				 .cl = cl_new(&config)};
	sim_client_step(s, client, &(struct cl_event){.type = CL_EV_START});
}

static void restart(struct sim *s, struct sim_event *e)
{
	sim_drop_all(s, e->node);
	sim_client_start(s, e->node - SIM_CLIENT_END);
}

static void reborn(struct sim *s, struct sim_event *e)
{
	if (!s->client[e->a].up)
		sim_client_start(s, (int)e->a);
}

bool sim_client_crash(struct sim *s, int client)
{
	struct sim_client *c = &s->client[client];

	if (!c->up)
		return false;
	c->up = c->session_stands = false;
	c->gen++;
	for (int w = 0; w < SIM_WORKERS; w++) {
		if (c->worker[w].op)
			c->worker[w].op->answered = c->worker[w].op->unknown = true;
		c->worker[w] = (struct sim_worker){0};
	}
	sim_drop_all(s, c->end);
	sim_after(s, sim_between(s, 1, 3000) * SIM_US_MS, 0, reborn)->a = (uint64_t)client;
	return true;
}

void sim_client_free(struct sim *s)
{
	for (int i = 0; i < SIM_CLIENTS; i++)
		if (s->client[i].cl)
			cl_free(s->client[i].cl);
}
