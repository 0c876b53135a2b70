/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mdcbench: measures a pair through libmdcpair, and in the same run the floor of the machine under it. See mdcbench(1). */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/mdcbench.h"
#include "proto/command_line.h"

struct mb_options mb_options = {
	.volume = "vol1",
	.sessions = 8,
	.inflight = 8,
	.ops = 100000,
	.files = 20000,
	.inodes = 100000,
	.mib = 256,
	.runs = 5,
};

static void usage(FILE *out)
{
	fputs("usage: mdcbench OPERATION... [OPTIONS] {-C DIR | ADDRESS1,ADDRESS2:/VOLUME}\n\n"
	      "  create stat lookup readdir rename unlink mixed\n"
	      "                  namespace operations, one after the other\n"
	      "  floor           operations without a namespace: the same sockets and journals\n"
	      "  overwrite read append\n"
	      "                  1 MiB blocks, against the same I/O without mdcpair (needs -C)\n"
	      "  failover        longest gap between answers (needs -C; --kill or --switchover)\n"
	      "  million         a create at the thousandth and at the millionth file of a directory\n"
	      "  cold            creates alone, and beside random stats of a store that is in no memory\n"
	      "                  (needs -C)\n\n"
	      "  -C DIR          an embedded pair\n"
	      "  --sessions N    clients (8)          --inflight M   requests of each (8)\n"
	      "  --ops N         of each operation (100000)\n"
	      "  --seconds S     instead of --ops\n"
	      "  --files N       to look at (20000)   --inodes N     before a failover (100000)\n"
	      "  --mib N         of a data file (256) --runs N       failovers, data runs (5)\n"
	      "  --dir NAME      directory under the root to work in\n"
	      "  --disk PATH     where O_DSYNC is measured (without -C)\n"
	      "  --volume NAME   of the pair (vol1)\n"
	      "  --json          for programs         --quiet        no progress bar\n"
	      "  -h, --help, --version\n"
	      "exit status: 0 done, 1 failed, 2 usage\n",
	      out);
}

