/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How sessions come back, in parts or not at all, and how they end: leases, fences, and what others are told and wait for. */
#include <criterion/criterion.h>
#include <stdio.h>
#include "tests/unit/ctl_rig.h"

static struct rig g;
static struct rig_client a, b;

enum { NOTHING_YET = UINT32_MAX };

static uint32_t layout_get(const struct rig_client *cl, uint64_t ino, uint8_t mode)
{
	struct pr_layout_get q = {.ino = ino, .blocks = 4, .mode = mode};

	RIG_SAY(&g, cl->conn, PR_T_LAYOUT_GET, cl->session, 0, layout_get, &q);
	return rig_has(&g, cl->conn, PR_T_LAYOUT_GET_R)
		       ? rig_status(&g, cl->conn, PR_T_LAYOUT_GET_R)
		       : NOTHING_YET;
}

static uint32_t ping(const struct rig_client *cl)
{
	struct pr_ping q = {.nonce = 1};

	RIG_SAY(&g, cl->conn, PR_T_PING, cl->session, 0, ping, &q);
	return rig_status(&g, cl->conn, PR_T_PING_R);
}

static void pings_for(const struct rig_client *cl, unsigned seconds)
{
	for (unsigned i = 0; i < seconds; i++) {
		rig_wait(&g, 1000);
		cr_assert_eq(ping(cl), 0, "after %u s", i);
	}
}

static void evict(const struct rig_client *cl)
{
	char text[64];

	snprintf(text, sizeof(text), "evict %llu host", (unsigned long long)cl->session);
	rig_admin(&g, text);
}

static void state_is(const struct rig_client *cl, const char *state)
{
	const char *got = ctl_session_state(ctl_session_find(g.ctl, cl->session));

	cr_assert_str_eq(got, state);
	rig_says(rig_admin(&g, "clients"), state);
}

static void fenced(uint64_t session, int error)
{
	rig_step(&g, &(struct ctl_event){
			     .type = CTL_EV_CLIENT_FENCED, .session = session, .error = error});
	rig_run(&g);
}

/* ---- binds ---- */

static uint64_t binds;

/* A part of a bind. */
static uint32_t bind_part(struct rig_client *cl, uint32_t flags, const struct pr_held *held,
			  uint32_t count, uint32_t *ret_lost)
{
	struct pr_session_bind q = {.session = cl->session, .client = cl->uuid, .flags = flags};
	struct pr_session_bind_r r = {.lost = 99};
	uint8_t list[512];
	struct pr_buf l = pr_buf_on(list, sizeof(list));
	struct rig_mail m;

	for (uint32_t i = 0; i < count; i++)
		cr_assert_eq(pr_held_put(&l, &held[i]), 0);
	q.held = (struct pr_list){.count = count, .p = list, .len = (uint32_t)l.len};
	RIG_SAY(&g, cl->conn, PR_T_SESSION_BIND, 0, binds, session_bind, &q);
	m = rig_take(&g, cl->conn, PR_T_SESSION_BIND_R);
	if (m.f.status == 0) {
		cr_assert_eq(pr_session_bind_r_decode(&r, m.p, m.f.length), 0);
		*ret_lost = r.lost;
	}
	free(m.p);
	return m.f.status;
}

static void connect_again(struct rig_client *cl)
{
	cl->conn = rig_connect(&g);
	cr_assert_eq(rig_hello(&g, cl->conn, &cl->uuid, "vol1"), 0);
}

