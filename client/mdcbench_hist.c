/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Latencies in a fixed table: 128 steps for each power of two. */
#include "client/mdcbench.h"

static size_t bucket_of(uint64_t ns)
{
	unsigned shift;

	if (ns < 256)
		return ns;
	shift = 56 - __builtin_clzll(ns); /* the highest 8 bits stay */
	if (shift >= 38)
		return MB_BUCKETS - 1;
	return 128 + shift * 128 + ((ns >> shift) & 127);
}

static double middle_of(size_t bucket)
{
	unsigned shift;

	if (bucket < 256)
		return bucket;
	shift = bucket / 128 - 1;
	return (double)((128 + bucket % 128) << shift) + (double)(1ull << shift) / 2;
}

void mb_hist_add(struct mb_hist *h, uint64_t ns)
{
	h->bucket[bucket_of(ns)]++;
	h->count++;
	if (ns > h->max_ns)
		h->max_ns = ns;
}

double mb_hist_us(const struct mb_hist *h, double share)
{
	uint64_t wanted = (uint64_t)(share * (double)h->count), seen = 0;

	for (size_t i = 0; i < MB_BUCKETS; i++) {
		seen += h->bucket[i];
		if (seen > wanted)
			return middle_of(i) / 1000;
	}
	return (double)h->max_ns / 1000;
}
