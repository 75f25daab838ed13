#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Builds the modules for a kernel from kernel.sh in a copy of the tree, since one tree
# is built for several kernels; prints the directory with the result. The copy lies in
# the cache beside the kernel, is updated by content, and stays, so that any clone
# builds only what differs from the last build; one that did not end is not trusted.
#
#	build.sh [-d NAME] [-s SOURCE] KERNEL_DIR [make variables]
#
# The result goes to build/NAME (the kernel's name by default), the compiler's output
# to build/NAME.log. -s builds another tree than this one. Under another name than the
# kernel's it is built in that place, not in the cache.
# Environment: STRICT=1 builds with W=1, on 6.12 with sparse, and a warning is a failure.
set -eu

top=$(cd "$(dirname "$0")/.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/quarry
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
work=$cache/modules/$name${STRICT:+-strict}
[ "$name" = "$(basename "$kernel")" ] || work=$dir
arch=$(cat "$kernel/arch")
cross=()
[ "$arch" = x86_64 ] || cross=("ARCH=$arch" "CROSS_COMPILE=${arch/arm64/aarch64}-linux-gnu-")
strict=()
if [ -n "${STRICT:-}" ]; then
	strict=(W=1 KCFLAGS=-Werror)
	# One kernel is enough for sparse, which looks at what is compiled
	case $(basename "$kernel") in stock-6.12-6*) strict+=(C=1 CF=-Wsparse-error) ;; esac
fi

mkdir -p "$dir" "$work" "$cache/locks"
exec 9>"$cache/locks/modules${work//\//-}"
flock 9
if [ -e "$work/.building" ]; then
	rm -rf "$work"
	mkdir "$work"
fi
touch "$work/.building"
parts=()
for part in Kbuild kmod include kunit samples selftests Documentation; do
	[ ! -e "$from/$part" ] || parts+=("$from/$part")
done
# By content, and without times: what has not changed keeps the time of the last build
rsync -rlpc --delete -f 'H *.o' -f 'H *.ko' -f 'H *.mod' -f 'H *.mod.c' -f 'H .*.cmd' -f 'H Module.symvers' \
	-f 'H modules.order' -f 'P *.o' -f 'P *.ko' -f 'P *.mod' -f 'P *.mod.c' -f 'P *.cmd' -f 'P Module.symvers' \
	-f 'P modules.order' -f 'P *.gcno' "${parts[@]}" "$work/" >/dev/null
# What is left of a folder that the source has no more was built from it
(cd "$work" && find . -mindepth 1 -type d) | while read -r folder; do
	[ -e "$from/$folder" ] || rm -rf "${work:?}/$folder"
done

make -C "$kernel/build" -j"$(nproc)" "M=$work" "${cross[@]}" "${strict[@]}" "$@" modules >"$dir.log" 2>&1 9>&- || {
	echo "build: failed for $name" >&2
	grep -nE 'error|undefined|Stop' "$dir.log" | head -n 20 >&2
	rm -f "$work/.building"
	exit 1
}
# modpost warns without failing, and once: the next build is to see it again
if [ -n "${STRICT:-}" ] && grep -E 'WARNING: modpost' "$dir.log" >&2; then
	exit 1
fi
# Nor does a module stay whose source has gone
find "$work" -name '*.ko' | while read -r module; do
	grep -qE "(^|/)$(basename "$module" .ko)\\.k?o\$" "$work/modules.order" || rm -f "$module"
done
rm -f "$work/.building"
[ "$work" = "$dir" ] || rsync -a --delete "$work/" "$dir/"
echo "$dir"
