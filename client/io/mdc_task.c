/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What needs an inode for itself: giving back a layout, changing the size, emptying by an open,
 * allocating, setting rights or times. Tasks of an inode run one after the other; all but TIMES let no I/O start, wait for what
 * runs, and commit what is dirty before their own part.
 */
#include "client/io/mdc_data.h"

#include <errno.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>

static void advance(struct mdc_inode *inode);

struct mdc_task *mdc_task_new(enum mdc_task_kind kind)
{
	struct mdc_task *task = calloc(1, sizeof(*task));

	if (task)
		task->kind = kind;
	return task;
}

void mdc_task_free(struct mdc_task *task)
{
	if (!task)
		return;
	free(task->groups);
	free(task->name);
	free(task->value);
	free(task->later);
	free(task);
}

static void told(void *user, ssize_t error)
{
	struct mdc_task *task = user;

	if (task->request.done)
		task->request.done(task->request.user,
				   &(struct mdc_reply){.error = (int)error, .text = ""});
	task->later = NULL; /* freed by who calls this */
	mdc_task_free(task);
}

int mdc_task_carry(struct mdc *mdc, struct mdc_task *task, const struct mdc_request *q)
{
	task->request = *q;
	task->later = mdc_later_new(mdc, told, task);
	if (!task->later)
		return -ENOMEM;
	if (q->cred) {
		task->cred = *q->cred;
		task->groups = malloc((q->cred->group_count + 1) * sizeof(uint32_t));
		if (!task->groups)
			return -ENOMEM;
		for (uint32_t i = 0; i < q->cred->group_count; i++)
			task->groups[i] = q->cred->groups[i];
		task->cred.groups = task->groups;
		task->request.cred = &task->cred;
	}
	if (q->set) {
		task->set = *q->set;
		task->request.set = &task->set;
	}
	if (q->name) {
		task->request.name = task->name = strdup(q->name);
		if (!task->name)
			return -ENOMEM;
	}
	if (q->value) {
		task->request.value = task->value = malloc(q->value_bytes + 1);
		if (!task->value)
			return -ENOMEM;
		memcpy(task->value, q->value, q->value_bytes);
	}
	return 0;
}

bool mdc_tasks_freeze(const struct mdc_inode *inode)
{
	return inode->tasks && inode->tasks->kind != MDC_TASK_TIMES;
}

bool mdc_tasks_hold_commit(const struct mdc_inode *inode)
{
	return inode->tasks && inode->tasks->kind == MDC_TASK_TIMES && inode->tasks->started;
}

void mdc_task_add(struct mdc_inode *inode, struct mdc_task *task)
{
	struct mdc_task **at = &inode->tasks;

	while (*at)
		at = &(*at)->next;
	*at = task;
	mdc_tasks_run(inode);
}

static struct mdc_task *task_take(struct mdc_inode *inode)
{
	struct mdc_task *task = inode->tasks;

	inode->tasks = task->next;
	inode->pins++;
	return task;
}

static void go_on(struct mdc_inode *inode)
{
	mdc_tasks_run(inode);
	mdc_io_run(inode);
	mdc_commit_run(inode);
	inode->pins--;
	mdc_inode_settle(inode);
}

/* reply: what the task's request gave. */
static void task_over(struct mdc_inode *inode, struct mdc_reply *reply)
{
	struct mdc_task *task = task_take(inode);

	if (task->request.done)
		task->request.done(task->request.user, reply);
	mdc_task_free(task);
	go_on(inode);
}

/* An error before it could be asked, perhaps while the task is added. */
static void task_fail(struct mdc_inode *inode, int error)
{
	struct mdc_task *task = task_take(inode);

	if (task->later)
		mdc_later_done(task->later, error);
	else
		mdc_task_free(task);
	go_on(inode);
}

static void next_step(struct mdc_inode *inode)
{
	inode->tasks->step++;
	advance(inode);
}

