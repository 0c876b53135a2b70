/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/check/order.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Where nothing was found: which operations had run, and what was there then. */
struct seen {
	uint64_t *at; /* pairs of hashes; 0, 0: empty */
	uint64_t count, cap;
};

struct search {
	const struct order_op *ops;
	uint32_t count, left; /* left: of those whose outcome is known */
	struct model *m;
	uint64_t lsn;	   /* of the model: how many changes */
	uint64_t ran_hash; /* of the set of operations that ran */
	bool *ran;
	struct seen seen;
	uint64_t steps, steps_max;
	uint32_t furthest;
	int stuck;
};

/* One operation that was made the next. */
struct choice {
	uint32_t op, next; /* next: what is tried after it */
	uint64_t lsn;	   /* of the model before it */
};

static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

/* ---- what was seen ---- */

static bool seen_add(struct seen *s, uint64_t a, uint64_t b);

static void seen_grow(struct seen *s)
{
	struct seen old = *s;

	s->cap = old.cap ? 2 * old.cap : 4096;
	s->count = 0;
	s->at = calloc(2 * s->cap, sizeof(*s->at));
	for (uint64_t i = 0; i < old.cap; i++)
		if (old.at[2 * i] | old.at[2 * i + 1])
			seen_add(s, old.at[2 * i], old.at[2 * i + 1]);
	free(old.at);
}

/* False: it was there. */
static bool seen_add(struct seen *s, uint64_t a, uint64_t b)
{
	uint64_t i;

	if (2 * s->count >= s->cap)
		seen_grow(s);
	for (i = a & (s->cap - 1); s->at[2 * i] | s->at[2 * i + 1]; i = (i + 1) & (s->cap - 1))
		if (s->at[2 * i] == a && s->at[2 * i + 1] == b)
			return false;
	s->at[2 * i] = a;
	s->at[2 * i + 1] = b;
	s->count++;
	return true;
}

/* ---- one step ---- */

/* The first answer among those who have not run: who was asked behind it is not next. */
static uint64_t first_answer(const struct search *s)
{
	uint64_t first = UINT64_MAX;

	for (uint32_t i = 0; i < s->count && s->ops[i].asked <= first; i++)
		if (!s->ran[i] && s->ops[i].answered < first)
			first = s->ops[i].answered;
	return first;
}

/*
 * What has no name and is held open by nobody goes away at a time of the controller's choosing. No number is given twice, so an answer that
 * knows nothing of a dead inode is right from its last unlink on.
 */
static bool gone(const struct search *s, const struct order_op *op)
{
	uint64_t inos[] = {op->q.parent, op->q.parent2, op->q.ino};

	if (op->told.error != -ESTALE)
		return false;
	for (int i = 0; i < 3; i++) {
		struct model_answer is;

		if (model_now(s->m, inos[i], &is) && is.nlink == 0)
			return true;
	}
	return false;
}

/* It would make an inode that was made already. */
static bool makes_again(const struct search *s, const struct order_op *op,
			const struct model_answer *is)
{
	bool makes = op->q.type == PR_T_CREATE
			     ? is->value == 1
			     : op->q.type == PR_T_MKDIR || op->q.type == PR_T_MKNOD ||
				       op->q.type == PR_T_SYMLINK;
	struct model_answer there;

	return makes && model_now(s->m, op->made, &there);
}

/* Makes it the next, if its answer is what the namespace says now. An unknown one that would change nothing may as well not have run. */
static bool run(struct search *s, uint32_t i)
{
	const struct order_op *op = &s->ops[i];
	bool known = op->answered != UINT64_MAX, changes;
	struct model_answer is;

	s->steps++;
	model_ask(s->m, &op->q, s->lsn, &is);
	changes = !is.error && is.changes;
	if ((!known && !changes) || (changes && makes_again(s, op, &is)))
		return false;
	if (!known || !gone(s, op)) {
		if (changes)
			model_apply(s->m, &op->q, ++s->lsn, op->made, 0, &is);
		if (known && !model_same(&op->q, &op->told, &is)) {
			if (changes)
				model_back(s->m, --s->lsn);
			return false;
		}
	}
	s->ran[i] = true;
	s->ran_hash ^= mix(i + 1);
	s->left -= known;
	return true;
}

static void back(struct search *s, const struct choice *c)
{
	const struct order_op *op = &s->ops[c->op];

	s->ran[c->op] = false;
	s->ran_hash ^= mix(c->op + 1);
	s->left += op->answered != UINT64_MAX;
	s->lsn = c->lsn;
	model_back(s->m, s->lsn);
}

/* ---- the search ---- */

static void note_stuck(struct search *s, uint32_t depth, uint64_t first)
{
	if (depth < s->furthest)
		return;
	s->furthest = depth;
	for (uint32_t i = 0; i < s->count; i++)
		if (!s->ran[i] && s->ops[i].answered == first)
			s->stuck = s->ops[i].place;
}

static enum order_result search(struct search *s, struct choice *stack)
{
	uint32_t depth = 0, i = 0;

	while (s->left > 0) {
		uint64_t first = first_answer(s);

		if (s->steps > s->steps_max)
			return ORDER_UNDECIDED;
		for (; i < s->count && s->ops[i].asked <= first; i++) {
			stack[depth] = (struct choice){.op = i, .next = i + 1, .lsn = s->lsn};
			if (s->ran[i] || !run(s, i))
				continue;
			if (seen_add(&s->seen, s->ran_hash, model_hash(s->m)))
				break;
			back(s, &stack[depth]);
		}
		if (i < s->count && s->ops[i].asked <= first) {
			depth++;
			i = 0;
			continue;
		}
		note_stuck(s, depth, first);
		if (depth == 0)
			return ORDER_NONE;
		depth--;
		back(s, &stack[depth]);
		i = stack[depth].next;
	}
	return ORDER_FOUND;
}

enum order_result order_search(const struct order_op *ops, uint32_t count, uint64_t root,
			       uint64_t steps_max, uint64_t *ret_steps, int *ret_stuck)
{
	struct search s = {.ops = ops, .count = count, .steps_max = steps_max, .stuck = -1};
	struct choice *stack = calloc(count + 1, sizeof(*stack));
	enum order_result result;

	s.m = model_new(root, 0);
	s.ran = calloc(count + 1, sizeof(*s.ran));
	for (uint32_t i = 0; i < count; i++)
		s.left += ops[i].answered != UINT64_MAX;
	result = search(&s, stack);
	*ret_steps = s.steps;
	*ret_stuck = s.stuck;
	model_free(s.m);
	free(s.seen.at);
	free(s.ran);
	free(stack);
	return result;
}
