# SPDX-License-Identifier: GPL-2.0-or-later
# The scenarios of mdcchaos --scenario N. In each one, two sessions write and read all along, and in the end the pair must be whole,
# they must have seen no error, and their history must have an explanation: so nothing acknowledged is lost and nothing ran
# twice. What is asserted besides stands in the scenario. To be sourced, with chaos/lib.sh before it.
# shellcheck shell=bash disable=SC2154

# ---- the words they are told in; A is the active at the beginning, B the standby ----

# within SECONDS COMMAND...: it becomes true.
within() {
	until_true "$@" || fails "not within $1 s: ${*:2}"
}

# for_all SECONDS COMMAND...: it stays true.
for_all() {
	! until_true "$1" not "${@:2}" || fails "not for $1 s: ${*:2}"
}

must() {
	"$@" || fails "not so: $*"
}

fails() {
	echo "$*"
	exit 1
}

view_of() { lab view "$1" 2>/dev/null; }
serves() { [[ $(view_of "$1") == active\ [SA]* ]]; }
is_whole() { lab whole 2>/dev/null; }
stands_by() { [[ $(view_of "$1") == "standby "* ]]; }
members_are() { [[ $(view_of "$1") == *" $2" ]]; }
epoch_of() { status "$1" .epoch; }
epoch_is() { [ "$(epoch_of "$1")" = "$2" ]; }
# since LINE FILE TEXT: from that line on it says so. Not grep -q: what it leaves unread would be a failure of tail.
since() { tail -n +"$1" "$2" | grep -E "$3" >/dev/null; }
refuses_with() { since "$marked" "$dir/pods/$1/log/pacemaker/pacemaker.log" "mdcd refused to promote: .*$2"; }
was_fenced() { since "$booked" "$dir/events.log" "$1 is to be .* by a fence agent"; }
nobody_was_fenced() { ! was_fenced 'mdc[12]'; }
number_of() { echo "${1#mdc}"; }

# Clients are answered now, or they are not, for that many seconds.
answered() { [ "$(answers)" -gt "$seen" ]; }
go_on() { seen=$(answers) && within "$1" answered; }
wait_for_it() { seen=$(answers) && for_all "$1" not answered; }

# The times of the last promotion, in the order of the steps: in what mdcctl says, and in the controller's log. "fence": one was asked for.
tells_the_times() {
	lab exec "$1" -- mdcctl status --json | jq -se --arg fence "${2:-}" '.[0].last_promotion | .cause == "death" and
		([.detect_ms, .membership_ms, (if $fence == "" then .membership_ms else .fence_asked_ms end), .fenced_ms, .asked_ms, .journal_ms, .arbiter_ms, .verified_ms, .promote_ms, .first_client_op_ms]
		| all(. != null) and . == sort)' >/dev/null &&
		tail -n 200 "$dir/pods/$1/mdcd.log" | grep "after a death; noticed .*, active .*, first client operation" >/dev/null
}

# Thirty sessions more, without a pause; in the end their history must have an explanation, too.
crowd_comes() {
	in_client "$build/tests/work/registers" "$volume" 9 30 0 "$work/crowd" >"$work/crowd.said" 2>&1 &
	crowd=$!
	trap 'kill -KILL "$crowd" 2>/dev/null' EXIT
	within 20 grep -q working "$work/crowd.said"
}
crowd_goes() {
	kill -TERM "$crowd"
	wait "$crowd" || fails "the crowd: $(tail -n 1 "$work/crowd.said")"
	explained_crowd=$("$build/tests/work/registers" --check "$work/crowd") || fails "the crowd: $explained_crowd"
}

# With the arbiter record on the SAN (mdcchaos --san).
has_san() { grep -q '^san=yes$' "$dir/etc/env"; }
has_qdevice() { grep -q '^qdevice=yes$' "$dir/etc/env"; }
alarms() { status "$1" '[.alarms[].name] | join(" ")'; }
has_alarm() { [[ " $(alarms "$1") " == *" $2 "* ]]; }
is_frozen() { [[ $(view_of "$1") == active\ FROZEN* ]]; }

