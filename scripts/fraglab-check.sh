#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# For `make check`: the laboratory's programs compile without a warning, and in user space
# the heap's algorithm serves each committed trace in at most 1 % more than exact best
# fit needs (selftests/fraglab/best-fit, from make fraglab).
#
#	fraglab-check.sh	SOURCE=DIR: another tree than this one
set -eu

here=$(cd "$(dirname "$0")" && pwd)
source=${SOURCE:-$here/..}
lab=$source/selftests/fraglab
"$here/deps.sh" run
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
if ! make -s -C "$lab" OUTPUT="$out" CFLAGS='-O2 -Werror' all; then
	echo '0 passed, 1 failed, 0 skipped'
	exit 1
fi
traces=()
for trace in "$lab"/traces/*.trace.xz; do
	name=$out/$(basename "$trace" .xz)
	xz -dc "$trace" >"$name"
	traces+=("$name")
done
"$out/fraglab-replay" -c "$lab/best-fit" "${traces[@]}"
