#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# `make mutants`: plants each fault of selftests/mutants/*.patch in a copy of the tree
# and expects the test that it names to fail. A mutant that survives is a missing test.
# A patch begins with `# kernel: NAME` (as for kernel.sh; stock-6.12 is 6.12) and
# `# test: NAME`, a kselftest (*.sh), a KUnit filter (suite or suite.test), fuzz, fraglab
# (fraglab-check.sh), or orders (no kernel: Documentation/orders_check.sh).
#
#	mutants.sh [PATCH]...
#
# Each test runs without the fault first, once, and must pass: one that is not there, or
# that fails anyway, tells nothing of a fault. Then
#
#	killed		a test that was named failed
#	crashed		the kernel reported or died of it, on the console, before a test could
#	hung		neither came to an end within TIMEOUT
#	SURVIVED	all passed
#	NO RUN		none of this: the mutant does not build or load
#	NO TEST		the test does not pass without it
#
# LANES=2 mutants are tried at a time.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/.." && pwd)
"$here/deps.sh" run mutants
[ $# -gt 0 ] || set -- "$top"/selftests/mutants/*.patch
out=$(mktemp -d)
# Interrupted: nobody goes on alone
trap 'trap "" TERM; kill 0; rm -rf "$out"; exit 130' INT TERM
trap 'rm -rf "$out"' EXIT
mkdir "$out/alone" "$out/claimed" "$out/verdicts"
# A fault may make a test go on for ever
export TIMEOUT=${TIMEOUT:-400}

# run_test TREE KERNEL TEST LANE LOG: the log's last line is `N passed, N failed, ...`
run_test() {
	local tree=$1 kernel=$2 test=$3 lane=$4 log=$5
	export SOURCE=$tree BUILD=mutant-$kernel-$lane
	case $test in
	fuzz) FUZZ_CORPUS=$out/corpus-$lane "$here/fuzz.sh" ;;
	fraglab) "$here/fraglab-check.sh" ;;
	orders)
		"$tree/Documentation/orders_check.sh" >"$log.found"
		sed 's/^/not ok 1 /' "$log.found"
		if [ -s "$log.found" ]; then echo '0 passed, 1 failed'; else echo '1 passed, 0 failed'; fi
		;;
	*.sh) TESTS=$test "$here/selftests.sh" "$kernel" ;;
	*) FILTER=$test "$here/kunit.sh" "$kernel" ;;
	esac >"$log" 2>&1 || :
}

copy() {
	mkdir "$1"
	cp -r "$top"/{Kbuild,kmod,include,kunit,samples,selftests,Documentation,fuzz} "$1/"
}

# Does the test pass without the fault? Asked once for each, by whoever comes first.
passes_alone() {
	local kernel=$1 test=$2 lane=$3 key passed failed
	key=$out/alone/$kernel-${test//[^A-Za-z0-9_.-]/+}
	(
		flock 9
		[ -e "$key" ] || run_test "$top" "$kernel" "$test" "$lane" "$key"
	) 9>"$key.lock"
	read -r passed _ failed _ < <(tail -n 1 "$key" | grep -E '^[0-9]+ passed, [0-9]+ failed') || return
	[ "$passed" -gt 0 ] && [ "$failed" = 0 ]
}

# What became of the mutant, by the log of its run
judge() {
	# kunit.py's, fraglab-check's, a kselftest's and the fuzzer's way to say so
	if grep -v '# TIMEOUT' "$1" | grep -qE '\] \[FAILED\] |^ *FAILED  |^ *not ok [0-9]+ |heap_fuzz: |Test unit written'; then
		echo killed
	elif grep -q 'vm: FAILED: unexpected message' "$1"; then
		echo crashed
	elif grep -qE 'vm: FAILED: no end within|# TIMEOUT' "$1"; then
		echo hung
	elif tail -n 1 "$1" | grep -qE '^[1-9][0-9]* passed, 0 failed'; then
		echo SURVIVED
	else
		echo 'NO RUN'
	fi
}

try() {
	local patch=$1 lane=$2 log=$out/log-$2 tree=$out/tree-$2 mutant kernel test verdict
	SECONDS=0
	mutant=$(basename "$patch" .patch)
	kernel=$(sed -n 's/^# kernel: *//p' "$patch" | sed 's/^stock-//')
	test=$(sed -n 's/^# test: *//p' "$patch")
	rm -rf "$tree"
	copy "$tree"
	if ! patch -s -p1 -d "$tree" <"$patch" >"$log" 2>&1; then
		verdict='NO PATCH'
	elif ! passes_alone "$kernel" "$test" "$lane"; then
		verdict='NO TEST'
		cp "$out/alone/$kernel-${test//[^A-Za-z0-9_.-]/+}" "$log"
	else
		run_test "$tree" "$kernel" "$test" "$lane" "$log"
		verdict=$(judge "$log")
	fi
	echo "$verdict" >"$out/verdicts/$mutant"
	{
		printf '%-10s %-36s %-8s %-40s %4d s\n' "$verdict" "$mutant" "$kernel" "$test" "$SECONDS"
		case $verdict in NO* | SURVIVED) tail -n 5 "$log" | sed 's/^/    /' ;; esac
	} >"$out/said-$lane"
	cat "$out/said-$lane"
}

lane() {
	local lane=$1 patch
	shift
	for patch in "$@"; do
		mkdir "$out/claimed/$(basename "$patch")" 2>/dev/null || continue
		try "$patch" "$lane"
	done
}

for lane in $(seq "${LANES:-2}"); do lane "$lane" "$@" & done
wait

count() { grep -rlxE "$1" "$out/verdicts" | wc -l; }
killed=$(count 'killed|crashed|hung') survived=$(count SURVIVED) broken=$(count 'NO .*')
echo "$killed killed ($(count crashed) crashed, $(count hung) hung), $survived survived, $broken could not be tried"
[ "$killed" -gt 0 ] && [ "$killed" = "$#" ]
