#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# One CPU reads all views over and over while objects of all kinds come and go on the
# other.
# QUARRY_RACE_SECONDS (10).

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

seconds=${QUARRY_RACE_SECONDS:-10}
rounds=/sys/module/quarry_churn/parameters/rounds

# The whole tree by find; then what an object's files say, each for itself.
read_once() {
	read_views >"$scratch/views"
	cat $views/summary >>"$scratch/summary" || return
	cat $views/summary.json >"$scratch/json" || return
	cat $views/*/churn*/verify 2>/dev/null >>"$scratch/verify"
	for file in "$views"/*/churn*/reset; do
		echo 1 2>/dev/null >"$file"
	done 2>/dev/null
	reads=$((reads + 1))
}

# For as long as was asked, and on a slow machine until both sides did enough.
read_for() {
	begun_at=$(date +%s)
	while :; do
		read_once || return
		passed=$(($(date +%s) - begun_at))
		[ "$passed" -lt "$seconds" ] && continue
		[ "$reads" -ge 10 ] && [ $(($(cat $rounds) - before)) -ge 50 ] && return
		[ "$passed" -lt $((seconds + 120)) ] || return
	done
}

rows_are_whole() {
	awk '$1 != "#" && NF != 11 { print; bad = 1 } END { exit bad }' \
		"$scratch/summary"
}

# Each kind was met, and all with the owner that they have.
kinds_were_seen() {
	for kind in pool heap router arena stack bump percpu_arena allocator; do
		grep -qE "^$kind +churn[-0-9]* +quarry_churn " "$scratch/summary" && continue
		echo "no row of a $kind"
		return 1
	done
}

json_is_whole() {
	tail -n 1 "$scratch/json" | grep -qx ']}' && return
	cat "$scratch/json"
	return 1
}

verdicts_are_good() {
	[ -s "$scratch/verify" ] || echo "verify was never read"
	grep -v -x -e ok -e 'ok (busy)' "$scratch/verify" && return 1
	[ -s "$scratch/verify" ]
}

begin quarry_churn
ktap_set_plan 9
reads=0
taskset -p 1 $$ >"$scratch/taskset" 2>&1
check "the client loads" load quarry_churn cpu=1
before=$(cat $rounds)
read_for
after=$(cat $rounds)
ktap_print_msg "$reads reads of everything, $((after - before)) objects made meanwhile"
check "everything was read several times" at_least reads "$reads" 10
check "while objects came and went" at_least rounds $((after - before)) 50
check "each row of the summary is whole" rows_are_whole
check "with rows of all kinds" kinds_were_seen
check "summary.json is whole" json_is_whole
check "each verify said ok" verdicts_are_good
check "the client had no errors" equal errors \
	"$(cat /sys/module/quarry_churn/parameters/errors)" 0
unload quarry_churn
check "no object stays, no warning in the log" \
	eval 'views_have_no "churn*" && log_clean'
end
