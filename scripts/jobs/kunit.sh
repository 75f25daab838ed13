#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# In the VM: loads each KUnit module and prints each suite's KTAP behind a line
# `quarry-suite: NAME`, for the host to parse. QUARRY_PARAMS=NAME=VALUE,... goes to each.
#
# KASAN's first report switches lockdep off for good, so that the suites that provoke one
# come last, and lockdep must have been on to the end of the others.

failed=0
complaints=''
complain() {
	failed=1
	complaints="$complaints$*
"
}

lockdep_is_on() {
	[ ! -e /proc/lockdep_stats ] || grep -qE '^ *debug_locks: +1$' /proc/lockdep_stats
}

first='' last='' off=''
for module in /lib/quarry/*_kunit.ko; do
	if grep -q 'quarry-expect-begin: KASAN' "$module"; then
		last="$last $module"
	else
		first="$first $module"
	fi
done
# A suite of probes on a slow host keeps insmod waiting longer than a task should hang.
[ ! -e /proc/sys/kernel/hung_task_timeout_secs ] || echo 900 >/proc/sys/kernel/hung_task_timeout_secs
# Each destroy waits for a grace period, of a second on PREEMPT_RT, which has rcu_normal set
[ ! -e /sys/kernel/rcu_normal ] || echo 0 >/sys/kernel/rcu_normal
[ ! -e /sys/kernel/rcu_expedited ] || echo 1 >/sys/kernel/rcu_expedited
insmod /lib/quarry/quarry.ko || exit 1
for module in $first $last; do
	# An NMI nobody claims is two lines on a slow console: only where they are wanted.
	case $module in *_context_kunit.ko) nmi=1 ;; *) nmi='' ;; esac
	[ -z "$nmi" ] || echo "quarry-nmi: start"
	# shellcheck disable=SC2046
	insmod "$module" $(echo "${QUARRY_PARAMS:-}" | tr , ' ') || complain "$module does not load"
	[ -z "$nmi" ] || echo "quarry-nmi: stop"
	for results in /sys/kernel/debug/kunit/*/results; do
		[ -e "$results" ] || continue
		suite=${results%/results}
		echo "quarry-suite: ${suite##*/}"
		cat "$results"
		# Here they are sent (vm.sh -N), but for arm64, whose machine has none
		[ "$(uname -m)" != x86_64 ] || ! grep -q '# SKIP nobody sent an NMI' "$results" ||
			complain "no NMI came in ${suite##*/}"
	done
	name=${module##*/}
	rmmod "${name%.ko}" || complain "$module does not unload"
	case "$last$off" in
	*"$module"* | *off) ;;
	*) lockdep_is_on || { off=off && complain "lockdep is off after $name"; } ;;
	esac
done
rmmod quarry || complain "quarry does not unload"
printf '%s' "$complaints" | sed 's/^/quarry-complaint: /'
exit $failed
