/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "controller/io/edge_cluster.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "controller/io/edge.h"
#include "controller/io/log.h"
#include "proto/assert.h"

enum {
	SCORE_MEMBER = 100, /* a member that has not met its peer */
	MEET_MS = 3000,	    /* so long it waits for that before Pacemaker may take it */
	PROMISE_MS =
		1500, /* a peer whose process is there has that long to promise before it is fenced */
	SCORE_MOVE = 1, /* of an active that wants to hand over */
	MOVE_MS = 15000,
	HEIR_MS = 5000, /* an heir waits that long for Pacemaker's order */
};

/* ---- facts ---- */

static void peer_fact(void *user, uint64_t incarnation, bool process, bool node, bool quorate)
{
	struct edge *e = user;
	struct ctl_event ev = {.type = CTL_EV_PEER,
			       .incarnation = incarnation,
			       .process_up = process,
			       .node_up = node,
			       .quorate = quorate};

	log_info("peer: life %" PRIu64 ", process %s, node %s; %s", incarnation,
		 process ? "there" : "gone", node ? "there" : "lost",
		 quorate ? "quorate" : "not quorate");
	if ((e->cl.process_up && !process) || (e->cl.node_up && !node))
		edge_peer_gone(e);
	e->cl.process_up = process;
	e->cl.node_up = node;
	edge_step(e, &ev);
}

static void fence_fact(void *user, uint64_t incarnation, int error, const char *text)
{
	struct ctl_event ev = {
		.type = CTL_EV_FENCE, .incarnation = incarnation, .error = error, .text = text};

	if (!error)
		edge_peer_dead(user);
	edge_step(user, &ev);
}

static void fence_asked(void *user)
{
	edge_peer_fence_asked(user);
}

static _Noreturn void cluster_gone(void *user, const char *why)
{
	struct edge *e = user;

	log_error("node %u ends itself: %s", e->conf.node, why);
	log_close();
	_exit(1);
}

static void cluster_log(void *user, int level, const char *text)
{
	qb_log((uint8_t)level, "%s", text);
}

static void cluster_ready(void *user, uint32_t events)
{
	cluster_run(((struct edge *)user)->cl.cluster);
}

/* ---- wishes ---- */

/*
 * A member that has not met its peer yet may find that one longer, or be promised something by it. Only
 * Pacemaker's haste is held back here: the core asks for proofs whatever the score says.
 */
static void tell_score(void *user)
{
	struct edge *e = user;
	struct edge_cluster *cl = &e->cl;
	uint64_t met_ms = e->started_ms + MEET_MS;

	if (e->role == PR_ROLE_STARTING || cl->move_ticket ||
	    (cl->score_told && cl->score == e->score))
		return;
	if (e->score == SCORE_MEMBER && !cl->score_told && loop_now_ms() < met_ms) {
		loop_set_timer(e->loop, &cl->score_timer, met_ms);
		return;
	}
	cl->score_told = true;
	cl->score = e->score;
	cluster_score(cl->cluster, e->score);
}

void edge_cluster_score(struct edge *e)
{
	if (e->cl.cluster)
		tell_score(e);
}

static void fence_now(void *user)
{
	struct edge *e = user;

	if (!e->cl.fence_incarnation)
		return;
	log_warning("the peer's node is to be fenced");
	edge_peer_fence_asked(e);
	cluster_ask_fence(e->cl.cluster, e->cl.fence_incarnation - 1);
	e->cl.fence_incarnation = 0;
}

void edge_cluster_ask_fence(struct edge *e, uint64_t incarnation)
{
	if (!e->cl.cluster)
		return;
	e->cl.fence_incarnation = incarnation + 1;
	if (e->cl.process_up || (e->cl.node_up && loop_now_ms() < e->started_ms + MEET_MS))
		loop_set_timer(e->loop, &e->cl.fence_timer, loop_now_ms() + PROMISE_MS);
	else
		fence_now(e);
}

/* ---- orders ---- */

