/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reads and writes of a file: wait for a layout, then straight between the LUN and the caller's
 * memory, or through an aligned buffer. Two writes that share a block follow each other. A block is
 * written whole: what the caller does not give is read before, or zero where the block was never
 * written or lies behind the end of the file.
 */
#include "client/io/mdc_data.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lun/aio.h"

enum {
	PIECE_BYTES = 1 << 20, /* of one transfer */
	DIRTY_BLOCKS_MAX = (256 << 20) / 4096,
};

static uint64_t block_of(uint64_t offset)
{
	return offset / CL_BLOCK_BYTES;
}

/* ---- lists ---- */

static void io_append(struct mdc_inode *inode, struct mdc_io *io)
{
	io->next = NULL;
	io->prev = inode->waiting_end;
	*inode->waiting_end = io;
	inode->waiting_end = &io->next;
}

static void io_unlink(struct mdc_inode *inode, struct mdc_io *io)
{
	*io->prev = io->next;
	if (io->next)
		io->next->prev = io->prev;
	else if (inode->waiting_end == &io->next)
		inode->waiting_end = io->prev;
}

static void io_push_running(struct mdc_inode *inode, struct mdc_io *io)
{
	io->next = inode->running;
	io->prev = &inode->running;
	if (io->next)
		io->next->prev = &io->next;
	inode->running = io;
}

bool mdc_io_quiet(const struct mdc_inode *inode)
{
	return !inode->running && !inode->getting;
}

bool mdc_io_write_before(const struct mdc_inode *inode, uint64_t seq)
{
	const struct mdc_io *lists[] = {inode->running, inode->waiting};

	for (int i = 0; i < 2; i++)
		for (const struct mdc_io *io = lists[i]; io; io = io->next)
			if (io->kind != MDC_IO_READ && io->seq <= seq)
				return true;
	return false;
}

/* ---- the end of one ---- */

static void io_over(struct mdc_io *io, ssize_t result)
{
	bool kept = io->copy_late; /* its owner may be gone once it is done */

	if (io->bounce && !kept)
		mdc_buffer_put(io->bounce, io->bounce_bytes);
	if (io->done)
		io->done(io->user, result);
	if (!kept)
		free(io);
}

bool mdc_io_leave(struct mdc_inode *inode, struct mdc_io *io, ssize_t result)
{
	io_unlink(inode, io);
	io_over(io, result);
	return true;
}

static void wrote(struct mdc_inode *inode, struct mdc_io *io)
{
	uint64_t end = io->offset + io->bytes, before = cl_ranges_blocks(&inode->dirty);

	inode->disks |= io->disks;
	if (!cl_map_written(&inode->map, io->from, io->to, &inode->dirty)) {
		io->error = -ENOMEM;
		return;
	}
	if (io->kind == MDC_IO_ZERO) {
		if (io->tail && io->offset == inode->size_seen)
			inode->clean_end = io->offset;
		return;
	}
	inode->dirty_blocks += cl_ranges_blocks(&inode->dirty) - before;
	if (end > inode->size_seen) {
		inode->dense &= io->from <= blocks_up(inode->size_seen);
		inode->size_seen = inode->clean_end = end;
		inode->size_dirty = true;
	}
	inode->killpriv |= io->flags & MDC_WRITE_KILLPRIV;
	inode->mtime_dirty = true;
	inode->mtime_ns = mdc_real_ns();
	inode->mdc->stats.data_written += io->bytes;
	mdc_inode_set_dirty(inode);
	if (inode->dirty_blocks >= DIRTY_BLOCKS_MAX)
		inode->commit_wanted = true;
}

static void copy_out(struct mdc_io *io)
{
	if (io->bounce && !io->copy_late)
		memcpy(io->p, io->bounce + io->offset % CL_BLOCK_BYTES, io->got);
}

static void io_finish(struct mdc_io *io)
{
	struct mdc_inode *inode = io->inode;

	io_unlink(inode, io);
	if (!io->error && io->kind != MDC_IO_READ)
		wrote(inode, io);
	if (!io->error && io->kind == MDC_IO_READ) {
		copy_out(io);
		inode->mdc->stats.data_read += io->got;
	}
	inode->pins++;
	io_over(io, io->error ? io->error : (ssize_t)io->got);
	mdc_io_run(inode);
	mdc_commit_run(inode);
	mdc_tasks_run(inode);
	inode->pins--;
	mdc_inode_settle(inode);
}

