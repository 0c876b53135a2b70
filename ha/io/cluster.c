/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ha/io/cluster.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include <corosync/cmap.h>
#include <corosync/cpg.h>
#include <corosync/votequorum.h>

#include "ha/core/ha_proof.h"
#include "ha/io/cluster_helper.h"

enum {
	CONNECT_MS = 5000, /* corosync may just be starting */
	TRY_AGAIN_MS = 10,
	MEMBERSHIP_SLACK_MS = 300,
	NAME_MAX_ = 256,
	NODES_MAX = 64,
};

struct cluster {
	struct cluster_config cfg;
	int epoll_fd, timer_fd;
	cpg_handle_t cpg;
	votequorum_handle_t quorum;
	bool cpg_open, quorum_open;
	struct cpg_name group;
	uint32_t own_id, peer_id; /* of corosync; peer_id 0: not known yet */
	uint32_t membership_ms;
	char own_name[NAME_MAX_], peer_name[NAME_MAX_];
	struct cluster_helper *helper;

	bool told, quorate, node_up, announce, changed;
	uint32_t peer_pid;
	struct ha_proof proof;
};

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void __attribute__((format(printf, 3, 4)))
say(struct cluster *c, int level, const char *format, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	c->cfg.log(c->cfg.user, level, text);
}

static void set_timer(struct cluster *c, int ms)
{
	struct itimerspec t = {.it_value = {ms / 1000, ms % 1000 * 1000000L}};

	timerfd_settime(c->timer_fd, 0, &t, NULL);
}

/* ---- proofs ---- */

/* Tells what became of the peer's last known life: text says how it is known. */
static void conclude(struct cluster *c, enum ha_proof_verdict verdict, const char *text)
{
	switch (verdict) {
	case HA_PROOF_NONE:
		return;
	case HA_PROOF_DEAD:
		say(c, LOG_NOTICE, "node %u, life %" PRIu64 ", is dead: %s", 3u - c->cfg.node,
		    c->proof.incarnation, text);
		c->cfg.fenced(c->cfg.user, c->proof.incarnation, 0, text);
		return;
	case HA_PROOF_WAITS:
		say(c, LOG_NOTICE, "%s; it is still a member, so this waits until it leaves", text);
		return;
	case HA_PROOF_AGAIN:
		cluster_helper_say(c->helper, "fence"); /* fall through */
	case HA_PROOF_OLD:
		say(c, LOG_NOTICE,
		    "%s; that may have been before its life %" PRIu64 ", so it proves nothing%s",
		    text, c->proof.incarnation,
		    verdict == HA_PROOF_AGAIN ? ": the fencer is asked again" : "");
		return;
	case HA_PROOF_ALIVE:
		c->cfg.fenced(c->cfg.user, c->proof.incarnation, -EIO, text);
		return;
	}
}

static void tell(struct cluster *c)
{
	if (!c->changed)
		return;
	c->changed = false;
	c->told = true;
	c->cfg.peer(c->cfg.user, c->proof.incarnation, c->proof.member, c->node_up, c->quorate);
}

/* The peer's life that was in the group is there no more. */
static void peer_lost(struct cluster *c, enum ha_proof_left how)
{
	static const char *const texts[] = {
		[HA_PROOF_ENDED] = "its node's corosync saw its process end",
		[HA_PROOF_SAID] = "it said that it ends",
		[HA_PROOF_LOST] = "the fencer cut its node off, and it left",
	};
	enum ha_proof_verdict verdict = ha_proof_gone(&c->proof, how, now_ms());

	c->changed = true;
	if (how == HA_PROOF_LOST)
		c->node_up = false; /* before anybody is told that only a process is missing */
	tell(c);
	conclude(c, verdict, texts[how]);
	if (how == HA_PROOF_ENDED)
		cluster_helper_say(c->helper, "failed");
	else if (verdict == HA_PROOF_NONE)
		cluster_helper_say(c->helper, "lost");
}

static void helper_said(void *user, const char *line)
{
	struct cluster *c = user;
	uint64_t incarnation;
	char text[300];

	if (strncmp(line, "fenced ", 7) == 0) {
		snprintf(text, sizeof(text), "the fencer says: %s", line + 7);
		conclude(c, ha_proof_cut(&c->proof, now_ms()), text);
	} else if (strcmp(line, "done") == 0) {
		conclude(c, ha_proof_own_done(&c->proof, now_ms()), "the fencer cut its node off");
	} else if (strncmp(line, "failed ", 7) == 0) {
		say(c, LOG_WARNING, "fencing of %s failed: %s", c->peer_name, line + 7);
		conclude(c, ha_proof_not_cut(&c->proof), line + 7);
	} else if (strncmp(line, "unfenced ", 9) == 0) {
		if (ha_proof_own_failed(&c->proof, &incarnation) == HA_PROOF_NONE)
			return; /* "failed" said so already */
		say(c, LOG_WARNING, "fencing of %s failed: %s", c->peer_name, line + 9);
		c->cfg.fenced(c->cfg.user, incarnation, -EIO, line + 9);
	} else if (strncmp(line, "asked ", 6) == 0) {
		say(c, LOG_INFO, "the fencer was asked for %s: %s", c->peer_name, line + 6);
		ha_proof_requested(&c->proof);
		c->cfg.fence_asked(c->cfg.user);
	} else if (strncmp(line, "log ", 4) == 0) {
		say(c, LOG_INFO, "%s", line + 4);
	}
}

