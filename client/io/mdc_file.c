/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Open files: the public face of the data path. Copies between a caller's memory and aligned
 * buffers are made by the caller's thread. */
#include "client/io/mdc_data.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/io/mdc_call.h"

static int no_data(const struct mdc *mdc)
{
	return mdc->files ? 0 : mdc_fail(-ENXIO, "the session was opened without its LUNs");
}

/* ---- opening ---- */

int mdc_file_adopt(struct mdc *mdc, const struct mdc_cred *cred, const struct mdc_attr *attr,
		   uint32_t flags, struct mdc_file **ret)
{
	struct mdc_file *file;
	struct mdc_inode *inode;
	int r = no_data(mdc);

	if (r < 0)
		return r;
	/* Of what is no file no open is counted either: there is nothing to give back. */
	if (!S_ISREG(attr->mode))
		return mdc_fail(S_ISDIR(attr->mode) ? -EISDIR : -ENXIO,
				"inode %llu is not a regular file: it has no data on the LUNs",
				(unsigned long long)attr->ino);
	file = calloc(1, sizeof(*file));
	mdc_lock(mdc->loop);
	inode = file ? mdc_inode_get(mdc, attr->ino) : NULL;
	if (inode) {
		inode->files++;
		inode->opens++;
		mdc_inode_told(inode, attr);
		if (cred && (flags & MDC_O_WRITE)) {
			inode->uid = cred->uid;
			inode->gid = cred->gid;
		}
		file->inode = inode;
		file->flags = flags;
	}
	mdc_unlock(mdc->loop);
	if (!inode) {
		free(file);
		return mdc_fail(-ENOMEM, "no memory for a file");
	}
	*ret = file;
	return 0;
}

int mdc_file_open(struct mdc *mdc, const struct mdc_cred *cred, uint64_t ino, uint32_t flags,
		  struct mdc_file **ret, struct mdc_attr *ret_attr)
{
	struct mdc_request q = {.op = MDC_OPEN, .cred = cred, .ino = ino, .flags = flags};
	struct mdc_attr attr;
	int r = no_data(mdc);

	if (r < 0)
		return r;
	r = mdc_call_attr(mdc, &q, &attr, NULL);
	if (r < 0)
		return r;
	r = mdc_file_adopt(mdc, cred, &attr, flags, ret);
	if (r == 0 && ret_attr)
		*ret_attr = attr;
	return r;
}

int mdc_file_create(struct mdc *mdc, const struct mdc_cred *cred, uint64_t parent, const char *name,
		    uint32_t mode, uint32_t flags, struct mdc_file **ret, struct mdc_attr *ret_attr,
		    bool *ret_created)
{
	struct mdc_request q = {.op = MDC_CREATE,
				.cred = cred,
				.ino = parent,
				.name = name,
				.mode = mode,
				.flags = flags | MDC_O_CREAT};
	struct mdc_attr attr;
	bool created;
	int r = no_data(mdc);

	if (r < 0)
		return r;
	r = mdc_call_attr(mdc, &q, &attr, &created);
	if (r < 0)
		return r;
	r = mdc_file_adopt(mdc, cred, &attr, flags, ret);
	if (r < 0)
		return r;
	if (ret_attr)
		*ret_attr = attr;
	if (ret_created)
		*ret_created = created;
	return 0;
}

uint64_t mdc_file_ino(const struct mdc_file *file)
{
	return file->inode->ino;
}

uint64_t mdc_file_size(struct mdc_file *file)
{
	struct mdc_loop *loop = file->inode->mdc->loop;
	uint64_t size;

	mdc_lock(loop);
	size = file->inode->size_seen;
	mdc_unlock(loop);
	return size;
}

/* ---- closing ---- */

struct closing {
	struct mdc_inode *inode;
	struct mdc_later *later;
	mdc_done done;
	void *user;
};

static void close_now(struct mdc_inode *inode)
{
	inode->files--;
	mdc_inode_settle(inode);
}

static void close_told(void *user, ssize_t result)
{
	struct closing *closing = user;

	closing->done(closing->user, &(struct mdc_reply){.error = (int)result, .text = ""});
	free(closing);
}

