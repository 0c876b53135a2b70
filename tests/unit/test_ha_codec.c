/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include "ha/core/ha.h"

static struct ha_state sample(uint64_t seq)
{
	struct ha_state s = {
		.cluster = "a cluster's uuid",
		.node = 2,
		.dstate = HA_SYNCTARGET,
		.epoch = 7,
		.log_epoch = 6,
		.seq = seq,
		.fault_flags = 1,
		.overrides = 3,
		.history_count = 2,
	};

	s.history[0] = (struct ha_history){.epoch = 5, .first_lsn = 1, .members = 1, .reason = 1};
	s.history[1] = (struct ha_history){.epoch = 6,
					   .first_lsn = 90,
					   .hash = {"0123456789abcde"},
					   .members = 3,
					   .reason = 3};
	return s;
}

Test(ha_codec, a_state_comes_back_as_it_was)
{
	uint8_t bytes[HA_STATE_BYTES];
	struct ha_state s = sample(9), t;

	ha_state_encode(bytes, &s);
	cr_assert_eq(ha_state_decode(&t, bytes), 0);
	cr_assert_eq(memcmp(&s, &t, sizeof(s)), 0);
}

Test(ha_codec, a_full_history_fits)
{
	uint8_t bytes[HA_STATE_BYTES];
	struct ha_state s = sample(9), t;

	s.history_count = HA_HISTORY_MAX;
	for (unsigned i = 0; i < HA_HISTORY_MAX; i++)
		s.history[i].epoch = i + 1;
	ha_state_encode(bytes, &s);
	cr_assert_eq(ha_state_decode(&t, bytes), 0);
	cr_assert_eq(t.history[HA_HISTORY_MAX - 1].epoch, HA_HISTORY_MAX);
}

Test(ha_codec, each_flipped_bit_of_a_state_is_seen)
{
	uint8_t bytes[HA_STATE_BYTES];
	struct ha_state s = sample(9), t;

	ha_state_encode(bytes, &s);
	for (unsigned i = 0; i < HA_STATE_BYTES; i++) {
		bytes[i] ^= 1 << (i & 7);
		cr_assert_eq(ha_state_decode(&t, bytes), -EBADMSG, "byte %u", i);
		bytes[i] ^= 1 << (i & 7);
	}
}

Test(ha_codec, a_reserved_byte_of_a_state_that_is_not_zero_is_refused)
{
	static const unsigned at[] = {16,	    23,		 72 + 34,	    72 + 39,
				      72 + 40 + 34, 72 + 2 * 40, HA_STATE_BYTES - 1};
	uint8_t bytes[HA_STATE_BYTES];
	struct ha_state s = sample(9), t;

	ha_state_encode(bytes, &s);
	for (unsigned i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		bytes[at[i]] = 1;
		pr_store32(bytes, pr_crc32c(bytes + 4, HA_STATE_BYTES - 4));
		cr_assert_eq(ha_state_decode(&t, bytes), -EBADMSG, "byte %u", at[i]);
		bytes[at[i]] = 0;
	}
	pr_store32(bytes, pr_crc32c(bytes + 4, HA_STATE_BYTES - 4));
	cr_assert_eq(ha_state_decode(&t, bytes), 0);
}

Test(ha_codec, two_agreeing_copies_open_and_one_does_not)
{
	static uint8_t copy[4][HA_STATE_BYTES];
	const uint8_t *p[4] = {copy[0], copy[1], copy[2], copy[3]};
	struct ha_state s = sample(9), t;
	unsigned others;

	for (unsigned i = 0; i < 4; i++)
		ha_state_encode(copy[i], &s);
	cr_assert_eq(ha_state_pick(&t, p, &others), 0);
	cr_assert_eq(others, 0);
	copy[0][100] ^= 1;
	p[3] = NULL;
	cr_assert_eq(ha_state_pick(&t, p, &others), 0);
	cr_assert_eq(others, 1 << 0 | 1 << 3);
	copy[1][100] ^= 1;
	cr_assert_eq(ha_state_pick(&t, p, &others), -EUCLEAN);
	cr_assert_eq(others, 0);
}

