/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The small records as they stand on their disks: each controller's state in four copies, the arbiter record in two. A crash may come
 * between two copies, one may be torn, rot, or keep what it held; who reads chooses by the protocol's own rules.
 */
#include "tests/sim/sim_node.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { SIM_STATE_NEEDED = 3 }; /* so many must be written */

/* ---- state ---- */

static int pick(const struct sim_node *n, struct ha_state *ret, unsigned *ret_others)
{
	const uint8_t *copies[SIM_STATE_COPIES];

	for (int i = 0; i < SIM_STATE_COPIES; i++)
		copies[i] = n->state[i];
	return ha_state_pick(ret, copies, ret_others);
}

int sim_state_read(const struct sim_node *n, struct ha_state *ret)
{
	return pick(n, ret, NULL);
}

int sim_state_open(struct sim_node *n, struct ha_state *ret)
{
	unsigned others;
	int r = pick(n, ret, &others);

	for (int i = 0; i < SIM_STATE_COPIES; i++)
		if (others >> i & 1)
			ha_state_encode(n->state[i], ret);
	return r;
}

static bool all_alike(const struct sim_node *n)
{
	for (int i = 1; i < SIM_STATE_COPIES; i++)
		if (memcmp(n->state[0], n->state[i], HA_STATE_BYTES) != 0)
			return false;
	return true;
}

static void epoch_check(struct sim *s, int node)
{
	struct sim_node *n = &s->node[node];
	struct ha_state st;
	int r = sim_state_read(n, &st);

	if (r == -ENOENT)
		return;
	if (r < 0)
		sim_fail(s, "format", "node %d: its state cannot be read any more", node);
	else if (st.epoch < n->persisted_epoch)
		sim_fail(s, "I4", "node %d: its persisted epoch went from %llu to %llu", node,
			 (unsigned long long)n->persisted_epoch, (unsigned long long)st.epoch);
	else
		n->persisted_epoch = st.epoch;
}

static void write_part(struct sim *s, uint8_t *copy, const uint8_t *p)
{
	memcpy(copy, p, sim_between(s, 1, HA_STATE_BYTES / 512 - 1) * 512);
}

/*
 * Some of the four writes fail. They hold what they held, of EIO perhaps what they should; one of them, of EIO or a short write, a part:
 * of two copies in parts and two of different states none would be chosen. Returns how many were written, as far as anybody was told.
 */
static int write_failing(struct sim *s, struct sim_node *n, const uint8_t *p,
			 enum sim_state_harm harm)
{
	unsigned failing = (unsigned)sim_between(s, 1, (1u << SIM_STATE_COPIES) - 1);
	bool parts = harm == SIM_STATE_SHORT || (harm == SIM_STATE_EIO && sim_chance(s, 500));

	for (int i = 0; i < SIM_STATE_COPIES; i++) {
		if (!(failing >> i & 1) || (harm == SIM_STATE_EIO && sim_chance(s, 200))) {
			memcpy(n->state[i], p, HA_STATE_BYTES);
		} else if (parts) {
			write_part(s, n->state[i], p);
			parts = false;
		}
	}
	return SIM_STATE_COPIES - __builtin_popcount(failing);
}

/* One of the four is reported done and is not there: lost, or it stands in another's place or in the journal. */
static void write_missing(struct sim *s, int node, const uint8_t *p, enum sim_state_harm harm)
{
	struct sim_node *n = &s->node[node];
	unsigned missing = (unsigned)sim_below(s, SIM_STATE_COPIES);

	if (harm == SIM_STATE_MISDIRECT)
		sim_damage_by_state(s, node, p);
	for (unsigned i = 0; i < SIM_STATE_COPIES; i++)
		if (i != missing)
			memcpy(n->state[i], p, HA_STATE_BYTES);
}

static const enum sim_fault_kind fault_of[] = {
	[SIM_STATE_LOSE] = SIM_FAULT_STATE_LOST,
	[SIM_STATE_MISDIRECT] = SIM_FAULT_STATE_MISDIRECTED,
	[SIM_STATE_EIO] = SIM_FAULT_STATE_EIO,
	[SIM_STATE_ENOSPC] = SIM_FAULT_STATE_ENOSPC,
	[SIM_STATE_SHORT] = SIM_FAULT_STATE_SHORT,
};

/* Returns how many of the four were reported written. */
static int write_copies(struct sim *s, int node, const uint8_t *p)
{
	struct sim_node *n = &s->node[node];
	enum sim_state_harm harm = all_alike(n) ? n->state_harm : SIM_STATE_SOUND;

	if (harm != SIM_STATE_SOUND) {
		n->state_harm = SIM_STATE_SOUND;
		s->state_harmed++;
		sim_struck(s, fault_of[harm]);
	}
	switch (harm) {
	case SIM_STATE_SOUND:
		for (int i = 0; i < SIM_STATE_COPIES; i++)
			memcpy(n->state[i], p, HA_STATE_BYTES);
		return SIM_STATE_COPIES;
	case SIM_STATE_LOSE:
	case SIM_STATE_MISDIRECT:
		write_missing(s, node, p, harm);
		return SIM_STATE_COPIES;
	default:
		return write_failing(s, n, p, harm);
	}
}

