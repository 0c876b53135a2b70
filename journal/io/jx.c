/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The journal's executor: I/O of the core on the files of a directory. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "journal/core/format.h"
#include "journal/io/jx.h"
#include "journal/io/jx_files.h"
#include "proto/assert.h"

enum { OPS = 2 * 16 + 2 }; /* the most that a core has under way */

struct refused {
	uint64_t tag;
	int error;
};

struct jx {
	struct jx_files files;
	struct aio *aio;
	bool read_only;
	struct refused refused[OPS]; /* answered without the disk */
	unsigned refused_count;
	char text[64];
};

int jx_open_with(const struct jx_config *c, struct jx **ret, char *why, size_t size)
{
	char path[4096];
	struct jx *x = calloc(1, sizeof(*x));
	int r;

	if (!x)
		return -ENOMEM;
	jx_files_init(&x->files);
	x->read_only = c->read_only;
	snprintf(path, sizeof(path), c->read_only ? "%s" : "%s/journal", c->dir);
	r = jx_files_open(&x->files, path, c, why, size);
	if (r == 0) {
		r = aio_new(&(struct aio_config){.engine = c->engine, .depth = OPS}, &x->aio);
		if (r < 0)
			snprintf(why, size, "%s: no asynchronous I/O: %s", path, strerror(-r));
	}
	if (r < 0) {
		jx_close(x);
		return r;
	}
	snprintf(x->text, sizeof(x->text), "%s%s", aio_engine_name(x->aio),
		 x->files.direct ? ", O_DIRECT"
				 : ", through the page cache: the file system has no O_DIRECT");
	*ret = x;
	return 0;
}

int jx_open(const char *dir, const struct jr_config *journal, struct jx **ret, char *why,
	    size_t size)
{
	return jx_open_with(&(struct jx_config){.dir = dir, .journal = *journal}, ret, why, size);
}

void jx_close(struct jx *x)
{
	if (!x)
		return;
	aio_free(x->aio);
	jx_files_close(&x->files);
	free(x);
}

