/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/check/rounds.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/check/order.h"

enum { STEPS_MAX = 2000000 };

struct round {
	uint64_t number, root;
	uint32_t count;
	struct round_op op[ROUND_OPS_MAX];
};

/* ---- in words ---- */

static const char *inode_word(uint64_t ino, char out[static 32])
{
	snprintf(out, 32, "inode %" PRIu64, ino);
	return out;
}

static const char *flags_word(const struct model_op *q)
{
	switch (q->type) {
	case PR_T_CREATE:
		return q->flags & PR_O_EXCL ? " (exclusive)" : "";
	case PR_T_RENAME:
		return q->flags & PR_RENAME_EXCHANGE	? " (exchange)"
		       : q->flags & PR_RENAME_NOREPLACE ? " (noreplace)"
							: "";
	case PR_T_XATTR_SET:
		return q->flags & PR_XATTR_CREATE    ? " (create)"
		       : q->flags & PR_XATTR_REPLACE ? " (replace)"
						     : "";
	default:
		return "";
	}
}

static int question_words(const struct model_op *q, char *out, size_t size)
{
	const char *type = pr_type_name(q->type);
	struct pr_bytes a = model_name(q->name), b = model_name(q->name2);
	char ino[32], ino2[32];

	switch (q->type) {
	case PR_T_LOOKUP:
	case PR_T_CREATE:
	case PR_T_MKDIR:
	case PR_T_SYMLINK:
	case PR_T_UNLINK:
	case PR_T_RMDIR:
		return snprintf(out, size, "%s '%.*s' in %s%s", type, (int)a.len, a.p,
				inode_word(q->parent, ino), flags_word(q));
	case PR_T_LINK:
		return snprintf(out, size, "%s %s to '%.*s' in %s", type, inode_word(q->ino, ino),
				(int)a.len, a.p, inode_word(q->parent, ino2));
	case PR_T_RENAME:
		return snprintf(out, size, "%s '%.*s' in %s to '%.*s' in %s%s", type, (int)a.len,
				a.p, inode_word(q->parent, ino), (int)b.len, b.p,
				inode_word(q->parent2, ino2), flags_word(q));
	default:
		return snprintf(out, size, "%s of %s%s", type, inode_word(q->ino, ino),
				flags_word(q));
	}
}

void round_op_words(const struct round_op *op, char out[static ROUND_WORDS_BYTES])
{
	size_t size = ROUND_WORDS_BYTES, at;
	char ino[32];

	at = (size_t)snprintf(out, size, "client %d, ", op->client);
	at += (size_t)question_words(&op->q, out + at, size - at);
	if (at >= size)
		return;
	if (op->answered == ROUND_NEVER)
		snprintf(out + at, size - at, ", without an answer");
	else if (op->told.error)
		snprintf(out + at, size - at, ", told %s", strerror(-op->told.error));
	else if (op->told.ino)
		snprintf(out + at, size - at, ", told %s, mode %o, links %u",
			 inode_word(op->told.ino, ino), op->told.mode, op->told.nlink);
	else
		snprintf(out + at, size - at, ", done");
}

/* ---- as text ---- */

void round_write(FILE *f, uint64_t number, uint64_t root, const struct round_op *op, uint32_t count)
{
	fprintf(f, "round %" PRIu64 " root %" PRIu64 "\n", number, root);
	for (; count > 0; count--, op++) {
		const struct model_op *q = &op->q;
		const struct model_answer *a = &op->told;

		fprintf(f, "op %d %" PRIu64 " ", op->client, op->asked);
		if (op->answered == ROUND_NEVER)
			fprintf(f, "never");
		else
			fprintf(f, "%" PRIu64, op->answered);
		fprintf(f,
			" %s %" PRIu64 " %d %" PRIu64 " %d %" PRIu64 " %u %u %" PRIu64 " %" PRIu64,
			pr_type_name(q->type), q->parent, q->name, q->parent2, q->name2, q->ino,
			q->mode, q->flags, q->size, q->value);
		fprintf(f, " told %d %" PRIu64 " %u %u %" PRIu64 " %" PRIu64, a->error, a->ino,
			a->mode, a->nlink, a->size, a->value);
		for (int k = 0; q->type == PR_T_READDIR && k < MODEL_NAMES; k++)
			fprintf(f, " %" PRIu64, a->entry[k]);
		fprintf(f, "\n");
	}
}

