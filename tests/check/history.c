/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/check/history.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * All operations of one value. It stood for certain from the first answer that knew of it to the last question answered with
 * it, when these come in that order (standing); else it may have stood at one moment alone, between the two.
 */
struct zone {
	uint64_t value, low, high;
	bool standing;
};

static int compare_ops(const void *a, const void *b)
{
	const struct history_op *x = a, *y = b;

	if (x->reg != y->reg)
		return x->reg < y->reg ? -1 : 1;
	if (x->value != y->value)
		return x->value < y->value ? -1 : 1;
	return (int)y->is_write - (int)x->is_write;
}

static int compare_zones(const void *a, const void *b)
{
	const struct zone *x = a, *y = b;

	return (x->low > y->low) - (x->low < y->low);
}

static bool __attribute__((format(printf, 2, 3))) say(char *why, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(why, HISTORY_WHY_BYTES, format, ap);
	va_end(ap);
	return false;
}

/* The n operations of one value, its write first. ret_zone->low is UINT64_MAX when nobody ever knew of it. */
static bool make_zone(const struct history_op *ops, size_t n, struct zone *ret_zone, char *why)
{
	uint64_t first_answer = HISTORY_UNKNOWN, last_question = 0;
	bool is_initial = ops[0].value == 0;

	if (!is_initial && !ops[0].is_write)
		return say(why, "register %" PRIu64 ": %" PRIu64 " was read and never written",
			   ops[0].reg, ops[0].value);
	if (n > 1 && ops[1].is_write)
		return say(why,
			   "register %" PRIu64 ": %" PRIu64 " is in the history twice as a write",
			   ops[0].reg, ops[0].value);
	for (size_t i = 0; i < n; i++) {
		if (!ops[i].is_write && ops[i].answered_us < ops[0].asked_us)
			return say(why,
				   "register %" PRIu64 ": %" PRIu64
				   " was read before it was written",
				   ops[0].reg, ops[0].value);
		if (ops[i].answered_us < first_answer)
			first_answer = ops[i].answered_us;
		if ((ops[i].is_write || ops[i].answered_us != HISTORY_UNKNOWN) &&
		    ops[i].asked_us > last_question)
			last_question = ops[i].asked_us;
	}
	if (is_initial)
		first_answer = 0;
	*ret_zone = (struct zone){.value = ops[0].value, .standing = first_answer < last_question};
	ret_zone->low = ret_zone->standing ? first_answer : last_question;
	ret_zone->high = ret_zone->standing ? last_question : first_answer;
	if (first_answer == HISTORY_UNKNOWN)
		ret_zone->low = HISTORY_UNKNOWN;
	return true;
}

/* Two values never stand at once, and none comes and goes while another stands. */
static bool zones_fit(struct zone *zones, size_t n, uint64_t reg, char *why)
{
	const struct zone *standing = NULL;

	qsort(zones, n, sizeof(*zones), compare_zones);
	for (size_t i = 0; i < n && zones[i].low != HISTORY_UNKNOWN; i++) {
		if (standing && zones[i].standing && zones[i].low < standing->high)
			return say(why,
				   "register %" PRIu64 ": %" PRIu64 " was seen when %" PRIu64
				   " had replaced it",
				   reg, standing->value, zones[i].value);
		if (standing && !zones[i].standing && standing->low < zones[i].low &&
		    zones[i].high < standing->high)
			return say(why,
				   "register %" PRIu64 ": %" PRIu64
				   " was seen before and behind %" PRIu64,
				   reg, standing->value, zones[i].value);
		if (zones[i].standing)
			standing = &zones[i];
	}
	return true;
}

static size_t run_of(const struct history_op *ops, size_t n, bool same_value)
{
	size_t i = 1;

	while (i < n && ops[i].reg == ops[0].reg && (!same_value || ops[i].value == ops[0].value))
		i++;
	return i;
}

static bool register_is_linear(const struct history_op *ops, size_t n, struct zone *zones,
			       char *why)
{
	size_t count = 0, run;

	for (size_t at = 0; at < n; at += run) {
		run = run_of(ops + at, n - at, true);
		if (!make_zone(ops + at, run, &zones[count++], why))
			return false;
	}
	return zones_fit(zones, count, ops[0].reg, why);
}

bool history_is_linear(struct history_op *ops, size_t n, char why[static HISTORY_WHY_BYTES])
{
	struct zone *zones = calloc(n + 1, sizeof(*zones));
	bool linear = true;
	size_t run;

	if (!zones)
		return say(why, "no memory for %zu operations", n);
	qsort(ops, n, sizeof(*ops), compare_ops);
	for (size_t at = 0; at < n && linear; at += run) {
		run = run_of(ops + at, n - at, false);
		linear = register_is_linear(ops + at, run, zones, why);
	}
	free(zones);
	return linear;
}
