/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Directories. The offsets that the kernel sees are the controller's cookies, which stay valid
 * while entries come and go; 1 and 2 are "." and "..", which the controllers leave free. A handle
 * keeps the rest of one answer, since the kernel asks for less than a message can bring; going
 * anywhere but on, rewinddir(3) above all, asks anew.
 */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/mdcfs.h"

enum { CHUNK_BYTES = 128 << 10, OFFSET_DOT = 1, OFFSET_DOT_DOT = 2 };

struct entry {
	uint64_t cookie, ino;
	uint32_t mode;
	uint32_t name; /* where in names */
};

struct chunk {
	struct entry *entries;
	char *names;
	size_t count, room, names_bytes, names_room;
	bool eof, failed;
};

struct dir {
	pthread_mutex_t lock;
	atomic_uint refs;
	uint64_t ino, parent;
	struct chunk chunk;
	size_t next;	      /* of the chunk */
	uint64_t next_offset; /* that asks for it; 0: nothing is kept */
	atomic_bool touch;
};

static void chunk_free(struct chunk *c)
{
	free(c->entries);
	free(c->names);
	*c = (struct chunk){0};
}

static bool chunk_reserve(struct chunk *c, size_t name_bytes)
{
	void *p;

	if (c->count == c->room) {
		c->room = c->room ? c->room * 2 : 128;
		p = realloc(c->entries, c->room * sizeof(*c->entries));
		if (!p)
			return false;
		c->entries = p;
	}
	if (c->names_bytes + name_bytes > c->names_room) {
		c->names_room = (c->names_room + name_bytes) * 2;
		p = realloc(c->names, c->names_room);
		if (!p)
			return false;
		c->names = p;
	}
	return true;
}

static void chunk_add(struct chunk *c, const struct mdc_dirent *e)
{
	if (c->failed || !chunk_reserve(c, e->name_bytes + 1)) {
		c->failed = true;
		return;
	}
	c->entries[c->count++] = (struct entry){
		.cookie = e->cookie,
		.ino = e->attr.ino,
		.mode = e->attr.mode,
		.name = (uint32_t)c->names_bytes,
	};
	memcpy(c->names + c->names_bytes, e->name, e->name_bytes);
	c->names[c->names_bytes + e->name_bytes] = 0;
	c->names_bytes += e->name_bytes + 1;
}

static void dir_unref(struct dir *d)
{
	if (--d->refs > 0)
		return;
	mf_tell(&(struct mdc_request){.op = MDC_CLOSE, .ino = d->ino, .opens = 1});
	chunk_free(&d->chunk);
	pthread_mutex_destroy(&d->lock);
	free(d);
}

/* ---- listing ---- */

struct listing {
	fuse_req_t req;
	char *buffer;
	size_t size, used;
};

static bool list_one(struct listing *l, const char *name, uint64_t ino, uint32_t mode,
		     uint64_t offset)
{
	struct stat st = {.st_ino = ino, .st_mode = mode};
	size_t need = fuse_add_direntry(l->req, l->buffer + l->used, l->size - l->used, name, &st,
					(off_t)offset);

	if (need > l->size - l->used)
		return false;
	l->used += need;
	return true;
}

static bool list_dots(struct listing *l, const struct dir *d, uint64_t offset)
{
	if (offset < OFFSET_DOT && !list_one(l, ".", d->ino, S_IFDIR, OFFSET_DOT))
		return false;
	if (offset < OFFSET_DOT_DOT && !list_one(l, "..", d->parent, S_IFDIR, OFFSET_DOT_DOT))
		return false;
	return true;
}

/* From the chunk, which begins or goes on at offset. With the lock. */
static void list_chunk(struct listing *l, struct dir *d, uint64_t offset)
{
	struct chunk *c = &d->chunk;

	if (!list_dots(l, d, offset))
		return;
	for (; d->next < c->count; d->next++) {
		struct entry *e = &c->entries[d->next];

		if (!list_one(l, c->names + e->name, e->ino, e->mode, e->cookie))
			break;
		d->next_offset = e->cookie;
	}
}

/* What is kept goes on at offset, or the end is known. */
static bool is_kept(const struct dir *d, uint64_t offset)
{
	return d->next_offset != 0 && d->next_offset == offset &&
	       (d->next < d->chunk.count || d->chunk.eof);
}

