:: d_step {
	ME.write == 1 ->
	copy[0] = ME.next;
	check_members();
	release_votes();
	if
	:: ME.late -> write_over(n); unlock(n)
	:: else -> ME.write = 2
	fi
   }
:: d_step {
	ME.write == 2 ->
	copy[1] = ME.next;
	check_members();
	if
	:: ME.late -> write_over(n); unlock(n)
	:: else -> ME.known = ME.next; conclude(true)
	fi
   }
:: d_step {
	ME.write && ME.late -> /* it never lands */
	write_over(n);
	unlock(n)
   }
/* A write fails, having done a part or nothing; what stands decides. */
:: d_step {
	ME.write && !ME.late && eios < EIOS ->
	eios++;
	ok = STANDS == ME.next;
	limit = SEQ(STANDS) >= SEQ(ME.next);
	ME.known = STANDS;
	if
	:: !ok && limit && ACTIVE(ME) -> write_over(n); end_process(n)
	:: else -> conclude(ok)
	fi
   }
