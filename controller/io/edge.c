/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Events in, effects out. */
#include "controller/io/edge.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "controller/io/log.h"
#include "proto/assert.h"

/* ---- effects ---- */

struct state_job {
	struct job job;
	struct edge *edge;
	struct ha_state state;
	int error;
};

static void write_state(struct job *j)
{
	struct state_job *s = (struct state_job *)j;

	s->error = state_file_write(s->edge->state_file, &s->state);
}

static void state_written(struct job *j)
{
	struct state_job *s = (struct state_job *)j;
	struct ctl_event e = {.type = CTL_EV_STATE_SAVED, .error = s->error};
	struct edge *edge = s->edge;

	if (s->error)
		log_error("the state in %s could not be written to three of its four copies",
			  edge->conf.dir);
	free(s);
	edge_step(edge, &e);
}

static void save_state(struct edge *e, const struct ha_state *state)
{
	struct state_job *s = malloc(sizeof(*s));

	ASSERT_MEMORY(s);
	*s = (struct state_job){
		.job = {.work = write_state, .done = state_written}, .edge = e, .state = *state};
	worker_add(e->state_worker, &s->job);
}

/* The first reply to a client's operation after a promotion ends the gap that clients saw. */
static void look_for_first_reply(struct edge *e, const uint8_t *p, uint32_t len)
{
	struct pr_frame f;

	while (len >= PR_FRAME_BYTES && pr_frame_decode(&f, p, PR_PAYLOAD_MAX) == 0 &&
	       len - PR_FRAME_BYTES >= f.length) {
		if ((f.type & 0xff00) == (PR_T_LOOKUP_R & 0xff00) ||
		    (f.type & 0xff00) == (PR_T_LAYOUT_GET_R & 0xff00)) {
			if (f.status < PR_E_NOT_ACTIVE) {
				edge_first_reply(e);
				return;
			}
		}
		p += PR_FRAME_BYTES + f.length;
		len -= PR_FRAME_BYTES + f.length;
	}
}

static void send_to_client(struct edge *e, const struct ctl_effect *fx)
{
	if (e->active_since_ms && !e->first_reply_ms)
		look_for_first_reply(e, fx->p, fx->len);
	ports_send(e->ports, fx->conn, fx->p, fx->len);
}

/* A text as long as its field may be. */
static struct pr_bytes cut(const char *text, size_t max)
{
	return pr_bytes_of(text, text ? strnlen(text, max) : 0);
}

static void tell_score(struct edge *e)
{
	struct pr_set_score m = {
		.score = (uint32_t)(e->score > 0 ? e->score : 0),
		.role = (uint8_t)e->role,
		.epoch = e->ctl ? ha_epoch(ctl_ha(e->ctl)) : 0,
		.incarnation = e->incarnation,
		.why = pr_bytes_str(e->score_why),
	};

	edge_cluster_score(e);
	if (e->super && super_set_score(e->super, &m) < 0)
		loop_stop(e->loop);
}

static void link_ready(void *user, uint32_t events)
{
	hl_run(((struct edge *)user)->hl);
}

/* Only a core that has recovered its journal can say hello to its peer; until then the peer waits. */
static void open_link(struct edge *e)
{
	struct loop_source *ignored;

	ASSERT(loop_add(e->loop, hl_fd(e->hl), EPOLLIN, link_ready, e, &ignored) == 0);
}

/* What the core as a whole is: it serves a little later than its pair core is active. */
static enum pr_role role_named(const char *name)
{
	uint8_t role = PR_ROLE_STARTING;

	while (role < PR_ROLE_STOPPED && strcmp(pr_role_name(role), name) != 0)
		role++;
	return role;
}

static void role_changed(struct edge *e, enum pr_role role)
{
	if (role == e->role) {
		tell_score(e);
		return;
	}
	log_notice("node %u is %s now, epoch %llu", e->conf.node, pr_role_name(role),
		   (unsigned long long)ha_epoch(ctl_ha(e->ctl)));
	if (e->role == PR_ROLE_STARTING)
		open_link(e);
	e->role = role;
	if (role == PR_ROLE_ACTIVE) {
		edge_promoted(e);
	} else if (role == PR_ROLE_STANDBY) {
		/* Handed over, or a promotion that did not come about: the peer must be able to write. */
		e->active_since_ms = 0;
		arbiter_release(e->arbiter);
	}
	tell_score(e);
	edge_cluster_role(e);
}

