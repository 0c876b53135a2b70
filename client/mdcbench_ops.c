/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Namespace operations as loads, on files f0, f1, ... of one directory. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/mdcbench.h"

enum { LISTING_BYTES = 65536, FILE_MODE = S_IFREG | 0644 };

void mb_next_create(struct mb_load *load, struct mb_lane *lane, struct mdc_request *rq)
{
	(void)load;
	snprintf(lane->name, sizeof(lane->name), "f%llu", (unsigned long long)lane->n);
	rq->op = MDC_MKNOD;
	rq->name = lane->name;
	rq->mode = FILE_MODE;
}

static void got_create(struct mb_load *load, struct mb_lane *lane, struct mdc_reply *reply)
{
	if (load->inos)
		load->inos[lane->n] = reply->attr.ino;
}

static void next_stat(struct mb_load *load, struct mb_lane *lane, struct mdc_request *rq)
{
	(void)lane;
	rq->op = MDC_GETATTR;
	rq->ino = load->inos[mb_random() % load->files];
}

static void next_lookup(struct mb_load *load, struct mb_lane *lane, struct mdc_request *rq)
{
	snprintf(lane->name, sizeof(lane->name), "f%llu",
		 (unsigned long long)(mb_random() % load->files));
	rq->op = MDC_LOOKUP;
	rq->name = lane->name;
}

/* A lane lists the directory from its start to its end, and again. */
static void next_readdir(struct mb_load *load, struct mb_lane *lane, struct mdc_request *rq)
{
	(void)load;
	rq->op = MDC_READDIR;
	rq->cookie = lane->cookie;
	rq->bytes = LISTING_BYTES;
}

static void got_readdir(struct mb_load *load, struct mb_lane *lane, struct mdc_reply *reply)
{
	struct mdc_dirent entry;

	while (mdc_next_entry(reply, &entry)) {
		lane->cookie = entry.cookie;
		load->entries++;
	}
	if (reply->eof)
		lane->cookie = 0;
}

static void next_rename(struct mb_load *load, struct mb_lane *lane, struct mdc_request *rq)
{
	bool back = lane->n >= load->files;
	unsigned long long n = lane->n % load->files;

	snprintf(lane->name, sizeof(lane->name), back ? "r%llu" : "f%llu", n);
	snprintf(lane->new_name, sizeof(lane->new_name), back ? "f%llu" : "r%llu", n);
	rq->op = MDC_RENAME;
	rq->name = lane->name;
	rq->new_parent = rq->ino;
	rq->new_name = lane->new_name;
}

static void next_unlink(struct mb_load *load, struct mb_lane *lane, struct mdc_request *rq)
{
	(void)load;
	snprintf(lane->name, sizeof(lane->name), "f%llu", (unsigned long long)lane->n);
	rq->op = MDC_UNLINK;
	rq->name = lane->name;
}

static void next_unlink_renamed(struct mb_load *load, struct mb_lane *lane, struct mdc_request *rq)
{
	next_unlink(load, lane, rq);
	lane->name[0] = 'r';
}

/* Of ten: five stats, two lookups, a create, a rename and an unlink of what this lane created. */
static void next_mixed(struct mb_load *load, struct mb_lane *lane, struct mdc_request *rq)
{
	unsigned turn = (unsigned)(lane->cookie % 10);
	unsigned long long round = lane->cookie++ / 10;

	snprintf(lane->name, sizeof(lane->name), turn == 8 ? "n%u-%llu" : "m%u-%llu", lane->index,
		 round);
	rq->name = lane->name;
	if (turn == 2) {
		rq->op = MDC_MKNOD;
		rq->mode = FILE_MODE;
	} else if (turn == 5) {
		snprintf(lane->new_name, sizeof(lane->new_name), "n%u-%llu", lane->index, round);
		rq->op = MDC_RENAME;
		rq->new_parent = rq->ino;
		rq->new_name = lane->new_name;
	} else if (turn == 8) {
		rq->op = MDC_UNLINK;
	} else if (turn == 3 || turn == 7) {
		next_lookup(load, lane, rq);
	} else {
		next_stat(load, lane, rq);
	}
}

