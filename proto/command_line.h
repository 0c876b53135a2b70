/* SPDX-License-Identifier: GPL-2.0-or-later OR LGPL-2.1-or-later */
/*
 * For main() of programs, never for pure code: what they say of a command line that they do not
 * understand, and commands in what they print, so that a shell takes them as they stand there.
 */
#pragma once

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Says on standard error what is wrong (NULL: getopt said it) and where the help is. Returns status. */
static inline int __attribute__((format(printf, 2, 3)))
pr_wrong_usage(int status, const char *format, ...)
{
	va_list args;

	if (format) {
		fprintf(stderr, "%s: ", program_invocation_short_name);
		va_start(args, format);
		vfprintf(stderr, format, args);
		va_end(args);
		fputc('\n', stderr);
	}
	fprintf(stderr, "Try: %s --help\n", program_invocation_short_name);
	return status;
}

static inline void pr_flush_output(void)
{
	struct pollfd out = {.fd = STDOUT_FILENO};
	bool before = ferror(stdout) != 0, now = fflush(stdout) != 0;

	if (!before && !now)
		return;
	if (poll(&out, 1, 0) == 1 && out.revents & POLLERR)
		return; /* a pipe whose reader has seen enough */
	fprintf(stderr, "%s: what it had to print was lost%s%s\n", program_invocation_short_name,
		now ? ": " : "", now ? strerror(errno) : "");
	_exit(1);
}

/* Exit status 0 says that the output is where it was sent, too: a full disk under it ends the program with 1. */
static inline void pr_output_must_arrive(void)
{
	atexit(pr_flush_output);
}

/*
 * A word of a shell's command that means text: text itself when nothing in it means anything to a
 * shell, else room, with text between single quotes. What does not fit is cut.
 */
static inline const char *pr_shell_word(const char *text, char *room, size_t size)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789/._-+=:,@%";
	size_t n = 0;

	if (*text && !text[strspn(text, plain)])
		return text;
	room[n++] = '\'';
	for (; *text && n + 6 < size; text++) {
		const char *piece = *text == '\'' ? "'\\''" : (char[2]){*text, '\0'};

		n += (size_t)snprintf(room + n, size - n, "%s", piece);
	}
	room[n++] = '\'';
	room[n] = '\0';
	return room;
}
