/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/check/model.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "proto/assert.h"

enum { FIRST_COOKIE = 3 }; /* of the first entry of a directory; behind it they only grow */

/* A value and since which LSN it is. */
struct since {
	uint64_t lsn, value;
};

struct values {
	struct since *at;
	uint32_t count, cap;
};

struct node {
	uint64_t ino;
	uint32_t type;
	struct values mode, nlink, parent, size, exists, uid, gid, change, xattr[MODEL_XATTRS];
	struct values atime, mtime, ctime;	    /* in nanoseconds */
	struct values *entry, *cookie, next_cookie; /* of a directory: MODEL_NAMES */
	uint64_t target;			    /* of a symbolic link */
	uint64_t rdev;
	int64_t btime;
};

struct model {
	struct node **nodes;
	uint64_t count, cap, lsn;
	uint64_t *index, index_size; /* by inode number: place in nodes + 1 */
	uint64_t root;
	struct values inodes; /* how many there are */
};

static uint64_t value_at(const struct values *v, uint64_t lsn)
{
	uint32_t lo = 0, hi = v->count;

	if (hi > 0 && v->at[hi - 1].lsn <= lsn)
		return v->at[hi - 1].value;
	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;

		if (v->at[mid].lsn <= lsn)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo > 0 ? v->at[lo - 1].value : 0;
}

static void value_set(struct values *v, uint64_t lsn, uint64_t value)
{
	if (v->count > 0 && v->at[v->count - 1].lsn == lsn) {
		v->at[v->count - 1].value = value;
		return;
	}
	if (v->count == v->cap) {
		v->cap = v->cap ? 2 * v->cap : 4;
		v->at = realloc(v->at, v->cap * sizeof(*v->at));
		ASSERT(v->at);
	}
	ASSERT(v->count == 0 || v->at[v->count - 1].lsn < lsn);
	v->at[v->count++] = (struct since){lsn, value};
}

/* ---- inodes ---- */

static uint64_t slot_of(const struct model *m, uint64_t ino)
{
	uint64_t i = (ino * UINT64_C(0x9e3779b97f4a7c15)) & (m->index_size - 1);

	while (m->index[i] && m->nodes[m->index[i] - 1]->ino != ino)
		i = (i + 1) & (m->index_size - 1);
	return i;
}

static void index_grow(struct model *m)
{
	free(m->index);
	m->index_size = m->index_size ? 2 * m->index_size : 256;
	m->index = calloc(m->index_size, sizeof(*m->index));
	ASSERT(m->index);
	for (uint64_t i = 0; i < m->count; i++)
		m->index[slot_of(m, m->nodes[i]->ino)] = i + 1;
}

static struct node *find(const struct model *m, uint64_t ino)
{
	uint64_t i = m->index[slot_of(m, ino)];

	return i ? m->nodes[i - 1] : NULL;
}

static struct node *exists(const struct model *m, uint64_t ino, uint64_t lsn)
{
	struct node *n = find(m, ino);

	return n && value_at(&n->exists, lsn) ? n : NULL;
}

/* All that changes of a node, for each_value. */
static void each_value(struct node *n, void (*fn)(struct values *, uint64_t), uint64_t arg)
{
	struct values *all[] = {&n->mode,   &n->nlink, &n->parent, &n->size,
				&n->exists, &n->uid,   &n->gid,	   &n->change,
				&n->atime,  &n->mtime, &n->ctime,  &n->next_cookie};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		fn(all[i], arg);
	for (int i = 0; i < MODEL_XATTRS; i++)
		fn(&n->xattr[i], arg);
	for (int i = 0; n->entry && i < MODEL_NAMES; i++) {
		fn(&n->entry[i], arg);
		fn(&n->cookie[i], arg);
	}
}

