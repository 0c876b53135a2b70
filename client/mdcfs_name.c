/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names and attributes: each operation is one request and one answer. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/mdcfs.h"

static void finish_status(struct mf_op *op, struct mdc_reply *reply)
{
	mf_op_error(op, reply->error);
}

static void finish_entry(struct mf_op *op, struct mdc_reply *reply)
{
	fuse_req_t req = mf_op_take(op);
	struct fuse_entry_param e;

	if (!req)
		return;
	if (reply->error) {
		fuse_reply_err(req, -reply->error);
		return;
	}
	mf_entry(&reply->attr, &e);
	fuse_reply_entry(req, &e);
}

static void finish_attr(struct mf_op *op, struct mdc_reply *reply)
{
	fuse_req_t req = mf_op_take(op);
	struct stat st;

	if (!req)
		return;
	if (reply->error) {
		fuse_reply_err(req, -reply->error);
		return;
	}
	mf_stat(&reply->attr, &st);
	fuse_reply_attr(req, &st, 0);
}

/* One with a directory, a name and what else q has. */
static void submit(fuse_req_t req, mf_finish finish, struct mdc_request *q)
{
	struct mf_op *op = mf_op_new(req, finish, true);

	if (op)
		mf_op_submit(op, q);
}

void mf_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	submit(req, finish_entry,
	       &(struct mdc_request){.op = MDC_LOOKUP, .ino = mf_ino(parent), .name = name});
}

void mf_forget(fuse_req_t req, fuse_ino_t node, uint64_t count)
{
	mf_inode_forget(mf_ino(node));
	fuse_reply_none(req);
}

void mf_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	for (size_t i = 0; i < count; i++)
		mf_inode_forget(mf_ino(forgets[i].ino));
	fuse_reply_none(req);
}

void mf_getattr(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	struct mf_op *op = mf_op_new(req, finish_attr, false);

	if (op)
		mf_op_submit(op, &(struct mdc_request){.op = MDC_GETATTR, .ino = mf_ino(node)});
}

static void finish_setattr(struct mf_op *op, struct mdc_reply *reply)
{
	if (reply->error == 0)
		mf_inode_mode(&reply->attr);
	finish_attr(op, reply);
}

/* A time that does not fit becomes the farthest second that does. */
static int64_t ns_of(const struct timespec *t)
{
	const int64_t ns_per_s = 1000000000, most_s = INT64_MAX / ns_per_s;

	if (t->tv_sec >= most_s)
		return most_s * ns_per_s;
	if (t->tv_sec <= -most_s)
		return -most_s * ns_per_s;
	return t->tv_sec * ns_per_s + t->tv_nsec;
}

static uint32_t set_valid(int to_set)
{
	uint32_t r = 0;

	if (to_set & FUSE_SET_ATTR_MODE)
		r |= MDC_SET_MODE;
	if (to_set & FUSE_SET_ATTR_UID)
		r |= MDC_SET_UID;
	if (to_set & FUSE_SET_ATTR_GID)
		r |= MDC_SET_GID;
	if (to_set & FUSE_SET_ATTR_SIZE)
		r |= MDC_SET_SIZE;
	if (to_set & FUSE_SET_ATTR_ATIME_NOW)
		r |= MDC_SET_ATIME_NOW;
	else if (to_set & FUSE_SET_ATTR_ATIME)
		r |= MDC_SET_ATIME;
	if (to_set & FUSE_SET_ATTR_MTIME_NOW)
		r |= MDC_SET_MTIME_NOW;
	else if (to_set & FUSE_SET_ATTR_MTIME)
		r |= MDC_SET_MTIME;
	return r;
}

void mf_setattr(fuse_req_t req, fuse_ino_t node, struct stat *st, int to_set,
		struct fuse_file_info *fi)
{
	static const struct mdc_cred root;
	struct mf_op *op = mf_op_new(req, finish_setattr, true);
	struct mdc_attr set = {
		.mode = st->st_mode & 07777,
		.uid = st->st_uid,
		.gid = st->st_gid,
		.size = (uint64_t)st->st_size,
		.atime_ns = ns_of(&st->st_atim),
		.mtime_ns = ns_of(&st->st_mtim),
	};
	struct mdc_request q = {
		.op = MDC_SETATTR, .ino = mf_ino(node), .valid = set_valid(to_set), .set = &set};

