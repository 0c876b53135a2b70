/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command: sweeps over all writes and calls of a script, or one run, told. */
#include "tests/crash/crash_pool.h"
#include "tests/crash/crash_table.h"
#include "tests/crash/heap.h"
#include "tests/number.h"

#include "journal/core/format.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char usage[] =
	"usage: crash [--sweep crash|pairs|io|memory|damage|all [--script SCRIPT]] [--share N] [--all] [--jobs N] [--ops N] [--dir DIR] [--keep-going]\n"
	"       crash --script pair|apart|still|fresh [--at N --fate FATE [--then N --fate FATE]]\n"
	"             [--fail N --fault FAULT] [--trace]\n"
	"             [--deny N [--lasting]]\n"
	"             [--damage zeroed|flipped|old|swapped --file FILE --sector N --node N [--lone]]\n"
	"\n"
	"  --sweep   which sweep (all): the power lost at each write, at two of them, each call failing, each allocation failing, each sector damaged\n"
	"  --script  with --sweep: this one alone\n"
	"  --share N every N-th run of the sweep, evenly; of pairs every N-th of one of eight\n"
	"  --all     all runs, of pairs too; with --share every N-th of all\n"
	"  --keep-going  also behind a run that broke a rule\n"
	"  --ops N   operations of the script (200)\n"
	"  --dir DIR where the files are (/dev/shm, or /tmp)\n"
	"  --at N    the power goes at the N-th write; FATE of what was not synced: kept, dropped, torn\n"
	"  --fail N  the N-th call that concerns a disk fails; FAULT: EIO, ENOSPC, short\n"
	"  --deny N  the N-th allocation gets no memory; --lasting: nor do those behind it, until that controller ends\n";

enum {
	PAIRS_SPAN = 64,  /* the second crash strikes this many writes behind the first, at most */
	DAMAGES_MIN = 50, /* so many must strike what the sweep is for */
	ONCE_SHARE = 8,	  /* of so many pairs one may lose its second crash, and ONCE_MIN */
	ONCE_MIN = 2,
};

struct sweep {
	const char *name;
	struct crash_pool *pool;
	uint64_t share, given, taken, runs, bad, struck, crashes, promotions, copies, refused,
		quarantined, halted, denied, ended, changed, noticed, unserved, once;
	struct crash_table table;
	bool keep_going;
};

static void describe(const struct crash_run *r, char out[200])
{
	const struct disk_plan *p = &r->plan;
	int n = snprintf(out, 200, "crash --script %s --ops %llu", crash_script_name(r->script),
			 (unsigned long long)r->ops);

	for (int i = 0; i < DISK_CRASHES && p->crash_at[i]; i++)
		n += snprintf(out + n, (size_t)(200 - n), " --%s %llu --fate %s", i ? "then" : "at",
			      (unsigned long long)p->crash_at[i], disk_fate_name(p->fate[i]));
	if (r->damage.kind)
		snprintf(out + n, (size_t)(200 - n),
			 " --damage %s --file %s --sector %llu --node %d%s",
			 crash_damage_name(r->damage.kind), crash_file_name(r->damage.file),
			 (unsigned long long)r->damage.sector, r->damage.node,
			 r->damage.lone ? " --lone" : "");
	if (p->fail_at)
		snprintf(out + n, (size_t)(200 - n), " --fail %llu --fault %s",
			 (unsigned long long)p->fail_at, disk_fault_name(p->fault));
	if (r->heap.fail_at)
		snprintf(out + n, (size_t)(200 - n), " --deny %llu%s",
			 (unsigned long long)r->heap.fail_at, r->heap.lasting ? " --lasting" : "");
}

static void done(void *user, const struct crash_run *run, const struct crash_result *r)
{
	struct sweep *s = user;
	char text[200];

	s->runs++;
	s->struck += r->struck || r->denied || r->changed;
	s->crashes += r->crashes;
	s->promotions += r->promotions;
	s->copies += r->full_copies;
	s->refused += r->refused_starts;
	s->quarantined += r->quarantined;
	s->halted += r->halted;
	s->denied += r->denied;
	s->ended += r->denied && r->said[0];
	s->once += r->once;
	s->changed += r->changed;
	s->noticed += r->changed && r->noticed;
	s->unserved += r->changed && !r->served;
	crash_table_add(&s->table, r);
	if (!r->rule[0])
		return;
	s->bad++;
	describe(run, text);
	printf("%s: VIOLATION of %s: %s\n  at %s\n", text, r->rule, r->why, r->where);
}

