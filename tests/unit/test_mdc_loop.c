/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Loops: who is called back and when, and what somebody is woken for. */
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "client/io/mdc_call.h"
#include "client/io/mdc_data.h"

static struct mdc_loop *loop;
static struct mdc mdc;
static unsigned pumps, called;

/* ---- what stands around it ---- */

void mdc_touch(struct mdc *m)
{
	m->is_dirty = true;
	m->next_dirty = NULL;
	m->loop->dirty = m;
}

void mdc_pump(struct mdc *m)
{
	(void)m;
	pumps++;
}

void mdc_step(struct mdc *m, struct cl_event *ev)
{
	(void)m;
	(void)ev;
}

void mdc_open_expired(struct mdc *m)
{
	(void)m;
}

void mdc_bury(struct mdc *m)
{
	(void)m;
}

void mdc_conn_ready(struct mdc_conn *c, uint32_t events)
{
	(void)c;
	(void)events;
}

void mdc_data_pump(struct mdc_loop *l)
{
	(void)l;
}

void mdc_data_ready(struct mdc_loop *l)
{
	(void)l;
}

uint64_t mdc_data_tick(struct mdc_loop *l)
{
	(void)l;
	return UINT64_MAX;
}

void mdc_data_free(struct mdc_data *data)
{
	(void)data;
}

int mdc_fail(int error, const char *format, ...)
{
	(void)format;
	return error;
}

int mdc_submit(struct mdc *m, const struct mdc_request *q, uint64_t *ret_id)
{
	(void)m;
	(void)q;
	(void)ret_id;
	return -EINVAL;
}

void mdc_cancel(struct mdc *m, uint64_t id)
{
	(void)m;
	(void)id;
}

bool mdc_next_entry(struct mdc_reply *r, struct mdc_dirent *ret)
{
	(void)r;
	(void)ret;
	return false;
}

/* ---- a loop without timers ---- */

static void make(void)
{
	cr_assert_eq(mdc_loop_new(&loop), 0);
	mdc.loop = loop;
}

static void unmake(void)
{
	mdc_loop_free(loop);
}

TestSuite(mdc_loop, .init = make, .fini = unmake, .timeout = 20);

/* Until another thread dispatches and, as far as can be told, sleeps. */
static void wait_for_leader(void)
{
	bool leads = false;

	while (!leads) {
		usleep(20000);
		mdc_lock(loop);
		leads = loop->leader;
		mdc_unlock(loop);
	}
}

static void *dispatch(void *unused)
{
	(void)unused;
	while (!pumps)
		cr_assert_geq(mdc_dispatch(loop, -1), 0);
	return NULL;
}

Test(mdc_loop, who_dispatches_looks_up_when_another_thread_submits)
{
	pthread_t thread;

	cr_assert_eq(pthread_create(&thread, NULL, dispatch, NULL), 0);
	wait_for_leader();
	mdc_lock(loop);
	mdc_touch(&mdc);
	mdc_call_pump(&mdc);
	cr_assert_eq(pumps, 0);
	mdc_unlock(loop);
	pthread_join(thread, NULL);
}

/* ---- interrupts ---- */

static bool yes(void *unused)
{
	(void)unused;
	return true;
}

static void *wait_on(void *w)
{
	mdc_set_interrupt(yes, NULL);
	return mdc_wait(loop, w) ? w : NULL;
}

Test(mdc_loop, an_interrupt_reaches_the_one_that_dispatches)
{
	struct mdc_waiter w;
	pthread_t thread;
	void *r;

	mdc_waiter_add(&mdc, &w);
	cr_assert_eq(pthread_create(&thread, NULL, wait_on, &w), 0);
	wait_for_leader();
	mdc_interrupt(&mdc);
	pthread_join(thread, &r);
	cr_assert_eq(r, NULL);
	mdc_waiter_remove(&w);
}

/* Who dispatched before has left, and told it that it may. */
Test(mdc_loop, an_interrupt_counts_beside_the_leave_to_dispatch)
{
	struct mdc_waiter w;

	mdc_waiter_add(&mdc, &w);
	cr_assert_eq(mdc_dispatch(loop, 0), 0);
	mdc_interrupt(&mdc);
	cr_assert_eq(wait_on(&w), NULL);
	mdc_waiter_remove(&w);
}

/* ---- callbacks ---- */

static void count(void *user, ssize_t result)
{
	static bool inside;

	cr_assert(!inside, "called back from within what starts it");
	inside = true;
	cr_assert_eq(result, 7);
	cr_assert_eq(mdc.laters, 0);
	if (++called < 5)
		mdc_later_done(mdc_later_new(&mdc, count, user), result);
	inside = false;
}

Test(mdc_loop, what_is_known_at_once_is_told_by_who_dispatches)
{
	struct pollfd fd = {.fd = mdc_fd(loop), .events = POLLIN};
	int told = 0;

	mdc_later_done(mdc_later_new(&mdc, count, NULL), 7);
	cr_assert_eq(called, 0);
	for (int left = 5; left > 0; left = 5 - told) {
		cr_assert_eq(poll(&fd, 1, 0), 1);
		told += mdc_dispatch(loop, -1);
	}
	cr_assert_eq(called, 5);
	cr_assert_eq(told, 5);
}

static void look_at_signals(void *user, ssize_t result)
{
	sigset_t blocked;

	(void)result;
	pthread_sigmask(SIG_SETMASK, NULL, &blocked);
	cr_expect(sigismember(&blocked, SIGTERM) && sigismember(&blocked, SIGUSR1));
	mdc_waiter_done(user);
}

Test(mdc_loop, its_thread_takes_no_signals_of_the_program)
{
	struct mdc_waiter w;
	sigset_t blocked;

	cr_assert_eq(mdc_loop_start_thread(loop), 0);
	mdc_lock(loop);
	mdc_waiter_add(&mdc, &w);
	mdc_later_done(mdc_later_new(&mdc, look_at_signals, &w), 0);
	mdc_unlock(loop);
	cr_assert(mdc_wait(loop, &w));
	pthread_sigmask(SIG_SETMASK, NULL, &blocked);
	cr_assert(!sigismember(&blocked, SIGTERM));
}
