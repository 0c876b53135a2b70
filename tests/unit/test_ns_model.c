/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The namespace against a model that is too simple to be wrong: nodes in an array, names and blocks in small tables, what stands on
 * the LUNs as one stamp per block. Random operations as root, with misses; each answer must be the model's, each block that is
 * read must be what this file wrote, and from time to time all rows are checked.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "controller/core/ns_node.h"
#include "tests/unit/ns_fake.h"

enum { NODES = 256, NAMES = 10, BLOCKS = 48, LUN_BLOCKS = 900, LUNS = 2, XATTRS = 4 };

struct node {
	bool used;
	uint64_t ino;
	uint32_t mode, nlink, opens;
	int parent;
	int child[NAMES]; /* 0: none; the root is nobody's child */
	uint64_t size;
	uint64_t stamp[BLOCKS]; /* 0: reads as zeros */
	uint32_t xattr[XATTRS]; /* 0: none */
	char target[16];
};

static struct node nodes[NODES];
static uint64_t disk[LUNS][LUN_BLOCKS + 16];
static uint64_t last_stamp;
static const char *const name_text[NAMES] = {"a",   "b",  "c", "dd",   "e f",
					     "...", "-x", "~", "\xff", "a-name-longer-than-most"};
static const char *const xattr_text[XATTRS] = {"user.a", "user.bb", "trusted.c", "security.d"};
static struct pr_cred root;

static struct pr_bytes name_of(int i)
{
	return pr_bytes_str(name_text[i]);
}

static int new_node(uint32_t mode)
{
	for (int i = 1; i < NODES; i++)
		if (!nodes[i].used) {
			nodes[i] = (struct node){.used = true, .mode = mode, .nlink = 1};
			return i;
		}
	return 0;
}

static int any_node(void)
{
	int i;

	do
		i = (int)fake_below(NODES);
	while (!nodes[i].used);
	return i;
}

static int any_dir(void)
{
	int i;

	do
		i = any_node();
	while (!S_ISDIR(nodes[i].mode) && fake_below(20) > 0);
	return i;
}

static int any_file(void)
{
	for (int tries = 0; tries < 50; tries++) {
		int i = any_node();

		if (S_ISREG(nodes[i].mode))
			return i;
	}
	return any_node();
}

static void forget(int i)
{
	if (nodes[i].nlink == 0 && nodes[i].opens == 0)
		nodes[i].used = false;
}

static void drop(int i)
{
	nodes[i].nlink = S_ISDIR(nodes[i].mode) ? 0 : nodes[i].nlink - 1;
	forget(i);
}

static int child_count(int dir)
{
	int n = 0;

	for (int i = 0; i < NAMES; i++)
		n += nodes[dir].child[i] != 0;
	return n;
}

static bool is_dir(int i)
{
	return S_ISDIR(nodes[i].mode);
}

/* A removed directory that is still open answers, but takes nothing new. */
static bool is_dead(int dir)
{
	return dir != 0 && nodes[dir].nlink == 0;
}

static bool is_above(int top, int i)
{
	for (; i != 0 && !is_dead(i); i = nodes[i].parent)
		if (i == top)
			return true;
	return i == 0 && top == 0;
}

static uint32_t model_nlink(int i)
{
	uint32_t n = 2;

	if (!is_dir(i) || is_dead(i))
		return is_dir(i) ? 0 : nodes[i].nlink;
	for (int c = 0; c < NAMES; c++)
		n += nodes[i].child[c] && is_dir(nodes[i].child[c]);
	return n;
}

static void same_attr(const struct pr_attr *a, int i)
{
	cr_assert_eq(a->ino, nodes[i].ino);
	cr_assert_eq(a->mode, nodes[i].mode);
	cr_assert_eq(a->nlink, model_nlink(i));
	if (S_ISREG(nodes[i].mode))
		cr_assert_eq(a->size, nodes[i].size, "size %lu, not %lu", a->size, nodes[i].size);
}

