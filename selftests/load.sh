#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Quarry is loaded and unloaded 200 times, each twentieth time with a client of 64
# pools and one object of each other kind. Nothing stays: no view, no warning, no memory.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

cycles=200
warm=40

memory() {
	sync
	echo 3 >/proc/sys/vm/drop_caches
	awk -v name="$1:" '$1 == name { print $2 }' /proc/meminfo
}

# cycle NUMBER: prints what is wrong. Few programs, for slow machines.
cycle() {
	insmod "$quarry" || echo "cycle $1: does not load"
	[ -r $views/summary ] || echo "cycle $1: no summary"
	if [ $(($1 % 20)) = 0 ]; then
		insmod "$client" hold=64 || echo "cycle $1: client does not load"
		[ -r $views/pool/churn-hold-64/stats ] || echo "cycle $1: no pool"
		[ -r $views/router/churn-hold/stats ] || echo "cycle $1: no router"
		rmmod quarry_churn || echo "cycle $1: client does not unload"
		views_have_no 'churn*' || echo "cycle $1"
	fi
	rmmod quarry || echo "cycle $1: does not unload"
	[ ! -e $views ] || echo "cycle $1: views stay"
}

cycle_many() {
	i=$1
	while [ "$i" -lt "$2" ]; do
		cycle "$i"
		i=$((i + 1))
	done >"$scratch/cycles" 2>&1
	cat "$scratch/cycles"
	[ ! -s "$scratch/cycles" ]
}

begin quarry_churn
quarry=$(module_file quarry) || need "no file of quarry"
client=$(module_file quarry_churn) || need "no file of quarry_churn"
unload_quarry
expedited=/sys/kernel/rcu_expedited
[ ! -w $expedited ] || echo 1 >$expedited
ktap_set_plan 6
check "loads and unloads $warm times" cycle_many 0 "$warm"
slab=$(memory SUnreclaim) percpu=$(memory Percpu) maps=$(mappings)
check "loads and unloads $((cycles - warm)) times more" \
	cycle_many "$warm" "$cycles"
# A leak of 4 KiB a load would be 640 kB, one of 128 bytes a pool and CPU 64 kB.
if [ "$kasan" = 0 ]; then
	check "slab memory does not grow" \
		not_grown SUnreclaim "$slab" "$(memory SUnreclaim)" 512
else
	ktap_test_skip "slab memory does not grow: KASAN holds freed objects back"
fi
check "per-CPU memory does not grow" \
	not_grown Percpu "$percpu" "$(memory Percpu)" 48
check "vmalloc mappings do not grow" \
	not_grown mappings "$maps" "$(mappings)" 4
[ ! -w $expedited ] || echo 0 >$expedited
check "no warning in the log" log_clean
end
