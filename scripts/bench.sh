#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# `make bench`: the benchmark module in a VM. First with -icount, where the time-stamp
# counter counts instructions and figures repeat to the digit; then on two CPUs, where
# only ratios within the run mean anything.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
"$here/deps.sh" run
kernel=$("$here/kernel.sh" stock "${KERNEL:-6.12}")
build=$("$here/build.sh" "$kernel")
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

# bench PARAMETERS: one boot; the module's lines without their prefix
bench() {
	echo "$1" >"$out/bench-parameters"
	TIMEOUT=${TIMEOUT:-600} "$here/vm.sh" -o "$out/vm" "$kernel" "$here/jobs/bench.sh" -f "$build/kmod/quarry.ko" \
		-f "$build/selftests/bench/quarry_bench.ko" -f "$out/bench-parameters"
	sed -nE 's/\r//; s/^(\[[^]]*\] *)?quarry_bench: //p' "$out/vm/console.log" | grep -vx 'done'
}

export APPEND='nokaslr slab_nomerge noreplace-smp init_on_alloc=0'
echo "Instructions, Linux $(cat "$kernel/release"), one CPU, init_on_alloc=0"
SMP=1 CPU=max,-erms QEMU_MACHINE='-accel tcg,thread=single -icount shift=0,sleep=off' \
	QEMU_ARGS='-seed 1 -rtc base=2024-01-01T00:00:00,clock=vm' bench ''
echo
python3 "$here/../selftests/bench/opcount.py" "$build/kmod/quarry.ko"
echo
echo "Contention, two CPUs"
SMP=2 QEMU_MACHINE='-accel tcg,thread=multi' bench mode=contention
