/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "controller/io/conf.h"
#include "controller/io/pair_dir.h"

static const char sound[] = "[cluster]\n"
			    "uuid = 11111111-2222-4333-8444-555555555555\n"
			    "[node]\n"
			    "id = 2\n"
			    "dir = .\n"
			    "[access]\n"
			    "address1 = 10.0.0.1\n"
			    "address2 = 10.0.0.2\n"
			    "[heartbeat]\n"
			    "address1 = fd00::1\n"
			    "address2 = fd00::2\n"
			    "[lun]\n"
			    "path1 = ../lun0\n"
			    "path2 = /dev/sdx\n";

static char dir[] = "/tmp/mdc-conf.XXXXXX";
static struct conf conf;
static char why[512];

static void make_dir(void)
{
	cr_assert_not_null(mkdtemp(dir));
}

static void remove_dir(void)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/mdcd.conf", dir);
	unlink(path);
	rmdir(dir);
}

/* The sound configuration, then what is given. */
static int read_with(const char *more)
{
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "%s/mdcd.conf", dir);
	f = fopen(path, "w");
	cr_assert_not_null(f);
	fputs(sound, f);
	fputs(more, f);
	fclose(f);
	return conf_read(path, &conf, why);
}

static void refused(const char *more, const char *text)
{
	cr_assert_eq(read_with(more), -EINVAL, "accepted: %s", more);
	cr_assert_not_null(strstr(why, text), "\"%s\" does not say \"%s\"", why, text);
}

TestSuite(conf, .init = make_dir, .fini = remove_dir);

Test(conf, what_is_not_given_has_its_preset)
{
	cr_assert_eq(read_with(""), 0, "%s", why);
	cr_assert_eq(conf.node, 2u);
	cr_assert_eq(conf.access_port, 60598u);
	cr_assert_eq(conf.coord_port, 60766u);
	cr_assert_eq(conf.heartbeat_port, 60599u);
	cr_assert_eq(conf.supervisor_fd, -1);
	cr_assert_str_eq(conf_own_access(&conf), "10.0.0.2");
	cr_assert_not(conf.freeze_on_peer_loss);
}

Test(conf, paths_are_relative_to_the_file)
{
	cr_assert_eq(read_with(""), 0, "%s", why);
	cr_assert_str_eq(conf.dir, dir);
	cr_assert_str_eq(conf.lun[0], "/tmp/lun0");
	cr_assert_str_eq(conf.lun[1], "/dev/sdx");
	cr_assert_eq(conf.luns, 2u);
}

Test(conf, dots_take_parts_of_the_path_away)
{
	static const struct {
		const char *path, *want;
	} rows[] = {
		{".", "/a/b"},
		{"./x", "/a/b/x"},
		{"..", "/a"},
		{"../x", "/a/x"},
		{"../../x", "/x"},
		{"../../..", "/"},
		{"../.././x", "/x"},
		{".x", "/a/b/.x"},
		{"..x", "/a/b/..x"},
		{"/x", "/x"},
		{"iscsi://h/t/1", "iscsi://h/t/1"},
	};
	char out[PATH_MAX];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cr_assert_eq(conf_join(out, "/a/b", rows[i].path), 0);
		cr_assert_str_eq(out, rows[i].want);
	}
}

Test(conf, an_unknown_key_is_named_with_what_is_allowed)
{
	refused("[tuning]\nflushms = 3\n",
		":16: tuning.flushms: unknown key; allowed are cache_mib,");
	refused("[tunig]\nflush_ms = 3\n", "unknown section");
	refused("[lun]\npath0 = /x\n", "lun.path0: unknown key");
	refused("[lun]\npath65 = /x\n", "lun.path65: unknown key");
}

Test(conf, a_key_given_twice_is_refused_with_both_lines)
{
	refused("[node]\nid = 2\n", ":16: node.id: given twice, first in line 4");
	refused("[lun]\npath1 = /x\n", "given twice, first in line 13");
}