/* ---- transfers of one ---- */

static void io_write(struct mdc_io *io);

static void part_done(struct mdc_transfer *t, int error)
{
	struct mdc_io *io = t->object;

	free(t);
	if (error && !io->error)
		io->error = error == -ENODATA ? -EIO : error;
	if (--io->parts)
		return;
	if (io->reading_edges && !io->error) {
		io->reading_edges = false;
		io_write(io);
		return;
	}
	io_finish(io);
}

/* One extent's share of blocks [from, to) at p, in pieces. */
static void transfer_extent(struct mdc_io *io, const struct cl_ext *e, int op, uint64_t from,
			    uint64_t to, uint8_t *p)
{
	struct mdc_disk *disk = mdc_disk_of(io->inode->mdc->files, e->lun);
	uint64_t offset = (e->lun_block + from - e->file_block) * CL_BLOCK_BYTES;
	uint64_t bytes = (to - from) * CL_BLOCK_BYTES;

	while (bytes) {
		struct mdc_transfer *t = disk ? calloc(1, sizeof(*t)) : NULL;
		uint32_t n = (uint32_t)min_u64(bytes, PIECE_BYTES);

		if (!t) {
			io->error = disk ? -ENOMEM : -ENXIO;
			return;
		}
		if (op == AIO_WRITE)
			io->disks |= 1ull << (disk - disk->files->disks);
		*t = (struct mdc_transfer){.disk = disk,
					   .op = op,
					   .p = p,
					   .bytes = n,
					   .offset = offset,
					   .done = part_done,
					   .object = io};
		io->parts++;
		mdc_transfer(io->inode->mdc->loop, t);
		p += n;
		offset += n;
		bytes -= n;
	}
}

/* Blocks [from, to) between p and the LUN; reading, what is not written is zero. */
static void transfer(struct mdc_io *io, int op, uint64_t from, uint64_t to, uint8_t *p)
{
	while (from < to && !io->error) {
		const struct cl_ext *e = cl_map_find(&io->inode->map, from);
		uint64_t end = min_u64(to, e->file_block + e->blocks);

		if (op == AIO_READ && e->state != PR_EXTENT_WRITTEN)
			memset(p, 0, (end - from) * CL_BLOCK_BYTES);
		else
			transfer_extent(io, e, op, from, end, p);
		p += (end - from) * CL_BLOCK_BYTES;
		from = end;
	}
}

static bool is_aligned(const struct mdc_io *io)
{
	return io->offset % CL_BLOCK_BYTES == 0 && io->bytes % CL_BLOCK_BYTES == 0 &&
	       (uintptr_t)io->p % CL_BLOCK_BYTES == 0;
}

static bool need_bounce(struct mdc_io *io)
{
	io->bounce_bytes = (io->to - io->from) * CL_BLOCK_BYTES;
	io->bounce = mdc_buffer_get(io->bounce_bytes);
	if (!io->bounce)
		io->error = -ENOMEM;
	return io->bounce != NULL;
}

static void begin_parts(struct mdc_io *io)
{
	io->parts = 1; /* so that none of them ends the io while others are being made */
}

static void end_parts(struct mdc_io *io)
{
	if (--io->parts == 0)
		io_finish(io);
}

static void io_read(struct mdc_io *io)
{
	uint8_t *p = io->p;

	begin_parts(io);
	/* The last block may be read whole if the caller's buffer has the room. */
	if (!is_aligned(io) || io->bounce) {
		if (!io->bounce)
			need_bounce(io);
		p = io->bounce;
	}
	if (!io->error)
		transfer(io, AIO_READ, io->from, io->to, p);
	end_parts(io);
}

/* ---- writing ---- */

/* What of block, in the file now, has a meaning that the write does not replace: bytes of the block
 * from its start. */
