/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * File data, 1 MiB blocks: through libmdcpair, and the same blocks with O_DIRECT in a scratch file beside the LUN, in turns, so that
 * other load on the machine meets both. Blocks that the LUN's file never held before are compared with such of the scratch file.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "client/mdcbench.h"

enum { BLOCK = 1 << 20, DEPTH = 8 };

enum data_kind { OVERWRITE, READ, APPEND };

static const char *const data_names[] = {"overwrite", "read", "append"};

/* ---- through libmdcpair ---- */

struct stream {
	struct mdc_file *file;
	struct mdc_loop *loop;
	enum data_kind kind;
	uint64_t next, done;
	uint32_t in_flight;
	bool synced;
};

struct stream_lane {
	struct stream *stream;
	void *block;
};

static void stream_go(struct stream_lane *lane);

static void stream_done(void *user, ssize_t result)
{
	struct stream_lane *lane = user;
	struct stream *s = lane->stream;

	if (result != BLOCK)
		mb_die("%s: %s", data_names[s->kind],
		       result < 0 ? strerror((int)-result) : "short");
	s->in_flight--;
	s->done++;
	stream_go(lane);
}

static void stream_go(struct stream_lane *lane)
{
	struct stream *s = lane->stream;
	uint64_t at = s->next * BLOCK;
	int error;

	if (s->next == mb_options.mib || mb_stopped())
		return;
	s->next++;
	s->in_flight++;
	if (s->kind == READ)
		error = mdc_file_read_start(s->file, lane->block, BLOCK, at, stream_done, lane);
	else
		error = mdc_file_write_start(s->file, lane->block, BLOCK, at, 0, stream_done, lane);
	if (error < 0)
		mb_die_mdc(data_names[s->kind]);
}

static void stream_synced(void *user, ssize_t result)
{
	struct stream *s = user;

	if (result < 0)
		mb_die("fsync: %s", strerror((int)-result));
	s->synced = true;
}

static double stream_run(struct mb_clients *c, struct mdc_file *file, enum data_kind kind,
			 void *const *blocks)
{
	struct stream s = {.file = file, .loop = c->loop, .kind = kind};
	struct stream_lane lanes[DEPTH];
	uint64_t begun = mb_now_ns();

	for (int i = 0; i < DEPTH; i++) {
		lanes[i] = (struct stream_lane){&s, blocks[i]};
		stream_go(&lanes[i]);
	}
	while (s.in_flight)
		if (mdc_dispatch(s.loop, -1) < 0)
			mb_die_mdc("dispatch");
	if (kind != READ && !mb_stopped()) {
		if (mdc_file_fsync_start(file, stream_synced, &s) < 0)
			mb_die_mdc("fsync");
		while (!s.synced)
			if (mdc_dispatch(s.loop, -1) < 0)
				mb_die_mdc("dispatch");
	}
	return (double)mb_options.mib / ((double)(mb_now_ns() - begun) / 1e9);
}

/* ---- without ---- */

struct raw {
	int fd, turn;
	enum data_kind kind;
	void *block;
	uint64_t *next;
};

static void *raw_main(void *arg)
{
	struct raw *r = arg;
	uint64_t n;

	while (!mb_stopped() &&
	       (n = __atomic_fetch_add(r->next, 1, __ATOMIC_RELAXED)) < mb_options.mib) {
		off_t at = (off_t)n * BLOCK;
		ssize_t done = r->kind == READ ? pread(r->fd, r->block, BLOCK, at)
					       : pwrite(r->fd, r->block, BLOCK, at);

		if (done != BLOCK)
			mb_die("scratch file: %s", strerror(errno));
	}
	return NULL;
}

static double raw_run(int fd, enum data_kind kind, void *const *blocks)
{
	uint64_t next = 0, begun = mb_now_ns();
	pthread_t thread[DEPTH];
	struct raw raw[DEPTH];

	for (int i = 0; i < DEPTH; i++) {
		raw[i] = (struct raw){.fd = fd, .kind = kind, .block = blocks[i], .next = &next};
		if (pthread_create(&thread[i], NULL, raw_main, &raw[i]) != 0)
			mb_die("no thread");
	}
	for (int i = 0; i < DEPTH; i++)
		pthread_join(thread[i], NULL);
	if (kind != READ && !mb_stopped() && fdatasync(fd) < 0)
		mb_die("scratch file: %s", strerror(errno));
	return (double)mb_options.mib / ((double)(mb_now_ns() - begun) / 1e9);
}

/*
 * Bytes of the LUN's file that were never written. Their first write costs the file system below more than the next one does, with
 * mdcpair and without. 0 where that is not to be learned.
 */
static uint64_t never_written(void)
{
	enum { EXTENTS = 256 };
	struct fiemap *map = calloc(1, sizeof(*map) + EXTENTS * sizeof(map->fm_extents[0]));
	uint64_t bytes = 0, at = 0;
	bool last = false;
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s/lun0", mb_options.pair);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	while (map && fd >= 0 && !last) {
		*map = (struct fiemap){
			.fm_start = at, .fm_length = UINT64_MAX - at, .fm_extent_count = EXTENTS};
		if (ioctl(fd, FS_IOC_FIEMAP, map) < 0 || map->fm_mapped_extents == 0)
			break;
		for (uint32_t i = 0; i < map->fm_mapped_extents; i++) {
			const struct fiemap_extent *e = &map->fm_extents[i];

			if (e->fe_flags & FIEMAP_EXTENT_UNWRITTEN)
				bytes += e->fe_length;
			last = e->fe_flags & FIEMAP_EXTENT_LAST;
			at = e->fe_logical + e->fe_length;
		}
	}
	if (fd >= 0)
		close(fd);
	free(map);
	return bytes;
}