/* ---- corosync ---- */

static bool is_peer(const struct cluster *c, uint32_t id)
{
	return id != c->own_id && (!c->peer_id || id == c->peer_id);
}

static void try_announce(struct cluster *c)
{
	char text[64];
	struct iovec iov = {text, 0};
	cs_error_t e;

	iov.iov_len = (size_t)snprintf(text, sizeof(text), "mdcd 1 %u %" PRIu64, c->cfg.node,
				       c->cfg.incarnation) +
		      1;
	e = cpg_mcast_joined(c->cpg, CPG_TYPE_AGREED, &iov, 1);
	c->announce = e == CS_ERR_TRY_AGAIN;
	if (c->announce)
		set_timer(c, TRY_AGAIN_MS);
	else if (e != CS_OK)
		say(c, LOG_WARNING, "corosync took no message: %s", cs_strerror(e));
}

static void delivered(cpg_handle_t h, const struct cpg_name *group, uint32_t nodeid, uint32_t pid,
		      void *msg, size_t len)
{
	struct cluster *c;
	const char *text = msg;
	uint64_t incarnation;
	unsigned node;

	if (cpg_context_get(h, (void **)&c) != CS_OK || nodeid == c->own_id || len == 0 ||
	    text[len - 1] != '\0' || sscanf(text, "mdcd 1 %u %" SCNu64, &node, &incarnation) != 2)
		return;
	if (node == c->cfg.node) {
		say(c, LOG_ERR, "corosync node %u runs node %u of this pair as well", nodeid, node);
		c->cfg.gone(c->cfg.user,
			    "both hosts are the same node of the pair: look at node.id");
		return;
	}
	if (!is_peer(c, nodeid) || node != 3u - c->cfg.node)
		return;
	c->peer_id = nodeid;
	if (incarnation != c->proof.incarnation)
		say(c, LOG_NOTICE, "node %u is in the group: life %" PRIu64 ", PID %u", node,
		    incarnation, pid);
	if (incarnation < c->proof.incarnation)
		say(c, LOG_ERR,
		    "node %u was in life %" PRIu64
		    " before: its clock went back and its disk is another; it is not heard before its clock is "
		    "right and its mdcd starts anew, or this one does",
		    node, c->proof.incarnation);
	if (!c->proof.member)
		cluster_helper_say(c->helper, "back");
	ha_proof_came(&c->proof, incarnation, now_ms());
	c->peer_pid = pid;
	c->node_up = c->changed = true;
}

static void group_changed(cpg_handle_t h, const struct cpg_name *group,
			  const struct cpg_address *member, size_t members,
			  const struct cpg_address *left, size_t lefts,
			  const struct cpg_address *joined, size_t joins)
{
	struct cluster *c;
	enum ha_proof_left how;

	if (cpg_context_get(h, (void **)&c) != CS_OK)
		return;
	for (size_t i = 0; i < lefts; i++) {
		if (left[i].nodeid == c->own_id && left[i].pid == (uint32_t)getpid())
			continue;
		if (!is_peer(c, left[i].nodeid) || !c->proof.member || left[i].pid != c->peer_pid)
			continue;
		how = left[i].reason == CPG_REASON_PROCDOWN ? HA_PROOF_ENDED
		      : left[i].reason == CPG_REASON_LEAVE  ? HA_PROOF_SAID
							    : HA_PROOF_LOST;
		say(c, LOG_NOTICE, "node %u left the group: %s", 3u - c->cfg.node,
		    how == HA_PROOF_ENDED  ? "its process ended"
		    : how == HA_PROOF_SAID ? "it stops"
					   : "its node is lost");
		peer_lost(c, how);
	}
	if (joins)
		try_announce(c);
}

