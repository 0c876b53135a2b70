/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Loops: one epoll descriptor for all sockets, the timer and the executor of many sessions. Whoever
 * submits in a loop with a thread sends by itself, so a request costs no hand-over; replies are
 * handled by whoever dispatches.
 */
#include "client/io/mdc_priv.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "client/io/mdc_data.h"

enum { EVENTS_PER_ROUND = 128 };
enum { WAIT_ON, WAIT_OVER, WAIT_ASK, WAIT_LEAD }; /* states of a waiter */

static __thread bool (*interrupt_poll)(void *user);
static __thread void *interrupt_user;

uint64_t mdc_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

int64_t mdc_real_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void mdc_lock(struct mdc_loop *loop)
{
	pthread_mutex_lock(&loop->lock);
}

void mdc_unlock(struct mdc_loop *loop)
{
	pthread_mutex_unlock(&loop->lock);
}

static int watch(struct mdc_loop *loop, int fd, void *what)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = what};

	return epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
}

int mdc_loop_new(struct mdc_loop **ret)
{
	struct mdc_loop *loop = calloc(1, sizeof(*loop));
	pthread_mutexattr_t recursive;
	int r = 0;

	if (!loop)
		return mdc_fail(-ENOMEM, "no memory for a loop");
	pthread_mutexattr_init(&recursive);
	pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(&loop->lock, &recursive);
	pthread_mutexattr_destroy(&recursive);
	loop->armed_ms = UINT64_MAX;
	loop->later_end = &loop->later;
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	loop->timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
	loop->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (loop->epoll_fd < 0 || loop->timer_fd < 0 || loop->wake_fd < 0)
		r = -errno;
	if (!r)
		r = watch(loop, loop->timer_fd, &loop->timer_fd);
	if (!r)
		r = watch(loop, loop->wake_fd, &loop->wake_fd);
	if (r < 0) {
		mdc_loop_free(loop);
		return mdc_fail(r, "no descriptor for a loop: %s", strerror(-r));
	}
	loop->now_ms = mdc_now_ms();
	*ret = loop;
	return 0;
}

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

/* Whatever events were fetched before have been handled. */
static void bury(struct mdc_loop *loop)
{
	while (loop->graves) {
		struct mdc *mdc = loop->graves;

		loop->graves = mdc->next;
		mdc_bury(mdc);
	}
}

void mdc_loop_free(struct mdc_loop *loop)
{
	if (!loop)
		return;
	ASSERT(!loop->sessions);
	if (loop->threaded) {
		loop->stop = true;
		mdc_loop_kick(loop);
		pthread_join(loop->thread, NULL);
	}
	bury(loop);
	mdc_data_free(loop->data);
	while (loop->free_pending) {
		struct mdc_pending *pending = loop->free_pending;

		loop->free_pending = pending->next;
		free(pending);
	}
	close_fd(loop->epoll_fd);
	close_fd(loop->timer_fd);
	close_fd(loop->wake_fd);
	pthread_mutex_destroy(&loop->lock);
	free(loop);
}

int mdc_fd(const struct mdc_loop *loop)
{
	return loop->epoll_fd;
}

void mdc_loop_kick(struct mdc_loop *loop)
{
	uint64_t one = 1;
	ssize_t n = write(loop->wake_fd, &one, sizeof(one));

	(void)n; /* full: it is awake already */
}

/* ---- timers ---- */

static void arm(struct mdc_loop *loop, uint64_t at_ms)
{
	struct itimerspec at = {.it_value = {.tv_sec = (time_t)(at_ms / 1000),
					     .tv_nsec = (long)(at_ms % 1000) * 1000000}};

	if (at_ms == 0)
		at.it_value.tv_nsec = 1;
	loop->armed_ms = at_ms;
	timerfd_settime(loop->timer_fd, TFD_TIMER_ABSTIME, &at, NULL);
}

void mdc_loop_wake_at(struct mdc_loop *loop, uint64_t at_ms)
{
	if (at_ms < loop->armed_ms)
		arm(loop, at_ms);
}

