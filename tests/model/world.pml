/* The link breaks; each side notices when it does; it comes back. */
:: d_step { n == 0 && wire && flaps < FLAPS -> flaps++; wire = false }
:: d_step { ME.linked && !wire -> close(n) }
:: d_step {
	n == 0 && !wire && ME.st != DOWN && PEER.st != DOWN ->
	close(n);
	close(1 - n);
	learn(n);
	learn(1 - n);
	wire = true;
	ME.linked = true;
	PEER.linked = true
   }
:: d_step { ME.stale -> learn(n) }

/* Deaths, and the proof of them. */
:: d_step { ME.st != DOWN && crashes < CRASHES -> crashes++; end_process(n) }
:: d_step {
	(ME.st == PROOF || ME.st == ASKED) && PEER.st != DOWN && fences < FENCES ->
	fences++;
	end_process(1 - n);
	ME.fenced = true
   }
:: d_step { (ME.st == PROOF || ME.st == ASKED || ME.vote) && PEER.st == DOWN && !ME.fenced -> ME.fenced = true }
/* A new process; of what was not durable a part is there. */
:: atomic {
	ME.st == DOWN ->
	do
	:: ME.tail > ME.durable -> limit = ME.tail - 1; cut(n, limit)
	:: break
	od;
	ME.durable = ME.tail;
	ME.st = STANDBY;
	PEER.stale = PEER.fenced || PEER.promise || PEER.promising
   }
