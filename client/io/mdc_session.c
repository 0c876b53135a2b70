/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sessions: the face of the client core towards a program, from mdc_open_volume to
 * mdc_close_volume. */
#include "client/io/mdc_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "client/io/mdc_data.h"

enum {
	ACCESS_PORT = 60598,
	COORD_PORT = 60766,
	OPEN_MS = 10000,
	UNUSED_CLOSE_MS = 2000,
	UNUSED_OPEN_MS = 1000
};

/* ---- stepping the core ---- */

void mdc_touch(struct mdc *mdc)
{
	if (mdc->is_dirty)
		return;
	mdc->is_dirty = true;
	mdc->next_dirty = mdc->loop->dirty;
	mdc->loop->dirty = mdc;
}

void mdc_tell(struct mdc *mdc, const struct mdc_event *ev)
{
	if (mdc->event)
		mdc->event(mdc->user, ev);
}

static void open_done(struct mdc *mdc, int error)
{
	void (*done)(void *, int) = mdc->open_done;

	mdc->open_done = NULL;
	if (!done)
		return;
	mdc->loop->completed++;
	if (error)
		mdc_fail(error, "%s", mdc->why);
	done(mdc->open_user, error);
}

static void session_ready(struct mdc *mdc, const struct pr_session_open_r *open)
{
	int r = 0;

	mdc->session = open->session;
	mdc->root = open->root;
	mdc->key = open->key;
	if (!(mdc->flags & MDC_OPEN_NO_DATA))
		r = mdc_files_open(mdc, open);
	mdc->ready = r == 0;
	if (r < 0)
		snprintf(mdc->why, sizeof(mdc->why), "%s", mdc_error());
	mdc->failed = r;
	open_done(mdc, r);
}

static void session_over(struct mdc *mdc, int error, const char *text)
{
	mdc->failed = error;
	if (text)
		snprintf(mdc->why, sizeof(mdc->why), "%s", text);
	open_done(mdc, error);
}

static void serving(struct mdc *mdc, const struct cl_effect *fx)
{
	struct mdc_event ev = {.type = fx->on ? MDC_EVENT_ACTIVE : MDC_EVENT_OUTAGE,
			       .gap_ms = fx->gap_ms};
	struct cl_view view;

	cl_get_view(mdc->cl, &view);
	ev.epoch = view.epoch;
	if (fx->on) {
		snprintf(mdc->active, sizeof(mdc->active), "%s", mdc->address[fx->peer].text);
		ev.text = mdc->active;
		if (fx->lost)
			mdc_files_lost(mdc);
	} else {
		ev.text = "no active controller; requests wait";
	}
	mdc_tell(mdc, &ev);
}

static void effect(struct mdc *mdc, const struct cl_effect *fx)
{
	int r;

	switch (fx->type) {
	case CL_FX_CONNECT:
		r = mdc_conn_open(mdc, fx->conn, fx->peer, fx->port);
		if (r < 0) {
			mdc->lost[mdc->lost_count].conn = fx->conn;
			mdc->lost[mdc->lost_count++].error = r;
		}
		break;
	case CL_FX_DROP:
		mdc_conn_close(&mdc->conns[fx->conn % CL_LINKS]);
		break;
	case CL_FX_SEND:
		mdc_conn_send(&mdc->conns[fx->conn % CL_LINKS], fx->p, fx->len);
		break;
	case CL_FX_DONE:
		mdc_request_done(mdc, fx);
		break;
	case CL_FX_READY:
		session_ready(mdc, fx->open);
		break;
	case CL_FX_FAILED:
		session_over(mdc, fx->error, fx->text);
		break;
	case CL_FX_SERVING:
		serving(mdc, fx);
		break;
	case CL_FX_RECALL:
		mdc_files_recall(mdc, fx->ino, fx->generation);
		break;
	case CL_FX_EVICTED:
		mdc->evicted = true;
		session_over(mdc, -ESTALE, fx->text);
		mdc_tell(mdc, &(struct mdc_event){.type = MDC_EVENT_EVICTED, .text = mdc->why});
		break;
	case CL_FX_WARNING:
		mdc_tell(mdc, &(struct mdc_event){.type = MDC_EVENT_WARNING, .text = fx->text});
		break;
	case CL_FX_CLOSED:
		mdc->closed = true;
		session_over(mdc, -ESHUTDOWN, "the session is closed");
		break;
	}
}

