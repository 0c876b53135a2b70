/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Commits: what was written becomes part of the file. The order is the promise: the writes are
 * complete, then the LUNs are flushed, then the controller is told which blocks are written and how
 * long the file is. One commit of an inode is under way at a time.
 */
#include "client/io/mdc_data.h"

#include <errno.h>
#include <stdlib.h>

enum { RANGES_PER_MESSAGE = 1024, TRIES_MAX = 5 };

static void commit_send(struct mdc_inode *inode);

/* Those that are started by callbacks of these are not among them. */
static struct mdc_fsync *take_covered(struct mdc_inode *inode)
{
	struct mdc_fsync **at = &inode->fsyncs, *over = NULL, **end = &over, *f;

	while ((f = *at)) {
		if (!f->covered) {
			at = &f->next;
			continue;
		}
		*at = f->next;
		f->next = NULL;
		*end = f;
		end = &f->next;
	}
	return over;
}

static void end_fsyncs(struct mdc_inode *inode, struct mdc_fsync *over, int error)
{
	struct mdc_fsync *f;

	while ((f = over)) {
		over = f->next;
		if (!error) {
			error = inode->error;
			inode->error = 0;
		}
		f->done(f->user, error);
		free(f);
	}
}

/*
 * The file is what the controller has of it, and the blocks are to be written anew. What was written over them meanwhile, or
 * behind the end that was to be told, is lost with them. Without memory for that the map stays as it is until it is given back.
 */
static void lose(struct mdc_inode *inode)
{
	for (uint32_t i = 0; i < inode->sending.count; i++)
		cl_map_lost(&inode->map, inode->sending.at[i].from, inode->sending.at[i].to);
	inode->size_seen = min_u64(inode->size_seen, inode->size_server);
	inode->clean_end = 0;
	inode->size_dirty = inode->mtime_dirty = false;
	inode->lost |= inode->disks != 0;
}

static void commit_over(struct mdc_inode *inode, int error)
{
	struct mdc_fsync *over = take_covered(inode);

	inode->commit = MDC_COMMIT_IDLE;
	if (!error) {
		inode->size_dirty = inode->size_seen > inode->size_server;
		inode->mtime_dirty = inode->mtime_ns != inode->commit_mtime_ns;
		inode->mdc->stats.commits++;
	} else {
		/* Never tried again: whoever asks next is told, once. */
		lose(inode);
		if (!over)
			inode->error = error;
	}
	cl_ranges_free(&inode->sending);
	mdc_inode_set_clean(inode);
	if (mdc_inode_is_dirty(inode))
		mdc_inode_set_dirty(inode);
	inode->pins++;
	/* What others see of the file, and the rest of what was believed of it, is asked for anew. */
	if (error)
		mdc_task_return(inode);
	end_fsyncs(inode, over, error);
	mdc_commit_run(inode);
	mdc_tasks_run(inode);
	inode->pins--;
	mdc_inode_settle(inode);
}

/* ---- telling the controller ---- */

/* Blocks written under a layout that was lost: still ours if a new one names the same places. */
static int same_places(struct mdc_inode *inode, const struct pr_layout_get_r *r)
{
	struct pr_list it = r->extents;
	struct pr_extent e;

	while (pr_extent_next(&it, &e)) {
		uint64_t b = e.file_block, end = e.file_block + e.blocks;

		while (b < end) {
			const struct cl_ext *own = cl_map_find(&inode->map, b);

			if (!own || own->file_block >= end)
				break;
			if (own->file_block > b)
				b = own->file_block;
			if (own->state == PR_EXTENT_WRITTEN &&
			    (e.state == PR_EXTENT_HOLE || own->lun != e.lun ||
			     own->lun_block + (b - own->file_block) !=
				     e.lun_block + (b - e.file_block)))
				return -EIO;
			b = own->file_block + own->blocks;
		}
		if (end > inode->commit_again)
			inode->commit_again = end;
	}
	if (r->generation > inode->generation)
		inode->generation = r->generation;
	inode->layout = PR_LAYOUT_WRITE;
	return 0;
}

