#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# `make kunit`: the KUnit suites on debug kernels, results parsed by the kernel's own
# kunit.py.
#
#	kunit.sh [KERNEL]...		kasan kcsan rt arm64 by default
#
# Environment: FILTER=suite.test runs those that match; PARAMS=NAME=VALUE,... are
# parameters of the suites (seed, steps, verify_every, rounds, seconds, max_probes, percent);
# APPEND is for the kernel, SMP for the machine, which ends after TIMEOUT (1200 s); SOURCE
# builds another tree, under the name BUILD.
#
# Suites that bind threads to CPUs race: they have a machine whose CPUs run at once. CPUs
# that take turns do for the others, and take less of the host's time, above all of one with
# other work, where a CPU spins for what another has that is not running. With KCSAN all run
# at once: it looks for races wherever they are, and where CPUs take turns its delays hand
# over, so that it finds the kernel's own (of hrtimer's running timer, say).
set -eu

here=$(cd "$(dirname "$0")" && pwd)
[ $# -gt 0 ] || set -- kasan kcsan rt arm64
purposes=(run)
case " $* " in *' arm64 '*) purposes+=(arm64) ;; esac
"$here/deps.sh" "${purposes[@]}"
source=$("$here/kernel.sh" source)
FILTER=${FILTER:-}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
passed=0 failed=0 skipped=0

# Adds up kunit.py's last line: Ran 5 tests: passed: 4, failed: 1
count() {
	local n
	n=$(sed -nE "s/.*Testing complete.*[ ,]$1: ([0-9]+).*/\\1/p" "$2")
	echo "${n:-0}"
}

none_ran() {
	echo "  no suite ran"
	failed=$((failed + 1))
	ran=1
}

parse() {
	local suite n_failed n parsed
	rm -f "$out"/suite.*
	awk -v to="$out/suite." '/^quarry-suite: / { sub(/\r/, ""); file = to $2; next } /^quarry-(nmi|complaint)|^VERDICT/ { file = "" } file { print >file }' "$1"
	if ! compgen -G "$out/suite.*" >"$out/suites"; then
		# A test's name may be that of the other machine's suites alone
		[[ $FILTER == *.* ]] || none_ran
		return 0
	fi
	ran=1
	python3 "$here/kunit_parse.py" "$source/tools/testing/kunit" "$out"/suite.* >"$out/parser" || cat "$out/parser"
	for parsed in "$out"/suite.*.parsed; do
		suite=${parsed%.parsed}
		n_failed=$(($(count failed "$parsed") + $(count crashed "$parsed") + $(count errors "$parsed")))
		n=$(count passed "$parsed")
		[ "$((n + n_failed + $(count skipped "$parsed")))" -gt 0 ] || n_failed=1
		passed=$((passed + n))
		failed=$((failed + n_failed))
		skipped=$((skipped + $(count skipped "$parsed")))
		echo "  ${suite##*suite.}: $(sed -nE 's/.*Testing complete[^:]*: //p' "$parsed")"
		grep -E '# SKIP' "$suite" | sed 's/^ */    /' || :
		[ "$n_failed" = 0 ] || grep -vE '\[(PASSED|SKIPPED)\]|^$' "$parsed" | sed 's/^/    /' || :
	done
}

# run THREAD MODULES: in one VM of that kind
run() {
	local before=$failed broken=0 keep options=(-w -p '^quarry-suite: quarry_([a-z_]+)')
	[ "$name" = arm64 ] || options+=(-N)
	THREAD=$1 APPEND="kasan_multi_shot ${APPEND:-} ${FILTER:+kunit.filter_glob=$FILTER} ${PARAMS:+QUARRY_PARAMS=$PARAMS}" \
		TIMEOUT=${TIMEOUT:-1200} "$here/vm.sh" "${options[@]}" -o "$out/vm" "$kernel" "$here/jobs/kunit.sh" \
		-f "$build/kmod/quarry.ko" "${@:2}" 2>"$out/complaint" || broken=1
	[ -e "$out/vm/verdict.log" ] || { mkdir -p "$out/vm" && : >"$out/vm/verdict.log"; }
	parse "$out/vm/verdict.log"
	sed -n 's/^quarry-complaint:/ /p' "$out/vm/verdict.log" | tr -d '\r'
	# A complaint beside tests that all passed is a failure of its own
	if [ "$broken" = 1 ]; then
		[ "$failed" -gt "$before" ] || failed=$((failed + 1))
		keep=$(mktemp -d)
		cp "$out"/vm/*.log "$keep"
		sed "s,$out/vm,$keep,; s/^/    /" "$out/complaint"
	fi
}

for name in "$@"; do
	SECONDS=0
	kernel=$("$here/kernel.sh" debug "$name")
	build=$("$here/build.sh" -s "${SOURCE:-$here/..}" -d "${BUILD:-$(basename "$kernel")}" "$kernel")
	echo "KUnit on $(cat "$kernel/release") $name"
	# A suite's name, or its pattern, is its module's
	suite=${FILTER%%.*}
	# shellcheck disable=SC2206
	modules=("$build"/kunit/${suite:-*}_kunit.ko)
	single=() multi=() ran=''
	for module in "${modules[@]}"; do
		if [ "$name" = kcsan ] || grep -qE 'kthread_(bind|create_on_cpu)|smp_call_function' "$module"; then
			multi+=(-f "$module")
		else
			single+=(-f "$module")
		fi
	done
	[ ${#single[@]} = 0 ] || run single "${single[@]}"
	[ ${#multi[@]} = 0 ] || run multi "${multi[@]}"
	[ -n "$ran" ] || none_ran
	echo "  $SECONDS s"
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
