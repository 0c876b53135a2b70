/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Asking for what was written to be durable: of a file, or of all. */
#include <errno.h>
#include <stdlib.h>

#include "client/io/mdc_call.h"
#include "client/io/mdc_data.h"

int mdc_file_fsync_start(struct mdc_file *file, mdc_io_done done, void *user)
{
	struct mdc *mdc = file->inode->mdc;
	struct mdc_later *later = mdc_later_new(mdc, done, user);
	int r;

	if (!later)
		return mdc_fail(-ENOMEM, "no memory for an fsync");
	mdc_lock(mdc->loop);
	r = mdc_fsync_add(file->inode, mdc_later_done, later);
	mdc_call_pump(mdc);
	mdc_unlock(mdc->loop);
	if (r < 0)
		free(later);
	return r;
}

int mdc_file_fsync(struct mdc_file *file)
{
	struct mdc *mdc = file->inode->mdc;
	struct mdc_call *call = mdc_call_new(mdc);
	int r;

	if (!call)
		return mdc_fail(-ENOMEM, "no memory for an fsync");
	mdc_lock(mdc->loop);
	r = mdc_fsync_add(file->inode, mdc_call_io_done, call);
	mdc_call_pump(mdc);
	mdc_unlock(mdc->loop);
	return mdc_call_wait(mdc, call, r, 0, NULL);
}

/* ---- all that is dirty when it is asked for, and nothing that comes after ---- */

struct all {
	struct mdc_call *call;
	uint32_t left;
	int error; /* the first */
};

static void synced(void *user, ssize_t result)
{
	struct all *all = user;

	if (!all->error)
		all->error = (int)result;
	if (--all->left)
		return;
	mdc_call_io_done(all->call, all->error);
	free(all);
}

/* At once: the LUNs are flushed once for them. */
static void sync_all(struct mdc *mdc, struct all *all)
{
	struct mdc_inode *inode = mdc->files ? mdc->files->dirty : NULL, *next;

	all->error = mdc->failed;
	all->left = 1; /* so that none of them ends it while others are being added */
	for (; inode; inode = next) {
		next = inode->next_dirty;
		all->left++;
		if (mdc_fsync_add(inode, synced, all) < 0) {
			all->left--;
			all->error = -ENOMEM;
		}
	}
	synced(all, 0);
}

int mdc_sync(struct mdc *mdc)
{
	struct mdc_call *call = mdc_call_new(mdc);
	struct all *all = calloc(1, sizeof(*all));

	if (!call || !all) {
		mdc_call_free(call);
		free(all);
		return mdc_fail(-ENOMEM, "no memory for a sync");
	}
	all->call = call;
	mdc_lock(mdc->loop);
	sync_all(mdc, all);
	mdc_call_pump(mdc);
	mdc_unlock(mdc->loop);
	return mdc_call_wait(mdc, call, 0, 0, NULL);
}
