#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Records traces of the kernel's own allocations in the VM, on a stock kernel:
#
#	fraglab-record.sh [files|network|processes]...
#
# into build/fraglab/NAME.trace.xz. Copied to selftests/fraglab/traces they are the ones that
# `make fraglab` replays. On a machine of one's own: see Documentation/fraglab.rst.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
lab=$here/../selftests/fraglab
build=$here/../build/fraglab
[ $# -gt 0 ] || set -- files network processes
"$here/deps.sh" run
kernel=$("$here/kernel.sh" stock "${KERNEL:-6.12}")
source=$("$here/kernel.sh" source)
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
mkdir -p "$build"
make -s -C "$lab" OUTPUT="$build" fraglab-record
tar -C "$source" --sort=name --mtime=@0 --owner=0 --group=0 -czf "$out/fraglab-source.tar.gz" \
	include/linux include/net lib mm
cp "$lab/work.sh" "$out/fraglab-work"
echo "${BUFFER:-98304}" >"$out/fraglab-buffer"
for name in "$@"; do
	echo "$name" >"$out/fraglab-name"
	MEM=1536 SMP=2 TIMEOUT=${TIMEOUT:-400} "$here/vm.sh" -o "$out/vm" "$kernel" "$here/jobs/fraglab.sh" \
		-f "$build/fraglab-record" -f "$out/fraglab-source.tar.gz" -f "$out/fraglab-work" \
		-f "$out/fraglab-buffer" -f "$out/fraglab-name"
	xz -9e -c "$out/vm/data" >"$build/$name.trace.xz"
	grep -a '^fraglab-record' "$out/vm/verdict.log" | tr -d '\r' || :
	ls -l "$build/$name.trace.xz"
done
