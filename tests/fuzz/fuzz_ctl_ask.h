/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One request of a client, made of an input: sound, of few names, inodes and blocks, so that requests meet. */
#pragma once
#include "proto/frame.h"
#include "proto/wire.h"
#include "tests/fuzz/fuzz.h"

enum { ASK_INOS = 8 };

/* What answers have told so far. */
struct ask_known {
	uint64_t root, session, ino[ASK_INOS], generation, cookie;
	unsigned int inos;
	uint8_t client;
};

/* Encodes into out; returns the message's type, or 0 when it does not fit. */
uint16_t fuzz_ctl_ask(struct fuzz_in *, const struct ask_known *, struct pr_buf *out);
