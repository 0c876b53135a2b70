/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * File data: between the kernel's page cache and the LUNs, through one buffer that both sides take
 * without another copy.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "client/mdcfs.h"

static struct mf_file *file_of(const struct fuse_file_info *fi)
{
	return (struct mf_file *)(uintptr_t)fi->fh;
}

/*
 * Past the page cache? The flags of the file do not tell: a direct write whose pages cannot be dropped
 * goes through the cache in the end, with their locks held, and fcntl(2) may turn O_DIRECT on or off
 * meanwhile. What goes past the cache, and nothing else, has an owner (fuse_send_read and
 * fuse_send_write in the kernel's fs/fuse/file.c).
 */
static bool is_direct(const struct fuse_file_info *fi)
{
	return fi->lock_owner != 0;
}

/* An op on a file, with a buffer if size is not 0. NULL: answered. */
static struct mf_op *data_op(fuse_req_t req, struct mf_file *f, size_t size, off_t offset)
{
	void *buffer = size ? mf_buffer_get(size) : NULL;
	struct mf_op *op;

	if (size && !buffer) {
		fuse_reply_err(req, ENOMEM);
		return NULL;
	}
	op = mf_op_new(req, NULL, false);
	if (!op) {
		mf_buffer_put(buffer, size);
		return NULL;
	}
	mf_file_ref(f);
	op->handle = f;
	op->buffer = buffer;
	op->size = size;
	op->offset = (uint64_t)offset;
	return op;
}

static void data_end(struct mf_op *op)
{
	mf_buffer_put(op->buffer, op->size);
	mf_file_unref(op->handle);
	mf_op_unref(op);
}

/* The library did not start it. */
static void data_fail(struct mf_op *op, int error)
{
	mf_op_error(op, error);
	data_end(op);
}

static void read_answer(void *arg)
{
	struct mf_op *op = arg;
	fuse_req_t req = mf_op_take(op);

	if (req && op->error)
		fuse_reply_err(req, -op->error);
	else if (req)
		fuse_reply_buf(req, op->buffer, op->bytes);
	data_end(op);
}

static void read_done(void *user, ssize_t result)
{
	struct mf_op *op = user;

	if (result < 0)
		op->error = (int)result;
	else
		op->bytes = (size_t)result;
	if (!op->direct || !mf_apart(&op->job, read_answer, op))
		read_answer(op);
}

void mf_read(fuse_req_t req, fuse_ino_t node, size_t size, off_t offset, struct fuse_file_info *fi)
{
	struct mf_file *f = file_of(fi);
	struct mf_op *op = data_op(req, f, size, offset);
	int r;

	if (!op)
		return;
	op->direct = is_direct(fi);
	if (f->touch && atomic_exchange(&f->touch, false))
		mf_touch(f->ino);
	r = mdc_file_read_start(f->file, op->buffer, size, op->offset, read_done, op);
	if (r < 0)
		read_done(op, r);
}

/* ---- writes ---- */

static void write_answer(struct mf_op *op)
{
	fuse_req_t req = mf_op_take(op);

	if (req)
		fuse_reply_write(req, op->bytes);
	data_end(op);
}

/*
 * The kernel drops the pages under a direct write before it sends it, and afterwards only if its
 * caller waits for it, not if it is one of aio(7) or io_uring(7). A reader through the page cache may
 * have brought the old bytes back meanwhile. So the pages are dropped here, between the write and its
 * answer.
 */
static void direct_write_answer(void *arg)
{
	struct mf_op *op = arg;
	struct mf_file *f = op->handle;

	fuse_lowlevel_notify_inval_inode(mf.session, mf_node(f->ino), (off_t)op->offset,
					 (off_t)op->bytes);
	write_answer(op);
}

static void write_done(void *user, ssize_t result)
{
	struct mf_op *op = user;

	if (result < 0) {
		data_fail(op, (int)result);
		return;
	}
	op->bytes = (size_t)result;
	if (!op->direct || !mf_apart(&op->job, direct_write_answer, op))
		write_answer(op);
}

static void write_start(struct mf_op *op)
{
	struct mf_file *f = op->handle;
	int r = mdc_file_write_start(f->file, op->buffer, op->bytes, op->offset, op->flags,
				     write_done, op);

	if (r < 0)
		data_fail(op, r);
}

static void write_killed(struct mf_op *op, struct mdc_reply *reply)
{
	if (reply->error) {
		data_fail(op, reply->error);
		return;
	}
	mf_inode_mode(&reply->attr);
	write_start(op);
}

