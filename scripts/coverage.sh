#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# `make coverage`: lines of kmod/ that KUnit and the kselftests run on the KASAN
# kernel, counted by gcov for our module alone, printed by gcovr. Fewer than 95 % in all
# is a failure, but of a run of some tests.
# Environment: FILTER=suite.test and TESTS="NAME..." run those alone, as for kunit.sh and
# selftests.sh (TESTS=none: no kselftest).
set -eu

here=$(cd "$(dirname "$0")" && pwd)
"$here/deps.sh" run coverage
kernel=$("$here/kernel.sh" debug kasan)
source=$("$here/kernel.sh" source)/tools/testing/selftests
build=$("$here/build.sh" -d "$(basename "$kernel")-gcov" "$kernel" QUARRY_GCOV=1)
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

files=(-f "$here/jobs:/jobs")
while read -r module; do files+=(-f "$module"); done < <(find "$build" -name '*.ko' ! -name '*_bench.ko')
if [ "${TESTS:-}" != none ] && make -s -C "$build/selftests" KSFT_LIB="$source" INSTALL_PATH="$out/kselftest/quarry" install >"$out/log" 2>&1; then
	make -s -C "$build/selftests" KSFT_LIB="$source" COLLECTION=quarry emit_tests >"$out/kselftest/kselftest-list.txt"
	cp -r "$source/run_kselftest.sh" "$source/kselftest" "$out/kselftest/"
	[ -z "${TESTS:-}" ] || echo "$TESTS" >"$out/kselftest/selected"
	files+=(-f "$out/kselftest")
fi
APPEND="kasan_multi_shot ${FILTER:+kunit.filter_glob=$FILTER}" TIMEOUT=${TIMEOUT:-2400} "$here/vm.sh" -w -N -o "$out/vm" "$kernel" \
	"$here/jobs/coverage.sh" "${files[@]}" || echo "coverage: the run had failures; counts all the same" >&2
find "$build/kmod" -name '*.gcda' -delete
tar -C "$build/kmod" -xf "$out/vm/data"
least=95
[ -z "${FILTER:-}${TESTS:-}" ] || least=0
gcovr --fail-under-line "$least" --root "$build" --object-directory "$build/kmod" --filter "$build/kmod/" \
	--gcov-ignore-parse-errors "$build/kmod"
