/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The shared LUN and what the committed rows say of its blocks. A block holds a stamp: which file's block was written there, and by
 * which write. Writes land late, dead or alive, unless their session was fenced first; what was not flushed may be lost. Where a
 * write lands must be where the committed rows have that block of that file, or what was freed and still rests.
 */
#include "tests/sim/sim.h"
#include "tests/sim/simstore.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LUN_TEXT "lun1 00000000-0000-4000-8000-0000000000bb"

const char *sim_lun_volume_create(const struct sim *s, char out[200])
{
	snprintf(out, 200,
		 "volume-create vol1 00000000-0000-4000-8000-0000000000aa " LUN_TEXT " %u %u -",
		 s->swarm.lun_blocks, (unsigned int)SIM_LUN_FIRST);
	return out;
}

void sim_lun_new(struct sim *s)
{
	s->lun = calloc(s->swarm.lun_blocks, sizeof(*s->lun));
	s->rows = simstore_new();
}

void sim_lun_free(struct sim *s)
{
	free(s->lun);
	free(s->files);
	free(s->block_ops);
	simstore_free(s->rows);
}

/* ---- what the rows say ---- */

struct claim {
	enum sim_owner what;
	uint64_t ino, file_block, lun_block, blocks;
};

/* What a row says of blocks; false: nothing. */
static bool claim_of(const uint8_t *k, size_t len, const uint8_t *value, size_t bytes,
		     struct claim *ret)
{
	uint64_t ino, at;
	uint16_t volume, lun;

	if (pr_key_parse_map(k, len, &volume, &ino, &at) == 0) {
		struct pr_row_map row;

		if (pr_row_map_decode(&row, value, bytes) < 0)
			return false;
		*ret = (struct claim){SIM_OWNER_FILE, ino, at, row.lun_block, row.blocks};
		return true;
	}
	if (pr_key_parse_space(k, len, &volume, &lun, &at) == 0) {
		struct pr_row_space row;

		if (pr_row_space_decode(&row, value, bytes) < 0)
			return false;
		*ret = (struct claim){SIM_OWNER_FREE, 0, 0, at, row.blocks};
		return true;
	}
	if (pr_key_parse_rest(k, len, &volume, &at) == 0) {
		struct pr_row_rest row;

		if (pr_row_rest_decode(&row, value, bytes) < 0)
			return false;
		*ret = (struct claim){SIM_OWNER_RESTS, row.ino, 0, row.lun_block, row.blocks};
		return true;
	}
	return false;
}

static void claim_set(struct sim *s, const struct claim *c, bool on, uint64_t lsn)
{
	for (uint64_t i = 0; i < c->blocks; i++) {
		uint64_t at = c->lun_block + i;
		struct sim_block *b = &s->lun[at < s->swarm.lun_blocks ? at : 0];

		if (at >= s->swarm.lun_blocks || at < SIM_LUN_FIRST || (on && b->owner)) {
			sim_fail(s, "I10",
				 "LSN %llu: block %llu is given to inode %llu, it %s %llu",
				 (unsigned long long)lsn, (unsigned long long)at,
				 (unsigned long long)c->ino,
				 b->owner == SIM_OWNER_FILE ? "belongs to inode"
							    : "is free, rests or is no block",
				 (unsigned long long)b->owner_ino);
			return;
		}
		b->owner = on ? c->what : SIM_OWNER_NONE;
		b->owner_ino = on ? c->ino : 0;
		b->owner_block = on ? c->file_block + i : 0;
	}
}

/* A committed record's changes: first what they take away, then what they put. */
void sim_lun_record(struct sim *s, const struct pr_record *rec)
{
	struct pr_list list = rec->changes;
	struct pr_change change;
	struct claim claim;
	struct pr_key key;

	while (pr_change_next(&list, &change)) {
		const struct ctl_row *old;

		if (pr_key_from_bytes(&key, change.key.p, change.key.len) < 0) {
			sim_fail(s, "record", "LSN %llu: not a key", (unsigned long long)rec->lsn);
			return;
		}
		old = simstore_find(s->rows, &key);
		if (old && claim_of(key.b, key.len, old->value, old->bytes, &claim))
			claim_set(s, &claim, false, rec->lsn);
		simstore_put(s->rows, &key, NULL, 0);
	}
	list = rec->changes;
	while (pr_change_next(&list, &change)) {
		if (change.op != PR_CHANGE_PUT ||
		    pr_key_from_bytes(&key, change.key.p, change.key.len) < 0)
			continue;
		if (claim_of(key.b, key.len, change.value.p, change.value.len, &claim))
			claim_set(s, &claim, true, rec->lsn);
		simstore_put(s->rows, &key, change.value.p, change.value.len);
	}
	simstore_set_lsn(s->rows, rec->lsn);
}

/* At rest each block is in one row. */
void sim_lun_check_end(struct sim *s)
{
	for (uint32_t i = SIM_LUN_FIRST; i < s->swarm.lun_blocks; i++)
		if (s->lun[i].owner == SIM_OWNER_NONE)
			sim_fail(s, "space", "block %u is in no row", i);
	sim_blocks_check(s);
}

/* ---- what is written ---- */

bool sim_lun_fenced(const struct sim *s, uint64_t session)
{
	return session < SIM_SESSIONS_MAX && s->fenced[session];
}

static uint64_t reg_of(struct sim *s, uint64_t ino, uint64_t at);

