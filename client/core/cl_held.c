/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A hash table with linear probing; deletion moves back what follows, so there are no tombstones.
 */
#include "client/core/cl_held.h"

#include <stdlib.h>

#include "proto/assert.h"

static uint32_t home_of(const struct cl_held_table *t, uint64_t ino)
{
	return (uint32_t)((ino * 0x9e3779b97f4a7c15u) >> 32) & (t->size - 1);
}

void cl_held_free(struct cl_held_table *t)
{
	free(t->at);
	*t = (struct cl_held_table){0};
}

static struct cl_held *place_for(struct cl_held_table *t, uint64_t ino)
{
	uint32_t i = home_of(t, ino);

	while (t->at[i].ino != 0 && t->at[i].ino != ino)
		i = (i + 1) & (t->size - 1);
	return &t->at[i];
}

bool cl_held_reserve(struct cl_held_table *t, uint32_t more)
{
	struct cl_held_table bigger = {.size = t->size ? t->size : 64};

	if (t->size && t->count + more <= t->size / 2)
		return true;
	while (t->count + more > bigger.size / 2)
		bigger.size *= 2;
	bigger.at = calloc(bigger.size, sizeof(*bigger.at));
	if (!bigger.at)
		return t->count + more < t->size;
	for (uint32_t i = 0; i < t->size; i++)
		if (t->at[i].ino)
			*place_for(&bigger, t->at[i].ino) = t->at[i];
	bigger.count = t->count;
	free(t->at);
	*t = bigger;
	return true;
}

struct cl_held *cl_held_find(struct cl_held_table *t, uint64_t ino)
{
	struct cl_held *held;

	if (!t->size || !ino)
		return NULL;
	held = place_for(t, ino);
	return held->ino ? held : NULL;
}

struct cl_held *cl_held_make(struct cl_held_table *t, uint64_t ino)
{
	struct cl_held *held;

	ASSERT(ino != 0 && t->count + 1 < t->size);
	held = place_for(t, ino);
	if (!held->ino) {
		held->ino = ino;
		t->count++;
	}
	return held;
}

void cl_held_tidy(struct cl_held_table *t, struct cl_held *held)
{
	uint32_t hole = (uint32_t)(held - t->at), i = hole;

	if (held->opens || held->layout != PR_LAYOUT_NONE || held->gets)
		return;
	t->at[hole] = (struct cl_held){0};
	t->count--;
	for (;;) {
		uint32_t home;

		i = (i + 1) & (t->size - 1);
		if (!t->at[i].ino)
			return;
		home = home_of(t, t->at[i].ino);
		if (((i - home) & (t->size - 1)) < ((i - hole) & (t->size - 1)))
			continue;
		t->at[hole] = t->at[i];
		t->at[i] = (struct cl_held){0};
		hole = i;
	}
}
