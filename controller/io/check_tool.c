/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mdcctl check: gets the facts of both hosts, has them judged, tries the arbiter record, prints. */
#include "controller/io/check_tool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "controller/io/check.h"
#include "controller/io/pair_print.h"

static json_int_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (json_int_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void say_json(json_t *o)
{
	json_dumpf(o, stdout, JSON_INDENT(2));
	printf("\n");
	json_decref(o);
}

/* Another host's facts by a command that gets there. NULL and a sentence. */
static json_t *ask_peer(const struct check_tool *t, char *why, size_t size)
{
	char command[1024];
	json_int_t asked = now_ms();
	json_t *o;
	FILE *f;
	int status;

	if (snprintf(command, sizeof(command), "%s mdcctl%s%s check --facts", t->peer,
		     t->place ? " -C " : "", t->place ? t->place : "") >= (int)sizeof(command)) {
		snprintf(why, size, "--peer: too long");
		return NULL;
	}
	f = popen(command, "re");
	o = f ? json_loadf(f, 0, NULL) : NULL;
	status = f ? pclose(f) : -1;
	if (!json_is_object(o) || !json_object_get(o, "host")) {
		snprintf(why, size, "\"%.300s\" gave no facts (status %d)", command,
			 WIFEXITED(status) ? WEXITSTATUS(status) : -1);
		json_decref(o);
		return NULL;
	}
	json_object_set_new(o, "asked_ms", json_integer(asked));
	json_object_set_new(o, "told_ms", json_integer(now_ms()));
	return o;
}

static json_t *read_peer(const struct check_tool *t, char *why, size_t size)
{
	json_error_t e;
	json_t *o = strcmp(t->peer_facts, "-") == 0 ? json_loadf(stdin, 0, &e)
						    : json_load_file(t->peer_facts, 0, &e);

	if (json_is_object(o) && json_object_get(o, "host"))
		return o;
	snprintf(why, size, "--peer-facts %.200s: not what mdcctl check --facts printed (%s)",
		 t->peer_facts, o ? "no host in it" : e.text);
	json_decref(o);
	return NULL;
}

/* An embedded pair has both controllers here, and needs no other host. */
static int get_peer(const struct check_tool *t, const struct check_files *files, json_t *a,
		    json_t **ret, char *why, size_t size)
{
	char conf[PATH_MAX + 16];

	*ret = NULL;
	if (t->where->pair[0]) {
		snprintf(conf, sizeof(conf), "%s/mdcd.conf", t->where->dir[1]);
		*ret = check_facts(conf, files);
		json_object_set_new(a, "host", json_string("node 1"));
		json_object_set_new(*ret, "host", json_string("node 2"));
		return 0;
	}
	if (t->peer)
		*ret = ask_peer(t, why, size);
	else if (t->peer_facts)
		*ret = read_peer(t, why, size);
	return (t->peer || t->peer_facts) && !*ret ? -ENODATA : 0;
}

static void add(json_t *list, const char *level, const char *text, const char *next)
{
	json_array_append_new(list, json_pack("{s:s,s:s,s:s,s:s}", "check", "arbiter", "level",
					      level, "text", text, "next", next));
}

static json_int_t seq_of(const json_t *facts)
{
	return json_integer_value(json_object_get(json_object_get(facts, "arbiter"), "seq"));
}

static bool peer_saw(const struct check_tool *t, json_int_t seq)
{
	char why[512];
	json_t *b = ask_peer(t, why, sizeof(why));
	bool saw = seq_of(b) == seq;

	json_decref(b);
	return saw;
}

/* The record is written by whoever may be using it; so it is tried only while nobody is. */
static void try_arbiter(json_t *list, const struct check_tool *t, const json_t *a, const json_t *b)
{
	char why[400], text[512];
	int error;

	if (json_object_get(json_object_get(a, "arbiter"), "error") || json_object_get(a, "error"))
		return;
	if (json_is_true(json_object_get(a, "running")) ||
	    json_is_true(json_object_get(b, "running"))) {
		add(list, "ok", "readable; not written, since a controller runs", "");
		return;
	}
	if (!b) {
		add(list, "unknown", "readable; not written, since the other host may be using it",
		    "--peer \"ssh HOST\", or --peer-facts FILE");
		return;
	}
	error = check_cas(t->where->conf, why, sizeof(why));
	if (!error && t->peer && !peer_saw(t, seq_of(a) + 1)) {
		add(list, "error", "what this host wrote on it is not what the other host reads",
		    "let both have the same LUN as [lun] path1, without a cache between: mdcctl lun list");
		return;
	}
	snprintf(text, sizeof(text),
		 error ? "it cannot be replaced: %s" : "read, and replaced by itself%s",
		 error ? why : "");
	add(list, error ? "error" : "ok", text,
	    error ? "look at the LUN of [lun] path1: dmesg, multipath -ll" : "");
}

static int print(json_t *list, bool json)
{
	int errors = 0, open = 0;
	json_t *f;
	size_t i;

	json_array_foreach(list, i, f)
	{
		const char *level = json_string_value(json_object_get(f, "level"));
		const char *next = json_string_value(json_object_get(f, "next"));

		errors += strcmp(level, "error") == 0;
		open += strcmp(level, "warning") == 0 || strcmp(level, "unknown") == 0;
		if (json)
			continue;
		printf("%-8s %-14s %s\n", level, json_string_value(json_object_get(f, "check")),
		       json_string_value(json_object_get(f, "text")));
		if (*next)
			printf("%-8s %-14s next: %s\n", "", "", next);
	}
	if (json)
		say_json(json_pack("{s:i,s:i,s:O}", "errors", errors, "open", open, "findings",
				   list));
	else
		printf("%d %s, %d open\n", errors, errors == 1 ? "error" : "errors", open);
	return errors ? PAIR_FAILED : open ? PAIR_DEGRADED : PAIR_OK;
}

int check_run(const struct check_tool *t, char *why, size_t size)
{
	const struct check_files files = {.corosync = t->corosync ? t->corosync
								  : "/etc/corosync/corosync.conf",
					  .cib = t->cib};
	json_t *a = check_facts(t->where->conf, &files), *b, *list;
	int code;

	if (t->facts) {
		say_json(a);
		return PAIR_OK;
	}
	if (get_peer(t, &files, a, &b, why, size) < 0) {
		json_decref(a);
		return PAIR_UNREACHABLE;
	}
	list = check_judge(a, b);
	try_arbiter(list, t, a, b);
	code = print(list, t->json);
	json_decref(list);
	json_decref(a);
	json_decref(b);
	return code;
}
