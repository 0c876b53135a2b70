/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the disk of a journal does wrong without a word: bits rot, pages cannot be read, writes of the ring and of the segments are lost
 * or land elsewhere in the journal, single pages also on a copy of the state, and those of the state here. On one node at a time, and while the other holds everything: of what no good copy is left scenario 50 tells. What nobody came upon is as it was
 * after a while, as if it had only been read wrongly; at once when the node is to go on alone. A lost write that neither the ring nor
 * the commit in a later batch tells of looks like one that a crash dropped, also where one that was under way with it got through:
 * nobody can know, and it is there when its node dies. Often the power fails when a batch has just told, and no entry of the ring yet,
 * and the other node is the later one to be back.
 */
#include "journal/core/format.h"
#include "tests/sim/sim_node.h"
#include "tests/sim/simdisk.h"
#include "tests/sim/simstore.h"

#include <stdlib.h>
#include <string.h>

enum { PAGE_BYTES = 4096, SECTOR_BYTES = 512 };

static bool may_damage(struct sim *s, int node)
{
	return (!s->damaged || s->damaged == node) && s->damage_count + 2 <= SIM_DAMAGE_MAX &&
	       sim_may_lose_journal(s, node);
}

static void undo_event(struct sim *s, struct sim_event *e)
{
	if (s->damage_round == e->a)
		sim_damage_undo(s);
}

/* bytes of the file at `at` are now what they should not be. */
static void note(struct sim *s, int node, uint32_t file, uint64_t at, const uint8_t *is,
		 const uint8_t *was, uint32_t bytes)
{
	struct sim_damage *d = &s->damage[s->damage_count++];

	*d = (struct sim_damage){.file = file, .at = at, .bytes = bytes};
	d->is = malloc(bytes);
	d->was = malloc(bytes);
	memcpy(d->is, is, bytes);
	memcpy(d->was, was, bytes);
	if (!s->damaged)
		sim_after(s, sim_between(s, 10, 20000) * SIM_US_MS, 0, undo_event)->a =
			s->damage_round;
	s->damaged = node;
	s->damage_counts = true;
}

static uint32_t some_file(struct sim *s)
{
	return sim_chance(s, 200) ? 0 : (uint32_t)sim_between(s, 1, s->swarm.segments);
}

/* A page that holds something, if one is found soon. */
static uint64_t some_page(struct sim *s, struct simdisk *disk, uint32_t file)
{
	uint64_t bytes, at = 0;
	uint8_t *p = simdisk_bytes(disk, file, &bytes);

	for (int tries = 0; tries < 30; tries++) {
		at = sim_below(s, bytes / PAGE_BYTES) * PAGE_BYTES;
		if (pr_load32(p + at))
			break;
	}
	return at;
}

/* Noted is all of the sector: one byte may be what it rotted to in what is written there later, too. */
static void rot(struct sim *s, int node)
{
	struct simdisk *disk = s->node[node].disk;
	uint32_t file = some_file(s);
	uint64_t at = some_page(s, disk, file) + sim_below(s, PAGE_BYTES);
	uint64_t sector = at / SECTOR_BYTES * SECTOR_BYTES;
	uint8_t *p = simdisk_bytes(disk, file, NULL) + sector, was[SECTOR_BYTES];

	memcpy(was, p, SECTOR_BYTES);
	simdisk_flip(disk, file, at, (unsigned)sim_below(s, 8));
	note(s, node, file, sector, p, was, SECTOR_BYTES);
}

static void unreadable(struct sim *s, int node)
{
	struct simdisk *disk = s->node[node].disk;
	uint32_t file = some_file(s);
	uint64_t at = some_page(s, disk, file);
	uint8_t *p = simdisk_bytes(disk, file, NULL) + at;

	simdisk_unreadable(disk, file, at, PAGE_BYTES);
	note(s, node, file, at, p, p, PAGE_BYTES);
}

/* What a write says of the LSNs before it: the ring what is durable, a batch what is committed; or else the last one in it. */
static uint64_t lsn_in(const struct sim *s, const struct simdisk_op *op, bool committed)
{
	const char *why;
	struct jr_batch *b;
	uint64_t lsn;

	if (op->file == 0)
		return pr_load64(op->buffer + offsetof(struct jr_entry_disk, tail_lsn));
	b = jr_batch_open(s->arbiter.cluster, op->buffer, op->bytes, &why);
	lsn = !b ? 0 : committed ? b->commit_lsn : b->last_lsn;
	jr_batch_unref(b);
	return lsn;
}

