/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A controller's machine with real files: as sim_node.c, but what touches a disk goes through the daemon's executors, one thing at
 * a time, at the virtual moment at which it ends. When the power goes while an executor works, the controller dies with what it
 * still had queued.
 */
#include "tests/crash/crash_machine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "tests/sim/simstore.h"

static enum crash_script script;
static uint8_t cluster[16];
static uint64_t refused_starts, noticed;
static int kept_down;
static char memory_said[160];

static void say_memory(const char *text)
{
	snprintf(memory_said, sizeof(memory_said), "%.159s", text);
}

bool machine_power_lost(struct sim *s, int node)
{
	char text[200];

	if (heap_last_words()) {
		say_memory(heap_last_words());
		sim_node_crash(s, node, heap_last_words());
		return true;
	}
	if (!disk_dead())
		return false;
	snprintf(text, sizeof(text), "power lost at write %llu, %s",
		 (unsigned long long)disk_writes(), disk_struck());
	sim_node_crash(s, node, text);
	return true;
}

/* ---- effects ---- */

static void timer(struct sim *s, struct sim_event *e)
{
	struct ctl_event ev = {.type = CTL_EV_TIMER};

	if (s->node[e->node].timer_us != e->at_us)
		return;
	s->node[e->node].timer_us = UINT64_MAX;
	sim_node_step(s, e->node, &ev);
}

static void set_timer(struct sim *s, int node, uint64_t at_ms)
{
	struct sim_node *n = &s->node[node];
	uint64_t us = at_ms > 1000 ? (at_ms - 1000) * SIM_US_MS : 0;

	n->timer_us = us > s->now_us ? us : s->now_us + 10;
	sim_after(s, n->timer_us - s->now_us, node, timer);
}

static void client_fenced(struct sim *s, struct sim_event *e)
{
	struct ctl_event ev = {.type = CTL_EV_CLIENT_FENCED, .session = e->a};

	sim_lun_fence(s, e->a);
	sim_node_step(s, e->node, &ev);
}

static void volume_event(struct sim *s, struct sim_event *e)
{
	char text[200];
	struct ctl_event ev = {
		.type = CTL_EV_ADMIN, .ticket = 7, .text = sim_lun_volume_create(s, text)};

	if (s->node[e->node].role != PR_ROLE_ACTIVE || s->volume_made)
		return;
	sim_node_step(s, e->node, &ev);
	sim_after(s, 100 * SIM_US_MS, e->node, volume_event);
}

static void effect(struct sim *s, int node, struct ctl_effect *fx)
{
	switch (fx->type) {
	case CTL_FX_SEND:
		sim_witness_commit(s, node);
		sim_check_serving(s, node);
		sim_send(s, node, fx->conn, fx->p, fx->len, NULL, 0);
		break;
	case CTL_FX_CLOSE:
	case CTL_FX_LINK_CLOSE:
		sim_hang_up(s, node, fx->conn);
		break;
	case CTL_FX_LINK_SEND:
		sim_send(s, node, fx->conn, fx->p, fx->len, fx->batch ? fx->batch->image : NULL,
			 fx->batch ? fx->batch->image_bytes : 0);
		jr_batch_unref(fx->batch);
		break;
	case CTL_FX_ASK_FENCE:
		sim_super_fence(s, node, fx->incarnation);
		break;
	case CTL_FX_SCORE:
		s->node[node].score = fx->score;
		break;
	case CTL_FX_ORDER_RESULT:
		noticed +=
			fx->error && fx->text && strstr(fx->text, "acknowledged and are missing");
		sim_super_result(s, node, fx->ticket, fx->error, fx->text);
		break;
	case CTL_FX_FENCE_CLIENT:
		sim_after(s, 100 * SIM_US_MS, node, client_fenced)->a = fx->session;
		break;
	case CTL_FX_ADMIN_REPLY:
		if (fx->ticket == 7 && (fx->error == 0 || fx->error == -EEXIST))
			s->volume_made = true;
		break;
	case CTL_FX_TIMER:
		set_timer(s, node, fx->at_ms);
		break;
	case CTL_FX_ALARM:
		s->alarms++;
		noticed += fx->on && fx->alarm != HA_ALARM_ALONE && fx->alarm != HA_ALARM_FROZEN;
		sim_note(s, "node %d: alarm %d %s %s", node, fx->alarm, fx->on ? "on" : "off",
			 fx->text ? fx->text : "");
		break;
	case CTL_FX_LOG:
		noticed += fx->level <= LOG_WARNING;
		sim_note(s, "node %d: %s", node, fx->text);
		break;
	case CTL_FX_ROLE:
		break;
	case CTL_FX_DIE:
		if (heap_failed_node() == node && !memory_said[0])
			say_memory(fx->text);
		sim_node_crash(s, node, fx->text);
		break;
	default:
		machine_effect(s, node, fx);
		break;
	}
}

