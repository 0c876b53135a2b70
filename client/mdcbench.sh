#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# make bench: a pair in a directory of its own, everything that mdcbench measures, and nothing left behind.
# Programs come from PATH. TMPDIR says where (a real disk: O_DIRECT is wanted), MILLION=no leaves out the long part.
set -euo pipefail

dir=$(mktemp -d "${TMPDIR:-/var/tmp}/mdcbench.XXXXXX")
pair=$dir/pair

leave() {
	mdcpair down "$pair" >/dev/null 2>&1 || true
	rm -rf "$dir"
}
trap leave EXIT
trap 'exit 1' INT TERM

bench() {
	echo
	echo "mdcbench $*"
	mdcbench "$@" -C "$pair"
}

mdcpair up "$pair" >/dev/null
bench create --sessions 1 --inflight 1 --ops 5000
bench floor create floor stat lookup readdir rename unlink mixed
bench floor create floor --sessions 64 --inflight 1
bench overwrite read append
bench failover
if [ "${MILLION:-yes}" != no ]; then
	bench million
	bench cold --inodes 1000000
fi
