/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The controller core with one client or two: what is answered when, and what survives. */
#include <criterion/criterion.h>
#include <stdio.h>
#include "tests/unit/ctl_rig.h"

static struct rig g;
static struct rig_client a, b;

static void open_one(void)
{
	rig_start(&g);
	cr_assert_eq(rig_client_open(&g, &a, 1, 0), 0);
}

static uint32_t status_of(uint64_t conn, uint16_t type)
{
	struct rig_mail m = rig_take(&g, conn, type);

	free(m.p);
	return m.f.status;
}

Test(ctl, boots_promotes_creates_and_looks_up)
{
	uint64_t made, found;

	open_one();
	cr_assert_eq(rig_create(&g, &a, "hello", &made), 0);
	cr_assert_eq(rig_lookup(&g, &a, "hello", &found), 0);
	cr_assert_eq(made, found);
	cr_assert_eq(rig_lookup(&g, &a, "nobody", NULL), ENOENT);
	rig_close(&g);
}

Test(ctl, nothing_is_answered_before_it_is_durable)
{
	struct pr_frame f = {.type = PR_T_FSYNC};
	uint8_t zero[8] = {0};

	open_one();
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
	cr_assert_eq(status_of(a.conn, PR_T_CREATE_R), 0);
	rig_close(&g);
}

Test(ctl, a_read_waits_for_the_commit_of_what_it_saw)
{
	struct pr_frame f = {.type = PR_T_LOOKUP, .session = 0};
	struct pr_lookup q;
	uint8_t bytes[400];
	struct pr_buf buf = pr_buf_on(bytes, sizeof(bytes));

	open_one();
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
	cr_assert_eq(status_of(a.conn, PR_T_LOOKUP_R), 0);
	rig_close(&g);
}

Test(ctl, many_requests_share_batches_and_sends)
{
	char name[16];
	unsigned sends;
	uint64_t batches;

	open_one();
	batches = g.ctl->count_batches;
	sends = g.sends;
	for (uint32_t i = 0; i < 64; i++) {
		snprintf(name, sizeof(name), "f%u", i);
		rig_create_send(&g, &a, i, name);
	}
	rig_run(&g);
	for (uint32_t i = 0; i < 64; i++)
		cr_assert_eq(status_of(a.conn, PR_T_CREATE_R), 0);
	cr_assert_eq(g.ctl->count_batches - batches, 1);
	cr_assert_eq(g.sends - sends, 1);
	rig_close(&g);
}

Test(ctl, a_repeat_gets_the_stored_reply_and_changes_nothing)
{
	struct pr_create_r first, again;
	struct rig_mail m;
	uint64_t records;

	open_one();
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
	open_one();
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

	open_one();
	cr_assert_eq(rig_create(&g, &a, "f", &first), 0);
	rig_crash(&g);
	rig_boot(&g);
	rig_serve(&g);
	a.conn = rig_connect(&g);
	cr_assert_eq(rig_hello(&g, a.conn, &a.uuid, "vol1"), 0);
	cr_assert_eq(rig_bind(&g, &a, NULL, 0), 0);
	a.sequence[0]--;
	cr_assert_eq(rig_create(&g, &a, "f", &again), 0);
	cr_assert_eq(first, again);
	cr_assert_eq(rig_unlink(&g, &a, "f"), 0);
	rig_close(&g);
}

Test(ctl, a_repeat_of_a_parked_request_does_not_run_twice)
{
	uint64_t conn, records;

	open_one();
	cr_assert_eq(rig_create(&g, &a, "x", NULL), 0);
	rig_wait(&g, 6000);
	rig_crash(&g);
	rig_boot(&g);
	rig_serve(&g);
	a.conn = rig_connect(&g);
	cr_assert_eq(rig_hello(&g, a.conn, &a.uuid, "vol1"), 0);
	cr_assert_eq(rig_bind(&g, &a, NULL, 0), 0);
	records = g.ctl->count_records;
	g.hold_store = true;
	rig_create_send(&g, &a, 0, "f"); /* misses: everything is cold */
	rig_run(&g);
	conn = a.conn;
	a.conn = rig_connect(&g);
	cr_assert_eq(rig_hello(&g, a.conn, &a.uuid, "vol1"), 0);
	cr_assert_eq(rig_bind(&g, &a, NULL, 0), 0);
	a.sequence[0]--;
	rig_create_send(&g, &a, 0, "f");
	g.hold_store = false;
	rig_run(&g);
	cr_assert_eq(status_of(a.conn, PR_T_CREATE_R), 0);
	cr_assert_not(rig_has(&g, a.conn, PR_T_CREATE_R));
	cr_assert_not(rig_has(&g, conn, PR_T_CREATE_R));
	cr_assert_eq(g.ctl->count_records, records + 1);
	rig_close(&g);
}

