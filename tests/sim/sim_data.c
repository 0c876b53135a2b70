/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a worker does with a file's data, as the library does it: a layout, writes, a flush, a commit, the return; or a layout, reads,
 * the return. One task of a client on a file at a time, but the next may begin while the return of the last is under way, and the
 * file may be cut while writes are: what was written then is not committed.
 */
#include "tests/sim/sim.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { IO_BLOCKS_MAX = 6 };

static bool truncates(const struct sim_op *op, uint64_t ino)
{
	return op && sim_op_cuts(&op->q) && op->q.ino == ino;
}

static bool returning(const struct sim_worker *k)
{
	return k->task.state == SIM_TASK_RETURN && k->op;
}

static bool busy(const struct sim *s, int client, uint64_t ino)
{
	for (int w = 0; w < SIM_WORKERS; w++) {
		const struct sim_worker *k = &s->client[client].worker[w];

		if (k->task.state != SIM_TASK_NONE && k->task.ino == ino && !returning(k))
			return true;
		if (truncates(k->op, ino))
			return true;
	}
	return false;
}

uint64_t sim_data_returning(const struct sim *s, int client)
{
	for (int w = 0; w < SIM_WORKERS; w++)
		if (returning(&s->client[client].worker[w]))
			return s->client[client].worker[w].task.ino;
	return 0;
}

bool sim_data_cut(struct sim *s, int client, uint64_t ino)
{
	struct sim_client *c = &s->client[client];

	for (int w = 0; w < SIM_WORKERS; w++) {
		const struct sim_worker *k = &c->worker[w];
		bool writes = k->task.state == SIM_TASK_IO && k->task.write && k->task.flying > 0;

		if ((k->task.state != SIM_TASK_NONE && k->task.ino == ino && !writes) ||
		    truncates(k->op, ino))
			return false;
	}
	for (int w = 0; w < SIM_WORKERS; w++)
		if (c->worker[w].task.state != SIM_TASK_NONE && c->worker[w].task.ino == ino)
			c->worker[w].task.cut = true;
	return true;
}

bool sim_data_begin(struct sim *s, int client, int worker, uint64_t ino)
{
	struct sim_task *t = &s->client[client].worker[worker].task;

	if (busy(s, client, ino))
		return false;
	*t = (struct sim_task){.state = SIM_TASK_GET,
			       .ino = ino,
			       .write = sim_chance(s, 600),
			       .at = sim_below(s, SIM_FILE_BLOCKS - IO_BLOCKS_MAX),
			       .blocks = sim_between(s, 1, IO_BLOCKS_MAX)};
	if (!t->write) {
		t->at = 0;
		t->blocks = SIM_FILE_BLOCKS;
	}
	return true;
}

/* ---- on the LUN ---- */

static const struct pr_extent *extent_at(const struct sim_task *t, uint64_t block)
{
	for (unsigned i = 0; i < t->extent_count; i++)
		if (block >= t->extent[i].file_block &&
		    block - t->extent[i].file_block < t->extent[i].blocks)
			return &t->extent[i];
	return NULL;
}

static void pump_later(struct sim *s, int client, uint64_t us)
{
	sim_after(s, us, s->client[client].end, sim_client_pump);
}

/* The write has reached the LUN, which takes it or not, whether its sender lives or not. */
static void land(struct sim *s, struct sim_event *e)
{
	int r = sim_lun_write(s, e->a >> 32, e->b, e->c, e->a & 0xffffffff,
			      (uint64_t)(uintptr_t)e->ptr);
	struct sim_client *c = &s->client[e->len & 0xff];
	struct sim_task *t = &c->worker[e->len >> 8].task;

	if (c->session != e->a >> 32 || !c->up || t->state != SIM_TASK_IO)
		return;
	t->failed |= r < 0;
	if (--t->flying > 0)
		return;
	if (t->failed)
		t->state = SIM_TASK_NONE; /* fenced: it will hear of it */
	else
		t->state = t->cut ? SIM_TASK_RETURN : SIM_TASK_FLUSH;
	pump_later(s, (int)(e->len & 0xff), sim_between(s, 50, 500));
}

