/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Each finding of mdcctl check: one thing is made wrong with two sound hosts, and this is said of it, and nothing else. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "controller/io/check.h"

/* What a sound host says of itself; of the other one the name, the number and the address differ. */
static const char host_one[] =
	"{\"host\": \"mdc1\", \"version\": \"0.1.0\", \"conf\": \"/etc/mdcpair/mdcd.conf\", \"node\": 1,"
	" \"corosync_stack\": true, \"running\": false, \"heartbeat\": \"198.51.100.1\","
	" \"settings\": {\"tuning.beat_ms\": \"100\", \"access.port\": \"60598\"}, \"settings_hash\": \"0123456789abcdef\","
	" \"luns\": [{\"path\": \"/dev/a\", \"name\": \"meta0\", \"uuid\": \"u0\", \"volume\": \"v0\"},"
	"            {\"path\": \"/dev/b\", \"name\": \"lun1\", \"uuid\": \"u1\", \"volume\": \"v1\"}],"
	" \"arbiter\": {\"seq\": 7, \"epoch\": 3, \"members\": 3},"
	" \"missing_addresses\": [], \"busy_ports\": [], \"unreserved_ports\": [],"
	" \"frames\": {\"interface\": \"eth1\", \"mtu\": 1500, \"answer\": \"ok\"},"
	" \"corosync\": {\"file\": \"corosync.conf\", \"hash\": \"c\", \"authkey\": \"k\","
	"  \"nodes\": [{\"name\": \"mdc1\", \"addresses\": [\"198.51.100.1\", \"192.0.2.11\"]},"
	"              {\"name\": \"mdc2\", \"addresses\": [\"198.51.100.2\", \"192.0.2.12\"]}]},"
	" \"cib\": {\"from\": \"Pacemaker\", \"stonith_enabled\": \"true\", \"nodes\": [\"mdc1\", \"mdc2\"], \"unfenced\": [],"
	"  \"fences\": [{\"id\": \"fence-mdc1\", \"type\": \"fence_x\", \"hosts\": \"mdc1\", \"answer\": \"not asked: this host is its target\"},"
	"               {\"id\": \"fence-mdc2\", \"type\": \"fence_x\", \"hosts\": \"mdc2\", \"answer\": \"ok\"}],"
	"  \"controllers\": [{\"id\": \"mdc\", \"type\": \"controller\", \"config\": \"/etc/mdcpair/mdcd.conf\"}]},"
	" \"time_ms\": 1000000}";
static const char other_one[] =
	"{\"host\": \"mdc2\", \"node\": 2, \"heartbeat\": \"198.51.100.2\", \"asked_ms\": 999990, \"told_ms\": 1000010}";

struct wrong {
	const char *one, *two; /* what differs from a sound pair, as JSON */
	const char *check, *level, *text, *next;
};

static json_t *json_of(const char *text)
{
	json_error_t e;
	json_t *o = json_loads(text, 0, &e);

	cr_assert_not_null(o, "%s: %s", text, e.text);
	return o;
}

static void change(json_t *host, const char *by)
{
	json_t *changes = json_of(by && *by ? by : "{}");

	cr_assert_eq(json_object_update_recursive(host, changes), 0);
	json_decref(changes);
}

/* The findings of a pair of which these things are wrong. */
static json_t *findings(const char *one, const char *two)
{
	json_t *a = json_of(host_one), *b = json_of(host_one), *list;

	change(b, other_one);
	change(a, one);
	change(b, two);
	list = check_judge(a, b);
	json_decref(a);
	json_decref(b);
	return list;
}

static const char *str(const json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key));
}

/* The one finding that is not "ok". */
static json_t *only_one(json_t *list)
{
	json_t *f, *found = NULL;
	size_t i;

	json_array_foreach(list, i, f)
	{
		if (strcmp(str(f, "level"), "ok") == 0)
			continue;
		cr_assert_null(found, "besides \"%s\" there is \"%s\"",
			       found ? str(found, "text") : "", str(f, "text"));
		found = f;
	}
	return found;
}

