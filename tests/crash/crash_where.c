/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a sector was part of before it was damaged: as the format of the journal has it, read from the files. */
#include "tests/crash/crash.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "ha/core/ha.h"
#include "journal/core/format.h"
#include "lun/label.h"

static const struct {
	const char *name, *why;
} wheres[CRASH_WHERES] = {
	[CRASH_BATCH_NEEDED] = {"batch that the store lacks", "must be noticed"},
	[CRASH_BATCH_STORED] = {"batch that the store has", "must be noticed"},
	[CRASH_BATCH_UNNAMED] =
		{"batch behind the newest ring entry",
		 "must be noticed, unless it is what a crash during the write leaves"},
	[CRASH_RING_NEWEST] = {"newest ring entry", "one of eight copies; one is enough"},
	[CRASH_RING_OLDER] = {"older ring entry", "the newest one says all that it says"},
	[CRASH_RING_UNUSED] = {"ring slot never used", "holds nothing"},
	[CRASH_DATA_UNUSED] =
		{"page of a segment not in use",
		 "no batch of the journal lies there; written anew before it is read"},
	[CRASH_STATE_COPY] = {"state, one of four copies", "three agree; it is written anew"},
	[CRASH_ARBITER_COPY] = {"arbiter record, one of two copies",
				"the other one stands; written anew by the next change"},
	[CRASH_FLOOR_COPY] = {"floor, one of two copies", "the other one stands"},
};

const char *crash_where_name(enum crash_where w)
{
	return wheres[w].name;
}

const char *crash_where_why(enum crash_where w)
{
	return wheres[w].why;
}

struct journal {
	const char *dir;
	int node;
	uint64_t store_lsn;
	struct jr_entry head;
	uint64_t tail[CRASH_RING_SLOTS]; /* that the entry names */
	bool used[CRASH_RING_SLOTS];
	uint32_t newest;
};

static bool read_page(const struct journal *j, unsigned file, uint64_t page,
		      uint8_t out[JR_PAGE_BYTES])
{
	char path[512];
	ssize_t n = -1;
	int fd;

	snprintf(path, sizeof(path), "%s/n%d/%s", j->dir, j->node, crash_file_name(file));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = pread(fd, out, JR_PAGE_BYTES, (off_t)page * JR_PAGE_BYTES);
	close(fd);
	return n == JR_PAGE_BYTES;
}

static void look_at_ring(struct journal *j)
{
	uint8_t page[JR_PAGE_BYTES];
	struct jr_entry e;
	uint32_t bad;

	for (uint32_t i = 0; i < CRASH_RING_SLOTS; i++) {
		if (!read_page(j, CRASH_FILE_RING, i, page))
			continue;
		j->used[i] = !jr_is_zero(page, sizeof(page));
		if (jr_slot_judge(page, &e, &bad) != JR_SLOT_ENTRY)
			continue;
		j->tail[i] = e.tail_lsn;
		if (e.seq <= j->head.seq)
			continue;
		j->head = e;
		j->newest = i;
	}
}

static enum crash_where in_ring(const struct journal *j, uint64_t slot)
{
	return slot == j->newest ? CRASH_RING_NEWEST
	       : j->used[slot]	 ? CRASH_RING_OLDER
				 : CRASH_RING_UNUSED;
}

/* Of the batch that begins with this LSN: at this page, or at the beginning of the next segment. */
static bool next_batch(const struct journal *j, uint64_t *page, uint64_t lsn, struct jr_header *ret)
{
	const uint64_t in_segment = CRASH_SEGMENT_BYTES / JR_PAGE_BYTES;
	uint8_t at[JR_PAGE_BYTES];

	for (int turn = 0; turn < 2; turn++) {
		unsigned file = 1 + (unsigned)(*page / in_segment % CRASH_SEGMENTS);

		if (read_page(j, file, *page % in_segment, at) && !jr_header_peek(at, ret) &&
		    ret->first_lsn == lsn)
			return true;
		*page = (*page + in_segment - 1) / in_segment * in_segment;
	}
	return false;
}

struct place {
	struct jr_header h;
	enum crash_where where;
	unsigned file;
	uint64_t page, pages; /* in the file */
};

struct walk {
	uint64_t page, lsn;
};

static struct walk walk_begin(const struct journal *j)
{
	return (struct walk){j->head.start_page, j->head.start_lsn};
}

/* From the first batch that is kept to the last one, as recovery goes. */
static bool walk_next(const struct journal *j, struct walk *w, struct place *ret)
{
	const uint64_t per = CRASH_SEGMENT_BYTES / JR_PAGE_BYTES;

	if (!next_batch(j, &w->page, w->lsn, &ret->h))
		return false;
	ret->pages = ret->h.image_bytes / JR_PAGE_BYTES;
	ret->file = 1 + (unsigned)(w->page / per % CRASH_SEGMENTS);
	ret->page = w->page % per;
	ret->where = ret->h.first_lsn > j->head.tail_lsn ? CRASH_BATCH_UNNAMED
		     : ret->h.last_lsn <= j->store_lsn	 ? CRASH_BATCH_STORED
							 : CRASH_BATCH_NEEDED;
	w->page += ret->pages;
	w->lsn = ret->h.last_lsn + 1;
	return true;
}

