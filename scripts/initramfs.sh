#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Packs busybox, scripts/init, a job and its files into an initramfs; the same input
# gives the same bytes.
#
#	initramfs.sh OUTPUT KERNEL_DIR JOB [-m STOCK_MODULE] [-f FILE[:PATH]]... [-i]
#
# -m adds a module of the kernel's own with what it depends on, loaded before the job;
# -f adds a file or directory (a *.ko goes to /lib/quarry, without its debug information,
# another to / by default).
set -eu
shopt -s inherit_errexit

here=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/quarry
output=$1 kernel=$2 job=$3
shift 3
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root"/bin "$root"/dev "$root"/lib/stock "$root"/lib/quarry
: >"$root/lib/stock/order"

busybox_for() {
	local dir=$cache/busybox-$1
	[ "$1" != x86_64 ] || { command -v busybox; return; }
	(
		flock 9
		[ -x "$dir/bin/busybox" ] || {
			rm -rf "$dir.partial" "$dir"
			"$here/deb.sh" -a "$1" unpack "$dir.partial" busybox-static 9>&-
			[ ! -e "$dir.partial/usr/bin/busybox" ] || mv -T "$dir.partial/usr/bin" "$dir.partial/bin"
			mv -T "$dir.partial" "$dir"
		}
	) 9>"$cache/locks/busybox-$1"
	echo "$dir/bin/busybox"
}

stock_module() {
	local name=$1 path
	while read -r path; do
		path=$(basename "$path")
		grep -qx "${path%.xz}" "$root/lib/stock/order" && continue
		find -L "$kernel/modules/kernel" -name "$path" -exec cp {} "$root/lib/stock/$path" \;
		case $path in *.xz) unxz "$root/lib/stock/$path" ;; esac
		echo "${path%.xz}" >>"$root/lib/stock/order"
	done < <(PATH=$PATH:/sbin:/usr/sbin modprobe -d "$kernel/root" -S "$(cat "$kernel/release")" \
		--show-depends "$name" | awk '$1 == "insmod" { print $2 }')
}

while getopts m:f:i opt; do
	case $opt in
	m) stock_module "$OPTARG" ;;
	f)
		from=${OPTARG%%:*}
		to=${OPTARG#"$from"}
		to=${to#:}
		case $from in *.ko) : "${to:=/lib/quarry/$(basename "$from")}" ;; esac
		: "${to:=/$(basename "$from")}"
		mkdir -p "$root/$(dirname "$to")"
		cp -rL "$from" "$root/$to"
		;;
	i) : >"$root/interactive" ;;
	*) exit 2 ;;
	esac
done

arch=$(cat "$kernel/arch") strip=strip
[ "$arch" = x86_64 ] || strip=${arch/arm64/aarch64}-linux-gnu-strip
# Debug information is nine tenths of a module, and of the memory that its load takes
find "$root/lib/quarry" -name '*.ko' -exec "$strip" --strip-debug {} +
cp "$(busybox_for "$arch")" "$root/bin/busybox"
ln -s busybox "$root/bin/sh"
install -m 755 "$here/init" "$root/init"
install -m 755 "$job" "$root/job"
find "$root" -exec touch -h -d @0 {} +
(cd "$root" && find . -print0 | LC_ALL=C sort -z | cpio --quiet --reproducible -0 -o -H newc -R 0:0) >"$output"