static struct node *node_new(struct model *m, uint64_t ino, uint32_t mode, uint64_t parent,
			     uint64_t lsn, int64_t when_ns)
{
	struct node *n = calloc(1, sizeof(*n));

	ASSERT(n && !find(m, ino));
	n->ino = ino;
	n->type = mode & S_IFMT;
	n->btime = when_ns;
	value_set(&n->exists, lsn, 1);
	value_set(&n->mode, lsn, mode);
	value_set(&n->nlink, lsn, S_ISDIR(mode) ? 2 : 1);
	value_set(&n->parent, lsn, parent);
	value_set(&n->change, lsn, 1);
	value_set(&n->atime, lsn, (uint64_t)when_ns);
	value_set(&n->mtime, lsn, (uint64_t)when_ns);
	value_set(&n->ctime, lsn, (uint64_t)when_ns);
	if (S_ISDIR(mode)) {
		n->entry = calloc(MODEL_NAMES, sizeof(*n->entry));
		n->cookie = calloc(MODEL_NAMES, sizeof(*n->cookie));
		ASSERT(n->entry && n->cookie);
		value_set(&n->next_cookie, lsn, FIRST_COOKIE);
	}
	if (m->count == m->cap) {
		m->cap = m->cap ? 2 * m->cap : 64;
		m->nodes = realloc(m->nodes, m->cap * sizeof(struct node *));
		ASSERT(m->nodes);
	}
	m->nodes[m->count++] = n;
	if (2 * m->count > m->index_size)
		index_grow(m);
	else
		m->index[slot_of(m, ino)] = m->count;
	value_set(&m->inodes, lsn, value_at(&m->inodes, lsn) + 1);
	return n;
}

struct model *model_new(uint64_t root, int64_t when_ns)
{
	struct model *m = calloc(1, sizeof(*m));

	ASSERT(m);
	index_grow(m);
	m->root = root;
	node_new(m, root, S_IFDIR | 0755, root, 0, when_ns);
	return m;
}

static void values_free(struct values *v, uint64_t lsn)
{
	free(v->at);
	(void)lsn;
}

static void node_free(struct node *n)
{
	each_value(n, values_free, 0);
	free(n->entry);
	free(n->cookie);
	free(n);
}

void model_free(struct model *m)
{
	if (!m)
		return;
	for (uint64_t i = 0; i < m->count; i++)
		node_free(m->nodes[i]);
	free(m->nodes);
	free(m->index);
	free(m->inodes.at);
	free(m);
}

/* ---- what is, after an LSN ---- */

static bool is_dir(const struct node *n)
{
	return S_ISDIR(n->type);
}

static bool is_dead(const struct node *n, uint64_t lsn)
{
	return value_at(&n->nlink, lsn) == 0;
}

static struct node *child(const struct model *m, const struct node *dir, int name, uint64_t lsn)
{
	uint64_t ino = value_at(&dir->entry[name], lsn);

	return ino ? find(m, ino) : NULL;
}

static int children(const struct node *dir, uint64_t lsn)
{
	int count = 0;

	for (int i = 0; i < MODEL_NAMES; i++)
		count += value_at(&dir->entry[i], lsn) != 0;
	return count;
}

static bool is_above(const struct model *m, const struct node *top, const struct node *n,
		     uint64_t lsn)
{
	for (int depth = 0; n && depth < 1000; depth++) {
		if (n == top)
			return true;
		if (n->ino == m->root || is_dead(n, lsn))
			return false;
		n = find(m, value_at(&n->parent, lsn));
	}
	return false;
}

static uint32_t links(const struct model *m, const struct node *n, uint64_t lsn)
{
	uint32_t count = (uint32_t)value_at(&n->nlink, lsn);

	if (!is_dir(n) || count == 0)
		return count;
	for (int i = 0; i < MODEL_NAMES; i++) {
		struct node *c = child(m, n, i, lsn);

		count += c && is_dir(c);
	}
	return count;
}

static void tell(const struct model *m, const struct node *n, uint64_t lsn, struct model_answer *a)
{
	a->ino = n->ino;
	a->mode = (uint32_t)value_at(&n->mode, lsn);
	a->nlink = links(m, n, lsn);
	a->size = S_ISREG(n->type) ? value_at(&n->size, lsn) : 0;
	a->attr = (struct model_attr){
		.uid = (uint32_t)value_at(&n->uid, lsn),
		.gid = (uint32_t)value_at(&n->gid, lsn),
		.rdev = n->rdev,
		.change = value_at(&n->change, lsn),
		.atime_ns = (int64_t)value_at(&n->atime, lsn),
		.mtime_ns = (int64_t)value_at(&n->mtime, lsn),
		.ctime_ns = (int64_t)value_at(&n->ctime, lsn),
		.btime_ns = n->btime,
	};
}

/* ---- operations ---- */

