/* T5: the session is offered; the target proves by the record that it may give up its tail, and says SYNCTARGET before it does. */
:: d_step {
	ME.st == ALONE && TALKING && PEER.st == STANDBY && !PEER.session && PEER.durable == PEER.tail &&
	PEER.epoch <= ME.epoch && EPOCH(STANDS) == ME.epoch && !(MEMBERS(STANDS) & BIT(1 - n)) ->
	save_epoch(1 - n, ME.epoch);
	PEER.dstate = SYNCTARGET;
	PEER.st = TARGET;
	ME.st = OPENING
   }
/* The cut. Where its rows hold more than is common it starts from nothing: a full copy. */
:: d_step {
	ME.st == OPENING && TALKING && PEER.st == TARGET ->
	find_fork();
	if
	:: k < PEER.commit -> k = 0
	:: else
	fi;
	i = k;
	do
	:: k && i < PEER.tail && i < seens ->
		assert(PEER.log[i] != seen[i]); /* I8: cut what was acknowledged */
		i++
	:: else -> break
	od;
	cut(1 - n, k);
	PEER.st = STANDBY;
	PEER.session = true;
	ME.session = true;
	ME.st = STREAM
   }
:: d_step { ME.st == OPENING && ME.linked && wire && PEER.st != TARGET -> hang_up() }

/* T6 (1) */
:: d_step {
	ME.st == STREAM ->
	ME.require_ack = BUG != NO_BARRIER;
	ME.barrier = (BUG == PUBLISHED_EARLY -> 0 : ME.tail);
	ME.st = BARRIER
   }
/* T6 (2) */
:: d_step {
	ME.st == BARRIER && ACKED >= ME.barrier && ME.durable >= ME.barrier ->
	ME.dstate = INSYNC;
	ME.st = INVITE
   }
/* T6 (3), the peer's part */
:: d_step {
	ME.st == INVITE && TALKING && PEER.session && PEER.dstate == SYNCTARGET && PEER.durable >= ME.barrier ->
	PEER.dstate = INSYNC
   }
/* T6 (4) */
:: d_step {
	ME.st == INVITE && ME.session && TALKING && PEER.session && PEER.dstate == INSYNC && FREE && LOCKABLE ->
	compare_and_swap(ME.epoch, 3, n);
	if
	:: ok -> ME.st = T6_CAS; ME.barrier = 0
	:: else -> end_process(n)
	fi
   }
