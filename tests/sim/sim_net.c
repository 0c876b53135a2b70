/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The network: streams that keep their order, arrive late, stall while a way is cut, and break when an end dies. */
#include "tests/sim/sim.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct sim_conn *find(struct sim *s, int end, uint64_t id, int *ret_side)
{
	for (size_t i = 0; i < s->open_count; i++) {
		struct sim_conn *c = s->open[i];

		for (int side = 0; side < 2; side++) {
			if (c->end[side] == end && c->id[side] == id && !c->gone[side]) {
				*ret_side = side;
				return c;
			}
		}
	}
	return NULL;
}

static void queues_free(struct sim_conn *c)
{
	for (int side = 0; side < 2; side++) {
		for (struct sim_segment *g = c->queue[side], *next; g; g = next) {
			next = g->next;
			free(g);
		}
		c->queue[side] = NULL;
	}
}

/* Nobody finds it any more, and what was under way is lost. */
static void shut(struct sim *s, struct sim_conn *c)
{
	for (size_t i = 0; i < s->open_count; i++)
		if (s->open[i] == c)
			s->open[i] = s->open[--s->open_count];
	c->open = false;
}

static bool end_is_up(const struct sim *s, int end)
{
	return sim_is_node(end) ? s->node[end].up : s->client[end - SIM_CLIENT_END].up;
}

static uint64_t latency(struct sim *s)
{
	uint64_t us = sim_between(s, s->swarm.net_min_us, s->swarm.net_max_us);

	/* Now and then a packet is lost and sent again by the stream. */
	return !s->healing && sim_chance(s, 3) ? us + 200 * SIM_US_MS : us;
}

static void tell_up(struct sim *s, struct sim_conn *c, int side)
{
	int end = c->end[side];

	if (!sim_is_node(end)) {
		sim_client_step(s, end - SIM_CLIENT_END,
				&(struct cl_event){.type = CL_EV_CONN_UP, .conn = c->id[side]});
	} else {
		struct ctl_event ev = {.type = c->port == 2 ? CTL_EV_LINK_UP : CTL_EV_CONN_UP,
				       .conn = c->id[side],
				       .peer = "sim"};

		sim_node_step(s, end, &ev);
	}
}

static void tell_down(struct sim *s, int end, uint64_t id, int port, int error)
{
	if (!sim_is_node(end)) {
		sim_client_step(
			s, end - SIM_CLIENT_END,
			&(struct cl_event){.type = CL_EV_CONN_DOWN, .conn = id, .error = error});
	} else {
		struct ctl_event ev = {.type = port == 2 ? CTL_EV_LINK_DOWN : CTL_EV_CONN_DOWN,
				       .conn = id};

		sim_node_step(s, end, &ev);
	}
}

static void down_event(struct sim *s, struct sim_event *e)
{
	struct sim_conn *c = e->ptr;
	int side = (int)e->a;

	if (c->gone[side])
		return;
	if (e->b && c->open && c->queue[side]) { /* it hears of the end behind all that was sent */
		struct sim_event *again = sim_after(s, 20 * SIM_US_MS, e->node, down_event);

		again->ptr = c;
		again->a = e->a;
		again->b = e->b;
		again->error = e->error;
		return;
	}
	c->gone[side] = true;
	if (c->open && c->gone[side ^ 1])
		shut(s, c);
	tell_down(s, c->end[side], c->id[side], c->port, e->error);
}

/* The end `side` learns that the stream is gone. */
static void lose(struct sim *s, struct sim_conn *c, int side, int error)
{
	int end = c->end[side];
	struct sim_event *e;

	if (!end_is_up(s, end))
		return;
	if (c->busy_us[side ^ 1] > s->now_us && error == 0)
		e = sim_after(s, c->busy_us[side ^ 1] - s->now_us, end, down_event);
	else
		e = sim_after(s, latency(s), end, down_event);
	e->ptr = c;
	e->a = (uint64_t)side;
	e->b = error == 0;
	e->error = error ? error : -ECONNRESET;
}

/* That end closes it or dies. What it had sent is on its way and arrives. */
static void leave(struct sim *s, struct sim_conn *c, int side)
{
	bool told = c->up ? !c->gone[side ^ 1] : side == 1;

	c->gone[side] = true;
	if (!c->up || c->gone[side ^ 1])
		shut(s, c);
	if (told)
		lose(s, c, side ^ 1, 0);
}

