/* S1: the next batch. What was sent before the active died may as well have been taken before. */
:: d_step {
	(ME.st == STANDBY || (BUG == STAYS_OPEN && ME.st >= PROOF && ME.st <= P_SERVE)) && ME.session && TALKING &&
	ACTIVE(PEER) && PEER.session && ME.tail < PEER.tail ->
	ME.log[ME.tail] = PEER.log[ME.tail];
	ME.tail++
   }

/* S1: what is known to be committed is applied. */
:: d_step {
	ME.st == STANDBY && ME.session && TALKING && PEER.session &&
	ME.commit < (BUG == APPLY_EARLY -> ME.durable : MIN(PEER.commit, ME.durable)) ->
	ME.commit = (BUG == APPLY_EARLY -> ME.durable : MIN(PEER.commit, ME.durable));
	check_commit()
   }

/* S2 */
:: d_step {
	ME.st == STANDBY && !ME.session && TALKING && PEER.st >= ALONE && PEER.epoch >= ME.epoch && ME.dstate == INSYNC ->
	ME.dstate = OUTDATED;
	save_epoch(n, PEER.epoch)
   }
