/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is left of inodes without a name, and of files that were cut off while in very many pieces, goes in bounded steps. */
#include <errno.h>
#include <sys/stat.h>

#include "controller/core/ns_map.h"

enum { REAP_SCAN = 128 };

static int orphan_from(struct tx *tx, uint64_t ino, uint64_t *ret)
{
	struct pr_key from, prefix, key;
	struct pr_bytes value;
	uint16_t volume;
	int r;

	pr_key_orphan(&from, tx->volume, ino);
	pr_key_prefix_volume(&prefix, PR_ROW_ORPHAN, tx->volume);
	r = tx_seek(tx, &from, prefix.len, 1, &key, &value);
	if (r)
		return r;
	r = pr_key_parse_orphan(key.b, key.len, &volume, ret);
	ASSERT(r == 0);
	return 0;
}

/* NS_AGAIN: some are left. */
static int reap_xattrs(struct tx *tx, struct ns_node *n)
{
	struct pr_key from, prefix, key;
	struct pr_bytes value;
	int r;

	pr_key_prefix_xattrs(&prefix, tx->volume, n->ino);
	from = prefix;
	while (n->row.xattrs > 0) {
		if (ns_step_full(tx))
			return NS_AGAIN;
		r = tx_seek(tx, &from, prefix.len, 1, &key, &value);
		ASSERT(r != -ENOENT);
		if (r)
			return r;
		tx_del(tx, &key);
		n->row.xattrs--;
		/* On behind it: a search from the front would pass all that was deleted. */
		from.len = key.len;
		memcpy(from.b, key.b, key.len);
	}
	return 0;
}

/* All that hangs on the inode, then the inode. NS_AGAIN: some of it is left. */
static int reap_node(struct tx *tx, struct ns_node *n)
{
	int r = map_punch(tx, n, 0, MAP_END);

	if (r == 0)
		r = reap_xattrs(tx, n);
	if (r < 0)
		return r;
	if (r == NS_AGAIN) {
		ns_node_put(tx, n);
		return r;
	}
	ASSERT(n->row.blocks == 0 && n->row.entries == 0);
	if (S_ISLNK(n->row.mode))
		tx_del_target(tx, n->ino);
	tx_del_inode(tx, n->ino);
	tx_del_orphan(tx, n->ino);
	return ns_stat_add(tx, -1, 0, 0);
}

/* NS_AGAIN: the record is full. */
static int reap_one(struct tx *tx, const struct ns_gate *gate, uint64_t ino)
{
	struct ns_node n;
	int r = ns_node_named(tx, ino, &n);

	if (r)
		return r;
	if (n.row.nlink > 0) {
		ASSERT(n.row.flags & NS_F_TRIM);
		r = ns_trim_dead(tx, &n);
		if (r >= 0)
			ns_node_put(tx, &n);
		return r;
	}
	return gate->may_reap(gate->user, tx->volume, ino) ? reap_node(tx, &n) : 0;
}

int ns_reap_step(struct tx *tx, const struct ns_gate *gate)
{
	struct ns_hint *hint = ctl_ns_hint(tx->ctl, tx->volume);
	bool first = hint->orphan == 0;
	uint64_t ino, at = first ? hint->no_orphan_below : hint->orphan, low = at;
	int r = 0;

	for (unsigned int i = 0; r == 0 && i < REAP_SCAN && !ns_step_full(tx); i++) {
		r = orphan_from(tx, at, &ino);
		if (r == 0 && first && i == 0)
			low = ino;
		if (r == 0)
			r = reap_one(tx, gate, ino);
		if (r == 0)
			at = ino + 1;
	}
	if (r < 0 && r != -ENOENT)
		return r;
	if (first)
		hint->no_orphan_below = low;
	hint->orphan = r == -ENOENT ? 0 : at;
	return r != -ENOENT || tx_change_count(tx) > 0;
}
