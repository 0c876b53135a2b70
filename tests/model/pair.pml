/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The pair protocol, to be searched exhaustively: tests/model/run. */
#include "bugs.pml"
#include "state.pml"
#include "check.pml"
#include "acts.pml"
#include "record.pml"

active [2] proctype Controller()
{
	bit n = _pid;
end:	do
#include "active.pml"
#include "switchover.pml"
#include "standby.pml"
#include "resync.pml"
#include "promotion.pml"
#include "arbiter.pml"
#include "world.pml"
	:: n == 0 && timeout ->
		assert(nd[0].st == SYNC || nd[1].st == SYNC || (!alone && FIRST != 2)); /* rest: nothing moves, and no SYNC */
		assert(seens == nd[0].tail && seens == nd[1].tail); /* rest: nothing moves, and something waits */
		break
	od
}