# Pacemaker starts a lone host only when the other one has been seen, unless an operator says that it may.
let_alone() { within 10 lab exec "$1" -- corosync-cmapctl -s quorum.cancel_wait_for_all u8 1; }
runs_pacemaker() { [[ $(lab exec "$1" -- crm_mon -1 2>/dev/null) == *"Current DC: mdc"* ]]; }
# Somebody, or something, wants it promoted, whatever it says itself.
force_score() { lab exec "$1" -- attrd_updater -n master-mdc -U 1000000 >/dev/null; }
wait_for_all_off() { within 15 runs_pacemaker "$1"; let_alone "$1"; }

# ---- A. Crash and power ----

# 1. The active is killed while idle: the standby serves, nothing is lost.
scenario_1() {
	kill -STOP "$registers"
	lab kill "$A" mdcd
	within 3 serves "$B"
	kill -CONT "$registers"
	go_on 3
}

# 2. Killed after the local write, before the send: the link is cut, the active writes, and its power goes.
scenario_2() {
	lab link cut "$A" hb
	sleep 0.3
	lab power off "$A"
	within 10 serves "$B"
	go_on 5
}

# 4. Killed after the commit, before the reply arrives: clients hear nobody, then the active's power goes. The resend gets the same reply.
scenario_4() {
	lab link one-way c1 pub || fails "the cable cannot be made so"
	sleep 0.2
	wait_for_it 1
	lab power off "$A"
	lab link heal c1 pub
	within 10 serves "$B"
	go_on 5
}

# 5. The standby is killed: the active goes on alone by a new epoch.
scenario_5() {
	local epoch
	epoch=$(epoch_of "$A")
	lab freeze "$B" pacemakerd
	lab kill "$B" mdcd
	within 3 is_alone "$A"
	must epoch_is "$A" $((epoch + 1))
	go_on 1
}

# 6. The standby's daemon restarts: it rejoins, and is fit to take over.
scenario_6() {
	lab kill "$B" mdcd
	within 30 is_whole
	lab kill "$A" mdcd
	within 5 serves "$B"
	go_on 3
}

# 7. Both lose their power: a cold start.
scenario_7() {
	lab power off "$A"
	lab power off "$B"
	sleep 1
	lab power on "$A"
	lab power on "$B"
	within 60 is_whole
	go_on 5
}

# A dies, B writes alone, B dies, and only A returns, with an operator who lets it be alone.
only_the_outdated_returns() {
	lab power off "$A"
	within 10 is_alone "$B"
	go_on 5
	sleep 1
	lab switch "$B" lies
	lab power off "$B"
	marked=$(wc -l <"$dir/pods/$A/log/pacemaker/pacemaker.log")
	${1:-true}
	lab power on "$A"
	wait_for_all_off "$A"
	within 30 stands_by "$A"
	force_score "$A"
	within 15 refuses_with "$A" "names node $(number_of "$B") as holder of the latest operations"
	for_all 5 not serves "$A"
	within 5 says_why "$A"
	wait_for_it 1
}
says_why() {
	[[ $(lab exec "$1" -- mdcctl status) == *"may not serve: the arbiter names node $(number_of "$B") as holder of the latest operations"* ]]
}

# 8. A dies, B alone writes, B dies, A returns: A refuses and names B.
scenario_8() {
	only_the_outdated_returns
}

# 9. As 8, then B returns too: B serves, A is resynced.
scenario_9() {
	only_the_outdated_returns
	lab switch "$B" works
	lab power on "$B"
	within 60 serves "$B"
	within 60 is_whole
	must serves "$B"
	go_on 3
}

# 12. A crash during the promotion, while it waits for the fence: it starts over.
scenario_12() {
	lab switch "$A" hangs
	lab power off "$A"
	sleep 3
	lab kill "$B" mdcd
	for_all 3 not serves "$B"
	lab switch "$A" works
	within 60 serves "$B"
	go_on 5
}

# 13. A crash while clients rebind: the next one starts over, replies intact.
scenario_13() {
	lab kill "$A" mdcd
	within 3 serves "$B"
	lab kill "$B" mdcd
	go_on 60
}

# 15. A crash loop, ten times without a pause: epochs only grow.
scenario_15() {
	local epoch=0 now
	for _ in {1..10}; do
		go_on 60
		within 60 lab active
		now=$(epoch_of "$(active)")
		must [ "$now" -gt "$epoch" ]
		epoch=$now
		lab kill "$(active)" mdcd
	done
	go_on 60
}

# ---- B. Network ----

