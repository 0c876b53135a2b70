/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A directory is two tables: names, to find one, and entries in the order of their cookies, to list them. Cookies only grow, and
 * a name keeps its cookie as long as it stands in the directory, whatever it comes to mean.
 */
#include "controller/core/ns_node.h"

#include <errno.h>
#include <sys/stat.h>

enum { DIRENTS_MAX = 8192, DIRENTS_AHEAD = 512 };

int ns_dots(struct pr_bytes name)
{
	if (name.len == 0 || name.len > 2 || name.p[0] != '.')
		return 0;
	if (name.len == 1)
		return 1;
	return name.p[1] == '.' ? 2 : 0;
}

int ns_dir_find(struct tx *tx, const struct pr_cred *cred, uint64_t dir, struct pr_bytes name,
		struct ns_node *ret_dir, struct pr_row_name *ret)
{
	struct pr_key key;
	int r = ns_node_get(tx, dir, ret_dir);

	if (r == TX_MISS) {
		pr_key_name(&key, tx->volume, dir, name.p, name.len);
		tx_prefetch(tx, &key);
	}
	if (r)
		return r;
	if (!S_ISDIR(ret_dir->row.mode))
		return -ENOTDIR;
	r = perm_check(cred, &ret_dir->row, PERM_X);
	if (r)
		return r;
	/* No name ever stood here: no need to look at the store. */
	if (ret_dir->row.next_cookie == NS_FIRST_COOKIE)
		return -ENOENT;
	return tx_get_name(tx, dir, name, ret);
}

static void put_pair(struct tx *tx, uint64_t dir, struct pr_bytes name, uint64_t cookie,
		     const struct ns_node *child)
{
	tx_put_name(tx, dir, name,
		    &(struct pr_row_name){
			    .ino = child->ino,
			    .cookie = cookie,
			    .type = child->row.mode & S_IFMT,
		    });
	tx_put_entry(tx, dir, cookie, &(struct pr_row_entry){.ino = child->ino, .name = name});
}

static void first_name(struct tx *tx, uint64_t dir)
{
	struct pr_key prefix;

	pr_key_prefix_names(&prefix, tx->volume, dir);
	tx_known_empty(tx, &prefix);
	pr_key_prefix_entries(&prefix, tx->volume, dir);
	tx_known_empty(tx, &prefix);
}

void ns_dir_add(struct tx *tx, struct ns_node *dir, struct pr_bytes name,
		const struct ns_node *child)
{
	if (dir->row.next_cookie == NS_FIRST_COOKIE)
		first_name(tx, dir->ino);
	put_pair(tx, dir->ino, name, dir->row.next_cookie, child);
	dir->row.next_cookie++;
	dir->row.entries++;
}

void ns_dir_remove(struct tx *tx, struct ns_node *dir, struct pr_bytes name, uint64_t cookie)
{
	ASSERT(dir->row.entries > 0);
	tx_del_name(tx, dir->ino, name);
	tx_del_entry(tx, dir->ino, cookie);
	dir->row.entries--;
}

void ns_dir_replace(struct tx *tx, const struct ns_node *dir, struct pr_bytes name, uint64_t cookie,
		    const struct ns_node *child)
{
	put_pair(tx, dir->ino, name, cookie, child);
}

/* ---- readdir ---- */

struct listing {
	struct pr_buf *buf;
	size_t start, limit; /* in buf: where it begins, where it must end */
	uint64_t cookie;     /* of the last entry taken */
	uint32_t count;
	uint32_t ahead; /* entries seen after the first inode that was not in memory */
	bool missed;
};

static int entry_after(struct tx *tx, uint64_t dir, uint64_t *cookie, struct pr_row_entry *ret)
{
	struct pr_key from, prefix, key;
	struct pr_bytes value;
	uint16_t volume;
	int r;

	if (*cookie == UINT64_MAX)
		return -ENOENT;
	pr_key_entry(&from, tx->volume, dir, *cookie + 1);
	pr_key_prefix_entries(&prefix, tx->volume, dir);
	r = tx_seek(tx, &from, prefix.len, 1, &key, &value);
	if (r)
		return r;
	r = pr_key_parse_entry(key.b, key.len, &volume, &dir, cookie);
	ASSERT(r == 0);
	r = pr_row_entry_decode(ret, value.p, value.len);
	ASSERT(r == 0);
	return 0;
}

/* 0: go on; 1: it does not fit any more. The inodes of what follows a miss are asked for together with it. */
static int listing_add(struct tx *tx, struct listing *l, const struct pr_row_entry *entry)
{
	struct pr_dirent d = {.cookie = l->cookie, .name = entry->name};
	struct ns_node n = {.ino = entry->ino};
	struct pr_key key;
	int r;

	if (l->missed) {
		pr_key_inode(&key, tx->volume, entry->ino);
		tx_prefetch(tx, &key);
		return ++l->ahead >= DIRENTS_AHEAD;
	}
	if (l->count == DIRENTS_MAX)
		return 1;
	if (l->buf->len + pr_dirent_size(&d) > l->limit)
		return 1;
	r = ns_node_named(tx, entry->ino, &n);
	if (r == TX_MISS) {
		l->missed = true;
		return 0;
	}
	if (r)
		return r;
	d.attr = ns_attr(&n);
	r = pr_dirent_put(l->buf, &d);
	ASSERT(r == 0);
	l->count++;
	return 0;
}

/* 0: to the end; 1: more follows. */
static int listing_fill(struct tx *tx, struct listing *l, uint64_t dir)
{
	struct pr_row_entry entry;
	int r;

	do {
		r = entry_after(tx, dir, &l->cookie, &entry);
		if (r == 0)
			r = listing_add(tx, l, &entry);
	} while (r == 0);
	if (l->missed || r == TX_MISS)
		return TX_MISS;
	return r == -ENOENT ? 0 : r;
}

int ns_readdir(struct tx *tx, const struct pr_readdir *q, struct pr_readdir_r *ret,
	       struct pr_buf *buf)
{
	size_t room = buf->cap - buf->len;
	struct listing l = {.buf = buf, .start = buf->len, .cookie = q->cookie};
	struct ns_node dir;
	int r = ns_node_get(tx, q->ino, &dir);

	if (r)
		return r;
	if (!S_ISDIR(dir.row.mode))
		return -ENOTDIR;
	r = perm_check(&q->cred, &dir.row, PERM_R);
	if (r)
		return r;
	l.limit = l.start + (room < q->max_bytes ? room : q->max_bytes);
	r = listing_fill(tx, &l, q->ino);
	if (r == 1 && l.count == 0)
		r = -EINVAL;
	if (r < 0) {
		buf->len = l.start;
		return r;
	}
	ret->eof = r == 0;
	ret->parent = dir.row.parent;
	ret->entries = (struct pr_list){
		.count = l.count,
		.p = buf->p + l.start,
		.len = (uint32_t)(buf->len - l.start),
	};
	return 0;
}
