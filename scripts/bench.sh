#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# `make bench`: the benchmark module in a VM. First with -icount, where the time-stamp
# counter counts instructions and figures repeat to the digit, with a debugger that steps
# through an alloc and a free of each; then on two CPUs, where only ratios within the run
# mean anything. The tables go to the terminal, the figures to build/bench.csv, the plots
# to build.
#
#	bench.sh [-n] [KERNEL]...
#
#	MODE=count|contention	one of the two alone; the other's figures stay in
#				build/bench.csv as its last run left them
#	MODE=heap		of the first the rows of sizes that differ alone, to the
#				terminal and to build/bench-heap.csv
#	MS=400			contention: milliseconds a measurement
#	SMP=2			contention: rows for one CPU, two, and so many
#	-n			for `make bench-check`: Quarry's rows alone, at 64 bytes,
#				fewer samples, to build/bench-check.csv
#
# Kernels may also be named by KERNEL="6.12 6.1".
set -eu

here=$(cd "$(dirname "$0")" && pwd)
bench=$here/../selftests/bench
results=$here/../build
brief='' parameters='' cpus=${SMP:-2}
while getopts n opt; do
	case $opt in
	n) brief=1 MODE=count parameters='brief=1 only=quarry' ;;
	*) exit 2 ;;
	esac
done
shift $((OPTIND - 1))
if [ $# -gt 0 ]; then
	kernels=("$@")
else
	read -ra kernels <<<"${KERNEL:-6.12}"
fi
case ${MODE:=all} in
all) modes='count contention' command='make bench' ;;
count | contention | heap) modes=$MODE command="make bench MODE=$MODE" ;;
*)
	echo "bench.sh: MODE is count, contention or heap, not '$MODE'" >&2
	exit 2
	;;
esac
command="$command KERNEL=\"${kernels[*]}\""
"$here/deps.sh" run
mkdir -p "$results"
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

# start MODE CONFIGURATION PARAMETERS
start() {
	echo "configuration=$2 mode=$1 $3" >"$out/bench-parameters"
	TIMEOUT=${TIMEOUT:-1800} "$here/vm.sh" -o "$out/vm" "$kernel" "$here/jobs/bench.sh" "${files[@]}"
}

# boot, likewise: the module's progress to the terminal, its figures to the mode's CSV,
# whose first line is the names
boot() {
	start "$@"
	tr -d '\r' <"$out/vm/console.log" | sed -nE 's/^(\[[^]]*\] *)?quarry_bench: (pool: |calibration|the counter|a debug)/  \2/p'
	tr -d '\r' <"$out/vm/data" >"$out/lines"
	[ -s "$out/$1.csv" ] || head -n 1 "$out/lines" >"$out/$1.csv"
	sed 1d "$out/lines" >>"$out/$1.csv"
	# Without paths, the kernel's command line in quotes
	sed -E 's,[^ =:]*/([^/ ]+),\1,g; s/.* .*/"&"/' "$out/vm/command" | paste -sd ' ' >"$out/$1.machine"
}

instructions() {
	echo "Linux $release, $1: instructions, one CPU, init_on_alloc=0"
	SMP=1 CPU=max,-erms QEMU_MACHINE='-accel tcg,thread=single -icount shift=0,sleep=off' \
		QEMU_ARGS='-seed 1 -rtc base=2024-01-01T00:00:00,clock=vm' boot "$1" icount/1-cpu/init_on_alloc=0 "$parameters"
}

step() {
	rm -rf "$out/vm"
	# A CPU that is stepped looks as if it hung
	APPEND="$APPEND rcupdate.rcu_cpu_stall_suppress=1 nowatchdog" SMP=1 CPU=max,-erms QEMU_MACHINE='-accel tcg,thread=single' \
		QEMU_ARGS="-gdb unix:$out/gdb,server=on,wait=off" start step gdbstub "$parameters" &
	python3 "$bench/opcount.py" "$release" "$out/vm/console.log" "$out/gdb" >>"$out/count.csv"
	wait $!
}

measure_count() {
	instructions count
	step
}

measure_heap() {
	instructions heap
}

measure_contention() {
	echo "Linux $release, contention: $cpus CPUs"
	SMP=$cpus QEMU_MACHINE='-accel tcg,thread=multi' \
		boot contention "mttcg/$cpus-cpus/init_on_alloc=0" "ms=${MS:-400} cpus=$cpus"
}

# keep MODE FILE: the figures and how they came about
keep() {
	{
		echo "# $1-date: $(date -u +%Y-%m-%d)"
		echo "# $1-command: $command"
		echo "# $1-qemu: $(qemu-system-x86_64 --version | head -n 1)"
		echo "# $1-machine: $(cat "$out/$1.machine")"
		echo "# $1-quarry: $(git -C "$here" describe --always --dirty 2>/dev/null || echo unknown)"
		cat "$out/$1.csv"
	} >"$2"
}

export APPEND='nokaslr slab_nomerge noreplace-smp init_on_alloc=0'
for name in "${kernels[@]}"; do
	kernel=$("$here/kernel.sh" "$name")
	release=$(cat "$kernel/release")
	build=$("$here/build.sh" "$kernel")
	files=(-f "$build/kmod/quarry.ko" -f "$build/selftests/bench/quarry_bench.ko" -f "$out/bench-parameters")
	# drm_mm is in a module of the kernel's
	! find -L "$kernel/modules" -name 'drm.ko*' 2>/dev/null | grep -q . || files+=(-m drm)
	for mode in $modes; do
		"measure_$mode"
	done
done
if [ "$brief" ]; then
	keep count "$results/bench-check.csv"
	exit
fi
for mode in $modes; do
	keep "$mode" "$results/bench-$mode.csv"
done
if [ "$MODE" = heap ]; then
	python3 "$bench/table.py" "$results/bench-heap.csv"
	exit
fi
python3 "$bench/figures.py" "$results"/bench-count.csv "$results"/bench-contention.csv >"$results/bench.csv"
python3 "$bench/table.py" "$results/bench.csv"
"$here/deps.sh" plots
# Debian's matplotlib is for Debian's python
/usr/bin/python3 "$bench/plot.py" "$results/bench.csv" "$results"
