/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mdcd: one metadata controller of a pair. See mdcd(8). */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/io/edge.h"
#include "controller/io/log.h"
#include "proto/assert_stderr.h"
#include "proto/command_line.h"
#include "proto/version.h"

static void usage(FILE *to)
{
	fprintf(to,
		"usage: mdcd [-c FILE] [--check] [--version]\n"
		"\n"
		"  -c FILE    configuration, see mdcd.conf(5); /etc/mdcpair/mdcd.conf if not given\n"
		"  --check    read and check the configuration, start nothing\n");
}

static int run(const struct conf *conf)
{
	static struct edge edge;
	char why[512];
	int status = EDGE_REFUSED;

	if (edge_open(&edge, conf, why, sizeof(why)) < 0) {
		log_error("%s", why);
		if (strcmp(conf->log_to, "stderr") != 0)
			fprintf(stderr, "mdcd: %s\n", why);
	} else {
		status = edge_run(&edge);
	}
	edge_close(&edge);
	return status;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"check", no_argument, NULL, 'k'},
		{"version", no_argument, NULL, 'v'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	const char *path = "/etc/mdcpair/mdcd.conf";
	static struct conf conf;
	char why[512], program[32];
	bool check = false;
	int c, status, error;

	pr_assert_to_stderr();
	while ((c = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
		if (c == 'c') {
			path = optarg;
		} else if (c == 'k') {
			check = true;
		} else if (c == 'v') {
			printf("mdcd %s\n", pr_version());
			return 0;
		} else if (c == 'h') {
			usage(stdout);
			return 0;
		} else {
			return pr_wrong_usage(2, NULL);
		}
	}
	if (optind < argc)
		return pr_wrong_usage(2, "no such word is known: %s", argv[optind]);
	if (conf_read(path, &conf, why) < 0) {
		fprintf(stderr, "mdcd: %s\n", why);
		return EDGE_REFUSED;
	}
	if (check) {
		printf("%s is a sound configuration of node %u of \"%s\"\n", path, conf.node,
		       conf.name);
		return 0;
	}
	snprintf(program, sizeof(program), "mdcd%u", conf.node);
	error = log_open(program, conf.log_to, conf.log_level, conf.dir);
	if (error < 0) {
		fprintf(stderr, "mdcd: log %s: %s\n", conf.log_to, strerror(-error));
		return EDGE_REFUSED;
	}
	status = run(&conf);
	log_close();
	return status;
}
