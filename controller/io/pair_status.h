/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where the controllers of a pair are found, and their status as one JSON object: each controller's own,
 * the supervisor's where there is one, and the times of the last promotion put together from both.
 */
#pragma once

#include <jansson.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

struct pair_place {
	char dir[2]
		[PATH_MAX]; /* directories of controllers; dir[1] empty: only one is within reach */
	char pair[PATH_MAX]; /* directory of an embedded pair, or empty */
	char conf[PATH_MAX]; /* a configuration of this cluster, or empty */
	char note[640];	     /* what is wrong with that of an embedded pair, or empty */
};

/* path: what -C says, or NULL: /etc/mdcpair/mdcd.conf. 0, or -errno and a sentence. */
int pair_find(const char *path, struct pair_place *ret, char *why, size_t size);

/*
 * Always an object: {"controllers": [...], "active": node or null, "epoch": its or null, "last_promotion": {...} or null,
 * "supervisor": {...} or null, "health": ...}.
 */
json_t *pair_status(const struct pair_place *);
/* "ok", "degraded", "down": from an object of pair_status. Of one controller alone: as far as it can know. */
const char *pair_health(const json_t *status);
/* A command to the active, or to any that answers when none is. 0: *ret (to be freed) and *ret_error; or -errno: nobody answers. */
int pair_command(const struct pair_place *, const char *command, int wait_ms, char **ret,
		 int *ret_error);
