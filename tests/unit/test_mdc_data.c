/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The data of files where something fails or comes late. */
#include "tests/unit/mdc_rig.h"

enum { BLOCK = CL_BLOCK_BYTES };

static struct mdc_inode *file;
static struct rig_call first, second, third;

/* A new file, and its first block written and not committed. */
static void a_block_is_written(void)
{
	rig_up();
	file = rig_file(7);
	rig_write(file, &first, 0, BLOCK, 0);
	ctl_grant(PR_EXTENT_UNWRITTEN, 0, 0);
	lun_done(AIO_WRITE, 0, 0);
	cr_assert_eq(first.result, BLOCK);
	first = (struct rig_call){0};
}

/* ---- writes ---- */

/* The second shares a block with the first, the third with none of what runs. */
Test(mdc_data, an_append_does_not_run_before_an_earlier_one_that_waits)
{
	a_block_is_written();
	rig_write(file, &first, 0, 5000, MDC_WRITE_APPEND);
	ctl_grant(PR_EXTENT_UNWRITTEN, 0, 0);
	rig_write(file, &second, 0, 5000, MDC_WRITE_APPEND);
	rig_write(file, &third, 0, 5000, MDC_WRITE_APPEND);
	for (int i = 0; i < 3; i++) {
		if (ctl_waiting(PR_T_LAYOUT_GET))
			ctl_grant(PR_EXTENT_UNWRITTEN, 0, 0);
		while (first.ended + second.ended + third.ended == (unsigned)i)
			lun_done(lun_waiting(AIO_READ) ? AIO_READ : AIO_WRITE, 0, 0);
		cr_assert_eq(file->size_seen, BLOCK + 5000 * (uint64_t)(i + 1), "a hole is left");
	}
	cr_assert_eq(third.result, 5000);
}

/* ---- layouts ---- */

/* What was asked for before the first goes back is granted while that is on its way. */
Test(mdc_data, a_layout_that_is_recalled_goes_back_though_an_older_one_is_on_its_way)
{
	uint64_t older;

	a_block_is_written();
	rig_fsync(file, &first);
	lun_done(AIO_FSYNC, 0, 0);
	ctl_commit();
	rig_write(file, &third, 10 * BLOCK, BLOCK, 0);
	cr_assert_eq(ctl_waiting(PR_T_LAYOUT_GET), 1);
	mdc_files_recall(file->mdc, file->ino, file->generation);
	cr_assert_eq(ctl_waiting(PR_T_LAYOUT_RETURN), 1);
	ctl_grant(PR_EXTENT_UNWRITTEN, 0, BLOCK);
	mdc_files_recall(file->mdc, file->ino, file->generation);
	older = ctl_return();
	cr_assert_eq(ctl_waiting(PR_T_LAYOUT_RETURN), 1, "the recall was not heard");
	cr_assert_gt(ctl_return(), older);
	cr_assert_eq(ctl_waiting(PR_T_LAYOUT_RETURN), 0);
	cr_assert_eq(third.ended, 0);
	ctl_grant(PR_EXTENT_UNWRITTEN, 0, BLOCK);
	lun_done(AIO_WRITE, 0, 0);
	cr_assert_eq(third.result, BLOCK);
}

/* Read before and written behind a write, they would take it away. */
Test(mdc_data, a_write_waits_for_the_zeros_that_are_on_their_way_to_its_block)
{
	rig_up();
	file = rig_file(7);
	rig_write(file, &first, 10 * BLOCK, BLOCK, 0);
	ctl_grant(PR_EXTENT_UNWRITTEN, 0, 100);
	while (ctl_waiting(PR_T_LAYOUT_GET))
		ctl_grant(PR_EXTENT_WRITTEN, 0, 100);
	cr_assert_eq(lun_waiting(AIO_READ), 1);
	rig_write(file, &second, 50, 10, 0);
	cr_assert_eq(lun_waiting(AIO_READ), 1, "both run");
	lun_done(AIO_READ, 0, 0);
	lun_done(AIO_WRITE, 0, 0);
	while (!second.ended)
		lun_done(lun_waiting(AIO_READ) ? AIO_READ : AIO_WRITE, 0, 0);
	cr_assert_eq(second.result, 10);
}

