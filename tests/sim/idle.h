/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A seed in which too little happened shows too little. Some may: one, and one of a hundred; more, and the run fails. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

static inline bool idle_too_many(uint64_t idle, uint64_t seeds)
{
	return idle > 1 + seeds / 100;
}
