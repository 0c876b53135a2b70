# SPDX-License-Identifier: GPL-2.0-or-later
# What the tests of the mount share: a pair of their own, its volume mounted, and its end. To be sourced.
# shellcheck shell=bash disable=SC2034
set -eEuo pipefail
trap 'note_failure "$?" "${BASH_SOURCE[0]##*/}:$LINENO: $BASH_COMMAND"' ERR
# shellcheck source-path=SCRIPTDIR source=../../deploy/pair.sh
. "$MDC_TOP/deploy/pair.sh"

pair=$TMPDIR/pair
mount=$TMPDIR/mnt
volume=
fuse_mode= # to be given back
frozen=()

skip() {
	echo "$*"
	exit 77
}

# What failed is said last, below the logs of the pair.
note_failure() {
	echo "FAILED with $1 at $2" >>"$TMPDIR/why"
}

fail() {
	echo "FAILED: $*" | tee -a "$TMPDIR/why"
	exit 1
}

need() {
	local program
	for program; do
		command -v "$program" >/dev/null || skip "$program is not installed"
	done
}

[ "$(id -u)" -eq 0 ] || skip "needs root"
[ -e /dev/fuse ] || skip "there is no /dev/fuse"
[ -x "$MDC_BUILD/mdcfs" ] || skip "this build has no mdcfs"
need jq fusermount3

# The test's mounts are its own: a mount namespace that somebody makes meanwhile would hold them when they are ended here.
if [ "${MDC_MOUNTS:-}" != own ]; then
	exec env MDC_MOUNTS=own unshare --mount --propagation private "$0"
fi

is_mounted() {
	mountpoint -q "$mount"
}

is_gone() {
	! is_mounted
}

# The mount's processes of this test, by the mark that they carry. A process that ends meanwhile is no failure.
mdcfs_pids() {
	{ grep -lsx mdcfs /proc/[0-9]*/comm || true; } | while IFS= read -r comm; do
		if grep -qsz "^MDC_TEST=$MDC_TEST\$" "${comm%comm}environ"; then
			echo "${comm//[!0-9]/}"
		fi
	done
}

no_mdcfs() {
	[ -z "$(mdcfs_pids)" ]
}

start_pair() {
	mkdir -p "$pair" "$mount"
	mdcpair up "$pair" >"$TMPDIR/up" 2>&1 || { cat "$TMPDIR/up"; fail "mdcpair up"; }
	volume=$(grep -o '[^ ]*,[^ ]*:/vol1' "$TMPDIR/up" | head -n 1)
	[ -n "$volume" ] || fail "mdcpair up did not say how to mount vol1"
	wait_for 30 "the pair to be in sync" pair_is_insync
}

mount_volume() {
	mdcfs "$@" "$volume" "$mount"
	is_mounted || fail "mdcfs returned, but nothing is mounted"
}

unmount_volume() {
	umount "$mount"
	wait_for 15 "mdcfs to end" no_mdcfs
}

# At random moments, whenever the pair is in sync, until the file stop appears.
kill_actives() {
	while [ ! -e "$TMPDIR/stop" ]; do
		if pair_is_insync && [ ! -e "$TMPDIR/stop" ]; then
			mdcpair kill "$pair" active >/dev/null && echo x >>"$TMPDIR/kills"
		fi
		sleep "$((RANDOM % 2)).$((RANDOM % 5 + 4))"
	done
}

start_killing() {
	rm -f "$TMPDIR/stop"
	: >"$TMPDIR/kills"
	kill_actives &
	killer=$!
}

# stop_killing LEAST
stop_killing() {
	local kills
	touch "$TMPDIR/stop"
	wait "$killer"
	kills=$(wc -l <"$TMPDIR/kills")
	echo "killed the active $kills times"
	[ "$kills" -ge "$1" ] || fail "the active was killed $kills times, that shows nothing"
}

# No controller answers, and the supervisor does not notice.
freeze_pair() {
	local pid
	mapfile -t frozen < <(pair_get '.controllers[].pid')
	pid=$(ps -o ppid= -p "${frozen[0]}" | tr -d ' ')
	[ "$pid" -le 1 ] || frozen=("$pid" "${frozen[@]}")
	kill -STOP "${frozen[@]}"
}

thaw_pair() {
	[ ${#frozen[@]} -eq 0 ] || kill -CONT "${frozen[@]}" 2>/dev/null || true
	frozen=()
}

same_trees() {
	local differences
	differences=$(rsync -aHAXnc --delete -i "$1/" "$2/") || fail "rsync could not compare"
	[ -z "$differences" ] || { head -n 20 <<<"$differences"; fail "$1 and $2 differ"; }
}

end_test() {
	local code=$?
	trap - EXIT
	set +e
	cd /
	touch "$TMPDIR/stop"
	thaw_pair
	[ -z "$fuse_mode" ] || chmod "$fuse_mode" /dev/fuse
	[ "$code" -eq 0 ] || tail -n 20 "$pair"/*.log "$pair"/*/*.log 2>/dev/null
	umount -l "$mount" 2>/dev/null
	# It has an active to commit to and to say good-bye to, or waits for one as long as it may.
	wait_for 15 "mdcfs to end" no_mdcfs
	mdcpair down "$pair" >/dev/null 2>&1
	no_mdcfs || wait_for 30 "mdcfs to end without a pair" no_mdcfs
	[ "$code" -eq 0 ] || cat "$TMPDIR/why" 2>/dev/null
	exit "$code"
}
trap end_test EXIT
