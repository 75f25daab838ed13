#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# One CPU can take all nr_blocks of a pool while the other CPUs' magazines are warm, and
# all of a heap's memory while their fronts are, with whatever number of CPUs there is,
# and while CPUs are away, and after they are back. See test_modules/quarry_promise.c.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

parameters=/sys/module/quarry_promise/parameters
cpus=/sys/devices/system/cpu

kept() {
	echo 1 >$parameters/run && equal result "$(cat $parameters/result)" ok
}

# for_each_cpu STATE COMMAND...: every CPU that can goes to STATE (0, 1).
for_each_cpu() {
	state=$1
	shift
	for online in "$cpus"/cpu[1-9]*/online; do
		[ -w "$online" ] || continue
		[ "$(cat "$online")" != "$state" ] || continue
		echo "$state" >"$online" || return
		"$@" || { echo "$online is $state"; return 1; }
	done
}

can_hotplug() {
	ls $cpus/cpu[1-9]*/online >"$scratch/cpus" 2>&1
}

begin quarry_promise
ktap_set_plan 7
ktap_print_msg "$(nproc) CPUs"
load quarry_promise || ktap_exit_fail_msg "quarry_promise does not load"
check "kept with warm magazines and fronts" kept
if can_hotplug; then
	check "kept as one CPU after the other goes" for_each_cpu 0 kept
	check "kept as they come back" for_each_cpu 1 kept
	unload quarry_promise
	for_each_cpu 0 true
	load quarry_promise
	check "kept when CPUs come after the pools were made" for_each_cpu 1 kept
else
	need_or_skip "kept as CPUs go: none can"
	need_or_skip "kept as they come back: none can go"
	need_or_skip "kept when CPUs come later: none can go"
fi
check "a CPU took all blocks many times" \
	at_least checks "$(cat $parameters/checks)" 36
unload quarry_promise
check "no object stays" views_have_no 'promise*'
check "no warning in the log" log_clean
end