/* Now and then an operation is tried with a miss at each of its reads. */
#define RUN(call)	  (fake_below(30) == 0 ? FAKE_RUN_EACH_MISS(call) : FAKE_RUN(call))
#define SAME(r, expected) same(__func__, r, expected)

static void same(const char *what, int r, int expected)
{
	cr_assert_eq(r, expected, "%s: %d, not %d", what, r, expected);
}

/* ---- names ---- */

static void do_lookup(void)
{
	int dir = any_dir(), name = (int)fake_below(NAMES), c = nodes[dir].child[name];
	struct pr_lookup q = {.cred = root, .parent = nodes[dir].ino, .name = name_of(name)};
	struct pr_lookup_r a;
	int r = RUN(ns_lookup(&fake_tx, &q, &a));

	SAME(r, !is_dir(dir) ? -ENOTDIR : c ? 0 : -ENOENT);
	if (r == 0)
		same_attr(&a.attr, c);
}

static int made(int dir, int name, uint32_t mode, uint64_t ino)
{
	int i = new_node(mode);

	nodes[i].ino = ino;
	nodes[i].parent = dir;
	nodes[dir].child[name] = i;
	return i;
}

static int expect_make(int dir, int name)
{
	if (!is_dir(dir))
		return -ENOTDIR;
	if (nodes[dir].child[name])
		return -EEXIST;
	return is_dead(dir) ? -ENOENT : 0;
}

static bool full(void)
{
	int used = 0;

	for (int i = 0; i < NODES; i++)
		used += nodes[i].used;
	return used > NODES - 10;
}

static void do_create(void)
{
	int dir = any_dir(), name = (int)fake_below(NAMES), c = nodes[dir].child[name];
	uint32_t flags =
		(fake_below(3) == 0 ? PR_O_EXCL : 0) | (fake_below(3) == 0 ? PR_O_TRUNC : 0);
	struct pr_create q = {.cred = root,
			      .parent = nodes[dir].ino,
			      .mode = 0640,
			      .flags = flags | PR_O_WRITE,
			      .name = name_of(name)};
	struct pr_create_r a;
	int expected = expect_make(dir, name), r;

	if (full())
		return;
	if (expected == -EEXIST && !(flags & PR_O_EXCL))
		expected = is_dir(c) ? -EISDIR : S_ISLNK(nodes[c].mode) ? -ELOOP : 0;
	r = RUN(ns_create(&fake_tx, &q, &a));
	SAME(r, expected);
	if (r)
		return;
	cr_assert_eq(a.created, c == 0);
	if (c == 0)
		c = made(dir, name, S_IFREG | 0640, a.attr.ino);
	if (S_ISREG(nodes[c].mode) && (flags & PR_O_TRUNC)) {
		nodes[c].size = 0;
		memset(nodes[c].stamp, 0, sizeof(nodes[c].stamp));
	}
	same_attr(&a.attr, c);
}

static void do_mkdir(void)
{
	int dir = any_dir(), name = (int)fake_below(NAMES);
	struct pr_mkdir q = {
		.cred = root, .parent = nodes[dir].ino, .mode = 0750, .name = name_of(name)};
	struct pr_mkdir_r a;
	int r;

	if (full())
		return;
	r = RUN(ns_mkdir(&fake_tx, &q, &a));
	SAME(r, expect_make(dir, name));
	if (r == 0)
		same_attr(&a.attr, made(dir, name, S_IFDIR | 0750, a.attr.ino));
}

static void do_mknod(void)
{
	int dir = any_dir(), name = (int)fake_below(NAMES);
	struct pr_mknod q = {.cred = root,
			     .parent = nodes[dir].ino,
			     .mode = S_IFIFO | 0600,
			     .name = name_of(name)};
	struct pr_mknod_r a;
	int r;

	if (full())
		return;
	r = RUN(ns_mknod(&fake_tx, &q, &a));
	SAME(r, expect_make(dir, name));
	if (r == 0)
		same_attr(&a.attr, made(dir, name, S_IFIFO | 0600, a.attr.ino));
}

