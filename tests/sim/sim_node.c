/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A controller's machine: what the daemon's edge does with each effect, on virtual disks. A crash decides for every write that was
 * under way whether it was kept, dropped or torn.
 */
#include "journal/core/format.h"
#include "tests/sim/sim_node.h"
#include "tests/sim/simdisk.h"
#include "tests/sim/simstore.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { COPY_BYTES = 64 << 10, FETCH_ROWS_MAX = 1024, RING_SLOTS = 64, SEGMENT_BYTES = 256 << 10 };

uint64_t sim_disk_us(struct sim *s, int node)
{
	return sim_between(s, s->swarm.disk_min_us, s->swarm.disk_max_us) +
	       (s->healing ? 0 : s->node[node].slow_disk_us);
}

/* ---- journal ---- */

/* A node whose journal fails is out until its disk is replaced: never while the other does not hold everything. */
bool sim_may_lose_journal(struct sim *s, int node)
{
	struct ha_status mine, his, *active;

	if (s->quarantined || s->healing || s->damaged == 3 - node || !s->node[3 - node].up ||
	    s->node[3 - node].store_moved || s->arbiter.members != 3)
		return false;
	ha_get_status(ctl_ha(s->node[node].ctl), &mine);
	ha_get_status(ctl_ha(s->node[3 - node].ctl), &his);
	active = mine.role == PR_ROLE_ACTIVE ? &mine : &his;
	return active->role == PR_ROLE_ACTIVE && active->mode == HA_SYNC && s->cas_flying == 0 &&
	       mine.dstate == HA_INSYNC && his.dstate == HA_INSYNC && mine.epoch == his.epoch &&
	       mine.link_up && his.link_up;
}

static void journal_done(struct sim *s, struct sim_event *e)
{
	struct sim_node *n = &s->node[e->node];
	struct ctl_event ev = {.type = CTL_EV_JOURNAL_IO, .tag = e->a};
	unsigned i = 0;
	uint64_t tag;

	while (n->tags[i] != e->a)
		i++;
	memmove(n->tags + i, n->tags + i + 1, (--n->tag_count - i) * sizeof(n->tags[0]));
	/* This write, not one that comes when the other may be gone. */
	if (n->journal_error && simdisk_op_at(n->disk, i)->write &&
	    sim_may_lose_journal(s, e->node)) {
		s->quarantined = e->node;
		n->failed_gen = n->gen;
		n->failed_told = false;
		simdisk_fail_write(n->disk, UINT32_MAX, 0, n->journal_error);
		sim_struck(s, n->journal_error == -EIO ? SIM_FAULT_JOURNAL_EIO
						       : SIM_FAULT_JOURNAL_ENOSPC);
		n->journal_error = 0;
	} else {
		sim_damage_now(s, e->node, i);
	}
	ev.error = simdisk_complete(n->disk, i, &tag);
	sim_node_step(s, e->node, &ev);
}

/* I8: where the ring lets the journal begin, the store has all that stood before. A full copy brings it. */
static void check_release(struct sim *s, int node, const uint8_t *entry)
{
	struct sim_node *n = &s->node[node];
	uint64_t start = pr_load64(entry + offsetof(struct jr_entry_disk, start_lsn));
	const struct ha *ha = ctl_ha(n->ctl);

	if (ha_role(ha) != PR_ROLE_STARTING && ha_dstate(ha) != HA_SYNCTARGET &&
	    start > simstore_lsn(n->store) + 1)
		sim_fail(s, "I8", "node %d: its journal begins at LSN %llu, its store ends at %llu",
			 node, (unsigned long long)start,
			 (unsigned long long)simstore_lsn(n->store));
}