struct run {
	struct model *m;
	const struct model_op *q;
	uint64_t lsn; /* it runs after this one */
	uint64_t made;
	int64_t when_ns;
	bool apply; /* as lsn + 1 */
	struct model_answer *a;
};

static void put(struct run *r, struct values *v, uint64_t value)
{
	r->a->changes = true;
	if (r->apply)
		value_set(v, r->lsn + 1, value);
}

/* Its attributes changed. */
static void touch(struct run *r, struct node *n)
{
	put(r, &n->ctime, (uint64_t)r->when_ns);
	put(r, &n->change, value_at(&n->change, r->lsn) + 1);
}

/* Its data, or the names in it, changed. */
static void modify(struct run *r, struct node *n)
{
	put(r, &n->mtime, (uint64_t)r->when_ns);
	touch(r, n);
}

static void drop(struct run *r, struct node *n)
{
	put(r, &n->nlink, is_dir(n) ? 0 : value_at(&n->nlink, r->lsn) - 1);
	touch(r, n);
}

/* A name of dir means n; at a place of its own, or at that of another. */
static void set_name(struct run *r, struct node *dir, int name, const struct node *n,
		     uint64_t cookie)
{
	put(r, &dir->entry[name], n->ino);
	if (!cookie) {
		cookie = value_at(&dir->next_cookie, r->lsn);
		put(r, &dir->next_cookie, cookie + 1);
	}
	put(r, &dir->cookie[name], cookie);
	modify(r, dir);
}

static void unset_name(struct run *r, struct node *dir, int name)
{
	put(r, &dir->entry[name], 0);
	modify(r, dir);
}

static int dir_of(struct run *r, uint64_t ino, struct node **ret)
{
	*ret = exists(r->m, ino, r->lsn);
	if (!*ret)
		return -ESTALE;
	return is_dir(*ret) ? 0 : -ENOTDIR;
}

static int run_lookup(struct run *r)
{
	struct node *dir, *n;
	int e = dir_of(r, r->q->parent, &dir);

	if (e)
		return e;
	n = child(r->m, dir, r->q->name, r->lsn);
	if (n)
		tell(r->m, n, r->lsn, r->a);
	return n ? 0 : -ENOENT;
}

static void make(struct run *r, struct node *dir, uint32_t mode)
{
	bool inherits = value_at(&dir->mode, r->lsn) & S_ISGID;
	struct node *n;

	if (inherits && S_ISDIR(mode))
		mode |= S_ISGID;
	r->a->changes = true;
	r->a->ino = r->made;
	r->a->mode = mode;
	r->a->nlink = S_ISDIR(mode) ? 2 : 1;
	r->a->attr.gid = inherits ? (uint32_t)value_at(&dir->gid, r->lsn) : 0;
	if (S_ISCHR(mode) || S_ISBLK(mode))
		r->a->attr.rdev = r->q->value;
	if (!r->apply)
		return;
	n = node_new(r->m, r->made, mode, dir->ino, r->lsn + 1, r->when_ns);
	if (S_ISLNK(mode))
		n->target = r->q->value;
	n->rdev = r->a->attr.rdev;
	put(r, &n->gid, r->a->attr.gid);
	set_name(r, dir, r->q->name, n, 0);
}

static int may_make(struct run *r, struct node **ret_dir)
{
	int e = dir_of(r, r->q->parent, ret_dir);

	if (e)
		return e;
	if (child(r->m, *ret_dir, r->q->name, r->lsn))
		return -EEXIST;
	return is_dead(*ret_dir, r->lsn) ? -ENOENT : 0;
}

static void cut(struct run *r, struct node *n)
{
	if (!S_ISREG(n->type))
		return;
	put(r, &n->size, 0);
	modify(r, n);
	r->a->size = 0;
}

static int run_open(struct run *r)
{
	struct node *n = exists(r->m, r->q->ino, r->lsn);

	if (!n)
		return -ESTALE;
	if (S_ISLNK(n->type))
		return -ELOOP;
	if (is_dir(n) && (r->q->flags & (PR_O_WRITE | PR_O_TRUNC)))
		return -EISDIR;
	tell(r->m, n, r->lsn, r->a);
	if (r->q->flags & PR_O_TRUNC)
		cut(r, n);
	return 0;
}

