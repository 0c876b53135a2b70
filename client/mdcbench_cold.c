/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What reads of a store that is in no memory do to creates: their p99 alone, and beside random stats of other sessions, in turns. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/mdcbench.h"

enum { SESSIONS = 8, LANES = 8, SECONDS = 5 };

static struct {
	struct mb_hist creates, stats; /* a load's own histogram has both */
	uint64_t created;
} mix;

/* Of 16 sessions the first half creates. */
static bool creates(const struct mb_lane *lane)
{
	return lane->index % (2 * SESSIONS) < SESSIONS;
}

static void next_mix(struct mb_load *load, struct mb_lane *lane, struct mdc_request *rq)
{
	if (creates(lane)) {
		lane->n = load->files + mix.created++;
		mb_next_create(load, lane, rq);
	} else {
		rq->op = MDC_GETATTR;
		rq->ino = load->inos[mb_random() % load->files];
	}
}

static void next_alone(struct mb_load *load, struct mb_lane *lane, struct mdc_request *rq)
{
	lane->n = load->files + mix.created++;
	mb_next_create(load, lane, rq);
}

static void got_mix(struct mb_load *load, struct mb_lane *lane, struct mdc_reply *reply)
{
	(void)load;
	(void)reply;
	mb_hist_add(creates(lane) ? &mix.creates : &mix.stats, mb_now_ns() - lane->start_ns);
}

/* Kills the standby, drops its store's pages while it is dead, and waits until it holds everything again. */
static void chill_standby(void)
{
	char path[PATH_MAX];
	struct mb_pair pair;
	int node, fd;

	mb_pair_wait_insync(&pair);
	if (mb_stopped())
		return;
	node = 3 - pair.active;
	snprintf(path, sizeof(path), "%s/node%d/store/data.mdb", mb_options.pair, node);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		mb_die("%s: %s", path, strerror(errno));
	fdatasync(fd);
	if (kill(pair.pid[node - 1], SIGKILL) < 0)
		mb_die("kill: %s", strerror(errno));
	/* A page that the dying process still maps stays. */
	for (int i = 0; i < 20; i++) {
		posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
		usleep(5000);
	}
	close(fd);
	mb_pair_wait_insync(&pair);
}

static void hand_over(void)
{
	int status;

	if (mb_stopped())
		return;
	waitpid(mb_spawn("mdcctl", "-C", mb_options.pair, "switchover"), &status, 0);
	if (status && !mb_stopped())
		mb_die("mdcctl -C %s switchover failed", mb_options.pair);
}

static void run(struct mb_load *load, struct mb_clients *c, double seconds)
{
	load->limit = UINT64_MAX;
	load->seconds = seconds;
	load->files = mb_options.inodes;
	mb_load_run(load, c, LANES);
}

static void print_kind(const char *what, const struct mb_hist *hist, double elapsed_s)
{
	mb_print("%-22s %9.0f/s  p50 %6.0f us  p99 %6.0f us\n", what,
		 (double)hist->count / elapsed_s, mb_hist_us(hist, 0.5), mb_hist_us(hist, 0.99));
}

static void report_both(struct mb_report *report, const struct mb_load *alone,
			const struct mb_load *beside)
{
	double before = mb_hist_us(&alone->hist, 0.99), after = mb_hist_us(&mix.creates, 0.99);

	print_kind("creates alone", &alone->hist, alone->elapsed_s);
	print_kind("creates beside stats", &mix.creates, beside->elapsed_s);
	print_kind("stats of a cold store", &mix.stats, beside->elapsed_s);
	mb_print("cold: p99 of creates %.0f us alone, %.0f us beside stats, ratio %.2f\n", before,
		 after, after / before);
	json_array_append_new(report->results,
			      json_pack("{s:s, s:f, s:f, s:f, s:f}", "operation", "cold",
					"alone_p99_us", before, "beside_p99_us", after,
					"stat_p99_us", mb_hist_us(&mix.stats, 0.99), "ratio",
					after / before));
}

void mb_run_cold(struct mb_report *report)
{
	uint64_t *inos = calloc(mb_options.inodes, sizeof(*inos));
	struct mb_load alone = {.label = "create", .next = next_alone};
	struct mb_load beside = {.label = "cold", .next = next_mix, .got = got_mix, .inos = inos};
	struct mb_clients all, half;
	char name[256];
	double seconds = mb_options.seconds > 0 ? mb_options.seconds : SECONDS;
	uint64_t made;

	if (!inos)
		mb_die("out of memory");
	mb_clients_open(&all, 2 * SESSIONS, LANES, false);
	half = all;
	half.count = SESSIONS;
	alone.ino = beside.ino = mb_directory(all.mdc[0], all.root, name, sizeof(name));
	made = mb_make_files(&all, alone.ino, 0, mb_options.inodes, inos, "prepare");
	chill_standby();
	hand_over();
	chill_standby();
	for (int i = 0; i < MB_TURNS; i++) {
		run(&alone, &half, seconds / MB_TURNS);
		run(&beside, &all, seconds / MB_TURNS);
	}
	if (!mb_stopped())
		report_both(report, &alone, &beside);
	mb_remove_files(&all, alone.ino, 0, made + mix.created);
	mdc_rmdir(all.mdc[0], NULL, all.root, name);
	mb_clients_close(&all);
	free(alone.lanes);
	free(beside.lanes);
	free(inos);
}
