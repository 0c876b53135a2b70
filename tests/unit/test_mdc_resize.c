/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which requests wait for what is under way on a file: rights and times that are given behind a write stand. */
#include <criterion/criterion.h>

#include "client/io/mdc_data.h"

static struct mdc mdc;
static struct mdc_files files;
static struct mdc_inode inode;
static struct mdc_task task;
static unsigned sent, added;

/* ---- what stands around it ---- */

struct mdc_inode *mdc_inode_find(struct mdc_files *f, uint64_t ino)
{
	return ino == inode.ino ? &inode : NULL;
}

struct mdc_inode *mdc_inode_get(struct mdc *m, uint64_t ino)
{
	return mdc_inode_find(m->files, ino);
}

bool mdc_inode_is_dirty(const struct mdc_inode *i)
{
	return i->dirty.count || i->size_dirty || i->mtime_dirty;
}

void mdc_inode_settle(struct mdc_inode *i)
{
}

struct mdc_task *mdc_task_new(enum mdc_task_kind kind)
{
	task = (struct mdc_task){.kind = kind};
	return &task;
}

int mdc_task_carry(struct mdc *m, struct mdc_task *t, const struct mdc_request *q)
{
	t->request = *q;
	return 0;
}

void mdc_task_free(struct mdc_task *t)
{
}

void mdc_task_add(struct mdc_inode *i, struct mdc_task *t)
{
	cr_assert_eq(i, &inode);
	added++;
}

int mdc_request_send(struct mdc *m, const struct mdc_request *q, uint64_t *ret_id)
{
	sent++;
	return 0;
}

void mdc_touch(struct mdc *m)
{
}

int mdc_fail(int error, const char *format, ...)
{
	return error;
}

/* ---- a file, and a request for it ---- */

static void a_file(void)
{
	mdc = (struct mdc){.files = &files};
	inode = (struct mdc_inode){.mdc = &mdc, .ino = 7, .files = 1};
	sent = added = 0;
}

static void submit(const struct mdc_request *q)
{
	cr_assert(mdc_resize_concerns(q));
	cr_assert_eq(mdc_resize_submit(&mdc, q, NULL), 0);
}

static const struct mdc_request chmod_it = {.op = MDC_SETATTR, .ino = 7, .valid = MDC_SET_MODE};

static void waits(void)
{
	submit(&chmod_it);
	cr_assert_eq(sent, 0, "what the write clears it clears of these, too");
	cr_assert_eq(added, 1);
	cr_assert_eq(task.kind, MDC_TASK_RIGHTS);
}

Test(mdc_resize, rights_of_a_file_at_rest_are_given_at_once)
{
	a_file();
	submit(&chmod_it);
	cr_assert_eq(sent, 1);
	cr_assert_eq(added, 0);
}

/* Behind one that clears none they need not wait. */
Test(mdc_resize, rights_do_not_wait_for_a_write_that_clears_none)
{
	struct mdc_io io = {.kind = MDC_IO_WRITE};

	a_file();
	inode.running = &io;
	submit(&chmod_it);
	cr_assert_eq(sent, 1);
	cr_assert_eq(added, 0);
}

Test(mdc_resize, rights_wait_for_a_write_under_way_that_clears_them)
{
	struct mdc_io io = {.kind = MDC_IO_WRITE, .flags = MDC_WRITE_KILLPRIV};

	a_file();
	inode.running = &io;
	waits();
}

Test(mdc_resize, rights_wait_for_a_write_that_has_not_begun_and_clears_them)
{
	struct mdc_io io = {.kind = MDC_IO_WRITE, .flags = MDC_WRITE_KILLPRIV};

	a_file();
	inode.waiting = &io;
	waits();
}

Test(mdc_resize, rights_wait_for_the_commit_that_will_clear_them)
{
	a_file();
	inode.killpriv = inode.mtime_dirty = true;
	waits();
}

Test(mdc_resize, rights_wait_for_the_commit_under_way_that_clears_them)
{
	a_file();
	inode.commit = MDC_COMMIT_SEND;
	inode.commit_killpriv = true;
	waits();
}