Test(ctl, what_was_answered_before_a_bind_and_has_not_left_is_not_sent_after_it)
{
	open_one();
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
	cr_assert_eq(status_of(a.conn, PR_T_CREATE_R), 0);
	cr_assert_eq(status_of(a.conn, PR_T_CREATE_R), 0);
	cr_assert_not(rig_has(&g, a.conn, PR_T_CREATE_R));
	rig_close(&g);
}

Test(ctl, what_was_parked_before_a_bind_is_forgotten)
{
	uint64_t records;

	open_one();
	cr_assert_eq(rig_create(&g, &a, "x", NULL), 0);
	rig_wait(&g, 6000);
	rig_crash(&g);
	rig_boot(&g);
	rig_serve(&g);
	a.conn = rig_connect(&g);
	cr_assert_eq(rig_hello(&g, a.conn, &a.uuid, "vol1"), 0);
	cr_assert_eq(rig_bind(&g, &a, NULL, 0), 0);
	records = g.ctl->count_records;
	g.hold_store = true;
	rig_create_send(&g, &a, 0, "f"); /* misses: everything is cold */
	rig_run(&g);
	cr_assert_eq(rig_bind(&g, &a, NULL, 0), 0);
	g.hold_store = false;
	rig_run(&g);
	cr_assert_not(rig_has(&g, a.conn, PR_T_CREATE_R));
	cr_assert_eq(g.ctl->count_records, records);
	a.sequence[0]--;
	rig_create_send(&g, &a, 0, "f");
	rig_run(&g);
	cr_assert_eq(status_of(a.conn, PR_T_CREATE_R), 0);
	rig_close(&g);
}

Test(ctl, opening_a_session_again_gives_the_same)
{
	open_one();
	cr_assert_eq(rig_client_open(&g, &b, 1, 0), 0);
	cr_assert_eq(a.session, b.session);
	cr_assert_eq(rig_client_open(&g, &b, 2, 0), 0);
	cr_assert_neq(a.session, b.session);
	rig_close(&g);
}

static void said(const char *text, const char *what)
{
	cr_assert(strstr(text, what), "no \"%s\" in: %s", what, text);
}

Test(ctl, a_second_exclusive_mount_is_told_at_once_who_holds_the_volume)
{
	char evict[64];

	rig_start(&g);
	cr_assert_eq(rig_client_open(&g, &a, 1, PR_OPEN_EXCLUSIVE), 0);
	rig_wait(&g, 5000);
	rig_step(&g, &(struct ctl_event){.type = CTL_EV_PUMP});
	cr_assert_eq(rig_client_open(&g, &b, 2, PR_OPEN_EXCLUSIVE), PR_E_MOUNTED);
	said(g.why, "'vol1' is mounted by host (test, pid ");
	said(g.why, "unmount it there first");
	/* its process is gone, its lease runs */
	rig_hang_up(&g, a.conn);
	rig_wait(&g, 4000);
	cr_assert_eq(rig_client_open(&g, &b, 3, PR_OPEN_EXCLUSIVE), PR_E_MOUNTED);
	said(g.why, "by host (test");
	said(g.why, "its connection is lost, its lease ends in 6 s");
	snprintf(evict, sizeof(evict), "'mdcctl clients evict %llu'",
		 (unsigned long long)a.session);
	said(g.why, evict);
	rig_wait(&g, 6500);
	cr_assert_eq(rig_client_open(&g, &b, 4, PR_OPEN_EXCLUSIVE), 0);
	/* nor does it come back after a failover */
	rig_crash(&g);
	rig_boot(&g);
	rig_serve(&g);
	cr_assert_eq(rig_client_open(&g, &a, 5, PR_OPEN_EXCLUSIVE), PR_E_MOUNTED);
	said(g.why, "it is not back since the failover, its lease ends in 10 s");
	rig_close(&g);
}

Test(ctl, an_unknown_volume_is_named)
{
	struct pr_uuid id = {.b = {9}};
	uint64_t conn;

	open_one();
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
	open_one();
	a.conn = rig_connect(&g);
	cr_assert_eq(rig_hello(&g, a.conn, &a.uuid, "vol1"), 0);
	cr_assert_eq(rig_bind(&g, &a, NULL, 0), 0);
	cr_assert_eq(g.closes, 1);
	cr_assert_eq(rig_create(&g, &a, "f", NULL), 0);
	rig_close(&g);
}