static void expect(const struct wrong *w)
{
	json_t *list = findings(w->one, w->two), *f = only_one(list);

	cr_assert_not_null(f, "nothing was found: %s", w->text);
	cr_expect_str_eq(str(f, "check"), w->check);
	cr_expect_str_eq(str(f, "level"), w->level);
	cr_expect_str_eq(str(f, "text"), w->text);
	cr_expect_str_eq(str(f, "next"), w->next);
	json_decref(list);
}

#define EXPECT(...)                                                   \
	do {                                                          \
		const struct wrong w[] = {__VA_ARGS__};               \
		for (size_t i = 0; i < sizeof(w) / sizeof(w[0]); i++) \
			expect(&w[i]);                                \
	} while (0)

Test(check, sound_pair_has_no_finding)
{
	static const char *const looked_at[] = {"configuration", "versions", "ports", "addresses",
						"frames",	 "luns",     "names", "fencing",
						"pacemaker",	 "clocks"};
	json_t *list = findings("", ""), *f;
	size_t i;

	cr_assert_null(only_one(list));
	cr_assert_eq(json_array_size(list), sizeof(looked_at) / sizeof(looked_at[0]));
	for (size_t k = 0; k < sizeof(looked_at) / sizeof(looked_at[0]); k++) {
		bool there = false;

		json_array_foreach(list, i, f) there |= strcmp(str(f, "check"), looked_at[k]) == 0;
		cr_expect(there, "%s", looked_at[k]);
	}
	json_array_foreach(list, i, f) if (strcmp(str(f, "check"), "configuration") == 0)
		cr_expect_str_eq(str(f, "text"), "the same on both, hash 01234567");
	json_decref(list);
}

Test(check, other_host_not_looked_at)
{
	json_t *a = json_of(host_one), *list = check_judge(a, NULL), *f = only_one(list);

	cr_assert_not_null(f);
	cr_expect_str_eq(str(f, "check"), "other host");
	cr_expect_str_eq(str(f, "level"), "unknown");
	cr_expect_str_eq(str(f, "next"), "--peer \"ssh HOST\", or --peer-facts FILE");
	json_decref(list);
	json_decref(a);
}

Test(check, configurations)
{
	EXPECT({"{\"settings\": {\"tuning.beat_ms\": \"50\"}, \"settings_hash\": \"ff\"}", "",
		"configuration", "error", "tuning.beat_ms is 50 on mdc1 and 100 on mdc2",
		"make mdcd.conf the same on both, but for [node]"},
	       {"", "{\"settings\": {\"access.port\": \"7\"}}", "configuration", "error",
		"access.port is 60598 on mdc1 and 7 on mdc2",
		"make mdcd.conf the same on both, but for [node]"},
	       {"", "{\"node\": 1}", "configuration", "error", "mdc1 and mdc2 are both node 1",
		"[node] id is 1 on one and 2 on the other"},
	       {"", "{\"error\": \"mdcd.conf:3: no such setting: frob\"}", "configuration", "error",
		"mdc2: mdcd.conf:3: no such setting: frob",
		"write it, see mdcd.conf(5); mdcd --check reads it"},
	       {"{\"error\": \"mdcd.conf: No such file or directory\"}", "", "configuration",
		"error", "mdc1: mdcd.conf: No such file or directory",
		"write it, see mdcd.conf(5); mdcd --check reads it"});
}

