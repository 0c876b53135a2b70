/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Operations that make a name: create, open (which may be one), mknod, mkdir, symlink, link. */
#include "controller/core/ns_node.h"

#include <errno.h>
#include <sys/stat.h>

/* The name is free and may be made. -EEXIST comes before -EACCES, as Linux looks the name up before it asks to write. */
static int make_begin(struct tx *tx, const struct pr_cred *cred, uint64_t parent,
		      struct pr_bytes name, struct ns_node *dir)
{
	struct pr_row_name row;
	int r;

	if (ns_dots(name))
		return -EEXIST;
	r = ns_dir_find(tx, cred, parent, name, dir, &row);
	if (r == 0)
		return -EEXIST;
	if (r != -ENOENT)
		return r;
	if (dir->row.nlink == 0)
		return -ENOENT;
	return perm_check(cred, &dir->row, PERM_W);
}

static int make_node(struct tx *tx, const struct pr_cred *cred, const struct ns_node *dir,
		     uint32_t mode, struct ns_node *n)
{
	int r = ns_stat_add(tx, 1, 0, 0);

	if (r)
		return r;
	*n = (struct ns_node){.ino = ctl_new_ino(tx)};
	if (n->ino == 0)
		return TX_MISS;
	n->row.uid = cred->uid;
	perm_inherit(cred, &dir->row, &mode, &n->row.gid);
	n->row.mode = mode;
	n->row.nlink = 1;
	n->row.atime_ns = n->row.mtime_ns = n->row.ctime_ns = n->row.btime_ns = tx->now_ns;
	n->row.change = 1;
	if (S_ISDIR(mode)) {
		n->row.nlink = 2;
		n->row.parent = dir->ino;
		n->row.next_cookie = NS_FIRST_COOKIE;
	}
	return 0;
}

static void make_end(struct tx *tx, struct ns_node *dir, struct pr_bytes name,
		     const struct ns_node *n)
{
	ns_node_put(tx, n);
	ns_dir_add(tx, dir, name, n);
	ns_node_modify(tx, dir);
	ns_node_put(tx, dir);
}

/* ---- opening ---- */

static unsigned open_mask(uint32_t flags)
{
	unsigned mask = 0;

	if (flags & PR_O_READ)
		mask |= PERM_R;
	if (flags & (PR_O_WRITE | PR_O_TRUNC))
		mask |= PERM_W;
	if (flags & PR_O_EXEC)
		mask |= PERM_X;
	return mask;
}

static int open_check(const struct pr_cred *cred, const struct pr_row_inode *row, uint32_t flags)
{
	if (S_ISLNK(row->mode))
		return -ELOOP;
	if (S_ISDIR(row->mode) && (flags & (PR_O_WRITE | PR_O_TRUNC | PR_O_CREAT)))
		return -EISDIR;
	if (!S_ISREG(row->mode) && (flags & PR_O_EXEC))
		return -EACCES;
	return perm_check(cred, row, open_mask(flags));
}

static int open_node(struct tx *tx, const struct pr_cred *cred, struct ns_node *n, uint32_t flags)
{
	int r = open_check(cred, &n->row, flags);

	if (r || !(flags & PR_O_TRUNC) || !S_ISREG(n->row.mode))
		return r;
	if (!perm_is_root(cred))
		r = ns_node_killpriv(tx, n);
	if (r == 0)
		r = ns_truncate(tx, n, 0);
	if (r)
		return r;
	ns_node_modify(tx, n);
	ns_node_put(tx, n);
	return 0;
}

int ns_open(struct tx *tx, const struct pr_open *q, struct pr_open_r *ret)
{
	struct ns_node n;
	int r = ns_node_get(tx, q->ino, &n);

	if (r == 0)
		r = open_node(tx, &q->cred, &n, q->flags);
	if (r == 0)
		ret->attr = ns_attr(&n);
	return r;
}

/* The name exists: an open, unless it had to be new. */
static int create_found(struct tx *tx, const struct pr_create *q, uint64_t ino, struct ns_node *n)
{
	int r;

	if (q->flags & PR_O_EXCL)
		return -EEXIST;
	r = ns_node_named(tx, ino, n);
	return r ? r : open_node(tx, &q->cred, n, q->flags | PR_O_CREAT);
}

