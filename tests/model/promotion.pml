/* P0 to P3. An order that is refused changes nothing, so only the others are here. */
:: d_step {
	ME.st == STANDBY && ME.durable == ME.tail && NAMED(STANDS) && (!ME.session || flaps < FLAPS) ->
	if
	:: ME.session -> flaps++; ME.session = BUG == STAYS_OPEN
	:: else
	fi;
	if
	:: !BOUND(STANDS) -> ME.vote = 0
	:: else
	fi;
	ME.known = STANDS;
	ME.st = PROOF
   }
:: d_step { ME.st == PROOF -> stand_by() }

/*
 * P2, S5: the promise, asked for by who is named, and given. An active gives none, nor who is further, nor the lower node of two that
 * promote. Who gave one asks too: the peer's own gives it back.
 */
:: d_step {
	PEER.st == PROOF && TALKING && PEER.promise == 0 && PEER.promising == 0 && ME.promising == 0 && ME.epoch <= EPOCH(PEER.known) && FREE &&
	!PEER.fenced && (MEMBERS(PEER.known) & BIT(1 - n)) && (ME.st == STANDBY || ME.st == TARGET || ME.st == PROOF && n > 1 - n) ->
	if
	:: ME.st != STANDBY -> stand_by()
	:: else
	fi;
	ME.session = false;
	ME.promise = 0;
	ME.vote = EPOCH(PEER.known) + 1;
	PEER.promising = ME.vote
   }
:: d_step {
	ME.promising ->
	if
	:: ME.st == PROOF && ME.promising == EPOCH(ME.known) + 1 ->
		ME.promise = ME.promising;
		ME.vote = 0
	:: else
	fi;
	ME.promising = 0
   }

/* P4 to P6 */
:: d_step {
	ME.st == PROOF && PROVEN && !BOUND(ME.known) && FREE && (LOCKABLE || BUG == UNFENCED) ->
	limit = EPOCH(ME.known) + (BUG != EPOCH_REUSED);
	compare_and_swap(limit, BIT(n), n);
	if
	:: ok ->
		assert(!(ACTIVE(PEER) && MEMBERS(STANDS) == 3)); /* I7: promoted while the peer is active */
		ME.st = P_CAS
	:: !ok && NAMED(ME.known) -> ME.st = PROOF
	:: else -> stand_by()
	fi
   }
/* P7 */
:: d_step {
	ME.st == P_SAVE ->
	save_epoch(n, EPOCH(ME.known));
	ME.dstate = SOLE;
	ME.vote = 0;
	ME.promise = 0;
	ME.st = P_SERVE
   }
/* P7, P8: the whole tail may have been acknowledged. */
:: d_step {
	ME.st == P_SERVE && (alone || FIRST == 2 || FIRST == n) ->
	if
	:: BUG == TAIL_DROPPED -> cut(n, ME.commit)
	:: else
	fi;
	ME.fenced = false;
	ME.stale = false;
	ME.st = ALONE;
	check_alone();
	acknowledge(ME.tail)
   }