/* An operation stopped in the middle of its ten leaves a file. */
static void clean_mixed(struct mb_load *load)
{
	for (uint32_t i = 0; i < load->lane_count; i++) {
		struct mb_lane *lane = &load->lanes[i];
		unsigned turn = (unsigned)(lane->cookie % 10);

		if (turn <= 2 || turn == 9)
			continue;
		snprintf(lane->name, sizeof(lane->name), turn >= 6 ? "n%u-%llu" : "m%u-%llu", i,
			 (unsigned long long)lane->cookie / 10);
		mdc_unlink(lane->mdc, NULL, load->ino, lane->name);
	}
}

struct kind {
	const char *name;
	void (*next)(struct mb_load *, struct mb_lane *, struct mdc_request *);
	void (*got)(struct mb_load *, struct mb_lane *, struct mdc_reply *);
	bool makes; /* files, which are removed afterwards */
	bool needs; /* files */
};

static const struct kind kinds[] = {
	{"floor", NULL, NULL, false, false},
	{"create", mb_next_create, NULL, true, false},
	{"stat", next_stat, NULL, false, true},
	{"lookup", next_lookup, NULL, false, true},
	{"readdir", next_readdir, got_readdir, false, true},
	{"rename", next_rename, NULL, false, true},
	{"unlink", next_unlink, NULL, false, true},
	{"mixed", next_mixed, NULL, false, true},
};

static const struct kind *kind_of(const char *name)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(kinds[i].name, name) == 0)
			return &kinds[i];
	return NULL;
}

bool mb_is_namespace(const char *name)
{
	return kind_of(name) != NULL;
}

void mb_directory_name(char *ret_name, size_t size)
{
	if (mb_options.dir)
		snprintf(ret_name, size, "%s", mb_options.dir);
	else
		snprintf(ret_name, size, "mdcbench.%d", (int)getpid());
}

uint64_t mb_directory(struct mdc *mdc, uint64_t root, char *ret_name, size_t size)
{
	struct mdc_attr attr;
	int r;

	mb_directory_name(ret_name, size);
	r = mdc_mkdir(mdc, NULL, root, ret_name, 0755, &attr);
	if (r == -EEXIST)
		r = mdc_lookup(mdc, NULL, root, ret_name, &attr);
	if (r < 0)
		mb_die_mdc(ret_name);
	return attr.ino;
}

static void run_range(struct mb_clients *c, struct mb_load *load, uint32_t in_flight)
{
	uint32_t lanes = in_flight / c->count ? in_flight / c->count : 1;

	mb_load_run(load, c, lanes);
	free(load->lanes);
}

uint64_t mb_make_files(struct mb_clients *c, uint64_t dir, uint64_t first, uint64_t count,
		       uint64_t *inos, const char *label)
{
	struct mb_load load = {.label = label,
			       .next = mb_next_create,
			       .got = got_create,
			       .ino = dir,
			       .first = first,
			       .limit = count,
			       .inos = inos};

	if (count)
		run_range(c, &load, 64);
	return load.finished;
}

static void remove_range(struct mb_clients *c, uint64_t dir,
			 void (*next)(struct mb_load *, struct mb_lane *, struct mdc_request *),
			 uint64_t first, uint64_t count)
{
	struct mb_load load = {.label = "clean up",
			       .next = next,
			       .ino = dir,
			       .first = first,
			       .limit = count,
			       .cleanup = true};

	if (count)
		run_range(c, &load, 64);
}

void mb_remove_files(struct mb_clients *c, uint64_t dir, uint64_t first, uint64_t count)
{
	remove_range(c, dir, next_unlink, first, count);
}

struct state {
	struct mb_clients clients;
	uint64_t dir, made, files;
	uint64_t *inos;
};

