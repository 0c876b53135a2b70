/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The local door for mdcctl: a libqb service on mdcd's own loop. Takes command lines from root or the
 * daemon's own user, gives back JSON in pieces. What a command means is decided elsewhere.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "controller/io/loop.h"

struct admin;

enum { ADMIN_MESSAGE_BYTES = 64 << 10, ADMIN_REQUEST = 1, ADMIN_PIECE = 2, ADMIN_LAST = 3 };

/* 0, or -errno and a sentence. One in a process: libqb's callbacks carry no context. */
int admin_open(struct loop *, const char *name,
	       void (*request)(void *user, uint64_t ticket, const char *text), void *user,
	       struct admin **ret, char *why, size_t why_size);
void admin_free(struct admin *); /* NULL is fine */
/* Answers a request; error 0 or a negative errno. A caller that is gone is passed over. */
void admin_reply(struct admin *, uint64_t ticket, int error, const void *json, size_t len);

/* The service's name of the node whose directory this is; also written to DIR/admin by the daemon. */
void admin_name(const char *dir, char out[64]);
