/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Progress on a terminal, a table for people, one JSON object for programs. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/mdcbench.h"

enum { BAR = 30 };

static bool progress_shown;

void mb_progress(const char *label, double share, double per_s)
{
	int full;

	if (mb_options.quiet || !isatty(STDERR_FILENO))
		return;
	if (share > 1)
		share = 1;
	full = (int)(share * BAR);
	fprintf(stderr, "\r%-10s [%.*s%*s] %3.0f %%  %.0f/s \033[K", label, full,
		"##############################", BAR - full, "", share * 100, per_s);
	progress_shown = true;
}

void mb_progress_end(void)
{
	if (progress_shown)
		fputs("\r\033[K", stderr);
	progress_shown = false;
}

void mb_print(const char *format, ...)
{
	va_list args;

	if (mb_options.json)
		return;
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	fflush(stdout);
}

static double per_op(double total, const struct mb_load *load)
{
	return load->finished ? total / (double)load->finished : 0;
}

/* Without -C only what this program used is known. */
static json_t *costs_json(const struct mb_load *load)
{
	json_t *o = json_object(), *disks = json_array(), *rss = json_array();
	double cpu = load->used.own_us;

	json_object_set_new(o, "own_cpu_us_per_op", json_real(per_op(cpu, load)));
	for (int i = 0; i < 2; i++) {
		const struct mb_process *used = &load->used.node[i];

		cpu += used->cpu_us;
		json_array_append_new(disks, json_real(per_op((double)used->write_bytes, load)));
		json_array_append_new(rss, json_integer((json_int_t)load->after.node[i].rss_anon));
	}
	if (mb_options.pair) {
		json_object_set(o, "disk_bytes_per_op", disks);
		json_object_set(o, "rss_anon_bytes", rss);
		json_object_set_new(o, "cpu_us_per_op", json_real(per_op(cpu, load)));
	}
	json_decref(disks);
	json_decref(rss);
	return o;
}

/* One figure of a column, or a dash where there is none. */
static void print_figure(const char *format, const json_t *value)
{
	if (value)
		mb_print(format, json_number_value(value));
	else
		mb_print(" %7s", "-");
}

static void print_heading(void)
{
	mb_print("%-9s %8s %8s %9s %9s %9s %9s %9s %7s %7s %7s %7s %7s\n", "OPERATION", "SESSIONS",
		 "INFLIGHT", "OPS", "OPS/S", "P50 us", "P99 us", "MAX us", "F us", "P50/F",
		 "CPU us", "DISK1 B", "DISK2 B");
}

void mb_report_load(struct mb_report *report, const struct mb_load *load, uint32_t sessions,
		    uint32_t lanes)
{
	double rate = (double)load->finished / load->elapsed_s, p50 = mb_hist_us(&load->hist, 0.5);
	double p99 = mb_hist_us(&load->hist, 0.99), max = (double)load->hist.max_ns / 1000;
	json_t *o = json_pack("{s:s, s:i, s:i, s:I, s:f, s:f, s:f, s:f, s:f}", "operation",
			      load->label, "sessions", (int)sessions, "inflight", (int)lanes, "ops",
			      (json_int_t)load->finished, "seconds", load->elapsed_s, "ops_per_s",
			      rate, "p50_us", p50, "p99_us", p99, "max_us", max);
	json_t *costs = costs_json(load), *disks = json_object_get(costs, "disk_bytes_per_op");

	if (load->entries)
		json_object_set_new(o, "entries_per_s",
				    json_real((double)load->entries / load->elapsed_s));
	if (report->f_count) {
		double f = report->f_sum_us / report->f_count;

		json_object_set_new(o, "f_us", json_real(f));
		json_object_set_new(o, "p50_per_f", json_real(p50 / f));
	}
	if (json_array_size(report->results) == 0)
		print_heading();
	mb_print("%-9s %8u %8u %9llu %9.0f %9.0f %9.0f %9.0f", load->label, sessions, lanes,
		 (unsigned long long)load->finished, rate, p50, p99, max);
	print_figure(" %7.0f", json_object_get(o, "f_us"));
	print_figure(" %7.2f", json_object_get(o, "p50_per_f"));
	print_figure(" %7.1f", json_object_get(costs, "cpu_us_per_op"));
	print_figure(" %7.0f", json_array_get(disks, 0));
	print_figure(" %7.0f", json_array_get(disks, 1));
	mb_print("\n");
	if (load->entries)
		mb_print("          %.0f entries/s\n", (double)load->entries / load->elapsed_s);
	json_object_update(o, costs);
	json_decref(costs);
	json_array_append_new(report->results, o);
}

static void print_floor(const char *when, const struct mb_floor *f)
{
	mb_print("floor of this machine %s: TCP round trip %.0f us", when, f->rtt_us);
	if (f->with_disk)
		mb_print(
			", 4 KiB O_DSYNC write %.0f and %.0f us (p99 %.0f and %.0f), both at once; F = %.0f us",
			f->dsync_us[0], f->dsync_us[1], f->dsync_p99_us[0], f->dsync_p99_us[1],
			f->f_us);
	mb_print("\n");
}

static bool is_floor(const json_t *result)
{
	return strcmp(json_string_value(json_object_get(result, "operation")), "floor") == 0;
}

static double rate_of(const json_t *result)
{
	return result ? json_number_value(json_object_get(result, "ops_per_s")) : 0;
}

/* The next run of `floor` from that result on, in the direction of step; NULL: none. */
static const json_t *floor_from(const json_t *results, size_t i, int step)
{
	for (; i < json_array_size(results); i += (size_t)step)
		if (is_floor(json_array_get(results, i)))
			return json_array_get(results, i);
	return NULL;
}

/* What is durable is compared with what the same messages and writes take without a namespace. */
static void print_shares(const json_t *results)
{
	for (size_t i = 0; i < json_array_size(results); i++) {
		json_t *o = json_array_get(results, i);
		const char *name = json_string_value(json_object_get(o, "operation"));
		double before = rate_of(floor_from(results, i, -1));
		double behind = rate_of(floor_from(results, i, 1));
		double floor = before && behind ? (before + behind) / 2 : before + behind;

		if (floor == 0 ||
		    (strcmp(name, "create") && strcmp(name, "rename") && strcmp(name, "unlink")))
			continue;
		json_object_set_new(o, "of_floor", json_real(rate_of(o) / floor));
		mb_print("%s: %.2f of `floor`, which was %.0f/s\n", name, rate_of(o) / floor,
			 floor);
	}
}

void mb_report_end(struct mb_report *report)
{
	struct mb_usage usage;
	json_t *o;

	print_shares(report->results);
	print_floor("before", &report->floor);
	print_floor("after", &report->floor_end);
	o = json_pack("{s:o, s:o, s:o}", "floor", mb_floor_json(&report->floor), "floor_after",
		      mb_floor_json(&report->floor_end), "results", report->results);
	if (mb_options.pair) {
		mb_usage_get(&usage);
		mb_print("memory of the controllers (RssAnon): %.1f and %.1f MiB\n",
			 (double)usage.node[0].rss_anon / 1048576,
			 (double)usage.node[1].rss_anon / 1048576);
		json_object_set_new(o, "rss_anon_bytes",
				    json_pack("[I,I]", (json_int_t)usage.node[0].rss_anon,
					      (json_int_t)usage.node[1].rss_anon));
	}
	if (mb_options.json) {
		json_dumpf(o, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
		putchar('\n');
	}
	json_decref(o);
}
