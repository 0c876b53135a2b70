/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Gives files to the fuzz targets without a fuzzer: in `make check` the whole corpus, by hand one file.
 *
 * replay CORPUS            each file of CORPUS/TARGET/ to its target; a target without one is a failure
 * replay TARGET FILE...    these; -v tells what the target did where it can
 */
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/assert_stderr.h"

static const struct fuzz_target *const targets[] = {
	&fuzz_arbiter, &fuzz_cl,    &fuzz_conf,	   &fuzz_ctl, &fuzz_frame, &fuzz_ha,
	&fuzz_journal, &fuzz_label, &fuzz_message, &fuzz_row, &fuzz_state,
};
enum { TARGETS = sizeof(targets) / sizeof(targets[0]) };

static char current[PATH_MAX + 64];

static void say_current(int signal_number)
{
	ssize_t ignored = write(STDERR_FILENO, current, strlen(current));

	(void)ignored;
	signal(signal_number, SIG_DFL);
	raise(signal_number);
}

static uint8_t *load(const char *path, size_t *ret_len)
{
	FILE *f = fopen(path, "rb");
	struct stat st;
	uint8_t *p;

	if (!f || fstat(fileno(f), &st) < 0) {
		perror(path);
		exit(2);
	}
	/* Exactly as long as the file: a sanitizer sees one byte read too many. */
	p = malloc(st.st_size > 0 ? (size_t)st.st_size : 1);
	if (!p || fread(p, 1, (size_t)st.st_size, f) != (size_t)st.st_size) {
		perror(path);
		exit(2);
	}
	fclose(f);
	*ret_len = (size_t)st.st_size;
	return p;
}

static void give(const struct fuzz_target *t, const char *path)
{
	size_t len;
	uint8_t *p = load(path, &len);

	snprintf(current, sizeof(current), "replay: %s was given %s\n", t->name, path);
	t->one(p, len);
	free(p);
}

static int only_names(const struct dirent *d)
{
	return d->d_name[0] != '.';
}

static unsigned int give_all(const struct fuzz_target *t, const char *corpus)
{
	char dir[PATH_MAX], path[PATH_MAX];
	struct dirent **names;
	int n;

	snprintf(dir, sizeof(dir), "%s/%s", corpus, t->name);
	n = scandir(dir, &names, only_names, alphasort);
	if (n < 0) {
		perror(dir);
		return 0;
	}
	for (int i = 0; i < n; i++) {
		if ((size_t)snprintf(path, sizeof(path), "%s/%s", dir, names[i]->d_name) <
		    sizeof(path))
			give(t, path);
		free(names[i]);
	}
	free(names);
	return (unsigned int)n;
}

static int whole_corpus(const char *corpus)
{
	int bad = 0;

	for (int i = 0; i < TARGETS; i++) {
		unsigned int n = give_all(targets[i], corpus);

		printf("%-8s %5u files\n", targets[i]->name, n);
		fflush(stdout);
		if (n == 0) {
			fprintf(stderr, "replay: %s/%s has no file\n", corpus, targets[i]->name);
			bad = 1;
		}
	}
	return bad;
}

int main(int argc, char **argv)
{
	static const int deadly[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL};

	pr_assert_to_stderr();
	for (size_t i = 0; i < sizeof(deadly) / sizeof(deadly[0]); i++)
		signal(deadly[i], say_current);
	if (argc == 2)
		return whole_corpus(argv[1]);
	for (int i = 0; i < TARGETS && argc > 2; i++) {
		if (strcmp(targets[i]->name, argv[1]) != 0)
			continue;
		for (int k = 2; k < argc; k++)
			give(targets[i], argv[k]);
		return 0;
	}
	fprintf(stderr, "usage: replay CORPUS, or replay TARGET FILE...\ntargets:");
	for (int i = 0; i < TARGETS; i++)
		fprintf(stderr, " %s", targets[i]->name);
	fputc('\n', stderr);
	return 2;
}
