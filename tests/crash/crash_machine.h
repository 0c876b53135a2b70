/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a controller has of disks, in directories of its own: between crash_node.c, which drives the core, and the executors. Each
 * thing is done at the virtual moment at which it ends, and is over when the call returns.
 */
#pragma once
#include "controller/core/ctl.h"
#include "ha/io/state_file.h"
#include "tests/crash/crash.h"

enum { MACHINE_QUEUE_MAX = 256 };

struct machine {
	char dir[256];
	struct jx *jx;
	struct store *store;
	struct state_file *state;
	struct arbiter *arbiter;
	bool may_write_arbiter, journal_failed;
	struct jr_io queue[MACHINE_QUEUE_MAX]; /* given to the journal, not carried out yet */
	unsigned queued;
};

void machines_begin(const char *dir, uint8_t cluster[16]);
/* 0, or -errno and a sentence: it does not start. */
int machine_open(int node, const struct ctl_config *, struct ha_state *, int *ret_state_error,
		 uint64_t *ret_store_lsn, char *why, size_t size);
void machine_close(int node);
/* A thread of it stands still and holds what it had: only its files are closed. */
void machine_abandon(int node);
/* An effect that concerns a disk. */
void machine_effect(struct sim *, int node, struct ctl_effect *);
/* What was queued for the journal when it died reaches the disk or not. */
void machine_journal_crash(int node);
/* What stands on the LUN, for the invariants that speak of it. */
void machine_arbiter_look(struct sim *);
/* It is not the arbiter's writer any more. */
void machine_arbiter_give_back(int node);

/* crash_node.c. This node has worked: did the power go meanwhile, or did it end itself without memory? True: it is dead. */
bool machine_power_lost(struct sim *, int node);
