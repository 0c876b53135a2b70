/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a host is, by its mdcd.conf: settings, versions, LUNs, ports, the way to its peer, its cluster's files. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "controller/io/check.h"
#include "controller/io/conf.h"
#include "controller/io/lun_tool.h"
#include "ha/io/arbiter.h"
#include "ha/io/tcp.h"
#include "lun/lun.h"
#include "proto/hash.h"
#include "proto/version.h"

enum { ARBITER_WAIT_MS = 10000 };

/* Like mdcd: a locked DIR/lock is a controller. */
static bool is_running(const char *dir)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	char path[PATH_MAX + 8];
	bool held;
	int fd;

	snprintf(path, sizeof(path), "%s/lock", dir);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return false;
	held = fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
	close(fd);
	return held;
}

static void take_setting(void *user, const char *name, const char *value)
{
	json_object_set_new(user, name, json_string(value));
}

static void settings(json_t *o, const struct conf *c)
{
	json_t *list = json_object();
	struct pr_hash h;
	char text[33], *all;

	conf_shared(c, take_setting, list);
	all = json_dumps(list, JSON_COMPACT | JSON_SORT_KEYS);
	h = pr_hash_of(all ? all : "", all ? strlen(all) : 0);
	free(all);
	for (int i = 0; i < 16; i++)
		snprintf(text + 2 * i, 3, "%02x", h.b[i]);
	json_object_set_new(o, "settings", list);
	json_object_set_new(o, "settings_hash", json_string(text));
}

static json_t *lun_facts(const char *path, const struct conf *c)
{
	char why[512], uuid[PR_UUID_TEXT];
	struct lun_label l;
	json_t *o = json_pack("{s:s}", "path", path);

	if (lun_check_all(&path, 1, &c->cluster, why, sizeof(why)) < 0)
		json_object_set_new(o, "error", json_string(why));
	if (lun_tool_read(path, &l, why, sizeof(why)) < 0)
		return o;
	json_object_set_new(o, "name", json_string(l.name));
	json_object_set_new(o, "uuid", json_string(pr_uuid_format(uuid, &l.lun)));
	json_object_set_new(o, "blocks", json_integer((json_int_t)l.blocks));
	json_object_set_new(o, "volume", json_string(pr_uuid_format(uuid, &l.volume)));
	return o;
}

static json_t *addresses(const struct conf *c)
{
	const char *own[2] = {c->access[c->node - 1], c->heartbeat[c->node - 1]};
	json_t *missing = json_array();
	char text[128];

	for (int i = 0; i < 2; i++)
		if (!check_is_here(own[i])) {
			snprintf(text, sizeof(text), "%s.address%u = %s",
				 i ? "heartbeat" : "access", c->node, own[i]);
			json_array_append_new(missing, json_string(text));
		}
	return missing;
}

/* Ports of a controller that runs are its own; else somebody has them. */
static json_t *busy_ports(const struct conf *c, bool running)
{
	const struct {
		const char *address;
		unsigned port;
	} wanted[] = {{c->access[c->node - 1], c->access_port},
		      {c->access[c->node - 1], c->coord_port},
		      {c->heartbeat[c->node - 1], c->heartbeat_port}};
	json_t *busy = json_array();
	char why[256];

	for (int i = 0; i < (c->node == 1 ? 3 : 2) && !running; i++) {
		int fd = check_is_here(wanted[i].address)
				 ? tcp_listen(wanted[i].address, (uint16_t)wanted[i].port, why,
					      sizeof(why))
				 : -1;

		if (fd >= 0)
			close(fd);
		else if (check_is_here(wanted[i].address))
			json_array_append_new(busy, json_string(why));
	}
	return busy;
}

/* ---- the arbiter record ---- */

static int wait_for(struct arbiter *a, enum arbiter_done_type type, struct arbiter_done *d)
{
	struct pollfd p = {.fd = arbiter_fd(a), .events = POLLIN};

	while (poll(&p, 1, ARBITER_WAIT_MS) > 0)
		while (arbiter_next(a, d))
			if (d->type == type && d->error != -ETIMEDOUT)
				return d->error;
	return -ETIMEDOUT;
}

static int open_arbiter(const struct conf *c, const char *paths[CONF_LUNS_MAX],
			struct arbiter **ret)
{
	struct arbiter_config config = {.cluster = c->cluster.b,
					.node = (uint8_t)c->node,
					.paths = paths,
					.count = c->luns,
					.patience_ms = ARBITER_WAIT_MS};

