/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Leaves out faults of a failing seed, many at a time, then few, as long as it fails in the same way. Each try is the run of a command
 * that could be printed, in a process of its own, since its failure may be a death.
 */
#include "tests/sim/sim_shrink.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NUMBER_BYTES = 6 };

/* How a try ended, in memory that it shares with its parent. */
struct outcome {
	char rule[sizeof(
		pr_assert_text)]; /* that it broke, or what its process died of; "": it holds */
	char why[512];
	uint64_t faults, now_us, healed_us; /* faults 0: not known */
};

struct shrink {
	uint64_t seed, faults, runs;
	struct sim_replay replay;
	struct outcome *end; /* of the last try */
	char rule[sizeof(pr_assert_text)];
	char only[NUMBER_BYTES * SIM_FAULTS_MAX];
	bool skip[SIM_FAULTS_MAX];
};

/* ---- a try ---- */

static struct sim *running;
static struct outcome *running_end;

static void tell(const char *rule, const char *why)
{
	struct outcome *o = running_end;

	snprintf(o->rule, sizeof(o->rule), "%.*s", (int)strcspn(rule, "\n"), rule);
	snprintf(o->why, sizeof(o->why), "%s", why);
	o->faults = running->fault_index < SIM_FAULTS_MAX ? running->fault_index : SIM_FAULTS_MAX;
	o->now_us = running->now_us;
	o->healed_us = running->healed_us;
}

static void dies(int signal_number)
{
	char text[32];

	snprintf(text, sizeof(text), "signal %d", signal_number);
	tell(pr_assert_text[0] ? pr_assert_text : text, "its process died");
	raise(signal_number); /* SA_RESETHAND */
}

static void run(const struct shrink *h)
{
	static const int deadly[] = {SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV};
	const struct sigaction action = {.sa_handler = dies, .sa_flags = (int)SA_RESETHAND};

	running = sim_new(h->seed);
	running_end = h->end;
	sim_replay(running, &h->replay);
	for (size_t i = 0; i < sizeof(deadly) / sizeof(deadly[0]); i++)
		sigaction(deadly[i], &action, NULL);
	sim_run(running);
	tell(running->violation ? running->violation : "", running->why);
	sim_free(running);
}

static void try(struct shrink *h)
{
	int status = 0;
	pid_t pid;

	memset(h->end, 0, sizeof(*h->end));
	h->runs++;
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		pr_assert_handler = NULL; /* it is told once */
		run(h);
		exit(0); /* not _exit: the counters of make coverage are written */
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid) {
		perror("sim: cannot run a try");
		exit(2);
	}
	if (status == 0 || h->end->rule[0])
		return;
	/* As a sanitizer ends it, or SIGKILL. */
	snprintf(h->end->rule, sizeof(h->end->rule), "%s %d",
		 WIFSIGNALED(status) ? "signal" : "exit code",
		 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

static bool still_fails(struct shrink *h, const bool *skip)
{
	size_t at = 0;

	strcpy(h->only, "none");
	for (uint64_t i = 0; i < h->faults; i++)
		if (!skip[i])
			at += (size_t)snprintf(h->only + at, sizeof(h->only) - at, "%s%llu",
					       at ? "," : "", (unsigned long long)i);
	h->replay.only = h->only;
	try(h);
	return strcmp(h->end->rule, h->rule) == 0;
}

/* ---- fewer and fewer ---- */

static uint64_t left(const struct shrink *h)
{
	uint64_t count = 0;

	for (uint64_t i = 0; i < h->faults; i++)
		count += !h->skip[i];
	return count;
}

/* Tries without each stretch of that many of those that are left. */
static void drop_stretches(struct shrink *h, uint64_t length)
{
	bool skip[SIM_FAULTS_MAX];

	for (uint64_t from = 0; from < h->faults;) {
		uint64_t count = 0, end = from;

		memcpy(skip, h->skip, sizeof(skip));
		for (; end < h->faults && count < length; end++) {
			count += !skip[end];
			skip[end] = true;
		}
		if (count > 0 && still_fails(h, skip))
			memcpy(h->skip, skip, sizeof(skip));
		from = end;
	}
}

/* Faults need not go on for longer than they did, or not much. Where they stop with another failure, it is as in the seed: when enough has happened. */
static void end_soon(struct shrink *h)
{
	static const uint64_t more_ms[] = {2000, 1};
	const struct outcome o = *h->end;
	uint64_t end_us = o.healed_us ? o.healed_us : o.now_us;

	h->faults = o.faults ? o.faults : SIM_FAULTS_MAX;
	for (size_t i = 0; end_us && i < sizeof(more_ms) / sizeof(more_ms[0]); i++) {
		h->replay.until_ms = end_us / SIM_US_MS + more_ms[i];
		h->replay.no_rest = o.healed_us == 0;
		if (still_fails(h, h->skip))
			return;
	}
	h->replay = (struct sim_replay){0};
}

static void print(struct shrink *h)
{
	if (!still_fails(h, h->skip)) {
		printf("with %llu of %llu faults it failed, and now does not: it is not the same run each time; replay: tests/sim/sim --seed %llu --trace\n",
		       (unsigned long long)left(h), (unsigned long long)h->faults,
		       (unsigned long long)h->seed);
		return;
	}
	printf("%llu of %llu faults are enough, found in %llu runs; replay: tests/sim/sim --seed %llu --trace --only %s",
	       (unsigned long long)left(h), (unsigned long long)h->faults,
	       (unsigned long long)h->runs, (unsigned long long)h->seed, h->only);
	if (h->replay.until_ms)
		printf(" --until %llu", (unsigned long long)h->replay.until_ms);
	printf("%s\n", h->replay.no_rest ? " --no-rest" : "");
}

static int shrink(struct shrink *h)
{
	try(h);
	if (!h->end->rule[0]) {
		printf("seed %llu holds: nothing to shrink\n", (unsigned long long)h->seed);
		return 0;
	}
	printf("seed %llu: %s: %s\n", (unsigned long long)h->seed, h->end->rule, h->end->why);
	snprintf(h->rule, sizeof(h->rule), "%s", h->end->rule);
	end_soon(h);
	for (uint64_t length = h->faults / 2 + 1; length > 0; length /= 2) {
		drop_stretches(h, length);
		printf("  %llu faults left after %llu runs\n", (unsigned long long)left(h),
		       (unsigned long long)h->runs);
	}
	print(h);
	return 1;
}

int sim_shrink(uint64_t seed)
{
	struct shrink *h = calloc(1, sizeof(*h));
	int r;

	h->seed = seed;
	h->end = mmap(NULL, sizeof(*h->end), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (h->end == MAP_FAILED) {
		perror("sim: cannot run a try");
		exit(2);
	}
	r = shrink(h);
	munmap(h->end, sizeof(*h->end));
	free(h);
	return r;
}

/* ---- a command's run ---- */

static void only(struct sim *s, const char *list)
{
	for (int i = 0; i < SIM_FAULTS_MAX; i++)
		s->skip[i] = true;
	while (*list >= '0' && *list <= '9') {
		char *end;
		uint64_t i = strtoull(list, &end, 10);

		if (i < SIM_FAULTS_MAX)
			s->skip[i] = false;
		list = *end == ',' ? end + 1 : end;
	}
}

void sim_replay(struct sim *s, const struct sim_replay *r)
{
	if (r->only)
		only(s, r->only);
	s->until_us = r->until_ms * SIM_US_MS;
	s->ends_broken = r->no_rest;
}
