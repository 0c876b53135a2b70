/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ha/io/arbiter.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "ha/io/worker.h"
#include "lun/lun.h"
#include "proto/assert.h"

enum { LUNS_MAX = 64, TURN_MS = 5, LOCK_WAIT_MS = 3000 };

/* One order, in the worker's thread, then its answer. */
struct order {
	struct job job;
	struct arbiter *arbiter;
	struct order *next; /* among those without an answer yet, or to be handed out */
	struct ha_arbiter expect;
	uint64_t epoch, lsn;
	uint64_t begun_ms;
	bool late; /* reported as -ETIMEDOUT */
	struct arbiter_done done;
};

struct arbiter {
	uint8_t cluster[16];
	uint8_t node;
	char path[LUNS_MAX][PATH_MAX];
	uint32_t count, patience_ms;
	int epoll_fd, timer_fd;
	struct worker *worker;
	struct order *open, *ready; /* in order; the first open one is the one that runs */
	/* of the worker's thread */
	struct lun *lun[LUNS_MAX];
	bool held[LUNS_MAX];
	uint8_t *block[2];
};

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* ---- in the worker's thread ---- */

static int look_at_label(struct arbiter *a, uint32_t i, struct order *o)
{
	struct lun_label label;
	int error = lun_label_read(a->lun[i], &label, o->done.text, sizeof(o->done.text));

	if (!error && memcmp(label.cluster.b, a->cluster, 16) != 0) {
		snprintf(o->done.text, sizeof(o->done.text),
			 "%.160s carries the label of another cluster now", a->path[i]);
		error = -EXDEV;
	}
	return error;
}

/* The LUN is what it was: a record on a file that nobody finds by its name binds nobody who comes later. */
static int open_lun(struct arbiter *a, uint32_t i, struct order *o)
{
	int error;

	if (a->lun[i]) {
		error = lun_is_there(a->lun[i], o->done.text, sizeof(o->done.text));
		return error || o->done.type != ARBITER_READ ? error : look_at_label(a, i, o);
	}
	error = lun_open(a->path[i], 0, &a->lun[i], o->done.text, sizeof(o->done.text));
	if (error) /* -ENOENT is what a LUN without a record gives */
		return error == -ENOENT ? -ENODEV : error;
	error = look_at_label(a, i, o);
	if (error) {
		lun_close(a->lun[i]);
		a->lun[i] = NULL;
	}
	return error;
}

/*
 * The right to write one LUN: whoever had it is gone, or gave it back, and so is all it wrote. A reservation may have been lost
 * since it was last asked for. 1: what stands there must be read before anything is written.
 */
static int hold(struct arbiter *a, uint32_t i, bool take, struct order *o)
{
	const struct timespec turn = {.tv_nsec = TURN_MS * 1000000L};
	uint64_t end_ms = now_ms() + LOCK_WAIT_MS;
	char who[48] = "";
	int error;

	for (;;) {
		error = take ? lun_arbiter_take(a->lun[i], who, sizeof(who))
			     : lun_arbiter_lock(a->lun[i], who, sizeof(who));
		if (error != -EBUSY || now_ms() >= end_ms)
			break;
		nanosleep(&turn, NULL);
	}
	a->held[i] = error >= 0;
	if (error == -EBUSY)
		snprintf(
			o->done.text, sizeof(o->done.text),
			"%.120s: %s still has the right to write the arbiter record: end that process",
			a->path[i], who[0] ? who : "another controller");
	return error;
}

static int read_record(struct arbiter *a, struct ha_arbiter *ret, int *ret_rewrite)
{
	const uint8_t *copies[2];

	for (int i = 0; i < 2; i++)
		copies[i] = lun_block_read(a->lun[0], (uint64_t)LUN_ARBITER_BLOCK + (unsigned)i,
					   a->block[i]) == 0
				    ? a->block[i]
				    : NULL;
	if (!copies[0] && !copies[1])
		return -EIO;
	return ha_arbiter_pick(ret, copies, ret_rewrite);
}

static int write_copy(struct arbiter *a, int copy, const struct ha_arbiter *record)
{
	memset(a->block[0], 0, LUN_BLOCK_BYTES);
	ha_arbiter_encode(a->block[0], record);
	return lun_block_write(a->lun[0], (uint64_t)LUN_ARBITER_BLOCK + (unsigned)copy,
			       a->block[0]);
}

static bool same(const struct ha_arbiter *a, const struct ha_arbiter *b)
{
	if (a->seq == 0 && b->seq == 0) /* blank */
		return true;
	return memcmp(a->cluster, b->cluster, 16) == 0 && a->seq == b->seq &&
	       a->epoch == b->epoch && a->members == b->members && a->active == b->active;
}

static void read_floor(struct arbiter *a, uint64_t *ret_epoch, uint64_t *ret_lsn)
{
	uint64_t epoch, lsn;

	for (int i = 0; i < 2; i++) {
		if (lun_block_read(a->lun[0], (uint64_t)LUN_FLOOR_BLOCK + (unsigned)i,
				   a->block[i]) != 0 ||
		    ha_floor_decode(a->block[i], a->cluster, &epoch, &lsn) != 0)
			continue;
		if (epoch > *ret_epoch || (epoch == *ret_epoch && lsn > *ret_lsn)) {
			*ret_epoch = epoch;
			*ret_lsn = lsn;
		}
	}
}