Test(ha_codec, a_write_that_reached_one_copy_did_not_happen)
{
	static uint8_t copy[4][HA_STATE_BYTES];
	const uint8_t *const p[4] = {copy[0], copy[1], copy[2], copy[3]};
	struct ha_state old = sample(9), new = sample(10), t;

	new.epoch = 8;
	ha_state_encode(copy[0], &new);
	for (unsigned i = 1; i < 4; i++)
		ha_state_encode(copy[i], &old);
	cr_assert_eq(ha_state_pick(&t, p, NULL), 0);
	cr_assert_eq(t.epoch, 7);
	ha_state_encode(copy[1], &new);
	cr_assert_eq(ha_state_pick(&t, p, NULL), 0);
	cr_assert_eq(t.epoch, 8);
}

Test(ha_codec, of_two_states_with_two_copies_each_the_newer_counts)
{
	static uint8_t copy[4][HA_STATE_BYTES];
	const uint8_t *const p[4] = {copy[0], copy[1], copy[2], copy[3]};
	struct ha_state older = sample(9), newer = sample(10), t;

	newer.epoch = 8;
	for (unsigned first = 0; first < 4; first += 2) {
		for (unsigned i = 0; i < 4; i++)
			ha_state_encode(copy[(first + i) % 4], i < 2 ? &newer : &older);
		cr_assert_eq(ha_state_pick(&t, p, NULL), 0);
		cr_assert_eq(t.epoch, 8);
	}
}

Test(ha_codec, blank_copies_are_a_new_node)
{
	static uint8_t copy[4][HA_STATE_BYTES];
	const uint8_t *const p[4] = {copy[0], copy[1], copy[2], copy[3]};
	const uint8_t *const none[4] = {NULL, NULL, NULL, NULL};
	struct ha_state s = sample(1), t;

	cr_assert_eq(ha_state_pick(&t, p, NULL), -ENOENT);
	ha_state_encode(copy[2], &s);
	cr_assert_eq(ha_state_pick(&t, p, NULL), -ENOENT, "the first write never finished");
	memcpy(copy[3], copy[2], 20);
	cr_assert_eq(ha_state_pick(&t, p, NULL), -ENOENT, "it tore the next one");
	copy[1][0] = 1;
	cr_assert_eq(ha_state_pick(&t, p, NULL), -EUCLEAN, "no write tears two");
	cr_assert_eq(ha_state_pick(&t, none, NULL), -EUCLEAN);
}

Test(ha_codec, an_arbiter_record_comes_back_and_damage_is_seen)
{
	uint8_t bytes[HA_ARBITER_BYTES];
	struct ha_arbiter a = {.cluster = "a cluster's uuid",
			       .seq = 3,
			       .epoch = 9,
			       .members = 2,
			       .active = 2},
			  b;

	ha_arbiter_encode(bytes, &a);
	cr_assert_eq(ha_arbiter_decode(&b, bytes), 0);
	cr_assert_eq(memcmp(a.cluster, b.cluster, sizeof(a.cluster)), 0);
	cr_assert(a.seq == b.seq && a.epoch == b.epoch);
	cr_assert(a.members == b.members && a.active == b.active);
	for (unsigned i = 0; i < HA_ARBITER_BYTES; i++) {
		bytes[i] ^= 0x40;
		cr_assert_eq(ha_arbiter_decode(&b, bytes), -EBADMSG, "byte %u", i);
		bytes[i] ^= 0x40;
	}
}

/* which copy: n newer, o older, b bad, z blank, - unreadable */
static const struct {
	const char *copies;
	int result, rewrite;
	uint64_t seq;
} picks[] = {
	{"nn", 0, -1, 2},	 {"no", 0, 1, 2},	  {"on", 0, 0, 2},
	{"nb", 0, 1, 2},	 {"bn", 0, 0, 2},	  {"ob", 0, 1, 1},
	{"bo", 0, 0, 1},	 {"n-", 0, 1, 2},	  {"-o", 0, 0, 1},
	{"nz", 0, 1, 2},	 {"zo", 0, 0, 1},	  {"zz", -ENOENT, -1, 0},
	{"bb", -EUCLEAN, -1, 0}, {"bz", -EUCLEAN, -1, 0}, {"z-", -EUCLEAN, -1, 0},
	{"--", -EUCLEAN, -1, 0}, {"nx", -EUCLEAN, -1, 0},
};

