/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "controller/io/arbiter_tool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "controller/io/conf.h"
#include "controller/io/lun_tool.h"
#include "ha/io/state_file.h"
#include "lun/lun.h"

static int record_is_gone(struct lun *lun, char *why, size_t size)
{
	uint8_t *block = aligned_alloc(LUN_BLOCK_BYTES, 2 * LUN_BLOCK_BYTES);
	const uint8_t *copies[2];
	struct ha_arbiter record;
	int error = block ? 0 : -ENOMEM, ignored;

	for (unsigned i = 0; i < 2 && !error; i++) {
		copies[i] = block + (size_t)i * LUN_BLOCK_BYTES;
		error = lun_block_read(lun, LUN_ARBITER_BLOCK + i,
				       block + (size_t)i * LUN_BLOCK_BYTES);
	}
	if (error) {
		snprintf(why, size, "%s: the arbiter record cannot be read: %s; mend the LUN first",
			 lun_path(lun), strerror(-error));
	} else if (ha_arbiter_pick(&record, copies, &ignored) == 0) {
		error = -EEXIST;
		snprintf(
			why, size,
			"%s: its arbiter record can be used, it is of epoch %llu: there is nothing to renew; see mdcctl status",
			lun_path(lun), (unsigned long long)record.epoch);
	}
	free(block);
	return error;
}

static int open_lun(struct arbiter_tool *t, const struct conf *c, char *why, size_t size)
{
	const char *path = c->lun[0];
	char who[48] = "";
	int error = lun_check_all(&path, 1, &c->cluster, why, size);

	if (!error)
		error = lun_open(path, 0, &t->lun, why, size);
	if (!error)
		error = record_is_gone(t->lun, why, size);
	if (error)
		return error;
	error = lun_arbiter_lock(t->lun, who, sizeof(who));
	if (error < 0) {
		snprintf(why, size, "%s: %s may write the arbiter record: stop it first", path,
			 who[0] ? who : "another controller");
		return error;
	}
	/* Who had the lock before may have written one meanwhile. */
	return record_is_gone(t->lun, why, size);
}

static int open_state(struct arbiter_tool *t, int i, const char *dir, const struct conf *c,
		      struct ha_state *ret, char *why, size_t size)
{
	char text[512];
	int wrong = 0, error = state_file_open(dir, &t->state[i], ret, &wrong, text, sizeof(text));

	if (error) {
		snprintf(why, size, "%s%s", text,
			 error == -EBUSY ? ": stop the controllers first" : "");
	} else if (wrong == -EUCLEAN) {
		error = wrong;
		snprintf(why, size,
			 "%s/state: fewer than two of its four copies agree: restore one first",
			 dir);
	} else if (wrong == -ENOENT) {
		ret->dstate = HA_NEW;
		ret->node = 0;
	} else if (memcmp(ret->cluster, c->cluster.b, 16) != 0) {
		error = -EXDEV;
		snprintf(why, size, "%s/state belongs to another cluster", dir);
	}
	return error;
}

/* Going on alone begins a new epoch, and is persisted before anything is acknowledged in it. */
static bool holds_more(const struct ha_state *a, const struct ha_state *b)
{
	if (a->epoch != b->epoch)
		return a->epoch > b->epoch;
	return a->dstate == HA_DALONE && b->dstate != HA_DALONE;
}

static int choose(struct arbiter_tool *t, const struct ha_state *s, char *why, size_t size)
{
	struct timespec now;

	if (s->dstate != HA_INSYNC && s->dstate != HA_DALONE) {
		snprintf(
			why, size,
			"the controller that was last in epoch %llu does not hold everything for certain (its copy was not finished, it is new, or its disk failed): run this where the other one is",
			(unsigned long long)s->epoch);
		return -EPERM;
	}
	/* A number beyond all that were ever written: a controller that runs passes over a lower one. */
	clock_gettime(CLOCK_REALTIME, &now);
	t->record = (struct ha_arbiter){
		.seq = (uint64_t)now.tv_sec << 16,
		.epoch = s->epoch,
		.members = (uint8_t)(1u << (s->node - 1)),
		.active = s->node,
	};
	memcpy(t->record.cluster, s->cluster, 16);
	return 0;
}

int arbiter_tool_begin(struct arbiter_tool *t, const struct pair_place *place, char *why,
		       size_t size)
{
	static struct conf c;
	struct ha_state state[2] = {0};
	char text[512];
	int error, best = 0;

	*t = (struct arbiter_tool){.other_unknown = !place->dir[1][0]};
	error = conf_read(place->conf, &c, text);
	if (error) {
		snprintf(why, size, "%s", text);
		return error;
	}
	for (int i = 0; i < 2 && !error && place->dir[i][0]; i++)
		error = open_state(t, i, place->dir[i], &c, &state[i], why, size);
	if (!error)
		error = open_lun(t, &c, why, size);
	if (error)
		return error;
	if (!t->other_unknown && holds_more(&state[1], &state[0]))
		best = 1;
	/* Who is new may be one whose directory was lost. */
	t->other_unknown |= state[1 - best].dstate == HA_NEW;
	return choose(t, &state[best], why, size);
}

int arbiter_tool_write(struct arbiter_tool *t, char *why, size_t size)
{
	return lun_tool_write_record(t->lun, &t->record, why, size);
}

void arbiter_tool_end(struct arbiter_tool *t)
{
	lun_close(t->lun);
	for (int i = 0; i < 2; i++)
		state_file_close(t->state[i]);
}