static void do_symlink(void)
{
	int dir = any_dir(), name = (int)fake_below(NAMES), i;
	char text[16];
	struct pr_symlink q = {.cred = root, .parent = nodes[dir].ino, .name = name_of(name)};
	struct pr_readlink rq = {.cred = root};
	struct pr_readlink_r ra;
	struct pr_symlink_r a;
	int r;

	if (full())
		return;
	snprintf(text, sizeof(text), "t%u", fake_below(100000));
	q.target = pr_bytes_str(text);
	r = RUN(ns_symlink(&fake_tx, &q, &a));
	SAME(r, expect_make(dir, name));
	if (r)
		return;
	i = made(dir, name, S_IFLNK | 0777, a.attr.ino);
	strcpy(nodes[i].target, text);
	rq.ino = a.attr.ino;
	cr_assert_eq(RUN(ns_readlink(&fake_tx, &rq, &ra)), 0);
	cr_assert(pr_bytes_equal(ra.target, pr_bytes_str(nodes[i].target)));
}

static void do_link(void)
{
	int dir = any_dir(), name = (int)fake_below(NAMES), i = any_node();
	struct pr_link q = {
		.cred = root, .ino = nodes[i].ino, .parent = nodes[dir].ino, .name = name_of(name)};
	int expected = expect_make(dir, name);
	struct pr_link_r a;
	int r = RUN(ns_link(&fake_tx, &q, &a));

	if (expected == 0 && is_dir(i))
		expected = -EPERM;
	if (expected == 0 && nodes[i].nlink == 0)
		expected = -ENOENT;
	SAME(r, expected);
	if (r)
		return;
	nodes[i].nlink++;
	nodes[dir].child[name] = i;
	same_attr(&a.attr, i);
}

static void do_unlink(void)
{
	int dir = any_dir(), name = (int)fake_below(NAMES), c = nodes[dir].child[name];
	struct pr_unlink q = {.cred = root, .parent = nodes[dir].ino, .name = name_of(name)};
	struct pr_unlink_r a;
	int r = RUN(ns_unlink(&fake_tx, &q, &a));

	SAME(r, !is_dir(dir) ? -ENOTDIR : !c ? -ENOENT : is_dir(c) ? -EISDIR : 0);
	if (r)
		return;
	cr_assert_eq(a.ino, nodes[c].ino);
	cr_assert_eq(a.nlink, nodes[c].nlink - 1);
	nodes[dir].child[name] = 0;
	drop(c);
}

static void do_rmdir(void)
{
	int dir = any_dir(), name = (int)fake_below(NAMES), c = nodes[dir].child[name];
	struct pr_rmdir q = {.cred = root, .parent = nodes[dir].ino, .name = name_of(name)};
	struct pr_rmdir_r a;
	int r = RUN(ns_rmdir(&fake_tx, &q, &a));

	SAME(r, !is_dir(dir)	 ? -ENOTDIR
		: !c		 ? -ENOENT
		: !is_dir(c)	 ? -ENOTDIR
		: child_count(c) ? -ENOTEMPTY
				 : 0);
	if (r)
		return;
	nodes[dir].child[name] = 0;
	drop(c);
}

static int expect_rename(int from, int to, int a, int b, uint32_t flags)
{
	bool swap = flags & PR_RENAME_EXCHANGE;

	if (!is_dir(from))
		return -ENOTDIR;
	if (!a)
		return -ENOENT;
	if (!is_dir(to))
		return -ENOTDIR;
	if (!b && swap)
		return -ENOENT;
	if (b && (flags & PR_RENAME_NOREPLACE))
		return -EEXIST;
	if (a == b)
		return 0;
	if (from != to && is_dir(a) && is_above(a, to))
		return -EINVAL;
	if (from != to && swap && is_dir(b) && is_above(b, from))
		return -EINVAL;
	if (!b)
		return is_dead(to) ? -ENOENT : 0;
	if (swap)
		return 0;
	if (is_dir(a) != is_dir(b))
		return is_dir(a) ? -ENOTDIR : -EISDIR;
	return is_dir(b) && child_count(b) ? -ENOTEMPTY : 0;
}

