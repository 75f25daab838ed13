#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# A client unloads with live blocks, in pools and in objects of the other kinds. It is
# named with what it left, its objects stay readable, nobody calls into its text, and
# quarry frees them when it goes. bumps.sh has the bumps.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

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

# Each object of quarry_kinds_orphan: kind, name, what is live.
left_behind='heap left-heap 5 live blocks
heap left-heap-lent 3 live blocks
allocator left-wrapper 2 live blocks
router left-router 4 live blocks
router left-router-lent 4 live blocks
arena left-arena [0-9]{4} live bytes
arena left-arena-lent [0-9]{4} live bytes
stack left-stack 2 live blocks
stack left-stack-lent 2 live blocks'

# for_each_left COMMAND...: with kind, name and what is live behind it
for_each_left() {
	echo "$left_behind" >"$scratch/left"
	while read -r kind name live; do
		"$@" "$kind" "$name" "$live" || return
	done <"$scratch/left"
}

said_alive() {
	log_has "module quarry_kinds_orphan unloaded with $1 \"$2\" alive: $3, kept"
}

# On the client's memory: dead, and not looked into any more. Else as it was.
state_fits() {
	expected=orphan
	[ "${2%-lent}" = "$2" ] || expected=dead
	equal "state of $2" "$(field "$2" state)" $expected &&
		equal "state of $2 in config" "$(value "$views/$1/$2/config" state)" $expected
}

# Twice, with the figures started anew in between.
can_be_read() {
	echo "${3%% *}" >"$scratch/live"
	for pass in 1 2; do
		for file in config stats map verify; do
			cat "$views/$1/$2/$file" >"$scratch/$file" 2>"$scratch/error" && continue
			[ "${2%-lent}" != "$2" ] && [ $file = verify ] && continue
			echo "pass $pass: $1/$2/$file: $(cat "$scratch/error")"
			return 1
		done
		grep -qxE "live: $(cat "$scratch/live")|used: $(cat "$scratch/live")" "$scratch/stats" ||
			{ cat "$scratch/stats"; return 1; }
		[ "${2%-lent}" != "$2" ] ||
			equal "verify of $1/$2" "$(cat "$scratch/verify")" ok || return
		echo 1 >"$views/$1/$2/reset" || return
	done
}

# The deferred calls were in the text of the client.
calls_are_dropped() {
	for name in left-arena left-arena-lent; do
		equal "deferred of $name" "$(value $views/arena/$name/stats deferred)" 0 || return
	done
	calls_stay_away
}

calls_stay_away() {
	! log_has 'the deferred call was made' >"$scratch/called"
}

said_freed() {
	state=orphan
	[ "${2%-lent}" = "$2" ] || state=dead
	log_has "$1 \"$2\" of module quarry_kinds_orphan \($state\) is freed"
}

begin quarry_orphan quarry_kinds_orphan
unload_quarry
ktap_set_plan 32
before=$(mappings)
load quarry
load quarry_orphan
expect 'quarry: (pool .* destroyed with|module quarry_[a-z_]*orphan unloaded with|[a-z]+ .* is freed)'
check "state is ok while the client is there" state_is orphan-vmalloc ok
check "the client unloads" unload quarry_orphan
check "the log names module, pool and live count" log_has \
	"module quarry_orphan unloaded with pool \"orphan-vmalloc\" alive: 5 live blocks, kept"
check "the same for the pool on the client's memory" log_has \
	"module quarry_orphan unloaded with pool \"orphan-static\" alive: 3 live blocks, kept"
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

load quarry_kinds_orphan
check "a client with objects of the other kinds unloads" unload quarry_kinds_orphan
check "the log names each with what is live" for_each_left said_alive
check "each is an orphan, or dead with the client's memory" for_each_left state_fits
check "each can be read, and its figures start anew" for_each_left can_be_read
check "all views are read 100 times again" read_100_times
check "no deferred call is made" calls_are_dropped
check "quarry unloads" unload quarry
check "it says that it freed each" for_each_left said_freed
check "it says what it freed" log_has \
	'pool "orphan-vmalloc" of module quarry_orphan \(orphan\) is freed'
# They had thirty regions.
check "the orphans' memory is back" \
	not_grown mappings "$before" "$(mappings)" 6
check "and no deferred call was made" calls_stay_away
check "CPUs go and come back without quarry" hotplug
expect_end
check "no warning in the log" log_clean
end
