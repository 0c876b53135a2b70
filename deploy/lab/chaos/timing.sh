# SPDX-License-Identifier: GPL-2.0-or-later
# mdcchaos --timing: how long a client that never stops asking is without an answer. To be sourced, with chaos/lib.sh before it.
# shellcheck shell=bash disable=SC2154

token_ms=$token consensus_ms=200
[ "$token" -ge 1000 ] || consensus_ms=$((token * 6 / 5))

# Name, limit in ms, head start of the active in a fencing race in s, what is done.
timed() {
	cat <<-END
	undisturbed 100 0 nothing is done
	standby-restarted 100 0 the process of the standby is killed, Pacemaker starts it again
	switchover 300 0 mdcctl switchover
	process-killed 500 0 the process of the active is killed
	power-cut $((token_ms + consensus_ms + 500)) 0 power of the active, token $token_ms ms, consensus $consensus_ms ms, priority-fencing-delay 0
	power-cut-delay-2 $((token_ms + consensus_ms + 3000)) 2 the same with priority-fencing-delay 2 s, which the fencer counts by whole seconds of its clock
	END
}

strike() {
	case $1 in
	undisturbed) sleep 1 ;;
	standby-restarted) lab kill "$(standby)" mdcd ;;
	switchover) lab exec "$(active)" -- mdcctl switchover ;;
	process-killed) lab kill "$(active)" mdcd ;;
	power-cut*) struck=$(active); lab power off "$struck" ;;
	esac
}

set_delay() {
	lab exec "$(active)" -- crm_attribute -q -n priority-fencing-delay -v "${1}s"
}

# Pacemaker's controller goes to sleep for a second when the CIB answers while other answers of its are still due, and says so. Those seconds that
# nobody cut short: nothing more from it before the next.
extra_seconds() {
	awk '
		/pacemaker-controld/ {
			split($3, t, ":")
			at = (t[1] * 60 + t[2]) * 60 + t[3]
			if (slept[FILENAME] && at - slept[FILENAME] > 0.9) n++
			slept[FILENAME] = /Re-asking for the CIB/ ? at : 0
		}
		END { print n + 0 }' "$dir"/pods/mdc?/log/pacemaker/pacemaker.log
}

# one_timing KIND: GAP, and how many extra seconds there were in it.
one_timing() {
	local kind=$1 from to extra struck=
	lab wait 90 >/dev/null || die "$kind: the pair is not whole"
	sleep 2
	extra=$(extra_seconds)
	from=$(now_ms)
	strike "$kind" >>"$work/noise" 2>&1
	until_true 60 answered_since $(($(now_ms) + 100)) || die "$kind: no client is answered any more"
	to=$(now_ms)
	[ -z "$struck" ] || is_on "$struck" || lab power on "$struck" >/dev/null
	echo "$kind $(gap_ms "$from" "$to") $(($(extra_seconds) - extra))" >>"$work/timings"
	tail -n 1 "$work/timings" | awk '{ printf "%-18s %8.1f ms%s\n", $1, $2, ($3 > 0 ? "  with a second of pacemaker-controld" : "") }' >&2
}

# Each session has.
answered_since() {
	[ "$(tail -n 4000 "$history" | awk -v since="$1" '$2 == "got" && $3 / 1000 > since && !($1 in s) { s[$1]; n++ } END { print n + 0 }')" -eq 2 ]
}

# The rows as JSON.
timing_json() {
	local kind limit delay what
	timed | while read -r kind limit delay what; do
		awk -v kind="$kind" '$1 == kind { print $2, $3 }' "$work/timings" | sort -n |
			jq -Rs --arg kind "$kind" --arg what "$what" --argjson limit "$limit" --argjson delay "$delay" '
				[split("\n")[] | select(. != "") | split(" ") | map(tonumber)] as $runs | ($runs | length) as $n |
				{$kind, $what, runs: $n, limit_ms: $limit, priority_fencing_delay_s: $delay,
				 median_ms: (if $n % 2 == 1 then $runs[($n - 1) / 2][0] else ($runs[$n / 2 - 1][0] + $runs[$n / 2][0]) / 2 end),
				 least_ms: $runs[0][0], most_ms: $runs[-1][0], gaps_ms: [$runs[][0]],
				 with_extra_second: [$runs[] | select(.[1] > 0)] | length} | .median_ms |= (. * 10 | round / 10) | .kept = (.median_ms <= .limit_ms)'
	done | jq -s --argjson token "$token_ms" --argjson consensus "$consensus_ms" --argjson load "$(cut -d' ' -f1 /proc/loadavg)" \
		--arg history "$explained" '{token_ms: $token, consensus_ms: $consensus, $load, $history, rows: .}'
}

timing_table() {
	jq -r '"gap: the longest time between two answers of one of two sessions that never stop asking; ms; load \(.load)", "",
		"what\truns\tmedian\tlimit\tleast\tmost\textra s\tkept", (.rows[] |
		"\(.kind)\t\(.runs)\t\(.median_ms)\t\(.limit_ms)\t\(.least_ms)\t\(.most_ms)\t\(.with_extra_second)\t\(if .kept then "yes" else "NO" end)")' |
		awk -F '\t' 'NF < 2 { print; next } { printf "%-18s %5s %9s %7s %9s %9s %8s %5s\n", $1, $2, $3, $4, $5, $6, $7, $8 }'
}

# run_timing RUNS: 0 when every median keeps its limit.
run_timing() {
	local before runs=$1 kind limit delay what i last_delay=
	before=$(promotions)
	start_registers 2 0
	while read -r kind limit delay what <&4; do
		[ "$delay" = "$last_delay" ] || set_delay "$delay"
		last_delay=$delay
		for ((i = 0; i < runs; i++)); do
			one_timing "$kind"
		done
	done 4< <(timed)
	end_registers || die "$broken"
	timing_json >"$work/timing.json"
	if [ "$json" = yes ]; then
		cat "$work/timing.json"
	else
		timing_table <"$work/timing.json"
		echo
		echo "extra s: runs in which pacemaker-controld slept a whole second (a CIB reply came while other replies were due)"
		echo "$explained; $(($(promotions) - before)) promotions"
	fi
	jq -se '.[0] | all(.rows[]; .kept)' "$work/timing.json" >/dev/null
}
