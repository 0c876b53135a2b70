/* T8: a planned change of roles. Until the promise whatever fails means going on as before; from the promise on only the peer can give it back. */
:: d_step { ME.st == SYNC && IN_SESSION && switches < SWITCHES -> switches++; ME.st = DRAIN }
:: d_step {
	ME.st == DRAIN && IN_SESSION && (ME.commit == ME.tail || BUG == NOT_DRAINED) && FREE && LOCKABLE && !BOUND(ME.known) ->
	ME.vote = ME.epoch + 1;
	compare_and_swap(ME.epoch + 1, 3, 1 - n);
	if
	:: ok -> ME.st = HANDOVER
	:: else -> end_process(n)
	fi
   }
/* The write failed: the heir, or who would be, promises in turn; or it is dead; or the write is tried again. */
:: d_step {
	ME.st == HANDOVER && FREE && (TALKING && (PEER.st == HEIR || PEER.st == STANDBY) && PEER.durable == PEER.tail) ->
	PEER.st = STANDBY;
	PEER.promise = 0;
	PEER.session = false;
	PEER.vote = ME.vote;
	ME.vote = 0;
	ME.st = FROZEN;
	hang_up()
   }
:: d_step { ME.st == HANDOVER && FREE && FENCED -> ME.vote = 0; ME.st = FROZEN; ME.session = false }
:: d_step {
	ME.st == HANDOVER && FREE && LOCKABLE ->
	compare_and_swap(ME.epoch + 1, 3, 1 - n);
	if
	:: ok
	:: else -> end_process(n)
	fi
   }

/* T9: the promise is taken, by who holds all that the active does; said again once the record is written. */
:: d_step {
	ME.st == STANDBY && ME.session && TALKING && ME.durable == ME.tail && ME.tail == PEER.tail && ME.dstate == INSYNC && !ME.vote &&
	(PEER.st == HANDOVER && PEER.session && PEER.epoch == ME.epoch ||
	 PEER.st == STANDBY && EPOCH(STANDS) == ME.epoch + 1 && WHO(STANDS) == n) ->
	ME.session = false;
	ME.promise = ME.epoch + 1;
	ME.st = HEIR
   }
/* The record names it, members unchanged. */
:: d_step {
	ME.st == HEIR && (EPOCH(STANDS) == ME.epoch + 1 && WHO(STANDS) == n || BUG == HEIR_EARLY) ->
	ME.known = STANDS;
	ME.st = HEIR_SAVE
   }
/* It did not come about: the active is dead, or another by now, or the record went on without. */
:: d_step { ME.st == HEIR && (FENCED || !ME.promise || EPOCH(STANDS) > ME.epoch && WHO(STANDS) != n) -> stand_by() }
:: d_step {
	ME.st == HEIR_SAVE ->
	save_epoch(n, ME.epoch + 1);
	ME.vote = 0;
	ME.promise = 0;
	ME.fenced = false;
	ME.stale = false;
	ME.commit = ME.tail;
	check_commit();
	assert(!ACTIVE(PEER) || PEER.st == HANDOVER); /* I7: the heir serves while the peer is active */
	ME.require_ack = BUG != HEIR_ALONE;
	ME.st = (BUG == HEIR_ALONE -> SYNC : FROZEN)
   }
