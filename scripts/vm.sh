#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Boots a kernel in QEMU with an initramfs, runs a job in it as root, and tells whether
# all went well: the job's exit status by a verdict on its own channel, no complaint
# on the console that the job did not announce, no leak, all within a time limit.
#
#	vm.sh [options] KERNEL_DIR JOB [initramfs.sh options]
#
#	-o DIR	keep console.log, verdict.log (the job's output), data and command (QEMU's, an
#		argument a line) there
#	-s	show the job's output as it comes
#	-p RE	show what group 1 of RE matches in the job's output, a word at a time
#	-i	interactive: a shell on the terminal after the job, ended by exit or ^A x
#	-w	a warning does not panic (a run that provokes reports)
#	-N	an NMI to each CPU every 50 ms, between the job's lines
#		`quarry-nmi: start` and `quarry-nmi: stop`
#
# Environment: SMP=2, MEM=1024, NODES=1 (2 on x86: half of both on each), TIMEOUT=300 (s),
# ACCEL=tcg (or kvm, used if this kernel is seen to boot with it), QEMU_ARGS and APPEND to
# add, QEMU_MACHINE to replace -accel. THREAD=single: emulated CPUs take turns, every 100 ms
# and whenever one spins or sleeps, and cost less (multi: they run at once).
# Kernel messages that a job expects stand between `quarry-expect-begin: REGEX` and
# `quarry-expect-end`, written to /dev/kmsg.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
out='' show='' progress='' interactive='' warn='panic_on_warn=1' nmi=''
while getopts o:sp:iwN opt; do
	case $opt in
	o) out=$OPTARG ;;
	s) show=1 ;;
	p) progress=$OPTARG ;;
	i) interactive=1 ;;
	w) warn='' ;;
	N) nmi=1 ;;
	*) exit 2 ;;
	esac
done
shift $((OPTIND - 1))
kernel=$1 job=$2
shift 2
arch=$(cat "$kernel/arch")
timeout=${TIMEOUT:-300}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
: "${out:=$tmp}"
mkdir -p "$out"
rm -f "$out/console.log" "$out/verdict.log" "$out/data"

if [ "${ACCEL:-tcg}" = kvm ]; then
	echo 'exit 0' >"$tmp/probe"
	ACCEL='' QEMU_MACHINE='-accel kvm' TIMEOUT=20 "$0" "$kernel" "$tmp/probe" >/dev/null 2>&1 ||
		ACCEL=tcg
fi
case ${ACCEL:-} in
kvm) accel='-accel kvm' ;;
*) accel="-accel tcg,thread=${THREAD:-multi}" ;;
esac
accel=${QEMU_MACHINE:-$accel}

channel=file,path=$out/verdict.log
[ -z "$show" ] || channel=file,path=/dev/stdout
[ -z "$interactive" ] || channel=stdio,signal=off
stock=()
case $arch in
x86_64)
	# A string instruction, emulated, is slower than the loop it replaces
	# shellcheck disable=SC2206
	qemu=(qemu-system-x86_64 $accel -cpu "${CPU:-max,-erms,-fsrm}" -serial "file:$out/console.log"
		-serial chardev:verdict -serial chardev:data)
	console=ttyS0
	;;
arm64)
	# Pointer authentication in software costs half of the time
	cpu=${CPU:-max,pauth=off}
	# shellcheck disable=SC2054
	qemu=(qemu-system-aarch64 -M virt -accel "tcg,thread=${THREAD:-multi}" -cpu "$cpu"
		-serial "file:$out/console.log" -device virtio-serial-device
		-device virtserialport,chardev=verdict,name=verdict
		-device virtserialport,chardev=data,name=data)
	console=ttyAMA0
	;;
*)
	echo "vm: no machine for $arch" >&2
	exit 2
	;;
esac
[ -z "$interactive" ] || stock=(-i)
"$here/initramfs.sh" "$tmp/initramfs" "$kernel" "$job" "${stock[@]}" "$@"