static void step(struct mdc *mdc, struct cl_event *ev)
{
	struct cl_effect fx;

	ev->now_ms = mdc->loop->now_ms;
	mdc->stepping = true;
	cl_step(mdc->cl, ev);
	while (cl_next(mdc->cl, &fx))
		effect(mdc, &fx);
	mdc->stepping = false;
}

/* What came up while effects were handled, and would have stepped the core inside a step. */
static void step_left_over(struct mdc *mdc)
{
	while (mdc->lost_count || mdc->cancel_count) {
		if (mdc->lost_count) {
			mdc->lost_count--;
			step(mdc, &(struct cl_event){.type = CL_EV_CONN_DOWN,
						     .conn = mdc->lost[mdc->lost_count].conn,
						     .error = mdc->lost[mdc->lost_count].error});
		} else {
			step(mdc, &(struct cl_event){.type = CL_EV_CANCEL,
						     .id = mdc->cancels[--mdc->cancel_count]});
		}
	}
}

void mdc_step(struct mdc *mdc, struct cl_event *ev)
{
	ASSERT(!mdc->stepping);
	step(mdc, ev);
	step_left_over(mdc);
	if (ev->type == CL_EV_FRAME)
		return;
	mdc->wake_ms = cl_wake_ms(mdc->cl);
	mdc_loop_wake_at(mdc->loop, mdc->wake_ms);
}

void mdc_pump(struct mdc *mdc)
{
	mdc_step(mdc, &(struct cl_event){.type = CL_EV_PUMP});
}

void mdc_cancel(struct mdc *mdc, uint64_t id)
{
	mdc_lock(mdc->loop);
	if (!mdc->stepping) {
		mdc_step(mdc, &(struct cl_event){.type = CL_EV_CANCEL, .id = id});
		mdc_unlock(mdc->loop);
		return;
	}
	if (mdc->cancel_count == mdc->cancel_cap) {
		uint32_t cap = mdc->cancel_cap ? mdc->cancel_cap * 2 : 16;
		uint64_t *more = realloc(mdc->cancels, cap * sizeof(*more));

		if (more) {
			mdc->cancels = more;
			mdc->cancel_cap = cap;
		}
	}
	if (mdc->cancel_count < mdc->cancel_cap)
		mdc->cancels[mdc->cancel_count++] = id;
	mdc_unlock(mdc->loop);
}

/* ---- opening ---- */

static int parse_spec(struct mdc *mdc, const char *spec, struct cl_config *config)
{
	const char *volume = strstr(spec, ":/"), *comma = strchr(spec, ','), *slash;

	while (volume && (slash = strstr(volume + 1, ":/")))
		volume = slash;
	if (!volume || !volume[2] || strlen(volume + 2) >= sizeof(config->volume) ||
	    strchr(volume + 2, '/'))
		return mdc_fail(-EINVAL, "%s: wanted ADDRESS1,ADDRESS2:/VOLUME", spec);
	snprintf(config->volume, sizeof(config->volume), "%s", volume + 2);
	snprintf(mdc->volume, sizeof(mdc->volume), "%s", volume + 2);
	if (!comma || comma > volume)
		comma = NULL;
	if (comma && memchr(comma + 1, ',', (size_t)(volume - comma - 1)))
		return mdc_fail(-EINVAL,
				"%s: a pair has two controllers: ADDRESS1,ADDRESS2:/VOLUME", spec);
	config->peers = comma ? 2 : 1;
	if (mdc_address_parse(&mdc->address[0], spec, (size_t)((comma ? comma : volume) - spec)) <
		    0 ||
	    (comma &&
	     mdc_address_parse(&mdc->address[1], comma + 1, (size_t)(volume - comma - 1)) < 0))
		return mdc_fail(
			-EINVAL,
			"%s: an address is NAME, IPV4 or [IPV6], each with an optional :PORT",
			spec);
	return 0;
}