static void look_role(struct sim *s, int node)
{
	struct sim_node *n = &s->node[node];
	enum pr_role role = ha_role(ctl_ha(n->ctl));

	if (role == n->role)
		return;
	sim_note(s, "node %d: %s, epoch %llu", node, pr_role_name(role),
		 (unsigned long long)ha_epoch(ctl_ha(n->ctl)));
	n->role = role;
	if (role == PR_ROLE_STANDBY)
		machine_arbiter_give_back(node);
	if (role == PR_ROLE_ACTIVE && !s->volume_made)
		sim_after(s, 1 * SIM_US_MS, node, volume_event);
	sim_super_look(s);
}

static bool step(struct sim *s, int node, const struct ctl_event *ev)
{
	if (!heap_dies(node))
		ctl_step(s->node[node].ctl, ev);
	heap_leave();
	return !heap_last_words();
}

static bool next(struct sim *s, int node, struct ctl_effect *ret)
{
	volatile bool more = false;

	if (!heap_dies(node))
		more = ctl_next(s->node[node].ctl, ret);
	heap_leave();
	return more;
}

static void drain(struct sim *s, int node, uint64_t gen)
{
	struct sim_node *n = &s->node[node];
	struct ctl_effect fx;

	while (n->gen == gen && n->up && !s->violation && next(s, node, &fx))
		effect(s, node, &fx);
}

static void pump(struct sim *s, struct sim_event *e);

static void pump_soon(struct sim *s, int node)
{
	if (s->node[node].pump)
		return;
	s->node[node].pump = true;
	sim_after(s, sim_between(s, 5, 60), node, pump);
}

static void pump(struct sim *s, struct sim_event *e)
{
	struct ctl_event ev = {.type = CTL_EV_PUMP};
	struct sim_node *n = &s->node[e->node];

	n->pump = false;
	sim_node_step(s, e->node, &ev);
	if (n->up && !s->violation && ctl_work(n->ctl))
		pump_soon(s, e->node);
}

void sim_node_step(struct sim *s, int node, struct ctl_event *ev)
{
	struct sim_node *n = &s->node[node];
	uint64_t gen = n->gen;

	if (!n->up || s->violation)
		return;
	ev->now_ms = s->now_us / SIM_US_MS + 1000;
	ev->real_ns = (int64_t)(1600000000000000000 + s->now_us * 1000);
	ev->random = sim_random(s);
	s->steps++;
	sim_proof_event(s, node, ev);
	if (step(s, node, ev))
		drain(s, node, gen);
	if (machine_power_lost(s, node) || n->gen != gen || !n->up)
		return;
	sim_witness_commit(s, node);
	look_role(s, node);
	sim_check_step(s, node);
	if (ev->type != CTL_EV_PUMP)
		pump_soon(s, node);
}

/* ---- start and end ---- */

static void fill_config(struct sim *s, int node, struct ctl_config *c)
{
	*c = (struct ctl_config){
		.ha = {.node = (uint8_t)node,
		       .beat_ms = 50,
		       .lease_ms = 600,
		       .drop_ms = 5000,
		       .link_dead_ms = 400,
		       .in_flight = 2},
		.journal = {.segment_bytes = script == CRASH_PAIR ? 256 << 10 : CRASH_SEGMENT_BYTES,
			    .segments = CRASH_SEGMENTS,
			    .ring_slots = CRASH_RING_SLOTS,
			    .in_flight = 2},
		.address = {"127.0.0.1", "127.0.0.2"},
		.incarnation = s->now_us / SIM_US_MS * 2 + (uint64_t)node,
		.lease_ms = s->swarm.lease_ms,
		.sessions_max = 64,
		.slots_max = 64,
		.cache_bytes = 64 << 10,
		.overlay_bytes = (size_t)s->swarm.overlay_kib << 10,
		.flush_ms = s->swarm.flush_ms,
		.batch_bytes_max = 32 << 10,
	};
	memcpy(c->ha.cluster, cluster, sizeof(cluster));
	memcpy(c->journal.cluster, cluster, sizeof(cluster));
}

/* Who reads it must know what to do: that the disk failed, not that something is damaged or missing. */
static void check_reason(struct sim *s, int node, int error, const char *why)
{
	const char *text = why[0] ? why : strerror(-error);

	if (disk_failed_in_this_life() && disk_failed_hard() && !strstr(text, strerror(EIO)) &&
	    !strstr(text, strerror(ENOSPC)))
		sim_fail(s, "reason", "node %d does not start after %s failed, and says: %s", node,
			 disk_struck(), text);
}

