/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The times of the last promotion, from what controllers say of themselves in their status: relative to what began it, and as
 * a sentence. Asks nobody anything.
 */
#pragma once

#include <jansson.h>
#include <stddef.h>

/*
 * controllers: an array of their objects; supervisor: that of an embedded pair, or null. A new object, times in ms after event_ms, those
 * of steps that it did not need null; or null when none of them is active.
 */
json_t *promotion_of(const json_t *controllers, const json_t *supervisor);

/* "last promotion: node 2 after a death; noticed 2 ms, ..."; empty when p is null. */
void promotion_text(const json_t *p, char *out, size_t size);