Test(check, versions)
{
	EXPECT({"", "{\"version\": \"0.2.0\"}", "versions", "warning",
		"mdcpair 0.1.0 on mdc1, 0.2.0 on mdc2",
		"only during an update, which begins with the standby: install the same"},
	       {"{\"corosync_version\": \"Corosync Cluster Engine, version '3.1.7'\"}",
		"{\"corosync_version\": \"Corosync Cluster Engine, version '3.1.8'\"}", "versions",
		"warning",
		"Corosync Cluster Engine, version '3.1.7' on mdc1, Corosync Cluster Engine, version '3.1.8' on mdc2",
		"only during an update, which begins with the standby: install the same"},
	       {"{\"pacemaker_version\": \"Pacemaker 2.1.5\"}", "", "versions", "warning",
		"Pacemaker 2.1.5 on mdc1, none on mdc2",
		"only during an update, which begins with the standby: install the same"});
}

Test(check, ports)
{
	EXPECT({"{\"busy_ports\": [\"192.0.2.11:60598: Address already in use (nginx)\"]}", "",
		"ports", "error", "mdc1: 192.0.2.11:60598: Address already in use (nginx)",
		"stop what has it"},
	       {"", "{\"unreserved_ports\": [60598, 60599]}", "ports", "warning",
		"mdc2: the kernel may give 60598,60599 to any program: not in ip_local_reserved_ports",
		"sysctl -w net.ipv4.ip_local_reserved_ports=60598,60599, and the same in /etc/sysctl.d"},
	       {"", "{\"unreserved_ports\": [60599], \"reserved_ports\": \"8080,9000-9010\"}",
		"ports", "warning",
		"mdc2: the kernel may give 60599 to any program: not in ip_local_reserved_ports",
		"sysctl -w net.ipv4.ip_local_reserved_ports=8080,9000-9010,60599, and the same in /etc/sysctl.d"});
}

Test(check, network)
{
	EXPECT({"{\"missing_addresses\": [\"heartbeat.address1 = 198.51.100.1\"]}", "", "addresses",
		"error", "mdc1: heartbeat.address1 = 198.51.100.1 is on no interface of this host",
		"give the address to an interface (ip address), or correct mdcd.conf"},
	       {"{\"frames\": {\"mtu\": 9000, \"answer\": \"full frames get no answer, small ones do\"}}",
		"", "frames", "error",
		"mdc1: eth1, MTU 9000, to the other one's heartbeat address: full frames get no answer, small ones do",
		"look at cable, switch and MTU of the heartbeat network: ping -M do -s SIZE"},
	       {"", "{\"frames\": {\"answer\": \"no answer\"}}", "frames", "error",
		"mdc2: eth1, MTU 1500, to the other one's heartbeat address: no answer",
		"look at cable, switch and MTU of the heartbeat network: ping -M do -s SIZE"});
}

static const char same_luns[] = "the same LUNs in the same order in [lun] of both";
static const char label_it[] =
	"mdcctl lun list; correct [lun] of mdcd.conf, or mdcctl lun label for a new LUN";
#define META "{\"path\": \"/dev/a\", \"name\": \"meta0\", \"uuid\": \"u0\", \"volume\": \"v0\"}"
#define LUN1 "{\"path\": \"/dev/b\", \"name\": \"lun1\", \"uuid\": \"u1\", \"volume\": \"v1\"}"

Test(check, luns)
{
	EXPECT({"", "{\"luns\": [" META "]}", "luns", "error",
		"LUN \"lun1\" (/dev/b, volume v1) is in the configuration of mdc1 and not of mdc2",
		same_luns},
	       {"{\"luns\": [" META "]}", "", "luns", "error",
		"LUN \"lun1\" (/dev/b, volume v1) is in the configuration of mdc2 and not of mdc1",
		same_luns},
	       {"",
		"{\"luns\": [" META "," LUN1
		", {\"path\": \"/dev/c\", \"error\": \"/dev/c: no label\"}]}",
		"luns", "error", "mdc2: /dev/c: no label", label_it},
	       {"{\"arbiter\": {\"error\": \"there is none\"}}", "", "arbiter", "error",
		"mdc1: the arbiter record cannot be read: there is none",
		"is [lun] path1 the right LUN? mdcctl lun label writes the record of a new pair; labelled anew, a LUN loses all"});
}