static void close_committed(void *user, ssize_t result)
{
	struct closing *closing = user;

	closing->inode->files--;
	mdc_later_done(closing->later, result);
}

void mdc_file_close_start(struct mdc_file *file, mdc_done done, void *user)
{
	struct mdc_inode *inode = file->inode;
	struct mdc *mdc = inode->mdc;
	struct closing *closing = done ? calloc(1, sizeof(*closing)) : NULL;
	struct mdc_later *later = closing ? mdc_later_new(mdc, close_told, closing) : NULL;

	free(file);
	mdc_lock(mdc->loop);
	if (later) {
		*closing = (struct closing){inode, later, done, user};
		inode->pins++;
		if (mdc_fsync_add(inode, close_committed, closing) < 0)
			close_committed(closing, -ENOMEM);
		inode->pins--;
		mdc_inode_settle(inode);
	} else {
		free(closing);
		close_now(inode);
	}
	mdc_call_pump(mdc);
	mdc_unlock(mdc->loop);
}

int mdc_file_close(struct mdc_file *file)
{
	struct mdc_inode *inode = file->inode;
	struct mdc *mdc = inode->mdc;
	int r = mdc_file_fsync(file);

	free(file);
	mdc_lock(mdc->loop);
	close_now(inode);
	mdc_call_pump(mdc);
	mdc_unlock(mdc->loop);
	return r;
}

/* ---- reading and writing ---- */

static int check(struct mdc_file *file, uint32_t need, size_t bytes, uint64_t offset)
{
	if (!(file->flags & need))
		return mdc_fail(-EBADF, "the file is not open for that");
	if (bytes > INT64_MAX || offset > INT64_MAX || offset + bytes > INT64_MAX)
		return mdc_fail(-EFBIG, "beyond the largest size of a file");
	return 0;
}

static int start(struct mdc_file *file, const struct mdc_io *like)
{
	struct mdc_inode *inode = file->inode;
	struct mdc *mdc = inode->mdc;
	struct mdc_io *io = calloc(1, sizeof(*io));
	int r;

	if (!io)
		return mdc_fail(-ENOMEM, "no memory for a transfer");
	*io = *like;
	mdc_lock(mdc->loop);
	r = mdc_io_start(inode, io);
	mdc_call_pump(mdc);
	mdc_unlock(mdc->loop);
	if (r < 0)
		free(io);
	return r;
}

int mdc_file_read_start(struct mdc_file *file, void *buffer, size_t bytes, uint64_t offset,
			mdc_io_done done, void *user)
{
	struct mdc_io io = {.kind = MDC_IO_READ,
			    .p = buffer,
			    .bytes = bytes,
			    .offset = offset,
			    .done = mdc_later_done};
	int r = check(file, MDC_O_READ | MDC_O_EXEC, bytes, offset);

	if (r < 0)
		return r;
	io.user = mdc_later_new(file->inode->mdc, done, user);
	if (!io.user)
		return mdc_fail(-ENOMEM, "no memory for a transfer");
	r = start(file, &io);
	if (r < 0)
		free(io.user);
	return r;
}

struct durable {
	struct mdc_file *file;
	struct mdc_later *later;
	ssize_t result;
};

static void durable_done(void *user, ssize_t result)
{
	struct durable *d = user;

	mdc_later_done(d->later, result < 0 ? result : d->result);
	free(d);
}

static void durable_written(void *user, ssize_t result)
{
	struct durable *d = user;

	d->result = result;
	if (result < 0 || mdc_fsync_add(d->file->inode, durable_done, d) < 0)
		durable_done(d, result < 0 ? result : -ENOMEM);
}

