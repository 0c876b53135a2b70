/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The pair protocol, to be searched exhaustively: tests/model/run. */
#include "bugs.pml"
#include "state.pml"
#include "check.pml"
#include "acts.pml"
#include "record.pml"

proctype Controller(bit n)
{
end:	do
#include "active.pml"
#include "standby.pml"
#include "resync.pml"
#include "promotion.pml"
#include "arbiter.pml"
#include "world.pml"
	od
}

/* When nothing can move any more, the pair serves, in SYNC, and nothing waits. */
proctype Rest()
{
	timeout ->
	assert(writes == WRITES && (nd[0].st == SYNC || nd[1].st == SYNC)); /* rest: nothing moves, and no SYNC */
	assert(seens == nd[0].tail && seens == nd[1].tail) /* rest: nothing moves, and something waits */
}

init {
	atomic {
		copy[0] = RECORD(1, 1, 3, 0);
		copy[1] = copy[0];
		nd[0].st = STANDBY;
		nd[0].epoch = 1;
		nd[1].st = STANDBY;
		nd[1].epoch = 1;
		alone = 1;
		run Controller(0);
		run Controller(1);
		run Rest()
	}
}
