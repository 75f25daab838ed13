#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# `make check`: lint, KUnit on each debug kernel, kselftests on each stock kernel; a
# section a stage, a table, and one last line that a program can read.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
"$here/deps.sh" run arm64 check
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
passed=0 failed=0 skipped=0
table=''

stage() {
	local name=$1 start=$SECONDS p f s
	shift
	echo
	echo "== $name"
	"$@" 2>&1 | tee "$out/log" || :
	if ! tail -n 1 "$out/log" | grep -qE '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$'; then
		echo "0 passed, 1 failed, 0 skipped" >>"$out/log"
	fi
	read -r p _ f _ s _ < <(tail -n 1 "$out/log")
	passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
	table+=$(printf '%-22s %8d %8d %8d %6d s' "$name" "$p" "$f" "$s" "$((SECONDS - start))")$'\n'
}

SECONDS=0
stage 'lint' "$here/lint.sh"
for kernel in kasan kcsan rt arm64; do
	stage "KUnit $kernel" "$here/kunit.sh" "$kernel"
done
for kernel in 6.1 6.12 6.12-rt; do
	stage "kselftests $kernel" "$here/selftests.sh" "$kernel"
done

echo
printf '%-22s %8s %8s %8s %8s\n' stage passed failed skipped time
printf '%s' "$table"
printf '%-22s %8s %8s %8s %6d s\n' total '' '' '' "$SECONDS"
echo
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
