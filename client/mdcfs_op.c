/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests that wait, and the watcher over them. The kernel says once that a waiting process got a
 * signal, whatever signal it was. A system call on files goes on through most of them, and a
 * program whose timer ticks must not see EINTR for an outage; so the watcher looks which signals
 * are pending, and gives up for those by which somebody asks a process to end.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "client/mdcfs.h"

enum {
	TICK_MS = 100,
	PATIENCE_MS = 500, /* with signals that a process may handle; SIGKILL waits for nothing */
	UNSEEN_MS = 10000, /* with a process that is not seen: longer than a failover takes */
	GROUPS_FIRST = 32,
	GROUPS_MAX = 4096,
};

static struct {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	pthread_t thread;
	struct mf_op *first, **last;
	bool stop, asleep;
} waiting = {.lock = PTHREAD_MUTEX_INITIALIZER, .last = &waiting.first};

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* ---- life of an op ---- */

static void list_add(struct mf_op *op)
{
	pthread_mutex_lock(&waiting.lock);
	op->prev = waiting.last;
	*waiting.last = op;
	waiting.last = &op->next;
	if (waiting.asleep)
		pthread_cond_signal(&waiting.wake);
	pthread_mutex_unlock(&waiting.lock);
}

fuse_req_t mf_op_take(struct mf_op *op)
{
	fuse_req_t req;

	pthread_mutex_lock(&waiting.lock);
	req = op->req;
	if (req) {
		*op->prev = op->next;
		if (op->next)
			op->next->prev = op->prev;
		else
			waiting.last = op->prev;
		op->req = NULL;
	}
	pthread_mutex_unlock(&waiting.lock);
	return req;
}

void mf_op_ref(struct mf_op *op)
{
	op->refs++;
}

void mf_op_unref(struct mf_op *op)
{
	if (--op->refs > 0)
		return;
	free(op->groups);
	free(op);
}

void mf_op_error(struct mf_op *op, int error)
{
	fuse_req_t req = mf_op_take(op);

	if (req)
		fuse_reply_err(req, -error);
}

/* A process that cannot be asked for its groups any more has none. */
static void read_groups(struct mf_op *op, fuse_req_t req)
{
	int room = GROUPS_FIRST, n;

	for (;;) {
		free(op->groups);
		op->groups = malloc((size_t)room * sizeof(*op->groups));
		n = op->groups ? fuse_req_getgroups(req, room, op->groups) : 0;
		if (n <= room || room == GROUPS_MAX)
			break;
		room = n < GROUPS_MAX ? n : GROUPS_MAX;
	}
	if (n > room)
		n = room;
	op->cred.group_count = n > 0 ? (uint32_t)n : 0;
	op->cred.groups = op->groups;
}

struct mf_op *mf_op_new(fuse_req_t req, mf_finish finish, bool with_groups)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);
	struct mf_op *op = calloc(1, sizeof(*op));

	if (!op) {
		fuse_reply_err(req, ENOMEM);
		return NULL;
	}
	op->req = req;
	op->refs = 1;
	op->finish = finish;
	op->pid = ctx->pid;
	op->cred.uid = ctx->uid;
	op->cred.gid = ctx->gid;
	if (with_groups && ctx->uid != 0)
		read_groups(op, req);
	op->started_ms = now_ms();
	list_add(op);
	if (!mf.tuned && !atomic_exchange(&mf.tuned, true))
		mf_tune();
	return op;
}

/* ---- submitting ---- */

static void op_done(void *user, struct mdc_reply *reply)
{
	struct mf_op *op = user;

	op->finish(op, reply);
	mf_op_unref(op);
}

static bool is_answered(struct mf_op *op)
{
	bool r;

	pthread_mutex_lock(&waiting.lock);
	r = op->req == NULL;
	pthread_mutex_unlock(&waiting.lock);
	return r;
}