static uint64_t lun_us(struct sim *s, const struct sim_task *t)
{
	uint64_t us = sim_between(s, 100, 3000);

	/*
	 * Now and then one is stuck on its way for long; not when all is written again: twice as long is longer than a controller waits
	 * for a layout.
	 */
	return s->healing || t->again || !sim_chance(s, s->swarm.lun_stuck)
		       ? us
		       : us + sim_between(s, 1, 20000) * SIM_US_MS;
}

static void write_block(struct sim *s, int client, int worker, uint64_t block)
{
	struct sim_client *c = &s->client[client];
	struct sim_task *t = &c->worker[worker].task;
	const struct pr_extent *x = extent_at(t, block);
	struct sim_event *e;

	if (!x || x->state == PR_EXTENT_HOLE) {
		sim_fail(s, "layout",
			 "block %llu of inode %llu was granted for writing and is not there",
			 (unsigned long long)block, (unsigned long long)t->ino);
		return;
	}
	e = sim_after(s, lun_us(s, t), 0, land);
	e->a = c->session << 32 | block;
	e->b = x->lun_block + (block - x->file_block);
	e->c = t->ino;
	e->ptr = (void *)(uintptr_t)t->stamp;
	e->len = (uint32_t)(worker << 8 | client);
	t->flying++;
}

static void read_blocks(struct sim *s, struct sim_task *t)
{
	uint64_t end = (t->size + 4095) / 4096;

	for (uint64_t b = t->at; b < t->at + t->blocks && b < end; b++) {
		const struct pr_extent *x = extent_at(t, b);

		if (!x)
			return; /* the layout covers less than was asked for */
		sim_file_read(s, t->ino, b,
			      x->state == PR_EXTENT_WRITTEN ? x->lun_block + (b - x->file_block)
							    : 0);
	}
}

/* ---- step by step ---- */

static bool start_io(struct sim *s, int client, int worker)
{
	struct sim_task *t = &s->client[client].worker[worker].task;

	if (!t->write) {
		/* A fenced one reads nothing; it stood still, and will hear of it. */
		if (!sim_lun_fenced(s, s->client[client].session))
			read_blocks(s, t);
		t->state = SIM_TASK_RETURN;
		return false;
	}
	t->stamp = ++s->stamp;
	t->power = s->lun_power;
	for (uint64_t b = t->at; b < t->at + t->blocks && extent_at(t, b); b++)
		write_block(s, client, worker, b);
	return true;
}

static uint64_t covered(const struct sim_task *t)
{
	uint64_t n = 0;

	while (n < t->blocks && extent_at(t, t->at + n))
		n++;
	return n;
}

bool sim_data_next(struct sim *s, int client, int worker, struct model_op *ret)
{
	struct sim_task *t = &s->client[client].worker[worker].task;

	*ret = (struct model_op){
		.ino = t->ino, .block = t->at, .blocks = t->blocks, .value = t->generation};
	switch (t->state) {
	case SIM_TASK_GET:
		ret->type = PR_T_LAYOUT_GET;
		ret->flags = t->write ? PR_LAYOUT_WRITE : PR_LAYOUT_READ;
		return true;
	case SIM_TASK_IO:
		if (t->flying > 0 || start_io(s, client, worker))
			return false;
		return sim_data_next(s, client, worker, ret);
	case SIM_TASK_FLUSH:
		/* A LUN that lost its cache says so to the next command: all is written again. */
		t->state = t->power == s->lun_power ? SIM_TASK_COMMIT : SIM_TASK_IO;
		t->again = t->state == SIM_TASK_IO;
		if (t->state == SIM_TASK_COMMIT)
			sim_lun_flush(s);
		return sim_data_next(s, client, worker, ret);
	case SIM_TASK_COMMIT:
		ret->type = PR_T_LAYOUT_COMMIT;
		ret->blocks = covered(t);
		ret->size = (t->at + ret->blocks) * 4096 - sim_below(s, 4096);
		ret->stamp = t->stamp;
		ret->time_ns = sim_chance(s, 500) ? SIM_EPOCH_NS + (int64_t)s->now_us * 1000 : 0;
		return true;
	default:
		ret->type = PR_T_LAYOUT_RETURN;
		return true;
	}
}

