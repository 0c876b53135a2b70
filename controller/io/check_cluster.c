/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What mdcctl check reads of corosync and Pacemaker: their files, or what Pacemaker says; and the fence agents' answers. */
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "controller/io/check.h"
#include "proto/hash.h"

enum { TEXT_MAX = 4 << 20, VALUE_MAX = 256, HOSTS_BYTES = 1024, FENCE_WAIT_S = 20 };

static char *read_stream(FILE *f, size_t *ret_len)
{
	char *text = malloc(TEXT_MAX + 1);
	size_t n = text ? fread(text, 1, TEXT_MAX, f) : 0;

	if (text)
		text[n] = '\0';
	*ret_len = n;
	return text;
}

static char *read_file(const char *path, size_t *ret_len)
{
	FILE *f = fopen(path, "re");
	char *text = f ? read_stream(f, ret_len) : NULL;

	if (f)
		fclose(f);
	return text;
}

static json_t *hash_text(const char *p, size_t len)
{
	struct pr_hash h = pr_hash_of(p, len);
	char text[33];

	for (int i = 0; i < 16; i++)
		snprintf(text + 2 * i, 3, "%02x", h.b[i]);
	return json_string(text);
}

/* ---- corosync.conf ---- */

static void take_line(json_t *nodes, const char *section, char *line)
{
	char *value = strchr(line, ':');
	json_t *node = json_array_get(nodes, json_array_size(nodes) - 1);

	if (!value || strcmp(section, "nodelist.node") != 0)
		return;
	*value++ = '\0';
	value += strspn(value, " \t");
	value[strcspn(value, " \t\r")] = '\0';
	line[strcspn(line, " \t")] = '\0';
	if (strcmp(line, "name") == 0)
		json_object_set_new(node, "name", json_string(value));
	else if (strncmp(line, "ring", 4) == 0 && strstr(line, "_addr"))
		json_array_append_new(json_object_get(node, "addresses"), json_string(value));
}

static void parse_corosync(char *text, json_t *nodes)
{
	char section[VALUE_MAX] = "", *line, *end;

	while ((line = strsep(&text, "\n"))) {
		line += strspn(line, " \t");
		end = strchr(line, '{');
		if (*line == '#')
			continue;
		if (end) {
			size_t n = strlen(section), word = strcspn(line, " \t{");

			snprintf(section + n, sizeof(section) - n, "%s%.*s", n ? "." : "",
				 (int)word, line);
			if (strcmp(section, "nodelist.node") == 0)
				json_array_append_new(
					nodes, json_pack("{s:s,s:[]}", "name", "", "addresses"));
		} else if (*line == '}') {
			end = strrchr(section, '.');
			*(end ? end : section) = '\0';
		} else {
			take_line(nodes, section, line);
		}
	}
}

json_t *check_corosync(const char *path)
{
	char key_path[PATH_MAX], *slash;
	size_t len = 0;
	char *text = read_file(path, &len), *key;
	json_t *o, *nodes = json_array();

	if (!text) {
		json_decref(nodes);
		return json_pack("{s:s,s:s}", "file", path, "error", strerror(errno));
	}
	o = json_pack("{s:s,s:o,s:o}", "file", path, "hash", hash_text(text, len), "nodes", nodes);
	parse_corosync(text, nodes);
	free(text);
	snprintf(key_path, sizeof(key_path), "%s", path);
	slash = strrchr(key_path, '/');
	snprintf(slash ? slash + 1 : key_path, 8, "authkey");
	key = read_file(key_path, &len);
	json_object_set_new(o, "authkey", key ? hash_text(key, len) : json_null());
	free(key);
	return o;
}

/* ---- the CIB ---- */

/* The attribute's value, unescaped; false: the tag has none of that name. */
static bool attribute(const char *tag, const char *name, char out[VALUE_MAX])
{
	static const struct {
		const char *name;
		char c;
	} entities[] = {
		{"&amp;", '&'}, {"&quot;", '"'}, {"&apos;", '\''}, {"&lt;", '<'}, {"&gt;", '>'}};
	size_t n = 0, len = strlen(name);
	const char *p = tag;

	while ((p = strstr(p, name)))
		if (isspace((unsigned char)p[-1]) && p[len] == '=' && p[len + 1] == '"')
			break;
		else
			p += len;
	if (!p)
		return false;
	for (p += len + 2; *p && *p != '"' && n + 1 < VALUE_MAX; n++) {
		size_t i;

		for (i = 0; i < 5 && strncmp(p, entities[i].name, strlen(entities[i].name)); i++)
			;
		out[n] = i < 5 ? entities[i].c : *p;
		p += i < 5 ? strlen(entities[i].name) : 1;
	}
	out[n] = '\0';
	return true;
}

