/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "controller/io/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "controller/io/loop.h"
#include "controller/io/pair_socket.h"
#include "ha/io/super.h"
#include "proto/assert.h"

enum {
	RESTART_MS = 150,	/* a death and the next start */
	RESTART_MAX_MS = 10000, /* while it dies young again and again */
	UNABLE_MS = 1000, /* this process cannot start one: short of descriptors, or of memory */
	YOUNG_MS = 3000,
	HANDOVER_MS = 2000,
	HOPELESS = 78, /* its exit status when starting again does not help */
	HOPELESS_MS = 5000,
	RECOVER_MS = 20000, /* and longer while one still reads its journal */
	SETTLE_MS = 200,
	LOCK_WAIT_MS = 2000,
	BOTH_MS = 3000,	 /* a cold start waits that long for both */
	ORDER_MS = 1500, /* an order without an answer */
	AGAIN_MS = 200,	 /* before an order that was refused is given again; doubled four times */
	STOP_MS = 10000,
	TICK_MS = 50,
	PULSE_MS = 500,
	HOME_MS = 1000,	  /* so often it looks whether its directory is still there */
	SILENT_MS = 4000, /* an active that answers nothing for so long is fenced */
	ASKERS_MAX = 16,
	ASKER_MS = 1000, /* of one that says nothing */
	EVENTS_MAX = 64,
};

struct child {
	struct supervisor *s;
	int node;  /* 1, 2 */
	pid_t pid; /* 0: not running */
	struct super *channel;
	struct loop_source *source;
	bool known, stopped,
		hopeless; /* it said who it is; stopped by a signal; starting again does not help */
	bool unable;	  /* it could not be started, which was said */
	uint64_t incarnation;
	enum pr_role role;
	uint32_t score;
	uint64_t epoch;
	char why[256]; /* of its score, or of its last refusal */
	uint64_t started_ms, ready_ms, restart_ms, backoff_ms, refused_ms;
	uint32_t deaths, refusals;
	uint64_t killed_ms, died_ms; /* kill asked here; waitpid */
	uint64_t pulse, pulse_answered, pulse_ms;
};

struct asker {
	int fd;
	struct loop_source *source;
	struct supervisor *s;
	uint64_t since_ms;
	bool waits_for_end;
};

struct happening {
	uint64_t at_ms;
	int node;
	char what[300]; /* a reason of a child is up to 255 */
};

struct supervisor {
	const struct pair_dir *dir;
	const char *mdcd;
	struct loop *loop;
	int pid_fd, listen_fd, signal_fd;
	struct child child[2];
	struct asker asker[ASKERS_MAX];
	struct loop_timer timer;
	uint64_t begun_ms;
	uint64_t next_ticket, ticket, ordered_ms; /* ticket 0: no order is out */
	int ordered;				  /* node */
	bool stopping, homeless; /* its directory is gone: what stands there now is not its own */
	uint64_t stop_ms, home_ms;
	uint64_t handover_until_ms; /* the active stood down: its heir comes by itself */
	/* the last outage: what began it, for timelines */
	uint64_t outage_ms, noticed_ms, promoted_ms;
	struct happening happening[EVENTS_MAX];
	uint32_t happenings;
	int exit_status;
};

static struct child *other(struct child *c)
{
	return &c->s->child[2 - c->node];
}

/* One line in the log, and in the timeline that status shows. */
static void __attribute__((format(printf, 3, 4)))
note(struct supervisor *s, int node, const char *format, ...)
{
	struct happening *h = &s->happening[s->happenings++ % EVENTS_MAX];
	struct timespec t;
	struct tm tm;
	char stamp[32];
	va_list ap;

	h->at_ms = loop_now_ms();
	h->node = node;
	va_start(ap, format);
	vsnprintf(h->what, sizeof(h->what), format, ap);
	va_end(ap);
	clock_gettime(CLOCK_REALTIME, &t);
	localtime_r(&t.tv_sec, &tm);
	strftime(stamp, sizeof(stamp), "%H:%M:%S", &tm);
	fprintf(stderr, "%s.%03ld supervisor: ", stamp, t.tv_nsec / 1000000);
	if (node)
		fprintf(stderr, "node %d ", node);
	fprintf(stderr, "%s\n", h->what);
}

