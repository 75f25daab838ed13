#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# `make fraglab`: the fragmentation laboratory. Replays the committed traces, or those
# that are named, and the synthetic workloads, over allocators in user space and then, by
# the same replayer, over the kernel's own and Quarry in a VM, where instructions are
# counted (-icount); tables to the terminal, CSV, plots and maps to build/fraglab.
#
#	fraglab.sh [-d | -k | -u] [-w WORKLOAD] [-a ALLOCATOR] [TRACE[.xz]]...
#
# -k and -u: the kernel's part or user space's alone; -w and -a: one workload, or one
# allocator alone. -d makes the manual's tables and
# plots from the last run instead (make fraglab-docs).
set -eu

here=$(cd "$(dirname "$0")" && pwd)
lab=$here/../selftests/fraglab
build=$(cd "$here/.." && pwd)/build/fraglab
user=1 kernel=1 only=() parameters=()
while getopts dkuw:a: opt; do
	case $opt in
	d) user='' kernel='' ;;
	k) user='' ;;
	u) kernel='' ;;
	w) only+=(-w "$OPTARG") parameters+=("workload=$OPTARG") ;;
	a) only+=(-a "$OPTARG") parameters+=("allocator=$OPTARG") ;;
	*) exit 2 ;;
	esac
done
shift $((OPTIND - 1))
"$here/deps.sh" run plots
if [ ! "$user$kernel" ]; then
	# Debian's matplotlib is for Debian's python
	/usr/bin/python3 "$lab/plot.py" --docs "$build" "$here/../Documentation" files network processes phases
	exit
fi
[ $# -gt 0 ] || set -- "$lab"/traces/*.trace.xz
mkdir -p "$build"
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
traces=()
for trace in "$@"; do
	name=$(basename "$trace")
	name=${name%%.*}
	case $trace in
	*.xz) xz -dc "$trace" >"$out/$name.trace" ;;
	*) cp "$trace" "$out/$name.trace" ;;
	esac
	traces+=("$name")
done
about() {
	echo "# SPDX-License-Identifier: GPL-2.0-only"
	echo "# date: $(date -u +%Y-%m-%d)"
	echo "# quarry: $(git -C "$here" describe --always --dirty 2>/dev/null || echo unknown)"
}

in_user_space() {
	make -s -C "$lab" OUTPUT="$build" fraglab-replay || return
	"$build/fraglab-replay" "${only[@]}" "$build" "${traces[@]/%/.trace}"
}

# What the module replays is at the same paths in the VM
in_kernel() {
	local kernel built files name status=0
	kernel=$("$here/kernel.sh" "${KERNEL:-6.12}") || return
	built=$("$here/build.sh" "$kernel") || return
	files=(-f "$built/kmod/quarry.ko" -f "$built/selftests/fraglab/quarry_fraglab.ko" -f "$out/fraglab-parameters")
	! find -L "$kernel/modules" -name 'drm.ko*' 2>/dev/null | grep -q . || files+=(-m drm)
	for name in "${traces[@]}"; do
		files+=(-f "$out/$name.trace:/traces/$name")
	done
	parameters+=("traces=$(printf '/traces/%s\n' "${traces[@]}" | paste -sd,)")
	echo "${parameters[@]}" >"$out/fraglab-parameters"
	echo "Linux $(cat "$kernel/release"), instructions: one CPU, init_on_alloc=0"
	APPEND='nokaslr slab_nomerge noreplace-smp init_on_alloc=0' MEM=1536 SMP=1 CPU=max,-erms \
		QEMU_MACHINE='-accel tcg,thread=single -icount shift=0,sleep=off' \
		QEMU_ARGS='-seed 1 -rtc base=2024-01-01T00:00:00,clock=vm' TIMEOUT=${TIMEOUT:-6000} \
		"$here/vm.sh" -o "$out/vm" "$kernel" "$here/jobs/fraglab-kernel.sh" "${files[@]}" || status=1
	[ -s "$out/vm/data" ] || return 1
	{
		about
		echo "# kernel: $(cat "$kernel/release")"
		tr -d '\r' <"$out/vm/data"
	} >"$build/kernel.csv"
	/usr/bin/python3 "$lab/plot.py" --print "$build/kernel.csv"
	return "$status"
}

status=0
if [ "$user" ]; then
	(cd "$out" && in_user_space) || status=1
	about >"$build/about"
fi
if [ "$kernel" ]; then
	rm -f "$build/kernel.csv"
	in_kernel || status=1
fi
[ ! "$user" ] || [ "${#only[@]}" -gt 0 ] || /usr/bin/python3 "$lab/plot.py" "$build" "$build"
echo "Figures, plots and maps are in build/fraglab"
exit "$status"
