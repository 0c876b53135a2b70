/* SPDX-License-Identifier: GPL-2.0-or-later */
/* S3, a damaged batch: what the peer gives for it, and what it does not. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include "tests/unit/ha_rig.h"

/* A log of three batches whose second is damaged; the peer has been asked for it. */
static void asked(void)
{
	struct pr_hash hash;

	pair_start(3, 2);
	pair_log_of(3);
	pair_boot_as(0, JR_REPAIR);
	hash = pair.log[2]->hash;
	pair_link_up();
	cr_assert(!pair_saw("link_batch_ask"), "nothing is asked of a stranger");
	pair_hello(PR_ROLE_ACTIVE, HA_INSYNC, 4, 3, &hash);
	cr_assert_eq(pair_count("link_batch_ask"), 1);
}

static void give(uint64_t lsn, bool known, const struct jr_batch *b, uint32_t bytes)
{
	SAY(BATCH_GIVE, batch_give, .lsn = lsn, .known = known,
	    .image = {b ? b->image : NULL, bytes});
}

static void refused_for_good(void)
{
	cr_assert(!pair_saw("repair 2") && !pair_saw("alarm JOURNAL 0"));
	pair_fenced();
	pair_event((struct ha_event){.type = HA_EV_PROMOTE});
	cr_assert_eq(pair.result, -EPERM);
	cr_assert(strstr(pair.text, "the peer does not have it"), "%s", pair.text);
	pair_end();
}

Test(ha_pair, s3_what_is_given_must_be_whole_and_hold_the_lsn)
{
	struct jr_batch *b;

	asked(); /* it has none */
	give(2, false, NULL, 0);
	refused_for_good();
	asked(); /* cut short */
	b = pair.log[1];
	give(2, true, b, b->image_bytes - 1);
	refused_for_good();
	asked(); /* one that begins behind it */
	b = pair.log[2];
	give(2, true, b, b->image_bytes);
	refused_for_good();
	asked(); /* one that ends before it */
	b = pair.log[0];
	give(2, true, b, b->image_bytes);
	refused_for_good();
}

Test(ha_pair, s3_an_answer_to_another_question_is_none)
{
	asked();
	give(3, true, pair.log[2], pair.log[2]->image_bytes);
	give(1, false, NULL, 0);
	cr_assert(!pair_saw("repair 3") && !pair_saw("repair 2"));
	give(2, true, pair.log[1], pair.log[1]->image_bytes);
	cr_assert(pair_saw("repair 2") && pair_saw("alarm JOURNAL 0"));
	give(2, true, pair.log[1], pair.log[1]->image_bytes);
	cr_assert_eq(pair_count("repair 2"), 1, "nothing is damaged any more");
}

Test(ha_pair, s3_who_comes_back_is_asked_again)
{
	struct pr_hash hash;

	asked();
	pair_event((struct ha_event){.type = HA_EV_LINK_DOWN, .conn = pair.conn});
	pair_link_up();
	hash = pair.log[2]->hash;
	pair_hello(PR_ROLE_ACTIVE, HA_INSYNC, 4, 3, &hash);
	cr_assert_eq(pair_count("link_batch_ask"), 2);
	SAY(SESSION, session, .epoch = 4, .link = 7, .base_lsn = 3,
	    .base_hash = pr_hash_bytes(&hash), .kind = PR_LINK_INSYNC);
	cr_assert(!pair_saw("link_session_ok"), "no session on a damaged log");
	give(2, true, pair.log[1], pair.log[1]->image_bytes);
	SAY(SESSION, session, .epoch = 4, .link = 7, .base_lsn = 3,
	    .base_hash = pr_hash_bytes(&hash), .kind = PR_LINK_INSYNC);
	cr_assert(pair_saw("link_session_ok"));
}

Test(ha_pair, s3_the_end_of_a_repair_that_is_none_changes_nothing)
{
	pair_standby_in_sync(3);
	pair_event((struct ha_event){
		.type = HA_EV_REPAIRED, .lsn = 2, .error = -EILSEQ, .text = "another batch"});
	cr_assert(!pair_saw("alarm JOURNAL 1"));
	cr_assert_geq(pair.score, 100);
	cr_assert_eq(ha_batches_in_flight(pair.h), 0);
}