struct cib {
	json_t *o, *device; /* device: the primitive whose values are being read, or NULL */
	bool configuration;
};

static void take_value(struct cib *c, const char *tag)
{
	char name[VALUE_MAX], value[VALUE_MAX];

	if (!attribute(tag, "name", name) || !attribute(tag, "value", value))
		return;
	if (strcmp(name, "stonith-enabled") == 0 && !c->device)
		json_object_set_new(c->o, "stonith_enabled", json_string(value));
	else if (strcmp(name, "load-threshold") == 0 && !c->device)
		json_object_set_new(c->o, "load_threshold", json_string(value));
	else if (c->device)
		json_object_set_new(json_object_get(c->device, "values"), name, json_string(value));
}

static void take_tag(struct cib *c, const char *tag)
{
	char value[VALUE_MAX], type[VALUE_MAX], id[VALUE_MAX];
	bool stonith, ours;

	if (strncmp(tag, "status", 6) == 0) {
		c->configuration = false;
	} else if (strncmp(tag, "configuration", 13) == 0) {
		c->configuration = true;
	} else if (!c->configuration) {
		return;
	} else if (strncmp(tag, "node ", 5) == 0 && attribute(tag, "uname", value)) {
		json_array_append_new(json_object_get(c->o, "nodes"), json_string(value));
	} else if (strncmp(tag, "primitive ", 10) == 0 && attribute(tag, "type", type) &&
		   attribute(tag, "id", id)) {
		stonith = attribute(tag, "class", value) && strcmp(value, "stonith") == 0;
		ours = attribute(tag, "provider", value) && strcmp(value, "mdcpair") == 0;
		c->device = json_pack("{s:s,s:s,s:{}}", "id", id, "type", type, "values");
		if (stonith || ours)
			json_array_append(json_object_get(c->o, stonith ? "fences" : "controllers"),
					  c->device);
		json_decref(c->device);
		if (!stonith && !ours)
			c->device = NULL;
	} else if (strncmp(tag, "/primitive", 10) == 0) {
		c->device = NULL;
	} else if (strncmp(tag, "nvpair ", 7) == 0) {
		take_value(c, tag);
	}
}

static void parse_cib(char *text, json_t *o)
{
	struct cib c = {.o = o};
	char *p = text, *end;

	while ((p = strchr(p, '<'))) {
		bool comment = strncmp(p, "<!--", 4) == 0;

		end = strstr(p, comment ? "-->" : ">");
		if (!end)
			return;
		*end = '\0';
		if (!comment)
			take_tag(&c, p + 1);
		p = end + 1;
	}
}