/* ---- facts ---- */

static void tell_peer(struct child *to)
{
	struct child *about = other(to);
	struct pr_fact_peer m = {.incarnation = about->incarnation,
				 .process = about->pid > 0 && about->known,
				 .node = 1,
				 .quorate = 1};

	if (to->channel)
		super_fact_peer(to->channel, &m);
}

static void tell_fenced(struct child *to)
{
	struct child *about = other(to);
	struct pr_fact_fence m = {.incarnation = about->incarnation,
				  .ok = 1,
				  .why = pr_bytes_str("waitpid returned it")};

	if (to->channel)
		super_fact_fence(to->channel, &m);
}

/* ---- starting ---- */

static void child_ready(void *user, uint32_t events);

static _Noreturn void become_mdcd(struct supervisor *s, struct child *c, int fd)
{
	char conf[PATH_MAX + 16], log[16];
	sigset_t none;
	int log_fd;

	snprintf(conf, sizeof(conf), "%s/mdcd.conf", c->s->dir->node[c->node - 1]);
	snprintf(log, sizeof(log), "node%d", c->node);
	log_fd = pair_dir_open_log(s->dir, log);
	if (log_fd >= 0) {
		dup2(log_fd, STDOUT_FILENO);
		dup2(log_fd, STDERR_FILENO);
	}
	if (fd == 3)
		fcntl(3, F_SETFD, 0);
	else
		dup2(fd, 3);
	close_range(4, ~0u, 0);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execlp(s->mdcd, "mdcd", "-c", conf, (char *)NULL);
	fprintf(stderr, "%s: %s\n", s->mdcd, strerror(errno));
	_exit(HOPELESS);
}

/* Said once until it works. */
static void cannot_start(struct child *c, const char *what)
{
	snprintf(c->why, sizeof(c->why), "cannot be started: %s: %s", what, strerror(errno));
	if (!c->unable)
		note(c->s, c->node, "%s; it is tried again until it works", c->why);
	c->unable = true;
	c->restart_ms = loop_now_ms() + UNABLE_MS;
}

static void start(struct child *c)
{
	struct supervisor *s = c->s;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
		cannot_start(c, "socketpair");
		return;
	}
	c->pid = fork();
	if (c->pid == 0)
		become_mdcd(s, c, pair[1]);
	if (c->pid < 0) {
		c->pid = 0;
		cannot_start(c, "fork");
	}
	close(pair[1]);
	if (!c->pid) {
		close(pair[0]);
		return;
	}
	c->known = c->stopped = c->unable = false;
	c->role = PR_ROLE_STARTING;
	c->score = 0;
	c->started_ms = loop_now_ms();
	c->refused_ms = c->refusals = c->killed_ms = 0;
	c->pulse = c->pulse_answered = c->pulse_ms = 0;
	c->why[0] = '\0';
	ASSERT(super_new(pair[0], &c->channel) == 0);
	ASSERT(loop_add(s->loop, pair[0], EPOLLIN, child_ready, c, &c->source) == 0);
	note(s, c->node, "started, PID %d", (int)c->pid);
}

static void close_channel(struct child *c)
{
	if (!c->channel)
		return;
	loop_remove(c->s->loop, c->source);
	super_free(c->channel);
	c->source = NULL;
	c->channel = NULL;
}

/* ---- promotion ---- */

static struct child *active(struct supervisor *s)
{
	for (int i = 0; i < 2; i++)
		if (s->child[i].pid && s->child[i].role == PR_ROLE_ACTIVE)
			return &s->child[i];
	return NULL;
}

/* It has recovered its journal, and can be told something: a dying one closes its channel before waitpid sees it. */
static bool is_ready(const struct child *c)
{
	return c->pid && c->channel && c->known && c->role != PR_ROLE_STARTING;
}

/*
 * A score only orders the candidates. Who survived the active is asked whatever it says of itself: a
 * refusal costs a millisecond, a stale hint would cost an outage.
 */
static bool may_try(const struct child *c, uint64_t now)
{
	uint64_t wait_ms = c->refusals ? AGAIN_MS << (c->refusals < 5 ? c->refusals - 1 : 4) : 0;

	return is_ready(c) && !c->stopped && now - c->refused_ms >= wait_ms;
}