/* Its end lies in a block that no layout is held of: that is looked at first. */
Test(mdc_data, a_write_behind_an_end_that_cannot_be_looked_at_fails_and_does_not_ask_for_ever)
{
	rig_up();
	file = rig_file(7);
	rig_write(file, &first, 10 * BLOCK, BLOCK, 0);
	ctl_grant(PR_EXTENT_UNWRITTEN, 0, 100);
	cr_assert_eq(ctl_waiting(PR_T_LAYOUT_GET), 1);
	ctl_refuse(PR_T_LAYOUT_GET, -ENXIO);
	cr_assert_eq(ctl_waiting(PR_T_LAYOUT_GET), 0, "asked again");
	cr_assert_eq(first.result, -ENXIO);
}

/* A grant may have come for what others then had: what is written under it would be theirs. */
Test(mdc_data, a_layout_that_a_bind_has_lost_is_asked_for_anew)
{
	a_block_is_written();
	rig_fsync(file, &first);
	lun_done(AIO_FSYNC, 0, 0);
	ctl_commit();
	mdc_files_lost(file->mdc);
	cr_assert_eq(ctl_waiting(PR_T_LAYOUT_RETURN), 1, "it is kept");
	rig_write(file, &second, 0, BLOCK, 0);
	cr_assert_eq(lun_waiting(AIO_WRITE), 0);
	ctl_return();
	ctl_grant(PR_EXTENT_WRITTEN, 0, BLOCK);
	lun_done(AIO_WRITE, 0, 0);
	cr_assert_eq(second.result, BLOCK);
}

Test(mdc_data, a_layout_goes_back_when_the_write_under_way_has_ended_and_is_told)
{
	a_block_is_written();
	rig_fsync(file, &first);
	lun_done(AIO_FSYNC, 0, 0);
	ctl_commit();
	rig_write(file, &second, 0, BLOCK, 0);
	mdc_files_recall(file->mdc, file->ino, file->generation);
	cr_assert_eq(ctl_waiting(PR_T_LAYOUT_RETURN), 0, "given back under a write");
	lun_done(AIO_WRITE, 0, 0);
	cr_assert_eq(ctl_waiting(PR_T_LAYOUT_RETURN), 0, "given back before its commit");
	lun_done(AIO_FSYNC, 0, 0);
	ctl_commit();
	ctl_return();
}

/* The controller takes what lies beyond the end, and knows nothing of who would still write there. */
Test(mdc_data, a_cut_to_the_same_size_gives_back_what_is_allocated_beyond_it)
{
	struct mdc_task *task;

	a_block_is_written();
	rig_write(file, &first, BLOCK, BLOCK, 0);
	ctl_grant(PR_EXTENT_UNWRITTEN, 0, 0);
	lun_done(AIO_WRITE, 0, 0);
	cr_assert(cl_map_find(&file->map, 2), "nothing is allocated beyond the end");
	rig_fsync(file, &first);
	lun_done(AIO_FSYNC, 0, 0);
	ctl_commit();
	task = mdc_task_new(MDC_TASK_SIZE);
	task->size = 2 * BLOCK;
	mdc_task_add(file, task);
	ctl_return();
	rig_write(file, &second, 2 * BLOCK, BLOCK, 0);
	cr_assert_eq(lun_waiting(AIO_WRITE), 0);
	cr_assert_eq(ctl_waiting(PR_T_LAYOUT_GET), 1);
}

/* ---- fsyncs ---- */

static void write_and_sync(void)
{
	rig_write(file, &second, 0, BLOCK, 0);
	lun_done(AIO_WRITE, 0, 0);
	rig_fsync(file, &third);
}

