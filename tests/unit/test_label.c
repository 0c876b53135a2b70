/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lun/lun.h"
#include "proto/assert_stderr.h"

static char path[64], why[512];

static void make_file(uint64_t bytes)
{
	int fd;

	snprintf(path, sizeof(path), "./test_label-XXXXXX");
	fd = mkstemp(path);
	cr_assert_geq(fd, 0);
	cr_assert_eq(ftruncate(fd, (off_t)bytes), 0);
	close(fd);
}

static struct lun *open_ok(void)
{
	struct lun *l;

	cr_assert_eq(lun_open(path, 0, &l, why, sizeof(why)), 0, "%s", why);
	return l;
}

static struct lun_label some_label(void)
{
	return (struct lun_label){
		.cluster = {{1, 2, 3}},
		.lun = {{4, 5, 6}},
		.flags = LUN_FLAG_ARBITER,
		.name = "lun1",
	};
}

static void put_bytes(uint64_t at, const void *p, size_t n)
{
	int fd = open(path, O_WRONLY);

	cr_assert_eq(pwrite(fd, p, n, (off_t)at), (ssize_t)n);
	close(fd);
}

Test(label, comes_back_as_it_was_written)
{
	uint8_t block[LUN_BLOCK_BYTES];
	struct lun_label l = some_label(), m;

	l.volume = (struct pr_uuid){{9}};
	l.blocks = 5000;
	l.data_block = 256;
	l.number = 3;
	l.labelled_ns = 12345;
	memset(l.name, 'x', LUN_NAME_MAX);
	lun_label_encode(block, &l);
	cr_assert_eq(lun_label_decode(&m, block, NULL), 0);
	cr_assert_eq(memcmp(&l, &m, sizeof(l)), 0);
}

Test(label, any_flipped_bit_is_found)
{
	uint8_t block[LUN_BLOCK_BYTES];
	struct lun_label l = some_label(), m;
	const char *text;

	l.blocks = 5000;
	l.data_block = 256;
	lun_label_encode(block, &l);
	for (unsigned i = 0; i < sizeof(block); i++) {
		block[i] ^= (uint8_t)(1u << i % 8);
		text = NULL;
		cr_assert_lt(lun_label_decode(&m, block, &text), 0, "byte %u", i);
		cr_assert_not_null(text);
		block[i] ^= (uint8_t)(1u << i % 8);
	}
}

Test(label, names_are_letters_digits_and_few_others)
{
	cr_assert(lun_name_ok("lun1"));
	cr_assert(lun_name_ok("A.b_c-9"));
	cr_assert_not(lun_name_ok(""));
	cr_assert_not(lun_name_ok("-f"));
	cr_assert_not(lun_name_ok(".."));
	cr_assert_not(lun_name_ok("a b"));
	cr_assert_not(lun_name_ok("a/b"));
}

Test(lun, a_blank_file_takes_a_label)
{
	struct lun_label l = some_label(), m;
	struct lun *lun;

	make_file(8 << 20);
	lun = open_ok();
	cr_assert_eq(lun_kind(lun), LUN_FILE);
	cr_assert_eq(lun_blocks(lun), 2048u);
	cr_assert_eq(lun_label_read(lun, &m, why, sizeof(why)), -ENODATA);
	cr_assert_eq(lun_label_write(lun, &l, NULL, why, sizeof(why)), 0, "%s", why);
	cr_assert_eq(lun_label_read(lun, &m, why, sizeof(why)), 0);
	cr_assert_eq(memcmp(&l, &m, sizeof(l)), 0);
	cr_assert_eq(m.blocks, 2048u);
	cr_assert_eq(m.data_block, 256u);
	lun_close(lun);
	unlink(path);
}

