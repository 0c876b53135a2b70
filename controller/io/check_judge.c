/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What follows from the facts of one host, and of both: findings, each with what to do. Asks nobody anything. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "controller/io/check.h"

enum { CLOCK_MS = 1000, TEXT_MAX = 700 };

static void __attribute__((format(printf, 5, 6)))
find(json_t *list, const char *check, const char *level, const char *next, const char *format, ...)
{
	char text[TEXT_MAX];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	json_array_append_new(list, json_pack("{s:s,s:s,s:s,s:s}", "check", check, "level", level,
					      "text", text, "next", next));
}

static const char *str(const json_t *o, const char *key)
{
	const char *text = json_string_value(json_object_get(o, key));

	return text ? text : "";
}

static size_t count(const json_t *list, const char *check)
{
	size_t i, n = 0;
	json_t *f;

	json_array_foreach(list, i, f) n += strcmp(str(f, "check"), check) == 0;
	return n;
}

/* Nothing was found to be wrong with it. */
static void fine(json_t *list, const char *check, const char *text)
{
	if (!count(list, check))
		find(list, check, "ok", "", "%s", text);
}

static void join(const json_t *names, const char *key, char out[256])
{
	json_t *v;
	size_t i, n = 0;

	out[0] = '\0';
	json_array_foreach(names, i, v)
	{
		const char *text = key ? str(v, key) : json_string_value(v);

		if (text && n < 256)
			n += (size_t)snprintf(out + n, 256 - n, "%s%s", n ? ", " : "", text);
	}
}

static const json_t *named(const json_t *list, const char *key, const char *name)
{
	json_t *v;
	size_t i;

	json_array_foreach(list, i, v) if (strcmp(str(v, key), name) == 0) return v;
	return NULL;
}

static bool has(const json_t *list, const char *text)
{
	json_t *v;
	size_t i;

	json_array_foreach(list, i, v) if (json_is_string(v) &&
					   strcmp(json_string_value(v), text) == 0) return true;
	return false;
}

/* ---- one host ---- */

static void judge_configuration(json_t *list, const json_t *h)
{
	if (json_object_get(h, "error"))
		find(list, "configuration", "error",
		     "write it, see mdcd.conf(5); mdcd --check reads it", "%s: %s", str(h, "host"),
		     str(h, "error"));
}

static void judge_ports(json_t *list, const json_t *h)
{
	const char *reserved = str(h, "reserved_ports");
	char ports[64] = "", next[4400];
	json_t *v;
	size_t i, n = 0;

	json_array_foreach(json_object_get(h, "busy_ports"), i, v)
		find(list, "ports", "error", "stop what has it", "%s: %s", str(h, "host"),
		     json_string_value(v));
	json_array_foreach(json_object_get(h, "unreserved_ports"), i, v) if (n < sizeof(ports)) n +=
		(size_t)snprintf(ports + n, sizeof(ports) - n, "%s%" JSON_INTEGER_FORMAT,
				 n ? "," : "", json_integer_value(v));
	if (!n)
		return;
	snprintf(next, sizeof(next),
		 "sysctl -w net.ipv4.ip_local_reserved_ports=%s%s%s, and the same in /etc/sysctl.d",
		 reserved, reserved[0] ? "," : "", ports);
	find(list, "ports", "warning", next,
	     "%s: the kernel may give %s to any program: not in ip_local_reserved_ports",
	     str(h, "host"), ports);
}

static void judge_network(json_t *list, const json_t *h)
{
	const json_t *frames = json_object_get(h, "frames");
	const char *answer = str(frames, "answer");
	json_t *v;
	size_t i;

	json_array_foreach(json_object_get(h, "missing_addresses"), i, v) find(
		list, "addresses", "error",
		"give the address to an interface (ip address), or correct mdcd.conf",
		"%s: %s is on no interface of this host", str(h, "host"), json_string_value(v));
	if (json_is_object(frames) && strcmp(answer, "ok") != 0)
		find(list, "frames", "error",
		     "look at cable, switch and MTU of the heartbeat network: ping -M do -s SIZE",
		     "%s: %s, MTU %" JSON_INTEGER_FORMAT
		     ", to the other one's heartbeat address: %s",
		     str(h, "host"), str(frames, "interface"),
		     json_integer_value(json_object_get(frames, "mtu")), answer);
}

