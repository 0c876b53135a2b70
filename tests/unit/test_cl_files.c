/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The library against a real pair. File contents are compared with a copy in memory, also while the
 * active controller is killed.
 */
#include <errno.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/unit/pair_rig.h"

enum { FILE_MAX = 2 << 20, BUF = FILE_MAX + 70 };

/* ---- a file and its copy in memory ---- */

struct model {
	struct mdc *mdc;
	struct mdc_file *file, *other; /* other: of another session, or NULL */
	uint64_t ino, size;
	uint8_t *bytes, *buf;
	unsigned int seed;
	int step;
};

static uint64_t any(struct model *m, uint64_t below)
{
	return below ? (uint64_t)rand_r(&m->seed) % below : 0;
}

#define OK(m, call)                                                                           \
	do {                                                                                  \
		long r_ = (long)(call);                                                       \
		cr_assert(r_ >= 0, "step %d: %s: %ld %s", (m)->step, #call, r_, mdc_error()); \
	} while (0)

static void model_write(struct model *m)
{
	uint64_t offset = any(m, 4) ? any(m, FILE_MAX) : m->size,
		 n = 1 + any(m, any(m, 4) ? 9000 : 200000);
	uint8_t *p = m->buf + any(m, 64);
	uint32_t flags = 0;

	if (any(m, 4) == 0) {
		offset &= ~4095ull;
		n = (n + 4095) & ~4095ull;
		p = m->buf;
	}
	if (any(m, 10) == 0) {
		flags = MDC_WRITE_APPEND;
		offset = m->size;
	}
	if (offset + n > FILE_MAX)
		return;
	for (uint64_t i = 0; i < n; i++)
		p[i] = (uint8_t)rand_r(&m->seed);
	cr_assert_eq(mdc_file_write(m->file, p, n, flags ? 12345 : offset, flags), (ssize_t)n, "%s",
		     mdc_error());
	memcpy(m->bytes + offset, p, n);
	if (offset + n > m->size)
		m->size = offset + n;
}

static void model_read(struct model *m, uint64_t offset, uint64_t n)
{
	uint8_t *p = m->buf + any(m, 64);
	uint64_t want = offset >= m->size ? 0 : m->size - offset;

	if (want > n)
		want = n;
	cr_assert_eq(mdc_file_read(m->file, p, n, offset), (ssize_t)want, "step %d: %s", m->step,
		     mdc_error());
	for (uint64_t i = 0; i < want; i++)
		cr_assert(p[i] == m->bytes[offset + i], "step %d: byte %llu is %02x, not %02x",
			  m->step, (unsigned long long)(offset + i), p[i], m->bytes[offset + i]);
}

static void model_truncate(struct model *m)
{
	uint64_t size = any(m, 4) ? any(m, FILE_MAX) : 0;

	OK(m, mdc_file_truncate(m->file, NULL, size));
	if (size < m->size)
		memset(m->bytes + size, 0, m->size - size);
	m->size = size;
}

static void model_zero(struct model *m, uint32_t mode)
{
	uint64_t offset = any(m, FILE_MAX - 50000), end = offset + 1 + any(m, 50000);

	OK(m, mdc_file_allocate(m->file, NULL, mode, offset, end - offset));
	if (!(mode & FALLOC_FL_KEEP_SIZE) && end > m->size)
		m->size = end;
	if (end > m->size)
		end = m->size;
	if ((mode & ~FALLOC_FL_KEEP_SIZE) && offset < end)
		memset(m->bytes + offset, 0, end - offset);
}

static void model_reopen(struct model *m)
{
	struct mdc_attr attr;

	if (m->other)
		OK(m, mdc_file_fsync(m->other));
	if (any(m, 2))
		OK(m, mdc_file_close(m->file));
	else
		mdc_file_close_start(m->file, NULL, NULL);
	OK(m, mdc_file_open(m->mdc, NULL, m->ino, MDC_O_READ | MDC_O_WRITE, &m->file, &attr));
	cr_assert_eq(attr.size, m->size, "step %d", m->step);
}

static void model_look(struct model *m)
{
	struct mdc_attr attr;

	if (m->other)
		OK(m, mdc_file_fsync(m->other));
	OK(m, mdc_getattr(m->mdc, m->ino, &attr));
	cr_assert_eq(attr.size, m->size, "step %d", m->step);
}

static void model_step(struct model *m)
{
	uint64_t what = any(m, 100);

	if (what < 45)
		model_write(m);
	else if (what < 75)
		model_read(m, any(m, FILE_MAX), 1 + any(m, 200000));
	else if (what < 83)
		model_truncate(m);
	else if (what < 88)
		OK(m, mdc_file_fsync(m->file));
	else if (what < 92)
		model_reopen(m);
	else if (what < 96)
		model_look(m);
	else if (what < 97)
		model_zero(m, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
	else if (what < 98)
		model_zero(m, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE);
	else if (what < 99)
		model_zero(m, FALLOC_FL_ZERO_RANGE);
	else
		model_zero(m, 0);
}

static void model_open(struct model *m, struct mdc *mdc, uint64_t root, unsigned int seed)
{
	struct mdc_attr attr;
	char name[32];

	*m = (struct model){.mdc = mdc,
			    .seed = seed,
			    .bytes = calloc(1, BUF),
			    .buf = aligned_alloc(4096, FILE_MAX + 4096)};
	snprintf(name, sizeof(name), "model-%u", seed);
	OK(m, mdc_file_create(mdc, NULL, root, name, 0100644, MDC_O_READ | MDC_O_WRITE, &m->file,
			      &attr, NULL));
	m->ino = attr.ino;
}

static void model_close(struct model *m)
{
	model_read(m, 0, FILE_MAX);
	OK(m, mdc_file_close(m->file));
	free(m->bytes);
	free(m->buf);
}

TestSuite(cl_files, .init = pair_up, .fini = pair_down, .timeout = 120);

Test(cl_files, a_file_agrees_with_its_copy_in_memory)
{
	struct mdc_info info;
	struct mdc *mdc = mounted(&info);
	struct model m;

	for (unsigned int seed = 1; seed <= 3; seed++) {
		model_open(&m, mdc, info.root, seed);
		for (m.step = 0; m.step < 400; m.step++)
			model_step(&m);
		model_close(&m);
	}
	cr_assert_eq(mdc_close_volume(mdc, 10000), 0, "%s", mdc_error());
}

/* What one has made of it, the other finds, its end above all: appends go there. */
Test(cl_files, two_sessions_take_turns)
{
	struct mdc_info info;
	struct mdc *mdc[2] = {mounted(&info), mounted(&info)};
	struct mdc_file *other;
	struct model m;

	model_open(&m, mdc[0], info.root, 9);
	OK(&m, mdc_file_open(mdc[1], NULL, m.ino, MDC_O_READ | MDC_O_WRITE, &m.other, NULL));
	for (m.step = 0; m.step < 400; m.step++) {
		if (any(&m, 2)) {
			m.mdc = m.mdc == mdc[0] ? mdc[1] : mdc[0];
			other = m.other;
			m.other = m.file;
			m.file = other;
		}
		model_step(&m);
	}
	OK(&m, mdc_file_close(m.other));
	model_close(&m);
	for (int i = 0; i < 2; i++)
		cr_assert_eq(mdc_close_volume(mdc[i], 10000), 0, "%s", mdc_error());
}

struct rival {
	pthread_t thread;
	struct mdc *mdc;
	struct mdc_file *file;
	unsigned int seed;
};

static void *rival(void *arg)
{
	struct rival *r = arg;
	char bytes[8192] = "";
	long error = 0;

	for (int i = 0; i < 60 && error >= 0; i++) {
		uint64_t at = (uint64_t)rand_r(&r->seed) % 9000;

		switch (rand_r(&r->seed) % 4) {
		case 0:
			error = mdc_file_read(r->file, bytes, sizeof(bytes), 0);
			break;
		case 1:
			error = mdc_file_write(r->file, bytes, 100, at, 0);
			break;
		case 2:
			error = mdc_file_truncate(r->file, NULL, at);
			break;
		default:
			error = mdc_file_allocate(r->file, NULL, 0, at, 5000);
		}
	}
	return error < 0 ? (void *)-error : NULL;
}

/* Each wants to change the size, and waits for what the others hold: nobody is fenced for it. */
Test(cl_files, sessions_do_not_wait_for_each_other)
{
	struct rival rivals[3];
	struct mdc_info info;
	struct mdc_attr attr;

	for (unsigned int i = 0; i < 3; i++) {
		rivals[i] = (struct rival){.mdc = mounted(&info), .seed = i + 1};
		cr_assert_eq(mdc_file_create(rivals[i].mdc, NULL, info.root, "wanted", 0100644,
					     MDC_O_READ | MDC_O_WRITE, &rivals[i].file, &attr,
					     NULL),
			     0, "%s", mdc_error());
	}
	for (int i = 0; i < 3; i++)
		cr_assert_eq(pthread_create(&rivals[i].thread, NULL, rival, &rivals[i]), 0);
	for (int i = 0; i < 3; i++) {
		void *error;

		pthread_join(rivals[i].thread, &error);
		cr_assert_eq(error, NULL, "error %ld", (long)error);
	}
	for (int i = 0; i < 3; i++) {
		mdc_file_close(rivals[i].file);
		mdc_close_volume(rivals[i].mdc, 10000);
	}
}

Test(cl_files, a_kill_of_the_active_is_not_noticed)
{
	struct mdc_info info;
	struct mdc_stats stats;
	struct mdc *mdc = mounted(&info);
	struct model m;

	model_open(&m, mdc, info.root, 7);
	for (m.step = 0; m.step < 300; m.step++) {
		if (m.step == 100)
			cr_assert_eq(run("./mdcpair kill %s active >/dev/null", dir), 0);
		model_step(&m);
	}
	model_close(&m);
	mdc_get_stats(mdc, &stats);
	cr_assert(stats.failovers + stats.reconnects > 0);
	cr_assert_eq(mdc_close_volume(mdc, 10000), 0, "%s", mdc_error());
}

Test(cl_files, what_was_synced_is_there_for_the_next_session)
{
	struct mdc_info info;
	struct mdc *mdc = mounted(&info);
	struct mdc_file *file;
	struct mdc_attr attr;
	char text[32] = "";

	cr_assert_eq(mdc_file_create(mdc, NULL, info.root, "f", 0100644, MDC_O_WRITE, &file, &attr,
				     NULL),
		     0);
	cr_assert_eq(mdc_file_write(file, "hello", 5, 0, 0), 5, "%s", mdc_error());
	cr_assert_eq(mdc_file_write(file, "world", 5, 10000, MDC_WRITE_DSYNC), 5, "%s",
		     mdc_error());
	mdc_file_close_start(file, NULL, NULL);
	cr_assert_eq(mdc_close_volume(mdc, 10000), 0, "%s", mdc_error());
	mdc = mounted(&info);
	cr_assert_eq(mdc_file_open(mdc, NULL, attr.ino, MDC_O_READ, &file, &attr), 0, "%s",
		     mdc_error());
	cr_assert_eq(attr.size, 10005);
	cr_assert_eq(mdc_file_read(file, text, 31, 9999), 6);
	cr_assert_eq(memcmp(text, "\0world", 6), 0);
	cr_assert_eq(mdc_file_seek(file, 5000, SEEK_DATA), 8192);
	cr_assert_eq(mdc_file_seek(file, 0, SEEK_HOLE), 4096);
	mdc_file_close(file);
	mdc_close_volume(mdc, 10000);
}

/* ---- what is taken of the LUNs ---- */

static uint64_t blocks_of(struct mdc *mdc, struct mdc_file *file)
{
	struct mdc_attr attr;

	cr_assert_eq(mdc_file_fsync(file), 0, "%s", mdc_error());
	cr_assert_eq(mdc_getattr(mdc, mdc_file_ino(file), &attr), 0);
	return attr.blocks / 8;
}

/* What lies between them is not taken, or it would be kept for ever. Writes in a row get a window. */
Test(cl_files, blocks_are_taken_where_they_are_written)
{
	struct mdc_info info;
	struct mdc_stats before, after;
	struct mdc *mdc = mounted(&info);
	struct mdc_file *sparse = made(mdc, info.root, "sparse"),
			*grown = made(mdc, info.root, "grown"),
			*leapt = made(mdc, info.root, "leapt"), *row = made(mdc, info.root, "row");
	static char block[65536];

	cr_assert_eq(mdc_file_truncate(sparse, NULL, 2ull << 30), 0);
	for (uint64_t i = 0; i < 100; i++) {
		cr_assert_eq(mdc_file_write(sparse, block, 4096, (i * 37 % 100) << 20, 0), 4096,
			     "%s", mdc_error());
		cr_assert_eq(mdc_file_write(grown, block, 4096, i << 16, 0), 4096);
		cr_assert_eq(mdc_file_write(leapt, block, 4096, (i * 37 % 100) << 16, 0), 4096);
	}
	cr_assert_eq(blocks_of(mdc, sparse), 100);
	cr_assert_eq(blocks_of(mdc, grown), 100);
	cr_assert_eq(blocks_of(mdc, leapt), 100);
	mdc_get_stats(mdc, &before);
	for (uint64_t i = 0; i < 128; i++)
		cr_assert_eq(mdc_file_write(row, block, 65536, i << 16, 0), 65536);
	mdc_get_stats(mdc, &after);
	cr_assert_lt(after.requests - before.requests, 12);
	mdc_file_close(sparse);
	mdc_file_close(grown);
	mdc_file_close(leapt);
	mdc_file_close(row);
	cr_assert_eq(mdc_close_volume(mdc, 10000), 0, "%s", mdc_error());
}

static void fill_up(struct mdc_file *file)
{
	uint64_t at = 0;

	for (uint64_t bytes = 256 << 20; bytes >= 4096; bytes /= 2)
		while (mdc_file_allocate(file, NULL, 0, at, bytes) == 0)
			at += bytes;
}

static void keep_result(void *user, ssize_t result)
{
	*(_Atomic ssize_t *)user = result;
}

/* A write that would have gone over the rest of the last block, and finds no room, and one beyond it. */
Test(cl_files, what_was_cut_off_is_not_brought_back_by_a_write_that_fails)
{
	struct mdc_info info;
	struct mdc *mdc = mounted(&info);
	struct mdc_file *file = made(mdc, info.root, "cut"),
			*other = made(mdc, info.root, "the others");
	static char bytes[9010], want[9010];
	_Atomic ssize_t first = 0, second = 0, synced = 1;

	memset(bytes, 'X', sizeof(bytes));
	cr_assert_eq(mdc_file_write(file, bytes, 4096, 0, MDC_WRITE_DSYNC), 4096);
	cr_assert_eq(mdc_file_truncate(file, NULL, 100), 0);
	cr_assert_eq(mdc_file_allocate(file, NULL, FALLOC_FL_KEEP_SIZE, 8192, 4096), 0);
	fill_up(other);
	memcpy(want, bytes, 100);
	memcpy(want + 9000, bytes, 10);
	cr_assert_eq(mdc_file_write_start(file, bytes, 4900, 100, 0, keep_result, (void *)&first),
		     0);
	cr_assert_eq(mdc_file_write_start(file, bytes, 10, 9000, 0, keep_result, (void *)&second),
		     0);
	while (!first || !second)
		usleep(1000);
	/* What waited for a write is not left behind by one that fails. */
	cr_assert_eq(mdc_file_fsync(file), 0);
	cr_assert_eq(
		mdc_file_write_start(file, bytes, 4096, 1 << 20, 0, keep_result, (void *)&first),
		0);
	cr_assert_eq(mdc_file_fsync_start(file, keep_result, (void *)&synced), 0);
	while (synced == 1)
		usleep(1000);
	cr_assert_eq(synced, 0);
	cr_assert_eq(first, -ENOSPC);
	cr_assert_eq(second, 10);
	cr_assert_eq(mdc_file_read(file, bytes, sizeof(bytes), 0), 9010);
	cr_assert_eq(memcmp(bytes, want, sizeof(want)), 0, "what was cut off is back");
	mdc_file_close(file);
	mdc_file_close(other);
	mdc_close_volume(mdc, 10000);
}

static void count_drops(void *user, const struct mdc_event *event)
{
	if (event->type == MDC_EVENT_INVALIDATE)
		++*(_Atomic int *)user;
}

/* Without a layout no recall tells of what others write: what a program has of the file goes with it. */
Test(cl_files, a_layout_given_back_unasked_is_told)
{
	_Atomic int drops = 0;
	struct mdc_options options = {.event = count_drops, .user = (void *)&drops};
	struct mdc_file *file;
	struct mdc_info info;
	struct mdc *mdc;

	cr_assert_eq(mdc_open_volume(spec, &options, &mdc), 0, "%s", mdc_error());
	mdc_get_info(mdc, &info);
	file = made(mdc, info.root, "kept open");
	cr_assert_eq(mdc_file_write(file, "hello", 5, 0, MDC_WRITE_DSYNC), 5);
	cr_assert_eq(drops, 0);
	cr_assert_eq(mdc_file_allocate(file, NULL, 0, 0, 8192), 0);
	cr_assert_eq(mdc_file_write(file, "hello", 5, 0, 0), 5);
	cr_assert_eq(drops, 1);
	mdc_file_close(file);
	mdc_close_volume(mdc, 10000);
	cr_assert_eq(drops, 1, "told of the last close");
}

static void close_it(void *user, ssize_t result)
{
	cr_assert_eq(result, 0);
	mdc_file_close_start(user, NULL, NULL);
}

/* What ends at once (a read at the end, an fsync of nothing), too. */
Test(cl_files, a_callback_may_close_the_file)
{
	struct mdc_info info;
	struct mdc *mdc = mounted(&info);
	struct mdc_file *file, *other;
	char byte;

	for (int i = 0; i < 100; i++) {
		cr_assert_eq(mdc_file_create(mdc, NULL, info.root, "read", 0100644, MDC_O_READ,
					     &file, NULL, NULL),
			     0);
		cr_assert_eq(mdc_file_create(mdc, NULL, info.root, "synced", 0100644, MDC_O_READ,
					     &other, NULL, NULL),
			     0);
		cr_assert_eq(mdc_file_read_start(file, &byte, 1, 7, close_it, file), 0);
		cr_assert_eq(mdc_file_fsync_start(other, close_it, other), 0);
	}
	cr_assert_eq(run("for try in 1 2 3 4 5 6 7 8 9; do ./mdcctl -C %s clients --json | "
			 "grep -q '\"opens\": 0' && exit; sleep 0.2; done; exit 1",
			 dir),
		     0, "files are left open");
	cr_assert_eq(mdc_close_volume(mdc, 10000), 0, "%s", mdc_error());
}

Test(cl_files, an_exclusive_volume_is_refused_by_name)
{
	struct mdc_options options = {.flags = MDC_OPEN_EXCLUSIVE};
	struct mdc *first, *second;

	cr_assert_eq(mdc_open_volume(spec, &options, &first), 0, "%s", mdc_error());
	cr_assert_eq(mdc_open_volume(spec, &options, &second), -EBUSY);
	cr_assert(strstr(mdc_error(), "mount") != NULL, "%s", mdc_error());
	mdc_close_volume(first, 10000);
	cr_assert_eq(mdc_open_volume(spec, &options, &second), 0, "%s", mdc_error());
	mdc_close_volume(second, 10000);
}

Test(cl_files, bad_words_are_told_apart)
{
	struct mdc_options options = {.flags = MDC_OPEN_NO_WAIT, .open_ms = 200};
	struct mdc *mdc;
	char wrong[700];

	cr_assert_eq(mdc_open_volume("nonsense", NULL, &mdc), -EINVAL);
	cr_assert_eq(mdc_open_volume("127.0.0.1:x:/vol1", NULL, &mdc), -EINVAL);
	cr_assert_eq(mdc_open_volume("127.77.66.55:/vol1", &options, &mdc), -ETIMEDOUT);
	snprintf(wrong, sizeof(wrong), "%.*s:/other", (int)(strstr(spec, ":/") - spec), spec);
	cr_assert_eq(mdc_open_volume(wrong, &options, &mdc), -ENOENT);
	cr_assert(strstr(mdc_error(), "other") != NULL, "%s", mdc_error());
}

/* Somebody else may make one in place of the file that a program is about to make. */
Test(cl_files, what_is_no_file_is_not_opened)
{
	struct mdc_info info;
	struct mdc *mdc = mounted(&info);
	struct mdc_file *file;
	struct mdc_attr fifo;
	uint32_t flags = MDC_O_READ | MDC_O_WRITE;

	cr_assert_eq(mdc_mknod(mdc, NULL, info.root, "fifo", S_IFIFO | 0644, 0, &fifo), 0, "%s",
		     mdc_error());
	cr_assert_eq(mdc_file_create(mdc, NULL, info.root, "fifo", 0644, flags, &file, NULL, NULL),
		     -ENXIO);
	cr_assert(strstr(mdc_error(), "not a regular file") != NULL, "%s", mdc_error());
	cr_assert_eq(mdc_file_open(mdc, NULL, fifo.ino, flags, &file, NULL), -ENXIO);
	cr_assert_eq(mdc_file_open(mdc, NULL, info.root, MDC_O_READ, &file, NULL), -EISDIR);
	cr_assert_eq(mdc_unlink(mdc, NULL, info.root, "fifo"), 0, "%s", mdc_error());
	cr_assert_eq(mdc_close_volume(mdc, 10000), 0, "%s", mdc_error());
}

/* Several threads wait at once; one loop, one session. */
static void *make_many(void *arg)
{
	struct mdc *mdc = arg;
	struct mdc_attr attr;
	struct mdc_info info;
	char name[64];

	mdc_get_info(mdc, &info);
	for (int i = 0; i < 200; i++) {
		snprintf(name, sizeof(name), "t-%lx-%d", (unsigned long)pthread_self(), i);
		if (mdc_mkdir(mdc, NULL, info.root, name, 0755, &attr) < 0 ||
		    mdc_rmdir(mdc, NULL, info.root, name) < 0)
			return (void *)1;
	}
	return NULL;
}

Test(cl_files, threads_share_a_session)
{
	struct mdc_info info;
	struct mdc *mdc = mounted(&info);
	pthread_t threads[8];

	for (int i = 0; i < 8; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, make_many, mdc), 0);
	for (int i = 0; i < 8; i++) {
		void *result;

		pthread_join(threads[i], &result);
		cr_assert_eq(result, NULL);
	}
	mdc_close_volume(mdc, 10000);
}
