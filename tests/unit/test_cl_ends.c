/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How things end with the library, against a real pair: callbacks, a sync, a session. */
#include <errno.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "tests/unit/pair_rig.h"

TestSuite(cl_ends, .init = pair_up, .fini = pair_down, .timeout = 40);

static int no_session_is_left(void)
{
	return run("for try in $(seq 40); do ./mdcctl -C %s clients --json | "
		   "grep -q '\"session\"' || exit 0; sleep 0.2; done; exit 1",
		   dir);
}

static void evict(struct mdc *mdc)
{
	struct mdc_info info;

	mdc_get_info(mdc, &info);
	cr_assert_eq(run("./mdcctl -C %s clients evict %llu --force $(uname -n) >/dev/null", dir,
			 (unsigned long long)info.session),
		     0);
	while (!info.evicted) {
		mdc_noop(mdc);
		mdc_get_info(mdc, &info);
	}
}

/* ---- nothing calls back from within what starts it ---- */

static __thread bool starting;

struct answers {
	_Atomic int n;
	int error; /* that each should have */
};

static void came(struct answers *a, ssize_t error)
{
	cr_expect(!starting, "called back from within the start");
	cr_expect_eq(error, a->error, "%zd, not %d", error, a->error);
	a->n++;
}

static void replied(void *user, struct mdc_reply *reply)
{
	came(user, reply->error);
}

static void transferred(void *user, ssize_t result)
{
	came(user, result < 0 ? result : 0);
}

static void wait_for(struct mdc_loop *loop, struct answers *a, int n)
{
	int told = 0;

	while (a->n < n)
		if (!loop)
			usleep(1000);
		else
			told += mdc_dispatch(loop, -1);
	cr_expect_eq(a->n, n);
	cr_expect_eq(told, loop ? n : 0);
}

