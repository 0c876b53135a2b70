/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>
#include <string.h>

#include "controller/io/promotion.h"

/* What controllers say: after the death of a peer, after it handed over, at the first start. */
static const char killed[] =
	"{\"node\": 2, \"role\": \"active\", \"promotion\": {\"heard_ms\": 990, \"missed_ms\": 1000, \"gone_ms\": 1002,"
	" \"dead_ms\": 1002, \"asked_ms\": 1200, \"journal_ms\": 1201, \"arbiter_ms\": 1203, \"fenced_ms\": 1203,"
	" \"verified_ms\": 1205, \"active_ms\": 1210, \"first_client_op_ms\": 1300}}";
static const char heir[] =
	"{\"node\": 1, \"role\": \"active\", \"promotion\": {\"heard_ms\": 1990, \"missed_ms\": 2001, \"asked_ms\": 2000,"
	" \"arbiter_ms\": 2003, \"verified_ms\": 2003, \"active_ms\": 2004}}";
static const char first_ever[] =
	"{\"node\": 1, \"role\": \"active\", \"promotion\": {\"asked_ms\": 500, \"journal_ms\": 500, \"arbiter_ms\": 501,"
	" \"fenced_ms\": 501, \"verified_ms\": 502, \"active_ms\": 503}}";
static const char standby[] =
	"{\"node\": 1, \"role\": \"standby\", \"promotion\": {\"active_ms\": 0}}";

static char text[600];

/* The sentence of one controller, and of a supervisor if that is not NULL. */
static const char *say(const char *controller, const char *supervisor)
{
	json_t *list = json_array(), *s = supervisor ? json_loads(supervisor, 0, NULL) : NULL, *p;

	json_array_append_new(list, json_loads(controller, 0, NULL));
	p = promotion_of(list, s);
	promotion_text(p, text, sizeof(text));
	json_decref(p);
	json_decref(s);
	json_decref(list);
	return text;
}

Test(promotion, death_that_the_membership_told_begins_with_the_peers_last_word)
{
	cr_assert_str_eq(
		say(killed, NULL),
		"last promotion: node 2 after a death; noticed 10 ms, membership 12 ms, peer fenced 12 ms, "
		"ordered 210 ms, journal verified 211 ms, arbiter read 213 ms, arbiter written 215 ms, "
		"active 220 ms, first client operation 310 ms after it");
}

Test(promotion, supervisors_word_of_a_death_goes_before_the_controllers)
{
	cr_assert(
		strstr(say(killed, "{\"outage_ms\": 995, \"noticed_ms\": 996}"), "noticed 1 ms, "));
}

Test(promotion, heir_was_not_promoted_by_a_death)
{
	cr_assert_str_eq(
		say(heir, NULL),
		"last promotion: node 1 after a switchover; noticed 0 ms, ordered 0 ms, arbiter read 3 ms, "
		"arbiter written 3 ms, active 4 ms after it");
}

Test(promotion, fence_that_was_asked_stands_between_membership_and_proof)
{
	static const char fenced[] =
		"{\"node\": 2, \"role\": \"active\", \"promotion\": {\"heard_ms\": 100, \"missed_ms\": 1100, \"gone_ms\": 1300,"
		" \"fence_asked_ms\": 1310, \"dead_ms\": 1400, \"asked_ms\": 1500, \"fenced_ms\": 1501, \"active_ms\": 1510}}";

	cr_assert_str_eq(
		say(fenced, NULL),
		"last promotion: node 2 after a death; noticed 1000 ms, membership 1200 ms, fence asked 1210 ms, "
		"peer fenced 1300 ms, ordered 1400 ms, active 1410 ms after it");
}

Test(promotion, first_start_has_no_cause_but_the_order)
{
	cr_assert(strstr(say(first_ever, NULL),
			 "node 1 after a start; noticed 0 ms, ordered 0 ms, "));
}

Test(promotion, controller_that_is_not_active_has_none)
{
	cr_assert_str_empty(say(standby, NULL));
}