static void lose(struct sim *s, int node, const struct simdisk_op *op)
{
	struct simdisk *disk = s->node[node].disk;

	bool counted = s->damage_counts;

	note(s, node, op->file, op->offset, simdisk_bytes(disk, op->file, NULL) + op->offset,
	     op->buffer, op->bytes);
	if (op->file != 0)
		s->lost_lsn = lsn_in(s, op, false);
	else if (op->buffer[offsetof(struct jr_entry_disk, kind)] == JR_KIND_BATCH)
		s->damage_counts = counted; /* what it names is there, and must be found */
}

/* A place for so many bytes. The ring takes single pages: of several, the one that begins the journal anew may be among them. */
static uint32_t some_place(struct sim *s, struct simdisk *disk, uint32_t bytes, uint64_t *ret_at)
{
	bool single = bytes == PAGE_BYTES;
	uint32_t file = single ? some_file(s) : (uint32_t)sim_between(s, 1, s->swarm.segments);
	uint64_t size;

	simdisk_bytes(disk, file, &size);
	*ret_at = sim_below(s, (size - bytes) / PAGE_BYTES + 1) * PAGE_BYTES;
	return file;
}

static void misdirect(struct sim *s, int node, const struct simdisk_op *op)
{
	struct simdisk *disk = s->node[node].disk;
	uint64_t at;
	uint32_t to = some_place(s, disk, op->bytes, &at);
	bool on_itself =
		to == op->file && at < op->offset + op->bytes && at + op->bytes > op->offset;
	bool on_state = op->bytes == PAGE_BYTES && sim_chance(s, 150) &&
			sim_state_take(s, node, op->buffer);

	lose(s, node, op);
	if (on_itself || on_state) {
		simdisk_lose_write(disk, UINT32_MAX, 0);
		return;
	}
	note(s, node, to, at, op->buffer, simdisk_bytes(disk, to, NULL) + at, op->bytes);
	simdisk_misdirect_write(disk, UINT32_MAX, 0, to, at);
}

/* LMDB's next flush, which leaves its other head page alone, refers to all that this one wrote. */
void sim_damage_flush(struct sim *s, int node)
{
	struct sim_node *n = &s->node[node];
	uint8_t nothing = 0;

	simstore_free(n->before);
	n->before = NULL;
	if (!n->lose_flush || !may_damage(s, node))
		return;
	n->lose_flush = false;
	n->before = simstore_copy(n->store);
	note(s, node, 0, 0, &nothing, &nothing, 0);
	s->store_harmed++;
	sim_struck(s, SIM_FAULT_STORE_LOST);
}

/* The other serves, and will copy what it has. */
void sim_damage_store(struct sim *s, int node)
{
	struct sim_node *n = &s->node[node];

	if (!n->rot_store || s->healing || s->damaged || s->quarantined ||
	    sim_active(s) != 3 - node)
		return;
	n->rot_store = false;
	simstore_free(n->store);
	n->store = simstore_new();
	n->store_moved = true;
	s->store_harmed++;
	sim_struck(s, SIM_FAULT_STORE_UNREADABLE);
	sim_note(s, "node %d: its store cannot be opened, and is moved away", node);
}

bool sim_damage_by_state(struct sim *s, int node, const uint8_t *p)
{
	struct simdisk *disk = s->node[node].disk;
	uint64_t at;
	uint32_t file;

	if (!may_damage(s, node))
		return false;
	file = some_place(s, disk, HA_STATE_BYTES, &at);
	note(s, node, file, at, p, simdisk_bytes(disk, file, NULL) + at, HA_STATE_BYTES);
	memcpy(simdisk_bytes(disk, file, NULL) + at, p, HA_STATE_BYTES);
	s->harmed++;
	sim_note(s, "node %d: its state lands in file %u at %llu", node, file,
		 (unsigned long long)at);
	return true;
}

static void power_back(struct sim *s, struct sim_event *e)
{
	if (!s->healing)
		s->held[e->a] = false;
}

static void power_fails(struct sim *s, struct sim_event *e)
{
	int other = 3 - (int)e->a;

	if (s->healing || s->damaged != (int)e->a || s->held[other])
		return;
	sim_node_crash(s, 1, "power lost");
	sim_node_crash(s, 2, "power lost");
	s->held[other] = true;
	sim_after(s, sim_between(s, 0, 3000) * SIM_US_MS, 0, power_back)->a = (uint64_t)other;
}

