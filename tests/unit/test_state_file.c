/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "ha/io/state_file.h"
#include "proto/assert_stderr.h"

enum { COPIES = 4 };

static char dir[64], path[80], why[256];

static void setup(void)
{
	snprintf(dir, sizeof(dir), "./test_state_file-XXXXXX");
	cr_assert_not_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/state", dir);
}

static void teardown(void)
{
	unlink(path);
	rmdir(dir);
}

TestSuite(state_file, .init = setup, .fini = teardown);

static struct ha_state of_epoch(uint64_t epoch)
{
	return (struct ha_state){.node = 1, .seq = epoch, .epoch = epoch};
}

static struct state_file *open_as(int expected, struct ha_state *ret)
{
	struct state_file *f;
	int error;

	cr_assert_eq(state_file_open(dir, &f, ret, &error, why, sizeof(why)), 0, "%s", why);
	cr_assert_eq(error, expected);
	return f;
}

static void write_all(uint64_t epoch)
{
	struct ha_state before, s = of_epoch(epoch);
	struct state_file *f = open_as(access(path, F_OK) < 0 ? -ENOENT : 0, &before);

	cr_assert_eq(state_file_write(f, &s), 0);
	state_file_close(f);
}

static uint64_t read_epoch(void)
{
	struct ha_state s;

	state_file_close(open_as(0, &s));
	return s.epoch;
}

/* Its process dies when so many of the copies have been written. */
static void die_writing(uint64_t epoch, int copies)
{
	uint8_t block[HA_STATE_BYTES];
	struct ha_state s = of_epoch(epoch);
	int fd = open(path, O_WRONLY);

	ha_state_encode(block, &s);
	for (int i = 0; i < copies; i++)
		cr_assert_eq(pwrite(fd, block, sizeof(block), (off_t)i * HA_STATE_BYTES),
			     HA_STATE_BYTES);
	close(fd);
}

static uint64_t epoch_of_copy(int i)
{
	uint8_t block[HA_STATE_BYTES];
	struct ha_state s;
	int fd = open(path, O_RDONLY);

	cr_assert_eq(pread(fd, block, sizeof(block), (off_t)i * HA_STATE_BYTES), HA_STATE_BYTES);
	close(fd);
	return ha_state_decode(&s, block) ? 0 : s.epoch;
}

Test(state_file, what_is_written_is_read)
{
	write_all(7);
	cr_assert_eq(read_epoch(), 7);
	write_all(8);
	cr_assert_eq(read_epoch(), 8);
}

Test(state_file, what_a_start_has_read_stands_in_all_copies)
{
	for (int copies = 0; copies <= COPIES; copies++) {
		write_all(30);
		die_writing(32, copies);
		cr_assert_eq(read_epoch(), copies < 2 ? 30 : 32, "%d copies", copies);
		for (int i = 0; i < COPIES; i++)
			cr_assert_eq(epoch_of_copy(i), copies < 2 ? 30 : 32, "copy %d of %d", i,
				     copies);
	}
}

Test(state_file, a_second_death_while_writing_does_not_bring_back_what_was_before_the_first)
{
	for (int first = 2; first <= COPIES; first++)
		for (int second = 0; second <= COPIES; second++) {
			write_all(30);
			die_writing(32, first);
			cr_assert_eq(read_epoch(), 32);
			die_writing(33, second);
			cr_assert_eq(read_epoch(), second < 2 ? 32 : 33, "%d, %d", first, second);
		}
}

Test(state_file, a_rotten_copy_is_written_over)
{
	int fd;

	write_all(7);
	fd = open(path, O_WRONLY);
	cr_assert_eq(pwrite(fd, "rot", 3, 2 * HA_STATE_BYTES + 40), 3);
	close(fd);
	cr_assert_eq(epoch_of_copy(2), 0);
	cr_assert_eq(read_epoch(), 7);
	cr_assert_eq(epoch_of_copy(2), 7);
}

/* Two of the old one would outvote two of the new one as soon as one of those rots. */
Test(state_file, a_write_that_reaches_two_copies_is_none)
{
	struct rlimit room = {2 * HA_STATE_BYTES, 2 * HA_STATE_BYTES};
	struct ha_state before, s = of_epoch(6);
	struct state_file *f;

	write_all(5);
	f = open_as(0, &before);
	signal(SIGXFSZ, SIG_IGN);
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &room), 0);
	cr_assert_eq(state_file_write(f, &s), -EIO);
	state_file_close(f);
}
