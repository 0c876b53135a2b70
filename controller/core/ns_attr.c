/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * setattr. It judges everything it was asked for, then changes. A truncation through an open handle was judged at the open: the
 * client sends it as uid 0 and asks for KILLPRIV itself.
 */
#include "controller/core/ns_node.h"

#include <errno.h>
#include <sys/stat.h>

enum { SET_TIMES = PR_SET_ATIME | PR_SET_MTIME | PR_SET_ATIME_NOW | PR_SET_MTIME_NOW };
enum { SET_BOTH_NOW = PR_SET_ATIME_NOW | PR_SET_MTIME_NOW };

static int judge_size(const struct pr_setattr *q, const struct ns_node *n)
{
	if (S_ISDIR(n->row.mode))
		return -EISDIR;
	if (!S_ISREG(n->row.mode))
		return -EINVAL;
	if (q->size > NS_SIZE_MAX)
		return -EFBIG;
	return perm_check(&q->cred, &n->row, PERM_W);
}

/* Both times to now is what a write does anyway; anything else is the owner's, as utimensat(2) has it. */
static int judge_times(const struct pr_setattr *q, const struct ns_node *n)
{
	uint32_t asked = q->valid & SET_TIMES;
	bool explicit = ((asked & PR_SET_ATIME) && !(asked & PR_SET_ATIME_NOW)) ||
			((asked & PR_SET_MTIME) && !(asked & PR_SET_MTIME_NOW));

	/* Times that come with a truncation are part of it. */
	if ((q->valid & PR_SET_SIZE) && !explicit)
		return 0;
	if (perm_is_owner(&q->cred, &n->row))
		return 0;
	if (explicit || (asked & SET_BOTH_NOW) != SET_BOTH_NOW)
		return -EPERM;
	return perm_check(&q->cred, &n->row, PERM_W);
}

static int judge(const struct pr_setattr *q, const struct ns_node *n)
{
	uint32_t uid = q->valid & PR_SET_UID ? q->uid : n->row.uid;
	uint32_t gid = q->valid & PR_SET_GID ? q->gid : n->row.gid;
	int r = 0;

	if (uid == UINT32_MAX || gid == UINT32_MAX)
		return -EINVAL;
	if (q->valid & (PR_SET_UID | PR_SET_GID))
		r = perm_chown(&q->cred, &n->row, uid, gid);
	if (r == 0 && (q->valid & PR_SET_MODE) && !perm_is_owner(&q->cred, &n->row))
		r = -EPERM;
	/* relatime's touch follows a read, which was judged at the open. */
	if (r == 0 && (q->valid & SET_TIMES) && !(q->valid & PR_SET_ATIME_TOUCH))
		r = judge_times(q, n);
	if (r == 0 && (q->valid & PR_SET_SIZE))
		r = judge_size(q, n);
	return r;
}

static bool kills_privileges(const struct pr_setattr *q)
{
	if (q->valid & (PR_SET_KILLPRIV | PR_SET_UID | PR_SET_GID))
		return true;
	return (q->valid & PR_SET_SIZE) && !perm_is_root(&q->cred);
}

static void apply_times(const struct tx *tx, const struct pr_setattr *q, struct pr_row_inode *row)
{
	if (q->valid & PR_SET_ATIME_NOW)
		row->atime_ns = tx->now_ns;
	else if (q->valid & PR_SET_ATIME)
		row->atime_ns = q->atime_ns;
	if (q->valid & PR_SET_MTIME_NOW)
		row->mtime_ns = tx->now_ns;
	else if (q->valid & PR_SET_MTIME)
		row->mtime_ns = q->mtime_ns;
}

static int apply(struct tx *tx, const struct pr_setattr *q, struct ns_node *n)
{
	int r = 0;

	/* The size first: if it takes another record, nothing else has changed. */
	if (q->valid & PR_SET_SIZE)
		r = ns_truncate(tx, n, q->size);
	if (r == 0 && kills_privileges(q))
		r = ns_node_killpriv(tx, n);
	if (r)
		return r;
	if (q->valid & PR_SET_UID)
		n->row.uid = q->uid;
	if (q->valid & PR_SET_GID)
		n->row.gid = q->gid;
	if (q->valid & PR_SET_MODE)
		n->row.mode = perm_chmod(&q->cred, n->row.mode, q->mode, n->row.gid);
	if (q->valid & PR_SET_SIZE)
		ns_node_modify(tx, n);
	else
		ns_node_touch(tx, n);
	apply_times(tx, q, &n->row);
	return 0;
}

/* Only the time of the last read: neither ctime nor the change counter moves, or reading would empty caches. */
static void touch(const struct tx *tx, const struct pr_setattr *q, struct ns_node *n)
{
	int64_t when = q->valid & PR_SET_ATIME ? q->atime_ns : tx->now_ns;

	if (when > n->row.atime_ns)
		n->row.atime_ns = when < tx->now_ns ? when : tx->now_ns;
}

int ns_setattr(struct tx *tx, const struct pr_setattr *q, struct pr_setattr_r *ret)
{
	struct ns_node n;
	int r = ns_node_get(tx, q->ino, &n);

	if (r == 0)
		r = judge(q, &n);
	if (r)
		return r;
	if (q->valid == PR_SET_ATIME_TOUCH || q->valid == (PR_SET_ATIME_TOUCH | PR_SET_ATIME))
		touch(tx, q, &n);
	else if (q->valid)
		r = apply(tx, q, &n);
	if (r)
		return r;
	if (q->valid)
		ns_node_put(tx, &n);
	ret->attr = ns_attr(&n);
	return 0;
}