static uint64_t old_bytes(const struct mdc_io *io, uint64_t block)
{
	uint64_t start = block * CL_BLOCK_BYTES, eof = io->inode->size_seen;
	const struct cl_ext *e = cl_map_find(&io->inode->map, block);

	if (e->state != PR_EXTENT_WRITTEN || eof <= start)
		return 0;
	return min_u64(eof - start, CL_BLOCK_BYTES);
}

static bool is_partial(const struct mdc_io *io, uint64_t block)
{
	return io->offset > block * CL_BLOCK_BYTES ||
	       io->offset + io->bytes < (block + 1) * CL_BLOCK_BYTES;
}

/* The caller's bytes lie in the bounce buffer; the rest of an edge is read into edge first, or
 * zero. */
static void edge(struct mdc_io *io, uint64_t block, uint8_t *p)
{
	if (!is_partial(io, block))
		return;
	if (old_bytes(io, block) > 0)
		transfer(io, AIO_READ, block, block + 1, p);
	else
		memset(p, 0, CL_BLOCK_BYTES);
}

/* After the edges have come: keep their old bytes around the caller's, and zeros behind the old
 * end. */
static void merge_edge(struct mdc_io *io, uint64_t block, const uint8_t *old)
{
	uint64_t start = block * CL_BLOCK_BYTES, keep = old_bytes(io, block);
	uint8_t *to = io->bounce + (block - io->from) * CL_BLOCK_BYTES;
	uint64_t own_from = io->offset > start ? io->offset - start : 0;
	uint64_t own_to = min_u64(io->offset + io->bytes - start, CL_BLOCK_BYTES);

	if (!is_partial(io, block))
		return;
	for (uint64_t i = 0; i < own_from; i++)
		to[i] = i < keep ? old[i] : 0;
	for (uint64_t i = own_to; i < CL_BLOCK_BYTES; i++)
		to[i] = i < keep ? old[i] : 0;
}

/* Behind the bounce buffer's own blocks lie two for the old edges. */
static uint8_t *edge_at(struct mdc_io *io, int which)
{
	return io->bounce + (io->to - io->from + (uint64_t)which) * CL_BLOCK_BYTES;
}

static void io_write(struct mdc_io *io)
{
	uint8_t *p = io->p;

	if (io->bounce) {
		merge_edge(io, io->from, edge_at(io, 0));
		if (io->to - io->from > 1)
			merge_edge(io, io->to - 1, edge_at(io, 1));
		p = io->bounce;
	}
	begin_parts(io);
	transfer(io, AIO_WRITE, io->from, io->to, p);
	end_parts(io);
}

static size_t write_bounce_bytes(const struct mdc_io *io)
{
	return (io->to - io->from + 2) * CL_BLOCK_BYTES;
}

static bool fill_bounce(struct mdc_io *io)
{
	if (io->bounce)
		return true;
	io->bounce_bytes = write_bounce_bytes(io);
	io->bounce = mdc_buffer_get(io->bounce_bytes);
	if (!io->bounce)
		return false;
	if (io->kind == MDC_IO_ZERO)
		memset(io->bounce + io->offset % CL_BLOCK_BYTES, 0, io->bytes);
	else
		memcpy(io->bounce + io->offset % CL_BLOCK_BYTES, io->p, io->bytes);
	return true;
}

static void io_write_begin(struct mdc_io *io)
{
	if (io->kind == MDC_IO_WRITE && is_aligned(io) && !io->bounce) {
		io_write(io);
		return;
	}
	begin_parts(io);
	io->reading_edges = true;
	if (!fill_bounce(io)) {
		io->error = -ENOMEM;
	} else {
		edge(io, io->from, edge_at(io, 0));
		if (io->to - io->from > 1)
			edge(io, io->to - 1, edge_at(io, 1));
	}
	if (--io->parts)
		return;
	io->reading_edges = false;
	if (io->error)
		io_finish(io);
	else
		io_write(io);
}

/* ---- starting ---- */

static bool overlaps_running(const struct mdc_inode *inode, const struct mdc_io *io)
{
	for (const struct mdc_io *other = inode->running; other; other = other->next)
		if (other->kind != MDC_IO_READ && other->from < io->to && io->from < other->to)
			return true;
	return false;
}

