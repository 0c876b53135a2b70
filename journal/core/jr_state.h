/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The inside of struct jr, shared by the files of this folder only: positions, what is in flight,
 * the one job that reads or rewrites (recovery, fetch, verify, cut, reset, repair), the queue of
 * I/O and of events.
 */
#pragma once
#include "journal/core/format.h"
#include "journal/core/jr.h"
#include "journal/core/jr_index.h"
#include "journal/core/jr_verdict.h"

enum {
	JR_IN_FLIGHT_MAX = 16,
	JR_CACHE_BATCHES = 256,
	JR_CACHE_BYTES = 8 << 20,
	JR_EVENTS = 256,
	JR_EVENTS_SPARE = 64, /* kept free by jobs for APPENDED, FAILED and the like */
	JR_WINDOW_BYTES = JR_BATCH_BYTES_MAX,
	JR_READ_BYTES = 1 << 20,
	JR_ARCHIVE = 255,
	JR_NAME_EVERY = 16,  /* durable batches that no entry names yet: one is written unasked */
	JR_UNNAMED_MAX = 64, /* and no more are appended */
	JR_OPS_MAX = 2 * JR_IN_FLIGHT_MAX + 2, /* two for each flight, the entry's, the job's */
};

enum jr_life { JR_LIFE_NEW, JR_LIFE_OPENING, JR_LIFE_READY, JR_LIFE_HALTED, JR_LIFE_FAILED };
enum jr_job {
	JR_JOB_NONE,
	JR_JOB_OPEN,
	JR_JOB_FETCH,
	JR_JOB_VERIFY,
	JR_JOB_CUT,
	JR_JOB_RESET,
	JR_JOB_REPAIR
};

/* The last batch, or what the journal was begun after. */
struct jr_tail {
	uint64_t epoch, first_lsn, lsn;
	struct pr_hash prev_hash, hash;
	uint64_t page;
	uint32_t image_bytes; /* 0: none */
	uint64_t next_page;
};

/* A batch between jr_append and APPENDED. */
struct jr_flight {
	struct jr_batch *batch;
	struct jr_tail tail; /* the journal's, once this batch is durable */
	bool data_done,
		end_done; /* end_done: the zero page behind the last batch of the segment before */
};

struct jr_start {
	uint64_t page, lsn, epoch;
	struct pr_hash hash;
};

struct jr_op {
	struct jr_io io;
	bool busy;
};

/* What was last read: pages of the data, or of the ring. */
struct jr_window {
	uint8_t *p;
	bool ring, valid;
	uint64_t page;
	uint32_t pages;
	uint32_t retry; /* next page of a read that failed as a whole; UINT32_MAX: not retrying */
};

struct jr_found { /* a batch that the ring tells of */
	uint64_t epoch, first_lsn, last_lsn, page;
	struct pr_hash prev_hash, hash;
	uint32_t image_bytes;
};

/*
 * A look for a batch that no entry tells of: at the end of the one before, then at the next
 * segment's beginning.
 */
struct jr_probe {
	int step;
	enum jr_data data;
	uint64_t page;
	uint32_t sector;
	struct jr_header header; /* if data is WHOLE */
};

struct jr_recovery {
	int phase;
	uint32_t slot;		/* ring: next to read; empty: next segment to look at */
	struct jr_entry *slots; /* by seq % ring_slots; seq 0: none */
	uint8_t *states;	/* enum jr_slot, by place */
	struct jr_found *found;
	uint32_t found_count, entries, bad, foreign;
	struct jr_entry stranger, head;

	uint64_t lsn, page; /* the walk: the next batch's first_lsn, where */
	struct pr_hash prev;
	bool prev_known;
	struct jr_probe probe;
	uint64_t gap_scan; /* next page to look at behind damage; JR_NO_PAGE: not looking */
	uint32_t damaged;
	uint64_t damaged_first, damaged_last;
	uint64_t later; /* next page to look at behind the end */
	uint64_t missing_lsn;

	bool torn, settle, halt, empty;
	char why[120];
};

struct jr_fetch_wish {
	uint64_t lsn, cookie;
};