static int do_read(struct arbiter *a, struct order *o)
{
	int rewrite, error = open_lun(a, 0, o);

	if (!error)
		error = read_record(a, &o->done.record, &rewrite);
	if (!error || error == -ENOENT)
		read_floor(a, &o->done.floor_epoch, &o->done.floor_lsn);
	return error;
}

/* What stands is completed first, then compared; the new record goes to copy 0, then to copy 1. */
static int do_cas(struct arbiter *a, struct order *o)
{
	struct ha_arbiter next = o->done.record, stands = {0};
	int rewrite = -1, error = open_lun(a, 0, o);

	if (!error)
		error = hold(a, 0, false, o);
	if (error >= 0)
		error = read_record(a, &stands, &rewrite);
	if (error == -ENOENT)
		error = 0;
	if (!error && rewrite >= 0)
		error = write_copy(a, rewrite, &stands);
	if (error)
		return error;
	if (!same(&stands, &o->expect)) {
		o->done.record = stands;
		return -ESTALE;
	}
	error = write_copy(a, 0, &next);
	return error ? error : write_copy(a, 1, &next);
}

/* The LUN was out of our hands: is it still this controller's to write? */
static int still_named(struct arbiter *a, const struct order *o)
{
	struct ha_arbiter stands;
	int rewrite, error = read_record(a, &stands, &rewrite);

	if (error)
		return error == -ENOENT ? 0 : error;
	return stands.epoch > o->epoch || stands.active != a->node ? -EBADE : 0;
}

static int do_floor(struct arbiter *a, struct order *o)
{
	int error = open_lun(a, 0, o);

	if (!error)
		error = hold(a, 0, false, o);
	if (error > 0)
		error = still_named(a, o);
	if (error)
		return error;
	memset(a->block[0], 0, LUN_BLOCK_BYTES);
	ha_floor_encode(a->block[0], a->cluster, o->epoch, o->lsn);
	for (int i = 0; i < 2 && !error; i++)
		error = lun_block_write(a->lun[0], (uint64_t)LUN_FLOOR_BLOCK + (unsigned)i,
					a->block[0]);
	return error;
}

/* Every metadata LUN; a read behind the lock shows that the LUN answers. */
static int do_preempt(struct arbiter *a, struct order *o)
{
	int error = 0;

	for (uint32_t i = 0; i < a->count && !error; i++) {
		error = open_lun(a, i, o);
		if (!error)
			error = hold(a, i, true, o);
		if (error >= 0)
			error = lun_block_read(a->lun[i], LUN_LABEL_BLOCK, a->block[0]);
	}
	return error;
}

static void work(struct job *j)
{
	struct order *o = (struct order *)j;
	struct arbiter *a = o->arbiter;

	switch (o->done.type) {
	case ARBITER_READ:
		o->done.error = do_read(a, o);
		break;
	case ARBITER_CAS:
		o->done.error = do_cas(a, o);
		break;
	case ARBITER_FLOOR:
		o->done.error = do_floor(a, o);
		break;
	case ARBITER_PREEMPTED:
		o->done.error = do_preempt(a, o);
		break;
	}
	if (o->done.error && o->done.error != -ENOENT && o->done.error != -ESTALE &&
	    !o->done.text[0])
		snprintf(o->done.text, sizeof(o->done.text), "arbiter record on %.160s: %s",
			 a->path[0], strerror(-o->done.error));
}

struct release {
	struct job job;
	struct arbiter *arbiter;
};

static void do_release(struct job *j)
{
	struct arbiter *a = ((struct release *)j)->arbiter;

	for (uint32_t i = 0; i < a->count; i++) {
		if (a->held[i])
			lun_arbiter_unlock(a->lun[i]);
		a->held[i] = false;
	}
}

static void released(struct job *j)
{
	free((struct release *)j);
}

/* ---- in the caller's thread ---- */

static void append(struct order **list, struct order *o)
{
	while (*list)
		list = &(*list)->next;
	o->next = NULL;
	*list = o;
}

static void arm(struct arbiter *a)
{
	struct itimerspec t = {0};
	uint64_t now = now_ms(), due;

	for (struct order *o = a->open; o; o = o->next) {
		if (o->late)
			continue;
		due = o->begun_ms + a->patience_ms;
		due = due > now ? due - now : 1;
		t.it_value.tv_sec = (time_t)(due / 1000);
		t.it_value.tv_nsec = (long)(due % 1000) * 1000000;
		break;
	}
	timerfd_settime(a->timer_fd, 0, &t, NULL);
}

static void finished(struct job *j)
{
	struct order *o = (struct order *)j, **at = &o->arbiter->open;
	struct arbiter *a = o->arbiter;

	while (*at != o)
		at = &(*at)->next;
	*at = o->next;
	/* Only what writes is answered twice: a late read tells nothing that is still true. */
	if (o->late && (o->done.type == ARBITER_READ || o->done.type == ARBITER_PREEMPTED))
		free(o);
	else
		append(&a->ready, o);
	arm(a);
}