static bool open_node(struct sim *s, int node, const struct ctl_config *config,
		      struct ha_state *state, struct ctl_event *boot)
{
	char why[600] = "";
	int error;

	disk_node(node);
	error = machine_open(node, config, state, &boot->error, &boot->store_lsn, why, sizeof(why));
	if (machine_power_lost(s, node))
		return false;
	if (error) {
		sim_note(s, "node %d: does not start: %s: %s", node, strerror(-error), why);
		refused_starts++;
		check_reason(s, node, error, why);
		if (heap_failed_node() == node && error == -ENOMEM)
			say_memory(why[0] ? why : strerror(ENOMEM));
		sim_node_crash(s, node, why);
		return false;
	}
	return true;
}

static struct ctl *make_core(int node, const struct ctl_config *config, char why[256])
{
	struct ctl *volatile c = NULL;

	if (!heap_dies(node))
		c = ctl_new(config, why);
	heap_leave();
	return c;
}

/* What a start has read it acts upon, whether that write was ever reported done or not. */
static void check_epoch(struct sim *s, int node, const struct ha_state *st)
{
	struct sim_node *n = &s->node[node];

	if (st->epoch < n->persisted_epoch)
		sim_fail(s, "I4", "node %d: its persisted epoch went from %llu to %llu", node,
			 (unsigned long long)n->persisted_epoch, (unsigned long long)st->epoch);
	n->persisted_epoch = st->epoch;
}

void sim_node_boot(struct sim *s, int node)
{
	struct sim_node *n = &s->node[node];
	struct ctl_event ev = {.type = CTL_EV_BOOT};
	struct ctl_config config;
	struct ha_state st;
	char why[256];

	if (node == kept_down)
		return;
	fill_config(s, node, &config);
	n->up = true;
	n->gen++;
	n->incarnation = config.incarnation;
	n->role = PR_ROLE_STARTING;
	n->score = 0;
	n->timer_us = UINT64_MAX;
	n->paused_until_us = 0;
	n->pump = false;
	n->tag_count = 0;
	sim_note(s, "node %d: starts, incarnation %llu", node, (unsigned long long)n->incarnation);
	n->ctl = make_core(node, &config, why);
	if (machine_power_lost(s, node))
		return;
	if (!n->ctl && heap_failed_node() == node && strstr(why, "memory")) {
		say_memory(why);
		sim_node_crash(s, node, why);
		return;
	}
	if (!n->ctl) {
		sim_fail(s, "start", "node %d: %s", node, why);
		return;
	}
	if (!open_node(s, node, &config, &st, &ev))
		return;
	if (!ev.error)
		check_epoch(s, node, &st);
	if (!n->store)
		n->store = simstore_new();
	simstore_set_lsn(n->store, ev.store_lsn);
	sim_witness_restart(s, node);
	ev.incarnation = n->incarnation;
	ev.state = ev.error ? NULL : &st;
	sim_node_step(s, node, &ev);
	sim_super_born(s, node);
}

bool sim_node_crash(struct sim *s, int node, const char *why)
{
	struct sim_node *n = &s->node[node];

	if (!n->up)
		return false;
	sim_note(s, "node %d: DIES: %s", node, why ? why : "");
	n->up = false;
	n->gen++;
	n->role = PR_ROLE_STOPPED;
	if (!disk_dead()) { /* a process that is killed: what it gave to the kernel stands */
		disk_node(node);
		disk_kill(DISK_KEPT);
	}
	machine_journal_crash(node);
	disk_node(node);
	disk_kill(disk_fate_now());
	if (heap_thread_lost())
		machine_abandon(node);
	machine_close(node);
	disk_node(0);
	disk_settle(node);
	machine_arbiter_look(s);
	n->tag_count = 0;
	sim_drop_all(s, node);
	if (!heap_last_words()) /* else it is half changed, and nobody's */
		s->dead[s->dead_count++] = n->ctl;
	n->ctl = NULL;
	heap_buried(node);
	s->crashes++;
	sim_super_died(s, node);
	return true;
}

void sim_node_free(struct sim *s, int node)
{
	struct sim_node *n = &s->node[node];

	ctl_free(n->ctl);
	simstore_free(n->store);
}

void crash_nodes_begin(const char *dir, enum crash_script which, uint8_t id[16])
{
	script = which;
	memcpy(cluster, id, sizeof(cluster));
	machines_begin(dir, id);
}

uint64_t crash_noticed(void)
{
	return noticed;
}

void crash_node_keep_down(int node)
{
	kept_down = node;
}

const char *crash_memory_said(void)
{
	return memory_said;
}

uint64_t crash_refused_starts(void)
{
	return refused_starts;
}