/* ---- giving back the layout ---- */

/* An error means that the controller knows of no such layout: just as well. A grant may have come
 * since. */
static void layout_gone(const struct mdc_pending *pending)
{
	struct mdc_inode *inode = pending->object;

	if (inode->generation > pending->number)
		return;
	inode->layout = PR_LAYOUT_NONE;
	inode->generation = 0;
}

static void returned(struct mdc_pending *pending, int error, const uint8_t *p, uint32_t len)
{
	layout_gone(pending);
	next_step(pending->object);
}

static void returned_aside(struct mdc_pending *pending, int error, const uint8_t *p, uint32_t len)
{
	struct mdc_inode *inode = pending->object;

	layout_gone(pending);
	inode->pins--;
	mdc_inode_settle(inode);
}

/* From here on others may change the file, and no recall tells of it. */
static bool send_return(struct mdc_inode *inode, void (*done)(struct mdc_pending *, int error,
							      const uint8_t *p, uint32_t len))
{
	struct pr_layout_return back = {.ino = inode->ino, .generation = inode->generation};
	struct pr_buf *b = cl_prepare(inode->mdc->cl, pr_layout_return_size(&back));
	struct mdc_pending *pending;

	if (!b || pr_layout_return_encode(b, &back) < 0)
		return false;
	pending = mdc_raw_submit(inode->mdc, PR_T_LAYOUT_RETURN, done, inode);
	if (!pending)
		return false;
	pending->number = inode->generation;
	if (inode->files && !inode->mdc->closing)
		mdc_tell(inode->mdc,
			 &(struct mdc_event){.type = MDC_EVENT_INVALIDATE, .ino = inode->ino});
	return true;
}

static void forget_layout(struct mdc_inode *inode)
{
	cl_map_free(&inode->map);
	inode->window = 0;
	inode->leased = false;
}

static void give_back(struct mdc_inode *inode)
{
	forget_layout(inode);
	inode->tasks->generation = inode->generation;
	if (inode->layout == PR_LAYOUT_NONE)
		next_step(inode);
	else if (!send_return(inode, returned))
		task_fail(inode, -ENOMEM);
}

/*
 * A task that waits for the controller may wait for what another client holds, while that one's
 * waits for this layout: then it goes aside from the task. Nothing runs or is dirty at that point.
 */
static bool give_aside(struct mdc_inode *inode)
{
	if (!mdc_tasks_freeze(inode) || !inode->tasks->started || inode->running ||
	    inode->commit != MDC_COMMIT_IDLE || mdc_inode_is_dirty(inode))
		return false;
	/* What was granted behind the one that is on its way back needs another. */
	if (inode->tasks->kind == MDC_TASK_RETURN)
		return inode->tasks->generation == inode->generation;
	forget_layout(inode);
	if (send_return(inode, returned_aside))
		inode->pins++;
	return true;
}

/* Before others that have not begun: they may wait for an answer that waits for this layout. */
static void queue_return(struct mdc_inode *inode)
{
	struct mdc_task **at = &inode->tasks, *task;

	if (*at && (*at)->started)
		at = &(*at)->next;
	if (*at && (*at)->kind == MDC_TASK_RETURN)
		return;
	task = mdc_task_new(MDC_TASK_RETURN);
	if (!task)
		return;
	task->next = *at;
	*at = task;
	mdc_tasks_run(inode);
}

void mdc_task_return(struct mdc_inode *inode)
{
	if (inode->layout != PR_LAYOUT_NONE && !give_aside(inode))
		queue_return(inode);
}

/* ---- pieces of the others ---- */

/* The controller's word on the size; writes that wait have not moved it yet. */
static void resized(struct mdc_inode *inode, const struct mdc_attr *attr)
{
	mdc_inode_told(inode, attr);
	inode->size_dirty = false;
	inode->size_server = inode->size_seen = attr->size;
	inode->clean_end = 0;
}

