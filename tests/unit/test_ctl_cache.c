/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Operations that need more rows at once than the cache holds. */
#include <criterion/criterion.h>
#include <stdio.h>
#include "tests/unit/ctl_rig.h"

enum { DEPTH = 4600, CACHE_BYTES = 1 << 20 }; /* the least that mdcd.conf allows: some 4,000 rows */

static struct rig g;
static struct rig_client a;

#define ASK(slot_, NAME, name, q)                                       \
	do {                                                            \
		struct pr_frame f_ = {.type = PR_T_##NAME,              \
				      .session = a.session,             \
				      .slot = slot_,                    \
				      .sequence = ++a.sequence[slot_]}; \
		RIG_SEND(&g, a.conn, &f_, name, q);                     \
	} while (0)

static uint64_t make_dir(uint64_t parent, const char *name)
{
	struct pr_mkdir q = {.parent = parent, .mode = 0755, .name = pr_bytes_str(name)};
	struct pr_mkdir_r r;
	struct rig_mail m;

	ASK(0, MKDIR, mkdir, &q);
	rig_run(&g);
	m = rig_take(&g, a.conn, PR_T_MKDIR_R);
	cr_assert_eq(m.f.status, 0);
	cr_assert_eq(pr_mkdir_r_decode(&r, m.p, m.f.length), 0);
	free(m.p);
	return r.attr.ino;
}

static void move(const char *name, uint64_t to)
{
	struct pr_rename q = {.old_parent = a.root,
			      .new_parent = to,
			      .old_name = pr_bytes_str(name),
			      .new_name = pr_bytes_str(name)};

	ASK(0, RENAME, rename, &q);
}

static uint64_t deep_tree(void)
{
	uint64_t deepest;

	rig_open(&g);
	g.config.cache_bytes = CACHE_BYTES;
	rig_boot(&g);
	rig_serve(&g);
	rig_admin(
		&g,
		"volume-create vol1 00000000-0000-4000-8000-0000000000aa lun1 00000000-0000-4000-8000-0000000000bb 4096 256 -");
	cr_assert_eq(rig_client_open(&g, &a, 1, 0), 0);
	make_dir(a.root, "one");
	deepest = a.root;
	for (int i = 0; i < DEPTH; i++)
		deepest = make_dir(deepest, "d");
	rig_wait(&g, 20000);
	cr_assert_leq(rowset_clean_bytes(g.ctl->rows), CACHE_BYTES);
	return deepest;
}

static void moved(void)
{
	struct rig_mail m = rig_take(&g, a.conn, PR_T_RENAME_R);

	cr_assert_eq(m.f.status, 0);
	free(m.p);
}

/* What a waiting operation has read is not evicted until it has run: else each fetch pushes out what an earlier one brought. */
Test(ctl_cache, a_directory_is_moved_deeper_than_the_cache_holds)
{
	uint64_t deepest = deep_tree();
	unsigned before = g.fetches;

	move("one", deepest);
	rig_run(&g);
	moved();
	cr_assert_lt(g.fetches - before, 2u * DEPTH);
	rig_wait(&g, 20000);
	cr_assert_leq(rowset_clean_bytes(g.ctl->rows), CACHE_BYTES, "what was kept is let go");
	rig_close(&g);
}
