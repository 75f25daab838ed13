#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# In the VM: loads each KUnit module and prints each suite's KTAP behind a line
# `quarry-suite: NAME`, for the host to parse. QUARRY_PARAMS=NAME=VALUE,... goes to each.

failed=0
# A suite of probes on a slow host keeps insmod waiting longer than a task should hang.
[ ! -e /proc/sys/kernel/hung_task_timeout_secs ] || echo 900 >/proc/sys/kernel/hung_task_timeout_secs
# Each destroy waits for a grace period
[ ! -e /sys/kernel/rcu_expedited ] || echo 1 >/sys/kernel/rcu_expedited
insmod /lib/quarry/quarry.ko || exit 1
for module in /lib/quarry/*_kunit.ko; do
	# An NMI nobody claims is two lines on a slow console: only where they are wanted.
	case $module in *_context_kunit.ko) nmi=1 ;; *) nmi='' ;; esac
	[ -z "$nmi" ] || echo "quarry-nmi: start"
	# shellcheck disable=SC2046
	insmod "$module" $(echo "${QUARRY_PARAMS:-}" | tr , ' ') || failed=1
	[ -z "$nmi" ] || echo "quarry-nmi: stop"
	for results in /sys/kernel/debug/kunit/*/results; do
		[ -e "$results" ] || continue
		suite=${results%/results}
		echo "quarry-suite: ${suite##*/}"
		cat "$results"
	done
	name=${module##*/}
	rmmod "${name%.ko}" || failed=1
done
rmmod quarry || failed=1
exit $failed
