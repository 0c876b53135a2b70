/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is answered when, what a repeat gets, and who has a session. */
#include <criterion/criterion.h>
#include <stdio.h>
#include "tests/unit/ctl_rig.h"

static struct rig g;
static struct rig_client a, b;

Test(ctl, nothing_is_answered_before_it_is_durable)
{
	struct pr_frame f = {.type = PR_T_FSYNC};
	uint8_t zero[8] = {0};

	rig_start_one(&g, &a);
	g.hold_disk = true;
	rig_create_send(&g, &a, 0, "f");
	rig_run(&g);
	cr_assert_not(rig_has(&g, a.conn, PR_T_CREATE_R));
	f.session = a.session;
	f.length = 8;
	rig_send(&g, a.conn, &f, zero);
	rig_run(&g);
	cr_assert_not(rig_has(&g, a.conn, PR_T_FSYNC_R),
		      "a later fsync waits for what was before it");
	g.hold_disk = false;
	rig_run(&g);
	cr_assert_eq(rig_status(&g, a.conn, PR_T_CREATE_R), 0);
	rig_close(&g);
}

Test(ctl, a_read_waits_for_the_commit_of_what_it_saw)
{
	struct pr_frame f = {.type = PR_T_LOOKUP, .session = 0};
	struct pr_lookup q;
	uint8_t bytes[400];
	struct pr_buf buf = pr_buf_on(bytes, sizeof(bytes));

	rig_start_one(&g, &a);
	g.hold_disk = true;
	rig_create_send(&g, &a, 0, "f");
	rig_run(&g);
	q = (struct pr_lookup){.parent = a.root, .name = pr_bytes_str("f")};
	cr_assert_eq(pr_lookup_encode(&buf, &q), 0);
	f.session = a.session;
	f.length = (uint32_t)buf.len;
	rig_send(&g, a.conn, &f, bytes);
	rig_run(&g);
	cr_assert_not(rig_has(&g, a.conn, PR_T_LOOKUP_R));
	g.hold_disk = false;
	rig_run(&g);
	cr_assert_eq(rig_status(&g, a.conn, PR_T_LOOKUP_R), 0);
	rig_close(&g);
}

Test(ctl, many_requests_share_batches_and_sends)
{
	char name[16];
	unsigned sends;
	uint64_t batches;

	rig_start_one(&g, &a);
	batches = g.ctl->count_batches;
	sends = g.sends;
	for (uint32_t i = 0; i < 64; i++) {
		snprintf(name, sizeof(name), "f%u", i);
		rig_create_send(&g, &a, i, name);
	}
	rig_run(&g);
	for (uint32_t i = 0; i < 64; i++)
		cr_assert_eq(rig_status(&g, a.conn, PR_T_CREATE_R), 0);
	cr_assert_eq(g.ctl->count_batches - batches, 1);
	cr_assert_eq(g.sends - sends, 1);
	rig_close(&g);
}

Test(ctl, a_repeat_gets_the_stored_reply_and_changes_nothing)
{
	struct pr_create_r first, again;
	struct rig_mail m;
	uint64_t records;

	rig_start_one(&g, &a);
	rig_create_send(&g, &a, 3, "f");
	rig_run(&g);
	m = rig_take(&g, a.conn, PR_T_CREATE_R);
	cr_assert_eq(pr_create_r_decode(&first, m.p, m.f.length), 0);
	free(m.p);
	records = g.ctl->count_records;
	a.sequence[3] = 0;
	rig_create_send(&g, &a, 3, "f");
	rig_run(&g);
	m = rig_take(&g, a.conn, PR_T_CREATE_R);
	cr_assert_eq(m.f.status, 0);
	cr_assert_eq(pr_create_r_decode(&again, m.p, m.f.length), 0);
	cr_assert_eq(first.attr.ino, again.attr.ino);
	cr_assert_eq(again.created, 1);
	free(m.p);
	cr_assert_eq(g.ctl->count_records, records);
	rig_close(&g);
}

Test(ctl, a_lower_sequence_is_stale)
{
	rig_start_one(&g, &a);
	a.sequence[0] = 10;
	cr_assert_eq(rig_create(&g, &a, "f", NULL), 0);
	a.sequence[0] = 4;
	cr_assert_eq(rig_create(&g, &a, "g", NULL), PR_E_STALE_SEQUENCE);
	cr_assert_eq(rig_lookup(&g, &a, "g", NULL), ENOENT);
	rig_close(&g);
}

