/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Seeds in portions, a process each, so that one that dies of an assertion takes only its portion with it, and is named. */
#include "tests/sim/sim_totals.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PORTION = 25, JOBS_MAX = 64 };

/* In memory that parent and child share. */
struct portion {
	uint64_t from, count, at; /* at: the seed under way */
	struct sim_totals totals;
	pid_t pid; /* the parent's to write */
	bool done;
};

static uint64_t cpu_ms(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000 +
	       (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1000;
}

static void run_portion(struct portion *p, bool keep_going)
{
	uint64_t start = cpu_ms();

	for (uint64_t i = 0; i < p->count; i++) {
		struct sim *s;
		int bad;

		p->at = p->from + i;
		s = sim_new(p->at);
		sim_run(s);
		bad = sim_report(s);
		sim_totals_add(&p->totals, s);
		sim_free(s);
		if (bad && !keep_going)
			break;
	}
	p->totals.cpu_ms = cpu_ms() - start;
	p->done = true;
}

static void start(struct portion *p, uint64_t from, uint64_t count, bool keep_going)
{
	pid_t pid;

	*p = (struct portion){.from = from, .count = count};
	fflush(stdout);
	pid = fork();
	if (pid <= 0) { /* pid < 0: no process to be had: here, then */
		run_portion(p, keep_going);
		if (pid == 0)
			exit(0); /* not _exit: the counters of make coverage are written */
		pid = 0;
	}
	p->pid = pid;
}

static void died(struct portion *p, int status)
{
	if (p->done)
		return;
	printf("seed %llu: the process died, %s %d; replay: tests/sim/sim --seed %llu --trace\n",
	       (unsigned long long)p->at, WIFSIGNALED(status) ? "signal" : "exit code",
	       WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
	       (unsigned long long)p->at);
	p->totals.failed++;
	p->totals.seeds++;
}

static struct portion *wait_any(struct portion *p, unsigned jobs)
{
	for (unsigned i = 0; i < jobs; i++)
		if (p[i].pid == 0 && p[i].done)
			return &p[i];
	for (;;) {
		int status;
		pid_t pid = wait(&status);

		if (pid < 0 && errno != EINTR)
			return NULL;
		for (unsigned i = 0; i < jobs; i++) {
			if (pid > 0 && p[i].pid == pid) {
				died(&p[i], status);
				return &p[i];
			}
		}
	}
}

struct many {
	struct sim_batch_run *run;
	struct portion *at;
	struct sim_totals now, ever;
	uint64_t next, end, busy;
	bool stop;
};

/* All below is done: what a later run may go on from. */
static uint64_t low_mark(const struct many *m)
{
	uint64_t low = m->next;

	for (unsigned i = 0; i < m->run->jobs; i++)
		if (m->at[i].count && m->at[i].from < low)
			low = m->at[i].from;
	return low;
}

static int collect(struct many *m)
{
	struct portion *p = wait_any(m->at, m->run->jobs);

	if (!p)
		return -ECHILD;
	sim_totals_sum(&m->now, &p->totals);
	sim_totals_sum(&m->ever, &p->totals);
	m->stop |= p->totals.failed && !m->run->keep_going;
	memset(p, 0, sizeof(*p));
	m->busy--;
	return m->run->ledger ? sim_ledger_write(m->run->ledger, low_mark(m), &m->ever) : 0;
}

static int go(struct many *m)
{
	int r = 0;

	while (r == 0 && (m->busy > 0 || (m->next < m->end && !m->stop))) {
		for (unsigned i = 0; i < m->run->jobs && m->next < m->end && !m->stop; i++) {
			uint64_t count = m->end - m->next < PORTION ? m->end - m->next : PORTION;

			if (m->at[i].count)
				continue;
			start(&m->at[i], m->next, count, m->run->keep_going);
			m->next += count;
			m->busy++;
		}
		r = collect(m);
	}
	return r;
}

int sim_run_many(struct sim_batch_run *run)
{
	struct many m = {.run = run, .next = run->from};
	int r = 0;

	if (run->jobs == 0 || run->jobs > JOBS_MAX)
		run->jobs = run->jobs ? JOBS_MAX : 1;
	if (run->ledger)
		r = sim_ledger_read(run->ledger, run->from, &m.next, &m.ever);
	m.end = m.next + run->seeds;
	m.at = mmap(NULL, JOBS_MAX * sizeof(*m.at), PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (m.at == MAP_FAILED)
		r = -errno;
	if (r == 0)
		r = go(&m);
	if (r < 0) {
		fprintf(stderr, "sim: %s: %s\n", run->ledger ? run->ledger : "cannot run",
			strerror(-r));
		return 2;
	}
	sim_totals_print(&m.now);
	if (run->ledger) {
		printf("with what %s knew: ", run->ledger);
		sim_totals_print(&m.ever);
	}
	return m.now.failed ? 1 : 0;
}
