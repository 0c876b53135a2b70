/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Is there any order of a history's operations that explains all its answers? Knows who asked what, when, and what was answered when, and the
 * reference namespace; nothing of LSNs, records or journals. Searched as Wing and Gong and Lowe do it: an operation may come next
 * when it was asked before each of those left was answered; what was seen to lead nowhere is not tried again.
 */
#pragma once

#include "tests/check/model.h"

struct order_op {
	struct model_op q;
	struct model_answer told;
	uint64_t asked,
		answered; /* in any unit; answered UINT64_MAX: the outcome is unknown, it ran or not */
	uint64_t made;	  /* the inode number that it gives if it makes one */
	int place;	  /* the caller's */
};

enum order_result { ORDER_FOUND, ORDER_NONE, ORDER_UNDECIDED };

/*
 * ops: in the order they were asked. steps_max: what is tried at most. *ret_stuck: of a history that is not linearizable, the place of the
 * operation in the way where the search came furthest.
 */
enum order_result order_search(const struct order_op *ops, uint32_t count, uint64_t root,
			       uint64_t steps_max, uint64_t *ret_steps, int *ret_stuck);
