/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mdcctl: asks and orders the controllers of a pair. See mdcctl(8). */
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "controller/io/admin_client.h"
#include "controller/io/arbiter_tool.h"
#include "controller/io/check_tool.h"
#include "controller/io/conf.h"
#include "controller/io/loop.h"
#include "controller/io/lun_tool.h"
#include "controller/io/pair_print.h"
#include "controller/io/pair_status.h"
#include "controller/io/volume_tool.h"
#include "proto/assert_stderr.h"
#include "proto/command_line.h"
#include "proto/version.h"

struct options {
	const char *place;
	bool json, watch, wait, facts;
	const char *name, *cluster, *force, *lun, *peer, *peer_facts, *corosync, *cib;
};

static struct options opt;

static void usage(FILE *to)
{
	fprintf(to,
		"usage: mdcctl [-C DIR] [--json] COMMAND\n"
		"\n"
		"  status [--watch]              both controllers, alarms, resync, last promotion\n"
		"  switchover                    the active hands over to the standby\n"
		"  resync --wait                 waits until the standby holds everything\n"
		"  clients                       sessions\n"
		"  clients evict SESSION [--force HOST]\n"
		"                                ends one, behind a fence; HOST if it is alive\n"
		"  journal                       what the journal holds\n"
		"  volume list\n"
		"  volume create NAME --lun LUN[,LUN]...\n"
		"  lun list                      LUNs of the configuration and their labels\n"
		"  lun label PATH --name NAME [--cluster UUID] [--force NAME]\n"
		"  lun renew-arbiter             (asks first) an arbiter record of which no copy is left\n"
		"  df                            space of each volume\n"
		"  check [--peer COMMAND | --peer-facts FILE] [--corosync FILE] [--cib FILE]\n"
		"                                is all ready for the cluster to start? on both hosts\n"
		"  check --facts                 this host's part of it, for the other one\n"
		"  override                      (asks first) promote a controller that may miss operations\n"
		"\n"
		"  -C DIR    directory of an embedded pair or of a controller, or an mdcd.conf;\n"
		"            /etc/mdcpair/mdcd.conf if not given\n"
		"exit status: 0 done, 1 refused or failed, 2 usage, 3 nobody answers, 4 degraded\n");
}

static void say_json(json_t *o)
{
	json_dumpf(o, stdout, JSON_INDENT(2));
	printf("\n");
	fflush(stdout);
	json_decref(o);
}

static int complain(int code, const char *text)
{
	fprintf(stderr, "mdcctl: %s\n", text);
	if (opt.json)
		pair_print_error(text);
	return code;
}

static int __attribute__((format(printf, 1, 2))) wrong_usage(const char *format, ...)
{
	char why[512];
	va_list args;

	va_start(args, format);
	vsnprintf(why, sizeof(why), format, args);
	va_end(args);
	return pr_wrong_usage(complain(PAIR_USAGE, why), NULL);
}

static int find(struct pair_place *ret)
{
	char why[512];

	return pair_find(opt.place, ret, why, sizeof(why)) == 0 ? PAIR_OK
								: complain(PAIR_UNREACHABLE, why);
}

static void pause_ms(int ms)
{
	const struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};

	nanosleep(&t, NULL);
}

/* ---- answers ---- */

static void print_value(const char *key, const json_t *v)
{
	if (json_is_string(v))
		printf("%-24s %s\n", key, json_string_value(v));
	else if (json_is_integer(v))
		printf("%-24s %" JSON_INTEGER_FORMAT "\n", key, json_integer_value(v));
	else if (json_is_boolean(v))
		printf("%-24s %s\n", key, json_is_true(v) ? "yes" : "no");
}