struct jr {
	struct jr_config cfg;
	uint32_t segment_pages;
	enum jr_life life;
	struct jr_tail tail, durable; /* with what is in flight, and without */
	struct jr_start start;
	uint64_t start_durable_page; /* what the disk says: segments before it may be written */
	uint64_t commit_lsn, released_lsn;
	uint64_t seq; /* of the last entry issued */
	struct {
		bool busy, wanted;
		uint64_t start_page; /* what the entry on its way says */
		uint32_t naming;     /* batches it is the first to name, or to follow */
	} entry;
	uint32_t unnamed; /* durable batches behind the one that the last durable entry names */
	struct jr_index index;

	struct jr_flight flights[JR_IN_FLIGHT_MAX];
	uint32_t flight_head, flight_count;

	struct jr_batch *cache[JR_CACHE_BATCHES];
	uint32_t cache_head, cache_count;
	uint64_t cache_bytes;

	struct jr_op ops[JR_OPS_MAX];
	uint32_t queue[JR_OPS_MAX];
	uint32_t queue_head, queue_count;
	uint8_t *entry_pages; /* one for the entry on its way, one for jobs, one of zeros */

	struct jr_event events[JR_EVENTS];
	uint32_t event_head, event_count;

	enum jr_job job;
	int step, mark_step;
	bool job_done; /* the job's I/O has ended, its step has not looked at it yet */
	struct jr_window window;
	uint8_t *flat;
	void *buffers;
	struct jr_recovery rec;

	struct jr_fetch_wish fetches[JR_FETCHES_MAX];
	uint32_t fetch_head, fetch_count;
	struct jr_batch *repairs[JR_REPAIRS_MAX];
	uint32_t repair_head, repair_count;
	bool verify_wanted;
	uint64_t verify_lsn, verify_good;
	bool verify_bad;
	bool cut_wanted, reset_wanted, foreign;
	uint64_t cut_lsn, blank_page, common_lsn;
	uint32_t cut_keep, cut_next, cut_upto; /* batches of the index; after a HALT, pages */
	struct jr_start reset_start;
};

/* jr.c */
void jr_post(struct jr *, const struct jr_event *);
uint32_t jr_event_room(const struct jr *);
void jr_fail(struct jr *, const struct jr_io *, int error);
void jr_entry_fill(const struct jr *, struct jr_entry *, enum jr_kind, uint64_t seq);
void jr_cache_drop(struct jr *, uint64_t lsn);
struct jr_batch *jr_cache_find(const struct jr *, uint64_t lsn);
uint64_t jr_batch_last(const struct jr *, uint32_t i);
void jr_damage(struct jr *, uint64_t lsn, uint64_t page, uint32_t sector, const char *why);
uint8_t *jr_job_page(struct jr *); /* one page for what a job writes */
/*
 * pages of the data (or the ring) from page on, in memory; NULL: being read, the step runs again
 * when they are here. Reads ahead, but not to limit. Unreadable pages come as bytes that no CRC
 * matches.
 */
const uint8_t *jr_window_get(struct jr *, bool ring, uint64_t page, uint32_t pages, uint64_t limit);
void jr_job_write(struct jr *, uint8_t file, uint64_t offset, uint8_t *buffer, uint32_t bytes);
/* True once after the write asked for has ended well. */
bool jr_job_written(struct jr *);

static inline uint64_t jr_page_offset(const struct jr *jr, uint64_t page)
{
	return page % jr->segment_pages * JR_PAGE_BYTES;
}

static inline uint8_t jr_page_file(const struct jr *jr, uint64_t page)
{
	return (uint8_t)(1 + page / jr->segment_pages % jr->cfg.segments);
}

/* Where a batch of that many pages goes that follows what ends at page. */
static inline uint64_t jr_place(const struct jr *jr, uint64_t page, uint32_t pages)
{
	uint64_t left = jr->segment_pages - page % jr->segment_pages;

	return pages <= left ? page : page + left;
}

static inline struct jr_op *jr_job_op(struct jr *jr)
{
	return &jr->ops[2 * jr->cfg.in_flight + 1];
}

/* jr_job.c */
void jr_kick(struct jr *); /* go on with whatever can go on */
void jr_job_end(struct jr *);
/*
 * Writes an entry of this kind, then zeroes blank_page (JR_NO_PAGE: none), so that nothing that was
 * dropped can be taken for the batch after the tail. Called at every step until it is true.
 */
bool jr_mark_write(struct jr *, enum jr_kind kind, uint64_t blank_page);

/* jr_recover.c */
bool jr_recover_init(struct jr *);
void jr_recover_done(struct jr *);
void jr_recover_step(struct jr *);
