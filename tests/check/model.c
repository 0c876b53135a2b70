/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/check/model.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "proto/assert.h"

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
	struct values mode, nlink, parent, size, xattr, exists;
	struct values *entry; /* of a directory: MODEL_NAMES */
	uint64_t target;      /* of a symbolic link */
};

struct model {
	struct node **nodes;
	uint64_t count, cap, lsn;
	uint64_t *index, index_size; /* by inode number: place in nodes + 1 */
	uint64_t root;
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

static struct node *node_new(struct model *m, uint64_t ino, uint32_t mode, uint64_t parent,
			     uint64_t lsn)
{
	struct node *n = calloc(1, sizeof(*n));

	ASSERT(n && !find(m, ino));
	n->ino = ino;
	n->type = mode & S_IFMT;
	value_set(&n->exists, lsn, 1);
	value_set(&n->mode, lsn, mode);
	value_set(&n->nlink, lsn, S_ISDIR(mode) ? 2 : 1);
	value_set(&n->parent, lsn, parent);
	if (S_ISDIR(mode))
		n->entry = calloc(MODEL_NAMES, sizeof(*n->entry));
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
	return n;
}

struct model *model_new(uint64_t root)
{
	struct model *m = calloc(1, sizeof(*m));

	ASSERT(m);
	index_grow(m);
	m->root = root;
	node_new(m, root, S_IFDIR | 0755, root, 0);
	return m;
}

static void node_free(struct node *n)
{
	free(n->mode.at);
	free(n->nlink.at);
	free(n->parent.at);
	free(n->size.at);
	free(n->xattr.at);
	free(n->exists.at);
	for (int k = 0; n->entry && k < MODEL_NAMES; k++)
		free(n->entry[k].at);
	free(n->entry);
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
}

/* ---- operations ---- */

struct run {
	struct model *m;
	const struct model_op *q;
	uint64_t lsn; /* it runs after this one */
	uint64_t made;
	bool apply; /* as lsn + 1 */
	struct model_answer *a;
};

static void put(struct run *r, struct values *v, uint64_t value)
{
	r->a->changes = true;
	if (r->apply)
		value_set(v, r->lsn + 1, value);
}

static void drop(struct run *r, struct node *n)
{
	put(r, &n->nlink, is_dir(n) ? 0 : value_at(&n->nlink, r->lsn) - 1);
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
	r->a->changes = true;
	r->a->ino = r->made;
	r->a->mode = mode;
	r->a->nlink = S_ISDIR(mode) ? 2 : 1;
	if (!r->apply)
		return;
	node_new(r->m, r->made, mode, dir->ino, r->lsn + 1);
	if (S_ISLNK(mode))
		find(r->m, r->made)->target = r->q->value;
	put(r, &dir->entry[r->q->name], r->made);
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

static int run_create(struct run *r)
{
	struct node *dir, *n;
	int e = may_make(r, &dir);

	if (e == -EEXIST && !(r->q->flags & PR_O_EXCL)) {
		n = child(r->m, dir, r->q->name, r->lsn);
		if (is_dir(n) || S_ISLNK(n->type))
			return is_dir(n) ? -EISDIR : -ELOOP;
		tell(r->m, n, r->lsn, r->a);
		if (r->q->flags & PR_O_TRUNC) {
			put(r, &n->size, 0);
			r->a->size = 0;
		}
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

	if (e == 0)
		make(r, dir, type | r->q->mode);
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
	put(r, &dir->entry[r->q->name], 0);
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
	put(r, &dir->entry[r->q->name], n->ino);
	put(r, &n->nlink, value_at(&n->nlink, r->lsn) + 1);
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
	put(r, &v.from->entry[q->name], v.swap ? v.b->ino : 0);
	put(r, &v.to->entry[q->name2], v.a->ino);
	put(r, &v.a->parent, v.to->ino);
	if (v.swap)
		put(r, &v.b->parent, v.from->ino);
	else if (v.b)
		drop(r, v.b);
	return 0;
}

static int run_setattr(struct run *r)
{
	struct node *n = exists(r->m, r->q->ino, r->lsn);

	if (!n)
		return -ESTALE;
	if ((r->q->flags & PR_SET_SIZE) && !S_ISREG(n->type))
		return is_dir(n) ? -EISDIR : -EINVAL;
	tell(r->m, n, r->lsn, r->a);
	if (r->q->flags & PR_SET_SIZE) {
		r->a->size = r->q->size;
		put(r, &n->size, r->q->size);
	}
	if (r->q->flags & PR_SET_MODE) {
		r->a->mode = n->type | r->q->mode;
		put(r, &n->mode, r->a->mode);
	}
	return 0;
}

static int run_xattr(struct run *r)
{
	struct node *n = exists(r->m, r->q->ino, r->lsn);
	uint64_t value;

	if (!n)
		return -ESTALE;
	if (S_ISLNK(n->type)) /* as Linux has it for user. */
		return r->q->type == PR_T_XATTR_GET ? -ENODATA : -EPERM;
	value = value_at(&n->xattr, r->lsn);
	if (r->q->type == PR_T_XATTR_SET) {
		if (value && (r->q->flags & PR_XATTR_CREATE))
			return -EEXIST;
		if (!value && (r->q->flags & PR_XATTR_REPLACE))
			return -ENODATA;
		put(r, &n->xattr, r->q->value);
		return 0;
	}
	if (!value)
		return -ENODATA;
	r->a->value = value;
	if (r->q->type == PR_T_XATTR_REMOVE)
		put(r, &n->xattr, 0);
	return 0;
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
	for (int i = 0; is_dir(n) && i < MODEL_NAMES; i++)
		r->a->entry[i] = value_at(&n->entry[i], r->lsn);
	return is_dir(n) ? 0 : -ENOTDIR;
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
	r->a->changes = true;
	if (r->q->size > r->a->size) {
		r->a->size = r->q->size;
		put(r, &n->size, r->q->size);
	}
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
		 struct model_answer *ret)
{
	struct run r = {.m = m, .q = q, .lsn = lsn - 1, .made = made, .apply = true, .a = ret};

	memset(ret, 0, sizeof(*ret));
	ret->error = run(&r);
}

bool model_gone(struct model *m, uint64_t ino, uint64_t lsn)
{
	struct node *n = exists(m, ino, lsn);

	if (!n || !is_dead(n, lsn))
		return false;
	value_set(&n->exists, lsn, 0);
	return true;
}

static void values_back(struct values *v, uint64_t lsn)
{
	while (v->count > 0 && v->at[v->count - 1].lsn > lsn)
		v->count--;
}

void model_back(struct model *m, uint64_t lsn)
{
	for (uint64_t i = 0; i < m->count; i++) {
		struct node *n = m->nodes[i];

		values_back(&n->mode, lsn);
		values_back(&n->nlink, lsn);
		values_back(&n->parent, lsn);
		values_back(&n->size, lsn);
		values_back(&n->xattr, lsn);
		values_back(&n->exists, lsn);
		for (int k = 0; n->entry && k < MODEL_NAMES; k++)
			values_back(&n->entry[k], lsn);
	}
	/* Those that were not there yet are the youngest. */
	while (m->count > 0 && m->nodes[m->count - 1]->exists.count == 0) {
		m->index[slot_of(m, m->nodes[m->count - 1]->ino)] = 0;
		node_free(m->nodes[--m->count]);
	}
}

static uint64_t hash_more(uint64_t h, uint64_t value)
{
	h = (h ^ value) * UINT64_C(0x9e3779b97f4a7c15);
	return h ^ h >> 29;
}

uint64_t model_hash(const struct model *m)
{
	uint64_t sum = 0;

	/* The order in which inodes were made is no part of it. */
	for (uint64_t i = 0; i < m->count; i++) {
		const struct node *n = m->nodes[i];
		uint64_t h = hash_more(n->ino, n->target);

		h = hash_more(h, value_at(&n->mode, UINT64_MAX));
		h = hash_more(h, value_at(&n->nlink, UINT64_MAX));
		h = hash_more(h, value_at(&n->parent, UINT64_MAX));
		h = hash_more(h, value_at(&n->size, UINT64_MAX));
		h = hash_more(h, value_at(&n->xattr, UINT64_MAX));
		for (int k = 0; n->entry && k < MODEL_NAMES; k++)
			h = hash_more(h, value_at(&n->entry[k], UINT64_MAX));
		sum += h;
	}
	return sum;
}

bool model_same(const struct model_op *q, const struct model_answer *a,
		const struct model_answer *b)
{
	/* Whether there is space is not the model's to say. */
	if (q->type == PR_T_LAYOUT_GET && (a->error == -ENOSPC || b->error == -ENOSPC))
		return true;
	if (a->error != b->error)
		return false;
	if (a->error)
		return true;
	switch (q->type) {
	case PR_T_LOOKUP:
	case PR_T_GETATTR:
	case PR_T_SETATTR:
	case PR_T_LINK:
	case PR_T_CREATE:
		return a->ino == b->ino && a->mode == b->mode && a->nlink == b->nlink &&
		       a->size == b->size && (q->type != PR_T_CREATE || a->value == b->value);
	case PR_T_MKDIR:
	case PR_T_SYMLINK:
		return a->ino == b->ino && a->mode == b->mode && a->nlink == b->nlink;
	case PR_T_UNLINK:
		return a->ino == b->ino && a->nlink == b->nlink;
	case PR_T_LAYOUT_GET:
		return a->size == b->size;
	case PR_T_LAYOUT_COMMIT:
		return a->ino == b->ino && a->size == b->size;
	case PR_T_XATTR_GET:
	case PR_T_READLINK:
		return a->value == b->value;
	case PR_T_READDIR:
		return memcmp(a->entry, b->entry, sizeof(a->entry)) == 0;
	default:
		return true;
	}
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
	ret->value = value_at(&n->xattr, UINT64_MAX - 1);
	for (int i = 0; n->entry && i < MODEL_NAMES; i++)
		ret->entry[i] = value_at(&n->entry[i], UINT64_MAX - 1);
	return true;
}

/* ---- names ---- */

/* Two begin with the same eight bytes and more: rows are sorted by those first. */
static const char *const names[MODEL_NAMES] = {
	"a", "b", "c", "a-name-longer", "e f", "...", "-x", "~", "\xff", "a-name-longer-than-most"};

struct pr_bytes model_name(int name)
{
	return pr_bytes_str(names[name]);
}

int model_name_index(struct pr_bytes name)
{
	for (int i = 0; i < MODEL_NAMES; i++)
		if (pr_bytes_equal(name, model_name(i)))
			return i;
	return -1;
}