static void timers(struct mdc_loop *loop)
{
	uint64_t wake = UINT64_MAX, data;

	for (struct mdc *mdc = loop->sessions, *next; mdc; mdc = next) {
		next = mdc->next;
		if (mdc->wake_ms <= loop->now_ms) {
			mdc_step(mdc, &(struct cl_event){.type = CL_EV_TIMER});
			mdc_touch(mdc);
		}
		if (mdc->open_limit_ms && mdc->open_limit_ms <= loop->now_ms)
			mdc_open_expired(mdc);
	}
	data = mdc_data_tick(loop);
	for (struct mdc *mdc = loop->sessions; mdc; mdc = mdc->next) {
		if (mdc->wake_ms < wake)
			wake = mdc->wake_ms;
		if (mdc->open_limit_ms && mdc->open_limit_ms < wake)
			wake = mdc->open_limit_ms;
	}
	if (data < wake)
		wake = data;
	loop->armed_ms = UINT64_MAX;
	if (wake != UINT64_MAX)
		arm(loop, wake > loop->now_ms ? wake : loop->now_ms + 1);
}

int mdc_loop_timeout(struct mdc_loop *loop)
{
	uint64_t now = mdc_now_ms(), at;

	mdc_lock(loop);
	at = loop->armed_ms;
	mdc_unlock(loop);
	if (at == UINT64_MAX)
		return -1;
	return at <= now ? 0 : at - now > INT_MAX ? INT_MAX : (int)(at - now);
}

/* ---- dispatching ---- */

static void drain(int fd)
{
	uint64_t n;
	ssize_t r = read(fd, &n, sizeof(n));

	(void)r;
}

static void pump(struct mdc_loop *loop)
{
	mdc_later_run(loop);
	mdc_data_pump(loop);
	while (loop->dirty) {
		struct mdc *mdc = loop->dirty;

		loop->dirty = mdc->next_dirty;
		mdc->is_dirty = false;
		mdc_pump(mdc);
	}
	if (loop->later)
		mdc_loop_kick(loop);
}

static void handle(struct mdc_loop *loop, struct epoll_event *ev, bool *ret_timer)
{
	if (ev->data.ptr == &loop->timer_fd) {
		drain(loop->timer_fd);
		*ret_timer = true;
	} else if (ev->data.ptr == &loop->wake_fd) {
		drain(loop->wake_fd);
	} else if (ev->data.ptr == loop->data) {
		mdc_data_ready(loop);
	} else {
		mdc_conn_ready(ev->data.ptr, ev->events);
	}
}

static int round_of(struct mdc_loop *loop, int timeout_ms)
{
	struct epoll_event events[EVENTS_PER_ROUND];
	bool timer = false;
	uint64_t before;
	int n;

	mdc_lock(loop);
	loop->in_round = true;
	before = loop->completed;
	loop->now_ms = mdc_now_ms();
	bury(loop);
	pump(loop);
	if (loop->completed != before)
		timeout_ms = 0;
	loop->in_round = false;
	mdc_unlock(loop);
	n = epoll_wait(loop->epoll_fd, events, EVENTS_PER_ROUND, timeout_ms);
	if (n < 0 && errno != EINTR)
		return -errno;
	mdc_lock(loop);
	loop->in_round = true;
	loop->now_ms = mdc_now_ms();
	for (int i = 0; i < n; i++)
		handle(loop, &events[i], &timer);
	if (timer || loop->armed_ms <= loop->now_ms)
		timers(loop);
	pump(loop);
	n = (int)(loop->completed - before);
	loop->in_round = false;
	mdc_unlock(loop);
	return n;
}

static long futex(atomic_int *at, int op, int value)
{
	return syscall(SYS_futex, at, op | FUTEX_PRIVATE_FLAG, value, NULL, NULL, 0);
}

/* That it may lead is nothing to one that is to ask its test: it tries to lead behind that. */
static void poke(struct mdc_waiter *w, int why)
{
	int state = WAIT_ON;

	while (!atomic_compare_exchange_strong(&w->state, &state, why))
		if (why != WAIT_ASK || state != WAIT_LEAD)
			return;
	futex(&w->state, FUTEX_WAKE, 1);
}

static bool lead(struct mdc_loop *loop)
{
	bool mine;

	mdc_lock(loop);
	mine = !loop->leader;
	loop->leader = true;
	mdc_unlock(loop);
	return mine;
}

