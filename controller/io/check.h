/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mdcctl check: what is looked at on a host before its cluster starts (facts), and what follows from the facts of both hosts
 * (findings). Facts are JSON, so that those of the other host can come over any channel. Changes nothing, except that check_cas
 * writes the arbiter record anew with its own content.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

struct check_files {
	const char *corosync; /* corosync.conf */
	const char *cib;      /* NULL: what Pacemaker says, or its file while it does not run */
};

/* What this host is, by the configuration at conf_path: always an object; "error" in it: no sound configuration. */
json_t *check_facts(const char *conf_path, const struct check_files *);
/* An array of {"check", "level" (ok, warning, error), "text", "next"}; b: NULL when the other host was not asked. */
json_t *check_judge(const json_t *a, const json_t *b);
/*
 * Replaces the arbiter record by itself with the next number. 0; -EBUSY: a controller may write it now; or what failed, with a
 * sentence. Only while no controller of the pair runs.
 */
int check_cas(const char *conf_path, char *why, size_t size);

/* ---- parts of the facts ---- */

/* "ok", or what is wrong with frames of the full size to the other one's heartbeat address. */
json_t *check_frames(const char *from, const char *to);
/* What is reserved, as the kernel writes it, and which of the count ports the kernel may give to any program. */
void check_reserved(json_t *o, const unsigned *ports, int count);
/* Is the address one of this host's? */
bool check_is_here(const char *address);
/* nodes, their addresses, hash of the file and of the key beside it. */
json_t *check_corosync(const char *path);
/* nodes, stonith-enabled, fence devices and what they answer, mdcd's configurations; host: whose fence device is not asked. */
json_t *check_cib(const char *path, const char *host);
