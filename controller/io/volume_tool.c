/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "controller/io/volume_tool.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "controller/core/ns.h"
#include "controller/io/admin_client.h"
#include "controller/io/conf.h"
#include "controller/io/lun_tool.h"

enum { LUNS_MAX = CONF_LUNS_MAX, HINT_MAX = 255 };

struct chosen {
	const char *path;
	struct lun_label label;
};

static int __attribute__((format(printf, 4, 5)))
say(char *why, size_t size, int error, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(why, size, format, ap);
	va_end(ap);
	return error;
}

static int read_conf(const struct pair_place *place, struct conf *c, char *why, size_t size)
{
	char text[512];
	int error;

	if (!place->conf[0])
		return say(why, size, -ENOENT,
			   "%s: there is no mdcd.conf, which would name the LUNs", place->dir[0]);
	error = conf_read(place->conf, c, text);
	return error ? say(why, size, error, "%s", text) : 0;
}

static int choose(const struct conf *c, const char *name, struct chosen *ret, char *why,
		  size_t size)
{
	struct lun_label label;
	char text[256];
	int error;

	ret->path = NULL;
	for (uint32_t i = 0; i < c->luns; i++) {
		error = lun_tool_read(c->lun[i], &label, text, sizeof(text));
		if (error)
			return say(why, size, error, "%s", text);
		if (strcmp(label.name, name) != 0)
			continue;
		if (!pr_uuid_equal(&label.cluster, &c->cluster))
			return say(why, size, -EXDEV, "LUN \"%s\" (%s) belongs to another cluster",
				   name, c->lun[i]);
		if (ret->path)
			return say(why, size, -EINVAL,
				   "two LUNs are called \"%s\", %s and %s: label one of them anew",
				   name, ret->path, c->lun[i]);
		*ret = (struct chosen){.path = c->lun[i], .label = label};
	}
	if (ret->path)
		return 0;
	return say(why, size, -ENOENT, "no LUN of %s is called \"%s\"; see mdcctl lun list",
		   c->path, name);
}

static int choose_all(const struct conf *c, const char *luns, struct chosen list[LUNS_MAX],
		      uint32_t *ret_count, char *why, size_t size)
{
	char names[LUNS_MAX * (LUN_NAME_MAX + 1)], *rest = names, *name;
	uint32_t n = 0;
	int error;

	if (snprintf(names, sizeof(names), "%s", luns) >= (int)sizeof(names))
		return say(why, size, -E2BIG, "more LUNs than a volume may have");
	while ((name = strsep(&rest, ","))) {
		if (n == LUNS_MAX)
			return say(why, size, -E2BIG, "more LUNs than a volume may have");
		error = choose(c, name, &list[n], why, size);
		if (error)
			return error;
		for (uint32_t i = 0; i < n; i++)
			if (pr_uuid_equal(&list[i].label.lun, &list[n].label.lun))
				return say(why, size, -EINVAL, "LUN \"%s\" is named twice", name);
		n++;
	}
	*ret_count = n;
	return 0;
}

/* Words of a command have no blanks, so a hint has %20 for one. A path too long for a hint is none. */
static void print_hint(FILE *f, const char *path)
{
	if (strlen(path) > HINT_MAX)
		path = "-";
	for (; *path; path++)
		if ((unsigned char)*path <= ' ' || *path == '%')
			fprintf(f, "%%%02x", (unsigned char)*path);
		else
			fputc(*path, f);
}

