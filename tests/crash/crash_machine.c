/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Journal, store, state and arbiter of a controller: the daemon's executors, one thing at a time. */
#include "tests/crash/crash_machine.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "controller/io/lun_tool.h"
#include "controller/io/store.h"
#include "controller/io/store_rows.h"
#include "ha/io/arbiter.h"
#include "journal/io/jx.h"
#include "lun/lun.h"
#include "tests/sim/simstore.h"

enum { WAIT_MS = 60000, LOCK_TRIES_MS = 3000, NEVER_US = 1000000000 };

static struct machine machines[SIM_NODES + 1];
static uint8_t cluster[16];
static char lun_file[256];
static bool flushes_held;

static uint64_t disk_us(struct sim *s)
{
	return sim_between(s, s->swarm.disk_min_us, s->swarm.disk_max_us);
}

static void wait_for(int fd, const char *what)
{
	if (!heap_wait(fd, WAIT_MS)) {
		fprintf(stderr, "crash: %s does not end\n", what);
		abort();
	}
}

/* ---- journal ---- */

static void journal_unqueue(struct machine *m, uint64_t tag)
{
	unsigned i = 0;

	while (m->queue[i].tag != tag)
		i++;
	memmove(m->queue + i, m->queue + i + 1, (--m->queued - i) * sizeof(m->queue[0]));
}

static void journal_perform(struct machine *m, const struct jr_io *io, struct ctl_event *ev)
{
	if (heap_dies(disk_whose()))
		return;
	jx_submit(m->jx, io);
	jx_kick(m->jx);
	while (!jx_next(m->jx, &ev->tag, &ev->error))
		if (!jx_wait(m->jx, WAIT_MS))
			wait_for(jx_fd(m->jx), "journal I/O");
	heap_leave();
}

static void journal_do(struct sim *s, struct sim_event *e)
{
	struct machine *m = &machines[e->node];
	struct ctl_event ev = {.type = CTL_EV_JOURNAL_IO};
	struct jr_io *io = e->ptr, now = *io;

	free(io);
	journal_unqueue(m, now.tag);
	s->node[e->node].tag_count--;
	disk_node(e->node);
	journal_perform(m, &now, &ev);
	if (machine_power_lost(s, e->node))
		return;
	m->journal_failed |= now.write && ev.error;
	sim_node_step(s, e->node, &ev);
}

static void free_ptr(struct sim *s, struct sim_event *e)
{
	free(e->ptr);
}

static void journal_io(struct sim *s, int node, const struct jr_io *io)
{
	struct machine *m = &machines[node];
	struct sim_event *e;

	sim_mix(s, io->offset << 20 ^ io->file ^ (io->write ? pr_load32(io->buffer) : 0));
	sim_witness_write(s, node, io);
	if (io->write && m->journal_failed)
		sim_fail(s, "fsync", "node %d writes its journal after a write had failed", node);
	s->node[node].tag_count++;
	m->queue[m->queued++] = *io;
	e = sim_after(s, disk_us(s), node, journal_do);
	e->ptr = malloc(sizeof(*io));
	memcpy(e->ptr, io, sizeof(*io));
	e->drop = free_ptr;
}

/* What was queued at the death reaches the disk or not, whole or in part. */
static void journal_lands(struct machine *m, const struct jr_io *io, uint64_t mask)
{
	struct ctl_event ev;
	struct jr_io part = *io;

	if (mask == UINT64_MAX) {
		journal_perform(m, io, &ev);
		return;
	}
	/* Whole pages through the executor, sectors past it. */
	for (uint32_t at = 0; at < io->bytes; at += JR_SECTOR_BYTES) {
		char path[512], name[32];
		int fd;

		if (!(mask >> (at / JR_SECTOR_BYTES % 64) & 1) || io->file == SIM_ARCHIVE)
			continue;
		if (io->file == 0)
			snprintf(name, sizeof(name), "ring");
		else
			snprintf(name, sizeof(name), "segment-%03u", io->file);
		snprintf(path, sizeof(path), "%s/journal/%s", m->dir, name);
		fd = open(path, O_WRONLY | O_CLOEXEC);
		if (fd < 0 || pwrite(fd, part.buffer + at, JR_SECTOR_BYTES,
				     (off_t)(io->offset + at)) != JR_SECTOR_BYTES)
			abort();
		close(fd);
	}
}

