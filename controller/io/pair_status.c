/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "controller/io/pair_status.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "controller/io/admin_client.h"
#include "controller/io/conf.h"
#include "controller/io/pair_dir.h"
#include "controller/io/pair_socket.h"
#include "controller/io/promotion.h"

enum { STATUS_WAIT_MS = 1500 };

static bool exists(const char *dir, const char *name)
{
	char path[PATH_MAX];

	return snprintf(path, sizeof(path), "%s/%s", dir, name) < (int)sizeof(path) &&
	       access(path, F_OK) == 0;
}

static int find_by_conf(const char *conf_path, struct pair_place *ret, char *why, size_t size)
{
	static struct conf c;
	char text[512];
	int error = conf_read(conf_path, &c, text);

	if (error < 0) {
		snprintf(why, size, "%s (or say with -C where the pair is)", text);
		return error;
	}
	snprintf(ret->dir[0], PATH_MAX, "%s", c.dir);
	snprintf(ret->conf, PATH_MAX, "%s", c.path);
	return 0;
}

int pair_find(const char *path, struct pair_place *ret, char *why, size_t size)
{
	struct pair_dir d;
	struct stat st;
	char text[512];
	int error;

	*ret = (struct pair_place){0};
	if (!path)
		return find_by_conf("/etc/mdcpair/mdcd.conf", ret, why, size);
	if (stat(path, &st) == 0 && S_ISREG(st.st_mode))
		return find_by_conf(path, ret, why, size);
	if (exists(path, "admin")) {
		snprintf(ret->dir[0], PATH_MAX, "%s", path);
		if (exists(path, "mdcd.conf"))
			snprintf(ret->conf, PATH_MAX, "%.4000s/mdcd.conf", path);
		return 0;
	}
	error = pair_dir_find(path, &d, why, size);
	if (error)
		return error;
	if (pair_dir_read(&d, text, sizeof(text)) < 0)
		snprintf(
			ret->note, sizeof(ret->note),
			"%s; a controller that runs has read it before, one that starts needs it: correct it",
			text);
	snprintf(ret->pair, PATH_MAX, "%s", d.path);
	for (int i = 0; i < 2; i++)
		snprintf(ret->dir[i], PATH_MAX, "%s", d.node[i]);
	snprintf(ret->conf, PATH_MAX, "%.4000s/mdcd.conf", d.node[0]);
	return 0;
}

/* What the supervisor knows to be stopped by a signal is not asked: it would not answer. */
static bool is_stopped(const json_t *supervisor, int node)
{
	return node &&
	       json_is_true(json_object_get(
		       json_array_get(json_object_get(supervisor, "children"), (size_t)node - 1),
		       "stopped"));
}

/* What the supervisor knows of one that has ended: its last words. */
static void why_down(const json_t *supervisor, int node, char *why, size_t size)
{
	const json_t *c = json_array_get(json_object_get(supervisor, "children"), (size_t)node - 1);
	const char *words = json_string_value(json_object_get(c, "why"));
	long long deaths = json_integer_value(json_object_get(c, "deaths"));

	why[0] = '\0';
	if (node && c && !json_integer_value(json_object_get(c, "pid")) && deaths && words &&
	    *words)
		snprintf(why, size, "it ended, %lld %s so far, last with: %s", deaths,
			 deaths == 1 ? "death" : "deaths", words);
}

/* Names go by directory: one of a pair that stood there before answers to them until it has ended. */
static bool is_of_another(const json_t *supervisor, int node, const json_t *answer)
{
	const json_t *c = json_array_get(json_object_get(supervisor, "children"), (size_t)node - 1);

	return node && c &&
	       json_integer_value(json_object_get(c, "pid")) !=
		       json_integer_value(json_object_get(answer, "pid"));
}

static json_t *ask_status(const char *dir, int node, const json_t *supervisor)
{
	char *text, why[400];
	int error, rc = -ETIMEDOUT;
	json_t *o = NULL;

	if (!is_stopped(supervisor, node))
		rc = admin_ask(dir, "status", STATUS_WAIT_MS, &text, &error);
	if (rc == 0) {
		o = json_loads(text, 0, NULL);
		free(text);
	}
	if (o && !is_of_another(supervisor, node, o))
		return o;
	if (o)
		rc = -EBUSY;
	json_decref(o);
	o = json_object();
	if (node)
		json_object_set_new(o, "node", json_integer(node));
	json_object_set_new(o, "role", json_string("down"));
	why_down(supervisor, node, why, sizeof(why));
	json_object_set_new(
		o, "error",
		json_string(why[0]	       ? why
			    : rc == -ETIMEDOUT ? "stopped, or too slow to answer"
			    : rc == -EBUSY
				    ? "a controller that was started here before has not ended yet"
			    : rc < 0 ? strerror(-rc)
				     : "no sense in its answer"));
	return o;
}

