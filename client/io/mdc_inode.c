/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Inodes in memory: found by number, kept while open, dirty or under a layout. When the last handle
 * is gone an inode is committed (with others, within a second), gives back its layout and its
 * opens, and is forgotten.
 */
#include "client/io/mdc_data.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint32_t bucket_of(const struct mdc_files *files, uint64_t ino)
{
	return (uint32_t)((ino * 0x9e3779b97f4a7c15u) >> 32) & (files->hash_size - 1);
}

struct mdc_inode *mdc_inode_find(struct mdc_files *files, uint64_t ino)
{
	struct mdc_inode *inode;

	if (!files || !files->inodes)
		return NULL;
	for (inode = files->hash[bucket_of(files, ino)]; inode; inode = inode->next)
		if (inode->ino == ino)
			return inode;
	return NULL;
}

static void put(struct mdc_files *files, struct mdc_inode *inode)
{
	struct mdc_inode **at = &files->hash[bucket_of(files, inode->ino)];

	inode->next = *at;
	inode->prev = at;
	if (inode->next)
		inode->next->prev = &inode->next;
	*at = inode;
}

static void grow(struct mdc_files *files)
{
	struct mdc_inode **old = files->hash, *inode, *next;
	uint32_t old_size = files->hash_size;
	struct mdc_inode **bigger = calloc(old_size * 2, sizeof(struct mdc_inode *));

	if (!bigger)
		return;
	files->hash = bigger;
	files->hash_size = old_size * 2;
	for (uint32_t i = 0; i < old_size; i++)
		for (inode = old[i]; inode; inode = next) {
			next = inode->next;
			put(files, inode);
		}
	free(old);
}

struct mdc_inode *mdc_inode_get(struct mdc *mdc, uint64_t ino)
{
	struct mdc_files *files = mdc->files;
	struct mdc_inode *inode = mdc_inode_find(files, ino);

	if (inode)
		return inode;
	inode = calloc(1, sizeof(*inode));
	if (!inode)
		return NULL;
	inode->mdc = mdc;
	inode->ino = ino;
	inode->waiting_end = &inode->waiting;
	if (files->inodes >= files->hash_size)
		grow(files);
	files->inodes++;
	put(files, inode);
	return inode;
}

void mdc_inode_set_clean(struct mdc_inode *inode)
{
	struct mdc_files *files = inode->mdc->files;

	if (!inode->prev_dirty)
		return;
	*inode->prev_dirty = inode->next_dirty;
	if (inode->next_dirty)
		inode->next_dirty->prev_dirty = inode->prev_dirty;
	else
		files->dirty_end = inode->prev_dirty;
	inode->prev_dirty = NULL;
}

static void inode_free(struct mdc_inode *inode)
{
	*inode->prev = inode->next;
	if (inode->next)
		inode->next->prev = inode->prev;
	mdc_inode_set_clean(inode);
	inode->mdc->files->inodes--;
	cl_map_free(&inode->map);
	cl_ranges_free(&inode->dirty);
	cl_ranges_free(&inode->sending);
	free(inode);
}

/* What is left when a session ends badly. Nothing is under way. */
void mdc_inodes_free(struct mdc_files *files)
{
	for (uint32_t i = 0; files->hash && i < files->hash_size; i++)
		while (files->hash[i])
			inode_free(files->hash[i]);
}

bool mdc_inode_is_dirty(const struct mdc_inode *inode)
{
	return inode->size_dirty || inode->mtime_dirty || inode->dirty.count || inode->disks;
}

void mdc_inode_set_dirty(struct mdc_inode *inode)
{
	struct mdc_files *files = inode->mdc->files;

	if (inode->prev_dirty)
		return;
	inode->dirty_since_ms = inode->mdc->loop->now_ms;
	inode->next_dirty = NULL;
	inode->prev_dirty = files->dirty_end;
	*files->dirty_end = inode;
	files->dirty_end = &inode->next_dirty;
	mdc_loop_wake_at(inode->mdc->loop, inode->dirty_since_ms + 1000);
}

void mdc_inode_told(struct mdc_inode *inode, const struct mdc_attr *attr)
{
	if (inode->known && attr->change < inode->change)
		return;
	inode->known = true;
	inode->change = attr->change;
	inode->size_server = attr->size;
	inode->dense = attr->blocks * 512 / CL_BLOCK_BYTES - attr->size / CL_BLOCK_BYTES <= 1;
	if (inode->size_dirty || inode->running || inode->waiting || inode->size_seen == attr->size)
		return;
	inode->size_seen = attr->size;
	inode->clean_end = 0;
}

/* ---- closing ---- */

static void closed(struct mdc_pending *pending, int error, const uint8_t *p, uint32_t len)
{
	struct mdc_inode *inode = pending->object;

	inode->pins--;
	mdc_inode_settle(inode);
}

/* The core tells every controller it is bound to what is still open: a lost close is not lost. */
static bool send_close(struct mdc_inode *inode)
{
	struct pr_close close = {.ino = inode->ino, .opens = inode->opens};
	struct mdc *mdc = inode->mdc;
	struct pr_buf *b = cl_prepare(mdc->cl, pr_close_size(&close));
	int r;

	if (!b)
		return false;
	r = pr_close_encode(b, &close);
	ASSERT(r == 0);
	if (!mdc_raw_submit(mdc, PR_T_CLOSE, closed, inode))
		return false;
	inode->opens = 0;
	inode->pins++;
	return true;
}

static bool is_busy(const struct mdc_inode *inode)
{
	return inode->pins || inode->running || inode->waiting || inode->getting || inode->tasks ||
	       inode->commit != MDC_COMMIT_IDLE || inode->fsyncs;
}