int sim_lun_write(struct sim *s, uint64_t session, uint64_t at, uint64_t ino, uint64_t file_block,
		  uint64_t stamp)
{
	struct sim_block *b = &s->lun[at];

	if (sim_lun_fenced(s, session)) {
		s->lun_refused++;
		return -EBUSY;
	}
	if (b->owner != SIM_OWNER_RESTS &&
	    (b->owner != SIM_OWNER_FILE || b->owner_ino != ino || b->owner_block != file_block)) {
		sim_fail(
			s, "I10",
			"session %llu writes block %llu of inode %llu to LUN block %llu, which %s inode %llu",
			(unsigned long long)session, (unsigned long long)file_block,
			(unsigned long long)ino, (unsigned long long)at,
			b->owner == SIM_OWNER_FILE ? "belongs to" : "is free; not of",
			(unsigned long long)(b->owner == SIM_OWNER_FILE ? b->owner_ino : ino));
		return -EIO;
	}
	b->now = (struct sim_stamp){ino, file_block, stamp};
	sim_mix(s, at);
	sim_mix_bytes(s, &b->now, sizeof(b->now));
	b->dirty = true;
	s->lun_writes++;
	sim_blocks_written(s, reg_of(s, ino, file_block), ino, file_block, stamp);
	return 0;
}

void sim_lun_flush(struct sim *s)
{
	for (uint32_t i = SIM_LUN_FIRST; i < s->swarm.lun_blocks; i++) {
		if (!s->lun[i].dirty)
			continue;
		s->lun[i].durable = s->lun[i].now;
		s->lun[i].dirty = false;
	}
}

/* Its power failed: what it had in its cache is there or not. */
void sim_lun_lose_cache(struct sim *s)
{
	s->lun_power++;
	for (uint32_t i = SIM_LUN_FIRST; i < s->swarm.lun_blocks; i++) {
		struct sim_block *b = &s->lun[i];

		if (!b->dirty)
			continue;
		if (sim_chance(s, 500)) {
			sim_blocks_lost(s, b->now.ino, b->now.at, b->durable.stamp);
			b->now = b->durable;
		} else
			b->durable = b->now;
		b->dirty = false;
	}
}

void sim_lun_fence(struct sim *s, uint64_t session)
{
	if (session < SIM_SESSIONS_MAX)
		s->fenced[session] = true;
	s->client_fences++;
}

/* ---- what a file's blocks must hold ---- */

static struct sim_file_block *file_block(struct sim *s, uint64_t ino, uint64_t at)
{
	size_t mask, i;

	if (2 * s->file_count >= s->file_cap) {
		struct sim_file_block *old = s->files;
		size_t cap = s->file_cap;

		s->file_cap = cap ? 2 * cap : 1024;
		s->files = calloc(s->file_cap, sizeof(*s->files));
		s->file_count = 0;
		for (size_t k = 0; k < cap; k++)
			if (old[k].ino)
				*file_block(s, old[k].ino, old[k].at) = old[k];
		free(old);
	}
	mask = s->file_cap - 1;
	i = (ino * UINT64_C(0x9e3779b97f4a7c15) + at * 31) & mask;
	while (s->files[i].ino && (s->files[i].ino != ino || s->files[i].at != at))
		i = (i + 1) & mask;
	if (!s->files[i].ino) {
		s->files[i] = (struct sim_file_block){.ino = ino, .at = at, .reg = ++s->next_reg};
		s->file_count++;
	}
	return &s->files[i];
}

static uint64_t reg_of(struct sim *s, uint64_t ino, uint64_t at)
{
	return file_block(s, ino, at)->reg;
}

void sim_file_written(struct sim *s, uint64_t ino, uint64_t from, uint64_t blocks, uint64_t stamp)
{
	for (uint64_t i = from; i < from + blocks; i++) {
		struct sim_file_block *b = file_block(s, ino, i);

		if (stamp > b->acked)
			b->acked = stamp;
		sim_blocks_committed(s, ino, i, stamp);
	}
}

/* From here on it ends there: what was behind is gone, whatever its blocks hold. */
void sim_file_cut(struct sim *s, uint64_t ino, uint64_t size)
{
	for (uint64_t i = (size + 4095) / 4096; i < SIM_FILE_BLOCKS; i++) {
		struct sim_file_block *b = file_block(s, ino, i);

		b->acked = 0;
		b->cut = s->stamp;
		b->reg = ++s->next_reg;
	}
}

/* lun_block 0: a hole, or not written yet, which reads as zeros. */
void sim_file_read(struct sim *s, uint64_t ino, uint64_t at, uint64_t lun_block)
{
	const struct sim_stamp *is = &s->lun[lun_block].now;
	struct sim_file_block *b = file_block(s, ino, at);

	s->lun_reads++;
	sim_blocks_read(s, b->reg, ino, at, lun_block ? is->stamp : 0);
	if (lun_block == 0 || is->stamp == 0) {
		if (b->acked)
			sim_fail(
				s, "data",
				"block %llu of inode %llu reads as zeros, write %llu was committed",
				(unsigned long long)at, (unsigned long long)ino,
				(unsigned long long)b->acked);
		return;
	}
	if (is->ino != ino || is->at != at)
		sim_fail(
			s, "data",
			"block %llu of inode %llu reads what was written to block %llu of inode %llu",
			(unsigned long long)at, (unsigned long long)ino, (unsigned long long)is->at,
			(unsigned long long)is->ino);
	else if (is->stamp < b->acked || is->stamp <= b->cut)
		sim_fail(
			s, "data",
			"block %llu of inode %llu reads write %llu; committed was %llu, cut off all up to %llu",
			(unsigned long long)at, (unsigned long long)ino,
			(unsigned long long)is->stamp, (unsigned long long)b->acked,
			(unsigned long long)b->cut);
}