void machine_journal_crash(int node)
{
	struct machine *m = &machines[node];
	uint64_t mask;

	disk_node(0);
	for (unsigned i = 0; i < m->queued; i++)
		if (m->queue[i].write && disk_queued_lands(m->queue[i].bytes, &mask))
			journal_lands(m, &m->queue[i], mask);
	m->queued = 0;
}

/* ---- store ---- */

static void store_wait(struct machine *m, struct store_done *d)
{
	store_kick(m->store);
	do {
		while (!store_next(m->store, d))
			wait_for(store_fd(m->store), "the store");
	} while (d->type == STORE_SPACE);
}

static void store_step(struct sim *s, int node, const struct store_done *d)
{
	static const enum ctl_event_type types[] = {
		[STORE_ROWS] = CTL_EV_ROWS,
		[STORE_FLUSHED] = CTL_EV_FLUSHED,
		[STORE_COPY_ROWS] = CTL_EV_COPY_ROWS,
		[STORE_COPY_APPLIED] = CTL_EV_COPY_APPLIED,
	};
	struct ctl_event ev = {.type = types[d->type],
			       .ticket = d->ticket,
			       .error = d->error,
			       .lsn = d->lsn,
			       .rows = d->rows,
			       .row_count = d->row_count,
			       .complete = d->complete,
			       .p = d->p,
			       .len = d->len,
			       .last = d->last,
			       .done_bytes = d->done_bytes,
			       .total_bytes = d->total_bytes};

	if (d->text)
		sim_note(s, "node %d: %s", node, d->text);
	sim_node_step(s, node, &ev);
}

/* One thing for the store, kept until its moment. */
struct store_job {
	struct ctl_effect fx;
	uint8_t *p;
};

static void store_drop(struct sim *s, struct sim_event *e)
{
	struct store_job *j = e->ptr;

	free(j->p);
	free(j);
}

static void store_perform(struct machine *m, const struct store_job *j, struct store_done *ret)
{
	if (heap_dies(disk_whose()))
		return;
	switch (j->fx.type) {
	case CTL_FX_FETCH:
		store_fetch(m->store, j->fx.ticket, &j->fx.fetch);
		break;
	case CTL_FX_FLUSH:
		store_flush(m->store, j->fx.flush, j->fx.lsn);
		break;
	case CTL_FX_COPY_READ:
		store_copy_read(m->store, j->fx.cookie);
		break;
	case CTL_FX_COPY_BEGIN:
		store_copy_begin(m->store);
		break;
	case CTL_FX_COPY_PUT:
		store_copy_put(m->store, j->p, j->fx.len);
		break;
	default:
		store_copy_end(m->store, j->fx.lsn);
		break;
	}
	store_wait(m, ret);
	heap_leave();
}

static void store_do(struct sim *s, struct sim_event *e)
{
	struct store_job *j = e->ptr;
	struct store_done d;

	s->full_copies += j->fx.type == CTL_FX_COPY_READ && j->fx.cookie == 0;
	disk_node(e->node);
	store_perform(&machines[e->node], j, &d);
	if (!machine_power_lost(s, e->node))
		store_step(s, e->node, &d);
	store_drop(s, e);
}

static void store_later(struct sim *s, int node, const struct ctl_effect *fx, uint64_t us)
{
	struct store_job *j = calloc(1, sizeof(*j));
	struct sim_event *e;

	j->fx = *fx;
	if (fx->type == CTL_FX_COPY_PUT) {
		j->p = malloc(fx->len);
		memcpy(j->p, fx->p, fx->len);
	}
	e = sim_after(s, us, node, store_do);
	e->ptr = j;
	e->drop = store_drop;
}

/* It has no answer: it is over when the old environment was to be removed, whether that went well or not. */
static void copy_keep(int node)
{
	struct machine *m = &machines[node];
	uint64_t before = disk_removals();

	disk_node(node);
	if (heap_dies(node))
		return;
	store_copy_keep(m->store);
	heap_leave();
	while (disk_removals() == before)
		sched_yield();
}

/* ---- state ---- */

static int state_perform(struct machine *m, const struct ha_state *state)
{
	volatile int error = 0;

	if (!heap_dies(disk_whose()))
		error = state_file_write(m->state, state);
	heap_leave();
	return error;
}

