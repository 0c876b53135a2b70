/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>
#include <errno.h>
#include <sys/stat.h>

#include "controller/core/ns_node.h"
#include "tests/unit/ns_fake.h"

enum { ALICE = 1000, BOB = 1001, STAFF = 50, WHEEL = 60 };

static uint8_t group_bytes[2][4] = {{STAFF}, {WHEEL}};

/* In STAFF and WHEEL besides. */
static struct pr_cred in_groups(uint32_t uid, uint32_t gid)
{
	return (struct pr_cred){
		.uid = uid,
		.gid = gid,
		.groups = {.count = 2, .p = group_bytes[0], .len = sizeof(group_bytes)}};
}

static uint64_t make(uint64_t parent, const char *name, uint32_t mode, struct pr_cred cred)
{
	struct pr_create cq = {
		.cred = cred, .parent = parent, .mode = mode & 07777, .name = pr_bytes_str(name)};
	struct pr_mkdir mq = {
		.cred = cred, .parent = parent, .mode = mode & 07777, .name = pr_bytes_str(name)};
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

static int set(struct pr_setattr q)
{
	struct pr_setattr_r a;

	return FAKE_RUN_EACH_MISS(ns_setattr(&fake_tx, &q, &a));
}

static int chmod_as(struct pr_cred cred, uint64_t ino, uint32_t mode)
{
	return set(
		(struct pr_setattr){.cred = cred, .ino = ino, .valid = PR_SET_MODE, .mode = mode});
}

static int chown_as(struct pr_cred cred, uint64_t ino, uint32_t uid, uint32_t gid)
{
	return set((struct pr_setattr){.cred = cred,
				       .ino = ino,
				       .valid = PR_SET_UID | PR_SET_GID,
				       .uid = uid,
				       .gid = gid});
}

static int access_as(struct pr_cred cred, uint64_t ino, uint32_t mask)
{
	struct pr_access q = {.cred = cred, .ino = ino, .mask = mask};
	struct pr_access_r a;

	return FAKE_RUN(ns_access(&fake_tx, &q, &a));
}

static int unlink_as(struct pr_cred cred, uint64_t parent, const char *name)
{
	struct pr_unlink q = {.cred = cred, .parent = parent, .name = pr_bytes_str(name)};
	struct pr_unlink_r a;

	return FAKE_RUN(ns_unlink(&fake_tx, &q, &a));
}

static int rename_as(struct pr_cred cred, uint64_t from, const char *old, uint64_t to,
		     const char *new)
{
	struct pr_rename q = {.cred = cred,
			      .old_parent = from,
			      .new_parent = to,
			      .old_name = pr_bytes_str(old),
			      .new_name = pr_bytes_str(new)};
	struct pr_rename_r a;

	return FAKE_RUN(ns_rename(&fake_tx, &q, &a));
}

static void setup(void)
{
	fake_reset(1);
	fake_volume(1, 1000);
}

TestSuite(ns_perm, .init = setup);

Test(ns_perm, the_first_class_that_fits_decides)
{
	struct pr_cred alice = fake_cred(ALICE, ALICE), bob = in_groups(BOB, BOB);
	uint64_t f = make(1, "f", 0647, FAKE_ROOT);

	chown_as(FAKE_ROOT, f, ALICE, STAFF);
	chmod_as(FAKE_ROOT, f, 0047);
	cr_assert_eq(access_as(alice, f, 4), -EACCES);
	cr_assert_eq(access_as(bob, f, 4), 0);
	cr_assert_eq(access_as(bob, f, 2), -EACCES);
	cr_assert_eq(access_as(fake_cred(BOB, BOB), f, 7), 0);
	cr_assert_eq(access_as(fake_cred(BOB, STAFF), f, 1), -EACCES);
}

Test(ns_perm, root_may_all_but_execute_what_nobody_may)
{
	uint64_t f = make(1, "f", 0600, FAKE_ROOT), d = make(1, "d", S_IFDIR | 0, FAKE_ROOT);

	cr_assert_eq(access_as(FAKE_ROOT, f, 6), 0);
	cr_assert_eq(access_as(FAKE_ROOT, f, 1), -EACCES);
	cr_assert_eq(access_as(FAKE_ROOT, d, 7), 0);
	chmod_as(FAKE_ROOT, f, 0001);
	cr_assert_eq(access_as(FAKE_ROOT, f, 1), 0);
}

Test(ns_perm, chmod_is_the_owners_and_takes_a_foreign_groups_bit)
{
	struct pr_cred alice = fake_cred(ALICE, ALICE);
	uint64_t f = make(1, "f", 0644, FAKE_ROOT);

	chown_as(FAKE_ROOT, f, ALICE, STAFF);
	cr_assert_eq(chmod_as(fake_cred(BOB, BOB), f, 0600), -EPERM);
	cr_assert_eq(chmod_as(alice, f, 06755), 0);
	cr_assert_eq(attr(f).mode, S_IFREG | 04755);
	cr_assert_eq(chmod_as(in_groups(ALICE, ALICE), f, 06755), 0);
	cr_assert_eq(attr(f).mode, S_IFREG | 06755);
}

Test(ns_perm, chown_is_roots_and_chgrp_within_his_groups_the_owners)
{
	struct pr_cred alice = in_groups(ALICE, ALICE);
	uint64_t f = make(1, "f", 0644, FAKE_ROOT);

	chown_as(FAKE_ROOT, f, ALICE, ALICE);
	cr_assert_eq(chown_as(alice, f, BOB, ALICE), -EPERM);
	cr_assert_eq(chown_as(alice, f, ALICE, 77), -EPERM);
	cr_assert_eq(chown_as(alice, f, ALICE, WHEEL), 0);
	cr_assert_eq(attr(f).gid, WHEEL);
	cr_assert_eq(chown_as(fake_cred(BOB, WHEEL), f, ALICE, WHEEL), -EPERM);
}

Test(ns_perm, chown_clears_set_id_bits_of_files_but_not_of_directories)
{
	uint64_t f = make(1, "f", 06755, FAKE_ROOT), d = make(1, "d", S_IFDIR | 0755, FAKE_ROOT);
	uint64_t lock = make(1, "lock", 02745, FAKE_ROOT);

	chmod_as(FAKE_ROOT, d, 06755);
	cr_assert_eq(chown_as(FAKE_ROOT, f, ALICE, STAFF), 0);
	cr_assert_eq(chown_as(FAKE_ROOT, d, ALICE, STAFF), 0);
	chmod_as(FAKE_ROOT, lock, 02705);
	cr_assert_eq(chown_as(FAKE_ROOT, lock, ALICE, STAFF), 0);
	cr_assert_eq(attr(f).mode & 07777, 0755);
	cr_assert_eq(attr(d).mode & 07777, 06755);
	cr_assert_eq(attr(lock).mode & 07777, 02705);
}

Test(ns_perm, a_write_by_others_takes_set_id_bits_and_capabilities)
{
	uint64_t f = make(1, "f", 06777, FAKE_ROOT);
	struct pr_xattr_set xq = {.cred = FAKE_ROOT,
				  .ino = f,
				  .name = pr_bytes_str("security.capability"),
				  .value = pr_bytes_str("x")};
	struct pr_xattr_set_r xa;

	cr_assert_eq(FAKE_RUN(ns_xattr_set(&fake_tx, &xq, &xa)), 0);
	cr_assert_eq(
		set((struct pr_setattr){
			.cred = fake_cred(BOB, BOB), .ino = f, .valid = PR_SET_SIZE, .size = 10}),
		0);
	cr_assert_eq(attr(f).mode & 07777, 0777);
	cr_assert_eq(fake_row_count(PR_ROW_XATTR), 0);
	fake_check();
	chmod_as(FAKE_ROOT, f, 06777);
	set((struct pr_setattr){.cred = FAKE_ROOT, .ino = f, .valid = PR_SET_SIZE, .size = 0});
	cr_assert_eq(attr(f).mode & 07777, 06777, "root keeps them");
}

Test(ns_perm, explicit_times_are_the_owners_and_now_is_every_writers)
{
	struct pr_cred bob = fake_cred(BOB, BOB);
	uint64_t f = make(1, "f", 0666, fake_cred(0, 0));
	struct pr_setattr both = {.cred = bob,
				  .ino = f,
				  .valid = PR_SET_ATIME | PR_SET_MTIME,
				  .atime_ns = 5,
				  .mtime_ns = 6};
	struct pr_setattr now = {
		.cred = bob,
		.ino = f,
		.valid = PR_SET_ATIME_NOW | PR_SET_MTIME_NOW | PR_SET_ATIME | PR_SET_MTIME,
	};
	struct pr_setattr one = {.cred = bob, .ino = f, .valid = PR_SET_MTIME_NOW};

	cr_assert_eq(set(both), -EPERM);
	cr_assert_eq(set(one), -EPERM);
	cr_assert_eq(set(now), 0);
	chmod_as(FAKE_ROOT, f, 0644);
	cr_assert_eq(set(now), -EACCES);
	both.cred = FAKE_ROOT;
	cr_assert_eq(set(both), 0);
	cr_assert_eq(attr(f).atime_ns, 5);
	cr_assert_eq(attr(f).mtime_ns, 6);
}

Test(ns_perm, in_a_sticky_directory_only_owners_take_names)
{
	struct pr_cred alice = fake_cred(ALICE, ALICE), bob = fake_cred(BOB, BOB);
	uint64_t d = make(1, "tmp", S_IFDIR | 0777, FAKE_ROOT);

	chmod_as(FAKE_ROOT, d, 01777);
	make(d, "a", 0666, alice);
	make(d, "b", 0666, bob);
	cr_assert_eq(unlink_as(bob, d, "a"), -EPERM);
	cr_assert_eq(rename_as(bob, d, "a", d, "x"), -EPERM);
	cr_assert_eq(rename_as(bob, d, "b", d, "a"), -EPERM, "nor may he replace it");
	cr_assert_eq(rename_as(bob, d, "b", d, "c"), 0);
	cr_assert_eq(unlink_as(alice, d, "a"), 0);
	chown_as(FAKE_ROOT, d, ALICE, ALICE);
	cr_assert_eq(unlink_as(alice, d, "c"), 0, "the directory's owner may");
}

Test(ns_perm, names_need_search_and_changing_them_write_permission)
{
	struct pr_cred bob = fake_cred(BOB, BOB);
	uint64_t d = make(1, "d", S_IFDIR | 0754, FAKE_ROOT);
	struct pr_lookup lq = {.cred = bob, .parent = d, .name = pr_bytes_str("f")};
	struct pr_mkdir mq = {.cred = bob, .parent = d, .name = pr_bytes_str("f")};
	struct pr_lookup_r la;
	struct pr_mkdir_r ma;

	make(d, "f", 0644, FAKE_ROOT);
	cr_assert_eq(FAKE_RUN(ns_lookup(&fake_tx, &lq, &la)), -EACCES);
	chmod_as(FAKE_ROOT, d, 0755);
	cr_assert_eq(FAKE_RUN(ns_lookup(&fake_tx, &lq, &la)), 0);
	cr_assert_eq(FAKE_RUN(ns_mkdir(&fake_tx, &mq, &ma)), -EEXIST);
	mq.name = pr_bytes_str("g");
	cr_assert_eq(FAKE_RUN(ns_mkdir(&fake_tx, &mq, &ma)), -EACCES);
	cr_assert_eq(unlink_as(bob, d, "g"), -ENOENT);
	cr_assert_eq(unlink_as(bob, d, "f"), -EACCES);
}

Test(ns_perm, a_directory_that_changes_its_parent_must_be_writable)
{
	struct pr_cred bob = fake_cred(BOB, BOB);
	uint64_t a = make(1, "a", S_IFDIR | 0777, FAKE_ROOT),
		 b = make(1, "b", S_IFDIR | 0777, FAKE_ROOT);
	uint64_t d = make(a, "d", S_IFDIR | 0755, FAKE_ROOT);

	cr_assert_eq(rename_as(bob, a, "d", b, "d"), -EACCES);
	cr_assert_eq(rename_as(bob, a, "d", a, "e"), 0);
	chmod_as(FAKE_ROOT, d, 0777);
	cr_assert_eq(rename_as(bob, a, "e", b, "d"), 0);
}

Test(ns_perm, a_set_group_id_directory_hands_its_group_down)
{
	struct pr_cred alice = fake_cred(ALICE, ALICE);
	uint64_t d = make(1, "d", S_IFDIR | 0777, FAKE_ROOT), f, s, x;

	chown_as(FAKE_ROOT, d, 0, STAFF);
	chmod_as(FAKE_ROOT, d, 02777);
	f = make(d, "f", 0644, alice);
	s = make(d, "s", S_IFDIR | 0755, alice);
	x = make(d, "x", 02755, alice);
	cr_assert_eq(attr(f).gid, STAFF);
	cr_assert_eq(attr(s).gid, STAFF);
	cr_assert_eq(attr(s).mode & 07777, 02755);
	cr_assert_eq(attr(x).mode & 07777, 0755, "not a member: no set-group-id program");
}

Test(ns_perm, open_asks_for_what_it_will_do)
{
	struct pr_cred bob = fake_cred(BOB, BOB);
	uint64_t f = make(1, "f", 0644, FAKE_ROOT), d = make(1, "d", S_IFDIR | 0755, FAKE_ROOT);
	struct pr_open q = {.cred = bob, .ino = f, .flags = PR_O_READ};
	struct pr_open_r a;

	cr_assert_eq(FAKE_RUN(ns_open(&fake_tx, &q, &a)), 0);
	q.flags = PR_O_READ | PR_O_WRITE;
	cr_assert_eq(FAKE_RUN(ns_open(&fake_tx, &q, &a)), -EACCES);
	q.flags = PR_O_READ | PR_O_TRUNC;
	cr_assert_eq(FAKE_RUN(ns_open(&fake_tx, &q, &a)), -EACCES);
	q.flags = PR_O_EXEC;
	cr_assert_eq(FAKE_RUN(ns_open(&fake_tx, &q, &a)), -EACCES);
	chmod_as(FAKE_ROOT, f, 0711);
	cr_assert_eq(FAKE_RUN(ns_open(&fake_tx, &q, &a)), 0);
	q = (struct pr_open){.cred = FAKE_ROOT, .ino = d, .flags = PR_O_WRITE};
	cr_assert_eq(FAKE_RUN(ns_open(&fake_tx, &q, &a)), -EISDIR);
	q.ino = 4711;
	cr_assert_eq(FAKE_RUN(ns_open(&fake_tx, &q, &a)), -ESTALE);
}

Test(ns_perm, only_root_makes_devices)
{
	struct pr_mknod q = {.cred = fake_cred(BOB, BOB),
			     .mode = S_IFCHR | 0666,
			     .rdev = 0x103,
			     .name = pr_bytes_str("null")};
	struct pr_mknod_r a;

	q.parent = make(1, "d", S_IFDIR | 0777, FAKE_ROOT);
	cr_assert_eq(FAKE_RUN(ns_mknod(&fake_tx, &q, &a)), -EPERM);
	q.cred = FAKE_ROOT;
	cr_assert_eq(FAKE_RUN(ns_mknod(&fake_tx, &q, &a)), 0);
	cr_assert_eq(a.attr.rdev, 0x103);
	q.mode = S_IFDIR | 0755;
	cr_assert_eq(FAKE_RUN(ns_mknod(&fake_tx, &q, &a)), -EPERM);
}

static int xattr_set(struct pr_cred cred, uint64_t ino, const char *name)
{
	struct pr_xattr_set q = {
		.cred = cred, .ino = ino, .name = pr_bytes_str(name), .value = pr_bytes_str("v")};
	struct pr_xattr_set_r a;

	return FAKE_RUN(ns_xattr_set(&fake_tx, &q, &a));
}

static int xattr_get(struct pr_cred cred, uint64_t ino, const char *name)
{
	struct pr_xattr_get q = {.cred = cred, .ino = ino, .name = pr_bytes_str(name)};
	struct pr_xattr_get_r a;

	return FAKE_RUN(ns_xattr_get(&fake_tx, &q, &a));
}

Test(ns_perm, extended_attributes_follow_their_spaces)
{
	struct pr_cred bob = fake_cred(BOB, BOB);
	uint64_t f = make(1, "f", 0644, FAKE_ROOT), d = make(1, "d", S_IFDIR | 0777, FAKE_ROOT);

	cr_assert_eq(xattr_set(bob, f, "user.x"), -EACCES);
	cr_assert_eq(xattr_set(FAKE_ROOT, f, "user.x"), 0);
	cr_assert_eq(xattr_get(bob, f, "user.x"), 0);
	cr_assert_eq(xattr_set(bob, f, "trusted.x"), -EPERM);
	cr_assert_eq(xattr_set(FAKE_ROOT, f, "trusted.x"), 0);
	cr_assert_eq(xattr_get(bob, f, "trusted.x"), -ENODATA);
	cr_assert_eq(xattr_set(bob, f, "security.x"), -EPERM);
	cr_assert_eq(xattr_set(FAKE_ROOT, f, "security.x"), 0);
	cr_assert_eq(xattr_get(bob, f, "security.x"), 0);
	cr_assert_eq(xattr_set(FAKE_ROOT, f, "system.posix_acl_access"), -EOPNOTSUPP);
	cr_assert_eq(xattr_set(FAKE_ROOT, f, "nonsense"), -EOPNOTSUPP);
	cr_assert_eq(xattr_set(FAKE_ROOT, f, "user."), -EINVAL);
	cr_assert_eq(xattr_set(bob, d, "user.x"), 0);
	chmod_as(FAKE_ROOT, d, 01777);
	cr_assert_eq(xattr_set(bob, d, "user.x"), -EPERM, "sticky: the owner's only");
}

Test(ns_perm, a_listing_shows_trusted_names_to_root_only)
{
	uint64_t f = make(1, "f", 0644, FAKE_ROOT);
	struct pr_xattr_list q = {.cred = fake_cred(BOB, BOB), .ino = f};
	struct pr_xattr_list_r a;
	uint8_t bytes[64];
	struct pr_buf buf = pr_buf_on(bytes, sizeof(bytes));

	xattr_set(FAKE_ROOT, f, "trusted.x");
	xattr_set(FAKE_ROOT, f, "user.y");
	cr_assert_eq(FAKE_RUN(ns_xattr_list(&fake_tx, &q, &a, &buf)), 0);
	cr_assert(pr_bytes_equal(a.names, pr_bytes_of("user.y", 7)));
	q.cred = FAKE_ROOT;
	buf = pr_buf_on(bytes, sizeof(bytes));
	cr_assert_eq(FAKE_RUN(ns_xattr_list(&fake_tx, &q, &a, &buf)), 0);
	cr_assert(pr_bytes_equal(a.names, pr_bytes_of("trusted.x\0user.y", 17)));
	buf = pr_buf_on(bytes, 10);
	cr_assert_eq(FAKE_RUN(ns_xattr_list(&fake_tx, &q, &a, &buf)), -ERANGE);
}
