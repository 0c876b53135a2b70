/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The edge of a controller: joins the core to this machine. It turns what happens (frames, completions,
 * facts, time) into events, gives them to ctl_step one by one, and carries out the effects in order.
 * It owns every descriptor and thread of mdcd, and decides nothing.
 *
 * A round: whatever is ready becomes events; then one PUMP; then what the effects queued leaves
 * together: journal writes, the link, the clients, the store's reads.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "controller/core/ctl.h"
#include "controller/io/admin.h"
#include "controller/io/conf.h"
#include "controller/io/edge_cluster.h"
#include "controller/io/edge_fence.h"
#include "controller/io/edge_loss.h"
#include "controller/io/loop.h"
#include "controller/io/ports.h"
#include "controller/io/store.h"
#include "ha/io/arbiter.h"
#include "ha/io/client_fence.h"
#include "ha/io/hl.h"
#include "ha/io/state_file.h"
#include "ha/io/super.h"
#include "ha/io/worker.h"
#include "journal/io/jx.h"

enum { EDGE_RANDOM_WORDS = 64, EDGE_REFUSED = 78 }; /* exit status: starting again does not help */

struct edge {
	struct conf conf;
	struct loop *loop;
	struct ctl *ctl;
	struct ports *ports;
	struct hl *hl;
	struct store *store;
	struct jx *jx;
	struct state_file *state_file;
	struct worker *state_worker;
	struct arbiter *arbiter;
	struct client_fence *client_fence;
	struct super *super;
	struct admin *admin;
	struct edge_cluster cl;
	struct edge_fence fence;
	struct loop_timer core_timer, work_timer;
	int lock_fd, signal_fd;
	uint64_t incarnation;
	uint64_t random[EDGE_RANDOM_WORDS];
	uint32_t random_left;
	int exit_status;
	int score; /* as last said to the supervisor, and why */
	char score_why[64];
	bool stepping;

	/* for status */
	char arbiter_said[256];
	uint64_t arbiter_said_ms;
	uint64_t started_ms, active_since_ms, first_reply_ms, handover_asked_ms, heard_ms;
	struct edge_loss lost, before; /* of the peer: now; before the last promotion */
	enum pr_role role;
	uint64_t alarms;
	uint64_t steps;
};

/* Opens all of it and boots the core: 0, or -errno and a sentence. */
int edge_open(struct edge *, const struct conf *, char *why, size_t why_size);
int edge_run(struct edge *); /* until it is told to stop: the exit status */
void edge_close(struct edge *);

/* Gives one event to the core and carries out what follows. Fills in the time. */
void edge_step(struct edge *, struct ctl_event *);
/* The callbacks of ports, link, store and the others; see edge.c. */
void edge_add_sources(struct edge *);
int edge_listen(struct edge *, char *why, size_t why_size);

/* What this controller says of itself: a new object. */
json_t *edge_status(const struct edge *);
/* What mdcctl asked for. */
void edge_admin_request(void *user, uint64_t ticket, const char *text);