Test(ctl, what_is_open_is_reaped_only_when_closed)
{
	struct pr_frame f = {.type = PR_T_CLOSE};
	struct pr_getattr q;
	struct pr_close c = {.opens = 1};
	uint8_t bytes[64];
	struct pr_buf buf = pr_buf_on(bytes, sizeof(bytes));
	struct pr_key k;
	uint64_t ino;

	open_one();
	cr_assert_eq(rig_create(&g, &a, "f", &ino), 0);
	cr_assert_eq(rig_unlink(&g, &a, "f"), 0);
	rig_wait(&g, 6000);
	f = (struct pr_frame){.type = PR_T_GETATTR, .session = a.session};
	q.ino = ino;
	cr_assert_eq(pr_getattr_encode(&buf, &q), 0);
	f.length = (uint32_t)buf.len;
	rig_send(&g, a.conn, &f, bytes);
	rig_run(&g);
	cr_assert_eq(status_of(a.conn, PR_T_GETATTR_R), 0, "open, so it is there");
	buf.len = 0;
	c.ino = ino;
	cr_assert_eq(pr_close_encode(&buf, &c), 0);
	f = (struct pr_frame){
		.type = PR_T_CLOSE, .session = a.session, .length = (uint32_t)buf.len};
	rig_send(&g, a.conn, &f, bytes);
	rig_wait(&g, 12000);
	cr_assert_eq(status_of(a.conn, PR_T_CLOSE_R), 0);
	pr_key_inode(&k, 1, ino);
	for (size_t i = 0; i < simstore_count(g.store); i++) {
		struct ctl_row row;

		simstore_row(g.store, i, &row);
		cr_assert(row.key.b[0] != PR_ROW_ORPHAN, "reaped");
	}
	rig_close(&g);
}

static uint32_t layout_get(struct rig_client *cl, uint64_t ino, uint8_t mode,
			   uint64_t *ret_generation)
{
	struct pr_frame f = {.type = PR_T_LAYOUT_GET, .session = cl->session};
	struct pr_layout_get q = {.ino = ino, .blocks = 4, .mode = mode};
	struct pr_layout_get_r r;
	uint8_t bytes[64];
	struct pr_buf buf = pr_buf_on(bytes, sizeof(bytes));
	struct rig_mail m;

	cr_assert_eq(pr_layout_get_encode(&buf, &q), 0);
	f.length = (uint32_t)buf.len;
	rig_send(&g, cl->conn, &f, bytes);
	rig_run(&g);
	if (!rig_has(&g, cl->conn, PR_T_LAYOUT_GET_R))
		return UINT32_MAX;
	m = rig_take(&g, cl->conn, PR_T_LAYOUT_GET_R);
	if (m.f.status == 0 && ret_generation) {
		cr_assert_eq(pr_layout_get_r_decode(&r, m.p, m.f.length), 0);
		*ret_generation = r.generation;
	}
	free(m.p);
	return m.f.status;
}

static void layout_return(struct rig_client *cl, uint64_t ino, uint64_t generation)
{
	struct pr_frame f = {.type = PR_T_LAYOUT_RETURN, .session = cl->session};
	struct pr_layout_return q = {.ino = ino, .generation = generation};
	uint8_t bytes[64];
	struct pr_buf buf = pr_buf_on(bytes, sizeof(bytes));

	cr_assert_eq(pr_layout_return_encode(&buf, &q), 0);
	f.length = (uint32_t)buf.len;
	rig_send(&g, cl->conn, &f, bytes);
	rig_run(&g);
}

Test(ctl, who_answers_but_returns_no_layout_is_fenced_after_the_recalls_time)
{
	uint64_t ino, alive;

	open_one();
	cr_assert_eq(rig_client_open(&g, &b, 2, 0), 0);
	cr_assert_eq(rig_create(&g, &a, "f", &ino), 0);
	cr_assert_eq(layout_get(&a, ino, PR_LAYOUT_WRITE, NULL), 0);
	alive = a.session;
	cr_assert_eq(layout_get(&b, ino, PR_LAYOUT_WRITE, NULL), UINT32_MAX);
	for (unsigned s = 0; s < CTL_RECALL_MS / 1000 - 1; s++) {
		rig_wait(&g, 1000);
		cr_assert_eq(rig_lookup(&g, &a, "f", NULL), 0, "it answers");
		cr_assert_eq(rig_lookup(&g, &b, "f", NULL), 0);
		cr_assert_eq(g.fence_asked, 0, "after %u s", s);
	}
	cr_assert_not(rig_has(&g, b.conn, PR_T_LAYOUT_GET_R));
	rig_wait(&g, 3000);
	cr_assert_eq(g.fence_asked, alive);
	cr_assert_eq(status_of(b.conn, PR_T_LAYOUT_GET_R), 0);
	cr_assert_eq(rig_lookup(&g, &a, "f", NULL), PR_E_BAD_SESSION);
	rig_close(&g);
}

Test(ctl, who_stood_still_itself_waits_for_the_returns_it_has_not_read)
{
	uint64_t ino;

	open_one();
	cr_assert_eq(rig_client_open(&g, &b, 2, 0), 0);
	cr_assert_eq(rig_create(&g, &a, "f", &ino), 0);
	cr_assert_eq(layout_get(&a, ino, PR_LAYOUT_WRITE, NULL), 0);
	cr_assert_eq(layout_get(&b, ino, PR_LAYOUT_WRITE, NULL), UINT32_MAX);
	g.now_ms += CTL_RECALL_MS + 5000;
	rig_wait(&g, 2000);
	cr_assert_eq(g.fence_asked, 0);
	rig_close(&g);
}

