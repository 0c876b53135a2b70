/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Persistent reservations on a real target: tgtd on loopback, one for each test. */
#include <config.h>

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lun/lun.h"

#if HAVE_ISCSI
#include <iscsi/iscsi.h>
#include <iscsi/scsi-lowlevel.h>
#include <poll.h>
#include <sys/mman.h>
#endif

static char dir[] = "/tmp/test_lun_iscsi-XXXXXX", url[128], why[512], who[128];
static pid_t target;
static int port, threads = 1;
static char preload[PATH_MAX];

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
	char portal[64], t[12];

	snprintf(portal, sizeof(portal), "portal=127.0.0.1:%d", port);
	snprintf(t, sizeof(t), "%d", threads);
	target = fork();
	if (target == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		freopen("log", "a", stderr);
		freopen("log", "a", stdout);
		if (preload[0])
			setenv("LD_PRELOAD", preload, 1);
		execlp("tgtd", "tgtd", "-f", "-t", t, "--iscsi", portal, (char *)NULL);
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

#if HAVE_ISCSI

enum { DEPTH = 32, ROUNDS = 6, WRITER_KEY = 0x77 };

/* Of the one that is deposed: it holds the LUN and writes, DEPTH writes under way, each with the next number, and never stops. */
static struct {
	uint64_t next, good, refused;
	bool ready;
} * writer;

static struct flight {
	uint64_t block[LUN_BLOCK_BYTES / 8];
} flight[DEPTH];

static void write_on(struct iscsi_context *c, struct flight *f);

static void written(struct iscsi_context *c, int status, void *task, void *f)
{
	if (status == SCSI_STATUS_GOOD)
		__atomic_add_fetch(&writer->good, 1, __ATOMIC_SEQ_CST);
	else
		__atomic_add_fetch(&writer->refused, 1, __ATOMIC_SEQ_CST);
	scsi_free_scsi_task(task);
	write_on(c, f);
}

static void write_on(struct iscsi_context *c, struct flight *f)
{
	f->block[0] = __atomic_add_fetch(&writer->next, 1, __ATOMIC_SEQ_CST);
	if (!iscsi_write16_task(c, 1, LUN_ARBITER_BLOCK * LUN_BLOCK_BYTES / 512,
				(unsigned char *)f->block, LUN_BLOCK_BYTES, 512, 0, 0, 0, 0, 0,
				written, f))
		_exit(1);
}

static bool ordered(struct iscsi_context *c, int action)
{
	struct scsi_persistent_reserve_out_basic p = {.reservation_key = WRITER_KEY,
						      .service_action_reservation_key = WRITER_KEY};
	struct scsi_task *t;
	bool good;

	if (action == SCSI_PERSISTENT_RESERVE_REGISTER_AND_IGNORE_EXISTING_KEY)
		p.reservation_key = 0;
	t = iscsi_persistent_reserve_out_sync(
		c, 1, action, SCSI_PERSISTENT_RESERVE_SCOPE_LU,
		SCSI_PERSISTENT_RESERVE_TYPE_WRITE_EXCLUSIVE_REGISTRANTS_ONLY, &p);
	good = t && t->status == SCSI_STATUS_GOOD;
	scsi_free_scsi_task(t);
	return good;
}

static _Noreturn void write_for_ever(void)
{
	struct iscsi_context *c = iscsi_create_context("iqn.2026-01.test:writer");
	char portal[64];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	snprintf(portal, sizeof(portal), "127.0.0.1:%d", port);
	iscsi_set_targetname(c, "iqn.2026-01.test:l");
	iscsi_set_session_type(c, ISCSI_SESSION_NORMAL);
	iscsi_set_noautoreconnect(c, 1);
	if (iscsi_full_connect_sync(c, portal, 1) != 0 ||
	    !ordered(c, SCSI_PERSISTENT_RESERVE_REGISTER_AND_IGNORE_EXISTING_KEY) ||
	    !ordered(c, SCSI_PERSISTENT_RESERVE_RESERVE))
		_exit(1);
	writer->ready = true;
	for (int i = 0; i < DEPTH; i++)
		write_on(c, &flight[i]);
	for (;;) {
		struct pollfd p = {.fd = iscsi_get_fd(c), .events = (short)iscsi_which_events(c)};

		if (poll(&p, 1, 1000) < 0 || iscsi_service(c, p.revents) < 0)
			_exit(1);
	}
}

static uint64_t number_there(struct lun *l)
{
	uint64_t block[LUN_BLOCK_BYTES / 8];

	cr_assert_eq(lun_block_read(l, LUN_ARBITER_BLOCK, (uint8_t *)block), 0);
	return block[0];
}

/* Writes take a while in the target, and pass each other. */
static void slow_store(void)
{
	ssize_t n = readlink("/proc/self/exe", preload, sizeof(preload) - 1);

	cr_assert_gt(n, 0);
	preload[n] = '\0';
	*strrchr(preload, '/') = '\0';
	cr_assert_lt(strlen(preload) + 32, sizeof(preload));
	strcat(preload, "/../../slowdisk.so");
	cr_assert_eq(access(preload, R_OK), 0, "%s", preload);
	threads = 8;
}

/* P4: what the old active had under way lands before the new one has read, or never. */
Test(lun_iscsi, no_write_lands_behind_the_read_of_who_took_it)
{
	struct lun *l;
	uint64_t there, refused;
	pid_t pid;

	power_off();
	slow_store();
	power_on();
	writer = mmap(NULL, sizeof(*writer), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	cr_assert_neq(writer, MAP_FAILED);
	l = open_ok();
	for (int round = 0; round < ROUNDS; round++) {
		memset(writer, 0, sizeof(*writer));
		pid = fork();
		if (pid == 0)
			write_for_ever();
		for (int i = 0; i < 10000 && __atomic_load_n(&writer->good, __ATOMIC_SEQ_CST) < 100;
		     i++)
			usleep(1000);
		cr_assert_geq(writer->good, 100, "nothing was written");
		cr_assert_eq(lun_arbiter_take(l, who, sizeof(who)), 1);
		there = number_there(l);
		cr_assert_gt(there, 0);
		refused = __atomic_load_n(&writer->refused, __ATOMIC_SEQ_CST);
		for (int i = 0; i < 200; i++) {
			usleep(1000);
			cr_assert_eq(number_there(l), there, "round %d: a write landed", round);
		}
		cr_assert_gt(__atomic_load_n(&writer->refused, __ATOMIC_SEQ_CST), refused,
			     "it stopped writing: nothing was tried");
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		cr_assert_eq(lun_arbiter_unlock(l), 0);
	}
	lun_close(l);
}

#endif

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
