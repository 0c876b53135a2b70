# SPDX-License-Identifier: GPL-2.0-or-later
# How scripts ask an embedded pair what it is doing. To be sourced; $pair is its directory.
# shellcheck shell=bash disable=SC2154

# pair_get FILTER: a value of the status, as jq -r gives it; fails while nobody answers.
pair_get() {
	local json
	json=$(mdcctl -C "$pair" status --json 2>/dev/null) || return
	jq -er "def active: .controllers[] | select(.role == \"active\");
		def standby: .controllers[] | select(.role == \"standby\");
		$1" <<<"$json" 2>/dev/null
}

# The active and its epoch: changes with every failover.
pair_active() {
	pair_get '(active | .node) as $node | "\($node) \(.epoch)"'
}

pair_is_insync() {
	pair_get 'active | select(.mode == "SYNC" and .peer_insync) | .node' >/dev/null
}

pair_is_alone() {
	pair_get 'active | select(.mode == "ALONE") | .node' >/dev/null
}

now_ms() {
	local stamp=$EPOCHREALTIME
	echo $((${stamp/[.,]/} / 1000))
}

# wait_for SECONDS WHAT COMMAND...: until COMMAND succeeds; ret_waited_ms says how long it took.
wait_for() {
	local limit_ms=$(($1 * 1000)) what=$2 start_ms
	shift 2
	start_ms=$(now_ms)
	ret_waited_ms=0
	until "$@"; do
		ret_waited_ms=$(($(now_ms) - start_ms))
		if [ "$ret_waited_ms" -gt "$limit_ms" ]; then
			echo "waited $((limit_ms / 1000)) s in vain for $what" >&2
			return 1
		fi
		sleep 0.02
	done
	ret_waited_ms=$(($(now_ms) - start_ms))
}
