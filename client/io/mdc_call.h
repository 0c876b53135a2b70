/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Waiting for an answer: a call outlives the thread that gave it up. */
#pragma once

#include "client/io/mdc_priv.h"

struct mdc_call;

struct mdc_call *mdc_call_new(struct mdc *); /* NULL: no memory */
void mdc_call_free(struct mdc_call *);	     /* one that was never started; NULL is fine */
void mdc_call_done(void *call, struct mdc_reply *);
void mdc_call_io_done(void *call, ssize_t result);
/*
 * started: what starting it returned; an error ends the call. Takes the call back: waits, gives up
 * when the thread's interrupt test says so, frees it. id: of the request to cancel then, or 0. take
 * (may be NULL) reads the reply in this thread.
 */
int mdc_call_wait(struct mdc *, struct mdc_call *, int started, uint64_t id,
		  struct mdc_reply *take);
/*
 * What was submitted leaves: now in a loop with a thread, otherwise by who dispatches. What can only
 * end, since the session is over, is left to that one, too.
 */
void mdc_call_pump(struct mdc *);
int mdc_call_attr(struct mdc *, struct mdc_request *, struct mdc_attr *ret, bool *ret_created);
