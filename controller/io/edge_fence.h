/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Proof that a lost client is silent, on every LUN of every volume. client_fence looks at the LUNs that [lun] of mdcd.conf
 * names; which LUNs volumes have, the core knows, and is asked before each fence. A LUN that this controller was not
 * started with cannot be looked at: then there is no proof, the blocks stay where they are, and the core tries again.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "controller/io/conf.h"
#include "controller/io/loop.h"
#include "proto/uuid.h"

struct edge;
struct lost_client;

struct edge_fence {
	struct pr_uuid lun[CONF_LUNS_MAX]; /* as their labels say, in the order of mdcd.conf */
	struct lost_client *todo;
	struct loop_timer timer;
	uint64_t asked_ms; /* the core, which has not answered yet; or 0 */
	int error;	   /* why what is in todo cannot be proven; 0: the core has not said yet */
};

/* Reads the labels: 0, or -errno and a sentence. */
int edge_fence_open(struct edge *, char *why, size_t size);
void edge_fence_close(struct edge *);
/* Answered by CTL_EV_CLIENT_FENCED. */
void edge_fence_client(struct edge *, uint64_t session, uint32_t key);
/* True: the core's answer was for this file. */
bool edge_fence_answer(struct edge *, uint64_t ticket, int error, const void *json, size_t len);
/* The UUIDs of the LUNs. A new object. */
json_t *edge_fence_luns(const struct edge *);