static uint32_t bind_anew(struct rig_client *cl)
{
	cl->conn = rig_connect(&g);
	cr_assert_eq(rig_hello(&g, cl->conn, &cl->uuid, "vol1"), 0);
	return rig_bind(&g, cl, NULL, 0);
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
	open_one();
	rig_hang_up(&g, a.conn);
	stand_still(900, 40);
	cr_assert_eq(g.fence_asked, 0);
	cr_assert_eq(bind_anew(&a), 0);
	rig_hang_up(&g, a.conn);
	rig_wait(&g, g.config.lease_ms + 1000);
	cr_assert_eq(bind_anew(&a), PR_E_BAD_SESSION, "silence while it serves counts");
	rig_close(&g);
}

Test(ctl, who_stands_still_after_its_promotion_waits_for_those_that_are_not_back)
{
	open_one();
	rig_crash(&g);
	rig_boot(&g);
	rig_serve(&g);
	stand_still(5000, 40);
	cr_assert_eq(g.fence_asked, 0);
	cr_assert_eq(bind_anew(&a), 0);
	rig_close(&g);
}

Test(ctl, a_session_opened_anew_after_a_promotion_keeps_nobody_waiting)
{
	uint64_t ino;

	open_one();
	cr_assert_eq(rig_client_open(&g, &b, 2, 0), 0);
	cr_assert_eq(rig_create(&g, &a, "f", &ino), 0);
	rig_crash(&g);
	rig_boot(&g);
	rig_serve(&g);
	cr_assert_eq(bind_anew(&a), 0);
	cr_assert_eq(layout_get(&a, ino, PR_LAYOUT_WRITE, NULL), UINT32_MAX, "b may hold it");
	cr_assert_eq(rig_client_open(&g, &b, 2, 0), 0, "it never heard that its session stands");
	rig_wait(&g, 300);
	cr_assert_eq(status_of(a.conn, PR_T_LAYOUT_GET_R), 0);
	rig_close(&g);
}

/* Asks for blocks of the file to write to; the answer is in the mail, or comes later. */
static void allocate(struct rig_client *cl, uint64_t ino, uint64_t block, uint64_t blocks)
{
	struct pr_frame f = {.type = PR_T_LAYOUT_GET, .session = cl->session};
	struct pr_layout_get q = {
		.ino = ino, .file_block = block, .blocks = blocks, .mode = PR_LAYOUT_WRITE};
	uint8_t bytes[64];
	struct pr_buf buf = pr_buf_on(bytes, sizeof(bytes));

	cr_assert_eq(pr_layout_get_encode(&buf, &q), 0);
	f.length = (uint32_t)buf.len;
	rig_send(&g, cl->conn, &f, bytes);
	rig_run(&g);
}

static void close_file(struct rig_client *cl, uint64_t ino)
{
	struct pr_frame f = {.type = PR_T_CLOSE, .session = cl->session};
	struct pr_close q = {.ino = ino, .opens = 1};
	uint8_t bytes[64];
	struct pr_buf buf = pr_buf_on(bytes, sizeof(bytes));

	cr_assert_eq(pr_close_encode(&buf, &q), 0);
	f.length = (uint32_t)buf.len;
	rig_send(&g, cl->conn, &f, bytes);
	rig_run(&g);
	cr_assert_eq(status_of(cl->conn, PR_T_CLOSE_R), 0);
}

/* a has taken every block for a file, and removed it; its layout stands. */
static uint64_t all_space_is_held(void)
{
	uint64_t large;

	open_one();
	cr_assert_eq(rig_client_open(&g, &b, 2, 0), 0);
	cr_assert_eq(rig_create(&g, &a, "large", &large), 0);
	for (uint64_t at = 0;; at += 256) {
		allocate(&a, large, at, 256);
		if (status_of(a.conn, PR_T_LAYOUT_GET_R))
			break;
	}
	cr_assert_eq(rig_unlink(&g, &a, "large"), 0);
	close_file(&a, large);
	return large;
}

Test(ctl, who_finds_no_space_waits_for_what_is_asked_back)
{
	uint64_t large = all_space_is_held(), small;
	struct pr_recall recall;
	struct rig_mail m;

	cr_assert_eq(rig_create(&g, &b, "small", &small), 0);
	allocate(&b, small, 0, 600);
	rig_wait(&g, 1000);
	cr_assert_not(rig_has(&g, b.conn, PR_T_LAYOUT_GET_R), "it waits");
	m = rig_take(&g, a.conn, PR_T_RECALL);
	cr_assert_eq(pr_recall_decode(&recall, m.p, m.f.length), 0);
	free(m.p);
	cr_assert_eq(recall.ino, large);
	layout_return(&a, large, recall.generation);
	rig_wait(&g, 1000);
	cr_assert_eq(status_of(b.conn, PR_T_LAYOUT_GET_R), 0);
	rig_close(&g);
}