static void state_do(struct sim *s, struct sim_event *e)
{
	struct sim_node *n = &s->node[e->node];
	struct ha_state *state = e->ptr;
	struct ctl_event ev = {.type = CTL_EV_STATE_SAVED};

	if (state->epoch < n->persisted_epoch)
		sim_fail(s, "I4", "node %d: its persisted epoch went from %llu to %llu", e->node,
			 (unsigned long long)n->persisted_epoch, (unsigned long long)state->epoch);
	disk_node(e->node);
	ev.error = state_perform(&machines[e->node], state);
	if (machine_power_lost(s, e->node)) {
		free(state);
		return;
	}
	if (!ev.error)
		n->persisted_epoch = state->epoch;
	free(state);
	sim_node_step(s, e->node, &ev);
}

static void state_later(struct sim *s, int node, const struct ha_state *state)
{
	struct sim_event *e = sim_after(s, disk_us(s), node, state_do);

	e->ptr = malloc(sizeof(*state));
	memcpy(e->ptr, state, sizeof(*state));
	e->drop = free_ptr;
}

/* ---- arbiter ---- */

/* What stands on the LUN, for the invariants that speak of it. */
void machine_arbiter_look(struct sim *s)
{
	uint8_t copy[2][LUN_BLOCK_BYTES];
	const uint8_t *copies[2] = {copy[0], copy[1]};
	int fd = open(lun_file, O_RDONLY | O_CLOEXEC), rewrite;

	for (unsigned i = 0; i < 2; i++)
		if (pread(fd, copy[i], LUN_BLOCK_BYTES,
			  (off_t)(LUN_ARBITER_BLOCK + i) * LUN_BLOCK_BYTES) != LUN_BLOCK_BYTES)
			copies[i] = NULL;
	close(fd);
	s->arbiter_set = ha_arbiter_pick(&s->arbiter, copies, &rewrite) == 0;
	if (!s->arbiter_set)
		memcpy(s->arbiter.cluster, cluster, sizeof(cluster));
}

/* The other one still has the right to write: the executor would wait for it in its own thread, here the wait is virtual. */
static bool must_wait(struct sim *s, struct sim_event *e)
{
	struct sim_event *again;

	if (!machines[3 - e->node].may_write_arbiter || e->b >= LOCK_TRIES_MS)
		return false;
	again = sim_after(s, 5 * SIM_US_MS, e->node, e->fn);
	again->ptr = e->ptr;
	again->a = e->a;
	again->b = e->b + 5;
	again->drop = e->drop;
	return true;
}

static void arbiter_perform(struct machine *m, const struct ctl_effect *fx,
			    struct arbiter_done *ret)
{
	if (heap_dies(disk_whose()))
		return;
	switch (fx->type) {
	case CTL_FX_ARB_READ:
		arbiter_read(m->arbiter);
		break;
	case CTL_FX_ARB_CAS:
		arbiter_cas(m->arbiter, &fx->expect, &fx->next);
		break;
	case CTL_FX_ARB_FLOOR:
		arbiter_floor(m->arbiter, fx->epoch, fx->lsn);
		break;
	default:
		arbiter_preempt(m->arbiter);
		break;
	}
	while (!arbiter_next(m->arbiter, ret))
		wait_for(arbiter_fd(m->arbiter), "the arbiter");
	heap_leave();
}

static void arbiter_do(struct sim *s, struct sim_event *e)
{
	static const enum ctl_event_type types[] = {
		[ARBITER_READ] = CTL_EV_ARB_READ,
		[ARBITER_CAS] = CTL_EV_ARB_CAS,
		[ARBITER_FLOOR] = CTL_EV_ARB_FLOOR,
		[ARBITER_PREEMPTED] = CTL_EV_PREEMPTED,
	};
	struct machine *m = &machines[e->node];
	struct ctl_effect *fx = e->ptr;
	struct arbiter_done d;
	struct ctl_event ev;

	if (fx->type != CTL_FX_ARB_READ && must_wait(s, e))
		return;
	disk_node(e->node);
	arbiter_perform(m, fx, &d);
	if (heap_last_words())
		d = (struct arbiter_done){.error = -EBUSY};
	if (d.type != ARBITER_READ && d.error != -EBUSY)
		m->may_write_arbiter = true;
	ev = (struct ctl_event){.type = types[d.type],
				.error = d.error,
				.arbiter = &d.record,
				.floor_lsn = d.floor_lsn};
	free(fx);
	if (d.text[0])
		sim_note(s, "node %d: %s", e->node, d.text);
	if (machine_power_lost(s, e->node))
		return;
	disk_node(0);
	machine_arbiter_look(s);
	sim_note(s, "arbiter: by node %d: %d, epoch %llu members %u active %u", e->node, d.error,
		 (unsigned long long)s->arbiter.epoch, s->arbiter.members, s->arbiter.active);
	sim_node_step(s, e->node, &ev);
}