static void leave(struct mdc_loop *loop)
{
	mdc_lock(loop);
	loop->leader = false;
	for (struct mdc_waiter *w = loop->waiters; w; w = w->next)
		poke(w, WAIT_LEAD);
	mdc_unlock(loop);
}

int mdc_dispatch(struct mdc_loop *loop, int timeout_ms)
{
	int n;

	if (!lead(loop))
		return mdc_fail(-EBUSY, "another thread dispatches this loop");
	n = round_of(loop, timeout_ms);
	leave(loop);
	return n;
}

static void *run(void *arg)
{
	struct mdc_loop *loop = arg;

	while (!loop->stop)
		round_of(loop, -1);
	return NULL;
}

/* The signals of the program are not for this thread. */
int mdc_loop_start_thread(struct mdc_loop *loop)
{
	sigset_t all, before;
	int r = 0;

	if (loop->threaded)
		return 0;
	if (!lead(loop))
		return mdc_fail(-EBUSY, "another thread dispatches this loop");
	loop->threaded = true;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&loop->thread, NULL, run, loop);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r == 0)
		return 0;
	loop->threaded = false;
	leave(loop);
	return mdc_fail(-r, "no thread for the loop: %s", strerror(r));
}

/* ---- waiting ---- */

void mdc_set_interrupt(bool (*poll)(void *user), void *user)
{
	interrupt_poll = poll;
	interrupt_user = user;
}

void mdc_interrupt(struct mdc *mdc)
{
	mdc_lock(mdc->loop);
	for (struct mdc_waiter *w = mdc->loop->waiters; w; w = w->next)
		if (w->mdc == mdc)
			poke(w, WAIT_ASK);
	/* One of them may be the one that dispatches. */
	if (!mdc->loop->threaded)
		mdc_loop_kick(mdc->loop);
	mdc_unlock(mdc->loop);
}

void mdc_waiter_add(struct mdc *mdc, struct mdc_waiter *w)
{
	struct mdc_waiter **list = &mdc->loop->waiters;

	atomic_store(&w->state, 0);
	w->mdc = mdc;
	w->next = *list;
	w->prev = list;
	if (w->next)
		w->next->prev = &w->next;
	*list = w;
}

void mdc_waiter_remove(struct mdc_waiter *w)
{
	*w->prev = w->next;
	if (w->next)
		w->next->prev = w->prev;
}

void mdc_waiter_done(struct mdc_waiter *w)
{
	mdc_waiter_remove(w);
	/* From here on the waiter may be gone; its address is only a number to the kernel. */
	atomic_store(&w->state, WAIT_OVER);
	futex(&w->state, FUTEX_WAKE, 1);
}

bool mdc_waiter_is_done(struct mdc_waiter *w)
{
	return atomic_load(&w->state) == WAIT_OVER;
}

/* An interrupt test may have to wait for a lock that the waker holds: WAIT_ASK is asked without
 * any. */
bool mdc_wait(struct mdc_loop *loop, struct mdc_waiter *w)
{
	for (;;) {
		int state = atomic_load(&w->state);

		if (state == WAIT_OVER)
			return true;
		if (state != WAIT_ON) {
			atomic_compare_exchange_strong(&w->state, &(int){state}, WAIT_ON);
			if (state == WAIT_ASK && interrupt_poll && interrupt_poll(interrupt_user))
				return false;
		}
		if (!loop->threaded && lead(loop)) {
			int r = atomic_load(&w->state) == WAIT_ON ? round_of(loop, -1) : 0;

			leave(loop);
			ASSERT(r >= 0);
		} else if (atomic_load(&w->state) == WAIT_ON) {
			futex(&w->state, FUTEX_WAIT, WAIT_ON);
		}
	}
}

/* ---- the pool of requests ---- */

struct mdc_pending *mdc_pending_new(struct mdc *mdc)
{
	struct mdc_pending *pending = mdc->loop->free_pending;

	if (pending)
		mdc->loop->free_pending = pending->next;
	else
		pending = malloc(sizeof(*pending));
	if (pending)
		*pending = (struct mdc_pending){.mdc = mdc};
	return pending;
}

void mdc_pending_free(struct mdc *mdc, struct mdc_pending *pending)
{
	pending->next = mdc->loop->free_pending;
	mdc->loop->free_pending = pending;
}
