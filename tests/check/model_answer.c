/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What an operation is told, and whether that is what another answer says; the names that operations have. */
#include "tests/check/model.h"

#include <errno.h>

uint64_t model_mix(uint64_t h, uint64_t value)
{
	h = (h ^ value) * UINT64_C(0x9e3779b97f4a7c15);
	return h ^ h >> 29;
}

/* Whoever asks is told of one inode. */
bool model_tells(uint16_t type)
{
	switch (type) {
	case PR_T_LOOKUP:
	case PR_T_GETATTR:
	case PR_T_SETATTR:
	case PR_T_LINK:
	case PR_T_CREATE:
	case PR_T_MKDIR:
	case PR_T_MKNOD:
	case PR_T_SYMLINK:
	case PR_T_OPEN:
	case PR_T_LAYOUT_COMMIT:
		return true;
	default:
		return false;
	}
}

uint64_t model_digest(const struct model_answer *a)
{
	const struct model_attr *t = &a->attr;
	uint64_t h = model_mix(a->ino, a->mode);

	h = model_mix(h, a->nlink);
	h = model_mix(h, a->size);
	h = model_mix(h, (uint64_t)t->uid << 32 | t->gid);
	h = model_mix(h, t->rdev);
	h = model_mix(h, t->change);
	h = model_mix(h, (uint64_t)t->atime_ns);
	h = model_mix(h, (uint64_t)t->mtime_ns);
	h = model_mix(h, (uint64_t)t->ctime_ns);
	return model_mix(h, (uint64_t)t->btime_ns);
}

/* What is listed is the first of what there is, in its order; all of it unless there is more. */
static bool same_listing(const struct model_answer *told, const struct model_answer *is)
{
	uint64_t last = 0, next = UINT64_MAX;

	for (int i = 0; i < MODEL_NAMES; i++) {
		if (told->entry[i] && told->entry[i] != is->entry[i])
			return false;
		if (told->entry[i] && is->cookie[i] > last)
			last = is->cookie[i];
		if (!told->entry[i] && is->entry[i] && is->cookie[i] < next)
			next = is->cookie[i];
	}
	return told->more ? last > 0 && next != UINT64_MAX && last < next : next == UINT64_MAX;
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
	if (model_tells(q->type))
		return a->ino == b->ino && a->mode == b->mode && a->nlink == b->nlink &&
		       a->size == b->size && a->attr.uid == b->attr.uid &&
		       a->attr.gid == b->attr.gid && a->attr.rdev == b->attr.rdev &&
		       (q->type != PR_T_CREATE || a->value == b->value);
	switch (q->type) {
	case PR_T_UNLINK:
		return a->ino == b->ino && a->nlink == b->nlink;
	case PR_T_LAYOUT_GET:
		return a->size == b->size;
	case PR_T_XATTR_GET:
	case PR_T_XATTR_LIST:
	case PR_T_READLINK:
		return a->value == b->value;
	case PR_T_READDIR:
		return same_listing(a, b);
	default:
		return true;
	}
}

bool model_same_all(const struct model_op *q, const struct model_answer *told,
		    const struct model_answer *is)
{
	if (!model_same(q, told, is))
		return false;
	if (is->error || told->error)
		return true;
	if (model_tells(q->type))
		return model_digest(told) == model_digest(is);
	if (q->type == PR_T_STATFS)
		return told->value == is->value;
	if (q->type != PR_T_READDIR)
		return true;
	for (int i = 0; i < MODEL_NAMES; i++)
		if (told->entry[i] &&
		    (told->cookie[i] != is->cookie[i] || told->digest[i] != is->digest[i]))
			return false;
	return told->value == is->value;
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