/* Null: there is none. With "error": there is one, and it does not answer. */
static json_t *ask_supervisor(const char *pair)
{
	pid_t pid;
	char *text;
	json_t *o;
	int error = pair[0] ? pair_socket_ask(pair, "status", STATUS_WAIT_MS, &text) : -ENOENT;

	pid = error < 0 ? pair_dir_supervisor(pair) : 0;
	if (error < 0 && error != -EACCES && !pid)
		return json_null();
	if (error < 0)
		return json_pack("{s:s, s:i}", "error", strerror(-error), "pid", (int)pid);
	o = json_loads(text, 0, NULL);
	free(text);
	return o ? o : json_null();
}

static bool has_role(const json_t *controller, const char *role)
{
	const char *r = json_string_value(json_object_get(controller, "role"));

	return r && strcmp(r, role) == 0;
}

static json_t *find_active(const json_t *controllers)
{
	json_t *c;
	size_t i;

	json_array_foreach(controllers, i, c) if (has_role(c, "active")) return c;
	return NULL;
}

/* What a standby alone says of a pair: as long as it follows an active one, that one serves. */
static const char *health_of_standby(const json_t *c)
{
	const char *state = json_string_value(json_object_get(c, "state"));

	if (has_role(c, "down"))
		return "down";
	return has_role(c, "standby") && json_is_true(json_object_get(c, "link_up")) && state &&
			       strcmp(state, "INSYNC") == 0 &&
			       json_array_size(json_object_get(c, "alarms")) == 0
		       ? "ok"
		       : "degraded";
}

const char *pair_health(const json_t *status)
{
	json_t *controllers = json_object_get(status, "controllers"), *a = find_active(controllers);
	const char *mode = json_string_value(json_object_get(a, "mode"));

	if (!a && json_array_size(controllers) == 1)
		return health_of_standby(json_array_get(controllers, 0));
	if (!a || (mode && strcmp(mode, "FROZEN") == 0)) /* nobody is answered */
		return "down";
	/* A supervisor that does not answer would order nobody to take over. */
	if (!mode || strcmp(mode, "SYNC") != 0 ||
	    json_object_get(json_object_get(status, "supervisor"), "error") ||
	    !json_is_true(json_object_get(a, "peer_insync")) ||
	    json_array_size(json_object_get(a, "alarms")) > 0)
		return "degraded";
	return "ok";
}

json_t *pair_status(const struct pair_place *place)
{
	json_t *o = json_object(), *controllers = json_array(), *a;
	json_t *supervisor = ask_supervisor(place->pair);

	for (int i = 0; i < 2 && place->dir[i][0]; i++)
		json_array_append_new(
			controllers,
			ask_status(place->dir[i], place->pair[0] ? i + 1 : 0, supervisor));
	a = find_active(controllers);
	json_object_set_new(o, "active", a ? json_incref(json_object_get(a, "node")) : json_null());
	json_object_set_new(o, "epoch", a ? json_incref(json_object_get(a, "epoch")) : json_null());
	json_object_set_new(o, "last_promotion", promotion_of(controllers, supervisor));
	json_object_set_new(o, "controllers", controllers);
	json_object_set_new(o, "supervisor", supervisor);
	json_object_set_new(o, "health", json_string(pair_health(o)));
	return o;
}

int pair_command(const struct pair_place *place, const char *command, int wait_ms, char **ret,
		 int *ret_error)
{
	json_t *status = pair_status(place), *controllers = json_object_get(status, "controllers");
	const char *dir = NULL;

	for (int i = 0; i < 2 && place->dir[i][0]; i++) {
		json_t *c = json_array_get(controllers, (size_t)i);

		if (has_role(c, "active"))
			dir = place->dir[i];
		else if (!dir && !has_role(c, "down"))
			dir = place->dir[i];
	}
	json_decref(status);
	return dir ? admin_ask(dir, command, wait_ms, ret, ret_error) : -ECONNREFUSED;
}
