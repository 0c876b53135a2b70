/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a create costs in a small and in a large directory: one client, medians of 10,000 at the thousandth and at the millionth. */
#include <stdio.h>
#include <stdlib.h>

#include "client/mdcbench.h"

enum { SMALL = 1000, LARGE = 1000000, WINDOW = 10000 };

static double window(struct mb_report *report, struct mb_clients *all, uint64_t dir, uint64_t first,
		     uint64_t *made)
{
	struct mb_load load = {.label = first == SMALL ? "create1k" : "create1M",
			       .next = mb_next_create,
			       .ino = dir,
			       .first = first,
			       .limit = WINDOW};
	struct mb_clients one = {.loop = all->loop, .count = 1, .mdc = all->mdc, .root = all->root};

	mb_floor_measure(&report->floor_before);
	mb_load_run(&load, &one, 1);
	mb_floor_measure(&report->floor_after);
	if (!mb_stopped())
		mb_report_load(report, &load, 1, 1);
	free(load.lanes);
	*made += load.finished;
	return mb_hist_us(&load.hist, 0.5);
}

static void report_both(struct mb_report *report, double small, double large)
{
	mb_print("million: %.0f us at the thousandth, %.0f us at the millionth, ratio %.2f\n",
		 small, large, large / small);
	json_array_append_new(report->results,
			      json_pack("{s:s, s:f, s:f, s:f}", "operation", "million",
					"thousandth_us", small, "millionth_us", large, "ratio",
					large / small));
}

void mb_run_million(struct mb_report *report)
{
	struct mb_clients c;
	double small, large;
	char name[256];
	uint64_t dir, made;

	mb_clients_open(&c, 8, 64, false);
	dir = mb_directory(c.mdc[0], c.root, name, sizeof(name));
	made = mb_make_files(&c, dir, 0, SMALL, NULL, "prepare");
	small = window(report, &c, dir, SMALL, &made);
	made += mb_make_files(&c, dir, SMALL + WINDOW, LARGE - SMALL - WINDOW, NULL,
			      "to a million");
	large = window(report, &c, dir, LARGE, &made);
	if (!mb_stopped())
		report_both(report, small, large);
	mb_remove_files(&c, dir, 0, made);
	mdc_rmdir(c.mdc[0], NULL, c.root, name);
	mb_clients_close(&c);
}
