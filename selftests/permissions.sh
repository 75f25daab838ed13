#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# The views are root's alone, tell no addresses, and each figure is documented: of one
# object of each kind.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

manual=$here/debugfs.rst
[ -f "$manual" ] || manual=$here/../Documentation/debugfs.rst
pool=$views/pool/churn-hold

modes_are() {
	wrong=$(find $views -type f ! -name reset ! -perm 0400
		find $views -name reset ! -perm 0200)
	[ -z "$wrong" ] && return
	echo "$wrong" | xargs ls -l
	return 1
}

kinds='pool heap router arena stack bump percpu_arena allocator'

files_are() {
	for kind in $kinds; do
		equal "files of $kind" "$(cd "$views/$kind/churn-hold" && echo *)" \
			"config map reset stats verify" || return
	done
}

# debugfs itself is closed to all but root: open it, else only that is tried.
nobody_opens() {
	mount -o remount,mode=0755 debugfs $debugfs || return
	equal "mode of debugfs" "$(stat -c %a $debugfs)" 755 || return
	find $views -type f -exec "$here/open_as_nobody" {} +
	found=$?
	mount -o remount,mode=0700 debugfs $debugfs
	return $found
}

no_addresses() {
	read_views >"$scratch/views"
	! grep -nE 'ffff[0-9a-f]{8}|0x[0-9a-f]{9}|(^|[^0-9a-f])[0-9]*[a-f][0-9a-f]{14,15}([^0-9a-f]|$)|ptrval' \
		"$scratch/views"
}

# section TITLE: of the manual, up to the next title of that level.
section() {
	awk -v title="$1" '
	/^===+$/ { inside = last == title }
	inside { print last }
	{ last = $0 }' "$manual"
}

title_of() {
	case $1 in
	pool) echo Pools ;;
	heap) echo Heaps ;;
	router) echo Routers ;;
	arena) echo Arenas ;;
	stack) echo Stacks ;;
	bump) echo Bumps ;;
	percpu_arena) echo Per-CPU arenas ;;
	allocator) echo Wrappers ;;
	esac
}

# Each by a definition of its own, or with others in one line, in its kind's section.
# A heap's figures of sizes have theirs under N.
figures_are_documented() {
	for kind in $kinds; do
		section "$(title_of "$kind")" >"$scratch/section"
		sed 's/:.*//; s/^\(free_from_\)[0-9]*$/\1N/' "$views/$kind/churn-hold/stats" |
			while read -r name; do
				grep -qE "^([a-z_]+( \(C\))?, )*$name( \(C\))?(, [a-z_]+( \(C\))?)*\$" \
					"$scratch/section" || echo "$kind: $name"
			done
	done >"$scratch/missing"
	[ -s "$scratch/missing" ] || return 0
	echo "not in $manual:"
	cat "$scratch/missing"
	return 1
}

columns_are() {
	equal "summary's columns" "$(head -n 1 $views/summary | tr -s ' ')" \
		"# kind name owner live peak capacity size reserved failures refused state"
}

reset_refuses_others() {
	! { echo 2 >$pool/reset; } 2>/dev/null &&
		! { echo x >$pool/reset; } 2>/dev/null &&
		equal "allocs" "$(stat_of churn-hold allocs)" 96 &&
		echo 1 >$pool/reset &&
		equal "allocs after reset" "$(stat_of churn-hold allocs)" 0
}

begin quarry_churn
ktap_set_plan 8
load quarry_churn hold=1
check "modes are 0400 and 0200" modes_are
check "an object has its files and no others" files_are
if [ -x "$here/open_as_nobody" ]; then
	check "nobody can open any of them" nobody_opens
else
	need_or_skip "nobody can open any of them: open_as_nobody is not built"
fi
check "no address in any of them" no_addresses
check "the summary has its columns" columns_are
if [ -f "$manual" ]; then
	check "each figure is documented" figures_are_documented
else
	need_or_skip "each figure is documented: no debugfs.rst here"
fi
check "reset takes 1 and nothing else" reset_refuses_others
check "no warning in the log" log_clean
end
