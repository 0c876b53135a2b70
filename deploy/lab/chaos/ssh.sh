# SPDX-License-Identifier: GPL-2.0-or-later
# Another cluster in place of the lab: what mdcchaos asks of mdclab, done by ssh on two hosts that run a pair under Pacemaker, with
# the clients on this host. To be sourced behind chaos/lib.sh and chaos/faults.sh, with $ssh_hosts and $ssh_volume.
# shellcheck shell=bash disable=SC2034,SC2154

# shellcheck source-path=SCRIPTDIR source=rest.sh
. "$parts/rest.sh"
IFS=, read -ra hosts <<<"$ssh_hosts"
volume=$ssh_volume
mount=$work/mnt

# on HOST COMMAND...
on() {
	local host=$1
	shift
	ssh -n -o BatchMode=yes -o ConnectTimeout=3 -o ServerAliveInterval=2 "$host" "$(printf '%q ' "$@")"
}

lab() {
	local what=$1 host
	shift
	case $what in
	view) on "$1" mdcd-agent view ;;
	active | standby)
		for host in "${hosts[@]}"; do
			[[ $(lab view "$host" 2>/dev/null) == "$what "* ]] && echo "$host" && return
		done
		return 1 ;;
	whole) is_whole ;;
	wait) until_true "$1" is_settled ;;
	kill) on "$1" pkill -KILL -x "$2" ;;
	freeze) on "$1" pkill -STOP -x "$2" ;;
	thaw) on "$1" pkill -CONT -x "$2" ;;
	power) [ "$1" = on ] || on "$(other "$2")" stonith_admin --reboot "$(on "$2" uname -n)" ;;
	exec)
		host=$1
		shift 2
		on "$host" "$@" ;;
	events) echo "the journals of ${hosts[*]}" ;;
	*) die "$what: not by ssh" ;;
	esac
}

is_whole() {
	local host
	host=$(lab active) && [[ $(lab view "$host") == "active SYNC "*" 1,2" ]]
}

is_settled() { is_whole && sees_all_well "${hosts[0]}" && sees_all_well "${hosts[1]}" && is_whole; }

is_on() { on "$1" true 2>/dev/null; }
mount_volume() { mkdir -p "$mount" && mdcfs "$volume" "$mount"; }
unmount_volume() { umount "$mount"; }
in_client() { exec "$@"; }
in_client_pod() { exec "$@"; }

# Logs are where each host has them; epochs count promotions, and each time that one went on alone.
counted=epochs
promotions() { status "$(active)" .epoch; }

possible_faults() {
	printf '%s\n' kill-active kill-standby kill-both kill-corosync kill-pacemaker freeze-active reboot-active switchover
}

have_lab() {
	local host
	build=$(dirname "$(command -v mdcfs || echo "$here/../../build/mdcfs")")
	[ -x "$build/tests/work/registers" ] || build=$(cd "$here/../../build" && pwd) || exit
	have_programs
	for host in "${hosts[@]}"; do
		lab view "$host" >/dev/null || die "$host: no controller answers there, or root cannot log in by ssh without a password"
	done
}

end_lab() { ! mountpoint -q "$mount" || umount -l "$mount"; }
