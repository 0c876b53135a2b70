# SPDX-License-Identifier: GPL-2.0-or-later
# The report of a run of mdcchaos, as a page. To be sourced by it.
# shellcheck shell=bash disable=SC2154

# Operations a second as a line, the faults as marks with their numbers.
picture() {
	sort -n "$work"/ops? | awk -v from="$began_ms" -v to="$ended_ms" -v faults="$work/faults" '
		function x(ms) { return 50 + 940 * (ms - from) / (to - from) }
		{ s = int(($1 - from) / 500); if (s >= 0) { n[s]++; if (n[s] > most) most = n[s] } }
		END {
			if (!most) most = 1
			print "<svg viewBox=\"0 0 1000 260\" font-size=\"11\" font-family=\"sans-serif\">"
			while ((getline line < faults) > 0) {
				split(line, f, " ")
				printf "<rect x=\"%.1f\" y=\"20\" width=\"%.1f\" height=\"200\" fill=\"#fdd\"/>", x(f[1]), x(f[1] + f[4]) - x(f[1])
				printf "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"20\" y2=\"220\" stroke=\"#c00\"/><text x=\"%.1f\" y=\"15\">%d</text>\n", x(f[1]), x(f[1]), x(f[1]), ++number
			}
			printf "<polyline fill=\"none\" stroke=\"#036\" points=\""
			for (s = 0; s * 500 < to - from; s++)
				printf "%.1f,%.1f ", x(from + s * 500), 220 - 195 * n[s] / most
			printf "\"/><text x=\"2\" y=\"30\">%d/s</text><text x=\"30\" y=\"220\">0</text>", most * 2
			printf "<text x=\"50\" y=\"240\">0 s</text><text x=\"950\" y=\"240\">%d s</text></svg>\n", (to - from) / 1000
		}'
}

write_report() {
	local number=0 began fault target whole longest gap remark line
	cat <<-END
	<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>mdcchaos, seed $seed</title>
	<style>body{font-family:sans-serif;max-width:70em;margin:2em auto}td,th{padding:.2em 1em;text-align:left}td.n{text-align:right}</style>
	<h1>mdcchaos, seed $seed: $([ ${#verdict[@]} -eq 0 ] && echo "nothing lost" || echo "VIOLATION")</h1>
	<p>$file_ops operations of 2 programs on a mount, $asked of 4 sessions with a history, $named of 4 clients on the same names, $count faults, $failovers $counted in $(((ended_ms - began_ms) / 1000)) s. Again:
	<code>mdcchaos --seed $seed --minutes $minutes${only:+ --faults $only}</code></p>
	END
	for line in ${verdict[@]+"${verdict[@]}"}; do
		printf '<p><b>%s</b></p>\n' "$(sed 's/&/\&amp;/g; s/</\&lt;/g' <<<"$line")"
	done
	echo "<p>Operations a second; red from each fault until the pair was whole again.</p>"
	picture
	echo "<table><tr><th>no.<th>at s<th>fault<th>of<th>whole again after ms<th>longest operation ms<th>gap of a session ms<th></tr>"
	while read -r began fault target whole longest gap remark; do
		number=$((number + 1))
		printf '<tr><td class="n">%d<td class="n">%d<td>%s<td>%s<td class="n">%d<td class="n">%d<td class="n">%d<td>%s</tr>\n' \
			"$number" $(((began - began_ms) / 1000)) "$fault" "$target" "$whole" "$longest" "$gap" "$remark"
	done <"$work/faults"
	echo "</table>"
	if [ ${#verdict[@]} -gt 0 ]; then
		echo "<h2>What the machine room did</h2><pre>"
		lab events | tail -n 200 | sed 's/&/\&amp;/g; s/</\&lt;/g'
		echo "</pre>"
	fi
	echo "</html>"
}

