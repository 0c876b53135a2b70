/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What mdcctl asks: "status" is answered here, from the core's views and the edge's own counters; the rest goes to the core. */
#include "controller/io/edge.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "controller/io/log.h"

static json_t *number(uint64_t v)
{
	return json_integer((json_int_t)v);
}

static void put(json_t *o, const char *key, uint64_t v)
{
	json_object_set_new(o, key, number(v));
}

static void put_text(json_t *o, const char *key, const char *v)
{
	json_object_set_new(o, key, json_string(v));
}

static void put_bool(json_t *o, const char *key, bool v)
{
	json_object_set_new(o, key, json_boolean(v));
}

static json_t *alarm_list(const struct edge *e, const struct ha_status *s)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < HA_ALARM_COUNT; i++) {
		if (!(s->alarms >> i & 1) && !(e->alarms >> i & 1))
			continue;
		json_t *a = json_object();

		put_text(a, "name", ha_alarm_name(i));
		put_text(a, "text", ha_alarm_text(i));
		json_array_append_new(list, a);
	}
	return list;
}

static json_t *member_list(uint8_t members)
{
	json_t *list = json_array();

	for (uint8_t i = 0; i < 2; i++)
		if (members >> i & 1)
			json_array_append_new(list, json_integer(i + 1));
	return list;
}

static json_t *resync(const struct ha_status *s)
{
	json_t *o;

	if (s->resync_percent < 0)
		return json_null();
	o = json_object();
	put(o, "percent", (uint64_t)s->resync_percent);
	put(o, "done_bytes", s->resync_done_bytes);
	put(o, "total_bytes", s->resync_total_bytes);
	put(o, "eta_ms", s->resync_eta_ms);
	return o;
}

/* Milliseconds of CLOCK_BOOTTIME, 0: not yet. */
static json_t *promotion(const struct edge *e, const struct ha_status *s)
{
	json_t *o = json_object();

	put(o, "heard_ms", e->before.heard_ms);
	put(o, "missed_ms", e->before.missed_ms);
	put(o, "gone_ms", e->before.gone_ms);
	put(o, "fence_asked_ms", e->before.fence_asked_ms);
	put(o, "dead_ms", e->before.dead_ms);
	put(o, "asked_ms", s->promotion.asked_ms);
	put(o, "journal_ms", s->promotion.journal_ms);
	put(o, "fenced_ms", s->promotion.fenced_ms);
	put(o, "arbiter_ms", s->promotion.arbiter_ms);
	put(o, "verified_ms", s->promotion.verified_ms);
	put(o, "serving_ms", s->promotion.serving_ms);
	put(o, "active_ms", e->active_since_ms);
	put(o, "first_client_op_ms", e->first_reply_ms);
	return o;
}

static json_t *ports_json(const struct edge *e)
{
	struct ports_stats s;
	json_t *o = json_object();

	ports_get_stats(e->ports, &s);
	put(o, "connections", s.connections);
	put(o, "accepted", s.accepted);
	put(o, "refused", s.refused);
	put(o, "garbage", s.garbage);
	put(o, "slow", s.slow);
	put(o, "frames_in", s.frames_in);
	put(o, "bytes_in", s.bytes_in);
	put(o, "bytes_out", s.bytes_out);
	put(o, "sends", s.sends);
	return o;
}

static json_t *store_json(const struct edge *e)
{
	struct store_stats s;
	json_t *o = json_object();

	store_get_stats(e->store, &s);
	put(o, "lsn", s.lsn);
	put(o, "rows", s.entries);
	put(o, "used_bytes", s.used_bytes);
	put(o, "map_bytes", s.map_bytes);
	put(o, "fetches", s.fetches);
	put(o, "fetched_rows", s.fetched_rows);
	put(o, "flushes", s.flushes);
	put(o, "flushed_rows", s.flushed_rows);
	put(o, "last_flush_ms", s.flush_ms);
	put(o, "no_space", s.no_space);
	put_bool(o, "flushing", s.flushing);
	return o;
}

static void put_pair(json_t *o, const struct ha_status *s)
{
	put_text(o, "state", ha_dstate_name(s->dstate));
	put(o, "epoch", s->epoch);
	put(o, "tail_lsn", s->tail_lsn);
	put(o, "commit_lsn", s->commit_lsn);
	put(o, "peer_acked_lsn", s->peer_acked_lsn);
	put_bool(o, "link_up", s->link_up);
	put_bool(o, "peer_insync", s->peer_insync);
	json_object_set_new(o, "members", member_list(s->members));
	put(o, "arbiter_active", s->arbiter_active);
	put(o, "arbiter_seq", s->arbiter_seq);
	put(o, "alone_since_ms", s->alone_since_ms);
	put(o, "alone_operations", s->alone_ops);
	json_object_set_new(o, "resync", resync(s));
	put_text(o, "refused", s->refused);
}

json_t *edge_status(const struct edge *e)
{
	char uuid[PR_UUID_TEXT];
	struct ha_status s;
	json_t *o = json_object();

	ha_get_status(ctl_ha(e->ctl), &s);
	put(o, "node", e->conf.node);
	put(o, "pid", (uint64_t)getpid());
	put_text(o, "cluster", pr_uuid_format(uuid, &e->conf.cluster));
	put_text(o, "name", e->conf.name);
	put_text(o, "address", conf_own_access(&e->conf));
	put(o, "incarnation", e->incarnation);
	put(o, "now_ms", loop_now_ms());
	put(o, "started_ms", e->started_ms);
	put(o, "handover_asked_ms", e->handover_asked_ms);
	put_text(o, "role", pr_role_name((uint8_t)e->role));
	json_object_set_new(o, "mode",
			    e->role == PR_ROLE_ACTIVE ? json_string(ha_mode_name(s.mode))
						      : json_null());
	put_pair(o, &s);
	json_object_set_new(o, "alarms", alarm_list(e, &s));
	json_object_set_new(o, "promotion", promotion(e, &s));
	json_object_set_new(o, "clients", ports_json(e));
	json_object_set_new(o, "store", store_json(e));
	json_object_set_new(o, "luns", edge_fence_luns(e));
	return o;
}

void edge_admin_request(void *user, uint64_t ticket, const char *text)
{
	struct edge *e = user;
	struct ctl_event ev = {.type = CTL_EV_ADMIN, .ticket = ticket, .text = text};
	json_t *o;
	char *json;

	if (edge_cluster_command(e, ticket, text))
		return;
	if (strcmp(text, "status") == 0) {
		o = edge_status(e);
		json = json_dumps(o, JSON_COMPACT);
		admin_reply(e->admin, ticket, 0, json ? json : "{}", json ? strlen(json) : 2);
		free(json);
		json_decref(o);
		return;
	}
	log_info("admin: %s", text);
	if (strncmp(text, "switchover", 10) == 0)
		e->handover_asked_ms = loop_now_ms();
	edge_step(e, &ev);
}
