/* SPDX-License-Identifier: GPL-2.0-or-later OR LGPL-2.1-or-later */
/*
 * A LUN behind an iscsi:// URL, spoken to from user space: blocks and the persistent reservation of who writes them. For the
 * metadata LUN of controllers; it has no descriptor, so no file data goes this way. Blocking, a connection is made when it
 * is needed, and nothing is sent twice but reads.
 *
 * The reservation is of type Write Exclusive, Registrants Only, under a key of this description alone. It can be lost at any
 * time (the target started anew, somebody preempted it); then writes are refused until it is held again.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lun_iscsi;

/* iscsi://HOST[:PORT]/TARGET/LUN, connected. why says what is wrong. */
int lun_iscsi_open(const char *url, struct lun_iscsi **ret, char *why, size_t size);
void lun_iscsi_close(struct lun_iscsi *); /* NULL is fine; gives the reservation back */

uint64_t lun_iscsi_bytes(const struct lun_iscsi *);
/* offset and bytes in whole blocks of the device. -EIO, -EBADE: reserved for others. */
int lun_iscsi_read(struct lun_iscsi *, uint64_t offset, uint8_t *to, size_t bytes);
/* Durable when it returns 0. -EBADE: reserved for others. After any other error its outcome is unknown until it is held again. */
int lun_iscsi_write(struct lun_iscsi *, uint64_t offset, const uint8_t *from, size_t bytes);

/*
 * 0: held as before. 1: held from now on, and nothing that was sent under another holder, or on an earlier connection, is
 * on its way any more: what stands must be read anew. -EBUSY: another one holds it (who says which), never with take, which
 * preempts every other key (SPC-4 5.13.11.2). -EBADE: it was held, and another one holds it now.
 */
int lun_iscsi_hold(struct lun_iscsi *, bool take, char *who, size_t size);
int lun_iscsi_release(struct lun_iscsi *);
