/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Making a volume: reads the labels of its LUNs, has the active controller create it in one record,
 * then writes into each label which volume it is part of. Begun again after an interruption, it
 * finishes what is missing.
 */
#pragma once

#include <stdint.h>

#include "controller/io/pair_status.h"

/* luns: names of LUNs of the configuration, separated by commas. 0, or -errno and a sentence. */
int volume_tool_create(const struct pair_place *, const char *name, const char *luns, char *why,
		       size_t size);
/* The same, but a volume of that name that is there already is fine. */
int volume_tool_ensure(const struct pair_place *, const char *name, const char *luns, char *why,
		       size_t size);
/* The LUNs of the configuration with their labels, as a JSON array. */
int volume_tool_luns(const struct pair_place *, json_t **ret, char *why, size_t size);
