/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the operations of the namespace share: an inode in hand, names in directories, the volume's statistics. Only ns*.c and
 * layout.c include it. All of it runs inside a tx; what returns int returns 0, a negative errno or TX_MISS.
 */
#pragma once
#include "controller/core/ns.h"
#include "controller/core/perm.h"
#include "controller/core/tx_rows.h"

enum {
	NS_BLOCK_BYTES = 4096,
	NS_LINK_MAX = INT32_MAX,
	NS_XATTRS_MAX = 256,  /* of an inode: their names always fit into one list of 64 KiB */
	NS_FIRST_COOKIE = 3,  /* leaves 1 and 2 to a client that lists "." and ".." */
	NS_DEPTH_MAX = 65536, /* of a directory that is to be moved */
	NS_STEP_CHANGES =
		400, /* where a long operation stops: each change is compared with those before it */
};
#define NS_SIZE_MAX ((uint64_t)INT64_MAX)

/* inode.flags */
enum {
	NS_F_TRIM =
		1, /* what is mapped beyond its end is dead and being freed: no part of the file */
	NS_F_KEEP = 2,	 /* fallocate asked for blocks beyond its end */
	NS_F_MAPPED = 4, /* it has or had an extent; before that nobody has to look for one */
	NS_F_XATTRS = 8, /* it has or had an extended attribute (directories too) */
};

struct ns_node {
	uint64_t ino;
	struct pr_row_inode row;
};

/* -ESTALE: there is no such inode any more. */
int ns_node_get(struct tx *, uint64_t ino, struct ns_node *ret);
/* One that a name points to: its absence is corruption. */
int ns_node_named(struct tx *, uint64_t ino, struct ns_node *ret);
void ns_node_put(struct tx *, const struct ns_node *);
/* Its attributes changed. */
void ns_node_touch(const struct tx *, struct ns_node *);
/* Its data, or the names in it, changed. */
void ns_node_modify(const struct tx *, struct ns_node *);
/* Takes the set-id bits and the file capabilities away. */
int ns_node_killpriv(struct tx *, struct ns_node *);
/* One name less. The last one makes it an orphan. */
void ns_node_drop(struct tx *, struct ns_node *);
struct pr_attr ns_attr(const struct ns_node *);

/* 1 for ".", 2 for "..", else 0. */
int ns_dots(struct pr_bytes name);

/* ---- names ---- */

/*
 * The directory, search permission in it, and the name: 0, -ENOENT no such name (*ret_dir is valid), -ESTALE, -ENOTDIR, -EACCES.
 * "." and ".." are not names here.
 */
int ns_dir_find(struct tx *, const struct pr_cred *, uint64_t dir, struct pr_bytes name,
		struct ns_node *ret_dir, struct pr_row_name *ret);
/* These change the rows of names; the directory's own row is changed in hand and put by the caller. */
void ns_dir_add(struct tx *, struct ns_node *dir, struct pr_bytes name,
		const struct ns_node *child);
void ns_dir_remove(struct tx *, struct ns_node *dir, struct pr_bytes name, uint64_t cookie);
/* The name keeps its place in the listing and means another inode. */
void ns_dir_replace(struct tx *, const struct ns_node *dir, struct pr_bytes name, uint64_t cookie,
		    const struct ns_node *child);

/* ---- files ---- */

/*
 * Change the size: what lies beyond is freed, in steps if it is in very many pieces. The node is changed in hand. NS_AGAIN: put
 * it, and the operation is to be run anew.
 */
int ns_truncate(struct tx *, struct ns_node *, uint64_t size);

/* Frees what is dead beyond the end. The node is changed in hand, NS_AGAIN: not yet all. */
int ns_trim_dead(struct tx *, struct ns_node *);

/* ---- statistics ---- */
int ns_stat_add(struct tx *, int64_t inodes, int64_t blocks_free, int64_t blocks_resting);

/* Nothing more should be changed in this record. */
static inline bool ns_step_full(const struct tx *tx)
{
	return tx_change_count(tx) >= NS_STEP_CHANGES;
}

static inline uint64_t ns_blocks_of(uint64_t size)
{
	return size / NS_BLOCK_BYTES + (size % NS_BLOCK_BYTES != 0);
}
