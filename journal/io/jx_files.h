/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The files of a journal's directory: making, opening, locking. Between jx.c and jx_files.c only.
 */
#pragma once
#include "journal/io/jx.h"

enum { JX_FILES_MAX = 256, JX_ARCHIVE = 255 };

struct jx_files {
	int dir_fd, lock_fd;
	int fds[JX_FILES_MAX]; /* -1: none */
	uint64_t archive_bytes;
	bool direct;
};

void jx_files_init(struct jx_files *);
/* path is the journal's own directory. */
int jx_files_open(struct jx_files *, const char *path, const struct jx_config *, char *why,
		  size_t size);
void jx_files_close(struct jx_files *);
const char *jx_file_name(uint8_t file, char out[32]);
