#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Each planted bug is a patch of the sources as they are now. Without patch(1) this is skipped.
set -uo pipefail
cd "${top_srcdir:-$(dirname "$0")/..}" || exit 1
command -v patch >/dev/null || exit 77
bad=0

for file in tests/mutants/*.patch; do
	patch --dry-run --silent --force --fuzz=0 --strip=1 --read-only=ignore --reject-file=- <"$file" && continue
	echo "$file: does not apply"
	bad=1
done
exit "$bad"
