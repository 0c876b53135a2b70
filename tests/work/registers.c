/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * registers SPEC SEED SESSIONS PAUSE_US LOG: sessions that write and read the same few registers (files whose mtime is the value)
 * and make and remove names of their own, one operation after the other, each as soon as the last is answered and PAUSE_US are
 * over. SIGTERM ends the work; then everybody's names are listed and must be what they were told. The first error ends it with
 * 1: an outage of the controllers is not one.
 *
 * LOG gets two lines of each operation, times in us since 1970 that never go back:
 *	SESSION asks TIME w REGISTER VALUE | r REGISTER | add NAME | remove NAME
 *	SESSION got TIME [VALUE]
 * registers --check LOG reads them and says whether the answers can be true. A name is a register too: made it holds 1, removed 2.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client/mdcpair.h"
#include "tests/check/history.h"

enum { REGISTERS = 6, SESSIONS_MAX = 32, NAMES = 16 };

static struct {
	const char *spec;
	unsigned pause_us, sessions;
	uint64_t seed, directory, registers[REGISTERS];
	int64_t realtime_us; /* of CLOCK_MONOTONIC's zero */
	FILE *log;
} common;

struct session {
	pthread_t thread;
	struct mdc *mdc;
	unsigned number;
	uint64_t dice, count, name[NAMES]; /* the names that are there; 0: none */
};

static atomic_bool enough;
static atomic_uint failed;