/* The scratch file's blocks are as if never written, like those of a LUN that was not yet full once. */
static void raw_renew(int fd)
{
	if (ftruncate(fd, 0) < 0 || posix_fallocate(fd, 0, (off_t)mb_options.mib * BLOCK) != 0)
		mb_die("scratch file: %s", strerror(errno ? errno : ENOSPC));
}

static int raw_open(void *const *blocks)
{
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s/.mdcbench-data", mb_options.pair);
	fd = open(path, O_CREAT | O_RDWR | O_DIRECT | O_CLOEXEC, 0600);
	if (fd < 0 || unlink(path) < 0 ||
	    posix_fallocate(fd, 0, (off_t)mb_options.mib * BLOCK) != 0)
		mb_die("%s: %s", path, strerror(errno ? errno : ENOSPC));
	raw_run(fd, OVERWRITE, blocks); /* no block is unwritten from here on */
	return fd;
}

/* ---- both ---- */

struct data_state {
	struct mb_clients clients;
	uint64_t dir;
	void *blocks[DEPTH];
	int raw_fd;
};

static struct mdc_file *open_file(struct data_state *s, const char *name)
{
	struct mdc_file *file;

	if (mdc_file_create(s->clients.mdc[0], NULL, s->dir, name, 0100644,
			    MDC_O_READ | MDC_O_WRITE, &file, NULL, NULL) < 0)
		mb_die_mdc(name);
	return file;
}

static void drop_file(struct data_state *s, struct mdc_file *file, const char *name)
{
	mb_stop_goes_on();
	if (mdc_file_close(file) < 0 || mdc_unlink(s->clients.mdc[0], NULL, s->dir, name) < 0)
		mb_die_mdc(name);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void report_data(struct mb_report *report, enum data_kind kind, double *with,
			double *without, double share)
{
	uint32_t n = mb_options.runs;

	qsort(with, n, sizeof(double), compare);
	qsort(without, n, sizeof(double), compare);
	mb_print(
		"%-9s %7.0f MiB/s, without mdcpair %7.0f MiB/s, ratio %.2f; sockets carried %.3f %% of the bytes\n",
		data_names[kind], with[n / 2], without[n / 2], with[n / 2] / without[n / 2],
		share * 100);
	json_array_append_new(report->results,
			      json_pack("{s:s, s:f, s:f, s:f, s:f}", "operation", data_names[kind],
					"mib_per_s", with[n / 2], "raw_mib_per_s", without[n / 2],
					"ratio", with[n / 2] / without[n / 2], "socket_share",
					share));
}

static void run_data_kind(struct mb_report *report, struct data_state *s, enum data_kind kind)
{
	double *with = calloc(mb_options.runs, sizeof(double));
	double *without = calloc(mb_options.runs, sizeof(double));
	double total = (double)mb_options.mib * BLOCK * mb_options.runs;
	struct mdc_file *file = open_file(s, "data");
	struct mdc_stats a, b;

	if (kind != APPEND)
		stream_run(&s->clients, file, APPEND, s->blocks);
	mdc_get_stats(s->clients.mdc[0], &a);
	for (uint32_t i = 0; i < mb_options.runs && !mb_stopped(); i++) {
		uint64_t fresh = never_written();

		if (kind == APPEND) {
			drop_file(s, file, "data");
			file = open_file(s, "data");
		}
		mb_progress(data_names[kind], (double)i / mb_options.runs, 0);
		with[i] = stream_run(&s->clients, file, kind, s->blocks);
		if (fresh - never_written() > (uint64_t)mb_options.mib * BLOCK / 2)
			raw_renew(s->raw_fd);
		without[i] = raw_run(s->raw_fd, kind, s->blocks);
	}
	mb_progress_end();
	mdc_get_stats(s->clients.mdc[0], &b);
	drop_file(s, file, "data");
	if (!mb_stopped())
		report_data(report, kind, with, without,
			    (double)(b.bytes_sent + b.bytes_received - a.bytes_sent -
				     a.bytes_received) /
				    total);
	free(with);
	free(without);
}

void mb_run_data(struct mb_report *report, const char *const *names, size_t count)
{
	struct data_state s = {0};
	char name[256];

	for (int i = 0; i < DEPTH; i++) {
		if (posix_memalign(&s.blocks[i], 4096, BLOCK) != 0)
			mb_die("out of memory");
		memset(s.blocks[i], 'a' + i, BLOCK);
	}
	mb_clients_open(&s.clients, 1, 64, true);
	s.dir = mb_directory(s.clients.mdc[0], s.clients.root, name, sizeof(name));
	s.raw_fd = raw_open(s.blocks);
	for (size_t i = 0; i < count; i++)
		for (int kind = 0; kind < 3; kind++)
			if (!mb_stopped() && strcmp(names[i], data_names[kind]) == 0)
				run_data_kind(report, &s, (enum data_kind)kind);
	close(s.raw_fd);
	mdc_rmdir(s.clients.mdc[0], NULL, s.clients.root, name);
	mb_clients_close(&s.clients);
	for (int i = 0; i < DEPTH; i++)
		free(s.blocks[i]);
}
