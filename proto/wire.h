/* SPDX-License-Identifier: GPL-2.0-or-later OR LGPL-2.1-or-later */
/*
 * The messages of wire.def as C: their numbers, structs and codec, and the meaning of the numbers
 * inside them. Never allocates, never sends; frame.h puts a message on a stream.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/cursor.h"
#include "proto/text.h"
#include "proto/uuid.h"

#define PR_DEF "proto/wire.def"
#include "proto/gen_decl.inc"

enum pr_type {
#define MSG(number, name, NAME, CHANNEL) PR_T_##NAME = number,
#include "proto/wire.def"
};

#define PR_T_REPLY 0x8000 /* the reply to request N has number N | PR_T_REPLY */

enum pr_channel {
	PR_CH_ACCESS = 1,
	PR_CH_COORD = 2,
	PR_CH_LINK = 3,
	PR_CH_ADMIN = 4,
	PR_CH_SUPER = 5,
};

enum pr_role {
	PR_ROLE_STARTING = 0,
	PR_ROLE_STANDBY = 1,
	PR_ROLE_PROMOTING = 2,
	PR_ROLE_ACTIVE = 3,
	PR_ROLE_STOPPED = 4,
};

/* setattr.valid */
enum {
	PR_SET_MODE = 0x001,
	PR_SET_UID = 0x002,
	PR_SET_GID = 0x004,
	PR_SET_SIZE = 0x008,
	PR_SET_ATIME = 0x010,
	PR_SET_MTIME = 0x020,
	PR_SET_ATIME_NOW = 0x040,
	PR_SET_MTIME_NOW = 0x080,
	PR_SET_KILLPRIV = 0x100,    /* clear the set-id bits, as a write by others does */
	PR_SET_ATIME_TOUCH = 0x200, /* relatime's update of atime: leaves ctime alone */
};

/* create.flags, open.flags */
enum {
	PR_O_READ = 0x01,
	PR_O_WRITE = 0x02,
	PR_O_EXCL = 0x04,
	PR_O_TRUNC = 0x08,
	PR_O_CREAT = 0x10,
	PR_O_APPEND = 0x20,
	PR_O_EXEC = 0x40,
};

/* layout_commit.flags */
enum {
	PR_LC_SIZE = 1,	    /* size is valid */
	PR_LC_MTIME = 2,    /* mtime_ns is valid; without it mtime becomes now */
	PR_LC_KILLPRIV = 4, /* clear the set-id bits */
};

/* rename.flags */
enum { PR_RENAME_NOREPLACE = 1, PR_RENAME_EXCHANGE = 2 };
/* xattr_set.flags */
enum { PR_XATTR_CREATE = 1, PR_XATTR_REPLACE = 2 };
/* session_open.flags */
enum { PR_OPEN_EXCLUSIVE = 1, PR_OPEN_READER = 2 };
/* session_bind.flags */
enum { PR_BIND_MORE = 1 };
/* extent.state, map.state */
enum { PR_EXTENT_HOLE = 0, PR_EXTENT_UNWRITTEN = 1, PR_EXTENT_WRITTEN = 2 };
/* held.layout, layout_get.mode, recall.mode */
enum { PR_LAYOUT_NONE = 0, PR_LAYOUT_READ = 1, PR_LAYOUT_WRITE = 2 };
/* link_session.kind */
enum { PR_LINK_INSYNC = 0, PR_LINK_RESYNC = 1, PR_LINK_COPY = 2 };

const char *pr_type_name(uint16_t type);	/* "create_r"; NULL when there is none */
enum pr_channel pr_type_channel(uint16_t type); /* 0 when there is none */
const char *pr_channel_name(uint8_t channel);	/* "access"; "?" when there is none */
const char *pr_role_name(uint8_t role);		/* "standby"; "?" when there is none */

/*
 * Any message by its number. -EOPNOTSUPP: there is no such message; -EBADMSG: it is not one, and
 * for dump the text says why. A reply whose status is not 0 carries struct pr_error instead.
 */
int pr_message_check(uint16_t type, const uint8_t *p, size_t len);
int pr_message_dump(uint16_t type, const uint8_t *p, size_t len, struct pr_text *t);
/* Why pr_message_check refuses it, as "create.name: empty"; nothing when it does not. */
void pr_message_why(uint16_t type, const uint8_t *p, size_t len, struct pr_text *t);