# 16. The heartbeat link is down, the public network is up: alone by the arbiter, nobody is fenced.
scenario_16() {
	lab link cut "$B" hb
	within 8 is_alone "$A"
	must nobody_was_fenced
	go_on 1
	lab link heal "$B" hb
	within 30 is_whole
	must nobody_was_fenced
}

# 17. The public network is down, the heartbeat up: the pair stays, and replicates.
scenario_17() {
	local epoch
	epoch=$(epoch_of "$A")
	lab link cut "$A" pub
	for_all 5 is_whole
	must epoch_is "$A" "$epoch"
	lab link heal "$A" pub
	go_on 10
	must epoch_is "$A" "$epoch"
}

# 18. All links are down: one winner of the record, and the loser acknowledges nothing.
scenario_18() {
	lab link cut "$A" all
	within 10 serves "$B"
	for_all 3 not serves "$A"
	go_on 5
	lab link heal "$A" all
}

# 19. One-way loss, A to B, then B to A: both sides end the session, and nobody is fenced.
scenario_19() {
	for pod in "$B" "$A"; do
		lab link one-way "$pod" hb
		within 8 no_link
		sleep 1 # longer than corosync's token: the other ring carries it
		lab link heal "$pod" hb
		within 60 is_whole
	done
	must nobody_was_fenced
}
no_link() { [ "$(status "$A" .link_up)$(status "$B" .link_up)" = falsefalse ]; }

# 20. A blip shorter than detection: the pair stays as it is.
scenario_20() {
	local epoch
	epoch=$(epoch_of "$A")
	lab link cut "$B" hb
	sleep 0.3
	lab link heal "$B" hb
	within 10 is_whole
	must epoch_is "$A" "$epoch"
	must nobody_was_fenced
	go_on 1
}

# 21. The link flaps a hundred times a minute, for 20 s: at most one resync per back-off, and nobody is fenced.
scenario_21() {
	local epoch
	epoch=$(epoch_of "$A")
	for _ in {1..33}; do
		lab link cut "$B" hb
		sleep 0.2
		lab link heal "$B" hb
		sleep 0.2
	done
	within 60 is_whole
	must serves "$A"
	must [ "$(epoch_of "$A")" -le $((epoch + 8)) ]
	must nobody_was_fenced
}

# 26. Clients reach only the standby: it never serves them.
scenario_26() {
	lab link cut "$A" pub
	sleep 0.5
	wait_for_it 4
	must stands_by "$B"
	lab link heal "$A" pub
	go_on 10
}

# 27. Links are cut and healed at random: it comes to rest.
scenario_27() {
	local pods=(mdc1 mdc2) nets=(pub hb mgmt) how=(cut heal one-way heal)
	for _ in {1..20}; do
		lab link "${how[RANDOM % 4]}" "${pods[RANDOM % 2]}" "${nets[RANDOM % 3]}" 2>/dev/null
		sleep 0.4
	done
	mend
	within 120 is_whole
	go_on 10
}

# 28. Small frames pass the heartbeat link, data stalls (and what corosync sends, if it is great): it is seen, one goes on alone.
scenario_28() {
	crowd_comes
	lab link small "$A" hb || fails "the cable cannot be made so"
	within 20 one_is_alone
	go_on 3
	lab link heal "$A" hb
	crowd_goes
}

one_is_alone() { is_alone mdc1 || is_alone mdc2; }

# ---- C. Fencing and membership ----

# 29. Fencing fails: no promotion, however long it takes.
scenario_29() {
	lab switch "$A" fails
	lab kill "$A" corosync
	for_all 8 not serves "$B"
	within 20 has_alarm "$B" FENCE
	lab switch "$A" works
	within 30 serves "$B"
	must not has_alarm "$B" FENCE
	go_on 5
}

# A lives, its corosync stands still, and Pacemaker on B is told that A is off. A's hold on the metadata LUN (here a lock, which
# its living process keeps) stops B, or A itself does, over the link; A goes on, and nobody else ever does.
the_living_is_called_dead() {
	lab freeze "$A" corosync
	"$@"
	has_san && { the_living_loses_its_key; return; }
	within 20 refuses_with "$B" "(the old active's hold on the metadata LUN could not be taken|the peer refuses to stand by: this controller is active)"
	must is_on "$A"
	for_all 4 not serves "$B"
	go_on 5
	within 3 serves "$A"
}
# A reservation can be taken from the living: then B goes on, and A, which finds that out, ends and never serves again.
the_living_loses_its_key() {
	within 20 serves "$B"
	go_on 5
	within 10 since "$logged" "$dir/pods/$A/mdcd.log" "the reservation key of the metadata LUN was taken away|the arbiter is in epoch"
	for_all 4 not serves "$A"
	must is_on "$A"
}
confirm_wrongly() {
	sleep 4
	must not serves "$B"
	lab exec "$B" -- stonith_admin --confirm "$A"
}