/* One of each share runs, not always the same one: what varies in small steps would be the same in all that are taken. */
static bool is_drawn(uint64_t run, uint64_t share)
{
	uint64_t x = (run / share + 1) * UINT64_C(0x9e3779b97f4a7c15);

	return run % share == (x ^ x >> 29) % share;
}

static void give(struct sweep *s, const struct crash_run *run)
{
	if (s->bad && !s->keep_going)
		return;
	if (!is_drawn(s->given++, s->share))
		return;
	s->taken++;
	crash_pool_give(s->pool, run);
}

static void base_done(void *user, const struct crash_run *run, const struct crash_result *r)
{
	*(struct crash_result *)user = *r;
}

/* The script without a fault: how many writes and calls it has. */
static bool base(enum crash_script script, uint64_t ops, const char *dir, struct crash_result *ret)
{
	struct crash_run run = {.script = script, .ops = ops};
	struct crash_pool *p = crash_pool_new(1, dir, base_done, ret);

	crash_pool_give(p, &run);
	crash_pool_finish(p);
	crash_pool_free(p);
	if (ret->rule[0]) {
		printf("script %s without a fault: VIOLATION of %s: %s\n",
		       crash_script_name(script), ret->rule, ret->why);
		return false;
	}
	for (int n = 1; script == CRASH_FRESH && n <= SIM_NODES; n++) {
		if (ret->fresh[n].named && ret->fresh[n].unnamed)
			continue;
		printf("script fresh leaves node %d %u batches that its store lacks, and %u behind its ring: it shows nothing\n",
		       n, ret->fresh[n].named, ret->fresh[n].unnamed);
		return false;
	}
	if (script == CRASH_APART && ret->full_copies == 0) {
		printf("script apart makes no full copy: it shows nothing\n");
		return false;
	}
	return true;
}

static void sweep_crash(struct sweep *s, struct crash_run run, const struct crash_result *b)
{
	for (uint64_t at = 1; at <= b->writes; at++) {
		for (int fate = 0; fate < DISK_FATES; fate++) {
			run.plan = (struct disk_plan){.crash_at = {at},
						      .fate = {(at + (unsigned)fate) % DISK_FATES}};
			give(s, &run);
		}
	}
}

static void sweep_pairs(struct sweep *s, struct crash_run run, const struct crash_result *b)
{
	for (uint64_t at = 1; at <= b->writes; at++) {
		for (uint64_t then = at + 1; then <= at + PAIRS_SPAN; then++) {
			unsigned fates = (unsigned)(at * 31 + then) % (DISK_FATES * DISK_FATES);

			run.plan = (struct disk_plan){
				.crash_at = {at, then},
				.fate = {fates % DISK_FATES, fates / DISK_FATES}};
			give(s, &run);
		}
	}
}

static void sweep_io(struct sweep *s, struct crash_run run, const struct crash_result *b)
{
	for (uint64_t at = 1; at <= b->calls && at < DISK_CALLS_MAX; at++) {
		for (unsigned fault = 0; fault < DISK_FAULTS; fault++) {
			run.plan = (struct disk_plan){.fail_at = at,
						      .fault = (at + fault) % DISK_FAULTS};
			if (b->can_fail[at] >> run.plan.fault & 1)
				give(s, &run);
		}
	}
}

static void sweep_memory(struct sweep *s, struct crash_run run, const struct crash_result *b)
{
	for (uint64_t at = 1; at <= b->allocations; at++) {
		for (int lasting = 0; lasting < 2; lasting++) {
			run.heap = (struct heap_plan){.fail_at = at, .lasting = lasting};
			give(s, &run);
		}
	}
}

/* Of fresh only what holds or names batches that the store lacks: the rest is that of still. */
static bool is_worth(const struct crash_damage *d, const struct crash_result *fresh)
{
	uint64_t page = d->sector / (JR_PAGE_BYTES / JR_SECTOR_BYTES);

	return d->file < CRASH_FILE_STATE && fresh->fresh[d->node].pages[d->file] >> page & 1;
}