/* Both of them stand elsewhere. */
Test(check, luns_in_another_order)
{
	json_t *list = findings("", "{\"luns\": [" LUN1 "," META "]}"), *f;
	size_t i, n = 0;

	json_array_foreach(list, i, f)
	{
		if (strcmp(str(f, "level"), "ok") == 0)
			continue;
		cr_expect_str_eq(str(f, "next"), same_luns);
		cr_expect_str_eq(str(f, "text"),
				 n++ ? "LUN \"lun1\" is path2 on mdc1 and another one on mdc2"
				     : "LUN \"meta0\" is path1 on mdc1 and another one on mdc2");
	}
	cr_expect_eq(n, 2);
	json_decref(list);
}

static const char copy_it[] = "copy it from one to the other, then restart corosync";

Test(check, names)
{
	EXPECT({"{\"corosync\": {\"error\": \"No such file or directory\"}}", "", "names", "error",
		"mdc1: corosync.conf: No such file or directory", "mdcd-cluster-init writes it"},
	       {"{\"host\": \"mdc7\"}", "", "names", "error",
		"mdc7 is the name of this host (uname -n), and corosync.conf knows only mdc1, mdc2",
		"correct the name in nodelist, or that of the host (hostnamectl hostname)"},
	       {"", "{\"heartbeat\": \"198.51.100.7\"}", "names", "error",
		"mdc2: corosync.conf has no ring at the heartbeat address 198.51.100.7",
		"let one of its rings use the heartbeat address"},
	       {"{\"corosync\": {\"authkey\": null}}", "", "names", "error",
		"mdc1: there is no authkey beside corosync.conf",
		"corosync-keygen on one host, then copy it to the other"},
	       {"", "{\"corosync\": {\"hash\": \"d\"}}", "names", "error",
		"corosync.conf differs between mdc1 and mdc2", copy_it},
	       {"", "{\"corosync\": {\"authkey\": \"l\"}}", "names", "error",
		"authkey differs between mdc1 and mdc2", copy_it},
	       {"", "{\"host\": \"mdc1\", \"heartbeat\": \"198.51.100.1\"}", "names", "error",
		"both hosts are called mdc1", "hostnamectl hostname NAME on one of them"});
}

Test(check, three_nodes)
{
	json_t *list = findings(
		       "{\"corosync\": {\"nodes\": [{\"name\": \"mdc1\", \"addresses\": [\"198.51.100.1\"]},"
		       "{\"name\": \"mdc2\", \"addresses\": []}, {\"name\": \"mdc3\", \"addresses\": []}]}}",
		       ""),
	       *f;
	size_t i, n = 0;

	json_array_foreach(list, i, f)
	{
		if (strcmp(str(f, "check"), "names") == 0 && ++n)
			cr_expect_str_eq(str(f, "text"),
					 "mdc1: corosync.conf names 3 nodes: mdc1, mdc2, mdc3");
		if (strcmp(str(f, "check"), "pacemaker") == 0 && ++n)
			cr_expect_str_eq(
				str(f, "text"),
				"mdc1: corosync's mdc3 is none of Pacemaker's nodes: mdc1, mdc2");
	}
	cr_expect_eq(n, 2);
	json_decref(list);
}

static const char one_config[] = "make them one: parameter config of the resource";

