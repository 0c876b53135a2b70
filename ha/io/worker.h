/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A thread for what may block: jobs go in, run one after the other, and come back to the thread that
 * made the worker. Knows nothing of what a job does.
 */
#pragma once
#include <sys/queue.h>

struct worker;

/* To be embedded in what is to be done; the memory is the caller's until done was called. */
struct job {
	void (*work)(struct job *); /* in the worker's thread */
	void (*done)(struct job *); /* by worker_finish */
	STAILQ_ENTRY(job) next;
};

int worker_new(const char *name, struct worker **ret);
/* Waits for the job that runs; done is not called for the others. NULL is fine. */
void worker_free(struct worker *);
void worker_add(struct worker *, struct job *);
int worker_fd(const struct worker *); /* readable: call worker_finish */
void worker_finish(struct worker *);
