/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The directory of an embedded pair, and where mdcctl finds controllers. In DIR: lun0, node1 and node2
 * (each with its mdcd.conf), log, the supervisor's pid file and socket, and last the file "pair", which
 * says that all of it was made.
 */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "proto/uuid.h"

struct pair_dir {
	char path[PATH_MAX - 64]; /* absolute */
	char node[2][PATH_MAX];	  /* directory of node 1 and 2 */
	char address[2][64];
	struct pr_uuid cluster;
	uint16_t access_port;
	bool made_dir; /* by this process, and nobody had a pair there before: the directory; */
	bool made;     /* what is in it */
};

/* 0; -ENOENT: nothing is there, or an empty directory; -ENOTDIR ...; -EBADF: it is something else. why is a sentence. */
int pair_dir_open(const char *path, struct pair_dir *ret, char *why, size_t why_size);
/* The same in two steps: where it is; what its configuration says. Who only looks at a pair or stops it needs no more than the first. */
int pair_dir_find(const char *path, struct pair_dir *ret, char *why, size_t why_size);
int pair_dir_read(struct pair_dir *, char *why, size_t why_size);
/*
 * Only one at a time makes, starts or unmakes a pair in path, which is made if it is missing: *ret_made. To be closed; -1: it cannot be
 * had, go on to hear why.
 */
int pair_dir_hold(const char *path, bool *ret_made);
/* Makes all of it in an empty or missing directory. The LUN is labelled and its space is reserved. */
int pair_dir_make(const char *path, uint64_t lun_bytes, struct pair_dir *ret, char *why,
		  size_t why_size);
/* Removes what was made, as made and made_dir say: nothing that stood there before. No process may use it any more. */
void pair_dir_unmake(const struct pair_dir *);
/* DIR/log/NAME.log, to be appended to; the directory is made again if somebody removed it. Descriptor or -errno. */
int pair_dir_open_log(const struct pair_dir *, const char *name);
/* PID of the supervisor that has the pair in this directory, whether it answers or not; 0: none has it. */
pid_t pair_dir_supervisor(const char *path);
/* "4G", "256M" ...: 0 or -EINVAL. */
int pair_parse_bytes(const char *text, uint64_t *ret);