static void arbiter_later(struct sim *s, int node, const struct ctl_effect *fx)
{
	struct sim_event *e = sim_after(s, disk_us(s), node, arbiter_do);

	e->ptr = malloc(sizeof(*fx));
	memcpy(e->ptr, fx, sizeof(*fx));
	e->drop = free_ptr;
}

/* Not the writer any more: there is no answer, its next read comes behind it. */
void machine_arbiter_give_back(int node)
{
	struct machine *m = &machines[node];
	struct arbiter_done d;

	disk_node(node);
	if (heap_dies(node))
		return;
	arbiter_release(m->arbiter);
	arbiter_read(m->arbiter);
	while (!arbiter_next(m->arbiter, &d))
		wait_for(arbiter_fd(m->arbiter), "the arbiter");
	heap_leave();
	m->may_write_arbiter = false;
}

void machine_effect(struct sim *s, int node, struct ctl_effect *fx)
{
	switch (fx->type) {
	case CTL_FX_JOURNAL_IO:
		journal_io(s, node, &fx->io);
		break;
	case CTL_FX_FETCH:
		store_later(s, node, fx, sim_between(s, 20, 3000));
		break;
	case CTL_FX_FLUSH:
		if (fx->lsn > ha_commit_lsn(ctl_ha(s->node[node].ctl)))
			sim_fail(s, "I13", "node %d: flush at %llu beyond the commit", node,
				 (unsigned long long)fx->lsn);
		store_later(s, node, fx, flushes_held ? NEVER_US : sim_between(s, 500, 20000));
		break;
	case CTL_FX_COPY_KEEP:
		copy_keep(node);
		break;
	case CTL_FX_SAVE_STATE:
		state_later(s, node, fx->state);
		break;
	case CTL_FX_ARB_CAS:
		sim_proof_cas(s, node, &fx->expect, &fx->next);
		arbiter_later(s, node, fx);
		break;
	case CTL_FX_ARB_READ:
	case CTL_FX_ARB_FLOOR:
	case CTL_FX_PREEMPT:
		arbiter_later(s, node, fx);
		break;
	default:
		store_later(s, node, fx, disk_us(s));
		break;
	}
}

/* ---- start and end ---- */

/* Another file in place of each: the thread, should it ever go on, finds nothing to write to. */
void machine_abandon(int node)
{
	struct machine *m = &machines[node];
	int nothing = open("/dev/null", O_RDWR | O_CLOEXEC), top = nothing;
	char link[64], path[512];

	for (int fd = 3; fd <= top + 64; fd++) {
		ssize_t n;

		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		n = readlink(link, path, sizeof(path) - 1);
		path[n > 0 ? n : 0] = '\0';
		if (strncmp(path, m->dir, strlen(m->dir)) == 0 && strstr(path, "/store"))
			dup2(nothing, fd);
	}
	close(nothing);
	m->store = NULL;
}

void machine_close(int node)
{
	struct machine *m = &machines[node];

	arbiter_free(m->arbiter);
	state_file_close(m->state);
	store_close(m->store);
	jx_close(m->jx);
	m->arbiter = NULL;
	m->state = NULL;
	m->store = NULL;
	m->jx = NULL;
	m->journal_failed = false;
	m->may_write_arbiter = false;
}