static void judge_luns(json_t *list, const json_t *h)
{
	const char *error = str(json_object_get(h, "arbiter"), "error");
	json_t *lun;
	size_t i;

	json_array_foreach(json_object_get(h, "luns"), i, lun) if (json_object_get(lun, "error"))
		find(list, "luns", "error",
		     "mdcctl lun list; correct [lun] of mdcd.conf, or mdcctl lun label for a new LUN",
		     "%s: %s", str(h, "host"), str(lun, "error"));
	if (*error)
		find(list, "arbiter", "error",
		     "is [lun] path1 the right LUN? mdcctl lun label writes the record of a new pair; labelled anew, a LUN loses all",
		     "%s: the arbiter record cannot be read: %s", str(h, "host"), error);
}

static void judge_names(json_t *list, const json_t *h)
{
	const json_t *cs = json_object_get(h, "corosync"), *nodes = json_object_get(cs, "nodes");
	const json_t *own = named(nodes, "name", str(h, "host"));
	char names[256];

	if (json_object_get(cs, "error")) {
		find(list, "names", "error", "mdcd-cluster-init writes it", "%s: %s: %s",
		     str(h, "host"), str(cs, "file"), str(cs, "error"));
		return;
	}
	join(nodes, "name", names);
	if (json_array_size(nodes) != 2)
		find(list, "names", "error", "a pair has two: mdcd-cluster-init writes it",
		     "%s: %s names %zu nodes: %s", str(h, "host"), str(cs, "file"),
		     json_array_size(nodes), names);
	if (!own)
		find(list, "names", "error",
		     "correct the name in nodelist, or that of the host (hostnamectl hostname)",
		     "%s is the name of this host (uname -n), and %s knows only %s", str(h, "host"),
		     str(cs, "file"), names);
	else if (!has(json_object_get(own, "addresses"), str(h, "heartbeat")))
		find(list, "names", "error", "let one of its rings use the heartbeat address",
		     "%s: %s has no ring at the heartbeat address %s", str(h, "host"),
		     str(cs, "file"), str(h, "heartbeat"));
	if (!json_is_string(json_object_get(cs, "authkey")))
		find(list, "names", "error",
		     "corosync-keygen on one host, then copy it to the other",
		     "%s: there is no authkey beside %s", str(h, "host"), str(cs, "file"));
}

/* As Pacemaker reads a boolean. */
static bool is_false(const char *text)
{
	static const char *const words[] = {"false", "off", "no", "n", "0"};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcasecmp(text, words[i]) == 0)
			return true;
	return false;
}

static void judge_fencing(json_t *list, const json_t *h)
{
	const json_t *cib = json_object_get(h, "cib");
	const char *on = str(cib, "stonith_enabled");
	json_t *v;
	size_t i;

	json_array_foreach(json_object_get(cib, "fences"), i, v)
	{
		const char *answer = str(v, "answer");

		if (strcmp(answer, "ok") == 0 || strncmp(answer, "not asked: this", 15) == 0)
			continue;
		find(list, "fencing", strncmp(answer, "not asked", 9) == 0 ? "unknown" : "error",
		     "look at its parameters, its network and its power; stonith_admin --list HOST",
		     "%s: fence device %s (%s), which cuts off %s: %s", str(h, "host"),
		     str(v, "id"), str(v, "type"), str(v, "hosts"), answer);
	}
	if (is_false(on))
		find(list, "fencing", "error",
		     "configure a fence device for each host, then: crm_attribute --name stonith-enabled --update true",
		     "%s: stonith-enabled is %s: after the loss of a host nothing proves that it is dead, and no "
		     "controller is promoted",
		     str(h, "host"), on);
	json_array_foreach(json_object_get(cib, "unfenced"), i, v) find(
		list, "fencing", "error", "make a fence device for it: mdcd-cluster-init --fence",
		"%s: no fence device cuts off %s", str(h, "host"), json_string_value(v));
}

