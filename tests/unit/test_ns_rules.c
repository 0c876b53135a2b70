/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Times, counters, cookies, corner cases of names, volumes. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "controller/core/ns_node.h"
#include "tests/unit/ns_fake.h"

static uint64_t make(uint64_t parent, const char *name, uint32_t mode)
{
	struct pr_create cq = {
		.cred = FAKE_ROOT, .parent = parent, .mode = 0644, .name = pr_bytes_str(name)};
	struct pr_mkdir mq = {
		.cred = FAKE_ROOT, .parent = parent, .mode = 0755, .name = pr_bytes_str(name)};
	struct pr_create_r ca;
	struct pr_mkdir_r ma;

	if (S_ISDIR(mode)) {
		cr_assert_eq(FAKE_RUN(ns_mkdir(&fake_tx, &mq, &ma)), 0);
		return ma.attr.ino;
	}
	cr_assert_eq(FAKE_RUN(ns_create(&fake_tx, &cq, &ca)), 0);
	return ca.attr.ino;
}

static struct pr_attr attr(uint64_t ino)
{
	struct pr_getattr q = {.ino = ino};
	struct pr_getattr_r a;

	cr_assert_eq(FAKE_RUN(ns_getattr(&fake_tx, &q, &a)), 0);
	return a.attr;
}

static int rename_to(uint64_t from, const char *old, uint64_t to, const char *new, uint32_t flags)
{
	struct pr_rename q = {.cred = FAKE_ROOT,
			      .old_parent = from,
			      .new_parent = to,
			      .flags = flags,
			      .old_name = pr_bytes_str(old),
			      .new_name = pr_bytes_str(new)};
	struct pr_rename_r a;

	return FAKE_RUN_EACH_MISS(ns_rename(&fake_tx, &q, &a));
}

static int unlink_of(uint64_t parent, const char *name)
{
	struct pr_unlink q = {.cred = FAKE_ROOT, .parent = parent, .name = pr_bytes_str(name)};
	struct pr_unlink_r a;

	return FAKE_RUN_EACH_MISS(ns_unlink(&fake_tx, &q, &a));
}

static int rmdir_of(uint64_t parent, const char *name)
{
	struct pr_rmdir q = {.cred = FAKE_ROOT, .parent = parent, .name = pr_bytes_str(name)};
	struct pr_rmdir_r a;

	return FAKE_RUN_EACH_MISS(ns_rmdir(&fake_tx, &q, &a));
}

static void setup(void)
{
	fake_reset(1);
	fake_volume(1, 1000);
}

TestSuite(ns_rules, .init = setup);

/* The times that moved since before: a, m, c as a string, and whether the counter did. */
static const char *moved(const struct pr_attr *before, uint64_t ino)
{
	static char text[8];
	struct pr_attr now = attr(ino);

	snprintf(text, sizeof(text), "%s%s%s%s", now.atime_ns != before->atime_ns ? "a" : "",
		 now.mtime_ns != before->mtime_ns ? "m" : "",
		 now.ctime_ns != before->ctime_ns ? "c" : "",
		 now.change > before->change ? "+" : "");
	cr_assert_geq(now.ctime_ns, before->ctime_ns);
	cr_assert_eq(now.btime_ns, before->btime_ns);
	return text;
}