static const uint16_t types[] = {PR_T_LOOKUP,	 PR_T_CREATE,	 PR_T_MKDIR,	   PR_T_SYMLINK,
				 PR_T_UNLINK,	 PR_T_RMDIR,	 PR_T_LINK,	   PR_T_RENAME,
				 PR_T_SETATTR,	 PR_T_GETATTR,	 PR_T_READDIR,	   PR_T_READLINK,
				 PR_T_XATTR_GET, PR_T_XATTR_SET, PR_T_XATTR_REMOVE};

/* 0: none of those that a history may have. */
static uint16_t type_of(const char *word)
{
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (strcmp(pr_type_name(types[i]), word) == 0)
			return types[i];
	return 0;
}

static bool read_entries(struct model_answer *a, const char *text)
{
	for (int k = 0; k < MODEL_NAMES; k++) {
		int bytes = 0;

		if (sscanf(text, " %" SCNu64 "%n", &a->entry[k], &bytes) != 1)
			return false;
		text += bytes;
	}
	return true;
}

static bool is_name(int name)
{
	return name >= 0 && name < MODEL_NAMES;
}

static bool read_op(const char *line, struct round_op *op)
{
	struct model_answer *a = &op->told;
	struct model_op *q = &op->q;
	char answered[24], type[16];
	int at = 0;

	memset(op, 0, sizeof(*op));
	if (sscanf(line,
		   "op %d %" SCNu64 " %23s %15s %" SCNu64 " %d %" SCNu64 " %d %" SCNu64
		   " %u %u %" SCNu64 " %" SCNu64 " told %d %" SCNu64 " %u %u %" SCNu64 " %" SCNu64
		   "%n",
		   &op->client, &op->asked, answered, type, &q->parent, &q->name, &q->parent2,
		   &q->name2, &q->ino, &q->mode, &q->flags, &q->size, &q->value, &a->error, &a->ino,
		   &a->mode, &a->nlink, &a->size, &a->value, &at) != 19 ||
	    at == 0)
		return false;
	op->answered = strcmp(answered, "never") ? strtoull(answered, NULL, 10) : ROUND_NEVER;
	q->type = type_of(type);
	if (!q->type || !is_name(q->name) || !is_name(q->name2) || op->answered < op->asked)
		return false;
	return q->type != PR_T_READDIR || read_entries(a, line + at);
}

/* ---- judged ---- */

static int compare_asked(const void *a, const void *b)
{
	const struct round_op *x = a, *y = b;

	return (x->asked > y->asked) - (x->asked < y->asked);
}

static bool makes(const struct round_op *op)
{
	if (op->q.type == PR_T_CREATE)
		return op->answered == ROUND_NEVER || (!op->told.error && op->told.value == 1);
	return (op->q.type == PR_T_MKDIR || op->q.type == PR_T_SYMLINK) && !op->told.error;
}

static bool is_made(const struct round *r, uint64_t ino)
{
	for (uint32_t i = 0; i < r->count; i++)
		if (r->op[i].answered != ROUND_NEVER && makes(&r->op[i]) &&
		    r->op[i].told.ino == ino)
			return true;
	return ino == r->root;
}

/* An inode that answers name and that no answer made; 0: none. */
static uint64_t foundling(const struct round *r)
{
	for (uint32_t i = 0; i < r->count; i++) {
		const struct model_answer *a = &r->op[i].told;

		if (r->op[i].answered == ROUND_NEVER || a->error)
			continue;
		if (a->ino && !is_made(r, a->ino))
			return a->ino;
		for (int k = 0; k < MODEL_NAMES; k++)
			if (a->entry[k] && !is_made(r, a->entry[k]))
				return a->entry[k];
	}
	return 0;
}