/* An earlier append that waits is placed anew when it starts: what ran behind it by then would be in its way. */
static bool follows_append(const struct mdc_inode *inode, const struct mdc_io *io)
{
	if (!(io->flags & MDC_WRITE_APPEND))
		return false;
	for (const struct mdc_io *other = inode->waiting; other != io; other = other->next)
		if (other->flags & MDC_WRITE_APPEND)
			return true;
	return false;
}

/* The block is not on the LUN at all. */
static bool zero_is_needless(const struct mdc_inode *inode, const struct mdc_io *io)
{
	return io->kind == MDC_IO_ZERO &&
	       cl_map_gap(&inode->map, io->from, io->to, false) == io->to &&
	       cl_map_find(&inode->map, io->from)->state != PR_EXTENT_WRITTEN;
}

/* Where an append stands: behind what is there and what is on its way before it. */
static uint64_t end_before(const struct mdc_inode *inode, const struct mdc_io *io)
{
	uint64_t end = inode->size_seen;

	for (const struct mdc_io *other = inode->running; other; other = other->next)
		if (other->kind == MDC_IO_WRITE)
			end = max_u64(end, other->offset + other->bytes);
	for (const struct mdc_io *other = inode->waiting; other != io; other = other->next)
		if (other->kind == MDC_IO_WRITE)
			end = max_u64(end, other->offset + other->bytes);
	return end;
}

/* What hangs on the size: to be done again as long as it waits, for the size may change. */
static void place(struct mdc_inode *inode, struct mdc_io *io)
{
	uint64_t eof = inode->size_seen;

	if (io->kind == MDC_IO_READ && inode->leased) {
		io->got = io->offset >= eof ? 0 : (size_t)min_u64(io->bytes, eof - io->offset);
		io->to = blocks_up(io->offset + io->got);
	} else if (io->tail) {
		io->offset = eof;
		io->bytes = io->got = CL_BLOCK_BYTES - eof % CL_BLOCK_BYTES;
		io->from = block_of(eof);
		io->to = io->from + 1;
	} else if (io->flags & MDC_WRITE_APPEND) {
		io->offset = end_before(inode, io);
		io->from = block_of(io->offset);
		io->to = blocks_up(io->offset + io->bytes);
	}
}

static bool tail_is_clean(const struct mdc_inode *inode)
{
	return inode->size_seen % CL_BLOCK_BYTES == 0 || inode->clean_end == inode->size_seen;
}

/* Nothing is left to do on the LUN. */
static bool is_needless(const struct mdc_inode *inode, const struct mdc_io *io)
{
	if (io->kind == MDC_IO_READ)
		return io->got == 0;
	return (io->tail && tail_is_clean(inode)) || zero_is_needless(inode, io);
}

/* What lies behind the end in its block would become part of the file. */
static bool wants_clean_tail(const struct mdc_inode *inode, const struct mdc_io *io)
{
	return io->kind == MDC_IO_WRITE && io->offset + io->bytes > inode->size_seen &&
	       io->from > block_of(inode->size_seen) && !tail_is_clean(inode);
}

static void tail_over(void *user, ssize_t result)
{
	struct mdc_inode *inode = user;
	struct mdc_io *io, *next;

	inode->cleaning = false;
	for (io = inode->waiting; result < 0 && io; io = next) {
		next = io->next;
		if (!wants_clean_tail(inode, io))
			continue;
		mdc_io_leave(inode, io, result);
		next = inode->waiting;
	}
}

static int zero_tail(struct mdc_inode *inode, bool own, mdc_io_done done, void *user);

static int clean_tail(struct mdc_inode *inode)
{
	int r = inode->cleaning ? 0 : zero_tail(inode, false, tail_over, inode);

	if (r == 0)
		inode->cleaning = true;
	return r;
}

/* Zeros are written only if the block is on the LUN: a look comes first. */
bool mdc_io_asks_to_write(const struct mdc_inode *inode, const struct mdc_io *io)
{
	return io->kind == MDC_IO_WRITE ||
	       (io->kind == MDC_IO_ZERO &&
		cl_map_gap(&inode->map, io->from, io->to, false) == io->to);
}