static void connect_event(struct sim *s, struct sim_event *e)
{
	struct sim_conn *c = e->ptr;
	int from = c->end[0], to = c->end[1];

	if (!c->open || c->gone[0])
		return;
	if (!s->node[to].up || s->cut[from][to] || s->cut[to][from]) {
		shut(s, c);
		lose(s, c, 0, s->node[to].up ? -ETIMEDOUT : -ECONNREFUSED);
		return;
	}
	/* Who stands still takes no connection. */
	if (sim_is_node(to) && s->node[to].paused_until_us > s->now_us) {
		sim_after(s, s->node[to].paused_until_us - s->now_us, from, connect_event)->ptr = c;
		return;
	}
	c->id[1] = ++s->next_conn;
	c->up = true;
	if (s->doomed_next && !sim_is_node(from)) {
		s->doomed_next--;
		sim_struck(s, SIM_FAULT_HALF_DEAD);
		c->doomed = (unsigned)sim_between(s, 1, 6);
	}
	tell_up(s, c, 1);
	if (c->open)
		tell_up(s, c, 0);
}

uint64_t sim_connect(struct sim *s, int from, int to, int port, uint64_t id_from)
{
	struct sim_conn *c = calloc(1, sizeof(*c));

	s->conns = realloc(s->conns, (s->conn_count + 1) * sizeof(*s->conns));
	s->open = realloc(s->open, (s->open_count + 1) * sizeof(*s->open));
	s->conns[s->conn_count++] = s->open[s->open_count++] = c;
	c->end[0] = from;
	c->end[1] = to;
	c->port = port;
	c->id[0] = id_from ? id_from : ++s->next_conn;
	c->open = true;
	sim_after(s, latency(s), from, connect_event)->ptr = c;
	return c->id[0];
}

void sim_dial_link(struct sim *s)
{
	/* Each opens the link once its journal is recovered. */
	if (!s->node[1].up || !s->node[2].up || s->node[1].role == PR_ROLE_STARTING ||
	    s->node[2].role == PR_ROLE_STARTING)
		return;
	for (size_t i = 0; i < s->open_count; i++)
		if (s->open[i]->port == 2 && !s->open[i]->gone[0] && !s->open[i]->gone[1])
			return;
	sim_connect(s, 2, 1, 2, 0);
}

static void note_frame(struct sim *s, const struct sim_conn *c, int side, const struct pr_frame *f,
		       const uint8_t *p)
{
	char text[500];
	struct pr_text t = pr_text_on(text, sizeof(text));

	pr_frame_dump(&t, f);
	if (c->port != 2 && !f->status) {
		pr_text_char(&t, ' ');
		pr_message_dump(f->type, p, f->length, &t);
	}
	sim_note(s, "%d to %d, port %d, connection %llu: %s", c->end[side ^ 1], c->end[side],
		 c->port, (unsigned long long)c->id[1], text);
}

/* As the edges do: a stream with a damaged frame is closed. */
static void damaged(struct sim *s, struct sim_conn *c, int side, bool bad)
{
	if (!bad) {
		sim_fail(s, "wire", "a damaged frame left %d", c->end[side ^ 1]);
		return;
	}
	s->corrupted++;
	sim_struck(s, SIM_FAULT_CORRUPT);
	shut(s, c);
	lose(s, c, side, -EBADMSG);
	lose(s, c, side ^ 1, -ECONNRESET);
}

static void count_link(struct sim *s, const struct pr_frame *f, const uint8_t *p, bool ghost)
{
	struct pr_link_ack ack;

	s->link_frames[f->type % SIM_LINK_TYPES] += !ghost;
	s->ghosts_of_old += ghost && f->epoch < s->arbiter.epoch;
	s->ghost_frames += ghost;
	if (f->type != PR_T_LINK_ACK || pr_link_ack_decode(&ack, p, f->length) < 0)
		return;
	s->old_acks += !ghost && ack.epoch < s->arbiter.epoch;
	s->ghost_acks += ghost;
}

static void to_node(struct sim *s, const struct sim_conn *c, int side, const struct pr_frame *f,
		    const uint8_t *p)
{
	struct ctl_event ev = {.type = c->port == 2 ? CTL_EV_LINK_FRAME : CTL_EV_FRAME,
			       .conn = c->id[side],
			       .frame = f,
			       .p = p,
			       .len = f->length};

	sim_node_step(s, c->end[side], &ev);
}

/* It has left this connection and reads what comes by it all the same: nothing may come of that. */
static void haunt(struct sim *s, struct sim_conn *c, int side, const uint8_t *p, uint32_t left)
{
	int to = c->end[side];

	for (struct pr_frame f; left > 0;
	     p += PR_FRAME_BYTES + f.length, left -= PR_FRAME_BYTES + f.length) {
		struct ha_status was, is;
		uint64_t gen = s->node[to].gen;

		if (pr_frame_decode(&f, p, PR_PAYLOAD_MAX_LINK) < 0 || !s->node[to].up)
			return;
		count_link(s, &f, p + PR_FRAME_BYTES, true);
		ha_get_status(ctl_ha(s->node[to].ctl), &was);
		to_node(s, c, side, &f, p + PR_FRAME_BYTES);
		if (s->node[to].gen != gen || !s->node[to].up)
			return;
		ha_get_status(ctl_ha(s->node[to].ctl), &is);
		/* An active's own tail grows by what clients ask for. */
		if ((was.tail_lsn != is.tail_lsn && was.role != PR_ROLE_ACTIVE) ||
		    was.commit_lsn != is.commit_lsn || was.peer_acked_lsn != is.peer_acked_lsn ||
		    was.epoch != is.epoch || was.dstate != is.dstate || was.role != is.role)
			sim_fail(s, "link", "node %d acts on a %s of a link that it had left", to,
				 pr_type_name(f.type));
	}
}

