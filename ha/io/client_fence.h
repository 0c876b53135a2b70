/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Proof that a client writes no more: its key is taken off every LUN. On a file or a local block device
 * a client holds the lock of its key's byte on the descriptor that does its I/O, so whoever obtains
 * that lock knows that nothing of the client is on its way any more. Tries until it can say so.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct client_fence;

struct client_fence_done {
	uint64_t session;
	int error; /* 0: proven silent; -EAGAIN: still holding, tried again; answered again later */
	char text[256];
};

int client_fence_new(const char *const *paths, uint32_t count, struct client_fence **ret);
void client_fence_free(struct client_fence *); /* NULL is fine */
void client_fence_start(struct client_fence *, uint64_t session, uint32_t key);
int client_fence_fd(const struct client_fence *);
bool client_fence_next(struct client_fence *, struct client_fence_done *ret);
