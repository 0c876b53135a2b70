/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The data side of a file: what a client needs to reach its blocks, and how its size and its map change. New blocks are unwritten
 * until a commit says that they are on the LUN, so that nobody reads what another file left there. Zeroing the tail of a partial
 * last block is the client's work, before it lets the size grow.
 */
#include <errno.h>
#include <sys/stat.h>

#include "controller/core/ns_map.h"

enum { LAYOUT_EXTENTS_MAX = 4096 };

/* fallocate(2) */
enum { ALLOC_KEEP_SIZE = 0x01, ALLOC_PUNCH_HOLE = 0x02, ALLOC_ZERO_RANGE = 0x10 };

static int file_get(struct tx *tx, uint64_t ino, struct ns_node *ret)
{
	int r = ns_node_get(tx, ino, ret);

	if (r)
		return r;
	if (S_ISDIR(ret->row.mode))
		return -EISDIR;
	return S_ISREG(ret->row.mode) ? 0 : -EINVAL;
}

/* ---- size ---- */

int ns_trim_dead(struct tx *tx, struct ns_node *n)
{
	struct pr_row_orphan orphan = {.since_lsn = tx->lsn};
	int r = map_punch(tx, n, ns_blocks_of(n->row.size), MAP_END);

	if (r < 0)
		return r;
	if (r == NS_AGAIN) {
		if (!(n->row.flags & NS_F_TRIM))
			tx_put_orphan(tx, n->ino, &orphan);
		n->row.flags |= NS_F_TRIM;
		return r;
	}
	/* Without a name it stays an orphan. */
	if ((n->row.flags & NS_F_TRIM) && n->row.nlink > 0)
		tx_del_orphan(tx, n->ino);
	n->row.flags &= ~(uint32_t)NS_F_TRIM;
	return 0;
}

/* Before anything may live beyond the end: NS_AGAIN as long as something dead was there. */
static int settle(struct tx *tx, struct ns_node *n)
{
	int r;

	if (!(n->row.flags & NS_F_TRIM))
		return 0;
	r = ns_trim_dead(tx, n);
	if (r < 0)
		return r;
	ns_node_put(tx, n);
	return NS_AGAIN;
}

int ns_truncate(struct tx *tx, struct ns_node *n, uint64_t size)
{
	int r;

	if (size > n->row.size) {
		r = settle(tx, n);
		if (r)
			return r;
		n->row.size = size;
		return 0;
	}
	n->row.size = size;
	n->row.flags &= ~(uint32_t)NS_F_KEEP;
	r = ns_trim_dead(tx, n);
	return r < 0 ? r : 0;
}

int ns_trim(struct tx *tx, uint64_t ino)
{
	struct map_extent e;
	struct ns_node n;
	uint64_t end;
	int r = file_get(tx, ino, &n);

	if (r == TX_MISS)
		return r;
	if (r || n.row.nlink == 0 || n.row.blocks == 0 || (n.row.flags & (NS_F_TRIM | NS_F_KEEP)))
		return 0;
	end = ns_blocks_of(n.row.size);
	do {
		r = map_before(tx, &n, MAP_END, &e);
		if (r == -ENOENT ||
		    (r == 0 && (map_extent_end(&e) <= end || e.state == PR_EXTENT_WRITTEN)))
			break;
		if (r == 0 && ns_step_full(tx))
			return NS_AGAIN;
		if (r == 0)
			r = map_punch(tx, &n, e.at > end ? e.at : end, map_extent_end(&e));
		ns_node_put(tx, &n);
	} while (r == 0);
	return r == -ENOENT ? 0 : r;
}

/* ---- layouts ---- */

static int list_add(struct pr_buf *buf, uint32_t *count, uint64_t at, uint64_t blocks,
		    const struct map_extent *e)
{
	struct pr_extent x = {.file_block = at, .blocks = (uint32_t)blocks};

	if (e) {
		x.lun = e->lun;
		x.state = e->state;
		x.lun_block = e->lun_block + (at - e->at);
	}
	if (*count == LAYOUT_EXTENTS_MAX || pr_extent_put(buf, &x))
		return -EMSGSIZE;
	++*count;
	return 0;
}

/* The extents of [from, to) with the holes between them; ends early where the list is full. */
static int list_extents(struct tx *tx, const struct ns_node *n, uint64_t from, uint64_t to,
			struct pr_list *ret)
{
	struct pr_buf *buf = ns_scratch(tx);
	size_t start = buf->len;
	struct map_extent e;
	uint64_t end;
	int r;