Test(mdc_data, an_fsync_that_is_asked_for_when_another_ends_waits_for_its_own_flush)
{
	a_block_is_written();
	first.then = write_and_sync;
	rig_fsync(file, &first);
	lun_done(AIO_FSYNC, 0, 0);
	ctl_commit();
	cr_assert_eq(first.ended, 1);
	cr_assert_eq(second.ended, 1);
	cr_assert_eq(third.ended, 0, "told before its flush");
	lun_done(AIO_FSYNC, 0, 0);
	ctl_commit();
	cr_assert_eq(third.ended, 1);
	cr_assert_eq(third.result, 0);
}

/* The one that is under way began before what the other had written was complete. */
Test(mdc_data, an_fsync_that_is_asked_for_during_the_flush_of_another_file_has_its_own)
{
	struct mdc_inode *inode;

	a_block_is_written();
	rig_fsync(file, &first);
	inode = rig_file(8);
	rig_write(inode, &second, 0, BLOCK, 0);
	ctl_grant(PR_EXTENT_UNWRITTEN, 0, 0);
	lun_done(AIO_WRITE, 0, 0);
	rig_fsync(inode, &second);
	cr_assert_eq(lun_waiting(AIO_FSYNC), 1);
	lun_done(AIO_FSYNC, 0, 0);
	ctl_commit();
	cr_assert_eq(first.ended, 1);
	cr_assert_eq(ctl_waiting(PR_T_LAYOUT_COMMIT), 0, "told before its flush");
	lun_done(AIO_FSYNC, 0, 0);
	ctl_commit();
	cr_assert_eq(second.ended, 2);
	cr_assert_eq(second.result, 0);
}

Test(mdc_data, an_fsync_waits_for_a_write_that_has_not_begun)
{
	rig_up();
	file = rig_file(7);
	rig_write(file, &first, 0, BLOCK, 0);
	rig_fsync(file, &second);
	cr_assert_eq(second.ended, 0, "told before the write has begun");
	ctl_grant(PR_EXTENT_UNWRITTEN, 0, 0);
	lun_done(AIO_WRITE, 0, 0);
	lun_done(AIO_FSYNC, 0, 0);
	cr_assert_eq(ctl_commit().blocks, 1);
	cr_assert_eq(second.ended, 1);
	cr_assert_eq(second.result, 0);
}

Test(mdc_data, an_fsync_does_not_wait_for_a_write_that_is_cancelled)
{
	rig_up();
	file = rig_file(7);
	rig_write(file, &first, 0, BLOCK, 0);
	rig_fsync(file, &second);
	cr_assert(mdc_io_cancel(file, file->waiting));
	cr_assert_eq(first.result, -EINTR);
	cr_assert_eq(second.ended, 1);
	cr_assert_eq(second.result, 0);
}

/* ---- commits that come late ---- */

static struct rig_commit committed_in_the_background(int flush_error)
{
	struct mdc_loop *loop = file->mdc->loop;

	loop->now_ms += 1000;
	mdc_data_tick(loop);
	lun_done(AIO_FSYNC, 0, flush_error);
	if (flush_error)
		return (struct rig_commit){0};
	return ctl_commit();
}

Test(mdc_data, what_a_commit_in_the_background_lost_the_next_fsync_is_told_once)
{
	a_block_is_written();
	committed_in_the_background(-EIO);
	rig_fsync(file, &first);
	cr_assert_eq(first.ended, 1);
	cr_assert_eq(first.result, -EIO, "nobody is told");
	ctl_return();
	rig_fsync(file, &second);
	cr_assert_eq(second.ended, 1);
	cr_assert_eq(second.result, 0);
}

/* The controller has forgotten the layout, and what was written is there under a new one that names the same place. */
Test(mdc_data, a_commit_that_is_refused_for_its_layout_tells_the_same_under_a_new_one)
{
	struct rig_commit told;

	a_block_is_written();
	rig_fsync(file, &first);
	lun_done(AIO_FSYNC, 0, 0);
	ctl_refuse(PR_T_LAYOUT_COMMIT, -EKEYEXPIRED);
	cr_assert_eq(first.ended, 0);
	ctl_grant(PR_EXTENT_UNWRITTEN, 0, 0);
	told = ctl_commit();
	cr_assert_eq(told.blocks, 1, "the block is not told");
	cr_assert_eq(told.from, 0);
	cr_assert_eq(told.size, BLOCK);
	cr_assert_eq(first.ended, 1);
	cr_assert_eq(first.result, 0);
}

