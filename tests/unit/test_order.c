/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>
#include <errno.h>
#include <sys/stat.h>

#include "tests/check/order.h"

enum { ROOT = 1, FILE_A = 10, FILE_B = 11, UNKNOWN = -1 };

static struct order_op ops[16];
static uint32_t count;

static struct order_op *add(uint16_t type, int name, int asked, int answered)
{
	struct order_op *op = &ops[count];

	*op = (struct order_op){.asked = (uint64_t)asked,
				.answered = answered < 0 ? UINT64_MAX : (uint64_t)answered,
				.place = (int)count++};
	op->q = (struct model_op){.type = type, .parent = ROOT, .parent2 = ROOT, .name = name};
	return op;
}

static void create(int name, uint64_t ino, int asked, int answered)
{
	struct order_op *op = add(PR_T_CREATE, name, asked, answered);

	op->q.flags = PR_O_CREAT | PR_O_EXCL;
	op->q.mode = 0644;
	op->made = ino;
	op->told =
		(struct model_answer){.ino = ino, .mode = S_IFREG | 0644, .nlink = 1, .value = 1};
}

static void lookup(int name, uint64_t ino, int asked, int answered)
{
	struct order_op *op = add(PR_T_LOOKUP, name, asked, answered);

	op->told = (struct model_answer){.ino = ino, .mode = S_IFREG | 0644, .nlink = 1};
	if (!ino)
		op->told = (struct model_answer){.error = -ENOENT};
}

static void rename_to(int name, int name2, int asked, int answered)
{
	add(PR_T_RENAME, name, asked, answered)->q.name2 = name2;
}

static void unlink_name(int name, uint64_t ino, int asked, int answered)
{
	add(PR_T_UNLINK, name, asked, answered)->told.ino = ino;
}

static enum order_result result(void)
{
	uint64_t steps;
	int stuck;

	return order_search(ops, count, ROOT, 1000000, &steps, &stuck);
}

Test(order, one_after_the_other)
{
	create(0, FILE_A, 1, 2);
	lookup(0, FILE_A, 3, 4);
	unlink_name(0, FILE_A, 5, 6);
	lookup(0, 0, 7, 8);
	cr_assert_eq(result(), ORDER_FOUND);
}

Test(order, what_was_answered_is_not_forgotten)
{
	create(0, FILE_A, 1, 2);
	lookup(0, 0, 3, 4);
	cr_assert_eq(result(), ORDER_NONE);
}

Test(order, who_overlaps_may_be_before_or_behind)
{
	create(0, FILE_A, 1, 10);
	lookup(0, 0, 2, 3);
	lookup(0, FILE_A, 4, 5);
	cr_assert_eq(result(), ORDER_FOUND);
}

Test(order, what_was_seen_stays_seen)
{
	create(0, FILE_A, 1, 10);
	lookup(0, FILE_A, 2, 3);
	lookup(0, 0, 4, 5);
	cr_assert_eq(result(), ORDER_NONE);
}

Test(order, an_unknown_outcome_happens_once_or_not_at_all)
{
	create(0, FILE_A, 1, 2);
	rename_to(0, 1, 3, UNKNOWN);
	lookup(0, FILE_A, 10, 11);
	lookup(1, FILE_A, 12, 13);
	lookup(0, 0, 14, 15);
	cr_assert_eq(result(), ORDER_FOUND);
	create(0, FILE_B, 16, 17);
	lookup(1, FILE_B, 18, 19);
	cr_assert_eq(result(), ORDER_NONE, "the rename ran twice");
}

Test(order, two_clients_do_not_both_make_the_same_name)
{
	create(0, FILE_A, 1, 10);
	create(0, FILE_B, 1, 10);
	cr_assert_eq(result(), ORDER_NONE);
}

Test(order, each_renames_the_others_file_away_in_one_order_only)
{
	create(0, FILE_A, 1, 2);
	create(1, FILE_B, 3, 4);
	rename_to(0, 1, 5, 20);
	rename_to(1, 2, 5, 20);
	lookup(2, FILE_B, 30, 31);
	lookup(1, FILE_A, 32, 33);
	cr_assert_eq(result(), ORDER_FOUND);
	ops[count - 2].told.ino = FILE_A;
	ops[count - 1].told = (struct model_answer){.error = -ENOENT};
	cr_assert_eq(result(), ORDER_FOUND, "a over b, then on to c");
	ops[count - 1].told =
		(struct model_answer){.ino = FILE_B, .mode = S_IFREG | 0644, .nlink = 1};
	cr_assert_eq(result(), ORDER_NONE, "b was replaced or moved, never both left");
}