static int run_create(struct run *r)
{
	struct node *dir, *n;
	int e = may_make(r, &dir);

	if (e == -EEXIST && !(r->q->flags & PR_O_EXCL)) {
		n = child(r->m, dir, r->q->name, r->lsn);
		if (is_dir(n) || S_ISLNK(n->type))
			return is_dir(n) ? -EISDIR : -ELOOP;
		tell(r->m, n, r->lsn, r->a);
		if (r->q->flags & PR_O_TRUNC)
			cut(r, n);
		return 0;
	}
	if (e)
		return e;
	r->a->value = 1; /* created */
	make(r, dir, S_IFREG | r->q->mode);
	return 0;
}

static int run_make(struct run *r, uint32_t type)
{
	struct node *dir;
	int e = may_make(r, &dir);

	/* Set-id bits of a new directory come from its parent alone. */
	if (e == 0)
		make(r, dir, type | (r->q->mode & (type == S_IFDIR ? 01777 : 07777)));
	return e;
}

static int run_unlink(struct run *r, bool of_dir)
{
	struct node *dir, *n;
	int e = dir_of(r, r->q->parent, &dir);

	if (e)
		return e;
	n = child(r->m, dir, r->q->name, r->lsn);
	if (!n)
		return -ENOENT;
	if (is_dir(n) != of_dir)
		return of_dir ? -ENOTDIR : -EISDIR;
	if (of_dir && children(n, r->lsn))
		return -ENOTEMPTY;
	r->a->ino = n->ino;
	r->a->nlink = of_dir ? 0 : (uint32_t)value_at(&n->nlink, r->lsn) - 1;
	unset_name(r, dir, r->q->name);
	drop(r, n);
	return 0;
}

static int run_link(struct run *r)
{
	struct node *n = exists(r->m, r->q->ino, r->lsn), *dir;
	int e = n ? may_make(r, &dir) : -ESTALE;

	if (e)
		return e;
	if (is_dir(n))
		return -EPERM;
	if (is_dead(n, r->lsn))
		return -ENOENT;
	tell(r->m, n, r->lsn, r->a);
	r->a->nlink++;
	set_name(r, dir, r->q->name, n, 0);
	put(r, &n->nlink, value_at(&n->nlink, r->lsn) + 1);
	touch(r, n);
	return 0;
}

struct rename {
	struct node *from, *to, *a, *b;
	bool swap;
};

static int judge_rename(struct run *r, const struct rename *v)
{
	if (v->from != v->to && is_dir(v->a) && is_above(r->m, v->a, v->to, r->lsn))
		return -EINVAL;
	if (v->from != v->to && v->swap && is_dir(v->b) && is_above(r->m, v->b, v->from, r->lsn))
		return -EINVAL;
	if (!v->b)
		return is_dead(v->to, r->lsn) ? -ENOENT : 0;
	if (v->swap)
		return 0;
	if (is_dir(v->a) != is_dir(v->b))
		return is_dir(v->a) ? -ENOTDIR : -EISDIR;
	return is_dir(v->b) && children(v->b, r->lsn) ? -ENOTEMPTY : 0;
}

/* What takes another's name takes its place; what gets a new name in the same directory keeps its own. */
static void apply_rename(struct run *r, const struct rename *v)
{
	uint64_t from = value_at(&v->from->cookie[r->q->name], r->lsn), to = 0;

	if (v->b)
		to = value_at(&v->to->cookie[r->q->name2], r->lsn);
	else if (v->from == v->to)
		to = from;
	if (v->swap)
		set_name(r, v->from, r->q->name, v->b, from);
	else
		unset_name(r, v->from, r->q->name);
	set_name(r, v->to, r->q->name2, v->a, to);
	put(r, &v->a->parent, v->to->ino);
	touch(r, v->a);
	if (v->swap) {
		put(r, &v->b->parent, v->from->ino);
		touch(r, v->b);
	} else if (v->b) {
		drop(r, v->b);
	}
}

static int run_rename(struct run *r)
{
	const struct model_op *q = r->q;
	struct rename v = {.swap = q->flags & PR_RENAME_EXCHANGE};
	int e = dir_of(r, q->parent, &v.from);

	if (e)
		return e;
	v.a = child(r->m, v.from, q->name, r->lsn);
	if (!v.a)
		return -ENOENT;
	e = dir_of(r, q->parent2, &v.to);
	if (e)
		return e;
	v.b = child(r->m, v.to, q->name2, r->lsn);
	if (!v.b && v.swap)
		return -ENOENT;
	if (v.b && (q->flags & PR_RENAME_NOREPLACE))
		return -EEXIST;
	if (v.a == v.b)
		return 0;
	e = judge_rename(r, &v);
	if (e)
		return e;
	apply_rename(r, &v);
	return 0;
}

