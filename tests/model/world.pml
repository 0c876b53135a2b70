/* The link breaks; each side notices when it does; it comes back. */
:: d_step { n == 0 && wire && flaps < FLAPS -> flaps++; break_link() }
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

/* Deaths; of the living one only by a fence that the peer asked for. */
:: d_step { ME.st != DOWN && crashes < CRASHES -> crashes++; end_process(n) }
:: d_step {
	ME.st == PROOF && PEER.st != DOWN && fences < FENCES ->
	fences++;
	end_process(1 - n)
   }
/* A new process; of what was not durable a part is there; the peer may hold the proof that the one before it is dead. */
:: atomic {
	ME.st == DOWN ->
	do
	:: ME.tail > ME.durable -> limit = ME.tail - 1; cut(n, limit)
	:: break
	od;
	ME.durable = ME.tail;
	ME.st = STANDBY;
	if
	:: PEER.st >= STANDBY && PEER.st <= P_CAS -> PEER.fenced = true
	:: true
	fi;
	PEER.stale = PEER.fenced || PEER.promise || PEER.promising
   }