static void answer(struct edge *e, uint64_t ticket, int error, const char *key, const char *text)
{
	json_t *o = json_pack("{s:s}", key, text ? text : "");
	char *json = o ? json_dumps(o, JSON_COMPACT) : NULL;

	admin_reply(e->admin, ticket, error, json ? json : "{}", json ? strlen(json) : 2);
	free(json);
	json_decref(o);
}

static void answer_view(struct edge *e, uint64_t ticket)
{
	static const char *const members[] = {"none", "1", "2", "1,2"};
	struct ha_status s;
	bool promoted, heir;
	json_t *o;
	char *json;

	ha_get_status(ctl_ha(e->ctl), &s);
	/* An heir is active before Pacemaker says so: a moment during which it must not look out of order. */
	heir = !e->cl.ordered && loop_now_ms() < e->active_since_ms + HEIR_MS;
	promoted = e->role == PR_ROLE_ACTIVE && !heir;
	o = json_pack("{s:s,s:b,s:s,s:s,s:s,s:I}", "role", pr_role_name((uint8_t)e->role),
		      "promoted", promoted, "mode", ha_mode_name(s.mode), "state",
		      ha_dstate_name(s.dstate), "members", members[s.members & 3], "epoch",
		      (json_int_t)s.epoch);
	json = o ? json_dumps(o, JSON_COMPACT) : NULL;
	admin_reply(e->admin, ticket, json ? 0 : -ENOMEM, json ? json : "{}",
		    json ? strlen(json) : 2);
	free(json);
	json_decref(o);
}

static void move_over(struct edge *e, int error, const char *key, const char *text)
{
	uint64_t ticket = e->cl.move_ticket;

	loop_clear_timer(e->loop, &e->cl.move_timer);
	e->cl.move_ticket = 0;
	e->cl.score_told = false;
	answer(e, ticket, error, key, text);
	tell_score(e);
}

static void move_late(void *user)
{
	move_over(user, -ETIMEDOUT, "error",
		  "Pacemaker did not move the active role within 15 s: see crm_mon -1f");
}

/* The roles are Pacemaker's to change: a low score makes it demote here and promote there. */
static void begin_move(struct edge *e, uint64_t ticket)
{
	struct ha_status s;

	ha_get_status(ctl_ha(e->ctl), &s);
	if (e->role != PR_ROLE_ACTIVE) {
		answer(e, ticket, -EINVAL, "error", "this controller is not the active one");
	} else if (s.mode != HA_SYNC || s.members != 3) {
		answer(e, ticket, -EAGAIN, "error",
		       "no standby is in sync: wait until `mdcctl status` shows SYNC, then try again");
	} else if (s.alarms & 1u << HA_ALARM_ARBITER) {
		answer(e, ticket, -EAGAIN, "error",
		       "the arbiter record cannot be read and written, so nobody could take over: check the metadata LUN");
	} else if (e->cl.move_ticket) {
		answer(e, ticket, -EALREADY, "error", "a switchover is under way");
	} else {
		e->cl.move_ticket = ticket;
		e->handover_asked_ms = loop_now_ms();
		loop_set_timer(e->loop, &e->cl.move_timer, loop_now_ms() + MOVE_MS);
		cluster_score(e->cl.cluster, SCORE_MOVE);
	}
}

bool edge_cluster_command(struct edge *e, uint64_t ticket, const char *text)
{
	struct ctl_event ev = {.ticket = ticket};

	if (!e->cl.cluster)
		return false;
	if (strcmp(text, "switchover") == 0) {
		begin_move(e, ticket);
	} else if (strcmp(text, "agent view") == 0) {
		answer_view(e, ticket);
	} else if (strcmp(text, "agent stop") == 0) {
		log_notice("node %u stops, as Pacemaker asks", e->conf.node);
		e->cl.leaving = true;
		answer(e, ticket, 0, "result", "stops");
		loop_stop(e->loop);
	} else if (strcmp(text, "agent promote") == 0) {
		log_notice("Pacemaker orders to promote");
		ev.type = CTL_EV_PROMOTE;
		e->cl.ordered = true;
		edge_step(e, &ev);
	} else if (strcmp(text, "agent demote") == 0) {
		log_notice("Pacemaker orders to demote");
		ev.type = CTL_EV_DEMOTE;
		e->cl.ordered = false;
		e->handover_asked_ms = loop_now_ms();
		edge_step(e, &ev);
	} else {
		return false;
	}
	return true;
}

