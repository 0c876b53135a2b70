/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sessions and LUNs that the store has and this release would not have made, and rows that it lacks. */
#include <criterion/criterion.h>
#include "tests/unit/ctl_rig.h"

static struct rig g;
static struct rig_client a, b;

/* All is in the store; the process is gone. */
static void stored(void)
{
	rig_wait(&g, 2ull * g.config.flush_ms);
	rig_crash(&g);
}

static void back(void)
{
	rig_boot(&g);
	rig_serve(&g);
}

static struct pr_row_session session_row(uint64_t id)
{
	struct pr_row_session row;
	const struct ctl_row *r;
	struct pr_key k;

	pr_key_session(&k, id);
	r = simstore_find(g.store, &k);
	cr_assert(r && pr_row_session_decode(&row, r->value, r->bytes) == 0);
	return row;
}

static void session_put(uint64_t id, const struct pr_row_session *row)
{
	uint8_t bytes[1024];
	struct pr_buf v = pr_buf_on(bytes, sizeof(bytes));
	struct pr_key k;

	pr_key_session(&k, id);
	cr_assert_eq(pr_row_session_put(&v, row), 0);
	simstore_put(g.store, &k, bytes, (uint32_t)v.len);
}

static void meta_put(uint64_t next_session)
{
	struct pr_row_meta row;
	const struct ctl_row *r;
	uint8_t bytes[128];
	struct pr_buf v = pr_buf_on(bytes, sizeof(bytes));
	struct pr_key k;

	pr_key_meta(&k);
	r = simstore_find(g.store, &k);
	cr_assert(r && pr_row_meta_decode(&row, r->value, r->bytes) == 0);
	row.next_session = next_session;
	cr_assert_eq(pr_row_meta_put(&v, &row), 0);
	simstore_put(g.store, &k, bytes, (uint32_t)v.len);
}

Test(ctl_rows, sessions_whose_numbers_fall_into_one_bucket_are_kept_apart)
{
	rig_start_one(&g, &a);
	stored();
	meta_put(a.session + CTL_SESSION_BUCKETS);
	back();
	cr_assert_eq(rig_client_open(&g, &b, 2, 0), 0);
	cr_assert_eq(b.session, a.session + CTL_SESSION_BUCKETS);
	cr_assert_eq(rig_bind_anew(&g, &a, NULL, 0), 0);
	cr_assert_eq(rig_create(&g, &a, "of a", NULL), 0);
	cr_assert_eq(rig_create(&g, &b, "of b", NULL), 0);
	/* the older one, behind the other in its bucket, ends */
	rig_hang_up(&g, a.conn);
	for (unsigned i = 0; i < 12; i++) {
		rig_wait(&g, 1000);
		cr_assert_eq(rig_lookup(&g, &b, "of a", NULL), 0);
	}
	cr_assert_null(ctl_session_find(g.ctl, a.session));
	cr_assert_not_null(ctl_session_find(g.ctl, b.session));
	rig_close(&g);
}

Test(ctl_rows, a_session_without_slots_may_read)
{
	struct pr_row_session row;

	rig_start_one(&g, &a);
	stored();
	row = session_row(a.session);
	row.slots = 0;
	session_put(a.session, &row);
	back();
	cr_assert_eq(rig_bind_anew(&g, &a, NULL, 0), 0);
	cr_assert_eq(rig_create(&g, &a, "f", NULL), EINVAL);
	cr_assert_eq(rig_lookup(&g, &a, "f", NULL), ENOENT);
	rig_close(&g);
}

