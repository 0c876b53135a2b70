/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/crash/crash_pool.h"

#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { JOBS_MAX = 64, SECONDS_MAX = 300 };

struct job {
	pid_t pid; /* 0: free */
	int fd;
	struct crash_run run;
	char dir[200];
};

struct crash_pool {
	unsigned jobs;
	const char *base_dir;
	crash_done_fn *done;
	void *user;
	struct job job[JOBS_MAX];
};

struct crash_pool *crash_pool_new(unsigned jobs, const char *base_dir, crash_done_fn *done,
				  void *user)
{
	struct crash_pool *p = calloc(1, sizeof(*p));

	p->jobs = jobs < JOBS_MAX ? jobs : JOBS_MAX;
	p->base_dir = base_dir;
	p->done = done;
	p->user = user;
	return p;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	return remove(path);
}

static _Noreturn void play(const struct job *j, int fd)
{
	struct crash_result r = {0};

	alarm(SECONDS_MAX);
	crash_play(&j->run, &r);
	fflush(stdout);
	_exit(write(fd, &r, sizeof(r)) == sizeof(r) ? 0 : 1);
}

static void start(struct crash_pool *p, struct job *j, const struct crash_run *run)
{
	int fds[2];

	snprintf(j->dir, sizeof(j->dir), "%s/crash.XXXXXX", p->base_dir);
	if (!mkdtemp(j->dir) || pipe(fds) < 0) {
		perror(j->dir);
		exit(2);
	}
	j->run = *run;
	j->run.dir = j->dir;
	fflush(stdout);
	j->pid = fork();
	if (j->pid == 0) {
		close(fds[0]);
		play(j, fds[1]);
	}
	close(fds[1]);
	j->fd = fds[0];
	if (j->pid < 0) {
		perror("fork");
		exit(2);
	}
}

static void collect(struct crash_pool *p, struct job *j, int status)
{
	struct crash_result r = {0};

	if (read(j->fd, &r, sizeof(r)) != sizeof(r)) {
		snprintf(r.rule, sizeof(r.rule), "end");
		snprintf(r.why, sizeof(r.why), "the run did not end by itself: %s",
			 WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "no result");
	}
	close(j->fd);
	nftw(j->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	j->pid = 0;
	p->done(p->user, &j->run, &r);
}

static bool wait_one(struct crash_pool *p)
{
	int status;
	pid_t pid;

	do
		pid = wait(&status);
	while (pid < 0 && errno == EINTR);
	for (unsigned i = 0; pid > 0 && i < p->jobs; i++)
		if (p->job[i].pid == pid)
			collect(p, &p->job[i], status);
	return pid > 0;
}

void crash_pool_give(struct crash_pool *p, const struct crash_run *run)
{
	for (;;) {
		for (unsigned i = 0; i < p->jobs; i++) {
			if (p->job[i].pid == 0) {
				start(p, &p->job[i], run);
				return;
			}
		}
		wait_one(p);
	}
}

void crash_pool_finish(struct crash_pool *p)
{
	while (wait_one(p))
		;
}

void crash_pool_free(struct crash_pool *p)
{
	free(p);
}
