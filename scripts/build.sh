#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Builds the modules for a kernel from kernel.sh in a copy of the tree, since one tree
# is built for several kernels; prints the copy's directory. What was built stays, so
# that the next build is short.
#
#	build.sh [-d NAME] [-s SOURCE] KERNEL_DIR [make variables]
#
# -d names the directory under build/ (the kernel's name by default); -s builds
# another tree than this one. The compiler's output is in build/NAME.log.
set -eu

top=$(cd "$(dirname "$0")/.." && pwd)
name='' from=$top
while getopts d:s: opt; do
	case $opt in
	d) name=$OPTARG ;;
	s) from=$OPTARG ;;
	*) exit 2 ;;
	esac
done
shift $((OPTIND - 1))
kernel=$1
shift
name=${name:-$(basename "$kernel")}
dir=$top/build/$name
arch=$(cat "$kernel/arch")
cross=()
[ "$arch" = x86_64 ] || cross=("ARCH=$arch" "CROSS_COMPILE=${arch/arm64/aarch64}-linux-gnu-")

mkdir -p "$dir"
exec 9>"$dir.lock"
flock 9
parts=()
for part in Kbuild kmod include kunit samples selftests Documentation; do
	[ ! -e "$from/$part" ] || parts+=("$from/$part")
done
rsync -a --delete -f 'H *.o' -f 'H *.ko' -f 'H *.mod' -f 'H *.mod.c' -f 'H .*.cmd' -f 'H Module.symvers' \
	-f 'H modules.order' -f 'P *.o' -f 'P *.ko' -f 'P *.mod' -f 'P *.mod.c' -f 'P *.cmd' -f 'P Module.symvers' \
	-f 'P modules.order' -f 'P *.gcno' "${parts[@]}" "$dir/"

make -C "$kernel/build" -j"$(nproc)" "M=$dir" "${cross[@]}" "$@" modules >"$dir.log" 2>&1 9>&- || {
	echo "build: failed for $name" >&2
	grep -nE 'error|undefined|Stop' "$dir.log" | head -n 20 >&2
	exit 1
}
echo "$dir"