static void state_done(struct sim *s, struct sim_event *e)
{
	struct sim_node *n = &s->node[e->node];
	struct ctl_event ev = {.type = CTL_EV_STATE_SAVED};
	int written = write_copies(s, e->node, e->p);

	n->saving = NULL;
	if (written < SIM_STATE_NEEDED) {
		sim_note(s, "node %d: of its state %d copies were written", e->node, written);
		n->unsaved_gen = n->gen;
		ev.error = -EIO;
	}
	epoch_check(s, e->node);
	sim_node_step(s, e->node, &ev);
}

bool sim_state_take(struct sim *s, int node, const uint8_t *page)
{
	struct sim_node *n = &s->node[node];

	if (!all_alike(n))
		return false;
	memcpy(n->state[sim_below(s, SIM_STATE_COPIES)], page, HA_STATE_BYTES);
	s->state_harmed++;
	sim_note(s, "node %d: a page of its journal lands on its state", node);
	return true;
}

void sim_state_save(struct sim *s, int node, const struct ha_state *state, uint64_t us)
{
	struct sim_event *e = sim_after(s, us, node, state_done);

	e->p = malloc(HA_STATE_BYTES);
	ha_state_encode(e->p, state);
	sim_mix_bytes(s, e->p, HA_STATE_BYTES);
	s->node[node].saving = e;
}

/* The copies are written one after the other: some have it, one perhaps a part, the others not. */
void sim_state_crash(struct sim *s, int node)
{
	struct sim_node *n = &s->node[node];
	uint64_t done = sim_below(s, SIM_STATE_COPIES + 1);
	bool tears = all_alike(n) && sim_chance(s, s->swarm.tear);

	if (!n->saving)
		return;
	for (uint64_t i = 0; i < done; i++)
		memcpy(n->state[i], n->saving->p, HA_STATE_BYTES);
	if (tears && done < SIM_STATE_COPIES)
		write_part(s, n->state[done], n->saving->p);
	n->saving = NULL;
	epoch_check(s, node);
}

void sim_state_rot(struct sim *s, int node)
{
	struct sim_node *n = &s->node[node];
	struct ha_state st;
	bool rots = n->rot_state;

	n->rot_state = false;
	if (!rots || sim_state_read(n, &st) != 0 || !all_alike(n))
		return;
	n->state[sim_below(s, SIM_STATE_COPIES)][sim_below(s, HA_STATE_BYTES)] ^=
		(uint8_t)(1u << sim_below(s, 8));
	sim_struck(s, SIM_FAULT_STATE_ROT);
}

/* ---- arbiter ---- */

struct arb_job {
	struct ha_arbiter expect, next;
};

static bool same_record(const struct ha_arbiter *a, const struct ha_arbiter *b)
{
	uint8_t x[HA_ARBITER_BYTES], y[HA_ARBITER_BYTES];

	ha_arbiter_encode(x, a);
	ha_arbiter_encode(y, b);
	return memcmp(x, y, sizeof(x)) == 0;
}

/* What a reader finds, who first completes the other copy. */
static void arbiter_look(struct sim *s)
{
	const uint8_t *copies[2] = {s->arbiter_copy[0], s->arbiter_copy[1]};
	struct ha_arbiter is;
	int rewrite;

	if (!s->arbiter_written) {
		ha_arbiter_encode(s->arbiter_copy[0], &s->arbiter);
		ha_arbiter_encode(s->arbiter_copy[1], &s->arbiter);
		s->arbiter_written = true;
	}
	if (s->arbiter_rots && memcmp(copies[0], copies[1], HA_ARBITER_BYTES) == 0) {
		s->arbiter_copy[sim_below(s, 2)][sim_below(s, HA_ARBITER_BYTES)] ^=
			(uint8_t)(1u << sim_below(s, 8));
		sim_struck(s, SIM_FAULT_ARBITER_ROT);
	}
	s->arbiter_rots = false;
	if (ha_arbiter_pick(&is, copies, &rewrite) < 0) {
		sim_fail(s, "format", "no copy of the arbiter record can be read");
		return;
	}
	if (rewrite >= 0)
		memcpy(s->arbiter_copy[rewrite], s->arbiter_copy[!rewrite], HA_ARBITER_BYTES);
	if (!same_record(&is, &s->arbiter))
		sim_fail(s, "arbiter", "the record went back from sequence %llu to %llu",
			 (unsigned long long)s->arbiter.seq, (unsigned long long)is.seq);
}

/* What the LUN does with a compare-and-swap when it gets to it. copies: so many of the two are written. */
static int cas(struct sim *s, int node, struct arb_job *j, int copies)
{
	arbiter_look(s);
	if (!same_record(&s->arbiter, &j->expect))
		return -ESTALE;
	s->arbiter = j->next;
	for (int i = 0; i < copies; i++)
		ha_arbiter_encode(s->arbiter_copy[i], &j->next);
	sim_note(s, "arbiter: by node %d: epoch %llu members %u active %u", node,
		 (unsigned long long)j->next.epoch, j->next.members, j->next.active);
	if (s->damaged && s->arbiter.members == 1u << (s->damaged - 1))
		sim_damage_undo(s);
	return 0;
}