/* How many that make something have no answer. */
static uint32_t take_ops(const struct round *r, struct order_op *ret)
{
	uint64_t found = foundling(r);
	uint32_t unknown = 0;

	for (uint32_t i = 0; i < r->count; i++) {
		const struct round_op *op = &r->op[i];

		ret[i] = (struct order_op){.q = op->q,
					   .told = op->told,
					   .asked = op->asked,
					   .answered = op->answered,
					   .place = (int)i};
		ret[i].made = op->told.ino ? op->told.ino : (UINT64_C(1) << 60) + i;
		if (op->answered == ROUND_NEVER && makes(op)) {
			unknown++;
			if (found)
				ret[i].made = found;
		}
	}
	return unknown;
}

static void say_all(const struct round *r, FILE *say)
{
	char words[ROUND_WORDS_BYTES];

	for (uint32_t i = 0; i < r->count; i++) {
		uint64_t from = r->op[0].asked;

		round_op_words(&r->op[i], words);
		fprintf(say, "  %" PRIu64 "..", r->op[i].asked - from);
		if (r->op[i].answered == ROUND_NEVER)
			fprintf(say, "never: %s\n", words);
		else
			fprintf(say, "%" PRIu64 ": %s\n", r->op[i].answered - from, words);
	}
}

static bool judge(struct round *r, struct rounds_sum *sum, FILE *say)
{
	struct order_op ops[ROUND_OPS_MAX];
	char words[ROUND_WORDS_BYTES] = "?";
	enum order_result result;
	uint64_t steps;
	int stuck;

	qsort(r->op, r->count, sizeof(r->op[0]), compare_asked);
	if (take_ops(r, ops) > 1) {
		fprintf(say,
			"round %" PRIu64
			": two operations that make something have no answer; one is the most that can be judged\n",
			r->number);
		return false;
	}
	result = order_search(ops, r->count, r->root, STEPS_MAX, &steps, &stuck);
	sum->rounds++;
	sum->operations += r->count;
	sum->steps += steps;
	for (uint32_t i = 0; i < r->count; i++)
		sum->unanswered += r->op[i].answered == ROUND_NEVER;
	if (result == ORDER_FOUND)
		return true;
	if (result == ORDER_UNDECIDED) {
		fprintf(say, "round %" PRIu64 ": undecided after %" PRIu64 " steps\n", r->number,
			steps);
		return false;
	}
	if (stuck >= 0)
		round_op_words(&r->op[stuck], words);
	fprintf(say,
		"round %" PRIu64
		": no order of its %u operations explains all answers; in the way where the search came furthest: %s\n",
		r->number, r->count, words);
	say_all(r, say);
	return false;
}

/* The line belongs to r, or begins the next round. */
static bool take_line(struct round *r, const char *line, bool *ret_next)
{
	uint64_t number, root;

	*ret_next = sscanf(line, "round %" SCNu64 " root %" SCNu64, &number, &root) == 2;
	if (*ret_next)
		return true;
	return r->root && r->count < ROUND_OPS_MAX && read_op(line, &r->op[r->count++]);
}

bool rounds_explained(FILE *history, const char *path, struct rounds_sum *ret, FILE *say)
{
	struct round *r = calloc(1, sizeof(*r));
	uint64_t number = 0;
	bool good = r != NULL;
	char line[1024];

	*ret = (struct rounds_sum){0};
	while (good && fgets(line, sizeof(line), history) && strchr(line, '\n')) {
		bool next;

		number++;
		if (!take_line(r, line, &next)) {
			fprintf(say, "%s, line %" PRIu64 ": not of a history: %s", path, number,
				line);
			good = false;
		} else if (next) {
			good = r->count == 0 || judge(r, ret, say);
			sscanf(line, "round %" SCNu64 " root %" SCNu64, &r->number, &r->root);
			r->count = 0;
		}
	}
	if (good && r->count > 0)
		good = judge(r, ret, say);
	free(r);
	return good;
}