Test(ctl, who_finds_no_space_does_not_wait_for_ever)
{
	uint64_t small;

	all_space_is_held();
	cr_assert_eq(rig_create(&g, &b, "small", &small), 0);
	allocate(&b, small, 0, 600);
	rig_wait(&g, CTL_SPACE_WAIT_MS - 500);
	cr_assert_not(rig_has(&g, b.conn, PR_T_LAYOUT_GET_R));
	rig_wait(&g, 1500);
	cr_assert_eq(status_of(b.conn, PR_T_LAYOUT_GET_R), ENOSPC);
	rig_close(&g);
}

static uint32_t set_xattr(struct rig_client *cl, uint64_t ino, uint32_t name_bytes,
			  uint32_t value_bytes)
{
	static uint8_t bytes[128 << 10], value[64 << 10];
	struct pr_frame f = {
		.type = PR_T_XATTR_SET, .session = cl->session, .sequence = ++cl->sequence[0]};
	struct pr_buf buf = pr_buf_on(bytes, sizeof(bytes));
	char name[256] = "user.";
	struct pr_xattr_set q = {.ino = ino, .value = pr_bytes_of(value, value_bytes)};

	memset(name + 5, 'x', sizeof(name) - 6);
	name[name_bytes] = 0;
	q.name = pr_bytes_str(name);
	cr_assert_eq(pr_xattr_set_encode(&buf, &q), 0);
	f.length = (uint32_t)buf.len;
	rig_send(&g, cl->conn, &f, bytes);
	rig_run(&g);
	return status_of(cl->conn, PR_T_XATTR_SET_R);
}

/* mdcd's batches hold 1 MiB, so that no legal request is too large; with smaller ones it would be an error, and no more. */
Test(ctl, a_record_larger_than_any_batch_changes_nothing)
{
	uint64_t ino;

	open_one();
	cr_assert_eq(rig_create(&g, &a, "f", &ino), 0);
	cr_assert_eq(set_xattr(&a, ino, 255, 65536), 0, "the largest there is");
	rig_crash(&g);
	g.config.batch_bytes_max = 32 << 10;
	rig_boot(&g);
	rig_serve(&g);
	a.conn = rig_connect(&g);
	cr_assert_eq(rig_hello(&g, a.conn, &a.uuid, "vol1"), 0);
	cr_assert_eq(rig_bind(&g, &a, NULL, 0), 0);
	uint64_t records = g.ctl->count_records;
	cr_assert_eq(set_xattr(&a, ino, 10, 65536), EMSGSIZE);
	cr_assert_eq(g.ctl->count_records, records);
	cr_assert_eq(set_xattr(&a, ino, 10, 100), 0);
	rig_close(&g);
}

Test(ctl, a_conflicting_layout_waits_for_the_recalled_one)
{
	uint64_t ino, generation;

	open_one();
	cr_assert_eq(rig_client_open(&g, &b, 2, 0), 0);
	cr_assert_eq(rig_create(&g, &a, "f", &ino), 0);
	cr_assert_eq(layout_get(&a, ino, PR_LAYOUT_WRITE, &generation), 0);
	cr_assert_eq(layout_get(&a, ino, PR_LAYOUT_READ, &generation), 0,
		     "its own is never in the way");
	cr_assert_eq(layout_get(&b, ino, PR_LAYOUT_READ, NULL), UINT32_MAX);
	cr_assert(rig_has(&g, a.conn, PR_T_RECALL));
	layout_return(&a, ino, generation);
	cr_assert_eq(status_of(b.conn, PR_T_LAYOUT_GET_R), 0);
	cr_assert_eq(layout_get(&a, ino, PR_LAYOUT_READ, NULL), 0, "readers share");
	rig_close(&g);
}

Test(ctl, a_dead_writer_is_fenced_before_its_layout_is_given_on)
{
	uint64_t ino, dead;

	open_one();
	cr_assert_eq(rig_client_open(&g, &b, 2, 0), 0);
	cr_assert_eq(rig_create(&g, &a, "f", &ino), 0);
	cr_assert_eq(layout_get(&a, ino, PR_LAYOUT_WRITE, NULL), 0);
	dead = a.session;
	g.hold_fence = true;
	rig_hang_up(&g, a.conn);
	cr_assert_eq(layout_get(&b, ino, PR_LAYOUT_WRITE, NULL), UINT32_MAX);
	rig_wait(&g, 12000);
	cr_assert_eq(g.fence_asked, dead);
	cr_assert_not(rig_has(&g, b.conn, PR_T_LAYOUT_GET_R), "not before it is proven silent");
	rig_step(&g, &(struct ctl_event){.type = CTL_EV_CLIENT_FENCED, .session = dead});
	rig_run(&g);
	cr_assert_eq(status_of(b.conn, PR_T_LAYOUT_GET_R), 0);
	rig_close(&g);
}

