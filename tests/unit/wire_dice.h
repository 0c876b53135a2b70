/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Chance for tests: the same from the same seed. */
#pragma once

#include <stdint.h>

struct dice {
	uint64_t state;
};

static inline uint64_t roll(struct dice *d)
{
	uint64_t z = (d->state += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static inline uint32_t roll_below(struct dice *d, uint32_t n)
{
	return (uint32_t)(roll(d) % n);
}

/* Often an extreme, otherwise anything. */
static inline uint64_t roll_number(struct dice *d)
{
	static const uint64_t special[] = {0, 1, 0x7f, 0xff, 0xffff, 0x7fffffff, UINT64_MAX};

	if (roll_below(d, 3) == 0)
		return special[roll_below(d, sizeof(special) / sizeof(special[0]))];
	return roll(d) >> roll_below(d, 64);
}
