/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Requests that change a file's size, rights or times wait for what is under way on it: blocks beyond
 * the new end are given up by this client before the controller takes them away, and rights that are
 * given after a write are not cleared by its commit.
 */
#include "client/io/mdc_data.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static bool empties(const struct mdc_request *q)
{
	return (q->op == MDC_OPEN || q->op == MDC_CREATE) && (q->flags & MDC_O_TRUNC);
}

/* Sets what a write by others than root clears. */
static bool gives_rights(const struct mdc_request *q)
{
	return (q->op == MDC_SETATTR && (q->valid & MDC_SET_MODE)) ||
	       (q->op == MDC_XATTR_SET && q->name && strcmp(q->name, "security.capability") == 0);
}

bool mdc_resize_concerns(const struct mdc_request *q)
{
	return empties(q) || gives_rights(q) ||
	       (q->op == MDC_SETATTR &&
		(q->valid & (MDC_SET_SIZE | MDC_SET_MTIME | MDC_SET_MTIME_NOW)));
}

/* What was written clears rights when it is committed. */
static bool clears_rights(const struct mdc_inode *inode)
{
	const struct mdc_io *lists[] = {inode->running, inode->waiting};

	for (int i = 0; i < 2; i++)
		for (const struct mdc_io *io = lists[i]; io; io = io->next)
			if (io->flags & MDC_WRITE_KILLPRIV)
				return true;
	return inode->killpriv || (inode->commit != MDC_COMMIT_IDLE && inode->commit_killpriv);
}

static int task_for(struct mdc *mdc, enum mdc_task_kind kind, const struct mdc_request *q,
		    struct mdc_task **ret)
{
	*ret = mdc_task_new(kind);
	if (*ret && mdc_task_carry(mdc, *ret, q) == 0)
		return 0;
	mdc_task_free(*ret);
	return mdc_fail(-ENOMEM, "no memory for a request");
}

/* ---- a create that finds a file there: it is cut as by a setattr ---- */

struct create {
	struct mdc *mdc;
	struct mdc_task *cut;
	uint64_t ino;
	mdc_done done;
	void *user;
};

static void create_over(struct create *create, struct mdc_reply *reply)
{
	if (create->done)
		create->done(create->user, reply);
	mdc_task_free(create->cut);
	free(create);
}

static void cut_done(void *user, struct mdc_reply *reply)
{
	struct create *create = user;

	/* The controller has counted an open, the caller gets none. */
	if (reply->error)
		mdc_request_send(
			create->mdc,
			&(struct mdc_request){.op = MDC_CLOSE, .ino = create->ino, .opens = 1},
			NULL);
	create_over(create, reply);
}

static void created(void *user, struct mdc_reply *reply)
{
	struct create *create = user;
	struct mdc_task *cut = create->cut;
	struct mdc_inode *inode = NULL;

	if (!reply->error && !reply->created && S_ISREG(reply->attr.mode)) {
		inode = mdc_inode_get(create->mdc, reply->attr.ino);
		if (!inode)
			reply->error = -ENOMEM;
	}
	if (!inode) {
		create_over(create, reply);
		return;
	}
	create->cut = NULL;
	cut->request.ino = create->ino = inode->ino;
	mdc_task_add(inode, cut);
}

static int create_submit(struct mdc *mdc, const struct mdc_request *q, uint64_t *ret_id)
{
	static const struct mdc_attr empty;
	struct create *create = calloc(1, sizeof(*create));
	struct mdc_request cut = {.op = MDC_SETATTR,
				  .cred = q->cred,
				  .valid = MDC_SET_SIZE,
				  .set = &empty,
				  .done = cut_done,
				  .user = create},
			   first = *q;
	int r;

	if (!create)
		return mdc_fail(-ENOMEM, "no memory for a request");
	*create = (struct create){.mdc = mdc, .done = q->done, .user = q->user};
	r = task_for(mdc, MDC_TASK_SIZE, &cut, &create->cut);
	first.flags &= ~(uint32_t)MDC_O_TRUNC;
	first.done = created;
	first.user = create;
	if (r == 0)
		r = mdc_request_send(mdc, &first, ret_id);
	if (r < 0) {
		mdc_task_free(create->cut);
		free(create);
	}
	return r;
}

/* ---- the others ---- */

static bool is_quiet(const struct mdc_inode *inode)
{
	return !mdc_inode_is_dirty(inode) && inode->commit == MDC_COMMIT_IDLE && !inode->running &&
	       !inode->waiting;
}

/* No id is given for what waits in a task: it cannot be cancelled there. */
int mdc_resize_submit(struct mdc *mdc, const struct mdc_request *q, uint64_t *ret_id)
{
	bool sized = q->op == MDC_OPEN || (q->op == MDC_SETATTR && (q->valid & MDC_SET_SIZE));
	bool timed = q->op == MDC_SETATTR && (q->valid & (MDC_SET_MTIME | MDC_SET_MTIME_NOW));
	enum mdc_task_kind kind = MDC_TASK_TIMES;
	struct mdc_inode *inode;
	struct mdc_task *task;
	int r;

	if (q->op == MDC_CREATE)
		return create_submit(mdc, q, ret_id);
	inode = sized ? mdc_inode_get(mdc, q->ino) : mdc_inode_find(mdc->files, q->ino);
	if (!inode && sized)
		return mdc_fail(-ENOMEM, "no memory for an inode");
	if (!inode || (!sized && is_quiet(inode)))
		return mdc_request_send(mdc, q, ret_id);
	if (sized)
		kind = q->op == MDC_OPEN ? MDC_TASK_EMPTY : MDC_TASK_SIZE;
	else if (gives_rights(q) && clears_rights(inode))
		kind = MDC_TASK_RIGHTS;
	else if (!timed)
		return mdc_request_send(mdc, q, ret_id);
	r = task_for(mdc, kind, q, &task);
	if (r < 0) {
		mdc_inode_settle(inode);
		return r;
	}
	task->size = q->op == MDC_SETATTR && q->set ? q->set->size : 0;
	if (ret_id)
		*ret_id = 0;
	mdc_task_add(inode, task);
	mdc_touch(mdc);
	return 0;
}
