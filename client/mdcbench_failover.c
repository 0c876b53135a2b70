/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How long clients wait when the active dies or hands over: sessions with one create in flight each, and a kill or a switchover
 * in the middle.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "client/mdcbench.h"

enum { STEADY_NS = 700000000, AFTER_NS = 1000000000 };

/* One at a time: what the load's tick looks at. */
static struct {
	struct mb_pair pair;
	uint64_t begun_ns, struck_ns;
	bool switchover;
	pid_t child;
} strike;

static void next_create(struct mb_load *load, struct mb_lane *lane, struct mdc_request *rq)
{
	(void)load;
	snprintf(lane->name, sizeof(lane->name), "x%llu", (unsigned long long)lane->n);
	rq->op = MDC_MKNOD;
	rq->name = lane->name;
	rq->mode = 0100644;
}

static void next_unlink(struct mb_load *load, struct mb_lane *lane, struct mdc_request *rq)
{
	next_create(load, lane, rq);
	rq->op = MDC_UNLINK;
}

static void tick(struct mb_load *load)
{
	uint64_t now = mb_now_ns();

	if (!strike.struck_ns && now - strike.begun_ns > STEADY_NS) {
		strike.struck_ns = now;
		load->longest_ns = 0; /* what came before is not of the failover */
		for (uint32_t i = 0; i < load->lane_count; i++)
			load->lanes[i].longest_ns = 0;
		if (strike.switchover)
			strike.child = mb_spawn("mdcctl", "-C", mb_options.pair, "switchover");
		else if (kill(strike.pair.pid[strike.pair.active - 1], SIGKILL) < 0)
			mb_die("kill: %s", strerror(errno));
	}
	/* The load has gone on for a while behind the gap. */
	if (strike.struck_ns && load->longest_ns && now - strike.struck_ns > 2ull * AFTER_NS &&
	    now - load->last_ns < AFTER_NS / 4)
		load->stop = true;
}

static double one_run(struct mb_clients *c, uint64_t dir, double *ret_any_ms)
{
	struct mb_load load = {.label = "failover",
			       .next = next_create,
			       .tick = tick,
			       .ino = dir,
			       .limit = UINT64_MAX};
	struct mb_load clean = {
		.label = "clean up", .next = next_unlink, .ino = dir, .cleanup = true};
	uint64_t longest = 0;

	mb_pair_wait_insync(&strike.pair);
	strike.struck_ns = 0;
	strike.child = 0;
	strike.begun_ns = mb_now_ns();
	load.seconds = 0;
	mb_load_run(&load, c, 1);
	for (uint32_t i = 0; i < load.lane_count; i++)
		if (load.lanes[i].longest_ns > longest)
			longest = load.lanes[i].longest_ns;
	if (strike.child) {
		int status;

		waitpid(strike.child, &status, 0);
		if (status && !mb_stopped())
			mb_die("mdcctl -C %s switchover failed", mb_options.pair);
	}
	free(load.lanes);
	*ret_any_ms = (double)load.longest_ns / 1e6;
	clean.limit = load.finished;
	mb_load_run(&clean, c, 4);
	free(clean.lanes);
	return (double)longest / 1e6;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void report_gaps(struct mb_report *report, const struct mb_clients *c, const char *name,
			double *gap, double *any, json_t *all)
{
	qsort(gap, mb_options.runs, sizeof(double), compare);
	qsort(any, mb_options.runs, sizeof(double), compare);
	mb_print("%-10s median %.1f ms, longest %.1f ms (%u clients, %llu inodes)\n", name,
		 gap[mb_options.runs / 2], gap[mb_options.runs - 1], c->count,
		 (unsigned long long)mb_options.inodes);
	json_array_append_new(
		report->results,
		json_pack("{s:s, s:i, s:I, s:f, s:f, s:f, s:O}", "operation", name, "sessions",
			  (int)c->count, "inodes", (json_int_t)mb_options.inodes, "median_ms",
			  gap[mb_options.runs / 2], "max_ms", gap[mb_options.runs - 1],
			  "median_any_ms", any[mb_options.runs / 2], "gaps_ms", all));
}

static void run_kind(struct mb_report *report, struct mb_clients *c, uint64_t dir, bool switchover)
{
	double *gap = calloc(mb_options.runs, sizeof(double));
	double *any = calloc(mb_options.runs, sizeof(double));
	const char *name = switchover ? "switchover" : "kill";
	json_t *all = json_array();

	strike.switchover = switchover;
	for (uint32_t i = 0; i < mb_options.runs && !mb_stopped(); i++) {
		gap[i] = one_run(c, dir, &any[i]);
		if (mb_stopped())
			break;
		json_array_append_new(all, json_real(gap[i]));
		mb_print(
			"%-10s run %u: longest gap of a client %.1f ms, without any answer %.1f ms\n",
			name, i + 1, gap[i], any[i]);
	}
	if (!mb_stopped())
		report_gaps(report, c, name, gap, any, all);
	json_decref(all);
	free(gap);
	free(any);
}

void mb_run_failover(struct mb_report *report)
{
	bool both = !mb_options.kill && !mb_options.switchover;
	struct mb_clients c;
	char name[256];
	uint64_t dir, made;

	mb_clients_open(&c, 16, 8, false);
	dir = mb_directory(c.mdc[0], c.root, name, sizeof(name));
	made = mb_make_files(&c, dir, 0, mb_options.inodes, NULL, "prepare");
	if (both || mb_options.kill)
		run_kind(report, &c, dir, false);
	if (both || mb_options.switchover)
		run_kind(report, &c, dir, true);
	mb_remove_files(&c, dir, 0, made);
	mdc_rmdir(c.mdc[0], NULL, c.root, name);
	mb_clients_close(&c);
}