Test(ns_rules, each_operation_moves_its_times_and_counters)
{
	uint64_t d = make(1, "d", S_IFDIR), e = make(1, "e", S_IFDIR), f = make(d, "f", 0);
	struct pr_attr da = attr(d), ea = attr(e), fa = attr(f);
	struct pr_link lq = {.cred = FAKE_ROOT, .ino = f, .parent = e, .name = pr_bytes_str("g")};
	struct pr_setattr sq = {.cred = FAKE_ROOT, .ino = f, .valid = PR_SET_MODE, .mode = 0600};
	struct pr_setattr_r sa;
	struct pr_link_r la;

	cr_assert_eq(fa.atime_ns, fa.btime_ns);
	cr_assert_eq(fa.mtime_ns, fa.btime_ns);
	cr_assert_eq(fa.ctime_ns, fa.btime_ns);
	cr_assert_eq(FAKE_RUN(ns_link(&fake_tx, &lq, &la)), 0);
	cr_assert_str_eq(moved(&fa, f), "c+");
	cr_assert_str_eq(moved(&ea, e), "mc+");
	cr_assert_str_eq(moved(&da, d), "");
	fa = attr(f), ea = attr(e);
	cr_assert_eq(rename_to(d, "f", e, "h", 0), 0);
	cr_assert_str_eq(moved(&fa, f), "c+");
	cr_assert_str_eq(moved(&da, d), "mc+");
	cr_assert_str_eq(moved(&ea, e), "mc+");
	fa = attr(f), ea = attr(e);
	cr_assert_eq(unlink_of(e, "g"), 0);
	cr_assert_str_eq(moved(&fa, f), "c+");
	cr_assert_str_eq(moved(&ea, e), "mc+");
	fa = attr(f);
	cr_assert_eq(FAKE_RUN(ns_setattr(&fake_tx, &sq, &sa)), 0);
	cr_assert_str_eq(moved(&fa, f), "c+");
	fa = attr(f);
	sq.valid = PR_SET_SIZE;
	cr_assert_eq(FAKE_RUN(ns_setattr(&fake_tx, &sq, &sa)), 0);
	cr_assert_str_eq(moved(&fa, f), "mc+");
	fa = attr(f);
	sq.valid = PR_SET_ATIME_TOUCH;
	cr_assert_eq(FAKE_RUN(ns_setattr(&fake_tx, &sq, &sa)), 0);
	cr_assert_str_eq(moved(&fa, f), "a");
	fa = attr(f);
	sq.valid = 0;
	cr_assert_eq(FAKE_RUN(ns_setattr(&fake_tx, &sq, &sa)), 0);
	cr_assert_str_eq(moved(&fa, f), "");
}

Test(ns_rules, what_fails_moves_nothing)
{
	uint64_t d = make(1, "d", S_IFDIR), hash;

	make(d, "f", 0);
	make(d, "s", S_IFDIR);
	hash = fake_hash();
	cr_assert_eq(rmdir_of(1, "d"), -ENOTEMPTY);
	cr_assert_eq(unlink_of(1, "d"), -EISDIR);
	cr_assert_eq(rmdir_of(d, "f"), -ENOTDIR);
	cr_assert_eq(rename_to(1, "d", d, "x", 0), -EINVAL);
	cr_assert_eq(rename_to(d, "f", d, "s", 0), -EISDIR);
	cr_assert_eq(rename_to(d, "s", d, "f", 0), -ENOTDIR);
	cr_assert_eq(rename_to(d, "f", d, "s", PR_RENAME_NOREPLACE), -EEXIST);
	cr_assert_eq(rename_to(d, "f", d, "y", PR_RENAME_EXCHANGE), -ENOENT);
	cr_assert_eq(rename_to(d, "f", d, "y", 3), -EINVAL);
	cr_assert_eq(fake_hash(), hash);
}

Test(ns_rules, dots_are_nobodys_names)
{
	struct pr_lookup q = {.cred = FAKE_ROOT, .name = pr_bytes_str("..")};
	struct pr_create cq = {.cred = FAKE_ROOT, .parent = 1, .name = pr_bytes_str(".")};
	struct pr_lookup_r a;
	struct pr_create_r ca;
	uint64_t d = make(1, "d", S_IFDIR), e = make(d, "e", S_IFDIR);

	q.parent = e;
	cr_assert_eq(FAKE_RUN(ns_lookup(&fake_tx, &q, &a)), 0);
	cr_assert_eq(a.attr.ino, d);
	cr_assert_eq(rename_to(d, "e", 1, "e", 0), 0);
	cr_assert_eq(FAKE_RUN(ns_lookup(&fake_tx, &q, &a)), 0);
	cr_assert_eq(a.attr.ino, 1);
	q.parent = 1;
	cr_assert_eq(FAKE_RUN(ns_lookup(&fake_tx, &q, &a)), 0);
	cr_assert_eq(a.attr.ino, 1);
	cr_assert_eq(rmdir_of(1, "."), -EINVAL);
	cr_assert_eq(rmdir_of(d, ".."), -ENOTEMPTY);
	cr_assert_eq(unlink_of(d, ".."), -EISDIR);
	cr_assert_eq(rename_to(1, ".", 1, "x", 0), -EBUSY);
	cr_assert_eq(FAKE_RUN(ns_create(&fake_tx, &cq, &ca)), -EISDIR);
}

