#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# `make fuzz`: the heap's algorithm in user space, under the address and undefined
# behaviour sanitizers, driven by libFuzzer. The inputs of fuzz/corpus are run first;
# new ones go to build/fuzz, and what makes it fail is printed and kept there.
#
#	fuzz.sh [SECONDS]	60 by default, or FUZZ_SECONDS
#
#	FUZZ_CORPUS=DIR		where new inputs go
#	SOURCE=DIR		another tree than this one
set -eu

here=$(cd "$(dirname "$0")" && pwd)
source=${SOURCE:-$here/..}
"$here/deps.sh" fuzz
out=$here/../build/fuzz
corpus=${FUZZ_CORPUS:-$out/corpus}
seconds=${1:-${FUZZ_SECONDS:-60}}
mkdir -p "$out" "$corpus"
work=$(mktemp -d "$out/work.XXXXXX")
trap 'rm -rf "$work"' EXIT
log=$work/log

# What is fuzzed is seen by the fuzzer; the oracle is not, for speed.
compile() {
	clang -g -O2 -Wall -Wextra "-fsanitize=$1,undefined" -fno-sanitize-recover=undefined \
		-DFUZZ_READS -D__cold= -Dnoinline='__attribute__((noinline))' -Dfuzz_one_input=LLVMFuzzerTestOneInput \
		-I"$source/fuzz" -I"$source/kmod" -c "$source/$2" -o "$work/$(basename "$2").o"
}
compile fuzzer-no-link,address kmod/heap_core.c
compile fuzzer-no-link,address kmod/heap_check.c
compile address fuzz/heap_fuzz.c
clang -fsanitize=fuzzer,address,undefined "$work"/*.o -o "$work/heap_fuzz"

status=0
"$work/heap_fuzz" -max_total_time="$seconds" -max_len=4096 -len_control=0 -print_final_stats=1 -artifact_prefix="$out/" \
	"$corpus" "$source/fuzz/corpus" >"$log" 2>&1 || status=$?
grep -E 'heap_fuzz:|ERROR|SUMMARY|#[0-9]+ .* in .*kmod|Test unit written' "$log" || :
grep -E 'heap_fuzz_operations' "$log" | tail -n 1 || :
sed -nE 's/^stat::(number_of_executed_units|new_units_added|peak_rss_mb): */  \1 /p' "$log"
sed -nE 's/^#[0-9]+.*(DONE|pulse) *(cov: [0-9]+ ft: [0-9]+).*/  \2/p' "$log" | tail -n 1
[ "$status" = 0 ] && echo '1 passed, 0 failed, 0 skipped' || echo '0 passed, 1 failed, 0 skipped'
exit "$status"