	ret->count = 0;
	while (from < to) {
		r = map_from(tx, n, from, &e);
		if (r && r != -ENOENT)
			return r;
		end = to;
		if (r == 0 && e.at > from)
			end = e.at < to ? e.at : to;
		else if (r == 0)
			end = map_extent_end(&e) < to ? map_extent_end(&e) : to;
		if (end - from > SPACE_BLOCKS_MAX)
			end = from + SPACE_BLOCKS_MAX;
		if (list_add(buf, &ret->count, from, end - from,
			     r == 0 && e.at <= from ? &e : NULL))
			break;
		from = end;
	}
	ret->p = buf->p + start;
	ret->len = (uint32_t)(buf->len - start);
	return 0;
}

/* What is dead beyond the end is read as a hole. */
static int list_readable(struct tx *tx, const struct ns_node *n, uint64_t from, uint64_t to,
			 struct pr_list *ret)
{
	uint64_t end = ns_blocks_of(n->row.size);
	struct ns_node none = {.ino = n->ino};

	if (!(n->row.flags & NS_F_TRIM) || to <= end)
		return list_extents(tx, n, from, to, ret);
	return from < end ? list_extents(tx, n, from, end, ret)
			  : list_extents(tx, &none, from, to, ret);
}

static int layout_write(struct tx *tx, struct ns_node *n, uint64_t from, uint64_t to,
			struct pr_list *ret)
{
	uint64_t had = n->row.blocks;
	struct space_cursor cursor;
	int r = settle(tx, n);

	if (r)
		return r;
	space_cursor_load(tx, &cursor, had == 0);
	r = map_fill(tx, n, &cursor, from, to, &to);
	if (r == 0)
		r = list_extents(tx, n, from, to, ret);
	if (r)
		return r;
	if (n->row.blocks != had)
		ns_node_put(tx, n);
	space_cursor_keep(tx, &cursor);
	return 0;
}

int ns_layout_get(struct tx *tx, const struct pr_layout_get *q, struct pr_layout_get_r *ret)
{
	struct ns_node n;
	uint64_t end = q->file_block + q->blocks;
	int r;

	if (q->blocks == 0 || q->mode == PR_LAYOUT_NONE)
		return -EINVAL;
	if (end < q->blocks || end > ns_blocks_of(NS_SIZE_MAX))
		return -EFBIG;
	r = file_get(tx, q->ino, &n);
	if (r)
		return r;
	if (q->mode == PR_LAYOUT_WRITE)
		r = layout_write(tx, &n, q->file_block, end, &ret->extents);
	else
		r = list_readable(tx, &n, q->file_block, end, &ret->extents);
	if (r)
		return r;
	ret->generation = ctl_layout_generation(tx->ctl);
	ret->size = n.row.size;
	ret->change = n.row.change;
	return 0;
}

static int commit_ranges(struct tx *tx, const struct ns_node *n, struct pr_list ranges)
{
	struct pr_range range;
	int r = 0;

	while (r == 0 && pr_range_next(&ranges, &range)) {
		if (range.file_block + range.blocks < range.blocks)
			return -EINVAL;
		r = map_convert(tx, n, range.file_block, range.file_block + range.blocks,
				PR_EXTENT_WRITTEN);
	}
	return r;
}

/*
 * The times are those of the last write, not of the commit, which comes late: a file that nobody touches shows the same times before
 * and after it, or tar(1) says that it changed while it was read. If mtime stands already, times were set behind the last write.
 */
static void commit_times(const struct tx *tx, struct ns_node *n, int64_t mtime_ns)
{
	int64_t ctime_ns = mtime_ns < tx->now_ns ? mtime_ns : tx->now_ns;

	n->row.change++;
	if (mtime_ns == n->row.mtime_ns)
		return;
	n->row.mtime_ns = mtime_ns;
	if (ctime_ns > n->row.ctime_ns)
		n->row.ctime_ns = ctime_ns;
}

int ns_layout_commit(struct tx *tx, const struct pr_layout_commit *q,
		     struct pr_layout_commit_r *ret)
{
	struct ns_node n;
	int r;

	if ((q->flags & PR_LC_SIZE) && q->size > NS_SIZE_MAX)
		return -EFBIG;
	r = file_get(tx, q->ino, &n);
	if (r == 0)
		r = settle(tx, &n);
	if (r == 0)
		r = commit_ranges(tx, &n, q->ranges);
	if (r == 0 && (q->flags & PR_LC_KILLPRIV))
		r = ns_node_killpriv(tx, &n);
	if (r)
		return r;
	if ((q->flags & PR_LC_SIZE) && q->size > n.row.size)
		n.row.size = q->size;
	if (q->flags & PR_LC_MTIME)
		commit_times(tx, &n, q->mtime_ns);
	else
		ns_node_modify(tx, &n);
	ns_node_put(tx, &n);
	ret->attr = ns_attr(&n);
	return 0;
}