Test(ns_rules, nothing_is_made_in_a_removed_directory)
{
	uint64_t d = make(1, "d", S_IFDIR);
	struct pr_mkdir q = {.cred = FAKE_ROOT, .parent = d, .name = pr_bytes_str("x")};
	struct pr_mkdir_r a;

	fake_open[d] = true;
	make(1, "f", 0);
	cr_assert_eq(rmdir_of(1, "d"), 0);
	fake_reap();
	cr_assert_eq(attr(d).nlink, 0);
	cr_assert_eq(FAKE_RUN(ns_mkdir(&fake_tx, &q, &a)), -ENOENT);
	cr_assert_eq(rename_to(1, "f", d, "f", 0), -ENOENT);
	fake_open[d] = false;
	fake_reap();
	cr_assert_eq(FAKE_RUN(ns_mkdir(&fake_tx, &q, &a)), -ESTALE);
	fake_check();
}

Test(ns_rules, an_orphan_lives_as_long_as_it_is_open)
{
	uint64_t f = make(1, "f", 0), g = make(1, "g", 0);
	struct pr_link q = {.cred = FAKE_ROOT, .ino = f, .parent = 1, .name = pr_bytes_str("h")};
	struct pr_getattr gq = {.ino = g};
	struct pr_getattr_r ga;
	struct pr_link_r a;

	fake_open[f] = true;
	cr_assert_eq(rename_to(1, "g", 1, "f", 0), 0);
	fake_reap();
	cr_assert_eq(attr(f).nlink, 0);
	cr_assert_eq(FAKE_RUN(ns_link(&fake_tx, &q, &a)), -ENOENT, "it does not come back");
	fake_open[f] = false;
	fake_reap();
	gq.ino = f;
	cr_assert_eq(FAKE_RUN(ns_getattr(&fake_tx, &gq, &ga)), -ESTALE);
	fake_check();
}

Test(ns_rules, links_have_a_limit)
{
	uint64_t f = make(1, "f", 0);
	struct pr_link q = {.cred = FAKE_ROOT, .ino = f, .parent = 1, .name = pr_bytes_str("g")};
	struct pr_link_r a;
	struct ns_node n;

	fake_begin();
	cr_assert_eq(ns_node_get(&fake_tx, f, &n), 0);
	n.row.nlink = NS_LINK_MAX;
	ns_node_put(&fake_tx, &n);
	fake_end(0);
	cr_assert_eq(FAKE_RUN(ns_link(&fake_tx, &q, &a)), -EMLINK);
}

/* One page of a listing. Returns its last cookie and adds its names to text. */
static uint64_t page(uint64_t dir, uint64_t cookie, uint32_t max_bytes, char *text, bool *eof)
{
	struct pr_readdir q = {
		.cred = FAKE_ROOT, .ino = dir, .cookie = cookie, .max_bytes = max_bytes};
	uint8_t bytes[4096];
	struct pr_buf buf = pr_buf_on(bytes, sizeof(bytes));
	struct pr_readdir_r a;
	struct pr_dirent d;

	cr_assert_eq(FAKE_RUN(ns_readdir(&fake_tx, &q, &a, &buf)), 0);
	while (pr_dirent_next(&a.entries, &d)) {
		strncat(text, (const char *)d.name.p, d.name.len);
		cr_assert_eq(d.attr.ino, attr(d.attr.ino).ino);
		cookie = d.cookie;
	}
	*eof = a.eof;
	return cookie;
}

Test(ns_rules, cookies_stay_valid_while_names_come_and_go)
{
	uint64_t d = make(1, "d", S_IFDIR), cookie;
	char text[32] = "";
	bool eof;

	for (const char *p = "abcdef"; *p; p++)
		make(d, (char[2]){*p}, 0);
	cookie = page(d, 0, 350, text, &eof);
	cr_assert_str_eq(text, "abc");
	cr_assert(!eof);
	cr_assert_eq(unlink_of(d, "c"), 0, "the one the cookie is of");
	cr_assert_eq(unlink_of(d, "d"), 0);
	cr_assert_eq(rename_to(d, "a", d, "e", 0), 0, "e stays where it is, as another file");
	make(d, "d", 0);
	cookie = page(d, cookie, 4096, text, &eof);
	cr_assert_str_eq(text, "abcefd");
	cr_assert(eof);
	cr_assert_eq(page(d, cookie, 4096, text, &eof), cookie);
	cr_assert_str_eq(text, "abcefd");
	fake_check();
}