static void look_at_clock(struct arbiter *a)
{
	uint64_t count, now = now_ms();

	if (read(a->timer_fd, &count, sizeof(count)) < 0)
		return;
	for (struct order *o = a->open; o; o = o->next) {
		struct order *answer;

		if (o->late || now < o->begun_ms + a->patience_ms)
			continue;
		o->late = true;
		answer = calloc(1, sizeof(*answer));
		ASSERT_MEMORY(answer);
		answer->done.type = o->done.type;
		answer->done.error = -ETIMEDOUT;
		snprintf(answer->done.text, sizeof(answer->done.text),
			 "arbiter record on %.140s: no answer for %u ms, the outcome is unknown",
			 a->path[0], a->patience_ms);
		append(&a->ready, answer);
	}
	arm(a);
}

static void give(struct arbiter *a, struct order *o, enum arbiter_done_type type)
{
	o->job = (struct job){.work = work, .done = finished};
	o->arbiter = a;
	o->done.type = type;
	o->begun_ms = now_ms();
	append(&a->open, o);
	arm(a);
	worker_add(a->worker, &o->job);
}

static struct order *new_order(void)
{
	struct order *o = calloc(1, sizeof(*o));

	ASSERT_MEMORY(o);
	return o;
}

void arbiter_read(struct arbiter *a)
{
	give(a, new_order(), ARBITER_READ);
}

void arbiter_cas(struct arbiter *a, const struct ha_arbiter *expect, const struct ha_arbiter *next)
{
	struct order *o = new_order();

	o->expect = *expect;
	o->done.record = *next;
	give(a, o, ARBITER_CAS);
}

void arbiter_floor(struct arbiter *a, uint64_t epoch, uint64_t lsn)
{
	struct order *o = new_order();

	o->epoch = epoch;
	o->lsn = lsn;
	o->done.floor_lsn = lsn;
	give(a, o, ARBITER_FLOOR);
}

void arbiter_preempt(struct arbiter *a)
{
	give(a, new_order(), ARBITER_PREEMPTED);
}

void arbiter_release(struct arbiter *a)
{
	struct release *r = calloc(1, sizeof(*r));

	ASSERT_MEMORY(r);
	*r = (struct release){.job = {.work = do_release, .done = released}, .arbiter = a};
	worker_add(a->worker, &r->job);
}

int arbiter_fd(const struct arbiter *a)
{
	return a->epoll_fd;
}

bool arbiter_next(struct arbiter *a, struct arbiter_done *ret)
{
	struct order *o;

	if (!a->ready) {
		worker_finish(a->worker);
		look_at_clock(a);
	}
	o = a->ready;
	if (!o)
		return false;
	a->ready = o->next;
	*ret = o->done;
	free(o);
	return true;
}

static int watch(struct arbiter *a, int fd)
{
	struct epoll_event e = {.events = EPOLLIN};

	return epoll_ctl(a->epoll_fd, EPOLL_CTL_ADD, fd, &e) < 0 ? -errno : 0;
}

int arbiter_new(const struct arbiter_config *c, struct arbiter **ret)
{
	struct arbiter *a = calloc(1, sizeof(*a));
	int error = 0;

	if (!a)
		return -ENOMEM;
	memcpy(a->cluster, c->cluster, 16);
	a->node = c->node;
	a->count = c->count < LUNS_MAX ? c->count : LUNS_MAX;
	a->patience_ms = c->patience_ms;
	for (uint32_t i = 0; i < a->count; i++)
		snprintf(a->path[i], sizeof(a->path[i]), "%s", c->paths[i]);
	for (int i = 0; i < 2; i++)
		a->block[i] = aligned_alloc(LUN_BLOCK_BYTES, LUN_BLOCK_BYTES);
	a->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	a->timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
	if (a->epoll_fd < 0 || a->timer_fd < 0)
		error = -errno;
	else if (!a->block[0] || !a->block[1])
		error = -ENOMEM;
	if (!error)
		error = worker_new("mdcd-arbiter", &a->worker);
	if (!error)
		error = watch(a, worker_fd(a->worker));
	if (!error)
		error = watch(a, a->timer_fd);
	if (error) {
		arbiter_free(a);
		return error;
	}
	*ret = a;
	return 0;
}

static void free_orders(struct order *o)
{
	while (o) {
		struct order *next = o->next;

		free(o);
		o = next;
	}
}

void arbiter_free(struct arbiter *a)
{
	if (!a)
		return;
	worker_free(a->worker);
	free_orders(a->open);
	free_orders(a->ready);
	for (uint32_t i = 0; i < a->count; i++)
		lun_close(a->lun[i]);
	for (int i = 0; i < 2; i++)
		free(a->block[i]);
	if (a->timer_fd >= 0)
		close(a->timer_fd);
	if (a->epoll_fd >= 0)
		close(a->epoll_fd);
	free(a);
}
