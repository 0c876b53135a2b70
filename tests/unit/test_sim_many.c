/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Many seeds and their ledger, around a simulator that does what its seed is told to. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/sim/sim_totals.h"

static uint64_t failing, dying, hanging, leaking; /* seeds; 0: none */
static bool idle;
static char path[] = "/tmp/test_sim_many.XXXXXX";

struct sim *sim_new(uint64_t seed)
{
	struct sim *s = calloc(1, sizeof(*s));

	s->seed = seed;
	return s;
}

/* As the address sanitizer ends a process that has leaked. */
static void leaks_found(void)
{
	_exit(23);
}

/* Each seed has as many operations as its number: the sums tell which were counted. */
void sim_run(struct sim *s)
{
	s->done_ops = s->seed;
	s->counts = !idle;
	if (s->seed == failing)
		s->violation = "planted";
	if (s->seed == dying)
		raise(SIGKILL);
	if (s->seed == hanging)
		raise(SIGSTOP);
	if (s->seed == leaking)
		atexit(leaks_found);
}

void sim_free(struct sim *s)
{
	free(s);
}

const char *sim_fault_name(enum sim_fault_kind kind)
{
	static const char *const names[] = {
#define SIM_FAULT(name, text) text,
		SIM_FAULT_KINDS
#undef SIM_FAULT
	};

	return names[kind];
}

static void begin(void)
{
	close(mkstemp(path));
	unlink(path);
	if (!freopen("/dev/null", "w", stdout))
		abort();
}

static void end(void)
{
	unlink(path);
}

TestSuite(sim_many, .init = begin, .fini = end);

static int run(uint64_t seeds, bool keep_going)
{
	struct sim_batch_run r = {
		.from = 1, .seeds = seeds, .jobs = 4, .keep_going = keep_going, .ledger = path};

	return sim_run_many(&r);
}

static uint64_t line(const char *wanted)
{
	FILE *f = fopen(path, "r");
	unsigned long long value, found = UINT64_MAX;
	char name[64];

	while (f && fscanf(f, "%llu %63[^\n]", &value, name) == 2)
		if (strcmp(name, wanted) == 0)
			found = value;
	if (f)
		fclose(f);
	return found;
}

/* Each seed from 1 to last once; those that died told of no operations. */
static void holds(uint64_t last, uint64_t failed, uint64_t dead)
{
	cr_expect_eq(line("next"), last + 1, "next %llu", (unsigned long long)line("next"));
	cr_expect_eq(line("seeds"), last, "seeds %llu", (unsigned long long)line("seeds"));
	cr_expect_eq(line("failed"), failed, "failed %llu", (unsigned long long)line("failed"));
	cr_expect_eq(line("operations"), last * (last + 1) / 2 - dead, "operations %llu",
		     (unsigned long long)line("operations"));
}

Test(sim_many, a_run_goes_on_behind_the_last)
{
	cr_assert_eq(run(60, false), 0);
	holds(60, 0, 0);
	cr_assert_eq(run(50, false), 0);
	holds(110, 0, 0);
}

Test(sim_many, behind_a_failure_the_next_run_goes_on)
{
	failing = 7;
	cr_assert_eq(run(100, false), 1);
	holds(7, 1, 0);
	failing = 0;
	run(93, false);
	holds(100, 1, 0);
}

Test(sim_many, with_keep_going_a_failure_ends_nothing)
{
	failing = 7;
	cr_assert_eq(run(100, true), 1);
	holds(100, 1, 0);
}

Test(sim_many, a_death_takes_one_seed_with_it)
{
	dying = 28;
	cr_assert_eq(run(100, true), 1);
	holds(100, 1, 28);
}

Test(sim_many, behind_a_death_the_next_run_goes_on)
{
	dying = 28;
	cr_assert_eq(run(100, false), 1);
	holds(28, 1, 28);
	run(72, false);
	holds(100, 1, 28);
}

Test(sim_many, a_process_that_ends_badly_behind_its_seeds_is_a_failure)
{
	leaking = 28;
	cr_assert_eq(run(100, true), 1);
	holds(100, 1, 0);
}

Test(sim_many, a_failure_stays_in_the_ledger)
{
	failing = 7;
	run(7, false);
	failing = 0;
	cr_assert_eq(run(50, false), 1);
	holds(57, 1, 0);
}

/* One portion stands still, and the whole run is killed: the others are not counted before it. */
Test(sim_many, who_was_faster_is_not_counted_twice)
{
	pid_t pid;

	hanging = 1;
	pid = fork();
	if (pid == 0) {
		setpgid(0, 0);
		_exit(run(100, false));
	}
	setpgid(pid, pid);
	usleep(500000);
	kill(-pid, SIGKILL);
	hanging = 0;
	cr_assert_eq(run(50, false), 0);
	holds(50, 0, 0);
}

Test(sim_many, some_seeds_may_be_idle_and_not_all)
{
	idle = true;
	cr_assert_eq(run(1, false), 0);
	cr_assert_eq(run(1, false), 1);
}

static void write_ledger(const char *text)
{
	FILE *f = fopen(path, "w");

	fputs(text, f);
	fclose(f);
	if (!freopen("/dev/null", "w", stderr))
		abort();
}

Test(sim_many, an_older_ledger_that_is_exact_is_read)
{
	write_ledger("11 next\n10 seeds\n0 failed\n55 operations\n");
	cr_assert_eq(run(5, false), 0);
	holds(15, 0, 0);
}

Test(sim_many, a_ledger_of_other_seeds_is_refused)
{
	write_ledger("51 next\n125 seeds\n");
	cr_assert_eq(run(5, false), 2);
	write_ledger("31 next\n2 seeds\n");
	cr_assert_eq(run(5, false), 2);
}

Test(sim_many, what_is_no_ledger_is_refused)
{
	write_ledger("1 first\n1 next\nhello\n");
	cr_assert_eq(run(5, false), 2);
	cr_assert_eq(line("first"), 1);
}