# 30. Fencing reports success and the node lives: its lock on the LUN, or itself, stops its successor; its reservation is taken.
scenario_30() {
	lab switch "$A" lies
	the_living_is_called_dead true
}

# 31. The fence is late: no promotion until it is confirmed.
scenario_31() {
	lab switch "$A" hangs
	lab power off "$A"
	for_all 12 not serves "$B"
	lab switch "$A" works
	within 10 serves "$B"
	go_on 5
}

# 32. Both fence each other: exactly one survives, the active, which has a head start; with a third vote, the one that has it.
scenario_32() {
	has_qdevice && { the_vote_decides; return; }
	lab link cut "$A" hb
	lab link cut "$A" pub
	within 10 was_fenced "$B"
	for_all 3 not was_fenced "$A"
	lab link heal "$A" hb 2>/dev/null
	lab link heal "$A" pub 2>/dev/null
	within 60 is_whole
	go_on 5
}
# They see the third host, not each other: it votes for node 1, active or not. The other one loses its quorum and is fenced.
the_vote_decides() {
	must is_quorate mdc1
	lab link cut mdc1 hb
	lab link cut mdc1 pub
	within 15 was_fenced mdc2
	for_all 5 not was_fenced mdc1
	within 10 serves mdc1
	must since "$booked" "$dir/events.log" "mdc2 off after"
	lab link heal mdc1 hb
	lab link heal mdc1 pub
	within 60 is_whole
	must serves mdc1
	go_on 5
	a_lone_one_without_votes
}
# And one that sees neither the other one nor the third host may not go on, although nothing else is wrong with it.
a_lone_one_without_votes() {
	lab link cut mdc2 all
	within 10 serves mdc1
	go_on 10
	within 10 not is_quorate mdc2
	for_all 5 not serves mdc2
	lab link heal mdc2 all
}
is_quorate() { lab exec "$1" -- corosync-quorumtool -s 2>/dev/null | grep '^Quorate: *Yes' >/dev/null; }

# 33. The rebooted node does not see its peer: it fences nobody, and starts nothing.
scenario_33() {
	lab power off "$A"
	within 10 serves "$B"
	sleep 2
	lab power on "$A" 2>/dev/null
	lab link cut "$A" hb
	lab link cut "$A" pub
	within 15 runs_pacemaker "$A"
	for_all 10 not was_fenced "$B"
	must not serves "$A"
	go_on 1
	lab link heal "$A" hb
	lab link heal "$A" pub
}

# 34. The fence device lost its power with its node: no promotion, until an operator confirms the fence.
scenario_34() {
	lab switch "$A" fails
	lab power off "$A"
	for_all 8 not serves "$B"
	within 20 has_alarm "$B" FENCE
	lab exec "$B" -- stonith_admin --confirm "$A"
	within 10 serves "$B"
	must not has_alarm "$B" FENCE
	go_on 5
	lab switch "$A" works
}

# 35. corosync is killed on the active: it is fenced, the standby promoted.
scenario_35() {
	lab kill "$A" corosync
	within 15 serves "$B"
	must was_fenced "$A"
	go_on 5
	must tells_the_times "$B" fence
}

# 36. Pacemaker is killed, mdcd lives: never a second active.
scenario_36() {
	lab kill "$A" pacemakerd
	for_all 8 not both_serve
	go_on 10
}
both_serve() { serves mdc1 && serves mdc2 && [ "$(epoch_of mdc1)" = "$(epoch_of mdc2)" ]; }

