/* The invariants, checked where what they speak of changes. */

/* ok: logs x and y are equal up to upto */
inline same(x, y, upto)
{
	ok = true;
	i = 0;
	do
	:: i < (upto) -> ok = ok && nd[x].log[i] == nd[y].log[i]; i++
	:: else -> break
	od
}

/* ok: x holds on its disk all that clients have seen */
inline holds_seen(x)
{
	ok = nd[x].durable >= seens;
	i = 0;
	do
	:: i < seens -> ok = ok && nd[x].log[i] == seen[i]; i++
	:: else -> break
	od
}

inline check_members()
{
	k = 0;
	do
	:: k < 2 ->
		if
		:: MEMBERS(STANDS) & BIT(k) ->
			holds_seen(k);
			assert(ok) /* I3: a member lacks what was acknowledged */
		:: else
		fi;
		k++
	:: else -> break
	od;
	skip
}

inline check_commit()
{
	assert(ME.commit <= seens); /* I13: the store holds more than is committed */
	i = 0;
	do
	:: i < ME.commit ->
		assert(ME.log[i] == seen[i]); /* I14: the store differs from what was committed */
		i++
	:: else -> break
	od;
	skip
}

/* From here on clients may have seen everything up to upto, from the mouth of n. */
inline acknowledge(upto)
{
	assert(ME.epoch >= seen_epoch); /* I2: an older epoch acknowledges */
	assert(ME.epoch > seen_epoch || !seen_epoch || seen_by == n); /* I2: two acknowledge in one epoch */
	holds_seen(n);
	assert(ok); /* I1: what acknowledges lacks what was acknowledged */
	seen_epoch = ME.epoch;
	seen_by = n;
	do
	:: seens < (upto) -> seen[seens] = ME.log[seens]; seens++
	:: else -> break
	od;
	ME.commit = upto;
	check_members()
}

inline check_alone()
{
	assert(alone / 2 < ME.epoch || alone == ENTRY); /* I6: a second one is ALONE in the epoch */
	alone = ENTRY
}

inline check_sync()
{
	same(n, 1 - n, ME.commit);
	assert(ok && PEER.tail >= ME.commit) /* I11: the logs differ in SYNC */
}

inline save_epoch(x, now)
{
	assert((now) >= nd[x].epoch); /* I4: a saved epoch falls */
	nd[x].epoch = now
}