Test(ctl_ending, a_bind_in_parts_counts_when_the_last_is_here)
{
	struct pr_held held[2];
	uint64_t ino[2];
	uint32_t lost;

	rig_start_one(&g, &a);
	cr_assert_eq(rig_client_open(&g, &b, 2, 0), 0);
	cr_assert_eq(rig_create(&g, &a, "f", &ino[0]), 0);
	cr_assert_eq(rig_create(&g, &a, "g", &ino[1]), 0);
	rig_restart(&g);
	cr_assert_eq(rig_bind_anew(&g, &b, NULL, 0), 0);
	for (unsigned i = 0; i < 2; i++)
		held[i] = (struct pr_held){
			.ino = ino[i], .opens = i, .layout = PR_LAYOUT_WRITE, .generation = 1};
	connect_again(&a);
	cr_assert_eq(bind_part(&a, PR_BIND_MORE, &held[0], 1, &lost), 0);
	cr_assert_eq(lost, 0u);
	state_is(&a, "binding");
	cr_assert_eq(layout_get(&b, ino[1], PR_LAYOUT_READ), NOTHING_YET, "it may still say so");
	cr_assert_eq(bind_part(&a, 0, &held[1], 1, &lost), 0);
	cr_assert_eq(lost, 0u);
	state_is(&a, "binding");
	cr_assert_eq(ping(&a), 0);
	state_is(&a, "live");
	cr_assert_not(rig_has(&g, b.conn, PR_T_LAYOUT_GET_R), "and has said so");
	for (unsigned i = 0; i < 2; i++) {
		const struct ctl_held *h =
			ctl_held_find(g.ctl, ctl_session_find(g.ctl, a.session), ino[i]);

		cr_assert(h && h->mode == PR_LAYOUT_WRITE && h->opens == i, "part %u", i);
	}
	rig_close(&g);
}

Test(ctl_ending, who_never_sends_the_last_part_is_fenced_when_all_should_be_back)
{
	uint32_t lost;

	rig_start_one(&g, &a);
	rig_restart(&g);
	connect_again(&a);
	cr_assert_eq(bind_part(&a, PR_BIND_MORE, NULL, 0, &lost), 0);
	pings_for(&a, 3 * g.config.lease_ms / 1000 - 2);
	cr_assert_eq(g.fence_asked, 0u);
	rig_wait(&g, 3000);
	cr_assert_eq(g.fence_asked, a.session);
	cr_assert_eq(ping(&a), PR_E_BAD_SESSION);
	rig_close(&g);
}

/* What a bind that was cut off had named is not joined with the next one. */
Test(ctl_ending, a_bind_that_was_cut_off_counts_for_nothing)
{
	struct pr_held held;
	uint32_t lost;

	rig_start_one(&g, &a);
	cr_assert_eq(rig_create(&g, &a, "f", &held.ino), 0);
	held.opens = 1;
	held.layout = PR_LAYOUT_WRITE;
	held.generation = 1;
	cr_assert_eq(bind_part(&a, PR_BIND_MORE, &held, 1, &lost), 0);
	connect_again(&a);
	binds++;
	cr_assert_eq(bind_part(&a, 0, NULL, 0, &lost), 0);
	cr_assert_null(ctl_held_find(g.ctl, ctl_session_find(g.ctl, a.session), held.ino));
	rig_close(&g);
}

/* The time to be back is that of the bind, not of a promotion long ago. */
Test(ctl_ending, a_tick_between_the_parts_of_a_bind_ends_nobody)
{
	uint32_t lost;

	rig_start_one(&g, &a);
	pings_for(&a, 30);
	cr_assert_eq(bind_part(&a, PR_BIND_MORE, NULL, 0, &lost), 0);
	rig_wait(&g, 1000);
	state_is(&a, "binding");
	cr_assert_eq(bind_part(&a, 0, NULL, 0, &lost), 0);
	cr_assert_eq(ping(&a), 0);
	state_is(&a, "live");
	rig_close(&g);
}