static void sweep_damage(struct sweep *s, struct crash_run run, const struct crash_result *b)
{
	for (unsigned file = 0; file < CRASH_FILES; file++) {
		for (uint64_t i = 0; i < crash_file_sectors(file) * 16; i++) {
			run.damage = (struct crash_damage){.file = file,
							   .sector = i / 16,
							   .kind = (i + i / 16) % 4 + CRASH_ZEROED,
							   .node = 1 + (int)(i / 4 % 2),
							   .lone = i / 8 % 2};
			if (run.script == CRASH_STILL || is_worth(&run.damage, b))
				give(s, &run);
		}
	}
}

/* What each script is for: all of it by all runs, the first by a share, too. */
static const struct {
	enum crash_script script;
	enum crash_where where;
	bool first;
} due[] = {
	{CRASH_STILL, CRASH_BATCH_STORED, true}, {CRASH_STILL, CRASH_RING_NEWEST, false},
	{CRASH_STILL, CRASH_RING_OLDER, false},	 {CRASH_STILL, CRASH_RING_UNUSED, false},
	{CRASH_STILL, CRASH_STATE_COPY, false},	 {CRASH_STILL, CRASH_ARBITER_COPY, false},
	{CRASH_STILL, CRASH_FLOOR_COPY, false},	 {CRASH_STILL, CRASH_DATA_UNUSED, false},
	{CRASH_FRESH, CRASH_BATCH_NEEDED, true}, {CRASH_FRESH, CRASH_BATCH_UNNAMED, true},
	{CRASH_FRESH, CRASH_RING_NEWEST, false}, {CRASH_FRESH, CRASH_RING_OLDER, false},
};

static void check_due(struct sweep *s, enum crash_script script)
{
	for (size_t i = 0; i < sizeof(due) / sizeof(due[0]); i++) {
		if (due[i].script != script || crash_table_total(&s->table, due[i].where) > 0 ||
		    s->runs < (due[i].first ? DAMAGES_MIN : s->given))
			continue;
		printf("no run damaged this: %s\n", crash_where_name(due[i].where));
		s->bad++;
	}
}

static const struct {
	const char *name, *what;
	void (*fn)(struct sweep *, struct crash_run, const struct crash_result *);
	uint64_t share; /* of all runs, this many fewer */
} sweeps[] = {
	{"crash", "the power lost at a write", sweep_crash, 1},
	{"pairs", "the power lost twice", sweep_pairs, 8},
	{"io", "a call fails", sweep_io, 1},
	{"memory", "an allocation fails", sweep_memory, 1},
	{"damage", "a sector is damaged", sweep_damage, 1},
};

struct arguments {
	const char *sweep, *dir;
	unsigned jobs;
	uint64_t share;
	bool sweeps, scripted, all, keep_going; /* scripted without sweeps: one run */
	struct crash_run run;
};

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint64_t run_sweep(const struct arguments *a, size_t i, enum crash_script script,
			  const struct crash_result *b)
{
	struct sweep s = {.share = a->share * (a->all ? 1 : sweeps[i].share),
			  .keep_going = a->keep_going};
	struct crash_run run = a->run;
	double begun = seconds();

	run.script = script;
	s.pool = crash_pool_new(a->jobs, a->dir, done, &s);
	sweeps[i].fn(&s, run, b);
	crash_pool_finish(s.pool);
	crash_pool_free(s.pool);
	if (sweeps[i].fn == sweep_damage && (!s.bad || s.keep_going))
		check_due(&s, script);
	if (s.once > ONCE_MIN + s.runs / ONCE_SHARE) {
		printf("too many runs were over before the power was lost again: %llu\n",
		       (unsigned long long)s.once);
		s.bad++;
	}
	if (s.given == 0) {
		printf("script %s has no runs for %s\n", crash_script_name(script), sweeps[i].name);
		s.bad++;
	}
	printf("script %s, %s: %llu of %llu runs, %llu struck; %llu deaths, %llu promotions, %llu full copies, %llu starts refused, %llu quarantined, %llu halted; %llu bad; %.0f s\n",
	       crash_script_name(script), sweeps[i].what, (unsigned long long)s.runs,
	       (unsigned long long)s.given, (unsigned long long)s.struck,
	       (unsigned long long)s.crashes, (unsigned long long)s.promotions,
	       (unsigned long long)s.copies, (unsigned long long)s.refused,
	       (unsigned long long)s.quarantined, (unsigned long long)s.halted,
	       (unsigned long long)s.bad, seconds() - begun);
	if (s.once)
		printf("  %llu of them were over before the power was lost again\n",
		       (unsigned long long)s.once);
	if (s.denied)
		printf("  %llu without memory: %llu ended by it and said so, the others went on\n",
		       (unsigned long long)s.denied, (unsigned long long)s.ended);
	if (s.changed)
		printf("  %llu of them changed the sector, %llu of these were said; %llu ended in refusal to serve\n",
		       (unsigned long long)s.changed, (unsigned long long)s.noticed,
		       (unsigned long long)s.unserved);
	if (s.changed)
		crash_table_print(&s.table);
	return s.bad;
}