Test(ns_rules, a_page_without_room_for_one_entry_is_refused)
{
	struct pr_readdir q = {.cred = FAKE_ROOT, .ino = 1, .max_bytes = 20};
	uint8_t bytes[64];
	struct pr_buf buf = pr_buf_on(bytes, sizeof(bytes));
	struct pr_readdir_r a;

	make(1, "f", 0);
	cr_assert_eq(FAKE_RUN(ns_readdir(&fake_tx, &q, &a, &buf)), -EINVAL);
}

Test(ns_rules, an_inode_keeps_256_attributes_and_frees_them_in_steps)
{
	uint64_t f = make(1, "f", 0);
	char name[24];
	struct pr_xattr_set q = {.cred = FAKE_ROOT, .ino = f, .value = pr_bytes_str("v")};
	struct pr_xattr_set_r a;

	for (int i = 0; i <= 256; i++) {
		snprintf(name, sizeof(name), "user.%d", i);
		q.name = pr_bytes_str(name);
		cr_assert_eq(FAKE_RUN(ns_xattr_set(&fake_tx, &q, &a)), i < 256 ? 0 : -ENOSPC);
	}
	cr_assert_eq(unlink_of(1, "f"), 0);
	fake_reap();
	cr_assert_eq(fake_row_count(PR_ROW_XATTR), 0);
	fake_check();
}

Test(ns_rules, a_volume_takes_luns_that_no_other_has)
{
	struct ns_lun lun[2] = {{.uuid = {1}, .name = "x", .blocks = 100, .data_block = 10},
				{.uuid = {9}, .name = "y", .blocks = 100, .data_block = 10}};
	struct pr_row_volume row;
	uint8_t uuid[16] = {8};
	uint16_t volume;

	cr_assert_eq(FAKE_RUN(ns_volume_create(&fake_tx, "vol2", uuid, lun, 2, &volume)), -EBUSY);
	cr_assert_eq(FAKE_RUN(ns_volume_create(&fake_tx, "vol1", uuid, &lun[1], 1, &volume)),
		     -EEXIST);
	cr_assert_eq(FAKE_RUN(ns_volume_create(&fake_tx, "", uuid, &lun[1], 1, &volume)), -EINVAL);
	cr_assert_eq(FAKE_RUN(ns_volume_create(&fake_tx, "vol2", uuid, &lun[1], 0, &volume)),
		     -EINVAL);
	cr_assert_eq(
		FAKE_RUN_EACH_MISS(ns_volume_create(&fake_tx, "vol2", uuid, &lun[1], 1, &volume)),
		0);
	cr_assert_eq(volume, 2);
	cr_assert_eq(FAKE_RUN_EACH_MISS(ns_volume_find(&fake_tx, "vol2", &volume, &row)), 0);
	cr_assert_eq(volume, 2);
	cr_assert_eq(row.root, 1);
	cr_assert_eq(FAKE_RUN(ns_volume_find(&fake_tx, "vol", &volume, &row)), -ENOENT);
}

Test(ns_rules, statfs_counts_what_rests_as_free)
{
	uint64_t f = make(1, "f", 0);
	struct pr_layout_get q = {.ino = f, .blocks = 100, .mode = PR_LAYOUT_WRITE};
	struct pr_statfs sq;
	struct pr_layout_get_r a;
	struct pr_statfs_r sa;

	cr_assert_eq(FAKE_RUN(ns_layout_get(&fake_tx, &q, &a)), 0);
	cr_assert_eq(FAKE_RUN(ns_statfs(&fake_tx, &sq, &sa)), 0);
	cr_assert_eq(sa.blocks, 1000);
	cr_assert_eq(sa.blocks_free, 900);
	cr_assert_eq(sa.files - sa.files_free, 2);
	cr_assert_eq(unlink_of(1, "f"), 0);
	fake_reuse = false;
	fake_reap();
	fake_rest();
	cr_assert_eq(fake_row_count(PR_ROW_REST), 1);
	cr_assert_eq(FAKE_RUN(ns_statfs(&fake_tx, &sq, &sa)), 0);
	cr_assert_eq(sa.blocks_free, 1000);
}
