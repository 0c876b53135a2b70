/* SPDX-License-Identifier: GPL-2.0-or-later OR LGPL-2.1-or-later */
#include "proto/crc32c.h"

#include <stdbool.h>
#include <string.h>

#include "proto/cursor.h"

/*
 * The table's entry for a byte is the exclusive or of the entries for its bits, so eight constants
 * make all 256 and the compiler folds them: nothing to type wrongly, nothing to initialise.
 */
#define E1(i)                                                          \
	(((i)&0x01 ? 0xf26b8303u : 0) ^ ((i)&0x02 ? 0xe13b70f7u : 0) ^ \
	 ((i)&0x04 ? 0xc79a971fu : 0) ^ ((i)&0x08 ? 0x8ad958cfu : 0) ^ \
	 ((i)&0x10 ? 0x105ec76fu : 0) ^ ((i)&0x20 ? 0x20bd8edeu : 0) ^ \
	 ((i)&0x40 ? 0x417b1dbcu : 0) ^ ((i)&0x80 ? 0x82f63b78u : 0))
#define E4(i)  E1(i), E1(i + 1), E1(i + 2), E1(i + 3)
#define E16(i) E4(i), E4(i + 4), E4(i + 8), E4(i + 12)
#define E64(i) E16(i), E16(i + 16), E16(i + 32), E16(i + 48)

static const uint32_t table[256] = {E64(0), E64(64), E64(128), E64(192)};

uint32_t pr_crc32c_table(uint32_t crc, const void *p, size_t len)
{
	const uint8_t *s = p;

	crc = ~crc;
	while (len-- > 0)
		crc = table[(uint8_t)crc ^ *s++] ^ (crc >> 8);
	return ~crc;
}

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>

/*
 * The instruction has an answer each cycle but takes three to find it: three lanes side by side keep it busy. A lane's crc is moved
 * on over the lanes behind it by a product without carries: PAST_n is x^(8n - 33) modulo the polynomial, bits reversed.
 */
enum { LANE = 128, LANES = 3 * LANE };
#define PAST_LANE  0x0d3b6092
#define PAST_LANES 0xb9e02b86

__attribute__((target("sse4.2,pclmul"))) static uint64_t three_lanes(uint64_t a, const uint8_t *s)
{
	const __m128i past = _mm_set_epi64x(PAST_LANES, PAST_LANE);
	uint64_t b = 0, c = 0;
	__m128i t;

	for (int i = 0; i < LANE - 8; i += 8) {
		a = _mm_crc32_u64(a, pr_load64(s + i));
		b = _mm_crc32_u64(b, pr_load64(s + LANE + i));
		c = _mm_crc32_u64(c, pr_load64(s + 2 * LANE + i));
	}
	a = _mm_crc32_u64(a, pr_load64(s + LANE - 8));
	b = _mm_crc32_u64(b, pr_load64(s + 2 * LANE - 8));
	t = _mm_xor_si128(_mm_clmulepi64_si128(_mm_cvtsi64_si128((long long)a), past, 0x10),
			  _mm_clmulepi64_si128(_mm_cvtsi64_si128((long long)b), past, 0x00));
	return _mm_crc32_u64(c, pr_load64(s + LANES - 8) ^ (uint64_t)_mm_cvtsi128_si64(t));
}

__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(uint32_t crc, const uint8_t *s,
							       size_t len)
{
	uint64_t c = ~crc;

	for (; len >= LANES; s += LANES, len -= LANES)
		c = three_lanes(c, s);
	for (; len >= 8; s += 8, len -= 8)
		c = _mm_crc32_u64(c, pr_load64(s));
	if (len >= 4) {
		c = _mm_crc32_u32((uint32_t)c, pr_load32(s));
		s += 4;
		len -= 4;
	}
	while (len-- > 0)
		c = _mm_crc32_u8((uint32_t)c, *s++);
	return ~(uint32_t)c;
}

/* Asked once; threads that ask at the same moment find the same answer. */
static bool have_sse42(void)
{
	static int known; /* 0 not asked, 1 yes, -1 no */
	int have = __atomic_load_n(&known, __ATOMIC_RELAXED);

	if (have == 0) {
		unsigned int a, b, c = 0, d;

		have = __get_cpuid(1, &a, &b, &c, &d) && (c & bit_SSE4_2) && (c & bit_PCLMUL) ? 1
											      : -1;
		__atomic_store_n(&known, have, __ATOMIC_RELAXED);
	}
	return have > 0;
}
#else
static bool have_sse42(void)
{
	return false;
}

static uint32_t crc32c_sse42(uint32_t crc, const uint8_t *s, size_t len)
{
	return pr_crc32c_table(crc, s, len);
}
#endif

uint32_t pr_crc32c_more(uint32_t crc, const void *p, size_t len)
{
	return have_sse42() ? crc32c_sse42(crc, p, len) : pr_crc32c_table(crc, p, len);
}

const char *pr_crc32c_engine(void)
{
	return have_sse42() ? "sse4.2" : "table";
}