void mb_die(const char *format, ...)
{
	va_list args;

	mb_progress_end();
	fputs("mdcbench: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

void mb_die_mdc(const char *what)
{
	mb_die("%s: %s", what, mdc_error());
}

static int usage_error(const char *what, const char *value)
{
	return pr_wrong_usage(2, "%s: %s", value, what);
}

static uint64_t number(const char *option, const char *text, uint64_t max)
{
	char *end;
	unsigned long long n;

	errno = 0;
	n = strtoull(text, &end, 10);
	if (errno || end == text || *end || n == 0 || n > max || *text == '-') {
		fprintf(stderr, "mdcbench: --%s %s: a number from 1 to %llu is wanted\n", option,
			text, (unsigned long long)max);
		exit(2);
	}
	return n;
}

static const struct option options[] = {
	{"sessions", required_argument, NULL, 's'}, {"inflight", required_argument, NULL, 'i'},
	{"ops", required_argument, NULL, 'o'},	    {"seconds", required_argument, NULL, 't'},
	{"files", required_argument, NULL, 'f'},    {"inodes", required_argument, NULL, 'n'},
	{"mib", required_argument, NULL, 'm'},	    {"runs", required_argument, NULL, 'r'},
	{"dir", required_argument, NULL, 'd'},	    {"disk", required_argument, NULL, 'D'},
	{"volume", required_argument, NULL, 'v'},   {"json", no_argument, NULL, 'j'},
	{"quiet", no_argument, NULL, 'q'},	    {"kill", no_argument, NULL, 'k'},
	{"switchover", no_argument, NULL, 'w'},	    {"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, 'V'},	    {},
};

static bool set_number(int c)
{
	struct mb_options *o = &mb_options;

	switch (c) {
	case 's':
		o->sessions = (uint32_t)number("sessions", optarg, 10000);
		break;
	case 'i':
		o->inflight = (uint32_t)number("inflight", optarg, 1024);
		break;
	case 'o':
		o->ops = number("ops", optarg, 1ull << 40);
		break;
	case 't':
		o->seconds = (double)number("seconds", optarg, 1000000);
		break;
	case 'f':
		o->files = number("files", optarg, 1ull << 30);
		break;
	case 'n':
		o->inodes = number("inodes", optarg, 1ull << 30);
		break;
	case 'm':
		o->mib = number("mib", optarg, 1ull << 30);
		break;
	case 'r':
		o->runs = (uint32_t)number("runs", optarg, 1000);
		break;
	default:
		return false;
	}
	return true;
}

/* Returns an exit status, or -1: go on. */
static int set_option(int c)
{
	struct mb_options *o = &mb_options;

	if (set_number(c))
		return -1;
	switch (c) {
	case 'C':
		o->pair = optarg;
		return -1;
	case 'd':
		o->dir = optarg;
		return -1;
	case 'D':
		o->disk = optarg;
		return -1;
	case 'v':
		o->volume = optarg;
		return -1;
	case 'j':
		o->json = true;
		return -1;
	case 'q':
		o->quiet = true;
		return -1;
	case 'k':
		o->kill = true;
		return -1;
	case 'w':
		o->switchover = true;
		return -1;
	case 'h':
		usage(stdout);
		return 0;
	case 'V':
		printf("mdcbench %s\n", mdc_version());
		return 0;
	default:
		return pr_wrong_usage(2, NULL);
	}
}

static void find_pair(void)
{
	struct mb_pair pair;

	if (!mb_options.pair)
		return;
	mb_pair_wait_insync(&pair);
	snprintf(mb_options.spec_text, sizeof(mb_options.spec_text), "%s,%s:/%s", pair.address[0],
		 pair.address[1], mb_options.volume);
	mb_options.spec = mb_options.spec_text;
	snprintf(mb_options.luns, sizeof(mb_options.luns), "%s/lun0", mb_options.pair);
}

static bool is_data(const char *name)
{
	return strcmp(name, "overwrite") == 0 || strcmp(name, "read") == 0 ||
	       strcmp(name, "append") == 0;
}

static bool needs_pair(const char *name)
{
	return is_data(name) || strcmp(name, "failover") == 0 || strcmp(name, "cold") == 0;
}

/* How many of the words from the first on belong together and are run with the same sessions. */
static size_t run_some(struct mb_report *report, const char *const *words, size_t count)
{
	size_t n = 0;

	while (n < count && mb_is_namespace(words[n]))
		n++;
	if (n) {
		mb_run_namespace(report, words, n);
		return n;
	}
	while (n < count && is_data(words[n]))
		n++;
	if (n) {
		mb_run_data(report, words, n);
		return n;
	}
	if (strcmp(words[0], "million") == 0)
		mb_run_million(report);
	else if (strcmp(words[0], "cold") == 0)
		mb_run_cold(report);
	else
		mb_run_failover(report);
	return 1;
}

/* Sorts out the words: operations, and at the end a volume when there is no -C. */
static int check_words(int count, char **words, size_t *ret_operations)
{
	size_t n = 0;

	if (!mb_options.pair && count > 0 && strchr(words[count - 1], '/'))
		mb_options.spec = words[--count];
	for (int i = 0; i < count; i++, n++)
		if (!mb_is_namespace(words[i]) && !needs_pair(words[i]) &&
		    strcmp(words[i], "million") != 0)
			return usage_error("no such operation", words[i]);
		else if (!mb_options.pair && needs_pair(words[i]))
			return usage_error("needs an embedded pair, -C DIR", words[i]);
	if (n == 0)
		return pr_wrong_usage(2, "an operation is wanted, such as create");
	if (!mb_options.pair && !mb_options.spec)
		return pr_wrong_usage(2, "-C DIR or ADDRESS1,ADDRESS2:/VOLUME is wanted");
	*ret_operations = n;
	return -1;
}

int main(int argc, char **argv)
{
	struct mb_report report = {.results = json_array()};
	size_t count = 0, done = 0;
	int c, status;

	pr_output_must_arrive();
	signal(SIGPIPE, SIG_IGN);
	while ((c = getopt_long(argc, argv, "C:h", options, NULL)) != -1) {
		status = set_option(c);
		if (status >= 0)
			return status;
	}
	status = check_words(argc - optind, argv + optind, &count);
	if (status >= 0)
		return status;
	mb_stop_catch();
	find_pair();
	mb_floor_measure(&report.floor);
	while (done < count && !mb_stopped())
		done += run_some(&report, (const char *const *)argv + optind + done, count - done);
	mb_floor_measure(&report.floor_end);
	mb_stop_end();
	mb_report_end(&report);
	return 0;
}
