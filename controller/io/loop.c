/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "controller/io/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "proto/assert.h"

enum { EVENTS_MAX = 128 };

struct loop_source {
	int fd;
	uint32_t events;
	loop_fn fn; /* NULL: removed, freed at the end of the round */
	void *user;
	struct loop_source *next, *previous; /* among the living; next also among the dead */
};

struct loop {
	int epoll_fd;
	bool stop, again;
	struct loop_timer *timers;
	uint64_t round;
	struct loop_source *living, *dead;
};

uint64_t loop_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

int loop_new(struct loop **ret)
{
	struct loop *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (l->epoll_fd < 0) {
		free(l);
		return -errno;
	}
	*ret = l;
	return 0;
}

static void bury(struct loop *l)
{
	while (l->dead) {
		struct loop_source *s = l->dead;

		l->dead = s->next;
		free(s);
	}
}

void loop_free(struct loop *l)
{
	if (!l)
		return;
	while (l->living)
		loop_remove(l, l->living);
	bury(l);
	close(l->epoll_fd);
	free(l);
}

int loop_add(struct loop *l, int fd, uint32_t events, loop_fn fn, void *user,
	     struct loop_source **ret)
{
	struct loop_source *s = malloc(sizeof(*s));
	struct epoll_event e = {.events = events, .data.ptr = s};
	int error;

	if (!s)
		return -ENOMEM;
	*s = (struct loop_source){.fd = fd, .events = events, .fn = fn, .user = user};
	if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &e) < 0) {
		error = -errno;
		free(s);
		return error;
	}
	s->next = l->living;
	if (s->next)
		s->next->previous = s;
	l->living = s;
	*ret = s;
	return 0;
}

void loop_change(struct loop *l, struct loop_source *s, uint32_t events)
{
	struct epoll_event e = {.events = events, .data.ptr = s};

	if (s->events == events)
		return;
	s->events = events;
	ASSERT(epoll_ctl(l->epoll_fd, EPOLL_CTL_MOD, s->fd, &e) == 0);
}

void loop_remove(struct loop *l, struct loop_source *s)
{
	if (!s)
		return;
	epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, s->fd, NULL);
	if (s->previous)
		s->previous->next = s->next;
	else
		l->living = s->next;
	if (s->next)
		s->next->previous = s->previous;
	s->fn = NULL;
	s->next = l->dead;
	l->dead = s;
}

void loop_set_timer(struct loop *l, struct loop_timer *t, uint64_t at_ms)
{
	t->at_ms = at_ms;
	if (!t->linked) {
		t->next = l->timers;
		l->timers = t;
		t->linked = true;
	}
}

void loop_clear_timer(struct loop *l, struct loop_timer *t)
{
	for (struct loop_timer **p = &l->timers; *p; p = &(*p)->next)
		if (*p == t) {
			*p = t->next;
			break;
		}
	t->at_ms = 0;
	t->linked = false;
}

static int wait_ms(struct loop *l)
{
	uint64_t now = loop_now_ms(), at = UINT64_MAX;

	for (struct loop_timer *t = l->timers; t; t = t->next)
		if (t->at_ms && t->at_ms < at)
			at = t->at_ms;
	if (l->again || at <= now)
		return 0;
	if (at == UINT64_MAX)
		return -1;
	return at - now > 3600000 ? 3600000 : (int)(at - now);
}

static void run_timers(struct loop *l)
{
	struct loop_timer *t = l->timers;
	uint64_t now = t ? loop_now_ms() : 0;

	l->round++;
	while (t) {
		if (!t->at_ms || t->at_ms > now || t->round == l->round) {
			t = t->next;
			continue;
		}
		t->at_ms = 0;
		t->round = l->round;
		t->fn(t->user);
		t = l->timers; /* the list may be another one now */
	}
}

int loop_run(struct loop *l, void (*end_of_round)(void *user), void *user)
{
	struct epoll_event events[EVENTS_MAX];
	int n;

	while (!l->stop) {
		n = epoll_wait(l->epoll_fd, events, EVENTS_MAX, wait_ms(l));
		if (n < 0 &&
		    errno == EINTR) /* io_uring's completions do that; their event follows */
			continue;
		if (n < 0)
			return -errno;
		l->again = false;
		for (int i = 0; i < n && !l->stop; i++) {
			struct loop_source *s = events[i].data.ptr;

			if (s->fn)
				s->fn(s->user, events[i].events);
		}
		run_timers(l);
		if (end_of_round)
			end_of_round(user);
		bury(l);
	}
	return 0;
}

void loop_stop(struct loop *l)
{
	l->stop = true;
}

void loop_again(struct loop *l)
{
	l->again = true;
}