/* The pair core is active a moment before the whole controller serves, and only that is promoted. */
bool edge_cluster_result(struct edge *e, const struct ctl_effect *fx)
{
	if (!e->cl.cluster)
		return false;
	if (fx->error)
		log_warning("Pacemaker's order was refused: %s", fx->text ? fx->text : "");
	if (!fx->error && e->cl.ordered && e->role != PR_ROLE_ACTIVE)
		e->cl.promote_ticket = fx->ticket;
	else
		answer(e, fx->ticket, fx->error, fx->error ? "error" : "result", fx->text);
	return true;
}

void edge_cluster_role(struct edge *e)
{
	if (!e->cl.cluster)
		return;
	if (e->role !=
	    PR_ROLE_PROMOTING) { /* what is not promoted, or refused, needs nobody's death */
		loop_clear_timer(e->loop, &e->cl.fence_timer);
		e->cl.fence_incarnation = 0;
	}
	if (e->role == PR_ROLE_ACTIVE && e->cl.promote_ticket) {
		answer(e, e->cl.promote_ticket, 0, "result", "active");
		e->cl.promote_ticket = 0;
	}
	if (e->role == PR_ROLE_STANDBY)
		e->cl.ordered = false;
	if (e->role == PR_ROLE_STANDBY && e->cl.move_ticket)
		move_over(e, 0, "result", "handed over");
}

/* ---- the whole ---- */

/* mdcd-pacemaker stands beside mdcd, wherever that is. */
static void find_helper(char out[PATH_MAX])
{
	ssize_t n = readlink("/proc/self/exe", out, PATH_MAX - 1);
	char *slash;

	out[n > 0 ? n : 0] = '\0';
	slash = strrchr(out, '/');
	if (slash && slash - out < PATH_MAX - 32)
		strcpy(slash + 1, "mdcd-pacemaker");
}

/* "mdc:0" is an instance of "mdc". */
static void find_resource(char out[64])
{
	const char *name = getenv("OCF_RESOURCE_INSTANCE");

	snprintf(out, 64, "%s", name ? name : "");
	out[strcspn(out, ":")] = '\0';
}

int edge_cluster_open(struct edge *e, char *why, size_t size)
{
	char helper[PATH_MAX], resource[64];
	struct cluster_config config = {
		.cluster = e->conf.cluster,
		.node = (uint8_t)e->conf.node,
		.incarnation = e->incarnation,
		.helper = helper,
		.peer = peer_fact,
		.fence_asked = fence_asked,
		.fenced = fence_fact,
		.gone = cluster_gone,
		.log = cluster_log,
		.user = e,
	};

	if (e->conf.stack != CONF_COROSYNC)
		return 0;
	find_helper(helper);
	find_resource(resource);
	config.resource = resource[0] ? resource : NULL;
	if (!config.resource)
		log_warning("not started by Pacemaker: no promotion scores are written");
	e->cl.score_timer = (struct loop_timer){.fn = tell_score, .user = e};
	e->cl.fence_timer = (struct loop_timer){.fn = fence_now, .user = e};
	e->cl.move_timer = (struct loop_timer){.fn = move_late, .user = e};
	return cluster_open(&config, &e->cl.cluster, why, size);
}

void edge_cluster_start(struct edge *e)
{
	struct loop_source *ignored;

	if (e->cl.cluster)
		ASSERT(loop_add(e->loop, cluster_fd(e->cl.cluster), EPOLLIN, cluster_ready, e,
				&ignored) == 0);
}

void edge_cluster_close(struct edge *e)
{
	cluster_close(e->cl.cluster, e->cl.leaving);
}