/* The library's own part of a reply comes first, then the caller's. */
static void answered(void *user, struct mdc_reply *reply)
{
	struct mdc_inode *inode = user;
	struct mdc_task *task = inode->tasks;

	if (!reply->error) {
		if (task->kind == MDC_TASK_SIZE || task->kind == MDC_TASK_EMPTY)
			resized(inode, &reply->attr);
		else if (reply->attr.ino == inode->ino)
			mdc_inode_told(inode, &reply->attr);
	}
	task_over(inode, reply);
}

static void ask(struct mdc_inode *inode)
{
	struct mdc_request q = inode->tasks->request;
	int r;

	q.done = answered;
	q.user = inode;
	r = mdc_request_send(inode->mdc, &q, NULL);
	if (r < 0)
		task_fail(inode, r);
}

static void zeroed(void *user, ssize_t result)
{
	struct mdc_inode *inode = user;

	if (result < 0)
		task_fail(inode, (int)result);
	else
		next_step(inode);
}

static void io_added(struct mdc_inode *inode, int error)
{
	if (error < 0)
		task_fail(inode, error);
	else
		mdc_io_run(inode);
}

/* A size must be known before it can be decided what lies behind it. */
static void look(struct mdc_inode *inode)
{
	if (inode->leased)
		next_step(inode);
	else
		io_added(inode, mdc_io_look(inode, zeroed, inode));
}

/* Zeros [from, to), which lies in one block. */
static void zero(struct mdc_inode *inode, uint64_t from, uint64_t to)
{
	if (from >= to)
		next_step(inode);
	else
		io_added(inode, mdc_io_zero(inode, from, to - from, zeroed, inode));
}

static void zero_tail(struct mdc_inode *inode, bool grows)
{
	if (!grows)
		next_step(inode);
	else
		io_added(inode, mdc_io_zero_tail(inode, zeroed, inode));
}

static uint64_t up(uint64_t offset)
{
	return (offset + CL_BLOCK_BYTES - 1) & ~(uint64_t)(CL_BLOCK_BYTES - 1);
}

static uint64_t down(uint64_t offset)
{
	return offset & ~(uint64_t)(CL_BLOCK_BYTES - 1);
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* The zeros are on the LUN before the controller makes them part of the file. */
static void settle_writes(struct mdc_inode *inode)
{
	if (!mdc_inode_is_dirty(inode)) {
		next_step(inode);
		return;
	}
	inode->commit_wanted = true;
	mdc_commit_run(inode);
}

static void size_step(struct mdc_inode *inode, struct mdc_task *task)
{
	const struct cl_ext *beyond;

	switch (task->step) {
	case 0:
		/* Emptied, it is the same whatever it was. */
		if (task->size)
			look(inode);
		else
			next_step(inode);
		break;
	case 1:
		zero_tail(inode, task->size > inode->size_seen);
		break;
	case 2:
		settle_writes(inode);
		break;
	case 3:
		/* What was allocated beyond the end goes too, though the size stays as it is. */
		beyond = cl_map_find(&inode->map, up(task->size) / CL_BLOCK_BYTES);
		if (beyond && task->size <= inode->size_seen)
			give_back(inode);
		else
			next_step(inode);
		break;
	default:
		ask(inode);
		break;
	}
}

static void allocated(struct mdc_pending *pending, int error, const uint8_t *p, uint32_t len)
{
	struct mdc_inode *inode = pending->object;
	struct mdc_reply reply = {.error = error, .text = ""};
	struct pr_allocate_r r;

	inode->mdc->loop->completed++;
	if (!error && pr_allocate_r_decode(&r, p, len) < 0)
		reply.error = -EPROTO;
	if (!reply.error) {
		mdc_attr_from(&reply.attr, &r.attr);
		resized(inode, &reply.attr);
	}
	/* What was freed is reused when nobody holds a layout of it any more. */
	cl_map_free(&inode->map);
	queue_return(inode);
	task_over(inode, &reply);
}

/* Whole blocks are the controller's part. */
static void allocate(struct mdc_inode *inode, struct mdc_task *task)
{
	struct pr_allocate a = {.ino = inode->ino, .mode = task->mode};
	uint64_t to = task->offset + task->bytes;
	struct mdc *mdc = inode->mdc;
	struct pr_buf *b;

	/* A hole that reaches the end takes the last block with it. */
	if ((task->mode & FALLOC_FL_PUNCH_HOLE) && to >= inode->size_seen)
		to = up(to);
	a.offset = task->offset;
	a.length = to - task->offset;
	mdc_cred_to(&a.cred, task->request.cred);
	b = cl_prepare(mdc->cl, pr_allocate_size(&a));
	if (!b || pr_allocate_encode(b, &a) < 0 ||
	    !mdc_raw_submit(mdc, PR_T_ALLOCATE, allocated, inode))
		task_fail(inode, -ENOMEM);
}

static void allocate_step(struct mdc_inode *inode, struct mdc_task *task)
{
	uint64_t from = task->offset, to = task->offset + task->bytes, eof = inode->size_seen;
	bool zeroes = task->mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE);
	bool grows = !(task->mode & FALLOC_FL_KEEP_SIZE) && to > eof;

	switch (task->step) {
	case 0:
		look(inode);
		break;
	case 1:
		zero_tail(inode, grows);
		break;
	case 2:
		zero(inode, from, zeroes ? least(least(up(from), to), eof) : from);
		break;
	case 3:
		/* The tail's block, unless it is the head's. */
		to = least(to, eof);
		zero(inode,
		     zeroes && down(task->offset + task->bytes) >= up(from)
			     ? least(down(task->offset + task->bytes), to)
			     : to,
		     to);
		break;
	case 4:
		settle_writes(inode);
		break;
	default:
		allocate(inode, task);
		break;
	}
}