static int run_all(const struct arguments *a)
{
	uint64_t bad = 0, known = 0;

	for (enum crash_script script = 0; script < CRASH_SCRIPTS; script++) {
		bool damages = script == CRASH_STILL || script == CRASH_FRESH;
		struct crash_result b;

		if (a->scripted && script != a->run.script)
			continue;
		if (!base(script, a->run.ops, a->dir, &b))
			return 1;
		printf("script %s: %llu operations, %llu writes, %llu calls that can fail, %llu allocations\n",
		       crash_script_name(script), (unsigned long long)b.ops,
		       (unsigned long long)b.writes, (unsigned long long)b.calls,
		       (unsigned long long)b.allocations);
		for (int n = 1; script == CRASH_FRESH && n <= SIM_NODES; n++)
			printf("  node %d: %u batches that its store lacks, and %u behind its ring\n",
			       n, b.fresh[n].named, b.fresh[n].unnamed);
		for (size_t i = 0; i < sizeof(sweeps) / sizeof(sweeps[0]); i++) {
			if (strcmp(a->sweep, "all") != 0 && strcmp(a->sweep, sweeps[i].name) != 0)
				continue;
			if (damages != (sweeps[i].fn == sweep_damage))
				continue;
			if (sweeps[i].fn == sweep_memory && !heap_is_ours()) {
				printf("  memory: left out, this build has the heap of a sanitizer\n");
				known++;
				continue;
			}
			known++;
			bad += run_sweep(a, i, script, &b);
		}
	}
	if (!known)
		fputs(usage, stderr);
	return known == 0 ? 2 : bad > 0;
}

static void one_done(void *user, const struct crash_run *run, const struct crash_result *r)
{
	char text[200];

	*(int *)user = r->rule[0] != '\0';
	describe(run, text);
	printf("%s: %s%s%s%s; %llu writes, %llu calls, %llu allocations, %llu deaths, %llu promotions, %llu full copies; struck: %s%s%s\n",
	       text, r->rule[0] ? "VIOLATION of " : "holds", r->rule, r->rule[0] ? ": " : "",
	       r->why, (unsigned long long)r->writes, (unsigned long long)r->calls,
	       (unsigned long long)r->allocations, (unsigned long long)r->crashes,
	       (unsigned long long)r->promotions, (unsigned long long)r->full_copies, r->where,
	       r->said[0] ? "; it ended: " : "", r->said);
	if (r->changed)
		printf("%s: %s\n", crash_where_name(r->where_it_lay),
		       crash_outcome_name(r->outcome));
}

static int run_one(const struct arguments *a)
{
	int bad = 1;
	struct crash_pool *p = crash_pool_new(1, a->dir, one_done, &bad);

	crash_pool_give(p, &a->run);
	crash_pool_finish(p);
	crash_pool_free(p);
	return bad;
}

static int word(const char *text, const char *(*name)(unsigned), unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (strcmp(text, name(i)) == 0)
			return (int)i;
	fprintf(stderr, "crash: \"%s\" is none of the words for this; --help tells them\n", text);
	exit(2);
}

static const char *script_word(unsigned i)
{
	return crash_script_name(i);
}