/* bad: a bit was flipped on the way. */
static void frames(struct sim *s, struct sim_conn *c, int side, uint8_t *p, uint32_t left, bool bad)
{
	int to = c->end[side];

	while (left > 0 && c->open && !c->gone[side]) {
		struct pr_frame f;
		int r = pr_frame_decode(&f, p, PR_PAYLOAD_MAX_LINK);

		if (r < 0 || left < PR_FRAME_BYTES + f.length ||
		    pr_frame_check_payload(&f, p + PR_FRAME_BYTES) < 0) {
			damaged(s, c, side, bad);
			return;
		}
		if (s->trace_frames)
			note_frame(s, c, side, &f, p + PR_FRAME_BYTES);
		if (!sim_is_node(to)) {
			sim_client_step(s, to - SIM_CLIENT_END,
					&(struct cl_event){.type = CL_EV_FRAME,
							   .conn = c->id[side],
							   .frame = &f,
							   .p = p + PR_FRAME_BYTES});
		} else {
			uint64_t gen = s->node[to].gen;
			bool twice = c->port == 2 && s->repeats > 0;

			if (c->port == 2)
				count_link(s, &f, p + PR_FRAME_BYTES, false);
			to_node(s, c, side, &f, p + PR_FRAME_BYTES);
			if (twice && s->node[to].gen == gen && c->open && !c->gone[side]) {
				s->repeats--;
				s->repeated++;
				to_node(s, c, side, &f, p + PR_FRAME_BYTES);
			}
			if (s->node[to].gen != gen || !s->node[to].up)
				return;
		}
		p += PR_FRAME_BYTES + f.length;
		left -= PR_FRAME_BYTES + f.length;
	}
}

/* The next frame comes before this one. */
static struct sim_segment *swap(struct sim *s, struct sim_conn *c, int side)
{
	struct sim_segment *g = c->queue[side], *next = g->next;

	if (c->port != 2 || s->swaps == 0 || !next || next->at_us > s->now_us + 1000)
		return g;
	s->swaps--;
	s->swapped++;
	g->next = next->next;
	next->next = g;
	next->at_us = g->at_us;
	if (!g->next)
		c->last[side] = &g->next;
	return c->queue[side] = next;
}

/* What has arrived for that side, in the order it was sent. */
static void arrive(struct sim *s, struct sim_event *e)
{
	struct sim_conn *c = e->ptr;
	int side = (int)e->a, from = c->end[side ^ 1], to = c->end[side];
	struct sim_segment *g;
	bool bad;

	while (s->ghosts && c->port == 2 && c->gone[side] && (g = c->queue[side]) &&
	       g->at_us <= s->now_us) {
		c->queue[side] = g->next;
		haunt(s, c, side, g->p, g->len);
		free(g);
	}
	while (c->open && !c->gone[side] && (g = c->queue[side]) && g->at_us <= s->now_us) {
		if (!end_is_up(s, to))
			return;
		if (s->cut[from][to] || (c->port == 2 && s->mtu && g->len > s->mtu)) {
			struct sim_event *again = sim_after(s, 20 * SIM_US_MS, to, arrive);

			again->ptr = c;
			again->a = e->a;
			s->stalled += !s->cut[from][to];
			return;
		}
		g = swap(s, c, side);
		c->queue[side] = g->next;
		bad = s->corrupt > 0;
		if (bad) {
			s->corrupt--;
			g->p[sim_below(s, g->len)] ^= (uint8_t)(1u << sim_below(s, 8));
		}
		frames(s, c, side, g->p, g->len, bad);
		if (bad && c->open && !s->violation)
			sim_fail(s, "wire", "a flipped bit was not seen by %d", to);
		free(g);
	}
}

/* One end has lost it; what it had sent comes late, and then the other hears of that. */
static void half_die(struct sim *s, struct sim_conn *c, int side, uint64_t late_us)
{
	lose(s, c, side, -ECONNRESET);
	for (struct sim_segment *g = c->queue[side ^ 1]; g; g = g->next) {
		struct sim_event *e;

		g->at_us += late_us;
		e = sim_after(s, g->at_us - s->now_us, c->end[side ^ 1], arrive);
		e->ptr = c;
		e->a = (uint64_t)(side ^ 1);
	}
	c->busy_us[side] = (c->busy_us[side] > s->now_us ? c->busy_us[side] : s->now_us) + late_us;
	lose(s, c, side ^ 1, 0);
}