/* What stands in another place is not what was written. */
static void new_layout_has(uint8_t state, uint16_t lun, uint64_t first_block)
{
	a_block_is_written();
	rig_fsync(file, &first);
	lun_done(AIO_FSYNC, 0, 0);
	ctl_refuse(PR_T_LAYOUT_COMMIT, -EKEYEXPIRED);
	ctl_grant_at(state, lun, first_block, 0);
	cr_assert_eq(ctl_waiting(PR_T_LAYOUT_COMMIT), 0, "told of what was never written");
	cr_assert_eq(first.ended, 1);
	cr_assert_eq(first.result, -EIO);
}

Test(mdc_data, what_was_written_under_a_lost_layout_is_not_told_of_another_block)
{
	new_layout_has(PR_EXTENT_UNWRITTEN, 0, 1001);
}

Test(mdc_data, what_was_written_under_a_lost_layout_is_not_told_of_another_lun)
{
	new_layout_has(PR_EXTENT_UNWRITTEN, 1, 1000);
}

Test(mdc_data, what_was_written_under_a_lost_layout_is_not_told_of_a_hole)
{
	new_layout_has(PR_EXTENT_HOLE, 0, 0);
}

/* ---- times and sizes ---- */

/* Asked for before the write, answered behind it. */
Test(mdc_data, times_that_are_set_before_a_write_are_not_the_writes)
{
	struct mdc_pending pending = {.op = MDC_SETATTR, .flags = MDC_SET_MTIME};
	struct mdc_task task = {.kind = MDC_TASK_TIMES, .started = true};
	struct mdc_reply reply = {.attr = {.ino = 7, .change = 2, .mtime_ns = 12345}};

	a_block_is_written();
	task.seq = file->seq;
	file->tasks = &task;
	rig_write(file, &second, 0, BLOCK, 0);
	lun_done(AIO_WRITE, 0, 0);
	mdc_files_reply(file->mdc, &pending, &reply);
	cr_assert_neq(file->mtime_ns, 12345, "the write's time is lost");
	cr_assert_eq(reply.attr.mtime_ns, file->mtime_ns);
}

Test(mdc_data, an_older_word_on_the_size_is_none)
{
	a_block_is_written();
	rig_fsync(file, &first);
	lun_done(AIO_FSYNC, 0, 0);
	ctl_commit();
	mdc_inode_told(file, &(struct mdc_attr){.ino = 7, .change = 1});
	cr_assert_eq(file->size_seen, BLOCK);
	rig_read(file, &second, 0, BLOCK);
	lun_done(AIO_READ, 0, 0);
	cr_assert_eq(second.result, BLOCK);
}

/* ---- what fails ---- */

static void is_told(uint64_t from, uint64_t size)
{
	struct rig_commit told;

	lun_done(AIO_FSYNC, 0, 0);
	told = ctl_commit();
	cr_assert_eq(told.blocks, 1, "the block is not told");
	cr_assert_eq(told.from, from);
	cr_assert_eq(told.size, size);
}

Test(mdc_data, what_a_failed_flush_lost_is_told_when_it_is_written_again)
{
	a_block_is_written();
	rig_fsync(file, &first);
	lun_done(AIO_FSYNC, 0, -EIO);
	cr_assert_eq(first.ended, 1);
	cr_assert_eq(first.result, -EIO);
	cr_assert_eq(file->size_seen, 0);
	rig_write(file, &second, 0, BLOCK, 0);
	ctl_return();
	ctl_grant(PR_EXTENT_UNWRITTEN, 0, 0);
	lun_done(AIO_WRITE, 0, 0);
	cr_assert_eq(second.result, BLOCK);
	rig_fsync(file, &third);
	is_told(0, BLOCK);
	cr_assert_eq(third.ended, 1);
	cr_assert_eq(third.result, 0);
}

