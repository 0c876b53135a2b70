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
	PIECE_BYTES = 1 << 20,	       /* of one transfer */
	WINDOW_MIN = (1 << 20) / 4096, /* blocks */
	WINDOW_MAX = (64 << 20) / 4096,
	READ_WINDOW = (1 << 30) / 4096,
	DIRTY_BLOCKS_MAX = (256 << 20) / 4096,
};

static uint64_t block_of(uint64_t offset)
{
	return offset / CL_BLOCK_BYTES;
}

static uint64_t blocks_up(uint64_t bytes)
{
	return (bytes + CL_BLOCK_BYTES - 1) / CL_BLOCK_BYTES;
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
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

/* A write that failed does not move the end: appends follow what is there, or on its way. */
void mdc_io_end_again(struct mdc_inode *inode)
{
	const struct mdc_io *lists[] = {inode->running, inode->waiting};

	inode->size_next = max_u64(inode->size_seen, inode->size_server);
	for (int i = 0; i < 2; i++)
		for (const struct mdc_io *io = lists[i]; io; io = io->next)
			if (io->kind == MDC_IO_WRITE)
				inode->size_next =
					max_u64(inode->size_next, io->offset + io->bytes);
}

static void io_over(struct mdc_io *io, ssize_t result)
{
	struct mdc_inode *inode = io->inode;
	struct mdc *mdc = inode->mdc;
	bool kept = io->copy_late; /* its owner may be gone once it is done */

	if (result < 0 && io->kind == MDC_IO_WRITE)
		mdc_io_end_again(inode);

	if (io->bounce && !kept)
		mdc_buffer_put(io->bounce, io->bounce_bytes);
	mdc->loop->completed += !io->own;
	if (io->done)
		io->done(io->user, result);
	if (!kept)
		free(io);
}

static void wrote(struct mdc_inode *inode, struct mdc_io *io)
{
	uint64_t end = io->offset + io->bytes, before = cl_ranges_blocks(&inode->dirty);

	for (uint64_t b = io->from; b < io->to;) {
		const struct cl_ext *e = cl_map_find(&inode->map, b);
		struct mdc_disk *disk = mdc_disk_of(inode->mdc->files, e->lun);

		inode->disks |= 1ull << (disk - inode->mdc->files->disks);
		b = e->file_block + e->blocks;
	}
	if (!cl_map_written(&inode->map, io->from, io->to, &inode->dirty)) {
		io->error = -ENOMEM;
		return;
	}
	if (io->kind == MDC_IO_ZERO)
		return;
	inode->dirty_blocks += cl_ranges_blocks(&inode->dirty) - before;
	if (end > inode->size_seen) {
		inode->size_seen = end;
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

/* ---- layouts ---- */

static void layout_got(struct mdc_pending *pending, int error, const uint8_t *p, uint32_t len);

static int layout_send(struct mdc_inode *inode)
{
	struct mdc *mdc = inode->mdc;
	struct pr_layout_get get = {.ino = inode->ino,
				    .file_block = inode->get_from,
				    .blocks = inode->get_to - inode->get_from,
				    .mode = inode->get_mode};
	struct pr_buf *b = cl_prepare(mdc->cl, pr_layout_get_size(&get));
	int r;

	if (!b)
		return -ENOMEM;
	r = pr_layout_get_encode(b, &get);
	ASSERT(r == 0);
	if (!mdc_raw_submit(mdc, PR_T_LAYOUT_GET, layout_got, inode))
		return -ENOMEM;
	inode->getting = true;
	return 0;
}

/* Goes on where the last write or the file ended, in the last block or behind it. */
static bool follows(const struct mdc_inode *inode, const struct mdc_io *io, uint64_t eof)
{
	return io->from == inode->next_block || io->from + 1 == inode->next_block ||
	       io->from == eof || io->from + 1 == eof;
}

/*
 * Reading: as much of the file as one answer holds. Writing: just what is needed, at first (most
 * files are written once) and for writes here and there, since what is allocated in a hole and not
 * written stays there for nothing. Writes that follow each other get a window that doubles; what of
 * it lies beyond the end is trimmed when the layout is given back. Where there are no holes, the whole.
 */
static int layout_get(struct mdc_inode *inode, const struct mdc_io *io, uint64_t from, bool writing)
{
	uint64_t eof = blocks_up(max_u64(inode->size_seen, inode->size_server)), to = io->to;

	if (inode->getting)
		return 0;
	if (!writing) {
		to = max_u64(to, min_u64(from + READ_WINDOW, eof));
	} else if (inode->exact) {
		inode->exact = false;
	} else if (to <= eof && inode->dense) {
		to = max_u64(to, min_u64(from + READ_WINDOW, eof));
	} else if (!follows(inode, io, eof)) {
		inode->window = 0;
	} else {
		to = max_u64(to,
			     to <= eof ? min_u64(from + inode->window, eof) : from + inode->window);
		inode->window = min_u64(max_u64(inode->window * 2, WINDOW_MIN), WINDOW_MAX);
	}
	inode->get_from = from;
	inode->get_to = to;
	inode->get_mode = writing ? PR_LAYOUT_WRITE : PR_LAYOUT_READ;
	return layout_send(inode);
}

static int take_grant(struct mdc_inode *inode, const struct pr_layout_get_r *r)
{
	struct pr_list it = r->extents;
	struct pr_extent e;

	if (r->generation > inode->generation)
		inode->generation = r->generation;
	if (inode->get_mode > inode->layout)
		inode->layout = inode->get_mode;
	if (r->change > inode->change && !inode->size_dirty && !inode->running) {
		inode->change = r->change;
		inode->size_server = inode->size_seen = r->size;
		inode->size_next = max_u64(inode->size_next, r->size);
	}
	if (it.count == 0)
		return -EPROTO;
	while (pr_extent_next(&it, &e)) {
		struct cl_ext ext = {.file_block = e.file_block,
				     .lun_block = e.lun_block,
				     .blocks = e.blocks,
				     .lun = e.lun,
				     .state = e.state,
				     .writable = inode->get_mode == PR_LAYOUT_WRITE};

		if (e.state != PR_EXTENT_HOLE && !mdc_disk_of(inode->mdc->files, e.lun))
			return -ENXIO;
		if (e.blocks && !cl_map_grant(&inode->map, &ext))
			return -ENOMEM;
	}
	if (cl_map_gap(&inode->map, inode->get_from, inode->get_from + 1,
		       inode->get_mode == PR_LAYOUT_WRITE) == inode->get_from)
		return -EPROTO;
	return 0;
}

/* The one that asked gets the error; others ask again. */
static void fail_waiting(struct mdc_inode *inode, int error)
{
	struct mdc_io *io, *next;

	for (io = inode->waiting; io; io = next) {
		bool writing = io->kind != MDC_IO_READ;

		next = io->next;
		if (io->from >= inode->get_to || io->to <= inode->get_from ||
		    (writing && inode->get_mode != PR_LAYOUT_WRITE))
			continue;
		io_unlink(inode, io);
		io_over(io, error);
		/* The callback may have changed the list. */
		next = inode->waiting;
	}
}

static void layout_got(struct mdc_pending *pending, int error, const uint8_t *p, uint32_t len)
{
	struct mdc_inode *inode = pending->object;
	struct pr_layout_get_r r;

	inode->getting = false;
	inode->pins++;
	if (!error && pr_layout_get_r_decode(&r, p, len) < 0)
		error = -EPROTO;
	if (!error)
		error = take_grant(inode, &r);
	if (error == -ENOSPC && inode->window) {
		inode->window = 0;
		inode->exact = true;
	} else if (error) {
		fail_waiting(inode, error);
	}
	mdc_io_run(inode);
	mdc_tasks_run(inode);
	inode->pins--;
	mdc_inode_settle(inode);
}

/* ---- starting ---- */

static bool overlaps_running(const struct mdc_inode *inode, const struct mdc_io *io)
{
	for (const struct mdc_io *other = inode->running; other; other = other->next)
		if (other->kind != MDC_IO_READ && other->from < io->to && io->from < other->to)
			return true;
	return false;
}

static bool behind_zero(const struct mdc_inode *inode, const struct mdc_io *io)
{
	const struct mdc_io *lists[] = {inode->running, inode->waiting};

	for (int i = 0; i < 2; i++)
		for (const struct mdc_io *other = lists[i]; other; other = other->next)
			if (other->kind == MDC_IO_ZERO && other->seq < io->seq)
				return true;
	return false;
}

/* The rest of a block behind the end of the file, if the block is on the LUN at all. */
static bool zero_is_needless(const struct mdc_inode *inode, const struct mdc_io *io)
{
	return io->kind == MDC_IO_ZERO &&
	       cl_map_gap(&inode->map, io->from, io->to, false) == io->to &&
	       cl_map_find(&inode->map, io->from)->state != PR_EXTENT_WRITTEN;
}

/* True: it left the queue. */
static bool io_try(struct mdc_inode *inode, struct mdc_io *io)
{
	bool writing = io->kind != MDC_IO_READ;
	uint64_t gap;

	if (mdc_tasks_freeze(inode) && !io->own)
		return false;
	if (inode->mdc->failed) {
		io_unlink(inode, io);
		io_over(io, inode->mdc->failed == -ESTALE ? -ESTALE : -EIO);
		return true;
	}
	if (!writing) {
		uint64_t eof = inode->size_seen;

		io->got = io->offset >= eof ? 0 : (size_t)min_u64(io->bytes, eof - io->offset);
		if (io->got == 0) {
			io_unlink(inode, io);
			io_over(io, 0);
			return true;
		}
		io->to = blocks_up(io->offset + io->got);
	}
	if (zero_is_needless(inode, io)) {
		io_unlink(inode, io);
		io_over(io, 0);
		return true;
	}
	gap = cl_map_gap(&inode->map, io->from, io->to, writing);
	if (gap < io->to) {
		/* The rest of a block is zeroed only if the block is on the LUN: a look comes
		 * first. */
		bool look = io->kind == MDC_IO_ZERO &&
			    cl_map_gap(&inode->map, io->from, io->to, false) < io->to;
		int r = layout_get(inode, io, gap, writing && !look);

		if (r == 0)
			return false;
		io_unlink(inode, io);
		io_over(io, r);
		return true;
	}
	if (writing && (overlaps_running(inode, io) || behind_zero(inode, io)))
		return false;
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
	while (io) {
		struct mdc_io *next = io->next;

		/* A callback may have changed the list: from its start again. */
		io = io_try(inode, io) ? inode->waiting : next;
	}
	inode->pins--;
}

int mdc_io_zero(struct mdc_inode *inode, uint64_t offset, uint64_t bytes, bool own,
		mdc_io_done done, void *user)
{
	struct mdc_io *io = calloc(1, sizeof(*io));

	if (!io)
		return -ENOMEM;
	*io = (struct mdc_io){.inode = inode,
			      .kind = MDC_IO_ZERO,
			      .offset = offset,
			      .bytes = bytes,
			      .got = bytes,
			      .from = block_of(offset),
			      .to = block_of(offset) + 1,
			      .seq = ++inode->seq,
			      .own = own,
			      .done = done,
			      .user = user};
	io_append(inode, io);
	return 0;
}

static int zero_tail(struct mdc_inode *inode)
{
	uint64_t eof = inode->size_next;

	return mdc_io_zero(inode, eof, CL_BLOCK_BYTES - eof % CL_BLOCK_BYTES, false, NULL, NULL);
}

bool mdc_io_cancel(struct mdc_inode *inode, struct mdc_io *io)
{
	for (struct mdc_io *other = inode->waiting; other; other = other->next)
		if (other == io) {
			io_unlink(inode, io);
			io_over(io, -EINTR);
			return true;
		}
	return false;
}

int mdc_io_start(struct mdc_inode *inode, struct mdc_io *io)
{
	uint64_t eof = inode->size_next, end;

	io->inode = inode;
	if (io->kind == MDC_IO_WRITE && (io->flags & MDC_WRITE_APPEND))
		io->offset = eof;
	end = io->offset + io->bytes;
	if (end < io->offset || end > INT64_MAX)
		return -EFBIG;
	io->from = block_of(io->offset);
	io->to = blocks_up(end);
	if (io->kind != MDC_IO_READ) {
		io->got = io->bytes;
		if (end > eof) {
			if (eof % CL_BLOCK_BYTES && block_of(eof) < io->from &&
			    zero_tail(inode) < 0)
				return -ENOMEM;
			inode->size_next = end;
		}
		io->seq = ++inode->seq;
	}
	io_append(inode, io);
	mdc_io_run(inode);
	return 0;
}