/* The one with the better score; at equal scores the one that was not refused last. */
static struct child *candidate(struct supervisor *s, uint64_t now)
{
	struct child *a = &s->child[0], *b = &s->child[1];

	if (!may_try(a, now) || !may_try(b, now))
		return may_try(a, now) ? a : may_try(b, now) ? b : NULL;
	if (a->refused_ms != b->refused_ms && (a->refused_ms || b->refused_ms))
		return a->refused_ms < b->refused_ms ? a : b;
	return b->score > a->score ? b : a;
}

/*
 * A cold start gives both the time to say who they are, and then to find each other: one that promises
 * to stand by need not be fenced.
 */
static bool too_early(struct supervisor *s, uint64_t now)
{
	const struct child *a = &s->child[0], *b = &s->child[1];
	uint64_t later = a->ready_ms > b->ready_ms ? a->ready_ms : b->ready_ms;
	bool starting = (a->pid && !is_ready(a)) || (b->pid && !is_ready(b));

	if (s->outage_ms)
		return false;
	if (is_ready(a) && is_ready(b))
		return now - later < SETTLE_MS;
	return now - s->begun_ms < (starting ? RECOVER_MS : BOTH_MS);
}

static void drive(struct supervisor *s)
{
	uint64_t now = loop_now_ms();
	struct pr_order_promote m;
	struct child *c;

	if (s->stopping || active(s) || too_early(s, now) || now < s->handover_until_ms)
		return;
	if (s->ticket && now - s->ordered_ms < ORDER_MS)
		return;
	if (s->ticket) {
		note(s, s->ordered, "has not answered the order to promote");
		s->child[s->ordered - 1].refused_ms = now;
		s->child[s->ordered - 1].refusals++;
		s->ticket = 0;
	}
	c = candidate(s, now);
	if (!c)
		return;
	s->ticket = ++s->next_ticket;
	s->ordered = c->node;
	s->ordered_ms = now;
	m.ticket = s->ticket;
	note(s, c->node, "is ordered to promote (score %u)", c->score);
	super_order_promote(c->channel, &m);
}

static void order_answered(struct child *c, const struct pr_order_result *r)
{
	struct supervisor *s = c->s;

	if (r->ticket != s->ticket)
		return;
	s->ticket = 0;
	if (r->status == 0) {
		c->role = PR_ROLE_ACTIVE;
		c->refused_ms = c->refusals = 0;
		s->promoted_ms = loop_now_ms();
		note(s, c->node, "is active, %" PRIu64 " ms after the order",
		     s->promoted_ms - s->ordered_ms);
		return;
	}
	pr_bytes_copy(c->why, sizeof(c->why), r->why);
	c->refused_ms = loop_now_ms();
	c->refusals++;
	note(s, c->node, "refused: %s", c->why);
	drive(s);
}

/* ---- what a child says ---- */

static void score_changed(struct child *c, const struct pr_set_score *m)
{
	bool was_known = c->known;
	enum pr_role before = c->role;

	if (before == PR_ROLE_STARTING && m->role != PR_ROLE_STARTING)
		c->ready_ms = loop_now_ms();
	c->known = true;
	c->hopeless = false;
	c->incarnation = m->incarnation;
	if (c->score != m->score)
		c->refused_ms = c->refusals = 0;
	c->score = m->score;
	c->role = m->role;
	c->epoch = m->epoch;
	pr_bytes_copy(c->why, sizeof(c->why), m->why);
	if (before == PR_ROLE_ACTIVE && c->role == PR_ROLE_STANDBY)
		c->s->handover_until_ms = loop_now_ms() + HANDOVER_MS;
	if (c->role != before)
		note(c->s, c->node, "is %s, epoch %" PRIu64, pr_role_name(m->role), m->epoch);
	if (!was_known) {
		tell_peer(c);
		tell_peer(other(c));
		if (!other(c)->pid)
			tell_fenced(c);
	}
	drive(c->s);
}

static void kill_child(struct child *c)
{
	c->killed_ms = loop_now_ms();
	kill(c->pid, SIGKILL);
}