cpus=${SMP:-2}
# What the kernel does not know it hands to init, as its environment
append="console=$console panic=-1 oops=panic $warn quarry_cpus=$cpus ${APPEND:-}"
# shellcheck disable=SC2206
qemu+=(-smp "$cpus,sockets=$cpus" -m "${MEM:-1024}" -nodefaults -nographic -no-reboot
	-chardev "$channel,id=verdict" -chardev "file,id=data,path=$out/data"
	-monitor "unix:$tmp/monitor,server,nowait"
	-kernel "$kernel/image" -initrd "$tmp/initramfs" -append "$append" ${QEMU_ARGS:-})
if [ "${NODES:-1}" = 2 ] && [ "$arch" = x86_64 ] && [ "$cpus" -gt 1 ]; then
	half=$((${MEM:-1024} / 2))
	qemu+=(-object "memory-backend-ram,id=m0,size=${half}M" -object "memory-backend-ram,id=m1,size=${half}M"
		-numa "node,nodeid=0,memdev=m0,cpus=0-$((cpus / 2 - 1))"
		-numa "node,nodeid=1,memdev=m1,cpus=$((cpus / 2))-$((cpus - 1))")
fi

printf '%s\n' "${qemu[@]}" >"$out/command"
helper=''
if [ -n "$nmi" ]; then
	python3 "$here/nmi.py" "$tmp/monitor" "$out/verdict.log" &
	helper=$!
fi
status=0
if [ -n "$interactive" ]; then
	"${qemu[@]}" || status=$?
	exit "$status"
elif [ -n "$show" ]; then
	{
		timeout --foreground -k 5 "$timeout" "${qemu[@]}" </dev/null || status=$?
		echo "$status" >"$tmp/status"
	} | tee "$out/verdict.log" | grep --line-buffered -av '^VERDICT ' || :
	status=$(cat "$tmp/status")
else
	timeout --foreground -k 5 "$timeout" "${qemu[@]}" </dev/null >"$tmp/qemu.log" 2>&1 &
	guest=$!
	if [ -n "$progress" ]; then
		printf ' '
		tail -n +1 -F -s 1 --pid="$guest" "$out/verdict.log" 2>/dev/null |
			sed -unE "s,.*$progress.*,\\1,p" | while read -r word; do printf ' %s' "${word%$'\r'}"; done
		echo
	fi
	wait "$guest" || status=$?
fi
[ -z "$helper" ] || kill "$helper" 2>/dev/null || :

verdict=$(grep -a '^VERDICT ' "$out/verdict.log" 2>/dev/null | tail -n 1 | tr -d '\r' || :)
line=$(awk -f "$here/complaint.awk" "$out/console.log")
[ "$status" != 0 ] || [ "$verdict" != 'VERDICT pass' ] || [ -n "$line" ] || exit 0

{
	if [ "$status" = 124 ] || [ "$status" = 137 ]; then
		echo "vm: FAILED: no end within $timeout s"
	elif [ -n "$line" ]; then
		echo "vm: FAILED: unexpected message on the console"
	else
		echo "vm: FAILED: ${verdict:-no verdict (exit $status)}"
	fi
	[ ! -s "$tmp/qemu.log" ] || tail -n 5 "$tmp/qemu.log"
	if [ -n "$line" ]; then
		echo "-- console, line $line"
		sed -n "$((line > 5 ? line - 5 : 1)),$((line + 40))p" "$out/console.log"
	else
		echo "-- console, end"
		tail -n 25 "$out/console.log"
	fi
	[ -n "$show" ] || { echo "-- job, end"; tail -n 25 "$out/verdict.log"; }
	if [ "$out" = "$tmp" ]; then
		keep=$(mktemp -d)
		cp "$out/console.log" "$out/verdict.log" "$keep" 2>/dev/null || :
		out=$keep
	fi
	echo "-- logs kept in $out"
} >&2
exit 1