/* Any answer of a controller: an array, or an object with one array in it, as a table; else line by line. */
static void print_answer(const json_t *o)
{
	struct pair_column columns[12];
	const json_t *table = json_is_array(o) ? o : NULL;
	const char *key;
	json_t *v, *row;
	size_t n = 0;

	json_object_foreach((json_t *)(size_t)o, key, v)
	{
		if (json_is_array(v) && !table)
			table = v;
		else
			print_value(key, v);
	}
	row = table ? json_array_get(table, 0) : NULL;
	if (!row)
		return;
	json_object_foreach(row, key, v) if (n < 12 && !json_is_object(v) && !json_is_array(v))
		columns[n++] = (struct pair_column){key, key, json_is_number(v)};
	pair_print_table(table, columns, n);
}

static void print_clients(const json_t *o)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	pair_print_clients(o, (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec);
}

static bool is_embedded(const struct pair_place *place)
{
	static struct conf c;
	char why[512];

	return place->conf[0] && conf_read(place->conf, &c, why) == 0 && c.stack == CONF_EMBEDDED;
}

/* An order that only an active one takes was given to a standby, and the other one is out of reach from here. */
static void say_where(const struct pair_place *place)
{
	json_t *s = pair_status(place), *c = json_array_get(json_object_get(s, "controllers"), 0);
	const char *role = json_string_value(json_object_get(c, "role"));

	if (!place->dir[1][0] && role && strcmp(role, "standby") == 0)
		fprintf(stderr, "node %" JSON_INTEGER_FORMAT " stands by: give the order %s\n",
			json_integer_value(json_object_get(c, "node")),
			is_embedded(place) ? "with -C and the directory of the pair"
					   : "on the other host, where the active controller runs");
	json_decref(s);
}

/* Sends a command to the active and prints what it says: done, if it went well, or by print. */
static int command(const char *text, const char *done, void (*print)(const json_t *))
{
	static struct pair_place place;
	char *answer;
	const char *said;
	json_t *o;
	int error, rc = find(&place);

	if (rc)
		return rc;
	rc = pair_command(&place, text, ADMIN_WAIT_MS, &answer, &error);
	if (rc < 0) {
		char why[128];

		snprintf(why, sizeof(why), "no controller answers: %s", strerror(-rc));
		return complain(PAIR_UNREACHABLE, why);
	}
	o = json_loads(answer, 0, NULL);
	said = json_string_value(json_object_get(o, "error"));
	if (error || said) {
		complain(PAIR_FAILED, said ? said : strerror(error < 0 ? -error : error));
		say_where(&place);
	} else if (opt.json) {
		say_json(json_incref(o));
	} else if (done) {
		printf("%s\n", done);
	} else {
		print(o);
	}
	json_decref(o);
	free(answer);
	return error || said ? PAIR_FAILED : PAIR_OK;
}

/* ---- commands ---- */

static int status(const char *unused)
{
	static struct pair_place place;
	int code = find(&place);

	if (code)
		return code;
	if (!opt.watch)
		return pair_print_status(&place, opt.json);
	for (;;) {
		if (isatty(STDOUT_FILENO))
			printf("\033[H\033[2J");
		code = pair_print_status(&place, opt.json);
		if (fflush(stdout) != 0)
			return code;
		pause_ms(1000);
	}
}

static bool is_ok(const json_t *s)
{
	return strcmp(pair_health(s), "ok") == 0;
}

/* What was said already is not said again; on a terminal a line takes the place of the one before. */
static void renew(const char *line, char said[PAIR_WAITING_MAX])
{
	struct winsize w = {0};
	bool terminal = isatty(STDOUT_FILENO);
	size_t length = strlen(said);

	if (strcmp(line, said) == 0)
		return;
	if (terminal && length > 0) {
		if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col && length > w.ws_col)
			printf("\033[%zuA", (length - 1) / w.ws_col);
		printf("\r\033[J");
	}
	printf("%s%s", line, terminal ? "" : "\n");
	fflush(stdout);
	snprintf(said, PAIR_WAITING_MAX, "%s", line);
}

