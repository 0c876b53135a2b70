/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Crash sweeps: the simulator's clients, network, clock and oracles around two controllers whose journal, store, state and arbiter
 * are the daemon's executors on real files. A script of operations always runs the same way, write by write, so that one run
 * can be repeated with the power lost, or a call failing, at any of them.
 */
#pragma once
#include "tests/crash/disk.h"
#include "tests/sim/sim.h"

enum crash_script {
	CRASH_PAIR, /* both hold everything; a handover half-way */
	CRASH_APART, /* the standby is away for most of it, the journal is too small to wait for it: a full copy */
	CRASH_SCRIPTS
};

struct crash_run {
	enum crash_script script;
	uint64_t ops;
	struct disk_plan plan;
	const char *dir; /* an empty directory */
	bool trace;
};

struct crash_result {
	uint64_t writes, calls, ops, crashes, promotions, full_copies, refused_starts;
	bool struck, failed;	  /* the planned fault happened */
	bool quarantined, halted; /* its controller gave up its disk; nobody may serve without it */
	char where[128];	  /* the call that was the last one, or failed */
	char rule[32], why[512];  /* what is wrong; rule empty: nothing */
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

/* crash_journal.c: both journals are whole and end in the same batch. */
void crash_journals_compare(struct sim *, const char *dir);
