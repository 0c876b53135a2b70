/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One core, scripted: each row of the protocol's tables with the events that lead to it and the effects that must follow, in order.
 * The test is the disk, the arbiter and the peer; it looks at the words that came out and at what was saved.
 */
#pragma once
#include "ha/core/ha.h"

enum { PAIR_SEEN_MAX = 1024, PAIR_LOG_MAX = 256 };

extern struct pair_rig {
	struct ha *h;
	struct ha_config cfg;
	uint64_t now, conn, incarnation;
	uint64_t link, epoch; /* of the last link_session seen or faked */
	uint64_t hello_nonce;
	uint64_t echo_ms; /* of the last beat sent */
	struct ha_state saved;
	struct ha_arbiter arb;
	uint64_t floor, floor_epoch, floors, missing;
	uint64_t first_lsn, store_lsn; /* at the start */
	/* what the test answers itself, or not at all */
	bool hold_saves, hold_cas, hold_appends, hold_reads, hold_floors, hold_fetches, hold_cuts,
		hold_preempts, hold_repairs;
	bool hold_effects; /* nobody even takes what the core orders */
	uint64_t cookie;   /* of the last fetch held */
	bool other_batch;  /* the journal takes no repair */
	int cas_error, arb_error, preempt_error, score;
	unsigned arb_reads;
	struct jr_batch *log[PAIR_LOG_MAX];
	unsigned logs;
	char seen[PAIR_SEEN_MAX][64]; /* what came out, as words */
	unsigned seens;
	uint64_t committed, at_lsn, preempts;
	int result;
	char text[512];
} pair;

extern const uint8_t pair_cluster[16];
/* Of the configuration; to be set before the start. */
extern bool pair_freeze;
extern uint32_t pair_membership_ms;

/* malloc and calloc of the core fail. */
extern bool pair_no_memory;

/* The event, and everything that follows from it. */
void pair_event(struct ha_event e);
void pair_wait_ms(uint64_t ms);

bool pair_saw(const char *word);
unsigned pair_count(const char *word);
void pair_forget(void);
/* The words must have come, in this order. */
void pair_in_order(const char *const *words);
#define ORDER(...) pair_in_order((const char *const[]){__VA_ARGS__, NULL})

/* Configuration, state and arbiter record of a pair in epoch 4. */
void pair_start(uint8_t members, uint8_t active);
/* A log of n batches of epoch 4, one LSN each. */
void pair_log_of(unsigned n);
/* Without a word about the peer. */
void pair_boot_alone(int state_error, enum jr_verdict verdict);
void pair_boot_as(int state_error, enum jr_verdict verdict);
void pair_boot(void);
void pair_end(void);

/* The peer, as the cluster tells. */
void pair_peer(uint64_t incarnation, bool process_up, bool node_up);
/* It is dead, and that is proven. */
void pair_fenced(void);
/* The record is another one. */
void pair_record(uint64_t epoch, uint8_t members, uint8_t active);
/* The fetch held back is answered. */
void pair_fetched(struct jr_batch *);
struct jr_batch *pair_batch(uint64_t epoch, uint64_t lsn, uint64_t commit,
			    const struct pr_hash *prev, uint32_t slot);
/* The same with n LSNs, and with room for more. */
struct jr_batch *pair_batch_of(uint64_t epoch, uint64_t lsn, unsigned n, uint64_t commit,
			       const struct pr_hash *prev, uint32_t bytes);
/* A batch at the tail, of the active. */
void pair_submit(void);
struct pr_hash pair_tail_hash(void);
uint64_t pair_tail(void);

/* Promoted alone, with n LSNs before the EPOCH record. */
void pair_active_alone(unsigned n);
void pair_active_sync(void);
/* To an active, a standby that lacks nothing. */
void pair_comes_in_sync(void);
/* In session 7 of epoch 4, which brings it what it lacks. */
void pair_standby_resyncing(void);
/* In session 7 of epoch 4, with n LSNs. */
void pair_standby_in_sync(unsigned n);

/* The peer, faked. */
void pair_message(uint16_t type, const uint8_t *p, size_t len);
#define SAY(NAME, name, ...)                                          \
	do {                                                          \
		struct pr_link_##name m_ = {__VA_ARGS__};             \
		static uint8_t bytes_[16384];                         \
		struct pr_buf b_ = pr_buf_on(bytes_, sizeof(bytes_)); \
		cr_assert_eq(pr_link_##name##_encode(&b_, &m_), 0);   \
		pair_message(PR_T_LINK_##NAME, bytes_, b_.len);       \
	} while (0)
void pair_link_up(void);
void pair_hello(uint8_t role, enum ha_dstate dstate, uint64_t epoch, uint64_t tail,
		const struct pr_hash *hash);
/* What of it is zero and must not be is as in pair_hello. */
void pair_hello_of(struct pr_link_hello, const struct pr_history *, unsigned histories);
void pair_session_ok(uint64_t tail);
void pair_ack(uint64_t lsn);
/* Nothing of a session, but a sign of life. */
void pair_beat(void);
/* Time passes, and the peer says that it lives. */
void pair_beats_ms(uint64_t ms);
void pair_beat_back(void);
/* A batch of one LSN. */
void pair_give(uint64_t epoch, uint64_t link, uint64_t lsn, const struct pr_hash *prev,
	       uint64_t commit);
