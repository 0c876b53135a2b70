/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The journal's executor: the files of one journal in DIR/journal, and the I/O that the core asks
 * for. Makes and preallocates them when they are new, keeps them locked on the very descriptions
 * that do the I/O, so that a successor gets them only when nothing of a dead process is on its way
 * any more. Decides nothing and never repeats a write that failed.
 *
 *	DIR/journal/ring		file 0
 *	DIR/journal/segment-001 ...	files 1 ..
 *	DIR/journal/archive		file 255: images of batches that were cut, one after another
 *	DIR/journal/lock		who has it open, in words
 *	DIR/journal/unfinished		there while the files are being made
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "journal/core/jr.h"
#include "lun/aio.h"

struct jx;

struct jx_config {
	const char *dir;
	struct jr_config journal;
	enum aio_engine engine;
	/*
	 * nothing is made, locked or written; dir is the journal's own (jx_geometry). Writes are
	 * answered with 0 and dropped
	 */
	bool read_only;
	unsigned patience_ms; /* how long to wait for another process's lock; 0: 10000 */
	void (*progress)(void *user, uint64_t done_bytes,
			 uint64_t total_bytes); /* while preallocating; may be NULL */
	void *user;
};

/*
 * 0, or -errno with a sentence in why: -EBUSY somebody has it open (who is said), -EUCLEAN files
 * are missing or of another size. The directory must be there; DIR/journal need not.
 */
int jx_open_with(const struct jx_config *, struct jx **ret, char *why, size_t size);
int jx_open(const char *dir, const struct jr_config *, struct jx **ret, char *why, size_t size);
/* Waits for what is under way. NULL is fine. */
void jx_close(struct jx *);

/* Never fails: what cannot be submitted comes back by jx_next. Held back until jx_kick. */
void jx_submit(struct jx *, const struct jr_io *);
void jx_kick(struct jx *);
int jx_fd(const struct jx *); /* readable: call jx_next until false */
bool jx_next(struct jx *, uint64_t *ret_tag, int *ret_error);
bool jx_wait(struct jx *, int timeout_ms); /* for programs without a loop of their own */

/*
 * Moves I/O between a core and the disk until neither has anything left to do. Events stay with the
 * core. For tools and tests.
 */
void jx_drive(struct jx *, struct jr *);

/* Words for the log: the engine, and whether O_DIRECT is in use. */
const char *jx_describe(const struct jx *);

/*
 * What the files in DIR/journal, or in DIR itself, say of the geometry: for tools. The cluster is
 * that of the newest entry of the ring, or zero. *ret_dir is "DIR/journal" or "DIR". 0, or -errno
 * with a sentence.
 */
int jx_geometry(const char *dir, struct jr_config *ret, char *ret_dir, size_t dir_size, char *why,
		size_t size);
/* Does some process have it open? Who, in words, if known. */
bool jx_in_use(const char *journal_dir, char *who, size_t size);
