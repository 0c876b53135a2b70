# SPDX-License-Identifier: GPL-2.0-or-later
# When a cluster is at rest, in the lab or by ssh. To be sourced; `on HOST COMMAND...` does it there.
# shellcheck shell=bash

# sees_all_well HOST: by its Pacemaker both are online and have their roles, and nothing is under way.
sees_all_well() {
	local view dc
	view=$(on "$1" crm_mon -1 --output-as=xml 2>/dev/null) || return 1
	[ "$(grep -c '<node .* online="true" .* pending="false" unclean="false"' <<<"$view")" -eq 2 ] || return 1
	[ "$(grep -c '<resource .* role="Promoted" ' <<<"$view")$(grep -c '<resource .* role="Unpromoted" ' <<<"$view")" = 11 ] || return 1
	dc=$(sed -n 's/.*<current_dc .* name="\([^"]*\)".*/\1/p' <<<"$view")
	[[ $(on "$1" crmadmin -S "$dc" 2>/dev/null) == *" S_IDLE"* ]]
}