/* A change of the owner takes the set-id bits of what is no directory; the group's, where there is no group execution, is kept. */
static uint32_t without_setid(const struct node *n, uint32_t mode)
{
	if (is_dir(n))
		return mode;
	return mode & ~(uint32_t)(S_ISUID | (mode & S_IXGRP ? S_ISGID : 0));
}

static void set_times(struct run *r, struct node *n)
{
	const struct model_op *q = r->q;
	int64_t when = r->when_ns;

	if (q->flags & (PR_SET_ATIME | PR_SET_ATIME_NOW))
		put(r, &n->atime, (uint64_t)(q->flags & PR_SET_ATIME_NOW ? when : q->time_ns));
	if (q->flags & (PR_SET_MTIME | PR_SET_MTIME_NOW))
		put(r, &n->mtime, (uint64_t)(q->flags & PR_SET_MTIME_NOW ? when : q->time_ns));
}

/* Of a read, atime alone: one behind what stands there counts, and is not in the time to come. */
static void touch_atime(struct run *r, struct node *n)
{
	int64_t when = r->q->flags & PR_SET_ATIME ? r->q->time_ns : r->when_ns;

	r->a->changes = true;
	if (when > (int64_t)value_at(&n->atime, r->lsn))
		put(r, &n->atime, (uint64_t)(when < r->when_ns ? when : r->when_ns));
}

static int run_setattr(struct run *r)
{
	const struct model_op *q = r->q;
	struct node *n = exists(r->m, q->ino, r->lsn);

	if (!n)
		return -ESTALE;
	if ((q->flags & PR_SET_SIZE) && !S_ISREG(n->type))
		return is_dir(n) ? -EISDIR : -EINVAL;
	tell(r->m, n, r->lsn, r->a);
	if (q->flags & PR_SET_ATIME_TOUCH) {
		touch_atime(r, n);
		return 0;
	}
	if (q->flags & PR_SET_SIZE)
		modify(r, n);
	else
		touch(r, n);
	if (q->flags & PR_SET_SIZE)
		put(r, &n->size, r->a->size = q->size);
	if (q->flags & (PR_SET_KILLPRIV | PR_SET_UID | PR_SET_GID))
		r->a->mode = without_setid(n, r->a->mode);
	if (q->flags & PR_SET_UID)
		put(r, &n->uid, r->a->attr.uid = q->uid);
	if (q->flags & PR_SET_GID)
		put(r, &n->gid, r->a->attr.gid = q->gid);
	if (q->flags & PR_SET_MODE)
		r->a->mode = n->type | q->mode;
	put(r, &n->mode, r->a->mode);
	set_times(r, n);
	return 0;
}

static int set_xattr(struct run *r, struct node *n, uint64_t had)
{
	if (had && (r->q->flags & PR_XATTR_CREATE))
		return -EEXIST;
	if (!had && (r->q->flags & PR_XATTR_REPLACE))
		return -ENODATA;
	put(r, &n->xattr[r->q->xattr], r->q->value);
	touch(r, n);
	return 0;
}

static int run_xattr(struct run *r)
{
	struct node *n = exists(r->m, r->q->ino, r->lsn);
	struct values *xattr;

	if (!n)
		return -ESTALE;
	if (!S_ISREG(n->type) && !is_dir(n)) /* as Linux has it for user. */
		return r->q->type == PR_T_XATTR_GET ? -ENODATA : -EPERM;
	xattr = &n->xattr[r->q->xattr];
	r->a->value = value_at(xattr, r->lsn);
	if (r->q->type == PR_T_XATTR_SET)
		return set_xattr(r, n, r->a->value);
	if (!r->a->value)
		return -ENODATA;
	if (r->q->type == PR_T_XATTR_REMOVE) {
		put(r, xattr, 0);
		touch(r, n);
	}
	return 0;
}

