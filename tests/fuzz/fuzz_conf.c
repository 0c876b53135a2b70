/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mdcd.conf. Input: the file. It is refused in one line that names it, or accepted with every value within what is allowed; then
 * a file printed from the values is accepted too and says the same.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "controller/io/conf.h"
#include "tests/fuzz/fuzz.h"

enum { PRINT_BYTES = 1 << 15, LINE_MAX_BYTES = 190 };

struct print {
	char text[PRINT_BYTES];
	size_t len;
	bool long_line;
};

static void line(struct print *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void line(struct print *p, const char *format, ...)
{
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(p->text + p->len, sizeof(p->text) - p->len, format, ap);
	va_end(ap);
	FUZZ_CHECK(n > 0 && p->len + (size_t)n + 1 < sizeof(p->text));
	p->long_line |= n > LINE_MAX_BYTES;
	p->len += (size_t)n;
	p->text[p->len++] = '\n';
}

static const char *level_name(int level)
{
	static const char *const names[] = {
		[LOG_ERR] = "error", [LOG_WARNING] = "warning", [LOG_NOTICE] = "notice",
		[LOG_INFO] = "info", [LOG_DEBUG] = "debug",	[LOG_DEBUG + 1] = "trace"};

	FUZZ_CHECK(level >= LOG_ERR && level <= LOG_DEBUG + 1);
	return names[level];
}

static void print_pair(struct print *p, const struct conf *c)
{
	char uuid[PR_UUID_TEXT];

	pr_uuid_format(uuid, &c->cluster);
	line(p, "[cluster]\nuuid=%s\nname=%s\nstack=%s", uuid, c->name,
	     c->stack == CONF_COROSYNC ? "corosync" : "embedded");
	line(p, "[node]\nid=%u", c->node);
	line(p, "dir=%s", c->dir);
	line(p, "[access]\naddress1=%s\naddress2=%s", c->access[0], c->access[1]);
	line(p, "access_port=%u\ncoordination_port=%u", c->access_port, c->coord_port);
	line(p, "[heartbeat]\naddress1=%s\naddress2=%s\nport=%u", c->heartbeat[0], c->heartbeat[1],
	     c->heartbeat_port);
	line(p, "[lun]");
	for (uint32_t i = 0; i < c->luns; i++)
		line(p, "path%u=%s", i + 1, c->lun[i]);
}

static void print_rest(struct print *p, const struct conf *c)
{
	line(p, "[journal]\nsegment_mib=%u\nsegments=%u", c->segment_mib, c->segments);
	line(p, "[tuning]\ncache_mib=%u\noverlay_mib=%u\nmap_mib=%u", c->cache_mib, c->overlay_mib,
	     c->map_mib);
	line(p, "readers=%u\nflush_ms=%u\nlease_ms=%u", c->readers, c->flush_ms, c->lease_ms);
	line(p, "beat_ms=%u\nlink_lease_ms=%u\ndrop_ms=%u\nlink_dead_ms=%u", c->beat_ms,
	     c->link_lease_ms, c->drop_ms, c->link_dead_ms);
	line(p, "sessions_max=%u\nslots_max=%u\nconnections_max=%u", c->sessions_max, c->slots_max,
	     c->connections_max);
	line(p, "on_peer_loss=%s", c->freeze_on_peer_loss ? "freeze" : "serve");
	line(p, "[admin]\nsocket=%s", c->admin);
	if (c->supervisor_fd >= 0)
		line(p, "[supervisor]\nfd=%d", c->supervisor_fd);
	line(p, "[log]\nlevel=%s", level_name(c->log_level));
	line(p, "to=%s", c->log_to);
}

static int parse(const void *p, size_t len, struct conf *ret, char why[512])
{
	FILE *f = len ? fmemopen((void *)p, len, "r") : fopen("/dev/null", "r");
	int r;

	FUZZ_CHECK(f != NULL);
	why[0] = '\0';
	r = conf_parse(f, "mdcd.conf", "/etc/mdcpair/mdcd.conf", ret, why);
	fclose(f);
	return r;
}

static void check_refusal(const char *why)
{
	FUZZ_CHECK(strncmp(why, "mdcd.conf:", 10) == 0 && strlen(why) > 12, "\"%s\"", why);
	FUZZ_CHECK(!strchr(why, '\n'), "\"%s\"", why);
}

static void check_addresses(const char address[2][CONF_ADDRESS_MAX])
{
	uint8_t bytes[16];

	for (int i = 0; i < 2; i++)
		FUZZ_CHECK(inet_pton(AF_INET, address[i], bytes) == 1 ||
			   inet_pton(AF_INET6, address[i], bytes) == 1);
	FUZZ_CHECK(strcmp(address[0], address[1]) != 0);
}

static bool is_port(uint32_t port)
{
	return port >= 1 && port <= 65535;
}

static void check_accepted(const struct conf *c)
{
	FUZZ_CHECK(!pr_uuid_is_zero(&c->cluster) && (c->node == 1 || c->node == 2));
	check_addresses(c->access);
	check_addresses(c->heartbeat);
	FUZZ_CHECK(is_port(c->access_port) && is_port(c->coord_port) &&
		   c->access_port != c->coord_port && is_port(c->heartbeat_port));
	FUZZ_CHECK(c->dir[0] == '/' || strstr(c->dir, "://"));
	FUZZ_CHECK(c->luns >= 1 && c->luns <= CONF_LUNS_MAX);
	for (uint32_t i = 0; i < CONF_LUNS_MAX; i++)
		FUZZ_CHECK((c->lun[i][0] != '\0') == (i < c->luns));
	FUZZ_CHECK(c->segments >= 3 && c->beat_ms * 3 <= c->link_dead_ms);
	FUZZ_CHECK(c->supervisor_fd == -1 || (c->supervisor_fd >= 3 && c->stack == CONF_EMBEDDED));
}

static void one(const uint8_t *p, size_t len)
{
	static struct conf c, again;
	static struct print first, second;
	char why[512];
	int r = parse(p, len, &c, why);

	if (r) {
		FUZZ_CHECK(r == -EINVAL);
		check_refusal(why);
		return;
	}
	check_accepted(&c);
	first.len = second.len = 0;
	first.long_line = false;
	print_pair(&first, &c);
	print_rest(&first, &c);
	if (first.long_line)
		return;
	FUZZ_CHECK(parse(first.text, first.len, &again, why) == 0, "%s in\n%.*s", why,
		   (int)first.len, first.text);
	print_pair(&second, &again);
	print_rest(&second, &again);
	FUZZ_CHECK(first.len == second.len && memcmp(first.text, second.text, first.len) == 0);
}

FUZZ_TARGET(conf)