/* What others were granted while a was not back: files made by this active, which a cannot hold, whatever it says. */
Test(ctl_ending, a_layout_that_another_was_granted_meanwhile_is_lost)
{
	static const struct {
		uint8_t granted, claimed;
		bool lost;
	} cases[] = {
		{PR_LAYOUT_WRITE, PR_LAYOUT_WRITE, true}, {PR_LAYOUT_WRITE, PR_LAYOUT_READ, true},
		{PR_LAYOUT_READ, PR_LAYOUT_WRITE, true},  {PR_LAYOUT_READ, PR_LAYOUT_READ, false},
		{PR_LAYOUT_NONE, PR_LAYOUT_WRITE, false}, {PR_LAYOUT_WRITE, PR_LAYOUT_NONE, false},
	};

	for (unsigned k = 0; k < sizeof(cases) / sizeof(cases[0]); k++) {
		for (uint32_t opens = 0; opens < 2; opens++) {
			struct pr_held held = {.opens = opens, .layout = cases[k].claimed};
			const struct ctl_held *h;
			uint32_t lost;

			rig_start_one(&g, &a);
			cr_assert_eq(rig_client_open(&g, &b, 2, 0), 0);
			rig_restart(&g);
			cr_assert_eq(rig_bind_anew(&g, &b, NULL, 0), 0);
			cr_assert_eq(rig_create(&g, &b, "made here", &held.ino), 0);
			if (cases[k].granted)
				cr_assert_eq(layout_get(&b, held.ino, cases[k].granted), 0);
			connect_again(&a);
			cr_assert_eq(bind_part(&a, 0, &held, 1, &lost), 0);
			cr_assert_eq(lost, cases[k].lost ? 1u : 0u, "case %u", k);
			h = ctl_held_find(g.ctl, ctl_session_find(g.ctl, a.session), held.ino);
			if (opens == 0 && (lost || !cases[k].claimed))
				cr_assert_null(h, "case %u: nothing is held", k);
			else
				cr_assert(h && h->opens == opens &&
						  h->mode == (lost ? PR_LAYOUT_NONE
								   : cases[k].claimed),
					  "case %u", k);
			rig_close(&g);
		}
	}
}

Test(ctl_ending, the_same_inode_number_in_another_volume_is_another_file)
{
	struct pr_held held = {.layout = PR_LAYOUT_WRITE};
	struct pr_session_open q = {
		.slots = 4, .host = pr_bytes_str("h"), .what = pr_bytes_str("w")};
	struct pr_session_open_r r;
	struct rig_client other = {.uuid = {{9}}};
	struct rig_mail m;
	uint32_t lost;

	rig_start_one(&g, &a);
	cr_assert_eq(rig_create(&g, &a, "f", &held.ino), 0);
	rig_admin(&g, "volume-create vol2 00000000-0000-4000-8000-0000000000ab lun2 "
		      "00000000-0000-4000-8000-0000000000bc 4096 256 -");
	other.conn = rig_connect(&g);
	cr_assert_eq(rig_hello(&g, other.conn, &other.uuid, "vol2"), 0);
	q.client = other.uuid;
	q.flags = PR_OPEN_EXCLUSIVE;
	RIG_SAY(&g, other.conn, PR_T_SESSION_OPEN, 0, 0, session_open, &q);
	m = rig_take(&g, other.conn, PR_T_SESSION_OPEN_R);
	cr_assert_eq(pr_session_open_r_decode(&r, m.p, m.f.length), 0);
	free(m.p);
	other.session = r.session;
	cr_assert_eq(bind_part(&other, 0, &held, 1, &lost), 0);
	cr_assert_eq(bind_part(&a, 0, &held, 1, &lost), 0);
	cr_assert_eq(lost, 0u);
	/* nor does an exclusive mount of one keep others from the other */
	cr_assert_eq(rig_client_open(&g, &b, 2, PR_OPEN_EXCLUSIVE), 0);
	rig_close(&g);
}

