#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# That check.py fails when it should, on figures that are made up: prints what it let pass.
# scripts/lint.sh runs it.
set -eu

cd "$(dirname "$0")"
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

# run FIGURE LOCKED: a run of two rows
run() {
	echo 'kernel,configuration,what,pattern,size,context,figure,unit'
	echo "k,icount,quarry,pair,64,task,$1,instructions"
	echo "k,gdbstub,quarry,pair.locked,64,task,$2,instructions"
}

# expect STATUS FIGURE LOCKED [FIGURE LOCKED]: of one run, or of two
expect() {
	run "$2" "$3" >"$out/first"
	run "${4:-$2}" "${5:-$3}" >"$out/second"
	status=0
	python3 check.py "$out/baseline" "$out/first" "$out/second" >/dev/null || status=$?
	[ "$status" = "$1" ] || echo "check.py ended with $status for $*"
}

run 100 100 >"$out/first"
python3 check.py --make "$out/first" >"$out/baseline"
expect 0 100 100
expect 0 102 100
expect 1 103 100
expect 1 100 101
expect 1 100 100 100.1 100
run 100 100 | sed '$d' >"$out/first"
! python3 check.py "$out/baseline" "$out/first" "$out/first" >/dev/null || echo 'check.py let a row go'
python3 check.py --make "$out/first" >"$out/baseline"
expect 1 100 100