/* A commit clears the set-id bits too, but late; nobody may see them after a change by others. */
static void kill_privileges(struct mf_op *op, mf_finish then)
{
	static const struct mdc_cred root;
	struct mf_file *f = op->handle;

	mf_op_ref(op);
	op->finish = then;
	mf_op_submit(op, &(struct mdc_request){
				 .op = MDC_SETATTR,
				 .cred = &root,
				 .ino = f->ino,
				 .valid = MDC_SET_KILLPRIV,
				 .set = &(struct mdc_attr){0},
			 });
}

/*
 * An append goes to the offset that the kernel chose: it is the end of the file as this mount sees
 * it, and the page cache holds the data there. Pages written back later carry nobody's credentials;
 * the write that made them dirty was a store to memory.
 */
void mf_write_buf(fuse_req_t req, fuse_ino_t node, struct fuse_bufvec *in, off_t offset,
		  struct fuse_file_info *fi)
{
	size_t size = fuse_buf_size(in);
	struct fuse_bufvec out = FUSE_BUFVEC_INIT(size);
	struct mf_op *op = data_op(req, file_of(fi), size, offset);
	ssize_t n;

	if (!op)
		return;
	out.buf[0].mem = op->buffer;
	n = fuse_buf_copy(&out, in, 0);
	if (n < 0) {
		data_fail(op, (int)n);
		return;
	}
	op->bytes = (size_t)n;
	op->direct = is_direct(fi);
	if (fi->writepage || op->cred.uid == 0) {
		write_start(op);
		return;
	}
	op->flags = MDC_WRITE_KILLPRIV;
	if (mf_inode_is_setid(mf_ino(node)))
		kill_privileges(op, write_killed);
	else
		write_start(op);
}

static void fsync_done(void *user, ssize_t result)
{
	struct mf_op *op = user;

	mf_op_error(op, (int)result);
	data_end(op);
}

void mf_fsync(fuse_req_t req, fuse_ino_t node, int datasync, struct fuse_file_info *fi)
{
	struct mf_file *f = file_of(fi);
	struct mf_op *op = data_op(req, f, 0, 0);
	int r;

	if (!op)
		return;
	r = mdc_file_fsync_start(f->file, fsync_done, op);
	if (r < 0)
		data_fail(op, r);
}

/* ---- what the library only offers waiting ---- */

struct range {
	off_t length;
	int mode;
};

static void allocate(void *arg)
{
	static const struct mdc_cred root;
	struct mf_op *op = arg;
	struct mf_file *f = op->handle;
	struct range *range = op->buffer;
	int r = mdc_file_allocate(f->file, &root, (uint32_t)range->mode, op->offset,
				  (uint64_t)range->length);

	mf_op_error(op, r);
	data_end(op);
}

/* In the library's thread, which must not wait for itself. */
static void allocate_killed(struct mf_op *op, struct mdc_reply *reply)
{
	int r = reply->error;

	if (r == 0) {
		mf_inode_mode(&reply->attr);
		if (!mf_apart(&op->job, allocate, op))
			r = -EINTR;
	}
	if (r < 0)
		data_fail(op, r);
}

void mf_fallocate(fuse_req_t req, fuse_ino_t node, int mode, off_t offset, off_t length,
		  struct fuse_file_info *fi)
{
	struct mf_op *op = data_op(req, file_of(fi), sizeof(struct range), offset);

	if (!op)
		return;
	*(struct range *)op->buffer = (struct range){.length = length, .mode = mode};
	if (op->cred.uid != 0)
		kill_privileges(op, allocate_killed);
	else if (!mf_apart(&op->job, allocate, op))
		data_fail(op, -EINTR);
}

static void seek(void *arg)
{
	struct mf_op *op = arg;
	struct mf_file *f = op->handle;
	int64_t r = mdc_file_seek(f->file, op->offset, (int)op->flags);
	fuse_req_t req = mf_op_take(op);

	if (req && r < 0)
		fuse_reply_err(req, (int)-r);
	else if (req)
		fuse_reply_lseek(req, r);
	data_end(op);
}

void mf_lseek(fuse_req_t req, fuse_ino_t node, off_t offset, int whence, struct fuse_file_info *fi)
{
	struct mf_op *op = data_op(req, file_of(fi), 0, offset);

	if (!op)
		return;
	op->flags = (uint32_t)whence;
	if (!mf_apart(&op->job, seek, op))
		data_fail(op, -EINTR);
}