Test(ctl_ending, a_bind_for_both_channels_closes_the_older_connection)
{
	struct pr_hello q = {.version_min = PR_VERSION,
			     .version_max = PR_VERSION,
			     .volume = pr_bytes_str("vol1"),
			     .host = pr_bytes_str("h")};
	uint32_t lost;

	rig_start_one(&g, &a);
	a.conn = rig_connect(&g);
	q.client = a.uuid;
	RIG_SAY(&g, a.conn, PR_T_HELLO, 0, 0, hello, &q);
	cr_assert_eq(rig_status(&g, a.conn, PR_T_HELLO_R), 0);
	cr_assert_eq(g.closes, 0u);
	cr_assert_eq(bind_part(&a, 0, NULL, 0, &lost), 0);
	cr_assert_eq(g.closes, 1u);
	cr_assert_eq(rig_create(&g, &a, "f", NULL), 0);
	rig_close(&g);
}

Test(ctl_ending, while_the_role_is_handed_over_nobody_binds_and_no_lease_runs)
{
	struct pr_held none;
	uint32_t lost;

	rig_start_one(&g, &a);
	rig_hang_up(&g, a.conn);
	g.ctl->drain = g.ctl->drained = true;
	connect_again(&a);
	cr_assert_eq(bind_part(&a, 0, &none, 0, &lost), PR_E_NOT_ACTIVE);
	rig_wait(&g, 5ull * g.config.lease_ms);
	cr_assert_not_null(ctl_session_find(g.ctl, a.session));
	cr_assert_eq(g.fence_asked, 0u);
	g.ctl->drain = g.ctl->drained = false;
	cr_assert_eq(bind_part(&a, 0, &none, 0, &lost), 0);
	rig_close(&g);
}

static void open_again(const struct rig_client *cl, uint64_t conn, uint64_t sequence)
{
	struct pr_session_open q = {.client = cl->uuid,
				    .slots = 64,
				    .host = pr_bytes_str("host"),
				    .what = pr_bytes_str("test")};

	RIG_SAY(&g, conn, PR_T_SESSION_OPEN, 0, sequence, session_open, &q);
}

Test(ctl_ending, an_open_that_a_bind_has_overtaken_takes_nothing_over)
{
	struct pr_session_bind q;
	uint64_t bound;

	rig_start_one(&g, &a);
	connect_again(&a);
	q = (struct pr_session_bind){.session = a.session, .client = a.uuid};
	RIG_SAY(&g, a.conn, PR_T_SESSION_BIND, 0, 9, session_bind, &q);
	cr_assert_eq(rig_status(&g, a.conn, PR_T_SESSION_BIND_R), 0);
	bound = a.conn;
	connect_again(&a);
	open_again(&a, a.conn, 5);
	cr_assert_eq(rig_status(&g, a.conn, PR_T_SESSION_OPEN_R), 0);
	cr_assert_not_null(ctl_conn_find(g.ctl, bound), "it was not closed");
	a.conn = bound;
	cr_assert_eq(rig_create(&g, &a, "f", NULL), 0, "and carries requests");
	rig_close(&g);
}

Test(ctl_ending, a_session_that_stands_in_the_store_is_opened_again)
{
	uint64_t before;

	rig_start_one(&g, &a);
	rig_wait(&g, 2ull * g.config.flush_ms);
	rig_restart(&g);
	before = a.session;
	cr_assert_eq(rig_client_open(&g, &a, 1, 0), 0);
	cr_assert_eq(a.session, before);
	cr_assert_eq(rig_create(&g, &a, "f", NULL), 0);
	rig_close(&g);
}

/* ---- the end ---- */

Test(ctl_ending, who_holds_no_layout_is_lost_and_ends_without_a_fence)
{
	rig_start_one(&g, &a);
	cr_assert_eq(rig_create(&g, &a, "f", NULL), 0);
	state_is(&a, "live");
	rig_hang_up(&g, a.conn);
	rig_wait(&g, 1000);
	state_is(&a, "lost");
	rig_wait(&g, g.config.lease_ms);
	cr_assert_null(ctl_session_find(g.ctl, a.session));
	cr_assert_eq(g.fence_asked, 0u);
	cr_assert_eq(rig_bind_anew(&g, &a, NULL, 0), PR_E_BAD_SESSION);
	rig_close(&g);
}