Test(lun, a_labelled_one_is_overwritten_only_by_name)
{
	struct lun_label l = some_label(), m = some_label();
	char uuid[PR_UUID_TEXT];
	struct lun *lun;

	make_file(8 << 20);
	lun = open_ok();
	cr_assert_eq(lun_label_write(lun, &l, NULL, why, sizeof(why)), 0);
	snprintf(m.name, sizeof(m.name), "other");
	m.lun = (struct pr_uuid){{77}};
	cr_assert_eq(lun_label_write(lun, &m, NULL, why, sizeof(why)), -EEXIST);
	cr_assert(strstr(why, "\"lun1\""));
	cr_assert_eq(lun_label_write(lun, &m, "other", why, sizeof(why)), -EEXIST);
	cr_assert_eq(lun_label_write(lun, &m, path, why, sizeof(why)), -EEXIST);
	cr_assert_eq(lun_label_write(lun, &m, "lun1", why, sizeof(why)), 0);
	cr_assert_eq(lun_label_write(lun, &l, pr_uuid_format(uuid, &m.lun), why, sizeof(why)), 0);
	l.volume = (struct pr_uuid){{5}};
	cr_assert_eq(lun_label_update(lun, &l, why, sizeof(why)), 0);
	cr_assert_eq(lun_label_read(lun, &m, why, sizeof(why)), 0);
	cr_assert_eq(m.volume.b[0], 5);
	m.lun.b[0]++;
	cr_assert_eq(lun_label_update(lun, &m, why, sizeof(why)), -ESTALE);
	lun_close(lun);
	unlink(path);
}

Test(lun, what_holds_something_else_is_overwritten_only_by_path)
{
	static const struct {
		uint64_t at;
		const char *bytes;
		size_t n;
		const char *what;
	} kinds[] = {
		{0x438, "\x53\xef", 2, "ext"},	      {0, "XFSB", 4, "XFS"},
		{0x10040, "_BHRfS_M", 8, "btrfs"},    {0x200, "LABELONE", 8, "LVM"},
		{0x1fe, "\x55\xaa", 2, "partition"},  {0x200, "EFI PART", 8, "GPT"},
		{0, "LUKS\xba\xbe", 6, "LUKS"},	      {0xff6, "SWAPSPACE2", 10, "swap"},
		{8, "mdcpair\0", 8, "mdcpair label"},
	};

	for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct lun_label l = some_label();
		struct lun *lun;

		make_file(8 << 20);
		put_bytes(kinds[i].at, kinds[i].bytes, kinds[i].n);
		lun = open_ok();
		cr_assert_eq(lun_label_write(lun, &l, NULL, why, sizeof(why)), -ENOTEMPTY, "%s",
			     kinds[i].what);
		cr_assert(strstr(why, kinds[i].what), "%s", why);
		cr_assert_eq(lun_label_write(lun, &l, "lun1", why, sizeof(why)), -ENOTEMPTY);
		cr_assert_eq(lun_label_write(lun, &l, path, why, sizeof(why)), 0, "%s", why);
		lun_close(lun);
		unlink(path);
	}
}

Test(lun, what_is_no_lun_is_refused_clearly)
{
	struct lun_label l = some_label();
	struct lun *lun;

	cr_assert_eq(lun_open("/dev/null", 0, &lun, why, sizeof(why)), -ENOTBLK);
	cr_assert_eq(lun_open(".", 0, &lun, why, sizeof(why)), -ENOTBLK);
	cr_assert_eq(lun_open("/nowhere/at/all", 0, &lun, why, sizeof(why)), -ENOENT);
	cr_assert(strstr(why, "/nowhere/at/all"));
	cr_assert_eq(lun_open("rbd://host/image", 0, &lun, why, sizeof(why)), -EPROTONOSUPPORT);
	cr_assert(strstr(why, "rbd://host/image: of URLs only iscsi://"), "%s", why);
	cr_assert_lt(lun_open("iscsi://127.0.0.1:1/target/1", 0, &lun, why, sizeof(why)), 0);
	cr_assert(strstr(why, "iscsi://127.0.0.1:1/target/1: "), "%s", why);
	make_file(1 << 20);
	lun = open_ok();
	cr_assert_eq(lun_label_write(lun, &l, NULL, why, sizeof(why)), -ENOSPC);
	lun_close(lun);
	unlink(path);
}

