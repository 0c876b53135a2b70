# SPDX-License-Identifier: GPL-2.0-or-later
# What the nemesis, its scenarios and its timing share: the lab, who is what in it, clients that keep their history. To be sourced
# with $name (of the lab), $work (a directory) and $seed.
# shellcheck shell=bash disable=SC2034,SC2154

here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/..
dir=${TMPDIR:-/var/tmp}/mdclab-$name
own_lab=no
workers=()
hosts=(mdc1 mdc2)
volume=10.77.0.1,10.77.0.2:/vol1
mount=/mnt
counted=promotions

lab() {
	"$here/mdclab" --name "$name" "$@"
}

now_ms() {
	local stamp=$EPOCHREALTIME
	echo $((${stamp/[.,]/} / 1000))
}

# until_true SECONDS COMMAND...
until_true() {
	local end=$(($(now_ms) + $1 * 1000))
	shift
	until "$@"; do
		[ "$(now_ms)" -lt "$end" ] || return 1
		sleep 0.1
	done
}

# A lab of that name that is up is used, and left up.
have_lab() {
	command -v jq >/dev/null || { echo "mdcchaos: jq is missing: apt-get install jq" && exit 77; }
	lab view mdc1 >/dev/null 2>&1 || lab_up
	# shellcheck source=/dev/null
	build=$(. "$dir/etc/env" && echo "${build:?}")
	have_programs
}

# A signal ends it while it comes up, too. One that comes up for somebody else is left alone, and so is one that did not become whole.
lab_up() {
	local up code=0
	is_begun || own_lab=yes
	"$here/mdclab" --name "$name" up --clients 1 --lun-size 512M ${up_options[@]+"${up_options[@]}"} &
	up=$!
	workers+=("$up")
	wait "$up" || code=$?
	forget_worker "$up"
	[ "$code" -eq 0 ] || { own_lab=no && exit "$code"; }
	own_lab=yes
}
is_begun() { [ -e "$dir/run/lock" ] && ! flock -n "$dir/run/lock" true; }

have_programs() {
	local program
	for program in treework registers names; do
		[ -x "$build/tests/work/$program" ] || die "$build/tests/work/$program is missing: make check TESTS="
	done
}

leave() {
	local pid
	for pid in ${workers[@]+"${workers[@]}"}; do
		disown "$pid" 2>/dev/null
		kill -KILL "$pid" 2>/dev/null
	done
	end_lab
	rm -rf "$work"
	[ ! -f "$report" ] || [ -s "$report" ] || rm -f "$report"
}

end_lab() { [ "$own_lab" = no ] || lab down >/dev/null; }

mount_volume() { lab mount c1 "$mount"; }
unmount_volume() { lab exec c1 -- umount "$mount"; }

# in_client COMMAND...: in the client pod, instead of this process; as no child of the pod's init, so that its PID is this one's.
in_client() {
	local pid
	pid=$(cat "$dir/run/c1.pid") || die "the client pod is off"
	exec nsenter -t "$pid" -m -u -i -n -- "$@"
}

# The same as one of the pod's own processes, which mdcfs there can look at: whether a call that is interrupted is to end depends on
# what became of its process. Signals that end this one are passed on to it.
in_client_pod() {
	local pid
	pid=$(cat "$dir/run/c1.pid") || die "the client pod is off"
	exec "$build/labd" enter "$pid" "$@"
}

# ---- who is what ----

active() { lab active || echo "${hosts[0]}"; }
standby() { lab standby || echo "${hosts[1]}"; }
other() { [ "$1" = "${hosts[0]}" ] && echo "${hosts[1]}" || echo "${hosts[0]}"; }
is_alone() { [[ $(lab view "$1" 2>/dev/null) == "active ALONE "* ]]; }
is_on() { [ -e "$dir/run/$1.pid" ]; }

# status POD FILTER: of what the controller in the pod says of itself, by jq.
status() {
	lab exec "$1" -- timeout 3 mdcctl status --json 2>/dev/null | jq -r ".controllers[0] | $2" 2>/dev/null
}

# How often one of them has become active since the lab is there.
promotions() {
	cat "$dir"/pods/mdc?/mdcd.log | grep -c "is active now"
}

