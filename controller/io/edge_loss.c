/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "controller/io/edge_loss.h"

#include "controller/io/edge.h"
#include "controller/io/log.h"
#include "controller/io/promotion.h"

enum { LINE_BYTES = 600 };

static void note(uint64_t *at)
{
	if (!*at)
		*at = loop_now_ms();
}

/* The next life of one that died may speak long before anybody is promoted for it: only in a session with it nobody is missed. */
void edge_peer_heard(struct edge *e, uint16_t type)
{
	e->heard_ms = loop_now_ms();
	if (type == PR_T_LINK_SESSION || type == PR_T_LINK_SESSION_OK)
		e->lost = (struct edge_loss){0};
}

void edge_peer_missed(struct edge *e)
{
	if (e->lost.missed_ms)
		return;
	e->lost.missed_ms = loop_now_ms();
	e->lost.heard_ms = e->heard_ms ? e->heard_ms : e->lost.missed_ms;
}

void edge_peer_gone(struct edge *e)
{
	edge_peer_missed(e);
	note(&e->lost.gone_ms);
}

void edge_peer_fence_asked(struct edge *e)
{
	note(&e->lost.fence_asked_ms);
}

void edge_peer_dead(struct edge *e)
{
	if (e->lost.missed_ms)
		note(&e->lost.dead_ms);
}

static void log_times(struct edge *e)
{
	json_t *list = json_array(), *p;
	char line[LINE_BYTES];

	json_array_append_new(list, edge_status(e));
	p = promotion_of(list, NULL);
	promotion_text(p, line, sizeof(line));
	log_notice("%s", line);
	json_decref(p);
	json_decref(list);
}

void edge_promoted(struct edge *e)
{
	e->active_since_ms = loop_now_ms();
	e->first_reply_ms = 0;
	e->before = e->lost;
	log_times(e);
}

void edge_first_reply(struct edge *e)
{
	e->first_reply_ms = loop_now_ms();
	log_times(e);
}