Test(ctl, stored_replies_survive_a_crash)
{
	uint64_t first, again;

	rig_start_one(&g, &a);
	cr_assert_eq(rig_create(&g, &a, "f", &first), 0);
	rig_restart(&g);
	cr_assert_eq(rig_bind_anew(&g, &a, NULL, 0), 0);
	a.sequence[0]--;
	cr_assert_eq(rig_create(&g, &a, "f", &again), 0);
	cr_assert_eq(first, again);
	cr_assert_eq(rig_unlink(&g, &a, "f"), 0);
	rig_close(&g);
}

/* A create that waits for the store, since everything is cold. The records that stand before it. */
static uint64_t park_create(void)
{
	uint64_t records;

	rig_start_one(&g, &a);
	cr_assert_eq(rig_create(&g, &a, "x", NULL), 0);
	rig_wait(&g, 6000);
	rig_restart(&g);
	cr_assert_eq(rig_bind_anew(&g, &a, NULL, 0), 0);
	records = g.ctl->count_records;
	g.hold_store = true;
	rig_create_send(&g, &a, 0, "f");
	rig_run(&g);
	return records;
}

Test(ctl, a_repeat_of_a_parked_request_does_not_run_twice)
{
	uint64_t conn, records;

	records = park_create();
	conn = a.conn;
	cr_assert_eq(rig_bind_anew(&g, &a, NULL, 0), 0);
	a.sequence[0]--;
	rig_create_send(&g, &a, 0, "f");
	g.hold_store = false;
	rig_run(&g);
	cr_assert_eq(rig_status(&g, a.conn, PR_T_CREATE_R), 0);
	cr_assert_not(rig_has(&g, a.conn, PR_T_CREATE_R));
	cr_assert_not(rig_has(&g, conn, PR_T_CREATE_R));
	cr_assert_eq(g.ctl->count_records, records + 1);
	rig_close(&g);
}

Test(ctl, what_was_answered_before_a_bind_and_has_not_left_is_not_sent_after_it)
{
	rig_start_one(&g, &a);
	g.hold_disk = true;
	rig_create_send(&g, &a, 0, "f");
	rig_create_send(&g, &a, 1, "f"); /* it exists: leaves no trace in its slot */
	rig_run(&g);
	cr_assert_eq(rig_bind(&g, &a, NULL, 0), 0);
	g.hold_disk = false;
	rig_run(&g);
	cr_assert_not(rig_has(&g, a.conn, PR_T_CREATE_R));
	a.sequence[0] = a.sequence[1] = 0;
	rig_create_send(&g, &a, 0, "f");
	rig_create_send(&g, &a, 1, "f");
	rig_run(&g);
	cr_assert_eq(rig_status(&g, a.conn, PR_T_CREATE_R), 0);
	cr_assert_eq(rig_status(&g, a.conn, PR_T_CREATE_R), 0);
	cr_assert_not(rig_has(&g, a.conn, PR_T_CREATE_R));
	rig_close(&g);
}

Test(ctl, what_was_parked_before_a_bind_is_forgotten)
{
	uint64_t records;

	records = park_create();
	cr_assert_eq(rig_bind(&g, &a, NULL, 0), 0);
	g.hold_store = false;
	rig_run(&g);
	cr_assert_not(rig_has(&g, a.conn, PR_T_CREATE_R));
	cr_assert_eq(g.ctl->count_records, records);
	a.sequence[0]--;
	rig_create_send(&g, &a, 0, "f");
	rig_run(&g);
	cr_assert_eq(rig_status(&g, a.conn, PR_T_CREATE_R), 0);
	rig_close(&g);
}

Test(ctl, opening_a_session_again_gives_the_same)
{
	rig_start_one(&g, &a);
	cr_assert_eq(rig_client_open(&g, &b, 1, 0), 0);
	cr_assert_eq(a.session, b.session);
	cr_assert_eq(rig_client_open(&g, &b, 2, 0), 0);
	cr_assert_neq(a.session, b.session);
	rig_close(&g);
}

/* Its record may yet be lost with this active. */
Test(ctl, a_session_opened_again_is_told_when_it_is_committed)
{
	rig_start(&g);
	g.hold_disk = true;
	cr_assert_eq(rig_client_open(&g, &a, 1, 0), UINT32_MAX);
	cr_assert_eq(rig_client_open(&g, &b, 1, 0), UINT32_MAX, "told before");
	g.hold_disk = false;
	rig_run(&g);
	cr_assert_eq(rig_status(&g, b.conn, PR_T_SESSION_OPEN_R), 0);
	rig_close(&g);
}

