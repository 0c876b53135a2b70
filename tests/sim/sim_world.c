/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Time, chance and the queue of what will happen. */
#include "tests/sim/sim.h"

#include <stdlib.h>
#include <string.h>

#include "proto/hash.h"

enum { RESUME_US = 300 };

static uint64_t rotl(uint64_t x, int k)
{
	return x << k | x >> (64 - k);
}

void sim_rng_seed(struct sim_rng *rng, uint64_t seed)
{
	for (int i = 0; i < 4; i++) {
		uint64_t z = (seed += 0x9e3779b97f4a7c15);

		z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
		z = (z ^ z >> 27) * 0x94d049bb133111eb;
		rng->r[i] = z ^ z >> 31;
	}
}

/* xoshiro256** (Blackman and Vigna, public domain) */
uint64_t sim_random(struct sim *s)
{
	uint64_t *r = s->striking ? s->fault_rng.r : s->rng.r, result = rotl(r[1] * 5, 7) * 9,
		 t = r[1] << 17;

	r[2] ^= r[0];
	r[3] ^= r[1];
	r[1] ^= r[2];
	r[0] ^= r[3];
	r[2] ^= t;
	r[3] = rotl(r[3], 45);
	return result;
}

uint64_t sim_below(struct sim *s, uint64_t n)
{
	return n ? sim_random(s) % n : 0;
}

uint64_t sim_between(struct sim *s, uint64_t lo, uint64_t hi)
{
	return lo + sim_below(s, hi - lo + 1);
}

bool sim_chance(struct sim *s, uint32_t permille)
{
	return sim_below(s, 1000) < permille;
}

static uint64_t gen_of(const struct sim *s, int end)
{
	return sim_is_node(end) ? s->node[end].gen : s->client[end - SIM_CLIENT_END].gen;
}

static uint64_t *paused_until(struct sim *s, int end)
{
	return sim_is_node(end) ? &s->node[end].paused_until_us
				: &s->client[end - SIM_CLIENT_END].paused_until_us;
}

static bool before(const struct sim_event *a, const struct sim_event *b)
{
	return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

static void push(struct sim *s, struct sim_event *e)
{
	size_t i = s->heap_count++;

	if (s->heap_count > s->heap_cap) {
		s->heap_cap = s->heap_cap ? s->heap_cap * 2 : 256;
		s->heap = realloc(s->heap, s->heap_cap * sizeof(*s->heap));
	}
	while (i > 0 && before(e, s->heap[(i - 1) / 2])) {
		s->heap[i] = s->heap[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	s->heap[i] = e;
}

static struct sim_event *pop(struct sim *s)
{
	struct sim_event *first = s->heap[0], *last = s->heap[--s->heap_count];
	size_t i = 0;

	for (;;) {
		size_t child = 2 * i + 1;

		if (child >= s->heap_count)
			break;
		if (child + 1 < s->heap_count && before(s->heap[child + 1], s->heap[child]))
			child++;
		if (!before(s->heap[child], last))
			break;
		s->heap[i] = s->heap[child];
		i = child;
	}
	if (s->heap_count > 0)
		s->heap[i] = last;
	return first;
}

struct sim_event *sim_after(struct sim *s, uint64_t us, int node,
			    void (*fn)(struct sim *, struct sim_event *))
{
	struct sim_event *e = calloc(1, sizeof(*e));

	e->at_us = s->now_us + us;
	e->order = s->order++;
	e->node = node;
	e->gen = node ? gen_of(s, node) : 0;
	e->fn = fn;
	push(s, e);
	return e;
}

/* A stopped process does nothing; the world goes on. Then it sees all at once, in no order. */
static void park(struct sim *s, struct sim_event *e)
{
	e->parked = true;
	e->at_us = *paused_until(s, e->node) + e->order * 0x9e3779b9 % RESUME_US;
	push(s, e);
}

void sim_pause(struct sim *s, int end, uint64_t us)
{
	uint64_t *until = paused_until(s, end);

	if (s->now_us + us > *until)
		*until = s->now_us + us;
}

void sim_resume(struct sim *s, int end)
{
	struct sim_event **all = s->heap;
	size_t count = s->heap_count;

	if (*paused_until(s, end) <= s->now_us)
		return;
	*paused_until(s, end) = s->now_us;
	s->heap = NULL;
	s->heap_count = s->heap_cap = 0;
	for (size_t i = 0; i < count; i++) {
		if (all[i]->parked && all[i]->node == end)
			park(s, all[i]);
		else
			push(s, all[i]);
	}
	free(all);
}

void sim_mix(struct sim *s, uint64_t value)
{
	s->hash = (s->hash ^ value) * 0x9e3779b97f4a7c15;
	s->hash ^= s->hash >> 32;
}

void sim_mix_bytes(struct sim *s, const void *p, size_t len)
{
	sim_mix(s, pr_hash64(p, len, 0));
}

bool sim_run_one(struct sim *s)
{
	struct sim_event *e;

	if (s->heap_count == 0)
		return false;
	e = pop(s);
	s->now_us = e->at_us;
	sim_mix(s, e->at_us + e->order * 31);
	if (e->node && gen_of(s, e->node) != e->gen) {
		if (e->drop)
			e->drop(s, e);
	} else if (e->node && *paused_until(s, e->node) > s->now_us) {
		park(s, e);
		return true;
	} else {
		e->fn(s, e);
	}
	free(e->p);
	free(e);
	return true;
}

void sim_note(struct sim *s, const char *format, ...)
{
	va_list args;
	char line[600];

	if (!s->trace)
		return;
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	printf("%10.3f ms  %s\n", (double)s->now_us / 1000.0, line);
}

void sim_fail(struct sim *s, const char *rule, const char *format, ...)
{
	va_list args;

	if (s->violation)
		return;
	s->violation = rule;
	va_start(args, format);
	vsnprintf(s->why, sizeof(s->why), format, args);
	va_end(args);
	sim_note(s, "VIOLATION of %s: %s", rule, s->why);
}