# 37. A stale promotion score: the outdated controller refuses.
scenario_37() {
	lab link cut "$B" hb
	within 8 is_alone "$A"
	go_on 1
	marked=$(wc -l <"$dir/pods/$B/log/pacemaker/pacemaker.log")
	lab exec "$B" -- crm_attribute -q -t crm_config -n maintenance-mode -v true
	force_score "$B"
	lab kill "$A" mdcd
	lab exec "$B" -- mdcd-agent promote
	must not serves "$B"
	lab exec "$B" -- crm_attribute -q -t crm_config -n maintenance-mode -D
	lab link heal "$B" hb
	within 60 serves "$A"
	go_on 5
}

# 38. The CIB is restored from before: the agent refuses by its own state.
scenario_38() {
	cp -a "$dir/pods/$A/pacemaker/cib" "$work/cib"
	only_the_outdated_returns restore_cib
}
restore_cib() {
	rm -rf "$dir/pods/$A/pacemaker/cib"
	cp -a "$work/cib" "$dir/pods/$A/pacemaker/cib"
}

# 39. An operator wrongly confirms a fence: the node that lives stops its successor, or loses its reservation and ends.
scenario_39() {
	lab switch "$A" fails
	the_living_is_called_dead confirm_wrongly
}

# 40. The arbiter is out of reach in SYNC: the pair goes on, with an alarm. The target comes back without its reservations.
scenario_40() {
	local epoch
	has_san || fails "the arbiter record of this lab is no LUN of a SAN: mdcchaos --san"
	epoch=$(epoch_of "$A")
	lab power off san
	within 15 has_alarm "$A" ARBITER
	for_all 5 is_whole
	go_on 1
	lab power on san
	within 15 not has_alarm "$A" ARBITER
	must epoch_is "$A" "$epoch"
	must nobody_was_fenced
	lab power reboot san
	go_on 1
	sleep 5
	must epoch_is "$A" "$epoch"
	lab kill "$A" mdcd
	within 5 serves "$B"
	go_on 3
}

# 41. The arbiter is out of reach and the peer is lost: FROZEN, no fallback. The target comes back: register, read, go on alone.
scenario_41() {
	local epoch
	has_san || fails "the arbiter record of this lab is no LUN of a SAN: mdcchaos --san"
	epoch=$(epoch_of "$A")
	lab power off san
	lab freeze "$B" pacemakerd
	lab kill "$B" mdcd
	within 5 is_frozen "$A"
	for_all 8 is_frozen "$A"
	wait_for_it 2
	must epoch_is "$A" "$epoch"
	lab power on san
	within 20 is_alone "$A"
	must epoch_is "$A" $((epoch + 1))
	go_on 3
	# Without the LUN it could not start, which bars it for a minute.
	lab exec "$A" -- crm_resource --cleanup >/dev/null
}

# ---- D. Storage ----

# with_B_off COMMAND...: done to B's disk.
with_B_off() {
	lab switch "$B" lies
	lab power off "$B"
	within 10 is_alone "$A"
	go_on 1
	"$@"
	lab switch "$B" works
	lab power on "$B"
}
takes_over() {
	lab kill "$A" mdcd
	within 5 serves "$B"
	go_on 3
	must tells_the_times "$B"
}
state_copies() { dd if=/dev/urandom of="$dir/pods/$B/disk/state" bs=4096 seek="$1" count="$2" conv=notrunc status=none; }

# A new disk for a controller that is quarantined.
new_disk() {
	lab disk "$1" 0 ok
	lab power off "$1"
	lab disk "$1" new
	lab power on "$1"
}

# 3. Killed after the peer is durable, before the local write is: the active's disk stalls, then its power goes.
scenario_3() {
	lab disk "$A" 700 ok
	sleep 0.4
	lab power off "$A"
	lab disk "$A" 0 ok
	within 10 serves "$B"
	go_on 5
}

# 43. EIO on everything the active writes: it ends, and the other serves.
scenario_43() {
	lab disk "$A" 0 fails
	within 10 serves "$B"
	go_on 5
	for_all 5 not serves "$A"
	new_disk "$A"
	within 60 is_whole
}

# 44. EIO on the standby's journal: it is dropped, nothing of it is acknowledged.
scenario_44() {
	lab disk "$B" 0 fails
	within 10 is_alone "$A"
	go_on 2
	must nobody_was_fenced
	new_disk "$B"
	within 60 is_whole
}

# 45. The active's disk is full: no wrong answer, and somebody serves.
scenario_45() {
	lab disk "$A" 0 full
	sleep 4
	lab disk "$A" 0 ok
	go_on 60
	new_disk "$A"
	within 60 is_whole
}

