/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * At the end of a seed: what stands on both virtual disks, read by the journal core as a tool reads it, from the first batch to the
 * last. Every batch is whole, and at the last LSN that both have, and before it, the hash is the same (I11).
 */
#include "journal/core/format.h"
#include "tests/sim/sim_node.h"
#include "tests/sim/simdisk.h"

#include <errno.h>
#include <string.h>

static void perform(struct simdisk *disk, struct jr *jr)
{
	struct jr_io io;

	while (jr_next_io(jr, &io)) {
		uint64_t size;
		uint8_t *p = simdisk_bytes(disk, io.file, &size);

		if (io.write || io.offset + io.bytes > size) {
			jr_io_done(jr, io.tag, -EROFS);
			continue;
		}
		memcpy(io.buffer, p + io.offset, io.bytes);
		jr_io_done(jr, io.tag, 0);
	}
}

/* What recovery only notes is no damage of a batch: an entry of the ring that is missing behind what is there. */
static bool is_whole(struct sim *s, int node, struct jr *jr, enum jr_event_type until)
{
	bool ended = false;
	struct jr_event ev;

	perform(s->node[node].disk, jr);
	while (jr_next_event(jr, &ev)) {
		bool bad = ev.type == JR_EV_DAMAGE && until == JR_EV_VERIFIED;

		ended |= ev.type == until;
		if (bad || (ev.type == JR_EV_OPENED && ev.verdict != JR_CLEAN))
			sim_fail(s, "journal", "node %d: LSN %llu in the end: %s", node,
				 (unsigned long long)ev.lsn, ev.why);
	}
	if (!ended)
		sim_fail(s, "journal", "node %d: its journal cannot be read to its end", node);
	return ended && !s->violation;
}

static struct jr *read_journal(struct sim *s, int node)
{
	struct jr_config config;
	struct jr *jr;

	sim_journal_config(s, &config);
	config.look_only = true;
	jr = jr_new(&config);
	jr_open(jr);
	if (is_whole(s, node, jr, JR_EV_OPENED)) {
		jr_verify(jr, jr_first_lsn(jr));
		is_whole(s, node, jr, JR_EV_VERIFIED);
	}
	return jr;
}

/* Where a full copy began, more epochs ago than a history holds, the journal knows the hash and no epoch: 0. */
static bool is_base(const struct jr *jr, uint64_t lsn, uint64_t epoch)
{
	return epoch == 0 && lsn + 1 == jr_first_lsn(jr);
}

/* What both say of the batch that ends at or before lsn; *ret_end_lsn is where. Behind a full copy a journal is empty, but knows its beginning. */
static bool is_same(struct sim *s, struct jr *a, struct jr *b, uint64_t lsn, uint64_t *ret_end_lsn)
{
	uint64_t end[2] = {0}, epoch[2];
	struct pr_hash hash[2];

	if (jr_hash_at(a, lsn, &end[0], &epoch[0], &hash[0]) < 0 ||
	    jr_hash_at(b, lsn, &end[1], &epoch[1], &hash[1]) < 0)
		sim_fail(s, "journal", "one of two journals that are whole lacks LSN %llu",
			 (unsigned long long)lsn);
	else if (end[0] != end[1] || !pr_hash_equal(&hash[0], &hash[1]) ||
		 (epoch[0] != epoch[1] && !is_base(a, end[0], epoch[0]) &&
		  !is_base(b, end[1], epoch[1])))
		sim_fail(
			s, "I11",
			"the journals differ at LSN %llu: one has a batch to %llu of epoch %llu, the other to %llu of %llu",
			(unsigned long long)lsn, (unsigned long long)end[0],
			(unsigned long long)epoch[0], (unsigned long long)end[1],
			(unsigned long long)epoch[1]);
	*ret_end_lsn = end[0];
	return !s->violation;
}

/* From the last LSN that both have down to the first. */
static void compare(struct sim *s, struct jr *a, struct jr *b)
{
	uint64_t lsn = jr_tail_lsn(a) < jr_tail_lsn(b) ? jr_tail_lsn(a) : jr_tail_lsn(b);
	uint64_t first = jr_first_lsn(a) > jr_first_lsn(b) ? jr_first_lsn(a) : jr_first_lsn(b);
	uint64_t compared = 0, end;

	while (lsn + 1 >= first && is_same(s, a, b, lsn, &end)) {
		compared++;
		if (end == 0)
			break;
		lsn = end - 1;
	}
	s->hashes += compared;
	if (!s->violation && compared == 0)
		sim_fail(s, "journal", "one ends at LSN %llu, the other begins at %llu",
			 (unsigned long long)lsn, (unsigned long long)first);
}

/* Of a controller that was taken away, or is on a failed disk, nobody has heard since: only what comes back is compared. */
void sim_journal_check_end(struct sim *s)
{
	struct jr *jr[SIM_NODES + 1] = {NULL};

	for (int n = 1; n <= SIM_NODES; n++)
		if (s->node[n].up && s->damaged != n && s->quarantined != n && !s->violation)
			jr[n] = read_journal(s, n);
	if (jr[1] && jr[2] && !s->violation && s->arbiter.members == 3)
		compare(s, jr[1], jr[2]);
	jr_free(jr[1]);
	jr_free(jr[2]);
}
