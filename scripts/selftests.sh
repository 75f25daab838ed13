#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# `make selftests`: the kselftests in a VM of two NUMA nodes, by the kernel's own lib.mk
# and runner.
#
#	selftests.sh [KERNEL]...	stock 6.1 6.12 6.12-rt by default; a debug one's name too
#
# Environment: TESTS="NAME..." runs those alone; QUARRY_TORTURE_SECONDS and _SEED are
# handed to the torture (30 s), QUARRY_RACE_SECONDS to the views' race with their objects
# (10 s); SOURCE builds another tree, under the name BUILD.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
[ $# -gt 0 ] || set -- 6.1 6.12 6.12-rt
"$here/deps.sh" run
source=$("$here/kernel.sh" source)/tools/testing/selftests
tree=${SOURCE:-$here/..}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
passed=0 failed=0 skipped=0
torture=${QUARRY_TORTURE_SECONDS:-30}
longest=$(printf '%s\n' "$torture" "${QUARRY_RACE_SECONDS:-0}" | sort -n | tail -n 1)
append="kasan_multi_shot QUARRY_TORTURE_SEED=${QUARRY_TORTURE_SEED:-1}"
append+=${QUARRY_TORTURE_SECONDS:+ QUARRY_TORTURE_SECONDS=$torture}
append+=${QUARRY_RACE_SECONDS:+ QUARRY_RACE_SECONDS=$QUARRY_RACE_SECONDS}

stage() {
	local root=$out/kselftest
	cp -r "$tree/selftests" "$tree/Documentation" "$out/"
	rm -rf "$out/selftests/test_modules" "$out/selftests/bench"
	sed -i "s/^timeout=.*/timeout=$((600 + 2 * longest))/" "$out/selftests/settings"
	make -s -C "$out/selftests" KSFT_LIB="$source" INSTALL_PATH="$root/quarry" install >"$out/install.log" 2>&1 || {
		cat "$out/install.log"
		exit 1
	}
	make -s -C "$out/selftests" KSFT_LIB="$source" COLLECTION=quarry emit_tests >"$root/kselftest-list.txt"
	cp -r "$source/run_kselftest.sh" "$source/kselftest" "$root/"
	# The scripts say /bin/bash or perl nowhere that we need
	sed -i '1s,/bin/bash,/bin/sh,' "$root/run_kselftest.sh"
	[ -z "${TESTS:-}" ] || echo "$TESTS" >"$root/selected"
}

# A test that prints results of its own counts by them, another counts as one.
tally() {
	tr -d '\r' <"$1" | awk '
	function add(line) {
		if (line ~ /^not ok/) { f++; print "    " line }
		else if (line ~ /# SKIP/) { s++; print "    " line }
		else p++
	}
	/^# selftests: / { inner = bad = 0 }
	/^# +(not )?ok [0-9]+/ { line = $0; sub(/^# +/, "", line); inner++; if (line ~ /^not ok/) bad++; add(line) }
	/^(not )?ok [0-9]+ selftests: / {
		print "  " $0
		if (!inner) add($0); else if (/^not ok/ && !bad) { f++ }
		inner = bad = 0
	}
	END { print p + 0, f + 0, s + 0 }'
}

stage
for name in "$@"; do
	SECONDS=0
	kernel=$("$here/kernel.sh" "$name")
	build=$("$here/build.sh" -s "$tree" -d "${BUILD:-$(basename "$kernel")}" "$kernel")
	echo "kselftests on $(cat "$kernel/release")"
	files=(-f "$out/kselftest")
	while read -r module; do files+=(-f "$module"); done < <(find "$build" -name '*.ko' ! -name '*_kunit.ko' ! -name '*_bench.ko')
	options=(-N -p '^# selftests: quarry: (.*)\.sh')
	[ -d "$kernel/root" ] || options+=(-w)
	broken=0
	NODES=2 APPEND=$append TIMEOUT=${TIMEOUT:-$((900 + 5 * longest))} "$here/vm.sh" "${options[@]}" -o "$out/vm" \
		"$kernel" "$here/jobs/selftests.sh" "${files[@]}" 2>"$out/complaint" || broken=1
	tally "$out/vm/verdict.log" >"$out/tally"
	sed '$d' "$out/tally"
	read -r p f s < <(tail -n 1 "$out/tally")
	[ "$p" -gt 0 ] || [ "$f" -gt 0 ] || { echo "  no test ran"; f=1; }
	[ "$broken" = 0 ] || [ "$f" -gt 0 ] || f=1
	if [ "$broken" = 1 ] || [ "$f" -gt 0 ]; then
		keep=$(mktemp -d)
		cp "$out"/vm/*.log "$keep"
		sed "s,$out/vm,$keep,; s/^/    /" "$out/complaint"
		echo "    logs kept in $keep"
	fi
	passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
	echo "  $SECONDS s"
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
