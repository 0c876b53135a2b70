/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a create costs in a small and in a large directory: one client, medians of 10,000 behind a thousand files and behind a
 * million, a block here, a block there, so that both meet the same disk.
 */
#include <stdio.h>
#include <stdlib.h>

#include "client/mdcbench.h"

enum { SMALL = 1000, LARGE = 1000000, WINDOW = 10000, BLOCK = 500 };

static struct directory {
	uint64_t ino, made;
	struct mb_hist hist; /* a load's own has both */
} directories[2];

/* lane->cookie remembers which directory it is. */
static void next_block(struct mb_load *load, struct mb_lane *lane, struct mdc_request *rq)
{
	struct directory *d = &directories[lane->cookie = lane->n / BLOCK % 2];

	rq->ino = d->ino;
	lane->n = d->made++;
	mb_next_create(load, lane, rq);
}

static void got_block(struct mb_load *load, struct mb_lane *lane, struct mdc_reply *reply)
{
	(void)load;
	(void)reply;
	mb_hist_add(&directories[lane->cookie].hist, mb_now_ns() - lane->start_ns);
}

static void run(struct mb_report *report, const struct mb_clients *all)
{
	struct mb_load load = {
		.label = "create", .next = next_block, .got = got_block, .limit = 2ull * WINDOW};
	struct mb_clients one = {.loop = all->loop, .count = 1, .mdc = all->mdc, .root = all->root};

	mb_run_beside_floor(report, &load, &one, 1);
	if (!mb_stopped())
		mb_report_load(report, &load, 1, 1);
	free(load.lanes);
}

static void report_both(struct mb_report *report)
{
	double small = mb_hist_us(&directories[0].hist, 0.5);
	double large = mb_hist_us(&directories[1].hist, 0.5);

	mb_print("million: %.0f us at the thousandth, %.0f us at the millionth, ratio %.2f\n",
		 small, large, large / small);
	json_array_append_new(report->results,
			      json_pack("{s:s, s:f, s:f, s:f}", "operation", "million",
					"thousandth_us", small, "millionth_us", large, "ratio",
					large / small));
}

void mb_run_million(struct mb_report *report)
{
	struct directory *small = &directories[0], *large = &directories[1];
	struct mdc_attr attr;
	struct mb_clients c;
	char name[256];

	mb_clients_open(&c, 8, 64, false);
	large->ino = mb_directory(c.mdc[0], c.root, name, sizeof(name));
	if (mdc_mkdir(c.mdc[0], NULL, large->ino, "small", 0755, &attr) < 0)
		mb_die_mdc("small");
	small->ino = attr.ino;
	small->made = mb_make_files(&c, small->ino, 0, SMALL, NULL, "prepare");
	large->made = mb_make_files(&c, large->ino, 0, LARGE, NULL, "to a million");
	run(report, &c);
	if (!mb_stopped())
		report_both(report);
	mb_remove_files(&c, small->ino, 0, small->made);
	mdc_rmdir(c.mdc[0], NULL, large->ino, "small");
	mb_remove_files(&c, large->ino, 0, large->made);
	mdc_rmdir(c.mdc[0], NULL, c.root, name);
	mb_clients_close(&c);
}