/* Who works under a layout and has not asked to return it works alone, unless all only read. Whose session is fenced has none. */
static void exclusive_check(struct sim *s, int client, const struct sim_task *t)
{
	/* It stood still: what it hears now was said to it before it was fenced, and no block of it is written or read. */
	if (sim_lun_fenced(s, s->client[client].session))
		return;
	for (int i = 0; i < (int)s->swarm.clients; i++) {
		const struct sim_client *c = &s->client[i];

		if (i == client || !c->up || !c->session_stands || sim_lun_fenced(s, c->session))
			continue;
		for (int w = 0; w < SIM_WORKERS; w++) {
			const struct sim_task *o = &c->worker[w].task;

			if (o->ino == t->ino && (o->write || t->write) && o->state >= SIM_TASK_IO &&
			    o->state <= SIM_TASK_COMMIT)
				sim_fail(
					s, "I10",
					"inode %llu: a layout for client %d, client %d has one to %s",
					(unsigned long long)t->ino, client, i,
					o->write ? "write" : "read");
		}
	}
}

static void granted(struct sim *s, int client, struct sim_task *t, const uint8_t *p, uint32_t len)
{
	struct pr_layout_get_r r;
	struct pr_extent x;

	if (pr_layout_get_r_decode(&r, p, len) < 0) {
		sim_fail(s, "wire", "a layout that does not decode");
		return;
	}
	t->generation = r.generation;
	t->size = r.size;
	t->extent_count = 0;
	while (pr_extent_next(&r.extents, &x) && t->extent_count < SIM_EXTENTS_MAX)
		t->extent[t->extent_count++] = x;
	if (covered(t) == 0)
		sim_fail(s, "layout", "inode %llu: a layout that covers nothing",
			 (unsigned long long)t->ino);
	t->state = SIM_TASK_IO;
	exclusive_check(s, client, t);
}

void sim_data_answered(struct sim *s, struct sim_op *op, int error, const uint8_t *p, uint32_t len)
{
	struct sim_worker *w = &s->client[op->client].worker[op->worker];
	struct sim_task *t = &w->task;

	switch (op->q.type) {
	case PR_T_LAYOUT_GET:
		if (error)
			t->state = SIM_TASK_NONE;
		else
			granted(s, op->client, t, p, len);
		break;
	case PR_T_LAYOUT_COMMIT:
		if (error)
			sim_fail(s, "layout", "a commit of inode %llu under its layout: %d",
				 (unsigned long long)t->ino, error);
		t->state = SIM_TASK_RETURN;
		if (!t->recalled && sim_chance(s, 300)) /* it keeps it for a while */
			w->next_us = s->now_us + sim_between(s, 1, 3000) * SIM_US_MS;
		break;
	default:
		t->state = SIM_TASK_NONE;
	}
}

void sim_data_recalled(struct sim *s, int client, uint64_t ino)
{
	for (int i = 0; i < SIM_WORKERS; i++) {
		struct sim_worker *w = &s->client[client].worker[i];

		if (w->task.state == SIM_TASK_NONE || w->task.ino != ino)
			continue;
		w->task.recalled = true;
		s->recalls++;
		if (w->task.state == SIM_TASK_RETURN && !w->op) {
			w->next_us = s->now_us;
			pump_later(s, client, 50);
		}
	}
}
