#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Where a pool's memory comes from: on which NUMA node it lies, which memory cgroup is
# charged, how it is mapped. See test_modules/quarry_placed.c.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

nodes=/sys/devices/system/node
parameters=/sys/module/quarry_placed/parameters
group=$scratch/cgroup
ON_NODE=1 ACCOUNT=2 NO_HUGE=8 EXACT=$((1 << 16))
MiB=$((1 << 20))

# placed PARAMETER=VALUE... -- COMMAND...: the command, while there is such a pool
placed() {
	given=''
	while [ "$1" != -- ]; do
		given="$given $1"
		shift
	done
	shift
	# shellcheck disable=SC2086
	load quarry_placed $given || return
	"$@"
	outcome=$?
	unload quarry_placed && return $outcome
}

config_is() {
	equal "$1" "$(value $views/pool/placed/config "$1")" "$2"
}

lies_on() {
	equal "nodes of its pages" "$(cat $parameters/lowest) $(cat $parameters/highest)" "$1 $1" &&
		config_is node "$1"
}

# The sizes are those of one that is mapped by pages, and of one that fits no other way.
each_node_serves() {
	for number in $(seq 0 "$1"); do
		placed flags=$ON_NODE node="$number" nr=50000 -- lies_on "$number" || return
		placed flags=$ON_NODE node="$number" size=4096 nr=8192 -- lies_on "$number" || return
	done
}

mapped() {
	config_is region "$1 bytes" && config_is mapping "$2"
}

charged() {
	sed -n 's/^vmalloc //p' "$group/test/memory.stat"
}

# load_in_group FLAGS: a pool of 8 MiB; what the group has been charged for it
load_in_group() {
	sh -c "echo \$\$ >'$group/test/cgroup.procs' &&
		exec insmod '$(module_file quarry_placed)' size=4096 nr=2048 flags=$1" || return
	charged
	unload quarry_placed
}

not_charged() {
	equal charged "$(load_in_group 0)" 0 && group_end
}

group_begin() {
	mkdir "$group" && mount -t cgroup2 cgroup2 "$group" &&
		echo +memory >"$group/cgroup.subtree_control" && mkdir "$group/test"
}

group_end() {
	rmdir "$group/test" && umount "$group"
}

huge='huge (its frames are contiguous)'
begin quarry_placed
ktap_set_plan 11
last=$(sed 's/.*[-,]//' $nodes/online 2>/dev/null)
check "a pool lies on the node that was asked for" each_node_serves 0
if [ "${last:-0}" -gt 0 ]; then
	check "on each of them" each_node_serves "$last"
elif [ -d $nodes ]; then
	need_or_skip "on each of them: there is one"
else
	ktap_test_skip "on each of them: this kernel knows of none"
fi
# 32 MiB, and 252 spare blocks a CPU
check "a region is rounded up to large pages, and mapped by them" \
	placed nr=524288 -- mapped $((34 * MiB)) "$huge"
check "so is one that is of whole large pages anyway" \
	placed size=4096 nr=1024 flags=$EXACT -- mapped $((4 * MiB)) "$huge"
check "it is not rounded by more than an eighth" \
	placed nr=65536 -- config_is mapping pages
check "nor when it has to be exact" \
	placed size=4096 nr=8193 flags=$EXACT -- mapped $((32 * MiB + 4096)) pages
check "nor when no large page is wanted" \
	placed size=4096 nr=8192 flags=$((EXACT + NO_HUGE)) -- mapped $((32 * MiB)) pages
if grep -q '^memory' /proc/cgroups 2>/dev/null && module_file quarry_placed >"$scratch/file"; then
	check "there is a memory cgroup" group_begin
	check "a pool is charged to its creator's group when it asks for that" \
		at_least charged "$(load_in_group $ACCOUNT)" $((8 * MiB))
	check "and is not when it does not" not_charged
else
	ktap_test_skip "there is a memory cgroup: not in this kernel"
	ktap_test_skip "a pool is charged to its creator's group when it asks for that"
	ktap_test_skip "and is not when it does not"
fi
check "no warning in the log" log_clean
end