/* The loss of a write was a secret until this one, of the same node, was done. */
static void told_by(struct sim *s, int node, const struct simdisk_op *op)
{
	s->lost_lsn = 0;
	if (op->file != 0 && !s->healing && sim_chance(s, 500))
		sim_after(s, 0, 0, power_fails)->a = (uint64_t)node;
}

/* Does that harm, ordered for a write, come with this operation? Rot and what cannot be read come with any. */
static bool is_struck(const struct simdisk_op *op, enum sim_harm harm)
{
	switch (harm) {
	case SIM_HARM_LOSE:
	case SIM_HARM_MISDIRECT:
		return op->write && op->file != 0 && !op->append;
	case SIM_HARM_LOSE_RING:
	case SIM_HARM_MISDIRECT_RING:
		return op->write && op->file == 0;
	default:
		return true;
	}
}

static const enum sim_fault_kind fault_of[] = {
	[SIM_HARM_ROT] = SIM_FAULT_JOURNAL_ROT,
	[SIM_HARM_UNREADABLE] = SIM_FAULT_JOURNAL_UNREADABLE,
	[SIM_HARM_LOSE] = SIM_FAULT_JOURNAL_LOST,
	[SIM_HARM_MISDIRECT] = SIM_FAULT_JOURNAL_MISDIRECTED,
	[SIM_HARM_LOSE_RING] = SIM_FAULT_RING_LOST,
	[SIM_HARM_MISDIRECT_RING] = SIM_FAULT_RING_MISDIRECTED,
};

void sim_damage_now(struct sim *s, int node, unsigned i)
{
	struct sim_node *n = &s->node[node];
	const struct simdisk_op *op = simdisk_op_at(n->disk, i);
	enum sim_harm harm = n->harm;
	bool comes = harm != SIM_HARM_NONE && is_struck(op, harm) && may_damage(s, node);
	bool reaches = !comes || harm == SIM_HARM_ROT || harm == SIM_HARM_UNREADABLE;

	if (s->damaged == node && s->lost_lsn && reaches && op->write && !op->append &&
	    lsn_in(s, op, true) >= s->lost_lsn)
		told_by(s, node, op);
	if (!comes)
		return;
	n->harm = SIM_HARM_NONE;
	switch (harm) {
	case SIM_HARM_ROT:
		rot(s, node);
		break;
	case SIM_HARM_UNREADABLE:
		unreadable(s, node);
		break;
	case SIM_HARM_LOSE:
	case SIM_HARM_LOSE_RING:
		lose(s, node, op);
		simdisk_lose_write(n->disk, UINT32_MAX, 0);
		break;
	case SIM_HARM_MISDIRECT:
	case SIM_HARM_MISDIRECT_RING:
		misdirect(s, node, op);
		break;
	case SIM_HARM_NONE:
		break;
	}
	s->harmed++;
	sim_struck(s, fault_of[harm]);
	sim_note(s, "node %d: damage in file %u at %llu", node, s->damage[s->damage_count - 1].file,
		 (unsigned long long)s->damage[s->damage_count - 1].at);
}

void sim_damage_forget(struct sim *s)
{
	while (s->damage_count > 0) {
		struct sim_damage *d = &s->damage[--s->damage_count];

		free(d->is);
		free(d->was);
	}
	if (s->damaged) {
		simstore_free(s->node[s->damaged].before);
		s->node[s->damaged].before = NULL;
	}
	s->damaged = 0;
	s->damage_counts = false;
	s->lost_lsn = 0;
	s->damage_round++;
}

void sim_damage_undo(struct sim *s)
{
	struct simdisk *disk = s->damaged ? s->node[s->damaged].disk : NULL;

	for (unsigned i = s->damage_count; disk && i > 0; i--) {
		const struct sim_damage *d = &s->damage[i - 1];
		uint8_t *p = simdisk_bytes(disk, d->file, NULL) + d->at;

		if (memcmp(p, d->is, d->bytes) == 0)
			memcpy(p, d->was, d->bytes);
	}
	if (disk) {
		simdisk_unreadable(disk, 0, 0, 0);
		for (uint32_t i = 1; i <= s->swarm.segments; i++)
			simdisk_unreadable(disk, i, 0, 0);
	}
	sim_damage_forget(s);
}
