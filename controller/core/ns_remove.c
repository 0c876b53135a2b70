/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Operations that take a name away. */
#include "controller/core/ns_node.h"

#include <errno.h>
#include <sys/stat.h>

/* The name, its directory and its inode, when they may be parted. */
static int remove_begin(struct tx *tx, const struct pr_cred *cred, uint64_t parent,
			struct pr_bytes text, struct ns_node *dir, struct pr_row_name *name,
			struct ns_node *n)
{
	int r = ns_dir_find(tx, cred, parent, text, dir, name);

	if (r == 0)
		r = ns_node_named(tx, name->ino, n);
	return r ? r : perm_may_delete(cred, &dir->row, &n->row);
}

int ns_unlink(struct tx *tx, const struct pr_unlink *q, struct pr_unlink_r *ret)
{
	struct pr_row_name name;
	struct ns_node dir, n;
	int r;

	if (ns_dots(q->name))
		return -EISDIR;
	r = remove_begin(tx, &q->cred, q->parent, q->name, &dir, &name, &n);
	if (r)
		return r;
	if (S_ISDIR(n.row.mode))
		return -EISDIR;
	ns_dir_remove(tx, &dir, q->name, name.cookie);
	ns_node_modify(tx, &dir);
	ns_node_put(tx, &dir);
	ns_node_drop(tx, &n);
	ret->ino = n.ino;
	ret->nlink = n.row.nlink;
	return 0;
}

int ns_rmdir(struct tx *tx, const struct pr_rmdir *q, struct pr_rmdir_r *ret)
{
	struct pr_row_name name;
	struct ns_node dir, n;
	int r;

	if (ns_dots(q->name))
		return ns_dots(q->name) == 1 ? -EINVAL : -ENOTEMPTY;
	r = remove_begin(tx, &q->cred, q->parent, q->name, &dir, &name, &n);
	if (r)
		return r;
	if (!S_ISDIR(n.row.mode))
		return -ENOTDIR;
	if (n.row.entries > 0)
		return -ENOTEMPTY;
	ASSERT(dir.row.nlink > 2);
	ns_dir_remove(tx, &dir, q->name, name.cookie);
	dir.row.nlink--;
	ns_node_modify(tx, &dir);
	ns_node_put(tx, &dir);
	ns_node_drop(tx, &n);
	return 0;
}
