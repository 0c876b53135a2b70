/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command: seeds one after the other, on several processors, with a ledger; or one seed, told, repeated or shrunk. */
#include "proto/assert_stderr.h"
#include "tests/number.h"
#include "tests/sim/sim_scenario.h"
#include "tests/sim/sim_shrink.h"
#include "tests/sim/sim_small.h"
#include "tests/sim/sim_totals.h"

#include <getopt.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
	"usage: sim --seeds N [--from S] [--jobs N] [--keep-going] [--ledger FILE]\n"
	"       sim --seed S [--trace | --frames | --repeat N] [--only FAULTS] [--until MS] [--no-rest] | --seed S --shrink\n"
	"       sim --scenario N|all [--seed S] [--trace | --frames]\n"
	"       sim --search [--seeds N] [--from S] [--ledger FILE] [--trace]\n"
	"\n"
	"  --seeds N     run N seeds, from S (1) on, and stop at the first that breaks a rule\n"
	"  --jobs N      that many processes (all processors)\n"
	"  --ledger FILE go on behind the last seed that FILE knows, and add to its sums; a new FILE begins at --from. Exit status: of all that FILE knows\n"
	"  --seed S      run one seed and print its configuration and its trace hash\n"
	"  --trace       print every event of note\n"
	"  --frames      the same, with every frame that arrives\n"
	"  --scenario N  run a scripted failure (all: each of them, list: their names); exit status 3: it has no script, and why\n"
	"  --search      small runs: is there an order of their operations that explains all answers?\n"
	"  --shrink      leave out faults as long as it fails in the same way, and print the command that does\n"
	"  --only LIST   only these faults happen: 3,17,42\n"
	"  --until MS    faults stop at that time, not when enough has happened\n"
	"  --no-rest     the run ends with the faults: nobody need come to rest\n"
	"  --repeat N    run it N times: the trace hash must be the same\n";

struct arguments {
	struct sim_batch_run run;
	uint64_t seed, repeat;
	bool one, trace, frames;
	struct sim_replay replay;
	const char *scenario;
	bool shrink, search;
};

static int run_one(const struct arguments *a)
{
	uint64_t hash = 0;
	int bad = 0;

	for (uint64_t i = 0; i < a->repeat && !bad; i++) {
		struct sim *s = sim_new(a->seed);

		s->trace = a->trace;
		s->trace_frames = a->frames;
		sim_replay(s, &a->replay);
		if (i == 0)
			sim_swarm_print(s);
		sim_run(s);
		bad = sim_report(s);
		if (i > 0 && s->hash != hash) {
			printf("seed %llu: run %llu has trace hash %016llx, the first had %016llx\n",
			       (unsigned long long)a->seed, (unsigned long long)i + 1,
			       (unsigned long long)s->hash, (unsigned long long)hash);
			bad = 1;
		}
		hash = s->hash;
		if (!bad && i + 1 == a->repeat)
			printf("seed %llu holds%s; %llu operations, %llu faults, %llu failovers, %.1f s of virtual time; trace hash %016llx",
			       (unsigned long long)a->seed,
			       s->counts ? "" : ", but too little happened for it to count",
			       (unsigned long long)s->done_ops, (unsigned long long)s->struck,
			       (unsigned long long)s->failovers, (double)s->now_us / 1e6,
			       (unsigned long long)hash);
		sim_free(s);
	}
	if (!bad)
		printf(a->repeat > 1 ? " in each of %llu runs\n" : "\n",
		       (unsigned long long)a->repeat);
	return bad;
}

static int run_scenario(const struct arguments *a, const struct sim_scenario *scenario)
{
	struct sim *s = sim_new(a->one ? a->seed : (uint64_t)scenario->number);
	bool bad;

	s->trace = a->trace;
	s->trace_frames = a->frames;
	sim_scenario_run(s, scenario);
	bad = s->violation;
	printf("scenario %d: %s: %s%s%s, %llu operations, %.1f s\n", scenario->number,
	       scenario->name, bad ? s->violation : "holds", bad ? ": " : "", bad ? s->why : "",
	       (unsigned long long)s->done_ops, (double)s->now_us / 1e6);
	sim_free(s);
	return bad;
}