Test(ctl, after_a_promotion_layouts_wait_until_every_session_has_rebound)
{
	struct pr_held held;
	uint64_t ino, generation;

	open_one();
	cr_assert_eq(rig_client_open(&g, &b, 2, 0), 0);
	cr_assert_eq(rig_create(&g, &a, "f", &ino), 0);
	cr_assert_eq(layout_get(&a, ino, PR_LAYOUT_WRITE, &generation), 0);
	rig_crash(&g);
	rig_boot(&g);
	rig_serve(&g);
	b.conn = rig_connect(&g);
	cr_assert_eq(rig_hello(&g, b.conn, &b.uuid, "vol1"), 0);
	cr_assert_eq(rig_bind(&g, &b, NULL, 0), 0);
	cr_assert_eq(layout_get(&b, ino, PR_LAYOUT_READ, NULL), UINT32_MAX);
	a.conn = rig_connect(&g);
	cr_assert_eq(rig_hello(&g, a.conn, &a.uuid, "vol1"), 0);
	held = (struct pr_held){.ino = ino, .layout = PR_LAYOUT_WRITE, .generation = generation};
	cr_assert_eq(rig_bind(&g, &a, &held, 1), 0);
	cr_assert_not(rig_has(&g, b.conn, PR_T_LAYOUT_GET_R));
	cr_assert(rig_has(&g, a.conn, PR_T_RECALL), "what a told is recalled now");
	layout_return(&a, ino, generation);
	cr_assert_eq(status_of(b.conn, PR_T_LAYOUT_GET_R), 0);
	rig_close(&g);
}

/* a was lost with the old active, b is back. */
static void only_b_is_back(uint32_t flags_of_a, uint64_t *ret_ino)
{
	rig_start(&g);
	cr_assert_eq(rig_client_open(&g, &a, 1, flags_of_a), 0);
	cr_assert_eq(rig_client_open(&g, &b, 2, 0), 0);
	cr_assert_eq(rig_create(&g, &b, "old", ret_ino), 0);
	rig_crash(&g);
	rig_boot(&g);
	rig_serve(&g);
	b.conn = rig_connect(&g);
	cr_assert_eq(rig_hello(&g, b.conn, &b.uuid, "vol1"), 0);
	cr_assert_eq(rig_bind(&g, &b, NULL, 0), 0);
}

Test(ctl, after_a_promotion_only_what_the_lost_client_may_hold_waits_for_it)
{
	uint64_t old, fresh, generation;
	struct pr_held held;

	only_b_is_back(0, &old);
	cr_assert_eq(rig_create(&g, &b, "fresh", &fresh), 0);
	cr_assert_eq(layout_get(&b, fresh, PR_LAYOUT_WRITE, NULL), 0, "made by this active");
	cr_assert_eq(layout_get(&b, old, PR_LAYOUT_READ, NULL), UINT32_MAX);
	said(rig_admin(&g, "clients"), "\"state\":\"not back\",\"blocks_others\":true");
	rig_close(&g);

	only_b_is_back(PR_OPEN_READER, &old);
	cr_assert_eq(layout_get(&b, old, PR_LAYOUT_READ, NULL), 0,
		     "a reader is in no reader's way");
	cr_assert_eq(layout_get(&b, old, PR_LAYOUT_WRITE, NULL), UINT32_MAX);
	rig_close(&g);

	/* Back once, it may hold what is new; while it says anew what, that waits too. */
	only_b_is_back(0, &old);
	cr_assert_eq(rig_create(&g, &b, "fresh", &fresh), 0);
	a.conn = rig_connect(&g);
	cr_assert_eq(rig_hello(&g, a.conn, &a.uuid, "vol1"), 0);
	cr_assert_eq(rig_bind(&g, &a, NULL, 0), 0);
	cr_assert_eq(layout_get(&a, fresh, PR_LAYOUT_WRITE, &generation), 0);
	ctl_session_find(g.ctl, a.session)->rebound = false;
	g.ctl->unbound++;
	ctl_held_drop_all(g.ctl, ctl_session_find(g.ctl, a.session));
	cr_assert_eq(layout_get(&b, fresh, PR_LAYOUT_WRITE, NULL), UINT32_MAX);
	held = (struct pr_held){.ino = fresh, .layout = PR_LAYOUT_WRITE, .generation = generation};
	cr_assert_eq(rig_bind(&g, &a, &held, 1), 0);
	cr_assert_not(rig_has(&g, b.conn, PR_T_LAYOUT_GET_R));
	rig_close(&g);
}