static void journal_io(struct sim *s, int node, const struct jr_io *io)
{
	struct sim_node *n = &s->node[node];
	struct simdisk_op op = {.write = io->write,
				.append = io->file == SIM_ARCHIVE,
				.file = io->file,
				.offset = io->offset,
				.buffer = io->buffer,
				.bytes = io->bytes,
				.tag = io->tag};

	sim_mix(s, io->offset << 20 ^ io->file);
	if (io->write)
		sim_mix_bytes(s, io->buffer, io->bytes);
	sim_witness_write(s, node, io);
	if (io->write && io->file == 0)
		check_release(s, node, io->buffer);
	n->tags[n->tag_count++] = io->tag;
	simdisk_submit(n->disk, &op);
	sim_after(s, sim_disk_us(s, node), node, journal_done)->a = io->tag;
}

static void disk_crash(struct sim *s, struct sim_node *n)
{
	uint64_t fate = sim_below(s, 1000);
	enum simdisk_crash how = fate < s->swarm.tear		? SIMDISK_RANDOM
				 : fate < 700			? SIMDISK_TEAR
				 : sim_chance(s, s->swarm.keep) ? SIMDISK_KEEP
								: SIMDISK_DROP;

	n->tag_count = 0;
	for (unsigned i = 0; i < simdisk_pending(n->disk); i++)
		s->torn += simdisk_op_at(n->disk, i)->write &&
			   (how == SIMDISK_RANDOM || how == SIMDISK_TEAR);
	simdisk_crash(n->disk, how);
}

static struct simdisk *new_disk(struct sim *s)
{
	struct simdisk *d = simdisk_new(sim_random(s));

	simdisk_file(d, 0, RING_SLOTS * JR_PAGE_BYTES);
	for (uint32_t i = 1; i <= s->swarm.segments; i++)
		simdisk_file(d, i, SEGMENT_BYTES);
	simdisk_file(d, SIM_ARCHIVE, 0);
	return d;
}

void sim_journal_config(const struct sim *s, struct jr_config *ret)
{
	*ret = (struct jr_config){.segment_bytes = SEGMENT_BYTES,
				  .segments = s->swarm.segments,
				  .ring_slots = RING_SLOTS,
				  .in_flight = 2};
	memcpy(ret->cluster, s->arbiter.cluster, sizeof(ret->cluster));
}

/* ---- store ---- */

struct fetch_job {
	struct ctl_fetch fetch;
	uint64_t ticket;
	struct simstore
		*snapshot; /* asked early: the answer is from before a flush that ends meanwhile */
};

static void fetch_drop(struct sim *s, struct sim_event *e)
{
	struct fetch_job *j = e->ptr;

	(void)s;
	simstore_free(j->snapshot);
	free(j);
}

static void fetch_done(struct sim *s, struct sim_event *e)
{
	struct fetch_job *j = e->ptr;
	struct ctl_row *rows = calloc(FETCH_ROWS_MAX, sizeof(*rows));
	struct ctl_event ev = {.type = CTL_EV_ROWS, .ticket = j->ticket, .rows = rows};

	if (j->fetch.rows_max > FETCH_ROWS_MAX)
		j->fetch.rows_max = FETCH_ROWS_MAX;
	ev.row_count = simstore_fetch(j->snapshot ? j->snapshot : s->node[e->node].store, &j->fetch,
				      rows, &ev.complete);
	sim_node_step(s, e->node, &ev);
	free(rows);
	fetch_drop(s, e);
}

/* The rows it brings, into the trace hash. */
static void flush_mix(struct sim *s, struct ctl_flush *f)
{
	for (size_t i = 0; i < ctl_flush_count(f); i++) {
		const uint8_t *key, *value;
		size_t key_len, bytes;

		ctl_flush_get(f, i, &key, &key_len, &value, &bytes);
		sim_mix_bytes(s, key, key_len);
		sim_mix(s, value != NULL);
		if (value)
			sim_mix_bytes(s, value, bytes);
	}
}

static void flush_apply(struct sim *s, int node)
{
	struct sim_node *n = &s->node[node];

	if (n->flush_lsn < simstore_lsn(n->store))
		sim_fail(s, "I13", "node %d: a flush at %llu behind the store's %llu", node,
			 (unsigned long long)n->flush_lsn,
			 (unsigned long long)simstore_lsn(n->store));
	sim_damage_flush(s, node);
	simstore_flush(n->store, n->flush, n->flush_lsn);
	flush_mix(s, n->flush);
	n->store_moved = false;
	n->flush = NULL;
	sim_check_stores(s);
}

