/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rename, in three parts: read all that takes part, judge in the order of Linux, change. In one directory old_dir and new_dir are
 * the same node in hand, so that it is changed and put once.
 */
#include "controller/core/ns_node.h"

#include <errno.h>
#include <sys/stat.h>

struct rename {
	const struct pr_rename *q;
	struct ns_node dirs[2];
	struct ns_node *old_dir, *new_dir;
	struct pr_row_name old_name, new_name;
	struct ns_node old, new;
	bool replaces; /* the new name exists: new_name and new are valid */
};

static bool exchanges(const struct rename *m)
{
	return m->q->flags & PR_RENAME_EXCHANGE;
}

static int rename_read_new(struct tx *tx, struct rename *m)
{
	const struct pr_rename *q = m->q;
	int r;

	if (q->old_parent == q->new_parent)
		r = tx_get_name(tx, q->new_parent, q->new_name, &m->new_name);
	else
		r = ns_dir_find(tx, &q->cred, q->new_parent, q->new_name, m->new_dir, &m->new_name);
	if (r == -ENOENT && !exchanges(m))
		return 0;
	if (r)
		return r;
	if (q->flags & PR_RENAME_NOREPLACE)
		return -EEXIST;
	m->replaces = true;
	return ns_node_named(tx, m->new_name.ino, &m->new);
}

static int rename_read(struct tx *tx, struct rename *m)
{
	const struct pr_rename *q = m->q;
	int r;

	m->old_dir = &m->dirs[0];
	m->new_dir = &m->dirs[q->old_parent != q->new_parent];
	r = ns_dir_find(tx, &q->cred, q->old_parent, q->old_name, m->old_dir, &m->old_name);
	if (r == 0)
		r = ns_node_named(tx, m->old_name.ino, &m->old);
	return r ? r : rename_read_new(tx, m);
}

/* -EINVAL: top is the directory or above it. */
static int not_above(struct tx *tx, const struct ns_node *top, const struct ns_node *dir)
{
	struct ns_node n = *dir;
	uint32_t depth = 0;
	int r;

	for (;;) {
		if (n.ino == top->ino)
			return -EINVAL;
		/* The root is its own parent; a removed directory leads nowhere. */
		if (n.row.parent == n.ino || n.row.nlink == 0)
			return 0;
		if (++depth > NS_DEPTH_MAX)
			return -ELOOP;
		r = ns_node_named(tx, n.row.parent, &n);
		if (r)
			return r;
	}
}

static int rename_judge_cycle(struct tx *tx, const struct rename *m)
{
	int r = 0;

	if (m->old_dir == m->new_dir)
		return 0;
	if (S_ISDIR(m->old.row.mode))
		r = not_above(tx, &m->old, m->new_dir);
	if (r == 0 && exchanges(m) && S_ISDIR(m->new.row.mode))
		r = not_above(tx, &m->new, m->old_dir);
	return r;
}

static int rename_judge_target(const struct rename *m)
{
	const struct pr_cred *cred = &m->q->cred;
	int r;

	if (!m->replaces)
		return m->new_dir->row.nlink == 0 ? -ENOENT
						  : perm_check(cred, &m->new_dir->row, PERM_W);
	r = perm_may_delete(cred, &m->new_dir->row, &m->new.row);
	if (r || exchanges(m))
		return r;
	if (S_ISDIR(m->old.row.mode))
		return S_ISDIR(m->new.row.mode) ? 0 : -ENOTDIR;
	return S_ISDIR(m->new.row.mode) ? -EISDIR : 0;
}

/* A directory that changes its parent has its ".." written. */
static int rename_judge_dotdot(const struct rename *m)
{
	const struct pr_cred *cred = &m->q->cred;
	int r = 0;

	if (m->old_dir == m->new_dir)
		return 0;
	if (S_ISDIR(m->old.row.mode))
		r = perm_check(cred, &m->old.row, PERM_W);
	if (r == 0 && exchanges(m) && S_ISDIR(m->new.row.mode))
		r = perm_check(cred, &m->new.row, PERM_W);
	return r;
}

