# SPDX-License-Identifier: GPL-2.0-or-later
# What deploy/quickstart and deploy/check share: packages, configure, build. To be sourced.
# shellcheck shell=bash disable=SC2034

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=$top/build
install=yes
build_packages=(
	gcc libc6-dev make autoconf automake libtool pkg-config
	liblmdb-dev libqb-dev libjansson-dev libinih-dev libxxhash-dev uuid-dev
	liburing-dev libfuse3-dev libiscsi-dev
)
cluster_packages=(
	corosync pacemaker pacemaker-cli-utils pacemaker-resource-agents iproute2 util-linux procps
	libcpg-dev libvotequorum-dev libcmap-dev libcorosync-common-dev pacemaker-dev
)
unset MAKEFLAGS MFLAGS MAKELEVEL

say() {
	printf '%s\n' "$*"
}

die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

# wrong_usage WHAT: the command line cannot be understood.
wrong_usage() {
	printf '%s: %s\nTry: %s --help\n' "${0##*/}" "$*" "$0" >&2
	exit 2
}

is_debian() {
	(. /etc/os-release 2>/dev/null && [[ " ${ID:-} ${ID_LIKE:-} " == *" debian "* ]])
}

is_debian_12() {
	(. /etc/os-release 2>/dev/null && [ "${ID:-}" = debian ] && [ "${VERSION_ID:-}" = 12 ])
}

is_root() {
	[ "$(id -u)" -eq 0 ]
}

# install_packages NAME...: says what it does before it does it; silent when all is there.
install_packages() {
	local missing=() package
	if ! is_debian; then
		[ "$install" = no ] || say "packages: this is not Debian, so none are installed; configure names what is missing"
		return 0
	fi
	for package; do
		[[ $(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null) == ?i* ]] ||
			missing+=("$package")
	done
	[ ${#missing[@]} -gt 0 ] || return 0
	if [ "$install" = no ]; then
		say "packages: going on without ${missing[*]} (--no-install)"
		return 0
	fi
	is_root || die "run as root, or first: apt-get install ${missing[*]}"
	say "packages: installing by apt: ${missing[*]}"
	local log apt=(apt-get -q -y -o DPkg::Lock::Timeout=300)
	log=$(mktemp)
	"${apt[@]}" update >"$log" 2>&1 || say "packages: apt-get update failed, trying with the lists that are here"
	if ! DEBIAN_FRONTEND=noninteractive "${apt[@]}" install --no-install-recommends "${missing[@]}" \
		>>"$log" 2>&1 </dev/null; then
		tail -n 20 "$log" >&2
		die "apt could not install the packages; the log is $log"
	fi
	rm -f "$log"
	installed_now=yes
}

# One build at a time in this tree. Close descriptor 9 for what may outlive the caller.
lock_build() {
	mkdir -p "$build"
	exec 9<"$build"
	flock -n 9 && return
	say "build: another run works in $build, waiting for it"
	flock 9
}

unlock_build() {
	exec 9<&-
}

# logged NAME COMMAND...: its output goes to build/NAME.log, and to the terminal if it fails.
logged() {
	local log=$build/$1.log
	shift
	"$@" >"$log" 2>&1 9<&- && return
	tail -n 60 "$log" >&2
	say "failed: $* (all of it in $log)" >&2
	return 1
}

# configure_build [--any] ARGUMENT...: with exactly these; --any is content with what is there.
configure_build() {
	local any=no stamp=$build/configured-with was=nothing
	if [ "$1" = --any ]; then
		any=yes
		shift
	fi
	if [ ! -e "$top/configure" ]; then
		command -v autoreconf >/dev/null || die "autoreconf is missing: install autoconf, automake and libtool"
		say "build: autoreconf"
		(cd "$top" && logged autoreconf autoreconf -fi) || return
	fi
	if [ -e "$build/Makefile" ]; then
		was=$(cat "$stamp" 2>/dev/null || echo unknown)
		if [ "${installed_now:-no}" = no ] && { [ "$any" = yes ] || [ "$was" = "$*" ]; }; then
			return 0
		fi
	fi
	say "build: configure $*"
	rm -f "$stamp"
	# Both configure and libtool run in this shell, and most of their time is its start: bash takes half as long again as dash.
	(cd "$build" && logged configure env CONFIG_SHELL=/bin/sh "$top/configure" "$@") || return
	sed -n '/^mdcpair /,$p' "$build/configure.log"
	if [ "$was" != nothing ] && [ "$was" != "$*" ]; then
		make -s -C "$build" clean >/dev/null
	fi
	printf '%s' "$*" >"$stamp"
}

# make_build LOG TARGET...
make_build() {
	local log=$1
	shift
	logged "$log" make -C "$build" -j"$(nproc)" "$@"
}