static void do_rename(void)
{
	int from = any_dir(), to = fake_below(3) ? any_dir() : from;
	int old = (int)fake_below(NAMES), new = (int)fake_below(NAMES);
	int a = nodes[from].child[old], b = nodes[to].child[new];
	uint32_t flags = fake_below(3);
	struct pr_rename q = {
		.cred = root,
		.old_parent = nodes[from].ino,
		.new_parent = nodes[to].ino,
		.flags = flags,
		.old_name = name_of(old),
		.new_name = name_of(new),
	};
	struct pr_rename_r ret;
	int r = RUN(ns_rename(&fake_tx, &q, &ret));

	SAME(r, expect_rename(from, to, a, b, flags));
	if (r || a == b)
		return;
	nodes[to].child[new] = a;
	nodes[from].child[old] = flags & PR_RENAME_EXCHANGE ? b : 0;
	nodes[a].parent = to;
	if (flags & PR_RENAME_EXCHANGE)
		nodes[b].parent = from;
	else if (b)
		drop(b);
}

/* ---- listing, while others change the directory ---- */

static void do_anything_small(void);

struct seen {
	int count[NAMES];
};

static void see_entries(struct pr_list it, struct seen *seen, uint64_t *cookie)
{
	struct pr_dirent d;
	int name;

	while (pr_dirent_next(&it, &d)) {
		cr_assert_gt(d.cookie, *cookie);
		*cookie = d.cookie;
		for (name = 0; name < NAMES; name++)
			if (pr_bytes_equal(d.name, name_of(name)))
				break;
		cr_assert_lt(name, NAMES);
		seen->count[name]++;
	}
}

static void do_readdir(void)
{
	int dir = any_dir();
	uint64_t ino = nodes[dir].ino;
	bool stable[NAMES];
	int before[NAMES];
	uint8_t bytes[1024];
	struct seen seen = {0};
	struct pr_readdir q = {.cred = root, .ino = ino, .max_bytes = 150 + fake_below(800)};
	struct pr_readdir_r a = {0};

	if (!is_dir(dir))
		return;
	memcpy(before, nodes[dir].child, sizeof(before));
	for (int i = 0; i < NAMES; i++)
		stable[i] = before[i] != 0;
	nodes[dir].opens++;
	while (!a.eof) {
		struct pr_buf buf;
		int r;

		do {
			buf = pr_buf_on(bytes, sizeof(bytes));
			fake_begin();
			r = ns_readdir(&fake_tx, &q, &a, &buf);
		} while (fake_end(r));
		cr_assert_eq(r, 0);
		cr_assert_leq(a.entries.len, q.max_bytes);
		see_entries(a.entries, &seen, &q.cookie);
		for (unsigned int n = fake_below(4); n > 0 && !a.eof; n--) {
			do_anything_small();
			for (int i = 0; i < NAMES; i++)
				stable[i] &= nodes[dir].child[i] != 0;
		}
	}
	nodes[dir].opens--;
	forget(dir);
	for (int i = 0; i < NAMES; i++)
		if (stable[i])
			cr_assert_eq(seen.count[i], 1, "a name that stayed was listed %d times",
				     seen.count[i]);
}

/* ---- data ---- */