Test(ctl, an_eviction_fences_before_it_lets_others_go_on)
{
	char evict[64];
	uint64_t old;

	only_b_is_back(0, &old);
	cr_assert_eq(layout_get(&b, old, PR_LAYOUT_WRITE, NULL), UINT32_MAX);
	g.hold_fence = true;
	snprintf(evict, sizeof(evict), "evict %llu", (unsigned long long)a.session);
	rig_admin(&g, evict);
	cr_assert_eq(g.admin_error, 0, "%s", g.admin);
	rig_wait(&g, 1000);
	cr_assert_eq(g.fence_asked, a.session);
	cr_assert_not(rig_has(&g, b.conn, PR_T_LAYOUT_GET_R), "not before it is proven silent");
	said(rig_admin(&g, "clients"), "being fenced");
	rig_step(&g, &(struct ctl_event){.type = CTL_EV_CLIENT_FENCED, .session = a.session});
	rig_run(&g);
	cr_assert_eq(status_of(b.conn, PR_T_LAYOUT_GET_R), 0);
	rig_admin(&g, evict);
	cr_assert_eq(g.admin_error, -ENOENT);
	said(g.admin, "there is no session");
	/* one that is alive */
	snprintf(evict, sizeof(evict), "evict %llu", (unsigned long long)b.session);
	rig_admin(&g, evict);
	cr_assert_eq(g.admin_error, -EBUSY);
	said(g.admin, "--force host");
	strcat(evict, " host");
	g.hold_fence = false;
	rig_admin(&g, evict);
	cr_assert_eq(g.admin_error, 0, "%s", g.admin);
	rig_wait(&g, 1000);
	cr_assert_eq(g.fence_asked, b.session, "it holds a layout");
	cr_assert(rig_has(&g, b.conn, PR_T_EVICTED));
	rig_close(&g);
}

Test(ctl, flushes_release_the_journal_and_a_restart_reads_the_store)
{
	char name[32];
	uint64_t ino;

	open_one();
	for (unsigned i = 0; i < 20000; i++) {
		snprintf(name, sizeof(name), "file-%u", i);
		rig_create_send(&g, &a, i % 64, name);
		if (i % 64 == 63 || i == 19999) {
			rig_run(&g);
			while (rig_has(&g, a.conn, PR_T_CREATE_R))
				cr_assert_eq(status_of(a.conn, PR_T_CREATE_R), 0);
		}
	}
	cr_assert_gt(g.flushes, 0);
	rig_crash(&g);
	rig_boot(&g);
	rig_serve(&g);
	a.conn = rig_connect(&g);
	cr_assert_eq(rig_hello(&g, a.conn, &a.uuid, "vol1"), 0);
	cr_assert_eq(rig_bind(&g, &a, NULL, 0), 0);
	cr_assert_eq(rig_lookup(&g, &a, "file-0", &ino), 0);
	cr_assert_eq(rig_lookup(&g, &a, "file-19999", &ino), 0);
	cr_assert_eq(rig_lookup(&g, &a, "file-20000", NULL), ENOENT);
	rig_close(&g);
}

Test(ctl, a_write_that_fails_during_recovery_ends_the_process)
{
	struct ctl_event boot = {.type = CTL_EV_BOOT};
	struct ha_state st;
	char why[256];

	open_one();
	cr_assert_eq(rig_create(&g, &a, "hello", NULL), 0);
	rig_crash(&g);
	cr_assert_eq(ha_state_decode(&st, g.state), 0);
	boot.state = &st;
	boot.store_lsn = simstore_lsn(g.store);
	simdisk_fail_write(g.disk, UINT32_MAX, 0, -EIO);
	g.ctl = ctl_new(&g.config, why);
	rig_step(&g, &boot);
	rig_run(&g);
	cr_assert(strstr(g.died, "failed while it was recovered"), "\"%s\"", g.died);
	g.died[0] = '\0';
	rig_crash(&g);
	rig_boot(&g);
	rig_serve(&g);
	rig_close(&g);
}

Test(ctl, a_crash_loop_does_not_fill_the_journal_with_epochs)
{
	open_one();
	for (int i = 0; i < 400; i++) {
		rig_crash(&g);
		rig_boot(&g);
		rig_serve(&g);
		cr_assert(g.ctl->serving, "not after %d crashes", i);
	}
	rig_close(&g);
}

Test(ctl, a_full_overlay_makes_requests_wait_and_none_is_lost)
{
	char name[32];
	unsigned got = 0;

	rig_start(&g);
	rig_crash(&g);
	g.config.overlay_bytes = 64 << 10;
	rig_boot(&g);
	rig_serve(&g);
	cr_assert_eq(rig_client_open(&g, &a, 1, 0), 0);
	g.hold_flush = true;
	for (unsigned i = 0; i < 512; i++) {
		snprintf(name, sizeof(name), "file-%u", i);
		rig_create_send(&g, &a, i % 64, name);
		if (i % 8 == 7)
			rig_run(&g);
		if (i % 64 == 63) {
			rig_wait(&g, 300);
			g.hold_flush = false;
			rig_wait(&g, 300);
			g.hold_flush = true;
		}
	}
	g.hold_flush = false;
	rig_wait(&g, 1000);
	while (rig_has(&g, a.conn, PR_T_CREATE_R)) {
		cr_assert_eq(status_of(a.conn, PR_T_CREATE_R), 0);
		got++;
	}
	cr_assert_eq(got, 512);
	rig_close(&g);
}

