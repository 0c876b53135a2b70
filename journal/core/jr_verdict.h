/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The decision table of recovery: what is done with one batch, by what the ring and its data say of
 * it. Data, not code; recovery looks rows up and never decides by itself. README.md carries the
 * reasons.
 */
#pragma once
#include <stdbool.h>

/* What the ring says of it. */
enum jr_proof {
	JR_PROOF_DURABLE, /* the head names it, or a batch behind it: it was durable */
	JR_PROOF_BEYOND, /* it would follow the one that the head names: perhaps it was, perhaps not */
	JR_PROOFS,
};

/* Its pages. */
enum jr_data {
	JR_DATA_WHOLE, /* every sector new, CRC and hash right, chained to the batch before it */
	JR_DATA_TORN,  /* every sector is wholly new or wholly old, not all are new */
	JR_DATA_BAD,   /* some sector is neither */
	JR_DATAS,
};

enum jr_action {
	JR_DO_UNWRITTEN, /* a hole in the table: a bug */
	JR_DO_KEEP,
	JR_DO_ADOPT,  /* keep, and write an entry that names it */
	JR_DO_END,    /* the tail ends before it */
	JR_DO_REPAIR, /* only the peer's copy will do */
	JR_DO_HALT,   /* nobody can tell what stood here */
	JR_DOS,
};

extern const unsigned char jr_decisions[JR_PROOFS][JR_DATAS];

static inline enum jr_action jr_decide(enum jr_proof proof, enum jr_data data)
{
	return jr_decisions[proof][data];
}

const char *jr_proof_name(enum jr_proof);
const char *jr_data_name(enum jr_data);
const char *jr_action_name(enum jr_action);