	if (!op)
		return;
	if (q.valid & MDC_SET_SIZE) {
		/* ftruncate(2) was allowed when the file was opened. */
		if (fi)
			q.cred = &root;
		if (op->cred.uid != 0)
			q.valid |= MDC_SET_KILLPRIV;
	}
	mf_op_submit(op, &q);
}

static void finish_readlink(struct mf_op *op, struct mdc_reply *reply)
{
	fuse_req_t req = mf_op_take(op);

	if (!req)
		return;
	if (reply->error)
		fuse_reply_err(req, -reply->error);
	else
		fuse_reply_readlink(req, reply->text);
}

void mf_readlink(fuse_req_t req, fuse_ino_t node)
{
	submit(req, finish_readlink,
	       &(struct mdc_request){.op = MDC_READLINK, .ino = mf_ino(node)});
}

void mf_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	submit(req, finish_entry,
	       &(struct mdc_request){.op = MDC_MKNOD,
				     .ino = mf_ino(parent),
				     .name = name,
				     .mode = mode,
				     .rdev = rdev});
}

void mf_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	submit(req, finish_entry,
	       &(struct mdc_request){
		       .op = MDC_MKDIR, .ino = mf_ino(parent), .name = name, .mode = mode & 07777});
}

void mf_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	submit(req, finish_entry,
	       &(struct mdc_request){
		       .op = MDC_SYMLINK, .ino = mf_ino(parent), .name = name, .text = target});
}

void mf_link(fuse_req_t req, fuse_ino_t node, fuse_ino_t parent, const char *name)
{
	submit(req, finish_entry,
	       &(struct mdc_request){.op = MDC_LINK,
				     .ino = mf_ino(node),
				     .new_parent = mf_ino(parent),
				     .new_name = name});
}

void mf_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	submit(req, finish_status,
	       &(struct mdc_request){.op = MDC_UNLINK, .ino = mf_ino(parent), .name = name});
}

void mf_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	submit(req, finish_status,
	       &(struct mdc_request){.op = MDC_RMDIR, .ino = mf_ino(parent), .name = name});
}

void mf_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
	       const char *new_name, unsigned flags)
{
	if (flags & ~(unsigned)(MDC_RENAME_NOREPLACE | MDC_RENAME_EXCHANGE)) {
		fuse_reply_err(req, EINVAL);
		return;
	}
	submit(req, finish_status,
	       &(struct mdc_request){.op = MDC_RENAME,
				     .ino = mf_ino(parent),
				     .name = name,
				     .new_parent = mf_ino(new_parent),
				     .new_name = new_name,
				     .flags = flags});
}

void mf_access(fuse_req_t req, fuse_ino_t node, int mask)
{
	submit(req, finish_status,
	       &(struct mdc_request){
		       .op = MDC_ACCESS, .ino = mf_ino(node), .mask = (uint32_t)mask});
}

static void finish_statfs(struct mf_op *op, struct mdc_reply *reply)
{
	const struct mdc_statfs *s = &reply->statfs;
	fuse_req_t req = mf_op_take(op);
	struct statvfs st = {
		.f_bsize = s->block_bytes,
		.f_frsize = s->block_bytes,
		.f_blocks = s->blocks,
		.f_bfree = s->blocks_free,
		.f_bavail = s->blocks_free,
		.f_files = s->files,
		.f_ffree = s->files_free,
		.f_favail = s->files_free,
		.f_namemax = s->name_max,
	};

	if (!req)
		return;
	if (reply->error)
		fuse_reply_err(req, -reply->error);
	else
		fuse_reply_statfs(req, &st);
}

void mf_statfs(fuse_req_t req, fuse_ino_t node)
{
	submit(req, finish_statfs, &(struct mdc_request){.op = MDC_STATFS});
}
