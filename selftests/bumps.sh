#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Bump and per-CPU arena from outside: the manual's examples, their views, a client
# that unloads with a reset pending. Every context at once: torture.sh.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

bump_stat() {
	value "$views/bump/$1/stats" "$2"
}

arena_stat() {
	value "$views/percpu_arena/$1/stats" "$2"
}

examples() {
	load bump_examples && load percpu_arena_examples
}

views_tell() {
	cat $views/bump/events/* $views/percpu_arena/samples/* >"$scratch/views" 2>/dev/null
	equal verify "$(cat $views/bump/events/verify)" ok &&
		equal verify "$(cat $views/percpu_arena/samples/verify)" ok &&
		equal capacity "$(bump_stat events capacity)" 65536 &&
		equal capacity "$(arena_stat samples capacity)" 1048576 &&
		equal live "$(field events live)" "$(bump_stat events used)" &&
		equal live "$(field samples live)" "$(arena_stat samples used)" &&
		at_least allocs "$(bump_stat events allocs)" 1 &&
		grep -q '^chunk: 8192$' $views/percpu_arena/samples/config &&
		grep -q '#' $views/bump/events/map
}

reset_of_figures() {
	echo 1 >$views/bump/events/reset &&
		echo 1 >$views/percpu_arena/samples/reset &&
		equal allocs "$(bump_stat events allocs)" 0 &&
		equal allocs "$(arena_stat samples allocs)" 0 &&
		equal peak "$(bump_stat events peak)" "$(bump_stat events used)"
}

# Each figure of both kinds has its definition.
documented() {
	manual=$here/debugfs.rst
	[ -f "$manual" ] || manual=$here/../Documentation/debugfs.rst
	cat $views/bump/events/stats $views/percpu_arena/samples/stats >"$scratch/figures"
	while IFS=: read -r name value; do
		grep -qE "^$name( \(C\))?\$" "$manual" && continue
		echo "$name ($value) is not in the manual"
		return 1
	done <"$scratch/figures"
}

orphans_stay() {
	load quarry_bump_orphan || return
	expect 'module quarry_bump_orphan unloaded'
	rmmod quarry_bump_orphan || return
	expect_end
	log_has 'module quarry_bump_orphan unloaded with bump "orphan-bump" alive: 100 live bytes, kept' &&
		equal state "$(field orphan-bump state)" orphan &&
		equal state "$(field orphan-arena state)" orphan &&
		equal state "$(field orphan-lent state)" dead &&
		equal used "$(bump_stat orphan-bump used)" 100 &&
		equal pending "$(arena_stat orphan-arena pending)" 0 &&
		equal used "$(arena_stat orphan-arena used)" 64
}

begin bump_examples percpu_arena_examples quarry_bump_orphan
ktap_set_plan 7
check "the manual's examples hold" examples
check "their views tell" views_tell
check "each figure is documented" documented
check "figures are reset, objects are not" reset_of_figures
unload bump_examples
unload percpu_arena_examples
check "a client that unloads leaves them, and its callbacks are waited for" orphans_stay
check "all callbacks were called" log_has 'quarry_bump_orphan: callback 4 of 4'
check "no warning in the log" log_clean
end