/* Which there are: a bit each. */
static int run_xattr_list(struct run *r)
{
	struct node *n = exists(r->m, r->q->ino, r->lsn);

	for (int i = 0; n && i < MODEL_XATTRS; i++)
		r->a->value |= (uint64_t)(value_at(&n->xattr[i], r->lsn) != 0) << i;
	return n ? 0 : -ESTALE;
}

static int run_access(struct run *r)
{
	struct node *n = exists(r->m, r->q->ino, r->lsn);

	if (!n)
		return -ESTALE;
	/* Root may all, but execute what nobody may. */
	if (!(r->q->flags & 1) || is_dir(n))
		return 0;
	return value_at(&n->mode, r->lsn) & 0111 ? 0 : -EACCES;
}

/* What stands behind the place q->cookie; an answer may stop earlier. */
static void list(struct run *r, const struct node *dir)
{
	for (int i = 0; i < MODEL_NAMES; i++) {
		struct node *n = child(r->m, dir, i, r->lsn);
		uint64_t cookie = value_at(&dir->cookie[i], r->lsn);
		struct model_answer one = {0};

		if (!n || cookie <= r->q->cookie)
			continue;
		tell(r->m, n, r->lsn, &one);
		r->a->entry[i] = n->ino;
		r->a->cookie[i] = cookie;
		r->a->digest[i] = model_digest(&one);
	}
}

static int run_look(struct run *r)
{
	struct node *n = exists(r->m, r->q->ino, r->lsn);

	if (!n)
		return -ESTALE;
	tell(r->m, n, r->lsn, r->a);
	if (r->q->type == PR_T_READLINK) {
		r->a->value = n->target;
		return S_ISLNK(n->type) ? 0 : -EINVAL;
	}
	if (r->q->type != PR_T_READDIR)
		return 0;
	if (!is_dir(n))
		return -ENOTDIR;
	r->a->value = value_at(&n->parent, r->lsn);
	list(r, n);
	return 0;
}

/* The times are those of the last write, which the client says; if mtime stands there already, it was set behind that write. */
static void written(struct run *r, struct node *n)
{
	int64_t ctime = r->q->time_ns < r->when_ns ? r->q->time_ns : r->when_ns;

	put(r, &n->change, value_at(&n->change, r->lsn) + 1);
	if (r->q->time_ns == (int64_t)value_at(&n->mtime, r->lsn))
		return;
	put(r, &n->mtime, (uint64_t)r->q->time_ns);
	if (ctime > (int64_t)value_at(&n->ctime, r->lsn))
		put(r, &n->ctime, (uint64_t)ctime);
}

static int run_layout(struct run *r)
{
	struct node *n = exists(r->m, r->q->ino, r->lsn);

	if (!n)
		return -ESTALE;
	if (!S_ISREG(n->type))
		return is_dir(n) ? -EISDIR : -EINVAL;
	tell(r->m, n, r->lsn, r->a);
	if (r->q->type == PR_T_LAYOUT_GET)
		return 0;
	if (r->q->size > r->a->size) {
		r->a->size = r->q->size;
		put(r, &n->size, r->q->size);
	}
	if (r->q->time_ns)
		written(r, n);
	else
		modify(r, n);
	return 0;
}

static int run(struct run *r)
{
	switch (r->q->type) {
	case PR_T_LOOKUP:
		return run_lookup(r);
	case PR_T_CREATE:
		return run_create(r);
	case PR_T_MKDIR:
		return run_make(r, S_IFDIR);
	case PR_T_SYMLINK:
		return run_make(r, S_IFLNK);
	case PR_T_MKNOD:
		return run_make(r, r->q->flags);
	case PR_T_OPEN:
		return run_open(r);
	case PR_T_ACCESS:
		return run_access(r);
	case PR_T_STATFS:
		r->a->value = value_at(&r->m->inodes, r->lsn);
		return 0;
	case PR_T_XATTR_LIST:
		return run_xattr_list(r);
	case PR_T_UNLINK:
		return run_unlink(r, false);
	case PR_T_RMDIR:
		return run_unlink(r, true);
	case PR_T_LINK:
		return run_link(r);
	case PR_T_RENAME:
		return run_rename(r);
	case PR_T_SETATTR:
		return run_setattr(r);
	case PR_T_XATTR_GET:
	case PR_T_XATTR_SET:
	case PR_T_XATTR_REMOVE:
		return run_xattr(r);
	case PR_T_GETATTR:
	case PR_T_READDIR:
	case PR_T_READLINK:
		return run_look(r);
	case PR_T_LAYOUT_GET:
	case PR_T_LAYOUT_COMMIT:
		return run_layout(r);
	case PR_T_NOOP:
		r->a->changes = true;
		return 0;
	default:
		return 0; /* CLOSE, FSYNC, LAYOUT_RETURN: nothing of the namespace */
	}
}