Test(mdc_data, a_write_that_ends_behind_a_refused_commit_is_told_by_the_next)
{
	a_block_is_written();
	rig_fsync(file, &first);
	lun_done(AIO_FSYNC, 0, 0);
	rig_write(file, &second, 0, BLOCK, 0);
	ctl_refuse(PR_T_LAYOUT_COMMIT, -ENOSPC);
	cr_assert_eq(first.result, -ENOSPC);
	lun_done(AIO_WRITE, 0, 0);
	rig_fsync(file, &third);
	is_told(0, BLOCK);
	cr_assert_eq(third.ended, 1);
	cr_assert_eq(third.result, 0);
	cr_assert_eq(ctl_waiting(PR_T_LAYOUT_RETURN), 1);
}

/* The first commit is the one that would have told its block. */
Test(mdc_data, a_write_that_ended_before_a_commit_was_refused_is_lost_with_it)
{
	a_block_is_written();
	rig_fsync(file, &first);
	lun_done(AIO_FSYNC, 0, 0);
	rig_write(file, &second, 0, BLOCK, 0);
	lun_done(AIO_WRITE, 0, 0);
	rig_fsync(file, &second);
	ctl_refuse(PR_T_LAYOUT_COMMIT, -ENOSPC);
	cr_assert_eq(first.result, -ENOSPC);
	cr_assert_eq(second.ended, 2);
	cr_assert_eq(second.result, -EIO);
	/* Each is told once. */
	ctl_return();
	rig_write(file, &third, 0, BLOCK, 0);
	ctl_grant(PR_EXTENT_UNWRITTEN, 0, 0);
	lun_done(AIO_WRITE, 0, 0);
	rig_fsync(file, &third);
	is_told(0, BLOCK);
	cr_assert_eq(third.result, 0);
}

/* Its blocks were in the cache that another file's flush lost, whether its own flush had been asked for by then or not. */
static void other_files_flush_fails(bool asked)
{
	struct rig_call other = {0};
	struct mdc_inode *inode;

	a_block_is_written();
	inode = rig_file(8);
	rig_write(inode, &other, 0, BLOCK, 0);
	ctl_grant(PR_EXTENT_UNWRITTEN, 0, 0);
	lun_done(AIO_WRITE, 0, 0);
	rig_fsync(inode, &other);
	if (asked)
		rig_fsync(file, &first);
	lun_done(AIO_FSYNC, 0, -EIO);
	cr_assert_eq(other.result, -EIO);
	if (!asked)
		rig_fsync(file, &first);
	cr_assert_eq(lun_waiting(AIO_FSYNC), 0, "flushed again");
	cr_assert_eq(first.ended, 1);
	cr_assert_eq(first.result, -EIO);
}

Test(mdc_data, a_failed_flush_fails_what_another_file_had_in_the_cache)
{
	other_files_flush_fails(false);
}

Test(mdc_data, a_failed_flush_fails_the_one_behind_it)
{
	other_files_flush_fails(true);
}

Test(mdc_data, a_failed_flush_fails_the_writes_that_are_under_way_on_its_lun_and_no_others)
{
	a_block_is_written();
	rig_fsync(file, &first);
	rig_write(file, &second, BLOCK, BLOCK, 0);
	ctl_grant(PR_EXTENT_UNWRITTEN, 0, 0);
	rig_write(file, &third, 5000 * BLOCK, BLOCK, 0);
	ctl_grant(PR_EXTENT_UNWRITTEN, 1, 0);
	lun_done(AIO_FSYNC, 0, -EIO);
	cr_assert_eq(first.result, -EIO);
	lun_done(AIO_WRITE, 1, 0);
	lun_done(AIO_WRITE, 0, 0);
	cr_assert_eq(second.result, -EIO);
	cr_assert_eq(third.result, BLOCK);
	rig_fsync(file, &third);
	cr_assert_eq(lun_waiting(AIO_FSYNC), 1);
	lun_done(AIO_FSYNC, 1, 0);
	cr_assert_eq(ctl_commit().from, 5000);
	cr_assert_eq(third.ended, 2);
	cr_assert_eq(third.result, 0);
}