static const char *damage_word(unsigned i)
{
	return crash_damage_name(i);
}

static const char *file_word(unsigned i)
{
	return crash_file_name(i);
}

static const char *fate_word(unsigned i)
{
	return disk_fate_name(i);
}

static const char *fault_word(unsigned i)
{
	return disk_fault_name(i);
}

static void parse(int argc, char **argv, struct arguments *a)
{
	static const struct option options[] = {{"sweep", 1, 0, 'w'},
						{"share", 1, 0, 's'},
						{"jobs", 1, 0, 'j'},
						{"ops", 1, 0, 'o'},
						{"dir", 1, 0, 'd'},
						{"script", 1, 0, 'S'},
						{"at", 1, 0, 'a'},
						{"then", 1, 0, 'T'},
						{"fate", 1, 0, 'f'},
						{"fail", 1, 0, 'F'},
						{"fault", 1, 0, 'u'},
						{"trace", 0, 0, 't'},
						{"damage", 1, 0, 'D'},
						{"file", 1, 0, 'L'},
						{"sector", 1, 0, 'x'},
						{"node", 1, 0, 'n'},
						{"lone", 0, 0, 'l'},
						{"help", 0, 0, 'h'},
						{"keep-going", 0, 0, 'k'},
						{"deny", 1, 0, 'y'},
						{"lasting", 0, 0, 'Y'},
						{"all", 0, 0, 'A'},
						{0}};
	unsigned fate = 0;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'w':
			a->sweep = optarg;
			a->sweeps = true;
			break;
		case 's':
			a->share = number_of("share", optarg, 1, UINT32_MAX);
			break;
		case 'j':
			a->jobs = (unsigned)number_of("jobs", optarg, 1, 1024);
			break;
		case 'o':
			a->run.ops = number_of("ops", optarg, 1, UINT32_MAX);
			break;
		case 'd':
			a->dir = optarg;
			break;
		case 'S':
			a->scripted = true;
			a->run.script = (unsigned)word(optarg, script_word, CRASH_SCRIPTS);
			break;
		case 'a':
			a->run.plan.crash_at[0] = number_of("at", optarg, 1, UINT64_MAX);
			fate = 0;
			break;
		case 'T':
			a->run.plan.crash_at[1] = number_of("then", optarg, 1, UINT64_MAX);
			fate = 1;
			break;
		case 'f':
			a->run.plan.fate[fate] = (unsigned)word(optarg, fate_word, DISK_FATES);
			break;
		case 'F':
			a->run.plan.fail_at = number_of("fail", optarg, 1, UINT64_MAX);
			break;
		case 'u':
			a->run.plan.fault = (unsigned)word(optarg, fault_word, DISK_FAULTS);
			break;
		case 'D':
			a->run.damage.kind = (unsigned)word(optarg, damage_word, CRASH_DAMAGES);
			break;
		case 'L':
			a->run.damage.file = (unsigned)word(optarg, file_word, CRASH_FILES);
			break;
		case 'x':
			a->run.damage.sector = number_of("sector", optarg, 0, UINT32_MAX);
			break;
		case 'n':
			a->run.damage.node = (int)number_of("node", optarg, 1, SIM_NODES);
			break;
		case 'l':
			a->run.damage.lone = true;
			break;
		case 'y':
			a->run.heap.fail_at = number_of("deny", optarg, 1, UINT64_MAX);
			break;
		case 'Y':
			a->run.heap.lasting = true;
			break;
		case 't':
			a->run.trace = a->run.plan.trace = a->run.heap.trace = true;
			break;
		case 'A':
			a->all = true;
			break;
		case 'k':
			a->keep_going = true;
			break;
		default:
			fputs(usage, c == 'h' ? stdout : stderr);
			exit(c == 'h' ? 0 : 2);
		}
	}
}

int main(int argc, char **argv)
{
	struct arguments a = {.sweep = "all", .share = 1, .run = {.ops = 200}};
	struct stat st;

	a.dir = stat("/dev/shm", &st) == 0 && S_ISDIR(st.st_mode) ? "/dev/shm" : "/tmp";
	a.jobs = (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	parse(argc, argv, &a);
	return a.scripted && !a.sweeps ? run_one(&a) : run_all(&a);
}
