/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The controller core with one client or two: from its start to the limits of its journal, its cache and its clock. */
#include <criterion/criterion.h>
#include <stdio.h>
#include "tests/unit/ctl_rig.h"

static struct rig g;
static struct rig_client a;

Test(ctl, boots_promotes_creates_and_looks_up)
{
	uint64_t made, found;

	rig_start_one(&g, &a);
	cr_assert_eq(rig_create(&g, &a, "hello", &made), 0);
	cr_assert_eq(rig_lookup(&g, &a, "hello", &found), 0);
	cr_assert_eq(made, found);
	cr_assert_eq(rig_lookup(&g, &a, "nobody", NULL), ENOENT);
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

	rig_start_one(&g, &a);
	cr_assert_eq(rig_create(&g, &a, "f", &ino), 0);
	cr_assert_eq(rig_unlink(&g, &a, "f"), 0);
	rig_wait(&g, 6000);
	f = (struct pr_frame){.type = PR_T_GETATTR, .session = a.session};
	q.ino = ino;
	cr_assert_eq(pr_getattr_encode(&buf, &q), 0);
	f.length = (uint32_t)buf.len;
	rig_send(&g, a.conn, &f, bytes);
	rig_run(&g);
	cr_assert_eq(rig_status(&g, a.conn, PR_T_GETATTR_R), 0, "open, so it is there");
	buf.len = 0;
	c.ino = ino;
	cr_assert_eq(pr_close_encode(&buf, &c), 0);
	f = (struct pr_frame){
		.type = PR_T_CLOSE, .session = a.session, .length = (uint32_t)buf.len};
	rig_send(&g, a.conn, &f, bytes);
	rig_wait(&g, 12000);
	cr_assert_eq(rig_status(&g, a.conn, PR_T_CLOSE_R), 0);
	pr_key_inode(&k, 1, ino);
	for (size_t i = 0; i < simstore_count(g.store); i++) {
		struct ctl_row row;

		simstore_row(g.store, i, &row);
		cr_assert(row.key.b[0] != PR_ROW_ORPHAN, "reaped");
	}
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
	return rig_status(&g, cl->conn, PR_T_XATTR_SET_R);
}

/* mdcd's batches hold 1 MiB, so that no legal request is too large; with smaller ones it would be an error, and no more. */
Test(ctl, a_record_larger_than_any_batch_changes_nothing)
{
	uint64_t ino;

	rig_start_one(&g, &a);
	cr_assert_eq(rig_create(&g, &a, "f", &ino), 0);
	cr_assert_eq(set_xattr(&a, ino, 255, 65536), 0, "the largest there is");
	rig_crash(&g);
	g.config.batch_bytes_max = 32 << 10;
	rig_boot(&g);
	rig_serve(&g);
	cr_assert_eq(rig_bind_anew(&g, &a, NULL, 0), 0);
	uint64_t records = g.ctl->count_records;
	cr_assert_eq(set_xattr(&a, ino, 10, 65536), EMSGSIZE);
	cr_assert_eq(g.ctl->count_records, records);
	cr_assert_eq(set_xattr(&a, ino, 10, 100), 0);
	rig_close(&g);
}

Test(ctl, flushes_release_the_journal_and_a_restart_reads_the_store)
{
	char name[32];
	uint64_t ino;

	rig_start_one(&g, &a);
	for (unsigned i = 0; i < 20000; i++) {
		snprintf(name, sizeof(name), "file-%u", i);
		rig_create_send(&g, &a, i % 64, name);
		if (i % 64 == 63 || i == 19999) {
			rig_run(&g);
			while (rig_has(&g, a.conn, PR_T_CREATE_R))
				cr_assert_eq(rig_status(&g, a.conn, PR_T_CREATE_R), 0);
		}
	}
	cr_assert_gt(g.flushes, 0);
	rig_restart(&g);
	cr_assert_eq(rig_bind_anew(&g, &a, NULL, 0), 0);
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

	rig_start_one(&g, &a);
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
	rig_restart(&g);
	rig_close(&g);
}

Test(ctl, a_crash_loop_does_not_fill_the_journal_with_epochs)
{
	rig_start_one(&g, &a);
	for (int i = 0; i < 400; i++) {
		rig_restart(&g);
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
		cr_assert_eq(rig_status(&g, a.conn, PR_T_CREATE_R), 0);
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
			cr_assert_eq(rig_status(&g, a.conn, PR_T_CREATE_R), 0);
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
	cr_assert_eq(rig_bind_anew(&g, &a, NULL, 0), 0);
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

	rig_start_one(&g, &a);
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

	rig_start_one(&g, &a);
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

	rig_start_one(&g, &a);
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
				rig_status(&g, a.conn, 0);
		}
	}
	rig_run(&g);
	cr_assert_eq(g.died[0], 0);
	while (rig_has(&g, a.conn, 0))
		rig_status(&g, a.conn, 0);
	a.sequence[0] = 100000;
	cr_assert_eq(rig_create(&g, &a, "f", NULL), 0);
	rig_close(&g);
}