int mdc_file_write_start(struct mdc_file *file, const void *buffer, size_t bytes, uint64_t offset,
			 uint32_t flags, mdc_io_done done, void *user)
{
	struct mdc_io io = {.kind = MDC_IO_WRITE,
			    .p = (uint8_t *)buffer,
			    .bytes = bytes,
			    .offset = offset,
			    .flags = flags,
			    .done = mdc_later_done};
	struct mdc_later *later;
	struct durable *d = NULL;
	int r = check(file, MDC_O_WRITE, bytes, offset);

	if (r < 0)
		return r;
	if (!bytes)
		return mdc_fail(-EINVAL, "a write of nothing");
	io.user = later = mdc_later_new(file->inode->mdc, done, user);
	if (later && (flags & MDC_WRITE_DSYNC)) {
		io.done = durable_written;
		io.user = d = calloc(1, sizeof(*d));
	}
	if (d)
		*d = (struct durable){.file = file, .later = later};
	r = io.user ? start(file, &io) : mdc_fail(-ENOMEM, "no memory for a transfer");
	if (r < 0) {
		free(d);
		free(later);
	}
	return r;
}

/* ---- the same, waiting ---- */

struct io_call {
	struct mdc_io io;
	struct mdc_waiter waiter;
	ssize_t result;
};

static void io_call_done(void *user, ssize_t result)
{
	struct io_call *call = user;

	call->waiter.mdc->loop->completed++;
	call->result = result;
	mdc_waiter_done(&call->waiter);
}

static ssize_t io_call(struct mdc_file *file, struct io_call *call)
{
	struct mdc *mdc = file->inode->mdc;
	int r;

	call->io.copy_late = true;
	call->io.done = io_call_done;
	call->io.user = call;
	mdc_lock(mdc->loop);
	mdc_waiter_add(mdc, &call->waiter);
	r = mdc_io_start(file->inode, &call->io);
	if (r < 0) {
		mdc_waiter_remove(&call->waiter);
		mdc_unlock(mdc->loop);
		return mdc_fail(r, "%s", strerror(-r));
	}
	mdc_call_pump(mdc);
	mdc_unlock(mdc->loop);
	while (!mdc_wait(mdc->loop, &call->waiter)) {
		mdc_lock(mdc->loop);
		if (!mdc_waiter_is_done(&call->waiter))
			mdc_io_cancel(file->inode, &call->io);
		mdc_unlock(mdc->loop);
	}
	if (call->result < 0)
		mdc_fail((int)call->result, "%s",
			 mdc->failed ? mdc->why : strerror((int)-call->result));
	return call->result;
}

/* Whatever the file was opened for. */
static ssize_t read_unasked(struct mdc_file *file, void *buffer, size_t bytes, uint64_t offset)
{
	struct io_call call = {
		.io = {.kind = MDC_IO_READ, .p = buffer, .bytes = bytes, .offset = offset}};
	ssize_t n = io_call(file, &call);

	if (n > 0 && call.io.bounce)
		memcpy(buffer, call.io.bounce + offset % CL_BLOCK_BYTES, (size_t)n);
	mdc_buffer_put(call.io.bounce, call.io.bounce_bytes);
	return n;
}

ssize_t mdc_file_read(struct mdc_file *file, void *buffer, size_t bytes, uint64_t offset)
{
	int r = check(file, MDC_O_READ | MDC_O_EXEC, bytes, offset);

	if (r < 0 || !bytes)
		return r;
	return read_unasked(file, buffer, bytes, offset);
}

/* Filled by this thread, without the lock. Where an append will stand is not known here. */
static void fill_early(struct mdc_io *io)
{
	uint64_t in = io->offset % CL_BLOCK_BYTES;
	size_t bytes = (in + io->bytes + 3 * CL_BLOCK_BYTES - 1) / CL_BLOCK_BYTES * CL_BLOCK_BYTES;

	if ((io->flags & MDC_WRITE_APPEND) ||
	    (in == 0 && io->bytes % CL_BLOCK_BYTES == 0 && (uintptr_t)io->p % CL_BLOCK_BYTES == 0))
		return;
	io->bounce = mdc_buffer_get(bytes);
	if (!io->bounce)
		return;
	io->bounce_bytes = bytes;
	memcpy(io->bounce + in, io->p, io->bytes);
}

