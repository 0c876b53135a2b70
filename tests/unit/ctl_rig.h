/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One controller without a peer, its disks, store and clients in memory: what it orders is done at
 * once, in order, when rig_run is called. For tests of the core's own rules.
 */
#pragma once
#include "controller/core/ctl_int.h"
#include "tests/sim/simdisk.h"
#include "tests/sim/simstore.h"

enum { RIG_INBOX_MAX = 4096, RIG_QUEUE_MAX = 8192 };

struct rig_mail {
	uint64_t conn;
	struct pr_frame f;
	uint8_t *p;
};

struct rig_job {
	struct ctl_event ev;
	struct ctl_fetch fetch;
	struct ctl_row *rows;
	bool disk;
};

struct rig {
	struct ctl_config config;
	struct ctl *ctl;
	struct simdisk *disk;
	struct simstore *store;
	struct ha_arbiter arbiter;
	bool arbiter_set;
	uint8_t state[HA_STATE_BYTES];
	bool has_state;
	uint64_t now_ms, timer_ms;
	int64_t real_ns;
	struct rig_job queue[RIG_QUEUE_MAX];
	unsigned queue_first, queue_count;
	struct rig_mail inbox[RIG_INBOX_MAX];
	unsigned inbox_count;
	bool hold_disk, hold_store, hold_flush, hold_fence; /* these jobs wait */
	uint64_t fence_asked;
	unsigned fetches, flushes, closes, sends;
	char admin[65536];
	int admin_error;
	char died[300];
	char why[512]; /* text of the last session open that was refused */
	uint64_t next_conn;
};

void rig_open(struct rig *);
void rig_close(struct rig *);
void rig_boot(struct rig *);	/* up to standby */
void rig_crash(struct rig *);	/* the process dies; disk, store and arbiter stay */
void rig_serve(struct rig *);	/* promote it */
void rig_volume(struct rig *);	/* make vol1 */
void rig_start(struct rig *);	/* boot, serve, volume vol1 */
void rig_restart(struct rig *); /* crash, boot, serve */
void rig_step(struct rig *, struct ctl_event *);
void rig_run(struct rig *); /* until nothing is left to do */
void rig_wait(struct rig *, uint64_t ms);
const char *rig_admin(struct rig *, const char *text);
void rig_says(const char *text, const char *what); /* the text has it */

uint64_t rig_connect(struct rig *);
void rig_hang_up(struct rig *, uint64_t conn);
/* Sends without running; encode is pr_x_encode. */
void rig_send(struct rig *, uint64_t conn, const struct pr_frame *, const void *payload);
/* The next mail of the connection of that type (0: any); taken out. Fails the test if there is none. */
struct rig_mail rig_take(struct rig *, uint64_t conn, uint16_t type);
bool rig_has(struct rig *, uint64_t conn, uint16_t type);
/* Takes the next mail likewise; its status. */
uint32_t rig_status(struct rig *, uint64_t conn, uint16_t type);

/* Sends the message with its payload, without running. */
#define RIG_SEND(g, conn, fr, name, value)                                  \
	do {                                                                \
		struct pr_buf b_ = pr_buf_on(rig_space, sizeof(rig_space)); \
		cr_assert_eq(pr_##name##_encode(&b_, value), 0);            \
		(fr)->length = (uint32_t)b_.len;                            \
		rig_send(g, conn, fr, rig_space);                           \
	} while (0)
extern uint8_t rig_space[PR_PAYLOAD_MAX];
/* Sends it and runs. */
#define RIG_SAY(g, conn, type_, sess, seq, name, q)                                     \
	do {                                                                            \
		struct pr_frame f_ = {.type = type_, .session = sess, .sequence = seq}; \
		RIG_SEND(g, conn, &f_, name, q);                                        \
		rig_run(g);                                                             \
	} while (0)
/* The status of the next mail, taken out; what it says when it is an error has this text in it. */
uint32_t rig_answer(struct rig *, uint64_t conn, uint16_t type, const char *why);

struct rig_client {
	uint64_t conn, session, root;
	struct pr_uuid uuid;
	uint64_t sequence[64];
};
/* Connect, greet, open a session on vol1. Returns the status of the open. */
uint32_t rig_client_open(struct rig *, struct rig_client *, uint8_t id, uint32_t flags);
uint32_t rig_hello(struct rig *, uint64_t conn, const struct pr_uuid *client, const char *volume);
uint32_t rig_bind(struct rig *, struct rig_client *, const struct pr_held *held, uint32_t count);
/* The same on a connection of its own. */
uint32_t rig_bind_anew(struct rig *, struct rig_client *, const struct pr_held *held,
		       uint32_t count);
void rig_start_one(struct rig *, struct rig_client *); /* start, and client 1 is there */
/* Sends create of name in the root in this slot; the sequence is the slot's next. */
void rig_create_send(struct rig *, struct rig_client *, uint32_t slot, const char *name);
uint32_t rig_create(struct rig *, struct rig_client *, const char *name, uint64_t *ret_ino);
uint32_t rig_lookup(struct rig *, struct rig_client *, const char *name, uint64_t *ret_ino);
uint32_t rig_unlink(struct rig *, struct rig_client *, const char *name);