Test(ha_codec, of_two_arbiter_copies_the_newer_sound_one_counts)
{
	for (unsigned i = 0; i < sizeof(picks) / sizeof(picks[0]); i++) {
		uint8_t copy[2][HA_ARBITER_BYTES];
		const uint8_t *p[2];
		struct ha_arbiter got = {0};
		int rewrite = 7;

		for (unsigned c = 0; c < 2; c++) {
			struct ha_arbiter a = {.seq = 2, .epoch = 4, .members = 3, .active = 1};
			char kind = picks[i].copies[c];

			a.seq -= kind == 'o';
			a.members -= kind == 'x'; /* another record of the same seq */
			ha_arbiter_encode(copy[c], &a);
			copy[c][300] ^= kind == 'b';
			if (kind == 'z')
				memset(copy[c], 0, sizeof(copy[c]));
			p[c] = kind == '-' ? NULL : copy[c];
		}
		cr_assert_eq(ha_arbiter_pick(&got, p, &rewrite), picks[i].result, "%s",
			     picks[i].copies);
		cr_assert_eq(rewrite, picks[i].rewrite, "%s", picks[i].copies);
		cr_assert_eq(got.seq, picks[i].seq, "%s", picks[i].copies);
	}
}

Test(ha_codec, a_floor_of_another_cluster_is_none)
{
	uint8_t bytes[HA_ARBITER_BYTES];
	uint8_t mine[16] = "one", other[16] = "another";
	uint64_t epoch, lsn;

	ha_floor_encode(bytes, mine, 3, 77);
	cr_assert_eq(ha_floor_decode(bytes, mine, &epoch, &lsn), 0);
	cr_assert(epoch == 3 && lsn == 77);
	cr_assert_eq(ha_floor_decode(bytes, other, &epoch, &lsn), -EBADMSG);
}

/* ---- the timing table ---- */

static struct ha_config sound(void)
{
	return (struct ha_config){
		.node = 1,
		.beat_ms = 50,
		.lease_ms = 500,
		.drop_ms = 5000,
		.link_dead_ms = 1000,
		.in_flight = 2,
		.drift_ppm = 1000,
		.fabric_fencing = true,
		.takeover_wait_ms = 600,
	};
}

Test(ha_timing, the_old_active_is_silent_before_its_successor_acts)
{
	struct ha_config c = sound();
	struct ha_timing t;
	char why[160] = "";

	cr_assert_eq(ha_config_check(&c, &t, why), 0, "%s", why);
	cr_assert_eq(t.silent_ms, 501);
	cr_assert_eq(t.noticed_ms, 1050);
	cr_assert_lt(t.silent_ms, t.successor_ms);
}

Test(ha_timing, a_configuration_where_both_could_act_is_refused)
{
	struct ha_config c = sound();
	char why[160];

	c.takeover_wait_ms = 501;
	cr_assert_eq(ha_config_check(&c, NULL, why), -EINVAL);
	cr_assert(strstr(why, "takeover_wait_ms"));
	cr_assert_null(ha_new(&c));
	c.takeover_wait_ms = 502;
	cr_assert_eq(ha_config_check(&c, NULL, why), 0);
	c.drift_ppm = 10000;
	cr_assert_eq(ha_config_check(&c, NULL, why), -EINVAL, "worse clocks need a longer wait");
	c.fabric_fencing = false; /* death is proven: nothing to wait for */
	cr_assert_eq(ha_config_check(&c, NULL, why), 0);
}

Test(ha_timing, numbers_that_fight_each_other_are_refused)
{
	const struct ha_config good = sound();
	struct ha_config c;
	char why[160];

#define REFUSED(field, value)                                                  \
	do {                                                                   \
		c = good;                                                      \
		c.field = (value);                                             \
		cr_assert_eq(ha_config_check(&c, NULL, why), -EINVAL, #field); \
	} while (0)
	REFUSED(node, 0);
	REFUSED(node, 3);
	REFUSED(in_flight, 0);
	REFUSED(in_flight, 9);
	REFUSED(beat_ms, 0);
	REFUSED(lease_ms, 149);
	REFUSED(link_dead_ms, 149);
	REFUSED(drop_ms, 999);
	REFUSED(drift_ppm, 100001);
}