/* ---- running ---- */

static void advance(struct mdc_inode *inode)
{
	struct mdc_task *task = inode->tasks;

	if (inode->mdc->failed) {
		task_fail(inode, inode->mdc->failed == -ESTALE ? -ESTALE : -EIO);
		return;
	}
	switch (task->kind) {
	case MDC_TASK_RETURN:
		if (task->step == 0)
			give_back(inode);
		else
			task_fail(inode, 0);
		break;
	case MDC_TASK_SIZE:
		size_step(inode, task);
		break;
	case MDC_TASK_EMPTY:
		if (task->step == 0)
			give_back(inode);
		else
			ask(inode);
		break;
	case MDC_TASK_TIMES:
	case MDC_TASK_RIGHTS:
		ask(inode);
		break;
	case MDC_TASK_ALLOCATE:
		allocate_step(inode, task);
		break;
	}
}

static bool waits_for_commit(const struct mdc_task *task)
{
	return (task->kind == MDC_TASK_SIZE && task->step == 2) ||
	       (task->kind == MDC_TASK_ALLOCATE && task->step == 4);
}

void mdc_tasks_run(struct mdc_inode *inode)
{
	struct mdc_task *task = inode->tasks;

	if (!task || inode->commit != MDC_COMMIT_IDLE)
		return;
	if (task->started) {
		if (waits_for_commit(task) && !mdc_inode_is_dirty(inode))
			next_step(inode);
		return;
	}
	if (task->kind == MDC_TASK_TIMES) {
		task->started = true;
		task->seq = inode->seq;
		advance(inode);
		return;
	}
	/* A layout is given back though another is asked for: the controller may need what is in it
	 * to grant that. */
	if (task->kind == MDC_TASK_RETURN ? inode->running != NULL : !mdc_io_quiet(inode))
		return;
	if (mdc_inode_is_dirty(inode) && !inode->mdc->failed) {
		inode->commit_wanted = true;
		mdc_commit_run(inode);
		return;
	}
	task->started = true;
	advance(inode);
}
