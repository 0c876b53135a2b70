/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * journal-bench DIR [SECONDS]: appends a second and their latency, with one and two batches in
 * flight, by io_uring and by threads, beside bare 4 KiB O_DSYNC writes to a file of the same
 * directory, measured in turns. Makes and removes DIR/journal.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "journal/io/jx.h"
#include "proto/assert_stderr.h"

enum { SAMPLES_MAX = 1 << 20, FLOOR_BYTES = 4096, FLOOR_FILE = 16 << 20 };

static uint32_t samples[SAMPLES_MAX];
static unsigned sample_count;

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static int compare(const void *a, const void *b)
{
	return (*(const uint32_t *)a > *(const uint32_t *)b) -
	       (*(const uint32_t *)a < *(const uint32_t *)b);
}

static void sample(uint64_t ns)
{
	if (sample_count < SAMPLES_MAX)
		samples[sample_count++] = (uint32_t)(ns / 100);
}

static double report(const char *what, double seconds, double against)
{
	double p50;

	if (sample_count == 0)
		return 0;
	qsort(samples, sample_count, sizeof(samples[0]), compare);
	p50 = samples[sample_count / 2] / 10.0;
	printf("%-46s %8.0f /s   p50 %7.1f us   p99 %7.1f us", what, sample_count / seconds, p50,
	       samples[sample_count * 99ull / 100] / 10.0);
	if (against > 0)
		printf("   p50 %4.2f of the bare write", p50 / against);
	putchar('\n');
	sample_count = 0;
	return p50;
}

static double floor_measure(const char *dir, double seconds)
{
	char path[4096];
	uint8_t *p;
	uint64_t begin, end, at = 0;
	int fd;

	snprintf(path, sizeof(path), "%s/floor", dir);
	fd = open(path, O_RDWR | O_CREAT | O_DIRECT | O_DSYNC | O_CLOEXEC, 0600);
	if (fd < 0)
		fd = open(path, O_RDWR | O_CREAT | O_DSYNC | O_CLOEXEC, 0600);
	if (fd < 0 || posix_memalign((void **)&p, 4096, 1 << 20) != 0) {
		perror(path);
		exit(1);
	}
	memset(p, 1, 1 << 20);
	for (at = 0; at < FLOOR_FILE; at += 1 << 20)
		if (pwrite(fd, p, 1 << 20, (off_t)at) != 1 << 20)
			exit(1);
	begin = now_ns();
	for (end = begin; end - begin < (uint64_t)(seconds * 1e9); at += FLOOR_BYTES) {
		uint64_t t = end;

		if (pwrite(fd, p, FLOOR_BYTES, (off_t)(at % FLOOR_FILE)) != FLOOR_BYTES)
			exit(1);
		end = now_ns();
		sample(end - t);
	}
	close(fd);
	unlink(path);
	free(p);
	return report("bare 4 KiB O_DIRECT|O_DSYNC write, depth 1", (end - begin) / 1e9, 0);
}

struct run {
	struct jx *x;
	struct jr *jr;
	struct jr_config cfg;
	uint64_t began[64];
};

static void take_events(struct run *r, uint64_t *told)
{
	struct jr_event ev;

	while (jr_next_event(r->jr, &ev)) {
		if (ev.type == JR_EV_FAILED) {
			fprintf(stderr, "write failed: %s\n", ev.why);
			exit(1);
		}
		if (ev.type == JR_EV_APPENDED)
			for (uint64_t now = now_ns(); *told < ev.lsn; ++*told)
				sample(now - r->began[(*told + 1) % 64]);
	}
}

static void pump(struct run *r)
{
	struct jr_io io;

	while (jr_next_io(r->jr, &io))
		jx_submit(r->x, &io);
	jx_kick(r->x);
}

static void append_some(struct run *r, uint32_t bytes)
{
	static uint8_t payload[1 << 20];
	static const uint8_t cluster[16];
	int e = 0;

	while (e == 0) {
		uint64_t lsn = jr_tail_lsn(r->jr) + 1;
		struct pr_hash prev = jr_tail_hash(r->jr);
		struct jr_batch *b = jr_batch_new(cluster, 1, lsn, lsn, 0, &prev, payload, bytes);

		if (!b)
			exit(1);
		r->began[lsn % 64] = now_ns();
		e = jr_append(r->jr, b);
		jr_batch_unref(b);
	}
}

static void journal_measure(const char *dir, enum aio_engine engine, uint32_t in_flight,
			    uint32_t bytes, double seconds, double bare)
{
	struct jx_config c = {
		.dir = dir,
		.engine = engine,
		.journal = {.segment_bytes = 8 << 20,
			    .segments = 8,
			    .ring_slots = 1024,
			    .in_flight = in_flight},
	};
	struct run r = {.cfg = c.journal};
	char why[512], what[80];
	uint64_t begin, told, tag;
	int error;

	if (jx_open_with(&c, &r.x, why, sizeof(why)) < 0) {
		fprintf(stderr, "%s\n", why);
		return;
	}
	r.jr = jr_new(&c.journal);
	jr_open(r.jr);
	jx_drive(r.x, r.jr);
	told = jr_tail_lsn(r.jr);
	take_events(&r, &told);
	sample_count = 0;
	begin = now_ns();
	while (now_ns() - begin < (uint64_t)(seconds * 1e9)) {
		append_some(&r, bytes);
		pump(&r);
		jx_wait(r.x, 1000);
		while (jx_next(r.x, &tag, &error))
			jr_io_done(r.jr, tag, error);
		take_events(&r, &told);
		jr_release(r.jr, jr_durable_lsn(r.jr));
	}
	jx_drive(r.x, r.jr);
	snprintf(what, sizeof(what), "append %u B, %u in flight, %s", bytes, in_flight,
		 jx_describe(r.x));
	report(what, (now_ns() - begin) / 1e9, bare);
	jr_free(r.jr);
	jx_close(r.x);
}

int main(int argc, char **argv)
{
	double seconds = argc > 2 ? strtod(argv[2], NULL) : 2, bare;
	char command[4200];

	pr_assert_to_stderr();
	if (argc < 2 || seconds <= 0) {
		fprintf(stderr, "Usage: journal-bench DIR [SECONDS]\n");
		return 64;
	}
	bare = floor_measure(argv[1], seconds);
	for (uint32_t bytes = 3000; bytes <= 48000; bytes *= 4)
		for (uint32_t in_flight = 1; in_flight <= 2; in_flight++)
			journal_measure(argv[1], AIO_AUTO, in_flight, bytes, seconds, bare);
	journal_measure(argv[1], AIO_THREADS, 2, 3000, seconds, bare);
	floor_measure(argv[1], seconds);
	snprintf(command, sizeof(command), "rm -r '%s/journal'", argv[1]);
	return system(command) == 0 ? 0 : 1;
}