/* ---- fallocate ---- */

struct alloc {
	uint32_t mode;
	uint64_t from,
		to; /* blocks: whole ones where something is taken away, all touched where it is added */
	uint64_t end; /* byte */
	struct space_cursor cursor;
};

static int alloc_parse(const struct pr_allocate *q, struct alloc *ret)
{
	uint32_t what = q->mode & ~(uint32_t)ALLOC_KEEP_SIZE;

	if (q->length == 0)
		return -EINVAL;
	if (q->offset > NS_SIZE_MAX || q->length > NS_SIZE_MAX - q->offset)
		return -EFBIG;
	if (what != 0 && what != ALLOC_ZERO_RANGE &&
	    q->mode != (ALLOC_PUNCH_HOLE | ALLOC_KEEP_SIZE))
		return -EOPNOTSUPP;
	ret->mode = q->mode;
	ret->end = q->offset + q->length;
	if (what == 0) {
		ret->from = q->offset / NS_BLOCK_BYTES;
		ret->to = ns_blocks_of(ret->end);
	} else {
		ret->from = ns_blocks_of(q->offset);
		ret->to = ret->end / NS_BLOCK_BYTES;
	}
	return 0;
}

/* More than all there is: nothing is taken that would then lie there for nothing. 0, -ENOSPC or TX_MISS. */
static int alloc_fits(struct tx *tx, const struct alloc *a)
{
	struct pr_row_vstat stat;
	int r;

	if (a->mode & ALLOC_PUNCH_HOLE)
		return 0;
	r = tx_get_vstat(tx, &stat);
	return r == 0 && a->to > a->from && a->to - a->from > stat.blocks ? -ENOSPC : r;
}

/* NS_AGAIN while holes are left. */
static int alloc_fill(struct tx *tx, struct ns_node *n, struct alloc *a)
{
	uint64_t end = a->from, had = n->row.blocks;
	int r = 0;

	space_cursor_load(tx, &a->cursor, had == 0);
	/* A run that only walked over what is there would never come to an end. */
	while (r == 0 && end < a->to && n->row.blocks == had)
		r = map_fill(tx, n, &a->cursor, end, a->to, &end);
	if (r == 0 && end < a->to)
		r = NS_AGAIN;
	return r;
}

static int alloc_map(struct tx *tx, struct ns_node *n, struct alloc *a)
{
	int r;

	if (a->mode & ALLOC_PUNCH_HOLE)
		return map_punch(tx, n, a->from, a->to);
	r = alloc_fill(tx, n, a);
	if (r == 0 && (a->mode & ALLOC_ZERO_RANGE) && a->from < a->to)
		r = map_convert(tx, n, a->from, a->to, PR_EXTENT_UNWRITTEN);
	return r;
}

/* The map is as wanted: now the attributes. */
static int alloc_finish(struct tx *tx, const struct pr_cred *cred, struct ns_node *n,
			const struct alloc *a)
{
	int r = perm_is_root(cred) ? 0 : ns_node_killpriv(tx, n);

	if (!(a->mode & ALLOC_KEEP_SIZE) && a->end > n->row.size)
		n->row.size = a->end;
	if (!(a->mode & ALLOC_PUNCH_HOLE) && a->to > ns_blocks_of(n->row.size))
		n->row.flags |= NS_F_KEEP;
	ns_node_modify(tx, n);
	return r;
}

int ns_allocate(struct tx *tx, const struct pr_allocate *q, struct pr_allocate_r *ret)
{
	struct alloc a = {0};
	struct ns_node n;
	int r = alloc_parse(q, &a);

	if (r)
		return r;
	r = file_get(tx, q->ino, &n);
	if (r == -EINVAL)
		r = -ENODEV;
	if (r == 0)
		r = alloc_fits(tx, &a);
	if (r == 0)
		r = settle(tx, &n);
	if (r == 0)
		r = alloc_map(tx, &n, &a);
	if (r == 0)
		r = alloc_finish(tx, &q->cred, &n, &a);
	if (r < 0)
		return r;
	ns_node_put(tx, &n);
	space_cursor_keep(tx, &a.cursor);
	ret->attr = ns_attr(&n);
	return r;
}
