/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads mdcd.conf: every key once, none unknown, every value within what the table below allows. */
#include "controller/io/conf.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

enum kind { NUMBER, TEXT, PATH, ADDRESS, UUID, LOSS, LEVEL, TARGET, FD, STACK };

struct field {
	const char *section, *key;
	enum kind kind;
	size_t at, size;
	uint32_t min, max;
	uint32_t preset;
	bool needed;
};

#define FIELD(section_, key_, kind_, member, ...)                                                \
	{                                                                                        \
		.section = section_, .key = key_, .kind = kind_,                                 \
		.at = offsetof(struct conf, member), .size = sizeof(((struct conf *)0)->member), \
		__VA_ARGS__                                                                      \
	}
#define RANGE(section_, key_, member, min_, max_, preset_) \
	FIELD(section_, key_, NUMBER, member, .min = min_, .max = max_, .preset = preset_)
static const struct field fields[] = {
	FIELD("cluster", "uuid", UUID, cluster, .needed = true),
	FIELD("cluster", "name", TEXT, name, .needed = false),
	FIELD("cluster", "stack", STACK, stack, .needed = false),
	FIELD("node", "id", NUMBER, node, .min = 1, .max = 2, .needed = true),
	FIELD("node", "dir", PATH, dir, .needed = true),
	FIELD("access", "address1", ADDRESS, access[0], .needed = true),
	FIELD("access", "address2", ADDRESS, access[1], .needed = true),
	RANGE("access", "access_port", access_port, 1, 65535, 60598),
	RANGE("access", "coordination_port", coord_port, 1, 65535, 60766),
	FIELD("heartbeat", "address1", ADDRESS, heartbeat[0], .needed = true),
	FIELD("heartbeat", "address2", ADDRESS, heartbeat[1], .needed = true),
	RANGE("heartbeat", "port", heartbeat_port, 1, 65535, 60599),
	RANGE("journal", "segment_mib", segment_mib, 8, 1024, 64),
	RANGE("journal", "segments", segments, 3, 64, 8),
	RANGE("tuning", "cache_mib", cache_mib, 1, 65536, 32),
	RANGE("tuning", "overlay_mib", overlay_mib, 1, 65536, 36),
	RANGE("tuning", "map_mib", map_mib, 1, 64 << 20, 16384),
	RANGE("tuning", "readers", readers, 1, 16, 2),
	RANGE("tuning", "priority", priority, 0, 20, 10),
	RANGE("tuning", "flush_ms", flush_ms, 100, 600000, 10000),
	RANGE("tuning", "lease_ms", lease_ms, 1000, 600000, 30000),
	RANGE("tuning", "beat_ms", beat_ms, 10, 10000, 100),
	RANGE("tuning", "link_lease_ms", link_lease_ms, 50, 60000, 1500),
	RANGE("tuning", "drop_ms", drop_ms, 100, 600000, 5000),
	RANGE("tuning", "link_dead_ms", link_dead_ms, 50, 60000, 1000),
	RANGE("tuning", "sessions_max", sessions_max, 1, 65536, 4096),
	RANGE("tuning", "slots_max", slots_max, 1, 1024, 64),
	RANGE("tuning", "connections_max", connections_max, 8, 65000, 16384),
	FIELD("tuning", "on_peer_loss", LOSS, freeze_on_peer_loss, .needed = false),
	FIELD("admin", "socket", TEXT, admin, .needed = false),
	FIELD("supervisor", "fd", FD, supervisor_fd, .min = 3, .max = 1023),
	FIELD("log", "to", TARGET, log_to, .needed = false),
	FIELD("log", "level", LEVEL, log_level, .needed = false),
};
enum { FIELDS = sizeof(fields) / sizeof(fields[0]) };

struct reader {
	struct conf *conf;
	const char *path;
	char dir[PATH_MAX];
	FILE *file;
	int line, error, error_line;
	int seen[FIELDS], seen_lun[CONF_LUNS_MAX];
	char *why;
};

/* dir is a real path, so that ".." may simply take a part away. */
static int join_relative(char out[PATH_MAX], const char *dir, const char *path)
{
	int len = (int)strlen(dir);

	while (path[0] == '.' &&
	       (path[1] == '/' || !path[1] || (path[1] == '.' && (path[2] == '/' || !path[2])))) {
		if (path[1] == '.')
			while (len > 0 && dir[--len] != '/')
				;
		path += path[1] == '.' ? 2 : 1;
		path += strspn(path, "/");
	}
	return snprintf(out, PATH_MAX, "%.*s%s%s", len, dir,
			path[0]	   ? "/"
			: len == 0 ? "/"
				   : "",
			path);
}