static int fill_config(struct mdc *mdc, const struct mdc_options *o, struct cl_config *config)
{
	uint8_t random[16];

	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		return mdc_fail(-EIO, "no random numbers: %s", strerror(errno));
	config->client = pr_uuid_make(random);
	config->pid = (uint32_t)getpid();
	config->slots = o->slots;
	config->flags = o->flags & (MDC_OPEN_EXCLUSIVE | MDC_OPEN_READER);
	if (o->host)
		snprintf(config->host, sizeof(config->host), "%s", o->host);
	else
		gethostname(config->host, sizeof(config->host) - 1);
	snprintf(config->program, sizeof(config->program), "%s",
		 o->program ? o->program : program_invocation_short_name);
	snprintf(config->what, sizeof(config->what), "%s", o->what ? o->what : "");
	mdc->port[0] = o->access_port ? o->access_port : ACCESS_PORT;
	mdc->port[1] = o->coord_port ? o->coord_port : COORD_PORT;
	mdc->flags = o->flags;
	mdc->event = o->event;
	mdc->user = o->user;
	mdc->luns = o->luns ? strdup(o->luns) : NULL;
	return 0;
}

static void forget_addresses(struct mdc *mdc)
{
	for (int i = 0; i < CL_PEERS; i++)
		mdc_address_forget(&mdc->address[i]);
}

static int session_new(const char *spec, const struct mdc_options *o, struct mdc **ret)
{
	struct cl_config config = {0};
	struct mdc *mdc = calloc(1, sizeof(*mdc));
	int r;

	if (!mdc)
		return mdc_fail(-ENOMEM, "no memory for a session");
	for (int i = 0; i < CL_LINKS; i++)
		mdc->conns[i].fd = -1;
	mdc->loop = o->loop;
	r = parse_spec(mdc, spec, &config);
	if (!r)
		r = fill_config(mdc, o, &config);
	if (!r && !(mdc->cl = cl_new(&config)))
		r = mdc_fail(-ENOMEM, "no memory for a session");
	if (!r && !mdc->loop) {
		r = mdc_loop_new(&mdc->loop);
		mdc->own_loop = true;
	}
	if (r < 0) {
		forget_addresses(mdc);
		cl_free(mdc->cl);
		free(mdc->luns);
		free(mdc);
		return r;
	}
	*ret = mdc;
	return 0;
}

static void session_start(struct mdc *mdc, const struct mdc_options *o, void (*done)(void *, int),
			  void *user)
{
	struct mdc_loop *loop = mdc->loop;

	mdc_lock(loop);
	mdc->open_done = done;
	mdc->open_user = user;
	mdc->next = loop->sessions;
	mdc->prev = &loop->sessions;
	if (mdc->next)
		mdc->next->prev = &mdc->next;
	loop->sessions = mdc;
	loop->now_ms = mdc_now_ms();
	mdc_step(mdc, &(struct cl_event){.type = CL_EV_START});
	mdc_touch(mdc);
	if (o->flags & MDC_OPEN_NO_WAIT) {
		mdc->open_limit_ms = loop->now_ms + (o->open_ms ? o->open_ms : OPEN_MS);
		mdc_loop_wake_at(loop, mdc->open_limit_ms);
	}
	mdc_unlock(loop);
	mdc_loop_kick(loop);
}

int mdc_open_volume_start(const char *spec, const struct mdc_options *options,
			  void (*done)(void *user, int error), void *user, struct mdc **ret)
{
	static const struct mdc_options none;
	const struct mdc_options *o = options ? options : &none;
	struct mdc *mdc;
	int r;

	if (!o->loop)
		return mdc_fail(-EINVAL, "mdc_open_volume_start needs a loop in its options");
	r = session_new(spec, o, &mdc);
	if (r < 0)
		return r;
	*ret = mdc;
	session_start(mdc, o, done, user);
	return 0;
}

struct opening {
	struct mdc_waiter waiter;
	int error;
};

static void opening_done(void *user, int error)
{
	struct opening *opening = user;

	opening->error = error;
	mdc_waiter_done(&opening->waiter);
}

