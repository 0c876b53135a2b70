/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "controller/io/pair_print.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "controller/io/promotion.h"
#include "proto/command_line.h"

enum { CELL_MAX = 128, PROMOTION_MAX = 600 };

static const char *text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static json_int_t number_of(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

static void cell(const json_t *v, char out[CELL_MAX])
{
	if (json_is_string(v))
		snprintf(out, CELL_MAX, "%s", json_string_value(v));
	else if (json_is_integer(v))
		snprintf(out, CELL_MAX, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
	else if (json_is_real(v))
		snprintf(out, CELL_MAX, "%.1f", json_real_value(v));
	else if (json_is_boolean(v))
		snprintf(out, CELL_MAX, "%s", json_is_true(v) ? "yes" : "no");
	else
		snprintf(out, CELL_MAX, "-");
}

void pair_print_table(const json_t *array, const struct pair_column *columns, size_t count)
{
	int width[16];
	char text[CELL_MAX];
	json_t *row;
	size_t i;

	for (size_t c = 0; c < count && c < 16; c++) {
		width[c] = (int)strlen(columns[c].head);
		json_array_foreach(array, i, row)
		{
			cell(json_object_get(row, columns[c].key), text);
			if ((int)strlen(text) > width[c])
				width[c] = (int)strlen(text);
		}
	}
	for (size_t c = 0; c < count; c++)
		printf(columns[c].right ? "%*s%s" : "%-*s%s", width[c], columns[c].head,
		       c + 1 < count ? "  " : "\n");
	json_array_foreach(array, i, row) for (size_t c = 0; c < count; c++)
	{
		cell(json_object_get(row, columns[c].key), text);
		printf(columns[c].right ? "%*s%s" : "%-*s%s", width[c], text,
		       c + 1 < count ? "  " : "\n");
	}
}

static void __attribute__((format(printf, 2, 3)))
append(char out[PAIR_WAITING_MAX], const char *format, ...)
{
	size_t n = strlen(out);
	va_list ap;

	va_start(ap, format);
	vsnprintf(out + n, PAIR_WAITING_MAX - n, format, ap);
	va_end(ap);
}

/* "resync of the standby: 41 %, ..., 3 s left"; false: none is under way. */
static bool append_resync(char out[PAIR_WAITING_MAX], const json_t *status)
{
	json_t *controllers = json_object_get(status, "controllers"), *c, *r;
	size_t i;

	json_array_foreach(controllers, i, c)
	{
		r = json_object_get(c, "resync");
		if (!json_is_object(r) || strcmp(text_of(c, "role"), "active") != 0)
			continue;
		append(out, "resync of the standby: %" JSON_INTEGER_FORMAT " %%, %.1f of %.1f MiB",
		       number_of(r, "percent"), (double)number_of(r, "done_bytes") / 1048576,
		       (double)number_of(r, "total_bytes") / 1048576);
		if (number_of(r, "eta_ms"))
			append(out, ", %" JSON_INTEGER_FORMAT " s left",
			       (number_of(r, "eta_ms") + 999) / 1000);
		return true;
	}
	return false;
}

static void print_promotion(const json_t *p)
{
	char line[PROMOTION_MAX];

	promotion_text(p, line, sizeof(line));
	if (line[0])
		printf("%s\n", line);
}

/* How long, in the largest unit that says something. */
static void set_span(json_t *row, const char *key, json_int_t ms)
{
	json_int_t s = ms / 1000;
	char text[32];

	if (s < 120)
		snprintf(text, sizeof(text), "%" JSON_INTEGER_FORMAT " s", s);
	else if (s < 7200)
		snprintf(text, sizeof(text), "%" JSON_INTEGER_FORMAT " min", s / 60);
	else
		snprintf(text, sizeof(text), "%" JSON_INTEGER_FORMAT " h", s / 3600);
	json_object_set_new(row, key, json_string(text));
}

void pair_print_clients(const json_t *answer, uint64_t now_ns)
{
	static const struct pair_column columns[] = {
		{"session", "SESSION", true},
		{"host", "HOST", false},
		{"what", "AT", false},
		{"pid", "PID", true},
		{"volume", "VOLUME", false},
		{"state", "STATE", false},
		{"since", "SINCE", true},
		{"lease", "LEASE", true},
		{"opens", "OPENS", true},
		{"layouts", "LAYOUTS", true},
		{"blocks_others", "BLOCKS", false},
	};
	json_t *rows = json_deep_copy(json_object_get(answer, "clients")), *row;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		set_span(row, "since",
			 ((json_int_t)now_ns - number_of(row, "opened_ns")) / 1000000);
		set_span(row, "lease", number_of(row, "lease_left_ms"));
	}
	pair_print_table(rows, columns, sizeof(columns) / sizeof(columns[0]));
	json_decref(rows);
}

/* A controller that missed something and sees no peer: nobody asks it to serve, so it has refused nothing. */
static void print_outdated(const json_t *c)
{
	json_t *members = json_object_get(c, "members");
	json_int_t node = number_of(c, "node");

	if (strcmp(text_of(c, "role"), "standby") != 0 || json_array_size(members) != 1 ||
	    json_integer_value(json_array_get(members, 0)) == node ||
	    json_is_true(json_object_get(c, "link_up")))
		return;
	printf("node %" JSON_INTEGER_FORMAT
	       " may not serve: the arbiter names node %" JSON_INTEGER_FORMAT
	       " as holder of the latest operations: start that one; if it is gone for good: mdcctl override\n",
	       node, 3 - node);
}

static void print_notes(const json_t *controllers)
{
	json_t *c, *a;
	size_t i, j;

	json_array_foreach(controllers, i, c)
	{
		json_array_foreach(json_object_get(c, "alarms"), j, a)
			printf("ALARM on node %" JSON_INTEGER_FORMAT ": %s: %s\n",
			       number_of(c, "node"), text_of(a, "name"), text_of(a, "text"));
		if (text_of(c, "refused")[0])
			printf("node %" JSON_INTEGER_FORMAT " refused its last promotion: %s\n",
			       number_of(c, "node"), text_of(c, "refused"));
		print_outdated(c);
		if (text_of(c, "error")[0] && number_of(c, "node"))
			printf("node %" JSON_INTEGER_FORMAT " does not answer: %s\n",
			       number_of(c, "node"), text_of(c, "error"));
		else if (text_of(c, "error")[0])
			printf("the controller on this host does not answer: %s\n",
			       text_of(c, "error"));
		if (number_of(c, "alone_operations"))
			printf("node %" JSON_INTEGER_FORMAT ": %" JSON_INTEGER_FORMAT
			       " operations stand in one copy only\n",
			       number_of(c, "node"), number_of(c, "alone_operations"));
	}
}

static void print_supervisor(const struct pair_place *place, const json_t *supervisor)
{
	json_int_t pid = number_of(supervisor, "pid");
	char room[4 * PATH_MAX];

	if (place->pair[0] && json_is_null(supervisor))
		printf("the pair is not up: mdcpair up %s\n",
		       pr_shell_word(place->pair, room, sizeof(room)));
	else if (pid > 0 && text_of(supervisor, "error")[0])
		printf("the supervisor, PID %" JSON_INTEGER_FORMAT
		       ", does not answer (%s), so nobody takes over from an active that ends: "
		       "let it go on (kill -CONT %" JSON_INTEGER_FORMAT
		       "), or see %s/log/supervisor.log\n",
		       pid, text_of(supervisor, "error"), pid, place->pair);
	else if (text_of(supervisor, "error")[0])
		printf("the supervisor does not answer: %s\n", text_of(supervisor, "error"));
}

int pair_exit_status(const json_t *status)
{
	const char *health = pair_health(status);
	json_t *controllers = json_object_get(status, "controllers"), *c;
	size_t i;

	if (strcmp(health, "ok") == 0)
		return PAIR_OK;
	json_array_foreach(controllers, i,
			   c) if (strcmp(text_of(c, "role"), "down") != 0) return PAIR_DEGRADED;
	return PAIR_UNREACHABLE;
}

void pair_print_error(const char *text)
{
	json_t *o = json_pack("{s:s}", "error", text);

	json_dumpf(o, stdout, JSON_INDENT(2));
	printf("\n");
	fflush(stdout);
	json_decref(o);
}

int pair_print_status(const struct pair_place *place, bool as_json)
{
	static const struct pair_column columns[] = {
		{"node", "NODE", true},
		{"role", "ROLE", false},
		{"mode", "MODE", false},
		{"state", "DATA", false},
		{"epoch", "EPOCH", true},
		{"tail_lsn", "LSN", true},
		{"commit_lsn", "COMMITTED", true},
		{"link_up", "LINK", false},
		{"address", "ADDRESS", false},
		{"pid", "PID", true},
	};
	json_t *status = pair_status(place), *controllers = json_object_get(status, "controllers");
	char resync[PAIR_WAITING_MAX] = "";
	int code = pair_exit_status(status);

	if (place->note[0])
		fprintf(stderr, "%s\n", place->note);
	if (as_json) {
		if (code == PAIR_DEGRADED) /* a program reads "health" */
			code = PAIR_OK;
		json_dumpf(status, stdout, JSON_INDENT(2));
		printf("\n");
	} else {
		pair_print_table(controllers, columns, sizeof(columns) / sizeof(columns[0]));
		printf("health: %s%s\n", pair_health(status),
		       json_array_size(controllers) == 1 &&
				       json_is_null(json_object_get(status, "active"))
			       ? ", as far as this controller knows; the other one was not asked"
			       : "");
		print_notes(controllers);
		print_supervisor(place, json_object_get(status, "supervisor"));
		if (append_resync(resync, status))
			printf("%s\n", resync);
		print_promotion(json_object_get(status, "last_promotion"));
	}
	json_decref(status);
	return code;
}

/* ALONE and FROZEN say no more than the mode, which stands there already. True: it left the other one behind. */
static bool append_alarms(char out[PAIR_WAITING_MAX], const json_t *controller, const char *who)
{
	bool left_behind = false;
	const char *name, *until;
	json_t *a;
	size_t i;

	json_array_foreach(json_object_get(controller, "alarms"), i, a)
	{
		name = text_of(a, "name");
		if (strcmp(name, "ALONE") == 0 || strcmp(name, "FROZEN") == 0)
			continue;
		until = strcmp(name, "DROPS") == 0 ? ", and is taken back when that hour is over"
			: strcmp(name, "SLOW_PEER") == 0 ? ", and is taken back after a while"
							 : "";
		append(out, "; %s has %s: %s%s", who, name, text_of(a, "text"), until);
		left_behind |= *until != '\0';
	}
	return left_behind;
}

/* Why an active stands alone; one that is asked alone knows of no other's reasons. */
static void append_link(char out[PAIR_WAITING_MAX], const json_t *c, bool asked_alone,
			bool left_behind)
{
	if (!json_is_true(json_object_get(c, "link_up")))
		append(out, "; the other one is not connected%s",
		       asked_alone ? ": look on its host, crm_mon -1f and mdcctl status" : "");
	else if (strcmp(text_of(c, "role"), "active") == 0 && !left_behind &&
		 !json_is_true(json_object_get(c, "peer_insync")))
		append(out, "; the other one is connected, and not taken in yet%s",
		       asked_alone ? ": mdcctl status on its host says what keeps it" : "");
}

static void append_reasons(char out[PAIR_WAITING_MAX], const json_t *c, bool asked_alone,
			   bool other_down)
{
	bool left_behind, active = strcmp(text_of(c, "role"), "active") == 0;
	char who[32] = "it";

	if (!asked_alone)
		snprintf(who, sizeof(who), "node %d", (int)number_of(c, "node"));
	left_behind = append_alarms(out, c, who);
	if (text_of(c, "refused")[0])
		append(out, "; %s refused to serve: %s", who, text_of(c, "refused"));
	if (text_of(c, "error")[0])
		append(out, "; %s does not answer: %s", who, text_of(c, "error"));
	else if (asked_alone || (active && !other_down))
		append_link(out, c, asked_alone, left_behind);
}

void pair_waiting_text(const json_t *status, char out[PAIR_WAITING_MAX])
{
	json_t *controllers = json_object_get(status, "controllers"), *c;
	const char *more;
	size_t i;

	out[0] = '\0';
	if (append_resync(out, status))
		return;
	append(out, "waiting:");
	json_array_foreach(controllers, i, c)
	{
		more = text_of(c, strcmp(text_of(c, "role"), "active") == 0 ? "mode" : "state");
		append(out, "%s ", i ? "," : "");
		if (number_of(c, "node"))
			append(out, "node %" JSON_INTEGER_FORMAT, number_of(c, "node"));
		else
			append(out, "the controller on this host");
		append(out, " is %s%s%s", text_of(c, "role"), *more ? " " : "", more);
	}
	if (json_object_get(json_object_get(status, "supervisor"), "error"))
		append(out, "; the supervisor does not answer");
	json_array_foreach(controllers, i, c) append_reasons(
		out, c, json_array_size(controllers) == 1,
		strcmp(text_of(json_array_get(controllers, 1 - i), "role"), "down") == 0);
}

void pair_print_waiting(const json_t *status, FILE *to)
{
	char line[PAIR_WAITING_MAX];

	pair_waiting_text(status, line);
	fprintf(to, "%s\n", line);
}
