/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rows for tests of the namespace: a sorted array behind the face of tx.h, with an undo log, so that a run leaves nothing behind
 * unless it is committed, and with reads that answer TX_MISS at will. Checks that rows and facts agree. One per process.
 */
#pragma once
#include "controller/core/ns.h"

extern struct tx fake_tx;
extern uint64_t fake_rand_state;
extern bool fake_open[1 << 22];	      /* by inode number: not to be reaped */
extern bool fake_reuse;		      /* what rests may be used again */
extern unsigned int fake_miss_one_in; /* 0: reads never miss */
extern int fake_result;
extern uint64_t fake_misses, fake_again;

uint64_t fake_rand(void);
static inline uint32_t fake_below(uint32_t n)
{
	return (uint32_t)(fake_rand() % n);
}

void fake_reset(uint64_t seed);
/* One run of an operation: begin, call, end. fake_end keeps what was written if r is 0 or more, says whether to run again. */
void fake_begin(void);
bool fake_end(int r);

#define FAKE_LOOP(call, again)        \
	do {                          \
		fake_begin();         \
		fake_result = (call); \
	} while (again(fake_result))

#define FAKE_RUN(call)                     \
	({                                 \
		FAKE_LOOP(call, fake_end); \
		fake_result;               \
	})

/* As FAKE_RUN, but first with a miss at each single read in turn: nothing may change then, and the result must be the same. */
#define FAKE_RUN_EACH_MISS(call)                  \
	({                                        \
		fake_trial_begin();               \
		FAKE_LOOP(call, fake_trial_next); \
		FAKE_RUN(call);                   \
	})
void fake_trial_begin(void);
bool fake_trial_next(int r);

extern const struct ns_gate fake_gate;
/* Steps until nothing is left to do. */
void fake_reap(void);
void fake_rest(void);

uint64_t fake_hash(void);
size_t fake_row_count(uint8_t table);
/* The whole volume: ends the test where something does not agree. */
void fake_check(void);

/* A volume of luns LUNs of so many data blocks each, as volume 1. */
void fake_volume(uint32_t luns, uint64_t blocks);

struct pr_cred fake_cred(uint32_t uid, uint32_t gid);
#define FAKE_ROOT fake_cred(0, 0)