# ---- clients that write and read registers and keep their history ----

# start_registers SESSIONS PAUSE_US
start_registers() {
	history=$work/history.$((++histories))
	: >"$history.said"
	(in_client "$build/tests/work/registers" "$volume" "$seed" "$1" "$2" "$history") >>"$history.said" 2>&1 &
	registers=$!
	workers+=("$registers")
	until_true 20 grep -q working "$history.said" || die "the clients cannot start: $(tail -n 1 "$history.said")"
}

registers_live() {
	kill -0 "$registers" 2>/dev/null
}

# Ends them. True when they saw no error and their history can be explained; else $broken says what is wrong.
end_registers() {
	local code=0
	kill -TERM "$registers" 2>/dev/null
	until_true 60 not registers_live || kill -KILL "$registers" 2>/dev/null
	wait "$registers" 2>/dev/null || code=$?
	forget_worker "$registers"
	explained=$("$build/tests/work/registers" --check "$history") || { broken=$explained && return 1; }
	[ "$code" -eq 0 ] || { broken="the clients ended with $code: $(tail -n 1 "$history.said")" && return 1; }
}

# ---- clients that work on the same few names, in rounds, and are killed at times ----

# start_names CLIENTS PAUSE_US
start_names() {
	names_history=$work/names
	# Who follows it may be there before who writes it.
	: >"$names_history.said"
	(in_client "$build/tests/work/names" "$volume" "$seed" "$1" "$2" "$names_history") >>"$names_history.said" 2>&1 &
	names=$!
	workers+=("$names")
	evict_killed &
	evicter=$!
	workers+=("$evicter")
	until_true 20 grep -q working "$names_history.said" || die "the clients of names cannot start: $(tail -n 1 "$names_history.said")"
}

# Who may have layouts and is not back after a failover keeps others from data for as long as a session lasts. An administrator need not wait.
# As long as the pair may take to be whole.
evict_killed() {
	local session
	tail -n +1 -f --pid="$names" "$names_history.said" | sed -un 's/^killed session //p' | while read -r session; do
		until_true 150 is_evicted "$session" || exit
	done
}
is_evicted() {
	local said
	said=$(lab exec "$(active)" -- timeout 5 mdcctl clients evict "$1" 2>&1) || [[ $said == *"there is no session"* ]]
}

names_live() {
	kill -0 "$names" 2>/dev/null
}

# Ends them, with the sessions of those that were killed. True when each round has an explanation, by the simulators' search; else $broken
# says which has none, and what is in the way.
end_names() {
	local code=0
	kill -TERM "$names" 2>/dev/null
	until_true 60 not names_live || kill -KILL "$names" 2>/dev/null
	wait "$names" 2>/dev/null || code=$?
	until_true 120 not kill -0 "$evicter" 2>/dev/null || { broken="the session of a killed client does not end" && return 1; }
	forget_worker "$names"
	forget_worker "$evicter"
	wait "$evicter" || { broken="the sessions of killed clients were not ended" && return 1; }
	"$build/tests/work/names" --check "$names_history" >"$names_history.judged" || { broken=$(head -n 1 "$names_history.judged") && return 1; }
	names_explained=$(cat "$names_history.judged")
	[ "$code" -eq 0 ] || { broken="the clients of names ended with $code: $(tail -n 1 "$names_history.said")" && return 1; }
}

forget_worker() {
	local pid left=()
	for pid in "${workers[@]}"; do
		[ "$pid" = "$1" ] || left+=("$pid")
	done
	workers=(${left[@]+"${left[@]}"})
}

# How many answers they got until now.
answers() {
	grep -c ' got ' "$history"
}

# gap_ms FROM TO: the longest that one of the sessions was without an answer in that time.
gap_ms() {
	awk -v from="$1" -v to="$2" '
		$2 != "got" { next }
		{ at = $3 / 1000 }
		at >= from && $1 in last && last[$1] < to && at - last[$1] > most { most = at - last[$1] }
		{ last[$1] = at }
		END {
			for (s in last)
				if (last[s] < to && to - last[s] > most) most = to - last[s]
			printf "%.1f\n", most
		}' "$history"
}

not() {
	! "$@"
}

histories=0