static int open_all(int node, const struct ctl_config *config, struct ha_state *state,
		    int *ret_state_error, uint64_t *ret_store_lsn, char *why, size_t size)
{
	struct machine *m = &machines[node];
	const char *paths[] = {lun_file};
	struct store_config store = {.dir = m->dir, .map_bytes = 4 << 20, .readers = 1};
	struct jx_config journal = {
		.dir = m->dir, .journal = config->journal, .engine = AIO_THREADS};
	struct arbiter_config arbiter = {.cluster = cluster,
					 .node = (uint8_t)node,
					 .paths = paths,
					 .count = 1,
					 .patience_ms = WAIT_MS};
	struct pr_uuid uuid;
	int error;

	memcpy(uuid.b, cluster, sizeof(uuid.b));
	store.cluster = uuid;
	error = lun_check_all(paths, 1, &uuid, why, size);
	if (!error)
		error = store_open(&store, &m->store, why, size);
	if (!error)
		error = jx_open_with(&journal, &m->jx, why, size);
	if (!error)
		error = arbiter_new(&arbiter, &m->arbiter);
	if (!error)
		error = state_file_open(m->dir, &m->state, state, ret_state_error, why, size);
	if (!error && *ret_state_error == -EUCLEAN) {
		snprintf(why, size, "fewer than two copies of the state agree");
		error = -EUCLEAN;
	}
	if (!error)
		*ret_store_lsn = store_lsn(m->store);
	return error;
}

int machine_open(int node, const struct ctl_config *config, struct ha_state *state,
		 int *ret_state_error, uint64_t *ret_store_lsn, char *why, size_t size)
{
	volatile int error = 0;

	if (!heap_dies(node))
		error = open_all(node, config, state, ret_state_error, ret_store_lsn, why, size);
	heap_leave();
	return error;
}

/* ---- for the run ---- */

int crash_lun_make(const char *dir, const uint8_t id[16], char why[512])
{
	struct pr_uuid uuid;
	int fd, error;

	memcpy(uuid.b, id, sizeof(uuid.b));
	snprintf(lun_file, sizeof(lun_file), "%s/lun", dir);
	fd = open(lun_file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	error = fd < 0 || ftruncate(fd, (off_t)LUN_BLOCKS_MIN * LUN_BLOCK_BYTES) < 0 ? -errno : 0;
	if (fd >= 0)
		close(fd);
	return error ? error : lun_tool_label(lun_file, "lun1", &uuid, NULL, why, 512);
}

void machines_begin(const char *dir, uint8_t id[16])
{
	memcpy(cluster, id, sizeof(cluster));
	for (int n = 1; n <= SIM_NODES; n++) {
		snprintf(machines[n].dir, sizeof(machines[n].dir), "%s/n%d", dir, n);
		if (mkdir(machines[n].dir, 0700) < 0)
			perror(machines[n].dir);
	}
}

void crash_nodes_stop(void)
{
	for (int n = 1; n <= SIM_NODES; n++) {
		disk_node(n);
		disk_kill(DISK_KEPT);
		machine_close(n);
		disk_settle(n);
	}
}

uint64_t crash_store_lsn(int node)
{
	return store_lsn(machines[node].store);
}

void crash_flushes_hold(bool on)
{
	flushes_held = on;
}

static int take_rows(struct simstore *to, const struct store_done *d)
{
	struct store_rows rows = {0};
	struct pr_bytes k, v;
	size_t at = 0;
	int more;

	store_rows_set_packed(&rows, d->p, d->len);
	while ((more = store_rows_unpack(&rows, &at, &k, &v)) > 0) {
		struct pr_key key;

		if (pr_key_from_bytes(&key, k.p, k.len)) {
			more = -EBADMSG;
			break;
		}
		simstore_put(to, &key, v.p, (uint32_t)v.len);
	}
	store_rows_free(&rows);
	return more;
}

void crash_stores_read(struct sim *s)
{
	for (int n = 1; n <= SIM_NODES; n++) {
		struct machine *m = &machines[n];
		struct store_done d = {0};
		uint64_t cookie = 0;

		if (!s->node[n].up)
			continue;
		disk_node(0);
		simstore_free(s->node[n].store);
		s->node[n].store = simstore_new();
		do {
			store_copy_read(m->store, cookie++);
			store_wait(m, &d);
			if (d.error || take_rows(s->node[n].store, &d) < 0)
				sim_fail(s, "store", "node %d: its rows cannot be read", n);
		} while (!d.error && !d.last);
		/* Behind its LSN there may be records without rows. */
		simstore_set_lsn(s->node[n].store, s->committed_lsn);
	}
}