int conf_join(char out[PATH_MAX], const char *dir, const char *path)
{
	int n;

	if (path[0] == '/' || strstr(path, "://"))
		n = snprintf(out, PATH_MAX, "%s", path);
	else
		n = join_relative(out, dir, path);
	return n < PATH_MAX ? 0 : -ENAMETOOLONG;
}

/* Remembers the first thing that is wrong. Returns 0, which stops nothing, as inih wants it. */
static int __attribute__((format(printf, 2, 3))) wrong(struct reader *r, const char *format, ...)
{
	va_list ap;
	int n;

	if (r->error)
		return 0;
	r->error = -EINVAL;
	r->error_line = r->line;
	n = r->line > 0 ? snprintf(r->why, 512, "%s:%d: ", r->path, r->line)
			: snprintf(r->why, 512, "%s: ", r->path);
	if (n < 0 || n >= 512)
		return 0;
	va_start(ap, format);
	vsnprintf(r->why + n, 512 - (size_t)n, format, ap);
	va_end(ap);
	return 0;
}

static int take_number(struct reader *r, const struct field *f, const char *value, uint32_t *ret)
{
	char *end;
	unsigned long v;

	errno = 0;
	v = strtoul(value, &end, 10);
	if (value[0] < '0' || value[0] > '9' || *end || errno || v < f->min || v > f->max)
		return wrong(r, "%s.%s = %s: a whole number of %u to %u is allowed", f->section,
			     f->key, value, f->min, f->max);
	*ret = (uint32_t)v;
	return 1;
}

static int take_text(struct reader *r, const struct field *f, const char *value, char *out)
{
	if (strlen(value) >= f->size)
		return wrong(r, "%s.%s: longer than %zu bytes", f->section, f->key, f->size - 1);
	strcpy(out, value);
	return 1;
}

static int take_address(struct reader *r, const struct field *f, const char *value, char *out)
{
	uint8_t bytes[16];

	if (inet_pton(AF_INET, value, bytes) != 1 && inet_pton(AF_INET6, value, bytes) != 1)
		return wrong(r, "%s.%s = %s: an IPv4 or IPv6 address in digits is allowed",
			     f->section, f->key, value);
	return take_text(r, f, value, out);
}

static int take_level(struct reader *r, const char *value, int *ret)
{
	static const struct {
		const char *name;
		int level;
	} levels[] = {{"error", LOG_ERR}, {"warning", LOG_WARNING}, {"notice", LOG_NOTICE},
		      {"info", LOG_INFO}, {"debug", LOG_DEBUG},	    {"trace", LOG_DEBUG + 1}};

	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++)
		if (strcmp(value, levels[i].name) == 0) {
			*ret = levels[i].level;
			return 1;
		}
	return wrong(r, "log.level = %s: error, warning, notice, info, debug or trace are allowed",
		     value);
}

static int take_path(struct reader *r, const struct field *f, const char *value, char *out)
{
	if (!value[0])
		return wrong(r, "%s.%s: a path is wanted", f->section, f->key);
	if (conf_join(out, r->dir, value) < 0)
		return wrong(r, "%s.%s: the path is too long", f->section, f->key);
	return 1;
}

static int take(struct reader *r, const struct field *f, const char *value)
{
	char *to = (char *)r->conf + f->at;
	uint32_t fd;

	switch (f->kind) {
	case NUMBER:
		return take_number(r, f, value, (uint32_t *)(void *)to);
	case TEXT:
		return take_text(r, f, value, to);
	case PATH:
		return take_path(r, f, value, to);
	case ADDRESS:
		return take_address(r, f, value, to);
	case UUID:
		if (pr_uuid_parse(value, (struct pr_uuid *)(void *)to) < 0)
			return wrong(r, "%s.%s = %s: a UUID is allowed, as uuidgen prints it",
				     f->section, f->key, value);
		return 1;
	case LOSS:
		if (strcmp(value, "serve") != 0 && strcmp(value, "freeze") != 0)
			return wrong(r, "%s.%s = %s: serve or freeze are allowed", f->section,
				     f->key, value);
		*(bool *)(void *)to = strcmp(value, "freeze") == 0;
		return 1;
	case STACK:
		if (strcmp(value, "embedded") != 0 && strcmp(value, "corosync") != 0)
			return wrong(r, "%s.%s = %s: embedded or corosync are allowed", f->section,
				     f->key, value);
		*(enum conf_stack *)(void *)to =
			strcmp(value, "corosync") == 0 ? CONF_COROSYNC : CONF_EMBEDDED;
		return 1;
	case LEVEL:
		return take_level(r, value, (int *)(void *)to);
	case TARGET:
		if (strcmp(value, "stderr") == 0 || strcmp(value, "syslog") == 0)
			return take_text(r, f, value, to);
		return take_path(r, f, value, to);
	case FD:
		if (!take_number(r, f, value, &fd))
			return 0;
		*(int *)(void *)to = (int)fd;
		return 1;
	}
	return 0;
}

