#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What the simulators and the crash sweeps refuse, and that a run in which too little happens fails. From the build's directory.
set -uo pipefail
bad=0

# expect STATUS TEXT CMD...: it ends so, and says so.
expect() {
	local out rc
	out=$("${@:3}" 2>&1)
	rc=$?
	[ "$rc" -eq "$1" ] && grep -q -e "$2" <<<"$out" && return
	echo "${*:3}: ends with status $rc, wanted $1 and \"$2\": $out"
	bad=1
}

sim=tests/sim/sim ha_sim=tests/sim/ha_sim crash=tests/crash/crash

for option in seeds from seed repeat jobs scenario; do
	for number in abc 1x -1 '' 99999999999999999999; do
		expect 2 "^--$option: \"$number\" is no number" $sim --$option "$number"
	done
done
for option in seeds repeat jobs; do
	expect 2 "^--$option: \"0\" is no number" $sim --$option 0
done
for option in seeds seed ms; do
	expect 2 "^--$option: \"abc\" is no number" $ha_sim --$option abc
done
for option in share jobs ops at 'then' fail sector node deny; do
	expect 2 "^--$option: \"abc\" is no number" $crash --$option abc
done
expect 1 'do not count, which are too many' $ha_sim --seeds 20 --ms 1
expect 1 'VIOLATION of plan' $crash --script pair --ops 20 --at 9999 --fate kept
exit "$bad"
