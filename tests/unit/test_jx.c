/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "journal/core/format.h"
#include "journal/io/jx.h"
#include "proto/assert_stderr.h"

static char dir[64], why[512];
static const enum aio_engine engines[] = {AIO_AUTO, AIO_THREADS};

static struct jx_config config(enum aio_engine engine)
{
	return (struct jx_config){
		.dir = dir,
		.journal = {.cluster = {7},
			    .segment_bytes = 256 << 10,
			    .segments = 3,
			    .ring_slots = 32,
			    .in_flight = 3},
		.engine = engine,
		.patience_ms = 50,
	};
}

static void dir_make(void)
{
	pr_assert_to_stderr();
	snprintf(dir, sizeof(dir), "./test_jx-XXXXXX");
	cr_assert_not_null(mkdtemp(dir));
}

static void dir_remove(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -r %s", dir);
	cr_assert_eq(system(command), 0);
}

static void path_of(char *out, size_t size, const char *name)
{
	snprintf(out, size, "%s/journal/%s", dir, name);
}

static struct jr_event wait_for(struct jx *x, struct jr *jr, enum jr_event_type type)
{
	struct jr_event ev;

	for (;;) {
		while (jr_next_event(jr, &ev))
			if (ev.type == type)
				return ev;
		jx_drive(x, jr);
	}
}

static struct jr *journal_open(struct jx *x, const struct jx_config *c, struct jr_event *ret)
{
	struct jr *jr = jr_new(&c->journal);

	cr_assert_not_null(jr);
	jr_open(jr);
	*ret = wait_for(x, jr, JR_EV_OPENED);
	return jr;
}

static int append(struct jr *jr, const struct jx_config *c, uint32_t bytes)
{
	struct pr_hash prev = jr_tail_hash(jr);
	uint8_t *p = calloc(1, bytes);
	struct jr_batch *b = jr_batch_new(c->journal.cluster, 1, jr_tail_lsn(jr) + 1,
					  jr_tail_lsn(jr) + 1, 0, &prev, p, bytes);
	int r = jr_append(jr, b);

	jr_batch_unref(b);
	free(p);
	return r;
}

Test(jx, a_new_directory_gets_a_journal_that_lasts)
{
	for (unsigned e = 0; e < 2; e++) {
		struct jx_config c;
		struct jr_event ev;
		struct jx *x;
		struct jr *jr;

		dir_make();
		c = config(engines[e]);
		cr_assert_eq(jx_open_with(&c, &x, why, sizeof(why)), 0, "%s", why);
		jr = journal_open(x, &c, &ev);
		cr_assert_eq(ev.verdict, JR_EMPTY);
		for (unsigned i = 0; i < 100; i++) {
			int r;

			while ((r = append(jr, &c, 3000 + 100 * i)) != 0) {
				cr_assert(r == -EBUSY || r == -ENOSPC);
				jr_release(jr, jr_durable_lsn(jr));
				jx_drive(x, jr);
			}
		}
		jx_drive(x, jr);
		cr_assert_eq(jr_durable_lsn(jr), 100u);
		jr_free(jr);
		jx_close(x);
		cr_assert_eq(jx_open_with(&c, &x, why, sizeof(why)), 0, "%s", why);
		jr = journal_open(x, &c, &ev);
		cr_assert_eq(ev.verdict, JR_CLEAN, "%s", ev.why);
		cr_assert_eq(ev.tail_lsn, 100u);
		jr_fetch(jr, 100, 1);
		ev = wait_for(x, jr, JR_EV_FETCHED);
		cr_assert_not_null(ev.batch);
		jr_batch_unref(ev.batch);
		jr_cut(jr, 98);
		ev = wait_for(x, jr, JR_EV_CUT);
		cr_assert_eq(ev.lsn, 98u);
		jr_free(jr);
		jx_close(x);
		dir_remove();
	}
}

/* It lies in two segments, and each is archived by itself. */
Test(jx, all_that_is_cut_is_in_the_archive)
{
	struct jx_config c;
	struct jr_event ev;
	char path[128];
	struct stat st;
	struct jx *x;
	struct jr *jr;

	dir_make();
	c = config(AIO_AUTO);
	cr_assert_eq(jx_open_with(&c, &x, why, sizeof(why)), 0, "%s", why);
	jr = journal_open(x, &c, &ev);
	for (unsigned i = 0; i < 100; i++) {
		cr_assert_eq(append(jr, &c, 3000), 0);
		jx_drive(x, jr);
	}
	jr_cut(jr, 2);
	ev = wait_for(x, jr, JR_EV_CUT);
	cr_assert_eq(ev.lsn, 2u);
	jr_free(jr);
	jx_close(x);
	path_of(path, sizeof(path), "archive");
	cr_assert_eq(stat(path, &st), 0);
	cr_assert_eq(st.st_size, 98 * 4096);
	dir_remove();
}

