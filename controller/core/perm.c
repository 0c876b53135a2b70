/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "controller/core/perm.h"

#include <errno.h>
#include <sys/stat.h>

bool perm_in_group(const struct pr_cred *cred, uint32_t gid)
{
	struct pr_list it = cred->groups;
	struct pr_gid g;

	if (cred->gid == gid)
		return true;
	while (pr_gid_next(&it, &g))
		if (g.gid == gid)
			return true;
	return false;
}

static int perm_check_root(const struct pr_row_inode *inode, unsigned mask)
{
	if (!(mask & PERM_X) || S_ISDIR(inode->mode))
		return 0;
	return inode->mode & (S_IXUSR | S_IXGRP | S_IXOTH) ? 0 : -EACCES;
}

int perm_check(const struct pr_cred *cred, const struct pr_row_inode *inode, unsigned mask)
{
	uint32_t mode = inode->mode;

	if (perm_is_root(cred))
		return perm_check_root(inode, mask);
	/* The first class that fits decides, even where a later one would grant more. */
	if (cred->uid == inode->uid)
		mode >>= 6;
	else if ((((mode >> 3) ^ mode) & mask) && perm_in_group(cred, inode->gid))
		mode >>= 3;
	return (mode & mask) == mask ? 0 : -EACCES;
}

int perm_may_delete(const struct pr_cred *cred, const struct pr_row_inode *dir,
		    const struct pr_row_inode *inode)
{
	int r = perm_check(cred, dir, PERM_W | PERM_X);

	if (r)
		return r;
	if ((dir->mode & S_ISVTX) && !perm_is_owner(cred, dir) && !perm_is_owner(cred, inode))
		return -EPERM;
	return 0;
}

uint32_t perm_chmod(const struct pr_cred *cred, uint32_t mode, uint32_t wanted, uint32_t gid)
{
	mode = (mode & S_IFMT) | (wanted & 07777);
	if (!perm_is_root(cred) && !perm_in_group(cred, gid))
		mode &= ~S_ISGID;
	return mode;
}

int perm_chown(const struct pr_cred *cred, const struct pr_row_inode *inode, uint32_t uid,
	       uint32_t gid)
{
	if (perm_is_root(cred))
		return 0;
	if (cred->uid != inode->uid || uid != inode->uid)
		return -EPERM;
	return gid == inode->gid || perm_in_group(cred, gid) ? 0 : -EPERM;
}

uint32_t perm_without_setid(uint32_t mode)
{
	if (S_ISDIR(mode))
		return mode;
	mode &= ~S_ISUID;
	/* Without group execution the bit once meant mandatory locking, and Linux keeps it. */
	if (mode & S_IXGRP)
		mode &= ~S_ISGID;
	return mode;
}

void perm_inherit(const struct pr_cred *cred, const struct pr_row_inode *dir, uint32_t *mode,
		  uint32_t *ret_gid)
{
	*ret_gid = cred->gid;
	if (!(dir->mode & S_ISGID))
		return;
	*ret_gid = dir->gid;
	if (S_ISDIR(*mode))
		*mode |= S_ISGID;
	else if ((*mode & S_IXGRP) && !perm_is_root(cred) && !perm_in_group(cred, dir->gid))
		*mode &= ~S_ISGID;
}