static void tell_order_result(struct edge *e, const struct ctl_effect *fx)
{
	struct pr_order_result m = {
		.ticket = fx->ticket,
		.status = (uint32_t)(fx->error < 0 ? -fx->error : fx->error),
		.why = cut(fx->text, 512),
	};

	if (edge_cluster_result(e, fx))
		return;
	if (fx->error)
		log_warning("the order was refused: %s", fx->text ? fx->text : "no reason given");
	if (e->super && super_order_result(e->super, &m) < 0)
		loop_stop(e->loop);
}

static void alarm_changed(struct edge *e, const struct ctl_effect *fx)
{
	uint64_t bit = 1ull << (fx->alarm & 63);

	if (fx->on)
		log_error("ALARM %s: %s", ha_alarm_name((unsigned)fx->alarm),
			  fx->text ? fx->text : "");
	else
		log_notice("alarm over: %s", ha_alarm_name((unsigned)fx->alarm));
	e->alarms = fx->on ? e->alarms | bit : e->alarms & ~bit;
}

/* Before it was anything, what it found on its disk is the reason: starting again does not help. */
static _Noreturn void die(struct edge *e, const char *text)
{
	log_error("node %u ends itself: %s", e->conf.node, text ? text : "the core says so");
	log_close();
	_exit(e->role == PR_ROLE_STARTING ? EDGE_REFUSED : 1);
}

static void set_core_timer(struct edge *e, uint64_t at_ms)
{
	if (at_ms == 0)
		at_ms = 1;
	if (!e->core_timer.at_ms || at_ms < e->core_timer.at_ms)
		loop_set_timer(e->loop, &e->core_timer, at_ms);
}

static void ask_fence(struct edge *e, uint64_t incarnation)
{
	struct pr_ask_fence m = {.incarnation = incarnation};

	edge_cluster_ask_fence(e, incarnation);
	if (e->super && super_ask_fence(e->super, &m) < 0)
		loop_stop(e->loop);
}

static void perform(struct edge *e, struct ctl_effect *fx)
{
	switch (fx->type) {
	case CTL_FX_SEND:
		send_to_client(e, fx);
		break;
	case CTL_FX_CLOSE:
		ports_close(e->ports, fx->conn);
		break;
	case CTL_FX_LINK_SEND:
		hl_send(e->hl, fx->conn, fx->p, fx->len, fx->batch);
		break;
	case CTL_FX_LINK_CLOSE:
		hl_close(e->hl, fx->conn);
		break;
	case CTL_FX_JOURNAL_IO:
		jx_submit(e->jx, &fx->io);
		break;
	case CTL_FX_FETCH:
		store_fetch(e->store, fx->ticket, &fx->fetch);
		break;
	case CTL_FX_FLUSH:
		store_flush(e->store, fx->flush, fx->lsn);
		break;
	case CTL_FX_COPY_READ:
		store_copy_read(e->store, fx->cookie);
		break;
	case CTL_FX_COPY_BEGIN:
		store_copy_begin(e->store);
		break;
	case CTL_FX_COPY_PUT:
		store_copy_put(e->store, fx->p, fx->len);
		break;
	case CTL_FX_COPY_END:
		store_copy_end(e->store, fx->lsn);
		break;
	case CTL_FX_COPY_KEEP:
		store_copy_keep(e->store);
		break;
	case CTL_FX_SAVE_STATE:
		save_state(e, fx->state);
		break;
	case CTL_FX_ARB_READ:
		arbiter_read(e->arbiter);
		break;
	case CTL_FX_ARB_CAS:
		arbiter_cas(e->arbiter, &fx->expect, &fx->next);
		break;
	case CTL_FX_ARB_FLOOR:
		arbiter_floor(e->arbiter, fx->epoch, fx->lsn);
		break;
	case CTL_FX_PREEMPT:
		arbiter_preempt(e->arbiter);
		break;
	case CTL_FX_ASK_FENCE:
		ask_fence(e, fx->incarnation);
		break;
	case CTL_FX_SCORE:
		e->score = fx->score;
		snprintf(e->score_why, sizeof(e->score_why), "%s", fx->text);
		tell_score(e);
		break;
	case CTL_FX_ORDER_RESULT:
		tell_order_result(e, fx);
		break;
	case CTL_FX_FENCE_CLIENT:
		edge_fence_client(e, fx->session, fx->key);
		break;
	case CTL_FX_ADMIN_REPLY:
		if (!edge_fence_answer(e, fx->ticket, fx->error, fx->p, fx->len))
			admin_reply(e->admin, fx->ticket, fx->error, fx->p, fx->len);
		break;
	case CTL_FX_ROLE:
		role_changed(e, role_named(fx->text));
		break;
	case CTL_FX_TIMER:
		set_core_timer(e, fx->at_ms);
		break;
	case CTL_FX_ALARM:
		alarm_changed(e, fx);
		break;
	case CTL_FX_LOG:
		qb_log((uint8_t)fx->level, "%s", fx->text);
		break;
	case CTL_FX_DIE:
		die(e, fx->text);
	}
}