void model_ask(const struct model *m, const struct model_op *q, uint64_t lsn,
	       struct model_answer *ret)
{
	/* Without apply nothing is written. */
	struct run r = {.m = (struct model *)m, .q = q, .lsn = lsn, .a = ret};

	memset(ret, 0, sizeof(*ret));
	ret->error = run(&r);
}

void model_apply(struct model *m, const struct model_op *q, uint64_t lsn, uint64_t made,
		 int64_t when_ns, struct model_answer *ret)
{
	struct run r = {.m = m,
			.q = q,
			.lsn = lsn - 1,
			.made = made,
			.when_ns = when_ns,
			.apply = true,
			.a = ret};

	memset(ret, 0, sizeof(*ret));
	ret->error = run(&r);
	if (!ret->error && ret->changes && model_tells(q->type))
		tell(m, find(m, ret->ino), lsn, ret);
}

bool model_gone(struct model *m, uint64_t ino, uint64_t lsn)
{
	struct node *n = exists(m, ino, lsn);

	if (!n || !is_dead(n, lsn))
		return false;
	value_set(&n->exists, lsn, 0);
	value_set(&m->inodes, lsn, value_at(&m->inodes, lsn) - 1);
	return true;
}

static void values_back(struct values *v, uint64_t lsn)
{
	while (v->count > 0 && v->at[v->count - 1].lsn > lsn)
		v->count--;
}

void model_back(struct model *m, uint64_t lsn)
{
	for (uint64_t i = 0; i < m->count; i++)
		each_value(m->nodes[i], values_back, lsn);
	values_back(&m->inodes, lsn);
	/* Those that were not there yet are the youngest. */
	while (m->count > 0 && m->nodes[m->count - 1]->exists.count == 0) {
		m->index[slot_of(m, m->nodes[m->count - 1]->ino)] = 0;
		node_free(m->nodes[--m->count]);
	}
}

uint64_t model_hash(const struct model *m)
{
	uint64_t sum = 0;

	/* The order in which inodes were made is no part of it, nor are times and places. */
	for (uint64_t i = 0; i < m->count; i++) {
		const struct node *n = m->nodes[i];
		uint64_t h = model_mix(n->ino, n->target ^ n->rdev);

		h = model_mix(h, value_at(&n->mode, UINT64_MAX));
		h = model_mix(h, value_at(&n->nlink, UINT64_MAX));
		h = model_mix(h, value_at(&n->parent, UINT64_MAX));
		h = model_mix(h, value_at(&n->size, UINT64_MAX));
		h = model_mix(h, value_at(&n->uid, UINT64_MAX));
		h = model_mix(h, value_at(&n->gid, UINT64_MAX));
		for (int k = 0; k < MODEL_XATTRS; k++)
			h = model_mix(h, value_at(&n->xattr[k], UINT64_MAX));
		for (int k = 0; n->entry && k < MODEL_NAMES; k++)
			h = model_mix(h, value_at(&n->entry[k], UINT64_MAX));
		sum += h;
	}
	return sum;
}

uint64_t model_count(const struct model *m)
{
	return m->count;
}

uint64_t model_ino(const struct model *m, uint64_t i, uint32_t *ret_type)
{
	*ret_type = m->nodes[i]->type;
	return m->nodes[i]->ino;
}

bool model_now(const struct model *m, uint64_t ino, struct model_answer *ret)
{
	struct node *n = exists(m, ino, UINT64_MAX - 1);

	memset(ret, 0, sizeof(*ret));
	if (!n)
		return false;
	tell(m, n, UINT64_MAX - 1, ret);
	ret->value = value_at(&n->parent, UINT64_MAX - 1);
	for (int i = 0; n->entry && i < MODEL_NAMES; i++) {
		ret->entry[i] = value_at(&n->entry[i], UINT64_MAX - 1);
		ret->cookie[i] = value_at(&n->cookie[i], UINT64_MAX - 1);
	}
	return true;
}
