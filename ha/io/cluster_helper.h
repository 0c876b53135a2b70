/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mdcd's end of mdcd-pacemaker, a child that speaks to Pacemaker's daemons for it, so that neither their libraries nor their
 * waits are in mdcd. Lines over a socket pair:
 *
 *	to it:	 score N (0: never promote), fence, failed (the peer's controller ended by itself), lost (its node is: Pacemaker is to
 *		 hurry), back (it is there again)
 *	from it: asked TEXT (the fencer was, by whomever; may come more than once), fenced TEXT, failed TEXT (a fence, asked for by whomever),
 *		 unfenced TEXT (the one that mdcd asked for), done (likewise), log TEXT
 *
 * The child ends with its parent.
 */
#pragma once

#include <stddef.h>

struct cluster_helper;

/* 0, or -errno and a sentence. resource NULL: no scores and no failures are written. */
int cluster_helper_start(const char *path, const char *own_name, const char *peer_name,
			 const char *resource, void (*said)(void *user, const char *line),
			 void *user, struct cluster_helper **ret, char *why, size_t why_size);
void cluster_helper_free(struct cluster_helper *); /* NULL is fine */
int cluster_helper_fd(const struct cluster_helper *);
/* Takes what it said: 0, or -EPIPE: it is gone. */
int cluster_helper_run(struct cluster_helper *);
void cluster_helper_say(struct cluster_helper *, const char *line);
