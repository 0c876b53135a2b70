/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Extended attributes by the rules of xattr(7): user.* follows the permission bits of files and directories, trusted.* is root's,
 * security.* is read by all and written by root, system.* (POSIX ACLs) is not kept.
 */
#include "controller/core/ns_node.h"

#include <errno.h>
#include <sys/stat.h>

static bool is_in(struct pr_bytes name, const char *space)
{
	size_t len = strlen(space);

	return name.len >= len && memcmp(name.p, space, len) == 0;
}

static int judge_user(const struct pr_cred *cred, const struct pr_row_inode *row, unsigned mask)
{
	if (!S_ISREG(row->mode) && !S_ISDIR(row->mode))
		return mask & PERM_W ? -EPERM : -ENODATA;
	if (S_ISDIR(row->mode) && (row->mode & S_ISVTX) && (mask & PERM_W) &&
	    !perm_is_owner(cred, row))
		return -EPERM;
	return perm_check(cred, row, mask);
}

static int judge(const struct pr_cred *cred, const struct pr_row_inode *row, struct pr_bytes name,
		 unsigned mask)
{
	if (is_in(name, "user."))
		return name.len == 5 ? -EINVAL : judge_user(cred, row, mask);
	if (is_in(name, "trusted.")) {
		if (name.len == 8)
			return -EINVAL;
		if (perm_is_root(cred))
			return 0;
		return mask & PERM_W ? -EPERM : -ENODATA;
	}
	if (is_in(name, "security.")) {
		if (name.len == 9)
			return -EINVAL;
		return !(mask & PERM_W) || perm_is_root(cred) ? 0 : -EPERM;
	}
	return -EOPNOTSUPP;
}

/* The inode, and the attribute if it has it: 0, -ENODATA, or why not. */
static int xattr_find(struct tx *tx, const struct pr_cred *cred, uint64_t ino, struct pr_bytes name,
		      unsigned mask, struct ns_node *n, struct pr_row_xattr *ret)
{
	int r = ns_node_get(tx, ino, n);

	if (r == 0)
		r = judge(cred, &n->row, name, mask);
	if (r)
		return r;
	if (n->row.xattrs == 0)
		return -ENODATA;
	r = tx_get_xattr(tx, ino, name, ret);
	return r == -ENOENT ? -ENODATA : r;
}

int ns_xattr_get(struct tx *tx, const struct pr_xattr_get *q, struct pr_xattr_get_r *ret)
{
	struct pr_row_xattr row;
	struct ns_node n;
	int r = xattr_find(tx, &q->cred, q->ino, q->name, PERM_R, &n, &row);

	if (r == 0)
		ret->value = row.value;
	return r;
}

static void first_xattr(struct tx *tx, struct ns_node *n)
{
	struct pr_key prefix;

	if (n->row.flags & NS_F_XATTRS)
		return;
	pr_key_prefix_xattrs(&prefix, tx->volume, n->ino);
	tx_known_empty(tx, &prefix);
	n->row.flags |= NS_F_XATTRS;
}

int ns_xattr_set(struct tx *tx, const struct pr_xattr_set *q, struct pr_xattr_set_r *ret)
{
	struct pr_row_xattr row;
	struct ns_node n;
	int r;

	if (q->flags == (PR_XATTR_CREATE | PR_XATTR_REPLACE))
		return -EINVAL;
	r = xattr_find(tx, &q->cred, q->ino, q->name, PERM_W, &n, &row);
	if (r == 0 && (q->flags & PR_XATTR_CREATE))
		return -EEXIST;
	if (r == -ENODATA && !(q->flags & PR_XATTR_REPLACE)) {
		if (n.row.xattrs >= NS_XATTRS_MAX)
			return -ENOSPC;
		first_xattr(tx, &n);
		n.row.xattrs++;
		r = 0;
	}
	if (r)
		return r;
	row.value = q->value;
	tx_put_xattr(tx, q->ino, q->name, &row);
	ns_node_touch(tx, &n);
	ns_node_put(tx, &n);
	return 0;
}

int ns_xattr_remove(struct tx *tx, const struct pr_xattr_remove *q, struct pr_xattr_remove_r *ret)
{
	struct pr_row_xattr row;
	struct ns_node n;
	int r = xattr_find(tx, &q->cred, q->ino, q->name, PERM_W, &n, &row);

	if (r)
		return r;
	ASSERT(n.row.xattrs > 0);
	n.row.xattrs--;
	tx_del_xattr(tx, q->ino, q->name);
	ns_node_touch(tx, &n);
	ns_node_put(tx, &n);
	return 0;
}

/* The first attribute after key; key moves to it. */
static int next_xattr(struct tx *tx, uint64_t ino, struct pr_key *key, struct pr_bytes *ret_name)
{
	struct pr_key prefix, found;
	struct pr_bytes value;
	uint16_t volume;
	int r;

	/* A NUL byte more makes the smallest key behind it, and no name has one. */
	ASSERT(key->len < PR_KEY_MAX);
	key->b[key->len++] = 0;
	pr_key_prefix_xattrs(&prefix, tx->volume, ino);
	r = tx_seek(tx, key, prefix.len, 1, &found, &value);
	if (r)
		return r;
	*key = found;
	r = pr_key_parse_xattr(key->b, key->len, &volume, &ino, ret_name);
	ASSERT(r == 0);
	return 0;
}

int ns_xattr_list(struct tx *tx, const struct pr_xattr_list *q, struct pr_xattr_list_r *ret,
		  struct pr_buf *buf)
{
	size_t start = buf->len;
	struct pr_bytes name;
	struct pr_key key;
	struct ns_node n;
	int r = ns_node_get(tx, q->ino, &n);

	if (r)
		return r;
	pr_key_prefix_xattrs(&key, tx->volume, q->ino);
	for (uint32_t i = 0; r == 0 && i < n.row.xattrs; i++) {
		r = next_xattr(tx, q->ino, &key, &name);
		ASSERT(r != -ENOENT);
		if (r == 0 && (perm_is_root(&q->cred) || !is_in(name, "trusted."))) {
			pr_put_bytes(buf, name.p, name.len);
			pr_put_u8(buf, 0);
		}
	}
	if (r == 0 && buf->failed)
		r = -ERANGE;
	if (r)
		return r;
	ret->names = pr_bytes_of(buf->p + start, buf->len - start);
	return 0;
}
