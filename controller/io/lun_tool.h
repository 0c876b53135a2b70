/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Labels of LUNs, for the tools and for a daemon's start: checked against a cluster, written, shown. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "ha/core/ha.h"
#include "lun/lun.h"

/* A daemon's LUNs: each labelled for this cluster, the first one for the arbiter. 0, or -errno and a sentence. */
int lun_check_all(const char *const *paths, uint32_t count, const struct pr_uuid *cluster,
		  char *why, size_t size);
/* Labels a LUN for a cluster. force: NULL, or what may be overwritten, by name. */
int lun_tool_label(const char *path, const char *name, const struct pr_uuid *cluster,
		   const char *force, char *why, size_t size);
int lun_tool_read(const char *path, struct lun_label *ret, char *why, size_t size);
/* Both copies of the arbiter record. */
int lun_tool_write_record(struct lun *, const struct ha_arbiter *, char *why, size_t size);
/* Says in the label which volume the LUN is part of, and as which number. */
int lun_tool_join(const char *path, const struct pr_uuid *volume, uint16_t number, char *why,
		  size_t size);
