/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Persistent reservations on a real target: tgtd on loopback, one for each test. */
#include <config.h>

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lun/lun.h"

static char dir[] = "/tmp/test_lun_iscsi-XXXXXX", url[128], why[512], who[128];
static pid_t target;
static int port;

static void run(const char *format, ...)
{
	char command[512];
	va_list ap;

	va_start(ap, format);
	vsnprintf(command, sizeof(command), format, ap);
	va_end(ap);
	cr_assert_eq(system(command), 0, "%s", command);
}

static int free_port(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	cr_assert_eq(bind(fd, (struct sockaddr *)&a, len), 0);
	cr_assert_eq(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	close(fd);
	return ntohs(a.sin_port);
}

static void power_on(void)
{
	char portal[64];

	snprintf(portal, sizeof(portal), "portal=127.0.0.1:%d", port);
	target = fork();
	if (target == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		freopen("log", "a", stderr);
		freopen("log", "a", stdout);
		execlp("tgtd", "tgtd", "-f", "-t", "1", "--iscsi", portal, (char *)NULL);
		_exit(127);
	}
	run("for i in $(seq 200); do tgtadm --lld iscsi --op show --mode target >log.show 2>&1 && exit; sleep .02; done; exit 1");
	run("tgtadm --lld iscsi --op new --mode target --tid 1 -T iqn.2026-01.test:l");
	run("tgtadm --lld iscsi --op new --mode logicalunit --tid 1 --lun 1 -b %s/disk -E rdwr",
	    dir);
	run("tgtadm --lld iscsi --op bind --mode target --tid 1 -I ALL");
}

static void power_off(void)
{
	kill(target, SIGKILL);
	waitpid(target, NULL, 0);
}

static void set_up(void)
{
#if !HAVE_ISCSI
	cr_skip_test("built without libiscsi");
#endif
	if (system("command -v tgtd >/dev/null 2>&1") != 0)
		cr_skip_test("tgtd is not installed");
	cr_assert(mkdtemp(dir));
	cr_assert_eq(chdir(dir), 0);
	setenv("TGT_IPC_SOCKET", "./socket", 1);
	port = free_port();
	run("truncate -s 8M disk");
	power_on();
	snprintf(url, sizeof(url), "iscsi://127.0.0.1:%d/iqn.2026-01.test:l/1", port);
}

static void tear_down(void)
{
	if (target <= 0)
		return;
	power_off();
	run("rm -rf %s", dir);
}

TestSuite(lun_iscsi, .init = set_up, .fini = tear_down);

static struct lun *open_ok(void)
{
	struct lun *l;

	cr_assert_eq(lun_open(url, 0, &l, why, sizeof(why)), 0, "%s", why);
	cr_assert_eq(lun_kind(l), LUN_ISCSI);
	return l;
}

static int put(struct lun *l, int byte)
{
	uint8_t block[LUN_BLOCK_BYTES];

	memset(block, byte, sizeof(block));
	return lun_block_write(l, LUN_ARBITER_BLOCK, block);
}

static int get(struct lun *l)
{
	uint8_t block[LUN_BLOCK_BYTES];
	int r = lun_block_read(l, LUN_ARBITER_BLOCK, block);

	return r < 0 ? r : block[17];
}

Test(lun_iscsi, it_is_labelled_and_read_like_any_other)
{
	struct lun_label label = {.cluster = {{1}}, .lun = {{2}}, .name = "meta0"}, found;
	struct lun *a = open_ok();

	cr_assert_eq(lun_blocks(a), 2048u);
	cr_assert_eq(lun_label_read(a, &found, why, sizeof(why)), -ENODATA);
	cr_assert_eq(lun_label_write(a, &label, NULL, why, sizeof(why)), 0, "%s", why);
	lun_close(a);
	a = open_ok();
	cr_assert_eq(lun_label_read(a, &found, why, sizeof(why)), 0, "%s", why);
	cr_assert_str_eq(found.name, "meta0");
	cr_assert_eq(lun_label_write(a, &label, NULL, why, sizeof(why)), -EEXIST);
	lun_close(a);
}

Test(lun_iscsi, who_holds_it_writes_and_the_other_one_only_reads)
{
	struct lun *a = open_ok(), *b = open_ok();

	cr_assert_eq(lun_arbiter_lock(a, who, sizeof(who)), 1);
	cr_assert_eq(lun_arbiter_lock(a, who, sizeof(who)), 0);
	cr_assert_eq(put(a, 'a'), 0);
	cr_assert_eq(lun_arbiter_lock(b, who, sizeof(who)), -EBUSY);
	cr_assert(strstr(who, "reservation key 0x"), "%s", who);
	cr_assert_eq(put(b, 'b'), -EBADE);
	cr_assert_eq(get(b), 'a');
	cr_assert_eq(lun_arbiter_unlock(a), 0);
	cr_assert_eq(lun_arbiter_lock(b, who, sizeof(who)), 1);
	cr_assert_eq(put(b, 'b'), 0);
	cr_assert_lt(put(a, 'a'), 0); /* a unit attention: its reservation was released */
	cr_assert_eq(put(a, 'a'), -EBADE);
	cr_assert_eq(get(a), 'b');
	lun_close(a);
	lun_close(b);
}

Test(lun_iscsi, what_is_taken_away_is_noticed_and_never_taken_back)
{
	struct lun *a = open_ok(), *b = open_ok();

	cr_assert_eq(lun_arbiter_lock(a, who, sizeof(who)), 1);
	cr_assert_eq(lun_arbiter_take(b, who, sizeof(who)), 1);
	cr_assert_eq(put(b, 'b'), 0);
	/* First a unit attention, then the reservation conflict; nothing is written by either. */
	cr_assert_lt(put(a, 'a'), 0);
	cr_assert_lt(put(a, 'a'), 0);
	cr_assert_eq(get(b), 'b');
	cr_assert_eq(lun_arbiter_lock(a, who, sizeof(who)), -EBADE);
	cr_assert_lt(put(a, 'a'), 0);
	cr_assert_eq(lun_arbiter_lock(b, who, sizeof(who)), 0);
	cr_assert_eq(put(b, 'c'), 0);
	lun_close(b);
	lun_close(a);
}

Test(lun_iscsi, a_target_that_restarts_is_registered_with_again_before_anything_is_written)
{
	struct lun *a = open_ok();

	cr_assert_eq(lun_arbiter_lock(a, who, sizeof(who)), 1);
	cr_assert_eq(put(a, 'a'), 0);
	power_off();
	cr_assert_lt(put(a, 'b'), 0);
	cr_assert_lt(get(a), 0);
	cr_assert_lt(lun_arbiter_lock(a, who, sizeof(who)), 0);
	power_on();
	cr_assert_eq(get(a), 'a');
	cr_assert_eq(put(a, 'b'), -EIO, "written without the reservation");
	cr_assert_eq(get(a), 'a');
	cr_assert_eq(lun_arbiter_lock(a, who, sizeof(who)), 1);
	cr_assert_eq(put(a, 'b'), 0);
	lun_close(a);
}

Test(lun_iscsi, after_a_restart_the_faster_one_has_it)
{
	struct lun *a = open_ok(), *b = open_ok();

	cr_assert_eq(lun_arbiter_lock(a, who, sizeof(who)), 1);
	power_off();
	power_on();
	cr_assert_eq(lun_arbiter_lock(b, who, sizeof(who)), 1);
	cr_assert_eq(put(b, 'b'), 0);
	cr_assert_eq(lun_arbiter_lock(a, who, sizeof(who)), 0, "nothing told it yet");
	cr_assert_lt(put(a, 'a'), 0);
	cr_assert_eq(lun_arbiter_lock(a, who, sizeof(who)), -EBADE);
	cr_assert_lt(put(a, 'a'), 0);
	cr_assert_eq(get(a), 'b');
	lun_close(a);
	lun_close(b);
}

Test(lun_iscsi, a_lun_of_file_data_it_is_not)
{
	struct lun *a = open_ok();

	cr_assert_eq(lun_fd(a), -1);
	cr_assert_eq(lun_key_hold(a, 5), -EOPNOTSUPP);
	lun_close(a);
	cr_assert_eq(lun_open("iscsi://me%secret@127.0.0.1/t/1", 0, &a, why, sizeof(why)), -EINVAL);
	cr_assert_eq(lun_open("iscsi://127.0.0.1", 0, &a, why, sizeof(why)), -EINVAL);
}