/* After so many renames, there and then back, the files from first on have new names; none when all is done. */
static void remove_renamed(struct state *s, uint64_t renames)
{
	bool back = renames > s->files;
	uint64_t first = back ? renames - s->files : 0, end = back ? s->files : renames;

	if (first == end)
		return;
	mb_remove_files(&s->clients, s->dir, 0, first);
	remove_range(&s->clients, s->dir, next_unlink_renamed, first, end - first);
	mb_remove_files(&s->clients, s->dir, end, s->files - end);
	s->made = 0;
}

/* What uses up its files ends with them. */
static void set_limit(struct mb_load *load, const struct kind *kind)
{
	load->limit = mb_options.ops;
	if (kind->next == next_rename) {
		load->limit = load->files * 2;
	} else if (kind->next == next_unlink) {
		load->limit = load->files;
	} else if (mb_options.seconds > 0) {
		load->limit = UINT64_MAX;
		load->seconds = mb_options.seconds;
	} else if (kind->next == next_readdir) {
		load->limit = (mb_options.ops + 99) / 100;
	}
}

static void take_floor(struct mb_report *report)
{
	struct mb_floor floor;

	mb_floor_measure(&floor);
	if (!floor.with_disk)
		return;
	report->f_sum_us += floor.f_us;
	report->f_count++;
}

void mb_run_beside_floor(struct mb_report *report, struct mb_load *load, struct mb_clients *c,
			 uint32_t lanes)
{
	/* Only the latency of one in flight is compared with F. */
	uint32_t turns = c->count * lanes == 1 && load->seconds == 0 ? MB_TURNS : 1;

	report->f_sum_us = report->f_count = 0;
	take_floor(report);
	for (uint32_t i = 1; i <= turns && !mb_stopped(); i++) {
		load->pause = i < turns ? load->limit / turns * i : 0;
		mb_load_run(load, c, lanes);
		take_floor(report);
	}
}

static void run_kind(struct mb_report *report, struct state *s, const struct kind *kind)
{
	struct mb_load load = {.label = kind->name,
			       .next = kind->next,
			       .got = kind->got,
			       .ino = s->dir,
			       .limit = UINT64_MAX,
			       .inos = s->inos};

	if (kind->needs && s->made < s->files) {
		s->made += mb_make_files(&s->clients, s->dir, s->made, s->files - s->made, s->inos,
					 "prepare");
	}
	load.files = s->files;
	set_limit(&load, kind);
	if (kind->makes) {
		load.first = s->made;
		load.inos = NULL;
	}
	mb_run_beside_floor(report, &load, &s->clients, mb_options.inflight);
	if (kind->makes) {
		mb_remove_files(&s->clients, s->dir, load.first, load.finished);
	} else if (kind->next == next_unlink) {
		mb_remove_files(&s->clients, s->dir, load.finished, s->made - load.finished);
		s->made = 0;
	} else if (kind->next == next_rename) {
		remove_renamed(s, load.finished);
	} else if (kind->next == next_mixed) {
		clean_mixed(&load);
	}
	if (!mb_stopped())
		mb_report_load(report, &load, s->clients.count, mb_options.inflight);
	free(load.lanes);
}

void mb_run_namespace(struct mb_report *report, const char *const *names, size_t count)
{
	struct state s = {.files = mb_options.files};
	char name[256];

	s.inos = calloc(s.files, sizeof(*s.inos));
	if (!s.inos)
		mb_die("out of memory");
	mb_clients_open(&s.clients, mb_options.sessions, mb_options.inflight, false);
	s.dir = mb_directory(s.clients.mdc[0], s.clients.root, name, sizeof(name));
	for (size_t i = 0; i < count && !mb_stopped(); i++)
		run_kind(report, &s, kind_of(names[i]));
	mb_remove_files(&s.clients, s.dir, 0, s.made);
	mdc_rmdir(s.clients.mdc[0], NULL, s.clients.root, name);
	mb_clients_close(&s.clients);
	free(s.inos);
}
