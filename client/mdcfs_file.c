/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Opening and closing. close(2) waits for nothing: what was written and not committed yet is in the
 * library's view, which every process of this mount reads, and becomes durable with the commit that
 * the release starts, or with fsync. So the kernel is told to leave FLUSH out.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "client/mdcfs.h"

void mf_file_ref(struct mf_file *f)
{
	f->refs++;
}

void mf_file_unref(struct mf_file *f)
{
	if (--f->refs > 0)
		return;
	mf_inode_closed(f->ino, f->writes);
	/* Without a callback it is committed with others, within a second. */
	if (!mf.ends)
		mdc_file_close_start(f->file, NULL, NULL);
	free(f);
}

/* A counted open becomes a handle, or is given back. */
static int file_new(struct mf_op *op, const struct mdc_attr *a, bool is_new,
		    struct fuse_file_info *fi)
{
	uint32_t flags = mf_open_flags(fi->flags) & ~(uint32_t)MDC_O_TRUNC;
	struct mf_file *f = calloc(1, sizeof(*f));
	int r = !f ? -ENOMEM : mf.ends ? -ESHUTDOWN : 0;

	/* A program is read by whoever may execute it. */
	if (flags & MDC_O_EXEC)
		flags = MDC_O_READ;
	if (r == 0)
		r = mdc_file_adopt(mf.mdc, &op->cred, a, flags, &f->file);
	if (r < 0) {
		mf_tell(&(struct mdc_request){.op = MDC_CLOSE, .ino = a->ino, .opens = 1});
		free(f);
		return r;
	}
	f->refs = 1;
	f->ino = a->ino;
	f->writes = flags & MDC_O_WRITE;
	f->touch = mf_wants_touch(a, fi->flags);
	fi->keep_cache = mf_inode_opened(a, f->writes, is_new);
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 11)
	fi->noflush = 1;
#endif
	fi->fh = (uintptr_t)f;
	return 0;
}

static void file_drop(const struct fuse_file_info *fi)
{
	mf_file_unref((struct mf_file *)(uintptr_t)fi->fh);
}

static void finish_open(struct mf_op *op, struct mdc_reply *reply)
{
	fuse_req_t req = mf_op_take(op);
	struct fuse_file_info fi = {.flags = (int)op->flags};
	int r = reply->error ? reply->error : file_new(op, &reply->attr, false, &fi);

	if (r == 0 && (!req || fuse_reply_open(req, &fi) == -ENOENT))
		file_drop(&fi);
	else if (r && req)
		fuse_reply_err(req, -r);
}

void mf_open(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	struct mf_op *op = mf_op_new(req, finish_open, true);

	if (!op)
		return;
	op->flags = (uint32_t)fi->flags;
	mf_op_submit(op, &(struct mdc_request){.op = MDC_OPEN,
					       .ino = mf_ino(node),
					       .flags = mf_open_flags(fi->flags)});
}

static void finish_create(struct mf_op *op, struct mdc_reply *reply)
{
	fuse_req_t req = mf_op_take(op);
	struct fuse_file_info fi = {.flags = (int)op->flags};
	struct fuse_entry_param e;
	int r = reply->error;

	/* Somebody made what is no file there meanwhile: nothing is open, and the kernel looks the name up again. */
	if (r == 0 && !S_ISREG(reply->attr.mode))
		r = -ESTALE;
	if (r == 0) {
		mf_entry(&reply->attr, &e);
		r = file_new(op, &reply->attr, reply->created, &fi);
	}
	if (r == 0 && (!req || fuse_reply_create(req, &e, &fi) == -ENOENT))
		file_drop(&fi);
	else if (r && req)
		fuse_reply_err(req, -r);
}

void mf_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
	       struct fuse_file_info *fi)
{
	struct mf_op *op = mf_op_new(req, finish_create, true);
	uint32_t flags = mf_open_flags(fi->flags) | MDC_O_CREAT;

	if (!op)
		return;
	if (fi->flags & O_EXCL)
		flags |= MDC_O_EXCL;
	op->flags = (uint32_t)fi->flags;
	mf_op_submit(op, &(struct mdc_request){
				 .op = MDC_CREATE,
				 .ino = mf_ino(parent),
				 .name = name,
				 .mode = mode & 07777,
				 .flags = flags,
			 });
}

void mf_release(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	fuse_reply_err(req, 0);
	file_drop(fi);
}

/* Only kernels and libraries too old to leave it out ask. */
void mf_flush(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	fuse_reply_err(req, mf.evicted ? ESTALE : 0);
}