static void ring_changed(cpg_handle_t h, struct cpg_ring_id ring, uint32_t members,
			 const uint32_t *member)
{
	struct cluster *c;
	bool up = false;

	if (cpg_context_get(h, (void **)&c) != CS_OK)
		return;
	for (uint32_t i = 0; i < members; i++)
		up |= c->peer_id ? member[i] == c->peer_id : member[i] != c->own_id;
	if (up == c->node_up && c->told)
		return;
	if (!up && c->proof.member) {
		peer_lost(c, HA_PROOF_LOST);
		return;
	}
	c->node_up = up;
	c->changed = true;
	tell(c);
}

static void quorum_changed(votequorum_handle_t h, uint64_t context, uint32_t quorate,
			   uint32_t entries, votequorum_node_t list[])
{
	struct cluster *c = (struct cluster *)(uintptr_t)context;

	if (c->quorate != (quorate != 0))
		say(c, LOG_NOTICE, "this node is %s", quorate ? "quorate" : "not quorate any more");
	c->changed |= c->quorate != (quorate != 0);
	c->quorate = quorate != 0;
}

/* ---- opening ---- */

static int refuse(char *why, size_t size, int error, const char *what, cs_error_t e)
{
	snprintf(why, size, "%s: %s; is corosync running? See corosync-cfgtool -s", what,
		 cs_strerror(e));
	return error;
}

/* Repeats a call while corosync says "try again". */
#define PATIENTLY(e, call)                                                                \
	for (int waited_ = 0; ((e) = (call)) == CS_ERR_TRY_AGAIN && waited_ < CONNECT_MS; \
	     waited_ += TRY_AGAIN_MS)                                                     \
	poll(NULL, 0, TRY_AGAIN_MS)

static bool get_u32(cmap_handle_t h, int at, const char *key, uint32_t *ret)
{
	char path[64];

	snprintf(path, sizeof(path), "nodelist.node.%d.%s", at, key);
	return cmap_get_uint32(h, path, ret) == CS_OK;
}

static void get_name(cmap_handle_t h, int at, char out[NAME_MAX_])
{
	char path[64], *text = NULL;

	snprintf(path, sizeof(path), "nodelist.node.%d.name", at);
	if (cmap_get_string(h, path, &text) == CS_OK && text)
		snprintf(out, NAME_MAX_, "%s", text);
	free(text);
}

static uint32_t read_membership_ms(cmap_handle_t h)
{
	uint32_t token = 3000, consensus;

	cmap_get_uint32(h, "runtime.config.totem.token", &token);
	consensus = token + token / 5;
	cmap_get_uint32(h, "runtime.config.totem.consensus", &consensus);
	return token + consensus + MEMBERSHIP_SLACK_MS;
}

/* Which corosync nodes the two are: this one, and the other of a node list of two. */
static int read_nodes(struct cluster *c, char *why, size_t size)
{
	char name[NAME_MAX_];
	cmap_handle_t h;
	uint32_t id, others = 0;
	cs_error_t e;

	PATIENTLY(e, cmap_initialize(&h));
	if (e != CS_OK)
		return refuse(why, size, -ENOTCONN, "corosync's cmap cannot be asked", e);
	for (int i = 0; i < NODES_MAX; i++) {
		if (!get_u32(h, i, "nodeid", &id))
			continue;
		name[0] = '\0';
		get_name(h, i, name);
		if (id == c->own_id) {
			strcpy(c->own_name, name);
		} else {
			others++;
			c->peer_id = id;
			strcpy(c->peer_name, name);
		}
	}
	c->membership_ms = read_membership_ms(h);
	cmap_finalize(h);
	if (others != 1 || !c->own_name[0] || !c->peer_name[0]) {
		snprintf(
			why, size,
			"corosync.conf lists %u other nodes; a pair wants exactly two nodes there, "
			"each with nodeid and name",
			others);
		return -EINVAL;
	}
	return 0;
}

static cpg_model_v1_data_t model = {
	.model = CPG_MODEL_V1,
	.cpg_deliver_fn = delivered,
	.cpg_confchg_fn = group_changed,
	.cpg_totem_confchg_fn = ring_changed,
	.flags = CPG_MODEL_V1_DELIVER_INITIAL_TOTEM_CONF,
};

static int join(struct cluster *c, char *why, size_t size)
{
	char uuid[PR_UUID_TEXT];
	cs_error_t e;
	int error;

	PATIENTLY(e, cpg_model_initialize(&c->cpg, CPG_MODEL_V1, (cpg_model_data_t *)&model, c));
	if (e != CS_OK)
		return refuse(why, size, -ENOTCONN, "corosync cannot be reached", e);
	c->cpg_open = true;
	PATIENTLY(e, cpg_local_get(c->cpg, &c->own_id));
	if (e != CS_OK)
		return refuse(why, size, -ENOTCONN, "corosync does not say which node this is", e);
	error = read_nodes(c, why, size);
	if (error)
		return error;
	c->group.length = (uint32_t)snprintf(c->group.value, sizeof(c->group.value), "mdcpair:%s",
					     pr_uuid_format(uuid, &c->cfg.cluster));
	PATIENTLY(e, cpg_join(c->cpg, &c->group));
	return e == CS_OK ? 0
			  : refuse(why, size, -ENOTCONN, "corosync's group cannot be joined", e);
}

