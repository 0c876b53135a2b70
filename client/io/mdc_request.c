/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Requests: the public structs to the wire's and back. What concerns a file's size or times passes
 * by the data path first. */
#include "client/io/mdc_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/io/mdc_call.h"
#include "client/io/mdc_data.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "groups are sent as they lie in memory");

static const uint16_t types[] = {
	[MDC_LOOKUP] = PR_T_LOOKUP,
	[MDC_GETATTR] = PR_T_GETATTR,
	[MDC_SETATTR] = PR_T_SETATTR,
	[MDC_CREATE] = PR_T_CREATE,
	[MDC_MKNOD] = PR_T_MKNOD,
	[MDC_MKDIR] = PR_T_MKDIR,
	[MDC_SYMLINK] = PR_T_SYMLINK,
	[MDC_READLINK] = PR_T_READLINK,
	[MDC_LINK] = PR_T_LINK,
	[MDC_UNLINK] = PR_T_UNLINK,
	[MDC_RMDIR] = PR_T_RMDIR,
	[MDC_RENAME] = PR_T_RENAME,
	[MDC_READDIR] = PR_T_READDIR,
	[MDC_STATFS] = PR_T_STATFS,
	[MDC_XATTR_GET] = PR_T_XATTR_GET,
	[MDC_XATTR_SET] = PR_T_XATTR_SET,
	[MDC_XATTR_LIST] = PR_T_XATTR_LIST,
	[MDC_XATTR_REMOVE] = PR_T_XATTR_REMOVE,
	[MDC_OPEN] = PR_T_OPEN,
	[MDC_CLOSE] = PR_T_CLOSE,
	[MDC_ACCESS] = PR_T_ACCESS,
	[MDC_FSYNC] = PR_T_FSYNC,
	[MDC_NOOP] = PR_T_NOOP,
};
enum { OPS = sizeof(types) / sizeof(types[0]) };

void mdc_cred_to(struct pr_cred *ret, const struct mdc_cred *cred)
{
	*ret = (struct pr_cred){0};
	if (!cred)
		return;
	ret->uid = cred->uid;
	ret->gid = cred->gid;
	ret->groups.count = cred->group_count;
	ret->groups.p = (const uint8_t *)cred->groups;
	ret->groups.len = cred->group_count * (uint32_t)sizeof(uint32_t);
}

void mdc_attr_from(struct mdc_attr *ret, const struct pr_attr *a)
{
	*ret = (struct mdc_attr){
		.ino = a->ino,
		.mode = a->mode,
		.nlink = a->nlink,
		.uid = a->uid,
		.gid = a->gid,
		.rdev = a->rdev,
		.size = a->size,
		.blocks = a->blocks,
		.atime_ns = a->atime_ns,
		.mtime_ns = a->mtime_ns,
		.ctime_ns = a->ctime_ns,
		.btime_ns = a->btime_ns,
		.change = a->change,
	};
}

/* ---- out ---- */

