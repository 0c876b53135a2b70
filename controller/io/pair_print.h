/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The pair's status for people: tables, percent and time left; or the JSON as it is. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "controller/io/pair_status.h"

/* Exit statuses of mdcctl and mdcpair. */
enum { PAIR_OK = 0, PAIR_FAILED = 1, PAIR_USAGE = 2, PAIR_UNREACHABLE = 3, PAIR_DEGRADED = 4 };

int pair_print_status(const struct pair_place *, bool as_json);
int pair_exit_status(const json_t *status); /* PAIR_OK, PAIR_DEGRADED, PAIR_UNREACHABLE */
/* For programs: {"error": text}. */
void pair_print_error(const char *text);
enum { PAIR_WAITING_MAX = 2048 };
/* One line, without its end: what is not there yet, and why. */
void pair_waiting_text(const json_t *status, char out[PAIR_WAITING_MAX]);
void pair_print_waiting(const json_t *status, FILE *to);

struct pair_column {
	const char *key, *head;
	bool right;
};
/* A table of an array of objects. */
void pair_print_table(const json_t *array, const struct pair_column *columns, size_t count);
/* What the core answers to "clients"; now_ns: CLOCK_REALTIME. */
void pair_print_clients(const json_t *answer, uint64_t now_ns);