static void ask_again(struct mdc_inode *inode);

static void asked_again(struct mdc_pending *pending, int error, const uint8_t *p, uint32_t len)
{
	struct mdc_inode *inode = pending->object;
	uint64_t before = inode->commit_again;
	struct pr_layout_get_r r;

	if (!error && pr_layout_get_r_decode(&r, p, len) < 0)
		error = -EPROTO;
	if (!error)
		error = same_places(inode, &r);
	if (!error && inode->commit_again == before)
		error = -EPROTO;
	if (error)
		commit_over(inode, error);
	else if (inode->commit_again < inode->sending.at[inode->sending.count - 1].to)
		ask_again(inode);
	else
		commit_send(inode);
}

static void ask_again(struct mdc_inode *inode)
{
	struct mdc *mdc = inode->mdc;
	struct pr_layout_get get = {.ino = inode->ino,
				    .file_block = inode->commit_again,
				    .blocks = inode->sending.at[inode->sending.count - 1].to -
					      inode->commit_again,
				    .mode = PR_LAYOUT_WRITE};
	struct pr_buf *b = cl_prepare(mdc->cl, pr_layout_get_size(&get));

	if (!b || pr_layout_get_encode(b, &get) < 0 ||
	    !mdc_raw_submit(mdc, PR_T_LAYOUT_GET, asked_again, inode))
		commit_over(inode, -ENOMEM);
}

static void sent(struct mdc_pending *pending, int error, const uint8_t *p, uint32_t len)
{
	struct mdc_inode *inode = pending->object;
	struct pr_layout_commit_r r;
	struct mdc_attr attr;

	if (error == -EKEYEXPIRED && inode->commit_tries++ < TRIES_MAX) {
		inode->commit_at = 0;
		inode->leased = false;
		if (inode->sending.count == 0) {
			commit_send(inode);
			return;
		}
		inode->commit_again = inode->sending.at[0].from;
		ask_again(inode);
		return;
	}
	if (!error && pr_layout_commit_r_decode(&r, p, len) < 0)
		error = -EPROTO;
	if (!error && inode->commit_at < inode->sending.count) {
		commit_send(inode);
		return;
	}
	if (!error) {
		mdc_attr_from(&attr, &r.attr);
		mdc_inode_told(inode, &attr);
	}
	commit_over(inode, error);
}

static void commit_send(struct mdc_inode *inode)
{
	struct mdc *mdc = inode->mdc;
	uint32_t n = inode->sending.count - inode->commit_at;
	bool last = n <= RANGES_PER_MESSAGE;
	struct pr_layout_commit commit = {.cred = {.uid = inode->uid, .gid = inode->gid},
					  .ino = inode->ino,
					  .generation = inode->generation,
					  .size = inode->commit_size,
					  .flags = PR_LC_MTIME,
					  .mtime_ns = inode->commit_mtime_ns};
	struct pr_buf *b;
	size_t at;
	int r;

	if (!last)
		n = RANGES_PER_MESSAGE;
	if (last && inode->commit_has_size)
		commit.flags |= PR_LC_SIZE;
	if (inode->commit_killpriv)
		commit.flags |= PR_LC_KILLPRIV;
	b = cl_prepare(mdc->cl, pr_layout_commit_size(&commit) + (size_t)n * PR_MIN_range);
	if (!b) {
		commit_over(inode, -ENOMEM);
		return;
	}
	r = pr_layout_commit_encode(b, &commit);
	ASSERT(r == 0);
	at = pr_tail_open(b);
	for (uint32_t i = 0; i < n; i++) {
		const struct cl_range *range = &inode->sending.at[inode->commit_at + i];

		r = pr_range_put(b, &(struct pr_range){.file_block = range->from,
						       .blocks = range->to - range->from});
		ASSERT(r == 0);
	}
	pr_tail_close(b, at, n);
	inode->commit_at += n;
	inode->commit = MDC_COMMIT_SEND;
	if (!mdc_raw_submit(mdc, PR_T_LAYOUT_COMMIT, sent, inode))
		commit_over(inode, -ENOMEM);
}

