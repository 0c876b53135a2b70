/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Greetings, sessions and binds that must be refused, and what a refusal leaves behind. */
#include <criterion/criterion.h>
#include <stdio.h>
#include "tests/unit/ctl_rig.h"

static struct rig g;
static struct rig_client a, b;

static void setup(uint32_t sessions_max)
{
	rig_open(&g);
	g.config.sessions_max = sessions_max;
	rig_boot(&g);
	rig_serve(&g);
	rig_admin(&g, "volume-create vol1 00000000-0000-4000-8000-0000000000aa lun1 "
		      "00000000-0000-4000-8000-0000000000bb 4096 256 -");
	cr_assert_eq(rig_client_open(&g, &a, 1, 0), 0);
}

/* ---- greetings ---- */

static uint32_t greet(const struct pr_hello *q, const char *why)
{
	uint64_t conn = rig_connect(&g);
	unsigned closes = g.closes;
	uint32_t status;

	RIG_SAY(&g, conn, PR_T_HELLO, 0, 0, hello, q);
	status = rig_answer(&g, conn, PR_T_HELLO_R, why);
	cr_assert_eq(g.closes - closes, status != 0, "who is refused is hung up on");
	return status;
}

static struct pr_hello hello(void)
{
	return (struct pr_hello){.version_min = PR_VERSION,
				 .version_max = PR_VERSION,
				 .client = {{7}},
				 .volume = pr_bytes_str("vol1"),
				 .host = pr_bytes_str("h")};
}

Test(ctl_session, a_greeting_is_refused_by_what_does_not_fit)
{
	struct pr_hello q = hello();

	setup(64);
	cr_assert_eq(greet(&q, ""), 0);
	q.version_min = q.version_max = PR_VERSION + 1;
	cr_assert_eq(greet(&q, "install the same release"), PR_E_VERSION);
	q.version_min = q.version_max = PR_VERSION - 1;
	cr_assert_eq(greet(&q, "install the same release"), PR_E_VERSION);
	q = hello();
	q.cluster.b[0] = 1;
	cr_assert_eq(greet(&q, "check the addresses"), PR_E_CLUSTER);
	memcpy(q.cluster.b, g.config.ha.cluster, 16);
	cr_assert_eq(greet(&q, ""), 0);
	q.volume = pr_bytes_str("vol2");
	cr_assert_eq(greet(&q, "no volume 'vol2'"), PR_E_VOLUME);
	q.volume = pr_bytes_str("");
	cr_assert_eq(greet(&q, ""), 0, "a tool names none");
	rig_close(&g);
}

static void garbage(uint64_t conn, uint16_t type)
{
	struct pr_frame f = {.type = type, .session = a.session, .length = 3};

	rig_send(&g, conn, &f, "???");
	rig_run(&g);
}

Test(ctl_session, what_makes_no_sense_is_refused_and_leaves_the_session)
{
	uint64_t conn;

	setup(64);
	conn = rig_connect(&g);
	garbage(conn, PR_T_HELLO);
	cr_assert_eq(rig_answer(&g, conn, PR_T_HELLO_R, "makes no sense"), EBADMSG);
	garbage(a.conn, PR_T_PING);
	cr_assert_eq(rig_answer(&g, a.conn, PR_T_PING_R, ""), EBADMSG);
	garbage(a.conn, PR_T_SESSION_BIND);
	cr_assert_eq(rig_answer(&g, a.conn, PR_T_SESSION_BIND_R, ""), EBADMSG);
	garbage(a.conn, PR_T_SESSION_OPEN);
	cr_assert_eq(rig_answer(&g, a.conn, PR_T_SESSION_OPEN_R, ""), EBADMSG);
	cr_assert_eq(rig_create(&g, &a, "after all that", NULL), 0);
	rig_close(&g);
}

/* ---- sessions ---- */

static uint32_t open_session(uint64_t conn, uint8_t client, uint32_t slots, const char *why,
			     struct pr_session_open_r *ret)
{
	struct pr_session_open q = {
		.slots = slots, .host = pr_bytes_str("h"), .what = pr_bytes_str("w")};
	struct rig_mail m;
	uint32_t status;

