/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the parts of mdcbench share: options, a histogram of latencies, the load (many sessions driven by one thread), the machine's
 * floor, the processes of a pair, and the report. It speaks to controllers only through libmdcpair, and to an embedded pair's
 * processes through mdcctl and /proc.
 */
#pragma once

#include <jansson.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "client/mdcpair.h"

struct mb_options {
	const char *spec;   /* ADDRESS1,ADDRESS2:/VOLUME */
	const char *pair;   /* directory of an embedded pair, or NULL */
	const char *volume; /* of the pair */
	const char *disk;   /* where O_DSYNC is measured, or NULL: in the pair's directory */
	const char *dir;    /* where files are made, made if missing */
	uint32_t sessions, inflight, runs;
	uint64_t ops, files, inodes, mib;
	double seconds;
	bool json, switchover, kill, quiet;
	char spec_text[256], luns[PATH_MAX + 16];
};

extern struct mb_options mb_options;

/* Prints "mdcbench: ..." and ends the program with status 1. */
void mb_die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
/* The same with mdc_error() behind it. */
void mb_die_mdc(const char *what) __attribute__((noreturn));
uint64_t mb_now_ns(void);
uint64_t mb_random(void);

/* ---- being told to stop ---- */

void mb_stop_catch(void);
void mb_stop_ignore(void);  /* in a child that ends with its parent */
bool mb_stopped(void);	    /* no new work; what was made is to be removed */
void mb_stop_goes_on(void); /* the volume answers */
void mb_stop_end(void);	    /* ends the program by the signal, if there was one */

/* ---- histogram: exact below 256 ns, within 0.4 % above ---- */

enum { MB_BUCKETS = 40 * 128 };

struct mb_hist {
	uint64_t count, max_ns;
	uint32_t bucket[MB_BUCKETS];
};

void mb_hist_add(struct mb_hist *, uint64_t ns);
/* In microseconds; share in 0..1. 0 when nothing was added. */
double mb_hist_us(const struct mb_hist *, double share);

/* ---- the pair's processes (-C DIR) ---- */

struct mb_process {
	pid_t pid;
	double cpu_us;
	uint64_t write_bytes, rss_anon;
};

struct mb_pair {
	int active; /* number of the active node, 0: none */
	uint64_t epoch;
	bool insync; /* the active has a standby that holds everything */
	pid_t pid[2];
	char address[2][64];
};

struct mb_usage {
	struct mb_process node[2];
	double own_us;
};

/* false: nobody answers. */
bool mb_pair_status(struct mb_pair *ret);
/* Waits for an active with a standby in sync, or a signal; dies after a minute. */
void mb_pair_wait_insync(struct mb_pair *ret);
/* mdcctl or mdcpair, found beside this program or in PATH. Returns its PID; output is thrown away. */
pid_t mb_spawn(const char *program, const char *a, const char *b, const char *c);
/* Zero without -C. */
void mb_usage_get(struct mb_usage *ret);
/* What was used in between, of processes that are still the same. */
void mb_usage_add(struct mb_usage *sum, const struct mb_usage *before,
		  const struct mb_usage *after);

/* ---- the floor ---- */

struct mb_floor {
	double rtt_us, dsync_us[2], f_us; /* medians; the two disks at the same time */
	double dsync_p99_us[2];
	bool with_disk;
};

/* About half a second. Files of the pair's directories or of --disk, taken away again. */
void mb_floor_measure(struct mb_floor *ret);
json_t *mb_floor_json(const struct mb_floor *);

/* ---- load ---- */

struct mb_clients {
	struct mdc_loop *loop;
	uint32_t count;
	struct mdc **mdc;
	uint64_t root;
};

struct mb_load;

/* One request in flight. */
struct mb_lane {
	struct mb_load *load;
	struct mdc *mdc;
	uint64_t start_ns, last_ns, longest_ns, n, cookie;
	uint32_t index;
	char name[64], new_name[64];
};

struct mb_load {
	const char *label;
	/* Fills the request of lane->n; NULL entries are what a noop needs. */
	void (*next)(struct mb_load *, struct mb_lane *, struct mdc_request *);
	void (*got)(struct mb_load *, struct mb_lane *, struct mdc_reply *); /* may be NULL */
	void (*tick)(struct mb_load *);					     /* may be NULL */
	uint64_t ino;							     /* the directory */
	uint64_t first, limit; /* numbers of the operations */
	uint64_t pause;	       /* 0, or how many of them a run ends at before its limit */
	double seconds;	       /* of a run; 0: until limit */
	bool cleanup;	       /* not stopped by a signal */
	uint64_t *inos;	       /* of the files by number */
	uint64_t files;

	uint64_t started, finished, failed, entries;
	int error;
	char error_text[128];
	bool stop;
	double elapsed_s;
	uint64_t last_ns, longest_ns; /* between answers to anybody */
	struct mb_hist hist;
	struct mb_usage used, after; /* in all runs; when the last one had ended */
	uint32_t lane_count;
	struct mb_lane *lanes;
};

void mb_clients_open(struct mb_clients *, uint32_t count, uint32_t slots, bool data);
void mb_clients_close(struct mb_clients *);
/* Runs it with lanes requests in flight on each session. Dies when an operation fails. After a signal it starts nothing more and
 * ends when all is answered. Again with the same clients and lanes it goes on: what is measured adds up. The caller frees load->lanes. */
void mb_load_run(struct mb_load *, struct mb_clients *, uint32_t lanes);

/* ---- what is run ---- */

enum { MB_TURNS = 5 };

struct mb_report {
	struct mb_floor floor, floor_end; /* of the whole run: at its start and its end */
	double f_sum_us;  /* of what was run last: before it, in its pauses, behind it */
	uint32_t f_count; /* 0: without a disk */
	json_t *results;
};

bool mb_is_namespace(const char *name);
/* Runs it in MB_TURNS turns, with the floor measured before, between and behind them, or as one. */
void mb_run_beside_floor(struct mb_report *, struct mb_load *, struct mb_clients *, uint32_t lanes);
void mb_run_namespace(struct mb_report *, const char *const *names, size_t count);
void mb_run_million(struct mb_report *);
void mb_run_failover(struct mb_report *);
void mb_run_cold(struct mb_report *);
void mb_run_data(struct mb_report *, const char *const *names, size_t count);

void mb_directory_name(char *ret_name, size_t size);
/* The directory of --dir under the root, made if missing. */
uint64_t mb_directory(struct mdc *, uint64_t root, char *ret_name, size_t size);
/* A new file "f" and the number, as mb_make_files makes them. */
void mb_next_create(struct mb_load *, struct mb_lane *, struct mdc_request *);
/* Returns how many were made: all, unless there was a signal. */
uint64_t mb_make_files(struct mb_clients *, uint64_t dir, uint64_t first, uint64_t count,
		       uint64_t *inos, const char *label);
void mb_remove_files(struct mb_clients *, uint64_t dir, uint64_t first, uint64_t count);

/* ---- the report ---- */

void mb_progress(const char *label, double share, double per_s);
void mb_progress_end(void);
void mb_print(const char *format, ...) __attribute__((format(printf, 1, 2))); /* not with --json */
void mb_report_load(struct mb_report *, const struct mb_load *, uint32_t sessions, uint32_t lanes);
void mb_report_end(struct mb_report *);
