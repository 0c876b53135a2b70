/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The decision table of recovery and the names of its words. */
#include "journal/core/jr_verdict.h"

const unsigned char jr_decisions[JR_PROOFS][JR_DATAS] = {
	[JR_PROOF_DURABLE] =
		{
			[JR_DATA_WHOLE] = JR_DO_KEEP,
			[JR_DATA_TORN] = JR_DO_REPAIR,
			[JR_DATA_BAD] = JR_DO_REPAIR,
		},
	[JR_PROOF_BEYOND] =
		{
			[JR_DATA_WHOLE] = JR_DO_ADOPT,
			[JR_DATA_TORN] = JR_DO_END,
			[JR_DATA_BAD] = JR_DO_HALT,
		},
};

const char *jr_proof_name(enum jr_proof proof)
{
	static const char *const names[JR_PROOFS] = {"durable by the ring", "behind the head"};

	return names[proof];
}

const char *jr_data_name(enum jr_data data)
{
	static const char *const names[JR_DATAS] = {"whole", "torn", "bad"};

	return names[data];
}

const char *jr_action_name(enum jr_action action)
{
	static const char *const names[JR_DOS] = {
		"UNWRITTEN", "KEEP", "ADOPT", "END", "REPAIR", "HALT",
	};

	return names[action];
}
