#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# A client unloads with live blocks. It is named with what it left, its objects
# stay readable, nobody calls into its text, and quarry frees them when it goes.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

kept='unloaded with (pool|router|allocator)'

read_100_times() {
	i=0
	while [ "$i" -lt 100 ]; do
		read_views >"$scratch/views" || return
		[ -s "$scratch/views" ] || return
		i=$((i + 1))
	done
}

state_is() {
	equal "state of $1 in the summary" "$(field "$1" state)" "$2" &&
		equal "state of $1 in config" \
			"$(value "$views/pool/$1/config" state)" "$2"
}

json_state_is() {
	grep -q "\"name\":\"$1\",\"owner\":\"quarry_orphan\",.*\"state\":\"$2\"" \
		$views/summary.json && return
	cat $views/summary.json
	return 1
}

figures_stay() {
	equal "live of $1" "$(stat_of "$1" live)" "$2" &&
		equal "live in the summary" "$(field "$1" live)" "$2" &&
		equal verify "$(cat "$views/pool/$1/verify")" ok &&
		echo 1 >"$views/pool/$1/reset" &&
		equal "live after reset" "$(stat_of "$1" live)" "$2" &&
		equal "allocs after reset" "$(stat_of "$1" allocs)" 0
}

# Destroyed with live blocks, and then its module went as well.
leaked_is_readable() {
	state=$(field orphan-leaked state)
	case $state in
	leaked | orphan) ;;
	*) echo "state is '$state'" && return 1 ;;
	esac
	equal live "$(stat_of orphan-leaked live)" 2
}

# What is registered with the CPUs' coming and going must still be there.
hotplug() {
	for online in /sys/devices/system/cpu/cpu[1-9]*/online; do
		[ -w "$online" ] || continue
		echo 0 >"$online" || return
		echo 1 >"$online" || return
	done
}

double_free_is_named() {
	block=$(log_since | sed -n 's/.*quarry_orphan: twice: block //p' | tail -n 1)
	log_has "pool \"orphan-vmalloc-2\": free refused: double free of block $block \(offset 0\), (freed )?by quarry_orphan_init.*\[quarry_orphan\]"
}

dead_is_readable() {
	cat $views/pool/orphan-static/* >"$scratch/dead" 2>"$scratch/errors"
	grep -q '^live: ' "$scratch/dead" && return
	cat "$scratch/dead" "$scratch/errors"
	return 1
}

begin quarry_orphan
unload_quarry
ktap_set_plan 26
before=$(mappings)
load quarry
load quarry_orphan
expect "quarry: (pool .* destroyed with|module quarry_orphan $kept|(pool|router|heap|allocator) .* is freed)"
check "state is ok while the client is there" state_is orphan-vmalloc ok
check "the client unloads" unload quarry_orphan
check "the log names module, pool and live count" log_has \
	"module quarry_orphan $kept \"orphan-vmalloc\" alive: 5 live blocks, kept"
check "the same for the pool on the client's memory" log_has \
	"module quarry_orphan $kept \"orphan-static\" alive: 3 live blocks, kept"
check "the same for a router, whose blocks are counted" log_has \
	"module quarry_orphan unloaded with router \"orphan-router\" alive: 2 live blocks, kept"
check "and for a wrapper" log_has \
	"module quarry_orphan unloaded with allocator \"orphan-counting\" alive: 2 live blocks, kept"
check "the pool that was destroyed ran its destructors" log_has \
	'quarry_orphan: 1[2-4][0-9] blocks of the clean pool destructed'
check "the pool on vmalloc is an orphan" state_is orphan-vmalloc orphan
check "the pool on the client's memory is dead" state_is orphan-static dead
check "summary.json says so" json_state_is orphan-vmalloc orphan
check "the orphan's figures stay" figures_stay orphan-vmalloc 5
check "the dead pool's views can be read" dead_is_readable
check "a pool that was destroyed with live blocks is reported" log_has \
	'pool "orphan-leaked": destroyed with 2 live blocks, memory kept'
check "and can be read" leaked_is_readable
check "all views are read 100 times" read_100_times
check "CPUs go and come back beside the orphans" hotplug

load quarry_orphan probe=1
check "the client comes back beside them" state_is orphan-vmalloc-2 ok
check "a wrong free names the pool that owns the block now" log_has \
	'pool "orphan-vmalloc-2": free refused: pointer of pool "orphan-static-2" block [0-9]+'
check "a double free is refused, by name and number" double_free_is_named
check "both are counted" equal "refused, owner, double" \
	"$(stat_of orphan-vmalloc-2 refused) $(stat_of orphan-vmalloc-2 refused_owner) $(stat_of orphan-vmalloc-2 refused_double)" \
	"2 1 1"
check "and unloads again" unload quarry_orphan
check "quarry unloads" unload quarry
check "it says what it freed" log_has \
	'pool "orphan-vmalloc" of module quarry_orphan \(orphan\) is freed'
# They had twelve regions, and the routers' besides.
check "the orphans' memory is back" \
	not_grown mappings "$before" "$(mappings)" 6
check "CPUs go and come back without quarry" hotplug
expect_end
check "no warning in the log" log_clean
end