# 56. The standby's disk takes seconds for each write: it is dropped, and taken back when it is well.
scenario_56() {
	lab disk "$B" 8000 ok
	within 20 is_alone "$A"
	go_on 2
	lab disk "$B" 0 ok
	within 90 is_whole
	must nobody_was_fenced
}

# 57. The active's disk is a hundred times slower: it goes on or hands over once, no flapping.
scenario_57() {
	local epoch
	epoch=$(epoch_of "$A")
	lab disk "$A" 100 ok
	sleep 20
	go_on 5
	must [ "$(epoch_of "$(active)")" -le $((epoch + 2)) ]
	lab disk "$A" 0 ok
	must nobody_was_fenced
}

# 58. The active's disk stalls 30 s, then returns: no late answer in an old epoch.
scenario_58() {
	lab disk "$A" 30000 ok
	sleep 1
	lab disk "$A" 0 ok
	sleep 31
	go_on 30
}

# 54. One or two of the four copies of the state are damaged: it opens; three: it refuses, and the other serves.
scenario_54() {
	with_B_off state_copies 1 2
	within 60 is_whole
	cp -a "$dir/pods/$B/disk/state" "$work/state"
	with_B_off state_copies 0 3
	within 30 grep -q "fewer than two of its four copies agree" "$dir/pods/$B/mdcd.log"
	must is_alone "$A"
	go_on 1
	with_B_off cp "$work/state" "$dir/pods/$B/disk/state"
	within 60 is_whole
}

# 59. A controller restored from a snapshot: alone it refuses by the floor, with its peer it is resynced.
scenario_59() {
	lab pause "$B"
	cp -a "$dir/pods/$B/disk" "$work/snapshot"
	lab resume "$B"
	within 30 is_whole
	go_on 1
	sleep 3
	lab power off "$A"
	lab power off "$B"
	lab switch "$A" lies
	rm -rf "$dir/pods/$B/disk"
	mv "$work/snapshot" "$dir/pods/$B/disk"
	lab power on "$B"
	wait_for_all_off "$B"
	within 30 stands_by "$B"
	force_score "$B"
	for_all 8 not serves "$B"
	lab switch "$A" works
	lab power on "$A"
	within 60 is_whole
	go_on 5
}

# 60. A disk of another cluster is refused by name.
scenario_60() {
	cp "$dir/etc/mdcd-$B.conf" "$work/conf"
	with_B_off sed -i 's/^uuid = .*/uuid = 00000000-0000-4000-8000-000000000060/' "$dir/etc/mdcd-$B.conf"
	within 30 grep -q "of cluster .*, not of 00000000-0000-4000-8000-000000000060" "$dir/pods/$B/mdcd.log"
	must is_alone "$A"
	with_B_off cp "$work/conf" "$dir/etc/mdcd-$B.conf"
	within 60 is_whole
}

# 61. The standby's disk is lost: it is rebuilt while the other serves, and then takes over.
scenario_61() {
	with_B_off rm -rf "$dir/pods/$B/disk"
	within 60 is_whole
	takes_over
}

# 62. The source of a rebuild dies: its target never serves.
scenario_62() {
	with_B_off rm -rf "$dir/pods/$B/disk"
	lab slow "$B" link 300
	within 60 is_target
	lab switch "$A" lies
	lab power off "$A"
	lab slow "$B" link off
	for_all 10 not serves "$B"
	lab switch "$A" works
	lab power on "$A"
	within 60 serves "$A"
	within 60 is_whole
	go_on 5
}
is_target() { [[ $(view_of "$B") == *" SYNCTARGET "* ]]; }

# ---- E. Time, pause, resources ----

# 64. The active's process stands still past its lease, then goes on: it acknowledges nothing, and reads nothing stale.
scenario_64() {
	lab freeze "$A" mdcd
	sleep 0.2
	wait_for_it 2
	lab thaw "$A" mdcd
	go_on 15
}

# 63. The clock is set a year ahead on the active, two years back on the standby: nothing happens.
scenario_63() {
	local epoch
	epoch=$(epoch_of "$A")
	lab clock "$A" +31536000 || fails "no clock to be set here"
	lab clock "$B" -63072000
	sleep 2
	go_on 1
	for_all 3 is_whole
	must epoch_is "$A" "$epoch"
	lab clock "$A" right
	lab clock "$B" right
	lab kill "$A" mdcd
	within 5 serves "$B"
	go_on 3
}