/* Nobody is left who could be told by an fsync. */
static void tell_error(struct mdc_inode *inode)
{
	char text[128];

	if (!inode->error)
		return;
	snprintf(text, sizeof(text), "what was written last to inode %llu is lost: %s",
		 (unsigned long long)inode->ino, strerror(-inode->error));
	mdc_tell(inode->mdc, &(struct mdc_event){.type = MDC_EVENT_WARNING, .text = text});
	inode->error = 0;
}

/* After a session is lost there is nobody to give anything back to. */
static void drop(struct mdc_inode *inode)
{
	if (inode->files == 0 && !is_busy(inode))
		inode_free(inode);
}

void mdc_inode_settle(struct mdc_inode *inode)
{
	if ((inode->files && !inode->mdc->closing) || is_busy(inode))
		return;
	if (inode->mdc->failed) {
		drop(inode);
		return;
	}
	if (mdc_inode_is_dirty(inode)) {
		mdc_inode_set_dirty(inode);
		if (inode->mdc->closing && !inode->commit_wanted) {
			inode->commit_wanted = true;
			mdc_commit_run(inode);
		}
		return;
	}
	mdc_inode_set_clean(inode);
	if (inode->layout != PR_LAYOUT_NONE) {
		struct mdc_task *task = mdc_task_new(MDC_TASK_RETURN);

		if (task)
			mdc_task_add(inode, task);
		return;
	}
	if (inode->opens) {
		send_close(inode);
		return;
	}
	tell_error(inode);
	if (!inode->files)
		inode_free(inode);
}

/* ---- what the session asks of all ---- */

static void for_all(struct mdc *mdc, void (*act)(struct mdc_inode *))
{
	struct mdc_files *files = mdc->files;
	struct mdc_inode *inode, *next;

	for (uint32_t i = 0; files && i < files->hash_size; i++)
		for (inode = files->hash[i]; inode; inode = next) {
			next = inode->next;
			act(inode);
		}
}

/* Which of the layouts the controller has forgotten is not told: each is asked for anew. What is dirty
 * finds out by its commit. */
static void lost(struct mdc_inode *inode)
{
	inode->leased = false;
	mdc_task_return(inode);
}

void mdc_files_lost(struct mdc *mdc)
{
	for_all(mdc, lost);
}

/* Handles that are still open are void from here on, and hold no more than the memory. */
void mdc_files_close_all(struct mdc *mdc)
{
	mdc->closing = true;
	for_all(mdc, mdc_inode_settle);
}

static bool is_given_back(const struct mdc_inode *inode)
{
	return !is_busy(inode) && !mdc_inode_is_dirty(inode) && inode->layout == PR_LAYOUT_NONE &&
	       !inode->opens;
}

bool mdc_files_quiet(struct mdc *mdc)
{
	struct mdc_files *files = mdc->files;

	for (uint32_t i = 0; files && i < files->hash_size; i++)
		for (struct mdc_inode *inode = files->hash[i]; inode; inode = inode->next)
			if (!is_given_back(inode))
				return false;
	return true;
}

bool mdc_files_idle(struct mdc *mdc)
{
	struct mdc_files *files = mdc->files;

	for (uint32_t i = 0; files && i < files->disk_count; i++)
		if (files->disks[i].flushing)
			return false;
	for (uint32_t i = 0; files && files->hash && i < files->hash_size; i++)
		for (struct mdc_inode *inode = files->hash[i]; inode; inode = inode->next)
			if (inode->running || inode->commit == MDC_COMMIT_FLUSH)
				return false;
	return true;
}

void mdc_files_recall(struct mdc *mdc, uint64_t ino, uint64_t generation)
{
	struct mdc_inode *inode = mdc_inode_find(mdc->files, ino);

	mdc_tell(mdc, &(struct mdc_event){.type = MDC_EVENT_INVALIDATE, .ino = ino});
	if (inode)
		mdc_task_return(inode);
}

/* ---- attributes, as this client has made them ---- */

void mdc_files_overlay(struct mdc_files *files, struct mdc_attr *attr)
{
	struct mdc_inode *inode = mdc_inode_find(files, attr->ino);

	if (!inode)
		return;
	if (inode->known && attr->change < inode->change && attr->size < inode->size_server)
		attr->size = inode->size_server;
	if (inode->size_dirty && inode->size_seen > attr->size)
		attr->size = inode->size_seen;
	/* What the commit will make of the times, so that they do not move with it. */
	if (!inode->mtime_dirty || inode->mtime_ns == attr->mtime_ns)
		return;
	attr->mtime_ns = inode->mtime_ns;
	if (inode->mtime_ns > attr->ctime_ns)
		attr->ctime_ns = inode->mtime_ns;
}

/* Times that were set after the last write stand, not the write's. */
static bool sets_mtime(const struct mdc_inode *inode, const struct mdc_pending *pending)
{
	return pending->op == MDC_SETATTR &&
	       (pending->flags & (MDC_SET_MTIME | MDC_SET_MTIME_NOW)) &&
	       (!inode->tasks || inode->tasks->seq == inode->seq);
}

void mdc_files_reply(struct mdc *mdc, const struct mdc_pending *pending, struct mdc_reply *reply)
{
	struct mdc_inode *inode;

	if (!reply->attr.ino || !(inode = mdc_inode_find(mdc->files, reply->attr.ino)))
		return;
	if (pending->op != MDC_UNLINK)
		mdc_inode_told(inode, &reply->attr);
	if (inode->mtime_dirty && sets_mtime(inode, pending))
		inode->mtime_ns = reply->attr.mtime_ns;
	mdc_files_overlay(mdc->files, &reply->attr);
}