static void flush_done(struct sim *s, struct sim_event *e)
{
	struct sim_node *n = &s->node[e->node];
	struct ctl_event ev = {.type = CTL_EV_FLUSHED, .lsn = n->flush_lsn};

	if (n->store_error) {
		ev.error = n->store_error;
		sim_struck(s,
			   n->store_error == -EIO ? SIM_FAULT_STORE_EIO : SIM_FAULT_STORE_ENOSPC);
		n->store_error = 0;
		n->flush = NULL;
	} else {
		flush_apply(s, e->node);
	}
	sim_node_step(s, e->node, &ev);
}

/* ---- full copy ---- */

static void copy_answer(struct sim *s, struct sim_event *e)
{
	struct ctl_event ev = {.type = CTL_EV_COPY_APPLIED};

	sim_node_step(s, e->node, &ev);
}

static void copy_read(struct sim *s, struct sim_event *e)
{
	struct sim_node *n = &s->node[e->node];
	uint8_t *buf = malloc(COPY_BYTES);
	struct ctl_event ev = {.type = CTL_EV_COPY_ROWS, .p = buf, .lsn = simstore_lsn(n->store)};

	if (e->a == 0) {
		memset(&n->copy_key, 0, sizeof(n->copy_key));
		n->copy_done = 0;
		s->full_copies++;
	}
	ev.len = simstore_copy_read(n->store, &n->copy_key, buf,
				    (uint32_t)sim_between(s, 600, COPY_BYTES), &ev.last);
	n->copy_done += ev.len;
	ev.done_bytes = n->copy_done;
	ev.total_bytes = n->copy_done + (ev.last ? 0 : COPY_BYTES);
	sim_node_step(s, e->node, &ev);
	free(buf);
}

/* ---- the rest ---- */

static void timer(struct sim *s, struct sim_event *e)
{
	struct ctl_event ev = {.type = CTL_EV_TIMER};

	if (s->node[e->node].timer_us != e->a)
		return;
	s->node[e->node].timer_us = UINT64_MAX;
	sim_node_step(s, e->node, &ev);
}

/* Its key is off the LUN and what it had sent is over, or the LUN could not be asked. */
static void client_fenced(struct sim *s, struct sim_event *e)
{
	struct ctl_event ev = {.type = CTL_EV_CLIENT_FENCED, .session = e->a};

	if (s->arbiter_cut || (!s->healing && sim_chance(s, s->swarm.fence_fails)))
		ev.error = -EBUSY;
	else
		sim_lun_fence(s, e->a);
	sim_node_step(s, e->node, &ev);
}

static void made_volume(struct sim *s, int node)
{
	char text[200];
	struct ctl_event ev = {
		.type = CTL_EV_ADMIN, .ticket = 7, .text = sim_lun_volume_create(s, text)};

	sim_node_step(s, node, &ev);
}

static void volume_event(struct sim *s, struct sim_event *e)
{
	if (s->node[e->node].role == PR_ROLE_ACTIVE && !s->volume_made) {
		made_volume(s, e->node);
		sim_after(s, 100 * SIM_US_MS, e->node, volume_event);
	}
}