static int64_t clock_us(clockid_t which)
{
	struct timespec t;

	clock_gettime(which, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static uint64_t now_us(void)
{
	return (uint64_t)(common.realtime_us + clock_us(CLOCK_MONOTONIC));
}

static uint32_t draw(struct session *s, uint32_t below)
{
	s->dice ^= s->dice << 13;
	s->dice ^= s->dice >> 7;
	s->dice ^= s->dice << 17;
	return (uint32_t)((s->dice >> 11) % below);
}

/* Values and names are given once in a run. */
static uint64_t next_value(struct session *s)
{
	return ++s->count * SESSIONS_MAX + s->number;
}

static void asks(const struct session *s, const char *what, uint64_t a, uint64_t b)
{
	fprintf(common.log, "%u asks %" PRIu64 " %s %" PRIu64 " %" PRIu64 "\n", s->number, now_us(),
		what, a, b);
}

static bool got(const struct session *s, int error, uint64_t value)
{
	if (error) {
		printf("session %u: %s (%s)\n", s->number, strerror(-error), mdc_error());
		failed++;
		return false;
	}
	fprintf(common.log, "%u got %" PRIu64 " %" PRIu64 "\n", s->number, now_us(), value);
	return true;
}

static bool write_register(struct session *s)
{
	uint32_t reg = draw(s, REGISTERS);
	struct mdc_attr attr = {.mtime_ns = (int64_t)next_value(s)};

	asks(s, "w", reg, (uint64_t)attr.mtime_ns);
	return got(s, mdc_setattr(s->mdc, NULL, common.registers[reg], MDC_SET_MTIME, &attr, &attr),
		   (uint64_t)attr.mtime_ns);
}

static bool read_register(struct session *s)
{
	uint32_t reg = draw(s, REGISTERS);
	struct mdc_attr attr = {0};
	int r;

	asks(s, "r", reg, 0);
	r = mdc_getattr(s->mdc, common.registers[reg], &attr);
	return got(s, r, (uint64_t)attr.mtime_ns);
}

/* A name that is there already, or gone, when it was never so: the request ran twice. */
static bool make_or_remove(struct session *s)
{
	uint64_t *name = &s->name[draw(s, NAMES)];
	struct mdc_attr attr;
	char text[32];

	if (*name) {
		snprintf(text, sizeof(text), "%" PRIu64, *name);
		asks(s, "remove", *name, 0);
		*name = 0;
		return got(s, mdc_unlink(s->mdc, NULL, common.directory, text), 0);
	}
	*name = next_value(s);
	snprintf(text, sizeof(text), "%" PRIu64, *name);
	asks(s, "add", *name, 0);
	return got(s, mdc_mknod(s->mdc, NULL, common.directory, text, 0100600, 0, &attr), 0);
}

static void *work(void *arg)
{
	struct session *s = arg;
	bool good = true;

	while (good && !enough && !failed) {
		uint32_t what = draw(s, 10);

		good = what < 4	  ? write_register(s)
		       : what < 8 ? read_register(s)
				  : make_or_remove(s);
		if (common.pause_us)
			usleep(common.pause_us);
	}
	return NULL;
}

struct listing {
	struct session *sessions;
	uint64_t found, unknown;
};

static bool is_known(void *arg, const struct mdc_dirent *entry)
{
	struct listing *l = arg;
	uint64_t name = strtoull(entry->name, NULL, 10);
	const struct session *s = &l->sessions[name % SESSIONS_MAX];

	for (unsigned i = 0; i < NAMES; i++)
		if (s->name[i] == name) {
			l->found++;
			return true;
		}
	printf("the name %s is there and was removed\n", entry->name);
	l->unknown++;
	return true;
}

static uint64_t last_cookie;

static bool fill(void *arg, const struct mdc_dirent *entry)
{
	last_cookie = entry->cookie;
	return is_known(arg, entry);
}

/* What is there is what they were told. */
static bool names_are_right(struct session *sessions)
{
	struct listing l = {.sessions = sessions};
	uint64_t right = 0;
	bool end = false;

	for (unsigned i = 0; i < common.sessions; i++)
		for (unsigned n = 0; n < NAMES; n++)
			right += sessions[i].name[n] != 0;
	while (!end) {
		int r = mdc_readdir(sessions[0].mdc, NULL, common.directory, last_cookie, 65536,
				    fill, &l, &end, NULL);

		if (r < 0) {
			printf("readdir: %s\n", mdc_error());
			return false;
		}
	}
	if (l.found != right)
		printf("%" PRIu64 " names of %" PRIu64 " are there\n", l.found, right);
	return l.found == right && !l.unknown;
}

static int open_session(struct session *s)
{
	struct mdc_options options = {.flags = MDC_OPEN_NO_DATA, .slots = 1};

	s->dice = (common.seed * SESSIONS_MAX + s->number) * 2654435761u + 88172645463325252ull;
	return mdc_open_volume(common.spec, &options, &s->mdc);
}

static int make_files(struct mdc *mdc)
{
	struct mdc_attr attr, zero = {0};
	struct mdc_info info;
	char name[64];
	int r;

	mdc_get_info(mdc, &info);
	snprintf(name, sizeof(name), "registers-%" PRIu64, now_us());
	r = mdc_mkdir(mdc, NULL, info.root, name, 0755, &attr);
	common.directory = attr.ino;
	for (unsigned i = 0; i < REGISTERS && r == 0; i++) {
		snprintf(name, sizeof(name), "register-%" PRIu64 "-%u", now_us(), i);
		r = mdc_mknod(mdc, NULL, info.root, name, 0100600, 0, &attr);
		common.registers[i] = attr.ino;
		if (r == 0)
			r = mdc_setattr(mdc, NULL, attr.ino, MDC_SET_MTIME, &zero, &attr);
	}
	return r;
}

static void stop(int signal)
{
	(void)signal;
	enough = true;
}

static int run(void)
{
	struct session s[SESSIONS_MAX] = {0};
	struct sigaction on_term = {.sa_handler = stop};

	common.realtime_us = clock_us(CLOCK_REALTIME) - clock_us(CLOCK_MONOTONIC);
	for (unsigned i = 0; i < common.sessions; i++) {
		s[i].number = i;
		if (open_session(&s[i]) < 0 || (i == 0 && make_files(s[0].mdc) < 0)) {
			printf("%s: %s\n", common.spec, mdc_error());
			return 1;
		}
	}
	sigaction(SIGTERM, &on_term, NULL);
	printf("working\n");
	for (unsigned i = 0; i < common.sessions; i++)
		if (pthread_create(&s[i].thread, NULL, work, &s[i]) != 0)
			return 1;
	for (unsigned i = 0; i < common.sessions; i++)
		pthread_join(s[i].thread, NULL);
	fflush(common.log);
	if (failed || !names_are_right(s))
		return 1;
	for (unsigned i = 0; i < common.sessions; i++)
		mdc_close_volume(s[i].mdc, 1000);
	printf("all names are there\n");
	return 0;
}

/* ---- --check ---- */

struct reading {
	struct history_op *ops, open[SESSIONS_MAX];
	bool is_open[SESSIONS_MAX];
	size_t n, room, unknown;
};

static void keep(struct reading *r, const struct history_op *op)
{
	if (r->n == r->room) {
		r->room = r->room ? 2 * r->room : 4096;
		r->ops = realloc(r->ops, r->room * sizeof(*r->ops));
		if (!r->ops)
			abort();
	}
	r->ops[r->n++] = *op;
}

static bool read_line(struct reading *r, const char *line)
{
	uint64_t time, a = 0, b = 0;
	char word[8], what[8];
	struct history_op *op;
	unsigned s;
	int at = 0;

	if (sscanf(line, "%u %7s %" SCNu64 " %n", &s, word, &time, &at) < 3 || s >= SESSIONS_MAX)
		return false;
	op = &r->open[s];
	if (strcmp(word, "got") == 0) {
		if (!r->is_open[s] || sscanf(line + at, "%" SCNu64, &a) != 1)
			return false;
		if (!op->is_write)
			op->value = a;
		op->answered_us = time;
		r->is_open[s] = false;
		keep(r, op);
		return true;
	}
	if (r->is_open[s] || sscanf(line + at, "%7s %" SCNu64 " %" SCNu64, what, &a, &b) != 3)
		return false;
	*op = (struct history_op){.asked_us = time, .answered_us = HISTORY_UNKNOWN};
	op->is_write = strcmp(what, "r") != 0;
	op->reg = strcmp(what, "w") == 0 || !op->is_write ? a : REGISTERS + a;
	op->value = what[0] == 'w' ? b : what[1] == 'd' ? 1 : 2;
	r->is_open[s] = true;
	return true;
}

static int check(const char *path)
{
	char line[256], why[HISTORY_WHY_BYTES];
	FILE *f = fopen(path, "re");
	struct reading r = {0};
	size_t number = 0;

	if (!f) {
		printf("%s: %s\n", path, strerror(errno));
		return 1;
	}
	while (fgets(line, sizeof(line), f) && ++number)
		if (strchr(line, '\n') && !read_line(&r, line)) {
			printf("%s, line %zu: not an operation's: %s", path, number, line);
			return 1;
		}
	fclose(f);
	/* A write without an answer may have happened; a read without one says nothing. */
	for (unsigned s = 0; s < SESSIONS_MAX; s++)
		if (r.is_open[s]) {
			r.unknown++;
			if (r.open[s].is_write)
				keep(&r, &r.open[s]);
		}
	if (!history_is_linear(r.ops, r.n, why)) {
		printf("%s\n", why);
		return 1;
	}
	printf("%zu operations explained, %zu never answered\n", r.n, r.unknown);
	return 0;
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc == 3 && strcmp(argv[1], "--check") == 0)
		return check(argv[2]);
	if (argc != 6 || atoi(argv[3]) < 1 || atoi(argv[3]) > SESSIONS_MAX) {
		fprintf(stderr,
			"usage: registers SPEC SEED SESSIONS PAUSE_US LOG | registers --check "
			"LOG\n");
		return 2;
	}
	common.spec = argv[1];
	common.seed = strtoull(argv[2], NULL, 10);
	common.sessions = (unsigned)atoi(argv[3]);
	common.pause_us = (unsigned)atoi(argv[4]);
	common.log = fopen(argv[5], "we");
	if (!common.log) {
		perror(argv[5]);
		return 1;
	}
	setvbuf(common.log, NULL, _IOLBF, 0);
	return run();
}