static uint64_t some_delay(struct sim *s)
{
	return sim_between(s, 1, sim_chance(s, 500) ? 100 : 3000) * SIM_US_MS;
}

void sim_send(struct sim *s, int from, uint64_t id, const uint8_t *p, uint32_t len,
	      const uint8_t *p2, uint32_t len2)
{
	int side;
	struct sim_conn *c = find(s, from, id, &side);
	struct sim_segment *g;
	struct sim_event *e;
	uint64_t at;

	if (!c || !c->up)
		return;
	sim_mix_bytes(s, p, len);
	if (len2)
		sim_mix_bytes(s, p2, len2);
	at = s->now_us + latency(s);
	if (at <= c->busy_us[side])
		at = c->busy_us[side] + 1;
	c->busy_us[side] = at;
	g = malloc(sizeof(*g) + len + len2);
	g->next = NULL;
	g->at_us = at;
	g->len = len + len2;
	memcpy(g->p, p, len);
	if (len2)
		memcpy(g->p + len, p2, len2);
	if (c->queue[side ^ 1])
		*c->last[side ^ 1] = g;
	else
		c->queue[side ^ 1] = g;
	c->last[side ^ 1] = &g->next;
	e = sim_after(s, at - s->now_us, c->end[side ^ 1], arrive);
	e->ptr = c;
	e->a = (uint64_t)(side ^ 1);
	if (side == 0 && c->doomed && --c->doomed == 0 && !c->gone[0] && !c->gone[1])
		half_die(s, c, 0, some_delay(s));
}

void sim_hang_up(struct sim *s, int from, uint64_t id)
{
	int side;
	struct sim_conn *c = find(s, from, id, &side);

	if (c)
		leave(s, c, side);
}

void sim_drop_all(struct sim *s, int end)
{
	for (size_t i = 0; i < s->open_count;) {
		struct sim_conn *c = s->open[i];

		int side = c->end[1] == end;

		if (c->end[side] == end && !c->gone[side])
			leave(s, c, side);
		/* leave() may have taken it out of the list */
		if (i < s->open_count && s->open[i] == c)
			i++;
	}
}

bool sim_net_reset(struct sim *s)
{
	struct sim_conn *c = s->open_count ? s->open[sim_below(s, s->open_count)] : NULL;

	if (!c || !c->up)
		return false;
	shut(s, c);
	lose(s, c, 0, -ECONNRESET);
	lose(s, c, 1, -ECONNRESET);
	return true;
}

/* The client connects anew and sends all again while the controller still gets what it had sent before, or the other way round. */
bool sim_net_half_dead(struct sim *s)
{
	struct sim_conn *c = s->open_count ? s->open[sim_below(s, s->open_count)] : NULL;

	int side;

	if (!c || !c->up || c->gone[0] || c->gone[1])
		return false;
	side = sim_chance(s, 700) ? 0 : 1;
	half_die(s, c, side, some_delay(s));
	return true;
}

static struct sim_conn *link_of(const struct sim *s)
{
	for (size_t i = 0; i < s->open_count; i++) {
		struct sim_conn *c = s->open[i];

		if (c->port == 2 && c->up && !c->gone[0] && !c->gone[1])
			return c;
	}
	return NULL;
}

void sim_link_half_dead(struct sim *s, int node, uint64_t late_ms)
{
	struct sim_conn *c = link_of(s);

	if (c)
		half_die(s, c, c->end[1] == node, late_ms * SIM_US_MS);
}

bool sim_link_carries(const struct sim *s, int from, uint16_t type)
{
	const struct sim_conn *c = link_of(s);
	struct pr_frame f;

	for (struct sim_segment *g = c ? c->queue[c->end[0] == from] : NULL; g; g = g->next)
		if (pr_frame_decode(&f, g->p, PR_PAYLOAD_MAX_LINK) >= 0 && f.type == type)
			return true;
	return false;
}

uint64_t sim_access_of(const struct sim *s, int client, int node)
{
	for (size_t i = 0; i < s->open_count; i++) {
		const struct sim_conn *c = s->open[i];

		if (c->port == 0 && c->up && c->end[0] == SIM_CLIENT_END + client &&
		    c->end[1] == node && !c->gone[0] && !c->gone[1])
			return c->id[0];
	}
	return 0;
}

void sim_cut(struct sim *s, int a, int b, bool on)
{
	s->cut[a][b] = on;
}

void sim_net_free(struct sim *s)
{
	for (size_t i = 0; i < s->conn_count; i++) {
		queues_free(s->conns[i]);
		free(s->conns[i]);
	}
	free(s->conns);
	free(s->open);
}