/* Writes of a dead controller that are still on their way to the LUN land before another gets its lock. */
static uint64_t arb_wait(struct sim *s, int node)
{
	struct sim_node *peer = &s->node[3 - node];
	uint64_t us = sim_disk_us(s, node);

	if (peer->arb_busy_until_us > s->now_us)
		us += peer->arb_busy_until_us - s->now_us;
	return us;
}

static void arb_cas_late(struct sim *s, struct sim_event *e)
{
	/* The controller died with its write under way: it lands, or half of it, or not. */
	if (s->node[e->node].keyless_gen != e->gen && sim_chance(s, s->swarm.keep))
		cas(s, e->node, e->ptr, (int)sim_between(s, 1, 2));
	s->cas_flying--;
	free(e->ptr);
}

/* Another has taken its key off the LUN: reads are all that it gets. */
static bool keyless(const struct sim *s, int node)
{
	return s->node[node].keyless_gen == s->node[node].gen;
}

static void arb_cas_done(struct sim *s, struct sim_event *e)
{
	struct arb_job *j = e->ptr;
	struct ctl_event ev = {.type = CTL_EV_ARB_CAS};

	if (s->arbiter_cut) {
		ev.error = -ETIMEDOUT;
		if (e->a == 0) {
			e->a = 1;
			sim_node_step(s, e->node, &ev);
		}
		if (s->node[e->node].up && s->node[e->node].gen == e->gen) {
			struct sim_event *again =
				sim_after(s, 100 * SIM_US_MS, e->node, arb_cas_done);

			again->drop = arb_cas_late;
			again->ptr = j;
			again->a = 1;
		} else {
			arb_cas_late(s, e);
		}
		return;
	}
	ev.error = keyless(s, e->node) ? -EBADE : cas(s, e->node, j, 2);
	s->cas_flying--;
	ev.arbiter = &s->arbiter;
	sim_node_step(s, e->node, &ev);
	free(j);
}

void sim_arbiter_cas(struct sim *s, int node, const struct ha_arbiter *expect,
		     const struct ha_arbiter *next)
{
	struct arb_job *j = malloc(sizeof(*j));
	uint8_t record[HA_ARBITER_BYTES];
	struct sim_event *e;

	ha_arbiter_encode(record, next);
	sim_mix_bytes(s, record, sizeof(record));
	s->cas_flying++;
	*j = (struct arb_job){.expect = *expect, .next = *next};
	e = sim_after(s, arb_wait(s, node), node, arb_cas_done);
	e->ptr = j;
	e->drop = arb_cas_late;
	s->node[node].arb_busy_until_us = e->at_us + 1;
}

static void arb_read(struct sim *s, struct sim_event *e)
{
	struct ctl_event ev = {.type = CTL_EV_ARB_READ,
			       .arbiter = &s->arbiter,
			       .floor_epoch = s->floor_epoch,
			       .floor_lsn = s->floor_lsn};

	if (s->arbiter_cut)
		ev.error = s->arbiter_error ? s->arbiter_error : -EIO;
	else
		arbiter_look(s);
	sim_node_step(s, e->node, &ev);
}

void sim_arbiter_read(struct sim *s, int node)
{
	sim_after(s, arb_wait(s, node), node, arb_read);
}

static void arb_floor(struct sim *s, struct sim_event *e)
{
	struct ctl_event ev = {.type = CTL_EV_ARB_FLOOR};

	if (s->arbiter_cut) {
		ev.error = -EIO;
	} else if (keyless(s, e->node)) {
		ev.error = -EBADE;
	} else {
		s->floor_epoch = e->a;
		s->floor_lsn = e->b;
	}
	sim_node_step(s, e->node, &ev);
}

void sim_arbiter_floor(struct sim *s, int node, uint64_t epoch, uint64_t lsn)
{
	struct sim_event *e = sim_after(s, arb_wait(s, node), node, arb_floor);

	sim_mix(s, epoch);
	sim_mix(s, lsn);
	e->a = epoch;
	e->b = lsn;
}

static void take_key(struct sim *s, int node)
{
	s->node[node].keyless_gen = 0;
	s->node[3 - node].keyless_gen = s->node[3 - node].gen;
}

static void preempted(struct sim *s, struct sim_event *e)
{
	struct ctl_event ev = {.type = CTL_EV_PREEMPTED};

	/* The lock comes free with the death of its holder and of its last write. */
	if (s->arbiter_cut)
		ev.error = -EIO;
	else if (s->swarm.takeover_wait_ms)
		take_key(s, e->node);
	else if (s->node[3 - e->node].up && s->node[3 - e->node].role == PR_ROLE_ACTIVE)
		ev.error = -EBUSY;
	sim_node_step(s, e->node, &ev);
}

void sim_arbiter_preempt(struct sim *s, int node)
{
	sim_after(s, arb_wait(s, node), node, preempted);
}
