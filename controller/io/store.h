/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The rows on disk: one LMDB environment in DIR/store, one table with the rows' own keys, and beside
 * them the LSN at which they stand, changed in the same transaction. Owns the threads that touch it:
 * readers that answer fetches and copy reads, and one writer at low priority for flushes and for the
 * environment a full copy arrives in. While the disk is full the writer waits. Nothing here blocks its caller; nothing here decides.
 *
 * Order of making: empty in DIR/store.new, durable, renamed, directory synced. Order of a flush: rows and LSN in one transaction, durable at its commit, then reported. Order of a
 * full copy: rows into DIR/store.new, made durable, exchanged by name with DIR/store, directory synced,
 * then reported; the old environment stays in DIR/store.old until store_copy_keep, the next start or copy.
 */
#pragma once

#include "controller/core/ctl.h"
#include "proto/uuid.h"

struct store;

struct store_config {
	const char *dir;
	struct pr_uuid cluster;
	uint64_t map_bytes; /* to start with; grows by itself */
	uint32_t readers;
	uint32_t flush_ms; /* how often flushes come: each is spread over a part of it */
};

enum store_done_type {
	STORE_ROWS,
	STORE_FLUSHED,
	STORE_COPY_ROWS,
	STORE_COPY_APPLIED,
	STORE_SPACE, /* error: -ENOSPC, a write waits for room on the disk; 0, it has it now */
};

/* What became true; its memory is valid until the next store_next. */
struct store_done {
	enum store_done_type type;
	uint64_t ticket;
	int error;
	uint64_t lsn;
	const struct ctl_row *rows;
	uint32_t row_count;
	bool complete;
	const uint8_t *p;
	uint32_t len;
	bool last;
	uint64_t done_bytes, total_bytes;
	const char *text; /* for the log; may be NULL */
};

struct store_stats {
	uint64_t lsn, map_bytes, used_bytes, entries;
	uint64_t fetches, fetched_rows, fetches_again, flushes, flushed_rows, flush_ms, map_grown,
		no_space;
	bool flushing;
};

/* 0, or -errno and a sentence. */
int store_open(const struct store_config *, struct store **ret, char *why, size_t why_size);
void store_close(struct store *);	  /* waits for what runs; NULL is fine */
uint64_t store_lsn(const struct store *); /* at open, then of the last flush reported */

void store_fetch(struct store *, uint64_t ticket, const struct ctl_fetch *);
void store_flush(struct store *, struct ctl_flush *, uint64_t lsn); /* one at a time */
/* Full copy, source: the rows after those of the last call; cookie 0: from the first. One at a time. */
void store_copy_read(struct store *, uint64_t cookie);
/* Full copy, target, in this order, one at a time; the bytes of put are copied. */
void store_copy_begin(struct store *);
void store_copy_put(struct store *, const uint8_t *p, uint32_t len);
void store_copy_end(struct store *, uint64_t lsn);
void store_copy_keep(
	struct store *); /* the copy is here to stay: what stood before it may go. No answer */

void store_kick(struct store *); /* end of a round: what was asked since is handed to the threads */
int store_fd(const struct store *); /* readable: call store_next until false */
bool store_next(struct store *, struct store_done *ret);
void store_get_stats(struct store *, struct store_stats *ret);