static void judge_pacemaker(json_t *list, const json_t *h)
{
	const json_t *cib = json_object_get(h, "cib"), *nodes = json_object_get(cib, "nodes");
	json_t *v;
	size_t i;
	char names[256];

	if (json_object_get(cib, "error")) {
		find(list, "pacemaker", "unknown",
		     "start the cluster and load what mdcd-cluster-init wrote, or name the file: --cib FILE",
		     "%s: Pacemaker has no configuration yet (%s: %s)", str(h, "host"),
		     str(cib, "from"), str(cib, "error"));
		return;
	}
	join(nodes, NULL, names);
	json_array_foreach(json_object_get(json_object_get(h, "corosync"), "nodes"), i,
			   v) if (json_array_size(nodes) && !has(nodes, str(v, "name")))
		find(list, "pacemaker", "error", "remove the wrong one: crm_node --remove NAME",
		     "%s: corosync's %s is none of Pacemaker's nodes: %s", str(h, "host"),
		     str(v, "name"), names);
	if (!json_array_size(json_object_get(cib, "controllers")))
		find(list, "pacemaker", "error", "load what mdcd-cluster-init wrote",
		     "%s: there is no resource ocf:mdcpair:controller", str(h, "host"));
	json_array_foreach(json_object_get(cib, "controllers"), i,
			   v) if (strcmp(str(v, "config"), str(h, "conf")) != 0)
		find(list, "pacemaker", "error", "make them one: parameter config of the resource",
		     "%s: resource %s starts mdcd with %s, and %s was looked at", str(h, "host"),
		     str(v, "id"), str(v, "config"), str(h, "conf"));
	if (strtod(str(cib, "load_threshold"), NULL) > 0)
		find(list, "pacemaker", "warning",
		     "crm_attribute --name load-threshold --update 0%",
		     "%s: load-threshold is %s: on a host busier than that Pacemaker gives one order after the other, "
		     "and a takeover takes twice as long",
		     str(h, "host"), str(cib, "load_threshold"));
	judge_fencing(list, h);
}

static void judge_one(json_t *list, const json_t *h)
{
	judge_configuration(list, h);
	if (json_object_get(h, "error"))
		return;
	judge_ports(list, h);
	judge_network(list, h);
	judge_luns(list, h);
	if (json_is_true(json_object_get(h, "corosync_stack"))) {
		judge_names(list, h);
		judge_pacemaker(list, h);
	}
}

/* ---- both ---- */

static const char *or_none(const char *version)
{
	return version[0] ? version : "none";
}

static void compare_settings(json_t *list, const json_t *a, const json_t *b)
{
	static const char *const programs[] = {"corosync_version", "pacemaker_version"};
	const json_t *other = json_object_get(b, "settings");
	const char *key;
	json_t *v;

	json_object_foreach(json_object_get((json_t *)(size_t)a, "settings"), key,
			    v) if (strcmp(json_string_value(v), str(other, key)) != 0)
		find(list, "configuration", "error",
		     "make mdcd.conf the same on both, but for [node]",
		     "%s is %s on %s and %s on %s", key, json_string_value(v), str(a, "host"),
		     str(other, key), str(b, "host"));
	if (json_integer_value(json_object_get(a, "node")) ==
	    json_integer_value(json_object_get(b, "node")))
		find(list, "configuration", "error", "[node] id is 1 on one and 2 on the other",
		     "%s and %s are both node %" JSON_INTEGER_FORMAT, str(a, "host"),
		     str(b, "host"), json_integer_value(json_object_get(a, "node")));
	if (strcmp(str(a, "version"), str(b, "version")) != 0)
		find(list, "versions", "warning",
		     "only during an update, which begins with the standby: install the same",
		     "mdcpair %s on %s, %s on %s", str(a, "version"), str(a, "host"),
		     str(b, "version"), str(b, "host"));
	for (size_t k = 0; k < sizeof(programs) / sizeof(programs[0]); k++)
		if (strcmp(str(a, programs[k]), str(b, programs[k])) != 0)
			find(list, "versions", "warning",
			     "only during an update, which begins with the standby: install the same",
			     "%s on %s, %s on %s", or_none(str(a, programs[k])), str(a, "host"),
			     or_none(str(b, programs[k])), str(b, "host"));
}

