/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A history of a namespace, as text, in rounds: in each, clients worked on a directory that was made for it, and nothing else did. Each
 * round is judged by itself: is there an order of its operations in which the reference namespace gives every answer?
 *
 *	round NUMBER root INO
 *	op CLIENT ASKED ANSWERED|never TYPE PARENT NAME PARENT2 NAME2 INO MODE FLAGS SIZE VALUE told ERROR INO MODE NLINK SIZE VALUE [ENTRY...]
 *
 * Times are of one clock, names places in the model's list, errors negative errnos, TYPE what pr_type_name says; a readdir's entries are inode
 * numbers, by names.
 */
#pragma once

#include <stdio.h>

#include "tests/check/model.h"

enum { ROUND_OPS_MAX = 400, ROUND_WORDS_BYTES = 256 };

#define ROUND_NEVER UINT64_MAX /* answered: it happened once at any time since, or never */

struct round_op {
	struct model_op q;
	struct model_answer told;
	uint64_t asked, answered;
	int client;
};

struct rounds_sum {
	uint64_t rounds, operations, unanswered, steps;
};

void round_write(FILE *, uint64_t number, uint64_t root, const struct round_op *, uint32_t count);
/* Who asked for what, and what the answer was. */
void round_op_words(const struct round_op *, char out[static ROUND_WORDS_BYTES]);
/*
 * False: some round has no explanation, which is said with the operation in whose way the search came furthest and all others of the round, a
 * line each; or the text is no history. path: what it is called then. Of operations that make an inode only one in a round may be
 * without an answer: its number is that which answers name and nobody made. A last line without an end is left out.
 */
bool rounds_explained(FILE *history, const char *path, struct rounds_sum *ret, FILE *say);