# 67. Overload, 32 sessions without a pause for 10 s: no failover.
scenario_67() {
	local epoch
	epoch=$(epoch_of "$A")
	crowd_comes
	for_all 10 is_whole
	crowd_goes
	must epoch_is "$A" "$epoch"
	must nobody_was_fenced
}

# ---- F. Clients ----

# 68. Requests in flight at the active's death go to the new one: exactly once, same reply. Five deaths.
scenario_68() {
	for _ in 1 2 3 4 5; do
		lab kill "$(active)" mdcd
		go_on 5
		within 60 is_whole
	done
}

# 75. The second failover comes while clients rebind, by power.
scenario_75() {
	lab power reboot "$A"
	within 10 serves "$B"
	lab kill "$B" mdcd
	go_on 60
}

# ---- playing them ----

about() {
	sed -n "s/^# \($1\)\. /\1. /p" "${BASH_SOURCE[0]}"
}

numbers() {
	case $1 in
	all) sed -n 's/^scenario_\([0-9]*\)() {$/\1/p' "${BASH_SOURCE[0]}" |
		if [[ " ${up_options[*]} " == *" --san "* ]]; then cat; else grep -v '^4[01]$'; fi ;;
	*) tr , '\n' <<<"$1" ;;
	esac
}

mend() {
	local pod net
	has_san && ! is_on san && lab power on san
	for pod in mdc1 mdc2; do
		lab switch "$pod" works
		lab disk "$pod" 0 ok
		lab clock "$pod" right
		if is_on "$pod"; then
			lab thaw "$pod" 'corosync|mdcd|pacemakerd'
			for net in pub hb mgmt; do
				lab link heal "$pod" "$net"
			done
			lab slow "$pod" link off
		else
			lab power on "$pod"
		fi
	done >>"$work/noise" 2>&1
}

# play N: 0 when all that it asserts held, else $wrong says what did not.
play() {
	local began code=0
	wrong=()
	mend
	lab wait 90 >>"$work/noise" 2>&1 || { wrong=("the pair was not whole before it") && return 1; }
	start_registers 2 1000
	sleep 1
	A=$(active) B=$(other "$A")
	booked=$(($(wc -l <"$dir/events.log") + 1))
	marked=1
	logged=$(($(wc -l <"$dir/pods/$A/mdcd.log") + 1))
	began=$(now_ms)
	(trap - EXIT && "scenario_$1") >"$work/scenario" 2>>"$work/noise" || code=$?
	took=$(($(now_ms) - began))
	[ "$code" -eq 0 ] || wrong+=("$(tail -n 1 "$work/scenario")")
	kill -CONT "$registers" 2>/dev/null
	mend
	lab wait 90 >>"$work/noise" 2>&1 || wrong+=("the pair is not whole 90 s after it")
	end_registers || wrong+=("$broken")
	[ "$(answers)" -ge 200 ] || wrong+=("only $(answers) answers")
	[ ${#wrong[@]} -eq 0 ]
}

# run_scenarios LIST: 0 when none failed.
run_scenarios() {
	local n list before failed=() played=0 A B booked marked logged broken took seen wrong
	if [ "$1" = list ]; then
		about '[0-9]*'
		return
	fi
	mapfile -t list < <(numbers "$1")
	for n in "${list[@]}"; do
		declare -F "scenario_$n" >/dev/null || wrong_usage "--scenario $n: there is none; mdcchaos --scenario list"
	done
	up_options+=(--faulty-disks)
	have_lab
	before=$(promotions)
	for n in "${list[@]}"; do
		if play "$n"; then
			printf 'PASS %s (%d s, %s)\n' "$(about "$n")" $((took / 1000)) "$explained"
		else
			printf 'FAIL %s: %s\n' "$(about "$n")" "$(printf '%s; ' "${wrong[@]}")"
			failed+=("$n")
			[ ! -e "$history" ] || cp "$history" "mdcchaos-scenario-$n.history"
		fi
		played=$((played + 1))
	done
	echo "$played scenarios, ${#failed[@]} failed${failed[*]:+: ${failed[*]}}; $(($(promotions) - before)) promotions"
	[ ${#failed[@]} -eq 0 ]
}