static void answer(fuse_req_t req, struct dir *d, size_t size, uint64_t offset)
{
	struct listing l = {.req = req, .buffer = malloc(size ? size : 1), .size = size};

	if (!l.buffer) {
		pthread_mutex_unlock(&d->lock);
		fuse_reply_err(req, ENOMEM);
		return;
	}
	list_chunk(&l, d, offset);
	pthread_mutex_unlock(&d->lock);
	fuse_reply_buf(req, l.buffer, l.used);
	free(l.buffer);
}

static void finish_readdir(struct mf_op *op, struct mdc_reply *reply)
{
	struct chunk chunk = {.eof = reply->eof};
	struct dir *d = op->handle;
	struct mdc_dirent e;
	fuse_req_t req;

	while (reply->error == 0 && mdc_next_entry(reply, &e))
		chunk_add(&chunk, &e);
	req = mf_op_take(op);
	if (!req || reply->error || chunk.failed) {
		chunk_free(&chunk);
		if (req)
			fuse_reply_err(req, reply->error ? -reply->error : ENOMEM);
	} else {
		pthread_mutex_lock(&d->lock);
		chunk_free(&d->chunk);
		d->chunk = chunk;
		d->next = 0;
		d->next_offset = op->offset;
		d->parent = reply->parent;
		answer(req, d, op->size, op->offset);
	}
	dir_unref(d);
}

/* The right to list was checked when the directory was opened: the requests are root's. */
void mf_readdir(fuse_req_t req, fuse_ino_t node, size_t size, off_t offset,
		struct fuse_file_info *fi)
{
	static const struct mdc_cred root;
	struct dir *d = (struct dir *)(uintptr_t)fi->fh;
	struct mf_op *op;

	if (atomic_exchange(&d->touch, false))
		mf_touch(d->ino);
	pthread_mutex_lock(&d->lock);
	if (is_kept(d, (uint64_t)offset)) {
		answer(req, d, size, (uint64_t)offset);
		return;
	}
	pthread_mutex_unlock(&d->lock);
	op = mf_op_new(req, finish_readdir, false);
	if (!op)
		return;
	d->refs++;
	op->handle = d;
	op->size = size;
	op->offset = (uint64_t)offset;
	mf_op_submit(op, &(struct mdc_request){
				 .op = MDC_READDIR,
				 .cred = &root,
				 .ino = d->ino,
				 .cookie = op->offset <= OFFSET_DOT_DOT ? 0 : op->offset,
				 .bytes = CHUNK_BYTES,
			 });
}

/* ---- opening ---- */

static struct dir *dir_new(const struct mdc_attr *a)
{
	struct dir *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	pthread_mutex_init(&d->lock, NULL);
	d->refs = 1;
	d->ino = a->ino;
	return d;
}

static void finish_opendir(struct mf_op *op, struct mdc_reply *reply)
{
	fuse_req_t req = mf_op_take(op);
	struct fuse_file_info fi = {.flags = (int)op->flags};
	struct dir *d = reply->error ? NULL : dir_new(&reply->attr);

	if (reply->error) {
		if (req)
			fuse_reply_err(req, -reply->error);
		return;
	}
	if (!d) {
		mf_tell(&(struct mdc_request){.op = MDC_CLOSE, .ino = reply->attr.ino, .opens = 1});
		if (req)
			fuse_reply_err(req, ENOMEM);
		return;
	}
	d->touch = !mf.conf.nodiratime && mf_wants_touch(&reply->attr, fi.flags);
	fi.fh = (uintptr_t)d;
	if (!req || fuse_reply_open(req, &fi) == -ENOENT)
		dir_unref(d);
}

void mf_opendir(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	struct mf_op *op = mf_op_new(req, finish_opendir, true);

	if (!op)
		return;
	op->flags = (uint32_t)fi->flags;
	mf_op_submit(op, &(struct mdc_request){
				 .op = MDC_OPEN, .ino = mf_ino(node), .flags = MDC_O_READ});
}

void mf_releasedir(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	fuse_reply_err(req, 0);
	dir_unref((struct dir *)(uintptr_t)fi->fh);
}

/* Names are durable on both controllers before anybody is told of them. */
void mf_fsyncdir(fuse_req_t req, fuse_ino_t node, int datasync, struct fuse_file_info *fi)
{
	fuse_reply_err(req, mf.evicted ? ESTALE : 0);
}
