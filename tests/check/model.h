/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The reference namespace: what a volume is after each LSN, in tables too simple to be wrong. Operations are applied in the order
 * of their LSNs; any operation can be asked what it would answer after any of them. Knows nothing of controllers, rows or replies;
 * all requests are root's.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "proto/wire.h"

enum { MODEL_NAMES = 10, MODEL_XATTRS = 2 };

struct model;

struct model_op {
	uint16_t type;
	uint64_t parent, parent2, ino;
	int name, name2;
	uint32_t mode, flags, uid, gid;
	uint64_t size, value;
	int64_t time_ns;	       /* the times that SETATTR and LAYOUT_COMMIT set */
	uint64_t cookie;	       /* READDIR: of the entry behind which it begins */
	int xattr;		       /* which of MODEL_XATTRS */
	uint64_t block, blocks, stamp; /* of layouts; stamp: of the data committed */
};

/* What is told of an inode beside its number, mode, links and size. */
struct model_attr {
	uint32_t uid, gid;
	uint64_t rdev, change;
	int64_t atime_ns, mtime_ns, ctime_ns, btime_ns;
};

struct model_answer {
	int error;
	bool changes; /* it leaves a record */
	bool more;    /* READDIR: there are entries behind these */
	uint64_t ino, size, value;
	uint32_t mode, nlink;
	struct model_attr attr;
	uint64_t entry[MODEL_NAMES]; /* READDIR */
	uint64_t cookie[MODEL_NAMES],
		digest[MODEL_NAMES]; /* of each entry: its place, and model_digest of its inode */
};

/* root was made at that time. */
struct model *model_new(uint64_t root, int64_t when_ns);
void model_free(struct model *);
/* What op answers when it runs after lsn. made: the inode number it gives, when it makes one. */
void model_ask(const struct model *, const struct model_op *, uint64_t lsn,
	       struct model_answer *ret);
/* op runs as lsn, at that time. */
void model_apply(struct model *, const struct model_op *, uint64_t lsn, uint64_t made,
		 int64_t when_ns, struct model_answer *ret);
/* The controller deleted an inode that nobody could reach any more. False: somebody could. */
bool model_gone(struct model *, uint64_t ino, uint64_t lsn);
/* As if nothing had run after lsn. */
void model_back(struct model *, uint64_t lsn);
/* Of all that there is now. */
uint64_t model_hash(const struct model *);
/* Is this what the answer says? Only what op is told is compared, and nothing that depends on when something ran. */
bool model_same(const struct model_op *, const struct model_answer *told,
		const struct model_answer *is);
/* The same of all that op is told: times, change counters and places in a directory too. */
bool model_same_all(const struct model_op *, const struct model_answer *told,
		    const struct model_answer *is);
/* It answers with what its inode is. */
bool model_tells(uint16_t type);
uint64_t model_mix(uint64_t hash, uint64_t value);
/* Of all that is told of one inode. */
uint64_t model_digest(const struct model_answer *);

uint64_t model_count(const struct model *);
/* The i-th inode ever made, and its type (S_IFMT of mode). */
uint64_t model_ino(const struct model *, uint64_t i, uint32_t *ret_type);
/* What one inode is now. False: it is gone, or never was. */
bool model_now(const struct model *, uint64_t ino, struct model_answer *ret);

struct pr_bytes model_name(int name);
int model_name_index(struct pr_bytes name); /* -1: none of them */
