#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Every context at once on every CPU, while CPUs go and come back: on pools, and at the
# same time on heaps and routers, and on bumps and per-CPU arenas. The modules judge; see
# test_modules/torture.h, quarry_torture.c, quarry_heap_torture.c and
# quarry_bump_torture.c. QUARRY_TORTURE_SECONDS (30), QUARRY_TORTURE_SEED (1). Whoever
# runs this in a virtual machine reads from VERDICT when to send NMIs.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

seconds=${QUARRY_TORTURE_SECONDS:-30}
modules='quarry_torture quarry_heap_torture quarry_bump_torture'
cpus=/sys/devices/system/cpu
hotplugs=0
verified=0

nmis() {
	[ ! -w "${VERDICT:-}" ] || echo "quarry-nmi: $1" >"$VERDICT"
}

# outcome MODULE NAME
outcome() {
	value "$debugfs/$1/result" "$2"
}

load_all() {
	for module in $modules; do
		load "$module" seconds="$seconds" seed="${QUARRY_TORTURE_SEED:-1}" || return
	done
}

verify_busy() {
	cat $views/*/torture-*/verify >>"$scratch/verify" 2>&1
	verified=$((verified + 1))
}

hotplug() {
	for cpu in "$cpus"/cpu[1-9]*/online; do
		[ -w "$cpu" ] || continue
		echo 0 2>/dev/null >"$cpu" || continue
		sleep 1
		verify_busy
		echo 1 >"$cpu" || return
		[ "$(outcome quarry_torture state)" != running ] || hotplugs=$((hotplugs + 1))
		sleep 1
	done
}

# The first third without, so that all CPUs are at work for a while.
run() {
	begun_at=$(date +%s)
	sleep $((seconds / 3))
	verify_busy
	while hotplug; do
		[ "$hotplugs" -gt 0 ] || return 0
		[ $(($(date +%s) - begun_at)) -lt $((seconds - 4)) ] || return 0
	done
	return 1
}

verdicts_are_good() {
	! grep -v -x -e ok -e 'ok (busy)' "$scratch/verify" &&
		at_least verified "$(wc -l <"$scratch/verify")" "$verified"
}

# They drain and judge after their time, on a slow machine for some time.
wait_done() {
	limit=$(($(date +%s) + seconds + 60))
	for module in $modules; do
		until [ "$(outcome "$module" state)" = "done" ]; do
			[ "$(date +%s)" -lt "$limit" ] || return
			sleep 1
		done
	done
}

# Pieces are not given back one by one.
did_something() {
	at_least "$2_took" "$(outcome "$1" "$2_took")" $((10 * seconds)) || return
	[ "$1" = quarry_bump_torture ] ||
		at_least "$2_gave" "$(outcome "$1" "$2_gave")" $((10 * seconds))
}

# The heaps ran full, and the routers asked further.
came_by() {
	for figure in hits exhausted flushes resized moved class_full heap_full \
		system_allocs system_deferred; do
		at_least "$figure" "$(outcome quarry_heap_torture "$figure")" 1 || return
	done
}

# All were sorted and compared several times, and an arena reset under those at work.
pieces_were_compared() {
	at_least rounds "$(outcome quarry_bump_torture rounds)" 2 &&
		at_least resets "$(outcome quarry_bump_torture resets)" 10
}

# judged MODULE WHAT
judged() {
	sed 's/^/# /' "$debugfs/$1/result"
	check "threads took part in $2" did_something "$1" thread
	check "hard interrupts took part in $2" did_something "$1" hardirq
	check "softirqs took part in $2" did_something "$1" softirq
	if [ "$(outcome "$1" nmi_turns)" -gt 0 ]; then
		check "NMIs took part in $2" at_least nmi_took "$(outcome "$1" nmi_took)" 1
	else
		need_or_skip "NMIs took part in $2: nobody sent one"
	fi
	check "the verdict on $2 is ok, without errors" \
		equal verdict "$(outcome "$1" verdict) $(outcome "$1" errors)" "ok 0"
}

# shellcheck disable=SC2086
begin $modules
ktap_set_plan 23
check "the tortures load" load_all
nmis start
check "CPUs go and come back" run
nmis stop
if [ "$hotplugs" -gt 0 ]; then
	ktap_test_pass "CPUs took part: $hotplugs hotplugs"
else
	need_or_skip "CPUs took part: none could be taken offline"
fi
check "each verify meanwhile said ok" verdicts_are_good
check "they come to an end" wait_done
judged quarry_torture "that of pools"
judged quarry_heap_torture "that of heaps and routers"
judged quarry_bump_torture "that of bumps and per-CPU arenas"
check "blocks came from all sources" came_by
check "pieces were compared" pieces_were_compared
for module in $modules; do
	unload "$module"
done
check "no object stays, no warning in the log" \
	eval 'views_have_no "torture*" && log_clean'
end
