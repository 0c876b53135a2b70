/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The decision table of recovery and the names of its words. */
#include "journal/core/jr_verdict.h"

#define ROW(head, data, none, acked, beyond)        \
	[JR_HEAD_##head][JR_DATA_##data] = {        \
		[JR_PROOF_NONE] = JR_DO_##none,     \
		[JR_PROOF_ACKED] = JR_DO_##acked,   \
		[JR_PROOF_BEYOND] = JR_DO_##beyond, \
	}

/*
 * The three columns: nothing proves that it was acknowledged; proven; beyond the head.
 */
const unsigned char jr_decisions[JR_HEADS][JR_DATAS][JR_PROOFS] = {
	ROW(GOOD, WHOLE, KEEP, KEEP, NEVER),
	ROW(GOOD, TORN, CUT, REPAIR, NEVER),
	ROW(GOOD, BAD, REPAIR, REPAIR, NEVER),

	ROW(OLD, WHOLE, KEEP, KEEP_NOTE, END),
	ROW(OLD, TORN, CUT, REPAIR, END),
	ROW(OLD, BAD, CUT, REPAIR, END),

	ROW(BAD, WHOLE, KEEP_NOTE, KEEP_NOTE, ADOPT),
	ROW(BAD, TORN, CUT, REPAIR, END),
	ROW(BAD, BAD, REPAIR, REPAIR, HALT),

	/* The ring reaches further back than in_flight batches: what is older is proven. */
	ROW(GONE, WHOLE, NEVER, KEEP, NEVER),
	ROW(GONE, TORN, NEVER, REPAIR, NEVER),
	ROW(GONE, BAD, NEVER, REPAIR, NEVER),
};

const char *jr_head_name(enum jr_head head)
{
	static const char *const names[JR_HEADS] = {"good", "old", "bad", "gone"};

	return names[head];
}

const char *jr_data_name(enum jr_data data)
{
	static const char *const names[JR_DATAS] = {"whole", "torn", "bad"};

	return names[data];
}

const char *jr_proof_name(enum jr_proof proof)
{
	static const char *const names[JR_PROOFS] = {"none", "acked", "beyond"};

	return names[proof];
}

const char *jr_action_name(enum jr_action action)
{
	static const char *const names[JR_DOS] = {
		"UNWRITTEN", "KEEP", "KEEP_NOTE", "ADOPT", "CUT", "END", "REPAIR", "HALT", "NEVER",
	};

	return names[action];
}