/* Fencing on one host: the process is killed, and waitpid proves it. */
static void fence_asked(struct child *by, uint64_t incarnation)
{
	struct child *victim = other(by);

	if (!victim->pid) {
		tell_fenced(by);
		return;
	}
	if (incarnation && victim->known && victim->incarnation != incarnation) {
		note(by->s, by->node, "asks to fence an earlier life of node %d, which is over",
		     victim->node);
		struct pr_fact_fence m = {
			.incarnation = incarnation,
			.ok = 1,
			.why = pr_bytes_str("an earlier process, waitpid returned it")};
		super_fact_fence(by->channel, &m);
		return;
	}
	note(by->s, victim->node, "is fenced, node %d asks for it", by->node);
	kill_child(victim);
}

static void take_message(struct child *c, const struct pr_frame *f, const uint8_t *p)
{
	struct pr_set_score score;
	struct pr_order_result result;
	struct pr_ask_fence fence;
	struct pr_pulse pulse;

	if (f->type == PR_T_SET_SCORE && pr_set_score_decode(&score, p, f->length) == 0)
		score_changed(c, &score);
	else if (f->type == PR_T_ORDER_RESULT && pr_order_result_decode(&result, p, f->length) == 0)
		order_answered(c, &result);
	else if (f->type == PR_T_ASK_FENCE && pr_ask_fence_decode(&fence, p, f->length) == 0)
		fence_asked(c, fence.incarnation);
	else if (f->type == PR_T_PULSE && pr_pulse_decode(&pulse, p, f->length) == 0)
		c->pulse_answered = pulse.nonce;
}

static void child_ready(void *user, uint32_t events)
{
	struct child *c = user;
	struct pr_frame f;
	const uint8_t *p;
	int error = super_read(c->channel);

	while (c->channel && super_next(c->channel, &f, &p))
		take_message(c, &f, p);
	if (error < 0)
		close_channel(c); /* its end comes by waitpid */
}

/* ---- deaths ---- */

static void describe_end(int status, char out[64])
{
	if (WIFSIGNALED(status))
		snprintf(out, 64, "was killed by signal %d", WTERMSIG(status));
	else
		snprintf(out, 64, "ended with status %d", WEXITSTATUS(status));
}

/* Its last words, for who waits for it. */
static void read_last_words(struct child *c)
{
	char path[PATH_MAX], text[512];
	char *end, *line;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%s/log/node%d.log", c->s->dir->path, c->node);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (lseek(fd, -(off_t)(sizeof(text) - 1), SEEK_END) < 0)
		lseek(fd, 0, SEEK_SET);
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return;
	end = text + n;
	while (end > text && end[-1] == '\n')
		end--;
	*end = '\0';
	line = strrchr(text, '\n');
	line = line ? line + 1 : text;
	/* "DATE TIME mdcd1[PID] level   sentence" */
	end = strstr(line, "] error ");
	if (end)
		line = end + strlen("] error ") + strspn(end + strlen("] error "), " ");
	snprintf(c->why, sizeof(c->why), "%.255s", line);
}

/* Why it ended. One that was killed says nothing; its log's last line would mislead. */
static void remember_why(struct child *c, int status, const char *how)
{
	snprintf(c->why, sizeof(c->why), "%s%s", how, c->killed_ms ? " from here" : "");
	if (!c->killed_ms && (WIFEXITED(status) || WTERMSIG(status) == SIGABRT))
		read_last_words(c);
}

static void plan_restart(struct child *c, int status)
{
	uint64_t now = loop_now_ms();
	bool hopeless = WIFEXITED(status) && WEXITSTATUS(status) == HOPELESS;

	c->hopeless = hopeless;
	if (hopeless)
		c->backoff_ms = HOPELESS_MS;
	else if (now - c->started_ms > YOUNG_MS || c->killed_ms)
		c->backoff_ms = RESTART_MS;
	else
		c->backoff_ms =
			2 * c->backoff_ms < RESTART_MAX_MS ? 2 * c->backoff_ms : RESTART_MAX_MS;
	if (c->backoff_ms < RESTART_MS)
		c->backoff_ms = RESTART_MS;
	c->restart_ms = now + c->backoff_ms;
}

