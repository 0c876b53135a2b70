/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An arbiter record is made anew only where none is left, by who has the right to write it. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "controller/io/arbiter_tool.h"
#include "controller/io/lun_tool.h"
#include "lun/lun.h"

static struct pair_place place;
static struct pr_uuid cluster;
static char dir[] = "/tmp/mdc-arbiter.XXXXXX", why[512];
static bool raced;

/* ---- another controller, which has it until now and writes one ---- */

int __real_lun_arbiter_lock(struct lun *, char *who, size_t size);
int __wrap_lun_arbiter_lock(struct lun *, char *who, size_t size);

int __wrap_lun_arbiter_lock(struct lun *lun, char *who, size_t size)
{
	struct ha_arbiter record = {.seq = 7, .epoch = 9, .members = 1, .active = 1};

	memcpy(record.cluster, cluster.b, sizeof(record.cluster));
	if (raced)
		cr_assert_eq(lun_tool_write_record(lun, &record, why, sizeof(why)), 0, "%s", why);
	return __real_lun_arbiter_lock(lun, who, size);
}

/* ---- a LUN whose record is gone ---- */

static void wipe(const char *lun)
{
	static const uint8_t nothing[2 * LUN_BLOCK_BYTES];
	FILE *f = fopen(lun, "r+e");

	cr_assert(f && fseek(f, LUN_ARBITER_BLOCK * LUN_BLOCK_BYTES, SEEK_SET) == 0);
	cr_assert_eq(fwrite(nothing, sizeof(nothing), 1, f), 1);
	cr_assert_eq(fclose(f), 0);
}

static void make(void)
{
	char lun[64];
	FILE *f;

	cr_assert_not_null(mkdtemp(dir));
	snprintf(lun, sizeof(lun), "%s/lun", dir);
	snprintf(place.dir[0], sizeof(place.dir[0]), "%s/node", dir);
	snprintf(place.conf, sizeof(place.conf), "%s/node/mdcd.conf", dir);
	cr_assert_eq(mkdir(place.dir[0], 0700), 0);
	f = fopen(place.conf, "we");
	cr_assert_not_null(f);
	fprintf(f,
		"[cluster]\nuuid = 11111111-2222-4333-8444-555555555555\n[node]\nid = 1\ndir = .\n"
		"[access]\naddress1 = 10.0.0.1\naddress2 = 10.0.0.2\n"
		"[heartbeat]\naddress1 = 10.1.0.1\naddress2 = 10.1.0.2\n[lun]\npath1 = ../lun\n");
	fclose(f);
	cr_assert_eq(pr_uuid_parse("11111111-2222-4333-8444-555555555555", &cluster), 0);
	f = fopen(lun, "we");
	cr_assert(f && ftruncate(fileno(f), 64 << 20) == 0);
	fclose(f);
	cr_assert_eq(lun_tool_label(lun, "lun0", &cluster, NULL, why, sizeof(why)), 0, "%s", why);
	wipe(lun);
}

static void unmake(void)
{
	char command[64];

	snprintf(command, sizeof(command), "rm -rf %s", dir);
	cr_assert_eq(system(command), 0);
}

TestSuite(arbiter_tool, .init = make, .fini = unmake);

/* What it goes on to is who holds everything: here nobody does. */
Test(arbiter_tool, looks_for_who_holds_everything_where_none_is_left)
{
	struct arbiter_tool t = {0};

	cr_assert_eq(arbiter_tool_begin(&t, &place, why, sizeof(why)), -EPERM, "%s", why);
	arbiter_tool_end(&t);
}

Test(arbiter_tool, refuses_where_one_was_written_before_it_had_the_right)
{
	struct arbiter_tool t = {0};

	raced = true;
	cr_assert_eq(arbiter_tool_begin(&t, &place, why, sizeof(why)), -EEXIST, "%s", why);
	cr_assert(strstr(why, "of epoch 9: there is nothing to renew"), "%s", why);
	arbiter_tool_end(&t);
}
