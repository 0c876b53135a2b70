/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "controller/io/promotion.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* What began it, and when; both times in ms of CLOCK_BOOTTIME. */
struct cause {
	const char *name;
	json_int_t event, noticed;
};

static json_int_t number(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

static const json_t *active_of(const json_t *controllers)
{
	const char *role;
	json_t *c;
	size_t i;

	json_array_foreach(controllers, i, c)
	{
		role = json_string_value(json_object_get(c, "role"));
		if (role && strcmp(role, "active") == 0)
			return c;
	}
	return NULL;
}

static json_t *since(json_int_t at, json_int_t event)
{
	return at >= event && at > 0 ? json_integer(at - event) : json_null();
}

/* An heir (T9) needs no proof of a death: the one before it handed over. */
static bool is_heir(const json_t *p)
{
	return number(p, "verified_ms") && !number(p, "fenced_ms");
}

/*
 * A death that the supervisor saw, or, without one, the controller itself, from the last word of its peer on; or an order to
 * switch over: whichever came last before it became active. Without any the order to promote.
 */
static struct cause find_cause(const json_t *controllers, const json_t *supervisor, const json_t *p)
{
	json_int_t active = number(p, "active_ms"), at = number(supervisor, "outage_ms");
	struct cause c = {.name = "start"};
	json_t *o;
	size_t i;

	if (at && at <= active)
		c = (struct cause){"death", at, number(supervisor, "noticed_ms")};
	else if (number(p, "heard_ms") && !is_heir(p))
		c = (struct cause){"death", number(p, "heard_ms"), number(p, "missed_ms")};
	json_array_foreach(controllers, i, o)
	{
		at = number(o, "handover_asked_ms");
		if (at && at <= active && at > c.event)
			c = (struct cause){"switchover", at, at};
	}
	if (c.event)
		return c;
	at = number(p, "asked_ms") ? number(p, "asked_ms") : active;
	return (struct cause){is_heir(p) ? "switchover" : "start", at, at};
}

json_t *promotion_of(const json_t *controllers, const json_t *supervisor)
{
	static const struct {
		const char *name, *from;
	} steps[] = {
		{"membership_ms", "gone_ms"},
		{"fence_asked_ms", "fence_asked_ms"},
		{"asked_ms", "asked_ms"},
		{"journal_ms", "journal_ms"},
		{"arbiter_ms", "arbiter_ms"},
		{"fenced_ms", "fenced_ms"},
		{"verified_ms", "verified_ms"},
		{"promote_ms", "active_ms"},
		{"first_client_op_ms", "first_client_op_ms"},
	};
	const json_t *a = active_of(controllers), *p = json_object_get(a, "promotion");
	struct cause c;
	json_t *o;

	if (!number(p, "active_ms"))
		return json_null();
	c = find_cause(controllers, supervisor, p);
	o = json_pack("{s:s,s:O,s:I,s:o}", "cause", c.name, "node", json_object_get(a, "node"),
		      "event_ms", c.event, "detect_ms", since(c.noticed, c.event));
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
		json_object_set_new(o, steps[i].name, since(number(p, steps[i].from), c.event));
	/* Pacemaker may have had the proof before it ordered anything. */
	if (number(p, "dead_ms") >= c.event && number(p, "dead_ms"))
		json_object_set_new(o, "fenced_ms", since(number(p, "dead_ms"), c.event));
	return o;
}

/* In the order in which they came. */
void promotion_text(const json_t *p, char *out, size_t size)
{
	static const struct {
		const char *key, *what;
	} steps[] = {
		{"detect_ms", "noticed"},	   {"membership_ms", "membership"},
		{"fence_asked_ms", "fence asked"}, {"fenced_ms", "peer fenced"},
		{"asked_ms", "ordered"},	   {"journal_ms", "journal verified"},
		{"arbiter_ms", "arbiter read"},	   {"verified_ms", "arbiter written"},
		{"promote_ms", "active"},	   {"first_client_op_ms", "first client operation"},
	};
	enum { STEPS = sizeof(steps) / sizeof(steps[0]) };
	bool said[STEPS] = {0};
	const char *comma = "";
	size_t n = 0;

	out[0] = '\0';
	if (!json_is_object(p))
		return;
	n = (size_t)snprintf(out, size,
			     "last promotion: node %" JSON_INTEGER_FORMAT " after a %s; ",
			     number(p, "node"), json_string_value(json_object_get(p, "cause")));
	for (;;) {
		size_t next = STEPS;

		for (size_t i = 0; i < STEPS; i++)
			if (!said[i] && json_is_integer(json_object_get(p, steps[i].key)) &&
			    (next == STEPS || number(p, steps[i].key) < number(p, steps[next].key)))
				next = i;
		if (next == STEPS || n >= size)
			break;
		said[next] = true;
		n += (size_t)snprintf(out + n, size - n, "%s%s %" JSON_INTEGER_FORMAT " ms", comma,
				      steps[next].what, number(p, steps[next].key));
		comma = ", ";
	}
	if (n < size)
		snprintf(out + n, size - n, " after it");
}