static void died(struct child *c, int status)
{
	struct supervisor *s = c->s;
	enum pr_role role = c->role;
	char how[64];

	describe_end(status, how);
	c->died_ms = loop_now_ms();
	c->pid = 0;
	c->known = false;
	c->role = PR_ROLE_STOPPED;
	c->score = 0;
	c->deaths++;
	tell_peer(other(c));
	tell_fenced(other(c));
	close_channel(c);
	note(s, c->node, "(%s) %s", pr_role_name((uint8_t)role), how);
	s->handover_until_ms = 0;
	if (s->ticket && s->ordered == c->node)
		s->ticket = 0;
	if (role == PR_ROLE_ACTIVE) {
		s->noticed_ms = c->died_ms;
		s->outage_ms =
			c->killed_ms && c->killed_ms <= c->died_ms ? c->killed_ms : c->died_ms;
	}
	remember_why(c, status, how);
	plan_restart(c, status);
	drive(s);
}

static void reap(struct supervisor *s)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG | WUNTRACED | WCONTINUED)) > 0)
		for (int i = 0; i < 2; i++) {
			struct child *c = &s->child[i];

			if (c->pid != pid)
				continue;
			if (WIFSTOPPED(status) || WIFCONTINUED(status)) {
				c->stopped = WIFSTOPPED(status);
				note(s, c->node, c->stopped ? "is stopped by a signal" : "goes on");
			} else {
				died(c, status);
			}
		}
}

/* ---- stopping ---- */

static void begin_stop(struct supervisor *s)
{
	if (s->stopping)
		return;
	s->stopping = true;
	s->stop_ms = loop_now_ms();
	note(s, 0, "stops");
}

/*
 * A directory that was removed or moved under a pair that runs: what this path leads to now belongs to another pair, whose
 * addresses, made of the path, are these.
 */
static void look_home(struct supervisor *s, uint64_t now)
{
	struct stat here, there;
	char path[PATH_MAX];

	if (s->homeless || now < s->home_ms)
		return;
	s->home_ms = now + HOME_MS;
	snprintf(path, sizeof(path), "%s/supervisor.pid", s->dir->path);
	if (fstat(s->pid_fd, &here) < 0)
		return;
	if (stat(path, &there) < 0 ? errno != ENOENT && errno != ENOTDIR
				   : there.st_dev == here.st_dev && there.st_ino == here.st_ino)
		return;
	s->homeless = true;
	note(s, 0, "its directory was removed or moved: the pair ends");
	syslog(LOG_DAEMON | LOG_ERR,
	       "the directory %s was removed or moved while its pair ran: the pair ends",
	       s->dir->path);
	begin_stop(s);
}

/* The active first: so both stay members, and nobody stands alone at the next start. */
static void go_on_stopping(struct supervisor *s, uint64_t now)
{
	struct child *a = active(s);
	bool late = now - s->stop_ms > STOP_MS;

	if (!s->child[0].pid && !s->child[1].pid) {
		loop_stop(s->loop);
		return;
	}
	for (int i = 0; i < 2; i++) {
		struct child *c = &s->child[i];

		if (!c->pid || (a && c != a && !late))
			continue;
		if (c->stopped || late)
			kill(c->pid, SIGKILL);
		else if (c->role != PR_ROLE_STOPPED || !c->killed_ms)
			kill(c->pid, SIGTERM);
		c->killed_ms = now;
	}
}

/*
 * A process that is stopped or hangs has not died, but serves nobody. Time counts only as far as this
 * process had it too: after a pause of the whole machine nobody is to blame.
 */
static void feel_pulse(struct child *c)
{
	if (!c->channel || !c->known || c->killed_ms)
		return;
	c->pulse_ms += TICK_MS; /* since it was asked */
	if (c->pulse_answered == c->pulse) {
		if (c->pulse_ms < PULSE_MS)
			return;
		c->pulse_ms = 0;
		super_pulse(c->channel, &(struct pr_pulse){.nonce = ++c->pulse});
	} else if (c->pulse_ms >= SILENT_MS && c->role == PR_ROLE_ACTIVE) {
		note(c->s, c->node, "has not answered for %d ms%s, and is fenced", SILENT_MS,
		     c->stopped ? ", stopped by a signal" : "");
		kill_child(c);
	}
}

static void hang_up(struct asker *a)
{
	loop_remove(a->s->loop, a->source);
	close(a->fd);
	a->fd = -1;
}

