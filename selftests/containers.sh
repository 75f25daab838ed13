#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# samples/containers: a vector and hash tables on every allocator, and with each of
# their requests failing in turn. The module judges; its load fails if one is wrong.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

ran_on() {
	log_has "containers: $1: vector"
}

traced() {
	grep -q quarry_alloc: "$tracing/trace" &&
		grep -q quarry_free: "$tracing/trace"
}

begin containers
tracing=/sys/kernel/tracing
[ -d $tracing/events ] || mount -t tracefs none $tracing 2>/dev/null
ktap_set_plan 16
[ ! -d $tracing/events/quarry ] || echo 1 >$tracing/events/quarry/enable
check "the containers load, and so all that they do is right" load containers
for name in pool heap bump percpu_arena arena stack router system; do
	check "vector, on $name" ran_on "$name"
done
for name in system heap; do
	check "vector and tables, through wrappers over $name" \
		ran_on "logging over counting over $name"
	check "each request that can fail has failed, over $name" \
		log_has "over $name: [0-9]+ ways to fail, none leaks"
done
if [ -d $tracing/events/quarry ]; then
	check "what went through the logging wrapper was traced" traced
	echo 0 >$tracing/events/quarry/enable
else
	need_or_skip "what went through the logging wrapper was traced: no tracefs"
fi
unload containers
check "no object stays" views_have_no 'containers*'
check "no warning in the log" log_clean
end