/* The limit of MDC_OPEN_NO_WAIT is kept by the loop's timers. */
void mdc_open_expired(struct mdc *mdc)
{
	char said[CL_PEERS][320] = {"", ""};

	mdc->open_limit_ms = 0;
	if (!mdc->open_done)
		return;
	for (int i = 0; i < CL_PEERS; i++)
		if (mdc->address[i].text[0])
			mdc_address_say(&mdc->address[i], said[i], sizeof(said[i]));
	snprintf(mdc->why, sizeof(mdc->why),
		 "no active controller of %.63s was found; %.210s%s%.210s", mdc->volume, said[0],
		 said[1][0] ? "; " : "", said[1]);
	mdc->failed = -ETIMEDOUT;
	open_done(mdc, -ETIMEDOUT);
}

int mdc_open_volume(const char *spec, const struct mdc_options *options, struct mdc **ret)
{
	static const struct mdc_options none;
	const struct mdc_options *o = options ? options : &none;
	struct opening opening = {0};
	struct mdc *mdc;
	int r = session_new(spec, o, &mdc);

	if (r < 0)
		return r;
	if (mdc->own_loop && (r = mdc_loop_start_thread(mdc->loop)) < 0) {
		mdc_close_volume(mdc, 0);
		return r;
	}
	mdc_lock(mdc->loop);
	mdc_waiter_add(mdc, &opening.waiter);
	session_start(mdc, o, opening_done, &opening);
	mdc_unlock(mdc->loop);
	if (!mdc_wait(mdc->loop, &opening.waiter)) {
		mdc_lock(mdc->loop);
		if (!mdc_waiter_is_done(&opening.waiter)) {
			mdc_waiter_remove(&opening.waiter);
			mdc->open_done = NULL;
			opening.error = mdc_fail(-EINTR, "interrupted");
			snprintf(mdc->why, sizeof(mdc->why), "interrupted");
		}
		mdc_unlock(mdc->loop);
	}
	if (opening.error == 0) {
		*ret = mdc;
		return 0;
	}
	mdc_fail(opening.error, "%s: %s", spec, mdc->why);
	r = opening.error;
	/* It may have become ready just now. */
	mdc_close_volume(mdc, UNUSED_CLOSE_MS);
	return r;
}

/* ---- closing ---- */

static void unlink_session(struct mdc *mdc)
{
	struct mdc_loop *loop = mdc->loop;

	for (int i = 0; i < CL_LINKS; i++)
		mdc_conn_close(&mdc->conns[i]);
	if (mdc->prev) {
		*mdc->prev = mdc->next;
		if (mdc->next)
			mdc->next->prev = mdc->prev;
	}
	for (struct mdc **at = &loop->dirty; *at; at = &(*at)->next_dirty)
		if (*at == mdc) {
			*at = mdc->next_dirty;
			break;
		}
	mdc->next = loop->graves;
	loop->graves = mdc;
}

void mdc_bury(struct mdc *mdc)
{
	for (int i = 0; i < CL_LINKS; i++) {
		free(mdc->conns[i].in.buf);
		free(mdc->conns[i].out.p);
	}
	mdc_files_free(mdc);
	forget_addresses(mdc);
	cl_free(mdc->cl);
	free(mdc->cancels);
	free(mdc->luns);
	free(mdc);
}

/* Until the condition holds or the time is over. */
static bool wait_until(struct mdc *mdc, bool (*condition)(struct mdc *), uint64_t end_ms)
{
	for (;;) {
		bool over;

		mdc_lock(mdc->loop);
		mdc_touch(mdc);
		over = condition(mdc);
		mdc_unlock(mdc->loop);
		if (over || mdc_now_ms() >= end_ms)
			return over;
		if (mdc->loop->threaded || mdc_dispatch(mdc->loop, 1) == -EBUSY) {
			mdc_loop_kick(mdc->loop);
			usleep(1000);
		}
	}
}

static bool is_closed(struct mdc *mdc)
{
	return mdc->closed || mdc->evicted;
}

static bool any_answered(const struct mdc *mdc)
{
	for (int i = 0; i < CL_LINKS; i++)
		if (mdc->conns[i].id && mdc->conns[i].address->answered)
			return true;
	return false;
}