#define ENCODE(what, ...)                                                      \
	do {                                                                   \
		const struct pr_##what message = {__VA_ARGS__};                \
		struct pr_buf *b = cl_prepare(cl, pr_##what##_size(&message)); \
                                                                               \
		if (!b)                                                        \
			return -ENOMEM;                                        \
		r = pr_##what##_encode(b, &message);                           \
	} while (0)

#define EMPTY(what)                     \
	do {                            \
		if (!cl_prepare(cl, 0)) \
			return -ENOMEM; \
	} while (0)

static int encode(struct cl *cl, const struct mdc_request *q)
{
	static const struct mdc_attr nothing;
	const struct mdc_attr *set = q->set ? q->set : &nothing;
	struct pr_bytes name = pr_bytes_str(q->name ? q->name : "");
	struct pr_bytes new_name = pr_bytes_str(q->new_name ? q->new_name : "");
	struct pr_bytes text = pr_bytes_str(q->text ? q->text : "");
	struct pr_bytes value = pr_bytes_of(q->value, q->value_bytes);
	struct pr_cred cred;
	int r = 0;

	mdc_cred_to(&cred, q->cred);
	switch (q->op) {
	case MDC_LOOKUP:
		ENCODE(lookup, .cred = cred, .parent = q->ino, .name = name);
		break;
	case MDC_GETATTR:
		ENCODE(getattr, .ino = q->ino);
		break;
	case MDC_SETATTR:
		ENCODE(setattr, .cred = cred, .ino = q->ino, .valid = q->valid, .mode = set->mode,
		       .uid = set->uid, .gid = set->gid, .size = set->size,
		       .atime_ns = set->atime_ns, .mtime_ns = set->mtime_ns);
		break;
	case MDC_CREATE:
		ENCODE(create, .cred = cred, .parent = q->ino, .mode = q->mode, .flags = q->flags,
		       .name = name);
		break;
	case MDC_MKNOD:
		ENCODE(mknod, .cred = cred, .parent = q->ino, .mode = q->mode, .rdev = q->rdev,
		       .name = name);
		break;
	case MDC_MKDIR:
		ENCODE(mkdir, .cred = cred, .parent = q->ino, .mode = q->mode, .name = name);
		break;
	case MDC_SYMLINK:
		ENCODE(symlink, .cred = cred, .parent = q->ino, .name = name, .target = text);
		break;
	case MDC_READLINK:
		ENCODE(readlink, .cred = cred, .ino = q->ino);
		break;
	case MDC_LINK:
		ENCODE(link, .cred = cred, .ino = q->ino, .parent = q->new_parent,
		       .name = new_name);
		break;
	case MDC_UNLINK:
		ENCODE(unlink, .cred = cred, .parent = q->ino, .name = name);
		break;
	case MDC_RMDIR:
		ENCODE(rmdir, .cred = cred, .parent = q->ino, .name = name);
		break;
	case MDC_RENAME:
		ENCODE(rename, .cred = cred, .old_parent = q->ino, .new_parent = q->new_parent,
		       .flags = q->flags, .old_name = name, .new_name = new_name);
		break;
	case MDC_READDIR:
		ENCODE(readdir, .cred = cred, .ino = q->ino, .cookie = q->cookie,
		       .max_bytes = q->bytes);
		break;
	case MDC_STATFS:
		EMPTY(statfs);
		break;
	case MDC_XATTR_GET:
		ENCODE(xattr_get, .cred = cred, .ino = q->ino, .name = name);
		break;
	case MDC_XATTR_SET:
		ENCODE(xattr_set, .cred = cred, .ino = q->ino, .flags = q->flags, .name = name,
		       .value = value);
		break;
	case MDC_XATTR_LIST:
		ENCODE(xattr_list, .cred = cred, .ino = q->ino);
		break;
	case MDC_XATTR_REMOVE:
		ENCODE(xattr_remove, .cred = cred, .ino = q->ino, .name = name);
		break;
	case MDC_OPEN:
		ENCODE(open, .cred = cred, .ino = q->ino, .flags = q->flags);
		break;
	case MDC_CLOSE:
		ENCODE(close, .ino = q->ino, .opens = q->opens ? q->opens : 1);
		break;
	case MDC_ACCESS:
		ENCODE(access, .cred = cred, .ino = q->ino, .mask = q->mask);
		break;
	case MDC_FSYNC:
		ENCODE(fsync, .ino = q->ino);
		break;
	case MDC_NOOP:
		ENCODE(noop, .bytes = q->bytes);
		break;
	default:
		return -EINVAL;
	}
	if (r < 0)
		cl_abandon(cl);
	return r;
}

/* What the limits of the wire would refuse, by the names POSIX has for it. */
static int check(const struct mdc_request *q)
{
	if ((unsigned int)q->op == 0 || (unsigned int)q->op >= OPS)
		return mdc_fail(-EINVAL, "%d is no operation", (int)q->op);
	if ((q->name && strlen(q->name) > 255) || (q->new_name && strlen(q->new_name) > 255))
		return mdc_fail(-ENAMETOOLONG, "a name has more than 255 bytes");
	if (q->op == MDC_SYMLINK && q->text && strlen(q->text) > 4095)
		return mdc_fail(-ENAMETOOLONG, "the target has more than 4095 bytes");
	if (q->op == MDC_XATTR_SET && q->value_bytes > 65536)
		return mdc_fail(-E2BIG, "the value has more than 65536 bytes");
	return 0;
}

int mdc_request_send(struct mdc *mdc, const struct mdc_request *q, uint64_t *ret_id)
{
	struct mdc_pending *pending = mdc_pending_new(mdc);
	int r;

	if (!pending)
		return mdc_fail(-ENOMEM, "no memory for a request");
	r = encode(mdc->cl, q);
	if (r < 0) {
		mdc_pending_free(mdc, pending);
		return mdc_fail(r, r == -ENOMEM ? "no memory for a request"
						: "a name or value breaks the rules");
	}
	pending->op = q->op;
	pending->flags = q->op == MDC_SETATTR ? q->valid : q->flags;
	pending->done = q->done;
	pending->user = q->user;
	pending->id = cl_submit(mdc->cl, types[q->op], (uint64_t)(uintptr_t)pending);
	if (ret_id)
		*ret_id = pending->id;
	mdc_touch(mdc);
	return 0;
}

int mdc_submit(struct mdc *mdc, const struct mdc_request *q, uint64_t *ret_id)
{
	struct mdc_loop *loop = mdc->loop;
	int r = check(q);

	if (r < 0)
		return r;
	mdc_lock(loop);
	if (mdc->files && mdc_resize_concerns(q))
		r = mdc_resize_submit(mdc, q, ret_id);
	else
		r = mdc_request_send(mdc, q, ret_id);
	/* In a loop without a thread the requests of a round leave together. */
	mdc_call_pump(mdc);
	mdc_unlock(loop);
	return r;
}

struct mdc_pending *mdc_raw_submit(struct mdc *mdc, uint16_t type,
				   void (*raw)(struct mdc_pending *, int error, const uint8_t *p,
					       uint32_t len),
				   void *object)
{
	struct mdc_pending *pending = mdc_pending_new(mdc);

	if (!pending) {
		cl_abandon(mdc->cl);
		return NULL;
	}
	pending->raw = raw;
	pending->object = object;
	pending->id = cl_submit(mdc->cl, type, (uint64_t)(uintptr_t)pending);
	mdc_touch(mdc);
	return pending;
}

/* ---- in ---- */

#define DECODE(what) (pr_##what##_decode(&u.what, p, len) == 0)
#define WITH_ATTR(OP, what)                            \
	case OP:                                       \
		if (!DECODE(what))                     \
			return false;                  \
		mdc_attr_from(&r->attr, &u.what.attr); \
		return true

static bool decode(enum mdc_op op, struct mdc_reply *r, char *text, const uint8_t *p, uint32_t len)
{
	union {
		struct pr_lookup_r lookup_r;
		struct pr_getattr_r getattr_r;
		struct pr_setattr_r setattr_r;
		struct pr_create_r create_r;
		struct pr_mknod_r mknod_r;
		struct pr_mkdir_r mkdir_r;
		struct pr_symlink_r symlink_r;
		struct pr_readlink_r readlink_r;
		struct pr_link_r link_r;
		struct pr_unlink_r unlink_r;
		struct pr_readdir_r readdir_r;
		struct pr_statfs_r statfs_r;
		struct pr_xattr_get_r xattr_get_r;
		struct pr_xattr_list_r xattr_list_r;
		struct pr_open_r open_r;
	} u;

	switch (op) {
		WITH_ATTR(MDC_LOOKUP, lookup_r);
		WITH_ATTR(MDC_GETATTR, getattr_r);
		WITH_ATTR(MDC_SETATTR, setattr_r);
		WITH_ATTR(MDC_MKNOD, mknod_r);
		WITH_ATTR(MDC_MKDIR, mkdir_r);
		WITH_ATTR(MDC_SYMLINK, symlink_r);
		WITH_ATTR(MDC_LINK, link_r);
		WITH_ATTR(MDC_OPEN, open_r);
	case MDC_CREATE:
		if (!DECODE(create_r))
			return false;
		mdc_attr_from(&r->attr, &u.create_r.attr);
		r->created = u.create_r.created;
		return true;
	case MDC_READLINK:
		if (!DECODE(readlink_r))
			return false;
		r->text = pr_bytes_copy(text, 4096, u.readlink_r.target);
		return true;
	case MDC_UNLINK:
		if (!DECODE(unlink_r))
			return false;
		r->attr.ino = u.unlink_r.ino;
		r->attr.nlink = u.unlink_r.nlink;
		return true;
	case MDC_READDIR:
		if (!DECODE(readdir_r))
			return false;
		r->eof = u.readdir_r.eof;
		r->parent = u.readdir_r.parent;
		r->entries_ = u.readdir_r.entries.p;
		r->value_bytes = u.readdir_r.entries.len;
		r->entries_left_ = u.readdir_r.entries.count;
		return true;
	case MDC_STATFS:
		if (!DECODE(statfs_r))
			return false;
		r->statfs = (struct mdc_statfs){u.statfs_r.blocks,	u.statfs_r.blocks_free,
						u.statfs_r.files,	u.statfs_r.files_free,
						u.statfs_r.block_bytes, u.statfs_r.name_max};
		return true;
	case MDC_XATTR_GET:
		if (!DECODE(xattr_get_r))
			return false;
		r->value = u.xattr_get_r.value.p;
		r->value_bytes = u.xattr_get_r.value.len;
		return true;
	case MDC_XATTR_LIST:
		if (!DECODE(xattr_list_r))
			return false;
		r->value = u.xattr_list_r.names.p;
		r->value_bytes = u.xattr_list_r.names.len;
		return true;
	default:
		return true;
	}
}

bool mdc_next_entry(struct mdc_reply *r, struct mdc_dirent *ret)
{
	struct pr_list it = {
		.count = r->entries_left_, .p = r->entries_, .len = (uint32_t)r->value_bytes};
	struct pr_dirent e;

	if (!r->entries_left_ || !pr_dirent_next(&it, &e))
		return false;
	r->entries_left_ = it.count;
	r->entries_ = it.p;
	r->value_bytes = it.len;
	mdc_attr_from(&ret->attr, &e.attr);
	if (r->files_)
		mdc_files_overlay(r->files_, &ret->attr);
	ret->cookie = e.cookie;
	ret->name_bytes = e.name.len;
	pr_bytes_copy(r->name_, sizeof(r->name_), e.name);
	ret->name = r->name_;
	return true;
}

static void reply_text(struct mdc_reply *r, char *text, size_t size, const struct cl_effect *fx,
		       struct mdc *mdc)
{
	struct pr_error error;

	if (fx->p && fx->len && pr_error_decode(&error, fx->p, fx->len) == 0 && error.text.len)
		r->text = pr_bytes_copy(text, size, error.text);
	else if (mdc->failed)
		r->text = mdc->why;
}

void mdc_request_done(struct mdc *mdc, const struct cl_effect *fx)
{
	struct mdc_pending *pending = (struct mdc_pending *)(uintptr_t)fx->tag;
	struct mdc_reply reply = {.error = fx->error, .text = ""};
	char text[4096];

	if (!pending)
		return;
	if (pending->raw) {
		pending->raw(pending, fx->error, fx->p, fx->len);
		mdc_pending_free(mdc, pending);
		return;
	}
	mdc->loop->completed++;
	if (fx->error)
		reply_text(&reply, text, sizeof(text), fx, mdc);
	else if (!decode(pending->op, &reply, text, fx->p, fx->len))
		reply.error = -EPROTO;
	if (mdc->files && !reply.error) {
		mdc_files_reply(mdc, pending, &reply);
		reply.files_ = mdc->files;
	}
	if (pending->done)
		pending->done(pending->user, &reply);
	mdc_pending_free(mdc, pending);
}
