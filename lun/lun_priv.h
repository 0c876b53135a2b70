/* SPDX-License-Identifier: GPL-2.0-or-later OR LGPL-2.1-or-later */
/* What a LUN is, for the files of this room that open it and lock it. */
#pragma once
#include "lun/lun.h"

struct lun_iscsi;

struct lun {
	int fd;
	bool direct;
	enum lun_kind kind;
	struct lun_iscsi *iscsi; /* NULL: a path */
	uint8_t *buffer;	 /* aligned */
	char *path;
};
