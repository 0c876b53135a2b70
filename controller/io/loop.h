/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The event loop of mdcd: one epoll set, timers, and a round: whatever is ready is handled, then the
 * end-of-round function runs once, so that what a round made can leave together. Owns no descriptor.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

struct loop;
struct loop_source;

typedef void (*loop_fn)(void *user, uint32_t events);

struct loop_timer {
	uint64_t at_ms; /* of loop_now_ms, 0: not set */
	void (*fn)(void *user);
	void *user;
	struct loop_timer *next;
	uint64_t round; /* it ran in; once in a round is enough */
	bool linked;
};

int loop_new(struct loop **ret);
void loop_free(struct loop *); /* and the sources that are left */

/* events: EPOLLIN, EPOLLOUT. The source lives until loop_remove, also inside its own function. */
int loop_add(struct loop *, int fd, uint32_t events, loop_fn fn, void *user,
	     struct loop_source **ret);
void loop_change(struct loop *, struct loop_source *, uint32_t events);
void loop_remove(struct loop *,
		 struct loop_source *); /* before its descriptor is closed; NULL is fine */

/* The timer's memory is the caller's. Setting it again moves it. */
void loop_set_timer(struct loop *, struct loop_timer *, uint64_t at_ms);
void loop_clear_timer(struct loop *, struct loop_timer *);

/* Rounds until loop_stop. end_of_round may be NULL. */
int loop_run(struct loop *, void (*end_of_round)(void *user), void *user);
void loop_stop(struct loop *);
/* The next round does not wait: something is left to be done. */
void loop_again(struct loop *);

uint64_t loop_now_ms(void); /* CLOCK_BOOTTIME */