/* A fence agent takes its parameters on its standard input, so no password stands in a process list. */
static const char *ask_agent(const json_t *device)
{
	const char *type = json_string_value(json_object_get(device, "type")), *key;
	char command[VALUE_MAX + 128];
	json_t *values = json_object_get(device, "values"), *v;
	int status;
	FILE *f;

	if (strncmp(type, "fence_", 6) != 0 ||
	    type[strspn(type, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")])
		return "not asked: not a fence_ agent";
	snprintf(command, sizeof(command),
		 "PATH=/usr/sbin:/sbin:$PATH timeout %d %s >/dev/null 2>&1", FENCE_WAIT_S, type);
	f = popen(command, "we");
	if (!f)
		return strerror(errno);
	fprintf(f, "action=%s\n", json_object_get(values, "plug") ? "status" : "monitor");
	json_object_foreach(values, key, v) if (strncmp(key, "pcmk_", 5) != 0)
		fprintf(f, "%s=%s\n", key, json_string_value(v));
	status = pclose(f);
	if (WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 2))
		return "ok";
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
		return "is not installed here";
	return WIFEXITED(status) && WEXITSTATUS(status) == 124 ? "does not answer"
							       : "answers with an error";
}

static bool has_word(const char *list, const char *word)
{
	size_t len = strlen(word);

	for (const char *p = list; (p = strstr(p, word)); p += len)
		if ((p == list || strchr(" ,;", p[-1])) && (!p[len] || strchr(" ,;:", p[len])))
			return true;
	return false;
}

static void add_word(char hosts[HOSTS_BYTES], const char *word, size_t len)
{
	size_t n = strlen(hosts);

	snprintf(hosts + n, HOSTS_BYTES - n, "%s%.*s", n ? " " : "", (int)len, word);
}

/* Whom a device cuts off, as Pacemaker takes it: by its list, its map, its plug; without any, it asks the device, which may name each. */
static void targets(const json_t *values, const json_t *nodes, char hosts[HOSTS_BYTES])
{
	const char *list = json_string_value(json_object_get(values, "pcmk_host_list"));
	const char *map = json_string_value(json_object_get(values, "pcmk_host_map"));
	const char *how = json_string_value(json_object_get(values, "pcmk_host_check"));
	const char *plug = json_string_value(json_object_get(values, "plug"));
	json_t *n;
	size_t i;

	hosts[0] = '\0';
	if (list)
		add_word(hosts, list, strlen(list));
	while (map && *map) { /* HOST:PORT[,PORT];HOST:PORT... */
		add_word(hosts, map, strcspn(map, ":; "));
		map += strcspn(map, "; ");
		map += strspn(map, "; ");
	}
	if (hosts[0] || strcmp(how ? how : "", "static-list") == 0)
		return;
	if (plug)
		add_word(hosts, plug, strlen(plug));
	else
		json_array_foreach(nodes, i, n)
			add_word(hosts, json_string_value(n), json_string_length(n));
}

/* Of each device only whom it cuts off and what it answers is told on; its parameters stay here. */
static void ask_devices(json_t *o, const char *host)
{
	json_t *d;
	size_t i;

	json_array_foreach(json_object_get(o, "fences"), i, d)
	{
		json_t *values = json_object_get(d, "values");
		char hosts[HOSTS_BYTES];

		targets(values, json_object_get(o, "nodes"), hosts);
		json_object_set_new(d, "hosts", json_string(hosts));
		json_object_set_new(d, "answer",
				    json_string(strcmp(hosts, host) == 0
							? "not asked: this host is its target"
							: ask_agent(d)));
		json_object_del(d, "values");
	}
	json_array_foreach(json_object_get(o, "controllers"), i, d)
	{
		const char *c =
			json_string_value(json_object_get(json_object_get(d, "values"), "config"));

		json_object_set_new(d, "config", json_string(c ? c : "/etc/mdcpair/mdcd.conf"));
		json_object_del(d, "values");
	}
	json_array_foreach(json_object_get(o, "nodes"), i, d)
	{
		size_t j, devices = 0;
		json_t *f;

		json_array_foreach(json_object_get(o, "fences"), j, f) devices += has_word(
			json_string_value(json_object_get(f, "hosts")), json_string_value(d));
		if (!devices)
			json_array_append(json_object_get(o, "unfenced"), d);
	}
}

static char *ask_pacemaker(const char **ret_from, size_t *ret_len)
{
	FILE *f = popen("timeout 5 cibadmin --query 2>/dev/null", "re");
	char *text = f ? read_stream(f, ret_len) : NULL;

	*ret_from = "Pacemaker";
	if (f && pclose(f) == 0 && text && *ret_len)
		return text;
	free(text);
	*ret_from = "/var/lib/pacemaker/cib/cib.xml";
	return read_file(*ret_from, ret_len);
}

json_t *check_cib(const char *path, const char *host)
{
	const char *from = path;
	size_t len = 0;
	char *text = path ? read_file(path, &len) : ask_pacemaker(&from, &len);
	json_t *o;

	if (!text)
		return json_pack("{s:s,s:s}", "from", from, "error", strerror(errno));
	o = json_pack("{s:s,s:s,s:s,s:[],s:[],s:[],s:[]}", "from", from, "stonith_enabled", "true",
		      "load_threshold", "80%", "nodes", "fences", "controllers", "unfenced");
	parse_cib(text, o);
	free(text);
	ask_devices(o, host);
	return o;
}