Test(ctl, a_second_exclusive_mount_is_told_at_once_who_holds_the_volume)
{
	char evict[64];

	rig_start(&g);
	cr_assert_eq(rig_client_open(&g, &a, 1, PR_OPEN_EXCLUSIVE), 0);
	rig_wait(&g, 5000);
	rig_step(&g, &(struct ctl_event){.type = CTL_EV_PUMP});
	cr_assert_eq(rig_client_open(&g, &b, 2, PR_OPEN_EXCLUSIVE), PR_E_MOUNTED);
	rig_says(g.why, "'vol1' is mounted by host (test, pid ");
	rig_says(g.why, "unmount it there first");
	/* its process is gone, its lease runs */
	rig_hang_up(&g, a.conn);
	rig_wait(&g, 4000);
	cr_assert_eq(rig_client_open(&g, &b, 3, PR_OPEN_EXCLUSIVE), PR_E_MOUNTED);
	rig_says(g.why, "by host (test");
	rig_says(g.why, "its connection is lost, its lease ends in 6 s");
	snprintf(evict, sizeof(evict), "'mdcctl clients evict %llu'",
		 (unsigned long long)a.session);
	rig_says(g.why, evict);
	rig_wait(&g, 6500);
	cr_assert_eq(rig_client_open(&g, &b, 4, PR_OPEN_EXCLUSIVE), 0);
	/* nor does it come back after a failover */
	rig_restart(&g);
	cr_assert_eq(rig_client_open(&g, &a, 5, PR_OPEN_EXCLUSIVE), PR_E_MOUNTED);
	rig_says(g.why, "it is not back since the failover, its lease ends in 10 s");
	rig_close(&g);
}

Test(ctl, an_unknown_volume_is_named)
{
	struct pr_uuid id = {.b = {9}};
	uint64_t conn;

	rig_start_one(&g, &a);
	conn = rig_connect(&g);
	cr_assert_eq(rig_hello(&g, conn, &id, "nowhere"), PR_E_VOLUME);
	cr_assert_eq(g.closes, 1);
	rig_close(&g);
}

Test(ctl, a_standby_says_that_it_is_not_active)
{
	rig_open(&g);
	rig_boot(&g);
	memset(&a, 0, sizeof(a));
	a.uuid.b[0] = 1;
	a.conn = rig_connect(&g);
	cr_assert_eq(rig_hello(&g, a.conn, &a.uuid, "vol1"), 0);
	cr_assert_eq(rig_lookup(&g, &a, "x", NULL), PR_E_NOT_ACTIVE);
	rig_serve(&g);
	cr_assert(rig_has(&g, a.conn, PR_T_NOTICE), "pushed at the promotion");
	rig_close(&g);
}

Test(ctl, binding_closes_the_older_connection)
{
	rig_start_one(&g, &a);
	cr_assert_eq(rig_bind_anew(&g, &a, NULL, 0), 0);
	cr_assert_eq(g.closes, 1);
	cr_assert_eq(rig_create(&g, &a, "f", NULL), 0);
	rig_close(&g);
}

/* It stands still for ms, and just looks at its timers then. */
static void stand_still(uint64_t ms, unsigned int times)
{
	for (unsigned int i = 0; i < times; i++) {
		g.now_ms += ms;
		rig_wait(&g, 1);
	}
}

Test(ctl, who_stands_still_for_short_again_and_again_counts_none_of_it)
{
	rig_start_one(&g, &a);
	rig_hang_up(&g, a.conn);
	stand_still(900, 40);
	cr_assert_eq(g.fence_asked, 0);
	cr_assert_eq(rig_bind_anew(&g, &a, NULL, 0), 0);
	rig_hang_up(&g, a.conn);
	rig_wait(&g, g.config.lease_ms + 1000);
	cr_assert_eq(rig_bind_anew(&g, &a, NULL, 0), PR_E_BAD_SESSION,
		     "silence while it serves counts");
	rig_close(&g);
}

Test(ctl, who_stands_still_after_its_promotion_waits_for_those_that_are_not_back)
{
	rig_start_one(&g, &a);
	rig_restart(&g);
	stand_still(5000, 40);
	cr_assert_eq(g.fence_asked, 0);
	cr_assert_eq(rig_bind_anew(&g, &a, NULL, 0), 0);
	rig_close(&g);
}