static void say_resync(const json_t *s, char said[PAIR_WAITING_MAX])
{
	char line[PAIR_WAITING_MAX] = "both controllers hold everything";
	json_t *c, *r = NULL;
	size_t i;

	json_array_foreach(json_object_get(s, "controllers"), i,
			   c) if (json_is_object(json_object_get(c, "resync"))) r =
		json_object_get(c, "resync");
	if (opt.json) {
		say_json(json_pack("{s:s, s:O?}", "health", pair_health(s), "resync", r));
		return;
	}
	if (!is_ok(s))
		pair_waiting_text(s, line);
	renew(line, said);
}

enum { SILENT_MS = 15000 }; /* both controllers, for that long: nobody starts them */

static int resync(const char *unused)
{
	static struct pair_place place;
	static char said[PAIR_WAITING_MAX];
	uint64_t said_ms = 0, heard_ms = loop_now_ms();
	int code = find(&place);

	if (code)
		return code;
	for (;;) {
		json_t *s = pair_status(&place);
		bool done = is_ok(s) || !opt.wait;

		if (pair_exit_status(s) != PAIR_UNREACHABLE)
			heard_ms = loop_now_ms();
		if (!done && loop_now_ms() - heard_ms > SILENT_MS) {
			json_decref(s);
			return complain(
				PAIR_UNREACHABLE,
				"no controller answers: start them, then wait for the resync");
		}
		if (done || loop_now_ms() - said_ms >= 1000) {
			said_ms = loop_now_ms();
			say_resync(s, said);
		}
		code = pair_exit_status(s);
		json_decref(s);
		if (done)
			break;
		pause_ms(100);
	}
	if (!opt.json && isatty(STDOUT_FILENO))
		printf("\n");
	return code;
}

/* The former active says that it is standby; done is when the other one serves. */
static int switchover(const char *unused)
{
	enum { SERVES_WITHIN_MS = 10000 };
	static struct pair_place place;
	uint64_t end_ms = loop_now_ms() + SERVES_WITHIN_MS;
	int code = command("switchover", opt.json ? NULL : "handed over", print_answer);
	bool serves = false;

	if (code || (code = find(&place)))
		return code;
	if (!place.dir[1][0]) /* the other one is on another host, where this cannot look */
		return PAIR_OK;
	while (!serves && loop_now_ms() < end_ms) {
		json_t *s = pair_status(&place);

		serves = json_is_integer(json_object_get(s, "active"));
		json_decref(s);
		if (!serves)
			pause_ms(20);
	}
	return serves ? PAIR_OK
		      : complain(
				PAIR_FAILED,
				"the former active handed over, and no controller serves yet: see mdcctl status");
}

static int lun_list(const char *unused)
{
	static const struct pair_column columns[] = {
		{"name", "NAME", false}, {"mib", "MIB", true},	      {"arbiter", "ARBITER", false},
		{"uuid", "UUID", false}, {"volume", "VOLUME", false}, {"path", "PATH", false},
	};
	static struct pair_place place;
	char why[512];
	json_t *list;
	int code = find(&place);

	if (code)
		return code;
	if (volume_tool_luns(&place, &list, why, sizeof(why)) < 0)
		return complain(PAIR_FAILED, why);
	if (opt.json) {
		say_json(list);
		return PAIR_OK;
	}
	pair_print_table(list, columns, sizeof(columns) / sizeof(columns[0]));
	json_decref(list);
	return PAIR_OK;
}

static int own_cluster(struct pr_uuid *ret)
{
	static struct pair_place place;
	static struct conf c;
	char why[512];

	if (opt.cluster) {
		if (pr_uuid_parse(opt.cluster, ret) == 0)
			return PAIR_OK;
		snprintf(why, sizeof(why),
			 "--cluster %.200s: a UUID is wanted, as uuidgen prints it", opt.cluster);
		return complain(PAIR_USAGE, why);
	}
	if (pair_find(opt.place, &place, why, sizeof(why)) < 0)
		return complain(PAIR_USAGE, why);
	if (!place.conf[0] || conf_read(place.conf, &c, why) < 0)
		return complain(PAIR_USAGE,
				place.conf[0] ? why
					      : "say with --cluster which cluster the LUN is for");
	*ret = c.cluster;
	return PAIR_OK;
}