static void do_write(void)
{
	int i = any_file();
	struct node *n = &nodes[i];
	uint64_t at = fake_below(BLOCKS), blocks = 1 + fake_below(8), got = 0;
	struct pr_layout_get q = {.ino = n->ino, .file_block = at, .mode = PR_LAYOUT_WRITE};
	struct pr_range range = {.file_block = at};
	uint8_t bytes[64];
	struct pr_buf b = pr_buf_on(bytes, sizeof(bytes));
	struct pr_layout_commit c = {.cred = root, .ino = n->ino, .flags = PR_LC_SIZE};
	struct pr_layout_commit_r cr;
	struct pr_layout_get_r a;
	struct pr_extent e;
	int r;

	if (at + blocks > BLOCKS)
		blocks = BLOCKS - at;
	q.blocks = blocks;
	r = RUN(ns_layout_get(&fake_tx, &q, &a));
	if (!S_ISREG(n->mode)) {
		SAME(r, is_dir(i) ? -EISDIR : -EINVAL);
		return;
	}
	if (r == -ENOSPC)
		return;
	SAME(r, 0);
	cr_assert_gt(a.extents.count, 0);
	while (pr_extent_next(&a.extents, &e)) {
		cr_assert_eq(e.file_block, at + got);
		cr_assert_neq(e.state, PR_EXTENT_HOLE);
		for (uint32_t x = 0; x < e.blocks; x++) {
			disk[e.lun][e.lun_block + x] = ++last_stamp;
			n->stamp[at + got++] = last_stamp;
		}
	}
	cr_assert_leq(got, blocks);
	range.blocks = got;
	cr_assert_eq(pr_range_put(&b, &range), 0);
	c.ranges = (struct pr_list){.count = 1, .p = bytes, .len = (uint32_t)b.len};
	c.size = (at + got) * 4096 - fake_below(4096);
	SAME(RUN(ns_layout_commit(&fake_tx, &c, &cr)), 0);
	if (c.size > n->size)
		n->size = c.size;
	same_attr(&cr.attr, i);
}

/* An allocation that is never written. */
static void do_reserve(void)
{
	int i = any_file();
	struct pr_layout_get q = {.ino = nodes[i].ino,
				  .file_block = fake_below(2 * BLOCKS),
				  .blocks = 1 + fake_below(20),
				  .mode = PR_LAYOUT_WRITE};
	struct pr_layout_get_r a;
	int r = RUN(ns_layout_get(&fake_tx, &q, &a));

	cr_assert(r == 0 || r == -ENOSPC || !S_ISREG(nodes[i].mode));
}

static void do_read(void)
{
	int i = any_file();
	struct pr_layout_get q = {.ino = nodes[i].ino, .blocks = BLOCKS, .mode = PR_LAYOUT_READ};
	struct pr_layout_get_r a;
	struct pr_extent e;
	uint64_t at = 0;

	if (!S_ISREG(nodes[i].mode))
		return;
	SAME(RUN(ns_layout_get(&fake_tx, &q, &a)), 0);
	cr_assert_eq(a.size, nodes[i].size);
	while (pr_extent_next(&a.extents, &e)) {
		cr_assert_eq(e.file_block, at);
		for (uint32_t x = 0; x < e.blocks; x++, at++) {
			bool written = e.state == PR_EXTENT_WRITTEN;
			uint64_t stamp = written ? disk[e.lun][e.lun_block + x] : 0;

			cr_assert_eq(stamp, nodes[i].stamp[at], "block %lu is not what was written",
				     at);
		}
	}
	cr_assert_eq(at, BLOCKS);
}

static void cut(struct node *n, uint64_t size)
{
	for (uint64_t b = ns_blocks_of(size); b < BLOCKS; b++)
		n->stamp[b] = 0;
	n->size = size;
}

static void do_truncate(void)
{
	int i = any_file();
	struct pr_setattr q = {.cred = root,
			       .ino = nodes[i].ino,
			       .valid = PR_SET_SIZE,
			       .size = fake_below(BLOCKS * 4096)};
	struct pr_setattr_r a;
	int r = RUN(ns_setattr(&fake_tx, &q, &a));

	SAME(r, is_dir(i) ? -EISDIR : S_ISREG(nodes[i].mode) ? 0 : -EINVAL);
	if (r)
		return;
	cut(&nodes[i], q.size);
	same_attr(&a.attr, i);
}

static void do_allocate(void)
{
	static const uint32_t modes[] = {0, 1, 3, 0x10, 0x11};
	int i = any_file();
	struct node *n = &nodes[i];
	struct pr_allocate q = {.cred = root,
				.ino = n->ino,
				.offset = fake_below(BLOCKS / 2 * 4096),
				.length = 1 + fake_below(BLOCKS / 2 * 4096 - 1),
				.mode = modes[fake_below(5)]};
	uint64_t end = q.offset + q.length;
	struct pr_allocate_r a;
	int r = RUN(ns_allocate(&fake_tx, &q, &a));

	if (!S_ISREG(n->mode)) {
		SAME(r, is_dir(i) ? -EISDIR : -ENODEV);
		return;
	}
	if (r == -ENOSPC)
		return;
	SAME(r, 0);
	if (q.mode & ~1u)
		for (uint64_t b = ns_blocks_of(q.offset); b < end / 4096; b++)
			n->stamp[b] = 0;
	if (!(q.mode & 1) && end > n->size)
		n->size = end;
	same_attr(&a.attr, i);
}

