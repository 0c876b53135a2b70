/* SPDX-License-Identifier: GPL-2.0-or-later OR LGPL-2.1-or-later */
/*
 * CRC-32C (Castagnoli; RFC 3720 appendix B.4), by the processor's instruction where it has one.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* The CRC of what had CRC crc, followed by these bytes; 0 is the CRC of nothing. */
uint32_t pr_crc32c_more(uint32_t crc, const void *p, size_t len);

static inline uint32_t pr_crc32c(const void *p, size_t len)
{
	return pr_crc32c_more(0, p, len);
}

/* The portable way, for tests against the other. */
uint32_t pr_crc32c_table(uint32_t crc, const void *p, size_t len);
/* "sse4.2" or "table": what pr_crc32c_more uses on this machine. */
const char *pr_crc32c_engine(void);
