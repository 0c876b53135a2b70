# SPDX-License-Identifier: GPL-2.0-or-later
# The faults of mdcchaos: each does its harm and mends it; $target is what it says of whom, $remark what else. To be sourced, with chaos/lib.sh before it.
# shellcheck shell=bash disable=SC2034,SC2154

isolated_s() { sleep $((RANDOM % 4 + 2)); }

on_again() {
	local pod
	for pod in "${hosts[@]}"; do
		is_on "$pod" || lab power on "$pod" >/dev/null 2>&1
	done
}

fault_kill_active() { target=$(active); lab kill "$target" mdcd; }
fault_kill_standby() { target=$(standby); lab kill "$target" mdcd; }
fault_kill_both() { target=both; lab kill "${hosts[0]}" mdcd; lab kill "${hosts[1]}" mdcd; }
fault_power_active() { target=$(active); lab power off "$target"; isolated_s; }
fault_power_standby() { target=$(standby); lab power off "$target"; isolated_s; }
fault_power_both() { target=both; lab power off "${hosts[0]}"; lab power off "${hosts[1]}"; sleep 1; }
fault_reboot_active() { target=$(active); lab power reboot "$target"; }
fault_kill_corosync() { target=$(active); lab kill "$target" corosync; }
fault_kill_pacemaker() { target=$(active); lab kill "$target" pacemakerd; }
fault_cut_heartbeat() { target=$(active); lab link cut "$target" hb; isolated_s; lab link heal "$target" hb; }
fault_cut_public() { target=$(active); lab link cut "$target" pub; isolated_s; lab link heal "$target" pub; }
fault_cut_management() { target=$(standby); lab link cut "$target" mgmt; isolated_s; lab link heal "$target" mgmt; }
fault_cut_all() { target=$(active); lab link cut "$target" all; sleep 5; lab link heal "$target" all; }
fault_one_way() { target=$(standby); lab link one-way "$target" hb; isolated_s; lab link heal "$target" hb; }
fault_flap_heartbeat() {
	target=$(standby)
	for _ in 1 2 3 4 5; do
		lab link cut "$target" hb
		sleep 0.2
		lab link heal "$target" hb
		sleep 0.2
	done
}
fault_pause_active() { target=$(active); lab pause "$target"; isolated_s; ! is_on "$target" || lab resume "$target"; }
fault_pause_standby() { target=$(standby); lab pause "$target"; isolated_s; ! is_on "$target" || lab resume "$target"; }
fault_freeze_active() { target=$(active); lab freeze "$target" mdcd; isolated_s; lab thaw "$target" mdcd; }
fault_switch_fails() {
	target=$(active)
	lab switch "$target" fails
	lab kill "$target" corosync
	sleep 3
	lab switch "$target" works
}
fault_switch_hangs() {
	target=$(active)
	lab switch "$target" hangs
	lab power off "$target"
	isolated_s
	lab switch "$target" works
}
fault_mute() { target=$(active); lab link mute "$target" hb; isolated_s; lab link heal "$target" hb; }
fault_small_frames() { target=$(active); lab link small "$target" hb; isolated_s; lab link heal "$target" hb; }
fault_slow_link() { target=$(standby); lab slow "$target" link 2000; sleep 3; lab slow "$target" link off; }
fault_switchover() { target=$(active); lab exec "$target" -- mdcctl switchover; }

# Those of the disks and of the clock, where the lab has them.
fault_slow_disk_active() { target=$(active); lab disk "$target" 200 ok; isolated_s; lab disk "$target" 0 ok; }
fault_slow_disk_standby() { target=$(standby); lab disk "$target" 200 ok; isolated_s; lab disk "$target" 0 ok; }
fault_stalled_disk() { target=$(active); lab disk "$target" 6000 ok; sleep 1; lab disk "$target" 0 ok; isolated_s; }
# The LUNs, for both controllers and all clients.
fault_slow_lun() { target=lun; lab lun 200 ok; isolated_s; lab lun 0 ok; }
fault_stalled_lun() { target=lun; lab lun 6000 ok; sleep 1; lab lun 0 ok; isolated_s; }
# The blocks of the arbiter record can be neither read nor written: the pair goes on, with an alarm until it can.
fault_failing_lun() {
	local seen began
	target=lun
	began=$(now_ms)
	lab lun 0 dead arbiter
	if until_true 20 warns_of_arbiter; then
		remark="alarm after $(($(now_ms) - began)) ms"
		seen=$(answers)
		lab whole || violation "the pair is not whole while the blocks of the arbiter record fail"
		until_true 2 answered_more "$seen" || violation "nothing is answered while the blocks of the arbiter record fail"
	else
		violation "no alarm within 20 s after the blocks of the arbiter record failed"
	fi
	lab lun 0 ok
	until_true 20 not warns_of_arbiter || violation "the alarm of the arbiter record does not end"
}
warns_of_arbiter() { [ "$(status "$(active)" '[.alarms[].name] | index("ARBITER") != null')" = true ]; }
answered_more() { [ "$(answers)" -gt "$1" ]; }
fault_disk_fails_active() { target=$(active); replaced_disk; }
fault_disk_fails_standby() { target=$(standby); replaced_disk; }
fault_clock() {
	target=$(active)
	lab clock "$target" "$( ((RANDOM % 2)) && echo + || echo -)$((RANDOM * 900))"
	isolated_s
	lab clock "$target" right
}

# Those of the SAN, where the lab has one: its target starts anew, with no reservation left; it is out of reach.
fault_restart_san() { target=san; lab power reboot san; isolated_s; }
fault_cut_san() { target=san; lab link cut san mgmt; isolated_s; lab link heal san mgmt; }

# Writes to the disk fail until the other one serves alone, then it is replaced: but only when, with its power off, the other one
# holds all that was acknowledged. Else it may be the only copy, and comes back as it is; $remark says so.
replaced_disk() {
	local left
	left=$(other "$target")
	lab disk "$target" 0 fails
	until_true 15 is_alone "$left"
	lab disk "$target" 0 ok
	lab power off "$target"
	if ! until_true 15 holds_everything "$left"; then
		remark="disk kept: $left does not serve alone, it is $(status "$left" '"\(.role) \(.mode // "-") \(.state)"' | grep . || echo "without an answer")"
	elif ! lab disk "$target" new; then
		remark="disk kept: the power of $target was on again"
	fi
}
# Active, and by the arbiter, too, the only member: what it acknowledges is on its disk, and nobody else can acknowledge.
holds_everything() {
	[ "$(status "$1" '.role == "active" and .mode == "ALONE" and .members == [.node] and .arbiter_active == .node and .commit_lsn <= .tail_lsn')" = true ]
}

# The faults that this lab can have.
possible_faults() {
	list_faults | if grep -q '^faulty=yes$' "$dir/etc/env"; then cat; else grep -v 'disk\|lun$'; fi |
		if grep -q '^clock=yes$' "$dir/etc/env"; then cat; else grep -v '^clock$'; fi |
		if grep -q '^san=yes$' "$dir/etc/env"; then cat; else grep -v 'san$'; fi
}