static void do_trim(void)
{
	uint64_t ino = nodes[any_file()].ino;

	cr_assert_eq(FAKE_RUN(ns_trim(&fake_tx, ino)), 0);
}

/* ---- the rest ---- */

static void do_xattr(void)
{
	int i = any_node(), x = (int)fake_below(XATTRS);
	uint32_t value = 1 + fake_below(1000), *have = &nodes[i].xattr[x];
	struct pr_bytes name = pr_bytes_str(xattr_text[x]);
	struct pr_xattr_set sq = {.cred = root,
				  .ino = nodes[i].ino,
				  .flags = fake_below(3),
				  .name = name,
				  .value = pr_bytes_of(&value, sizeof(value))};
	struct pr_xattr_get gq = {.cred = root, .ino = nodes[i].ino, .name = name};
	struct pr_xattr_remove rq = {.cred = root, .ino = nodes[i].ino, .name = name};
	bool no_user = x < 2 && !S_ISREG(nodes[i].mode) && !is_dir(i);
	struct pr_xattr_remove_r ra;
	struct pr_xattr_set_r sa;
	struct pr_xattr_get_r ga;
	int r;

	if (fake_below(3) == 0) {
		r = RUN(ns_xattr_remove(&fake_tx, &rq, &ra));
		SAME(r, no_user ? -EPERM : *have ? 0 : -ENODATA);
		if (r == 0)
			*have = 0;
		return;
	}
	r = RUN(ns_xattr_set(&fake_tx, &sq, &sa));
	SAME(r, no_user					 ? -EPERM
		: *have && sq.flags == PR_XATTR_CREATE	 ? -EEXIST
		: !*have && sq.flags == PR_XATTR_REPLACE ? -ENODATA
							 : 0);
	if (r == 0)
		*have = value;
	r = RUN(ns_xattr_get(&fake_tx, &gq, &ga));
	SAME(r, *have ? 0 : -ENODATA);
	cr_assert(r || memcmp(ga.value.p, have, sizeof(*have)) == 0);
}

static void do_xattr_list(void)
{
	int i = any_node(), count = 0;
	struct pr_xattr_list q = {.cred = root, .ino = nodes[i].ino};
	struct pr_xattr_list_r a;
	uint8_t bytes[256];
	struct pr_buf buf;
	int r;

	do {
		buf = pr_buf_on(bytes, sizeof(bytes));
		fake_begin();
		r = ns_xattr_list(&fake_tx, &q, &a, &buf);
	} while (fake_end(r));
	SAME(r, 0);
	for (uint32_t at = 0; at < a.names.len; count++)
		at += (uint32_t)strlen((const char *)a.names.p + at) + 1;
	for (int x = 0; x < XATTRS; x++)
		count -= nodes[i].xattr[x] != 0;
	cr_assert_eq(count, 0);
}

static void do_open_close(void)
{
	int i = any_node();
	struct pr_open q = {.cred = root, .ino = nodes[i].ino, .flags = PR_O_READ};
	struct pr_open_r a;

	if (i == 0)
		return;
	if (nodes[i].opens > 0) {
		nodes[i].opens--;
		fake_open[nodes[i].ino] = nodes[i].opens > 0;
		forget(i);
		return;
	}
	SAME(RUN(ns_open(&fake_tx, &q, &a)), S_ISLNK(nodes[i].mode) ? -ELOOP : 0);
	nodes[i].opens++;
	fake_open[nodes[i].ino] = true;
}

