/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/check/rounds.h"

enum { ROOT = 17, FILE_A = 20, FILE_B = 21, A = 0, B = 1 };

static struct round_op ops[16];
static uint32_t count;
static struct rounds_sum sum;
static char *said;

static struct round_op *add(int client, uint16_t type, int name, uint64_t asked, uint64_t answered)
{
	ops[count] = (struct round_op){.client = client, .asked = asked, .answered = answered};
	ops[count].q = (struct model_op){
		.type = type, .parent = ROOT, .parent2 = ROOT, .name = name, .mode = 0644};
	return &ops[count++];
}

static struct round_op *create(int client, int name, uint64_t ino, uint64_t asked,
			       uint64_t answered)
{
	struct round_op *op = add(client, PR_T_CREATE, name, asked, answered);

	op->q.flags = PR_O_CREAT | PR_O_EXCL;
	if (answered != ROUND_NEVER)
		op->told = (struct model_answer){
			.ino = ino, .mode = S_IFREG | 0644, .nlink = 1, .value = 1};
	return op;
}

static void lookup(int client, int name, uint64_t ino, uint64_t asked, uint64_t answered)
{
	struct round_op *op = add(client, PR_T_LOOKUP, name, asked, answered);

	op->told = (struct model_answer){.ino = ino, .mode = S_IFREG | 0644, .nlink = 1};
	if (!ino)
		op->told = (struct model_answer){.error = -ENOENT};
}

/* As it is written, and read again. */
static bool explained_text(const char *text)
{
	FILE *history = fmemopen((void *)text, strlen(text), "r"), *say;
	size_t bytes;
	bool good;

	free(said);
	say = open_memstream(&said, &bytes);
	good = rounds_explained(history, "history", &sum, say);
	fclose(say);
	fclose(history);
	return good;
}

static bool explained(void)
{
	size_t bytes;
	char *text;
	FILE *f = open_memstream(&text, &bytes);
	bool good;

	round_write(f, 5, ROOT, ops, count);
	fclose(f);
	good = explained_text(text);
	free(text);
	return good;
}

Test(rounds, what_is_true_is_explained)
{
	struct round_op *list;

	create(1, A, FILE_A, 1, 4);
	add(2, PR_T_RENAME, A, 2, 5)->q.name2 = B;
	lookup(1, A, 0, 6, 7);
	lookup(2, B, FILE_A, 6, 8);
	list = add(0, PR_T_READDIR, 0, 9, 10);
	list->q.ino = ROOT;
	list->told.entry[B] = FILE_A;
	cr_assert(explained(), "%s", said);
	cr_assert_eq(sum.operations, 5);
	list->told.entry[A] = FILE_A;
	cr_assert_not(explained());
}

/* A history that lost what it had acknowledged: who is in the way is named, and all others stand there. */
Test(rounds, a_lost_create_is_refused_by_name)
{
	create(1, A, FILE_A, 1, 4);
	lookup(2, A, 0, 5, 6);
	cr_assert_not(explained());
	cr_assert(strstr(said, "round 5: no order of its 2 operations explains all answers"), "%s",
		  said);
	cr_assert(
		strstr(said,
		       "furthest: client 2, lookup 'a' in inode 17, told No such file or directory\n"),
		"%s", said);
	cr_assert(
		strstr(said,
		       "  0..3: client 1, create 'a' in inode 17 (exclusive), told inode 20, mode 100644, links 1\n"),
		"%s", said);
}

Test(rounds, two_that_both_made_the_only_one_are_refused)
{
	create(1, A, FILE_A, 1, 10);
	create(2, A, FILE_B, 1, 10);
	cr_assert_not(explained());
	cr_assert(strstr(said, "create 'a' in inode 17 (exclusive)"), "%s", said);
}

Test(rounds, a_rename_that_must_not_replace_and_did_is_refused)
{
	create(1, A, FILE_A, 1, 2);
	create(1, B, FILE_B, 3, 4);
	add(2, PR_T_RENAME, A, 5, 6)->q = (struct model_op){.type = PR_T_RENAME,
							    .parent = ROOT,
							    .parent2 = ROOT,
							    .name = A,
							    .name2 = B,
							    .flags = PR_RENAME_NOREPLACE};
	cr_assert_not(explained());
	cr_assert(strstr(said,
			 "client 2, rename 'a' in inode 17 to 'b' in inode 17 (noreplace), done\n"),
		  "%s", said);
}

/* What a killed client asked happened, or not, but not twice. */
Test(rounds, who_was_never_answered_made_it_once_or_not)
{
	create(1, A, 0, 1, ROUND_NEVER);
	lookup(2, A, 0, 2, 3);
	cr_assert(explained(), "%s", said);
	cr_assert_eq(sum.unanswered, 1);
	lookup(2, A, FILE_A, 4, 5);
	cr_assert(explained(), "%s", said);
	add(2, PR_T_UNLINK, A, 6, 7)->told.ino = FILE_A;
	lookup(2, A, FILE_B, 8, 9);
	cr_assert_not(explained());
}

Test(rounds, what_cannot_be_judged_is_said)
{
	create(1, A, 0, 1, ROUND_NEVER);
	create(2, B, 0, 1, ROUND_NEVER);
	cr_assert_not(explained());
	cr_assert(strstr(said, "two operations that make something have no answer"), "%s", said);
	cr_assert_not(explained_text("round 1 root 17\nop 1 2 what\n"));
	cr_assert_str_eq(said, "history, line 2: not of a history: op 1 2 what\n");
	cr_assert(explained_text("round 1 root 17\nop 1 2 wh"), "the last line has no end");
}

Test(rounds, one_after_the_other)
{
	cr_assert(explained_text("round 1 root 17\n"
				 "op 1 1 2 create 17 0 0 0 0 420 20 0 0 told 0 20 33188 1 0 1\n"
				 "round 2 root 30\n"
				 "op 1 5 6 lookup 30 0 0 0 0 0 0 0 0 told -2 0 0 0 0 0\n"),
		  "%s", said);
	cr_assert_eq(sum.rounds, 2);
	cr_assert_not(explained_text("round 1 root 17\n"
				     "op 1 1 2 create 17 0 0 0 0 420 20 0 0 told 0 20 33188 1 0 1\n"
				     "op 1 5 6 lookup 17 0 0 0 0 0 0 0 0 told -2 0 0 0 0 0\n"
				     "round 2 root 30\n"));
	cr_assert(strstr(said, "round 1: no order"), "%s", said);
}