static void effect(struct sim *s, int node, struct ctl_effect *fx)
{
	struct sim_node *n = &s->node[node];
	struct sim_event *e;

	switch (fx->type) {
	case CTL_FX_SEND:
		sim_witness_commit(s, node);
		sim_check_serving(s, node);
		sim_op_leaving(s, node, fx->p, fx->len);
		sim_send(s, node, fx->conn, fx->p, fx->len, NULL, 0);
		break;
	case CTL_FX_CLOSE:
	case CTL_FX_LINK_CLOSE:
		sim_hang_up(s, node, fx->conn);
		break;
	case CTL_FX_LINK_SEND:
		sim_send(s, node, fx->conn, fx->p, fx->len, fx->batch ? fx->batch->image : NULL,
			 fx->batch ? fx->batch->image_bytes : 0);
		jr_batch_unref(fx->batch);
		break;
	case CTL_FX_JOURNAL_IO:
		journal_io(s, node, &fx->io);
		break;
	case CTL_FX_FETCH: {
		struct fetch_job *j = calloc(1, sizeof(*j));

		j->fetch = fx->fetch;
		j->ticket = fx->ticket;
		j->snapshot = sim_chance(s, 500) ? simstore_copy(n->store) : NULL;
		e = sim_after(s, sim_between(s, 20, s->swarm.fetch_max_us), node, fetch_done);
		e->ptr = j;
		e->drop = fetch_drop;
		break;
	}
	case CTL_FX_FLUSH:
		if (fx->lsn > ha_commit_lsn(ctl_ha(n->ctl)))
			sim_fail(s, "I13", "node %d: flush at %llu, committed is %llu", node,
				 (unsigned long long)fx->lsn,
				 (unsigned long long)ha_commit_lsn(ctl_ha(n->ctl)));
		n->flush = fx->flush;
		n->flush_lsn = fx->lsn;
		sim_after(s, sim_between(s, 500, 60000) + (s->healing ? 0 : n->slow_store_us), node,
			  flush_done);
		break;
	case CTL_FX_COPY_READ:
		sim_after(s, sim_disk_us(s, node), node, copy_read)->a = fx->cookie;
		break;
	case CTL_FX_COPY_BEGIN:
		simstore_free(n->copy);
		n->copy = simstore_new();
		sim_after(s, sim_disk_us(s, node), node, copy_answer);
		break;
	case CTL_FX_COPY_PUT:
		if (!n->copy || simstore_copy_put(n->copy, fx->p, fx->len) < 0)
			sim_fail(s, "copy", "node %d: rows that do not decode", node);
		sim_after(s, sim_disk_us(s, node), node, copy_answer);
		break;
	case CTL_FX_COPY_END:
		simstore_set_lsn(n->copy, fx->lsn);
		simstore_free(n->before);
		n->before = NULL;
		simstore_free(n->store);
		n->store = n->copy;
		n->store_moved = false;
		n->copy = NULL;
		sim_after(s, sim_disk_us(s, node), node, copy_answer);
		break;
	case CTL_FX_SAVE_STATE:
		sim_state_save(s, node, fx->state, sim_disk_us(s, node));
		break;
	case CTL_FX_ARB_READ:
		sim_arbiter_read(s, node);
		break;
	case CTL_FX_ARB_CAS:
		sim_proof_cas(s, node, &fx->expect, &fx->next);
		sim_arbiter_cas(s, node, &fx->expect, &fx->next);
		break;
	case CTL_FX_ARB_FLOOR:
		sim_arbiter_floor(s, node, fx->epoch, fx->lsn);
		break;
	case CTL_FX_PREEMPT:
		sim_arbiter_preempt(s, node);
		break;
	case CTL_FX_ASK_FENCE:
		sim_super_fence(s, node, fx->incarnation);
		break;
	case CTL_FX_SCORE:
		n->score = fx->score;
		break;
	case CTL_FX_ORDER_RESULT:
		sim_super_result(s, node, fx->ticket, fx->error, fx->text);
		break;
	case CTL_FX_FENCE_CLIENT:
		sim_after(s, sim_between(s, 5, 300) * SIM_US_MS, node, client_fenced)->a =
			fx->session;
		break;
	case CTL_FX_ADMIN_REPLY:
		sim_note(s, "node %d: admin: %d %.*s", node, fx->error,
			 (int)(fx->len < 200 ? fx->len : 200), (const char *)fx->p);
		if (fx->ticket == 7 && (fx->error == 0 || fx->error == -EEXIST))
			s->volume_made = true;
		break;
	case CTL_FX_TIMER: {
		uint64_t us = fx->at_ms > 1000 ? (fx->at_ms - 1000) * SIM_US_MS : 0;

		n->timer_us = us > s->now_us ? us : s->now_us + 10;
		sim_after(s, n->timer_us - s->now_us, node, timer)->a = n->timer_us;
		break;
	}
	case CTL_FX_ALARM:
		s->alarms++;
		s->alarmed[fx->alarm] += fx->on;
		sim_note(s, "node %d: alarm %d %s %s", node, fx->alarm, fx->on ? "on" : "off",
			 fx->text ? fx->text : "");
		break;
	case CTL_FX_LOG:
		sim_note(s, "node %d: %s", node, fx->text);
		break;
	case CTL_FX_ROLE:
	case CTL_FX_COPY_KEEP:
		break;
	case CTL_FX_DIE:
		if (s->quarantined == node && n->failed_gen == n->gen)
			n->failed_told = !n->saving && n->unsaved_gen != n->gen;
		sim_node_crash(s, node, fx->text);
		break;
	}
}

