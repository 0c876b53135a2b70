/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Seeds in portions, a process each, so that one that dies of an assertion takes only its seed with it, and is named. What they
 * found is summed in the order of the seeds: the sums are always of each seed up to one, whoever was faster.
 */
#include "tests/sim/idle.h"
#include "tests/sim/ledger.h"
#include "tests/sim/sim_totals.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PORTION = 25, JOBS_MAX = 64, PORTIONS = 4 * JOBS_MAX };

/* In memory that parent and child share. */
struct portion {
	uint64_t at, end;	  /* at: the seed under way */
	struct sim_totals totals; /* of those before it */
	pid_t pid;		  /* the parent's to write; 0: no process runs it */
	bool ended;		  /* by itself */
};

struct many {
	struct sim_batch_run *run;
	struct ledger ledger;
	struct portion *ring; /* the oldest that is not summed yet, to before the newest */
	uint64_t oldest, newest;
	struct sim_totals now, ever;
	uint64_t next, end;
	unsigned busy;
	bool stop;
};

static uint64_t cpu_ms(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000 +
	       (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1000;
}

static bool is_over(const struct portion *p, const struct sim_batch_run *run)
{
	return p->at == p->end || (p->totals.failed && !run->keep_going);
}

static void run_seed(struct portion *p)
{
	struct sim_totals one = {0};
	struct sim *s = sim_new(p->at);
	uint64_t start = cpu_ms();

	sim_run(s);
	sim_report(s);
	sim_totals_add(&one, s);
	sim_free(s);
	one.cpu_ms = cpu_ms() - start;
	sim_totals_sum(&p->totals, &one);
	p->at++;
}

static void run_portion(struct portion *p, const struct sim_batch_run *run)
{
	while (!is_over(p, run))
		run_seed(p);
	p->ended = true;
}

/* From where it stands. */
static void start(struct many *m, struct portion *p)
{
	pid_t pid;

	fflush(stdout);
	p->ended = false;
	pid = fork();
	if (pid <= 0) { /* pid < 0: no process to be had: here, then */
		run_portion(p, m->run);
		if (pid == 0)
			exit(0); /* not _exit: the counters of make coverage are written */
		return;
	}
	p->pid = pid;
	m->busy++;
}

static void died(struct portion *p, int status)
{
	printf("seed %llu: the process died, %s %d; replay: tests/sim/sim --seed %llu --trace\n",
	       (unsigned long long)p->at, WIFSIGNALED(status) ? "signal" : "exit code",
	       WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
	       (unsigned long long)p->at);
	p->totals.failed++;
	p->totals.seeds++;
	p->at++;
}

/* Behind its last seed: a sanitizer tells of leaks there. */
static void ended_badly(struct portion *p, int status)
{
	printf("seed %llu: behind it the process ended with %s %d\n", (unsigned long long)p->at - 1,
	       WIFSIGNALED(status) ? "signal" : "exit code",
	       WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	p->totals.failed++;
}

static int wait_for_one(struct many *m)
{
	int status;
	pid_t pid = wait(&status);

	if (pid < 0)
		return errno == EINTR ? 0 : -errno;
	for (unsigned i = 0; i < PORTIONS; i++) {
		struct portion *p = &m->ring[i];

		if (p->pid != pid)
			continue;
		p->pid = 0;
		m->busy--;
		if (!p->ended)
			died(p, status);
		else if (status)
			ended_badly(p, status);
		m->stop |= p->totals.failed && !m->run->keep_going;
		if (!is_over(p, m->run))
			start(m, p);
	}
	return 0;
}

static void start_some(struct many *m)
{
	while (m->busy < m->run->jobs && m->newest - m->oldest < PORTIONS && m->next < m->end &&
	       !m->stop) {
		struct portion *p = &m->ring[m->newest++ % PORTIONS];
		uint64_t count = m->end - m->next < PORTION ? m->end - m->next : PORTION;

		*p = (struct portion){.at = m->next, .end = m->next + count};
		m->next += count;
		start(m, p);
	}
}

/* Behind a portion that stopped at a failure nothing is summed: the next run with this ledger runs it again. */
static int sum_some(struct many *m)
{
	uint64_t before = m->oldest;

	while (m->oldest < m->newest) {
		struct portion *p = &m->ring[m->oldest % PORTIONS];

		if (p->pid || !is_over(p, m->run))
			break;
		sim_totals_sum(&m->now, &p->totals);
		sim_totals_sum(&m->ever, &p->totals);
		m->ledger.next = p->at;
		m->oldest = p->totals.failed && !m->run->keep_going ? m->newest : m->oldest + 1;
	}
	return m->oldest == before ? 0 : ledger_write(&m->ledger);
}

static int go(struct many *m)
{
	int r = 0;

	while (r == 0 && (m->busy > 0 || (m->next < m->end && !m->stop))) {
		start_some(m);
		if (m->busy > 0)
			r = wait_for_one(m);
		if (r == 0)
			r = sum_some(m);
	}
	return r;
}

static void print(const struct many *m)
{
	sim_totals_print(&m->now);
	if (!m->ledger.path)
		return;
	printf("with what %s knew: ", m->ledger.path);
	sim_totals_print(&m->ever);
}

int sim_run_many(struct sim_batch_run *run)
{
	struct many m = {.run = run};
	int r;

	if (run->jobs > JOBS_MAX)
		run->jobs = JOBS_MAX;
	ledger_begin(&m.ledger, run->ledger, run->from);
	sim_totals_keep(&m.ledger, &m.ever);
	if (ledger_read(&m.ledger) < 0)
		return 2;
	m.next = m.ledger.next;
	m.end = m.next + run->seeds;
	m.ring = mmap(NULL, PORTIONS * sizeof(*m.ring), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	r = m.ring == MAP_FAILED ? -errno : go(&m);
	if (r < 0) {
		fprintf(stderr, "sim: cannot run: %s\n", strerror(-r));
		return 2;
	}
	print(&m);
	return sim_totals_bad(&m.ever) || sim_totals_bad(&m.now);
}