/* "volume-create NAME UUID {LUN-NAME LUN-UUID BLOCKS DATA-BLOCK HINT}..." */
static char *make_command(const char *name, const struct pr_uuid *volume, const struct chosen *list,
			  uint32_t count)
{
	char uuid[PR_UUID_TEXT], *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return NULL;
	fprintf(f, "volume-create %s %s", name, pr_uuid_format(uuid, volume));
	for (uint32_t i = 0; i < count; i++) {
		const struct lun_label *l = &list[i].label;

		fprintf(f, " %s %s %llu %llu ", l->name, pr_uuid_format(uuid, &l->lun),
			(unsigned long long)l->blocks, (unsigned long long)l->data_block);
		print_hint(f, list[i].path);
	}
	if (fclose(f) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

static int ask(const struct pair_place *place, const char *command, json_t **ret, char *why,
	       size_t size)
{
	const char *said;
	char *text;
	int error, rc = pair_command(place, command, ADMIN_WAIT_MS, &text, &error);
	json_t *o;

	if (rc < 0)
		return say(why, size, rc, "no controller answers: %s", strerror(-rc));
	o = json_loads(text, 0, NULL);
	free(text);
	if (error) {
		said = json_string_value(json_object_get(o, "error"));
		say(why, size, error, "%s", said ? said : strerror(error < 0 ? -error : error));
		json_decref(o);
		return error < 0 ? error : -error;
	}
	*ret = o;
	return 0;
}

/* The volume's UUID if there is one of that name. */
static int find_volume(const struct pair_place *place, const char *name, struct pr_uuid *ret,
		       char *why, size_t size)
{
	json_t *o, *v;
	int error = ask(place, "volumes", &o, why, size);
	size_t i;

	if (error)
		return error;
	error = -ENOENT;
	json_array_foreach(json_is_array(o) ? o : json_object_get(o, "volumes"), i, v)
	{
		const char *n = json_string_value(json_object_get(v, "name"));
		const char *u = json_string_value(json_object_get(v, "uuid"));

		if (n && u && strcmp(n, name) == 0)
			error = pr_uuid_parse(u, ret);
	}
	json_decref(o);
	return error;
}

static int join_all(const struct pr_uuid *volume, const struct chosen *list, uint32_t count,
		    char *why, size_t size)
{
	int error = 0;

	for (uint32_t i = 0; i < count && !error; i++)
		if (!pr_uuid_equal(&list[i].label.volume, volume))
			error = lun_tool_join(list[i].path, volume, (uint16_t)i, why, size);
	return error;
}

static bool is_among(const json_t *luns, const struct pr_uuid *lun)
{
	char text[PR_UUID_TEXT];
	json_t *uuid;
	size_t i;

	pr_uuid_format(text, lun);
	json_array_foreach(luns, i,
			   uuid) if (strcmp(json_string_value(uuid), text) == 0) return true;
	return false;
}

/* A controller fences lost clients off the LUNs that it was started with. */
static int all_have(const struct pair_place *place, const struct chosen *list, uint32_t count,
		    char *why, size_t size)
{
	json_t *status = pair_status(place), *c, *luns;
	int error = 0;
	size_t i;

	json_array_foreach(json_object_get(status, "controllers"), i, c)
	{
		luns = json_object_get(c, "luns"); /* none: it does not run */
		for (uint32_t n = 0; luns && n < count && !error; n++)
			if (!is_among(luns, &list[n].label.lun))
				error = say(
					why, size, -ENODEV,
					"node %d was started without LUN \"%s\": restart it, so that it reads [lun] of its mdcd.conf",
					(int)json_integer_value(json_object_get(c, "node")),
					list[n].label.name);
	}
	json_decref(status);
	return error;
}

static int create(const struct pair_place *place, const char *name, const char *luns,
		  bool may_exist, char *why, size_t size)
{
	static struct conf c;
	static struct chosen list[LUNS_MAX];
	struct pr_uuid volume;
	uint8_t random[16];
	uint32_t count;
	char *command;
	json_t *o;
	int error;

	if (!ns_volume_name_ok(name))
		return say(
			why, size, -EINVAL,
			"\"%s\" is no name for a volume: letters, digits, '.', '_' and '-', at most %d",
			name, NS_VOLUME_NAME_MAX);
	error = read_conf(place, &c, why, size);
	if (!error)
		error = choose_all(&c, luns, list, &count, why, size);
	if (error)
		return error;
	error = find_volume(place, name, &volume, why, size);
	if (error == 0 && may_exist)
		return join_all(&volume, list, count, why, size);
	if (error != -ENOENT && error != 0)
		return error;
	for (uint32_t i = 0; i < count; i++)
		if (!pr_uuid_is_zero(&list[i].label.volume) &&
		    (error < 0 || !pr_uuid_equal(&list[i].label.volume, &volume)))
			return say(why, size, -EBUSY,
				   "LUN \"%s\" is already part of another volume",
				   list[i].label.name);
	if (error == 0)
		return say(why, size, -EEXIST, "there is a volume \"%s\" already", name);
	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		return say(why, size, -EIO, "no random numbers");
	volume = pr_uuid_make(random);
	error = all_have(place, list, count, why, size);
	if (error)
		return error;
	command = make_command(name, &volume, list, count);
	if (!command)
		return say(why, size, -ENOMEM, "no memory for the request");
	error = ask(place, command, &o, why, size);
	free(command);
	if (error)
		return error;
	json_decref(o);
	return join_all(&volume, list, count, why, size);
}

int volume_tool_create(const struct pair_place *place, const char *name, const char *luns,
		       char *why, size_t size)
{
	return create(place, name, luns, false, why, size);
}

int volume_tool_ensure(const struct pair_place *place, const char *name, const char *luns,
		       char *why, size_t size)
{
	return create(place, name, luns, true, why, size);
}

static json_t *lun_json(const char *path, bool first)
{
	char why[256], uuid[PR_UUID_TEXT];
	struct lun_label l;
	json_t *o = json_object();

	json_object_set_new(o, "path", json_string(path));
	if (lun_tool_read(path, &l, why, sizeof(why)) < 0) {
		json_object_set_new(o, "name", json_string("-"));
		json_object_set_new(o, "error", json_string(why));
		return o;
	}
	json_object_set_new(o, "name", json_string(l.name));
	json_object_set_new(o, "uuid", json_string(pr_uuid_format(uuid, &l.lun)));
	json_object_set_new(o, "cluster", json_string(pr_uuid_format(uuid, &l.cluster)));
	if (!pr_uuid_is_zero(&l.volume)) {
		json_object_set_new(o, "volume", json_string(pr_uuid_format(uuid, &l.volume)));
		json_object_set_new(o, "number", json_integer(l.number));
	}
	json_object_set_new(o, "bytes", json_integer((json_int_t)(l.blocks * LUN_BLOCK_BYTES)));
	json_object_set_new(o, "mib", json_integer((json_int_t)(l.blocks / 256)));
	json_object_set_new(o, "arbiter", json_boolean(first));
	return o;
}

int volume_tool_luns(const struct pair_place *place, json_t **ret, char *why, size_t size)
{
	static struct conf c;
	int error = read_conf(place, &c, why, size);

	if (error)
		return error;
	*ret = json_array();
	for (uint32_t i = 0; i < c.luns; i++)
		json_array_append_new(*ret, lun_json(c.lun[i], i == 0));
	return 0;
}
