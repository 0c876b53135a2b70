#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Arrows between rooms never turn back, and what is pure includes nothing from an edge.
set -euo pipefail
cd "${top_srcdir:-$(dirname "$0")/..}"

declare -A may_include=(
	[proto]='proto'
	[lun]='lun proto'
	[journal]='journal proto lun'
	[ha]='ha proto journal lun'
	[controller]='controller proto lun journal ha'
	[client]='client proto lun'
)
bad=0

while IFS=: read -r file line text; do
	room=${file%%/*}
	header=${text#*\"}
	header=${header%%\"*}
	target=${header%%/*}
	case " ${!may_include[*]} " in
	*" $target "*) ;;
	*) continue ;;
	esac
	if [[ " ${may_include[$room]} " != *" $target "* ]]; then
		echo "$file:$line: $room may not include $header"
		bad=1
	elif [[ $file == */core/* && $header == */io/* ]]; then
		echo "$file:$line: pure code may not include $header"
		bad=1
	fi
done < <(grep -rnE --include='*.[ch]' --include='*.def' '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' "${!may_include[@]}")

doubles=$(find "${!may_include[@]}" -name '*.[ch]' -printf '%f\n' | sort | uniq -d)
if [ "$doubles" ]; then
	echo "several files have one name:" "$doubles"
	bad=1
fi
exit "$bad"
