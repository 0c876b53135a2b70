/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Between a controller and the C library's heap: what it asks for is counted, and may not be there. Replaces malloc and its
 * like in this program, also for LMDB and the C library itself. When the controller ends itself because of it, its process is
 * gone: the caller's heap_dies() returns true a second time, and a thread that ended it stands still for ever.
 */
#pragma once
#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>

struct heap_plan {
	uint64_t fail_at; /* the number of the allocation, from 1; 0: none */
	bool lasting;	  /* all behind it fail too, until the process ends or heap_relieve() */
	bool trace;
};

extern sigjmp_buf heap_death;

void heap_start(const struct heap_plan *);
/*
 * What follows, up to heap_leave(), is this controller's. False at first; true if it ended there: nothing of it may be used.
 * Only as if (!heap_dies(node)) { ... } heap_leave(); the braces change no variable that is used behind them when it has died.
 */
#define heap_dies(node) (heap_enter(node), sigsetjmp(heap_death, 0) != 0)
void heap_enter(int node);
void heap_leave(void);
/* The test's own in between, of this thread. */
void heap_pause(void);
void heap_resume(void);
/* The caller waits for an executor: returns when fd is readable; false: ms are over. Does not return when a thread of it ended the process. */
bool heap_wait(int fd, int ms);

/* The controller named last has ended: what it said, or NULL. */
const char *heap_last_words(void);
/* A thread of it stands still, and with it what the thread held. */
bool heap_thread_lost(void);
/* It is buried. If its allocations failed, they do no more. */
void heap_buried(int node);
void heap_relieve(void);

bool heap_is_ours(void); /* or a sanitizer's, of which nothing is counted and nothing fails */
uint64_t heap_calls(void);
int heap_failed_node(void); /* whose allocation failed; 0: none has */
const char *heap_struck(void);
