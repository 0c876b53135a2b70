# SPDX-License-Identifier: GPL-2.0-or-later
# What the tests of embedded pairs share. To be sourced.
# shellcheck shell=bash
# shellcheck source-path=SCRIPTDIR source=../../deploy/pair.sh
. "$MDC_TOP/deploy/pair.sh"

pair=$TMPDIR/pair

fail() {
	why="FAILED: $*"
	exit 1
}

pair_clean_up() {
	local code=$?
	trap - EXIT
	[ -z "${throng:-}" ] || disperse
	if [ "$code" -ne 0 ] && [ -d "$pair/log" ]; then
		tail -n 25 "$pair"/log/*.log
	fi
	echo "${why:-}"
	mdcpair down "$pair" >/dev/null 2>&1
	exit "$code"
}

trap pair_clean_up EXIT
trap 'exit 130' INT TERM

pair_up() {
	mdcpair up --lun-size 64M "$pair" || fail "mdcpair up ended with $?"
}

insync() {
	wait_for 30 "the pair to be in sync" pair_is_insync || fail "not INSYNC again"
}

# active_is_not "NODE EPOCH": there is an active, and it is another one or of another epoch.
active_is_not() {
	local now
	now=$(pair_active) && [ "$now" != "$1" ]
}

# conf_of NODE: its configuration.
conf_of() {
	echo "$pair/node$1/mdcd.conf"
}

# address_of NODE
address_of() {
	sed -n "/^\[access\]/,/^\[/s/^address$1 = //p" "$(conf_of 1)"
}

supervisor_pid() {
	cat "$pair/supervisor.pid"
}

# says CODE TEXT COMMAND...: the command ends with CODE and its output contains TEXT.
says() {
	local want=$1 text=$2 code=0 output
	shift 2
	output=$(timeout 20 "$@" 2>&1) || code=$?
	printf '%s\n' "$output"
	[ "$code" -eq "$want" ] || fail "\"$*\" ended with $code, not with $want"
	[[ $output == *"$text"* ]] || fail "\"$*\" did not say \"$text\""
}

# throng TYPE NAME N [UID]: so many connections to a socket of this host ("@" before an abstract name as libqb pads it) that say
# nothing, until disperse.
throng() {
	rm -f "$TMPDIR/throng"
	# shellcheck disable=SC2016
	perl -MSocket -e '
		my ($type, $name, $n, $ready, $uid) = @ARGV;
		$> = $uid if $uid;
		$name = pack "xa107", $1 if $name =~ /^@(.*)/;
		for (1 .. $n) {
			socket(my $s, AF_UNIX, $type eq "stream" ? SOCK_STREAM : SOCK_SEQPACKET, 0) or die "socket: $!";
			connect($s, pack_sockaddr_un($name)) or die "connect: $!";
			push @s, $s;
		}
		$> = $<;
		rename $ready . ".new", $ready if open F, ">", "$ready.new";
		sleep 600' "$1" "$2" "$3" "$TMPDIR/throng" "${4:-}" &
	throng=$!
	wait_for 20 "the throng" test -e "$TMPDIR/throng" || fail "no throng at $2"
}

disperse() {
	kill "$throng"
	wait "$throng" 2>/dev/null
	throng=
}