Test(check, pacemaker)
{
	EXPECT({"{\"cib\": {\"from\": \"cib.xml\", \"error\": \"No such file or directory\"}}", "",
		"pacemaker", "unknown",
		"mdc1: Pacemaker has no configuration yet (cib.xml: No such file or directory)",
		"start the cluster and load what mdcd-cluster-init wrote, or name the file: --cib FILE"},
	       {"", "{\"cib\": {\"nodes\": [\"mdc1\", \"mdc9\"]}}", "pacemaker", "error",
		"mdc2: corosync's mdc2 is none of Pacemaker's nodes: mdc1, mdc9",
		"remove the wrong one: crm_node --remove NAME"},
	       {"{\"cib\": {\"controllers\": []}}", "", "pacemaker", "error",
		"mdc1: there is no resource ocf:mdcpair:controller",
		"load what mdcd-cluster-init wrote"},
	       {"{\"cib\": {\"controllers\": [{\"id\": \"mdc\", \"config\": \"/x.conf\"}]}}", "",
		"pacemaker", "error",
		"mdc1: resource mdc starts mdcd with /x.conf, and /etc/mdcpair/mdcd.conf was looked at",
		one_config},
	       {"{\"cib\": {\"load_threshold\": \"80%\"}}", "", "pacemaker", "warning",
		"mdc1: load-threshold is 80%: on a host busier than that Pacemaker gives one order after the other, "
		"and a takeover takes twice as long",
		"crm_attribute --name load-threshold --update 0%"});
}

static const char look_at_device[] =
	"look at its parameters, its network and its power; stonith_admin --list HOST";
static const char enable_it[] =
	"configure a fence device for each host, then: crm_attribute --name stonith-enabled --update true";

static void expect_disabled(const char *value)
{
	char off[64], text[200];
	const struct wrong w = {off, "", "fencing", "error", text, enable_it};

	snprintf(off, sizeof(off), "{\"cib\": {\"stonith_enabled\": \"%s\"}}", value);
	snprintf(
		text, sizeof(text),
		"mdc1: stonith-enabled is %s: after the loss of a host nothing proves that it is dead, "
		"and no controller is promoted",
		value);
	expect(&w);
}

Test(check, fencing_disabled)
{
	expect_disabled("false");
	expect_disabled("FALSE");
	expect_disabled("off");
	expect_disabled("n");
	expect_disabled("no");
	expect_disabled("0");
}

#define FENCE(answer)                                                                                  \
	"{\"cib\": {\"fences\": [{\"id\": \"fence-mdc2\", \"type\": \"fence_x\", \"hosts\": \"mdc2\"," \
	" \"answer\": \"" answer "\"}]}}"

Test(check, fence_devices)
{
	EXPECT({FENCE("does not answer"), "", "fencing", "error",
		"mdc1: fence device fence-mdc2 (fence_x), which cuts off mdc2: does not answer",
		look_at_device},
	       {FENCE("is not installed here"), "", "fencing", "error",
		"mdc1: fence device fence-mdc2 (fence_x), which cuts off mdc2: is not installed here",
		look_at_device},
	       {FENCE("not asked: not a fence_ agent"), "", "fencing", "unknown",
		"mdc1: fence device fence-mdc2 (fence_x), which cuts off mdc2: not asked: not a fence_ agent",
		look_at_device},
	       {"{\"cib\": {\"unfenced\": [\"mdc2\"]}}", "", "fencing", "error",
		"mdc1: no fence device cuts off mdc2",
		"make a fence device for it: mdcd-cluster-init --fence"});
}

/* The time on the other host was told between two looks at the clock here. */
Test(check, clocks)
{
	static const char by_ntp[] =
		"let both keep time by NTP (chronyc tracking): nothing is lost by it, but logs cannot be compared";
	json_t *list;

	EXPECT({"", "{\"time_ms\": 910000}", "clocks", "warning",
		"the clocks of mdc1 and mdc2 are 89990 ms apart", by_ntp},
	       {"", "{\"time_ms\": 1002011}", "clocks", "warning",
		"the clocks of mdc1 and mdc2 are 2001 ms apart", by_ntp},
	       {"", "{\"asked_ms\": null}", "clocks", "unknown",
		"facts from a file say nothing of the time on mdc2",
		"ask it directly: --peer \"ssh HOST\""});
	list = findings("", "{\"time_ms\": 1001000}");
	cr_assert_null(only_one(list));
	json_decref(list);
}
