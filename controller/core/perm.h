/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who may do what to an inode: POSIX permission bits, the owner's rights, sticky directories, set-id bits, as Linux has them.
 * uid 0 has every capability, nobody else has any. Only judges; reads and writes no rows.
 */
#pragma once
#include "proto/pr.h"

enum { PERM_X = 1, PERM_W = 2, PERM_R = 4 };

static inline bool perm_is_root(const struct pr_cred *cred)
{
	return cred->uid == 0;
}

static inline bool perm_is_owner(const struct pr_cred *cred, const struct pr_row_inode *inode)
{
	return cred->uid == 0 || cred->uid == inode->uid;
}

/* Primary or supplementary. */
bool perm_in_group(const struct pr_cred *cred, uint32_t gid);

/* 0 or -EACCES. mask: PERM_*. Root needs some x bit to execute what is no directory. */
int perm_check(const struct pr_cred *cred, const struct pr_row_inode *inode, unsigned mask);

/* May a name of this inode be taken from this directory: 0, -EACCES, -EPERM (sticky). */
int perm_may_delete(const struct pr_cred *cred, const struct pr_row_inode *dir,
		    const struct pr_row_inode *inode);

/* The mode chmod leaves: a group the caller is not in loses its set-group-id. */
uint32_t perm_chmod(const struct pr_cred *cred, uint32_t mode, uint32_t wanted, uint32_t gid);

/* 0 or -EPERM: only root gives files away, an owner may choose among his groups. */
int perm_chown(const struct pr_cred *cred, const struct pr_row_inode *inode, uint32_t uid,
	       uint32_t gid);

/* The mode without what a write by others, a chown or a truncation clears; directories keep theirs. */
uint32_t perm_without_setid(uint32_t mode);

/* Mode and group of a new inode in dir. */
void perm_inherit(const struct pr_cred *cred, const struct pr_row_inode *dir, uint32_t *mode,
		  uint32_t *ret_gid);