ssize_t mdc_file_write(struct mdc_file *file, const void *buffer, size_t bytes, uint64_t offset,
		       uint32_t flags)
{
	struct io_call call = {.io = {.kind = MDC_IO_WRITE,
				      .p = (uint8_t *)buffer,
				      .bytes = bytes,
				      .offset = offset,
				      .flags = flags}};
	int r = check(file, MDC_O_WRITE, bytes, offset);
	ssize_t n;

	if (r < 0)
		return r;
	if (!bytes)
		return 0;
	fill_early(&call.io);
	n = io_call(file, &call);
	mdc_buffer_put(call.io.bounce, call.io.bounce_bytes);
	if (n > 0 && (flags & MDC_WRITE_DSYNC)) {
		r = mdc_file_fsync(file);
		if (r < 0)
			return r;
	}
	return n;
}

/* ---- size and blocks ---- */

int mdc_file_truncate(struct mdc_file *file, const struct mdc_cred *cred, uint64_t size)
{
	struct mdc_attr set = {.size = size};

	return mdc_setattr(file->inode->mdc, cred, file->inode->ino, MDC_SET_SIZE, &set, NULL);
}

int mdc_file_allocate(struct mdc_file *file, const struct mdc_cred *cred, uint32_t mode,
		      uint64_t offset, uint64_t bytes)
{
	struct mdc *mdc = file->inode->mdc;
	struct mdc_task *task = mdc_task_new(MDC_TASK_ALLOCATE);
	struct mdc_call *call = mdc_call_new(mdc);
	struct mdc_request q = {.cred = cred, .done = mdc_call_done, .user = call};
	int r = check(file, MDC_O_WRITE, bytes, offset);

	if (r == 0 && (!task || !call || mdc_task_carry(mdc, task, &q) < 0))
		r = mdc_fail(-ENOMEM, "no memory for a request");
	if (r < 0) {
		mdc_task_free(task);
		mdc_call_free(call);
		return r;
	}
	task->mode = mode;
	task->offset = offset;
	task->bytes = bytes;
	mdc_lock(mdc->loop);
	mdc_task_add(file->inode, task);
	mdc_call_pump(mdc);
	mdc_unlock(mdc->loop);
	return mdc_call_wait(mdc, call, 0, 0, NULL);
}

/* ---- SEEK_DATA and SEEK_HOLE ---- */

struct piece {
	uint64_t size; /* of the file */
	uint64_t end;  /* where another piece may begin */
	bool data;
};

/* What a layout tells of offset. False: none that does is held. */
static bool piece_at(const struct mdc_inode *inode, uint64_t offset, struct piece *ret)
{
	uint64_t block = offset / CL_BLOCK_BYTES;
	const struct cl_ext *e;

	ret->size = inode->size_seen;
	if (!inode->leased)
		return false;
	if (offset >= ret->size)
		return true;
	if (cl_map_gap(&inode->map, block, block + 1, false) == block)
		return false;
	e = cl_map_find(&inode->map, block);
	ret->data = e->state == PR_EXTENT_WRITTEN;
	ret->end = (e->file_block + e->blocks) * CL_BLOCK_BYTES;
	return true;
}

/* A read of one byte brings the layout. */
static int know(struct mdc_file *file, uint64_t offset, struct piece *ret)
{
	struct mdc_loop *loop = file->inode->mdc->loop;

	for (;;) {
		uint8_t byte;
		ssize_t n;
		bool known;

		mdc_lock(loop);
		known = piece_at(file->inode, offset, ret);
		mdc_unlock(loop);
		if (known)
			return 0;
		n = read_unasked(file, &byte, 1, offset);
		if (n < 0)
			return (int)n;
	}
}

int64_t mdc_file_seek(struct mdc_file *file, uint64_t offset, int whence)
{
	bool data = whence == SEEK_DATA;
	uint64_t at = offset;
	struct piece piece = {0};

	if (whence != SEEK_DATA && whence != SEEK_HOLE)
		return mdc_fail(-EINVAL, "neither SEEK_DATA nor SEEK_HOLE");
	if (offset >= INT64_MAX)
		return mdc_fail(-ENXIO, "beyond the end of the file");
	for (;; at = piece.end) {
		int r = know(file, at, &piece);

		if (r < 0)
			return r;
		if (at >= piece.size)
			break;
		if (piece.data == data)
			return (int64_t)at;
	}
	if (offset >= piece.size)
		return mdc_fail(-ENXIO, "beyond the end of the file");
	return data ? mdc_fail(-ENXIO, "no data follows") : (int64_t)piece.size;
}