	for (uint32_t i = 0; i < c->luns; i++)
		paths[i] = c->lun[i];
	return arbiter_new(&config, ret);
}

static json_t *arbiter_facts(const struct conf *c)
{
	const char *paths[CONF_LUNS_MAX];
	struct arbiter_done d;
	struct arbiter *a;
	json_t *o;
	int error = open_arbiter(c, paths, &a);

	if (error)
		return json_pack("{s:s}", "error", strerror(-error));
	arbiter_read(a);
	error = wait_for(a, ARBITER_READ, &d);
	if (error)
		o = json_pack("{s:s}", "error",
			      error == -ENOENT ? "there is none" : strerror(-error));
	else
		o = json_pack("{s:I,s:I,s:i}", "seq", (json_int_t)d.record.seq, "epoch",
			      (json_int_t)d.record.epoch, "members", d.record.members);
	arbiter_free(a);
	return o;
}

int check_cas(const char *conf_path, char *why, size_t size)
{
	const char *paths[CONF_LUNS_MAX];
	static struct conf c;
	struct arbiter_done d;
	struct ha_arbiter next;
	struct arbiter *a;
	char text[512];
	int error = conf_read(conf_path, &c, text);

	if (!error)
		error = open_arbiter(&c, paths, &a);
	if (error)
		return error;
	arbiter_read(a);
	error = wait_for(a, ARBITER_READ, &d);
	if (!error) {
		next = d.record;
		next.seq++;
		arbiter_cas(a, &d.record, &next);
		error = wait_for(a, ARBITER_CAS, &d);
		arbiter_release(a);
	}
	snprintf(why, size, "%s%s%s", error ? strerror(-error) : "", d.text[0] ? ": " : "", d.text);
	arbiter_free(a);
	return error;
}

/* What the program calls itself, in its first line; "" where it is not installed. */
static void version_of(json_t *o, const char *name, const char *command)
{
	char line[128] = "";
	FILE *f = popen(command, "re");

	if (f && !fgets(line, sizeof(line), f))
		line[0] = '\0';
	if (f)
		pclose(f);
	line[strcspn(line, "\n")] = '\0';
	json_object_set_new(o, name, json_string(line));
}

json_t *check_facts(const char *conf_path, const struct check_files *files)
{
	static struct conf c;
	char why[512], host[HOST_NAME_MAX + 1] = "";
	unsigned wanted[3];
	struct timespec now;
	json_t *o = json_object(), *luns = json_array();
	bool running;

	gethostname(host, sizeof(host) - 1);
	json_object_set_new(o, "host", json_string(host));
	json_object_set_new(o, "version", json_string(pr_version()));
	json_object_set_new(o, "conf", json_string(conf_path));
	json_object_set_new(o, "luns", luns);
	if (conf_read(conf_path, &c, why) < 0) {
		json_object_set_new(o, "error", json_string(why));
		return o;
	}
	running = is_running(c.dir);
	json_object_set_new(o, "node", json_integer(c.node));
	json_object_set_new(o, "corosync_stack", json_boolean(c.stack == CONF_COROSYNC));
	json_object_set_new(o, "running", json_boolean(running));
	json_object_set_new(o, "heartbeat", json_string(c.heartbeat[c.node - 1]));
	settings(o, &c);
	for (uint32_t i = 0; i < c.luns; i++)
		json_array_append_new(luns, lun_facts(c.lun[i], &c));
	json_object_set_new(o, "arbiter", arbiter_facts(&c));
	json_object_set_new(o, "missing_addresses", addresses(&c));
	json_object_set_new(o, "busy_ports", busy_ports(&c, running));
	wanted[0] = c.access_port;
	wanted[1] = c.coord_port;
	wanted[2] = c.heartbeat_port;
	check_reserved(o, wanted, 3);
	json_object_set_new(o, "frames",
			    check_frames(c.heartbeat[c.node - 1], c.heartbeat[2 - c.node]));
	if (c.stack == CONF_COROSYNC) {
		version_of(o, "corosync_version", "corosync -v 2>/dev/null");
		version_of(o, "pacemaker_version", "pacemakerd --version 2>/dev/null");
		json_object_set_new(o, "corosync", check_corosync(files->corosync));
		json_object_set_new(o, "cib", check_cib(files->cib, host));
	}
	clock_gettime(CLOCK_REALTIME, &now);
	json_object_set_new(o, "time_ms",
			    json_integer((json_int_t)now.tv_sec * 1000 + now.tv_nsec / 1000000));
	return o;
}