static enum crash_where in_segment(const struct journal *j, unsigned file, uint64_t sector,
				   struct crash_struck *ret, unsigned half)
{
	struct walk w = walk_begin(j);
	uint64_t page = sector / JR_PAGE_SECTORS;
	struct place p;

	while (walk_next(j, &w, &p)) {
		if (p.file != file || page < p.page || page >= p.page + p.pages)
			continue;
		ret->half[half].unnamed = p.where == CRASH_BATCH_UNNAMED;
		ret->half[half].epoch = p.h.epoch;
		ret->half[half].first_lsn = p.h.first_lsn;
		ret->half[half].index = (uint32_t)(sector - p.page * JR_PAGE_SECTORS);
		return p.where;
	}
	return CRASH_DATA_UNUSED;
}

static enum crash_where sector_at(const struct journal *j, const struct crash_damage *d,
				  uint64_t sector, struct crash_struck *ret, unsigned half)
{
	uint64_t page = sector / JR_PAGE_SECTORS;

	ret->half[half].sector = sector;
	switch (d->file) {
	case CRASH_FILE_STATE:
		return CRASH_STATE_COPY;
	case CRASH_FILE_LUN:
		return page < 2 ? CRASH_ARBITER_COPY : CRASH_FLOOR_COPY;
	case CRASH_FILE_RING:
		return in_ring(j, page);
	default:
		return in_segment(j, d->file, sector, ret, half);
	}
}

/* Which LSN was committed, as the batches say that were not struck. */
static uint64_t told_by_others(const struct journal *j, const struct crash_struck *s)
{
	struct walk w = walk_begin(j);
	uint64_t told = 0;
	struct place p;

	while (walk_next(j, &w, &p))
		if (p.h.first_lsn != s->half[0].first_lsn &&
		    p.h.first_lsn != s->half[1].first_lsn && p.h.commit_lsn > told)
			told = p.h.commit_lsn;
	return told;
}

void crash_where(const char *dir, const struct crash_damage *d, uint64_t store_lsn,
		 struct crash_struck *ret)
{
	struct journal j = {.dir = dir, .node = d->node, .store_lsn = store_lsn};
	enum crash_where other;

	*ret = (struct crash_struck){0};
	if (d->file < CRASH_FILE_STATE)
		look_at_ring(&j);
	ret->where = sector_at(&j, d, d->sector, ret, 0);
	if (d->kind == CRASH_SWAPPED) { /* both are others now: the one that matters more */
		other = sector_at(&j, d, crash_damage_other(d), ret, 1);
		ret->where = other < ret->where ? other : ret->where;
	}
	if (ret->where == CRASH_BATCH_UNNAMED)
		ret->told_lsn = told_by_others(&j, ret);
}

static uint64_t floor_lsn(const char *dir)
{
	uint64_t lsn = 0;

	for (unsigned copy = 0; copy < 2; copy++) {
		uint8_t block[LUN_BLOCK_BYTES];
		uint64_t epoch, is;
		char path[512];
		int fd;

		snprintf(path, sizeof(path), "%s/lun", dir);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (pread(fd, block, sizeof(block),
			  (off_t)(LUN_FLOOR_BLOCK + copy) * LUN_BLOCK_BYTES) == sizeof(block) &&
		    !ha_floor_decode(block, block + 16, &epoch, &is) && is > lsn)
			lsn = is;
		close(fd);
	}
	return lsn;
}

uint64_t crash_where_untold(const char *dir, const struct crash_damage *d,
			    const struct crash_struck *s)
{
	uint64_t first = 0, told;

	if (s->where != CRASH_BATCH_UNNAMED)
		return 0;
	for (unsigned i = 0; i < 2; i++) {
		struct crash_damage at = *d;
		uint8_t is[JR_SECTOR_BYTES];

		if (!s->half[i].unnamed)
			continue;
		at.sector = s->half[i].sector;
		crash_damage_keep(dir, &at, is);
		if (jr_sector_judge(is, s->half[i].epoch, s->half[i].first_lsn, s->half[i].index) !=
		    JR_SECTOR_OLD)
			return 0;
		if (!first || s->half[i].first_lsn < first)
			first = s->half[i].first_lsn;
	}
	told = floor_lsn(dir);
	if (s->told_lsn > told)
		told = s->told_lsn;
	return told >= first ? 0 : first;
}

void crash_where_fresh(const char *dir, int node, uint64_t store_lsn, struct crash_fresh *ret)
{
	struct journal j = {.dir = dir, .node = node, .store_lsn = store_lsn};
	struct walk w;
	struct place p;

	*ret = (struct crash_fresh){0};
	look_at_ring(&j);
	for (unsigned i = 0; i < CRASH_RING_SLOTS; i++)
		if (j.tail[i] > store_lsn)
			ret->pages[CRASH_FILE_RING] |= UINT64_C(1) << i;
	w = walk_begin(&j);
	while (walk_next(&j, &w, &p)) {
		if (p.where == CRASH_BATCH_STORED)
			continue;
		ret->pages[p.file] |= ((UINT64_C(1) << p.pages) - 1) << p.page;
		ret->named += p.where == CRASH_BATCH_NEEDED;
		ret->unnamed += p.where == CRASH_BATCH_UNNAMED;
	}
}