static int track_quorum(struct cluster *c, char *why, size_t size)
{
	votequorum_callbacks_t calls = {.votequorum_quorum_notify_fn = quorum_changed};
	cs_error_t e;

	PATIENTLY(e, votequorum_initialize(&c->quorum, &calls));
	if (e != CS_OK)
		return refuse(
			why, size, -ENOTCONN,
			"corosync has no votequorum (quorum.provider: corosync_votequorum is wanted)",
			e);
	c->quorum_open = true;
	PATIENTLY(e, votequorum_trackstart(c->quorum, (uint64_t)(uintptr_t)c,
					   CS_TRACK_CURRENT | CS_TRACK_CHANGES));
	return e == CS_OK ? 0 : refuse(why, size, -ENOTCONN, "quorum cannot be watched", e);
}

static int watch(struct cluster *c, int fd)
{
	struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};

	return epoll_ctl(c->epoll_fd, EPOLL_CTL_ADD, fd, &e) < 0 ? -errno : 0;
}

static int watch_all(struct cluster *c)
{
	int cpg_fd, quorum_fd, error;

	c->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	c->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (c->epoll_fd < 0 || c->timer_fd < 0)
		return -errno;
	if (cpg_fd_get(c->cpg, &cpg_fd) != CS_OK ||
	    votequorum_fd_get(c->quorum, &quorum_fd) != CS_OK)
		return -ENOTCONN;
	error = watch(c, cpg_fd);
	if (!error)
		error = watch(c, quorum_fd);
	if (!error)
		error = watch(c, c->timer_fd);
	if (!error && c->helper)
		error = watch(c, cluster_helper_fd(c->helper));
	return error;
}

int cluster_open(const struct cluster_config *cfg, struct cluster **ret, char *why, size_t size)
{
	struct cluster *c = calloc(1, sizeof(*c));
	int error;

	if (!c)
		return -ENOMEM;
	c->cfg = *cfg;
	c->epoll_fd = c->timer_fd = -1;
	error = join(c, why, size);
	if (!error)
		error = track_quorum(c, why, size);
	if (!error)
		error = cluster_helper_start(cfg->helper, c->own_name, c->peer_name, cfg->resource,
					     helper_said, c, &c->helper, why, size);
	if (!error)
		error = watch_all(c);
	if (error) {
		cluster_close(c, false);
		return error;
	}
	set_timer(c, 1); /* what corosync said already */
	*ret = c;
	return 0;
}

void cluster_close(struct cluster *c, bool said)
{
	if (!c)
		return;
	cluster_helper_free(c->helper);
	if (c->quorum_open)
		votequorum_finalize(c->quorum);
	if (c->cpg_open) {
		if (said)
			cpg_leave(c->cpg, &c->group);
		cpg_finalize(c->cpg);
	}
	if (c->epoll_fd >= 0)
		close(c->epoll_fd);
	if (c->timer_fd >= 0)
		close(c->timer_fd);
	free(c);
}

uint32_t cluster_membership_ms(const struct cluster *c)
{
	return c->membership_ms;
}

int cluster_fd(const struct cluster *c)
{
	return c->epoll_fd;
}

void cluster_run(struct cluster *c)
{
	uint64_t ticks;
	cs_error_t a, b;

	if (read(c->timer_fd, &ticks, sizeof(ticks)) == sizeof(ticks) && c->announce)
		try_announce(c);
	a = cpg_dispatch(c->cpg, CS_DISPATCH_ALL);
	b = votequorum_dispatch(c->quorum, CS_DISPATCH_ALL);
	if ((a != CS_OK && a != CS_ERR_TRY_AGAIN) || (b != CS_OK && b != CS_ERR_TRY_AGAIN)) {
		c->cfg.gone(c->cfg.user, "corosync is gone");
		return;
	}
	tell(c);
	if (cluster_helper_run(c->helper) < 0)
		c->cfg.gone(c->cfg.user, "mdcd-pacemaker, which speaks to Pacemaker, is gone");
}

void cluster_score(struct cluster *c, int score)
{
	char text[32];

	snprintf(text, sizeof(text), "score %d", score);
	cluster_helper_say(c->helper, text);
}

void cluster_ask_fence(struct cluster *c, uint64_t incarnation)
{
	ha_proof_own_request(&c->proof, incarnation, now_ms());
	cluster_helper_say(c->helper, "fence");
}