/* How many directories more the new directory holds. */
static int rename_gain(const struct rename *m)
{
	return S_ISDIR(m->old.row.mode) - (m->replaces && S_ISDIR(m->new.row.mode));
}

static int rename_judge(struct tx *tx, const struct rename *m)
{
	int r = rename_judge_cycle(tx, m);

	if (r == 0)
		r = perm_may_delete(&m->q->cred, &m->old_dir->row, &m->old.row);
	if (r == 0)
		r = rename_judge_target(m);
	if (r == 0)
		r = rename_judge_dotdot(m);
	if (r)
		return r;
	if (m->replaces && !exchanges(m) && S_ISDIR(m->new.row.mode) && m->new.row.entries > 0)
		return -ENOTEMPTY;
	if (m->old_dir != m->new_dir && rename_gain(m) > 0 && m->new_dir->row.nlink >= NS_LINK_MAX)
		return -EMLINK;
	return 0;
}

static void rename_swap(struct tx *tx, struct rename *m)
{
	const struct pr_rename *q = m->q;

	ns_dir_replace(tx, m->old_dir, q->old_name, m->old_name.cookie, &m->new);
	ns_dir_replace(tx, m->new_dir, q->new_name, m->new_name.cookie, &m->old);
	if (S_ISDIR(m->new.row.mode))
		m->new.row.parent = m->old_dir->ino;
	ns_node_touch(tx, &m->new);
	ns_node_put(tx, &m->new);
	if (m->old_dir != m->new_dir) {
		m->old_dir->row.nlink -= (uint32_t)rename_gain(m);
		m->new_dir->row.nlink += (uint32_t)rename_gain(m);
	}
}

static void rename_move(struct tx *tx, struct rename *m)
{
	const struct pr_rename *q = m->q;
	bool stays = m->old_dir == m->new_dir;

	ns_dir_remove(tx, m->old_dir, q->old_name, m->old_name.cookie);
	if (m->replaces) {
		ns_dir_replace(tx, m->new_dir, q->new_name, m->new_name.cookie, &m->old);
		ns_node_drop(tx, &m->new);
	} else if (stays) {
		/* Keeping the cookie, it is listed once to whoever is in the middle of a listing. */
		ns_dir_replace(tx, m->new_dir, q->new_name, m->old_name.cookie, &m->old);
		m->new_dir->row.entries++;
	} else {
		ns_dir_add(tx, m->new_dir, q->new_name, &m->old);
	}
	if (!stays)
		m->old_dir->row.nlink -= S_ISDIR(m->old.row.mode);
	m->new_dir->row.nlink +=
		(uint32_t)(stays ? rename_gain(m) - S_ISDIR(m->old.row.mode) : rename_gain(m));
}

static void rename_apply(struct tx *tx, struct rename *m)
{
	if (exchanges(m))
		rename_swap(tx, m);
	else
		rename_move(tx, m);
	if (S_ISDIR(m->old.row.mode))
		m->old.row.parent = m->new_dir->ino;
	ns_node_touch(tx, &m->old);
	ns_node_put(tx, &m->old);
	ns_node_modify(tx, m->old_dir);
	ns_node_put(tx, m->old_dir);
	if (m->old_dir == m->new_dir)
		return;
	ns_node_modify(tx, m->new_dir);
	ns_node_put(tx, m->new_dir);
}

int ns_rename(struct tx *tx, const struct pr_rename *q, struct pr_rename_r *ret)
{
	struct rename m = {.q = q};
	int r;

	if (q->flags == (PR_RENAME_NOREPLACE | PR_RENAME_EXCHANGE))
		return -EINVAL;
	if (ns_dots(q->old_name) || ns_dots(q->new_name))
		return q->flags & PR_RENAME_NOREPLACE && !ns_dots(q->old_name) ? -EEXIST : -EBUSY;
	r = rename_read(tx, &m);
	if (r)
		return r;
	/* Two names of one inode: POSIX has rename do nothing. A directory has one name, so this is no cycle. */
	if (m.replaces && m.old.ino == m.new.ino)
		return 0;
	r = rename_judge(tx, &m);
	if (r == 0)
		rename_apply(tx, &m);
	return r;
}
