/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The decision table of recovery: what is done with one batch, by what its ring entry, its data and
 * the rest of the journal say of it. Data, not code; recovery looks rows up and never decides by
 * itself. README.md carries the reasons.
 */
#pragma once
#include <stdbool.h>

/* The batch's entry in the ring. */
enum jr_head {
	JR_HEAD_GOOD, /* stands in its slot (or, astray, in another) */
	/* its slot still holds something older: never written, or the write was lost */
	JR_HEAD_OLD,
	JR_HEAD_BAD,  /* its slot cannot be read */
	JR_HEAD_GONE, /* older than the ring reaches */
	JR_HEADS,
};

/* Its pages. */
enum jr_data {
	JR_DATA_WHOLE, /* every sector new, CRC and hash right, chained to the batch before it */
	JR_DATA_TORN,  /* every sector is wholly new or wholly old, not all are new */
	JR_DATA_BAD,   /* some sector is neither */
	JR_DATAS,
};

/* What the journal knows of the time it was written. */
enum jr_proof {
	JR_PROOF_NONE,	 /* nobody can have been told that it was durable, unless a disk lied */
	JR_PROOF_ACKED,	 /* an entry of the ring says that it was durable or committed */
	JR_PROOF_BEYOND, /* it would follow the head: no entry tells of it */
	JR_PROOFS,
};

enum jr_action {
	JR_DO_UNWRITTEN, /* a hole in the table: a bug */
	JR_DO_KEEP,
	JR_DO_KEEP_NOTE, /* keep, and report a lost or damaged ring entry */
	JR_DO_ADOPT,	 /* keep, write its entry anew */
	JR_DO_CUT,	 /* the tail ends before it */
	JR_DO_END,	 /* the tail ends before it, as the head says */
	JR_DO_REPAIR,	 /* only the peer's copy will do */
	JR_DO_HALT,	 /* nobody can tell what stood here */
	JR_DO_NEVER,	 /* cannot come about, by definition of the states; if it does, HALT */
	JR_DOS,
};

extern const unsigned char jr_decisions[JR_HEADS][JR_DATAS][JR_PROOFS];

static inline enum jr_action jr_decide(enum jr_head head, enum jr_data data, enum jr_proof proof)
{
	return jr_decisions[head][data][proof];
}

const char *jr_head_name(enum jr_head);
const char *jr_data_name(enum jr_data);
const char *jr_proof_name(enum jr_proof);
const char *jr_action_name(enum jr_action);