/* The open may be under way: what it made would stand in the way of the next one until its lease ends. */
static bool has_session(struct mdc *mdc)
{
	return mdc->session || is_closed(mdc);
}

static bool is_quiet(struct mdc *mdc)
{
	return mdc_files_quiet(mdc) || (mdc->failed && mdc_files_idle(mdc));
}

static bool is_idle(struct mdc *mdc)
{
	return mdc_files_idle(mdc) && !mdc->laters;
}

int mdc_close_volume(struct mdc *mdc, uint32_t wait_ms)
{
	struct mdc_loop *loop;
	uint64_t end_ms = mdc_now_ms() + wait_ms;
	bool unused;
	int r = 0;

	if (!mdc)
		return 0;
	loop = mdc->loop;
	unused = !mdc->ready;
	if (mdc->ready && !mdc->failed) {
		mdc_lock(loop);
		mdc_files_close_all(mdc);
		mdc_unlock(loop);
		if (!wait_until(mdc, is_quiet, end_ms))
			r = mdc_fail(-ETIMEDOUT, "%s: not everything could be written back",
				     mdc->volume);
	}
	/* One that could not be used is not left behind for its lease to end. */
	if (!mdc->session && any_answered(mdc))
		wait_until(mdc, has_session, mdc_now_ms() + UNUSED_OPEN_MS);
	if (unused && end_ms < mdc_now_ms() + UNUSED_CLOSE_MS)
		end_ms = mdc_now_ms() + UNUSED_CLOSE_MS;
	if (mdc->session && !is_closed(mdc)) {
		mdc_lock(loop);
		mdc_step(mdc, &(struct cl_event){.type = CL_EV_CLOSE});
		mdc_pump(mdc); /* it leaves, though no time may be left to wait for its answer */
		mdc_unlock(loop);
		if (!wait_until(mdc, is_closed, end_ms) && r == 0)
			r = mdc_fail(-ETIMEDOUT,
				     "%s: no active controller took the end of the session",
				     mdc->volume);
	}
	/* What was asked of a session that is over ends now. */
	if (is_closed(mdc)) {
		mdc_lock(loop);
		mdc_pump(mdc);
		mdc_unlock(loop);
	}
	/* The kernel may still write into buffers: nothing is freed before. */
	wait_until(mdc, is_idle, UINT64_MAX);
	mdc_lock(loop);
	unlink_session(mdc);
	mdc_unlock(loop);
	if (mdc->own_loop)
		mdc_loop_free(loop);
	return r;
}

/* ---- looking ---- */

void mdc_get_info(struct mdc *mdc, struct mdc_info *ret)
{
	struct cl_view view;

	mdc_lock(mdc->loop);
	cl_get_view(mdc->cl, &view);
	*ret = (struct mdc_info){
		.session = view.session,
		.epoch = view.epoch,
		.root = mdc->root,
		.key = mdc->key,
		.node = view.node,
		.evicted = view.evicted,
		.serving = view.serving,
	};
	memcpy(ret->cluster, view.cluster.b, sizeof(ret->cluster));
	memcpy(ret->volume, view.volume.b, sizeof(ret->volume));
	snprintf(ret->volume_name, sizeof(ret->volume_name), "%s", mdc->volume);
	if (view.serving)
		snprintf(ret->active, sizeof(ret->active), "%s", mdc->active);
	mdc_unlock(mdc->loop);
}

void mdc_get_stats(struct mdc *mdc, struct mdc_stats *ret)
{
	struct cl_stats core;

	mdc_lock(mdc->loop);
	cl_get_stats(mdc->cl, &core);
	*ret = mdc->stats;
	ret->requests = core.requests;
	ret->replies = core.replies;
	ret->resends = core.resends;
	ret->late_replies = core.late_replies;
	ret->reconnects = core.reconnects;
	ret->failovers = core.failovers;
	ret->recalls = core.recalls;
	ret->in_flight = core.in_flight;
	ret->waiting = core.waiting;
	ret->longest_gap_ms = core.longest_gap_ms;
	mdc_unlock(mdc->loop);
}

struct mdc_loop *mdc_get_loop(struct mdc *mdc)
{
	return mdc->loop;
}