/* ---- flushing ---- */

void mdc_commit_lost(struct mdc_disk *disk)
{
	struct mdc_files *files = disk->files;
	uint64_t bit = 1ull << (disk - files->disks);

	for (uint32_t i = 0; i < files->hash_size; i++)
		for (struct mdc_inode *inode = files->hash[i]; inode; inode = inode->next) {
			inode->lost |= (inode->disks & bit) != 0;
			/* Whether these were in the cache before or after nobody knows. */
			for (struct mdc_io *io = inode->running; io; io = io->next)
				if ((io->disks & bit) && !io->error)
					io->error = -EIO;
		}
}

static void flushed(struct mdc_flush *f, int error)
{
	struct mdc_inode *inode = f->object;

	free(f);
	if (error)
		inode->commit_error = error;
	if (--inode->commit_parts)
		return;
	if (inode->commit_error)
		commit_over(inode, inode->commit_error);
	else
		commit_send(inode);
}

static void flush_all(struct mdc_inode *inode, uint64_t disks)
{
	struct mdc_files *files = inode->mdc->files;

	inode->commit_parts = 1;
	for (uint32_t i = 0; i < files->disk_count; i++) {
		struct mdc_flush *f;

		if (!(disks >> i & 1))
			continue;
		f = calloc(1, sizeof(*f));
		if (!f) {
			inode->commit_error = -ENOMEM;
			break;
		}
		*f = (struct mdc_flush){.done = flushed, .object = inode};
		inode->commit_parts++;
		mdc_flush(inode->mdc->loop, &files->disks[i], f);
	}
	if (--inode->commit_parts)
		return;
	if (inode->commit_error)
		commit_over(inode, inode->commit_error);
	else
		commit_send(inode);
}

static void start(struct mdc_inode *inode)
{
	uint64_t disks = inode->disks;

	inode->commit = MDC_COMMIT_FLUSH;
	inode->commit_wanted = false;
	inode->commit_error = 0;
	inode->commit_at = inode->commit_tries = 0;
	cl_ranges_free(&inode->sending);
	inode->sending = inode->dirty;
	inode->dirty = (struct cl_ranges){0};
	inode->dirty_blocks = 0;
	inode->disks = 0;
	inode->commit_has_size = inode->size_dirty;
	inode->commit_size = inode->size_seen;
	inode->commit_killpriv = inode->killpriv;
	inode->killpriv = false;
	if (!inode->mtime_dirty)
		inode->mtime_ns = mdc_real_ns();
	inode->commit_mtime_ns = inode->mtime_ns;
	if (inode->lost) {
		inode->lost = false;
		commit_over(inode, -EIO);
		return;
	}
	flush_all(inode, disks);
}

void mdc_commit_run(struct mdc_inode *inode)
{
	bool wanted = inode->commit_wanted;

	if (inode->commit != MDC_COMMIT_IDLE || mdc_tasks_hold_commit(inode))
		return;
	for (struct mdc_fsync *f = inode->fsyncs; f; f = f->next) {
		f->covered = !mdc_io_write_before(inode, f->seq);
		wanted |= f->covered;
	}
	if (!wanted)
		return;
	inode->pins++;
	if (inode->mdc->failed) {
		inode->commit_wanted = false;
		end_fsyncs(inode, take_covered(inode),
			   inode->mdc->failed == -ESTALE ? -ESTALE : -EIO);
	} else if (mdc_inode_is_dirty(inode)) {
		start(inode);
	} else {
		inode->commit_wanted = false;
		end_fsyncs(inode, take_covered(inode), 0);
	}
	inode->pins--;
}

int mdc_fsync_add(struct mdc_inode *inode, mdc_io_done done, void *user)
{
	struct mdc_fsync *f = calloc(1, sizeof(*f));

	if (!f)
		return mdc_fail(-ENOMEM, "no memory for an fsync");
	*f = (struct mdc_fsync){
		.seq = inode->seq, .done = done, .user = user, .next = inode->fsyncs};
	inode->fsyncs = f;
	mdc_commit_run(inode);
	return 0;
}
