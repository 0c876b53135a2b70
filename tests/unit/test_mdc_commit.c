/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When a controller is told that blocks are written: behind the flush of every LUN that was written to, and not at all when one failed. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>

#include "client/io/mdc_data.h"

static struct mdc_loop loop;
static struct mdc mdc;
static struct mdc_disk disks[3];
static struct mdc_files files;
static struct mdc_inode inode;
static struct mdc_pending pending;

static struct mdc_flush *flush[3];
static uint8_t message[32 << 10];
static struct pr_buf buf;
static unsigned sent, fsyncs;
static long fsync_error;

/* ---- what stands around it ---- */

void mdc_flush(struct mdc_loop *l, struct mdc_disk *disk, struct mdc_flush *f)
{
	(void)l;
	cr_assert(!flush[disk - disks]);
	flush[disk - disks] = f;
}

struct pr_buf *cl_prepare(struct cl *cl, size_t bytes)
{
	(void)cl;
	(void)bytes;
	buf = pr_buf_on(message, sizeof(message));
	return &buf;
}

struct mdc_pending *mdc_raw_submit(struct mdc *m, uint16_t type,
				   void (*raw)(struct mdc_pending *, int error, const uint8_t *p,
					       uint32_t len),
				   void *object)
{
	(void)m;
	cr_assert_eq(type, PR_T_LAYOUT_COMMIT);
	pending.raw = raw;
	pending.object = object;
	sent++;
	return &pending;
}

bool mdc_inode_is_dirty(const struct mdc_inode *i)
{
	return i->dirty.count || i->size_dirty || i->mtime_dirty;
}

bool mdc_tasks_hold_commit(const struct mdc_inode *i)
{
	return i->tasks != NULL;
}

bool mdc_io_write_before(const struct mdc_inode *i, uint64_t seq)
{
	(void)i;
	(void)seq;
	return false;
}

int64_t mdc_real_ns(void)
{
	return 1;
}

int mdc_fail(int error, const char *format, ...)
{
	(void)format;
	return error;
}

void mdc_inode_set_clean(struct mdc_inode *i)
{
	(void)i;
}

void mdc_inode_set_dirty(struct mdc_inode *i)
{
	(void)i;
}

void mdc_inode_settle(struct mdc_inode *i)
{
	(void)i;
}

void mdc_inode_told(struct mdc_inode *i, const struct mdc_attr *attr)
{
	(void)i;
	(void)attr;
}

void mdc_attr_from(struct mdc_attr *ret, const struct pr_attr *attr)
{
	(void)ret;
	(void)attr;
}

void mdc_tasks_run(struct mdc_inode *i)
{
	(void)i;
}

void mdc_task_return(struct mdc_inode *i)
{
	(void)i;
}

/* ---- a file with blocks on the first and the last of three LUNs ---- */

static void done(void *user, long error)
{
	(void)user;
	fsyncs++;
	fsync_error = error;
}

static void written_at(uint32_t ranges, struct mdc_io *other)
{
	loop = (struct mdc_loop){0};
	files = (struct mdc_files){.mdc = &mdc, .disks = disks, .disk_count = 3};
	mdc = (struct mdc){.loop = &loop, .files = &files};
	inode = (struct mdc_inode){.mdc = &mdc, .ino = 7, .generation = 3, .disks = 1 | 4};
	inode.dirty.at = calloc(ranges, sizeof(*inode.dirty.at));
	for (uint32_t i = 0; i < ranges; i++)
		inode.dirty.at[i] = (struct cl_range){.from = 5 + 10 * i, .to = 9 + 10 * i};
	inode.dirty.count = ranges;
	inode.size_seen = 9 * 4096;
	inode.size_dirty = true;
	inode.running = other;
	memset(flush, 0, sizeof(flush));
	sent = fsyncs = 0;
	cr_assert_eq(mdc_fsync_add(&inode, done, NULL), 0);
}

