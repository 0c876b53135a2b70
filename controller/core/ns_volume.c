/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Volumes: finding one by name, making one on labelled LUNs. */
#include "controller/core/ns_node.h"

#include <errno.h>
#include <sys/stat.h>

enum { ROOT_INO = 1, ROW_FORMAT = 1 };

/* The first volume of that number or a higher one. */
static int volume_from(struct tx *tx, uint16_t from, uint16_t *ret_volume,
		       struct pr_row_volume *ret)
{
	struct pr_key first, prefix, key;
	struct pr_bytes value;
	int r;

	pr_key_volume(&first, from);
	pr_key_prefix_table(&prefix, PR_ROW_VOLUME);
	r = tx_seek(tx, &first, prefix.len, 1, &key, &value);
	if (r)
		return r;
	r = pr_key_parse_volume(key.b, key.len, ret_volume);
	ASSERT(r == 0);
	r = pr_row_volume_decode(ret, value.p, value.len);
	ASSERT(r == 0);
	return 0;
}

int ns_volume_find(struct tx *tx, const char *name, uint16_t *ret_volume, struct pr_row_volume *ret)
{
	struct pr_row_volume row;
	uint16_t volume, from = 0;
	int r;

	for (;;) {
		r = volume_from(tx, from, &volume, &row);
		if (r)
			return r;
		if (pr_bytes_equal(row.name, pr_bytes_str(name))) {
			*ret_volume = volume;
			*ret = row;
			return 0;
		}
		if (volume == UINT16_MAX)
			return -ENOENT;
		from = volume + 1;
	}
}

static int lun_in_volume(struct tx *tx, uint16_t volume, const struct ns_lun *lun)
{
	struct pr_key from, prefix, key;
	struct pr_row_vlun row;
	struct pr_bytes value;
	uint16_t number = 0;
	int r;

	pr_key_prefix_volume(&prefix, PR_ROW_VLUN, volume);
	for (;;) {
		pr_key_vlun(&from, volume, number);
		r = tx_seek(tx, &from, prefix.len, 1, &key, &value);
		if (r)
			return r == -ENOENT ? 0 : r;
		r = pr_row_vlun_decode(&row, value.p, value.len);
		ASSERT(r == 0);
		if (memcmp(row.uuid.b, lun->uuid, sizeof(lun->uuid)) == 0)
			return -EBUSY;
		r = pr_key_parse_vlun(key.b, key.len, &volume, &number);
		ASSERT(r == 0);
		if (number++ == UINT16_MAX)
			return 0;
	}
}

/* -EBUSY: some volume has one of these LUNs. */
static int luns_are_free(struct tx *tx, const struct ns_lun *luns, uint32_t count)
{
	struct pr_row_volume row;
	uint16_t volume;
	uint32_t from = 0;
	int r;

	while (from <= UINT16_MAX) {
		r = volume_from(tx, (uint16_t)from, &volume, &row);
		if (r)
			return r == -ENOENT ? 0 : r;
		for (uint32_t i = 0; i < count; i++) {
			r = lun_in_volume(tx, volume, &luns[i]);
			if (r)
				return r;
		}
		from = (uint32_t)volume + 1;
	}
	return 0;
}

bool ns_volume_name_ok(const char *name)
{
	size_t len =
		strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");

	return len > 0 && len <= NS_VOLUME_NAME_MAX && !name[len] && name[0] != '.' &&
	       name[0] != '-';
}

static int judge(const char *name, const struct ns_lun *luns, uint32_t count)
{
	if (!ns_volume_name_ok(name) || count == 0 || count > NS_LUNS_MAX)
		return -EINVAL;
	for (uint32_t i = 0; i < count; i++) {
		if (luns[i].data_block == 0 || luns[i].data_block >= luns[i].blocks ||
		    luns[i].blocks > UINT64_C(1) << 56)
			return -EINVAL;
		if (strlen(luns[i].name) > 63 || (luns[i].hint && strlen(luns[i].hint) > 255))
			return -EINVAL;
		for (uint32_t j = 0; j < i; j++)
			if (memcmp(luns[i].uuid, luns[j].uuid, sizeof(luns[i].uuid)) == 0)
				return -EINVAL;
	}
	return 0;
}

/* The next volume's number, now taken. */
static int volume_number(struct tx *tx, uint16_t *ret)
{
	struct pr_row_meta meta = {.format = ROW_FORMAT, .next_volume = 1};
	int r = tx_get_meta(tx, &meta);

	if (r && r != -ENOENT)
		return r;
	if (meta.next_volume == 0)
		meta.next_volume = 1;
	if (meta.next_volume > UINT16_MAX)
		return -ENOSPC;
	*ret = (uint16_t)meta.next_volume++;
	tx_put_meta(tx, &meta);
	return 0;
}

static void put_lun(struct tx *tx, uint16_t number, const struct ns_lun *lun)
{
	struct pr_row_vlun row = {
		.name = pr_bytes_str(lun->name),
		.hint = pr_bytes_str(lun->hint ? lun->hint : ""),
		.blocks = lun->blocks,
		.data_block = lun->data_block,
	};

	memcpy(row.uuid.b, lun->uuid, sizeof(row.uuid.b));
	tx_put_vlun(tx, number, &row);
	tx_put_space(tx, number, lun->data_block,
		     &(struct pr_row_space){.blocks = lun->blocks - lun->data_block});
}

static void put_root(struct tx *tx)
{
	struct ns_node root = {.ino = ROOT_INO};

	root.row.mode = S_IFDIR | 0755;
	root.row.nlink = 2;
	root.row.atime_ns = root.row.mtime_ns = root.row.ctime_ns = root.row.btime_ns = tx->now_ns;
	root.row.change = 1;
	root.row.parent = ROOT_INO;
	root.row.next_cookie = NS_FIRST_COOKIE;
	ns_node_put(tx, &root);
}

static void put_volume(struct tx *tx, const char *name, const uint8_t uuid[16],
		       const struct ns_lun *luns, uint32_t count)
{
	struct pr_row_volume row = {
		.name = pr_bytes_str(name),
		.root = ROOT_INO,
		.next_ino = ROOT_INO + 1,
		.generation = 1,
		.block_bytes = NS_BLOCK_BYTES,
	};
	struct pr_row_vstat stat = {.inodes = 1};

	memcpy(row.uuid.b, uuid, sizeof(row.uuid.b));
	tx_put_volume(tx, &row);
	for (uint32_t i = 0; i < count; i++) {
		put_lun(tx, (uint16_t)i, &luns[i]);
		stat.blocks += luns[i].blocks - luns[i].data_block;
	}
	stat.blocks_free = stat.blocks;
	tx_put_vstat(tx, &stat);
	put_root(tx);
}

int ns_volume_create(struct tx *tx, const char *name, const uint8_t uuid[16],
		     const struct ns_lun *luns, uint32_t count, uint16_t *ret_volume)
{
	struct pr_row_volume other;
	uint16_t volume, mine = tx->volume;
	int r = judge(name, luns, count);

	if (r)
		return r;
	r = ns_volume_find(tx, name, &volume, &other);
	if (r == 0)
		return -EEXIST;
	if (r != -ENOENT)
		return r;
	r = luns_are_free(tx, luns, count);
	if (r == 0)
		r = volume_number(tx, &volume);
	if (r)
		return r;
	/* Rows are written to the tx's volume, which is the new one for so long. */
	tx->volume = volume;
	put_volume(tx, name, uuid, luns, count);
	tx->volume = mine;
	*ret_volume = volume;
	return 0;
}