Test(conf, values_out_of_range_say_the_range)
{
	refused("[tuning]\nflush_ms = 1\n", "tuning.flush_ms = 1: a whole number of 100 to 600000");
	refused("[tuning]\nflush_ms = -100\n", "a whole number");
	refused("[tuning]\nflush_ms = 1000x\n", "a whole number");
	refused("[tuning]\nflush_ms = 99999999999999999999\n", "a whole number");
	refused("[tuning]\non_peer_loss = wait\n", "serve or freeze are allowed");
	refused("[log]\nlevel = loud\n", "error, warning,");
}

Test(conf, what_contradicts_itself_is_refused)
{
	refused("[tuning]\nbeat_ms = 1000\n", "must be at least three times");
	refused("[access]\naccess_port = 60766\n", "are both 60766");
	refused("[lun]\npath4 = /x\n", "lun.path3 is missing, but lun.path4 is there");
	refused("[lun]\npath3 = /tmp/lun0\n", "lun.path1 and lun.path3 are both /tmp/lun0");
}

Test(conf, addresses_of_one_network_are_of_one_family)
{
	char text[sizeof(sound)];
	FILE *f;

	strcpy(text, sound);
	memcpy(strstr(text, "fd00::2"), "1.2.3.4", 7);
	f = fmemopen(text, strlen(text), "r");
	cr_assert_not_null(f);
	cr_assert_eq(conf_parse(f, "mdcd.conf", "/etc/mdcd.conf", &conf, why), -EINVAL);
	cr_assert_str_eq(
		why,
		"mdcd.conf: heartbeat.address1 = fd00::1 and heartbeat.address2 = 1.2.3.4: one is IPv4, the other IPv6");
	fclose(f);
}

Test(conf, no_line_is_cut_silently)
{
	char text[400];

	memset(text, 'x', sizeof(text));
	memcpy(text, "[log]\nto = ", 11);
	strcpy(text + sizeof(text) - 2, "\n");
	refused(text, ":16: the line is longer than");
}

Test(conf, a_zero_byte_cuts_no_line_silently)
{
	char text[sizeof(sound) + 32];
	FILE *f;
	int n = snprintf(text, sizeof(text), "%s[log]\nlevel = info?x\n", sound);

	*strchr(text, '?') = '\0';
	f = fmemopen(text, (size_t)n, "r");
	cr_assert_not_null(f);
	cr_assert_eq(conf_parse(f, "mdcd.conf", "/etc/mdcd.conf", &conf, why), -EINVAL);
	cr_assert_str_eq(why, "mdcd.conf:16: the line contains a zero byte");
	fclose(f);
}

Test(conf, a_missing_file_is_named)
{
	cr_assert_eq(conf_read("/nowhere/mdcd.conf", &conf, why), -ENOENT);
	cr_assert_not_null(strstr(why, "/nowhere/mdcd.conf"));
}

Test(conf, sizes_have_units)
{
	uint64_t bytes;

	cr_assert_eq(pair_parse_bytes("4G", &bytes), 0);
	cr_assert_eq(bytes, UINT64_C(4) << 30);
	cr_assert_eq(pair_parse_bytes("512M", &bytes), 0);
	cr_assert_eq(bytes, UINT64_C(512) << 20);
	cr_assert_eq(pair_parse_bytes("17", &bytes), 0);
	cr_assert_eq(bytes, UINT64_C(17));
	cr_assert_eq(pair_parse_bytes("4X", &bytes), -EINVAL);
	cr_assert_eq(pair_parse_bytes("4GB", &bytes), -EINVAL);
	cr_assert_eq(pair_parse_bytes("-4G", &bytes), -EINVAL);
	cr_assert_eq(pair_parse_bytes("", &bytes), -EINVAL);
	cr_assert_eq(pair_parse_bytes("99999999999T", &bytes), -EINVAL);
}