static void refuse(struct jx *x, uint64_t tag, int error)
{
	static const uint64_t one = 1;

	ASSERT(x->refused_count < OPS);
	x->refused[x->refused_count++] = (struct refused){tag, error};
	while (write(aio_fd(x->aio), &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

void jx_submit(struct jx *x, const struct jr_io *io)
{
	struct aio_request q = {
		.op = io->write ? AIO_WRITE : AIO_READ,
		.flags = io->write ? AIO_DSYNC : 0,
		.fd = x->files.fds[io->file],
		.buffer = io->buffer,
		.bytes = io->bytes,
		.offset = io->offset,
		.user = (void *)(uintptr_t)io->tag,
	};
	int r;

	if (io->write && x->read_only) {
		refuse(x, io->tag, 0);
		return;
	}
	if (q.fd < 0) {
		refuse(x, io->tag, -EBADF);
		return;
	}
	if (io->file == JX_ARCHIVE) {
		q.offset = x->files.archive_bytes;
		x->files.archive_bytes += io->bytes;
	}
	r = aio_submit(x->aio, &q);
	if (r < 0)
		refuse(x, io->tag, r);
}

void jx_kick(struct jx *x)
{
	aio_kick(x->aio);
}

int jx_fd(const struct jx *x)
{
	return aio_fd(x->aio);
}

bool jx_next(struct jx *x, uint64_t *ret_tag, int *ret_error)
{
	struct aio_done done;

	if (x->refused_count > 0) {
		struct refused r = x->refused[--x->refused_count];

		*ret_tag = r.tag;
		*ret_error = r.error;
		return true;
	}
	if (!aio_reap(x->aio, &done))
		return false;
	*ret_tag = (uintptr_t)done.user;
	*ret_error = done.result == -ENODATA ? -EIO : done.result;
	return true;
}

bool jx_wait(struct jx *x, int timeout_ms)
{
	return aio_wait(x->aio, timeout_ms);
}

void jx_drive(struct jx *x, struct jr *jr)
{
	struct jr_io io;
	uint64_t tag;
	int error;

	for (;;) {
		bool some = false;

		while (jr_next_io(jr, &io))
			jx_submit(x, &io);
		jx_kick(x);
		while (jx_next(x, &tag, &error)) {
			jr_io_done(jr, tag, error);
			some = true;
		}
		if (some)
			continue;
		if (aio_pending(x->aio) == 0 && x->refused_count == 0)
			break;
		jx_wait(x, -1);
	}
}

const char *jx_describe(const struct jx *x)
{
	return x->text;
}

/* ---- geometry, for tools ---- */

static int file_size(const char *dir, uint8_t file, uint64_t *ret)
{
	char path[4200], name[32];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", dir, jx_file_name(file, name));
	if (stat(path, &st) < 0)
		return -errno;
	*ret = (uint64_t)st.st_size;
	return 0;
}

/* The cluster and in_flight of the newest entry of the ring. */
static void ring_look(const char *dir, struct jr_config *c)
{
	char path[4200];
	uint8_t page[JR_PAGE_BYTES];
	struct jr_entry e, newest = {0};
	uint32_t bad;
	int fd;

	snprintf(path, sizeof(path), "%s/ring", dir);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	for (uint32_t i = 0; i < c->ring_slots; i++)
		if (pread(fd, page, sizeof(page), (off_t)i * JR_PAGE_BYTES) == JR_PAGE_BYTES &&
		    jr_slot_judge(page, &e, &bad) == JR_SLOT_ENTRY && e.seq > newest.seq)
			newest = e;
	close(fd);
	memcpy(c->cluster, newest.cluster, sizeof(c->cluster));
	if (newest.seq > 0 && newest.in_flight > 0)
		c->in_flight = newest.in_flight;
}

int jx_geometry(const char *dir, struct jr_config *ret, char *ret_dir, size_t dir_size, char *why,
		size_t size)
{
	struct jr_config c = {.in_flight = 1};
	uint64_t bytes, segment = 0;
	int r;

	snprintf(ret_dir, dir_size, "%s/journal", dir);
	r = file_size(ret_dir, 0, &bytes);
	if (r == -EACCES) {
		snprintf(why, size, "%s: %s", ret_dir, strerror(-r));
		return r;
	}
	if (r < 0) {
		snprintf(ret_dir, dir_size, "%s", dir);
		r = file_size(ret_dir, 0, &bytes);
	}
	if (r < 0) {
		snprintf(why, size, "%s: no journal here (neither journal/ring nor ring): %s", dir,
			 strerror(-r));
		return r;
	}
	c.ring_slots = (uint32_t)(bytes / JR_PAGE_BYTES);
	while (c.segments < JX_ARCHIVE - 1 &&
	       file_size(ret_dir, (uint8_t)(c.segments + 1), &bytes) == 0) {
		if (segment > 0 && bytes != segment) {
			snprintf(why, size, "%s: segment-001 has %llu bytes, segment-%03u has %llu",
				 ret_dir, (unsigned long long)segment, c.segments + 1,
				 (unsigned long long)bytes);
			return -EUCLEAN;
		}
		segment = bytes;
		c.segments++;
	}
	for (uint32_t n = c.segments + 2; n < JX_ARCHIVE; n++) {
		if (file_size(ret_dir, (uint8_t)n, &bytes) < 0)
			continue;
		snprintf(why, size,
			 "%s: segment-%03u is missing, segment-%03u is there: bring it back",
			 ret_dir, c.segments + 1, n);
		return -EUCLEAN;
	}
	if (c.segments < 3 || segment == 0 || segment % JR_PAGE_BYTES != 0 ||
	    segment > UINT32_MAX || c.ring_slots < 2 * c.in_flight + 8) {
		snprintf(why, size, "%s: the sizes of its files are not those of a journal",
			 ret_dir);
		return -EUCLEAN;
	}
	c.segment_bytes = (uint32_t)segment;
	ring_look(ret_dir, &c);
	*ret = c;
	return 0;
}