Test(jx, a_second_opener_is_told_who_has_it)
{
	struct jx_config c;
	struct jx *x, *y;
	char who[128], text[64], path[128];

	dir_make();
	c = config(AIO_AUTO);
	cr_assert_eq(jx_open_with(&c, &x, why, sizeof(why)), 0, "%s", why);
	cr_assert_eq(jx_open_with(&c, &y, why, sizeof(why)), -EBUSY);
	snprintf(text, sizeof(text), "process %d", getpid());
	cr_assert(strstr(why, text), "%s", why);
	path_of(path, sizeof(path), ".");
	cr_assert(jx_in_use(path, who, sizeof(who)));
	cr_assert(strstr(who, text), "%s", who);
	jx_close(x);
	cr_assert_not(jx_in_use(path, who, sizeof(who)));
	cr_assert_eq(jx_open_with(&c, &x, why, sizeof(why)), 0, "%s", why);
	jx_close(x);
	dir_remove();
}

Test(jx, a_killed_process_leaves_a_journal_its_successor_can_open)
{
	for (unsigned round = 0; round < 6; round++) {
		struct jx_config c;
		struct jr_event ev;
		uint64_t durable = 0, lsn;
		struct jx *x;
		struct jr *jr;
		int fds[2];
		pid_t pid;

		dir_make();
		c = config(engines[round % 2]);
		cr_assert_eq(pipe(fds), 0);
		pid = fork();
		if (pid == 0) {
			cr_assert_eq(jx_open_with(&c, &x, why, sizeof(why)), 0, "%s", why);
			jr = journal_open(x, &c, &ev);
			for (;;) {
				struct jr_io io;
				uint64_t tag;
				int error;

				while (append(jr, &c, 9000) == 0)
					;
				jr_release(jr, jr_durable_lsn(jr));
				while (jr_next_io(jr, &io))
					jx_submit(x, &io);
				jx_kick(x);
				/* Until false: one readable descriptor may stand for several that ended. */
				jx_wait(x, 1000);
				while (jx_next(x, &tag, &error))
					jr_io_done(jr, tag, error);
				while (jr_next_event(jr, &ev))
					if (ev.type == JR_EV_APPENDED &&
					    write(fds[1], &ev.lsn, 8) != 8)
						_exit(1);
			}
		}
		close(fds[1]);
		for (unsigned i = 0; i < 50 + round * 13; i++)
			cr_assert_eq(read(fds[0], &durable, 8), 8);
		kill(pid, SIGKILL);
		while (read(fds[0], &lsn, 8) == 8)
			durable = lsn;
		c.patience_ms = 5000;
		cr_assert_eq(jx_open_with(&c, &x, why, sizeof(why)), 0, "%s", why);
		jr = journal_open(x, &c, &ev);
		cr_assert(ev.verdict == JR_CLEAN || ev.verdict == JR_TORN, "%d %s", ev.verdict,
			  ev.why);
		cr_assert_geq(ev.tail_lsn, durable);
		waitpid(pid, NULL, 0);
		jr_free(jr);
		jx_close(x);
		close(fds[0]);
		dir_remove();
	}
}

Test(jx, missing_or_short_files_are_named)
{
	struct jx_config c;
	char path[128];
	struct jx *x;

	dir_make();
	c = config(AIO_AUTO);
	cr_assert_eq(jx_open_with(&c, &x, why, sizeof(why)), 0, "%s", why);
	jx_close(x);
	path_of(path, sizeof(path), "segment-002");
	cr_assert_eq(truncate(path, 4096), 0);
	cr_assert_eq(jx_open_with(&c, &x, why, sizeof(why)), -EUCLEAN);
	cr_assert(strstr(why, "segment-002"), "%s", why);
	unlink(path);
	cr_assert_eq(jx_open_with(&c, &x, why, sizeof(why)), -EUCLEAN);
	cr_assert(strstr(why, "segment-002: is missing"), "%s", why);
	path_of(path, sizeof(path), "ring");
	unlink(path);
	cr_assert_eq(jx_open_with(&c, &x, why, sizeof(why)), -EUCLEAN);
	cr_assert(strstr(why, "ring: is missing"), "%s", why);
	dir_remove();
}

static void count_progress(void *user, uint64_t done, uint64_t total)
{
	uint64_t *last = user;

	cr_assert_gt(done, *last);
	cr_assert_leq(done, total);
	*last = done;
}

Test(jx, an_unfinished_making_begins_again)
{
	uint64_t progress = 0;
	struct jx_config c;
	char path[128];
	struct jx *x;
	int fd;

	dir_make();
	c = config(AIO_AUTO);
	c.progress = count_progress;
	c.user = &progress;
	path_of(path, sizeof(path), "");
	cr_assert_eq(mkdir(path, 0700), 0);
	path_of(path, sizeof(path), "unfinished");
	close(open(path, O_CREAT | O_WRONLY, 0600));
	path_of(path, sizeof(path), "segment-001");
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	cr_assert_eq(write(fd, "x", 1), 1);
	close(fd);
	cr_assert_eq(jx_open_with(&c, &x, why, sizeof(why)), 0, "%s", why);
	cr_assert_eq(progress, 3u * (256 << 10) + 32 * 4096);
	jx_close(x);
	path_of(path, sizeof(path), "unfinished");
	cr_assert_lt(access(path, F_OK), 0);
	dir_remove();
}

