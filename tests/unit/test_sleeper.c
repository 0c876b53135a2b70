/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ha/io/sleeper.h"

enum { TRIES = 500, TRY_US = 10000 };

static char name[32]; /* longer than what the kernel keeps of it */
static volatile sig_atomic_t signals;
static pid_t child;
static int to_child;

static void heard(int signal)
{
	signals++;
}

static void setup(void)
{
	snprintf(name, sizeof(name), "sl%07d-of-a-long-name", (int)getpid());
}

static void teardown(void)
{
	if (!child)
		return;
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

TestSuite(sleeper, .init = setup, .fini = teardown);

/* Says 'a' for "awake and waiting", ends with the number of signals heard when its input ends. */
static void as_child(bool sleeps, int in, int out)
{
	struct sigaction act = {.sa_handler = heard, .sa_flags = SA_RESTART};
	struct timespec left = {.tv_sec = 10};
	char byte;

	sigaction(SIGCHLD, &act, NULL);
	prctl(PR_SET_NAME, name);
	if (write(out, "a", 1) != 1)
		_exit(99);
	if (sleeps)
		nanosleep(&left, NULL);
	if (read(in, &byte, 1) < 0)
		_exit(98);
	_exit(signals);
}

static void start(bool sleeps)
{
	int in[2], out[2];
	char byte;

	cr_assert_eq(pipe(in) | pipe(out), 0);
	child = fork();
	if (child == 0) {
		close(in[1]);
		close(out[0]);
		as_child(sleeps, in[0], out[1]);
	}
	close(in[0]);
	close(out[1]);
	to_child = in[1];
	cr_assert_eq(read(out[0], &byte, 1), 1);
	close(out[0]);
}

static int end(void)
{
	int status;

	close(to_child);
	cr_assert_eq(waitpid(child, &status, 0), child);
	child = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static bool woken(pid_t *pid)
{
	for (int i = 0; i < TRIES; i++) {
		if (sleeper_wake(name, pid))
			return true;
		usleep(TRY_US);
	}
	return false;
}

static void wakes_the_child(pid_t known)
{
	start(true);
	cr_assert(woken(&known));
	cr_assert_eq(known, child);
	cr_assert_eq(end(), 1);
}

Test(sleeper, is_woken)
{
	wakes_the_child(0);
}

Test(sleeper, one_that_does_something_else_is_left_alone)
{
	pid_t pid = 0;

	start(false);
	for (int i = 0; i < 20; i++) {
		cr_assert_not(sleeper_wake(name, &pid));
		usleep(TRY_US);
	}
	cr_assert_eq(pid, child);
	cr_assert_eq(end(), 0);
}

Test(sleeper, whose_number_went_to_another_is_looked_for_again)
{
	wakes_the_child(getppid());
}

Test(sleeper, nobody_of_that_name_is_no_error)
{
	pid_t pid = 0;

	cr_assert_not(sleeper_wake("no-such-name-here", &pid));
	cr_assert_eq(pid, 0);
}
