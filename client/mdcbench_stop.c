/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SIGINT, SIGTERM and SIGHUP: the load stops, what was made is removed, and the program ends by that signal. A second one ends it at
 * once, and so does a volume that answers nothing meanwhile.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/mdcbench.h"

enum { PATIENCE_S = 10 };

static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
static volatile sig_atomic_t caught;
static char gave_up[512];

static void end_by(int signal_number)
{
	signal(signal_number, SIG_DFL);
	raise(signal_number);
}

static void on_signal(int number)
{
	caught = number;
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		signal(signals[i], SIG_DFL);
	alarm(PATIENCE_S);
}

static void on_alarm(int number)
{
	ssize_t n = write(STDERR_FILENO, gave_up, strlen(gave_up));

	(void)number;
	(void)n;
	end_by(caught);
}

void mb_stop_catch(void)
{
	struct sigaction stop = {.sa_handler = on_signal, .sa_flags = SA_RESTART}, before;
	char name[256];

	mb_directory_name(name, sizeof(name));
	snprintf(
		gave_up, sizeof(gave_up),
		"mdcbench: stopped, but the volume does not answer: the directory %s may be left in it\n",
		name);
	signal(SIGALRM, on_alarm);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		if (sigaction(signals[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
			sigaction(signals[i], &stop, NULL);
}

void mb_stop_ignore(void)
{
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		signal(signals[i], SIG_IGN);
}

bool mb_stopped(void)
{
	return caught != 0;
}

void mb_stop_goes_on(void)
{
	if (caught)
		alarm(PATIENCE_S);
}

void mb_stop_end(void)
{
	if (caught)
		end_by(caught);
}