static void look_role(struct sim *s, int node)
{
	struct sim_node *n = &s->node[node];
	enum pr_role role = ha_role(ctl_ha(n->ctl));

	if (role == n->role)
		return;
	sim_note(s, "node %d: %s, epoch %llu", node, pr_role_name(role),
		 (unsigned long long)ha_epoch(ctl_ha(n->ctl)));
	n->role = role;
	if (role == PR_ROLE_ACTIVE && !s->volume_made)
		sim_after(s, 1 * SIM_US_MS, node, volume_event);
	sim_super_look(s);
}

static void drain(struct sim *s, int node, uint64_t gen)
{
	struct sim_node *n = &s->node[node];
	struct ctl_effect fx;

	while (n->gen == gen && n->up && !s->violation && ctl_next(n->ctl, &fx))
		effect(s, node, &fx);
}

static void pump(struct sim *s, struct sim_event *e);

static void pump_soon(struct sim *s, int node)
{
	if (s->node[node].pump)
		return;
	s->node[node].pump = true;
	sim_after(s, sim_between(s, 5, 60), node, pump);
}

static void pump(struct sim *s, struct sim_event *e)
{
	struct ctl_event ev = {.type = CTL_EV_PUMP};
	struct sim_node *n = &s->node[e->node];

	n->pump = false;
	sim_node_step(s, e->node, &ev);
	if (n->up && !s->violation && ctl_work(n->ctl))
		pump_soon(s, e->node);
}

void sim_node_step(struct sim *s, int node, struct ctl_event *ev)
{
	struct sim_node *n = &s->node[node];
	uint64_t gen = n->gen;

	if (!n->up || s->violation)
		return;
	ev->now_ms = s->now_us / SIM_US_MS + 1000;
	ev->real_ns = SIM_EPOCH_NS + (int64_t)s->now_us * 1000 + n->clock_ns;
	ev->random = sim_random(s);
	s->steps++;
	sim_proof_event(s, node, ev);
	ctl_step(n->ctl, ev);
	drain(s, node, gen);
	if (n->gen != gen || !n->up)
		return;
	sim_witness_commit(s, node);
	look_role(s, node);
	sim_check_step(s, node);
	if (ev->type != CTL_EV_PUMP)
		pump_soon(s, node);
}

/* Somebody gives the node whose journal failed a new disk, once the record no longer names it. */
static void replace_disk(struct sim *s, int node)
{
	struct sim_node *n = &s->node[node];
	struct ha_state st;

	if (s->quarantined != node || sim_state_read(n, &st) < 0 ||
	    s->arbiter.members >> (node - 1) & 1)
		return;
	sim_note(s, "node %d: gets a new disk", node);
	simdisk_free(n->disk);
	simstore_free(n->store);
	n->disk = NULL;
	n->store = NULL;
	n->store_moved = false;
	memset(n->state, 0, sizeof(n->state));
	sim_damage_forget(s);
	n->persisted_epoch = 0;
	n->log_count = 0;
	free(n->log);
	n->log = NULL;
	s->quarantined = 0;
	s->replaced++;
}

