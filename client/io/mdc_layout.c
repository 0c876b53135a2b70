/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Asking for layouts: how much of a file at once, and what is taken over of a grant. */
#include "client/io/mdc_data.h"

#include <errno.h>

enum {
	WINDOW_MIN = (1 << 20) / 4096, /* blocks */
	WINDOW_MAX = (64 << 20) / 4096,
	READ_WINDOW = (1 << 30) / 4096,
};

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
int mdc_layout_get(struct mdc_inode *inode, const struct mdc_io *io, uint64_t from, bool writing)
{
	uint64_t eof = blocks_up(max_u64(inode->size_seen, inode->size_server)), to = io->to;

	if (inode->getting)
		return 0;
	if (!writing) {
		to = min_u64(max_u64(to, eof), from + READ_WINDOW);
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

/* Nobody else makes it another one while the layout is held: its grant tells what others made of it.
 */
static void take_size(struct mdc_inode *inode, const struct pr_layout_get_r *r)
{
	if (!inode->known || r->change > inode->change) {
		inode->change = r->change;
		inode->size_server = r->size;
		inode->dense = false;
	}
	inode->known = inode->leased = true;
	if (!inode->size_dirty || inode->size_seen < inode->size_server)
		inode->size_seen = inode->size_server;
	inode->clean_end = 0;
}

static int take_grant(struct mdc_inode *inode, const struct pr_layout_get_r *r)
{
	struct pr_list it = r->extents;
	struct pr_extent e;

	if (r->generation > inode->generation)
		inode->generation = r->generation;
	if (inode->get_mode > inode->layout)
		inode->layout = inode->get_mode;
	if (!inode->leased)
		take_size(inode, r);
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
		next = io->next;
		if (io->from >= inode->get_to || io->to <= inode->get_from ||
		    (mdc_io_asks_to_write(inode, io) && inode->get_mode != PR_LAYOUT_WRITE))
			continue;
		mdc_io_leave(inode, io, error);
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
	mdc_commit_run(inode);
	mdc_tasks_run(inode);
	inode->pins--;
	mdc_inode_settle(inode);
}
