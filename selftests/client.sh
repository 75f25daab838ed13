#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# The README's client does what the README says, and the manual's examples hold.
# (scripts/install-check.sh builds that client outside the tree.)

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

# Names of the pools that a module owns.
pools_of() {
	awk -v owner="$1" '$1 == "pool" && $3 == owner { print $2 }' $views/summary
}

has_pool() {
	[ -n "$(pools_of hello)" ] && return
	cat $views/summary
	return 1
}

begin hello
ktap_set_plan 11
check "hello loads" load hello
check "it says what the README says" log_has \
	'hello: block [0-9]+ of 1000: a block of my own'
check "its pool is in the summary" has_pool
unload hello
check "the manual's examples hold" load pool_examples
unload pool_examples
check "the examples of stacks hold" load stack_examples
unload stack_examples
check "the examples of arenas hold" load arena_examples
unload arena_examples
check "the examples of heaps hold" load heap_examples
unload heap_examples
check "the examples of routers hold" load router_examples
unload router_examples
check "the examples of allocators hold" load allocator_examples
unload allocator_examples
check "nothing stays" equal "pools of hello" "$(pools_of hello)" ""
check "no warning in the log" log_clean
end
