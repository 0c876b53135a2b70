/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Transfers between memory and the LUNs, and the buffers they need. */
#include "client/io/mdc_data.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "lun/aio.h"

enum { DEPTH = 256, CLASSES = 10, KEPT_PER_CLASS = 16, DIRTY_MS = 1000 };

struct mdc_data {
	struct aio *aio;
	bool kick;
	uint32_t depth;
	struct mdc_transfer *first, **end; /* more than the executor takes */
};

/* ---- buffers: 4 KiB, 8 KiB ... 2 MiB are kept, others are not ---- */

static pthread_mutex_t kept_lock = PTHREAD_MUTEX_INITIALIZER;
static void *kept[CLASSES][KEPT_PER_CLASS];
static uint32_t kept_count[CLASSES];

static int class_of(size_t bytes)
{
	int c = 0;

	while (c < CLASSES && ((size_t)CL_BLOCK_BYTES << c) < bytes)
		c++;
	return c;
}

void *mdc_buffer_get(size_t bytes)
{
	int c = class_of(bytes);
	void *p = NULL;

	if (c < CLASSES) {
		pthread_mutex_lock(&kept_lock);
		if (kept_count[c])
			p = kept[c][--kept_count[c]];
		pthread_mutex_unlock(&kept_lock);
		bytes = (size_t)CL_BLOCK_BYTES << c;
	}
	return p ? p
		 : aligned_alloc(CL_BLOCK_BYTES,
				 (bytes + CL_BLOCK_BYTES - 1) & ~(size_t)(CL_BLOCK_BYTES - 1));
}

void mdc_buffer_put(void *p, size_t bytes)
{
	int c = class_of(bytes);

	if (!p)
		return;
	if (c < CLASSES) {
		pthread_mutex_lock(&kept_lock);
		if (kept_count[c] < KEPT_PER_CLASS) {
			kept[c][kept_count[c]++] = p;
			p = NULL;
		}
		pthread_mutex_unlock(&kept_lock);
	}
	free(p);
}

/* ---- the executor ---- */

int mdc_data_need(struct mdc_loop *loop)
{
	struct epoll_event ev = {.events = EPOLLIN};
	struct mdc_data *data;
	int r;

	if (loop->data)
		return 0;
	data = calloc(1, sizeof(*data));
	if (!data)
		return mdc_fail(-ENOMEM, "no memory for the data path");
	data->end = &data->first;
	r = aio_new(&(struct aio_config){.depth = DEPTH}, &data->aio);
	if (r < 0) {
		free(data);
		return mdc_fail(r, "no executor for file data: %s", strerror(-r));
	}
	ev.data.ptr = data;
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, aio_fd(data->aio), &ev) < 0) {
		r = -errno;
		aio_free(data->aio);
		free(data);
		return mdc_fail(r, "no executor for file data: %s", strerror(-r));
	}
	loop->data = data;
	return 0;
}

void mdc_data_free(struct mdc_data *data)
{
	if (!data)
		return;
	aio_free(data->aio);
	free(data);
}

static bool submit(struct mdc_data *data, struct mdc_transfer *t)
{
	struct aio_request request = {.op = t->op,
				      .fd = t->disk->fd,
				      .buffer = t->p,
				      .bytes = t->bytes,
				      .offset = t->offset,
				      .user = t};

	if (aio_submit(data->aio, &request) < 0)
		return false;
	data->kick = true;
	return true;
}

void mdc_transfer(struct mdc_loop *loop, struct mdc_transfer *t)
{
	struct mdc_data *data = loop->data;

	t->next = NULL;
	if (!data->first && submit(data, t))
		return;
	*data->end = t;
	data->end = &t->next;
}

void mdc_data_pump(struct mdc_loop *loop)
{
	struct mdc_data *data = loop->data;

	if (!data)
		return;
	while (data->first && submit(data, data->first)) {
		data->first = data->first->next;
		if (!data->first)
			data->end = &data->first;
	}
	if (data->kick)
		aio_kick(data->aio);
	data->kick = false;
}

void mdc_data_ready(struct mdc_loop *loop)
{
	struct aio_done done;

	while (aio_reap(loop->data->aio, &done)) {
		struct mdc_transfer *t = done.user;

		t->done(t, done.result);
	}
}

/* ---- flushes ---- */

struct flush_round {
	struct mdc_transfer transfer;
	struct mdc_loop *loop;
};

static void flush_start(struct mdc_loop *, struct mdc_disk *);

static void flushes_over(struct mdc_flush *f, int error)
{
	while (f) {
		struct mdc_flush *next = f->next;

		f->done(f, error);
		f = next;
	}
}

/* A flush that failed may have lost all that was in the LUN's cache: the next one would tell nothing of that. */
static void flush_done(struct mdc_transfer *t, int error)
{
	struct flush_round *round = t->object;
	struct mdc_disk *disk = t->disk;
	struct mdc_flush *now = disk->flush_now, *lost = NULL;

	disk->flush_now = NULL;
	disk->flushing = false;
	if (error) {
		lost = disk->flush_next;
		disk->flush_next = NULL;
		mdc_commit_lost(disk);
	} else if (disk->flush_next) {
		flush_start(round->loop, disk);
	}
	free(round);
	flushes_over(now, error);
	flushes_over(lost, error);
}

static void flush_start(struct mdc_loop *loop, struct mdc_disk *disk)
{
	struct flush_round *round = calloc(1, sizeof(*round));
	struct mdc_flush *f = disk->flush_next;

	disk->flush_next = NULL;
	if (!round) {
		flushes_over(f, -ENOMEM);
		return;
	}
	disk->flush_now = f;
	disk->flushing = true;
	round->loop = loop;
	round->transfer = (struct mdc_transfer){
		.disk = disk, .op = AIO_FSYNC, .done = flush_done, .object = round};
	mdc_transfer(loop, &round->transfer);
}

void mdc_flush(struct mdc_loop *loop, struct mdc_disk *disk, struct mdc_flush *f)
{
	f->next = disk->flush_next;
	disk->flush_next = f;
	if (!disk->flushing)
		flush_start(loop, disk);
}

/* ---- what is due ---- */

static uint64_t session_tick(struct mdc *mdc, uint64_t now_ms)
{
	struct mdc_files *files = mdc->files;
	struct mdc_inode *inode, *next;

	if (!files)
		return UINT64_MAX;
	for (inode = files->dirty; inode; inode = next) {
		next = inode->next_dirty;
		if (inode->dirty_since_ms + DIRTY_MS > now_ms)
			return inode->dirty_since_ms + DIRTY_MS;
		/* Its turn comes again if it does not get clean by this. */
		inode->dirty_since_ms = now_ms;
		inode->commit_wanted = true;
		mdc_commit_run(inode);
	}
	return files->dirty ? now_ms + DIRTY_MS : UINT64_MAX;
}

uint64_t mdc_data_tick(struct mdc_loop *loop)
{
	uint64_t wake = UINT64_MAX;

	for (struct mdc *mdc = loop->sessions; mdc; mdc = mdc->next) {
		uint64_t at = session_tick(mdc, loop->now_ms);

		if (at < wake)
			wake = at;
	}
	return wake;
}
