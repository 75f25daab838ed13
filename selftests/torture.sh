#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Every context at once on every CPU, while CPUs go and come back. The module
# judges; see test_modules/quarry_torture.c. QUARRY_TORTURE_SECONDS (30),
# QUARRY_TORTURE_SEED (1). Whoever runs this in a virtual machine reads from VERDICT
# when to send NMIs.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

seconds=${QUARRY_TORTURE_SECONDS:-30}
outcome=$debugfs/quarry_torture/result
cpus=/sys/devices/system/cpu
hotplugs=0

nmis() {
	[ ! -w "${VERDICT:-}" ] || echo "quarry-nmi: $1" >"$VERDICT"
}

hotplug() {
	for cpu in "$cpus"/cpu[1-9]*/online; do
		[ -w "$cpu" ] || continue
		echo 0 2>/dev/null >"$cpu" || continue
		sleep 1
		echo 1 >"$cpu" || return
		hotplugs=$((hotplugs + 1))
		sleep 1
	done
}

# The first third without, so that all CPUs are at work for a while.
run() {
	begun_at=$(date +%s)
	sleep $((seconds / 3))
	while [ $(($(date +%s) - begun_at)) -lt $((seconds - 4)) ]; do
		hotplug || return
		[ "$hotplugs" -gt 0 ] || break
	done
}

# It drains and judges after its time, on a slow machine for some time.
wait_done() {
	limit=$(($(date +%s) + seconds + 60))
	until [ "$(value $outcome state)" = "done" ]; do
		[ "$(date +%s)" -lt "$limit" ] || return
		sleep 1
	done
}

both_did_something() {
	at_least "$1_took" "$(value $outcome "$1_took")" $((10 * seconds)) &&
		at_least "$1_gave" "$(value $outcome "$1_gave")" $((10 * seconds))
}

begin quarry_torture
ktap_set_plan 10
check "the torture loads" load quarry_torture seconds="$seconds" \
	seed="${QUARRY_TORTURE_SEED:-1}"
nmis start
check "CPUs go and come back" run
nmis stop
if [ "$hotplugs" -gt 0 ]; then
	ktap_test_pass "CPUs took part: $hotplugs hotplugs"
else
	need_or_skip "CPUs took part: none could be taken offline"
fi
check "it comes to an end" wait_done
sed 's/^/# /' $outcome
check "threads took part" both_did_something thread
check "hard interrupts took part" both_did_something hardirq
check "softirqs took part" both_did_something softirq
if [ "$(value $outcome nmi_turns)" -gt 0 ]; then
	check "NMIs took part" at_least nmi_took "$(value $outcome nmi_took)" 1
else
	need_or_skip "NMIs took part: nobody sent one"
fi
check "the verdict is ok, without errors" \
	equal verdict "$(value $outcome verdict) $(value $outcome errors)" "ok 0"
unload quarry_torture
check "no pool stays, no warning in the log" \
	eval 'views_have_no "torture*" && log_clean'
end
