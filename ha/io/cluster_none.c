/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What stands in for cluster.c where corosync and Pacemaker were left out of the build. */
#include "ha/io/cluster.h"

#include <errno.h>
#include <stdio.h>

int cluster_open(const struct cluster_config *cfg, struct cluster **ret, char *why, size_t size)
{
	snprintf(
		why, size,
		"cluster.stack = corosync: this mdcd was built without it; configure --with-cluster");
	return -ENOSYS;
}

void cluster_close(struct cluster *c, bool said)
{
}

uint32_t cluster_membership_ms(const struct cluster *c)
{
	return 0;
}

int cluster_fd(const struct cluster *c)
{
	return -1;
}

void cluster_run(struct cluster *c)
{
}

void cluster_score(struct cluster *c, int score)
{
}

void cluster_ask_fence(struct cluster *c, uint64_t incarnation)
{
}