static int lun_label(const char *path)
{
	struct pr_uuid cluster;
	char why[512];
	int code;

	if (!opt.name)
		return wrong_usage("lun label wants --name NAME");
	code = own_cluster(&cluster);
	if (code)
		return code;
	if (lun_tool_label(path, opt.name, &cluster, opt.force, why, sizeof(why)) < 0)
		return complain(PAIR_FAILED, why);
	if (opt.json)
		say_json(json_pack("{s:s, s:s}", "path", path, "lun", opt.name));
	else
		printf("%s is LUN \"%s\" now\n", path, opt.name);
	return PAIR_OK;
}

static int renew_arbiter(const char *unused)
{
	static struct pair_place place;
	struct arbiter_tool t = {0};
	char why[512], line[64];
	int code = find(&place);

	if (code)
		return code;
	if (arbiter_tool_begin(&t, &place, why, sizeof(why)) < 0) {
		arbiter_tool_end(&t);
		return complain(PAIR_FAILED, why);
	}
	fprintf(stderr,
		"Node %u holds what was acknowledged up to epoch %llu, by what it knows of itself: the record will name it alone,\n"
		"and the other one takes what it misses from it.\n"
		"%sType \"renew\" to go on: ",
		t.record.active, (unsigned long long)t.record.epoch,
		t.other_unknown
			? "The other controller was not asked. Stop it, and run this there too: the higher epoch is the one to renew. If it was\n"
			  "active in a later one, operations that clients saw done would be lost.\n"
			: "");
	if (!fgets(line, sizeof(line), stdin) || strcmp(line, "renew\n") != 0)
		code = complain(PAIR_FAILED, "nothing was done");
	else if (arbiter_tool_write(&t, why, sizeof(why)) < 0)
		code = complain(PAIR_FAILED, why);
	else if (opt.json)
		say_json(json_pack("{s:i, s:I}", "member", t.record.active, "epoch",
				   (json_int_t)t.record.epoch));
	else
		printf("the arbiter record names node %u: start the controllers\n",
		       t.record.active);
	arbiter_tool_end(&t);
	return code;
}

static int volume_create(const char *name)
{
	static struct pair_place place;
	char why[512];
	int code;

	if (!opt.lun)
		return wrong_usage("volume create wants --lun LUN[,LUN]...; see mdcctl lun list");
	code = find(&place);
	if (code)
		return code;
	if (volume_tool_create(&place, name, opt.lun, why, sizeof(why)) < 0)
		return complain(PAIR_FAILED, why);
	if (opt.json)
		say_json(json_pack("{s:s}", "volume", name));
	else
		printf("made volume \"%s\"\n", name);
	return PAIR_OK;
}

