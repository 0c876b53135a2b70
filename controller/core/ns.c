/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "controller/core/ns_node.h"

#include <errno.h>
#include <sys/stat.h>

int ns_node_get(struct tx *tx, uint64_t ino, struct ns_node *ret)
{
	int r = tx_get_inode(tx, ino, &ret->row);

	ret->ino = ino;
	return r == -ENOENT ? -ESTALE : r;
}

int ns_node_named(struct tx *tx, uint64_t ino, struct ns_node *ret)
{
	int r = ns_node_get(tx, ino, ret);

	ASSERT(r != -ESTALE);
	return r;
}

void ns_node_put(struct tx *tx, const struct ns_node *n)
{
	tx_put_inode(tx, n->ino, &n->row);
}

void ns_node_touch(const struct tx *tx, struct ns_node *n)
{
	n->row.ctime_ns = tx->now_ns;
	n->row.change++;
}

void ns_node_modify(const struct tx *tx, struct ns_node *n)
{
	n->row.mtime_ns = tx->now_ns;
	ns_node_touch(tx, n);
}

int ns_node_killpriv(struct tx *tx, struct ns_node *n)
{
	struct pr_bytes name = pr_bytes_str("security.capability");
	struct pr_row_xattr xattr;
	int r;

	n->row.mode = perm_without_setid(n->row.mode);
	if (n->row.xattrs == 0 || !S_ISREG(n->row.mode))
		return 0;
	r = tx_get_xattr(tx, n->ino, name, &xattr);
	if (r == -ENOENT)
		return 0;
	if (r)
		return r;
	tx_del_xattr(tx, n->ino, name);
	n->row.xattrs--;
	return 0;
}

void ns_node_drop(struct tx *tx, struct ns_node *n)
{
	struct pr_row_orphan orphan = {.since_lsn = tx->lsn};

	ASSERT(n->row.nlink > 0);
	n->row.nlink = S_ISDIR(n->row.mode) ? 0 : n->row.nlink - 1;
	ns_node_touch(tx, n);
	ns_node_put(tx, n);
	if (n->row.nlink == 0)
		tx_put_orphan(tx, n->ino, &orphan);
}

struct pr_attr ns_attr(const struct ns_node *n)
{
	const struct pr_row_inode *row = &n->row;

	return (struct pr_attr){
		.ino = n->ino,
		.mode = row->mode,
		.nlink = row->nlink,
		.uid = row->uid,
		.gid = row->gid,
		.rdev = row->rdev,
		.size = row->size,
		.blocks = row->blocks * (NS_BLOCK_BYTES / 512),
		.atime_ns = row->atime_ns,
		.mtime_ns = row->mtime_ns,
		.ctime_ns = row->ctime_ns,
		.btime_ns = row->btime_ns,
		.change = row->change,
	};
}

int ns_stat_add(struct tx *tx, int64_t inodes, int64_t blocks_free, int64_t blocks_resting)
{
	struct pr_row_vstat stat;
	int r = tx_get_vstat(tx, &stat);

	ASSERT(r != -ENOENT);
	if (r)
		return r;
	stat.inodes += (uint64_t)inodes;
	stat.blocks_free += (uint64_t)blocks_free;
	stat.blocks_resting += (uint64_t)blocks_resting;
	ASSERT(stat.blocks_free + stat.blocks_resting <= stat.blocks);
	tx_put_vstat(tx, &stat);
	return 0;
}

int ns_lookup(struct tx *tx, const struct pr_lookup *q, struct pr_lookup_r *ret)
{
	struct ns_node dir, n;
	struct pr_row_name name;
	int r;

	if (ns_dots(q->name)) {
		r = ns_node_get(tx, q->parent, &dir);
		if (r == 0 && !S_ISDIR(dir.row.mode))
			r = -ENOTDIR;
		if (r == 0)
			r = perm_check(&q->cred, &dir.row, PERM_X);
		name.ino = ns_dots(q->name) == 1 ? dir.ino : dir.row.parent;
	} else {
		r = ns_dir_find(tx, &q->cred, q->parent, q->name, &dir, &name);
	}
	if (r)
		return r;
	r = ns_dots(q->name) ? ns_node_get(tx, name.ino, &n) : ns_node_named(tx, name.ino, &n);
	if (r == 0)
		ret->attr = ns_attr(&n);
	return r;
}

int ns_getattr(struct tx *tx, const struct pr_getattr *q, struct pr_getattr_r *ret)
{
	struct ns_node n;
	int r = ns_node_get(tx, q->ino, &n);

	if (r == 0)
		ret->attr = ns_attr(&n);
	return r;
}

int ns_access(struct tx *tx, const struct pr_access *q, struct pr_access_r *ret)
{
	struct ns_node n;
	int r;

	if (q->mask & ~(uint32_t)(PERM_R | PERM_W | PERM_X))
		return -EINVAL;
	r = ns_node_get(tx, q->ino, &n);
	return r ? r : perm_check(&q->cred, &n.row, q->mask);
}

int ns_readlink(struct tx *tx, const struct pr_readlink *q, struct pr_readlink_r *ret)
{
	struct pr_row_target target;
	struct ns_node n;
	int r = ns_node_get(tx, q->ino, &n);

	if (r)
		return r;
	if (!S_ISLNK(n.row.mode))
		return -EINVAL;
	r = tx_get_target(tx, q->ino, &target);
	ASSERT(r != -ENOENT);
	if (r == 0)
		ret->target = target.text;
	return r;
}

int ns_statfs(struct tx *tx, const struct pr_statfs *q, struct pr_statfs_r *ret)
{
	/* Inodes cost nothing on the LUNs; programs want to see that some are left. */
	const uint64_t files_free = UINT32_MAX;
	struct pr_row_vstat stat;
	int r = tx_get_vstat(tx, &stat);

	if (r)
		return r == -ENOENT ? -ESTALE : r;
	ret->blocks = stat.blocks;
	/* What rests comes back by itself, and who deletes a file looks at df next. */
	ret->blocks_free = stat.blocks_free + stat.blocks_resting;
	ret->files = stat.inodes + files_free;
	ret->files_free = files_free;
	ret->block_bytes = NS_BLOCK_BYTES;
	ret->name_max = 255;
	return 0;
}
