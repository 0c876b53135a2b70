/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The world of a seed, its trace, its chance and its time. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include "tests/sim/ha_sim.h"

struct hs_world world;
bool hs_trace;
jmp_buf hs_failed;
char hs_failure[512];
const uint8_t hs_cluster[16] = "simulated pair!";

void hs_say(const char *f, ...)
{
	va_list ap;

	if (!hs_trace)
		return;
	printf("%10.3f  ", (double)world.now_us / 1000);
	va_start(ap, f);
	vprintf(f, ap);
	va_end(ap);
	putchar('\n');
}

void hs_fail(const char *f, ...)
{
	va_list ap;

	va_start(ap, f);
	vsnprintf(hs_failure, sizeof(hs_failure), f, ap);
	va_end(ap);
	longjmp(hs_failed, 1);
}

uint64_t hs_random(void)
{
	uint64_t z = (world.rng += 0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

uint64_t hs_upto(uint64_t n)
{
	return n ? hs_random() % n : 0;
}

bool hs_chance(unsigned permille)
{
	return hs_upto(1000) < permille;
}

static bool before(const struct hs_event *a, const struct hs_event *b)
{
	return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

struct hs_event *hs_later(uint64_t delay_us, enum hs_event_kind kind, unsigned node)
{
	unsigned i;
	struct hs_event e = {.at_us = world.now_us + delay_us,
			     .order = ++world.order,
			     .kind = kind,
			     .node = (uint8_t)node};

	if (world.heap_n == world.heap_cap) {
		world.heap_cap = world.heap_cap ? world.heap_cap * 2 : 1024;
		world.heap = realloc(world.heap, world.heap_cap * sizeof(*world.heap));
	}
	i = world.heap_n++;
	while (i && before(&e, &world.heap[(i - 1) / 2])) {
		world.heap[i] = world.heap[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	world.heap[i] = e;
	return &world.heap[i];
}

struct hs_event *hs_for_node(uint64_t delay_us, enum hs_event_kind kind, struct hs_node *n)
{
	struct hs_event *e = hs_later(delay_us, kind, hs_index(n));

	e->incarnation = n->incarnation;
	return e;
}

bool hs_pop(struct hs_event *ret)
{
	unsigned i = 0;
	struct hs_event last;

	if (!world.heap_n)
		return false;
	*ret = world.heap[0];
	last = world.heap[--world.heap_n];
	for (;;) {
		unsigned c = 2 * i + 1;

		if (c >= world.heap_n)
			break;
		if (c + 1 < world.heap_n && before(&world.heap[c + 1], &world.heap[c]))
			c++;
		if (!before(&world.heap[c], &last))
			break;
		world.heap[i] = world.heap[c];
		i = c;
	}
	world.heap[i] = last;
	return true;
}