static void do_getattr(void)
{
	int i = any_node();
	struct pr_getattr q = {.ino = nodes[i].ino};
	struct pr_getattr_r a;

	SAME(RUN(ns_getattr(&fake_tx, &q, &a)), 0);
	same_attr(&a.attr, i);
}

static void do_reap(void)
{
	fake_reap();
	if (fake_below(2))
		fake_rest();
}

static void (*const small[])(void) = {
	do_lookup, do_create, do_create, do_mkdir, do_link,    do_unlink,  do_rename,
	do_rename, do_rmdir,  do_unlink, do_write, do_symlink, do_getattr, do_mknod,
};

static void do_anything_small(void)
{
	small[fake_below(sizeof(small) / sizeof(*small))]();
}

static void (*const large[])(void) = {
	do_write, do_write,	 do_read,    do_truncate, do_allocate,	 do_trim,	do_readdir,
	do_xattr, do_xattr_list, do_reserve, do_read,	  do_open_close, do_open_close,
};

static void run_model(uint64_t seed, unsigned int miss_one_in, unsigned int steps)
{
	fake_reset(seed);
	memset(nodes, 0, sizeof(nodes));
	memset(disk, 0, sizeof(disk));
	last_stamp = 0;
	root = FAKE_ROOT;
	fake_volume(LUNS, LUN_BLOCKS);
	fake_miss_one_in = miss_one_in;
	nodes[0] = (struct node){.used = true, .ino = 1, .mode = S_IFDIR | 0755, .nlink = 2};
	for (unsigned int i = 0; i < steps; i++) {
		if (fake_below(2))
			do_anything_small();
		else
			large[fake_below(sizeof(large) / sizeof(*large))]();
		if (fake_below(40) == 0)
			do_reap();
		if (fake_below(200) == 0)
			fake_check();
	}
	fake_check();
}

/* When all names are gone, so is everything that hung on them. */
static void empty_volume(void)
{
	size_t of_root = 0;

	for (int i = 0; i < NODES; i++)
		if (nodes[i].used)
			fake_open[nodes[i].ino] = false;
	for (bool any = true; any;) {
		any = false;
		for (int d = 0; d < NODES; d++)
			for (int c = 0; nodes[d].used && c < NAMES; c++) {
				struct pr_unlink uq = {
					.cred = root, .parent = nodes[d].ino, .name = name_of(c)};
				struct pr_rmdir rq = {
					.cred = root, .parent = nodes[d].ino, .name = name_of(c)};
				struct pr_unlink_r ua;
				struct pr_rmdir_r ra;
				int i = nodes[d].child[c];

				if (!i || (is_dir(i) && child_count(i)))
					continue;
				any = true;
				if (is_dir(i))
					SAME(FAKE_RUN(ns_rmdir(&fake_tx, &rq, &ra)), 0);
				else
					SAME(FAKE_RUN(ns_unlink(&fake_tx, &uq, &ua)), 0);
				nodes[d].child[c] = 0;
				nodes[i].opens = 0;
				drop(i);
			}
	}
	fake_reap();
	fake_rest();
	fake_check();
	cr_assert_eq(fake_row_count(PR_ROW_INODE), 1);
	cr_assert_eq(fake_row_count(PR_ROW_ORPHAN), 0);
	cr_assert_eq(fake_row_count(PR_ROW_REST), 0);
	cr_assert_eq(fake_row_count(PR_ROW_SPACE), LUNS);
	for (int x = 0; x < XATTRS; x++)
		of_root += nodes[0].xattr[x] != 0;
	cr_assert_eq(fake_row_count(PR_ROW_XATTR), of_root);
}

Test(ns_model, agrees_when_all_rows_are_at_hand)
{
	for (uint64_t seed = 1; seed <= 4; seed++) {
		run_model(seed, 0, 25000);
		empty_volume();
	}
}

Test(ns_model, agrees_whatever_pattern_of_misses)
{
	for (uint64_t seed = 11; seed <= 18; seed++) {
		run_model(seed, 4 + 3 * (unsigned int)(seed % 5), 25000);
		empty_volume();
	}
	cr_assert_gt(fake_misses, 100000);
}
