/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "controller/io/edge_fence.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "controller/io/edge.h"
#include "controller/io/log.h"
#include "controller/io/lun_tool.h"
#include "proto/assert.h"

#define OWN_TICKET (UINT64_C(1) << 62) /* admin.c counts from 1, the core has the bit above */

enum { ASK_AGAIN_MS = 5000 }; /* a question may end with the role that it was asked in */

struct lost_client {
	struct lost_client *next;
	uint64_t session;
	uint32_t key;
};

static bool is_own(const struct edge *e, const struct pr_uuid *uuid)
{
	for (uint32_t i = 0; i < e->conf.luns; i++)
		if (pr_uuid_equal(&e->fence.lun[i], uuid))
			return true;
	return false;
}

/* ---- fencing ---- */

static void ask(struct edge *e)
{
	struct ctl_event luns = {.type = CTL_EV_ADMIN, .ticket = OWN_TICKET, .text = "luns"};

	if (!e->fence.asked_ms || loop_now_ms() >= e->fence.asked_ms + ASK_AGAIN_MS) {
		e->fence.asked_ms = loop_now_ms();
		edge_step(e, &luns);
	}
	if (e->fence.asked_ms)
		loop_set_timer(e->loop, &e->fence.timer, e->fence.asked_ms + ASK_AGAIN_MS);
}

/* Not inside a step: asks the core, or tells it that there is no proof. */
static void go_on(void *user)
{
	struct edge *e = user;
	struct lost_client *c;

	if (!e->fence.error && e->fence.todo)
		ask(e);
	while (e->fence.error && (c = e->fence.todo)) {
		struct ctl_event ev = {.type = CTL_EV_CLIENT_FENCED,
				       .session = c->session,
				       .error = e->fence.error};

		e->fence.todo = c->next;
		free(c);
		edge_step(e, &ev);
	}
	e->fence.error = 0;
}

void edge_fence_client(struct edge *e, uint64_t session, uint32_t key)
{
	struct lost_client *c = calloc(1, sizeof(*c));

	ASSERT_MEMORY(c);
	c->session = session;
	c->key = key;
	c->next = e->fence.todo;
	e->fence.todo = c;
	loop_set_timer(e->loop, &e->fence.timer, loop_now_ms());
}

static int judge(const struct edge *e, const json_t *luns)
{
	struct pr_uuid uuid;
	json_t *lun;
	size_t i;

	if (!json_is_array(luns))
		return -EAGAIN;
	json_array_foreach(luns, i, lun)
	{
		const char *text = json_string_value(json_object_get(lun, "uuid"));

		if (text && pr_uuid_parse(text, &uuid) == 0 && is_own(e, &uuid))
			continue;
		log_warning(
			"no lost client can be fenced: [lun] of %s had no LUN \"%s\" (%s) of volume \"%s\" when this controller started: add it, and restart the controller",
			e->conf.path, json_string_value(json_object_get(lun, "name")),
			text ? text : "-", json_string_value(json_object_get(lun, "volume")));
		return -ENODEV;
	}
	return 0;
}

bool edge_fence_answer(struct edge *e, uint64_t ticket, int error, const void *json, size_t len)
{
	json_t *o;

	if (ticket != OWN_TICKET)
		return false;
	o = error ? NULL : json_loadb(json, len, 0, NULL);
	e->fence.asked_ms = 0;
	e->fence.error = judge(e, json_object_get(o, "luns"));
	json_decref(o);
	while (!e->fence.error && e->fence.todo) {
		struct lost_client *c = e->fence.todo;

		e->fence.todo = c->next;
		client_fence_start(e->client_fence, c->session, c->key);
		free(c);
	}
	if (e->fence.error)
		loop_set_timer(e->loop, &e->fence.timer, loop_now_ms());
	return true;
}

/* ---- the LUNs ---- */

int edge_fence_open(struct edge *e, char *why, size_t size)
{
	struct lun_label label;
	int error = 0;

	for (uint32_t i = 0; i < e->conf.luns && !error; i++) {
		error = lun_tool_read(e->conf.lun[i], &label, why, size);
		e->fence.lun[i] = label.lun;
	}
	e->fence.timer = (struct loop_timer){.fn = go_on, .user = e};
	return error;
}

void edge_fence_close(struct edge *e)
{
	while (e->fence.todo) {
		struct lost_client *c = e->fence.todo;

		e->fence.todo = c->next;
		free(c);
	}
}

json_t *edge_fence_luns(const struct edge *e)
{
	json_t *list = json_array();
	char text[PR_UUID_TEXT];

	for (uint32_t i = 0; i < e->conf.luns; i++)
		json_array_append_new(list, json_string(pr_uuid_format(text, &e->fence.lun[i])));
	return list;
}