Test(jx, geometry_is_read_from_the_files)
{
	struct jr_config g;
	struct jx_config c;
	struct jr_event ev;
	char where[128], again[128];
	struct jx *x;
	struct jr *jr;

	dir_make();
	cr_assert_lt(jx_geometry(dir, &g, where, sizeof(where), why, sizeof(why)), 0);
	c = config(AIO_AUTO);
	cr_assert_eq(jx_open_with(&c, &x, why, sizeof(why)), 0, "%s", why);
	jr = journal_open(x, &c, &ev);
	jr_free(jr);
	jx_close(x);
	cr_assert_eq(jx_geometry(dir, &g, where, sizeof(where), why, sizeof(why)), 0, "%s", why);
	cr_assert_eq(g.segment_bytes, c.journal.segment_bytes);
	cr_assert_eq(g.segments, 3u);
	cr_assert_eq(g.ring_slots, 32u);
	cr_assert_eq(g.in_flight, 3u);
	cr_assert_eq(g.cluster[0], 7);
	cr_assert_eq(jx_geometry(where, &g, again, sizeof(again), why, sizeof(why)), 0, "%s", why);
	path_of(again, sizeof(again), "segment-002");
	cr_assert_eq(unlink(again), 0);
	cr_assert_lt(jx_geometry(where, &g, again, sizeof(again), why, sizeof(why)), 0);
	cr_assert(strstr(why, "segment-002 is missing"), "%s", why);
	dir_remove();
}

static int mdcjournal(const char *arguments, char *out, size_t size)
{
	char command[256];
	FILE *f;
	size_t n;
	int status;

	snprintf(command, sizeof(command), "./mdcjournal %s %s 2>&1", arguments, dir);
	f = popen(command, "r");
	cr_assert_not_null(f);
	n = fread(out, 1, size - 1, f);
	out[n] = '\0';
	status = pclose(f);
	cr_assert(WIFEXITED(status), "%s", out);
	return WEXITSTATUS(status);
}

static void flip(const char *name, off_t offset)
{
	char path[128], c;
	int fd;

	path_of(path, sizeof(path), name);
	fd = open(path, O_RDWR);
	cr_assert_eq(pread(fd, &c, 1, offset), 1);
	c ^= 8;
	cr_assert_eq(pwrite(fd, &c, 1, offset), 1);
	close(fd);
}

Test(mdcjournal, says_what_is_there_and_what_is_wrong)
{
	static char out[1 << 16];
	struct jx_config c;
	struct jr_event ev;
	struct jx *x;
	struct jr *jr;

	if (access("./mdcjournal", X_OK) < 0)
		cr_skip_test("mdcjournal is not built");
	dir_make();
	cr_assert_eq(mdcjournal("verify", out, sizeof(out)), 66, "%s", out);
	c = config(AIO_AUTO);
	cr_assert_eq(jx_open_with(&c, &x, why, sizeof(why)), 0, "%s", why);
	jr = journal_open(x, &c, &ev);
	for (unsigned i = 0; i < 9; i++) {
		cr_assert_eq(append(jr, &c, 3000), 0);
		jx_drive(x, jr);
	}
	cr_assert_eq(mdcjournal("verify", out, sizeof(out)), 0, "%s", out);
	cr_assert(strstr(out, "in use by") && strstr(out, "verdict: clean") &&
			  strstr(out, "LSN 1 to 9"),
		  "%s", out);
	jr_cut(jr, 8);
	wait_for(x, jr, JR_EV_CUT);
	jr_free(jr);
	jx_close(x);
	cr_assert_eq(mdcjournal("verify --json", out, sizeof(out)), 0, "%s", out);
	cr_assert(strstr(out, "\"verdict\":\"clean\"") && strstr(out, "\"tail_lsn\":8"), "%s", out);
	cr_assert_eq(mdcjournal("dump --from 3 --to 4", out, sizeof(out)), 0, "%s", out);
	cr_assert(strstr(out, "batch 3..3 epoch=1") && !strstr(out, "batch 5..5") &&
			  strstr(out, "not a record"),
		  "%s", out);
	cr_assert_eq(mdcjournal("dump --archive", out, sizeof(out)), 0, "%s", out);
	cr_assert(strstr(out, "batch 9..9") && !strstr(out, "batch 8..8"), "%s", out);
	flip("segment-001", 2 * 4096 + 1000);
	cr_assert_eq(mdcjournal("verify", out, sizeof(out)), 2, "%s", out);
	cr_assert(strstr(out, "damage: LSN 3, segment-001 offset 8704:") &&
			  strstr(out, "from the peer"),
		  "%s", out);
	cr_assert_eq(mdcjournal("dump", out, sizeof(out)), 2, "%s", out);
	cr_assert(strstr(out, "batch 3..3 damaged") && strstr(out, "batch 8..8 epoch"), "%s", out);
	cr_assert_eq(mdcjournal("verify --from x", out, sizeof(out)), 64, "%s", out);
	cr_assert_eq(mdcjournal("frobnicate", out, sizeof(out)), 64, "%s", out);
	dir_remove();
}