/* a writes; it falls silent, or is evicted, and its fence does not end. */
static uint64_t being_fenced(bool evicted)
{
	uint64_t ino;

	rig_start(&g);
	cr_assert_eq(rig_client_open(&g, &a, 1, PR_OPEN_EXCLUSIVE), 0);
	cr_assert_eq(rig_create(&g, &a, "f", &ino), 0);
	cr_assert_eq(layout_get(&a, ino, PR_LAYOUT_WRITE), 0);
	g.hold_fence = true;
	if (evicted)
		evict(&a);
	else
		rig_hang_up(&g, a.conn);
	rig_wait(&g, g.config.lease_ms + 1000);
	cr_assert_eq(g.fence_asked, a.session);
	state_is(&a, "being fenced");
	return ino;
}

Test(ctl_ending, while_it_is_fenced_a_session_is_refused_and_waited_for)
{
	uint64_t conn, was, records;

	being_fenced(true);
	cr_assert_eq(ping(&a), PR_E_BAD_SESSION);
	conn = a.conn;
	cr_assert_eq(rig_bind(&g, &a, NULL, 0), PR_E_BAD_SESSION);
	records = g.ctl->count_records;
	evict(&a);
	cr_assert_eq(g.admin_error, 0);
	rig_says(g.admin, "being fenced");
	cr_assert_eq(g.ctl->count_records, records, "it is ending already");
	/* its client wants a new one, which comes when the old has ended */
	open_again(&a, conn, 0);
	cr_assert_not(rig_has(&g, conn, PR_T_SESSION_OPEN_R));
	was = a.session;
	fenced(was, 0);
	cr_assert_eq(rig_status(&g, conn, PR_T_SESSION_OPEN_R), 0);
	cr_assert_null(ctl_session_find(g.ctl, was));
	rig_close(&g);
}

Test(ctl_ending, who_wants_the_volume_of_one_being_fenced_is_told)
{
	being_fenced(false);
	cr_assert_eq(rig_client_open(&g, &b, 2, PR_OPEN_EXCLUSIVE), PR_E_MOUNTED);
	rig_says(g.why, "it is gone and being fenced from the LUNs");
	cr_assert_eq(ctl_session_lease_left_ms(g.ctl, ctl_session_find(g.ctl, a.session)), 0u);
	fenced(a.session, 0);
	cr_assert_eq(rig_client_open(&g, &b, 2, PR_OPEN_EXCLUSIVE), 0);
	rig_close(&g);
}

Test(ctl_ending, a_fence_is_asked_for_when_its_record_is_committed)
{
	uint64_t ino;

	rig_start_one(&g, &a);
	cr_assert_eq(rig_create(&g, &a, "f", &ino), 0);
	cr_assert_eq(layout_get(&a, ino, PR_LAYOUT_WRITE), 0);
	rig_hang_up(&g, a.conn);
	g.hold_disk = true;
	rig_wait(&g, g.config.lease_ms + 5000);
	cr_assert_eq(ctl_session_find(g.ctl, a.session)->fence, PR_FENCE_INTENDED);
	cr_assert_eq(g.fence_asked, 0u, "the next active would not know of it");
	g.hold_disk = false;
	rig_wait(&g, 1000);
	cr_assert_eq(g.fence_asked, a.session);
	rig_close(&g);
}

Test(ctl_ending, a_fence_that_nobody_asked_for_ends_nobody)
{
	struct ctl_session *s;

	rig_start_one(&g, &a);
	fenced(a.session, 0);
	fenced(a.session + 100, 0);
	cr_assert_eq(rig_create(&g, &a, "f", NULL), 0);
	rig_close(&g);
	/* its answer comes when the role has been handed over: the next active asks itself */
	being_fenced(false);
	ctl_serve_end(g.ctl);
	fenced(a.session, 0);
	s = ctl_session_find(g.ctl, a.session);
	cr_assert(s && s->fence == PR_FENCE_INTENDED);
	rig_close(&g);
}

