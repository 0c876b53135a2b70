/* SPDX-License-Identifier: GPL-2.0-or-later OR LGPL-2.1-or-later */
/*
 * A LUN by path: a regular file, a loop device or any other block device; or, for controllers, by its iscsi:// URL. Owns the descriptor, the
 * label, the arbiter's and the floor's raw blocks, and the locks that stand for reservations;
 * interprets neither record nor file data. Blocking calls: small, rare, and not for the event loop.
 * File data goes through aio.h on lun_fd.
 *
 * Every function returns 0 or -errno; what a person should read stands in why.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lun/label.h"

struct lun;

enum { LUN_READ_ONLY = 1 };

enum lun_kind { LUN_FILE, LUN_LOOP, LUN_BLOCK, LUN_ISCSI };

/* -ENOTBLK: neither a file nor a block device. O_DIRECT where the file system has it. */
int lun_open(const char *path, unsigned flags, struct lun **ret, char *why, size_t size);
void lun_close(struct lun *); /* NULL is fine; releases every lock */

/* O_DIRECT if lun_direct: 4096-aligned offset, size and memory. LUN_ISCSI has none: -1. */
int lun_fd(const struct lun *);
bool lun_direct(const struct lun *);
enum lun_kind lun_kind(const struct lun *);
/* A file is still what its path names: -ENODEV if it was moved, removed or replaced. Of other kinds always 0. */
int lun_is_there(const struct lun *, char *why, size_t size);
uint64_t lun_blocks(const struct lun *); /* whole blocks of 4096 bytes, as it is now */
const char *lun_path(const struct lun *);

/*
 * -ENODATA: no label. -EBADMSG, -EPROTONOSUPPORT: see label.h. -ENOSPC: labelled, but shorter than
 * its label says.
 */
int lun_label_read(struct lun *, struct lun_label *ret, char *why, size_t size);
/*
 * Writes label and blank arbiter and floor blocks, and reads the label back. label->blocks and
 * data_block are set here when zero. force: NULL, or the name or UUID of the label that may be
 * overwritten, or for a LUN without a label that holds something else, known or not, its path. -EEXIST: already
 * labelled, -ENOTEMPTY: something else stands there (why says what), -EBUSY: mounted, or locked.
 */
int lun_label_write(struct lun *, struct lun_label *label, const char *force, char *why,
		    size_t size);
/*
 * Changes volume, number or flags of the label that stands there; cluster and lun UUID must be its
 * own (-ESTALE).
 */
int lun_label_update(struct lun *, const struct lun_label *label, char *why, size_t size);
/*
 * What stands on an unlabelled LUN, in words, by its magic numbers: "an ext4 file system". NULL:
 * nothing known.
 */
const char *lun_signature(struct lun *);

/*
 * One block, read past every cache, written through every cache and read back. block:
 * LUN_ARBITER_BLOCK + copy or LUN_FLOOR_BLOCK + copy.
 */
int lun_block_read(struct lun *, uint64_t block, uint8_t out[LUN_BLOCK_BYTES]);
/* -EIO: the write failed, or what was read back differs. -EBADE: the LUN is reserved for another one. */
int lun_block_write(struct lun *, uint64_t block, const uint8_t in[LUN_BLOCK_BYTES]);

/* ---- locks: they belong to the description of lun_fd, and end with the last I/O on it ---- */

/* A client's key. Held until lun_close or release. -EBUSY: another description holds it. */
int lun_key_hold(struct lun *, uint32_t key);
int lun_key_release(struct lun *, uint32_t key);
/* "process 123 (mdcfs)" if this machine knows who holds it, else "". */
void lun_key_holder(struct lun *, uint32_t key, char *who, size_t size);
/*
 * 0: nobody holds it, so nothing that its holder wrote is on its way any more. -EBUSY: somebody
 * does.
 */
int lun_key_is_free(struct lun *, uint32_t key);
int lun_keys_are_free(struct lun *); /* any of them */
/*
 * The right to write arbiter and floor: a lock, or by URL a persistent reservation. 0: it has it. 1: it has it from now on, or again,
 * and another one may have written: read before you write. -EBUSY: another controller has it; who (may be NULL) gets
 * "process 123 (mdcd)" if the machine knows, else "". -EBADE: it was taken away by another one. Never waits.
 */
int lun_arbiter_lock(struct lun *, char *who, size_t size);
/*
 * The same, from an owner that is proven dead or has promised to stand by: a reservation is taken away from it, and all that it
 * wrote is on the LUN or never will be. A lock cannot be taken from the living: -EBUSY.
 */
int lun_arbiter_take(struct lun *, char *who, size_t size);
int lun_arbiter_unlock(struct lun *);
