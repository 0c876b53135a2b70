/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The edge's part of a real cluster: facts of ha/io/cluster become events, wishes go there, and the orders of the OCF agent,
 * which come through the admin socket, become promote and demote. Decides nothing but when to pass something on.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "controller/io/loop.h"
#include "ha/io/cluster.h"

struct edge;
struct ctl_effect;

struct edge_cluster {
	struct cluster *cluster; /* NULL: an embedded pair, all of this does nothing */
	uint64_t promote_ticket; /* obeyed, but this controller does not serve yet; 0: none */
	uint64_t move_ticket;	 /* mdcctl's switchover, on its way through Pacemaker; 0: none */
	struct loop_timer score_timer, fence_timer, move_timer;
	uint64_t fence_incarnation;
	int score; /* as last told */
	bool score_told, ordered, node_up, process_up, leaving;
};

/* Joins the group: after the directory is ours, before anything is touched that a peer might use. */
int edge_cluster_open(struct edge *, char *why, size_t why_size);
void edge_cluster_start(struct edge *);
void edge_cluster_close(struct edge *); /* the last thing that a process does */

void edge_cluster_score(struct edge *);
void edge_cluster_ask_fence(struct edge *, uint64_t incarnation);
void edge_cluster_role(struct edge *);
/* True: the ticket was the agent's, and is answered. */
bool edge_cluster_result(struct edge *, const struct ctl_effect *);
/* True: the command was for here. */
bool edge_cluster_command(struct edge *, uint64_t ticket, const char *text);