/* As far as both could be read. */
static void compare_luns(json_t *list, const json_t *a, const json_t *b, bool order)
{
	const json_t *la = json_object_get(a, "luns"), *lb = json_object_get(b, "luns");
	static const char next[] = "the same LUNs in the same order in [lun] of both";
	json_t *lun;
	size_t i;

	json_array_foreach(la, i, lun)
	{
		const json_t *other = named(lb, "uuid", str(lun, "uuid"));

		if (!*str(lun, "uuid"))
			continue;
		if (!other)
			find(list, "luns", "error", next,
			     "LUN \"%s\" (%s, volume %s) is in the configuration of %s and not of %s",
			     str(lun, "name"), str(lun, "path"), str(lun, "volume"), str(a, "host"),
			     str(b, "host"));
		else if (order && other != json_array_get(lb, i))
			find(list, "luns", "error", next,
			     "LUN \"%s\" is path%zu on %s and another one on %s", str(lun, "name"),
			     i + 1, str(a, "host"), str(b, "host"));
	}
}

static void compare_cluster(json_t *list, const json_t *a, const json_t *b)
{
	const json_t *ca = json_object_get(a, "corosync"), *cb = json_object_get(b, "corosync");
	static const char *const what[] = {"hash", "authkey"}, *const name[] = {"corosync.conf",
										"authkey"};

	for (int i = 0; i < 2; i++)
		if (*str(ca, what[i]) && *str(cb, what[i]) &&
		    strcmp(str(ca, what[i]), str(cb, what[i])) != 0)
			find(list, "names", "error",
			     "copy it from one to the other, then restart corosync",
			     "%s differs between %s and %s", name[i], str(a, "host"),
			     str(b, "host"));
	if (strcmp(str(a, "host"), str(b, "host")) == 0)
		find(list, "names", "error", "hostnamectl hostname NAME on one of them",
		     "both hosts are called %s", str(a, "host"));
}

static void compare_clocks(json_t *list, const json_t *a, const json_t *b)
{
	const json_t *asked = json_object_get(b, "asked_ms"), *told = json_object_get(b, "told_ms");
	json_int_t theirs = json_integer_value(json_object_get(b, "time_ms")), apart = 0;

	if (!json_is_integer(asked)) {
		find(list, "clocks", "unknown", "ask it directly: --peer \"ssh HOST\"",
		     "facts from a file say nothing of the time on %s", str(b, "host"));
		return;
	}
	if (theirs < json_integer_value(asked))
		apart = json_integer_value(asked) - theirs;
	else if (theirs > json_integer_value(told))
		apart = theirs - json_integer_value(told);
	if (apart > CLOCK_MS)
		find(list, "clocks", "warning",
		     "let both keep time by NTP (chronyc tracking): nothing is lost by it, but logs cannot be compared",
		     "the clocks of %s and %s are %" JSON_INTEGER_FORMAT " ms apart",
		     str(a, "host"), str(b, "host"), apart);
	else
		fine(list, "clocks", "both hosts have the same time");
}

json_t *check_judge(const json_t *a, const json_t *b)
{
	json_t *list = json_array();
	char text[64];

	judge_one(list, a);
	if (b)
		judge_one(list, b);
	if (!b) {
		find(list, "other host", "unknown", "--peer \"ssh HOST\", or --peer-facts FILE",
		     "the other host was not looked at");
	} else if (!json_object_get(a, "error") && !json_object_get(b, "error")) {
		compare_settings(list, a, b);
		compare_luns(list, a, b, true);
		compare_luns(list, b, a, false);
		if (json_is_true(json_object_get(a, "corosync_stack"))) {
			compare_cluster(list, a, b);
			compare_clocks(list, a, b);
		}
		fine(list, "versions", str(a, "version"));
	}
	if (json_object_get(a, "error"))
		return list;
	snprintf(text, sizeof(text), "%s, hash %.8s", b ? "the same on both" : "sound",
		 str(a, "settings_hash"));
	fine(list, "configuration", text);
	fine(list, "ports", "free, and reserved");
	fine(list, "addresses", "all there");
	fine(list, "frames", "full ones pass on the heartbeat link");
	fine(list, "luns", b ? "the same on both" : "labelled for this cluster");
	if (json_is_true(json_object_get(a, "corosync_stack"))) {
		fine(list, "names", "the same in corosync and on the host");
		if (!count(list, "pacemaker"))
			fine(list, "fencing", "every host has a device, and it answers");
		fine(list, "pacemaker", "knows both hosts and the controllers");
	}
	return list;
}