void sim_node_boot(struct sim *s, int node)
{
	struct sim_node *n = &s->node[node];
	struct ctl_config config = {
		.ha = {.node = (uint8_t)node,
		       .beat_ms = 50,
		       .lease_ms = SIM_LINK_LEASE_MS,
		       .drop_ms = 5000,
		       .link_dead_ms = 400,
		       .in_flight = 2,
		       .fabric_fencing = s->swarm.takeover_wait_ms > 0,
		       .takeover_wait_ms = s->swarm.takeover_wait_ms},
		.address = {"127.0.0.1", "127.0.0.2"},
		.lease_ms = s->swarm.lease_ms,
		.sessions_max = 64,
		.slots_max = 64,
		.cache_bytes = (size_t)s->swarm.cache_kib << 10,
		.overlay_bytes = (size_t)s->swarm.overlay_kib << 10,
		.flush_ms = s->swarm.flush_ms,
		.batch_bytes_max = 64 << 10,
	};
	struct ctl_event ev = {.type = CTL_EV_BOOT};
	struct ha_state st;
	char why[256];

	replace_disk(s, node);
	if (!n->disk)
		n->disk = new_disk(s);
	if (!n->store)
		n->store = simstore_new();
	sim_damage_store(s, node);
	memcpy(config.ha.cluster, s->arbiter.cluster, sizeof(config.ha.cluster));
	sim_journal_config(s, &config.journal);
	n->up = true;
	n->gen++;
	config.incarnation = n->incarnation = s->now_us / SIM_US_MS * 2 + (uint64_t)node;
	n->role = PR_ROLE_STARTING;
	n->score = 0;
	n->timer_us = UINT64_MAX;
	n->paused_until_us = 0;
	n->slow_disk_us = 0;
	n->pump = false;
	n->flush = NULL;
	n->lags = s->damaged == node && s->damage_counts;
	n->ctl = ctl_new(&config, why);
	if (!n->ctl) {
		sim_fail(s, "start", "node %d: %s", node, why);
		return;
	}
	sim_witness_restart(s, node);
	sim_note(s, "node %d: starts, incarnation %llu", node, (unsigned long long)n->incarnation);
	ev.incarnation = n->incarnation;
	ev.store_lsn = simstore_lsn(n->store);
	sim_state_rot(s, node);
	ev.error = sim_state_open(n, &st);
	ev.state = ev.error ? NULL : &st;
	sim_node_step(s, node, &ev);
	sim_super_born(s, node);
}

bool sim_node_crash(struct sim *s, int node, const char *why)
{
	struct sim_node *n = &s->node[node];

	if (!n->up)
		return false;
	sim_note(s, "node %d: DIES: %s", node, why ? why : "");
	/* A flush is one transaction: all of it or nothing. */
	if (n->flush && sim_chance(s, s->swarm.keep))
		flush_apply(s, node);
	n->flush = NULL;
	/* Its successor holds the lock only once the last write is over, this way or that. */
	sim_state_crash(s, node);
	n->up = false;
	n->gen++;
	n->role = PR_ROLE_STOPPED;
	if (s->damaged == node && s->lost_lsn)
		sim_damage_undo(s);
	disk_crash(s, n);
	simstore_free(n->copy);
	n->copy = NULL;
	if (n->before) {
		simstore_free(n->store);
		n->store = n->before;
		n->before = NULL;
		sim_note(s, "node %d: its store lost the last flush", node);
	}
	sim_drop_all(s, node);
	s->dead[s->dead_count++] = n->ctl;
	n->ctl = NULL;
	s->crashes++;
	sim_super_died(s, node);
	return true;
}

void sim_node_free(struct sim *s, int node)
{
	struct sim_node *n = &s->node[node];

	sim_damage_forget(s);
	ctl_free(n->ctl);
	simstore_free(n->store);
	simstore_free(n->copy);
	simdisk_free(n->disk);
}
