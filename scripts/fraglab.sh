#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# `make fraglab`: the fragmentation laboratory. Replays the committed traces, or those
# that are named, and the synthetic workloads over the allocators in user space;
# tables to the terminal, CSV, plots and maps to build/fraglab.
#
#	fraglab.sh [-d] [TRACE[.xz]]...
#
# -d makes the manual's table and plots from the last run instead (make fraglab-docs).
set -eu

here=$(cd "$(dirname "$0")" && pwd)
lab=$here/../selftests/fraglab
build=$here/../build/fraglab
"$here/deps.sh" run plots
if [ "${1:-}" = -d ]; then
	docs=$here/../Documentation
	FRAGLAB_ABOUT="\`\`make fraglab\`\`, $(date -u -r "$build/summary.csv" +%Y-%m-%d), Quarry $(git -C "$here" describe --always --dirty)." \
		/usr/bin/python3 "$lab/plot.py" --table "$build" "$docs" files network processes phases
	exit
fi
[ $# -gt 0 ] || set -- "$lab"/traces/*.trace.xz
mkdir -p "$build"
make -s -C "$lab" OUTPUT="$build" fraglab-replay
traces=()
for trace in "$@"; do
	case $trace in
	*.xz)
		name=$build/$(basename "$trace" .xz)
		xz -dc "$trace" >"$name"
		traces+=("$name")
		;;
	*) traces+=("$trace") ;;
	esac
done
status=0
"$build/fraglab-replay" "$build" "${traces[@]}" || status=1
/usr/bin/python3 "$lab/plot.py" "$build" "$build"
echo "Figures, plots and maps are in build/fraglab"
exit "$status"
