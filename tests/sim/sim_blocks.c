/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What was written to each block of a file and what was read there, as registers: in the end the history must have an explanation
 * (tests/check/history.c), whatever the LUN and the model think of each read by itself. A write begins when it lands and is answered when its
 * commit has a record; each cut makes the block another register, with nothing in it. A write that nobody committed may be lost with the
 * LUN's cache, seen or not: then nobody's sight of it counts.
 */
#include "tests/sim/sim.h"

#include <inttypes.h>
#include <stdlib.h>

#include "tests/check/history.h"

struct sim_block_op {
	struct history_op op;
	uint64_t ino, at;
	bool lost;
};

static struct sim_block_op *add(struct sim *s, uint64_t reg, uint64_t ino, uint64_t at)
{
	if (s->block_op_count == s->block_op_cap) {
		s->block_op_cap = s->block_op_cap ? 2 * s->block_op_cap : 4096;
		s->block_ops = realloc(s->block_ops, s->block_op_cap * sizeof(*s->block_ops));
		ASSERT(s->block_ops);
	}
	s->block_ops[s->block_op_count] = (struct sim_block_op){
		.ino = ino, .at = at, .op = {.reg = reg, .asked_us = ++s->block_clock}};
	return &s->block_ops[s->block_op_count++];
}

void sim_blocks_written(struct sim *s, uint64_t reg, uint64_t ino, uint64_t at, uint64_t stamp)
{
	struct sim_block_op *b = add(s, reg, ino, at);

	b->op.is_write = true;
	b->op.value = stamp;
	b->op.answered_us = HISTORY_UNKNOWN;
}

void sim_blocks_read(struct sim *s, uint64_t reg, uint64_t ino, uint64_t at, uint64_t stamp)
{
	struct sim_block_op *b = add(s, reg, ino, at);

	b->op.value = stamp;
	b->op.answered_us = b->op.asked_us;
}

/* From the youngest on: commits and losses are of late. */
void sim_blocks_committed(struct sim *s, uint64_t ino, uint64_t at, uint64_t stamp)
{
	for (size_t i = s->block_op_count; i-- > 0;) {
		struct sim_block_op *b = &s->block_ops[i];

		if (b->op.is_write && b->op.value == stamp && b->ino == ino && b->at == at) {
			b->op.answered_us = ++s->block_clock;
			return;
		}
	}
}

void sim_blocks_lost(struct sim *s, uint64_t ino, uint64_t at, uint64_t durable)
{
	for (size_t i = 0; i < s->block_op_count; i++) {
		struct sim_block_op *b = &s->block_ops[i];

		if (b->ino == ino && b->at == at && b->op.is_write && b->op.value > durable &&
		    b->op.answered_us == HISTORY_UNKNOWN)
			b->lost = true;
	}
}

static bool is_lost(const struct sim *s, const struct sim_block_op *read)
{
	for (size_t i = 0; i < s->block_op_count; i++) {
		const struct sim_block_op *b = &s->block_ops[i];

		if (b->lost && b->op.value == read->op.value && b->op.reg == read->op.reg)
			return true;
	}
	return false;
}

/* The text begins with the register, as a rule. */
static void unexplained(struct sim *s, const char *why)
{
	uint64_t reg;
	size_t i = s->block_op_count;

	if (sscanf(why, "register %" SCNu64, &reg) == 1)
		for (i = 0; i < s->block_op_count && s->block_ops[i].op.reg != reg;)
			i++;
	if (i == s->block_op_count)
		sim_fail(s, "data", "the reads and writes of blocks have no explanation: %s", why);
	else
		sim_fail(s, "data",
			 "block %" PRIu64 " of inode %" PRIu64
			 ": its reads and writes have no explanation: %s",
			 s->block_ops[i].at, s->block_ops[i].ino, why);
}

void sim_blocks_check(struct sim *s)
{
	struct history_op *ops = calloc(s->block_op_count + 1, sizeof(*ops));
	char why[HISTORY_WHY_BYTES];
	size_t n = 0;
	bool any = false;

	ASSERT(ops);
	for (size_t i = 0; i < s->block_op_count; i++)
		any |= s->block_ops[i].lost;
	for (size_t i = 0; i < s->block_op_count; i++) {
		const struct sim_block_op *b = &s->block_ops[i];

		if (!any || (b->op.is_write ? !b->lost : !is_lost(s, b)))
			ops[n++] = b->op;
	}
	if (!history_is_linear(ops, n, why))
		unexplained(s, why);
	free(ops);
}