void mf_op_submit(struct mf_op *op, struct mdc_request *q)
{
	uint64_t id = 0;
	int r;

	if (!q->cred)
		q->cred = &op->cred;
	q->done = op_done;
	q->user = op;
	mf_op_ref(op);
	r = mdc_submit(mf.mdc, q, &id);
	if (r < 0) {
		op_done(op, &(struct mdc_reply){.error = r, .text = ""});
	} else {
		op->id = id;
		/* The watcher may have come before there was an id. */
		if (is_answered(op))
			mdc_cancel(mf.mdc, id);
	}
	mf_op_unref(op);
}

static void told(void *user, struct mdc_reply *reply)
{
}

void mf_tell(struct mdc_request *q)
{
	q->done = told;
	mdc_submit(mf.mdc, q, NULL);
}

int mf_thread(void *(*run)(void *arg), void *arg)
{
	pthread_attr_t attr;
	pthread_t thread;
	int r;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, 256 * 1024);
	r = pthread_create(&thread, &attr, run, arg);
	pthread_attr_destroy(&attr);
	return r;
}

/* ---- the watcher ---- */

static uint64_t signal_bit(int number)
{
	return UINT64_C(1) << (number - 1);
}

enum fate { GOES_ON, DYING, ASKED_TO_END, UNSEEN };

/*
 * A signal that ends the process is a SIGKILL of each thread by now, unless it makes it leave a core
 * or somebody traces it: then it is pending until the thread comes back from its call.
 * UNSEEN: it is in no PID namespace that this process sees, or cannot be looked at: /proc hides it,
 * or no descriptor is left for that.
 */
static enum fate fate_of(pid_t thread)
{
	const uint64_t asks =
		signal_bit(SIGINT) | signal_bit(SIGTERM) | signal_bit(SIGQUIT) | signal_bit(SIGHUP);
	const uint64_t harmless = signal_bit(SIGCHLD) | signal_bit(SIGCONT) | signal_bit(SIGURG) |
				  signal_bit(SIGWINCH) | signal_bit(SIGSTOP) | signal_bit(SIGTSTP) |
				  signal_bit(SIGTTIN) | signal_bit(SIGTTOU);
	uint64_t own = 0, shared = 0, blocked = 0, ignored = 0, caught = 0, pending;
	char path[64], line[256];
	FILE *f;

	if (thread <= 0)
		return UNSEEN;
	snprintf(path, sizeof(path), "/proc/%d/status", (int)thread);
	f = fopen(path, "re");
	if (!f)
		return kill(thread, 0) < 0 && errno == ESRCH ? DYING : UNSEEN;
	while (fgets(line, sizeof(line), f)) {
		sscanf(line, "SigPnd: %" SCNx64, &own);
		sscanf(line, "ShdPnd: %" SCNx64, &shared);
		sscanf(line, "SigBlk: %" SCNx64, &blocked);
		sscanf(line, "SigIgn: %" SCNx64, &ignored);
		sscanf(line, "SigCgt: %" SCNx64, &caught);
	}
	fclose(f);
	pending = (own | shared) & ~blocked & ~ignored;
	if (pending & ~caught & ~harmless)
		return DYING;
	return pending & asks ? ASKED_TO_END : GOES_ON;
}

static void give_up(struct mf_op *op)
{
	fuse_req_t req = mf_op_take(op);

	if (!req)
		return;
	fuse_reply_err(req, EINTR);
	if (op->id)
		mdc_cancel(mf.mdc, op->id);
}

/* All the interrupted ops that have waited for a while; each with a reference. */
static struct mf_op *gather(uint64_t now)
{
	struct mf_op *first = NULL, **last = &first;

	for (struct mf_op *op = waiting.first; op; op = op->next) {
		if (op->started_ms + TICK_MS > now)
			break;
		if (!op->interrupted_ms && fuse_req_interrupted(op->req))
			op->interrupted_ms = now;
		if (!op->interrupted_ms)
			continue;
		mf_op_ref(op);
		op->judged_next = NULL;
		*last = op;
		last = &op->judged_next;
	}
	return first;
}

