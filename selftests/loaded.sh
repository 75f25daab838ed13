#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# On a machine where quarry is loaded already, and in use, as `make -C selftests
# run_tests` may find it: the tests use the module that is there and leave it as it
# was; those that would have to unload it are skipped.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

# The file of each module but quarry's: that one is not to be loaded again.
hide_quarry() {
	mkdir "$scratch/modules"
	for module in hello quarry_churn quarry_orphan quarry_kinds_orphan \
		pool_examples stack_examples arena_examples heap_examples \
		router_examples allocator_examples; do
		file=$(module_file "$module") && cp "$file" "$scratch/modules/" || return
	done
}

# run SCRIPT: as the runner does, on a machine that is not our VM.
run() {
	VERDICT='' QUARRY_MODULES=$scratch/modules "$here/$1" >"$scratch/run" 2>&1
	status=$?
	cat "$scratch/run"
}

passes() {
	run "$1"
	equal "status of $1" $status "$KSFT_PASS" &&
		at_least passed "$(grep -c '^ok ' "$scratch/run")" "$2"
}

skips() {
	run "$1"
	equal "status of $1" $status "$KSFT_SKIP" &&
		grep -q 'SKIP quarry is in use' "$scratch/run"
}

stays() {
	loaded quarry && loaded parse &&
		equal "owner of the object that was there" "$(field parse owner)" parse &&
		equal "arena of that" "$(cat $views/arena/parse/verify)" ok
}

begin parse hello quarry_churn
ktap_set_plan 7
check "quarry is in use" load parse
check "the tests find their modules" hide_quarry
check "client.sh uses the quarry that is there" passes client.sh 10
check "and so does permissions.sh" passes permissions.sh 6
check "orphan.sh does without" skips orphan.sh
check "quarry and its user are as they were" stays
unload parse
check "no object stays, no warning in the log" \
	eval 'views_have_no "parse*" && log_clean'
end
