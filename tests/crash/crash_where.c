/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a sector was part of before it was damaged: as the format of the journal has it, read from the files. */
#include "tests/crash/crash.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "journal/core/format.h"
#include "lun/label.h"

static const struct {
	const char *name, *why;
} wheres[CRASH_WHERES] = {
	[CRASH_BATCH_NEEDED] = {"batch that the store lacks", "must be noticed"},
	[CRASH_BATCH_STORED] = {"batch that the store has", "must be noticed"},
	[CRASH_BATCH_UNNAMED] = {"batch behind the newest ring entry",
				 "what a crash leaves that came before the disk's answer"},
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
	struct jr_entry head;
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
		if (jr_slot_judge(page, &e, &bad) != JR_SLOT_ENTRY || e.seq <= j->head.seq)
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

/* From the first batch that is kept to the last one, as recovery goes. */
static enum crash_where in_segment(const struct journal *j, unsigned file, uint64_t page,
				   uint64_t store_lsn)
{
	const uint64_t per = CRASH_SEGMENT_BYTES / JR_PAGE_BYTES;
	uint64_t at = j->head.start_page, lsn = j->head.start_lsn;
	struct jr_header h;

	while (next_batch(j, &at, lsn, &h)) {
		uint64_t pages = h.image_bytes / JR_PAGE_BYTES;

		if (1 + at / per % CRASH_SEGMENTS == file && page >= at % per &&
		    page < at % per + pages)
			return h.first_lsn > j->head.tail_lsn ? CRASH_BATCH_UNNAMED
			       : h.last_lsn <= store_lsn      ? CRASH_BATCH_STORED
							      : CRASH_BATCH_NEEDED;
		at += pages;
		lsn = h.last_lsn + 1;
	}
	return CRASH_DATA_UNUSED;
}

static enum crash_where sector_at(const struct journal *j, const struct crash_damage *d,
				  uint64_t sector, uint64_t store_lsn)
{
	uint64_t page = sector / JR_PAGE_SECTORS;

	switch (d->file) {
	case CRASH_FILE_STATE:
		return CRASH_STATE_COPY;
	case CRASH_FILE_LUN:
		return page < 2 ? CRASH_ARBITER_COPY : CRASH_FLOOR_COPY;
	case CRASH_FILE_RING:
		return in_ring(j, page);
	default:
		return in_segment(j, d->file, page, store_lsn);
	}
}

enum crash_where crash_where(const char *dir, const struct crash_damage *d, uint64_t store_lsn)
{
	struct journal j = {.dir = dir, .node = d->node};
	enum crash_where one, two;

	if (d->file < CRASH_FILE_STATE)
		look_at_ring(&j);
	one = sector_at(&j, d, d->sector, store_lsn);
	if (d->kind != CRASH_SWAPPED)
		return one;
	/* Both are others now: the one that matters more. */
	two = sector_at(&j, d, crash_damage_other(d), store_lsn);
	return two < one ? two : one;
}
