/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Between the executors and the kernel: every read, write and sync, every open, rename, removal and look at a name that a controller asks for
 * passes here, is counted, and may fail; each write or rename may be the last one before the power goes. Knows what was written and not yet synced, and what becomes of it. The files
 * are real ones; the C library's functions are replaced by ones of the same name in this program. One controller at a time does
 * I/O, on any of its threads.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

/* What becomes of a write that was not durable when the power went. Torn: each sector by itself. */
enum disk_fate { DISK_KEPT, DISK_DROPPED, DISK_TORN, DISK_FATES };

/* What happens to one call instead of what was asked. */
enum disk_fault { DISK_EIO, DISK_ENOSPC, DISK_SHORT, DISK_FAULTS };

enum { DISK_CRASHES = 2, DISK_CALLS_MAX = 8192 };

struct disk_plan {
	uint64_t crash_at[DISK_CRASHES]; /* the number of the write, from 1; 0: none */
	enum disk_fate fate[DISK_CRASHES];
	uint64_t fail_at; /* the number of the call, from 1; 0: none */
	enum disk_fault fault;
	const char *dir; /* names in here are the controllers' */
	bool trace;	 /* print each call */
};

const char *disk_fate_name(enum disk_fate);
const char *disk_fault_name(enum disk_fault);

void disk_start(const struct disk_plan *);
/* Whose I/O follows: 1 or 2; 0: the test's own, which is not counted and never fails. */
void disk_node(int node);
int disk_whose(void);
/* The controller named last lost its power: nothing it does reaches the disk any more. */
bool disk_dead(void);
/* Its power is lost now, with this fate. */
void disk_kill(enum disk_fate);
enum disk_fate disk_fate_now(void);
/* Everything is closed; what was not synced meets its fate, and the controller can be started again. */
void disk_settle(int node);
/* Would this write of a dead controller, still queued, have reached the disk? Part of it: *ret_mask has a bit for each sector. */
bool disk_queued_lands(uint32_t bytes, uint64_t *ret_mask);

uint64_t disk_writes(void), disk_calls(void);
/* Directories that were to be removed: by an rmdir, or by an unlink in it that was let fail. */
uint64_t disk_removals(void);
/* The faults that this call can have, a bit each. */
unsigned disk_can_fail(uint64_t call);
bool disk_failed(void); /* the planned fault has happened */
/* ... to the controller named last, since it was started. */
bool disk_failed_in_this_life(void);
bool disk_failed_hard(void); /* it was told so, not given less than it asked for */
int disk_failed_node(void);  /* whose call it was */
const char *disk_struck(
	void); /* which call was the last before the (first) crash, or failed: "pwritev2 n1/journal/ring" */
bool disk_plan_done(void); /* both crashes, or the failure; nothing: nothing is planned */
/* A write of the journal, or a sync of whatever file, that had failed was done again by the same process: which, or NULL. */
const char *disk_repeated(void);