Test(lun, one_cut_short_is_noticed)
{
	struct lun_label l = some_label(), m;
	struct lun *lun;

	make_file(8 << 20);
	lun = open_ok();
	cr_assert_eq(lun_label_write(lun, &l, NULL, why, sizeof(why)), 0);
	cr_assert_eq(truncate(path, 6 << 20), 0);
	cr_assert_eq(lun_label_read(lun, &m, why, sizeof(why)), -ENOSPC);
	lun_close(lun);
	unlink(path);
}

Test(lun, raw_blocks_come_back)
{
	uint8_t in[LUN_BLOCK_BYTES], out[LUN_BLOCK_BYTES];
	struct lun *lun;

	make_file(8 << 20);
	lun = open_ok();
	memset(in, 0x5a, sizeof(in));
	cr_assert_eq(lun_block_write(lun, LUN_ARBITER_BLOCK + 1, in), 0);
	cr_assert_eq(lun_block_read(lun, LUN_ARBITER_BLOCK + 1, out), 0);
	cr_assert_eq(memcmp(in, out, sizeof(in)), 0);
	cr_assert_eq(lun_block_read(lun, 4096, out), -ENODATA);
	lun_close(lun);
	unlink(path);
}

Test(lun, keys_and_the_arbiter_lock_belong_to_a_description)
{
	struct lun *a, *b;
	char who[128];

	pr_assert_to_stderr();
	make_file(8 << 20);
	a = open_ok();
	b = open_ok();
	cr_assert_eq(lun_key_hold(a, 7), 0);
	cr_assert_eq(lun_key_hold(a, UINT32_MAX), 0);
	cr_assert_eq(lun_key_is_free(b, 7), -EBUSY);
	cr_assert_eq(lun_key_is_free(b, 8), 0);
	cr_assert_eq(lun_key_hold(b, 7), -EBUSY);
	lun_key_holder(b, 7, who, sizeof(who));
	cr_assert(strncmp(who, "process ", 8) == 0 && atoi(who + 8) == getpid(), "who: %s", who);
	lun_key_holder(b, 9, who, sizeof(who));
	cr_assert_str_empty(who);
	cr_assert_eq(lun_key_hold(b, 8), 0);
	cr_assert_eq(lun_key_release(a, 7), 0);
	cr_assert_eq(lun_key_is_free(b, 7), 0);
	cr_assert_eq(lun_arbiter_lock(a, who, sizeof(who)), 0);
	cr_assert_eq(lun_arbiter_lock(b, who, sizeof(who)), -EBUSY);
	cr_assert(strncmp(who, "process ", 8) == 0 && atoi(who + 8) == getpid(), "who: %s", who);
	lun_close(a);
	cr_assert_eq(lun_arbiter_lock(b, NULL, 0), 0);
	cr_assert_eq(lun_key_is_free(b, UINT32_MAX), 0);
	lun_close(b);
	unlink(path);
}

Test(lun, a_dead_process_holds_no_key)
{
	struct lun *lun;
	int fds[2];
	char c;
	pid_t pid;

	make_file(8 << 20);
	cr_assert_eq(pipe(fds), 0);
	pid = fork();
	if (pid == 0) {
		struct lun *own = open_ok();

		c = lun_key_hold(own, 3) == 0 ? 'y' : 'n';
		if (write(fds[1], &c, 1) != 1)
			_exit(1);
		pause();
		_exit(0);
	}
	cr_assert_eq(read(fds[0], &c, 1), 1);
	cr_assert_eq(c, 'y');
	lun = open_ok();
	cr_assert_eq(lun_key_is_free(lun, 3), -EBUSY);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	cr_assert_eq(lun_key_is_free(lun, 3), 0);
	lun_close(lun);
	unlink(path);
}
