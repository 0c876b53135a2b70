/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The namespace: POSIX meaning of every operation, on rows. Each function runs inside a tx, returns 0, a negative errno or TX_MISS,
 * checks permissions with the caller's credentials, and fills the reply. It knows nothing of sockets, batches or roles.
 */
#pragma once
#include "controller/core/tx.h"

/*
 * An operation that would change more rows than a record holds does part of it and answers NS_AGAIN: what it wrote so far is a
 * consistent step. Make it a record of its own, without reply and slot, then run the operation anew. Only setattr,
 * layout_get, layout_commit, allocate and ns_trim of files in very many pieces do so.
 */
enum { NS_AGAIN = 1 };

#define NS_OP(name) int ns_##name(struct tx *, const struct pr_##name *, struct pr_##name##_r *)
NS_OP(lookup);
NS_OP(getattr);
NS_OP(setattr);
NS_OP(create);
NS_OP(mknod);
NS_OP(mkdir);
NS_OP(symlink);
NS_OP(readlink);
NS_OP(link);
NS_OP(unlink);
NS_OP(rmdir);
NS_OP(rename);
NS_OP(statfs);
NS_OP(xattr_get);
NS_OP(xattr_set);
NS_OP(xattr_remove);
NS_OP(open);
NS_OP(access);
NS_OP(layout_get);
NS_OP(layout_commit);
NS_OP(allocate);
/* Lists write their entries into buf; the reply's list or bytes point there. */
int ns_readdir(struct tx *, const struct pr_readdir *, struct pr_readdir_r *, struct pr_buf *buf);
int ns_xattr_list(struct tx *, const struct pr_xattr_list *, struct pr_xattr_list_r *,
		  struct pr_buf *buf);

/* layout_get writes its extents into the list built in ns_scratch(tx); see layout.c. */
struct pr_buf *
ns_scratch(struct tx *); /* 256 KiB, emptied at the start of each run of an operation */

/* Make a volume on labelled LUNs: root directory, free space. One record. name_taken: -EEXIST. */
struct ns_lun {
	uint8_t uuid[16];
	const char *name, *hint;
	uint64_t blocks, data_block;
}; /* hint: a path clients try first, may be NULL */
int ns_volume_create(struct tx *, const char *name, const uint8_t uuid[16], const struct ns_lun *,
		     uint32_t luns, uint16_t *ret_volume);
int ns_volume_find(struct tx *, const char *name, uint16_t *ret_volume, struct pr_row_volume *ret);

/*
 * To be called when the last user of a file returns its layout or closes it: gives back what was allocated beyond its end and
 * never written, unless fallocate asked for it. 0, NS_AGAIN, TX_MISS. A file that is gone is fine.
 */
int ns_trim(struct tx *, uint64_t ino);

/*
 * Orphans and freed space are reaped in bounded steps, each a record of its own, run by the glue when idle or short of space:
 * 1: call again (it did something or went on in the list, perhaps without a write); 0: nothing to do now; negative: errno or TX_MISS.
 * may_reap(ino): no session has it open, every session has rebound. may_reuse(rest): no session holds a layout of it any more.
 */
struct ns_gate {
	void *user;
	bool (*may_reap)(void *user, uint16_t volume, uint64_t ino);
	bool (*may_reuse)(void *user, uint16_t volume, uint64_t ino, uint64_t since_lsn);
};
int ns_reap_step(struct tx *, const struct ns_gate *);
int ns_rest_step(struct tx *, const struct ns_gate *);

/* Provided by the glue (volatile facts the namespace needs). */
bool ctl_is_open(struct ctl *, uint16_t volume, uint64_t ino);
uint64_t ctl_new_ino(
	struct
	tx *); /* never reused; reserves a range in the volume row when it runs out; 0: TX_MISS */
uint64_t ctl_layout_generation(struct ctl *);
/*
 * Where to look for free space and for the next thing to reap: volatile, of each volume, zeroed at the start; a wrong or a shared
 * one costs time, never correctness. Changed by an operation only when it has succeeded.
 */
enum { NS_LUNS_MAX = 256, NS_VOLUME_NAME_MAX = 63 };

/* Letters, digits, '.', '_' and '-', neither of the last at the beginning: it stands in the name of a mount. */
bool ns_volume_name_ok(const char *name);
struct ns_hint {
	uint64_t space[NS_LUNS_MAX];
	uint64_t orphan, rest;
	/* deleted rows stay in memory for a while: a round begins behind them */
	uint64_t no_orphan_below;
	uint16_t lun;
};
/* Told by the glue of each orphan row that is written. */
static inline void ns_hint_orphan(struct ns_hint *hint, uint64_t ino)
{
	if (ino < hint->no_orphan_below)
		hint->no_orphan_below = ino;
}
struct ns_hint *ctl_ns_hint(struct ctl *, uint16_t volume);