/* ---- events ---- */

static uint64_t random_word(struct edge *e)
{
	if (e->random_left == 0) {
		ASSERT(getrandom(e->random, sizeof(e->random), 0) == sizeof(e->random));
		e->random_left = EDGE_RANDOM_WORDS;
	}
	return e->random[--e->random_left];
}

void edge_step(struct edge *e, struct ctl_event *ev)
{
	struct ctl_effect fx;
	struct timespec t;

	ASSERT(!e->stepping);
	e->stepping = true;
	clock_gettime(CLOCK_REALTIME, &t);
	ev->now_ms = loop_now_ms();
	ev->real_ns = (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
	ev->random = random_word(e);
	ctl_step(e->ctl, ev);
	while (ctl_next(e->ctl, &fx))
		perform(e, &fx);
	e->steps++;
	e->stepping = false;
}

static void client_up(void *user, uint64_t conn, const char *peer)
{
	struct ctl_event ev = {.type = CTL_EV_CONN_UP, .conn = conn, .peer = peer};

	edge_step(user, &ev);
}

static void client_down(void *user, uint64_t conn)
{
	struct ctl_event ev = {.type = CTL_EV_CONN_DOWN, .conn = conn};

	edge_step(user, &ev);
}

static void client_frame(void *user, uint64_t conn, const struct pr_frame *f,
			 const uint8_t *payload)
{
	struct ctl_event ev = {
		.type = CTL_EV_FRAME, .conn = conn, .frame = f, .p = payload, .len = f->length};

	edge_step(user, &ev);
}

static void link_up(void *user, uint64_t conn)
{
	struct ctl_event ev = {.type = CTL_EV_LINK_UP, .conn = conn};

	edge_step(user, &ev);
}

static void link_down(void *user, uint64_t conn)
{
	struct ctl_event ev = {.type = CTL_EV_LINK_DOWN, .conn = conn};

	edge_peer_missed(user);
	edge_step(user, &ev);
}

static void link_frame(void *user, uint64_t conn, const struct pr_frame *f, const uint8_t *payload)
{
	struct ctl_event ev = {.type = CTL_EV_LINK_FRAME,
			       .conn = conn,
			       .frame = f,
			       .p = payload,
			       .len = f->length};

	edge_peer_heard(user, f->type);
	edge_step(user, &ev);
}

static void link_log(void *user, int level, const char *text)
{
	qb_log((uint8_t)level, "%s", text);
}

static void timer_fired(void *user)
{
	struct ctl_event ev = {.type = CTL_EV_TIMER};

	edge_step(user, &ev);
}

/* The end of the round does it. */
static void work_waits(void *user)
{
}

static void journal_ready(void *user, uint32_t events)
{
	struct edge *e = user;
	struct ctl_event ev = {.type = CTL_EV_JOURNAL_IO};

	while (jx_next(e->jx, &ev.tag, &ev.error))
		edge_step(e, &ev);
}

static void store_space(struct edge *e, const struct store_done *d)
{
	uint64_t bit = UINT64_C(1) << HA_ALARM_NO_SPACE;

	e->alarms = d->error ? e->alarms | bit : e->alarms & ~bit;
	if (d->error)
		log_error("ALARM NO_SPACE: %s", d->text);
	else
		log_notice("alarm over: NO_SPACE: %s", d->text);
}

static void store_ready(void *user, uint32_t events)
{
	static const enum ctl_event_type types[] = {
		[STORE_ROWS] = CTL_EV_ROWS,
		[STORE_FLUSHED] = CTL_EV_FLUSHED,
		[STORE_COPY_ROWS] = CTL_EV_COPY_ROWS,
		[STORE_COPY_APPLIED] = CTL_EV_COPY_APPLIED,
	};
	struct edge *e = user;
	struct store_done d;

	while (store_next(e->store, &d)) {
		if (d.type == STORE_SPACE) {
			store_space(e, &d);
			continue;
		}
		struct ctl_event ev = {
			.type = types[d.type],
			.ticket = d.ticket,
			.error = d.error,
			.lsn = d.lsn,
			.rows = d.rows,
			.row_count = d.row_count,
			.complete = d.complete,
			.p = d.p,
			.len = d.len,
			.last = d.last,
			.done_bytes = d.done_bytes,
			.total_bytes = d.total_bytes,
		};

		if (d.text)
			log_error("%s", d.text);
		edge_step(e, &ev);
	}
}

static void state_ready(void *user, uint32_t events)
{
	worker_finish(((struct edge *)user)->state_worker);
}

/* What is wrong with the arbiter record: each order says it again, the log once a minute. */
static void say_once(struct edge *e, const char *text)
{
	uint64_t now = loop_now_ms();

	if (!text[0] || (strcmp(text, e->arbiter_said) == 0 && now < e->arbiter_said_ms + 60000))
		return;
	log_warning("%s", text);
	snprintf(e->arbiter_said, sizeof(e->arbiter_said), "%s", text);
	e->arbiter_said_ms = now;
}

static void arbiter_ready(void *user, uint32_t events)
{
	static const enum ctl_event_type types[] = {
		[ARBITER_READ] = CTL_EV_ARB_READ,
		[ARBITER_CAS] = CTL_EV_ARB_CAS,
		[ARBITER_FLOOR] = CTL_EV_ARB_FLOOR,
		[ARBITER_PREEMPTED] = CTL_EV_PREEMPTED,
	};
	struct edge *e = user;
	struct arbiter_done d;

	while (arbiter_next(e->arbiter, &d)) {
		struct ctl_event ev = {.type = types[d.type],
				       .error = d.error,
				       .arbiter = &d.record,
				       .floor_epoch = d.floor_epoch,
				       .floor_lsn = d.floor_lsn};

		say_once(e, d.text);
		edge_step(e, &ev);
	}
}

static void fence_ready(void *user, uint32_t events)
{
	struct edge *e = user;
	struct client_fence_done d;

	while (client_fence_next(e->client_fence, &d)) {
		struct ctl_event ev = {
			.type = CTL_EV_CLIENT_FENCED, .session = d.session, .error = d.error};

		if (d.text[0])
			qb_log(d.error ? LOG_WARNING : LOG_NOTICE, "%s", d.text);
		edge_step(e, &ev);
	}
}

static void order(struct edge *e, const struct pr_frame *f, const uint8_t *p)
{
	struct ctl_event ev = {0};
	struct pr_fact_peer peer;
	struct pr_fact_fence fence;
	struct pr_order_promote promote;
	struct pr_order_demote demote;
	char text[256];

	if (f->type == PR_T_FACT_PEER && pr_fact_peer_decode(&peer, p, f->length) == 0) {
		ev = (struct ctl_event){.type = CTL_EV_PEER,
					.incarnation = peer.incarnation,
					.process_up = peer.process,
					.node_up = peer.node,
					.quorate = peer.quorate};
	} else if (f->type == PR_T_FACT_FENCE && pr_fact_fence_decode(&fence, p, f->length) == 0) {
		ev = (struct ctl_event){.type = CTL_EV_FENCE,
					.incarnation = fence.incarnation,
					.error = fence.ok ? 0 : -EIO,
					.text = pr_bytes_copy(text, sizeof(text), fence.why)};
	} else if (f->type == PR_T_ORDER_PROMOTE &&
		   pr_order_promote_decode(&promote, p, f->length) == 0) {
		ev = (struct ctl_event){.type = CTL_EV_PROMOTE, .ticket = promote.ticket};
	} else if (f->type == PR_T_ORDER_DEMOTE &&
		   pr_order_demote_decode(&demote, p, f->length) == 0) {
		ev = (struct ctl_event){.type = CTL_EV_DEMOTE, .ticket = demote.ticket};
	} else {
		log_warning("the supervisor sent message %04x, which is not for a controller",
			    f->type);
		return;
	}
	edge_step(e, &ev);
}

static void super_ready(void *user, uint32_t events)
{
	struct edge *e = user;
	struct pr_frame f;
	const uint8_t *p;
	int error = super_read(e->super);

	while (super_next(e->super, &f, &p)) {
		struct pr_pulse pulse;

		if (f.type != PR_T_PULSE)
			order(e, &f, p);
		else if (pr_pulse_decode(&pulse, p, f.length) == 0)
			super_pulse(e->super, &pulse);
	}
	if (error < 0) {
		log_error("the supervisor is gone: node %u ends itself", e->conf.node);
		e->exit_status = 1;
		loop_stop(e->loop);
	}
}

static void signal_ready(void *user, uint32_t events)
{
	struct edge *e = user;
	struct signalfd_siginfo info;

	if (read(e->signal_fd, &info, sizeof(info)) != sizeof(info))
		return;
	log_notice("node %u stops, as signal %u asks", e->conf.node, info.ssi_signo);
	e->exit_status = 0;
	loop_stop(e->loop);
}

/* What the round made leaves together. */
static void end_of_round(void *user)
{
	struct edge *e = user;
	struct ctl_event ev = {.type = CTL_EV_PUMP};
	uint64_t steps;

	edge_step(e, &ev);
	steps = e->steps;
	/* Messages first: to hand writes to the kernel takes longer, and the peer has the longer way. */
	hl_flush(e->hl);
	ports_flush(e->ports);
	jx_kick(e->jx);
	store_kick(e->store);
	if (e->steps != steps) /* a connection was found dead, and the core said something to it */
		loop_again(e->loop);
	/* Each round does some of it; where there is nothing else to do, one a millisecond: clients on this host want the processor too. */
	if (ctl_work(e->ctl) && !e->work_timer.at_ms)
		loop_set_timer(e->loop, &e->work_timer, loop_now_ms() + 1);
}

int edge_listen(struct edge *e, char *why, size_t why_size)
{
	const struct conf *c = &e->conf;
	struct ports_config ports = {
		.loop = e->loop,
		.address = conf_own_access(c),
		.port = {(uint16_t)c->access_port, (uint16_t)c->coord_port},
		.connections_max = c->connections_max,
		.up = client_up,
		.down = client_down,
		.frame = client_frame,
		.user = e,
	};
	struct hl_config link = {
		.cluster = c->cluster,
		.node = (uint8_t)c->node,
		.address = {c->heartbeat[0], c->heartbeat[1]},
		.port = (uint16_t)c->heartbeat_port,
		.dead_ms = c->link_dead_ms,
		.up = link_up,
		.down = link_down,
		.frame = link_frame,
		.log = link_log,
		.user = e,
	};
	int error = ports_open(&ports, &e->ports, why, why_size);

	return error ? error : hl_open(&link, &e->hl, why, why_size);
}

static void add(struct edge *e, int fd, loop_fn fn)
{
	struct loop_source *ignored;

	ASSERT(loop_add(e->loop, fd, EPOLLIN, fn, e, &ignored) == 0);
}

void edge_add_sources(struct edge *e)
{
	add(e, store_fd(e->store), store_ready);
	add(e, jx_fd(e->jx), journal_ready);
	add(e, worker_fd(e->state_worker), state_ready);
	add(e, arbiter_fd(e->arbiter), arbiter_ready);
	add(e, client_fence_fd(e->client_fence), fence_ready);
	add(e, e->signal_fd, signal_ready);
	e->core_timer = (struct loop_timer){.fn = timer_fired, .user = e};
	e->work_timer = (struct loop_timer){.fn = work_waits, .user = e};
	edge_cluster_start(e);
	if (e->super) {
		add(e, super_fd(e->super), super_ready);
		tell_score(e);
	}
}

int edge_run(struct edge *e)
{
	int error = loop_run(e->loop, end_of_round, e);

	if (error < 0) {
		log_error("the event loop failed: %s", strerror(-error));
		return 1;
	}
	return e->exit_status;
}
