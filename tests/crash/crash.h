/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Crash sweeps: the simulator's clients, network, clock and oracles around two controllers whose journal, store, state and arbiter
 * are the daemon's executors on real files. A script of operations always runs the same way, write by write, so that one run
 * can be repeated with the power lost, or a call failing, at any of them.
 */
#pragma once
#include "tests/crash/disk.h"
#include "tests/crash/heap.h"
#include "tests/sim/sim.h"

enum crash_script {
	CRASH_PAIR, /* both hold everything; a handover half-way */
	CRASH_APART, /* the standby is away for most of it, the journal is too small to wait for it: a full copy */
	CRASH_STILL, /* both hold everything in small journals, then both are down */
	CRASH_FRESH, /* ... but neither store has the last batches, nor the ring the very last */
	CRASH_SCRIPTS
};

enum crash_damage_kind {
	CRASH_SOUND,
	CRASH_ZEROED,
	CRASH_FLIPPED,
	CRASH_OLD,
	CRASH_SWAPPED,
	CRASH_DAMAGES
};
enum crash_file { CRASH_FILE_RING, CRASH_FILE_STATE = 4, CRASH_FILE_LUN, CRASH_FILES };
enum { CRASH_RING_SLOTS = 64, CRASH_SEGMENTS = 3, CRASH_SEGMENT_BYTES = 64 << 10 };

/* What happens to a sector while both are down; swapped: with the same one of the next page. */
struct crash_damage {
	enum crash_damage_kind kind;
	int node; /* whose file; of the LUN: nobody's */
	enum crash_file file;
	uint64_t sector;
	bool lone; /* the other controller does not come back */
};

/* What a sector was part of; the first ones matter most. */
enum crash_where {
	CRASH_BATCH_NEEDED,
	CRASH_BATCH_STORED,
	CRASH_BATCH_UNNAMED,
	CRASH_RING_NEWEST,
	CRASH_STATE_COPY,
	CRASH_ARBITER_COPY,
	CRASH_FLOOR_COPY,
	CRASH_RING_OLDER,
	CRASH_RING_UNUSED,
	CRASH_DATA_UNUSED,
	CRASH_WHERES
};

/* A sector, and of a swap the other one: first what matters more. */
struct crash_struck {
	enum crash_where where;
	struct {
		bool unnamed; /* in a batch behind the newest ring entry: which, and which sector of it */
		uint64_t sector, epoch, first_lsn;
		uint32_t index;
	} half[2];
	uint64_t told_lsn; /* by another batch behind it: committed up to here */
};

/* What of a journal the store lacks: a bit for each page of its ring and its segments, and of how many batches. */
struct crash_fresh {
	uint64_t pages[CRASH_FILE_STATE];
	unsigned named, unnamed;
};

/* Who noticed that it is another: a start or what came behind it; the verification at the end; nobody, and what became of it. */
enum crash_outcome {
	CRASH_SAID,
	CRASH_VERIFIED,
	CRASH_MENDED, /* it is what it was before */
	CRASH_OVERWRITTEN,
	CRASH_UNNOTICED,
	CRASH_LOST, /* as if the power had gone during the write; alone, it served without that batch */
	CRASH_OUTCOMES
};

struct crash_run {
	enum crash_script script;
	uint64_t ops;
	struct disk_plan plan;
	struct heap_plan heap;
	struct crash_damage damage;
	const char *dir; /* an empty directory */
	bool trace;
};

struct crash_result {
	uint64_t writes, calls, allocations, ops, crashes, promotions, full_copies, refused_starts;
	bool struck, failed; /* the planned fault happened */
	bool once;	     /* of two crashes one alone: the script was over before the other */
	bool denied;	     /* an allocation failed */
	bool quarantined, halted; /* its controller gave up its disk; nobody may serve without it */
	/* Of damage: the sector is another; a warning, alarm or refused start; the verification at the end; an active in the end. */
	bool changed, noticed, shown, served;
	bool lost; /* it served without a batch that no disk alone can tell is missing */
	enum crash_where where_it_lay;
	enum crash_outcome outcome;
	struct crash_fresh fresh[SIM_NODES + 1]; /* of the script, when the power went */
	char said[160]; /* by the controller that got no memory, when it ended; empty: it went on */
	uint8_t can_fail[DISK_CALLS_MAX]; /* each call: disk_can_fail() */
	char where[128];		  /* the call that was the last one, or failed */
	char rule[32], why[512];	  /* what is wrong; rule empty: nothing */
};

/* crash_run.c */
void crash_play(const struct crash_run *, struct crash_result *ret);
const char *crash_script_name(enum crash_script);

/* crash_machine.c */
int crash_lun_make(const char *dir, const uint8_t cluster[16], char why[512]);
/* crash_node.c: the rest of it is sim.h's sim_node_* */
void crash_nodes_begin(const char *dir, enum crash_script, uint8_t cluster[16]);
void crash_nodes_stop(void);
/* The rows of each store, for sim_check_end. */
void crash_stores_read(struct sim *);
uint64_t crash_refused_starts(void);
uint64_t crash_store_lsn(int node); /* crash_machine.c; while it is up */
uint64_t crash_noticed(void);	    /* warnings and alarms so far */
void crash_node_keep_down(int node);
void crash_flushes_hold(bool); /* crash_machine.c; what is held ends with the controller */
const char *
crash_memory_said(void); /* by a controller that ended after an allocation failed; or empty */

/* crash_journal.c: both journals are whole and end in the same batch. */
void crash_journals_compare(struct sim *, const char *dir);
/* This one is whole, or what is not. */
bool crash_journal_whole(const char *dir, int node, char why[512]);
/* Up to where recovery finds it now; nothing is written. */
uint64_t crash_journal_tail(const char *dir, int node);

/* crash_where.c, while nobody uses the files */
void crash_where(const char *dir, const struct crash_damage *, uint64_t store_lsn,
		 struct crash_struck *ret);
/*
 * The first LSN of a batch behind the newest ring entry that the damage has left as a crash during its write does, while no batch
 * behind it says that it was committed, nor the floor. 0: something tells.
 */
uint64_t crash_where_untold(const char *dir, const struct crash_damage *,
			    const struct crash_struck *);
void crash_where_fresh(const char *dir, int node, uint64_t store_lsn, struct crash_fresh *ret);
const char *crash_where_name(enum crash_where);
const char *crash_where_why(enum crash_where); /* one may not notice */

/* crash_damage.c */
const char *crash_damage_name(enum crash_damage_kind);
const char *crash_file_name(enum crash_file);
uint64_t crash_file_sectors(enum crash_file);
uint64_t crash_damage_other(const struct crash_damage *); /* the sector that it is swapped with */
/* What the sector holds now. */
void crash_damage_keep(const char *dir, const struct crash_damage *, uint8_t ret[512]);
/* 1: the sector is another now, 0: it is the same; -EIO. */
int crash_damage_do(const char *dir, const struct crash_damage *, const uint8_t old[512]);