static int create_new(struct tx *tx, const struct pr_create *q, struct ns_node *dir,
		      struct ns_node *n)
{
	int r;

	if (dir->row.nlink == 0)
		return -ENOENT;
	r = perm_check(&q->cred, &dir->row, PERM_W);
	if (r == 0)
		r = make_node(tx, &q->cred, dir, S_IFREG | (q->mode & 07777), n);
	if (r == 0)
		make_end(tx, dir, q->name, n);
	return r;
}

int ns_create(struct tx *tx, const struct pr_create *q, struct pr_create_r *ret)
{
	struct ns_node dir, n;
	struct pr_row_name name;
	int r;

	if (ns_dots(q->name))
		return q->flags & PR_O_EXCL ? -EEXIST : -EISDIR;
	r = ns_dir_find(tx, &q->cred, q->parent, q->name, &dir, &name);
	ret->created = r == -ENOENT;
	if (r == -ENOENT)
		r = create_new(tx, q, &dir, &n);
	else if (r == 0)
		r = create_found(tx, q, name.ino, &n);
	if (r == 0)
		ret->attr = ns_attr(&n);
	return r;
}

/* ---- the others ---- */

int ns_mknod(struct tx *tx, const struct pr_mknod *q, struct pr_mknod_r *ret)
{
	uint32_t type = q->mode & S_IFMT;
	struct ns_node dir, n;
	int r;

	if (type == 0)
		type = S_IFREG;
	if (type == S_IFDIR)
		return -EPERM;
	if (type != S_IFREG && type != S_IFIFO && type != S_IFSOCK && type != S_IFCHR &&
	    type != S_IFBLK)
		return -EINVAL;
	r = make_begin(tx, &q->cred, q->parent, q->name, &dir);
	if (r)
		return r;
	if ((type == S_IFCHR || type == S_IFBLK) && !perm_is_root(&q->cred))
		return -EPERM;
	r = make_node(tx, &q->cred, &dir, type | (q->mode & 07777), &n);
	if (r)
		return r;
	if (type == S_IFCHR || type == S_IFBLK)
		n.row.rdev = q->rdev;
	make_end(tx, &dir, q->name, &n);
	ret->attr = ns_attr(&n);
	return 0;
}

int ns_mkdir(struct tx *tx, const struct pr_mkdir *q, struct pr_mkdir_r *ret)
{
	struct ns_node dir, n;
	int r = make_begin(tx, &q->cred, q->parent, q->name, &dir);

	if (r)
		return r;
	if (dir.row.nlink >= NS_LINK_MAX)
		return -EMLINK;
	/* Set-id bits of a new directory come from its parent alone. */
	r = make_node(tx, &q->cred, &dir, S_IFDIR | (q->mode & 01777), &n);
	if (r)
		return r;
	dir.row.nlink++;
	make_end(tx, &dir, q->name, &n);
	ret->attr = ns_attr(&n);
	return 0;
}

int ns_symlink(struct tx *tx, const struct pr_symlink *q, struct pr_symlink_r *ret)
{
	struct pr_row_target target = {.text = q->target};
	struct ns_node dir, n;
	int r;

	if (q->target.len == 0)
		return -ENOENT;
	r = make_begin(tx, &q->cred, q->parent, q->name, &dir);
	if (r == 0)
		r = make_node(tx, &q->cred, &dir, S_IFLNK | 0777, &n);
	if (r)
		return r;
	n.row.size = q->target.len;
	tx_put_target(tx, n.ino, &target);
	make_end(tx, &dir, q->name, &n);
	ret->attr = ns_attr(&n);
	return 0;
}

int ns_link(struct tx *tx, const struct pr_link *q, struct pr_link_r *ret)
{
	struct ns_node dir, n;
	int r = ns_node_get(tx, q->ino, &n);

	if (r == 0)
		r = make_begin(tx, &q->cred, q->parent, q->name, &dir);
	if (r)
		return r;
	if (S_ISDIR(n.row.mode))
		return -EPERM;
	if (n.row.nlink == 0)
		return -ENOENT;
	if (n.row.nlink >= NS_LINK_MAX)
		return -EMLINK;
	n.row.nlink++;
	ns_node_touch(tx, &n);
	make_end(tx, &dir, q->name, &n);
	ret->attr = ns_attr(&n);
	return 0;
}