Test(ctl, what_a_standby_applies_is_bounded_while_its_store_is_slow)
{
	enum { FILES = 6400, OVERLAY = 256 << 10, BATCH = 64 << 10 };
	char name[32];
	size_t largest = 0;

	rig_start(&g);
	rig_crash(&g);
	g.config.flush_ms = 1000000;
	rig_boot(&g);
	rig_serve(&g);
	cr_assert_eq(rig_client_open(&g, &a, 1, 0), 0);
	for (unsigned i = 0; i < FILES; i++) {
		snprintf(name, sizeof(name), "file-%u", i);
		rig_create_send(&g, &a, i % 64, name);
		if (i % 64 < 63)
			continue;
		rig_run(&g);
		while (rig_has(&g, a.conn, PR_T_CREATE_R))
			cr_assert_eq(status_of(a.conn, PR_T_CREATE_R), 0);
	}
	cr_assert_gt(rowset_dirty_bytes(g.ctl->rows), 2 * (OVERLAY + BATCH),
		     "the journal holds more");
	rig_crash(&g);
	g.config.overlay_bytes = OVERLAY;
	g.hold_flush = true;
	rig_boot(&g); /* what is committed is applied, out of the journal as a standby does it */
	cr_assert_geq(rowset_dirty_bytes(g.ctl->rows), OVERLAY);
	for (unsigned i = 0; i < 20; i++) {
		rig_wait(&g, 100);
		if (rowset_dirty_bytes(g.ctl->rows) > largest)
			largest = rowset_dirty_bytes(g.ctl->rows);
	}
	cr_assert_leq(largest, OVERLAY + BATCH, "%zu", largest);
	g.hold_flush = false;
	rig_serve(&g);
	a.conn = rig_connect(&g);
	cr_assert_eq(rig_hello(&g, a.conn, &a.uuid, "vol1"), 0);
	cr_assert_eq(rig_bind(&g, &a, NULL, 0), 0);
	for (unsigned i = 0; i < FILES; i += 7) {
		snprintf(name, sizeof(name), "file-%u", i);
		cr_assert_eq(rig_lookup(&g, &a, name, NULL), 0, "%s", name);
	}
	rig_close(&g);
}

Test(ctl, times_do_not_go_back_with_the_clock)
{
	struct rig_mail m;
	struct pr_create_r r;
	int64_t before;

	open_one();
	rig_create_send(&g, &a, 0, "f");
	rig_run(&g);
	m = rig_take(&g, a.conn, PR_T_CREATE_R);
	cr_assert_eq(pr_create_r_decode(&r, m.p, m.f.length), 0);
	before = r.attr.mtime_ns;
	free(m.p);
	g.real_ns -= INT64_C(3000000000);
	rig_create_send(&g, &a, 0, "g");
	rig_run(&g);
	m = rig_take(&g, a.conn, PR_T_CREATE_R);
	cr_assert_eq(pr_create_r_decode(&r, m.p, m.f.length), 0);
	cr_assert_gt(r.attr.mtime_ns, before);
	free(m.p);
	rig_close(&g);
}

Test(ctl, administration_answers_json)
{
	static const char *const commands[] = {"status", "clients", "journal", "volumes",
					       "luns",	 "df",	    "counters"};

	open_one();
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		cr_assert_eq(rig_admin(&g, commands[i])[0], '{', "%s", commands[i]);
		cr_assert_eq(g.admin_error, 0);
	}
	rig_admin(&g, "nonsense");
	cr_assert_eq(g.admin_error, -EOPNOTSUPP);
	rig_admin(
		&g,
		"volume-create vol1 00000000-0000-4000-8000-0000000000ab lun2 00000000-0000-4000-8000-0000000000bc 4096 256 -");
	cr_assert_eq(g.admin_error, -EEXIST);
	rig_close(&g);
}

Test(ctl, garbage_is_an_error_not_a_crash)
{
	uint8_t junk[64];
	struct pr_frame f = {.length = sizeof(junk)};

	open_one();
	memset(junk, 0xee, sizeof(junk));
	f.session = a.session;
	for (unsigned type = 0; type < 0x600; type++) {
		if (type == PR_T_SESSION_CLOSE || type == PR_T_HELLO)
			continue;
		f.type = (uint16_t)type;
		f.sequence++;
		rig_send(&g, a.conn, &f, junk);
		if (type % 64 == 0) {
			rig_run(&g);
			while (rig_has(&g, a.conn, 0))
				status_of(a.conn, 0);
		}
	}
	rig_run(&g);
	cr_assert_eq(g.died[0], 0);
	while (rig_has(&g, a.conn, 0))
		status_of(a.conn, 0);
	a.sequence[0] = 100000;
	cr_assert_eq(rig_create(&g, &a, "f", NULL), 0);
	rig_close(&g);
}
