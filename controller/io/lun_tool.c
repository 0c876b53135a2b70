/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "controller/io/lun_tool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "ha/core/ha.h"
#include "lun/lun.h"

int lun_tool_read(const char *path, struct lun_label *ret, char *why, size_t size)
{
	struct lun *lun;
	int error = lun_open(path, LUN_READ_ONLY, &lun, why, size);

	if (error)
		return error;
	error = lun_label_read(lun, ret, why, size);
	lun_close(lun);
	return error;
}

/* A controller does not start on such a LUN: what to do. */
static const char *next_step(int error)
{
	switch (error) {
	case -ENODATA:
		return "; is it the right one? For a new pair label it with mdcctl lun label";
	case -ENOENT:
	case -ENXIO:
		return "; bring the LUN back, or correct [lun] of mdcd.conf";
	case -EBADMSG:
	case -ENOSPC:
		return "; nothing was changed: bring back what it was, from its storage or from a copy";
	}
	return "";
}

static int check_one(const char *path, bool arbiter, const struct pr_uuid *cluster, char *why,
		     size_t size)
{
	char theirs[PR_UUID_TEXT], ours[PR_UUID_TEXT];
	struct lun_label label;
	int error = lun_tool_read(path, &label, why, size);

	if (error) {
		size_t n = strlen(why);

		snprintf(why + n, size - n, "%s", next_step(error));
		return error;
	}
	if (!pr_uuid_equal(&label.cluster, cluster)) {
		snprintf(
			why, size,
			"%s is LUN \"%s\" of cluster %s, not of %s: correct [lun] or [cluster] uuid, or label it anew, and lose what it holds, with mdcctl lun label --force",
			path, label.name, pr_uuid_format(theirs, &label.cluster),
			pr_uuid_format(ours, cluster));
		return -EXDEV;
	}
	if (arbiter && !(label.flags & LUN_FLAG_ARBITER)) {
		snprintf(why, size,
			 "%s (LUN \"%s\") has no arbiter record: [lun] path1 must be one that has",
			 path, label.name);
		return -EINVAL;
	}
	return 0;
}

int lun_check_all(const char *const *paths, uint32_t count, const struct pr_uuid *cluster,
		  char *why, size_t size)
{
	int error = 0;

	for (uint32_t i = 0; i < count && !error; i++)
		error = check_one(paths[i], i == 0, cluster, why, size);
	return error;
}

int lun_tool_write_record(struct lun *lun, const struct ha_arbiter *record, char *why, size_t size)
{
	uint8_t *block = aligned_alloc(LUN_BLOCK_BYTES, LUN_BLOCK_BYTES);
	int error = block ? 0 : -ENOMEM;

	for (unsigned copy = 0; copy < 2 && !error; copy++) {
		memset(block, 0, LUN_BLOCK_BYTES);
		ha_arbiter_encode(block, record);
		error = lun_block_write(lun, LUN_ARBITER_BLOCK + copy, block);
	}
	free(block);
	if (error)
		snprintf(why, size, "%s: the arbiter record could not be written: %s",
			 lun_path(lun), strerror(-error));
	return error;
}

/* The record a new pair begins with: nothing was ever acknowledged, so either may be the first. */
static int write_first_record(struct lun *lun, const struct pr_uuid *cluster, char *why,
			      size_t size)
{
	struct ha_arbiter record = {.seq = 1, .members = 3};

	memcpy(record.cluster, cluster->b, sizeof(record.cluster));
	return lun_tool_write_record(lun, &record, why, size);
}

int lun_tool_label(const char *path, const char *name, const struct pr_uuid *cluster,
		   const char *force, char *why, size_t size)
{
	struct lun_label label = {.cluster = *cluster, .flags = LUN_FLAG_ARBITER};
	struct timespec now;
	uint8_t random[16];
	struct lun *lun;
	int error;

	if (!lun_name_ok(name)) {
		snprintf(
			why, size,
			"\"%s\" is no name for a LUN: letters, digits, '.', '_' and '-', at most %d",
			name, LUN_NAME_MAX);
		return -EINVAL;
	}
	if (getrandom(random, sizeof(random), 0) != sizeof(random)) {
		snprintf(why, size, "no random numbers for the UUID of the LUN");
		return -EIO;
	}
	label.lun = pr_uuid_make(random);
	clock_gettime(CLOCK_REALTIME, &now);
	label.labelled_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
	strcpy(label.name, name);
	error = lun_open(path, 0, &lun, why, size);
	if (error)
		return error;
	error = lun_label_write(lun, &label, force, why, size);
	if (!error)
		error = write_first_record(lun, cluster, why, size);
	lun_close(lun);
	return error;
}

int lun_tool_join(const char *path, const struct pr_uuid *volume, uint16_t number, char *why,
		  size_t size)
{
	struct lun_label label;
	struct lun *lun;
	int error = lun_open(path, 0, &lun, why, size);

	if (error)
		return error;
	if (lun_kind(lun) == LUN_ISCSI) {
		snprintf(
			why, size,
			"%s: a LUN named by URL holds no file data; let the kernel log in (iscsiadm) and name the device in [lun]",
			path);
		lun_close(lun);
		return -EOPNOTSUPP;
	}
	error = lun_label_read(lun, &label, why, size);
	if (!error) {
		label.volume = *volume;
		label.number = number;
		error = lun_label_update(lun, &label, why, size);
	}
	lun_close(lun);
	return error;
}