	memset(q.client.b, client, sizeof(q.client.b));
	RIG_SAY(&g, conn, PR_T_SESSION_OPEN, 0, 0, session_open, &q);
	if (!ret)
		return rig_answer(&g, conn, PR_T_SESSION_OPEN_R, why);
	m = rig_take(&g, conn, PR_T_SESSION_OPEN_R);
	status = m.f.status;
	cr_assert_eq(pr_session_open_r_decode(ret, m.p, m.f.length), 0);
	free(m.p);
	return status;
}

Test(ctl_session, there_are_no_more_than_are_allowed_and_slots_are_bounded)
{
	struct pr_session_open_r r;
	struct pr_uuid id;
	uint64_t conn;

	setup(2);
	memset(id.b, 2, sizeof(id.b));
	conn = rig_connect(&g);
	cr_assert_eq(rig_hello(&g, conn, &id, "vol1"), 0);
	cr_assert_eq(open_session(conn, 2, 0, "", &r), 0);
	cr_assert_eq(r.slots, 1, "none asked for is one");
	memset(id.b, 3, sizeof(id.b));
	conn = rig_connect(&g);
	cr_assert_eq(rig_hello(&g, conn, &id, "vol1"), 0);
	cr_assert_eq(open_session(conn, 3, 1, "there are 2 sessions", NULL), PR_E_BUSY);
	rig_close(&g);
	setup(3);
	conn = rig_connect(&g);
	cr_assert_eq(rig_hello(&g, conn, &id, "vol1"), 0);
	cr_assert_eq(open_session(conn, 3, 100000, "", &r), 0);
	cr_assert_eq(r.slots, g.config.slots_max);
	rig_close(&g);
}

Test(ctl_session, a_session_is_for_one_volume)
{
	struct pr_uuid id;
	uint64_t conn;

	setup(8);
	rig_admin(&g, "volume-create vol2 00000000-0000-4000-8000-0000000000ab lun2 "
		      "00000000-0000-4000-8000-0000000000bc 4096 256 -");
	cr_assert_eq(g.admin_error, 0, "%s", g.admin);
	memset(id.b, 1, sizeof(id.b));
	conn = rig_connect(&g);
	cr_assert_eq(rig_hello(&g, conn, &id, "vol2"), 0);
	cr_assert_eq(open_session(conn, 1, 1, "for another volume already", NULL), EINVAL);
	conn = rig_connect(&g);
	cr_assert_eq(rig_hello(&g, conn, &id, ""), 0);
	cr_assert_eq(open_session(conn, 1, 1, "no volume of this cluster", NULL), PR_E_VOLUME);
	rig_close(&g);
}

/* ---- binds ---- */

static void bind_as(uint64_t conn, uint64_t session, uint8_t client, uint64_t sequence)
{
	struct pr_session_bind q = {.session = session};

	memset(q.client.b, client, sizeof(q.client.b));
	RIG_SAY(&g, conn, PR_T_SESSION_BIND, 0, sequence, session_bind, &q);
}

Test(ctl_session, only_its_own_client_binds_a_session_and_not_with_an_older_bind)
{
	uint64_t conn;

	setup(8);
	cr_assert_eq(rig_client_open(&g, &b, 2, 0), 0);
	conn = rig_connect(&g);
	cr_assert_eq(rig_hello(&g, conn, &a.uuid, "vol1"), 0);
	bind_as(conn, a.session + 100, 1, 9);
	cr_assert_eq(rig_answer(&g, conn, PR_T_SESSION_BIND_R, ""), PR_E_BAD_SESSION);
	bind_as(conn, a.session, 2, 9);
	cr_assert_eq(rig_answer(&g, conn, PR_T_SESSION_BIND_R, ""), PR_E_BAD_SESSION);
	cr_assert_eq(rig_create(&g, &a, "still its own", NULL), 0);
	bind_as(conn, a.session, 1, 9);
	cr_assert_eq(rig_answer(&g, conn, PR_T_SESSION_BIND_R, ""), 0);
	a.conn = conn;
	conn = rig_connect(&g);
	cr_assert_eq(rig_hello(&g, conn, &a.uuid, "vol1"), 0);
	bind_as(conn, a.session, 1, 8);
	cr_assert(!rig_has(&g, conn, PR_T_SESSION_BIND_R), "overtaken: nobody waits for it");
	cr_assert_eq(rig_create(&g, &a, "and bound where it was", NULL), 0);
	rig_close(&g);
}