/* Who says nothing takes no place for long. */
static void drop_silent_askers(struct supervisor *s, uint64_t now)
{
	for (int i = 0; i < ASKERS_MAX; i++) {
		struct asker *a = &s->asker[i];

		if (a->fd >= 0 && !a->waits_for_end && now - a->since_ms >= ASKER_MS)
			hang_up(a);
	}
}

static void tick(void *user)
{
	struct supervisor *s = user;
	uint64_t now = loop_now_ms();

	look_home(s, now);
	drop_silent_askers(s, now);
	if (s->stopping)
		go_on_stopping(s, now);
	else
		for (int i = 0; i < 2; i++)
			if (!s->child[i].pid && now >= s->child[i].restart_ms)
				start(&s->child[i]);
			else
				feel_pulse(&s->child[i]);
	drive(s);
	loop_set_timer(s->loop, &s->timer, now + TICK_MS);
}

static void signal_ready(void *user, uint32_t events)
{
	struct supervisor *s = user;
	struct signalfd_siginfo info;

	while (read(s->signal_fd, &info, sizeof(info)) == sizeof(info))
		if (info.ssi_signo != SIGCHLD)
			begin_stop(s);
	reap(s);
}

/* ---- the door ---- */

static json_t *child_json(const struct child *c)
{
	return json_pack(
		"{s:i, s:i, s:s, s:b, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:s}", "node", c->node,
		"pid", (int)c->pid, "role", c->pid ? pr_role_name((uint8_t)c->role) : "down",
		"stopped", (int)c->stopped, "hopeless", (int)c->hopeless, "incarnation",
		(json_int_t)c->incarnation, "score", (json_int_t)c->score, "epoch",
		(json_int_t)c->epoch, "deaths", (json_int_t)c->deaths, "started_ms",
		(json_int_t)c->started_ms, "died_ms", (json_int_t)c->died_ms, "why", c->why);
}

static char *status_json(const struct supervisor *s)
{
	json_t *o = json_pack("{s:i, s:b, s:[o,o], s:I, s:I, s:I, s:I}", "pid", (int)getpid(),
			      "stopping", (int)s->stopping, "children", child_json(&s->child[0]),
			      child_json(&s->child[1]), "begun_ms", (json_int_t)s->begun_ms,
			      "outage_ms", (json_int_t)s->outage_ms, "noticed_ms",
			      (json_int_t)s->noticed_ms, "promoted_ms", (json_int_t)s->promoted_ms);
	json_t *list = json_array();
	uint32_t first = s->happenings > EVENTS_MAX ? s->happenings - EVENTS_MAX : 0;
	char *text;

	for (uint32_t i = first; i < s->happenings; i++) {
		const struct happening *h = &s->happening[i % EVENTS_MAX];

		json_array_append_new(list,
				      json_pack("{s:I, s:i, s:s}", "at_ms", (json_int_t)h->at_ms,
						"node", h->node, "what", h->what));
	}
	json_object_set_new(o, "timeline", list);
	text = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	return text;
}

