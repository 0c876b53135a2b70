/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The load: sessions on one loop, each with some lanes; a lane that is answered asks again at once, so that what one dispatch
 * brought leaves again in one send.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/mdcbench.h"

enum { TICK_NS = 100000000 };

uint64_t mb_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* xorshift: the same numbers in every run. */
uint64_t mb_random(void)
{
	static uint64_t x = 88172645463325252ull;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return x;
}

static void opened(void *user, int error)
{
	uint32_t *left = user;

	if (error < 0) {
		mb_stop_end();
		mb_die("%s: %s", mb_options.spec, mdc_error());
	}
	(*left)--;
}

void mb_clients_open(struct mb_clients *c, uint32_t count, uint32_t slots, bool data)
{
	struct mdc_options options = {
		.flags = (data ? 0 : MDC_OPEN_NO_DATA) | MDC_OPEN_NO_WAIT,
		.slots = slots,
		.luns = mb_options.luns[0] ? mb_options.luns : NULL,
		.what = "benchmark",
	};
	uint32_t left = count;
	struct mdc_info info;

	c->count = count;
	c->mdc = calloc(count, sizeof(struct mdc *));
	if (!c->mdc || mdc_loop_new(&c->loop) < 0)
		mb_die_mdc("loop");
	options.loop = c->loop;
	for (uint32_t i = 0; i < count; i++)
		if (mdc_open_volume_start(mb_options.spec, &options, opened, &left, &c->mdc[i]) < 0)
			mb_die_mdc(mb_options.spec);
	while (left)
		if (mdc_dispatch(c->loop, -1) < 0)
			mb_die_mdc("dispatch");
	mdc_get_info(c->mdc[0], &info);
	c->root = info.root;
}

void mb_clients_close(struct mb_clients *c)
{
	for (uint32_t i = 0; i < c->count; i++) {
		mb_stop_goes_on();
		mdc_close_volume(c->mdc[i], 10000);
	}
	mdc_loop_free(c->loop);
	free(c->mdc);
	memset(c, 0, sizeof(*c));
}

static void lane_go(struct mb_lane *lane);

static void lane_done(void *user, struct mdc_reply *reply)
{
	struct mb_lane *lane = user;
	struct mb_load *load = lane->load;
	uint64_t now = mb_now_ns();

	mb_hist_add(&load->hist, now - lane->start_ns);
	if (load->last_ns && now - load->last_ns > load->longest_ns)
		load->longest_ns = now - load->last_ns;
	if (lane->last_ns && now - lane->last_ns > lane->longest_ns)
		lane->longest_ns = now - lane->last_ns;
	load->last_ns = lane->last_ns = now;
	load->finished++;
	if (reply->error) {
		if (!load->failed++) {
			load->error = reply->error;
			snprintf(load->error_text, sizeof(load->error_text), "%s: %s",
				 strerror(-reply->error), reply->text ? reply->text : "");
		}
		load->stop = true;
	} else if (load->got) {
		load->got(load, lane, reply);
	}
	lane_go(lane);
}

/* What a noop adds to a record so that it is as long as that of a create: 568 bytes in a batch of its own. */
enum { RECORD_BYTES = 474 };

static void lane_go(struct mb_lane *lane)
{
	static const struct mdc_cred root_cred;
	struct mb_load *load = lane->load;
	struct mdc_request request = {.op = MDC_NOOP,
				      .bytes = RECORD_BYTES,
				      .cred = &root_cred,
				      .ino = load->ino,
				      .done = lane_done,
				      .user = lane};

	if (load->stop || load->started >= (load->pause ? load->pause : load->limit) ||
	    (mb_stopped() && !load->cleanup))
		return;
	lane->n = load->first + load->started++;
	if (load->next)
		load->next(load, lane, &request);
	lane->start_ns = mb_now_ns();
	if (mdc_submit(lane->mdc, &request, NULL) < 0)
		mb_die_mdc(load->label);
}

static void load_tick(struct mb_load *load, uint64_t begun, uint64_t now)
{
	double elapsed_s = (double)(now - begun) / 1e9;
	double share = load->seconds > 0 ? elapsed_s / load->seconds
					 : (double)load->finished / (double)load->limit;

	if (load->seconds > 0 && elapsed_s >= load->seconds)
		load->stop = true;
	mb_progress(load->label, share, (double)load->finished / (elapsed_s > 0 ? elapsed_s : 1));
	if (load->tick)
		load->tick(load);
}

static void make_lanes(struct mb_load *load, struct mb_clients *c, uint32_t lanes)
{
	load->lane_count = c->count * lanes;
	load->lanes = calloc(load->lane_count, sizeof(*load->lanes));
	if (!load->lanes)
		mb_die("out of memory");
	for (uint32_t i = 0; i < load->lane_count; i++)
		load->lanes[i] =
			(struct mb_lane){.load = load, .mdc = c->mdc[i % c->count], .index = i};
}

void mb_load_run(struct mb_load *load, struct mb_clients *c, uint32_t lanes)
{
	uint64_t begun, now, next_tick, finished = load->finished;
	struct mb_usage before;

	if (!load->lanes)
		make_lanes(load, c, lanes);
	if (!mb_stopped())
		mb_usage_get(&before);
	load->stop = false;
	load->last_ns = 0;
	begun = mb_now_ns();
	next_tick = begun;
	for (uint32_t i = 0; i < load->lane_count; i++) {
		load->lanes[i].last_ns = 0;
		lane_go(&load->lanes[i]);
	}
	while (load->finished < load->started) {
		if (mdc_dispatch(c->loop, 20) < 0)
			mb_die_mdc("dispatch");
		now = mb_now_ns();
		if (load->finished > finished)
			mb_stop_goes_on();
		finished = load->finished;
		if (now < next_tick)
			continue;
		load_tick(load, begun, now);
		next_tick = now + (load->tick ? TICK_NS / 20 : TICK_NS);
	}
	load->elapsed_s += (double)(mb_now_ns() - begun) / 1e9;
	if (!mb_stopped()) {
		mb_usage_get(&load->after);
		mb_usage_add(&load->used, &before, &load->after);
	}
	mb_progress_end();
	if (load->failed)
		mb_die("%s: %llu operations failed, the first with %s", load->label,
		       (unsigned long long)load->failed, load->error_text);
}