/* The client looks for the active: it tries the other one with its next connection. */
Test(ctl_session, a_standby_binds_none)
{
	uint64_t conn;

	setup(8);
	rig_crash(&g);
	rig_boot(&g);
	conn = rig_connect(&g);
	rig_hello(&g, conn, &a.uuid, "vol1");
	bind_as(conn, a.session, 1, 9);
	cr_assert_eq(rig_answer(&g, conn, PR_T_SESSION_BIND_R, ""), PR_E_NOT_ACTIVE);
	rig_close(&g);
}

/*
 * A connection that carried nothing for a while brings what the client sent when this controller was active before. Whoever took it for the
 * client's word of today would think that it holds nothing any more, and grant that to others.
 */
Test(ctl_session, what_was_sent_when_it_was_active_before_binds_nothing)
{
	struct pr_frame f = {.type = PR_T_SESSION_BIND, .sequence = 9};
	struct pr_session_bind bind;
	struct pr_session_open open;
	struct pr_ping old_ping = {.nonce = 1};
	uint64_t conn;

	setup(8);
	bind = (struct pr_session_bind){.session = a.session, .client = a.uuid};
	open = (struct pr_session_open){.client = a.uuid, .slots = 8};
	f.epoch = ha_epoch(ctl_ha(g.ctl));
	rig_restart(&g);
	cr_assert_lt(f.epoch, ha_epoch(ctl_ha(g.ctl)));
	conn = rig_connect(&g);
	cr_assert_eq(rig_hello(&g, conn, &a.uuid, "vol1"), 0);
	RIG_SEND(&g, conn, &f, session_bind, &bind);
	rig_run(&g);
	f.type = PR_T_SESSION_OPEN;
	RIG_SEND(&g, conn, &f, session_open, &open);
	rig_run(&g);
	cr_assert(!rig_has(&g, conn, PR_T_SESSION_BIND_R) &&
		  !rig_has(&g, conn, PR_T_SESSION_OPEN_R));
	cr_assert_eq(g.ctl->unbound, 1u, "it has yet to say what it holds");
	f.type = PR_T_PING;
	f.session = a.session;
	RIG_SEND(&g, conn, &f, ping, &old_ping);
	rig_run(&g);
	cr_assert_eq(rig_answer(&g, conn, PR_T_PING_R, ""), 0);
	cr_assert_null(ctl_conn_find(g.ctl, conn)->session, "and lives where it says so");
	bind_as(conn, a.session, 1, 10);
	cr_assert_eq(rig_answer(&g, conn, PR_T_SESSION_BIND_R, ""), 0);
	cr_assert_eq(g.ctl->unbound, 0u);
	rig_close(&g);
}

static uint32_t ping(uint64_t conn, uint64_t session)
{
	struct pr_ping q = {.nonce = 3};

	RIG_SAY(&g, conn, PR_T_PING, session, 0, ping, &q);
	return rig_answer(&g, conn, PR_T_PING_R, "");
}

Test(ctl_session, a_ping_keeps_only_the_sessions_own_client_alive)
{
	setup(8);
	cr_assert_eq(rig_client_open(&g, &b, 2, 0), 0);
	cr_assert_eq(ping(a.conn, 0), 0);
	cr_assert_eq(ping(a.conn, a.session), 0);
	cr_assert_eq(ping(a.conn, b.session), PR_E_BAD_SESSION);
	cr_assert_eq(ping(a.conn, a.session + 100), PR_E_BAD_SESSION);
	rig_close(&g);
}