static void written_beside(struct mdc_io *other)
{
	written_at(1, other);
}

static void written(void)
{
	written_beside(NULL);
}

static void flushed(unsigned disk, int error)
{
	struct mdc_flush *f = flush[disk];

	cr_assert(f);
	flush[disk] = NULL;
	f->done(f, error);
}

Test(mdc_commit, is_told_behind_the_flush_of_each_lun)
{
	struct pr_layout_commit m;
	struct pr_range range;

	written();
	cr_assert_eq(sent, 0, "told before any LUN was flushed");
	cr_assert(flush[0] && !flush[1] && flush[2]);
	flushed(2, 0);
	cr_assert_eq(sent, 0, "told before the other LUN was flushed");
	flushed(0, 0);
	cr_assert_eq(sent, 1);
	cr_assert_eq(fsyncs, 0);
	cr_assert_eq(pr_layout_commit_decode(&m, message, (uint32_t)buf.len), 0);
	cr_assert(pr_range_next(&m.ranges, &range));
	cr_assert_eq(range.file_block, 5);
	cr_assert_eq(range.blocks, 4);
	pending.raw(&pending, -EIO, NULL, 0);
	cr_assert_eq(fsyncs, 1);
	cr_assert_eq(fsync_error, -EIO);
}

/* What became of the blocks whose flush failed nobody knows, and a flush of them once more would not tell. */
Test(mdc_commit, is_not_told_when_a_flush_failed)
{
	written();
	flushed(0, -EIO);
	cr_assert_eq(sent, 0);
	flushed(2, 0);
	cr_assert_eq(sent, 0);
	cr_assert(!flush[0] && !flush[1] && !flush[2]);
	cr_assert_eq(fsyncs, 1);
	cr_assert_eq(fsync_error, -EIO);
}

/* What is written again meanwhile is a part of the file already. */
Test(mdc_commit, tells_the_size_though_a_write_below_it_is_under_way)
{
	struct mdc_io again = {.kind = MDC_IO_WRITE, .bytes = 100, .seq = 2};
	struct pr_layout_commit m;

	written_beside(&again);
	flushed(0, 0);
	flushed(2, 0);
	cr_assert_eq(pr_layout_commit_decode(&m, message, (uint32_t)buf.len), 0);
	cr_assert(m.flags & PR_LC_SIZE);
	cr_assert_eq(m.size, 9 * 4096);
}

/* The size is true when all of what lies below it is told: it comes with the last of them. */
static void told_in_messages(uint32_t ranges, unsigned messages)
{
	struct pr_layout_commit_r r = {0};
	struct pr_layout_commit m;
	uint8_t bytes[256];
	struct pr_buf b = pr_buf_on(bytes, sizeof(bytes));
	uint32_t told = 0;

	cr_assert_eq(pr_layout_commit_r_encode(&b, &r), 0);
	written_at(ranges, NULL);
	flushed(0, 0);
	flushed(2, 0);
	for (unsigned i = 1; i <= messages; i++) {
		cr_assert_eq(sent, i);
		cr_assert_eq(pr_layout_commit_decode(&m, message, (uint32_t)buf.len), 0);
		cr_assert_eq(!!(m.flags & PR_LC_SIZE), i == messages);
		told += m.ranges.count;
		cr_assert_eq(fsyncs, 0);
		pending.raw(&pending, 0, b.p, (uint32_t)b.len);
	}
	cr_assert_eq(sent, messages);
	cr_assert_eq(told, ranges);
	cr_assert_eq(fsyncs, 1);
	cr_assert_eq(fsync_error, 0);
}

Test(mdc_commit, as_many_ranges_as_a_message_takes_are_told_in_one)
{
	told_in_messages(1024, 1);
}

Test(mdc_commit, more_ranges_than_a_message_takes_are_told_in_several)
{
	told_in_messages(1025, 2);
}
