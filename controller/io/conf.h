/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The configuration of one controller: mdcd.conf as mdcd.conf(5) describes it, read and checked as a
 * whole. Owns what may be written there and what is said when it is wrong; starts nothing.
 */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "proto/uuid.h"

enum { CONF_LUNS_MAX = 64, CONF_ADDRESS_MAX = 64 };

enum conf_stack { CONF_EMBEDDED, CONF_COROSYNC };

struct conf {
	char path[PATH_MAX]; /* of the file, absolute */
	struct pr_uuid cluster;
	char name[64];
	enum conf_stack stack; /* who says who is there, and orders the roles */
	uint32_t node;	       /* 1 or 2 */
	char dir[PATH_MAX];
	char access[2][CONF_ADDRESS_MAX]; /* numeric addresses of node 1 and node 2 */
	uint32_t access_port, coord_port;
	char heartbeat[2][CONF_ADDRESS_MAX];
	uint32_t heartbeat_port;
	char lun[CONF_LUNS_MAX][PATH_MAX]; /* lun[0] holds the arbiter record */
	uint32_t luns;
	uint32_t segment_mib, segments;
	uint32_t cache_mib, overlay_mib, map_mib, readers, priority;
	uint32_t flush_ms, lease_ms;
	uint32_t beat_ms, link_lease_ms, drop_ms, link_dead_ms;
	uint32_t sessions_max, slots_max, connections_max;
	bool freeze_on_peer_loss;
	char admin[64];	       /* name of the admin socket; empty: made from dir */
	int supervisor_fd;     /* -1: none */
	char log_to[PATH_MAX]; /* "stderr", "syslog" or a file */
	int log_level;	       /* of syslog(3) */
};

/* 0, or a negative errno and one line in why: "FILE:LINE: section.key: what is wrong; what is allowed". */
int conf_read(const char *path, struct conf *ret, char why[512]);
/* The same of an open file whose absolute path is given; said is what why calls it. */
int conf_parse(FILE *, const char *said, const char *path, struct conf *ret, char why[512]);

static inline const char *conf_own_access(const struct conf *c)
{
	return c->access[c->node - 1];
}

/* Joins a path of the configuration to the directory it stands in. */
int conf_join(char out[PATH_MAX], const char *dir, const char *path);

/* Each setting that both hosts must have alike, as "section.key" and text; LUNs are compared by their labels instead. */
void conf_shared(const struct conf *, void (*say)(void *user, const char *name, const char *value),
		 void *user);