/* [lun] path1, path2 ... */
static int take_lun(struct reader *r, const char *key, const char *value)
{
	const struct field f = {.section = "lun", .key = key, .size = PATH_MAX};
	char *end = NULL;
	unsigned long n = 0;

	if (strncmp(key, "path", 4) == 0 && key[4] >= '1' && key[4] <= '9')
		n = strtoul(key + 4, &end, 10);
	if (!end || *end || n < 1 || n > CONF_LUNS_MAX)
		return wrong(
			r,
			"lun.%s: unknown key; path1 (the LUN with the arbiter record) to path%d "
			"are allowed",
			key, CONF_LUNS_MAX);
	if (r->seen_lun[n - 1])
		return wrong(r, "lun.%s: given twice, first in line %d", key, r->seen_lun[n - 1]);
	r->seen_lun[n - 1] = r->line;
	return take_path(r, &f, value, r->conf->lun[n - 1]);
}

static void name_keys(const char *section, char *out, size_t size)
{
	size_t n = 0;

	out[0] = '\0';
	for (size_t i = 0; i < FIELDS; i++)
		if (strcmp(fields[i].section, section) == 0 && n < size)
			n += (size_t)snprintf(out + n, size - n, "%s%s", n ? ", " : "",
					      fields[i].key);
}

static int handler(void *user, const char *section, const char *key, const char *value)
{
	struct reader *r = user;
	char keys[256];

	if (r->error)
		return 0;
	if (strcmp(section, "lun") == 0)
		return take_lun(r, key, value);
	for (size_t i = 0; i < FIELDS; i++) {
		const struct field *f = &fields[i];

		if (strcmp(f->section, section) != 0 || strcmp(f->key, key) != 0)
			continue;
		if (r->seen[i])
			return wrong(r, "%s.%s: given twice, first in line %d", section, key,
				     r->seen[i]);
		r->seen[i] = r->line;
		return take(r, f, value);
	}
	name_keys(section, keys, sizeof(keys));
	if (!keys[0])
		return wrong(
			r,
			"[%s]: unknown section; cluster, node, access, heartbeat, lun, journal, "
			"tuning, admin, supervisor and log are allowed",
			section);
	return wrong(r, "%s.%s: unknown key; allowed are %s", section, key, keys);
}

/* Gives inih one line at a time, so that the handler knows where it is. */
static char *next_line(char *line, int size, void *user)
{
	struct reader *r = user;
	const char *end;
	size_t n;

	memset(line, '\n', (size_t)size);
	if (r->error || !fgets(line, size, r->file))
		return NULL;
	r->line++;
	n = strlen(line);
	end = memrchr(line, '\0', (size_t)size);
	if (end != line + n) {
		wrong(r, "the line contains a zero byte");
		return NULL;
	}
	if (n + 1 == (size_t)size && line[n - 1] != '\n') {
		wrong(r, "the line is longer than %d bytes", size - 2);
		return NULL;
	}
	return line;
}

static void set_presets(struct conf *c)
{
	*c = (struct conf){.supervisor_fd = -1, .log_level = LOG_INFO, .log_to = "stderr"};
	for (size_t i = 0; i < FIELDS; i++)
		if (fields[i].kind == NUMBER)
			*(uint32_t *)(void *)((char *)c + fields[i].at) = fields[i].preset;
}

/* The two addresses of the controllers on one network. */
static void check_addresses(struct reader *r, const char *section,
			    char addresses[2][CONF_ADDRESS_MAX])
{
	if (strcmp(addresses[0], addresses[1]) == 0)
		wrong(r, "%s.address1 and %s.address2 are both %s", section, section, addresses[0]);
	if (!strchr(addresses[0], ':') != !strchr(addresses[1], ':'))
		wrong(r, "%s.address1 = %s and %s.address2 = %s: one is IPv4, the other IPv6",
		      section, addresses[0], section, addresses[1]);
}