enum { EXIT_WAITS = 3 };

/* 0, or 1 if it broke a rule, or EXIT_WAITS. */
static int run_number(const struct arguments *a, int number)
{
	const struct sim_scenario *scenario = sim_scenario_of(number);
	const char *waits = sim_scenario_waits_for(number);
	bool list = strcmp(a->scenario, "list") == 0;

	if (scenario && !list)
		return run_scenario(a, scenario);
	if (!scenario && !waits)
		fprintf(stderr, "sim: there is no scenario %d; --scenario list names them\n",
			number);
	else
		printf("%d %s%s\n", number,
		       scenario ? scenario->name : "not run: ", scenario ? "" : waits);
	return scenario ? 0 : waits ? EXIT_WAITS : 1;
}

static int run_scenarios(const struct arguments *a)
{
	bool all = strcmp(a->scenario, "all") == 0, list = strcmp(a->scenario, "list") == 0;
	int bad = 0;

	if (!all && !list)
		return run_number(a, (int)number_of("scenario", a->scenario, 1, INT_MAX));
	for (int n = 1; n <= SIM_SCENARIO_LAST; n++)
		if (list || !sim_scenario_waits_for(n))
			bad |= run_number(a, n) == 1;
	return bad;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"seeds", 1, 0, 'n'},	{"from", 1, 0, 'f'},
						{"seed", 1, 0, 's'},	{"trace", 0, 0, 't'},
						{"repeat", 1, 0, 'r'},	{"jobs", 1, 0, 'j'},
						{"frames", 0, 0, 'F'},	{"shrink", 0, 0, 'H'},
						{"only", 1, 0, 'O'},	{"scenario", 1, 0, 'S'},
						{"search", 0, 0, 'W'},	{"keep-going", 0, 0, 'k'},
						{"ledger", 1, 0, 'l'},	{"until", 1, 0, 'U'},
						{"no-rest", 0, 0, 'R'}, {0}};
	struct arguments a = {.run = {.seeds = 1, .from = 1}, .repeat = 1};
	int c;

	a.run.jobs = (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	pr_assert_to_stderr();
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'n':
			a.run.seeds = number_of("seeds", optarg, 1, UINT64_MAX);
			break;
		case 'f':
			a.run.from = number_of("from", optarg, 0, UINT64_MAX);
			break;
		case 's':
			a.seed = number_of("seed", optarg, 0, UINT64_MAX);
			a.one = true;
			break;
		case 't':
			a.trace = true;
			break;
		case 'H':
			a.shrink = true;
			break;
		case 'O':
			a.replay.only = optarg;
			break;
		case 'U':
			a.replay.until_ms = strtoull(optarg, NULL, 0);
			break;
		case 'R':
			a.replay.no_rest = true;
			break;
		case 'S':
			a.scenario = optarg;
			break;
		case 'W':
			a.search = true;
			break;
		case 'F':
			a.trace = a.frames = true;
			break;
		case 'r':
			a.repeat = number_of("repeat", optarg, 1, UINT64_MAX);
			break;
		case 'j':
			a.run.jobs = (unsigned)number_of("jobs", optarg, 1, UINT_MAX);
			break;
		case 'k':
			a.run.keep_going = true;
			break;
		case 'l':
			a.run.ledger = optarg;
			break;
		default:
			fputs(usage, stderr);
			return 2;
		}
	}
	if (a.search)
		return sim_small_run(&a.run, a.trace);
	if (a.shrink)
		return sim_shrink(a.seed);
	if (a.scenario)
		return run_scenarios(&a);
	return a.one ? run_one(&a) : sim_run_many(&a.run);
}