static void answer(struct asker *a, const char *text)
{
	if (send(a->fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		return;
}

static const char *state_name(const struct child *c)
{
	return !c->pid ? "down" : c->killed_ms ? "dying" : pr_role_name((uint8_t)c->role);
}

/* "kill active", "kill standby": by what each last said it is; one that was killed is neither. */
static void kill_role(struct supervisor *s, struct asker *a, const char *role)
{
	char text[128];

	for (int i = 0; i < 2; i++) {
		struct child *c = &s->child[i];

		if (!c->pid || c->killed_ms || strcmp(role, pr_role_name((uint8_t)c->role)) != 0)
			continue;
		snprintf(text, sizeof(text), "{\"node\":%d,\"pid\":%d,\"role\":\"%s\"}", c->node,
			 (int)c->pid, pr_role_name((uint8_t)c->role));
		kill_child(c);
		answer(a, text);
		return;
	}
	snprintf(text, sizeof(text),
		 "{\"error\":\"nobody is %.20s now: node 1 is %s, node 2 is %s\"}", role,
		 state_name(&s->child[0]), state_name(&s->child[1]));
	answer(a, text);
}

static void asked(void *user, uint32_t events)
{
	struct asker *a = user;
	char request[PAIR_REQUEST_MAX + 1], *text;
	ssize_t n = recv(a->fd, request, PAIR_REQUEST_MAX, MSG_DONTWAIT);

	if (n <= 0) {
		hang_up(a);
		return;
	}
	request[n] = '\0';
	if (strcmp(request, "stop") == 0) {
		a->waits_for_end = true;
		begin_stop(a->s);
		return;
	}
	if (strncmp(request, "kill ", 5) == 0) {
		kill_role(a->s, a, request + 5);
	} else if (strcmp(request, "status") == 0) {
		text = status_json(a->s);
		answer(a, text ? text : "{}");
		free(text);
	} else {
		answer(a, "{\"error\":\"unknown request\"}");
	}
	hang_up(a);
}

static void knocked(void *user, uint32_t events)
{
	struct supervisor *s = user;
	int fd = accept4(s->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	for (int i = 0; i < ASKERS_MAX && fd >= 0; i++) {
		struct asker *a = &s->asker[i];

		if (a->fd >= 0)
			continue;
		*a = (struct asker){.fd = fd, .s = s, .since_ms = loop_now_ms()};
		if (loop_add(s->loop, fd, EPOLLIN, asked, a, &a->source) == 0)
			return;
		a->fd = -1;
		break;
	}
	if (fd >= 0)
		close(fd);
}

/* ---- the whole ---- */

static int take_pid_file(struct supervisor *s)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	char path[PATH_MAX], text[32];
	int n;

	snprintf(path, sizeof(path), "%s/supervisor.pid", s->dir->path);
	s->pid_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (s->pid_fd < 0)
		return -errno;
	/* A supervisor that was told to stop answers by its end: for a moment it may still hold the lock. */
	for (int waited_ms = 0; fcntl(s->pid_fd, F_OFD_SETLK, &lock) < 0; waited_ms += 10) {
		if (waited_ms >= LOCK_WAIT_MS)
			return -EBUSY;
		nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
	}
	n = snprintf(text, sizeof(text), "%d\n", (int)getpid());
	if (ftruncate(s->pid_fd, 0) < 0 || pwrite(s->pid_fd, text, (size_t)n, 0) != n)
		return -EIO;
	return 0;
}

static int open_all(struct supervisor *s)
{
	struct loop_source *ignored;
	sigset_t set;
	int error = take_pid_file(s);

	if (error)
		return error;
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);	   /* a terminal that closes ends no pair */
	setpriority(PRIO_PROCESS, 0, -10); /* as the controllers; who may not goes on without */
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	s->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	s->listen_fd = pair_socket_listen(s->dir->path);
	if (s->listen_fd < 0)
		return s->listen_fd;
	error = loop_new(&s->loop);
	if (!error)
		error = loop_add(s->loop, s->signal_fd, EPOLLIN, signal_ready, s, &ignored);
	if (!error)
		error = loop_add(s->loop, s->listen_fd, EPOLLIN, knocked, s, &ignored);
	return error;
}

static void say_ready(int fd, const char *text)
{
	if (fd < 0)
		return;
	if (write(fd, text, strlen(text)) < 0)
		fprintf(stderr, "supervisor: nobody waits for it any more\n");
	close(fd);
}

int supervise(const struct pair_dir *dir, const char *mdcd, int ready_fd)
{
	static struct supervisor s;
	char path[PATH_MAX];
	int error;

	s = (struct supervisor){.dir = dir, .mdcd = mdcd, .begun_ms = loop_now_ms()};
	for (int i = 0; i < ASKERS_MAX; i++)
		s.asker[i].fd = -1;
	for (int i = 0; i < 2; i++)
		s.child[i] = (struct child){.s = &s, .node = i + 1, .role = PR_ROLE_STOPPED};
	error = open_all(&s);
	if (error) {
		say_ready(ready_fd, strerror(-error));
		return 1;
	}
	s.timer = (struct loop_timer){.fn = tick, .user = &s};
	tick(&s);
	say_ready(ready_fd, "ok\n");
	loop_run(s.loop, NULL, NULL);
	snprintf(path, sizeof(path), "%s/supervisor.sock", dir->path);
	if (!s.homeless)
		unlink(path);
	for (int i = 0; i < ASKERS_MAX; i++)
		if (s.asker[i].fd >= 0 && s.asker[i].waits_for_end)
			answer(&s.asker[i], "{\"stopped\":true}");
	loop_free(s.loop);
	return s.exit_status;
}