/* True: it left the queue. */
static bool io_try(struct mdc_inode *inode, struct mdc_io *io)
{
	bool writing = io->kind != MDC_IO_READ;
	uint64_t gap;
	int r = 0;

	if (mdc_tasks_freeze(inode) && !io->own)
		return false;
	if (inode->mdc->failed)
		return mdc_io_leave(inode, io, inode->mdc->failed == -ESTALE ? -ESTALE : -EIO);
	place(inode, io);
	if (io->kind == MDC_IO_WRITE && io->offset + io->bytes > INT64_MAX)
		return mdc_io_leave(inode, io, -EFBIG);
	gap = io->from;
	if (inode->leased) {
		if (is_needless(inode, io)) {
			if (io->tail)
				inode->clean_end = inode->size_seen;
			return mdc_io_leave(inode, io, 0);
		}
		gap = cl_map_gap(&inode->map, io->from, io->to, writing);
	}
	if (gap < io->to || !inode->leased) {
		r = mdc_layout_get(inode, io, gap, mdc_io_asks_to_write(inode, io));
		return r < 0 ? mdc_io_leave(inode, io, r) : false;
	}
	if (writing && (overlaps_running(inode, io) || follows_append(inode, io)))
		return false;
	if (wants_clean_tail(inode, io)) {
		r = clean_tail(inode);
		return r < 0 ? mdc_io_leave(inode, io, r) : false;
	}
	io_unlink(inode, io);
	io_push_running(inode, io);
	if (io->kind == MDC_IO_WRITE)
		inode->next_block = io->to;
	if (writing)
		io_write_begin(io);
	else
		io_read(io);
	return true;
}

void mdc_io_run(struct mdc_inode *inode)
{
	struct mdc_io *io = inode->waiting;

	inode->pins++;
	/* A callback may have changed the list: from its start again. */
	while (io)
		io = io_try(inode, io) ? inode->waiting : io->next;
	inode->pins--;
}

static int io_add(struct mdc_inode *inode, const struct mdc_io *like)
{
	struct mdc_io *io = malloc(sizeof(*io));

	if (!io)
		return -ENOMEM;
	*io = *like;
	io->inode = inode;
	io->seq = inode->seq;
	io_append(inode, io);
	return 0;
}

static int zero_tail(struct mdc_inode *inode, bool own, mdc_io_done done, void *user)
{
	struct mdc_io io = {
		.kind = MDC_IO_ZERO, .tail = true, .own = own, .done = done, .user = user};

	return io_add(inode, &io);
}

int mdc_io_zero_tail(struct mdc_inode *inode, mdc_io_done done, void *user)
{
	return zero_tail(inode, true, done, user);
}

int mdc_io_zero(struct mdc_inode *inode, uint64_t offset, uint64_t bytes, mdc_io_done done,
		void *user)
{
	struct mdc_io io = {.kind = MDC_IO_ZERO,
			    .offset = offset,
			    .bytes = bytes,
			    .got = bytes,
			    .from = block_of(offset),
			    .to = block_of(offset) + 1,
			    .own = true,
			    .done = done,
			    .user = user};

	return io_add(inode, &io);
}

/* A read of nothing at the start of the file. */
int mdc_io_look(struct mdc_inode *inode, mdc_io_done done, void *user)
{
	struct mdc_io io = {.kind = MDC_IO_READ, .to = 1, .own = true, .done = done, .user = user};

	return io_add(inode, &io);
}

bool mdc_io_cancel(struct mdc_inode *inode, struct mdc_io *io)
{
	for (struct mdc_io *other = inode->waiting; other; other = other->next)
		if (other == io) {
			mdc_io_leave(inode, io, -EINTR);
			mdc_commit_run(inode);
			return true;
		}
	return false;
}

int mdc_io_start(struct mdc_inode *inode, struct mdc_io *io)
{
	uint64_t end;

	io->inode = inode;
	if (io->kind == MDC_IO_WRITE && (io->flags & MDC_WRITE_APPEND))
		io->offset = 0;
	end = io->offset + io->bytes;
	if (end < io->offset || end > INT64_MAX)
		return -EFBIG;
	io->from = block_of(io->offset);
	io->to = blocks_up(end);
	if (io->kind != MDC_IO_READ) {
		io->got = io->bytes;
		io->seq = ++inode->seq;
	}
	io_append(inode, io);
	mdc_io_run(inode);
	return 0;
}