#define START(call)                                                  \
	do {                                                         \
		starting = true;                                     \
		cr_expect_eq(call, 0, "%s: %s", #call, mdc_error()); \
		starting = false;                                    \
	} while (0)

static void start_all(struct mdc *mdc, struct mdc_loop *loop, struct mdc_file *file, int error)
{
	static const struct mdc_attr size;
	static char block[4096];
	struct answers a = {.error = error};
	struct mdc_request q = {.op = MDC_GETATTR,
				.ino = mdc_file_ino(file),
				.valid = MDC_SET_SIZE,
				.set = &size,
				.done = replied,
				.user = &a};

	START(mdc_file_read_start(file, block, 1, 1 << 30, transferred, &a));
	START(mdc_file_read_start(file, block, sizeof(block), 0, transferred, &a));
	START(mdc_file_fsync_start(file, transferred, &a));
	wait_for(loop, &a, 3);
	a.n = 0;
	START(mdc_file_write_start(file, block, 1, 0, 0, transferred, &a));
	START(mdc_file_write_start(file, block, 1, 1, MDC_WRITE_DSYNC, transferred, &a));
	START(mdc_submit(mdc, &q, NULL));
	q.op = MDC_SETATTR;
	START(mdc_submit(mdc, &q, NULL));
	wait_for(loop, &a, 4);
	a.n = 0;
	starting = true;
	mdc_file_close_start(file, replied, &a);
	starting = false;
	wait_for(loop, &a, 1);
}

/* A layout is held, of a hole: reads, and an fsync, end without anybody being asked. */
static struct mdc_file *known(struct mdc *mdc, uint64_t root, const char *name)
{
	struct mdc_file *file = made(mdc, root, name);
	char byte;

	cr_assert_eq(mdc_file_truncate(file, NULL, 1 << 20), 0, "%s", mdc_error());
	cr_assert_eq(mdc_file_read(file, &byte, 1, 0), 1, "%s", mdc_error());
	return file;
}

Test(cl_ends, nothing_calls_back_from_within_what_starts_it)
{
	struct mdc_options options = {0};
	struct mdc_info info;
	struct mdc *mdc = mounted(&info);
	struct mdc_file *file;

	start_all(mdc, NULL, known(mdc, info.root, "one"), 0);
	file = known(mdc, info.root, "two");
	evict(mdc);
	cr_expect_eq(mdc_sync(mdc), -ESTALE, "though nothing is dirty");
	start_all(mdc, NULL, file, -ESTALE);
	mdc_close_volume(mdc, 1000);

	cr_assert_eq(mdc_loop_new(&options.loop), 0);
	cr_assert_eq(mdc_open_volume(spec, &options, &mdc), 0, "%s", mdc_error());
	start_all(mdc, options.loop, known(mdc, info.root, "three"), 0);
	file = known(mdc, info.root, "four");
	evict(mdc);
	start_all(mdc, options.loop, file, -ESTALE);
	mdc_close_volume(mdc, 1000);
	mdc_loop_free(options.loop);
}

/* ---- sync ---- */

struct writer {
	pthread_t thread;
	struct mdc_file *file;
	_Atomic bool stop;
};

static void *keep_writing(void *arg)
{
	struct writer *w = arg;

	for (uint64_t i = 0; !w->stop; i++)
		if (mdc_file_write(w->file, "hello", 5, i % 64 * 4096, 0) != 5)
			return w;
	return NULL;
}

Test(cl_ends, a_sync_ends)
{
	struct writer w[4] = {0};
	struct mdc_info info;
	struct mdc *mdc = mounted(&info);
	struct mdc_file *file = made(mdc, info.root, "f");
	char name[16];
	void *r;

	for (int i = 0; i < 4; i++) {
		snprintf(name, sizeof(name), "w%d", i);
		w[i].file = made(mdc, info.root, name);
		cr_assert_eq(pthread_create(&w[i].thread, NULL, keep_writing, &w[i]), 0);
	}
	for (int i = 0; i < 5; i++) {
		cr_assert_eq(mdc_file_write(file, "hello", 5, 0, 0), 5);
		cr_assert_eq(mdc_sync(mdc), 0, "%s", mdc_error());
	}
	for (int i = 0; i < 4; i++) {
		w[i].stop = true;
		pthread_join(w[i].thread, &r);
		cr_assert_eq(r, NULL);
	}
	cr_assert_eq(mdc_sync(mdc), 0);
	cr_assert_eq(mdc_file_write(file, "hello", 5, 0, 0), 5);
	evict(mdc);
	cr_assert_eq(mdc_sync(mdc), -ESTALE);
	cr_assert_eq(mdc_sync(mdc), -ESTALE);
	mdc_file_close(file);
	for (int i = 0; i < 4; i++)
		mdc_file_close(w[i].file);
	mdc_close_volume(mdc, 1000);
}

/* ---- sessions ---- */

/* For a moment nobody answers. */
static void freeze(void)
{
	cr_assert_eq(run("pids=$(cat %s/supervisor.pid) && "
			 "pids=\"$pids $(ps -o pid= --ppid $pids)\" && kill -STOP $pids && "
			 "{ (sleep 0.3; kill -CONT $pids) & }",
			 dir),
		     0);
}

static void close_it(void *user, ssize_t result)
{
	cr_expect_eq(result, 5);
	mdc_file_close_start(user, NULL, NULL);
}

/* A write in an outage, whose file nobody has but it, and a file that nobody closes. */
Test(cl_ends, a_handle_may_end_while_the_session_is_closed)
{
	struct mdc_info info;
	struct mdc *mdc = mounted(&info);
	struct mdc_file *file = made(mdc, info.root, "written");
	static struct mdc_file *volatile forgotten; /* kept in sight of who looks for leaks */
	struct mdc_attr attr;

	forgotten = made(mdc, info.root, "forgotten");
	cr_assert_eq(mdc_file_write(forgotten, "hello", 5, 0, 0), 5);
	freeze();
	cr_assert_eq(mdc_file_write_start(file, "hello", 5, 0, 0, close_it, file), 0);
	cr_assert_eq(mdc_close_volume(mdc, 30000), 0, "%s", mdc_error());
	cr_assert_eq(no_session_is_left(), 0);

	mdc = mounted(&info);
	cr_assert_eq(mdc_lookup(mdc, NULL, info.root, "written", &attr), 0);
	cr_assert_eq(attr.size, 5);
	cr_assert_eq(mdc_lookup(mdc, NULL, info.root, "forgotten", &attr), 0);
	cr_assert_eq(attr.size, 5);
	/* The controller hears of the end though nobody waits for its answer. */
	mdc_close_volume(mdc, 0);
	cr_assert_eq(no_session_is_left(), 0);
}
