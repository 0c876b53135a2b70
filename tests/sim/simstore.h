/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A store without a disk, for tests and the simulator: sorted rows and the LSN they stand at. A flush
 * is atomic. Answers fetches as the daemon's store does.
 */
#pragma once
#include "controller/core/ctl.h"

struct simstore;

struct simstore *simstore_new(void);
void simstore_free(struct simstore *);
struct simstore *simstore_copy(const struct simstore *);
void simstore_clear(struct simstore *);

uint64_t simstore_lsn(const struct simstore *);
size_t simstore_count(const struct simstore *);
/* Row i in key order. */
void simstore_row(const struct simstore *, size_t i, struct ctl_row *ret);
/* NULL: there is none. Valid until the next flush. */
const struct ctl_row *simstore_find(const struct simstore *, const struct pr_key *);

void simstore_flush(struct simstore *, struct ctl_flush *, uint64_t lsn);
/* Put or (value NULL) delete one row, for tests that begin with something. */
void simstore_put(struct simstore *, const struct pr_key *, const void *value, uint32_t bytes);
void simstore_set_lsn(struct simstore *, uint64_t lsn);

/* rows has room for fetch->rows_max; they stay valid until the next flush. */
uint32_t simstore_fetch(const struct simstore *, const struct ctl_fetch *, struct ctl_row *rows,
			bool *ret_complete);

/*
 * A full copy. read: the next piece after the key *at (len 0: from the start), at most `bytes`; *at
 * moves on; returns its length, *ret_last at the end. apply: into a store that is being filled.
 */
uint32_t simstore_copy_read(const struct simstore *, struct pr_key *at, uint8_t *out,
			    uint32_t bytes, bool *ret_last);
int simstore_copy_put(struct simstore *, const uint8_t *p, uint32_t len);