static void judge(struct mf_op *op, uint64_t now)
{
	static const uint64_t patience_ms[] = {
		[GOES_ON] = UINT64_MAX,
		[DYING] = 0,
		[ASKED_TO_END] = PATIENCE_MS,
		[UNSEEN] = UNSEEN_MS,
	};

	if (now - op->interrupted_ms >= patience_ms[fate_of(op->pid)])
		give_up(op);
	mf_op_unref(op);
}

/* With the lock held. */
static void sleep_a_tick(void)
{
	struct timespec until;

	waiting.asleep = true;
	while (!waiting.first && !waiting.stop)
		pthread_cond_wait(&waiting.wake, &waiting.lock);
	waiting.asleep = false;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += TICK_MS * 1000000L;
	if (until.tv_nsec >= 1000000000L) {
		until.tv_nsec -= 1000000000L;
		until.tv_sec++;
	}
	while (!waiting.stop && pthread_cond_timedwait(&waiting.wake, &waiting.lock, &until) == 0)
		;
}

static void *watch(void *arg)
{
	struct mf_op *op, *next;
	uint64_t now;

	pthread_mutex_lock(&waiting.lock);
	while (!waiting.stop) {
		sleep_a_tick();
		now = now_ms();
		op = gather(now);
		pthread_mutex_unlock(&waiting.lock);
		for (; op; op = next) {
			next = op->judged_next;
			judge(op, now);
		}
		pthread_mutex_lock(&waiting.lock);
	}
	pthread_mutex_unlock(&waiting.lock);
	return NULL;
}

int mf_ops_start(void)
{
	pthread_cond_init(&waiting.wake, NULL);
	return -pthread_create(&waiting.thread, NULL, watch, NULL);
}

/* The oldest, with a reference; NULL: none waits. */
static struct mf_op *oldest(void)
{
	struct mf_op *op;

	pthread_mutex_lock(&waiting.lock);
	op = waiting.first;
	if (op)
		mf_op_ref(op);
	pthread_mutex_unlock(&waiting.lock);
	return op;
}

void mf_ops_stop(void)
{
	struct mf_op *op;

	pthread_mutex_lock(&waiting.lock);
	waiting.stop = true;
	pthread_cond_signal(&waiting.wake);
	pthread_mutex_unlock(&waiting.lock);
	pthread_join(waiting.thread, NULL);
	while ((op = oldest())) {
		give_up(op);
		mf_op_unref(op);
	}
}

/* ---- buffers ---- */

/* Large buffers cost a page fault for each page when they are new. */
static struct mf_pool {
	pthread_mutex_t lock;
	size_t bytes;
	unsigned count, most;
	void *first;
} pools[] = {
	{.lock = PTHREAD_MUTEX_INITIALIZER, .bytes = 128 << 10, .most = 64},
	{.lock = PTHREAD_MUTEX_INITIALIZER, .bytes = MF_MAX_WRITE, .most = 16},
};

static struct mf_pool *pool_for(size_t bytes)
{
	if (bytes > MF_MAX_WRITE || bytes <= 4 * MF_BLOCK)
		return NULL;
	return bytes <= pools[0].bytes ? &pools[0] : &pools[1];
}

void *mf_buffer_get(size_t bytes)
{
	struct mf_pool *pool = pool_for(bytes);
	void *buffer = NULL;

	if (pool) {
		pthread_mutex_lock(&pool->lock);
		buffer = pool->first;
		if (buffer) {
			pool->first = *(void **)buffer;
			pool->count--;
		}
		pthread_mutex_unlock(&pool->lock);
		bytes = pool->bytes;
	}
	if (!buffer && posix_memalign(&buffer, MF_BLOCK, bytes ? bytes : 1))
		return NULL;
	return buffer;
}

void mf_buffer_put(void *buffer, size_t bytes)
{
	struct mf_pool *pool = pool_for(bytes);

	if (pool && buffer) {
		pthread_mutex_lock(&pool->lock);
		if (pool->count < pool->most) {
			*(void **)buffer = pool->first;
			pool->first = buffer;
			pool->count++;
			buffer = NULL;
		}
		pthread_mutex_unlock(&pool->lock);
	}
	free(buffer);
}