/* Its record is in the journal, and the store has lost the row: applying it changes nothing else. */
Test(ctl_rows, the_end_of_a_session_that_the_store_has_lost_is_no_end_of_another)
{
	struct pr_frame f = {.type = PR_T_SESSION_CLOSE};
	struct pr_key k;

	rig_start_one(&g, &a);
	cr_assert_eq(rig_client_open(&g, &b, 2, 0), 0);
	stored();
	g.config.flush_ms = 1000000;
	back();
	cr_assert_eq(rig_bind_anew(&g, &b, NULL, 0), 0);
	f.session = b.session;
	rig_send(&g, b.conn, &f, "");
	rig_run(&g);
	cr_assert_eq(rig_status(&g, b.conn, PR_T_SESSION_CLOSE_R), 0);
	rig_crash(&g);
	pr_key_session(&k, b.session);
	cr_assert_not_null(simstore_find(g.store, &k));
	simstore_put(g.store, &k, NULL, 0);
	back();
	cr_assert_null(ctl_session_find(g.ctl, b.session));
	cr_assert_eq(rig_bind_anew(&g, &a, NULL, 0), 0);
	rig_close(&g);
}

Test(ctl_rows, without_a_meta_row_sessions_are_counted_from_one)
{
	struct pr_key k;

	rig_start(&g);
	stored();
	pr_key_meta(&k);
	simstore_put(g.store, &k, NULL, 0);
	back();
	cr_assert_eq(rig_client_open(&g, &a, 1, 0), 0);
	cr_assert_eq(a.session, 1u);
	cr_assert_eq(rig_client_open(&g, &b, 2, 0), 0);
	cr_assert_eq(b.session, 2u);
	rig_close(&g);
}

/* ---- LUNs ---- */

static void lun_put(uint16_t lun)
{
	struct pr_row_vlun row = {.name = pr_bytes_str("more"), .blocks = 512, .data_block = 256};
	uint8_t bytes[512];
	struct pr_buf v = pr_buf_on(bytes, sizeof(bytes));
	struct pr_key k;

	pr_key_vlun(&k, 1, lun); /* the first volume */
	cr_assert_eq(pr_row_vlun_put(&v, &row), 0);
	simstore_put(g.store, &k, bytes, (uint32_t)v.len);
}

static uint32_t open_session(struct pr_session_open_r *ret)
{
	struct pr_session_open q = {
		.client = {{4}}, .slots = 4, .host = pr_bytes_str("h"), .what = pr_bytes_str("w")};
	uint64_t conn = rig_connect(&g);
	struct rig_mail m;

	cr_assert_eq(rig_hello(&g, conn, &q.client, "vol1"), 0);
	RIG_SAY(&g, conn, PR_T_SESSION_OPEN, 0, 0, session_open, &q);
	m = rig_take(&g, conn, PR_T_SESSION_OPEN_R);
	if (m.f.status == 0)
		cr_assert_eq(pr_session_open_r_decode(ret, m.p, m.f.length), 0);
	free(m.p);
	return m.f.status;
}

Test(ctl_rows, the_last_lun_there_can_be_ends_the_list)
{
	struct pr_session_open_r r;

	rig_start(&g);
	stored();
	lun_put(UINT16_MAX);
	back();
	cr_assert_eq(open_session(&r), 0);
	cr_assert_eq(r.luns.count, 2u);
	rig_close(&g);
}

Test(ctl_rows, more_luns_than_an_answer_holds_are_an_error_and_open_nothing)
{
	struct pr_session_open_r r;
	uint64_t records;

	rig_start(&g);
	stored();
	for (unsigned i = 0; i < NS_LUNS_MAX; i++)
		lun_put((uint16_t)(1000 + i));
	back();
	records = g.ctl->count_records;
	cr_assert_eq(open_session(&r), EMSGSIZE);
	cr_assert_eq(g.ctl->session_count, 0u);
	cr_assert_eq(g.ctl->count_records, records);
	rig_close(&g);
}

/* ---- what is read at the start ---- */

/* As when a full copy comes in twice, the link having broken in between. */
Test(ctl_rows, rows_that_are_read_once_more_begin_nothing_anew)
{
	rig_start_one(&g, &a);
	stored();
	rig_boot(&g);
	ctl_load(g.ctl);
	rig_run(&g);
	cr_assert_eq(g.died[0], 0);
	rig_serve(&g);
	cr_assert_eq(g.ctl->session_count, 1u);
	cr_assert_eq(rig_bind_anew(&g, &a, NULL, 0), 0);
	cr_assert_eq(rig_create(&g, &a, "f", NULL), 0);
	rig_close(&g);
}
