#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The pure core may call nothing that has a clock, a file, a socket, a thread or chance in it.
# Usage: core-symbols.sh [ARCHIVE]
set -euo pipefail

archive=${1:-.libs/libmdccore.a}
: "${NM:=nm}"

allowed=(
	'mem(cpy|move|set|cmp|chr|rchr|mem|pcpy)'
	'str(len|nlen|cmp|ncmp|chr|chrnul|rchr|str|spn|cspn|pbrk|cpy|ncpy|cat|ncat|dup|ndup|sep)'
	'(str|strn)casecmp' 'stp(cpy|ncpy)' 'strto(l|ul|ll|ull)' '__isoc23_strto(l|ul|ll|ull)'
	'v?snprintf' 'malloc' 'calloc' 'realloc' 'free' 'aligned_alloc' 'madvise'
	'qsort' 'qsort_r' 'bsearch' '__ctype_b_loc'
	'abort' '__assert_fail' '__stack_chk_fail'
	'__(mem|str|stp)[a-z]*_chk' '__v?snprintf_chk'
	'_GLOBAL_OFFSET_TABLE_' '__tls_get_addr' '__cpu_(model|indicator_init)'
	'__(popcount|clz|ctz|parity)[dst]i2' '__u?(div|mod|divmod)ti[34]'
	'XXH(3|32|64|128)?_[A-Za-z0-9_]+'
	'uuid_(clear|compare|copy|is_null|parse|unparse|unparse_lower|unparse_upper)'
)
[ "${enable_asan:-no}" = yes ] && allowed+=('__(asan|ubsan|sanitizer|lsan)_[a-z0-9_]+')
[ "${enable_coverage:-no}" = yes ] && allowed+=('__gcov_[a-z0-9_]+')
pattern=$(IFS='|'; echo "^(${allowed[*]})\$")

if ! [ -f "$archive" ]; then
	echo "$archive: not built yet"
	exit 1
fi
own=$(mktemp)
trap 'rm -f "$own"' EXIT
$NM -A --defined-only --extern-only "$archive" | awk '{ print $NF }' | sort -u >"$own"
if ! [ -s "$own" ]; then
	echo "$archive: defines nothing, so nothing was checked"
	exit 1
fi

$NM -A -u "$archive" | awk -v own="$own" -v pattern="$pattern" '
	BEGIN { while ((getline name < own) > 0) mine[name] = 1 }
	{
		name = $NF; sub(/@.*/, "", name)
		object = $1; sub(/:$/, "", object); sub(/.*:/, "", object)
		if (name in mine || name ~ pattern)
			next
		print object ": calls " name ", which the pure core may not"
		bad = 1
	}
	END { exit bad }'
echo "$archive: $(wc -l <"$own") symbols defined, nothing forbidden is called"
