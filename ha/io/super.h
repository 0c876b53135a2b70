/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The channel between the embedded supervisor and a controller it started: facts and orders one way,
 * wishes and results the other, as frames over a socket pair. Either end may use it. A broken channel
 * is an answer too: a controller whose supervisor is gone ends itself.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "proto/frame.h"
#include "proto/wire.h"

struct super;

int super_new(int fd, struct super **ret); /* takes the descriptor over, also when it fails */
void super_free(struct super *);	   /* NULL is fine */
int super_fd(const struct super *);
/* Reads what is there: 0; -EPIPE: the other end is gone; -EBADMSG. Then super_next until it is false. */
int super_read(struct super *);
bool super_next(struct super *, struct pr_frame *ret, const uint8_t **ret_payload);

/* 0, or -EPIPE: the other end is gone, or takes nothing any more. */
int super_fact_peer(struct super *, const struct pr_fact_peer *);
int super_fact_fence(struct super *, const struct pr_fact_fence *);
int super_order_promote(struct super *, const struct pr_order_promote *);
int super_order_demote(struct super *, const struct pr_order_demote *);
int super_order_result(struct super *, const struct pr_order_result *);
int super_ask_fence(struct super *, const struct pr_ask_fence *);
int super_set_score(struct super *, const struct pr_set_score *);
int super_ask_move(struct super *, const struct pr_ask_move *);
int super_pulse(struct super *, const struct pr_pulse *);