Test(ctl_ending, a_fence_that_is_reported_twice_ends_one_session)
{
	struct ctl_event done = {.type = CTL_EV_CLIENT_FENCED};

	being_fenced(false);
	done.session = a.session;
	fenced(a.session, -EIO);
	cr_assert_not_null(ctl_session_find(g.ctl, a.session), "it failed: tried again");
	g.fence_asked = 0;
	rig_wait(&g, 1500);
	cr_assert_eq(g.fence_asked, a.session);
	g.ctl->drain = g.ctl->drained = true;
	rig_step(&g, &done);
	rig_step(&g, &done);
	g.ctl->drain = g.ctl->drained = false;
	rig_run(&g);
	cr_assert_null(ctl_session_find(g.ctl, a.session));
	cr_assert_eq(rig_client_open(&g, &b, 2, PR_OPEN_EXCLUSIVE), 0);
	rig_close(&g);
}

Test(ctl_ending, an_eviction_of_one_who_holds_no_layout_needs_no_fence)
{
	rig_start_one(&g, &a);
	cr_assert_eq(rig_create(&g, &a, "f", NULL), 0);
	evict(&a);
	cr_assert_eq(g.admin_error, 0);
	rig_wait(&g, 500);
	cr_assert_null(ctl_session_find(g.ctl, a.session));
	cr_assert_eq(g.fence_asked, 0u);
	cr_assert(rig_has(&g, a.conn, PR_T_EVICTED));
	rig_close(&g);
}

/* After a restart its slots' rows have to be read before they can go. */
Test(ctl_ending, a_volume_whose_holder_is_just_ending_is_waited_for)
{
	rig_start(&g);
	cr_assert_eq(rig_client_open(&g, &a, 1, PR_OPEN_EXCLUSIVE), 0);
	cr_assert_eq(rig_create(&g, &a, "f", NULL), 0);
	rig_wait(&g, 2ull * g.config.flush_ms);
	rig_restart(&g);
	cr_assert_eq(rig_bind_anew(&g, &a, NULL, 0), 0);
	rig_hang_up(&g, a.conn);
	g.hold_store = true;
	rig_wait(&g, g.config.lease_ms + 1000);
	state_is(&a, "ending");
	cr_assert_eq(rig_client_open(&g, &b, 2, PR_OPEN_EXCLUSIVE), NOTHING_YET);
	g.hold_store = false;
	rig_wait(&g, 1000);
	cr_assert_null(ctl_session_find(g.ctl, a.session));
	cr_assert_eq(rig_status(&g, b.conn, PR_T_SESSION_OPEN_R), 0);
	rig_close(&g);
}

Test(ctl_ending, who_has_the_volume_mounted_is_told_with_since_when)
{
	static const struct {
		int64_t seconds;
		const char *told;
	} cases[] = {{100, " for 1"},
		     {1000, " for 16 min"},
		     {7000, " for 116 min"},
		     {3 * 3600 + 65, " for 3 h 1 min"},
		     {-3600, " for 0 s"}};

	rig_start(&g);
	cr_assert_eq(rig_client_open(&g, &a, 1, PR_OPEN_EXCLUSIVE), 0);
	for (unsigned k = 0; k < sizeof(cases) / sizeof(cases[0]); k++) {
		int64_t was = g.real_ns;

		g.real_ns += cases[k].seconds * INT64_C(1000000000);
		cr_assert_eq(rig_client_open(&g, &b, 2, PR_OPEN_EXCLUSIVE), PR_E_MOUNTED);
		rig_says(g.why, cases[k].told);
		rig_says(g.why, "unmount it there first");
		g.real_ns = was;
	}
	rig_close(&g);
}