static void check_luns(struct reader *r)
{
	struct conf *c = r->conf;

	while (c->luns < CONF_LUNS_MAX && r->seen_lun[c->luns])
		c->luns++;
	for (uint32_t i = c->luns; i < CONF_LUNS_MAX; i++)
		if (r->seen_lun[i])
			wrong(r, "lun.path%u is missing, but lun.path%u is there", c->luns + 1,
			      i + 1);
	if (c->luns == 0)
		wrong(r, "lun.path1 is missing: the LUN that holds the arbiter record");
	for (uint32_t i = 1; i < c->luns; i++)
		for (uint32_t j = 0; j < i; j++)
			if (strcmp(c->lun[i], c->lun[j]) == 0)
				wrong(r, "lun.path%u and lun.path%u are both %s", j + 1, i + 1,
				      c->lun[i]);
}

/* What concerns more than one key. */
static void check_whole(struct reader *r)
{
	struct conf *c = r->conf;

	r->line = 0;
	for (size_t i = 0; i < FIELDS; i++)
		if (fields[i].needed && !r->seen[i])
			wrong(r, "%s.%s is missing", fields[i].section, fields[i].key);
	check_luns(r);
	if (pr_uuid_is_zero(&c->cluster))
		wrong(r, "cluster.uuid must not be zero");
	if (c->stack == CONF_COROSYNC && c->supervisor_fd >= 0)
		wrong(r, "cluster.stack = corosync and supervisor.fd exclude each other");
	if (c->access_port == c->coord_port)
		wrong(r, "access.access_port and access.coordination_port are both %u",
		      c->access_port);
	check_addresses(r, "access", c->access);
	check_addresses(r, "heartbeat", c->heartbeat);
	if (c->beat_ms * 3 > c->link_dead_ms)
		wrong(r,
		      "tuning.link_dead_ms = %u must be at least three times tuning.beat_ms = %u",
		      c->link_dead_ms, c->beat_ms);
}

int conf_parse(FILE *file, const char *said, const char *path, struct conf *ret, char why[512])
{
	struct reader r = {.conf = ret, .path = said, .file = file, .why = why};
	char *slash;
	int n;

	set_presets(ret);
	if (snprintf(ret->path, sizeof(ret->path), "%s", path) >= PATH_MAX)
		return -ENAMETOOLONG;
	strcpy(r.dir, ret->path);
	slash = strrchr(r.dir, '/');
	*(slash == r.dir ? slash + 1 : slash) = '\0';
	n = ini_parse_stream(next_line, &r, handler, &r);
	/* What follows a line that is none was read as if it belonged elsewhere. */
	if (n && (!r.error || (n > 0 && n < r.error_line))) {
		r.error = 0;
		if (n > 0)
			r.line = n;
		wrong(&r, "neither [section], key = value nor a comment");
	}
	if (!r.error)
		check_whole(&r);
	return r.error;
}

int conf_read(const char *path, struct conf *ret, char why[512])
{
	char real[PATH_MAX];
	FILE *file = realpath(path, real) ? fopen(real, "re") : NULL;
	int r;

	if (!file) {
		r = -errno;
		snprintf(why, 512, "%s: %s", path, strerror(-r));
		return r;
	}
	r = conf_parse(file, path, real, ret, why);
	fclose(file);
	return r;
}

static const char *as_text(const struct conf *c, const struct field *f, char out[PR_UUID_TEXT])
{
	const char *at = (const char *)c + f->at;

	switch (f->kind) {
	case NUMBER:
		snprintf(out, PR_UUID_TEXT, "%u", *(const uint32_t *)(const void *)at);
		return out;
	case UUID:
		return pr_uuid_format(out, (const struct pr_uuid *)(const void *)at);
	case LOSS:
		return *(const bool *)(const void *)at ? "freeze" : "serve";
	case STACK:
		return *(const enum conf_stack *)(const void *)at == CONF_COROSYNC ? "corosync"
										   : "embedded";
	default:
		return at;
	}
}

void conf_shared(const struct conf *c, void (*say)(void *user, const char *name, const char *value),
		 void *user)
{
	static const char *const own[] = {"node", "admin", "supervisor", "log"};
	char name[64], text[PR_UUID_TEXT];

	for (size_t i = 0; i < FIELDS; i++) {
		const struct field *f = &fields[i];
		size_t j = 0;

		while (j < 4 && strcmp(own[j], f->section) != 0)
			j++;
		if (j < 4)
			continue;
		snprintf(name, sizeof(name), "%s.%s", f->section, f->key);
		say(user, name, as_text(c, f, text));
	}
}