static bool is_file(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

/* What is known of the gap: where each log ends, and why the promotion was refused. */
static void say_gap(const struct pair_place *place)
{
	json_t *s = pair_status(place), *c;
	size_t i;

	json_array_foreach(json_object_get(s, "controllers"), i, c)
	{
		const char *role = json_string_value(json_object_get(c, "role"));
		const char *refused = json_string_value(json_object_get(c, "refused"));

		fprintf(stderr, "node %" JSON_INTEGER_FORMAT ": %s",
			json_integer_value(json_object_get(c, "node")), role ? role : "down");
		if (json_object_get(c, "tail_lsn"))
			fprintf(stderr,
				", its log ends at LSN %" JSON_INTEGER_FORMAT
				" in epoch %" JSON_INTEGER_FORMAT,
				json_integer_value(json_object_get(c, "tail_lsn")),
				json_integer_value(json_object_get(c, "epoch")));
		fprintf(stderr, "%s%s\n", refused && *refused ? "; refused: " : "",
			refused ? refused : "");
	}
	json_decref(s);
}

/* Who is active serves, or waits for what an override does not replace. */
static int may_override(const struct pair_place *place)
{
	json_t *s = pair_status(place), *c;
	char why[4 * PATH_MAX + 256] = "", room[4 * PATH_MAX];
	const char *role, *mode;
	bool runs = false;
	size_t i;

	json_array_foreach(json_object_get(s, "controllers"), i, c)
	{
		role = json_string_value(json_object_get(c, "role"));
		mode = json_string_value(json_object_get(c, "mode"));
		runs |= role && strcmp(role, "down") != 0;
		if (role && strcmp(role, "active") == 0)
			snprintf(
				why, sizeof(why), "node %d is active%s",
				(int)json_integer_value(json_object_get(c, "node")),
				mode && strcmp(mode, "FROZEN") == 0
					? ", FROZEN, and an override does not help it: mdcctl status has the alarm that says what it waits for"
					: " and serves: there is nothing to override; see mdcctl status");
	}
	json_decref(s);
	if (*why)
		return complain(PAIR_FAILED, why);
	if (runs)
		return PAIR_OK;
	if (place->pair[0])
		snprintf(why, sizeof(why),
			 "no controller runs that could be promoted: mdcpair up %s first",
			 pr_shell_word(place->pair, room, sizeof(room)));
	else
		snprintf(
			why, sizeof(why),
			"no controller runs on this host that could be promoted: start it first; crm_mon -1f says why it does not run");
	return complain(PAIR_UNREACHABLE, why);
}

static int override(const char *unused)
{
	static struct pair_place place;
	char line[64];
	int code = find(&place);

	if (!code)
		code = may_override(&place);
	if (code)
		return code;
	say_gap(&place);
	fprintf(stderr,
		"This makes a controller active although another one may hold operations that clients saw done.\n"
		"They would be lost. Do this only if that other controller, or its disk, is gone for good.\n"
		"Type \"lose them\" to go on: ");
	if (!fgets(line, sizeof(line), stdin) || strcmp(line, "lose them\n") != 0)
		return complain(PAIR_FAILED, "nothing was done");
	return command("override", "the override was accepted", NULL);
}

/* Words of a command have no blanks: a host name has none either. */
static int evict(const char *session)
{
	char text[512];
	int n = snprintf(text, sizeof(text), "evict %s %s", session, opt.force ? opt.force : "");

	if (n >= (int)sizeof(text) || !*session || session[strspn(session, "0123456789")])
		return wrong_usage(
			"clients evict %.200s: the number that mdcctl clients shows is wanted",
			session);
	return command(text, NULL, print_answer);
}

static int df(const char *unused)
{
	return command("df", NULL, print_answer);
}

static int journal(const char *unused)
{
	return command("journal", NULL, print_answer);
}

static int clients(const char *unused)
{
	return command("clients", NULL, print_clients);
}

static int volume_list(const char *unused)
{
	return command("volumes", NULL, print_answer);
}

/* A configuration that is not sound is what it may be asked for; so only where it is must be known. */
static int check(const char *unused)
{
	static struct pair_place place;
	struct check_tool tool = {.where = &place,
				  .place = opt.place,
				  .peer = opt.peer,
				  .peer_facts = opt.peer_facts,
				  .corosync = opt.corosync,
				  .cib = opt.cib,
				  .facts = opt.facts,
				  .json = opt.json};
	char why[512];
	int code;

	if (opt.peer && opt.peer_facts)
		return wrong_usage("--peer or --peer-facts, not both");
	if (pair_find(opt.place, &place, why, sizeof(why)) < 0) {
		if (opt.place && !is_file(opt.place))
			return complain(PAIR_UNREACHABLE, why);
		snprintf(place.conf, sizeof(place.conf), "%s",
			 opt.place ? opt.place : "/etc/mdcpair/mdcd.conf");
	}
	why[0] = '\0';
	code = check_run(&tool, why, sizeof(why));
	return code == PAIR_UNREACHABLE ? complain(code, why) : code;
}

static const struct verb {
	const char *name, *what; /* what: a second word, or NULL */
	const char *wants;	 /* its argument, or NULL */
	int (*run)(const char *argument);
} verbs[] = {
	{"status", NULL, NULL, status},
	{"switchover", NULL, NULL, switchover},
	{"resync", NULL, NULL, resync},
	{"override", NULL, NULL, override},
	{"check", NULL, NULL, check},
	{"df", NULL, NULL, df},
	{"journal", NULL, NULL, journal},
	{"clients", "evict", "SESSION", evict},
	{"clients", NULL, NULL, clients},
	{"volume", "list", NULL, volume_list},
	{"volume", "create", "NAME", volume_create},
	{"lun", "list", NULL, lun_list},
	{"lun", "label", "PATH", lun_label},
	{"lun", "renew-arbiter", NULL, renew_arbiter},
};

/* words[0] has a second word, which is missing or wrong: says which there are. */
static int wrong_what(char **words)
{
	char known[128] = "";

	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (verbs[i].what && strcmp(verbs[i].name, words[0]) == 0)
			snprintf(known + strlen(known), sizeof(known) - strlen(known), "%s%s",
				 *known ? ", " : "", verbs[i].what);
	if (!words[1])
		return wrong_usage("%s wants one more word: %s", words[0], known);
	if (!*known)
		return wrong_usage("%s wants no more words: %.200s", words[0], words[1]);
	return wrong_usage("%s %.200s: unknown; there is %s", words[0], words[1], known);
}

static int run(char **words)
{
	bool known = false;

	if (!words[0])
		return wrong_usage("a command is wanted");
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		const struct verb *v = &verbs[i];
		char **rest = words + (v->what ? 2 : 1);

		if (strcmp(v->name, words[0]) != 0)
			continue;
		known = true;
		if (v->what ? !words[1] || strcmp(v->what, words[1]) != 0 : words[1] != NULL)
			continue;
		if (v->wants && !*rest)
			return wrong_usage("%s %s wants %s", v->name, v->what, v->wants);
		if (v->wants ? rest[1] : *rest)
			return wrong_usage("%s %s wants no more words: %.200s", v->name, v->what,
					   v->wants ? rest[1] : *rest);
		return v->run(*rest);
	}
	return known ? wrong_what(words) : wrong_usage("unknown command: %.200s", words[0]);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"json", no_argument, NULL, 'j'},
		{"watch", no_argument, NULL, 'w'},
		{"wait", no_argument, NULL, 'W'},
		{"name", required_argument, NULL, 'n'},
		{"cluster", required_argument, NULL, 'u'},
		{"force", required_argument, NULL, 'f'},
		{"lun", required_argument, NULL, 'l'},
		{"version", no_argument, NULL, 'v'},
		{"peer", required_argument, NULL, 'p'},
		{"peer-facts", required_argument, NULL, 'P'},
		{"corosync", required_argument, NULL, 'o'},
		{"cib", required_argument, NULL, 'b'},
		{"facts", no_argument, NULL, 'F'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	int c;

	pr_assert_to_stderr();
	pr_output_must_arrive();
	while ((c = getopt_long(argc, argv, "C:h", options, NULL)) != -1) {
		switch (c) {
		case 'C':
			opt.place = optarg;
			break;
		case 'j':
			opt.json = true;
			break;
		case 'w':
			opt.watch = true;
			break;
		case 'W':
			opt.wait = true;
			break;
		case 'n':
			opt.name = optarg;
			break;
		case 'u':
			opt.cluster = optarg;
			break;
		case 'f':
			opt.force = optarg;
			break;
		case 'p':
			opt.peer = optarg;
			break;
		case 'P':
			opt.peer_facts = optarg;
			break;
		case 'o':
			opt.corosync = optarg;
			break;
		case 'b':
			opt.cib = optarg;
			break;
		case 'F':
			opt.facts = true;
			break;
		case 'l':
			opt.lun = optarg;
			break;
		case 'v':
			printf("mdcctl %s\n", pr_version());
			return PAIR_OK;
		case 'h':
			usage(stdout);
			return PAIR_OK;
		default:
			return pr_wrong_usage(PAIR_USAGE, NULL);
		}
	}
	return run(argv + optind);
}
