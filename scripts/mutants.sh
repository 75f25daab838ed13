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
set -eu

here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/.." && pwd)
"$here/deps.sh" run mutants
[ $# -gt 0 ] || set -- "$top"/selftests/mutants/*.patch
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
# A fault may make a test go on for ever
export TIMEOUT=${TIMEOUT:-400}
killed=0 survived=0 broken=0

verdict() {
	printf '%-10s %-36s %-8s %-40s %4d s\n' "$1" "$mutant" "$kernel" "$test" "$SECONDS"
}

for patch in "$@"; do
	SECONDS=0
	mutant=$(basename "$patch" .patch)
	kernel=$(sed -n 's/^# kernel: *//p' "$patch" | sed 's/^stock-//')
	test=$(sed -n 's/^# test: *//p' "$patch")
	tree=$out/$mutant
	mkdir "$tree"
	cp -r "$top"/{Kbuild,kmod,include,kunit,samples,selftests,Documentation,fuzz} "$tree/"
	if ! patch -s -p1 -d "$tree" <"$patch" >"$out/log" 2>&1; then
		verdict 'NO PATCH'
		broken=$((broken + 1))
		continue
	fi
	export SOURCE=$tree BUILD=mutant-$kernel
	case $test in
	fuzz) SOURCE=$tree FUZZ_CORPUS=$out/corpus "$here/fuzz.sh" >"$out/log" 2>&1 || : ;;
	fraglab) "$here/fraglab-check.sh" >"$out/log" 2>&1 || : ;;
	orders)
		"$tree/Documentation/orders_check.sh" >"$out/log"
		if [ -s "$out/log" ]; then
			echo '0 passed, 1 failed' >"$out/log"
		else
			echo '1 passed, 0 failed' >"$out/log"
		fi
		;;
	*.sh) TESTS=$test "$here/selftests.sh" "$kernel" >"$out/log" 2>&1 || : ;;
	*) FILTER=$test "$here/kunit.sh" "$kernel" >"$out/log" 2>&1 || : ;;
	esac
	read -r passed _ failed _ < <(tail -n 1 "$out/log")
	if ! tail -n 1 "$out/log" | grep -q 'passed, .* failed'; then
		verdict 'NO RUN'
		tail -n 5 "$out/log" | sed 's/^/    /'
		broken=$((broken + 1))
	elif [ "$failed" -gt 0 ]; then
		verdict killed
		killed=$((killed + 1))
	else
		verdict "SURVIVED"
		survived=$((survived + 1))
		echo "    $passed tests passed"
	fi
done
echo "$killed killed, $survived survived, $broken could not be tried"
[ "$survived" = 0 ] && [ "$broken" = 0 ] && [ "$killed" -gt 0 ]
